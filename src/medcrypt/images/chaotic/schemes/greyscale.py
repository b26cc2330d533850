"""What all published schemes have in common: 8-bit greyscale images, keys of real numbers, the logistic map."""

import itertools
import secrets
from collections.abc import Iterator
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Grey", "Indices", "Scheme", "grey", "logistic_orbit", "random_real", "random_start", "skipped"]

Grey: TypeAlias = NDArray[np.uint8]
Indices: TypeAlias = NDArray[np.intp]


class Scheme(Protocol):
    """An image cipher under one key. The key is in the object; equal images give equal ciphertexts."""

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt an 8-bit greyscale image."""

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt what `encrypt` has made."""


def grey(image: ArrayLike) -> Grey:
    """Return an image as rows and columns of bytes, or say why it is none."""
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise TypeError(f"published schemes take uint8 images, not {array.dtype}")
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"an image has rows and columns; this array's shape is {array.shape}")
    return np.ascontiguousarray(array)


def logistic_orbit(x: float, r: float = 4.0) -> Iterator[float]:
    """Iterate x -> r x (1 - x) in double precision, the start left out, and refuse to stand still.

    Starts of 1/2, 3/4 or 0 do with r = 4, which no paper excludes from its keys; schemes that wait for a value would
    wait for ever.
    """
    while True:
        before, x = x, r * x * (1.0 - x)
        if x == before:
            raise ValueError("a weak key: the logistic map stands still at a fixed point")
        yield x


def random_start(low: float, high: float) -> float:
    """Draw a start of the logistic map with r = 4 that does not lead to a fixed point at once.

    In double precision one start in 170 ends at 0 within a million steps. Those that do so within 2^17 are drawn anew,
    one in 5,000; an image of 256 x 256 that takes 400,000 steps still meets one key in 900 that it refuses.
    """
    while True:
        start = x = random_real(low, high)
        for _ in range(1 << 17):
            before, x = x, 4.0 * x * (1.0 - x)
            if x == before:
                break
        else:
            return start


def skipped(orbit: Iterator[float], count: int) -> Iterator[float]:
    """Return the orbit without its first values."""
    return itertools.islice(orbit, count, None)


def random_real(low: float, high: float) -> float:
    """Draw a number between two others, 52 bits of it, from the operating system."""
    return low + (high - low) * (secrets.randbits(52) + 0.5) / 2.0**52
