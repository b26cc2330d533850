"""Part one of the demo: real scans are sealed, opened in part, and refused once a single bit has changed."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcrypt import AuthenticationError, FormatError, SecretKey, images

# Files of the pydicom-data package: a CT slice of a head and a chest radiograph.
SCANS = {"CT slice": "693_UNCI.dcm", "chest radiograph": "RG1_UNCI.dcm"}


@dataclass(frozen=True)
class SealedScan:
    """What happened to one scan.

    Parameters
    ----------
    name, file, modality, shape, dtype
        Which scan.
    image_bytes, sealed_bytes
        Size before and after.
    encrypt_seconds, decrypt_seconds
        Best of a few runs.
    part_shape, part_chunks, chunks
        Shape of the part that was opened, chunks of 16 KiB that this took, and chunks of the whole.
    bit_exact, flipped_bit_refused
        Whether the opened image is the original, and whether one flipped bit was noticed.
    """

    name: str
    file: str
    modality: str
    shape: tuple[int, ...]
    dtype: str
    image_bytes: int
    sealed_bytes: int
    encrypt_seconds: float
    decrypt_seconds: float
    part_shape: tuple[int, ...]
    part_chunks: int
    chunks: int
    bit_exact: bool
    flipped_bit_refused: bool

    def to_json(self) -> dict[str, Any]:
        """Return the figures."""
        return asdict(self)


def load(file: str) -> tuple[NDArray[Any], dict[str, str]]:
    """Read one of pydicom's scans: pixels and a few attributes."""
    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    path = get_testdata_file(file, download=False)
    if path is None:
        raise FileNotFoundError(f"{file} is not installed: pip install 'medcrypt[demo]'")
    dataset = dcmread(str(path))
    attributes = {name: str(dataset.get(name, "")) for name in ("Modality", "PatientName", "SOPInstanceUID")}
    return dataset.pixel_array, attributes


def seal_and_open(name: str, file: str) -> SealedScan:
    """Seal a scan, open it whole and in part, flip a bit of it."""
    pixels, attributes = load(file)
    key, context = SecretKey.generate(), attributes["SOPInstanceUID"].encode()
    sealed = images.encrypt(pixels, key, context=context, metadata=attributes)
    opened = images.decrypt(sealed, key, context=context)
    with images.open(sealed, key, context=context) as image:
        part = image[64:96, 128:256]
        part_chunks = image.chunks_read
    return SealedScan(
        name=name,
        file=file,
        modality=attributes["Modality"],
        shape=pixels.shape,
        dtype=pixels.dtype.str,
        image_bytes=pixels.nbytes,
        sealed_bytes=len(sealed),
        encrypt_seconds=_best(lambda: images.encrypt(pixels, key, context=context, metadata=attributes)),
        decrypt_seconds=_best(lambda: images.decrypt(sealed, key, context=context)),
        part_shape=part.shape,
        part_chunks=part_chunks,
        chunks=-(-pixels.nbytes // images.cobblestone.CHUNK),
        bit_exact=bool(np.array_equal(opened, pixels) and np.array_equal(part, pixels[64:96, 128:256])),
        flipped_bit_refused=_refused(_flip_one_bit(sealed), key, context),
    )


def _flip_one_bit(sealed: bytes) -> bytes:
    damaged = bytearray(sealed)
    position = int.from_bytes(os.urandom(8), "little") % (8 * len(damaged))
    damaged[position // 8] ^= 1 << position % 8
    return bytes(damaged)


def _refused(sealed: bytes, key: SecretKey, context: bytes) -> bool:
    try:
        images.decrypt(sealed, key, context=context)
    except (AuthenticationError, FormatError):
        return True
    return False


def _best(work: Any, repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
