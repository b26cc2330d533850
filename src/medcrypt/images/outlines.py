"""Regions as they are given and as a sidecar keeps them: rectangles, polygons, masks.

An outline knows which pixels it holds and how it is written; the bytes are specified in
``docs/formats/regions.md``. Each outline has exactly one encoding.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import EllipsisType
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import FormatError
from medcrypt.images import runs
from medcrypt.images.rasterise import GRID, MOST_COORDINATE, MOST_CROSSINGS, crossings, rasterise
from medcrypt.images.runs import Runs

Bounds: TypeAlias = tuple[tuple[int, int], ...]
MOST_CORNERS = 1 << 16
MOST_OUTLINES = 1 << 16
_MANY_RUNS = 1 << 16


class Cursor:
    """Bytes that are taken from the front; too few are a `FormatError`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        if size > self.left:
            raise FormatError("the sidecar's header was cut")
        self._at += size
        return self._data[self._at - size : self._at]

    def numbers(self, kind: str, count: int = 1) -> tuple[int, ...]:
        """Return the next little-endian integers of a kind of `struct`."""
        return struct.unpack(f"<{count}{kind}", self.take(count * struct.calcsize(f"<{kind}")))


@dataclass(frozen=True)
class Rectangle:
    """``start <= index < stop`` on every axis."""

    KIND: ClassVar[int] = 1
    bounds: Bounds

    def pixels(self, shape: tuple[int, ...]) -> Runs:
        """Return the pixels."""
        return runs.of_bounds(shape, self.bounds)

    def to_bytes(self) -> bytes:
        """Return kind and bounds."""
        return bytes([self.KIND]) + _bounds_to_bytes(self.bounds)

    @classmethod
    def parse(cls, cursor: Cursor, shape: tuple[int, ...]) -> Rectangle:
        """Take the bounds."""
        return cls(_parse_bounds(cursor, shape))


class Polygon:
    """A region of the last two axes: what a closed line of straight edges holds, by the even-odd rule.

    Pixel (r, c) is the square from (r, c) to (r + 1, c + 1), and belongs to the polygon if its centre does; so the
    corners of the slice ``[2:5, 3:9]`` are (2, 3), (2, 9), (5, 9), (5, 3). A centre exactly on an upper or left edge
    is inside, on a lower or right edge outside. What lies beyond the image is cut off. A pixel that the line only
    touches stays readable: draw generously.

    Parameters
    ----------
    vertices
        At least three (row, column) pairs of numbers, rounded to 1/256 pixel (ties to even), within 2**22 pixels. The
        last one is joined to the first.
    frames
        Which images the polygon is on, where the array has more than two axes: an index of slices and integers into
        the leading axes, as between brackets. All by default.

    Raises
    ------
    TypeError, ValueError
        The vertices are not pairs of finite numbers, too few, or too far away.

    Examples
    --------
    >>> triangle = Polygon([(0, 0), (0, 4), (4, 0)])
    >>> triangle.pixels((4, 4)).count
    6
    """

    KIND: ClassVar[int] = 2
    __slots__ = ("corners", "frames")

    def __init__(self, vertices: Iterable[Sequence[Any]] | NDArray[Any], frames: Any = ...) -> None:
        listed = vertices.tolist() if isinstance(vertices, np.ndarray) else list(vertices)
        if not all(isinstance(vertex, Sequence | np.ndarray) and len(vertex) == 2 for vertex in listed):
            raise TypeError("the vertices of a polygon are pairs of numbers: (row, column)")
        if not 3 <= len(listed) <= MOST_CORNERS:
            raise ValueError(f"a polygon has 3 to {MOST_CORNERS} vertices, not {len(listed)}")
        self.corners = np.array([[_on_grid(number) for number in vertex] for vertex in listed], np.int64)
        self.frames = frames

    def __repr__(self) -> str:
        return f"Polygon({(self.corners / GRID).tolist()}, frames={self.frames!r})"

    def on(self, shape: tuple[int, ...]) -> Polygon:
        """Return the polygon with its frames as bounds in an array of this shape."""
        if len(shape) < 2:
            raise ValueError("a polygon needs an array of two axes or more")
        return self._of(self.corners, _as_bounds(self.frames, shape[:-2]), shape)

    def pixels(self, shape: tuple[int, ...]) -> Runs:
        """Return the pixels."""
        *leading, rows, columns = shape
        frames = runs.of_bounds(leading, _as_bounds(self.frames, tuple(leading)))
        numbers = runs.positions(frames.starts, frames.stops)
        return runs.repeated(rasterise(self.corners, rows, columns), rows * columns, numbers)

    def to_bytes(self) -> bytes:
        """Return kind, frames, number of corners, corners."""
        head = bytes([self.KIND]) + _bounds_to_bytes(self.frames)
        return head + struct.pack("<I", len(self.corners)) + self.corners.astype("<i4").tobytes()

    @classmethod
    def parse(cls, cursor: Cursor, shape: tuple[int, ...]) -> Polygon:
        """Take frames and corners."""
        if len(shape) < 2:
            raise FormatError("a polygon in an array of less than two axes")
        frames = _parse_bounds(cursor, shape[:-2])
        (count,) = cursor.numbers("I")
        if not 3 <= count <= MOST_CORNERS:
            raise FormatError("a polygon's number of corners is out of bounds")
        corners = np.frombuffer(cursor.take(8 * count), "<i4").reshape(count, 2).astype(np.int64)
        if (np.abs(corners) > MOST_COORDINATE).any():
            raise FormatError("a polygon's corners are out of bounds")
        try:
            return cls._of(corners, frames, shape)
        except ValueError as error:
            raise FormatError(str(error)) from None

    @classmethod
    def _of(cls, corners: NDArray[np.int64], frames: Bounds, shape: tuple[int, ...]) -> Polygon:
        if crossings(corners, shape[-2]) > MOST_CROSSINGS:
            raise ValueError(f"the polygon's edges cross more than {MOST_CROSSINGS} rows")
        polygon = cls.__new__(cls)
        polygon.corners, polygon.frames = corners, frames
        return polygon


@dataclass(frozen=True, eq=False)
class Mask:
    """Runs of True in a mask of the last axes, repeated over the leading ones."""

    KIND: ClassVar[int] = 3
    axes: int
    inside: Runs

    def pixels(self, shape: tuple[int, ...]) -> Runs:
        """Return the pixels."""
        leading, plane = shape[: len(shape) - self.axes], math.prod(shape[len(shape) - self.axes :])
        return runs.repeated(self.inside, plane, np.arange(math.prod(leading)))

    def to_bytes(self) -> bytes:
        """Return kind, axes, width, number of runs, and for each run the gap before it and its length."""
        starts, stops = self.inside.starts, self.inside.stops
        steps = np.empty(2 * starts.size, np.int64)
        steps[:1], steps[2::2], steps[1::2] = starts[:1], starts[1:] - stops[:-1], stops - starts
        width = _width(int(steps.max(initial=0)))
        head = struct.pack("<BBBQ", self.KIND, self.axes, width, self.inside.starts.size)
        return head + steps.astype(f"<u{width}").tobytes()

    @classmethod
    def parse(cls, cursor: Cursor, shape: tuple[int, ...]) -> Mask:
        """Take the runs."""
        axes, width = cursor.numbers("B", 2)
        (count,) = cursor.numbers("Q")
        if axes > len(shape) or width not in (1, 2, 4, 8):
            raise FormatError("a mask's fields are out of bounds")
        steps = np.frombuffer(cursor.take(2 * count * width), f"<u{width}").astype(np.uint64)
        plane = math.prod(shape[len(shape) - axes :])
        bounds = np.cumsum(steps)
        # Only the first gap may be empty. Steps are at most the plane, below 2^52, so a sum that wraps falls.
        sound = (
            (steps <= plane).all()
            and (bounds[1:] > bounds[:-1]).all()
            and (count == 0 or bounds[-1] <= plane)
        )
        sound = sound and _width(int(steps.max(initial=0))) == width
        if not sound:
            raise FormatError("a mask's runs are not in their one form, or outside of the array")
        places = bounds.astype(np.int64)
        return cls(axes, Runs(places[::2], places[1::2]))


Outline: TypeAlias = Rectangle | Polygon | Mask
_KINDS: dict[int, type[Rectangle] | type[Polygon] | type[Mask]] = {
    kind.KIND: kind for kind in (Rectangle, Polygon, Mask)
}


def as_outlines(regions: Any, shape: tuple[int, ...]) -> tuple[Outline, ...]:
    """Return the outlines of one region or of a list of them, for an array of this shape."""
    if isinstance(regions, tuple | slice | int | np.integer | EllipsisType | np.ndarray | Polygon):
        return (_as_outline(regions, shape),)
    if isinstance(regions, str | bytes) or not isinstance(regions, Iterable):
        raise TypeError(f"regions must be a region or a list of them, not {type(regions).__name__}")
    return tuple(_as_outline(region, shape) for region in regions)


def parse_outline(cursor: Cursor, shape: tuple[int, ...]) -> Outline:
    """Take one outline of an array of this shape."""
    (kind,) = cursor.numbers("B")
    if kind not in _KINDS:
        raise FormatError("unknown kind of region: made by a newer medcrypt, or damaged")
    return _KINDS[kind].parse(cursor, shape)


def pixels_of(outlines: Iterable[Outline], shape: tuple[int, ...]) -> Runs:
    """Return the union of outlines, holding little more than that at a time."""
    joined, waiting, waiting_runs = runs.union([]), [], 0
    for outline in outlines:
        waiting.append(outline.pixels(shape))
        waiting_runs += waiting[-1].starts.size
        if waiting_runs > _MANY_RUNS + joined.starts.size:
            joined, waiting, waiting_runs = runs.union([joined, *waiting]), [], 0
    return runs.union([joined, *waiting])


def _as_outline(region: Any, shape: tuple[int, ...]) -> Outline:
    if isinstance(region, Polygon):
        return region.on(shape)
    if isinstance(region, np.ndarray) and region.dtype == np.bool_:
        return _as_mask(region, shape)
    if isinstance(region, tuple | slice | int | np.integer | EllipsisType) and not isinstance(region, bool):
        if isinstance(region, tuple) and not any(
            isinstance(part, slice | EllipsisType | tuple) for part in region
        ):
            raise TypeError(
                "a tuple without slices is no rectangle: write [] for no region, ... for everything, "
                "and vertices in a list"
            )
        return Rectangle(_as_bounds(region, shape))
    if isinstance(region, list) or (isinstance(region, np.ndarray) and region.ndim == 2):
        return Polygon(region).on(shape)
    raise TypeError(
        "a region is a tuple of slices, a list of (row, column) vertices, a Polygon or a boolean mask, "
        f"not {type(region).__name__}"
    )


def _as_mask(mask: NDArray[np.bool_], shape: tuple[int, ...]) -> Mask:
    if mask.ndim > len(shape) or mask.shape != shape[len(shape) - mask.ndim :]:
        raise ValueError(f"a mask of shape {mask.shape} does not fit the last axes of {shape}")
    return Mask(mask.ndim, runs.of_mask(mask))


def _as_bounds(index: Any, shape: tuple[int, ...]) -> Bounds:
    """Resolve an index of slices, (start, stop) pairs, integers and at most one Ellipsis, as numpy would."""
    parts = list(index) if isinstance(index, tuple) else [index]
    places = [place for place, part in enumerate(parts) if isinstance(part, EllipsisType)]
    if len(places) > 1:
        raise ValueError("a region has one Ellipsis at most")
    place = places[0] if places else len(parts)
    missing = len(shape) - len(parts) + len(places)
    if missing < 0:
        raise ValueError(f"a region of more axes than the {len(shape)} of the array")
    parts[place : place + 1] = [slice(None)] * missing
    return tuple(_as_bound(part, size) for part, size in zip(parts, shape, strict=True))


def _as_bound(part: Any, size: int) -> tuple[int, int]:
    if isinstance(part, tuple):
        if len(part) != 2:
            raise ValueError("the bounds of an axis are a pair: (start, stop)")
        start, stop = map(operator.index, part)
        if not 0 <= start <= stop <= size:
            raise ValueError(f"bounds ({start}, {stop}) are not a range within an axis of {size}")
        return start, stop
    if isinstance(part, slice):
        start, stop, step = part.indices(size)
        if step != 1:
            raise ValueError("a region has slices without steps; use a mask for every other pixel")
        return start, max(start, stop)
    at = operator.index(part)
    if not -size <= at < size:
        raise ValueError(f"index {at} is outside of an axis of {size}")
    return at % size, at % size + 1


def _bounds_to_bytes(bounds: Bounds) -> bytes:
    return b"".join(struct.pack("<QQ", *pair) for pair in bounds)


def _parse_bounds(cursor: Cursor, shape: tuple[int, ...]) -> Bounds:
    numbers = cursor.numbers("Q", 2 * len(shape))
    bounds = tuple(zip(numbers[::2], numbers[1::2], strict=True))
    if not all(start <= stop <= size for (start, stop), size in zip(bounds, shape, strict=True)):
        raise FormatError("a region's bounds are outside of the array")
    return bounds


def _width(most: int) -> int:
    """Return the bytes of the narrowest integer that holds ``most``."""
    return next(width for width in (1, 2, 4, 8) if most < 1 << 8 * width)


def _on_grid(number: Any) -> int:
    """Round a coordinate to the grid, exactly."""
    if isinstance(number, int | np.integer):
        number = int(number)
    elif isinstance(number, float | np.floating):
        number = float(number)
    elif not isinstance(number, Fraction):
        raise TypeError(f"the coordinates of a vertex are numbers, not {type(number).__name__}")
    if not -MOST_COORDINATE <= number * GRID <= MOST_COORDINATE:  # NaN is refused too
        raise ValueError("a vertex is not finite, or further than 2**22 pixels away")
    return round(Fraction(number) * GRID)
