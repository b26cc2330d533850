"""HKDF-Expand with SHA-512 (RFC 5869, section 2.3), the one key derivation of medcrypt."""

from __future__ import annotations

import hmac

_HASH_BYTES = 64


def expand(key: bytes | bytearray, info: bytes, length: int) -> bytes:
    """Derive ``length`` bytes from a uniform key: HKDF-Expand-SHA-512.

    Parameters
    ----------
    key
        At least 32 uniformly random bytes (the step HKDF-Extract is not needed for such a key).
    info
        What the derived bytes are for; different ``info`` give independent bytes.
    length
        1 to 255 * 64 bytes.

    Returns
    -------
    bytes
        ``length`` bytes.

    Examples
    --------
    >>> expand(bytes(32), b"example", 4).hex()
    '69169591'
    """
    if not 1 <= length <= 255 * _HASH_BYTES:
        raise ValueError("HKDF-Expand gives 1 to 16320 bytes")
    block = hmac.digest(key, info + b"\x01", "sha512")
    output = block
    counter = 1
    while len(output) < length:
        counter += 1
        block = hmac.digest(key, block + info + bytes([counter]), "sha512")
        output += block
    return output[:length]


SALT_BYTES = 24
COMMITMENT_BYTES = 32
_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def cobblestone_keys(key: bytes | bytearray, salt: bytes, context: bytes) -> tuple[bytes, bytes, bytes]:
    """Derive AES key, base nonce and commitment of Cobblestone-256 (C2SP chunked encryption v1).

    Parameters
    ----------
    key
        The 32-byte input key.
    salt
        24 random bytes, new for every encryption under ``key``.
    context
        What the encryption is bound to.

    Returns
    -------
    tuple of bytes
        AES-256 key (32), base nonce (12), commitment (32): the commitment is public and fixes the key.

    Examples
    --------
    >>> [len(part) for part in cobblestone_keys(bytes(32), bytes(24), b"")]
    [32, 12, 32]
    """
    output = expand(key, _LABEL + salt + context, 32 + 12 + COMMITMENT_BYTES)
    return output[:32], output[32:44], output[44:]
