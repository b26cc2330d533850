"""HKDF-Expand with SHA-512 (RFC 5869, section 2.3), the one key derivation of medcrypt."""

from __future__ import annotations

from medcrypt._ext.sha512 import HkdfSha512

SALT_BYTES = 24
COMMITMENT_BYTES = 32
_LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def expand(key: bytes | bytearray | HkdfSha512, info: bytes, length: int) -> bytes:
    """Derive ``length`` bytes from a uniform key: HKDF-Expand-SHA-512.

    Parameters
    ----------
    key
        At least 32 uniformly random bytes (the step HKDF-Extract is not needed for such a key); or the same
        prepared, which pays where a key derives more than once.
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
    prepared = key if isinstance(key, HkdfSha512) else HkdfSha512(key)
    return prepared.expand(info, length)


def cobblestone_keys(
    key: bytes | bytearray | HkdfSha512, salt: bytes, context: bytes
) -> tuple[bytes, bytes, bytes]:
    """Derive AES key, base nonce and commitment of Cobblestone-256 (C2SP chunked encryption v1).

    Parameters
    ----------
    key
        The 32-byte input key, or the same prepared.
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
