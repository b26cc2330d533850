"""Check a round of the homomorphic back-end afterwards, from its messages: what was added, and what it gave."""

from collections.abc import Iterable

from medcrypt.aggregation.messages import MessageType, read_message
from medcrypt.aggregation.openings import Opening, finish
from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.quantisation import Aggregate
from medcrypt.aggregation.uploads import check_key, read_request
from medcrypt.errors import ProtocolError
from medcrypt.paillier import PublicKey

__all__ = ["audit"]

Bytes = bytes | bytearray | memoryview


def audit(plan: Plan, public: PublicKey, request: Bytes, openings: Iterable[Bytes]) -> Aggregate:
    """Recompute the result of a round from the server's request and the holders' answers.

    No secret is needed. With a threshold key whose holders can be identified, the result is proved: by clients'
    signatures over what was added, and by holders' proofs of how it was opened. With a whole key it is what
    the holder says.

    Parameters
    ----------
    plan
        The plan of the round.
    public
        The holders' key, the plan's `key`.
    request
        What `HomomorphicServer.request` made.
    openings
        What `HomomorphicHolder.open` answered, from enough holders.

    Returns
    -------
    Aggregate
        What `HomomorphicServer.result` must have returned.

    Raises
    ------
    ValueError
        If the plan pins no encryption key or another one, or does not name one holder for each share.
    ProtocolError
        If anything is wrong; it names the signer if the signature holds.

    Examples
    --------
    See `docs/explanation/aggregation.md`.
    """
    check_key(plan, public)
    message = read_message(plan, request, {MessageType.REQUEST})
    if message.sender != plan.server:
        raise ProtocolError("only the server asks to open sums", message.sender)
    contributions = read_request(plan, public, message)
    answers: dict[str, Opening] = {}
    for data in openings:
        answer = read_message(plan, data, {MessageType.OPENING})
        opening = Opening.read(plan, public, answer, contributions)
        if opening.sender in answers:
            raise ProtocolError("it has answered twice", opening.sender)
        answers[opening.sender] = opening
    return Aggregate(plan, finish(public, contributions.total, list(answers.values())), contributions.names)
