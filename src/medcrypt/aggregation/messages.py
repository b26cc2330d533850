"""The signed envelope that every message of both back-ends travels in.

    magic "MCAG" | version 1 | type | plan hash 32 | round 8 | len(sender) 1 | sender | len(body) 8 | body | signature

The Ed25519 signature is over a domain string, everything before the body, and SHA-256(body). Where the plan
pins no parties there is no signature: the transport has to vouch for the sender.

`ProtocolError.party` is who signed the refused message. Where the signature itself is bad nobody did: then the
error names nobody, or else anybody could have an honest party blamed; its text quotes the claim.
"""

import hashlib
import struct
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum

from medcrypt.aggregation.plan import Plan, check_name
from medcrypt.errors import AuthenticationError, ProtocolError
from medcrypt.keys import Identity
from medcrypt.keys.identity import SIGNATURE_BYTES, check_signature

__all__ = ["Message", "MessageType", "Signer", "read_message"]

_MAGIC, _VERSION = b"MCAG", 1
_HEADER = struct.Struct(">4sBB32sQB")  # magic, version, type, plan hash, round, length of the sender's name
_DOMAIN = b"medcrypt/aggregation/message/v1\x00"
_LENGTH = struct.Struct(">Q")

Bytes = bytes | bytearray | memoryview


class MessageType(IntEnum):
    """What a message is; its number is on the wire."""

    UPLOAD = 1  # client to server, relayed to the holders: a client's encrypted integers
    REQUEST = 2  # server to a holder: all uploads that are to be added and opened
    OPENING = 3  # holder to server: a partial decryption, or the sum

    # Masks; in the order in which they come. C: client, S: server; C-C is relayed by the server.
    KEYS = 16  # C-S, C-C: a client's public keys
    ROSTER = 17  # S-C: the keys of a client's neighbours
    DELIVERY = 18  # C-C: shares for one neighbour
    SHARES = 19  # C-S: the shares for all neighbours
    PARTICIPANTS = 20  # S-C: who masks, and the shares for one client
    STATEMENT = 21  # C-C: whom a client masked with
    MASKED = 22  # C-S: masked integers, and the statement
    UPLOADERS = 23  # S-C: who uploaded, and the neighbours' statements
    CONFIRMATION = 24  # C-S, C-C: whom a client takes to be in the sum
    CONFIRMATIONS = 25  # S-C: those of the witnesses
    REVEAL = 26  # C-S: one share of a secret of every neighbour


@dataclass(frozen=True)
class Message:
    """A message whose signature, plan and type have been checked.

    Parameters
    ----------
    type
        What it is.
    sender
        Who signed it.
    body
        What it says; its own format is up to the protocol.
    digest
        SHA-256 of what was signed. Two messages that say the same have the same digest, whatever their signatures.
    """

    type: MessageType
    sender: str
    body: memoryview
    digest: bytes


class Signer:
    """One party of a plan, who writes messages.

    Parameters
    ----------
    plan
        The plan that every message is bound to.
    name
        The party's name.
    identity
        Its private key; required exactly where the plan pins the parties.

    Raises
    ------
    TypeError
        If the identity is missing, or not one.
    ValueError
        If the plan does not know the party, or pins another key for it.

    Examples
    --------
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)})
    >>> blob = Signer(plan, "Charite", None).write(MessageType.UPLOAD, b"hello")
    >>> message = read_message(plan, blob, {MessageType.UPLOAD})
    >>> message.sender, bytes(message.body)
    ('Charite', b'hello')
    """

    def __init__(self, plan: Plan, name: str, identity: Identity | None) -> None:
        self.plan = plan
        self.name = check_name(name, "a party's name")
        self._identity = identity
        if plan.parties is None:
            if identity is not None:
                raise ValueError("the plan pins no keys, so nobody signs")
            return
        if not isinstance(identity, Identity):
            raise TypeError("the plan pins the parties' keys: an Identity is needed to sign")
        if name not in plan.parties:
            raise ValueError(f"the plan does not know {name!r}")
        if identity.recipient.verifying_key != plan.verifying_key(name):
            raise ValueError(f"the plan pins another key for {name!r}")

    def write(self, kind: MessageType, body: Bytes) -> bytes:
        """Return a message as bytes, signed where the plan pins keys.

        Parameters
        ----------
        kind
            The type.
        body
            What it says.

        Returns
        -------
        bytes
            The envelope, as `docs/formats/aggregation.md` specifies.
        """
        header = _header(self.plan, kind, self.name, len(body))
        signature = b"" if self._identity is None else self._identity.sign(_signed(header, body))
        return b"".join([header, body, signature])

    def __repr__(self) -> str:
        return f"Signer(name={self.name!r})"


def read_message(plan: Plan, data: Bytes, kinds: Collection[MessageType]) -> Message:
    """Check a message's form, signature, plan, round and type, in this order.

    Parameters
    ----------
    plan
        The reader's plan.
    data
        What `Signer.write` made.
    kinds
        The types that may come here and now.

    Returns
    -------
    Message
        The message. Its body is not copied.

    Raises
    ------
    TypeError
        If `data` is not bytes.
    ProtocolError
        If anything is wrong. It names the signer if the signature holds.

    Examples
    --------
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)})
    >>> blob = Signer(plan, "Charite", None).write(MessageType.UPLOAD, b"")
    >>> read_message(plan.for_round(1), blob, {MessageType.UPLOAD})
    Traceback (most recent call last):
    medcrypt.errors.ProtocolError: Charite: the message belongs to another plan or round
    """
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"a message must be bytes, not {type(data).__name__}")
    view = memoryview(data).cast("B")
    number, digest, round_id, sender, body_at = _parse(view, signed=plan.parties is not None)
    tail = len(view) - (SIGNATURE_BYTES if plan.parties is not None else 0)
    body = view[body_at:tail]
    signed = _signed(view[:body_at], body)
    _authenticate(plan, sender, signed, bytes(view[tail:]))
    if digest != plan.digest or round_id != plan.round_id:
        raise ProtocolError("the message belongs to another plan or round", sender)
    if number not in kinds:
        raise ProtocolError(f"a message of type {number} was not expected here", sender)
    return Message(MessageType(number), sender, body, hashlib.sha256(signed).digest())


def _header(plan: Plan, kind: MessageType, sender: str, length: int) -> bytes:
    """Return everything before the body."""
    name = sender.encode()
    fixed = _HEADER.pack(_MAGIC, _VERSION, kind, plan.digest, plan.round_id, len(name))
    return fixed + name + _LENGTH.pack(length)


def _signed(header: Bytes, body: Bytes) -> bytes:
    """Return what the signature is over."""
    return b"".join([_DOMAIN, header, hashlib.sha256(body).digest()])


def _parse(view: memoryview, *, signed: bool) -> tuple[int, bytes, int, str, int]:
    """Read type, plan hash, round and sender; the last item is where the body begins."""
    if len(view) < _HEADER.size:
        raise ProtocolError("the message is too short for its header")
    magic, version, number, digest, round_id, name_length = _HEADER.unpack_from(view)
    if magic != _MAGIC or version != _VERSION:
        raise ProtocolError("not an aggregation message of version 1")
    name_end = _HEADER.size + name_length
    body_at = name_end + _LENGTH.size
    if len(view) < body_at:
        raise ProtocolError("the message is too short for its sender")
    sender = _sender(bytes(view[_HEADER.size : name_end]))
    (body_length,) = _LENGTH.unpack_from(view, name_end)
    if len(view) != body_at + body_length + (SIGNATURE_BYTES if signed else 0):
        raise ProtocolError(f"the length of a message that claims to come from {sender!r} is wrong")
    return number, digest, round_id, sender, body_at


def _sender(name: bytes) -> str:
    try:
        return check_name(name.decode(), "the sender's name")
    except ValueError:
        raise ProtocolError("the sender's name is not valid") from None


def _authenticate(plan: Plan, sender: str, signed: bytes, signature: bytes) -> None:
    """Check that the message is from who it says, as far as the plan can tell."""
    if plan.parties is None:
        return
    key = plan.verifying_key(sender)
    if key is None:
        raise ProtocolError(f"the plan does not know {sender!r}")
    try:
        check_signature(key, signed, signature)
    except AuthenticationError:
        raise ProtocolError(
            f"the signature of a message that claims to come from {sender!r} is wrong"
        ) from None
