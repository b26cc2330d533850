"""Detached signatures over encrypted attributes, of medcrypt identities or of the keys of X.509 certificates.

    1 | Ed25519 public key (32) | Ed25519 signature (64)
    2 | SHA-256 of the certificate (32) | signature

A certificate's RSA key signs with PSS and SHA-256, an elliptic curve with ECDSA and SHA-256, an Ed25519 key as it
does. The verifier says whose signature it expects: there is no chain of trust to follow, nor a clock to ask.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, TypeAlias, Union

from medcrypt.errors import AuthenticationError
from medcrypt.keys import Identity, Recipient

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

    PrivateKey: TypeAlias = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey

Signer: TypeAlias = Union[Identity, "tuple[PrivateKey, Certificate]"]
Sender: TypeAlias = Union[Recipient, "Certificate"]

_IDENTITY, _CERTIFICATE = b"\x01", b"\x02"
_NAME_BYTES = 32


def sign(signer: Signer, message: bytes) -> bytes:
    """Return a signature with the name of its key.

    Raises
    ------
    TypeError
        The signer is neither an `Identity` nor a private key and its certificate.
    ValueError
        Private key and certificate do not belong together.
    """
    if isinstance(signer, Identity):
        return _IDENTITY + signer.recipient.verifying_key + signer.sign(message)
    if not isinstance(signer, tuple) or len(signer) != 2:
        raise TypeError("the signer must be an Identity, or (private key, certificate)")
    key, certificate = signer
    if key.public_key() != certificate.public_key():
        raise ValueError("the signer's private key does not belong to the certificate")
    return _CERTIFICATE + _fingerprint(certificate) + _signed(key, message)


def verify(sender: Sender, message: bytes, signature: bytes) -> None:
    """Check a signature.

    Raises
    ------
    AuthenticationError
        It is not the sender's over this message.
    """
    kind, name, value = signature[:1], signature[1 : 1 + _NAME_BYTES], signature[1 + _NAME_BYTES :]
    if isinstance(sender, Recipient):
        if kind != _IDENTITY or not hmac.compare_digest(name, sender.verifying_key):
            raise AuthenticationError
        sender.verify(message, value)
        return
    if kind != _CERTIFICATE or not hmac.compare_digest(name, _fingerprint(sender)):
        raise AuthenticationError
    _verify_certificate(sender, message, value)


def _signed(key: PrivateKey, message: bytes) -> bytes:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
        return key.sign(message, pss, hashes.SHA256())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(hashes.SHA256()))
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    raise TypeError("the signer's key must be RSA, an elliptic curve or Ed25519")


def _verify_certificate(certificate: Certificate, message: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    key = certificate.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
            key.verify(signature, message, pss, hashes.SHA256())
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            raise TypeError("the sender's key must be RSA, an elliptic curve or Ed25519")
    except InvalidSignature:
        raise AuthenticationError from None


def _fingerprint(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives import hashes

    return certificate.fingerprint(hashes.SHA256())
