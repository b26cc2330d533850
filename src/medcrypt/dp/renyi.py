"""Rényi divergences: bounds that are cheap, compose by addition, and are never exact.

The Rényi divergence of order a > 1 of a mechanism is D_a = log M(a - 1)/(a - 1), where M(c) = E_P e^(c L) is
the moment of the privacy loss L; here c = a - 1 throughout, and every mechanism is described by an upper
bound on log M(c), in the worse direction. `medcrypt.dp.Accountant` knows most mechanisms better. This module
serves those known by their divergences only, filters, and comparison.

Many mechanisms are symmetric: the loss l has the weight e^(-l) of its opposite. Then

    M(c) - 1 = sum over l > 0 of P[l] e^(-l/2) 4 sinh(c l/2) sinh((1 + c) l/2),

a sum of positive terms, so nothing cancels however small the loss is. All bounds are widened by `_SAFE`
relative, more than all rounding together: sums of positive terms, each with an error below 1e-13.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.discrete import SkellamLaw
from medcrypt.dp.events import (
    ApproximateDP,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    PoissonSampled,
    PureDP,
    RandomizedResponse,
    RenyiCurve,
    SampledWithoutReplacement,
    Skellam,
    ZeroConcentratedDP,
    _not_negative,
    _real,
    mechanisms,
)
from medcrypt.dp.legendre import legendre

__all__ = ["ORDERS", "best_order", "curve", "delta", "divergence", "epsilon"]

_Reals = NDArray[np.float64]

ORDERS: tuple[float, ...] = (
    *(1.0 + k / 16 for k in range(1, 16)),
    *(2.0 + k / 2 for k in range(16)),
    *(float(k) for k in range(10, 65)),
    *(2.0 ** (k / 4) for k in range(25, 81)),
)

_SAFE = 1e-12
_LARGEST_C = 1e9


def divergence(event: Event, order: float) -> float:
    """Return an upper bound on the Rényi divergence of an event, whichever of the neighbours comes first.

    Sources: Mironov 2017 (Gaussian, Laplace, randomised response); Bun and Steinke 2016, Proposition 3.3
    (pure DP); Canonne, Kamath and Steinke 2020, Theorem 4 (discrete Gaussian); Mironov, Talwar and Zhang 2019
    (Poisson sampling; fractional orders by quadrature); Lebeda et al. 2024 (sampling without replacement).

    Parameters
    ----------
    event
        The event.
    order
        Order, > 1.

    Returns
    -------
    float
        The bound, >= 0; infinite for `ApproximateDP` of delta > 0, and above the last order of a `RenyiCurve`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or the order is not above 1.

    Examples
    --------
    >>> from medcrypt import dp
    >>> round(dp.renyi.divergence(dp.Gaussian(2.0), order=8.0), 9)
    1.0
    >>> round(dp.renyi.divergence(dp.PoissonSampled(0.01, dp.Gaussian(1.0)), order=2.5), 9)
    0.000217575
    """
    c = _above_one(order) - 1.0
    return _total(_counted(event), c) / c


def curve(event: Event, orders: Iterable[float] = ORDERS) -> RenyiCurve:
    """Return the Rényi curve of an event, as an event.

    Parameters
    ----------
    event
        The event.
    orders
        Orders above 1, increasing; `ORDERS` by default. Those where no bound is known are left out.

    Returns
    -------
    RenyiCurve
        The curve.

    Raises
    ------
    TypeError, ValueError
        As `divergence`; also if no order is left.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.renyi.curve(dp.ZeroConcentratedDP(0.5), [2.0, 4.0]).orders
    (2.0, 4.0)
    """
    known = [(order, bound) for order in orders if math.isfinite(bound := divergence(event, order))]
    return RenyiCurve(tuple(order for order, _ in known), tuple(bound for _, bound in known))


def epsilon(event: Event, delta: float) -> float:
    """Return an upper bound on epsilon at ``delta`` that Rényi divergences imply.

    Each order gives epsilon = D_a + log((a - 1)/a) - log(a delta)/(a - 1) (Canonne, Kamath and Steinke 2020,
    Proposition 12); the order is optimised over the real numbers, and at the best one the exact conversion of
    Asoodeh et al. 2021, Theorem 2, takes off what is left.

    Parameters
    ----------
    event
        The event, for a history a `Composed`.
    delta
        In (0, 1).

    Returns
    -------
    float
        The bound, >= 0; infinite if nothing finite is known.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> step = dp.PoissonSampled(0.01, dp.Gaussian(1.0))
    >>> 1.8282 < dp.renyi.epsilon(dp.Repeated(step, 1000), 1e-5) < 2.102
    True
    """
    counted, left = _without_atoms(event, _probability(delta))
    if left <= 0.0:
        return math.inf
    log_delta = math.log(left)

    def at(c: float) -> float:
        total, factor = _total(counted, c), _log_factor(c)
        return (total + factor - log_delta + 1e-15 * (abs(factor) + abs(log_delta))) / c

    c = _best(at, counted)
    rough = max(at(c), 0.0)
    return min(rough, _exact_conversion(c, _total(counted, c), left, rough)) * (1.0 + _SAFE)


def best_order(event: Event, delta: float) -> float:
    """Return the order that converts an event best, for a `Filter` that will see much of it.

    Parameters
    ----------
    event
        The event, for instance all that is planned.
    delta
        In (0, 1).

    Returns
    -------
    float
        The order, above 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> round(dp.renyi.best_order(dp.ZeroConcentratedDP(0.1), 1e-6))
    12
    """
    counted, left = _without_atoms(event, _probability(delta))
    if left <= 0.0:
        raise ValueError("what reveals everything takes more than delta: no order converts the event")
    log_delta = math.log(left)
    return 1.0 + _best(lambda c: (_total(counted, c) + _log_factor(c) - log_delta) / c, counted)


def delta(event: Event, epsilon: float) -> float:
    """Return an upper bound on delta at ``epsilon`` that Rényi divergences imply.

    Parameters
    ----------
    event
        The event, for a history a `Composed`.
    epsilon
        >= 0.

    Returns
    -------
    float
        The bound, in (0, 1].

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.renyi.delta(dp.Gaussian(1.0), 4.3772) < 5e-5
    True
    """
    epsilon = _not_negative("epsilon", epsilon)
    counted, _ = _without_atoms(event, 0.5)
    revealed = _revealed(event)

    def at(c: float) -> float:
        total, factor = _total(counted, c), _log_factor(c)
        return total + factor - c * epsilon + 1e-15 * (abs(factor) + c * epsilon)

    c = _best(at, counted)
    rough = min(math.exp(min(at(c), 0.0)), 1.0)
    finite = min(_exact_delta(c, _total(counted, c), epsilon, rough) * (1.0 + _SAFE), 1.0)
    return min(max(revealed + (1.0 - revealed) * finite, 5e-324), 1.0)


def _above_one(order: float) -> float:
    """Check an order."""
    order = _real("order", order)
    if order <= 1.0:
        raise ValueError(f"order must be above 1, not {order}")
    return order


def _probability(delta: float) -> float:
    """Check a delta."""
    delta = _real("delta", delta)
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta must lie in (0, 1), not {delta}")
    return delta


def _counted(event: Event) -> Counter[Event]:
    """Return the mechanisms inside an event and how often they run."""
    if not isinstance(event, Event):
        raise TypeError(f"event must be an Event, not {type(event).__name__}")
    counted: Counter[Event] = Counter()
    for mechanism, count in mechanisms(event):
        counted[mechanism] += count
    return counted


def _revealed(event: Event) -> float:
    """Return an upper bound on the probability that some `ApproximateDP` reveals everything."""
    kept = math.fsum(
        count * math.log1p(-mechanism.delta)
        for mechanism, count in _counted(event).items()
        if isinstance(mechanism, ApproximateDP)
    )
    return min(-math.expm1(kept) * (1.0 + _SAFE), 1.0)


def _without_atoms(event: Event, delta: float) -> tuple[Counter[Event], float]:
    """Return the event with every `ApproximateDP` replaced by its finite part, and the delta left for it.

    delta = 1 - (1 - revealed)(1 - finite delta).
    """
    revealed = _revealed(event)
    finite: Counter[Event] = Counter()
    for mechanism, count in _counted(event).items():
        part = PureDP(mechanism.epsilon) if isinstance(mechanism, ApproximateDP) else mechanism
        finite[part] += count
    if revealed == 0.0:
        return finite, delta
    return finite, (delta - revealed) / (1.0 - revealed) if revealed < 1.0 else 0.0


def _total(counted: Counter[Event], c: float) -> float:
    """Return an upper bound on the log moment of a composition."""
    return math.fsum(count * _log_moment(mechanism, c) for mechanism, count in counted.items()) * (
        1.0 + _SAFE
    )


def _log_moment(mechanism: Event, c: float) -> float:
    """Return an upper bound on log M(c) of one mechanism."""
    if type(mechanism) not in _LOG_MOMENTS:
        raise TypeError(f"no Rényi divergence is known for {type(mechanism).__name__}")
    return _LOG_MOMENTS[type(mechanism)](mechanism, c)


def _symmetric(loss: _Reals, log_middle: _Reals, c: float) -> float:
    """Return log M(c) of a symmetric loss, given its positive values l and log(P[l] e^(-l/2))."""
    positive = loss > 0.0
    loss, log_middle = loss[positive], log_middle[positive]
    if not loss.size:
        return 0.0
    log_terms = log_middle + _log_twice_sinh(0.5 * c * loss) + _log_twice_sinh(0.5 * (1.0 + c) * loss)
    peak = float(np.max(log_terms))
    return float(np.logaddexp(0.0, peak + math.log(float(np.sum(np.exp(log_terms - peak))))))


def _log_twice_sinh(x: _Reals) -> _Reals:
    """Return log(2 sinh x) for x > 0."""
    return np.asarray(x + np.log(-np.expm1(-2.0 * x)))


def _gaussian(mu: float, c: float) -> float:
    """Return log M(c) of Gaussian noise, of the discrete one too (Canonne, Kamath and Steinke 2020, Thm. 4)."""
    return 0.5 * c * (1.0 + c) * mu * mu


def _pure(loss: float, c: float) -> float:
    """Return what pure DP alone implies: D_a <= min(loss, a loss^2/2) (Bun and Steinke 2016, Prop. 3.3)."""
    return c * min(loss, 0.5 * (1.0 + c) * loss * loss)


def _laplace(loss: float, c: float) -> float:
    """Return log M(c) of Laplace (Mironov 2017, Proposition 6), or the bound of its pure DP if that is less.

    Two terms nearly cancel where the loss is tiny; there the bound of pure DP is as good.
    """
    a = 1.0 + c
    shrink = c / (a + c) * -math.expm1(-(a + c) * loss)
    return min(c * loss + math.log1p(-shrink) + 1e-15 * (1.0 + c * loss), _pure(loss, c))


def _discrete_laplace(scale: float, sensitivity: int, c: float) -> float:
    """Return log M(c) of the discrete Laplace: losses (2 k - s)/scale for outputs k = 1 ... s - 1, and +-s/scale."""
    top = sensitivity / scale
    if sensitivity > 1 << 20:
        return _pure(top, c)
    t = math.exp(-1.0 / scale)
    k = np.arange(sensitivity // 2 + 1.0, sensitivity)
    loss = np.append((2.0 * k - sensitivity) / scale, top)
    # P[output k] = (1 - t)/(1 + t) t^(s - k), and P[outputs >= s] = 1/(1 + t).
    log_p = np.append(math.log(-math.expm1(-1.0 / scale)) - (sensitivity - k) / scale, 0.0) - math.log1p(t)
    return min(_symmetric(loss, log_p - 0.5 * loss, c), _pure(top, c))


def _skellam(variance: float, sensitivity: int, c: float) -> float:
    """Return log M(c) of Skellam noise on an integer: a sum over outputs, its tail bounded geometrically."""
    last = (1.0 + c) * sensitivity + 12.0 * math.sqrt(variance) + 60.0
    while last < _MOST_SKELLAM:
        law = SkellamLaw.of(variance, int(last))
        # From the middle between both centres on, the shifted law is the larger.
        outputs = np.arange(sensitivity // 2 + 1, law.last + 1)
        near, far = law.log_pmf[np.abs(outputs - sensitivity)], law.log_pmf[outputs]
        log_moment = _symmetric(near - far, 0.5 * (near + far), c)
        log_tail = law.log_tail_of_moment(sensitivity, c)
        if log_tail < math.log(log_moment) - 40.0:
            return log_moment * (1.0 + _SAFE)
        last *= 2.0
    return math.inf


_MOST_SKELLAM = 200_000.0


def _pure_dp(loss: float, c: float) -> float:
    """Return log M(c) of binary randomised response."""
    return _symmetric(np.array([loss]), np.array([-0.5 * loss - math.log1p(math.exp(-loss))]), c)


def _randomized_response(probability: float, categories: int, c: float) -> float:
    """Return log M(c) of randomised response; the other categories say nothing."""
    other = probability / categories
    loss = math.log1p((1.0 - probability) / other)
    return _symmetric(np.array([loss]), np.array([0.5 * loss + math.log(other)]), c)


def _interpolated(known: RenyiCurve, c: float) -> float:
    """Return a Rényi curve's log moment c D_a: convex in a, and 0 at a = 1, so chords bound it."""
    orders = np.array([1.0, *known.orders])
    moments = np.array(
        [0.0, *((order - 1.0) * e for order, e in zip(known.orders, known.epsilons, strict=True))]
    )
    order = 1.0 + c
    if order > orders[-1]:
        return math.inf
    return float(np.interp(order, orders, moments)) * (1.0 + 4e-16)


def _sampled_ends(sigma: float, q: float, a: float) -> tuple[float, float]:
    """Return X = a + 38 sigma, and a bound on log E[r^a; x > X].

    log r rises by at most 1/sigma^2 for each unit of x, so that from X on the integrand falls at least like
    exp(-38 x/sigma).
    """
    end = a + 38.0 * sigma
    log_r = np.logaddexp(math.log1p(-q), math.log(q) + (2.0 * end - 1.0) / (2.0 * sigma * sigma))
    return end, float(a * log_r) - 0.5 * (end / sigma) ** 2


def _poisson_sampled(sigma: float, q: float, c: float) -> float:
    """Return log M(c) of the Poisson-sampled Gaussian; removing is the worse direction.

    M(c) = E r(x)^a with a = 1 + c, x ~ N(0, sigma^2), r = 1 + u, u = q (exp((2 x - 1)/(2 sigma^2)) - 1)
    (Mironov, Talwar and Zhang 2019, Theorems 4 and 5). E u = 0, so that M(c) - 1 = E[(1 + u)^a - 1 - a u], and
    the integrand is positive. On the line Im x = d, d < pi sigma^2, |r| <= r(Re x) and the weight grows by
    exp(d^2/(2 sigma^2)): the trapezoid rule of step h errs by at most 2 (M + 1 + 2 a) exp(d^2/(2 sigma^2)) /
    (exp(2 pi d/h) - 1), made e^-140 here and charged.
    """
    if q == 0.0:
        return 0.0
    a = 1.0 + c
    plain = _gaussian(1.0 / sigma, c)  # sampling never costs
    if q == 1.0:
        return plain
    d = min(12.0 * sigma, 3.1 * sigma * sigma)
    h = 2.0 * math.pi * d / (140.0 + 0.5 * (d / sigma) ** 2)
    end, log_right = _sampled_ends(sigma, q, a)
    if (end + 38.0 * sigma) / h > _MOST_NODES:
        return plain
    x = h * np.arange(math.floor(-38.0 * sigma / h), math.ceil(end / h) + 1.0)
    log_weight = -0.5 * (x / sigma) ** 2 + math.log(h / (sigma * math.sqrt(2.0 * math.pi)))
    log_terms = log_weight + _log_bend(q, (2.0 * x - 1.0) / (2.0 * sigma * sigma), c)
    log_excess = _log_sum(log_terms)
    log_charged = math.log(2.0) + np.logaddexp(log_excess, math.log(2.0 + 2.0 * a)) - 140.0
    # Below -38 sigma the integrand is at most a q, with probability e^-726.
    log_beyond = np.logaddexp(log_right, math.log(a * q) - 725.0)
    return min(float(np.logaddexp(0.0, _log_sum(np.array([log_excess, log_charged, log_beyond])))), plain)


_MOST_NODES = 100_000


def _log_sum(log_terms: _Reals) -> float:
    """Return the log of a sum of exponentials."""
    peak = float(np.max(log_terms))
    return peak + math.log(float(np.sum(np.exp(log_terms - peak))))


def _log_bend(q: float, y: _Reals, c: float) -> _Reals:
    """Return log((1 + u)^a - 1 - a u), a = 1 + c, for u = q (e^y - 1): positive, and without cancellation.

    Where a |u| is small it is a c u^2 times the integral of (1 - s)(1 + s u)^(a - 2) over s in (0, 1),
    elsewhere r (r^c - 1) - c u.
    """
    a = 1.0 + c
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        u = q * np.expm1(y)
        log_r = np.where(y > 600.0, y + math.log(q), np.log1p(u))
        direct = log_r + np.log(np.expm1(c * log_r) - c * u * np.exp(-log_r))
        direct = np.where(c * log_r > 40.0, a * log_r, direct)
        small = a * np.abs(u) < 0.5
        v = np.where(small, u, 0.0)
        mean = sum(
            weight * (1.0 - s) * np.exp((c - 1.0) * np.log1p(s * v))
            for s, weight in zip(_UNIT_NODES, _UNIT_WEIGHTS, strict=True)
        )
        bent = math.log(a) + math.log(c) + 2.0 * np.log(np.abs(v)) + np.log(mean)
        return np.asarray(np.where(small, bent, direct))


_LEGENDRE_NODES, _LEGENDRE_WEIGHTS = legendre(16)
_UNIT_NODES, _UNIT_WEIGHTS = (0.5 * (_LEGENDRE_NODES + 1.0)).tolist(), (0.5 * _LEGENDRE_WEIGHTS).tolist()


def _sampled_without_replacement(sigma: float, q: float, c: float) -> float:
    """Return log M(c) of one dominating pair of the joined profile, for replacing a record.

    With r(x) as for Poisson sampling, the positive losses are log r(x), x > 1/2, with density r phi, and the
    negative ones mirror them (Zhu, Dong and Wang 2022, Theorem 11; Lebeda et al. 2024). So M(c) - 1 = E[g(r);
    x > 1/2] with g(r) = r^a + r^(1 - a) - r - 1, increasing and convex in r: on a cell g lies below its chord.
    The chord times the density is smooth, and the cells are short: Gauss-Legendre is exact to rounding.
    """
    if q == 0.0:
        return 0.0
    a = 1.0 + c
    plain = _gaussian(1.0 / sigma, c)
    if q == 1.0:
        return plain
    end, log_right = _sampled_ends(sigma, q, a)
    variance = sigma * sigma
    # Cells in e^y - 1, where y = (2 x - 1)/(2 sigma^2).
    log_top, step = np.logaddexp(0.0, (end - 0.5) / variance), min(0.005, 0.1 / a)
    if (log_top + 14.0) / step * len(_UNIT_NODES) > 4 * _MOST_NODES:
        return plain
    log_lift = np.arange(-14.0, log_top + step, step)
    y = np.append(0.0, np.logaddexp(0.0, log_lift))
    log_r = np.append(0.0, np.logaddexp(0.0, log_lift + math.log(q)))
    with np.errstate(divide="ignore"):
        log_g = 0.5 * log_r + _log_twice_sinh(0.5 * c * log_r) + _log_twice_sinh(0.5 * a * log_r)
    width = np.diff(y)
    below = np.exp(log_g[:-1] - log_g[1:])
    log_sums = []
    for s, weight in zip(_UNIT_NODES, _UNIT_WEIGHTS, strict=True):
        x = 0.5 + variance * (y[:-1] + s * width)
        t = np.expm1(s * width) / np.expm1(width)
        log_density = -0.5 * (x / sigma) ** 2 + np.log(width * variance / (sigma * math.sqrt(2.0 * math.pi)))
        log_sums.append(_log_sum(log_density + log_g[1:] + np.log(below * (1.0 - t) + t)) + math.log(weight))
    log_excess = _log_sum(np.array([*log_sums, log_right]))
    return min(float(np.logaddexp(0.0, log_excess)), plain)


_LOG_MOMENTS: dict[type[Event], Callable[[Any, float], float]] = {
    ApproximateDP: lambda event, c: _pure_dp(event.epsilon, c) if event.delta == 0.0 else math.inf,
    DiscreteGaussian: lambda event, c: _gaussian(event.sensitivity / event.sigma, c),
    DiscreteLaplace: lambda event, c: _discrete_laplace(event.scale, event.sensitivity, c),
    Gaussian: lambda event, c: _gaussian(1.0 / event.noise_multiplier, c),
    Laplace: lambda event, c: _laplace(1.0 / event.scale, c),
    PoissonSampled: lambda event, c: _poisson_sampled(event.event.noise_multiplier, event.sampling_rate, c),
    PureDP: lambda event, c: _pure_dp(event.epsilon, c),
    RandomizedResponse: lambda event, c: _randomized_response(event.noise_probability, event.categories, c),
    RenyiCurve: _interpolated,
    SampledWithoutReplacement: lambda event, c: _sampled_without_replacement(
        event.event.noise_multiplier, event.sampling_rate, c
    ),
    Skellam: lambda event, c: _skellam(event.variance, event.sensitivity, c),
    ZeroConcentratedDP: lambda event, c: c * (1.0 + c) * event.rho,
}


def _log_factor(c: float) -> float:
    """Return log of sup over u of (1 - e^-u) e^(-c u) = c^c/(1 + c)^(1 + c), from above."""
    return (-c * math.log1p(1.0 / c) - math.log1p(c)) * (1.0 - 4e-16)


def _best(bound: Callable[[float], float], counted: Counter[Event]) -> float:
    """Return c = order - 1 > 0 near the least of a bound: a walk downhill, then the golden section in log c.

    Both bounds fall and then rise, because log M(c) and log factor are convex in c. Every c gives a valid
    bound, so the search may end anywhere.
    """
    curves = [event for event in counted if isinstance(event, RenyiCurve)]
    largest = min((event.orders[-1] - 1.0 for event in curves), default=_LARGEST_C)
    corners = {order - 1.0 for event in curves for order in event.orders if order - 1.0 < largest}
    survey = sorted({c for k in range(-12, 19) if (c := 10.0 ** (k / 2)) < largest} | corners | {largest})
    # A stated curve need not be convex: then every corner is tried.
    place = _downhill(lambda k: bound(survey[k]), len(survey)) if not curves else None
    if place is None:
        place = min(range(len(survey)), key=lambda k: bound(survey[k]))
    low = math.log(survey[max(place - 1, 0)])
    high = math.log(survey[min(place + 1, len(survey) - 1)])
    best = _golden_section(lambda log_c: bound(math.exp(log_c)), low, high)
    return min(survey[place], math.exp(best), key=bound)


def _downhill(value: Callable[[int], float], size: int) -> int:
    """Return the index of the least of values that fall and then rise, starting in the middle."""
    place = size // 3
    here = value(place)
    for direction in (1, -1):
        while 0 <= place + direction < size and (there := value(place + direction)) < here:
            place, here = place + direction, there
    return place


def _golden_section(value: Callable[[float], float], low: float, high: float) -> float:
    """Return a place near the least of a function that falls and then rises, to 1e-3."""
    golden = 0.5 * (math.sqrt(5.0) - 1.0)
    first, second = high - golden * (high - low), low + golden * (high - low)
    at_first, at_second = value(first), value(second)
    while high - low > 1e-3:
        if at_first <= at_second:
            high, second, at_second = second, first, at_first
            first = high - golden * (high - low)
            at_first = value(first)
        else:
            low, first, at_first = first, second, at_second
            second = low + golden * (high - low)
            at_second = value(second)
    return first if at_first <= at_second else second


def _exact_conversion(c: float, log_moment: float, delta: float, rough: float) -> float:
    """Return the least epsilon that a Rényi divergence of one order implies, from above (Asoodeh et al. 2021).

    Two-point laws are the worst: epsilon is refuted if for every p in [delta, 1], with q = (p - delta)
    e^-epsilon, F(p) = p^a q^-c + (1 - p)^a (1 - q)^-c exceeds M(c). F is convex; its least value is bounded
    from below by the tangents at both ends of a short bracket.
    """
    if not 1e-9 < log_moment < 300.0 or not 0.0 < rough < 300.0 or c > 1e6:
        return rough
    low, high = 0.0, rough
    for _ in range(40):
        middle = 0.5 * (low + high)
        if _log_least_moment(c, delta, middle) > log_moment + 1e-13 * (10.0 + c):
            high = middle
        else:
            low = middle
        if high - low < 1e-9 * high:
            break
    return high


def _exact_delta(c: float, log_moment: float, epsilon: float, rough: float) -> float:
    """Return the least delta that a Rényi divergence of one order implies, from above; as `_exact_conversion`."""
    if not 1e-9 < log_moment < 300.0 or not 1e-280 < rough < 1.0 or not epsilon < 300.0 or c > 1e6:
        return rough
    low, high = math.log(rough) - 20.0, math.log(rough)
    while high - low > 1e-9:
        middle = 0.5 * (low + high)
        if _log_least_moment(c, math.exp(middle), epsilon) > log_moment + 1e-13 * (10.0 + c):
            high = middle
        else:
            low = middle
    return min(math.exp(high), rough)


def _log_least_moment(c: float, delta: float, epsilon: float) -> float:
    """Return a lower bound on log of the least F(p) over p in (delta, 1)."""
    scale = math.exp(-epsilon)

    def tangent(p: float) -> tuple[float, float]:
        """Return log F(p) and F'(p)/F(p)."""
        q = (p - delta) * scale
        first = (1.0 + c) * math.log(p) - c * math.log(q)
        second = (1.0 + c) * math.log1p(-p) - c * math.log1p(-q)
        value = float(np.logaddexp(first, second))
        slope_first = (1.0 + c) / p - c * scale / q
        slope_second = -(1.0 + c) / (1.0 - p) + c * scale / (1.0 - q)
        return value, math.exp(first - value) * slope_first + math.exp(second - value) * slope_second

    low, high = delta * (1.0 + 1e-12), 1.0 - 1e-12
    if tangent(low)[1] > 0.0 or tangent(high)[1] < 0.0:
        return -math.inf
    for _ in range(200):
        middle = math.sqrt(low * high) if high > 4.0 * low else 0.5 * (low + high)
        if tangent(middle)[1] < 0.0:
            low = middle
        else:
            high = middle
        if high - low < 1e-7 * low:
            break
    # Below both tangents: F >= F(low) + F'(low) (high - low).
    value, slope = tangent(low)
    return float(value) + math.log1p(max(slope * (high - low), -0.5)) - 1e-13 * (1.0 + c)
