"""Auditing one run of training: canaries that are included by fair coins (Steinke, Nasr and Jagielski 2023).

Many canaries share the run, so their guesses are not independent, and Clopper-Pearson intervals would be wrong. What
holds instead, for an (epsilon, delta)-private training and r guesses on m canaries, is Theorem 5.2 there: the number of
correct guesses is at least v with probability at most

    P[B >= v] + 2 m delta max over i >= 1 of P[v - i <= B < v]/i,    B ~ Bin(r, e^epsilon/(1 + e^epsilon)).
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.dp import noise
from medcrypt.dp.audit.intervals import binomial_tail
from medcrypt.dp.events import _at_least, _natural, _not_negative, _real

__all__ = ["canary_coins", "one_run_epsilon", "one_run_guesses", "one_run_p_value"]


def canary_coins(canaries: int) -> NDArray[np.bool_]:
    """Toss a fair coin for each canary: whether it is put into the training data.

    Parameters
    ----------
    canaries
        How many, >= 1.

    Returns
    -------
    ndarray of bool
        The coins, from the operating system's randomness.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.audit.canary_coins(100).shape
    (100,)
    """
    return noise.bernoulli(0.5, _at_least(1, "canaries", canaries))


def one_run_guesses(scores: ArrayLike, included: ArrayLike, guesses: int) -> int:
    """Guess from scores which canaries were included, and count the right guesses.

    The highest scores are guessed to be included, the lowest to be left out, half and half; the others are not
    guessed.

    Parameters
    ----------
    scores
        For each canary, higher where the model seems to know it; shape (m,).
    included
        The coins; shape (m,).
    guesses
        Number r of guesses, an even number up to m, fixed before looking.

    Returns
    -------
    int
        How many are right.

    Raises
    ------
    ValueError
        If the shapes differ, a score is NaN, or the number of guesses is odd or above m.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.audit.one_run_guesses([0.9, 0.1, 0.8, 0.5], [True, False, False, True], guesses=2)
    2
    """
    values, coins = np.asarray(scores, dtype=np.float64), np.asarray(included, dtype=np.bool_)
    if values.ndim != 1 or values.shape != coins.shape or np.isnan(values).any():
        raise ValueError("scores and included must be of the same shape (m,), and the scores numbers")
    if _natural("guesses", guesses) % 2 or guesses > values.size:
        raise ValueError(f"guesses must be even and at most {values.size}, not {guesses}")
    order, half = np.argsort(values, kind="stable"), guesses // 2
    out, in_ = order[:half], order[values.size - half :]
    return int(np.count_nonzero(coins[in_]) + np.count_nonzero(~coins[out]))


def one_run_p_value(canaries: int, guesses: int, correct: int, epsilon: float, delta: float) -> float:
    """Return the p-value of the hypothesis that one training was (epsilon, delta)-private.

    The relation is adding or removing a canary.

    Parameters
    ----------
    canaries
        Number m of canaries, each included by its own fair coin.
    guesses
        Number r of canaries guessed.
    correct
        Number v of right guesses.
    epsilon, delta
        The hypothesis.

    Returns
    -------
    float
        At most 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, or correct <= guesses <= canaries does not hold.

    Examples
    --------
    >>> from medcrypt import dp
    >>> round(dp.audit.one_run_p_value(1000, 100, 95, epsilon=1.0, delta=1e-5), 7)
    0.0006639
    """
    m, r, v = (
        _natural(n, k) for n, k in (("canaries", canaries), ("guesses", guesses), ("correct", correct))
    )
    if not v <= r <= m:
        raise ValueError(f"{v} correct of {r} guesses on {m} canaries is impossible")
    epsilon, delta = _not_negative("epsilon", epsilon), _not_negative("delta", delta)
    p = 1.0 / (1.0 + math.exp(-epsilon))
    at_least = [binomial_tail(v - i, r, p) for i in range(v + 1)] if delta > 0.0 else [binomial_tail(v, r, p)]
    steepest = max(((tail - at_least[0]) / i for i, tail in enumerate(at_least) if i), default=0.0)
    return min(1.0, at_least[0] + 2.0 * m * delta * steepest)


def one_run_epsilon(
    canaries: int, guesses: int, correct: int, *, delta: float, confidence: float = 0.95
) -> float:
    """Return a lower bound on epsilon at ``delta`` from one run of training.

    Parameters
    ----------
    canaries, guesses, correct
        As for `one_run_p_value`.
    delta
        In [0, 1).
    confidence
        Probability with which the bound holds, in (0, 1).

    Returns
    -------
    float
        The largest epsilon that is rejected, from below; 0 if none is.

    Raises
    ------
    TypeError, ValueError
        As for `one_run_p_value`.

    Examples
    --------
    >>> from medcrypt import dp
    >>> round(dp.audit.one_run_epsilon(1000, 100, 95, delta=1e-5), 4)
    2.1652
    """
    if not 0.0 < _real("confidence", confidence) < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    level = (1.0 - confidence) * (1.0 - 1e-6)

    def rejected(epsilon: float) -> bool:
        return one_run_p_value(canaries, guesses, correct, epsilon, delta) <= level

    if not rejected(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while rejected(high) and high < 1000.0:
        low, high = high, 2.0 * high
    for _ in range(45):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low
