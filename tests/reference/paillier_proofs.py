"""Readable twin of the key proofs: prover and verifier as docs/formats/paillier.md has them, one step at a time.

Nothing here is shared with the library. Provers take their randomness as a function `draw(label, limit)`, a
number below the limit. Source: Canetti, Gennaro, Goldfeder, Makriyannis, Peled, IACR ePrint 2021/060, figures
16, 17 and 28.
"""

import hashlib
from collections.abc import Callable
from math import gcd, isqrt

Draw = Callable[[str, int], int]


def absorbed(label: bytes, *fields: bytes) -> bytes:
    parts = [label, len(fields).to_bytes(8, "big"), *fields]
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def shake(domain: bytes, context: bytes, *groups: bytes, size: int) -> bytes:
    message = absorbed(b"domain", domain) + absorbed(b"context", context) + b"".join(groups)
    return hashlib.shake_256(message).digest(size)


def width(n: int) -> int:
    return (n.bit_length() + 7) // 8


def big_endian(x: int, size: int) -> bytes:
    return x.to_bytes(size, "big")


def bits_of(data: bytes) -> list[int]:
    return [int(digit) for byte in data for digit in f"{byte:08b}"]


def bytes_of(bits: list[int]) -> bytes:
    return bytes(int("".join(map(str, bits[i : i + 8])), 2) for i in range(0, len(bits), 8))


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut bytes into pieces of these sizes, which must fill them exactly."""
    assert len(data) == sum(sizes)
    at = [sum(sizes[:i]) for i in range(len(sizes))]
    return [data[a : a + size] for a, size in zip(at, sizes, strict=True)]


def legendre(a: int, p: int) -> int:
    """Euler's criterion."""
    power = pow(a, (p - 1) // 2, p)
    return -1 if power == p - 1 else power


def crt(x: int, y: int, p: int, q: int) -> int:
    return (x * q * pow(q, -1, p) + y * p * pow(p, -1, q)) % (p * q)


# Figure 16: Paillier-Blum modulus


def blum_challenges(n: int, w: int, context: bytes) -> list[int]:
    k = width(n)
    stream = shake(
        b"medcrypt/paillier/proof/blum/v1",
        context,
        absorbed(b"n", big_endian(n, k)),
        absorbed(b"w", big_endian(w, k)),
        size=128 * (k + 16),
    )
    return [int.from_bytes(piece, "big") % n for piece in cut(stream, [k + 16] * 128)]


def prove_blum(p: int, q: int, context: bytes, draw: Draw) -> bytes:
    n, k = p * q, width(p * q)
    tries = (draw(f"w {i}", n) for i in range(1000))
    w = next(w for w in tries if legendre(w, p) * legendre(w, q) == -1)
    a_bits, b_bits, xs, zs = [], [], [], []
    for i, y in enumerate(blum_challenges(n, w, context)):
        for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
            square = (-1) ** a * w**b * y % n
            if legendre(square, p) == legendre(square, q) == 1:
                break
        x = square
        for _ in range(2):  # the square root that is a square itself, twice
            x = crt(pow(x, (p + 1) // 4, p), pow(x, (q + 1) // 4, q), p, q)
        a_bits.append(a)
        b_bits.append(b)
        xs.append(big_endian(min(x, n - x), k))
        if i < 8:
            zs.append(big_endian(pow(y, pow(n, -1, (p - 1) * (q - 1)), n), k))
    header = b"MCPB\1" + big_endian(n.bit_length(), 2) + big_endian(w, k)
    return header + bytes_of(a_bits) + bytes_of(b_bits) + b"".join(xs) + b"".join(zs)


def verify_blum(n: int, proof: bytes, context: bytes, jacobi: Callable[[int, int], int]) -> None:
    k = width(n)
    magic, bits, w_, a_, b_, *roots = cut(proof, [5, 2, k, 16, 16, *[k] * 136])
    assert magic == b"MCPB\1"
    assert int.from_bytes(bits, "big") == n.bit_length()
    w = int.from_bytes(w_, "big")
    assert jacobi(w, n) == -1
    ys = blum_challenges(n, w, context)
    values = [int.from_bytes(root, "big") for root in roots]
    for y, a, b, x in zip(ys, bits_of(a_), bits_of(b_), values[:128], strict=True):
        assert gcd(y, n) == 1
        assert 0 < x <= (n - 1) // 2
        assert (x**4 - (-1) ** a * w**b * y) % n == 0
    for y, z in zip(ys[:8], values[128:], strict=True):
        assert 0 < z < n
        assert pow(z, n, n) == y


# Figure 17: ring-Pedersen parameters


def pedersen_challenge(n: int, s: int, t: int, commitments: list[int], context: bytes) -> list[int]:
    k = width(n)
    groups = [absorbed(label, big_endian(x, k)) for label, x in ((b"n", n), (b"s", s), (b"t", t))]
    groups.append(absorbed(b"A", *(big_endian(a, k) for a in commitments)))
    return bits_of(shake(b"medcrypt/paillier/proof/ring-pedersen/v1", context, *groups, size=16))


def make_parameters(p: int, q: int, context: bytes, draw: Draw) -> bytes:
    n, totient, k = p * q, (p - 1) * (q - 1), width(p * q)
    t = draw("t", n) ** 2 % n
    secret = draw("lambda", totient)
    s = pow(t, secret, n)
    masks = [draw(f"a {i}", totient) for i in range(128)]
    bits = pedersen_challenge(n, s, t, [pow(t, mask, n) for mask in masks], context)
    answers = [(mask + e * secret) % totient for mask, e in zip(masks, bits, strict=True)]
    header = b"MCRP\1" + big_endian(n.bit_length(), 2) + b"".join(big_endian(x, k) for x in (n, s, t))
    return header + bytes_of(bits) + b"".join(big_endian(z, k) for z in answers)


def verify_parameters(data: bytes, context: bytes) -> tuple[int, int, int]:
    k = (int.from_bytes(data[5:7], "big") + 7) // 8
    magic, _, n_, s_, t_, e_, *answers = cut(data, [5, 2, k, k, k, 16, *[k] * 128])
    assert magic == b"MCRP\1"
    n, s, t = (int.from_bytes(x, "big") for x in (n_, s_, t_))
    bits = bits_of(e_)
    commitments = [
        pow(t, int.from_bytes(z, "big"), n) * pow(s, -e, n) % n for z, e in zip(answers, bits, strict=True)
    ]
    assert pedersen_challenge(n, s, t, commitments, context) == bits
    return n, s, t


# Figure 28: no small factor

ELL, EPSILON = 256, 512


def factor_sizes(n: int, big: int) -> list[int]:
    k, n_bits, big_bits = width(big), n.bit_length(), big.bit_length()
    sigma = (ELL + n_bits + big_bits) // 8 + 1
    z = (ELL + EPSILON + 1 + (n_bits + 1) // 2) // 8 + 1
    w = (ELL + EPSILON + 1 + big_bits) // 8 + 1
    v = (ELL + EPSILON + 1 + n_bits + big_bits) // 8 + 1
    return [5, 2, 2, k, k, k, k, k, sigma, z, z, w, w, v]


def factor_challenge(
    n: int, parameters: tuple[int, int, int], commitments: list[int], sigma: bytes, context: bytes
) -> int:
    big, k = parameters[0], width(parameters[0])
    stream = shake(
        b"medcrypt/paillier/proof/no-small-factor/v1",
        context,
        absorbed(b"lengths", *(big_endian(x, 8) for x in (ELL, EPSILON, 256))),
        absorbed(b"n", big_endian(n, width(n))),
        absorbed(b"parameters", *(big_endian(x, width(big)) for x in parameters)),
        absorbed(b"commitments", *(big_endian(x, k) for x in commitments)),
        absorbed(b"sigma", sigma),
        size=33,
    )
    return int.from_bytes(stream, "big") % 2**257 - 2**256


def prove_factors(p: int, q: int, parameters: tuple[int, int, int], context: bytes, draw: Draw) -> bytes:
    n, (big, s, t) = p * q, parameters

    def signed(label: str, limit: int) -> int:
        return draw(label, 2 * limit + 1) - limit

    alpha, beta = (signed(x, 2 ** (ELL + EPSILON) * isqrt(n)) for x in ("alpha", "beta"))
    mu, nu = (signed(x, 2**ELL * big) for x in ("mu", "nu"))
    x, y = (signed(label, 2 ** (ELL + EPSILON) * big) for label in ("x", "y"))
    sigma, r = signed("sigma", 2**ELL * n * big), signed("r", 2 ** (ELL + EPSILON) * n * big)
    p_commitment, q_commitment = (
        pow(s, p, big) * pow(t, mu, big) % big,
        pow(s, q, big) * pow(t, nu, big) % big,
    )
    commitments = [
        p_commitment,
        q_commitment,
        pow(s, alpha, big) * pow(t, x, big) % big,
        pow(s, beta, big) * pow(t, y, big) % big,
        pow(q_commitment, alpha, big) * pow(t, r, big) % big,
    ]
    sizes = factor_sizes(n, big)
    sigma_bytes = sigma.to_bytes(sizes[8], "big", signed=True)
    c = factor_challenge(n, parameters, commitments, sigma_bytes, context)
    answers = alpha + c * p, beta + c * q, x + c * mu, y + c * nu, r + c * (sigma - nu * p)
    header = b"MCPF\1" + big_endian(n.bit_length(), 2) + big_endian(big.bit_length(), 2)
    return (
        header
        + b"".join(big_endian(e, width(big)) for e in commitments)
        + sigma_bytes
        + b"".join(z.to_bytes(size, "big", signed=True) for z, size in zip(answers, sizes[9:], strict=True))
    )


def verify_factors(n: int, proof: bytes, parameters: tuple[int, int, int], context: bytes) -> None:
    big, s, t = parameters
    magic, n_bits, big_bits, *fields = cut(proof, factor_sizes(n, big))
    assert magic == b"MCPF\1"
    assert (int.from_bytes(n_bits, "big"), int.from_bytes(big_bits, "big")) == (
        n.bit_length(),
        big.bit_length(),
    )
    commitments = [int.from_bytes(field, "big") for field in fields[:5]]
    sigma, z1, z2, w1, w2, v = (int.from_bytes(field, "big", signed=True) for field in fields[5:])
    c = factor_challenge(n, parameters, commitments, fields[5], context)
    p_, q_, a_, b_, t_ = commitments
    product = pow(s, n, big) * pow(t, sigma, big) % big
    assert all(0 < e < big and gcd(e, big) == 1 for e in commitments)
    assert pow(s, z1, big) * pow(t, w1, big) % big == a_ * pow(p_, c, big) % big
    assert pow(s, z2, big) * pow(t, w2, big) % big == b_ * pow(q_, c, big) % big
    assert pow(q_, z1, big) * pow(t, v, big) % big == t_ * pow(product, c, big) % big
    assert max(abs(z1), abs(z2)) <= 2 ** (ELL + EPSILON) * isqrt(n)


# Knowledge of plaintexts: Schnorr's proof for a random linear combination (medcrypt.paillier.proofs.plaintexts)


def plaintext_coefficients(n: int, ciphertexts: list[int], commitment: int, context: bytes) -> list[int]:
    k = width(n)
    square = (2 * n.bit_length() + 7) // 8
    stream = shake(
        b"medcrypt/paillier/proof/plaintexts/v1",
        context,
        absorbed(b"n", big_endian(n, k)),
        absorbed(b"count", big_endian(len(ciphertexts), 8)),
        absorbed(b"ciphertexts", b"".join(big_endian(c, square) for c in ciphertexts)),
        absorbed(b"commitment", big_endian(commitment, square)),
        size=16 * len(ciphertexts),
    )
    return [int.from_bytes(stream[i : i + 16], "big") for i in range(0, len(stream), 16)]


def prove_plaintexts(
    n: int, ciphertexts: list[int], messages: list[int], units: list[int], context: bytes, draw: Draw
) -> bytes:
    u, s = draw("u", n), draw("s", n)
    commitment = (1 + u * n) * pow(s, n, n * n) % (n * n)
    z, w = u, s
    for e, m, r in zip(
        plaintext_coefficients(n, ciphertexts, commitment, context), messages, units, strict=True
    ):
        z, w = (z + e * m) % n, w * pow(r, e, n) % n
    k, square = width(n), (2 * n.bit_length() + 7) // 8
    header = b"MCPT\x01" + big_endian(n.bit_length(), 2)
    return header + big_endian(commitment, square) + big_endian(z, k) + big_endian(w, k)


def verify_plaintexts(n: int, ciphertexts: list[int], proof: bytes, context: bytes) -> None:
    k, square = width(n), (2 * n.bit_length() + 7) // 8
    header, *numbers = cut(proof, [7, square, k, k])
    assert header == b"MCPT\x01" + big_endian(n.bit_length(), 2)
    commitment, z, w = (int.from_bytes(number, "big") for number in numbers)
    assert 0 < commitment < n * n
    assert z < n
    assert 0 < w < n
    assert gcd(commitment * w, n) == 1
    product = commitment
    for e, c in zip(plaintext_coefficients(n, ciphertexts, commitment, context), ciphertexts, strict=True):
        product = product * pow(c, e, n * n) % (n * n)
    assert (1 + z * n) * pow(w, n, n * n) % (n * n) == product
