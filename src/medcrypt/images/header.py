"""The immutable header of a sealed image: what never changes while recipients come and go.

Every byte is specified in ``docs/formats/images.md``. All integers are little-endian.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import FormatError
from medcrypt.images import cobblestone

Metadata: TypeAlias = Mapping[str, Any]

MAGIC = b"MEDCRYPT"
KIND, VERSION = ord("I"), 1
SIGNED = 1
CIPHERS = {"aes-256-gcm": 1}
_CIPHER_NAMES = {number: name for name, number in CIPHERS.items()}
C_ORDER = 0
MOST_AXES = 32
MOST_PUBLIC = 1 << 20
MOST_PRIVATE = 1 << 24
_MOST_SEALED = cobblestone.sealed_size(MOST_PRIVATE)
MOST_DATA = cobblestone.MOST_CHUNKS * cobblestone.CHUNK
SLOT_STEP, LEAST_SLOT, MOST_SLOT = 64, 128, 1 << 20
ID_BYTES, SIGNER_BYTES = 16, 32
HASH_BYTES = 32
SIGNATURE_BYTES = 64

# magic, kind, version, flags, header size, slot size, cipher, order, rank, 0, dtype,
# bytes of public metadata, bytes of private metadata, id, 12 zeros
_FIXED = struct.Struct("<8sBBHIIBBBB4sII16s12s")
FIXED_BYTES = _FIXED.size
MOST_HEADER = FIXED_BYTES + 8 * MOST_AXES + SIGNER_BYTES + MOST_PUBLIC + _MOST_SEALED
# Numbers of fixed, portable width. Objects, structures, strings and long double are refused.
_DTYPES = re.compile(r"(\|b1|[|<>][iu]1|[<>][iuf][248]|[<>]c(8|16))")


@dataclass(frozen=True)
class Header:
    """One parsed or new immutable header.

    Parameters
    ----------
    dtype
        Type of the pixels, byte order included.
    shape
        Shape of the array.
    file_id
        16 random bytes that name the sealed image.
    slot_size
        Bytes of each of the two recipient slots that follow.
    cipher
        Name of the cipher of the body.
    public
        Canonical JSON of the metadata that anyone can read, or empty.
    private
        Encrypted canonical JSON, or empty.
    signer
        Ed25519 key of the sender whose signature follows the body, or empty.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    file_id: bytes
    slot_size: int
    cipher: str = "aes-256-gcm"
    public: bytes = b""
    private: bytes = b""
    signer: bytes = b""

    @property
    def data_size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def size(self) -> int:
        """Bytes of the immutable header."""
        return FIXED_BYTES + 8 * len(self.shape) + len(self.signer) + len(self.public) + len(self.private)

    @property
    def body_start(self) -> int:
        """Where the Cobblestone-256 blob of the pixels begins."""
        return self.size + 2 * self.slot_size

    @property
    def body_size(self) -> int:
        """Bytes of that blob."""
        return cobblestone.sealed_size(self.data_size)

    @property
    def chunks(self) -> int:
        """Number of chunks of the body."""
        return self.data_size // cobblestone.CHUNK + 1

    @property
    def trailer_size(self) -> int:
        """Bytes after the body: a hash for each chunk and the signature, where the image is signed."""
        return HASH_BYTES * self.chunks + SIGNATURE_BYTES if self.signer else 0

    @property
    def sealed_size(self) -> int:
        """Bytes of the whole sealed image."""
        return self.body_start + self.body_size + self.trailer_size

    def to_bytes(self) -> bytes:
        """Return the immutable header."""
        return self.without_private + self.private

    @functools.cached_property
    def without_private(self) -> bytes:
        """The header up to the encrypted metadata, to which that metadata is bound."""
        fixed = _FIXED.pack(
            MAGIC, KIND, VERSION, SIGNED if self.signer else 0, self.size, self.slot_size,
            CIPHERS[self.cipher], C_ORDER, len(self.shape), 0, self.dtype.str.encode("ascii").ljust(4),
            len(self.public), len(self.private), self.file_id, bytes(12),
        )  # fmt: skip
        return fixed + struct.pack(f"<{len(self.shape)}Q", *self.shape) + self.signer + self.public

    @functools.cached_property
    def prefix_digest(self) -> bytes:
        """SHA-512 of the header up to the encrypted metadata."""
        return hashlib.sha512(self.without_private).digest()

    @functools.cached_property
    def digest(self) -> bytes:
        """SHA-512 of the immutable header."""
        return hashlib.sha512(self.to_bytes()).digest()


def header_size(prefix: NDArray[np.uint8]) -> int:
    """Return the size that the first `FIXED_BYTES` bytes claim for the header, within bounds."""
    if prefix.size < FIXED_BYTES or prefix[:8].tobytes() != MAGIC:
        raise FormatError("not a medcrypt sealed image")
    _, kind, version, *_ = _FIXED.unpack(prefix[:FIXED_BYTES].tobytes())
    if kind != KIND:
        raise FormatError("a medcrypt file, but not a sealed image")
    if version != VERSION:
        raise FormatError(f"sealed image of version {version}; this medcrypt reads version {VERSION}")
    size = int(_FIXED.unpack(prefix[:FIXED_BYTES].tobytes())[4])
    if not FIXED_BYTES <= size <= MOST_HEADER:
        raise FormatError("the header's size is out of bounds")
    return size


def parse(data: NDArray[np.uint8]) -> Header:
    """Parse an immutable header strictly: exactly one byte string gives each header."""
    size = header_size(data)
    if data.size < size:
        raise FormatError("the header was cut")
    raw = data[:size].tobytes()
    _, _, _, flags, _, slot_size, cipher, order, rank, zero, dtype, public, private, file_id, zeros = (
        _FIXED.unpack(raw[:FIXED_BYTES])
    )
    if flags & ~SIGNED or zero or any(zeros):
        raise FormatError("reserved header bits are set: made by a newer medcrypt, or damaged")
    if cipher not in _CIPHER_NAMES or order != C_ORDER:
        raise FormatError("unknown cipher or chunk order: made by a newer medcrypt, or damaged")
    if not LEAST_SLOT <= slot_size <= MOST_SLOT or slot_size % SLOT_STEP:
        raise FormatError("the size of the recipient slots is out of bounds")
    if rank > MOST_AXES or public > MOST_PUBLIC or private > _MOST_SEALED:
        raise FormatError("the header's fields are out of bounds")
    if private and cobblestone.plain_size(private) == 0:
        raise FormatError("encrypted metadata without members are written as none")
    signer_bytes = SIGNER_BYTES if flags & SIGNED else 0
    ends = [FIXED_BYTES, FIXED_BYTES + 8 * rank]
    ends += [
        ends[-1] + signer_bytes,
        ends[-1] + signer_bytes + public,
        ends[-1] + signer_bytes + public + private,
    ]
    if ends[-1] != size:
        raise FormatError("the header's fields do not add up to its size")
    shape = struct.unpack(f"<{rank}Q", raw[ends[0] : ends[1]])
    header = Header(
        dtype=_parse_dtype(dtype),
        shape=shape,
        file_id=file_id,
        slot_size=slot_size,
        cipher=_CIPHER_NAMES[cipher],
        public=raw[ends[2] : ends[3]],
        private=raw[ends[3] : ends[4]],
        signer=raw[ends[1] : ends[2]],
    )
    if not fits(shape, header.dtype):
        raise FormatError("the array is too large to exist")
    return header


def fits(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bool:
    """Tell whether numpy could hold the array: axes without pixels count as one, as numpy counts them."""
    return math.prod(max(n, 1) for n in shape) * dtype.itemsize < MOST_DATA


def checked_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype that can be sealed, or raise ``TypeError``."""
    if dtype.fields is not None or not _DTYPES.fullmatch(dtype.str):
        raise TypeError(
            f"arrays of dtype {dtype} cannot be sealed: use booleans, integers, floats or complex numbers of "
            "fixed width (seal each field of a structured array by itself)"
        )
    return dtype


def _parse_dtype(text: bytes) -> np.dtype[Any]:
    name = text.decode("ascii", "replace").rstrip(" ")
    if not _DTYPES.fullmatch(name) or name.ljust(4).encode("ascii") != text:
        raise FormatError("unknown pixel type")
    dtype = np.dtype(name)
    if dtype.str != name:  # such as '<u1', which numpy writes '|u1'
        raise FormatError("the pixel type is not in its canonical form")
    return dtype


def metadata_to_bytes(metadata: Metadata | None, most: int) -> bytes:
    """Return canonical JSON, or nothing for no metadata."""
    if metadata is None:
        return b""
    if not isinstance(metadata, Mapping):
        raise TypeError("metadata must be a mapping from str to JSON values")
    if not metadata:
        return b""
    _check_names(metadata)
    data = _canonical(dict(metadata))
    if len(data) > most:
        raise ValueError(f"metadata of {len(data)} bytes; at most {most} fit")
    return data


def metadata_from_bytes(data: bytes) -> dict[str, Any]:
    """Parse canonical JSON strictly."""
    if not data:
        return {}
    try:
        metadata = json.loads(data)
        sound = isinstance(metadata, dict) and len(metadata) > 0 and _canonical(metadata) == data
    except (ValueError, RecursionError):
        sound = False
    if not sound:
        raise FormatError("the metadata is not canonical JSON")
    return dict(metadata)


def _check_names(value: Any) -> None:
    """Refuse names that are not str, at any depth: JSON would quietly turn them into strings."""
    if isinstance(value, Mapping):
        if not all(isinstance(name, str) for name in value):
            raise TypeError("metadata must have names of type str, at every depth")
        parts: Iterable[Any] = value.values()
    else:
        parts = value if isinstance(value, list | tuple) else ()
    for part in parts:
        _check_names(part)


def _canonical(metadata: dict[str, Any]) -> bytes:
    return json.dumps(
        metadata, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode("utf-8")
