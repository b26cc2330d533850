"""The other side of the Paillier rows: what each library does with one ciphertext, or with a whole update.

A contestant is None where its library is not installed. python-phe and pypaillier get the same key as ours
and must agree with us on sums (`check_crossing`); SecretFlow's HEU and TenSEAL make their own keys.
"""

import contextlib
import functools
import os
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from measuring import version_of
from medcrypt.paillier import PrivateKey, PublicKey

Call = Callable[[], object]

PYPAILLIER, HEU, TENSEAL = "pypaillier", "HEU ZPaillier", "TenSEAL CKKS 8192"
PYTHON_PHE = "python-phe, gmpy2" if version_of("gmpy2") else "python-phe, pow"
_SCALE_BYTE = b"\0"  # how pypaillier's ciphertexts start: the decimal scale, here always 10^0


@dataclass(frozen=True)
class Contestant:
    """What a library does with one ciphertext."""

    encrypt: Call
    add: Call
    decrypt: Call


def python_phe(public: PublicKey, private: PrivateKey) -> Contestant | None:
    """Without python-phe's encoding of floats. It computes with GMP where gmpy2 is installed."""
    if not version_of("phe"):
        return None
    theirs, their_private = phe_keys(public, private)
    number = theirs.encrypt(12345)
    c = number.ciphertext(be_secure=False)
    return Contestant(
        lambda: theirs.raw_encrypt(12345), lambda: number + number, lambda: their_private.raw_decrypt(c)
    )


def phe_keys(public: PublicKey, private: PrivateKey):
    """Give python-phe the same key."""
    import phe

    theirs = phe.PaillierPublicKey(public.n)
    return theirs, phe.PaillierPrivateKey(theirs, private.p, private.q)


@functools.cache
def phe_foreign_keys(bits: int):
    """Let python-phe make a pair of its own, with a prime that is 1 modulo 4: nothing of ours may treat it as ours."""
    import phe

    while True:
        public, private = phe.generate_paillier_keypair(n_length=bits)
        if private.p % 4 == 1 or private.q % 4 == 1:
            return public, private


@contextlib.contextmanager
def phe_without_gmp() -> Iterator[None]:
    """Make python-phe compute with Python's own integers."""
    from phe import util

    before = util.HAVE_GMP
    util.HAVE_GMP = False
    try:
        yield
    finally:
        util.HAVE_GMP = before


def pypaillier(public: PublicKey) -> Contestant | None:
    """Rust on GMP, with short exponents as ours; only its private key cannot be ours."""
    if not version_of("pypaillier"):
        return None
    import paillier

    theirs = paillier.PublicKey.from_n(_big_endian(public.n))
    blobs = paillier.encrypt_integers(theirs, [12345]) * 2
    own, secret = paillier.generate_keypair(public.bits)
    sealed = paillier.encrypt_integers(own, [12345])
    return Contestant(
        lambda: paillier.encrypt_integers(theirs, [12345]),
        lambda: paillier.add_many(theirs, blobs),
        lambda: paillier.decrypt_exact_many(secret, sealed),
    )


def pypaillier_key_generation(bits: int) -> Call | None:
    """A key over safe primes."""
    if not version_of("pypaillier"):
        return None
    import paillier

    return lambda: paillier.generate_keypair(bits)


def heu(bits: int) -> Contestant | None:
    """SecretFlow's ZPaillier, with short exponents as ours."""
    if not version_of("sf-heu"):
        return None
    from heu import phe

    kit = phe.setup(phe.SchemaType.ZPaillier, bits)
    encryptor, evaluator, decryptor = kit.encryptor(), kit.evaluator(), kit.decryptor()
    plaintext = kit.plaintext(1 << (bits - 12))
    c = encryptor.encrypt(plaintext)
    return Contestant(
        lambda: encryptor.encrypt(plaintext), lambda: evaluator.add(c, c), lambda: decryptor.decrypt(c)
    )


def gmp_product(modulus: int) -> Call | None:
    """One product of two residues and its remainder: the floor of an addition with GMP."""
    if not version_of("gmpy2"):
        return None
    import gmpy2

    n = gmpy2.mpz(modulus)
    x, y = (gmpy2.mpz(random.randrange(modulus)) for _ in range(2))
    return lambda: x * y % n


class Ckks:
    """Whole updates under TenSEAL's CKKS: ring of 8192, moduli of 60, 40 and 60 bits, one thread.

    Parameters
    ----------
    values
        One client's update.
    """

    def __init__(self, values: np.ndarray) -> None:
        import tenseal

        self._tenseal, self.values = tenseal, values
        self._context = tenseal.context(
            tenseal.SCHEME_TYPE.CKKS, 8192, coeff_mod_bit_sizes=[60, 40, 60], n_threads=1
        )
        self._context.global_scale = 2**40
        with _standard_output_held():
            self._encrypted = tenseal.ckks_vector(self._context, values)
        self.data = self._encrypted.serialize()

    @classmethod
    def of(cls, values: np.ndarray) -> "Ckks | None":
        """Return None where TenSEAL is not installed."""
        return cls(values) if version_of("tenseal") else None

    def encrypt(self) -> bytes:
        """Numbers to bytes."""
        with _standard_output_held():
            return self._tenseal.ckks_vector(self._context, self.values).serialize()

    def read(self) -> object:
        """Bytes to ciphertexts."""
        return self._tenseal.ckks_vector_from(self._context, self.data)

    def add_ten(self) -> object:
        """Add up ten updates, nine times into the same place."""
        total = self._encrypted.copy()
        for _ in range(9):
            total += self._encrypted
        return total

    def decrypt(self) -> object:
        """Ciphertexts to numbers."""
        return self._encrypted.decrypt()


def check_crossing(public: PublicKey, private: PrivateKey) -> list[str]:
    """Let others add a ciphertext of ours to one of theirs under the same key, and decrypt the sum with ours.

    Returns
    -------
    list of str
        The libraries with which it worked.

    Raises
    ------
    RuntimeError
        If a sum is wrong.
    """
    ours = public.raw_encrypt(1000)
    sums: dict[str, int] = {}
    if version_of("phe"):
        from phe import EncryptedNumber

        theirs, their_private = phe_keys(public, private)
        total = EncryptedNumber(theirs, ours) + theirs.encrypt(337)
        sums["python-phe"] = private.raw_decrypt(total.ciphertext(be_secure=False))
        sums["python-phe, which decrypts ours too"] = their_private.decrypt(total)
    if version_of("pypaillier"):
        import paillier

        key = paillier.PublicKey.from_n(_big_endian(public.n))
        blob = _SCALE_BYTE + ours.to_bytes(public.ciphertext_bytes, "big")
        blobs = [blob, bytes(paillier.encrypt_integers(key, [337])[0])]
        total = bytes(paillier.add_many(key, blobs)).removeprefix(_SCALE_BYTE)
        sums["pypaillier"] = private.raw_decrypt(int.from_bytes(total, "big"))
    wrong = [name for name, total in sums.items() if total != 1337]
    if wrong:
        raise RuntimeError(f"a sum with a ciphertext of {', '.join(wrong)} decrypts wrongly")
    return list(sums)


def _big_endian(n: int) -> bytes:
    return n.to_bytes(-(-n.bit_length() // 8), "big")


@contextlib.contextmanager
def _standard_output_held() -> Iterator[None]:
    """TenSEAL's C++ warns on every vector that needs several ciphertexts; all of ours do."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nothing)
