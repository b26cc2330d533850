"""Keys of 4096 and of 8192 bits, the longest, on every kernel.

p and q are the primes of RFC 3526 and of RFC 7919, which are digits of pi and of e: safe primes, far enough apart.
"""

import math
from fractions import Fraction
from itertools import accumulate, takewhile

import numpy as np
import pytest

from medcrypt.paillier import EncryptedArray, Packing, PrivateKey, PublicKey

PACKING = Packing(clip=8.0, bits=32, max_terms=10)


def pi_times(unit):
    """Return floor(pi unit), by Machin's formula with 64 more bits."""
    scale = unit << 64

    def arctan_of_inverse(x):
        terms = ((-1) ** i * scale // ((2 * i + 1) * x ** (2 * i + 1)) for i in range(scale.bit_length()))
        return sum(takewhile(bool, terms))

    return 4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239)) >> 64


def e_times(unit):
    """Return floor(e unit), by its series."""
    inverse_factorials = accumulate(
        range(1, unit.bit_length()), lambda term, i: term // i, initial=unit << 64
    )
    return sum(takewhile(bool, inverse_factorials)) >> 64


def prime(bits, digits, addend):
    """Return 2^bits - 2^(bits-64) - 1 + 2^64 (floor(2^(bits-130) x) + addend) for x = pi or e."""
    return 2**bits - 2 ** (bits - 64) - 1 + 2**64 * (digits(1 << (bits - 130)) + addend)


ADDENDS = {2048: (124476, 560316), 4096: (240904, 5736041)}


@pytest.fixture(scope="module", params=ADDENDS)
def long(request):
    """A key, and what one encryption is modulo p^2, by Python's integers."""
    half, (of_pi, of_e) = request.param, ADDENDS[request.param]
    p, q = prime(half, pi_times, of_pi), prime(half, e_times, of_e)
    n = p * q
    m, r = n - 12345, n // 3
    return p, q, m, r, (1 + m * n) * pow(r, n, p * p) % (p * p)


def test_the_primes_are_those_of_the_rfcs():
    """Their tables print the last digits of both numbers."""
    assert prime(2048, pi_times, 124476) & 0xFFFFFFFFFFFFFFFFFFFFFFFF == 0x8AACAA68FFFFFFFFFFFFFFFF
    assert math.isclose(Fraction(e_times(1 << 100), 1 << 100), math.e)


def test_a_long_key_passes_all_checks_and_travels(long):
    p, q, *_ = long
    key = PrivateKey(p, q)
    assert PrivateKey.from_bytes(key.to_bytes()) == key
    assert key.bits == 2 * p.bit_length()
    assert PublicKey.from_bytes(key.public.to_bytes()) == key.public


def test_a_long_key_encrypts_adds_and_decrypts_on_every_kernel(long, kernel_path, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    p, q, m, r, modulo_p = long
    private = PrivateKey._of_primes(p, q)
    c = private.public.raw_encrypt(m, r)
    assert c % (p * p) == modulo_p
    assert private.raw_encrypt(m, r) == c
    assert private.raw_decrypt(c) == m
    values = np.linspace(-8, 8, PACKING.slots(private.bits) + 1)
    uploads = [private.public.encrypt(values, PACKING), private.encrypt(values, PACKING)]
    total = sum(uploads[1:], start=uploads[0])
    again = EncryptedArray.from_bytes(total.to_bytes(), private.public)
    assert np.array_equal(private.decrypt_integers(again), 2 * PACKING.quantise(values))
