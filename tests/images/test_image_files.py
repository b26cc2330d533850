"""Sealed files: saved whole, inspected without a key, handed on by `rewrap` even through a crash."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_strategies import filled, same

from medcrypt import AuthenticationError, FormatError, Identity, MedcryptError, Passphrase, SecretKey, images
from medcrypt.images.header import parse
from reference import sealed_image as reference

KEY, NEW = SecretKey(bytes(range(32))), SecretKey(bytes(range(1, 33)))
ALICE, BOB = Identity(bytes(range(64))), Identity(bytes(range(1, 65)))
ARRAY = filled((30, 40), "<i2")


@pytest.fixture
def path(tmp_path):
    images.save(tmp_path / "image", ARRAY, KEY, metadata={"a": 1})
    return tmp_path / "image"


def opens(path: Path, key: object) -> bool:
    try:
        with images.open(path, key) as image:
            assert same(image[...], ARRAY)
    except MedcryptError:
        return False
    return True


def slots_of(path: Path) -> tuple[int, int, int]:
    """Return where slot 0, slot 1 and the body begin."""
    header = parse(np.frombuffer(path.read_bytes(), np.uint8))
    return header.size, header.size + header.slot_size, header.form.body_start


# ---- saving ------------------------------------------------------------------------------------------------------


def test_a_saved_image_is_a_sealed_image(path):
    assert same(images.decrypt(path.read_bytes(), KEY), ARRAY)
    assert [found.name for found in path.parent.iterdir()] == ["image"]


def test_a_file_is_replaced_only_when_asked(path):
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        images.save(path, ARRAY, NEW)
    assert path.read_bytes() == before
    images.save(path, ARRAY, NEW, overwrite=True)
    assert opens(path, NEW)


def test_what_cannot_be_sealed_leaves_no_file(tmp_path):
    with pytest.raises(TypeError):
        images.save(tmp_path / "image", np.array([None]), KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path):
    script = (
        "import os, sys, time\n"
        "import numpy as np\n"
        "from medcrypt import SecretKey, images\n"
        "def fsync(_):\n"
        "    print('written', flush=True)\n"
        "    time.sleep(600)\n"
        "os.fsync = fsync\n"
        "images.save(sys.argv[1], np.zeros(100000), SecretKey.generate())\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "image")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    assert not (tmp_path / "image").exists()


# ---- inspecting --------------------------------------------------------------------------------------------------


def test_inspection_shows_the_header_and_says_that_nothing_is_verified(tmp_path):
    images.save(
        tmp_path / "image",
        ARRAY,
        [KEY, ALICE.recipient],
        metadata={"secret": "name"},
        public_metadata={"ward": 3},
    )
    sealed = (tmp_path / "image").read_bytes()
    for source in (tmp_path / "image", sealed):
        found = images.inspect(source)
        assert found.verified is False
        assert (found.version, found.cipher, found.dtype, found.shape) == (1, "aes-256-gcm", "<i2", (30, 40))
        assert found.size == len(sealed)
        assert found.public_metadata == {"ward": 3}
        assert found.has_private_metadata
        assert found.recipients == (
            ("secret-key", KEY.fingerprint.hex()),
            ("x25519", ALICE.fingerprint.hex()),
        )
        assert (found.generation, found.signer) == (1, None)
        assert "name" not in repr(found)


# ---- rewrapping --------------------------------------------------------------------------------------------------


def test_the_new_recipients_open_and_the_old_ones_do_not(path):
    images.rewrap(path, KEY, [NEW, ALICE.recipient])
    assert [opens(path, key) for key in (KEY, NEW, ALICE, BOB)] == [False, True, True, False]
    images.rewrap(path, ALICE, [BOB.recipient])
    assert [opens(path, key) for key in (KEY, NEW, ALICE, BOB)] == [False, False, False, True]
    assert images.inspect(path).generation == 3


def test_nothing_but_the_slots_is_touched(path):
    before, (first, _, body) = path.read_bytes(), slots_of(path)
    images.rewrap(path, KEY, NEW)
    after = path.read_bytes()
    assert after[:first] == before[:first]
    assert after[body:] == before[body:]


def test_the_old_slot_is_erased(path):
    for turn in range(1, 6):
        images.rewrap(path, KEY, KEY)
        first, second, body = slots_of(path)
        data = path.read_bytes()
        halves = [data[first:second], data[second:body]]
        assert not any(halves[(turn + 1) % 2])
        assert any(halves[turn % 2])
    assert same(reference.read(path.read_bytes(), "secret-key", KEY.to_bytes()).array, ARRAY)


@pytest.mark.parametrize("key", [NEW, ALICE])
def test_a_wrong_key_changes_nothing(path, key):
    before = path.read_bytes()
    with pytest.raises(AuthenticationError):
        images.rewrap(path, key, NEW)
    assert path.read_bytes() == before


@pytest.mark.parametrize("new", [[], None, ALICE, [KEY, Passphrase("x")]])
def test_wrong_recipients_change_nothing(path, new):
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        images.rewrap(path, KEY, new)
    assert path.read_bytes() == before


def test_there_is_room_for_the_spare_recipients_and_no_more(tmp_path):
    images.save(tmp_path / "image", ARRAY, ALICE.recipient, spare_recipients=5)
    images.rewrap(tmp_path / "image", ALICE, [BOB.recipient] * 6)
    assert opens(tmp_path / "image", BOB)
    before = (tmp_path / "image").read_bytes()
    with pytest.raises(ValueError, match="room"):
        images.rewrap(tmp_path / "image", BOB, [BOB.recipient] * 20)
    assert (tmp_path / "image").read_bytes() == before


def test_a_signature_survives(tmp_path):
    images.save(tmp_path / "image", ARRAY, KEY, signer=ALICE)
    images.rewrap(tmp_path / "image", KEY, BOB.recipient)
    with images.open(tmp_path / "image", BOB, sender=ALICE.recipient) as image:
        assert same(image[...], ARRAY)


def test_generations_end_before_they_wrap(tmp_path, monkeypatch):
    original = images.container.recipients.slot_of_stanzas
    with monkeypatch.context() as patch:
        patch.setattr(
            images.container.recipients,
            "slot_of_stanzas",
            lambda header, _, *rest: original(header, 2**32 - 1, *rest),
        )
        images.save(tmp_path / "image", ARRAY, KEY)
    assert opens(tmp_path / "image", KEY)
    with pytest.raises(ValueError, match="anew"):
        images.rewrap(tmp_path / "image", KEY, NEW)
    assert opens(tmp_path / "image", KEY)


def test_rewrapping_what_is_no_image_is_a_format_error(tmp_path):
    (tmp_path / "image").write_bytes(b"no image")
    with pytest.raises(FormatError):
        images.rewrap(tmp_path / "image", KEY, NEW)


class CrashError(Exception):
    """The power went."""


def crash_in(write: int, after: int):
    """Return a writer that stops in the given write, having written so many bytes of it."""
    done = 0

    def crashing(file, offset, data):
        nonlocal done
        done += 1
        file.seek(offset)
        file.write(data[:after] if done == write else data)
        file.flush()
        if done == write:
            raise CrashError

    return crashing


SLOT = 448  # bytes of a slot with room for one secret key and three more


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    write=st.sampled_from([1, 2]),
    after=st.integers(0, SLOT) | st.sampled_from([0, 1, 8, SLOT - 1, SLOT]),
    again=st.booleans(),
)
def test_a_crash_loses_nothing_and_a_second_call_repairs(tmp_path_factory, write, after, again):
    path = tmp_path_factory.mktemp("crash") / "image"
    images.save(path, ARRAY, KEY)
    if again:
        images.rewrap(path, KEY, KEY)  # so that the crash hits the slots the other way round
    before, (first, second, body) = path.read_bytes(), slots_of(path)
    assert second - first == SLOT
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medcrypt.images.rewrapping._write", crash_in(write, after))
        with pytest.raises(CrashError):
            images.rewrap(path, KEY, NEW)
    assert path.read_bytes()[:first] == before[:first]
    assert path.read_bytes()[body:] == before[body:]
    opens(path, KEY)  # whether or not: never other pixels, never another kind of error
    opens(path, NEW)
    for key in (KEY, NEW):
        with suppress(MedcryptError):
            images.rewrap(path, key, [NEW, ALICE.recipient])
    assert [opens(path, key) for key in (KEY, NEW, ALICE)] == [False, True, True]


def test_between_the_two_writes_old_and_new_recipients_open(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medcrypt.images.rewrapping._write", crash_in(2, 0))
        with pytest.raises(CrashError):
            images.rewrap(path, KEY, NEW)
    assert opens(path, KEY)
    assert opens(path, NEW)
    assert same(reference.read(path.read_bytes(), "secret-key", NEW.to_bytes()).array, ARRAY)


def test_an_old_slot_beside_a_much_newer_one_is_refused(path):
    first, second, _ = slots_of(path)
    old = path.read_bytes()[first:second]
    for _ in range(3):
        images.rewrap(path, KEY, KEY)
    data = path.read_bytes()  # generation 4 in slot 1, and now generation 1 put back into slot 0
    with pytest.raises(AuthenticationError):
        images.decrypt(data[:first] + old + data[second:], KEY)


def test_two_rewraps_at_a_time_wait_for_each_other(path):
    for _ in range(5):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: images.rewrap(path, KEY, [KEY, NEW]), range(4)))
        assert opens(path, KEY)
        assert opens(path, NEW)
    assert images.inspect(path).generation == 21


# ---- slots that lie ----------------------------------------------------------------------------------------------


def with_slot(path: Path, stanzas: bytes, count: int) -> bytes:
    """Return the image with these stanzas in slot 0; nobody can make its MAC."""
    data, (first, second, _) = path.read_bytes(), slots_of(path)
    content = (1).to_bytes(4, "little") + bytes([count, 0, 0, 0]) + stanzas
    return data[:first] + content.ljust(second - first, b"\0") + data[second:]


def stanza(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize("cost", [(24, 32, 4), (22, 8, 1), (255, 255, 255), (16, 1, 1), (0, 0, 0)])
def test_a_sealed_image_cannot_make_its_reader_allocate(path, monkeypatch, cost):
    monkeypatch.setattr("hashlib.scrypt", lambda *_, **__: pytest.fail("the cost was not refused"))
    data = with_slot(path, stanza(3, bytes(16) + bytes(cost) + bytes(104)), 1)
    with pytest.raises(FormatError):
        images.decrypt(data, Passphrase("x"))


@pytest.mark.parametrize(
    ("stanzas", "count"),
    [
        (b"", 0),
        (b"", 1),
        (stanza(1, bytes(111)), 1),
        (stanza(1, bytes(112)), 2),
        (stanza(1, bytes(112)) + b"x", 1),
        (stanza(0, b""), 1),
        (stanza(2, bytes(112)), 1),
        (stanza(3, bytes(16) + bytes([10, 8, 1]) + bytes(104)) + stanza(1, bytes(112)), 2),
        (b"\1\xff\xff", 1),
        (stanza(1, bytes(112)), 255),
    ],
)
def test_slots_that_lie_are_a_format_error(path, stanzas, count):
    with pytest.raises(FormatError):
        images.inspect(with_slot(path, stanzas, count))
    with pytest.raises(FormatError):
        images.decrypt(with_slot(path, stanzas, count), KEY)


def test_a_recipient_of_an_unknown_kind_is_passed_over(tmp_path, monkeypatch):
    make = images.container.recipients.make_stanza
    unknown = images.container.recipients.Stanza(9, b"from the future")

    def with_unknown(header, file_key, key):
        return unknown if key is NEW else make(header, file_key, key)

    monkeypatch.setattr(images.container.recipients, "make_stanza", with_unknown)
    images.save(tmp_path / "image", ARRAY, [NEW, KEY])
    assert opens(tmp_path / "image", KEY)
    assert not opens(tmp_path / "image", NEW)
    assert images.inspect(tmp_path / "image").recipients == (
        ("unknown-9", ""),
        ("secret-key", KEY.fingerprint.hex()),
    )
    assert same(reference.read((tmp_path / "image").read_bytes(), "secret-key", KEY.to_bytes()).array, ARRAY)


def test_a_wrong_fingerprint_hides_a_stanza_and_opens_nothing(path):
    data, (first, _, _) = path.read_bytes(), slots_of(path)
    at = first + 8 + 3
    with pytest.raises(AuthenticationError):
        images.decrypt(data[:at] + NEW.fingerprint + data[at + 8 :], NEW)
