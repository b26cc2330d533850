"""Uniform words: the key stream of AES-256 in counter mode, seeded by the operating system.

A generator lives for one call and holds nothing that another call, thread, process or subinterpreter could see
again: there is no state to be copied by a fork. It takes a new key from the operating system after every
2^16 blocks.
"""

import os
import secrets
from collections.abc import Callable
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.aes import AesCtr

__all__ = ["BLOCKS_OF_A_KEY", "Generator", "ReproducibleGenerator", "words_of"]

BLOCKS_OF_A_KEY = 1 << 16

_BLOCK = 16  # bytes
_FURTHER = 1 << 120  # where a reproducible generator keeps the words that single decisions ask for


class Generator:
    """Uniform words from the operating system's seed.

    Examples
    --------
    >>> import numpy as np
    >>> words = np.zeros(4, np.uint64)
    >>> Generator().fill(words)
    >>> bool(words.any())
    True
    """

    def __init__(self) -> None:
        self._left = 0
        self._stream: AesCtr | None = None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a generator holds a key: it is neither pickled nor copied")

    def reserve(self, blocks: int) -> tuple[AesCtr, int]:
        """Return a stream and the first of so many blocks of it, at most 2^16, that nothing else is drawn from."""
        if self._stream is None or blocks > self._left:
            self._stream, self._left = AesCtr(os.urandom(32)), BLOCKS_OF_A_KEY
        first = BLOCKS_OF_A_KEY - self._left
        self._left -= blocks
        return self._stream, first

    def fill(self, words: NDArray[np.uint64]) -> None:
        """Overwrite a contiguous array with fresh uniform words."""
        start = 0
        while start < words.size:
            if self._stream is None or self._left == 0:
                self._stream, self._left = AesCtr(os.urandom(32)), BLOCKS_OF_A_KEY
            piece = words[start : start + self._left * _BLOCK // words.itemsize]
            self._stream.fill(BLOCKS_OF_A_KEY - self._left, piece)
            self._left -= -(-piece.nbytes // _BLOCK)
            start += piece.size

    def further(self, trial: int) -> Callable[[], int]:
        """Return a source of further words of 64 bits for one decision that needs them."""
        del trial
        return lambda: secrets.randbits(64)


class ReproducibleGenerator(Generator):
    """The same words for the same seed, on every kernel path. **For tests only**: noise from it hides nothing.

    Parameters
    ----------
    seed
        32 bytes.

    Examples
    --------
    >>> from medcrypt import dp
    >>> a, b = (dp.noise.discrete_gaussian(9.0, 5, generator=dp.noise.ReproducibleGenerator(bytes(32))) for _ in "ab")
    >>> a.tolist() == b.tolist()
    True
    """

    def __init__(self, seed: bytes) -> None:
        super().__init__()
        self._seeded = AesCtr(seed)
        self._next = 0

    def reserve(self, blocks: int) -> tuple[AesCtr, int]:
        """Return the stream and the first of its next blocks."""
        first = self._next
        self._next += blocks
        return self._seeded, first

    def fill(self, words: NDArray[np.uint64]) -> None:
        """Overwrite a contiguous array with the next words of the stream."""
        self._seeded.fill(self._next, words)
        self._next += -(-words.nbytes // _BLOCK)

    def further(self, trial: int) -> Callable[[], int]:
        """Return a source of words that depends on the seed and the number of the trial alone."""
        counter = _FURTHER + (trial << 32)

        def word() -> int:
            nonlocal counter
            block = bytearray(_BLOCK)
            self._seeded.fill(counter, block)
            counter += 1
            return int.from_bytes(block[:8], "little")

        return word


def words_of(generator: Generator | None, count: int) -> NDArray[np.uint64]:
    """Return fresh words, of a new generator unless one is given."""
    words = np.empty(count, dtype=np.uint64)
    (generator or Generator()).fill(words)
    return words
