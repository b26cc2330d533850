"""The rotation keeps lengths, turns back, and evens out what no client chose knowing its signs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.aggregation.rotation import coordinate_bound, padded, rotate, rotate_back


def hadamard(size):
    """The orthonormal matrix by Sylvester's construction."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.kron([[1, 1], [1, -1]], matrix)
    return matrix / math.sqrt(size)


vectors = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40).map(np.array)


@given(vectors, st.binary(max_size=40))
def test_a_rotation_is_a_hadamard_matrix_times_signs(values, seed):
    size = padded(values.size)
    signs = rotate_back(seed, hadamard(size) @ np.ones(size), values.size)
    assert set(np.abs(signs.round(9))) == {1.0}
    expected = hadamard(size)[:, : values.size] @ (signs.round() * values)
    np.testing.assert_allclose(rotate(seed, values), expected, atol=1e-8, rtol=1e-9)


@given(vectors, st.binary(max_size=40))
def test_a_rotation_keeps_the_norm_and_turns_back(values, seed):
    rotated = rotate(seed, values)
    assert rotated.shape == (padded(values.size),)
    assert np.linalg.norm(rotated) == pytest.approx(np.linalg.norm(values), rel=1e-12, abs=1e-300)
    np.testing.assert_allclose(rotate_back(seed, rotated, values.size), values, atol=1e-8)


def test_arguments_are_left_as_they_are():
    values = np.arange(8.0)
    rotated = rotate(b"seed", values)
    kept = rotated.copy()
    rotate_back(b"seed", rotated, 8)
    np.testing.assert_array_equal(values, np.arange(8.0))
    np.testing.assert_array_equal(rotated, kept)


def test_another_seed_is_another_rotation():
    values = np.random.default_rng(0).standard_normal(100)
    assert np.abs(rotate(b"a", values) - rotate(b"b", values)).max() > 0.1


@pytest.mark.parametrize("values", [np.eye(1, 5000)[0], np.ones(5000), np.arange(5000.0) ** 2])
def test_coordinates_stay_within_the_bound(values):
    bound = coordinate_bound(float(np.linalg.norm(values)), values.size, 2.0**-40)
    largest = max(np.abs(rotate(bytes([seed]), values)).max() for seed in range(20))
    assert largest <= bound
    assert bound < np.linalg.norm(values) / 7


def test_the_bound_is_never_more_than_the_length():
    assert coordinate_bound(3.0, 2, 2.0**-40) == 3.0
    assert [padded(n) for n in (1, 2, 3, 4, 5, 1023, 1024, 1025)] == [1, 2, 4, 4, 8, 1024, 1024, 2048]
