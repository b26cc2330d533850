"""Where sealed bytes are read from: memory, files, file objects, and whatever fsspec reaches.

Every source reads at a place and keeps none, so that several threads can read at a time; none reads more than it
is asked for.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import stat
import threading
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeAlias, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from medcrypt.images import cobblestone

Bytes: TypeAlias = NDArray[np.uint8]
PathLike: TypeAlias = str | os.PathLike[str]


class RangeReadable(Protocol):
    """What `fsspec` calls a file system, as far as it is needed here."""

    def size(self, path: str) -> int | None:
        """Return the bytes of a file."""

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        """Return a range of bytes of a file."""


class RemoteFile(Protocol):
    """A file that has not been opened, such as `fsspec.core.OpenFile`."""

    fs: RangeReadable
    path: str
    compression: str | None

    def open(self) -> BinaryIO:
        """Open it."""


Sealed: TypeAlias = (
    PathLike | BinaryIO | RemoteFile | bytes | bytearray | memoryview | mmap.mmap | NDArray[Any]
)


class Source(Protocol):
    """Bytes that can be read at any place."""

    size: int

    def fetch(self, offset: int, length: int) -> Bytes:
        """Return ``length`` bytes from ``offset`` on; fewer at the end."""

    def close(self) -> None:
        """Let go of the underlying file, where it was opened here."""


class MemorySource:
    """A sealed image in memory, or mapped into it."""

    def __init__(self, data: cobblestone.Buffer) -> None:
        self._data = cobblestone.as_bytes(data)
        self.size = self._data.size

    def fetch(self, offset: int, length: int) -> Bytes:
        """Return a view."""
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Let go of the memory: a map can be closed only when nobody looks at it."""
        self._data = np.empty(0, np.uint8)


class DescriptorSource:
    """A regular file, read by descriptor: neither its position nor its buffer is used or changed."""

    def __init__(self, file: io.FileIO | io.BufferedReader, *, owned: bool) -> None:
        self._file, self._owned = file, owned
        self.size = os.fstat(file.fileno()).st_size

    def fetch(self, offset: int, length: int) -> Bytes:
        """Read that part of the file."""
        data = np.empty(max(min(length, self.size - offset), 0), np.uint8)
        filled, descriptor = 0, self._file.fileno()
        while filled < data.size and (got := os.preadv(descriptor, [data[filled:].data], offset + filled)):
            filled += got
        return data[:filled]

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._owned:
            self._file.close()


class FileSource:
    """Any seekable binary file object, as unbuffered as it is itself."""

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        self._file, self._owned = file, owned
        self._lock = threading.Lock()  # seek and read belong together
        self.size = file.seek(0, os.SEEK_END)

    def fetch(self, offset: int, length: int) -> Bytes:
        """Read that part of the file."""
        data = np.empty(max(min(length, self.size - offset), 0), np.uint8)
        filled = 0
        with self._lock:
            self._file.seek(offset)
            while filled < data.size and (got := self._read_into(data[filled:])):
                filled += got
        return data[:filled]

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._owned:
            self._file.close()

    def _read_into(self, target: Bytes) -> int:
        if hasattr(self._file, "readinto"):
            return int(self._file.readinto(target.data) or 0)
        part = self._file.read(target.size)
        target[: len(part)] = np.frombuffer(part, np.uint8)
        return len(part)


class RemoteSource:
    """A file of an fsspec file system, read by ranges: each costs one request, and nothing is read ahead."""

    def __init__(self, file: RemoteFile, size: int) -> None:
        self._file, self.size = file, size

    def fetch(self, offset: int, length: int) -> Bytes:
        """Read that part of the file."""
        end = min(offset + length, self.size)
        if offset >= end:
            return np.empty(0, np.uint8)
        return np.frombuffer(self._file.fs.cat_file(self._file.path, start=offset, end=end), np.uint8)

    def close(self) -> None:
        """Nothing to close."""


def source_of(sealed: Sealed) -> Source:
    """Open what a caller may give for a sealed image, or raise ``TypeError``."""
    if isinstance(sealed, bytes | bytearray | memoryview | np.ndarray):
        return MemorySource(sealed)
    if isinstance(sealed, mmap.mmap):
        return MemorySource(memoryview(sealed))
    if _is_remote(sealed):  # asked before paths: fsspec's is a path as well, of the last resort
        return _remote(sealed)
    if isinstance(sealed, str | os.PathLike):
        return _opened(Path(sealed))
    if not all(hasattr(sealed, method) for method in ("read", "seek")):
        raise TypeError(f"cannot read a sealed image from {type(sealed).__name__}")
    # Only the standard classes themselves: a file of another class may hold something else than its descriptor.
    if type(sealed) in (io.FileIO, io.BufferedReader) and _has_plain_descriptor(sealed):
        return DescriptorSource(sealed, owned=False)
    return FileSource(cast("BinaryIO", sealed), owned=False)


def _opened(path: Path) -> Source:
    file = path.open("rb", buffering=0)
    try:
        if _has_plain_descriptor(file):
            return DescriptorSource(file, owned=True)
        return FileSource(file, owned=True)
    except BaseException:
        file.close()
        raise


def _has_plain_descriptor(file: object) -> TypeGuard[io.FileIO | io.BufferedReader]:
    """Tell whether the system reads this file at a place: a regular file, and a system with `os.preadv`."""
    if not hasattr(os, "preadv"):
        return False
    raw = file.raw if isinstance(file, io.BufferedReader) else file
    with contextlib.suppress(OSError):
        return type(raw) is io.FileIO and stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
    return False


def _is_remote(sealed: object) -> TypeGuard[RemoteFile]:
    """Tell whether this is fsspec's OpenFile, by what it can do: fsspec itself need not be installed."""
    found = all(hasattr(sealed, name) for name in ("fs", "path", "compression", "open"))
    return found and hasattr(sealed.fs, "cat_file")  # type: ignore[attr-defined]


def _remote(sealed: RemoteFile) -> Source:
    size = None if sealed.compression else sealed.fs.size(sealed.path)
    if size is None:  # compressed, or a server that does not say: the file object has to find out
        return FileSource(sealed.open(), owned=True)
    return RemoteSource(sealed, size)
