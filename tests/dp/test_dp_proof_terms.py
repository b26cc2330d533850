"""The terms of the proof hold each for itself: against 40 digits, not only in the bounds that they make together."""

import itertools
import math

import mpmath as mp
import numpy as np
import pytest

from medcrypt import dp
from medcrypt._ext import dp as kernels
from medcrypt.dp import grids, tables
from medcrypt.dp.composition import Composition
from medcrypt.dp.contour import Terms, log_factor
from medcrypt.dp.discrete import DiscreteLoss, SkellamLaw
from medcrypt.dp.legendre import legendre
from medcrypt.dp.losses import GaussianLoss, LaplaceLoss, SampledGaussianLoss
from medcrypt.dp.survey import Survey

U = 2.0**-53


def normal(left: mp.mpf, right: mp.mpf) -> mp.mpf:
    """The mass of N(0, 1), without cancellation."""
    if left < 0:
        left, right = (-right, -left) if right < 0 else (left, right)
    if left < 0:
        return 1 - (mp.erfc(-left / mp.sqrt(2)) + mp.erfc(right / mp.sqrt(2))) / 2
    return (mp.erfc(left / mp.sqrt(2)) - mp.erfc(right / mp.sqrt(2))) / 2


CELLS = [(1.0, 0.5, 1e-4), (1.0, 0.5, 1e-5), (10.0, 0.01, 1e-6), (0.5, 0.1, 1e-3), (0.2, 1e-3, 0.02)]


@pytest.mark.parametrize(("sigma", "q", "spacing"), CELLS)
def test_masses_of_cells_are_precise_between_the_edges_that_were_used(sigma, q, spacing):
    """And so are the losses at these edges: rounding of an edge does not tear both neighbours' masses apart."""
    reach, shift = 8.0, 1.0 / sigma
    low, high = grids._range(SampledGaussianLoss(sigma, q, True), reach)
    first = math.floor(low / spacing) - 1
    losses = spacing * np.arange(float(first), math.ceil(high / spacing) + 2.0)
    edges, moved = grids._outputs(losses, sigma, q, -reach, shift + reach)
    both = grids._normal(edges, shift)
    with mp.workdps(40):
        exact = mp.mpf(sigma)
        for k in np.linspace(3, losses.size - 5, 40).astype(int).tolist():
            left, right = mp.mpf(float(edges[k])), mp.mpf(float(edges[k + 1]))
            for found, mean in zip(both, (mp.mpf(0), 1 / exact), strict=True):
                true = normal(left - mean, right - mean)
                assert abs(mp.mpf(float(found[k])) - true) <= grids._mass_error(reach + shift) * true
            if -reach < edges[k] < shift + reach:
                at = mp.log1p(mp.mpf(q) * mp.expm1((2 * exact * left - 1) / (2 * exact**2)))
                assert abs(at - mp.mpf(float(losses[k]))) <= moved


@pytest.mark.parametrize("removing", [True, False])
@pytest.mark.parametrize(("sigma", "q", "spacing"), [(1.0, 0.5, 0.05), (10.0, 0.01, 3e-5), (0.2, 1e-3, 0.5)])
def test_the_upper_grid_gives_the_upper_end_no_less_than_its_share(sigma, q, spacing, removing):
    """Cell by cell, where losses lie up to the edge error outside: the law is larger, not only its mean."""
    cells = grids._cells(SampledGaussianLoss(sigma, q, removing), spacing, 8.0)
    upper = grids.above(cells, spacing)
    found = dict(zip(np.rint(upper.losses / spacing).astype(int).tolist(), upper.log_masses, strict=True))
    with mp.workdps(40):
        error = mp.mpf(cells.edge_error)
        beyond, least = mp.mpf(0), mp.mpf(0)
        for k in range(cells.p.size - 1, -1, -1):
            # The masses as wrong as they may be, to the side that asks for more.
            p = mp.mpf(float(cells.p[k])) * (1 + mp.mpf(cells.mass_error))
            q_ = mp.mpf(float(cells.q[k])) * (1 - mp.mpf(cells.mass_error))
            start = mp.mpf(spacing * (cells.first + k))
            share = (p - q_ * mp.exp(start - error)) / (1 - mp.exp(-(mp.mpf(spacing) + 2 * error)))
            beyond += mp.exp(mp.mpf(float(found.get(cells.first + k + 1, -mp.inf))))
            assert (
                beyond * (1 + 4 * mp.mpf(cells.mass_error))
                >= least + min(max(share, 0), p) - mp.mpf(10) ** -290
            )
            least += p


def test_what_underflows_under_the_neighbour_is_given_up_below():
    cells = grids.Cells(0, np.array([0.4, 0.6]), np.array([0.3, 0.0]), 0.0, 0.0, 1e-13, 0.0)
    lower = grids.below(cells, 0.5)
    assert lower.given_up >= 0.6
    assert float(np.exp(lower.log_masses).sum()) <= 0.4 * (1 + 1e-12)


def test_a_gaussian_is_cut_into_precise_cells():
    cells = grids._cells(GaussianLoss(0.25), 1e-5, 8.0)
    with mp.workdps(40):
        for k in np.linspace(5, cells.p.size - 6, 20).astype(int).tolist():
            p, q = mp.mpf(float(cells.p[k])), mp.mpf(float(cells.q[k]))
            start = mp.mpf(1e-5) * (cells.first + k)
            slack = cells.edge_error + 2 * cells.mass_error
            assert start - slack <= mp.log(p / q) <= start + mp.mpf(1e-5) + slack


@pytest.mark.parametrize(
    ("loss", "c"),
    [
        (SampledGaussianLoss(1.0, 0.5, False), 60.0),
        (SampledGaussianLoss(0.5, 0.3, False), 40.0),
        (SampledGaussianLoss(1.0, 0.01, True), 3.0),
        (SampledGaussianLoss(4.0, 0.01, True), 30.0),
    ],
)
def test_the_quadrature_of_the_bell_alone_is_charged_too(loss, c):
    """Tables sum phi (r^a - 1): the same panels have to integrate phi."""
    reach = 8.0
    log_moment = tables.table(loss, c, 1.0, 1e-12, 0.0, reach).log_moment
    ends = np.empty(4096)
    low, high = -reach * loss.sigma, 1.0 + reach * loss.sigma
    target = log_moment - 16.0
    count, log_quadrature = kernels.panels(loss.sigma, loss.q, loss.removing, c, low, high, 0.0, target, ends)
    assert count > 0
    points, weights = legendre(kernels.POINTS)
    with mp.workdps(40):
        found = mp.mpf(0)
        for left, right in zip(ends[:count].tolist(), ends[1 : count + 1].tolist(), strict=True):
            half, middle = (mp.mpf(right) - left) / 2, (mp.mpf(right) + left) / 2
            for point, weight in zip(points.tolist(), weights.tolist(), strict=True):
                found += half * weight * mp.npdf(middle + half * point, 0, loss.sigma)
        true = normal(mp.mpf(ends[0]) / loss.sigma, mp.mpf(ends[count]) / loss.sigma)
        assert abs(found - true) <= mp.exp(log_quadrature) + mp.mpf(32) * U


@pytest.mark.parametrize("c", [0.3, 5.0, 80.0])
@pytest.mark.parametrize("e", [0.01, 1.0, 30.0])
def test_the_moment_of_a_laplace_mechanism_is_within_its_error(e, c):
    found = tables.table(LaplaceLoss(e), c, 0.0, 1e-9, 0.0, 0.0)
    with mp.workdps(40):
        up, down = mp.exp(mp.mpf(c) * e), mp.exp(-(1 + mp.mpf(c)) * e)
        true = mp.log((up + down) / 2 + (up - down) / (2 * (1 + 2 * mp.mpf(c))))
        assert abs(mp.mpf(found.log_moment) - true) <= found.moment_error


def test_the_decay_of_laplace_mechanisms_is_a_share_of_the_least_moment():
    t = np.array([50.0, 4000.0])
    loss, c = LaplaceLoss(1.0), 2.0
    entry = tables.table(loss, c, 1.0, 1e-14, 0.0, 0.0)
    sure, unsure = (tables.decay(loss, c, entry.log_moment, error, t, 0.0) for error in (0.0, 0.1))
    assert np.allclose(unsure - sure, np.minimum(0.1, -sure))
    sampled = SampledGaussianLoss(1.0, 0.3, True)
    entry = tables.table(sampled, c, 1.0, 1e-14, 0.0, 8.0)
    sure, unsure = (tables.decay(sampled, c, entry.log_moment, error, t, 8.0) for error in (0.0, 0.1))
    assert (unsure > sure).all()


def test_the_bell_is_charged_for_its_eight_roundings():
    for sigma in (0.7, 1.1, 3.3):
        loss, c = GaussianLoss((1.0 / sigma) ** 2), 2.7
        height, error = Terms.of([(loss, 10**9 + 7)], 1.0).log_moment(c, Survey.of([(loss, 1)], 1.0))
        true = mp.mpf(10**9 + 7) / mp.mpf(sigma) ** 2 * mp.mpf(c) * (mp.mpf(c) + 1) / 2
        assert abs(height - true) <= error
        assert error >= 8 * U * height


@pytest.mark.parametrize("c", [1e-12, 1e-3, 1.0, 1e8])
def test_a_line_is_charged_for_the_logarithm_of_its_kernel(c):
    """Eight units of each of the two logarithms, of which half is taken."""
    t = np.zeros(8)
    parts = -math.log(c * c), -math.log((1.0 + c) ** 2)
    nodes = np.array([t, np.full(8, 0.5 * sum(parts)), t])
    total, *_, wrong = kernels.weigh(np.zeros((4, 1, 8)), np.ones(1), 0.0, c, nodes, np.empty((4, 8)))
    assert wrong / total >= U * (4.0 * sum(map(abs, parts)) + 3.0)


@pytest.mark.parametrize("excess", [1e-12, 1e-9, 1e-6, 1e-2, 1.0, 1e3])
@pytest.mark.parametrize(("epsilon", "infinity"), [(0.1, 1e-5), (2.0, 1e-60)])
def test_chernoffs_bound_next_to_the_mass_at_infinity_is_rounded_up(epsilon, infinity, excess):
    curve = Composition([_responses(epsilon, infinity)])
    log_delta = math.log(infinity) + math.log1p(excess)
    found = curve.chernoff_epsilon(log_delta)
    c = Survey.of(curve._pairs(), curve._reach(log_delta)).chernoff_at_delta(log_delta)
    with mp.workdps(50):
        left = mp.exp(mp.mpf(log_delta)) - mp.mpf(infinity)
        if left <= 0:
            return
        high = (1 - mp.mpf(infinity)) / (1 + mp.exp(-mp.mpf(epsilon)))
        moment = high * mp.exp(mp.mpf(c) * epsilon) + (1 - infinity - high) * mp.exp(-mp.mpf(c) * epsilon)
        order = mp.mpf(c)
        factor = order * mp.log(order) - (1 + order) * mp.log(1 + order)
        assert found >= (mp.log(moment) + factor - mp.log(left)) / order
        assert abs(log_factor(c) - factor) <= 1e-14 * abs(factor)


def _responses(epsilon: float, infinity: float) -> DiscreteLoss:
    from medcrypt.dp.losses import pair

    found = pair(dp.ApproximateDP(epsilon, infinity), -700.0)
    assert found is not None
    assert isinstance(found[0], DiscreteLoss)
    return found[0]


@pytest.mark.parametrize("variance", [1e-280, 1e-100, 1e-16, 1e-14, 1e-12])
def test_skellam_masses_of_tiny_variance_keep_their_digits(variance):
    law = SkellamLaw.of(variance, 60)
    with mp.workdps(60):
        for n in (0, 1, 2, 17, 60):
            exact = mp.log(mp.besseli(n, mp.mpf(variance))) - mp.mpf(variance)
            assert abs(law.log_pmf[n] - exact) <= 1e-15 * (8 + abs(exact))


def test_skellam_noise_of_tiny_variance_is_enclosed():
    for variance in (1e-16, 1e-14, 1e-12):
        with mp.workdps(60):
            v = mp.mpf(variance)
            masses = [mp.exp(-v) * mp.besseli(n, v) for n in range(8)]
            epsilon = float(mp.log(masses[0] / masses[1])) - 1e-3
            pairs = itertools.pairwise(masses)
            true = mp.fsum(max(p - mp.exp(mp.mpf(epsilon)) * q, 0) for p, q in pairs)
            low, high = dp.Accountant("replace_one").compose(dp.Skellam(variance)).delta_bounds(epsilon)
            assert low <= true <= high <= low * (1 + 1e-6)


def test_skellam_noise_whose_masses_are_no_doubles_is_refused():
    with pytest.raises(ValueError, match="variance"):
        dp.Accountant().compose(dp.Skellam(1e-300)).epsilon(1e-5)


FUNCTIONS = [
    (math.exp, mp.exp, -700.0, 700.0, 8),
    (math.expm1, mp.expm1, -40.0, 700.0, 8),
    (math.log, mp.log, 1e-300, 1e300, 8),
    (math.log1p, mp.log1p, -0.999, 1e6, 8),
    (math.asinh, mp.asinh, -1e6, 1e6, 8),
    (math.erfc, mp.erfc, -6.0, 26.0, 16),
    (np.exp, mp.exp, -700.0, 700.0, 8),
    (np.expm1, mp.expm1, -40.0, 700.0, 8),
    (np.log, mp.log, 1e-300, 1e300, 8),
    (np.log1p, mp.log1p, -0.999, 1e6, 8),
    (np.sin, mp.sin, -1e5, 1e5, 8),
    (np.cos, mp.cos, -1e5, 1e5, 8),
    (np.sqrt, mp.sqrt, 0.0, 1e300, 2),
]


@pytest.mark.parametrize(("function", "exact", "low", "high", "units"), FUNCTIONS)
def test_the_c_library_and_numpy_are_as_precise_as_the_proof_assumes(function, exact, low, high, units):
    """On 300 points, long and short, near one and near zero: numpy computes vectors by other code than numbers."""
    rng = np.random.default_rng(7)
    x = np.concatenate((rng.uniform(low, high, 200), rng.uniform(max(low, -1.5), min(high, 1.5), 60)))
    x = np.concatenate((x, rng.uniform(0.99, 1.01, 40)))
    found = function(x) if isinstance(function, np.ufunc) else np.array([function(a) for a in x.tolist()])
    with mp.workdps(40):
        for a, y in zip(x.tolist(), found.tolist(), strict=True):
            true = exact(mp.mpf(a))
            assert abs(mp.mpf(y) - true) <= units * U * abs(true) + 5e-324


def test_complex_exponentials_powers_and_moduli_are_as_precise_as_the_proof_assumes():
    rng = np.random.default_rng(8)
    z = rng.uniform(-30, 30, 100) + 1j * rng.uniform(-1e3, 1e3, 100)
    bases, powers = rng.uniform(0.0, 1.0, 100), rng.integers(1, 1000, 100)
    with mp.workdps(40):
        for a, e, m, angle in zip(z.tolist(), np.exp(z), np.abs(z), np.angle(z), strict=True):
            assert abs(mp.mpc(complex(e)) - mp.exp(mp.mpc(a))) <= 16 * U * abs(mp.exp(mp.mpc(a)))
            assert abs(mp.mpf(float(m)) - abs(mp.mpc(a))) <= 4 * U * abs(mp.mpc(a))
            assert abs(mp.mpf(float(angle)) - mp.arg(mp.mpc(a))) <= 8 * U * abs(mp.arg(mp.mpc(a)))
        for base, power in zip(bases.tolist(), powers.tolist(), strict=True):
            true = mp.mpf(base) ** power
            assert abs(mp.mpf(float(np.float64(base) ** power)) - true) <= 8 * U * true + 5e-324


@pytest.mark.parametrize("size", [64, 1000, 4096])
def test_the_fast_fourier_transform_is_within_its_bound(size):
    """In the Euclidean norm, which is above the largest single error."""
    values = np.random.default_rng(9).exponential(1.0, size) ** 4
    found = np.fft.rfft(values)
    norm = float(np.sqrt(values @ values))
    with mp.workdps(30):
        for k in (0, 1, size // 3, size // 2):
            turns = [mp.expjpi(-mp.mpf(2 * ((k * j) % size)) / size) for j in range(size)]
            true = mp.fsum(mp.mpf(v) * w for v, w in zip(values.tolist(), turns, strict=True))
            assert abs(mp.mpc(complex(found[k])) - true) <= 8 * U * math.log2(size) * math.sqrt(size) * norm
