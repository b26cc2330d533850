"""Uniform words for masks and seeds: AES-256 in counter mode, seeded by the operating system."""

import math
import os
import threading

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.aes import AesCtr

__all__ = ["Randomness"]

_BLOCK = 16


class Randomness:
    """A generator of uniform words, for any threads of one process; a forked child gets a new seed."""

    def __init__(self) -> None:
        self._seed()

    def __repr__(self) -> str:
        return "Randomness()"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a generator of secret words is neither pickled nor copied")

    def words(self, shape: tuple[int, ...]) -> NDArray[np.uint64]:
        """Return uniform words of 64 bits.

        Parameters
        ----------
        shape : tuple of int
            Their shape.

        Returns
        -------
        ndarray of uint64
            Fresh words.

        Examples
        --------
        >>> from medcrypt.inference.randomness import Randomness
        >>> Randomness().words((2, 3)).shape
        (2, 3)
        """
        return self._fresh(8 * math.prod(shape)).view(np.uint64).reshape(shape)

    def seeds(self, count: int) -> NDArray[np.uint8]:
        """Return `count` seeds of 16 bytes, one after the other."""
        return self._fresh(_BLOCK * count)

    def _fresh(self, size: int) -> NDArray[np.uint8]:
        """Return the next bytes of the key stream; no block of it is used twice."""
        if os.getpid() != self._process:
            self._seed()
        out = np.empty(size, np.uint8)
        stream = self._stream
        stream.cipher.fill(stream.claim(-(-size // _BLOCK)), out)
        return out

    def _seed(self) -> None:
        """Begin a new key stream."""
        self._stream, self._process = _Stream(), os.getpid()


class _Stream:
    """A key stream, and how much of it is used up, for any number of threads."""

    def __init__(self) -> None:
        key = bytearray(os.urandom(32))
        self.cipher, self._next, self._lock = AesCtr(key), 0, threading.Lock()
        key[:] = bytes(32)

    def claim(self, blocks: int) -> int:
        """Return the first of so many blocks that nobody else gets."""
        with self._lock:
            first, self._next = self._next, self._next + blocks
        return first
