"""Runs of chunks: equal to chunks sealed one by one, nothing unverified left, no byte out of bounds."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from Crypto.Cipher import AES
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import aes
from medcrypt.errors import AuthenticationError
from reference import aes_gcm

KEY, NONCE, TAG, CHUNK = bytes(range(32)), bytes(range(100, 112)), 16, 16384

# Numbers around which a carry moves through the bytes of the counter.
FIRSTS = [0, 1, 254, 2**16 - 2, 2**32 - 2, 2**32, 2**63 - 2, 2**64 - 2, 2**64, 2**72 - 1, 2**95, 2**96 - 8]

nonces = st.binary(min_size=12, max_size=12)
firsts = st.sampled_from(FIRSTS[:-1]) | st.integers(0, 2**96 - 300)  # the last one leaves room for 8 only


def pattern(size: int) -> bytes:
    """Bytes that repeat at no power of two."""
    return (np.arange(size, dtype=np.uint64) * 2654435761 % 251).astype(np.uint8).tobytes()


def sealed_size(size: int, chunk: int = CHUNK, final: bool = True) -> int:
    """Return the bytes that a run takes."""
    return size + TAG * (size // chunk + final)


def seal(cipher: aes.AesGcm, data: bytes, nonce: bytes = NONCE, **how: int) -> bytes:
    """Seal a run into new memory."""
    out = bytearray(sealed_size(len(data), how.get("chunk", CHUNK), bool(how.get("final", True))))
    assert cipher.seal_chunks(nonce, data, out, **how) == len(out)  # type: ignore[arg-type]
    return bytes(out)


def one_by_one(data: bytes, first: int = 0, chunk: int = CHUNK) -> bytes:
    """Seal each chunk with pycryptodome."""
    return b"".join(
        b"".join(AES.new(KEY, AES.MODE_GCM, nonce=nonce).encrypt_and_digest(plain))
        for nonce, plain in aes_gcm.chunks_of(NONCE, data, first, True, chunk)
    )


def assert_refused_and_wiped(cipher: aes.AesGcm, sealed: bytes, size: int, **how: int) -> None:
    """Opening fails without a word, and every byte of the destination is zero."""
    out = bytearray(b"\xa5" * size)
    with pytest.raises(AuthenticationError) as caught:
        cipher.open_chunks(NONCE, sealed, out, **how)  # type: ignore[arg-type]
    assert caught.value.args == ()
    assert out == bytes(size)


@given(
    nonce=nonces,
    data=st.binary(max_size=150),
    first=firsts,
    final=st.booleans(),
    chunk=st.integers(1, 80),
)
def test_a_run_equals_the_readable_twin(
    kernel_path: str, nonce: bytes, data: bytes, first: int, final: bool, chunk: int
) -> None:
    if not final:
        data = data[: len(data) // chunk * chunk]
    if kernel_path == "portable":  # a cipher for each chunk is slow there
        data = data[: 8 * chunk]
    cipher = aes.AesGcm(KEY, kernel_path)
    sealed = seal(cipher, data, nonce, first=first, final=final, chunk=chunk)
    assert sealed == aes_gcm.seal_chunks(KEY, nonce, data, first, final, chunk)
    back = bytearray(len(data))
    assert cipher.open_chunks(nonce, sealed, back, first=first, final=final, chunk=chunk) == len(data)
    assert back == data


@pytest.mark.parametrize(
    "size", [0, 1, 15, 16, 17, 8192, 16383, 16384, 16385, 32768, 50_000, 3 * 16384 + 1024]
)
def test_a_run_equals_chunks_sealed_one_by_one(kernel_path: str, size: int) -> None:
    cipher, data = aes.AesGcm(KEY, kernel_path), pattern(size)
    sealed = seal(cipher, data)
    assert sealed == one_by_one(data)
    back = bytearray(size)
    assert cipher.open_chunks(NONCE, sealed, back) == size
    assert back == data


@pytest.mark.parametrize("first", FIRSTS)
@pytest.mark.parametrize("nonce", [bytes(12), b"\xff" * 12, NONCE], ids=["zeros", "ones", "mixed"])
def test_numbers_carry_through_every_byte_of_the_nonce(kernel_path: str, first: int, nonce: bytes) -> None:
    data = pattern(4 * 16 + 3)
    sealed = seal(aes.AesGcm(KEY, kernel_path), data, nonce, first=first, chunk=16)
    assert sealed == aes_gcm.seal_chunks(KEY, nonce, data, first, chunk=16)


@given(parts=st.lists(st.integers(0, 3), min_size=1, max_size=4), rest=st.integers(0, 99), first=firsts)
def test_a_run_may_be_sealed_and_opened_in_pieces(
    kernel_path: str, parts: list[int], rest: int, first: int
) -> None:
    cipher, chunk = aes.AesGcm(KEY, kernel_path), 100
    data = pattern(sum(parts) * chunk + rest)
    whole = seal(cipher, data, first=first, chunk=chunk)
    pieces, opened, at = [], [], 0
    for part in parts:
        plain, final = data[at * chunk : (at + part) * chunk], False
        pieces.append(seal(cipher, plain, first=first + at, final=final, chunk=chunk))
        out = bytearray(len(plain))
        cipher.open_chunks(NONCE, pieces[-1], out, first=first + at, final=final, chunk=chunk)
        opened.append(out)
        at += part
    pieces.append(seal(cipher, data[at * chunk :], first=first + at, chunk=chunk))
    out = bytearray(rest)
    cipher.open_chunks(NONCE, pieces[-1], out, first=first + at, chunk=chunk)
    assert b"".join(pieces) == whole
    assert b"".join([*opened, out]) == data


@pytest.mark.parametrize("size", [0, 5, 16, 35])
def test_every_flipped_bit_is_refused_and_everything_wiped(kernel_path: str, size: int) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    sealed = seal(cipher, pattern(size), chunk=16)
    for bit in range(8 * len(sealed)):
        bad = bytearray(sealed)
        bad[bit // 8] ^= 1 << bit % 8
        assert_refused_and_wiped(cipher, bytes(bad), size, chunk=16)


@pytest.mark.parametrize("broken", [0, 1, 2, 3])
def test_one_bad_chunk_of_full_size_wipes_all_the_others(kernel_path: str, broken: int) -> None:
    cipher, size = aes.AesGcm(KEY, kernel_path), 3 * CHUNK + 700
    bad = bytearray(seal(cipher, pattern(size)))
    bad[broken * (CHUNK + TAG) + 333] ^= 1
    assert_refused_and_wiped(cipher, bytes(bad), size)


def test_swapped_repeated_and_shifted_chunks_are_refused(kernel_path: str) -> None:
    cipher, size = aes.AesGcm(KEY, kernel_path), 3 * 64 + 10
    sealed = seal(cipher, pattern(size), chunk=64)
    a, b, c, last = sealed[:80], sealed[80:160], sealed[160:240], sealed[240:]
    for bad in (b + a + c + last, a + a + c + last, b + c + a + last):
        assert_refused_and_wiped(cipher, bad, size, chunk=64)
    assert_refused_and_wiped(cipher, a + b + last, 2 * 64 + 10, chunk=64)
    assert_refused_and_wiped(cipher, sealed, size, chunk=64, first=1)


@pytest.mark.parametrize("chunks", [0, 1, 3])
def test_a_run_that_lost_its_final_chunk_is_refused(kernel_path: str, chunks: int) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    whole = seal(cipher, pattern(chunks * CHUNK), final=False)
    assert_refused_and_wiped(cipher, whole, chunks * CHUNK)


@pytest.mark.parametrize("extra", [1, 15])
def test_a_final_chunk_shorter_than_its_tag_is_refused(kernel_path: str, extra: int) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    whole = seal(cipher, pattern(CHUNK), final=False)
    assert_refused_and_wiped(cipher, whole + bytes(extra), CHUNK)


def test_a_run_cut_at_any_byte_is_refused(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    sealed = seal(cipher, pattern(40), chunk=16)
    for size in range(len(sealed)):
        plain = max(0, size - TAG * (size // 32 + 1))
        assert_refused_and_wiped(cipher, sealed[:size], plain, chunk=16)


@given(
    offset=st.integers(0, 70),
    size=st.sampled_from([0, 1, 100, 1024, 8192, 16384, 20_000]),
    src=st.integers(0, 70),
)
def test_bytes_around_the_destination_stay_as_they_were(
    kernel_path: str, offset: int, size: int, src: int
) -> None:
    cipher, data = aes.AesGcm(KEY, kernel_path), pattern(size)
    shifted = memoryview(bytes(src) + data)[src:]
    room = bytearray(b"\xa5" * (offset + sealed_size(size) + 80))
    end = offset + sealed_size(size)
    cipher.seal_chunks(NONCE, shifted, memoryview(room)[offset:end])
    assert room[:offset] == b"\xa5" * offset
    assert room[end:] == b"\xa5" * 80
    back = bytearray(b"\xa5" * (offset + size + 80))
    cipher.open_chunks(NONCE, memoryview(room)[offset:end], memoryview(back)[offset : offset + size])
    assert back == b"\xa5" * offset + data + b"\xa5" * 80
    room[end - 1] ^= 1
    with pytest.raises(AuthenticationError):
        cipher.open_chunks(NONCE, memoryview(room)[offset:end], memoryview(back)[offset : offset + size])
    assert back == b"\xa5" * offset + bytes(size) + b"\xa5" * 80


def test_overlapping_buffers_are_refused_and_left_alone(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    room = bytearray(pattern(300))
    before = bytes(room)
    memory = memoryview(room)
    for start in (0, 1, 99, 115):
        with pytest.raises(ValueError, match="overlap"):
            cipher.seal_chunks(NONCE, memory[100:200], memory[start : start + 116])
        with pytest.raises(ValueError, match="overlap"):
            cipher.open_chunks(NONCE, memory[start : start + 116], memory[100:200])
    assert room == before


def test_neighbouring_buffers_do_not_overlap(kernel_path: str) -> None:
    cipher, data = aes.AesGcm(KEY, kernel_path), pattern(100)
    room = memoryview(bytearray(data + bytes(116)))
    assert cipher.seal_chunks(NONCE, room[:100], room[100:]) == 116
    assert bytes(room[100:]) == one_by_one(data)


def test_a_read_only_destination_is_refused(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    frozen = np.zeros(116, np.uint8)
    frozen.flags.writeable = False
    for dst in (bytes(116), frozen, memoryview(bytes(116))):
        with pytest.raises((BufferError, ValueError), match=r"read-only|writable"):
            cipher.seal_chunks(NONCE, bytes(100), dst)
        with pytest.raises((BufferError, ValueError), match=r"read-only|writable"):
            cipher.open_chunks(NONCE, bytes(132), dst)


def test_buffers_that_are_not_c_contiguous_are_refused(kernel_path: str) -> None:
    cipher, strided = aes.AesGcm(KEY, kernel_path), np.zeros((20, 20))[:, ::2]
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        cipher.seal_chunks(NONCE, strided, bytearray(strided.nbytes + TAG))
    with pytest.raises((BufferError, ValueError), match="contiguous"):
        cipher.seal_chunks(NONCE, bytes(strided.nbytes - TAG), strided)


@pytest.mark.parametrize("wrong", [-1, 1, 16])
def test_a_destination_of_another_size_is_a_value_error(kernel_path: str, wrong: int) -> None:
    cipher, size = aes.AesGcm(KEY, kernel_path), CHUNK + 100
    with pytest.raises(ValueError, match="dst must have 16516 bytes"):
        cipher.seal_chunks(NONCE, bytes(size), bytearray(sealed_size(size) + wrong))
    with pytest.raises(ValueError, match="dst must have 16484 bytes"):
        cipher.open_chunks(NONCE, seal(cipher, bytes(size)), bytearray(size + wrong))


def test_a_run_without_its_final_chunk_must_be_whole_chunks(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    with pytest.raises(ValueError, match="multiple of 16384"):
        cipher.seal_chunks(NONCE, bytes(100), bytearray(116), final=False)
    with pytest.raises(ValueError, match="multiple of 16400"):
        cipher.open_chunks(NONCE, bytes(116), bytearray(100), final=False)


def test_numbers_outside_the_nonce_are_value_errors(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    for first in (-1, -(2**70), 2**96, 2**96 - 3):
        with pytest.raises(ValueError, match=r"2\*\*96"):
            cipher.seal_chunks(NONCE, bytes(48), bytearray(112), first=first, chunk=16)
    assert cipher.seal_chunks(NONCE, bytes(48), bytearray(112), first=2**96 - 4, chunk=16) == 112


@pytest.mark.parametrize("chunk", [0, -1, -16384])
def test_a_chunk_without_bytes_is_a_value_error(kernel_path: str, chunk: int) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    with pytest.raises(ValueError, match="at least 1 byte"):
        cipher.seal_chunks(NONCE, b"", bytearray(16), chunk=chunk)
    with pytest.raises(ValueError, match="at least 1 byte"):
        cipher.open_chunks(NONCE, bytes(16), bytearray(), chunk=chunk)


def test_a_number_or_size_that_is_not_an_integer_is_a_type_error(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    with pytest.raises(TypeError):
        cipher.seal_chunks(NONCE, b"", bytearray(16), first=1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        cipher.seal_chunks(NONCE, b"", bytearray(16), chunk="16384")  # type: ignore[arg-type]


def test_arrays_are_sealed_and_opened_as_they_stand(kernel_path: str) -> None:
    cipher = aes.AesGcm(KEY, kernel_path)
    image = np.arange(64 * 300, dtype=">u2").reshape(64, 300)
    out = np.zeros(sealed_size(image.nbytes), np.uint8)
    cipher.seal_chunks(NONCE, image, out)
    assert out.tobytes() == one_by_one(image.tobytes())
    back = np.zeros_like(image)
    assert cipher.open_chunks(NONCE, out, back) == image.nbytes
    assert np.array_equal(back, image)


def test_one_object_seals_pieces_in_many_threads(kernel_path: str) -> None:
    cipher, data = aes.AesGcm(KEY, kernel_path), pattern(40 * CHUNK + 77)
    out = bytearray(sealed_size(len(data)))
    src, dst, step = memoryview(data), memoryview(out), 3

    def piece(k: int) -> int:
        end = min(k + step, 41)
        final = end == 41
        return cipher.seal_chunks(
            NONCE,
            src[k * CHUNK : None if final else end * CHUNK],
            dst[k * (CHUNK + TAG) : None if final else end * (CHUNK + TAG)],
            first=k,
            final=final,
        )

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(piece, range(0, 41, step))) == len(out)
    assert out == one_by_one(data)
