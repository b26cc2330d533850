"""Keys as one line of text: ``medcrypt-<kind>-1:<base64url of payload and checksum>``.

The checksum (four bytes of SHA-256) catches a line that was cut or mistyped; it is not a secret and protects
nothing else. Decoding is canonical: one payload has exactly one line.
"""

from __future__ import annotations

import base64
import hashlib

from medcrypt.errors import InvalidKeyError

_CHECKSUM_BYTES = 4
LONGEST_LINE = 4096


def encode_line(kind: str, payload: bytes) -> str:
    """Return the line for a payload of a kind such as ``"secret-key"``."""
    prefix = f"medcrypt-{kind}-1:"
    body = base64.urlsafe_b64encode(payload + _checksum(prefix, payload)).decode("ascii").rstrip("=")
    return prefix + body


def decode_line(line: str) -> tuple[str, bytes]:
    """Return kind and payload of a line, or raise `InvalidKeyError`; the line itself is never quoted."""
    prefix, separator, body = line.partition(":")
    kind = prefix.removeprefix("medcrypt-").removesuffix("-1")
    shaped = separator and prefix == f"medcrypt-{kind}-1"
    if len(line) > LONGEST_LINE or not line.isascii() or not shaped:
        raise InvalidKeyError("not a medcrypt key of version 1")
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
    except ValueError:
        raise InvalidKeyError("the key is not valid base64url") from None
    payload = raw[:-_CHECKSUM_BYTES]
    if encode_line(kind, payload) != line:
        raise InvalidKeyError("the key is damaged: its checksum does not match")
    return kind, payload


def _checksum(prefix: str, payload: bytes) -> bytes:
    return hashlib.sha256(prefix.encode("ascii") + payload).digest()[:_CHECKSUM_BYTES]
