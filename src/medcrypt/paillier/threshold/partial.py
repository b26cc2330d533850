"""A partial decryption as it travels: whose, of what, the powers, and the proof that they are right."""

import hashlib
import struct

from medcrypt.errors import FormatError, InvalidCiphertextError, ProtocolError
from medcrypt.paillier.arithmetic import Residues
from medcrypt.paillier.arrays import EncryptedArray
from medcrypt.paillier.proofs.transcript import Transcript
from medcrypt.paillier.threshold.equality import EqualityProof, Statement, proof_bytes, verify
from medcrypt.paillier.threshold.public_key import ThresholdPublicKey, VerificationKeys, party_name

__all__ = ["PartialDecryption", "check_context", "digest_of", "statement_of"]

_MAGIC, _VERSION = b"MCPD", 1
# magic, version, party, fingerprint of the threshold key, digest of the array, ciphertexts, length of the context
_HEADER = struct.Struct(">4sBB32s32sQB")
_DIGEST_DOMAIN = b"medcrypt/paillier/threshold/array/v1"
_PROOF_DOMAIN = b"medcrypt/paillier/threshold/equality/v1"
_MOST_CONTEXT = 255


def digest_of(total: EncryptedArray) -> bytes:
    """Return SHA-256 of a domain string and the array's bytes: what a partial decryption says it is of."""
    return hashlib.sha256(_DIGEST_DOMAIN + total.to_bytes()).digest()


def check_context(context: bytes) -> bytes:
    """Return a context as bytes, or raise ValueError."""
    if len(context) > _MOST_CONTEXT:
        raise ValueError(f"a context has at most {_MOST_CONTEXT} bytes")
    return bytes(context)


def statement_of(
    public: ThresholdPublicKey,
    verification: VerificationKeys,
    party: int,
    xs: Residues,
    ys: Residues,
    digest: bytes,
    context: bytes,
) -> Statement:
    """Bind what a party proves to its key, number, array and context."""
    transcript = Transcript(_PROOF_DOMAIN, context)
    transcript.absorb(b"key", public.threshold_fingerprint)  # n, v, every v_i, parties and threshold
    transcript.absorb(b"party", bytes([party]))
    transcript.absorb(b"array", digest)
    transcript.absorb(b"partial", ys.to_bytes())
    return Statement(xs, ys, verification.base, verification.of(party), transcript)


class PartialDecryption:
    """What one party contributes to a decryption: c^(2 D s_i) for every ciphertext, with a proof.

    Made by `KeyShare.partial_decrypt` and `PartialDecryption.from_bytes`; `combine` takes `threshold` of them.
    It is bound to the key, the party, the encrypted array with everything in its header, and a context.

    Parameters
    ----------
    public
        The threshold key.
    party
        Who made it, counted from 1.
    residues
        One residue modulo n^2 for each ciphertext.
    digest
        Digest of the encrypted array.
    proof
        The proof, or None under a key without verification keys.
    context
        Up to 255 bytes, such as the identity of a round.

    Examples
    --------
    >>> from medcrypt.paillier import Packing, deal_threshold_key
    >>> public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
    >>> total = public.encrypt([1.0, 2.0], Packing(clip=2.0))
    >>> part = shares[0].partial_decrypt(total, context=b"round 7")
    >>> part
    PartialDecryption(party=1, ciphertexts=1, key='...')
    >>> received = PartialDecryption.from_bytes(part.to_bytes(), public)
    >>> received.verify(total, context=b"round 7")
    """

    def __init__(
        self,
        public: ThresholdPublicKey,
        party: int,
        residues: Residues,
        digest: bytes,
        proof: EqualityProof | None,
        context: bytes = b"",
    ) -> None:
        self._public = public
        self._party = party
        self._residues = residues
        self._digest = digest
        self._proof = proof
        self._context = check_context(context)

    @property
    def public(self) -> ThresholdPublicKey:
        """The threshold key."""
        return self._public

    @property
    def party(self) -> int:
        """Who made it, counted from 1."""
        return self._party

    @property
    def residues(self) -> Residues:
        """The powers, one for each ciphertext."""
        return self._residues

    @property
    def context(self) -> bytes:
        """What it is bound to beyond key, party and array."""
        return self._context

    @property
    def nbytes(self) -> int:
        """Length of `to_bytes()`."""
        proof = 0 if self._proof is None else proof_bytes(self._public.witness_bits)
        return _HEADER.size + len(self._context) + len(self._residues) * self._public.ciphertext_bytes + proof

    def verify(self, total: EncryptedArray, *, context: bytes = b"") -> None:
        """Accept the partial decryption, or raise.

        Parameters
        ----------
        total
            The array that it must be of.
        context
            The context that it must have.

        Raises
        ------
        ProtocolError
            Naming the party: if it is of another array or context, its powers are no units modulo n^2, or the proof
            does not hold. Under a key without verification keys there is no proof, and the powers can be
            wrong without anybody seeing it.

        Examples
        --------
        See the class.
        """
        self._verify(total, digest_of(total), context)

    def _verify(self, total: EncryptedArray, digest: bytes, context: bytes) -> None:
        """Do so for an array whose digest is known already."""
        name = party_name(self._party)
        if self._digest != digest or len(self._residues) != len(total.residues):
            raise ProtocolError("the partial decryption is of another array", name)
        if self._context != context:
            raise ProtocolError("the partial decryption belongs to another context", name)
        public, verification = self._public, self._public.verification
        if not 1 <= self._party <= public.parties:
            raise ProtocolError("there is no such party", name)
        ys = public.group.residues(self._residues)
        if not public.group.are_units(ys):
            raise ProtocolError("a partial decryption is not a unit modulo n^2", name)
        if verification is None:
            return
        xs = public.group.residues(total.residues)
        statement = statement_of(public, verification, self._party, xs, ys, digest, context)
        if self._proof is None or not verify(statement, self._proof):
            raise ProtocolError("the proof of the partial decryption does not hold", name)

    def to_bytes(self) -> bytes:
        """Return the partial decryption in the format that `docs/formats/threshold.md` specifies.

        Returns
        -------
        bytes
            `nbytes` bytes: a header, the powers, each of fixed width, and the proof.

        Examples
        --------
        See the class.
        """
        header = _HEADER.pack(
            *(_MAGIC, _VERSION, self._party, self._public.threshold_fingerprint, self._digest),
            *(len(self._residues), len(self._context)),
        )
        proof = b"" if self._proof is None else self._proof.to_bytes(self._public.witness_bits)
        return b"".join([header, self._context, self._residues.to_bytes(), proof])

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, public: ThresholdPublicKey
    ) -> "PartialDecryption":
        """Read a partial decryption; `verify`, or `combine`, decides whether it is right.

        Parameters
        ----------
        data
            What `to_bytes` made.
        public
            The threshold key that it must belong to.

        Returns
        -------
        PartialDecryption
            The partial decryption.

        Raises
        ------
        FormatError
            If the bytes are malformed, or the length is not exactly what the header and the key say.
        InvalidCiphertextError
            If it belongs to another key, or a power is not a unit modulo n^2.

        Examples
        --------
        See the class.
        """
        view = memoryview(data).cast("B")
        if len(view) < _HEADER.size:
            raise FormatError("too short for a partial decryption")
        magic, version, party, key, digest, count, context_bytes = _HEADER.unpack_from(view)
        if magic != _MAGIC or version != _VERSION:
            raise FormatError("not a partial decryption of this version")
        if key != public.threshold_fingerprint:
            raise InvalidCiphertextError("the partial decryption belongs to another key")
        if not 1 <= party <= public.parties:
            raise FormatError("there is no such party")
        start = _HEADER.size + context_bytes
        stop = start + count * public.ciphertext_bytes
        proof_size = proof_bytes(public.witness_bits) if public.identifies_cheaters else 0
        if len(view) != stop + proof_size:
            raise FormatError("the length does not match the header")
        proof = None
        if public.identifies_cheaters:
            proof = EqualityProof.from_bytes(bytes(view[stop:]), public.witness_bits)
            if proof is None:
                raise FormatError("the response of the proof is too long")
        group, body = public.group, view[start:stop]
        residues = group.decode(body)
        if not (group.are_in_range(body) and group.are_units(residues)):
            raise InvalidCiphertextError("a partial decryption is not a unit modulo n^2")
        return cls(public, party, residues, digest, proof, bytes(view[_HEADER.size : start]))

    def __eq__(self, other: object) -> bool:
        return self.to_bytes() == other.to_bytes() if isinstance(other, PartialDecryption) else NotImplemented

    def __hash__(self) -> int:
        return hash((PartialDecryption, self._party, self._digest))

    def __repr__(self) -> str:
        return (
            f"PartialDecryption(party={self._party}, ciphertexts={len(self._residues)}, "
            f"key='{self._public.fingerprint[:8].hex()}')"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return PartialDecryption.from_bytes, (self.to_bytes(), self._public)
