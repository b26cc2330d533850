"""Make the vectors of encrypted regions anew: python tests/vectors/images/generate_regions.py

What is random in earnest comes from SHAKE-256 here, so that every run writes the same file.
`tests/images/test_region_vectors.py` opens them with the library and with the reference reader.
"""

import base64
import hashlib
import itertools
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np

DRAWS = itertools.count(1)


def urandom(size: int) -> bytes:
    """Stand in for os.urandom: the n-th draw is SHAKE-256 of n."""
    return hashlib.shake_256(b"medcrypt region vectors" + next(DRAWS).to_bytes(8, "big")).digest(size)


os.urandom = urandom  # before pycryptodome takes its reference

from medcrypt import Identity, Passphrase, SecretKey, images  # noqa: E402
from medcrypt.images import Polygon  # noqa: E402

KEY = SecretKey.from_bytes(bytes(range(32)))
IDENTITY = Identity.from_bytes(bytes(range(100, 164)))
PASSPHRASE = "correct horse battery staple"
SECRET = ("secret-key", KEY.to_bytes())


def pixels(shape: tuple[int, ...], dtype: str, value_range: tuple[int, int] | None) -> np.ndarray:
    """Fill an array with bytes of SHAKE-256 (modulo the range), read as the dtype; a large one with zeros."""
    kind = np.dtype(dtype)
    if np.prod(shape) > 1000:
        return np.zeros(shape, kind)
    data = hashlib.shake_256(f"{shape} {dtype}".encode()).digest(int(np.prod(shape)) * kind.itemsize)
    if kind.kind == "b":
        data = bytes(byte & 1 for byte in data)
    array = np.frombuffer(data, kind).reshape(shape)
    if value_range is None:
        return array
    lo, hi = value_range
    return (array.astype(object) % (hi - lo + 1) + lo).astype(kind)


def packed(array: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(array.tobytes(), 9)).decode()


def entry(
    name: str,
    shape: tuple[int, ...],
    dtype: str,
    regions: Any,
    *,
    value_range: tuple[int, int] | None = None,
    keys: Any = KEY,
    openers: tuple[tuple[str, bytes], ...] = (SECRET,),
    context: bytes = b"",
    **more: Any,
) -> dict[str, Any]:
    array = pixels(shape, dtype, value_range)
    safe, sidecar = images.encrypt_regions(array, regions, keys, value_range, context, **more)
    return {
        "name": name,
        "dtype": array.dtype.str,
        "shape": list(shape),
        "pixels_zlib_base64": packed(array),
        "encrypted_zlib_base64": packed(safe),
        "sidecar_base64": base64.b64encode(sidecar).decode(),
        "keys": [{"kind": kind, "bytes": data.hex()} for kind, data in openers],
        "context": context.hex(),
    }


def vectors() -> list[dict[str, Any]]:
    mask = np.zeros((4, 6), bool)
    mask[1:3, 2:5] = mask[0, 0] = True
    triangle = Polygon([(0.25, 0.5), (7, 3.75), (2, 7.5)], frames=np.s_[1:])
    return [
        entry("one pixel", (), "|u1", ...),
        entry("no pixels", (0, 3), "<u2", ...),
        entry("no region", (3, 3), "<u2", []),
        entry("a rectangle of booleans", (5, 7), "|b1", np.s_[1:4, 2:6]),
        entry("12 bits of 16", (6, 8), "<u2", np.s_[2:, :5], value_range=(0, 4095)),
        entry("rejection, negative, big-endian", (6, 8), ">i2", np.s_[2:, :5], value_range=(-1000, 999)),
        entry("all but one value of 64 bits", (5, 5), "<u8", [...], value_range=(1, 2**64 - 1)),
        entry("the bits of floats", (4, 4), ">f4", np.s_[1:3], bit_patterns=True),
        entry("a mask, repeated", (3, 4, 6), "|i1", [mask]),
        entry("a polygon on two frames", (3, 8, 8), "|u1", [triangle]),
        entry("everything that overlaps", (2, 8, 8), "<i4", [triangle, np.s_[1, 2:6, :4], np.ones(8, bool)]),
        entry("outside not bound", (8, 8), "<u2", np.s_[2:5, 2:5], bind_outside=False, context=b"study 7"),
        entry("regions of another key", (2, 8, 8), "<u2", [triangle], apart=[np.s_[0]], context=b"study 7"),
        entry("two blocks and a pixel", (131073,), "<u2", [np.s_[65530:65600], np.s_[131072]], value_range=(0, 199)),
        entry(
            "two recipients", (4, 4), "<u2", np.s_[1:3],
            keys=[KEY, IDENTITY.recipient], openers=(SECRET, ("identity", IDENTITY.to_bytes())),
        ),
        entry(
            "a passphrase", (4, 4), "<u2", np.s_[1:3],
            keys=Passphrase(PASSPHRASE), openers=(("passphrase", PASSPHRASE.encode()),),
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1)
    Path(__file__).with_name("regions.json").write_text(text + "\n", encoding="utf-8")
