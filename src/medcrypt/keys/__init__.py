"""Keys: symmetric keys, identities and their recipients, passphrases, references to them, and key derivation."""

from __future__ import annotations

from medcrypt.keys.files import PathLike, load
from medcrypt.keys.identity import Identity, Recipient
from medcrypt.keys.passphrase import Passphrase
from medcrypt.keys.references import KeyFile, KeyVariable, key_of_payload
from medcrypt.keys.symmetric import SecretKey

__all__ = ["Identity", "KeyFile", "KeyVariable", "Passphrase", "Recipient", "SecretKey", "load_key"]


def load_key(path: PathLike, *, passphrase: Passphrase | str | None = None) -> SecretKey | Identity:
    """Read a key file of either kind.

    Parameters
    ----------
    path
        A file that `SecretKey.save` or `Identity.save` wrote.
    passphrase
        Needed where the file is protected by one.

    Raises
    ------
    InvalidKeyError
        The file holds no such key, is damaged, or needs a passphrase.
    AuthenticationError
        The passphrase is wrong or the file was changed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ward.key"
    >>> SecretKey.generate().save(path)
    >>> type(load_key(path)).__name__
    'SecretKey'
    """
    return key_of_payload(*load(path, passphrase))
