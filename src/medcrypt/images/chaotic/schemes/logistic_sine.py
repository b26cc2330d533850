"""Hua, Jin, Xu and Huang 2018: positions linked along a two-dimensional map, levels added along rows and columns."""

import secrets
from dataclasses import dataclass
from functools import lru_cache
from math import pi, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.images.chaotic.schemes.greyscale import Grey, Indices, grey, random_real

__all__ = ["HuaJinXuHuang", "undo_sums"]


@dataclass(frozen=True, repr=False)
class HuaJinXuHuang:
    """LSCM-IEA. Passes the published statistics, and is **insecure**: every step is linear modulo 256.

    Z. Hua, F. Jin, B. Xu, H. Huang, "2D Logistic-Sine-coupling map for image encryption", Signal Processing 149 (2018)
    148-161. Four rounds: the columns of a chaotic matrix are sorted, the pixels that come to stand in one row are
    linked in the order of their chaotic values and moved along; then every row receives the two before it and a
    chaotic row, and every column likewise.

    Left open there and chosen here: each round's orbit starts where the one before has ended; the second coordinate
    uses the new first one. Whoever may encrypt n + 2 images of n pixels can read everything (`attacks`); Chen, Chen and
    Zhou 2020 break the whole family by chosen ciphertexts.

    Parameters
    ----------
    x, y
        Start of the map, between 0 and 1.
    theta
        Its parameter, between 0 and 1.
    factors
        Four integers of 25 bits: round i has theta factors[i] modulo 1.
    rounds
        Up to four.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(70, dtype=np.uint8).reshape(7, 10)
    >>> cipher = HuaJinXuHuang(0.3, 0.4, 0.9, (31, 415, 9265, 35897))
    >>> np.array_equal(cipher.decrypt(cipher.encrypt(image)), image)
    True
    """

    x: float
    y: float
    theta: float
    factors: tuple[int, int, int, int]
    rounds: int = 4

    @classmethod
    def random(cls, rounds: int = 4) -> "HuaJinXuHuang":
        """Draw a key."""
        f = [1 + secrets.randbelow((1 << 25) - 1) for _ in range(4)]
        x, y, theta = (random_real(0.0, 1.0) for _ in range(3))
        return cls(x, y, theta, (f[0], f[1], f[2], f[3]), rounds)

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt an image of at least 3 x 3 pixels."""
        pixels = grey(image)
        for source, mask in _schedule(self, *pixels.shape):
            moved = pixels.ravel()[source].reshape(pixels.shape)
            pixels = _sums(_sums(moved, mask).T, mask.T).T
        return np.ascontiguousarray(pixels)

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt an image of at least 3 x 3 pixels."""
        pixels = grey(image)
        for source, mask in reversed(_schedule(self, *pixels.shape)):
            moved = _undo_sums(_undo_sums(pixels.T, mask.T).T, mask)
            pixels = np.empty_like(moved)
            pixels.reshape(-1)[source] = moved.ravel()
        return np.ascontiguousarray(pixels)


def undo_sums(image: Grey) -> Grey:
    """Undo the sums of one round with no mask: what anybody can do, as no key is needed."""
    zero = np.zeros_like(image)
    return np.ascontiguousarray(_undo_sums(_undo_sums(image.T, zero.T).T, zero))


def _sums(pixels: Grey, mask: Grey) -> Grey:
    """Add to every row the two encrypted ones before it and the mask; before the first are the last two."""
    out = np.empty(pixels.shape, np.uint8)
    before, last = pixels[-2], pixels[-1]
    for k, row in enumerate(pixels + mask):
        out[k] = row + last + before
        before, last = last, out[k]
    return out


def _undo_sums(pixels: Grey, mask: Grey) -> Grey:
    """Invert `_sums`, the first two rows at the end: they depend on the last two."""
    out = pixels - mask
    out[2:] -= pixels[1:-1] + pixels[:-2]
    out[1] -= pixels[0] + out[-1]
    out[0] -= out[-1] + out[-2]
    return out


@lru_cache(maxsize=8)
def _schedule(key: HuaJinXuHuang, rows: int, columns: int) -> tuple[tuple[Indices, Grey], ...]:
    """Return for every round which pixel each place receives, and the mask."""
    if min(rows, columns) < 3:
        raise ValueError(f"at least 3 x 3 pixels, not {rows} x {columns}")
    x, y, rounds = key.x, key.y, []
    for factor in key.factors[: key.rounds]:
        orbit = _orbit(x, y, key.theta * factor % 1.0, rows * columns)
        x, y = orbit[-1]
        first, second = (orbit[:, i].reshape(rows, columns) for i in range(2))
        # A level of the mask: the lowest 8 bits of floor(2^32 y), where y may be negative.
        mask = np.floor(second * 2.0**32).astype(np.int64).astype(np.uint8)
        rounds.append((_links(first), mask))
    return tuple(rounds)


def _orbit(x: float, y: float, theta: float, count: int) -> NDArray[np.float64]:
    """Iterate the 2-D logistic-sine coupling map."""
    out = np.empty((count, 2))
    for k in range(count):
        x = sin(pi * (4 * theta * x * (1 - x) + (1 - theta) * sin(pi * y)))
        y = sin(pi * (4 * theta * y * (1 - y) + (1 - theta) * sin(pi * x)))
        out[k] = x, y
    return out


def _links(chaos: NDArray[np.float64]) -> Indices:
    """Return which pixel each place receives: pixels of equal rank in their columns are linked."""
    width = chaos.shape[1]
    ranked = np.argsort(chaos, axis=0)
    order = np.argsort(np.take_along_axis(chaos, ranked, axis=0), axis=1)
    source = np.empty(chaos.size, np.intp)
    here = ranked * width + np.arange(width)
    source[here.ravel()] = np.take_along_axis(here, order, axis=1).ravel()
    return source
