"""Sets of pixels as runs: half-open intervals of positions in the C order of an array.

A run list costs 16 bytes for each row of an outline, whatever its width, where a mask would cost a byte for
each pixel of the image; and a union is a sort.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Runs:
    """Disjoint runs in ascending order, none of them empty, no two of them touching.

    Parameters
    ----------
    starts, stops
        int64, one for each run: its first position, and the one behind its last.
    """

    starts: Positions
    stops: Positions

    @property
    def count(self) -> int:
        """Number of pixels."""
        return int((self.stops - self.starts).sum())

    def complement(self, size: int) -> Runs:
        """Return the runs between these, in an array of ``size`` pixels."""
        starts, stops = np.append(0, self.stops), np.append(self.starts, size)
        held = starts < stops
        return Runs(starts[held], stops[held])

    def blocks(self, most: int) -> Iterator[slice | Positions]:
        """Cut the pixels into blocks of ``most``, the last one shorter; yield an index for each.

        A block inside one run is a slice, which numpy does not copy.
        """
        ends = np.cumsum(self.stops - self.starts)
        total = int(ends[-1]) if ends.size else 0
        for first in range(0, total, most):
            last = min(first + most, total)
            i, j = np.searchsorted(ends, first, "right"), np.searchsorted(ends, last, "left")
            starts, stops = self.starts[i : j + 1].copy(), self.stops[i : j + 1].copy()
            stops[-1] -= ends[j] - last
            starts[0] = self.stops[i] - (ends[i] - first)
            yield slice(int(starts[0]), int(stops[0])) if i == j else positions(starts, stops)


def positions(starts: Positions, stops: Positions) -> Positions:
    """Return every position of runs that are given by their bounds.

    Examples
    --------
    >>> positions(np.array([0, 7]), np.array([2, 10])).tolist()
    [0, 1, 7, 8, 9]
    """
    lengths = stops - starts
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(lengths.sum())


def union(parts: Iterable[Runs]) -> Runs:
    """Return the pixels that are in any of the parts.

    Examples
    --------
    >>> union([of_bounds((9,), [(0, 3)]), of_bounds((9,), [(5, 7)]), of_bounds((9,), [(2, 5)])])
    Runs(starts=array([0]), stops=array([7]))
    """
    listed = [part for part in parts if part.starts.size]
    if len(listed) == 1:
        return listed[0]
    starts = np.concatenate([np.empty(0, np.int64), *(part.starts for part in listed)])
    stops = np.concatenate([np.empty(0, np.int64), *(part.stops for part in listed)])
    return merged(starts, stops)


def merged(starts: Positions, stops: Positions) -> Runs:
    """Return the union of intervals that may be empty, touch, overlap, and come in any order."""
    held = starts < stops
    if not held.all():
        starts, stops = starts[held], stops[held]
    if (starts[1:] > stops[:-1]).all():  # as masks and rectangles come: nothing is to be sorted or joined
        return Runs(starts, stops)
    order = np.argsort(starts, kind="stable")
    starts, reached = starts[order], np.maximum.accumulate(stops[order])
    first = np.append(True, starts[1:] > reached[:-1])[: starts.size]
    return Runs(starts[first], reached[np.append(first[1:], True)[: starts.size]])


def of_bounds(shape: Sequence[int], bounds: Sequence[tuple[int, int]]) -> Runs:
    """Return the box that ``start <= index < stop`` describes on every axis."""
    starts, length, step = np.zeros(1, np.int64), 1, 1
    for (start, stop), size in zip(reversed(bounds), reversed(shape), strict=True):
        if length == step:  # all the axes behind this one are whole
            starts, length = np.array([start * step]), (stop - start) * step
        else:
            starts = (np.arange(start, stop)[:, None] * step + starts).ravel()
        step *= size
    if any(start >= stop for start, stop in bounds):
        return merged(np.empty(0, np.int64), np.empty(0, np.int64))
    return merged(starts, starts + length)


def of_mask(mask: NDArray[np.bool_]) -> Runs:
    """Return the pixels where a mask is True."""
    flat = mask.ravel()
    turns = np.flatnonzero(flat[1:] != flat[:-1])
    turns += 1
    if flat.size and flat[0]:
        turns = np.append(0, turns)
    if flat.size and flat[-1]:
        turns = np.append(turns, flat.size)
    return Runs(turns[::2], turns[1::2])


def repeated(runs: Runs, plane: int, planes: Positions) -> Runs:
    """Return the runs of a plane of ``plane`` pixels on each of ``planes``, which are numbers of planes."""
    if planes.size == 1 and planes[0] == 0:
        return runs
    offsets = planes[:, None] * plane
    return merged((offsets + runs.starts).ravel(), (offsets + runs.stops).ravel())
