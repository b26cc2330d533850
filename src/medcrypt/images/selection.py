"""From numpy indices to runs of bytes: which parts of a stored array a selection needs.

Only basic indexing (integers, slices, Ellipsis, None): its result is known before a byte is read. `select` turns
an index into ascending ranges and the index that finishes the result; `runs_of` says which bytes of one tile such
ranges need.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt.images.layout import Layout, Tile

# low, high, step along one axis: ascending, and the last one chosen is high - 1.
Range: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Selection:
    """A basic index into an array.

    Parameters
    ----------
    ranges
        What is needed along each axis.
    finish
        Index that turns the needed pixels into the selection: reversed axes, dropped and new ones.
    """

    ranges: tuple[Range, ...]
    finish: tuple[Any, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the needed pixels."""
        return tuple(len(range(*bounds)) for bounds in self.ranges)


@dataclass(frozen=True)
class Runs:
    """The bytes of a C-ordered array that a selection needs.

    Parameters
    ----------
    starts
        int64, ascending: where each run begins.
    run
        Bytes of every run.
    shape
        Shape of the runs put together.
    steps
        Index that takes the selection from those, as an array: what was read through is dropped.
    """

    starts: NDArray[np.int64]
    run: int
    shape: tuple[int, ...]
    steps: tuple[Any, ...]


def select(shape: tuple[int, ...], index: Any) -> Selection:
    """Understand ``array[index]`` for an array of that shape.

    Raises
    ------
    IndexError
        Out of bounds, or too many indices.
    TypeError
        Arrays, lists and booleans: read a slice and index that.

    Examples
    --------
    >>> select((4, 8), (1, slice(4, 1, -1)))
    Selection(ranges=((1, 2, 1), (2, 5, 1)), finish=(0, slice(None, None, -1)))
    """
    entries = _expand(index, len(shape))
    finish: list[Any] = [_finish(entry) for entry in entries]
    if _has_ellipsis(index):
        finish.append(Ellipsis)  # as in numpy: with an Ellipsis, no axes left is an array still
    return Selection(tuple(_ranges(shape, [entry for entry in entries if entry is not None])), tuple(finish))


def in_tiles(
    layout: Layout, selection: Selection
) -> Iterator[tuple[Tile, tuple[Range, ...], tuple[slice, ...]]]:
    """Yield each tile that holds some of a selection, in the order of storage.

    Yields
    ------
    tuple
        The tile, what is needed of it, and where that belongs in the needed pixels.
    """
    if 0 in selection.shape:  # before endless axes are enumerated
        return
    lengths = zip(selection.ranges, layout.tiles, strict=True)
    for parts in itertools.product(*(list(_along(bounds, tile)) for bounds, tile in lengths)):
        origin = tuple(low for low, _, _ in parts)
        yield layout.tile(origin), tuple(part for _, part, _ in parts), tuple(place for _, _, place in parts)


def runs_of(shape: tuple[int, ...], itemsize: int, ranges: tuple[Range, ...], worth_skipping: int) -> Runs:
    """Plan the reading of ranges of a C-ordered array.

    Parameters
    ----------
    shape, itemsize
        Of the array.
    ranges
        What is needed of it.
    worth_skipping
        Gaps of at least so many bytes between steps are skipped; shorter ones are read through.

    Examples
    --------
    >>> runs_of((4, 8), 2, ((1, 2, 1), (2, 5, 1)), 64).starts
    array([20])
    """
    split = _first_whole_axis(shape, ranges) - 1  # axes after `split` are read whole
    inner = itemsize * math.prod(shape[split + 1 :])
    enumerated = list(ranges[: max(split, 0)])
    run, read_through, steps = inner, [], [slice(None)] * len(ranges)
    if split >= 0:
        low, high, step = ranges[split]
        if step == 1 or step * inner < worth_skipping:
            run, read_through = (high - low) * inner, [high - low]
            steps[split] = slice(None, None, step)
        else:
            enumerated.append(ranges[split])
    counts = [len(range(*bounds)) for bounds in enumerated]
    read_shape = (*counts, *read_through, *shape[split + 1 :])
    if 0 in read_shape:  # nothing to read, however many runs of nothing there are
        return Runs(np.empty(0, np.int64), 0, read_shape, (*steps, ...))
    starts = _starts(shape, itemsize, enumerated)
    if read_through:
        starts = starts + ranges[split][0] * inner
    return Runs(starts, run, read_shape, (*steps, ...))


def _along(bounds: Range, tile: int) -> Iterator[tuple[int, Range, slice]]:
    """Yield where a tile that holds some of a range begins, what is needed of it, and where that belongs."""
    low, high, step = bounds
    taken = 0
    while low < high:
        origin = low // tile * tile
        end = min(high, origin + tile)
        count = len(range(low, end, step))
        last = low + (count - 1) * step
        part = (low - origin, last + 1 - origin, step if count > 1 else 1)
        yield origin, part, slice(taken, taken + count)
        taken, low = taken + count, last + step


def _has_ellipsis(index: Any) -> bool:
    """Tell whether an index names Ellipsis."""
    return index is Ellipsis or (isinstance(index, tuple) and any(entry is Ellipsis for entry in index))


def _expand(index: Any, rank: int) -> list[Any]:
    """Return one entry for each axis, with Ellipsis replaced by whole axes and None kept."""
    entries = list(index) if isinstance(index, tuple) else [index]
    for entry in entries:
        if isinstance(entry, bool | np.bool_) or not (
            entry is None or entry is Ellipsis or isinstance(entry, slice) or hasattr(entry, "__index__")
        ):
            raise TypeError("only integers, slices, Ellipsis and None select from a sealed image")
    ellipses = [position for position, entry in enumerate(entries) if entry is Ellipsis]
    if len(ellipses) > 1:
        raise IndexError("an index can have only one Ellipsis")
    named = sum(entry is not None and entry is not Ellipsis for entry in entries)
    if named > rank:
        raise IndexError(f"too many indices: the image has {rank} axes, but {named} were indexed")
    position = ellipses[0] if ellipses else len(entries)
    return entries[:position] + [slice(None)] * (rank - named) + entries[position + 1 :]


def _ranges(shape: tuple[int, ...], entries: list[Any]) -> Iterator[Range]:
    """Yield what each axis needs."""
    for axis, (length, entry) in enumerate(zip(shape, entries, strict=True)):
        if isinstance(entry, slice):
            chosen = range(*entry.indices(length))
            if not chosen:
                yield 0, 0, 1
            else:
                low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
                yield low, high + 1, abs(chosen.step) if len(chosen) > 1 else 1
        else:
            number = operator.index(entry)
            if not -length <= number < length:
                raise IndexError(f"index {number} is out of bounds for axis {axis} with size {length}")
            number %= length
            yield number, number + 1, 1


def _finish(entry: Any) -> Any:
    """Return what is left to do along an axis once its range has been read in ascending order."""
    if entry is None:
        return None
    if not isinstance(entry, slice):
        return 0
    return slice(None, None, -1 if (entry.step or 1) < 0 else 1)


def _first_whole_axis(shape: tuple[int, ...], ranges: tuple[Range, ...]) -> int:
    axis = len(shape)
    while axis and ranges[axis - 1] == (0, shape[axis - 1], 1):
        axis -= 1
    return axis


def _starts(shape: tuple[int, ...], itemsize: int, enumerated: list[Range]) -> NDArray[np.int64]:
    starts = np.zeros(1, np.int64)
    for axis, bounds in enumerate(enumerated):
        stride = itemsize * math.prod(shape[axis + 1 :])
        offsets = np.arange(*bounds, dtype=np.int64) * stride
        starts = (starts[:, None] + offsets).reshape(-1)
    return starts
