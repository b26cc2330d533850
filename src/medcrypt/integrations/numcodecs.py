"""numcodecs codec ``medcrypt.aes_gcm``: encrypted chunks in Zarr 2 arrays and wherever numcodecs are used.

The chunks are those of the codec for Zarr 3, byte for byte. ``pip install 'medcrypt[zarr]'``.
"""

from __future__ import annotations

from typing import Any, Self

from medcrypt.images.cobblestone import as_bytes, as_writable_bytes
from medcrypt.integrations.chunk_cipher import CODEC_ID, checked_array_id, decrypt_chunk, encrypt_chunk
from medcrypt.integrations.codec_keys import key_id, register_key
from medcrypt.keys import SecretKey

try:
    from numcodecs.abc import Codec
    from numcodecs.compat import ensure_contiguous_ndarray
except ImportError:
    raise ImportError("this codec needs numcodecs: pip install 'medcrypt[zarr]'") from None

__all__ = ["AesGcm", "register_key"]


class AesGcm(Codec):  # type: ignore[misc]  # numcodecs carries no types
    """Encrypt every chunk with AES-256-GCM under a key that is named, not stored.

    It comes last: what is encrypted cannot be compressed.

    Parameters
    ----------
    key
        A `SecretKey`, of which only the id is kept, or that id. Reading and writing find the key itself among
        those of `register_key`, or by the environment variable ``MEDCRYPT_KEY_FILE``.
    array_id
        Any text that names the array; stored and bound to each chunk, so that chunks of arrays with other names
        do not pass. Chunks within an array can still trade places.

    Examples
    --------
    >>> key = SecretKey.generate()
    >>> codec = AesGcm(key)
    >>> with register_key(key):
    ...     bytes(codec.decode(codec.encode(b"pixels")))
    b'pixels'
    """

    codec_id = CODEC_ID

    def __init__(self, key: SecretKey | str, array_id: str = "") -> None:
        self.key_id = key_id(key)
        self.array_id = checked_array_id(array_id)

    def encode(self, buf: Any) -> bytes:
        """Return the encrypted chunk.

        Parameters
        ----------
        buf
            An object with a contiguous buffer, in C or Fortran order.

        Raises
        ------
        InvalidKeyError
            The key is not known here.
        """
        plain = as_bytes(ensure_contiguous_ndarray(buf))
        return encrypt_chunk(self.key_id, self.array_id, plain).tobytes()

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Return the chunk, written into ``out`` if there is one.

        Raises
        ------
        AuthenticationError
            Wrong key or another array's id, or the chunk was changed.
        FormatError
            No encrypted chunk has this length.
        InvalidKeyError
            The key is not known here.
        """
        blob = as_bytes(ensure_contiguous_ndarray(buf))
        if out is None:
            return decrypt_chunk(self.key_id, self.array_id, blob)
        room = as_writable_bytes(ensure_contiguous_ndarray(out))
        decrypt_chunk(self.key_id, self.array_id, blob, room)
        return out

    def get_config(self) -> dict[str, Any]:
        """Return what is stored: the name of the codec, the id of the key and of the array."""
        return {"id": self.codec_id, "key_id": self.key_id, **_named(self.array_id)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the codec of a configuration without its ``id``.

        Raises
        ------
        TypeError, ValueError
            Not a configuration of this codec.
        """
        fields = dict(config)
        return cls(fields.pop("key_id"), **fields)

    def __repr__(self) -> str:
        return f"AesGcm({self.key_id!r}, array_id={self.array_id!r})"


def _named(array_id: str) -> dict[str, str]:
    return {"array_id": array_id} if array_id else {}
