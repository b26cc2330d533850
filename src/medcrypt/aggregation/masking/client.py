"""A client of the masking protocol: one update, five messages, and what it refuses in between."""

import functools
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn, SupportsIndex

from medcrypt._ext.aes import AesGcm
from medcrypt.aggregation.graph import Graph
from medcrypt.aggregation.ledger import Ledger
from medcrypt.aggregation.masking.agreement import (
    KEY_BYTES,
    Agreed,
    KeyPair,
    channel_key,
    check_public,
    commitment,
    pair_mask_key,
    self_mask_key,
)
from medcrypt.aggregation.masking.bodies import HASH_BYTES, Delivery, Reader, list_of, set_digest
from medcrypt.aggregation.masks import Words, apply_masks, pack, words_of
from medcrypt.aggregation.messages import MessageType, Signer, read_message
from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.quantisation import Update, quantise
from medcrypt.aggregation.shamir import split
from medcrypt.errors import AuthenticationError, InvalidKeyError, ProtocolError
from medcrypt.keys import Identity

__all__ = ["MaskingClient"]

_NONCE = bytes(12)  # a channel key encrypts one message
Shares = bytearray  # seed share | key share


@functools.lru_cache(maxsize=8)
def graph_of(plan: Plan) -> Graph:
    """Return the graph of a plan; parties in one process share it.

    A plan for the homomorphic back-end is refused: the one would open a sum that the other has opened already.
    """
    if plan.key is not None or plan.holders:
        raise ValueError("the plan is for the homomorphic back-end: masks need neither key nor holders")
    if plan.parties is None or plan.server not in plan.parties:
        raise ValueError("masks need pinned keys of all clients and of the server: Plan.parties")
    return Graph(plan)


class MaskingClient:
    """A client: hides one update under masks that cancel in the sum of all (Bonawitz et al. 2017; Bell et al. 2020).

    The methods are called once each, in this order, each with the server's answer to the message before:

    `advertise` -> `share` -> `upload` -> `confirm` -> `reveal`

    A message that is not what it should be is refused with a `ProtocolError`. If the server signed it, the client also
    leaves the round and wipes its secrets: it cannot be brought to answer a second version.

    Secrets are kept in buffers that are wiped after `reveal`, on leaving, and when the client is collected. Keys
    derived from them pass through Python bytes, which nobody can wipe.

    A client takes part in a round once. Two runs of one plan with the same update and different dropouts would
    tell their difference apart: start another round with `Plan.for_round`.

    Parameters
    ----------
    plan
        The plan; it pins the keys of all clients and of the server.
    name
        The client's name in the plan.
    identity
        Its private key.
    ledger
        Remembers durably that the client takes part in this round. Without one a program that is started again has to
        see to that.

    Raises
    ------
    TypeError
        If the identity is missing.
    ValueError
        If the plan pins no keys, does not know the client, or pins another key for it; or has an encryption key or
        key holders.

    Examples
    --------
    >>> from medcrypt.aggregation import MaskingServer
    >>> identities = {name: Identity.generate() for name in ("Berlin", "Jena", "server")}
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=16, shapes={"w": (2,)},
    ...             parties={name: identity.recipient for name, identity in identities.items()})
    >>> server = MaskingServer(plan, identities["server"])
    >>> clients = [MaskingClient(plan, name, identities[name]) for name in ("Berlin", "Jena")]
    >>> messages = [client.advertise() for client in clients]
    >>> updates = {"Berlin": {"w": [0.5, 0.0]}, "Jena": {"w": [0.25, -1.0]}}
    >>> for step in ("share", "upload", "confirm", "reveal"):
    ...     for message in messages:
    ...         server.receive(message)
    ...     answers = server.close()
    ...     arguments = {name: (updates[name],) if step == "upload" else () for name in updates}
    ...     messages = [getattr(c, step)(answers[c.name], *arguments[c.name]) for c in clients]
    >>> for message in messages:
    ...     server.receive(message)
    >>> server.total().sums()["w"].round(3)
    array([ 0.75, -1.  ])
    """

    def __init__(self, plan: Plan, name: str, identity: Identity, ledger: Ledger | None = None) -> None:
        self._graph = graph_of(plan)
        self._signer = Signer(plan, name, identity)
        number = self._graph.number(name)
        if number is None:
            raise ValueError(f"{name!r} is not a client of the plan")
        self.plan = plan
        self.name = name
        self._number = number
        self._neighbours = frozenset(self._graph.neighbours(number))
        self._ledger = ledger
        self._next = "advertise"
        self._mask_pair: KeyPair | None = None
        self._channel_pair: KeyPair | None = None
        self._seed = bytearray()
        self._publics: dict[int, tuple[bytes, bytes]] = {}  # of the neighbours: for masks, for channels
        self._channels: dict[int, Agreed] = {}
        self._shares: dict[int, Shares] = {}  # by dealer
        self._participants: frozenset[int] = frozenset()
        self._uploaders: frozenset[int] = frozenset()

    def advertise(self) -> bytes:
        """Draw the secrets of this round.

        Returns
        -------
        bytes
            The public keys, for the server.

        Raises
        ------
        ProtocolError
            If it was called before, or the ledger knows the round.
        """
        self._expect("advertise")
        self._mask_pair, self._channel_pair = KeyPair(), KeyPair()
        self._seed = bytearray(os.urandom(KEY_BYTES))
        publics = self._mask_pair.public + self._channel_pair.public
        if self._ledger is not None:
            self._claim(self._ledger, publics)
        self._next = "share"
        return self._signer.write(MessageType.KEYS, publics)

    def share(self, roster: bytes) -> bytes:
        """Share the secrets among the neighbours, each share encrypted for its holder.

        Parameters
        ----------
        roster
            The server's answer to `advertise`: the neighbours' keys.

        Returns
        -------
        bytes
            The shares, for the server to pass on.

        Raises
        ------
        ProtocolError
            If the message is not the expected one, or there are too few neighbours or wrong keys in it.
        """
        reader = self._read(roster, "share", MessageType.ROSTER)
        with self._leaving_if_wrong():
            for item in reader.items():
                self._meet(item, reader)
            reader.end()
            if len(self._publics) + 1 < self._graph.sizes.shares:
                raise reader.error("too few neighbours are there to share with")
            message = self._deal()
        self._next = "upload"
        return message

    def upload(
        self,
        participants: bytes,
        update: Update,
        weight: SupportsIndex | None = None,
        *,
        saturate: bool = False,
    ) -> bytes:
        """Mask an update.

        Parameters
        ----------
        participants
            The server's answer to `share`: who takes part, and the neighbours' shares.
        update, weight, saturate
            As `aggregation.quantise` takes them.

        Returns
        -------
        bytes
            The masked integers, for the server.

        Raises
        ------
        TypeError, ValueError
            If the update or weight is not as planned; the call may be repeated with a better one.
        ProtocolError
            If the message is not the expected one, participants are too few or shares are wrong.
        """
        reader = self._read(participants, "upload", MessageType.PARTICIPANTS)
        contribution = quantise(self.plan, update, weight, saturate=saturate)
        with self._leaving_if_wrong():
            self._participants = self._crowd(reader)
            deliveries = reader.items()
            reader.end()
            for delivery in deliveries:
                self._accept(delivery, reader)
            if self._shares.keys() != self._present(self._participants) | {self._number}:
                raise reader.error("the shares are not those of the participating neighbours")
            if len(self._shares) < self._graph.sizes.shares:
                raise reader.error("too few neighbours take part")
        words = words_of(contribution, self.plan.modulus_bits)
        contribution.fill(0)
        self._apply_masks(words)
        statement = self._signer.write(MessageType.STATEMENT, self._agreed_digests()[0])
        self._next = "confirm"
        return self._signer.write(
            MessageType.MASKED, list_of([statement]) + pack(words, self.plan.modulus_bits)
        )

    def confirm(self, uploaders: bytes) -> bytes:
        """Say in writing whom this client takes to be in the sum.

        Parameters
        ----------
        uploaders
            The server's answer to `upload`: who is in the sum, and whom the neighbours masked with.

        Returns
        -------
        bytes
            The confirmation, for the server to pass on.

        Raises
        ------
        ProtocolError
            If the message is not the expected one, contributors are too few, this client is not among
            them, or a neighbour masked with others than this client did.
        """
        reader = self._read(uploaders, "confirm", MessageType.UPLOADERS)
        with self._leaving_if_wrong():
            self._uploaders = self._crowd(reader)
            if not self._uploaders <= self._participants:
                raise reader.error("a client that did not participate cannot have uploaded")
            own, _ = self._agreed_digests()
            agreeing = {self._stated(item, own, reader) for item in reader.items()}
            reader.end()
            if agreeing != self._present(self._uploaders):
                raise reader.error("the statements are not those of the neighbours in the sum")
        self._next = "reveal"
        return self._signer.write(MessageType.CONFIRMATION, b"".join(self._agreed_digests()))

    def reveal(self, confirmations: bytes) -> bytes:
        """Give away, for each neighbour, a share of its seed if it is in the sum and of its mask key if it is not.

        Never both; and nothing unless a quorum of the witnesses signed the same sets as this client.

        Parameters
        ----------
        confirmations
            The server's answer to `confirm`: the witnesses' signatures.

        Returns
        -------
        bytes
            The shares, for the server. This client's secrets are wiped.

        Raises
        ------
        ProtocolError
            If the message is not the expected one, or signatures are too few or contradict each other.
        """
        reader = self._read(confirmations, "reveal", MessageType.CONFIRMATIONS)
        with self._leaving_if_wrong():
            own = b"".join(self._agreed_digests())
            witnesses = {self._confirmed(item, own, reader) for item in reader.items()}
            reader.end()
            if len(witnesses) < self._graph.sizes.quorum:
                raise reader.error("too few witnesses confirmed who is in the sum")
        opened = [
            shares[:KEY_BYTES] if dealer in self._uploaders else shares[KEY_BYTES:]
            for dealer, shares in sorted(self._shares.items())
        ]
        message = self._signer.write(MessageType.REVEAL, b"".join([own, *opened]))
        self._leave("done")
        return message

    # ---- order and refusals -------------------------------------------------------------------------

    def _claim(self, ledger: Ledger, publics: bytes) -> None:
        """Record the keys of this run: those of any other run of the same round are different."""
        try:
            ledger.claim(self.plan.digest, hashlib.sha256(publics).digest())
        except ProtocolError:
            self._leave("left")
            raise ProtocolError("this client has taken part in the round before", self.name) from None

    def _expect(self, step: str) -> None:
        if self._next != step:
            raise ProtocolError(f"{step} comes out of order: this client is at {self._next!r}", self.name)

    def _read(self, data: bytes, step: str, kind: MessageType) -> Reader:
        """Check that a message is the server's and comes in its turn; if not, nothing has happened."""
        message = read_message(self.plan, data, {kind})
        if message.sender != self.plan.server:
            raise ProtocolError("only the server sends such messages", message.sender)
        if self._next != step:
            text = f"the message for {step} comes out of order: this client is at {self._next!r}"
            raise ProtocolError(text, message.sender)
        return Reader(self.plan, message)

    def _relayed(self, data: bytes, kind: MessageType, relay: Reader) -> tuple[Reader, int]:
        """Read another client's message that the server passes on. Its form and signature are the server's affair."""
        try:
            message = read_message(self.plan, data, {kind})
        except ProtocolError as error:
            raise relay.error(f"the server passed on a bad message ({error})") from None
        number = self._graph.number(message.sender)
        if number is None:
            raise relay.error("the server passed on a message that no client wrote")
        return Reader(self.plan, message), number

    @contextmanager
    def _leaving_if_wrong(self) -> Iterator[None]:
        """Leave the round for good if what the server signed turns out to be wrong."""
        try:
            yield
        except ProtocolError:
            self._leave("left")
            raise

    def _leave(self, state: str) -> None:
        """Wipe all secrets."""
        self._next = state
        for pair in (self._mask_pair, self._channel_pair):
            if pair is not None:
                pair.wipe()
        for secret in (self._seed, *self._shares.values()):
            secret[:] = bytes(len(secret))
        self._mask_pair = self._channel_pair = None
        self._channels.clear()
        self._shares.clear()

    def __del__(self) -> None:
        if hasattr(self, "_shares"):
            self._leave("done")

    def __repr__(self) -> str:
        return f"MaskingClient(name={self.name!r}, next={self._next!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a MaskingClient holds secrets: it is neither pickled nor copied")

    # ---- the steps ----------------------------------------------------------------------------------

    def _present(self, clients: frozenset[int]) -> frozenset[int]:
        """Return the neighbours that are in a set."""
        return self._neighbours & clients

    def _crowd(self, reader: Reader) -> frozenset[int]:
        """Read a set of clients that has to be large enough and to have this one in it."""
        clients = frozenset(reader.clients())
        if len(clients) < self.plan.threshold:
            raise reader.error(
                f"{len(clients)} clients are fewer than the threshold of {self.plan.threshold}"
            )
        if self._number not in clients:
            raise reader.error(f"the server left out {self.name!r}, which is here")
        return clients

    def _agreed_digests(self) -> tuple[bytes, bytes]:
        return set_digest(self.plan, self._participants), set_digest(self.plan, self._uploaders)

    def _meet(self, item: bytes, relay: Reader) -> None:
        """Take in a neighbour's keys."""
        reader, other = self._relayed(item, MessageType.KEYS, relay)
        mask_public, channel_public = reader.take(KEY_BYTES), reader.take(KEY_BYTES)
        reader.end()
        if other in self._publics or other not in self._neighbours:
            raise relay.error(f"the keys of {reader.sender!r} come twice or to the wrong client")
        try:
            check_public(mask_public)
            self._channels[other] = self._pair(self._channel_pair).agree(
                self.plan.digest, self._number, channel_public, other
            )
        except InvalidKeyError:
            raise reader.error("a public key is not usable") from None
        self._publics[other] = mask_public, channel_public

    def _deal(self) -> bytes:
        """Share seed and mask key among the neighbours that are there and this client itself."""
        holders = self._graph.holders(self._number)
        present = [holder for holder in holders if holder in self._publics or holder == self._number]
        points = [holders.index(holder) + 1 for holder in present]
        secret = self._seed + self._pair(self._mask_pair).private
        dealt = split(secret, points, self._graph.sizes.shares, os.urandom)
        secret[:] = bytes(len(secret))
        deliveries, own = [], b""
        for holder, shares in zip(present, dealt, strict=True):
            commitments = self._commitments(self._number, holder, shares)
            if holder == self._number:
                own, self._shares[holder] = b"".join(commitments), bytearray(shares)
            else:
                deliveries.append(self._seal(holder, commitments, shares))
        to_seed = commitment(self.plan.digest, b"seed", self._number, self._number, self._seed)
        return self._signer.write(MessageType.SHARES, to_seed + own + list_of(deliveries))

    def _commitments(self, dealer: int, holder: int, shares: bytes) -> tuple[bytes, bytes]:
        digest = self.plan.digest
        return (
            commitment(digest, b"seed share", dealer, holder, shares[:KEY_BYTES]),
            commitment(digest, b"key share", dealer, holder, shares[KEY_BYTES:]),
        )

    def _seal(self, receiver: int, commitments: tuple[bytes, bytes], shares: bytes) -> bytes:
        """Encrypt two shares for a neighbour."""
        head = Delivery(receiver, commitments, b"").head()
        key = channel_key(self._channels[receiver], self._number, receiver)
        sealed = AesGcm(key).encrypt(_NONCE, shares, head)
        return self._signer.write(MessageType.DELIVERY, head + sealed)

    def _accept(self, item: bytes, relay: Reader) -> None:
        """Decrypt a neighbour's shares and compare them with its commitments."""
        reader, dealer = self._relayed(item, MessageType.DELIVERY, relay)
        delivery = Delivery.read(reader)
        if delivery.receiver != self._number or dealer not in self._channels or dealer in self._shares:
            raise relay.error(f"the shares of {reader.sender!r} come twice or to the wrong client")
        key = channel_key(self._channels[dealer], dealer, self._number)
        try:
            shares = AesGcm(key).decrypt(_NONCE, delivery.sealed, delivery.head())
        except AuthenticationError:
            raise reader.error("its shares do not decrypt") from None
        if self._commitments(dealer, self._number, shares) != delivery.commitments:
            raise reader.error("its shares are not those that it committed to")
        self._shares[dealer] = bytearray(shares)

    def _apply_masks(self, words: Words) -> None:
        """Add the mask of the seed and those shared with neighbours: the smaller number adds, the larger subtracts."""
        digest, own = self.plan.digest, self._number
        keys = {
            other: pair_mask_key(
                self._pair(self._mask_pair).agree(digest, own, self._publics[other][0], other), own, other
            )
            for other in self._shares
            if other != own
        }
        adding = [
            self_mask_key(digest, own, self._seed),
            *(key for other, key in keys.items() if own < other),
        ]
        apply_masks(words, adding, [key for other, key in keys.items() if own > other])

    def _stated(self, item: bytes, expected: bytes, relay: Reader) -> int:
        """Check that a neighbour masked with the same participants."""
        reader, other = self._relayed(item, MessageType.STATEMENT, relay)
        digest = reader.take(HASH_BYTES)
        reader.end()
        if digest != expected:
            raise relay.error(f"{reader.sender!r} masked with other participants than {self.name!r}")
        return other

    def _confirmed(self, item: bytes, expected: bytes, relay: Reader) -> int:
        """Check that a witness confirmed the same sets."""
        reader, other = self._relayed(item, MessageType.CONFIRMATION, relay)
        digests = reader.take(2 * HASH_BYTES)
        reader.end()
        if other not in self._graph.witnesses:
            raise relay.error(f"{reader.sender!r} is not a witness")
        if digests != expected:
            raise relay.error(f"{reader.sender!r} confirmed other sets than {self.name!r}")
        return other

    @staticmethod
    def _pair(pair: KeyPair | None) -> KeyPair:
        if pair is None:
            raise RuntimeError("the keys of this round have been wiped")
        return pair
