"""What travels in the homomorphic protocol: uploads, requests to open a set of them, and openings.

The server and every key holder read uploads with the same code, so that a holder accepts exactly what an honest
server would have accepted.

    upload    len(proof) 4 | proof | encrypted array (`docs/formats/paillier.md`)
    request   count 4 | count times: len 8 | the client's whole message
    opening   digest of the contributions 32 | kind 1 | partial decryption, or the integers
"""

import hashlib
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from medcrypt.aggregation.messages import Message, MessageType, read_message
from medcrypt.aggregation.plan import Plan, key_fingerprint
from medcrypt.errors import FormatError, InvalidCiphertextError, ProtocolError
from medcrypt.paillier import EncryptedArray, Packing, PublicKey, ThresholdPublicKey, add
from medcrypt.paillier.proofs import plaintexts

__all__ = [
    "Contributions",
    "Upload",
    "check_key",
    "packing_of",
    "proof_context",
    "read_request",
    "read_upload",
    "write_request",
    "write_upload_body",
]

_SET_DOMAIN = b"medcrypt/aggregation/contributions/v1\x00"
_PROOF_DOMAIN = b"medcrypt/aggregation/upload/v1\x00"
_AT_ONCE = 8  # uploads of a request that are in memory at a time, their proofs verified side by side
_COUNT, _LENGTH = struct.Struct(">I"), struct.Struct(">Q")


@dataclass(frozen=True)
class Upload:
    """A client's upload whose signature, form and ciphertexts have been checked.

    Parameters
    ----------
    sender
        The client.
    digest
        Digest of the signed message.
    message
        The whole message, to be passed on.
    """

    sender: str
    digest: bytes
    message: bytes | bytearray | memoryview


@dataclass(frozen=True)
class Contributions:
    """A set of uploads of different clients, in ascending order of their names, and their encrypted sum."""

    uploads: tuple[Upload, ...]
    total: EncryptedArray

    @property
    def names(self) -> tuple[str, ...]:
        """Who contributed."""
        return tuple(upload.sender for upload in self.uploads)

    @property
    def digest(self) -> bytes:
        """SHA-256 over who said what: what is opened, and recorded, once."""
        parts = [_SET_DOMAIN]
        for upload in self.uploads:
            parts += [_LENGTH.pack(len(upload.sender.encode())), upload.sender.encode(), upload.digest]
        return hashlib.sha256(b"".join(parts)).digest()


def check_key(plan: Plan, public: PublicKey) -> None:
    """Refuse a key that is not the plan's, or that is not shared among just its holders.

    Parameters
    ----------
    plan
        The plan.
    public
        The key that somebody is about to use under it.

    Raises
    ------
    TypeError
        If it is no public key.
    ValueError
        If the plan pins parties but no key, or another key; or does not name one holder for each share.

    Examples
    --------
    >>> from medcrypt import paillier
    >>> public, _ = paillier.generate_keypair(512, insecure=True)
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)}, key=bytes(32))
    >>> check_key(plan, public)
    Traceback (most recent call last):
    ValueError: the plan pins another encryption key
    """
    if not isinstance(public, PublicKey):
        raise TypeError(f"expected a PublicKey, not {type(public).__name__}")
    if plan.key is None:
        if plan.parties is not None:
            raise ValueError("the plan pins the parties, but no encryption key: Plan.key")
    elif plan.key != key_fingerprint(public):
        raise ValueError("the plan pins another encryption key")
    shares = public.parties if isinstance(public, ThresholdPublicKey) else 1
    if plan.holders and len(plan.holders) != shares:
        raise ValueError(f"the key has {shares} holders, the plan names {len(plan.holders)}")


def packing_of(plan: Plan) -> Packing:
    """Return how the integers of a plan are laid out in ciphertexts.

    A value of one client, weight and noise included, has bits + ceil(log2(max_weight)) + headroom bits; a slot is
    ceil(log2(clients)) bits wider and thus at least as wide as the plan's modulus: sums never carry.

    Parameters
    ----------
    plan
        The plan.

    Returns
    -------
    Packing
        With a term for every client.

    Examples
    --------
    >>> plan = Plan(clients=10, threshold=6, clip=8.0, bits=16, shapes={"w": (100,)})
    >>> packing_of(plan).slot_bits, plan.modulus_bits
    (20, 20)
    """
    return Packing(plan.clip, plan.bits, plan.clients, headroom=plan.value_bits - plan.bits)


def proof_context(plan: Plan, sender: str) -> bytes:
    """Return what the proof in an upload is bound to: plan, round and sender."""
    return b"".join([_PROOF_DOMAIN, plan.digest, plan.round_id.to_bytes(8, "big"), sender.encode()])


def write_upload_body(array: EncryptedArray, proof: bytes) -> bytes:
    """Return the body of an upload."""
    return _COUNT.pack(len(proof)) + proof + array.to_bytes()


def read_upload(
    plan: Plan, public: PublicKey, data: bytes | bytearray | memoryview
) -> tuple[Upload, EncryptedArray]:
    """Check everything about an upload that can be checked without the secret key.

    Parameters
    ----------
    plan
        The reader's plan.
    public
        The key that it must be encrypted under.
    data
        The whole message.

    Returns
    -------
    Upload
        The upload.
    EncryptedArray
        What is in it.

    Raises
    ------
    ProtocolError
        If anything is wrong; it names the signer if the signature holds.
    """
    upload, array, proof = _read_without_proof(plan, public, data)
    _check_proofs(plan, public, [(upload, array, proof)])
    return upload, array


def _read_without_proof(
    plan: Plan, public: PublicKey, data: bytes | bytearray | memoryview
) -> tuple[Upload, EncryptedArray, bytes]:
    """Check everything but the proof, which is returned beside the upload."""
    message = read_message(plan, data, {MessageType.UPLOAD})
    if plan.parties is not None and message.sender not in plan.client_names:
        raise ProtocolError("only clients upload", message.sender)
    try:
        array, proof = _read_body(plan, public, message.body)
    except (FormatError, InvalidCiphertextError) as error:
        raise ProtocolError(str(error), message.sender) from error
    return Upload(message.sender, message.digest, data), array, proof


def _read_body(plan: Plan, public: PublicKey, body: memoryview) -> tuple[EncryptedArray, bytes]:
    """Read the array, and the proof where the plan wants one."""
    if len(body) < _COUNT.size:
        raise FormatError("the upload is too short")
    (length,) = _COUNT.unpack_from(body)
    if length and not plan.proofs:
        raise FormatError("the upload carries a proof that the plan does not ask for")
    proof, rest = body[_COUNT.size : _COUNT.size + length], body[_COUNT.size + length :]
    array = EncryptedArray.from_bytes(rest, public, context=plan.digest)
    if array.packing != packing_of(plan) or array.shape != (plan.dimension,):
        raise FormatError("the upload does not have the planned form")
    if array.terms != 1:
        raise FormatError("the upload is not one client's contribution")
    return array, bytes(proof)


def _check_proofs(
    plan: Plan, public: PublicKey, read: Sequence[tuple[Upload, EncryptedArray, bytes]]
) -> None:
    """Verify the proofs of many uploads at once, if the plan wants any."""
    if not plan.proofs:
        return
    claims = [(array.residues, proof, proof_context(plan, upload.sender)) for upload, array, proof in read]
    for (upload, _, _), fault in zip(read, plaintexts.faults(public.group, claims), strict=True):
        if fault is not None:
            raise ProtocolError(str(fault), upload.sender) from fault


def write_request(uploads: Sequence[Upload]) -> bytes:
    """Return the body of a request, from uploads in ascending order of their senders."""
    parts: list[bytes | bytearray | memoryview] = [_COUNT.pack(len(uploads))]
    for upload in uploads:
        parts += [_LENGTH.pack(len(upload.message)), upload.message]
    return b"".join(parts)


def read_request(plan: Plan, public: PublicKey, message: Message) -> Contributions:
    """Check a request and every upload in it.

    Parameters
    ----------
    plan
        The reader's plan.
    public
        The key.
    message
        The request, its own signature checked.

    Returns
    -------
    Contributions
        The uploads.

    Raises
    ------
    ProtocolError
        Naming the server if it is malformed, holds an upload that is not authentic, or names a client twice or
        fewer than `plan.threshold`; naming the client who signed an upload that breaks the plan.
    """
    server, uploads, total = message.sender, list[Upload](), None
    messages = _split(message.body, server, plan.clients)
    for start in range(0, len(messages), _AT_ONCE):
        read = [_read_relayed(plan, public, data, server) for data in messages[start : start + _AT_ONCE]]
        _check_proofs(plan, public, read)
        uploads += [upload for upload, _, _ in read]
        arrays = [array for _, array, _ in read]
        total = add(arrays if total is None else [total, *arrays])
    keys = [upload.sender.encode() for upload in uploads]
    if any(first >= second for first, second in itertools.pairwise(keys)):
        raise ProtocolError("its request does not name different clients in ascending order", server)
    if total is None or len(uploads) < plan.threshold:
        raise ProtocolError(
            f"it asks to open {len(uploads)} contributions, the plan's threshold is {plan.threshold}", server
        )
    return Contributions(tuple(uploads), total)


def _read_relayed(
    plan: Plan, public: PublicKey, data: memoryview, server: str
) -> tuple[Upload, EncryptedArray, bytes]:
    """Read an upload in a request. One that nobody signed is the doing of the server, which passed it on."""
    try:
        return _read_without_proof(plan, public, data)
    except ProtocolError as error:
        raise error if error.party else ProtocolError(f"its request: {error}", server) from error


def _split(body: memoryview, server: str, most: int) -> list[memoryview]:
    """Cut the body of a request into messages."""
    malformed = ProtocolError("its request is malformed", server)
    if len(body) < _COUNT.size:
        raise malformed
    (count,), at = _COUNT.unpack_from(body), _COUNT.size
    if count > most:
        raise malformed
    messages = []
    for _ in range(count):
        if len(body) - at < _LENGTH.size:
            raise malformed
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        if len(body) - at < length:
            raise malformed
        messages.append(body[at : at + length])
        at += length
    if at != len(body):
        raise malformed
    return messages
