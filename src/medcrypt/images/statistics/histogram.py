"""The histogram of the levels: how uniform it is, and how far encryption has moved it."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from medcrypt.images.statistics.pixels import levels_of, pair_of

__all__ = ["ChiSquare", "Quality", "chi_square", "encryption_quality", "histogram_variance"]


@dataclass(frozen=True)
class ChiSquare:
    """A chi-square statistic and its critical value.

    Parameters
    ----------
    value
        The statistic.
    freedom
        Degrees of freedom.
    critical
        What a uniform image exceeds with probability alpha.
    """

    value: float
    freedom: int
    critical: float

    @property
    def passed(self) -> bool:
        """Whether the statistic is at most the critical value."""
        return self.value <= self.critical


def chi_square(image: npt.ArrayLike, alpha: float = 0.05, bits: int | None = None) -> ChiSquare:
    """Test whether the levels are uniform.

    Parameters
    ----------
    image
        Integer array, ideally of five pixels a level or more.
    alpha
        Level of significance.
    bits
        Depth of the pixels; by default that of the dtype. Beyond 16 bits the upper 16 are tested.

    Returns
    -------
    ChiSquare
        With 2^bits - 1 degrees of freedom; the critical value by Wilson and Hilferty (1931), good to 0.1 % there.

    Raises
    ------
    TypeError, ValueError
        If it holds no integers, is empty, or exceeds the depth.

    Examples
    --------
    >>> import numpy as np
    >>> result = chi_square(np.arange(65536).astype(np.uint8))
    >>> result.value, result.freedom, round(result.critical, 1), result.passed
    (0.0, 255, 293.2, True)
    """
    counts = _counts(image, bits)
    freedom = counts.size - 1
    expected = counts.sum() / counts.size
    value = float(((counts - expected) ** 2).sum() / expected)
    z = NormalDist().inv_cdf(1.0 - alpha)
    critical = freedom * (1.0 - 2.0 / (9.0 * freedom) + z * math.sqrt(2.0 / (9.0 * freedom))) ** 3
    return ChiSquare(value, freedom, critical)


def histogram_variance(image: npt.ArrayLike, bits: int | None = None) -> float:
    """Return the variance of the histogram (Zhang and Wang 2014): the mean square of pairs of differences, halved.

    Parameters
    ----------
    image
        Integer array.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    float
        (1/L^2) sum over i, j of (h_i - h_j)^2/2, which is the variance of the L counts.

    Examples
    --------
    >>> import numpy as np
    >>> histogram_variance(np.array([0, 0, 0, 1], np.uint8), bits=1)
    1.0
    """
    return float(_counts(image, bits).var())


@dataclass(frozen=True)
class Quality:
    """How far encryption has moved the histogram of an image.

    Parameters
    ----------
    maximum_deviation
        Area between the two histograms, in pixels (Ziedan et al. 2003); larger is better.
    irregular_deviation
        Sum of the distances of the histogram of |difference| from its mean (Elkamchouchi and Makar 2005); smaller is
        better.
    uniformity_deviation
        Mean distance of the ciphertext's histogram from the uniform one, as a share of the pixels; smaller is better.
    """

    maximum_deviation: float
    irregular_deviation: float
    uniformity_deviation: float


def encryption_quality(plain: npt.ArrayLike, cipher: npt.ArrayLike, bits: int | None = None) -> Quality:
    """Measure how far encryption has moved the histogram.

    Parameters
    ----------
    plain, cipher
        Integer arrays of one shape and dtype.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    Quality
        Three deviations.

    Examples
    --------
    >>> import numpy as np
    >>> black, random = np.zeros(1024, np.uint8), np.arange(1024).astype(np.uint8)
    >>> encryption_quality(black, random).uniformity_deviation
    0.0
    """
    a, b, _ = pair_of(plain, cipher, bits)
    before, after = _counts(plain, bits), _counts(cipher, bits)
    distance = np.abs(before - after).astype(np.float64)
    maximum = float((distance[0] + distance[-1]) / 2.0 + distance[1:-1].sum())
    change = np.bincount(_binned(np.abs(a - b), before.size), minlength=before.size)
    irregular = float(np.abs(change - change.mean()).sum())
    uniform = float(np.abs(after - after.mean()).sum() / after.sum())
    return Quality(maximum, irregular, uniform)


def _counts(image: npt.ArrayLike, bits: int | None) -> npt.NDArray[np.int64]:
    """Return the number of pixels of every level; of the upper 16 bits of deeper ones."""
    levels, depth = levels_of(image, bits)
    if depth > 16:
        levels = levels >> (depth - 16)
    return np.bincount(levels.ravel(), minlength=1 << min(depth, 16))


def _binned(levels: npt.NDArray[np.int64], bins: int) -> npt.NDArray[np.int64]:
    """Return levels brought into so many bins: deeper images than 16 bits lose their lower bits."""
    excess = max(int(levels.max()).bit_length() - (bins - 1).bit_length(), 0)
    return (levels >> excess).ravel()
