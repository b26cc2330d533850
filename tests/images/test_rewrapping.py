"""One recipient more or less: the others' keys stay byte for byte, and no crash shuts anybody out for good."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from image_strategies import filled, same

from medcrypt import AuthenticationError, Identity, MedcryptError, Passphrase, SecretKey, images
from medcrypt.images import recipients, reencryption, rewrapping
from medcrypt.images.header import parse
from reference import sealed_image as reference

ARRAY = filled((30, 40), "<i2")
KEY = SecretKey(bytes(range(32)))
HYBRID = Identity(bytes(range(64)), post_quantum=True)
PEOPLE = [
    KEY,
    *(SecretKey(bytes([n]) * 32) for n in range(2)),
    *(Identity(bytes([n]) * 64) for n in range(2)),
    HYBRID,
]


def public(key):
    return key.recipient if isinstance(key, Identity) else key


def opens(path: Path, key: object) -> bool:
    try:
        with images.open(path, key) as image:
            assert same(image[...], ARRAY)
    except MedcryptError:
        return False
    return True


def stanzas(path: Path) -> tuple[recipients.Stanza, ...]:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    header = parse(data)
    area = data[header.size : header.size + 2 * header.slot_size].tobytes()
    return recipients.newest_slot(header, area).stanzas


@pytest.fixture
def path(tmp_path):
    images.save(tmp_path / "image", ARRAY, KEY, spare_recipients=20)
    return tmp_path / "image"


# ---- a model: a set of people, those who can open ------------------------------------------------------


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, len(PEOPLE) - 1), st.integers(0, 100)), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(steps=STEPS)
def test_whoever_was_added_and_not_removed_can_open(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("model") / "image"
    images.save(path, ARRAY, KEY, spare_recipients=20)
    inside = {0}
    for adding, who, by in steps:
        opener = PEOPLE[sorted(inside)[by % len(inside)]]
        before = {stanza.fingerprint: stanza for stanza in stanzas(path)}
        if adding:
            images.add_recipient(path, opener, public(PEOPLE[who]))
            inside.add(who)
        elif inside == {who} or who not in inside:
            with pytest.raises(ValueError, match="recipient"):
                images.remove_recipient(path, opener, public(PEOPLE[who]))
        else:
            images.remove_recipient(path, opener, public(PEOPLE[who]))
            inside.remove(who)
        after = {stanza.fingerprint: stanza for stanza in stanzas(path)}
        assert set(after) == {PEOPLE[one].fingerprint for one in inside}
        for one in inside - {who}:  # kept as they were, and so without their public keys
            fingerprint = PEOPLE[one].fingerprint
            assert after[fingerprint] == before[fingerprint]
    assert [opens(path, key) for key in PEOPLE] == [number in inside for number in range(len(PEOPLE))]
    for number in inside:
        key = PEOPLE[number]
        kind = "secret-key" if isinstance(key, SecretKey) else key.kind
        assert same(reference.read(path.read_bytes(), kind, key.to_bytes()).array, ARRAY)


def test_nothing_but_the_slots_is_touched(path):
    before = path.read_bytes()
    header = parse(np.frombuffer(before, np.uint8))
    body = header.size + 2 * header.slot_size
    images.add_recipient(path, KEY, HYBRID.recipient)
    images.remove_recipient(path, HYBRID, KEY)
    after = path.read_bytes()
    assert after[: header.size] == before[: header.size]
    assert after[body:] == before[body:]
    assert images.inspect(path).generation == 3


def test_several_can_come_at_once_and_twice(path):
    images.add_recipient(path, KEY, [public(key) for key in PEOPLE])
    images.add_recipient(path, KEY, [public(key) for key in PEOPLE[::-1]])
    assert [stanza.fingerprint for stanza in stanzas(path)] == [key.fingerprint for key in PEOPLE]
    assert all(opens(path, key) for key in PEOPLE)


def test_a_recipient_of_a_later_version_is_kept(path, monkeypatch):
    unknown = recipients.Stanza(9, b"from the future")
    original = recipients.make_stanza
    with monkeypatch.context() as patch:
        patch.setattr(recipients, "make_stanza", lambda *_: unknown)
        images.add_recipient(path, KEY, PEOPLE[1])
    assert unknown in stanzas(path)
    assert recipients.make_stanza is original
    images.add_recipient(path, KEY, PEOPLE[1])
    images.remove_recipient(path, PEOPLE[1], KEY)
    assert unknown in stanzas(path)
    assert [opens(path, key) for key in PEOPLE[:3]] == [False, True, False]


def test_a_recipient_goes_by_key_identity_or_fingerprint(path):
    for name in (HYBRID, HYBRID.recipient, HYBRID.fingerprint, HYBRID.fingerprint.hex()):
        images.add_recipient(path, KEY, HYBRID.recipient)
        images.remove_recipient(path, KEY, name)
        assert not opens(path, HYBRID)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (b"", ValueError),
        ("", ValueError),
        (bytes(8), ValueError),
        ("00" * 8, ValueError),
        ("zz" * 8, ValueError),
        (bytes(9), ValueError),
        (None, TypeError),
        (Passphrase("x"), TypeError),
        (KEY, ValueError),  # the last one
    ],
)
def test_who_cannot_go_changes_nothing(path, name, error):
    before = path.read_bytes()
    with pytest.raises(error):
        images.remove_recipient(path, KEY, name)
    assert path.read_bytes() == before


def test_a_passphrase_stays_alone(path, tmp_path):
    with pytest.raises(ValueError, match="only recipient"):
        images.add_recipient(path, KEY, Passphrase("six words"))
    images.save(tmp_path / "other", ARRAY, Passphrase("six words"), spare_recipients=3)
    before = (tmp_path / "other").read_bytes()
    with pytest.raises(ValueError, match="passphrase"):
        images.add_recipient(tmp_path / "other", Passphrase("six words"), KEY)
    assert (tmp_path / "other").read_bytes() == before


@pytest.mark.parametrize("new", [HYBRID, None, "key", []])
def test_who_cannot_come_changes_nothing(path, new):
    before = path.read_bytes()
    with pytest.raises((TypeError, ValueError)):
        images.add_recipient(path, KEY, new)
    assert path.read_bytes() == before


def test_a_full_file_says_so_and_stays(tmp_path):
    images.save(tmp_path / "image", ARRAY, KEY, spare_recipients=0)
    before = (tmp_path / "image").read_bytes()
    with pytest.raises(ValueError, match="room"):
        images.add_recipient(tmp_path / "image", KEY, [public(key) for key in PEOPLE])
    assert (tmp_path / "image").read_bytes() == before


def test_a_wrong_key_changes_nothing(path):
    before = path.read_bytes()
    for work in (
        lambda: images.add_recipient(path, PEOPLE[1], PEOPLE[1]),
        lambda: images.remove_recipient(path, PEOPLE[1], KEY),
    ):
        with pytest.raises(AuthenticationError):
            work()
    assert path.read_bytes() == before


# ---- crashes -------------------------------------------------------------------------------------------


class CrashError(Exception):
    """The power went."""


WORK = {
    "add": lambda path, key: images.add_recipient(path, key, HYBRID.recipient),
    "remove": lambda path, key: images.remove_recipient(path, key, PEOPLE[1]),
    "rewrap": lambda path, key: images.rewrap(path, key, [KEY, HYBRID.recipient]),
}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    name=st.sampled_from(sorted(WORK)),
    write=st.sampled_from([1, 2]),
    share=st.sampled_from([0.0, 0.001, 0.5, 0.99, 1.0]) | st.floats(0, 1),
    turns=st.integers(0, 1),
)
def test_a_crash_in_any_write_is_repaired_by_whoever_stays(tmp_path_factory, name, write, share, turns):
    path = tmp_path_factory.mktemp("crash") / "image"
    images.save(path, ARRAY, [KEY, PEOPLE[1]], spare_recipients=20)
    for _ in range(turns):
        images.rewrap(path, KEY, [KEY, PEOPLE[1]])
    done = 0

    def crashing(file, offset, data):
        nonlocal done
        done += 1
        file.seek(offset)
        file.write(data[: int(share * len(data))] if done == write else data)
        file.flush()
        if done == write:
            raise CrashError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewrapping, "_write", crashing)
        with pytest.raises(CrashError):
            WORK[name](path, KEY)
    with suppress(
        ValueError
    ):  # the removal may have come that far: then it is finished, and nobody is left to go
        WORK[name](path, KEY)
    assert opens(path, KEY)
    assert opens(path, HYBRID) == (name != "remove")
    assert opens(path, PEOPLE[1]) == (name == "add")


@pytest.mark.parametrize("call", range(1, 5))
def test_a_failing_flush_or_fsync_shuts_nobody_out(path, monkeypatch, call):
    calls = 0
    original = os.fsync

    def failing(descriptor):
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(5, "Input/output error")
        original(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing)
        with suppress(OSError):
            images.add_recipient(path, KEY, HYBRID.recipient)
    assert opens(path, KEY)
    images.add_recipient(path, KEY, HYBRID.recipient)
    assert opens(path, HYBRID)


# ---- several at once -----------------------------------------------------------------------------------


def test_writers_at_a_time_lose_nobody(path):
    people = [Identity(bytes([n]) * 64) for n in range(10, 18)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: images.add_recipient(path, KEY, one.recipient), people))
    assert all(opens(path, one) for one in people)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: images.remove_recipient(path, KEY, one), people[:4]))
    assert [opens(path, one) for one in people] == 4 * [False] + 4 * [True]


def test_who_waits_while_a_file_is_replaced_changes_the_new_one(path, monkeypatch):
    copy, begun, go_on = reencryption._copy, threading.Event(), threading.Event()

    def slowly(*args: object) -> None:
        begun.set()
        assert go_on.wait(60)
        copy(*args)

    monkeypatch.setattr(reencryption, "_copy", slowly)
    with ThreadPoolExecutor(2) as pool:
        replacing = pool.submit(images.reencrypt, path, KEY, KEY, spare_recipients=20)
        assert begun.wait(60)
        adding = pool.submit(images.add_recipient, path, KEY, HYBRID.recipient)
        time.sleep(0.2)  # it waits for the lock of the old file by now; if not, this test finds nothing
        assert not adding.done()
        go_on.set()
        replacing.result()
        adding.result()
    assert opens(path, KEY)
    assert opens(path, HYBRID)
