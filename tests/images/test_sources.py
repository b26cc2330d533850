"""Sealed images are read from wherever they lie, at a place, and no byte more than is needed."""

import gzip
import io
import math
import mmap
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from image_strategies import filled, same

from medcrypt import AuthenticationError, FormatError, Identity, SecretKey, images
from medcrypt.images.sources import DescriptorSource, FileSource, MemorySource, RemoteSource, source_of

fsspec = pytest.importorskip("fsspec")

KEY, ALICE = SecretKey(bytes(range(32))), Identity(bytes(range(64)))
CINE = filled((120, 100, 130), "<u2")  # frames of 26 000 bytes, which begin and end inside of chunks
CHUNK, SEALED = 16384, 16400


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("sources") / "cine"
    images.save(path, CINE, KEY, signer=ALICE)
    return path


class Counting(io.FileIO):
    """An unbuffered file that counts the bytes it gives."""

    count = 0

    def readinto(self, buffer):
        got = super().readinto(buffer)
        self.count += got
        return got


class OnlyReads:
    """A file object of the plainest kind: `read` and `seek`, and short reads."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 7000))


def test_every_kind_of_source_gives_the_same_pixels(path):
    sealed = path.read_bytes()
    with (
        path.open("rb") as buffered,
        path.open("rb", buffering=0) as unbuffered,
        path.open("r+b") as writable,
        mmap.mmap(buffered.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        tempfile.SpooledTemporaryFile() as spooled,
        gzip.open(io.BytesIO(gzip.compress(sealed, 1))) as unpacked,
        fsspec.open(str(path), "rb") as through_fsspec,
    ):
        spooled.write(sealed)
        kinds = [
            (path, DescriptorSource),
            (str(path), DescriptorSource),
            (buffered, DescriptorSource),
            (unbuffered, DescriptorSource),
            (writable, FileSource),
            (spooled, FileSource),
            (unpacked, FileSource),
            (io.BytesIO(sealed), FileSource),
            (OnlyReads(sealed), FileSource),
            (through_fsspec, FileSource),
            (sealed, MemorySource),
            (memoryview(sealed), MemorySource),
            (mapped, MemorySource),
            (np.memmap(path, np.uint8, "r"), MemorySource),
            (np.frombuffer(sealed, np.uint8), MemorySource),
            (fsspec.open(str(path), "rb"), RemoteSource),
        ]
        for given, kind in kinds:
            source = source_of(given)
            assert type(source) is kind, given
            source.close()
            with images.open(given, KEY, sender=ALICE.recipient) as image:
                assert same(image[17], CINE[17])
            assert images.inspect(given).shape == CINE.shape
        assert not buffered.closed
        assert not spooled.closed


def test_one_frame_reads_its_chunks_and_the_header_and_no_more(tmp_path):
    images.save(tmp_path / "cine", CINE, KEY)
    start = images.sealed_size(CINE.shape, CINE.dtype, KEY) - (CINE.nbytes + 16 * (CINE.nbytes // CHUNK + 1))
    with Counting(tmp_path / "cine") as file, images.open(file, KEY) as image:
        assert file.count <= start + 2 * 56  # header, recipients, and the body's salt and commitment twice
        for frame in (0, 40, 77, 118):
            read, chunks = file.count, image.chunks_read
            assert same(image[frame], CINE[frame])
            chunks = image.chunks_read - chunks
            assert chunks <= math.ceil(CINE[frame].nbytes / CHUNK) + 2
            assert file.count - read == chunks * SEALED


def test_what_a_caller_reads_meanwhile_stays_the_callers(path):
    with path.open("rb") as file:
        head = file.read(10)
        with images.open(file, KEY) as image:
            assert same(image[3], CINE[3])
            assert file.tell() == 10
            assert head + file.read() == path.read_bytes()
            assert same(image[4], CINE[4])


def test_many_threads_read_one_open_image_of_any_source(path):
    numbers = np.random.default_rng(1).integers(0, len(CINE), 60).tolist()
    for given in (path, path.read_bytes(), io.BytesIO(path.read_bytes()), fsspec.open(str(path))):
        with images.open(given, KEY) as image, ThreadPoolExecutor(6) as pool:
            assert all(pool.map(lambda number, image=image: same(image[number], CINE[number]), numbers))


def test_remote_files_are_read_by_ranges_and_not_ahead(path):
    asked: list[tuple[int, int]] = []

    class Watched(fsspec.get_filesystem_class("memory")):
        protocol = "watched"
        cachable = False

        def cat_file(self, path, start=None, end=None, **options):
            asked.append((start, end))
            return super().cat_file(path, start=start, end=end, **options)

        def _open(self, *_, **__):
            raise AssertionError("opening reads ahead")

    system = Watched()
    system.store.clear()
    fsspec.get_filesystem_class("memory")().pipe_file("/cine", path.read_bytes())
    remote = fsspec.core.OpenFile(system, "/cine")
    with images.open(remote, KEY) as image:
        asked.clear()
        assert same(image[50], CINE[50])
        first, last = 50 * 26_000 // CHUNK, (51 * 26_000 - 1) // CHUNK
        assert [end - start for start, end in asked] == [(last - first + 1) * SEALED]


def test_a_compressed_remote_file_is_read_as_a_file(path, tmp_path):
    (tmp_path / "cine.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    packed = fsspec.open(str(tmp_path / "cine.gz"), "rb", compression="gzip")
    with images.open(packed, KEY) as image:
        assert same(image[2], CINE[2])


def test_a_map_can_be_closed_when_the_image_is(path):
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with images.open(mapped, KEY) as image:
        assert same(image[2], CINE[2])
        with pytest.raises(BufferError):
            mapped.close()
    mapped.close()


def test_a_file_that_grows_or_shrinks_is_noticed(path, tmp_path):
    other = tmp_path / "cine"
    other.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(FormatError):
        images.open(other, KEY)
    other.write_bytes(path.read_bytes())
    with images.open(other, KEY) as image:
        with other.open("r+b") as file:
            file.truncate(100_000)
        with pytest.raises(AuthenticationError):
            image[100]


def test_reads_beyond_the_end_are_short(path):
    size = path.stat().st_size
    for given in (path, io.BytesIO(path.read_bytes()), path.read_bytes(), fsspec.open(str(path))):
        source = source_of(given)
        assert source.size == size
        assert [source.fetch(offset, 50).size for offset in (size - 5, size, 10**9)] == [5, 0, 0]
        source.close()
