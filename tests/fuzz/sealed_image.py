"""The sealed image: its header without a key, and the whole of it with one."""

import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np

from medcrypt import images
from medcrypt.errors import MedcryptError
from medcrypt.keys import SecretKey

KEY = SecretKey.from_bytes(bytes(range(32)))
CONTEXT = b"fuzz"
ARRAYS = (
    np.arange(12, dtype=np.uint16).reshape(3, 4),
    np.zeros((0, 5), np.float32),
    np.arange(30000, dtype=">i2").reshape(100, 300),
    np.array(2.5),
)
FILE = Path(tempfile.mkdtemp(prefix="medcrypt-fuzz-")) / "image"


def seeds() -> list[bytes]:
    return [images.encrypt(array, KEY, context=CONTEXT, metadata={"series": 7}) for array in ARRAYS]


def parse(data: bytes) -> None:
    # Each way in has a parser of its own behind it; none may hide the next by refusing first.
    for way_in in (_inspect, _decrypt, _open):
        with suppress(MedcryptError):
            way_in(data)


def _inspect(data: bytes) -> None:
    images.inspect(data)


def _decrypt(data: bytes) -> None:
    _check(images.decrypt(data, KEY, context=CONTEXT))


def _open(data: bytes) -> None:
    FILE.write_bytes(data)
    with images.open(FILE, KEY, context=CONTEXT) as image:
        _check(image[...])


def _check(array: np.ndarray) -> None:
    if not any(array.shape == known.shape and np.array_equal(array, known) for known in ARRAYS):
        raise RuntimeError("opened to pixels that were never sealed")
