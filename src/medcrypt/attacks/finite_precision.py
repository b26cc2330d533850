"""Chaos on a computer: orbits of few bits run in circles, and floating-point ones depend on who computes them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

__all__ = ["Period", "orbit_divergence", "orbit_period"]

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Period:
    """The shape of an orbit of a map with finitely many values.

    Parameters
    ----------
    tail
        Steps before it enters its cycle.
    length
        Steps around the cycle.
    """

    tail: int
    length: int


def orbit_period(step: Callable[[_Value], _Value], start: _Value) -> Period:
    """Find the cycle of an orbit (Brent 1980), in memory for two values.

    Parameters
    ----------
    step
        The map.
    start
        Where the orbit starts.

    Returns
    -------
    Period
        Tail and length.

    Examples
    --------
    >>> orbit_period(lambda x: (2 * x) % 48, 1)
    Period(tail=4, length=2)
    """
    power = length = 1
    behind, ahead = start, step(start)
    while behind != ahead:
        if power == length:
            behind, power, length = ahead, 2 * power, 0
        ahead = step(ahead)
        length += 1
    behind = ahead = start
    for _ in range(length):
        ahead = step(ahead)
    tail = 0
    while behind != ahead:
        behind, ahead, tail = step(behind), step(ahead), tail + 1
    return Period(tail, length)


def orbit_divergence(x: float, r: float = 4.0, apart: float = 0.1, steps: int = 10_000) -> int | None:
    """Count how long two ways of writing the logistic map agree in double precision.

    r x (1 - x) and r (x - x x) are equal, but are rounded differently; so are they by a compiler that fuses a
    multiplication and an addition. A key stream from either decrypts nothing of the other after some fifty steps.

    Parameters
    ----------
    x
        Start, between 0 and 1.
    r
        Parameter.
    apart
        From which distance on the orbits count as different.
    steps
        When to give up.

    Returns
    -------
    int or None
        The step at which the two differ, or None if they never do.

    Examples
    --------
    >>> 30 < orbit_divergence(0.3) < 90
    True
    """
    first = second = x
    for k in range(1, steps + 1):
        first = r * first * (1.0 - first)
        second = r * (second - second * second)
        if abs(first - second) > apart:
            return k
    return None
