"""A second reader of DICOM files whose pixels or attributes are encrypted, written from docs/formats/dicom.md alone.

No pydicom: a DICOM file in Explicit VR Little Endian is a list of elements here, without nested ones of undefined
length. Compressed originals come back too, because their bytes are in what is sealed.
"""

import hashlib
import struct

import numpy as np

from reference import regions, sealed_image
from reference.sealed_image import RefusedError, require

LONG = {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
Element = tuple[int, bytes, bytes]  # tag, value, all its bytes


def elements(data: bytes) -> tuple[list[Element], list[Element]]:
    """Return the file meta information and the data set."""
    require(data[128:132] == b"DICM")
    meta, dataset, at = [], [], 132
    while at < len(data):
        require(at + 8 <= len(data))
        group, number = struct.unpack("<HH", data[at : at + 4])
        if data[at + 4 : at + 6] in LONG:
            require(at + 12 <= len(data))
            (length,), head = struct.unpack("<I", data[at + 8 : at + 12]), 12
        else:
            (length,), head = struct.unpack("<H", data[at + 6 : at + 8]), 8
        end = at + head + length
        require(end <= len(data))
        target = meta if group == 2 else dataset
        target.append((group << 16 | number, data[at + head : end], data[at:end]))
        at = end
    return meta, dataset


def block(dataset: list[Element]) -> dict[int, bytes]:
    """Return the values of the private block, by the last byte of their tags."""
    creators = [
        tag & 0xFF
        for tag, value, _ in dataset
        if tag >> 8 == 0x7FDF00 and value.rstrip(b" ") == b"MEDCRYPT 1.0"
    ]
    require(creators)
    found = {}
    for tag, value, _ in dataset:
        if tag >> 8 == 0x7FDF00 | creators[0]:
            require(len(value) >= 8)
            length = int.from_bytes(value[:8], "little")
            require(8 + length + length % 2 == len(value))
            require(not any(value[8 + length :]))
            found[tag & 0xFF] = value[8 : 8 + length]
    return found


def value_of(dataset: list[Element], tag: int) -> bytes:
    return next((value for found, value, _ in dataset if found == tag), b"")


def metadata_digest(dataset: list[Element]) -> str:
    """SHA-512 of the data set without groups 7FDF and 7FE0."""
    kept = b"".join(data for tag, _, data in dataset if tag >> 16 not in (0x7FDF, 0x7FE0))
    return hashlib.sha512(kept).hexdigest()


def read(data: bytes, kind: str, key: bytes, context: bytes = b"", sender: bytes | None = None) -> bytes:
    """Return the original file; `kind` and `key` as for `reference.sealed_image.read`."""
    _, dataset = elements(data)
    held = block(dataset)
    pixels = next(value for tag, value, _ in dataset if tag in PIXELS)
    if held.keys() == {1}:
        return whole(held[1] + pixels, dataset, kind, key, context, sender)
    if held.keys() == {2, 3}:
        return around_regions(held[2], held[3], pixels, dataset, kind, key, context, sender)
    require(held.keys() == {4})
    opened = sealed_image.read(held[4], kind, key, context, sender)
    check(opened, dataset, "dicom attributes", set())
    return around(opened.array.tobytes(), pixels)


def check(opened: sealed_image.Opened, dataset: list[Element], content: str, more: set[str]) -> None:
    """Compare what the private metadata say."""
    require(opened.metadata.keys() - {"digest"} == {"content", "SOPInstanceUID"} | more)
    require(opened.metadata["content"] == content)
    uid = value_of(dataset, 0x00080018).rstrip(b"\0 ").decode("ascii")
    require(opened.metadata["SOPInstanceUID"] == uid)
    require(opened.metadata.get("digest", metadata_digest(dataset)) == metadata_digest(dataset))


def whole(
    sealed: bytes, dataset: list[Element], kind: str, key: bytes, context: bytes, sender: bytes | None
) -> bytes:
    opened = sealed_image.read(sealed, kind, key, context, sender)
    check(opened, dataset, "dicom pixels", {"size"})
    plain, size = opened.array.tobytes(), opened.metadata["size"]
    require(0 <= size <= len(plain))
    require(not any(plain[size:]))
    return plain[:size]


def around_regions(
    sidecar: bytes,
    sealed: bytes,
    pixels: bytes,
    dataset: list[Element],
    kind: str,
    key: bytes,
    context: bytes,
    sender: bytes | None,
) -> bytes:
    opened = sealed_image.read(sealed, kind, key, context, sender)
    check(opened, dataset, "dicom regions", {"sidecar"})
    require(opened.metadata["sidecar"] == hashlib.sha512(sidecar).hexdigest())
    parts = regions.take_apart(sidecar)
    count = int(np.prod(parts.shape)) * int(parts.pixel_type[2:])
    array = np.frombuffer(pixels[:count], parts.pixel_type).reshape(parts.shape)
    restored = regions.read(array, sidecar, kind, key, context)
    return around(opened.array.tobytes(), restored.tobytes() + pixels[count:])


def around(remainder: bytes, value: bytes) -> bytes:
    """Put the value of the pixel data back into a file."""
    require(len(remainder) >= 84)
    count, start, length = struct.unpack("<IQQ", remainder[:20])
    require(len(remainder) >= 84 + 4 * count)
    rest = remainder[84 + 4 * count :]
    require(start <= len(rest))
    if length == 0:
        return rest
    require(len(value) - length in (0, 1))
    value = value[:length]
    if hashlib.sha512(value).digest() != remainder[20:84]:
        raise RefusedError
    return rest[:start] + value + rest[start:]
