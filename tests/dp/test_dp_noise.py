"""The samplers draw from exactly the stated laws."""

import math
import os
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp import noise
from medcrypt.dp.noise.exact import exp_enclosure
from reference import noise as words_oracle
from reference import privacy as oracle

DRAWS = 200_000
SAMPLERS = [noise.discrete_gaussian, noise.discrete_laplace, noise.rounded_gaussian, noise.skellam]


def chi_square_excess(draws: np.ndarray, pmf: list[float], low: int) -> float:
    """How many standard deviations a chi-square statistic lies above its mean (Wilson-Hilferty)."""
    expected = draws.size * np.array(pmf)
    use = expected >= 20
    first, last = np.flatnonzero(use)[[0, -1]]
    counts = np.array([np.count_nonzero(draws == low + k) for k in range(first, last + 1)])
    rest = draws.size - counts.sum()
    expected = expected[first : last + 1]
    expected_rest = max(draws.size - expected.sum(), 1e-9)
    cells = np.append((counts - expected) ** 2 / expected, (rest - expected_rest) ** 2 / expected_rest)
    if expected_rest < 20:
        assert rest <= expected_rest + 8 * math.sqrt(expected_rest) + 12
        cells = cells[:-1]
    freedom = cells.size - 1
    if freedom == 0:
        return 0.0
    ratio = (cells.sum() / freedom) ** (1 / 3)
    return (ratio - (1 - 2 / (9 * freedom))) / math.sqrt(2 / (9 * freedom))


# A normal deviate exceeds 5.2 with probability 1e-7.
@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.0, Fraction(10, 3), 12.5])
def test_the_discrete_gaussian_has_its_distribution(sigma):
    draws = noise.discrete_gaussian(sigma, DRAWS)
    reach = math.ceil(9 * sigma)
    assert chi_square_excess(draws, oracle.discrete_gaussian_pmf(sigma, -reach, reach), -reach) < 5.2


@pytest.mark.parametrize("scale", [0.2, 1.0, Fraction(7, 3), 2.7])
def test_the_discrete_laplace_has_its_distribution(scale):
    draws = noise.discrete_laplace(scale, DRAWS)
    reach = math.ceil(16 * scale)
    assert chi_square_excess(draws, oracle.discrete_laplace_pmf(scale, -reach, reach), -reach) < 5.2


@pytest.mark.parametrize("sigma", [0.3, 1.0, Fraction(10, 3), 4.5, 31.0])
def test_the_rounded_gaussian_has_its_distribution(sigma):
    draws = noise.rounded_gaussian(sigma, DRAWS)
    reach = math.ceil(9 * sigma)
    pmf = [float(words_oracle.rounded_gaussian(sigma)(k)) for k in range(-reach, reach + 1)]
    assert chi_square_excess(draws, pmf, -reach) < 5.2


@pytest.mark.parametrize("variance", [0.3, 2.0, Fraction(50, 3), 70.5, 900.0])
def test_the_skellam_has_its_distribution(variance):
    draws = noise.skellam(variance, DRAWS)
    reach = math.ceil(9 * math.sqrt(variance)) + 4
    weights = [words_oracle.skellam(variance)(k) for k in range(-reach, reach + 1)]
    assert chi_square_excess(draws, [float(weight / sum(weights)) for weight in weights], -reach) < 5.2


@pytest.mark.parametrize(
    ("draw", "sigma"),
    [
        (noise.discrete_gaussian, 1e5),
        (noise.rounded_gaussian, 1e5),
        (noise.rounded_gaussian, 2.0**40),
        (lambda sigma, size: noise.skellam(sigma**2, size), 1e4),
    ],
)
def test_the_distribution_function_of_large_noise_is_that_of_the_normal(draw, sigma):
    """Kolmogorov's statistic: D exceeds sqrt(log(2/p)/(2n)) with probability p (Massart 1990); here p = 1e-7."""
    draws = np.sort(draw(sigma, 20_000))
    normal = NormalDist()
    below = np.array([normal.cdf((k + 0.5) / sigma) for k in draws.tolist()])
    steps = np.arange(draws.size + 1) / draws.size
    largest = max(np.abs(below - steps[1:]).max(), np.abs(below - steps[:-1]).max())
    assert largest < math.sqrt(math.log(2 / 1e-7) / (2 * draws.size))


def test_variances_above_a_whole_are_drawn_as_sums():
    variance = 2.0**32
    draws = noise.skellam(variance, 20_000) / math.sqrt(variance)
    assert abs(draws.mean()) < 5.4 / math.sqrt(draws.size)
    assert abs(np.square(draws).mean() - 1) < 5.4 * math.sqrt(2 / draws.size)
    assert isinstance(noise.skellam(variance), int)


def test_a_wrong_distribution_is_noticed():
    draws = noise.discrete_gaussian(12.5 * 0.97, DRAWS)
    assert chi_square_excess(draws, oracle.discrete_gaussian_pmf(12.5, -120, 120), -120) > 5.2


@pytest.mark.parametrize("sigma", [1e3, 1e6, 123456789.125, 2.0**48])
def test_large_gaussians_have_the_right_moments(sigma):
    draws = noise.discrete_gaussian(sigma, DRAWS) / sigma
    # 5.4 standard deviations of each estimate: a false alarm below 1e-7.
    assert abs(draws.mean()) < 5.4 / math.sqrt(DRAWS)
    assert abs(np.square(draws).mean() - 1) < 5.4 * math.sqrt(2 / DRAWS)
    assert abs((draws**4).mean() - 3) < 5.4 * math.sqrt(96 / DRAWS)


def test_large_laplace_has_the_right_moments():
    draws = noise.discrete_laplace(1e6 + 0.5, DRAWS) / (1e6 + 0.5)
    assert abs(draws.mean()) < 5.4 * math.sqrt(2 / DRAWS)
    assert abs(np.abs(draws).mean() - 1) < 5.4 / math.sqrt(DRAWS)
    assert abs(np.square(draws).mean() - 2) < 5.4 * math.sqrt(20 / DRAWS)


def test_parameters_are_taken_as_the_rational_numbers_that_they_are():
    draws = noise.discrete_laplace(Fraction(10**20 + 1, 10**20), DRAWS)
    assert chi_square_excess(draws, oracle.discrete_laplace_pmf(1.0, -30, 30), -30) < 5.2


@given(st.fractions(min_value=0, max_value=50), st.sampled_from([64, 128, 192]))
def test_the_exact_exponential_is_enclosed(gamma, bits):
    import mpmath as mp

    low, high = exp_enclosure(gamma, bits)
    with mp.workdps(100):
        true = mp.exp(-mp.mpf(gamma.numerator) / gamma.denominator) * mp.mpf(2) ** bits
        assert low <= true <= high
    assert high - low <= 2


@pytest.mark.parametrize("draw", SAMPLERS)
def test_shapes_and_types_are_what_was_asked_for(draw):
    for size, shape in (
        (0, (0,)),
        (3, (3,)),
        ((), ()),
        ((2, 0, 3), (2, 0, 3)),
        ((4, 5), (4, 5)),
        (np.int64(2), (2,)),
    ):
        drawn = draw(3.0, size)
        assert drawn.shape == shape
        assert drawn.dtype == np.int64
        assert drawn.flags.c_contiguous
    assert type(draw(3.0)) is int


@pytest.mark.parametrize("draw", SAMPLERS)
def test_bad_arguments_are_refused(draw):
    for value in (0.0, -1.0, math.nan, math.inf, Fraction(-1, 2)):
        with pytest.raises(ValueError, match=r"must be (finite|positive)"):
            draw(value, 3)
    for value in ("1", None, True, 1j):
        with pytest.raises(TypeError):
            draw(value, 3)
    for size in (-1, (2, -1)):
        with pytest.raises(ValueError, match="size must not be negative"):
            draw(1.0, size)
    for size in (1.5, "3", True, [2, 3], (1.5,)):
        with pytest.raises(TypeError):
            draw(1.0, size)


@pytest.mark.parametrize("draw", SAMPLERS)
def test_a_parameter_too_large_for_int64_is_refused_before_drawing(draw, monkeypatch):
    monkeypatch.setattr(os, "urandom", None)
    with pytest.raises(OverflowError):
        draw(math.nextafter(noise.LARGEST_SCALE, math.inf), 3)


@pytest.mark.parametrize("draw", SAMPLERS)
def test_a_vanishing_parameter_draws_zeros(draw):
    assert not draw(1e-12, 1000).any()
    assert not draw(1e-300, 1000).any()
    assert not draw(Fraction(1, 10**400), 1000).any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_draws_other_noise():
    noise.discrete_gaussian(1e9, 4)
    read, write = os.pipe()
    # A bare fork and an immediate _exit: the child shares this process's memory and must still not repeat it.
    child = os.fork()
    if child == 0:
        os.write(write, noise.discrete_gaussian(1e9, 8).tobytes())
        os._exit(0)
    os.close(write)
    mine = noise.discrete_gaussian(1e9, 8)
    theirs = np.frombuffer(os.read(read, 64), dtype=np.int64)
    os.close(read)
    os.waitpid(child, 0)
    assert not np.intersect1d(mine, theirs).size


# --- The distributed discrete Gaussian


def test_many_shares_cost_like_one_gaussian_of_their_sum():
    event = dp.distributed_discrete_gaussian(sigma=50.0, contributors=20, sensitivity=100.0, dimension=10_000)
    assert event.rho == pytest.approx(100.0**2 / (2 * 20 * 50.0**2), rel=1e-12)


def test_little_noise_pays_for_the_sum_not_being_a_discrete_gaussian():
    sigma, n, sensitivity, d = 0.6, 8, 3.0, 100
    tau = 10 * math.fsum(math.exp(-2 * math.pi**2 * sigma**2 * k / (k + 1)) for k in range(1, n))
    x = sensitivity / (math.sqrt(n) * sigma)
    bounds = [
        x * x / 2 + tau * d,
        (x * x + 2 * 3 * x * tau + tau**2 * d) / 2,
        (x + tau * math.sqrt(d)) ** 2 / 2,
    ]
    assert dp.distributed_discrete_gaussian(sigma, n, sensitivity, d).rho == pytest.approx(
        min(bounds), rel=1e-12
    )


def test_the_bound_holds_for_the_sum_of_two_shares():
    """The Renyi divergence of the exact sum, by its definition, is below rho alpha."""
    sigma, reach = 0.7, 40
    single = np.array(oracle.discrete_gaussian_pmf(sigma, -reach, reach))
    total = np.convolve(single, single)
    rho = dp.distributed_discrete_gaussian(sigma, 2, 1.0, 1).rho
    for alpha in (1.5, 2.0, 4.0, 8.0):
        left, right = total[1:], total[:-1]
        use = (left > 1e-250) & (right > 1e-250)
        powers = alpha * np.log(left[use]) + (1 - alpha) * np.log(right[use])
        renyi = np.log(np.sum(np.exp(powers))) / (alpha - 1)
        assert renyi <= rho * alpha


@pytest.mark.parametrize("wrong", [(0.4, 2, 1.0, 1), (1.0, 0, 1.0, 1), (1.0, 2, 0.0, 1), (1.0, 2, 1.0, 0)])
def test_impossible_noise_shares_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        dp.distributed_discrete_gaussian(*wrong)
