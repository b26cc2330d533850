"""Any file as a sealed image: the same bytes come back, under the same name, in the same place."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import AuthenticationError, FormatError, Identity, SecretKey, images
from medcrypt.images import sealed_files as files
from medcrypt.images.sealed_files import StoredName

KEY = SecretKey.from_bytes(bytes(range(32)))
SIZES = [0, 1, 16383, 16384, 16385, 100_000, files.BLOCK, files.BLOCK + 1]


def hostile(data: bytes = b"evil", **metadata: object) -> bytes:
    """Seal a file as somebody else's program could."""
    return images.encrypt(np.frombuffer(data, np.uint8), KEY, metadata={"content": "file", **metadata})


def tree(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder by their relative path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with files of several depths, an empty one and a hidden one among them."""
    folder = tmp_path / "study"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "1.dcm").write_bytes(b"one")
    (folder / "a" / "Größe – 漢字.txt").write_bytes(b"two")
    (folder / "empty").write_bytes(b"")
    (folder / ".hidden").write_bytes(bytes(20_000))
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("map_from", [1, files.MAP_FROM], ids=["mapped", "read"])
def test_a_file_comes_back_byte_for_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, map_from: int
) -> None:
    monkeypatch.setattr(files, "MAP_FROM", map_from)
    source, sealed, again = tmp_path / "scan.bin", tmp_path / "sealed", tmp_path / "again"
    data = np.random.default_rng(size).bytes(size)
    source.write_bytes(data)
    files.seal_file(source, KEY, sealed)
    with files.open_file(sealed, KEY) as file:
        assert file.name == StoredName("scan.bin")
        file.save(again)
    assert again.read_bytes() == data


@given(st.binary(max_size=40_000))
def test_bytes_in_memory_come_back_unchanged(data: bytes) -> None:
    with files.open_file(files.seal_bytes(data, KEY), KEY) as file:
        assert file.read() == data
        assert file.name is None


def test_a_folder_comes_back_with_its_structure(tmp_path: Path, study: Path) -> None:
    outcomes = list(files.seal_folder(study, KEY, tmp_path / "sealed"))
    assert [outcome.error for outcome in outcomes] == [None] * 4
    assert set(tree(tmp_path / "sealed")) == {name + ".mcrypt" for name in tree(study)}
    written = files.paths_or_errors(
        files.unseal_folder(tmp_path / "sealed", KEY, tmp_path / "back"), "opened"
    )
    assert len(written) == 4
    assert tree(tmp_path / "back") == tree(study)


def test_opaque_names_tell_nothing_and_come_back(tmp_path: Path, study: Path) -> None:
    files.paths_or_errors(files.seal_folder(study, KEY, tmp_path / "s", opaque_names=True), "sealed")
    names = list(tree(tmp_path / "s"))
    assert all(len(name) == 39 and set(name[:32]) <= set("0123456789abcdef") for name in names)
    files.paths_or_errors(files.unseal_folder(tmp_path / "s", KEY, tmp_path / "back"), "opened")
    assert tree(tmp_path / "back") == tree(study)


def test_swapped_files_come_back_under_their_own_names(tmp_path: Path, study: Path) -> None:
    sealed = tmp_path / "sealed"
    files.paths_or_errors(files.seal_folder(study, KEY, sealed), "sealed")
    one, two = sealed / "a" / "b" / "1.dcm.mcrypt", sealed / "empty.mcrypt"
    one.rename(tmp_path / "kept")
    two.rename(one)
    (tmp_path / "kept").rename(two)
    list(files.unseal_folder(sealed, KEY, tmp_path / "back"))
    assert (tmp_path / "back" / "a" / "b" / "1.dcm").read_bytes() == b"one"


def test_a_folder_of_sealed_folders_opens_as_it_looks(tmp_path: Path, study: Path) -> None:
    for patient in ("p1", "p2"):
        files.paths_or_errors(files.seal_folder(study, KEY, tmp_path / "sealed" / patient), "sealed")
    files.paths_or_errors(files.unseal_folder(tmp_path / "sealed", KEY, tmp_path / "back"), "opened")
    assert tree(tmp_path / "back" / "p1") == tree(tmp_path / "back" / "p2") == tree(study)


def test_a_name_that_is_not_utf8_comes_back(tmp_path: Path) -> None:
    name = os.fsdecode(b"scan-\xff\xfe%41.bin")
    (tmp_path / "in").mkdir()
    try:
        (tmp_path / "in" / name).write_bytes(b"data")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    files.paths_or_errors(
        files.seal_folder(tmp_path / "in", KEY, tmp_path / "s", opaque_names=True), "sealed"
    )
    files.paths_or_errors(files.unseal_folder(tmp_path / "s", KEY, tmp_path / "back"), "opened")
    assert [path.name for path in (tmp_path / "back").iterdir()] == [name]


@pytest.mark.parametrize(
    "metadata",
    [
        {"filename": "../evil"},
        {"filename": "/evil"},
        {"filename": "a/evil"},
        {"filename": ".."},
        {"filename": "."},
        {"filename": ""},
        {"filename": "a\0b"},
        {"filename": 7},
        {"filename": ["evil"]},
        {"filename": "evil", "folder": ".."},
        {"filename": "evil", "folder": "a/../.."},
        {"filename": "evil", "folder": "/a"},
        {"filename": "evil", "folder": "a//b"},
        {"filename": "evil", "folder": "a\0"},
        {"filename": "evil", "folder": 7},
        {"filename": "..%2fevil", "percent": True},
        {"filename": "evil", "folder": "%2e%2e", "percent": True},
        {"filename": "%00", "percent": True},
    ],
    ids=str,
)
def test_a_hostile_name_writes_nothing(tmp_path: Path, metadata: dict[str, object]) -> None:
    place = tmp_path / "deep" / "sealed"
    place.mkdir(parents=True)
    (place / "x.mcrypt").write_bytes(hostile(**metadata))
    before = set(tmp_path.rglob("*"))
    (outcome,) = files.unseal_folder(place, KEY, tmp_path / "deep" / "out")
    assert isinstance(outcome.error, FormatError)
    assert set(tmp_path.rglob("*")) == before


def test_the_contents_under_a_hostile_name_can_still_be_read() -> None:
    with files.open_file(hostile(filename="../evil"), KEY) as file:
        assert file.read() == b"evil"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_stored_name_never_leads_out(filename: str, folder: str) -> None:
    try:
        name = StoredName.from_metadata({"filename": filename, "folder": folder})
    except FormatError:
        return
    assert name is not None
    root = Path("/out")
    target = Path(os.path.normpath(root.joinpath(*name.folders, name.filename)))
    assert target != root
    assert target.is_relative_to(root)


def test_nothing_is_sealed_through_a_link_in_the_output_folder(tmp_path):
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    (tmp_path / "in" / "a" / "b" / "x").write_bytes(b"x")
    (tmp_path / "in" / "y").write_bytes(b"y")
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere" / "b").mkdir(parents=True)
    (tmp_path / "out" / "a").symlink_to(tmp_path / "elsewhere")
    outcomes = list(files.seal_folder(tmp_path / "in", KEY, tmp_path / "out"))
    errors = {outcome.source.name: type(outcome.error) for outcome in outcomes}
    assert errors == {"y": type(None), "x": OSError}
    assert not list((tmp_path / "elsewhere" / "b").iterdir())


def test_a_link_in_the_output_folder_is_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "x.mcrypt").write_bytes(hostile(filename="evil", folder="link"))
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    (outcome,) = files.unseal_folder(tmp_path / "sealed", KEY, tmp_path / "out")
    assert isinstance(outcome.error, FormatError)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_links_and_pipes_in_a_folder_are_reported_not_followed(tmp_path: Path, study: Path) -> None:
    (tmp_path / "secret").write_bytes(b"not part of the study")
    (study / "link").symlink_to(tmp_path / "secret")
    (study / "loop").symlink_to(study)
    (study / "dangling").symlink_to(study / "nowhere")
    os.mkfifo(study / "pipe")
    outcomes = list(files.seal_folder(study, KEY, tmp_path / "sealed"))
    failed = {outcome.source.name for outcome in outcomes if outcome.error is not None}
    assert failed == {"link", "loop", "dangling", "pipe"}
    assert len(tree(tmp_path / "sealed")) == 4


def test_one_bad_file_does_not_stop_the_others(tmp_path: Path, study: Path) -> None:
    sealed = tmp_path / "sealed"
    files.paths_or_errors(files.seal_folder(study, KEY, sealed), "sealed")
    bad = sealed / "a" / "b" / "1.dcm.mcrypt"
    bad.write_bytes(bad.read_bytes()[:-1] + b"\x00")
    (sealed / "notes.txt").write_text("not sealed")
    with pytest.raises(ExceptionGroup, match="2 of 5 files could not be opened") as caught:
        files.paths_or_errors(files.unseal_folder(sealed, KEY, tmp_path / "back"), "opened")
    kinds = {type(error): error.__notes__ for error in caught.value.exceptions}
    assert kinds == {AuthenticationError: [str(bad)], FormatError: [str(sealed / "notes.txt")]}
    assert set(tree(tmp_path / "back")) == set(tree(study)) - {"a/b/1.dcm"}


@pytest.mark.parametrize("change", ["cut", "flip", "key", "context", "sender"])
def test_what_is_not_authentic_writes_nothing(tmp_path: Path, change: str) -> None:
    sealed = bytearray(files.seal_bytes(bytes(100_000), KEY, context=b"study 7"))
    if change == "cut":
        sealed = sealed[:-1]
    if change == "flip":
        sealed[-1] ^= 1  # in the last chunk: all before it has been decrypted by then
    key = SecretKey.generate() if change == "key" else KEY
    context = b"study 8" if change == "context" else b"study 7"
    sender = Identity.generate().recipient if change == "sender" else None
    with (
        pytest.raises((AuthenticationError, FormatError)),
        files.open_file(bytes(sealed), key, context=context, sender=sender) as file,
    ):
        file.save(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_an_empty_file_is_authenticated_too(tmp_path: Path) -> None:
    sealed = bytearray(files.seal_bytes(b"", KEY))
    sealed[-1] ^= 1
    with files.open_file(bytes(sealed), KEY) as file, pytest.raises(AuthenticationError):
        file.save(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_several_keys_are_tried(tmp_path: Path) -> None:
    sealed = files.seal_bytes(b"data", KEY)
    with files.open_file(sealed, [SecretKey.generate(), Identity.generate(), KEY]) as file:
        assert file.read() == b"data"
    with pytest.raises(ValueError, match="at least one key"), files.open_file(sealed, []):
        pass


def test_an_existing_file_stays_unless_overwritten(tmp_path: Path) -> None:
    source, out = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"new")
    out.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        files.seal_file(source, KEY, out)
    assert out.read_bytes() == b"old"
    files.seal_file(source, KEY, out, overwrite=True)
    with files.open_file(out, KEY) as file, pytest.raises(FileExistsError):
        file.save(source)
    assert source.read_bytes() == b"new"


def test_an_output_folder_inside_the_input_is_refused(study: Path) -> None:
    for out in (study, study / "a", study / "a" / ".." / "new"):
        with pytest.raises(ValueError, match="must not lie inside"):
            files.seal_folder(study, KEY, out)
        with pytest.raises(ValueError, match="must not lie inside"):
            files.unseal_folder(study, KEY, out)


@pytest.mark.parametrize("dtype", ["|b1", "<i2", ">f4", "<c16", "|u1"])
@pytest.mark.parametrize("shape", [(), (0,), (3, 4), (7,)])
def test_an_image_sealed_as_an_array_reads_as_an_npy_file(
    tmp_path: Path, dtype: str, shape: tuple[int, ...]
) -> None:
    array = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)
    images.save(tmp_path / "ct.mcrypt", array, KEY, metadata={"Modality": "CT"})
    (outcome,) = files.unseal_folder(tmp_path, KEY, tmp_path.parent / f"{tmp_path.name}-out")
    assert outcome.out is not None
    assert outcome.out.name == "ct.npy"
    again = np.load(outcome.out, allow_pickle=False)
    assert (again.dtype.str, again.shape) == (array.dtype.str, array.shape)
    assert np.array_equal(again, array)


def test_a_file_that_has_no_name_takes_that_of_its_sealed_form() -> None:
    with files.open_file(files.seal_bytes(b"", KEY), KEY) as file:
        assert files.restored_name("report.pdf.mcrypt", file) == StoredName("report.pdf")
        with pytest.raises(FormatError, match="say where"):
            files.restored_name("report", file)
