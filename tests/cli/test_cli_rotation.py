"""medcrypt rotate, recipients and the archives of encrypt and verify, as a person types them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from medcrypt import Identity, SecretKey
from medcrypt.cli import main
from medcrypt.images.sealed_files import JOURNAL, MANIFEST


@pytest.fixture(autouse=True)
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with keys and a study."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDCRYPT_PASSPHRASE", raising=False)
    SecretKey(bytes(32)).save("old.key")
    SecretKey(bytes([1]) * 32).save("new.key")
    Identity(bytes(range(64))).save("alice.key")
    Identity(bytes(range(64)), post_quantum=True).save("hybrid.key")
    Path("study/a").mkdir(parents=True)
    for number in range(3):
        Path(f"study/a/{number}.dcm").write_bytes(bytes([number]) * 20000)
    Path("scan.bin").write_bytes(b"scan")
    return tmp_path


def recipient(name: str) -> str:
    return str(Identity.load(name).recipient)


def opens(path: str, key: str) -> bool:
    return main(["verify", path, "-i", key]) == 0


@pytest.mark.parametrize("options", [[], ["--reencrypt"]])
@pytest.mark.parametrize("jobs", [[], ["--jobs", "3"]])
def test_a_folder_and_a_file_get_a_new_key(options, jobs, capsys):
    assert main(["encrypt", "study", "scan.bin", "-i", "old.key", "-o", "s", *jobs]) == 0
    inputs = ["s/study.mcrypt", "s/scan.bin.mcrypt"]
    assert main(["rotate", *inputs, "--from", "old.key", "-i", "new.key", *options]) == 0
    assert main(["rotate", *inputs, "--from", "old.key", "-i", "new.key", *options]) == 0  # nothing to do
    for path in ("s", *inputs):
        assert opens(path, "new.key")
        assert not opens(path, "old.key")
    assert main(["rotate", *inputs, "--from", "old.key", "-i", "alice.key", *options]) == 1
    assert "were not given new keys" in capsys.readouterr().err


def test_a_passphrase_gives_way_to_another_and_to_a_hybrid_identity(monkeypatch):
    for name in ("one", "two"):
        Path(name).touch(mode=0o600)
        Path(name).write_text(f"{name} passphrase\n")
    assert main(["encrypt", "scan.bin", "-p", "--passphrase-file", "one"]) == 0
    rotate = ["rotate", "scan.bin.mcrypt", "--from-passphrase-file"]
    assert main([*rotate, "one", "-p", "--passphrase-file", "two"]) == 0
    assert main([*rotate, "one", "-i", "hybrid.key"]) == 1
    assert main([*rotate, "two", "-i", "hybrid.key", "--reencrypt"]) == 0
    assert opens("scan.bin.mcrypt", "hybrid.key")


def test_recipients_come_and_go(capsys):
    assert main(["encrypt", "study", "-i", "old.key", "-o", "s"]) == 0
    change = ["recipients", "s", "-i", "old.key", "-i", "alice.key"]
    assert main([*change, "--add", recipient("alice.key")]) == 0
    assert opens("s", "alice.key")
    assert opens("s", "old.key")
    fingerprint = SecretKey.load("old.key").fingerprint.hex()
    for _ in range(2):  # as after an interruption
        assert main([*change, "--remove", fingerprint]) == 0
    assert not opens("s", "old.key")
    assert opens("s", "alice.key")
    assert main([*change, "--remove", recipient("alice.key")]) == 1
    assert "only recipient" in capsys.readouterr().err
    assert opens("s", "alice.key")


@pytest.mark.parametrize(
    "arguments",
    [
        ["rotate", "scan.bin", "-i", "new.key"],
        ["rotate", "scan.bin", "--from", "old.key"],
        ["rotate", "scan.bin", "--from", "old.key", "-i", "new.key", "--sign", "alice.key"],
        ["rotate", "scan.bin", "--from", "old.key", "-i", "new.key", "--any-sender"],
        [
            *[
                "rotate",
                "scan.bin",
                "--from",
                "old.key",
                "-i",
                "new.key",
                "--reencrypt",
                "--sign",
                "alice.key",
            ],
            *["--any-sender", "--sender", str(Identity(bytes(range(64))).recipient)],
        ],
        ["recipients", "scan.bin", "-i", "old.key"],
        ["recipients", "scan.bin", "--add", "x", "-i", "old.key"],
        ["recipients", "scan.bin", "--remove", "x", "-i", "old.key"],
        ["encrypt", "study", "-i", "old.key", "--jobs", "0"],
        ["encrypt", "study", "-i", "old.key", "--jobs", "many"],
        ["keygen", "--secret-key", "--post-quantum", "-o", "k"],
    ],
)
def test_what_makes_no_sense_is_a_usage_error(arguments):
    assert main(arguments) == 2
    assert Path("scan.bin").read_bytes() == b"scan"


def test_a_post_quantum_identity_is_made_and_used(capsys):
    assert main(["keygen", "--post-quantum", "-o", "pq.key"]) == 0
    line = capsys.readouterr().out.strip()
    assert line.startswith("medcrypt-hybrid-recipient-1:")
    assert main(["encrypt", "scan.bin", "-r", line]) == 0
    assert opens("scan.bin.mcrypt", "pq.key")
    assert main(["keygen", "-y", "pq.key"]) == 0
    assert line in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["delete", "replace", "add", "manifest", "no manifest"])
def test_verify_notices_what_is_missing_replaced_or_added(damage, capsys):
    assert main(["encrypt", "study", "-i", "old.key", "-o", "s"]) == 0
    assert opens("s", "old.key")
    sealed = Path("s/a/1.dcm.mcrypt")
    if damage == "delete":
        sealed.unlink()
    elif damage == "replace":
        sealed.write_bytes(Path("s/a/2.dcm.mcrypt").read_bytes())
    elif damage == "add":
        Path("s/a/3.dcm.mcrypt").write_bytes(sealed.read_bytes())
    elif damage == "manifest":
        Path("s", MANIFEST).write_bytes(sealed.read_bytes())
    else:
        Path("s", MANIFEST).unlink()
        assert main(["verify", "s", "-i", "old.key", "--no-manifest"]) == 0
    capsys.readouterr()
    assert main(["verify", "s", "-i", "old.key"]) == 1
    assert "manifest" in capsys.readouterr().err


def test_rotate_signs_only_what_its_signer_has_made_unless_told_otherwise():
    assert main(["encrypt", "study", "-i", "old.key", "-o", "s"]) == 0
    rotate = ["rotate", "s", "--from", "old.key", "-i", "new.key", "--reencrypt", "--sign", "alice.key"]
    assert main([*rotate, "--sender", recipient("hybrid.key")]) == 1
    assert main(rotate) == 1
    assert opens("s", "old.key")
    assert main([*rotate, "--any-sender"]) == 0
    assert main(["verify", "s", "-i", "new.key", "--sender", recipient("alice.key")]) == 0


def test_a_sender_needs_a_manifest_unless_told_otherwise(capsys):
    assert main(["encrypt", "study", "-i", "old.key", "-o", "s", "--sign", "alice.key"]) == 0
    Path("s", MANIFEST).unlink()
    decrypt = ["decrypt", "s", "-i", "old.key", "-o", "back", "--sender", recipient("alice.key")]
    assert main(decrypt) == 1
    assert "no manifest" in capsys.readouterr().err
    assert not Path("back").exists()
    assert main([*decrypt, "--no-manifest"]) == 0
    assert Path("back/a/1.dcm").read_bytes() == Path("study/a/1.dcm").read_bytes()


def test_several_archives_in_a_folder_come_back_as_they_were():
    Path("other").mkdir()
    Path("other/note").write_bytes(b"note")
    assert main(["encrypt", "study", "other", "scan.bin", "-i", "old.key", "-o", "s"]) == 0
    assert main(["decrypt", "s", "-i", "old.key", "-o", "back"]) == 0
    found = {path.relative_to("back").as_posix() for path in Path("back").rglob("*") if path.is_file()}
    assert found == {"study/a/0.dcm", "study/a/1.dcm", "study/a/2.dcm", "other/note", "scan.bin"}
    Path("s/other.mcrypt/note.mcrypt").unlink()  # each manifest is heeded
    assert main(["decrypt", "s", "-i", "old.key", "-o", "again"]) == 1


def test_an_interrupted_command_goes_on_when_it_is_given_again(tmp_path, capsys):
    for number in range(30):
        Path(f"study/{number}.bin").write_bytes(os.urandom(1000))
    script = (
        "import os, sys\n"
        "from medcrypt.cli import main\n"
        "fsync, calls = os.fsync, []\n"
        "def slow(descriptor):\n"
        "    calls.append(1)\n"
        "    if len(calls) == 60:\n"
        "        print('busy', flush=True)\n"
        "        sys.stdin.read()\n"
        "    fsync(descriptor)\n"
        "os.fsync = slow\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = ["encrypt", "study", "-i", "old.key", "-o", "s"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as run:
        assert run.stdout.readline() == b"busy\n"
        run.send_signal(signal.SIGKILL)
    assert main(["verify", "s", "-i", "old.key"]) == 1
    assert "not finished" in capsys.readouterr().err
    for partial in Path("s").rglob(".*.partial"):
        partial.unlink()
    before = {path: path.stat().st_ino for path in Path("s").rglob("*.mcrypt")}
    assert len(before) > 5
    assert main([*command, "-v"]) == 0
    assert not Path("s", JOURNAL).exists()
    assert capsys.readouterr().err.count(" -> ") == 33 - sum(
        path.stat().st_ino == number for path, number in before.items()
    )
    assert opens("s", "old.key")


def test_a_finished_archive_is_continued_with_an_identity_but_not_with_its_recipient(capsys):
    assert main(["encrypt", "study", "-i", "alice.key", "-o", "s"]) == 0
    Path("study/new").write_bytes(b"new")
    assert main(["encrypt", "study", "-r", recipient("alice.key"), "-o", "s"]) == 1
    assert "finished archive" in capsys.readouterr().err
    assert main(["encrypt", "study", "-i", "alice.key", "-o", "s", "-v"]) == 0
    assert capsys.readouterr().err == "study/new -> s/new.mcrypt\n"
    assert opens("s", "alice.key")


def test_two_commands_at_a_time_are_refused(capsys):
    from medcrypt.images import archive

    outcomes = archive.encrypting("study", SecretKey.load("old.key"), "s", jobs=1)
    next(outcomes)
    assert main(["encrypt", "study", "-i", "old.key", "-o", "s"]) == 1
    assert "another run" in capsys.readouterr().err
    list(outcomes)
    assert opens("s", "old.key")


def test_the_manifest_can_be_read_like_any_sealed_file(capsys):
    assert main(["encrypt", "study", "-i", "old.key", "-o", "s"]) == 0
    assert main(["decrypt", f"s/{MANIFEST}", "-i", "old.key", "-o", "list"]) == 0
    head, *files = [json.loads(line) for line in Path("list").read_text().splitlines()]
    assert (head["files"], len(files)) == (3, 3)
