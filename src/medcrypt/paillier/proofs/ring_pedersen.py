"""Ring-Pedersen parameters and the proof that s is a power of t (CGGMP21, figure 17).

A commitment to x is s^x t^rho modulo a modulus of the verifier. It hides x from everybody, the verifier with
all his secrets included, because s is a power of t: that is what the proof is for. It binds the prover, who
does not know the factors.

The prover of the proof (who is the verifier of the commitments) draws a_1 ... a_128 below phi(n), hashes the
t^a_i to bits e_1 ... e_128 and answers z_i = a_i + e_i lambda mod phi(n). Answers to both values of one bit
would make s a power of t, t^(z - z'). So if s is none, every bit has a chance of 1/2, all together of 2^-128.
The t^a_i are recomputed as t^z_i s^-e_i rather than sent.
"""

import math
import secrets
from dataclasses import dataclass, field

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier.proofs.residues import fixed_base_powers, octet_length
from medcrypt.paillier.proofs.transcript import Fields, Transcript, octets, pack_bits, unpack_bits
from medcrypt.paillier.safe_primes import random_safe_prime
from medcrypt.paillier.soundness import MAX_BITS, check_modulus, least_distance, minimum_bits

__all__ = ["ROUNDS", "RingPedersen"]

ROUNDS = 128

_DOMAIN = b"medcrypt/paillier/proof/ring-pedersen/v1"
_MAGIC = b"MCRP\x01"


@dataclass(frozen=True)
class RingPedersen:
    """Parameters of commitments, chosen by the one who verifies, with the proof that they hide.

    Made by `generate` or `from_bytes`. However they are made, their proof is verified: commitments under
    parameters that do not hide would tell the factors of a key. Whoever made them forgot the factors of n and
    the logarithm of s; a verifier must use parameters of his own.

    Parameters
    ----------
    n
        Product of two safe primes.
    s, t
        Squares modulo n; s is a power of t.
    proof
        That it is.
    context
        What the proof is bound to.

    Raises
    ------
    InvalidKeyError
        If n is visibly no product of two large primes, or the proof does not hold.

    Examples
    --------
    >>> parameters = RingPedersen.generate(256, insecure=True)
    >>> RingPedersen.from_bytes(parameters.to_bytes(), insecure=True) == parameters
    True
    """

    n: int
    s: int
    t: int
    proof: bytes = field(repr=False)
    context: bytes = b""

    def __post_init__(self) -> None:
        n, s, t = self.n, self.s, self.t
        check_modulus(n, insecure=True)  # the length is the business of `from_bytes`
        fields = Fields(self.proof)
        bits = unpack_bits(fields.take(ROUNDS // 8))
        answers = fields.integers(ROUNDS, octet_length(n))
        fields.end()
        if not (_are_generators(n, s, t) and all(z < n for z in answers)):
            raise InvalidKeyError("the proof does not hold")
        inverse = pow(s, -1, n)
        powers = fixed_base_powers(t, answers, n)
        commitments = [power * inverse % n if e else power for power, e in zip(powers, bits, strict=True)]
        if _challenge(n, s, t, commitments, self.context) != bits:
            raise InvalidKeyError("the proof does not hold")

    @classmethod
    def generate(cls, bits: int = 3072, *, context: bytes = b"", insecure: bool = False) -> "RingPedersen":
        """Draw parameters and prove them.

        Parameters
        ----------
        bits
            Length of n, a multiple of 16. As long as the keys that will be judged, at least.
        context
            What the proof is bound to, such as the name of the verifier.
        insecure
            Allow less than 2048 bits, for tests.

        Returns
        -------
        RingPedersen
            The parameters. Publish `to_bytes()`.

        Raises
        ------
        ValueError
            If the length is not allowed.

        Examples
        --------
        >>> RingPedersen.generate(256, insecure=True).n.bit_length()
        256
        """
        least = minimum_bits(insecure)
        if not least <= bits <= MAX_BITS or bits % 16:
            raise ValueError(f"bits must be a multiple of 16 between {least} and {MAX_BITS}")
        half = bits // 2
        p, q = random_safe_prime(half), random_safe_prime(half)
        while abs(p - q) <= least_distance(half):
            q = random_safe_prime(half)
        return cls._of_safe_primes(p, q, context)

    @classmethod
    def _of_safe_primes(cls, p: int, q: int, context: bytes) -> "RingPedersen":
        """Draw t and s = t^lambda and prove it, knowing the factors for the last time."""
        n, totient = p * q, (p - 1) * (q - 1)
        while True:
            t = pow(secrets.randbelow(n), 2, n)
            secret = secrets.randbelow(totient)
            (s,) = fixed_base_powers(t, [secret], n)
            if _are_generators(n, s, t):
                break
        masks = [secrets.randbelow(totient) for _ in range(ROUNDS)]
        bits = _challenge(n, s, t, fixed_base_powers(t, masks, n), context)
        size = octet_length(n)
        answers = [(mask + e * secret) % totient for mask, e in zip(masks, bits, strict=True)]
        proof = pack_bits(bits) + b"".join(octets(z, size) for z in answers)
        return cls(n, s, t, proof, bytes(context))

    def to_bytes(self) -> bytes:
        """Return parameters and proof in the format that `docs/formats/paillier.md` specifies.

        Returns
        -------
        bytes
            7 bytes of header, n, s, t, 16 bytes of challenge and 128 answers.

        Examples
        --------
        >>> len(RingPedersen.generate(256, insecure=True).to_bytes())
        4215
        """
        size = octet_length(self.n)
        header = _MAGIC + octets(self.n.bit_length(), 2)
        return header + b"".join(octets(x, size) for x in (self.n, self.s, self.t)) + self.proof

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, *, context: bytes = b"", insecure: bool = False
    ) -> "RingPedersen":
        """Read parameters and verify their proof.

        Parameters
        ----------
        data
            What `to_bytes` made.
        context
            What the proof must be bound to.
        insecure
            Accept less than 2048 bits.

        Returns
        -------
        RingPedersen
            The parameters.

        Raises
        ------
        InvalidKeyError
            If anything is malformed, too short, or the proof does not hold.

        Examples
        --------
        See the class.
        """
        fields = Fields(data)
        fields.expect(_MAGIC)
        (bits,) = fields.integers(1, 2)
        size = -(-bits // 8)
        n, s, t = fields.integers(3, size)
        if n.bit_length() != bits:
            raise InvalidKeyError("n does not have the declared length")
        proof = fields.take(ROUNDS // 8 + ROUNDS * size)
        fields.end()
        check_modulus(n, insecure)
        return cls(n, s, t, proof, bytes(context))


def _are_generators(n: int, s: int, t: int) -> bool:
    """Tell whether s and t are reduced units and neither is 1 or -1."""
    return all(1 < x < n - 1 for x in (s, t)) and math.gcd(s * t % n, n) == 1


def _challenge(n: int, s: int, t: int, commitments: list[int], context: bytes) -> list[int]:
    """Hash context, parameters and commitments to bits."""
    size = octet_length(n)
    transcript = Transcript(_DOMAIN, context)
    for label, x in ((b"n", n), (b"s", s), (b"t", t)):
        transcript.absorb(label, octets(x, size))
    transcript.absorb(b"A", *(octets(a, size) for a in commitments))
    return unpack_bits(transcript.challenge(ROUNDS // 8))
