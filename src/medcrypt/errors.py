"""Everything that medcrypt raises beyond Python's own ``TypeError`` and ``ValueError``.

A wrong argument is a ``TypeError`` or ``ValueError``. What arrives from outside (bytes, ciphertexts,
messages, keys) and turns out to be bad is one of the classes below.
"""

__all__ = [
    "AuthenticationError",
    "BudgetError",
    "CapacityError",
    "FormatError",
    "InvalidCiphertextError",
    "InvalidKeyError",
    "MedcryptError",
    "ProtocolError",
]


class MedcryptError(Exception):
    """Base of every error that medcrypt raises on bad data."""


class AuthenticationError(MedcryptError):
    """The data did not authenticate.

    Wrong key, wrong context and tampering look alike on purpose: an attacker learns nothing from the
    difference, so the exception carries no text.
    """

    def __init__(self) -> None:
        super().__init__()


class FormatError(MedcryptError):
    """The bytes do not follow the format they claim: wrong magic, version, length or field."""


class InvalidKeyError(MedcryptError):
    """A key is malformed, too weak, of the wrong kind, or belongs to something else."""


class InvalidCiphertextError(MedcryptError):
    """A Paillier ciphertext is outside its group, malformed, or was made under another key."""


class CapacityError(MedcryptError):
    """A homomorphic operation would exceed the headroom of the packing; nothing was changed."""


class ProtocolError(MedcryptError):
    """A party broke the protocol.

    Parameters
    ----------
    message
        What was wrong.
    party
        The party's name, or None where nobody can be named.
    """

    def __init__(self, message: str, party: str | None = None) -> None:
        super().__init__(message if party is None else f"{party}: {message}")
        self.party = party


class BudgetError(MedcryptError):
    """A privacy budget would be exceeded; nothing was released."""
