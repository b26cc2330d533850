"""Sealing for a public key: HPKE in base mode (RFC 9180) with HKDF-SHA256 and AES-256-GCM, over one of two KEMs.

    x25519              DHKEM(X25519, HKDF-SHA256), RFC 9180, section 4.1
    mlkem768-x25519     X-Wing: ML-KEM-768 (FIPS 203) and X25519 combined, so that both must fall
                        (draft-connolly-cfrg-xwing-kem; HPKE's KEM 0x647a)

Somebody who stores ciphertext today and has a quantum computer one day opens the first kind, not the second.
pycryptodome is imported only when a KEM is used: its import costs more than that of numpy.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

from abc import ABC, abstractmethod
from types import ModuleType
from typing import Any, ClassVar

from medcrypt.errors import AuthenticationError, InvalidKeyError

PRIVATE_BYTES = 32
AEAD_TAG = 16


class Kem(ABC):
    """One way to agree on a secret with the holder of a private key of `PRIVATE_BYTES`."""

    name: ClassVar[str]
    public_bytes: ClassVar[int]
    encapsulated_bytes: ClassVar[int]

    @property
    def overhead(self) -> int:
        """How many bytes a sealed secret is longer than the secret."""
        return self.encapsulated_bytes + AEAD_TAG

    @abstractmethod
    def public_of(self, private: bytes) -> bytes:
        """Return the public key of a private one."""

    @abstractmethod
    def check(self, public: bytes) -> None:
        """Refuse an unusable public key with `InvalidKeyError`."""

    @abstractmethod
    def _public(self, data: bytes) -> Any:
        """Return pycryptodome's public key, or raise `InvalidKeyError`."""

    @abstractmethod
    def _private(self, data: bytes) -> Any:
        """Return pycryptodome's private key."""

    def seal(self, public: bytes, secret: bytes, info: bytes) -> bytes:
        """Return ``enc || ciphertext || tag``."""
        context = _context(self._public(public), info)
        return bytes(context.enc + context.seal(secret))

    def unseal(self, private: bytes, sealed: bytes, info: bytes) -> bytes:
        """Return what `seal` was given, or raise `AuthenticationError`."""
        encapsulated, rest = sealed[: self.encapsulated_bytes], sealed[self.encapsulated_bytes :]
        key = self._private(private)
        try:
            return bytes(_context(key, info, encapsulated).unseal(rest))
        except ValueError:
            raise AuthenticationError from None


class _X25519(Kem):
    """DHKEM(X25519, HKDF-SHA256)."""

    name, public_bytes, encapsulated_bytes = "x25519", 32, 32

    def public_of(self, private: bytes) -> bytes:
        return bytes(self._private(private).public_key().export_key(format="raw"))

    def check(self, public: bytes) -> None:
        if bytes(self._public(public).export_key(format="raw")) != public:
            raise InvalidKeyError("the X25519 public key is not in its canonical form")

    def _public(self, data: bytes) -> Any:
        from Crypto.Protocol import DH

        try:
            return DH.import_x25519_public_key(data)
        except ValueError:
            raise InvalidKeyError("the X25519 public key is not usable") from None

    def _private(self, data: bytes) -> Any:
        from Crypto.Protocol import DH

        return DH.import_x25519_private_key(data)


class _XWing(Kem):
    """X-Wing; the private key is the seed from which both of its keys are derived."""

    name, public_bytes, encapsulated_bytes = "mlkem768-x25519", 1184 + 32, 1088 + 32

    def public_of(self, private: bytes) -> bytes:
        return bytes(self._private(private)._pk)

    def check(self, public: bytes) -> None:
        self._public(public)
        X25519.check(public[-X25519.public_bytes :])

    def _public(self, data: bytes) -> Any:
        hybrid = _hybrid()
        try:
            return hybrid.HybridKey(param_set=hybrid.MLKEM768_X25519, pk=data)
        except ValueError:
            raise InvalidKeyError("the ML-KEM-768 and X25519 public key is not usable") from None

    def _private(self, data: bytes) -> Any:
        hybrid = _hybrid()
        return hybrid.HybridKey(param_set=hybrid.MLKEM768_X25519, seed=data)


X25519, XWING = _X25519(), _XWing()
KEMS: tuple[Kem, ...] = (X25519, XWING)


def _context(key: Any, info: bytes, encapsulated: bytes | None = None) -> Any:
    """Set up HPKE's base mode; the kind of the key decides about the KEM."""
    from Crypto.Protocol import HPKE

    return HPKE.new(receiver_key=key, aead_id=HPKE.AEAD.AES256_GCM, enc=encapsulated, info=info)


def _hybrid() -> ModuleType:
    """Return pycryptodome's hybrid keys, or say which version has them."""
    try:
        from Crypto.PublicKey import Hybrid
    except ImportError:
        from Crypto import __version__

        raise ImportError(
            "post-quantum keys (ML-KEM-768 with X25519) need pycryptodome 4.4 or newer, and this is "
            f"{__version__}; all other keys work as they are"
        ) from None
    hybrid: ModuleType = Hybrid
    return hybrid
