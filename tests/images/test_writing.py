"""Files written piece by piece are the files that `save` writes, whole or not there."""

import itertools
import signal
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from image_strategies import arrays, filled, same, tiled

from medcrypt import Identity, SecretKey, images
from medcrypt.images.header import parse
from reference import sealed_image as reference

KEY, ALICE = SecretKey(bytes(range(32))), Identity(bytes(range(64)))


def cuts(rows: int, step: int) -> st.SearchStrategy[list[int]]:
    """Where to cut the rows into slabs: at multiples of the step, empty slabs included."""
    inner = st.lists(st.integers(0, rows // step).map(lambda number: number * step), max_size=5)
    return inner.map(lambda places: [0, *sorted(places), rows])


@given(st.data())
def test_slabs_one_after_another_are_the_array(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("writing") / "image"
    array, tiles = data.draw(tiled())
    tiles = data.draw(st.sampled_from([None, tiles]))
    signer = data.draw(st.sampled_from([None, ALICE]))
    step = 1 if tiles is None else min(tiles[0], max(len(array), 1))
    places = data.draw(cuts(len(array), step))
    options = {"tiles": tiles, "signer": signer, "metadata": {"a": 1}, "context": b"c", "threads": 2}
    with images.create(path, array.shape, array.dtype, KEY, **options) as writer:
        for start, stop in itertools.pairwise(places):
            writer.write(array[start:stop])
            assert writer.rows_written == stop
        assert not path.exists()
    sealed = path.read_bytes()
    assert same(images.decrypt(sealed, KEY, context=b"c"), array)
    assert same(reference.read(sealed, "secret-key", KEY.to_bytes(), b"c").array, array)
    del options["threads"], options["context"]
    assert len(sealed) == images.sealed_size(array.shape, array.dtype, KEY, **options)
    assert images.inspect(sealed).tiles == (writer.tiles and tuple(writer.tiles))


@given(arrays(), st.sampled_from([None, ALICE]))
def test_save_writes_what_encrypt_returns(tmp_path_factory, array, signer):
    path = tmp_path_factory.mktemp("writing") / "image"
    tiles = (3,) * array.ndim or None
    images.save(path, array, KEY, tiles=tiles, signer=signer)
    assert path.stat().st_size == len(images.encrypt(array, KEY, tiles=tiles, signer=signer))
    assert same(images.decrypt(path.read_bytes(), KEY), array)


def test_frames_need_no_axis_of_their_own(tmp_path):
    cine = filled((5, 40, 50), ">u2")
    with images.create(tmp_path / "cine", cine.shape, ">u2", KEY) as writer:
        for frame in cine:
            writer.write(frame)
        assert repr(writer) == "SealedWriter(shape=(5, 40, 50), dtype='>u2', rows_written=5)"
    with images.open(tmp_path / "cine", KEY) as image:
        assert same(image[...], cine)


def test_what_was_written_is_not_read_again(tmp_path):
    slab = np.ones((2, 30_000), np.uint8)
    with images.create(tmp_path / "image", (4, 30_000), np.uint8, KEY) as writer:
        writer.write(slab)
        slab[:] = 7
        writer.write(slab)
    with images.open(tmp_path / "image", KEY) as image:
        assert image[:, 0].tolist() == [1, 1, 7, 7]


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        (np.zeros((2, 5), "<i2"), TypeError),
        (np.zeros((2, 5), ">u2"), TypeError),
        (np.zeros((2, 5)), TypeError),
        (np.zeros((2, 4), "<u2"), ValueError),
        (np.zeros((5, 2), "<u2"), ValueError),
        (np.zeros(4, "<u2"), ValueError),
        (np.zeros((1, 2, 5), "<u2"), ValueError),
        (np.zeros((9, 5), "<u2"), ValueError),
        (np.zeros((3, 5), "<u2"), ValueError),  # less than a row of tiles
        (np.ma.masked_array(np.zeros((2, 5), "<u2")), TypeError),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_the_right_ones_can_follow(tmp_path, rows, error):
    array = filled((7, 5), "<u2")
    with images.create(tmp_path / "image", array.shape, array.dtype, KEY, tiles=(2, 3)) as writer:
        writer.write(array[:2])
        with pytest.raises(error):
            writer.write(rows)
        writer.write(array[2:6])
        writer.write(array[6:])
        with pytest.raises(ValueError, match="too many"):
            writer.write(array[:1])
    with images.open(tmp_path / "image", KEY) as image:
        assert same(image[...], array)


def test_an_unfinished_file_is_an_error_and_no_file(tmp_path):
    with (
        pytest.raises(ValueError, match="3 of 4 rows"),
        images.create(tmp_path / "image", (4, 5), np.uint8, KEY) as writer,
    ):
        writer.write(np.zeros((3, 5), np.uint8))
    assert list(tmp_path.iterdir()) == []


def write_and_stop(path) -> None:
    with images.create(path, (4, 5), np.uint8, KEY, overwrite=True) as writer:
        writer.write(np.zeros((4, 5), np.uint8))
        raise RuntimeError("the scanner stopped")


def test_an_exception_leaves_no_file_and_the_old_one_in_place(tmp_path):
    images.save(tmp_path / "image", np.arange(3), KEY)
    before = (tmp_path / "image").read_bytes()
    with pytest.raises(RuntimeError, match="scanner"):
        write_and_stop(tmp_path / "image")
    assert (tmp_path / "image").read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["image"]


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    images.save(tmp_path / "image", np.arange(3), KEY)
    with (
        pytest.raises(FileExistsError),
        images.create(tmp_path / "image", (1,), np.uint8, KEY) as writer,
    ):
        writer.write(np.zeros(1, np.uint8))
    with images.create(tmp_path / "image", (1,), np.uint8, KEY, overwrite=True) as writer:
        writer.write(np.zeros(1, np.uint8))
    with images.open(tmp_path / "image", KEY) as image:
        assert image.shape == (1,)


def write_to_a_full_disk(path, monkeypatch) -> None:
    array = filled((100, 40_000), "|u1")
    with (
        images.create(path, array.shape, array.dtype, KEY) as writer,
        monkeypatch.context() as patch,
    ):
        patch.setattr(writer, "_file", Full())
        with pytest.raises(OSError, match="full"):
            writer.write(array)


def test_a_full_disk_cannot_be_overlooked(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not everything"):
        write_to_a_full_disk(tmp_path / "image", monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_a_writer_that_failed_once_takes_no_more(tmp_path, monkeypatch):
    array = filled((100, 40_000), "|u1")
    with pytest.raises(ValueError, match="earlier write"):  # noqa: PT012, SIM117
        with images.create(tmp_path / "image", array.shape, array.dtype, KEY) as writer:
            with monkeypatch.context() as patch:
                patch.setattr(writer, "_file", Full())
                with pytest.raises(OSError, match="full"):
                    writer.write(array)
            writer.write(array)
    assert list(tmp_path.iterdir()) == []


class Full:
    """A file on a disk without room."""

    def write(self, data: bytes) -> int:
        raise OSError("the disk is full")


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"shape": ()}, ValueError),
        ({"shape": (-1,)}, ValueError),
        ({"shape": (2.0,)}, TypeError),
        ({"dtype": object}, TypeError),
        ({"cipher": "rot13"}, ValueError),
        ({"key": None}, TypeError),
        ({"context": "text"}, TypeError),
    ],
)
def test_wrong_arguments_are_refused_before_there_is_a_with_block(tmp_path, changed, error):
    images.sealed_size((2,), np.uint8, KEY)
    arguments = {"path": tmp_path / "image", "shape": (2,), "dtype": np.uint8, "key": KEY, **changed}
    with pytest.raises(error):
        images.create(**arguments)


@pytest.mark.parametrize("tiles", [None, (16, 256)])
def test_the_volume_is_never_held(tmp_path, tiles):
    slab = filled((64, 512, 512), "|u1")
    tracemalloc.start()
    try:
        with images.create(tmp_path / "volume", (256, 512, 512), np.uint8, KEY, tiles=tiles) as writer:
            for _ in range(4):
                writer.write(slab)
        images.save(tmp_path / "copy", np.asfortranarray(slab).T[::-1], KEY, tiles=tiles)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - slab.nbytes < 3 << 20  # the Fortran copy, and beside it two buffers of 1 MiB
    with images.open(tmp_path / "volume", KEY) as image:
        assert np.array_equal(image[70, 5], slab[6, 5])


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path):
    script = (
        "import sys, time\n"
        "import numpy as np\n"
        "from medcrypt import SecretKey, images\n"
        "with images.create(sys.argv[1], (100, 100_000), 'u1', SecretKey.generate(), overwrite=True) as writer:\n"
        "    writer.write(np.zeros((50, 100_000), 'u1'))\n"
        "    print('half', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "image")]
    (tmp_path / "image").write_bytes(b"the old one")
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"half\n"
        writer.send_signal(signal.SIGKILL)
    assert (tmp_path / "image").read_bytes() == b"the old one"
    assert [found.suffix for found in tmp_path.iterdir() if found.name != "image"] == [".partial"]


def test_readers_of_the_old_file_go_on_while_it_is_replaced(tmp_path):
    path, old, new = tmp_path / "image", np.zeros((64, 16384), np.uint8), np.ones((64, 16384), np.uint8)
    images.save(path, old, KEY)

    def read(_: int) -> set[int]:
        with images.open(path, KEY) as image:
            return {int(image[row, 0]) for row in range(64)}

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(read, number) for number in range(20)]
        images.save(path, new, KEY, overwrite=True)
        found += [pool.submit(read, number) for number in range(4)]
        assert all(done.result() in ({0}, {1}) for done in found)
        assert found[-1].result() == {1}


def test_the_hashes_of_a_signed_stream_are_those_of_its_chunks(tmp_path):
    array = filled((3, 100_000), "|u1")
    with images.create(tmp_path / "image", array.shape, array.dtype, KEY, signer=ALICE) as writer:
        for row in array:
            writer.write(row)
    sealed = (tmp_path / "image").read_bytes()
    form = parse(np.frombuffer(sealed, np.uint8)).form
    body = sealed[form.body_start + 56 : form.body_end]
    hashes = [reference.hashlib.sha256(body[at : at + 16400]).digest() for at in range(0, len(body), 16400)]
    assert sealed[form.body_end : -64] == b"".join(hashes)
    assert same(images.decrypt(sealed, KEY, sender=ALICE.recipient), array)
