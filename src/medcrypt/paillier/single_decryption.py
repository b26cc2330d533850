"""Decryption of one ciphertext at a time by the key holder: few calls of the kernels, and masks that are kept.

Before the secret power, a ciphertext is multiplied by a mask, an encryption of zero, so that nobody who chooses a
ciphertext chooses the base. To compute a fresh one takes a third as long as the power itself. Here the next mask is
the square of the last one, and after 32 decryptions a fresh one is drawn, as Kocher proposed (Timing attacks on
implementations of Diffie-Hellman, RSA, DSS and other systems, CRYPTO 1996, section 10) and OpenSSL does for RSA.

A mask is a random n-th residue that nobody but the holder knows, and so is its square: no base can be predicted,
whoever chose the ciphertext. What is given up: the bases of up to 32 decryptions in a row are related in a way that the
chooser of the ciphertexts knows (squaring c takes the blinded c mask to the next one), and all bases but the first have
the quadratic character of the ciphertext. Neither helps to find a base, or an exponent as long as single powers do not
tell it; that is the kernels' work, whose time and addresses do not depend on bases or exponents. Decryptions of many
ciphertexts at once draw a mask for each.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from medcrypt._ext import bignum
from medcrypt.errors import InvalidCiphertextError
from medcrypt.paillier.arithmetic import Residues, secret_inverse

__all__ = ["SingleDecryption"]

_USES = 32  # of one mask: itself and its squares

_Pairs = npt.NDArray[np.uint64]


class SingleDecryption:
    """Decrypts single ciphertexts by CRT (Paillier 1999, section 7).

    Threads may share an object. It is neither pickled nor copied, and a forked child draws masks of its own.

    Parameters
    ----------
    p, q
        The prime factors of n, p < q.

    Examples
    --------
    >>> from medcrypt.paillier.arithmetic import Group
    >>> SingleDecryption(7, 11).decrypt(3840, lambda: Group(77).nth_powers([5]))
    42
    """

    def __init__(self, p: int, q: int) -> None:
        kernel = bignum.kernel_for_one()
        lanes = bignum.lanes(kernel)
        self._n_squared = (p * q) ** 2
        self._width = -(-self._n_squared.bit_length() // 8)
        q_inverse = secret_inverse(q, p)
        factors = {p: p - q_inverse, q: q - secret_inverse(p, q)}  # of L(c^(p-1)): see `_Side`
        if lanes > 1 and p.bit_length() == q.bit_length():
            self._sides = [_Side([p] * (lanes // 2) + [q] * (lanes - lanes // 2), factors, kernel)]
        else:
            self._sides = [_Side([prime] * lanes, factors, kernel) for prime in (p, q)]
        first = self._sides[0]
        self._plus, self._minus = (
            first.enter_everywhere(bytearray(x.to_bytes(first.size, "big")))
            for x in (q_inverse, p - q_inverse)
        )
        self._masks = _Masks(self._sides)

    def __del__(self) -> None:
        _clear(getattr(self, "_plus", None), getattr(self, "_minus", None))

    def __repr__(self) -> str:
        return "SingleDecryption()"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a SingleDecryption holds a secret key: it is neither pickled nor copied")

    def decrypt(self, ciphertext: int, draw_mask: Callable[[], Residues]) -> int:
        """Return the plaintext in [0, n).

        Parameters
        ----------
        ciphertext
            An integer.
        draw_mask
            Returns one random n-th residue modulo n^2, when a fresh one is needed.

        Raises
        ------
        InvalidCiphertextError
            If the ciphertext is not a unit in (0, n^2).
        """
        if not 0 < ciphertext < self._n_squared:
            raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
        first, last = self._sides[0], self._sides[-1]
        encoded = ciphertext.to_bytes(self._width, "big")
        masks = self._masks.take(draw_mask)
        found = [bytearray(side.lanes * side.size) for side in self._sides]
        with _wiped(*masks, *found):
            for side, mask, out in zip(self._sides, masks, found, strict=True):
                side.plaintexts(encoded, mask, out)
            return self._joined(memoryview(found[0])[: first.size], memoryview(found[-1])[-last.size :])

    def _joined(self, modulo_p: memoryview, modulo_q: memoryview) -> int:
        """Return m = m_q + q ((m_p - m_q) q^-1 mod p) (Garner 1959)."""
        first, last = self._sides[0], self._sides[-1]
        x, y = first.enter_everywhere(modulo_p), first.enter_everywhere(modulo_q)
        quotients, joined = bytearray(first.lanes * last.size), bytearray(last.lanes * 2 * last.size)
        low = _repeated(modulo_q, last.lanes)
        with _wiped(x, y, quotients, low, joined):
            first.ring.combine(x, self._plus, y, self._minus, x)
            first.ring.leave_low(x, last.size, quotients)
            high = _repeated(memoryview(quotients)[: last.size], last.lanes)
            with _wiped(high):
                last.ring.join(low, high, last.size, 2 * last.size, joined)
            return int.from_bytes(memoryview(joined)[-2 * last.size :], "big")


class _Side:
    """A ring whose lanes hold primes, and what decryption needs modulo each of them.

    With L(1 + b p) = b, the plaintext modulo p is L(c^(p-1)) / L((1 + n)^(p-1)), and the latter is (p - 1) q = -q.
    """

    def __init__(self, primes: Sequence[int], factors: dict[int, int], kernel: str) -> None:
        self.lanes = len(primes)
        self.size = -(-primes[0].bit_length() // 8)
        moduli, powers, inverses = (
            bytearray(b"".join(x.to_bytes(self.size, "big") for x in numbers))
            for numbers in (primes, [prime - 1 for prime in primes], [factors[prime] for prime in primes])
        )
        self._exponents = powers
        with _wiped(moduli, inverses):
            self.ring = bignum.Ring(moduli, self.lanes, kernel)
            self._factors = self.empty()
            self.ring.enter(inverses, self.size, self._factors)

    def __del__(self) -> None:
        _clear(getattr(self, "_exponents", None), getattr(self, "_factors", None))

    def empty(self) -> _Pairs:
        """Return room for one group."""
        return np.empty(self.ring.group_words, dtype=np.uint64)

    def enter_everywhere(self, value: bytes | bytearray | memoryview) -> _Pairs:
        """Return a big-endian number in every lane, modulo the square of the prime."""
        pairs, values = self.empty(), _repeated(value, self.lanes)
        with _wiped(values):
            self.ring.enter(values, len(value), pairs)
        return pairs

    def plaintexts(self, ciphertext: bytes, mask: _Pairs, out: bytearray) -> None:
        """Write the plaintext modulo the prime of each lane, `size` bytes each."""
        ring, size = self.ring, self.size
        pairs, ones = self.enter_everywhere(ciphertext), bytearray(self.lanes * size)
        with _wiped(pairs, ones):
            ring.multiply(pairs, mask, pairs)
            ring.power_by_lane(pairs, self._exponents, pairs)
            ring.leave_low(pairs, size, ones)
            ring.multiply(pairs, self._factors, pairs)
            ring.leave_high(pairs, size, out)
            if ones != (bytes(size - 1) + b"\1") * self.lanes:  # by Fermat's theorem
                raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")


class _Masks:
    """Masks in the form of the kernels, each handed out once.

    What is kept belongs to nobody, and whoever takes it owns it: a list's `pop` and `append` are one step for other
    threads. A thread that finds nothing draws for itself.
    """

    # How often this process or an ancestor was forked: a child may get the number of one that is gone.
    _forks = 0

    def __init__(self, sides: Sequence[_Side]) -> None:
        self._sides = sides
        self._process = self._here()
        self._kept: list[tuple[list[_Pairs], int]] = []

    def __del__(self) -> None:
        self._forget()

    def take(self, draw: Callable[[], Residues]) -> list[_Pairs]:
        """Return a mask for every side; the caller wipes it."""
        if self._process != self._here():  # the parent goes on with what is kept
            self._forget()
            self._process = self._here()
        try:
            mask, uses = self._kept.pop()
        except IndexError:
            mask, uses = self._fresh(draw()), _USES
        if uses > 1:
            squares = [self._square(side, x) for side, x in zip(self._sides, mask, strict=True)]
            # Looked up only now: while squares were computed another thread may have put a new list there.
            self._kept.append((squares, uses - 1))
        return mask

    @classmethod
    def count_fork(cls) -> None:
        """Tell every object that it lives in another process now."""
        cls._forks += 1

    @classmethod
    def _here(cls) -> tuple[int, int]:
        return os.getpid(), cls._forks

    def _fresh(self, drawn: Residues) -> list[_Pairs]:
        encoded = drawn.to_buffer()
        drawn.wipe()
        with _wiped(encoded):
            return [side.enter_everywhere(encoded) for side in self._sides]

    def _square(self, side: _Side, x: _Pairs) -> _Pairs:
        square = side.empty()
        side.ring.multiply(x, x, square)
        return square

    def _forget(self) -> None:
        """Wipe what is kept."""
        kept, self._kept = self._kept, []
        for mask, _ in kept:
            _clear(*mask)


def _repeated(value: bytes | bytearray | memoryview, count: int) -> bytearray:
    """Return the same bytes `count` times over, with no other copy on the way."""
    size, out = len(value), bytearray(len(value) * count)
    view = memoryview(out)  # assigning to a slice of `out` itself would copy
    for start in range(0, len(out), size):
        view[start : start + size] = value
    return out


@contextmanager
def _wiped(*buffers: bytearray | _Pairs) -> Iterator[None]:
    """Overwrite buffers with zeros at the end, however that comes."""
    try:
        yield
    finally:
        for buffer in buffers:
            bignum.wipe(buffer)


def _clear(*buffers: bytearray | _Pairs | None) -> None:
    """Do the same where the interpreter may be about to end, and the kernels gone."""
    for buffer in buffers:
        if isinstance(buffer, bytearray):
            buffer[:] = bytes(len(buffer))
        elif buffer is not None:
            buffer.fill(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Masks.count_fork)
