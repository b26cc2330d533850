"""Wrapping of a short secret under a 32-byte key: Cobblestone-256 with a single chunk.

``salt(24) || commitment(32) || AES-256-GCM(secret)``. It commits to its key: nobody can make one wrapped
secret that opens under two keys, which plain AES-GCM allows and which turns passphrases into an oracle
(Len, Grubbs, Ristenpart 2021, "Partitioning Oracle Attacks").
"""

from __future__ import annotations

import hmac
import os

from medcrypt._ext.aes import AesGcm
from medcrypt.errors import AuthenticationError
from medcrypt.keys.derivation import COMMITMENT_BYTES, SALT_BYTES, cobblestone_keys

OVERHEAD = SALT_BYTES + COMMITMENT_BYTES + 16


def wrap(key: bytes, secret: bytes, context: bytes) -> bytes:
    """Encrypt less than 16 KiB of ``secret`` under ``key``, bound to ``context``."""
    salt = os.urandom(SALT_BYTES)
    aes_key, nonce, commitment = cobblestone_keys(key, salt, context)
    return salt + commitment + AesGcm(aes_key).encrypt(nonce, secret)


def unwrap(key: bytes, wrapped: bytes, context: bytes) -> bytes:
    """Return what `wrap` was given, or raise `AuthenticationError`."""
    if len(wrapped) < OVERHEAD:
        raise AuthenticationError
    salt, rest = wrapped[:SALT_BYTES], wrapped[SALT_BYTES:]
    aes_key, nonce, commitment = cobblestone_keys(key, salt, context)
    if not hmac.compare_digest(rest[:COMMITMENT_BYTES], commitment):
        raise AuthenticationError
    return AesGcm(aes_key).decrypt(nonce, rest[COMMITMENT_BYTES:])
