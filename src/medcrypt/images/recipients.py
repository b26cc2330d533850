"""Who can open a sealed image: two fixed-size slots that hold the wrapped file key.

The file key is drawn once for each image; a *stanza* wraps it for one recipient. Each slot carries a
generation number and is authenticated under the file key. `rewrap` writes the slot that is not in use, then
erases the other, so that a crash in between loses nothing. Generations alternate between the slots, odd ones
in the first, so that slots cannot trade places. Layout: ``docs/formats/images.md``.
"""

from __future__ import annotations

import functools
import hmac
import operator
import os
import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from medcrypt._ext.sha512 import HkdfSha512
from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.images.header import MOST_SLOT, SLOT_STEP
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey
from medcrypt.keys.hpke import X25519, XWING
from medcrypt.keys.passphrase import SALT_BYTES, ScryptCost
from medcrypt.keys.secret import FINGERPRINT_BYTES, KEY_BYTES
from medcrypt.keys.wrapping import OVERHEAD as WRAP_OVERHEAD
from medcrypt.keys.wrapping import unwrap, wrap

SealingKey: TypeAlias = SecretKey | Recipient | Passphrase
OpeningKey: TypeAlias = SecretKey | Identity | Passphrase
_OPENING = (SecretKey, Identity, Passphrase)

_SECRET_KEY, _X25519, _SCRYPT, _XWING = 1, 2, 3, 4
KIND_NAMES = {_SECRET_KEY: "secret-key", _X25519: X25519.name, _SCRYPT: "passphrase", _XWING: XWING.name}
_BODY_BYTES = {
    _SECRET_KEY: FINGERPRINT_BYTES + KEY_BYTES + WRAP_OVERHEAD,
    _X25519: FINGERPRINT_BYTES + KEY_BYTES + X25519.overhead,
    _SCRYPT: SALT_BYTES + ScryptCost.BYTES + KEY_BYTES + WRAP_OVERHEAD,
    _XWING: FINGERPRINT_BYTES + KEY_BYTES + XWING.overhead,
}
_SLOT_HEAD = struct.Struct("<IBBH")  # generation, number of stanzas, zero, zero
_STANZA_HEAD = struct.Struct("<BH")  # kind, bytes of the body
_MAC_BYTES = 32
_LABEL_WRAP = b"medcrypt/v1/file-key"
_LABEL_SLOT = b"medcrypt/v1/recipients"
MOST_RECIPIENTS = 255
MOST_GENERATIONS = (1 << 32) - 1


class Sealed(Protocol):
    """What the recipients belong to: the header of a sealed image or of a sidecar."""

    @property
    def digest(self) -> bytes:
        """SHA-512 of the immutable header."""

    @property
    def slot_size(self) -> int:
        """Bytes of each slot."""


class Stanza(NamedTuple):
    """The file key, wrapped for one recipient."""

    kind: int
    body: bytes

    @property
    def name(self) -> str:
        """What kind of recipient this is."""
        return KIND_NAMES.get(self.kind, f"unknown-{self.kind}")

    @property
    def fingerprint(self) -> bytes:
        """Which key opens it; empty for a passphrase and for kinds that only a newer medcrypt knows."""
        return self.body[:FINGERPRINT_BYTES] if self.kind in (_SECRET_KEY, _X25519, _XWING) else b""

    @property
    def is_passphrase(self) -> bool:
        """Whether it has to be alone."""
        return self.kind == _SCRYPT

    def to_bytes(self) -> bytes:
        """Return kind, length and body."""
        return _STANZA_HEAD.pack(self.kind, len(self.body)) + self.body


class Slot(NamedTuple):
    """One well-formed slot: unverified until `open_slots` has checked its MAC."""

    generation: int
    stanzas: tuple[Stanza, ...]
    authenticated: bytes
    mac: bytes


def as_recipients(key: SealingKey | Iterable[SealingKey]) -> tuple[SealingKey, ...]:
    """Return the recipients as a tuple, or raise ``TypeError``/``ValueError``."""
    if isinstance(key, SecretKey):  # by far the most frequent, and nothing is left to check
        return (key,)
    keys = (key,) if isinstance(key, SecretKey | Recipient | Passphrase) else tuple(_listed(key))
    if not 1 <= len(keys) <= MOST_RECIPIENTS:
        raise ValueError(f"1 to {MOST_RECIPIENTS} recipients are possible, not {len(keys)}")
    for one in keys:
        if isinstance(one, Identity):
            raise TypeError("an identity opens; seal for its public half, identity.recipient")
        if not isinstance(one, SecretKey | Recipient | Passphrase):
            raise TypeError(f"the key must be a SecretKey, Recipient or Passphrase, not {type(one).__name__}")
    if len(keys) > 1 and any(isinstance(one, Passphrase) for one in keys):
        raise ValueError("a passphrase must be the only recipient: it would weaken the others")
    return keys


def slot_size(keys: Sequence[SealingKey], spare: int) -> int:
    """Return the bytes of one slot with room for ``keys`` and ``spare`` more recipients.

    A spare one is taken to be an X25519 recipient, or a post-quantum one where ``keys`` hold such a one.
    """
    spare = operator.index(spare)
    if spare < 0:
        raise ValueError("spare_recipients must not be negative")
    return _size_for(tuple(map(_kind, keys)), spare)


@functools.lru_cache(maxsize=64)
def _size_for(kinds: tuple[int, ...], spare: int) -> int:
    """Return the bytes of a slot for recipients of these kinds."""
    kinds += spare * (_XWING if _XWING in kinds else _X25519,)
    bodies = [_BODY_BYTES[kind] for kind in kinds]
    used = _SLOT_HEAD.size + _MAC_BYTES + sum(_STANZA_HEAD.size + size for size in bodies)
    size = -(-used // SLOT_STEP) * SLOT_STEP
    if size > MOST_SLOT:
        raise ValueError("too many recipients for one file")
    return size


def make_slot(header: Sealed, generation: int, file_key: bytes, keys: Sequence[SealingKey]) -> bytes:
    """Wrap the file key for every recipient and return the authenticated slot."""
    return slot_of_stanzas(header, generation, file_key, [make_stanza(header, file_key, key) for key in keys])


def slot_of_stanzas(
    header: Sealed, generation: int, file_key: bytes | HkdfSha512, stanzas: Sequence[Stanza]
) -> bytes:
    """Return the authenticated slot that holds these stanzas."""
    if generation > MOST_GENERATIONS:
        raise ValueError("the recipients have been replaced 2**32 - 1 times: seal the image anew")
    if not 1 <= len(stanzas) <= MOST_RECIPIENTS:
        raise ValueError(f"1 to {MOST_RECIPIENTS} recipients are possible, not {len(stanzas)}")
    content = _SLOT_HEAD.pack(generation, len(stanzas), 0, 0) + b"".join(map(Stanza.to_bytes, stanzas))
    room = header.slot_size - _MAC_BYTES
    if len(content) > room:
        raise ValueError(
            f"the recipients need {len(content)} bytes and the file has room for {room}: seal it anew"
        )
    content = content.ljust(room, b"\0")
    prepared = file_key if isinstance(file_key, HkdfSha512) else HkdfSha512(file_key)
    return content + _mac(header, prepared, content)


def make_stanza(header: Sealed, file_key: bytes, key: SealingKey) -> Stanza:
    """Wrap the file key for one recipient."""
    binding = _LABEL_WRAP + header.digest
    if isinstance(key, SecretKey):
        return Stanza(_SECRET_KEY, key.fingerprint + wrap(key.prepared, file_key, binding))
    if isinstance(key, Recipient):
        return Stanza(_kind(key), key.fingerprint + key.seal(file_key, binding))
    salt, cost = os.urandom(SALT_BYTES), ScryptCost()
    return Stanza(_SCRYPT, salt + cost.to_bytes() + wrap(key.stretch(salt, cost), file_key, binding))


def slot_at(header: Sealed, area: bytes, number: int) -> Slot:
    """Return slot 0 or 1, which has to be well-formed, unverified."""
    return _parsed(header, area)[number]


def slot_bytes(header: Sealed, area: bytes, number: int) -> bytes:
    """Return the bytes of slot 0 or 1."""
    return area[number * header.slot_size : (number + 1) * header.slot_size]


def newest_slot(header: Sealed, area: bytes) -> Slot:
    """Return the slot with the highest generation, unverified."""
    return max(_parsed(header, area).values(), key=lambda slot: slot.generation)


def are_recipients(header: Sealed, area: bytes, keys: Sequence[SealingKey]) -> bool:
    """Tell whether these, and nobody else, are named as recipients, as after a change that has come to its end.

    Unverified: only who opens the slots knows. One passphrase looks like another.
    """
    newest = newest_slot(header, area)
    other = 1 - slot_of(newest.generation)
    if not _is_zero(slot_bytes(header, area, other)):
        return False
    named = sorted((_kind(key), b"" if isinstance(key, Passphrase) else key.fingerprint) for key in keys)
    return sorted((stanza.kind, stanza.fingerprint) for stanza in newest.stanzas) == named


def open_slots(
    header: Sealed, area: bytes, key: OpeningKey, *, torn: bool = False
) -> tuple[bytes, HkdfSha512, int, int]:
    """Return the file key, the same prepared, which slot (0 or 1) gave it, and that slot's generation.

    Parameters
    ----------
    header, area
        The immutable header and the two slots after it.
    key
        The reader's key.
    torn
        Accept that the other slot is neither erased nor authentic, as a crash while it was written leaves it.
        Only `rewrap` does, which overwrites it: everybody else wants every byte authenticated.

    Raises
    ------
    AuthenticationError
        The key opens neither slot, or the slots were changed.
    """
    if not isinstance(key, _OPENING):
        raise TypeError(f"the key must be a SecretKey, Identity or Passphrase, not {type(key).__name__}")
    slots = _parsed(header, area)
    kind, hint = _kind(key), b"" if isinstance(key, Passphrase) else key.fingerprint
    for number in _newest_first(slots):
        slot = slots[number]
        for stanza in slot.stanzas:
            if stanza.kind != kind or not stanza.body.startswith(hint):  # only a hint, which proves nothing
                continue
            try:
                file_key = _open_stanza(header, stanza, key)
            except AuthenticationError:
                continue
            prepared = HkdfSha512(file_key)
            if _authentic(header, prepared, slot) and (
                torn or _settled(header, prepared, area, slots, 1 - number)
            ):
                return file_key, prepared, number, slot.generation
    raise AuthenticationError


def slot_of(generation: int) -> int:
    """Return the number of the slot where a generation lives: odd ones in slot 0, even ones in slot 1."""
    return (generation + 1) % 2


def new_file_key() -> bytes:
    """Draw the key of one image."""
    return os.urandom(KEY_BYTES)


def _listed(keys: object) -> Iterable[SealingKey]:
    if isinstance(keys, Identity):
        raise TypeError("an identity opens; seal for its public half, identity.recipient")
    if isinstance(keys, str | bytes) or not isinstance(keys, Iterable):
        raise TypeError(f"the key must be a SecretKey, Recipient or Passphrase, not {type(keys).__name__}")
    return keys


def _kind(key: SealingKey | OpeningKey) -> int:
    if isinstance(key, SecretKey):
        return _SECRET_KEY
    if isinstance(key, Passphrase):
        return _SCRYPT
    return _XWING if key.post_quantum else _X25519


def _open_stanza(header: Sealed, stanza: Stanza, key: OpeningKey) -> bytes:
    binding = _LABEL_WRAP + header.digest
    if isinstance(key, SecretKey):
        return unwrap(key.prepared, stanza.body[FINGERPRINT_BYTES:], binding)
    if isinstance(key, Identity):
        return key.unseal(stanza.body[FINGERPRINT_BYTES:], binding)
    salt, cost, wrapped = _scrypt_parts(stanza)
    return unwrap(key.stretch(salt, cost), wrapped, binding)


def _newest_first(slots: dict[int, Slot]) -> Iterable[int]:
    """Return the numbers of the slots, that with the highest generation first."""
    return slots if len(slots) == 1 else sorted(slots, key=lambda number: -slots[number].generation)


def _parsed(header: Sealed, area: bytes) -> dict[int, Slot]:
    """Return the slots that are well-formed, by their number."""
    size = header.slot_size
    slots: dict[int, Slot] = {}
    for number in (0, 1):
        slot = _parse_slot(area[size:] if number else area[:size])
        if slot is not None and slot_of(slot.generation) == number:
            slots[number] = slot
    if not slots:
        raise FormatError("the recipients of the sealed image are damaged")
    return slots


def _settled(header: Sealed, file_key: HkdfSha512, area: bytes, slots: dict[int, Slot], number: int) -> bool:
    """Tell whether the other slot is erased, or an authentic one of the generation before or after."""
    if number not in slots:
        size = header.slot_size
        return area[number * size : (number + 1) * size] == bytes(size)
    neighbours = abs(slots[number].generation - slots[1 - number].generation) == 1
    return neighbours and _authentic(header, file_key, slots[number])


def _authentic(header: Sealed, file_key: HkdfSha512, slot: Slot) -> bool:
    return hmac.compare_digest(slot.mac, _mac(header, file_key, slot.authenticated))


def _mac(header: Sealed, file_key: HkdfSha512, content: bytes) -> bytes:
    return file_key.expand(_LABEL_SLOT + header.digest + content, _MAC_BYTES)


def _parse_slot(data: bytes) -> Slot | None:
    """Return the slot, or None where the bytes are no slot (a write that was cut short looks so)."""
    generation, count, zero, zeros = _SLOT_HEAD.unpack_from(data)
    if generation == 0 or count == 0 or zero or zeros:
        return None
    offset, end, stanzas = _SLOT_HEAD.size, len(data) - _MAC_BYTES, []
    for _ in range(count):
        start = offset + _STANZA_HEAD.size
        if start > end:
            return None
        kind, length = _STANZA_HEAD.unpack_from(data, offset)
        offset = start + length
        # A kind that only a newer medcrypt knows is passed over: its file still opens for the others.
        if kind == 0 or _BODY_BYTES.get(kind, length) != length or offset > end:
            return None
        stanzas.append(Stanza(kind, data[start:offset]))
        if kind == _SCRYPT and not (count == 1 and _affordable(stanzas[0])):
            return None
    if data[offset:end] != bytes(end - offset):
        return None
    return Slot(generation, tuple(stanzas), data[:end], data[end:])


def _is_zero(data: bytes) -> bool:
    return data == bytes(len(data))


def _affordable(stanza: Stanza) -> bool:
    """Tell whether a passphrase's stanza asks for no more memory and time than we grant."""
    try:
        _scrypt_parts(stanza)
    except FormatError:
        return False
    return True


def _scrypt_parts(stanza: Stanza) -> tuple[bytes, ScryptCost, bytes]:
    """Return salt, cost and wrapped file key of a passphrase's stanza."""
    salt, rest = stanza.body[:SALT_BYTES], stanza.body[SALT_BYTES:]
    return salt, ScryptCost.from_bytes(rest[: ScryptCost.BYTES]), rest[ScryptCost.BYTES :]
