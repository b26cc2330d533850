"""medcrypt: a small cryptographic core for privacy-preserving medical imaging.

`images` seals arrays and files, `paillier` adds what nobody can read, `dp` tells what a release costs,
`aggregation` lets many parties add up what none of them shows, and `inference` asks a network about an image that its
servers do not see. Keys and errors are here at the front door.
"""

import importlib
import importlib.metadata
from types import ModuleType

from medcrypt.errors import (
    AuthenticationError,
    BudgetError,
    CapacityError,
    FormatError,
    InvalidCiphertextError,
    InvalidKeyError,
    MedcryptError,
    ProtocolError,
)
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey, load_key

__all__ = [
    "AuthenticationError",
    "BudgetError",
    "CapacityError",
    "FormatError",
    "Identity",
    "InvalidCiphertextError",
    "InvalidKeyError",
    "MedcryptError",
    "Passphrase",
    "ProtocolError",
    "Recipient",
    "SecretKey",
    "aggregation",
    "attacks",
    "dp",
    "errors",
    "images",
    "inference",
    "load_key",
    "paillier",
]

_ROOMS = ("aggregation", "attacks", "dp", "images", "inference", "paillier")


def __getattr__(name: str) -> ModuleType | str:
    """Import a room when it is first used, so that none pays for the others."""
    if name in _ROOMS:
        return importlib.import_module(f"medcrypt.{name}")
    if name == "__version__":
        return importlib.metadata.version("medcrypt")
    raise AttributeError(f"module 'medcrypt' has no attribute {name!r}")
