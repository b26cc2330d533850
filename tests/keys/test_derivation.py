"""HKDF-Expand-SHA-512 against a second implementation, and the wrapping of short secrets."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import AuthenticationError
from medcrypt.keys.derivation import cobblestone_keys, expand
from medcrypt.keys.wrapping import OVERHEAD, unwrap, wrap
from reference import cobblestone as reference

KEYS = st.binary(min_size=32, max_size=32)


@given(KEYS, st.binary(max_size=300), st.integers(1, 300) | st.sampled_from([64, 128, 16319, 16320]))
def test_expand_is_that_of_rfc_5869(key, info, length):
    expected = HKDFExpand(hashes.SHA512(), length, info).derive(key)
    assert expand(key, info, length) == expand(bytearray(key), info, length) == expected


@pytest.mark.parametrize("length", [-1, 0, 16321])
def test_expand_gives_1_to_16320_bytes(length):
    with pytest.raises(ValueError, match="16320"):
        expand(bytes(32), b"", length)


@given(KEYS, st.binary(min_size=24, max_size=24), st.binary(max_size=100))
def test_cobblestone_keys_are_those_of_the_reference(key, salt, context):
    assert cobblestone_keys(key, salt, context) == reference.derive(key, salt, context)


@given(KEYS, st.binary(max_size=500), st.binary(max_size=50))
def test_a_wrapped_secret_is_a_cobblestone_blob(key, secret, context):
    wrapped = wrap(key, secret, context)
    assert len(wrapped) == len(secret) + OVERHEAD == len(secret) + 72
    assert reference.decrypt(key, wrapped, context) == unwrap(key, wrapped, context) == secret


def test_wrapping_twice_gives_different_bytes():
    assert wrap(bytes(32), b"secret", b"") != wrap(bytes(32), b"secret", b"")


@given(st.data())
def test_a_changed_wrapped_secret_is_refused(data):
    wrapped = bytearray(wrap(bytes(32), b"secret", b"context"))
    wrapped[data.draw(st.integers(0, len(wrapped) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(AuthenticationError):
        unwrap(bytes(32), bytes(wrapped), b"context")


@pytest.mark.parametrize("size", [0, 23, 24, 56, 71, 77])
def test_a_cut_wrapped_secret_is_refused(size):
    with pytest.raises(AuthenticationError):
        unwrap(bytes(32), wrap(bytes(32), b"secret", b"")[:size], b"")


def test_wrong_key_and_wrong_context_are_refused():
    wrapped = wrap(bytes(32), b"secret", b"context")
    with pytest.raises(AuthenticationError):
        unwrap(bytes(31) + b"x", wrapped, b"context")
    with pytest.raises(AuthenticationError):
        unwrap(bytes(32), wrapped, b"contexT")
