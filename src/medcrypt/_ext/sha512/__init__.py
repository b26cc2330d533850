"""SHA-512, HKDF-Expand over it, and short blobs under derived keys: where hashlib costs more than the hash."""

from medcrypt._ext.sha512.hkdf import HkdfSha512, has_ciphers, sha512

__all__ = ["HkdfSha512", "has_ciphers", "sha512"]
