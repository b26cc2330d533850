"""All members of a committee in one process, with queues for channels."""

import secrets
from collections import deque

from medcrypt.errors import ProtocolError
from medcrypt.paillier.threshold.generation.member import CommitteeMember
from medcrypt.paillier.threshold.key_share import KeyShare
from medcrypt.paillier.threshold.public_key import ThresholdPublicKey

__all__ = ["generate_threshold_key"]


def generate_threshold_key(
    parties: int, threshold: int, bits: int = 3072, *, insecure: bool = False
) -> tuple[ThresholdPublicKey, list[KeyShare]]:
    """Run the generation of a threshold key without a dealer, all parties in this process.

    It shows the protocol and measures it: run like this, one process sees everything after all. Between
    hospitals, each runs a `CommitteeMember`.

    Parameters
    ----------
    parties
        How many take part, 3 to 255; fewer than half of them may collude.
    threshold
        How many decrypt together, 2 to `parties`.
    bits
        Length of n, a multiple of 16. Takes about half a minute at 2048, on average, and minutes at 3072.
    insecure
        Allow less than 2048 bits (at least 64), for tests.

    Returns
    -------
    public : ThresholdPublicKey
        Without verification keys, as n is a product of Blum primes, not of safe primes: partial decryptions carry no
        proof and `combine` names nobody. Not trusted, as nobody can prove how n was made:
        it encrypts with r^n.
    shares : list of KeyShare
        One for each party.

    Raises
    ------
    ValueError
        If the length, the number of parties or the threshold is not allowed.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, combine
    >>> public, shares = generate_threshold_key(parties=3, threshold=2, bits=128, insecure=True)
    >>> total = public.encrypt([0.5, 0.25], Packing(clip=1.0))
    >>> combine(total, [shares[2].partial_decrypt(total), shares[1].partial_decrypt(total)]).round(6)
    array([0.5 , 0.25])
    """
    session = secrets.token_bytes(32)
    members = [
        CommitteeMember(
            i, parties=parties, threshold=threshold, bits=bits, session=session, insecure=insecure
        )
        for i in range(1, parties + 1)
    ]
    post = deque((member.party, *message) for member in members for message in member.start())
    while post:
        sender, recipient, data = post.popleft()
        answers = members[recipient - 1].receive(sender, data)
        post.extend((recipient, *answer) for answer in answers)
    shares = [member.share for member in members if member.share is not None]
    if len(shares) != parties:
        raise ProtocolError("the members stopped before they had a key")
    return shares[0].public, shares
