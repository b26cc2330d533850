"""What a key holder answers, and how answers become the sum.

opening   digest of the contributions 32 | kind 1 | payload
kind 1    the sum itself, from the holder of the whole key: dimension times 8 bytes, two's complement
kind 2    a partial decryption of it, from the holder of a share (`docs/formats/threshold.md`)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medcrypt.aggregation.messages import Message
from medcrypt.aggregation.plan import Integers, Plan
from medcrypt.aggregation.uploads import Contributions
from medcrypt.errors import FormatError, InvalidCiphertextError, ProtocolError
from medcrypt.paillier import EncryptedArray, PartialDecryption, PublicKey, ThresholdPublicKey
from medcrypt.paillier.threshold import combine_verified

__all__ = ["Opening", "finish", "share_of", "write_partial", "write_whole"]

_HASH = 32
_WHOLE, _PARTIAL = b"\x01", b"\x02"


@dataclass(frozen=True)
class Opening:
    """One holder's answer, checked as far as it can be.

    Parameters
    ----------
    sender
        The holder.
    sums
        The sum, from the holder of a whole key.
    part
        A verified partial decryption, from the holder of a share.
    """

    sender: str
    sums: Integers | None = None
    part: PartialDecryption | None = None

    @classmethod
    def read(
        cls,
        plan: Plan,
        public: PublicKey,
        message: Message,
        contributions: Contributions,
    ) -> "Opening":
        """Check an opening.

        Parameters
        ----------
        plan, public
            The reader's plan and its key.
        message
            The message, its signature checked.
        contributions
            What was to be opened.

        Returns
        -------
        Opening
            The opening.

        Raises
        ------
        ProtocolError
            Naming the holder, if it is malformed, of something else or by another holder's share, or its proof does
            not hold.
        """
        sender, body = message.sender, message.body
        if sender not in plan.holders:
            raise ProtocolError("only key holders open sums", sender)
        if bytes(body[:_HASH]) != contributions.digest:
            raise ProtocolError("it has opened another set of contributions", sender)
        kind, payload = bytes(body[_HASH : _HASH + 1]), body[_HASH + 1 :]
        if isinstance(public, ThresholdPublicKey):
            if kind != _PARTIAL:
                raise ProtocolError("its answer is no partial decryption", sender)
            part = _read_part(public, payload, sender, contributions)
            # Without a dealer nothing in a part shows whose share made it, only its signature does: a number that is
            # not the signer's would take the place of another holder, and leave it the blame.
            if part.party != share_of(plan, sender):
                raise ProtocolError("it has answered with another holder's key share", sender)
            return cls(sender, part=part)
        if kind != _WHOLE or len(payload) != 8 * plan.dimension:
            raise ProtocolError("its answer is not the planned number of integers", sender)
        return cls(sender, sums=np.frombuffer(payload, dtype=">i8").astype(np.int64))


def share_of(plan: Plan, holder: str) -> int:
    """Return the number of a holder's key share: its place in `Plan.holders`, counted from 1."""
    return plan.holders.index(holder) + 1


def write_whole(contributions: Contributions, sums: npt.NDArray[np.int64]) -> bytes:
    """Return the body of the opening by a whole key."""
    return contributions.digest + _WHOLE + sums.astype(">i8").tobytes()


def write_partial(contributions: Contributions, part: PartialDecryption) -> bytes:
    """Return the body of the opening by a share."""
    return contributions.digest + _PARTIAL + part.to_bytes()


def finish(public: PublicKey, total: EncryptedArray, openings: Sequence[Opening]) -> Integers:
    """Return the sum that the openings agree on.

    Parameters
    ----------
    public
        The key.
    total
        The encrypted sum.
    openings
        What `Opening.read` accepted, one from each holder.

    Returns
    -------
    ndarray of int64
        The sum.

    Raises
    ------
    ProtocolError
        If there are too few, or what comes out is no sum of so many contributions.
    """
    if not isinstance(public, ThresholdPublicKey):
        return _said(openings)
    parts = [opening.part for opening in openings if opening.part is not None]
    if len(parts) < public.threshold:
        raise ProtocolError(f"only {len(parts)} key holders have answered, {public.threshold} are needed")
    try:
        return combine_verified(total, parts, public=public)
    except InvalidCiphertextError as error:
        raise ProtocolError(f"a contributor lied: {error}") from error


def _said(openings: Sequence[Opening]) -> Integers:
    """Return what the holder of the whole key says; a plan for such a key has one holder."""
    answers = [opening.sums for opening in openings if opening.sums is not None]
    if not answers:
        raise ProtocolError("no key holder has answered")
    return answers[0]


def _read_part(
    public: ThresholdPublicKey, payload: memoryview, sender: str, contributions: Contributions
) -> PartialDecryption:
    """Read a partial decryption and verify its proof; whatever is wrong is its sender's doing."""
    try:
        part = PartialDecryption.from_bytes(payload, public)
        part.verify(contributions.total, context=contributions.digest)
    except (FormatError, InvalidCiphertextError) as error:
        raise ProtocolError(str(error), sender) from error
    except ProtocolError as error:  # names the number of the share; the signer is who sent it
        raise ProtocolError(str(error).removeprefix(f"{error.party}: "), sender) from error
    return part
