"""AES-256: GCM for one message or a run of chunks in one call, and the key stream of counter mode."""

from medcrypt._ext.aes.ctr import AesCtr
from medcrypt._ext.aes.gcm import AesGcm

__all__ = ["AesCtr", "AesGcm"]
