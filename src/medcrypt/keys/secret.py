"""Bytes that must not leak: kept in one wiped buffer, never shown, never pickled."""

from __future__ import annotations

import hmac
from typing import NoReturn

from medcrypt._ext.sha512 import HkdfSha512

KEY_BYTES = 32
FINGERPRINT_BYTES = 8


class Secret:
    """A secret byte string: compared in constant time, wiped when collected, refused by ``pickle``.

    Python cannot wipe what it copied elsewhere (`bytes` objects made from it among them), so wiping is a
    reduction of exposure, not a guarantee.
    """

    __slots__ = ("_buffer", "_fingerprint", "_prepared")

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._buffer = bytearray(data)
        self._fingerprint = b""
        self._prepared: HkdfSha512 | None = None

    def __del__(self) -> None:
        buffer = getattr(self, "_buffer", None)
        if buffer is not None:
            buffer[:] = bytes(len(buffer))

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return hmac.compare_digest(self._buffer, other._buffer)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.fingerprint))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(fingerprint='{self.fingerprint.hex()}')"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be pickled or copied: pass a path to it instead")

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes that name the secret without revealing it."""
        if not self._fingerprint:
            self._fingerprint = self.prepared.expand(b"medcrypt/v1/fingerprint", FINGERPRINT_BYTES)
        return self._fingerprint

    @property
    def prepared(self) -> HkdfSha512:
        """The secret ready to derive from, in memory that is wiped with it."""
        if self._prepared is None:
            self._prepared = HkdfSha512(self._buffer)
        return self._prepared


def checked_bytes(data: object, length: int, what: str) -> bytes:
    """Return ``data`` as bytes of exactly ``length``; the error never quotes them."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"{what} must be bytes, not {type(data).__name__}")
    if memoryview(data).nbytes != length:
        raise ValueError(f"{what} must be {length} bytes, not {memoryview(data).nbytes}")
    return bytes(data)
