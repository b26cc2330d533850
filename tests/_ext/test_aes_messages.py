"""One message: every path against the readable twin and pycryptodome, and everything that must be refused."""

import copy
import doctest
import mmap
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from medcrypt._ext import aes, cpu
from medcrypt._ext.aes import gcm, portable
from medcrypt.errors import AuthenticationError
from reference import aes_gcm

KEY, NONCE = bytes(range(32)), bytes(range(100, 112))

# Blocks, registers, groups and strides of the kernels, and the chunk; each with its neighbours.
EDGES = sorted(
    {edge + d for edge in (16, 64, 128, 256, 512, 1024, 2048, 16384) for d in (-1, 0, 1)}
    | {0, 1, 2, 31, 32, 33, 1007, 1008, 1009, 1040, 1024 + 255, 1024 + 257, 65536 + 1}
)

keys = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=12, max_size=12)


def pattern(size: int) -> bytes:
    """Bytes that repeat at no power of two."""
    return (np.arange(size, dtype=np.uint64) * 2654435761 % 251).astype(np.uint8).tobytes()


def pycryptodome(key: bytes, nonce: bytes, data: bytes, aad: bytes) -> bytes:
    """Seal with a second implementation."""
    cipher = AES.new(key, AES.MODE_GCM, nonce=nonce)
    cipher.update(aad)
    return b"".join(cipher.encrypt_and_digest(data))


def single_bit_flips(data: bytes) -> Iterator[bytes]:
    """Every string that differs from `data` in one bit."""
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        yield bytes(flipped)


def refused(cipher: aes.AesGcm, *message: bytes) -> bool:
    """Whether the message fails to authenticate, saying nothing about why."""
    with pytest.raises(AuthenticationError) as caught:
        cipher.decrypt(*message)
    return caught.value.args == ()


@given(key=keys, nonce=nonces, data=st.binary(max_size=300), aad=st.binary(max_size=60))
def test_a_message_equals_the_readable_twin(
    kernel_path: str, key: bytes, nonce: bytes, data: bytes, aad: bytes
) -> None:
    cipher = aes.AesGcm(key, kernel_path)
    sealed = cipher.encrypt(nonce, data, aad)
    assert sealed == aes_gcm.seal(key, nonce, data, aad)
    assert cipher.decrypt(nonce, sealed, aad) == data


@given(key=keys, nonce=nonces, size=st.integers(0, 20_000), aad_size=st.integers(0, 3_000))
def test_a_message_equals_pycryptodome(
    kernel_path: str, key: bytes, nonce: bytes, size: int, aad_size: int
) -> None:
    data, aad = pattern(size), pattern(aad_size)
    cipher = aes.AesGcm(key, kernel_path)
    sealed = cipher.encrypt(nonce, data, aad)
    assert sealed == pycryptodome(key, nonce, data, aad)
    assert cipher.decrypt(nonce, sealed, aad) == data


@pytest.mark.parametrize("size", EDGES)
def test_sizes_at_the_edges_of_the_kernels_equal_pycryptodome(kernel_path: str, size: int) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    for data, aad in ((pattern(size), b""), (b"", pattern(size)), (pattern(size), pattern(EDGES[-1] - size))):
        sealed = cipher.encrypt(NONCE, data, aad)
        assert sealed == pycryptodome(KEY, NONCE, data, aad)
        assert cipher.decrypt(NONCE, sealed, aad) == data


@pytest.mark.parametrize("own_hash", [True, False])
def test_the_portable_path_needs_no_more_of_pycryptodome_than_its_messages(
    monkeypatch: pytest.MonkeyPatch, own_hash: bool
) -> None:
    """Its GHASH, which is not public, only makes short messages and chunks faster."""
    assert portable._GHASH is not None
    if not own_hash:
        monkeypatch.setattr(portable, "_GHASH", None)
    cipher, aad = aes.AesGcm(KEY, "portable"), pattern(99)
    for size in (0, 1, 15, 16, 17, 1023, 1024, 1025, 5000):
        data = pattern(size)
        sealed = cipher.encrypt(NONCE, data, aad)
        assert sealed == pycryptodome(KEY, NONCE, data, aad)
        assert cipher.decrypt(NONCE, sealed, aad) == data
        assert refused(cipher, NONCE, sealed[:-1] + bytes([sealed[-1] ^ 1]), aad)


def test_every_size_up_to_two_strides_equals_pycryptodome() -> None:
    for path in cpu.paths():
        if path == "portable":
            continue
        cipher = aes.AesGcm(KEY, path)
        for size in range(2 * 1024 + 2):
            data = pattern(size)
            sealed = cipher.encrypt(NONCE, data)
            assert sealed == pycryptodome(KEY, NONCE, data, b"")
            assert cipher.decrypt(NONCE, sealed) == data


def test_the_block_counter_carries_into_its_third_byte(kernel_path: str) -> None:
    data = pattern(16 * (1 << 16) + 3 * 1024 + 5)
    sealed = aes.AesGcm(KEY, kernel_path).encrypt(NONCE, data)
    assert sealed == pycryptodome(KEY, NONCE, data, b"")


@given(
    key=keys, nonce=nonces, data=st.binary(min_size=1, max_size=40), aad=st.binary(min_size=1, max_size=20)
)
def test_every_flipped_bit_is_refused(
    kernel_path: str, key: bytes, nonce: bytes, data: bytes, aad: bytes
) -> None:
    cipher = aes.AesGcm(key, kernel_path)
    sealed = cipher.encrypt(nonce, data, aad)
    assert all(refused(cipher, nonce, bad, aad) for bad in single_bit_flips(sealed))
    assert all(refused(cipher, nonce, sealed, bad) for bad in single_bit_flips(aad))
    assert all(refused(cipher, bad, sealed, aad) for bad in single_bit_flips(nonce))


@pytest.mark.parametrize("size", [0, 5, 300, 2000])
def test_a_flipped_bit_in_each_block_of_a_longer_message_is_refused(kernel_path: str, size: int) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    sealed = cipher.encrypt(NONCE, pattern(size), pattern(size))
    for at in range(0, len(sealed), 16):
        bad = bytearray(sealed)
        bad[at] ^= 0x80
        assert refused(cipher, NONCE, bytes(bad), pattern(size))


def test_another_key_is_refused(kernel_path: str) -> None:
    sealed = aes.AesGcm(KEY, kernel_path).encrypt(NONCE, b"slice")
    assert refused(aes.AesGcm(bytes(32), kernel_path), NONCE, sealed)


@pytest.mark.parametrize("size", [0, 1, 15])
def test_less_than_a_tag_is_refused(kernel_path: str, size: int) -> None:
    assert refused(aes.AesGcm(KEY, kernel_path), NONCE, bytes(size))


def test_bytes_moved_between_data_and_aad_are_refused(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    sealed = cipher.encrypt(NONCE, b"", bytes(32))
    assert refused(cipher, NONCE, bytes(16) + sealed, bytes(16))


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_a_value_error(kernel_path: str, size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        aes.AesGcm(bytes(size), kernel_path)


@pytest.mark.parametrize("size", [0, 11, 13, 16])
def test_a_nonce_of_another_length_is_a_value_error(kernel_path: str, size: int) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    for call in (cipher.encrypt, cipher.decrypt):
        with pytest.raises(ValueError, match="12 bytes"):
            call(bytes(size), bytes(32))


def test_text_and_numbers_are_type_errors(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    for arguments in (("n" * 12, b""), (NONCE, "slice"), (NONCE, b"", "aad"), (NONCE, 5), (NONCE, None)):
        with pytest.raises(TypeError):
            cipher.encrypt(*arguments)
    with pytest.raises(TypeError):
        aes.AesGcm("k" * 32, kernel_path)  # type: ignore[arg-type]


def test_an_unknown_path_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="sse9"):
        aes.AesGcm(KEY, "sse9")


def test_the_path_in_use_is_the_default() -> None:
    assert aes.AesGcm(KEY).path == cpu.path()


def test_a_message_that_the_block_counter_cannot_count_is_a_value_error(kernel_path: str) -> None:
    # Address space without memory behind it: nothing of it is ever read.
    size = 2**36 - 32
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    cipher = aes.AesGcm(KEY, kernel_path)
    with mmap.mmap(-1, size + 17, flags=flags, prot=mmap.PROT_READ) as endless:
        with pytest.raises(ValueError, match=r"2\*\*36 - 32"):
            cipher.encrypt(NONCE, memoryview(endless)[: size + 1])
        with pytest.raises(ValueError, match=r"2\*\*36 - 32"):
            cipher.decrypt(NONCE, endless)
    with pytest.raises(ValueError, match=r"2\*\*36 - 32"):
        cipher.seal_chunks(NONCE, b"", bytearray(16), chunk=size + 1)


@pytest.mark.parametrize(
    "dtype", ["u1", "<u2", ">u2", "<i8", "f2", "c16", "?", "M8[s]", "S3", "U2", [("a", "<u2"), ("b", ">f4")]]
)
def test_arrays_of_every_dtype_are_their_bytes(kernel_path: str, dtype: DTypeLike) -> None:
    count = 4 * 6
    array = np.frombuffer(bytes(count * np.dtype(dtype).itemsize), dtype).reshape(2, 3, 4)
    assert not array.flags.writeable
    cipher = aes.AesGcm(KEY, kernel_path)
    assert cipher.encrypt(NONCE, array, array) == cipher.encrypt(NONCE, array.tobytes(), array.tobytes())


@pytest.mark.parametrize(
    "view",
    [np.zeros((8, 8))[::2], np.zeros((8, 8)).T, np.zeros(8)[::-1], memoryview(bytes(64))[::2]],
    ids=["rows", "transposed", "reversed", "memoryview"],
)
def test_a_buffer_that_is_not_c_contiguous_is_refused(kernel_path: str, view: memoryview) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    for arguments in ((NONCE, view), (NONCE, b"", view)):
        with pytest.raises((BufferError, ValueError), match="contiguous"):
            cipher.encrypt(*arguments)


def test_buffers_at_every_alignment_give_the_same_bytes(kernel_path: str) -> None:
    cipher, data = aes.AesGcm(KEY, kernel_path), pattern(3000)
    expected = cipher.encrypt(NONCE, data, data[:100])
    for offset in range(64):
        room = bytearray(offset) + data
        shifted = memoryview(room)[offset:]
        assert cipher.encrypt(NONCE, shifted, shifted[:100]) == expected
        sealed = memoryview(bytearray(offset) + expected)[offset:]
        assert cipher.decrypt(NONCE, sealed, shifted[:100]) == data


def test_one_object_serves_many_threads(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    messages = [pattern(size) for size in range(0, 40_000, 1333)]
    expected = [pycryptodome(KEY, NONCE, message, b"") for message in messages]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(lambda message: cipher.encrypt(NONCE, message), messages)) == expected
            assert list(pool.map(lambda sealed: cipher.decrypt(NONCE, sealed), expected)) == messages


def test_a_cipher_is_neither_pickled_nor_copied(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds a key"):
            attempt(cipher)


def test_the_repr_shows_the_path_and_nothing_else(kernel_path: str) -> None:
    assert repr(aes.AesGcm(KEY, kernel_path)) == f"AesGcm(path={kernel_path!r})"


def test_the_examples_in_the_docstrings_hold() -> None:
    failed, attempted = doctest.testmod(gcm)
    assert (failed, attempted > 0) == (0, True)


def test_a_cipher_has_no_subclasses_that_could_show_its_key() -> None:
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Leaky", (aes.AesGcm,), {})
