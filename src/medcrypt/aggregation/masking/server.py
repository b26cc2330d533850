"""The server of the masking protocol: passes messages on, adds masked vectors, takes the masks off the sum."""

from collections.abc import Callable, Collection

import numpy as np

from medcrypt.aggregation.masking.agreement import (
    KEY_BYTES,
    KeyPair,
    check_public,
    commitment,
    pair_mask_key,
    self_mask_key,
)
from medcrypt.aggregation.masking.bodies import (
    HASH_BYTES,
    Delivery,
    Reader,
    list_of,
    members,
    set_digest,
    set_of,
)
from medcrypt.aggregation.masking.client import graph_of
from medcrypt.aggregation.masks import Words, apply_masks, unpack, words_of
from medcrypt.aggregation.messages import MessageType, Signer, read_message
from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.quantisation import Aggregate, reduce
from medcrypt.aggregation.shamir import combine
from medcrypt.errors import InvalidKeyError, ProtocolError
from medcrypt.keys import Identity

__all__ = ["MaskingServer"]

# What is collected in each round, in this order.
_ROUNDS = (
    MessageType.KEYS,
    MessageType.SHARES,
    MessageType.MASKED,
    MessageType.CONFIRMATION,
    MessageType.REVEAL,
)


class MaskingServer:
    """The server: learns the sum of the clients that upload, and who they are; nothing else.

    Five times it collects messages (`receive`); after each of the first four it is told to go on without whoever has
    not answered (`close`) and hands out the answers. `total` ends the round.

    A message that is wrong in anything, comes twice or in the wrong round is refused with a `ProtocolError` that names
    who signed it, and changes nothing: its sender has dropped out unless it sends a better one in time.

    Parameters
    ----------
    plan
        The plan; it pins the keys of all clients and of the server.
    identity
        The server's private key.

    Raises
    ------
    TypeError
        If the identity is missing.
    ValueError
        If the plan pins no keys, or another one for the server; or has an encryption key or key holders.

    Examples
    --------
    See `MaskingClient`.
    """

    def __init__(self, plan: Plan, identity: Identity) -> None:
        self._graph = graph_of(plan)
        self._signer = Signer(plan, plan.server, identity)
        self.plan = plan
        self._round = 0
        self._received: dict[int, bytes] = {}  # this round's messages, to be passed on as they came
        self._publics: dict[int, bytes] = {}  # for masks
        self._present = frozenset(range(plan.clients))  # who may send in this round
        self._participants: frozenset[int] = frozenset()
        self._uploaders: frozenset[int] = frozenset()
        self._set_hashes = b""  # of the participants and, once they are known, the uploaders
        self._inboxes: dict[int, list[bytes]] = {}
        self._seed_commitments: dict[int, bytes] = {}
        self._commitments: dict[tuple[int, int], tuple[bytes, bytes]] = {}  # by dealer and holder
        self._masked_sum: Words = words_of(np.zeros(plan.dimension, np.int64), plan.modulus_bits)
        self._revealed: dict[int, dict[int, bytes]] = {}  # by dealer and holder: one share
        self._aggregate: Aggregate | None = None

    @property
    def collecting(self) -> MessageType:
        """The type of message that this round collects."""
        return _ROUNDS[self._round]

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """Names of the clients that may still send something in this round, in ascending order."""
        return members(self.plan, self._present - self._received.keys())

    @property
    def contributors(self) -> tuple[str, ...]:
        """Names of the clients whose masked integers have come, in ascending order."""
        present = self._received if self.collecting is MessageType.MASKED else self._uploaders
        return members(self.plan, list(present))

    def receive(self, message: bytes) -> None:
        """Take a client's message of this round.

        Parameters
        ----------
        message
            What a method of `MaskingClient` returned.

        Raises
        ------
        ProtocolError
            If it is refused; names its signer.
        """
        kind = self.collecting
        checked = read_message(self.plan, message, {kind})
        reader, number = Reader(self.plan, checked), self._graph.number(checked.sender)
        if number is None:
            raise reader.error("only clients send such messages")
        if self._aggregate is not None or number not in self._present:
            raise reader.error("this client is not, or no longer, in this round")
        if number in self._received:
            raise reader.error("this message was sent before")
        takers: dict[MessageType, Callable[[Reader, int], None]] = {
            MessageType.KEYS: self._take_keys,
            MessageType.SHARES: self._take_shares,
            MessageType.MASKED: self._take_masked,
            MessageType.CONFIRMATION: self._take_confirmation,
            MessageType.REVEAL: self._take_reveal,
        }
        takers[kind](reader, number)
        self._received.setdefault(number, bytes(message))

    def close(self) -> dict[str, bytes]:
        """End a round, the last one excepted: whoever has not answered has dropped out.

        Returns
        -------
        dict of bytes
            The answer for each client that is still there, by name.

        Raises
        ------
        ProtocolError
            If too few clients have answered; the round stays open.
        """
        kind = self.collecting
        if kind is MessageType.REVEAL:
            raise ProtocolError("the last round ends with total()", self.plan.server)
        answered = frozenset(self._received)
        self._demand(answered, kind)
        answer = {
            MessageType.KEYS: self._roster,
            MessageType.SHARES: self._participation,
            MessageType.MASKED: self._uploads,
            MessageType.CONFIRMATION: self._confirmations,
        }[kind]
        if kind is MessageType.SHARES:
            self._participants = answered
        if kind is MessageType.MASKED:
            self._uploaders = answered
        if kind in {MessageType.SHARES, MessageType.MASKED}:
            self._set_hashes += set_digest(self.plan, answered)
        # A witness signs and may then vanish; whoever uploaded may still reveal.
        self._present = self._uploaders if kind is MessageType.CONFIRMATION else answered
        answers = answer(self._received)
        self._round += 1
        self._received = {}
        self._inboxes.clear()
        return dict(
            zip(members(self.plan, list(answers)), (answers[n] for n in sorted(answers)), strict=True)
        )

    def total(self) -> Aggregate:
        """Take the masks off.

        Returns
        -------
        Aggregate
            The sum of the uploaders' integers: those of `aggregation.add_integers`.

        Raises
        ------
        ProtocolError
            If it is not yet time, shares are missing (more may be received), or a client shared something
            else than its secrets, which it is named for.
        """
        if self._aggregate is None:
            if self.collecting is not MessageType.REVEAL:
                raise ProtocolError("the sum is still masked: rounds are missing", self.plan.server)
            uploaded, lost = sorted(self._uploaders), sorted(self._participants - self._uploaders)
            secrets = self._combined([*uploaded, *lost])
            subtracting = self._self_masks(uploaded, secrets)
            adding: list[bytes] = []
            for client in lost:
                self._pair_masks(client, secrets[client], adding, subtracting)
            words = self._masked_sum.copy()
            apply_masks(words, adding, subtracting)
            integers = reduce(self.plan, words.astype(np.int64))
            self._aggregate = Aggregate(self.plan, integers, members(self.plan, uploaded))
        return self._aggregate

    def __repr__(self) -> str:
        return f"MaskingServer(collecting={self.collecting.name}, received={len(self._received)})"

    # ---- collecting ---------------------------------------------------------------------------------

    def _demand(self, answered: frozenset[int], kind: MessageType) -> None:
        """Refuse to go on with too few clients."""
        signed = answered.intersection(self._graph.witnesses)
        if kind is MessageType.CONFIRMATION:
            if len(signed) < self._graph.sizes.quorum:
                raise ProtocolError(
                    f"{len(signed)} witnesses have signed, {self._graph.sizes.quorum} are needed"
                )
        elif len(answered) < self.plan.threshold:
            raise ProtocolError(f"{len(answered)} clients are left, {self.plan.threshold} are needed")

    def _take_keys(self, reader: Reader, number: int) -> None:
        publics = reader.take(KEY_BYTES), reader.take(KEY_BYTES)
        reader.end()
        try:
            for public in publics:
                check_public(public)
        except InvalidKeyError:
            raise reader.error("a public key is not usable") from None
        self._publics[number] = publics[0]

    def _take_shares(self, reader: Reader, number: int) -> None:
        to_seed, own = reader.take(HASH_BYTES), (reader.take(HASH_BYTES), reader.take(HASH_BYTES))
        items = reader.items()
        reader.end()
        deliveries = [self._delivery(item, reader) for item in items]
        if [delivery.receiver for delivery in deliveries] != self._neighbours(number, self._present):
            raise reader.error("the shares are not for the neighbours that are there")
        self._seed_commitments[number] = to_seed
        self._commitments[number, number] = own
        for delivery, item in zip(deliveries, items, strict=True):
            self._commitments[number, delivery.receiver] = delivery.commitments
            self._inboxes.setdefault(delivery.receiver, []).append(item)

    def _delivery(self, item: bytes, dealer: Reader) -> Delivery:
        """Check the signature of what a dealer wants passed on, so that nobody blames the server for it."""
        try:
            message = read_message(self.plan, item, {MessageType.DELIVERY})
        except ProtocolError as error:
            raise dealer.error(f"a bad message for a neighbour ({error})") from None
        if message.sender != dealer.sender:
            raise dealer.error("it passes on another client's message")
        return Delivery.read(Reader(self.plan, message))

    def _take_masked(self, reader: Reader, number: int) -> None:
        items = reader.items()
        if len(items) != 1:
            raise reader.error("exactly one statement belongs to an upload")
        try:
            message = read_message(self.plan, items[0], {MessageType.STATEMENT})
        except ProtocolError as error:
            raise reader.error(f"a bad statement ({error})") from None
        if message.sender != reader.sender or bytes(message.body) != set_digest(
            self.plan, self._participants
        ):
            raise reader.error("the statement is another one's, or about other participants")
        try:
            words = unpack(reader.rest(), self.plan.dimension, self.plan.modulus_bits)
        except ValueError as error:
            raise reader.error(str(error)) from None
        self._received[number] = items[0]  # not the upload itself, which nobody needs any more
        self._masked_sum += words

    def _take_confirmation(self, reader: Reader, number: int) -> None:
        digests = reader.take(2 * HASH_BYTES)
        reader.end()
        if digests != self._set_hashes:
            raise reader.error("it confirms other sets than it was told")

    def _take_reveal(self, reader: Reader, number: int) -> None:
        if reader.take(2 * HASH_BYTES) != self._set_hashes:
            raise reader.error("it reveals for other sets than it was told")
        dealers = self._dealers(number)
        shares = {dealer: reader.take(KEY_BYTES) for dealer in dealers}
        reader.end()
        for dealer, share in shares.items():
            which = 0 if dealer in self._uploaders else 1
            what = (b"seed share", b"key share")[which]
            if (
                commitment(self.plan.digest, what, dealer, number, share)
                != self._commitments[dealer, number][which]
            ):
                raise reader.error(
                    f"its share of {self.plan.client_names[dealer]!r} is not the one it was given"
                )
        for dealer, share in shares.items():
            self._revealed.setdefault(dealer, {})[number] = share

    def _neighbours(self, number: int, among: Collection[int]) -> list[int]:
        return [other for other in self._graph.neighbours(number) if other in among]

    def _dealers(self, number: int) -> list[int]:
        """Return the participants of whom a client holds shares, in ascending order."""
        return [other for other in self._graph.holders(number) if other in self._participants]

    # ---- answering ----------------------------------------------------------------------------------

    def _roster(self, received: dict[int, bytes]) -> dict[int, bytes]:
        def body(number: int) -> bytes:
            return list_of([received[other] for other in self._neighbours(number, received)])

        return {number: self._signer.write(MessageType.ROSTER, body(number)) for number in received}

    def _participation(self, received: dict[int, bytes]) -> dict[int, bytes]:
        crowd, kind = set_of(self.plan, received), MessageType.PARTICIPANTS
        inboxes = {number: list_of(self._inboxes.get(number, [])) for number in received}
        return {number: self._signer.write(kind, crowd + inbox) for number, inbox in inboxes.items()}

    def _uploads(self, received: dict[int, bytes]) -> dict[int, bytes]:
        crowd = set_of(self.plan, received)

        def body(number: int) -> bytes:
            return crowd + list_of([received[other] for other in self._neighbours(number, received)])

        return {number: self._signer.write(MessageType.UPLOADERS, body(number)) for number in received}

    def _confirmations(self, received: dict[int, bytes]) -> dict[int, bytes]:
        """Send everybody the same quorum of witnesses: all clients that uploaded may still answer."""
        witnesses = [received[number] for number in self._graph.witnesses if number in received]
        message = self._signer.write(
            MessageType.CONFIRMATIONS, list_of(witnesses[: self._graph.sizes.quorum])
        )
        return dict.fromkeys(self._uploaders, message)

    # ---- taking masks off ---------------------------------------------------------------------------

    def _combined(self, clients: list[int]) -> dict[int, bytes]:
        """Interpolate one secret of each client: the seed or the mask key."""
        needed, points, shares = self._graph.sizes.shares, [], []
        for client in clients:
            revealed = self._revealed.get(client, {})
            if len(revealed) < needed:
                raise ProtocolError(
                    f"{len(revealed)} shares of {self.plan.client_names[client]!r} have come, {needed} are needed"
                )
            holders = self._graph.holders(client)
            chosen = sorted(revealed)[:needed]
            points.append([holders.index(holder) + 1 for holder in chosen])
            shares.append([revealed[holder] for holder in chosen])
        return dict(zip(clients, combine(points, shares), strict=True))

    def _self_masks(self, uploaded: list[int], secrets: dict[int, bytes]) -> list[bytes]:
        """Return the keys of the uploaders' own masks; the seeds have to be those committed to."""
        digest = self.plan.digest
        for client in uploaded:
            if commitment(digest, b"seed", client, client, secrets[client]) != self._seed_commitments[client]:
                raise ProtocolError(
                    "it shared another seed than it committed to", self.plan.client_names[client]
                )
        return [self_mask_key(digest, client, secrets[client]) for client in uploaded]

    def _pair_masks(self, client: int, private: bytes, adding: list[bytes], subtracting: list[bytes]) -> None:
        """Collect what undoes the masks that the uploaders shared with a client that is gone."""
        digest, pair = self.plan.digest, KeyPair(private)
        if pair.public != self._publics[client]:
            raise ProtocolError(
                "it shared another mask key than it advertised", self.plan.client_names[client]
            )
        for other in self._neighbours(client, self._uploaders):
            key = pair_mask_key(pair.agree(digest, client, self._publics[other], other), client, other)
            (subtracting if other < client else adding).append(key)
        pair.wipe()
