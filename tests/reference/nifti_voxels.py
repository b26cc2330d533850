"""A second reader of NIfTI files with sealed voxels, written from docs/formats/nifti.md alone; no nibabel."""

import hashlib
import struct

from reference import sealed_image
from reference.sealed_image import RefusedError, require

# Of NIfTI-1 and NIfTI-2: place and form of dim, bitpix and vox_offset.
FIELDS = {348: ((40, "8h"), (72, "h"), (108, "f")), 540: ((16, "8q"), (14, "h"), (168, "q"))}


def read(data: bytes, kind: str, key: bytes, context: bytes = b"", sender: bytes | None = None) -> bytes:
    """Return the original file; `kind` and `key` as for `reference.sealed_image.read`."""
    size, order = header_form(data)
    (_, offset_form), start, count = FIELDS[size][2], *voxels_of(data, size, order)
    require(size + 4 <= start)
    require(start + count <= len(data))
    head, before, voxels, after = (
        data[: size + 4], data[size + 4 : start], data[start : start + count], data[start + count :],
    )  # fmt: skip
    require(head[size] == 1)
    sealed, esize = joined(before, voxels, order)
    before = before[esize:]
    digests = b"".join(hashlib.sha512(part).digest() for part in (head, before, after))
    opened = sealed_image.read(sealed, kind, key, b"medcrypt/v1/nifti-voxels" + digests + context, sender)
    require(opened.metadata.keys() == {"content", "vox_offset", "extension", "gap"})
    require(opened.metadata["content"] == "nifti-voxels")
    field, flag, gap = (bytes.fromhex(opened.metadata[name]) for name in ("vox_offset", "extension", "gap"))
    place = FIELDS[size][2][0]
    header = head[:place] + field + head[place + struct.calcsize(offset_form) : size]
    return header + flag + gap + before + opened.array.tobytes() + after


def header_form(data: bytes) -> tuple[int, str]:
    """Return the bytes of the header and its byte order."""
    for order in "<>":
        for size in FIELDS:
            if len(data) >= size + 4 and struct.unpack_from(order + "i", data)[0] == size:
                return size, order
    raise RefusedError


def voxels_of(data: bytes, size: int, order: str) -> tuple[int, int]:
    """Return where the voxels begin, and their bytes."""
    dim, (bitpix,), (offset,) = (
        struct.unpack_from(order + form, data, place) for place, form in FIELDS[size]
    )
    require(offset == int(offset))
    count = bitpix // 8
    for length in dim[1 : 1 + dim[0]]:
        count *= length
    return int(offset), count


def joined(extensions: bytes, voxels: bytes, order: str) -> tuple[bytes, int]:
    """Return the sealed image, and the bytes of the extension that held the rest of it."""
    require(len(extensions) >= 24)
    esize, code = struct.unpack(order + "ii", extensions[:8])
    require(code == 0)
    require(extensions[8:20] == b"MEDCRYPTN\1\0\0")
    length = int.from_bytes(extensions[20:24], "little")
    require(esize == (24 + length + 15) // 16 * 16)
    require(esize <= len(extensions))
    require(not any(extensions[24 + length : esize]))
    rest = extensions[24 : 24 + length]
    require(len(rest) >= 20)
    header_size, slot_size = struct.unpack("<II", rest[12:20])
    begin = header_size + 2 * slot_size + 56
    chunks = len(voxels) // 16384 + 1
    require(begin + 16 * chunks <= length)
    body = b"".join(
        voxels[16384 * k : 16384 * (k + 1)] + rest[begin + 16 * k : begin + 16 * (k + 1)]
        for k in range(chunks)
    )
    return rest[:begin] + body + rest[begin + 16 * chunks :], esize
