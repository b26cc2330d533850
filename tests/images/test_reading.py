"""Indexing a sealed image is indexing the array, and reads no more than it must."""

import io
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from image_strategies import DTYPES, filled, large_shapes, same, small_shapes

from medcrypt import AuthenticationError, FormatError, Identity, SecretKey, images

KEY = SecretKey(bytes(range(32)))
ALICE = Identity(bytes(range(64)))
CHUNK = 16384


def needed_chunks(array: np.ndarray, index: object) -> int:
    """Count the chunks that hold a byte of the selection, and the last one where it reaches the end."""
    if array.nbytes == 0:
        return 1
    positions = np.arange(array.size).reshape(array.shape)[index].ravel() * array.itemsize
    chunks = set((positions // CHUNK).tolist()) | set(((positions + array.itemsize - 1) // CHUNK).tolist())
    if positions.size and positions.max() + array.itemsize == array.nbytes:
        chunks.add(array.nbytes // CHUNK)
    return len(chunks)


def check(array: np.ndarray, index: object, **options: object) -> None:
    sealed = images.encrypt(array, KEY, **options)
    with images.open(sealed, KEY) as image:
        assert image.chunks_read == 0
        found, expected = image[index], array[index]
        assert type(found) is type(expected)
        assert same(np.asarray(found), np.asarray(expected))
        assert image.chunks_read == needed_chunks(array, index)
        if isinstance(found, np.ndarray):
            assert found.flags.c_contiguous
            assert found.flags.writeable


@given(st.data())
def test_any_basic_index_gives_what_numpy_gives(data):
    array = filled(data.draw(small_shapes()), data.draw(st.sampled_from(DTYPES)))
    index = hnp.basic_indices(array.shape, allow_newaxis=True, allow_ellipsis=True)
    check(array, data.draw(index))


@given(st.data())
def test_any_basic_index_of_an_array_of_several_chunks(data):
    shape = data.draw(large_shapes())
    array = filled(shape, data.draw(st.sampled_from(["|u1", "<u2", ">f4", "<c16"])))
    check(array, data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)))


@given(st.data())
def test_a_signed_image_reads_the_same(data):
    shape = data.draw(large_shapes())
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    check(filled(shape, "<u2"), index, signer=ALICE)


@pytest.mark.parametrize(
    ("shape", "index", "chunks"),
    [
        ((120, 64, 128), 7, 1),  # one frame of 16 KiB
        ((120, 64, 128), np.s_[-1], 2),  # the last one, and the empty chunk behind it
        ((12, 512, 512), np.s_[6, 100, 100], 1),
        ((12, 512, 512), 6, 32),
        ((8, 128, 128), np.s_[:, 5, 5], 8),
        ((8, 128, 128), np.s_[::3, 5, 5], 3),
        ((8, 128, 128), np.s_[::-7, 5, 5], 2),
        ((8, 128, 128), np.s_[3:3], 0),
        ((8, 128, 128), np.s_[..., 0, 0], 8),
        ((100_000,), np.s_[::20_000], 5),
        ((100_000,), np.s_[::40_000], 3),
        ((0, 3), np.s_[...], 1),
        ((3, 0, 5), np.s_[1, :, 2], 1),
    ],
)
def test_how_many_chunks_a_selection_reads(shape, index, chunks):
    array = np.zeros(shape, np.uint16)
    with images.open(images.encrypt(array, KEY), KEY) as image:
        image[index]
        assert image.chunks_read == chunks == needed_chunks(array, index)


def test_only_the_bytes_of_these_chunks_are_fetched(tmp_path):
    array = filled((120, 64, 128), "<u2")
    images.save(tmp_path / "cine", array, KEY)
    file = Counting(tmp_path / "cine")
    with images.open(file, KEY) as image:
        before = file.count
        assert same(image[40], array[40])
        assert file.count - before == CHUNK + 16
        assert before < 4096
    assert not file.closed  # the caller's file is the caller's to close
    file.close()


class Counting(io.FileIO):
    """An unbuffered file that counts, and gives short reads as some file systems do."""

    count = 0

    def readinto(self, buffer: memoryview) -> int:
        got = super().readinto(buffer[:5000])
        self.count += got
        return got

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("reading into place spares a copy")


@pytest.mark.parametrize(
    "index", [1.5, "a", [0], [True], True, np.array([0, 1]), np.True_, (0, [1]), slice("a"), {}]
)
def test_fancy_indices_are_a_type_error(index):
    with images.open(images.encrypt(np.zeros((3, 4)), KEY), KEY) as image, pytest.raises(TypeError):
        image[index]


@pytest.mark.parametrize("index", [3, -4, (0, 4), (0, 0, 0), (..., 0, 0, 0), (..., 0, ...), (slice(None), 4)])
def test_indices_out_of_bounds_are_an_index_error(index):
    array = np.zeros((3, 4))
    with pytest.raises(IndexError):
        array[index]
    with images.open(images.encrypt(array, KEY), KEY) as image, pytest.raises(IndexError):
        image[index]


def test_a_step_of_zero_is_a_value_error():
    with images.open(images.encrypt(np.zeros(3), KEY), KEY) as image, pytest.raises(ValueError, match="zero"):
        image[::0]


def test_an_empty_selection_of_endless_axes_allocates_nothing():
    array = np.empty((1 << 40, 0, 3), np.uint8)
    with images.open(images.encrypt(array, KEY), KEY) as image:
        assert image[:, :, 0].shape == (1 << 40, 0)
        assert image[::2, 1:, :2].shape == (1 << 39, 0, 2)


@given(small_shapes(), st.sampled_from(DTYPES))
def test_it_says_what_it_is(shape, dtype):
    array = filled(shape, dtype)
    with images.open(images.encrypt(array, KEY), KEY) as image:
        assert (image.shape, image.dtype.str, image.ndim) == (array.shape, array.dtype.str, array.ndim)
        assert (image.size, image.nbytes) == (array.size, array.nbytes)
        assert same(np.asarray(image), array)
        if shape:
            assert len(image) == len(array)
        else:
            with pytest.raises(TypeError):
                len(image)


def test_it_becomes_an_array_by_copying_only():
    array = filled((5, 3), "<u2")
    with images.open(images.encrypt(array, KEY), KEY) as image:
        assert same(np.array(image, dtype=np.float64), array.astype(np.float64))
        assert [row.tolist() for row in image] == array.tolist()
        with pytest.raises(ValueError, match="cop"):
            np.asarray(image, copy=False)
        assert repr(image) == "SealedImage(shape=(5, 3), dtype='<u2')"


def test_what_was_read_is_the_readers_own():
    with images.open(images.encrypt(filled((5, 3), "<u2"), KEY), KEY) as image:
        one = image[...]
        one[:] = 0
        assert image[...].any()


# ---- damage ------------------------------------------------------------------------------------------------------


def test_damage_is_found_by_whoever_reads_it_and_by_verify():
    array = filled((10, CHUNK), "|u1")
    sealed = bytearray(images.encrypt(array, KEY))
    sealed[-5 * (CHUNK + 16)] ^= 1  # in chunk 6 of 11: the last one is empty
    with images.open(sealed, KEY) as image:
        bad = [row for row in range(10) if raises(image, row)]
        assert bad == [5]
        assert same(image[3], array[3])
        with pytest.raises(AuthenticationError):
            image.verify()
        with pytest.raises(AuthenticationError):
            image[...]


def raises(image: images.SealedImage, row: int) -> bool:
    try:
        image[row]
    except AuthenticationError:
        return True
    return False


def test_verify_reads_every_chunk_once():
    with images.open(images.encrypt(filled((300, CHUNK), "|u1"), KEY, signer=ALICE), KEY) as image:
        image.verify()
        assert image.chunks_read == 301


def test_a_selection_to_the_end_proves_the_end():
    sealed = bytearray(images.encrypt(filled((2, CHUNK), "|u1"), KEY))
    sealed[-1] ^= 1
    with images.open(sealed, KEY) as image:
        assert raises(image, 1)
        assert not raises(image, 0)


def test_a_file_that_shrinks_while_it_is_open_is_refused(tmp_path):
    path = tmp_path / "image"
    images.save(path, filled((4, CHUNK), "|u1"), KEY)
    with images.open(path, KEY) as image:
        with path.open("r+b") as file:
            file.truncate(30_000)
        with pytest.raises(AuthenticationError):
            image[3]


# ---- sources and threads -------------------------------------------------------------------------------------------


def test_paths_files_and_bytes_are_all_opened(tmp_path):
    array = filled((30, 40), "<i2")
    images.save(tmp_path / "image", array, KEY)
    sealed = (tmp_path / "image").read_bytes()
    mapped = np.memmap(tmp_path / "image", np.uint8, "r")
    sources = [
        tmp_path / "image",
        str(tmp_path / "image"),
        sealed,
        bytearray(sealed),
        memoryview(sealed),
        mapped,
    ]
    for source in [*sources, io.BytesIO(sealed)]:
        with images.open(source, KEY) as image:
            assert same(image[3:9, ::-2], array[3:9, ::-2])


@pytest.mark.parametrize("source", [None, 5, ["x"], object()])
def test_other_sources_are_a_type_error(source):
    with pytest.raises(TypeError):
        images.open(source, KEY)
    with pytest.raises(TypeError):
        images.inspect(source)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        images.open(tmp_path / "nothing", KEY)


def test_a_file_that_is_refused_is_closed(tmp_path):
    (tmp_path / "image").write_bytes(b"not an image")
    with pytest.raises(FormatError):
        images.open(tmp_path / "image", KEY)
    # filterwarnings = error turns a ResourceWarning of a file left open into a failure


def test_threads_may_share_a_reader(tmp_path):
    array = filled((64, 100, 100), "<u2")
    images.save(tmp_path / "volume", array, KEY, signer=ALICE)
    together = threading.Barrier(8)

    def read(seed: int) -> bool:
        together.wait()
        numbers = np.random.default_rng(seed).integers(0, 64, 20)
        return all(np.array_equal(image[int(n)], array[n]) for n in numbers)

    with (
        images.open(tmp_path / "volume", KEY, sender=ALICE.recipient) as image,
        ThreadPoolExecutor(8) as pool,
    ):
        assert all(pool.map(read, range(8)))
        before = image.chunks_read
        list(pool.map(lambda row: image[row, 0, 0], range(64)))
        assert image.chunks_read == before + 64


@given(st.data())
def test_reading_in_pieces_is_reading_the_whole(data):
    shape = data.draw(large_shapes())
    assume(shape[0] > 1)
    array = filled(shape, ">u2")
    cut = data.draw(st.integers(1, shape[0] - 1))
    with images.open(images.encrypt(array, KEY), KEY) as image:
        assert same(np.concatenate([image[:cut], image[cut:]]).astype(">u2"), array)
