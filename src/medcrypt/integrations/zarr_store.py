"""A Zarr store whose values, names and history are sealed, for one or more recipients.

Each value is an object of its own under a random name, encrypted and bound to its path. Which object holds which
path is written down in a chain of sealed records (`medcrypt.integrations.zarr_log`): a value that was swapped,
renamed, changed, taken away or replaced by an older one is refused. Bytes: ``docs/formats/zarr.md``.
"""

from __future__ import annotations

import asyncio
import re
import weakref
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from zarr.abc.store import (
    ByteRequest,
    OffsetByteRequest,
    RangeByteRequest,
    Store,
    SuffixByteRequest,
)
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.core.buffer.cpu import Buffer as HostBuffer
from zarr.core.buffer.cpu import buffer_prototype as host
from zarr.core.sync import sync

from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.images import cobblestone
from medcrypt.images.cobblestone import CHUNK, OVERHEAD, SEALED_CHUNK
from medcrypt.images.recipients import SealingKey, as_recipients
from medcrypt.images.rewrapping import Change, Named, extended_by, replaced_by, shortened_by
from medcrypt.integrations.codec_keys import HeldKey, find_opening_key, key_id
from medcrypt.integrations.zarr_header import StoreHeader
from medcrypt.integrations.zarr_log import LONGEST_PATH, Changes, Contents, Entry, Record
from medcrypt.keys import Identity, Passphrase, SecretKey
from medcrypt.keys.derivation import SALT_BYTES

__all__ = ["EncryptedStore"]

Bytes = cobblestone.Bytes

_HEADER_NAME = "medcrypt"
_LABEL_VALUE = b"medcrypt/v1/zarr-value"
_RECORD_NAME = re.compile(r"log/([0-9a-f]{16})")
_TOKEN = re.compile(r"([0-9a-f]{32})-([0-9]{1,19})-([0-9a-f]{48})")


class EncryptedStore(Store):
    """A Zarr store that encrypts everything it puts into another store.

    Parameters
    ----------
    store
        The store to put things into. It has to be able to list. If it is empty and writable, it becomes an
        encrypted store; otherwise it has to be one.
    key
        A `SecretKey` or `Identity` of one of the recipients, or its id where the key is known by `register_key` or
        ``MEDCRYPT_KEY_FILE``.
    recipients
        Who can open a store that is to be made: secret keys and recipients, ``key`` among them. By default the key
        alone. A store that is there keeps its recipients, see `rewrap`: others are a ``ValueError``.
    spare_recipients
        How many more a new store shall have room for.
    read_only
        Refuse to write, even where the underlying store could.
    at_least
        A `token` that was kept elsewhere. An older state of the store than that one is refused.

    Raises
    ------
    AuthenticationError
        When it is first used: wrong key, changed records, or older than ``at_least``. When a value is read: the
        value was changed, swapped, renamed, rolled back or taken away.
    FormatError
        When it is first used: the underlying store holds something else.
    InvalidKeyError
        When it is first used: no key with this id is known.

    Notes
    -----
    *What remains visible* to whoever sees the underlying store: how many values there are, how long each is,
    when each was written, and the fingerprints of the recipients. Paths, metadata documents and attributes are not.

    *Rollback.* An older value in place of a newer one is refused. The whole store put back to what it was at an
    earlier time is consistent in itself, and nothing inside it can tell; a handle that is open refuses it, and
    so does one that is opened with ``at_least`` and a token of the later state.

    *Writers.* Several at a time, in any number of processes, are safe where the underlying store's
    ``set_if_not_exists`` is atomic, as those of Zarr's ``LocalStore``, ``MemoryStore`` and ``ObjectStore`` are;
    with any other store let one process write at a time. When a write returns, it is durable as far as the
    underlying store is; writes that wait for each other share a record. A crash loses nothing that was written
    and leaves at most objects that nobody refers to, for `vacuum`.

    *Recipients* come and go without touching a value: `add_recipient`, `remove_recipient`, `rewrap`. Who has been
    able to open the store can have kept its file key: only a new store makes that useless. Each replaces one small
    object, so let one process do it at a time, on a store whose ``set`` is atomic, as those named above are.

    *Pickling* stores the id of the key, never the key: a process that opens the pickle has to know the key.

    Examples
    --------
    >>> import zarr
    >>> from zarr.storage import MemoryStore
    >>> key, underlying = SecretKey.generate(), MemoryStore()
    >>> ct = zarr.create_array(EncryptedStore(underlying, key), name="ct", shape=(64, 64), chunks=(32, 32), dtype="i2")
    >>> ct[:] = 7
    >>> int(zarr.open_array(EncryptedStore(underlying, key), path="ct", mode="r")[40, 40])
    7
    """

    supports_writes = True
    supports_listing = True

    def __init__(
        self,
        store: Store,
        key: HeldKey | str,
        *,
        recipients: SealingKey | Iterable[SealingKey] | None = None,
        spare_recipients: int = 3,
        read_only: bool = False,
        at_least: str | None = None,
    ) -> None:
        if not isinstance(store, Store):
            raise TypeError(f"a Zarr store is needed, not {type(store).__name__}")
        if isinstance(store, EncryptedStore):
            raise TypeError("the store is encrypted already")
        if not store.supports_listing:
            raise ValueError("an encrypted store needs a store that can list")
        super().__init__(read_only=read_only or store.read_only)
        self._store = store
        if not isinstance(key, SecretKey | Identity | str):
            raise TypeError(f"a SecretKey, an Identity or the id of one is needed, not {type(key).__name__}")
        self._key = None if isinstance(key, str) else key
        self._key_id = key_id(key)
        self._recipients = None if recipients is None else as_recipients(recipients)
        self._spare = spare_recipients
        self._at_least = None if at_least is None else _Pin.of(at_least)
        self._header: StoreHeader | None = None
        self._value_key = b""
        self._contents = Contents()
        self._queues: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = (
            weakref.WeakKeyDictionary()
        )

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def supports_deletes(self) -> bool:
        """Always true: where the underlying store cannot delete, what is deleted is only no longer listed."""
        return True

    @property
    def token(self) -> str:
        """The present state of the store, to be kept elsewhere and given as ``at_least`` later on.

        It is not secret. Keep it where whoever can write the store cannot.
        """
        sync(self._ensure_open())
        return str(self._pin())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and (self._key_id, self._store) == (other._key_id, other._store)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"EncryptedStore({self._store!r}, key_id={self._key_id!r})"

    def __str__(self) -> str:
        return f"encrypted-{self._store}"

    def __getstate__(self) -> dict[str, Any]:
        pin = str(self._pin()) if self._is_open else None
        return {"store": self._store, "key": self._key_id, "read_only": self.read_only, "at_least": pin}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # a new handle, which opens itself when it is used

    def with_read_only(self, read_only: bool = False) -> EncryptedStore:
        """Return a handle on the same store that can write, or cannot."""
        pin = str(self._pin()) if self._is_open else None
        store = self._store
        if store.read_only and not read_only:
            store = store.with_read_only(False)
        return EncryptedStore(store, self._key or self._key_id, read_only=read_only, at_least=pin)

    # --- opening and closing ------------------------------------------------------------------------------

    async def _open(self) -> None:
        if self._is_open:
            raise ValueError("store is already open")
        await self._ensure_open()

    async def _ensure_open(self) -> None:
        if self._is_open:
            return
        await self._store._ensure_open()
        key = self._key or find_opening_key(self._key_id)
        header = await self._stored_header() or await self._create(key)
        self._value_key = await asyncio.to_thread(lambda: header.store_key(header.open(key)))
        if self._recipients is not None and not header.is_for(self._recipients):
            raise ValueError("the store has other recipients: open it without, then rewrap it")
        self._header = header
        contents = await self._load(header.store_id)
        if not self._is_open:  # another coroutine may have been faster, and have written since
            self._key, self._contents, self._is_open = key, contents, True

    def close(self) -> None:
        """Close this store and the underlying one."""
        super().close()
        self._store.close()

    async def _stored_header(self) -> StoreHeader | None:
        stored = await self._object(_HEADER_NAME)
        return None if stored is None else StoreHeader.parse(stored.tobytes())

    async def _create(self, key: HeldKey) -> StoreHeader:
        """Make an empty store an encrypted one; another process may be doing the same."""
        # A name that begins like the header's is the header of another process, perhaps half-written yet.
        async for name in self._store.list():
            if not name.startswith(_HEADER_NAME):
                raise FormatError("the store holds something and is no encrypted store")
        if self.read_only:
            raise FormatError(
                "the store is empty: it can become an encrypted store only where it can be written"
            )
        own = key.recipient if isinstance(key, Identity) else key
        keys = self._recipients or (own,)
        if own.fingerprint not in {one.fingerprint for one in keys if not isinstance(one, Passphrase)}:
            raise ValueError("the key has to be that of one of the recipients")
        header = StoreHeader.create(keys, self._spare)
        await self._store.set_if_not_exists(_HEADER_NAME, HostBuffer.from_bytes(header.to_bytes()))
        stored = await self._stored_header()
        if stored is None:
            raise FormatError("the underlying store does not keep what is written")
        return stored

    # --- who can open it ----------------------------------------------------------------------------------

    @property
    def recipients(self) -> tuple[tuple[str, str], ...]:
        """Kind and fingerprint of each recipient, as `medcrypt.images.inspect` shows those of a file."""
        sync(self._ensure_open())
        return tuple((stanza.name, stanza.fingerprint.hex()) for stanza in self._opened_header.stanzas())

    def rewrap(self, new: SealingKey | Iterable[SealingKey]) -> None:
        """Replace all recipients, as `medcrypt.images.rewrap` does for a file; no value is touched.

        A handle that is open goes on working, whoever goes.

        Raises
        ------
        ValueError
            More recipients than the store has room for (``spare_recipients``), or the store is read-only.
        """
        sync(self._change_header(replaced_by(new)))

    def add_recipient(self, new: SealingKey | Iterable[SealingKey]) -> None:
        """Let somebody else open the store too, as `medcrypt.images.add_recipient` does for a file."""
        sync(self._change_header(extended_by(new)))

    def remove_recipient(self, recipient: Named) -> None:
        """Take a recipient away, as `medcrypt.images.remove_recipient` does for a file. This is no revocation."""
        sync(self._change_header(shortened_by(recipient)))

    async def _change_header(self, change: Change) -> None:
        self._check_writable()
        await self._ensure_open()
        key, header = self._key, await self._stored_header()
        if key is None or header is None or header.store_id != self._opened_header.store_id:
            raise AuthenticationError
        header = await asyncio.to_thread(header.changed, key, change)
        await self._store.set(_HEADER_NAME, HostBuffer.from_bytes(header.to_bytes()))
        self._header, self._recipients = header, None

    @property
    def _opened_header(self) -> StoreHeader:
        if self._header is None:
            raise ValueError("store is not open")
        return self._header

    # --- the chain of records -----------------------------------------------------------------------------

    async def _load(self, store_id: bytes) -> Contents:
        """Read the chain from its last complete record on."""
        versions = await self._versions()
        if not versions:
            await self._begin()
        newest, last_salt = await self._record(max(versions, default=0))
        before = await asyncio.gather(*map(self._record, range(newest.base, newest.version)))
        contents = Contents()
        for record, salt in (*before, (newest, last_salt)):
            contents.apply(record, salt)
            if self._at_least is not None:
                self._at_least.check(record.version, salt)
        if self._at_least is not None:
            self._at_least.check_end(store_id, contents.version)
        return contents

    async def _versions(self) -> Sequence[int]:
        names = [_RECORD_NAME.fullmatch(name) async for name in self._store.list_prefix("log/")]
        return [int(name[1], 16) for name in names if name is not None]

    async def _begin(self) -> None:
        """Write the first record of a store that holds nothing yet."""
        if self.read_only or not await self._store.is_empty("objects"):
            raise FormatError("the records of the encrypted store were taken away")
        first = Contents().next_record({}).seal(self._value_key)
        await self._store.set_if_not_exists(Record.object_name(0), HostBuffer.from_bytes(first))

    async def _record(self, version: int) -> tuple[Record, bytes]:
        blob = await self._object(Record.object_name(version))
        if blob is None or not blob.size:
            raise AuthenticationError
        return await asyncio.to_thread(self._open_record, version, blob)

    def _open_record(self, version: int, blob: Bytes) -> tuple[Record, bytes]:
        return Record.open(self._value_key, version, blob), blob[:SALT_BYTES].tobytes()

    async def _catch_up(self) -> None:
        """Follow the records that others have written meanwhile: one small read where there are none."""
        while True:
            contents = self._contents
            version = contents.version + 1
            blob = await self._object(Record.object_name(version))
            if blob is None:
                return
            if not blob.size:  # emptied by `vacuum`: this handle has slept for long
                await self._reload()
                return
            contents.apply(*await asyncio.to_thread(self._open_record, version, blob))

    async def _reload(self) -> None:
        """Read the chain anew; an older one than is known here is refused."""
        contents = await self._load(self._opened_header.store_id)
        if contents.version < self._contents.version:
            raise AuthenticationError
        self._contents = contents

    async def _commit(self, changes: Changes) -> None:
        """Write changes down; those that wait at the same time share one record."""
        queue = self._queues.setdefault(asyncio.get_running_loop(), _Queue())
        ticket = _Ticket(changes)
        queue.waiting.append(ticket)
        try:
            async with queue.lock:
                if not ticket.done:
                    await self._append_batch(queue, ticket)
        finally:
            if ticket in queue.waiting:  # it was cancelled
                queue.waiting.remove(ticket)

    async def _append_batch(self, queue: _Queue, own: _Ticket) -> None:
        batch, queue.waiting = queue.waiting, []
        try:
            await self._append([ticket.changes for ticket in batch])
        except BaseException:
            queue.waiting[:0] = [ticket for ticket in batch if ticket is not own]
            raise
        for ticket in batch:
            ticket.done = True

    async def _append(self, batch: list[Changes]) -> None:
        """Add a record to the chain, after those of other writers, and remove what it replaces."""
        changes: dict[str, Entry | None] = {}
        dropped: list[Entry | None] = []
        for part in batch:
            dropped += [changes[path] for path in part if path in changes]
            changes.update(part)
        while True:
            contents = self._contents
            record = contents.next_record(changes)
            blob = await asyncio.to_thread(record.seal, self._value_key)
            name = Record.object_name(record.version)
            await self._store.set_if_not_exists(name, HostBuffer.from_bytes(blob))
            stored = await self._object(name)
            if stored is None:
                raise AuthenticationError
            if stored.tobytes() == blob:
                break
            await self._catch_up()
        dropped += [contents.entries.get(path) for path in changes]
        contents.apply(record, blob[:SALT_BYTES])
        kept = {entry.preamble for entry in changes.values() if entry is not None}
        await self._remove([entry for entry in dropped if entry is not None and entry.preamble not in kept])

    async def _remove(self, entries: list[Entry]) -> None:
        if self._store.supports_deletes:
            await asyncio.gather(*(self._store.delete(entry.object_name) for entry in entries))

    def vacuum(self) -> int:
        """Remove the objects that nobody refers to, as interrupted writers leave them, and old records.

        Call it only while nobody writes: a value on its way looks like one that nobody refers to.

        Returns
        -------
        int
            How many objects were removed.
        """
        return sync(self._vacuum())

    async def _vacuum(self) -> int:
        self._check_writable()
        await self._ensure_open()
        await self._reload()
        contents = self._contents
        alive = {entry.object_name for entry in contents.entries.values()}
        objects = [name async for name in self._store.list_prefix("objects/")]
        removed = [name for name in objects if name not in alive]
        await asyncio.gather(*map(self._store.delete, removed))
        # Old records are emptied, not deleted: a handle that has slept must not find their numbers free.
        for version in await self._versions():
            name = Record.object_name(version)
            if version < contents.base and await self._store.getsize(name):
                await self._store.set(name, HostBuffer.create_zero_length())
        return len(removed)

    # --- values -------------------------------------------------------------------------------------------

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return a value or a part of it, authenticated; None where there is none.

        A part costs one read of the chunks of 16 KiB that hold it.

        Raises
        ------
        AuthenticationError
            The value was changed, swapped, rolled back or taken away.
        """
        entry = await self._entry(key)
        while entry is not None:
            try:
                plain = await self._read(key, entry, byte_range)
            except AuthenticationError:
                entry = await self._replacement(key, entry)
            else:
                return prototype.buffer.from_bytes(plain.data)
        return None

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return several values or parts of them, in order."""
        return list(
            await asyncio.gather(*(self.get(key, prototype, byte_range) for key, byte_range in key_ranges))
        )

    async def set(self, key: str, value: Buffer) -> None:
        """Seal a value under a new object name and write down that it is there.

        Raises
        ------
        ValueError
            The store is read-only.
        """
        self._check_writable()
        if not isinstance(value, Buffer):
            raise TypeError(f"value must be a Buffer, not {type(value).__name__}")
        if len(key.encode("utf-8")) > LONGEST_PATH:
            raise ValueError("the path is too long")
        await self._ensure_open()
        entry, blob = await asyncio.to_thread(self._seal, key, value)
        await self._store.set(entry.object_name, HostBuffer(blob))
        await self._commit({key: entry})

    async def exists(self, key: str) -> bool:
        """Tell whether there is a value."""
        return await self._entry(key) is not None

    async def getsize(self, key: str) -> int:
        """Return the bytes of a value, without reading it."""
        entry = await self._entry(key)
        if entry is None:
            raise FileNotFoundError(key)
        return entry.size

    async def delete(self, key: str) -> None:
        """Remove a value, if there is one."""
        self._check_writable()
        if await self._entry(key) is not None:
            await self._commit({key: None})

    async def delete_dir(self, prefix: str) -> None:
        """Remove all values below a path, in one step."""
        self._check_writable()
        paths = await self._paths(_folder(prefix))
        if paths:
            await self._commit(dict.fromkeys(paths))

    async def clear(self) -> None:
        """Remove all values."""
        await self.delete_dir("")

    async def list(self) -> AsyncIterator[str]:
        """Yield the paths of all values."""
        for path in await self._paths(""):
            yield path

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the paths that begin with a text."""
        for path in await self._paths(prefix):
            yield path

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a path."""
        folder = _folder(prefix)
        names = (path[len(folder) :].split("/", 1)[0] for path in await self._paths(folder))
        for name in dict.fromkeys(names):
            yield name

    async def _paths(self, prefix: str) -> Sequence[str]:
        await self._ensure_open()
        await self._catch_up()
        return [path for path in self._contents.paths() if path.startswith(prefix)]

    async def _entry(self, key: str) -> Entry | None:
        """Return where a value lies, asking for news before there is none."""
        await self._ensure_open()
        if key not in self._contents.entries:
            await self._catch_up()
        return self._contents.entries.get(key)

    async def _replacement(self, key: str, entry: Entry) -> Entry | None:
        """Return the entry of a writer who has replaced the value meanwhile, or raise that there is none."""
        await self._reload()
        newer = self._contents.entries.get(key)
        if newer == entry:
            raise AuthenticationError
        return newer

    async def _read(self, key: str, entry: Entry, byte_range: ByteRequest | None) -> Bytes:
        start, stop = _bounds(byte_range, entry.size)
        first, end = start // CHUNK, -(-stop // CHUNK)
        if stop == entry.size:
            end = entry.size // CHUNK + 1  # the last chunk proves where the value ends
        elif start == stop:
            return np.empty(0, np.uint8)
        offset = OVERHEAD + first * SEALED_CHUNK
        limit = min(OVERHEAD + end * SEALED_CHUNK, cobblestone.sealed_size(entry.size))
        request = RangeByteRequest(offset, limit) if byte_range is not None else None
        sealed = await self._object(entry.object_name, request)
        if sealed is None:
            raise AuthenticationError
        if request is None:
            if sealed[:OVERHEAD].tobytes() != entry.preamble:
                raise AuthenticationError
            sealed = sealed[OVERHEAD:]
        if sealed.size != limit - offset:
            raise AuthenticationError
        return await asyncio.to_thread(self._unseal, key, entry, sealed, offset, (start, stop))

    def _unseal(self, key: str, entry: Entry, sealed: Bytes, offset: int, bounds: tuple[int, int]) -> Bytes:
        """Decrypt a part from its chunks, under the preamble that the records name."""

        def fetch(place: int, length: int) -> Bytes:
            if place < OVERHEAD:
                return np.frombuffer(entry.preamble, np.uint8)
            return sealed[place - offset : place - offset + length]

        reader = cobblestone.Reader(self._value_key, entry.size, fetch, _LABEL_VALUE + key.encode("utf-8"))
        return reader.read(*bounds)

    def _seal(self, key: str, value: Buffer) -> tuple[Entry, Bytes]:
        plain = np.ascontiguousarray(value.as_numpy_array())
        blob = np.empty(cobblestone.sealed_size(plain.nbytes), np.uint8)
        cobblestone.encrypt_into(self._value_key, plain, blob, _LABEL_VALUE + key.encode("utf-8"), threads=1)
        return Entry(blob[:OVERHEAD].tobytes(), plain.nbytes), blob

    async def _object(self, name: str, byte_range: ByteRequest | None = None) -> Bytes | None:
        found = await self._store.get(name, host, byte_range)
        return None if found is None else np.ascontiguousarray(found.as_numpy_array())

    def _pin(self) -> _Pin:
        return _Pin(self._opened_header.store_id, self._contents.version, self._contents.salt)


@dataclass(eq=False, slots=True)
class _Ticket:
    """Changes that wait to be written down."""

    changes: Changes
    done: bool = False


@dataclass(slots=True)
class _Queue:
    """The writers of one event loop; between loops and processes the chain itself decides."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: list[_Ticket] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Pin:
    """A state of a store: the chain up to one record."""

    store_id: bytes
    version: int
    salt: bytes

    @classmethod
    def of(cls, token: str) -> _Pin:
        """Parse what `EncryptedStore.token` gave."""
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise ValueError("not a token of an encrypted store")
        return cls(bytes.fromhex(parts[1]), int(parts[2]), bytes.fromhex(parts[3]))

    def check(self, version: int, salt: bytes) -> None:
        """Refuse another record of the same number."""
        if version == self.version and salt != self.salt:
            raise AuthenticationError

    def check_end(self, store_id: bytes, version: int) -> None:
        """Refuse another store, and a chain that ends before this state."""
        if store_id != self.store_id or version < self.version:
            raise AuthenticationError

    def __str__(self) -> str:
        return f"{self.store_id.hex()}-{self.version}-{self.salt.hex()}"


def _folder(prefix: str) -> str:
    """Return the beginning that everything below a path has."""
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"


def _bounds(byte_range: ByteRequest | None, size: int) -> tuple[int, int]:
    """Return start and stop of a byte request, within a value of that size."""
    if byte_range is None:
        return 0, size
    if isinstance(byte_range, RangeByteRequest):
        stop = min(byte_range.end, size)
        return min(byte_range.start, stop), stop
    if isinstance(byte_range, OffsetByteRequest):
        return min(byte_range.offset, size), size
    if isinstance(byte_range, SuffixByteRequest):
        return max(size - byte_range.suffix, 0), size
    raise ValueError(f"Unexpected byte_range, got {byte_range}.")
