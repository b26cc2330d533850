"""What the samplers cost is part of what the accountant answers, and of what a filter admits."""

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.draws import Draws
from medcrypt.errors import BudgetError

STEP = dp.PoissonSampled(0.01, dp.Gaussian(1.0))


def hockey_stick(p, q, factor):
    """Return sup over sets S of P(S) - factor Q(S), in fractions."""
    return sum(max(a - factor * b, Fraction(0)) for a, b in zip(p, q, strict=True))


def drawn_wrongly(law, distance):
    """Yield laws at a distance from ``law``: a mass moved from one output to another."""
    for source, target in itertools.permutations(range(len(law)), 2):
        moved = list(law)
        moved[source] -= distance
        moved[target] += distance
        if moved[source] >= 0:
            yield moved


# --- The law


@pytest.mark.parametrize("distance", [Fraction(1, 1000), Fraction(1, 50), Fraction(1, 10)])
@pytest.mark.parametrize("ratio", [Fraction(3, 2), Fraction(4)])
def test_bounds_hold_for_every_pair_of_laws_so_near(distance, ratio):
    """Randomised response, drawn by samplers that err as much and as badly as they may, in exact arithmetic."""
    law = [ratio / (1 + ratio), 1 / (1 + ratio), Fraction(0)]
    neighbor = [law[1], law[0], law[2]]
    event = dp.PureDP(math.log(ratio))
    accountant = dp.Accountant().compose(event, draws=1, distance=float(distance))
    for epsilon in (0.0, 0.2, 1.0, 2.0):
        factor = Fraction(math.exp(epsilon))
        pairs = itertools.product(drawn_wrongly(law, distance), drawn_wrongly(neighbor, distance))
        deltas = [hockey_stick(p, q, factor) for p, q in pairs]
        low, high = accountant.delta_bounds(epsilon)
        assert low <= min(deltas) * (1 + Fraction(1, 10**9))
        assert max(deltas) <= high
        # Not merely a bound: moving mass to an output of its own, and taking it from the other's, costs all of it.
        assert high <= max(deltas) + distance * factor + Fraction(1, 10**9)


def test_the_charge_is_the_formula_and_adds_up():
    tau = 2.0**-60
    accountant = dp.Accountant().compose(STEP, 100, draws=50, distance=tau).compose(dp.Laplace(3.0))
    assert accountant.draws == 5000
    assert accountant.distance == pytest.approx(5000 * tau, rel=1e-14)
    for epsilon in (0.0, 1.0, 6.0):
        assert accountant.charge(epsilon) == pytest.approx((1 + math.exp(epsilon)) * 5000 * tau, rel=1e-12)
        assert accountant.charge(epsilon) >= dp.noise.charge(epsilon, 5000, tau) * (1 - 1e-15)
        plain = dp.Accountant().compose(STEP, 100).compose(dp.Laplace(3.0)).delta(epsilon)
        assert accountant.delta(epsilon) == pytest.approx(plain + accountant.charge(epsilon), rel=1e-12)
    assert accountant.generator_advantage == dp.noise.generator_advantage(5000)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 10**9), st.floats(0.0, 2.0**-50)),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_grouping_counts_and_nothing_is_lost(parts, random):
    together, apart = dp.Accountant(), dp.Accountant()
    for count, draws, distance in parts:
        together.compose(STEP, count, draws=draws, distance=distance)
    split = [(part, draws, tau) for count, draws, tau in parts for part in (count // 3, count - count // 3)]
    random.shuffle(split)
    for count, draws, distance in split:
        apart.compose(STEP, count, draws=draws, distance=distance)
    assert together == apart
    exact = sum(count * draws * Fraction(distance) for count, draws, distance in parts)
    assert Fraction(together.distance) >= min(exact, 1)
    number = sum(count * draws for count, draws, _ in parts)
    assert together.draws == number
    assert Fraction(together.distance) <= (exact + Fraction(number, 2**256)) * (1 + Fraction(1, 2**40))


@given(st.floats(1e-30, 1e-3), st.floats(1e-40, 1e-3), st.floats(0.5, 20.0))
@settings(max_examples=40)
def test_epsilon_and_delta_agree_and_the_charge_only_raises_them(delta, distance, sigma):
    plain = dp.Accountant().compose(dp.Gaussian(sigma))
    drawn = dp.Accountant().compose(dp.Gaussian(sigma), draws=1, distance=distance)
    epsilon = drawn.epsilon(delta)
    low, high = drawn.epsilon_bounds(delta)
    assert 0.0 <= low <= high
    assert high == pytest.approx(epsilon, rel=1e-12)
    assert low <= plain.epsilon_bounds(delta)[1]
    assert epsilon >= plain.epsilon_bounds(delta)[0]
    if math.isfinite(epsilon):
        assert drawn.delta(epsilon) <= delta * (1 + 1e-9)
        assert dp.Accountant().compose(dp.Gaussian(sigma), draws=2, distance=distance).epsilon(
            delta
        ) >= epsilon * (1 - 1e-12)
    else:
        # Nothing fits: the charge alone, or with what is left of the curve, passes delta on a fine grid.
        assert all(drawn.delta(0.05 * k) > 0.85 * delta for k in range(400))


def test_a_charge_that_nearly_takes_delta_is_solved_for():
    sigma, distance, delta = 1.0, 1e-12, 1e-9
    accountant = dp.Accountant().compose(dp.Gaussian(sigma), draws=1, distance=distance)
    epsilon = accountant.epsilon(delta)
    plain = dp.Accountant().compose(dp.Gaussian(sigma)).epsilon(delta)
    assert plain < epsilon < plain + 1.0
    assert accountant.delta(epsilon) <= delta
    assert accountant.delta(epsilon - 0.1) > delta
    low, high = accountant.epsilon_bounds(delta)
    assert low < plain < high


def test_without_draws_nothing_changes():
    plain, exact = dp.Accountant().compose(STEP, 1000), dp.Accountant().compose(STEP, 1000, draws=7)
    assert plain.epsilon_bounds(1e-6) == exact.epsilon_bounds(1e-6)
    assert plain.delta_bounds(1.0) == exact.delta_bounds(1.0)
    assert (plain.draws, plain.distance, plain.charge(3.0)) == (0, 0.0, 0.0)
    assert (exact.draws, exact.distance, exact.charge(3.0)) == (7000, 0.0, 0.0)
    assert "draws" not in repr(plain)
    assert "draws=7000" in repr(exact)


def test_no_pure_epsilon_survives_inexact_draws():
    accountant = dp.Accountant().compose(dp.Laplace(2.0), draws=1, distance=2.0**-150)
    assert accountant.epsilon_bounds(0.0) == (0.0, math.inf)
    assert accountant.epsilon(1e-30) == pytest.approx(0.5, rel=1e-6)
    assert accountant.epsilon(1e-60) == math.inf


def test_groups_and_forecasts_carry_the_draws():
    accountant = dp.Accountant().compose(dp.Gaussian(2.0), draws=1, distance=1e-8)
    grouped = dp.Accountant().compose(dp.Gaussian(1.0), draws=1, distance=1e-8)
    assert accountant.group_epsilon(2, 1e-5) == pytest.approx(grouped.epsilon(1e-5), rel=1e-9)
    assert accountant.group_epsilon(2, 1e-5) > dp.Accountant().compose(dp.Gaussian(1.0)).epsilon(1e-5)
    assert accountant.tradeoff(0.05) <= dp.Accountant().compose(dp.Gaussian(2.0)).tradeoff(0.05)
    limit = dp.Accountant().compose(dp.Gaussian(2.0), 2).epsilon(1e-5) + 1e-6
    assert not accountant.would_exceed(
        dp.Gaussian(2.0), epsilon=limit + 0.1, delta=1e-5, draws=1, distance=1e-8
    )
    assert accountant.would_exceed(dp.Gaussian(2.0), epsilon=limit, delta=1e-5, draws=1, distance=1e-7)
    assert accountant.draws == 1


# --- State and arguments


def test_state_survives_json_and_version_one_has_no_draws():
    accountant = dp.Accountant().compose(STEP, 30, draws=10**9, distance=2.0**-101)
    state = json.loads(json.dumps(accountant.state_dict()))
    fresh = dp.Accountant()
    fresh.load_state_dict(state)
    assert fresh == accountant
    assert fresh.epsilon(1e-6) == accountant.epsilon(1e-6)
    old = {"version": 1, "neighbors": state["neighbors"], "events": state["events"]}
    fresh.load_state_dict(old)
    assert fresh == dp.Accountant().compose(STEP, 30)
    assert fresh != accountant


@pytest.mark.parametrize(
    "change",
    [
        {"version": 1},
        {"version": 3},
        {"version": True},
        {"version": [2]},
        {"draws": -1},
        {"draws": 1.0},
        {"draws": True},
        {"draws": "1"},
        {"distance": 0},
        {"distance": ""},
        {"distance": "-1"},
        {"distance": "1e3"},
        {"distance": "9" * 2000},
        {"more": 1},
    ],
)
def test_a_malformed_state_changes_nothing(change):
    accountant = dp.Accountant().compose(STEP, 3, draws=5, distance=2.0**-101)
    state = accountant.state_dict()
    with pytest.raises(ValueError, match=r"not a state|draws|distance"):
        accountant.load_state_dict({**state, **change})
    assert accountant.state_dict() == state


@pytest.mark.parametrize(
    ("draws", "distance", "error"),
    [
        (-1, 0.0, ValueError),
        (1.5, 0.0, TypeError),
        (True, 0.0, TypeError),
        (None, 0.0, TypeError),
        (1, -1e-30, ValueError),
        (1, 1.5, ValueError),
        (1, math.nan, ValueError),
        (1, math.inf, ValueError),
        (1, "0.1", TypeError),
        (1, None, TypeError),
    ],
)
def test_wrong_draws_are_refused_and_nothing_is_added(draws, distance, error):
    accountant, budget = dp.Accountant(), dp.Filter(epsilon=1.0, delta=1e-6)
    before = budget.state_dict()
    with pytest.raises(error):
        accountant.compose(STEP, draws=draws, distance=distance)
    with pytest.raises(error):
        budget.spend(dp.Gaussian(20.0), draws=draws, distance=distance)
    assert accountant == dp.Accountant()
    assert budget.state_dict() == before


@pytest.mark.parametrize("epsilon", [-1.0, math.nan, math.inf, "1"])
def test_a_charge_needs_an_epsilon(epsilon):
    with pytest.raises((TypeError, ValueError)):
        dp.Accountant().charge(epsilon)


# --- Who reports draws


@pytest.mark.parametrize(
    "mechanism",
    [
        dp.GaussianMechanism(1.0, 1.0, shape=(3, 4)),
        dp.LaplaceMechanism(2.0, 1.0, shape=5),
        dp.SkellamMechanism(3.0, 1.0, shape=2),
        dp.MeanMechanism(2.0, 1.0, shape=3),
        dp.HistogramMechanism(["a", "b"], 2.0),
        dp.CountMechanism(2.0),
        dp.QuantileMechanism(0.5, 1.0, (0, 1)),
        dp.SparseVector(1.0, 0.0, 1.0),
    ],
)
def test_every_mechanism_hands_over_its_event_and_its_draws(mechanism):
    accountant = dp.Accountant().compose(
        mechanism.event, 10, draws=mechanism.draws, distance=mechanism.distance
    )
    releases = () if isinstance(mechanism, dp.SparseVector) else (10,)
    times = 10 if not releases else 1
    assert accountant.charge(2.0) == pytest.approx(mechanism.charge(2.0, *releases) * times, rel=1e-12)


@pytest.mark.parametrize("adaptive", [None, dp.sgd.AdaptiveClip()])
def test_training_tells_the_accountant_every_draw(adaptive):
    accountant = dp.Accountant()
    private = dp.sgd.PrivateGradient(
        dp.sgd.PoissonSampler(10_000, 0.01),
        clip=1.0,
        noise_multiplier=1.0,
        expected_batch_size=100,
        accountant=accountant,
        adaptive=adaptive,
        max_batch=234,
    )
    for _ in range(5):
        private.step([dp.sgd.PerSample([[3.0, 4.0], [0.0, 0.5]])])
    assert accountant.draws == private.draws == 5 * (3 if adaptive else 2)
    # A batch that is too large is in both, and here nearly all of it: 2^-90 a step, and draws are far nearer.
    assert accountant.charge(1.0) == pytest.approx(private.charge(1.0), rel=1e-9)
    assert accountant.distance > 1e3 * accountant.draws * private.distance


# --- Filters


def test_a_filter_refuses_draws_that_are_too_far_from_their_laws():
    budget = dp.Filter(epsilon=2.0, delta=1e-6)
    allowed = 1e-6 * 2.0**-30 / (1.0 + math.exp(2.0))
    budget.spend(dp.Gaussian(50.0), 100, draws=10**6, distance=0.4 * allowed / 10**8)
    state = budget.state_dict()
    assert budget.would_exceed(dp.Gaussian(1e6), draws=1, distance=0.61 * allowed)
    with pytest.raises(BudgetError, match="too far"):
        budget.spend(dp.Gaussian(1e6), draws=1, distance=0.61 * allowed)
    assert budget.state_dict() == state
    budget.spend(dp.Gaussian(1e6), draws=1, distance=0.59 * allowed)
    assert budget.state_dict()["draws"] == 10**8 + 1
    with pytest.raises(BudgetError):
        dp.Filter(epsilon=800.0, delta=1e-6).spend(dp.Gaussian(5.0), draws=1, distance=2.0**-190)


@pytest.mark.parametrize("kind", ["zcdp", "renyi", "gaussian"])
def test_what_a_filter_admits_is_within_its_budget_with_the_draws(kind):
    budget = dp.Filter(epsilon=1.0, delta=1e-6, kind=kind)
    accountant = dp.Accountant()
    event, tau = dp.Gaussian(20.0), 2.0**-75
    while not budget.would_exceed(event, draws=100, distance=tau):
        budget.spend(event, draws=100, distance=tau)
        accountant.compose(event, draws=100, distance=tau)
    assert accountant.draws == budget.state_dict()["draws"] > 0
    assert accountant.delta(1.0) <= 1e-6


def test_a_filter_of_version_one_goes_on_and_its_draws_are_not_lowered():
    budget = dp.Filter(epsilon=1.0, delta=1e-6)
    budget.spend(dp.Gaussian(20.0))
    state = json.loads(json.dumps(budget.state_dict()))
    old = {name: value for name, value in state.items() if name not in ("draws", "distance")} | {"version": 1}
    fresh = dp.Filter(epsilon=1.0, delta=1e-6)
    fresh.load_state_dict(old)
    assert fresh.state_dict() == state
    fresh.spend(dp.Gaussian(1e9), draws=10, distance=2.0**-100)
    with pytest.raises(ValueError, match="spent less"):
        fresh.load_state_dict({**fresh.state_dict(), "distance": "0"})
    with pytest.raises(ValueError, match="spent less"):
        fresh.load_state_dict({**fresh.state_dict(), "draws": 9})


def test_numpys_integers_do_not_wrap_around():
    budget, accountant = dp.Filter(epsilon=1.0, delta=1e-6), dp.Accountant()
    count, draws = np.int64(2**40), np.int64(2**40)
    budget.spend(dp.Gaussian(1e9), count, draws=draws, distance=2.0**-180)
    accountant.compose(dp.Gaussian(1e9), count, draws=draws, distance=2.0**-180)
    assert budget.state_dict()["draws"] == accountant.draws == 2**80


def test_draws_cap_at_certainty():
    drawn = Draws().more(10**6, 10**6, 1.0)
    assert drawn.number == 10**12
    assert 1.0 <= drawn.distance <= 1.0 + 2.0**-40
    accountant = dp.Accountant().compose(dp.Gaussian(1.0), draws=10, distance=1.0)
    assert accountant.delta_bounds(1.0) == (0.0, 1.0)
    assert accountant.epsilon_bounds(0.5) == (0.0, math.inf)
