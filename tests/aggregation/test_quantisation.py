"""Integers of one client, their sum, and what comes back."""

import math
from fractions import Fraction

import numpy as np
import pytest
from federation import SMALL, Noise, make_plan, make_update
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medcrypt import ProtocolError
from medcrypt.aggregation import Aggregate, Plan, add_integers, quantise, reduce
from reference import aggregation as twin

plans = st.builds(
    lambda clients, clip, bits, weight, size: Plan(
        clients=clients, threshold=2, clip=clip, bits=bits, shapes={"a": (size,), "b": (2, 2)},
        weighted=weight is not None, max_weight=weight,
    ),
    st.integers(2, 40), st.floats(1e-3, 1e3), st.integers(2, 44), st.none() | st.integers(1, 2000),
    st.integers(0, 30),
)  # fmt: skip


def weights_of(plan, rng, count):
    return [int(rng.integers(1, plan.max_weight + 1)) if plan.weighted else None for _ in range(count)]


@given(plans, st.integers(0, 2**32))
def test_the_mean_is_within_the_documented_bound_of_the_float_mean(plan, seed):
    rng = np.random.default_rng(seed)
    updates = [make_update(plan, seed + i) for i in range(plan.clients)]
    weights = weights_of(plan, rng, plan.clients)
    total = add_integers(plan, [quantise(plan, u, w) for u, w in zip(updates, weights, strict=True)])
    aggregate = Aggregate(plan, total, tuple(f"h{i}" for i in range(plan.clients)))
    factors = [w or 1 for w in weights]
    assert aggregate.total_weight == sum(factors)
    means = aggregate.means()
    for name in plan.shapes:
        for index in np.ndindex(means[name].shape):
            exact = sum(Fraction(float(u[name][index])) * w for u, w in zip(updates, factors, strict=True))
            difference = abs(Fraction(float(means[name][index])) - exact / sum(factors))
            assert difference <= Fraction(plan.quantisation_bound)


@given(plans, st.integers(0, 2**32))
def test_the_readable_twin_makes_the_same_integers(plan, seed):
    rng = np.random.default_rng(seed)
    update, (weight,) = make_update(plan, seed), weights_of(plan, rng, 1)
    fields = {
        name: getattr(plan, name)
        for name in ("clients", "threshold", "clip", "bits", "weighted", "max_weight")
    }
    readable = twin.Plan(shapes=dict(plan.shapes), **fields)
    values = [float(x) for name in sorted(update) for x in update[name].reshape(-1)]
    assert quantise(plan, update, weight).tolist() == twin.contribution(readable, values, weight or 1)


@given(st.integers(2, 40), st.integers(0, 2**16 - 1), hnp.arrays(np.int64, 7))
def test_reduction_is_the_representative_nearest_to_zero(bits, salt, integers):
    plan = Plan(**(SMALL | {"bits": bits, "clients": 2 + salt % 9, "threshold": 2}))
    reduced = reduce(plan, integers)
    assert reduced.tolist() == [twin.centred(int(x), plan.modulus_bits) for x in integers]
    assert reduce(plan, integers.view(np.uint64)).tolist() == reduced.tolist()
    assert reduce(plan, reduced).tolist() == reduced.tolist()


@given(plans)
def test_the_extreme_sum_still_fits_the_modulus(plan):
    extreme = {name: np.full(shape, plan.clip) for name, shape in plan.shapes.items()}
    weight = plan.max_weight if plan.weighted else None
    for sign in (1, -1):
        parts = [quantise(plan, {k: sign * v for k, v in extreme.items()}, weight)] * plan.clients
        total = add_integers(plan, parts)
        assert total[plan.weighted :].tolist() == [sign * plan.weight_bound * plan.levels] * plan.size


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", "i1", "u2", ">i4", "g"])
def test_any_real_dtype_byte_order_and_stride_is_taken(dtype):
    plan = Plan(**SMALL)
    expected = quantise(plan, {"w": [1.0, 0.0, 1.0]})
    array = np.array([1, 9, 0, 9, 1, 9]).astype(dtype)[::2]
    assert quantise(plan, {"w": array}).tolist() == expected.tolist()
    assert quantise(plan, {"w": array[::-1]}).tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("update", "error", "words"),
    [
        ({}, ValueError, "lacks"),
        ({"v": [0, 0, 0]}, ValueError, "unplanned"),
        ({"w": [0, 0, 0], "v": [0]}, ValueError, "unplanned"),
        ({"w": [0, 0]}, ValueError, "shape"),
        ({"w": [[0, 0, 0]]}, ValueError, "shape"),
        ({"w": [0, np.nan, 0]}, ValueError, "NaN"),
        ({"w": [0, np.inf, 0]}, ValueError, "NaN and inf"),
        ({"w": [0, -np.inf, 0]}, ValueError, "NaN and inf"),
        ({"w": [0, 1.0000001, 0]}, ValueError, "beyond the clip"),
        ({"w": [0, -1.5, 0]}, ValueError, "beyond the clip"),
        ({"w": [0, 1j, 0]}, TypeError, "real"),
        ({"w": [True, True, False]}, TypeError, "real"),
        ({"w": ["a", "b", "c"]}, TypeError, "real"),
        ({"w": np.ma.masked_array([0.0, 1.0, 0.0])}, TypeError, "masked"),
        ([0, 0, 0], TypeError, "maps"),
    ],
)
def test_updates_that_are_not_the_planned_ones_are_refused(update, error, words):
    with pytest.raises(error, match=words):
        quantise(Plan(**SMALL), update)


def test_values_beyond_the_clip_are_clipped_where_asked_but_never_nan():
    plan = Plan(**SMALL)
    assert quantise(plan, {"w": [5.0, -7.0, 0.5]}, saturate=True).tolist() == [32767, -32767, 16384]
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN"):
            quantise(plan, {"w": [bad, 0, 0]}, saturate=True)


@pytest.mark.parametrize(
    ("weight", "error"),
    [
        (None, TypeError),
        (0, ValueError),
        (-1, ValueError),
        (51, ValueError),
        (1.0, TypeError),
        (True, TypeError),
    ],
)
def test_weights_out_of_range_are_refused(weight, error):
    with pytest.raises(error):
        quantise(make_plan(), make_update(make_plan(), 1), weight)


def test_a_weight_where_none_is_planned_is_refused():
    with pytest.raises(ValueError, match="not weighted"):
        quantise(Plan(**SMALL), {"w": [0, 0, 0]}, 1)


def test_weights_of_numpy_are_taken():
    plan = make_plan()
    assert quantise(plan, make_update(plan, 1), np.uint8(7))[0] == 7


@given(
    st.floats(1e-3, 30), st.integers(2, 40), st.integers(1, 50), st.integers(1, 60), st.integers(0, 2**32),
)  # fmt: skip
def test_a_contribution_is_never_longer_than_l2_clip(l2_clip, bits, weight, size, seed):
    plan = Plan(
        clients=4, threshold=2, clip=1.0, bits=bits, shapes={"w": (size,)}, weighted=True, max_weight=50,
        l2_clip=l2_clip,
    )  # fmt: skip
    values = np.random.default_rng(seed).uniform(-1, 1, size)
    integers = quantise(plan, {"w": values}, weight)
    squares = sum(int(q) ** 2 for q in integers[1:])
    assert Fraction(squares) <= (Fraction(l2_clip) * plan.levels) ** 2
    longest = l2_clip / weight
    scaled = values * min(1.0, longest / max(float(np.linalg.norm(values)), 1e-300))
    assert np.abs(integers[1:] / weight * plan.step - scaled).max() <= plan.quantisation_bound * (1 + 1e-9)


def test_a_short_contribution_is_not_touched_by_l2_clip():
    free, bounded = Plan(**SMALL), Plan(**(SMALL | {"l2_clip": 1.0}))
    update = {"w": [0.3, -0.2, 0.1]}
    assert quantise(free, update).tolist() == quantise(bounded, update).tolist()


def test_noise_is_added_to_the_integers():
    plan = Plan(**(SMALL | {"noise": Noise(5), "l2_clip": 2.0}))
    assert (quantise(plan, {"w": [0, 0, 0]}) == 5).all()


def test_an_impossible_sum_of_weights_is_noticed():
    plan = make_plan()
    integers = np.zeros(plan.dimension, np.int64)
    for weight in (1, 101, -5):
        integers[0] = weight
        with pytest.raises(ProtocolError, match="a contributor lied"):
            Aggregate(plan, integers, ("Aachen", "Berlin"))
    integers[0] = 100
    assert Aggregate(plan, integers, ("Aachen", "Berlin")).total_weight == 100


def test_a_mean_over_no_weight_is_refused():
    plan = make_plan(noise=Noise(), l2_clip=1.0)
    aggregate = Aggregate(plan, np.zeros(plan.dimension, np.int64), ("Aachen", "Berlin"))
    with pytest.raises(ProtocolError, match="no mean"):
        aggregate.means()


def test_an_aggregate_of_another_size_is_refused():
    with pytest.raises(ValueError, match="expected 11 integers"):
        Aggregate(make_plan(), np.zeros(10, np.int64), ("Aachen",))


def test_sums_are_means_times_weight():
    plan = make_plan()
    total = add_integers(plan, [quantise(plan, make_update(plan, i), 10 + i) for i in range(3)])
    aggregate = Aggregate(plan, total, ("a", "b", "c"))
    for name, mean in aggregate.means().items():
        assert np.allclose(aggregate.sums()[name], mean * 33, rtol=1e-14)
        assert math.prod(mean.shape) == mean.size
