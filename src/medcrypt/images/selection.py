"""From numpy indices to runs of bytes: which parts of a C-ordered array a selection needs.

Only basic indexing (integers, slices, Ellipsis, None): its result is known before a byte is read.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Selection:
    """A basic index into an array, as byte runs to read and the steps that finish it.

    Parameters
    ----------
    starts
        int64, ascending: where each run begins.
    run
        Bytes of every run.
    read_shape
        Shape of the runs put together.
    finish
        Index that turns those into the selection: steps, reversed axes, dropped and new axes.
    """

    starts: NDArray[np.int64]
    run: int
    read_shape: tuple[int, ...]
    finish: tuple[Any, ...]


def select(shape: tuple[int, ...], itemsize: int, index: Any, worth_skipping: int) -> Selection:
    """Plan the reading of ``array[index]``.

    Parameters
    ----------
    shape, itemsize
        Of the array.
    index
        As between brackets.
    worth_skipping
        Gaps of at least so many bytes between steps are skipped; shorter ones are read through.

    Raises
    ------
    IndexError
        Out of bounds, or too many indices.
    TypeError
        Arrays, lists and booleans: read a slice and index that.

    Examples
    --------
    >>> select((4, 8), 2, (1, slice(2, 5)), 64).starts
    array([20])
    """
    entries = _expand(index, len(shape))
    ranges = _ranges(shape, [entry for entry in entries if entry is not None])
    split = _first_whole_axis(shape, ranges) - 1  # axes after `split` are read whole
    inner = itemsize * math.prod(shape[split + 1 :])
    enumerated = list(ranges[: max(split, 0)])
    run, read_through = inner, []
    if split >= 0:
        low, high, step = ranges[split]
        if step == 1 or step * inner < worth_skipping:
            run, read_through = (high - low) * inner, [high - low]
        else:
            enumerated.append(ranges[split])
    counts = [len(range(*bounds)) for bounds in enumerated]
    read_shape = (*counts, *read_through, *shape[split + 1 :])
    finish = _finish(entries, ranges, len(counts), read_shape)
    if 0 in read_shape:  # nothing to read, however many runs of nothing there are
        return Selection(np.empty(0, np.int64), 0, read_shape, finish)
    starts = _starts(shape, itemsize, enumerated)
    if read_through:
        starts = starts + ranges[split][0] * inner
    if _has_ellipsis(index):
        finish = (*finish, Ellipsis)  # as in numpy: with an Ellipsis, no axes left is an array still
    return Selection(starts, run, read_shape, finish)


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


def _ranges(shape: tuple[int, ...], entries: list[Any]) -> list[tuple[int, int, int]]:
    """Return what each axis needs as ascending (low, high, step)."""
    ranges = []
    for axis, (length, entry) in enumerate(zip(shape, entries, strict=True)):
        if isinstance(entry, slice):
            chosen = range(*entry.indices(length))
            if not chosen:
                ranges.append((0, 0, 1))
            else:
                low, high = min(chosen[0], chosen[-1]), max(chosen[0], chosen[-1])
                ranges.append((low, high + 1, abs(chosen.step) if len(chosen) > 1 else 1))
        else:
            number = operator.index(entry)
            if not -length <= number < length:
                raise IndexError(f"index {number} is out of bounds for axis {axis} with size {length}")
            number %= length
            ranges.append((number, number + 1, 1))
    return ranges


def _first_whole_axis(shape: tuple[int, ...], ranges: list[tuple[int, int, int]]) -> int:
    axis = len(shape)
    while axis and ranges[axis - 1] == (0, shape[axis - 1], 1):
        axis -= 1
    return axis


def _starts(
    shape: tuple[int, ...], itemsize: int, enumerated: list[tuple[int, int, int]]
) -> NDArray[np.int64]:
    starts = np.zeros(1, np.int64)
    for axis, bounds in enumerate(enumerated):
        stride = itemsize * math.prod(shape[axis + 1 :])
        offsets = np.arange(*bounds, dtype=np.int64) * stride
        starts = (starts[:, None] + offsets).reshape(-1)
    return starts


def _finish(
    entries: list[Any], ranges: list[tuple[int, int, int]], enumerated: int, read_shape: tuple[int, ...]
) -> tuple[Any, ...]:
    finish: list[Any] = []
    axis = 0
    for entry in entries:
        if entry is None:
            finish.append(None)
            continue
        if not isinstance(entry, slice):
            finish.append(0)
        else:
            # enumerated axes have taken their steps already, and keep only their direction
            step = 1 if axis < enumerated else ranges[axis][2]
            backwards = (entry.step or 1) < 0 and read_shape[axis] > 0
            finish.append(slice(None, None, -step) if backwards else slice(None, None, step))
        axis += 1
    return tuple(finish)
