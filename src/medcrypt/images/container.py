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
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from medcrypt.errors import FormatError
from medcrypt.images import cobblestone, recipients, signature
from medcrypt.images.cobblestone import Buffer, as_bytes, as_writable_bytes
from medcrypt.images.header import (
    CIPHERS,
    ID_BYTES,
    MOST_AXES,
    MOST_PRIVATE,
    MOST_PUBLIC,
    SIGNER_BYTES,
    Header,
    Metadata,
    checked_dtype,
    fits,
    metadata_to_bytes,
    parse,
)
from medcrypt.images.recipients import OpeningKey, SealingKey
from medcrypt.keys import Identity, Recipient

__all__ = ["decrypt", "decrypt_into", "encrypt", "encrypt_into", "sealed_size"]

Bytes: TypeAlias = NDArray[np.uint8]
_LABEL_BODY = b"medcrypt/v1/image"
_LABEL_METADATA = b"medcrypt/v1/metadata"


def encrypt(
    array: ArrayLike,
    key: SealingKey | Iterable[SealingKey],
    *,
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
    cipher
        ``"aes-256-gcm"``.
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
    request = Request.of(array, key, cipher, context, metadata, public_metadata, signer, spare_recipients)
    return seal(request, threads)


def encrypt_into(
    array: ArrayLike,
    key: SealingKey | Iterable[SealingKey],
    out: Buffer,
    *,
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
    array, key, cipher, context, metadata, public_metadata, signer, spare_recipients, threads
        As for `encrypt`.

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
    request = Request.of(array, key, cipher, context, metadata, public_metadata, signer, spare_recipients)
    target = as_writable_bytes(out)
    # Asked of the caller's array: the coerced one may be a copy, and writing would destroy the original.
    if np.may_share_memory(np.asarray(array), target):
        raise ValueError("array and out overlap")
    header = request.new_header()
    if target.size < header.sealed_size:
        raise ValueError(f"out needs {header.sealed_size} bytes, not {target.size}")
    _fill(target[: header.sealed_size], header, request, threads)
    return header.sealed_size


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
    array = np.empty(header.shape, header.dtype)
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
    if out.dtype.str != header.dtype.str or out.shape != header.shape:
        raise ValueError(f"out must have dtype {header.dtype} and shape {header.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError("out must be C-contiguous and writable")
    if np.may_share_memory(data, out):
        raise ValueError("sealed and out overlap")
    _decrypt(data, header, key, out, context, sender, threads)
    return header.data_size


def sealed_size(
    shape: tuple[int, ...],
    dtype: DTypeLike,
    key: SealingKey | Iterable[SealingKey],
    *,
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
    key, metadata, public_metadata, signer, spare_recipients
        As they will be given to `encrypt`.

    Examples
    --------
    >>> from medcrypt import SecretKey
    >>> sealed_size((512, 512), "<u2", SecretKey.generate()) - 2 * 512 * 512
    1560
    """
    keys = recipients.as_recipients(key)
    private = metadata_to_bytes(metadata, MOST_PRIVATE)
    header = Header(
        dtype=checked_dtype(np.dtype(dtype)),
        shape=_checked_shape(tuple(shape), np.dtype(dtype)),
        file_id=bytes(ID_BYTES),
        slot_size=recipients.slot_size(keys, spare_recipients),
        public=metadata_to_bytes(public_metadata, MOST_PUBLIC),
        private=bytes(cobblestone.sealed_size(len(private))) if private else b"",
        signer=bytes(SIGNER_BYTES) if signer is not None else b"",
    )
    return header.sealed_size


@dataclass(slots=True)
class Request:
    """What is to be sealed, checked once; with the key of this image."""

    pixels: NDArray[Any]
    keys: tuple[SealingKey, ...]
    file_key: bytes
    cipher: str
    context: bytes
    private: bytes
    public: bytes
    signer: Identity | None
    slot_size: int

    @classmethod
    def of(
        cls,
        array: ArrayLike,
        key: SealingKey | Iterable[SealingKey],
        cipher: str,
        context: bytes,
        metadata: Metadata | None,
        public_metadata: Metadata | None,
        signer: Identity | None,
        spare_recipients: int,
    ) -> Self:
        """Check and coerce the arguments of `encrypt`."""
        if cipher not in CIPHERS:
            raise ValueError(f"unknown cipher {cipher!r}; one of {', '.join(CIPHERS)}")
        if signer is not None and not isinstance(signer, Identity):
            raise TypeError("the signer must be an Identity")
        check_context(context)
        keys = recipients.as_recipients(key)
        return cls(
            pixels=_as_pixels(array),
            keys=keys,
            file_key=recipients.new_file_key(),
            cipher=cipher,
            context=context,
            private=metadata_to_bytes(metadata, MOST_PRIVATE),
            public=metadata_to_bytes(public_metadata, MOST_PUBLIC),
            signer=signer,
            slot_size=recipients.slot_size(keys, spare_recipients),
        )

    def new_header(self) -> Header:
        """Return the header, with the metadata encrypted under the file key."""
        header = Header(
            dtype=self.pixels.dtype,
            shape=self.pixels.shape,
            file_id=os.urandom(ID_BYTES),
            slot_size=self.slot_size,
            cipher=self.cipher,
            public=self.public,
            signer=self.signer.recipient.verifying_key if self.signer is not None else b"",
        )
        if not self.private:
            return header
        # The size of the encrypted metadata is part of the header to which they are bound.
        header = replace(header, private=bytes(cobblestone.sealed_size(len(self.private))))
        binding = metadata_context(header, self.context)
        return replace(header, private=cobblestone.encrypt(self.file_key, self.private, binding, threads=1))


def _as_pixels(array: ArrayLike) -> NDArray[Any]:
    """Coerce the caller's array once: a plain C-contiguous ndarray of a dtype that can be sealed."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("a masked array would lose its mask: seal its data and its mask")
    pixels = np.asarray(array, order="C")
    checked_dtype(pixels.dtype)
    _checked_shape(pixels.shape, pixels.dtype)
    return pixels


def _checked_shape(shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, ...]:
    """Return a shape that the header can hold, as plain integers."""
    if len(shape) > MOST_AXES:
        raise ValueError(f"arrays of more than {MOST_AXES} axes cannot be sealed")
    shape = tuple(map(operator.index, shape))
    if any(length < 0 for length in shape) or not fits(shape, dtype):
        raise ValueError("an axis is negative, or the array is too large to be sealed")
    return shape


def check_context(context: bytes) -> None:
    """Refuse a context that is not bytes: text has more than one encoding."""
    if not isinstance(context, bytes | bytearray | memoryview):
        raise TypeError(f"the context must be bytes, not {type(context).__name__}")


def parse_sealed(data: Bytes) -> Header:
    """Parse the header of a whole sealed image and check that nothing was cut or added."""
    header = parse(data)
    if data.size != header.sealed_size:
        raise FormatError(f"the sealed image should have {header.sealed_size} bytes and has {data.size}")
    return header


def body_context(header: Header, context: bytes) -> bytes:
    """Return what the pixels are bound to."""
    return _LABEL_BODY + header.digest + context


def metadata_context(header: Header, context: bytes) -> bytes:
    """Return what the encrypted metadata are bound to: all of the header before them, and the context."""
    return _LABEL_METADATA + header.prefix_digest + context


def seal(request: Request, threads: int | None) -> bytes:
    """Return the sealed image."""
    header = request.new_header()
    return cobblestone.new_bytes(
        header.sealed_size, lambda out: _fill(as_writable_bytes(out), header, request, threads)
    )


def _fill(out: Bytes, header: Header, request: Request, threads: int | None) -> None:
    """Write the sealed image into a buffer of exactly its size."""
    slot = recipients.make_slot(header, 1, request.file_key, request.keys)
    body_start, body_end = header.body_start, header.body_start + header.body_size
    out[:body_start] = np.frombuffer(header.to_bytes() + slot + bytes(header.slot_size), np.uint8)
    body = out[body_start:body_end]
    binding = body_context(header, request.context)
    cobblestone.encrypt_into(request.file_key, request.pixels, body, binding, None, threads)
    if request.signer is not None:
        trailer = signature.sign(request.signer, header, request.context, body)
        out[body_end:] = np.frombuffer(trailer, np.uint8)


def _decrypt(
    data: Bytes,
    header: Header,
    key: OpeningKey,
    array: NDArray[Any],
    context: bytes,
    sender: Recipient | None,
    threads: int | None,
) -> None:
    """Authenticate everything and decrypt into an array of the right dtype and shape."""
    check_context(context)
    body_start, body_end = header.body_start, header.body_start + header.body_size
    file_key, *_ = recipients.open_slots(header, data[header.size : body_start].tobytes(), key)
    body = data[body_start:body_end]
    preamble = body[: cobblestone.OVERHEAD].tobytes()
    hashes = signature.verify(sender, header, context, preamble, data[body_end:].tobytes())
    if hashes:
        signature.check_chunks(hashes, 0, body[cobblestone.OVERHEAD :])
    cobblestone.decrypt_into(file_key, body, array, body_context(header, context), threads)
