"""Identities and recipients: X25519 to receive (HPKE, RFC 9180), Ed25519 to sign (RFC 8032).

A recipient is the public half: give it to whoever should be able to seal for you. An identity opens what was
sealed for its recipient and signs what it seals. A post-quantum identity receives by ML-KEM-768 and X25519
together (`medcrypt.keys.hpke`); it signs with Ed25519 all the same, since a forgery cannot be made in hindsight.
pycryptodome is imported only when one of them is used: its import costs more than that of numpy.
"""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Self

from medcrypt.errors import AuthenticationError, InvalidKeyError
from medcrypt.keys import files
from medcrypt.keys.encoding import decode_line, encode_line
from medcrypt.keys.hpke import PRIVATE_BYTES, X25519, XWING, Kem
from medcrypt.keys.passphrase import Passphrase
from medcrypt.keys.secret import FINGERPRINT_BYTES, KEY_BYTES, Secret, checked_bytes

if TYPE_CHECKING:
    from Crypto.PublicKey.ECC import EccKey

SIGNATURE_BYTES = 64
IDENTITY_BYTES = PRIVATE_BYTES + KEY_BYTES


class Recipient:
    """The public half of an identity: a key to seal for, an Ed25519 key to verify with.

    Parameters
    ----------
    sealing
        An X25519 public key (32 bytes) or, of a post-quantum identity, an ML-KEM-768 encapsulation key followed
        by an X25519 public key (1184 + 32 bytes). Keys of small order are refused.
    verifying
        The Ed25519 public key, 32 bytes; of small order it is refused.

    Examples
    --------
    >>> identity = Identity.generate()
    >>> Recipient.from_text(str(identity.recipient)) == identity.recipient
    True
    """

    __slots__ = ("_kem", "_sealing", "_verifying")

    def __init__(self, sealing: bytes, verifying: bytes) -> None:
        self._kem: Kem = XWING if _length(sealing) == XWING.public_bytes else X25519
        self._sealing = checked_bytes(
            sealing, self._kem.public_bytes, "an X25519 (or ML-KEM-768 and X25519) public key"
        )
        self._verifying = checked_bytes(verifying, KEY_BYTES, "an Ed25519 public key")
        self._kem.check(self._sealing)
        check_verifying_key(self._verifying)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Take the 64 bytes of `to_bytes`; 1248 of a post-quantum recipient.

        Raises
        ------
        InvalidKeyError
            A key is not a point of its curve, or is one of small order.
        ImportError
            The recipient is a post-quantum one and the installed pycryptodome knows nothing of that.
        """
        split = (XWING if _length(data) == XWING.public_bytes + KEY_BYTES else X25519).public_bytes
        data = checked_bytes(data, split + KEY_BYTES, "a recipient")
        return cls(data[:split], data[split:])

    def to_bytes(self) -> bytes:
        """Return the key to seal for followed by the Ed25519 public key, 64 or 1248 bytes."""
        return self._sealing + self._verifying

    def __reduce__(self) -> tuple[type[Self], tuple[bytes, bytes]]:
        return type(self), (self._sealing, self._verifying)  # public, so it may travel; checked on arrival

    @property
    def post_quantum(self) -> bool:
        """Whether what is sealed stays closed to somebody who stores it and has a quantum computer one day."""
        return self._kem is XWING

    @property
    def kind(self) -> str:
        """``"recipient"`` or ``"hybrid-recipient"``, as its line says."""
        return "hybrid-recipient" if self.post_quantum else "recipient"

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
        for known, kem in (("recipient", X25519), ("hybrid-recipient", XWING)):
            if kind == known and len(payload) == kem.public_bytes + KEY_BYTES:
                return cls.from_bytes(payload)
        raise InvalidKeyError("the line does not hold a medcrypt recipient")

    def __str__(self) -> str:
        return encode_line(self.kind, self.to_bytes())

    def __repr__(self) -> str:
        return f"Recipient(fingerprint='{self.fingerprint.hex()}')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipient) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    @property
    def fingerprint(self) -> bytes:
        """Eight bytes of SHA-512 over both keys; they name the recipient in files."""
        label = b"medcrypt/v1/" + self.kind.encode("ascii")
        return hashlib.sha512(label + self.to_bytes()).digest()[:FINGERPRINT_BYTES]

    @property
    def verifying_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        return self._verifying

    def seal(self, secret: bytes, info: bytes) -> bytes:
        """Encrypt ``secret`` for this recipient: HPKE base mode, ``enc || ciphertext || tag(16)``.

        ``enc`` has 32 bytes, and 1120 for a post-quantum recipient.

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
        return self._kem.seal(self._sealing, secret, info)

    def verify(self, message: bytes, signature: bytes) -> None:
        """Check an Ed25519 signature.

        Raises
        ------
        AuthenticationError
            The signature is not this identity's over this message.
        """
        check_signature(self._verifying, message, signature)


class Identity(Secret):
    """A private key pair: opens what was sealed for its `recipient`, and signs.

    Examples
    --------
    >>> identity = Identity.generate()
    >>> signature = identity.sign(b"report")
    >>> identity.recipient.verify(b"report", signature)
    """

    __slots__ = ("_kem", "_recipient")

    def __init__(self, data: bytes | bytearray | memoryview, *, post_quantum: bool = False) -> None:
        super().__init__(checked_bytes(data, IDENTITY_BYTES, "an identity"))
        self._kem: Kem = XWING if post_quantum else X25519
        sealing = self._kem.public_of(bytes(self._buffer[:PRIVATE_BYTES]))
        verifying = bytes(self._signing_key().public_key().export_key(format="raw"))
        self._recipient = Recipient(sealing, verifying)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Identity):
            return NotImplemented
        return self._kem is other._kem and super().__eq__(other)

    __hash__ = Secret.__hash__

    @classmethod
    def generate(cls, *, post_quantum: bool = False) -> Self:
        """Draw a new identity from the operating system's random generator.

        Parameters
        ----------
        post_quantum
            Receive by ML-KEM-768 and X25519 together: what is sealed stays closed to somebody who stores it today
            and has a quantum computer one day. A recipient's line then has about 1700 characters, and each
            wrapped key 1.1 KB. Signatures are Ed25519's all the same.

        Raises
        ------
        ImportError
            The installed pycryptodome is too old for post-quantum keys (4.4 has them).
        """
        return cls(os.urandom(IDENTITY_BYTES), post_quantum=post_quantum)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, post_quantum: bool = False) -> Self:
        """Take the 64 bytes of `to_bytes`."""
        return cls(data, post_quantum=post_quantum)

    def to_bytes(self) -> bytes:
        """Return the private key to open with followed by the Ed25519 seed, 64 bytes, in a copy nobody can wipe.

        The first is an X25519 private key or, of a post-quantum identity, the seed of X-Wing.
        """
        return bytes(self._buffer)

    @property
    def post_quantum(self) -> bool:
        """Whether it receives by ML-KEM-768 and X25519 together."""
        return self._kem is XWING

    @property
    def kind(self) -> str:
        """``"identity"`` or ``"hybrid-identity"``, as its key file says."""
        return "hybrid-identity" if self.post_quantum else "identity"

    @classmethod
    def from_payload(cls, kind: str, payload: bytes) -> Self:
        """Take what a key file holds, or raise `InvalidKeyError` where that is no identity."""
        if kind not in {"identity", "hybrid-identity"} or len(payload) != IDENTITY_BYTES:
            raise InvalidKeyError("the file does not hold a medcrypt identity")
        return cls(payload, post_quantum=kind == "hybrid-identity")

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
        files.save(path, self.kind, self.to_bytes(), self.fingerprint, passphrase)

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
        return cls.from_payload(*files.load(path, passphrase))

    def unseal(self, sealed: bytes, info: bytes) -> bytes:
        """Decrypt what `Recipient.seal` made with the same ``info``.

        Raises
        ------
        AuthenticationError
            It was sealed for somebody else, with other info, or was changed.
        """
        return self._kem.unseal(bytes(self._buffer[:PRIVATE_BYTES]), sealed, info)

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature (64 bytes) of a message."""
        from Crypto.Signature import eddsa

        return bytes(eddsa.new(self._signing_key(), "rfc8032").sign(message))

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


def _length(data: object) -> int:
    return len(data) if isinstance(data, bytes | bytearray | memoryview) else 0


def check_verifying_key(data: bytes) -> None:
    """Refuse an Ed25519 public key that is no point of the curve or has small order."""
    from Crypto.Signature import eddsa

    try:
        point = eddsa.import_public_key(data).pointQ
    except ValueError:
        raise InvalidKeyError("the Ed25519 public key is not a point of the curve") from None
    if (point * 8).is_point_at_infinity():
        raise InvalidKeyError("the Ed25519 public key has small order")
