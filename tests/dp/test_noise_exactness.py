"""What the samplers promise beyond statistics: exact tables, the same draws on every path, a bound for the rest."""

import functools
import math
import os
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest

from medcrypt._ext.aes import AesCtr
from medcrypt._ext.noise import Shape
from medcrypt.dp import noise
from medcrypt.dp.noise import bessel, gaussian, generator, laplace, sampling
from reference import noise as oracle

SEED = bytes(range(32))


@pytest.fixture
def fresh_samplers():
    """No sampler made under another kernel path or margin survives."""
    caches = (
        gaussian.discrete_gaussian_sampler,
        gaussian.rounded_gaussian_sampler,
        laplace.laplace_sampler,
        bessel.skellam_sampler,
    )
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def with_shape(monkeypatch, **arguments):
    """Make every new sampler's kernel shape with these arguments."""
    for module in (sampling, gaussian):
        monkeypatch.setattr(module, "Shape", functools.partial(Shape, **arguments))


CASES = [
    (
        noise.discrete_gaussian,
        gaussian.discrete_gaussian_sampler,
        Fraction(9, 4),
        oracle.discrete_gaussian,
        24,
        0,
    ),
    (
        noise.discrete_gaussian,
        gaussian.discrete_gaussian_sampler,
        Fraction(21, 2),
        oracle.discrete_gaussian,
        56,
        1,
    ),
    (
        noise.discrete_gaussian,
        gaussian.discrete_gaussian_sampler,
        Fraction(10**9),
        oracle.discrete_gaussian,
        90,
        28,
    ),
    (noise.discrete_laplace, laplace.laplace_sampler, Fraction(5, 4), oracle.discrete_laplace, 60, 0),
    (noise.discrete_laplace, laplace.laplace_sampler, Fraction(1000), oracle.discrete_laplace, 100, 9),
    (noise.skellam, bessel.skellam_sampler, Fraction(7, 2), oracle.skellam, 30, 0),
    (noise.skellam, bessel.skellam_sampler, Fraction(900), oracle.skellam, 100, 3),
]


@pytest.mark.parametrize(("draw", "sampler", "parameter", "law", "reach", "low_bits"), CASES)
def test_draws_are_those_of_the_definition(
    draw, sampler, parameter, law, reach, low_bits, kernel_path, monkeypatch, fresh_samplers
):
    """Every path, word for word, against laws evaluated in 120 digits."""
    with_shape(monkeypatch, path=kernel_path)
    count = 40
    drawn = draw(parameter, count, generator=noise.ReproducibleGenerator(SEED))
    trials = count if sampler(parameter).shape.words == 1 else count + count // 8 + 17 & ~1
    words = np.empty(sampler(parameter).shape.words * trials, np.uint64)
    noise.ReproducibleGenerator(SEED).fill(words)
    runs = words.reshape(-1, trials).T.tolist()
    pmf = functools.cache(law(parameter))
    if low_bits:
        expected = [oracle.cell_draw(pmf, reach, low_bits, run) for run in runs[: count + 10]]
    else:
        expected = [oracle.table_draw(pmf, reach, run[0]) for run in runs]
    expected = [value for value in expected if value is not None]
    known = min(count, len(expected))
    assert known > 20
    assert drawn[:known].tolist() == expected[:known]


@pytest.mark.parametrize("sigma", [Fraction(3, 2), Fraction(17, 4), Fraction(10**6), Fraction(2**40)])
def test_rounded_draws_are_those_of_the_definition(sigma, kernel_path, monkeypatch, fresh_samplers):
    with_shape(monkeypatch, path=kernel_path)
    drawn = noise.rounded_gaussian(sigma, 30, generator=noise.ReproducibleGenerator(SEED)).tolist()
    trials = 30 if sigma <= 4 else 30 + 3 + 17
    words = np.empty((1 if sigma <= 4 else 3) * trials, np.uint64)
    noise.ReproducibleGenerator(SEED).fill(words)
    runs = words.reshape(-1, trials).T.tolist()
    if sigma <= 4:
        pmf = functools.cache(oracle.rounded_gaussian(sigma))
        expected = [oracle.table_draw(pmf, 20, run[0]) for run in runs]
    else:
        expected = [value for run in runs if (value := oracle.real_draw(sigma, 4, 60, run)) is not None]
    assert len(expected) >= 30
    assert drawn == expected[:30]


@pytest.mark.parametrize(
    ("draw", "parameter"),
    [
        (noise.discrete_gaussian, 30.5),
        (noise.rounded_gaussian, 1234.5),
        (noise.discrete_laplace, 40.25),
        (noise.skellam, 500.0),
    ],
)
def test_exact_arithmetic_and_floating_point_decide_alike(draw, parameter, monkeypatch, fresh_samplers):
    """With a margin of 2 every trial takes the rare, exact branch; the draws stay the same."""
    usual = draw(parameter, 200, generator=noise.ReproducibleGenerator(SEED))
    for cache in (
        gaussian.discrete_gaussian_sampler,
        gaussian.rounded_gaussian_sampler,
        laplace.laplace_sampler,
        bessel.skellam_sampler,
    ):
        cache.cache_clear()
    with_shape(monkeypatch, margin=2.0)
    exact = draw(parameter, 200, generator=noise.ReproducibleGenerator(SEED))
    np.testing.assert_array_equal(usual, exact)


def test_a_wrong_slope_shows_in_the_draws(monkeypatch, fresh_samplers):
    """The comparison above can fail: a coefficient that is off by a part in a thousand changes draws."""
    usual = noise.discrete_gaussian(30.5, 20_000, generator=noise.ReproducibleGenerator(SEED))
    gaussian.discrete_gaussian_sampler.cache_clear()
    true_lines = gaussian._lines
    monkeypatch.setattr(
        gaussian,
        "_lines",
        lambda width: [(1.001 * a, 1.001 * b) for a, b in true_lines(width)],
    )
    wrong = noise.discrete_gaussian(30.5, 20_000, generator=noise.ReproducibleGenerator(SEED))
    assert (usual != wrong).any()


TABLES = [
    *((gaussian.discrete_gaussian_sampler, oracle.discrete_gaussian, p) for p in (0.4, 1.0, 3.7, 8.0)),
    *((gaussian.rounded_gaussian_sampler, oracle.rounded_gaussian, p) for p in (0.2, 1.0, 4.0)),
    *((laplace.laplace_sampler, oracle.discrete_laplace, p) for p in (0.3, 1.0, 2.0)),
    *((bessel.skellam_sampler, oracle.skellam, p) for p in (1e-3, 0.5, 2.0, 64.0)),
]


@pytest.mark.parametrize(("sampler", "law", "parameter"), TABLES)
def test_every_threshold_of_a_table_is_right_to_191_bits(sampler, law, parameter):
    cells = sampler(Fraction(parameter))._cells
    with mp.workdps(200):
        pmf, count = law(parameter), len(cells._exact) + 60
        weights = [pmf(0)] + [2 * pmf(k) for k in range(1, count)]
        total, below = mp.fsum(weights), mp.mpf(0)
        for threshold, weight in zip(cells._exact, weights, strict=False):
            below += weight
            assert abs(threshold - below / total * mp.mpf(2) ** 191) < 2
        assert (total - below) / total < mp.mpf(2) ** -190
    assert all(word == exact >> 128 for word, exact in zip(cells.thresholds, cells._exact, strict=False))
    left = cells._exact[len(cells.thresholds) - 1 :]
    assert all(exact >> 128 == 2**63 - 1 for exact in left)


@pytest.mark.parametrize(
    ("sampler", "law", "parameter", "low_bits"), [(s, w, p, b) for _, s, p, w, _, b in CASES if b]
)
def test_every_cell_has_the_weight_of_its_first_integer(sampler, law, parameter, low_bits):
    cells = sampler(parameter)._cells
    with mp.workdps(200):
        pmf = law(parameter)
        weights = [pmf(y << low_bits) for y in range(len(cells._exact) + 20)]
        total, below = mp.fsum(weights), mp.mpf(0)
        for threshold, weight in zip(cells._exact, weights, strict=False):
            below += weight
            assert abs(threshold - below / total * mp.mpf(2) ** 191) < 2


@pytest.mark.parametrize("variance", [65, 300, 1100, 1400, 1700, 1930, 7000, 20_000, 10**6, 2**30])
def test_the_polynomials_of_the_skellam_cells_are_good_to_50_bits(variance):
    exact = Fraction(variance)
    sampler = bessel.skellam_sampler(exact)
    width, rng = 1 << sampler._low_bits, np.random.default_rng(0)
    places = range(width) if width <= 16 else sorted({1, width - 1, *rng.integers(1, width, 6).tolist()})
    count = len(sampler._cells.thresholds) + 1
    cells = range(count) if variance < 10**5 else (0, 1, count // 2, count - 1)
    values = bessel.bessel_values(exact, {c * width + z for c in cells for z in (0, *places)})
    last = bessel._last_order(exact)
    firsts = range(0, last - width, width)
    nodes = bessel._places(exact, width)
    at_nodes = bessel.bessel_values(exact, {firsts[c] + z for c in cells for z in (0, *nodes)})
    for cell in cells:
        logs = [-bessel._log_ratio(at_nodes[cell * width + z], at_nodes[cell * width]) for z in nodes]
        coefficients = bessel._coefficients(logs, nodes, width)
        for place in places:
            f = place / width
            with mp.workdps(40):
                true = mp.mpf(values[cell * width + place]) / values[cell * width]
                gamma = mp.fsum(mp.mpf(c) * mp.mpf(f) ** (k + 1) for k, c in enumerate(coefficients))
                assert abs(mp.exp(-gamma) - true) < 2.0**-50
                assert gamma >= 0


@pytest.mark.parametrize("low_bits", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("side", [Fraction(-1, 10**9), Fraction(0), Fraction(1, 10**9)])
def test_laws_at_the_edges_of_their_cells_are_taken_by_the_kernel(low_bits, side):
    """There slopes are steepest and thresholds most: a shape that does not fit would be refused."""
    sigma = Fraction(11, 2) * 2**low_bits * (1 + side)
    expected = low_bits + (side > 0)
    assert sampling.low_bits_of(sigma) == expected
    for sampler in (gaussian.discrete_gaussian_sampler(sigma), bessel.skellam_sampler(sigma * sigma)):
        assert sampler._low_bits == expected
        assert len(sampler._cells.thresholds) < 64


class TailStream:
    """First words that all lie in the last 2^-40 of the table."""

    def capsule(self):
        """None: the words are not made in C."""

    def fill(self, counter, words):
        AesCtr(os.urandom(32)).fill(counter, words)
        words |= ~np.uint64(0) << np.uint64(64 - 40)


class TailGenerator(generator.Generator):
    """Draws from such words."""

    def reserve(self, blocks):
        return TailStream(), 0


@pytest.mark.parametrize(
    ("draw", "law", "parameter"),
    [
        (noise.discrete_gaussian, oracle.discrete_gaussian, 3.0),
        (noise.rounded_gaussian, oracle.rounded_gaussian, 3.0),
        (noise.discrete_laplace, oracle.discrete_laplace, 1.5),
        (noise.skellam, oracle.skellam, 9.0),
    ],
)
def test_the_tail_beyond_one_in_2_to_the_40_has_its_distribution(draw, law, parameter):
    drawn = np.abs(draw(parameter, 100_000, generator=TailGenerator()))
    with mp.workdps(60):
        pmf = law(parameter)
        weights = [pmf(0)] + [2 * pmf(k) for k in range(1, 120)]
        total = mp.fsum(weights)
        above = [mp.fsum(weights[k:]) / total * mp.mpf(2) ** 40 for k in range(120)]
        expected = np.array([float(min(above[k], 1) - min(above[k + 1], 1)) for k in range(119)])
    counts = np.bincount(drawn, minlength=119)
    use = expected * drawn.size >= 20
    excess = np.abs(counts[use] - drawn.size * expected[use]) / np.sqrt(drawn.size * expected[use])
    assert use.sum() >= 3
    assert excess.max() < 6.2  # 1e-7 for some ten normal deviates
    assert counts[~use].sum() <= 20 * 3 + 60


def test_the_distance_is_bounded_and_charged():
    for name, parameter in (
        ("rounded_gaussian", 1.0),
        ("rounded_gaussian", 1e9),
        ("discrete_gaussian", 0.5),
        ("discrete_gaussian", 2.0**48),
        ("discrete_laplace", 123.0),
        ("skellam", 2.0**33),
    ):
        assert 0 < noise.distance(name, parameter) <= 2.0**-100
    tau = noise.distance("skellam", 2.0)
    assert noise.charge(0.0, 10, tau) >= 2 * 10 * tau
    assert noise.charge(1.0, 10, tau) == pytest.approx((1 + math.e) * 10 * tau)
    assert noise.generator_advantage(0) == 2.0**-97
    assert noise.generator_advantage(2**40) <= 2.0**-70
    for bad in ((-1.0, 1, 0.1), (math.nan, 1, 0.1), (1.0, -1, 0.1)):
        with pytest.raises(ValueError, match="negative"):
            noise.charge(*bad)
    with pytest.raises(ValueError, match="negative"):
        noise.generator_advantage(-1)
    with pytest.raises(ValueError, match="distribution must be"):
        noise.distance("gauss", 1.0)
    with pytest.raises(ValueError, match="sigma must be positive"):
        noise.distance("rounded_gaussian", 0.0)
