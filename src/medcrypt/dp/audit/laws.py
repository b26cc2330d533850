"""Distribution functions of the integer laws, to about 1e-10: what a sampler is compared with."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.discrete import SkellamLaw

__all__ = ["cumulative"]

_LISTED = (
    2.0**14
)  # standard deviation above which a lattice of steps 1 cannot be told from the normal by 1e-9


def cumulative(distribution: str, parameter: float, k: int) -> float:
    """Return P[X <= k] of a law that `noise` samples.

    Parameters
    ----------
    distribution
        As in `noise.distance`.
    parameter
        Its sigma, scale or variance.
    k
        An integer.

    Returns
    -------
    float
        The probability.
    """
    if distribution == "discrete_laplace":
        ratio = math.exp(-1.0 / parameter)
        return 1.0 - ratio ** (k + 1) / (1.0 + ratio) if k >= 0 else ratio**-k / (1.0 + ratio)
    sigma = math.sqrt(parameter) if distribution == "skellam" else parameter
    if distribution == "rounded_gaussian" or sigma > _LISTED:
        return 0.5 * math.erfc(-(k + 0.5) / sigma / math.sqrt(2.0))
    upto = _table(distribution, parameter)
    reach = (upto.size - 1) // 2
    return float(upto[min(k + reach, 2 * reach)]) if k >= -reach else 0.0


@lru_cache(maxsize=16)
def _table(distribution: str, parameter: float) -> NDArray[np.float64]:
    """Return P[X <= k] for k from -reach to reach."""
    if distribution == "skellam":
        half = np.exp(SkellamLaw.of(parameter, 1).log_pmf)
    else:
        half = np.exp(-0.5 * np.square(np.arange(math.ceil(12.0 * parameter) + 2) / parameter))
    pmf = np.concatenate((half[:0:-1], half))
    return np.asarray(np.cumsum(pmf) / pmf.sum())
