"""Coins of an exact probability: their share, their edges, and rounding whose mean is the number itself."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medcrypt.dp import noise
from medcrypt.dp.noise import coins
from medcrypt.dp.noise.generator import Generator

DRAWS = 200_000


@pytest.mark.parametrize("probability", [0.0, 1e-3, Fraction(1, 3), 0.5, np.float32(0.75), 1.0])
def test_coins_have_their_probability(probability):
    tosses = noise.bernoulli(probability, DRAWS)
    p = float(probability)
    assert abs(tosses.sum() - DRAWS * p) <= 5.4 * math.sqrt(DRAWS * p * (1 - p))


class Words(Generator):
    """The given words, and for closer decisions the given further ones."""

    def __init__(self, words, further=()):
        super().__init__()
        self.words, self.more = words, list(further)

    def fill(self, words):
        words[:] = self.words

    def further(self, trial):
        return lambda: self.more.pop(0)


def test_a_coin_is_decided_by_as_many_bits_as_it_takes():
    probability = Fraction(5, 3) / 2**64  # the word 1 is undecided, and 2/3 of what follows is below
    for word, further, expected in ((0, [], True), (2, [], False), (1, [0], True), (1, [2**64 - 1], False)):
        generator = Words([word], further)
        assert noise.bernoulli(probability, 1, generator=generator).tolist() == [expected]
        assert not generator.more
    third = (2 << 64) // 3
    assert noise.bernoulli(probability, 1, generator=Words([1], [third, 0])).tolist() == [True]


@pytest.mark.parametrize("gamma", [0.0, 1e-300, 0.1, 1.0, 5.0, 800.0, math.inf])
def test_coins_of_an_exponential_have_their_probability(gamma):
    tosses = noise.bernoulli_exp(np.full(DRAWS, gamma))
    p = math.exp(-gamma)
    assert abs(tosses.sum() - DRAWS * p) <= 5.4 * math.sqrt(DRAWS * p * (1 - p)) + 1e-9


def test_exponentials_that_floats_cannot_decide_are_decided_exactly(monkeypatch):
    monkeypatch.setattr(coins, "_MARGIN", 0.3)
    tosses = noise.bernoulli_exp(np.full(4000, 0.7))
    p = math.exp(-0.7)
    assert abs(tosses.sum() - 4000 * p) <= 5.4 * math.sqrt(4000 * p * (1 - p))


def test_a_poisson_sample_is_of_distinct_members_in_order():
    sample = noise.poisson_sample(DRAWS, 0.01)
    assert sample.dtype == np.int64
    assert (np.diff(sample) > 0).all()
    assert abs(sample.size - 2000) < 5.4 * math.sqrt(2000)
    assert noise.poisson_sample(0, 0.5).size == 0


@given(hnp.arrays("f8", st.integers(0, 20), elements=st.floats(-(2.0**61), 2.0**61)))
def test_rounding_gives_one_of_the_two_neighbours(values):
    rounded = noise.round_stochastically(values)
    for value, result in zip(values.tolist(), rounded.tolist(), strict=True):
        assert result in (math.floor(value), math.ceil(value))


@pytest.mark.parametrize("value", [0.25, -0.25, 3.7, -1e-9, 2.0**-40, 2.0**40 + 0.5])
def test_rounding_has_the_number_as_its_mean(value):
    ups = noise.round_stochastically(np.full(DRAWS, value)) - math.floor(value)
    p = float(Fraction(value) - math.floor(value))
    assert abs(ups.sum() - DRAWS * p) <= 5.4 * math.sqrt(DRAWS * p * (1 - p)) + 1e-9


def test_rounding_is_decided_by_as_many_bits_as_it_takes():
    value = -(2.0**-70)  # rounds to 0 but with probability 2^-70, to -1
    for word, further, expected in ((5, [], 0), (2**64 - 1, [0], 0), (2**64 - 1, [2**64 - 1], -1)):
        generator = Words([word], further)
        assert noise.round_stochastically([value], generator=generator).tolist() == [expected]


def test_integers_are_left_as_they_are():
    values = np.array([2**53 + 1, -(2**53) - 1, 2**62 - 1])
    assert noise.round_stochastically(values).tolist() == values.tolist()
    assert noise.round_stochastically(np.array([7], np.uint8)).dtype == np.int64


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: noise.bernoulli(1.5, 3), ValueError),
        (lambda: noise.bernoulli(math.nan, 3), ValueError),
        (lambda: noise.bernoulli(True, 3), TypeError),
        (lambda: noise.bernoulli("0.5", 3), TypeError),
        (lambda: noise.bernoulli(0.5, -1), ValueError),
        (lambda: noise.poisson_sample(-1, 0.5), ValueError),
        (lambda: noise.bernoulli_exp([-1.0]), ValueError),
        (lambda: noise.bernoulli_exp([math.nan]), ValueError),
        (lambda: noise.round_stochastically([math.inf]), ValueError),
        (lambda: noise.round_stochastically([2.0**62]), OverflowError),
        (lambda: noise.round_stochastically(np.array([2**62])), OverflowError),
        (lambda: noise.round_stochastically(np.zeros(2, np.longdouble)), TypeError),
        (lambda: noise.round_stochastically(["1"]), TypeError),
    ],
)
def test_what_is_no_probability_or_number_is_refused(call, error):
    with pytest.raises(error):
        call()
