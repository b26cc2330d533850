"""Proof that n is a Paillier-Blum modulus (CGGMP21, figure 16).

Statement: n = p q for exactly two primes p, q = 3 (mod 4), and gcd(n, phi(n)) = 1.

The prover draws w with Jacobi symbol -1. From n and w everybody hashes challenges y_1 ... y_128, and the
prover answers each with a fourth root x of (-1)^a w^b y modulo n for bits a, b of his choice, and the first
eight also with an n-th root z of y. No answer tells more than a random x, z would have told.

Why a wrong n has no proof, in any of its ways of being wrong (y uniform among the units):

* gcd(n, phi(n)) = d > 1. Some prime r divides both; r > 2^16, as the verifier divides by all smaller ones.
  There is an element of order r, so at most one y in r is an n-th power: eight answers have a chance of less
  than 65537^-8 < 2^-128. (CGGMP21 does no trial division and so asks for an n-th root in every round. The
  trick is from Goldberg, Reyzin, Sagga and Baldimtsi, IACR ePrint 2018/057.)
* Otherwise n is squarefree. It is not prime, which the verifier tests. With k >= 3 prime factors, or two of
  which one is 1 modulo 4, the fourth powers have at least eight cosets among the units, and -1 and w reach
  only four of them: each answer has a chance of at most 1/2, all 128 one of 2^-128.

Trying many w offline, as Fiat and Shamir's transform lets one do, costs 2^128 tries. The proof does not show
that gcd(p - 1, q - 1) = 2, nor how large the factors are: `factors` bounds the latter.
"""

import math
import secrets

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier.arithmetic import secret_inverse
from medcrypt.paillier.proofs.residues import jacobi, octet_length, powers, recombine
from medcrypt.paillier.proofs.transcript import Fields, Transcript, octets, pack_bits, unpack_bits
from medcrypt.paillier.soundness import check_modulus

__all__ = ["FOURTH_ROOTS", "NTH_ROOTS", "proof_bytes", "prove", "verify"]

FOURTH_ROOTS = 128
NTH_ROOTS = 8

_DOMAIN = b"medcrypt/paillier/proof/blum/v1"
_MAGIC = b"MCPB\x01"


def proof_bytes(bits: int) -> int:
    """Return the length in bytes of a proof about a modulus of `bits` bits.

    Examples
    --------
    >>> proof_bytes(3072)
    52647
    """
    return len(_MAGIC) + 2 + 2 * (FOURTH_ROOTS // 8) + (1 + FOURTH_ROOTS + NTH_ROOTS) * -(-bits // 8)


def prove(p: int, q: int, context: bytes) -> bytes:
    """Prove that n = p q is a Paillier-Blum modulus.

    Parameters
    ----------
    p, q
        The primes of a key. Secret.
    context
        What the proof is bound to.

    Returns
    -------
    bytes
        The proof.

    Raises
    ------
    InvalidKeyError
        If the primes are not of the form, so that no proof exists.

    Examples
    --------
    >>> from medcrypt.paillier import generate_keypair
    >>> _, private = generate_keypair(256, insecure=True)
    >>> len(prove(private.p, private.q, b""))
    4423
    """
    n = p * q
    w = _non_residue(n)
    challenges = _challenges(n, w, context)
    choices = _twists(challenges, w, p, q)
    squares = [(-1) ** a * w**b * y % n for y, (a, b) in zip(challenges, choices, strict=True)]
    fourth_roots = [min(x, n - x) for x in _fourth_roots(squares, p, q)]
    size = octet_length(n)
    proof = b"".join(
        [
            _MAGIC,
            octets(n.bit_length(), 2),
            octets(w, size),
            pack_bits(a for a, _ in choices),
            pack_bits(b for _, b in choices),
            *(octets(x, size) for x in fourth_roots),
            *(octets(z, size) for z in _nth_roots(challenges[:NTH_ROOTS], p, q)),
        ]
    )
    # A root that is right modulo p and wrong modulo q, as a fault would make it, gives the factors away.
    verify(n, proof, context)
    return proof


def verify(n: int, proof: bytes | bytearray | memoryview, context: bytes) -> None:
    """Accept the proof, or raise.

    Parameters
    ----------
    n
        The modulus.
    proof
        What `prove` made.
    context
        What it must be bound to.

    Raises
    ------
    InvalidKeyError
        If the proof is malformed or does not hold, or n is even, prime, a square or has a prime factor
        below 2^16.

    Examples
    --------
    >>> from medcrypt.paillier import generate_keypair
    >>> public, private = generate_keypair(256, insecure=True)
    >>> verify(public.n, prove(private.p, private.q, b""), b"")
    """
    check_modulus(n, insecure=True)  # odd, composite, nothing below 2^16; the length is the key's business
    size = octet_length(n)
    fields = Fields(proof)
    fields.expect(_MAGIC + octets(n.bit_length(), 2))
    (w,) = fields.integers(1, size)
    signs, twists = (unpack_bits(fields.take(FOURTH_ROOTS // 8)) for _ in range(2))
    fourth_roots = fields.integers(FOURTH_ROOTS, size)
    nth_roots = fields.integers(NTH_ROOTS, size)
    fields.end()
    if not (0 < w < n and jacobi(w, n) == -1):
        raise InvalidKeyError("the proof does not hold")
    challenges = _challenges(n, w, context)
    if math.gcd(math.prod(challenges) % n, n) != 1:
        raise InvalidKeyError("the proof does not hold")
    for y, x, a, b in zip(challenges, fourth_roots, signs, twists, strict=True):
        # -x is a root as well; the smaller of the two makes the bytes unique.
        if not (0 < x <= n // 2 and pow(x, 4, n) == (-1) ** a * w**b * y % n):
            raise InvalidKeyError("the proof does not hold")
    if not all(0 < z < n for z in nth_roots) or powers(nth_roots, n, n) != challenges[:NTH_ROOTS]:
        raise InvalidKeyError("the proof does not hold")


def _challenges(n: int, w: int, context: bytes) -> list[int]:
    """Hash context, n and w to the residues whose roots are asked for."""
    size = octet_length(n)
    transcript = Transcript(_DOMAIN, context)
    transcript.absorb(b"n", octets(n, size))
    transcript.absorb(b"w", octets(w, size))
    return transcript.residues(n, FOURTH_ROOTS)


def _non_residue(n: int) -> int:
    """Draw a unit of Jacobi symbol -1: a square modulo one of two primes, not modulo the other."""
    while True:
        w = secrets.randbelow(n)
        if jacobi(w, n) == -1:
            return w


def _twists(ys: list[int], w: int, p: int, q: int) -> list[tuple[int, int]]:
    """Return a, b for every y for which (-1)^a w^b y is a square.

    -1 is no square modulo p nor modulo q, w is one modulo exactly one of them: so some a, b do. Euler's
    criterion rather than Jacobi symbols: those would take a time that depends on p and q.
    """
    is_p, is_q = ([power == 1 for power in powers([w, *ys], (prime - 1) // 2, prime)] for prime in (p, q))
    choices: list[tuple[int, int]] = []
    for y_p, y_q in zip(is_p[1:], is_q[1:], strict=True):
        b = y_p != y_q
        a = y_p != (is_p[0] or not b)
        choices.append((int(a), int(b)))
    return choices


def _fourth_roots(squares: list[int], p: int, q: int) -> list[int]:
    """Return fourth roots modulo p q. A square u has one root that is a square itself, u^((p + 1) / 4) mod p."""
    modulo_p, modulo_q = (
        powers(squares, ((prime + 1) // 4) ** 2 % (prime - 1), prime, width=octet_length(prime))
        for prime in (p, q)
    )
    return [recombine(x, y, p, q) for x, y in zip(modulo_p, modulo_q, strict=True)]


def _nth_roots(ys: list[int], p: int, q: int) -> list[int]:
    """Return z with z^n = y (mod n), for n = p q."""
    try:
        modulo_p, modulo_q = (
            powers(ys, _inverse_exponent(p * q, prime), prime, width=octet_length(prime)) for prime in (p, q)
        )
    except ValueError:
        raise InvalidKeyError("gcd(n, phi(n)) is not 1") from None
    return [recombine(x, y, p, q) for x, y in zip(modulo_p, modulo_q, strict=True)]


def _inverse_exponent(n: int, prime: int) -> int:
    """Return the inverse of an odd n modulo prime - 1, which is twice an odd number: it is odd itself."""
    half = prime // 2
    inverse = secret_inverse(n, half)
    return inverse + half * (1 - inverse % 2)
