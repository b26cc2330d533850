"""Passphrases, stretched with scrypt (RFC 7914)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

from medcrypt.errors import FormatError
from medcrypt.keys.secret import KEY_BYTES, Secret

SALT_BYTES = 16
_MOST_MEMORY = 256 << 20  # what a file may make its reader allocate: 128 * r * N bytes
_MOST_PARALLEL = 4


@dataclass(frozen=True, slots=True)
class ScryptCost:
    """scrypt's cost numbers, as a file states them.

    Parameters
    ----------
    log2_n
        log2 of the number of blocks N.
    r
        Block size.
    p
        Parallelism.
    """

    BYTES: ClassVar[int] = 3
    log2_n: int = 17
    r: int = 8
    p: int = 1

    def __post_init__(self) -> None:
        sound = 1 <= self.r <= 32 and 1 <= self.p <= _MOST_PARALLEL
        sound = sound and 1 <= self.log2_n < min(25, 16 * self.r)  # RFC 7914, section 2: N < 2^(16 r)
        if not sound or 128 * self.r << self.log2_n > _MOST_MEMORY:
            raise FormatError(
                "the scrypt parameters are out of bounds: at most 256 MiB and p = 4 are accepted"
            )

    def to_bytes(self) -> bytes:
        """Return three bytes: log2 N, r, p."""
        return bytes([self.log2_n, self.r, self.p])

    @classmethod
    def from_bytes(cls, data: bytes) -> ScryptCost:
        """Parse three bytes, with the bounds checked before any memory is asked for."""
        log2_n, r, p = data
        return cls(log2_n, r, p)


class Passphrase(Secret):
    """A passphrase, as the only recipient of a sealed image or as the guard of a key file.

    It is stretched by scrypt with N = 2^17, r = 8, p = 1 (128 MiB, about a third of a second), which slows
    guessing but does not save a short one: use at least six random words.

    Parameters
    ----------
    text
        A non-empty `str` (encoded as UTF-8, not normalised) or bytes.

    Examples
    --------
    >>> Passphrase("correct horse battery staple")
    Passphrase(...)
    """

    __slots__ = ()

    def __init__(self, text: str | bytes) -> None:
        if not isinstance(text, str | bytes):
            raise TypeError(f"a passphrase must be str or bytes, not {type(text).__name__}")
        # Lone surrogates are looked for, not tried: a UnicodeEncodeError would carry the passphrase along.
        if isinstance(text, str) and any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ValueError("the passphrase is not valid Unicode")
        data = text.encode("utf-8") if isinstance(text, str) else text
        if not data:
            raise ValueError("a passphrase must not be empty")
        super().__init__(data)

    def __repr__(self) -> str:
        return "Passphrase(...)"  # not even a fingerprint: it could be searched for

    @property
    def fingerprint(self) -> bytes:
        """Refused: a fingerprint of a passphrase would let anyone test guesses cheaply."""
        raise TypeError("a passphrase has no fingerprint")

    def __hash__(self) -> int:
        return hash(bytes(self._buffer))

    def stretch(self, salt: bytes, cost: ScryptCost) -> bytes:
        """Return the 32-byte key for a salt: ``scrypt(passphrase, salt, N, r, p)``.

        Examples
        --------
        >>> len(Passphrase("example").stretch(bytes(16), ScryptCost(log2_n=10)))
        32
        """
        memory = 128 * cost.r * ((1 << cost.log2_n) + cost.p + 2)
        return hashlib.scrypt(
            bytes(self._buffer),
            salt=salt,
            n=1 << cost.log2_n,
            r=cost.r,
            p=cost.p,
            maxmem=memory,
            dklen=KEY_BYTES,
        )
