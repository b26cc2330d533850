"""The sidecar of encrypted regions: its header without a key, and the whole of it with one."""

from contextlib import suppress

import numpy as np

from medcrypt.errors import MedcryptError
from medcrypt.images import Polygon, decrypt_regions, encrypt_regions, sidecar
from medcrypt.keys import SecretKey

KEY = SecretKey.from_bytes(bytes(range(32)))
ARRAY = np.arange(2 * 9 * 7, dtype="<u2").reshape(2, 9, 7)
MASK = np.eye(9, 7, dtype=bool)
REGIONS = (
    [],
    [...],
    [np.s_[1:, 2:5]],
    [MASK],
    [Polygon([(0, 0), (9, 1), (4.5, 7)], frames=0), np.s_[0], MASK[0]],
)
ENCRYPTED = [encrypt_regions(ARRAY, regions, KEY, (0, 4095)) for regions in REGIONS]


def seeds() -> list[bytes]:
    return [data for _, data in ENCRYPTED]


def parse(data: bytes) -> None:
    with suppress(MedcryptError):
        header, slot, tag = sidecar.parse(data)
        if header.header + slot + tag != data:
            raise RuntimeError("two encodings of one sidecar")
    for safe, _ in ENCRYPTED:
        with suppress(MedcryptError):
            if not np.array_equal(decrypt_regions(safe, data, KEY), ARRAY):
                raise RuntimeError("restored to pixels that were never encrypted")
