"""Sealed files written as a stream: the pixels pass through a small buffer, the file appears when it is whole."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from medcrypt.durable import new_file
from medcrypt.images import cobblestone, signature
from medcrypt.images.cobblestone import CHUNK, SEALED_CHUNK, TAG, as_bytes
from medcrypt.images.container import Request, as_pixels, body_context, inner_cipher_of
from medcrypt.images.header import Metadata
from medcrypt.images.inner_cipher import COUNTER, NETWORK, Inner
from medcrypt.images.layout import Layout
from medcrypt.images.recipients import SealingKey
from medcrypt.images.sources import PathLike
from medcrypt.keys import Identity

__all__ = ["SealedWriter", "create"]

Bytes: TypeAlias = NDArray[np.uint8]

# Chunks sealed at a time: 1 MiB, which stays in a core's cache between the copy, the cipher and the file.
_BATCH = 64


def create(
    path: PathLike,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    key: SealingKey | Iterable[SealingKey],
    *,
    tiles: Sequence[int] | None = None,
    overwrite: bool = False,
    cipher: str = "aes-256-gcm",
    context: bytes = b"",
    metadata: Metadata | None = None,
    public_metadata: Metadata | None = None,
    signer: Identity | None = None,
    spare_recipients: int = 3,
    threads: int | None = None,
) -> contextlib.AbstractContextManager[SealedWriter]:
    """Write a sealed file piece by piece, without ever holding the array.

    Use it in a ``with`` statement. The file appears under its name when the block ends, whole and on disk;
    whatever ends the block before all pixels are written, be it the end of the process, leaves nothing there.

    Parameters
    ----------
    path
        Name of the file.
    shape, dtype
        Of the whole array.
    overwrite
        Replace an existing file. Otherwise that is a ``FileExistsError``.
    key, tiles, cipher, context, metadata, public_metadata, signer, spare_recipients, threads
        As for `encrypt`. A signature keeps 32 bytes for each 16 KiB in memory until the end.

    Returns
    -------
    context manager
        Its value is a `SealedWriter`.

    Raises
    ------
    FileExistsError
        The file exists and ``overwrite`` is false.
    ValueError
        The block ended before everything was written; the cipher is ``"chaotic"``, which has to see the whole image.
        Or as for `encrypt`.
    TypeError
        As for `encrypt`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from medcrypt import SecretKey, images
    >>> path, key = pathlib.Path(tempfile.mkdtemp()) / "cine.mcrypt", SecretKey.generate()
    >>> with images.create(path, (3, 64, 64), "<u2", key) as writer:
    ...     for number in range(3):
    ...         writer.write(np.full((64, 64), number, "<u2"))
    >>> with images.open(path, key) as cine:
    ...     int(cine[2, 0, 0])
    2
    """
    request = Request.of(
        np.dtype(dtype),
        tuple(map(operator.index, shape)),
        tiles,
        key,
        cipher,
        context,
        metadata,
        public_metadata,
        signer,
        spare_recipients,
    )
    if request.form.cipher == NETWORK:
        raise ValueError("the cipher 'chaotic' has to see the whole image: use save, or 'chaotic-ctr'")
    if not request.form.shape:
        raise ValueError("an image without axes has no rows to write: use save")
    return _created(path, request, overwrite, threads)


def save(
    path: PathLike,
    array: ArrayLike,
    key: SealingKey | Iterable[SealingKey],
    *,
    tiles: Sequence[int] | None = None,
    overwrite: bool = False,
    cipher: str = "aes-256-gcm",
    context: bytes = b"",
    metadata: Metadata | None = None,
    public_metadata: Metadata | None = None,
    signer: Identity | None = None,
    spare_recipients: int = 3,
    threads: int | None = None,
) -> None:
    """Seal an array into a file, which appears under its name only when it is whole and on disk.

    The array is sealed a piece at a time: beyond it, two MiB of memory are needed (under the cipher ``"chaotic"``,
    that of two copies).

    Parameters
    ----------
    path
        Name of the file.
    overwrite
        Replace an existing file. Otherwise that is a ``FileExistsError``.
    array, key, tiles, cipher, context, metadata, public_metadata, signer, spare_recipients, threads
        As for `encrypt`.

    Raises
    ------
    FileExistsError
        The file exists and ``overwrite`` is false.
    TypeError, ValueError
        As for `encrypt`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from medcrypt import SecretKey, images
    >>> path, key = pathlib.Path(tempfile.mkdtemp()) / "ct.mcrypt", SecretKey.generate()
    >>> images.save(path, np.zeros((512, 512), np.int16), key)
    >>> with images.open(path, key) as image:
    ...     image.shape
    (512, 512)
    """
    pixels = as_pixels(array)
    request = Request.of(
        pixels.dtype,
        pixels.shape,
        tiles,
        key,
        cipher,
        context,
        metadata,
        public_metadata,
        signer,
        spare_recipients,
    )
    with _created(path, request, overwrite, threads) as writer:
        writer._append(pixels, request.form.layout)


class SealedWriter:
    """Takes the pixels of a sealed file in the order of its first axis; made by `create`.

    Attributes
    ----------
    shape : tuple of int
        Of the whole array.
    dtype : numpy.dtype
    tiles : tuple of int or None
        Shape of the tiles, an entry for each axis.
    rows_written : int
        How far along the first axis everything has been written.
    """

    def __init__(self, file: BinaryIO, request: Request, threads: int | None) -> None:
        form = request.form
        self.shape, self.dtype, self.tiles = form.shape, form.dtype, form.tiles
        self.rows_written = 0
        self._file, self._request, self._threads = file, request, threads
        self._header = request.new_header()
        binding = body_context(self._header, request.context)
        self._sealer = cobblestone.Sealer(request.prepared, form.stored_size, binding)
        self._inner: Inner | None = None
        if form.cipher == COUNTER:
            self._inner = inner_cipher_of(self._header, request.prepared, request.context)
        batch = min(_BATCH, form.chunks)
        self._plain = np.empty(batch * CHUNK, np.uint8)
        self._chunks = np.empty(batch * SEALED_CHUNK, np.uint8)
        self._held = 0  # bytes of plaintext in the buffer
        self._sealed = 0  # chunks that are in the file
        self._hashes: list[bytes] = []
        self._failed = False
        file.write(request.head(self._header) + self._sealer.preamble)

    def __repr__(self) -> str:
        return f"SealedWriter(shape={self.shape}, dtype={self.dtype.str!r}, rows_written={self.rows_written})"

    def write(self, rows: ArrayLike) -> None:
        """Write the next pixels along the first axis.

        Parameters
        ----------
        rows
            An array of the dtype and of shape ``(n, *shape[1:])``, or of shape ``shape[1:]`` for one row, which
            may be a whole frame. In a tiled file n has to be a multiple of ``tiles[0]``, except at the end.

        Raises
        ------
        TypeError
            Another dtype.
        ValueError
            Another shape, more rows than are missing, or less than a row of tiles. Nothing has been written then,
            and the right rows can follow.
        """
        slab = as_pixels(rows)
        if slab.dtype.str != self.dtype.str:
            raise TypeError(f"the rows must have dtype {self.dtype.str}, not {slab.dtype.str}")
        if slab.shape == self.shape[1:]:
            slab = slab[None]
        if slab.ndim != len(self.shape) or slab.shape[1:] != self.shape[1:]:
            raise ValueError(f"rows of an image of shape {self.shape} cannot have shape {slab.shape}")
        missing = self.shape[0] - self.rows_written
        if len(slab) > missing:
            raise ValueError(f"{len(slab)} rows are too many: {missing} are missing")
        if self.tiles is not None and len(slab) % self.tiles[0] and len(slab) != missing:
            raise ValueError(f"the number of rows must be a multiple of {self.tiles[0]}, as the tiles are")
        self._append(slab, Layout(slab.shape, slab.shape if self.tiles is None else self.tiles))
        self.rows_written += len(slab)

    def _append(self, slab: NDArray[Any], layout: Layout) -> None:
        """Seal an array that is next in storage, in the order of its own layout."""
        if self._failed:
            raise ValueError("an earlier write has failed: the file cannot be finished")
        if self._request.form.cipher == NETWORK:
            slab = self._encrypted_whole(slab, layout)
            layout = Layout(slab.shape, slab.shape)
        flat = as_bytes(slab) if layout.is_c_order and slab.flags.c_contiguous else None
        taken, self._failed = 0, True
        while taken < slab.nbytes:
            size = min(slab.nbytes - taken, self._plain.size - self._held)
            room = self._plain[self._held : self._held + size]
            if flat is not None:
                room[:] = flat[taken : taken + size]
            else:
                layout.gather(slab, taken // slab.dtype.itemsize, room)
            self._held, taken = self._held + size, taken + size
            if self._held == self._plain.size:
                self._seal_held(final=False)
        self._failed = False

    def _encrypted_whole(self, slab: NDArray[Any], layout: Layout) -> Bytes:
        """Return the body's plaintext for a cipher that has to see all pixels first."""
        plain = np.empty(slab.nbytes, np.uint8)
        layout.gather(slab, 0, plain)
        stored = np.empty(self._request.form.stored_size, np.uint8)
        inner_cipher_of(self._header, self._request.prepared, self._request.context).encrypt(plain, stored)
        return stored

    def _finish(self) -> None:
        """Seal what is left, and sign."""
        form = self._request.form
        if self._failed or self._sealed * CHUNK + self._held != form.stored_size:
            raise ValueError(f"not everything was written: {self.rows_written} of {self.shape[0]} rows")
        self._seal_held(final=True)
        signer = self._request.signer
        if signer is not None:
            hashes, preamble = b"".join(self._hashes), self._sealer.preamble
            self._file.write(signature.sign(signer, self._header, self._request.context, preamble, hashes))
        self._plain = self._chunks = np.empty(0, np.uint8)  # whoever keeps the writer keeps no buffers

    def _seal_held(self, *, final: bool) -> None:
        """Seal the buffer: whole chunks, and at the end the final chunk as well."""
        count = self._held // CHUNK + final
        plain, chunks = self._plain[: self._held], self._chunks[: self._held + TAG * count]
        if self._inner is not None:
            plain = self._inner.crypt_at(self._sealed * CHUNK, plain)

        def seal(first: int, stop: int) -> None:
            run = plain[first * CHUNK : stop * CHUNK]
            self._sealer.seal(self._sealed + first, run, chunks[first * SEALED_CHUNK : stop * SEALED_CHUNK])

        cobblestone.in_runs(seal, (count - 1) * CHUNK, self._threads)
        if self._request.signer is not None:
            self._hashes.append(signature.chunk_hashes(chunks, self._threads))
        self._file.write(chunks.data)
        self._held, self._sealed = 0, self._sealed + count


@contextlib.contextmanager
def _created(
    path: PathLike, request: Request, overwrite: bool, threads: int | None
) -> Iterator[SealedWriter]:
    """Lend a writer, and let the file appear once it has everything."""
    cobblestone.thread_count(0, threads)  # refuses what is no number of threads before there is a file
    with new_file(path, overwrite=overwrite) as file:
        writer = SealedWriter(file, request, threads)
        yield writer
        writer._finish()
