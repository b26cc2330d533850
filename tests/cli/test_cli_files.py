"""medcrypt encrypt, decrypt, verify and inspect: what a person types, and everything that can go wrong."""

import contextlib
import io
import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom.data
import pytest

from medcrypt import Identity, SecretKey, images
from medcrypt.cli import main
from medcrypt.images import sealed_files as files
from medcrypt.images.sealed_files import SealedFile

CT = Path(pydicom.data.__file__).parent / "test_files" / "CT_small.dcm"
SCAN = bytes(range(256)) * 200

Stdin = Callable[[bytes], None]


@pytest.fixture
def ward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with an identity, its recipient, a secret key, a file and a folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDCRYPT_PASSPHRASE", raising=False)
    identity = Identity.from_bytes(bytes(range(64)))
    identity.save("me.key")
    Path("me.pub").write_text(f"# the ward\n\n{identity.recipient}\n")
    SecretKey.from_bytes(bytes(range(32))).save("ward.key")
    SecretKey.generate().save("other.key")
    Path("scan.bin").write_bytes(SCAN)
    Path("study/a").mkdir(parents=True)
    Path("study/a/1.dcm").write_bytes(CT.read_bytes())
    Path("study/note – ü.txt").write_bytes(b"hello")
    Path("study/empty").write_bytes(b"")
    return tmp_path


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Stdin:
    """Feed bytes to the standard input."""
    return lambda data: monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def tree(folder: str) -> dict[str, bytes]:
    """Return the contents of all files below a folder by their relative path, manifests left out."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != files.MANIFEST]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def recipient() -> str:
    """The ward's recipient."""
    return Path("me.pub").read_text().split()[-1]


@pytest.mark.usefixtures("ward")
@pytest.mark.parametrize("to", [["-R", "me.pub"], ["-i", "me.key"], ["-i", "ward.key"], ["-k", "ward.key"]])
def test_a_file_comes_back_under_its_name(to: list[str]) -> None:
    assert main(["encrypt", "scan.bin", *to]) == 0
    Path("scan.bin").rename("original")
    Path("scan.bin.mcrypt").rename("renamed")
    assert main(["decrypt", "renamed", "-i", "me.key", "-i", "ward.key"]) == 0
    assert Path("scan.bin").read_bytes() == SCAN


@pytest.mark.usefixtures("ward")
def test_several_recipients_can_open_each_for_themselves() -> None:
    second = Identity.generate()
    second.save("second.key")
    both = ["-r", recipient(), "-r", str(second.recipient), "-i", "ward.key"]
    assert main(["encrypt", "scan.bin", *both, "-o", "x"]) == 0
    for key in ("me.key", "second.key", "ward.key"):
        assert main(["decrypt", "x", "-i", key, "-o", f"by-{key}"]) == 0
        assert Path(f"by-{key}").read_bytes() == SCAN


@pytest.mark.usefixtures("ward")
def test_a_folder_comes_back_whole_with_both_kinds_of_names() -> None:
    assert main(["encrypt", "study", "-i", "ward.key"]) == 0
    assert main(["encrypt", "study", "-i", "ward.key", "-o", "opaque", "--opaque-names"]) == 0
    assert set(tree("study.mcrypt")) == {f"{name}.mcrypt" for name in tree("study")}
    assert not any("1.dcm" in name or "note" in name for name in tree("opaque"))
    for sealed in ("study.mcrypt", "opaque"):
        assert main(["decrypt", sealed, "-i", "ward.key", "-o", f"{sealed}-back"]) == 0
        assert tree(f"{sealed}-back") == tree("study")


@pytest.mark.usefixtures("ward")
def test_a_folder_is_decrypted_beside_itself_by_default() -> None:
    assert main(["encrypt", "study", "-i", "ward.key"]) == 0
    Path("study").rename("before")
    assert main(["decrypt", "study.mcrypt", "-i", "ward.key"]) == 0
    assert tree("study") == tree("before")


@pytest.mark.usefixtures("ward")
def test_several_inputs_go_into_one_folder() -> None:
    assert main(["encrypt", "scan.bin", "study", "-i", "ward.key", "-o", "out"]) == 0
    assert Path("out/scan.bin.mcrypt").is_file()
    assert Path("out/study.mcrypt/a/1.dcm.mcrypt").is_file()
    sealed = ["out/scan.bin.mcrypt", "out/study.mcrypt"]
    assert main(["decrypt", *sealed, "-i", "ward.key", "-o", "back"]) == 0
    assert Path("back/scan.bin").read_bytes() == SCAN
    assert tree("back/study") == tree("study")


@pytest.mark.usefixtures("ward")
def test_dicom_keeps_its_uids_and_other_files_do_not_need_them() -> None:
    main(["encrypt", "study/a/1.dcm", "scan.bin", "-i", "ward.key", "-o", "out"])
    key = SecretKey.load("ward.key")
    with images.open("out/1.dcm.mcrypt", key) as image:
        assert image.metadata["content"] == "dicom"
        assert image.metadata["Modality"] == "CT"
    with images.open("out/scan.bin.mcrypt", key) as image:
        assert image.metadata == {"content": "file", "filename": "scan.bin"}


@pytest.mark.usefixtures("ward")
def test_without_pydicom_dicom_is_sealed_as_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    assert main(["encrypt", "study/a/1.dcm", "-i", "ward.key", "-o", "x"]) == 0
    with images.open("x", SecretKey.load("ward.key")) as image:
        assert image.metadata["content"] == "file"
    assert main(["decrypt", "x", "-i", "ward.key", "-o", "y"]) == 0
    assert Path("y").read_bytes() == CT.read_bytes()


@pytest.mark.usefixtures("ward")
@pytest.mark.parametrize("data", [b"", b"x", SCAN])
def test_standard_streams_carry_any_bytes(
    data: bytes, stdin: Stdin, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    stdin(data)
    assert main(["encrypt", "-i", "ward.key"]) == 0
    sealed = capsysbinary.readouterr().out
    stdin(sealed)
    assert main(["decrypt", "-", "-i", "ward.key"]) == 0
    assert capsysbinary.readouterr().out == data
    stdin(sealed)
    assert main(["decrypt", "-i", "ward.key", "-o", "out"]) == 0
    assert Path("out").read_bytes() == data
    assert main(["encrypt", "out", "-i", "ward.key", "-o", "-"]) == 0
    Path("sealed").write_bytes(capsysbinary.readouterr().out)
    assert main(["decrypt", "sealed", "-i", "ward.key", "-o", "-"]) == 0
    assert capsysbinary.readouterr().out == data


@pytest.mark.usefixtures("ward")
def test_nothing_unverified_reaches_standard_output(
    stdin: Stdin, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "BLOCK", 16384)  # so that good blocks come before the bad one
    main(["encrypt", "scan.bin", "-i", "ward.key"])
    sealed = bytearray(Path("scan.bin.mcrypt").read_bytes())
    sealed[-1] ^= 1  # only the last chunk is wrong
    stdin(bytes(sealed))
    assert main(["decrypt", "-i", "ward.key"]) == 1
    assert capsysbinary.readouterr().out == b""


@pytest.mark.usefixtures("ward")
def test_an_empty_standard_input_is_no_sealed_file(stdin: Stdin, capsys: pytest.CaptureFixture[str]) -> None:
    stdin(b"")
    assert main(["decrypt", "-i", "ward.key"]) == 1
    assert capsys.readouterr().err == "medcrypt: not a medcrypt sealed image\n"


@pytest.mark.usefixtures("ward")
def test_context_and_sender_are_checked() -> None:
    seal = ["encrypt", "scan.bin", "-i", "ward.key", "--context", "study 7", "--sign", "me.key", "-o", "x"]
    assert main(seal) == 0
    opening = ["decrypt", "x", "-i", "ward.key", "-o", "y"]
    stranger = str(Identity.generate().recipient)
    assert main(opening) == 1
    assert main([*opening, "--context", "study 8"]) == 1
    assert main([*opening, "--context", "study 7", "--sender", stranger]) == 1
    assert not Path("y").exists()
    assert main([*opening, "--context", "study 7", "--sender", recipient()]) == 0
    assert Path("y").read_bytes() == SCAN


@pytest.mark.usefixtures("ward")
def test_an_image_sealed_as_an_array_becomes_an_npy_file() -> None:
    array = np.arange(12, dtype=">i2").reshape(3, 4)
    images.save("ct.mcrypt", array, SecretKey.load("ward.key"))
    assert main(["decrypt", "ct.mcrypt", "-i", "ward.key"]) == 0
    assert np.array_equal(np.load("ct.npy", allow_pickle=False), array)


@pytest.mark.usefixtures("ward")
@pytest.mark.parametrize("bad", ["key", "flip", "cut", "plain", "missing"])
def test_what_does_not_open_is_one_line_and_leaves_nothing(
    bad: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["encrypt", "scan.bin", "-i", "ward.key", "-o", "x"])
    sealed = bytearray(Path("x").read_bytes())
    if bad == "flip":
        sealed[-1] ^= 1
    Path("x").write_bytes(sealed[:-1] if bad == "cut" else SCAN if bad == "plain" else sealed)
    if bad == "missing":
        Path("x").unlink()
    before = set(os.listdir())
    assert main(["decrypt", "x", "-o", "y", "-i", "other.key" if bad == "key" else "ward.key"]) == 1
    assert set(os.listdir()) == before
    out, error = capsys.readouterr()
    assert out == ""
    assert error.startswith("medcrypt: x: ")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("ward")
def test_one_bad_file_in_a_folder_is_told_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    main(["encrypt", "study", "-i", "ward.key"])
    Path("study.mcrypt/empty.mcrypt").write_bytes(b"MEDCRYPT")
    assert main(["decrypt", "study.mcrypt", "-i", "ward.key", "-o", "back"]) == 1
    assert set(tree("back")) == {"a/1.dcm", "note – ü.txt"}
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("medcrypt: study.mcrypt/empty.mcrypt: ")
    assert lines[1:] == ["medcrypt: 1 of 3 files were not decrypted"]


@pytest.mark.usefixtures("ward")
def test_an_existing_output_stays_without_force() -> None:
    Path("scan.bin.mcrypt").write_bytes(b"precious")
    assert main(["encrypt", "scan.bin", "-i", "ward.key"]) == 1
    assert Path("scan.bin.mcrypt").read_bytes() == b"precious"
    assert main(["encrypt", "scan.bin", "-i", "ward.key", "--force"]) == 0
    Path("scan.bin").write_bytes(b"precious")
    assert main(["decrypt", "scan.bin.mcrypt", "-i", "ward.key"]) == 1
    assert Path("scan.bin").read_bytes() == b"precious"
    assert main(["decrypt", "scan.bin.mcrypt", "-i", "ward.key", "--force"]) == 0
    assert Path("scan.bin").read_bytes() == SCAN


@pytest.mark.usefixtures("ward")
def test_force_replaces_files_only(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("pipe")
    assert main(["encrypt", "scan.bin", "-i", "ward.key", "-o", "pipe", "--force"]) == 1
    assert "not a file" in capsys.readouterr().err
    assert not Path("pipe").is_file()


@pytest.mark.usefixtures("ward")
def test_a_link_is_followed_as_input_and_replaced_as_output() -> None:
    Path("link").symlink_to("scan.bin")
    assert main(["encrypt", "link", "-i", "ward.key", "-o", "x"]) == 0
    assert main(["decrypt", "x", "-i", "ward.key", "-o", "link"]) == 1
    assert main(["decrypt", "x", "-i", "ward.key", "-o", "link", "--force"]) == 0
    assert not Path("link").is_symlink()
    assert Path("link").read_bytes() == Path("scan.bin").read_bytes() == SCAN


@pytest.mark.usefixtures("ward")
def test_an_unreadable_file_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened = Path.open

    def refuse(self: Path, *args: object, **options: object) -> object:
        if self.name == "empty":  # tests may run as root, whom no mode stops
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert main(["encrypt", "study", "-i", "ward.key"]) == 1
    assert "medcrypt: study/empty: Permission denied\n" in capsys.readouterr().err
    assert len(tree("study.mcrypt")) == 2


@pytest.mark.usefixtures("ward")
def test_a_hostile_stored_name_does_not_escape(capsys: pytest.CaptureFixture[str]) -> None:
    Path("in").mkdir()
    metadata = {"content": "file", "filename": "../escaped\x1b[2J"}
    images.save("in/x.mcrypt", np.zeros(3, np.uint8), SecretKey.load("ward.key"), metadata=metadata)
    assert main(["decrypt", "in", "-i", "ward.key", "-o", "out"]) == 1
    assert main(["decrypt", "in/x.mcrypt", "-i", "ward.key"]) == 1
    assert "\x1b" not in capsys.readouterr().err
    assert not [name for name in os.listdir() if "escaped" in name]
    assert main(["decrypt", "in/x.mcrypt", "-i", "ward.key", "-o", "safe"]) == 0
    assert Path("safe").read_bytes() == bytes(3)


@pytest.mark.usefixtures("ward")
def test_file_names_cannot_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a\x1b]0;pwned\x07\nmedcrypt: ok").write_bytes(b"junk")
    assert main(["decrypt", "a\x1b]0;pwned\x07\nmedcrypt: ok", "-i", "ward.key", "-o", "y"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "\x1b" not in error


@pytest.mark.usefixtures("ward")
def test_decrypted_files_follow_the_umask() -> None:
    main(["encrypt", "scan.bin", "-i", "ward.key", "-o", "x"])
    before = os.umask(0o077)
    try:
        main(["decrypt", "x", "-i", "ward.key", "-o", "y"])
    finally:
        os.umask(before)
    assert Path("y").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("ward")
@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_an_interrupted_decryption_leaves_no_file(
    how: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["encrypt", "scan.bin", "-i", "ward.key", "-o", "x"])
    before, blocks = set(os.listdir()), SealedFile.blocks

    def interrupted(self: SealedFile) -> object:
        yield next(blocks(self))
        if how == "interrupt":
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(SealedFile, "blocks", interrupted)
    assert main(["decrypt", "x", "-i", "ward.key", "-o", "y"]) == 130
    assert set(os.listdir()) == before
    assert capsys.readouterr().err.count("\n") == 1
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.usefixtures("ward")
def test_a_killed_decryption_leaves_nothing_under_the_final_name() -> None:
    main(["encrypt", "scan.bin", "-i", "ward.key", "-o", "x"])
    script = (
        "import os, signal\n"
        "from medcrypt.cli import main\n"
        "from medcrypt.images.sealed_files import SealedFile\n"
        "blocks = SealedFile.blocks\n"
        "def killed(self):\n"
        "    yield next(blocks(self))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "SealedFile.blocks = killed\n"
        "main(['decrypt', 'x', '-i', 'ward.key', '-o', 'y'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not Path("y").exists()
    assert main(["decrypt", "x", "-i", "ward.key", "-o", "y"]) == 0


@pytest.mark.usefixtures("ward")
def test_a_pipe_that_takes_little_at_a_time_gets_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = bytearray()

    class Slow(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: bytes) -> int:  # type: ignore[override]
            taken.extend(data[:1000])
            return len(data[:1000])

    main(["encrypt", "scan.bin", "-i", "ward.key", "-o", "x"])
    # What PYTHONUNBUFFERED makes of the standard output.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Slow(), write_through=True))  # type: ignore[type-var]
    assert main(["decrypt", "x", "-i", "ward.key", "-o", "-"]) == 0
    monkeypatch.undo()
    assert bytes(taken) == SCAN


@pytest.mark.usefixtures("ward")
def test_a_closed_pipe_is_no_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Closed(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, _data: object) -> int:
            raise BrokenPipeError

    main(["encrypt", "scan.bin", "-i", "ward.key", "-o", "x"])
    stdout = io.TextIOWrapper(io.BufferedWriter(Closed()))
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["decrypt", "x", "-i", "ward.key", "-o", "-"]) == 141
    monkeypatch.undo()
    assert capsys.readouterr().err == ""
    with contextlib.suppress(BrokenPipeError):
        stdout.close()


@pytest.mark.usefixtures("ward")
def test_verify_reads_everything_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    main(["encrypt", "study", "scan.bin", "-i", "ward.key", "-o", "s"])
    before = tree(".")
    assert main(["verify", "s", "-i", "ward.key"]) == 0
    assert capsys.readouterr().out.count(": ok\n") == 4
    sealed = bytearray(Path("s/scan.bin.mcrypt").read_bytes())
    sealed[-1] ^= 1
    Path("s/scan.bin.mcrypt").write_bytes(sealed)
    assert main(["verify", "s", "-i", "ward.key"]) == 1
    out, error = capsys.readouterr()
    assert out.count(": ok\n") == 3
    assert "medcrypt: s/scan.bin.mcrypt: does not authenticate" in error
    assert set(tree(".")) == set(before)
    assert main(["verify", "s/study.mcrypt/empty.mcrypt", "-i", "other.key"]) == 1


@pytest.mark.usefixtures("ward")
def test_verify_checks_the_sender(stdin: Stdin, capsys: pytest.CaptureFixture[str]) -> None:
    main(["encrypt", "scan.bin", "-i", "ward.key", "--sign", "me.key", "-o", "x"])
    stdin(Path("x").read_bytes())
    assert main(["verify", "-i", "ward.key", "--sender", recipient()]) == 0
    assert capsys.readouterr().out == "-: ok\n"
    assert main(["verify", "x", "-i", "ward.key", "--sender", str(Identity.generate().recipient)]) == 1


@pytest.mark.usefixtures("ward")
def test_inspect_needs_no_key_and_says_that_nothing_is_verified(
    capsys: pytest.CaptureFixture[str],
) -> None:
    public = {"ward": "3\x1b[2J"}
    key = SecretKey.load("ward.key")
    images.save("x", np.zeros((2, 3), "<i2"), key, public_metadata=public, metadata={"a": "secret"})
    assert main(["inspect", "x"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("UNVERIFIED")
    assert "<i2, shape (2, 3)" in text
    assert "\x1b" not in text
    assert main(["inspect", "x", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified"] is False
    assert found["public_metadata"] == public
    assert found["recipients"] == [["secret-key", key.fingerprint.hex()]]
    assert main(["inspect", "scan.bin"]) == 1
    assert capsys.readouterr().err == "medcrypt: scan.bin: not a medcrypt sealed image\n"


@pytest.mark.usefixtures("ward")
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["encrypt", "scan.bin"],
        ["encrypt", "scan.bin", "-r", "nonsense"],
        ["encrypt", "scan.bin", "-i", "ward.key", "-p"],
        ["encrypt", "scan.bin", "-", "-i", "ward.key"],
        ["encrypt", "scan.bin", "study/empty", "-i", "ward.key", "-o", "-"],
        ["encrypt", "scan.bin", "study/empty", "-i", "ward.key", "-o", "me.pub"],
        ["encrypt", "study", "-i", "ward.key", "-o", "-"],
        ["encrypt", "study", "-i", "ward.key", "-o", "study/out"],
        ["decrypt", "scan.bin"],
        ["decrypt", "study", "-i", "ward.key"],
        ["decrypt", "scan.bin", "-i", "ward.key", "--sender", "nonsense"],
        ["verify", "scan.bin"],
    ],
    ids=" ".join,
)
def test_a_command_line_that_makes_no_sense_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(".")
    assert main(arguments) == 2
    assert capsys.readouterr().err
    assert tree(".") == before


@pytest.mark.usefixtures("ward")
@pytest.mark.parametrize("key", ["nowhere", "scan.bin", "me.pub", "study"])
def test_a_file_that_is_no_key_is_named(key: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["decrypt", "scan.bin", "-i", key]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"medcrypt: {key}: ")
    assert error.count("\n") == 1


@pytest.mark.usefixtures("ward")
def test_a_secret_given_as_a_recipient_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    secret = Path("ward.key").read_text().split()[-1]
    assert main(["encrypt", "scan.bin", "-r", secret]) == 2
    assert secret not in capsys.readouterr().err


@pytest.mark.usefixtures("ward")
def test_verbose_says_where_files_went(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encrypt", "study", "-i", "ward.key", "-v"]) == 0
    assert "study/a/1.dcm -> study.mcrypt/a/1.dcm.mcrypt\n" in capsys.readouterr().err


@pytest.mark.usefixtures("ward")
def test_the_command_works_in_a_pipe() -> None:
    medcrypt = [sys.executable, "-m", "medcrypt"]
    sealed = subprocess.run(
        [*medcrypt, "encrypt", "-R", "me.pub"], input=SCAN, capture_output=True, check=True
    )
    opened = subprocess.run(
        [*medcrypt, "decrypt", "-i", "me.key"], input=sealed.stdout, capture_output=True, check=True
    )
    assert opened.stdout == SCAN
    assert opened.stderr == b""


@pytest.mark.usefixtures("ward")
def test_ciphertext_is_not_written_to_a_terminal() -> None:
    keyboard, screen = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "medcrypt", "encrypt", "-i", "ward.key"],
            input=b"pixels",
            stdout=screen,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        os.set_blocking(keyboard, False)
        with pytest.raises(BlockingIOError):
            os.read(keyboard, 1)
    finally:
        os.close(keyboard)
        os.close(screen)
    assert done.returncode == 2
    assert b"not written to a terminal" in done.stderr
