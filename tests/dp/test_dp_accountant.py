"""The accountant against published figures, a 40-digit oracle, and the laws of privacy curves."""

import json
import math

import mpmath as mp
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.composition import Composition
from medcrypt.dp.losses import SampledGaussianLoss
from reference import privacy as oracle


def sampled(sigma: float, q: float, steps: int) -> dp.Accountant:
    return dp.Accountant().compose(dp.PoissonSampled(q, dp.Gaussian(sigma)), steps)


# --- Published figures

TABLE = [
    # sigma, q, steps, delta, epsilon, digits after the point
    (1.0, 0.01, 1_000, 1e-5, "1.8282366665"),
    (0.8, 0.001, 10_000, 1e-6, "0.9471956873"),
    (2.0, 0.1, 500, 1e-5, "5.5554682144"),
    (4.0, 0.02, 100_000, 1e-7, "9.2107053416"),
    (0.5, 1e-4, 1_000_000, 1e-8, "6.3769557595"),
    (10.0, 0.001, 10_000_000, 1e-9, "1.792915"),
    (1.0, 0.01, 1_000, 1e-18, "5.766300"),
    (0.5, 0.1, 1_000, 1e-5, "126.166564"),
]


def agrees(value: float, printed: str) -> bool:
    return abs(value - float(printed)) <= 4e-9 + 0.51 * 10.0 ** -len(printed.partition(".")[2])


@pytest.mark.parametrize(("sigma", "q", "steps", "delta", "printed"), TABLE)
def test_sampled_gaussians_match_the_table(sigma, q, steps, delta, printed):
    low, high = sampled(sigma, q, steps).epsilon_bounds(delta)
    assert agrees(low, printed)
    assert agrees(high, printed)
    assert low <= high <= low + 5e-9


def test_many_gaussians_match_the_table():
    assert agrees(dp.Accountant().compose(dp.Gaussian(50.0), 10_000).epsilon(1e-10), "14.27409")


@pytest.mark.parametrize(("count", "printed"), [(100, "4.6926674147"), (1_000, "18.9502873675")])
def test_laplace_compositions_match_the_table(count, printed):
    # For 100 the reference page says 4.69254937; 30-digit integration and dp-accounting's finest grid say this.
    assert agrees(dp.Accountant().compose(dp.Laplace(10.0), count).epsilon(1e-6), printed)


# --- The oracle


def directions(acc: dp.Accountant, epsilon: float) -> list[tuple[float, float]]:
    history = acc._leaves()
    return [tuple(map(math.exp, way.log_delta_bounds(epsilon))) for way in acc._directions(history, -750.0)]


@pytest.mark.parametrize("mu", [1e-4, 0.03, 1.0, 4.0, 25.0])
@pytest.mark.parametrize("width", [0.0, 1.0, 6.0, 20.0])
def test_the_gaussian_curve_has_all_digits(mu, width):
    epsilon = mu * width + mu * mu / 2
    expected = oracle.gaussian_delta(mu, epsilon)
    assert dp.Accountant().compose(dp.Gaussian(1 / mu)).delta(epsilon) == pytest.approx(
        float(expected), rel=1e-11
    )


@pytest.mark.parametrize(("sigma", "q"), [(0.3, 1e-6), (0.8, 0.01), (1.0, 0.5), (20.0, 1e-3)])
@pytest.mark.parametrize("epsilon", [0.0, 1e-4, 0.5, 3.0])
def test_one_sampled_gaussian_matches_its_hockey_stick_in_each_direction(sigma, q, epsilon):
    removed, added = directions(sampled(sigma, q, 1), epsilon)
    for (low, high), removing in ((removed, True), (added, False)):
        expected = float(oracle.sampled_gaussian_delta(sigma, q, epsilon, removing=removing))
        if expected > 1e-290:
            assert low <= expected * (1 + 1e-10)
            assert high >= expected * (1 - 1e-10)
            assert high == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    ("sigma", "q", "log_delta"),
    [
        (0.2237371, 0.0500902, -170.725),
        (1.5274123, 3.1561289e-7, -130.353),
        (3.0, 0.2, -20.0),
        (50.0, 1e-3, -60.0),
    ],
)
@pytest.mark.parametrize("removing", [True, False])
def test_the_contour_alone_encloses_the_closed_form(sigma, q, log_delta, removing, monkeypatch):
    """One step is where the integral converges worst: wide bounds are allowed, wrong ones are not."""
    once = Composition([SampledGaussianLoss(sigma, q, removing)])
    true_low, true_high = once.epsilon_bounds(log_delta)
    monkeypatch.setattr(Composition, "_closed_form", lambda self: None)
    low, high = once.epsilon_bounds(log_delta)
    assert low <= true_high * (1 + 1e-9)
    assert high >= true_low * (1 - 1e-9)


@pytest.mark.parametrize("removing", [True, False])
@pytest.mark.parametrize(
    ("sigma", "q", "steps", "epsilon"), [(1.0, 0.01, 1_000, 1.5), (2.0, 0.1, 50, 1.0), (0.8, 0.2, 30, 6.0)]
)
def test_compositions_match_40_digit_integration_in_each_direction(removing, sigma, q, steps, epsilon):
    moment = oracle.sampled_gaussian_moment(sigma, q, removing=removing)
    expected = float(oracle.composition_delta([(moment, steps)], epsilon))
    low, high = directions(sampled(sigma, q, steps), epsilon)[0 if removing else 1]
    assert low <= expected <= high
    assert high == pytest.approx(expected, rel=1e-10)


def test_a_mixture_matches_40_digit_integration():
    acc = sampled(1.0, 0.05, 40).compose(dp.Gaussian(3.0)).compose(dp.Laplace(5.0), 3)
    both = []
    for removing in (True, False):
        moments = [
            (oracle.sampled_gaussian_moment(1.0, 0.05, removing=removing), 40),
            (oracle.gaussian_moment(3.0), 1),
            (oracle.laplace_moment(5.0), 3),
        ]
        both.append(float(oracle.composition_delta(moments, 1.5)))
    low, high = acc.delta_bounds(1.5)
    assert low <= max(both) <= high
    assert high == pytest.approx(max(both), rel=1e-9)


@pytest.mark.parametrize(
    ("scale", "count", "share"), [(1.0, 1, 0.3), (1.0, 2, 0.7), (0.5, 3, 0.97), (2.0, 6, 0.9)]
)
def test_few_laplace_mechanisms_match_the_exact_sum(scale, count, share):
    epsilon = share * count / scale
    expected = float(oracle.laplace_composition_delta(scale, count, epsilon))
    low, high = dp.Accountant().compose(dp.Laplace(scale), count).delta_bounds(epsilon)
    assert low <= expected <= high
    assert high == pytest.approx(expected, rel=1e-8)


def test_pure_privacy_ends_the_laplace_curve():
    acc = dp.Accountant().compose(dp.Laplace(2.0), 3)
    assert acc.epsilon(0.0) == 1.5
    assert acc.delta(1.5) == 0.0
    assert acc.epsilon(1e-90) == pytest.approx(1.5, rel=1e-12)


def test_the_two_directions_cross_and_the_larger_counts():
    acc = sampled(1.0, 0.01, 1000)
    for epsilon in (0.2, 1.8):
        removed, added = directions(acc, epsilon)
        assert acc.delta(epsilon) == max(removed[1], added[1])
    assert removed[1] > 2 * added[1]


# --- Laws

sigmas = st.floats(0.5, 20.0)
rates = st.floats(1e-3, 0.9)
steps = st.integers(20, 100_000)
deltas = st.floats(-25.0, -0.7).map(lambda x: 10.0**x)


@settings(max_examples=8)
@given(sigmas, rates, steps, deltas)
def test_epsilon_and_delta_invert_each_other(sigma, q, count, delta):
    acc = sampled(sigma, q, count)
    low, epsilon = acc.epsilon_bounds(delta)
    assume(epsilon > 0 and epsilon - low < 1e-6 * epsilon)
    assert acc.delta_bounds(epsilon)[0] <= delta * (1 + 1e-9)
    assert acc.delta(low) >= delta * (1 - 1e-9)


@settings(max_examples=5)
@given(sigmas, rates, steps, deltas, st.floats(1.01, 3.0))
def test_more_noise_less_sampling_fewer_steps_and_larger_delta_cost_less(sigma, q, count, delta, factor):
    base = sampled(sigma, q, count).epsilon_bounds(delta)
    for better in (
        sampled(sigma * factor, q, count).epsilon_bounds(delta),
        sampled(sigma, q / factor, count).epsilon_bounds(delta),
        sampled(sigma, q, math.floor(count / factor)).epsilon_bounds(delta),
        sampled(sigma, q, count).epsilon_bounds(min(delta * factor, 0.9)),
    ):
        assert better[0] <= base[1]


@settings(max_examples=4)
@given(sigmas, rates, steps, st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_delta_falls_with_epsilon(sigma, q, count, first, second):
    acc = sampled(sigma, q, count)
    assert acc.delta_bounds(max(first, second))[0] <= acc.delta(min(first, second))


events = st.one_of(
    st.builds(dp.Gaussian, st.floats(2.0, 20.0)),
    st.builds(dp.Laplace, st.floats(2.0, 20.0)),
    st.builds(dp.PoissonSampled, st.floats(0.01, 0.5), st.builds(dp.Gaussian, st.floats(0.7, 5.0))),
)


@settings(max_examples=8)
@given(st.lists(st.tuples(events, st.integers(1, 40)), min_size=2, max_size=5), st.randoms())
def test_composition_does_not_depend_on_order_or_nesting(history, random):
    plain, shuffled, nested = dp.Accountant(), dp.Accountant(), dp.Accountant()
    for event, count in history:
        plain.compose(event, count)
    for event, count in random.sample(history, len(history)):
        for _ in range(count):
            shuffled.compose(event)
    nested.compose(dp.Composed([dp.Repeated(event, count) for event, count in history]))
    assert plain == shuffled == nested
    assert plain.delta_bounds(1.0) == shuffled.delta_bounds(1.0) == nested.delta_bounds(1.0)


@given(st.floats(0.5, 50.0), st.integers(1, 1000), deltas)
def test_gaussians_compose_like_one_with_less_noise(sigma, count, delta):
    many = dp.Accountant().compose(dp.Gaussian(sigma), count).epsilon(delta)
    one = dp.Accountant().compose(dp.Gaussian(sigma / math.sqrt(count))).epsilon(delta)
    assert many == pytest.approx(one, rel=1e-10, abs=1e-12)


whole_domain = given(
    st.floats(-0.69, 3.0).map(lambda x: 10.0**x),
    st.floats(-8.0, 0.0).map(lambda x: 10.0**x),
    st.floats(0.0, 9.0).map(lambda x: int(10.0**x)),
    st.floats(-100.0, -0.31).map(lambda x: 10.0**x),
)


@settings(max_examples=6)
@whole_domain
def test_a_few_points_of_the_whole_domain_have_sound_bounds(sigma, q, count, delta):
    check_bounds(sigma, q, count, delta)


@pytest.mark.long
@settings(max_examples=500)
@whole_domain
def test_the_whole_domain_has_sound_bounds(sigma, q, count, delta):
    check_bounds(sigma, q, count, delta)


def check_bounds(sigma, q, count, delta):
    """Finite, ordered, and not above the Renyi bound."""
    acc = sampled(sigma, q, count)
    low, high = acc.epsilon_bounds(delta)
    assert 0.0 <= low <= high < math.inf
    ceiling = max(
        way.chernoff_epsilon(math.log(delta)) for way in acc._directions(acc._leaves(), math.log(delta))
    )
    assert low <= ceiling * (1 + 1e-9)
    assert high <= ceiling * (1 + 1e-3)


def test_steps_with_hardly_any_noise_cost_at_most_what_they_cost_unsampled():
    for sigma in (1e-9, 1e-3, 0.039):
        low, high = sampled(sigma, 0.01, 10).epsilon_bounds(1e-5)
        assert (low, high) == (0.0, dp.Accountant().compose(dp.Gaussian(sigma), 10).epsilon(1e-5))
        low, high = sampled(sigma, 0.01, 10).delta_bounds(1.0)
        assert (low, high) == (0.0, dp.Accountant().compose(dp.Gaussian(sigma), 10).delta(1.0))
    # One alone has a formula, however little the noise.
    low, high = sampled(0.001, 0.5, 1).epsilon_bounds(0.1)
    assert 0.0 < low <= high <= low * (1 + 1e-6)


@pytest.mark.parametrize(
    "event", [dp.Gaussian(1.0), dp.PoissonSampled(0.1, dp.Gaussian(1.0)), dp.Laplace(1.0)]
)
def test_more_releases_than_a_double_counts_are_refused_when_asked(event):
    accountant = dp.Accountant().compose(dp.Repeated(event, 2**30), 2**30)
    for ask in (lambda: accountant.epsilon(1e-5), lambda: accountant.delta(1.0)):
        with pytest.raises(ValueError, match="2\\^53"):
            ask()


def test_noise_that_is_none_is_refused_when_asked():
    with pytest.raises(ValueError, match="1e-100"):
        dp.Accountant().compose(dp.Gaussian(1e-101)).epsilon(1e-5)
    assert dp.Accountant().compose(dp.Gaussian(1e-100)).epsilon(1e-5) > 1e190


def test_sampling_everyone_is_not_sampling_and_sampling_nobody_is_free():
    assert sampled(2.0, 1.0, 7).delta_bounds(1.0) == dp.Accountant().compose(
        dp.Gaussian(2.0), 7
    ).delta_bounds(1.0)
    assert sampled(2.0, 0.0, 7).epsilon_bounds(1e-9) == (0.0, 0.0)


# --- zCDP


def test_zcdp_converts_by_the_optimal_formula():
    rho, delta = mp.mpf("0.1"), mp.mpf("1e-6")

    def epsilon(alpha):
        return rho * alpha + mp.log1p(-1 / alpha) - mp.log(delta * alpha) / (alpha - 1)

    best = min(epsilon(1 + mp.mpf(10) ** (k / mp.mpf(400))) for k in range(-400, 1200))
    low, high = dp.Accountant().compose(dp.ZeroConcentratedDP(0.05), 2).epsilon_bounds(1e-6)
    assert low == 0.0
    assert high == pytest.approx(float(best), rel=1e-5)


@given(st.floats(0.001, 2.0), st.floats(1.0, 10.0), deltas)
def test_a_renyi_bound_is_never_below_the_exact_curve(rho, sigma, delta):
    known = dp.Accountant().compose(dp.Gaussian(1 / math.sqrt(2 * rho))).compose(dp.Gaussian(sigma))
    bounded = dp.Accountant().compose(dp.ZeroConcentratedDP(rho)).compose(dp.Gaussian(sigma))
    assert bounded.epsilon(delta) >= known.epsilon_bounds(delta)[0]
    assert bounded.delta(1.0) >= known.delta_bounds(1.0)[0]


# --- State and arguments


def test_state_survives_json():
    acc = sampled(1.1, 0.02, 30).compose(dp.Laplace(3.0)).compose(dp.ZeroConcentratedDP(0.1))
    fresh = dp.Accountant()
    fresh.load_state_dict(json.loads(json.dumps(acc.state_dict())))
    assert fresh == acc
    assert fresh.events == acc.events
    assert fresh.epsilon(1e-6) == acc.epsilon(1e-6)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 2, "neighbors": "add_or_remove_one", "events": []},
        {"version": 1, "neighbors": "replace_one", "events": []},
        {"version": 1, "neighbors": "add_or_remove_one", "events": {}},
        {
            "version": 1,
            "neighbors": "add_or_remove_one",
            "events": [{"event": {"type": "Laplace", "scale": 1}}],
        },
        {
            "version": 1,
            "neighbors": "add_or_remove_one",
            "events": [{"event": {"type": "Nothing"}, "count": 1}],
        },
        {
            "version": 1,
            "neighbors": "add_or_remove_one",
            "events": [{"event": {"type": "Laplace", "scale": 1}, "count": 1.5}],
        },
    ],
)
def test_a_malformed_state_is_refused_and_changes_nothing(state):
    acc = dp.Accountant().compose(dp.Laplace(1.0))
    with pytest.raises(ValueError, match=r"not a state|state is for|must be|needs exactly|not an event"):
        acc.load_state_dict(state)
    assert acc.events == ((dp.Laplace(1.0), 1),)


def test_nothing_released_costs_nothing():
    assert dp.Accountant().epsilon_bounds(0.0) == (0.0, 0.0)
    assert dp.Accountant().compose(dp.Gaussian(1.0), 0).delta(0.0) == 0.0


def test_a_tiny_delta_never_becomes_zero():
    assert dp.Accountant().compose(dp.Gaussian(1.0)).delta(1e3) > 0.0


@pytest.mark.parametrize("delta", [-1e-9, 1.0, 2.0, math.nan, math.inf])
def test_an_impossible_delta_is_refused(delta):
    with pytest.raises(ValueError, match="delta must"):
        dp.Accountant().epsilon(delta)


@pytest.mark.parametrize("epsilon", [-1e-9, math.nan, math.inf])
def test_an_impossible_epsilon_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon must"):
        dp.Accountant().delta(epsilon)


def test_wrong_types_are_refused():
    acc = dp.Accountant()
    for call in (
        lambda: acc.epsilon("1e-5"),
        lambda: acc.delta(True),
        lambda: acc.compose("Gaussian"),
        lambda: acc.compose(dp.Gaussian(1.0), 1.5),
        lambda: acc.compose(dp.Gaussian(1.0), True),
        lambda: acc.load_state_dict([]),
        lambda: hash(acc),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError, match="negative"):
        acc.compose(dp.Gaussian(1.0), -1)
    with pytest.raises(ValueError, match="neighbors must"):
        dp.Accountant("substitution")


def test_sampling_under_replace_one_is_refused_with_the_reason():
    acc = dp.Accountant(neighbors="replace_one").compose(dp.Gaussian(2.0)).compose(dp.Laplace(3.0))
    hidden = dp.Composed([dp.Repeated(dp.PoissonSampled(0.1, dp.Gaussian(1.0)), 2)])
    with pytest.raises(ValueError, match="replace_one"):
        acc.compose(hidden)
    assert len(acc.events) == 2
    assert acc.epsilon(1e-5) == dp.Accountant().compose(dp.Laplace(3.0)).compose(dp.Gaussian(2.0)).epsilon(
        1e-5
    )


def test_an_epsilon_after_every_step_is_that_of_a_fresh_accountant():
    running, step = sampled(1.0, 0.01, 1000), dp.PoissonSampled(0.01, dp.Gaussian(1.0))
    for steps in range(1000, 1700):
        low, high = running.epsilon_bounds(1e-5)
        assert high - low <= 1e-9
        if steps % 100 == 0:
            fresh = sampled(1.0, 0.01, steps).epsilon_bounds(1e-5)
            assert low <= fresh[1]
            assert high >= fresh[0]
        running.compose(step)


@pytest.mark.parametrize(
    ("step", "count", "delta"),
    [
        (dp.PoissonSampled(0.1, dp.Gaussian(2.0)), 500, 1e-5),
        (dp.PoissonSampled(1e-4, dp.Gaussian(0.5)), 1_000_000, 1e-8),
        (dp.Laplace(10.0), 100, 1e-6),
    ],
)
def test_however_a_history_grows_its_bounds_stay_as_narrow(step, count, delta):
    running = dp.Accountant().compose(step, count)
    width = running.epsilon_bounds(delta)[1] - running.epsilon_bounds(delta)[0]
    for share in (0.0, 0.01, 0.3, 0.1, 0.25, 0.02, 0.02, 0.6, 0.4):
        more = 1 + int(share * count)
        count += more
        low, high = running.compose(step, more).epsilon_bounds(delta)
        fresh = dp.Accountant().compose(step, count).epsilon_bounds(delta)
        assert low <= fresh[1]
        assert high >= fresh[0]
        assert high - low <= max(2.0 * width, 2.0 * (fresh[1] - fresh[0]), 1e-9 * min(1.0, high)) * (1 + 1e-9)
