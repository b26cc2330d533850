"""Primes for Paillier keys: p = 3 (mod 4), of an exact length, wrong with probability at most 2^-128."""

import math
import secrets
from functools import cache

import numpy as np

__all__ = ["has_small_factor", "is_probable_prime", "random_blum_prime"]

_SIEVE_LIMIT = 1 << 16

# Each round passes a composite with probability at most 1/4 whatever the composite (Rabin 1980), so 64 rounds
# make 2^-128 without any assumption on how the candidate was chosen.
_ROUNDS = 64

# Candidates of one sieve: among 3 mod 4 numbers of 4096 bits about one in 1400 is prime.
_SPAN = 1 << 13


@cache
def _odd_small_primes() -> list[int]:
    """List the odd primes below 2^16 (sieve of Eratosthenes)."""
    is_prime = np.ones(_SIEVE_LIMIT, dtype=bool)
    is_prime[:2] = False
    for i in range(2, math.isqrt(_SIEVE_LIMIT) + 1):
        if is_prime[i]:
            is_prime[i * i :: i] = False
    return [int(prime) for prime in np.flatnonzero(is_prime)[1:]]


@cache
def _odd_primorial() -> int:
    """Multiply the odd primes below 2^16: one gcd with it is trial division by all of them."""
    return math.prod(_odd_small_primes())


def has_small_factor(n: int) -> bool:
    """Tell whether 2 or a prime below 2^16 divides `n`.

    Parameters
    ----------
    n
        A positive integer.

    Returns
    -------
    bool
        True if one does (also if `n` is that prime itself).

    Examples
    --------
    >>> has_small_factor(65521 * 65537), has_small_factor(65537 * 65539)
    (True, False)
    """
    return n % 2 == 0 or math.gcd(_odd_primorial() % n, n) != 1


def is_probable_prime(n: int, rounds: int = _ROUNDS) -> bool:
    """Miller-Rabin with random bases (FIPS 186-5, B.3.1).

    Parameters
    ----------
    n
        The candidate.
    rounds
        How many bases; a composite passes with probability at most 4^-rounds.

    Returns
    -------
    bool
        False: certainly composite. True: prime but for that probability.

    Examples
    --------
    >>> is_probable_prime(2**127 - 1), is_probable_prime(2**128 + 1)
    (True, False)
    """
    if n < 4:
        return n in (2, 3)
    if n % 2 == 0:
        return False
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    odd = (n - 1) >> twos
    return all(not _is_witness(2 + secrets.randbelow(n - 3), n, odd, twos) for _ in range(rounds))


def _is_witness(base: int, n: int, odd: int, twos: int) -> bool:
    """Tell whether `base` proves that n = odd 2^twos + 1 is composite."""
    x = pow(base, odd, n)
    if x in (1, n - 1):
        return False
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return False
    return True


def random_blum_prime(bits: int) -> int:
    """Draw a prime p = 3 (mod 4) with sqrt(2) 2^(bits-1) < p < 2^bits.

    The lower bound gives the product of two of them exactly twice their length (FIPS 186-5, A.1.3). The
    search starts at a random point and takes the first prime above it; the entropy that this loses against
    independent trials is negligible (Brandt and Damgård, CRYPTO 1992).

    Parameters
    ----------
    bits
        Length of the prime in bits, at least 32.

    Returns
    -------
    int
        The prime.

    Examples
    --------
    >>> p = random_blum_prime(64)
    >>> p % 4, p.bit_length()
    (3, 64)
    """
    lowest = math.isqrt(1 << (2 * bits - 1)) + 1
    while True:
        start = lowest + secrets.randbelow((1 << bits) - lowest)
        start += (3 - start) % 4
        for offset in _survivors(start):
            candidate = start + 4 * offset
            if candidate >= 1 << bits:
                break
            if is_probable_prime(candidate, rounds=1) and is_probable_prime(candidate):
                return candidate


def _survivors(start: int) -> list[int]:
    """List the indices i for which start + 4 i has no odd prime factor below 2^16."""
    alive = np.ones(_SPAN, dtype=bool)
    for prime in _odd_small_primes():
        first = -start * pow(4, -1, prime) % prime
        alive[first::prime] = False
    return [int(i) for i in np.flatnonzero(alive)]
