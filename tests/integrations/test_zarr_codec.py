"""The codecs for Zarr 3 and numcodecs: what comes back, what is refused, and what is stored about keys."""

import asyncio
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec, TransposeCodec, ZstdCodec
from zarr.core.buffer.cpu import Buffer
from zarr.storage import LocalStore, MemoryStore, WrapperStore

from medcrypt import AuthenticationError, FormatError, InvalidKeyError, SecretKey, images
from medcrypt.integrations.chunk_cipher import CODEC_ID, encrypt_chunk
from medcrypt.integrations.codec_keys import ENVIRONMENT
from medcrypt.integrations.numcodecs import AesGcm as NumcodecsAesGcm
from medcrypt.integrations.zarr import AesGcm, register_key
from medcrypt.keys.derivation import expand

KEY = SecretKey.from_bytes(bytes(range(32)))
OTHER = SecretKey.from_bytes(bytes(range(1, 33)))
ID = KEY.fingerprint.hex()
DTYPES = ["bool", "i1", "u1", "<i2", ">u2", "<i4", "<u8", "<f2", "<f4", ">f8", "<c8"]


@pytest.fixture(autouse=True)
def known_key() -> Iterator[None]:
    with register_key(KEY):
        yield


def values(store: MemoryStore) -> dict[str, Buffer]:
    return {name: value for name, value in store._store_dict.items() if not name.endswith("zarr.json")}


def replaced(store: MemoryStore, name: str, data: bytes) -> MemoryStore:
    return MemoryStore({**store._store_dict, name: Buffer.from_bytes(data)})


def small(array_id: str = "", store: MemoryStore | None = None, **settings: object) -> MemoryStore:
    """Return a store with an array of 16 x 16 in four chunks."""
    store = MemoryStore() if store is None else store
    settings = {"compressors": AesGcm(KEY, array_id), **settings}
    array = zarr.create_array(store, shape=(16, 16), chunks=(8, 8), dtype="<u2", **settings)
    array[:] = np.arange(1, 257).reshape(16, 16)
    return store


class CountingStore(WrapperStore[MemoryStore]):
    """Count the bytes that are read."""

    read = 0

    async def get(self, key, prototype, byte_range=None):
        found = await self._store.get(key, prototype, byte_range)
        self.read += len(found) if found is not None else 0
        return found


@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    chunk=st.integers(1, 5),
    shard=st.integers(0, 2),
    dtype=st.sampled_from(DTYPES),
    compress=st.booleans(),
    index=st.booleans(),
    data=st.data(),
)
def test_arrays_come_back_through_chunks_and_shards(
    shape: tuple[int, ...],
    chunk: int,
    shard: int,
    dtype: str,
    compress: bool,
    index: bool,
    data: st.DataObject,
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    expected = (
        rng.integers(0, 2, shape).astype(dtype)
        if dtype == "bool"
        else rng.integers(0, 99, shape).astype(dtype)
    )
    secret = [ZstdCodec(), AesGcm(KEY)] if compress else [AesGcm(KEY)]
    inner = (chunk,) * len(shape)
    if shard:
        index_codecs = [BytesCodec(), AesGcm(KEY)] if index else [BytesCodec(), Crc32cCodec()]
        outer = tuple(shard * length for length in inner)
        codecs = [ShardingCodec(chunk_shape=inner, codecs=[BytesCodec(), *secret], index_codecs=index_codecs)]
    else:
        outer, codecs = inner, [BytesCodec(), *secret]
    store = MemoryStore()
    array = zarr.create(
        store=store, shape=shape, chunks=outer, dtype=dtype, codecs=codecs, zarr_format=3,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    array[...] = expected
    again = zarr.open_array(store, mode="r")
    assert np.array_equal(again[...], expected)
    selection = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, length), st.integers(0, length)))))
        for length in shape
    )
    assert np.array_equal(again[selection], expected[selection])


def test_a_chunk_is_a_cobblestone_blob_of_exactly_the_computed_size() -> None:
    store = small()
    key = expand(KEY.to_bytes(), b"medcrypt/v1/chunk-key", 32)
    context = b"medcrypt/v1/chunk\0medcrypt.aes_gcm\0" + KEY.fingerprint
    expected = np.arange(1, 257, dtype="<u2").reshape(16, 16)
    for name, value in values(store).items():
        row, column = map(int, name.split("/")[1:])
        plain = images.cobblestone.decrypt(key, value.to_bytes(), context)
        assert plain == expected[8 * row :, 8 * column :][:8, :8].tobytes()
        assert len(value) == AesGcm(KEY).compute_encoded_size(128, None) == 200


def test_encrypting_twice_never_gives_the_same_bytes() -> None:
    assert values(small())["c/0/0"].to_bytes() != values(small())["c/0/0"].to_bytes()


def test_the_metadata_name_the_key_and_do_not_hold_it() -> None:
    store = small("study 7/ct")
    stored = json.loads(store._store_dict["zarr.json"].to_bytes())["codecs"][-1]
    assert stored == {"name": CODEC_ID, "configuration": {"key_id": ID, "array_id": "study 7/ct"}}
    assert AesGcm(KEY).to_dict()["configuration"] == {"key_id": ID}
    assert NumcodecsAesGcm(KEY).get_config() == {"id": CODEC_ID, "key_id": ID}
    everything = b"".join(value.to_bytes() for value in store._store_dict.values())
    for codec in (AesGcm(KEY), NumcodecsAesGcm(KEY)):
        everything += pickle.dumps(codec) + repr(codec).encode()
        assert pickle.loads(pickle.dumps(codec)) == codec
    assert KEY.to_bytes() not in everything
    assert KEY.to_bytes().hex().encode() not in everything


def test_an_array_without_its_key_is_refused_by_the_id() -> None:
    store = MemoryStore()
    with register_key(OTHER):
        array = zarr.create_array(store, shape=4, chunks=4, dtype="i4", compressors=AesGcm(OTHER))
        array[:] = 1
    with pytest.raises(InvalidKeyError, match=OTHER.fingerprint.hex()):
        zarr.open_array(store)[:]
    with pytest.raises(InvalidKeyError):
        zarr.open_array(store)[:] = 2


def test_every_flipped_bit_and_every_truncation_is_refused() -> None:
    blob = bytearray(encrypt_chunk(ID, "", np.arange(40, dtype=np.uint8)).tobytes())
    codec = NumcodecsAesGcm(KEY)
    for place in range(8 * len(blob)):
        blob[place // 8] ^= 1 << place % 8
        with pytest.raises(AuthenticationError):
            codec.decode(bytes(blob))
        blob[place // 8] ^= 1 << place % 8
    for length in range(len(blob)):
        with pytest.raises((AuthenticationError, FormatError)):
            codec.decode(bytes(blob[:length]))
    assert bytes(codec.decode(bytes(blob))) == bytes(range(40))


def test_zarr_passes_the_refusal_on() -> None:
    store = small()
    data = bytearray(store._store_dict["c/1/0"].to_bytes())
    data[100] ^= 1
    with pytest.raises(AuthenticationError):
        zarr.open_array(replaced(store, "c/1/0", bytes(data)))[:]
    with pytest.raises((AuthenticationError, FormatError)):
        zarr.open_array(replaced(store, "c/1/0", bytes(data[:-1])))[:]


def test_chunks_of_an_array_with_another_id_are_refused_and_of_the_same_id_go_unseen() -> None:
    one, two = small("one"), small("two")
    with pytest.raises(AuthenticationError):
        zarr.open_array(replaced(one, "c/0/0", two._store_dict["c/0/0"].to_bytes()))[:]
    # What a codec cannot see, and the documentation says so: two chunks of one array exchanged.
    swapped = zarr.open_array(replaced(one, "c/0/0", one._store_dict["c/1/1"].to_bytes()))[:]
    assert swapped[0, 0] == 137


def test_another_codec_configuration_in_the_metadata_is_refused() -> None:
    store = small("one")
    metadata = json.loads(store._store_dict["zarr.json"].to_bytes())
    metadata["codecs"][-1]["configuration"]["array_id"] = "two"
    with pytest.raises(AuthenticationError):
        zarr.open_array(replaced(store, "zarr.json", json.dumps(metadata).encode()))[:]
    metadata["codecs"][-1]["configuration"] = {"key_id": OTHER.fingerprint.hex(), "array_id": "one"}
    with register_key(OTHER), pytest.raises(AuthenticationError):
        zarr.open_array(replaced(store, "zarr.json", json.dumps(metadata).encode()))[:]


@pytest.mark.parametrize(
    "configuration",
    [{}, {"key_id": 7}, {"key_id": "xy"}, {"key_id": ID, "array_id": 1}, {"key_id": ID, "key": "00"}],
)
def test_a_configuration_that_is_none_is_refused(configuration: dict[str, object]) -> None:
    with pytest.raises((TypeError, ValueError)):
        AesGcm.from_dict({"name": CODEC_ID, "configuration": configuration})
    with pytest.raises((TypeError, ValueError, KeyError)):
        numcodecs.get_codec({"id": CODEC_ID, **configuration})


def test_a_partial_read_of_a_shard_reads_its_index_and_the_inner_chunks_it_needs() -> None:
    memory = MemoryStore()
    array = zarr.create_array(
        memory, shape=(256, 256), chunks=(32, 32), shards=(256, 256), dtype="<u2", compressors=AesGcm(KEY)
    )  # fmt: skip
    expected = np.arange(256 * 256, dtype="<u2").reshape(256, 256)
    array[:] = expected
    counting = CountingStore(memory)
    again = zarr.open_array(counting)
    counting.read = 0
    assert np.array_equal(again[40:50, 70:100], expected[40:50, 70:100])
    index = 16 * 64 + 4
    chunk = AesGcm(KEY).compute_encoded_size(32 * 32 * 2, None)
    assert counting.read == index + 2 * chunk


def test_transposed_chunks_come_back() -> None:
    store = small(filters=[TransposeCodec(order=(1, 0))])
    assert np.array_equal(zarr.open_array(store)[:], np.arange(1, 257).reshape(16, 16))


@pytest.mark.parametrize("filters", [None, [numcodecs.Delta("<u2")], [numcodecs.Zstd()]])
def test_numcodecs_protects_version_2_arrays(filters: list[object] | None) -> None:
    store = small(zarr_format=2, filters=filters, compressors=NumcodecsAesGcm(KEY))
    array = zarr.open_array(store)
    assert np.array_equal(array[:], np.arange(1, 257).reshape(16, 16))
    assert json.loads(store._store_dict[".zarray"].to_bytes())["compressor"] == {"id": CODEC_ID, "key_id": ID}
    data = bytearray(store._store_dict["0.0"].to_bytes())
    data[-1] ^= 1
    with pytest.raises(AuthenticationError):
        zarr.open_array(replaced(store, "0.0", bytes(data)))[:]


@given(st.binary(max_size=100) | st.integers(16300, 16500).map(bytes), st.text(max_size=20))
def test_both_codecs_read_each_others_chunks(data: bytes, array_id: str) -> None:
    codec = NumcodecsAesGcm(KEY, array_id)
    assert numcodecs.get_codec(codec.get_config()) == codec
    assert bytes(codec.decode(codec.encode(data))) == data
    spec = type("Spec", (), {"prototype": zarr.core.buffer.cpu.buffer_prototype})
    decoded = AesGcm(KEY, array_id)._decode_sync(Buffer.from_bytes(codec.encode(data)), spec)
    assert decoded.to_bytes() == data
    encoded = AesGcm(KEY, array_id)._encode_sync(Buffer.from_bytes(data), spec)
    assert bytes(codec.decode(encoded.to_bytes())) == data


@pytest.mark.parametrize("order", "CF")
def test_numcodecs_takes_any_contiguous_buffer_and_an_output(order: str) -> None:
    codec = NumcodecsAesGcm(KEY)
    array = np.asarray(np.random.default_rng(7).normal(size=(5, 7)), order=order)
    out = np.empty_like(array)
    assert codec.decode(codec.encode(array), out=out) is out
    assert np.array_equal(out, array)
    with pytest.raises(ValueError, match="bytes"):
        codec.decode(codec.encode(array), out=np.empty(3))
    room = np.ones(5, np.uint8)
    blob = bytearray(codec.encode(b"12345"))
    blob[-1] ^= 1
    with pytest.raises(AuthenticationError):
        codec.decode(bytes(blob), out=room)
    assert not room.any()


def test_threads_write_and_read_at_once() -> None:
    array = zarr.create_array(
        MemoryStore(), shape=(32, 64), chunks=(1, 64), dtype="i4", compressors=AesGcm(KEY)
    )
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for row in range(number, 32, 4):
                array[row] = row
                assert (array[row] == row).all()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert np.array_equal(array[:, 5], np.arange(32))


def test_many_chunks_go_through_the_asynchronous_interface() -> None:
    codec = AesGcm(KEY)
    spec = type("Spec", (), {"prototype": zarr.core.buffer.cpu.buffer_prototype})
    chunks = [Buffer.from_bytes(bytes([number]) * number) for number in range(50)]

    async def both_ways() -> list[bytes]:
        encoded = await codec.encode([(chunk, spec) for chunk in chunks] + [(None, spec)])
        decoded = await codec.decode([(chunk, spec) for chunk in encoded])
        return [chunk.to_bytes() if chunk else b"" for chunk in decoded]

    assert asyncio.run(both_ways()) == [chunk.to_bytes() for chunk in chunks] + [b""]


WORKER = "import sys, zarr; print(int(zarr.open_array(sys.argv[1], mode='r')[3]))"


def test_another_process_finds_codec_and_key_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zarr.create_array(LocalStore(tmp_path / "a"), shape=4, chunks=2, dtype="i4", compressors=AesGcm(KEY))[
        :
    ] = 9
    run = [sys.executable, "-c", WORKER, str(tmp_path / "a")]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode
    assert f"no key with the id {ID}" in done.stderr
    KEY.save(tmp_path / "ward.key")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "ward.key"))
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout == "9\n"


def test_wrong_arguments_are_told_apart() -> None:
    for codec in (AesGcm, NumcodecsAesGcm):
        with pytest.raises(TypeError):
            codec(KEY.to_bytes())
        with pytest.raises(ValueError, match="16 hexadecimal"):
            codec("ward.key")
        with pytest.raises(TypeError):
            codec(KEY, array_id=b"x")
        with pytest.raises(ValueError, match="array_id"):
            codec(KEY, array_id="x" * 2000)
