"""Grids: any loss between two losses on a lattice, for compositions whose line does not decay.

The range of the loss is cut into cells [a, b] of the width ``spacing``; a cell holds the masses P and Q under the
two neighbours.

* Above ("connect the dots"): the cell's masses move to its ends with both P and Q kept. This is the reverse of
  merging outputs, so delta only grows, at every epsilon and after any composition.
* Below: neighbouring cells are merged, in shares, so that their common loss is a lattice point; merging outputs is
  post-processing, so delta only falls. What finds no partner above takes one from the points below, and what finds
  none there either gives up mass under P until its loss is one (`DiscreteLoss.given_up`).

Both are exact up to second order in the spacing where losses are continuous, and to first order below where they are
points. Both masses of a cell are computed over the very same outputs, whose ends are doubles: they are relatively
precise (`Cells.mass_error`), also where rounding moved the ends (`Cells.edge_error`). The curves are charged with a
factor (1 +- mass_error)^T; above, the upper end of a cell gets as much more as errors may have taken from it.
"""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.contour import Terms, place
from medcrypt.dp.discrete import DiscreteLoss
from medcrypt.dp.lattice import LatticeLine
from medcrypt.dp.legendre import legendre
from medcrypt.dp.losses import GaussianLoss, LaplaceLoss, Loss, SampledGaussianLoss
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import OutOfReachError, U, mass_beyond

__all__ = ["GridLines", "above", "below"]

_Reals = NDArray[np.float64]

_ON_POINT = 1e-13  # relative, of a ratio: its loss is the point's
_CELLS = 1 << 15
_NODES = 1 << 16
_LARGEST = 600.0  # of a loss: its exponential has to fit
_FAINT = 1e-290  # a mass under Q below this may have lost digits: the cell gives up its mass under P
_FINE = 32.0  # cells of a standard deviation, at least, under a Gauss rule of eight points
_POINTS, _SHARES = legendre(8)


class Cells(NamedTuple):
    """A loss cut into cells.

    Number of the first cell, masses under P and Q, masses at infinity and missing; relative error of the masses, and by
    how much the losses of a cell may lie outside it.
    """

    first: int
    p: _Reals
    q: _Reals
    infinity: float
    missing: float
    mass_error: float
    edge_error: float


class Heap(NamedTuple):
    """Outputs merged into one, which lies in no cell: their common loss, where the lattice starts, and their mass."""

    loss: float
    mass: float


_NO_HEAP = Heap(0.0, 0.0)


class GridLines:
    """Two lattice lines that hold the curve between them; the interface is that of `contour.Line`.

    Parameters
    ----------
    pairs
        The composition.
    reach
        Standard deviations beyond which outputs of Gaussians are left out.
    survey, saddle
        Where the saddle of the composition lies.

    Raises
    ------
    OutOfReachError
        If a lattice would need too many points.
    """

    def __init__(
        self, pairs: Sequence[tuple[Loss, int]], reach: float, survey: Survey, saddle: Saddle
    ) -> None:
        _, _, period = place(survey, saddle)
        widest = max(high - low for low, high in (_range(loss, reach) for loss, _ in pairs))
        spacing = max(widest / _CELLS, period / _NODES)
        cells = [_cells(loss, spacing, reach) for loss, _ in pairs]
        counts = np.array([float(count) for _, count in pairs])
        lines = []
        for losses in (
            tuple(
                _from_below(loss, cell, spacing, reach) for (loss, _), cell in zip(pairs, cells, strict=True)
            ),
            tuple(above(cell, spacing) for cell in cells),
        ):
            terms = Terms(0.0, losses, counts, reach)
            lines.append(LatticeLine(terms, spacing, survey, saddle))
        self._below, self._above = lines
        self._factor = 2.0 * float(counts @ np.array([cell.mass_error for cell in cells]))

    def value(self, epsilon: float) -> tuple[float, float]:
        """Return the upper curve's log delta and slope."""
        return self._above.value(epsilon)

    def bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds on log delta(eps)."""
        return self._below.bounds(epsilon)[0] - self._factor, self._above.bounds(epsilon)[1] + self._factor


def above(cells: Cells, spacing: float) -> DiscreteLoss:
    """Move the masses of cells to their ends.

    The losses of a cell [a, b] lie in [a - e, b + e], e the edge error: its masses may move to those two. The upper one
    then gets (P - Q e^(a - e))/(1 - e^(-(b - a + 2 e))), at most (P - Q e^a + e P)/(1 - e^(a - b)), and with as much
    more as P and Q may be wrong what is computed is never less: more mass at a larger loss only makes delta larger.
    """
    p, q = cells.p, cells.q
    start = spacing * (cells.first + np.arange(float(p.size)))
    wrong = 1.05 * (2.0 * cells.mass_error + cells.edge_error) + 32.0 * U
    up = np.clip((p * (1.0 + wrong) - q * np.exp(start)) / -math.expm1(-spacing), 0.0, p)
    masses = np.zeros(p.size + 1)
    masses[:-1] += p - up
    masses[1:] += up
    return _on_points(cells.first, masses, spacing, cells.infinity, cells.missing, cells.edge_error)


def below(cells: Cells, spacing: float, heap: Heap = _NO_HEAP) -> DiscreteLoss:
    """Merge shares of neighbouring cells into lattice points, of a lattice that starts at the heap's loss."""
    first = cells.first
    faint = cells.q < _FAINT
    p, q = np.where(faint, 0.0, cells.p), np.where(faint, 0.0, cells.q)
    ratios = np.exp(heap.loss + spacing * (first + np.arange(float(p.size + 1))))
    points = _Points(ratios.tolist())
    if first == 0:
        points.add(0, heap.mass)
    for k, cell in enumerate(zip(p.tolist(), q.tolist(), strict=True)):
        points.take(k, *cell)
    points.end()
    if first < 0:
        points.add(-first, heap.mass)
    # The loss of merged masses is as wrong as both of them; a cell that counts as a point's may lie just below it.
    loss_error = 16.0 * cells.mass_error + cells.edge_error + _ON_POINT + 1e-12 * spacing
    masses, given_up = np.array(points.masses), points.given_up + float(cells.p[faint].sum())
    return _on_points(first, masses, spacing, cells.infinity, cells.missing, loss_error, heap.loss, given_up)


class _Points:
    """Lattice points, whose masses are merged from cells that come one by one, from the least loss on.

    Point k is the lower end of cell k. A share of a cell waits for a partner of larger loss, until their common loss
    is the point above it.
    """

    def __init__(self, ratios: list[float]) -> None:
        self.masses = [0.0] * len(ratios)
        self.given_up = 0.0
        self._ratios = ratios  # e^loss of every point
        self._held: list[int] = []  # the points that hold mass
        self._p = self._q = 0.0  # what waits,
        self._target = 0  # and for which point

    def add(self, point: int, mass: float) -> None:
        """Add mass whose loss is a point's."""
        if mass > 0.0:
            if not self.masses[point] > 0.0:
                insort(self._held, point)
            self.masses[point] += mass

    def take(self, k: int, p: float, q: float) -> None:
        """Merge cell k with what waits; a share of it waits next."""
        if p - self._ratios[k] * q <= _ON_POINT * p:
            self.add(k, p)
            return
        ratio = self._ratios[self._target]
        lack, gain = ratio * self._q - self._p, p - ratio * q
        if lack > 0.0 and gain < lack:
            if gain > 0.0:
                # Too little above: as much of what waits as finds a partner is merged, the rest looks for one below.
                found = gain / lack
                self.add(self._target, found * self._p + p)
                self._p, self._q = (1.0 - found) * self._p, (1.0 - found) * self._q
                self._borrow()
            return
        share = lack / gain if lack > 0.0 else 0.0
        self.add(self._target, self._p + share * p)
        self._p, self._q, self._target = (1.0 - share) * p, (1.0 - share) * q, k + 1

    def end(self) -> None:
        """Merge what still waits with points below it; what finds none gives up mass."""
        self._borrow()
        left = min(self._q * self._ratios[self._target - 1], self._p)
        self.add(self._target - 1, left)
        self.given_up += self._p - left

    def _borrow(self) -> None:
        """Merge what waits with mass of lower points, to the point just below it, as far as there is enough."""
        point = self._target - 1
        ratio = self._ratios[point]
        excess = left = max(self._p - ratio * self._q, 0.0)
        borrowed = 0.0
        for index in range(bisect_left(self._held, point) - 1, -1, -1):
            lower = self._held[index]
            if left <= 0.0 or self._ratios[lower] <= ratio * 1e-290:
                break
            lack = ratio / self._ratios[lower] - 1.0
            share = min(self.masses[lower], left / lack)
            left = left - share * lack if share == self.masses[lower] else 0.0
            self.masses[lower] -= share
            borrowed += share
            if self.masses[lower] == 0.0:
                del self._held[index]
        met = 1.0 - left / excess if excess > 0.0 else 1.0
        self.add(point, met * self._p + borrowed)
        self._p, self._q = (1.0 - met) * self._p, (1.0 - met) * self._q


def _on_points(
    first: int,
    masses: _Reals,
    spacing: float,
    infinity: float,
    missing: float,
    loss_error: float,
    origin: float = 0.0,
    given_up: float = 0.0,
) -> DiscreteLoss:
    """Return a discrete loss whose masses are exact by definition."""
    some = np.flatnonzero(masses > 1e-300)
    if not some.size:
        raise OutOfReachError
    losses = origin + spacing * (first + some.astype(np.float64))
    return DiscreteLoss(
        losses,
        np.log(masses[some]),
        infinity,
        missing + float(masses[masses <= 1e-300].sum()),
        spacing=spacing,
        mass_error=0.0,
        loss_error=loss_error,
        given_up=given_up,
    )


def _range(loss: Loss, reach: float) -> tuple[float, float]:
    """Return the least and the greatest loss that counts."""
    match loss:
        case GaussianLoss(square):
            mu = math.sqrt(square)
            return -mu * reach - 0.5 * square, mu * reach + 0.5 * square
        case LaplaceLoss(e):
            return -e, e
        case SampledGaussianLoss(sigma, q, removing):
            ends = [_log_ratio(sigma, q, x) for x in (-reach * sigma, 1.0 + reach * sigma)]
            return (ends[0], ends[1]) if removing else (-ends[1], -ends[0])
        case DiscreteLoss():
            return float(loss.losses.min()), float(loss.losses.max())


def _log_ratio(sigma: float, q: float, x: float) -> float:
    """Return log r(x)."""
    y = (2.0 * x - 1.0) / (2.0 * sigma * sigma)
    return y + math.log(q) if y > 600.0 else math.log1p(q * math.expm1(y))


def _cells(loss: Loss, spacing: float, reach: float) -> Cells:
    """Return the cells of a loss."""
    low, high = _range(loss, reach)
    if high > _LARGEST:
        raise OutOfReachError
    first, last = math.floor(low / spacing) - 1, math.ceil(high / spacing) + 1
    edges: _Reals = spacing * np.arange(float(first), float(last) + 1.0)
    match loss:
        case GaussianLoss(square):
            mu = math.sqrt(square)
            q, p = _normal(np.clip((edges + 0.5 * square) / mu, -reach, mu + reach), mu)
            # mu (x' - x) for an x of four roundings.
            moved = U * float(np.max(8.0 * np.abs(edges))) + 8.0 * U * square
            return Cells(first, p, q, 0.0, mass_beyond(reach), _mass_error(reach + mu), moved)
        case LaplaceLoss(e):
            inner = np.clip(edges, -e, e)
            p = 0.5 * np.exp(0.5 * (inner[:-1] - e)) * np.expm1(0.5 * np.diff(inner))
            q = 0.5 * np.exp(-0.5 * (inner[1:] + e)) * np.expm1(0.5 * np.diff(inner))
            for point, mass in ((e, 0.5), (-e, 0.5 * math.exp(-e))):
                place_of = int(np.searchsorted(edges, point, side="right")) - 1
                p[place_of] += mass
                q[place_of] += mass * math.exp(-point)
            return Cells(first, p, q, 0.0, 0.0, U * (64.0 + 4.0 * e), 0.0)
        case SampledGaussianLoss(sigma, rate, removing):
            x, moved = _outputs(edges if removing else -edges[::-1], sigma, rate, -reach, 1.0 / sigma + reach)
            without, shifted = _normal(x, 1.0 / sigma)
            with_ = (1.0 - rate) * without + rate * shifted
            p, q = (with_, without) if removing else (without[::-1], with_[::-1])
            return Cells(first, p, q, 0.0, mass_beyond(reach), _mass_error(reach + 1.0 / sigma), moved)
        case DiscreteLoss():
            masses = np.exp(loss.log_masses)
            cell = np.clip(np.searchsorted(edges, loss.losses, side="right") - 1, 0, edges.size - 2)
            held = [
                np.asarray(np.bincount(cell, weights=part, minlength=edges.size - 1), dtype=np.float64)
                for part in (masses, masses * np.exp(-loss.losses))
            ]
            error = U * (32.0 + float(np.bincount(cell).max())) + loss.mass_error + loss.loss_error
            moved = loss.loss_error + 4.0 * U * max(abs(low), abs(high))
            return Cells(first, held[0], held[1], loss.infinity, loss.missing, error, moved)


def _from_below(loss: Loss, cells: Cells, spacing: float, reach: float) -> DiscreteLoss:
    """Merge a loss into a lattice, one that starts at the bulk of a sampled Gaussian."""
    if isinstance(loss, SampledGaussianLoss):
        found = _around_the_bulk(loss, spacing, reach)
        return below(cells, spacing) if found is None else below(*found)
    return below(cells, spacing)


def _around_the_bulk(
    loss: SampledGaussianLoss, spacing: float, reach: float
) -> tuple[Cells, float, Heap] | None:
    """Return the cells of a sampled Gaussian, and a heap of the outputs that hardly speak for the record, if any.

    At a small rate nearly all outputs have losses just around log(1 - q). On a lattice through 0 they find too few
    partners for a common loss on a point; here their common loss is a point.
    """
    sigma, rate = loss.sigma, loss.q
    low, high = _range(SampledGaussianLoss(sigma, rate, True), reach)
    if high > _LARGEST:
        raise OutOfReachError
    shift, most = 1.0 / sigma, 1.0 / sigma + reach
    top = float(_outputs(np.array([low + spacing]), sigma, rate, -reach, most)[0][0])
    if not -reach < top < most:
        return None
    without, shifted = (float(mass[0]) for mass in _normal(np.array([-reach, top]), shift))
    if not without > 1e-200:
        return None
    under_p = (1.0 - rate) * without + rate * shifted
    # At small rates the difference keeps its digits, at large ones the quotient does.
    small = rate < 0.5
    origin = math.log1p(rate * (shifted - without) / without) if small else math.log(under_p / without)
    edges: _Reals = origin + spacing * np.arange(math.ceil((high - origin) / spacing) + 2.0)
    x, moved = _outputs(edges, sigma, rate, top, most)
    q, on_one = _normal(x, shift)
    p = (1.0 - rate) * q + rate * on_one
    missing, error = mass_beyond(reach), _mass_error(reach + shift)
    if loss.removing:
        return Cells(0, p, q, 0.0, missing, error, moved), spacing, Heap(origin, under_p)
    return Cells(-p.size, q[::-1], p[::-1], 0.0, missing, error, moved), spacing, Heap(-origin, without)


def _outputs(losses: _Reals, sigma: float, q: float, least: float, most: float) -> tuple[_Reals, float]:
    """Return the x/sigma in [least, most] with log r(x) = l, rising, and a bound on the error of any log r(x).

    There is no x for l below log(1 - q): then it is ``least``.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.maximum(np.expm1(losses) / q, -1.0)
        y = np.log1p(inner)
        x = np.maximum.accumulate(np.clip((0.5 + sigma * sigma * y) / sigma, least, most))
    y = np.where(inner > -1.0, np.abs(y), 0.0)
    # log r moves by p = q e^y/r for each unit of y. Errors of e^y - 1 weigh q/r, where q (e^y - 1)/r = 1 - 1/r.
    share = np.minimum(q * (1.0 + inner) * np.exp(-losses) * 1.01 + 1e-15, 1.0)
    moved = (
        16.0 * share * (y + 1.0 / (sigma * sigma)) + 12.0 * np.abs(np.expm1(-losses)) + 4.0 * np.abs(losses)
    )
    return x, U * float(np.max(moved, initial=0.0))


def _mass_error(furthest: float) -> float:
    """Return a bound on the relative error of a mass, for edges of at most this many standard deviations."""
    return U * (64.0 + 8.0 * furthest * furthest)


def _normal(edges: _Reals, shift: float) -> tuple[_Reals, _Reals]:
    """Return the masses of N(0, 1) and of N(shift, 1) between neighbouring edges, each relatively precise.

    Both are sums over the same nodes: whatever rounding does to an edge, it is one edge for both. Wide cells are split,
    so that eight Gauss points are off by less than 1e-17 of a mass.
    """
    parts = np.maximum(np.ceil(_FINE * np.diff(edges)), 1.0).astype(np.int64)
    starts = np.cumsum(parts) - parts
    within = np.arange(float(parts.sum())) - np.repeat(starts, parts)
    fine = np.append(
        np.repeat(edges[:-1], parts) + np.repeat(np.diff(edges) / parts, parts) * within, edges[-1]
    )
    half = 0.5 * np.diff(fine)
    nodes = 0.5 * (fine[:-1] + fine[1:]) + half * _POINTS[:, None]
    scale = 1.0 / math.sqrt(2.0 * math.pi)
    under_none, under_one = (
        scale * half * (_SHARES @ np.exp(-0.5 * (nodes - mean) ** 2)) for mean in (0.0, shift)
    )
    return _added(under_none, starts, parts), _added(under_one, starts, parts)


def _added(masses: _Reals, starts: NDArray[np.int64], parts: NDArray[np.int64]) -> _Reals:
    """Return the masses of cells from those of their parts, at most eight roundings each."""
    sums = np.asarray(np.add.reduceat(masses, starts))
    for cell in np.flatnonzero(parts > 8).tolist():
        sums[cell] = math.fsum(masses[starts[cell] : starts[cell] + parts[cell]].tolist())
    return sums
