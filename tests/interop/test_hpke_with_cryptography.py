"""Sealing for a recipient and signing, against `cryptography` in both directions."""

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import AuthenticationError, Identity

SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
IDENTITIES = st.binary(min_size=64, max_size=64)
SHORT = st.binary(max_size=64)


@settings(max_examples=10)
@given(IDENTITIES, SHORT, SHORT)
def test_cryptography_opens_what_we_seal(data, secret, info):
    identity = Identity(data)
    private = X25519PrivateKey.from_private_bytes(data[:32])
    assert SUITE.decrypt(identity.recipient.seal(secret, info), private, info) == secret


@settings(max_examples=10)
@given(IDENTITIES, SHORT, SHORT)
def test_we_open_what_cryptography_seals(data, secret, info):
    identity = Identity(data)
    public = X25519PublicKey.from_public_bytes(identity.recipient.to_bytes()[:32])
    assert identity.unseal(SUITE.encrypt(secret, public, info), info) == secret


@settings(max_examples=10)
@given(IDENTITIES, SHORT)
def test_signatures_and_public_keys_are_the_same(data, message):
    identity, theirs = Identity(data), Ed25519PrivateKey.from_private_bytes(data[32:])
    assert identity.recipient.verifying_key == theirs.public_key().public_bytes_raw()
    assert identity.sign(message) == theirs.sign(message)


def test_both_refuse_a_signature_on_something_else():
    identity = Identity(bytes(64))
    signature = identity.sign(b"one")
    with pytest.raises(AuthenticationError):
        identity.recipient.verify(b"two", signature)
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(identity.recipient.verifying_key).verify(signature, b"two")
