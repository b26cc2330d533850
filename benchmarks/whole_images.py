"""Whole sealed images, as callers make and read them: small ones, one frame of many, memory, and Crypt4GH."""

import io
import math
import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from measuring import Goal, Row, alternate, at_most, times, version_of

CHUNK, SEALED_CHUNK = 16384, 16400
FRAMES = (120, 512, 512)  # of uint16: a cine loop of 60 MiB

Call = Callable[[], object]


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of whole images."""
    repeats = 3 if quick else 9
    yield from _small(repeats)
    yield from _one_frame(FRAMES if not quick else (120, 64, 64))
    yield from _memory((8 if quick else 64) << 20)
    yield from _crypt4gh((4 if quick else 32) << 20, repeats)


def _small(repeats: int) -> Iterator[Row]:
    """A 64x64 image from key to sealed bytes and back: here the calls cost more than the cipher."""
    from medcrypt import SecretKey, images

    key, pixels = SecretKey.generate(), np.arange(4096, dtype=np.uint16).reshape(64, 64)
    sealed = images.encrypt(pixels, key)
    out, opened = bytearray(len(sealed)), np.empty_like(pixels)
    calls: dict[str, Call] = {
        "encrypt": lambda: images.encrypt(pixels, key),
        "encrypt_into": lambda: images.encrypt_into(pixels, key, out),
        "decrypt": lambda: images.decrypt(sealed, key),
        "decrypt_into": lambda: images.decrypt_into(sealed, key, opened),
    }
    goal = Goal("<= 15 us", lambda row: None if row.ours is None else row.ours <= 15e-6)
    for name, seconds in zip(calls, alternate(*calls.values(), repeats=repeats), strict=True):
        yield Row(f"{name} of a 64x64 uint16 image, SecretKey, whole call", seconds, "s", goal=goal)


class _Counting(io.FileIO):
    """An unbuffered file that counts the bytes it gives."""

    count = 0

    def readinto(self, buffer: memoryview) -> int:
        got = super().readinto(buffer)
        self.count += got
        return got


def _one_frame(shape: tuple[int, int, int]) -> Iterator[Row]:
    """One frame of a file of many: what is read of the file."""
    from medcrypt import SecretKey, images

    key, pixels = SecretKey.generate(), np.zeros(shape, np.uint16)
    frame = pixels[0].nbytes
    goal = math.ceil(frame / CHUNK) + 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cine"
        images.save(path, pixels, key)
        with _Counting(path) as file, images.open(file, key) as image:
            header = file.count
            image[shape[0] // 2]
            yield Row(
                f"one frame of {shape[0]}: chunks decrypted",
                image.chunks_read,
                "chunks",
                goal=at_most(goal, "chunks"),
            )
            yield Row(
                f"one frame of {shape[0]}: bytes read beside those of its chunks",
                file.count - image.chunks_read * SEALED_CHUNK,
                "bytes",
                goal=at_most(4096, "bytes"),
                note=f"header and recipients: {header} bytes; the file has {os.path.getsize(path)}",
            )


def _memory(size: int) -> Iterator[Row]:
    """The most memory that a call takes beside the caller's buffers, as tracemalloc counts it."""
    from medcrypt import SecretKey, images

    key, pixels = SecretKey.generate(), np.random.default_rng(1).integers(0, 256, size, np.uint8)
    out = np.empty(images.sealed_size(pixels.shape, pixels.dtype, key), np.uint8)
    opened = np.empty_like(pixels)
    for threads in (1, 2):
        for name, call in (
            ("encrypt_into", lambda: images.encrypt_into(pixels, key, out, threads=threads)),  # noqa: B023
            ("decrypt_into", lambda: images.decrypt_into(out, key, opened, threads=threads)),  # noqa: B023
        ):
            yield Row(
                f"{name} of {size >> 20} MiB, {threads} thread{'s' * (threads > 1)}: extra memory",
                _peak(call),
                "bytes",
                goal=at_most(2 * CHUNK * threads, "bytes"),
            )
    with tempfile.TemporaryDirectory() as folder:
        for name, call in (
            ("encrypt", lambda: images.encrypt(pixels, key)),
            ("decrypt", lambda: images.decrypt(out, key)),
            ("save", lambda: images.save(Path(folder) / "image", pixels, key, overwrite=True)),
        ):
            work = f"{name} of {size >> 20} MiB: memory beside the array, in images"
            yield Row(work, _peak(call) / size, "images", goal=at_most(1.05, "images"))


def _peak(call: Call) -> int:
    call()  # what is imported or remembered at the first call is not the call's own
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _crypt4gh(size: int, repeats: int) -> Iterator[Row]:
    """The GA4GH's format by its own Python package, in memory; its interface writes to files only."""
    from medcrypt import Identity, images

    peer = "crypt4gh (Python), BytesIO"
    works = [f"seal {size >> 20} MiB for a recipient, {how}" for how in ("into a buffer", "to bytes")]
    if not version_of("crypt4gh"):
        yield from (Row.not_installed(work, peer) for work in works)
        return
    from crypt4gh.lib import encrypt
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    pixels = np.random.default_rng(1).integers(0, 256, size, np.uint8)
    recipient = Identity.generate().recipient
    target = np.zeros(images.sealed_size(pixels.shape, pixels.dtype, recipient), np.uint8)
    sender, receiver = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    keys = [(0, sender.private_bytes_raw(), receiver.public_key().public_bytes_raw())]
    data = pixels.tobytes()
    *ours, theirs = alternate(
        lambda: images.encrypt_into(pixels, recipient, target),
        lambda: images.encrypt(pixels, recipient),
        lambda: encrypt(keys, io.BytesIO(data), io.BytesIO()),
        repeats=repeats,
    )
    for work, seconds, goal in zip(works, ours, (times(10), None), strict=True):
        yield Row(work, size / seconds / 1e9, "GB/s", peer, size / theirs / 1e9, goal)
