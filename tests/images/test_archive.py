"""Folders as archives: restartable, complete, the same with every executor, and nothing missing goes unnoticed."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medcrypt import AuthenticationError, FormatError, Identity, Passphrase, SecretKey, images
from medcrypt.images import archive, sealed_files
from medcrypt.images import manifest as manifest_module
from medcrypt.images.manifest import Entry, Manifest
from medcrypt.images.sealed_files import JOURNAL, MANIFEST, Outcome
from medcrypt.keys import KeyFile, KeyVariable

KEY = SecretKey(bytes(range(32)))
ALICE, BOB = Identity(bytes(range(64))), Identity(bytes(range(1, 65)))


def tree(folder: Path) -> dict[str, bytes]:
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in {MANIFEST, JOURNAL})
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Which file it is: a file that is made anew is another."""
    return {
        name: ((folder / name).stat().st_ino, (folder / name).stat().st_mtime_ns) for name in tree(folder)
    }


def key_of_this_module() -> SecretKey:
    return KEY


def describe_as_scan(_file: object, _name: str) -> dict[str, str]:
    return {"content": "scan"}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = tmp_path / "study"
    (folder / "a" / "b").mkdir(parents=True)
    for number in range(6):
        (folder / "a" / f"{number}.dcm").write_bytes(bytes([number]) * (number * 9000))
    (folder / "a" / "b" / "Größe – 漢字.txt").write_bytes(b"two")
    (folder / "empty").write_bytes(b"")
    return folder


@pytest.fixture
def sealed(tmp_path: Path, study: Path) -> Path:
    images.encrypt_many(study, KEY, tmp_path / "sealed")
    return tmp_path / "sealed"


def failures(caught: pytest.ExceptionInfo[ExceptionGroup]) -> dict[str, str]:
    return {Path(error.__notes__[0]).name: str(error) for error in caught.value.exceptions}


# ---- there and back ------------------------------------------------------------------------------------


@pytest.mark.parametrize("opaque", [False, True])
@pytest.mark.parametrize(
    "key", [KEY, ALICE, Passphrase("six words")], ids=["secret", "identity", "passphrase"]
)
def test_a_folder_comes_back(tmp_path, study, opaque, key):
    if isinstance(key, Passphrase):  # a third of a second for each file
        for path in (study / "a").glob("*.dcm"):
            path.unlink()
        (study / "empty").unlink()
    written = images.encrypt_many(study, key, tmp_path / "sealed", opaque_names=opaque)
    assert len(written) == len(tree(study))
    assert not (tmp_path / "sealed" / JOURNAL).exists()
    images.verify_many(tmp_path / "sealed", key)
    assert len(images.decrypt_many(tmp_path / "sealed", key, tmp_path / "back")) == len(written)
    assert tree(tmp_path / "back") == tree(study)
    names = set(tree(tmp_path / "sealed"))
    if opaque:
        assert all(len(name) == 39 and "/" not in name for name in names)
    else:
        assert names == {f"{name}.mcrypt" for name in tree(study)}


def test_the_manifest_names_every_file_with_its_digests(study, sealed):
    manifest = Manifest.load(sealed, KEY)
    assert set(manifest.entries) == set(tree(study))
    for path, entry in manifest.entries.items():
        assert entry.size == (study / path).stat().st_size
        assert (sealed / entry.out).stat().st_size == entry.sealed_size
        data = np.frombuffer((sealed / entry.out).read_bytes(), np.uint8)
        assert entry.sealed_sha256 == sealed_files.sealed_digest(data)
    assert b"dcm" not in (sealed / MANIFEST).read_bytes()  # it is encrypted itself


def test_signatures_and_context_cover_the_manifest(tmp_path, study):
    out = tmp_path / "sealed"
    images.encrypt_many(
        study, ALICE.recipient, out, signer=BOB, context=b"study 7", describe=describe_as_scan
    )
    images.verify_many(out, ALICE, sender=BOB.recipient, context=b"study 7")
    for options in ({"context": b"study 7", "sender": ALICE.recipient}, {"sender": BOB.recipient}):
        with pytest.raises(ExceptionGroup) as caught:
            images.verify_many(out, ALICE, **options)
        assert MANIFEST in failures(caught)
    with images.open(out / "empty.mcrypt", ALICE, context=b"study 7") as image:
        assert image.metadata["content"] == "scan"


def test_an_empty_folder_is_an_archive_too(tmp_path):
    (tmp_path / "study").mkdir()
    assert images.encrypt_many(tmp_path / "study", KEY, tmp_path / "sealed") == []
    images.verify_many(tmp_path / "sealed", KEY)
    assert images.decrypt_many(tmp_path / "sealed", KEY, tmp_path / "back") == []


def test_a_name_that_is_not_utf8_comes_back(tmp_path):
    name = os.fsdecode(b"scan-\xff\xfe%41.bin")
    (tmp_path / "in").mkdir()
    try:
        (tmp_path / "in" / name).write_bytes(b"data")
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    images.encrypt_many(tmp_path / "in", KEY, tmp_path / "s", opaque_names=True)
    images.verify_many(tmp_path / "s", KEY)
    images.decrypt_many(tmp_path / "s", KEY, tmp_path / "back")
    assert [path.name for path in (tmp_path / "back").iterdir()] == [name]


def test_files_are_named_from_the_deepest_folder_that_holds_them(tmp_path, study):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "one").write_bytes(b"one")
    files = [study / "a" / "1.dcm", study / "a" / "b" / "Größe – 漢字.txt"]
    sealed = tmp_path / "sealed"
    assert len(images.encrypt_many(iter(files), KEY, sealed)) == 2
    assert set(tree(sealed)) == {"1.dcm.mcrypt", "b/Größe – 漢字.txt.mcrypt"}
    assert images.encrypt_many(files, KEY, sealed) == []
    assert len(images.encrypt_many([*files, study / "a" / "2.dcm"], KEY, sealed)) == 1
    images.verify_many(sealed, KEY)
    images.encrypt_many([str(files[0]), tmp_path / "report" / "one"], KEY, tmp_path / "both")
    assert set(Manifest.load(tmp_path / "both", KEY).entries) == {"study/a/1.dcm", "report/one"}


def test_what_is_wrong_with_one_of_some_files_is_told_at_the_end(tmp_path, study):
    (study / "link").symlink_to(study / "empty")
    files = [study / name for name in ("empty", "link", "nowhere", "a")]
    with pytest.raises(ExceptionGroup) as caught:
        images.encrypt_many(files, KEY, tmp_path / "sealed")
    assert set(failures(caught)) == {"link", "nowhere", "a"}
    assert set(Manifest.load(tmp_path / "sealed", KEY).entries) == {"empty"}


@pytest.mark.parametrize("files", [[], ["empty", "a/../empty"], ["empty", "sealed/x"], [7]])
def test_files_that_make_no_archive_are_refused(study, files):
    with pytest.raises((ValueError, TypeError)):
        images.encrypt_many([study / str(f) if f != 7 else f for f in files], KEY, study / "sealed")
    assert not (study / "sealed").exists()


# ---- failures ------------------------------------------------------------------------------------------


def test_failures_are_told_at_the_end_and_named_in_the_manifest(tmp_path, study):
    (study / "link").symlink_to(study / "empty")
    os.mkfifo(study / "pipe")
    told: list[Outcome] = []
    with pytest.raises(ExceptionGroup, match="2 of 10 files could not be sealed") as caught:
        images.encrypt_many(study, KEY, tmp_path / "sealed", progress=told.append)
    assert set(failures(caught)) == {"link", "pipe"}
    assert sorted(outcome.number for outcome in told) == list(range(1, 11))
    assert {outcome.total for outcome in told} == {10}
    assert len(tree(tmp_path / "sealed")) == 8
    assert set(Manifest.load(tmp_path / "sealed", KEY).failed) == {"link", "pipe"}
    with pytest.raises(ExceptionGroup) as caught:
        images.verify_many(tmp_path / "sealed", KEY)
    assert set(failures(caught)) == {"link", "pipe"}
    for name in ("link", "pipe"):
        (study / name).unlink()
        (study / name).write_bytes(b"a file now")
    assert len(images.encrypt_many(study, KEY, tmp_path / "sealed")) == 2
    images.verify_many(tmp_path / "sealed", KEY)


@pytest.mark.parametrize(
    "damage", ["flip", "cut", "delete", "swap", "older", "add", "no manifest", "manifest"]
)
def test_what_is_not_as_it_was_is_noticed(tmp_path, study, sealed, damage):
    target = sealed / "a" / "5.dcm.mcrypt"
    data = target.read_bytes()
    expected = "5.dcm.mcrypt"
    if damage == "flip":
        target.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        target.write_bytes(data[:-1])
    elif damage == "delete":
        target.unlink()
    elif damage == "swap":
        other = sealed / "a" / "4.dcm.mcrypt"
        target.write_bytes(other.read_bytes())
        other.write_bytes(data)
    elif damage == "older":  # sealed with the right key, for the same place, but not by this run
        images.encrypt_many(study, KEY, tmp_path / "before")
        target.write_bytes((tmp_path / "before" / "a" / "5.dcm.mcrypt").read_bytes())
    elif damage == "add":
        expected = "6.dcm.mcrypt"
        (sealed / "a" / expected).write_bytes(sealed_files.seal_bytes(b"new", KEY))
    elif damage == "no manifest":
        expected = MANIFEST
        (sealed / MANIFEST).unlink()
    else:
        expected = MANIFEST
        found = bytearray((sealed / MANIFEST).read_bytes())
        found[-1] ^= 1
        (sealed / MANIFEST).write_bytes(found)
    with pytest.raises(ExceptionGroup) as caught:
        images.verify_many(sealed, KEY)
    assert expected in failures(caught)
    try:
        images.decrypt_many(sealed, KEY, tmp_path / "back")
    except ExceptionGroup:
        assert damage != "no manifest"  # such a folder is opened file by file
    else:
        assert damage == "no manifest"
    for name, contents in tree(tmp_path / "back").items():
        assert contents == (study / name).read_bytes()


def remove_manifest(folder: Path) -> type[Exception]:
    (folder / MANIFEST).unlink()
    return FormatError


def forge_manifest(folder: Path) -> type[Exception]:
    Manifest({}, {}).save(folder, [KEY])
    return AuthenticationError


def leave_it_unfinished(folder: Path) -> type[Exception]:
    (folder / MANIFEST).rename(folder / JOURNAL)
    return FormatError


@pytest.mark.parametrize("damage", [remove_manifest, forge_manifest, leave_it_unfinished])
def test_a_sender_vouches_for_the_whole_archive_unless_told_otherwise(tmp_path, study, damage):
    sealed, back = tmp_path / "sealed", tmp_path / "back"
    images.encrypt_many(study, KEY, sealed, signer=ALICE)
    expected = damage(sealed)
    (sealed / "a" / "1.dcm.mcrypt").unlink()
    with pytest.raises(expected):
        images.decrypt_many(sealed, KEY, back, sender=ALICE.recipient)
    assert not back.exists()
    with contextlib.suppress(ExceptionGroup):  # it is told, except where there is none
        images.decrypt_many(sealed, KEY, back, sender=ALICE.recipient, manifest_needed=False)
    assert len(tree(back)) == 7


def test_a_manifest_can_be_asked_for_without_a_sender(tmp_path, sealed):
    (sealed / MANIFEST).unlink()
    with pytest.raises(FormatError, match="no manifest"):
        images.decrypt_many(sealed, KEY, tmp_path / "back", manifest_needed=True)
    assert len(images.decrypt_many(sealed, KEY, tmp_path / "back")) == 8


def test_recipients_come_and_go_without_another_manifest(sealed):
    images.add_recipient(sealed / "empty.mcrypt", KEY, ALICE.recipient)
    images.rewrap(sealed / "a" / "1.dcm.mcrypt", KEY, KEY)
    images.verify_many(sealed, KEY)


def test_a_source_that_changes_while_it_is_read_is_a_failure(tmp_path, study, monkeypatch):
    original = sealed_files.encrypt_into

    def slowly(*args: object, **options: object) -> int:
        (study / "empty").write_bytes(b"longer now")
        return original(*args, **options)

    monkeypatch.setattr(sealed_files, "encrypt_into", slowly)
    with pytest.raises(ExceptionGroup) as caught:
        images.encrypt_many(study, KEY, tmp_path / "sealed", jobs=1)
    assert "changed while it was read" in str(failures(caught)["empty"])
    monkeypatch.undo()
    images.encrypt_many(study, KEY, tmp_path / "sealed")
    images.verify_many(tmp_path / "sealed", KEY)


# ---- again and again -----------------------------------------------------------------------------------


def test_a_second_call_does_nothing_and_then_only_what_is_new(study, sealed):
    before = stamps(sealed)
    assert images.encrypt_many(study, KEY, sealed) == []
    (study / "new").write_bytes(b"new")
    assert [path.name for path in images.encrypt_many(study, KEY, sealed)] == ["new.mcrypt"]
    assert stamps(sealed).items() >= before.items()
    images.verify_many(sealed, KEY)


@pytest.mark.parametrize("opaque", [False, True])
def test_a_changed_source_is_replaced_only_when_asked(tmp_path, study, opaque):
    sealed = tmp_path / "sealed"
    images.encrypt_many(study, KEY, sealed, opaque_names=opaque)
    (study / "empty").write_bytes(b"no longer")
    if not opaque:
        with pytest.raises(ExceptionGroup) as caught:
            images.encrypt_many(study, KEY, sealed)
        assert "has changed" in failures(caught)["empty"]
        images.verify_many(sealed, KEY)
    images.encrypt_many(study, KEY, sealed, opaque_names=opaque, overwrite=True)
    images.verify_many(sealed, KEY)
    assert len(tree(sealed)) == len(tree(study))
    images.decrypt_many(sealed, KEY, tmp_path / "back")
    assert (tmp_path / "back" / "empty").read_bytes() == b"no longer"


def test_a_source_that_is_gone_stays_in_the_archive(tmp_path, study, sealed):
    (study / "empty").unlink()
    (study / "new").write_bytes(b"new")
    images.encrypt_many(study, KEY, sealed)
    images.verify_many(sealed, KEY)
    images.decrypt_many(sealed, KEY, tmp_path / "back")
    assert (tmp_path / "back" / "empty").read_bytes() == b""


def test_a_finished_archive_is_continued_only_with_a_key_that_opens_it(tmp_path, study):
    sealed = tmp_path / "sealed"
    images.encrypt_many(study, ALICE.recipient, sealed)
    (study / "new").write_bytes(b"new")
    before = tree(sealed)
    with pytest.raises(FileExistsError, match="finished archive"):
        images.encrypt_many(study, ALICE.recipient, sealed)
    assert tree(sealed) == before
    assert not (sealed / JOURNAL).exists()
    assert len(images.encrypt_many(study, ALICE, sealed)) == 1
    images.verify_many(sealed, ALICE)


@pytest.mark.parametrize(
    "other", [[KEY, ALICE.recipient], SecretKey.generate(), [ALICE.recipient], Passphrase("six words")]
)
def test_a_finished_archive_keeps_its_recipients_until_they_are_rotated(tmp_path, study, sealed, other):
    (study / "new").write_bytes(b"new")
    before = {**tree(sealed), MANIFEST: (sealed / MANIFEST).read_bytes()}
    with pytest.raises(FileExistsError, match="finished archive"):
        images.encrypt_many(study, other, sealed)
    assert {**tree(sealed), MANIFEST: (sealed / MANIFEST).read_bytes()} == before
    assert not (sealed / JOURNAL).exists()


def test_a_rotated_archive_is_continued_for_its_new_recipients(study, sealed):
    (study / "new").write_bytes(b"new")
    with pytest.raises(FileExistsError, match="rotate"):
        images.encrypt_many(study, [KEY, ALICE.recipient], sealed)
    images.rotate(sealed, KEY, [KEY, ALICE.recipient])
    assert len(images.encrypt_many(study, [ALICE.recipient, KEY], sealed)) == 1
    images.verify_many(sealed, ALICE)


def test_a_strangers_file_in_the_way_stays(tmp_path, study):
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / "empty.mcrypt").write_bytes(b"precious")
    with pytest.raises(ExceptionGroup) as caught:
        images.encrypt_many(study, KEY, tmp_path / "sealed")
    assert set(failures(caught)) == {"empty"}
    assert (tmp_path / "sealed" / "empty.mcrypt").read_bytes() == b"precious"


@pytest.mark.parametrize("begun", [False, True])
def test_nothing_is_sealed_through_a_link_in_the_archive(tmp_path, study, begun):
    sealed, elsewhere = tmp_path / "sealed", tmp_path / "elsewhere"
    if begun:  # a folder of a finished archive becomes a link to where it was moved
        images.encrypt_many(study, KEY, sealed)
        (sealed / "a").rename(elsewhere)
        (study / "a" / "new.dcm").write_bytes(b"new")
    else:
        sealed.mkdir()
        (elsewhere / "b").mkdir(parents=True)
    (sealed / "a").symlink_to(elsewhere, target_is_directory=True)
    before = tree(elsewhere)
    with pytest.raises(ExceptionGroup) as caught:
        images.encrypt_many(study, KEY, sealed, overwrite=True)
    assert {"0.dcm", "5.dcm"} <= set(failures(caught))
    assert all("link" in text for text in failures(caught).values())
    assert tree(elsewhere) == before


def test_restoring_goes_on_where_it_stopped(tmp_path, study, sealed):
    back = tmp_path / "back"
    images.decrypt_many(sealed, KEY, back)
    (back / "a" / "1.dcm").unlink()
    (back / "a" / "2.dcm").write_bytes(b"something else")
    before = stamps(back)
    with pytest.raises(ExceptionGroup) as caught:
        images.decrypt_many(sealed, KEY, back)
    assert set(failures(caught)) == {"2.dcm.mcrypt"}
    assert stamps(back).items() >= before.items()
    assert (back / "a" / "1.dcm").read_bytes() == (study / "a" / "1.dcm").read_bytes()
    images.decrypt_many(sealed, KEY, back, overwrite=True)
    assert tree(back) == tree(study)


# ---- interrupted ---------------------------------------------------------------------------------------


class CrashError(BaseException):
    """The power went: nothing cleans up after it, and nothing catches it."""


CALLS = [(os, "fsync"), (os, "replace"), (os, "link"), (os, "unlink"), (Path, "unlink")]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(
    where=st.sampled_from(CALLS),
    number=st.integers(1, 30),
    after=st.booleans(),
    opaque=st.booleans(),
    key=st.sampled_from([KEY, ALICE.recipient]),
)
def test_a_crash_at_any_step_is_made_good_by_the_next_call(
    tmp_path_factory, where, number, after, opaque, key
):
    base = tmp_path_factory.mktemp("crash")
    study, out = base / "study", base / "sealed"
    (study / "a").mkdir(parents=True)
    for name in range(4):
        (study / "a" / f"{name}.dcm").write_bytes(bytes([name]) * 100)
    owner, name = where
    original, calls = getattr(owner, name), 0

    def crashing(*args: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number and not after:
            raise CrashError
        result = original(*args, **options)
        if calls == number:
            raise CrashError
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, crashing)
        with contextlib.suppress(CrashError):
            images.encrypt_many(study, key, out, opaque_names=opaque, jobs=1)
    finished = (out / MANIFEST).exists() and not (out / JOURNAL).exists()
    before = stamps(out)
    if not finished:
        images.encrypt_many(study, key, out, opaque_names=opaque, jobs=1)
    opener = ALICE if key is not KEY else KEY
    for path in out.rglob(".*.partial"):  # what a crash leaves beside the files
        path.unlink()
    images.verify_many(out, opener)
    images.decrypt_many(out, opener, base / "back")
    assert tree(base / "back") == tree(study)
    again = {path: stamp for path, stamp in stamps(out).items() if before.get(path, stamp) != stamp}
    assert len(again) <= 2  # only what was in flight is done again


def test_a_killed_run_goes_on_where_it_stopped(tmp_path, study):
    for number in range(40):
        (study / f"{number}.bin").write_bytes(os.urandom(1000))
    script = (
        "import sys\n"
        "from medcrypt import SecretKey, images\n"
        "from medcrypt.images import archive\n"
        "key = SecretKey(bytes(range(32)))\n"
        "for number, _ in enumerate(archive.encrypting(sys.argv[1], key, sys.argv[2], jobs=2)):\n"
        "    if number == 20:\n"
        "        print('twenty', flush=True)\n"
        "        sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(study), str(tmp_path / "sealed")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as run:
        assert run.stdout.readline() == b"twenty\n"
        run.send_signal(signal.SIGKILL)
    sealed = tmp_path / "sealed"
    assert not (sealed / MANIFEST).exists()
    with pytest.raises(ExceptionGroup) as caught:
        images.verify_many(sealed, KEY)
    assert "not finished" in failures(caught)[JOURNAL]
    before = stamps(sealed)
    assert len(before) >= 20
    told: list[Outcome] = []
    images.encrypt_many(study, KEY, sealed, progress=told.append)
    assert sum(outcome.skipped for outcome in told) >= 20
    for path in sealed.rglob(".*.partial"):
        path.unlink()
    kept = sum(
        stamps(sealed)[name] == stamp for name, stamp in before.items() if not name.endswith(".partial")
    )
    assert kept >= 20
    images.verify_many(sealed, KEY)
    assert len(tree(sealed)) == len(tree(study))


def test_a_run_that_nobody_takes_to_its_end_counts_as_interrupted(tmp_path, study):
    outcomes = archive.encrypting(study, KEY, tmp_path / "sealed", jobs=1)
    next(outcomes)
    outcomes.close()
    assert (tmp_path / "sealed" / JOURNAL).exists()
    assert images.encrypt_many(study, KEY, tmp_path / "sealed")
    images.verify_many(tmp_path / "sealed", KEY)


def test_other_recipients_seal_what_an_unfinished_run_has_sealed_anew(tmp_path, study):
    outcomes = archive.encrypting(study, KEY, tmp_path / "sealed", jobs=1)
    next(outcomes)
    outcomes.close()
    images.encrypt_many(study, [KEY, ALICE.recipient], tmp_path / "sealed")
    images.verify_many(tmp_path / "sealed", ALICE)


def test_another_passphrase_seals_what_an_unfinished_run_has_sealed_anew(tmp_path, study):
    outcomes = archive.encrypting(study, Passphrase("mistyped"), tmp_path / "sealed", jobs=1, in_flight=1)
    next(outcomes)
    outcomes.close()
    images.encrypt_many(study, Passphrase("meant"), tmp_path / "sealed")
    images.verify_many(tmp_path / "sealed", Passphrase("meant"))


def test_a_journal_is_not_believed_about_contents(tmp_path, study):
    outcomes = archive.encrypting(study, ALICE.recipient, tmp_path / "sealed", jobs=1, in_flight=1)
    done = next(outcomes)
    outcomes.close()
    found = done.source.stat()
    forged = b"!" * found.st_size  # the journal's keys are as public as Alice's recipient
    done.source.write_bytes(forged)
    os.utime(done.source, ns=(found.st_atime_ns, found.st_mtime_ns))
    images.encrypt_many(study, ALICE.recipient, tmp_path / "sealed")
    images.decrypt_many(tmp_path / "sealed", ALICE, tmp_path / "opened")
    assert (tmp_path / "opened" / done.source.relative_to(study)).read_bytes() == forged


def test_what_a_killed_run_has_left_half_written_goes_away(tmp_path, study):
    leftover = tmp_path / "sealed" / ".0123456789abcdef0123456789abcdef.partial"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    images.encrypt_many(study, KEY, tmp_path / "sealed")
    assert not leftover.exists()
    images.verify_many(tmp_path / "sealed", KEY)


def test_long_names_in_any_script_are_no_obstacle(tmp_path):
    folder = tmp_path / "study"
    deep = folder.joinpath(*["ж" * 100] * 12)
    deep.mkdir(parents=True)
    (deep / "report.txt").write_bytes(b"no findings")
    images.encrypt_many(folder, KEY, tmp_path / "s")
    images.decrypt_many(tmp_path / "s", KEY, tmp_path / "opened")
    assert tree(tmp_path / "opened") == tree(folder)


def test_a_source_that_changes_or_goes_between_two_runs_is_told(tmp_path, study):
    outcomes = archive.encrypting(study, KEY, tmp_path / "sealed", jobs=1, in_flight=1)
    first = next(outcomes)
    outcomes.close()
    first.source.unlink()
    with pytest.raises(ExceptionGroup) as caught:
        images.encrypt_many(study, KEY, tmp_path / "sealed")
    assert "has changed or gone" in failures(caught)[first.out.name]
    assert first.out.exists()  # perhaps the only copy


def test_a_run_that_ends_while_another_waits_for_its_journal_takes_it_along(tmp_path, study, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    original, calls = fcntl.flock, []

    def slow(*args: object) -> None:
        calls.append(args)
        if len(calls) == 1:  # the other run ends between our opening of its journal and our lock
            (study / "late").write_bytes(b"late")
            images.encrypt_many(study, KEY, tmp_path / "sealed")
        original(*args)

    monkeypatch.setattr(fcntl, "flock", slow)
    (study / "new").write_bytes(b"new")
    assert images.encrypt_many(study, KEY, tmp_path / "sealed") == []
    assert not (tmp_path / "sealed" / JOURNAL).exists()
    images.verify_many(tmp_path / "sealed", KEY)


def test_a_journal_that_cannot_be_written_is_a_failure_of_one_file(tmp_path, study, monkeypatch):
    class Full(manifest_module.FileIO):
        """A disk that is full for a moment: half of a line gets through, then an error."""

        failing = ""

        def write(self, data: bytes) -> int:
            if b'{"done"' in data[:7] and not self.failing:
                type(self).failing = "now"
                return super().write(data[:9])
            if self.failing == "now":
                type(self).failing = "over"
                raise OSError(errno.ENOSPC, "no space left on device")
            return super().write(data)

    monkeypatch.setattr(manifest_module, "FileIO", Full)
    sealed = tmp_path / "sealed"
    outcomes = archive.encrypting(study, KEY, sealed, jobs=1, in_flight=1)
    told = [next(outcomes) for _ in range(4)]
    assert [type(outcome.error) for outcome in told].count(OSError) == 1
    outcomes.close()
    monkeypatch.undo()
    again: list[Outcome] = []
    images.encrypt_many(study, KEY, sealed, progress=again.append)  # the journal is not damaged
    assert sum(outcome.skipped for outcome in again) == 3
    images.verify_many(sealed, KEY)


def test_what_was_sealed_is_in_the_manifest_even_if_the_journal_could_not_say_so(
    tmp_path, study, monkeypatch
):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    monkeypatch.setattr(manifest_module.Journal, "done", full)
    with pytest.raises(ExceptionGroup, match="8 of 8"):
        images.encrypt_many(study, KEY, tmp_path / "sealed")
    images.verify_many(tmp_path / "sealed", KEY)


def test_two_runs_at_a_time_are_refused(tmp_path, study):
    outcomes = archive.encrypting(study, KEY, tmp_path / "sealed", jobs=1)
    next(outcomes)
    with pytest.raises(BlockingIOError, match="another run"):
        images.encrypt_many(study, KEY, tmp_path / "sealed")
    assert len(list(outcomes)) == 7
    images.verify_many(tmp_path / "sealed", KEY)


@settings(max_examples=20)
@given(cut=st.integers(0, 2000))
def test_a_journal_that_was_cut_anywhere_is_gone_on_with(tmp_path_factory, cut):
    base = tmp_path_factory.mktemp("cut")
    (base / "study").mkdir()
    for name in range(3):
        (base / "study" / f"{name}").write_bytes(bytes([name]))
    outcomes = archive.encrypting(base / "study", KEY, base / "sealed", jobs=1, in_flight=1)
    next(outcomes)
    next(outcomes)
    outcomes.close()
    journal = base / "sealed" / JOURNAL
    journal.write_bytes(journal.read_bytes()[:cut])
    outcomes = list(archive.encrypting(base / "study", KEY, base / "sealed"))
    if any(
        outcome.error for outcome in outcomes
    ):  # what it no longer knows to be its own, it does not replace
        assert {type(outcome.error) for outcome in outcomes} <= {FileExistsError, type(None)}
        images.encrypt_many(base / "study", KEY, base / "sealed", overwrite=True)
    images.verify_many(base / "sealed", KEY)


# ---- executors -----------------------------------------------------------------------------------------


class Watched(Executor):
    """Threads that count how much is out at a time."""

    def __init__(self) -> None:
        self.pool, self.lock = ThreadPoolExecutor(4), threading.Lock()
        self.out = self.most = 0

    def submit(self, work: object, /, *args: object, **options: object) -> Future:
        with self.lock:
            self.out += 1
            self.most = max(self.most, self.out)
        future = self.pool.submit(work, *args, **options)
        future.add_done_callback(self.back)
        return future

    def back(self, _future: Future) -> None:
        with self.lock:
            self.out -= 1


@pytest.mark.parametrize("in_flight", [1, 3])
def test_no_more_than_a_few_files_are_in_flight(tmp_path, study, in_flight):
    watched = Watched()
    with watched.pool:
        images.encrypt_many(study, KEY, tmp_path / "sealed", executor=watched, in_flight=in_flight)
    assert 1 <= watched.most <= in_flight
    images.verify_many(tmp_path / "sealed", KEY)


@pytest.fixture(scope="module")
def processes() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


@pytest.mark.parametrize("kind", ["path", "file", "variable", "function", "recipient"])
def test_processes_find_the_key_by_its_reference(tmp_path, study, monkeypatch, kind):
    KEY.save(tmp_path / "key")
    KEY.save(tmp_path / "locked", passphrase="six words")
    line = (tmp_path / "key").read_text().split()[-1]
    monkeypatch.setenv("WARD_KEY", line)
    monkeypatch.setenv("WARD_PASSPHRASE", "six words")
    key = {
        "path": tmp_path / "key",
        "file": KeyFile(tmp_path / "locked", passphrase_variable="WARD_PASSPHRASE"),
        "variable": KeyVariable("WARD_KEY"),
        "function": key_of_this_module,
        "recipient": ALICE.recipient,
    }[kind]
    opener = ALICE if kind == "recipient" else KEY
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        images.encrypt_many(study, key, tmp_path / "sealed", executor=pool)
        if kind != "recipient":
            images.verify_many(tmp_path / "sealed", key, executor=pool)
            images.decrypt_many(tmp_path / "sealed", key, tmp_path / "back", executor=pool)
            assert tree(tmp_path / "back") == tree(study)
    images.verify_many(tmp_path / "sealed", opener)


def test_spawned_processes_work_too(tmp_path, study, processes):
    KEY.save(tmp_path / "key")
    images.encrypt_many(study, tmp_path / "key", tmp_path / "sealed", executor=processes)
    images.verify_many(tmp_path / "sealed", str(tmp_path / "key"), executor=processes)


def test_a_secret_never_travels(tmp_path, study, processes):
    for key, signer in ((KEY, None), (ALICE.recipient, BOB)):
        out = tmp_path / f"sealed-{type(key).__name__}"
        with pytest.raises(TypeError, match="cannot be pickled"):
            images.encrypt_many(study, key, out, signer=signer, executor=processes)
        assert tree(out) == {}


def test_an_error_in_a_worker_is_told_like_any_other(tmp_path, study, processes):
    KEY.save(tmp_path / "key")
    images.encrypt_many(study, tmp_path / "key", tmp_path / "sealed", executor=processes)
    target = tmp_path / "sealed" / "a" / "1.dcm.mcrypt"
    target.write_bytes(target.read_bytes()[:-1])
    with pytest.raises(ExceptionGroup) as caught:
        images.verify_many(tmp_path / "sealed", tmp_path / "key", executor=processes)
    assert set(failures(caught)) == {"1.dcm.mcrypt"}


def stop_here(_file: object, _name: str) -> dict[str, str]:
    os._exit(1)


def test_a_worker_that_dies_ends_the_run_and_the_next_goes_on(tmp_path, study):
    KEY.save(tmp_path / "key")
    with (
        ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool,
        pytest.raises(Exception, match="abruptly"),
    ):
        images.encrypt_many(study, tmp_path / "key", tmp_path / "sealed", executor=pool, describe=stop_here)
    images.encrypt_many(study, KEY, tmp_path / "sealed")
    images.verify_many(tmp_path / "sealed", KEY)


# ---- arguments -----------------------------------------------------------------------------------------


def test_wrong_arguments_are_refused_before_anything_is_written(tmp_path, study):
    wrong = [
        {"key": []},
        {"key": [KEY, Passphrase("x")]},
        {"key": 7},
        {"key": lambda: None},
        {"key": KEY, "signer": KEY},
        {"key": KEY, "out": study / "inside"},
        {"key": KEY, "folder": tmp_path / "nowhere"},
    ]
    for options in wrong:
        with pytest.raises((TypeError, ValueError, OSError)):
            images.encrypt_many(**{"folder": study, "out": tmp_path / "sealed", **options})
        assert not (tmp_path / "sealed").exists()
    for options in ({"jobs": 0}, {"in_flight": 0}, {"jobs": 1, "executor": ThreadPoolExecutor(1)}):
        with pytest.raises(ValueError, match="jobs"):
            images.encrypt_many(study, KEY, tmp_path / "sealed", **options)
    with pytest.raises(ValueError, match="only seals"):
        images.decrypt_many(study, ALICE.recipient, tmp_path / "back")


# ---- manifests that lie --------------------------------------------------------------------------------


GOOD = {
    "path": "a/1.dcm",
    "out": "a/1.dcm.mcrypt",
    "size": 3,
    "mtime_ns": 1,
    "sha256": "0" * 64,
    "sealed_size": 900,
    "sealed_sha256": "f" * 64,
}
HEAD = {"failed": 0, "files": 1, "medcrypt": "manifest", "version": 1}


def lines(*values: object) -> bytes:
    return b"".join(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n" for value in values
    )


def test_the_good_manifest_is_read():
    assert Manifest.from_bytes(lines(HEAD, GOOD)).entries == {"a/1.dcm": Entry(**GOOD)}
    failed = lines({**HEAD, "failed": 1}, GOOD, {"path": "x", "error": "no"})
    assert Manifest.from_bytes(failed).failed == {"x": "no"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"[]\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        lines(HEAD),
        lines(HEAD, GOOD, GOOD),
        lines({**HEAD, "files": 2}, GOOD, GOOD),
        lines({**HEAD, "files": -1}, GOOD),
        lines({**HEAD, "files": True}, GOOD),
        lines({**HEAD, "files": "1"}, GOOD),
        lines({**HEAD, "version": 2}, GOOD),
        lines({**HEAD, "medcrypt": "journal"}, GOOD),
        lines({**HEAD, "more": 1}, GOOD),
        lines({**HEAD, "failed": 1}, GOOD),
        lines(HEAD, GOOD)[:-1],
        lines(HEAD, GOOD) + b"\n",
        lines(HEAD, GOOD).replace(b'":', b'": '),
        lines(HEAD, {**GOOD, "more": 1}),
        lines(HEAD, {key: value for key, value in GOOD.items() if key != "size"}),
        *(
            lines(HEAD, {**GOOD, field: value})
            for field in ("path", "out")
            for value in (
                "",
                ".",
                "..",
                "/etc/passwd",
                "../x",
                "a/../x",
                "a//b",
                "a/",
                "a\0b",
                7,
                None,
                ["a"],
            )
        ),
        *(
            lines(HEAD, {**GOOD, field: value})
            for field in ("size", "mtime_ns", "sealed_size")
            for value in ("1", 1.5, None, True)
        ),
        lines(HEAD, {**GOOD, "size": -1}),
        lines(HEAD, {**GOOD, "sealed_size": 0}),
        *(
            lines(HEAD, {**GOOD, field: value})
            for field in ("sha256", "sealed_sha256")
            for value in ("", "0" * 63, "G" * 64, "F" * 64, 7, None)
        ),
        lines({**HEAD, "files": 2}, GOOD, {**GOOD, "path": "b"}),
        lines({**HEAD, "files": 2}, GOOD, {**GOOD, "out": "b"}),
    ],
)
def test_a_manifest_that_lies_is_refused(data):
    with pytest.raises(FormatError):
        Manifest.from_bytes(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_manifest_or_a_format_error(data):
    try:
        manifest = Manifest.from_bytes(data)
    except FormatError:
        return
    assert manifest.to_bytes() == data


def test_a_file_sealed_as_something_else_is_no_manifest(sealed):
    (sealed / MANIFEST).write_bytes(sealed_files.seal_bytes(lines(HEAD, GOOD), KEY))
    with pytest.raises(FormatError, match="some other sealed file"):
        Manifest.load(sealed, KEY)
    (sealed / MANIFEST).write_bytes((sealed / "empty.mcrypt").read_bytes())
    with pytest.raises(FormatError):
        Manifest.load(sealed, KEY)
    with pytest.raises(AuthenticationError):
        Manifest.load(sealed, SecretKey.generate())


def test_a_manifest_cannot_have_a_file_written_elsewhere(tmp_path, sealed):
    manifest = Manifest.load(sealed, KEY)
    hostile = {**manifest.entries}
    moved = hostile.pop("a/1.dcm")
    hostile["elsewhere"] = Entry(**{**vars_of(moved), "path": "elsewhere"})
    Manifest(hostile, {}).save(sealed, [KEY])
    with pytest.raises(ExceptionGroup) as caught:
        images.decrypt_many(sealed, KEY, tmp_path / "back")
    assert "another name" in failures(caught)["1.dcm.mcrypt"]
    assert not (tmp_path / "back" / "elsewhere").exists()


def vars_of(entry: Entry) -> dict[str, object]:
    return {name: getattr(entry, name) for name in Entry.__slots__}


# ---- journals ------------------------------------------------------------------------------------------


def test_a_journal_tells_no_names_and_no_digests(tmp_path, study):
    outcomes = archive.encrypting(study, ALICE.recipient, tmp_path / "s", opaque_names=True, jobs=1)
    for _ in range(3):
        next(outcomes)
    outcomes.close()
    text = (tmp_path / "s" / JOURNAL).read_text("ascii")
    assert ".dcm" not in text
    assert "txt" not in text
    assert "sha256" not in text
    assert "mtime" not in text


JOURNAL_HEAD = {"medcrypt": "journal", "version": 1, "continues": False, "salt": "00" * 32}


@pytest.mark.parametrize(
    "data",
    [
        b"no json\n",
        b"[]\n",
        lines({**JOURNAL_HEAD, "version": 2}),
        lines({**JOURNAL_HEAD, "salt": "00" * 31}),
        lines({**JOURNAL_HEAD, "salt": "zz" * 32}),
        lines({**JOURNAL_HEAD, "continues": 1}),
        lines(JOURNAL_HEAD, {"begin": "00", "out": "../x"}),
        lines(JOURNAL_HEAD, {"begin": "00", "out": "/etc/passwd"}),
        lines(JOURNAL_HEAD, {"begin": 7, "out": "x"}),
        lines(JOURNAL_HEAD, {"done": "00", "entry": ""}),
        lines(JOURNAL_HEAD, {"other": 1}),
    ],
)
def test_a_damaged_journal_is_refused(tmp_path, study, data):
    (tmp_path / "sealed").mkdir()
    (tmp_path / "sealed" / JOURNAL).write_bytes(data)
    with pytest.raises(FormatError, match=r"journal|plain name"):
        images.encrypt_many(study, KEY, tmp_path / "sealed")
    assert tree(tmp_path / "sealed") == {}


def test_an_entry_that_somebody_wrote_into_the_journal_does_not_count(tmp_path, study):
    outcomes = archive.encrypting(study, KEY, tmp_path / "sealed", jobs=1, in_flight=1)
    for _ in range(3):
        next(outcomes)
    outcomes.close()
    journal = tmp_path / "sealed" / JOURNAL
    found = [json.loads(line) for line in journal.read_bytes().splitlines()]
    done = [line for line in found if "done" in line]
    done[0]["entry"], done[1]["entry"] = done[1]["entry"], done[0]["entry"]
    journal.write_bytes(lines(*found))
    images.encrypt_many(study, KEY, tmp_path / "sealed")
    images.verify_many(tmp_path / "sealed", KEY)


def test_a_journal_is_not_written_through_a_link(tmp_path, study):
    (tmp_path / "sealed").mkdir()
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "sealed" / JOURNAL).symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="symbolic"):
        images.encrypt_many(study, KEY, tmp_path / "sealed")
    assert (tmp_path / "target").read_bytes() == b"precious"
