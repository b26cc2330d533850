"""Replacements that stay the same under one key: UIDs, patient identifiers, shifts of dates.

All are HMAC-SHA-512 of what they replace under keys that are derived from one `SecretKey`, so that a study stays
together however its files are processed, and nobody without the key can find or confirm what was replaced. Who has
the key can do both.
"""

from __future__ import annotations

import datetime as dt
import hmac
import uuid

from medcrypt.keys import SecretKey
from medcrypt.keys.derivation import expand

_LABEL = b"medcrypt/v1/dicom-pseudonyms"
# UIDs under this root mean the same in all files: SOP classes, transfer syntaxes, well-known frames of reference.
_STANDARD = "1.2.840.10008."
_MOST_DAYS = 3650


class Pseudonyms:
    """Keyed replacements.

    Parameters
    ----------
    key
        Keep it to replace later files of the same patients alike; throw it away so that nobody can tell that they
        belong together.

    Examples
    --------
    >>> from medcrypt import SecretKey
    >>> pseudonyms = Pseudonyms(SecretKey.from_bytes(bytes(range(32))))
    >>> pseudonyms.uid("1.2.3")
    '2.25.329906281589188454600341184185151258831'
    >>> pseudonyms.patient("4711", "")
    '8ED3BD5E9C457C78'
    """

    __slots__ = ("_key",)

    def __init__(self, key: SecretKey) -> None:
        if not isinstance(key, SecretKey):
            raise TypeError(f"pseudonyms are derived from a SecretKey, not {type(key).__name__}")
        self._key = expand(key.to_bytes(), _LABEL, 64)

    def uid(self, uid: str) -> str:
        """Return the UID in place of another: ``2.25.`` and a UUID of version 8 (PS3.5, section B.2; RFC 9562).

        Those of the DICOM standard itself stay as they are.
        """
        if not uid or uid.startswith(_STANDARD):
            return uid
        number = int.from_bytes(self._draw(b"uid", uid)[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76  # version 8
        number = number & ~(0b11 << 62) | 0b10 << 62  # variant of RFC 9562
        return f"2.25.{uuid.UUID(int=number).int}"

    def patient(self, patient_id: str, issuer: str) -> str:
        """Return a patient's pseudonym, 16 hexadecimal digits."""
        return self._draw(b"patient", patient_id, issuer)[:8].hex().upper()

    def shift(self, patient_id: str, issuer: str) -> dt.timedelta:
        """Return by how many days to move a patient's dates into the past: 1 to 3650."""
        number = int.from_bytes(self._draw(b"shift", patient_id, issuer)[:16], "big")
        return dt.timedelta(days=-1 - number % _MOST_DAYS)

    def _draw(self, purpose: bytes, *values: str) -> bytes:
        message = purpose
        for value in values:
            encoded = value.encode("utf-8", "surrogateescape")
            message += len(encoded).to_bytes(4, "big") + encoded
        return hmac.digest(self._key, message, "sha512")
