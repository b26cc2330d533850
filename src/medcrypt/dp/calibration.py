"""Calibration: the parameter of a mechanism that meets a privacy target."""

import math
from collections.abc import Callable

from medcrypt.dp.accountant import Accountant
from medcrypt.dp.events import Event, _natural, _positive, _real

__all__ = ["calibrate", "calibrate_count"]

_TOLERANCE = 1e-8
_CLOSE = 3e-10  # error of an interpolation that leaves room for the tolerance


def calibrate(
    family: Callable[[float], Event],
    *,
    count: int = 1,
    epsilon: float,
    delta: float,
    neighbors: str = "add_or_remove_one",
    bracket: tuple[float, float] | None = None,
) -> float:
    """Return the parameter at which a family of events costs ``epsilon`` at ``delta``, on the safe side.

    Parameters
    ----------
    family
        Maps a parameter s > 0 to an event whose cost rises or falls with s, e.g. ``lambda s:
        dp.Gaussian(s)``.
    count
        How often the event is released; >= 1.
    epsilon, delta
        The target; epsilon > 0, delta in (0, 1).
    neighbors
        The neighbouring relation, as in `Accountant`.
    bracket
        Parameters between which the answer lies. Without it the search starts at 1 and widens both ways;
        families that refuse some parameters (a sampling rate above 1) need a bracket.

    Returns
    -------
    float
        s with ``Accountant(neighbors).compose(family(s), count).epsilon(delta) <= epsilon``, within 1e-8
        relative of where that stops to hold. Where that epsilon is one end of wide bounds, `Accountant.epsilon_bounds`
        at s tells how much the width may cost. A delta smaller by `Accountant.charge` leaves room for the samplers.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument is outside its range, or no parameter in the bracket crosses the target.

    Examples
    --------
    >>> from medcrypt import dp
    >>> sigma = dp.calibrate(lambda s: dp.Gaussian(s), epsilon=1.0, delta=1e-5)
    >>> round(sigma, 6)
    3.730632
    """
    count = _natural("count", count)
    epsilon, delta = _positive("epsilon", epsilon), _real("delta", delta)
    if count < 1:
        raise ValueError("count must be at least 1")
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta must lie in (0, 1), not {delta}")
    if not callable(family):
        raise TypeError("family must be callable")

    def excess(s: float) -> float:
        """Return log(cost/target), positive where the target is missed."""
        cost = Accountant(neighbors).compose(family(s), count).epsilon(delta)
        return math.log(max(cost, 1e-300) / epsilon)

    if bracket is None:
        found = _by_interpolation(excess)
        if found is not None:
            return found
    low, high = _bracket(excess, bracket)
    return _safe_root(excess, low, high)


def calibrate_count(
    event: Event, *, epsilon: float, delta: float, neighbors: str = "add_or_remove_one"
) -> int:
    """Return how often an event may be released within ``epsilon`` at ``delta``.

    Parameters
    ----------
    event
        The event.
    epsilon, delta
        The target; epsilon > 0, delta in (0, 1).
    neighbors
        The neighbouring relation, as in `Accountant`.

    Returns
    -------
    int
        The largest count n with ``Accountant(neighbors).compose(event, n).epsilon(delta) <= epsilon``; 0 if one
        release costs too much.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If an argument is outside its range, the event is refused, or more than 1e9 releases fit.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.calibrate_count(dp.PoissonSampled(0.01, dp.Gaussian(1.1)), epsilon=2.0, delta=1e-5)
    1725
    """
    epsilon, delta = _positive("epsilon", epsilon), _real("delta", delta)
    if not 0.0 < delta < 1.0:
        raise ValueError(f"delta must lie in (0, 1), not {delta}")

    def fits(count: int) -> bool:
        return Accountant(neighbors).compose(event, count).epsilon(delta) <= epsilon

    low, high = 0, 64
    while fits(high):
        low, high = high, high * 4
        if high > 10**9:
            raise ValueError("more than 1e9 releases fit")
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


_Point = tuple[float, float]


def _by_interpolation(excess: Callable[[float], float]) -> float | None:
    """Return the safe end of a bracket of relative width 1e-8 by interpolation in log-log, or None if that fails.

    The first step guesses that the cost falls like 1/s. Nothing is believed: both ends are evaluated.
    """
    try:
        points = [(excess(1.0), 0.0)]
        ahead = max(min(points[0][0], 1.0), -1.0) or 1e-3
        for _ in range(12):
            x = points[-1][1] + ahead
            points = [*points[-2:], (excess(math.exp(x)), x)]
            if len({value for value, _ in points}) < len(points):
                return None
            ahead = _root_through(points) - x
            if not abs(ahead) <= 2.0:
                return None
            # The error is about the product of the root's distances from all points.
            error = abs(math.prod(x + ahead - place for _, place in points))
            if error <= _CLOSE and abs(ahead) <= 1e-4:
                break
        else:
            return None
        (before, place), (value, _) = points[-2:]
        toward = 1.0 if (value - before) * (x - place) < 0.0 else -1.0
        safe = math.exp(x + ahead + 0.3 * _TOLERANCE * toward)
        unsafe = math.exp(x + ahead - 0.6 * _TOLERANCE * toward)
        return safe if excess(safe) <= 0.0 < excess(unsafe) else None
    except (ValueError, OverflowError):
        return None


def _root_through(points: list[_Point]) -> float:
    """Return x at value 0 on the polynomial in the value through pairs (value, x)."""
    return sum(
        x * math.prod(other / (other - value) for other, _ in points if other != value) for value, x in points
    )


def _bracket(excess: Callable[[float], float], bracket: tuple[float, float] | None) -> tuple[_Point, _Point]:
    """Return two parameters and their excesses, of different signs."""
    if bracket is not None:
        first, second = (_positive("bracket", end) for end in bracket)
        low, high = (first, excess(first)), (second, excess(second))
        if (low[1] > 0.0) == (high[1] > 0.0):
            raise ValueError("the target is not crossed inside the bracket")
        return low, high
    at_one = excess(1.0)
    low = high = (1.0, at_one)
    factor = 2.0
    while factor < 1e160:
        for s, reference in ((high[0] * factor, high), (low[0] / factor, low)):
            point = (s, excess(s))
            if (point[1] > 0.0) != (at_one > 0.0):
                return reference, point
            if s > 1.0:
                high = point
            else:
                low = point
        factor *= factor
    raise ValueError("no parameter meets the target")


def _safe_root(excess: Callable[[float], float], first: _Point, second: _Point) -> float:
    """Return the safe end of a bracket of relative width 1e-8, by false position in log-log (Illinois)."""
    safe, unsafe = (first, second) if first[1] <= 0.0 else (second, first)
    safe_weight, unsafe_weight = safe[1], unsafe[1]
    for attempt in range(200):
        gap = math.log(unsafe[0] / safe[0])
        if abs(gap) <= _TOLERANCE:
            break
        share = safe_weight / (safe_weight - unsafe_weight) if attempt % 4 != 3 else 0.5
        # A trial is kept a third of the tolerance inside the bracket, so that the last one closes it.
        inset = min(0.3 * _TOLERANCE / abs(gap), 0.5)
        s = safe[0] * math.exp(gap * min(max(share, inset), 1.0 - inset))
        value = excess(s)
        if value <= 0.0:
            safe, safe_weight, unsafe_weight = (s, value), value, 0.5 * unsafe_weight
        else:
            unsafe, unsafe_weight, safe_weight = (s, value), value, 0.5 * safe_weight
    return safe[0]
