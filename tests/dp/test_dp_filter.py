"""The filter holds its budget against every adaptive analyst, to the last bit, from every thread."""

import copy
import functools
import json
import math
import pickle
import threading
from fractions import Fraction

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.errors import BudgetError
from reference import privacy as oracle


def worst_delta(budget, ratios, factor, depth):
    """Return the largest delta that any adaptive analyst reaches at e^epsilon = factor, in fractions.

    The analyst chooses randomised responses with e^epsilon in ``ratios`` after each answer, as long as the
    filter admits them; p and q are the probabilities of what was seen, with the record and without.
    """

    @functools.cache
    def best(used, p, q, left):
        value = max(p - factor * q, Fraction(0))
        if not left:
            return value
        for place, ratio in enumerate(ratios):
            more = tuple(n + (i == place) for i, n in enumerate(used))
            if not admits(more):
                continue
            yes, no = ratio / (1 + ratio), 1 / (1 + ratio)
            value = max(value, best(more, p * yes, q * no, left - 1) + best(more, p * no, q * yes, left - 1))
        return value

    @functools.cache
    def admits(used):
        # A hair above the exact logarithm, so that the mechanism is no worse than the event.
        events = (dp.PureDP(math.nextafter(math.log(ratio), 9.0)) for ratio in ratios)
        return not budget.would_exceed(dp.Composed(map(dp.Repeated, events, used)))

    return best((0,) * len(ratios), Fraction(1), Fraction(1), depth)


@pytest.mark.parametrize(
    "make",
    [
        lambda: dp.Filter(epsilon=2.0, delta=0.05),
        lambda: dp.Filter(epsilon=1.0, delta=0.2, kind="renyi"),
        lambda: dp.Filter(epsilon=1.5, delta=0.1, kind="renyi", orders=[2.0]),
        lambda: dp.Filter(epsilon=1.5, delta=0.1, kind="renyi", orders=[1.5, 40.0]),
    ],
)
def test_no_adaptive_analyst_passes_the_budget(make):
    budget = make()
    ratios = (Fraction(9, 8), Fraction(3, 2), Fraction(5, 2))
    state = budget.state_dict()
    factor = Fraction(math.exp(state["epsilon"])) * (1 - Fraction(1, 10**12))
    worst = worst_delta(budget, ratios, factor, depth=6)
    assert 0 < worst <= Fraction(state["delta"])


def test_without_a_filter_the_same_analyst_passes_it():
    ratios = (Fraction(9, 8), Fraction(3, 2), Fraction(5, 2))
    worst = worst_delta(dp.Filter(epsilon=1e3, delta=0.9), ratios, Fraction(math.exp(2.0)), depth=7)
    assert worst > 0.05


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 8.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5])
def test_a_filter_for_gaussians_spends_the_exact_curve(epsilon, delta):
    """But for the share of delta, 2^-30, that is kept for the draws."""
    budget = dp.Filter(epsilon=epsilon, delta=delta, kind="gaussian")
    sigma = dp.calibrate(dp.Gaussian, epsilon=epsilon, delta=delta)
    budget.spend(dp.Gaussian(sigma * (1 + 1e-9)))
    assert 1 - 1e-8 <= budget.spent <= 1.0
    with pytest.raises(BudgetError):
        budget.spend(dp.Gaussian(1e4 * sigma))
    with pytest.raises(BudgetError):
        dp.Filter(epsilon=epsilon, delta=delta, kind="gaussian").spend(dp.Gaussian(sigma * (1 - 1e-7)))
    assert oracle.gaussian_delta(1 / mp.mpf(sigma), epsilon) <= delta


@given(st.lists(st.floats(0.5, 50.0), min_size=1, max_size=12), st.floats(0.05, 5.0))
@settings(max_examples=15)
def test_what_was_admitted_is_within_the_budget_for_the_accountant(sigmas, epsilon):
    delta = 1e-6
    for kind in ("zcdp", "renyi", "gaussian"):
        budget, accountant = dp.Filter(epsilon=epsilon, delta=delta, kind=kind), dp.Accountant()
        for sigma in sigmas:
            event = dp.Gaussian(sigma)
            exceeded = budget.would_exceed(event)
            try:
                budget.spend(event)
            except BudgetError:
                assert exceeded
            else:
                assert not exceeded
                accountant.compose(event)
        assert accountant.delta(epsilon) <= delta * (1 + 1e-6)


def test_sampled_training_fits_a_renyi_filter():
    step = dp.PoissonSampled(0.01, dp.Gaussian(1.0))
    order = dp.renyi.best_order(dp.Repeated(step, 1000), 1e-5)
    budget = dp.Filter(epsilon=2.5, delta=1e-5, kind="renyi", orders=[order])
    steps = 0
    while not budget.would_exceed(step, 50):
        budget.spend(step, 50)
        steps += 50
    assert dp.Accountant().compose(step, steps).epsilon(1e-5) <= 2.5
    assert steps >= 1000


def test_rounding_cannot_admit_an_event_too_many():
    """In floats a million charges below half a unit in the last place of the sum would all be free."""
    budget = dp.Filter(epsilon=1.0, delta=1e-6)
    tiny = dp.ZeroConcentratedDP(1e-40)
    budget.spend(dp.ZeroConcentratedDP(float(Fraction(budget._budgets[0], 1 << 256)) * (1 - 1e-15)))
    before = int(budget.state_dict()["spent"][0])
    for _ in range(100):
        budget.spend(tiny)
    assert int(budget.state_dict()["spent"][0]) >= before + 100 * Fraction(1e-40) * (1 << 256)
    left = Fraction(budget._budgets[0] - int(budget.state_dict()["spent"][0]), 1 << 256)
    with pytest.raises(BudgetError):
        budget.spend(tiny, int(left / Fraction(1e-40)) + 2)


def test_a_refusal_spends_nothing_and_a_cheaper_event_still_fits():
    budget = dp.Filter(epsilon=1.0, delta=1e-6)
    before = budget.state_dict()
    with pytest.raises(BudgetError, match="nothing was spent"):
        budget.spend(dp.Composed([dp.Gaussian(20.0), dp.Gaussian(0.1)]))
    assert budget.state_dict() == before
    budget.spend(dp.Gaussian(20.0))
    assert 0.0 < budget.spent < 1.0


def test_threads_share_one_budget():
    budget, event = dp.Filter(epsilon=1.0, delta=1e-6), dp.ZeroConcentratedDP(1e-4)
    alone = dp.Filter(epsilon=1.0, delta=1e-6)
    expected = 0
    while not alone.would_exceed(event):
        alone.spend(event)
        expected += 1
    admitted = []

    def spend():
        mine = 0
        for _ in range(expected):
            try:
                budget.spend(event)
            except BudgetError:
                break
            mine += 1
        admitted.append(mine)

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == expected


@pytest.mark.parametrize("kind", ["zcdp", "renyi", "gaussian"])
def test_a_state_survives_json_exactly(kind):
    first = dp.Filter(epsilon=1.0, delta=1e-6, kind=kind)
    first.spend(dp.Gaussian(17.3), 3)
    second = dp.Filter(epsilon=1.0, delta=1e-6, kind=kind)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.state_dict() == first.state_dict()
    assert second.spent == first.spent


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"version": 1},
        {"draws": -1},
        {"draws": 1.0},
        {"draws": True},
        {"distance": 0},
        {"distance": "-1"},
        {"epsilon": 2.0},
        {"neighbors": "replace_one"},
        {"spent": []},
        {"spent": [0]},
        {"spent": ["-1"]},
        {"spent": ["1e3"]},
        {"spent": ["1", "1"]},
        {"more": 1},
    ],
)
def test_a_foreign_state_is_refused(change):
    budget = dp.Filter(epsilon=1.0, delta=1e-6)
    budget.spend(dp.Gaussian(20.0))
    before = budget.state_dict()
    with pytest.raises(ValueError, match=r"state|sum|spent|draws|distance"):
        budget.load_state_dict({**before, **change})
    with pytest.raises(TypeError):
        budget.load_state_dict(None)
    assert budget.state_dict() == before


def test_a_filter_is_not_copied():
    budget = dp.Filter(epsilon=1.0, delta=1e-6)
    for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="twice"):
            duplicate(budget)


def test_events_that_a_filter_cannot_sum_are_refused_with_the_reason():
    sampled = dp.PoissonSampled(0.1, dp.Gaussian(1.0))
    with pytest.raises(ValueError, match="'renyi'"):
        dp.Filter(epsilon=1.0, delta=1e-6).spend(sampled)
    with pytest.raises(ValueError, match="Gaussian events only"):
        dp.Filter(epsilon=1.0, delta=1e-6, kind="gaussian").spend(dp.Laplace(10.0))
    with pytest.raises(ValueError, match="refused under 'replace_one'"):
        dp.Filter(epsilon=1.0, delta=1e-6, kind="renyi", neighbors="replace_one").spend(sampled)
    with pytest.raises(ValueError, match="finite"):
        dp.Filter(epsilon=1.0, delta=1e-6, kind="renyi").spend(dp.ApproximateDP(0.1, 1e-9))
    with pytest.raises(TypeError):
        dp.Filter(epsilon=1.0, delta=1e-6).spend("Gaussian")
    with pytest.raises(ValueError, match="negative"):
        dp.Filter(epsilon=1.0, delta=1e-6).spend(dp.Gaussian(1.0), -1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0.0},
        {"delta": 0.0},
        {"delta": 1.0},
        {"kind": "pld"},
        {"orders": [2.0]},
        {"kind": "renyi", "orders": []},
        {"kind": "renyi", "orders": [1.0]},
        {"kind": "renyi", "orders": [2.0, 2.0]},
        {"kind": "renyi", "orders": [1.01], "epsilon": 1e-3},
        {"neighbors": "shuffled"},
    ],
)
def test_filters_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|orders|small"):
        dp.Filter(**{"epsilon": 1.0, "delta": 1e-6, **wrong})


def test_more_than_one_divergence_may_be_infinite_but_not_all():
    budget = dp.Filter(epsilon=3.0, delta=1e-5, kind="renyi", orders=[2.0, 8.0, 64.0])
    budget.spend(dp.RenyiCurve([10.0], [0.01]))
    assert not budget.would_exceed(dp.Gaussian(10.0))
    with pytest.raises(ValueError, match="finite"):
        budget.spend(dp.RenyiCurve([1.5], [0.01]))


def test_several_orders_serve_events_that_one_order_does_not():
    events = (dp.PoissonSampled(0.001, dp.Gaussian(0.6)), dp.Laplace(2.0), dp.Gaussian(8.0))
    for event in events:
        budget = dp.Filter(epsilon=4.0, delta=1e-6, kind="renyi", orders=[1.5, 3.0, 6.0, 12.0, 24.0])
        budget.spend(event)
        assert budget.spent < 0.5


def test_a_state_past_some_orders_is_loaded_again():
    """Orders above those of the curve are charged infinitely; their sums must not outgrow what is read."""
    first = dp.Filter(epsilon=2.0, delta=1e-5, kind="renyi")
    for _ in range(3):
        first.spend(dp.RenyiCurve((2.0, 10.0), (0.001, 0.0015)))
    state = first.state_dict()
    assert max(len(spent) for spent in state["spent"]) < 100
    second = dp.Filter(epsilon=2.0, delta=1e-5, kind="renyi")
    second.load_state_dict(json.loads(json.dumps(state)))
    assert second.state_dict() == state
    assert second.spent == first.spent
    for budget in (first, second):
        assert not budget.would_exceed(dp.Gaussian(20.0))
        with pytest.raises(ValueError, match="finite"):
            budget.spend(dp.RenyiCurve([1.1], [0.0]))


def test_a_state_of_before_cannot_lower_what_is_spent():
    budget = dp.Filter(epsilon=1.0, delta=1e-6)
    start = budget.state_dict()
    budget.spend(dp.Gaussian(6.0))
    later = budget.state_dict()
    with pytest.raises(ValueError, match="spent less"):
        budget.load_state_dict(start)
    assert budget.state_dict() == later
    budget.load_state_dict(later)
    budget.load_state_dict(start, reset=True)
    assert budget.spent == 0.0
    budget.load_state_dict(later)
    assert budget.state_dict() == later


def test_one_lower_sum_among_higher_ones_is_refused():
    budget = dp.Filter(epsilon=2.0, delta=1e-5, kind="renyi", orders=[2.0, 8.0])
    budget.spend(dp.Gaussian(20.0))
    first, second = (int(spent) for spent in budget.state_dict()["spent"])
    with pytest.raises(ValueError, match="spent less"):
        budget.load_state_dict({**budget.state_dict(), "spent": [str(first + 1), str(second - 1)]})
