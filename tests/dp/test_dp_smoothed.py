"""A line with a tiny Gaussian in it holds the curve between its bounds where nothing else ends the line."""

import math
from collections.abc import Callable
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt._ext import dp as kernels
from medcrypt.dp import oscillating, smoothed
from medcrypt.dp.composition import Composition
from medcrypt.dp.contour import Terms
from medcrypt.dp.discrete import DiscreteLoss
from medcrypt.dp.losses import LaplaceLoss, Loss, SampledGaussianLoss
from medcrypt.dp.smoothed import SmoothedLine
from medcrypt.dp.survey import Survey
from medcrypt.dp.tables import table
from reference import contour as twin
from reference import privacy as oracle

REACH = 17.0


def line(losses: list[tuple[Loss, int]], epsilon: float, most: int = 1 << 15) -> SmoothedLine:
    """Return a smoothed line that stands at the saddle of epsilon."""
    survey = Survey.of(losses, REACH)
    with np.errstate(all="ignore"):
        return SmoothedLine(Terms.of(losses, REACH), survey, survey.saddle_at_epsilon(epsilon), most)


def twice(sigma: float, q: float, epsilon: float) -> mp.mpf:
    """Delta of two sampled Gaussians, removing: over the first output the curve of the second, in 30 digits."""
    with mp.workdps(30):
        s, q_ = mp.mpf(sigma), mp.mpf(q)

        def ratio(x: mp.mpf) -> mp.mpf:
            return 1 - q_ + q_ * mp.exp((2 * x - 1) / (2 * s * s))

        def rest(x: mp.mpf) -> mp.mpf:
            """r phi times the second's curve at eps - log r."""
            scale = mp.exp(epsilon) / ratio(x)
            if scale <= 1 - q_:
                curve = 1 - scale
            else:
                a = s * mp.log((scale - 1 + q_) / q_) - 1 / (2 * s)
                curve = q_ * mp.ncdf(-a) - (scale - 1 + q_) * mp.ncdf(-a - 1 / s)
            return ratio(x) * mp.npdf(x, 0, s) * curve

        # Where the second's curve begins to fall, and where either output alone suffices.
        single = mp.mpf(1) / 2 + s * s * mp.log((mp.exp(epsilon) - 1 + q_) / q_)
        grid = [-12 * s, *(k * single / 24 for k in range(25)), *(single + k * s for k in range(1, 14))]
        return mp.quad(rest, sorted(grid))


@pytest.mark.parametrize(("sigma", "q", "epsilon"), [(0.3, 1e-6, 9.0), (0.5, 1e-3, 5.0), (1.0, 0.05, 2.5)])
def test_two_steps_are_enclosed_by_quadrature(sigma, q, epsilon):
    true = float(mp.log(twice(sigma, q, epsilon)))
    low, high = line([(SampledGaussianLoss(sigma, q, True), 2)], epsilon).bounds(epsilon)
    assert low <= true <= high
    assert high - low <= 1e-3


def test_rare_records_and_little_noise_have_narrow_bounds():
    """What grids leave apart by some percent; both must overlap."""
    step = SampledGaussianLoss(0.4, 1e-6, True)
    whole = Composition([step])
    whole.run([1_000_000])
    low, high = whole._on_smoothed_lines(math.log(1e-8), 0.0, math.inf)
    assert 0.0 < low < high <= low + 1e-4 * min(1.0, high)
    under, over = whole._on_grids(math.log(1e-8), 0.0, math.inf)
    assert under <= high
    assert over >= low


def binomial_mixture(first: float, n: int, second: float, m: int, epsilon: float) -> mp.mpf:
    """Delta of n and m pure mechanisms of two epsilons, by the sum over both numbers of worse answers."""
    with mp.workdps(40):
        e, f = mp.mpf(first), mp.mpf(second)
        p, r = 1 / (1 + mp.exp(-e)), 1 / (1 + mp.exp(-f))
        total = mp.mpf(0)
        for k in range(n + 1):
            for j in range(m + 1):
                gap = epsilon - (2 * k - n) * e - (2 * j - m) * f
                if gap < 0:
                    mass = math.comb(n, k) * p**k * (1 - p) ** (n - k)
                    total += mass * math.comb(m, j) * r**j * (1 - r) ** (m - j) * -mp.expm1(gap)
        return total


@pytest.mark.parametrize(
    ("first", "n", "second", "m", "epsilon"),
    [(1.7, 3, 0.041, 150, 4.0), (math.log(2), 2, math.log(3), 2, 2.5)],
)
def test_different_responses_are_enclosed_by_the_double_sum(first, n, second, m, epsilon):
    true = binomial_mixture(first, n, second, m, epsilon)
    accountant = dp.Accountant().compose(dp.PureDP(first), n).compose(dp.PureDP(second), m)
    low, high = accountant.delta_bounds(epsilon)
    assert low <= true <= high <= low * (1 + 1e-4)
    low, high = accountant.epsilon_bounds(float(true))
    assert low <= epsilon * (1 + 1e-14)
    assert epsilon * (1 - 1e-14) <= high <= low + 1e-4


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.floats(-2.0, 2.0), st.floats(1e-4, 1.0)), min_size=2, max_size=6),
    st.floats(0.05, 1.5),
)
def test_points_lie_between_the_bounds(points, epsilon):
    """Two releases of any points, by brute force; also where an atom lies at epsilon."""
    losses = np.array([loss for loss, _ in points])
    masses = np.array([mass for _, mass in points])
    masses /= max(masses.sum(), float(masses @ np.exp(-losses)))
    # What is missing to one is revealed.
    revealed = max(1.0 - float(masses.sum()), 0.0)
    loss = DiscreteLoss(losses, np.log(masses), infinity=revealed, mass_error=1e-15)
    if float(np.max(losses)) * 2.0 <= epsilon:
        return
    pairs = (losses[:, None] + losses).ravel()
    true = np.outer(masses, masses).ravel() @ -np.expm1(np.minimum(epsilon - pairs, 0.0))
    true += 1.0 - (1.0 - revealed) ** 2
    with np.errstate(all="ignore"):
        try:
            found = line([(loss, 2)], epsilon)
        except ArithmeticError:
            return
        low, high = found.bounds(epsilon)
    assert math.exp(low) <= true * (1 + 1e-12) + 1e-300
    assert math.exp(high) >= true * (1 - 1e-12)


def test_a_smoothing_without_charge_is_caught(monkeypatch):
    """The smoothed curve alone lies above the truth, and so does its lower bound if nothing is taken off."""
    losses = [(SampledGaussianLoss(0.5, 1e-3, True), 2)]
    true, coarse = float(mp.log(twice(0.5, 1e-3, 5.0))), line(losses, 5.0, most=2048)
    low, high = coarse.bounds(5.0)
    assert low <= true <= high
    monkeypatch.setattr(SmoothedLine, "density", lambda self, epsilon: 0.0)
    assert coarse.bounds(5.0)[0] > true


def test_a_gaussian_that_is_not_there_is_caught(monkeypatch):
    """A tail charged for a larger variance than was composed lets the bounds miss the truth."""
    losses = [(SampledGaussianLoss(0.5, 1e-3, True), 2)]
    true, honest = float(mp.log(twice(0.5, 1e-3, 5.0))), line(losses, 5.0, most=2048)
    low, high = honest.bounds(5.0)
    assert low <= true <= high
    honest._weights[0, honest.count // 8 :] = 0.0
    low, high = honest.bounds(5.0)
    assert not low <= true <= high


def test_the_density_lies_above_the_slope_of_the_smoothed_curve():
    """p = delta'' - delta', by differences of the sum itself."""
    found, h = line([(SampledGaussianLoss(0.7, 1e-2, True), 5)], 2.0), 1e-4
    scale = [math.exp(found.value(2.0 + k * h)[0]) for k in (-1, 0, 1)]
    slope, bend = (scale[2] - scale[0]) / (2 * h), (scale[2] - 2 * scale[1] + scale[0]) / h**2
    density = found.density(2.0) * math.exp(found.log_scale(2.0))
    assert density == pytest.approx(bend - slope, rel=1e-3)


# --- Tables for the whole line

WAVES: list[tuple[Loss, float]] = [
    (SampledGaussianLoss(0.3, 1e-4, True), 1.5),
    (SampledGaussianLoss(0.3, 1e-4, False), 6.0),
    (SampledGaussianLoss(1.0, 0.2, True), 4.0),
    (SampledGaussianLoss(4.0, 1e-2, False), 50.0),
]


def tabulated(loss: Loss, c: float) -> oscillating.Wave:
    here = table(loss, c, 0.0, 1e-15, 0.0, 15.0)
    return oscillating.wave(loss, c, here.log_moment, here.moment_error, 15.0, 1e-15)


@pytest.mark.parametrize(("loss", "c"), WAVES)
@pytest.mark.parametrize("t", [0.05, 7.0, 40.0, pytest.param(300.0, marks=pytest.mark.long)])
def test_a_wave_encloses_the_moment_itself(loss, c, t):
    """On another contour than the oracle's: quadrature, vertical ends, losses, weights and products."""
    wave = tabulated(loss, c)
    low, high = -15.0 * loss.sigma, 1.0 + 15.0 * loss.sigma

    def moment(t: float) -> mp.mpc:
        return twin.moment(loss.sigma, loss.q, removing=loss.removing, z=complex(c, t), low=low, high=high)

    found = wave.nodes(t / 3, 3, 2, kernels.STRIP)[0]
    error = abs(mp.mpc(complex(found)) - (moment(t) / moment(0.0) - 1))
    assert error <= wave.error(np.array([t]))[0] <= 1e-10


CUT = SampledGaussianLoss(50.0, 1e-3, False)  # tilted by so much that the cut at 12.96 deviations shows


def cut_short(t: float) -> tuple[float, float]:
    """Return the error of a wave with an edge, and the bound on it."""
    c, reach = 5.76e5, 12.96
    here = table(CUT, c, 0.0, 1e-15, 0.0, reach)
    wave = oscillating.wave(CUT, c, here.log_moment, here.moment_error, reach, 1e-15)

    # On the real axis nothing is moved, and no edge is left out.
    entry = table(CUT, c, t, 1e-13, here.log_moment, reach)
    real, imaginary = np.empty(1), np.empty(1)
    kernels.walk(entry.losses, entry.weights, t, 1, real, imaginary)
    found = wave.nodes(t / 3, 3, 2, kernels.STRIP)[0]
    away = abs(found - complex(real[0], imaginary[0])) - float(entry.error(np.array([t]))[0])
    return away, float(wave.error(np.array([t]))[0])


def test_an_edge_of_the_tilted_law_is_charged(monkeypatch):
    error, bound = cut_short(1e5)
    assert 1e-9 < error <= bound
    monkeypatch.setattr(oscillating, "_edge", lambda *arguments: 0.0)
    error, bound = cut_short(1e5)
    assert error > bound


def test_a_wave_of_a_laplace_mechanism_is_its_formula():
    loss, c = LaplaceLoss(0.8), 3.0
    wave, step = tabulated(loss, c), 0.37
    found = wave.nodes(step, 0, 4, kernels.STRIP)
    exact = oracle.laplace_moment(1 / mp.mpf(0.8))
    for n in (0, 1, 31, 32, 100):
        true = exact(mp.mpc(c, n * step)) / exact(mp.mpc(c)) - 1
        assert abs(mp.mpc(complex(found[n])) - true) <= wave.error(np.array([n * step]))[0]


def test_nodes_do_not_depend_on_how_they_are_blocked():
    wave = tabulated(*WAVES[0])
    whole = wave.nodes(0.5, 0, 4, 2 * kernels.STRIP)
    parts = np.concatenate([tabulated(*WAVES[0]).nodes(0.5, 64 * k, 2, kernels.STRIP) for k in range(4)])
    t = 0.5 * np.arange(256.0)
    assert (np.abs(whole - parts) <= 2.0 * wave.error(t)).all()


def test_a_wave_without_its_lift_is_caught(monkeypatch):
    """The same weights on the real axis, as if the contour had not been moved, are far from the moment."""
    honest: Callable[..., oscillating.Wave] = oscillating._wave
    monkeypatch.setattr(
        oscillating, "_wave", lambda losses, *rest, **more: honest(losses.real + 0j, *rest, **more)
    )
    loss, c = WAVES[0]
    found = tabulated(loss, c).nodes(7.0, 1, 2, kernels.STRIP)[0]
    low, high = -15.0 * loss.sigma, 1.0 + 15.0 * loss.sigma
    here, there = (
        twin.moment(loss.sigma, loss.q, removing=True, z=complex(c, t), low=low, high=high)
        for t in (0.0, 7.0)
    )
    assert abs(mp.mpc(complex(found)) - (there / here - 1)) > 1e-9


def test_the_reach_grows_until_the_tilted_law_has_no_edge():
    assert smoothed.far_enough([CUT], 12.96, 5.76e5) > 15.0
    assert smoothed.far_enough([CUT], 13.0, 5.76) == 13.0
    # Where rare outputs blow up far out, the valley before is the place to cut.
    assert 19.0 <= smoothed.far_enough([SampledGaussianLoss(7.0, 1e-5, True)], 19.0, 3e5) < 25.0


# --- The product of matrices


@settings(max_examples=20)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(1, 3), st.integers(0, 2**32))
def test_products_are_exact_to_their_bound(rows, size, strips, seed):
    columns, rng = strips * kernels.STRIP, np.random.default_rng(seed)

    def random(shape: tuple[int, int]) -> np.ndarray:
        return rng.uniform(-1.0, 1.0, shape) * 10.0 ** rng.uniform(-6.0, 3.0, shape)

    a, b, c, d = (random(shape) for shape in [(rows, size)] * 2 + [(size, columns)] * 2)
    start = random((rows, columns)), random((rows, columns))
    from medcrypt._ext import cpu

    results = set()
    for path in cpu.paths():
        real, imaginary = start[0].copy(), start[1].copy()
        kernels.products(a, b, c, d, real, imaginary, path)
        results.add((real.tobytes(), imaginary.tobytes()))
    assert len(results) == 1
    n, k = rows - 1, columns - 1
    exact, moduli = Fraction(float(start[0][n, k])), Fraction(abs(float(start[0][n, k])))
    for j in range(size):
        part = (
            Fraction(float(a[n, j])) * Fraction(float(c[j, k])),
            Fraction(float(b[n, j])) * Fraction(float(d[j, k])),
        )
        exact += part[0] - part[1]
        moduli += abs(part[0]) + abs(part[1])
    assert abs(Fraction(float(real[n, k])) - exact) <= (2 * size + 4) * Fraction(1, 2**53) * moduli


def test_products_of_what_does_not_fit_are_refused():
    def zeros(*shape: int) -> np.ndarray:
        return np.zeros(shape)

    with pytest.raises(ValueError, match="STRIP"):
        kernels.products(zeros(2, 3), zeros(2, 3), zeros(3, 5), zeros(3, 5), zeros(2, 5), zeros(2, 5))
    with pytest.raises(ValueError, match="fit together"):
        kernels.products(zeros(2, 3), zeros(2, 3), zeros(4, 32), zeros(4, 32), zeros(2, 32), zeros(2, 32))
    with pytest.raises(ValueError, match="fit together"):
        kernels.products(zeros(2, 3), zeros(2, 4), zeros(3, 32), zeros(3, 32), zeros(2, 32), zeros(2, 32))
    with pytest.raises(ValueError, match="fit together"):
        kernels.products(zeros(2, 3), zeros(2, 3), zeros(3, 32), zeros(3, 32), zeros(2, 32), zeros(3, 32))
