"""SHA-512 and HKDF-Expand in C agree with hashlib, OpenSSL and the RFCs' numbers, whatever the lengths."""

import copy
import hashlib
import hmac
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import AuthenticationError, SecretKey, images
from medcrypt._ext.sha512 import HkdfSha512, has_ciphers, sha512
from medcrypt.keys.derivation import expand
from medcrypt.keys.wrapping import unwrap, wrap
from reference import cobblestone as reference

# FIPS 180-4's examples, as NIST publishes them beside the standard ("SHA512.pdf"), and the empty message.
DIGESTS = {
    b"": "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
    "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
    b"abc": "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
    b"hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu": "8e959b75dae313da8cf4f72814fc143f"
    "8f7779c6eb9f7fa17299aeadb6889018501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
}
# RFC 4231, section 4: key, data, HMAC-SHA-512. The first step of HKDF-Expand, whose info ends in the byte 1,
# is HMAC itself; a message that ends otherwise goes through `hmac_of`, two hashes written out.
HMACS = [
    (
        b"\x0b" * 20,
        b"Hi There",
        "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
        "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
        "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
    ),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
        "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598",
    ),
]


@pytest.fixture(autouse=True)
def _on_every_path(kernel_path, monkeypatch):
    """Every test of this file runs once for each implementation of the compression."""
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)


def hmac_of(key: bytes, data: bytes) -> bytes:
    """HMAC by its definition (RFC 2104) over our SHA-512."""
    block = (sha512(key) if len(key) > 128 else key).ljust(128, b"\0")
    inner = sha512(bytes(byte ^ 0x36 for byte in block) + data)
    return sha512(bytes(byte ^ 0x5C for byte in block) + inner)


@pytest.mark.parametrize(("message", "digest"), DIGESTS.items(), ids=["empty", "one block", "two blocks"])
def test_the_digests_of_the_standard(message, digest):
    assert sha512(message).hex() == digest


def test_a_million_letters():
    assert sha512(b"a" * 1_000_000).hex() == (
        "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb"
        "de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"
    )


@pytest.mark.parametrize("size", [*range(260), 1023, 1024, 1025, 100_000])
def test_every_length_around_the_blocks_gives_hashlibs_digest(size):
    message = hashlib.shake_256(b"message").digest(size)
    assert sha512(message) == hashlib.sha512(message).digest()


@pytest.mark.parametrize(("key", "data", "expected"), HMACS, ids=["short key", "text key", "long key"])
def test_hmac_of_rfc_4231(key, data, expected):
    assert hmac_of(key, data).hex() == expected


@given(st.binary(max_size=300), st.binary(max_size=400))
def test_the_first_step_is_hmac_whatever_the_lengths_of_key_and_message(key, info):
    assert HkdfSha512(key).expand(info, 64) == hmac.digest(key, info + b"\x01", "sha512")


@given(st.binary(min_size=1, max_size=200), st.binary(max_size=300), st.integers(1, 1000))
def test_expand_is_that_of_openssl_and_of_the_reference(key, info, length):
    found = HkdfSha512(key).expand(info, length)
    assert found == HKDFExpand(hashes.SHA512(), length, info).derive(key)
    assert found == reference.expand(key, info, length)
    assert found == expand(key, info, length) == expand(HkdfSha512(key), info, length)


def test_expand_gives_up_to_255_blocks():
    prepared = HkdfSha512(bytes(range(32)))
    longest = prepared.expand(b"all of it", 255 * 64)
    assert longest == HKDFExpand(hashes.SHA512(), 255 * 64, b"all of it").derive(bytes(range(32)))
    for length in (0, -1, 255 * 64 + 1):
        with pytest.raises(ValueError, match="1 to 16320"):
            prepared.expand(b"", length)


@given(st.binary(min_size=1, max_size=64), st.integers(0, 511))
def test_one_bit_of_the_key_changes_about_half_of_the_output(key, bit):
    changed = bytearray(key)
    changed[bit // 8 % len(key)] ^= 1 << bit % 8
    one = int.from_bytes(HkdfSha512(key).expand(b"", 64), "big")
    two = int.from_bytes(HkdfSha512(changed).expand(b"", 64), "big")
    assert 150 < (one ^ two).bit_count() < 362  # 256 expected, 9 standard deviations


def test_any_contiguous_buffer_is_taken_and_others_are_not():
    data = np.arange(64, dtype="<u4").reshape(8, 8)
    assert sha512(data) == sha512(data.tobytes()) == sha512(memoryview(data)) == sha512(bytearray(data))
    assert HkdfSha512(data).expand(data, 9) == HkdfSha512(data.tobytes()).expand(data.tobytes(), 9)
    for bad in (data[::2], data.T):
        with pytest.raises((BufferError, ValueError)):
            sha512(bad)
    for bad in ("text", None, 5):
        with pytest.raises(TypeError):
            sha512(bad)
        with pytest.raises(TypeError):
            HkdfSha512(bad)
        with pytest.raises(TypeError):
            HkdfSha512(b"key").expand(bad, 8)


def test_a_prepared_key_is_neither_shown_nor_copied():
    prepared = HkdfSha512(b"a secret of thirty-two characters")
    assert repr(prepared) == "HkdfSha512()"
    for way_out in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            way_out(prepared)


# ---- blobs ---------------------------------------------------------------------------------------------------

KEY, SALT, CHUNK = bytes(range(32)), bytes(range(24)), 16384
SIZES = st.integers(0, 3 * CHUNK) | st.sampled_from([0, 1, 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])


@pytest.fixture
def _with_ciphers(kernel_path):
    if kernel_path == "portable":
        pytest.skip("no AES instructions on this path")


@pytest.mark.usefixtures("_with_ciphers")
@given(SIZES, st.binary(max_size=700))
def test_a_blob_is_that_of_the_reference(size, context):
    data = hashlib.shake_256(b"data").digest(size)
    key, expected = HkdfSha512(KEY), reference.encrypt(KEY, data, context, SALT)
    into, opened = bytearray(len(expected)), bytearray(size)
    key.seal_into(SALT, context, data, into)
    assert key.seal(SALT, context, data) == into == expected
    key.open_into(context, into, opened)
    assert key.open(context, into) == opened == data


@pytest.mark.usefixtures("_with_ciphers")
@given(st.data())
def test_a_changed_blob_key_or_context_is_refused_and_nothing_left(data):
    plain = b"pixels" * data.draw(st.integers(0, 50) | st.just(3000))
    blob = bytearray(HkdfSha512(KEY).seal(SALT, b"context", plain))
    out = bytearray(b"\xaa" * len(plain))
    bit = data.draw(st.integers(0, 8 * len(blob) - 1))
    blob[bit // 8] ^= 1 << bit % 8
    with pytest.raises(AuthenticationError):
        HkdfSha512(KEY).open_into(b"context", blob, out)
    with pytest.raises(AuthenticationError):
        HkdfSha512(KEY).open(b"context", blob)
    # The commitment is found wrong before anything is written; a chunk only when it has been.
    assert set(out) <= ({0xAA} if bit // 8 < 56 else {0})
    blob[bit // 8] ^= 1 << bit % 8
    for key, context in ((KEY, b"another"), (KEY[::-1], b"context")):
        with pytest.raises(AuthenticationError):
            HkdfSha512(key).open_into(context, blob, out)
        with pytest.raises(AuthenticationError):
            HkdfSha512(key).open(context, blob)


@pytest.mark.usefixtures("_with_ciphers")
def test_chunks_that_trade_places_or_are_missing_are_refused():
    prepared, full = HkdfSha512(KEY), CHUNK + 16
    blob = prepared.seal(SALT, b"", hashlib.shake_256(b"data").digest(2 * CHUNK + 5))
    head, first, second, last = blob[:56], blob[56 : 56 + full], blob[56 + full : 56 + 2 * full], blob[-21:]
    assert head + first + second + last == blob
    for changed in (head + second + first + last, head + first + last, head + first + second, head + last):
        with pytest.raises(AuthenticationError):
            prepared.open(b"", changed)


@pytest.mark.usefixtures("_with_ciphers")
@pytest.mark.parametrize("size", [0, 55, 56, 71, 72 + 16384, 72 + 16384 + 15])
def test_bytes_that_no_blob_has_the_size_of_do_not_open(size):
    with pytest.raises(AuthenticationError):
        HkdfSha512(KEY).open(b"", bytes(size))


@pytest.mark.usefixtures("_with_ciphers")
def test_buffers_of_wrong_sizes_or_that_overlap_are_a_value_error():
    prepared = HkdfSha512(KEY)
    with pytest.raises(ValueError, match="salt"):
        prepared.seal(SALT[1:], b"", b"")
    for blob, size in ((71, 0), (80, 9), (16384 + 72, 16384)):
        with pytest.raises(ValueError, match=r"has \d+ bytes, not"):
            prepared.open_into(b"", bytes(blob), bytearray(size))
        with pytest.raises(ValueError, match=r"has \d+ bytes, not"):
            prepared.seal_into(SALT, b"", bytes(size), bytearray(blob))
    memory = memoryview(bytearray(1000))
    for plain, sealed in ((memory[:100], memory[99:271]), (memory[171:271], memory[:172])):
        with pytest.raises(ValueError, match="overlap"):
            prepared.seal_into(SALT, b"", plain, sealed)
        with pytest.raises(ValueError, match="overlap"):
            prepared.open_into(b"", sealed, plain)
    with pytest.raises(BufferError):
        prepared.open_into(b"", bytes(80), bytes(8))
    with pytest.raises(BufferError):
        prepared.seal_into(SALT, b"", bytes(8), bytes(80))


def test_a_path_without_aes_instructions_says_so(monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", "portable")
    with pytest.raises(RuntimeError, match="AES"):
        HkdfSha512(KEY).seal(SALT, b"", b"")


@pytest.mark.parametrize("dtype", ["|b1", ">u2", "<c16", "<f2"])
@pytest.mark.parametrize("shape", [(), (0, 3), (20, 20)])
def test_every_path_seals_and_opens_what_the_others_do(kernel_path, monkeypatch, dtype, shape):
    key, array = SecretKey(KEY), np.ones(shape, dtype)
    elsewhere = images.encrypt(array, key), wrap(KEY, b"secret", b"context")
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    assert has_ciphers() == (kernel_path != "portable")
    here = images.encrypt(array, key), wrap(KEY, b"secret", b"context")
    for image, wrapped in (elsewhere, here):
        found = images.decrypt(image, key)
        assert (found.dtype.str, found.shape) == (array.dtype.str, array.shape)
        assert found.tobytes() == array.tobytes()
        assert unwrap(KEY, wrapped, b"context") == b"secret"
        with pytest.raises(AuthenticationError):
            unwrap(KEY, wrapped, b"another")
