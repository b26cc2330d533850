"""Material that lies ready is given out once, also after a crash, and to whoever puts files back."""

import copy
import pickle
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import ProtocolError
from medcrypt.inference.preprocessing import MemoryStock, SealedStock

SESSION = bytes(range(32))
MATERIAL = [b"", b"mask" * 10, bytes(20_000)]


@pytest.fixture(params=["memory", "disk"])
def stock(request, tmp_path):
    stock = MemoryStock() if request.param == "memory" else SealedStock(tmp_path / "stock", SESSION, 0)
    yield stock
    stock.close()


def test_material_comes_back_as_it_was_once(stock):
    stock.put(1, 5, MATERIAL)
    stock.put(2, 5, [b"other"])
    stock.put(3, 7, [b"third"])
    assert (len(stock), stock.count(5), stock.find(5), stock.find(6)) == (3, 2, 1, None)
    assert stock.take(1, 5) == MATERIAL
    assert stock.find(5) == 2
    with pytest.raises(ProtocolError, match="no unused material"):
        stock.take(1, 5)


def test_material_for_another_number_of_inputs_is_refused(stock):
    stock.put(1, 5, MATERIAL)
    with pytest.raises(ProtocolError):
        stock.take(1, 6)
    assert stock.take(1, 5) == MATERIAL


def test_a_number_is_taken_in_once_even_after_it_was_burnt(stock):
    stock.put(1, 5, MATERIAL)
    stock.take(1, 5)
    with pytest.raises(ProtocolError, match="dealt before"):
        stock.put(1, 5, MATERIAL)


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_any_material_survives_the_disk(tmp_path_factory, materials):
    stock = SealedStock(tmp_path_factory.mktemp("stock"), SESSION, 1)
    stock.put(1, 1, materials)
    assert stock.take(1, 1) == materials


def test_nothing_readable_lies_on_disk(tmp_path):
    stock = SealedStock(tmp_path, SESSION, 0)
    stock.put(1, 5, MATERIAL)
    sealed = (tmp_path / SESSION.hex() / "1.batch").read_bytes()
    assert b"mask" not in sealed
    assert (tmp_path / SESSION.hex() / "1.batch").stat().st_mode & 0o077 == 0
    with pytest.raises(TypeError):
        pickle.dumps(stock)
    with pytest.raises(TypeError):
        copy.copy(stock)


def test_a_number_is_on_disk_as_burnt_and_its_file_gone_before_the_material_is_opened(tmp_path, monkeypatch):
    stock = SealedStock(tmp_path, SESSION, 0)
    stock.put(3, 5, MATERIAL)
    folder, seen, synced = tmp_path / SESSION.hex(), [], []
    module = __import__("medcrypt.inference.preprocessing", fromlist=["cobblestone"])
    fsync, decrypt = module.os.fsync, module.cobblestone.decrypt
    monkeypatch.setattr(module.os, "fsync", lambda descriptor: (synced.append(descriptor), fsync(descriptor)))

    def looking(*arguments):
        seen.append(((folder / "burnt").read_bytes(), (folder / "3.batch").exists(), len(synced)))
        return decrypt(*arguments)

    monkeypatch.setattr(module.cobblestone, "decrypt", looking)
    stock.take(3, 5)
    assert seen == [((3).to_bytes(8, "big"), False, 2)]


def test_a_file_that_is_put_back_is_refused(tmp_path):
    stock, folder = SealedStock(tmp_path, SESSION, 0), tmp_path / SESSION.hex()
    stock.put(1, 5, MATERIAL)
    shutil.copytree(folder, tmp_path / "backup")
    stock.take(1, 5)
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "backup", folder)  # the list of what was burnt goes back, too
    with pytest.raises(ProtocolError):
        stock.take(1, 5)


def test_a_file_under_another_number_is_refused(tmp_path):
    stock, folder = SealedStock(tmp_path, SESSION, 0), tmp_path / SESSION.hex()
    stock.put(1, 5, MATERIAL)
    stock.put(2, 5, [b"other"])
    shutil.copy(folder / "1.batch", folder / "2.batch")
    stock.take(1, 5)
    with pytest.raises(ProtocolError, match="damaged"):
        stock.take(2, 5)


@pytest.mark.parametrize("how", ["flip", "cut", "gone"])
def test_damaged_material_is_refused_and_burnt(tmp_path, how):
    stock, path = SealedStock(tmp_path, SESSION, 0), tmp_path / SESSION.hex() / "1.batch"
    stock.put(1, 5, MATERIAL)
    data = bytearray(path.read_bytes())
    data[100] ^= 1
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data if how == "flip" else data[:-1])
    for message in ("damaged", "no unused"):
        with pytest.raises(ProtocolError, match=message):
            stock.take(1, 5)


def test_what_a_crashed_process_leaves_cannot_be_opened_by_the_next_and_is_removed(tmp_path):
    crashed = SealedStock(tmp_path, SESSION, 0)
    crashed.put(1, 5, MATERIAL)
    left = (tmp_path / SESSION.hex() / "1.batch").read_bytes()
    later = SealedStock(tmp_path, bytes(32), 0)
    assert [path.name for path in tmp_path.iterdir()] == [bytes(32).hex()]
    later.put(1, 5, [b"new"])
    (tmp_path / bytes(32).hex() / "1.batch").write_bytes(left)
    with pytest.raises(ProtocolError, match="damaged"):
        later.take(1, 5)


def test_a_session_is_joined_once(tmp_path):
    SealedStock(tmp_path, SESSION, 0)
    with pytest.raises(FileExistsError):
        SealedStock(tmp_path, SESSION, 0)


def test_closing_leaves_nothing_and_other_peoples_files_alone(tmp_path):
    (tmp_path / "notes").mkdir()
    stock = SealedStock(tmp_path, SESSION, 0)
    stock.put(1, 5, MATERIAL)
    stock.close()
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    with pytest.raises(ProtocolError):
        stock.take(1, 5)
