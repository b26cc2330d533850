"""New keys over a folder: every file, the manifest last, again after a crash, and nobody shut out in between."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medcrypt import AuthenticationError, Identity, MedcryptError, Passphrase, SecretKey, images
from medcrypt.images import archive, rewrapping, rotation
from medcrypt.images.sealed_files import JOURNAL, MANIFEST, open_file, seal_bytes

OLD, NEW, OTHER = (SecretKey(bytes([number]) * 32) for number in range(3))
ALICE, BOB = Identity(bytes(range(64))), Identity(bytes(range(1, 65)))


def make(base: Path, key: object = OLD, **options: object) -> Path:
    (base / "study" / "a").mkdir(parents=True)
    for number in range(4):
        (base / "study" / "a" / f"{number}.dcm").write_bytes(bytes([number]) * number * 9000)
    images.encrypt_many(base / "study", key, base / "sealed", **options)
    return base / "sealed"


def contents(path: Path, key: object) -> bytes | None:
    try:
        with open_file(path, key) as file:
            return file.read()
    except MedcryptError:
        return None


def sealed_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.mcrypt") if path.is_file())


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    return make(tmp_path)


@pytest.mark.parametrize("reencrypted", [False, True])
@pytest.mark.parametrize("new", [NEW, ALICE], ids=["secret", "identity"])
def test_every_file_has_the_new_recipients_and_no_other(tmp_path, sealed, reencrypted, new):
    ids = {images.inspect(path).file_id for path in sealed_files(sealed)}
    recipient = new.recipient if isinstance(new, Identity) else new
    changed = images.rotate(sealed, OLD, recipient, reencrypted=reencrypted)
    assert len(changed) == 5
    images.verify_many(sealed, new)
    assert all(contents(path, OLD) is None for path in [*sealed_files(sealed), sealed / MANIFEST])
    assert ids.isdisjoint({images.inspect(path).file_id for path in sealed_files(sealed)}) == reencrypted
    images.decrypt_many(sealed, new, tmp_path / "back")
    for number in range(4):
        assert (tmp_path / "back" / "a" / f"{number}.dcm").read_bytes() == bytes([number]) * number * 9000


@pytest.mark.parametrize("reencrypted", [False, True])
def test_a_second_call_finds_nothing_to_do(sealed, reencrypted):
    images.rotate(sealed, OLD, [NEW, ALICE.recipient], reencrypted=reencrypted)
    before = {path: path.read_bytes() for path in sealed_files(sealed)}
    assert images.rotate(sealed, OLD, [ALICE.recipient, NEW], reencrypted=reencrypted) == []
    assert {path: path.read_bytes() for path in sealed_files(sealed)} == before


def test_the_old_key_may_stay_among_the_new(sealed):
    assert len(images.rotate(sealed, OLD, [OLD, NEW])) == 5
    assert images.rotate(sealed, OLD, [OLD, NEW]) == []
    images.verify_many(sealed, OLD)
    images.verify_many(sealed, NEW)


def test_a_passphrase_is_told_by_opening(tmp_path):
    (tmp_path / "one").mkdir()
    images.save(tmp_path / "one" / "image", [1, 2], Passphrase("old words"))
    for turn in range(2):
        changed = images.rotate(tmp_path / "one", Passphrase("old words"), Passphrase("new words"))
        assert len(changed) == 1 - turn
    with pytest.raises(ExceptionGroup):
        images.rotate(tmp_path / "one", Passphrase("old words"), Passphrase("third words"))


@pytest.mark.parametrize("reencrypted", [False, True])
def test_one_bad_file_does_not_stop_the_others_but_keeps_the_manifest(sealed, reencrypted):
    bad = sealed / "a" / "2.dcm.mcrypt"
    images.rewrap(bad, OLD, OTHER)
    with pytest.raises(ExceptionGroup, match="2 of 5") as caught:
        images.rotate(sealed, OLD, NEW, reencrypted=reencrypted)
    kinds = {Path(error.__notes__[0]).name: type(error) for error in caught.value.exceptions}
    assert kinds["2.dcm.mcrypt"] is AuthenticationError
    assert contents(sealed / MANIFEST, OLD) is not None
    assert sum(contents(path, NEW) is not None for path in sealed_files(sealed)) == 3
    images.rotate(sealed, [OLD, OTHER], NEW, reencrypted=reencrypted)
    images.verify_many(sealed, NEW)


def test_a_replaced_file_is_noticed_even_after_reencryption(tmp_path, sealed):
    other = make(tmp_path / "other")
    (sealed / "a" / "1.dcm.mcrypt").write_bytes((other / "a" / "2.dcm.mcrypt").read_bytes())
    images.rotate(sealed, OLD, NEW, reencrypted=True)
    with pytest.raises(ExceptionGroup) as caught:
        images.verify_many(sealed, NEW)
    assert [Path(error.__notes__[0]).name for error in caught.value.exceptions] == ["1.dcm.mcrypt"]


def test_signed_archives_need_a_signer_where_the_pixels_are_sealed_anew(tmp_path):
    sealed = make(tmp_path, signer=ALICE)
    images.rotate(sealed, OLD, NEW)
    images.verify_many(sealed, NEW, sender=ALICE.recipient)
    with pytest.raises(ExceptionGroup, match="5 of 5"):
        images.rotate(sealed, NEW, OTHER, reencrypted=True)
    images.verify_many(sealed, NEW, sender=ALICE.recipient)
    images.rotate(sealed, NEW, OTHER, reencrypted=True, sender=ALICE.recipient, signer=ALICE)
    images.verify_many(sealed, OTHER, sender=ALICE.recipient)


def test_nobody_signs_what_somebody_else_has_made(tmp_path):
    sealed = make(tmp_path, signer=BOB)
    (sealed / "unsigned.mcrypt").write_bytes(seal_bytes(b"planted", OLD))
    before = {path: path.read_bytes() for path in [*sealed_files(sealed), sealed / MANIFEST]}
    with pytest.raises(ExceptionGroup, match="6 of 6"):
        images.rotate(sealed, OLD, NEW, reencrypted=True, signer=ALICE)
    assert {path: path.read_bytes() for path in before} == before
    with pytest.raises(ExceptionGroup, match="2 of 6"):  # the unsigned one, and so the manifest
        images.rotate(sealed, OLD, NEW, reencrypted=True, signer=ALICE, sender=BOB.recipient)
    images.rotate(sealed, OLD, NEW, reencrypted=True, signer=ALICE, any_sender=True)
    with pytest.raises(ExceptionGroup, match="1 of 5"):  # not in the manifest
        images.verify_many(sealed, NEW, sender=ALICE.recipient)
    with pytest.raises(ValueError, match="contradict"):
        images.rotate(sealed, NEW, OLD, reencrypted=True, sender=BOB.recipient, any_sender=True)


def test_an_interrupted_change_of_signers_goes_on_under_the_same_key(tmp_path):
    sealed = make(tmp_path, signer=BOB)
    rotate = {"reencrypted": True, "signer": ALICE, "sender": BOB.recipient}
    outcomes = rotation.rotating(sealed, OLD, [OLD], **rotate)
    next(outcomes)
    outcomes.close()
    assert len(images.rotate(sealed, OLD, [OLD], **rotate)) == 5
    images.verify_many(sealed, OLD, sender=ALICE.recipient)
    forged = sealed_files(sealed)[0]  # says that Alice signed it
    images.save(
        forged, np.zeros(3, np.uint8), OLD, metadata={"content": "file"}, signer=ALICE, overwrite=True
    )
    data = bytearray(forged.read_bytes())
    data[-1] ^= 1
    forged.write_bytes(data)
    with pytest.raises(ExceptionGroup, match="2 of 5"):
        images.rotate(sealed, OLD, [OLD], **rotate)


def test_an_unfinished_archive_is_not_rotated(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "one").write_bytes(b"1")
    (tmp_path / "study" / "two").write_bytes(b"2")
    outcomes = archive.encrypting(tmp_path / "study", OLD, tmp_path / "sealed", jobs=1, in_flight=1)
    next(outcomes)
    outcomes.close()
    assert (tmp_path / "sealed" / JOURNAL).exists()
    with pytest.raises(FileExistsError, match="not finished"):
        images.rotate(tmp_path / "sealed", OLD, NEW)


def test_without_a_key_that_opens_nothing_is_done(sealed):
    with pytest.raises(ValueError, match="at least one key"):
        images.rotate(sealed, [], NEW)
    with pytest.raises(TypeError):
        images.rotate(sealed, OLD, ALICE)


class CrashError(BaseException):
    """The power went: nothing cleans up after it, and nothing catches it."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    name=st.sampled_from(["fsync", "replace", "write"]),
    number=st.integers(1, 24),
    share=st.sampled_from([0.0, 0.4, 1.0]),
    reencrypted=st.booleans(),
)
def test_a_crash_at_any_step_is_made_good_by_the_next_call(
    tmp_path_factory, name, number, share, reencrypted
):
    sealed = make(tmp_path_factory.mktemp("crash"))
    calls, write = 0, rewrapping._write
    original = write if name == "write" else getattr(os, name)

    def crashing(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls != number:
            return original(*args)
        if name == "write":
            file, offset, data = args
            original(file, offset, data[: int(share * len(data))])
        elif share:
            original(*args)
        raise CrashError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(*((rewrapping, "_write") if name == "write" else (os, name)), crashing)
        try:
            images.rotate(sealed, OLD, NEW, reencrypted=reencrypted)
            crashed = False
        except CrashError:
            crashed = True
    assert crashed == (calls >= number)
    # A file whose recipients were half-written opens for the old key or the new: whoever has one repairs it.
    images.rotate(sealed, [OLD, NEW], NEW, reencrypted=reencrypted)
    images.verify_many(sealed, NEW)
    assert all(contents(path, OLD) is None for path in [*sealed_files(sealed), sealed / MANIFEST])
