"""Whatever is done to a sealed image, it is refused: an error of ours, never pixels, buffers wiped."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_strategies import filled

from medcrypt import AuthenticationError, FormatError, Identity, MedcryptError, SecretKey, images
from medcrypt.images.header import parse
from reference import sealed_image as reference

KEY, OTHER = SecretKey(bytes(range(32))), SecretKey(bytes(range(1, 33)))
ALICE, BOB = Identity(bytes(range(64))), Identity(bytes(range(1, 65)))
CONTEXT = b"study 7"
CHUNK, SEALED = 16384, 16400
SMALL = filled((3,), "<u2")
LARGE = filled((40_000,), "|u1")  # three chunks
OPTIONS = {"context": CONTEXT, "metadata": {"a": 1}, "public_metadata": {"b": 2}, "spare_recipients": 0}


def refused(data: bytes, key: object = KEY, **options: object) -> None:
    """Every way in refuses the bytes; `decrypt_into` leaves nothing of the pixels behind."""
    options = {"context": CONTEXT, **options}
    with pytest.raises(MedcryptError):
        images.decrypt(data, key, **options)
    with pytest.raises(MedcryptError):
        read_whole(data, key, **options)


def read_whole(data: bytes, key: object, **options: object) -> None:
    with images.open(data, key, **options) as image:
        image[...]


def refused_into(data: bytes, array: np.ndarray, **options: object) -> None:
    out = np.full(array.nbytes, 0xAA, np.uint8).view(array.dtype).reshape(array.shape)
    with pytest.raises(MedcryptError):
        images.decrypt_into(data, KEY, out, **{"context": CONTEXT, **options})
    assert set(out.tobytes()) in ({0}, {0xAA})


def parts_of(data: bytes) -> dict[str, tuple[int, int]]:
    """Return where each part of a sealed image begins and ends."""
    header = parse(np.frombuffer(data, np.uint8))
    first, second = header.size, header.size + header.slot_size
    body_end = header.form.body_start + header.form.body_size
    return {
        "header": (0, first),
        "slot 0": (first, second),
        "slot 1": (second, header.form.body_start),
        "slots": (first, header.form.body_start),
        "private": (first - len(header.private), first),
        "body": (header.form.body_start, body_end),
        "trailer": (body_end, len(data)),
    }


def with_part(data: bytes, name: str, new: bytes) -> bytes:
    start, end = parts_of(data)[name]
    return data[:start] + new + data[end:]


def part(data: bytes, name: str) -> bytes:
    start, end = parts_of(data)[name]
    return data[start:end]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


# ---- bits ----------------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_sealed_image_is_refused():
    data = images.encrypt(SMALL, KEY, **OPTIONS)
    for bit in range(8 * len(data)):
        with pytest.raises(MedcryptError):
            images.decrypt(flipped(data, bit), KEY, context=CONTEXT)


def test_every_flipped_bit_is_refused_by_a_reader_that_reads_all():
    data = images.encrypt(SMALL, KEY, **OPTIONS)
    for bit in range(8 * len(data)):
        with pytest.raises(MedcryptError):
            read_whole(flipped(data, bit), KEY, context=CONTEXT)


def test_every_flipped_bit_of_body_and_trailer_of_a_signed_image_is_refused_sender_or_not():
    data = images.encrypt(SMALL, KEY, signer=ALICE, **OPTIONS)
    start, end = parts_of(data)["body"][0], len(data)
    for bit in range(8 * start, 8 * end):
        sender = ALICE.recipient if bit % 2 else None
        with pytest.raises(MedcryptError):
            images.decrypt(flipped(data, bit), KEY, context=CONTEXT, sender=sender)


def test_every_flipped_byte_of_an_image_for_an_identity_is_refused():
    data = images.encrypt(SMALL, ALICE.recipient, **OPTIONS)
    for position in range(len(data)):
        refused(flipped(data, 8 * position + position % 8), ALICE)


@given(st.data())
def test_any_flipped_bit_of_a_large_image_is_refused_and_the_buffer_wiped(data):
    sealed = images.encrypt(LARGE, KEY, context=CONTEXT, signer=data.draw(st.sampled_from([None, ALICE])))
    changed = flipped(sealed, data.draw(st.integers(0, 8 * len(sealed) - 1)))
    refused_into(changed, LARGE, threads=data.draw(st.sampled_from([1, 3])))
    refused(changed)


@given(st.data())
def test_any_changed_run_of_bytes_is_refused(data):
    sealed = images.encrypt(SMALL, KEY, **OPTIONS)
    start = data.draw(st.integers(0, len(sealed) - 1))
    new = data.draw(st.binary(min_size=1, max_size=40))
    changed = sealed[:start] + new + sealed[start + len(new) :]
    if changed != sealed:
        refused(changed)


@given(st.binary(max_size=300), st.booleans())
def test_random_bytes_are_a_format_error(data, magic):
    data = b"MEDCRYPTI\x01" + data if magic else data
    for way_in in (
        images.inspect,
        lambda found: images.decrypt(found, KEY),
        lambda found: images.open(found, KEY),
    ):
        with pytest.raises(FormatError):
            way_in(data)


@given(st.data())
def test_the_second_reader_refuses_what_we_refuse(data):
    sealed = images.encrypt(SMALL, KEY, signer=ALICE, **OPTIONS)
    changed = flipped(sealed, data.draw(st.integers(0, 8 * len(sealed) - 1)))
    with pytest.raises(reference.RefusedError):
        reference.read(changed, "secret-key", KEY.to_bytes(), CONTEXT)


# ---- lengths ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signer", [None, ALICE])
def test_every_cut_is_a_format_error(signer):
    data = images.encrypt(SMALL, KEY, signer=signer, **OPTIONS)
    for size in range(len(data)):
        with pytest.raises(FormatError):
            images.decrypt(data[:size], KEY, context=CONTEXT)
        with pytest.raises(FormatError):
            images.open(data[:size], KEY, context=CONTEXT)


@pytest.mark.parametrize("more", [1, 16, SEALED, 100_000])
def test_every_extension_is_a_format_error(more):
    data = images.encrypt(SMALL, KEY, **OPTIONS)
    for longer in (data + bytes(more), data + data[-more:], bytes(more) + data):
        with pytest.raises(FormatError):
            images.decrypt(longer, KEY, context=CONTEXT)


# ---- chunks ----------------------------------------------------------------------------------------------------


def chunks_of(body: bytes) -> tuple[bytes, list[bytes]]:
    return body[:56], [body[at : at + SEALED] for at in range(56, len(body), SEALED)]


@pytest.mark.parametrize("order", [(1, 0, 2), (0, 0, 2), (1, 1, 2)])
@pytest.mark.parametrize("signer", [None, ALICE])
def test_chunks_out_of_order_are_refused(order, signer):
    data = images.encrypt(LARGE, KEY, context=CONTEXT, signer=signer)
    head, chunks = chunks_of(part(data, "body"))
    changed = with_part(data, "body", head + b"".join(chunks[number] for number in order))
    refused(changed)
    refused_into(changed, LARGE)


@pytest.mark.parametrize("number", range(3))
def test_a_chunk_of_another_image_under_the_same_key_is_refused(number):
    one, two = (images.encrypt(LARGE, KEY, context=CONTEXT) for _ in range(2))
    head, chunks = chunks_of(part(one, "body"))
    chunks[number] = chunks_of(part(two, "body"))[1][number]
    changed = with_part(one, "body", head + b"".join(chunks))
    refused(changed)
    refused_into(changed, LARGE)


# ---- parts of another image --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["header", "slots", "slot 0", "private", "body", "trailer"])
def test_a_part_of_another_image_of_the_same_form_is_refused(name):
    one, two = (images.encrypt(SMALL, KEY, signer=ALICE, **OPTIONS) for _ in range(2))
    changed = with_part(one, name, part(two, name))
    assert changed not in (one, two)
    refused(changed)
    refused(changed, sender=ALICE.recipient)
    refused_into(changed, SMALL)


def test_slots_cannot_trade_places():
    data = images.encrypt(SMALL, KEY, **OPTIONS)
    refused(with_part(data, "slots", part(data, "slot 1") + part(data, "slot 0")))


def test_a_slot_cannot_stand_twice():
    data = images.encrypt(SMALL, KEY, **OPTIONS)
    refused(with_part(data, "slot 1", part(data, "slot 0")))


def test_no_slots_are_a_format_error():
    data = images.encrypt(SMALL, KEY, **OPTIONS)
    with pytest.raises(FormatError):
        images.decrypt(with_part(data, "slots", bytes(len(part(data, "slots")))), KEY, context=CONTEXT)


def test_public_metadata_cannot_be_exchanged():
    data = images.encrypt(SMALL, KEY, public_metadata={"patient": "A"})
    assert data.count(b'"A"') == 1
    refused(data.replace(b'"A"', b'"B"'), context=b"")


def test_the_shape_and_dtype_cannot_be_changed():
    data = images.encrypt(filled((4, 6), "<u2"), KEY)
    for old, new in (
        (struct.pack("<2Q", 4, 6), struct.pack("<2Q", 6, 4)),
        (b"<u2 ", b">u2 "),
        (b"<u2 ", b"<i2 "),
    ):
        assert data.count(old) == 1
        refused(data.replace(old, new), context=b"")


# ---- keys, contexts, signatures ------------------------------------------------------------------------------------


def test_wrong_keys_and_contexts_are_refused():
    data = images.encrypt(LARGE, [KEY, ALICE.recipient], context=CONTEXT)
    for key, context in (
        (OTHER, CONTEXT),
        (BOB, CONTEXT),
        (KEY, b""),
        (KEY, b"study 8"),
        (KEY, CONTEXT + b"\0"),
        (ALICE, b"x"),
    ):
        with pytest.raises(AuthenticationError) as caught:
            images.decrypt(data, key, context=context)
        assert str(caught.value) == ""
        refused(data, key, context=context)
    refused_into(data, LARGE, context=b"wrong")


def unsigned(data: bytes) -> bytes:
    """Take signer and trailer out and clear the flag."""
    changed = bytearray(data[: parts_of(data)["trailer"][0]])
    rank = changed[22]
    del changed[64 + 8 * rank : 96 + 8 * rank]
    changed[10] = 0
    changed[12:16] = struct.pack("<I", struct.unpack("<I", changed[12:16])[0] - 32)
    return bytes(changed)


def test_a_signature_cannot_be_stripped():
    data = images.encrypt(SMALL, KEY, signer=ALICE, **OPTIONS)
    assert images.inspect(unsigned(data)).signer is None
    refused(unsigned(data))
    refused(unsigned(data), sender=ALICE.recipient)


def test_the_signer_cannot_be_exchanged():
    data = images.encrypt(SMALL, KEY, signer=ALICE, **OPTIONS)
    changed = data.replace(ALICE.recipient.verifying_key, BOB.recipient.verifying_key)
    assert changed != data
    refused(changed)
    refused(changed, sender=BOB.recipient)


def test_a_recipient_cannot_change_the_pixels_and_keep_the_signature():
    # Somebody who knows the file key encrypts other pixels under the same salt: the commitment and the tags
    # are right, and only the signed hashes tell.
    data = images.encrypt(SMALL, KEY, signer=ALICE, **OPTIONS)
    apart = reference.take_apart(data)
    digest = reference.hashlib.sha512(apart.header).digest()
    file_key = reference.find_file_key(apart, digest, "secret-key", KEY.to_bytes())
    binding = b"medcrypt/v1/image" + digest + CONTEXT
    forged = images.cobblestone.encrypt(file_key, SMALL[::-1].tobytes(), binding, apart.body[:24])
    changed = with_part(data, "body", forged)
    assert images.cobblestone.decrypt(file_key, forged, binding) == SMALL[::-1].tobytes()
    refused(changed)
    refused(changed, sender=ALICE.recipient)
    refused_into(changed, SMALL)


# ---- headers that lie ------------------------------------------------------------------------------------------------


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


@pytest.mark.parametrize(
    ("offset", "new"),
    [
        (0, b"medcrypt"),
        (8, b"J"),
        (9, b"\0"),
        (9, b"\2"),
        (10, b"\2"),
        (11, b"\1"),
        (12, struct.pack("<I", 63)),
        (12, struct.pack("<I", 0xFFFFFFFF)),
        (16, struct.pack("<I", 0)),
        (16, struct.pack("<I", 129)),
        (16, struct.pack("<I", 1 << 31)),
        (20, b"\0"),
        (20, b"\2"),
        (21, b"\1"),
        (22, b"\x21"),
        (22, b"\xff"),
        (23, b"\1"),
        (24, b"<f16"),
        (24, b"|O  "),
        (24, b"<u1 "),
        (24, b"u2  "),
        (24, b" <u2"),
        (24, b"<U1 "),
        (24, b"\xff\xff\xff\xff"),
        (28, struct.pack("<I", 0xFFFFFFFF)),
        (32, struct.pack("<I", 0xFFFFFFFF)),
        (32, struct.pack("<I", 1)),
        (52, b"\1"),
        (63, b"\1"),
        (64, struct.pack("<Q", 1 << 63)),
        (64, struct.pack("<Q", (1 << 64) - 1)),
        (64, struct.pack("<Q", 1 << 50)),
        (64, struct.pack("<Q", 4)),
    ],
)
def test_a_header_that_lies_is_a_format_error(offset, new):
    data = patched(images.encrypt(SMALL, KEY, **OPTIONS), offset, new)
    for way_in in (
        images.inspect,
        lambda data: images.decrypt(data, KEY),
        lambda data: images.open(data, KEY),
    ):
        with pytest.raises(FormatError):
            way_in(data)


def test_an_endless_shape_with_an_empty_axis_is_a_format_error():
    data = images.encrypt(np.zeros((2, 0), "<u2"), KEY)
    with pytest.raises(FormatError, match="too large"):
        images.decrypt(patched(data, 64, struct.pack("<Q", 1 << 62)), KEY)


def test_metadata_that_are_not_canonical_are_refused_even_where_they_authenticate(monkeypatch):
    for text in (
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b"{}",
        b"[]",
        b"nonsense",
        b'{"a":1e5}',
        b"[" * 100_000,
        b'{"a":1,"a":1}',
    ):
        with monkeypatch.context() as patch:
            patch.setattr("medcrypt.images.container.metadata_to_bytes", lambda _, most, text=text: text)
            sealed = images.encrypt(SMALL, KEY, metadata={"a": 1}, public_metadata={"a": 1})
        with pytest.raises(FormatError, match="canonical"):
            images.open(sealed, KEY)
        with pytest.raises(FormatError, match="canonical"):
            images.inspect(sealed)
