"""What hypothesis seals: arrays of every dtype, shape and memory layout that medcrypt takes."""

import itertools
import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

DTYPES = ["|b1", "|i1", "|u1"] + [
    order + kind
    for order in "<>"
    for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
]
LAYOUTS = ("c", "fortran", "reversed", "every other", "transposed", "broadcast", "read-only")


def filled(shape: tuple[int, ...], dtype: str, seed: int = 0) -> np.ndarray:
    """Return an array of random bytes, whatever they mean in the dtype."""
    kind = np.dtype(dtype)
    data = np.random.default_rng(seed).bytes(math.prod(shape) * kind.itemsize)
    if kind.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(bytearray(data), kind).reshape(shape)


def laid_out(shape: tuple[int, ...], dtype: str, layout: str, seed: int = 0) -> np.ndarray:
    """Return an array of that shape whose memory is laid out in one of `LAYOUTS`."""
    if layout == "fortran":
        return np.asfortranarray(filled(shape, dtype, seed))
    if layout == "reversed":
        return filled(shape, dtype, seed)[(slice(None, None, -1),) * len(shape)]
    if layout == "every other" and shape:
        return filled((2 * shape[0], *shape[1:]), dtype, seed)[::2]
    if layout == "transposed":
        return filled(shape[::-1], dtype, seed).T
    if layout == "broadcast" and shape:
        return np.broadcast_to(filled(shape[1:], dtype, seed), shape)
    array = filled(shape, dtype, seed)
    array.flags.writeable = layout != "read-only"
    return array


def small_shapes() -> st.SearchStrategy[tuple[int, ...]]:
    return hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7)


def large_shapes() -> st.SearchStrategy[tuple[int, ...]]:
    """Shapes of up to 40 000 pixels: a few chunks, whatever the dtype."""
    sides = st.sampled_from([1, 2, 3, 7, 13, 64, 101, 128, 512, 1024])
    shapes = st.lists(sides, min_size=1, max_size=5).map(tuple)
    return shapes.filter(lambda shape: math.prod(shape) <= 40_000)


def arrays() -> st.SearchStrategy[np.ndarray]:
    """Every dtype, shape and layout."""
    return st.builds(
        laid_out,
        small_shapes() | large_shapes(),
        st.sampled_from(DTYPES),
        st.sampled_from(LAYOUTS),
        st.integers(0, 2**32),
    )


def same(one: np.ndarray, two: np.ndarray) -> bool:
    """Tell whether two arrays have the same dtype, shape and bytes (NaN included)."""
    return one.dtype.str == two.dtype.str and one.shape == two.shape and one.tobytes() == two.tobytes()


def tiles_for(shape: tuple[int, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    """Tiles of every kind for a shape: of one pixel, that divide it or do not, and larger than it is."""
    lengths = st.integers(1, 9) | st.sampled_from([16, 64, 100, 256, 5000])
    return st.lists(lengths, min_size=1, max_size=len(shape)).map(tuple)


@st.composite
def tiled(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...]]:
    """An array of one axis or more, and tiles for it."""
    array = draw(arrays().filter(lambda array: array.ndim > 0))
    return array, draw(tiles_for(array.shape))


def stored(array: np.ndarray, tiles: tuple[int, ...]) -> np.ndarray:
    """Return the pixels in the order of storage, tile after tile: the definition, and slow."""
    whole = [*tiles, *array.shape[len(tiles) :]]
    corners = itertools.product(
        *(range(0, length, max(tile, 1)) for length, tile in zip(array.shape, whole, strict=True))
    )
    parts = [
        array[tuple(slice(low, low + tile) for low, tile in zip(corner, whole, strict=True))].ravel()
        for corner in corners
    ]
    joined = np.concatenate(parts) if parts else array.ravel()
    return joined.astype(array.dtype, copy=False)  # numpy joins in the machine's byte order
