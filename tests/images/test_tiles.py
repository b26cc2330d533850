"""Tiled images: the same array in every way in and out, and no more of it read than a region needs."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_strategies import DTYPES, filled, large_shapes, same, small_shapes, stored, tiled, tiles_for

from medcrypt import FormatError, Identity, MedcryptError, SecretKey, images
from medcrypt.images.header import parse
from reference import sealed_image as reference

KEY = SecretKey(bytes(range(32)))
ALICE = Identity(bytes(range(64)))
CHUNK, SEALED = 16384, 16400
SLIDE = filled((300, 500, 3), "|u1")


# ---- in and out --------------------------------------------------------------------------------------------------


@given(tiled(), st.sampled_from([1, 3]), st.booleans())
def test_a_tiled_array_comes_back_and_the_second_reader_agrees(case, threads, signed):
    array, tiles = case
    options = {"tiles": tiles, "signer": ALICE if signed else None}
    sealed = images.encrypt(array, KEY, threads=threads, **options)
    assert len(sealed) == images.sealed_size(array.shape, array.dtype, KEY, **options)
    opened = images.decrypt(sealed, KEY, threads=threads)
    assert same(opened, array)
    assert opened.flags.c_contiguous
    assert same(reference.read(sealed, "secret-key", KEY.to_bytes()).array, array)
    with images.open(sealed, KEY) as image:
        assert same(image[...], np.asarray(array))
        assert image.tiles == images.inspect(sealed).tiles
        image.verify()


@given(tiled())
def test_the_body_holds_the_tiles_one_after_another(case):
    array, tiles = case
    sealed = images.encrypt(array, KEY, tiles=tiles)
    apart = reference.take_apart(sealed)
    digest = reference.hashlib.sha512(apart.header).digest()
    file_key = reference.find_file_key(apart, digest, "secret-key", KEY.to_bytes())
    plain = reference.cobblestone.decrypt(file_key, apart.body, b"medcrypt/v1/image" + digest)
    assert plain == stored(array, tiles).tobytes()


def test_tiles_into_a_buffer_and_out_of_it():
    out = bytearray(images.sealed_size(SLIDE.shape, SLIDE.dtype, KEY, tiles=(64, 64)))
    assert images.encrypt_into(SLIDE[::-1], KEY, out, tiles=(64, 64)) == len(out)
    opened = np.empty_like(SLIDE)
    assert images.decrypt_into(out, KEY, opened) == SLIDE.nbytes
    assert same(opened, np.ascontiguousarray(SLIDE[::-1]))


def test_tiles_larger_than_the_image_are_as_large_as_it():
    sealed = images.encrypt(SLIDE, KEY, tiles=(4096, 256))
    assert images.inspect(sealed).tiles == (300, 256, 3)
    assert images.inspect(images.encrypt(SLIDE, KEY)).tiles is None


@pytest.mark.parametrize("tiles", [(0,), (-1, 5), (), (1, 2, 3, 4)])
def test_impossible_tiles_are_a_value_error(tiles, tmp_path):
    for way_in in (
        lambda: images.encrypt(SLIDE, KEY, tiles=tiles),
        lambda: images.sealed_size(SLIDE.shape, SLIDE.dtype, KEY, tiles=tiles),
        lambda: images.save(tmp_path / "slide", SLIDE, KEY, tiles=tiles),
        lambda: images.create(tmp_path / "slide", SLIDE.shape, SLIDE.dtype, KEY, tiles=tiles),
    ):
        with pytest.raises(ValueError, match="tile"):
            way_in()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("tiles", [5, "55", (2.5,), (256.0, 256.0), [None], {5, 6}])
def test_tiles_that_are_no_integers_are_a_type_error(tiles):
    images.encrypt(SLIDE, KEY, tiles=(256, 256))  # equal numbers of another type are refused all the same
    with pytest.raises(TypeError):
        images.encrypt(SLIDE, KEY, tiles=tiles)


def test_an_image_without_axes_has_no_tiles():
    with pytest.raises(ValueError, match="tile"):
        images.encrypt(np.float64(1), KEY, tiles=(1,))


# ---- memory ------------------------------------------------------------------------------------------------------


def test_tiles_take_a_scratch_buffer_and_no_second_copy():
    array = filled((2048, 4096, 3), "|u1")
    out = np.empty(images.sealed_size(array.shape, array.dtype, KEY, tiles=(256, 256)), np.uint8)
    opened = np.empty_like(array)
    tracemalloc.start()
    try:
        images.encrypt_into(array, KEY, out, tiles=(256, 256), threads=2)
        images.decrypt_into(out, KEY, opened, threads=2)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 2 * 256 * 1024  # a buffer of 256 KiB a thread, and small change
    assert np.array_equal(opened, array)


# ---- reading a part ------------------------------------------------------------------------------------------------


def needed_chunks(array: np.ndarray, tiles: tuple[int, ...], index: object) -> int:
    """Count the chunks that hold a byte of the selection, and the last one where it reaches the end."""
    if array.nbytes == 0:
        return 1
    order = np.empty(array.size, np.int64)
    order[stored(np.arange(array.size).reshape(array.shape), tiles)] = np.arange(array.size)
    positions = order.reshape(array.shape)[index].ravel() * array.itemsize
    chunks = set((positions // CHUNK).tolist()) | set(((positions + array.itemsize - 1) // CHUNK).tolist())
    if positions.size and positions.max() + array.itemsize == array.nbytes:
        chunks.add(array.nbytes // CHUNK)
    return len(chunks)


@given(st.data())
def test_any_basic_index_of_a_tiled_image_gives_what_numpy_gives_and_reads_each_chunk_once(data):
    shape = data.draw((large_shapes() | small_shapes()).filter(len))
    array = filled(shape, data.draw(st.sampled_from(DTYPES)))
    tiles = data.draw(tiles_for(shape))
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    sealed = images.encrypt(array, KEY, tiles=tiles, signer=data.draw(st.sampled_from([None, ALICE])))
    with images.open(sealed, KEY) as image:
        found, expected = image[index], array[index]
        assert type(found) is type(expected)
        assert same(np.asarray(found), np.asarray(expected))
        assert image.chunks_read == needed_chunks(array, tiles, index)
        if isinstance(found, np.ndarray):
            assert found.flags.c_contiguous
            assert found.flags.writeable


@given(st.integers(0, 276), st.integers(0, 476), st.integers(1, 24), st.integers(1, 24))
def test_a_patch_touches_no_more_than_the_rows_of_its_tiles(y, x, height, width):
    array = np.zeros((300, 500, 3), np.uint8)
    with images.open(images.encrypt(array, KEY, tiles=(128, 128)), KEY) as image:
        image[y : y + height, x : x + width]
        across = (y + height - 1) // 128 - y // 128 + 1
        along = (x + width - 1) // 128 - x // 128 + 1
        tile = 128 * 128 * 3
        assert image.chunks_read <= across * along * (math.ceil(tile / CHUNK) + 2)


def test_a_patch_of_a_slide_reads_four_tiles_at_most(tmp_path):
    # A strip of the slide of docs/how-to/slide.md: 512 of its 20 000 rows, the patch across four tiles.
    shape, path = (512, 20_000, 3), tmp_path / "slide"
    with images.create(path, shape, np.uint8, KEY, tiles=(256, 256)) as writer:
        for row in range(2):
            writer.write(np.full((256, 20_000, 3), row, np.uint8))
    with images.open(path, KEY) as image:
        patch = image[144:368, 10_130:10_354]
        assert patch.shape == (224, 224, 3)
        assert np.array_equal(patch[:, 0, 0], np.repeat([0, 1], [112, 112]))
        assert image.chunks_read <= 26  # of 1876; in C order each of 224 rows lies in chunks of its own: 230
    images.save(tmp_path / "plain", np.zeros(shape, np.uint8), KEY)
    with images.open(tmp_path / "plain", KEY) as image:
        image[144:368, 10_130:10_354]
        assert image.chunks_read > 200


# ---- damage ------------------------------------------------------------------------------------------------------


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def read_whole(data: bytes) -> None:
    with images.open(data, KEY) as image:
        image[...]


def test_every_flipped_bit_of_a_tiled_image_is_refused():
    sealed = images.encrypt(filled((3, 5), "<u2"), KEY, tiles=(2, 2), spare_recipients=0)
    for bit in range(8 * len(sealed)):
        changed = flipped(sealed, bit)
        with pytest.raises(MedcryptError):
            images.decrypt(changed, KEY)
        with pytest.raises(MedcryptError):
            read_whole(changed)


@given(st.data())
def test_any_flipped_bit_of_a_large_tiled_image_is_refused_and_the_array_wiped(data):
    signer = data.draw(st.sampled_from([None, ALICE]))
    sealed = images.encrypt(SLIDE, KEY, tiles=(64, 64), signer=signer)
    changed = flipped(sealed, data.draw(st.integers(0, 8 * len(sealed) - 1)))
    out = np.full_like(SLIDE, 0xAA)
    with pytest.raises(MedcryptError):
        images.decrypt_into(changed, KEY, out, threads=data.draw(st.sampled_from([1, 3])))
    assert set(out.ravel().tolist()) in ({0}, {0xAA})
    with pytest.raises(reference.RefusedError):
        reference.read(changed, "secret-key", KEY.to_bytes())


def test_every_cut_and_exchanged_chunk_of_a_tiled_image_is_refused():
    one, two = (images.encrypt(SLIDE, KEY, tiles=(64, 64)) for _ in range(2))
    start = parse(np.frombuffer(one, np.uint8)).form.body_start + 56
    for size in (0, 64, 100, start, start + SEALED, len(one) - 1):
        with pytest.raises(MedcryptError):
            images.decrypt(one[:size], KEY)
    first, second = one[start : start + SEALED], one[start + SEALED : start + 2 * SEALED]
    swapped = one[:start] + second + first + one[start + 2 * SEALED :]
    foreign = one[:start] + two[start : start + SEALED] + one[start + SEALED :]
    spliced = two[: start - 56] + one[start - 56 :]
    for changed in (swapped, foreign, spliced):
        with pytest.raises(MedcryptError):
            images.decrypt(changed, KEY)
        with pytest.raises(MedcryptError):
            read_whole(changed)


def patched(data: bytes, offset: int, new: bytes) -> bytes:
    return data[:offset] + new + data[offset + len(new) :]


@pytest.mark.parametrize("tile", [(0, 2), (4, 2), (2, 0), (2, 6), (1 << 63, 2), (2, (1 << 64) - 1)])
def test_tiles_that_lie_are_a_format_error(tile):
    data = images.encrypt(filled((3, 5), "<u2"), KEY, tiles=(2, 2))
    lie = np.array(tile, "<u8").tobytes()
    for way_in in (
        images.inspect,
        lambda data: images.decrypt(data, KEY),
        lambda data: images.open(data, KEY),
    ):
        with pytest.raises(FormatError):
            way_in(patched(data, 64 + 16, lie))


@pytest.mark.parametrize(("tiles", "order"), [((2, 2), 0), (None, 1), ((2, 2), 2)])
def test_an_order_that_lies_is_a_format_error(tiles, order):
    data = images.encrypt(filled((3, 5), "<u2"), KEY, tiles=tiles)
    with pytest.raises(FormatError):
        images.decrypt(patched(data, 21, bytes([order])), KEY)
    with pytest.raises(reference.RefusedError):
        reference.read(patched(data, 21, bytes([order])), "secret-key", KEY.to_bytes())


def test_an_image_without_axes_that_claims_tiles_is_a_format_error():
    data = images.encrypt(np.float64(1), KEY)
    with pytest.raises(FormatError):
        images.inspect(patched(data, 21, b"\1"))


def test_other_tiles_of_the_same_size_are_refused():
    data = images.encrypt(filled((4, 4), "<u2"), KEY, tiles=(2, 1))
    changed = patched(data, 64 + 16, np.array([1, 2], "<u8").tobytes())
    assert images.inspect(changed).tiles == (1, 2)  # well-formed, and not what was sealed
    with pytest.raises(MedcryptError):
        images.decrypt(changed, KEY)
