"""What hypothesis encrypts in part: regions of every kind for a shape, and the masks that numpy makes of them."""

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_strategies import DTYPES

from medcrypt.images import Polygon
from reference import regions as twin

INTEGERS = [dtype for dtype in DTYPES if dtype[1] in "biu"]
FLOATS = [dtype for dtype in DTYPES if dtype[1] == "f"]


def shapes(min_dims: int = 0) -> st.SearchStrategy[tuple[int, ...]]:
    return hnp.array_shapes(min_dims=min_dims, max_dims=4, min_side=0, max_side=7)


@st.composite
def rectangles(draw: st.DrawFn, shape: tuple[int, ...]) -> Any:
    """An index of slices and integers, perhaps with an Ellipsis, perhaps of fewer axes."""
    index: list[Any] = []
    for size in shape:
        ends = st.none() | st.integers(-size - 2, size + 2)
        parts = st.slices(0).flatmap(lambda _, ends=ends: st.builds(slice, ends, ends))
        index.append(draw(parts | st.integers(-size, size - 1) if size else parts))
    first, last = sorted(draw(st.tuples(st.integers(0, len(index)), st.integers(0, len(index)))))
    if draw(st.booleans()):
        index[first:last] = [...]
    if not any(isinstance(part, slice) or part is ... for part in index):
        index = [*index, ...]
    return tuple(index)


def vertices() -> st.SearchStrategy[list[tuple[float, float]]]:
    numbers = st.integers(-3, 10) | st.integers(-3 * 256, 10 * 256).map(lambda n: n / 256)
    return st.lists(st.tuples(numbers, numbers), min_size=3, max_size=8)


def regions(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    kinds = [
        rectangles(shape),
        st.integers(0, len(shape)).flatmap(lambda axes: hnp.arrays(np.bool_, shape[len(shape) - axes :])),
    ]
    if len(shape) >= 2:
        kinds.append(vertices())
        kinds.append(st.builds(Polygon, vertices(), frames=rectangles(shape[:-2])))
    return st.one_of(kinds)


def as_mask(region: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the pixels of a region by numpy's own rules, those of a polygon by fractions."""
    mask = np.zeros(shape, bool)
    if isinstance(region, np.ndarray):
        mask[...] = region
    elif isinstance(region, tuple):
        mask[region] = True
    else:
        polygon = region if isinstance(region, Polygon) else Polygon(region)
        corners = [tuple(corner) for corner in polygon.corners.tolist()]
        held = [[twin.holds(corners, r, c) for c in range(shape[-1])] for r in range(shape[-2])]
        planes = np.zeros(shape[:-2], bool)
        planes[polygon.frames] = True
        mask |= planes[..., None, None] & np.array(held, bool).reshape(shape[-2:])
    return mask


def masks_of(regions_given: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    return np.logical_or.reduce(
        [np.zeros(shape, bool), *(as_mask(region, shape) for region in regions_given)]
    )


@st.composite
def ranges(draw: st.DrawFn, dtype: str) -> tuple[int, int]:
    """A range of values that the dtype has."""
    kind = np.dtype(dtype)
    least, most = (0, 1) if kind.kind == "b" else (int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    lo = draw(st.integers(least, most - 1))
    width = draw(
        st.integers(1, most - lo) | st.integers(0, math.floor(math.log2(most - lo))).map(lambda b: 2**b)
    )
    return lo, lo + width


def within(shape: tuple[int, ...], dtype: str, lo: int, hi: int, seed: int) -> np.ndarray:
    """Return an array of values from lo to hi, both ends among them where there is room."""
    flat = np.random.default_rng(seed).integers(
        lo, hi, math.prod(shape), np.dtype(dtype).newbyteorder("="), True
    )
    flat[:2] = np.array([lo, hi], flat.dtype)[: flat.size]
    return flat.astype(dtype).reshape(shape)
