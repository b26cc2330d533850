"""The encrypted store: Zarr's own conformance tests, and every way to change what lies underneath."""

import asyncio
import inspect
import itertools
import multiprocessing
import pickle
import re
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer.cpu import Buffer
from zarr.core.buffer.cpu import buffer_prototype as host
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore, WrapperStore
from zarr.testing.store import StoreTests

from medcrypt import (
    AuthenticationError,
    FormatError,
    Identity,
    InvalidKeyError,
    Passphrase,
    SecretKey,
    images,
)
from medcrypt.integrations.codec_keys import ENVIRONMENT, find_key
from medcrypt.integrations.zarr import EncryptedStore, register_key
from medcrypt.integrations.zarr_log import Contents, Record

KEY = SecretKey.from_bytes(bytes(range(32)))
ALICE = Identity.from_bytes(bytes(range(64)))
BOB = Identity.from_bytes(bytes(range(1, 65)))
CHUNK = images.cobblestone.CHUNK


def put(store: Store, path: str, data: bytes) -> None:
    sync(store.set(path, Buffer.from_bytes(data)))


def take(store: Store, path: str, byte_range: object = None) -> bytes | None:
    found = sync(store.get(path, host, byte_range))
    return None if found is None else found.to_bytes()


def paths(store: Store) -> list[str]:
    async def collect() -> list[str]:
        return [path async for path in store.list()]

    return sorted(sync(collect()))


def filled(**values: bytes) -> tuple[MemoryStore, EncryptedStore]:
    memory = MemoryStore()
    store = EncryptedStore(memory, KEY)
    for path, data in values.items():
        put(store, path, data)
    return memory, store


def raw(memory: MemoryStore) -> dict[str, bytes]:
    return {name: value.to_bytes() for name, value in memory._store_dict.items()}


def holding(state: dict[str, bytes]) -> MemoryStore:
    return MemoryStore({name: Buffer.from_bytes(data) for name, data in state.items()})


def object_of(store: EncryptedStore, path: str) -> str:
    return store._contents.entries[path].object_name


class CountingStore(WrapperStore[Store]):
    """Note what is read and how much."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.reads: list[tuple[str, int]] = []

    async def get(self, key, prototype, byte_range=None):
        found = await self._store.get(key, prototype, byte_range)
        self.reads.append((key, len(found) if found is not None else 0))
        return found


# --- Zarr's conformance tests, without the plugin that they would need for their asynchronous fixtures --------


class Conformance(StoreTests[EncryptedStore, Buffer]):
    store_cls = EncryptedStore
    buffer_cls = Buffer

    async def set(self, store: EncryptedStore, key: str, value: Buffer) -> None:
        await EncryptedStore(store._store, KEY).set(key, value)

    async def get(self, store: EncryptedStore, key: str) -> Buffer:
        return await EncryptedStore(store._store, KEY).get(key, host)

    def store_kwargs(self) -> dict[str, Any]:
        raise NotImplementedError  # given by the test below

    def test_store_repr(self, store: EncryptedStore) -> None:
        assert repr(store) == f"EncryptedStore({store._store!r}, key_id='669e43bda5f9512a')"

    def test_store_supports_writes(self, store: EncryptedStore) -> None:
        assert store.supports_writes

    def test_store_supports_listing(self, store: EncryptedStore) -> None:
        assert store.supports_listing


# Stores may also answer without an event loop; this one does not.
SYNCHRONOUS = re.compile(r"test_(get|set|delete)_sync(_missing)?")


def conformance_cases() -> Iterator[Any]:
    for name, method in inspect.getmembers(Conformance, inspect.isfunction):
        if name.startswith("test_") and not SYNCHRONOUS.fullmatch(name):
            marks = [mark.args for mark in getattr(method, "pytestmark", []) if mark.name == "parametrize"]
            options = [
                [
                    dict(zip(names, row, strict=True)) if isinstance(names, tuple) else {names: row}
                    for row in rows
                ]
                for names, rows in marks
            ]
            for number, choice in enumerate(itertools.product(*options)):
                settings = {name: value for part in choice for name, value in part.items()}
                yield pytest.param(name, settings, id=f"{name}-{number}")


@pytest.mark.parametrize(("name", "arguments"), list(conformance_cases()))
def test_the_store_does_what_zarr_expects_of_a_store(
    name: str, arguments: dict[str, Any], tmp_path: Path
) -> None:
    kwargs = {"store": LocalStore(tmp_path), "key": KEY}
    EncryptedStore(**kwargs).token  # noqa: B018 - now it exists, and can be opened for reading only
    tests, method = Conformance(), getattr(Conformance, name)
    offered = {
        "store": lambda: sync(EncryptedStore.open(**kwargs)),
        "store_not_open": lambda: EncryptedStore(**kwargs),
        "store_kwargs": lambda: dict(kwargs),
        "open_kwargs": lambda: dict(kwargs),
    }
    wanted = [one for one in inspect.signature(method).parameters if one in offered]
    given = {one: offered[one]() for one in wanted} | arguments
    with register_key(KEY):
        result = method(tests, **given)
        if inspect.isawaitable(result):
            sync(result)


# --- what an array sees ---------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
    chunk=st.integers(1, 5),
    shards=st.booleans(),
    dtype=st.sampled_from(["bool", "<i2", ">f4", "<c8"]),
    data=st.data(),
)
def test_arrays_and_groups_come_back(
    shape: tuple[int, ...], chunk: int, shards: bool, dtype: str, data: st.DataObject
) -> None:
    memory = MemoryStore()
    group = zarr.open_group(EncryptedStore(memory, KEY), mode="w")
    expected = np.random.default_rng(data.draw(st.integers(0, 9))).integers(0, 2, shape).astype(dtype)
    inner = (chunk,) * len(shape)
    array = group.create_array(
        "study/ct", shape=shape, chunks=inner, shards=tuple(2 * n for n in inner) if shards else None, dtype=dtype
    )  # fmt: skip
    array[...] = expected
    array.attrs["modality"] = "CT"
    again = zarr.open_group(EncryptedStore(memory, KEY), mode="r")["study/ct"]
    assert np.array_equal(again[...], expected)
    assert again.attrs["modality"] == "CT"
    everything = b"".join(raw(memory).values()) + " ".join(raw(memory)).encode()
    for visible in (b"study", b"zarr", b"modality"):
        assert visible not in everything


class AgainstMemory(RuleBasedStateMachine):
    """Two handles on one encrypted store, and a dictionary that says what they should hold."""

    names = st.sampled_from(["zarr.json", "a/zarr.json", "a/c/0", "a/c/1", "ab/c/0", "ü/c"])
    which = st.integers(0, 1)

    @initialize()
    def begin(self) -> None:
        self.memory = MemoryStore()
        self.handles = [EncryptedStore(self.memory, KEY) for _ in range(2)]
        self.model: dict[str, bytes] = {}

    @rule(which=which, name=names, data=st.binary(max_size=50) | st.integers(16380, 16390).map(bytes))
    def write(self, which: int, name: str, data: bytes) -> None:
        put(self.handles[which], name, data)
        self.model[name] = data

    @rule(which=which, name=names)
    def delete(self, which: int, name: str) -> None:
        sync(self.handles[which].delete(name))
        self.model.pop(name, None)

    @rule(which=which, folder=st.sampled_from(["", "a", "ü"]))
    def delete_folder(self, which: int, folder: str) -> None:
        sync(self.handles[which].delete_dir(folder))
        below = f"{folder}/" if folder else ""
        self.model = {name: data for name, data in self.model.items() if not name.startswith(below)}

    @rule(which=which)
    def reopen(self, which: int) -> None:
        self.handles[which] = EncryptedStore(self.memory, KEY, at_least=self.handles[which].token)

    @rule(which=which)
    def vacuum(self, which: int) -> None:
        assert self.handles[which].vacuum() == 0

    @invariant()
    def both_hold_what_they_should(self) -> None:
        for store in self.handles:
            assert paths(store) == sorted(self.model)
            assert {name: take(store, name) for name in self.model} == self.model


TestTwoHandles = AgainstMemory.TestCase
TestTwoHandles.settings = settings(max_examples=10, stateful_step_count=20)


def test_any_byte_range_gives_what_a_slice_gives_and_reads_only_its_chunks() -> None:
    data = np.random.default_rng(3).bytes(3 * CHUNK)
    memory, _ = filled(value=data, cut=data[:-5])
    counting = CountingStore(memory)
    store = EncryptedStore(counting, KEY)
    assert take(store, "value", RangeByteRequest(0, 1)) == data[:1]
    edges = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 1, 3 * CHUNK, 3 * CHUNK + 9]
    for name, expected in (("value", data), ("cut", data[:-5])):
        for start, stop in itertools.combinations_with_replacement(edges, 2):
            counting.reads.clear()
            assert take(store, name, RangeByteRequest(start, stop)) == expected[start:stop]
            low, high = min(start, len(expected)), min(stop, len(expected))
            at_end = high == len(expected)
            chunks = (len(expected) // CHUNK + 1 if at_end else -(-high // CHUNK)) - low // CHUNK
            assert sum(size for _, size in counting.reads) <= (
                chunks * (CHUNK + 16) if low < high or at_end else 0
            )
            assert len(counting.reads) <= 1
        for edge in edges:
            assert take(store, name, OffsetByteRequest(edge)) == expected[edge:]
            assert take(store, name, SuffixByteRequest(edge)) == expected[max(len(expected) - edge, 0) :]


def test_sizes_are_told_without_reading_values() -> None:
    memory, _ = filled(value=bytes(100_000), empty=b"")
    counting = CountingStore(memory)
    store = EncryptedStore(counting, KEY)
    assert sync(store.getsize("value")) == 100_000
    assert sync(store.getsize_prefix("")) == 100_000
    assert sync(store.exists("empty"))
    assert not any(name.startswith("objects/") for name, _ in counting.reads)


# --- who may open it ------------------------------------------------------------------------------------------


def test_a_wrong_key_is_refused_when_the_store_is_opened() -> None:
    memory, _ = filled(a=b"1")
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(memory, SecretKey.generate()), "a")
    state = raw(memory)
    other = SecretKey.generate()
    state["medcrypt"] = state["medcrypt"].replace(KEY.fingerprint, other.fingerprint)
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(holding(state), other), "a")


def test_every_recipient_opens_the_store_and_nobody_else() -> None:
    memory, everybody = MemoryStore(), [KEY, ALICE.recipient, BOB.recipient]
    put(EncryptedStore(memory, ALICE, recipients=everybody), "a", b"1")
    for key in (KEY, ALICE, BOB):
        store = EncryptedStore(memory, key)
        assert take(store, "a") == b"1"
        assert store.recipients == tuple(
            (kind, one.fingerprint.hex())
            for kind, one in zip(("secret-key", "x25519", "x25519"), everybody, strict=True)
        )
        assert take(EncryptedStore(memory, key, recipients=reversed(everybody)), "a") == b"1"
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(memory, Identity.generate()), "a")
    with pytest.raises(ValueError, match="other recipients"):
        take(EncryptedStore(memory, KEY, recipients=[KEY, ALICE.recipient]), "a")


def test_an_identity_alone_makes_a_store_for_its_recipient() -> None:
    memory = MemoryStore()
    put(EncryptedStore(memory, ALICE), "a", b"1")
    assert take(EncryptedStore(memory, ALICE), "a") == b"1"
    assert EncryptedStore(memory, ALICE).recipients == (("x25519", ALICE.fingerprint.hex()),)


def test_recipients_come_and_go_without_touching_a_value() -> None:
    memory, store = filled(a=b"1", b=bytes(70_000))
    before = raw(memory)
    store.add_recipient(ALICE.recipient)
    assert take(EncryptedStore(memory, ALICE), "a") == b"1"
    EncryptedStore(memory, ALICE).remove_recipient(KEY)
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(memory, KEY), "a")
    assert take(store, "a") == b"1"  # open already: that is no revocation
    with pytest.raises(AuthenticationError):
        store.rewrap(KEY)
    EncryptedStore(memory, ALICE).rewrap([KEY])
    assert take(EncryptedStore(memory, KEY), "b") == bytes(70_000)
    after = raw(memory)
    assert before.pop("medcrypt") != after.pop("medcrypt")
    assert before == after
    for wrong in (lambda: store.remove_recipient(KEY), lambda: store.remove_recipient(ALICE)):
        with pytest.raises(ValueError, match="recipient"):
            wrong()
    many = [Identity.generate().recipient for _ in range(5)]
    with pytest.raises(ValueError, match="room"):
        store.add_recipient(many)
    with pytest.raises(ValueError, match="read-only"):
        EncryptedStore(memory, KEY, read_only=True).add_recipient(many[0])


def test_the_recipients_of_another_store_do_not_open_this_one() -> None:
    one, two = filled(a=b"1")[0], filled(a=b"1")[0]
    for place in (16, 32):  # the slot alone, and the store id with it
        state = raw(one)
        state["medcrypt"] = state["medcrypt"][:place] + raw(two)["medcrypt"][place:]
        if place == 16:
            state["medcrypt"] = raw(two)["medcrypt"]
        with pytest.raises(AuthenticationError):
            take(EncryptedStore(holding(state), KEY), "a")


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"key": Passphrase("six words")}, TypeError),
        ({"key": ALICE.recipient}, TypeError),
        ({"recipients": ALICE}, TypeError),
        ({"recipients": []}, ValueError),
        ({"recipients": [ALICE.recipient]}, ValueError),
        ({"recipients": Passphrase("six words")}, ValueError),
        ({"spare_recipients": -1}, ValueError),
    ],
)
def test_recipients_that_make_no_sense_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    memory = MemoryStore()
    with pytest.raises(error):
        put(EncryptedStore(memory, **{"key": KEY, **options}), "a", b"1")
    assert not raw(memory)


def test_an_identity_is_found_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = MemoryStore()
    store = EncryptedStore(memory, ALICE)
    put(store, "a", b"1")
    blob = pickle.dumps(EncryptedStore(LocalStore(tmp_path / "s"), ALICE))
    assert ALICE.to_bytes()[:32] not in blob
    with register_key(ALICE):
        assert take(EncryptedStore(memory, ALICE.fingerprint.hex()), "a") == b"1"
    ALICE.save(tmp_path / "alice.key")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "alice.key"))
    assert take(EncryptedStore(memory, ALICE.fingerprint.hex()), "a") == b"1"
    with pytest.raises(InvalidKeyError, match="identity"):
        find_key(ALICE.fingerprint.hex())


def test_a_store_that_holds_something_else_is_not_taken_over() -> None:
    with pytest.raises(FormatError, match="holds something"):
        put(EncryptedStore(holding({"zarr.json": b"{}"}), KEY), "a", b"1")
    with pytest.raises(FormatError, match="empty"):
        take(EncryptedStore(MemoryStore(read_only=True), KEY), "a")
    with pytest.raises(TypeError, match="Zarr store"):
        EncryptedStore({}, KEY)
    with pytest.raises(TypeError, match="already"):
        EncryptedStore(EncryptedStore(MemoryStore(), KEY), KEY)
    for token in ("", "7", "x" * 90):
        with pytest.raises(ValueError, match="token"):
            EncryptedStore(MemoryStore(), KEY, at_least=token)


def test_every_byte_of_the_header_is_checked() -> None:
    memory, _ = filled(a=b"1")
    state = raw(memory)
    for place in range(len(state["medcrypt"])):
        changed = bytearray(state["medcrypt"])
        changed[place] ^= 1
        with pytest.raises((AuthenticationError, FormatError)):
            take(EncryptedStore(holding({**state, "medcrypt": bytes(changed)}), KEY), "a")
    with pytest.raises(FormatError):
        take(EncryptedStore(holding({**state, "medcrypt": state["medcrypt"] + b"\0"}), KEY), "a")


def test_read_only_means_nothing_is_written() -> None:
    memory, _ = filled(a=b"1")
    before = raw(memory)
    store = EncryptedStore(memory, KEY, read_only=True)
    for write in (lambda: put(store, "a", b"2"), lambda: sync(store.clear()), store.vacuum):
        with pytest.raises(ValueError, match="read-only"):
            write()
    assert take(store, "a") == b"1"
    assert raw(memory) == before


# --- what is refused ------------------------------------------------------------------------------------------


def test_a_changed_cut_or_extended_value_is_refused() -> None:
    memory, store = filled(a=bytes(100))
    name, state = object_of(store, "a"), raw(memory)
    blob = state[name]
    spoilt = [blob[:-1], blob + b"\0", blob[:50], b""]
    spoilt += [blob[:place] + bytes([blob[place] ^ 128]) + blob[place + 1 :] for place in range(len(blob))]
    for data in spoilt:
        with pytest.raises(AuthenticationError):
            take(EncryptedStore(holding({**state, name: data}), KEY), "a")
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(holding({**state, name: blob[:-1]}), KEY), "a", SuffixByteRequest(1))


def test_swapped_values_are_refused() -> None:
    memory, store = filled(a=b"1", b=b"2")
    state = raw(memory)
    one, two = object_of(store, "a"), object_of(store, "b")
    swapped = EncryptedStore(holding({**state, one: state[two], two: state[one]}), KEY)
    for path in "ab":
        with pytest.raises(AuthenticationError):
            take(swapped, path)


def test_a_value_under_another_path_is_refused_even_where_the_records_would_agree() -> None:
    memory, store = filled(a=b"1")
    entry = store._contents.entries["a"]
    sync(
        store._commit({"renamed": entry})
    )  # as somebody could who has the key: the value itself is bound too
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(memory, KEY), "renamed")


def test_a_value_that_was_taken_away_is_refused_and_not_taken_for_empty() -> None:
    memory, store = filled(a=b"1", b=b"2")
    state = raw(memory)
    del state[object_of(store, "a")]
    again = EncryptedStore(holding(state), KEY)
    assert take(again, "b") == b"2"
    with pytest.raises(AuthenticationError):
        take(again, "a")


def test_a_chunk_of_an_array_that_is_put_back_to_an_older_one_is_refused() -> None:
    memory = MemoryStore()
    store = EncryptedStore(memory, KEY)
    array = zarr.create_array(store, shape=8, chunks=4, dtype="i4")
    array[:] = 1
    old = raw(memory)[object_of(store, "c/0")]
    array[:] = 2
    state = raw(memory)
    state[object_of(store, "c/0")] = old
    again = zarr.open_array(EncryptedStore(holding(state), KEY))
    assert again[4:].tolist() == [2] * 4
    with pytest.raises(AuthenticationError):
        again[:4]


def test_old_objects_beside_the_present_ones_change_nothing() -> None:
    memory, store = filled(a=b"old")
    old = raw(memory)
    put(store, "a", b"new")
    state = {**old, **raw(memory)}
    assert take(EncryptedStore(holding(state), KEY), "a") == b"new"
    sync(store.delete("a"))
    assert take(EncryptedStore(holding({**old, **raw(memory)}), KEY), "a") is None


def test_a_store_put_back_as_a_whole_is_refused_by_open_handles_and_by_a_token_only() -> None:
    memory, store = filled(a=b"old")
    early, before = store.token, raw(memory)
    put(store, "a", b"new")
    late = store.token
    memory._store_dict.clear()
    memory._store_dict.update(holding(before)._store_dict)
    with pytest.raises(AuthenticationError):
        take(store, "a")
    assert take(EncryptedStore(memory, KEY), "a") == b"old"  # nothing inside it can tell
    assert take(EncryptedStore(memory, KEY, at_least=early), "a") == b"old"
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(memory, KEY, at_least=late), "a")


def test_a_token_refuses_a_fork_and_another_store() -> None:
    memory, store = filled(a=b"1")
    before = raw(memory)
    put(store, "a", b"2")
    token = store.token
    fork = EncryptedStore(holding(before), KEY)
    for number in range(3):
        put(fork, "a", bytes([number]))
        with pytest.raises(AuthenticationError):
            take(EncryptedStore(fork._store, KEY, at_least=token), "a")
    other, elsewhere = filled(a=b"1", b=b"2", c=b"3", d=b"4")
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(other, KEY, at_least=token), "a")
    for number in range(40):  # so long a history that the record of the token's number is no longer read
        put(elsewhere, "a", bytes([number]))
    with pytest.raises(AuthenticationError):
        take(EncryptedStore(other, KEY, at_least=token), "a")
    put(store, "b", b"3")
    assert take(EncryptedStore(memory, KEY, at_least=token), "a") == b"2"


def test_records_that_are_changed_swapped_missing_or_of_another_store_are_refused() -> None:
    memory, _ = filled(a=b"1", b=b"2", c=b"3")
    state = raw(memory)
    logs = sorted(name for name in state if name.startswith("log/"))
    other = raw(filled(a=b"1", b=b"2", c=b"3")[0])
    assert len(logs) == 4
    for number, name in enumerate(logs):
        spoilt = [
            {**state, name: state[name][:-1]},
            {**state, name: state[name][:70] + bytes([state[name][70] ^ 1]) + state[name][71:]},
            {**state, name: other[name]},
            {**state, name: state[logs[number - 1]]},
            {**state, name: b""},
        ]
        if number < 3:  # without the last, this is the store as it was before
            spoilt.append({one: data for one, data in state.items() if one != name})
        for changed in spoilt:
            with pytest.raises(AuthenticationError):
                take(EncryptedStore(holding(changed), KEY), "a")
    with pytest.raises(FormatError, match="taken away"):
        take(EncryptedStore(holding({n: d for n, d in state.items() if not n.startswith("log/")}), KEY), "a")


def test_strange_objects_in_the_underlying_store_are_left_alone() -> None:
    memory, store = filled(a=b"1")
    state = {**raw(memory), "log/note.txt": b"x", "log/0000000000000000.ab.partial": b"", "objects/x": b"y"}
    again = EncryptedStore(holding(state), KEY)
    assert take(again, "a") == b"1"
    assert paths(again) == ["a"]
    assert again.vacuum() == 1
    assert take(store, "a") == b"1"


HEAD = struct.Struct("<Q24sI")
SET = struct.pack("<BH", 1, 1) + b"a" + bytes(64)
DELETE = struct.pack("<BH", 0, 1) + b"a"


@pytest.mark.parametrize(
    "plaintext",
    [
        b"",
        HEAD.pack(8, bytes(24), 0),
        HEAD.pack(0, bytes(24), 0) + b"\0",
        HEAD.pack(0, bytes(24), 1),
        HEAD.pack(0, bytes(24), 1) + SET[:-1],
        HEAD.pack(0, bytes(24), 1) + SET + DELETE,
        HEAD.pack(0, bytes(24), 2) + SET + DELETE,
        HEAD.pack(0, bytes(24), 1) + b"\2" + SET[1:],
        HEAD.pack(0, bytes(24), 1) + struct.pack("<BH", 0, 1) + b"\xff",
    ],
)
def test_a_record_of_another_format_is_refused(plaintext: bytes) -> None:
    label = b"medcrypt/v1/zarr-record" + struct.pack("<Q", 7)
    blob = images.cobblestone.encrypt(KEY.to_bytes(), plaintext, label)
    with pytest.raises(FormatError):
        Record.open(KEY.to_bytes(), 7, blob)


@given(st.binary(max_size=200))
def test_the_plaintext_of_a_record_is_parsed_strictly(data: bytes) -> None:
    blob = images.cobblestone.encrypt(KEY.to_bytes(), data, b"medcrypt/v1/zarr-record" + bytes(8))
    try:
        record = Record.open(KEY.to_bytes(), 0, blob)
    except FormatError:
        return
    again = images.cobblestone.decrypt(
        KEY.to_bytes(), record.seal(KEY.to_bytes()), b"medcrypt/v1/zarr-record" + bytes(8)
    )
    assert again == data


# --- crashes, other writers, other processes ------------------------------------------------------------------


class FailingStore(WrapperStore[MemoryStore]):
    """Fail on writing a name that begins in a certain way."""

    refuse = ""
    once = ""

    async def set(self, key: str, value: Buffer) -> None:
        self._fail(key)
        await self._store.set(key, value)

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        self._fail(key)
        await self._store.set_if_not_exists(key, value)

    def _fail(self, key: str) -> None:
        for prefix in (self.refuse, self.once):
            if prefix and key.startswith(prefix):
                self.once = ""
                raise OSError("no room")


@pytest.mark.parametrize("step", ["objects/", "log/"])
def test_an_interrupted_write_leaves_the_value_as_it_was(step: str) -> None:
    failing = FailingStore(MemoryStore())
    store = EncryptedStore(failing, KEY)
    put(store, "a", b"old")
    failing.refuse = step
    with pytest.raises(OSError, match="no room"):
        put(store, "a", b"new")
    failing.refuse = ""
    assert take(store, "a") == take(EncryptedStore(failing, KEY), "a") == b"old"
    assert store.vacuum() == (step == "log/")
    put(store, "a", b"newer")
    assert take(EncryptedStore(failing, KEY), "a") == b"newer"


def test_an_interrupted_creation_is_taken_up_again() -> None:
    memory, _ = filled()
    put(EncryptedStore(memory, KEY), "a", b"1")
    only_header = holding({"medcrypt": raw(memory)["medcrypt"]})
    put(EncryptedStore(only_header, KEY), "b", b"2")
    assert paths(EncryptedStore(only_header, KEY)) == ["b"]


def test_writes_of_one_moment_share_records() -> None:
    memory = MemoryStore()
    store = EncryptedStore(memory, KEY)
    values = [(f"c/{number}", Buffer.from_bytes(bytes([number]))) for number in range(50)]
    sync(store._set_many(values))
    assert len(paths(store)) == 50
    assert sum(name.startswith("log/") for name in raw(memory)) < 30


def test_a_cancelled_write_is_not_written_down_later() -> None:
    memory = MemoryStore()
    store = EncryptedStore(memory, KEY)

    async def race() -> None:
        await store.set("a", Buffer.from_bytes(b"1"))
        entry = store._contents.entries["a"]
        async with store._queues[asyncio.get_running_loop()].lock:
            waiting = asyncio.create_task(store._commit({"late": entry}))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await store.set("b", Buffer.from_bytes(b"2"))

    sync(race())
    assert paths(EncryptedStore(memory, KEY)) == ["a", "b"]


def test_a_record_that_cannot_be_written_fails_one_write_and_the_others_try_again() -> None:
    failing = FailingStore(MemoryStore())
    store = EncryptedStore(failing, KEY)

    async def race() -> list[object]:
        await store.set("a", Buffer.from_bytes(b"1"))
        entry = store._contents.entries["a"]
        async with store._queues[asyncio.get_running_loop()].lock:
            tasks = [asyncio.create_task(store._commit({f"b{number}": entry})) for number in range(4)]
            await asyncio.sleep(0)
            failing.once = "log/"
        return await asyncio.gather(*tasks, return_exceptions=True)

    outcomes = sync(race())
    assert [type(outcome) for outcome in outcomes] == [OSError, type(None), type(None), type(None)]
    assert paths(EncryptedStore(failing, KEY)) == ["a", "b1", "b2", "b3"]


def test_of_writes_to_one_path_at_one_moment_one_value_is_left() -> None:
    memory = MemoryStore()
    store = EncryptedStore(memory, KEY)
    sync(store._set_many([("a", Buffer.from_bytes(bytes([number]))) for number in range(20)]))
    assert len([name for name in raw(memory) if name.startswith("objects/")]) == 1
    assert take(EncryptedStore(memory, KEY), "a") == take(store, "a")


def test_long_histories_are_summed_up_and_sleeping_handles_find_the_way() -> None:
    memory = MemoryStore()
    sleeper = EncryptedStore(memory, KEY)
    put(sleeper, "first", b"0")
    busy = EncryptedStore(memory, KEY)
    for number in range(100):
        put(busy, f"k{number % 7}", bytes([number]))
    counting = CountingStore(memory)
    assert take(EncryptedStore(counting, KEY), "k1") == bytes([99])
    assert len(counting.reads) < 40
    busy.vacuum()
    assert sum(not value for value in raw(memory).values()) > 50
    put(sleeper, "last", b"1")
    assert take(sleeper, "k1") == bytes([99])
    assert paths(EncryptedStore(memory, KEY)) == sorted(["first", "last", *(f"k{n}" for n in range(7))])


def test_a_reader_that_holds_an_old_table_finds_the_replaced_value() -> None:
    memory, writer = filled(a=b"1")
    reader = EncryptedStore(memory, KEY)
    assert take(reader, "a") == b"1"
    put(writer, "a", b"2")
    assert take(reader, "a") == b"2"
    sync(writer.delete("a"))
    assert take(reader, "a") is None


def test_nothing_is_left_over_of_replaced_values() -> None:
    memory, store = filled(a=b"1", b=b"2")
    for number in range(10):
        put(store, "a", bytes([number]))
    sync(store.delete("b"))
    assert [name for name in raw(memory) if name.startswith("objects/")] == [object_of(store, "a")]


@pytest.mark.parametrize("one_handle", [True, False])
def test_threads_with_their_own_event_loops_lose_nothing(one_handle: bool, tmp_path: Path) -> None:
    shared = EncryptedStore(LocalStore(tmp_path), KEY)
    assert shared.token
    errors: list[BaseException] = []

    def work(number: int) -> None:
        store = shared if one_handle else EncryptedStore(LocalStore(tmp_path), KEY)

        async def write() -> None:
            for turn in range(6):
                await store.set(f"{number}/{turn}", Buffer.from_bytes(bytes([number, turn])))
                assert (await store.get(f"{number}/{turn}", host)).to_bytes() == bytes([number, turn])

        try:
            asyncio.run(write())
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    again = EncryptedStore(LocalStore(tmp_path), KEY)
    assert {path: take(again, path) for path in paths(again)} == {
        f"{number}/{turn}": bytes([number, turn]) for number in range(4) for turn in range(6)
    }


def write_row(pickled: bytes, row: int) -> None:
    """Fill one row of an array: run in another process."""
    zarr.open_array(pickle.loads(pickled))[row] = row


def test_processes_write_at_once_and_find_the_key_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = EncryptedStore(LocalStore(tmp_path / "store"), KEY)
    zarr.create_array(store, shape=(4, 10), chunks=(1, 5), dtype="i4", fill_value=-1)
    pickled = pickle.dumps(store)
    assert KEY.to_bytes() not in pickled
    with pytest.raises(InvalidKeyError, match=KEY.fingerprint.hex()):
        take(pickle.loads(pickled), "zarr.json")
    KEY.save(tmp_path / "ward.key")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "ward.key"))
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(write_row, [(pickled, row) for row in range(4)], chunksize=1)
    expected = np.repeat(np.arange(4)[:, None], 10, axis=1)
    assert np.array_equal(zarr.open_array(store, mode="r")[:], expected)


def test_a_pickle_carries_the_state_that_it_must_not_fall_behind() -> None:
    memory, store = filled(a=b"1")
    before = raw(memory)
    put(store, "a", b"2")
    state = {**store.__getstate__(), "store": holding(before)}
    again = EncryptedStore.__new__(EncryptedStore)
    again.__setstate__(state)
    with register_key(KEY), pytest.raises(AuthenticationError):
        take(again, "a")


def test_the_chain_lists_everything_every_so_often() -> None:
    contents, salt = Contents(), bytes(24)
    complete = 0
    for number in range(200):
        record = contents.next_record({f"{number % 3}": None})
        complete += record.complete
        salt = number.to_bytes(24, "big")
        contents.apply(record, salt)
    assert 5 <= complete <= 8
    version, base = contents.version, contents.base
    wrong = [
        Record(version + 1, base, b"x" * 24, {}),
        Record(version + 2, base, salt, {}),
        Record(version + 1, base - 1, salt, {}),
    ]
    for record in wrong:
        with pytest.raises(AuthenticationError):
            contents.apply(record, salt)
    with pytest.raises(AuthenticationError):
        Contents().apply(Record(3, 2, bytes(24), {}), salt)
    for old in (version, version - 5):
        contents.apply(Record(old, old, salt, {"old": None}), b"x" * 24)
    assert (contents.version, contents.base, contents.salt) == (version, base, salt)
