"""Pixels encrypted, metadata readable: a valid DICOM file from which the original comes back byte for byte.

The whole original file is sealed (`medcrypt.images.encrypt`). The end of the sealed bytes, as many as the image has
in native form, becomes the pixel data; the front goes into a private block. So every byte of the pixel data is
authenticated, the transfer syntax is native whatever it was before, and the file grows by little more than its
header. What shows the pixels besides (icons, overlays, offset tables) is removed; BitsStored becomes BitsAllocated,
because ciphertext uses all bits.

With regions, pixels inside them are encrypted and stay pixels (`medcrypt.images.encrypt_regions`). The sidecar goes
into the block, and so does the rest of the original, sealed: the file around the pixel data, or all of a compressed
file. The sealed rest names the digest of the sidecar, and the sidecar authenticates the pixels.

Every element is specified in ``docs/formats/dicom.md``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medcrypt import images
from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.images.recipients import OpeningKey
from medcrypt.images.sealed_files import Keys
from medcrypt.integrations.dicom import block
from medcrypt.integrations.dicom.dummies import vr_of
from medcrypt.integrations.dicom.layout import (
    PIXEL_DATA,
    Layout,
    is_encapsulated,
    pixel_tag,
    pixel_value,
    set_pixel_value,
)
from medcrypt.integrations.dicom.parsing import (
    EXPLICIT_LITTLE,
    Source,
    as_bytes,
    damage_is_a_format_error,
    number_of,
    parse,
    tags_of,
    text_of,
    to_bytes,
    transfer_syntax,
)
from medcrypt.integrations.dicom.remainder import Remainder
from medcrypt.keys import Identity, Recipient

if TYPE_CHECKING:
    import pydicom

__all__ = ["decrypt_pixels", "encrypt_pixels", "has_encrypted_pixels"]

WHOLE = "dicom pixels"
REGIONS = "dicom regions"
_ICONS = 0x00880200
# What describes pixel data: samples, photometric interpretation, planar configuration, frames, rows, columns, bits.
_DESCRIPTION = (
    0x00280002, 0x00280004, 0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00280102,
    0x00280103, _ICONS,
)  # fmt: skip


def encrypt_pixels(
    source: Source,
    key: Keys,
    *,
    regions: Any = None,
    value_range: tuple[int, int] | None = None,
    context: bytes = b"",
    signer: Identity | None = None,
    bind_metadata: bool = False,
) -> bytes:
    """Encrypt the pixels of a DICOM file and leave a valid DICOM file with its metadata.

    The SOP Instance UID stays, and the pixels are bound to it: do not send both files to one archive. Metadata stay
    as they are, and may identify the patient; private elements of other makers are kept too, and may hold images.

    Parameters
    ----------
    source
        The path of a DICOM file, or its bytes.
    key
        Who can restore the pixels: a `SecretKey`, a `Recipient`, a list of them, or one `Passphrase`.
    regions
        Encrypt these regions only, as for `medcrypt.images.encrypt_regions`, in an array of shape (frames, rows,
        columns, samples) without axes of one frame or one sample, which is pydicom's ``pixel_array``. By default all
        pixels are encrypted. Compressed files are decoded for it, which may need pylibjpeg.
    value_range
        (lo, hi) that pixels in the regions may have; by default what BitsStored and PixelRepresentation allow.
    context
        Bound to the pixels but not stored: decryption needs the same bytes.
    signer
        Signs what is sealed, so that recipients can tell who did it.
    bind_metadata
        Refuse decryption after any change to the metadata. By default other software may edit them.

    Returns
    -------
    bytes
        The file. Native transfer syntaxes are kept; others become Explicit VR Little Endian.

    Raises
    ------
    FormatError
        The file has no pixel data or no usable description of them, its pixels are encrypted already, or, with
        regions, they cannot be decoded.
    ValueError
        A pixel of the regions is outside of ``value_range``, or a region outside of the image.

    Examples
    --------
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> from medcrypt import SecretKey
    >>> import io
    >>> key, path = SecretKey.generate(), get_testdata_file("JPEG2000.dcm")
    >>> hidden = encrypt_pixels(path, key)
    >>> dataset = dcmread(io.BytesIO(hidden))
    >>> dataset.file_meta.TransferSyntaxUID.name, dataset.Modality, dataset.pixel_array.shape
    ('Explicit VR Little Endian', 'NM', (1024, 256))
    >>> with open(path, "rb") as file:
    ...     decrypt_pixels(hidden, key) == file.read()
    True
    """
    data = as_bytes(source)
    dataset = parse(data)
    pixel_tag(dataset)
    if block.has_any(dataset, block.PIXELS):
        raise FormatError("the pixels of this file are encrypted already")
    if regions is not None:
        return _encrypt_regions(data, dataset, regions, value_range, key, context, signer, bind_metadata)
    if value_range is not None:
        raise ValueError("value_range goes with regions")
    return _encrypt_all(data, dataset, key, context, signer, bind_metadata)


def decrypt_pixels(
    source: Source,
    key: OpeningKey | Sequence[OpeningKey],
    *,
    exact: bool = True,
    context: bytes = b"",
    sender: Recipient | None = None,
) -> bytes:
    """Restore what `encrypt_pixels` encrypted.

    Parameters
    ----------
    source
        The path of the file, or its bytes.
    key
        A key that opens it, or several to try.
    exact
        Return the original file byte for byte, whatever became of the metadata since. Otherwise return the file as it
        is now, with the original pixel data put back.
    context, sender
        As for `medcrypt.images.decrypt`.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    AuthenticationError
        Wrong key, context or sender, another SOP Instance UID, or changed pixels or block.
    FormatError
        Not such a file; or, without ``exact``, one that was written anew in another encoding.
    """
    data = as_bytes(source)
    dataset = parse(data)
    front = block.get(dataset, block.SEALED_FRONT)
    if front is not None:
        original = _decrypt_all(data, dataset, front, key, context, sender)
    else:
        original = _decrypt_regions(data, dataset, key, context, sender)
    return original if exact else _put_back(dataset, parse(original))


def has_encrypted_pixels(source: Source) -> bool:
    """Tell whether `encrypt_pixels` made a file, without a key.

    Parameters
    ----------
    source
        The path of a DICOM file, or its bytes.

    Raises
    ------
    FormatError
        pydicom cannot read it.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> has_encrypted_pixels(get_testdata_file("CT_small.dcm"))
    False
    """
    return block.has_any(parse(as_bytes(source)), block.PIXELS)


def _encrypt_all(
    data: bytes,
    dataset: pydicom.FileDataset,
    key: Keys,
    context: bytes,
    signer: Identity | None,
    bind_metadata: bool,
) -> bytes:
    _describe_ciphertext(dataset)
    layout = Layout.of(dataset)
    room = layout.size + layout.size % 2
    # Sealing only adds bytes, so with zeros behind a short (compressed) file the sealed bytes fill the pixel data.
    padded = np.zeros(max(len(data), room), np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    metadata = _metadata(WHOLE, dataset, bind_metadata) | {"size": len(data)}
    sealed = images.encrypt(padded, key, context=context, metadata=metadata, signer=signer)
    set_pixel_value(dataset, layout, sealed[-room:])
    block.put(dataset, block.SEALED_FRONT, sealed[:-room])
    return to_bytes(dataset)


def _decrypt_all(
    data: bytes,
    dataset: pydicom.FileDataset,
    front: bytes,
    key: OpeningKey | Sequence[OpeningKey],
    context: bytes,
    sender: Recipient | None,
) -> bytes:
    value = _native_value(dataset)
    plain, metadata = block.open_sealed(front + value, WHOLE, key, context, sender)
    size = metadata.get("size")
    if not isinstance(size, int) or not 0 <= size <= len(plain):
        raise FormatError("the sealed file does not say how long it is")
    _check_metadata(metadata, dataset, data)
    return plain[:size]


def _encrypt_regions(
    data: bytes,
    dataset: pydicom.FileDataset,
    regions: Any,
    value_range: tuple[int, int] | None,
    key: Keys,
    context: bytes,
    signer: Identity | None,
    bind_metadata: bool,
) -> bytes:
    compressed = is_encapsulated(dataset)
    remainder = Remainder.whole(data) if compressed else Remainder.of(data, dataset)
    if compressed:
        _decode(dataset)
    layout = Layout.of(dataset)
    value, _ = pixel_value(dataset)
    array, sidecar = images.encrypt_regions(
        layout.to_array(value),
        regions,
        key,
        None if layout.is_float else value_range or layout.value_range,
        context,
        bit_patterns=layout.is_float,
    )
    _remove_icons(dataset)
    set_pixel_value(dataset, layout, layout.replace(value, array))
    metadata = _metadata(REGIONS, dataset, bind_metadata) | {"sidecar": hashlib.sha512(sidecar).hexdigest()}
    rest = np.frombuffer(remainder.to_bytes(), np.uint8)
    block.put(dataset, block.SIDECAR, sidecar)
    sealed = images.encrypt(rest, key, context=context, metadata=metadata, signer=signer)
    block.put(dataset, block.SEALED_REMAINDER, sealed)
    return to_bytes(dataset)


def _decrypt_regions(
    data: bytes,
    dataset: pydicom.FileDataset,
    key: OpeningKey | Sequence[OpeningKey],
    context: bytes,
    sender: Recipient | None,
) -> bytes:
    sidecar, sealed = block.get(dataset, block.SIDECAR), block.get(dataset, block.SEALED_REMAINDER)
    if sidecar is None or sealed is None:
        raise FormatError("no pixels of this file are encrypted with medcrypt")
    rest, metadata = block.open_sealed(sealed, REGIONS, key, context, sender)
    if not hmac.compare_digest(str(metadata.get("sidecar")), hashlib.sha512(sidecar).hexdigest()):
        raise AuthenticationError
    _check_metadata(metadata, dataset, data)
    value = _native_value(dataset)
    layout = Layout.of(dataset)
    array = _open_regions(layout.to_array(value), sidecar, key, context)
    return Remainder.from_bytes(rest).join(layout.replace(value, array))


def _open_regions(array: Any, sidecar: bytes, key: OpeningKey | Sequence[OpeningKey], context: bytes) -> Any:
    """Decrypt with the first of several keys that fits."""
    keys = [key] if not isinstance(key, Sequence) else list(key)
    for number, one in enumerate(keys, 1):
        try:
            return images.decrypt_regions(array, sidecar, one, context)
        except AuthenticationError:
            if number == len(keys):
                raise
    raise ValueError("no key was given")


def _describe_ciphertext(dataset: pydicom.FileDataset) -> None:
    """Make the attributes fit pixels that are random bytes in native form."""
    encapsulated, tag = is_encapsulated(dataset), pixel_tag(dataset)
    colour = number_of(dataset, "SamplesPerPixel", 1) == 3
    with damage_is_a_format_error("the description of the pixels is damaged"):
        if colour and (encapsulated or text_of(dataset, "PhotometricInterpretation").startswith("YBR")):
            dataset.PhotometricInterpretation = "RGB"
            dataset.PlanarConfiguration = 0
        if tag == PIXEL_DATA:
            bits = number_of(dataset, "BitsAllocated")
            dataset.BitsStored, dataset.HighBit = bits, bits - 1
        if encapsulated:
            dataset.file_meta.TransferSyntaxUID = _uid(EXPLICIT_LITTLE)
        for other in [other for other in tags_of(dataset) if _is_pixel_group(other)]:
            del dataset[other]
        _remove_icons(dataset)
        # Its value is still to come, and says nothing yet about the metadata.
        dataset[tag] = _empty(tag)


def _empty(tag: int) -> pydicom.DataElement:
    from pydicom.dataelem import DataElement

    return DataElement(tag, "OB", b"")


def _uid(text: str) -> pydicom.uid.UID:
    from pydicom.uid import UID

    return UID(text)


def _remove_icons(dataset: pydicom.Dataset) -> None:
    """Remove small copies of the image, and pixel data of nested items, at any depth."""
    with damage_is_a_format_error():
        if _ICONS in dataset:
            del dataset[_ICONS]
        # Elements that are not sequences are left as they were read, and are written so.
        for tag in tags_of(dataset):
            if vr_of(dataset, tag) != "SQ":
                continue
            for item in dataset[tag].value:
                if PIXEL_DATA in item:
                    del item[PIXEL_DATA]
                _remove_icons(item)


def _decode(dataset: pydicom.FileDataset) -> None:
    """Decompress in place; colours become RGB."""
    with damage_is_a_format_error("the pixels cannot be decoded: encrypt all of them, without regions"):
        dataset.decompress(generate_instance_uid=False)


def _native_value(dataset: pydicom.FileDataset) -> bytes:
    """Return the native value of the pixel data, of the size that is described, with its padding.

    An archive may have compressed the ciphertext. If that was lossless, it can be undone.
    """
    if is_encapsulated(dataset):
        _decode(dataset)
    value, _ = pixel_value(dataset)
    return value


def _metadata(content: str, dataset: pydicom.FileDataset, bind_metadata: bool) -> dict[str, Any]:
    metadata: dict[str, Any] = {"content": content, "SOPInstanceUID": text_of(dataset, "SOPInstanceUID")}
    if bind_metadata:
        metadata["digest"] = _digest(to_bytes(dataset))
    return metadata


def _check_metadata(metadata: dict[str, Any], dataset: pydicom.FileDataset, data: bytes) -> None:
    """Refuse pixels that belong to another instance, or to metadata that were edited, if those are bound."""
    if metadata.get("SOPInstanceUID") != text_of(dataset, "SOPInstanceUID"):
        raise AuthenticationError
    if "digest" in metadata and not hmac.compare_digest(str(metadata["digest"]), _digest(data)):
        raise AuthenticationError


def _digest(data: bytes) -> str:
    """Return SHA-512 of all metadata: the data set without pixel data and block, written as it is read.

    pydicom may write a value in other bytes once it was looked at, so the file is parsed for this alone.
    """
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    dataset = parse(data)
    with damage_is_a_format_error("pydicom cannot write the file"):
        for tag in [tag for tag in tags_of(dataset) if tag >> 16 in {0x7FE0, block.GROUP}]:
            del dataset[tag]
        buffer = DicomBytesIO()
        implicit, little = dataset.original_encoding
        buffer.is_implicit_VR, buffer.is_little_endian = bool(implicit), bool(little)
        write_dataset(buffer, dataset)
        return hashlib.sha512(buffer.getvalue()).hexdigest()


def _put_back(current: pydicom.FileDataset, original: pydicom.FileDataset) -> bytes:
    """Return the current file with the original pixel data, in the original transfer syntax."""
    if current.original_encoding != original.original_encoding:
        raise FormatError(
            "the file was written anew in another encoding: restore the original with exact=True"
        )
    block.remove(current, *block.PIXELS)
    with damage_is_a_format_error():
        for tag in {*tags_of(current), *tags_of(original)}:
            if tag not in _DESCRIPTION and not _is_pixel_group(tag):
                continue
            if tag in current:
                del current[tag]
            if tag in original:
                current[tag] = original.get_item(tag)
        current.file_meta.TransferSyntaxUID = transfer_syntax(original)
    return to_bytes(current)


def _is_pixel_group(tag: int) -> bool:
    """Tell whether an element belongs to the pixel data or to an overlay."""
    group = tag >> 16
    return group == 0x7FE0 or (0x6000 <= group <= 0x60FF and group % 2 == 0)
