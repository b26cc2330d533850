"""Compositions of discrete mechanisms, brute force in fractions and 40 digits; laws that every mixture obeys."""

import functools
import itertools
import json
import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.discrete import discrete_loss


def curve(event, neighbors="add_or_remove_one"):
    return dp.Accountant(neighbors).compose(event)


# --- Brute force in fractions

# A mechanism with two answers (with, without the record), and what is revealed: (probability, p, q) for each.
ratios = st.fractions(1, 9, max_denominator=8)


def answers(ratio, reveal=Fraction(0)):
    """Return the outputs of the worst mechanism of (log ratio, reveal)-DP as pairs (p, q)."""
    yes, no = (1 - reveal) * ratio / (1 + ratio), (1 - reveal) / (1 + ratio)
    return [(yes, no), (no, yes), (reveal, Fraction(0)), (Fraction(0), reveal)]


def exact_delta(mechanisms, factor):
    total = Fraction(0)
    for outputs in itertools.product(*mechanisms):
        p, q = math.prod(o[0] for o in outputs), math.prod(o[1] for o in outputs)
        total += max(p - factor * q, Fraction(0))
    return total


@given(
    st.lists(
        st.tuples(ratios, st.sampled_from([Fraction(0), Fraction(1, 1000), Fraction(1, 7)])),
        min_size=1,
        max_size=4,
    ),
    st.floats(0.0, 1.3),
)
@settings(max_examples=25)
def test_delta_of_worst_case_mechanisms_encloses_the_fractions(parts, share):
    events = [
        dp.ApproximateDP(math.log(ratio), float(reveal)) if reveal else dp.PureDP(math.log(ratio))
        for ratio, reveal in parts
    ]
    epsilon = share * sum(math.log(ratio) for ratio, _ in parts)
    low, high = curve(dp.Composed(events)).delta_bounds(epsilon)
    # The events' parameters are rounded: move the factor by as much.
    mechanisms = [answers(ratio, reveal) for ratio, reveal in parts]
    factor = Fraction(math.exp(epsilon))
    assert low <= float(exact_delta(mechanisms, factor * (1 - Fraction(1, 10**13)))) * (1 + 1e-12)
    assert high >= float(exact_delta(mechanisms, factor * (1 + Fraction(1, 10**13)))) * (1 - 1e-12)


@given(st.integers(1, 19), st.integers(2, 4), st.integers(1, 3), st.floats(0.0, 0.99))
@settings(max_examples=25)
def test_delta_of_randomised_responses_encloses_the_fractions(parts, categories, count, share):
    noise = Fraction(parts, 20)
    spread = noise / categories
    truth = 1 - noise + spread
    one = [(truth, spread), (spread, truth)] + [(spread, spread)] * (categories - 2)
    epsilon = share * count * math.log(truth / spread)
    event = dp.Repeated(dp.RandomizedResponse(float(noise), categories), count)
    low, high = curve(event, "replace_one").delta_bounds(epsilon)
    factor = Fraction(math.exp(epsilon))
    assert low <= float(exact_delta([one] * count, factor * (1 - Fraction(1, 10**13)))) + 1e-13
    assert high >= float(exact_delta([one] * count, factor * (1 + Fraction(1, 10**13)))) - 1e-13


@given(st.lists(ratios.filter(lambda r: r > 1), min_size=3, max_size=3), st.data())
@settings(max_examples=25)
def test_choosing_among_equally_private_mechanisms_while_watching_costs_no_more(three, data):
    """Adaptive composition: after each answer the analyst picks any mechanism within the step's budget."""
    menus = []
    for ratio in three:
        # The worst one, a weaker one, and an asymmetric one, all of pure epsilon = log(ratio).
        weaker = 1 + (ratio - 1) / 2
        low = 1 / (2 * ratio)
        menus.append(
            [answers(ratio)[:2], answers(weaker)[:2], [(ratio * low, low), (1 - ratio * low, 1 - low)]]
        )
    factor = Fraction(data.draw(st.fractions(1, math.ceil(math.prod(three)), max_denominator=20)))

    @functools.cache
    def best(step, p, q):
        if step == len(menus):
            return max(p - factor * q, Fraction(0))
        return max(sum(best(step + 1, p * a, q * b) for a, b in menu) for menu in menus[step])

    events = [dp.PureDP(math.nextafter(math.log(ratio), 99.0)) for ratio in three]
    high = curve(dp.Composed(events)).delta(math.log(factor) * (1 - 1e-15))
    assert float(best(0, Fraction(1), Fraction(1))) <= high * (1 + 1e-12)


# --- Discrete noise, by convolution of its law


def convolved_delta(parts, epsilon):
    """Return delta of losses on points by brute force over all of their sums."""
    sums = {0.0: 1.0}
    for loss in parts:
        grown = {}
        for before, weight in sums.items():
            for point, mass in zip(loss.losses.tolist(), loss.log_masses.tolist(), strict=True):
                key = round(before + point, 12)
                grown[key] = grown.get(key, 0.0) + weight * math.exp(mass)
        sums = grown
    return math.fsum(w * -math.expm1(epsilon - s) for s, w in sums.items() if s > epsilon)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
@pytest.mark.parametrize(
    "events",
    [
        [dp.DiscreteGaussian(1.0)] * 2,
        [dp.DiscreteGaussian(2.0, 3), dp.DiscreteLaplace(1.5, 2)],
        [dp.DiscreteLaplace(2.0, 3)] * 3,
        [dp.Skellam(2.0)] * 2,
        [dp.Skellam(9.0, 2), dp.PureDP(0.3)],
    ],
    ids=str,
)
def test_delta_of_discrete_noise_encloses_the_convolution(events, share):
    losses = [discrete_loss(event, -46.0) for event in events]
    epsilon = share * min(sum(float(loss.losses.max()) for loss in losses), 8.0)
    exact = convolved_delta(losses, epsilon)
    low, high = curve(dp.Composed(events)).delta_bounds(epsilon)
    assert low <= exact * (1 + 1e-9) + 1e-18
    assert high >= exact * (1 - 1e-9)
    assert high <= exact * 1.01 + 1e-15


def test_the_gaussian_does_not_cover_the_discrete_gaussian():
    """At sigma = sensitivity = 1 epsilon is larger by up to 0.149, near delta = 1e-9."""
    gap = curve(dp.DiscreteGaussian(1.0)).epsilon(10**-9.06) - curve(dp.Gaussian(1.0)).epsilon(10**-9.06)
    assert gap == pytest.approx(0.1494, abs=2e-3)


# --- Laws

mechanisms = st.one_of(
    st.builds(dp.Gaussian, st.floats(0.7, 20.0)),
    st.builds(dp.Laplace, st.floats(1.0, 30.0)),
    st.builds(dp.PoissonSampled, st.floats(0.001, 0.5), st.builds(dp.Gaussian, st.floats(0.7, 5.0))),
    st.builds(dp.DiscreteLaplace, st.floats(1.0, 9.0), st.integers(1, 4)),
    st.builds(dp.PureDP, st.floats(0.01, 1.0)),
    st.builds(dp.ApproximateDP, st.floats(0.01, 1.0), st.floats(1e-9, 1e-7)),
    st.builds(dp.ZeroConcentratedDP, st.floats(0.001, 0.5)),
)
deltas = st.floats(-14.0, -3.0).map(math.exp)


@given(st.lists(st.tuples(mechanisms, st.integers(20, 60)), min_size=1, max_size=3), deltas)
@settings(max_examples=4)
def test_nesting_order_and_counting_do_not_change_the_price(parts, delta):
    plain = dp.Accountant()
    for event, count in parts:
        plain.compose(event, count)
    nested = dp.Composed([dp.Repeated(event, count) for event, count in reversed(parts)])
    other = dp.Accountant().compose(dp.from_json(dp.to_json(nested)))
    assert other == plain
    expected = pytest.approx(plain.epsilon_bounds(delta), rel=1e-12, abs=1e-15)
    assert other.epsilon_bounds(delta) == expected
    again = dp.Accountant()
    again.load_state_dict(json.loads(json.dumps(plain.state_dict())))
    assert again == plain
    assert again.epsilon_bounds(delta) == expected


@given(mechanisms, mechanisms, deltas, st.floats(0.0, 3.0))
@settings(max_examples=4)
def test_more_events_never_cost_less_and_bounds_are_ordered(first, second, delta, epsilon):
    one = curve(dp.Repeated(first, 30))
    both = curve(dp.Repeated(first, 30)).compose(second, 30)
    assert both.epsilon(delta) >= one.epsilon_bounds(delta)[0] * (1 - 1e-12)
    assert both.delta(epsilon) >= one.delta_bounds(epsilon)[0] * (1 - 1e-12)
    for accountant in (one, both):
        low, high = accountant.epsilon_bounds(delta)
        assert 0.0 <= low <= high
        assert accountant.epsilon_bounds(delta / 2)[1] >= low * (1 - 1e-12)
        low, high = accountant.delta_bounds(epsilon)
        assert 0.0 <= low <= high <= 1.0


@given(mechanisms, st.integers(20, 50), deltas)
@settings(max_examples=6)
def test_exact_accounting_costs_no_more_than_renyi_accounting(event, count, delta):
    accountant = curve(dp.Repeated(event, count))
    renyi = dp.renyi.epsilon(dp.Repeated(event, count), delta)
    assert accountant.epsilon_bounds(delta)[0] <= renyi


def test_a_bound_known_by_renyi_divergences_has_no_lower_one():
    known = dp.RenyiCurve([2.0, 8.0, 32.0], [0.01, 0.05, 0.3])
    for accountant in (curve(known), curve(dp.Composed([known, dp.Laplace(9.0)]))):
        low, high = accountant.epsilon_bounds(1e-5)
        assert low == 0.0
        assert 0.0 < high < math.inf
        low, high = accountant.delta_bounds(high)
        assert low == 0.0
        assert 0.0 < high <= 1.05e-5
        assert accountant.epsilon(0.0) == math.inf
    assert curve(known).epsilon(1e-5) == dp.renyi.epsilon(known, 1e-5)


def test_fixed_size_samples_cost_more_than_poisson_samples_of_the_same_noise():
    """Standard deviation 1 for norm 1: replacing a record moves a sum by 2 (Lebeda et al. 2024)."""
    poisson = curve(dp.Repeated(dp.PoissonSampled(0.001, dp.Gaussian(1.0)), 10_000)).epsilon(1e-6)
    fixed = dp.SampledWithoutReplacement(1, 1000, dp.Gaussian(0.5))
    assert curve(dp.Repeated(fixed, 10_000), "replace_one").epsilon(1e-6) > 5 * poisson
