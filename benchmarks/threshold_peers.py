"""Threshold Paillier: a million values opened by a committee, beside GMP on the same powers.

No library on the package index that we could install makes threshold partial decryptions: the peer is what every
one of them would compute, c^(2 D s) mod n^2 for one ciphertext, by gmpy2's powmod. One core, the processor's clock.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from measuring import Row, alternate, at_most, kernels, on_cores, times, version_of
from medcrypt import paillier
from medcrypt._ext import bignum, cpu
from medcrypt.paillier.threshold.sharing import share_out

MILLION = 1_000_000
BITS = 3072
PARTIES, THRESHOLD = 5, 3
PACKING = paillier.Packing(clip=8.0, bits=16, max_terms=10)
GMP = "gmpy2, powmod"


@dataclass(frozen=True)
class Sizes:
    """How much of everything; shares and combinations are scaled to a million values."""

    values: int
    key_bits: int
    generated_bits: int
    repeats: int


WHOLE = Sizes(values=60_000, key_bits=BITS, generated_bits=2048, repeats=3)
QUICK = Sizes(values=20_000, key_bits=2048, generated_bits=512, repeats=3)


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows."""
    sizes = QUICK if quick else WHOLE
    with on_cores(1):
        start = time.process_time()
        _, private = paillier.generate_keypair(sizes.key_bits, safe_primes=True)
        yield Row(
            f"safe primes for a key of {sizes.key_bits} bits", time.process_time() - start, note="one try"
        )
        start = time.process_time()
        public, shares = share_out(private, PARTIES, THRESHOLD)
        yield Row(f"deal {PARTIES} shares, with the proof about n", time.process_time() - start)
        for path in _paths():
            with kernels(path):
                yield from _on_path(path, public, shares, sizes)
        start = time.process_time()
        paillier.generate_threshold_key(3, 2, bits=sizes.generated_bits, insecure=quick)
        yield Row(
            f"key of {sizes.generated_bits} bits without a dealer, 3 parties",
            time.process_time() - start,
            note="all parties together; one try, of a geometric distribution",
        )


def _paths() -> list[str]:
    """The widest path if it computes eight at a time, which is IFMA, and the portable one."""
    widest = [path for path in cpu.paths()[-1:] if bignum.lanes(path) == 8]
    return [*widest, "portable"]


def _on_path(
    path: str, public: paillier.ThresholdPublicKey, shares: list[paillier.KeyShare], sizes: Sizes
) -> Iterator[Row]:
    """One share, its verification, and the combination, on the kernels of a path."""
    wide = path != "portable"
    title = f"IFMA ({path})" if wide else path
    # Made again: a key keeps the kernels that it met first.
    key = paillier.ThresholdPublicKey.from_bytes(public.to_bytes())
    holders = [paillier.KeyShare.from_bytes(share.to_bytes(), key) for share in shares[:THRESHOLD]]
    count = sizes.values if wide else sizes.values // 10
    total, expected = _total(key, count)
    scale, ciphertexts = MILLION / count, len(total.residues)
    parts = [holder.partial_decrypt(total) for holder in holders]
    if not np.array_equal(paillier.combine_integers(total, parts), expected):
        raise RuntimeError("the combined sum differs from numpy's")

    gmp = _gmp_power(key, holders[0], total.ciphertexts[0], int(parts[0].residues[0]))
    calls = [
        lambda: holders[0].partial_decrypt(total),
        lambda: parts[0].verify(total),
        lambda: paillier.combine_integers(total, parts),
        *([gmp] if gmp else []),
    ]
    share, verify, combine, *theirs = alternate(*calls, repeats=sizes.repeats, clock=time.process_time)
    work = f"threshold share of 10^6 values, 16 bits, {title}"
    whole = sizes.key_bits == BITS
    yield Row(
        work,
        share * scale,
        goal=at_most(45, "s") if wide and whole else None,
        note=f"with its proof; {share / ciphertexts * 1e3:.2f} ms a ciphertext; from {count:,} values",
    )
    work = f"partial decryption of a ciphertext, {title}"
    if theirs:
        yield Row(work, share / ciphertexts, peer=GMP, theirs=theirs[0], goal=times(5) if wide else None)
    else:
        yield Row.not_installed(work, GMP)
    yield Row(f"verify a share of 10^6 values, {title}", verify * scale)
    yield Row(
        f"combine {THRESHOLD} shares of 10^6 values, {title}", combine * scale, note="verified, to integers"
    )


def _total(public: paillier.ThresholdPublicKey, count: int) -> tuple[paillier.EncryptedArray, np.ndarray]:
    """Ten times an update, encrypted, and what it decrypts to."""
    values = np.random.default_rng(7).uniform(-8, 8, count)
    return 10 * public.encrypt(values, PACKING), 10 * PACKING.quantise(values)


def _gmp_power(
    public: paillier.ThresholdPublicKey, holder: paillier.KeyShare, ciphertext: int, expected: int
):
    """One partial decryption by GMP, or None."""
    if not version_of("gmpy2"):
        return None
    import gmpy2

    share = int.from_bytes(holder.to_bytes()[38:], "big")
    exponent = gmpy2.mpz(2 * math.factorial(public.parties) * share)
    base, modulus = gmpy2.mpz(ciphertext), gmpy2.mpz(public.n) ** 2
    if gmpy2.powmod(base, exponent, modulus) != expected:
        raise RuntimeError("GMP computes another partial decryption")
    return lambda: gmpy2.powmod(base, exponent, modulus)
