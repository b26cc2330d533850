"""Regions as they may be given: numpy's indexing is the oracle of rectangles; what is no region is refused."""

import tracemalloc
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import region_strategies as given_by
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import SecretKey
from medcrypt.images import Polygon, encrypt_regions
from medcrypt.images.outlines import Cursor, Mask, as_outlines, parse_outline, pixels_of
from reference import regions as twin

SHAPE = (4, 5, 6)


def as_pixels(regions: Any, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """Return what the library makes of regions."""
    mask, runs = np.zeros(int(np.prod(shape)), bool), pixels_of(as_outlines(regions, shape), shape)
    for start, stop in zip(runs.starts, runs.stops, strict=True):
        mask[start:stop] = True
    assert runs.count == mask.sum()
    assert (runs.starts < runs.stops).all()
    assert (runs.starts[1:] > runs.stops[:-1]).all()
    return mask.reshape(shape)


@given(data=st.data(), shape=given_by.shapes())
def test_a_list_of_regions_holds_what_their_masks_hold(data: st.DataObject, shape: tuple[int, ...]) -> None:
    regions = data.draw(st.lists(given_by.regions(shape), max_size=4))
    assert (as_pixels(regions, shape) == given_by.masks_of(regions, shape)).all()


@given(data=st.data(), shape=given_by.shapes())
def test_an_outline_is_written_and_read_in_one_form(data: st.DataObject, shape: tuple[int, ...]) -> None:
    (outline,) = as_outlines([data.draw(given_by.regions(shape))], shape)
    written = outline.to_bytes()
    cursor = Cursor(written)
    read = parse_outline(cursor, shape)
    assert cursor.left == 0
    assert read.to_bytes() == written
    assert (pixels_of([read], shape).starts == pixels_of([outline], shape).starts).all()
    front = twin.Front(written)
    flat = np.flatnonzero(as_pixels_of(outline, shape)).tolist()
    assert sorted(twin.outline(front, shape)) == flat


def as_pixels_of(outline: Any, shape: tuple[int, ...]) -> np.ndarray:
    runs, mask = outline.pixels(shape), np.zeros(int(np.prod(shape)), bool)
    for start, stop in zip(runs.starts, runs.stops, strict=True):
        mask[start:stop] = True
    return mask


@pytest.mark.parametrize(
    ("region", "index"),
    [
        (..., np.s_[...]),
        (np.s_[1:3], np.s_[1:3]),
        (2, 2),
        (np.int16(-1), 3),
        (np.s_[2, 1:3], np.s_[2, 1:3]),
        (np.s_[-1, ..., -2:], np.s_[-1, ..., -2:]),
        (np.s_[:, :, 3:99], np.s_[:, :, 3:]),
        (np.s_[3:1], np.s_[0:0]),
        (((1, 3), (0, 5), (2, 2)), np.s_[1:3, 0:5, 2:2]),
        (((1, 3), 4, ...), np.s_[1:3, 4]),
        ((np.int64(2), slice(np.int8(1), None)), np.s_[2, 1:]),
        (np.s_[::1, 1:2:1], np.s_[:, 1:2]),
    ],
)
def test_rectangles_are_numpy_s_indices(region: Any, index: Any) -> None:
    mask = np.zeros(SHAPE, bool)
    mask[index] = True
    assert (as_pixels(region) == mask).all()
    assert (as_pixels([region]) == mask).all()


def test_a_polygon_is_on_all_frames_or_on_some() -> None:
    triangle = [(0, 0), (0, 5), (5, 0)]
    plane = as_pixels([triangle], SHAPE[1:])
    for region in ([triangle], Polygon(triangle), np.array(triangle), [np.array(triangle, np.float32)]):
        assert (as_pixels(region) == plane).all()
    some = as_pixels(Polygon(triangle, frames=np.s_[1:3]))
    assert (some[1:3] == plane).all()
    assert not some[[0, 3]].any()
    assert (as_pixels(Polygon(triangle, frames=2))[2] == plane).all()


def test_one_polygon_fits_many_arrays() -> None:
    polygon = Polygon([(0, 0), (0, 5), (5, 0)], frames=np.s_[1:])
    for shape in ((2, 5, 5), (7, 3, 9), (2, 2, 4, 4)):
        (outline,) = as_outlines(polygon, shape)
        assert as_pixels_of(outline, shape).any()
    assert polygon.frames == np.s_[1:]


def test_vertices_are_rounded_to_the_grid_exactly() -> None:
    third, tie = Fraction(1, 3), Fraction(1, 512)
    polygon = Polygon([(third, -third), (tie, 3 * tie), (0.1, np.float32(2.5)), (np.int8(3), 2**22)])
    assert polygon.corners.tolist() == [[85, -85], [0, 2], [26, 640], [768, 2**30]]
    assert (
        repr(Polygon([(0, 0.5), (1, 2), (3, 4)]))
        == "Polygon([[0.0, 0.5], [1.0, 2.0], [3.0, 4.0]], frames=Ellipsis)"
    )


def test_a_mask_of_the_last_axes_is_repeated() -> None:
    mask = np.array([True, False, False, True, True, False])
    assert (as_pixels(mask) == mask).all()
    assert (as_pixels([mask[::-1]]) == mask[::-1]).all()
    assert as_pixels([np.array(True)]).all()
    assert not as_pixels([np.array(False)]).any()


@pytest.mark.parametrize(("gap", "width"), [(255, 1), (256, 2), (65535, 2), (65536, 4)])
def test_masks_are_as_narrow_as_their_longest_run(gap: int, width: int) -> None:
    mask = np.zeros(gap + 1, bool)
    mask[gap] = True
    (outline,) = as_outlines(mask, mask.shape)
    assert isinstance(outline, Mask)
    assert len(outline.to_bytes()) == 11 + 2 * width
    assert parse_outline(Cursor(outline.to_bytes()), mask.shape).to_bytes() == outline.to_bytes()


@pytest.mark.parametrize(
    ("regions", "error"),
    [
        ((), TypeError),
        ([()], TypeError),
        ((2, 3), TypeError),
        ([(0, 0), (0, 5), (5, 0)], TypeError),  # a list of vertices where a list of regions belongs
        ([[0, 0], [0, 5], [5, 0]], TypeError),
        (None, TypeError),
        (True, TypeError),
        ("all", TypeError),
        (b"all", TypeError),
        ([None], TypeError),
        ([True], TypeError),
        ([4], ValueError),
        ([np.zeros(6, np.uint8)], TypeError),
        ([np.zeros((5, 6), np.uint8)], TypeError),
        ([np.zeros(SHAPE)], TypeError),
        ([np.s_[None, 1:2]], TypeError),
        ([np.s_[[0, 1], 1:2]], TypeError),
        ([np.s_[1.5, 1:2]], TypeError),
        (np.s_[1:4:2], ValueError),
        (np.s_[::-1], ValueError),
        (np.s_[:, :, :, :], ValueError),
        (np.s_[..., 1, ...], ValueError),
        (np.s_[4, :], ValueError),
        (np.s_[:, -6], ValueError),
        (((0, 1, 2), ...), ValueError),
        (((3, 1), ...), ValueError),
        (((-1, 1), ...), ValueError),
        (((0, 5), ...), ValueError),
        ([np.zeros((6, 5), bool)], ValueError),
        ([np.zeros((1, *SHAPE), bool)], ValueError),
        ([np.zeros((1, 6), bool)], ValueError),
        ([[(0, 0), (1, 1)]], ValueError),
        ([[(0, 0), (1, 1), (2, 2, 2)]], TypeError),
        ([[(0, 0), (1, 1), (2, "2")]], TypeError),
        ([[(0, 0), (1, 1), (2, None)]], TypeError),
        ([[(0, 0), (1, 1), (2, 1j)]], TypeError),
        ([[(0, 0), (1, 1), (2, Decimal(2))]], TypeError),
        ([[(0, 0), (1, 1), (2, float("nan"))]], ValueError),
        ([[(0, 0), (1, 1), (2, float("inf"))]], ValueError),
        ([[(0, 0), (1, 1), (2, -1e300)]], ValueError),
        ([[(0, 0), (1, 1), (2, 2**22 + 1)]], ValueError),
        ([[(0, 0), (1, 1), (10**400, 2)]], ValueError),
        ([[(0, 0)] * (2**16 + 1)], ValueError),
        ([Polygon([(0, 0), (0, 5), (5, 0)], frames=4)], ValueError),
        ([Polygon([(0, 0), (0, 5), (5, 0)], frames=np.s_[:, :])], ValueError),
    ],
)
def test_what_is_no_region_is_refused(regions: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        as_outlines(regions, SHAPE)


def test_a_polygon_needs_two_axes() -> None:
    with pytest.raises(ValueError, match="two axes"):
        as_outlines([[(0, 0), (0, 5), (5, 0)]], (9,))


def test_the_union_of_many_large_outlines_takes_the_memory_of_a_few() -> None:
    shape = (1 << 13, 64)
    outlines = as_outlines([np.s_[:, column : column + 1] for column in range(0, 64, 2)] * 20, shape)
    tracemalloc.start()
    try:
        union = pixels_of(outlines, shape)
        assert (
            tracemalloc.get_traced_memory()[1] < 12 * 16 * union.starts.size
        )  # all at once: 20 times the runs, and their sort
    finally:
        tracemalloc.stop()
    assert union.count == shape[0] * 32


def test_more_regions_than_a_sidecar_holds_are_refused() -> None:
    with pytest.raises(ValueError, match="use a mask"):
        encrypt_regions(np.zeros((2, 2), np.uint8), [...] * (1 << 16) + [0], SecretKey.generate())
