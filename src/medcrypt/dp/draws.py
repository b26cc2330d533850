"""What samplers add to a privacy curve: their draws are close to the laws of the events, not exactly of them.

Let a mechanism be at distance D in total variation from the one that its events describe, for every data set. Then for
any set S of outputs P'(S) - e^eps Q'(S) differs from P(S) - e^eps Q(S) by at most (1 + e^eps) D, so

    delta(eps) - (1 + e^eps) D  <=  delta'(eps)  <=  delta(eps) + (1 + e^eps) D.

Distances of draws add up, also where a draw's law depends on earlier ones (maximal coupling, step by step): D is their
sum. It is kept as an integer, in units of 2^-256 and rounded up draw by draw, so it does not depend on the order.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Self

from medcrypt.dp import noise
from medcrypt.dp.events import _natural, _real

__all__ = ["Draws"]

_LOG_UNITS = 256
_ONE = 1 << _LOG_UNITS
_DIGITS = 1000  # of a sum that is read
_SHARE = 2.0**-44  # of delta, set aside for the charge at first
_UP, _DOWN = 1.0 + 2.0**-50, 1.0 - 2.0**-50

_Curve = Callable[[float], tuple[float, float]]


class Draws(NamedTuple):
    """How many integers were drawn, and what their distances from their laws add up to.

    Attributes
    ----------
    number
        Draws of all releases.
    units
        Sum of their distances in total variation, in units of 2^-256.
    """

    number: int = 0
    units: int = 0

    def more(self, releases: int, draws: int, distance: float) -> Self:
        """Return the sum with ``releases`` further releases of ``draws`` integers, each within ``distance``.

        Raises
        ------
        TypeError, ValueError
            If the draws are no integer >= 0, or the distance is no number in [0, 1].
        """
        draws, distance = _natural("draws", draws), _real("distance", distance)
        if not 0.0 <= distance <= 1.0:
            raise ValueError(f"distance must lie in [0, 1], not {distance}")
        number = int(releases) * draws  # numpy's integers would wrap around
        return type(self)(self.number + number, self.units + number * _units(distance))

    @property
    def distance(self) -> float:
        """The sum of the distances, from above."""
        capped = min(self.units, _ONE)
        return math.ldexp(float(capped), -_LOG_UNITS) * (_UP if capped else 0.0)

    def charge(self, epsilon: float) -> float:
        """Return (1 + e^epsilon) times the distance, from above."""
        return noise.charge(epsilon, 1, self.distance)

    def delta_bounds(self, exact: _Curve, epsilon: float) -> tuple[float, float]:
        """Return bounds of delta from those of exact draws."""
        low, high = exact(epsilon)
        charge = self.charge(epsilon)
        return max(low - charge, 0.0) * _DOWN, min((high + charge) * _UP, 1.0)

    def epsilon_bounds(self, exact: _Curve, delta: float) -> tuple[float, float]:
        """Return bounds of epsilon from those of exact draws."""
        high = self.epsilon(exact, delta)
        # Below this, exact draws have a delta above delta + charge(high), and those made one above delta.
        raised = (delta + self.charge(high)) * _UP
        return (exact(raised)[0] if raised < 1.0 else 0.0), high

    def epsilon(self, exact: _Curve, delta: float) -> float:
        """Return epsilon from above, from bounds for exact draws: where what is set aside covers the charge.

        Infinite where the charge leaves nothing of delta.
        """
        aside = delta * _SHARE
        while aside < delta:
            high = exact((delta - aside) * _DOWN)[1]
            needed = self.charge(high)
            if needed <= aside:
                return high
            aside = 1.1 * needed
        return math.inf

    def state(self) -> dict[str, Any]:
        """Return JSON types: the number, and the sum in decimal."""
        return {"draws": self.number, "distance": str(self.units)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Read what `state` returned.

        Raises
        ------
        ValueError
            If it is malformed.
        """
        number, units = state["draws"], state["distance"]
        if type(number) is not int or number < 0:
            raise ValueError("draws must be an integer >= 0")
        if not (isinstance(units, str) and units.isascii() and units.isdigit() and len(units) <= _DIGITS):
            raise ValueError("the distance must be a decimal number")
        return cls(number, int(units))


def _units(distance: float) -> int:
    """Return a distance in units, rounded up."""
    return math.ceil(math.ldexp(distance, _LOG_UNITS))
