"""The attacker's view: a device that encrypts what it is given, and a measure of what came of it."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Grey", "Oracle", "chance", "recovered"]

Grey: TypeAlias = NDArray[np.uint8]


class Oracle:
    """A device that encrypts 8-bit images of one shape under a key that it does not show.

    Parameters
    ----------
    encrypt
        What the device does.
    shape
        Rows and columns of its images.

    Examples
    --------
    >>> import numpy as np
    >>> oracle = Oracle(lambda image: image ^ 0x5A, (2, 2))
    >>> oracle(np.zeros((2, 2), np.uint8)), oracle.images
    (array([[90, 90],
           [90, 90]], dtype=uint8), 1)
    """

    def __init__(self, encrypt: Callable[[Grey], Grey], shape: tuple[int, int]) -> None:
        self._encrypt = encrypt
        self._shape = shape
        self._images = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self._shape

    @property
    def images(self) -> int:
        """How many images the device has encrypted so far."""
        return self._images

    def __call__(self, image: ArrayLike) -> Grey:
        """Encrypt one image."""
        pixels = np.asarray(image, np.uint8).reshape(self._shape)
        self._images += 1
        return np.asarray(self._encrypt(pixels), np.uint8).reshape(self._shape)


def recovered(image: ArrayLike, guess: ArrayLike) -> int:
    """Return how many pixels of a guess are right.

    Examples
    --------
    >>> recovered([1, 2, 3], [1, 0, 3])
    2
    """
    return int(np.count_nonzero(np.asarray(image) == np.asarray(guess)))


def chance(pixels: int, alpha: float = 1e-9, levels: int = 256) -> int:
    """Return how many pixels a blind guess gets right at most, but for a probability alpha.

    Parameters
    ----------
    pixels
        How many are guessed.
    alpha
        Probability that a guess exceeds the result.
    levels
        Of a pixel, all equally likely and independent.

    Returns
    -------
    int
        The smallest t with P(X > t) <= alpha for a binomial X, in exact arithmetic.

    Examples
    --------
    >>> chance(4096), chance(4096, alpha=0.05)
    (45, 23)
    """
    if pixels < 1 or levels < 2 or not 0.0 < alpha < 1.0:
        raise ValueError("pixels and levels are positive, alpha is between 0 and 1")
    numerator, denominator = alpha.as_integer_ratio()
    bound = numerator * levels**pixels  # alpha, in units of 1/(denominator levels^pixels)
    ways, above = (levels - 1) ** pixels, levels**pixels  # of t right pixels; of t or more
    for right in range(pixels + 1):
        above -= ways
        if above * denominator <= bound:
            return right
        ways = ways * (pixels - right) // ((right + 1) * (levels - 1))
    return pixels
