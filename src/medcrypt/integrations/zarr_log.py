"""What an encrypted store holds: a chain of sealed records, and the table of contents that they add up to.

Every value of a store is an object of its own that is never written twice. A *record* says which values are
new, replaced or deleted since the record before it; every so often one lists them all. Records are numbered
from 0 without gaps, each names the random salt of the one before, and each is sealed under the store's key, so
whoever has no key can only cut the end of the chain off. Bytes: ``docs/formats/zarr.md``.
"""

from __future__ import annotations

import math
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.images import cobblestone
from medcrypt.keys.derivation import SALT_BYTES

__all__ = ["Changes", "Contents", "Entry", "Record"]

_LABEL = b"medcrypt/v1/zarr-record"
_VERSION = struct.Struct("<Q")
_HEAD = struct.Struct("<Q24sI")  # the last record that lists everything, salt of the previous one, changes
_CHANGE = struct.Struct("<BH")  # set or delete, bytes of the path
_DELETE, _SET = 0, 1
_LEAST_DELTAS = 32
LONGEST_PATH = (1 << 16) - 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One value of a store.

    Parameters
    ----------
    preamble
        Salt and commitment of its blob: they are drawn and derived anew for each write, so they name the one
        object that holds the value, and no older one passes for it.
    size
        Bytes of the value.
    """

    preamble: bytes
    size: int

    LAYOUT = struct.Struct(f"<{cobblestone.OVERHEAD}sQ")

    @property
    def object_name(self) -> str:
        """Where the blob lies: a name made of its salt, which tells nothing."""
        salt = self.preamble[:SALT_BYTES].hex()
        return f"objects/{salt[:2]}/{salt[2:]}"


Changes = Mapping[str, Entry | None]  # None: deleted


@dataclass(frozen=True, slots=True)
class Record:
    """One link of the chain."""

    version: int
    base: int
    previous: bytes
    changes: Changes

    @property
    def complete(self) -> bool:
        """Whether it lists everything, so that nothing before it has to be read."""
        return self.base == self.version

    @staticmethod
    def object_name(version: int) -> str:
        """Where the record of a version lies."""
        return f"log/{version:016x}"

    def seal(self, key: bytes) -> bytes:
        """Return the sealed record."""
        parts = [_HEAD.pack(self.base, self.previous, len(self.changes))]
        for path, entry in self.changes.items():
            name = path.encode("utf-8")
            parts.append(_CHANGE.pack(_DELETE if entry is None else _SET, len(name)) + name)
            if entry is not None:
                parts.append(Entry.LAYOUT.pack(entry.preamble, entry.size))
        return cobblestone.encrypt(key, b"".join(parts), _LABEL + _VERSION.pack(self.version))

    @classmethod
    def open(cls, key: bytes, version: int, blob: cobblestone.Buffer) -> Record:
        """Return the record of a sealed one.

        Raises
        ------
        AuthenticationError
            It is not the record of this version and store, or was changed.
        FormatError
            No record of this format.
        """
        data = cobblestone.decrypt(key, blob, _LABEL + _VERSION.pack(version))
        try:
            base, previous, count = _HEAD.unpack_from(data)
            changes, end = _parse_changes(data, _HEAD.size, count)
        except (struct.error, UnicodeDecodeError):
            raise FormatError("the store's record is not of a format known here") from None
        if end != len(data) or len(changes) != count or base > version:
            raise FormatError("the store's record is not of a format known here")
        return cls(version, base, previous, changes)


def _parse_changes(data: bytes, offset: int, count: int) -> tuple[dict[str, Entry | None], int]:
    """Return the changes and where they end."""
    changes: dict[str, Entry | None] = {}
    for _ in range(count):
        kind, length = _CHANGE.unpack_from(data, offset)
        offset += _CHANGE.size
        path = data[offset : offset + length].decode("utf-8")
        offset += length
        if kind == _SET:
            changes[path] = Entry(*Entry.LAYOUT.unpack_from(data, offset))
            offset += Entry.LAYOUT.size
        elif kind == _DELETE:
            changes[path] = None
        else:
            raise FormatError("the store's record is not of a format known here")
    return changes, offset


@dataclass(slots=True)
class Contents:
    """The table of contents after some record; records are applied in order, from any thread."""

    version: int = -1
    base: int = -1
    salt: bytes = bytes(SALT_BYTES)
    entries: dict[str, Entry] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_record(self, changes: Changes) -> Record:
        """Return the record that makes these changes.

        One lists everything where the chain since the last such has grown to the square root of the number of
        values (or 32): so a store opens with that many small reads, and a write costs as many lines.
        """
        with self._lock:
            version = self.version + 1
            if version - self.base <= max(_LEAST_DELTAS, math.isqrt(len(self.entries))) and version:
                return Record(version, self.base, self.salt, dict(changes))
            table = {path: entry for path, entry in self.entries.items() if path not in changes}
            table |= {path: entry for path, entry in changes.items() if entry is not None}
            return Record(version, version, self.salt, table)

    def apply(self, record: Record, salt: bytes) -> None:
        """Follow a record, whose blob begins with ``salt``; one that was followed before changes nothing.

        Raises
        ------
        AuthenticationError
            The record does not continue this chain.
        """
        with self._lock:
            if record.version <= self.version:
                return
            first = self.version < 0 and record.complete
            if not first and (record.version != self.version + 1 or record.previous != self.salt):
                raise AuthenticationError
            if not record.complete and record.base != self.base:
                raise AuthenticationError
            if record.complete:
                self.entries = {path: entry for path, entry in record.changes.items() if entry is not None}
            else:
                for path, entry in record.changes.items():
                    if entry is None:
                        self.entries.pop(path, None)
                    else:
                        self.entries[path] = entry
            self.version, self.base, self.salt = record.version, record.base, salt

    def paths(self) -> list[str]:
        """Return the paths of all values at this moment."""
        with self._lock:
            return list(self.entries)
