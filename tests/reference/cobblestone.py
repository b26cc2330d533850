"""Readable twin of `medcrypt.images.cobblestone` and of `medcrypt.keys.wrapping`: docs/formats, line by line.

HMAC comes from Python, AES-GCM from pycryptodome; `slow=True` takes the AES-GCM beside this file instead.
"""

import hashlib
import hmac

from Crypto.Cipher import AES

from reference import aes_gcm

CHUNK, TAG = 16384, 16


def expand(key: bytes, info: bytes, length: int) -> bytes:
    """HKDF-Expand with SHA-512 (RFC 5869, section 2.3)."""
    output, block, counter = b"", b"", 1
    while len(output) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha512).digest()
        output, counter = output + block, counter + 1
    return output[:length]


def derive(key: bytes, salt: bytes, context: bytes) -> tuple[bytes, bytes, bytes]:
    """Return AES key, base nonce, commitment."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" + b"\0" + salt + context
    output = expand(key, info, 76)
    return output[:32], output[32:44], output[44:76]


def encrypt(key: bytes, data: bytes, context: bytes, salt: bytes, slow: bool = False) -> bytes:
    """Return the blob."""
    aes_key, nonce, commitment = derive(key, salt, context)
    blob = salt + commitment
    for k in range(len(data) // CHUNK + 1):
        blob += seal(aes_key, number(nonce, k), data[k * CHUNK : (k + 1) * CHUNK], slow)
    return blob


def decrypt(key: bytes, blob: bytes, context: bytes, slow: bool = False) -> bytes | None:
    """Return the plaintext, or None."""
    aes_key, nonce, commitment = derive(key, blob[:24], context)
    if len(blob) < 72 or blob[24:56] != commitment:
        return None
    plain, rest, k = b"", blob[56:], 0
    while True:
        chunk, rest = rest[: CHUNK + TAG], rest[CHUNK + TAG :]
        opened = unseal(aes_key, number(nonce, k), chunk, slow)
        if opened is None:
            return None
        plain, k = plain + opened, k + 1
        if len(opened) < CHUNK:
            return plain if rest == b"" else None


def number(nonce: bytes, k: int) -> bytes:
    """Return the nonce of chunk k."""
    return bytes(a ^ b for a, b in zip(nonce, k.to_bytes(12, "big"), strict=True))


def seal(key: bytes, nonce: bytes, data: bytes, slow: bool) -> bytes:
    """AES-256-GCM."""
    if slow:
        return aes_gcm.seal(key, nonce, data)
    ciphertext, tag = AES.new(key, AES.MODE_GCM, nonce=nonce).encrypt_and_digest(data)
    return ciphertext + tag


def unseal(key: bytes, nonce: bytes, data: bytes, slow: bool) -> bytes | None:
    """Return the plaintext, or None."""
    if len(data) < TAG:
        return None
    if slow:
        return aes_gcm.unseal(key, nonce, data)
    try:
        return AES.new(key, AES.MODE_GCM, nonce=nonce).decrypt_and_verify(data[:-TAG], data[-TAG:])
    except ValueError:
        return None
