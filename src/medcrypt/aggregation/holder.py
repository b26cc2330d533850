"""The key holder of the homomorphic back-end, who is no decryption oracle.

Whoever asks a holder of a plain scheme gets an answer: a server could have a single upload decrypted, or two
sums that differ by one client. This holder decrypts only what it has added up itself, and only once:

1. The request is signed by the planned server, for this plan and round.
2. Every upload in it is signed by a planned client, for this plan and round, is of the planned form, and carries
   its proof where the plan wants one.
3. They are of different clients, `plan.threshold` of them or more.
4. The ledger has no other set for this plan and round, and this one is on disk (`medcrypt.aggregation.ledger`).
5. It decrypts the product of those uploads that it has computed itself.

With a threshold key every holder does that, and more than half of them have to answer: two sets would need an
honest holder in common, whose ledger refuses the second. With c dishonest holders that holds as long as
2 t - c > n for t of n shares; and t > c, or they decrypt on their own.

That argument counts ledgers, so there is one for each share: the plan names as many holders as there are shares, and
the i-th holds share i. A whole key has one holder: two of them could each open another set.
"""

import hmac

from medcrypt.aggregation.ledger import Ledger
from medcrypt.aggregation.messages import MessageType, Signer, read_message
from medcrypt.aggregation.openings import share_of, write_partial, write_whole
from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.uploads import Contributions, check_key, read_request
from medcrypt.errors import InvalidCiphertextError, ProtocolError
from medcrypt.keys import Identity
from medcrypt.paillier import KeyShare, PrivateKey

__all__ = ["HomomorphicHolder"]


class HomomorphicHolder:
    """Somebody who holds the private key, or a share of it, and opens one sum a round.

    Parameters
    ----------
    plan
        The plan of the round; it pins the parties and the key.
    key
        The whole private key, if the plan names no other holder; or that share of a threshold key whose number is the
        holder's place in `plan.holders`, counted from 1. More than half of the holders have to answer.
    name
        The holder's name; one of `plan.holders`.
    identity
        Its private key for signatures.
    ledger
        Its memory of what it has opened, made once by `Ledger.create` with this name and the key's fingerprint.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the plan pins no parties or does not know the holder, pins another key or gives the holder another share,
        or names more or fewer holders than the key has; if the key has too low a threshold, or the ledger belongs to
        somebody else.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from medcrypt import Identity, aggregation, paillier
    >>> public, shares = paillier.deal_threshold_key(parties=2, threshold=2, bits=512, insecure=True)
    >>> names = ["Berlin", "Jena", "server", "notary", "ministry"]
    >>> identities = {name: Identity.generate() for name in names}
    >>> plan = aggregation.Plan(clients=2, threshold=2, clip=1.0, bits=16, shapes={"w": (2,)},
    ...     parties={name: identity.recipient for name, identity in identities.items()},
    ...     holders=["notary", "ministry"], key=public)
    >>> server = aggregation.HomomorphicServer(plan, public, identities["server"])
    >>> for name in plan.client_names:
    ...     client = aggregation.HomomorphicClient(plan, public, name, identities[name])
    ...     _ = server.receive(client.encrypt({"w": [0.5, -0.25]}))
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> for name, share in zip(plan.holders, shares, strict=True):
    ...     ledger = aggregation.Ledger.create(folder / name, name, public.fingerprint)
    ...     holder = HomomorphicHolder(plan, share, name, identities[name], ledger)
    ...     _ = server.receive(holder.open(server.request()))
    >>> server.result().means()["w"].round(4)
    array([ 0.5 , -0.25])
    """

    def __init__(
        self, plan: Plan, key: PrivateKey | KeyShare, name: str, identity: Identity, ledger: Ledger
    ) -> None:
        if plan.parties is None:
            raise ValueError("a key holder relies on signatures: the plan has to pin the parties' keys")
        if not isinstance(key, PrivateKey | KeyShare):
            raise TypeError(f"expected a PrivateKey or a KeyShare, not {type(key).__name__}")
        if not isinstance(ledger, Ledger):
            raise TypeError(f"expected a Ledger, not {type(ledger).__name__}")
        if name not in plan.holders:
            raise ValueError(f"{name!r} is not a key holder in this plan")
        check_key(plan, key.public)
        if isinstance(key, KeyShare) and key.party != share_of(plan, name):
            raise ValueError(
                f"the plan gives {name!r} share {share_of(plan, name)}, this is share {key.party}"
            )
        if isinstance(key, KeyShare) and 2 * key.public.threshold <= key.public.parties:
            raise ValueError(
                "half of the key holders or fewer could decrypt: two groups of them could open two different sums"
            )
        if not hmac.compare_digest(ledger.owner, Ledger.owner_of(name, key.public.fingerprint)):
            raise ValueError("the ledger belongs to another holder or key")
        self._signer = Signer(plan, name, identity)
        self._plan, self._key, self._ledger = plan, key, ledger

    def open(self, request: bytes | bytearray | memoryview) -> bytes:
        """Check a request, record it, and answer.

        Parameters
        ----------
        request
            What `HomomorphicServer.request` made.

        Returns
        -------
        bytes
            A signed message for the server: the sum, or this holder's part of its decryption.

        Raises
        ------
        TypeError
            If it is not bytes.
        ProtocolError
            If the holder does not open that: naming the server, or the client who signed something that breaks
            the plan.
        FormatError, OSError
            If the ledger is damaged or cannot be written.
        """
        message = read_message(self._plan, request, {MessageType.REQUEST})
        if message.sender != self._plan.server:
            raise ProtocolError("only the server asks to open sums", message.sender)
        contributions = read_request(self._plan, self._key.public, message)
        try:
            self._ledger.claim(self._plan.digest, contributions.digest)
        except ProtocolError as error:
            raise ProtocolError(f"its request: {error}", message.sender) from error
        return self._signer.write(MessageType.OPENING, self._decrypt(contributions))

    def _decrypt(self, contributions: Contributions) -> bytes:
        """Decrypt the sum, or this share's part of it."""
        total = contributions.total
        if isinstance(self._key, KeyShare):
            part = self._key.partial_decrypt(total, context=contributions.digest)
            return write_partial(contributions, part)
        try:
            return write_whole(contributions, self._key.decrypt_integers(total))
        except InvalidCiphertextError as error:
            raise ProtocolError(f"a contributor lied: {error}") from error

    def __repr__(self) -> str:
        return f"HomomorphicHolder(name={self._signer.name!r}, plan={self._plan!r})"
