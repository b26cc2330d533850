"""Polygons: every pixel as by fractions, the coordinates of slices, no pixel twice along a shared edge."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from medcrypt.images.rasterise import GRID, MOST_COORDINATE, crossings, rasterise
from reference import regions as twin

ROWS, COLUMNS = 12, 9

steps = st.integers(-2 * GRID, 14 * GRID)
centres_and_corners = st.integers(-4, 28).map(lambda n: n * GRID // 2)  # where ties are
corners = st.lists(st.tuples(*2 * [steps | centres_and_corners]), min_size=3, max_size=9)


def drawn(points: list[tuple[int, int]], rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    mask = np.zeros(rows * columns, bool)
    runs = rasterise(np.array(points, np.int64), rows, columns)
    for start, stop in zip(runs.starts, runs.stops, strict=True):
        assert not mask[start:stop].any()
        mask[start:stop] = True
    return mask.reshape(rows, columns)


def by_fractions(points: list[tuple[int, int]], rows: int = ROWS, columns: int = COLUMNS) -> np.ndarray:
    return np.array([[twin.holds(points, r, c) for c in range(columns)] for r in range(rows)])


@given(corners)
@example([(128, 128), (128, 128), (128, 128)])
@example([(0, 0), (256, 256), (512, 512)])
@example([(128, 0), (128, 2304), (640, 128)])
def test_every_pixel_is_where_fractions_put_it(points: list[tuple[int, int]]) -> None:
    assert (drawn(points) == by_fractions(points)).all()


@given(points=corners, turn=st.integers(0, 8), mirrored=st.booleans())
def test_neither_the_first_corner_nor_the_direction_matters(
    points: list[tuple[int, int]], turn: int, mirrored: bool
) -> None:
    turned = points[turn % len(points) :] + points[: turn % len(points)]
    assert (drawn(points) == drawn(turned[::-1] if mirrored else turned)).all()


@given(points=corners, rows=st.integers(-3, 3), columns=st.integers(-3, 3))
def test_a_shifted_polygon_is_the_polygon_shifted(
    points: list[tuple[int, int]], rows: int, columns: int
) -> None:
    inner = [(y % (6 * GRID) + 3 * GRID, x % (6 * GRID) + 3 * GRID) for y, x in points]
    shifted = [(y + rows * GRID, x + columns * GRID) for y, x in inner]
    assert (np.roll(drawn(inner, 12, 12), (rows, columns), (0, 1)) == drawn(shifted, 12, 12)).all()


@given(points=corners, cut=st.integers(1, 8), apex=st.tuples(steps, steps))
def test_two_polygons_along_one_line_share_no_pixel(
    points: list[tuple[int, int]], cut: int, apex: tuple[int, int]
) -> None:
    """By the even-odd rule a polygon and what is cut from it add up, whatever line divides them."""
    cut %= len(points)
    one, two = [*points[: cut + 1], apex], [points[cut], *points[cut + 1 :], points[0], apex]
    if len(one) >= 3 and len(two) >= 3:
        assert (drawn(one) ^ drawn(two) == drawn(points)).all()


@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 9), st.integers(0, 9))
def test_whole_corners_are_the_bounds_of_a_slice(top: int, bottom: int, left: int, right: int) -> None:
    top, bottom, left, right = *sorted((top, bottom)), *sorted((left, right))
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[top:bottom, left:right] = True
    square = [(GRID * y, GRID * x) for y, x in ((top, left), (top, right), (bottom, right), (bottom, left))]
    assert (drawn(square) == mask).all()


def test_a_star_is_empty_in_its_middle() -> None:
    points = [
        (GRID * round(50 + 40 * np.sin(a)), GRID * round(50 + 40 * np.cos(a)))
        for a in np.arange(5) * 4 * np.pi / 5
    ]
    star = drawn(points, 100, 100)
    assert not star[50, 50]
    assert star[50, 85]
    assert (star == by_fractions(points, 100, 100)).all()


def test_the_farthest_corners_do_not_overflow() -> None:
    far = MOST_COORDINATE
    for points in (
        [(-far, -far), (-far, far), (far, far)],
        [(-far, far), (far, -far), (far, far)],
        [(-far, far - 1), (far, -far), (far - 3, far)],
        [(-far, -far), (far, -far + 1), (far, far)],
    ):
        assert (drawn(points) == by_fractions(points)).all()


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (0, 5), (5, 0), (1, 1)])
def test_images_of_hardly_any_pixels(rows: int, columns: int) -> None:
    everything = [(-GRID, -GRID), (-GRID, 9 * GRID), (9 * GRID, 9 * GRID), (9 * GRID, -GRID)]
    assert drawn(everything, rows, columns).all()


@given(corners)
def test_crossings_are_counted_as_they_are_drawn(points: list[tuple[int, int]]) -> None:
    expected = 0
    for i, corner in enumerate(points):
        y0, y1 = sorted((corner[0], points[i - 1][0]))
        expected += sum(y0 <= GRID * (row + Fraction(1, 2)) < y1 for row in range(ROWS))
    assert crossings(np.array(points), ROWS) == expected
