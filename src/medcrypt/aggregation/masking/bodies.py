"""What the messages of the masking protocol say: their bodies as bytes. All integers are big-endian.

    KEYS            mask public key 32 | channel public key 32
    ROSTER          list of KEYS messages
    DELIVERY        receiver 4 | commitment to the seed share 32 | commitment to the key share 32
                    | AES-256-GCM(seed share 32 | key share 32) 80
    SHARES          commitment to the seed 32 | commitments to the dealer's own shares 64 | list of DELIVERY messages
    PARTICIPANTS    set of clients | list of DELIVERY messages
    STATEMENT       hash of the participants 32
    MASKED          list of one STATEMENT message | values
    UPLOADERS       set of clients | list of STATEMENT messages
    CONFIRMATION    hash of the participants 32 | hash of the uploaders 32
    CONFIRMATIONS   list of CONFIRMATION messages
    REVEAL          hash of the participants 32 | hash of the uploaders 32 | shares of 32 each

A list is its length (4) and every item after its length (4). A set is one bit for each client, client 0 being
the most significant bit of the first byte; unused bits are zero.
"""

import hashlib
import struct
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from medcrypt.aggregation.masking.agreement import KEY_BYTES
from medcrypt.aggregation.messages import Message
from medcrypt.aggregation.plan import Plan
from medcrypt.errors import ProtocolError

__all__ = ["Delivery", "Reader", "list_of", "set_digest", "set_of"]

HASH_BYTES = 32
SEALED_SHARES_BYTES = 2 * KEY_BYTES + 16
_LENGTH = struct.Struct(">I")
_SET_DOMAIN = b"medcrypt/aggregation/set/v1\x00"


def list_of(items: Sequence[bytes]) -> bytes:
    """Encode a list of byte strings."""
    return b"".join([_LENGTH.pack(len(items)), *(_LENGTH.pack(len(item)) + item for item in items)])


def set_of(plan: Plan, clients: Iterable[int]) -> bytes:
    """Encode a set of clients."""
    bits = np.zeros(plan.clients, bool)
    bits[list(clients)] = True
    return np.packbits(bits).tobytes()


def set_digest(plan: Plan, clients: Iterable[int]) -> bytes:
    """Return the hash that stands for a set of clients."""
    return hashlib.sha256(_SET_DOMAIN + plan.digest + set_of(plan, clients)).digest()


class Reader:
    """Reads the fields of a message's body one after the other.

    Parameters
    ----------
    plan
        The plan.
    message
        The message. Whatever is wrong with it is its sender's fault: the `ProtocolError` of every method names him.
    """

    def __init__(self, plan: Plan, message: Message) -> None:
        self.sender = message.sender
        self._plan = plan
        self._body = message.body
        self._at = 0

    def error(self, text: str) -> ProtocolError:
        """Return an error that names the sender."""
        return ProtocolError(text, self.sender)

    def take(self, size: int) -> bytes:
        """Return the next so many bytes."""
        piece = bytes(self._body[self._at : self._at + size])
        if len(piece) != size:
            raise self.error("the message is too short")
        self._at += size
        return piece

    def rest(self) -> memoryview:
        """Return all that is left, without a copy."""
        piece = self._body[self._at :]
        self._at = len(self._body)
        return piece

    def number(self) -> int:
        """Return an integer of 4 bytes."""
        return int.from_bytes(self.take(_LENGTH.size), "big")

    def items(self) -> list[bytes]:
        """Return a list of byte strings."""
        count = self.number()
        if count > self._plan.clients:
            raise self.error("a list is longer than there are clients")
        return [self.take(self.number()) for _ in range(count)]

    def clients(self) -> tuple[int, ...]:
        """Return a set of clients in ascending order."""
        bits = np.unpackbits(np.frombuffer(self.take(-(-self._plan.clients // 8)), np.uint8))
        if bits[self._plan.clients :].any():
            raise self.error("a set has members that the plan does not know")
        return tuple(np.flatnonzero(bits).tolist())

    def end(self) -> None:
        """Refuse anything after the last field."""
        if self._at != len(self._body):
            raise self.error("the message is too long")


@dataclass(frozen=True)
class Delivery:
    """A dealer's message to one of its neighbours.

    Parameters
    ----------
    receiver
        Number of the neighbour.
    commitments
        To the seed share and the key share inside.
    sealed
        The two shares under AES-256-GCM.
    """

    receiver: int
    commitments: tuple[bytes, bytes]
    sealed: bytes

    def head(self) -> bytes:
        """Return what is in the open; the cipher authenticates it too."""
        return _LENGTH.pack(self.receiver) + b"".join(self.commitments)

    def to_bytes(self) -> bytes:
        """Return the body."""
        return self.head() + self.sealed

    @classmethod
    def read(cls, reader: Reader) -> "Delivery":
        """Read a body to its end."""
        receiver, commitments = reader.number(), (reader.take(HASH_BYTES), reader.take(HASH_BYTES))
        delivery = cls(receiver, commitments, reader.take(SEALED_SHARES_BYTES))
        reader.end()
        return delivery


def members(plan: Plan, clients: Collection[int]) -> tuple[str, ...]:
    """Return the names of clients, in the plan's order."""
    return tuple(plan.client_names[client] for client in sorted(clients))
