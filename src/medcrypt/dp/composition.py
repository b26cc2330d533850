"""The certified privacy curve of a composition in one direction.

Each curve offers ``bounds(epsilon)``, which encloses log delta(epsilon), and ``value(epsilon)``, its middle and
slope without bounds. `epsilon_bounds` inverts any of them: Newton's method finds a candidate, and only two
certified evaluations, one on each side of it, decide. Which curve answers:

* compositions of Gaussians, one sampled Gaussian and one Laplace mechanism have closed forms;
* everything else is integrated along one line (`contour`), where the tail of that line can be proven, or with a tiny
  Gaussian in it, which ends any line (`smoothed`);
* where one rare output decides, the curve of one step does, moved a little (`dominant`);
* Chernoff's inequality, the optimal conversion from Rényi divergences, is valid always and never left out: it
  also ends the search where no line is affordable.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Protocol

import numpy as np

from medcrypt.dp.atoms import AtomicLine, atoms_matter
from medcrypt.dp.contour import WORK, Line, Terms, log_factor, log_sum
from medcrypt.dp.dominant import DominantStep, NotRareError, sampled_once
from medcrypt.dp.grids import GridLines
from medcrypt.dp.lattice import LatticeLine, common_spacing
from medcrypt.dp.losses import DiscreteLoss, GaussianLoss, LaplaceLoss, Loss, SampledGaussianLoss
from medcrypt.dp.normal import gaussian_error, gaussian_log_delta
from medcrypt.dp.smoothed import SMOOTHED_NODES, SmoothedLine, far_enough
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import OutOfReachError

__all__ = ["Composition"]

_U = 2.0**-53
_OUTPUT_DIGITS = 24.0  # outputs cut from sampled Gaussians have a mass below exp(-24) = 4e-11 of delta
_LEAST_LOG_DELTA = -800.0  # below the least positive double
_WIDE = 1e-5  # bounds further apart than this are worth a second look
_NARROW = 1e-8  # a line placed for another epsilon serves where it bounds log delta so well
_LOOKS = 9  # for the epsilon at which a smoothed line has to stand
_KEPT = 1.5  # a line serves until a count has grown by this factor,
_KEPT_WIDTH = 1e-9  # or its bounds on epsilon are further apart than this, and than twice what they were

Bounds = tuple[float, float]


class _Curve(Protocol):
    """What can be inverted."""

    def value(self, epsilon: float) -> Bounds: ...

    def bounds(self, epsilon: float) -> Bounds: ...


class Composition:
    """The privacy loss of a whole composition in one direction.

    Parameters
    ----------
    losses
        Distinct mechanisms.

    Examples
    --------
    >>> once = Composition([GaussianLoss(1.0)])
    >>> low, high = once.log_delta_bounds(1.0)
    >>> round(low, 9), round(high, 9)
    (-2.064066447, -2.064066447)
    """

    def __init__(self, losses: Sequence[Loss]) -> None:
        self._losses = tuple(losses)
        self._counts = (1,) * len(self._losses)
        self._tabulated = tuple(loss for loss in self._losses if not isinstance(loss, GaussianLoss))
        self._reveals = any(isinstance(loss, DiscreteLoss) and loss.infinity > 0.0 for loss in self._losses)
        self._unbounded = any(
            isinstance(loss, GaussianLoss)
            or (isinstance(loss, SampledGaussianLoss) and loss.removing)
            or (isinstance(loss, DiscreteLoss) and loss.missing > 0.0)
            for loss in self._losses
        )
        self._placed: tuple[Line, tuple[int, ...], float] | None = None
        self._traced: tuple[_Curve, tuple[int, ...]] | None = None
        # The last epsilon, by how much it was above the one before, and how much more that was than the time before.
        self._last = self._growth = self._bend = 0.0
        self._width, self._margins = 0.0, (0.0, 0.0)  # of the line that is kept
        self._checked: tuple[object, float, float, tuple[list[float], list[float]]] | None = None

    def run(self, counts: Sequence[int]) -> None:
        """Say how often each mechanism ran, once by default; what was computed for other counts is reused."""
        self._counts = tuple(counts)

    def epsilon_bounds(self, log_delta: float) -> Bounds:
        """Return certified bounds on the least epsilon >= 0 whose delta is at most exp(log_delta)."""
        infinity = self._terms(1.0).infinity() if self._reveals else 0.0
        if infinity > 0.0 and log_delta < math.log(infinity) + 1e-9:
            return (math.inf, math.inf) if log_delta < math.log(infinity) - 1e-9 else (0.0, math.inf)
        pure = self._largest_finite()
        if pure == 0.0:
            return 0.0, 0.0
        closed = self._closed_form()
        if closed is not None:
            low, high = _inverted(closed, log_delta, 0.0, self._last)
            self._last = high if math.isfinite(high) else 0.0
            return low, min(high, pure)
        # Nothing proves that a line ends whose losses are points off every lattice.
        endless = common_spacing(self._losses) is None and all(
            isinstance(loss, DiscreteLoss) for loss in self._losses
        )
        low, high = (0.0, math.inf) if endless else self._on_a_line(log_delta, WORK)
        if not high - low <= _WIDE * min(1.0, high):
            low, high = self._by_one_step(log_delta, low, high)
        if not high - low <= _WIDE * min(1.0, high):
            low, high = self._on_smoothed_lines(log_delta, low, high)
            if not high - low <= 10.0 * _WIDE * min(1.0, high):
                low, high = self._on_grids(log_delta, low, high)
            if not high - low <= 10.0 * _WIDE * min(1.0, high):
                long = self._on_a_line(log_delta, 4.0 * WORK)
                low, high = max(low, long[0]), min(high, long[1])
        if not high - low <= 1e-6 * low:
            low = max(low, self._least_epsilon(log_delta))
        if not high - low <= 1e-3 * low:
            high = min(high, self.chernoff_epsilon(log_delta))
        return min(low, pure), min(high, pure)

    def log_delta_bounds(self, epsilon: float) -> Bounds:
        """Return certified bounds on log delta(epsilon), epsilon >= 0."""
        if epsilon >= self._largest_finite():
            infinity = self._terms(1.0).infinity() if self._reveals else 0.0
            if infinity == 0.0:
                return -math.inf, -math.inf
            return math.log(infinity) - 1e-12, math.log(infinity) + 1e-12
        closed = self._closed_form()
        if closed is not None:
            return closed.bounds(epsilon)
        if self._traced is not None and self._traced[1] == self._counts:
            low, high = self._traced[0].bounds(epsilon)
            if high - low <= _NARROW:
                return low, min(high, 0.0)
        ceiling = self.chernoff_log_delta(epsilon)
        reach = self._reach(1.1 * ceiling - 4.0)
        try:
            line, _ = self._line(reach, lambda survey: survey.saddle_at_epsilon(epsilon))
            low, high = line.bounds(epsilon)
            self._traced = line, self._counts
        except ArithmeticError:
            low, high = -math.inf, 0.0
        if not high - low <= _WIDE:
            low, high = self._by_its_curve(epsilon, low, min(high, ceiling))
        if not high - low <= _WIDE:
            try:
                line, _ = self._smoothed(reach, lambda survey: survey.saddle_at_epsilon(epsilon))
                under, over = line.bounds(epsilon)
                low, high = max(low, under), min(high, over)
            except ArithmeticError:
                pass
        if not high - low <= 10.0 * _WIDE:
            try:
                grids, _ = self._grids(reach, lambda survey: survey.saddle_at_epsilon(epsilon))
                under, over = grids.bounds(epsilon)
                low, high = max(low, under), min(high, over)
            except ArithmeticError:
                pass
        return low, min(high, ceiling, 0.0)

    def may_exceed(self, epsilon: float, log_delta: float) -> bool:
        """Tell whether delta(epsilon) may be above exp(log_delta); False only if Chernoff's bound proves it is not."""
        if self._counts == (1,) and self._closed_form() is not None:
            return True  # the formula itself takes no longer than to ask
        key = (log_delta, tuple(count.bit_length() for count in self._counts))
        if self._checked is None or self._checked[0] != key:
            reach = self._reach(log_delta - math.log(2.0))
            survey = Survey.of(self._pairs(), reach)
            c = survey.chernoff_at_epsilon(epsilon)
            terms = self._terms(reach)
            try:
                found = terms.tables_at(c, survey)
            except OutOfReachError:
                return True
            self._checked = key, reach, c, found
        _, reach, c, found = self._checked
        terms = self._terms(reach)
        height, error = terms.total(c, *found)
        log_bound = height + error + log_factor(c) - c * epsilon + 1e-9
        return not _added(log_bound, terms.missing() + terms.infinity()) <= log_delta - 1e-12

    def pure_epsilon(self) -> float:
        """Return the epsilon of delta = 0 from above: the largest loss, infinite where there is none."""
        lists = (loss for loss in self._losses if isinstance(loss, DiscreteLoss))
        return math.inf if any(loss.infinity > 0.0 for loss in lists) else self._largest_finite()

    def _largest_finite(self) -> float:
        """Return the largest loss that is not infinite, from above: from there on delta is what is at infinity."""
        if self._unbounded:
            return math.inf
        exact: Fraction | int = 0
        rounded = 0.0
        for loss, count in self._pairs():
            match loss:
                case LaplaceLoss(e):
                    exact += count * Fraction(e)
                case SampledGaussianLoss(_, q):
                    rounded -= count * math.log1p(-q)
                case DiscreteLoss():
                    rounded += count * (float(np.max(loss.losses)) + loss.loss_error)
        largest = float(exact)
        if Fraction(largest) < exact:
            largest = math.nextafter(largest, math.inf)
        return largest if rounded == 0.0 else (largest + rounded) * (1.0 + 16.0 * _U)

    def chernoff_epsilon(self, log_delta: float) -> float:
        """Return the least epsilon of Chernoff's bound: the optimal conversion from Rényi divergences.

        Canonne, Kamath and Steinke 2020, Proposition 12, at one good real order 1 + c; any c is valid.
        """
        reach = self._reach(log_delta)
        terms, survey = self._terms(reach), Survey.of(self._pairs(), reach)
        left = terms.missing() + terms.infinity()
        # Rounded up: next to one a little more of it leaves much less for the rest.
        share = math.exp(min(math.log(left) - log_delta, 1.0)) * (1.0 + 1e-11) if left > 0.0 else 0.0
        target = log_delta + math.log1p(-share) if share < 1.0 else -math.inf
        c = survey.chernoff_at_delta(log_delta)
        try:
            height, error = terms.log_moment(c, survey)
        except OutOfReachError:
            return math.inf
        factor = log_factor(c)
        value = (height + error + factor - target + 1e-14 * (abs(height) + abs(factor) + abs(target))) / c
        return max(value * (1.0 + 1e-12), 0.0) + 1e-300

    def chernoff_log_delta(self, epsilon: float) -> float:
        """Return Chernoff's bound on log delta(epsilon), at most 0."""
        log_delta = 0.0
        for _ in range(2):
            # First with every output that a double can tell from none, then with those that matter.
            reach = self._reach(1.1 * log_delta - 4.0 if log_delta else _LEAST_LOG_DELTA)
            terms, survey = self._terms(reach), Survey.of(self._pairs(), reach)
            c = survey.chernoff_at_epsilon(epsilon)
            try:
                height, error = terms.log_moment(c, survey)
            except OutOfReachError:
                return min(log_delta, 0.0)
            log_delta = height + error + log_factor(c) - c * epsilon
            log_delta += 1e-14 * (abs(height) + c * epsilon) + 1e-12
            log_delta = _added(log_delta, terms.missing() + terms.infinity())
            if not any(isinstance(loss, SampledGaussianLoss) for loss in self._losses) or log_delta >= 0.0:
                break
        return min(float(log_delta), 0.0)

    def _pairs(self) -> list[tuple[Loss, int]]:
        """Return the mechanisms with their counts."""
        return list(zip(self._losses, self._counts, strict=True))

    def _terms(self, reach: float) -> Terms:
        """Return the composition as the line wants it."""
        if len(self._tabulated) == len(self._losses):
            return Terms(0.0, self._tabulated, np.array(self._counts, dtype=np.float64), reach)
        return Terms.of(self._pairs(), reach)

    @np.errstate(all="ignore")
    def _line(
        self, reach: float, saddle_of: Callable[[Survey], Saddle], work: float = WORK
    ) -> tuple[Line | AtomicLine | LatticeLine, Saddle]:
        """Place a line at a saddle; what overflows on the way is no line."""
        survey = Survey.of(self._pairs(), reach)
        saddle = saddle_of(survey)
        if not (math.isfinite(saddle.log_delta) and math.isfinite(saddle.spread)):
            raise OutOfReachError
        if len(self._losses) == 1 and isinstance(loss := self._losses[0], LaplaceLoss):
            count = self._counts[0]
            if atoms_matter(loss, count, saddle.c):
                return AtomicLine(loss, count, survey, saddle), saddle
        spacing = common_spacing(self._losses)
        if spacing is not None:
            return LatticeLine(self._terms(reach), spacing, survey, saddle), saddle
        return Line(self._terms(reach), survey, saddle, work), saddle

    def _reach(self, log_delta: float) -> float:
        """Return the standard deviations beyond which outputs of all steps together do not matter."""
        steps = sum(count for loss, count in self._pairs() if isinstance(loss, SampledGaussianLoss))
        return math.sqrt(2.0 * (math.log(max(steps, 1)) - log_delta + _OUTPUT_DIGITS))

    def _on_a_line(self, log_delta: float, work: float) -> Bounds:
        """Return bounds on epsilon by a line, an old one where it still serves; none if it takes too much work."""
        try:
            return self._by_a_line(log_delta, work)
        except ArithmeticError:
            # Where numbers overflow there is no line either.
            return 0.0, math.inf

    def _by_a_line(self, log_delta: float, work: float) -> Bounds:
        """Do what `_on_a_line` says, or raise."""
        if self._placed is not None:
            line, counts, placed_for = self._placed
            serves = all(old <= new <= _KEPT * old for old, new in zip(counts, self._counts, strict=True))
            if serves and placed_for == log_delta:
                line.weigh(self._terms(line.terms.reach))
                low, high = self._once_more(line, log_delta)
                if high - low <= max(_KEPT_WIDTH * min(1.0, high), 2.0 * self._width):
                    return low, high
        reach = self._reach(log_delta)
        fresh, saddle = self._line(reach, _at_delta(log_delta), work)
        low, high = _inverted(fresh, log_delta, 0.0, max(saddle.epsilon, 0.0))
        if not high - low <= 1e-7 * min(1.0, high) and _far(high, saddle):
            fresh, _ = self._line(reach, _better(high, log_delta), work)
            low, high = _inverted(fresh, log_delta, 0.0, high)
        if math.isfinite(high) and isinstance(fresh, Line):
            self._placed = fresh, self._counts, log_delta
            self._last, self._growth, self._bend = high, 0.0, 0.0
            self._width, self._margins = high - low, (0.5 * (high - low),) * 2
        return low, high

    def _once_more(self, line: Line, log_delta: float) -> Bounds:
        """Return bounds on epsilon by a line that served for a few steps less, trying first what was found then."""
        guess = self._last + self._growth + self._bend
        middle, slope = _root(line, log_delta, guess if guess > 0.0 else self._last)
        low, high = _enclosed(line, log_delta, middle, self._margins, 0.0)
        if not high - low <= 1.05 * sum(self._margins) + 16.0 * _U * middle:
            self._margins = _margins(line, log_delta, middle, slope)
            low, high = _enclosed(line, log_delta, middle, self._margins, 0.0)
        if math.isfinite(high):
            growth = high - self._last
            self._last, self._growth, self._bend = high, growth, growth - self._growth
        return low, high

    @np.errstate(all="ignore")
    def _smoothed(
        self, reach: float, saddle_of: Callable[[Survey], Saddle], most: int = SMOOTHED_NODES
    ) -> tuple[SmoothedLine, Saddle]:
        """Place a smoothed line at a saddle."""
        survey = Survey.of(self._pairs(), reach)
        farther = far_enough(self._losses, reach, saddle_of(survey).c)
        if farther > reach:
            survey = Survey.of(self._pairs(), farther)
        saddle = saddle_of(survey)
        if not (math.isfinite(saddle.log_delta) and math.isfinite(saddle.spread)):
            raise OutOfReachError
        return SmoothedLine(self._terms(farther), survey, saddle, most), saddle

    def _by_one_step(self, log_delta: float, low: float, high: float) -> Bounds:
        """Tighten bounds on epsilon by the curve of one rare output that decides, where it does."""
        try:
            curve = self._one_step(log_delta)
            found = _inverted(curve, log_delta, 0.0, 0.5 * (low + high) if high < math.inf else 1.0)
        except ArithmeticError:
            return low, high
        return max(low, found[0]), min(high, found[1])

    def _by_its_curve(self, epsilon: float, low: float, high: float) -> Bounds:
        """Tighten bounds on log delta by the same curve."""
        try:
            # The bound so far may be far above, but then the first curve shows where the second has to be.
            for _ in range(2):
                under, over = self._one_step(high).bounds(epsilon)
                low, high = max(low, under), min(high, over)
        except ArithmeticError:
            pass
        return low, high

    def _one_step(self, log_delta: float) -> DominantStep:
        """Return that curve around a delta."""
        match self._losses:
            case (SampledGaussianLoss() as loss,):
                return DominantStep(loss, self._counts[0], log_delta)
        raise NotRareError

    def _on_smoothed_lines(self, log_delta: float, low: float, high: float) -> Bounds:
        """Tighten bounds on epsilon by smoothed lines.

        Where few large losses decide, the saddle of a delta may be that of quite another epsilon: short lines look for
        it first.
        """
        reach, most = self._reach(log_delta), SMOOTHED_NODES
        saddle_of = _at_delta(log_delta)
        for _ in range(_LOOKS):
            try:
                line, saddle = self._smoothed(reach, saddle_of, most)
                start = min(max(saddle.epsilon, low), high)
                found = _inverted(line, log_delta, 0.0, max(start, 0.0))
            except ArithmeticError:
                break
            low, high = max(low, found[0]), min(high, found[1])
            if high - low <= _WIDE * min(1.0, high) or not math.isfinite(high):
                break
            if not _far(high, saddle) and most == SMOOTHED_NODES:
                break
            most = SMOOTHED_NODES if high < 1.05 * low or not _far(high, saddle) else 1 << 14
            middle = math.sqrt(low * high) if 0.0 < 2.0 * low < high else high
            saddle_of = _better(middle, log_delta)
        return low, high

    @np.errstate(all="ignore")
    def _grids(self, reach: float, saddle_of: Callable[[Survey], Saddle]) -> tuple[GridLines, Saddle]:
        """Place two lattice lines around the curve."""
        survey = Survey.of(self._pairs(), reach)
        saddle = saddle_of(survey)
        if not (math.isfinite(saddle.log_delta) and math.isfinite(saddle.spread)):
            raise OutOfReachError
        return GridLines(self._pairs(), reach, survey, saddle), saddle

    def _on_grids(self, log_delta: float, low: float, high: float) -> Bounds:
        """Tighten bounds on epsilon by grids, if they are affordable."""
        reach = self._reach(log_delta)
        try:
            grids, saddle = self._grids(reach, _at_delta(log_delta))
            start = saddle.epsilon if not low < high < math.inf else min(max(saddle.epsilon, low), high)
            found = _inverted(grids, log_delta, 0.0, max(start, 0.0))
            low, high = max(low, found[0]), min(high, found[1])
            if found[1] - found[0] > _WIDE * min(1.0, found[1]) and _far(found[1], saddle):
                again, _ = self._grids(reach, _better(found[1], log_delta))
                found = _inverted(again, log_delta, 0.0, found[1])
                low, high = max(low, found[0]), min(high, found[1])
        except ArithmeticError:
            pass  # no lattice is affordable, or numbers overflow: what is known stays
        return low, high

    def _closed_form(self) -> "_ClosedForm | None":
        """Return the curve where a formula exists."""
        if all(isinstance(loss, GaussianLoss) for loss in self._losses):
            squares = (loss.squared_mu * n for loss, n in self._pairs() if isinstance(loss, GaussianLoss))
            mu = math.sqrt(math.fsum(squares))
            return _ClosedForm(lambda epsilon: (gaussian_log_delta(mu, epsilon), gaussian_error(mu, epsilon)))
        if self._counts != (1,):
            return None
        match self._losses[0]:
            case LaplaceLoss(e):
                return _ClosedForm(lambda epsilon: _laplace_once(e, epsilon))
            case SampledGaussianLoss() as loss:
                return _ClosedForm(lambda epsilon: sampled_once(loss, epsilon))
        return None

    def _least_epsilon(self, log_delta: float) -> float:
        """Return a lower bound from the atom of the largest loss, if all have one: delta >= p (1 - e^(eps - l))."""
        top = log_mass = 0.0
        for loss, count in self._pairs():
            match loss:
                case LaplaceLoss(e):
                    top, log_mass = top + count * e * (1.0 - 8.0 * _U), log_mass - count * math.log(2.0)
                case DiscreteLoss():
                    place = int(np.argmax(loss.losses))
                    top += count * (float(loss.losses[place]) - loss.loss_error)
                    log_mass += count * (float(loss.log_masses[place]) - 2.0 * loss.mass_error)
                case _:
                    return 0.0
        log_ratio = log_delta - log_mass + 1e-13 * abs(log_mass)
        if log_ratio >= -1e-9:
            return 0.0
        return max((top + math.log1p(-math.exp(log_ratio))) * (1.0 - 64.0 * _U) - 1e-15, 0.0)


def _added(log_delta: float, left: float) -> float:
    """Return the log of delta and a mass that is left, from above."""
    return log_sum(log_delta, math.log(left) + 1e-12) + 1e-12 if left > 0.0 else log_delta


def _far(epsilon: float, saddle: Saddle) -> bool:
    """Tell whether a saddle belongs to another epsilon: its leading order was too rough."""
    return math.isfinite(epsilon) and abs(epsilon - saddle.epsilon) > 0.02 * epsilon


def _at_delta(log_delta: float) -> Callable[[Survey], Saddle]:
    """Return the search for the saddle of a delta."""
    return lambda survey: survey.saddle_at_delta(log_delta)


def _better(epsilon: float, log_delta: float) -> Callable[[Survey], Saddle]:
    """Return the search for the saddle at an epsilon whose log delta is known."""
    return lambda survey: replace(survey.saddle_at_epsilon(epsilon), epsilon=epsilon, log_delta=log_delta)


class _ClosedForm:
    """A curve with a formula: log delta and a bound on its error."""

    def __init__(self, formula: Callable[[float], Bounds]) -> None:
        self._formula = formula

    def value(self, epsilon: float) -> Bounds:
        """Return log delta and its slope."""
        step = 1e-6 * epsilon + 1e-9
        first, second = self._formula(epsilon)[0], self._formula(epsilon + step)[0]
        return first, (second - first) / step if second > -math.inf else -math.inf

    def bounds(self, epsilon: float) -> Bounds:
        """Return certified bounds on log delta."""
        value, error = self._formula(epsilon)
        if value == -math.inf:
            # Zero, or so far below every double that its logarithm overflowed.
            return value, value if error == 0.0 else -1e300
        return value - error, min(value + error, 0.0)


def _laplace_once(e: float, epsilon: float) -> Bounds:
    """Return log delta of one Laplace mechanism, 1 - e^((eps - e)/2), and a bound on its error."""
    share = -math.expm1(0.5 * min(epsilon - e, 0.0))
    if share <= 0.0:
        return -math.inf, 0.0
    return math.log(share), 16.0 * _U * (1.0 + (epsilon + e) / share) + 8.0 * _U * abs(math.log(share))


def _inverted(curve: _Curve, log_delta: float, floor: float, start: float) -> Bounds:
    """Return certified bounds on the least epsilon >= floor with log delta(epsilon) <= log_delta.

    The curve falls, so an epsilon whose certified upper bound meets the target lies above the answer, and one whose
    certified lower bound exceeds it lies below.
    """
    goal = log_delta - 2.0 * _U * abs(log_delta)
    if start <= floor + 1e-9 or not start > 0.0:
        at_floor = curve.bounds(floor)
        if at_floor[1] <= goal:
            return floor, floor
    middle, slope = _root(curve, log_delta, max(start, floor))
    return _enclosed(curve, log_delta, middle, _margins(curve, log_delta, middle, slope), floor)


def _margins(curve: _Curve, log_delta: float, middle: float, slope: float) -> Bounds:
    """Return how far to either side of the root bounds will decide, by those at the root and the slope."""
    under, over = curve.bounds(middle)
    if not (slope < 0.0 and math.isfinite(slope)):
        slope = -1.0
    return (log_delta - under) / -slope, (over - log_delta) / -slope


def _enclosed(curve: _Curve, log_delta: float, middle: float, margins: Bounds, floor: float) -> Bounds:
    """Return certified bounds on the least epsilon by evaluations on both sides of the root."""
    slack = 2.0 * _U * abs(log_delta)
    goal, above = log_delta - slack, log_delta + slack
    return (
        _step_out(curve, middle, margins[0], lambda b: b[0] >= above, -1.0, floor),
        _step_out(curve, middle, margins[1], lambda b: b[1] <= goal, 1.0, floor),
    )


def _step_out(
    curve: _Curve, middle: float, width: float, proven: Callable[[Bounds], bool], sign: float, floor: float
) -> float:
    """Return the first point on one side of the middle that a certified evaluation proves to lie there."""
    width = max(1.02 * width, 0.0) if math.isfinite(width) else 1e-6 * middle
    width += 4.0 * _U * middle + 1e-300
    for _ in range(60):
        point = middle + sign * width
        if point <= floor and sign < 0.0:
            return floor
        if proven(curve.bounds(point)):
            return point
        width *= 2.0
        if width > 4.0 * middle + 1e3:
            break
    return floor if sign < 0.0 else math.inf


def _root(curve: _Curve, log_delta: float, start: float) -> tuple[float, float]:
    """Return eps with log delta(eps) = log_delta, and the slope, by Newton's method inside a shrinking bracket."""
    low, high, value, slope = 0.0, math.inf, start, math.nan
    for _ in range(80):
        found, slope = curve.value(value)
        if found > log_delta:
            low = value
        else:
            high = value
        proposal = value - (found - log_delta) / slope if math.isfinite(found) and slope < 0.0 else math.nan
        if high == math.inf:
            # Where the curve is still flat its slope says nothing about how far to go.
            proposal = min(proposal, 16.0 * value + 16.0)
        if not low <= proposal <= high or not math.isfinite(proposal):
            proposal = 0.5 * (low + high) if math.isfinite(high) else 2.0 * value + 1e-9
        # Newton's next error is about the square of this step; the certified evaluations come afterwards.
        if abs(proposal - value) <= 1e-7 * value or (high - low) <= 1e-15 * low:
            return proposal, slope
        value = proposal
    return value, slope
