"""Zarr 3 codec ``medcrypt.aes_gcm``: encrypted chunks, also inside shards.

Zarr finds it by its entry point when an array's metadata name it. The chunks are those of the numcodecs codec,
byte for byte: ``docs/formats/zarr.md``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

import numpy as np
from zarr.abc.codec import BytesBytesCodec
from zarr.core.array_spec import ArraySpec
from zarr.core.buffer import Buffer
from zarr.core.common import JSON, parse_named_configuration

from medcrypt.images import cobblestone
from medcrypt.integrations.chunk_cipher import (
    CODEC_ID,
    Bytes,
    checked_array_id,
    decrypt_chunk,
    encrypt_chunk,
)
from medcrypt.integrations.codec_keys import key_id
from medcrypt.keys import SecretKey

__all__ = ["AesGcm"]


@dataclass(frozen=True, init=False)
class AesGcm(BytesBytesCodec):
    """Encrypt every chunk with AES-256-GCM under a key that is named, not stored.

    It comes after the compressor: what is encrypted cannot be compressed. Inside a shard it is a codec of the
    inner chunks, so that reading a part of the shard decrypts only that part; among the ``index_codecs`` it
    protects the shard's index too.

    Parameters
    ----------
    key
        A `SecretKey`, of which only the id is kept, or that id. Reading and writing find the key itself among
        those of `register_key`, or by the environment variable ``MEDCRYPT_KEY_FILE``.
    array_id
        Any text that names the array; stored and bound to each chunk, so that chunks of arrays with other names
        do not pass. Chunks within an array can still trade places: `EncryptedStore` refuses that.

    Notes
    -----
    By default Zarr does not store chunks that hold nothing but the fill value, which shows where an image is
    empty; create the array with ``config={"write_empty_chunks": True}`` to hide that. The array's metadata
    (shape, type, attributes) are neither encrypted nor authenticated by a codec.

    Examples
    --------
    >>> import zarr
    >>> from medcrypt.integrations.zarr import register_key
    >>> key, store = SecretKey.generate(), {}
    >>> with register_key(key):
    ...     ct = zarr.create_array(store, shape=(64, 64), chunks=(32, 32), dtype="i2", compressors=AesGcm(key))
    ...     ct[:] = 7
    ...     int(zarr.open_array(store)[40, 40])
    7
    """

    is_fixed_size = True

    key_id: str
    array_id: str

    def __init__(self, key: SecretKey | str, array_id: str = "") -> None:
        object.__setattr__(self, "key_id", key_id(key))
        object.__setattr__(self, "array_id", checked_array_id(array_id))

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> Self:
        """Return the codec that an array's metadata describe.

        Raises
        ------
        ValueError, TypeError
            Not a configuration of this codec.
        """
        _, configuration = parse_named_configuration(data, CODEC_ID)
        fields = dict(configuration)
        key, array_id = fields.pop("key_id", None), fields.pop("array_id", "")
        if fields:
            raise ValueError(f"unknown settings of {CODEC_ID}: {', '.join(fields)}")
        if not isinstance(key, str) or not isinstance(array_id, str):
            raise TypeError(f"{CODEC_ID} needs a key_id, and an array_id can only be text")
        return cls(key, array_id)

    def to_dict(self) -> dict[str, JSON]:
        """Return what is stored: the name of the codec, the id of the key and of the array."""
        configuration: dict[str, JSON] = {"key_id": self.key_id}
        if self.array_id:
            configuration["array_id"] = self.array_id
        return {"name": CODEC_ID, "configuration": configuration}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Return the exact size of an encrypted chunk: 72 bytes more, and 16 for each full 16 KiB."""
        return cobblestone.sealed_size(input_byte_length)

    def _encode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        blob = encrypt_chunk(self.key_id, self.array_id, _contiguous(chunk_data))
        return chunk_spec.prototype.buffer.from_bytes(blob.data)

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        plain = decrypt_chunk(self.key_id, self.array_id, _contiguous(chunk_data))
        return chunk_spec.prototype.buffer.from_bytes(plain.data)

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)


def _contiguous(data: Buffer) -> Bytes:
    """View a chunk in host memory, without a copy unless it lies elsewhere or is strided."""
    return np.ascontiguousarray(data.as_numpy_array())
