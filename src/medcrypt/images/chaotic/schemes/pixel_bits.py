"""Ye 2010: the image as a matrix of bits, whose rows and columns are shuffled."""

import itertools
import secrets
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.images.chaotic.schemes.greyscale import (
    Grey,
    Indices,
    grey,
    logistic_orbit,
    random_real,
    skipped,
)

__all__ = ["Ye"]


@dataclass(frozen=True, repr=False)
class Ye:
    """A permutation of bits and nothing else. **Insecure**.

    G. Ye, "Image scrambling encryption algorithm of pixel bit based on chaos map", Pattern Recognition Letters 31
    (2010) 347-354. M x N pixels are a matrix of M x 8N bits; the order of M values of the logistic map shuffles its
    rows, that of 8N more its columns. `skip_rows` and `skip_columns` values are dropped before each.

    Left open there and chosen here: a pixel's highest bit comes first; the columns' orbit goes on where that of the
    rows has ended. Broken by Li and Lo 2011, as every permutation alone, and by Li, Lin and Lu 2017
    from ciphertexts.

    Parameters
    ----------
    x, r
        Start and parameter of the logistic map.
    skip_rows, skip_columns
        How many values are dropped.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(70, dtype=np.uint8).reshape(7, 10)
    >>> cipher = Ye(0.3, 3.99, 20, 51)
    >>> np.array_equal(cipher.decrypt(cipher.encrypt(image)), image)
    True
    """

    x: float
    r: float
    skip_rows: int
    skip_columns: int

    @classmethod
    def random(cls) -> "Ye":
        """Draw a key."""
        return cls(
            random_real(0.1, 0.9), random_real(3.9, 4.0), secrets.randbelow(1000), secrets.randbelow(1000)
        )

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt an image of any shape."""
        bits = np.unpackbits(grey(image), axis=1)
        rows, columns = self._orders(bits.shape)
        return np.packbits(bits[rows][:, columns], axis=1)

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt an image of any shape."""
        bits = np.unpackbits(grey(image), axis=1)
        rows, columns = self._orders(bits.shape)
        return np.packbits(bits[np.argsort(rows)][:, np.argsort(columns)], axis=1)

    def _orders(self, shape: tuple[int, ...]) -> tuple[Indices, Indices]:
        return _orders(self, shape[0], shape[1])


@lru_cache(maxsize=8)
def _orders(key: Ye, rows: int, columns: int) -> tuple[Indices, Indices]:
    """Return the orders of two stretches of the orbit."""
    orbit = skipped(logistic_orbit(key.x, key.r), key.skip_rows)
    first = np.argsort(list(itertools.islice(orbit, rows)))
    return first, np.argsort(list(itertools.islice(skipped(orbit, key.skip_columns), columns)))
