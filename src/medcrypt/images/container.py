"""Sealed images: an array and its metadata, encrypted and authenticated in one byte string.

    header | two recipient slots | Cobblestone-256 blob of the pixels | hashes and signature (if signed)

The header (pixel type, shape, public and encrypted metadata) never changes. The pixels are bound to it and
to the caller's context, so nothing can be moved from one image to another. The recipients live between the
two in an area of fixed size and can be replaced without touching either.

Every byte is specified in ``docs/formats/images.md``.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from medcrypt._ext.sha512 import HkdfSha512, sha512
from medcrypt.errors import FormatError
from medcrypt.images import cobblestone, recipients, signature
from medcrypt.images.cobblestone import CHUNK, OVERHEAD, SEALED_CHUNK, Buffer, as_bytes, as_writable_bytes
from medcrypt.images.header import (
    ID_BYTES,
    MOST_PRIVATE,
    MOST_PUBLIC,
    Form,
    Header,
    Metadata,
    form_of,
    metadata_to_bytes,
    parse,
    without_private,
)
from medcrypt.images.inner_cipher import AES_GCM, Inner
from medcrypt.images.layout import as_tiles
from medcrypt.images.recipients import OpeningKey, SealingKey
from medcrypt.keys import Identity, Recipient
from medcrypt.keys.wrapping import wrap

__all__ = ["decrypt", "decrypt_into", "encrypt", "encrypt_into", "sealed_size"]

Bytes: TypeAlias = NDArray[np.uint8]
_LABEL_BODY = b"medcrypt/v1/image"
_LABEL_METADATA = b"medcrypt/v1/metadata"
_BYTES = (bytes, bytearray, memoryview)
# Chunks that a thread rearranges at a time (256 KiB) where the pixels do not lie in memory as they are stored.
_REARRANGED = 16


def encrypt(
    array: ArrayLike,
    key: SealingKey | Iterable[SealingKey],
    *,
    tiles: Sequence[int] | None = None,
    cipher: str = "aes-256-gcm",
    context: bytes = b"",
    metadata: Metadata | None = None,
    public_metadata: Metadata | None = None,
    signer: Identity | None = None,
    spare_recipients: int = 3,
    threads: int | None = None,
) -> bytes:
    """Seal an array.

    Parameters
    ----------
    array
        Booleans, integers, floats or complex numbers of any shape, byte order and strides.
    key
        Who can open it: a `SecretKey`, a `Recipient`, a list of them, or one `Passphrase`.
    tiles
        Shape of the tiles in which the pixels are stored, so that `open` reads a region cheaply: ``(256, 256)``
        for a slide of shape (height, width, 3). Axes that are not named are whole. None: the pixels in C order,
        which makes a run along the first axes cheap (a frame, a slab).
    cipher
        ``"aes-256-gcm"``; or ``"chaotic"``, or ``"chaotic-ctr"`` which can be read in parts: a chaotic cipher
        *inside* AES-256-GCM, which is what the security rests on either way.
    context
        Bound to the image but not stored: opening needs the same bytes (a study UID, say).
    metadata
        JSON values under string names. Encrypted.
    public_metadata
        The same, readable by anyone and protected against change.
    signer
        Signs the image, so that recipients can tell who sealed it; adds 32 bytes for each 16 KiB.
    spare_recipients
        Room for so many more recipients to be added later by `rewrap`.
    threads
        Number of threads; None means all cores for large arrays and one for small.

    Returns
    -------
    bytes
        The sealed image.

    Raises
    ------
    TypeError
        The array holds something other than numbers, or the key is of the wrong kind.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey
    >>> key = SecretKey.generate()
    >>> ct = np.arange(12, dtype="<i2").reshape(3, 4)
    >>> sealed = encrypt(ct, key, context=b"study 7", metadata={"Modality": "CT"})
    >>> np.array_equal(decrypt(sealed, key, context=b"study 7"), ct)
    True
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
    if _is_short(request.form, pixels):
        return _seal_short(request, pixels, threads)
    return cobblestone.new_bytes(
        request.form.sealed_size, lambda out: _seal(request, pixels, as_bytes(out), threads)
    )


def encrypt_into(
    array: ArrayLike,
    key: SealingKey | Iterable[SealingKey],
    out: Buffer,
    *,
    tiles: Sequence[int] | None = None,
    cipher: str = "aes-256-gcm",
    context: bytes = b"",
    metadata: Metadata | None = None,
    public_metadata: Metadata | None = None,
    signer: Identity | None = None,
    spare_recipients: int = 3,
    threads: int | None = None,
) -> int:
    """Seal an array into a buffer, as `encrypt` does, and return the number of bytes written.

    Parameters
    ----------
    out
        A writable C-contiguous buffer of at least `sealed_size` bytes.
    array, key, tiles, cipher, context, metadata, public_metadata, signer, spare_recipients, threads
        As for `encrypt`.

    Notes
    -----
    A C-contiguous array that is stored in C order is read where it lies. Otherwise each thread rearranges it in a
    scratch buffer of 256 KiB. A chaotic cipher needs scratch buffers as large as the array.

    Raises
    ------
    ValueError
        ``out`` is too small, read-only, or overlaps the array.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey
    >>> key, slice_ = SecretKey.generate(), np.zeros((64, 64), np.uint16)
    >>> out = bytearray(sealed_size(slice_.shape, slice_.dtype, key))
    >>> encrypt_into(slice_, key, out) == len(out)
    True
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
    target, size = as_writable_bytes(out), request.form.sealed_size
    if np.may_share_memory(pixels, target):
        raise ValueError("array and out overlap")
    if target.size < size:
        raise ValueError(f"out needs {size} bytes, not {target.size}")
    _seal(request, pixels, target[:size], threads)
    return size


def decrypt(
    sealed: Buffer,
    key: OpeningKey,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Open a sealed image.

    Parameters
    ----------
    sealed
        What `encrypt` returned.
    key
        A `SecretKey`, `Identity` or `Passphrase` that it was sealed for.
    context
        What it was bound to.
    sender
        Accept the image only if this party signed it. Without it, the signature of a signed image must still
        be that of the key which the image names: nothing was changed, but who sealed it is not known.
    threads
        As for `encrypt`.

    Notes
    -----
    Nothing may write to ``sealed`` during the call: another thread, or another process where it is a memory
    map, could exchange bytes between the check and the use of them.

    Returns
    -------
    ndarray
        The array, C-contiguous, with the dtype (byte order included) and shape it had.

    Raises
    ------
    AuthenticationError
        Wrong key, wrong context, wrong sender, or any change to the bytes.
    FormatError
        The bytes are not a sealed image.
    """
    data = as_bytes(sealed)
    header = parse_sealed(data)
    array = np.empty(header.form.shape, header.form.dtype)
    _decrypt(data, header, key, array, context, sender, threads)
    return array


def decrypt_into(
    sealed: Buffer,
    key: OpeningKey,
    out: NDArray[Any],
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    threads: int | None = None,
) -> int:
    """Open a sealed image into an array of its dtype and shape; return the number of bytes written.

    On failure ``out`` is wiped or untouched: it never holds pixels that did not authenticate.

    Raises
    ------
    ValueError
        ``out`` has another dtype or shape, is not C-contiguous, is read-only, or overlaps ``sealed``.
    AuthenticationError, FormatError
        As for `decrypt`.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey
    >>> key, out = SecretKey.generate(), np.empty((2, 3), np.uint8)
    >>> decrypt_into(encrypt(np.ones((2, 3), np.uint8), key), key, out)
    6
    """
    data = as_bytes(sealed)
    header = parse_sealed(data)
    if not isinstance(out, np.ndarray):
        raise TypeError("out must be a numpy array")
    form = header.form
    if out.dtype.str != form.dtype.str or out.shape != form.shape:
        raise ValueError(f"out must have dtype {form.dtype} and shape {form.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be C-contiguous and writable")
    if np.may_share_memory(data, out):
        raise ValueError("sealed and out overlap")
    _decrypt(data, header, key, out, context, sender, threads)
    return form.data_size


def sealed_size(
    shape: tuple[int, ...],
    dtype: DTypeLike,
    key: SealingKey | Iterable[SealingKey],
    *,
    tiles: Sequence[int] | None = None,
    cipher: str = "aes-256-gcm",
    metadata: Metadata | None = None,
    public_metadata: Metadata | None = None,
    signer: Identity | None = None,
    spare_recipients: int = 3,
) -> int:
    """Return the exact number of bytes of a sealed image, as `encrypt_into` needs them.

    Parameters
    ----------
    shape, dtype
        Of the array.
    key, tiles, cipher, metadata, public_metadata, signer, spare_recipients
        As they will be given to `encrypt`.

    Examples
    --------
    >>> from medcrypt import SecretKey
    >>> sealed_size((512, 512), "<u2", SecretKey.generate()) - 2 * 512 * 512
    1560
    """
    request = Request.of(
        np.dtype(dtype),
        tuple(map(operator.index, shape)),
        tiles,
        key,
        cipher,
        b"",
        metadata,
        public_metadata,
        signer,
        spare_recipients,
    )
    return request.form.sealed_size


@dataclass(slots=True, repr=False)  # it holds the file key and the private metadata
class Request:
    """What is to be sealed but for the pixels, checked once; with the key of this image.

    Parameters
    ----------
    form
        What the header will say.
    keys
        Who can open the image.
    file_key, prepared
        The key of this image, to be wrapped, and ready to derive.
    context, private, public, signer
        As the caller gave them; the metadata as canonical JSON.
    """

    form: Form
    keys: tuple[SealingKey, ...]
    file_key: bytes
    prepared: HkdfSha512
    context: bytes
    private: bytes
    public: bytes
    signer: Identity | None

    @classmethod
    def of(
        cls,
        dtype: np.dtype[Any],
        shape: tuple[int, ...],
        tiles: Sequence[int] | None,
        key: SealingKey | Iterable[SealingKey],
        cipher: str,
        context: bytes,
        metadata: Metadata | None,
        public_metadata: Metadata | None,
        signer: Identity | None,
        spare_recipients: int,
    ) -> Self:
        """Check the arguments of `encrypt` and draw the file key."""
        if signer is not None and not isinstance(signer, Identity):
            raise TypeError("the signer must be an Identity")
        check_context(context)
        keys = recipients.as_recipients(key)
        private = metadata_to_bytes(metadata, MOST_PRIVATE)
        public = metadata_to_bytes(public_metadata, MOST_PUBLIC)
        form = form_of(
            dtype,
            shape,
            None if tiles is None else as_tiles(tiles),
            recipients.slot_size(keys, spare_recipients),
            cipher,
            signer is not None,
            len(public),
            cobblestone.sealed_size(len(private)) if private else 0,
        )
        file_key = recipients.new_file_key()
        return cls(form, keys, file_key, HkdfSha512(file_key), context, private, public, signer)

    def new_header(self) -> Header:
        """Return a header with a new id, and with the metadata encrypted under the file key."""
        signer = self.signer.recipient.verifying_key if self.signer is not None else b""
        data = without_private(self.form, os.urandom(ID_BYTES), signer, self.public)
        if self.private:
            binding = metadata_context(data, self.context)
            data += cobblestone.encrypt(self.file_key, self.private, binding, threads=1)
        return Header.of(self.form, data)

    def head(self, header: Header) -> bytes:
        """Return all that comes before the body: the header and the recipients."""
        stanzas = [recipients.make_stanza(header, self.file_key, key) for key in self.keys]
        slot = recipients.slot_of_stanzas(header, 1, self.prepared, stanzas)
        return header.data + slot + bytes(header.slot_size)


def as_pixels(array: ArrayLike) -> NDArray[Any]:
    """Coerce the caller's array once: a plain ndarray, of any strides."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask: seal its data and its mask")
    return np.asarray(array)


def check_context(context: bytes) -> None:
    """Refuse a context that is not bytes: text has more than one encoding."""
    if not isinstance(context, _BYTES):
        raise TypeError(f"the context must be bytes, not {type(context).__name__}")


def parse_sealed(data: Bytes) -> Header:
    """Parse the header of a whole sealed image and check that nothing was cut or added."""
    header = parse(data)
    if data.size != header.form.sealed_size:
        raise FormatError(f"the sealed image should have {header.form.sealed_size} bytes and has {data.size}")
    return header


def body_context(header: Header, context: bytes) -> bytes:
    """Return what the pixels are bound to."""
    return _LABEL_BODY + header.digest + context


def metadata_context(before: bytes, context: bytes) -> bytes:
    """Return what the encrypted metadata are bound to: all of the header before them, and the context."""
    return _LABEL_METADATA + sha512(before) + context


def _seal(request: Request, pixels: NDArray[Any], out: Bytes, threads: int | None) -> None:
    """Write the sealed image into a buffer of exactly its size."""
    if _is_short(request.form, pixels):
        out.data[:] = _seal_short(request, pixels, threads)
        return
    form, header = request.form, request.new_header()
    out.data[: form.body_start] = request.head(header)
    body, binding = out[form.body_start : form.body_end], body_context(header, request.context)
    if form.cipher != AES_GCM:
        stored = _encrypt_inside(request, header, pixels, body)
        cobblestone.seal_blob(request.prepared, stored, body, binding, threads=threads)
    elif form.layout.is_c_order and pixels.flags.c_contiguous:
        cobblestone.seal_blob(request.prepared, pixels, body, binding, threads=threads)
    else:
        _rearrange_and_seal(request.prepared, pixels, form, body, binding, threads)
    if request.signer is not None:
        preamble, hashes = body[:OVERHEAD].tobytes(), signature.chunk_hashes(body[OVERHEAD:], threads)
        trailer = signature.sign(request.signer, header, request.context, preamble, hashes)
        out.data[form.body_end :] = trailer


def inner_cipher_of(header: Header, key: HkdfSha512, context: bytes) -> Inner:
    """Return the cipher of the pixels inside AES-GCM; its nonce is the image's id."""
    form = header.form
    return Inner(form.cipher, key, header.file_id, header.digest + context, form.data_size)


def _encrypt_inside(request: Request, header: Header, pixels: NDArray[Any], body: Bytes) -> Bytes:
    """Return the plaintext of the body: all pixels in storage order, under the inner cipher.

    The room of the body serves as scratch memory before it is filled.
    """
    form = request.form
    if form.layout.is_c_order and pixels.flags.c_contiguous:
        plain = as_bytes(pixels)
    else:
        plain = np.empty(form.data_size, np.uint8)
        form.layout.gather(pixels, 0, plain)
    stored = np.empty(form.stored_size, np.uint8)
    inner = inner_cipher_of(header, request.prepared, request.context)
    inner.encrypt(plain, stored, body[: form.data_size])
    return stored


def _decrypt_inside(inner: Inner, stored: Bytes, form: Form, array: NDArray[Any]) -> None:
    """Decrypt what AES-GCM has authenticated."""
    if form.layout.is_c_order:
        inner.decrypt(stored, as_bytes(array))
        return
    plain = np.empty(form.data_size, np.uint8)
    inner.decrypt(stored, plain)
    form.layout.scatter(plain, 0, array)


def _is_short(form: Form, pixels: NDArray[Any]) -> bool:
    """Tell whether the body is a single chunk that can be sealed or opened where the pixels lie."""
    in_place = pixels.flags.c_contiguous and form.layout.is_c_order and form.cipher == AES_GCM
    return form.data_size < CHUNK and in_place and not form.signed


def _seal_short(request: Request, pixels: NDArray[Any], threads: int | None) -> bytes:
    """Return a sealed image of a single chunk: for a small image the calls in between are what costs."""
    cobblestone.thread_count(0, threads)
    header = request.new_header()
    return request.head(header) + wrap(request.prepared, pixels, body_context(header, request.context))


def _rearrange_and_seal(
    key: HkdfSha512, pixels: NDArray[Any], form: Form, body: Bytes, binding: bytes, threads: int | None
) -> None:
    """Seal pixels that do not lie in memory as they are stored: a few chunks at a time."""
    sealer = cobblestone.Sealer(key, form.data_size, binding)
    body.data[:OVERHEAD] = sealer.preamble
    chunks = body[OVERHEAD:]

    def rearrange_and_seal(first: int, stop: int) -> None:
        run = np.empty(min(stop * CHUNK, form.data_size) - first * CHUNK, np.uint8)
        form.layout.gather(pixels, first * CHUNK // form.dtype.itemsize, run)
        sealer.seal(first, run, chunks[first * SEALED_CHUNK : stop * SEALED_CHUNK])

    cobblestone.in_runs(rearrange_and_seal, form.data_size, threads, _REARRANGED)


def _decrypt(
    data: Bytes,
    header: Header,
    key: OpeningKey,
    array: NDArray[Any],
    context: bytes,
    sender: Recipient | None,
    threads: int | None,
) -> None:
    """Authenticate everything and decrypt into a C-contiguous array of the right dtype and shape."""
    check_context(context)
    form = header.form
    area = data[form.size : form.body_start].tobytes()
    _, prepared, *_ = recipients.open_slots(header, area, key)
    body, binding = data[form.body_start : form.body_end], body_context(header, context)
    if form.signed or sender is not None:
        preamble, trailer = body[:OVERHEAD].tobytes(), data[form.body_end :].tobytes()
        hashes = signature.verify(sender, header, context, preamble, trailer)
        signature.check_chunks(hashes, 0, body[OVERHEAD:], threads)
    if form.cipher != AES_GCM:
        stored = np.empty(form.stored_size, np.uint8)
        cobblestone.open_blob(prepared, body, stored, binding, threads)
        _decrypt_inside(inner_cipher_of(header, prepared, context), stored, form, array)
    elif form.layout.is_c_order:
        cobblestone.open_blob(prepared, body, array, binding, threads)
    else:
        _open_and_rearrange(prepared, body, form, array, binding, threads)


def _open_and_rearrange(
    key: HkdfSha512, body: Bytes, form: Form, array: NDArray[Any], binding: bytes, threads: int | None
) -> None:
    """Open pixels that do not lie in memory as they are stored: a few chunks at a time."""
    opener = cobblestone.Opener(key, form.data_size, body[:OVERHEAD].tobytes(), binding)
    chunks = body[OVERHEAD:]

    def open_and_rearrange(first: int, stop: int) -> None:
        run = np.empty(min(stop * CHUNK, form.data_size) - first * CHUNK, np.uint8)
        opener.open(first, chunks[first * SEALED_CHUNK : stop * SEALED_CHUNK], run)
        form.layout.scatter(run, first * CHUNK // form.dtype.itemsize, array)

    try:
        cobblestone.in_runs(open_and_rearrange, form.data_size, threads, _REARRANGED)
    except BaseException:
        array[...] = 0  # other threads, or other chunks, may have been authentic
        raise
