"""Files that appear whole or not at all."""

import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from medcrypt import durable
from medcrypt.durable import locked, new_file


def write_and(path: Path, do: Callable[[], object], **options: bool) -> None:
    with new_file(path, **options) as file:
        file.write(b"half")
        do()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_file_has_what_was_written_and_nothing_is_left_beside_it(tmp_path):
    with new_file(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert names(tmp_path) == ["a"]


def test_nothing_has_the_final_name_before_the_block_ends(tmp_path):
    with new_file(tmp_path / "a") as file:
        file.write(b"half")
        file.flush()
        assert not (tmp_path / "a").exists()


@pytest.fixture
def interruptible():
    """Let SIGINT raise: a shell that starts the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_exception_leaves_nothing(tmp_path, interruptible):
    with pytest.raises(KeyboardInterrupt):
        write_and(tmp_path / "a", lambda: signal.raise_signal(signal.SIGINT))
    assert names(tmp_path) == []


def test_an_existing_file_is_not_replaced(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(FileExistsError), new_file(tmp_path / "a"):
        pytest.fail("the block must not run")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(FileExistsError):
        write_and(tmp_path / "a", lambda: (tmp_path / "a").write_bytes(b"theirs"))
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_a_dangling_link_is_not_followed(tmp_path):
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), new_file(tmp_path / "a"):
        pytest.fail("the block must not run")
    assert not (tmp_path / "elsewhere").exists()


def test_overwrite_replaces_a_link_and_not_what_it_points_to(tmp_path):
    (tmp_path / "target").write_bytes(b"precious")
    (tmp_path / "a").symlink_to(tmp_path / "target")
    with new_file(tmp_path / "a", overwrite=True) as file:
        file.write(b"new")
    assert (tmp_path / "target").read_bytes() == b"precious"
    assert not (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").read_bytes() == b"new"


def make_device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes device nodes")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_device, make_socket])
def test_what_is_no_file_is_never_replaced(tmp_path, make):
    make(tmp_path / "a")
    before = (tmp_path / "a").lstat().st_mode
    with pytest.raises(FileExistsError), new_file(tmp_path / "a", overwrite=True):
        pytest.fail("the block must not run")
    assert (tmp_path / "a").lstat().st_mode == before
    assert names(tmp_path) == ["a"]


def test_a_pipe_that_came_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(FileExistsError):
        write_and(tmp_path / "a", lambda: os.mkfifo(tmp_path / "a"), overwrite=True)
    assert stat.S_ISFIFO((tmp_path / "a").lstat().st_mode)
    assert names(tmp_path) == ["a"]


def test_a_failed_overwrite_keeps_the_old_file(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(ZeroDivisionError):
        write_and(tmp_path / "a", lambda: 1 // 0, overwrite=True)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(("mode", "umask", "expected"), [(0o600, 0o000, 0o600), (0o666, 0o027, 0o640)])
def test_the_mode_is_asked_for_and_the_umask_takes_its_part(tmp_path, mode, umask, expected):
    before = os.umask(umask)
    try:
        with new_file(tmp_path / "a", mode=mode) as file:
            assert (
                stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
            )  # until it is whole, nobody else reads it
            assert len(names(tmp_path)) == 1
    finally:
        assert os.umask(before) == umask
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == expected


def test_permissions_can_be_asked_for_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        with new_file(tmp_path / "a", permissions=0o664) as file:
            assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o664


def test_a_file_system_without_permissions_is_no_obstacle(tmp_path, monkeypatch):
    create = durable._create

    def same_for_all(path: Path, mode: int) -> int:
        return create(path, 0o644)

    def refused(*_: object) -> None:
        raise PermissionError("no permissions here")

    monkeypatch.setattr(durable, "_create", same_for_all)
    monkeypatch.setattr(os, "fchmod", refused)
    with new_file(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert names(tmp_path) == ["a"]


def no_links(*_: object) -> None:
    raise PermissionError("no hard links here")


def test_without_hard_links_the_name_is_claimed_first(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    with new_file(tmp_path / "a") as file:
        file.write(b"whole")
    assert (tmp_path / "a").read_bytes() == b"whole"
    with pytest.raises(FileExistsError):
        write_and(tmp_path / "b", lambda: (tmp_path / "b").write_bytes(b"theirs"))
    assert (tmp_path / "b").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a", "b"]


def test_without_hard_links_a_failed_replacement_gives_the_name_back(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(os, "replace", no_links)
    with pytest.raises(PermissionError), new_file(tmp_path / "a") as file:
        file.write(b"whole")
    assert names(tmp_path) == []


def test_the_longest_names_work(tmp_path):
    name = "\N{CJK UNIFIED IDEOGRAPH-8033}" * 85  # 255 bytes, as long as file systems allow
    with new_file(tmp_path / name) as file:
        file.write(b"whole")
    assert names(tmp_path) == [name]


def test_a_killed_writer_leaves_nothing_under_the_final_name(tmp_path):
    script = (
        "import sys, time\n"
        "from medcrypt.durable import new_file\n"
        "with new_file(sys.argv[1]) as file:\n"
        "    file.write(b'x' * 100000)\n"
        "    file.flush()\n"
        "    print('written', flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    assert not (tmp_path / "a").exists()
    (left,) = names(tmp_path)
    assert left.endswith(".partial")
    assert stat.S_IMODE((tmp_path / left).stat().st_mode) == 0o600


def test_a_lock_is_held_by_one_at_a_time_and_its_file_is_for_its_owner_alone(tmp_path):
    path, entered = tmp_path / "lock", threading.Event()

    def enter():
        with locked(path):
            entered.set()

    with locked(path):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.2)
    thread.join(10)
    assert entered.is_set()
