"""What the bytes of a message are: who sends to whom in which round of which session, then integers.

All integers of a message are of one width and below one bound, both known to the receiver beforehand, and so is
their number: anything else is refused with the name of the sender.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from medcrypt.errors import ProtocolError
from medcrypt.paillier.threshold.public_key import party_name

__all__ = ["Envelope", "Round", "integers_of", "session_digest"]

_MAGIC, _VERSION = b"MCTG", 1
_HEADER = struct.Struct(">4sB32sIBB")  # magic, version, session, round, sender, recipient
_DOMAIN = b"medcrypt/paillier/threshold/generation/v1"


def session_digest(parties: int, threshold: int, bits: int, session: bytes) -> bytes:
    """Hash what all members must agree on."""
    return hashlib.sha256(_DOMAIN + struct.pack(">BBI", parties, threshold, bits) + session).digest()


@dataclass(frozen=True, repr=False)
class Round:
    """What one party sends in a round, and what it expects of each of the others.

    Parameters
    ----------
    outbox
        The integers for every other party, by its number.
    count
        How many integers each of the others sends.
    bound
        They are below it.
    """

    outbox: dict[int, Sequence[int]]
    count: int
    bound: int

    @property
    def width(self) -> int:
        """Bytes of an integer."""
        return -(-self.bound.bit_length() // 8)


@dataclass(frozen=True)
class Envelope:
    """The header of a message.

    Parameters
    ----------
    session
        Digest of the parameters and the session's name.
    number
        Number of the round, from 0.
    sender, recipient
        Parties, from 1.
    """

    session: bytes
    number: int
    sender: int
    recipient: int

    def seal(self, integers: Sequence[int], width: int) -> bytes:
        """Return the message."""
        header = _HEADER.pack(_MAGIC, _VERSION, self.session, self.number, self.sender, self.recipient)
        return header + b"".join([x.to_bytes(width, "big") for x in integers])

    @classmethod
    def open(cls, data: bytes, sender: int) -> "tuple[Envelope, bytes]":
        """Read the header of a message that came from `sender`; return it and the body."""
        if len(data) < _HEADER.size:
            raise ProtocolError("too short for a message", party_name(sender))
        magic, version, session, number, claimed, recipient = _HEADER.unpack_from(data)
        if magic != _MAGIC or version != _VERSION or claimed != sender:
            raise ProtocolError("not a message of this sender and version", party_name(sender))
        return cls(session, number, sender, recipient), data[_HEADER.size :]


def integers_of(body: bytes, expected: Round, sender: int) -> list[int]:
    """Read the integers of a message, exactly as many and as large as expected."""
    width = expected.width
    if len(body) != expected.count * width:
        raise ProtocolError("a message of another length was expected", party_name(sender))
    integers = [int.from_bytes(body[i : i + width], "big") for i in range(0, len(body), width)]
    if any(x >= expected.bound for x in integers):
        raise ProtocolError("an integer of a message is out of range", party_name(sender))
    return integers
