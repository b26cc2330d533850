"""Rényi divergences against 40-digit arithmetic, and the conversions against exact curves."""

import math
from fractions import Fraction

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.discrete import discrete_loss
from reference import privacy as oracle

mp.mp.dps = 40


def is_tight(bound, exact, slack):
    return float(exact) * (1 - 1e-15) <= bound <= float(exact) * (1 + slack)


@pytest.mark.parametrize(
    ("sigma", "q", "order"),
    [
        (1.0, 0.01, 2.0),
        (1.0, 0.01, 2.5),
        (0.5, 1e-4, 1.1),
        (0.3, 1e-6, 1.5),
        (4.0, 0.02, 17.3),
        (0.8, 0.5, 1.001),
        (1.0, 0.99, 3.3),
        (20.0, 1e-3, 200.0),
    ],
)
def test_the_divergence_of_a_poisson_sample_matches_40_digits(sigma, q, order):
    def moment(a):
        def integrand(x):
            return mp.npdf(x, 0, sigma) * (1 - q + q * mp.exp((2 * x - 1) / (2 * mp.mpf(sigma) ** 2))) ** a

        return mp.quad(integrand, mp.linspace(-12 * sigma, order + 12 * sigma, 31))

    a, q = mp.mpf(order), mp.mpf(q)
    exact = mp.log(moment(a)) / (a - 1)
    bound = dp.renyi.divergence(dp.PoissonSampled(float(q), dp.Gaussian(sigma)), order)
    assert is_tight(bound, exact, 1e-11)
    # Adding a record is the better direction.
    assert mp.log(moment(1 - a)) / (a - 1) <= exact * (1 + mp.mpf(10) ** -20)


def test_integer_orders_match_the_binomial_sum():
    sigma, q = mp.mpf("1.3"), mp.mpf("0.05")
    for order in (2, 3, 7, 40):
        terms = (
            mp.binomial(order, k) * (1 - q) ** (order - k) * q**k * mp.exp((k * k - k) / (2 * sigma**2))
            for k in range(order + 1)
        )
        bound = dp.renyi.divergence(dp.PoissonSampled(0.05, dp.Gaussian(1.3)), order)
        assert bound == pytest.approx(float(mp.log(mp.fsum(terms)) / (order - 1)), rel=1e-11)


@pytest.mark.parametrize(
    ("sigma", "m", "n", "order"),
    [
        (1.0, 1, 100, 2.5),
        (0.5, 1, 10_000, 1.1),
        (4.0, 2, 100, 17.3),
        (1.0, 99, 100, 3.3),
        (20.0, 1, 1000, 50.0),
    ],
)
def test_the_divergence_of_a_fixed_size_sample_is_that_of_the_joined_profile(sigma, m, n, order):
    a, q = mp.mpf(order), mp.mpf(m) / n

    def integrand(x):
        r = 1 - q + q * mp.exp((2 * x - 1) / (2 * mp.mpf(sigma) ** 2))
        return mp.npdf(x, 0, sigma) * (r**a + r ** (1 - a) - r - 1)

    exact = mp.log1p(mp.quad(integrand, mp.linspace(0.5, order + 14 * sigma, 41))) / (a - 1)
    bound = dp.renyi.divergence(dp.SampledWithoutReplacement(m, n, dp.Gaussian(sigma)), order)
    assert is_tight(bound, exact, 1e-5)


@pytest.mark.parametrize("order", [1.01, 2.0, 3.7, 20.0])
@pytest.mark.parametrize(
    "event",
    [
        dp.Skellam(1.0, 1),
        dp.Skellam(10.0, 3),
        dp.Skellam(0.01, 2),
        dp.DiscreteLaplace(1.0, 1),
        dp.DiscreteLaplace(0.2, 3),
        dp.DiscreteLaplace(30.0, 7),
        dp.RandomizedResponse(0.3, 4),
        dp.PureDP(0.01),
        dp.PureDP(30.0),
        dp.DiscreteGaussian(1.0, 1),
        dp.DiscreteGaussian(6.0, 5),
    ],
    ids=str,
)
def test_the_divergence_of_a_loss_on_points_is_its_sum(event, order):
    loss = discrete_loss(event, -700.0)
    exact = mp.fsum(
        mp.exp(mp.mpf(mass) + (mp.mpf(order) - 1) * mp.mpf(point))
        for mass, point in zip(loss.log_masses.tolist(), loss.losses.tolist(), strict=True)
    )
    bound = dp.renyi.divergence(event, order)
    exact = float(mp.log(exact) / (mp.mpf(order) - 1))
    # The list's own rounding counts most for orders near one.
    assert bound >= exact * (1 - 1e-9) - 1e-13
    if not isinstance(event, dp.DiscreteGaussian):  # known by its zCDP bound
        assert bound <= exact * (1 + 1e-9) + 1e-13


@pytest.mark.parametrize("scale", [0.05, 1.0, 10.0, 1e4])
@pytest.mark.parametrize("order", [1.001, 2.0, 33.3])
def test_the_divergence_of_laplace_matches_its_formula(scale, order):
    a, e = mp.mpf(order), 1 / mp.mpf(scale)
    moment = a / (2 * a - 1) * mp.exp((a - 1) * e) + (a - 1) / (2 * a - 1) * mp.exp(-a * e)
    bound = dp.renyi.divergence(dp.Laplace(scale), order)
    assert is_tight(bound, mp.log(moment) / (a - 1), 1e-3 if scale > 100 else 1e-9)


@given(
    st.floats(0.2, 50.0),
    st.floats(1e-6, 1.0),
    st.floats(1.001, 60.0),
    st.floats(1.001, 60.0),
    st.integers(1, 9),
)
@settings(max_examples=40)
def test_sampling_never_costs_orders_cost_more_and_counts_add(sigma, q, first, second, count):
    event = dp.PoissonSampled(q, dp.Gaussian(sigma))
    low, high = sorted((first, second))
    assert dp.renyi.divergence(event, high) <= dp.renyi.divergence(dp.Gaussian(sigma), high) * (1 + 1e-11)
    assert dp.renyi.divergence(event, low) <= dp.renyi.divergence(event, high) * (1 + 1e-11)
    together = dp.renyi.divergence(dp.Repeated(dp.Composed([event, dp.Laplace(3.0)]), count), low)
    apart = dp.renyi.divergence(event, low) + dp.renyi.divergence(dp.Laplace(3.0), low)
    assert together == pytest.approx(count * apart, rel=1e-11)


def test_a_curve_is_completed_by_convexity_and_ends():
    curve = dp.RenyiCurve([2.0, 5.0], [0.1, 0.4])
    assert dp.renyi.divergence(curve, 1.5) == pytest.approx(0.1)
    assert dp.renyi.divergence(curve, 3.0) == pytest.approx((0.1 + (1.6 - 0.1) / 3) / 2)
    assert dp.renyi.divergence(curve, 5.0) == pytest.approx(0.4)
    assert dp.renyi.divergence(curve, 5.1) == math.inf
    assert dp.renyi.epsilon(curve, 1e-5) > 0.4


@given(st.floats(0.5, 30.0), st.floats(-30.0, -1.0).map(math.exp))
@settings(max_examples=20)
def test_a_curve_at_many_orders_costs_little_more_than_the_mechanism(sigma, delta):
    known = dp.renyi.epsilon(dp.renyi.curve(dp.Gaussian(sigma)), delta)
    assert oracle.gaussian_delta(1 / mp.mpf(sigma), known) <= delta
    assert known <= dp.renyi.epsilon(dp.Gaussian(sigma), delta) * 1.03 + 1e-9


# --- Conversions


@given(st.floats(0.2, 30.0), st.floats(-60.0, -0.8).map(math.exp))
def test_the_conversion_never_under_reports_the_gaussian(sigma, delta):
    found = dp.renyi.epsilon(dp.Gaussian(sigma), delta)
    exact = oracle.gaussian_delta(1 / mp.mpf(sigma), found)
    assert exact <= delta * (1 + mp.mpf(10) ** -12)
    assert dp.renyi.delta(dp.Gaussian(sigma), found) >= float(exact)


@given(st.fractions(1, 20, max_denominator=30), st.integers(1, 4), st.floats(-12.0, -0.7).map(math.exp))
def test_the_conversion_never_under_reports_randomised_response(ratio, count, delta):
    """Binary randomised response of e^epsilon = ratio, composed by its table of fractions."""
    event = dp.Repeated(dp.PureDP(math.log(ratio)), count)
    found = dp.renyi.epsilon(event, delta)
    factor = Fraction(math.exp(found) * (1 + 1e-12))
    kept, lost = ratio / (1 + ratio), 1 / (1 + ratio)
    exact = sum(
        math.comb(count, k) * max(kept**k * lost ** (count - k) - factor * lost**k * kept ** (count - k), 0)
        for k in range(count + 1)
    )
    assert exact <= Fraction(delta) * (1 + Fraction(1, 10**9))


@pytest.mark.parametrize(
    ("event", "delta", "peers"),
    [
        (dp.Repeated(dp.PoissonSampled(0.01, dp.Gaussian(1.0)), 1000), 1e-5, 2.101),
        (dp.Repeated(dp.PoissonSampled(0.001, dp.Gaussian(0.8)), 10_000), 1e-6, 1.704),
        (dp.Repeated(dp.PoissonSampled(0.1, dp.Gaussian(2.0)), 500), 1e-5, 6.035),
        (dp.Repeated(dp.PoissonSampled(0.02, dp.Gaussian(4.0)), 100_000), 1e-7, 9.740),
        (dp.Repeated(dp.Gaussian(50.0), 10_000), 1e-10, 14.871),
        (dp.Repeated(dp.Laplace(10.0), 100), 1e-6, 4.984),
    ],
)
def test_the_conversion_is_no_worse_than_the_peers(event, delta, peers):
    exact = dp.Accountant().compose(event).epsilon_bounds(delta)[0]
    assert exact <= dp.renyi.epsilon(event, delta) <= peers + 5.1e-4


def test_one_order_is_converted_exactly():
    """Of all pairs with D_2 <= 1, the worst two-point one is met (Asoodeh et al. 2021), and not undercut."""
    order, bound, delta = 2.0, 1.0, 0.05

    def moment(p, q):
        return p**order * q ** (1 - order) + (1 - p) ** order * (1 - q) ** (1 - order)

    worst = 0.0
    for step in range(1, 4000):
        p = delta + (1 - delta) * step / 4000
        # The least q that still has the divergence: bisect on q < p.
        low, high = 1e-12, p
        for _ in range(80):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if moment(p, middle) > math.exp(bound * (order - 1)) else (low, middle)
        worst = max(worst, math.log((p - delta) / high))
    found = dp.renyi.epsilon(dp.RenyiCurve([order], [bound]), delta)
    plain = bound + math.log((order - 1) / order) - math.log(delta * order) / (order - 1)
    assert worst * (1 - 1e-9) <= found <= worst + 1e-5
    assert found < plain - 1e-3


def test_what_reveals_everything_is_taken_off_delta_first():
    revealing = dp.ApproximateDP(0.0, 1e-6)
    event = dp.Composed([revealing, dp.ZeroConcentratedDP(0.1)])
    left = (1e-5 - 1e-6) / (1 - 1e-6)
    assert dp.renyi.epsilon(event, 1e-5) == pytest.approx(
        dp.renyi.epsilon(dp.ZeroConcentratedDP(0.1), left), rel=1e-9
    )
    assert dp.renyi.epsilon(event, 1e-6) == math.inf
    assert dp.renyi.delta(event, 100.0) == pytest.approx(1e-6, rel=1e-9)
    assert dp.renyi.divergence(event, 2.0) == math.inf


def test_zcdp_is_converted_at_its_best_order():
    """The least over orders of rho a + log((a - 1)/a) - log(a delta)/(a - 1), on a fine grid."""
    rho, delta = 0.3, 1e-6
    grid = (1 + 1e-3 * k for k in range(1, 30_000))
    best = min(rho * a + math.log((a - 1) / a) - math.log(a * delta) / (a - 1) for a in grid)
    assert dp.renyi.epsilon(dp.ZeroConcentratedDP(rho), delta) == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("order", [1.0, 0.5, -1.0, math.inf, math.nan])
def test_orders_not_above_one_are_refused(order):
    with pytest.raises(ValueError, match="order"):
        dp.renyi.divergence(dp.Gaussian(1.0), order)


def test_wrong_arguments_are_refused():
    with pytest.raises(TypeError):
        dp.renyi.divergence("Gaussian", 2.0)
    for delta in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="delta"):
            dp.renyi.epsilon(dp.Gaussian(1.0), delta)
    with pytest.raises(ValueError, match="epsilon"):
        dp.renyi.delta(dp.Gaussian(1.0), -1.0)
