"""NIfTI from strangers: files whose voxels are to be sealed, and ones with sealed voxels."""

import struct

from medcrypt.integrations import nifti
from medcrypt.keys import SecretKey

KEY = SecretKey.from_bytes(bytes(range(32)))

# The first byte says which of the two the rest is.
PLAIN, SEALED = b"\0", b"\1"


def first(order: str, between: bytes) -> bytes:
    """Return a NIfTI-1 file of 3 x 4 voxels of 16 bits."""
    header = bytearray(348)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, 2, 3, 4, 1, 1, 1, 1, 1)
    struct.pack_into(order + "2h", header, 70, 4, 16)
    struct.pack_into(order + "f", header, 108, 348 + len(between))
    struct.pack_into("4s", header, 344, b"n+1\0")
    return bytes(header) + between + bytes(range(24))


def second() -> bytes:
    """Return a NIfTI-2 file of five voxels of 8 bits."""
    header = bytearray(540)
    struct.pack_into("<i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", 2, 8)
    struct.pack_into("<8q", header, 16, 1, 5, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<q", header, 168, 544)
    return bytes(header) + bytes(4) + b"voxel"


FILES = [
    first("<", bytes(4)),
    first(">", b"\1\0\0\0" + struct.pack(">ii", 16, 6) + b"8 bytes."),
    first("<", b"\0" * 20) + b"tail",
    second(),
]


def seeds() -> list[bytes]:
    return [PLAIN + file for file in FILES] + [SEALED + nifti.seal_voxels(file, KEY) for file in FILES]


def parse(data: bytes) -> None:
    kind, content = data[:1], data[1:]
    if kind == PLAIN:
        try:
            sealed = nifti.seal_voxels(content, KEY)
        except ValueError:  # sealed already, or the voxels would begin where no header can say
            return
        if nifti.unseal_voxels(sealed, KEY) != content:
            raise RuntimeError("a file came back changed")
    elif kind == SEALED and nifti.unseal_voxels(content, KEY) not in FILES:
        raise RuntimeError("restored to a file that was never sealed")
