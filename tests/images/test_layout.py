"""The order of storage: tiles one after another, whichever part of it is asked for."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_strategies import arrays, same, stored, tiled

from medcrypt.images.layout import Layout, as_tiles, full_tiles


@given(tiled(), st.data())
def test_any_part_of_storage_is_gathered_and_scattered(case, data):
    array, tiles = case
    layout = Layout(array.shape, full_tiles(tiles, array.shape))
    expected = stored(array, tiles)
    start = data.draw(st.integers(0, expected.size))
    stop = data.draw(st.integers(start, expected.size))

    out = np.empty((stop - start) * array.itemsize, np.uint8)
    layout.gather(array, start, out)
    assert out.tobytes() == expected[start:stop].tobytes()

    numbers = np.arange(array.size).reshape(array.shape)
    copied = np.zeros(array.shape, array.dtype)
    layout.scatter(out, start, copied)
    inside = np.isin(numbers, stored(numbers, tiles)[start:stop])
    assert same(copied, np.where(inside, array, np.zeros((), array.dtype)).astype(array.dtype, copy=False))


@given(tiled())
def test_boxes_follow_each_other_and_none_is_empty(case):
    array, tiles = case
    layout, reached = Layout(array.shape, full_tiles(tiles, array.shape)), 0
    for start, box in layout.boxes(0, array.size):
        assert start == reached
        assert array[box].size > 0
        reached += array[box].size
    assert reached == array.size


@given(tiled())
def test_c_order_is_recognised(case):
    array, tiles = case
    numbers = np.arange(array.size)
    layout = Layout(array.shape, full_tiles(tiles, array.shape))
    if layout.is_c_order:
        assert np.array_equal(stored(numbers.reshape(array.shape), tiles), numbers)


@given(arrays())
def test_one_tile_is_c_order(array):
    assert Layout(array.shape, array.shape).is_c_order


@pytest.mark.parametrize(
    ("shape", "tiles", "is_c_order"),
    [
        ((120, 512, 512), (1,), True),
        ((120, 512, 512), (7,), True),
        ((120, 512, 512), (1, 16), True),
        ((120, 512, 512), (2, 16), False),
        ((512, 512, 3), (256, 256), False),
        ((512, 512, 3), (1, 1, 1), True),
        ((512, 512, 3), (1, 1, 2), True),
        ((512, 512, 3), (600, 600), True),
    ],
)
def test_frames_are_c_order_and_true_tiles_are_not(shape, tiles, is_c_order):
    assert Layout(shape, full_tiles(tiles, shape)).is_c_order == is_c_order


def test_a_tile_of_a_large_slide_is_found_without_enumerating():
    layout = Layout((1 << 20, 1 << 20, 3), (256, 256, 3))
    tile = layout.tile_with(256 * (1 << 20) * 3 * 4000 + 5 * 256 * 256 * 3 + 17)
    assert tile.origin == (1_024_000, 5 * 256, 0)
    assert tile.extent == (256, 256, 3)
    assert tile.size == math.prod(tile.extent)
    assert layout.tile(tile.origin) == tile


@pytest.mark.parametrize("tiles", [5, "ab", b"ab", {3}, [1.5], (None,), None])
def test_tiles_are_a_sequence_of_integers(tiles):
    with pytest.raises(TypeError):
        as_tiles(tiles)


@pytest.mark.parametrize("tiles", [(), (1, 2, 3), (0,), (4, -1)])
def test_tiles_name_1_to_all_axes_and_have_pixels(tiles):
    with pytest.raises(ValueError, match="tile"):
        full_tiles(tiles, (4, 5))


def test_tiles_are_no_larger_than_the_array():
    assert full_tiles((256,), (100, 7)) == (100, 7)
    assert full_tiles((256, 2), (0, 7)) == (1, 2)
    assert full_tiles(as_tiles([np.int64(3)]), (10, 0)) == (3, 1)
