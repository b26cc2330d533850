"""DICOM from strangers: files that are to be sealed, and sealed ones."""

from pathlib import Path

from pydicom.data import get_testdata_file

from medcrypt.integrations import dicom
from medcrypt.keys import SecretKey

KEY = SecretKey.from_bytes(bytes(range(32)))
# Small ones, of different transfer syntaxes.
NAMES = ("CT_small.dcm", "MR_small_RLE.dcm", "ExplVR_BigEnd.dcm", "image_dfl.dcm", "nested_priv_SQ.dcm")

# The first byte says which of the two the rest is.
PLAIN, SEALED = b"\0", b"\1"


def seeds() -> list[bytes]:
    files = [Path(get_testdata_file(name)).read_bytes() for name in NAMES]
    return [PLAIN + file for file in files] + [SEALED + dicom.seal(file, KEY) for file in files]


def parse(data: bytes) -> None:
    kind, content = data[:1], data[1:]
    if kind == PLAIN:
        if dicom.unseal(dicom.seal(content, KEY), KEY) != content:
            raise RuntimeError("a file came back changed")
    elif kind == SEALED:
        dicom.open_dataset(content, KEY)
