"""Wrapping of a short secret under a 32-byte key: Cobblestone-256 with a single chunk.

``salt(24) || commitment(32) || AES-256-GCM(secret)``. It commits to its key: nobody can make one wrapped
secret that opens under two keys, which plain AES-GCM allows and which turns passphrases into an oracle
(Len, Grubbs, Ristenpart 2021, "Partitioning Oracle Attacks").
"""

from __future__ import annotations

import hmac
import os
from typing import Any

from numpy.typing import NDArray

from medcrypt._ext.aes import AesGcm
from medcrypt._ext.sha512 import HkdfSha512, has_ciphers
from medcrypt.errors import AuthenticationError
from medcrypt.keys.derivation import COMMITMENT_BYTES, SALT_BYTES, cobblestone_keys

OVERHEAD = SALT_BYTES + COMMITMENT_BYTES + 16
MOST = 16383


def wrap(key: bytes | HkdfSha512, secret: bytes | NDArray[Any], context: bytes) -> bytes:
    """Encrypt at most `MOST` bytes of ``secret`` under ``key``, bound to ``context``."""
    salt = os.urandom(SALT_BYTES)
    if has_ciphers():
        prepared = key if isinstance(key, HkdfSha512) else HkdfSha512(key)
        return prepared.seal(salt, context, secret)
    aes_key, nonce, commitment = cobblestone_keys(key, salt, context)
    return salt + commitment + AesGcm(aes_key).encrypt(nonce, secret)


def unwrap(key: bytes | HkdfSha512, wrapped: bytes, context: bytes) -> bytes:
    """Return what `wrap` was given, or raise `AuthenticationError`."""
    if not OVERHEAD <= len(wrapped) <= OVERHEAD + MOST:
        raise AuthenticationError
    if has_ciphers():
        prepared = key if isinstance(key, HkdfSha512) else HkdfSha512(key)
        return prepared.open(context, wrapped)
    aes_key, nonce, commitment = cobblestone_keys(key, wrapped[:SALT_BYTES], context)
    if not hmac.compare_digest(wrapped[SALT_BYTES : SALT_BYTES + COMMITMENT_BYTES], commitment):
        raise AuthenticationError
    return AesGcm(aes_key).decrypt(nonce, wrapped[SALT_BYTES + COMMITMENT_BYTES :])
