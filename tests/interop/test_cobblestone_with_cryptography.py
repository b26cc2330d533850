"""Cobblestone-256 byte for byte with `cryptography`, and the published vectors of C2SP."""

import base64
import hashlib
import json
import zlib
from importlib import resources

import pytest
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import MedcryptError
from medcrypt.images import cobblestone

CHUNK = 16384
EDGES = [0, 1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 5]
KEY = bytes(range(32))


def some(size: int) -> bytes:
    return hashlib.shake_256(b"%d" % size).digest(size)


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("context", [b"", b"study 7", bytes(1000)])
def test_cryptography_reads_what_we_write(size, context):
    blob = cobblestone.encrypt(KEY, some(size), context)
    decryptor = Cobblestone256Decryptor(KEY, context)
    assert decryptor.update(blob) + decryptor.finalize() == some(size)


@pytest.mark.parametrize("size", EDGES)
@pytest.mark.parametrize("context", [b"", b"study 7", bytes(1000)])
def test_we_read_what_cryptography_writes_and_would_write_the_same(size, context):
    encryptor = Cobblestone256Encryptor(KEY, context)
    blob = encryptor.update(some(size)) + encryptor.finalize()
    assert cobblestone.decrypt(KEY, blob, context) == some(size)
    assert cobblestone.encrypt(KEY, some(size), context, salt=blob[:24]) == blob


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(0, 4 * CHUNK),
    st.binary(max_size=50),
    st.sampled_from([1, 2, 3]),
)
def test_both_directions_for_any_key_size_and_context(key, size, context, threads):
    blob = cobblestone.encrypt(key, some(size), context, threads=threads)
    decryptor = Cobblestone256Decryptor(key, context)
    assert decryptor.update(blob) + decryptor.finalize() == some(size)
    encryptor = Cobblestone256Encryptor(key, context)
    theirs = encryptor.update(some(size)) + encryptor.finalize()
    assert cobblestone.decrypt(key, theirs, context, threads=threads) == some(size)


# ---- C2SP's vectors, as the package cryptography_vectors ships them ----------------------------------------


def c2sp_vectors() -> list[dict]:
    path = resources.files("cryptography_vectors") / "chunked-encryption" / "vectors.json"
    vectors = json.loads(path.read_text())["vectors"]
    return [vector for vector in vectors if vector["aead"] == "AEAD_AES_256_GCM"]


def blob_of(vector: dict) -> bytes:
    blob = base64.b64decode(vector["ciphertext"] or "")
    return zlib.decompress(blob) if vector.get("compressed") else blob


def keys_by_sha_256(key: bytes, salt: bytes, context: bytes) -> tuple[bytes, bytes, bytes]:
    """Derive as the published vectors do: they take SHA-256 where Cobblestone-256 takes SHA-512."""
    info = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0" + salt + context
    output = HKDFExpand(hashes.SHA256(), 76, info).derive(key)
    return output[:32], output[32:44], output[44:]


@pytest.mark.parametrize("vector", c2sp_vectors(), ids=lambda vector: vector["name"])
def test_with_sha_256_for_a_hash_the_vectors_of_c2sp_hold(vector, monkeypatch):
    monkeypatch.setattr(cobblestone, "cobblestone_keys", keys_by_sha_256)
    # Keep the key as it is, and away from the kernel that derives, by SHA-512, and seals in one call.
    monkeypatch.setattr(cobblestone, "HkdfSha512", bytes)
    monkeypatch.setattr(cobblestone, "has_ciphers", lambda: False)
    key, context, blob = bytes.fromhex(vector["key"]), vector["context"].encode(), blob_of(vector)
    if vector["expect"] == "success":
        plain = cobblestone.decrypt(key, blob, context)
        assert len(plain) == vector["payload_length"]
        assert hashlib.sha256(plain).hexdigest() == vector["payload_sha256"]
        assert cobblestone.encrypt(key, plain, context, salt=blob[:24]) == blob
    else:
        with pytest.raises(MedcryptError if len(key) == 32 else ValueError):
            cobblestone.decrypt(key, blob, context)
