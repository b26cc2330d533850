"""Where a key is, instead of the key: what may travel to another process or machine.

A `SecretKey`, `Identity` or `Passphrase` refuses to be pickled. A worker process gets one of these instead and looks
the key up where it runs:

- the path of a key file, or `KeyFile` where that is under a passphrase;
- `KeyVariable`, the name of an environment variable;
- a function without arguments that returns the key; a process pool needs one from a module's top level.

A `Recipient` is public and travels as it is.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from medcrypt._ext.sha512 import sha512
from medcrypt.errors import InvalidKeyError
from medcrypt.keys import files
from medcrypt.keys.encoding import decode_line
from medcrypt.keys.identity import Identity, Recipient
from medcrypt.keys.passphrase import Passphrase
from medcrypt.keys.secret import KEY_BYTES
from medcrypt.keys.symmetric import SecretKey
from medcrypt.keys.unlocked import Unlocked

Key: TypeAlias = SecretKey | Identity | Recipient | Passphrase
# Workers ask for the same few keys for every file.
unlocked: Unlocked[SecretKey | Identity] = Unlocked()


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The key in a key file.

    Parameters
    ----------
    path
        The file.
    passphrase_variable
        The environment variable with the file's passphrase, where it has one.

    Examples
    --------
    >>> KeyFile("ward.key", passphrase_variable="WARD_PASSPHRASE")
    KeyFile(path='ward.key', passphrase_variable='WARD_PASSPHRASE')
    """

    path: files.PathLike
    passphrase_variable: str | None = None

    def __call__(self) -> Key:
        """Read the file. A key under a passphrase is kept for a minute after each use, see `medcrypt.keys.unlocked`."""
        if self.passphrase_variable is None:
            return key_of_payload(*files.load(self.path))
        passphrase = os.environ.get(self.passphrase_variable)
        if passphrase == "":
            raise InvalidKeyError(f"the environment variable {self.passphrase_variable} is empty")
        if passphrase is None:
            return key_of_payload(*files.load(self.path))
        found = os.stat(self.path)
        source = (os.path.abspath(self.path), found.st_ino, found.st_size, found.st_mtime_ns)
        return unlocked.get(
            (*source, sha512(os.fsencode(passphrase))),
            lambda: key_of_payload(*files.load(self.path, passphrase)),
        )


@dataclass(frozen=True, slots=True)
class KeyVariable:
    """The key in an environment variable: the line of a key file, or a recipient's.

    Parameters
    ----------
    name
        Of the variable. Other programs of the same user can read it.

    Examples
    --------
    >>> os.environ["WARD_KEY"] = str(Identity.from_bytes(bytes(range(64))).recipient)
    >>> KeyVariable("WARD_KEY")()
    Recipient(fingerprint='...')
    """

    name: str

    def __call__(self) -> Key:
        """Parse the variable."""
        line = os.environ.get(self.name, "").strip()
        if not line:
            raise InvalidKeyError(f"the environment variable {self.name} holds no key")
        kind, payload = decode_line(line)
        if kind.endswith("recipient"):
            return Recipient.from_text(line)
        return key_of_payload(kind, payload)


Reference: TypeAlias = files.PathLike | KeyFile | KeyVariable | Callable[[], Key]


def resolve(key: Key | Reference) -> Key:
    """Return the key that a reference names, or the key itself.

    Raises
    ------
    InvalidKeyError
        What is there is no key.
    TypeError
        It is neither a key nor a reference.

    Examples
    --------
    >>> key = SecretKey.generate()
    >>> resolve(key) is key, resolve(lambda: key) is key
    (True, True)
    """
    if isinstance(key, SecretKey | Identity | Recipient | Passphrase):
        return key
    if isinstance(key, str | os.PathLike):
        return KeyFile(key)()
    if not callable(key):
        raise TypeError(f"a key or a reference to one is needed, not {type(key).__name__}")
    found = key()
    if not isinstance(found, SecretKey | Identity | Recipient | Passphrase):
        raise TypeError(f"the reference gave no key but {type(found).__name__}")
    return found


def key_of_payload(kind: str, payload: bytes) -> SecretKey | Identity:
    """Return the key that a key file holds, or raise `InvalidKeyError`."""
    if kind.endswith("identity"):
        return Identity.from_payload(kind, payload)
    if kind != SecretKey.KIND or len(payload) != KEY_BYTES:
        raise InvalidKeyError("the file does not hold a medcrypt secret key or identity")
    return SecretKey.from_bytes(payload)
