"""Files that appear whole or not at all.

A crash, a full disk or a second writer never leaves half a file under the final name, and an existing
file is replaced only when the caller says so.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["new_file"]


@contextlib.contextmanager
def new_file(
    path: str | os.PathLike[str], *, overwrite: bool = False, mode: int = 0o666
) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path`` and give it that name once everything is on disk.

    Parameters
    ----------
    path
        The final name.
    overwrite
        Replace an existing file (atomically); otherwise it stays and ``FileExistsError`` is raised.
    mode
        Permission bits of the new file, before the process's umask.

    Yields
    ------
    BinaryIO
        A file open for reading and writing. Whatever the ``with`` block raises removes it.

    Raises
    ------
    FileExistsError
        ``path`` exists and ``overwrite`` is false, whether it was there before or came meanwhile.

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
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            os.fchmod(file.fileno(), mode & ~_umask())
            yield file
            file.flush()
            os.fsync(file.fileno())
        _give_name(temporary, path, overwrite=overwrite)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _give_name(temporary: str, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        os.replace(temporary, path)
        return
    try:
        os.link(temporary, path)  # unlike rename, link fails where the name is taken meanwhile
    except FileExistsError:
        raise FileExistsError(f"{path} exists; it is not replaced unless you ask for it") from None
    except OSError:  # a file system without hard links: claim the name first, then replace our own claim
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def _umask() -> int:
    """Return the umask; the only portable way to read it is to set it."""
    current = os.umask(0o077)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
