"""The private block that medcrypt puts into a DICOM file (PS3.5, section 7.8.1).

Its elements have the private creator ``MEDCRYPT 1.0`` in group 7FDF, just before the pixel data. All are of value
representation OB, which no re-encoding touches, and begin with their length in 8 bytes, because DICOM pads odd
ones. They are listed in ``docs/formats/dicom.md``.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medcrypt.errors import FormatError
from medcrypt.images import sealed_files as files
from medcrypt.images.recipients import OpeningKey
from medcrypt.integrations.dicom.parsing import damage_is_a_format_error, tags_of
from medcrypt.keys import Recipient

if TYPE_CHECKING:
    import pydicom

CREATOR = "MEDCRYPT 1.0"
GROUP = 0x7FDF

SEALED_FRONT = 0x01  # of what encrypts the pixels; the rest of it is the pixel data
SIDECAR = 0x02  # of encrypted regions
SEALED_REMAINDER = 0x03  # the file around the regions' pixel data
SEALED_ATTRIBUTES = 0x04  # the file around the pixel data, where a medcrypt key encrypts the attributes
SIGNATURE = 0x05  # over the Encrypted Attributes Sequence
REMAINDER = 0x06  # inside the encrypted attributes only
PIXELS = (SEALED_FRONT, SIDECAR, SEALED_REMAINDER)

_LENGTH = struct.Struct("<Q")
_MOST_BYTES = (1 << 32) - 2  # of a value, PS3.5 section 7.1


def put(dataset: pydicom.Dataset, element: int, value: bytes) -> None:
    """Add an element to the block."""
    if len(value) > _MOST_BYTES - _LENGTH.size:
        raise ValueError("DICOM values end at 4 GiB: seal the whole file instead")
    with damage_is_a_format_error("the private group of the file is damaged"):
        block = dataset.private_block(GROUP, CREATOR, create=True)
        padding = bytes(len(value) % 2)
        block.add_new(element, "OB", _LENGTH.pack(len(value)) + value + padding)


def get(dataset: pydicom.Dataset, element: int) -> bytes | None:
    """Return the value of an element of the block, or None where it is absent."""
    with damage_is_a_format_error("the private block is damaged"):
        try:
            found = dataset.private_block(GROUP, CREATOR)[element].value
        except KeyError:
            return None
        if not isinstance(found, bytes) or len(found) < _LENGTH.size:
            raise FormatError("the private block is damaged")
        (length,) = _LENGTH.unpack(found[: _LENGTH.size])
        value = found[_LENGTH.size :]
        if value[length:] != bytes(length % 2) or len(value) < length:
            raise FormatError("the private block was cut or extended")
        return value[:length]


def has_any(dataset: pydicom.Dataset, elements: tuple[int, ...]) -> bool:
    """Tell whether one of the elements is there."""
    return any(get(dataset, element) is not None for element in elements)


def remove(dataset: pydicom.Dataset, *elements: int) -> None:
    """Remove elements, and the whole block with the last of them."""
    with damage_is_a_format_error("the private block is damaged"):
        try:
            block = dataset.private_block(GROUP, CREATOR)
        except KeyError:
            return
        for element in elements:
            if element in block:
                del block[element]
        first = block.get_tag(0)
        if not any(first <= tag <= first + 0xFF for tag in tags_of(dataset)):
            del dataset[GROUP << 16 | (first >> 8 & 0xFF)]


def open_sealed(
    sealed: bytes,
    content: str,
    key: OpeningKey | Sequence[OpeningKey],
    context: bytes,
    sender: Recipient | None,
) -> tuple[bytes, dict[str, Any]]:
    """Open sealed bytes of one kind and return them with their metadata.

    Raises
    ------
    AuthenticationError
        Wrong key, context or sender, or any change.
    FormatError
        They are of another kind.
    """
    with files.open_file(sealed, key, context=context, sender=sender) as file:
        if file.content != content:
            raise FormatError("the private block holds something else than it should")
        return file.read(), file.metadata
