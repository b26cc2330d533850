"""CMS EnvelopedData (RFC 5652, section 6): what PS3.15 prescribes for encrypted attributes.

RSA key transport and AES-256-CBC. Nothing in it tells whether the content was changed, so `medcrypt` signs it
(`medcrypt.integrations.dicom.signatures`) and verifies before it decrypts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medcrypt.errors import AuthenticationError, FormatError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

_SEQUENCE = 0x30
_LONG_FORM = 0x80


def need_cryptography() -> None:
    """Raise an ``ImportError`` that names the extra, if cryptography is missing."""
    try:
        import cryptography  # noqa: F401 - only whether it is there
    except ImportError:
        raise ImportError("certificates need cryptography: pip install 'medcrypt[cms]'") from None


def envelope(content: bytes, certificates: Sequence[Certificate]) -> bytes:
    """Encrypt for the holders of RSA certificates.

    Returns
    -------
    bytes
        DER.

    Raises
    ------
    TypeError
        A certificate does not hold an RSA key.
    """
    from cryptography.hazmat.primitives.ciphers.algorithms import AES256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7EnvelopeBuilder, PKCS7Options

    builder = PKCS7EnvelopeBuilder().set_data(content).set_content_encryption_algorithm(AES256)
    for certificate in certificates:
        builder = builder.add_recipient(certificate)
    return builder.encrypt(Encoding.DER, [PKCS7Options.Binary])


def open_envelope(der: bytes, key: RSAPrivateKey, certificate: Certificate) -> bytes:
    """Decrypt.

    Raises
    ------
    AuthenticationError
        It is for somebody else, or damaged.
    """
    from cryptography.hazmat.primitives.serialization.pkcs7 import pkcs7_decrypt_der

    try:
        return pkcs7_decrypt_der(der, certificate, key, [])
    except (
        Exception
    ):  # cryptography raises errors of many kinds, which would tell an attacker where it failed
        raise AuthenticationError from None


def trimmed(value: bytes) -> bytes:
    """Cut what DICOM pads behind a DER encoding: at most one byte, to an even length.

    Raises
    ------
    FormatError
        The value is no DER sequence of that length.

    Examples
    --------
    >>> trimmed(bytes.fromhex("3003020107" "00")).hex()
    '3003020107'
    """
    length = _der_length(value)
    if not 0 <= len(value) - length <= 1:
        raise FormatError("the encrypted content is not CMS in DER")
    return value[:length]


def _der_length(value: bytes) -> int:
    """Return the length of the whole encoding (X.690, section 8.1.3)."""
    if len(value) < 2 or value[0] != _SEQUENCE:
        raise FormatError("the encrypted content is not CMS in DER")
    first = value[1]
    if first < _LONG_FORM:
        return 2 + first
    count = first - _LONG_FORM
    if not 1 <= count <= 8:
        raise FormatError("the encrypted content is not CMS in DER")
    return 2 + count + int.from_bytes(value[2 : 2 + count], "big")
