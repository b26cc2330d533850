"""Samples of fixed size: bounds that enclose one dominating pair of the joined profile."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.fixed_size import fixed_size_losses
from reference import privacy as oracle

PANELS, NODES = 9, 20
POINTS, WEIGHTS = np.polynomial.legendre.leggauss(NODES)


def moment(sigma, q):
    """Return M(z) of the pair: 1 + E[r^(1+z) + r^-z - r - 1; x > 1/2], on a fixed fine rule."""
    edges = np.linspace(0.5, 1.5 + 12 * sigma, PANELS + 1)
    half = 0.5 * np.diff(edges)
    x = (edges[:-1, None] + half[:, None] * (1 + POINTS)).ravel()
    w = (half[:, None] * WEIGHTS).ravel() * np.exp(-0.5 * (x / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    r = 1 - q + q * np.exp((2 * x - 1) / (2 * sigma * sigma))
    table = [(mp.mpf(float(a)), mp.log(mp.mpf(float(b)))) for a, b in zip(w, r, strict=True)]

    def at(z):
        terms = (a * (mp.exp((1 + z) * b) + mp.exp(-z * b) - mp.exp(b) - 1) for a, b in table)
        return 1 + mp.fsum(terms)

    return at


@pytest.mark.parametrize(("sigma", "m", "n", "steps", "epsilon"), [(1.0, 5, 100, 300, 4.0)])
def test_compositions_enclose_the_contour_integral_of_the_pair(sigma, m, n, steps, epsilon):
    with mp.workdps(16):
        exact = float(oracle.composition_delta([(moment(sigma, m / n), steps)], epsilon))
    event = dp.SampledWithoutReplacement(m, n, dp.Gaussian(sigma))
    low, high = dp.Accountant("replace_one").compose(event, steps).delta_bounds(epsilon)
    assert low * (1 - 1e-7) <= exact <= high * (1 + 1e-7)
    assert high <= exact * 1.02


@given(st.floats(0.1, 50.0), st.floats(1e-6, 0.999), st.floats(0.0, 30.0))
@settings(max_examples=60)
def test_both_lists_enclose_the_closed_form_of_one_sample(sigma, q, epsilon):
    """delta = q delta_Gaussian(eps'), e^eps' = 1 + (e^eps - 1)/q, for replacing as for removing."""
    shifted = mp.log1p(mp.expm1(epsilon) / mp.mpf(q))
    exact = float(q * oracle.gaussian_delta(1 / mp.mpf(sigma), shifted))
    upper, lower = fixed_size_losses(sigma, q, -200.0)

    def delta(loss):
        return float(np.exp(loss.log_masses) @ -np.expm1(np.minimum(epsilon - loss.losses, 0.0)))

    assert delta(lower) <= exact * (1 + 1e-10)
    assert delta(upper) + upper.missing >= exact * (1 - 1e-10)
    for loss in (upper, lower):
        assert math.fsum(np.exp(loss.log_masses)) + loss.missing >= 1 - 1e-11
        assert math.fsum(np.exp(loss.log_masses)) <= 1 + 1e-11
        assert np.isfinite(loss.log_masses).all()


@pytest.mark.parametrize("log_missing", [-30.0, -400.0, -832.0])
@pytest.mark.parametrize("sigma", [0.1, 0.5, 30.0])
def test_no_mass_is_lost_to_underflow(sigma, log_missing):
    for loss in fixed_size_losses(sigma, 1e-4, log_missing):
        assert np.isfinite(loss.losses).all()
        assert np.isfinite(loss.log_masses).all()
        assert loss.missing > 0.0


def test_one_draw_is_exact_all_records_are_the_gaussian_and_none_are_free():
    def cost(event, count=1):
        return dp.Accountant("replace_one").compose(event, count).epsilon_bounds(1e-5)

    low, high = cost(dp.SampledWithoutReplacement(1, 100, dp.Gaussian(1.0)))
    assert high - low < 1e-9
    exact = dp.Accountant().compose(dp.PoissonSampled(0.01, dp.Gaussian(1.0))).epsilon(1e-5)
    assert high == pytest.approx(exact, rel=1e-9)
    assert cost(dp.SampledWithoutReplacement(7, 7, dp.Gaussian(2.0)), 9) == pytest.approx(
        cost(dp.Gaussian(2.0), 9), rel=1e-12
    )
    assert cost(dp.SampledWithoutReplacement(0, 7, dp.Gaussian(2.0)), 9) == (0.0, 0.0)


def test_the_bounds_lie_below_the_renyi_bound_and_grow_with_every_event():
    step = dp.SampledWithoutReplacement(10, 1000, dp.Gaussian(1.0))
    accountant = dp.Accountant("replace_one").compose(step, 1000)
    low, high = accountant.epsilon_bounds(1e-5)
    assert 0.0 < low <= high < dp.renyi.epsilon(dp.Repeated(step, 1000), 1e-5)
    assert high - low < 2e-3 * high
    assert accountant.compose(dp.Gaussian(3.0)).epsilon_bounds(1e-5)[0] > high


def test_hardly_any_noise_is_left_to_renyi_divergences():
    step = dp.SampledWithoutReplacement(1, 1000, dp.Gaussian(0.05))
    low, high = dp.Accountant("replace_one").compose(step, 3).epsilon_bounds(1e-5)
    assert low == 0.0
    assert 100.0 < high < math.inf
