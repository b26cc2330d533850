"""Binomial tails and the exact confidence intervals that follow from them."""

import math

import numpy as np

from medcrypt.dp.events import _natural, _real

__all__ = ["binomial_tail", "clopper_pearson"]

_SAFE = 1e-6  # logs of factorials of 10^7 are good to 1e-9 here


def binomial_tail(successes: int, trials: int, probability: float) -> float:
    """Return P[X >= successes] of a binomial variable, to a relative 1e-8 or an absolute 1e-15.

    Parameters
    ----------
    successes, trials
        Integers; 0 <= trials.
    probability
        Of one success, in [0, 1].

    Returns
    -------
    float
        The probability.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> round(dp.audit.binomial_tail(8, 10, 0.5), 7)
    0.0546875
    """
    trials, probability = _natural("trials", trials), _real("probability", probability)
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability must lie in [0, 1], not {probability}")
    if successes <= 0:
        return 1.0
    if successes > trials:
        return 0.0
    if probability in (0.0, 1.0):
        return probability
    if successes <= trials * probability:
        return max(0.0, 1.0 - _from(trials - successes + 1, trials, 1.0 - probability))
    return _from(successes, trials, probability)


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact two-sided interval for a probability (Clopper and Pearson 1934).

    The trials must be independent: each a fresh run of what is measured. Each end alone is missed with probability at
    most (1 - confidence)/2.

    Parameters
    ----------
    successes, trials
        Integers; 0 <= successes <= trials, trials >= 1.
    confidence
        In (0, 1).

    Returns
    -------
    tuple of float
        Both ends, rounded outward.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> low, high = dp.audit.clopper_pearson(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4439, 0.9748)
    """
    successes, trials = _natural("successes", successes), _natural("trials", trials)
    if not successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes cannot come from {trials} trials")
    if not 0.0 < _real("confidence", confidence) < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    each = 0.5 * (1.0 - confidence)
    return _lower_end(successes, trials, each), 1.0 - _lower_end(trials - successes, trials, each)


def _lower_end(successes: int, trials: int, level: float) -> float:
    """Return p, from below, where P[X >= successes] is the level."""
    if successes == 0:
        return 0.0
    low, high = 0.0, successes / trials
    for _ in range(60):
        middle = 0.5 * (low + high)
        if binomial_tail(successes, trials, middle) <= level * (1.0 - _SAFE):
            low = middle
        else:
            high = middle
    return low


def _from(first: int, trials: int, p: float) -> float:
    """Return P[X >= first] above the mean, where terms fall: each is the one before times a ratio below 1."""
    log_term = (
        math.lgamma(trials + 1)
        - math.lgamma(first + 1)
        - math.lgamma(trials - first + 1)
        + first * math.log(p)
        + (trials - first) * math.log1p(-p)
    )
    odds = p / (1.0 - p)
    total, last, k = 1.0, 1.0, first
    while k < trials and last > 1e-18 * total:
        block = np.arange(k, min(trials, k + 4096), dtype=np.float64)
        terms = last * np.cumprod((trials - block) / (block + 1.0) * odds)
        total += float(terms.sum())
        last, k = float(terms[-1]), k + len(block)
    return min(1.0, math.exp(log_term) * total)
