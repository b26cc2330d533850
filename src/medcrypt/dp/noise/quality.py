"""What is left between the noise drawn and the noise accounted for, as delta."""

import math
from fractions import Fraction

from medcrypt.dp.noise.bessel import LARGEST_VARIANCE, parts_of, skellam_sampler
from medcrypt.dp.noise.gaussian import (
    LARGEST_ROUNDED_SIGMA,
    discrete_gaussian_sampler,
    rounded_gaussian_sampler,
)
from medcrypt.dp.noise.generator import BLOCKS_OF_A_KEY
from medcrypt.dp.noise.laplace import laplace_sampler
from medcrypt.dp.noise.scale import LARGEST_SCALE, exact_parameter

__all__ = ["charge", "distance", "generator_advantage"]

_OMITTED = 2.0**-199  # the weights leave out 2^-200 of the distribution and are rounded, see `exact.Cells`

_UP = 1.0 + 2.0**-50  # more than an exponential and four roundings lose

_SAMPLERS = {
    "rounded_gaussian": ("sigma", LARGEST_ROUNDED_SIGMA, rounded_gaussian_sampler),
    "discrete_gaussian": ("sigma", LARGEST_SCALE, discrete_gaussian_sampler),
    "discrete_laplace": ("scale", LARGEST_SCALE, laplace_sampler),
    "skellam": ("variance", LARGEST_VARIANCE, skellam_sampler),
}


def distance(distribution: str, parameter: float | Fraction) -> float:
    """Bound the distance in total variation between one draw and the stated distribution.

    It counts the thresholds that are rounded to 191 bits and the tail that the tables leave out; the
    randomness counts as uniform, see `generator_advantage`.

    Parameters
    ----------
    distribution
        "rounded_gaussian", "discrete_gaussian", "discrete_laplace" or "skellam".
    parameter
        Its sigma, scale or variance.

    Returns
    -------
    float
        tau, at most 2^-100.

    Raises
    ------
    ValueError, TypeError, OverflowError
        There is no such distribution, or it has no such parameter.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.distance("discrete_gaussian", 100.0) < 2.0**-100
    True
    """
    if distribution not in _SAMPLERS:
        raise ValueError(f"distribution must be one of {', '.join(_SAMPLERS)}, not {distribution!r}")
    name, largest, sampler_of = _SAMPLERS[distribution]
    exact = exact_parameter(name, parameter, largest)
    parts = parts_of(exact) if distribution == "skellam" else 1
    return parts * (sampler_of(exact / parts).distance + _OMITTED)


def charge(epsilon: float, draws: int, distance: float) -> float:
    """Return the delta that the distance of the draws costs: (1 + e^epsilon) N tau.

    A mechanism at distance D in total variation from an (epsilon, delta) private one is
    (epsilon, delta + (1 + e^epsilon) D) private, and N draws at distance tau each are at distance N tau.

    Parameters
    ----------
    epsilon
        Of the statement, not negative.
    draws
        N, of all releases together.
    distance
        tau, from `distance`.

    Returns
    -------
    float
        To be added to delta.

    Raises
    ------
    ValueError
        If an argument is negative or no number.

    Examples
    --------
    >>> from medcrypt import dp
    >>> tau = dp.noise.distance("rounded_gaussian", 1.0)
    >>> dp.noise.charge(epsilon=6.0, draws=2**40, distance=tau) < 1e-30
    True
    """
    if not (epsilon >= 0 and draws >= 0 and distance >= 0):
        raise ValueError("epsilon, draws and distance must not be negative")
    return (1.0 + math.exp(min(epsilon, 700.0))) * draws * distance * _UP


def generator_advantage(draws: int) -> float:
    """Bound how well anybody tells the key streams behind the draws from uniform words, AES being ideal.

    Counter mode never repeats a block, uniform words may: q blocks under one key are told apart with advantage at most
    q^2/2^129 (PRP/PRF switching, Bellare and Rogaway 2006). A key gives at most 2^16 blocks. This term
    is computational: beside it stands the assumption that AES-256 is a pseudorandom permutation, so a delta below
    about 1e-15 is mathematics, and no promise about a sampler.

    Parameters
    ----------
    draws
        Values drawn, at three words of 64 bits and at most two trials each. A Skellam value of a variance above
        2^30 counts as variance / 2^30 of them.

    Returns
    -------
    float
        The advantage.

    Raises
    ------
    ValueError
        If the number is negative.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.generator_advantage(10**6) < 1e-25
    True
    """
    if draws < 0:
        raise ValueError("draws must not be negative")
    keys = 1 + 3 * draws // BLOCKS_OF_A_KEY
    return keys * float(BLOCKS_OF_A_KEY) ** 2 / 2.0**129
