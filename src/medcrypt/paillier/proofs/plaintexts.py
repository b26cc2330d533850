"""Proof that the sender of many ciphertexts knows what is in every one of them.

Statement: c_i = (1 + m_i n) r_i^n mod n^2 for i = 1 .. k, the prover knowing all m_i and r_i. One conversation of
Schnorr's kind serves for all, with a random linear combination of the statements:

    a = (1 + u n) s^n               u uniform modulo n, s a uniform unit: the commitment
    e_1 .. e_k                      128 bits each, hashed from n, all c_i, a and the caller's context
    z = u + sum of e_i m_i mod n,   w = s product of r_i^e_i mod n
    (1 + z n) w^n = a product of c_i^e_i mod n^2

**Why one relation speaks for all k.** Fix a commitment, and let a share p of all N^k challenges, N = 2^128, be
answered. An answered challenge is no use for coordinate i if no other one that differs from it in e_i only is
answered; of such there is at most one for every choice of the other coordinates, a share of 1 / N of all.
So a share of at least p - k / N is of use for every coordinate. From such a one, and for each i one that differs
in e_i only, division gives (1 + z' n) w'^n = c_i^d with 0 < |d| < 2^128. No prime factor of n is that small, so
x d + y n = 1 has a solution, and

    c_i = c_i^(x d) c_i^(y n) = (1 + x z' n) (w'^x c_i^y)^n:    m_i = x z' mod n,  r_i = w'^x c_i^y mod n.

Hence whoever succeeds more often than k 2^-128 (2^-115 for a million values of 16 bits) knows every plaintext;
Fiat and Shamir's transform multiplies that by the number of hashes tried. The prover needs n to be sound (no
factor below 2^128), which is the key owner's to prove, and the verifier that all c_i are units.

**What it tells.** z and w are uniform whatever the plaintexts are, and a follows from them: anybody can make up such
conversations, so they reveal nothing. The proof is bound to a context, so that nobody can pass on, or negate,
another's ciphertexts as his own.
"""

import math
import secrets
from collections.abc import Sequence

import numpy as np

from medcrypt.errors import InvalidCiphertextError, InvalidKeyError
from medcrypt.paillier.arithmetic import Group, Residues, random_units
from medcrypt.paillier.multiexponentiation import products_of_powers
from medcrypt.paillier.proofs.residues import powers
from medcrypt.paillier.proofs.transcript import Fields, Transcript, octets
from medcrypt.paillier.soundness import hash_to_residue

__all__ = ["faults", "proof_size", "prove_short", "prove_textbook", "verify"]

_DOMAIN = b"medcrypt/paillier/proof/plaintexts/v1"
_MAGIC = b"MCPT\x01"
_COEFFICIENT = 16  # bytes of a coefficient
_LIMBS = 4  # a coefficient is cut into limbs of 32 bits for the batched powers
_FEW = 8  # groups of lanes up to which powers one by one cost less than batched ones
_NO_PROOF = "the proof that the plaintexts are known does not hold"


def proof_size(bits: int) -> int:
    """Return the length of a proof in bytes for a modulus of `bits` bits; 1,543 for 3072."""
    return len(_MAGIC) + 2 + -(-2 * bits // 8) + 2 * -(-bits // 8)


def prove_short(
    group: Group,
    ciphertexts: Residues,
    plaintexts: Sequence[int],
    exponents: Sequence[int],
    exponent_bits: int,
    context: bytes,
) -> bytes:
    """Prove knowledge of plaintexts that were encrypted with short exponents: r_i = (-y^2)^s_i.

    Parameters
    ----------
    group
        Arithmetic modulo n^2.
    ciphertexts
        The c_i.
    plaintexts
        The m_i, below n.
    exponents
        The s_i, each below 2^exponent_bits.
    exponent_bits
        Their length.
    context
        What the proof is bound to: who sends it to whom, in which round.

    Returns
    -------
    bytes
        The proof, `proof_size` bytes.
    """
    n = group.n
    u, s, commitment = _commit(group)
    coefficients = _coefficients(group, ciphertexts, commitment, context)
    exponent = sum(e * x for e, x in zip(coefficients, exponents, strict=True))
    width = -(-(exponent_bits + 8 * _COEFFICIENT + len(ciphertexts).bit_length()) // 8)
    y = hash_to_residue(n)
    w = s * powers([-y * y % n], exponent, n, width=width)[0] % n
    return _encode(group, commitment, _answer(n, u, coefficients, plaintexts), w)


def prove_textbook(
    group: Group, ciphertexts: Residues, plaintexts: Sequence[int], units: Sequence[int], context: bytes
) -> bytes:
    """Prove knowledge of plaintexts that were encrypted with given units r_i; otherwise as `prove_short`.

    Examples
    --------
    >>> from medcrypt.paillier import generate_keypair
    >>> public, _ = generate_keypair(512, insecure=True)
    >>> units = random_units(public.n, 3)
    >>> ciphertexts = public.group.conceal([1, 2, 3], public.group.nth_powers(units))
    >>> proof = prove_textbook(public.group, ciphertexts, [1, 2, 3], units, b"to whom it may concern")
    >>> verify(public.group, ciphertexts, proof, b"to whom it may concern")
    >>> len(proof) == proof_size(512)
    True
    """
    n = group.n
    u, s, commitment = _commit(group)
    coefficients = _coefficients(group, ciphertexts, commitment, context)
    w = s * _product_of_powers(group, group.residues(units), coefficients) % n
    return _encode(group, commitment, _answer(n, u, coefficients, plaintexts), w)


def verify(
    group: Group, ciphertexts: Residues, proof: bytes | bytearray | memoryview, context: bytes
) -> None:
    """Accept a proof, or raise.

    Parameters
    ----------
    group
        Arithmetic modulo n^2, for an n without a prime factor below 2^128.
    ciphertexts
        The c_i, known to be units.
    proof
        What the prover made.
    context
        What the proof must be bound to.

    Raises
    ------
    InvalidCiphertextError
        If the proof is malformed or does not hold for these ciphertexts and this context.

    Examples
    --------
    See `prove_textbook`.
    """
    (fault,) = faults(group, [(ciphertexts, proof, context)])
    if fault is not None:
        raise fault


def faults(
    group: Group, claims: Sequence[tuple[Residues, bytes | bytearray | memoryview, bytes]]
) -> list[InvalidCiphertextError | None]:
    """Verify many proofs, of different provers, side by side.

    Parameters
    ----------
    group
        As for `verify`.
    claims
        Ciphertexts, proof and context of each.

    Returns
    -------
    list
        For each what `verify` would raise, or None.
    """
    found: list[InvalidCiphertextError | None] = [None] * len(claims)
    decoded = {}
    for i, (_, proof, _) in enumerate(claims):
        try:
            decoded[i] = _decode(group, proof)
        except InvalidCiphertextError as error:
            found[i] = error
    claimed = group.conceal(
        (z for _, z, _ in decoded.values()), group.nth_powers(w for _, _, w in decoded.values())
    )
    for (i, (commitment, _, _)), left in zip(decoded.items(), claimed, strict=True):
        ciphertexts, _, context = claims[i]
        coefficients = _coefficients(group, ciphertexts, commitment, context)
        if left != commitment * _product_of_powers(group, ciphertexts, coefficients) % group.n_squared:
            found[i] = InvalidCiphertextError(_NO_PROOF)
    return found


def _commit(group: Group) -> tuple[int, int, int]:
    """Return u, s and the commitment."""
    u, s = secrets.randbelow(group.n), random_units(group.n, 1)[0]
    return u, s, group.conceal([u], group.nth_powers([s]))[0]


def _answer(n: int, u: int, coefficients: Sequence[int], plaintexts: Sequence[int]) -> int:
    return (u + sum(e * m for e, m in zip(coefficients, plaintexts, strict=True))) % n


def _coefficients(group: Group, ciphertexts: Residues, commitment: int, context: bytes) -> list[int]:
    """Return the challenge: 128 bits for every ciphertext."""
    transcript = Transcript(_DOMAIN, context)
    transcript.absorb(b"n", octets(group.n, group.n_width))
    transcript.absorb(b"count", octets(len(ciphertexts), 8))
    transcript.absorb(b"ciphertexts", ciphertexts.to_bytes())
    transcript.absorb(b"commitment", octets(commitment, group.width))
    stream = transcript.challenge(_COEFFICIENT * len(ciphertexts))
    return [int.from_bytes(stream[i : i + _COEFFICIENT], "big") for i in range(0, len(stream), _COEFFICIENT)]


def _product_of_powers(group: Group, bases: Residues, coefficients: Sequence[int]) -> int:
    """Return the product of all bases to the power of their coefficients, modulo n^2."""
    powers_of = _few_powers if len(bases) <= _FEW * group.ring.lanes else _many_powers
    product = 1
    for power in powers_of(group, bases, coefficients):
        product = product * power % group.n_squared
    return product


def _few_powers(group: Group, bases: Residues, coefficients: Sequence[int]) -> Residues:
    """Return base^coefficient for each, a lane for each base."""
    ring, out = group.ring, np.empty_like(bases.pairs)
    for start in range(0, len(bases), ring.lanes):
        here = [*coefficients[start : start + ring.lanes], *[0] * ring.lanes][: ring.lanes]
        exponents = b"".join(octets(e, _COEFFICIENT) for e in here)
        row = slice(start // ring.lanes, start // ring.lanes + 1)
        ring.power_by_lane(bases.pairs[row], exponents, out[row])
    return Residues(group, out, len(bases))


def _many_powers(group: Group, bases: Residues, coefficients: Sequence[int]) -> Residues:
    """Return one residue, the product of all base^coefficient: limbs of 32 bits, then Horner's rule."""
    encoded = b"".join(e.to_bytes(_COEFFICIENT, "little") for e in coefficients)
    limbs = np.frombuffer(encoded, dtype="<u4").reshape(-1, _LIMBS).T.astype(np.int64)
    first, *others = reversed(products_of_powers(bases, limbs))
    product = group.residues([first])
    for power in others:
        product = group.multiply(group.power(product, 1 << 32), [power])
    return product


def _encode(group: Group, commitment: int, z: int, w: int) -> bytes:
    fields = octets(commitment, group.width), octets(z, group.n_width), octets(w, group.n_width)
    return b"".join([_MAGIC, octets(group.n.bit_length(), 2), *fields])


def _decode(group: Group, proof: bytes | bytearray | memoryview) -> tuple[int, int, int]:
    """Read and check the three numbers of a proof."""
    try:
        fields = Fields(proof)
        fields.expect(_MAGIC + octets(group.n.bit_length(), 2))
        (commitment,) = fields.integers(1, group.width)
        z, w = fields.integers(2, group.n_width)
        fields.end()
    except InvalidKeyError as error:
        raise InvalidCiphertextError(str(error)) from None
    in_range = 0 < commitment < group.n_squared and z < group.n and 0 < w < group.n
    if not in_range or math.gcd(commitment * w, group.n) != 1:
        raise InvalidCiphertextError(_NO_PROOF)
    return commitment, z, w
