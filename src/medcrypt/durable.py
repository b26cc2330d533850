"""Files that appear whole or not at all.

A crash, a full disk or a second writer never leaves half a file under the final name, and an existing
file is replaced only when the caller says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["lock", "locked", "new_file", "remove_partial_files"]

_PARTIAL = ".partial"
_PARTIAL_NAME = re.compile(r"\.[0-9a-f]{32}\.partial")


@contextlib.contextmanager
def new_file(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    mode: int = 0o666,
    permissions: int | None = None,
) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` and give it that name once everything is on disk.

    Until then nobody but its owner can open it: it may hold plaintext that is not yet known to be authentic.

    Parameters
    ----------
    path
        The final name.
    overwrite
        Replace an existing file or link (atomically); otherwise it stays and ``FileExistsError`` is raised. A
        folder, device, pipe or socket is never replaced.
    mode
        Permission bits of the new file, before the process's umask.
    permissions
        Instead, exactly these permission bits, whatever the umask.

    Yields
    ------
    BinaryIO
        A file open for reading and writing. Whatever the ``with`` block raises removes it; a process that is
        killed leaves at most a hidden file ``.*.partial`` beside the final name.

    Raises
    ------
    FileExistsError
        ``path`` exists (be it as a dangling link) and ``overwrite`` is false, whether it was there before or
        came meanwhile; or it is something that is never replaced.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with new_file(folder / "a.bin") as file:
    ...     _ = file.write(b"whole")
    >>> (folder / "a.bin").read_bytes()
    b'whole'
    """
    path = Path(path)
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{path} exists; it is not replaced unless you ask for it")
    _check_replaceable(path)
    temporary = path.parent / f".{secrets.token_hex(16)}{_PARTIAL}"
    granted = _granted(path.parent, mode) if permissions is None else permissions
    descriptor = _create(temporary, granted & 0o600)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
            file.flush()
            _grant(descriptor, granted)
            os.fsync(descriptor)
        _give_name(temporary, path, overwrite=overwrite)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _create(path: Path, mode: int) -> int:
    """Create a file that must not exist, and return its descriptor."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)


def _grant(descriptor: int, mode: int) -> None:
    """Give a file its permission bits; file systems without such show all files the same, and may refuse."""
    if hasattr(os, "fchmod") and stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        os.fchmod(descriptor, mode)


def _granted(folder: Path, mode: int) -> int:
    """Return the permission bits that a new file in a folder gets.

    The system says so itself, by an empty file: reading the umask would mean to change it for every thread.
    """
    if not (mode & 0o077 and hasattr(os, "fchmod")):
        return mode
    trial = folder / f".{secrets.token_hex(16)}{_PARTIAL}"
    descriptor = _create(trial, mode)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)
        os.unlink(trial)


def _check_replaceable(path: Path) -> None:
    """Refuse what is no file: a new one in the place of /dev/null would break every program that uses it."""
    with contextlib.suppress(FileNotFoundError):
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            raise FileExistsError(errno.EEXIST, "exists and is not a file", str(path))


def _give_name(temporary: Path, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        _check_replaceable(path)
        os.replace(temporary, path)
        return
    try:
        if sys.platform == "win32":
            os.rename(temporary, path)  # fails there where the name is taken
        else:
            _link(temporary, path)
    except FileExistsError:
        raise FileExistsError(f"{path} exists; it is not replaced unless you ask for it") from None


def _link(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)  # unlike rename, link fails where the name was taken meanwhile
    except FileExistsError:
        raise
    except OSError:
        _claim(temporary, path)
    else:
        os.unlink(temporary)


def _claim(temporary: Path, path: Path) -> None:
    """Take a name on a file system without hard links: an empty file first, then the whole one over it."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        os.replace(temporary, path)
    except BaseException:
        os.unlink(path)
        raise


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed writers have left in a folder and below it; nobody may be writing there meanwhile."""
    for path in folder.rglob(f".*{_PARTIAL}"):
        if _PARTIAL_NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            path.unlink()


@contextlib.contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock that a file carries; one thread of one process at a time does.

    Parameters
    ----------
    path
        The file: made, empty and for its owner alone, where it is missing. It stays.

    Examples
    --------
    >>> import tempfile
    >>> with locked(Path(tempfile.mkdtemp()) / "counts.lock"):
    ...     print("alone")
    alone
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600)
    try:
        lock(descriptor)
        yield
    finally:
        os.close(descriptor)  # which also unlocks


if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int) -> None:
        """Wait for, and take, the lock on the first byte of an open file; closing it lets go."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)

else:
    import fcntl

    def lock(descriptor: int) -> None:
        """Wait for, and take, the lock on an open file; closing it lets go."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
