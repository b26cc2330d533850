"""What the challenge of a proof is hashed from, and the fields of a proof's bytes."""

import hashlib
from collections.abc import Iterable

from medcrypt.errors import InvalidKeyError

__all__ = ["Fields", "Transcript", "octets", "pack_bits", "unpack_bits"]


def octets(x: int, size: int) -> bytes:
    """Return a non-negative integer in `size` bytes, big-endian."""
    return x.to_bytes(size, "big")


class Transcript:
    """SHAKE-256 over labelled fields, each after its length: two different lists never give the same bytes.

    Parameters
    ----------
    domain
        Which proof, and which version of it.
    context
        The caller's bytes: who proves, to whom, in which session.

    Examples
    --------
    >>> a, b = Transcript(b"example", b""), Transcript(b"example", b"")
    >>> a.absorb(b"x", b"1", b"23")
    >>> b.absorb(b"x", b"12", b"3")
    >>> a.challenge(16) == b.challenge(16)
    False
    """

    def __init__(self, domain: bytes, context: bytes) -> None:
        self._xof = hashlib.shake_256()
        self.absorb(b"domain", domain)
        self.absorb(b"context", context)

    def absorb(self, label: bytes, *fields: bytes) -> None:
        """Add fields under a label: label, number of fields and every field, each after its 8-byte length."""
        for item in (label, octets(len(fields), 8), *fields):
            self._xof.update(octets(len(item), 8) + item)

    def challenge(self, size: int) -> bytes:
        """Return `size` bytes that depend on everything absorbed so far."""
        return self._xof.digest(size)

    def residues(self, n: int, count: int) -> list[int]:
        """Return `count` residues modulo n, each within 2^-128 of uniform, from one challenge."""
        size = -(-n.bit_length() // 8) + 16
        stream = self.challenge(count * size)
        return [int.from_bytes(stream[i * size : (i + 1) * size], "big") % n for i in range(count)]


class Fields:
    """Reads the fixed-width fields of a proof one after the other, and insists on the exact length.

    Parameters
    ----------
    data
        The bytes.

    Raises
    ------
    InvalidKeyError
        By every method, where the bytes do not have the field.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._view = memoryview(data).cast("B")
        self._at = 0

    def take(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        piece = bytes(self._view[self._at : self._at + size])
        if len(piece) != size:
            raise InvalidKeyError("the proof is too short")
        self._at += size
        return piece

    def expect(self, constant: bytes) -> None:
        """Read bytes that have only one value: magic, version, lengths."""
        if self.take(len(constant)) != constant:
            raise InvalidKeyError("not a proof of this kind, version and size")

    def integers(self, count: int, size: int, *, signed: bool = False) -> list[int]:
        """Read `count` integers of `size` bytes, big-endian, in two's complement if signed."""
        return [int.from_bytes(self.take(size), "big", signed=signed) for _ in range(count)]

    def end(self) -> None:
        """Refuse anything after the last field."""
        if self._at != len(self._view):
            raise InvalidKeyError("the proof is too long")


def pack_bits(bits: Iterable[int]) -> bytes:
    """Pack bits into bytes, the first bit being the most significant; their number is a multiple of 8."""
    digits = "".join(map(str, bits))
    return octets(int(digits, 2), len(digits) // 8)


def unpack_bits(data: bytes) -> list[int]:
    """Undo `pack_bits`."""
    return [byte >> shift & 1 for byte in data for shift in range(7, -1, -1)]
