"""Safe primes p = 2 p' + 1 with p' prime: the group of squares modulo their product has no small subgroup."""

import math
import secrets
from functools import cache
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from medcrypt._ext import bignum
from medcrypt.paillier.primes import fermat_probable_primes, is_probable_prime

__all__ = ["random_safe_prime"]

# A candidate survives if neither p' nor p has a factor below the limit. Among 1536-bit candidates about one
# survivor in 1900 is then a safe prime: trial division is far cheaper than a modular power.
_SIEVE_LIMIT = 1 << 20
_SPAN = 1 << 17  # candidates of one sieve


@cache
def _sieving_primes() -> npt.NDArray[np.int64]:
    """List the primes from 5 to the limit; 2 and 3 are dealt with by the step."""
    is_prime = np.ones(_SIEVE_LIMIT, dtype=bool)
    is_prime[:5] = False
    is_prime[4::2] = False
    is_prime[9::6] = False
    for i in range(5, math.isqrt(_SIEVE_LIMIT) + 1, 2):
        if is_prime[i]:
            is_prime[i * i :: 2 * i] = False
    return np.flatnonzero(is_prime)


def random_safe_prime(bits: int) -> int:
    """Draw a safe prime p with sqrt(2) 2^(bits-1) < p < 2^bits.

    Every safe prime above 7 is 11 modulo 12. The search starts at a random such number and takes the first
    safe prime from there on.

    Parameters
    ----------
    bits
        Length of the prime in bits, at least 32.

    Returns
    -------
    int
        The prime; p = 2 p' + 1 and p' are wrong with probability at most 2^-128 each.

    Examples
    --------
    >>> p = random_safe_prime(64)
    >>> p % 12, p.bit_length(), is_probable_prime(p // 2)
    (11, 64, True)
    """
    lowest = math.isqrt(1 << (2 * bits - 1)) + 1
    while True:
        start = lowest + secrets.randbelow((1 << bits) - lowest)
        start += (11 - start) % 12
        candidates = (start + 12 * offset for offset in _survivors(start))
        halves = (p // 2 for p in takewhile(lambda p: p < 1 << bits, candidates))
        # The cheap test on both first: nearly every candidate ends there.
        doubled = (2 * half + 1 for half in fermat_probable_primes(halves))
        for p in doubled:
            if is_probable_prime(p, rounds=1) and is_probable_prime(p // 2) and is_probable_prime(p):
                return p


def _survivors(start: int) -> list[int]:
    """List the i for which neither p = start + 12 i nor (p - 1) / 2 has a prime factor that we sieve by.

    (p - 1) / 2 is divisible by an odd prime exactly where p is 1 modulo it.
    """
    primes = _sieving_primes()
    primes = primes[: np.searchsorted(primes, math.isqrt(start) // 2)]  # never strike out a prime itself
    residues = _residues(start, primes)
    steps = _inverses_of_12(primes)
    alive = np.ones(_SPAN, dtype=np.uint8)
    for target in (-residues, 1 - residues):
        bignum.strike(alive, primes.astype(np.uint32), (target * steps % primes).astype(np.uint32))
    return [int(i) for i in np.flatnonzero(alive)]


def _residues(x: int, primes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Reduce one long integer by many primes at once, digit by digit in radix 2^32."""
    digits = [x >> shift & 0xFFFFFFFF for shift in range(0, x.bit_length(), 32)]
    residues = np.zeros(primes.shape, dtype=np.int64)
    for digit in reversed(digits):
        residues = ((residues << 32) + digit) % primes  # below 2^20 2^32 + 2^32
    return residues


def _inverses_of_12(primes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Invert 12 modulo every prime: (1 + k p) / 12 for the k that makes it whole, k = -1/p = -p (mod 12)."""
    return (1 + -primes % 12 * primes) // 12
