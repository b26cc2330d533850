"""Primes for Paillier keys: p = 3 (mod 4), of an exact length, wrong with probability at most 2^-128.

Modular powers are the kernels', constant time in the candidate, and test several candidates or bases at once.
"""

import math
import secrets
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import compress, takewhile

import numpy as np
import numpy.typing as npt

from medcrypt._ext import bignum

__all__ = ["fermat_probable_primes", "has_small_factor", "is_probable_prime", "random_blum_prime"]

_SIEVE_LIMIT = 1 << 16

# Each round passes a composite with probability at most 1/4 whatever the composite (Rabin 1980), so 64 rounds
# make 2^-128 without any assumption on how the candidate was chosen.
_ROUNDS = 64

# Candidates of one sieve: among 3 mod 4 numbers of 4096 bits about one in 1400 is prime.
_SPAN = 1 << 13


@cache
def _odd_small_primes() -> npt.NDArray[np.int64]:
    """List the odd primes below 2^16 (sieve of Eratosthenes)."""
    is_prime = np.ones(_SIEVE_LIMIT, dtype=bool)
    is_prime[:2] = False
    for i in range(2, math.isqrt(_SIEVE_LIMIT) + 1):
        if is_prime[i]:
            is_prime[i * i :: i] = False
    return np.flatnonzero(is_prime)[1:]


@cache
def _odd_primorial() -> int:
    """Multiply the odd primes below 2^16: one gcd with it is trial division by all of them."""
    return math.prod(_odd_small_primes().tolist())


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
        The candidate, at most 8192 bits.
    rounds
        How many bases; a composite passes with probability at most 4^-rounds.

    Returns
    -------
    bool
        False: certainly composite. True: prime but for that probability.

    Raises
    ------
    ValueError
        If n is longer.

    Examples
    --------
    >>> is_probable_prime(2**127 - 1), is_probable_prime(2**128 + 1)
    (True, False)
    """
    if rounds < 1:
        raise ValueError("at least one round is needed")
    if n < 4:
        return n in (2, 3)
    if n % 2 == 0:
        return False
    width = -(-n.bit_length() // 8)
    ring = bignum.Ring(n.to_bytes(width, "big"))
    first = min(rounds, ring.lanes)  # a composite seldom needs more
    return all(_pass(ring, n, width, bases) for bases in (first, rounds - first) if bases)


def _pass(ring: bignum.Ring, n: int, width: int, bases: int) -> bool:
    """Tell whether n passes Miller's test to that many random bases."""
    twos = ((n - 1) & -(n - 1)).bit_length() - 1
    values = b"".join((2 + secrets.randbelow(n - 3)).to_bytes(width, "big") for _ in range(bases))
    powers = bytearray(len(values))
    ring.single_powers(values, width, ((n - 1) >> twos).to_bytes(width, "big"), powers, True)
    passed = all(
        _reaches_minus_one(int.from_bytes(powers[i : i + width], "big"), n, twos)
        for i in range(0, len(powers), width)
    )
    bignum.wipe(powers)
    return passed


def _reaches_minus_one(x: int, n: int, twos: int) -> bool:
    """Tell whether x is 1, or one of its first `twos` repeated squares is -1; only one for n = 3 (mod 4)."""
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def fermat_probable_primes(candidates: Iterable[int]) -> Iterator[int]:
    """Yield the candidates p with 2^(p - 1) = 1 (mod p), in order: all primes, and hardly anything else.

    Parameters
    ----------
    candidates
        Odd numbers of equal length, from 5 on. They are taken, and tested, as many at a time as the kernel
        has lanes.

    Returns
    -------
    iterator of int
        Those that pass.

    Examples
    --------
    >>> list(fermat_probable_primes([341, 347, 349, 351]))
    [341, 347, 349]
    """
    for batch in _batches(candidates, bignum.lanes()):
        yield from compress(batch, _fermat(batch))


def _fermat(candidates: Sequence[int]) -> list[bool]:
    """Test as many candidates as there are lanes, or fewer."""
    width = -(-candidates[0].bit_length() // 8)
    lanes = bignum.lanes()
    filled = [*candidates, *[candidates[0]] * (lanes - len(candidates))]
    ring = bignum.Ring(b"".join(p.to_bytes(width, "big") for p in filled), lanes)
    powers = bytearray(lanes * width)
    ring.fermat(width, powers)
    one = (1).to_bytes(width, "big")
    return [powers[i * width : (i + 1) * width] == one for i in range(len(candidates))]


def _batches(values: Iterable[int], size: int) -> Iterator[list[int]]:
    """Cut into lists of `size` values; the last one may be shorter."""
    batch: list[int] = []
    for value in values:
        batch.append(value)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


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
        candidates = (start + 4 * offset for offset in _survivors(start))
        for candidate in fermat_probable_primes(takewhile(lambda p: p < 1 << bits, candidates)):
            if is_probable_prime(candidate):
                return candidate


def _survivors(start: int) -> list[int]:
    """List the indices i for which start + 4 i has no odd prime factor below 2^16."""
    primes = _odd_small_primes()
    residues = np.array([start % prime for prime in primes.tolist()])
    quarters = (1 + -primes % 4 * primes) // 4  # of 1, modulo each prime
    alive = np.ones(_SPAN, dtype=np.uint8)
    bignum.strike(alive, primes.astype(np.uint32), (-residues * quarters % primes).astype(np.uint32))
    return [int(i) for i in np.flatnonzero(alive)]
