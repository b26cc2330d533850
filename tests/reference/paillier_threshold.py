"""Readable twin of threshold keys: the dealer, partial decryption, its proof and the combination, value by value.

Nothing here is shared with the library, nothing is fast, and randomness is always an argument: a function
`draw(label, limit)` that gives a number below the limit. Sources: Damgård, Jurik, Nielsen 2010, section 4;
docs/formats/threshold.md (bytes); docs/explanation/threshold.md (the batch).
"""

import hashlib
import struct
from fractions import Fraction
from math import ceil, factorial, gcd, prod

from reference.paillier import public_key_bytes
from reference.paillier_proofs import Draw, absorbed, big_endian, cut, prove_blum, shake, width

BLUM_CONTEXT = b"medcrypt/paillier/threshold/dealer"


def deal(p: int, q: int, parties: int, threshold: int, draw: Draw) -> tuple[bytes, list[int]]:
    """Return the bytes of the public key, and s_1 ... s_l."""
    n, m = p * q, (p - 1) // 2 * ((q - 1) // 2)
    d = m * pow(m, -1, n)
    assert d % m == 0
    assert d % n == 1
    polynomial = [d] + [draw(f"a {k}", n * m) for k in range(1, threshold)]
    shares = [sum(a * i**k for k, a in enumerate(polynomial)) % (n * m) for i in range(1, parties + 1)]
    v = draw("v", n * n) ** 2 % (n * n)
    keys = [pow(v, factorial(parties) * s, n * n) for s in shares]
    header = b"MCTP" + bytes([1, 1]) + struct.pack(">H", n.bit_length()) + bytes([parties, threshold])
    elements = b"".join(big_endian(x, ciphertext_bytes(n)) for x in [v, *keys])
    proof = prove_blum(p, q, BLUM_CONTEXT, lambda label, limit: draw("blum " + label, limit))
    return header + big_endian(n, width(n)) + elements + proof, shares


def ciphertext_bytes(n: int) -> int:
    return ceil(2 * n.bit_length() / 8)


def parse_public(data: bytes) -> tuple[int, int, int, int, list[int]]:
    """Return n, parties, threshold, v and the v_i of a dealt key, without checking the proof about n."""
    bits, parties, threshold = struct.unpack(">HBB", data[6:10])
    assert data[:6] == b"MCTP" + bytes([1, 1])
    k, k2 = ceil(bits / 8), ceil(2 * bits / 8)
    n, v, *keys = (
        int.from_bytes(x, "big")
        for x in cut(data[10 : 10 + k + (1 + parties) * k2], [k] + [k2] * (1 + parties))
    )
    return n, parties, threshold, v, keys


def fingerprint(public: bytes) -> bytes:
    return hashlib.sha256(b"medcrypt/paillier/threshold/fingerprint/v1" + public).digest()


def share_bytes(public: bytes, party: int, share: int) -> bytes:
    n, *_ = parse_public(public)
    size = ceil(2 * n.bit_length() / 8)
    return b"MCTS" + bytes([1, party]) + fingerprint(public) + big_endian(share, size)


def digest(array: bytes) -> bytes:
    return hashlib.sha256(b"medcrypt/paillier/threshold/array/v1" + array).digest()


def ciphertexts_of(array: bytes, n: int, count: int) -> list[int]:
    size = ciphertext_bytes(n)
    return [int.from_bytes(x, "big") for x in cut(array[len(array) - count * size :], [size] * count)]


def witness_bits(n: int, parties: int) -> int:
    return 2 * n.bit_length() + factorial(parties).bit_length()


def hashes(
    public: bytes,
    party: int,
    array: bytes,
    context: bytes,
    partials: bytes,
    count: int,
    commitments: list[int],
) -> tuple[list[int], int]:
    """Return the coefficients e_j, and the challenge c for commitments A and B."""
    n, *_ = parse_public(public)
    groups = [
        absorbed(b"key", fingerprint(public)),
        absorbed(b"party", bytes([party])),
        absorbed(b"array", digest(array)),
        absorbed(b"partial", partials),
    ]
    domain = b"medcrypt/paillier/threshold/equality/v1"
    stream = shake(domain, context, *groups, size=16 * count)
    groups.append(absorbed(b"commitments", *(big_endian(x, ciphertext_bytes(n)) for x in commitments)))
    challenge = int.from_bytes(shake(domain, context, *groups, size=16), "big")
    return [int.from_bytes(e, "big") for e in cut(stream, [16] * count)], challenge


def partial_decryption(
    public: bytes, party: int, share: int, array: bytes, count: int, context: bytes, draw: Draw
) -> bytes:
    """Return the bytes that one party sends."""
    n, parties, _, v, _ = parse_public(public)
    square, delta = n * n, factorial(parties)
    xs = ciphertexts_of(array, n, count)
    partials = b"".join(big_endian(pow(x, 2 * delta * share, square), ciphertext_bytes(n)) for x in xs)
    bits = witness_bits(n, parties)
    coefficients, _ = hashes(public, party, array, context, partials, count, [])
    combined = prod(pow(x, 4 * e, square) for x, e in zip(xs, coefficients, strict=True)) % square
    r = draw(f"r {party}", 2 ** (bits + 256))
    commitments = [pow(combined, r, square), pow(v, r, square)]
    _, challenge = hashes(public, party, array, context, partials, count, commitments)
    response = r + challenge * delta * share
    return (
        b"MCPD"
        + bytes([1, party])
        + fingerprint(public)
        + digest(array)
        + struct.pack(">QB", count, len(context))
        + context
        + partials
        + big_endian(challenge, 16)
        + big_endian(response, ceil((bits + 257) / 8))
    )


def verify(public: bytes, array: bytes, count: int, context: bytes, data: bytes) -> tuple[int, list[int]]:
    """Check a partial decryption; return its party and the y_j."""
    n, parties, _, v, keys = parse_public(public)
    square, size, bits = n * n, ciphertext_bytes(n), witness_bits(n, parties)
    magic, party_, key, array_digest, count_, context_size, found, partials, c_, z_ = cut(
        data, [5, 1, 32, 32, 8, 1, len(context), count * size, 16, ceil((bits + 257) / 8)]
    )
    assert magic == b"MCPD\1"
    assert (key, array_digest) == (fingerprint(public), digest(array))
    assert count_ == struct.pack(">Q", count)
    assert (context_size[0], found) == (len(context), context)
    party, c, z = party_[0], int.from_bytes(c_, "big"), int.from_bytes(z_, "big")
    assert 1 <= party <= parties
    assert z < 2 ** (bits + 257)
    xs = ciphertexts_of(array, n, count)
    ys = [int.from_bytes(y, "big") for y in cut(partials, [size] * count)]
    assert all(0 < y < square and gcd(y, n) == 1 for y in xs + ys)
    coefficients, _ = hashes(public, party, array, context, partials, count, [])
    x = prod(pow(x, 4 * e, square) for x, e in zip(xs, coefficients, strict=True)) % square
    y = prod(pow(y, 2 * e, square) for y, e in zip(ys, coefficients, strict=True)) % square
    commitments = [
        pow(x, z, square) * pow(y, -c, square) % square,
        pow(v, z, square) * pow(keys[party - 1], -c, square) % square,
    ]
    assert hashes(public, party, array, context, partials, count, commitments)[1] == c
    return party, ys


def combine(n: int, parties: int, parts: dict[int, list[int]]) -> list[int]:
    """Return the plaintexts from the y_j of exactly `threshold` parties, as the paper has it.

    c' = prod y_i^(2 l_i), l_i = D prod i' / (i' - i), which is (1 + n)^(4 D^2 M).
    """
    square, delta = n * n, factorial(parties)
    plaintexts = []
    for column in zip(*parts.values(), strict=True):
        power = 1
        for i, y in zip(parts, column, strict=True):
            weight = prod((Fraction(j, j - i) for j in parts if j != i), start=Fraction(delta))
            assert weight.denominator == 1
            power = power * pow(y, 2 * int(weight), square) % square
        assert power % n == 1
        plaintexts.append(power // n * pow(4 * delta**2, -1, n) % n)
    return plaintexts


__all__ = ["combine", "deal", "partial_decryption", "public_key_bytes", "share_bytes", "verify"]
