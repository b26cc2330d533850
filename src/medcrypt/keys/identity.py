"""Identities and recipients: X25519 to receive (HPKE, RFC 9180), Ed25519 to sign (RFC 8032).

A recipient is the public half: give it to whoever should be able to seal for you. An identity opens what was
sealed for its recipient and signs what it seals. pycryptodome is imported only when one of them is used:
its import costs more than that of numpy.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any, Self

from medcrypt.errors import AuthenticationError, InvalidKeyError
from medcrypt.keys import files
from medcrypt.keys.encoding import decode_line, encode_line
from medcrypt.keys.passphrase import Passphrase
from medcrypt.keys.secret import FINGERPRINT_BYTES, KEY_BYTES, Secret, checked_bytes

if TYPE_CHECKING:
    from Crypto.PublicKey.ECC import EccKey

ENCAPSULATED_BYTES = 32
SEALED_OVERHEAD = ENCAPSULATED_BYTES + 16
SIGNATURE_BYTES = 64


class Recipient:
    """The public half of an identity: an X25519 key to seal for, an Ed25519 key to verify with.

    Parameters
    ----------
    sealing, verifying
        The X25519 and the Ed25519 public key, 32 bytes each; keys of small order are refused.

    Examples
    --------
    >>> identity = Identity.generate()
    >>> Recipient.from_text(str(identity.recipient)) == identity.recipient
    True
    """

    __slots__ = ("_sealing", "_verifying")
    KIND = "recipient"

    def __init__(self, sealing: bytes, verifying: bytes) -> None:
        self._sealing = checked_bytes(sealing, KEY_BYTES, "an X25519 public key")
        self._verifying = checked_bytes(verifying, KEY_BYTES, "an Ed25519 public key")
        self._check()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Take the 64 bytes of `to_bytes`.

        Raises
        ------
        InvalidKeyError
            A key is not a point of its curve, or is one of small order.
        """
        data = checked_bytes(data, 2 * KEY_BYTES, "a recipient")
        return cls(data[:KEY_BYTES], data[KEY_BYTES:])

    def to_bytes(self) -> bytes:
        """Return the X25519 public key followed by the Ed25519 public key, 64 bytes."""
        return self._sealing + self._verifying

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Parse the line that ``str(recipient)`` gives.

        Raises
        ------
        InvalidKeyError
            The line is something else, damaged, or holds unusable keys.
        """
        if not isinstance(text, str):
            raise TypeError(f"a recipient's line must be str, not {type(text).__name__}")
        kind, payload = decode_line(text.strip())
        if kind != cls.KIND or len(payload) != 2 * KEY_BYTES:
            raise InvalidKeyError("the line does not hold a medcrypt recipient")
        return cls.from_bytes(payload)

    def __str__(self) -> str:
        return encode_line(self.KIND, self.to_bytes())

    def __repr__(self) -> str:
        return f"Recipient(fingerprint='{self.fingerprint.hex()}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipient) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes of SHA-512 over both keys; they name the recipient in files."""
        return hashlib.sha512(b"medcrypt/v1/recipient" + self.to_bytes()).digest()[:FINGERPRINT_BYTES]

    @property
    def verifying_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        return self._verifying

    def seal(self, secret: bytes, info: bytes) -> bytes:
        """Encrypt ``secret`` for this recipient: HPKE base mode, ``enc(32) || ciphertext || tag(16)``.

        It says nothing about who sealed: anyone who knows the recipient can.

        Parameters
        ----------
        secret
            What to seal.
        info
            What the secret is bound to (RFC 9180, section 5.1).

        Examples
        --------
        >>> identity = Identity.generate()
        >>> identity.unseal(identity.recipient.seal(b"file key", b"demo"), b"demo")
        b'file key'
        """
        context = _hpke(_public_x25519(self._sealing), info)
        return bytes(context.enc + context.seal(secret))

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check an Ed25519 signature.

        Raises
        ------
        AuthenticationError
            The signature is not this identity's over this message.
        """
        check_signature(self._verifying, message, signature)

    def _check(self) -> None:
        from Crypto.Signature import eddsa

        if bytes(_public_x25519(self._sealing).export_key(format="raw")) != self._sealing:
            raise InvalidKeyError("the X25519 public key is not in its canonical form")
        try:
            point = eddsa.import_public_key(self._verifying).pointQ
        except ValueError:
            raise InvalidKeyError("the Ed25519 public key is not a point of the curve") from None
        if (point * 8).is_point_at_infinity():
            raise InvalidKeyError("the Ed25519 public key has small order")


class Identity(Secret):
    """A private key pair: opens what was sealed for its `recipient`, and signs.

    Examples
    --------
    >>> identity = Identity.generate()
    >>> signature = identity.sign(b"report")
    >>> identity.recipient.verify(b"report", signature)
    """

    __slots__ = ("_recipient",)
    KIND = "identity"

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        super().__init__(checked_bytes(data, 2 * KEY_BYTES, "an identity"))
        self._recipient = Recipient(_raw(self._unsealing_key()), _raw(self._signing_key()))

    @classmethod
    def generate(cls) -> Self:
        """Draw a new X25519 key and Ed25519 seed from the operating system's random generator."""
        return cls(os.urandom(2 * KEY_BYTES))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """Take the 64 bytes of `to_bytes`."""
        return cls(data)

    def to_bytes(self) -> bytes:
        """Return the X25519 private key followed by the Ed25519 seed, 64 bytes, in a copy nobody can wipe."""
        return bytes(self._buffer)

    @property
    def recipient(self) -> Recipient:
        """The public half."""
        return self._recipient

    @property
    def fingerprint(self) -> bytes:
        """The fingerprint of the recipient."""
        return self._recipient.fingerprint

    def save(self, path: files.PathLike, *, passphrase: Passphrase | str | None = None) -> None:
        """Write the identity to a new file of mode 0600, in the clear or under a passphrase.

        Raises
        ------
        FileExistsError
            A file of that name exists. Keys are never overwritten.
        """
        files.save(path, self.KIND, self.to_bytes(), self.fingerprint, passphrase)

    @classmethod
    def load(cls, path: files.PathLike, *, passphrase: Passphrase | str | None = None) -> Self:
        """Read an identity that `save` wrote.

        Raises
        ------
        InvalidKeyError
            The file is not an identity, is damaged, or needs a passphrase that was not given.
        AuthenticationError
            The passphrase is wrong or the file was changed.
        """
        return cls(files.payload_of(path, cls.KIND, 2 * KEY_BYTES, passphrase))

    def unseal(self, sealed: bytes, info: bytes) -> bytes:
        """Decrypt what `Recipient.seal` made with the same ``info``.

        Raises
        ------
        AuthenticationError
            It was sealed for somebody else, with other info, or was changed.
        """
        try:
            return bytes(
                _hpke(self._unsealing_key(), info, sealed[:ENCAPSULATED_BYTES]).unseal(
                    sealed[ENCAPSULATED_BYTES:]
                )
            )
        except ValueError:
            raise AuthenticationError from None

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes) of a message."""
        from Crypto.Signature import eddsa

        return bytes(eddsa.new(self._signing_key(), "rfc8032").sign(message))

    def _unsealing_key(self) -> EccKey:
        from Crypto.Protocol import DH

        return DH.import_x25519_private_key(bytes(self._buffer[:KEY_BYTES]))

    def _signing_key(self) -> EccKey:
        from Crypto.Signature import eddsa

        return eddsa.import_private_key(bytes(self._buffer[KEY_BYTES:]))


def check_signature(verifying_key: bytes, message: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature (RFC 8032, section 5.1.7), or raise `AuthenticationError`."""
    from Crypto.Signature import eddsa

    try:
        eddsa.new(eddsa.import_public_key(verifying_key), "rfc8032").verify(message, signature)
    except ValueError:
        raise AuthenticationError from None


def _raw(private: EccKey) -> bytes:
    return bytes(private.public_key().export_key(format="raw"))


def _public_x25519(data: bytes) -> EccKey:
    from Crypto.Protocol import DH

    try:
        return DH.import_x25519_public_key(data)
    except ValueError:
        raise InvalidKeyError("the X25519 public key is not usable") from None


def _hpke(key: EccKey, info: bytes, encapsulated: bytes | None = None) -> Any:
    """Set up HPKE base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM."""
    from Crypto.Protocol import HPKE

    return HPKE.new(receiver_key=key, aead_id=HPKE.AEAD.AES256_GCM, enc=encapsulated, info=info)
