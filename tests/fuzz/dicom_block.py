"""DICOM files of strangers with a private block of ours: sealed pixels, a sidecar, sealed attributes, a remainder."""

from contextlib import suppress
from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file

from medcrypt.errors import MedcryptError
from medcrypt.integrations import dicom
from medcrypt.integrations.dicom.remainder import Remainder
from medcrypt.keys import SecretKey

KEY = SecretKey.from_bytes(bytes(range(32)))
ORIGINAL = Path(get_testdata_file("ExplVR_BigEnd.dcm")).read_bytes()
SMALL = Path(get_testdata_file("MR_small_RLE.dcm")).read_bytes()

# The first byte says whether the rest is a file or a remainder.
FILE, REMAINDER = b"\0", b"\1"


def seeds() -> list[bytes]:
    made = [
        dicom.encrypt_pixels(SMALL, KEY),
        dicom.encrypt_pixels(SMALL, KEY, regions=[np.s_[10:20, 5:9]], bind_metadata=True),
        dicom.encrypt_attributes(ORIGINAL, KEY, ["PatientName"]),
    ]
    remainder = Remainder(3, 5, bytes(64), b"a file without its value", (0x00100010,)).to_bytes()
    return [FILE + data for data in made] + [REMAINDER + remainder]


def parse(data: bytes) -> None:
    kind, content = data[:1], data[1:]
    if kind == FILE:
        for restore in (dicom.decrypt_pixels, dicom.decrypt_attributes):
            with suppress(MedcryptError):
                if restore(content, KEY) not in {ORIGINAL, SMALL}:
                    raise RuntimeError("restored to a file that was never encrypted")
    elif kind == REMAINDER:
        remainder = Remainder.from_bytes(content)
        if remainder.to_bytes() != content:
            raise RuntimeError("two encodings of one remainder")
        remainder.join(content)
