"""The vectors of archives and journals open with the library and with the reader written from the format page."""

import base64
import copy
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import FormatError, Identity, Recipient, SecretKey, images
from medcrypt.images.manifest import Manifest
from medcrypt.images.sealed_files import JOURNAL, MANIFEST, Outcome
from reference import archives as twin
from reference.sealed_image import RefusedError

Vector = dict[str, Any]

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/images/archives.json").read_text("utf-8"))
FINISHED = [vector for vector in VECTORS if MANIFEST in vector["files"]]
INTERRUPTED = [vector for vector in VECTORS if JOURNAL in vector["files"]]


def names(vectors: list[Vector]) -> list[str]:
    return [vector["name"] for vector in vectors]


def files_of(vector: Vector) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in vector["files"].items()}


def sources_of(vector: Vector) -> dict[str, bytes]:
    return {name: base64.b64decode(data) for name, data in vector["sources"].items()}


def written(folder: Path, files: dict[str, bytes], mtime_ns: int | None = None) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.write_bytes(data)
        except OSError:
            pytest.skip("this file system has UTF-8 names only")
        if mtime_ns is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns))
    return folder


def found(folder: Path) -> dict[str, bytes]:
    return {
        "/".join(path.relative_to(folder).parts): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def opener(key: dict[str, str]) -> SecretKey | Identity:
    return {"secret-key": SecretKey, "identity": Identity}[key["kind"]](bytes.fromhex(key["bytes"]))


def recipients_of(vector: Vector) -> list[SecretKey | Recipient]:
    return [
        SecretKey(bytes.fromhex(key["secret"])) if key["secret"] else Recipient.from_text(key["recipient"])
        for key in vector["recipients"]
    ]


def signer_of(vector: Vector) -> Identity | None:
    return Identity(bytes.fromhex(vector["signer"])) if vector["signer"] else None


@pytest.mark.parametrize("vector", FINISHED, ids=names(FINISHED))
def test_the_library_restores_it_with_each_key(tmp_path: Path, vector: Vector) -> None:
    archive, signer = written(tmp_path / "s", files_of(vector)), signer_of(vector)
    for number, key in enumerate(vector["openers"]):
        options = {
            "context": bytes.fromhex(vector["context"]),
            "sender": None if signer is None else signer.recipient,
        }
        images.verify_many(archive, opener(key), **options)
        images.decrypt_many(archive, opener(key), tmp_path / f"{number}", **options)
        assert found(tmp_path / f"{number}") == sources_of(vector)


@pytest.mark.parametrize("vector", FINISHED, ids=names(FINISHED))
def test_the_second_reader_restores_it_with_each_key(vector: Vector) -> None:
    sender = None if vector["sender"] is None else bytes.fromhex(vector["sender"])
    for key in vector["openers"]:
        restored = twin.read(
            files_of(vector),
            key["kind"],
            bytes.fromhex(key["bytes"]),
            bytes.fromhex(vector["context"]),
            sender,
        )
        assert restored == sources_of(vector)


@pytest.mark.parametrize("damage", ["missing", "added", "swapped"])
def test_the_second_reader_misses_nothing_either(damage: str) -> None:
    vector = FINISHED[0]
    files = files_of(vector)
    if damage == "missing":
        del files["empty.mcrypt"]
    elif damage == "added":
        files["new.mcrypt"] = files["empty.mcrypt"]
    else:
        files["empty.mcrypt"], files["report.txt.mcrypt"] = files["report.txt.mcrypt"], files["empty.mcrypt"]
    with pytest.raises(RefusedError):
        twin.read(files, "secret-key", bytes.fromhex(vector["openers"][0]["bytes"]))


@pytest.mark.parametrize("vector", INTERRUPTED, ids=names(INTERRUPTED))
def test_the_library_goes_on_where_the_journal_stops(tmp_path: Path, vector: Vector) -> None:
    study = written(tmp_path / "study", sources_of(vector), vector["mtime_ns"])
    archive, told = written(tmp_path / "s", files_of(vector)), list[Outcome]()
    images.encrypt_many(
        study,
        recipients_of(vector),
        archive,
        context=bytes.fromhex(vector["context"]),
        signer=signer_of(vector),
        opaque_names=vector["opaque_names"],
        progress=told.append,
    )
    done = sum(b'{"done"' in line for line in files_of(vector)[JOURNAL].splitlines())
    assert sum(outcome.skipped for outcome in told) == done >= 2
    images.verify_many(
        archive, [opener(key) for key in vector["openers"]], context=bytes.fromhex(vector["context"])
    )


@pytest.mark.parametrize("vector", INTERRUPTED, ids=names(INTERRUPTED))
def test_the_second_reader_reads_the_journal(vector: Vector) -> None:
    files, sources = files_of(vector), sources_of(vector)
    keys = [
        (bytes.fromhex(key["fingerprint"]), bytes.fromhex(key["secret"]) if key["secret"] else None)
        for key in vector["recipients"]
    ]
    options = {
        "opaque": vector["opaque_names"],
        "signer": bytes.fromhex(vector["sender"]) if vector["sender"] else b"",
    }
    journal = twin.read_journal(files[JOURNAL], keys, bytes.fromhex(vector["context"]), **options)
    assert not journal.continues
    entries = [journal.entry(path, len(data), vector["mtime_ns"]) for path, data in sources.items()]
    known = [entry for entry in entries if entry is not None]
    assert len(known) == len(journal.done)
    for entry in known:
        assert twin.sealed_digest(files[entry["out"]]) == entry["sealed_sha256"]
        assert len(files[entry["out"]]) == entry["sealed_size"]
    # Nothing of it can be read with a guess that is wrong in one place.
    path, data = next(
        (path, data) for path, data in sources.items() if journal.entry(path, len(data), vector["mtime_ns"])
    )
    for guess in (
        (path + "x", len(data), vector["mtime_ns"]),
        (path, len(data) + 1, 0),
        (path, len(data), 0),
    ):
        assert journal.entry(*guess) is None
    other = twin.read_journal(files[JOURNAL], keys, b"another context", **options)
    assert other.entry(path, len(data), vector["mtime_ns"]) is None


# ---- both read the same manifests ----------------------------------------------------------------------


FILE = {
    "path": "a/1.dcm", "out": "a/1.dcm.mcrypt", "size": 3, "mtime_ns": -1, "sha256": "0" * 64,
    "sealed_size": 900, "sealed_sha256": "f" * 64,
}  # fmt: skip
OTHER_FILE = {**FILE, "path": "b\udce9", "out": "b"}
FAILED = {"path": "../x", "error": ""}
GOOD = [{"medcrypt": "manifest", "version": 1, "files": 2, "failed": 1}, FILE, OTHER_FILE, FAILED]
WRONG = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        1,
        2,
        1.0,
        10**30,
        "",
        ".",
        "..",
        "/x",
        "a//b",
        "a/",
        "a\0b",
        "a/1.dcm",
        "0" * 64,
        "F" * 64,
        "f" * 63,
        [],
        {},
        "manifest",
        "journal",
    ]
)


def agree(data: bytes) -> bool:
    """Both accept or both refuse; tell which."""
    try:
        manifest = Manifest.from_bytes(data)
    except FormatError:
        with pytest.raises(RefusedError):
            twin.take_apart(data)
        return False
    assert manifest.to_bytes() == data
    assert set(twin.take_apart(data).files) == set(manifest.entries)
    assert twin.take_apart(data).failed == manifest.failed
    return True


def test_both_readers_accept_the_good_manifest() -> None:
    assert agree(b"".join(map(twin.line, GOOD)))


@given(number=st.integers(0, 3), data=st.data())
def test_both_readers_judge_a_changed_line_alike(number: int, data: st.DataObject) -> None:
    lines = copy.deepcopy(GOOD)
    name = data.draw(st.sampled_from([*lines[number], "more"]))
    if data.draw(st.booleans()):
        lines[number][name] = data.draw(WRONG)
    else:
        lines[number].pop(name, None)
    agree(b"".join(map(twin.line, lines)))


@given(order=st.permutations(range(1, 4)), files=st.integers(0, 3), failed=st.integers(0, 3))
def test_both_readers_judge_lines_in_another_order_alike(order: list[int], files: int, failed: int) -> None:
    lines = [{**GOOD[0], "files": files, "failed": failed}, *(GOOD[number] for number in order)]
    agree(b"".join(map(twin.line, lines)))


def test_both_readers_refuse_every_flipped_bit_and_cut_of_the_form() -> None:
    data = b"".join(map(twin.line, GOOD[:2] + GOOD[3:])).replace(b'"files":2', b'"files":1')
    assert agree(data)
    for cut in range(len(data)):
        assert not agree(data[:cut])
    accepted = 0
    for place, bit in itertools.product(range(len(data)), range(8)):
        changed = data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]
        accepted += agree(changed)
    assert 0 < accepted < len(data) * 3  # other names, digits and digests are other manifests
