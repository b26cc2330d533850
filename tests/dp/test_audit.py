"""Audits: exact intervals and p-values, sound mechanisms pass, planted faults are found."""

import math
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp import audit, noise, sgd
from medcrypt.dp.audit.laws import cumulative


def exact_tail(successes, trials, p):
    """P[X >= successes] by summing the definition in 60 digits."""
    with mp.workdps(60):
        p = mp.mpf(p)
        terms = (
            mp.binomial(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(successes, trials + 1)
        )
        return mp.fsum(terms)


@given(st.integers(0, 60), st.integers(0, 60), st.floats(1e-6, 1 - 1e-6))
def test_binomial_tails_are_exact(successes, more, p):
    trials = successes + more
    true = exact_tail(successes, trials, p)
    assert abs(audit.binomial_tail(successes, trials, p) - true) <= 1e-8 * true + 1e-14


@pytest.mark.parametrize(
    ("successes", "trials", "p"), [(600_500, 10**6, 0.6), (610_000, 10**6, 0.6), (40, 10**6, 1e-6)]
)
def test_binomial_tails_of_many_trials(successes, trials, p):
    with mp.workdps(40):
        term = (
            mp.binomial(trials, successes) * mp.mpf(p) ** successes * (1 - mp.mpf(p)) ** (trials - successes)
        )
        true = mp.mpf(0)
        for k in range(successes, trials):
            true += term
            term *= mp.mpf(trials - k) / (k + 1) * p / (1 - mp.mpf(p))
            if term < true * mp.mpf("1e-20"):
                break
    assert audit.binomial_tail(successes, trials, p) == pytest.approx(float(true), rel=1e-7)


@given(st.integers(1, 200), st.data(), st.sampled_from([0.5, 0.95, 1 - 1e-6]))
def test_the_ends_of_an_interval_have_tails_of_half_the_risk(trials, data, confidence):
    successes = data.draw(st.integers(0, trials))
    low, high = audit.clopper_pearson(successes, trials, confidence)
    half = 0.5 * (1 - confidence)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    if successes:
        assert exact_tail(successes, trials, low) == pytest.approx(half, rel=1e-4)
        assert exact_tail(successes, trials, low) <= half
    else:
        assert low == 0.0
    if successes < trials:
        assert exact_tail(trials - successes, trials, 1 - mp.mpf(high)) == pytest.approx(half, rel=1e-4)
    else:
        assert high == 1.0


def test_impossible_counts_are_refused():
    for wrong in ((5, 4), (0, 0)):
        with pytest.raises(ValueError, match="cannot come"):
            audit.clopper_pearson(*wrong)
    for confidence in (0.0, 1.0, math.nan):
        with pytest.raises(ValueError, match="confidence"):
            audit.clopper_pearson(1, 2, confidence)
    with pytest.raises(ValueError, match="probability"):
        audit.binomial_tail(1, 2, 1.5)


# --- One run


@given(st.integers(1, 40), st.data(), st.floats(0, 5), st.sampled_from([0.0, 1e-5, 0.01]))
def test_the_p_value_of_one_run_is_that_of_the_paper(guesses, data, epsilon, delta):
    correct = data.draw(st.integers(0, guesses))
    canaries = guesses + data.draw(st.integers(0, 50))
    p = 1 / (1 + math.exp(-epsilon))
    beta = exact_tail(correct, guesses, p)
    steepest = max(
        ((exact_tail(max(correct - i, 0), guesses, p) - beta) / i for i in range(1, correct + 1)),
        default=0,
    )
    expected = min(1.0, float(beta + 2 * canaries * delta * steepest))
    assert audit.one_run_p_value(canaries, guesses, correct, epsilon, delta) == pytest.approx(
        expected, rel=1e-6, abs=1e-12
    )


def test_the_epsilon_of_one_run_is_where_the_p_value_reaches_the_level():
    epsilon = audit.one_run_epsilon(500, 200, 180, delta=1e-6, confidence=0.99)
    assert audit.one_run_p_value(500, 200, 180, epsilon, 1e-6) <= 0.01
    assert audit.one_run_p_value(500, 200, 180, epsilon + 1e-4, 1e-6) > 0.01
    assert audit.one_run_epsilon(500, 200, 100, delta=0.0) == 0.0


def test_guesses_abstain_in_the_middle():
    scores, coins = [5.0, 1.0, 3.0, 2.0, 4.0], [True, True, False, False, True]
    assert audit.one_run_guesses(scores, coins, 2) == 1
    assert audit.one_run_guesses(scores, coins, 4) == 3
    for wrong in (3, 6):
        with pytest.raises(ValueError, match="even"):
            audit.one_run_guesses(scores, coins, wrong)
    with pytest.raises(ValueError, match="shape"):
        audit.one_run_guesses([math.nan, 1.0], [True, False], 2)


def one_training(multiplier, canaries=400, steps=4):
    """Train a mean on orthogonal canaries with noise, and score each by what the released steps say of it."""
    coins = audit.canary_coins(canaries)
    private = sgd.PrivateGradient(
        sgd.PoissonSampler(canaries, 1.0), clip=1.0, noise_multiplier=multiplier, expected_batch_size=canaries
    )
    gradients = np.eye(canaries)[coins]
    scores = sum(private.step([sgd.PerSample(gradients)])[0] for _ in range(steps))
    correct = audit.one_run_guesses(scores, coins, guesses=100)
    return audit.one_run_epsilon(canaries, 100, correct, delta=1e-9, confidence=1 - 1e-6)


def test_one_run_of_private_training_proves_no_more_than_its_epsilon():
    claimed = dp.Accountant().compose(dp.Gaussian(4.0), 4).epsilon(1e-9)
    assert one_training(4.0) <= claimed


def test_one_run_of_training_with_too_little_noise_proves_it():
    claimed = dp.Accountant().compose(dp.Gaussian(16.0), 4).epsilon(1e-9)
    assert one_training(0.2) > claimed


# --- Membership


def test_a_membership_curve_is_that_of_its_definition():
    rng = np.random.default_rng(1)
    members, others = rng.integers(0, 8, 50) + 1.0, rng.integers(0, 8, 40) + 0.0
    curve = audit.membership_curve(members, others)
    pairs = [(m > o) + 0.5 * (m == o) for m in members for o in others]
    assert curve.area == pytest.approx(np.mean(pairs))
    for t in range(9):
        accused = (others >= t).mean()
        assert curve.true_positive_rate(accused) == pytest.approx((members >= t).mean())
    bands = curve.bands(0.9)
    assert np.all((bands[:, 0] <= curve.true_positives) & (curve.true_positives <= bands[:, 1]))
    assert curve.advantage == pytest.approx(
        max((members >= t).mean() - (others >= t).mean() for t in range(9))
    )
    for wrong in (([], [1.0]), ([1.0], [math.nan])):
        with pytest.raises(ValueError, match="scores"):
            audit.membership_curve(*wrong)


# --- Mechanisms that are sound


SOUND = [
    dp.GaussianMechanism(1.0, clip=1.0),
    dp.GaussianMechanism(0.5, clip=3.0, shape=5, neighbors="replace_one"),
    dp.GaussianMechanism(2.0, clip=1.0, shape=3, norm="linf"),
    dp.GaussianMechanism(1.0, clip=4, granularity=1, law="discrete"),
    dp.LaplaceMechanism(1.0, clip=1.0),
    dp.LaplaceMechanism(2.0, clip=2, shape=4, granularity=1),
    dp.SkellamMechanism(1.0, clip=3, granularity=1),
    dp.SkellamMechanism(1.0, clip=1.0, shape=2),
    dp.MeanMechanism(1.0, clip=1.0, shape=2, center=5.0),
    dp.MeanMechanism(1.0, clip=1.0, neighbors="replace_one"),
    dp.HistogramMechanism(range(5), scale=1.0),
    dp.HistogramMechanism(range(5), scale=1.0, neighbors="replace_one"),
    dp.CountMechanism(scale=0.5),
    dp.PrivateBinsMechanism(scale=1.0, delta=0.1),
    dp.PrivateBinsMechanism(scale=1.0, delta=1e-6, neighbors="replace_one"),
    dp.SparseVector(1.0, threshold=0.5, clip=1, granularity=1),
    dp.SparseVector(2.0, threshold=0.5, clip=1.0, positives=2, neighbors="replace_one"),
]


@pytest.mark.parametrize("mechanism", SOUND, ids=lambda m: f"{type(m).__name__} {m.event}"[:60])
def test_sound_mechanisms_pass(mechanism):
    report = audit.check(mechanism, trials=20_000, confidence=1 - 1e-8)
    assert report.passed, report.findings
    assert report.epsilon <= report.claimed or report.claimed == 0.0


def test_a_sound_quantile_passes():
    mechanism = dp.QuantileMechanism(0.5, 1.0, (0, 8), granularity=1)
    assert audit.check(mechanism, trials=3000, confidence=1 - 1e-8).passed


class DpSgd:
    """Three full-batch steps, as one mechanism."""

    neighbors = "add_or_remove_one"
    event = dp.Repeated(dp.Gaussian(1.5), 3)

    def __init__(self, noisy_steps=3):
        self._noisy = noisy_steps

    def worst_neighbors(self):
        return [(np.ones((1, 2)), np.zeros((0, 2)))]

    def release_many(self, records, count):
        outputs = []
        for _ in range(count):
            for step in range(3):
                z = 1.5 if step < self._noisy else 1e-9
                private = sgd.PrivateGradient(
                    sgd.PoissonSampler(1, 1.0), clip=1.0, noise_multiplier=z, expected_batch_size=1
                )
                outputs.append(private.step([sgd.PerSample(records)])[0])
        return np.array(outputs).reshape(count, 6)


def test_private_gradients_pass():
    assert audit.check(DpSgd(), trials=1000, confidence=1 - 1e-8).passed


# --- Planted faults


def found(mechanism, trials=100_000):
    """What the audit says of a mechanism."""
    return " ".join(audit.check(mechanism, trials=trials).findings)


def drawing(mechanism, draw):
    """The mechanism with another sampler inside."""
    original = mechanism._draw

    def drawn(parameter, size, out=None):
        values = draw(original, parameter, out.shape if out is not None else size)
        if out is None:
            return values
        out[...] = values
        return out

    mechanism._draw = drawn
    return mechanism


@pytest.mark.parametrize("multiplier", [0.5, 1.0, 4.0])
def test_noise_of_four_fifths_of_its_width_is_found(multiplier):
    mechanism = dp.GaussianMechanism(multiplier, clip=1.0)
    narrow = drawing(mechanism, lambda draw, sigma, size: draw(sigma * 8 / 10, size))
    findings = found(narrow, trials=round(50_000 * max(1.0, multiplier) ** 2))
    assert "tells neighbours apart" in findings
    assert "not of its law" in findings


def test_narrow_noise_is_found_by_outputs_alone():
    class Opaque:
        event, neighbors = dp.Laplace(1.0), "add_or_remove_one"
        inner = dp.LaplaceMechanism(0.8, clip=1.0)
        worst_neighbors, release_many = inner.worst_neighbors, inner.release_many

    assert "tells neighbours apart" in found(Opaque())


def test_noise_that_is_added_once_too_few_is_found():
    assert "tells neighbours apart" in found(DpSgd(noisy_steps=2), trials=1000)


def test_the_bias_of_a_modulo_is_found():
    def biased(draw, scale, size):
        """Inversion with a word of 8 bits modulo 100 as its uniform number."""
        count = int(np.prod(size))
        bits = noise.bernoulli(0.5, (count, 8)) @ (1 << np.arange(8))
        uniform = (bits % 100 + 0.5) / 100
        edges = [cumulative("discrete_laplace", float(scale), k) for k in range(-60, 61)]
        return (np.searchsorted(edges, uniform) - 60).reshape(size)

    assert "not of its law" in found(drawing(dp.LaplaceMechanism(3.0, clip=1, granularity=1), biased))


def test_low_bits_that_are_not_fair_are_found():
    even = drawing(dp.GaussianMechanism(1.0, clip=1.0), lambda draw, sigma, size: draw(sigma, size) & ~1)
    assert "odd" in found(even)


def test_clipping_after_the_noise_is_found():
    class ClippedLate(dp.GaussianMechanism):
        def release_many(self, records, count):
            total = np.sum(records, axis=0)
            sigma = self.standard_deviation / self.granularity
            noisy = total + noise.rounded_gaussian(sigma, count) * self.granularity
            return np.clip(noisy, -self.clip, self.clip)

    assert "tells neighbours apart" in found(ClippedLate(1.0, clip=1.0))


@pytest.mark.parametrize("relation", ["add_or_remove_one", "replace_one"])
def test_secret_bins_with_a_low_threshold_or_too_little_noise_are_found(relation):
    lower = dp.PrivateBinsMechanism(scale=1.0, delta=1e-3, neighbors=relation)
    lower.threshold -= 4
    assert "tells neighbours apart" in found(lower)
    narrower = dp.PrivateBinsMechanism(scale=1.0, delta=1e-3, neighbors=relation)
    narrower._scale = 0.4
    assert "tells neighbours apart" in found(narrower)


@pytest.mark.parametrize("relation", ["add_or_remove_one", "replace_one"])
def test_a_sparse_vector_that_compares_with_too_little_noise_is_found(relation):
    """Faults of published variants (Lyu, Su and Li 2017, Figure 1): exact answers, more answers than are paid for."""
    exact = dp.SparseVector(1.0, threshold=0.5, clip=1, granularity=1, neighbors=relation)
    exact._question = Fraction(1, 100)
    assert "tells neighbours apart" in found(exact)
    endless = dp.SparseVector(1.0, threshold=0.5, clip=1, granularity=1, neighbors=relation)
    endless._question, endless.positives = endless._question / 4, 4
    assert "tells neighbours apart" in found(endless)


def test_a_seed_that_is_used_again_is_found():
    def again(_draw, sigma, size):
        return noise.rounded_gaussian(sigma, size, generator=noise.ReproducibleGenerator(bytes(32)))

    assert "releases repeat" in found(drawing(dp.GaussianMechanism(1.0, clip=1.0), again))

    def coarsely_again(_draw, scale, size):
        return noise.discrete_laplace(scale, size, generator=noise.ReproducibleGenerator(bytes(32)))

    coarse = dp.LaplaceMechanism(1.0, clip=1, granularity=1)
    assert "releases repeat" in found(drawing(coarse, coarsely_again))


def test_floating_point_noise_is_found_by_its_low_bits():
    """The textbook Laplace mechanism, seen from outside (Mironov 2012)."""

    class Textbook:
        event, neighbors = dp.Laplace(4.0), "add_or_remove_one"

        def worst_neighbors(self):
            return [([1.0], [])]

        def release_many(self, records, count):
            return np.sum(records) + np.random.default_rng().laplace(0.0, 4.0, count)

    findings = found(Textbook())
    assert "the lowest bit of the output tells neighbours apart" in findings
    assert not any(finding.startswith("the output") for finding in audit.check(Textbook()).findings)


def test_floating_point_noise_is_found_off_the_lattice():
    class Floating(dp.LaplaceMechanism):
        def release_many(self, records, count):
            return np.sum(records) + np.random.default_rng().laplace(0.0, 1.0, count)

    assert "not multiples of the granularity" in found(Floating(1.0, clip=1.0))


@pytest.mark.parametrize(
    ("distribution", "parameter"), [("rounded_gaussian", 2.5), ("discrete_laplace", 3.0), ("skellam", 9.0)]
)
def test_the_laws_are_those_of_the_samplers(distribution, parameter):
    draws = getattr(noise, distribution)(parameter, 100_000)
    for k in range(-8, 9):
        p = cumulative(distribution, parameter, k)
        assert abs((draws <= k).mean() - p) < 5.4 * math.sqrt(p * (1 - p) / draws.size)
    assert cumulative(distribution, parameter, -10_000) == 0.0
    assert cumulative(distribution, parameter, 10_000) == pytest.approx(1.0, abs=1e-12)


def test_lower_bounds_on_epsilon_hold_and_are_near():
    mechanism = dp.LaplaceMechanism(1.0, clip=1.0)
    first, second = (mechanism.release_many(records, 200_000) for records in ([1.0], []))
    assert 0.85 < audit.epsilon_lower_bound(first, second, delta=0.0, confidence=1 - 1e-7) <= 1.0
    assert audit.epsilon_lower_bound(first, first[::-1], delta=1e-3, confidence=1 - 1e-7) <= 1e-9 + 0.0
    for wrong in (([1.0], [1.0] * 9), ([math.nan] * 9, [1.0] * 9)):
        with pytest.raises(ValueError, match="outputs"):
            audit.epsilon_lower_bound(*wrong, delta=0.0)


def test_bad_arguments_of_a_check_are_refused():
    mechanism = dp.GaussianMechanism(1.0, clip=1.0)
    with pytest.raises(ValueError, match="trials"):
        audit.check(mechanism, trials=10)
    with pytest.raises(ValueError, match="confidence"):
        audit.check(mechanism, confidence=1.0)
