"""The bounds enclose the truth: 50-digit integrals, exact sums, both directions, and faults that are noticed."""

import math
import random
from fractions import Fraction

import mpmath as mp
import pytest

from medcrypt import dp
from medcrypt._ext import dp as kernels
from medcrypt.dp import contour, tables
from medcrypt.dp.composition import Composition
from medcrypt.dp.contour import Line, Terms
from medcrypt.dp.discrete import DiscreteLoss
from medcrypt.dp.losses import SampledGaussianLoss
from medcrypt.dp.survey import Survey
from reference import privacy as oracle
from reference.contour import Privacy

# --- Random queries


def queries(count: int) -> list[tuple[float, float, int, float]]:
    """Sampled Gaussians of moderate cost: sigma, q, steps, delta."""
    rng, found = random.Random(20261122), []
    while len(found) < count:
        sigma, q = 10 ** rng.uniform(-0.2, 1.3), 10 ** rng.uniform(-3.0, -0.3)
        # The spread of the whole loss, about mu of the limiting Gaussian.
        mu = 10 ** rng.uniform(-0.5, 0.7)
        steps = round((mu / (q * math.sqrt(math.expm1(1 / sigma**2)))) ** 2)
        if 20 <= steps <= 10**9:
            found.append((sigma, q, steps, 10 ** rng.uniform(-12.0, -2.0)))
    return found


def bounds(sigma: float, q: float, steps: int, delta: float) -> tuple[float, float]:
    """Return epsilon's bounds, which must be narrow."""
    low, high = dp.Accountant().compose(dp.PoissonSampled(q, dp.Gaussian(sigma)), steps).epsilon_bounds(delta)
    assert high - low <= 1e-6 * min(1.0, high)
    return low, high


def holds(sigma: float, q: float, steps: int, delta: float, low: float, high: float) -> bool:
    """Tell whether the truth, the larger of both directions, lies between two bounds of epsilon."""
    curves = [Privacy(sigma, q, steps, removing=way, epsilon=high) for way in (True, False)]
    return max(curve.delta(high) for curve in curves) <= delta <= max(curve.delta(low) for curve in curves)


def enclosed(sigma: float, q: float, steps: int, delta: float) -> bool:
    return holds(sigma, q, steps, delta, *bounds(sigma, q, steps, delta))


def check(query: tuple[float, float, int, float]) -> None:
    low, high = bounds(*query)  # here an error is a failure: only the oracle may give up
    try:
        assert holds(*query, low, high)
    except ArithmeticError:
        pytest.skip("the oracle's own line is too long")


@pytest.mark.parametrize("query", queries(30))
def test_random_queries_are_enclosed(query):
    check(query)


@pytest.mark.long
@pytest.mark.parametrize("query", queries(1000)[30:])
def test_a_thousand_random_queries_are_enclosed(query):
    check(query)


@pytest.mark.parametrize("removing", [True, False])
@pytest.mark.parametrize(
    ("sigma", "q", "steps", "epsilon"), [(1.0, 0.01, 1000, 1.5), (2.0, 0.1, 50, 1.0), (4.0, 0.02, 10**5, 9.0)]
)
def test_each_direction_is_enclosed_on_its_own(sigma, q, steps, epsilon, removing):
    whole = Composition([SampledGaussianLoss(sigma, q, removing)])
    whole.run([steps])
    low, high = whole.log_delta_bounds(epsilon)
    true = float(mp.log(Privacy(sigma, q, steps, removing=removing, epsilon=epsilon).delta(epsilon)))
    assert low <= true <= high
    assert high - low <= 1e-8


def test_the_gaussian_is_enclosed_to_60_digits():
    for mu in (1e-5, 0.02, 1.0, 7.0, 300.0):
        for width in (0.1, 3.0, 15.0, 30.0):
            epsilon = mu * width + 0.5 * mu * mu
            low, high = dp.Accountant().compose(dp.Gaussian(1.0 / mu)).delta_bounds(epsilon)
            with mp.workdps(60):
                true = oracle.gaussian_delta(1 / mp.mpf(1.0 / mu), epsilon)
                assert low <= true <= high
            assert high <= low * (1 + 1e-9)


# --- Planted faults: every one must push the truth out of the bounds, or the bounds apart

CASE = (1.0, 0.01, 1000, 1e-5)


def test_the_case_of_the_faults_is_enclosed_without_one():
    assert enclosed(*CASE)


def test_a_sigma_off_by_a_thousandth_is_caught(monkeypatch):
    monkeypatch.setattr(
        tables.kernels,
        "table",
        lambda sigma, *rest, honest=kernels.table: honest(0.999 * sigma, *rest),
    )
    assert not enclosed(*CASE)


def test_a_dropped_direction_is_caught(monkeypatch):
    monkeypatch.setattr(
        dp.Accountant,
        "_directions",
        lambda self, *arguments, honest=dp.Accountant._directions: honest(self, *arguments)[1:],
    )
    assert not enclosed(*CASE)


def test_the_larger_direction_step_by_step_would_be_caught(monkeypatch):
    """Taking the other direction's mechanism for half of the steps describes neither."""
    honest = dp.Accountant._directions

    def mixed(self, *arguments):
        one, _ = honest(self, *arguments)
        both = Composition([SampledGaussianLoss(1.0, 0.01, True), SampledGaussianLoss(1.0, 0.01, False)])
        both.run([500, 500])
        del one
        return [both]

    monkeypatch.setattr(dp.Accountant, "_directions", mixed)
    assert not enclosed(*CASE)


def test_a_missing_alias_term_is_caught(monkeypatch):
    # Nodes so far apart that the aliases count.
    monkeypatch.setattr(contour, "_ALIAS_DIGITS", 3.0)
    loss, epsilon = SampledGaussianLoss(1.0, 0.01, True), 1.8
    true = float(mp.log(Privacy(1.0, 0.01, 1000, removing=True, epsilon=epsilon).delta(epsilon)))
    reach = 9.0
    survey = Survey.of([(loss, 1000)], reach)
    line = Line(Terms.of([(loss, 1000)], reach), survey, survey.saddle_at_epsilon(epsilon))
    low, high = line.bounds(epsilon)
    assert low <= true <= high
    assert high - low > 1e-4
    honest = line.charges(epsilon)
    assert honest.aliases_below + honest.aliases_above > 10 * honest.rounding
    without = honest._replace(aliases_below=0.0, aliases_above=0.0)
    monkeypatch.setattr(Line, "charges", lambda self, epsilon: without)
    low, high = line.bounds(epsilon)
    assert not low <= true <= high


def test_a_line_cut_short_without_charge_is_caught(monkeypatch):
    loss, epsilon = SampledGaussianLoss(1.0, 0.01, True), 1.8
    true = float(mp.log(Privacy(1.0, 0.01, 1000, removing=True, epsilon=epsilon).delta(epsilon)))
    monkeypatch.setattr(contour, "_TAIL_DIGITS", 1.0)
    survey = Survey.of([(loss, 1000)], 9.0)
    line = Line(Terms.of([(loss, 1000)], 9.0), survey, survey.saddle_at_epsilon(epsilon))
    low, high = line.bounds(epsilon)
    assert low <= true <= high
    line._tail = 0.0
    line._weights[1, line.count // 2 :] += math.pi
    low, high = line.bounds(epsilon)
    assert not low <= true <= high


def test_outputs_left_out_without_charge_are_caught(monkeypatch):
    loss, epsilon, reach = SampledGaussianLoss(1.0, 0.01, True), 1.8, 4.5
    true = float(mp.log(Privacy(1.0, 0.01, 1000, removing=True, epsilon=epsilon).delta(epsilon)))
    survey = Survey.of([(loss, 1000)], reach)
    saddle = survey.saddle_at_epsilon(epsilon)
    low, high = Line(Terms.of([(loss, 1000)], reach), survey, saddle).bounds(epsilon)
    assert low <= true <= high
    for module in (tables, contour):
        monkeypatch.setattr(module, "mass_beyond", lambda deviations: 0.0)
    low, high = Line(Terms.of([(loss, 1000)], reach), survey, saddle).bounds(epsilon)
    assert not low <= true <= high


# --- Few Laplace mechanisms, and small discrete ones by brute force


@pytest.mark.parametrize(("scale", "count"), [(1.0, 2), (0.5, 3), (5.0, 4)])
@pytest.mark.parametrize("share", [0.0, 0.4, 0.97])
def test_few_laplace_mechanisms_are_enclosed(scale, count, share):
    epsilon = share * count / scale
    true = oracle.laplace_composition_delta(scale, count, epsilon)
    low, high = dp.Accountant().compose(dp.Laplace(scale), count).delta_bounds(epsilon)
    assert low <= true <= high
    assert high <= low * (1 + 1e-7)


def brute_force(points: list[tuple[Fraction, Fraction]], count: int, scale: Fraction) -> Fraction:
    """Delta at e^epsilon = scale of ``count`` releases, from exact pairs (P, Q) of every output."""
    pairs = [(Fraction(1), Fraction(1))]
    for _ in range(count):
        pairs = [(a * p, b * q) for a, b in pairs for p, q in points]
    return sum((max(p - scale * q, Fraction(0)) for p, q in pairs), Fraction(0))


@pytest.mark.parametrize("count", [1, 2, 4, 6])
@pytest.mark.parametrize("scale", [Fraction(1), Fraction(5, 4), Fraction(3)])
def test_three_answers_are_enclosed_by_brute_force(count, scale):
    points = [
        (Fraction(1, 2), Fraction(1, 4)),
        (Fraction(1, 4), Fraction(1, 2)),
        (Fraction(1, 4), Fraction(1, 4)),
    ]
    losses = [math.log(p / q) for p, q in points]
    masses = [math.log(p) for p, _ in points]
    loss = DiscreteLoss(
        contour.np.array(losses), contour.np.array(masses), spacing=math.log(2), loss_error=1e-16
    )
    whole = Composition([loss])
    whole.run([count])
    true = brute_force(points, count, scale)
    low, high = whole.log_delta_bounds(math.log(scale))
    assert math.exp(low) <= true * (1 + Fraction(1, 10**15))
    assert math.exp(high) >= true * (1 - Fraction(1, 10**15))


def test_adaptive_composition_costs_no_more_than_the_bound():
    """The second answer's mechanism may depend on the first answer: still within the curve of two."""
    strong = [(Fraction(2, 3), Fraction(1, 3)), (Fraction(1, 3), Fraction(2, 3))]
    weak = [(Fraction(3, 5), Fraction(2, 5)), (Fraction(2, 5), Fraction(3, 5))]
    for scale in (Fraction(1), Fraction(3, 2), Fraction(5, 2)):
        worst = Fraction(0)
        for second in ((strong, weak), (weak, strong), (strong, strong)):
            pairs = [(a * p, b * q) for (a, b), then in zip(strong, second, strict=True) for p, q in then]
            worst = max(worst, sum((max(p - scale * q, Fraction(0)) for p, q in pairs), Fraction(0)))
        bound = dp.Accountant().compose(dp.PureDP(math.log(2)), 2).delta(math.log(scale))
        assert worst <= Fraction(bound) * (1 + Fraction(1, 10**12))


@pytest.mark.parametrize(("loss", "count", "epsilon"), [(0.5, 1, 0.2), (0.1, 100, 1.234), (1.0, 7, 6.5)])
def test_randomised_responses_are_enclosed_by_the_binomial_sum(loss, count, epsilon):
    with mp.workdps(40):
        true, likely = mp.mpf(0), 1 / (1 + mp.exp(-mp.mpf(loss)))
        for k in range(count + 1):
            gap = epsilon - (2 * k - count) * mp.mpf(loss)
            if gap < 0:
                true += math.comb(count, k) * likely**k * (1 - likely) ** (count - k) * -mp.expm1(gap)
    accountant = dp.Accountant().compose(dp.PureDP(loss), count)
    low, high = accountant.delta_bounds(epsilon)
    assert low <= true <= high <= low * (1 + 1e-8)
    low, high = accountant.epsilon_bounds(float(true))
    assert low <= epsilon * (1 + 1e-15)
    assert high >= epsilon * (1 - 1e-15)
    assert high - low <= 1e-8


def test_what_is_revealed_counts_fully():
    accountant = dp.Accountant().compose(dp.ApproximateDP(0.1, 1e-6), 3)
    revealed = 1 - (1 - Fraction(1, 10**6)) ** 3
    low, high = accountant.delta_bounds(0.25)
    finite = dp.Accountant().compose(dp.PureDP(0.1), 3).delta_bounds(0.25)
    assert low <= revealed + (1 - revealed) * Fraction(finite[1])
    assert high >= revealed + (1 - revealed) * Fraction(finite[0])
    assert high <= low * (1 + 1e-8)
    assert accountant.epsilon_bounds(2e-6) == (math.inf, math.inf)


def test_wide_discrete_gaussians_approach_the_gaussian():
    low, high = dp.Accountant().compose(dp.DiscreteGaussian(100.0), 1000).epsilon_bounds(1e-6)
    limit = dp.Accountant().compose(dp.Gaussian(100.0), 1000).epsilon(1e-6)
    assert high - low <= 1e-8
    assert abs(low - limit) <= 1e-4
