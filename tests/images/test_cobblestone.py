"""Cobblestone-256 against its reference; ranges; buffers; every kind of damage."""

import hashlib
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import AuthenticationError, FormatError, MedcryptError
from medcrypt.images import cobblestone
from reference import cobblestone as reference

KEY, SALT = bytes(range(32)), bytes(range(24))
CHUNK = 16384
EDGES = [0, 1, 15, 16, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 2 * CHUNK + 1, 5 * CHUNK + 7]
SIZES = st.sampled_from(EDGES) | st.integers(0, 5 * CHUNK)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors/images/cobblestone.json").read_text())


def some(size: int) -> bytes:
    return hashlib.shake_256(b"%d" % size).digest(size)


# ---- the format ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "vector", VECTORS, ids=lambda vector: f"{vector['size']}-{vector['context'] or 'none'}"
)
def test_the_vectors_are_what_both_implementations_write(vector):
    key, salt, context = (bytes.fromhex(vector[name]) for name in ("key", "salt", "context"))
    data = some(vector["size"])
    ours = cobblestone.encrypt(key, data, context, salt)
    assert hashlib.sha256(ours).hexdigest() == vector["blob_sha256"]
    assert ours[:56] == salt + bytes.fromhex(vector["commitment"])
    assert reference.encrypt(key, data, context, salt) == ours
    assert cobblestone.decrypt(key, ours, context) == reference.decrypt(key, ours, context) == data


@pytest.mark.parametrize("size", [0, 1, 17, 100])
def test_the_aes_gcm_written_from_the_standards_agrees(size):
    blob = cobblestone.encrypt(KEY, some(size), b"x", SALT)
    assert blob == reference.encrypt(KEY, some(size), b"x", SALT, slow=True)


@given(SIZES, st.binary(max_size=40), st.binary(min_size=24, max_size=24), st.sampled_from([None, 1, 2, 5]))
def test_it_writes_what_the_reference_writes(size, context, salt, threads):
    data = some(size)
    blob = cobblestone.encrypt(KEY, data, context, salt, threads)
    assert blob == reference.encrypt(KEY, data, context, salt)
    assert cobblestone.decrypt(KEY, blob, context, threads) == data


@given(SIZES)
def test_the_sizes_are_those_of_the_format(size):
    sealed = cobblestone.sealed_size(size)
    assert sealed == 56 + size + 16 * (size // CHUNK + 1)
    assert cobblestone.plain_size(sealed) == size


def test_no_two_sizes_are_sealed_to_the_same_size_and_all_others_are_refused():
    possible = {cobblestone.sealed_size(size): size for size in range(CHUNK + 100)}
    for size in range(max(possible)):
        if size in possible:
            assert cobblestone.plain_size(size) == possible[size]
        else:
            with pytest.raises(FormatError):
                cobblestone.plain_size(size)


def test_there_are_at_most_2_to_the_38_chunks():
    most = (1 << 52) - 1
    assert cobblestone.plain_size(cobblestone.sealed_size(most)) == most
    with pytest.raises(ValueError, match="2\\*\\*52"):
        cobblestone.sealed_size(most + 1)
    with pytest.raises(FormatError):
        cobblestone.plain_size(cobblestone.sealed_size(most) + 32)


def test_encrypting_twice_gives_different_bytes():
    assert cobblestone.encrypt(KEY, b"data") != cobblestone.encrypt(KEY, b"data")


def test_every_kernel_path_gives_the_same_bytes(kernel_path, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    data = some(3 * CHUNK + 5)
    blob = cobblestone.encrypt(KEY, data, b"", SALT)
    assert blob == reference.encrypt(KEY, data, b"", SALT)
    assert cobblestone.decrypt(KEY, blob) == data
    broken = bytearray(blob)
    broken[-1] ^= 1
    with pytest.raises(AuthenticationError):
        cobblestone.decrypt(KEY, broken)


# ---- ranges ------------------------------------------------------------------------------------------------


@given(st.data())
def test_a_range_is_a_slice(data):
    size = data.draw(SIZES)
    bound = (
        st.none() | st.integers(-size - 3, size + 3) | st.sampled_from([*EDGES, *(-edge for edge in EDGES)])
    )
    start, stop = data.draw(bound), data.draw(bound)
    plain = some(size)
    blob = cobblestone.encrypt(KEY, plain, b"c")
    assert cobblestone.decrypt_range(KEY, blob, start, stop, b"c") == plain[start:stop]


@given(st.data())
def test_a_range_decrypts_the_chunks_it_needs_and_no_others(data):
    size = data.draw(SIZES)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    blob = np.frombuffer(cobblestone.encrypt(KEY, some(size)), np.uint8)
    reader = cobblestone.Reader(KEY, size, lambda offset, length: blob[offset : offset + length])
    assert reader.read(start, stop).tobytes() == some(size)[start:stop]
    needed = {position // CHUNK for position in range(start, stop)}
    needed |= {size // CHUNK} if stop == size else set()
    assert reader.chunks_read == len(needed)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (None, None), (-5, -2), (0, 10**9), (CHUNK, 2 * CHUNK)]
)
def test_a_range_to_the_end_proves_the_end(start, stop):
    blob = bytearray(cobblestone.encrypt(KEY, some(2 * CHUNK)))
    blob[-1] ^= 1  # the tag of the last chunk, which is empty
    with pytest.raises(AuthenticationError):
        cobblestone.decrypt_range(KEY, blob, start, stop)
    assert cobblestone.decrypt_range(KEY, blob, 0, 2 * CHUNK - 1) == some(2 * CHUNK)[:-1]


def test_a_source_that_ends_too_early_is_refused():
    blob = np.frombuffer(cobblestone.encrypt(KEY, some(100)), np.uint8)[:-1]
    reader = cobblestone.Reader(KEY, 100, lambda offset, length: blob[offset : offset + length])
    with pytest.raises(AuthenticationError):
        reader.read(0, 10)


# ---- damage --------------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_small_blob_is_refused():
    blob = cobblestone.encrypt(KEY, b"pixels")
    for bit in range(8 * len(blob)):
        changed = bytearray(blob)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationError):
            cobblestone.decrypt(KEY, changed)


@given(st.data())
def test_any_flipped_bit_of_a_large_blob_is_refused_and_the_buffer_wiped(data):
    size = data.draw(st.sampled_from([CHUNK, 3 * CHUNK + 5]))
    threads = data.draw(st.sampled_from([1, 3]))
    blob = bytearray(cobblestone.encrypt(KEY, some(size)))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    out = bytearray(b"\xaa" * size)
    with pytest.raises(AuthenticationError):
        cobblestone.decrypt_into(KEY, blob, out, threads=threads)
    assert out in (b"\xaa" * size, bytes(size))


@pytest.mark.parametrize("size", [0, 5, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_every_cut_is_refused(size):
    blob = cobblestone.encrypt(KEY, some(size))
    cuts = {*range(80), *range(len(blob) - 40, len(blob)), 56 + CHUNK + 16, 56 + 2 * CHUNK + 32}
    for cut in sorted(cut for cut in cuts if 0 <= cut < len(blob)):
        with pytest.raises(MedcryptError):
            cobblestone.decrypt(KEY, blob[:cut])


@pytest.mark.parametrize("size", [0, 5, CHUNK - 1, CHUNK, CHUNK + 1])
@pytest.mark.parametrize("more", [1, 15, 16, 17, CHUNK, CHUNK + 16])
def test_every_extension_is_refused(size, more):
    with pytest.raises(MedcryptError):
        cobblestone.decrypt(KEY, cobblestone.encrypt(KEY, some(size)) + bytes(more))


def chunks_of(blob: bytes) -> tuple[bytes, list[bytes]]:
    return blob[:56], [blob[at : at + CHUNK + 16] for at in range(56, len(blob), CHUNK + 16)]


@pytest.mark.parametrize(
    "order", [(1, 0, 2, 3), (0, 0, 2, 3), (0, 2, 1, 3), (0, 2, 3), (1, 2, 3), (0, 1, 2, 2, 3)]
)
def test_chunks_out_of_order_are_refused(order):
    head, chunks = chunks_of(cobblestone.encrypt(KEY, some(3 * CHUNK + 9)))
    with pytest.raises(AuthenticationError):
        cobblestone.decrypt(KEY, head + b"".join(chunks[number] for number in order))


@pytest.mark.parametrize("number", range(3))
def test_chunks_of_another_blob_under_the_same_key_are_refused(number):
    head, chunks = chunks_of(cobblestone.encrypt(KEY, some(2 * CHUNK + 9)))
    chunks[number] = chunks_of(cobblestone.encrypt(KEY, some(2 * CHUNK + 9)))[1][number]
    with pytest.raises(AuthenticationError):
        cobblestone.decrypt(KEY, head + b"".join(chunks))


def test_wrong_key_and_wrong_context_are_refused():
    blob = cobblestone.encrypt(KEY, b"pixels", b"study 7")
    for key, context in ((bytes(32), b"study 7"), (KEY, b"study 8"), (KEY, b""), (KEY, b"study 7\0")):
        with pytest.raises(AuthenticationError):
            cobblestone.decrypt(key, blob, context)
        with pytest.raises(AuthenticationError):
            cobblestone.decrypt_range(key, blob, 0, 1, context)


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data):
    with pytest.raises(MedcryptError):
        cobblestone.decrypt(KEY, data)


# ---- arguments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        bytes,
        bytearray,
        memoryview,
        lambda data: np.frombuffer(data, np.uint8),
        lambda data: memoryview(data).cast("H"),
    ],
)
def test_every_buffer_of_bytes_is_taken(form):
    data = some(1000)
    blob = cobblestone.encrypt(KEY, form(data), salt=SALT)
    assert blob == cobblestone.encrypt(KEY, data, salt=SALT)
    assert cobblestone.decrypt(KEY, form(cobblestone.encrypt(KEY, some(1000)))) == data


@pytest.mark.parametrize("dtype", ["<u2", ">f8", "S5", "M8[s]", [("a", "u1"), ("b", "f4")]])
def test_arrays_give_their_bytes(dtype):
    array = np.zeros((3, 4), dtype)
    assert cobblestone.decrypt(KEY, cobblestone.encrypt(KEY, array)) == array.tobytes()


@pytest.mark.parametrize("data", [None, 5, "text", [1, 2], np.array([None]), memoryview(np.array([None]))])
def test_what_has_no_bytes_is_a_type_error(data):
    with pytest.raises(TypeError):
        cobblestone.encrypt(KEY, data)


@pytest.mark.parametrize(
    "data", [np.zeros((4, 4))[:, :2], np.zeros((4, 4), order="F"), memoryview(b"abcd")[::2]]
)
def test_what_is_not_contiguous_is_a_value_error(data):
    with pytest.raises(ValueError, match="C-contiguous"):
        cobblestone.encrypt(KEY, data)


@pytest.mark.parametrize("key", [b"", bytes(16), bytes(31), bytes(33)])
def test_a_key_of_another_length_is_a_value_error(key):
    with pytest.raises(ValueError, match="32 bytes"):
        cobblestone.encrypt(key, b"")
    with pytest.raises(ValueError, match="32 bytes"):
        cobblestone.decrypt(key, bytes(72))


@pytest.mark.parametrize("key", [None, "x" * 32, 32])
def test_a_key_is_bytes(key):
    with pytest.raises(TypeError):
        cobblestone.encrypt(key, b"")


def test_other_wrong_arguments():
    with pytest.raises(ValueError, match="salt"):
        cobblestone.encrypt(KEY, b"", salt=bytes(23))
    with pytest.raises(TypeError):
        cobblestone.encrypt(KEY, b"", context="text")
    with pytest.raises(ValueError, match="threads"):
        cobblestone.encrypt(KEY, b"", threads=0)
    with pytest.raises(TypeError):
        cobblestone.encrypt(KEY, b"", threads=1.5)


def test_into_needs_room_and_a_buffer_of_its_own():
    data = bytearray(100)
    with pytest.raises(ValueError, match="needs 172 bytes"):
        cobblestone.encrypt_into(KEY, data, bytearray(171))
    with pytest.raises(ValueError, match="read-only"):
        cobblestone.encrypt_into(KEY, data, bytes(172))
    both = bytearray(500)
    with pytest.raises(ValueError, match="overlap"):
        cobblestone.encrypt_into(KEY, memoryview(both)[:100], both)
    blob = cobblestone.encrypt(KEY, data)
    with pytest.raises(ValueError, match="needs 100 bytes"):
        cobblestone.decrypt_into(KEY, blob, bytearray(99))
    with pytest.raises(ValueError, match="read-only"):
        cobblestone.decrypt_into(KEY, blob, bytes(100))
    both[:172] = blob
    with pytest.raises(ValueError, match="overlap"):
        cobblestone.decrypt_into(KEY, memoryview(both)[:172], memoryview(both)[100:300])


def test_into_writes_as_much_as_it_says_and_nothing_behind():
    out = bytearray(b"\xaa" * 200)
    assert cobblestone.encrypt_into(KEY, bytes(100), out, salt=SALT) == 172
    assert out[172:] == b"\xaa" * 28
    plain = bytearray(b"\xaa" * 110)
    assert cobblestone.decrypt_into(KEY, memoryview(out)[:172], plain) == 100
    assert plain == bytes(100) + b"\xaa" * 10


@pytest.mark.parametrize("threads", [1, 2])
def test_into_allocates_next_to_nothing(threads):
    data = np.zeros(64 << 20, np.uint8)
    blob = np.empty(cobblestone.sealed_size(data.size), np.uint8)
    tracemalloc.start()
    try:
        cobblestone.encrypt_into(KEY, data, blob, threads=threads)
        cobblestone.decrypt_into(KEY, blob, data, threads=threads)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20
