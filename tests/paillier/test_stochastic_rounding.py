"""Stochastic rounding: exact probabilities, on the fast path and on the exact one."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.paillier import Packing, rounding
from medcrypt.paillier.rounding import _exactly, _floor_and_fraction, _two_product, round_stochastically

clips = st.floats(1e-100, 1e100) | st.sampled_from([1.0, 8.0, 0.1, 3.0, 1e-100, 1e100])
levels = st.sampled_from([1, 127, 255, 2**31 - 1, 2**52 - 1, 2**53 - 1])
shares = st.floats(-1.0, 1.0) | st.sampled_from([0.0, 1.0, -1.0, 0.5, 1e-300, 5e-324, -5e-324, 1 / 3])


def expected(x, level, clip, uniform):
    """Up if the 53-bit uniform number is below the fraction; undecided (None) inside its last bit."""
    steps = Fraction(x) * level / Fraction(clip)
    below = math.floor(steps)
    fraction = steps - below
    if (uniform + 1) * Fraction(1, 2**53) <= fraction:
        return {below + 1}
    return {below} if Fraction(uniform, 2**53) >= fraction else {below, below + 1}


@given(share=shares, clip=clips, level=levels, uniform=st.integers(0, 2**53 - 1))
def test_each_outcome_is_that_of_exact_fractions(share, clip, level, uniform):
    x = max(min(share * clip, clip), -clip)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounding.os, "urandom", lambda n: (uniform << 11).to_bytes(8, "little") * (n // 8))
        rounded = round_stochastically(np.array([x]), level, clip)
    assert rounded.dtype == np.int64
    assert int(rounded[0]) in expected(x, level, clip, uniform)
    assert abs(int(rounded[0])) <= level


@given(share=shares, clip=clips, level=levels, data=st.data())
def test_random_bits_next_to_the_fraction_are_decided_exactly(share, clip, level, data):
    """The double-double quotient is too coarse there: exact fractions decide."""
    x = max(min(share * clip, clip), -clip)
    steps = Fraction(x) * level / Fraction(clip)
    near = int((steps - math.floor(steps)) * 2**53) + data.draw(st.integers(-3, 3))
    test_each_outcome_is_that_of_exact_fractions.hypothesis.inner_test(share, clip, level, near % 2**53)


@given(share=shares, clip=clips, level=levels)
def test_the_fast_fraction_is_far_closer_than_the_margin(share, clip, level):
    x = max(min(share * clip, clip), -clip)
    below, fraction = _floor_and_fraction(np.array([x]), float(level), clip)
    error = Fraction(float(below[0])) + Fraction(float(fraction[0])) - Fraction(x) * level / Fraction(clip)
    assert abs(error) < Fraction(1, 2**47)
    assert 0 <= fraction[0] <= 1


@given(a=st.floats(-1e100, 1e100).filter(lambda a: a == 0 or abs(a) > 1e-200), b=st.floats(1e-60, 2.0**53))
def test_a_product_and_its_error_are_exact(a, b):
    product, error = _two_product(np.array([a]), b)
    assert Fraction(float(product[0])) + Fraction(float(error[0])) == Fraction(a) * Fraction(b)


@given(st.integers(0, 2**53 - 1))
def test_undecided_bits_are_drawn_until_they_decide(random):
    """A third has no finite binary fraction: the first 53 bits may be its own, the next ones decide."""
    third = Fraction(1, 3)
    outcomes = {_exactly(1.0, 1, 3.0, int(third * 2**53)) for _ in range(200)}
    assert outcomes == {0, 1}
    assert _exactly(1.0, 1, 3.0, random) in expected(1.0, 1, 3.0, random)


def test_exact_steps_stay_as_they_are():
    steps = np.arange(-127, 128)
    assert (round_stochastically(steps / 127.0 * 127.0, 127, 127.0) == steps).all()
    assert not round_stochastically(np.zeros(100_000), 2**31 - 1, 8.0).any()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
def test_the_mean_is_the_number(share):
    count = 200_000
    packing = Packing(clip=127.0, bits=8)
    mean = packing.quantise(np.full(count, 41 + share), rounding="stochastic").mean()
    deviation = math.sqrt(share * (1 - share) / count)
    assert abs(mean - 41 - share) < 7 * deviation  # wrong once in 10^11 runs


def test_rounding_to_the_nearest_is_biased_where_stochastic_is_not():
    packing = Packing(clip=127.0, bits=8)
    values = np.full(100_000, 0.25)
    assert packing.quantise(values).sum() == 0
    assert abs(packing.quantise(values, rounding="stochastic").mean() - 0.25) < 0.01


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 2)])
def test_shapes_are_kept(shape):
    assert Packing().quantise(np.ones(shape), rounding="stochastic").shape == shape


def test_draws_are_independent():
    packing = Packing(clip=1.0, bits=2)
    first, second = (packing.quantise(np.full(256, 0.5), rounding="stochastic") for _ in range(2))
    assert (first != second).any()
    assert set(first.tolist()) == {0, 1}


def test_an_unknown_rounding_is_refused():
    with pytest.raises(ValueError, match="rounding"):
        Packing().quantise([1.0], rounding="up")
