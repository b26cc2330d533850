"""The vectors of Zarr chunks and stores open with the library and with the reader written from the format page."""

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zarr.core.buffer.cpu import Buffer
from zarr.core.buffer.cpu import buffer_prototype as host
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from medcrypt import FormatError, Identity, MedcryptError, SecretKey
from medcrypt.images import cobblestone
from medcrypt.integrations.chunk_cipher import decrypt_chunk
from medcrypt.integrations.numcodecs import AesGcm
from medcrypt.integrations.zarr import EncryptedStore, register_key
from medcrypt.integrations.zarr_header import StoreHeader
from medcrypt.integrations.zarr_log import Entry, Record
from reference import cobblestone as reference_cobblestone
from reference import zarr_objects as twin
from reference.sealed_image import RefusedError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/integrations/zarr.json").read_text("utf-8"))
STORES = {store["name"]: store for store in VECTORS["stores"]}
KEY = SecretKey.from_bytes(bytes(range(32)))
Vector = dict[str, Any]


def unpacked(values: dict[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in values.items()}


def opener(key: dict[str, str]) -> SecretKey | Identity:
    return {"secret-key": SecretKey, "identity": Identity}[key["kind"]](bytes.fromhex(key["bytes"]))


def holding(objects: dict[str, bytes]) -> MemoryStore:
    return MemoryStore({name: Buffer.from_bytes(data) for name, data in objects.items()})


def everything(store: EncryptedStore) -> dict[str, bytes]:
    async def read() -> dict[str, bytes]:
        return {path: (await store.get(path, host)).to_bytes() async for path in store.list()}

    return sync(read())


# --- chunks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["chunks"], ids=lambda vector: repr(vector["array_id"]))
def test_a_chunk_opens_in_the_library_and_in_the_twin(vector: Vector) -> None:
    plain, blob = base64.b64decode(vector["plain_base64"]), base64.b64decode(vector["blob_base64"])
    with register_key(KEY):
        assert bytes(AesGcm(KEY, vector["array_id"]).decode(blob)) == plain
    assert twin.read_chunk(KEY.to_bytes(), vector["array_id"], blob) == plain


@given(
    data=st.binary(max_size=80),
    array_id=st.text(max_size=9),
    place=st.integers(0, 2000),
    noise=st.integers(0, 255),
)
def test_library_and_twin_judge_changed_chunks_alike(
    data: bytes, array_id: str, place: int, noise: int
) -> None:
    with register_key(KEY):
        codec = AesGcm(KEY, array_id)
        blob = bytearray(codec.encode(data))
        assert twin.read_chunk(KEY.to_bytes(), array_id, bytes(blob)) == data
        blob[place % len(blob)] ^= noise
        if noise:
            with pytest.raises(MedcryptError):
                codec.decode(bytes(blob))
            with pytest.raises(RefusedError):
                twin.read_chunk(KEY.to_bytes(), array_id, bytes(blob))


@given(st.binary(max_size=200))
def test_strangers_bytes_are_no_chunk(data: bytes) -> None:
    with register_key(KEY), pytest.raises(MedcryptError):
        decrypt_chunk(KEY.fingerprint.hex(), "", memoryview_of(data))


def memoryview_of(data: bytes) -> Any:
    return cobblestone.as_bytes(data)


# --- stores ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", STORES.values(), ids=STORES)
def test_the_library_reads_the_store_with_each_key(vector: Vector) -> None:
    for key in vector["keys"]:
        store = EncryptedStore(holding(unpacked(vector["objects"])), opener(key), at_least=vector["token"])
        assert everything(store) == unpacked(vector["values"])
        assert store.token == vector["token"]


@pytest.mark.parametrize("vector", STORES.values(), ids=STORES)
def test_the_second_reader_reads_the_store_with_each_key(vector: Vector) -> None:
    for key in vector["keys"]:
        found = twin.read_store(unpacked(vector["objects"]), key["kind"], bytes.fromhex(key["bytes"]))
        assert found.values == unpacked(vector["values"])
        assert found.token == vector["token"]


def test_complete_records_are_among_the_vectors() -> None:
    numbers = [name for name in STORES["complete records in between"]["objects"] if name.startswith("log/")]
    assert len(numbers) == 71


@given(name=st.integers(0, 99), place=st.integers(0, 2**20), bit=st.integers(0, 7))
def test_library_and_twin_refuse_any_flipped_bit(name: int, place: int, bit: int) -> None:
    vector = STORES["written, replaced, deleted"]
    objects = unpacked(vector["objects"])
    changed = sorted(objects)[name % len(objects)]
    data = bytearray(objects[changed])
    data[place % len(data)] ^= 1 << bit
    objects[changed] = bytes(data)
    with pytest.raises(MedcryptError):
        everything(EncryptedStore(holding(objects), KEY))
    with pytest.raises(RefusedError):
        twin.read_store(objects, "secret-key", KEY.to_bytes())


# --- strict parsing -------------------------------------------------------------------------------------------


HEADER = unpacked(STORES["two recipients"]["objects"])["medcrypt"]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"medcrypt"), (8, b"I"), (9, b"\0"), (9, b"\2"), (10, b"\1"), (11, b"\1"), (12, bytes(4)),
        (12, struct.pack("<I", 64)), (12, struct.pack("<I", 65)), (12, struct.pack("<I", 2**20 + 64)),
        (12, struct.pack("<I", 128)), (12, b"\xff" * 4),
    ],
)  # fmt: skip
def test_a_header_that_is_not_of_this_form_is_refused(place: int, value: bytes) -> None:
    data = HEADER[:place] + value + HEADER[place + len(value) :]
    with pytest.raises(FormatError):
        StoreHeader.parse(data)
    with pytest.raises(RefusedError):
        twin.open_header(data, "secret-key", KEY.to_bytes())


@pytest.mark.parametrize("length", [0, 1, 31, 32, len(HEADER) - 1])
def test_a_header_of_another_length_is_refused(length: int) -> None:
    for data in (HEADER[:length], HEADER + b"\0"):
        with pytest.raises(FormatError):
            StoreHeader.parse(data)
        with pytest.raises(RefusedError):
            twin.open_header(data, "secret-key", KEY.to_bytes())


def test_every_flipped_bit_of_a_header_is_refused_by_both() -> None:
    for bit in range(8 * len(HEADER)):
        data = bytearray(HEADER)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MedcryptError):
            StoreHeader.parse(bytes(data)).open(KEY)
        if bit % 5 == 0:  # the twin takes its time
            with pytest.raises(RefusedError):
                twin.open_header(bytes(data), "secret-key", KEY.to_bytes())


def test_every_flipped_bit_of_a_record_is_refused() -> None:
    key, version = KEY.to_bytes(), 1
    blob = Record(version, 0, bytes(24), {"a": Entry(bytes(56), 7), "b": None}).seal(key)
    for bit in range(8 * len(blob)):
        data = bytearray(blob)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MedcryptError):
            Record.open(key, version, bytes(data))
    for other in (0, 2):
        with pytest.raises(MedcryptError):
            Record.open(key, other, blob)


PARTS = st.sampled_from(
    [
        b"",
        b"\0" + b"\1\0a",
        b"\1" + b"\1\0a" + bytes(64),
        b"\1" + b"\1\0b" + bytes(63),
        b"\2\1\0c",
        b"\0\xff\xff",
        b"\0\1\0\xff",
        b"\0\0\0",
        b"\1\0\0" + bytes(64),
    ]
)


@given(
    base=st.integers(0, 3), count=st.integers(0, 4), parts=st.lists(PARTS, max_size=4), cut=st.integers(0, 40)
)
def test_library_and_twin_read_the_same_records(base: int, count: int, parts: list[bytes], cut: int) -> None:
    plain = (struct.pack("<Q24sI", base, bytes(24), count) + b"".join(parts))[: -cut or None]
    blob = cobblestone.encrypt(KEY.to_bytes(), plain, b"medcrypt/v1/zarr-record" + struct.pack("<Q", 2))
    assert (
        reference_cobblestone.decrypt(
            KEY.to_bytes(), blob, b"medcrypt/v1/zarr-record" + bytes([2]) + bytes(7)
        )
        == plain
    )
    try:
        record = Record.open(KEY.to_bytes(), 2, blob)
    except FormatError:
        with pytest.raises(RefusedError):
            twin.parse_record(plain, 2)
        return
    expected = twin.parse_record(plain, 2)
    assert (record.base, record.previous) == (expected.base, expected.previous)
    assert record.changes == {path: place and Entry(*place) for path, place in expected.changes.items()}
