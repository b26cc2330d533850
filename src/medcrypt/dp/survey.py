"""Where to put the line: K, K' and K'' on the real axis from coarse tables.

Nothing here enters a bound. A survey that is wrong costs time or width, never correctness.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.legendre import legendre
from medcrypt.dp.losses import DiscreteLoss, GaussianLoss, LaplaceLoss, Loss, SampledGaussianLoss

__all__ = ["Saddle", "Survey"]

_Reals = NDArray[np.float64]

_Rising = Callable[[_Reals, _Reals, _Reals, _Reals], _Reals]  # of c, K, K', K''

_SCAN, _REFINED = 24, 10  # points of the first look along the axis and of each closer one
_LOOKS = 7  # at most, where the saddle stands at a wall
_WIDE = 2e5  # elements above which the scan is made in two halves


@dataclass(frozen=True)
class Saddle:
    """A point of the line and what belongs to it: epsilon, log delta to leading order, and the width 1/spread."""

    c: float
    epsilon: float
    log_delta: float
    spread: float


@dataclass(frozen=True)
class Survey:
    """Coarse tables of a composition in one direction: row e of ``losses`` and ``log_masses`` is mechanism e."""

    squared_mu: float
    counts: _Reals
    losses: _Reals
    log_masses: _Reals

    @classmethod
    def of(cls, terms: Sequence[tuple[Loss, int]], reach: float) -> "Survey":
        """Tabulate a composition, with outputs of sampled Gaussians cut at ``reach`` standard deviations."""
        squared_mu = math.fsum(loss.squared_mu * n for loss, n in terms if isinstance(loss, GaussianLoss))
        rest = [(_coarse(loss, reach), n) for loss, n in terms if not isinstance(loss, GaussianLoss)]
        width = max((losses.size for (losses, _), _ in rest), default=1)
        losses = np.zeros((len(rest), width))
        log_masses = np.full((len(rest), width), -np.inf)
        for row, ((points, masses), _) in enumerate(rest):
            losses[row, : points.size], log_masses[row, : points.size] = points, masses
        return cls(squared_mu, np.array([float(n) for _, n in rest]), losses, log_masses)

    @np.errstate(all="ignore")
    def moments(self, c: _Reals) -> tuple[_Reals, _Reals, _Reals]:
        """Return K, K' and K'' at every c > 0."""
        value = 0.5 * self.squared_mu * c * (c + 1.0)
        slope, curvature = self.squared_mu * (c + 0.5), np.full_like(c, self.squared_mu)
        if self.counts.size:
            rows = max(1, int(_WIDE / self.losses.size))
            for first in range(0, c.size, rows):
                some = slice(first, first + rows)
                tilted = self._tilted(c[some])
                value[some] += tilted[0]
                slope[some] += tilted[1]
                curvature[some] += tilted[2]
        return value, slope, curvature

    def saddle_at_epsilon(self, epsilon: float) -> Saddle:
        """Return the saddle of exp(K(z) - z epsilon)/(z (z + 1)) on the positive axis."""
        return self._search(lambda c, _, slope, __: c * (slope - epsilon) - 1.0 - c / (1.0 + c))

    def saddle_at_delta(self, log_delta: float) -> Saddle:
        """Return the saddle of the epsilon at which delta is exp(log_delta), to leading order."""
        return self._search(lambda c, k, slope, bend: log_delta - _leading(c, k, slope, bend)[1])

    def chernoff_at_epsilon(self, epsilon: float) -> float:
        """Return where Chernoff's bound on log delta(epsilon) is least."""
        return self._search(lambda c, _, slope, __: c * (slope - np.log1p(1.0 / c) - epsilon)).c

    def chernoff_at_delta(self, log_delta: float) -> float:
        """Return where Chernoff's bound on epsilon at exp(log_delta) is least."""
        return self._search(lambda c, k, slope, _: c * slope - k + np.log1p(c) + log_delta).c

    @cached_property
    def _powers(self) -> _Reals:
        """1, the losses and their squares, for every mechanism and point."""
        return np.stack([np.ones_like(self.losses), self.losses, self.losses * self.losses], axis=2)

    @cached_property
    def _masses(self) -> _Reals:
        """Masses of every mechanism, as columns."""
        return np.exp(self.log_masses)[:, :, None]

    def _tilted(self, c: _Reals) -> tuple[_Reals, _Reals, _Reals]:
        """Return the tables' part of the moments."""
        alpha = c[:, None] * self.losses[:, None, :]
        weight = alpha + self.log_masses[:, None, :]
        top = weight.max(axis=2)
        scaled = top > 200.0
        if scaled.any():
            weight -= np.where(scaled, top, 0.0)[:, :, None]
        np.exp(weight, out=weight)
        np.expm1(np.minimum(alpha, 700.0, out=alpha), out=alpha)
        sums = weight @ self._powers
        mass = sums[:, :, 0]
        value = np.log1p((alpha @ self._masses)[:, :, 0])
        if scaled.any():
            value = np.where(scaled, top + np.log(mass), value)
        mean, square = sums[:, :, 1] / mass, sums[:, :, 2] / mass
        bend = np.maximum(square - mean * mean, 0.0)
        return self.counts @ value, self.counts @ mean, self.counts @ bend

    @np.errstate(all="ignore")
    def _search(self, rising: _Rising) -> Saddle:
        """Return the saddle where a function of (c, K, K', K''), increasing in c, passes zero."""
        variance = float(self.moments(np.array([1e-12]))[2][0])
        scale = 1.0 / math.sqrt(max(variance, 1e-300))
        low, high = min(1e-4 * scale, 1e-3), max(1e3 * scale, 100.0)
        reached = -math.inf
        for look, points in enumerate((_SCAN, _REFINED, *[5] * _LOOKS)):
            if look > 2 and reached > -1.0:
                break
            c = low * np.exp(math.log(high / low) * np.arange(points) / (points - 1.0))
            k, slope, bend = self.moments(c)
            with np.errstate(invalid="ignore", over="ignore"):
                height = rising(c, k, slope, bend)
            above = np.flatnonzero(~(height < 0.0))
            first = int(above[0]) if above.size else points - 1
            low, high = float(c[max(first - 1, 0)]), float(c[first])
            reached = float(height[max(first - 1, 0)])
            if low == high:
                break
        found = slice(max(first - 1, 0), max(first, 1))
        epsilon, log_delta = _leading(c[found], k[found], slope[found], bend[found])
        spread = math.sqrt(float(bend[found][0]) + 1.0 / low**2 + 1.0 / (1.0 + low) ** 2)
        return Saddle(low, float(epsilon[0]), float(log_delta[0]), spread)


def _leading(c: _Reals, k: _Reals, slope: _Reals, bend: _Reals) -> tuple[_Reals, _Reals]:
    """Return the epsilon whose saddle is c, K'(c) - 1/c - 1/(1 + c), and the leading term of log delta there."""
    epsilon = slope - 1.0 / c - 1.0 / (1.0 + c)
    spread = bend + 1.0 / c**2 + 1.0 / (1.0 + c) ** 2
    return epsilon, k - c * epsilon - np.log(c) - np.log1p(c) - 0.5 * np.log(2.0 * math.pi * spread)


def _coarse(loss: Loss, reach: float) -> tuple[_Reals, _Reals]:
    """Return points and log masses of a loss: good to about 1e-12, by plain trapezoid rules."""
    match loss:
        case DiscreteLoss():
            return loss.losses, loss.log_masses
        case LaplaceLoss(e):
            points, shares = legendre(24)
            inner = np.log(0.25 * e * shares) + 0.5 * e * (points - 1.0)
            return np.concatenate(([-e, e], e * points)), np.concatenate(
                (np.log([0.5, 0.5]) - [e, 0.0], inner)
            )
        case SampledGaussianLoss(sigma, q, removing):
            low, high = -min(reach, 12.0) * sigma, 1.0 + reach * sigma
            step = min(sigma / 2.5, 0.5 * sigma * sigma)
            x = np.arange(low, high + step, step)
            y = (2.0 * x - 1.0) / (2.0 * sigma * sigma)
            with np.errstate(over="ignore"):
                log_r = np.where(
                    y > 30.0 - math.log(q), y + math.log(q), np.log1p(q * np.expm1(np.minimum(y, 700.0)))
                )
            log_mass = math.log(step / sigma) - 0.5 * math.log(2.0 * math.pi) - 0.5 * (x / sigma) ** 2
            return (log_r, log_mass + log_r) if removing else (-log_r, log_mass)
        case _:
            raise TypeError(f"no table for {type(loss).__name__}")
