"""The sidecar of an image with encrypted regions: what is needed to restore them, and to know that they are right.

    header | recipient slot | tag

The header holds pixel type, shape, range of values, nonce and outlines; the slot holds the file key for the recipients,
as in a sealed image. Every byte is specified in ``docs/formats/regions.md``. All integers are little-endian.
"""

from __future__ import annotations

import functools
import hashlib
import re
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from medcrypt.errors import FormatError
from medcrypt.images.header import LEAST_SLOT, MAGIC, MOST_AXES, MOST_SLOT, SLOT_STEP, fits
from medcrypt.images.outlines import MOST_OUTLINES, Cursor, Outline, parse_outline

KIND, VERSION = ord("R"), 1
OUTSIDE_BOUND = 1
AES_CTR_SHIFT = 1
NONCE_BYTES, TAG_BYTES = 16, 32
# magic, kind, version, flags, header size, slot size, method, rank, 0, dtype, number of regions, number of regions
# apart, lo, hi, nonce
_FIXED = struct.Struct("<8sBBHIIBBH4sIIQQ16s")
FIXED_BYTES = _FIXED.size
MOST_HEADER = 1 << 28
_DTYPES = re.compile(r"(\|b1|[|<>][iu]1|[<>][iuf][248])")


@dataclass(frozen=True, eq=False)
class Sidecar:
    """One parsed or new header.

    Parameters
    ----------
    dtype
        Type of the pixels, byte order included.
    shape
        Shape of the array.
    lo, hi
        The range of values that pixels keep: of bit patterns where they are floats.
    nonce
        16 random bytes that name the encryption.
    slot_size
        Bytes of the recipient slot that follows.
    outside_bound
        Whether the tag covers the pixels outside of the regions.
    regions, apart
        What is encrypted here, and what is encrypted elsewhere and therefore left out of the tag.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    lo: int
    hi: int
    nonce: bytes
    slot_size: int
    outside_bound: bool
    regions: tuple[Outline, ...]
    apart: tuple[Outline, ...]

    @functools.cached_property
    def header(self) -> bytes:
        """The header."""
        shape = struct.pack(f"<{len(self.shape)}Q", *self.shape)
        rest = shape + b"".join(outline.to_bytes() for outline in self.regions + self.apart)
        fixed = _FIXED.pack(
            MAGIC, KIND, VERSION, OUTSIDE_BOUND if self.outside_bound else 0, FIXED_BYTES + len(rest), self.slot_size,
            AES_CTR_SHIFT, len(self.shape), 0, self.dtype.str.encode("ascii").ljust(4),
            len(self.regions), len(self.apart), self.lo % (1 << 64), self.hi % (1 << 64), self.nonce,
        )  # fmt: skip
        return fixed + rest

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-512 of the header."""
        return hashlib.sha512(self.header).digest()


def widest(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the range of a pixel type: of its values, or of its bit patterns for floats."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind == "f":
        return 0, (1 << 8 * dtype.itemsize) - 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def is_pixel_type(dtype: np.dtype[Any]) -> bool:
    """Tell whether regions of such pixels can be encrypted: booleans, integers and floats of fixed width."""
    return dtype.fields is None and _DTYPES.fullmatch(dtype.str) is not None


def parse(data: bytes) -> tuple[Sidecar, bytes, bytes]:
    """Parse a sidecar strictly and return its header, its slot and its tag, none of them authenticated.

    Raises
    ------
    FormatError
        The bytes are not exactly one sidecar.
    """
    if len(data) < FIXED_BYTES or data[:8] != MAGIC:
        raise FormatError("not a medcrypt sidecar")
    _, kind, version, *fields = _FIXED.unpack(data[:FIXED_BYTES])
    if kind != KIND:
        raise FormatError("a medcrypt file, but not the sidecar of encrypted regions")
    if version != VERSION:
        raise FormatError(f"sidecar of version {version}; this medcrypt reads version {VERSION}")
    flags, size, slot_size, method, rank, zero, dtype, regions, apart, lo, hi, nonce = fields
    if flags & ~OUTSIDE_BOUND or zero or method != AES_CTR_SHIFT:
        raise FormatError("reserved bits are set, or an unknown method: made by a newer medcrypt, or damaged")
    if not FIXED_BYTES <= size <= MOST_HEADER or rank > MOST_AXES or regions + apart > MOST_OUTLINES:
        raise FormatError("the header's fields are out of bounds")
    if not LEAST_SLOT <= slot_size <= MOST_SLOT or slot_size % SLOT_STEP:
        raise FormatError("the size of the recipient slot is out of bounds")
    if len(data) != size + slot_size + TAG_BYTES:
        raise FormatError("the sidecar was cut or extended")
    cursor = Cursor(data[FIXED_BYTES:size])
    pixel_type, shape = _parse_dtype(dtype), cursor.numbers("Q", rank)
    if not fits(shape, pixel_type):
        raise FormatError("the array is too large to exist")
    outlines = [parse_outline(cursor, shape) for _ in range(regions + apart)]
    if cursor.left:
        raise FormatError("the outlines do not fill the header")
    sidecar = Sidecar(
        pixel_type, shape, *_parse_range(lo, hi, pixel_type), nonce, slot_size, bool(flags & OUTSIDE_BOUND),
        tuple(outlines[:regions]), tuple(outlines[regions:]),
    )  # fmt: skip
    return sidecar, data[size : size + slot_size], data[size + slot_size :]


def _parse_dtype(text: bytes) -> np.dtype[Any]:
    name = text.decode("ascii", "replace").rstrip(" ")
    if not _DTYPES.fullmatch(name) or name.ljust(4).encode("ascii") != text:
        raise FormatError("unknown pixel type")
    dtype = np.dtype(name)
    if dtype.str != name:  # such as '<u1', which numpy writes '|u1'
        raise FormatError("the pixel type is not in its canonical form")
    return dtype


def _parse_range(lo: int, hi: int, dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the range, from two's complement for signed pixels."""
    if dtype.kind == "i":
        lo, hi = ((number ^ 1 << 63) - (1 << 63) for number in (lo, hi))
    least, most = widest(dtype)
    if not least <= lo < hi <= most or (dtype.kind == "f" and (lo, hi) != (least, most)):
        raise FormatError("the range of values is not one of the pixel type")
    return lo, hi
