"""The immutable header of a sealed image: what never changes while recipients come and go.

Every byte is specified in ``docs/formats/images.md``. All integers are little-endian.
"""

from __future__ import annotations

import functools
import json
import math
import operator
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.sha512 import sha512
from medcrypt.errors import FormatError
from medcrypt.images import cobblestone
from medcrypt.images.inner_cipher import AES_GCM, COUNTER, NETWORK, extra_size
from medcrypt.images.layout import Layout, full_tiles

Metadata: TypeAlias = Mapping[str, Any]

MAGIC = b"MEDCRYPT"
KIND, VERSION = ord("I"), 1
SIGNED = 1
CIPHERS = {AES_GCM: 1, NETWORK: 2, COUNTER: 3}
_CIPHER_NAMES = {number: name for name, number in CIPHERS.items()}
C_ORDER, TILED = 0, 1
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
_HEADER_HEAD = struct.Struct("<BBHI")  # kind, version, flags, header size
FIXED_BYTES = _FIXED.size
_ORDER_AT, _RANK_AT, _ID = 21, 22, slice(36, 52)
# How many forms are remembered: enough for the series that are being read and written at a time.
_FORMS = 64
MOST_HEADER = FIXED_BYTES + 16 * MOST_AXES + SIGNER_BYTES + MOST_PUBLIC + _MOST_SEALED
# Numbers of fixed, portable width. Objects, structures, strings and long double are refused.
_DTYPES = re.compile(r"(\|b1|[|<>][iu]1|[<>][iuf][248]|[<>]c(8|16))")


@dataclass(frozen=True)
class Form:
    """What the headers of a whole series of images have in common, and the sizes that follow from it.

    Made by `form_of` and `parse`, which keep the most recent ones: a series is sealed and opened with one.

    Parameters
    ----------
    dtype
        Type of the pixels, byte order included.
    shape
        Shape of the array.
    tiles
        Shape of the tiles, one entry for each axis; None where the pixels are stored in C order.
    slot_size
        Bytes of each of the two recipient slots that follow the header.
    cipher
        Name of the cipher of the body.
    signed
        Whether a signature follows the body.
    public_size, private_size
        Bytes of the public and of the encrypted metadata.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    tiles: tuple[int, ...] | None
    slot_size: int
    cipher: str
    signed: bool
    public_size: int
    private_size: int

    @functools.cached_property
    def layout(self) -> Layout:
        """The order in which the pixels are stored."""
        return Layout(self.shape, self.shape if self.tiles is None else self.tiles)

    @functools.cached_property
    def data_size(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize

    @functools.cached_property
    def stored_size(self) -> int:
        """Bytes of the body's plaintext: the array, and what the inner cipher adds."""
        return self.data_size + extra_size(self.cipher)

    @functools.cached_property
    def shape_size(self) -> int:
        """Bytes of the shapes of the array and of the tiles."""
        return 8 * len(self.shape) * (1 if self.tiles is None else 2)

    @functools.cached_property
    def size(self) -> int:
        """Bytes of the header."""
        return self.public_start + self.public_size + self.private_size

    @functools.cached_property
    def public_start(self) -> int:
        """Where the public metadata begin, behind the signer."""
        return FIXED_BYTES + self.shape_size + (SIGNER_BYTES if self.signed else 0)

    @functools.cached_property
    def body_start(self) -> int:
        """Where the Cobblestone-256 blob of the pixels begins."""
        return self.size + 2 * self.slot_size

    @functools.cached_property
    def body_size(self) -> int:
        """Bytes of that blob."""
        return cobblestone.sealed_size(self.stored_size)

    @functools.cached_property
    def body_end(self) -> int:
        """Where the blob ends and the trailer of a signed image begins."""
        return self.body_start + self.body_size

    @functools.cached_property
    def chunks(self) -> int:
        """Number of chunks of the body."""
        return self.stored_size // cobblestone.CHUNK + 1

    @functools.cached_property
    def trailer_size(self) -> int:
        """Bytes after the body: a hash for each chunk and the signature, where the image is signed."""
        return HASH_BYTES * self.chunks + SIGNATURE_BYTES if self.signed else 0

    @functools.cached_property
    def sealed_size(self) -> int:
        """Bytes of the whole sealed image."""
        return self.body_end + self.trailer_size

    @functools.cached_property
    def around_id(self) -> tuple[bytes, bytes]:
        """The header's bytes before and after the id, up to the signer."""
        fixed = _FIXED.pack(
            MAGIC, KIND, VERSION, SIGNED if self.signed else 0, self.size, self.slot_size,
            CIPHERS[self.cipher], C_ORDER if self.tiles is None else TILED, len(self.shape), 0,
            self.dtype.str.encode("ascii").ljust(4), self.public_size, self.private_size,
            bytes(ID_BYTES), bytes(12),
        )  # fmt: skip
        shapes = self.shape + (self.tiles or ())
        return fixed[: _ID.start], fixed[_ID.stop :] + struct.pack(f"<{len(shapes)}Q", *shapes)


@functools.lru_cache(maxsize=_FORMS)
def form_of(
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    tiles: tuple[int, ...] | None,
    slot_size: int,
    cipher: str,
    signed: bool,
    public_size: int,
    private_size: int,
) -> Form:
    """Return the form of new headers, or raise ``TypeError``/``ValueError`` where no array is like that."""
    checked_dtype(dtype)
    if len(shape) > MOST_AXES:
        raise ValueError(f"arrays of more than {MOST_AXES} axes cannot be sealed")
    shape = tuple(map(operator.index, shape))
    if any(length < 0 for length in shape) or not fits(shape, dtype):
        raise ValueError("an axis is negative, or the array is too large to be sealed")
    if cipher not in CIPHERS:
        raise ValueError(f"unknown cipher {cipher!r}; one of {', '.join(CIPHERS)}")
    whole = None if tiles is None else full_tiles(tiles, shape)
    return Form(dtype, shape, whole, slot_size, cipher, signed, public_size, private_size)


class Header(NamedTuple):
    """One immutable header.

    Parameters
    ----------
    form
        What it shares with others.
    data
        Its bytes.
    digest
        SHA-512 of them.
    """

    form: Form
    data: bytes
    digest: bytes

    @classmethod
    def of(cls, form: Form, data: bytes) -> Self:
        """Return the header with these bytes."""
        return cls(form, data, sha512(data))

    @property
    def size(self) -> int:
        """Bytes of the header."""
        return self.form.size

    @property
    def slot_size(self) -> int:
        """Bytes of each recipient slot."""
        return self.form.slot_size

    @property
    def file_id(self) -> bytes:
        """16 random bytes that name the sealed image."""
        return self.data[_ID]

    @property
    def signer(self) -> bytes:
        """Ed25519 key of the sender whose signature follows the body, or empty."""
        return self.data[FIXED_BYTES + self.form.shape_size : self.form.public_start]

    @property
    def public(self) -> bytes:
        """Canonical JSON of the metadata that anyone can read, or empty."""
        return self.data[self.form.public_start : self.form.size - self.form.private_size]

    @property
    def private(self) -> bytes:
        """Encrypted canonical JSON, or empty."""
        return self.data[self.form.size - self.form.private_size :]


def without_private(form: Form, file_id: bytes, signer: bytes, public: bytes) -> bytes:
    """Return a new header up to the encrypted metadata, which are bound to it."""
    before, after = form.around_id
    return before + file_id + after + signer + public


def header_size(prefix: NDArray[np.uint8]) -> int:
    """Return the size that the first `FIXED_BYTES` bytes claim for the header, within bounds."""
    if prefix.size < FIXED_BYTES:
        raise FormatError("not a medcrypt sealed image")
    return _claimed_size(prefix[: _ID.start].tobytes())


@functools.lru_cache(maxsize=_FORMS)
def _claimed_size(before_id: bytes) -> int:
    """Return the size in the bytes before the id, within bounds."""
    if not before_id.startswith(MAGIC):
        raise FormatError("not a medcrypt sealed image")
    kind, version, _, size = _HEADER_HEAD.unpack_from(before_id, len(MAGIC))
    if kind != KIND:
        raise FormatError("a medcrypt file, but not a sealed image")
    if version != VERSION:
        raise FormatError(f"sealed image of version {version}; this medcrypt reads version {VERSION}")
    if not FIXED_BYTES <= size <= MOST_HEADER:
        raise FormatError("the header's size is out of bounds")
    return int(size)


def parse(data: NDArray[np.uint8]) -> Header:
    """Parse an immutable header strictly: exactly one byte string gives each header."""
    size = header_size(data)
    if data.size < size:
        raise FormatError("the header was cut")
    raw = data[:size].tobytes()
    # Rank and order say how long the shapes are, before anything is known to be sound: slices only get shorter.
    shapes = 8 * raw[_RANK_AT] * (2 if raw[_ORDER_AT] == TILED else 1)
    form = _parse_form(raw[: _ID.start], raw[_ID.stop : FIXED_BYTES + shapes])
    return Header(form, raw, sha512(raw))


@functools.lru_cache(maxsize=_FORMS)
def _parse_form(before_id: bytes, after_id: bytes) -> Form:
    """Parse what a header has in common with others: the bytes before and after its id, up to the signer."""
    _, _, _, flags, size, slot_size, cipher, order, rank, zero, dtype, public, private, _, zeros = (
        _FIXED.unpack(before_id + bytes(ID_BYTES) + after_id[:12])
    )
    if flags & ~SIGNED or zero or any(zeros):
        raise FormatError("reserved header bits are set: made by a newer medcrypt, or damaged")
    if cipher not in _CIPHER_NAMES or order not in (C_ORDER, TILED):
        raise FormatError("unknown cipher or chunk order: made by a newer medcrypt, or damaged")
    if not LEAST_SLOT <= slot_size <= MOST_SLOT or slot_size % SLOT_STEP:
        raise FormatError("the size of the recipient slots is out of bounds")
    if rank > MOST_AXES or public > MOST_PUBLIC or private > _MOST_SEALED:
        raise FormatError("the header's fields are out of bounds")
    if private and cobblestone.plain_size(private) == 0:
        raise FormatError("encrypted metadata without members are written as none")
    axes = rank * (2 if order == TILED else 1)
    if size != FIXED_BYTES + 8 * axes + (SIGNER_BYTES if flags & SIGNED else 0) + public + private:
        raise FormatError("the header's fields do not add up to its size")
    shapes = struct.unpack(f"<{axes}Q", after_id[12:])
    form = Form(
        dtype=_parse_dtype(dtype),
        shape=shapes[:rank],
        tiles=shapes[rank:] if order == TILED else None,
        slot_size=slot_size,
        cipher=_CIPHER_NAMES[cipher],
        signed=bool(flags & SIGNED),
        public_size=public,
        private_size=private,
    )
    if not fits(form.shape, form.dtype):
        raise FormatError("the array is too large to exist")
    if form.tiles is not None and not _canonical_tiles(form.tiles, form.shape):
        raise FormatError("the shape of the tiles is not in its canonical form")
    return form


def _canonical_tiles(tiles: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Tell whether tiles are what `full_tiles` gives."""
    lengths = zip(tiles, shape, strict=True)
    return bool(tiles) and all(1 <= tile <= max(length, 1) for tile, length in lengths)


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
