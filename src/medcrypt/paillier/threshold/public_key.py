"""The public half of a threshold key: it encrypts like any other, and says who may decrypt and how that is checked."""

import hashlib
import math
import operator
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NoReturn, SupportsIndex

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier.keys import PublicKey
from medcrypt.paillier.proofs import blum
from medcrypt.paillier.soundness import MAX_BITS
from medcrypt.paillier.threshold.lengths import dealerless_share_bits

__all__ = ["MOST_PARTIES", "ThresholdPublicKey", "VerificationKeys", "party_name"]

MOST_PARTIES = 255

_MAGIC, _VERSION = b"MCTP", 1
_HEADER = struct.Struct(">4sBBHBB")  # magic, version, kind, bits, parties, threshold
_DEALT, _DEALERLESS = 1, 2
_FINGERPRINT_DOMAIN = b"medcrypt/paillier/threshold/fingerprint/v1"
BLUM_CONTEXT = b"medcrypt/paillier/threshold/dealer"  # what the dealer's proof about n is bound to


def party_name(party: int) -> str:
    """Return how errors name a party."""
    return f"party {party}"


@dataclass(frozen=True)
class VerificationKeys:
    """What partial decryptions are checked against.

    Parameters
    ----------
    base
        v, a random square modulo n^2, which generates all squares (but for a negligible chance).
    keys
        v_i = v^(D s_i) mod n^2 for the share s_i of every party i, where D is the factorial of their number.
    """

    base: int
    keys: tuple[int, ...]

    def of(self, party: int) -> int:
        """Return v_i of party i, counted from 1."""
        return self.keys[party - 1]


class ThresholdPublicKey(PublicKey):
    """A public key whose private half is shared among parties, any `threshold` of which decrypt together.

    Made by `deal_threshold_key` or `generate_threshold_key`, or read by `from_bytes`. It encrypts like the
    `PublicKey` of the same n and equals it.

    Parameters
    ----------
    n
        The modulus.
    parties
        How many hold a share; they are numbered from 1.
    threshold
        How many of them decrypt together.
    verification
        The verification keys of a key that a dealer made of safe primes. None for a key that was generated without one:
        there nobody can tell a wrong partial decryption from a right one.
    proof
        The dealer's proof that n is a product of two Blum primes; with it the key is trusted (it encrypts
        with short exponents).
    theta
        The shared exponent modulo n: 1 from a dealer, else what the parties found.
    insecure
        Accept less than 2048 bits, as in `generate_keypair`.

    Raises
    ------
    ValueError
        If `parties` or `threshold` is out of range, or there is a proof without verification keys, or the
        other way round.
    InvalidKeyError
        If n fails its checks, the proof does not hold, a verification key is not a unit modulo n^2 or theta
        not one modulo n.

    Examples
    --------
    >>> from medcrypt.paillier import deal_threshold_key
    >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
    >>> public
    ThresholdPublicKey(bits=256, parties=3, threshold=2, fingerprint='...')
    >>> public.trusted, public.identifies_cheaters
    (True, True)
    >>> received = ThresholdPublicKey.from_bytes(public.to_bytes(), insecure=True)
    >>> received == public, received.trusted
    (True, True)
    """

    def __init__(
        self,
        n: SupportsIndex,
        *,
        parties: int,
        threshold: int,
        verification: VerificationKeys | None = None,
        proof: bytes | None = None,
        theta: int = 1,
        insecure: bool = False,
    ) -> None:
        if (verification is None) != (proof is None):
            raise ValueError("verification keys and the dealer's proof come together")
        super().__init__(n, trusted=proof is not None, insecure=insecure)
        self._parties, self._threshold = check_committee(parties, threshold)
        self._verification = verification
        self._proof = proof
        self._theta = theta
        if proof is not None:
            blum.verify(self.n, proof, BLUM_CONTEXT)
        if not (0 < theta < self.n and math.gcd(theta, self.n) == 1):
            raise InvalidKeyError("theta is not a unit modulo n")
        if verification is not None:
            self._check_verification(verification)

    def _check_verification(self, verification: VerificationKeys) -> None:
        """Refuse verification keys that are no units, or not one for each party."""
        elements = [verification.base, *verification.keys]
        if len(elements) != 1 + self._parties or not self.group.contains(elements):
            raise InvalidKeyError("a verification key is not a unit modulo n^2")

    @property
    def parties(self) -> int:
        """How many parties hold a share."""
        return self._parties

    @property
    def threshold(self) -> int:
        """How many parties decrypt together."""
        return self._threshold

    @property
    def verification(self) -> VerificationKeys | None:
        """What partial decryptions are checked against, if anything."""
        return self._verification

    @property
    def identifies_cheaters(self) -> bool:
        """Whether partial decryptions carry proofs, so that `combine` can name who cheated."""
        return self._verification is not None

    @property
    def theta(self) -> int:
        """The shared exponent modulo n."""
        return self._theta

    @property
    def delta(self) -> int:
        """The factorial of the number of parties, which clears the denominators of interpolation."""
        return math.factorial(self._parties)

    @property
    def share_bits(self) -> int:
        """How long a share may be."""
        if self._verification is not None:
            return 2 * self.bits
        return dealerless_share_bits(self.bits, self._parties, self._threshold)

    @property
    def witness_bits(self) -> int:
        """How long the exponents may be that proofs are about: a share times `delta`."""
        return self.share_bits + self.delta.bit_length()

    @property
    def encryption_key(self) -> PublicKey:
        """The plain public key, for those who only encrypt; trusted if this one is."""
        return PublicKey(self.n, trusted=self.trusted, insecure=True)

    @cached_property
    def fingerprint(self) -> bytes:
        """The fingerprint of `encryption_key`, which encrypted arrays carry."""
        return self.encryption_key.fingerprint

    @cached_property
    def threshold_fingerprint(self) -> bytes:
        """SHA-256 of a domain string and the key's bytes, 32 bytes: shares and partial decryptions carry it."""
        return hashlib.sha256(_FINGERPRINT_DOMAIN + self.to_bytes()).digest()

    def to_bytes(self) -> bytes:
        """Return the key in the format that `docs/formats/threshold.md` specifies.

        Returns
        -------
        bytes
            A header, n, and the verification keys and the dealer's proof, or theta.

        Examples
        --------
        >>> from medcrypt.paillier import deal_threshold_key
        >>> public, _ = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
        >>> public.to_bytes()[:4], public.encryption_key.to_bytes()[:4]
        (b'MCTP', b'MCPP')
        """
        kind = _DEALERLESS if self._verification is None else _DEALT
        header = _HEADER.pack(_MAGIC, _VERSION, kind, self.bits, self._parties, self._threshold)
        size, width = -(-self.bits // 8), self.ciphertext_bytes
        body = [self.n.to_bytes(size, "big")]
        if self._verification is None:
            body.append(self._theta.to_bytes(size, "big"))
        else:
            elements = (self._verification.base, *self._verification.keys)
            body += [*(v.to_bytes(width, "big") for v in elements), self._proof or b""]
        return header + b"".join(body)

    @classmethod
    def from_bytes(
        cls,
        data: bytes | bytearray | memoryview,
        trusted: bool = False,
        *,
        proof: bytes | None = None,
        context: bytes = b"",
        insecure: bool = False,
    ) -> "ThresholdPublicKey":
        """Read a key and check it: a dealer's proof about n is part of the bytes.

        Parameters
        ----------
        data
            What `to_bytes` made, from somebody whom you believe that it is the key of this committee.
        trusted, proof, context
            Not used: the key brings its own proof, or is not trusted.
        insecure
            As for the class.

        Returns
        -------
        ThresholdPublicKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the bytes are no such key, or it fails its checks.
        ValueError
            If `trusted`, `proof` or `context` is given.

        Examples
        --------
        See the class.
        """
        if trusted or proof is not None or context:
            raise ValueError("a threshold key is trusted by the dealer's proof, which its bytes hold")
        view = memoryview(data).cast("B")
        if len(view) < _HEADER.size:
            raise InvalidKeyError("too short for a threshold key")
        magic, version, kind, bits, parties, threshold = _HEADER.unpack_from(view)
        known = magic == _MAGIC and version == _VERSION and kind in (_DEALT, _DEALERLESS)
        if not known or not 2 <= threshold <= parties or bits > MAX_BITS:
            raise InvalidKeyError("not a threshold key of this kind and version")
        read = _read_dealt if kind == _DEALT else _read_dealerless
        n, verification, blum_proof, theta = read(bytes(view[_HEADER.size :]), bits, parties)
        if n.bit_length() != bits:
            raise InvalidKeyError("n does not have the declared length")
        return cls(
            n,
            parties=parties,
            threshold=threshold,
            verification=verification,
            proof=blum_proof,
            theta=theta,
            insecure=insecure,
        )

    def verify(self, proof: bytes, *, context: bytes = b"") -> NoReturn:
        """Refused: nobody knows the factors of n, so nobody proves anything more about it."""
        raise TypeError("a threshold key has no owner who could prove it; the dealer's proof is part of it")

    def __repr__(self) -> str:
        return (
            f"ThresholdPublicKey(bits={self.bits}, parties={self._parties}, threshold={self._threshold}, "
            f"fingerprint='{self.fingerprint[:8].hex()}')"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (self.to_bytes(),)


def check_committee(parties: SupportsIndex, threshold: SupportsIndex) -> tuple[int, int]:
    """Return both as integers, or raise ValueError."""
    count, needed = operator.index(parties), operator.index(threshold)
    if not 2 <= needed <= count <= MOST_PARTIES:
        raise ValueError(f"2 <= threshold <= parties <= {MOST_PARTIES} is needed")
    return count, needed


def _read_dealt(body: bytes, bits: int, parties: int) -> tuple[int, VerificationKeys, bytes, int]:
    """Read n, v, the v_i and the dealer's proof."""
    size, width = -(-bits // 8), -(-2 * bits // 8)
    start = size + (1 + parties) * width
    if len(body) != start + blum.proof_bytes(bits):
        raise InvalidKeyError("the length does not match the header")
    base, *keys = _integers(body[size:start], width)
    return int.from_bytes(body[:size], "big"), VerificationKeys(base, tuple(keys)), body[start:], 1


def _read_dealerless(body: bytes, bits: int, parties: int) -> tuple[int, None, None, int]:
    """Read n and theta."""
    size = -(-bits // 8)
    if len(body) != 2 * size:
        raise InvalidKeyError("the length does not match the header")
    n, theta = _integers(body, size)
    return n, None, None, theta


def _integers(data: bytes, width: int) -> Sequence[int]:
    """Decode big-endian integers of `width` bytes each."""
    return [int.from_bytes(data[i : i + width], "big") for i in range(0, len(data), width)]


def _rebuild(data: bytes) -> ThresholdPublicKey:
    """Unpickle a key."""
    return ThresholdPublicKey.from_bytes(data, insecure=True)
