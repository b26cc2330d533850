"""Arithmetic modulo n^2, in batches: the only file that multiplies ciphertexts.

Everything above it speaks of lists of residues, never of single multiplications, so that a kernel can take
a whole list at once. The present engine is Python's own integers. **They are not constant time**: how long a
multiplication or a reduction takes depends on the operands, and a table look-up depends on the exponent.
Whoever can time single operations of a key holder very precisely is outside what this engine defends against.

Inside a fixed-base power a residue x mod n^2 is held as the pair (a, b) with x = a + b n. Then

    (a1 + b1 n)(a2 + b2 n) = a1 a2 + (a1 b2 + a2 b1) n   (mod n^2),

three products of half the size and two short reductions in place of one long product and one long reduction.
"""

import math
import secrets
from collections.abc import Iterable, Sequence

__all__ = ["FixedBase", "Group", "SplitGroup", "random_exponents", "random_units"]

# 7 bits a window: a power with a 512-bit exponent is 74 products, and the table takes 9398 to build. Six bits
# would need 5418 and 86, so 7 is better from the 332nd ciphertext on.
_WINDOW_BITS = 7


def random_exponents(bits: int, count: int) -> list[int]:
    """`count` independent uniform integers of at most `bits` bits, from the operating system."""
    return [secrets.randbits(bits) for _ in range(count)]


def random_units(n: int, count: int) -> list[int]:
    """`count` independent uniform elements of the units modulo `n`, from the operating system."""
    units: list[int] = []
    while len(units) < count:
        candidate = secrets.randbelow(n)
        if math.gcd(candidate, n) == 1:
            units.append(candidate)
    return units


class FixedBase:
    """Powers of one fixed base modulo a square, by a table of all digit powers.

    Row i of the table holds base^(d 2^(w i)) for every digit d of w bits, so that a power is one product for
    each digit of the exponent and no squaring (Brickell, Gordon, McCurley and Wilson, EUROCRYPT 1992).

    Parameters
    ----------
    base
        The base, reduced modulo `root` squared.
    root
        The square root of the modulus: n, or a prime factor of n.
    exponent_bits
        The longest exponent that the table can serve.

    Examples
    --------
    >>> FixedBase(3, root=1009, exponent_bits=20).powers([0, 1, 999_999]) == [1, 3, pow(3, 999_999, 1009**2)]
    True
    """

    def __init__(self, base: int, root: int, exponent_bits: int) -> None:
        self._root = root
        self._exponent_bits = exponent_bits
        self._rows: list[list[tuple[int, int]]] = []
        step = _split(base, root)
        for _ in range(0, exponent_bits, _WINDOW_BITS):
            row = [(1, 0), step]
            while len(row) <= 1 << _WINDOW_BITS:
                row.append(_pair_product(row[-1], step, root))
            step = row.pop()  # base^(2^w): the first power of the next row
            self._rows.append(row)

    def powers(self, exponents: Iterable[int]) -> list[int]:
        """Return base^e modulo the square for every exponent, each below 2^exponent_bits.

        Parameters
        ----------
        exponents
            Integers in [0, 2^exponent_bits).

        Returns
        -------
        list of int
            The powers, in order.

        Raises
        ------
        ValueError
            If an exponent does not fit the table.
        """
        return [self._power(exponent) for exponent in exponents]

    def _power(self, exponent: int) -> int:
        """Multiply the table entries that the digits of one exponent select."""
        if not 0 <= exponent < 1 << self._exponent_bits:
            raise ValueError("the exponent does not fit the table")
        root = self._root
        product = (1, 0)
        for row in self._rows:
            product = _pair_product(product, row[exponent & ((1 << _WINDOW_BITS) - 1)], root)
            exponent >>= _WINDOW_BITS
        return product[0] + product[1] * root


def _split(x: int, root: int) -> tuple[int, int]:
    """Write x mod root^2 as (a, b) with x = a + b root and both below root."""
    b, a = divmod(x % (root * root), root)
    return a, b


def _pair_product(x: tuple[int, int], y: tuple[int, int], root: int) -> tuple[int, int]:
    """Multiply two residues modulo root^2 that are held as pairs."""
    (a1, b1), (a2, b2) = x, y
    carry, a = divmod(a1 * a2, root)
    return a, (a1 * b2 + a2 * b1 + carry) % root


class Group:
    """The units modulo n^2, as everybody sees them who knows n only.

    Parameters
    ----------
    n
        The modulus of a public key.

    Examples
    --------
    >>> group = Group(77)
    >>> group.conceal([42], group.nth_powers([23]))
    [3840]
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.n_squared = n * n

    def nth_powers(self, units: Iterable[int]) -> list[int]:
        """Return r^n mod n^2 for every unit r."""
        return [pow(r, self.n, self.n_squared) for r in units]

    def conceal(self, plaintexts: Iterable[int], masks: Iterable[int]) -> list[int]:
        """Return (1 + m n) mask mod n^2 for every pair: the ciphertexts, if the masks are n-th residues.

        With mask = a + b n the product is a + (b + m a) n, one product of half the size.
        """
        n = self.n
        ciphertexts: list[int] = []
        for m, mask in zip(plaintexts, masks, strict=True):
            b, a = divmod(mask, n)
            ciphertexts.append(a + (b + m * a) % n * n)
        return ciphertexts

    def multiply(self, xs: Iterable[int], ys: Iterable[int]) -> list[int]:
        """Return the products x y mod n^2, pair by pair."""
        return [x * y % self.n_squared for x, y in zip(xs, ys, strict=True)]

    def power(self, xs: Iterable[int], exponent: int) -> list[int]:
        """Return x^exponent mod n^2 for every x; the exponent is public and not negative."""
        return [pow(x, exponent, self.n_squared) for x in xs]

    def contains(self, elements: Sequence[int]) -> bool:
        """Tell whether every element is in range and invertible: 0 < x < n^2, and one gcd for all of them.

        A product is invertible modulo n exactly when each of its factors is.
        """
        if not all(0 < x < self.n_squared for x in elements):
            return False
        product = 1
        for x in elements:
            product = product * (x % self.n) % self.n
        return math.gcd(product, self.n) == 1


class SplitGroup:
    """The units modulo n^2 for the key holder, who computes modulo p^2 and q^2 and recombines.

    Parameters
    ----------
    p, q
        The prime factors of n.

    Examples
    --------
    >>> SplitGroup(7, 11).decrypt([3840])
    [42]
    """

    def __init__(self, p: int, q: int) -> None:
        self.n = p * q
        self._p, self._q = p, q
        self._p_squared, self._q_squared = p * p, q * q
        # L_p((1 + n)^(p-1) mod p^2) = (p - 1) q = -q (mod p), and likewise for q.
        self._h_p = pow(-q, -1, p)
        self._h_q = pow(-p, -1, q)
        self._q_inverse = pow(q, -1, p)
        self._q_squared_inverse = pow(self._q_squared, -1, self._p_squared)

    def fixed_base(self, base: int, exponent_bits: int) -> tuple[FixedBase, FixedBase]:
        """Build the two tables for `fixed_base_powers`."""
        return FixedBase(base, self._p, exponent_bits), FixedBase(base, self._q, exponent_bits)

    def fixed_base_powers(self, tables: tuple[FixedBase, FixedBase], exponents: Sequence[int]) -> list[int]:
        """Return base^e mod n^2 for every exponent, from the two tables."""
        modulo_p, modulo_q = (table.powers(exponents) for table in tables)
        return [self._recombine(x, y) for x, y in zip(modulo_p, modulo_q, strict=True)]

    def nth_powers(self, units: Iterable[int]) -> list[int]:
        """Return r^n mod n^2 for every unit r.

        x^p mod p^2 depends on x mod p only, hence r^n = ((r^q mod p)^p mod p^2) there, and likewise for q.
        """
        p, q = self._p, self._q
        return [
            self._recombine(
                pow(pow(r, q % (p - 1), p), p, self._p_squared),
                pow(pow(r, p % (q - 1), q), q, self._q_squared),
            )
            for r in units
        ]

    def decrypt(self, ciphertexts: Iterable[int]) -> list[int]:
        """Return the plaintext in [0, n) of every ciphertext, by CRT (Paillier 1999, section 7)."""
        p, q = self._p, self._q
        plaintexts: list[int] = []
        for c in ciphertexts:
            m_p = (pow(c, p - 1, self._p_squared) - 1) // p * self._h_p % p
            m_q = (pow(c, q - 1, self._q_squared) - 1) // q * self._h_q % q
            plaintexts.append(m_q + (m_p - m_q) * self._q_inverse % p * q)
        return plaintexts

    def _recombine(self, x_p: int, x_q: int) -> int:
        """Return the residue modulo n^2 that is x_p modulo p^2 and x_q modulo q^2 (Garner)."""
        return x_q + (x_p - x_q) * self._q_squared_inverse % self._p_squared * self._q_squared
