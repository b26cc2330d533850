"""Sealing for a post-quantum recipient, against `cryptography` in both directions."""

import hashlib

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import Identity

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
IDENTITIES = st.binary(min_size=64, max_size=64)
SHORT = st.binary(max_size=64)


def theirs(data: bytes) -> MLKEM768X25519PrivateKey:
    """Expand the seed as X-Wing does."""
    seeds = hashlib.shake_256(data[:32]).digest(96)
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(seeds[:64]), X25519PrivateKey.from_private_bytes(seeds[64:])
    )


@settings(max_examples=10)
@given(IDENTITIES, SHORT, SHORT)
def test_cryptography_opens_what_we_seal(data, secret, info):
    recipient = Identity(data, post_quantum=True).recipient
    assert SUITE.decrypt(recipient.seal(secret, info), theirs(data), info) == secret


@settings(max_examples=10)
@given(IDENTITIES, SHORT, SHORT)
def test_we_open_what_cryptography_seals(data, secret, info):
    sealed = SUITE.encrypt(secret, theirs(data).public_key(), info)
    assert Identity(data, post_quantum=True).unseal(sealed, info) == secret
