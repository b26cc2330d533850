"""AES-256-GCM: one message, or a run of chunks in one call."""

from medcrypt._ext.aes.gcm import AesGcm

__all__ = ["AesGcm"]
