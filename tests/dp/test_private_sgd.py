"""DP-SGD: exact clipping beside gradients taken one by one, the stated sensitivity, noise that is paid for."""

import math
import sys
from fractions import Fraction
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp import sgd
from medcrypt.errors import BudgetError

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
import tiny_nn

SILENT = 1e-9
FULL = sgd.PoissonSampler(1, 1.0)


def private_of(sampler, **options):
    """A private gradient; where the sampler fixes no batch size, one is stated: 1 for `FULL`."""
    stated = (
        {} if sampler.public_size else {"expected_batch_size": sampler.population * sampler.sampling_rate}
    )
    return sgd.PrivateGradient(sampler, **(stated | options))


def layers_of(kind, rng, n):
    """A layer of n samples."""
    match kind:
        case "dense":
            return sgd.Dense(rng.normal(size=(n, 5)), rng.normal(size=(n, 3)))
        case "dense without bias":
            return sgd.Dense(rng.normal(size=(n, 5)), rng.normal(size=(n, 3)), bias=False)
        case "sequence":
            return sgd.SequenceDense(rng.normal(size=(n, 4, 5)), rng.normal(size=(n, 4, 3)))
        case "convolution":
            x, dy = rng.normal(size=(n, 2, 6, 7)), rng.normal(size=(n, 3, 3, 4))
            return sgd.Convolution(x, dy, (3, 3), stride=2, padding=1)
        case "group norm":
            return sgd.GroupNorm(rng.normal(size=(n, 4, 3, 3)), rng.normal(size=(n, 4, 3, 3)))
        case "embedding":
            return sgd.Embedding(rng.integers(0, 4, (n, 6)), rng.normal(size=(n, 6, 3)), rows=4)
    return sgd.PerSample(rng.normal(size=(n, 4)), rng.normal(size=(n, 2, 3)))


KINDS = ("dense", "dense without bias", "sequence", "convolution", "group norm", "embedding", "per sample")


def each_gradient(layer):
    """The gradient of each sample, by weights that select one."""
    eye = np.eye(layer.samples)
    return [np.concatenate([g.ravel() for g in layer.weighted_sums(row)]) for row in eye]


@pytest.mark.parametrize("kind", KINDS)
def test_the_squared_norms_are_tight_upper_bounds(kind):
    layer = layers_of(kind, np.random.default_rng(1), 7)
    for bound, gradient in zip(layer.squared_norms(), each_gradient(layer), strict=True):
        exact = sum(Fraction(g) ** 2 for g in gradient.tolist())
        assert bound == pytest.approx(float(exact), rel=1e-12)
        # A product of two numbers is rounded once when it is looked at, hence the last factor.
        assert Fraction(float(bound)) * (1 + Fraction(1, 2**50)) >= exact


@pytest.mark.parametrize("kind", KINDS)
def test_the_weighted_sum_is_the_sum_of_the_weighted_gradients(kind):
    rng = np.random.default_rng(2)
    layer = layers_of(kind, rng, 6)
    factors = rng.random(6)
    whole = np.concatenate([g.ravel() for g in layer.weighted_sums(factors)])
    singly = sum(f * g for f, g in zip(factors, each_gradient(layer), strict=True))
    assert whole == pytest.approx(singly, abs=1e-13)
    assert [g.shape for g in layer.weighted_sums(factors)] == [tuple(shape) for shape in layer.shapes]


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_has_shapes_and_sums_of_zero(kind):
    layer = layers_of(kind, np.random.default_rng(3), 0)
    assert layer.samples == 0
    assert layer.squared_norms().shape == (0,)
    assert not any(g.any() for g in layer.weighted_sums(np.zeros(0)))


def test_the_layers_of_a_network_have_the_gradients_of_its_loss():
    """Beside finite differences of each sample's own loss."""
    rng = np.random.default_rng(4)
    net = tiny_nn.Network(
        [
            tiny_nn.Convolution(1, 2, 3, rng, stride=2, padding=1),
            tiny_nn.GroupNorm(2, 2),
            tiny_nn.ReLU(),
            tiny_nn.Convolution(2, 2, 2, rng),
            tiny_nn.Flatten(),
            tiny_nn.Dense(8, 3, rng),
        ]
    )
    x, labels = rng.normal(size=(3, 1, 6, 6)), np.array([0, 2, 1])

    def losses():
        scores = net.forward(x)
        return np.log(np.exp(scores).sum(axis=1)) - scores[np.arange(3), labels]

    layers = net.private(x, labels)
    made = [[g.copy() for layer in layers for g in layer.weighted_sums(row)] for row in np.eye(3)]
    for place, parameter in enumerate(net.parameters):
        for index in list(np.ndindex(parameter.shape))[:7]:
            kept = parameter[index]
            parameter[index] = kept + 1e-5
            above = losses()
            parameter[index] = kept - 1e-5
            slope = (above - losses()) / 2e-5
            parameter[index] = kept
            assert [m[place][index] for m in made] == pytest.approx(slope, abs=1e-7)


@given(
    st.sampled_from(KINDS),
    st.integers(1, 6),
    st.floats(0.01, 10.0),
    st.floats(1e-3, 1e3),
    st.sampled_from(["add", "replace"]),
    st.integers(0, 2**32),
)
def test_a_neighbour_moves_the_integers_by_at_most_the_sensitivity(kind, n, clip, scale, relation, seed):
    rng = np.random.default_rng(seed)
    gradients = [scale * g for g in each_gradient(layers_of(kind, rng, n + 1))]
    sampler = FULL if relation == "add" else sgd.FixedSizeSampler(max(n, 1), max(n, 1))

    def lattice(samples):
        private = private_of(sampler, clip=clip, noise_multiplier=SILENT)
        private.add([sgd.PerSample(np.array(samples))])
        step = private._granularity()
        return np.rint(private._sum / step).astype(np.int64), Fraction(step), Fraction(private.sensitivity())

    whole, step, sensitivity = lattice(gradients[:n])
    other, _, _ = lattice(
        gradients[: n - 1] if relation == "add" and n > 1 else [*gradients[1:n], gradients[n]]
    )
    allowed = sensitivity if relation == "add" and n > 1 else 2 * sensitivity
    assert sum(int(k) ** 2 for k in whole - other) * step**2 <= allowed**2


def test_the_sensitivity_is_the_clip_and_little_more():
    layer = layers_of("dense", np.random.default_rng(5), 4)
    for sampler, factor in ((FULL, 1.0), (sgd.FixedSizeSampler(10, 4), 2.0)):
        private = private_of(sampler, clip=3.0, noise_multiplier=1.0)
        private.add([layer])
        assert 3.0 * factor < private.sensitivity() < 3.0 * factor * 1.00002


def test_short_gradients_pass_and_long_ones_are_shortened():
    private = private_of(FULL, clip=1.0, noise_multiplier=SILENT)
    [mean] = private.step([sgd.PerSample([[0.3, 0.4], [30.0, -40.0]])])
    assert mean == pytest.approx([0.9, -0.4], abs=1e-4)


def test_clips_of_layers_hold_for_each_layer():
    private = private_of(FULL, clip=[1.0, 0.1], noise_multiplier=SILENT)
    first, second = private.step([sgd.PerSample([[3.0, 4.0]]), sgd.PerSample([[3.0, 4.0]])])
    assert first == pytest.approx([0.6, 0.8], abs=1e-4)
    assert second == pytest.approx([0.06, 0.08], abs=1e-4)
    assert private.clip == pytest.approx(math.hypot(1.0, 0.1))
    fresh = private_of(FULL, clip=[1.0, 0.1], noise_multiplier=1.0)
    with pytest.raises(ValueError, match="2 clips are given for 1 layers"):
        fresh.add([sgd.PerSample([[1.0]])])


def test_parts_of_a_batch_add_up():
    rng = np.random.default_rng(6)
    gradients = rng.normal(size=(10, 4))
    private = private_of(FULL, clip=1.0, noise_multiplier=SILENT)
    [whole] = private.step([sgd.PerSample(gradients)])
    for part in (gradients[:3], gradients[3:3], gradients[3:]):
        private.add([sgd.PerSample(part)])
    [parts] = private.release()
    assert parts == pytest.approx(whole, abs=1e-4)


@pytest.mark.parametrize(
    ("sampler", "factor"), [(sgd.PoissonSampler(4, 1.0), 1), (sgd.FixedSizeSampler(4, 4), 2)]
)
def test_the_noise_has_the_stated_spread(sampler, factor):
    private = private_of(sampler, clip=3.0, noise_multiplier=0.7)
    [mean] = private.step([sgd.PerSample(np.zeros((4, 20_000)))])
    assert (
        abs(np.square(mean * 4).mean() / (0.7 * 3.0 * factor) ** 2 - 1.0) < 5.4 * math.sqrt(2 / 20_000) + 1e-4
    )
    assert private.draws == 20_000
    assert 0 < private.charge(1.0) < 1e-25


def test_every_step_is_paid_before_it_is_drawn(monkeypatch):
    accountant = dp.Accountant()
    sampler = sgd.PoissonSampler(100, 0.1)
    private = private_of(sampler, clip=1.0, noise_multiplier=1.5, accountant=accountant)
    for _ in range(3):
        private.step([sgd.PerSample(np.zeros((0, 2)))])
    assert accountant.events == ((dp.PoissonSampled(0.1, dp.Gaussian(1.5)), 3),)
    budget = dp.Filter(epsilon=1.0, delta=1e-5, kind="renyi")
    private = private_of(sampler, clip=1.0, noise_multiplier=0.3, accountant=budget)
    monkeypatch.setattr("os.urandom", None)
    with pytest.raises(BudgetError):
        private.step([sgd.PerSample(np.zeros((0, 2)))])


def test_a_sampling_scheme_and_an_accountant_must_agree():
    with pytest.raises(ValueError, match="replace_one"):
        private_of(sgd.FixedSizeSampler(10, 2), clip=1.0, noise_multiplier=1.0, accountant=dp.Accountant())
    event = private_of(sgd.FixedSizeSampler(10, 2), clip=1.0, noise_multiplier=1.0).event
    assert event == dp.SampledWithoutReplacement(2, 10, dp.Gaussian(1.0))


def test_poisson_samples_have_their_rate_and_fixed_ones_their_size():
    sampler = sgd.PoissonSampler(50_000, 0.03)
    indices = sampler.sample()
    assert abs(len(indices) - 1500) < 5.4 * math.sqrt(1500)
    assert np.all(np.diff(indices) > 0)
    fixed = sgd.FixedSizeSampler(50, 7).sample()
    assert len(set(fixed.tolist())) == 7
    counts = np.bincount(
        np.concatenate([sgd.FixedSizeSampler(10, 3).sample() for _ in range(2000)]), minlength=10
    )
    assert np.abs(counts - 600).max() < 5.4 * math.sqrt(600)


def test_an_adaptive_clip_finds_the_quantile_and_costs_what_the_event_says():
    rng = np.random.default_rng(7)
    norms = rng.uniform(1.0, 3.0, 1000)
    gradients = norms[:, None] * np.array([0.6, 0.8])
    private = private_of(
        sgd.PoissonSampler(1000, 1.0), clip=20.0, noise_multiplier=2.0, adaptive=sgd.AdaptiveClip(0.5)
    )
    for _ in range(60):
        private.step([sgd.PerSample(gradients)])
    assert 1.5 < private.clip < 2.5
    count, left = private._count_sigma, private._multiplier
    assert left**-2 + count**-2 == pytest.approx(2.0**-2, rel=1e-12)
    assert left**-2 + count**-2 <= 2.0**-2
    assert private.event == dp.Gaussian(2.0)
    assert private.draws == 60 * 3
    with pytest.raises(ValueError, match="nothing is left"):
        private_of(FULL, clip=1.0, noise_multiplier=2.0, adaptive=sgd.AdaptiveClip(noise_multiplier=2.0))


def test_training_moves_the_parameters_in_place_with_momentum():
    weight = np.zeros(2, dtype=np.float32)
    private = private_of(FULL, clip=9.0, noise_multiplier=SILENT)
    optimizer = sgd.DPOptimizer([weight], private, learning_rate=0.1, momentum=0.5)
    for _ in range(2):
        optimizer.step([sgd.PerSample([[1.0, -2.0]])])
    assert weight == pytest.approx([-0.25, 0.5], abs=1e-4)
    with pytest.raises(ValueError, match="shapes"):
        optimizer.step([sgd.PerSample([[1.0]])])
    with pytest.raises(TypeError):
        sgd.DPOptimizer([np.zeros(2, dtype=int)], private, learning_rate=0.1)


def test_bad_parameters_are_refused():
    for clip in (0.0, -1.0, math.nan, math.inf, [], [1.0, 0.0]):
        with pytest.raises(ValueError, match="clip"):
            private_of(FULL, clip=clip, noise_multiplier=1.0)
    for z in (0.0, math.nan):
        with pytest.raises(ValueError, match="noise_multiplier"):
            private_of(FULL, clip=1.0, noise_multiplier=z)
    for bad in ((0, 0.1), (10, 1.5), (10, math.nan), (10, 0.0)):
        with pytest.raises(ValueError, match="must"):
            sgd.PoissonSampler(*bad)
    with pytest.raises(ValueError, match="cannot be drawn"):
        sgd.FixedSizeSampler(3, 4)
    with pytest.raises(TypeError, match="Accountant"):
        private_of(FULL, clip=1.0, noise_multiplier=1.0, accountant="free")
    with pytest.raises(OverflowError):
        private_of(FULL, clip=1.0, noise_multiplier=1e9).step([sgd.PerSample(np.zeros((1, 1)))])


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_gradients_that_are_not_finite_are_refused_and_nothing_is_kept(bad):
    private = private_of(FULL, clip=1.0, noise_multiplier=1.0)
    x, dy = np.ones((2, 2)), np.ones((2, 2))
    x[1, 1] = bad
    for layer in (sgd.Dense(x, dy), sgd.Dense(dy, x, bias=False), sgd.PerSample(x), sgd.GroupNorm(x, dy)):
        with pytest.raises(ValueError, match="finite"):
            private.add([layer])
    with pytest.raises(ValueError, match="nothing was added"):
        private.release()


def test_wrong_shapes_and_batches_are_refused():
    for make in (
        lambda: sgd.Dense(np.ones((2, 3)), np.ones((3, 3))),
        lambda: sgd.SequenceDense(np.ones((2, 3, 4)), np.ones((2, 2, 4))),
        lambda: sgd.Convolution(np.ones((2, 1, 4, 4)), np.ones((2, 1, 4, 4)), (3, 3)),
        lambda: sgd.Convolution(np.ones((2, 1, 4, 4)), np.ones((2, 1, 1, 1)), (5, 5)),
        lambda: sgd.GroupNorm(np.ones((2, 3)), np.ones((2, 4))),
        lambda: sgd.Embedding([[0, 4]], np.ones((1, 2, 3)), rows=4),
        lambda: sgd.PerSample(np.ones((2, 1)), np.ones((3, 1))),
        sgd.PerSample,
    ):
        with pytest.raises(ValueError, match=r"must|fit|needs"):
            make()
    with pytest.raises(TypeError):
        sgd.Embedding([[0.5]], np.ones((1, 1, 3)), rows=4)
    with pytest.raises(TypeError):
        sgd.PerSample([["a"]])
    private = private_of(FULL, clip=1.0, noise_multiplier=1.0)
    private.add([sgd.PerSample(np.ones((2, 3)))])
    with pytest.raises(ValueError, match="shapes"):
        private.add([sgd.PerSample(np.ones((0, 4)))])


def test_a_network_learns_under_privacy():
    """Two clouds are told apart with epsilon below 1."""
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 2, 2000)
    x = rng.normal(size=(2000, 10)) + 1.5 * labels[:, None]
    net = tiny_nn.perceptron(10, 8, 2, seed=1)
    accountant, sampler = dp.Accountant(), sgd.PoissonSampler(2000, 0.05)
    private = private_of(sampler, clip=1.0, noise_multiplier=2.5, accountant=accountant)
    optimizer = sgd.DPOptimizer(net.parameters, private, learning_rate=0.5)
    for _ in range(60):
        batch = sampler.sample()
        optimizer.step(net.private(x[batch], labels[batch]))
    assert accountant.epsilon(1e-5) < 1.0
    assert (net.predict(x) == labels).mean() > 0.9


def test_the_number_of_records_reaches_no_output():
    """Whatever the population: the divisor, the largest batch and the spread of the count are the same."""
    seen = set()
    for population in (999, 1000, 1001, 10**9):
        private = sgd.PrivateGradient(
            sgd.PoissonSampler(population, 0.01),
            clip=1.0,
            noise_multiplier=SILENT,
            expected_batch_size=10,
            adaptive=sgd.AdaptiveClip(),
        )
        [mean] = private.step([sgd.PerSample([[0.5, 0.25]])])
        seen.add((*mean.round(5), private._max_batch, private._count_sigma, private._multiplier))
    assert len(seen) == 1
    assert next(iter(seen))[:2] == (0.05, 0.025)


def test_outputs_lie_on_the_lattice_over_the_public_size():
    private = sgd.PrivateGradient(
        sgd.PoissonSampler(1001, 0.01), clip=1.0, noise_multiplier=1.0, expected_batch_size=16
    )
    [mean] = private.step([sgd.PerSample(np.zeros((5, 8)))])
    steps = mean * 16 / private._granularity()
    assert (steps == np.rint(steps)).all()


def test_a_poisson_sampler_needs_a_public_size_and_a_fixed_one_has_it():
    with pytest.raises(ValueError, match="public constant"):
        sgd.PrivateGradient(sgd.PoissonSampler(100, 0.1), clip=1.0, noise_multiplier=1.0)
    with pytest.raises(ValueError, match="fixes the batch size"):
        private_of(sgd.FixedSizeSampler(10, 2), clip=1.0, noise_multiplier=1.0, expected_batch_size=2)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="expected_batch_size"):
            private_of(FULL, clip=1.0, noise_multiplier=1.0, expected_batch_size=bad)
    assert not hasattr(sgd.PoissonSampler(100, 0.1), "expected_size")


@pytest.mark.parametrize("size", [1e-3, 1.0, 100.0, 1e4, 1e6])
def test_a_largest_batch_that_chance_could_pass_is_refused(size):
    least = math.ceil(size + 10 * math.sqrt(size) + 34)
    sampler = sgd.PoissonSampler(10**9, 1e-3)
    options = {"clip": 1.0, "noise_multiplier": 1.0, "expected_batch_size": size}
    with pytest.raises(ValueError, match=f"max_batch must be at least {least}"):
        sgd.PrivateGradient(sampler, max_batch=least - 1, **options)
    private = sgd.PrivateGradient(sampler, max_batch=least, **options)
    exact = mp.gammainc(least + 1, 0, size, regularized=True)  # P[Poisson(size) > least]
    assert exact <= private._excess_probability() < 2.0**-72
    with pytest.raises(ValueError, match="max_batch must be at least 4"):
        private_of(sgd.FixedSizeSampler(10, 4), clip=1.0, noise_multiplier=1.0, max_batch=3)


@pytest.mark.parametrize("parts", [[60], [45, 15], [44, 1, 0, 15]])
@pytest.mark.parametrize("clip", [1.0, [1.0]])
def test_samples_past_the_largest_batch_are_left_out_in_their_order(parts, clip):
    gradients = np.eye(60)
    private = private_of(FULL, clip=clip, noise_multiplier=SILENT, max_batch=45)
    start = 0
    for part in parts:
        private.add([sgd.PerSample(gradients[start : start + part])])
        start += part
    [mean] = private.release()
    assert mean[:45] == pytest.approx(1.0, abs=1e-4)
    assert mean[45:] == pytest.approx(0.0, abs=1e-4)


def test_an_adaptive_clip_counts_only_the_samples_that_are_taken():
    private = private_of(FULL, clip=1.0, noise_multiplier=1.0, max_batch=45, adaptive=sgd.AdaptiveClip())
    private.add([sgd.PerSample(np.concatenate([np.zeros((40, 1)), np.full((20, 1), 9.0)]))])
    assert private._within == 40 - 5


def test_the_chance_of_a_larger_batch_is_charged():
    sampler = sgd.PoissonSampler(10**6, 1e-3)
    tight = private_of(sampler, clip=1.0, noise_multiplier=1.0, max_batch=1351)
    wide = private_of(sampler, clip=1.0, noise_multiplier=1.0)
    for private in (tight, wide):
        for _ in range(3):
            private.step([sgd.PerSample(np.zeros((0, 2)))])
    assert tight.charge(1.0) - wide.charge(1.0) == pytest.approx(
        3 * (1 + math.e) * math.exp(-(351**2) / (2 * (1000 + 117))), rel=1e-6
    )
