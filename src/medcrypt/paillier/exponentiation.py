"""Products of powers with **public** exponents: the running time depends on them.

For proofs, which are public, and for plaintext matrices that multiply encrypted vectors, whose owner is the
one who computes. Secret exponents belong to `arithmetic`.
"""

import math
from collections.abc import Iterable, Sequence

__all__ = ["fixed_base_powers", "inverses", "products_of_powers"]

_FIXED_WINDOW = 6


def fixed_base_powers(base: int, exponents: Sequence[int], modulus: int) -> list[int]:
    """Return base^e modulo `modulus` for many exponents, by a table of all digit powers.

    Parameters
    ----------
    base
        The base.
    exponents
        Non-negative integers.
    modulus
        The modulus.

    Returns
    -------
    list of int
        The powers, in order.

    Examples
    --------
    >>> fixed_base_powers(3, [0, 5, 1000], 1009) == [1, 243, pow(3, 1000, 1009)]
    True
    """
    longest = max((e.bit_length() for e in exponents), default=0)
    products = [1 % modulus] * len(exponents)
    step = base % modulus
    for at in range(0, longest, _FIXED_WINDOW):
        row = [1, step]
        while len(row) <= 1 << _FIXED_WINDOW:
            row.append(row[-1] * step % modulus)
        step = row.pop()  # base^(2^w): the first power of the next row
        for i, exponent in enumerate(exponents):
            digit = exponent >> at & ((1 << _FIXED_WINDOW) - 1)
            if digit:
                products[i] = products[i] * row[digit] % modulus
    return products


def products_of_powers(bases: Sequence[int], rows: Iterable[Sequence[int]], modulus: int) -> list[int]:
    """Return the product of bases[j]^row[j] modulo `modulus` for every row of exponents.

    All rows share one table of small powers of the bases (Straus 1964), or each row sorts the bases into
    buckets by digit (Pippenger 1976), whichever takes fewer multiplications for this many bases and rows.

    Parameters
    ----------
    bases
        Residues.
    rows
        Non-negative exponents, one for each base.
    modulus
        The modulus.

    Returns
    -------
    list of int
        One residue for each row; 1 for a row of zeros.

    Examples
    --------
    >>> products_of_powers([2, 3], [[3, 2], [0, 0]], 1009)
    [72, 1]
    """
    matrix = [list(row) for row in rows]
    bits = max((e.bit_length() for row in matrix for e in row), default=0)
    if not bits or not bases:
        return [1 % modulus] * len(matrix)
    straus, pippenger = (
        min((cost(window, len(bases), len(matrix), bits), window) for window in range(1, 17))
        for cost in (_straus_cost, _pippenger_cost)
    )
    if straus <= pippenger:
        return _straus(bases, matrix, modulus, straus[1], bits)
    return [_pippenger(bases, row, modulus, pippenger[1], bits) for row in matrix]


def _straus_cost(window: int, bases: int, rows: int, bits: int) -> int:
    """Count multiplications: the tables once, then one for each digit, and the squarings."""
    digits = -(-bits // window)
    return bases * ((1 << window) - 2) + rows * (bases * digits + bits)


def _pippenger_cost(window: int, bases: int, rows: int, bits: int) -> int:
    """Count multiplications: one for each digit, two for each bucket of each digit, and the squarings."""
    digits = -(-bits // window)
    return rows * (digits * (bases + 2 * (1 << window)) + bits)


def _straus(bases: Sequence[int], rows: list[list[int]], modulus: int, window: int, bits: int) -> list[int]:
    """Multiply table entries digit by digit, from the top, squaring in between."""
    tables = [_small_powers(base, 1 << window, modulus) for base in bases]
    mask = (1 << window) - 1
    positions = range((bits - 1) // window * window, -1, -window)
    products: list[int] = []
    for row in rows:
        product = 1 % modulus
        for at in positions:
            product = _square(product, window, modulus)
            for table, exponent in zip(tables, row, strict=True):
                digit = exponent >> at & mask
                if digit:
                    product = product * table[digit] % modulus
        products.append(product)
    return products


def _pippenger(bases: Sequence[int], row: list[int], modulus: int, window: int, bits: int) -> int:
    """Multiply all bases of one digit into that digit's bucket; running products weigh the buckets."""
    mask = (1 << window) - 1
    product = 1 % modulus
    for at in range((bits - 1) // window * window, -1, -window):
        product = _square(product, window, modulus)
        buckets: dict[int, int] = {}
        for base, exponent in zip(bases, row, strict=True):
            digit = exponent >> at & mask
            if digit:
                buckets[digit] = buckets[digit] * base % modulus if digit in buckets else base
        product = product * _weighted(buckets, modulus) % modulus
    return product


def _weighted(buckets: dict[int, int], modulus: int) -> int:
    """Return the product of bucket[d]^d: every step down multiplies in all the buckets above once more."""
    running = total = 1
    for digit in range(max(buckets, default=0), 0, -1):
        if digit in buckets:
            running = running * buckets[digit] % modulus
        total = total * running % modulus
    return total


def _small_powers(base: int, count: int, modulus: int) -> list[int]:
    """List base^0 to base^(count - 1)."""
    powers = [1 % modulus, base % modulus]
    while len(powers) < count:
        powers.append(powers[-1] * powers[1] % modulus)
    return powers


def _square(x: int, times: int, modulus: int) -> int:
    """Return x^(2^times)."""
    if x == 1:
        return x
    for _ in range(times):
        x = x * x % modulus
    return x


def inverses(xs: Sequence[int], modulus: int) -> list[int]:
    """Invert many units with one inversion and three multiplications each (Montgomery 1987).

    Parameters
    ----------
    xs
        Units modulo `modulus`.
    modulus
        The modulus.

    Returns
    -------
    list of int
        The inverses, in order.

    Raises
    ------
    ValueError
        If one of them is no unit.

    Examples
    --------
    >>> inverses([2, 3], 7)
    [4, 5]
    """
    prefixes = [1 % modulus]
    for x in xs:
        prefixes.append(prefixes[-1] * x % modulus)
    if math.gcd(prefixes[-1], modulus) != 1:
        raise ValueError("not a unit")
    running = pow(prefixes[-1], -1, modulus)
    results: list[int] = []
    for x, prefix in zip(reversed(xs), reversed(prefixes[:-1]), strict=True):
        results.append(running * prefix % modulus)
        running = running * x % modulus
    return results[::-1]
