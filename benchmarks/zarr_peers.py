"""Zarr arrays, encrypted and plain: writing, reading, and what a partial read takes from the store."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import zarr
from zarr.storage import MemoryStore, WrapperStore

from measuring import Row, alternate, at_most
from medcrypt import SecretKey
from medcrypt.integrations.zarr import AesGcm, EncryptedStore, register_key

SHAPE, QUICK_SHAPE = (64, 512, 512), (16, 256, 256)  # of uint16: 32 MiB
CHUNK, OVERHEAD, TAG = 16384, 56, 16


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    pixels = np.random.default_rng(1).integers(0, 4096, QUICK_SHAPE if quick else SHAPE, np.uint16)
    key = SecretKey.generate()
    with register_key(key):
        yield from _whole(pixels, key, 3 if quick else 7)
        yield from _partial(pixels, key)


def _whole(pixels: np.ndarray, key: SecretKey, repeats: int) -> Iterator[Row]:
    """The whole array through memory, in chunks of one frame: zarr's own work and copies are in all of them."""
    size, chunks = pixels.nbytes, (1, *pixels.shape[1:])
    kinds: dict[str, Callable[[], zarr.Array[Any]]] = {
        "encrypted store": lambda: _array(EncryptedStore(MemoryStore(), key), pixels, chunks),
        "codec": lambda: _array(MemoryStore(), pixels, chunks, AesGcm(key)),
        "plain": lambda: _array(MemoryStore(), pixels, chunks),
    }
    arrays = {name: make() for name, make in kinds.items()}

    def write(array: zarr.Array[Any]) -> None:
        array[...] = pixels

    for verb, calls in (
        ("write", [lambda array=array: write(array) for array in arrays.values()]),
        ("read", [lambda array=array: array[...] for array in arrays.values()]),
    ):
        seconds = dict(zip(arrays, alternate(*calls, repeats=repeats), strict=True))
        for name in ("encrypted store", "codec"):
            yield Row(
                f"zarr: {verb} {size >> 20} MiB in {len(pixels)} chunks, {name}",
                size / seconds[name] / 1e9,
                "GB/s",
                peer="zarr, not encrypted",
                theirs=size / seconds["plain"] / 1e9,
            )


class _Counting(WrapperStore[Any]):
    """Count the bytes that are read."""

    read = 0

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        found = await self._store.get(key, prototype, byte_range)
        self.read += len(found) if found is not None else 0
        return found


def _partial(pixels: np.ndarray, key: SecretKey) -> Iterator[Row]:
    """One frame of a shard that holds them all: what is read of the store, its index included."""
    frame = (1, *pixels.shape[1:])
    plain = _read_by_one_frame(MemoryStore(), pixels, frame)
    index = 16 * len(pixels) + 4
    sealed = OVERHEAD + frame_bytes(pixels) + TAG * (frame_bytes(pixels) // CHUNK + 1)
    # The store seals the shard as one value: a range of it costs whole chunks at both ends, and the index one or two.
    pieces = (frame_bytes(pixels) // CHUNK + 2) + (index // CHUNK + 2)
    for name, read, most in (
        ("codec", _read_by_one_frame(MemoryStore(), pixels, frame, AesGcm(key)), index + sealed),
        (
            "encrypted store",
            _read_by_one_frame(MemoryStore(), pixels, frame, key=key),
            pieces * (CHUNK + TAG),
        ),
    ):
        yield Row(
            f"zarr: one frame of a shard of {len(pixels)}, {name}: bytes read",
            read,
            "bytes",
            peer="zarr, not encrypted",
            theirs=plain,
            goal=at_most(most, "bytes"),
        )


def frame_bytes(pixels: np.ndarray) -> int:
    return pixels[0].nbytes


def _read_by_one_frame(
    store: MemoryStore,
    pixels: np.ndarray,
    frame: tuple[int, ...],
    codec: AesGcm | None = None,
    key: SecretKey | None = None,
) -> int:
    _array(store if key is None else EncryptedStore(store, key), pixels, frame, codec, shards=pixels.shape)
    counting = _Counting(store)
    again = zarr.open_array(counting if key is None else EncryptedStore(counting, key))
    counting.read = 0
    found = again[len(pixels) // 2]
    if not np.array_equal(found, pixels[len(pixels) // 2]):
        raise RuntimeError("the frame came back wrong")
    return counting.read


def _array(
    store: Any,
    pixels: np.ndarray,
    chunks: tuple[int, ...],
    codec: AesGcm | None = None,
    shards: tuple[int, ...] | None = None,
) -> zarr.Array[Any]:
    array = zarr.create_array(
        store,
        shape=pixels.shape,
        chunks=chunks,
        shards=shards,
        dtype=pixels.dtype,
        compressors=codec,
        config={"write_empty_chunks": True},
    )
    array[...] = pixels
    return array
