"""Attributes encrypted, pixels readable: PS3.15's Encrypted Attributes Sequence, or a sealed private element.

For holders of X.509 certificates the original attributes go into the Encrypted Attributes Sequence (0400,0500) as CMS
EnvelopedData, which other software reads. Nothing in that protects them against change, so a signature over it goes
into the private block, and nothing is decrypted before it is verified. For medcrypt keys the original attributes are
sealed in the private block.

Both carry the original file without its pixel data, so that the file comes back byte for byte.

Every element is specified in ``docs/formats/dicom.md``.
"""

from __future__ import annotations

import contextlib
import io
import struct
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, Union

import numpy as np

from medcrypt import images
from medcrypt.errors import AuthenticationError, FormatError, InvalidKeyError
from medcrypt.images.recipients import OpeningKey
from medcrypt.images.sealed_files import Keys
from medcrypt.integrations.dicom import block, cms
from medcrypt.integrations.dicom.dummies import dummy, vr_of
from medcrypt.integrations.dicom.layout import pixel_value
from medcrypt.integrations.dicom.parsing import (
    EXPLICIT_LITTLE,
    Source,
    as_bytes,
    damage_is_a_format_error,
    parse,
    tags_of,
    text_of,
    to_bytes,
)
from medcrypt.integrations.dicom.remainder import Remainder
from medcrypt.integrations.dicom.signatures import Sender, Signer, sign, verify
from medcrypt.keys import Identity, Recipient

if TYPE_CHECKING:
    import pydicom
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

__all__ = ["decrypt_attributes", "encrypt_attributes"]

Holders: TypeAlias = Union[Keys, "Certificate", "Sequence[Certificate]"]
Openers: TypeAlias = Union[OpeningKey, Sequence[OpeningKey], "tuple[RSAPrivateKey, Certificate]"]

CONTENT = "dicom attributes"
_SEQUENCE = 0x04000500
_LABEL = b"medcrypt/v1/dicom-attributes"
_DIRECTORY = "1.2.840.10008.1.3.10"
# Without these the file is no longer the same instance, or cannot be read.
_NEEDED = {0x00080005, 0x00080016, 0x00080018}


def encrypt_attributes(
    source: Source,
    key: Holders,
    attributes: Iterable[str | int],
    *,
    signer: Signer | None = None,
    context: bytes = b"",
) -> bytes:
    """Encrypt attributes of a DICOM file and put dummy values in their place.

    To encrypt all that may identify a patient, use `deidentify` with ``keep_for``.

    Parameters
    ----------
    source
        The path of a DICOM file, or its bytes.
    key
        Who can restore the attributes: an X.509 certificate with an RSA key or a list of them (``cryptography``'s
        objects), for the Encrypted Attributes Sequence; or a `SecretKey`, a `Recipient`, a list of them, or one
        `Passphrase`, for the private block.
    attributes
        Keywords such as ``"PatientName"``, or tags as integers, of the data set itself, sequences as a whole. Those
        that the file does not have are left out.
    signer
        An `Identity`, or (private key, certificate). With certificates it is needed. With medcrypt keys it is an
        `Identity`, and optional.
    context
        Bound to the attributes but not stored: decryption needs the same bytes.

    Returns
    -------
    bytes
        The file, in its own transfer syntax.

    Raises
    ------
    FormatError
        Not a DICOM file, a DICOMDIR, or one whose attributes are encrypted already.
    ValueError
        An attribute is unknown, or one that the file cannot do without; no signer for certificates.

    Examples
    --------
    >>> import io
    >>> from pydicom import dcmread
    >>> from pydicom.data import get_testdata_file
    >>> from medcrypt import SecretKey
    >>> key, path = SecretKey.generate(), get_testdata_file("CT_small.dcm")
    >>> hidden = encrypt_attributes(path, key, ["PatientName", "PatientID"])
    >>> dataset = dcmread(io.BytesIO(hidden))
    >>> str(dataset.PatientName), dataset.pixel_array.shape
    ('ANONYMIZED', (128, 128))
    >>> with open(path, "rb") as file:
    ...     decrypt_attributes(hidden, key) == file.read()
    True
    """
    data = as_bytes(source)
    dataset = parse(data)
    tags = tuple(tag for tag in _as_tags(attributes) if tag in dataset)
    with damage_is_a_format_error():
        for tag in tags:
            dataset[tag] = dummy(tag, vr_of(dataset, tag))
    return conceal(data, dataset, tags, key, signer, context)


def decrypt_attributes(
    source: Source,
    key: Openers,
    *,
    sender: Sender | None = None,
    exact: bool = True,
    context: bytes = b"",
    unsigned: bool = False,
) -> bytes:
    """Restore what `encrypt_attributes`, or `deidentify` with ``keep_for``, encrypted.

    Parameters
    ----------
    source
        The path of the file, or its bytes.
    key
        A medcrypt key that opens it, or several to try; or (RSA private key, certificate).
    sender
        Who has to have signed: a `Recipient`, or a certificate. With (private key, certificate) it is needed.
    exact
        Return the original file byte for byte; the pixel data must not have changed. Otherwise return the file as it
        is now, with the original attributes put back.
    context
        What the attributes were bound to.
    unsigned
        Decrypt an Encrypted Attributes Sequence that nobody signed, such as other software makes. Its content may
        have been changed by anyone; whoever sees how decryption fails may learn what it holds.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    AuthenticationError
        Wrong key, context or signature, another SOP Instance UID, or any change to what is encrypted; with ``exact``,
        changed pixel data. Nothing is decrypted before the signature is verified.
    InvalidKeyError
        The attributes are encrypted for a certificate and the key is medcrypt's, or the other way round.
    FormatError
        Not such a file; or, with ``exact``, one that other software encrypted.
    """
    dataset = parse(as_bytes(source))
    value, _ = pixel_value(dataset)
    sealed = block.get(dataset, block.SEALED_ATTRIBUTES)
    if sealed is not None:
        kept: Remainder | pydicom.Dataset = _open_block(dataset, sealed, key, sender, context)
    elif _SEQUENCE in dataset:
        kept = _open_sequence(dataset, key, sender, context, unsigned)
    else:
        raise FormatError("no attributes of this file are encrypted")
    if not exact:
        return _put_back(dataset, kept)
    if not isinstance(kept, Remainder):
        raise FormatError("made by other software, which did not keep the whole file: use exact=False")
    return kept.join(value)


def conceal(
    data: bytes,
    changed: pydicom.FileDataset,
    tags: tuple[int, ...],
    key: Holders,
    signer: Signer | None,
    context: bytes,
) -> bytes:
    """Put the original file, encrypted, into a file that is made from it.

    Parameters
    ----------
    data
        The original file.
    changed
        The data set as it shall be seen.
    tags
        Elements that are not as they were, those that were added among them.
    key, signer, context
        As for `encrypt_attributes`.
    """
    original = parse(data)
    if text_of(getattr(original, "file_meta", original), "MediaStorageSOPClassUID") == _DIRECTORY:
        raise FormatError("a DICOMDIR, whose records refer to each other by their places: make it anew")
    if _SEQUENCE in original or block.get(original, block.SEALED_ATTRIBUTES) is not None:
        raise FormatError("attributes of this file are encrypted already")
    certificates = _as_certificates(key)
    remainder = Remainder.of(data, original, tags)
    if certificates is None:
        _fill_block(changed, remainder, key, signer, context)
    else:
        _fill_sequence(changed, remainder, original, certificates, signer, context)
    return to_bytes(changed)


def _fill_block(
    dataset: pydicom.FileDataset,
    remainder: Remainder,
    key: Any,
    signer: Signer | None,
    context: bytes,
) -> None:
    if signer is not None and not isinstance(signer, Identity):
        raise TypeError("with medcrypt keys the signer must be an Identity")
    metadata = {"content": CONTENT, "SOPInstanceUID": text_of(dataset, "SOPInstanceUID")}
    rest = np.frombuffer(remainder.to_bytes(), np.uint8)
    sealed = images.encrypt(rest, key, context=context, metadata=metadata, signer=signer)
    block.put(dataset, block.SEALED_ATTRIBUTES, sealed)


def _open_block(
    dataset: pydicom.FileDataset, sealed: bytes, key: Any, sender: Sender | None, context: bytes
) -> Remainder:
    if isinstance(key, tuple):
        raise InvalidKeyError("these attributes are encrypted for a medcrypt key, not for a certificate")
    if sender is not None and not isinstance(sender, Recipient):
        raise TypeError("with medcrypt keys the sender must be a Recipient")
    rest, metadata = block.open_sealed(sealed, CONTENT, key, context, sender)
    if metadata.get("SOPInstanceUID") != text_of(dataset, "SOPInstanceUID"):
        raise AuthenticationError
    return Remainder.from_bytes(rest)


def _fill_sequence(
    dataset: pydicom.FileDataset,
    remainder: Remainder,
    original: pydicom.FileDataset,
    certificates: Sequence[Certificate],
    signer: Signer | None,
    context: bytes,
) -> None:
    from pydicom import Dataset

    if signer is None:
        raise ValueError("nothing protects an Encrypted Attributes Sequence against change: give a signer")
    content = _encrypted_attributes(original, remainder)
    item = Dataset()
    item.EncryptedContentTransferSyntaxUID = EXPLICIT_LITTLE
    der = cms.envelope(content, certificates)
    item.EncryptedContent = der + bytes(len(der) % 2)
    dataset.EncryptedAttributesSequence = [item]
    block.put(dataset, block.SIGNATURE, sign(signer, _message(dataset, [(EXPLICIT_LITTLE, der)], context)))


def _open_sequence(
    dataset: pydicom.FileDataset, key: Any, sender: Sender | None, context: bytes, unsigned: bool
) -> Remainder | pydicom.Dataset:
    """Verify, then decrypt: return the remainder, or of other software the original attributes."""
    if not isinstance(key, tuple) or len(key) != 2:
        raise InvalidKeyError("these attributes are encrypted for a certificate: give its private key and it")
    contents = _contents(dataset)
    if sender is not None:
        signature = block.get(dataset, block.SIGNATURE)
        if signature is None:
            raise AuthenticationError
        verify(sender, _message(dataset, contents, context), signature)
    elif not unsigned:
        raise ValueError(
            "say who has to have signed (sender), or accept what anyone may have changed (unsigned)"
        )
    content = _first_that_opens(contents, *key)
    with damage_is_a_format_error("the encrypted attributes are damaged"):
        data = block.get(content, block.REMAINDER)
        if data is None:
            item: pydicom.Dataset = content.ModifiedAttributesSequence[0]
            return item
    return Remainder.from_bytes(data)


def _encrypted_attributes(original: pydicom.FileDataset, remainder: Remainder) -> bytes:
    """Encode the Encrypted Attributes Data Set: Modified Attributes Sequence (PS3.15, section E.1.1), remainder."""
    from pydicom import Dataset
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    with damage_is_a_format_error("pydicom cannot write the attributes in Explicit VR Little Endian"):
        item = Dataset()
        if "SpecificCharacterSet" in original:
            item.SpecificCharacterSet = original.SpecificCharacterSet
        for tag in remainder.tags:
            if tag in original:
                item.add(original[tag])
        content = Dataset()
        content.ModifiedAttributesSequence = [item]
        block.put(content, block.REMAINDER, remainder.to_bytes())
        buffer = DicomBytesIO()
        buffer.is_implicit_VR, buffer.is_little_endian = False, True
        write_dataset(buffer, content)
        return buffer.getvalue()


def _contents(dataset: pydicom.FileDataset) -> list[tuple[str, bytes]]:
    """Return transfer syntax and CMS of each item."""
    with damage_is_a_format_error("the Encrypted Attributes Sequence is damaged"):
        items = [
            (str(item.EncryptedContentTransferSyntaxUID), item.EncryptedContent)
            for item in dataset.EncryptedAttributesSequence
        ]
        return [(syntax, cms.trimmed(content)) for syntax, content in items]


def _message(dataset: pydicom.FileDataset, contents: list[tuple[str, bytes]], context: bytes) -> bytes:
    """Return what is signed: context, SOP Instance UID and the items, each behind its length."""
    parts = [context, text_of(dataset, "SOPInstanceUID").encode("utf-8", "surrogateescape")]
    for syntax, content in contents:
        parts += [syntax.encode("utf-8", "surrogateescape"), content]
    return _LABEL + b"".join(struct.pack("<Q", len(part)) + part for part in parts)


def _first_that_opens(
    contents: list[tuple[str, bytes]], key: RSAPrivateKey, certificate: Certificate
) -> pydicom.Dataset:
    """Return the first data set that the key opens.

    A wrong key gives noise instead of an error once in 256 times: then the padding of AES-CBC happens to be right. So
    what holds no original attributes was not opened.
    """
    cms.need_cryptography()
    if not contents:
        raise FormatError("the Encrypted Attributes Sequence is empty")
    for syntax, content in contents:
        with contextlib.suppress(AuthenticationError, FormatError):
            opened = _decoded(cms.open_envelope(content, key, certificate), syntax)
            if "ModifiedAttributesSequence" in opened:
                return opened
    raise AuthenticationError


def _decoded(plain: bytes, syntax: str) -> pydicom.Dataset:
    from pydicom.filereader import read_dataset
    from pydicom.uid import UID

    with damage_is_a_format_error("the encrypted attributes are damaged"):
        uid = UID(syntax)
        return read_dataset(io.BytesIO(plain), uid.is_implicit_VR, uid.is_little_endian)


def _put_back(dataset: pydicom.FileDataset, kept: Remainder | pydicom.Dataset) -> bytes:
    """Return the current file with the original attributes."""
    block.remove(dataset, block.SEALED_ATTRIBUTES, block.SIGNATURE)
    with damage_is_a_format_error():
        if _SEQUENCE in dataset:
            del dataset[_SEQUENCE]
        if isinstance(kept, Remainder):
            originals: pydicom.Dataset = parse(kept.without_pixels())
            tags = kept.tags
        else:
            originals, tags = kept, tuple(tags_of(kept))
        same = originals.original_encoding == dataset.original_encoding
        for tag in tags:
            if tag in dataset:
                del dataset[tag]
            if tag in originals:
                dataset[tag] = originals.get_item(tag) if same else originals[tag]
    return to_bytes(dataset)


def _as_tags(attributes: Iterable[str | int]) -> list[int]:
    from pydicom.datadict import tag_for_keyword

    if isinstance(attributes, str):
        raise TypeError("attributes must be a list of keywords or tags")
    tags = []
    for attribute in attributes:
        tag = tag_for_keyword(attribute) if isinstance(attribute, str) else int(attribute)
        if tag is None:
            raise ValueError(f"no attribute of DICOM has the keyword {attribute!r}")
        if tag in _NEEDED or tag >> 16 in {0, 2, 0x7FE0} or tag == _SEQUENCE:
            raise ValueError(f"a DICOM file cannot do without ({tag >> 16:04X},{tag & 0xFFFF:04X})")
        tags.append(tag)
    return sorted(set(tags))


def _as_certificates(key: Any) -> list[Certificate] | None:
    """Return the certificates, or None if the keys are medcrypt's."""
    if "cryptography" not in sys.modules:  # then nobody can have made a certificate
        return None
    from cryptography.x509 import Certificate

    keys = list(key) if isinstance(key, list | tuple) else [key]
    certificates = [one for one in keys if isinstance(one, Certificate)]
    if certificates and len(certificates) < len(keys):
        raise TypeError("certificates and medcrypt keys cannot be mixed")
    return certificates or None
