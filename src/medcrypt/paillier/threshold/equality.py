"""Proof that a batch of partial decryptions was made with one share: equal discrete logarithms, all at once.

Statement: y_j^2 = (x_j^4)^w modulo n^2 for every j, where w is the logarithm of v_i to the base v: w = D s_i for the
share s_i. The x_j are ciphertexts, the y_j partial decryptions x_j^(2 w), v_i the verification key.

    hash everything              -> e_j, 128 bits each
    X = prod x_j^(4 e_j)            Y = prod y_j^(2 e_j)
    A = X^r, B = v^r                r uniform, 256 bits longer than w
    hash A and B as well         -> c, 128 bits
    z = r + c w                     sent: c, z

The verifier computes A = X^z Y^-c and B = v^z v_i^-c and compares the hash. Squares modulo n^2, for n a product of
safe primes, are a cyclic group whose order has no prime factor below 2^128; this is why one wrong y_j
passes for at most one value of its coefficient and a wrong Y for at most one challenge. The whole argument is in
docs/explanation/threshold.md. What it does not show is y_j itself, only its square: whoever uses it squares it.
"""

from dataclasses import dataclass

import numpy as np

from medcrypt._ext import bignum
from medcrypt.paillier.arithmetic import Group, Residues, random_exponents
from medcrypt.paillier.multiexponentiation import products_of_powers
from medcrypt.paillier.proofs.transcript import Transcript, octets

__all__ = ["COEFFICIENT_BYTES", "EqualityProof", "Statement", "prove", "response_bits", "verify"]

COEFFICIENT_BYTES = 16
_CHALLENGE_BYTES = 16
_MASK_BITS = 256  # beyond the witness: 128 for the challenge, 128 for the statistical distance
_DIGITS = 4  # 32 bits each: what a coefficient is cut into for the multi-exponentiation


@dataclass(frozen=True)
class EqualityProof:
    """Challenge and response."""

    challenge: int
    response: int

    def to_bytes(self, witness_bits: int) -> bytes:
        """Return 16 bytes of challenge, and the response as long as it may be."""
        return octets(self.challenge, _CHALLENGE_BYTES) + octets(self.response, _response_bytes(witness_bits))

    @classmethod
    def from_bytes(cls, data: bytes, witness_bits: int) -> "EqualityProof | None":
        """Read what `to_bytes` wrote; None if it is not that."""
        if len(data) != proof_bytes(witness_bits):
            return None
        response = int.from_bytes(data[_CHALLENGE_BYTES:], "big")
        if response.bit_length() > response_bits(witness_bits):
            return None
        return cls(int.from_bytes(data[:_CHALLENGE_BYTES], "big"), response)


@dataclass(frozen=True)
class Statement:
    """What is proved.

    Parameters
    ----------
    xs, ys
        Ciphertexts and partial decryptions, units modulo n^2, equally many.
    base, key
        v and v_i.
    transcript
        Has absorbed everything above, and whatever else the proof is bound to. It is used up.
    """

    xs: Residues
    ys: Residues
    base: int
    key: int
    transcript: Transcript

    @property
    def group(self) -> Group:
        """The group of the ciphertexts."""
        return self.xs.group


def response_bits(witness_bits: int) -> int:
    """How long a response may be."""
    return witness_bits + _MASK_BITS + 1


def _response_bytes(witness_bits: int) -> int:
    """How many bytes hold a response."""
    return -(-response_bits(witness_bits) // 8)


def proof_bytes(witness_bits: int) -> int:
    """How many bytes hold a proof."""
    return _CHALLENGE_BYTES + _response_bytes(witness_bits)


def prove(statement: Statement, witness: int, witness_bits: int) -> EqualityProof:
    """Prove the statement.

    Parameters
    ----------
    statement
        With y_j^2 = x_j^(4 w) and v_i = v^w.
    witness
        w, not negative. Secret.
    witness_bits
        Public bound on its length.

    Returns
    -------
    EqualityProof
        The proof.
    """
    group = statement.group
    coefficients = _coefficients(statement)
    product = group.power(_weighted_product(statement.xs, coefficients), 4)
    drawn = random_exponents(witness_bits + _MASK_BITS, 1)
    mask = int.from_bytes(drawn, "little")
    drawn.reverse()
    commitments = group.secret_power([*product, statement.base], drawn)
    bignum.wipe(drawn)
    challenge = _challenge(statement, commitments)
    return EqualityProof(challenge, mask + challenge * witness)


def verify(statement: Statement, proof: EqualityProof) -> bool:
    """Tell whether the proof holds. Lengths and group membership were checked when it was read."""
    group = statement.group
    coefficients = _coefficients(statement)
    product = group.power(_weighted_product(statement.xs, coefficients), 4)
    partial = group.power(_weighted_product(statement.ys, coefficients), 2)
    raised = group.power([*product, statement.base], proof.response)
    removed = group.power([*partial, statement.key], -proof.challenge)
    return _challenge(statement, group.multiply(raised, removed)) == proof.challenge


def _coefficients(statement: Statement) -> bytes:
    """Hash everything that was absorbed to a coefficient for every ciphertext."""
    return statement.transcript.challenge(max(COEFFICIENT_BYTES * len(statement.xs), 1))


def _challenge(statement: Statement, commitments: Residues) -> int:
    """Hash the commitments as well."""
    width = statement.group.width
    statement.transcript.absorb(b"commitments", *(octets(x, width) for x in commitments))
    return int.from_bytes(statement.transcript.challenge(_CHALLENGE_BYTES), "big")


def _weighted_product(residues: Residues, coefficients: bytes) -> Residues:
    """Return the product of residues[j]^e_j, as one residue.

    Every coefficient is four digits of 32 bits, most significant first: one multi-exponentiation gives the
    products of each of them, and Horner's rule joins these.
    """
    group, count = residues.group, len(residues)
    digits = np.frombuffer(coefficients, dtype=">u4", count=_DIGITS * count).astype(np.int64)
    rows = np.ascontiguousarray(digits.reshape(count, _DIGITS).T)
    first, *others = products_of_powers(residues, rows)
    product = group.residues([first])
    for digit in others:
        product = group.multiply(group.power(product, 1 << 32), [digit])
    return product
