"""Readable twin of `medcrypt.paillier`: every formula as its source prints it, one value at a time.

Nothing here is shared with the library, nothing is fast, and randomness is always an argument. Sources:

* Paillier, Public-Key Cryptosystems Based on Composite Degree Residuosity Classes, EUROCRYPT 1999, scheme 1
  (ISO/IEC 18033-6 describes the same with g = 1 + n);
* Damgård, Jurik, Nielsen, A generalization of Paillier's public-key system with applications to electronic
  voting, 2010 (short exponents);
* docs/formats/paillier.md (bytes).
"""

import hashlib
import struct
from dataclasses import dataclass
from math import ceil, gcd, lcm, log2, prod


@dataclass(frozen=True)
class Key:
    """Primes p and q; g is 1 + n unless something else is given."""

    p: int
    q: int
    g: int = 0

    @property
    def n(self) -> int:
        return self.p * self.q

    @property
    def base(self) -> int:
        return self.g or 1 + self.n


def encrypt(key: Key, m: int, r: int) -> int:
    """c = g^m r^n mod n^2."""
    n = key.n
    assert 0 <= m < n
    assert gcd(r, n) == 1
    return pow(key.base, m, n * n) * pow(r, n, n * n) % (n * n)


def decrypt(key: Key, c: int) -> int:
    """m = L(c^lambda mod n^2) / L(g^lambda mod n^2) mod n; L(u) = (u - 1) / n, lambda is Carmichael's."""
    n = key.n
    carmichael = lcm(key.p - 1, key.q - 1)

    def log(u: int) -> int:
        quotient, rest = divmod(u - 1, n)
        assert rest == 0
        return quotient

    return log(pow(c, carmichael, n * n)) * pow(log(pow(key.base, carmichael, n * n)), -1, n) % n


def short_exponent_base(n: int) -> int:
    """h = (-y^2)^n mod n^2, y the SHAKE-256 of the length-prefixed domain and n, 128 bits longer than n."""
    n_bytes = n.to_bytes(ceil(n.bit_length() / 8), "big")
    domain = b"medcrypt/paillier/h/v1"
    message = struct.pack(">Q", len(domain)) + domain + struct.pack(">Q", len(n_bytes)) + n_bytes
    y = int.from_bytes(hashlib.shake_256(message).digest(len(n_bytes) + 16), "big") % n
    return pow(-(y**2), n, n * n)


def encrypt_short(n: int, m: int, s: int) -> int:
    """c = (1 + n)^m h^s mod n^2."""
    return pow(1 + n, m, n * n) * pow(short_exponent_base(n), s, n * n) % (n * n)


@dataclass(frozen=True)
class Layout:
    """The packing: clip, bits of a value, terms of a sum; version 2 has a sign and room for the tails of noise."""

    clip: float
    bits: int
    max_terms: int
    signed: bool = True
    headroom: int = 0

    @property
    def value_bits(self) -> int:
        return self.bits + self.headroom

    @property
    def slot_bits(self) -> int:
        return self.value_bits + ceil(log2(self.max_terms))

    @property
    def levels(self) -> int:
        return 2 ** (self.bits - 1) - 1 if self.signed else 2**self.bits - 1

    @property
    def offset(self) -> int:
        return 2 ** (self.value_bits - 1) if self.signed else 0

    def slots(self, n: int) -> int:
        return (n.bit_length() - 1) // self.slot_bits


def quantise(layout: Layout, x: float) -> int:
    """Round x / clip * Q to the nearest integer, ties to even (Python's own rounding)."""
    return round(x / layout.clip * layout.levels)


def dequantise(layout: Layout, total: int) -> float:
    """Return the real number that a sum of quantised values stands for."""
    return total / layout.levels * layout.clip


def pack(layout: Layout, n: int, integers: list[int]) -> list[int]:
    """Write value i at bit (i mod slots) * slot_bits of plaintext i div slots, after adding the offset."""
    slots = layout.slots(n)
    plaintexts = [0] * ceil(len(integers) / slots)
    for i, value in enumerate(integers):
        assert 0 <= value + layout.offset < 2**layout.value_bits
        plaintexts[i // slots] += (value + layout.offset) * 2 ** (i % slots * layout.slot_bits)
    return plaintexts


def unpack(layout: Layout, n: int, plaintexts: list[int], count: int, terms: int) -> list[int]:
    """Read `count` slots and take `terms` offsets off each."""
    slots = layout.slots(n)
    return [
        plaintexts[i // slots] // 2 ** (i % slots * layout.slot_bits) % 2**layout.slot_bits
        - terms * layout.offset
        for i in range(count)
    ]


def public_key_bytes(n: int) -> bytes:
    return b"MCPP" + bytes([1]) + struct.pack(">H", n.bit_length()) + _big_endian(n, n.bit_length())


def private_key_bytes(key: Key) -> bytes:
    bits = key.n.bit_length()
    primes = [_big_endian(prime, bits // 2) for prime in sorted((key.p, key.q))]
    return b"MCPS" + bytes([1]) + struct.pack(">H", bits) + _big_endian(key.n, bits) + b"".join(primes)


def fingerprint(n: int) -> bytes:
    return hashlib.sha256(b"medcrypt/paillier/fingerprint/v1" + public_key_bytes(n)).digest()


def array_bytes(
    layout: Layout, n: int, ciphertexts: list[int], shape: tuple[int, ...], terms: int, context: bytes
) -> bytes:
    assert len(ciphertexts) == ceil(prod(shape) / layout.slots(n))
    version_1 = layout.signed and layout.headroom == 0
    fields = [
        b"MCPA",
        bytes([1 if version_1 else 2]),
        bytes([layout.bits]),
        struct.pack(">Q", layout.max_terms),
        struct.pack(">Q", terms),
        struct.pack(">d", layout.clip),
        fingerprint(n),
        bytes([len(shape)]),
        b"" if version_1 else bytes([layout.signed, layout.headroom]),
        *(struct.pack(">Q", side) for side in shape),
        bytes([len(context)]),
        context,
        *(_big_endian(c, 2 * n.bit_length()) for c in ciphertexts),
    ]
    return b"".join(fields)


def weighted_product(n: int, ciphertexts: list[int], weights: list[int]) -> int:
    """Encrypt the sum of weight times plaintext: the product of all c^weight mod n^2."""
    return prod(pow(c, w, n * n) for c, w in zip(ciphertexts, weights, strict=True)) % (n * n)


def scalars_bytes(
    n: int, ciphertexts: list[int], shape: tuple[int, ...], bound: int, step: float, context: bytes
) -> bytes:
    assert len(ciphertexts) == prod(shape)
    fields = [
        b"MCPV",
        bytes([1]),
        struct.pack(">d", step),
        fingerprint(n),
        bytes([len(shape)]),
        *(struct.pack(">Q", side) for side in shape),
        bytes([len(context)]),
        context,
        _big_endian(bound, n.bit_length()),
        *(_big_endian(c, 2 * n.bit_length()) for c in ciphertexts),
    ]
    return b"".join(fields)


def _big_endian(x: int, bits: int) -> bytes:
    return x.to_bytes(ceil(bits / 8), "big")
