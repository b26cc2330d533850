"""From samplers to arrays: blocks of trials by the kernel, rare decisions in exact arithmetic, everything wiped."""

import operator
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.noise import Shape, gather
from medcrypt.dp.noise.exact import Cells, LazyUniform
from medcrypt.dp.noise.generator import Generator

__all__ = ["CellSampler", "Integers", "Sampler", "Size", "TableSampler", "draw"]

Size = int | tuple[int, ...] | None
Integers = NDArray[np.int64]

_BLOCK = 1 << 13  # trials: their words fit in the second cache
_UNDECIDED = 2


class Sampler(Protocol):
    """A distribution on the integers, symmetric around 0."""

    @property
    def shape(self) -> Shape:
        """Trials of the kernel."""

    @property
    def distance(self) -> float:
        """Bound of the distance in total variation of one draw."""

    def decide(self, words: tuple[int, ...], further: Callable[[], int]) -> int | None:
        """Return what a trial gives in exact arithmetic, None for a rejection."""


class TableSampler:
    """A distribution whose absolute value is drawn from a table.

    Parameters
    ----------
    cells
        The distribution of the absolute value.
    """

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self.shape = Shape(cells.thresholds)
        self.distance = cells.distance

    def decide(self, words: tuple[int, ...], further: Callable[[], int]) -> int:
        """Return what a trial gives in exact arithmetic."""
        magnitude = self._cells.find(words[0] >> 1, further)
        return -magnitude if words[0] & 1 else magnitude


class CellSampler:
    """A distribution whose absolute value is drawn as a cell of 2^l integers, then a uniform one in it, then rejected.

    The weight of a cell is that of its first integer times 2^l, which is the largest in it; the integer x is accepted
    with the ratio of its weight to that one.

    Parameters
    ----------
    cells
        The distribution of the cell.
    low_bits
        l.
    accepts
        Decides exactly, from the first integer of the cell, the drawn one and a uniform number.
    slopes, lines
        Coefficients of -log of the ratio, as the kernel takes them: one of the two.
    """

    def __init__(
        self,
        cells: Cells,
        low_bits: int,
        accepts: Callable[[int, int, LazyUniform], bool],
        *,
        slopes: Sequence[Sequence[float]] = (),
        lines: Sequence[tuple[float, float]] = (),
    ) -> None:
        self._cells = cells
        self._low_bits = low_bits
        self._accepts = accepts
        self.shape = Shape(cells.thresholds, slopes, lines=lines, low_bits=low_bits)
        self.distance = 2 * cells.distance  # at least half of the trials are accepted

    def decide(self, words: tuple[int, ...], further: Callable[[], int]) -> int | None:
        """Return what a trial gives in exact arithmetic, None for a rejection."""
        first = self._cells.find(words[0] >> 1, further) << self._low_bits
        magnitude, negative = first + (words[1] >> (64 - self._low_bits)), words[0] & 1
        if negative and magnitude == 0:
            return None  # zero would be drawn twice as often, once for each sign
        if not self._accepts(first, magnitude, LazyUniform(words[2], further)):
            return None
        return -magnitude if negative else magnitude


def draw(sampler: Sampler, size: Size, out: Integers | None, generator: Generator | None) -> int | Integers:
    """Fill an array of the size, or `out`, with independent draws; return one int for no size and no `out`."""
    empty = () if size is None else shape_of(size)
    target = np.empty(empty, dtype=np.int64) if out is None else _checked(out, size)
    flat = target.reshape(-1) if target.flags.c_contiguous else np.empty(target.size, dtype=np.int64)
    _fill(sampler, flat, generator or Generator())
    if not target.flags.c_contiguous:
        target[...] = flat.reshape(target.shape)
        flat[:] = 0
    return int(target[()]) if size is None and out is None else target


def shape_of(size: int | tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that a size stands for."""
    if isinstance(size, bool):
        raise TypeError("size must be an integer, a tuple of integers or None")
    shape = tuple(operator.index(n) for n in (size if isinstance(size, tuple) else (size,)))
    if any(n < 0 for n in shape):
        raise ValueError(f"size must not be negative: {size}")
    return shape


def _checked(out: object, size: Size) -> Integers:
    """Return `out`, when it can take the draws."""
    if not isinstance(out, np.ndarray) or out.dtype != np.int64 or not out.dtype.isnative:
        raise TypeError("out must be an array of int64")
    if not out.flags.writeable:
        raise ValueError("out must be writable")
    if not out.flags.c_contiguous and _overlaps(out):
        raise ValueError("out must not hold an element twice: its draws would be equal")
    if size is not None and shape_of(size) != out.shape:
        raise ValueError(f"out has the shape {out.shape}, and the size is {size}")
    return out


def _overlaps(out: Integers) -> bool:
    """Tell whether two elements may lie in one place; arrays that interleave without it count as well."""
    reach = out.itemsize
    for stride, length in sorted((abs(stride), n) for stride, n in zip(out.strides, out.shape, strict=True)):
        if length > 1:
            if stride < reach:
                return True
            reach += stride * (length - 1)
    return False


def _fill(sampler: Sampler, out: Integers, generator: Generator) -> None:
    """Run trials until the array is full, and wipe everything they leave."""
    shape = sampler.shape
    room = min(_BLOCK, _trials_for(shape, out.size))
    words = np.empty(shape.words * room, dtype=np.uint64)
    values, verdicts = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.uint8)
    filled = done = 0
    try:
        while filled < out.size:
            count = min(room, _trials_for(shape, out.size - filled))
            block = words[: shape.words * count]
            generator.fill(block)
            if shape.trials(block, values[:count], verdicts[:count]):
                _decide(sampler, block, values[:count], verdicts[:count], generator, done)
            accepted = gather(values[:count], verdicts[:count])
            taken = values[: min(accepted, out.size - filled)]
            out[filled : filled + taken.size] = taken
            filled += taken.size
            done += count
    finally:
        words[:] = 0
        values[:] = 0
        verdicts[:] = 0


def _trials_for(shape: Shape, wanted: int) -> int:
    """Return how many trials to run for that many values: public, the same on every path."""
    return wanted if shape.words == 1 else wanted + wanted // 8 + 16


def _decide(
    sampler: Sampler,
    words: NDArray[np.uint64],
    values: Integers,
    verdicts: NDArray[np.uint8],
    generator: Generator,
    done: int,
) -> None:
    """Settle the undecided trials of a block in exact arithmetic: the rare branch."""
    runs = words.reshape(sampler.shape.words, -1)
    for i in np.flatnonzero(verdicts == _UNDECIDED).tolist():
        value = sampler.decide(tuple(runs[:, i].tolist()), generator.further(done + i))
        values[i] = 0 if value is None else value
        verdicts[i] = value is not None
