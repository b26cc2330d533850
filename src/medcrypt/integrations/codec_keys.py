"""Where codecs and stores find their keys: by id, in this process only.

The metadata of an array name a key by its fingerprint and never hold it. Zarr builds codecs from those metadata
by itself and in any thread, so nothing can be handed to it: a key is looked up when a chunk needs it,

1. among the keys that `register_key` has made known, the latest first;
2. in the key files that the environment variable ``MEDCRYPT_KEY_FILE`` names, several separated as in ``PATH``.

A process that is forked has the registered keys of its parent; one that is spawned has none, and finds keys by
the environment variable or by a `register_key` of its own. Keys never travel in a pickle.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeAlias

from medcrypt.errors import InvalidKeyError
from medcrypt.keys import Identity, Recipient, SecretKey
from medcrypt.keys.references import resolve

__all__ = [
    "ENVIRONMENT",
    "HeldKey",
    "KeyRegistration",
    "find_key",
    "find_opening_key",
    "key_id",
    "register_key",
]

ENVIRONMENT = "MEDCRYPT_KEY_FILE"
PathLike: TypeAlias = str | os.PathLike[str]
HeldKey: TypeAlias = SecretKey | Identity
Resolver: TypeAlias = Callable[[str], HeldKey | None]


def key_id(key: HeldKey | Recipient | str) -> str:
    """Return the id of a key: its fingerprint, 16 hexadecimal digits, which does not reveal it.

    Raises
    ------
    ValueError
        A text that is no such id.

    Examples
    --------
    >>> key_id(SecretKey.from_bytes(bytes(range(32))))
    '669e43bda5f9512a'
    """
    if isinstance(key, SecretKey | Identity | Recipient):
        return key.fingerprint.hex()
    if not isinstance(key, str):
        raise TypeError(f"a key or the id of one is needed, not {type(key).__name__}")
    if len(key) != 16 or not set(key) <= set("0123456789abcdef"):
        raise ValueError("a key id has 16 hexadecimal digits in lower case")
    return key


class KeyRegistration:
    """A key that codecs of this process can find, until `close` or the end of the ``with`` block.

    Made by `register_key`.
    """

    def __init__(self, resolve: Resolver) -> None:
        # Insertion and removal of one entry are atomic: lookups in other threads take no lock.
        _registered[self] = resolve

    def close(self) -> None:
        """Forget the key. Arrays that are open stop finding it at once."""
        _registered.pop(self, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_registered: dict[KeyRegistration, Resolver] = {}


def register_key(key: HeldKey | PathLike | Resolver) -> KeyRegistration:
    """Make a key known to the codecs and stores of this process.

    Parameters
    ----------
    key
        A `SecretKey`, or an `Identity` for stores that are sealed for its recipient; the path of its file, which is
        read when it is first needed; or a function that gets a key id and returns that key, or None. The function is
        called for each chunk, from several threads.

    Returns
    -------
    KeyRegistration
        Use it in a ``with`` statement, or close it to forget the key.

    Examples
    --------
    >>> key = SecretKey.generate()
    >>> with register_key(key):
    ...     find_key(key_id(key)) == key
    True
    >>> find_key(key_id(SecretKey.from_bytes(bytes(range(32)))))
    Traceback (most recent call last):
    medcrypt.errors.InvalidKeyError: no key with the id 669e43bda5f9512a is known: register it, ...
    """
    if isinstance(key, SecretKey | Identity):
        return KeyRegistration(lambda _: key)
    if isinstance(key, str | os.PathLike):
        return KeyRegistration(_KeyFiles((key,)))
    if not callable(key):
        raise TypeError(f"a SecretKey, an Identity, a path or a function is needed, not {type(key).__name__}")
    return KeyRegistration(_asked(key))


def find_key(wanted: str) -> SecretKey:
    """Return the secret key with an id.

    Raises
    ------
    InvalidKeyError
        It is not known here, or what should give it gives something else.
    """
    key = find_opening_key(wanted)
    if not isinstance(key, SecretKey):
        raise InvalidKeyError(f"the key with the id {wanted} is an identity, and a codec needs a secret key")
    return key


def find_opening_key(wanted: str) -> HeldKey:
    """Return the secret key or the identity with an id.

    Raises
    ------
    InvalidKeyError
        As for `find_key`.
    """
    for ask in (*reversed(tuple(_registered.values())), _environment):
        key = ask(wanted)
        if key is not None and key_id(key) == wanted:
            return key
    raise InvalidKeyError(
        f"no key with the id {wanted} is known: register it, or name its file in {ENVIRONMENT}"
    )


def _asked(function: Resolver) -> Resolver:
    """Hold a caller's function to its word: another key than the one asked for is a mistake, not a miss."""

    def asked(wanted: str) -> HeldKey | None:
        key = function(wanted)
        if key is not None and (not isinstance(key, SecretKey | Identity) or key_id(key) != wanted):
            raise InvalidKeyError(f"the function that was asked for the key {wanted} returned something else")
        return key

    return asked


class _KeyFiles:
    """Key files, each read at most once."""

    def __init__(self, paths: tuple[PathLike, ...]) -> None:
        self.paths = paths
        self._keys: dict[str, HeldKey] | None = None

    def __call__(self, wanted: str) -> HeldKey | None:
        if self._keys is None:
            keys = [resolve(path) for path in self.paths]
            self._keys = {key_id(key): key for key in keys if isinstance(key, SecretKey | Identity)}
        return self._keys.get(wanted)


def _environment(wanted: str) -> HeldKey | None:
    """Look in the files that the environment names at this moment."""
    global _named  # noqa: PLW0603 - what was read stays read while the variable keeps its value
    paths = tuple(path for path in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if path)
    named = _named
    if named.paths != paths:
        named = _named = _KeyFiles(paths)
    try:
        return named(wanted)
    except OSError as error:
        raise InvalidKeyError(f"{ENVIRONMENT} names a file that cannot be read: {error.strerror}") from error


_named = _KeyFiles(())
