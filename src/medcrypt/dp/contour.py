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
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext import dp as kernels
from medcrypt.dp.losses import DiscreteLoss, GaussianLoss, Loss, SampledGaussianLoss
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import OutOfReachError, Table, Tabulated, U, decay, mass_beyond, table

__all__ = [
    "WORK",
    "Charges",
    "Line",
    "Terms",
    "alias_charges",
    "guesses",
    "log_bounds",
    "log_factor",
    "log_value",
    "place",
    "polar",
]

_Reals = NDArray[np.float64]

_ALIAS_DIGITS = 26.0  # each alias term stays below exp(-26) = 5e-12 of delta
_TAIL_DIGITS = 26.0
# Where the line may stand, of the saddle; and where the other point beyond it, also in units of the saddle's width.
_BEFORE = np.array([1.0, 0.985, 0.97, 0.955, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8, 0.75, 0.7, 0.6, 0.5])
_BEYOND = np.array([1.0, 1.015, 1.03, 1.06, 1.125, 1.25, 1.5, 2.0, 3.0])
_FURTHER = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
_QUADRATURE = 1e-14  # relative to exp(K), over all compositions
_NODES = 1 << 15  # of a line
WORK = 1e8  # nodes times losses of a line: about a tenth of a second
_START = 20.0  # steps of the walk that a fresh start is worth


class Charges(NamedTuple):
    """Everything that may separate the computed sum from delta; each term >= 0, relative to exp(K(c) - c eps).

    ``aliases_below``, ``aliases_above`` and ``smoothing`` (of a `smoothed.SmoothedLine`) make the sum too large; the
    others may do either. What was left out or is at infinity is no part of the sum: `log_bounds` adds it.
    """

    aliases_below: float
    aliases_above: float
    line_tail: float
    rounding: float
    smoothing: float = 0.0

    @property
    def down(self) -> float:
        """Return how far delta may lie below the sum."""
        return self.aliases_below + self.aliases_above + self.line_tail + self.rounding + self.smoothing

    @property
    def up(self) -> float:
        """Return how far delta may lie above the sum."""
        return self.line_tail + self.rounding


def log_factor(c: float) -> float:
    """Return log of sup over u of (1 - e^-u) e^(-c u) = c^c/(1 + c)^(1 + c): the factor of Chernoff's bound."""
    return -c * math.log1p(1.0 / c) - math.log1p(c)


def log_bounds(
    sums: tuple[float, float], log_scale: float, error: float, apart: tuple[float, float]
) -> tuple[float, float]:
    """Return bounds on log delta from bounds on its parts.

    Parameters
    ----------
    sums
        Bounds on the sum on a line, over exp(log_scale).
    log_scale, error
        The scale, as far from any double as it may be, and a bound on its error.
    apart
        Bounds on what does not depend on the line, as it is: on mass at infinity below, and above also on what was
        left out (``outputs``). Logarithms are added, so neither part is lost beside the other.
    """
    return _log_part(sums[0], log_scale, -error, apart[0], -1.0), _log_part(
        sums[1], log_scale, error, apart[1], 1.0
    )


def _log_part(part: float, log_scale: float, error: float, apart: float, sign: float) -> float:
    """Return one of `log_bounds`: the lower one with a negative sign and error."""
    if math.isnan(part):
        return sign * math.inf
    value = math.log(part) + log_scale + error if part > 0.0 else -math.inf
    if apart > 0.0:
        value = log_sum(value, math.log(apart) + sign * 1e-12)
        value += sign * 8.0 * U * (abs(value) + 1.0)
    return value


def log_sum(first: float, second: float) -> float:
    """Return log(e^first + e^second) but for 8 u (1 + its modulus); the second is finite, or the first is."""
    low, high = (first, second) if first < second else (second, first)
    return high + math.log1p(math.exp(low - high)) if math.isfinite(low) else high


def log_value(
    total: float, fall: float, log_scale: float, apart: float, fall_apart: float = 0.0
) -> tuple[float, float]:
    """Return log delta and its slope from a sum and its fall over exp(log_scale), and from what lies apart."""
    if not total > 0.0:
        return (math.log(apart), -fall_apart / apart) if apart > 0.0 else (-math.inf, -math.inf)
    value, slope = math.log(total) + log_scale, -fall / total
    if not apart > 0.0:
        return value, slope
    both = log_sum(value, math.log(apart))
    return both, slope * math.exp(value - both) - fall_apart * math.exp(min(-both, 700.0))


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
    log_below = error - log_scale
    log_above = height_beyond + log_factor(beyond) - beyond * epsilon - log_scale + error
    log_above += 1e-14 * (abs(height_beyond) + beyond * epsilon)
    return _over_expm1(log_below, period * c), _over_expm1(log_above, period * (beyond - c))


def _over_expm1(log_top: float, x: float) -> float:
    """Return e^log_top/(e^x - 1) from above, for x > 0; infinite rather than cut off."""
    log_ratio = log_top - x - math.log(-math.expm1(-x))
    return math.exp(log_ratio) * (1.0 + 1e-9) if log_ratio < 700.0 else math.inf


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
        cut, total = mass_beyond(self.reach), 0.0
        for loss, n in zip(self.losses, self.counts.tolist(), strict=True):
            match loss:
                case DiscreteLoss():
                    total += n * loss.missing
                case SampledGaussianLoss():
                    total += n * cut
        return total * (1.0 + 1e-9)

    def infinity(self) -> float:
        """Return the mass at infinite loss of the whole composition."""
        log_finite = 0.0
        for loss, n in zip(self.losses, self.counts.tolist(), strict=True):
            if isinstance(loss, DiscreteLoss) and loss.infinity > 0.0:
                log_finite += n * math.log1p(-loss.infinity)
        return -math.expm1(log_finite)

    def tables(self, c: float, t_max: float, quadrature: _Reals, guesses: Sequence[float]) -> list[Table]:
        """Tabulate every mechanism for one line."""
        return [
            table(loss, c, t_max, float(share), guess, self.reach)
            for loss, share, guess in zip(self.losses, quadrature, guesses, strict=True)
        ]

    def log_moment(self, c: float, survey: Survey) -> tuple[float, float]:
        """Return K(c) and a bound on its error."""
        return self.total(c, *self.tables_at(c, survey))

    def tables_at(self, c: float, survey: Survey) -> tuple[list[float], list[float]]:
        """Return log M(c) of every tabulated mechanism, and bounds on their errors."""
        found = self.tables(c, 0.0, _QUADRATURE / self.counts, guesses(survey, c))
        return [t.log_moment for t in found], [t.moment_error for t in found]

    def total(self, c: float, log_moments: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
        """Return K(c) of the whole from log M(c) of the parts, and a bound on its error."""
        bell = 0.5 * self.squared_mu * c * (c + 1.0)
        height = error = moduli = 0.0
        for n, moment, wrong in zip(self.counts.tolist(), log_moments, errors, strict=True):
            height += n * moment
            moduli += n * abs(moment)
            error += n * wrong
        # Each product is rounded once, each sum once more for every mechanism; mu^2 carries five units, the bell three.
        return bell + height, error * (1.0 + 1e-9) + U * (10.0 * bell + (4.0 + len(log_moments)) * moduli)


def polar(real: _Reals, imaginary: _Reals, error: _Reals) -> _Reals:
    """Return log modulus, argument, blur and rounding of 1 + D, a row for each mechanism; see `kernels.polar`."""
    logarithms = np.zeros((4, *real.shape))
    for row in range(real.shape[0]):
        kernels.polar(real[row], imaginary[row], error[row], *logarithms[:, row])
    return logarithms


def _nodes(c: float, step: float, count: int, size: int) -> _Reals:
    """Return t, and log modulus and argument of 1/(z (z + 1)); nodes beyond ``count`` are padding of no weight."""
    t = step * np.arange(float(size))
    square = t * t
    log_kernel = -0.5 * (np.log(c * c + square) + np.log((1.0 + c) ** 2 + square))
    log_kernel[0] -= math.log(2.0)
    log_kernel[count:] = -1e4
    return np.array([t, log_kernel, -np.arctan2(t, c) - np.arctan2(t, 1.0 + c)])


class Line:
    """One line for one composition. Other values of epsilon and other counts reuse its nodes.

    Parameters
    ----------
    terms
        The composition.
    survey, saddle
        Where its saddle lies; from them the place, the step and the length of the line follow.
    work
        Most nodes times losses to spend.

    Raises
    ------
    OutOfReachError
        If the line needs too much work.
    """

    def __init__(self, terms: Terms, survey: Survey, saddle: Saddle, work: float = WORK) -> None:
        c, beyond, period = place(survey, saddle)
        self.c, self.step = c, 2.0 * math.pi / period
        self.period = period
        first = terms.tables(c, 24.0 * self.step, _QUADRATURE / terms.counts, guesses(survey, c))
        self._moments = [t.log_moment for t in first], [t.moment_error for t in first]
        height, _ = terms.total(c, *self._moments)
        # The integral beyond the last node is at most exp(K(c) - c eps - fall)/(pi t).
        relative = saddle.log_delta - (height - c * saddle.epsilon)
        walk = _Walk(terms, c, self.step, first, _TAIL_DIGITS - relative, work)
        self.count = walk.count
        walked = walk.real, walk.imaginary, walk.error
        shape = walk.real.shape
        self._logarithms = polar(*walked)
        self._logarithms[:, :, self.count :] = 0.0
        self._nodes = _nodes(c, self.step, self.count, shape[1])
        found = terms.tables(beyond, 0.0, _QUADRATURE / terms.counts, guesses(survey, beyond))
        self.beyond = beyond
        self._moments_beyond = [t.log_moment for t in found], [t.moment_error for t in found]
        self._weights = np.empty((4, shape[1]))
        self._integrand = self._weights[0], self._weights[1], self._nodes[0]
        starts, falls = walk.stretches
        # h times the sum of 1/(n h)^2 over each stretch [t, t'] is at most 1/(t - h) - 1/t'.
        spans = 1.0 / (starts - self.step) - np.append(1.0 / starts[1:], 0.0)
        log_fall = np.minimum(falls, 0.0) @ terms.counts - 0.5 * terms.squared_mu * starts * starts
        self._tail = float(np.exp(log_fall) @ spans) / math.pi * (1.0 + 1e-9)
        self.weigh(terms)

    def weigh(self, terms: Terms) -> None:
        """Take other counts of the same mechanisms, none of them smaller than at first.

        The nodes stay, their weights change. What is proven of the line beyond them holds: no factor there is above 1.
        """
        self.terms = terms
        total, moment, turned, wrong = kernels.weigh(
            self._logarithms, terms.counts, terms.squared_mu, self.c, self._nodes, self._weights
        )
        scale = self.step / math.pi * (1.0 + 1e-9)
        phases = 6.0 * turned + (40.0 + self._weights.shape[1] / 8.0) * total
        # The rounding of the sum, and by how much it grows with epsilon.
        self._rounding = scale * (wrong + U * phases), scale * U * 8.0 * moment
        self.height, self._height_error = terms.total(self.c, *self._moments)
        self._height_beyond = sum(terms.total(self.beyond, *self._moments_beyond))
        self.infinity, self._missing = terms.infinity(), terms.missing()

    def log_scale(self, epsilon: float) -> float:
        """Return K(c) - c eps, what all sums are relative to."""
        return self.height - self.c * epsilon

    def charges(self, epsilon: float) -> Charges:
        """Return every term that separates the computed sum from delta(eps)."""
        log_scale, error = self.log_scale(epsilon), self.scale_error(epsilon)
        below, above = alias_charges(
            self.c, self.beyond, self.period, epsilon, log_scale, error, self._height_beyond
        )
        rounding, growing = self._rounding
        return Charges(
            aliases_below=below,
            aliases_above=above,
            line_tail=self._tail,
            rounding=rounding + growing * epsilon,
        )

    def scale_error(self, epsilon: float) -> float:
        """Return a bound on the error of the computed K(c) - c eps."""
        return self._height_error + U * (4.0 * self.c * epsilon + 4.0 * abs(self.height))

    def value(self, epsilon: float) -> tuple[float, float]:
        """Return log delta(eps) without bounds, and its slope: where Newton's method looks."""
        cosines, sines = kernels.line(*self._integrand, epsilon)
        scale = self.step / math.pi
        finite, fall = scale * cosines, scale * (self.c * cosines - sines)
        return log_value(finite, fall, self.log_scale(epsilon), self.infinity)

    def bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds on log delta(eps)."""
        charges = self.charges(epsilon)
        cosines, _ = kernels.line(*self._integrand, epsilon)
        total = self.step / math.pi * cosines
        log_scale, error = self.log_scale(epsilon), self.scale_error(epsilon) + 16.0 * U
        error += 4.0 * U * abs(log_scale)
        apart = self.infinity, self.infinity + self._missing
        return log_bounds((total - charges.down, total + charges.up), log_scale, error, apart)


def guesses(survey: Survey, c: float) -> list[float]:
    """Return rough log M(c) of every tabulated mechanism."""
    with np.errstate(over="ignore", under="ignore"):
        alpha = c * survey.losses + survey.log_masses
        top = np.max(alpha, axis=1) if alpha.size else np.zeros(0)
        return [float(x) for x in top + np.log(np.sum(np.exp(alpha - top[:, None]), axis=1))]


@np.errstate(all="ignore")
def place(
    survey: Survey, saddle: Saddle, digits: float | None = None, lost: float = 4.0
) -> tuple[float, float, float]:
    """Return c, another c' beyond it, and the period P = 2 pi/h with which the aliases do not count.

    Below, delta <= 1: e^(-P c) against delta. Above, Chernoff at c'. Where K soon rises like a wall, because rare
    outputs have large losses, a line some way before the saddle needs a much smaller P and loses few digits: at most
    ``lost``, since rounding is charged against exp(K(c) - c eps). Aliases stay below exp(-digits) of delta.
    """
    digits = _ALIAS_DIGITS if digits is None else digits
    c = saddle.c * _BEFORE
    wide = min(saddle.spread, 4.0 * saddle.c)
    beyond = np.concatenate((saddle.c * _BEYOND, saddle.c + wide * _FURTHER))
    k = survey.moments(np.concatenate((c, beyond)))[0]
    heights, k = k[: c.size] - c * saddle.epsilon, k[c.size :]
    factor = -beyond * np.log1p(1.0 / beyond) - np.log1p(beyond)
    gap = beyond - c[:, None]
    above = (k + factor - beyond * saddle.epsilon - saddle.log_delta + digits) / gap
    above = np.where(np.isfinite(above) & (gap > 0.0), above, np.inf)
    best = np.argmin(above, axis=1)
    periods = np.maximum((digits - saddle.log_delta) / c, above[np.arange(c.size), best])
    periods = np.where(heights <= heights[0] + lost, periods, np.inf)
    place = int(np.argmin(periods))
    if not 0.0 < float(periods[place]) < math.inf:
        raise OutOfReachError
    return float(c[place]), float(beyond[best[place]]), 1.03 * float(periods[place])


class _Walk:
    """D = M(z)/M(c) - 1 of all mechanisms on the nodes that count, and what is proven of the line beyond them.

    Nodes are walked in stretches that grow. Further out exp(K) is small, and so is the harm of an error of the
    quadrature: it may grow. Once exp(K) has fallen by ``fall`` the rest of the line is covered: up to where `decay`
    proves the fall for good, by stretches [t, t + w] on which every modulus is at most its value at t plus w A1,
    since abs(M')/M(c) <= A1 for the table's sum; from there on by `decay`.

    ``stretches`` holds their starts t and, for each and every mechanism, the log of the bound on abs M/M(c).
    """

    def __init__(
        self, terms: Terms, c: float, step: float, first: Sequence[Table], fall: float, most: float
    ) -> None:
        self._terms, self._c, self._step = terms, c, step
        self._first = first
        self._fall = fall
        end, final = self._proof(first)
        blocks = []
        start, stop, found = 0, min(24, math.ceil(end / step)), list(first)
        self._most, self._work, looked = most, 0.0, False
        while True:
            block, fallen = self._block(found, start, stop)
            blocks.append(block)
            self._work += sum(t.losses.size for t in found) * float(stop - start)
            if self._work > most / 32.0 and not looked:
                looked = True
                if not self._falls(stop, fallen, end):
                    raise OutOfReachError
            if self._work > most:
                raise OutOfReachError
            t = step * stop
            if t >= end:
                self.stretches = np.array([t]), final[None, :]
                break
            # A short way to the end is walked faster than it is covered.
            worth = fallen > self._need(t) + 5.0 and end > 2.0 * t
            covered = self._cover(t, end, fallen) if worth else None
            if covered is not None:
                self.stretches = np.append(covered[0], end), np.vstack((covered[1], final))
                break
            start, stop = stop, min(stop + max(24, stop // 2), math.ceil(end / step))
            found = self._tables(step * stop, fallen)
        self.count = stop
        padding = np.zeros((len(first), -stop % kernels.LANES))
        self.real, self.imaginary, self.error = (
            np.ascontiguousarray(np.hstack([*(block[part] for block in blocks), padding]))
            for part in range(3)
        )

    def _need(self, t: float) -> float:
        """Return how far exp(K) has to fall at t and beyond."""
        return self._fall - math.log(math.pi * t)

    def _falls(self, stop: int, fallen: float, end: float) -> bool:
        """Tell whether exp(K) may fall far enough before the work is done, by looks at a few nodes further out."""
        room = self._most - self._work
        while self._step * stop < end:
            stop *= 2
            found = self._tables(self._step * stop, fallen)
            # The blocks up to there have tables that grow; they take at least this.
            room -= 0.25 * stop * sum(t.losses.size for t in found)
            if room < 0.0:
                return False
            if self._block(found, stop - 16, stop)[1] > self._need(self._step * stop):
                break
        return True

    def _tables(self, t_max: float, fallen: float) -> list[Table]:
        """Tabulate for larger t, as well as the fall of exp(K) asks for."""
        share = max(min(_QUADRATURE * math.exp(min(fallen, 600.0)), 0.03), 0.3 * (fallen - self._fall))
        quadrature = np.minimum(share / (1.5 * self._terms.counts), 0.1)
        return [
            # Points are the same for every t.
            known
            if isinstance(loss, DiscreteLoss)
            else table(loss, self._c, t_max, share, known.log_moment, self._terms.reach)
            for loss, known, share in zip(self._terms.losses, self._first, quadrature.tolist(), strict=True)
        ]

    def _block(
        self, found: Sequence[Table], start: int, stop: int
    ) -> tuple[tuple[_Reals, _Reals, _Reals], float]:
        """Return D and its error on some nodes, and how far exp(K) has fallen on the last quarter of them."""
        shape = len(found), stop - start
        real, imaginary, error = np.empty(shape), np.empty(shape), np.empty(shape)
        t = self._step * np.arange(float(start), float(stop))
        last = slice(-max(1, (stop - start) // 4), None)
        log_modulus = -0.5 * self._terms.squared_mu * t[last] ** 2
        for row, entry in enumerate(found):
            kernels.walk(entry.losses, entry.weights, self._step, start, real[row], imaginary[row])
            error[row] = entry.error(t)
            a, b = real[row, last], imaginary[row, last]
            square = np.maximum(2.0 * a + a * a + b * b, -1.0 + 1e-15)
            log_modulus = log_modulus + 0.5 * self._terms.counts[row] * np.log1p(square)
        return (real, imaginary, error), -float(np.max(log_modulus))

    def _proof(self, first: Sequence[Table]) -> tuple[float, _Reals]:
        """Return a t from which on `decay` proves the fall, or the end of what is affordable; and its bounds."""
        t = self._step * 16.0 * 2.0 ** np.arange(16.0)
        decays = np.array(
            [
                decay(loss, self._c, found.log_moment, found.moment_error, t, self._terms.reach)
                for loss, found in zip(self._terms.losses, first, strict=True)
            ]
        ).reshape(len(first), t.size)
        total = self._terms.counts @ decays - 0.5 * self._terms.squared_mu * t * t
        proven = np.flatnonzero(total <= np.log(math.pi * t) - self._fall)
        if proven.size:
            return float(t[proven[0]]), decays[:, proven[0]]
        place = int(math.log2(_NODES / 16))
        return float(t[place]), decays[:, place]

    def _cover(self, start: float, end: float, fallen: float) -> tuple[_Reals, _Reals] | None:
        """Return stretches from start to end on which the fall is proven, or None if it is not."""
        starts: list[float] = []
        rows: list[list[float]] = []
        t, t_max = start, start
        counts = self._terms.counts.tolist()
        found: list[tuple[Table, float, float]] = []
        real, imaginary = np.empty(1), np.empty(1)
        while t < end:
            if t >= t_max * (1.0 - 1e-9):
                t_max = min(2.0 * t, end * (1.0 + 1e-9))
                # A table's error rises with t: the one at t_max serves for both ends of a stretch.
                found = [
                    (entry, 2.0 * float(entry.error(np.array([t_max]))[0]), entry.mean_modulus * (1.0 + 1e-9))
                    for entry in self._tables(t_max, fallen)
                ]
            fallen, steepness = 0.5 * self._terms.squared_mu * t * t, 0.0
            moduli: list[float] = []
            for n, (entry, error, rise) in zip(counts, found, strict=True):
                kernels.walk(entry.losses, entry.weights, t, 1, real, imaginary)
                modulus = math.hypot(1.0 + real.item(), imaginary.item()) + error
                moduli.append(modulus)
                fallen -= n * math.log(min(modulus, 1.0))
                steepness += n * rise / modulus
            room = fallen - self._need(t)
            self._work += _START * sum(entry.losses.size for entry, _, _ in found)
            if room < 1.0 or len(rows) > 500 or self._work > self._most:
                return None
            width = min(0.9 * room / steepness if steepness > 0.0 else end, t_max - t)
            starts.append(t)
            rows.append(
                [
                    math.log(min(modulus + width * rise, 1.0))
                    for modulus, (_, _, rise) in zip(moduli, found, strict=True)
                ]
            )
            t += width * (1.0 - 1e-9)
        return np.array(starts), np.array(rows).reshape(len(rows), len(counts))
