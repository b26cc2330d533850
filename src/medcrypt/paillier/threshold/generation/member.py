"""One party of a committee that makes a threshold key: the protocol from top to bottom, as a state machine.

The rounds, all of them alike for every party:

1. For a batch of candidates: shares of p_i and q_i, and of zero.
2. Shares of every product: everybody learns the candidates n, and divides by small primes.
3. For what is left: one power each, of the biprimality test. Nothing left: back to 1.
4. For the first that passed: 128 powers each; shares of p_i + q_i and of a random number, modulo n.
5. Shares of the product of the latter: its gcd with n must be 1. A failure leads back to 1.
6. Shares of phi(n), of a random factor beta, and of a random R over the integers.
7. Parts of the sum t = D phi(n) beta + n D R, D being the factorial of the number of parties: t is public.

Then n h(i) - t is a share of n D R - t = -D phi(n) beta, a multiple of phi(n) that is theta = -t modulo n, where
h is the polynomial that shares R. t itself is as good as random: beta hides phi(n) modulo n, R what is above.
"""

import math
import secrets
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import NoReturn, TypeAlias

from medcrypt.errors import ProtocolError
from medcrypt.paillier.soundness import MAX_BITS, minimum_bits
from medcrypt.paillier.threshold.generation.candidates import (
    BASES,
    Candidate,
    bases_of,
    first_powers,
    is_consistent,
    promising,
)
from medcrypt.paillier.threshold.generation.messages import Envelope, Round, integers_of, session_digest
from medcrypt.paillier.threshold.generation.ring_sharing import (
    integer_shares,
    opening_weights,
    ring_modulus,
    shares,
    zero_shares,
    zero_sum,
)
from medcrypt.paillier.threshold.key_share import KeyShare
from medcrypt.paillier.threshold.lengths import Lengths, dealerless_share_bits
from medcrypt.paillier.threshold.public_key import ThresholdPublicKey, check_committee, party_name

__all__ = ["CommitteeMember"]

_Inbox: TypeAlias = dict[int, list[int]]  # the integers of every party, one's own among them
_Rounds: TypeAlias = Generator[Round, _Inbox, KeyShare]

_BATCH = 512  # candidates that share their rounds
_SMALLEST = 3  # with two parties, one would have to be trusted


class CommitteeMember:
    """One party of the generation of a threshold key without a dealer.

    Call `start`, deliver what it and `receive` return to the named parties, and hand every message that
    arrives to `receive`, until `share` is there. Messages are bytes; the channels between the parties must be private
    and authenticated, and the parties must follow the protocol (they are semi-honest): nothing here detects
    one that does not.

    Parameters
    ----------
    party
        This party's number, from 1.
    parties
        How many there are, 3 to 255. Fewer than half of them may pool what they saw.
    threshold
        How many of them decrypt together afterwards.
    bits
        Length of n, a multiple of 16.
    session
        A name for this run that all members agree on and that is used once.
    insecure
        Allow less than 2048 bits (at least 64), for tests.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> members = [CommitteeMember(i, parties=3, threshold=2, bits=64, insecure=True) for i in (1, 2, 3)]
    >>> post = [(member.party, *message) for member in members for message in member.start()]
    >>> while post:
    ...     sender, recipient, data = post.pop(0)
    ...     answers = members[recipient - 1].receive(sender, data)
    ...     post += [(recipient, *answer) for answer in answers]
    >>> members[0].share, members[0].share.public == members[2].share.public
    (KeyShare(party=1, key='...'), True)
    """

    def __init__(
        self,
        party: int,
        *,
        parties: int,
        threshold: int,
        bits: int = 3072,
        session: bytes = b"",
        insecure: bool = False,
    ) -> None:
        check_generation(parties, threshold, bits, insecure)
        if not 1 <= party <= parties:
            raise ValueError("a party's number is between 1 and the number of parties")
        self._party, self._parties, self._threshold, self._bits = party, parties, threshold, bits
        self._degree = (
            parties - 1
        ) // 2  # of polynomials: so many parties together learn nothing from shares
        self._session = session_digest(parties, threshold, bits, session)
        self._rounds = self._protocol()
        self._number = -1
        self._round: Round | None = None
        self._waiting: dict[tuple[int, int], bytes] = {}  # bodies by round and sender
        self._share: KeyShare | None = None

    @property
    def party(self) -> int:
        """Its number."""
        return self._party

    @property
    def share(self) -> KeyShare | None:
        """The share, once there is one; `share.public` is the key."""
        return self._share

    def start(self) -> list[tuple[int, bytes]]:
        """Begin.

        Returns
        -------
        list of (int, bytes)
            Recipients and messages.

        Raises
        ------
        RuntimeError
            If it has begun already.
        """
        if self._number >= 0:
            raise RuntimeError("the member has started already")
        return self._post(next(self._rounds))

    def receive(self, sender: int, data: bytes) -> list[tuple[int, bytes]]:
        """Take a message; if it completes a round, do the next one.

        Parameters
        ----------
        sender
            Who sent it, as the channel says.
        data
            The message.

        Returns
        -------
        list of (int, bytes)
            Recipients and messages: none while others are waited for.

        Raises
        ------
        ProtocolError
            Naming the sender, if the message is malformed, of another session or recipient, or not one that is
            due: everybody is at most one round ahead. After a malformed one the run is over.
        RuntimeError
            If the member has not started.
        """
        if self._round is None and self._share is None:
            raise RuntimeError("the member has not started")
        envelope, body = Envelope.open(data, sender)
        if envelope.session != self._session or envelope.recipient != self._party:
            raise ProtocolError("a message of another session or recipient", party_name(sender))
        known = 1 <= sender <= self._parties and sender != self._party
        slot = envelope.number, sender
        due = self._share is None and envelope.number in (self._number, self._number + 1)
        if not known or not due or slot in self._waiting:
            raise ProtocolError("a message that is not due", party_name(sender))
        self._waiting[slot] = body
        return self._advance()

    def _advance(self) -> list[tuple[int, bytes]]:
        """Do the next round if everything that it needs is there."""
        others = [i for i in range(1, self._parties + 1) if i != self._party]
        if self._round is None or any((self._number, i) not in self._waiting for i in others):
            return []
        inbox = {i: integers_of(self._waiting.pop((self._number, i)), self._round, i) for i in others}
        inbox[self._party] = list(self._round.outbox[self._party])
        try:
            following = self._rounds.send({i: inbox[i] for i in sorted(inbox)})
        except StopIteration as end:
            self._share, self._round = end.value, None
            return []
        return self._post(following) + self._advance()

    def _post(self, following: Round) -> list[tuple[int, bytes]]:
        """Begin a round: write its messages."""
        self._round, self._number = following, self._number + 1
        return [
            (i, Envelope(self._session, self._number, self._party, i).seal(integers, following.width))
            for i, integers in following.outbox.items()
            if i != self._party
        ]

    def __repr__(self) -> str:
        return f"CommitteeMember(party={self._party}, parties={self._parties}, bits={self._bits})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a member of a committee holds secrets and cannot be pickled or copied")

    # --- the protocol ---------------------------------------------------------------------------------

    def _protocol(self) -> _Rounds:
        """Find n, then share the exponent that decrypts."""
        n = None
        while n is None:
            candidates = [Candidate.draw(self._party, self._parties, self._bits) for _ in range(_BATCH)]
            found = yield from self._modulus(candidates)
            if found is not None and (yield from self._is_sound(*found)):
                n, mine = found
        return (yield from self._exponent(n, mine))

    def _modulus(self, candidates: list[Candidate]) -> Generator[Round, _Inbox, tuple[int, Candidate] | None]:
        """Multiply the candidates and return the first that passes trial division and one biprimality test."""
        modulus, points = ring_modulus(self._bits, self._parties), 2 * self._degree + 1
        dealt = [self._deal_candidate(candidate, modulus) for candidate in candidates]
        inbox = yield self._privately(dealt, modulus)
        products = [p * q + zero for p, q, zero in _triples(_sums(inbox.values()), modulus)]
        inbox = yield self._openly([product % modulus for product in products], modulus)
        weights = opening_weights(points)
        moduli = [
            sum(w * share for w, share in zip(weights, column[:points], strict=True)) % modulus
            for column in zip(*inbox.values(), strict=True)
        ]
        left = [(n, mine) for n, mine in zip(moduli, candidates, strict=True) if promising(n, self._bits)]
        if not left:
            return None
        inbox = yield self._openly(first_powers(left), 1 << self._bits)
        columns = zip(*inbox.values(), strict=True)
        passed = (
            (n, mine)
            for (n, mine), column in zip(left, columns, strict=True)
            if is_consistent(n, [[power] for power in column])
        )
        return next(passed, None)

    def _deal_candidate(self, candidate: Candidate, modulus: int) -> list[list[int]]:
        """Share p_i, q_i and zero."""
        degree, parties = self._degree, self._parties
        return [
            shares(candidate.p, degree, parties, modulus),
            shares(candidate.q, degree, parties, modulus),
            zero_shares(2 * degree, parties, modulus),
        ]

    def _is_sound(self, n: int, mine: Candidate) -> Generator[Round, _Inbox, bool]:
        """Tell whether n passes the whole biprimality test and has no factor in common with phi(n)."""
        degree, parties, points = self._degree, self._parties, 2 * self._degree + 1
        dealt = [
            shares(mine.sum - (1 if self._party == 1 else 0), degree, parties, n),  # p + q - 1 = 1 - phi(n)
            shares(secrets.randbelow(n), degree, parties, n),
            zero_shares(2 * degree, parties, n),
        ]
        inbox = yield self._privately([dealt], n)
        ((total, factor, zero),) = _triples(_sums(inbox.values()), n)
        product = (total * factor + zero) % n
        inbox = yield self._openly([product, *mine.powers(bases_of(n, BASES), n)], n)
        opened = sum(
            w * row[0] for w, row in zip(opening_weights(points), list(inbox.values())[:points], strict=True)
        )
        return is_consistent(n, [row[1:] for row in inbox.values()]) and math.gcd(opened % n, n) == 1

    def _exponent(self, n: int, mine: Candidate) -> _Rounds:
        """Share a multiple of phi(n) over the integers."""
        degree, parties, points = self._degree, self._parties, 2 * self._degree + 1
        lengths, delta = Lengths.of(self._bits, parties, self._threshold), math.factorial(parties)
        share_bits = dealerless_share_bits(self._bits, parties, self._threshold)
        longest = self._bits + max(lengths.beta, lengths.mask) + parties.bit_length() + delta.bit_length() + 1
        modulus = ring_modulus(max(longest, share_bits), parties)
        mask = secrets.randbits(lengths.mask)
        dealt = [
            shares(mine.totient_part(n), degree, parties, modulus),
            shares(secrets.randbits(lengths.beta), degree, parties, modulus),
            zero_sum(parties, modulus),
            integer_shares(mask, self._threshold - 1, parties, lengths.coefficient),
        ]
        inbox = yield self._privately([dealt], modulus)
        totient, beta, zero, polynomial = _sums(inbox.values())
        weight = opening_weights(points)[self._party - 1] if self._party <= points else 0
        part = weight * delta * totient * beta + n * delta * mask + zero
        inbox = yield self._openly([part % modulus], modulus)
        masked = sum(part for (part,) in inbox.values()) % modulus
        public = ThresholdPublicKey(
            n, parties=parties, threshold=self._threshold, theta=-masked % n, insecure=True
        )
        return KeyShare(public, self._party, n * polynomial - masked)

    def _privately(self, dealt: list[list[list[int]]], bound: int) -> Round:
        """Send every party its own share of everything."""
        rows = [row for group in dealt for row in group]
        return Round({i: [row[i - 1] for row in rows] for i in self._everybody}, len(rows), bound)

    def _openly(self, integers: list[int], bound: int) -> Round:
        """Send everybody the same."""
        return Round(dict.fromkeys(self._everybody, integers), len(integers), bound)

    @property
    def _everybody(self) -> range:
        """The numbers of all parties."""
        return range(1, self._parties + 1)


def check_generation(parties: int, threshold: int, bits: int, insecure: bool) -> None:
    """Raise ValueError for a committee or a length that is not allowed."""
    check_committee(parties, threshold)
    if parties < _SMALLEST:
        raise ValueError(f"a key without a dealer needs at least {_SMALLEST} parties")
    minimum = minimum_bits(insecure)
    if not minimum <= bits <= MAX_BITS or bits % 16:
        raise ValueError(f"bits must be a multiple of 16 between {minimum} and {MAX_BITS}")


def _sums(rows: Iterable[list[int]]) -> list[int]:
    """Add up what the parties sent, place by place."""
    return [sum(column) for column in zip(*rows, strict=True)]


def _triples(values: Sequence[int], modulus: int) -> Iterator[tuple[int, int, int]]:
    """Take the numbers by threes, modulo the modulus."""
    reduced = iter([value % modulus for value in values])
    return zip(reduced, reduced, reduced, strict=True)
