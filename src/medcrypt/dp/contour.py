"""The line of integration: a certified value of delta(epsilon) on one vertical line.

With K the cumulant of a whole composition in one direction and h the distance of the nodes z_n = c + i n h,

    S(eps) = h/(2 pi) sum over all integers n of exp(K(z_n) - z_n eps)/(z_n (z_n + 1))
           = delta(eps) + sum over k != 0 of delta(eps + k P) e^(k P c),        P = 2 pi/h     (Poisson).

All terms are positive. What separates S over |n| < N, as computed, from delta is named in `Charges`, term by
term, and proven in docs/explanation/accountant-proof.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext import dp as kernels
from medcrypt.dp.losses import DiscreteLoss, GaussianLoss, Loss
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import OutOfReachError, Table, Tabulated, U, decay, mass_beyond, table

__all__ = ["Charges", "Line", "Terms", "alias_charges", "log_factor", "place"]

_Reals = NDArray[np.float64]

_ALIAS_DIGITS = 26.0  # each alias term stays below exp(-26) = 5e-12 of delta
_TAIL_DIGITS = 26.0
_BEFORE = np.array([1.0, 0.9, 0.8, 0.7, 0.6, 0.5])  # of the saddle: where the line may stand
_BEYOND = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
_QUADRATURE = 1e-14  # relative to exp(K), over all compositions
_NODES = 1 << 15  # of a line
_WORK = 6e8  # nodes times losses of a line: below half a second


@dataclass(frozen=True)
class Charges:
    """Everything that may separate the computed sum from delta; each term >= 0, relative to exp(K(c) - c eps).

    ``aliases_below`` and ``aliases_above`` make the sum too large; ``outputs`` (mass that was left out or is at
    infinity beyond the lower bound) makes it too small; the others may do either.
    """

    aliases_below: float
    aliases_above: float
    line_tail: float
    rounding: float
    outputs: float

    @property
    def down(self) -> float:
        """Return how far delta may lie below the sum."""
        return self.aliases_below + self.aliases_above + self.line_tail + self.rounding

    @property
    def up(self) -> float:
        """Return how far delta may lie above the sum."""
        return self.line_tail + self.rounding + self.outputs


def log_factor(c: float) -> float:
    """Return log of sup over u of (1 - e^-u) e^(-c u) = c^c/(1 + c)^(1 + c): the factor of Chernoff's bound."""
    return -c * math.log1p(1.0 / c) - math.log1p(c)


def alias_charges(
    c: float,
    beyond: float,
    period: float,
    epsilon: float,
    log_scale: float,
    error: float,
    height_beyond: float,
) -> tuple[float, float]:
    """Return bounds on the sums over k < 0 and k > 0 of delta(eps + k P) e^(k P c), over exp(log_scale).

    Below: delta <= 1. Above: Chernoff at c' = ``beyond``, delta(x) <= exp(K(c') - c' x) c'^c'/(1 + c')^(1 + c'). Both
    are geometric series. ``error`` bounds the error of ``log_scale``; ``height_beyond`` is K(c') from above.
    """
    below = math.exp(min(error - log_scale, 700.0)) / math.expm1(min(period * c, 700.0))
    log_above = height_beyond + log_factor(beyond) - beyond * epsilon - log_scale + error
    log_above += 1e-14 * (abs(height_beyond) + beyond * epsilon)
    above = math.exp(min(log_above, 700.0)) / math.expm1(min(period * (beyond - c), 700.0))
    return below * (1.0 + 1e-9), above * (1.0 + 1e-9)


@dataclass(frozen=True)
class Terms:
    """A composition in one direction: a Gaussian part, and tabulated mechanisms with their counts.

    ``reach`` is where outputs of sampled Gaussians are cut, in standard deviations.
    """

    squared_mu: float
    losses: tuple[Tabulated, ...]
    counts: _Reals
    reach: float

    @classmethod
    def of(cls, terms: Sequence[tuple[Loss, int]], reach: float) -> "Terms":
        """Split a composition."""
        squared_mu = math.fsum(loss.squared_mu * n for loss, n in terms if isinstance(loss, GaussianLoss))
        rest = [(loss, n) for loss, n in terms if not isinstance(loss, GaussianLoss)]
        return cls(squared_mu, tuple(loss for loss, _ in rest), np.array([float(n) for _, n in rest]), reach)

    def missing(self) -> float:
        """Return a bound on the mass that tables leave out of the whole composition, counted as infinite loss."""
        cut = mass_beyond(self.reach)
        parts = [loss.missing if isinstance(loss, DiscreteLoss) else cut for loss in self.losses]
        return math.fsum(n * part for n, part in zip(self.counts.tolist(), parts, strict=True)) * (1.0 + 1e-9)

    def infinity(self) -> float:
        """Return the mass at infinite loss of the whole composition."""
        logs = [
            n * math.log1p(-loss.infinity)
            for loss, n in zip(self.losses, self.counts.tolist(), strict=True)
            if isinstance(loss, DiscreteLoss)
        ]
        return -math.expm1(math.fsum(logs))

    def tables(self, c: float, t_max: float, quadrature: _Reals, guesses: Sequence[float]) -> list[Table]:
        """Tabulate every mechanism for one line."""
        return [
            table(loss, c, t_max, float(share), guess, self.reach)
            for loss, share, guess in zip(self.losses, quadrature, guesses, strict=True)
        ]

    def log_moment(self, c: float) -> tuple[float, float]:
        """Return K(c) and a bound on its error."""
        found = self.tables(c, 0.0, _QUADRATURE / self.counts, [0.0] * len(self.losses))
        return self.total(c, [t.log_moment for t in found], [t.moment_error for t in found])

    def total(self, c: float, log_moments: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
        """Return K(c) of the whole from log M(c) of the parts, and a bound on its error."""
        bell = 0.5 * self.squared_mu * c * (c + 1.0)
        parts = self.counts * np.array(log_moments)
        error = float(self.counts @ np.array(errors)) if self.counts.size else 0.0
        moduli = float(np.sum(np.abs(parts)))
        return bell + math.fsum(parts.tolist()), error + U * (4.0 * bell + 4.0 * moduli)


@dataclass(frozen=True)
class _Nodes:
    """What does not depend on the counts: log(1 + D) of every mechanism on the nodes, and 1/(z (z + 1))."""

    t: _Reals
    modulus: _Reals
    argument: _Reals
    blur: _Reals
    rounding: _Reals
    log_kernel: _Reals
    kernel_phase: _Reals

    @classmethod
    def of(cls, c: float, step: float, count: int, walked: tuple[_Reals, _Reals, _Reals]) -> "_Nodes":
        """Take logarithms; padded nodes get an amplitude of nearly zero."""
        modulus, argument, blur, rounding = parts = [np.zeros_like(walked[0]) for _ in range(4)]
        for row, (real, imaginary, error) in enumerate(zip(*walked, strict=True)):
            kernels.polar(real, imaginary, error, modulus[row], argument[row], blur[row], rounding[row])
        size = walked[0].shape[1]
        t = step * np.arange(float(size))
        square = t * t
        log_kernel = -0.5 * (np.log(c * c + square) + np.log((1.0 + c) ** 2 + square))
        log_kernel[0] -= math.log(2.0)
        log_kernel[count:] = -1e4
        kernel_phase = -np.arctan2(t, c) - np.arctan2(t, 1.0 + c)
        for part in parts:
            part[:, count:] = 0.0
        return cls(t, modulus, argument, blur, rounding, log_kernel, kernel_phase)


class Line:
    """One line for one composition. Other values of epsilon and other counts reuse its nodes.

    Parameters
    ----------
    terms
        The composition.
    survey, saddle
        Where its saddle lies; from them the place, the step and the length of the line follow.

    Raises
    ------
    OutOfReachError
        If the line needs too much work.
    """

    def __init__(self, terms: Terms, survey: Survey, saddle: Saddle) -> None:
        c, beyond, period = place(survey, saddle)
        self.c, self.step = c, 2.0 * math.pi / period
        self.period = period
        first = terms.tables(c, 24.0 * self.step, _QUADRATURE / terms.counts, _guesses(survey, c))
        self._moments = [t.log_moment for t in first], [t.moment_error for t in first]
        height, _ = terms.total(c, *self._moments)
        # The integral beyond the last node is at most exp(K(c) - c eps + decay)/(pi t).
        relative = saddle.log_delta - (height - c * saddle.epsilon)
        self.count, self._decays = _length(terms, c, self.step, first, relative)
        shape = (len(first), self.count + -self.count % kernels.LANES)
        walked = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        _walk(terms, c, self.step, first, self.count, walked)
        self._nodes = _Nodes.of(c, self.step, self.count, walked)
        found = terms.tables(beyond, 0.0, _QUADRATURE / terms.counts, _guesses(survey, beyond))
        self.beyond = beyond
        self._moments_beyond = [t.log_moment for t in found], [t.moment_error for t in found]
        self._amplitude, self._phase, self._bound, self._harm = np.empty((4, shape[1]))
        self.weigh(terms)

    def weigh(self, terms: Terms) -> None:
        """Take other counts of the same mechanisms: the nodes stay, their weights change."""
        self.terms = terms
        n = self._nodes
        self._sums = kernels.weigh(
            n.modulus,
            n.argument,
            n.blur,
            n.rounding,
            terms.counts,
            terms.squared_mu,
            self.c,
            n.t,
            n.log_kernel,
            n.kernel_phase,
            self._amplitude,
            self._phase,
            self._bound,
            self._harm,
        )
        self.height, self._height_error = terms.total(self.c, *self._moments)
        self._height_beyond = sum(terms.total(self.beyond, *self._moments_beyond))
        tail = -0.5 * terms.squared_mu * (self.step * self.count) ** 2
        if self._decays.size:
            tail += float(terms.counts @ self._decays)
        # h/pi times the sum over n >= N of 1/(n h)^2.
        self._tail = math.exp(min(tail, 0.0)) / (math.pi * self.step * (self.count - 0.5)) * (1.0 + 1e-9)
        self.infinity, self._missing = terms.infinity(), terms.missing()

    def log_scale(self, epsilon: float) -> float:
        """Return K(c) - c eps, what all sums are relative to."""
        return self.height - self.c * epsilon

    def charges(self, epsilon: float) -> Charges:
        """Return every term that separates the computed sum from delta(eps)."""
        total, moment, turned, wrong = self._sums
        log_scale, error = self.log_scale(epsilon), self.scale_error(epsilon)
        below, above = alias_charges(
            self.c, self.beyond, self.period, epsilon, log_scale, error, self._height_beyond
        )
        phases = 6.0 * turned + 8.0 * epsilon * moment + (40.0 + self._nodes.t.size / 8.0) * total
        slack = 1.0 + 1e-9
        return Charges(
            aliases_below=below,
            aliases_above=above,
            line_tail=self._tail,
            rounding=self.step / math.pi * (wrong + U * phases) * slack,
            outputs=self._missing * math.exp(min(error - log_scale, 700.0)) * slack,
        )

    def scale_error(self, epsilon: float) -> float:
        """Return a bound on the error of the computed K(c) - c eps."""
        return self._height_error + U * (4.0 * self.c * epsilon + 4.0 * abs(self.height))

    def value(self, epsilon: float) -> tuple[float, float]:
        """Return log delta(eps) without bounds, and its slope: where Newton's method looks."""
        cosines, sines = kernels.line(self._amplitude, self._phase, self._nodes.t, epsilon)
        scale = self.step / math.pi
        finite, fall = scale * cosines, scale * (self.c * cosines - sines)
        log_scale = self.log_scale(epsilon)
        if self.infinity > 0.0:
            finite += self.infinity * math.exp(min(-log_scale, 700.0))
        if not finite > 0.0:
            return -math.inf, -math.inf
        return math.log(finite) + log_scale, -fall / finite

    def bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds on log delta(eps)."""
        charges = self.charges(epsilon)
        cosines, _ = kernels.line(self._amplitude, self._phase, self._nodes.t, epsilon)
        total = self.step / math.pi * cosines
        log_scale, error = self.log_scale(epsilon), self.scale_error(epsilon) + 16.0 * U
        at_infinity = self.infinity * math.exp(min(-log_scale, 700.0))
        low = total - charges.down + at_infinity * (1.0 - 1e-12)
        high = total + charges.up + at_infinity * (1.0 + 1e-12)
        return (
            math.log(low) + log_scale - error - 4.0 * U * abs(log_scale) if low > 0.0 else -math.inf,
            math.log(high) + log_scale + error + 4.0 * U * abs(log_scale) if high > 0.0 else -math.inf,
        )


def _guesses(survey: Survey, c: float) -> list[float]:
    """Return rough log M(c) of every tabulated mechanism."""
    with np.errstate(over="ignore", under="ignore"):
        alpha = c * survey.losses + survey.log_masses
        top = np.max(alpha, axis=1) if alpha.size else np.zeros(0)
        return [float(x) for x in top + np.log(np.sum(np.exp(alpha - top[:, None]), axis=1))]


def place(survey: Survey, saddle: Saddle) -> tuple[float, float, float]:
    """Return c, another c' beyond it, and the period P = 2 pi/h with which the aliases do not count.

    Below, delta <= 1: e^(-P c) against delta. Above, Chernoff at c'. Where K soon rises like a wall, because rare
    outputs have large losses, a line some way before the saddle needs a much smaller P and loses few digits.
    """
    c = saddle.c * _BEFORE
    beyond = c[:, None] + np.concatenate(
        (min(saddle.spread, 4.0 * saddle.c) * _BEYOND, 0.5 * saddle.c * _BEYOND)
    )
    k = survey.moments(np.concatenate((c, beyond.ravel())))[0]
    heights, k = k[: c.size] - c * saddle.epsilon, k[c.size :].reshape(beyond.shape)
    factor = -beyond * np.log1p(1.0 / beyond) - np.log1p(beyond)
    above = (k + factor - beyond * saddle.epsilon - saddle.log_delta + _ALIAS_DIGITS) / (beyond - c[:, None])
    best = np.argmin(above, axis=1)
    periods = np.maximum((_ALIAS_DIGITS - saddle.log_delta) / c, above[np.arange(c.size), best])
    # Rounding is charged against exp(K(c) - c eps): no more than two digits may go.
    periods = np.where(heights <= heights[0] + 4.0, periods, np.inf)
    place = int(np.argmin(periods))
    return float(c[place]), float(beyond[place, best[place]]), 1.03 * float(periods[place])


def _length(
    terms: Terms, c: float, step: float, first: Sequence[Table], relative: float
) -> tuple[int, _Reals]:
    """Return how many nodes prove the tail, and the bounds on what follows them."""
    nodes = np.array([16.0 * 2.0**k for k in range(12)])
    while True:
        t = step * nodes
        decays = np.array(
            [
                decay(loss, c, found.log_moment + found.moment_error, t, terms.reach)
                for loss, found in zip(terms.losses, first, strict=True)
            ]
        ).reshape(len(first), nodes.size)
        total = terms.counts @ decays - 0.5 * terms.squared_mu * t * t - np.log(math.pi * (t - 0.5 * step))
        proven = np.flatnonzero(total <= relative - _TAIL_DIGITS)
        best = int(proven[0]) if proven.size else nodes.size - 1
        if nodes.size == 4 or best == 0:
            return int(nodes[best]), decays[:, best]
        if not proven.size:
            # No proof in reach; take what is affordable and let the bounds say their width.
            best = min(nodes.size - 1, int(math.log2(_NODES / 16)))
            return int(nodes[best]), decays[:, best]
        nodes = np.ceil(nodes[best] * np.array([0.625, 0.75, 0.875, 1.0]))


def _walk(
    terms: Terms,
    c: float,
    step: float,
    first: Sequence[Table],
    count: int,
    out: tuple[_Reals, _Reals, _Reals],
) -> None:
    """Fill D = M(z)/M(c) - 1 of all mechanisms on all nodes, in stretches that double.

    Further out exp(K) is small, and so is the harm of an error of the quadrature: it may grow.
    """
    start, stop, found = 0, min(24, count), list(first)
    moments = [t.log_moment for t in first]
    work = 0.0
    while True:
        log_modulus = np.zeros(1)
        for row, entry in enumerate(found):
            work += entry.losses.size * (stop - start)
            part = tuple(array[row, start:stop] for array in out)
            kernels.walk(entry.losses, entry.weights, step, start, part[0], part[1])
            part[2][:] = entry.error(step * np.arange(float(start), float(stop)))
            half = (stop - start) // 2
            square = 2.0 * part[0][half:] + part[0][half:] ** 2 + part[1][half:] ** 2
            log_modulus = log_modulus + 0.5 * terms.counts[row] * np.log1p(np.maximum(square, -1.0 + 1e-15))
        if stop >= count or not found:
            return
        start, stop = stop, min(2 * stop, count)
        fallen = max(-float(np.max(log_modulus)), 0.0)
        quadrature = max(min(_QUADRATURE * math.exp(min(fallen, 600.0)), 0.03), fallen - 40.0) / (
            1.5 * terms.counts
        )
        quadrature = np.minimum(quadrature, 0.1)
        found = terms.tables(c, step * stop, quadrature, moments)
        if work + sum(t.losses.size for t in found) * float(stop - start) > _WORK:
            raise OutOfReachError
