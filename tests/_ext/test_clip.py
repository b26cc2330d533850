"""The kernels of clipping enclose what exact arithmetic says, for every shape and size of number."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import clip
from reference import clipping as oracle

numbers = st.floats(-1e60, 1e60) | st.sampled_from([0.0, 5e-324, 1e-200, -1e-160, 1e70])
widths = st.integers(0, 21)


def matrix(data, rows, width):
    """A matrix of numbers of every size."""
    return np.array(data.draw(st.lists(numbers, min_size=rows * width, max_size=rows * width))).reshape(
        rows, width
    )


@given(st.integers(0, 5), widths, st.data())
def test_bounds_of_squares_are_above_and_close(rows, width, data):
    x, bounds = matrix(data, rows, width), np.empty(rows)
    clip.squares(x, bounds)
    for row, bound in zip(x.tolist(), bounds.tolist(), strict=True):
        exact = oracle.square(row)
        assert exact <= Fraction(bound) <= exact * (1 + Fraction(2 * width + 24, 2**52)) + Fraction(2) ** -999


@given(st.integers(0, 4), widths, st.integers(0, 9), st.booleans(), st.data())
def test_bounds_of_outer_products_are_above_and_close(rows, left, right, bias, data):
    x, y, bounds = matrix(data, rows, left), matrix(data, rows, right), np.empty(rows)
    clip.outer_squares(x, y, bounds, bias=bias)
    for a, b, bound in zip(x.tolist(), y.tolist(), bounds.tolist(), strict=True):
        exact = oracle.outer_square(a, b, bias=bias)
        tiny = Fraction(2) ** -998 * (1 + oracle.square(a) + oracle.square(b))
        assert exact <= Fraction(bound) <= exact * (1 + Fraction(2 * (left + right) + 32, 2**52)) + tiny


@given(st.lists(st.floats(0, 1e300), max_size=30), st.floats(1e-100, 1e100))
def test_factors_are_at_most_clip_over_norm_and_one_within_it(squares, bound):
    factors = np.array(squares)
    assert clip.shrinking_factors(factors, bound, factors)
    for square, factor in zip(squares, factors.tolist(), strict=True):
        limit = Fraction(bound) ** 2
        assert 0 < factor <= 1
        assert Fraction(factor) ** 2 * Fraction(square) <= limit
        if factor < 1:
            assert Fraction(factor) ** 2 * Fraction(square) >= limit * (1 - Fraction(1, 2**44))
        else:
            assert Fraction(square) <= limit


@given(st.integers(1, 40), st.sampled_from([math.nan, math.inf, -math.inf, 1e200]), st.data())
def test_what_is_not_finite_shows_wherever_it_stands(width, bad, data):
    x, squares = np.ones((3, width)), np.empty(3)
    x[1, data.draw(st.integers(0, width - 1))] = bad
    clip.squares(x, squares)
    assert np.isfinite(squares).tolist() == [True, False, True]
    assert not clip.shrinking_factors(squares, 1.0, np.empty(3))
    clip.outer_squares(np.ones((3, 2)), x, squares, bias=False)
    assert np.isfinite(squares).tolist() == [True, False, True]


@given(st.integers(0, 5), widths, st.data())
def test_scaled_rows_are_products_rounded_once_and_their_sums(rows, width, data):
    x, factors = (
        matrix(data, rows, width),
        np.array(data.draw(st.lists(numbers, min_size=rows, max_size=rows))),
    )
    out, sums = np.empty_like(x), np.empty(width)
    clip.scaled(x, factors, out, sums)
    np.testing.assert_array_equal(out, x * factors[:, None])
    for column, total in zip(out.T.tolist(), sums.tolist(), strict=True):
        exact, absolute = sum(map(Fraction, column)), sum(abs(Fraction(z)) for z in column)
        assert abs(Fraction(total) - exact) <= absolute * rows * Fraction(1, 2**53)


@given(
    st.lists(st.tuples(st.integers(-(2**61), 2**61), st.floats(-(2.0**60), 2.0**60)), max_size=30),
    st.integers(-40, 0),
)
def test_sums_become_the_nearest_multiples_of_the_step(pairs, exponent):
    integers, sums = (
        np.array([i for i, _ in pairs], np.int64),
        np.array([s for _, s in pairs]) * 2.0**exponent,
    )
    expected = oracle.on_lattice(integers.tolist(), sums.tolist(), Fraction(2) ** exponent)
    clip.add_on_lattice(integers, sums, 2.0**-exponent, 0.3)
    assert integers.tolist() == expected
    assert sums.tolist() == [float(np.float64(z) * 0.3) for z in expected]


def test_halves_go_to_the_even_neighbour():
    integers, sums = np.zeros(4, np.int64), np.array([0.5, 1.5, -0.5, -1.5])
    clip.add_on_lattice(integers, sums, 1.0, 1.0)
    assert integers.tolist() == [0, 2, 0, -2]


def test_buffers_that_do_not_fit_are_refused():
    x, y, row = np.ones((3, 2)), np.ones((2, 2)), np.ones(3)
    for call in (
        lambda: clip.squares(x, row[:2]),
        lambda: clip.squares(row, row),
        lambda: clip.squares(x.astype(np.float32), row),
        lambda: clip.squares(x.view(np.int64), row),
        lambda: clip.squares(np.ones((3, 4))[:, ::2], row),
        lambda: clip.outer_squares(x, y, row, bias=True),
        lambda: clip.shrinking_factors(row, 1.0, row[:2]),
        lambda: clip.scaled(x, row[:2], x, row[:2]),
        lambda: clip.scaled(x, row, y, row[:2]),
        lambda: clip.scaled(x, row, x, row),
        lambda: clip.add_on_lattice(np.zeros(2, np.int64), row, 1.0, 1.0),
        lambda: clip.add_on_lattice(row, row, 1.0, 1.0),
    ):
        with pytest.raises(ValueError, match=r"one |an array of|contiguous"):
            call()
    row.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        clip.squares(x, row)
