"""The keys of one client for one round, and what two clients derive from them (RFC 7748, RFC 5869).

A client has two X25519 key pairs, because their fates differ: the private key for masks is opened if the client
drops out, the one for the channels that carry shares never is. Every secret is made for one plan and used in
one round.
"""

# pycryptodome is imported when a key is made: its import costs more than that of numpy.
# ruff: noqa: PLC0415

import hashlib
import hmac
import os
import struct
from typing import Any, NoReturn

from medcrypt.errors import InvalidKeyError
from medcrypt.keys.derivation import expand
from medcrypt.keys.hpke import X25519

__all__ = [
    "KEY_BYTES",
    "Agreed",
    "KeyPair",
    "channel_key",
    "check_public",
    "commitment",
    "pair_mask_key",
    "self_mask_key",
]

KEY_BYTES = 32  # private and public keys, seeds, shares and derived keys alike
_DOMAIN = b"medcrypt/aggregation/masking/v1\x00"

Agreed = bytes


class KeyPair:
    """An X25519 key pair of one client for one round.

    Parameters
    ----------
    private
        32 bytes; new ones by default.
    """

    def __init__(self, private: bytes | None = None) -> None:
        from Crypto.Protocol import DH

        self.private = bytearray(os.urandom(KEY_BYTES) if private is None else private)
        self._key: Any = DH.import_x25519_private_key(bytes(self.private))
        self.public = bytes(self._key.public_key().export_key(format="raw"))

    def agree(self, plan_digest: bytes, own: int, public: bytes, other: int) -> Agreed:
        """Return HKDF-Extract of the shared secret: 64 bytes that both clients, and nobody else, know.

        Parameters
        ----------
        plan_digest
            The plan hash.
        own
            This client's number.
        public, other
            The other client's public key and number.
        """
        from Crypto.Protocol import DH

        try:
            peer = DH.import_x25519_public_key(public)
            secret = DH.key_agreement(static_priv=self._key, static_pub=peer, kdf=bytes)
        except ValueError:
            raise InvalidKeyError("the X25519 public key is not usable") from None
        publics = self.public + public if own < other else public + self.public
        return hmac.digest(_DOMAIN + plan_digest, secret + publics, "sha512")

    def wipe(self) -> None:
        """Overwrite the private key (not the copy inside pycryptodome's object, which is let go)."""
        self.private[:] = bytes(len(self.private))
        self._key = None

    def __repr__(self) -> str:
        return f"KeyPair(public='{self.public[:8].hex()}')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key pair is neither pickled nor copied")


def check_public(public: bytes) -> None:
    """Refuse a public key of small order, or one that is not in its canonical form, with `InvalidKeyError`."""
    X25519.check(public)


def pair_mask_key(agreed: Agreed, one: int, other: int) -> bytes:
    """Return the AES key of the mask of two clients."""
    return expand(agreed, b"pair mask" + struct.pack(">II", *sorted((one, other))), KEY_BYTES)


def channel_key(agreed: Agreed, dealer: int, receiver: int) -> bytes:
    """Return the AES key under which a dealer encrypts its one message to a receiver."""
    return expand(agreed, b"channel" + struct.pack(">II", dealer, receiver), KEY_BYTES)


def self_mask_key(plan_digest: bytes, client: int, seed: bytes | bytearray) -> bytes:
    """Return the AES key of the mask that a client adds on its own."""
    return expand(seed, _DOMAIN + plan_digest + b"self mask" + struct.pack(">I", client), KEY_BYTES)


def commitment(plan_digest: bytes, what: bytes, dealer: int, holder: int, secret: bytes | bytearray) -> bytes:
    """Return the hash by which a share, or the seed itself, is recognised when it is opened.

    What is committed to is uniform on 256 bits, so that a hash of it says nothing (in the random oracle model).

    Parameters
    ----------
    plan_digest
        The plan hash.
    what
        ``b"seed"``, ``b"seed share"`` or ``b"key share"``.
    dealer, holder
        Numbers of the two clients.
    secret
        32 bytes.
    """
    fields = plan_digest + what + b"\x00" + struct.pack(">II", dealer, holder)
    return hashlib.sha256(_DOMAIN + b"commitment\x00" + fields + secret).digest()
