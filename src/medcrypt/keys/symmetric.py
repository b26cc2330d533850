"""A 32-byte symmetric key."""

from __future__ import annotations

import os
from typing import Self

from medcrypt.keys import files
from medcrypt.keys.passphrase import Passphrase
from medcrypt.keys.secret import KEY_BYTES, Secret, checked_bytes


class SecretKey(Secret):
    """A symmetric key of 32 uniformly random bytes; whoever has it can seal and open.

    Examples
    --------
    >>> key = SecretKey.generate()
    >>> SecretKey.from_bytes(key.to_bytes()) == key
    True
    """

    __slots__ = ()
    KIND = "secret-key"

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        super().__init__(checked_bytes(data, KEY_BYTES, "a secret key"))

    @classmethod
    def generate(cls) -> Self:
        """Draw a new key from the operating system's random generator."""
        return cls(os.urandom(KEY_BYTES))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """Take 32 bytes that are already a uniformly random key.

        Raises
        ------
        ValueError
            Not 32 bytes. For a passphrase use `Passphrase`.

        Examples
        --------
        >>> SecretKey.from_bytes(bytes(range(32)))
        SecretKey(fingerprint='669e43bda5f9512a')
        """
        return cls(data)

    def to_bytes(self) -> bytes:
        """Return the 32 bytes. They are a plain copy that Python cannot wipe."""
        return bytes(self._buffer)

    def save(self, path: files.PathLike, *, passphrase: Passphrase | str | None = None) -> None:
        """Write the key to a new file of mode 0600, in the clear or under a passphrase.

        Raises
        ------
        FileExistsError
            A file of that name exists. Keys are never overwritten.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "ward.key"
        >>> key = SecretKey.generate()
        >>> key.save(path)
        >>> SecretKey.load(path) == key
        True
        """
        files.save(path, self.KIND, self.to_bytes(), self.fingerprint, passphrase)

    @classmethod
    def load(cls, path: files.PathLike, *, passphrase: Passphrase | str | None = None) -> Self:
        """Read a key that `save` wrote.

        Raises
        ------
        InvalidKeyError
            The file is not a secret key, is damaged, or needs a passphrase that was not given.
        AuthenticationError
            The passphrase is wrong or the file was changed.
        """
        return cls(files.payload_of(path, cls.KIND, KEY_BYTES, passphrase))
