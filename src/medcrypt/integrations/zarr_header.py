"""Who can open an encrypted Zarr store: its header, which holds the store's file key for every recipient.

    fixed part | recipient slot

The slot is that of a sealed image, so recipients come and go without touching a value. As a header is replaced as a
whole, it has one slot, of generation 1. Bytes: ``docs/formats/zarr.md``.
"""

from __future__ import annotations

import functools
import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from medcrypt.errors import FormatError
from medcrypt.images import recipients
from medcrypt.images.header import LEAST_SLOT, MAGIC, MOST_SLOT, SLOT_STEP
from medcrypt.images.recipients import OpeningKey, SealingKey, Stanza
from medcrypt.images.rewrapping import Change
from medcrypt.keys.derivation import expand
from medcrypt.keys.secret import KEY_BYTES

__all__ = ["StoreHeader"]

_FIXED = struct.Struct("<8scB2xI16s")  # magic, kind, version, zeros, slot size, store id
_KIND, _VERSION = b"Z", 1
_STORE_ID_BYTES = 16
_LABEL_KEY = b"medcrypt/v1/zarr-store"


@dataclass(frozen=True)
class StoreHeader:
    """One parsed or new header.

    Parameters
    ----------
    store_id
        16 random bytes.
    slot_size
        Bytes of the slot.
    slot
        The file key, wrapped for the recipients; unverified until `open`.
    """

    store_id: bytes
    slot_size: int
    slot: bytes = b""

    @classmethod
    def create(cls, keys: Sequence[SealingKey], spare: int) -> Self:
        """Return the header of a new store."""
        header = cls(os.urandom(_STORE_ID_BYTES), recipients.slot_size(keys, spare))
        return header._with(recipients.make_slot(header, 1, recipients.new_file_key(), keys))

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Parse strictly.

        Raises
        ------
        FormatError
            Not exactly one header.
        """
        if len(data) < _FIXED.size:
            raise FormatError("not an encrypted store")
        magic, kind, version, slot_size, store_id = _FIXED.unpack(data[: _FIXED.size])
        if (magic, kind) != (MAGIC, _KIND) or any(data[10:12]):
            raise FormatError("not an encrypted store")
        if version != _VERSION:
            raise FormatError(
                f"an encrypted store of version {version}; this medcrypt knows version {_VERSION}"
            )
        if not LEAST_SLOT <= slot_size <= MOST_SLOT or slot_size % SLOT_STEP:
            raise FormatError("the size of the recipient slot is out of bounds")
        if len(data) != _FIXED.size + slot_size:
            raise FormatError("the header of the encrypted store was cut or extended")
        return cls(store_id, slot_size, data[_FIXED.size :])

    @functools.cached_property
    def fixed(self) -> bytes:
        """The part that never changes."""
        return _FIXED.pack(MAGIC, _KIND, _VERSION, self.slot_size, self.store_id)

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-512 of the part that never changes."""
        return hashlib.sha512(self.fixed).digest()

    def to_bytes(self) -> bytes:
        """Return the whole header."""
        return self.fixed + self.slot

    def open(self, key: OpeningKey) -> bytes:
        """Return the file key.

        Raises
        ------
        AuthenticationError
            The key does not open it, or the header was changed.
        """
        return recipients.open_slots(self, self._area, key)[0]

    def store_key(self, file_key: bytes) -> bytes:
        """Return the key of values and records."""
        return expand(file_key, _LABEL_KEY + self.store_id, KEY_BYTES)

    def stanzas(self) -> tuple[Stanza, ...]:
        """Return the recipients as the header names them, unverified."""
        return recipients.slot_at(self, self._area, 0).stanzas

    def is_for(self, keys: Iterable[SealingKey]) -> bool:
        """Tell whether these and nobody else are named as recipients."""
        return recipients.are_recipients(self, self._area, tuple(keys))

    def changed(self, key: OpeningKey, change: Change) -> Self:
        """Return the header with other recipients and the same file key."""
        file_key = self.open(key)
        stanzas = change(self, file_key, self.stanzas())
        return self._with(recipients.slot_of_stanzas(self, 1, file_key, stanzas))

    @property
    def _area(self) -> bytes:
        return self.slot + bytes(self.slot_size)

    def _with(self, slot: bytes) -> Self:
        return type(self)(self.store_id, self.slot_size, slot)
