"""What makes a key sound: lengths, forms and distances that are checked whenever a key is made or read."""

import hashlib
import math
import os

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier.primes import has_small_factor, is_probable_prime

__all__ = [
    "MAX_BITS",
    "check_modulus",
    "check_primes",
    "hash_to_residue",
    "least_distance",
    "minimum_bits",
    "short_exponent_bits",
]

MAX_BITS = 8192
_SECURE_BITS, _INSECURE_BITS = 2048, 64
_INSECURE_VARIABLE = "MEDCRYPT_ALLOW_INSECURE_KEYS"
_BASE_DOMAIN = b"medcrypt/paillier/h/v1"


def short_exponent_bits(bits: int) -> int:
    """Choose the length of short exponents for a modulus of `bits` bits: 2 s + 256 for security strength s.

    A kangaroo search costs 2^(length / 2) operations, so 2 s is the floor, and 256 bits are the margin. The
    strength s is the next one in SP 800-57 part 1, table 2: 128 up to 3072 bits, 192 up to 7680, 256
    above.

    Parameters
    ----------
    bits
        Length of n, up to 15360.

    Returns
    -------
    int
        Bits of the exponent.

    Examples
    --------
    >>> [short_exponent_bits(bits) for bits in (2048, 3072, 4096, 8192)]
    [512, 512, 640, 768]
    """
    strength = next(s for s, limit in ((128, 3072), (192, 7680), (256, 15360)) if bits <= limit)
    return 2 * strength + 256


def minimum_bits(insecure: bool) -> int:
    """Return the shortest key that the caller or the environment allows."""
    allowed = insecure or os.environ.get(_INSECURE_VARIABLE) == "1"
    return _INSECURE_BITS if allowed else _SECURE_BITS


def check_modulus(n: int, insecure: bool) -> None:
    """Refuse a modulus that is visibly no product of two large primes."""
    minimum = minimum_bits(insecure)
    if n <= 0 or not minimum <= n.bit_length() <= MAX_BITS:
        raise InvalidKeyError(f"n must have between {minimum} and {MAX_BITS} bits")
    if has_small_factor(n):
        raise InvalidKeyError("n has a small prime factor")
    # A prime passes every round of Miller-Rabin, so a single round suffices to prove n composite.
    if is_probable_prime(n, rounds=1) and is_probable_prime(n):
        raise InvalidKeyError("n is prime")
    if math.isqrt(n) ** 2 == n:
        raise InvalidKeyError("n is a square")


def check_primes(p: int, q: int) -> None:
    """Refuse primes that `generate_keypair` would not have drawn; p <= q."""
    half = q.bit_length()
    sound = (
        p > 0
        and half <= MAX_BITS // 2
        and (p * q).bit_length() == 2 * half  # so both have `half` bits
        and 2 * half % 16 == 0
        and p % 4 == q % 4 == 3
        and q - p > least_distance(half)
        and math.gcd(p - 1, q - 1) == 2
        and is_probable_prime(p)
        and is_probable_prime(q)
    )
    if not sound:
        raise InvalidKeyError("not two primes of a Paillier key")


def least_distance(prime_bits: int) -> int:
    """Return 2^(prime_bits - 100): closer primes would fall to Fermat's factoring (FIPS 186-5, A.1.3)."""
    return 1 << max(prime_bits - 100, 0)


def hash_to_residue(n: int) -> int:
    """Return y, SHAKE-256 of a domain and n, modulo n; the output is at least 128 bits longer than n.

    Each field goes in after its length in 8 bytes, big-endian.
    """
    encoded = n.to_bytes(-(-n.bit_length() // 8), "big")
    xof = hashlib.shake_256()
    for field in (_BASE_DOMAIN, encoded):
        xof.update(len(field).to_bytes(8, "big") + field)
    y = int.from_bytes(xof.digest(len(encoded) + 16), "big") % n
    if math.gcd(y, n) != 1:
        raise InvalidKeyError("the hash of n is not a unit modulo n")
    return y
