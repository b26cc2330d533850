"""Partial decryptions become the sum: verify each, take t of them, interpolate in the exponent.

With y_i = c^(2 D s_i) and integer weights w_i for which mu f(0) = sum of w_i f(i),

    prod y_i^(2 w_i) = c^(4 D mu d) = (1 + n)^(4 D mu theta M)      d = theta (mod n), theta = 1 from a dealer,

so the plaintext M is the logarithm, which is easy to the base 1 + n, divided by 4 D mu theta. The squares are what
the proofs speak of (Damgård, Jurik, Nielsen 2010, section 4.1).
"""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from medcrypt.errors import InvalidCiphertextError, ProtocolError
from medcrypt.paillier.arithmetic import Residues
from medcrypt.paillier.arrays import EncryptedArray
from medcrypt.paillier.threshold.lagrange import interpolated_powers, weights_at_zero
from medcrypt.paillier.threshold.partial import PartialDecryption, digest_of
from medcrypt.paillier.threshold.public_key import ThresholdPublicKey, party_name

__all__ = ["combine", "combine_integers", "combine_verified", "sift"]


def combine(
    total: EncryptedArray,
    parts: Iterable[PartialDecryption],
    *,
    context: bytes = b"",
    public: ThresholdPublicKey | None = None,
    robust: bool = False,
) -> npt.NDArray[np.float64]:
    """Decrypt a sum of real numbers from partial decryptions of `threshold` parties or more.

    Every part is verified. One that is wrong is refused with the name of its party; with `robust` it is left out, as
    long as `threshold` good ones remain.

    Parameters
    ----------
    total
        The encrypted sum.
    parts
        Partial decryptions of it, one from each party.
    context
        What they are bound to, such as the identity of a round.
    public
        The threshold key, where `total` was read with a plain public key.
    robust
        Go on without wrong parts; see `sift` for who made them.

    Returns
    -------
    ndarray of float64
        The sum, of the array's shape.

    Raises
    ------
    TypeError
        If the arguments are not of these types, or no threshold key is known.
    ProtocolError
        If a part is wrong or a second one of its party (naming the party; not with `robust`), or fewer than
        `threshold` good ones are there. Under a key that was generated without a dealer nobody can be
        named: parts that do not belong together are refused as a whole, and not always.
    InvalidCiphertextError
        If a ciphertext or what comes out is wrong, as for `PrivateKey.decrypt`.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, deal_threshold_key
    >>> public, shares = deal_threshold_key(parties=4, threshold=2, bits=256, insecure=True)
    >>> packing = Packing(clip=1.0, max_terms=2)
    >>> total = public.encrypt([0.5, 0.25], packing) + public.encrypt([0.25, -1.0], packing)
    >>> parts = [share.partial_decrypt(total, context=b"round 1") for share in shares[:2]]
    >>> combine(total, parts, context=b"round 1").round(6)
    array([ 0.75, -0.75])
    """
    integers = combine_integers(total, parts, context=context, public=public, robust=robust)
    return total.packing.dequantise(integers)


def combine_integers(
    total: EncryptedArray,
    parts: Iterable[PartialDecryption],
    *,
    context: bytes = b"",
    public: ThresholdPublicKey | None = None,
    robust: bool = False,
) -> npt.NDArray[np.int64]:
    """Decrypt the exact sum of integers (for an array of reals: of its quantised values).

    Parameters
    ----------
    total, parts, context, public, robust
        As for `combine`.

    Returns
    -------
    ndarray of int64
        The sum, always exact.

    Raises
    ------
    TypeError, ProtocolError, InvalidCiphertextError
        As for `combine`.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, deal_threshold_key
    >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
    >>> total = 3 * public.encrypt_integers([1, -2], Packing(bits=16))
    >>> combine_integers(total, [shares[0].partial_decrypt(total), shares[2].partial_decrypt(total)])
    array([ 3, -6])
    """
    key = _key_of(total, public)
    good, faults = sift(total, parts, context=context, public=key)
    if faults and not robust:
        raise faults[0]
    return combine_verified(total, good, public=key)


def combine_verified(
    total: EncryptedArray, good: Sequence[PartialDecryption], *, public: ThresholdPublicKey | None = None
) -> npt.NDArray[np.int64]:
    """Decrypt the exact sum from partial decryptions that were verified one by one, and not once more.

    Parameters
    ----------
    total, public
        As for `combine`.
    good
        What `sift` found good, or `PartialDecryption.verify` accepted: of `threshold` different parties or more.

    Returns
    -------
    ndarray of int64
        The sum, always exact.

    Raises
    ------
    TypeError, InvalidCiphertextError
        As for `combine`.
    ProtocolError
        If fewer than `threshold` are there, or they do not belong together; or naming a party that comes twice or
        under another key.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, deal_threshold_key
    >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
    >>> total = public.encrypt_integers([1, -2], Packing(bits=16))
    >>> good, _ = sift(total, [share.partial_decrypt(total) for share in shares])
    >>> combine_verified(total, good)
    array([ 1, -2])
    """
    key = _key_of(total, public)
    for i, part in enumerate(good):
        _check(part, key, {other.party for other in good[:i]})
    if len(good) < key.threshold:
        raise ProtocolError(
            f"{key.threshold} parties decrypt together; there are good partial decryptions of {len(good)}"
        )
    plaintexts = _interpolate(key, list(good[: key.threshold]))
    packing, terms = total.packing, total.terms
    return packing.decode_integers(plaintexts, total.size, terms, key.bits).reshape(total.shape)


def sift(
    total: EncryptedArray,
    parts: Iterable[PartialDecryption],
    *,
    context: bytes = b"",
    public: ThresholdPublicKey | None = None,
) -> tuple[list[PartialDecryption], list[ProtocolError]]:
    """Verify partial decryptions, and tell the good ones from the others.

    Parameters
    ----------
    total, parts, context, public
        As for `combine`.

    Returns
    -------
    good : list of PartialDecryption
        The first good one of every party, in the order given.
    faults : list of ProtocolError
        What is wrong with the others; `party` names who made them.

    Raises
    ------
    TypeError
        If the arguments are not of these types, or no threshold key is known.
    InvalidCiphertextError
        If a ciphertext of the array is wrong.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, deal_threshold_key
    >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
    >>> total, other = (public.encrypt([x], Packing(clip=2.0)) for x in (1.0, 2.0))
    >>> parts = [shares[0].partial_decrypt(total), shares[1].partial_decrypt(other)]
    >>> good, faults = sift(total, parts)
    >>> good, str(faults[0])
    ([PartialDecryption(party=1, ...)], 'party 2: the partial decryption is of another array')
    """
    key = _key_of(total, public)
    if not key.group.are_units(key.group.residues(total.residues)):
        raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
    digest, heard = digest_of(total), set[int]()
    good: list[PartialDecryption] = []
    faults: list[ProtocolError] = []
    for part in parts:
        try:
            _check(part, key, heard)
            part._verify(total, digest, context)
        except ProtocolError as fault:
            faults.append(fault)
        else:
            heard.add(part.party)
            good.append(part)
    return good, faults


def _check(part: PartialDecryption, key: ThresholdPublicKey, heard: set[int]) -> None:
    """Refuse what is no partial decryption under the key, or a second one of its party."""
    if not isinstance(part, PartialDecryption):
        raise TypeError(f"expected a PartialDecryption, not {type(part).__name__}")
    if part.public.threshold_fingerprint != key.threshold_fingerprint:
        raise ProtocolError("the partial decryption belongs to another key", party_name(part.party))
    if part.party in heard:
        raise ProtocolError("a second partial decryption of one party", party_name(part.party))


def _key_of(total: EncryptedArray, public: ThresholdPublicKey | None) -> ThresholdPublicKey:
    """Find the threshold key of an array."""
    if not isinstance(total, EncryptedArray):
        raise TypeError(f"expected an EncryptedArray, not {type(total).__name__}")
    key = total.public if public is None else public
    if not isinstance(key, ThresholdPublicKey):
        raise TypeError("the array was read with a plain public key: give the threshold key as `public`")
    if key != total.public:
        raise InvalidCiphertextError("the array is encrypted under another key")
    return key


def _interpolate(key: ThresholdPublicKey, parts: list[PartialDecryption]) -> list[int]:
    """Return the plaintext in [0, n) of every ciphertext from parts of exactly `threshold` parties."""
    group, n = key.group, key.n
    mu, weights = weights_at_zero(part.party for part in parts)
    powers = interpolated_powers(
        [group.residues(part.residues) for part in parts], [2 * weights[part.party] for part in parts]
    )
    divisor = pow(4 * key.delta * mu * key.theta, -1, n)
    return [log * divisor % n for log in _logarithms(key, powers)]


def _logarithms(key: ThresholdPublicKey, powers: Residues) -> list[int]:
    """Return b for every 1 + b n, or raise if one is nothing like that."""
    pairs = [divmod(power, key.n) for power in powers]
    if any(remainder != 1 for _, remainder in pairs):
        raise ProtocolError(
            "the partial decryptions do not belong together"
            if key.identifies_cheaters
            else "a partial decryption is wrong, and under a key without verification keys nobody can say whose"
        )
    return [log for log, _ in pairs]
