"""A key from a protected file stays for a while after its last use, and no longer."""

import gc
import os
import pickle
import time

import pytest

from medcrypt import InvalidKeyError, SecretKey
from medcrypt.errors import AuthenticationError
from medcrypt.keys import KeyFile, files, references
from medcrypt.keys.unlocked import Unlocked


@pytest.fixture(autouse=True)
def _nothing_kept():
    references.unlocked.forget()
    yield
    references.unlocked.forget()


@pytest.fixture
def opened(monkeypatch):
    """Counts how often a key file is opened."""
    calls, load = [], files.load

    def counting(path, passphrase=None):
        calls.append(path)
        return load(path, passphrase)

    monkeypatch.setattr(files, "load", counting)
    return calls


def _gone(kept: Unlocked, within: float = 20.0) -> bool:
    until = time.monotonic() + within
    while len(kept) and time.monotonic() < until:
        time.sleep(0.01)
    return not len(kept)


def test_a_key_is_unlocked_once_and_goes_when_nobody_asks_for_it():
    kept, unlocked = Unlocked(seconds=0.05), []
    first = kept.get("a", lambda: unlocked.append(1) or object())
    assert kept.get("a", lambda: unlocked.append(1) or object()) is first
    assert (len(unlocked), len(kept)) == (1, 1)
    assert _gone(kept)
    assert not any(first in holder for holder in gc.get_referrers(first) if isinstance(holder, tuple))
    assert kept.get("a", object) is not first
    assert _gone(kept)  # the timer runs again for keys that come after it had run out


def test_a_key_that_could_not_be_unlocked_is_not_kept():
    kept = Unlocked(seconds=60)
    with pytest.raises(ZeroDivisionError):
        kept.get("a", lambda: 1 // 0)
    assert len(kept) == 0


def test_its_representation_shows_no_key():
    kept = Unlocked(seconds=60)
    kept.get("path", lambda: "secret")
    assert "secret" not in repr(kept)
    kept.forget()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_does_not_inherit_keys():
    kept = Unlocked(seconds=60)
    kept.get("a", object)
    child = os.fork()
    if child == 0:
        os._exit(len(kept))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(kept) == 1
    kept.forget()


def test_a_plain_key_file_is_read_anew_and_nothing_is_kept(tmp_path, opened):
    key = SecretKey.generate()
    key.save(tmp_path / "ward.key")
    reference = pickle.loads(pickle.dumps(KeyFile(tmp_path / "ward.key")))
    assert reference() == reference() == key
    assert (len(opened), len(references.unlocked)) == (2, 0)


def test_a_protected_key_file_is_unlocked_once_until_file_or_passphrase_change(tmp_path, monkeypatch, opened):
    key, other, path = SecretKey.generate(), SecretKey.generate(), tmp_path / "ward.key"
    key.save(path, passphrase="one passphrase")
    monkeypatch.setenv("WARD", "one passphrase")
    reference = KeyFile(path, passphrase_variable="WARD")
    assert reference() is reference() == key
    assert len(opened) == 1
    monkeypatch.setenv("WARD", "another")
    with pytest.raises(AuthenticationError):
        reference()
    path.unlink()
    other.save(path, passphrase="another")
    assert reference() == other
    monkeypatch.setenv("WARD", "")
    with pytest.raises(InvalidKeyError, match="is empty"):
        reference()
