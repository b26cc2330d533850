"""Kernels of the accountant: their stated errors hold on every path, and all paths return the same bits."""

import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt._ext import dp as kernels
from medcrypt.dp import tables
from medcrypt.dp.losses import LaplaceLoss, SampledGaussianLoss
from reference import contour as twin

U = 2.0**-53
finite = st.floats(-700.0, 700.0)
angles = st.one_of(
    st.floats(-20.0, 20.0),
    st.floats(-(2.0**20), 2.0**20),
    st.floats(-1e-3, 1e-3),
    st.integers(-600_000, 600_000).map(lambda k: k * math.pi / 2),
)


@settings(max_examples=60)
@given(st.lists(finite, min_size=1, max_size=20))
def test_exponentials_are_within_four_units(values):
    for path in paths():
        out = np.empty(len(values))
        kernels.exponentials(np.array(values), out, path)
        for x, y in zip(values, out, strict=True):
            true = mp.exp(mp.mpf(x))
            assert abs(mp.mpf(float(y)) - true) <= 4 * U * true


@settings(max_examples=60)
@given(st.lists(angles, min_size=1, max_size=20))
def test_turns_are_within_their_bound(values):
    for path in paths():
        versine, sine = np.empty(len(values)), np.empty(len(values))
        kernels.turns(np.array(values), versine, sine, path)
        for x, v, s in zip(values, versine, sine, strict=True):
            true = mp.mpc(*twin.turn(x))
            error = abs(mp.mpc(float(v), float(s)) - true)
            assert error <= 4 * U * abs(true) + 2 * U * abs(mp.mpf(x))


@settings(max_examples=60)
@given(st.lists(st.floats(-(2.0**40), 2.0**40), min_size=1, max_size=20))
def test_larger_turns_lose_two_units_more_of_the_angle(values):
    for path in paths():
        versine, sine = np.empty(len(values)), np.empty(len(values))
        kernels.turns(np.array(values), versine, sine, path)
        for x, v, s in zip(values, versine, sine, strict=True):
            true = mp.mpc(*twin.turn(x))
            error = abs(mp.mpc(float(v), float(s)) - true)
            assert error <= 4 * U * abs(true) + 4 * U * abs(mp.mpf(x))


def paths() -> tuple[str, ...]:
    from medcrypt._ext import cpu

    return cpu.paths()


def test_tiny_exponents_vanish():
    out = np.empty(2)
    kernels.exponentials(np.array([-701.0, -1e300]), out)
    assert out.tolist() == [0.0, 0.0]


TABLES = [
    (SampledGaussianLoss(1.0, 0.01, True), 6.0, 60.0),
    (SampledGaussianLoss(1.0, 0.01, False), 12.0, 60.0),
    (SampledGaussianLoss(0.5, 1e-4, True), 2.0, 300.0),
    (SampledGaussianLoss(30.0, 0.9, False), 40.0, 500.0),
    (SampledGaussianLoss(4.0, 1e-8, True), 1e4, 1e6),
    (LaplaceLoss(0.1), 5.0, 400.0),
    (LaplaceLoss(2.0), 1.0, 30.0),
]


@pytest.mark.parametrize(("loss", "c", "t_max"), TABLES)
def test_a_walk_stays_within_the_bound_of_its_table(loss, c, t_max, kernel_path):
    """The walk against the same sum in 50 digits: recurrence, angles and summing."""
    entry = tables.table(loss, c, t_max, 1e-15, 0.0, 9.0)
    step = t_max / 200
    real, imaginary = np.empty(70), np.empty(70)
    kernels.walk(entry.losses, entry.weights, step, 90, real, imaginary, kernel_path)
    for k in (0, 1, 31, 32, 69):
        true = twin.walk(entry.losses.tolist()[::1], entry.weights.tolist(), step, 90 + k)
        error = abs(mp.mpc(float(real[k]), float(imaginary[k])) - true)
        assert error <= entry.error(np.array([(90 + k) * step]))[0]


@pytest.mark.parametrize(("loss", "c", "t_max"), TABLES[:4])
def test_a_walk_encloses_the_moment_itself(loss, c, t_max, kernel_path):
    """The walk against the integral in 50 digits: also quadrature, and the errors of losses and weights."""
    reach = 9.0
    entry = tables.table(loss, c, t_max, 1e-15, 0.0, reach)
    low, high = -reach * loss.sigma, 1.0 + reach * loss.sigma

    def moment(t: float) -> mp.mpc:
        return twin.moment(loss.sigma, loss.q, removing=loss.removing, z=complex(c, t), low=low, high=high)

    here = moment(0.0)
    assert abs(mp.log(here.real) - mp.mpf(entry.log_moment)) <= entry.moment_error
    real, imaginary = np.empty(1), np.empty(1)
    for share in (0.01, 0.25):
        t = share * t_max
        kernels.walk(entry.losses, entry.weights, t, 1, real, imaginary, kernel_path)
        error = abs(mp.mpc(float(real[0]), float(imaginary[0])) - (moment(t) / here - 1))
        assert error <= entry.error(np.array([t]))[0]


def test_all_paths_give_the_same_bits():
    entry = tables.table(SampledGaussianLoss(1.0, 0.01, True), 6.0, 60.0, 1e-15, 0.0, 9.0)
    found = set()
    for path in paths():
        real, imaginary = np.empty(50), np.empty(50)
        kernels.walk(entry.losses, entry.weights, 1.0, 0, real, imaginary, path)
        sums = kernels.line(np.abs(real[:48]), imaginary[:48].copy(), np.arange(48.0), 1.5, path)
        found.add((real.tobytes(), imaginary.tobytes(), sums))
    assert len(found) == 1


@pytest.mark.parametrize(
    "loss", [SampledGaussianLoss(1.0, 0.05, True), SampledGaussianLoss(0.6, 1e-3, False)]
)
def test_decay_bounds_what_follows(loss):
    """At t and at points beyond it the modulus is below the bound, by the 50-digit integral."""
    c, reach = 4.0, 8.0
    entry = tables.table(loss, c, 1.0, 1e-15, 0.0, reach)
    starts = np.array([5.0, 50.0, 400.0])
    bounds = tables.decay(loss, c, entry.log_moment, entry.moment_error, starts, reach)
    assert (np.diff(bounds) <= 0).all()
    for start, bound in zip(starts, bounds, strict=True):
        for t in (start, 1.37 * start, 2.9 * start):
            wide = tables.table(loss, c, t, 1e-12, entry.log_moment, reach)
            real, imaginary = np.empty(1), np.empty(1)
            kernels.walk(wide.losses, wide.weights, t, 1, real, imaginary)
            assert math.log(math.hypot(1.0 + real[0], imaginary[0])) <= bound + 1e-9


def test_angles_of_which_nothing_is_proven_give_no_number():
    ones, t = np.ones(8), np.arange(8.0)
    assert all(map(math.isfinite, kernels.line(ones, np.full(8, 1e12), t, 1.0)))
    for phase, epsilon in ((np.full(8, 2e12), 1.0), (ones, 1e12), (np.full(8, np.nan), 1.0)):
        assert all(map(math.isnan, kernels.line(ones, phase, t, epsilon)))
    with pytest.raises(OverflowError):
        kernels.walk(np.full(8, 1e10), ones, 1.0, 0, np.empty(200), np.empty(200))
    with pytest.raises(OverflowError):
        kernels.walk(np.full(8, np.nan), ones, 1.0, 0, np.empty(2), np.empty(2))


def test_what_is_no_table_is_refused():
    with pytest.raises(ValueError, match="multiple"):
        kernels.walk(np.zeros(3), np.zeros(3), 1.0, 0, np.empty(1), np.empty(1))
    with pytest.raises(ValueError, match="different lengths"):
        kernels.line(np.zeros(8), np.zeros(8), np.zeros(16), 1.0)
    with pytest.raises(ValueError, match="POINTS"):
        kernels.table(1.0, 0.1, True, 1.0, np.array([0.0, 1.0]), np.empty(31), np.empty(31))
