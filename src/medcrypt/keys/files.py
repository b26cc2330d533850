"""Key files: comment lines, then one line with the key, in the clear or under a passphrase.

Under a passphrase the line is a ``sealed-key``: scrypt salt (16) and cost (3), then ``kind || 0x00 || payload``
wrapped (`medcrypt.keys.wrapping`) under scrypt's output.
"""

from __future__ import annotations

import os
from pathlib import Path

from medcrypt.durable import new_file
from medcrypt.errors import FormatError, InvalidKeyError
from medcrypt.keys.encoding import LONGEST_LINE, decode_line, encode_line
from medcrypt.keys.passphrase import SALT_BYTES, Passphrase, ScryptCost
from medcrypt.keys.wrapping import unwrap, wrap

PathLike = str | os.PathLike[str]
_LONGEST_FILE = 16 * LONGEST_LINE
_SEALED = "sealed-key"
_CONTEXT = b"medcrypt/v1/key-file"


def save(
    path: PathLike, kind: str, payload: bytes, fingerprint: bytes, passphrase: Passphrase | str | None
) -> None:
    """Write one key to a new file of mode 0600."""
    comment = (
        f"# medcrypt {kind.replace('-', ' ')}, fingerprint {fingerprint.hex()}\n# Keep this file secret.\n"
    )
    line = encode_line(kind, payload)
    if passphrase is not None:
        line = encode_line(_SEALED, _seal(kind, payload, _as_passphrase(passphrase)))
    with new_file(path, mode=0o600) as file:
        file.write((comment + line + "\n").encode("ascii"))


def payload_of(path: PathLike, kind: str, length: int, passphrase: Passphrase | str | None) -> bytes:
    """Read a file and return the payload of a key of ``kind`` and ``length``, or raise `InvalidKeyError`."""
    found, payload = load(path, passphrase)
    if found != kind or len(payload) != length:
        raise InvalidKeyError(f"the file does not hold a medcrypt {kind.replace('-', ' ')}")
    return payload


def load(path: PathLike, passphrase: Passphrase | str | None = None) -> tuple[str, bytes]:
    """Read a key file and return its kind and payload."""
    kind, payload = decode_line(_key_line(path))
    if kind != _SEALED:
        return kind, payload
    if passphrase is None:
        raise InvalidKeyError("the key file is protected by a passphrase")
    return _open(payload, _as_passphrase(passphrase))


def _key_line(path: PathLike) -> str:
    with Path(path).open("rb") as file:
        data = file.read(_LONGEST_FILE + 1)
    if len(data) > _LONGEST_FILE:
        raise InvalidKeyError("the file is too long for a key file")
    if not data.isascii():  # asked, not tried: a UnicodeDecodeError would carry the key along
        raise InvalidKeyError("the file is not a key file: it is not ASCII text")
    lines = [line.strip() for line in data.decode("ascii").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) != 1:
        raise InvalidKeyError(f"a key file holds exactly one key; this one holds {len(keys)}")
    return keys[0]


def _seal(kind: str, payload: bytes, passphrase: Passphrase) -> bytes:
    salt, cost = os.urandom(SALT_BYTES), ScryptCost()
    head = salt + cost.to_bytes()
    return head + wrap(passphrase.stretch(salt, cost), kind.encode("ascii") + b"\0" + payload, _CONTEXT)


def _open(data: bytes, passphrase: Passphrase) -> tuple[str, bytes]:
    head_bytes = SALT_BYTES + ScryptCost.BYTES
    if len(data) < head_bytes:
        raise InvalidKeyError("the protected key is too short")
    try:
        cost = ScryptCost.from_bytes(data[SALT_BYTES:head_bytes])
    except FormatError as error:
        raise InvalidKeyError(str(error)) from None
    key = passphrase.stretch(data[:SALT_BYTES], cost)
    kind, _, payload = unwrap(key, data[head_bytes:], _CONTEXT).partition(b"\0")
    return kind.decode("ascii", "replace"), payload


def _as_passphrase(value: Passphrase | str) -> Passphrase:
    return value if isinstance(value, Passphrase) else Passphrase(value)
