"""What counts as an image here: an array of unsigned or signed integers of a known depth."""

import numpy as np
import numpy.typing as npt

__all__ = ["Pixels", "depth_of", "levels_of", "pair_of", "plane_of"]

Pixels = npt.NDArray[np.integer]


def levels_of(image: npt.ArrayLike, bits: int | None) -> tuple[npt.NDArray[np.int64], int]:
    """Return the pixels as numbers from 0 on, and their depth in bits; signed types are shifted.

    Raises
    ------
    TypeError
        If the array does not hold integers.
    ValueError
        If it is empty, or a pixel does not fit in the depth.
    """
    array = np.asarray(image)
    depth = depth_of(array, bits)
    levels = array.astype(np.int64)
    if array.dtype.kind == "i":
        levels += 1 << (depth - 1)
    if levels.min() < 0 or levels.max() >> depth:
        raise ValueError(f"a pixel does not fit in {depth} bits")
    return levels, depth


def depth_of(array: Pixels, bits: int | None) -> int:
    """Return the depth of an array's pixels: as given, or that of its type."""
    if array.dtype == np.bool_:
        raise TypeError("the image must hold integers, not booleans")
    if array.dtype.kind not in "iu":
        raise TypeError(f"the image must hold integers, not {array.dtype}")
    if array.size == 0:
        raise ValueError("the image is empty")
    depth = 8 * array.dtype.itemsize if bits is None else bits
    if not 1 <= depth <= 32:
        raise ValueError("the depth must be between 1 and 32 bits")
    return depth


def pair_of(
    first: npt.ArrayLike, second: npt.ArrayLike, bits: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Return two images of one shape and type as levels, and their depth."""
    a, b = np.asarray(first), np.asarray(second)
    if a.shape != b.shape or a.dtype.newbyteorder("=") != b.dtype.newbyteorder("="):
        raise ValueError(f"the images differ in shape or type: {a.shape} {a.dtype}, {b.shape} {b.dtype}")
    left, depth = levels_of(a, bits)
    return left, levels_of(b, bits)[0], depth


def plane_of(levels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return an image as planes of rows and columns: (planes, rows, columns); colour last becomes planes."""
    if levels.ndim == 1:
        return levels.reshape(1, 1, -1)
    if levels.ndim == 3 and levels.shape[-1] in (3, 4):
        return np.moveaxis(levels, -1, 0)
    return levels.reshape(-1, *levels.shape[-2:])
