"""medcrypt keygen, and where passphrases come from."""

import getpass
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medcrypt import Identity, InvalidKeyError, SecretKey, load_key
from medcrypt.cli import main

Answers = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, without a passphrase in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDCRYPT_PASSPHRASE", raising=False)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Answer prompts, one after another, and return the list into which they are noted."""

    def prepare(*texts: str) -> list[str]:
        asked: list[str] = []

        def answer(prompt: str = "") -> str:
            asked.append(prompt)
            return texts[len(asked) - 1]

        monkeypatch.setattr(getpass, "getpass", answer)
        return asked

    return prepare


def test_keygen_writes_a_private_identity_and_prints_its_recipient(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["keygen", "-o", "me.key"]) == 0
    out, error = capsys.readouterr()
    assert out == f"{Identity.load('me.key').recipient}\n"
    assert error == ""
    assert Path("me.key").stat().st_mode & 0o777 == 0o600
    assert main(["keygen", "-y", "me.key"]) == 0
    assert capsys.readouterr().out == out


def test_keygen_writes_a_secret_key_and_prints_nothing_secret(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keygen", "--secret-key", "-o", "ward.key"]) == 0
    key = SecretKey.load("ward.key")
    out, error = capsys.readouterr()
    assert out == ""
    assert error == f"medcrypt: secret key with fingerprint {key.fingerprint.hex()}\n"


def test_keygen_never_replaces_a_key(capsys: pytest.CaptureFixture[str]) -> None:
    main(["keygen", "-o", "me.key"])
    before = Path("me.key").read_bytes()
    assert main(["keygen", "-o", "me.key"]) == 1
    assert main(["keygen", "--secret-key", "-o", "me.key"]) == 1
    assert Path("me.key").read_bytes() == before
    assert "me.key exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["-y", "a", "-o", "b"], ["-y", "a", "-p"], ["-o", "a", "--identity", "--secret-key"]]
)
def test_keygen_refuses_what_makes_no_sense(arguments: list[str]) -> None:
    assert main(["keygen", *arguments]) == 2
    assert not list(Path.cwd().iterdir())


def test_a_secret_key_has_no_recipient(capsys: pytest.CaptureFixture[str]) -> None:
    main(["keygen", "--secret-key", "-o", "ward.key"])
    assert main(["keygen", "-y", "ward.key"]) == 1
    assert "an identity is needed" in capsys.readouterr().err


def test_a_protected_key_asks_for_its_passphrase(answers: Answers) -> None:
    asked = answers("correct horse", "correct horse")
    assert main(["keygen", "-p", "-o", "me.key"]) == 0
    assert len(asked) == 2
    with pytest.raises(InvalidKeyError):
        load_key("me.key")
    answers("correct horse")
    assert main(["keygen", "-y", "me.key"]) == 0
    answers("wrong horse")
    assert main(["keygen", "-y", "me.key"]) == 1


def test_a_passphrase_is_asked_for_twice_and_opens_once(answers: Answers) -> None:
    Path("scan").write_bytes(b"pixels")
    assert len(answers("open sesame", "open sesame")) == 0
    assert main(["encrypt", "scan", "-p"]) == 0
    asked = answers("open sesame")
    assert main(["decrypt", "scan.mcrypt", "-p", "-o", "again"]) == 0
    assert asked == ["Passphrase: "]
    assert Path("again").read_bytes() == b"pixels"
    answers("open says me")
    assert main(["decrypt", "scan.mcrypt", "-p", "-o", "wrong"]) == 1
    assert not Path("wrong").exists()


@pytest.mark.parametrize("texts", [("one", "two"), ("", "")])
def test_a_mistyped_or_empty_passphrase_is_refused(answers: Answers, texts: tuple[str, str]) -> None:
    Path("scan").write_bytes(b"pixels")
    answers(*texts)
    assert main(["encrypt", "scan", "-p"]) == 2
    assert not Path("scan.mcrypt").exists()


def test_scripts_give_the_passphrase_by_file_or_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("scan").write_bytes(b"pixels")
    Path("phrase").write_bytes("öffne dich\r\nsecond line\n".encode())
    Path("phrase").chmod(0o600)
    assert main(["encrypt", "scan", "-p", "--passphrase-file", "phrase"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("MEDCRYPT_PASSPHRASE", "öffne dich")
    assert main(["decrypt", "scan.mcrypt", "-p", "-o", "again"]) == 0
    Path("phrase").chmod(0o644)
    assert main(["verify", "scan.mcrypt", "-p", "--passphrase-file", "phrase"]) == 0
    assert "other users can read phrase" in capsys.readouterr().err


def test_a_passphrase_is_never_read_where_it_would_be_seen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_terminal(prompt: str = "", stream: object = None) -> str:
        return getpass.fallback_getpass(prompt, stream)  # type: ignore[attr-defined]

    Path("scan").write_bytes(b"pixels")
    monkeypatch.setattr(getpass, "getpass", no_terminal)
    monkeypatch.setattr(sys, "stdin", io.StringIO("typed in the open\n"))
    assert main(["encrypt", "scan", "-p"]) == 2
    assert "no terminal" in capsys.readouterr().err


def test_the_passphrase_does_not_appear_in_errors(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("scan").write_bytes(b"pixels")
    monkeypatch.setenv("MEDCRYPT_PASSPHRASE", "open sesame")
    main(["encrypt", "scan", "-p"])
    monkeypatch.setenv("MEDCRYPT_PASSPHRASE", "very wrong")
    assert main(["decrypt", "scan.mcrypt", "-p", "-o", "x"]) == 1
    assert "wrong" not in capsys.readouterr().err.replace("wrong key", "")


@pytest.mark.parametrize("text", ["", "# nothing\n\n", "nonsense\n", "medcrypt-recipient-1:AAAA\n", "\xff\n"])
def test_a_recipients_file_without_a_good_recipient_is_refused(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("scan").write_bytes(b"pixels")
    Path("them").write_text(text, "latin-1")
    assert main(["encrypt", "scan", "-R", "them"]) == 1
    assert capsys.readouterr().err.startswith("medcrypt: them: ")
    assert not Path("scan.mcrypt").exists()
