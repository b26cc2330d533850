"""Encrypted sums: a ciphertext and a value, beside python-phe on the same key and the same numbers.

python-phe encrypts one value a ciphertext; this library packs as many as fit. Both are compared: a
ciphertext, which is a matter of arithmetic, and a value, which is what an update of a model costs.
python-phe runs on Python's `pow`, as this library's present engine does, and on GMP where gmpy2 is
installed.
"""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np

from measuring import Goal, Row, alternate, at_most, times, version_of
from medcrypt import paillier

CLIENTS = 10
UPLOAD = 1_000_000
PEER = "python-phe"

Call = Callable[[], object]


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    bits, ciphertexts, repeats = (2048, 2, 3) if quick else (3072, 10, 5)
    public, private = paillier.generate_keypair(bits)
    packing = paillier.Packing(clip=8.0, bits=32, max_terms=CLIENTS)
    values = np.linspace(-8.0, 8.0, packing.slots(bits) * ciphertexts)
    if version_of("phe") is None:
        yield Row.not_installed("encrypt, add, decrypt", PEER)
    for engine in _engines():
        yield from _by_ciphertext(public, private, packing, values, engine, repeats)
        yield from _by_value(public, private, packing, values, engine, repeats)
    yield from _sizes(public)


def _by_ciphertext(
    public: paillier.PublicKey,
    private: paillier.PrivateKey,
    packing: paillier.Packing,
    values: np.ndarray,
    engine: str,
    repeats: int,
) -> Iterator[Row]:
    """One ciphertext against one ciphertext, without python-phe's encoding of floats."""
    encrypted = public.encrypt(values, packing)
    uploads, count = [encrypted] * CLIENTS, len(encrypted.ciphertexts)
    their_public, their_private = _their_keys(public, private)
    their_number = their_public.encrypt(12345)
    c = their_number.ciphertext(be_secure=False)
    same_engine = engine == "pow"
    works: list[tuple[str, Call, int, Call, Goal | None]] = [
        (
            "encrypt, public key",
            lambda: public.encrypt(values, packing),
            count,
            lambda: their_public.raw_encrypt(12345),
            times(20) if same_engine else None,
        ),
        (
            "encrypt, key holder",
            lambda: private.encrypt(values, packing),
            count,
            lambda: their_public.raw_encrypt(12345),
            times(40) if same_engine else None,
        ),
        (
            "add",
            lambda: paillier.add(uploads),
            count * (CLIENTS - 1),
            lambda: their_number + their_number,
            None,
        ),
        ("decrypt", lambda: private.decrypt(encrypted), count, lambda: their_private.raw_decrypt(c), None),
    ]
    for work, ours, size, theirs, goal in works:
        yield _row(f"{work}, one ciphertext, {public.bits} bits", ours, size, theirs, engine, goal, repeats)


def _by_value(
    public: paillier.PublicKey,
    private: paillier.PrivateKey,
    packing: paillier.Packing,
    values: np.ndarray,
    engine: str,
    repeats: int,
) -> Iterator[Row]:
    """One value against one value, encoding included on both sides."""
    their_public, their_private = _their_keys(public, private)
    encrypted, one = public.encrypt(values, packing), their_public.encrypt(1.25, precision=1e-8)
    works: list[tuple[str, Call, Call]] = [
        (
            "encrypt",
            lambda: public.encrypt(values, packing),
            lambda: their_public.encrypt(1.25, precision=1e-8),
        ),
        ("decrypt", lambda: private.decrypt(encrypted), lambda: their_private.decrypt(one)),
    ]
    goal = times(50) if engine == "pow" else None
    for work, ours, theirs in works:
        yield _row(
            f"{work} one 32-bit value, {public.bits} bits", ours, values.size, theirs, engine, goal, repeats
        )


def _sizes(public: paillier.PublicKey) -> Iterator[Row]:
    """Bytes of one client's upload of a million values, counted from the format (no encryption needed)."""
    goals = {32: 9.1, 24: 7.1, 16: 5.1, 8: 3.1} if public.bits == 3072 else {}
    for bits in (32, 24, 16, 8):
        packing = paillier.Packing(bits=bits, max_terms=CLIENTS)
        blank = [1] * packing.ciphertexts(UPLOAD, public.bits)
        upload = paillier.EncryptedArray(public, blank, (UPLOAD,), packing)
        yield Row(
            f"upload of 10^6 values of {bits} bits, each",
            upload.nbytes / UPLOAD,
            unit="bytes",
            peer=f"{PEER}, a ciphertext a value",
            theirs=float(public.ciphertext_bytes),
            goal=at_most(goals[bits], "bytes") if goals else None,
        )


def _row(work: str, ours: Call, size: int, theirs: Call, engine: str, goal: Goal | None, repeats: int) -> Row:
    """Time `size` units of ours beside one of theirs."""
    with _phe_engine(engine):
        mine, other = alternate(ours, theirs, repeats=repeats)
    return Row(work, mine / size, peer=f"{PEER}, {engine}", theirs=other, goal=goal)


def _engines() -> list[str]:
    """What python-phe can compute with here."""
    if version_of("phe") is None:
        return []
    return ["pow", "gmpy2"] if version_of("gmpy2") else ["pow"]


@contextlib.contextmanager
def _phe_engine(engine: str) -> Iterator[None]:
    """Make python-phe use Python's own integers, or GMP."""
    from phe import util

    before = util.HAVE_GMP
    util.HAVE_GMP = engine == "gmpy2"
    try:
        yield
    finally:
        util.HAVE_GMP = before


def _their_keys(public: paillier.PublicKey, private: paillier.PrivateKey):
    """Give python-phe the same key."""
    import phe

    their_public = phe.PaillierPublicKey(public.n)
    return their_public, phe.PaillierPrivateKey(their_public, private.p, private.q)
