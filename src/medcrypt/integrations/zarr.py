"""Encrypted Zarr arrays, two ways.

`AesGcm` is a codec, ``medcrypt.aes_gcm``: chunks are encrypted one by one, metadata stay readable, and any Zarr
store, shard and tool works; chunks of one array can be exchanged unseen. `EncryptedStore` wraps a store: nothing
is readable, the names of arrays and chunks included, and whatever is swapped, renamed, taken away or rolled back
is refused. The keys of codecs are made known by `register_key`.

zarr is imported with this module: ``pip install 'medcrypt[zarr]'``.
"""

from __future__ import annotations

try:
    import zarr  # noqa: F401 - only whether it is there
except ImportError:
    raise ImportError("encrypted Zarr arrays need zarr 3: pip install 'medcrypt[zarr]'") from None

from medcrypt.integrations.codec_keys import KeyRegistration, register_key
from medcrypt.integrations.zarr_codec import AesGcm
from medcrypt.integrations.zarr_store import EncryptedStore

__all__ = ["AesGcm", "EncryptedStore", "KeyRegistration", "register_key"]
