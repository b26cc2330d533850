"""SHA-512 and HKDF-Expand over it, for keys and headers: short inputs, where hashlib costs more than the hash."""

from medcrypt._ext.sha512.hkdf import HkdfSha512, sha512

__all__ = ["HkdfSha512", "sha512"]
