"""Make the vectors of NIfTI files with sealed voxels anew: python tests/vectors/integrations/generate_nifti.py

What is random in earnest comes from SHAKE-256 here, so that every run writes the same file. The originals are put
together byte by byte. `tests/integrations/test_nifti_vectors.py` opens them with the library and with the reference.
"""

import base64
import hashlib
import itertools
import json
import os
import struct
import zlib
from math import prod
from pathlib import Path
from typing import Any

DRAWS = itertools.count(1)


def urandom(size: int) -> bytes:
    """Stand in for os.urandom: the n-th draw is SHAKE-256 of n."""
    return hashlib.shake_256(b"medcrypt nifti vectors" + next(DRAWS).to_bytes(8, "big")).digest(size)


os.urandom = urandom  # before pycryptodome takes its reference

from medcrypt import Identity, SecretKey  # noqa: E402
from medcrypt.integrations import nifti  # noqa: E402

KEY = SecretKey.from_bytes(bytes(range(32)))
READER = Identity.from_bytes(bytes(range(100, 164)))
SIGNER = Identity.from_bytes(bytes(range(64)))
SECRET, IDENTITY = ("secret-key", KEY.to_bytes()), ("identity", READER.to_bytes())


def first(shape: tuple[int, ...], datatype: int, bitpix: int, order: str, offset: int) -> bytes:
    """Return a NIfTI-1 header."""
    header = bytearray(348)
    struct.pack_into(order + "i", header, 0, 348)
    struct.pack_into(order + "8h", header, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(order + "2h", header, 70, datatype, bitpix)
    struct.pack_into(order + "9f", header, 76, *[1.0] * 8, offset)
    struct.pack_into("4s", header, 344, b"n+1\0")
    return bytes(header)


def second(shape: tuple[int, ...], datatype: int, bitpix: int, order: str, offset: int) -> bytes:
    """Return a NIfTI-2 header."""
    header = bytearray(540)
    struct.pack_into(order + "i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", datatype, bitpix)
    struct.pack_into(order + "8q", header, 16, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into(order + "8d", header, 104, *[1.0] * 8)
    struct.pack_into(order + "q", header, 168, offset)
    return bytes(header)


def file(
    make: Any,
    shape: tuple[int, ...],
    datatype: int,
    bitpix: int,
    order: str,
    *,
    between: bytes,
    after: bytes = b"",
) -> bytes:
    """Return a file whose voxels are SHAKE-256; ``between`` has the flag in front."""
    empty = make(shape, datatype, bitpix, order, 0)
    count = prod(shape) * bitpix // 8
    voxels = bytes(count) if count > 1000 else hashlib.shake_256(repr(shape).encode()).digest(count)
    return make(shape, datatype, bitpix, order, len(empty + between)) + between + voxels + after


def entry(
    name: str,
    original: bytes,
    keys: Any = KEY,
    openers: tuple[tuple[str, bytes], ...] = (SECRET,),
    **options: Any,
) -> dict[str, Any]:
    sealed = nifti.seal_voxels(original, keys, **options)
    signer = options.get("signer")
    return {
        "name": name,
        "keys": [{"kind": kind, "bytes": data.hex()} for kind, data in openers],
        "context": options.get("context", b"").hex(),
        "sender": None if signer is None else signer.recipient.verifying_key.hex(),
        "original_zlib_base64": base64.b64encode(zlib.compress(original, 9)).decode("ascii"),
        "sealed_base64": base64.b64encode(sealed).decode("ascii"),
    }


def vectors() -> list[dict[str, Any]]:
    extension = struct.pack("<ii", 32, 6) + b"a comment".ljust(24, b"\0")
    big = struct.pack(">ii", 16, 6) + b"8 bytes."
    return [
        entry("int16", file(first, (3, 4, 5), 4, 16, "<", between=bytes(4))),
        entry(
            "an extension, bytes after the voxels",
            file(first, (3, 4), 2, 8, "<", between=b"\1\0\0\0" + extension, after=b"tail"),
        ),
        entry(
            "a gap and other bytes of the flag",
            file(first, (5,), 16, 32, "<", between=b"\0\7\0\0" + b"gap 12 bytes"),
        ),
        entry("big-endian NIfTI-2 with an extension", file(second, (2, 3, 2), 64, 64, ">", between=b"\1\0\0\0" + big)),
        entry("no voxels", file(second, (0, 3), 4, 16, "<", between=bytes(4))),
        entry("two chunks and a voxel", file(first, (16385, 2), 2, 8, "<", between=bytes(4))),
        entry(
            "two recipients, signed, with a context", file(first, (4, 4), 128, 24, "<", between=bytes(4)),
            [KEY, READER.recipient], (SECRET, IDENTITY), context=b"study 7", signer=SIGNER,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1)
    Path(__file__).with_name("nifti.json").write_text(text + "\n", encoding="utf-8")
