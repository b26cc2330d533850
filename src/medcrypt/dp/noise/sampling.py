"""From samplers to arrays: blocks of trials by the kernel, rare decisions in exact arithmetic, everything wiped."""

import operator
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.aes import AesCtr
from medcrypt._ext.noise import Shape, gather
from medcrypt.dp.noise.exact import Cells, LazyUniform
from medcrypt.dp.noise.generator import Generator

__all__ = ["CellSampler", "Integers", "Sampler", "Size", "TableSampler", "draw", "fill", "low_bits_of"]

Size = int | tuple[int, ...] | None
Integers = NDArray[np.int64]

_BLOCK = 1 << 13  # trials at a time; their words are fewer than 2^16 blocks of key stream
_WORDS_OF_BLOCK = 2
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


def low_bits_of(sigma: float | Fraction) -> int:
    """Return l for cells of 2^l integers, in which a Gaussian of this standard deviation has one from 2.75 to 5.5.

    A narrower one has fewer thresholds and more rejections; from 2.75 on the slopes are as small as the kernel asks.
    """
    low_bits = 0
    while sigma > (11 << low_bits) / 2:
        low_bits += 1
    return low_bits


def draw(sampler: Sampler, size: Size, out: Integers | None, generator: Generator | None) -> int | Integers:
    """Fill an array of the size, or `out`, with independent draws; return one int for no size and no `out`."""
    empty = () if size is None else shape_of(size)
    target = np.empty(empty, dtype=np.int64) if out is None else _checked(out, size)
    flat = target.reshape(-1) if target.flags.c_contiguous else np.empty(target.size, dtype=np.int64)
    fill(sampler, flat, generator or Generator())
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


def fill(sampler: Sampler, out: Integers, generator: Generator) -> None:
    """Run trials until a contiguous array is full: by the kernel in one go where it can tell, or step by step."""
    shape, steps = sampler.shape, _StepByStep(sampler, generator)
    filled = done = 0
    try:
        while filled < out.size:
            rest = out[filled:]
            count = min(_BLOCK, _trials_for(shape, rest.size))
            stream, first = generator.reserve(-(-shape.words * count // _WORDS_OF_BLOCK))
            drawn = shape.draw(stream, first, count, rest)
            filled += steps.run(stream, first, count, rest, done) if drawn is None else drawn
            done += count
    finally:
        steps.wipe()


def _trials_for(shape: Shape, wanted: int) -> int:
    """Return how many trials to run for that many values: public, the same on every path, even for several words."""
    return wanted if shape.words == 1 else (wanted + wanted // 8 + 17) & ~1


class _StepByStep:
    """Blocks of trials whose words, values and verdicts stay until they are settled.

    Parameters
    ----------
    sampler
        Whose trials they are.
    generator
        Gives the further words of those that are undecided.
    """

    def __init__(self, sampler: Sampler, generator: Generator) -> None:
        self._sampler = sampler
        self._generator = generator
        self._room: tuple[NDArray[np.uint64], Integers, NDArray[np.uint8]] | None = None

    def run(self, stream: AesCtr, first: int, count: int, out: Integers, done: int) -> int:
        """Run a block, no longer than the first one, after ``done`` trials; return how many values were accepted."""
        shape = self._sampler.shape
        if self._room is None:
            self._room = (
                np.empty(shape.words * count, dtype=np.uint64),
                np.empty(count, dtype=np.int64),
                np.empty(count, dtype=np.uint8),
            )
        words, values, verdicts = self._room
        words, values, verdicts = words[: shape.words * count], values[:count], verdicts[:count]
        stream.fill(first, words)
        if shape.trials(words, values, verdicts):
            self._decide(words, values, verdicts, done)
        taken = values[: min(gather(values, verdicts), out.size)]
        out[: taken.size] = taken
        return taken.size

    def _decide(
        self, words: NDArray[np.uint64], values: Integers, verdicts: NDArray[np.uint8], done: int
    ) -> None:
        """Settle the undecided trials of a block in exact arithmetic: the rare branch."""
        runs = words.reshape(self._sampler.shape.words, -1)
        for i in np.flatnonzero(verdicts == _UNDECIDED).tolist():
            value = self._sampler.decide(tuple(runs[:, i].tolist()), self._generator.further(done + i))
            values[i] = 0 if value is None else value
            verdicts[i] = value is not None

    def wipe(self) -> None:
        """Overwrite what the trials left."""
        for array in self._room or ():
            array[:] = 0
