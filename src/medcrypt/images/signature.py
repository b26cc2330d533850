"""Who sealed an image: an Ed25519 signature over a list of chunk hashes.

The trailer of a signed image is the SHA-256 of every sealed chunk followed by the signature over

    "medcrypt/v1/image-signature" || 0x00 || SHA-512(header) || SHA-512(context)
        || salt || commitment || SHA-512(hashes)

The hashes are needed because AES-GCM tags do not bind a chunk against somebody who knows the file key:
without them one recipient could change an image and leave the sender's signature on it. A list, rather than
one hash, lets a reader check the chunks it reads and no others.

A signature says who sealed the pixels and the metadata, not for whom: the recipients are outside of it.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import AuthenticationError
from medcrypt.images.cobblestone import CHUNK, SEALED_CHUNK, in_runs
from medcrypt.images.header import HASH_BYTES, SIGNATURE_BYTES, Header
from medcrypt.keys import Identity, Recipient
from medcrypt.keys.identity import check_signature

_LABEL = b"medcrypt/v1/image-signature\x00"
Bytes = NDArray[np.uint8]


def chunk_hashes(sealed_chunks: Bytes, threads: int | None = 1) -> bytes:
    """Return the SHA-256 of each sealed chunk, one after another."""
    hashes = np.empty((-(-sealed_chunks.size // SEALED_CHUNK), HASH_BYTES), np.uint8)

    def hash_run(first: int, stop: int) -> None:
        for number in range(first, stop):
            chunk = sealed_chunks[number * SEALED_CHUNK : (number + 1) * SEALED_CHUNK]
            hashes[number] = np.frombuffer(hashlib.sha256(chunk.data).digest(), np.uint8)

    in_runs(hash_run, (len(hashes) - 1) * CHUNK, threads)
    return hashes.tobytes()


def sign(signer: Identity, header: Header, context: bytes, preamble: bytes, hashes: bytes) -> bytes:
    """Return the trailer of an image whose body begins with ``preamble`` and has these chunk hashes."""
    return hashes + signer.sign(_message(header, context, preamble, hashes))


def verify(
    sender: Recipient | None, header: Header, context: bytes, preamble: bytes, trailer: bytes
) -> bytes:
    """Check the signature and return the chunk hashes it vouches for, or raise `AuthenticationError`.

    Without a sender, the key in the header has to have signed: then the image is the one that was sealed, and
    who did it is unknown. An image without a signature gives no hashes, and is refused where a sender is
    expected.
    """
    if sender is not None and not isinstance(sender, Recipient):
        raise TypeError("the sender must be a Recipient")
    if sender is not None and header.signer != sender.verifying_key:
        raise AuthenticationError
    if not header.signer:
        return b""
    hashes, signature = trailer[:-SIGNATURE_BYTES], trailer[-SIGNATURE_BYTES:]
    check_signature(header.signer, _message(header, context, preamble, hashes), signature)
    return hashes


def check_chunks(hashes: bytes, first: int, sealed_chunks: Bytes, threads: int | None = 1) -> None:
    """Compare consecutive sealed chunks, from number ``first`` on, with their signed hashes."""
    found = chunk_hashes(sealed_chunks, threads)
    if found != hashes[first * HASH_BYTES : first * HASH_BYTES + len(found)]:  # both are public
        raise AuthenticationError


def _message(header: Header, context: bytes, preamble: bytes, hashes: bytes) -> bytes:
    digests = header.digest + hashlib.sha512(context).digest() + preamble + hashlib.sha512(hashes).digest()
    return _LABEL + digests
