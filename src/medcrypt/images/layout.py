"""Where the pixels of an array lie in storage: tile after tile, so that a region is a few runs of bytes.

The grid of tiles starts at the array's origin; tiles at the far edges are smaller. Tiles are stored in row-major
order, one after another without gaps, the pixels of each in C order. The plain C order of the whole array is the
case of a single tile, and one tile a frame gives the same bytes as C order.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Shape: TypeAlias = tuple[int, ...]
Box: TypeAlias = tuple[slice, ...]
Index: TypeAlias = tuple[Any, ...]


def as_tiles(tiles: Sequence[int]) -> Shape:
    """Return a caller's tiles as plain integers, or raise ``TypeError``."""
    if isinstance(tiles, str | bytes) or not isinstance(tiles, Sequence):
        raise TypeError("tiles must be a tuple of integers")
    return tuple(map(operator.index, tiles))


def full_tiles(tiles: Shape, shape: Shape) -> Shape:
    """Return the tile's length along every axis: what is not named is whole, and no tile is larger than the array.

    Parameters
    ----------
    tiles
        Lengths along the leading axes, at least 1 each.
    shape
        Of the array.

    Examples
    --------
    >>> full_tiles((256, 256), (20_000, 100, 3))
    (256, 100, 3)
    """
    if not 1 <= len(tiles) <= len(shape):
        raise ValueError(f"tiles must name 1 to {len(shape)} axes, not {len(tiles)}")
    if min(tiles) < 1:
        raise ValueError("a tile is at least 1 pixel long")
    whole = tiles + shape[len(tiles) :]
    return tuple(max(min(tile, length), 1) for tile, length in zip(whole, shape, strict=True))


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile.

    Parameters
    ----------
    start
        Its first pixel's number in storage.
    origin
        Its first pixel's place in the array.
    extent
        Its shape, smaller than the others' at the far edges.
    """

    start: int
    origin: Shape
    extent: Shape

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.extent)


@dataclass(frozen=True)
class Layout:
    """The order in which the pixels of one array are stored.

    Parameters
    ----------
    shape
        Of the array.
    tiles
        Shape of a tile, an entry for each axis; that of the array for C order.
    """

    shape: Shape
    tiles: Shape

    @functools.cached_property
    def is_c_order(self) -> bool:
        """Whether storage is the array in C order: one-pixel tiles along leading axes, whole ones along the rest."""
        axes = list(zip(self.tiles, self.shape, strict=True))
        while axes and axes[0][0] == 1:
            axes.pop(0)
        return all(tile >= length for tile, length in axes[1:])

    def tile(self, origin: Shape) -> Tile:
        """Return the tile that begins at ``origin``."""
        ends = zip(origin, self.tiles, self.shape, strict=True)
        extent = tuple(min(tile, length - low) for low, tile, length in ends)
        # Before it lie, for each axis, the full rows of tiles that end where this one begins.
        start = sum(
            math.prod(extent[:axis]) * low * math.prod(self.shape[axis + 1 :])
            for axis, low in enumerate(origin)
        )
        return Tile(start, origin, extent)

    def tile_with(self, pixel: int) -> Tile:
        """Return the tile that holds a pixel, given by its number in storage."""
        origin: list[int] = []
        rest, height = pixel, 1
        for axis, (tile, length) in enumerate(zip(self.tiles, self.shape, strict=True)):
            row = height * tile * math.prod(self.shape[axis + 1 :])
            origin.append(rest // row * tile)
            rest %= row
            height *= min(tile, length - origin[-1])
        return self.tile(tuple(origin))

    def boxes(self, start: int, stop: int) -> Iterator[tuple[int, Box]]:
        """Yield the boxes of the array that pixels ``start`` to ``stop`` of storage fill, in that order.

        Yields
        ------
        tuple
            A box's first pixel in storage, and the index that selects the box from the array.

        Examples
        --------
        >>> [start for start, box in Layout((4, 4), (2, 2)).boxes(3, 9)]
        [3, 4, 8]
        """
        while start < stop:
            tile = self.tile_with(start)
            end = min(stop, tile.start + tile.size)
            for first, box in _boxes(tile.extent, start - tile.start, end - tile.start):
                yield tile.start + first, _moved(box, tile.origin)
            start = end

    def gather(self, array: NDArray[Any], start: int, out: Bytes) -> None:
        """Copy pixels of ``array``, in storage order from pixel ``start`` on, until ``out`` is full."""
        pixels = out.view(array.dtype)
        for first, box in self.boxes(start, start + pixels.size):
            part = array[_view(box)]
            pixels[first - start : first - start + part.size].reshape(part.shape)[...] = part

    def scatter(self, data: Bytes, start: int, array: NDArray[Any]) -> None:
        """Copy stored pixels, the first of which is pixel ``start``, to their places in ``array``."""
        pixels = data.view(array.dtype)
        for first, box in self.boxes(start, start + pixels.size):
            part = array[_view(box)]
            part[...] = pixels[first - start : first - start + part.size].reshape(part.shape)


def _view(box: Box) -> Index:
    """Return the index that gives a view of a box, even in an array without axes."""
    return (*box, ...)


def _boxes(extent: Shape, start: int, stop: int) -> Iterator[tuple[int, Box]]:
    """Cut the pixels ``start`` to ``stop`` of a C-ordered array into boxes: the rest of a row, rows, part of a row."""
    if not extent:
        yield start, ()
        return
    row = math.prod(extent[1:])
    first, last = start // row, stop // row
    if start % row:
        end = min(stop, (first + 1) * row)
        yield from _in_row(extent, first, start, end)
        start, first = end, first + 1
    if first < last:
        yield start, (slice(first, last), *(slice(0, length) for length in extent[1:]))
        start = last * row
    if start < stop:
        yield from _in_row(extent, last, start, stop)


def _in_row(extent: Shape, number: int, start: int, stop: int) -> Iterator[tuple[int, Box]]:
    """Cut a part of one row of a C-ordered array."""
    begin = number * math.prod(extent[1:])
    for first, box in _boxes(extent[1:], start - begin, stop - begin):
        yield begin + first, (slice(number, number + 1), *box)


def _moved(box: Box, origin: Shape) -> Box:
    """Return the box of a tile as a box of the array."""
    moved = (slice(low + axis.start, low + axis.stop) for axis, low in zip(box, origin, strict=True))
    return tuple(moved)
