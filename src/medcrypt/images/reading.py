"""Random access to sealed images: only the chunks that a selection needs are read and decrypted."""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import FormatError
from medcrypt.images import cobblestone, recipients, signature
from medcrypt.images.cobblestone import CHUNK, OVERHEAD, SEALED_CHUNK
from medcrypt.images.container import body_context, check_context, inner_cipher_of, metadata_context
from medcrypt.images.header import FIXED_BYTES, Header, header_size, metadata_from_bytes, parse
from medcrypt.images.inner_cipher import AES_GCM, InnerReader
from medcrypt.images.recipients import OpeningKey
from medcrypt.images.selection import Selection, in_tiles, runs_of, select
from medcrypt.images.sources import Sealed, Source, source_of
from medcrypt.keys import Recipient

__all__ = ["Sealed", "SealedImage", "open"]

Bytes: TypeAlias = NDArray[np.uint8]
PixelReader: TypeAlias = cobblestone.Reader | InnerReader

# Chunks decrypted at a time: bounds the scratch memory to 4 MiB.
_BATCH = 256
# Runs shorter than this are gathered by numpy, longer ones copied one by one.
_SHORT_RUN = 1024


def read_header(source: Source) -> tuple[Header, bytes]:
    """Read and parse the header, check that the length is the one it implies, and return it and the slots."""
    prefix = source.fetch(0, FIXED_BYTES)
    size = header_size(prefix)
    if size > source.size:
        raise FormatError("the header was cut")
    header = parse(np.concatenate([prefix, source.fetch(FIXED_BYTES, size - FIXED_BYTES)]))
    if source.size != header.form.sealed_size:
        raise FormatError(
            f"the sealed image should have {header.form.sealed_size} bytes and has {source.size}"
        )
    return header, source.fetch(header.size, 2 * header.slot_size).tobytes()


class SealedImage:
    """A sealed image open for reading: index it like an array.

    Made by `open`. Indexing decrypts only the chunks that hold the selection, each once, and authenticates every
    one of them, and the last chunk too where the selection reaches the end. Several threads may use it at a time.
    An image under the cipher ``"chaotic"`` has no parts: the first index decrypts all of it, and keeps it.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    tiles : tuple of int or None
        Shape of the tiles, an entry for each axis; None where the pixels are stored in C order.
    metadata : dict
        The encrypted metadata.
    public_metadata : dict
        The metadata that anyone can read; here they are authenticated.
    """

    def __init__(self, source: Source, key: OpeningKey, context: bytes, sender: Recipient | None) -> None:
        check_context(context)
        self._source = source
        header, area = read_header(source)
        file_key, prepared, *_ = recipients.open_slots(header, area, key)
        self._header, form = header, header.form
        self.shape, self.dtype, self.tiles = form.shape, form.dtype, form.tiles
        self._hashes = self._verified_hashes(sender, context)
        self._stored = cobblestone.Reader(
            file_key, form.stored_size, self._fetch_body, body_context(header, context)
        )
        self._reader: PixelReader = self._stored
        if form.cipher != AES_GCM:
            inner = inner_cipher_of(header, prepared, context)
            self._reader = InnerReader(form.cipher, inner, self._stored)
        private = header.private
        if private:
            binding = metadata_context(header.data[: -len(private)], context)
            private = cobblestone.decrypt(file_key, private, binding, threads=1)
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
        return self._header.form.data_size

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
        selection = select(self.shape, index)
        pixels = self._read(selection)[selection.finish]
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
        chunks = self._header.form.chunks
        for first in range(0, chunks, _BATCH):
            self._stored.read_chunks(first, min(first + _BATCH, chunks))

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
        form = self._header.form
        preamble = self._source.fetch(form.body_start, OVERHEAD).tobytes()
        trailer = self._source.fetch(form.body_end, form.trailer_size).tobytes()
        return signature.verify(sender, self._header, context, preamble, trailer)

    def _fetch_body(self, offset: int, length: int) -> Bytes:
        data = self._source.fetch(self._header.form.body_start + offset, length)
        if self._hashes and offset >= OVERHEAD:
            signature.check_chunks(self._hashes, (offset - OVERHEAD) // SEALED_CHUNK, data)
        return data

    def _read(self, selection: Selection) -> NDArray[Any]:
        """Return the pixels that a selection needs, in ascending order along every axis."""
        layout, itemsize = self._header.form.layout, self.dtype.itemsize
        ahead = _Ahead(self._reader)
        pixels: NDArray[Any] | None = None
        for tile, ranges, place in in_tiles(layout, selection):
            runs = runs_of(tile.extent, itemsize, ranges, CHUNK)
            read = ahead.read(runs.starts + tile.start * itemsize, runs.run)
            part = read.view(self.dtype).reshape(runs.shape)[runs.steps]
            if part.shape == selection.shape:
                pixels = part  # one tile holds it all: no copy
                break
            if pixels is None:
                pixels = np.empty(selection.shape, self.dtype)
            pixels[place] = part
        if not self.nbytes or ahead.position == self.nbytes:
            self._reader.verify_end()
        return np.empty(selection.shape, self.dtype) if pixels is None else pixels


class _Ahead:
    """Reads runs in ascending order and decrypts every chunk once, though two runs may share it."""

    def __init__(self, reader: PixelReader) -> None:
        self._reader = reader
        self._first, self._plain = 0, np.empty(0, np.uint8)  # the chunks decrypted last
        self.position = 0  # where the last run ended

    def read(self, starts: NDArray[np.int64], run: int) -> Bytes:
        """Return runs of ``run`` bytes, one after another; they lie behind those read before."""
        out = np.empty(starts.size * run, np.uint8)
        if not out.size:
            return out
        rows = out.reshape(starts.size, run)
        for first, stop in _batches(starts, run):
            decrypted = self._first + -(-self._plain.size // CHUNK)
            if first < decrypted:
                _copy_runs(self._plain, self._first * CHUNK, starts, run, rows)
            if stop > decrypted:
                self._first = max(first, decrypted)
                self._plain = self._reader.read_chunks(self._first, stop)
                _copy_runs(self._plain, self._first * CHUNK, starts, run, rows)
        self.position = int(starts[-1]) + run
        return out


def open(  # noqa: A001 - the field's verb; used as images.open
    sealed: Sealed, key: OpeningKey, *, context: bytes = b"", sender: Recipient | None = None
) -> SealedImage:
    """Open a sealed image for random access.

    Parameters
    ----------
    sealed
        A path; bytes, an array of them or a map of a file (`mmap`, `numpy.memmap`); a seekable binary file; or
        an ``fsspec.core.OpenFile``, of which only ranges are read. A file object that reads ahead, as fsspec's
        do by default, goes on doing so.
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
