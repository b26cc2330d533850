"""A DICOM file without the value of its pixel data, so that the two can be kept in different places.

    number of tags (u32) | start (u64) | length (u64) | SHA-512 of the value | tags (u32 each) | file without the value

All integers are little-endian. Where the value cannot be found in the file as it stands (a deflated file, or none
with pixel data), its length is 0 and the rest is the whole file. The tags name the data elements that were changed
in the file that carries the remainder.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.integrations.dicom.layout import pixel_value

if TYPE_CHECKING:
    import pydicom

_FIXED = struct.Struct("<IQQ64s")


@dataclass(frozen=True)
class Remainder:
    """A file without the value of its pixel data.

    Parameters
    ----------
    start, length
        Where the value was in the file.
    digest
        SHA-512 of the value.
    rest
        The file without it.
    tags
        Data elements that were changed.
    """

    start: int
    length: int
    digest: bytes
    rest: bytes
    tags: tuple[int, ...] = ()

    @classmethod
    def of(cls, data: bytes, dataset: pydicom.Dataset, tags: tuple[int, ...] = ()) -> Self:
        """Take the value out of a file.

        Parameters
        ----------
        data, dataset
            The file, and what pydicom read from it, its pixel data untouched.
        tags
            Data elements that are changed.
        """
        value, start = pixel_value(dataset)
        if data[start : start + len(value)] != value:
            value, start = b"", 0
        digest = hashlib.sha512(value).digest()
        return cls(start, len(value), digest, data[:start] + data[start + len(value) :], tags)

    @classmethod
    def whole(cls, data: bytes) -> Self:
        """Keep all of a file."""
        return cls(0, 0, hashlib.sha512(b"").digest(), data)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse what `to_bytes` returned."""
        if len(data) < _FIXED.size:
            raise FormatError("the remainder of the file was cut")
        count, start, length, digest = _FIXED.unpack_from(data)
        end = _FIXED.size + 4 * count
        if len(data) < end or start > len(data) - end:
            raise FormatError("the remainder of the file was cut")
        tags = struct.unpack_from(f"<{count}I", data, _FIXED.size)
        return cls(start, length, digest, data[end:], tags)

    def to_bytes(self) -> bytes:
        """Encode it."""
        fixed = _FIXED.pack(len(self.tags), self.start, self.length, self.digest)
        return fixed + struct.pack(f"<{len(self.tags)}I", *self.tags) + self.rest

    def join(self, value: bytes) -> bytes:
        """Return the file, with the value that was taken out of it.

        Parameters
        ----------
        value
            The value, perhaps with one byte of padding more.

        Raises
        ------
        AuthenticationError
            It is not the value that was taken out.
        """
        if not self.length:
            return self.rest
        exact = value[: self.length]
        if len(value) - len(exact) > 1 or not hmac.compare_digest(
            hashlib.sha512(exact).digest(), self.digest
        ):
            raise AuthenticationError
        return self.rest[: self.start] + exact + self.rest[self.start :]

    def without_pixels(self) -> bytes:
        """Return the file with zeros for the value, to read its other elements."""
        return self.rest[: self.start] + bytes(self.length) + self.rest[self.start :]
