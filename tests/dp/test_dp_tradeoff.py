"""Trade-off curves and groups against exact tests, and `would_exceed`."""

import itertools
import math
from fractions import Fraction

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.tradeoff import least_type_two_error, of_a_group
from reference import privacy as oracle


def normal_quantile(p):
    return mp.sqrt(2) * mp.erfinv(2 * mp.mpf(p) - 1)


@pytest.mark.parametrize("mu", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("alpha", [1e-6, 0.05, 0.5, 0.9])
def test_the_tradeoff_of_the_gaussian_is_its_formula(mu, alpha):
    exact = mp.ncdf(normal_quantile(1 - mp.mpf(alpha)) - mp.mpf(mu))
    found = dp.Accountant().compose(dp.Gaussian(1 / mu)).tradeoff(alpha)
    assert found <= exact + mp.mpf(10) ** -14
    assert found == pytest.approx(float(exact), abs=1e-9)


def exact_tradeoff(p, q, alpha):
    """Return the least type II error at level alpha by the lemma of Neyman and Pearson, in fractions."""
    power, left = Fraction(0), alpha
    for a, b in sorted(zip(p, q, strict=True), key=lambda pair: pair[0] / pair[1], reverse=True):
        share = min(left / b, Fraction(1))
        power, left = power + share * a, left - share * b
    return 1 - power


@given(st.fractions(1, 9, max_denominator=9), st.integers(1, 4), st.fractions(0, 1, max_denominator=64))
@settings(max_examples=40)
def test_the_tradeoff_of_randomised_response_is_the_best_tests(ratio, count, alpha):
    yes, no = ratio / (1 + ratio), 1 / (1 + ratio)
    answers = list(itertools.product((yes, no), repeat=count))
    p = [math.prod(answer) for answer in answers]
    q = [math.prod(1 - part for part in answer) for answer in answers]
    q = q if ratio > 1 else p

    def delta(epsilon):
        factor = Fraction(math.exp(epsilon)) * (1 - Fraction(1, 10**13))
        return float(sum(max(a - factor * b, Fraction(0)) for a, b in zip(p, q, strict=True)))

    found = least_type_two_error(delta, lambda target: count * math.log(ratio), float(alpha))
    exact = exact_tradeoff(p, q, Fraction(float(alpha)))
    assert found <= float(exact) + 1e-13
    assert found == pytest.approx(float(exact), abs=1e-6)


def test_a_tradeoff_curve_starts_at_one_falls_and_ends_at_zero():
    accountant = dp.Accountant().compose(dp.PoissonSampled(0.01, dp.Gaussian(1.0)), 2000)
    curve = [accountant.tradeoff(alpha) for alpha in (0.0, 0.1, 1.0)]
    assert curve == sorted(curve, reverse=True)
    assert curve[0] == pytest.approx(1.0, abs=1e-12)
    assert curve[-1] == 0.0
    assert dp.Accountant().tradeoff(0.25) == pytest.approx(0.75, abs=1e-14)
    for alpha in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="alpha"):
            accountant.tradeoff(alpha)


# --- Groups


@pytest.mark.parametrize("size", [1, 2, 5])
def test_groups_scale_the_sensitivity_of_plain_noise(size):
    for event, grown in (
        (dp.Gaussian(9.0), dp.Gaussian(9.0 / size)),
        (dp.Laplace(9.0), dp.Laplace(9.0 / size)),
        (dp.ZeroConcentratedDP(0.01), dp.ZeroConcentratedDP(0.01 * size**2)),
    ):
        found = dp.Accountant().compose(event, 4).group_epsilon(size, 1e-6)
        assert found == pytest.approx(dp.Accountant().compose(grown, 4).epsilon(1e-6), rel=1e-9)
    assert of_a_group(dp.DiscreteGaussian(3.0, 2), size) == dp.DiscreteGaussian(3.0, 2 * size)
    assert of_a_group(dp.DiscreteLaplace(3.0, 2), size) == dp.DiscreteLaplace(3.0, 2 * size)
    assert of_a_group(dp.Skellam(3.0), size) == dp.Skellam(3.0, size)
    assert of_a_group(dp.PureDP(0.25), size).epsilon == pytest.approx(0.25 * size)


def test_groups_of_an_approximate_mechanism_pay_in_delta_too():
    grown = of_a_group(dp.ApproximateDP(0.5, 1e-6), 3)
    assert grown.epsilon == pytest.approx(1.5)
    assert grown.delta == pytest.approx(1e-6 * (1 + math.exp(0.5) + math.exp(1.0)))
    assert of_a_group(dp.ApproximateDP(5.0, 0.1), 3) is None
    assert of_a_group(dp.Composed([dp.Gaussian(1.0), dp.PoissonSampled(0.1, dp.Gaussian(1.0))]), 2) is None


@pytest.mark.parametrize(("sigma", "q"), [(1.0, 0.1), (2.0, 0.5)])
def test_the_chain_covers_two_records_of_a_poisson_sample(sigma, q):
    """The true curve of two added records, whose sum is in the sample 0, 1 or 2 times."""
    delta = 1e-4
    accountant = dp.Accountant().compose(dp.PoissonSampled(q, dp.Gaussian(sigma)))
    epsilon = accountant.group_epsilon(2, delta)

    def gap(x):
        weights = ((1 - q) ** 2, 2 * q * (1 - q), q**2)
        sampled = mp.fsum(w * mp.npdf(x, k, sigma) for k, w in enumerate(weights))
        return max(sampled - mp.exp(epsilon) * mp.npdf(x, 0, sigma), mp.mpf(0))

    true = mp.quad(gap, mp.linspace(-8 * sigma, 2 + 10 * sigma, 60))
    assert 0 < true <= delta
    assert epsilon > accountant.epsilon(delta)


def test_multiplying_epsilon_alone_would_be_unsound():
    """The Gaussian shows it: at k epsilon and the same delta, groups of k are not covered."""
    accountant = dp.Accountant().compose(dp.Gaussian(1.0))
    epsilon = accountant.epsilon(0.05)
    assert oracle.gaussian_delta(3, 3 * epsilon) > 0.05
    assert accountant.group_epsilon(3, 0.05) > 3 * epsilon


def test_a_chain_that_proves_nothing_says_so():
    accountant = dp.Accountant().compose(dp.PoissonSampled(0.5, dp.Gaussian(0.3)), 50)
    assert accountant.group_epsilon(50, 1e-9) == math.inf
    with pytest.raises(ValueError, match="size"):
        accountant.group_epsilon(0, 1e-6)
    with pytest.raises(ValueError, match="delta"):
        accountant.group_epsilon(2, 0.0)


# --- would_exceed


@given(st.floats(0.5, 5.0), st.integers(0, 20), st.floats(0.1, 10.0))
@settings(max_examples=30)
def test_would_exceed_says_what_composing_would_show_and_changes_nothing(sigma, count, limit):
    accountant = dp.Accountant().compose(dp.Gaussian(3.0), 5)
    before = accountant.state_dict()
    answer = accountant.would_exceed(dp.Gaussian(sigma), epsilon=limit, delta=1e-6, count=count)
    assert accountant.state_dict() == before
    assert answer == (accountant.compose(dp.Gaussian(sigma), count).epsilon(1e-6) > limit)


def test_would_exceed_refuses_what_compose_refuses():
    accountant = dp.Accountant("replace_one")
    with pytest.raises(ValueError, match="refused"):
        accountant.would_exceed(dp.PoissonSampled(0.1, dp.Gaussian(1.0)), epsilon=1.0, delta=1e-6)
    with pytest.raises(ValueError, match="epsilon"):
        accountant.would_exceed(dp.Gaussian(1.0), epsilon=-1.0, delta=1e-6)


def test_a_top_at_zero_is_found_with_few_evaluations():
    accountant = dp.Accountant().compose(dp.PoissonSampled(0.01, dp.Gaussian(1.0)), 10)
    asked = []

    def delta(epsilon):
        asked.append(epsilon)
        return accountant.delta(epsilon)

    found = least_type_two_error(delta, accountant.epsilon, 0.05)
    assert 0.944 < found < 0.95
    assert len(asked) < 150
