"""Bounds enclose what nested integrals and binomial sums say, far below every double and where mass is given up."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp import atoms, grids
from medcrypt.dp.discrete import DiscreteLoss
from medcrypt.dp.losses import SampledGaussianLoss
from medcrypt.dp.tables import table
from medcrypt.dp.tradeoff import chained_epsilon

SLACK = mp.mpf(10) ** -11  # of the oracle


def sampled(q: float, sigma: float) -> dp.Event:
    return dp.PoissonSampled(q, dp.Gaussian(sigma))


def composed(*events: tuple[dp.Event, int]) -> dp.Accountant:
    accountant = dp.Accountant()
    for event, count in events:
        accountant.compose(event, count)
    return accountant


# --- Truths that share nothing with the accountant: hockey sticks of one release, at any real epsilon, integrated
# over the loss of the other.


def tail(x: mp.mpf) -> mp.mpf:
    return mp.erfc(x / mp.sqrt(2)) / 2


def delta_of_sampled(q: mp.mpf, sigma: mp.mpf, epsilon: mp.mpf, removing: bool) -> mp.mpf:
    """Return delta of one sampled Gaussian: the worst outputs are a half line with a known end."""
    scale = mp.exp(epsilon)
    ratio = scale if removing else 1 / scale
    if ratio <= 1 - q:
        return 1 - scale if removing else mp.mpf(0)
    end = mp.mpf(1) / 2 + sigma**2 * mp.log((ratio - 1 + q) / q)
    sign = 1 if removing else -1
    without = tail(sign * end / sigma)
    with_ = (1 - q) * without + q * tail(sign * (end - 1) / sigma)
    return with_ - scale * without if removing else without - scale * with_


def over_sampled(q: float, sigma: float, removing: bool, rest, kinks: list[mp.mpf], epsilon: float) -> mp.mpf:
    """Return the mean of rest(epsilon - L) over the loss L of one sampled Gaussian."""
    rate, s, at = mp.mpf(q), mp.mpf(sigma), mp.mpf(epsilon)

    def integrand(x: mp.mpf) -> mp.mpf:
        ratio = 1 - rate + rate * mp.exp((2 * x - 1) / (2 * s * s))
        density = mp.npdf(x, 0, s) * (ratio if removing else 1)
        return density * rest(at - (mp.log(ratio) if removing else -mp.log(ratio)))

    left, right = -24 * s, 1 + 24 * s
    ends = {left + (right - left) * mp.mpf(k) / 24 for k in range(25)} | {mp.mpf(0), mp.mpf(1)}
    for kink in kinks:
        ratio = mp.exp(at - kink if removing else kink - at)
        if ratio > 1 - rate:
            x = mp.mpf(1) / 2 + s * s * mp.log((ratio - 1 + rate) / rate)
            near = {x} | {x + sign * s / mp.mpf(2) ** j for j in range(1, 9) for sign in (1, -1)}
            ends |= {y for y in near if left < y < right}
    return mp.quad(integrand, sorted(ends), maxdegree=6)


def delta_of_two(first: tuple[float, float], second: tuple[float, float], epsilon: float) -> mp.mpf:
    """Return delta of two sampled Gaussians, each (q, sigma), of the worse direction."""
    q, sigma = mp.mpf(second[0]), mp.mpf(second[1])
    least = mp.log(1 - q)
    return max(
        over_sampled(
            *first,
            removing,
            lambda y, removing=removing: delta_of_sampled(q, sigma, y, removing),
            [least if removing else -least],
            epsilon,
        )
        for removing in (True, False)
    )


def delta_of_responses(epsilon: float, delta: float, count: int, at: float) -> mp.mpf:
    """Return delta of approximate mechanisms, a binomial sum and what is revealed."""
    e, reveal = mp.mpf(epsilon), mp.mpf(delta)
    p = 1 / (1 + mp.exp(-e))
    total = mp.mpf(0)
    for up in range(count, -1, -1):
        loss = e * (2 * up - count)
        if loss <= at:
            break
        total += mp.binomial(count, up) * p**up * (1 - p) ** (count - up) * (1 - mp.exp(at - loss))
    finite = (1 - reveal) ** count
    return 1 - finite + finite * total


def assert_encloses(bounds: tuple[float, float], true: mp.mpf, width: float) -> None:
    low, high = bounds
    assert low <= true * (1 + SLACK)
    assert high >= true * (1 - SLACK)
    assert high <= low * (1 + width)


# --- What no scale may lose


@pytest.mark.parametrize("epsilon", [140.0, 150.0])
def test_delta_far_below_every_scale_of_its_tables_is_not_lost(epsilon):
    with mp.workdps(30):
        true = delta_of_two((0.5, 0.2), (0.5, 0.2), epsilon)
    assert_encloses(composed((sampled(0.5, 0.2), 2)).delta_bounds(epsilon), true, 1e-3)


def test_a_small_response_beside_a_wide_sample_is_not_lost():
    e = mp.mpf(0.003)
    with mp.workdps(40):
        q, s, epsilon = mp.mpf(0.5), mp.mpf(1.75), mp.mpf(8)
        weights = [(e, 1 / (1 + mp.exp(-e))), (-e, 1 / (1 + mp.exp(e)))]
        true = sum(w * delta_of_sampled(q, s, epsilon - loss, True) for loss, w in weights)
    found = composed((sampled(0.5, 1.75), 1), (dp.PureDP(0.003), 1)).delta_bounds(8.0)
    assert_encloses(found, true, 1e-2)


@pytest.mark.parametrize(
    ("epsilon", "delta", "count", "at"),
    [(0.5, 1e-6, 4000, 1999.0), (0.01, 1e-10, 2000, 19.9), (0.01, 1e-10, 2000, 12.0), (0.5, 1e-6, 3, 1.4)],
)
def test_what_is_revealed_counts_however_far_the_finite_losses_are(epsilon, delta, count, at):
    with mp.workdps(40):
        true = delta_of_responses(epsilon, delta, count, at)
    assert_encloses(composed((dp.ApproximateDP(epsilon, delta), count)).delta_bounds(at), true, 1e-8)


def test_a_million_revealing_steps_reveal():
    _, high = composed((dp.ApproximateDP(0.01, 1e-9), 10**6)).delta_bounds(1000.0)
    assert high >= -math.expm1(10**6 * math.log1p(-1e-9))


def test_a_group_gets_no_smaller_epsilon_than_its_chain_allows():
    """Chains believe delta(eps) of one record: an eps whose delta was lost would prove far too much."""
    accountant = composed((dp.ApproximateDP(0.01, 1e-10), 2000))
    found = chained_epsilon(accountant.delta, accountant.epsilon, 2, 1e-5)
    with mp.workdps(30):
        one = mp.mpf(found) / 2
        chained = delta_of_responses(0.01, 1e-10, 2000, float(one)) * mp.expm1(found) / mp.expm1(one)
    assert chained <= 1e-5 * (1 + 1e-9)


def test_tables_of_points_with_tiny_masses_do_not_underflow():
    """Masses of e^-900 with losses that lift them: only their product counts."""
    loss = DiscreteLoss(np.array([0.0, 900.0]), np.array([0.0, -900.0]), mass_error=0.0)
    for c in (0.5, 1.0, 3.0):
        true = math.log1p(math.exp(900.0 * (c - 1.0))) if c <= 1.0 else 900.0 * (c - 1.0)
        found = table(loss, c, 0.0, 1e-14, 0.0, 9.0)
        assert abs(found.log_moment - true) <= found.moment_error + 1e-15 * true
        assert found.moment_error < 1e-9


@pytest.mark.parametrize(
    ("event", "epsilon"),
    [
        (dp.DiscreteGaussian(0.5, 1), 28.0),
        (dp.DiscreteGaussian(5.0, 1), 10.0),
        (dp.DiscreteGaussian(100.0, 3), 1.0),
        (dp.DiscreteGaussian(0.2, 1), 30.0),
    ],
)
def test_discrete_noise_far_out_is_enclosed(event, epsilon):
    with mp.workdps(40):
        s, d = mp.mpf(event.sigma), event.sensitivity
        first = int(epsilon * event.sigma**2 / d - d / 2) - 2
        norm = mp.nsum(lambda k: mp.exp(-k * k / (2 * s * s)), [-mp.inf, mp.inf])
        true = mp.mpf(0)
        for n in range(first, first + 4000):
            loss = d * (mp.mpf(n) + mp.mpf(d) / 2) / (s * s)
            if loss > epsilon:
                term = mp.exp(-(mp.mpf(n) ** 2) / (2 * s * s)) / norm * (1 - mp.exp(epsilon - loss))
                true += term
                if term < true * mp.mpf(10) ** -30:
                    break
    low, high = composed((event, 1)).delta_bounds(epsilon)
    assert low <= true * (1 + SLACK)
    assert high >= true * (1 - SLACK)
    assert high <= max(low * (1 + 1e-4), 1e-322)


def test_skellam_noise_far_out_is_answered():
    low, high = composed((dp.Skellam(100.0, 3), 1)).delta_bounds(10.0)
    assert 0.0 <= low <= high < 1e-100


def test_the_least_doubles_are_enclosed():
    with mp.workdps(60):
        for epsilon in np.linspace(37.0, 38.6, 60).tolist():
            e = mp.mpf(epsilon)
            true = tail(e - mp.mpf(1) / 2) - mp.exp(e) * tail(e + mp.mpf(1) / 2)
            low, high = composed((dp.Gaussian(1.0), 1)).delta_bounds(epsilon)
            assert low <= true <= high
    assert composed((dp.Gaussian(1e145), 1)).delta_bounds(1e10) == (0.0, 5e-324)


# --- Where mass is given up


@settings(max_examples=2)
@given(
    st.floats(math.log(0.2), math.log(3.0)).map(math.exp),
    st.floats(math.log(1e-3), math.log(0.95)).map(math.exp),
    st.floats(math.log(0.25), math.log(3.0)).map(math.exp),
    st.floats(math.log(1e-3), math.log(0.95)).map(math.exp),
    st.floats(0.0, 4.0),
)
@example(0.3, 0.01, 0.3, 0.01, 2.0)
@example(0.2, 0.05, 0.2, 0.05, 0.5)
@example(0.33, 0.3, 1.54, 0.02, 1.0)
def test_two_sampled_gaussians_are_enclosed(sigma, q, other_sigma, other_q, epsilon):
    with mp.workdps(25):
        true = delta_of_two((q, sigma), (other_q, other_sigma), epsilon)
    assume(true > 1e-13)
    low, high = composed((sampled(q, sigma), 1), (sampled(other_q, other_sigma), 1)).delta_bounds(epsilon)
    assert low <= true * (1 + SLACK)
    assert high >= true * (1 - SLACK)
    assert low <= high


def test_responses_whose_points_lie_off_the_grid_do_not_gain():
    """Two answers at total variation exactly delta need epsilon = 0, whatever a grid makes of them."""
    two = dp.Accountant("replace_one").compose(dp.RandomizedResponse(0.5, 2), 2)
    for accountant in (two, composed((dp.PureDP(math.log(3)), 2))):
        low, high = accountant.epsilon_bounds(0.5)
        assert 0.0 <= low <= high <= 1e-9


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(1e-6, 1.0)), min_size=1, max_size=9),
    st.floats(0.01, 1.0),
)
def test_masses_of_a_grid_with_what_is_given_up_make_one(points, spacing):
    losses, masses = np.array(points).T
    # The neighbour's masses add up to at most one as well; what is left of the record's is at infinity.
    masses = masses / max(masses.sum(), float(masses @ np.exp(-losses)))
    infinity = max(1.0 - math.fsum(masses), 0.0)
    loss = DiscreteLoss(losses, np.log(masses), infinity=infinity, mass_error=1e-15)
    cells = grids._cells(loss, spacing, 9.0)
    for found in (grids.above(cells, spacing), grids.below(cells, spacing)):
        whole = math.fsum(np.exp(found.log_masses)) + found.infinity + found.given_up
        assert abs(whole - 1.0) <= 1e-12
        neighbour = float(np.exp(found.log_masses) @ np.exp(-found.losses))
        assert neighbour <= float(masses @ np.exp(-losses)) * (1 + 1e-11)
        for c in (0.3, 2.0, 40.0):
            plain = math.log(math.fsum(np.exp(found.log_masses + c * found.losses)))
            entry = table(found, c, 0.0, 1e-14, 0.0, 9.0)
            assert abs(entry.log_moment - plain) <= entry.moment_error + 1e-11 * (1.0 + abs(plain))


@pytest.mark.parametrize("removing", [True, False])
@pytest.mark.parametrize(("sigma", "q"), [(0.2, 0.05), (0.3, 0.01), (0.6, 0.5)])
def test_a_sampled_gaussian_gives_up_hardly_any_mass(sigma, q, removing):
    loss = SampledGaussianLoss(sigma, q, removing)
    found = grids._from_below(loss, grids._cells(loss, 1e-3, 9.0), 1e-3, 9.0)
    assert 0.0 <= found.given_up < 1e-12


# --- Searches that start far away


@pytest.mark.parametrize("epsilon", [1e15, 1.7e16, 1e20, 1e100])
def test_an_epsilon_beyond_all_digits_of_the_tail_has_the_least_delta(epsilon):
    for event in (dp.Gaussian(0.88), dp.PoissonSampled(2.1e-5, dp.Gaussian(0.88))):
        assert dp.Accountant().compose(event).delta_bounds(epsilon) == (0.0, 5e-324)


def test_a_huge_epsilon_of_gaussians_is_found_from_nothing():
    """The curve is flat up to there: 741 steps with hardly any noise."""
    low, high = composed((dp.Gaussian(0.5), 741)).epsilon_bounds(1e-22)
    assert 2000.0 < low <= high <= low * (1 + 1e-9)


# --- Many Laplace steps


def test_atoms_of_many_laplace_steps_are_summed_up_to_a_limit_that_does_not_show():
    most = atoms._RUNS
    (low, high), (next_low, next_high) = (
        composed((dp.Laplace(1000.0), count)).epsilon_bounds(1e-5) for count in (most, most + 1)
    )
    # A line with the atoms, and one with a tiny Gaussian.
    assert high - low <= 1e-9
    assert next_high - next_low <= 1e-8
    assert low < next_high
    assert next_low - high <= 5e-5


def test_a_million_laplace_steps_are_charged_for_no_outputs():
    low, high = composed((dp.Laplace(1e4), 10**6)).epsilon_bounds(1e-5)
    assert 0.34 < low <= high <= low + 1e-9


# --- The laws that any bounds obey


def events() -> st.SearchStrategy[tuple[dp.Event, int]]:
    noise = st.floats(math.log(0.2), math.log(100.0)).map(math.exp)
    rate = st.floats(math.log(1e-6), math.log(0.99)).map(math.exp)
    small = st.floats(math.log(1e-3), math.log(4.0)).map(math.exp)
    tiny = st.floats(-18.0, -4.0).map(lambda x: 10.0**x)
    return st.tuples(
        st.one_of(
            noise.map(dp.Gaussian),
            st.builds(sampled, rate, noise),
            noise.map(dp.Laplace),
            st.builds(dp.DiscreteGaussian, st.floats(0.3, 20.0), st.integers(1, 3)),
            small.map(dp.PureDP),
            st.builds(dp.ApproximateDP, small, tiny),
        ),
        st.sampled_from([1, 1, 2, 40, 3000]),
    )


@settings(max_examples=8)
@given(st.lists(events(), min_size=1, max_size=2), st.floats(-40.0, -0.31).map(lambda x: 10.0**x))
@example([(dp.DiscreteGaussian(0.2, 1), 1)], 1e-200)
@example([(sampled(0.5, 0.2), 2)], 1e-60)
@example([(dp.ApproximateDP(0.01, 1e-10), 2000)], 2.1e-7)
def test_bounds_are_in_order_and_delta_of_epsilon_straddles_delta(history, delta):
    accountant = composed(*history)
    low, high = accountant.epsilon_bounds(delta)
    assert 0.0 <= low <= high
    if 0.0 < low < math.inf:
        under, over = accountant.delta_bounds(low)
        assert under <= over
        assert over >= delta * (1 - 1e-14)
    if 0.0 < high < math.inf:
        under, over = accountant.delta_bounds(high)
        assert under <= over
        assert under <= delta * (1 + 1e-14)
