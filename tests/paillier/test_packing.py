"""Packing: fixed point, slots, and every kind of numpy array at the front door."""

import dataclasses
import math
import random

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medcrypt.errors import CapacityError, InvalidCiphertextError
from medcrypt.paillier import Packing
from reference import paillier as twin

KEY_BITS = 512
N = 1 << (KEY_BITS - 1)  # any n of that length: the layout depends on the length only


@st.composite
def packings(draw):
    bits = draw(st.integers(min_value=2, max_value=53))
    max_terms = draw(st.integers(min_value=1, max_value=1 << min(63 - bits, 20)))
    clip = draw(st.floats(min_value=1e-6, max_value=1e6) | st.sampled_from([1.0, 8.0, 0.1, 1e-100, 1e100]))
    return Packing(clip=clip, bits=bits, max_terms=max_terms)


def layout(packing):
    return twin.Layout(packing.clip, packing.bits, packing.max_terms)


@pytest.mark.parametrize(("bits", "slots"), [(32, 85), (24, 109), (16, 153), (8, 255)])
def test_ten_terms_at_3072_bits_have_the_published_number_of_slots(bits, slots):
    assert Packing(bits=bits, max_terms=10).slots(3072) == slots


@given(packing=packings(), data=st.data())
def test_encoding_equals_the_twin(packing, data):
    fractions = data.draw(
        st.lists(st.floats(min_value=-1, max_value=1) | st.sampled_from([-1, 0, 1]), max_size=40)
    )
    values = [min(max(f * packing.clip, -packing.clip), packing.clip) for f in fractions]
    expected = [twin.quantise(layout(packing), x) for x in values]
    assert packing.quantise(np.array(values, dtype=float)).tolist() == expected
    plaintexts = packing.encode(np.array(values, dtype=float), KEY_BITS)
    assert plaintexts == twin.pack(layout(packing), N, expected)
    assert all(m < N for m in plaintexts)


@given(packing=packings(), data=st.data())
def test_weighted_sums_of_integers_decode_exactly(packing, data):
    low, high = -(1 << (packing.bits - 1)), (1 << (packing.bits - 1)) - 1
    values = hnp.arrays(np.int64, 9, elements=st.integers(low, high) | st.sampled_from([low, high]))
    weights = data.draw(st.lists(st.integers(0, packing.max_terms), min_size=1, max_size=4))
    assume(sum(weights) <= packing.max_terms)
    arrays = [data.draw(values) for _ in weights]
    rows = [packing.encode_integers(array, KEY_BITS) for array in arrays]
    sums = [sum(w * m for w, m in zip(weights, column, strict=True)) for column in zip(*rows, strict=True)]
    decoded = packing.decode_integers(sums, 9, sum(weights), KEY_BITS)
    assert decoded.dtype == np.int64
    assert decoded.tolist() == [
        sum(w * int(a[i]) for w, a in zip(weights, arrays, strict=True)) for i in range(9)
    ]
    assert decoded.tolist() == twin.unpack(layout(packing), N, sums, 9, sum(weights))


@given(packing=packings(), data=st.data())
def test_a_round_trip_errs_by_half_a_step_at_most(packing, data):
    fractions = data.draw(hnp.arrays(np.float64, 20, elements=st.floats(min_value=-1, max_value=1)))
    values = np.clip(fractions * packing.clip, -packing.clip, packing.clip)
    decoded = packing.decode(packing.encode(values, KEY_BITS), 20, 1, KEY_BITS)
    step = packing.clip / packing.levels
    slack = 4 * np.finfo(float).eps * packing.clip  # the float64 evaluation of both formulas
    assert np.all(np.abs(decoded - values) <= step / 2 + slack)


@pytest.mark.parametrize("bits", range(2, 54))
def test_the_clip_itself_never_overflows(bits):
    generator = random.Random(bits)
    for clip in [1.0, 8.0, 0.1, 1 / 3, *(generator.uniform(1e-3, 1e3) for _ in range(20))]:
        packing = Packing(clip=clip, bits=bits, max_terms=1)
        assert packing.quantise([clip, -clip]).tolist() == [packing.levels, -packing.levels]
        assert packing.dequantise(np.array([packing.levels, -packing.levels])).tolist() == [clip, -clip]


def test_ties_go_to_the_even_multiple():
    assert Packing(clip=1.0, bits=2).quantise([0.5, -0.5]).tolist() == [0, 0]
    assert Packing(clip=3.0, bits=3).quantise([0.5, 1.5, 2.5, -1.5, -2.5]).tolist() == [0, 2, 2, -2, -2]


@pytest.mark.parametrize("count", [0, 1, 84, 85, 86, 170, 200_000])
def test_every_block_boundary_survives(count):
    packing = Packing()
    values = np.random.default_rng(count).integers(-(2**31), 2**31, size=count)
    plaintexts = packing.encode_integers(values, 3072)
    assert len(plaintexts) == math.ceil(count / 85)
    assert np.array_equal(packing.decode_integers(plaintexts, count, 1, 3072), values)


@pytest.mark.parametrize("value", [8.000001, -9.0, 1e300])
def test_values_beyond_the_clip_are_refused_or_saturated(value):
    packing = Packing(clip=8.0)
    with pytest.raises(ValueError, match="beyond the clip"):
        packing.quantise([0.0, value])
    assert packing.quantise([value], saturate=True).tolist() == [int(math.copysign(packing.levels, value))]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("saturate", [False, True])
def test_values_that_are_not_finite_are_refused(value, saturate):
    with pytest.raises(ValueError, match="NaN and infinite"):
        Packing().quantise([0.0, value], saturate=saturate)


@pytest.mark.parametrize("value", [128, -129, 2**63 - 1, -(2**63)])
def test_integers_beyond_the_bits_are_refused(value):
    with pytest.raises(ValueError, match="between -128 and 127"):
        Packing(bits=8).encode_integers(np.array([value]), KEY_BITS)


def test_a_large_unsigned_integer_does_not_wrap_around():
    with pytest.raises(ValueError, match="between"):
        Packing(bits=8).encode_integers(np.array([2**64 - 1], dtype=np.uint64), KEY_BITS)


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", ">f2", ">f4", ">f8", "g", "i1", "u1", ">i2", "u4", ">i8", "u8"]
)
def test_every_real_dtype_is_taken(dtype):
    values = np.array([0, 1, 2, 5], dtype=dtype)
    packing = Packing()
    assert packing.encode(values, KEY_BITS) == packing.encode([0.0, 1.0, 2.0, 5.0], KEY_BITS)


@pytest.mark.parametrize("dtype", [">i2", "u1", "<i8", "u8"])
def test_every_integer_dtype_is_taken(dtype):
    values = np.array([0, 1, 2, 5], dtype=dtype)
    assert Packing().encode_integers(values, KEY_BITS) == Packing().encode_integers([0, 1, 2, 5], KEY_BITS)


@pytest.mark.parametrize(
    "array",
    [
        np.array([True]),
        np.array([1j]),
        np.array([1, 2], dtype=object),
        np.array(["1"]),
        np.array([b"1"]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.zeros(2, dtype=[("a", "f4")]),
        np.ma.masked_array([1.0, 2.0], mask=[True, False]),
        [10**30],
        "text",
        None,
    ],
)
def test_what_is_no_real_array_is_refused(array):
    with pytest.raises(TypeError):
        Packing().encode(array, KEY_BITS)
    with pytest.raises(TypeError):
        Packing().encode_integers(array, KEY_BITS)


def test_floats_are_no_integers():
    with pytest.raises(TypeError, match="integers"):
        Packing().encode_integers([1.0], KEY_BITS)


def test_a_long_double_beyond_float64_is_refused():
    if np.finfo(np.longdouble).max > np.finfo(np.float64).max:
        with pytest.raises(ValueError, match="infinite"):
            Packing().quantise(np.array(["1e4000"], dtype=np.longdouble))


def test_strides_order_and_flags_do_not_matter():
    base = np.arange(24.0).reshape(4, 6) / 8
    read_only = base.copy()
    read_only.flags.writeable = False
    packing, expected = Packing(), Packing().encode(base.ravel().tolist(), KEY_BITS)
    assert packing.encode(np.asfortranarray(base), KEY_BITS) == expected
    assert packing.encode(read_only, KEY_BITS) == expected
    assert packing.encode(base[::-1, ::-1][::-1, ::-1], KEY_BITS) == expected
    assert packing.encode(np.repeat(base, 2, axis=1)[:, ::2], KEY_BITS) == expected


def test_the_input_is_left_alone():
    values = np.array([9.0, -9.0])
    Packing().quantise(values, saturate=True)
    assert values.tolist() == [9.0, -9.0]


@pytest.mark.parametrize(
    "fields",
    [
        {"clip": 0.0},
        {"clip": -1.0},
        {"clip": math.nan},
        {"clip": math.inf},
        {"clip": 1e-101},
        {"bits": 1},
        {"bits": 54},
        {"max_terms": 0},
        {"max_terms": -1},
        {"bits": 53, "max_terms": 1025},
        {"bits": 32, "max_terms": 2**31 + 1},
    ],
)
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match=r"clip|bits|max_terms"):
        Packing(**fields)


@pytest.mark.parametrize(
    "fields",
    [{"bits": 8.0}, {"bits": True}, {"max_terms": 2.5}, {"max_terms": "3"}, {"clip": None}, {"clip": "8"}],
)
def test_fields_of_the_wrong_type_are_refused(fields):
    with pytest.raises(TypeError):
        Packing(**fields)


def test_numpy_numbers_make_an_equal_packing():
    packing = Packing(clip=np.float32(8.0), bits=np.int64(32), max_terms=np.uint8(10))
    assert packing == Packing()
    assert hash(packing) == hash(Packing())


def test_a_packing_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Packing().bits = 8


def test_a_key_too_short_for_one_slot_is_refused():
    with pytest.raises(ValueError, match="cannot hold a slot"):
        Packing(bits=32, max_terms=10).slots(36)


def test_more_terms_than_room_are_refused():
    Packing(max_terms=10).check_terms(10)
    with pytest.raises(CapacityError):
        Packing(max_terms=10).check_terms(11)


@pytest.mark.parametrize(
    ("plaintext", "count", "terms"),
    [
        (1 << (85 * 36), 85, 1),  # a bit above the last slot
        (1 << 3071, 85, 1),
        (1 << (84 * 36), 84, 1),  # something in a slot that should be empty
        (1 << 32, 1, 1),  # one value of 33 bits
        (2 * (2**32 - 1) + 1, 1, 2),  # one more than two largest values
        (1, 1, 0),  # something, though no terms were added
    ],
)
def test_a_plaintext_that_is_no_such_sum_is_refused(plaintext, count, terms):
    with pytest.raises(InvalidCiphertextError):
        Packing().decode_integers([plaintext], count, terms, 3072)


def test_a_missing_or_superfluous_plaintext_is_refused():
    for plaintexts in ([], [0, 0]):
        with pytest.raises(InvalidCiphertextError):
            Packing().decode_integers(plaintexts, 3, 1, 3072)


# Unsigned values and headroom


@given(data=st.data())
def test_unsigned_and_roomy_packings_round_trip(data):
    bits, headroom, max_terms = (data.draw(st.integers(*r)) for r in ((2, 40), (0, 12), (1, 1000)))
    packing = Packing(1.0, bits, max_terms, signed=data.draw(st.booleans()), headroom=headroom)
    low = -(1 << (bits + headroom - 1)) if packing.signed else 0
    high = low + (1 << (bits + headroom)) - 1
    values = data.draw(st.lists(st.integers(low, high) | st.sampled_from([low, high]), max_size=20))
    plaintexts = packing.encode_integers(np.array(values, dtype=np.int64), 512)
    assert packing.decode_integers(plaintexts, len(values), 1, 512).tolist() == values
    many = [m * max_terms for m in plaintexts]
    assert packing.decode_integers(many, len(values), max_terms, 512).tolist() == [
        max_terms * v for v in values
    ]
    for out in (low - 1, high + 1):
        with pytest.raises(ValueError, match="integers must be"):
            packing.encode_integers(np.array([out]), 512)


def test_unsigned_reals_use_all_levels():
    packing = Packing(clip=2.0, bits=8, signed=False)
    assert packing.levels == 255
    assert packing.quantise([0.0, 1.0, 2.0]).tolist() == [0, 128, 255]
    assert packing.dequantise(np.array([0, 255])).tolist() == [0.0, 2.0]
    assert packing.encode([2.0, 0.0, 2.0], 64) == [255 | 255 << 24]
    with pytest.raises(ValueError, match="beyond the clip"):
        packing.quantise([-0.001])
    assert packing.quantise([-0.001, 3.0], saturate=True).tolist() == [0, 255]


def test_headroom_widens_integers_and_leaves_the_scale():
    plain, roomy = Packing(8.0, 16, 10), Packing(8.0, 16, 10, headroom=4)
    assert roomy.slot_bits == plain.slot_bits + 4
    assert roomy.levels == plain.levels
    assert roomy.quantise([1.5, -8.0]).tolist() == plain.quantise([1.5, -8.0]).tolist()
    noisy = np.array([2**15 + 1000, -(2**15) - 1000])
    with pytest.raises(ValueError, match="integers must be"):
        plain.encode_integers(noisy, 512)
    assert roomy.decode_integers(roomy.encode_integers(noisy, 512), 2, 1, 512).tolist() == noisy.tolist()
    with pytest.raises(ValueError, match="beyond the clip"):
        roomy.quantise([8.5])


def test_the_reals_of_a_roomy_packing_stay_within_the_clip():
    with pytest.raises(ValueError, match="63"):
        Packing(bits=53, max_terms=1, headroom=11)
    assert Packing(bits=53, max_terms=1, headroom=10).slot_bits == 63
    with pytest.raises(ValueError, match="headroom"):
        Packing(headroom=-1)
    for bad in (True, 1.0, "1"):
        with pytest.raises(TypeError):
            Packing(headroom=bad)
    for bad in (1, None, "yes"):
        with pytest.raises(TypeError, match="signed"):
            Packing(signed=bad)
    assert Packing(signed=np.bool_(False)) == Packing(signed=False)
    assert Packing(signed=False) != Packing()
