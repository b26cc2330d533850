"""Telling neighbours apart from independent outputs: lower bounds on epsilon that hold with confidence.

One half of the outputs chooses an event, a set of cells that the outputs fall in; the other half counts how often it
occurs on either side. With p from below and q from above, by Clopper and Pearson, p <= e^epsilon q + delta must hold
for every (epsilon, delta)-private mechanism. What the first half chose cannot make the bound of the second half wrong,
only weak.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.dp.audit.intervals import clopper_pearson
from medcrypt.dp.events import _real

__all__ = ["Evidence", "epsilon_lower_bound", "evidence_against"]

Reals = NDArray[np.float64]

_CELLS = 64


@dataclass(frozen=True)
class Evidence:
    """How often an event occurs on two neighbours, from below and from above.

    Attributes
    ----------
    likely : float
        Lower bound of its probability where it is likely.
    unlikely : float
        Upper bound of its probability where it is unlikely.
    """

    likely: float
    unlikely: float

    def epsilon(self, delta: float) -> float:
        """Return the epsilon below which the event cannot occur so often; 0 if it proves nothing."""
        if self.likely <= delta:
            return 0.0
        return max(0.0, math.log((self.likely - delta) / self.unlikely))

    def delta(self, epsilon: float) -> float:
        """Return the delta below which the event cannot occur so often; 0 if it proves nothing."""
        return max(0.0, self.likely - math.exp(epsilon) * self.unlikely)


def epsilon_lower_bound(
    first: ArrayLike, second: ArrayLike, *, delta: float, confidence: float = 0.95
) -> float:
    """Return a lower bound on epsilon at ``delta`` from independent outputs on two neighbours.

    Parameters
    ----------
    first, second
        A score of each output, of independent runs on either neighbour; shape (n,), n >= 4.
    delta
        In [0, 1).
    confidence
        Probability with which the bound holds, in (0, 1).

    Returns
    -------
    float
        The bound; 0 if nothing is proven.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range, or there are too few outputs.

    Examples
    --------
    >>> from medcrypt import dp
    >>> mechanism = dp.LaplaceMechanism(scale=0.5, clip=1.0)  # 2-DP
    >>> with_it, without = (mechanism.release_many(records, 20_000) for records in ([1.0], []))
    >>> 1.5 < dp.audit.epsilon_lower_bound(with_it, without, delta=0.0, confidence=0.999999) <= 2.0
    True
    """
    scores = [np.asarray(side, dtype=np.float64).ravel() for side in (first, second)]
    if min(side.size for side in scores) < 4 or any(np.isnan(side).any() for side in scores):
        raise ValueError("each side needs at least 4 outputs, and none may be NaN")
    if not 0.0 <= _real("delta", delta) < 1.0:
        raise ValueError(f"delta must lie in [0, 1), not {delta}")
    choose, count = [side[::2] for side in scores], [side[1::2] for side in scores]
    cells = _Cells(choose)
    best, chosen = -math.inf, None
    for way in (0, 1):
        likely, unlikely = (cells.counts(choose[side]) for side in (way, 1 - way))
        for event in _nested(likely, unlikely):
            found = _rough(likely, unlikely, event).epsilon(delta)
            if found > best:
                best, chosen = found, (way, event)
    if chosen is None:  # not possible: there is at least one cell
        return 0.0
    way, event = chosen
    return _evidence(cells.counts(count[way]), cells.counts(count[1 - way]), event, confidence).epsilon(delta)


def evidence_against(
    first: Reals, second: Reals, curve: list[tuple[float, float]], confidence: float
) -> tuple[float, float, Evidence]:
    """Return the point of a claimed curve that one half finds weakest, and the other half's evidence."""
    choose, count = [first[::2], second[::2]], [first[1::2], second[1::2]]
    cells = _Cells(choose)
    best: tuple[float, float, float, int, NDArray[np.bool_]] | None = None
    for way in (0, 1):
        likely, unlikely = (cells.counts(choose[side]) for side in (way, 1 - way))
        for epsilon, delta in curve:
            event = likely / likely.sum() > math.exp(epsilon) * unlikely / unlikely.sum()
            # Not the largest excess counts but the one that the other half is likeliest to prove.
            rough = _rough(likely, unlikely, event)
            excess = rough.likely - math.exp(epsilon) * rough.unlikely - delta
            if best is None or excess > best[0]:
                best = excess, epsilon, delta, way, event
    if best is None:
        raise ValueError("the curve needs a point")
    _, epsilon, delta, way, event = best
    return (
        epsilon,
        delta,
        _evidence(cells.counts(count[way]), cells.counts(count[1 - way]), event, confidence),
    )


class _Cells:
    """Cells of about equally many outputs of both sides."""

    def __init__(self, sides: list[Reals]) -> None:
        pooled = np.sort(np.concatenate(sides))
        places = np.linspace(0, pooled.size - 1, _CELLS + 1).astype(int)[1:-1]
        # A value of its own, such as the end of a clip, is a cell of its own: [v, v] lies between two edges.
        values = np.unique(pooled[places])
        self._edges = np.unique(np.concatenate([values, np.nextafter(values, np.inf)]))

    def counts(self, scores: Reals) -> NDArray[np.int64]:
        """Return how many scores fall in each cell."""
        found = np.searchsorted(self._edges, scores, side="right")
        return np.bincount(found, minlength=self._edges.size + 1)


def _nested(likely: NDArray[np.int64], unlikely: NDArray[np.int64]) -> list[NDArray[np.bool_]]:
    """Return events of more and more cells, those that tell most first."""
    ratio = (likely + 0.5) / (unlikely + 0.5)
    ranks = np.argsort(np.argsort(-ratio, kind="stable"), kind="stable")
    return [ranks <= k for k in range(ranks.size)]


def _rough(likely: NDArray[np.int64], unlikely: NDArray[np.int64], event: NDArray[np.bool_]) -> Evidence:
    """Return what the bounds will be about, for choosing an event: five standard deviations, and ten for none."""
    p, q = (float(side[event].sum() / side.sum()) for side in (likely, unlikely))
    n, m = int(likely.sum()), int(unlikely.sum())
    upper = q + 5.0 * math.sqrt(q * (1.0 - q) / m) + 10.0 / m
    return Evidence(p - 5.0 * math.sqrt(p * (1.0 - p) / n) - 10.0 / n, upper)


def _evidence(
    likely: NDArray[np.int64], unlikely: NDArray[np.int64], event: NDArray[np.bool_], confidence: float
) -> Evidence:
    """Return the bounds for an event; each is missed with probability at most (1 - confidence)/2."""
    ends = [
        clopper_pearson(int(side[event].sum()), int(side.sum()), confidence) for side in (likely, unlikely)
    ]
    return Evidence(ends[0][0], ends[1][1])
