"""Make the vectors of DICOM files with encrypted parts anew: python tests/vectors/integrations/generate_dicom.py

What is random in earnest comes from SHAKE-256 here, so that every run writes the same file. The originals are put
together byte by byte. `tests/integrations/test_dicom_vectors.py` opens them with the library and with the reference.
"""

import base64
import hashlib
import itertools
import json
import os
import struct
import warnings
from pathlib import Path
from typing import Any

DRAWS = itertools.count(1)


def urandom(size: int) -> bytes:
    """Stand in for os.urandom: the n-th draw is SHAKE-256 of n."""
    return hashlib.shake_256(b"medcrypt dicom vectors" + next(DRAWS).to_bytes(8, "big")).digest(size)


os.urandom = urandom  # before pycryptodome takes its reference

import numpy as np  # noqa: E402

from medcrypt import Identity, SecretKey  # noqa: E402
from medcrypt.integrations import dicom  # noqa: E402

KEY = SecretKey.from_bytes(bytes(range(32)))
READER = Identity.from_bytes(bytes(range(100, 164)))
SIGNER = Identity.from_bytes(bytes(range(64)))
SECRET, IDENTITY = ("secret-key", KEY.to_bytes()), ("identity", READER.to_bytes())
RLE, EXPLICIT = b"1.2.840.10008.1.2.5", b"1.2.840.10008.1.2.1"


def element(tag: int, form: bytes, value: bytes) -> bytes:
    """Return one element in Explicit VR Little Endian, padded."""
    value += (b"\0" if form in (b"UI", b"OB") else b" ") * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + form
    if form in (b"OB", b"OW"):
        return head + struct.pack("<2xI", len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def number(tag: int, value: int) -> bytes:
    return element(tag, b"US", struct.pack("<H", value))


def file(rows: int, columns: int, bits: int, stored: int, pixels: bytes, syntax: bytes = EXPLICIT) -> bytes:
    """Return a secondary capture."""
    meta = element(0x00020010, b"UI", syntax)
    meta = element(0x00020000, b"UL", struct.pack("<I", len(meta))) + meta
    head = [
        element(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.7"), element(0x00080018, b"UI", b"1.2.3.4.5"),
        element(0x00080060, b"CS", b"OT"), element(0x00100010, b"PN", b"Doe^Jane"), element(0x00100020, b"LO", b"4711"),
        number(0x00280002, 1), element(0x00280004, b"CS", b"MONOCHROME2"), number(0x00280010, rows),
        number(0x00280011, columns), number(0x00280100, bits), number(0x00280101, stored),
        number(0x00280102, stored - 1), number(0x00280103, 0),
    ]  # fmt: skip
    return bytes(128) + b"DICM" + meta + b"".join(head) + pixels


def native(rows: int, columns: int, bits: int, stored: int) -> bytes:
    count = rows * columns * bits // 8
    values = np.frombuffer(hashlib.shake_256(b"%d %d" % (rows, columns)).digest(count), f"<u{bits // 8}")
    pixels = (values & (1 << stored) - 1).tobytes()
    return file(rows, columns, bits, stored, element(0x7FE00010, b"OW" if bits > 8 else b"OB", pixels))


def run_length_encoded() -> bytes:
    """Return a file of one frame of 4 x 6 equal pixels, in RLE Lossless."""
    frame = struct.pack("<16I", 1, 64, *[0] * 14) + bytes([257 - 24, 7])
    items = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, len(frame)) + frame
    pixels = (
        struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF)
        + items
        + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    )
    return file(4, 6, 8, 8, pixels, RLE)


def entry(
    name: str,
    original: bytes,
    made: bytes,
    openers: tuple[tuple[str, bytes], ...] = (SECRET,),
    **options: Any,
) -> dict[str, Any]:
    signer = options.get("signer")
    return {
        "name": name,
        "keys": [{"kind": kind, "bytes": data.hex()} for kind, data in openers],
        "context": options.get("context", b"").hex(),
        "sender": None if signer is None else signer.recipient.verifying_key.hex(),
        "original_base64": base64.b64encode(original).decode("ascii"),
        "encrypted_base64": base64.b64encode(made).decode("ascii"),
    }


def vectors() -> list[dict[str, Any]]:
    plain, odd, packed = native(6, 8, 16, 12), native(3, 5, 8, 8), run_length_encoded()
    both, shared = [KEY, READER.recipient], {"context": b"study 7", "signer": SIGNER}
    names = ["PatientName", "PatientID"]
    return [
        entry("all pixels", plain, dicom.encrypt_pixels(plain, KEY)),
        entry("all pixels, an odd number of bytes", odd, dicom.encrypt_pixels(odd, KEY)),
        entry("all pixels, compressed before", packed, dicom.encrypt_pixels(packed, KEY)),
        entry(
            "all pixels, two recipients, signed, with a context, metadata bound", plain,
            dicom.encrypt_pixels(plain, both, bind_metadata=True, **shared), (SECRET, IDENTITY), **shared,
        ),
        entry("regions", plain, dicom.encrypt_pixels(plain, KEY, regions=[np.s_[1:4, 2:6]])),
        entry("regions, an odd number of bytes", odd, dicom.encrypt_pixels(odd, KEY, regions=[np.s_[1:]])),
        entry("regions, compressed before", packed, dicom.encrypt_pixels(packed, KEY, regions=[np.s_[:2]])),
        entry(
            "regions, two recipients, signed, with a context", plain,
            dicom.encrypt_pixels(plain, both, regions=[np.s_[1:4]], **shared), (SECRET, IDENTITY), **shared,
        ),
        entry("attributes", odd, dicom.encrypt_attributes(odd, KEY, names)),
        entry(
            "attributes, two recipients, signed, with a context", plain,
            dicom.encrypt_attributes(plain, both, names, **shared), (SECRET, IDENTITY), **shared,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    warnings.simplefilter("error")
    text = json.dumps(vectors(), indent=1)
    Path(__file__).with_name("dicom.json").write_text(text + "\n", encoding="utf-8")
