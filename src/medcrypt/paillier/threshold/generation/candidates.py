"""Candidates for n = p q whose factors are sums of everybody's numbers, and what tells good ones from bad.

p = p_1 + ... + p_l and q likewise, p_1 = q_1 = 3 and all others 0 modulo 4, so that both are 3 modulo 4. n is
public, so everybody divides it by the small primes. What is left is tested as Boneh and Franklin (2001, section 4)
do: for a g of Jacobi symbol 1, g^(phi / 4) is 1 or -1 modulo n if p and q are prime, where phi = n + 1 - p - q,
and each of the others contributes one power of g:

    g^((n + 1 - p_1 - q_1) / 4) = +- prod over i > 1 of g^((p_i + q_i) / 4)   (mod n)

An n that is no product of two primes passes at most half of all g, but for n = p^a q^b of a kind that has a factor in
common with phi: that is tested for apart.
"""

import itertools
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from medcrypt._ext import bignum
from medcrypt.paillier.primes import has_small_factor
from medcrypt.paillier.proofs.residues import octet_length, powers
from medcrypt.paillier.proofs.transcript import Transcript, octets

__all__ = ["BASES", "Candidate", "bases_of", "first_powers", "is_consistent", "promising"]

BASES = 128  # a wrong n passes each with probability at most 1/2

_DOMAIN = b"medcrypt/paillier/threshold/biprimality/v1"
_BLOCK = 8  # residues hashed at a time
_FIRST_LIMIT = 300  # a cheap first division: the product of the primes below is a few words


@dataclass(frozen=True, repr=False)
class Candidate:
    """One party's parts of p and q. Secret once their n is used."""

    party: int
    p: int
    q: int

    @classmethod
    def draw(cls, party: int, parties: int, bits: int) -> "Candidate":
        """Draw parts for an n of exactly `bits` bits.

        The first party takes numbers from 6/8 to 7/8 of 2^(bits / 2), the others share the eighth that is left:
        p and q lie between 6/8 and 8/8.
        """
        return cls(party, *(_draw_part(party, parties, bits // 2) for _ in range(2)))

    @property
    def sum(self) -> int:
        """p_i + q_i."""
        return self.p + self.q

    def totient_part(self, n: int) -> int:
        """Return this party's part of phi(n) = n + 1 - p - q: the first party adds n + 1."""
        return (n + 1 if self.party == 1 else 0) - self.sum

    def exponent(self, n: int) -> int:
        """Return what this party raises bases to: its part of phi(n) / 4, without the sign."""
        return abs(self.totient_part(n)) // 4

    def exponent_bytes(self, bits: int) -> int:
        """How many bytes hold the exponent: the first party's is as long as n, the others' are half as long."""
        return -(-(bits if self.party == 1 else bits // 2) // 8)

    def powers(self, bases: Sequence[int], n: int) -> list[int]:
        """Return this party's power of every base, in constant time in p_i and q_i."""
        return powers(bases, self.exponent(n), n, width=self.exponent_bytes(n.bit_length()))


def first_powers(candidates: Sequence[tuple[int, Candidate]]) -> list[int]:
    """Return this party's power of the first base of every n, all n of one length: as many at a time as lanes."""
    lanes, found = bignum.lanes(), list[int]()
    for start in range(0, len(candidates), lanes):
        batch = candidates[start : start + lanes]
        filled = [*batch, *[batch[0]] * (lanes - len(batch))]
        size, width = octet_length(batch[0][0]), batch[0][1].exponent_bytes(batch[0][0].bit_length())
        ring = bignum.Ring(b"".join(octets(n, size) for n, _ in filled), lanes)
        bases = b"".join(octets(bases_of(n, 1)[0], size) for n, _ in batch)
        exponents = bytearray().join(octets(mine.exponent(n), width) for n, mine in filled)
        results = bytearray(lanes * size)
        ring.single_powers_by_lane(bases + bases[:size] * (lanes - len(batch)), size, exponents, results)
        bignum.wipe(exponents)
        found += [int.from_bytes(results[i * size : (i + 1) * size], "big") for i in range(len(batch))]
    return found


def _draw_part(party: int, parties: int, half: int) -> int:
    """Draw p_i or q_i."""
    eighth = 1 << (half - 3)
    if party == 1:
        return 6 * eighth + 4 * secrets.randbelow(eighth // 4) + 3
    return 4 * secrets.randbelow(eighth // (4 * (parties - 1)))


@cache
def _first_product() -> int:
    """Multiply the odd primes below the first limit."""
    return math.prod(r for r in range(3, _FIRST_LIMIT, 2) if all(r % d for d in range(3, r, 2)))


def promising(n: int, bits: int) -> bool:
    """Tell whether n has the right length and no prime factor below 2^16."""
    return n.bit_length() == bits and math.gcd(n, _first_product()) == 1 and not has_small_factor(n)


def bases_of(n: int, count: int) -> list[int]:
    """Hash n to `count` residues of Jacobi symbol 1, the same for everybody."""
    size, bases = octet_length(n), list[int]()
    for block in itertools.count():
        transcript = Transcript(_DOMAIN, b"")
        transcript.absorb(b"n", octets(n, size))
        transcript.absorb(b"block", octets(block, 8))
        residues = transcript.residues(n, _BLOCK)
        symbols = np.zeros(_BLOCK, dtype=np.int8)
        bignum.jacobi(b"".join(octets(g, size) for g in residues), size, octets(n, size), symbols)
        bases += [g for g, symbol in zip(residues, symbols.tolist(), strict=True) if symbol == 1]
        if len(bases) >= count:
            break
    return bases[:count]


def is_consistent(n: int, powers_of_all: Sequence[Sequence[int]]) -> bool:
    """Tell whether n passes for every base, given every party's powers in the order of the parties."""
    for first, *others in zip(*powers_of_all, strict=True):
        product = math.prod(others) % n
        if product not in (first, n - first):
            return False
    return True
