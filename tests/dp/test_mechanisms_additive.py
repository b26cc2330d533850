"""Clipped sums with noise: the sensitivity is what it is said to be, and the event is that of the noise drawn."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from medcrypt import dp
from medcrypt.dp import noise
from medcrypt.dp.mechanisms.lattice import ClippedSum

RELATIONS = ("add_or_remove_one", "replace_one")
KINDS = (dp.GaussianMechanism, dp.LaplaceMechanism, dp.SkellamMechanism)
LARGE = (
    math.sqrt(2.0) * 5.4
)  # standard deviations of a variance estimate over root n: false alarms below 1e-7

_NUMBERS = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(-3, 3)
    | st.sampled_from([0.0, 5e-324, -1e-310, 1e-160, 1.0, 1.7e308, -1.7e308])
)


def exact_norm(integers, norm):
    """The norm, squared for l2, of integers in exact arithmetic."""
    sizes = [abs(int(k)) for k in np.ravel(integers)]
    return {"l1": sum(sizes), "l2": sum(k * k for k in sizes), "linf": max(sizes, default=0)}[norm]


@given(
    st.sampled_from(("l1", "l2", "linf")),
    st.floats(1e-3, 1e3),
    st.integers(0, 40),
    npst.arrays(np.float64, npst.array_shapes(min_dims=2, max_dims=3, max_side=6), elements=_NUMBERS),
)
def test_the_integers_of_a_record_never_exceed_the_clip(norm, clip, bits, records):
    step = math.ldexp(1.0, math.frexp(clip)[1] - 1 - bits)
    clipped = ClippedSum(clip, norm, records.shape[1:], "add_or_remove_one", step)
    bound = Fraction(clip) / Fraction(step)
    for record in records:
        integers = clipped(record[None])
        assert exact_norm(integers, norm) <= (bound**2 if norm == "l2" else bound)


@given(
    st.sampled_from(("l1", "l2", "linf")),
    st.sampled_from(RELATIONS),
    npst.arrays(np.float64, (5, 3), elements=_NUMBERS),
    npst.arrays(np.float64, (1, 3), elements=_NUMBERS),
)
def test_a_neighbour_moves_the_sum_by_at_most_the_sensitivity(norm, relation, records, other):
    clipped = ClippedSum(1.25, norm, (3,), relation, 2.0**-20)
    without = records[:-1] if relation == "add_or_remove_one" else np.concatenate([records[:-1], other])
    moved = clipped(records) - clipped(without)
    step = Fraction(2.0**-20)
    assert exact_norm(moved, "l1") * step <= Fraction(clipped.l1_sensitivity)
    assert exact_norm(moved, "l2") * step**2 <= Fraction(clipped.l2_sensitivity) ** 2


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize(("norm", "l1", "l2"), [("l1", 1, 1), ("l2", 2, 1), ("linf", 4, 2)])
def test_the_sensitivity_follows_from_the_clip(relation, norm, l1, l2):
    clipped = ClippedSum(3.0, norm, (2, 2), relation, 1.0)
    factor = 3.0 if relation == "add_or_remove_one" else 6.0
    assert clipped.l1_sensitivity == pytest.approx(l1 * factor, rel=1e-14)
    assert clipped.l2_sensitivity == pytest.approx(l2 * factor, rel=1e-14)
    assert clipped.l1_sensitivity >= l1 * factor
    assert clipped.l2_sensitivity >= l2 * factor


def test_records_within_the_clip_lose_less_than_a_step():
    rng = np.random.default_rng(1)
    records = rng.normal(size=(1000, 5))
    records /= np.linalg.norm(records, axis=1)[:, None] * 1.001
    clipped = ClippedSum(1.0, "l2", (5,), "add_or_remove_one", 2.0**-30)
    error = clipped(records) * 2.0**-30 - records.sum(axis=0)
    assert np.abs(error).max() < 1000 * 2.0**-30


def test_long_records_keep_their_direction_and_get_the_length_of_the_clip():
    clipped = ClippedSum(2.0, "l2", (2,), "add_or_remove_one", 2.0**-30)
    for length in (10.0, 1e200, 1e308):
        short = clipped([[0.6 * length, -0.8 * length]]) * 2.0**-30
        assert short == pytest.approx([1.2, -1.6], abs=1e-8)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("step", [1.0, 2.0**-40])
def test_records_exactly_on_the_clip_lose_nothing(norm, step):
    clipped = ClippedSum(5.0, norm, (3,), "add_or_remove_one", step)
    on_it = {"l1": [2, -2, 1], "l2": [3, 0, -4], "linf": [5, -5, 5]}[norm]
    assert (clipped([on_it, [0, -5, 0]]) * step).tolist() == [on_it[0], on_it[1] - 5, on_it[2]]


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "<i4", ">i8", "u8", "f2", ">f4", "f8"])
def test_any_real_dtype_and_any_strides_are_taken(dtype):
    records = np.ones((12, 3), dtype=dtype)[::2, ::-1]
    clipped = ClippedSum(10.0, "l1", (3,), "add_or_remove_one", 1.0)
    assert clipped(records).tolist() == [6, 6, 6]


# --- The noise is that of the event


@pytest.mark.parametrize("relation", RELATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_spread_of_the_noise_is_the_stated_one(kind, relation):
    mechanism = kind(1.7, clip=3.0, shape=4, neighbors=relation, granularity=2.0**-6)
    draws = mechanism.release_many(
        np.zeros((0, 4)) if relation == "add_or_remove_one" else np.zeros((1, 4)), 20_000
    )
    excess = np.square(draws).mean() / mechanism.standard_deviation**2 - 1.0
    kurtosis = 24.0 if kind is dp.LaplaceMechanism else 3.1
    assert abs(excess) < 5.4 * math.sqrt(kurtosis / draws.size)
    assert np.array_equal(draws, np.rint(draws * 2.0**6) / 2.0**6)


def test_the_events_are_those_of_the_noise():
    assert dp.GaussianMechanism(1.5, clip=0.1, shape=7, norm="linf").event == dp.Gaussian(1.5)
    assert dp.GaussianMechanism(1.5, clip=2, granularity=1, law="discrete").event == dp.DiscreteGaussian(
        3.0, 2
    )
    vector = dp.GaussianMechanism(1.5, clip=2, shape=2, granularity=1, law="discrete").event
    assert vector.rho == pytest.approx(0.5 / 1.5**2, rel=1e-12)
    assert vector.rho >= 0.5 / 1.5**2
    assert dp.LaplaceMechanism(
        5.0, clip=1, granularity=1, neighbors="replace_one"
    ).event == dp.DiscreteLaplace(10.0, 2)
    assert dp.LaplaceMechanism(5.0, clip=0.3, shape=9).event == dp.Laplace(5.0)
    assert dp.SkellamMechanism(3.0, clip=4, granularity=1).event == dp.Skellam(144.0, 4)
    assert isinstance(dp.SkellamMechanism(3.0, clip=4, shape=3, granularity=1).event, dp.RenyiCurve)


@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("scale", [0.3, 1.0, 7.0])
def test_fine_discrete_laplace_noise_is_dominated_by_laplace_noise_two_steps_wider(scale, steps):
    """delta of the exact discrete law, by its definition, against Laplace of sensitivity steps + 2."""
    s = scale * (steps + 2)
    reach = int(60 * s) + steps
    ratio = math.exp(-1.0 / s)
    mass = (1 - ratio) / (1 + ratio) * ratio ** np.abs(np.arange(-reach, reach + steps + 1))
    left, right = mass[:-steps], mass[steps:]
    for epsilon in np.linspace(0.0, 1.05 / scale, 41).tolist():
        exact = np.maximum(0.0, left - math.exp(epsilon) * right).sum()
        assert exact <= max(0.0, 1.0 - math.exp(0.5 * (epsilon - 1.0 / scale))) + 1e-12


@pytest.mark.parametrize("shift", [(1, 1), (2, 1), (3, 2), (1, 1, 1)])
@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_a_vector_of_discrete_laplace_noise_tells_no_more_than_its_l1_shift_in_one_coordinate(scale, shift):
    """The proof of the documentation, in numbers: delta of the product against delta of the sum of the shifts."""

    def losses(k):
        """The law of the loss of one coordinate: the loss in units of 1/scale, and its probability."""
        r = math.exp(-1.0 / scale)
        ends = {k: 1 / (1 + r), -k: r**k / (1 + r)}
        return ends | {k - 2 * t: (1 - r) / (1 + r) * r**t for t in range(1, k)}

    def delta(law, epsilon):
        return math.fsum(p * max(0.0, 1.0 - math.exp(epsilon - loss / scale)) for loss, p in law.items())

    product = {}
    for parts in itertools.product(*(losses(k).items() for k in shift)):
        total = sum(loss for loss, _ in parts)
        product[total] = product.get(total, 0.0) + math.prod(p for _, p in parts)
    one = losses(sum(shift))
    for epsilon in np.linspace(-sum(shift) / scale, sum(shift) / scale, 101):
        assert delta(product, epsilon) <= delta(one, epsilon) + 1e-15


def test_a_release_is_the_sum_and_the_noise_on_the_lattice():
    """With noise of a vanishing width the sum itself comes out, in the records' units."""
    records = [[0.5, -0.25], [0.125, 0.0]]
    for kind in KINDS:
        released = kind(1e-6, clip=2.0, shape=2, granularity=2.0**-4).release(records)
        assert released.tolist() == [0.625, -0.25]
        assert released.dtype == np.float64
    whole = dp.GaussianMechanism(1e-6, clip=3, granularity=1).release([2, 9, -1])
    assert whole == 4
    assert whole.dtype == np.int64


def test_releases_differ_from_call_to_call():
    mechanism = dp.GaussianMechanism(1.0, clip=1.0)
    assert len({float(mechanism.release([0.5])) for _ in range(50)}) == 50


def test_the_charge_counts_every_draw():
    mechanism = dp.GaussianMechanism(1.0, clip=1.0, shape=(10, 10))
    assert mechanism.draws == 100
    assert mechanism.distance <= 2.0**-100
    assert mechanism.charge(2.0, releases=7) == noise.charge(2.0, 700, mechanism.distance)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_parameters_are_refused(kind):
    for clip in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"clip must be (positive|finite)"):
            kind(1.0, clip=clip)
    for multiplier in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"must be (positive|finite)"):
            kind(multiplier, clip=1.0)
    for wrong in (
        {"norm": "l3"},
        {"neighbors": "any"},
        {"granularity": 0.3},
        {"granularity": 4.0},
        {"shape": 0},
    ):
        with pytest.raises(ValueError, match=r"must be|above the clip"):
            kind(1.0, clip=1.0, **wrong)
    for wrong in ({"shape": 1.5}, {"shape": True}, {"shape": (1, "2")}, {"clip": "1"}, {"granularity": True}):
        with pytest.raises(TypeError):
            kind(1.0, **({"clip": 1.0} | wrong))
    with pytest.raises(OverflowError):
        kind(1.0, clip=1.0, granularity=2.0**-60)


@pytest.mark.parametrize("kind", KINDS)
def test_bad_records_are_refused_before_anything_is_drawn(kind, monkeypatch):
    mechanism = kind(1.0, clip=1.0, shape=2)
    monkeypatch.setattr("os.urandom", None)
    for bad in ([[math.nan, 0.0]], [[math.inf, 0.0]]):
        with pytest.raises(ValueError, match="finite"):
            mechanism.release(bad)
    for bad in ([[1j, 0]], [["a", "b"]], [[None, 1.0]]):
        with pytest.raises(TypeError):
            mechanism.release(bad)
    for bad in (1.0, [1.0, 2.0], [[1.0]], np.zeros((2, 2, 2))):
        with pytest.raises(ValueError, match="shape"):
            mechanism.release(bad)


def test_a_sum_that_might_leave_int64_is_refused_before_anything_is_drawn(monkeypatch):
    mechanism = dp.GaussianMechanism(2.0**-20, clip=1.0, granularity=2.0**-59)
    assert np.isfinite(mechanism.release(np.ones(3)))
    monkeypatch.setattr("os.urandom", None)
    with pytest.raises(OverflowError):
        mechanism.release(np.ones(5))


# --- The mean


@pytest.mark.parametrize("relation", RELATIONS)
def test_the_mean_is_the_mean_of_the_clipped_records(relation):
    records = np.array([[1.0, 2.0], [3.0, 2.0], [1e9, 2.0]])
    mechanism = dp.MeanMechanism(1e-7, clip=4.0, shape=2, center=2.0, neighbors=relation)
    assert mechanism.release(records) == pytest.approx([2.0 + (4.0 - 1.0 + 1.0) / 3.0, 2.0], abs=1e-5)


def test_the_mean_pays_for_its_count_where_the_count_is_secret():
    secret = dp.MeanMechanism(2.0, clip=3.0, shape=4)
    public = dp.MeanMechanism(2.0, clip=3.0, shape=4, neighbors="replace_one")
    assert secret.sensitivity == pytest.approx(3.0 * math.sqrt(2.0))
    assert public.sensitivity == 6.0
    assert (secret.draws, public.draws) == (5, 4)
    assert secret.event == public.event == dp.Gaussian(2.0)
    assert secret.release(np.zeros((0, 4))).shape == (4,)
    with pytest.raises(ValueError, match="needs records"):
        public.release(np.zeros((0, 4)))


def test_the_noise_of_a_mean_is_the_stated_one():
    mechanism = dp.MeanMechanism(1.0, clip=2.0, neighbors="replace_one")
    means = mechanism.release_many(np.full(10, 0.5), 20_000)
    assert abs(means.var() / (4.0 / 10) ** 2 - 1.0) < LARGE / math.sqrt(means.size)
    assert abs(means.mean() - 0.5) < 5.4 * 0.4 / math.sqrt(means.size)


@pytest.mark.parametrize(
    ("clip", "step"), [(5e-324, 5e-324), (2.5e-323, 5e-324), (1.0, 2.0**-1000), (1e-291, 2.0**-970)]
)
def test_a_lattice_of_subnormal_numbers_is_refused(clip, step):
    """Five steps of 5e-324 in a clip let nine ones through as (2, ..., 2), of norm 6."""
    with pytest.raises(ValueError, match="at least 1e-290"):
        dp.GaussianMechanism(1.0, clip=clip, shape=9, granularity=step)


def test_the_smallest_lattice_keeps_its_bound():
    step = 2.0**-963
    z = dp.GaussianMechanism(1.0, clip=5 * step, shape=9, granularity=step).lattice_sum(np.ones((1, 9)))
    assert sum(int(k) ** 2 for k in z) <= 25


def test_a_mean_with_a_public_number_keeps_odd_integers_above_2_to_the_53(monkeypatch):
    """Through doubles they would become even, before the noise is added."""
    mechanism = dp.MeanMechanism(1.0, 1.0, neighbors="replace_one")
    monkeypatch.setattr(
        "medcrypt.dp.mechanisms.mean.ClippedSum.__call__", lambda self, records: np.array(2**60 + 1)
    )
    monkeypatch.setattr("medcrypt.dp.noise.rounded_gaussian", lambda sigma, shape: np.full(shape, -(2**60)))
    assert mechanism.release([1.0]) == mechanism.granularity
