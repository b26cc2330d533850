"""A NIfTI file whose voxels are encrypted and that is still a valid NIfTI file.

    header | extension flag | our extension | what was before the voxels | ciphertext | what was after them

The voxels are sealed as any image is; the ciphertext takes their place bit for bit, and everything else of the
sealed image (header, recipients, tags) goes into an extension. Header, other extensions and whatever surrounds
the voxels stay readable and are bound: a change to any of them is refused. Bytes: ``docs/formats/nifti.md``.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcrypt import images
from medcrypt.errors import FormatError
from medcrypt.images import sealed_files as files
from medcrypt.images.cobblestone import CHUNK, OVERHEAD, SEALED_CHUNK, TAG
from medcrypt.images.recipients import OpeningKey
from medcrypt.images.sealed_files import Keys
from medcrypt.keys import Identity, Recipient

__all__ = ["Layout", "parse_header", "seal_voxels", "unseal_voxels"]

Bytes = NDArray[np.uint8]

CONTENT = "nifti-voxels"
_MAGIC = b"MEDCRYPTN\x01\x00\x00"
_LENGTH_BYTES = 4
_EXTENSION_HEAD = 8  # size and code
_SIZES_END = 20  # of header size and slot size in the header of a sealed image
_PRIVATE_CODE = 0
_FLAG_BYTES = 4
_LABEL = b"medcrypt/v1/nifti-voxels"
_LONGEST_HEADER = 540
_MAGICS = {348: (344, b"n+1\0"), 540: (4, b"n+2\0\r\n\x1a\n")}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where things lie in a single-file NIfTI image.

    Parameters
    ----------
    header_size
        348 (NIfTI-1) or 540 (NIfTI-2).
    order
        ``"<"`` or ``">"``.
    offset_field
        Where the header says where the voxels begin, and as what type.
    start, stop
        Where the voxels begin and end.
    """

    header_size: int
    order: str
    offset_field: tuple[int, np.dtype[Any]]
    start: int
    stop: int

    @property
    def after_flag(self) -> int:
        """Where extensions begin."""
        return self.header_size + _FLAG_BYTES

    @classmethod
    def of(cls, data: Bytes) -> Layout:
        """Find the voxels.

        Raises
        ------
        FormatError
            Not a single-file NIfTI image, or cut.
        """
        header = parse_header(data[:_LONGEST_HEADER].tobytes())
        size = header.template_dtype.itemsize
        place, magic = _MAGICS[size]
        if data[place : place + len(magic)].tobytes() != magic:
            raise FormatError("not a NIfTI image in one file: of a pair, only the whole can be sealed")
        try:
            start = int(header["vox_offset"])  # NIfTI-1 stores a float, be it NaN
            stop = start + header.get_data_dtype().itemsize * int(
                np.prod(header.get_data_shape(), dtype=object)
            )
        except Exception as error:  # nibabel raises errors of several kinds on damaged headers
            raise FormatError("the NIfTI header does not say what the voxels are") from error
        if start != header["vox_offset"] or not size + _FLAG_BYTES <= start <= stop <= data.size:
            raise FormatError("the NIfTI header is wrong about where the voxels are, or the file was cut")
        field_type, field_place = header.template_dtype.fields["vox_offset"][:2]
        order = "<" if header.endianness == "<" else ">"
        return cls(size, order, (field_place, field_type.newbyteorder(order)), start, stop)

    def offset_bytes(self, offset: int) -> bytes:
        """Return the header's field for voxels that begin at ``offset``."""
        kind = self.offset_field[1]
        field = np.asarray(offset, kind)
        if int(field) != offset:  # NIfTI-1 stores a float32
            raise ValueError("the voxels would begin at a place that a NIfTI-1 header cannot name")
        return field.tobytes()


def seal_voxels(data: bytes, key: Keys, *, context: bytes = b"", signer: Identity | None = None) -> bytes:
    """Return the file with its voxels encrypted, see `medcrypt.integrations.nifti.seal_voxels`."""
    original = np.frombuffer(data, np.uint8)
    layout = Layout.of(original)
    if _our_extension(original, layout) is not None:
        raise ValueError("the voxels of this file are sealed already")
    flag = original[layout.header_size : layout.after_flag].tobytes()
    between = original[layout.after_flag : layout.start]
    field_at, field_type = layout.offset_field
    metadata = {
        "content": CONTENT,
        "vox_offset": original[field_at : field_at + field_type.itemsize].tobytes().hex(),
        "extension": flag.hex(),
        # Without extensions nothing may stand here that a reader would take for one from now on.
        "gap": "" if flag[0] else between.tobytes().hex(),
    }
    kept = between if flag[0] else between[:0]
    voxels = original[layout.start : layout.stop]
    sealed_size = images.sealed_size(voxels.shape, voxels.dtype, key, metadata=metadata, signer=signer)
    extension_size = _extension_size(sealed_size - voxels.size)
    start = layout.after_flag + extension_size + kept.size

    header = original[: layout.header_size].copy()
    header[field_at : field_at + field_type.itemsize] = np.frombuffer(layout.offset_bytes(start), np.uint8)
    head = header.tobytes() + b"\x01" + flag[1:]
    rest = original[layout.stop :]
    binding = _binding(head, kept, rest, context)
    sealed = np.frombuffer(
        images.encrypt(voxels, key, context=binding, metadata=metadata, signer=signer), np.uint8
    )
    ciphertext, others = _detach(sealed, voxels.size)
    extension = struct.pack(layout.order + "ii", extension_size, _PRIVATE_CODE)
    extension += _MAGIC + len(others).to_bytes(_LENGTH_BYTES, "little") + others
    return b"".join([head, extension.ljust(extension_size, b"\0"), kept.data, ciphertext, rest.data])


def unseal_voxels(
    data: bytes,
    key: OpeningKey | Sequence[OpeningKey],
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
) -> bytes:
    """Return the file as it was, see `medcrypt.integrations.nifti.unseal_voxels`."""
    given = np.frombuffer(data, np.uint8)
    layout = Layout.of(given)
    extension = _our_extension(given, layout)
    if extension is None:
        raise FormatError("the NIfTI file carries no sealed voxels")
    after_extension = layout.after_flag + _EXTENSION_HEAD + extension.size
    head = given[: layout.after_flag].tobytes()
    kept, rest = given[after_extension : layout.start], given[layout.stop :]
    sealed = _attach(extension, given[layout.start : layout.stop])
    binding = _binding(head, kept, rest, context)
    with files.open_file(sealed, key, context=binding, sender=sender) as file:
        if file.content != CONTENT:
            raise FormatError("the extension holds a sealed image, but not sealed voxels")
        original_field, flag, gap = (
            bytes.fromhex(file.metadata[name]) for name in ("vox_offset", "extension", "gap")
        )
        voxels = b"".join(block.tobytes() for block in file.blocks())
    field_at, field_type = layout.offset_field
    header = head[:field_at] + original_field + head[field_at + field_type.itemsize : layout.header_size]
    return b"".join([header, flag, gap, kept.data, voxels, rest.data])


def parse_header(data: bytes) -> Any:
    """Return nibabel's header of the bytes that a NIfTI file begins with, whatever is odd about it.

    Raises
    ------
    FormatError
        Not NIfTI: of no size that a header has.
    """
    from nibabel.nifti1 import Nifti1Header
    from nibabel.nifti2 import Nifti2Header

    stated = {int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big")}
    kinds: tuple[Any, ...] = (Nifti1Header, Nifti2Header)
    for kind in kinds:
        size = kind.template_dtype.itemsize
        if len(data) >= size and size in stated:
            return kind.from_fileobj(io.BytesIO(data[:size]), check=False)
    raise FormatError("not a NIfTI image")


def _our_extension(data: Bytes, layout: Layout) -> Bytes | None:
    """Return what the first extension holds, if it is ours: it always comes first."""
    begin = layout.after_flag + _EXTENSION_HEAD
    if not data[layout.header_size] or begin + len(_MAGIC) > layout.start:
        return None
    size, code = struct.unpack_from(layout.order + "ii", data.data, layout.after_flag)
    if code != _PRIVATE_CODE or data[begin : begin + len(_MAGIC)].tobytes() != _MAGIC:
        return None
    if not _EXTENSION_HEAD + len(_MAGIC) <= size <= layout.start - layout.after_flag:
        raise FormatError("the size of the extension with the wrapped key is wrong")
    return data[begin : layout.after_flag + size]


def _extension_size(others: int) -> int:
    """Return the bytes of our extension around the parts of a sealed image that are no ciphertext."""
    return -(-(_EXTENSION_HEAD + len(_MAGIC) + _LENGTH_BYTES + others) // 16) * 16


def _binding(head: bytes, kept: Bytes, rest: Bytes, context: bytes) -> bytes:
    """Return what the voxels are bound to: every byte outside of them and of our extension."""
    digests = b"".join(hashlib.sha512(part).digest() for part in (head, kept.data, rest.data))
    return _LABEL + digests + context


def _detach(sealed: Bytes, voxel_bytes: int) -> tuple[bytes, bytes]:
    """Return the ciphertext of a sealed image, and all its other bytes in order."""
    begin = _body_start(sealed) + OVERHEAD
    full, last, trailer = _chunks(sealed[begin:], voxel_bytes)
    ciphertext = full[:, :CHUNK].tobytes() + last[:-TAG].tobytes()
    tags = full[:, CHUNK:].tobytes() + last[-TAG:].tobytes()
    return ciphertext, sealed[:begin].tobytes() + tags + trailer.tobytes()


def _attach(extension: Bytes, ciphertext: Bytes) -> Bytes:
    """Put a sealed image together again; what is wrong with it is found when it is opened."""
    length = int.from_bytes(extension[len(_MAGIC) :][:_LENGTH_BYTES].tobytes(), "little")
    begin = len(_MAGIC) + _LENGTH_BYTES
    others, padding = extension[begin : begin + length], extension[begin + length :]
    if extension.size + _EXTENSION_HEAD != _extension_size(length) or padding.any():
        raise FormatError("the extension with the wrapped key is not in its canonical form")
    before = _body_start(others) + OVERHEAD
    tags_end = before + TAG * (ciphertext.size // CHUNK + 1)
    if tags_end > length:
        raise FormatError("the extension with the wrapped key belongs to other voxels")
    tags = others[before:tags_end].reshape(-1, TAG)
    sealed = np.empty(length + ciphertext.size, np.uint8)
    sealed[:before] = others[:before]
    full, last, trailer = _chunks(sealed[before:], ciphertext.size)
    cut = len(full) * CHUNK
    full[:, :CHUNK], full[:, CHUNK:] = ciphertext[:cut].reshape(-1, CHUNK), tags[:-1]
    last[:-TAG], last[-TAG:] = ciphertext[cut:], tags[-1]
    trailer[:] = others[tags_end:]
    return sealed


def _body_start(sealed: Bytes) -> int:
    """Return where the body of a sealed image begins: behind its header and two slots."""
    if sealed.size < _SIZES_END:
        raise FormatError("the extension with the wrapped key was cut")
    header_size, slot_size = struct.unpack_from("<II", sealed.data, _SIZES_END - 8)
    return int(header_size) + 2 * int(slot_size)


def _chunks(sealed: Bytes, size: int) -> tuple[Bytes, Bytes, Bytes]:
    """Return views of the full chunks (a row each), of the last one, and of what follows them."""
    full_end = size // CHUNK * SEALED_CHUNK
    end = full_end + size % CHUNK + TAG
    return sealed[:full_end].reshape(-1, SEALED_CHUNK), sealed[full_end:end], sealed[end:]
