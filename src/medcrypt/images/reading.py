"""Random access to sealed images: only the chunks that a selection needs are read and decrypted."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import FormatError
from medcrypt.images import cobblestone, recipients, signature
from medcrypt.images.cobblestone import CHUNK, OVERHEAD, SEALED_CHUNK
from medcrypt.images.container import body_context, check_context, metadata_context
from medcrypt.images.header import FIXED_BYTES, Header, header_size, metadata_from_bytes, parse
from medcrypt.images.recipients import OpeningKey
from medcrypt.images.selection import Selection, select
from medcrypt.keys import Recipient

__all__ = ["SealedImage", "open"]

Bytes: TypeAlias = NDArray[np.uint8]
PathLike: TypeAlias = str | os.PathLike[str]
Sealed: TypeAlias = PathLike | BinaryIO | bytes | bytearray | memoryview | NDArray[Any]

# Chunks decrypted at a time: bounds the scratch memory to 4 MiB.
_BATCH = 256
# Runs shorter than this are gathered by numpy, longer ones copied one by one.
_SHORT_RUN = 1024


class Source(Protocol):
    """Bytes that can be read at any place."""

    size: int

    def fetch(self, offset: int, length: int) -> Bytes:
        """Return ``length`` bytes from ``offset`` on; fewer at the end."""

    def close(self) -> None:
        """Let go of the underlying file, where it was opened here."""


class MemorySource:
    """A sealed image in memory."""

    def __init__(self, data: cobblestone.Buffer) -> None:
        self._data = cobblestone.as_bytes(data)
        self.size = self._data.size

    def fetch(self, offset: int, length: int) -> Bytes:
        """Return a view."""
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Nothing to close."""


class FileSource:
    """A sealed image in a seekable binary file."""

    def __init__(self, file: BinaryIO, *, owned: bool) -> None:
        self._file, self._owned = file, owned
        self._lock = threading.Lock()  # seek and read belong together
        self.size = file.seek(0, os.SEEK_END)

    def fetch(self, offset: int, length: int) -> Bytes:
        """Read that part of the file."""
        data = np.empty(min(length, max(self.size - offset, 0)), np.uint8)
        filled = 0
        with self._lock:
            self._file.seek(offset)
            while filled < data.size and (part := self._file.read(data.size - filled)):
                data[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
                filled += len(part)
        return data[:filled]

    def close(self) -> None:
        """Close the file if it was opened here."""
        if self._owned:
            self._file.close()


def source_of(sealed: Sealed) -> Source:
    """Open a path, or wrap a binary file or bytes."""
    if isinstance(sealed, str | os.PathLike):
        return FileSource(Path(sealed).open("rb"), owned=True)
    if isinstance(sealed, bytes | bytearray | memoryview | np.ndarray):
        return MemorySource(sealed)
    if not all(hasattr(sealed, method) for method in ("read", "seek")):
        raise TypeError(f"cannot read a sealed image from {type(sealed).__name__}")
    return FileSource(sealed, owned=False)


def read_header(source: Source) -> tuple[Header, bytes]:
    """Read and parse the header, check that the length is the one it implies, and return it and the slots."""
    prefix = source.fetch(0, FIXED_BYTES)
    size = header_size(prefix)
    if size > source.size:
        raise FormatError("the header was cut")
    header = parse(source.fetch(0, size))
    if source.size != header.sealed_size:
        raise FormatError(f"the sealed image should have {header.sealed_size} bytes and has {source.size}")
    return header, source.fetch(header.size, 2 * header.slot_size).tobytes()


class SealedImage:
    """A sealed image open for reading: index it like an array.

    Made by `open`. Indexing decrypts only the chunks that hold the selection, and authenticates every one of
    them, and the last chunk too where the selection reaches the end. It can be used from several threads.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    metadata : dict
        The encrypted metadata.
    public_metadata : dict
        The metadata that anyone can read; here they are authenticated.
    """

    def __init__(self, source: Source, key: OpeningKey, context: bytes, sender: Recipient | None) -> None:
        check_context(context)
        self._source = source
        header, area = read_header(source)
        file_key, *_ = recipients.open_slots(header, area, key)
        self._header = header
        self.shape, self.dtype = header.shape, header.dtype
        self._hashes = self._verified_hashes(sender, context)
        self._reader = cobblestone.Reader(
            file_key, header.data_size, self._fetch_body, body_context(header, context)
        )
        private = header.private
        if private:
            private = cobblestone.decrypt(file_key, private, metadata_context(header, context), threads=1)
        self.metadata = metadata_from_bytes(private)
        self.public_metadata = metadata_from_bytes(header.public)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return self._header.data_size

    @property
    def chunks_read(self) -> int:
        """How many chunks of 16 KiB have been decrypted so far."""
        return self._reader.chunks_read

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a sealed image without axes has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"SealedImage(shape={self.shape}, dtype={self.dtype.str!r})"

    def __getitem__(self, index: Any) -> Any:
        """Return ``array[index]`` for integers, slices, Ellipsis and None.

        Raises
        ------
        AuthenticationError
            A chunk that was needed has been changed.
        IndexError, TypeError
            As numpy; fancy and boolean indices are a ``TypeError``.
        """
        selection = select(self.shape, self.dtype.itemsize, index, CHUNK)
        pixels = self._read(selection).view(self.dtype).reshape(selection.read_shape)[selection.finish]
        return np.ascontiguousarray(pixels) if isinstance(pixels, np.ndarray) and pixels.ndim else pixels

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a sealed image cannot become an array without being copied")
        whole = np.asarray(self[...])
        return whole if dtype is None else whole.astype(dtype)

    def verify(self) -> None:
        """Authenticate every chunk without keeping the pixels.

        Raises
        ------
        AuthenticationError
            Some chunk was changed.
        """
        for first in range(0, self._header.chunks, _BATCH):
            self._reader.read_chunks(first, min(first + _BATCH, self._header.chunks))

    def close(self) -> None:
        """Close the file, if `open` opened it."""
        self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _verified_hashes(self, sender: Recipient | None, context: bytes) -> bytes:
        header = self._header
        preamble = self._source.fetch(header.body_start, OVERHEAD).tobytes()
        trailer = self._source.fetch(header.body_start + header.body_size, header.trailer_size).tobytes()
        return signature.verify(sender, header, context, preamble, trailer)

    def _fetch_body(self, offset: int, length: int) -> Bytes:
        data = self._source.fetch(self._header.body_start + offset, length)
        if self._hashes and offset >= OVERHEAD:
            signature.check_chunks(self._hashes, (offset - OVERHEAD) // SEALED_CHUNK, data)
        return data

    def _read(self, selection: Selection) -> Bytes:
        """Return the runs of a selection one after another."""
        starts, run = selection.starts, selection.run
        out = np.empty(starts.size * run, np.uint8)
        rows = out.reshape(starts.size, run)
        if out.size:
            for first, stop in _batches(starts, run):
                plain = self._reader.read_chunks(first, stop)
                _copy_runs(plain, first * CHUNK, starts, run, rows)
        if not self.nbytes or (out.size and starts[-1] + run == self.nbytes):
            self._reader.verify_end()
        return out


def open(  # noqa: A001 - the field's verb; used as images.open
    sealed: Sealed, key: OpeningKey, *, context: bytes = b"", sender: Recipient | None = None
) -> SealedImage:
    """Open a sealed image for random access.

    Parameters
    ----------
    sealed
        A path, a seekable binary file, or the sealed bytes.
    key, context, sender
        As for `decrypt`. A sender's signature costs one hash of each chunk that is read.

    Returns
    -------
    SealedImage
        Index it like an array; use it in a ``with`` statement or close it.

    Raises
    ------
    AuthenticationError
        Wrong key, context or sender, or header or recipients were changed.
    FormatError
        Not a sealed image, or one that was cut or extended.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey, images
    >>> key = SecretKey.generate()
    >>> sealed = images.encrypt(np.arange(10**6).reshape(100, 100, 100), key)
    >>> with images.open(sealed, key) as volume:
    ...     volume[50, 2, :3], volume.chunks_read
    (array([500200, 500201, 500202]), 1)
    """
    source = source_of(sealed)
    try:
        return SealedImage(source, key, context, sender)
    except BaseException:
        source.close()
        raise


def _batches(starts: NDArray[np.int64], run: int) -> list[tuple[int, int]]:
    """Return consecutive chunk ranges (first, stop) that cover all runs, each chunk once."""
    firsts, stops = starts // CHUNK, (starts + run - 1) // CHUNK + 1
    batches: list[tuple[int, int]] = []
    begin = end = int(firsts[0])
    for first, stop in zip(firsts.tolist(), stops.tolist(), strict=True):
        if first > end:
            batches += _cut(begin, end)
            begin = first
        end = max(end, stop)
    return batches + _cut(begin, end)


def _cut(begin: int, end: int) -> list[tuple[int, int]]:
    return [(first, min(first + _BATCH, end)) for first in range(begin, end, _BATCH)]


def _copy_runs(plain: Bytes, offset: int, starts: NDArray[np.int64], run: int, rows: Bytes) -> None:
    """Copy what ``plain`` (bytes from ``offset`` on) holds of each run into that run's row."""
    end = offset + plain.size
    inside = slice(
        int(np.searchsorted(starts, offset)), int(np.searchsorted(starts, end - run, side="right"))
    )
    touched = range(
        int(np.searchsorted(starts, offset - run, side="right")), int(np.searchsorted(starts, end))
    )
    if run < _SHORT_RUN and inside.stop > inside.start:
        rows[inside] = plain[(starts[inside] - offset)[:, None] + np.arange(run)]
        touched_slow = [row for row in (touched[0], touched[-1]) if not inside.start <= row < inside.stop]
    else:
        touched_slow = list(touched)
    for row in touched_slow:
        start = int(starts[row])
        low, high = max(start, offset), min(start + run, end)
        rows[row, low - start : high - start] = plain[low - offset : high - offset]
