"""Losses on one lattice: the integral over one period, which has no tail.

If every loss lies on o + k D then M(z) e^(-z o) repeats along the line with the period 2 pi/D, and the images add up
in closed form. With n D = P, h = 2 pi/P, l the least lattice point above eps, and f = l - eps,

    (1/n) sum over n nodes of M(z) e^(-z l) (1/(1 - e^(-z D)) - e^(-f)/(1 - e^(-(z + 1) D)))
        = delta(eps) + sum over k != 0 of delta(eps + k P) e^(k P c),

the same aliases as on an infinite line. Points are moved to the lattice by at most ``shift`` in the whole composition,
and |U| <= shift gives delta(eps + shift) <= delta of L + U at eps <= delta(eps - shift).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext import dp as kernels
from medcrypt.dp.contour import Charges, Terms, alias_charges, log_bounds, log_value, place, polar
from medcrypt.dp.discrete import DiscreteLoss
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import OutOfReachError, Table, U

__all__ = ["LatticeLine", "common_spacing"]

_Reals = NDArray[np.float64]
_Complexes = NDArray[np.complex128]

_NODES = 1 << 19
_WALKED = 1 << 24  # losses times nodes from which on the fast Fourier transform is faster


def common_spacing(losses: Sequence[object]) -> float | None:
    """Return the distance of a lattice (up to an offset) that holds every loss, or None."""
    spacings = [loss.spacing for loss in losses if isinstance(loss, DiscreteLoss)]
    if len(spacings) < len(losses) or not spacings or None in spacings:
        return None
    known = [spacing for spacing in spacings if spacing is not None]
    least = min(known)
    ratios = [spacing / least for spacing in known]
    return least if all(abs(ratio - round(ratio)) < 1e-12 * ratio for ratio in ratios) else None


class LatticeLine:
    """One period of a line for discrete losses on a lattice; the interface is that of `contour.Line`.

    Parameters
    ----------
    terms
        The composition: discrete losses only.
    spacing
        Distance of the lattice's points.
    survey, saddle
        Where the saddle of the composition lies.

    Raises
    ------
    OutOfReachError
        If the period has too many nodes.
    """

    def __init__(self, terms: Terms, spacing: float, survey: Survey, saddle: Saddle) -> None:
        self.c, self.beyond, period = place(survey, saddle)
        self.spacing = spacing
        nodes = max(16.0, math.ceil(period / spacing))
        if nodes > _NODES:
            raise OutOfReachError
        size = int(nodes) + int(nodes) % 2
        self.period, self.step = size * spacing, 2.0 * math.pi / (size * spacing)
        moved, self._origin, self._shift = _on_the_lattice(terms, spacing)
        here, there = (
            moved.tables(c, 0.0, np.ones(len(moved.losses)), [0.0] * len(moved.losses))
            for c in (self.c, self.beyond)
        )
        self.height, self._height_error = moved.total(
            self.c, [t.log_moment for t in here], [t.moment_error for t in here]
        )
        self._height_beyond = sum(
            moved.total(self.beyond, [t.log_moment for t in there], [t.moment_error for t in there])
        )
        self.infinity, self._missing = terms.infinity(), terms.missing()
        count = size // 2 + 1
        t: _Reals = self.step * np.arange(float(count))
        walked = np.empty((3, len(here), count))
        for row, entry in enumerate(here):
            walk = _transformed if entry.losses.size * count > _WALKED else _walked
            walked[0, row], walked[1, row], walked[2, row] = walk(entry, t, size, spacing)
        z = self.c + 1j * t
        self._near, self._far = 1.0 / -np.expm1(-z * spacing), 1.0 / -np.expm1(-(z + 1.0) * spacing)
        weight = np.abs(self._near) + np.abs(self._far)
        weight[[0, -1]] *= 0.5
        self._near[[0, -1]] *= 0.5
        self._far[[0, -1]] *= 0.5
        line, weights = np.array([t, np.log(weight), np.zeros(count)]), np.empty((4, count))
        self._sums = kernels.weigh(polar(*walked), moved.counts, 0.0, self.c, line, weights)
        self._t = t
        self._values: _Complexes = weights[0] / weight * np.exp(1j * weights[1])

    def log_scale(self, epsilon: float) -> float:
        """Return K(c) - c eps, what all sums are relative to."""
        return self.height - self.c * epsilon

    def charges(self, epsilon: float) -> Charges:
        """Return every term that separates the computed sum from delta(eps); there is no tail."""
        log_scale = self.log_scale(epsilon)
        error = self._height_error + U * (4.0 * self.c * abs(epsilon) + 4.0 * abs(self.height))
        below, above = alias_charges(
            self.c, self.beyond, self.period, epsilon, log_scale, error, self._height_beyond
        )
        total, moment, turned, wrong = self._sums
        point = abs(epsilon) + self.spacing
        phases = 8.0 * turned + 12.0 * point * moment + (80.0 + self._t.size / 8.0) * total
        rounding = self.step * self.spacing / math.pi * (wrong + U * phases) * (1.0 + 1e-9)
        return Charges(below, above, 0.0, rounding)

    def value(self, epsilon: float) -> tuple[float, float]:
        """Return log delta(eps) without bounds, and its slope."""
        total, fall = self._sum(epsilon)
        return log_value(total, fall, self.log_scale(epsilon), self.infinity)

    def bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds on log delta(eps)."""
        margin = self._shift + 16.0 * U * (abs(self._origin) + abs(epsilon) + self.spacing)
        return self._on_points(epsilon + margin)[0], self._on_points(epsilon - margin)[1]

    def _on_points(self, epsilon: float) -> tuple[float, float]:
        """Return bounds on log delta of the lattice at eps."""
        charges, (total, _) = self.charges(epsilon), self._sum(epsilon)
        log_scale = self.log_scale(epsilon)
        error = self._height_error + U * (8.0 * self.c * abs(epsilon) + 8.0 * abs(self.height) + 16.0)
        apart = self.infinity, self.infinity + self._missing
        return log_bounds((total - charges.down, total + charges.up), log_scale, error, apart)

    def _sum(self, epsilon: float) -> tuple[float, float]:
        """Return delta and minus its slope, divided by exp(K(c) - c eps)."""
        above = math.floor((epsilon - self._origin) / self.spacing) + 1
        point = self._origin + above * self.spacing
        gap = min(max(point - epsilon, 0.0), self.spacing)
        turned = self._values * np.exp(-1j * self._t * point)
        scale = self.step * self.spacing / math.pi * math.exp(-self.c * gap)
        near, far = (scale * float(np.sum((turned * kernel).real)) for kernel in (self._near, self._far))
        return near - math.exp(-gap) * far, math.exp(-gap) * far


def _walked(entry: Table, t: _Reals, size: int, spacing: float) -> tuple[_Reals, _Reals, _Reals]:
    """Return D on all nodes and its error, by the recurrence."""
    real, imaginary = np.empty_like(t), np.empty_like(t)
    kernels.walk(entry.losses, entry.weights, 2.0 * math.pi / (size * spacing), 0, real, imaginary)
    return real, imaginary, entry.error(t)


def _transformed(entry: Table, t: _Reals, size: int, spacing: float) -> tuple[_Reals, _Reals, _Reals]:
    """Return the same by the fast Fourier transform over the weights, folded to one period.

    The heaviest point is left out and added directly: at small rates it holds nearly all the weight. The error of the
    transform is at most 8 u log2(n) sqrt(n) times the Euclidean norm of the other weights (Higham 2002, Theorem 24.2,
    with twice its constant); turning by the first loss, the subtraction of their sum and the point add the rest.
    """
    heaviest = int(np.argmax(entry.weights))
    alone, loss = float(entry.weights[heaviest]), float(entry.losses[heaviest])
    others = entry.weights.copy()
    others[heaviest] = 0.0
    first = float(entry.losses[0])
    place_of = np.rint((entry.losses - first) / spacing).astype(np.int64) % size
    folded = np.bincount(place_of, weights=others, minlength=size)
    rest, norm = math.fsum(others.tolist()), math.sqrt(float(folded @ folded))
    found = np.conj(np.fft.rfft(folded)) * np.exp(1j * t * first)
    real = found.real - rest - 2.0 * alone * np.sin(0.5 * t * loss) ** 2
    imaginary = found.imag + alone * np.sin(t * loss)
    transform = 8.0 * math.log2(size) * math.sqrt(size) * norm
    turning = (64.0 + 8.0 * t * abs(first)) * rest + 16.0 * alone * t * abs(loss)
    table = np.minimum(t * entry.weighted_error, 2.0 * entry.weight_error) + t * entry.loss_error
    return real, imaginary, np.asarray(1.01 * U * (transform + turning + table))


def _on_the_lattice(terms: Terms, spacing: float) -> tuple[Terms, float, float]:
    """Return the losses moved to their lattices, the sum of their offsets, and a bound on the whole move."""
    moved, origin, shift = [], 0.0, 0.0
    for loss, count in zip(terms.losses, terms.counts.tolist(), strict=True):
        if not isinstance(loss, DiscreteLoss):
            raise TypeError("only discrete losses lie on a lattice")
        first = float(loss.losses[0])
        points = first + np.rint((loss.losses - first) / spacing) * spacing
        away = float(np.max(np.abs(points - loss.losses)))
        largest = float(np.max(np.abs(loss.losses)))
        moved.append(replace(loss, losses=points, loss_error=0.0))
        # Each point o + k D is itself rounded: by at most four units of its size.
        shift += count * (away + loss.loss_error + 4.0 * U * (largest + abs(first)))
        origin += count * first
    return replace(terms, losses=tuple(moved)), origin, shift
