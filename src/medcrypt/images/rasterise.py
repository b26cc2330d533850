"""Which pixels a polygon holds, in exact integer arithmetic.

Pixel (r, c) is the square from (r, c) to (r + 1, c + 1), so that a polygon has the coordinates of a slice: the
corners of ``[2:5, 3:9]`` are (2, 3), (2, 9), (5, 9), (5, 3). Corners lie on a grid of 1/256 pixel. A pixel
belongs to the polygon by the even-odd rule at its centre (r + 1/2, c + 1/2):

    an edge from (y0, x0) to (y1, x1) with y0 < y1 crosses the centre line y = r + 1/2 where y0 <= y < y1, at
    x = x0 + (y - y0) (x1 - x0) / (y1 - y0);  the pixel is inside if an odd number of crossings has x <= c + 1/2

so a centre on an upper or left edge is inside, on a lower or right edge outside, and polygons that share an edge
share no pixel. Nothing is rounded: the column where a crossing takes effect is a quotient of integers, rounded up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medcrypt.images.runs import Runs, merged

GRID = 256  # grid steps in a pixel
# Corners are within 2^22 pixels of the origin, 2^30 steps: then every product below stays under 2^63.
MOST_COORDINATE = 1 << 30
# Bounds the memory that a polygon can ask for; the outline of an organ crosses each row twice.
MOST_CROSSINGS = 1 << 24
_HALF = GRID // 2


def crossings(corners: NDArray[np.int64], rows: int) -> int:
    """Return how often the edges of a polygon cross the centre lines of an image of ``rows`` rows."""
    y0, y1, _, _ = _edges(corners)
    first, stop = _rows_of_edges(y0, y1, rows)
    return int(np.maximum(stop - first, 0).sum())


def rasterise(corners: NDArray[np.int64], rows: int, columns: int) -> Runs:
    """Return the pixels of a polygon in an image of ``rows`` times ``columns``; what is beyond is cut off.

    Parameters
    ----------
    corners
        int64, shape (n, 2): row and column in 1/256 pixel, within `MOST_COORDINATE`. The last corner is joined
        to the first.
    rows, columns
        Size of the image in pixels.

    Examples
    --------
    >>> square = np.array([(1, 1), (1, 3), (3, 3), (3, 1)]) * GRID
    >>> rasterise(square, 4, 5)
    Runs(starts=array([ 6, 11]), stops=array([ 8, 13]))
    """
    y0, y1, x0, x1 = _edges(corners)
    first, stop = _rows_of_edges(y0, y1, rows)
    count = np.maximum(stop - first, 0)
    edge = np.repeat(np.arange(count.size), count)
    row = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    rise, run = (y1 - y0)[edge], (x1 - x0)[edge]
    across = (x0[edge] - _HALF) * rise + (row * GRID + _HALF - y0[edge]) * run  # rise (x - 1/2)
    column = np.clip(_ceiling(across, GRID * rise), 0, columns)
    order = np.lexsort((column, row))  # a closed line crosses each row an even number of times
    at = row[order] * columns + column[order]
    return merged(at[::2], at[1::2])


def _edges(corners: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Return upper row, lower row and their columns of each edge that crosses rows."""
    after = np.roll(corners, -1, axis=0)
    corners, after = (ends[corners[:, 0] != after[:, 0]] for ends in (corners, after))
    down = (corners[:, 0] < after[:, 0])[:, None]
    upper, lower = np.where(down, corners, after), np.where(down, after, corners)
    return upper[:, 0], lower[:, 0], upper[:, 1], lower[:, 1]


def _rows_of_edges(
    y0: NDArray[np.int64], y1: NDArray[np.int64], rows: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows, first and one behind the last, whose centre lines each edge crosses."""
    first, stop = _ceiling(y0 - _HALF, GRID), _ceiling(y1 - _HALF, GRID)
    return np.clip(first, 0, rows), np.clip(stop, 0, rows)


def _ceiling(numerator: NDArray[np.int64], denominator: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Divide and round up; numpy's ``//`` rounds down, whatever the signs."""
    return -(-numerator // denominator)
