"""The ledger forgets nothing that mattered, whatever happens to the process."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from medcrypt import FormatError, ProtocolError
from medcrypt.aggregation import Ledger

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "aggregation" / "ledgers.json").read_text())
KEY = bytes(range(32))


def h(number):
    return number.to_bytes(32, "big")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "notary.ledger"


@pytest.fixture
def ledger(path):
    return Ledger.create(path, "notary", KEY)


@pytest.mark.parametrize("vector", VECTORS["vectors"])
def test_files_are_those_of_the_vectors(vector, path):
    ledger = Ledger.create(path, vector["owner"], bytes.fromhex(vector["fingerprint"]))
    for plan, contributions in vector["records"]:
        ledger.claim(bytes.fromhex(plan), bytes.fromhex(contributions))
    assert path.read_bytes().hex() == vector["file"]


def test_one_set_for_each_plan_and_the_same_set_again(ledger, path):
    ledger.claim(h(1), h(10))
    ledger.claim(h(2), h(20))
    size = path.stat().st_size
    for again in (ledger, Ledger(path, "notary", KEY)):
        again.claim(h(1), h(10))
        with pytest.raises(ProtocolError, match="another set"):
            again.claim(h(1), h(11))
    assert path.stat().st_size == size


def test_only_its_owner_can_read_it(ledger, path):
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_ledger_is_never_made_twice_nor_silently(ledger, path):
    with pytest.raises(FileExistsError):
        Ledger.create(path, "notary", KEY)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        Ledger(path, "notary", KEY)
    with pytest.raises(FileNotFoundError):
        ledger.claim(h(1), h(10))
    assert not path.exists()


def test_somebody_elses_ledger_is_refused(ledger, path):
    for owner, key in (("ministry", KEY), ("notary", bytes(32))):
        with pytest.raises(FormatError, match="another holder or key"):
            Ledger(path, owner, key)
    with pytest.raises(ValueError, match="32 bytes"):
        Ledger(path, "notary", b"short")


def test_a_record_cut_short_anywhere_is_overwritten(ledger, path):
    ledger.claim(h(1), h(10))
    whole = path.read_bytes()
    ledger.claim(h(2), h(20))
    longer = path.read_bytes()
    for cut in range(len(whole), len(longer)):
        path.write_bytes(longer[:cut])
        Ledger(path, "notary", KEY).claim(h(2), h(21))
        assert path.read_bytes()[: len(whole)] == whole
        assert len(path.read_bytes()) == len(longer)
        with pytest.raises(ProtocolError):
            ledger.claim(h(1), h(11))


@pytest.mark.parametrize("zeros", [1, 95, 96, 97, 192, 4096])
def test_zeros_that_a_file_system_left_are_overwritten(ledger, path, zeros):
    ledger.claim(h(1), h(10))
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(zeros))
    ledger.claim(h(2), h(20))
    assert len(path.read_bytes()) == len(whole) + 96
    with pytest.raises(ProtocolError):
        Ledger(path, "notary", KEY).claim(h(1), h(11))


def test_a_changed_byte_anywhere_is_noticed(ledger, path):
    ledger.claim(h(1), h(10))
    ledger.claim(h(2), h(20))
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            ledger.claim(h(3), h(30))
        with pytest.raises(FormatError):
            Ledger(path, "notary", KEY)


def test_a_record_taken_out_of_the_middle_is_noticed(ledger, path):
    for i in range(3):
        ledger.claim(h(i), h(10 + i))
    whole = path.read_bytes()
    path.write_bytes(whole[:37] + whole[37 + 96 :])
    with pytest.raises(FormatError, match="damaged"):
        Ledger(path, "notary", KEY)


def test_the_head_changes_with_every_record_and_tells_an_older_copy(ledger, path):
    heads, older = [ledger.head], None
    for i in range(3):
        ledger.claim(h(i), h(10 + i))
        heads.append(ledger.head)
        older = older or path.read_bytes()
    assert len(set(heads)) == 4
    ledger.claim(h(0), h(10))
    assert ledger.head == heads[-1]
    path.write_bytes(older)
    assert ledger.head == heads[1]


def test_nothing_counts_that_could_not_be_written(ledger, path, monkeypatch):
    def fail(_descriptor):
        raise OSError("the disk is full")

    before = ledger.head
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="full"):
        ledger.claim(h(1), h(10))
    monkeypatch.undo()
    assert before != b""  # what was written may be there, and then it binds; if not, nothing was opened
    ledger.claim(h(1), h(10))
    with pytest.raises(ProtocolError):
        ledger.claim(h(1), h(11))


def _claim_many(path, number, results):
    ledger = Ledger(path, "notary", KEY)
    for plan in range(20):
        try:
            ledger.claim(h(plan), h(1000 * number))
            results.put((plan, number))
        except ProtocolError:
            pass


def test_of_many_processes_one_wins_each_round(ledger, path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    processes = [context.Process(target=_claim_many, args=(path, i, results)) for i in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    won = sorted(results.get()[0] for _ in range(20))
    assert won == list(range(20))
    assert results.empty()
    Ledger(path, "notary", KEY)
