"""Encrypted sums: a million values and one ciphertext, beside other Paillier libraries and beside a lattice.

Every contestant of a row takes its turns in the same rounds, on one core and in one thread unless the row says
otherwise, and is timed by the processor's clock, so that other processes cost nobody anything; rows in seconds
add what the clock on the wall said. Ours starts from float32 and ends with bytes, or the other way round. The IFMA
rows are missing where the processor has no AVX-512 IFMA; their notes say how far they are from the limit of such a
core, and the rows "of which" where the time goes.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import paillier_contestants as contestants
from measuring import Goal, Metered, Row, alternate, at_most, cores, kernels, on_cores, times, version_of
from medcrypt import paillier
from medcrypt._ext import bignum, cpu
from medcrypt.paillier import phe
from medcrypt.paillier.arithmetic import SplitGroup
from paillier_contestants import HEU, PYPAILLIER, PYTHON_PHE, TENSEAL, Call, Ckks, Contestant

CLIENTS = 10
MILLION = 1_000_000
BITS = 3072
PACKING = paillier.Packing(clip=8.0, bits=32, max_terms=CLIENTS)

# What arithmetic alone would take on one core of the processor that the goals were set on, counted in the multiply-adds
# of IFMA: sixteen a cycle (two instructions of eight lanes) at 3.45 GHz. A number of k digits of 52 bits modulo n costs
# 3 k^2 of them to square; a pair that stands for a residue modulo n^2 costs 10 k^2 to multiply and 7 k^2 to square.
MULTIPLY_ADDS = 16 * 3.45e9
SQUARE, PAIR, PAIR_SQUARE = 3, 10, 7
WHOLE_N, HALF_N = 60**2, 30**2  # k^2 for n of 3072 bits and for its primes
DIGITS = -(-512 // 5)  # of a short exponent, five bits each, and so the products of a power of h
POWER = (
    1536 * PAIR_SQUARE + 307 * PAIR
)  # of a ciphertext modulo the square of a prime, with windows of five bits
CIPHERTEXTS = PACKING.ciphertexts(MILLION, BITS)

LIMITS = {
    "encrypt": CIPHERTEXTS * DIGITS * PAIR * WHOLE_N / MULTIPLY_ADDS,
    # Modulo the squares of both primes; two products modulo n^2 join the halves.
    "encrypt, key holder": CIPHERTEXTS * (2 * DIGITS * HALF_N + 2 * WHOLE_N) * PAIR / MULTIPLY_ADDS,
    "add": (CLIENTS - 1) * CIPHERTEXTS * PAIR * WHOLE_N / MULTIPLY_ADDS,
    "decrypt": CIPHERTEXTS * 2 * POWER * HALF_N / MULTIPLY_ADDS,
    # One sieved candidate in 1900 is a safe prime; the median for two of them is 1.68 times the mean for one.
    "safe primes": 1.68 * 1900 * 1535 * SQUARE * HALF_N / MULTIPLY_ADDS,
}


@dataclass(frozen=True)
class Sizes:
    """How much of everything: whole work, or samples that are scaled to it."""

    values: int
    decrypted: int
    portable: int
    repeats: int
    keys: int
    key_bits: int


WHOLE = Sizes(values=MILLION, decrypted=MILLION, portable=100_000, repeats=5, keys=9, key_bits=BITS)
QUICK = Sizes(values=100_000, decrypted=10_000, portable=10_000, repeats=3, keys=3, key_bits=2048)


@dataclass(frozen=True)
class Peers:
    """Everybody else, by name; what is not installed is None."""

    by_ciphertext: dict[str, Contestant | None]
    ckks: Ckks | None

    @classmethod
    def of(cls, public: paillier.PublicKey, private: paillier.PrivateKey, values: np.ndarray) -> "Peers":
        """Set them up, with our key where they can take it."""
        return cls(
            {
                PYTHON_PHE: contestants.python_phe(public, private),
                PYPAILLIER: contestants.pypaillier(public),
                HEU: contestants.heu(public.bits),
            },
            Ckks.of(values),
        )

    def calls(self, work: str) -> dict[str, Call | None]:
        """One ciphertext's `work`, by library."""
        return {name: peer and getattr(peer, work) for name, peer in self.by_ciphertext.items()}


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    sizes = QUICK if quick else WHOLE
    yield _load()
    with on_cores(1):
        public, private = paillier.generate_keypair(BITS)
        crossed = contestants.check_crossing(public, private)
        yield Row("sums of ciphertexts of two libraries", None, note=f"decrypt rightly: {', '.join(crossed)}")
        peers = Peers.of(public, private, _values(sizes.values))
        for path in _paths():
            with kernels(path):
                yield from _on_path(path, *_fresh_keys(private), peers, sizes)
        yield from _sizes(public, peers.ckks)
        yield from _safe_primes(sizes)
    yield from _two_threads(public, sizes)
    if not quick:
        yield from _memory()


def _load() -> Row:
    """Say how busy the machine is: neighbours still share caches and memory."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Row("load average of the machine at the start", load, unit="", note=f"{cores()} cores")


def _paths() -> list[str]:
    """Every path that has a kernel of its own, the widest first."""
    different = {bignum.lanes(path): path for path in reversed(cpu.paths())}
    return list(different.values())


def _fresh_keys(private: paillier.PrivateKey) -> tuple[paillier.PublicKey, paillier.PrivateKey]:
    """Make the same keys again, for the path in force: a key keeps the kernels that it met first."""
    again = paillier.PrivateKey(private.p, private.q)
    for count in (1, 1000):  # a single value has tables of its own
        values = _values(count)
        again.decrypt(again.public.encrypt(values, PACKING) + again.encrypt(values, PACKING))
    return again.public, again


def _on_path(
    path: str, public: paillier.PublicKey, private: paillier.PrivateKey, peers: Peers, sizes: Sizes
) -> Iterator[Row]:
    wide = bignum.lanes(path) == 8  # goals are for IFMA, or for whatever does without
    title = {8: f"IFMA ({path})", 4: f"FMA ({path})"}.get(bignum.lanes(path), path)
    values = _values(sizes.values if wide else sizes.portable)
    yield from _encrypting(title, wide, public, private, values, peers, sizes)
    if wide:
        yield from _where_encryption_goes(title, "public key", public, public, values, sizes.repeats)
        yield from _where_encryption_goes(title, "key holder", private, public, values, sizes.repeats)
    uploads = _uploads(public, private, values)
    yield from _adding(title, wide, public, uploads, peers, sizes)
    decrypted = _values(sizes.decrypted if wide else min(sizes.portable, 20_000))
    total = paillier.add(_uploads(public, private, decrypted))
    _check_sum(private, total, decrypted)
    yield from _decrypting(title, wide, private, total, peers, sizes)
    if wide:
        yield from _where_decryption_goes(title, private, total, sizes.repeats)
    yield from _scalars(title, wide, public, private, sizes.repeats)


# --- a million values ---------------------------------------------------------------------------------


def _encrypting(
    title: str,
    wide: bool,
    public: paillier.PublicKey,
    private: paillier.PrivateKey,
    values: np.ndarray,
    peers: Peers,
    sizes: Sizes,
) -> Iterator[Row]:
    """Float32 to bytes: with the public key only, then by the key holder."""
    scale, count = MILLION / values.size, PACKING.ciphertexts(values.size, BITS)
    ours, holder = (
        Metered(lambda: public.encrypt(values, PACKING).to_bytes()),
        Metered(lambda: private.encrypt(values, PACKING).to_bytes()),
    )
    calls = peers.calls("encrypt") | {
        "a value": _phe_value(public, private),
        TENSEAL: peers.ckks and peers.ckks.encrypt,
    }
    mine, holders, theirs = _timed(ours, holder, calls, sizes.repeats)
    work = f"encrypt 10^6 float32, public key, {title}"
    yield Row(
        work,
        mine * scale,
        goal=at_most(1.3, "s") if wide else None,
        note=_notes(ours.median * scale, scale, mine * scale, "encrypt" if wide else None),
    )
    yield _beside(work, mine * scale, TENSEAL, theirs, _slower_at_most(1.4) if wide else None, sizes.values)
    yield _beside(
        f"encrypt a 32-bit value, public key, {title}",
        mine / values.size,
        "a value",
        theirs,
        times(15_000) if wide else None,
        name=PYTHON_PHE,
    )
    work, least = f"encrypt a ciphertext, public key, {title}", times(15) if wide else times(2.5)
    for name, goal in ((PYPAILLIER, least), (HEU, least), (PYTHON_PHE, None)):
        yield _beside(work, mine / count, name, theirs, goal)
    work = f"encrypt 10^6 float32, key holder, {title}"
    limited = "encrypt, key holder" if wide else None
    note = _notes(holder.median * scale, scale, holders * scale, limited)
    yield Row(work, holders * scale, goal=at_most(0.9, "s") if wide else None, note=note)
    yield _beside(work, holders * scale, TENSEAL, theirs, times(1) if wide else None, sizes.values)


def _phe_value(public: paillier.PublicKey, private: paillier.PrivateKey) -> Call | None:
    """Let python-phe encode and encrypt one number, at the precision of 32 bits."""
    if not version_of("phe"):
        return None
    theirs, _ = contestants.phe_keys(public, private)
    return lambda: theirs.encrypt(1.25, precision=1e-8)


def _where_encryption_goes(
    title: str,
    who: str,
    key: paillier.PublicKey | paillier.PrivateKey,
    public: paillier.PublicKey,
    values: np.ndarray,
    repeats: int,
) -> Iterator[Row]:
    """Time the steps of one encryption, each alone."""
    plaintexts = PACKING.encode(values, public.bits)
    masks = key.masks(len(plaintexts))
    residues = public.group.conceal(plaintexts, masks)
    steps: dict[str, Call] = {
        "quantise and pack": lambda: PACKING.encode(values, public.bits),
        "draw s, h^s mod n^2": lambda: key.masks(len(plaintexts)),
        "(1 + m n) h^s": lambda: public.group.conceal(plaintexts, masks),
        "to bytes": residues.to_bytes,
    }
    medians = alternate(*steps.values(), repeats=repeats, clock=time.process_time)
    shares = dict(zip(steps, medians, strict=True))
    yield from _shares(f"{who}, {title}", shares, sum(medians), MILLION / values.size)


def _where_decryption_goes(
    title: str, private: paillier.PrivateKey, total: paillier.EncryptedArray, repeats: int
) -> Iterator[Row]:
    """Time the steps of one decryption, each alone; blinding is what is left of the whole."""
    group, split = private.public.group, SplitGroup(private.p, private.q)
    plaintexts = split.decrypt(total.residues)
    steps: dict[str, Call] = {
        "all": lambda: private.decrypt(total),
        "check units": lambda: group.are_units(total.residues),
        "two powers, CRT": lambda: split.decrypt(total.residues),
        "unpack": lambda: PACKING.decode(plaintexts, total.size, total.terms, private.bits),
    }
    medians = alternate(*steps.values(), repeats=min(repeats, 3), clock=time.process_time)
    shares = dict(zip(steps, medians, strict=True))
    whole = shares.pop("all")
    shares["blind (the rest)"] = max(whole - sum(shares.values()), 0.0)
    yield from _shares(f"decrypt, {title}", shares, whole, MILLION / total.size)


def _shares(work: str, seconds: dict[str, float], whole: float, scale: float) -> Iterator[Row]:
    """Give the steps of some work on a million values, each with its share of the whole."""
    for step, taken in seconds.items():
        yield Row(f"  of which {step}, {work}", taken * scale, note=f"{taken / whole:.0%}")


def _uploads(
    public: paillier.PublicKey, private: paillier.PrivateKey, values: np.ndarray
) -> list[paillier.EncryptedArray]:
    """Ten uploads, each in memory of its own as a server has them."""
    data = private.encrypt(values, PACKING).to_bytes()
    return [paillier.EncryptedArray.from_bytes(data, public) for _ in range(CLIENTS)]


def _adding(
    title: str,
    wide: bool,
    public: paillier.PublicKey,
    uploads: list[paillier.EncryptedArray],
    peers: Peers,
    sizes: Sizes,
) -> Iterator[Row]:
    """Ten uploads that were read already; reading and checking them is a row of its own."""
    scale, count = MILLION / uploads[0].size, len(uploads[0].residues) * (CLIENTS - 1)
    data = uploads[0].to_bytes()
    ours = Metered(lambda: paillier.add(uploads))
    read = Metered(lambda: [paillier.EncryptedArray.from_bytes(data, public) for _ in range(CLIENTS)])
    calls = peers.calls("add") | {
        "gmpy2, x y mod n^2": contestants.gmp_product(public.n * public.n),
        TENSEAL: peers.ckks and peers.ckks.add_ten,
        "read": peers.ckks and peers.ckks.read,
    }
    mine, reading, theirs = _timed(ours, read, calls, sizes.repeats)
    work = f"add ten updates of 10^6, {title}"
    yield Row(
        work,
        mine * scale,
        goal=at_most(0.15, "s") if wide else None,
        note=_notes(ours.median * scale, scale, mine * scale, "add" if wide else None),
    )
    yield _beside(work, mine * scale, TENSEAL, theirs, None, sizes.values)
    work = f"add two ciphertexts, {title}"
    yield _beside(work, mine / count, "gmpy2, x y mod n^2", theirs, times(7) if wide else None)
    for name in peers.by_ciphertext:
        yield _beside(work, mine / count, name, theirs, None)
    yield _beside(
        f"read and check an update of 10^6, {title}",
        reading * scale / CLIENTS,
        "read",
        theirs,
        None,
        sizes.values,
        name=TENSEAL,
    )


def _check_sum(private: paillier.PrivateKey, total: paillier.EncryptedArray, values: np.ndarray) -> None:
    """Refuse to time what is wrong."""
    if not np.array_equal(private.decrypt_integers(total), CLIENTS * PACKING.quantise(values)):
        raise RuntimeError("the decrypted sum differs from numpy's")


def _decrypting(
    title: str,
    wide: bool,
    private: paillier.PrivateKey,
    total: paillier.EncryptedArray,
    peers: Peers,
    sizes: Sizes,
) -> Iterator[Row]:
    """The sum of ten updates, to float64."""
    scale, count = MILLION / total.size, len(total.residues)
    ours = Metered(lambda: private.decrypt(total))
    calls = peers.calls("decrypt") | {TENSEAL: peers.ckks and peers.ckks.decrypt}
    mine, _, theirs = _timed(ours, None, calls, min(sizes.repeats, 3))
    work = f"decrypt the sum of 10^6, {title}"
    yield Row(
        work,
        mine * scale,
        goal=at_most(12, "s") if wide else None,
        note=_notes(ours.median * scale, scale, mine * scale, "decrypt" if wide else None),
    )
    yield _beside(work, mine * scale, TENSEAL, theirs, None, sizes.values)
    work = f"decrypt a ciphertext, {title}"
    goals = {PYTHON_PHE: times(7) if wide else times(2)}
    for name in peers.by_ciphertext:
        yield _beside(work, mine / count, name, theirs, goals.get(name))


# --- one value at a time ------------------------------------------------------------------------------


def _scalars(
    title: str, wide: bool, public: paillier.PublicKey, private: paillier.PrivateKey, repeats: int
) -> Iterator[Row]:
    """`medcrypt.paillier.phe` against python-phe, call for call."""
    if not version_of("phe"):
        yield Row.not_installed(f"scalar interface, {title}", PYTHON_PHE)
        return
    our_private = phe.PaillierPrivateKey.from_key(private)
    our_public, foreign = our_private.public_key, phe.PaillierPublicKey(public.n)
    their_public, their_private = contestants.phe_keys(public, private)
    ours, theirs = our_public.encrypt(1.25), their_public.encrypt(1.25)
    ours.obfuscate()
    theirs.obfuscate()
    least = times(10) if wide else times(2)
    works: list[tuple[str, Call, Call, Goal | None]] = [
        ("encrypt, key of ours", lambda: our_public.encrypt(1.25), lambda: their_public.encrypt(1.25), least),
        ("encrypt, foreign key", lambda: foreign.encrypt(1.25), lambda: their_public.encrypt(1.25), None),
        ("decrypt", lambda: our_private.decrypt(ours), lambda: their_private.decrypt(theirs), least),
        ("add two", lambda: ours + ours, lambda: theirs + theirs, None),
        ("add a plain number", lambda: ours + 3.5, lambda: theirs + 3.5, None),
        ("subtract two", lambda: ours - ours, lambda: theirs - theirs, None),
        ("times a plain number", lambda: ours * 2.5, lambda: theirs * 2.5, None),
        ("times a negative number", lambda: ours * -2.5, lambda: theirs * -2.5, None),
    ]
    for work, mine, other, goal in works:
        seconds, their_seconds = alternate(mine, other, repeats=repeats, clock=time.process_time)
        note = "r^n, as theirs" if "foreign" in work else ""
        yield Row(f"phe module: {work}, {title}", seconds, "s", PYTHON_PHE, their_seconds, goal, note)
    yield from _foreign_decryption(title, repeats)
    if wide:
        with contestants.phe_without_gmp():
            seconds, their_seconds = alternate(
                lambda: our_public.encrypt(1.25),
                lambda: their_public.encrypt(1.25),
                repeats=repeats,
                clock=time.process_time,
            )
        yield Row(
            f"phe module: encrypt, key of ours, {title}", seconds, "s", "python-phe, pow", their_seconds
        )


def _foreign_decryption(title: str, repeats: int) -> Iterator[Row]:
    """Decrypt with a key that python-phe generated, whose primes earn no short exponents."""
    their_public, their_private = contestants.phe_foreign_keys(BITS)
    private = phe.PaillierPrivateKey(
        phe.PaillierPublicKey(their_public.n), int(their_private.p), int(their_private.q)
    )
    ours, theirs = private.public_key.encrypt(1.25), their_public.encrypt(1.25)
    seconds, their_seconds = alternate(
        lambda: private.decrypt(ours),
        lambda: their_private.decrypt(theirs),
        repeats=repeats,
        clock=time.process_time,
    )
    work = f"phe module: decrypt, foreign key, {title}"
    yield Row(work, seconds, "s", PYTHON_PHE, their_seconds, note="blinded; theirs is not")


# --- sizes, keys, threads, memory ---------------------------------------------------------------------


def _sizes(public: paillier.PublicKey, ckks: Ckks | None) -> Iterator[Row]:
    """Bytes of one client's upload of a million values, counted from the format (no encryption needed)."""
    goals = {32: 9.1, 24: 7.1, 16: 5.1, 8: 3.1}
    for bits, limit in goals.items():
        packing = paillier.Packing(bits=bits, max_terms=CLIENTS)
        blank = [1] * packing.ciphertexts(MILLION, public.bits)
        each = paillier.EncryptedArray(public, blank, (MILLION,), packing).nbytes / MILLION
        work = f"upload of 10^6 values of {bits} bits, each"
        peer, theirs = "python-phe, a ciphertext a value", float(public.ciphertext_bytes)
        yield Row(work, each, "bytes", peer, theirs, at_most(limit, "bytes"))
        if bits in (32, 16):
            lattice = len(ckks.data) / ckks.values.size if ckks else None
            note = "" if ckks else "not installed"
            yield Row(work, each, "bytes", TENSEAL, lattice, times(6) if bits == 32 else None, note)


def _safe_primes(sizes: Sizes) -> Iterator[Row]:
    """Key pairs over safe primes: waiting times with a long tail, so many are drawn."""
    bits = sizes.key_bits
    ours = [_seconds(lambda: paillier.generate_keypair(bits, safe_primes=True)) for _ in range(sizes.keys)]
    lower, _, upper = statistics.quantiles(ours, n=4)
    median = statistics.median(ours)
    note = f"{len(ours)} keys, the middle half in {lower:.1f} to {upper:.1f} s"
    if bits == BITS and bignum.lanes() == 8:
        note += f"; {_from_limit(median, 'safe primes')}"
    generate = contestants.pypaillier_key_generation(bits)
    theirs = [_seconds(generate) for _ in range(max(sizes.keys // 4, 1))] if generate else []
    yield Row(
        f"safe-prime key of {bits} bits",
        median,
        peer=PYPAILLIER,
        theirs=statistics.median(theirs) if theirs else None,
        goal=at_most(4, "s") if bits == BITS else None,
        note=f"{note}; theirs: {len(theirs) or 'not installed'}",
    )


def _seconds(call: Call) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _two_threads(public: paillier.PublicKey, sizes: Sizes) -> Iterator[Row]:
    """Ours on two cores and on one, beside a loop that touches no memory: what the machine gives."""
    if cores() < 2 or not hasattr(os, "sched_setaffinity"):
        yield Row("two threads", None, note="needs two cores, and Linux to choose them")
        return
    values = _values(min(sizes.values, 200_000))
    public.encrypt(values[:1000], PACKING)

    def ours() -> object:
        return public.encrypt(values, PACKING).to_bytes()

    def control(workers: int) -> None:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda _: hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000), range(2)))

    two, one, control_two, control_one = alternate(
        ours, _on_one(ours), lambda: control(2), _on_one(lambda: control(1)), repeats=max(sizes.repeats, 5)
    )
    gained = control_one / control_two
    yield Row(
        f"encrypt {values.size:,} float32 in two threads, {cpu.path()}",
        values.size / two,
        "values/s",
        "one thread of ours",
        values.size / one,
        Goal(">= 1.6x", lambda row: row.ratio is not None and row.ratio >= 1.6 if gained >= 1.6 else None),
        f"a loop without memory gains {gained:.2f}x" + ("" if gained >= 1.6 else ", so it is not judged"),
    )


def _on_one(call: Call) -> Call:
    def pinned() -> None:
        with on_cores(1):
            call()

    return pinned


def _memory() -> Iterator[Row]:
    """Peak memory beyond the input, in a process of its own."""
    script = Path(__file__).with_name("paillier_memory.py")
    for work, count in (("encrypt", 10 * MILLION), ("decrypt", 2 * MILLION)):
        title = f"{work} {count // MILLION} x 10^6 values, peak memory"
        done = subprocess.run(
            [sys.executable, script, work, str(count)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            yield Row(title, None, note=done.stderr.strip().splitlines()[-1])
            continue
        found = json.loads(done.stdout)
        sizes = ", ".join(f"{name} {found[name] / 1e6:.0f} MB" for name in ("input", "ciphertexts", "growth"))
        ratio = found["growth"] / found["ciphertexts"]
        yield Row(title, ratio, "x", goal=at_most(4, "x"), note=f"growth over ciphertexts; {sizes}")


# --- the pieces ---------------------------------------------------------------------------------------


def _values(count: int) -> np.ndarray:
    """An update with both clip edges in it."""
    values = np.random.default_rng(3).uniform(-8.0, 8.0, count).astype(np.float32)
    values[[0, -1]] = -8.0, 8.0
    return values


def _timed(
    ours: Call, second: Call | None, calls: dict[str, Call | None], repeats: int
) -> tuple[float, float, dict[str, float]]:
    """Let both of ours and everybody who is present take turns."""
    present = {name: call for name, call in calls.items() if call is not None}
    mine = [ours] if second is None else [ours, second]
    medians = alternate(*mine, *present.values(), repeats=repeats, clock=time.process_time)
    return medians[0], medians[len(mine) - 1], dict(zip(present, medians[len(mine) :], strict=True))


def _beside(
    work: str,
    ours: float,
    peer: str,
    theirs: dict[str, float],
    goal: Goal | None,
    measured: int = MILLION,
    name: str = "",
) -> Row:
    """Give the row of one peer, scaled to a million values if it was `measured` on fewer."""
    if peer not in theirs:
        return Row.not_installed(work, name or peer)
    note = "" if measured == MILLION else f"{measured:,} values, scaled"
    return Row(work, ours, "s", name or peer, theirs[peer] * MILLION / measured, goal, note)


def _slower_at_most(factor: float) -> Goal:
    """Ours takes at most `factor` times the peer's time."""
    return Goal(f"<= {factor:g}x theirs", lambda row: None if row.ratio is None else row.ratio >= 1 / factor)


def _notes(wall: float, scale: float, seconds: float, limited: str | None) -> str:
    """Say what the clock on the wall said, what was scaled, and how far the limit of the core is."""
    notes = [f"{wall:.3g} s by the wall clock"]
    if scale != 1:
        notes.append(f"{MILLION / scale:,.0f} values, scaled")
    if limited:
        notes.append(_from_limit(seconds, limited))
    return "; ".join(notes)


def _from_limit(seconds: float, work: str) -> str:
    """Say how far some work is from what its arithmetic alone would take."""
    return f"{seconds / LIMITS[work]:.2g}x the core's limit of {LIMITS[work]:.2g} s"
