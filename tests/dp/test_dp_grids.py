"""Grids hold the curve between them, whatever the loss, and help where the line does not decay."""

import math
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp import grids
from medcrypt.dp.composition import Composition
from medcrypt.dp.discrete import DiscreteLoss
from medcrypt.dp.losses import GaussianLoss, LaplaceLoss, SampledGaussianLoss


def delta(loss: DiscreteLoss, epsilon: float) -> float:
    gain = -np.expm1(np.minimum(epsilon - loss.losses, 0.0))
    return float(np.exp(loss.log_masses) @ gain) + loss.infinity


LOSSES = [
    GaussianLoss(0.25),
    LaplaceLoss(0.7),
    SampledGaussianLoss(1.0, 0.2, True),
    SampledGaussianLoss(0.5, 0.01, False),
    SampledGaussianLoss(0.3, 1e-3, True),
]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("spacing", [0.3, 0.01])
def test_one_release_lies_between_its_grids(loss, spacing):
    """Above and below the closed forms, which the accountant uses for one release, and close where it is fine."""
    cells = grids._cells(loss, spacing, 9.0)
    above, below = grids.above(cells, spacing), grids.below(cells, spacing)
    once = Composition([loss])
    for epsilon in (0.0, 0.05, 0.31, 1.0):
        low, high = (math.exp(x) for x in once.log_delta_bounds(epsilon))
        assert delta(below, epsilon) <= high * (1 + 1e-11)
        assert delta(above, epsilon) + above.missing >= low * (1 - 1e-11)
        if spacing < 0.1 and low > 1e-12:
            assert delta(above, epsilon) - delta(below, epsilon) <= spacing


@pytest.mark.parametrize("convert", [grids.above, grids.below])
@pytest.mark.parametrize("loss", LOSSES)
def test_grids_are_laws_of_a_loss(convert, loss):
    """Masses and the masses under the neighbour make at most one, up to rounding."""
    found = convert(grids._cells(loss, 0.05, 9.0), 0.05)
    masses = np.exp(found.log_masses)
    assert masses.sum() <= 1 + 1e-12
    assert masses @ np.exp(-found.losses) <= 1 + 1e-10
    steps = (found.losses - found.losses[0]) / 0.05
    assert np.allclose(steps, np.rint(steps), atol=1e-9)


@settings(max_examples=30)
@given(
    st.lists(st.tuples(st.floats(-3.0, 3.0), st.floats(1e-6, 1.0)), min_size=2, max_size=9),
    st.floats(0.02, 1.0),
)
def test_points_lie_between_their_grids(points, spacing):
    losses = np.array([loss for loss, _ in points])
    masses = np.array([mass for _, mass in points])
    # Neighbours' masses add up to at most one as well.
    masses /= max(masses.sum(), float(masses @ np.exp(-losses))) * (1 + 1e-12)
    loss = DiscreteLoss(losses, np.log(masses), mass_error=1e-15)
    cells = grids._cells(loss, spacing, 9.0)
    above, below = grids.above(cells, spacing), grids.below(cells, spacing)
    for epsilon in np.linspace(-3.0, 3.0, 13):
        true = delta(loss, float(epsilon))
        assert delta(below, float(epsilon)) <= true + 1e-10
        assert delta(above, float(epsilon)) >= true - 1e-10


@pytest.mark.parametrize("removing", [True, False])
def test_grids_agree_with_the_line(removing):
    whole = Composition([SampledGaussianLoss(2.0, 0.1, removing)])
    whole.run([200])
    low, high = whole.epsilon_bounds(math.log(1e-5))
    under, over = whole._on_grids(math.log(1e-5), 0.0, math.inf)
    assert under <= high
    assert over >= low
    assert over - under <= 1e-4


@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), [(1.0, 0.01, 2, 1e-6), (0.543, 0.12, 2, 0.03)])
def test_two_steps_have_narrow_bounds(sigma, q, steps, delta):
    low, high = dp.Accountant().compose(dp.PoissonSampled(q, dp.Gaussian(sigma)), steps).epsilon_bounds(delta)
    assert 0.0 < low < high <= low + 1e-4 * min(1.0, high)


def test_different_responses_are_enclosed_by_brute_force():
    """Losses of log 2 and log 3 lie on no common lattice."""
    two = [(Fraction(2, 3), Fraction(1, 3)), (Fraction(1, 3), Fraction(2, 3))]
    three = [(Fraction(3, 4), Fraction(1, 4)), (Fraction(1, 4), Fraction(3, 4))]
    accountant = dp.Accountant().compose(dp.PureDP(math.log(2)), 2).compose(dp.PureDP(math.log(3)), 2)
    for scale in (Fraction(1), Fraction(5, 2), Fraction(12)):
        pairs = [(Fraction(1), Fraction(1))]
        for points in (two, two, three, three):
            pairs = [(a * p, b * q) for a, b in pairs for p, q in points]
        true = sum((max(p - scale * q, Fraction(0)) for p, q in pairs), Fraction(0))
        low, high = accountant.delta_bounds(math.log(scale))
        assert Fraction(low) <= true * (1 + Fraction(1, 10**13))
        assert Fraction(high) >= true * (1 - Fraction(1, 10**13))
        assert high - low <= 1e-3


def test_two_laplace_mechanisms_are_enclosed_by_quadrature():
    """A mixture of two scales, integrated over the second output where the first is a closed form."""
    first, second, epsilon = mp.mpf(1), 1 / mp.mpf(1.3), mp.mpf(1)

    def curve(e: mp.mpf, eps: mp.mpf) -> mp.mpf:
        """One Laplace mechanism, also at negative epsilon."""
        if eps >= e:
            return mp.mpf(0)
        return 1 - mp.exp((eps - e) / 2) if eps > -e else 1 - mp.exp(eps)

    ends = sorted({-second, second, max(-second, epsilon - first), min(second, epsilon + first)})
    density = mp.quad(lambda x: mp.exp((x - second) / 2) / 4 * curve(first, epsilon - x), ends)
    true = density + curve(first, epsilon - second) / 2 + mp.exp(-second) / 2 * curve(first, epsilon + second)
    accountant = dp.Accountant().compose(dp.Laplace(1.0)).compose(dp.Laplace(1.3))
    low, high = accountant.delta_bounds(1.0)
    assert low <= true <= high <= low * (1 + 1e-3)


@pytest.mark.parametrize("removing", [True, False])
@pytest.mark.parametrize(("sigma", "q"), [(0.3, 1e-4), (1.0, 0.3), (0.5, 0.97)])
def test_a_lattice_from_the_bulk_is_below_the_closed_form_of_one_sample(sigma, q, removing):
    loss = SampledGaussianLoss(sigma, q, removing)
    below = grids.below(*grids._around_the_bulk(loss, 1e-3, 12.0))
    once = Composition([loss])
    highest = 20.0 if removing else -math.log1p(-q)
    for epsilon in np.linspace(0.0, 0.9 * highest, 9):
        true = math.exp(once.log_delta_bounds(float(epsilon))[1])
        found = delta(below, float(epsilon))
        assert found <= true * (1 + 1e-9)
        # Adding, all positive losses may be smaller than one cell.
        assert not removing or found >= true * 0.98 - 1e-5


def test_rare_records_with_little_noise_have_two_sided_bounds():
    step = dp.PoissonSampled(1e-6, dp.Gaussian(0.4))
    low, high = dp.Accountant().compose(step, 1_000_000).epsilon_bounds(1e-8)
    assert 0.0 < low < high <= 1.02 * low
