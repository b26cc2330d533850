"""Keys are found by their id and by nothing else, in this process only."""

import multiprocessing
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medcrypt import InvalidKeyError, SecretKey
from medcrypt.integrations import codec_keys
from medcrypt.integrations.codec_keys import ENVIRONMENT, find_key, key_id, register_key

KEY = SecretKey.from_bytes(bytes(range(32)))
ID = "669e43bda5f9512a"


@pytest.fixture(autouse=True)
def no_keys_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    yield
    assert not codec_keys._registered


def found() -> bool:
    """Tell whether this process knows `KEY`: run in other processes too."""
    try:
        return find_key(ID) == KEY
    except InvalidKeyError:
        return False


def test_a_key_is_known_while_it_is_registered_and_no_longer() -> None:
    assert not found()
    with register_key(KEY):
        assert found()
    assert not found()
    registration = register_key(KEY)
    assert found()
    registration.close()
    registration.close()
    assert not found()


def test_two_registrations_of_a_key_end_independently() -> None:
    with register_key(KEY) as outer:
        with register_key(KEY):
            outer.close()
            assert found()
        assert not found()


def test_a_missing_key_is_named_by_its_id_only() -> None:
    with register_key(SecretKey.generate()), pytest.raises(InvalidKeyError, match=ID) as caught:
        find_key(ID)
    assert KEY.to_bytes().hex() not in str(caught.value)


def test_a_key_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    with register_key(tmp_path / "ward.key"):
        KEY.save(tmp_path / "ward.key")
        assert found()
        (tmp_path / "ward.key").unlink()
        assert found()
    with register_key(tmp_path / "nowhere.key"), pytest.raises(FileNotFoundError):
        find_key(ID)


def test_a_function_is_asked_and_held_to_its_word() -> None:
    asked = []

    def answer(wanted: str) -> SecretKey | None:
        asked.append(wanted)
        return KEY

    with register_key(answer):
        assert found()
    assert asked == [ID]
    with register_key(lambda _: SecretKey.generate()), pytest.raises(InvalidKeyError, match="something else"):
        find_key(ID)
    with register_key(KEY), register_key(lambda _: None):
        assert found()


def test_the_environment_names_key_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SecretKey.generate().save(tmp_path / "other.key")
    KEY.save(tmp_path / "ward.key")
    paths = os.pathsep.join(str(tmp_path / name) for name in ("other.key", "ward.key"))
    monkeypatch.setenv(ENVIRONMENT, paths)
    assert found()
    monkeypatch.delenv(ENVIRONMENT)
    assert not found()
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "nowhere.key"))
    with pytest.raises(InvalidKeyError, match="cannot be read"):
        find_key(ID)
    (tmp_path / "broken.key").write_text("no key")
    monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "broken.key"))
    with pytest.raises(InvalidKeyError, match="not a medcrypt key"):
        find_key(ID)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
def test_a_forked_process_has_the_keys_of_its_parent_and_a_spawned_one_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    KEY.save(tmp_path / "ward.key")
    with register_key(KEY):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert not pool.apply(found)
        monkeypatch.setenv(ENVIRONMENT, str(tmp_path / "ward.key"))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(found)
        monkeypatch.delenv(ENVIRONMENT)
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, b"1" if found() else b"0")
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reader, 1) == b"1"
        os.close(reader)
        os.close(writer)


def test_an_id_is_the_fingerprint() -> None:
    assert key_id(KEY) == KEY.fingerprint.hex() == ID
    assert key_id(ID) == ID
    for wrong in ("", "669E43BDA5F9512A", ID[:-1], ID + "0", " " + ID[1:]):
        with pytest.raises(ValueError, match="16 hexadecimal"):
            key_id(wrong)
    for wrong in (b"669e43bda5f9512a", None, 7):
        with pytest.raises(TypeError):
            key_id(wrong)
    with pytest.raises(TypeError):
        register_key(7)
