"""Chen, Mao and Chui 2004: a cat map in three dimensions, then a chain of XOR and addition."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.images.chaotic.schemes.greyscale import Grey, Indices, grey, logistic_orbit, random_start

__all__ = ["ChenMaoChui"]


@dataclass(frozen=True, repr=False)
class ChenMaoChui:
    """The most cited of the family. **Insecure**.

    G. Chen, Y. Mao, C. K. Chui, "A symmetric image encryption scheme based on 3D chaotic cat maps", Chaos, Solitons and
    Fractals 21 (2004) 749-761. The pixels are piled into cubes, each is permuted by the cat map, and
    c_k = phi_k XOR (v_k + phi_k mod 256) XOR c_{k-1} with phi from the logistic map between 0.2 and 0.8.

    Left open there and chosen here: the six parameters, the logistic start and the first byte are the key as they are
    (the paper draws them from Chen's attractor); the cubes are the largest that fit, one after the other, and up to
    seven pixels stay in place; phi = floor(256 (x - 0.2)/0.6); one round. Broken by Wang, Pei, Zou, Song and He 2005.

    Parameters
    ----------
    a, b
        Three control parameters each.
    x
        Start of the logistic map, between 0 and 1.
    start
        The byte before the first pixel.
    rounds
        Of permutation and chain, all alike.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(70, dtype=np.uint8).reshape(7, 10)
    >>> cipher = ChenMaoChui((1, 2, 3), (4, 5, 6), 0.3, start=7)
    >>> np.array_equal(cipher.decrypt(cipher.encrypt(image)), image)
    True
    """

    a: tuple[int, int, int]
    b: tuple[int, int, int]
    x: float
    start: int
    rounds: int = 1

    @classmethod
    def random(cls, rounds: int = 1) -> "ChenMaoChui":
        """Draw a key."""
        p = [secrets.randbelow(256) for _ in range(6)]
        x, start = random_start(0.2, 0.8), secrets.randbelow(256)
        return cls((p[0], p[1], p[2]), (p[3], p[4], p[5]), x, start, rounds)

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt an image of any shape."""
        pixels = grey(image)
        source, phi = _source(self.a, self.b, pixels.size), _phi(self.x, pixels.size)
        flat = pixels.ravel()
        for _ in range(self.rounds):
            flat = np.bitwise_xor.accumulate(phi ^ (flat[source] + phi)) ^ np.uint8(self.start)
        return flat.reshape(pixels.shape)

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt an image of any shape."""
        pixels = grey(image)
        source, phi = _source(self.a, self.b, pixels.size), _phi(self.x, pixels.size)
        flat = pixels.ravel()
        for _ in range(self.rounds):
            before = np.concatenate([np.array([self.start], np.uint8), flat[:-1]])
            unmixed = (flat ^ before ^ phi) - phi
            flat = np.empty_like(unmixed)
            flat[source] = unmixed
        return flat.reshape(pixels.shape)


def _matrix(a: Sequence[int], b: Sequence[int]) -> list[list[int]]:
    """Return the map's matrix: a planar cat map about each of the three axes in turn. Its determinant is 1."""
    (ax, ay, az), (bx, by, bz) = a, b
    about_z = [[1, az, 0], [bz, az * bz + 1, 0], [0, 0, 1]]
    about_x = [[1, 0, 0], [0, 1, ax], [0, bx, ax * bx + 1]]
    about_y = [[1, 0, ay], [0, 1, 0], [by, 0, ay * by + 1]]
    return _product(_product(about_z, about_x), about_y)


def _product(left: list[list[int]], right: list[list[int]]) -> list[list[int]]:
    """Multiply in Python's integers, which do not overflow."""
    return [
        [sum(x * y for x, y in zip(row, col, strict=True)) for col in zip(*right, strict=True)]
        for row in left
    ]


@lru_cache(maxsize=8)
def _source(a: tuple[int, ...], b: tuple[int, ...], size: int) -> Indices:
    """Return which pixel each place receives: cube after cube, as large as fits."""
    source = np.arange(size)
    matrix, first = _matrix(a, b), 0
    while size - first >= 8:
        side = round((size - first) ** (1 / 3))
        side -= side**3 > size - first
        x, y, z = np.unravel_index(np.arange(side**3), (side, side, side))
        p, q, r = ((row[0] % side * x + row[1] % side * y + row[2] % side * z) % side for row in matrix)
        source[first + (p * side + q) * side + r] = first + np.arange(side**3)
        first += side**3
    return source


@lru_cache(maxsize=8)
def _phi(x: float, count: int) -> Grey:
    """Return the bytes of the logistic map that lie between 0.2 and 0.8."""
    values, orbit = np.empty(count), logistic_orbit(x)
    inside = (value for value in orbit if 0.2 < value < 0.8)
    for k in range(count):
        values[k] = next(inside)
    return np.minimum(np.floor(256 * (values - 0.2) / 0.6), 255).astype(np.uint8)
