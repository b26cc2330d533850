"""Proof that n has no small factor, against parameters of the verifier (CGGMP21, figure 28).

Statement: n = p q with |p|, |q| below 2^(l + e) sqrt(n) up to a factor of 2, so that neither is below
sqrt(n) / 2^(l + e + 1). With l = 256 and e = 512, the lengths of the paper, that is 2^767 for n of 3072 bits and
2^255 for 2048. Together with `blum` it bounds both prime factors, there being two.

The prover commits to p and q under the ring-Pedersen parameters (N, s, t) of the verifier and shows, as in
Schnorr's proof but over the integers, that the committed numbers are short and that their product is n:

    P = s^p t^mu                A = s^alpha t^x        z1 = alpha + c p     w1 = x + c mu
    Q = s^q t^nu                B = s^beta t^y         z2 = beta + c q      w2 = y + c nu
    R = s^n t^sigma (public)    T = Q^alpha t^r        v = r + c (sigma - nu p)

    s^z1 t^w1 = A P^c           s^z2 t^w2 = B Q^c      Q^z1 t^v = T R^c     |z1|, |z2| <= 2^(l + e) sqrt(n)

with a challenge c in [-2^256, 2^256) hashed from everything before it. Whoever answers two challenges to one
commitment knows such p and q, or has solved the strong RSA problem for N; hence one challenge suffices, and
hence **N must be the verifier's own**: whoever knows its factors can prove anything.

The masks are 2^256 times longer than what they hide, so that the answers tell less than 2^-255 of it.
"""

import math
import secrets
from dataclasses import dataclass

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier.proofs.residues import octet_length, powers
from medcrypt.paillier.proofs.ring_pedersen import RingPedersen
from medcrypt.paillier.proofs.transcript import Fields, Transcript, octets

__all__ = ["Lengths", "prove", "verify"]

_DOMAIN = b"medcrypt/paillier/proof/no-small-factor/v1"
_MAGIC = b"MCPF\x01"


@dataclass(frozen=True)
class Lengths:
    """The lengths of the proof in bits; those of the paper, but for tests of the argument.

    Parameters
    ----------
    ell
        l of the paper: slack of the range, and how much longer masks of commitments are than N.
    epsilon
        e of the paper: how much longer masks of answers are.
    challenge
        Length of the challenge, without its sign.
    """

    ell: int = 256
    epsilon: int = 512
    challenge: int = 256


_LENGTHS = Lengths()


@dataclass(frozen=True)
class _Commitment:
    """The prover's first message."""

    p: int
    q: int
    a: int
    b: int
    t: int
    sigma: int

    @property
    def elements(self) -> tuple[int, ...]:
        """The residues modulo N."""
        return self.p, self.q, self.a, self.b, self.t


def prove(p: int, q: int, parameters: RingPedersen, context: bytes, lengths: Lengths = _LENGTHS) -> bytes:
    """Prove that n = p q has no small factor.

    Parameters
    ----------
    p, q
        The primes of a key. Secret.
    parameters
        The verifier's, whose proof was verified when they were read.
    context
        What the proof is bound to.
    lengths
        Another choice, for tests.

    Returns
    -------
    bytes
        The proof.

    Raises
    ------
    ValueError
        If the parameters share a factor with n.

    Examples
    --------
    >>> from medcrypt.paillier import generate_keypair
    >>> parameters = RingPedersen.generate(256, insecure=True)
    >>> public, private = generate_keypair(256, insecure=True)
    >>> verify(public.n, prove(private.p, private.q, parameters, b""), parameters, b"")
    """
    n, big = p * q, parameters.n
    if math.gcd(n, big) != 1:
        raise ValueError("the parameters must be the verifier's own")
    width = max(_widths(n, big, lengths))  # no exponent is longer than the longest answer

    def commit(base: int, exponent: int, mask: int) -> int:
        """Return base^exponent t^mask, in constant time but for the signs."""
        return _power(base, exponent, width, big) * _power(parameters.t, mask, width, big) % big

    wide, narrow = 1 << (lengths.ell + lengths.epsilon), 1 << lengths.ell
    while True:
        alpha, beta = (_between(wide * math.isqrt(n)) for _ in range(2))
        mu, nu = (_between(narrow * big) for _ in range(2))
        x, y = (_between(wide * big) for _ in range(2))
        sigma, r = _between(narrow * n * big), _between(wide * n * big)
        q_commitment = commit(parameters.s, q, nu)
        commitment = _Commitment(
            p=commit(parameters.s, p, mu),
            q=q_commitment,
            a=commit(parameters.s, alpha, x),
            b=commit(parameters.s, beta, y),
            t=commit(q_commitment, alpha, r),
            sigma=sigma,
        )
        c = _challenge(n, parameters, commitment, context, lengths)
        z1, z2 = alpha + c * p, beta + c * q
        if max(abs(z1), abs(z2)) <= wide * math.isqrt(n):  # but for a chance of about 2^-511
            break
    answers = z1, z2, x + c * mu, y + c * nu, r + c * (sigma - nu * p)
    return _encode(n, big, commitment, answers, lengths)


def verify(
    n: int,
    proof: bytes | bytearray | memoryview,
    parameters: RingPedersen,
    context: bytes,
    lengths: Lengths = _LENGTHS,
) -> None:
    """Accept the proof, or raise.

    Parameters
    ----------
    n
        The modulus of the key.
    proof
        What `prove` made.
    parameters
        The verifier's own.
    context
        What the proof must be bound to.
    lengths
        Another choice, for tests.

    Raises
    ------
    InvalidKeyError
        If the proof is malformed or does not hold, or the parameters share a factor with n.

    Examples
    --------
    See `prove`.
    """
    big, s, t = parameters.n, parameters.s, parameters.t
    commitment, (z1, z2, w1, w2, v) = _decode(n, big, proof, lengths)
    bound = math.isqrt(n) << (lengths.ell + lengths.epsilon)
    if math.gcd(n, big) != 1 or max(abs(z1), abs(z2)) > bound:
        raise InvalidKeyError("the proof does not hold")
    units = math.gcd(math.prod(commitment.elements) % big, big) == 1
    if not units or not all(0 < x < big for x in commitment.elements):
        raise InvalidKeyError("the proof does not hold")
    c = _challenge(n, parameters, commitment, context, lengths)
    product = pow(s, n, big) * pow(t, commitment.sigma, big) % big
    holds = (
        _commit(parameters, z1, w1) == commitment.a * pow(commitment.p, c, big) % big
        and _commit(parameters, z2, w2) == commitment.b * pow(commitment.q, c, big) % big
        and pow(commitment.q, z1, big) * pow(t, v, big) % big == commitment.t * pow(product, c, big) % big
    )
    if not holds:
        raise InvalidKeyError("the proof does not hold")


def _commit(parameters: RingPedersen, x: int, mask: int) -> int:
    """Return s^x t^mask for public exponents, which may be negative."""
    n = parameters.n
    return pow(parameters.s, x, n) * pow(parameters.t, mask, n) % n


def _power(base: int, exponent: int, width: int, n: int) -> int:
    """Return base^exponent for a secret exponent of at most `width` bytes; its sign may show, its length not."""
    unit = base if exponent >= 0 else pow(base, -1, n)
    return powers([unit], abs(exponent), n, width=width)[0]


def _between(bound: int) -> int:
    """Draw a uniform integer in [-bound, bound]."""
    return secrets.randbelow(2 * bound + 1) - bound


def _challenge(
    n: int, parameters: RingPedersen, commitment: _Commitment, context: bytes, lengths: Lengths
) -> int:
    """Hash statement, parameters and first message to c in [-2^k, 2^k)."""
    size = octet_length(parameters.n)
    transcript = Transcript(_DOMAIN, context)
    transcript.absorb(b"lengths", *(octets(x, 8) for x in (lengths.ell, lengths.epsilon, lengths.challenge)))
    transcript.absorb(b"n", octets(n, octet_length(n)))
    transcript.absorb(b"parameters", *(octets(x, size) for x in (parameters.n, parameters.s, parameters.t)))
    transcript.absorb(b"commitments", *(octets(x, size) for x in commitment.elements))
    transcript.absorb(b"sigma", _signed(commitment.sigma, _widths(n, parameters.n, lengths)[0]))
    k = lengths.challenge
    drawn = int.from_bytes(transcript.challenge(k // 8 + 1), "big")  # at least k + 1 bits
    return drawn % (1 << (k + 1)) - (1 << k)


def _widths(n: int, big: int, lengths: Lengths) -> tuple[int, ...]:
    """Lengths in bytes of sigma, z1, z2, w1, w2, v: every honest value in two's complement, and no more.

    |z| <= 2^(l + e) sqrt(n); |w| < 2^(l + e + 1) N; |v| < 2^(l + e + 1) n N.
    """
    wide = lengths.ell + lengths.epsilon + 1
    n_bits, big_bits = n.bit_length(), big.bit_length()
    z, w = wide + -(-n_bits // 2), wide + big_bits
    bits = lengths.ell + n_bits + big_bits, z, z, w, w, wide + n_bits + big_bits
    return tuple(b // 8 + 1 for b in bits)


def _encode(n: int, big: int, commitment: _Commitment, answers: tuple[int, ...], lengths: Lengths) -> bytes:
    """Write header, residues, and signed integers of fixed width."""
    size, widths = octet_length(big), _widths(n, big, lengths)
    return b"".join(
        [
            _header(n, big),
            *(octets(x, size) for x in commitment.elements),
            *(_signed(x, width) for x, width in zip((commitment.sigma, *answers), widths, strict=True)),
        ]
    )


def _decode(
    n: int, big: int, proof: bytes | bytearray | memoryview, lengths: Lengths
) -> tuple[_Commitment, tuple[int, ...]]:
    """Read what `_encode` wrote."""
    fields = Fields(proof)
    fields.expect(_header(n, big))
    p, q, a, b, t = fields.integers(5, octet_length(big))
    sigma, *answers = (fields.integers(1, width, signed=True)[0] for width in _widths(n, big, lengths))
    fields.end()
    return _Commitment(p, q, a, b, t, sigma), tuple(answers)


def _header(n: int, big: int) -> bytes:
    """Magic, version and the lengths of both moduli."""
    return _MAGIC + octets(n.bit_length(), 2) + octets(big.bit_length(), 2)


def _signed(x: int, width: int) -> bytes:
    """Return an integer in two's complement, big-endian."""
    return x.to_bytes(width, "big", signed=True)
