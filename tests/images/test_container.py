"""Sealing and opening arrays: what goes in comes out, and what cannot go in says so."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_strategies import arrays, filled, laid_out, same

from medcrypt import AuthenticationError, Identity, Passphrase, SecretKey, images
from medcrypt.images import container
from reference import sealed_image as reference

KEY = SecretKey(bytes(range(32)))
ALICE, BOB = Identity(bytes(range(64))), Identity(bytes(range(1, 65)))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda part: (
        st.lists(part, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), part, max_size=3)
    ),
    max_leaves=8,
)
METADATA = st.dictionaries(st.text(st.characters(codec="utf-8")), JSON, max_size=4)

# ---- what goes in comes out --------------------------------------------------------------------------------


@given(arrays(), st.binary(max_size=30), st.sampled_from([None, 1, 3]))
def test_an_array_comes_back_with_its_dtype_shape_and_bytes(array, context, threads):
    sealed = images.encrypt(array, KEY, context=context, threads=threads)
    opened = images.decrypt(sealed, KEY, context=context, threads=threads)
    assert same(opened, array)
    assert opened.flags.c_contiguous
    assert opened.flags.writeable


@given(arrays())
def test_the_second_reader_agrees(array):
    sealed = images.encrypt(array, KEY, context=b"c", metadata={"a": 1}, public_metadata={"b": [None]})
    opened = reference.read(sealed, "secret-key", KEY.to_bytes(), b"c")
    assert same(opened.array, array)
    assert (opened.metadata, opened.public) == ({"a": 1}, {"b": [None]})


@given(METADATA, METADATA)
def test_metadata_come_back_and_the_second_reader_agrees(private, public):
    sealed = images.encrypt(np.zeros(3), KEY, metadata=private, public_metadata=public)
    with images.open(sealed, KEY) as image:
        assert image.metadata == private
        assert image.public_metadata == public
    opened = reference.read(sealed, "secret-key", KEY.to_bytes())
    assert (opened.metadata, opened.public) == (private, public)
    assert images.inspect(sealed).public_metadata == public
    assert images.inspect(sealed).has_private_metadata == bool(private)


@pytest.mark.parametrize(
    "value", [3, 2.5, True, 1j, [1, 2], [[1.0], [2.0]], range(4), np.float16(1), memoryview(b"ab")]
)
def test_what_numpy_makes_an_array_of_is_taken(value):
    assert same(images.decrypt(images.encrypt(value, KEY), KEY), np.asarray(value))


def test_a_subclass_comes_back_as_a_plain_array(tmp_path):
    mapped = np.memmap(tmp_path / "map", np.uint16, "w+", shape=(3, 4))
    mapped[:] = 7
    opened = images.decrypt(images.encrypt(mapped, KEY), KEY)
    assert type(opened) is np.ndarray
    assert same(opened, np.full((3, 4), 7, np.uint16))


def test_the_array_is_not_changed_and_not_kept():
    array = filled((10, 10), "<u2")
    before = array.copy()
    sealed = images.encrypt(array, KEY)
    array[:] = 0
    assert same(images.decrypt(sealed, KEY), before)


def test_sealing_twice_has_nothing_in_common_but_the_form():
    array = np.zeros(100, np.uint8)
    one, two = images.encrypt(array, KEY), images.encrypt(array, KEY)
    assert len(one) == len(two)
    assert images.inspect(one).file_id != images.inspect(two).file_id
    equal = sum(a == b for a, b in zip(one[-188:], two[-188:], strict=True))  # salt, commitment, chunk
    assert equal < 20


# ---- keys --------------------------------------------------------------------------------------------------


def test_each_of_several_recipients_opens_and_nobody_else():
    array = filled((4, 4), "<i2")
    sealed = images.encrypt(array, [KEY, ALICE.recipient])
    for key in (KEY, ALICE):
        assert same(images.decrypt(sealed, key), array)
    for key in (BOB, SecretKey(bytes(32)), Passphrase("x")):
        with pytest.raises(AuthenticationError):
            images.decrypt(sealed, key)


def test_a_passphrase_opens_and_another_does_not():
    array = filled((2, 3), "|u1")
    sealed = images.encrypt(array, Passphrase("open sesame"))
    assert same(images.decrypt(sealed, Passphrase("open sesame")), array)
    with pytest.raises(AuthenticationError):
        images.decrypt(sealed, Passphrase("open Sesame"))
    assert same(reference.read(sealed, "passphrase", b"open sesame").array, array)


def test_a_passphrase_is_the_only_recipient():
    for keys in ([KEY, Passphrase("x")], [Passphrase("x"), Passphrase("y")]):
        with pytest.raises(ValueError, match="only recipient"):
            images.encrypt(np.zeros(1), keys)


@pytest.mark.parametrize("key", [None, b"x" * 32, "key", ALICE, [ALICE], [KEY, None], 5, [[KEY]]])
def test_sealing_needs_keys_that_seal(key):
    with pytest.raises(TypeError):
        images.encrypt(np.zeros(1), key)


@pytest.mark.parametrize("key", [None, b"x" * 32, "key", ALICE.recipient, [KEY]])
def test_opening_needs_a_key_that_opens(key):
    sealed = images.encrypt(np.zeros(1), KEY)
    with pytest.raises(TypeError):
        images.decrypt(sealed, key)
    with pytest.raises(TypeError):
        images.open(sealed, key)


def test_there_are_1_to_255_recipients():
    with pytest.raises(ValueError, match="1 to 255"):
        images.encrypt(np.zeros(1), [])
    with pytest.raises(ValueError, match="1 to 255"):
        images.encrypt(np.zeros(1), [KEY] * 256)
    assert images.decrypt(images.encrypt(np.ones(1), [KEY] * 255), KEY) == 1


# ---- signatures ----------------------------------------------------------------------------------------------


def test_a_signed_image_opens_with_and_without_the_sender():
    array = filled((100, 100), "<u2")
    sealed = images.encrypt(array, KEY, signer=ALICE, context=b"c")
    assert same(images.decrypt(sealed, KEY, context=b"c", sender=ALICE.recipient), array)
    assert same(images.decrypt(sealed, KEY, context=b"c"), array)
    opened = reference.read(sealed, "secret-key", KEY.to_bytes(), b"c", ALICE.recipient.verifying_key)
    assert same(opened.array, array)
    assert images.inspect(sealed).signer == ALICE.recipient.verifying_key.hex()


def test_another_sender_and_a_missing_signature_are_refused():
    for sealed in (images.encrypt(np.zeros(3), KEY, signer=BOB), images.encrypt(np.zeros(3), KEY)):
        with pytest.raises(AuthenticationError):
            images.decrypt(sealed, KEY, sender=ALICE.recipient)
        with pytest.raises(AuthenticationError):
            images.open(sealed, KEY, sender=ALICE.recipient)


@pytest.mark.parametrize("sender", [ALICE, "alice", b"x" * 64])
def test_the_sender_is_a_recipient(sender):
    with pytest.raises(TypeError):
        images.decrypt(images.encrypt(np.zeros(3), KEY), KEY, sender=sender)


# ---- what cannot be sealed -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        np.array([None]),
        np.array([object()]),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.zeros(3, [("a", "u1"), ("b", "f4")]),
        np.zeros(3, np.longdouble),
        np.zeros(3, np.clongdouble),
        np.zeros(3, "M8[s]"),
        np.zeros(3, "m8[s]"),
        np.zeros(3, "V4"),
        np.ma.masked_array([1, 2], [True, False]),
        "text",
        b"bytes",
        None,
        {"a": 1},
    ],
)
def test_what_is_not_numbers_is_a_type_error(array):
    with pytest.raises(TypeError):
        images.encrypt(array, KEY)


@pytest.mark.parametrize("dtype", [object, "U3", "S3", np.longdouble, [("a", "u1")], "M8[s]"])
def test_the_size_of_what_cannot_be_sealed_is_a_type_error(dtype):
    with pytest.raises(TypeError):
        images.sealed_size((3,), dtype, KEY)


def test_too_many_axes_and_too_large_shapes_are_value_errors():
    with pytest.raises(ValueError, match="32 axes"):
        images.encrypt(np.zeros((1,) * 33), KEY)
    for shape in ((1 << 60,), (1 << 60, 0), (-1,), (2, -3)):
        with pytest.raises(ValueError, match="axis"):
            images.sealed_size(shape, "<u2", KEY)
    with pytest.raises(ValueError, match="axis"):
        images.encrypt(np.empty((1 << 60, 0), np.uint8), KEY)
    assert same(images.decrypt(images.encrypt(np.ones((1,) * 32), KEY), KEY), np.ones((1,) * 32))


@pytest.mark.parametrize(
    "metadata", [[], "text", {1: 2}, {"a": {1: 2}}, {"a": [{None: 1}]}, {"a": {1}}, {"a": b"x"}]
)
def test_metadata_that_json_does_not_know_are_type_errors(metadata):
    for name in ("metadata", "public_metadata"):
        with pytest.raises(TypeError):
            images.encrypt(np.zeros(1), KEY, **{name: metadata})


@pytest.mark.parametrize(
    "metadata", [{"a": float("nan")}, {"a": float("inf")}, {"a": "\udc80"}, {"a": "x" * (1 << 20)}]
)
def test_metadata_that_the_format_refuses_are_value_errors(metadata):
    with pytest.raises(ValueError):  # noqa: PT011
        images.encrypt(np.zeros(1), KEY, public_metadata=metadata)


def test_the_largest_metadata_still_open():
    private, public = {"a": "x" * ((1 << 24) - 8)}, {"a": "x" * ((1 << 20) - 8)}
    sealed = images.encrypt(np.zeros(1), KEY, metadata=private, public_metadata=public)
    with images.open(sealed, KEY) as image:
        assert image.metadata == private
        assert image.public_metadata == public


@pytest.mark.parametrize("context", ["text", None, 5, np.zeros(3, np.uint8), [1]])
def test_the_context_is_bytes(context):
    sealed = images.encrypt(np.zeros(1), KEY)
    with pytest.raises(TypeError, match="context"):
        images.encrypt(np.zeros(1), KEY, context=context)
    with pytest.raises(TypeError, match="context"):
        images.decrypt(sealed, KEY, context=context)
    with pytest.raises(TypeError, match="context"):
        images.open(sealed, KEY, context=context)


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match="cipher"):
        images.encrypt(np.zeros(1), KEY, cipher="rot13")
    with pytest.raises(TypeError, match="signer"):
        images.encrypt(np.zeros(1), KEY, signer=ALICE.recipient)
    with pytest.raises(ValueError, match="spare"):
        images.encrypt(np.zeros(1), KEY, spare_recipients=-1)
    with pytest.raises(ValueError, match="too many"):
        images.encrypt(np.zeros(1), KEY, spare_recipients=20_000)
    with pytest.raises(ValueError, match="threads"):
        images.encrypt(np.zeros(1), KEY, threads=0)


# ---- into buffers ------------------------------------------------------------------------------------------------


@given(arrays(), METADATA, st.booleans(), st.integers(0, 4))
def test_the_size_is_known_beforehand(array, metadata, signed, spare):
    options = {"metadata": metadata, "signer": ALICE if signed else None, "spare_recipients": spare}
    size = images.sealed_size(array.shape, array.dtype, [KEY, BOB.recipient], **options)
    assert type(size) is int
    assert size == len(images.encrypt(array, [KEY, BOB.recipient], **options))


@given(
    arrays(),
    st.sampled_from(
        [bytearray, lambda size: np.empty(size, np.uint8), lambda size: memoryview(bytearray(size))]
    ),
)
def test_into_a_buffer_and_out_of_it(array, make):
    size = images.sealed_size(array.shape, array.dtype, KEY)
    out = make(size + 5)
    assert images.encrypt_into(array, KEY, out) == size
    opened = np.empty(array.shape, array.dtype)
    assert images.decrypt_into(memoryview(out)[:size], KEY, opened) == array.nbytes
    assert same(opened, array)


def test_a_buffer_that_is_too_small_read_only_or_not_contiguous_is_refused():
    array = np.zeros((4, 4), np.uint16)
    size = images.sealed_size((4, 4), "<u2", KEY)
    with pytest.raises(ValueError, match="needs"):
        images.encrypt_into(array, KEY, bytearray(size - 1))
    with pytest.raises(ValueError, match="read-only"):
        images.encrypt_into(array, KEY, bytes(size))
    with pytest.raises(ValueError, match="contiguous"):
        images.encrypt_into(array, KEY, np.empty(2 * size, np.uint8)[::2])
    with pytest.raises(TypeError):
        images.encrypt_into(array, KEY, "x" * size)


@pytest.mark.parametrize(
    "view",
    [
        lambda memory: memory[:64].reshape(8, 8),
        lambda memory: memory[1000:1064].reshape(8, 8).T,
        lambda memory: memory[:128:2].reshape(8, 8),
        lambda memory: memory[2047:1983:-1].reshape(8, 8),
    ],
)
def test_an_array_inside_of_the_buffer_is_refused_whatever_its_strides(view):
    memory = np.zeros(2048, np.uint8)
    with pytest.raises(ValueError, match="overlap"):
        images.encrypt_into(view(memory), KEY, memory)
    assert not memory.any()


def test_the_image_that_is_opened_may_not_overlap_its_bytes():
    memory = np.zeros(4096, np.uint8)
    size = images.encrypt_into(np.ones(64, np.uint8), KEY, memory)
    with pytest.raises(ValueError, match="overlap"):
        images.decrypt_into(memory[:size], KEY, memory[size - 64 : size])


@pytest.mark.parametrize(
    ("out", "error"),
    [
        (np.empty((4, 4), "<u2"), ValueError),
        (np.empty((2, 8), ">u2"), ValueError),
        (np.empty(16, ">u2"), ValueError),
        (np.empty((4, 4), ">i2"), ValueError),
        (np.empty((4, 8), ">u2")[:, ::2], ValueError),
        (np.empty((4, 4), ">u2", order="F"), ValueError),
        (np.broadcast_to(np.zeros(4, ">u2"), (4, 4)), ValueError),
        (bytearray(32), TypeError),
        ([0] * 16, TypeError),
    ],
)
def test_the_array_to_open_into_has_the_dtype_shape_and_layout(out, error):
    sealed = images.encrypt(np.zeros((4, 4), ">u2"), KEY)
    with pytest.raises(error):
        images.decrypt_into(sealed, KEY, out)


@pytest.mark.parametrize("layout", ["c", "read-only"])
def test_into_allocates_no_second_copy(layout):
    array = laid_out((64, 1024, 1024), "|u1", layout)
    out = np.empty(images.sealed_size(array.shape, array.dtype, KEY), np.uint8)
    opened = np.empty_like(array)
    tracemalloc.start()
    try:
        images.encrypt_into(array, KEY, out, threads=2)
        images.decrypt_into(out, KEY, opened, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= 2 * 2 * 16384  # two chunks a thread
    assert np.array_equal(opened, array)


def test_sealing_to_bytes_and_opening_take_one_copy_each():
    array = filled((16, 1024, 1024), "|u1")
    tracemalloc.start()
    try:
        sealed = images.encrypt(array, KEY)
        sealing = tracemalloc.get_traced_memory()[1] / array.nbytes
        tracemalloc.reset_peak()
        opened = images.decrypt(sealed, KEY)
        opening = tracemalloc.get_traced_memory()[1] / array.nbytes
    finally:
        tracemalloc.stop()
    assert same(opened, array)
    assert sealing < 1.05
    assert opening < 2.05  # the sealed bytes are still there


def test_a_request_shows_neither_its_key_nor_its_metadata():
    request = container.Request.of(
        np.dtype("u1"),
        (1,),
        None,
        SecretKey.generate(),
        "aes-256-gcm",
        b"",
        {"PatientName": "Doe"},
        None,
        None,
        0,
    )
    assert repr(request.file_key) not in repr(request)
    assert "Doe" not in repr(request)
