"""Grids: any loss between two losses on a lattice, for compositions whose line does not decay.

The range of the loss is cut into cells [a, b] of the width ``spacing``; a cell holds the masses P and Q under the
two neighbours.

* Above ("connect the dots"): the cell's masses move to its ends with both P and Q kept. This is the reverse of
  merging outputs, so delta only grows, at every epsilon and after any composition.
* Below: neighbouring cells are merged, in shares, so that their common loss is a lattice point; merging outputs is
  post-processing, so delta only falls. What finds no partner above takes one from the points below, and what finds
  none there either gives up mass under P until its loss is one (`DiscreteLoss.given_up`).

Both are exact up to second order in the spacing where losses are continuous, and to first order below where they are
points. Cells' masses are good to `_CELL` relative, or what a list of points says: the curves are charged with a factor
(1 +- error)^T and with moves of the losses by a few times that.
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
from medcrypt.dp.losses import GaussianLoss, LaplaceLoss, Loss, SampledGaussianLoss
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import OutOfReachError, mass_beyond

__all__ = ["GridLines", "above", "below"]

_Reals = NDArray[np.float64]

_CELL = 2e-13
_ON_POINT = 1e-13  # relative, of a ratio: its loss is the point's
_CELLS = 1 << 15
_NODES = 1 << 16
_LARGEST = 600.0  # of a loss: its exponential has to fit

# Number of the first cell, masses under P and Q, masses at infinity and missing, error of the masses.
Cells = tuple[int, _Reals, _Reals, float, float, float]


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
        self._factor = 2.0 * float(counts @ np.array([cell[5] for cell in cells]))

    def value(self, epsilon: float) -> tuple[float, float]:
        """Return the upper curve's log delta and slope."""
        return self._above.value(epsilon)

    def bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds on log delta(eps)."""
        return self._below.bounds(epsilon)[0] - self._factor, self._above.bounds(epsilon)[1] + self._factor


def above(cells: Cells, spacing: float) -> DiscreteLoss:
    """Move the masses of cells to their ends."""
    first, p, q, infinity, missing, error = cells
    start = spacing * (first + np.arange(float(p.size)))
    up = np.clip((p - q * np.exp(start)) / -math.expm1(-spacing), 0.0, p)
    masses = np.zeros(p.size + 1)
    masses[:-1] += p - up
    masses[1:] += up
    return _on_points(first, masses, spacing, infinity, missing, 4.0 * error)


def below(cells: Cells, spacing: float, heap: Heap = _NO_HEAP) -> DiscreteLoss:
    """Merge shares of neighbouring cells into lattice points, of a lattice that starts at the heap's loss."""
    first, p, q, infinity, missing, error = cells
    ratios = np.exp(heap.loss + spacing * (first + np.arange(float(p.size + 1))))
    points = _Points(ratios.tolist())
    if first == 0:
        points.add(0, heap.mass)
    for k, cell in enumerate(zip(p.tolist(), q.tolist(), strict=True)):
        points.take(k, *cell)
    points.end()
    if first < 0:
        points.add(-first, heap.mass)
    # A loss at infinity stays there.
    loss_error = 16.0 * error + 1e-12 * spacing
    masses = np.array(points.masses)
    return _on_points(first, masses, spacing, infinity, missing, loss_error, heap.loss, points.given_up)


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
            x = np.clip((edges + 0.5 * square) / mu, -reach, mu + reach)
            return first, _normal(x, mu, 1.0), _normal(x, 0.0, 1.0), 0.0, mass_beyond(reach), _CELL
        case LaplaceLoss(e):
            inner = np.clip(edges, -e, e)
            p = 0.5 * np.exp(0.5 * (inner[:-1] - e)) * np.expm1(0.5 * np.diff(inner))
            q = 0.5 * np.exp(-0.5 * (inner[1:] + e)) * np.expm1(0.5 * np.diff(inner))
            for point, mass in ((e, 0.5), (-e, 0.5 * math.exp(-e))):
                place_of = int(np.searchsorted(edges, point, side="right")) - 1
                p[place_of] += mass
                q[place_of] += mass * math.exp(-point)
            return first, p, q, 0.0, 0.0, _CELL
        case SampledGaussianLoss(sigma, rate, removing):
            x = _outputs(edges if removing else -edges[::-1], sigma, rate)
            x = np.clip(x, -reach * sigma, 1.0 + reach * sigma)
            without, shifted = _normal(x, 0.0, sigma), _normal(x, 1.0, sigma)
            with_ = (1.0 - rate) * without + rate * shifted
            if removing:
                return first, with_, without, 0.0, mass_beyond(reach), _CELL
            return first, without[::-1], with_[::-1], 0.0, mass_beyond(reach), _CELL
        case DiscreteLoss():
            masses = np.exp(loss.log_masses)
            cell = np.clip(np.searchsorted(edges, loss.losses, side="right") - 1, 0, edges.size - 2)
            held = [
                np.asarray(np.bincount(cell, weights=part, minlength=edges.size - 1), dtype=np.float64)
                for part in (masses, masses * np.exp(-loss.losses))
            ]
            error = _CELL + loss.mass_error + loss.loss_error
            return first, held[0], held[1], loss.infinity, loss.missing, error


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
    least, most = -reach * sigma, 1.0 + reach * sigma
    top = float(_outputs(np.array([low + spacing]), sigma, rate)[0])
    if not least < top < most:
        return None
    without, shifted = (_normal_between(least, top, mean, sigma) for mean in (0.0, 1.0))
    if not without > 1e-200:
        return None
    under_p = (1.0 - rate) * without + rate * shifted
    # At small rates the difference keeps its digits, at large ones the quotient does.
    small = rate < 0.5
    origin = math.log1p(rate * (shifted - without) / without) if small else math.log(under_p / without)
    edges: _Reals = origin + spacing * np.arange(math.ceil((high - origin) / spacing) + 2.0)
    x = np.clip(_outputs(edges, sigma, rate), top, most)
    q, moved = _normal(x, 0.0, sigma), _normal(x, 1.0, sigma)
    p = (1.0 - rate) * q + rate * moved
    missing = mass_beyond(reach)
    if loss.removing:
        return (0, p, q, 0.0, missing, _CELL), spacing, Heap(origin, under_p)
    return (-p.size, q[::-1], p[::-1], 0.0, missing, _CELL), spacing, Heap(-origin, without)


def _normal_between(left: float, right: float, mean: float, sigma: float) -> float:
    """Return one normal mass between two points, relatively precise: a sum of narrow cells."""
    return math.fsum(_normal(np.linspace(left, right, 513), mean, sigma).tolist())


def _outputs(losses: _Reals, sigma: float, q: float) -> _Reals:
    """Return the x with log r(x) = l; minus infinity below the least loss, log(1 - q)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.maximum(np.expm1(losses) / q, -1.0)
        return np.asarray(0.5 + sigma * sigma * np.log1p(inner))


_POINTS, _SHARES = np.polynomial.legendre.leggauss(8)
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def _normal(x: _Reals, mean: float, sigma: float) -> _Reals:
    """Return the normal masses between neighbouring edges, each relatively precise.

    Narrow cells by eight Gauss points, whose error is below 1e-18 there; wide ones by tails on the nearer side, where
    at most a factor 64 cancels.
    """
    left, right = (x[:-1] - mean) / sigma, (x[1:] - mean) / sigma
    half = 0.5 * (right - left)
    nodes = 0.5 * (left + right) + half * _POINTS[:, None]
    masses = half * (_SHARES @ np.exp(-0.5 * nodes * nodes)) / math.sqrt(2.0 * math.pi)
    wide = np.flatnonzero(half > 1.0 / 32.0)
    if wide.size:
        a, b = left[wide], right[wide]
        a, b = np.where(a + b < 0.0, -b, a), np.where(a + b < 0.0, -a, b)
        masses[wide] = 0.5 * (_erfc(a / math.sqrt(2.0)) - _erfc(b / math.sqrt(2.0)))
    return np.asarray(masses)
