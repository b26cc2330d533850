"""Losses that live on points: discrete noise, randomised response, and what is known by (epsilon, delta) only.

Noise added to one integer of sensitivity s has the output laws p(k) and p(k - s). All three laws here are
symmetric and log-concave, so p(k - d)/p(k) rises with k, every worst set of outputs is a half line, and the
largest shift d = s is the worst: one pair dominates (also for shifts in the other direction, by symmetry).
With n the noise, its loss is L(n) = log p(n) - log p(n + s):

* discrete Gaussian:    L(n) = s (2 n + s)/(2 sigma^2), a lattice;
* discrete Laplace:     L(n) = (|n + s| - |n|)/scale, s + 1 points, a lattice;
* Skellam of variance v, p(n) = e^-v I_n(v) with modified Bessel functions: the ratios r_n = I_(n+1)/I_n
  follow r_(n-1) = 1/(2 n/v + r_n), which damps errors going down, and L(n) = -(log r_n + ... + log
  r_(n+s-1)).
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.events import (
    ApproximateDP,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    PureDP,
    RandomizedResponse,
    Skellam,
)

__all__ = ["DiscreteLoss", "SkellamLaw", "discrete_loss"]

_Reals = NDArray[np.float64]

# More points than this are refused: the noise is so wide that the Gaussian describes it.
_LEAST_VARIANCE = 1e-290  # of Skellam noise: ratios of its masses still are doubles
_MOST_POINTS = 1 << 22


@dataclass(frozen=True, eq=False)
class DiscreteLoss:
    """A loss on points, in one direction.

    It promises: under P the loss equals ``losses[j]``, up to ``loss_error`` absolute, with the mass
    exp(log_masses[j]), up to the factor 1 +- ``mass_error``; it is infinite with mass ``infinity``, exactly;
    and what the list leaves out has a mass of at most ``missing``. A list from below may have given up mass: a loss
    of minus infinity with mass ``given_up``, which adds to no delta. All masses together make one: the points',
    ``infinity``, ``given_up`` and what is missing.

    Parameters
    ----------
    losses
        Points, finite, one-dimensional.
    log_masses
        Logarithms of their masses under P, of the same shape.
    infinity, missing
        Mass at infinity, and a bound on the mass left out.
    spacing
        Distance of the lattice that holds all points, or None.
    mass_error, loss_error
        Relative error of each mass, absolute error of each point.
    given_up
        Mass at minus infinity, as exact as the masses.
    """

    losses: _Reals
    log_masses: _Reals
    infinity: float = 0.0
    missing: float = 0.0
    spacing: float | None = None
    mass_error: float = 1e-14
    loss_error: float = 0.0
    given_up: float = 0.0


def discrete_loss(event: Event, log_missing: float) -> DiscreteLoss | None:
    """Return the loss of a mechanism on points; it is the same for both directions.

    Parameters
    ----------
    event
        A `DiscreteGaussian`, `DiscreteLaplace`, `Skellam`, `RandomizedResponse`, `PureDP` or `ApproximateDP`.
    log_missing
        Log of the mass under P that may be left out.

    Returns
    -------
    DiscreteLoss or None
        None where nothing depends on the data.

    Raises
    ------
    ValueError
        If the loss needs more than four million points.
    TypeError
        If the event has no such loss.

    Examples
    --------
    >>> from medcrypt import dp
    >>> discrete_loss(dp.PureDP(0.5), log_missing=-60.0).losses
    array([ 0.5, -0.5])
    """
    match event:
        case DiscreteGaussian(sigma, sensitivity):
            return _discrete_gaussian(sigma, sensitivity, log_missing)
        case DiscreteLaplace(scale, sensitivity):
            return _discrete_laplace(scale, sensitivity, log_missing)
        case Skellam(variance, sensitivity):
            return _skellam(variance, sensitivity, log_missing)
        case PureDP(epsilon):
            return _binary(epsilon, 0.0)
        case ApproximateDP(epsilon, delta):
            return _binary(epsilon, delta)
        case RandomizedResponse(probability, categories):
            return _randomized_response(probability, categories)
    raise TypeError(f"the loss of {type(event).__name__} is not on points")


def _affordable(points: float, event: str) -> int:
    """Return a number of points, or refuse."""
    if points > _MOST_POINTS:
        raise ValueError(f"{event} this wide needs more than {_MOST_POINTS} points")
    return int(points)


def _binary(epsilon: float, delta: float) -> DiscreteLoss | None:
    """Return the worst mechanism of (epsilon, delta)-DP: +-epsilon, and everything revealed with delta."""
    if epsilon == 0.0 and delta == 0.0:
        return None
    log_low = math.log1p(-delta) - (epsilon + math.log1p(math.exp(-epsilon)))
    return DiscreteLoss(
        np.array([epsilon, -epsilon]),
        np.array([log_low + epsilon, log_low]),
        infinity=delta,
        spacing=2.0 * epsilon if epsilon > 0.0 else None,
        mass_error=1e-15 * (4.0 + epsilon),
    )


def _randomized_response(probability: float, categories: int) -> DiscreteLoss | None:
    """Return the loss of one answer: the true category, the neighbour's, or another."""
    other = probability / categories
    loss = math.log1p((1.0 - probability) / other)
    if loss == 0.0:
        return None
    masses = [(1.0 - probability) + other, other, other * (categories - 2)]
    points = 3 if categories > 2 else 2
    return DiscreteLoss(
        np.array([loss, -loss, 0.0][:points]),
        np.log(masses[:points]),
        spacing=loss if categories > 2 else 2.0 * loss,
        mass_error=1e-15 * (4.0 + abs(math.log(other))),
        loss_error=1e-15 * loss,
    )


def _discrete_gaussian(sigma: float, sensitivity: int, log_missing: float) -> DiscreteLoss:
    """Return the loss of the discrete Gaussian, cut where the tails are below the mass that may be left out."""
    variance = sigma * sigma
    # P[n >= m] <= exp(-m^2/(2 sigma^2))/(1 - exp(-m/sigma^2)), as the terms fall at least geometrically.
    last = _affordable(sigma * math.sqrt(2.0 * max(-log_missing, 1.0)) + 3.0, "discrete Gaussian noise")
    while (log_tail := _log_gaussian_tail(last + 1, variance)) > log_missing:
        last = _affordable(1.1 * last + 1.0, "discrete Gaussian noise")
    noise = np.arange(-last, last + 1.0)
    height = -0.5 * (noise / sigma) ** 2
    step = sensitivity / variance
    losses = step * (noise + 0.5 * sensitivity)
    return DiscreteLoss(
        losses,
        height - math.log(_theta(sigma)),
        missing=max(math.exp(log_tail), 5e-324),
        spacing=step,
        mass_error=1e-15 * (8.0 - float(height[0])),
        loss_error=1e-15 * float(losses[-1]),
    )


def _log_gaussian_tail(first: int, variance: float) -> float:
    """Return a bound on log P[|n| >= first] of the discrete Gaussian, normalised by at least 1."""
    falls = -math.expm1(-first / variance)
    return math.log(2.0) - 0.5 * first * first / variance - math.log(falls)


def _theta(sigma: float) -> float:
    """Return sum over k of exp(-k^2/(2 sigma^2)), by Poisson's summation where that is the shorter one."""
    if sigma > 1.0:
        rest = math.fsum(2.0 * math.exp(-2.0 * (math.pi * sigma * k) ** 2) for k in (1, 2, 3))
        return sigma * math.sqrt(2.0 * math.pi) * (1.0 + rest)
    return 1.0 + math.fsum(2.0 * math.exp(-0.5 * (k / sigma) ** 2) for k in range(1, 12))


def _discrete_laplace(scale: float, sensitivity: int, log_missing: float) -> DiscreteLoss:
    """Return the loss of the discrete Laplace; outputs beyond both centres share one point each."""
    rate = 1.0 / scale
    # Noise -j for j = 1 ... s - 1 has the mass (1 - t)/(1 + t) t^j with t = e^-rate; P[n <= -j] = t^j/(1 + t).
    inner = min(float(sensitivity - 1), math.ceil(max(-log_missing, 1.0) * scale))
    j = np.arange(1.0, _affordable(inner, "discrete Laplace noise") + 1.0)
    log_norm = math.log1p(math.exp(-rate))
    losses = np.concatenate(([sensitivity], sensitivity - 2.0 * j)) * rate
    log_masses = np.concatenate(([0.0], math.log(-math.expm1(-rate)) - j * rate)) - log_norm
    after = (j.size + 1.0) * rate
    missing = max(math.exp(-after - log_norm) * (1.0 + 1e-12), 5e-324)
    if j.size == sensitivity - 1:
        losses = np.append(losses, -sensitivity * rate)
        log_masses, missing = np.append(log_masses, -sensitivity * rate - log_norm), 0.0
    return DiscreteLoss(
        losses,
        log_masses,
        missing=missing,
        spacing=2.0 * rate,
        mass_error=1e-15 * (8.0 - float(log_masses.min())),
        loss_error=1e-15 * sensitivity * rate,
    )


def _skellam(variance: float, sensitivity: int, log_missing: float) -> DiscreteLoss:
    """Return the loss of Skellam noise, cut where the tails are below the mass that may be left out."""
    if variance < _LEAST_VARIANCE:
        raise ValueError(f"a variance below {_LEAST_VARIANCE:g} is not accounted for: {variance}")
    last = math.sqrt(2.0 * variance * max(-log_missing, 1.0)) + 8.0
    while True:
        cut = _affordable(last, "Skellam noise")
        law = SkellamLaw.of(variance, cut + sensitivity)
        log_tail = math.log(2.0) + law.log_tail(cut + 1)
        if log_tail <= log_missing:
            break
        last *= 1.2
    noise = np.arange(-cut, cut + 1)
    losses = law.log_pmf[np.abs(noise)] - law.log_pmf[np.abs(noise + sensitivity)]
    reach = float(-law.log_pmf[-1])
    return DiscreteLoss(
        losses,
        law.log_pmf[np.abs(noise)],
        missing=max(math.exp(log_tail), 5e-324),
        mass_error=1e-15 * (8.0 + reach),
        loss_error=1e-15 * (8.0 + reach),
    )


def _running_sum(terms: _Reals, rests: _Reals) -> _Reals:
    """Return the running sums of terms + rests, the latter tiny: as good as the terms, however many they are.

    Terms are split such that the running sums of their upper parts are exact.
    """
    unit = 2.0 ** (math.frexp(float(np.abs(terms).sum()))[1] - 52)
    upper = np.rint(terms / unit) * unit
    return np.asarray(np.cumsum(upper) + np.cumsum((terms - upper) + rests))


@dataclass(frozen=True, eq=False)
class SkellamLaw:
    """The symmetric Skellam law: log P[n] for n = 0 ... last, each to a few units in the last place.

    Parameters
    ----------
    variance
        Variance v.
    log_pmf
        log P[n]; P is symmetric.
    """

    variance: float
    log_pmf: _Reals

    @classmethod
    def of(cls, variance: float, last: int) -> "SkellamLaw":
        """Return the law up to ``last``, extended as far as its normalisation needs."""
        v = variance
        # From here on the terms are below e^-90 of the first, and fall at least geometrically.
        needed = _affordable(max(float(last), 14.0 * math.sqrt(v) + 60.0), "Skellam noise")
        ratios, rests = cls._ratios(v, needed)
        log_terms = np.concatenate(([0.0], _running_sum(np.log(ratios), rests / ratios)))
        log_total = math.log1p(2.0 * math.fsum(np.exp(log_terms[1:]).tolist()))
        return cls(v, log_terms - log_total)

    @staticmethod
    def _ratios(v: float, count: int) -> tuple[_Reals, _Reals]:
        """Return r_0 ... r_(count - 1), by the downward recurrence in fixed point, as doubles and what they lack.

        It starts 8 sqrt(v) + 40 steps above, between Amos' bounds; each step down multiplies the relative
        error by r_n r_(n-1) < 1, so that nothing is left of it. The least ratio, about v/(2 n), has 100 bits.
        """
        exact = Fraction(v)
        top = count + int(8.0 * math.sqrt(v)) + 40
        bits = 100 + max(0, (2 * top * exact.denominator // exact.numerator).bit_length())
        one = 1 << bits
        double, divisor = exact.denominator << (bits + 1), exact.numerator
        ratio = int(v / (top + 0.5 + math.hypot(v, top + 0.5)) * 2.0**60) << (bits - 60)
        ratios, rests = np.empty(count), np.empty(count)
        square = one << bits
        for n in range(top, 0, -1):
            ratio = square // (n * double // divisor + ratio)
            if n <= count:
                nearest = ratio / one
                over, under = nearest.as_integer_ratio()
                ratios[n - 1], rests[n - 1] = nearest, (ratio - (over << bits) // under) / one
        return ratios, rests

    @property
    def last(self) -> int:
        """The last integer that the list holds."""
        return self.log_pmf.size - 1

    def log_tail(self, first: int) -> float:
        """Return a bound on log P[n >= first]; ``first`` is within the list.

        r_k <= v/(k + 1/2 + sqrt(v^2 + (k + 1/2)^2)) (Amos 1974), which falls with k: the terms fall at least
        geometrically.
        """
        fall = self.variance / (first + 0.5 + math.hypot(self.variance, first + 0.5))
        return float(self.log_pmf[first]) - math.log1p(-fall)

    def log_tail_of_moment(self, sensitivity: int, c: float) -> float:
        """Return a bound on the log of the sum of p(k - s)^(1 + c) p(k)^-c over k > last; infinite if unknown.

        The ratio of neighbouring terms is r_(k - s)^(1 + c)/r_k^c, at most U(k - s)^(1 + c)/V(k)^c with Amos'
        bounds U above and V(k) = v/(k + 1/2 + sqrt(v^2 + (k + 3/2)^2)) below. For k >= c this falls with k: by
        its derivative, since 1/sqrt(v^2 + (k - s + 1/2)^2) >= 1/sqrt(v^2 + (k + 3/2)^2).
        """
        k, v = self.last, self.variance
        if k < max(c, sensitivity):
            return math.inf
        upper = math.asinh((k - sensitivity + 0.5) / v)
        lower = math.log((k + 0.5 + math.hypot(v, k + 1.5)) / v)
        log_ratio = c * lower - (1.0 + c) * upper
        if log_ratio > -1e-9:
            return math.inf
        log_term = (1.0 + c) * float(self.log_pmf[k - sensitivity]) - c * float(self.log_pmf[k])
        return log_term + log_ratio - math.log(-math.expm1(log_ratio))
