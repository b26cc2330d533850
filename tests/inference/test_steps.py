"""Each layer under sharing gives the integers of the twin, in the rounds and bytes that it declares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import inference
from medcrypt.errors import CapacityError
from medcrypt.inference import (
    Argmax,
    AvgPool,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    MaxPool,
    ReLU,
    Residual,
    Sequential,
    Threshold,
)
from medcrypt.inference.sharing import from_fixed
from reference.inference import Network

BASE = 10


def shared(model, inputs):
    """Classes or scores under sharing, after checking rounds and bytes, and the definition in the clear."""
    compiled = model.compile(inputs.shape[1:])
    outputs, messages = inference.simulate(compiled.circuit, compiled.share(), inputs)
    costs = compiled.circuit.costs(len(inputs))
    assert len(messages) == sum(cost.rounds for cost in costs)
    assert sum(map(len, messages)) == sum(cost.sent for cost in costs)
    assert np.array_equal(outputs, compiled.predict(inputs))
    return outputs


def scores(layers, inputs, **options):
    return shared(Sequential(layers, fraction=BASE, reveal_scores=True, **options), inputs)


def twins(inputs, ways):
    """The twin's numbers for each input, as real ones."""
    networks = [ways(Network(one.tolist(), BASE)) for one in inputs]
    return np.array([from_fixed(np.array(n.numbers, np.int64), n.fraction) for n in networks])


def generator(seed=0):
    return np.random.default_rng(seed)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**32))
def test_dense_is_the_matrix_product(inputs, outputs, batch, seed):
    g = generator(seed)
    w, b, x = (
        g.standard_normal((inputs, outputs)),
        g.standard_normal(outputs),
        g.uniform(-8, 8, (batch, inputs)),
    )
    assert np.array_equal(scores([Dense(w, b)], x), twins(x, lambda n: n.dense(w, b)))


@given(st.data())
def test_convolution_takes_strides_padding_and_groups(data):
    groups, per_in, per_out = (data.draw(st.integers(1, 2)) for _ in range(3))
    size, kernel, stride, padding = (
        data.draw(st.integers(*ends)) for ends in ((3, 6), (1, 3), (1, 2), (0, 2))
    )
    g = generator(data.draw(st.integers(0, 2**32)))
    w = g.standard_normal((groups * per_out, per_in, kernel, kernel))
    b, x = g.standard_normal(groups * per_out), g.uniform(-8, 8, (2, groups * per_in, size, size + 1))
    layer = Conv2d(w, b, stride=stride, padding=padding, groups=groups)
    expected = twins(x, lambda n: n.conv(w.tolist(), b, stride, padding, groups))
    assert np.array_equal(scores([layer], x), expected)


def test_convolution_agrees_with_scipy_on_rectangles():
    signal = pytest.importorskip("scipy.signal")
    g = generator(3)
    w, x = np.round(g.standard_normal((3, 2, 2, 3)), 1), np.round(g.uniform(-8, 8, (1, 2, 5, 7)), 1)
    padded = np.pad(x[0], ((0, 0), (1, 1), (2, 2)))
    expected = np.stack(
        [sum(signal.correlate2d(p, f, "valid") for p, f in zip(padded, o, strict=True)) for o in w]
    )
    outputs = scores([Conv2d(w, stride=(2, 1), padding=(1, 2))], x)[0]
    assert np.allclose(outputs, expected[:, ::2], atol=0.1)


@pytest.mark.parametrize("truncate", [False, True])
def test_relu_keeps_what_is_positive(truncate):
    g = generator(4)
    x = np.concatenate(
        [g.uniform(-8, 8, (4, 9)), np.full((1, 9), 8.0), np.full((1, 9), -8.0), np.zeros((1, 9))]
    )
    x[3] = np.arange(-4, 5) * 2.0**-BASE
    w, b = np.eye(9) * 0.75, np.zeros(9)
    layers = [Dense(w, b), ReLU()] if truncate else [ReLU()]
    expected = twins(x, lambda n: (n.dense(w, b) if truncate else n).relu())
    assert np.array_equal(scores(layers, x), expected)


@pytest.mark.parametrize("limit", [2.0**-BASE, 0.1, 6, 7.9990234375, 8, 100])
@pytest.mark.parametrize("truncate", [False, True])
@pytest.mark.parametrize("clip", [8, 2**12])
def test_relu_with_a_limit_stops_there(truncate, limit, clip):
    units = np.arange(-3, 4) * 2.0**-BASE
    x = np.concatenate([np.linspace(-clip, clip, 23), units, limit + units, limit - units])
    x = np.clip(x, -clip, clip)[:, None]
    w, b = np.array([[0.75]]), np.array([2.0**-20])
    layers = [Dense(w, b), ReLU(limit)] if truncate else [ReLU(limit)]
    expected = twins(x, lambda n: (n.dense(w, b) if truncate else n).relu(limit))
    assert np.array_equal(scores(layers, x, clip=clip), expected)


def test_a_limit_keeps_a_deep_network_within_capacity():
    w = np.ones((4, 4))
    deep = [Dense(w), ReLU(4)] * 30
    x = generator(13).uniform(-8, 8, (3, 4))
    scores(deep, x)
    with pytest.raises(CapacityError):
        scores([Dense(w), ReLU()] * 30, x)


def test_a_division_rounds_to_the_nearest_and_ties_upwards():
    units = 2.0**-BASE
    x = np.arange(-6, 7)[:, None] * units
    outputs = scores([Dense([[0.5]]), Dense([[1.0]])], x)
    assert np.array_equal(outputs.ravel() / units, np.floor(np.arange(-6, 7) / 2 + 0.5))


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(1, 1, 0), (2, 2, 0), (2, 1, 1), (3, 3, 1), (3, 1, 0), (3, 2, 1), (4, 2, 2)],
)
def test_max_pool_finds_the_largest_of_each_window(size, stride, padding):
    x = generator(5).uniform(-8, 8, (2, 2, 6, 5))
    x[0, 0, :3] = 8.0
    x[0, 1, :3] = -8.0
    expected = twins(x, lambda n: n.max_pool(size, stride, padding))
    assert np.array_equal(scores([MaxPool(size, stride, padding)], x), expected)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (4, 1), (3, 2)])
def test_average_pool_is_the_mean_and_exact_where_it_can_be(size, stride):
    x = generator(6).uniform(-8, 8, (2, 2, 6, 7))
    w, b = generator(7).standard_normal((2, 2, 1, 1)), np.zeros(2)
    layers = [Conv2d(w, b), AvgPool(size, stride), Conv2d(w, b)]
    expected = twins(x, lambda n: n.conv(w.tolist(), b).average_pool(size, stride).conv(w.tolist(), b))
    assert np.array_equal(scores(layers, x), expected)


def test_average_pool_counts_the_zeros_around_an_image():
    outputs = scores([AvgPool(2, padding=1)], np.full((1, 1, 2, 2), 4.0))
    assert outputs.tolist() == [[[[1.0, 1.0], [1.0, 1.0]]]]


@pytest.mark.parametrize("before", ["conv", "dense", "nothing", "flat"])
def test_batch_norm_scales_and_shifts_each_channel(before):
    g = generator(8)
    mean, variance, gain, shift = (
        g.standard_normal(3),
        g.uniform(0.5, 2, 3),
        g.standard_normal(3),
        g.standard_normal(3),
    )
    norm = BatchNorm(mean, variance, gain, shift, epsilon=0.01)
    image = before in ("conv", "nothing")
    x = g.uniform(-2, 2, (4, 3, 2, 2) if image else (4, 3))
    first = {"conv": [Conv2d(np.eye(3)[:, :, None, None])], "dense": [Dense(np.eye(3))]}.get(before, [])
    axes = (None, slice(None), None, None) if image else (None, slice(None))
    expected = gain[axes] * (x - mean[axes]) / np.sqrt(variance[axes] + 0.01) + shift[axes]
    assert np.allclose(scores([*first, norm], x), expected, atol=0.02)
    assert len(Sequential([*first, norm], reveal_scores=True).compile(x.shape[1:]).circuit.steps) == 1


def test_a_residual_block_adds_its_two_ways():
    g = generator(9)
    w, v = (g.standard_normal((3, 3)) / 3 for _ in range(2))
    x = g.uniform(-8, 8, (5, 3))
    plain = scores([Residual([Dense(w), ReLU(), Dense(v)])], x)
    zeros = np.zeros(3)
    body = twins(x, lambda n: n.dense(w, zeros).relu().dense(v, zeros).divided())
    assert np.array_equal(plain, body + twins(x, lambda n: n))
    projected = scores([Residual([Dense(w)], [Dense(v)]), ReLU()], x)
    ways = [twins(x, lambda n, m=m: n.dense(m, zeros).divided()) for m in (w, v)]
    assert np.array_equal(projected, np.maximum(ways[0] + ways[1], 0))


def test_a_residual_block_of_images_and_of_blocks():
    g = generator(10)
    inner = Residual([Conv2d(g.standard_normal((2, 2, 3, 3)) / 9, padding=1), ReLU(), AvgPool(1)])
    model = [Residual([inner, MaxPool(2)], [Conv2d(g.standard_normal((2, 2, 1, 1)), stride=2)]), Flatten()]
    scores(model, g.uniform(-4, 4, (3, 2, 4, 4)))


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 16, 17, 33])
def test_argmax_is_the_lowest_index_of_the_largest(classes):
    g = generator(classes)
    x = np.round(g.uniform(-8, 8, (40, classes)))  # many ties
    x[:4] = [[8.0], [-8.0], [0.0], [2.0**-BASE]]
    x[4], x[5] = -8.0, 8.0
    x[4, -1], x[5, 0] = 8.0, -8.0
    model = Sequential([Argmax()], fraction=BASE)
    assert shared(model, x).tolist() == [Network(row.tolist(), BASE).argmax() for row in x]


def test_argmax_of_all_small_triples():
    x = np.array(np.meshgrid(*[np.arange(-2, 3)] * 3)).reshape(3, -1).T * 2.0**-BASE
    assert np.array_equal(shared(Sequential([Argmax()], fraction=BASE), x), np.argmax(x, 1))


@pytest.mark.parametrize("probability", [0.5, 0.1, 0.999])
def test_a_threshold_is_the_logistic_function_above_a_probability(probability):
    logit = np.log(probability / (1 - probability))
    level = round(logit * 2**BASE)
    x = np.concatenate(
        [generator(11).uniform(-8, 8, 30), (level + np.arange(-3, 4)) * 2.0**-BASE, [8.0, -8.0]]
    )
    classes = shared(Sequential([Threshold(probability)], fraction=BASE), x[:, None])
    assert classes.shape == x.shape
    assert np.array_equal(classes, np.rint(x * 2**BASE) > level)


def test_several_thresholds_are_several_classes():
    assert shared(Sequential([Threshold()]), np.array([[1.0, -1.0], [0.0, 2.0]])).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize("fraction", [2, 6, 16, 20])
def test_numbers_at_the_ends_of_the_range_are_exact_in_both_domains(fraction):
    """The largest weights and inputs that fit, so that products reach their proven bound, in either sign."""
    w = np.array([[1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]) * 7
    x = np.array(np.meshgrid(*[[-16.0, 0.0, 16.0]] * 3)).reshape(3, -1).T
    model = Sequential([Dense(w), ReLU(), Dense(w[:2] / 8), ReLU(), Argmax()], fraction=fraction, clip=16)
    shared(model, x)
    domains = {step.domain for step in model.compile().circuit.steps if hasattr(step, "domain")}
    assert domains == ({32} if fraction <= 6 else {64})


@pytest.mark.parametrize("layers", [[ReLU()], [MaxPool(1, 1), ReLU()], [Residual([])], [AvgPool(1)]])
def test_numbers_of_sixty_one_bits_are_exact(layers):
    """511 * 16 * 2^48 is the largest product that the capacity check lets through."""
    units = np.array([0, 1, -1, 2, -2, 2**28 - 1, 1 - 2**28, 2**28, -(2**28)]) * 2.0**-24
    x = units.reshape(-1, 1, 1, 1)
    model = [Conv2d([[[[511.0]]]]), *layers, Flatten(), Threshold()]
    assert np.array_equal(shared(Sequential(model, fraction=24, clip=16), x), units > 0)
    with pytest.raises(CapacityError):
        Sequential([Conv2d([[[[512.0]]]]), Flatten(), Threshold()], fraction=24, clip=16).compile((1, 1, 1))


def test_probable_truncation_saves_comparisons_and_stays_within_a_unit():
    g = generator(12)
    layers = [Dense(g.standard_normal((20, 20)) / 20), ReLU(), Dense(g.standard_normal((20, 5)) / 20)]
    x = g.uniform(-8, 8, (50, 20))
    exact, probable = (
        Sequential(layers, reveal_scores=True, truncation=kind).compile() for kind in ("exact", "probable")
    )
    near, _ = inference.simulate(probable.circuit, probable.share(), x)
    assert np.abs(near - exact.predict(x)).max() <= 20 * 2 * 2.0**-12
    counts = [sum(cost.comparisons for cost in c.circuit.costs(1)) for c in (exact, probable)]
    assert counts[0] == 2 * counts[1]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "shape"),
    [
        ([Dense(np.eye(3)), Argmax()], (4,)),
        ([Dense(np.eye(3)), Argmax()], (1, 3)),
        ([Conv2d(np.ones((2, 2, 3, 3))), Flatten(), Argmax()], (1, 8, 8)),
        ([Conv2d(np.ones((2, 1, 9, 9))), Flatten(), Argmax()], (1, 8, 8)),
        ([MaxPool(9), Flatten(), Argmax()], (1, 8, 8)),
        ([AvgPool(2), Argmax()], (1, 8, 8)),
        ([AvgPool(2), Argmax()], (8,)),
        ([Residual([Dense(np.ones((3, 2)))]), Argmax()], (3,)),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers, shape):
    with pytest.raises(ValueError, match=r"."):
        Sequential(layers).compile(shape)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense([[np.nan]]),
        lambda: Dense([[1.0, 2.0]], [1.0]),
        lambda: Dense([1.0]),
        lambda: Dense(np.zeros((0, 3))),
        lambda: Conv2d(np.ones((3, 1, 2, 2)), groups=2),
        lambda: Conv2d(np.ones((2, 1, 2, 2)), stride=0),
        lambda: Conv2d(np.ones((2, 1, 2, 2)), padding=-1),
        lambda: Conv2d(np.ones((2, 1, 2, 2)), [1.0]),
        lambda: MaxPool(0),
        lambda: ReLU(0),
        lambda: ReLU(np.nan),
        lambda: MaxPool(3, padding=2),
        lambda: MaxPool(3, padding=-1),
        lambda: AvgPool(2, 0),
        lambda: BatchNorm([0.0], [-1.0]),
        lambda: BatchNorm([0.0], [1.0, 2.0]),
        lambda: Threshold(0.0),
        lambda: Threshold(1.0),
    ],
)
def test_a_layer_outside_its_contract_is_refused(make):
    with pytest.raises(ValueError, match=r"."):
        make()


def test_numbers_that_could_become_too_large_are_refused():
    with pytest.raises(CapacityError, match="fewer bits"):
        Sequential([Dense(np.full((1, 1), 1e6)), Argmax()], clip=1e6).compile()
    with pytest.raises(CapacityError):
        Sequential([Dense(np.full((1, 1), 1e15)), Argmax()]).compile()
