"""Slices and joins between ciphertexts, operators that are refused, contexts, and headers of both versions."""

import itertools
import operator
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import CapacityError, FormatError, InvalidCiphertextError
from medcrypt.paillier import EncryptedArray, Packing, concatenate

PACKING = Packing(clip=8.0, bits=32, max_terms=10)
SLOTS = PACKING.slots(512)


@pytest.fixture(scope="module")
def rows(private):
    """60 rows of 7 integers, two rows to a ciphertext of 14 slots."""
    values = np.arange(420).reshape(60, 7) - 200
    return values, 3 * private.encrypt_integers(values, PACKING, context=b"round 7")


# Slices


@given(start=st.integers(-70, 70) | st.none(), stop=st.integers(-70, 70) | st.none())
def test_slices_between_ciphertexts_are_those_of_numpy(private, rows, start, stop):
    values, encrypted = rows
    first, last, _ = slice(start, stop).indices(60)
    if first < last and (first % 2 or (last % 2 and last != 60)):
        with pytest.raises(ValueError, match="between ciphertexts"):
            encrypted[start:stop]
        return
    part = encrypted[start:stop]
    assert private.decrypt_integers(part).tolist() == (3 * values[start:stop]).tolist()
    assert part.shape == values[start:stop].shape
    assert (part.terms, part.context, part.packing) == (3, b"round 7", PACKING)
    assert EncryptedArray.from_bytes(part.to_bytes(), part.public).shape == part.shape


def test_the_last_ciphertext_may_be_partly_filled(private):
    encrypted = private.encrypt_integers(np.arange(SLOTS + 3), PACKING)
    assert private.decrypt_integers(encrypted[SLOTS:]).tolist() == list(range(SLOTS, SLOTS + 3))
    with pytest.raises(ValueError, match="between ciphertexts"):
        encrypted[: SLOTS + 1]


def test_only_plain_slices_of_the_first_axis_are_taken(private, rows):
    _, encrypted = rows
    for key in (0, -1, np.int64(2), (slice(0, 2), 0), Ellipsis, None, [0, 1], np.array([True] * 60)):
        with pytest.raises(TypeError, match="slices along the first axis"):
            encrypted[key]
    with pytest.raises(ValueError, match="step"):
        encrypted[::2]
    with pytest.raises(TypeError, match="slices"):
        private.encrypt_integers(5, PACKING)[:]
    with pytest.raises(TypeError):
        encrypted[0:2] = encrypted[2:4]


# Concatenation


@given(cuts=st.lists(st.integers(0, 30), max_size=4))
def test_parts_join_to_the_whole(private, rows, cuts):
    values, encrypted = rows
    at = [0, *(2 * cut for cut in sorted(cuts)), 60]
    joined = concatenate(encrypted[a:b] for a, b in itertools.pairwise(at))
    assert joined.to_bytes() == encrypted.to_bytes()
    assert private.decrypt_integers(joined).tolist() == (3 * values).tolist()


def test_parts_that_do_not_belong_together_are_refused(private, stranger, rows):
    _, encrypted = rows
    part = encrypted[:2]
    odd = 3 * private.encrypt_integers(np.zeros((1, 7), int), PACKING, context=b"round 7")
    for others, match in [
        ([odd, part], "fill"),
        ([part, private.encrypt_integers(np.zeros((2, 7), int), PACKING, context=b"round 7")], "terms"),
        ([part, 3 * private.encrypt_integers(np.zeros((7, 2), int), PACKING, context=b"round 7")], "shapes"),
        ([part, 3 * private.encrypt_integers(np.zeros((2, 7), int), PACKING)], "contexts"),
        (
            [part, 3 * private.encrypt_integers(np.zeros((2, 7), int), Packing(7.0), context=b"round 7")],
            "packings",
        ),
        ([], "nothing"),
    ]:
        with pytest.raises(ValueError, match=match):
            concatenate(others)
    with pytest.raises(InvalidCiphertextError):
        concatenate([part, 3 * stranger.encrypt_integers(np.zeros((2, 7), int), PACKING, context=b"round 7")])
    for bad in ([part, 1], [private.encrypt_integers(1, PACKING)]):
        with pytest.raises(TypeError):
            concatenate(bad)
    assert concatenate([part, odd]).shape == (3, 7)


# Operators


@pytest.mark.parametrize(
    "operation",
    [
        lambda a: a + 1,
        lambda a: 1 + a,
        lambda a: sum([a, a]),
        lambda a: a + np.ones(3),
        lambda a: np.ones(3) + a,
        lambda a: np.add(a, a),
        lambda a: a - a,
        lambda a: 1 - a,
        lambda a: -a,
        lambda a: a / 2,
        lambda a: a // 2,
        lambda a: a % 2,
        lambda a: a * a,
        lambda a: a * 0.5,
        lambda a: a * True,
        lambda a: np.ones(3, int) * a,
        lambda a: a @ a,
        lambda a: np.ones((3, 3)) @ a,
        lambda a: a == a,
        lambda a: a != 0,
        lambda a: a < a,
        bool,
        lambda a: a and 1,
        list,
        lambda a: 1 in a,
        lambda a: a in [1],
        hash,
        np.asarray,
        np.sum,
        lambda a: np.concatenate([a, a]),
        float,
        int,
        operator.index,
    ],
)
def test_what_would_be_wrong_is_a_type_error(private, operation):
    with pytest.raises(TypeError):
        operation(private.encrypt([1.0, 2.0, 3.0], PACKING))


def test_what_cannot_be_done_says_what_can(private):
    encrypted = private.encrypt([1.0], PACKING)
    for refused, advice in [(lambda: -encrypted, "negated"), (lambda: encrypted - encrypted, "negated")]:
        with pytest.raises(TypeError, match=advice):
            refused()


def test_length_is_that_of_the_first_axis(private):
    assert len(private.encrypt(np.zeros((4, 2)), PACKING)) == 4
    assert len(private.encrypt(np.zeros((0, 2)), PACKING)) == 0
    with pytest.raises(TypeError):
        len(private.encrypt(1.0, PACKING))


def test_numpy_integers_multiply_from_both_sides(private):
    encrypted = private.encrypt_integers([5, -7], PACKING)
    for three in (np.int64(3), np.uint8(3), np.array(3)):
        assert private.decrypt_integers(three * encrypted).tolist() == [15, -21]
        assert private.decrypt_integers(encrypted * three).tolist() == [15, -21]


# Contexts


def test_an_array_of_another_round_is_refused(private):
    data = private.encrypt([1.0], PACKING, context=b"round 7").to_bytes()
    assert EncryptedArray.from_bytes(data, private.public, context=b"round 7").context == b"round 7"
    assert EncryptedArray.from_bytes(data, private.public).context == b"round 7"
    for other in (b"", b"round 8", b"round 77"):
        with pytest.raises(InvalidCiphertextError, match="context"):
            EncryptedArray.from_bytes(data, private.public, context=other)


# Both versions of the header

WIDE = [
    Packing(8.0, 16, 10, signed=False),
    Packing(8.0, 16, 10, headroom=5),
    Packing(1.0, 8, 3, signed=False, headroom=1),
]


@pytest.mark.parametrize("packing", WIDE)
def test_version_2_carries_what_version_1_cannot(private, packing):
    encrypted = 2 * private.encrypt_integers([[3], [200]], packing, context=b"x")
    data = encrypted.to_bytes()
    assert data[:5] == b"MCPA\2"
    assert data[63:65] == bytes([packing.signed, packing.headroom])
    assert len(data) == encrypted.nbytes
    read = EncryptedArray.from_bytes(data, private.public)
    assert read.packing == packing
    assert read.to_bytes() == data
    assert private.decrypt_integers(read).tolist() == [[6], [400]]


def test_a_packing_of_version_1_is_never_written_as_version_2(private):
    data = bytearray(private.encrypt([1.0], PACKING).to_bytes())
    assert data[4] == 1
    data[4] = 2
    for signed, headroom in ((1, 0), (2, 0), (255, 3), (0, 60), (1, 255)):
        wide = bytes(data[:63]) + bytes([signed, headroom]) + bytes(data[63:])
        with pytest.raises(FormatError, match="packing"):
            EncryptedArray.from_bytes(wide, private.public)
    for version in (0, 3, 255):
        data[4] = version
        with pytest.raises(FormatError, match="version"):
            EncryptedArray.from_bytes(data, private.public)


@pytest.mark.parametrize("packing", WIDE)
def test_cut_headers_of_version_2_are_refused(private, packing):
    data = private.encrypt_integers([3], packing).to_bytes()
    for cut in range(76):
        with pytest.raises(FormatError):
            EncryptedArray.from_bytes(data[:cut], private.public)


def test_packings_of_different_kind_are_not_added(private):
    signed, unsigned = (private.encrypt_integers([3], Packing(8.0, 16, 10, signed=s)) for s in (True, False))
    with pytest.raises(ValueError, match="packings"):
        signed + unsigned


def test_unsigned_sums_are_exact_at_the_edge(private):
    packing = Packing(1.0, 8, 4, signed=False)
    full = private.encrypt_integers(np.full(30, 255), packing)
    assert private.decrypt_integers(4 * full).tolist() == [1020] * 30
    with pytest.raises(CapacityError):
        5 * full
    assert private.decrypt(4 * full).tolist() == [4.0] * 30


def test_stochastic_rounding_reaches_the_ciphertexts(private):
    packing = Packing(clip=1.0, bits=2)
    encrypted = private.encrypt(np.full(200, 0.5), packing, rounding="stochastic")
    assert set(private.decrypt_integers(encrypted).tolist()) == {0, 1}


def test_the_number_of_dimensions_follows_the_extension(private):
    data = private.encrypt_integers(np.zeros((2, 1), int), WIDE[0]).to_bytes()
    assert struct.unpack_from(">BBB", data, 62) == (2, 0, 0)
