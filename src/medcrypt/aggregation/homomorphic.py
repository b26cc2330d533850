"""The homomorphic back-end: clients encrypt, a server adds, key holders open one sum a round.

    client   integers -> Paillier, signed                       one upload, and it may go
    server   collects, adds; asks the holders to open the sum   reads nothing
    holder   see `medcrypt.aggregation.holder`                  adds the signed uploads itself before it helps

Sums of the server are re-randomised before they leave it, so that nobody who sees one can tell which uploads it
is made of. What goes to the holders are the uploads themselves.
"""

import hashlib
from typing import SupportsIndex

from medcrypt.aggregation.ledger import Ledger
from medcrypt.aggregation.messages import Message, MessageType, Signer, read_message
from medcrypt.aggregation.openings import Opening, finish
from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.quantisation import Aggregate, Update, quantise
from medcrypt.aggregation.uploads import (
    Contributions,
    Upload,
    check_key,
    packing_of,
    proof_context,
    read_upload,
    write_request,
    write_upload_body,
)
from medcrypt.errors import ProtocolError
from medcrypt.keys import Identity
from medcrypt.paillier import EncryptedArray, PublicKey, add

__all__ = ["HomomorphicClient", "HomomorphicServer"]

Bytes = bytes | bytearray | memoryview


class HomomorphicClient:
    """A client: encrypts its update, once.

    Parameters
    ----------
    plan
        The plan of the round.
    public
        The holders' key, the plan's `key`. Give it trusted (`PublicKey.verify`, `ThresholdPublicKey.from_bytes`),
        else every ciphertext costs twenty times as much.
    name
        The client's name.
    identity
        Its private key; needed exactly where the plan pins the parties.
    ledger
        Remembers durably that the client has uploaded in this round. Without one a program that is started again has to
        see to that.

    Raises
    ------
    TypeError
        If the identity is missing, or the ledger is none.
    ValueError
        If the plan does not know the client or pins another key for it; or if it pins another encryption key, or
        parties and no encryption key.

    Examples
    --------
    >>> from medcrypt import aggregation, paillier
    >>> public, private = paillier.generate_keypair(512, insecure=True)
    >>> plan = aggregation.Plan(clients=3, threshold=2, clip=1.0, bits=16, shapes={"w": (2,)}, weighted=True,
    ...                         max_weight=100)
    >>> server = HomomorphicServer(plan, public)
    >>> for name, weight in [("Berlin", 30), ("Jena", 10)]:  # the third has dropped out
    ...     client = HomomorphicClient(plan, public, name)
    ...     _ = server.receive(client.encrypt({"w": [0.5, weight / 100]}, weight=weight))
    >>> sums = private.decrypt_integers(server.total())
    >>> aggregate = aggregation.Aggregate(plan, sums, server.contributors)
    >>> aggregate.total_weight, aggregate.means()["w"].round(4)
    (40, array([0.5 , 0.25]))
    """

    def __init__(
        self,
        plan: Plan,
        public: PublicKey,
        name: str,
        identity: Identity | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        check_key(plan, public)
        if ledger is not None and not isinstance(ledger, Ledger):
            raise TypeError(f"expected a Ledger, not {type(ledger).__name__}")
        self._signer = Signer(plan, name, identity)
        if plan.parties is not None and name not in plan.client_names:
            raise ValueError(f"{name!r} is not a client in this plan")
        self._plan, self._public, self._ledger, self._done = plan, public, ledger, False

    @property
    def plan(self) -> Plan:
        """The plan of the round."""
        return self._plan

    def encrypt(
        self, update: Update, weight: SupportsIndex | None = None, *, saturate: bool = False
    ) -> bytes:
        """Return the upload.

        Parameters
        ----------
        update
            The planned arrays, by name: real numbers within the clip.
        weight
            The client's weight, from 1 to the plan's `max_weight`; None where the plan is not weighted.
        saturate
            Move values beyond the clip onto it in place of refusing them.

        Returns
        -------
        bytes
            A signed message for the server.

        Raises
        ------
        TypeError, ValueError
            As for `quantise`.
        ProtocolError
            If this client has encrypted before, or its ledger knows the round: two uploads of one round would
            tell their difference. Naming the client itself.
        FormatError, OSError
            If the ledger is damaged or cannot be written.
        """
        if self._done:
            raise ProtocolError("it has uploaded in this round already", self._signer.name)
        integers = quantise(self._plan, update, weight, saturate=saturate)
        packing, context, name = packing_of(self._plan), self._plan.digest, self._signer.name
        proof = b""
        if self._plan.proofs:
            array, proof = self._public.encrypt_integers_and_prove(
                integers, packing, context=context, proof_context=proof_context(self._plan, name)
            )
        else:
            array = self._public.encrypt_integers(integers, packing, context=context)
        body = write_upload_body(array, proof)
        if self._ledger is not None:
            self._claim(self._ledger, body)
        self._done = True
        return self._signer.write(MessageType.UPLOAD, body)

    def _claim(self, ledger: Ledger, body: bytes) -> None:
        """Record the upload before anybody sees it; no other one has the same ciphertexts."""
        try:
            ledger.claim(self._plan.digest, hashlib.sha256(body).digest())
        except ProtocolError as error:
            raise ProtocolError(
                "its ledger has an upload in this round already", self._signer.name
            ) from error

    def __repr__(self) -> str:
        return f"HomomorphicClient(name={self._signer.name!r}, plan={self._plan!r})"


class HomomorphicServer:
    """The server: collects uploads and adds them; it has no secret but the key it signs with.

    Parameters
    ----------
    plan
        The plan of the round.
    public
        The holders' key, the plan's `key`; a `ThresholdPublicKey` where shares decrypt.
    identity
        The server's private key; needed for `request`, where the plan pins the parties.

    Raises
    ------
    ValueError
        If the plan does not know the server or pins another key for it; or if it pins another encryption key, or
        parties and no encryption key, or does not name one holder for each share.

    Examples
    --------
    See `HomomorphicClient`, and `HomomorphicHolder` for the whole way.
    """

    def __init__(self, plan: Plan, public: PublicKey, identity: Identity | None = None) -> None:
        check_key(plan, public)
        self._plan, self._public = plan, public
        signs = plan.parties is None or identity is not None
        self._signer = Signer(plan, plan.server, identity) if signs else None
        self._uploads: dict[str, Upload] = {}
        self._closed: Contributions | None = None
        self._sum: EncryptedArray | None = None
        self._openings: dict[str, Opening] = {}

    @property
    def plan(self) -> Plan:
        """The plan of the round."""
        return self._plan

    @property
    def contributors(self) -> tuple[str, ...]:
        """Who has uploaded, in ascending order."""
        return tuple(sorted(self._uploads, key=str.encode))

    def receive(self, data: Bytes) -> str:
        """Take an upload, or, once the holders were asked, an opening.

        Parameters
        ----------
        data
            The message.

        Returns
        -------
        str
            Who sent it.

        Raises
        ------
        TypeError
            If it is not bytes.
        ProtocolError
            If anything is wrong: it changes nothing then, and names the signer if the signature holds.
        """
        if self._closed is None:
            return self._receive_upload(data)
        message = read_message(self._plan, data, {MessageType.UPLOAD, MessageType.OPENING})
        if message.type == MessageType.UPLOAD:
            raise ProtocolError("its upload came after the round was closed", message.sender)
        return self._receive_opening(message)

    def _receive_upload(self, data: Bytes) -> str:
        upload, array = read_upload(self._plan, self._public, bytes(data))
        if upload.sender in self._uploads:
            raise ProtocolError("it has uploaded in this round already", upload.sender)
        if len(self._uploads) == self._plan.clients:
            raise ProtocolError("there are more clients than planned", upload.sender)
        self._sum = array if self._sum is None else add([self._sum, array])
        self._uploads[upload.sender] = upload
        return upload.sender

    def _receive_opening(self, message: Message) -> str:
        contributions = self._asked()
        if message.sender in self._openings:
            raise ProtocolError("it has answered in this round already", message.sender)
        self._openings[message.sender] = Opening.read(self._plan, self._public, message, contributions)
        return message.sender

    def total(self) -> EncryptedArray:
        """Return the encrypted sum of all uploads so far, re-randomised.

        By a short exponent where the server trusts the key, else by r^n.

        Returns
        -------
        EncryptedArray
            Shape (plan.dimension,), its context the plan hash.

        Raises
        ------
        ProtocolError
            If fewer than `plan.threshold` have uploaded.
        """
        return self._contributions().total.rerandomize(short=self._public.trusted)

    def request(self) -> bytes:
        """Close the round, and return what every key holder gets: all uploads, signed by their senders.

        Returns
        -------
        bytes
            A signed message for the holders; the same at every call.

        Raises
        ------
        ValueError
            If the server has no identity to sign with.
        ProtocolError
            If fewer than `plan.threshold` have uploaded.
        """
        if self._signer is None:
            raise ValueError("the plan pins the parties' keys: the server needs its identity to ask holders")
        if self._closed is None:
            self._closed = self._contributions()
        return self._signer.write(MessageType.REQUEST, write_request(self._closed.uploads))

    def result(self) -> Aggregate:
        """Return the opened sum, once enough holders have answered.

        Returns
        -------
        Aggregate
            The sum and who is in it.

        Raises
        ------
        ProtocolError
            If too few holders have answered, or what they opened is no sum of so many contributions.
        """
        contributions = self._asked()
        sums = finish(self._public, contributions.total, list(self._openings.values()))
        return Aggregate(self._plan, sums, contributions.names)

    def _contributions(self) -> Contributions:
        """Return what is to be added, if it is enough."""
        if self._closed is not None:
            return self._closed
        names = self.contributors
        if self._sum is None or len(names) < self._plan.threshold:
            raise ProtocolError(
                f"only {len(names)} have uploaded, the plan's threshold is {self._plan.threshold}"
            )
        return Contributions(tuple(self._uploads[name] for name in names), self._sum)

    def _asked(self) -> Contributions:
        """Return what the holders were asked to open."""
        if self._closed is None:
            raise ProtocolError("the holders have not been asked yet")
        return self._closed

    def __repr__(self) -> str:
        return f"HomomorphicServer(contributors={len(self._uploads)}, plan={self._plan!r})"
