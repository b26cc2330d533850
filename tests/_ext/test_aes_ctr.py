"""The key stream of AES-256-CTR: published blocks, the readable twin, pycryptodome; and nothing beyond its buffer."""

import copy
import gc
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import aes, cpu
from reference import aes_ctr

KEY = bytes(range(32))
LAST = 2**128 - 1
# Numbers around which a carry moves through the halves of the counter, and the largest ones.
COUNTERS = [0, 1, 2**32 - 1, 2**63 - 1, 2**64 - 33, 2**64 - 1, 2**64, 3 * 2**64 - 5, 2**127, LAST - 2**20]
# Around a block, a register (64), a group of each path (128 and 512), and a piece of the portable path.
SIZES = [0, 1, 15, 16, 17, 48, 63, 64, 65, 127, 128, 129, 511, 512, 513, 560, 1024, 4099, 65535, 65536, 65553]


def filled(key: bytes, path: str, counter: int, size: int) -> bytes:
    """Return `size` bytes of key stream."""
    out = bytearray(b"\xa5" * size)
    assert aes.AesCtr(key, path).fill(counter, out) == size
    return bytes(out)


def by_pycryptodome(key: bytes, counter: int, size: int) -> bytes:
    """Encipher the counters one by one: the portable path uses its counter mode."""
    blocks = range(counter, counter - (-size // 16))
    return AES.new(key, AES.MODE_ECB).encrypt(b"".join(n.to_bytes(16, "big") for n in blocks))[:size]


def test_the_vector_of_sp_800_38a(kernel_path: str) -> None:
    """Section F.5.5, CTR-AES256.Encrypt: plaintext xor ciphertext is the stream."""
    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    cipher = bytes.fromhex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    stream = filled(key, kernel_path, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF, 64)
    assert bytes(a ^ b for a, b in zip(stream, plain, strict=True)) == cipher
    assert stream == aes_ctr.stream(key, 0xF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF, 64)


@given(
    key=st.binary(min_size=32, max_size=32),
    counter=st.sampled_from(COUNTERS) | st.integers(0, LAST - 4),
    size=st.integers(0, 64),
)
def test_every_path_equals_the_readable_twin(kernel_path: str, key: bytes, counter: int, size: int) -> None:
    assert filled(key, kernel_path, counter, size) == aes_ctr.stream(key, counter, size)


@given(
    key=st.binary(min_size=32, max_size=32),
    counter=st.sampled_from(COUNTERS) | st.integers(0, LAST - 2**20),
    size=st.sampled_from(SIZES) | st.integers(0, 5000),
)
def test_every_path_equals_pycryptodome(kernel_path: str, key: bytes, counter: int, size: int) -> None:
    assert filled(key, kernel_path, counter, size) == by_pycryptodome(key, counter, size)


@pytest.mark.parametrize("size", SIZES)
def test_the_counter_carries_in_the_middle_and_reaches_its_last_value(kernel_path: str, size: int) -> None:
    blocks = -(-size // 16)
    for counter in {2**64 - blocks // 2, 2**64 - blocks, 2**128 - blocks - 1, min(2**128 - blocks, LAST)}:
        assert filled(KEY, kernel_path, counter, size) == by_pycryptodome(KEY, counter, size)


@given(counter=st.integers(0, 2**100), cuts=st.lists(st.integers(0, 40), min_size=1, max_size=6))
def test_a_stream_may_be_made_in_pieces(kernel_path: str, counter: int, cuts: list[int]) -> None:
    stream, pieces, at = aes.AesCtr(KEY, kernel_path), [], counter
    for blocks in cuts:
        out = bytearray(16 * blocks)
        stream.fill(at, out)
        pieces.append(bytes(out))
        at += blocks
    assert b"".join(pieces) == filled(KEY, kernel_path, counter, 16 * sum(cuts))


@given(offset=st.integers(0, 70), size=st.sampled_from(SIZES[:18]) | st.integers(0, 1100))
def test_bytes_around_the_buffer_stay_as_they_were(kernel_path: str, offset: int, size: int) -> None:
    room = bytearray(b"\xa5" * (offset + size + 80))
    aes.AesCtr(KEY, kernel_path).fill(7, memoryview(room)[offset : offset + size])
    assert room[:offset] == b"\xa5" * offset
    assert room[offset : offset + size] == by_pycryptodome(KEY, 7, size)
    assert room[offset + size :] == b"\xa5" * 80


@given(
    word=st.sampled_from([4, 8]),
    counter=st.sampled_from(COUNTERS) | st.integers(0, LAST - 2**20),
    count=st.integers(0, 300) | st.sampled_from([16383, 16384, 16385, 32769]),
    first=st.integers(0, 2**64 - 1),
    subtract=st.booleans(),
)
def test_accumulated_words_equal_the_key_stream_added_by_numpy(
    kernel_path: str, word: int, counter: int, count: int, first: int, subtract: bool
) -> None:
    before = np.arange(count, dtype=f"<u{word}") * np.array(first | 1).astype(f"<u{word}")
    stream = np.frombuffer(by_pycryptodome(KEY, counter, count * word), f"<u{word}")
    words = before.copy()
    used = aes.AesCtr(KEY, kernel_path).accumulate(counter, words, subtract=subtract)
    assert used == words.nbytes
    assert np.array_equal(words, before - stream if subtract else before + stream)


@given(offset=st.integers(0, 20), count=st.integers(0, 150), word=st.sampled_from([4, 8]))
def test_words_around_the_accumulated_ones_stay_as_they_were(
    kernel_path: str, offset: int, count: int, word: int
) -> None:
    room = np.full(offset + count + 24, 77, f"<u{word}")
    aes.AesCtr(KEY, kernel_path).accumulate(3, room[offset : offset + count])
    assert (room[:offset] == 77).all()
    assert (room[offset + count :] == 77).all()


@pytest.mark.parametrize("dtype", ["<f4", "<f8", ">u4", ">i8", "<u2", "u1", "?", "<c8", "<M8[s]"])
def test_only_little_endian_words_are_accumulated(kernel_path: str, dtype: str) -> None:
    words = np.zeros(8, dtype)
    with pytest.raises((TypeError, ValueError)):
        aes.AesCtr(KEY, kernel_path).accumulate(0, words)
    assert not words.tobytes().strip(b"\0")


def test_buffers_that_cannot_be_accumulated_are_refused(kernel_path: str) -> None:
    stream = aes.AesCtr(KEY, kernel_path)
    frozen = np.zeros(16, np.uint32)
    frozen.flags.writeable = False
    for out in (frozen, np.zeros((4, 8), np.uint32)[:, ::2], bytes(16), bytearray(16)):
        with pytest.raises((BufferError, ValueError, TypeError)):
            stream.accumulate(0, out)
    with pytest.raises(ValueError, match="does not wrap"):
        stream.accumulate(LAST, np.zeros(5, np.uint32))


@pytest.mark.parametrize(
    ("counter", "size"),
    [(-1, 16), (-(2**130), 0), (2**128, 0), (2**128, 16), (LAST, 17), (2**128 - 3, 49), (2**200, 1)],
)
def test_a_counter_that_does_not_fit_or_would_wrap_is_refused(
    kernel_path: str, counter: int, size: int
) -> None:
    out = bytearray(b"\xa5" * size)
    with pytest.raises(ValueError, match="does not wrap"):
        aes.AesCtr(KEY, kernel_path).fill(counter, out)
    assert out == b"\xa5" * size


@pytest.mark.parametrize("counter", [1.0, "1", None, b"1"])
def test_a_counter_that_is_no_integer_is_a_type_error(kernel_path: str, counter: object) -> None:
    with pytest.raises(TypeError):
        aes.AesCtr(KEY, kernel_path).fill(counter, bytearray(16))  # type: ignore[arg-type]


def test_arrays_of_any_dtype_are_filled_as_bytes(kernel_path: str) -> None:
    for out in (
        np.empty((3, 5), ">u2"),
        np.empty((), np.float64),
        np.empty((4, 0)),
        np.empty((7, 9), np.int8),
    ):
        assert aes.AesCtr(KEY, kernel_path).fill(np.int64(5), out) == out.nbytes  # type: ignore[arg-type]
        assert out.tobytes() == by_pycryptodome(KEY, 5, out.nbytes)


def test_buffers_that_cannot_be_filled_are_refused(kernel_path: str) -> None:
    stream = aes.AesCtr(KEY, kernel_path)
    frozen = np.zeros(16, np.uint8)
    frozen.flags.writeable = False
    for out in (bytes(16), memoryview(bytes(16)), frozen, np.zeros((4, 8), np.uint8)[:, ::2]):
        with pytest.raises((BufferError, ValueError)):
            stream.fill(0, out)
    with pytest.raises(TypeError):
        stream.fill(0, [0] * 16)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33])
def test_keys_of_other_sizes_are_refused(kernel_path: str, size: int) -> None:
    with pytest.raises(ValueError, match="a key has 32 bytes"):
        aes.AesCtr(bytes(size), kernel_path)


def test_unknown_paths_are_refused() -> None:
    with pytest.raises(ValueError, match="this processor can run"):
        aes.AesCtr(KEY, "avx1024")
    assert aes.AesCtr(KEY).path == cpu.path()


def test_the_key_is_copied(kernel_path: str) -> None:
    key = bytearray(KEY)
    stream, out = aes.AesCtr(key, kernel_path), bytearray(16)
    key[:] = bytes(32)
    stream.fill(0, out)
    assert out == by_pycryptodome(KEY, 0, 16)


def test_neither_pickles_nor_copies_nor_shows_its_key(kernel_path: str) -> None:
    stream = aes.AesCtr(KEY, kernel_path)
    assert repr(stream) == f"AesCtr(path='{kernel_path}')"
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            attempt(stream)


def test_threads_share_a_key(kernel_path: str) -> None:
    stream = aes.AesCtr(KEY, kernel_path)

    def piece(number: int) -> bytes:
        out = bytearray(16 * 1000)
        stream.fill(1000 * number, out)
        return bytes(out)

    with ThreadPoolExecutor(4) as pool:
        assert b"".join(pool.map(piece, range(8))) == filled(KEY, kernel_path, 0, 16 * 8000)


def test_keys_come_and_go(kernel_path: str) -> None:
    for _ in range(300):
        aes.AesCtr(KEY, kernel_path)
    gc.collect()
