"""What a privacy curve says about testing: errors of an attacker, and groups of records.

An attacker who decides from the outputs whether a record is there errs in two ways. At level alpha (falsely
"yes" with probability alpha) the other error is at least

    f(alpha) = sup over eps >= 0 of max(1 - delta(eps) - e^eps alpha, e^-eps (1 - delta(eps) - alpha), 0)

(Dong, Roth and Su 2022, Proposition 2.12). Every eps gives a valid bound, and so does a delta from above.

For data sets that differ in k records the chain of k neighbours gives delta_k(k eps) <= delta(eps) (1 + e^eps +
... + e^((k - 1) eps)). Mechanisms of plain noise do better: their sensitivity grows by k.
"""

import math
from collections.abc import Callable

from medcrypt.dp.events import (
    ApproximateDP,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    PureDP,
    Repeated,
    Skellam,
    ZeroConcentratedDP,
)

__all__ = ["chained_epsilon", "least_type_two_error", "of_a_group"]

_Curve = Callable[[float], float]


def least_type_two_error(delta: _Curve, epsilon: _Curve, alpha: float) -> float:
    """Return a lower bound on the type II error of every test of level ``alpha``.

    Parameters
    ----------
    delta, epsilon
        The curve, from above: delta at an epsilon, and epsilon at a delta.
    alpha
        Level in [0, 1].

    Returns
    -------
    float
        The bound in [0, 1 - alpha].

    Examples
    --------
    >>> from medcrypt import dp
    >>> accountant = dp.Accountant().compose(dp.Gaussian(1.0))
    >>> round(least_type_two_error(accountant.delta, accountant.epsilon, 0.05), 6)
    0.740489
    """
    if alpha == 1.0:
        return 0.0

    def near(eps: float) -> float:
        return 1.0 - delta(eps) - math.exp(eps) * alpha

    def far(eps: float) -> float:
        return math.exp(-eps) * (1.0 - delta(eps) - alpha)

    # The first bound is negative from e^eps = 1/alpha on, and falls once delta is lost to rounding; the second
    # falls once delta < (1 - alpha)/2.
    ends = (
        min(-math.log(alpha) if alpha > 0.0 else math.inf, epsilon(1e-17)),
        epsilon(0.5 * (1.0 - alpha)) + 1.0,
    )
    best = max(_largest(bound, end) for bound, end in zip((near, far), ends, strict=True))
    # Four units of 1: the rounding of the differences above.
    return min(max(best - 1e-15, 0.0), 1.0 - alpha)


def _largest(bound: _Curve, end: float) -> float:
    """Return the largest value met while closing in on the top of a function that rises and then falls."""
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    low, high = 0.0, min(end, 700.0)
    best = max(bound(low), bound(high))
    first, second = high - golden * (high - low), low + golden * (high - low)
    at_first, at_second = bound(first), bound(second)
    # At the top the function is flat: 1e-5 in epsilon is about 1e-10 in the value. At 0 its slope is at most 2.
    while high - low > 1e-5 * high + 1e-8:
        best = max(best, at_first, at_second)
        if at_first >= at_second:
            high, second, at_second = second, first, at_first
            first = high - golden * (high - low)
            at_first = bound(first)
        else:
            low, first, at_first = first, second, at_second
            second = low + golden * (high - low)
            at_second = bound(second)
    return max(best, at_first, at_second)


def of_a_group(event: Event, size: int) -> Event | None:
    """Return the event that a mechanism is for groups of records, or None where no event says it.

    Noise of unchanged law on ``size`` times the sensitivity; size^2 times rho (Bun and Steinke 2016,
    Proposition 1.9); size times a pure epsilon, and (size eps, delta (e^(size eps) - 1)/(e^eps - 1)).

    Parameters
    ----------
    event
        The event.
    size
        Number of records in a group; >= 1.

    Returns
    -------
    Event or None
        The event, for neighbours that differ in up to ``size`` records.

    Examples
    --------
    >>> from medcrypt import dp
    >>> of_a_group(dp.Repeated(dp.PureDP(0.5), 10), 2)
    Repeated(event=PureDP(epsilon=1.0000000000000004), count=10)
    >>> of_a_group(dp.PoissonSampled(0.01, dp.Gaussian(6.0)), 3)
    """
    grown: Event | None = None
    match event:
        case Gaussian(scale) | Laplace(scale):
            grown = type(event)(_down(scale / size))
        case DiscreteGaussian(spread, sensitivity) | DiscreteLaplace(spread, sensitivity):
            grown = type(event)(spread, sensitivity * size)
        case Skellam(variance, sensitivity):
            grown = Skellam(variance, sensitivity * size)
        case PureDP(epsilon):
            grown = PureDP(_up(epsilon * size))
        case ZeroConcentratedDP(rho):
            grown = ZeroConcentratedDP(_up(rho * size * size))
        case ApproximateDP(epsilon, delta) if delta * _chain(epsilon, size) < 1.0:
            grown = ApproximateDP(_up(epsilon * size), _up(delta * _chain(epsilon, size)))
        case Composed(events):
            parts = tuple(part for event in events if (part := of_a_group(event, size)) is not None)
            grown = Composed(parts) if len(parts) == len(events) else None
        case Repeated(inner, count):
            part = of_a_group(inner, size)
            grown = Repeated(part, count) if part is not None else None
    return event if size == 1 else grown


def chained_epsilon(delta: _Curve, epsilon: _Curve, size: int, target: float) -> float:
    """Return an epsilon for groups of ``size`` at delta ``target``, from the curve for single records.

    Parameters
    ----------
    delta, epsilon
        The curve, from above.
    size
        Number of records in a group; >= 1.
    target
        Delta for groups, in (0, 1).

    Returns
    -------
    float
        ``size`` times an eps with delta(eps) (e^(size eps) - 1)/(e^eps - 1) <= target; infinite if none is found.

    Examples
    --------
    >>> from medcrypt import dp
    >>> accountant = dp.Accountant().compose(dp.PoissonSampled(0.01, dp.Gaussian(1.0)), 100)
    >>> round(chained_epsilon(accountant.delta, accountant.epsilon, 2, 1e-5), 2)
    1.67
    """
    single = epsilon(target / size)
    for _ in range(100):
        if not math.isfinite(single) or single * size > 700.0:
            return math.inf
        if delta(single) * _chain(single, size) <= target:
            return _up(single * size)
        # The least fixed point is approached from below; a step past it ends the search.
        single = epsilon(target / _chain(single, size)) * (1.0 + 1e-9) + 1e-15
    return math.inf


def _chain(epsilon: float, size: int) -> float:
    """Return 1 + e^eps + ... + e^((size - 1) eps), from above."""
    if epsilon == 0.0:
        return float(size)
    if epsilon * size > 700.0:
        return math.inf
    return math.expm1(epsilon * size) / math.expm1(epsilon) * (1.0 + 1e-14 * (1.0 + epsilon * size))


def _up(value: float) -> float:
    """Return a bound from above on a product of two or three factors that was rounded to nearest."""
    return value * (1.0 + 4e-16)


def _down(value: float) -> float:
    """Return a bound from below on a quotient that was rounded to nearest."""
    return value * (1.0 - 4e-16)
