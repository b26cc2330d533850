"""Shannon entropy of the levels, globally and in random blocks."""

import math
import operator
import secrets
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.images.statistics.pixels import levels_of

__all__ = ["LocalEntropy", "entropy", "local_entropy"]


def entropy(image: npt.ArrayLike, bits: int | None = None) -> float:
    """Return the Shannon entropy of the distribution of the levels.

    Parameters
    ----------
    image
        Integer array.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    float
        Bits a pixel, at most the depth; an image with fewer pixels than levels stays below it whatever it shows.

    Raises
    ------
    TypeError, ValueError
        If it holds no integers, is empty, or exceeds the depth.

    Examples
    --------
    >>> import numpy as np
    >>> entropy(np.array([0, 1, 2, 3], np.uint8))
    2.0
    """
    return _of_levels(levels_of(image, bits)[0].ravel())


@dataclass(frozen=True)
class LocalEntropy:
    """The mean entropy of random blocks, and where that of a uniform image lies.

    Parameters
    ----------
    value
        Mean of the blocks' entropies.
    low, high
        Range that a uniform image is in with probability 1 - alpha.
    """

    value: float
    low: float
    high: float

    @property
    def passed(self) -> bool:
        """Whether the value is in the range."""
        return self.low <= self.value <= self.high


def local_entropy(
    image: npt.ArrayLike,
    blocks: SupportsIndex = 30,
    pixels: SupportsIndex = 1936,
    alpha: float = 0.05,
    bits: int | None = None,
) -> LocalEntropy:
    """Measure the local Shannon entropy (Wu et al. 2013): the mean over random blocks that do not overlap.

    The range is not the one that the paper prints for 8 bits, 7.9019 to 7.9030: that is too narrow by the square
    root of the number of blocks, and of truly uniform images three in four miss it.

    Parameters
    ----------
    image
        Integer array with at least blocks times pixels elements.
    blocks, pixels
        How many blocks, of how many pixels each: 30 of 1936 in the paper. A block is a run in C order.
    alpha
        Level of significance.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    LocalEntropy
        With the range for uniform pixels, computed from the exact mean and variance of a block's entropy.

    Raises
    ------
    TypeError, ValueError
        If the image is no integer array, too small, or exceeds the depth.

    Examples
    --------
    >>> import numpy as np
    >>> measured = local_entropy(np.zeros((300, 300), np.uint8))
    >>> measured.value, round(measured.low, 4), round(measured.high, 4), measured.passed
    (0.0, 7.8994, 7.9056, False)
    """
    levels, depth = levels_of(image, bits)
    count, size = operator.index(blocks), operator.index(pixels)
    if count < 1 or size < 2 or not 0.0 < alpha < 1.0:
        raise ValueError("blocks, pixels or alpha out of range")
    if levels.size < count * size:
        raise ValueError(f"the image has fewer than {count} x {size} pixels")
    flat = levels.ravel()
    starts = secrets.SystemRandom().sample(range(flat.size // size), count)
    value = math.fsum(_of_levels(flat[size * start : size * (start + 1)]) for start in starts) / count
    mean, variance = _moments(size, depth)
    reach = -NormalDist().inv_cdf(alpha / 2) * math.sqrt(variance / count)
    return LocalEntropy(value, mean - reach, mean + reach)


def _of_levels(levels: npt.NDArray[np.int64]) -> float:
    """Return the entropy of the distribution of some levels."""
    if levels.max() < 1 << 16:
        counts = np.bincount(levels)
        counts = counts[counts > 0]
    else:
        counts = np.unique(levels, return_counts=True)[1]
    shares = counts / levels.size
    return abs(float(-(shares * np.log2(shares)).sum()))


@lru_cache(maxsize=32)
def _moments(size: int, depth: int) -> tuple[float, float]:
    """Return mean and variance of the entropy of so many uniform pixels.

    H = log2 n - (1/n) sum over levels of g(N), g(k) = k log2 k, with N multinomial of n trials and L equal cells. The
    moments need E g(N_1), E g(N_1)^2 and E g(N_1) g(N_2); N_2 given N_1 = k is binomial of n - k trials, 1/(L - 1).
    """
    levels = 1 << depth
    outer = _binomial(size, 1.0 / levels)
    weights = np.arange(size + 1) * np.log2(np.maximum(np.arange(size + 1), 1))
    first = float(outer @ weights)
    second = float(outer @ weights**2)
    product = 0.0
    for k in np.flatnonzero(outer > 1e-18).tolist():
        if weights[k]:
            product += float(
                outer[k] * weights[k] * (_binomial(size - k, 1.0 / (levels - 1)) @ weights[: size - k + 1])
            )
    mean = math.log2(size) - levels * first / size
    variance = (levels * second + levels * (levels - 1) * product - (levels * first) ** 2) / size**2
    return mean, max(variance, 0.0)


def _binomial(trials: int, p: float) -> npt.NDArray[np.float64]:
    """Return the probabilities of 0 ... trials successes."""
    if p >= 1.0:
        return np.append(np.zeros(trials), 1.0)
    k = np.arange(trials + 1)
    ratios = np.log((trials - k[:-1]) / (k[:-1] + 1.0)) + math.log(p) - math.log1p(-p)
    return np.asarray(np.exp(trials * math.log1p(-p) + np.concatenate(([0.0], np.cumsum(ratios)))))
