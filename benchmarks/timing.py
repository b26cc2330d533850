"""Do the kernels take as long for one secret as for another? A statistical test, after dudect.

Each experiment has two classes of secrets: one fixed and one drawn at random. Single calls of both classes are
timed in a random order, and Welch's t compares the means, once over all timings and once for each of
several upper bounds, since the tail is the scheduler's (Reparaz, Balasch and Verbauwhede, Dude, is my code
constant time?, DATE 2017). |t| beyond 4.5 makes a leak likely, beyond 10 certain; that it stays below proves
nothing but that this many timings on this machine show none.

Run it on a quiet machine: ``make timing`` (ARGS="--timings 20000 --path portable").
"""

import argparse
import math
import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from medcrypt._ext import bignum, cpu, dcf
from medcrypt.aggregation import shamir
from medcrypt.dp.noise.bessel import skellam_sampler
from medcrypt.dp.noise.gaussian import discrete_gaussian_sampler
from medcrypt.dp.noise.sampling import CellSampler, TableSampler
from medcrypt.paillier.arithmetic import Group
from medcrypt.paillier.primes import random_blum_prime
from medcrypt.paillier.single_decryption import SingleDecryption

SUSPICIOUS, CERTAIN = 4.5, 10.0
BITS = 1024  # long enough for several blocks of digits, short enough for many timings
QUANTILES = (0.5, 0.7, 0.9, 0.95, 0.99)

# What one class of secrets is used for: prepared outside of the measurement, then timed.
Prepared = Callable[[], object]
Experiment = Callable[[bool], Prepared]


@dataclass(frozen=True)
class Verdict:
    """What came of one experiment: the greatest |t|, over all timings and over those below each bound."""

    name: str
    t: float
    timings: int

    def __str__(self) -> str:
        words = (
            "leaks" if self.t > CERTAIN else "suspicious" if self.t > SUSPICIOUS else "no difference found"
        )
        return f"{self.name:<58} {self.timings:>8} timings   max |t| {self.t:6.2f}   {words}"


def main() -> int:
    """Run every experiment on every path that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--timings", type=int, default=4000, help="single calls of each experiment")
    parser.add_argument("--only", default="", help="experiments whose name contains this")
    parser.add_argument("--path", choices=[*cpu.paths(), *bignum.kernels()], help="one kernel only")
    arguments = parser.parse_args()
    paths = [path for path in bignum.kernels() if arguments.path in (None, path)]
    named = {f"{path}: {name}": each for path in paths for name, each in experiments(path).items()}
    named |= decryption_experiments() | inverse_experiments() | sharing_experiments()
    vectors = [path for path in cpu.paths() if path != "portable" and arguments.path in (None, path)]
    named |= {
        f"{path}: {name}": each for path in vectors for name, each in comparison_experiments(path).items()
    }
    named |= {
        f"{path}: {name}": each
        for path in cpu.paths()
        if arguments.path in (None, path)
        for name, each in noise_experiments(path).items()
    }
    verdicts = [
        measure(name, experiment, arguments.timings)
        for name, experiment in named.items()
        if arguments.only in name
    ]
    return int(any(verdict.t > CERTAIN for verdict in verdicts if "control" not in verdict.name))


def experiments(path: str) -> dict[str, Experiment]:
    """List the experiments; each prepares one call with a fixed or a random secret."""
    n = secrets.randbits(BITS) | 1 | 1 << (BITS - 1)
    ring = _ring(n, path)
    base = _entered(ring, n, [secrets.randbelow(n * n) for _ in range(ring.lanes)])
    comb, out = bignum.Comb(ring, base, 256), np.empty_like(base)
    zeros = bytes(BITS // 8)

    def chosen(fixed: bool, size: int) -> bytearray:
        """Zeros or random bytes, after the same calls in memory of the same kind."""
        drawn = os.urandom(size)
        return bytearray(size) if fixed else bytearray(drawn)

    def exponent(fixed: bool) -> Prepared:
        e = chosen(fixed, len(zeros))
        return lambda: ring.power(base, e, out, True)

    def public_exponent(fixed: bool) -> Prepared:
        e = zeros if fixed else os.urandom(len(zeros))
        return lambda: ring.power(base, e, out, False)

    def comb_exponent(fixed: bool) -> Prepared:
        e = chosen(fixed, 32 * ring.lanes)
        return lambda: comb.powers(e, 32, out)

    def some(fixed: bool) -> npt.NDArray[np.uint64]:
        """Ones or random residues, both made in the same way just before they are used."""
        drawn = [secrets.randbelow(n * n) for _ in range(ring.lanes)]
        return _entered(ring, n, [1] * ring.lanes if fixed else drawn)

    e = os.urandom(BITS // 8)

    def residue(fixed: bool) -> Prepared:
        x = some(fixed)
        return lambda: ring.power(x, e, out, True)

    def leaving(fixed: bool) -> Prepared:
        x = some(fixed)
        values = bytearray(ring.lanes * BITS // 4)
        return lambda: ring.leave(x, BITS // 4, values)

    fixed_modulus = 1 << (BITS - 1) | 1

    def modulus(fixed: bool) -> Prepared:
        m = fixed_modulus if fixed else secrets.randbits(BITS) | 1 | 1 << (BITS - 1)
        own = _ring(m, path)
        values, found = (
            os.urandom(ring.lanes * BITS // 8 - 1).rjust(ring.lanes * BITS // 8, b"\0"),
            bytearray(ring.lanes * BITS // 8),
        )
        return lambda: own.single_powers(values, BITS // 8, e, found, True)

    return {
        "decryption's power, exponent 0 or random": exponent,
        "comb, exponents 0 or random": comb_exponent,
        "decryption's power, of 1 or of random residues": residue,
        "leaving Montgomery's form, 1 or random residues": leaving,
        "power modulo a sparse or a random prime's size": modulus,
        "control, public exponent 0 or random (must differ)": public_exponent,
    }


def inverse_experiments() -> dict[str, Experiment]:
    """List those of inverses, which have one implementation; 2^-1 and a random number's, modulo a fixed or random n."""
    width = BITS // 8
    value, modulus, out = (np.empty(width, np.uint8) for _ in range(3))
    sparse, some = 1 << (BITS - 1) | 1, secrets.randbits(BITS) | 1 | 1 << (BITS - 1)

    def prepared(function: Callable[..., None], x: int, n: int) -> Prepared:
        value[:] = np.frombuffer(x.to_bytes(width, "big"), np.uint8)
        modulus[:] = np.frombuffer(n.to_bytes(width, "big"), np.uint8)
        return lambda: function(value, width, modulus, out)

    def unit(n: int) -> int:
        """Draw a number that has an inverse: an exception would take a time of its own."""
        candidates = iter(lambda: secrets.randbits(BITS - 1), None)
        return next(x for x in candidates if math.gcd(x, n) == 1)

    def of_value(function: Callable[..., None]) -> Experiment:
        def experiment(fixed: bool) -> Prepared:
            drawn = unit(some)
            return prepared(function, 2 if fixed else drawn, some)

        return experiment

    def modulo(fixed: bool) -> Prepared:
        n = sparse if fixed else secrets.randbits(BITS) | 1 | 1 << (BITS - 1)
        return prepared(bignum.inverses, unit(n), n)

    return {
        "inverse, of 2 or of a random number": of_value(bignum.inverses),
        "inverse modulo a sparse or a random number": modulo,
        "control, public inverse of 2 or of a random number (must differ)": of_value(bignum.public_inverses),
    }


def decryption_experiments() -> dict[str, Experiment]:
    """List those of decrypting one ciphertext on the path in use; all masks are 1, as if nobody blinded."""
    p, q = sorted(random_blum_prime(BITS) for _ in range(2))
    single = SingleDecryption(p, q)
    n, group = p * q, Group(p * q)

    def drawn() -> int:
        """Return a random encryption of a number of full length, so that Python's integers are as long."""
        return group.conceal([n - 1 - secrets.randbits(BITS)], [secrets.randbelow(n)])[0]

    always = drawn()

    def decrypting(fixed: bool) -> Prepared:
        other = drawn()
        c = always if fixed else other
        return lambda: single.decrypt(c, lambda: group.residues([1]))

    return {"decryption of one ciphertext, fixed or random": decrypting}


def sharing_experiments() -> dict[str, Experiment]:
    """List those of secret sharing, which is whole-array arithmetic by numpy."""
    points, threshold = range(1, 48), 27

    def sharing(fixed: bool) -> Prepared:
        secret = bytes(64) if fixed else os.urandom(64)
        return lambda: shamir.split(secret, points, threshold)

    def interpolating(fixed: bool) -> Prepared:
        shares = [bytes(32) if fixed else os.urandom(32) for _ in range(threshold)]
        return lambda: shamir.combine([points[:threshold]], [shares])

    return {
        "shares of a secret, 0 or random": sharing,
        "interpolation of shares, 0 or random": interpolating,
    }


def comparison_experiments(path: str) -> dict[str, Experiment]:
    """List those of distributed comparison and point functions: alpha and beta when dealing, a server's key."""
    count = 64
    x, values = np.zeros(count, np.uint64), np.empty(count, np.uint64)

    def filled(place: npt.NDArray[np.uint8], fixed: bool) -> None:
        """Write zeros or random bytes to the same place, after the same calls: addresses have times of their own."""
        drawn, zeros = os.urandom(place.size), bytes(place.size)
        place[:] = np.frombuffer(zeros if fixed else drawn, np.uint8)

    def dealing(kind: str) -> Experiment:
        function = dcf.SharedFunction(kind, 32, 4, bytes(16), path)
        keys = [np.empty(function.key_size(count), np.uint8) for _ in range(2)]
        alpha, beta, roots = (np.empty(size * count, np.uint8) for size in (8, 8, 32))

        def deal(fixed: bool) -> Prepared:
            filled(alpha, fixed)
            filled(beta, fixed)
            filled(roots, False)
            return lambda: function.generate(alpha.view(np.uint64), beta.view(np.uint64), roots, *keys)

        return deal

    def evaluating(kind: str) -> Experiment:
        function = dcf.SharedFunction(kind, 32, 4, bytes(16), path)
        key = np.zeros(function.key_size(count), np.uint8)

        def evaluate(fixed: bool) -> Prepared:
            filled(key, fixed)
            return lambda: function.evaluate(1, key, x, values)

        return evaluate

    return {
        f"{kind}, {what} 0 or random": make(kind)
        for kind in ("comparison", "point")
        for what, make in (("alpha and beta", dealing), ("key", evaluating))
    }


def noise_experiments(path: str) -> dict[str, Experiment]:
    """List those of drawing noise: words of zeros, which give the same value always, or random ones."""
    trials = 512

    def drawing(sampler: TableSampler | CellSampler) -> Experiment:
        shape = sampler.shape
        words = np.zeros(shape.words * trials, np.uint64)
        values, verdicts = np.empty(trials, np.int64), np.empty(trials, np.uint8)

        def draw(fixed: bool) -> Prepared:
            drawn, zeros = os.urandom(words.nbytes), bytes(words.nbytes)
            words.view(np.uint8)[:] = np.frombuffer(zeros if fixed else drawn, np.uint8)
            return lambda: shape.trials(words, values, verdicts)

        return draw

    before = os.environ.get("MEDCRYPT_KERNELS")
    os.environ["MEDCRYPT_KERNELS"] = path  # a sampler takes the path of the moment
    try:
        samplers = {
            "Gaussian noise of sigma 2": discrete_gaussian_sampler(Fraction(2)),
            "Gaussian noise of sigma 1000": discrete_gaussian_sampler(Fraction(1000)),
            "Skellam noise of variance 10^6": skellam_sampler(Fraction(10**6)),
        }
    finally:
        os.environ.pop("MEDCRYPT_KERNELS")
        if before is not None:
            os.environ["MEDCRYPT_KERNELS"] = before
    return {f"{name}, words 0 or random": drawing(sampler) for name, sampler in samplers.items()}


def measure(name: str, experiment: Experiment, timings: int) -> Verdict:
    """Time calls of both classes in random order, and print the verdict."""
    classes = np.frombuffer(os.urandom(timings), dtype=np.uint8) & 1 == 1
    spent = np.array([_time(experiment(bool(fixed))) for fixed in classes])
    bounds = [math.inf, *np.quantile(spent, QUANTILES)]
    kept = [(spent[classes & (spent <= b)], spent[~classes & (spent <= b)]) for b in bounds]
    verdict = Verdict(name, max(abs(welch(a, b)) for a, b in kept if min(a.size, b.size) > 1), timings)
    print(verdict, flush=True)
    return verdict


def welch(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float:
    """Welch's t of two samples."""
    error = math.sqrt(a.var(ddof=1) / a.size + b.var(ddof=1) / b.size)
    return float((a.mean() - b.mean()) / error) if error else 0.0


def _time(call: Prepared) -> float:
    """Nanoseconds of one call; a first one has brought code and tables into the caches."""
    call()
    start = time.perf_counter_ns()
    call()
    return float(time.perf_counter_ns() - start)


def _ring(n: int, path: str) -> bignum.Ring:
    return bignum.Ring(n.to_bytes(BITS // 8, "big"), path=path)


def _entered(ring: bignum.Ring, n: int, values: list[int]) -> npt.NDArray[np.uint64]:
    """Residues of one group."""
    out = np.empty(ring.group_words, dtype=np.uint64)
    ring.enter(b"".join((x % (n * n)).to_bytes(BITS // 4, "big") for x in values), BITS // 4, out)
    return out


if __name__ == "__main__":
    sys.exit(main())
