"""One chunk of an array, encrypted by itself: what the codecs for Zarr 3 and for numcodecs share.

A chunk is a Cobblestone-256 blob under a key derived from the caller's, bound to the name of the codec and to
its configuration. A codec is told neither the array nor the place that a chunk belongs to, so chunks of one
``array_id`` can be exchanged unseen: `medcrypt.integrations.zarr.EncryptedStore` refuses that.
Bytes: ``docs/formats/zarr.md``.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt.images import cobblestone
from medcrypt.integrations.codec_keys import find_key
from medcrypt.keys.derivation import expand
from medcrypt.keys.secret import KEY_BYTES

__all__ = ["CODEC_ID", "LONGEST_ARRAY_ID", "checked_array_id", "decrypt_chunk", "encrypt_chunk"]

Bytes: TypeAlias = NDArray[np.uint8]

CODEC_ID = "medcrypt.aes_gcm"
LONGEST_ARRAY_ID = 1024
_LABEL_KEY = b"medcrypt/v1/chunk-key"
_LABEL = b"medcrypt/v1/chunk\x00" + CODEC_ID.encode("ascii") + b"\x00"


def encrypt_chunk(key_id: str, array_id: str, plain: Bytes) -> Bytes:
    """Return the blob of a C-contiguous chunk."""
    blob = np.empty(cobblestone.sealed_size(plain.nbytes), np.uint8)
    # One thread: the callers encrypt many chunks at a time.
    cobblestone.encrypt_into(_chunk_key(key_id), plain, blob, _context(key_id, array_id), threads=1)
    return blob


def decrypt_chunk(key_id: str, array_id: str, blob: Bytes, out: Bytes | None = None) -> Bytes:
    """Return the bytes of a chunk, in ``out`` if there is one (exactly as long as the chunk).

    Raises
    ------
    AuthenticationError
        Wrong key or another array's id, or the chunk was changed.
    FormatError
        No blob has this length.
    InvalidKeyError
        The key is not known here.
    """
    size = cobblestone.plain_size(blob.nbytes)
    if out is None:
        out = np.empty(size, np.uint8)
    elif out.nbytes != size:
        raise ValueError(f"out has {out.nbytes} bytes and the chunk {size}")
    cobblestone.decrypt_into(_chunk_key(key_id), blob, out, _context(key_id, array_id), threads=1)
    return out


def checked_array_id(array_id: str) -> str:
    """Return the text that names an array, or raise ``TypeError``/``ValueError``."""
    if not isinstance(array_id, str):
        raise TypeError(f"array_id must be text, not {type(array_id).__name__}")
    if len(array_id.encode("utf-8")) > LONGEST_ARRAY_ID:
        raise ValueError(f"array_id must not be longer than {LONGEST_ARRAY_ID} bytes")
    return array_id


def _chunk_key(key_id: str) -> bytes:
    """Keep chunks apart from everything else that the caller's key seals."""
    return expand(find_key(key_id).to_bytes(), _LABEL_KEY, KEY_BYTES)


def _context(key_id: str, array_id: str) -> bytes:
    return _LABEL + bytes.fromhex(key_id) + array_id.encode("utf-8")
