"""New file keys: the pixels are the same, the ciphertext is not, and a crash leaves one of the two files whole."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_strategies import filled, same

from medcrypt import AuthenticationError, Identity, Passphrase, SecretKey, images
from medcrypt.images import recipients
from medcrypt.images.header import parse

OLD, NEW = SecretKey(bytes(range(32))), SecretKey(bytes(range(1, 33)))
ALICE, BOB = Identity(bytes(range(64))), Identity(bytes(range(1, 65)))
METADATA = {"Modality": "CT", "é": [1, -2.5, None]}


def file_key(path: Path, key: SecretKey) -> bytes:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    header = parse(data)
    area = data[header.size : header.size + 2 * header.slot_size].tobytes()
    return recipients.open_slots(header, area, key)[0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(
    shape=st.sampled_from([(), (0,), (7,), (3, 0, 2), (64, 128), (5, 70, 90), (1, 300000)]),
    dtype=st.sampled_from(["|b1", "<i2", ">f4", "<c16"]),
    tiled=st.booleans(),
    batch=st.sampled_from([1, 2, 256]),
)
def test_the_array_and_what_is_said_about_it_stay(tmp_path_factory, shape, dtype, tiled, batch):
    path, array = tmp_path_factory.mktemp("re") / "image", filled(shape, dtype)
    tiles = (2,) * len(shape) if tiled and shape and len(shape) < 3 and array.size < 10_000 else None
    images.save(
        path, array, OLD, tiles=tiles, context=b"study 7", metadata=METADATA, public_metadata={"ward": 3}
    )
    before, old_key = images.inspect(path), file_key(path, OLD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medcrypt.images.reencryption._BATCH", batch)
        images.reencrypt(path, OLD, [NEW, ALICE.recipient], context=b"study 7")
    after = images.inspect(path)
    assert after.file_id != before.file_id
    assert (after.shape, after.dtype, after.tiles) == (before.shape, before.dtype, before.tiles)
    assert file_key(path, NEW) != old_key
    for key in (NEW, ALICE):
        with images.open(path, key, context=b"study 7") as image:
            assert same(image[...], array)
            assert (image.metadata, image.public_metadata) == (METADATA, {"ward": 3})
    with pytest.raises(AuthenticationError):
        images.open(path, OLD, context=b"study 7")


@pytest.fixture
def path(tmp_path):
    images.save(tmp_path / "image", filled((100, 200), "<u2"), OLD, context=b"c")
    return tmp_path / "image"


def test_a_file_key_that_was_kept_is_useless(path):
    kept = file_key(path, OLD)
    images.reencrypt(path, OLD, NEW, context=b"c")
    data = np.frombuffer(path.read_bytes(), np.uint8)
    header = parse(data)
    body = data[header.form.body_start : header.form.body_end]
    for key, right in ((kept, False), (file_key(path, NEW), True)):
        try:
            images.cobblestone.decrypt(key, body, b"medcrypt/v1/image" + header.digest + b"c")
        except AuthenticationError:
            assert not right
        else:
            assert right


@pytest.mark.parametrize(
    ("key", "context"), [(NEW, b"c"), (ALICE, b"c"), (OLD, b""), (Passphrase("x"), b"c")]
)
def test_what_does_not_open_stays_as_it_is(path, key, context):
    before = path.read_bytes()
    with pytest.raises(AuthenticationError):
        images.reencrypt(path, key, NEW, context=context)
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == ["image"]


def test_a_changed_chunk_is_not_sealed_anew(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(AuthenticationError):
        images.reencrypt(path, OLD, NEW, context=b"c")
    assert path.read_bytes() == data
    assert [found.name for found in path.parent.iterdir()] == ["image"]


def test_a_signed_file_needs_a_signer_or_consent(tmp_path):
    path, array = tmp_path / "image", filled((100, 200), "<u2")
    images.save(path, array, OLD, signer=ALICE)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="signed"):
        images.reencrypt(path, OLD, NEW)
    with pytest.raises(AuthenticationError):
        images.reencrypt(path, OLD, NEW, sender=BOB.recipient, signer=BOB)
    assert path.read_bytes() == before
    images.reencrypt(path, OLD, NEW, sender=ALICE.recipient, signer=BOB)
    with images.open(path, NEW, sender=BOB.recipient) as image:
        assert same(image[...], array)
    images.reencrypt(path, NEW, NEW, drop_signature=True)
    assert images.inspect(path).signer is None


def test_a_signer_signs_only_what_is_its_own_unless_told_otherwise(tmp_path):
    path, array = tmp_path / "image", filled((100, 200), "<u2")
    images.save(path, array, OLD)
    before = path.read_bytes()
    with pytest.raises(AuthenticationError):
        images.reencrypt(path, OLD, NEW, signer=ALICE)
    assert path.read_bytes() == before
    images.reencrypt(path, OLD, NEW, signer=BOB, any_sender=True)
    with pytest.raises(AuthenticationError):
        images.reencrypt(path, NEW, OLD, signer=ALICE)
    images.reencrypt(path, NEW, OLD, signer=BOB)
    with images.open(path, OLD, sender=BOB.recipient) as image:
        assert same(image[...], array)
    with pytest.raises(ValueError, match="contradict"):
        images.reencrypt(path, OLD, NEW, sender=BOB.recipient, any_sender=True)


def test_permissions_and_links_stay(path, tmp_path):
    path.chmod(0o640)
    (tmp_path / "link").symlink_to(path)
    images.reencrypt(tmp_path / "link", OLD, NEW, context=b"c")
    assert (tmp_path / "link").is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with images.open(path, NEW, context=b"c") as image:
        assert image.shape == (100, 200)


class CrashError(BaseException):
    """The power went: nothing cleans up after it, and nothing catches it."""


@pytest.mark.parametrize("name", ["fsync", "replace"])
@pytest.mark.parametrize("call", [1, 2])
@pytest.mark.parametrize("after", [False, True])
def test_a_crash_leaves_the_old_file_or_the_new_one(path, monkeypatch, name, call, after):
    original, calls = getattr(os, name), 0

    def crashing(*args: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call and not after:
            raise CrashError
        result = original(*args)
        if calls == call:
            raise CrashError
        return result

    crashed = True
    with monkeypatch.context() as patch:
        patch.setattr(os, name, crashing)
        try:
            images.reencrypt(path, OLD, NEW, context=b"c")
            crashed = False
        except CrashError:
            pass
    assert crashed or calls < call
    opened = []
    for key in (OLD, NEW):
        try:
            with images.open(path, key, context=b"c") as image:
                image.verify()
                opened.append(key)
        except AuthenticationError:
            pass
    assert len(opened) == 1
    images.reencrypt(path, opened[0], NEW, context=b"c")
    with images.open(path, NEW, context=b"c") as image:
        image.verify()


@pytest.mark.parametrize("write", range(1, 4))
def test_a_full_disk_leaves_the_old_file(path, monkeypatch, write):
    original = os.fdopen

    def fdopen(*args: object, **options: object) -> object:
        file = original(*args, **options)
        real, calls = file.write, 0

        class Full:
            def __getattr__(self, name: str) -> object:
                return getattr(file, name)

            def __enter__(self) -> "Full":
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, data: object) -> int:
                nonlocal calls
                calls += 1
                if calls == write:
                    raise OSError(28, "No space left on device")
                return real(data)

        return Full()

    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdopen", fdopen)
        patch.setattr("medcrypt.images.writing._BATCH", 1)
        with pytest.raises(OSError, match="No space"):
            images.reencrypt(path, OLD, NEW, context=b"c")
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir()] == ["image"]
