"""Paillier key pairs: generation, decryption, bytes and files.

Powers are computed by constant-time kernels (see `arithmetic`); Python integers, which are not constant time,
carry the primes where a key is made, read and set up.
Decryption multiplies each ciphertext by a secret encryption of zero first (a fresh one, or for single ciphertexts the
square of the last one: see `single_decryption`), so that nobody who chooses a
ciphertext chooses the base of the secret power.
"""

import hashlib
import hmac
import itertools
import math
import operator
import os
import struct
from functools import cached_property
from pathlib import Path
from typing import NoReturn, SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.durable import new_file
from medcrypt.errors import InvalidCiphertextError, InvalidKeyError
from medcrypt.keys import Passphrase, files
from medcrypt.paillier import jwk
from medcrypt.paillier.arithmetic import FixedBase, Group, Residues, SplitGroup, random_exponents
from medcrypt.paillier.arrays import EncryptedArray
from medcrypt.paillier.encryption import EncryptionKey
from medcrypt.paillier.primes import random_blum_prime
from medcrypt.paillier.proofs import RingPedersen, blum, factors
from medcrypt.paillier.proofs.residues import jacobi
from medcrypt.paillier.safe_primes import random_safe_prime
from medcrypt.paillier.single_decryption import SingleDecryption
from medcrypt.paillier.soundness import (
    MAX_BITS,
    check_modulus,
    check_primes,
    hash_to_residue,
    least_distance,
    minimum_bits,
    short_exponent_bits,
)

__all__ = ["PrivateKey", "PublicKey", "generate_keypair"]

_PUBLIC_MAGIC, _PRIVATE_MAGIC, _VERSION = b"MCPP", b"MCPS", 1
_KEY_HEADER = struct.Struct(">4sBH")  # magic, version, bits
_FINGERPRINT_DOMAIN = b"medcrypt/paillier/fingerprint/v1"
_BLOCK = 1024  # ciphertexts decrypted at a time: enough to keep the lanes and cores of every machine busy
_FILE_KIND = "paillier-private-key"  # of a key file under a passphrase


def generate_keypair(
    bits: int = 3072, *, safe_primes: bool = False, insecure: bool = False
) -> "tuple[PublicKey, PrivateKey]":
    """Generate a key pair from operating-system randomness.

    n = p q for two primes of bits / 2 bits each, both 3 modulo 4, with gcd(p - 1, q - 1) = 2 and
    |p - q| > 2^(bits/2 - 100) (FIPS 186-5, A.1.3). Each prime is wrong with probability at most 2^-128.

    Parameters
    ----------
    bits
        Exact length of n, a multiple of 16 up to 8192. 3072 gives 128 bits of security (SP 800-57), 2048
        gives 112.
    safe_primes
        Draw primes p = 2 p' + 1 with p' prime, as threshold keys need them. Much slower.
    insecure
        Allow less than 2048 bits (at least 64), for tests. The environment variable
        ``MEDCRYPT_ALLOW_INSECURE_KEYS=1`` does the same.

    Returns
    -------
    public : PublicKey
        Trusted: it encrypts with short exponents.
    private : PrivateKey
        The secret half.

    Raises
    ------
    ValueError
        If the length is not allowed.

    Examples
    --------
    >>> public, private = generate_keypair(256, insecure=True)
    >>> private.raw_decrypt(public.raw_encrypt(42))
    42
    """
    length = operator.index(bits)
    minimum = minimum_bits(insecure)
    if not minimum <= length <= MAX_BITS or length % 16:
        raise ValueError(f"bits must be a multiple of 16 between {minimum} and {MAX_BITS}")
    half = length // 2
    draw = random_safe_prime if safe_primes else random_blum_prime
    while True:
        p, q = sorted((draw(half), draw(half)))
        if math.gcd(p - 1, q - 1) == 2 and q - p > least_distance(half):
            break
    private = PrivateKey._of_primes(p, q)
    return private.public, private


class PublicKey(EncryptionKey):
    """The public half: encrypts, and says under which key something is encrypted.

    Parameters
    ----------
    n
        The modulus.
    trusted
        State that n is the product of two Blum primes with gcd(p - 1, q - 1) = 2, because you generated the
        key; `verify` states it for a key whose owner proves it. Only then does the key encrypt with short exponents;
        without, it computes r^n, which is sound for every n. Trust is not part of a key's bytes.
    insecure
        Accept less than 2048 bits, as in `generate_keypair`.

    Raises
    ------
    InvalidKeyError
        If n is too short or too long, even, prime, a square, or has a prime factor below 2^16.

    Notes
    -----
    These checks catch accidents. That n is well formed is proved by its owner (`PrivateKey.prove`,
    `PublicKey.verify`), not found by looking.

    Examples
    --------
    >>> public, private = generate_keypair(256, insecure=True)
    >>> received = PublicKey.from_bytes(public.to_bytes(), insecure=True)
    >>> received == public, received.trusted, public.trusted
    (True, False, True)
    """

    def __init__(self, n: SupportsIndex, *, trusted: bool = False, insecure: bool = False) -> None:
        self._n = operator.index(n)
        self._trusted = bool(trusted)
        self._insecure = bool(insecure)
        check_modulus(self._n, insecure)

    @property
    def n(self) -> int:
        """The modulus."""
        return self._n

    @property
    def bits(self) -> int:
        """Length of n in bits."""
        return self._n.bit_length()

    @property
    def trusted(self) -> bool:
        """Whether n is known to be made of Blum primes, so that short exponents are sound."""
        return self._trusted

    @property
    def ciphertext_bytes(self) -> int:
        """Length of one ciphertext in bytes."""
        return -(-2 * self.bits // 8)

    @property
    def exponent_bits(self) -> int:
        """Length of a short exponent: 512 up to 3072 bits, 640 up to 7680, 768 above."""
        return short_exponent_bits(self.bits)

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 of a domain string and the key's bytes, 32 bytes."""
        return hashlib.sha256(_FINGERPRINT_DOMAIN + self.to_bytes()).digest()

    @cached_property
    def h(self) -> int:
        """The base of short exponents, (-y^2)^n mod n^2 with y = SHAKE-256(domain, n) mod n.

        Everybody derives it from n; it is never taken from somebody else.
        """
        y = hash_to_residue(self._n)
        return self.group.nth_powers([-y * y % self._n])[0]

    @cached_property
    def group(self) -> Group:
        """Arithmetic on ciphertexts."""
        return Group(self._n)

    def _rerandomized(self, residues: Residues, *, short: bool) -> Residues:
        """Multiply every residue by a fresh n-th residue, and forget these.

        Every power of h has Jacobi symbol 1 modulo n. Short exponents alone would leave a ciphertext of the textbook
        with the symbol that it came with, so each is multiplied by u^n as well, or not, with u of symbol -1: h and
        u^n generate all n-th residues where n is made of Blum primes with gcd(p - 1, q - 1) = 2.
        """
        count = len(residues)
        drawn = [self.masks(count, "short-exponent" if short else "textbook")]
        if short:
            drawn.append(self._symbol_table.powers(random_exponents(1, count)))
        try:
            for masks in drawn:
                residues = self.group.multiply(residues, masks)
            return residues
        finally:
            for masks in drawn:
                masks.wipe()

    @cached_property
    def _symbol_table(self) -> FixedBase:
        """1 and u^n for the least u of Jacobi symbol -1, to be picked from by a secret bit."""
        u = next(u for u in itertools.count(2) if jacobi(u, self._n) == -1)
        return FixedBase(self.group.nth_powers([u])[0], self._n, 1)

    @cached_property
    def _table(self) -> FixedBase:
        """Digit powers of h, built at the first encryption."""
        return FixedBase(self.h, self._n, self.exponent_bits)

    @cached_property
    def _table_for_one(self) -> FixedBase:
        """The same for the kernel that is best for single values."""
        group = self.group.for_one
        if group is self.group:
            return self._table
        return FixedBase(self.h, self._n, self.exponent_bits, group.ring.path)

    def to_bytes(self) -> bytes:
        """Return the key in the format that `docs/formats/paillier.md` specifies; trust is not part of it.

        Returns
        -------
        bytes
            7 bytes of header and n, big-endian.

        Examples
        --------
        >>> public, _ = generate_keypair(256, insecure=True)
        >>> len(public.to_bytes())
        39
        """
        header = _KEY_HEADER.pack(_PUBLIC_MAGIC, _VERSION, self.bits)
        return header + self._n.to_bytes(-(-self.bits // 8), "big")

    @classmethod
    def from_bytes(
        cls,
        data: bytes | bytearray | memoryview,
        trusted: bool = False,
        *,
        proof: bytes | None = None,
        context: bytes = b"",
        insecure: bool = False,
    ) -> "PublicKey":
        """Read a key and check it.

        Parameters
        ----------
        data
            What `to_bytes` made.
        trusted, insecure
            As for the class.
        proof, context
            What the owner's `PrivateKey.prove` made, as for `verify`: the key is then trusted.

        Returns
        -------
        PublicKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the bytes are no public key in this format, the modulus fails its checks, or the proof does
            not hold.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> PublicKey.from_bytes(public.to_bytes(), insecure=True) == public
        True
        >>> PublicKey.from_bytes(public.to_bytes(), proof=private.prove(), insecure=True).trusted
        True
        """
        (n,) = _parse_key(data, _PUBLIC_MAGIC, (1,))
        key = cls(n, trusted=trusted, insecure=insecure)
        return key if proof is None else key.verify(proof, context=context)

    def verify(self, proof: bytes, *, context: bytes = b"") -> "PublicKey":
        """Verify the owner's proof that n is the product of two Blum primes, with gcd(n, phi(n)) = 1.

        Parameters
        ----------
        proof
            What `PrivateKey.prove` made.
        context
            What the proof must be bound to: agree on it with the owner, such as both names and the session.

        Returns
        -------
        PublicKey
            The same key, trusted: it encrypts with short exponents.

        Raises
        ------
        InvalidKeyError
            If the proof is malformed or does not hold for this key and context.

        Notes
        -----
        See `medcrypt.paillier.proofs` for what it proves and why. It says nothing about how long the factors
        are (`verify_no_small_factor` does), nor who the owner is.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> received = PublicKey(public.n, insecure=True)
        >>> received.trusted, received.verify(private.prove()).trusted
        (False, True)
        """
        blum.verify(self._n, proof, context)
        return PublicKey(self._n, trusted=True, insecure=self._insecure)

    def verify_no_small_factor(self, proof: bytes, parameters: RingPedersen, *, context: bytes = b"") -> None:
        """Verify the owner's proof that both factors of n are long: above 2^767 for 3072 bits.

        Parameters
        ----------
        proof
            What `PrivateKey.prove_no_small_factor` made.
        parameters
            **Your own**, made by `proofs.RingPedersen.generate`. Whoever knows the factors of their modulus
            can prove anything.
        context
            What the proof must be bound to.

        Raises
        ------
        TypeError
            If the parameters are no `RingPedersen`.
        InvalidKeyError
            If the proof is malformed or does not hold for this key, these parameters and this context.

        Notes
        -----
        The statement is about some n = p q; only together with `verify` are p and q primes. The bound is
        sqrt(n) / 2^769, which says nothing for the short keys of tests.

        Examples
        --------
        >>> from medcrypt.paillier.proofs import RingPedersen
        >>> public, private = generate_keypair(256, insecure=True)
        >>> mine = RingPedersen.generate(256, insecure=True)
        >>> public.verify_no_small_factor(private.prove_no_small_factor(mine), mine)
        """
        factors.verify(self._n, proof, _checked(parameters), context)

    def to_jwk(self, kid: str = "medcrypt") -> str:
        """Return the key as the JSON text that python-phe's command line reads and writes.

        Parameters
        ----------
        kid
            A name for the key.

        Returns
        -------
        str
            A JSON object with `kty` "DAJ", `alg` "PAI-GN1" and n in base64url.

        Examples
        --------
        >>> public, _ = generate_keypair(256, insecure=True)
        >>> PublicKey.from_jwk(public.to_jwk(), insecure=True) == public
        True
        """
        return jwk.write_public(self._n, kid)

    @classmethod
    def from_jwk(cls, text: str | bytes, *, insecure: bool = False) -> "PublicKey":
        """Read a JSON key and check it; not trusted.

        Parameters
        ----------
        text
            What `to_jwk`, or python-phe's command line, made.
        insecure
            As for the class.

        Returns
        -------
        PublicKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the text is no such key, or the modulus fails its checks.

        Examples
        --------
        See `to_jwk`.
        """
        return cls(jwk.read_public(text), insecure=insecure)

    def __eq__(self, other: object) -> bool:
        return self._n == other.n if isinstance(other, PublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash((PublicKey, self._n))

    def __repr__(self) -> str:
        return f"PublicKey(bits={self.bits}, fingerprint='{self.fingerprint[:8].hex()}')"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_public, (self._n, self._trusted, self._insecure)

    @property
    def _public_half(self) -> "PublicKey":
        return self

    def _nth_powers(self, units: list[int]) -> Residues:
        group = self.group.for_one if len(units) == 1 else self.group
        return group.nth_powers(units)

    def _short_powers(self, exponents: bytearray) -> Residues:
        alone = len(exponents) * 8 < 2 * self.exponent_bits
        return (self._table_for_one if alone else self._table).powers(exponents)


class PrivateKey(EncryptionKey):
    """The secret half: decrypts, and encrypts faster than the public half can.

    Whoever holds it reads everything encrypted under the key. It refuses pickling; `repr` shows the length
    and the fingerprint of the public key. Python integers cannot be wiped from memory.

    Parameters
    ----------
    p, q
        The primes, of equal length, in any order.
    insecure
        Accept less than 2048 bits, as in `generate_keypair`.

    Raises
    ------
    InvalidKeyError
        If they are not distinct primes of equal length, both 3 modulo 4, with gcd(p - 1, q - 1) = 2, far
        enough apart and long enough.

    Examples
    --------
    >>> public, private = generate_keypair(256, insecure=True)
    >>> private == PrivateKey.from_bytes(private.to_bytes(), insecure=True)
    True
    """

    def __init__(self, p: SupportsIndex, q: SupportsIndex, *, insecure: bool = False) -> None:
        self._p, self._q = sorted((operator.index(p), operator.index(q)))
        check_primes(self._p, self._q)
        self._public = PublicKey(self._p * self._q, trusted=True, insecure=insecure)

    @classmethod
    def _of_primes(cls, p: int, q: int) -> "PrivateKey":
        """Build a key from primes that were just generated, without testing them again."""
        key = cls.__new__(cls)
        key._p, key._q = p, q
        key._public = PublicKey(p * q, trusted=True, insecure=True)
        return key

    @property
    def public(self) -> PublicKey:
        """The public half, trusted."""
        return self._public

    @property
    def bits(self) -> int:
        """Length of n in bits."""
        return self._public.bits

    @property
    def p(self) -> int:
        """The smaller prime. Secret."""
        return self._p

    @property
    def q(self) -> int:
        """The larger prime. Secret."""
        return self._q

    @cached_property
    def _group(self) -> SplitGroup:
        """Arithmetic modulo p^2 and q^2."""
        return SplitGroup(self._p, self._q)

    @cached_property
    def _tables(self) -> tuple[FixedBase, FixedBase]:
        """Digit powers of h modulo p^2 and q^2, built at first use."""
        return self._group.fixed_base(self._public.h, self._public.exponent_bits)

    def decrypt(self, encrypted: EncryptedArray) -> npt.NDArray[np.float64]:
        """Decrypt a sum of real numbers.

        Parameters
        ----------
        encrypted
            An array under this key, made by `encrypt`, added up and weighted.

        Returns
        -------
        ndarray of float64
            The sum, of the array's shape; each term is within half a step of the packing.

        Raises
        ------
        TypeError
            If it is not an encrypted array.
        InvalidCiphertextError
            If it is encrypted under another key, a ciphertext is not a unit modulo n^2, or what comes out is
            no sum of the declared number of terms.

        Examples
        --------
        >>> from medcrypt.paillier import Packing
        >>> public, private = generate_keypair(256, insecure=True)
        >>> encrypted = public.encrypt([1.0, 2.0], Packing(clip=2.0, max_terms=2))
        >>> private.decrypt(encrypted + encrypted).round(6)
        array([2., 4.])
        """
        integers = self.decrypt_integers(encrypted)
        return encrypted.packing.dequantise(integers)

    def decrypt_integers(self, encrypted: EncryptedArray) -> npt.NDArray[np.int64]:
        """Decrypt the exact sum of integers (for an array of reals: of its quantised values).

        Parameters
        ----------
        encrypted
            As for `decrypt`.

        Returns
        -------
        ndarray of int64
            The sum, always exact: a slot has at most 63 bits.

        Raises
        ------
        TypeError, InvalidCiphertextError
            As for `decrypt`.

        Examples
        --------
        >>> from medcrypt.paillier import Packing
        >>> public, private = generate_keypair(256, insecure=True)
        >>> encrypted = public.encrypt_integers([1, -2], Packing(bits=16))
        >>> private.decrypt_integers(3 * encrypted)
        array([ 3, -6])
        """
        if not isinstance(encrypted, EncryptedArray):
            raise TypeError(f"expected an EncryptedArray, not {type(encrypted).__name__}")
        if encrypted.public != self._public:
            raise InvalidCiphertextError("the array is encrypted under another key")
        plaintexts = self._decrypt(encrypted.residues)
        packing, terms = encrypted.packing, encrypted.terms
        return packing.decode_integers(plaintexts, encrypted.size, terms, self.bits).reshape(encrypted.shape)

    def raw_decrypt(self, c: SupportsIndex) -> int:
        """Decrypt one ciphertext to an integer in [0, n).

        Parameters
        ----------
        c
            Ciphertext in (0, n^2), a unit.

        Returns
        -------
        int
            The plaintext.

        Raises
        ------
        InvalidCiphertextError
            If the ciphertext is not a unit modulo n^2.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.raw_decrypt(public.n + 1)
        1
        """
        return self._decrypt([operator.index(c)])[0]

    def prove(self, *, context: bytes = b"") -> bytes:
        """Prove that n is the product of two Blum primes with gcd(n, phi(n)) = 1, and tell nothing else.

        Parameters
        ----------
        context
            What the proof is bound to, such as the names of both parties and the session.

        Returns
        -------
        bytes
            The proof, 52.6 kB for 3072 bits, for `PublicKey.verify`.

        Examples
        --------
        See `PublicKey.verify`.
        """
        return blum.prove(self._p, self._q, context)

    def prove_no_small_factor(self, parameters: RingPedersen, *, context: bytes = b"") -> bytes:
        """Prove that the factors of n are long, and tell nothing else.

        Parameters
        ----------
        parameters
            The verifier's, from `proofs.RingPedersen.from_bytes`, which verified that they hide.
        context
            What the proof is bound to.

        Returns
        -------
        bytes
            The proof, for `PublicKey.verify_no_small_factor`.

        Raises
        ------
        TypeError
            If the parameters are no `RingPedersen`.
        ValueError
            If the parameters share a factor with n.

        Examples
        --------
        See `PublicKey.verify_no_small_factor`.
        """
        return factors.prove(self._p, self._q, _checked(parameters), context)

    def to_jwk(self, kid: str = "medcrypt") -> str:
        """Return the **secret** key as the JSON text that python-phe's command line reads and writes.

        Parameters
        ----------
        kid
            A name for the key.

        Returns
        -------
        str
            A JSON object with `kty` "DAJ", p, q and the public key. Not encrypted.

        Examples
        --------
        >>> _, private = generate_keypair(256, insecure=True)
        >>> PrivateKey.from_jwk(private.to_jwk(), insecure=True) == private
        True
        """
        return jwk.write_private(self._public.n, self._p, self._q, kid)

    @classmethod
    def from_jwk(cls, text: str | bytes, *, insecure: bool = False) -> "PrivateKey":
        """Read a JSON key and check everything, as `from_bytes` does.

        Parameters
        ----------
        text
            What `to_jwk` made. Keys that python-phe generated have other primes and are refused here:
            `phe.PaillierPrivateKey.from_jwk` reads them.
        insecure
            Accept less than 2048 bits.

        Returns
        -------
        PrivateKey
            The key.

        Raises
        ------
        InvalidKeyError
            If anything is wrong.

        Examples
        --------
        See `to_jwk`.
        """
        _, p, q = jwk.read_private(text)
        return cls(p, q, insecure=insecure)

    def to_bytes(self) -> bytes:
        """Return the secret key in the format that `docs/formats/paillier.md` specifies. Not encrypted.

        Returns
        -------
        bytes
            7 bytes of header, n, p and q with p < q, big-endian.

        Examples
        --------
        >>> _, private = generate_keypair(256, insecure=True)
        >>> len(private.to_bytes())
        71
        """
        size = self.bits // 8
        header = _KEY_HEADER.pack(_PRIVATE_MAGIC, _VERSION, self.bits)
        n, p, q = self._public.n, self._p, self._q
        return header + n.to_bytes(size, "big") + p.to_bytes(size // 2, "big") + q.to_bytes(size // 2, "big")

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, insecure: bool = False) -> "PrivateKey":
        """Read a secret key and check everything: n = p q, both prime, Blum, gcd, distance, length.

        Parameters
        ----------
        data
            What `to_bytes` made.
        insecure
            Accept less than 2048 bits.

        Returns
        -------
        PrivateKey
            The key.

        Raises
        ------
        InvalidKeyError
            If anything is wrong.

        Examples
        --------
        >>> _, private = generate_keypair(256, insecure=True)
        >>> PrivateKey.from_bytes(private.to_bytes(), insecure=True)
        PrivateKey(bits=256, fingerprint='...')
        """
        n, p, q = _parse_key(data, _PRIVATE_MAGIC, (1, 2, 2))
        if p * q != n or p > q:
            raise InvalidKeyError("not a consistent private key")
        return cls(p, q, insecure=insecure)

    def save(self, path: str | os.PathLike[str], *, passphrase: Passphrase | str | None = None) -> None:
        """Write the key to a new file that only its owner can read (mode 0600).

        Parameters
        ----------
        path
            Where to; nothing may be there yet.
        passphrase
            Protect the file with it (scrypt, AES-256-GCM: the key files of `medcrypt.keys`). Without one the
            file is `to_bytes()`.

        Raises
        ------
        FileExistsError
            If the path exists.

        Examples
        --------
        >>> import tempfile
        >>> _, private = generate_keypair(256, insecure=True)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     private.save(folder + "/key")
        ...     PrivateKey.load(folder + "/key", insecure=True) == private
        True
        """
        if passphrase is not None:
            files.save(path, _FILE_KIND, self.to_bytes(), self._public.fingerprint, passphrase)
            return
        with new_file(path, mode=0o600) as file:
            file.write(self.to_bytes())

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        passphrase: Passphrase | str | None = None,
        insecure: bool = False,
    ) -> "PrivateKey":
        """Read a key that `save` wrote.

        Parameters
        ----------
        path
            The file.
        passphrase
            Needed where the file is protected by one.
        insecure
            Accept less than 2048 bits.

        Returns
        -------
        PrivateKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the file holds no valid key, or needs a passphrase.
        AuthenticationError
            If the passphrase is wrong or the file was changed.
        OSError
            If it cannot be read.

        Examples
        --------
        See `save`.
        """
        longest = _KEY_HEADER.size + MAX_BITS // 4
        with Path(path).open("rb") as file:
            data = file.read(longest + 1)
        if not data.startswith(_PRIVATE_MAGIC):
            kind, data = files.load(path, passphrase)
            if kind != _FILE_KIND:
                raise InvalidKeyError("the file does not hold a Paillier private key")
        return cls.from_bytes(data, insecure=insecure)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PrivateKey):
            return NotImplemented
        return hmac.compare_digest(self.to_bytes(), other.to_bytes())

    def __hash__(self) -> int:
        return hash((PrivateKey, self._public))

    def __repr__(self) -> str:
        return f"PrivateKey(bits={self.bits}, fingerprint='{self._public.fingerprint[:8].hex()}')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key cannot be pickled or copied; pass a path to a worker process")

    @property
    def _public_half(self) -> PublicKey:
        return self._public

    @cached_property
    def _tables_for_one(self) -> tuple[FixedBase, FixedBase]:
        """The same for the kernel that is best for single values."""
        group = self._group.for_one
        return (
            self._tables
            if group is self._group
            else group.fixed_base(self._public.h, self._public.exponent_bits)
        )

    @cached_property
    def _single(self) -> SingleDecryption:
        """Decryption of single ciphertexts."""
        return SingleDecryption(self._p, self._q)

    def _nth_powers(self, units: list[int]) -> Residues:
        group = self._group.for_one if len(units) == 1 else self._group
        return group.nth_powers(units)

    def _short_powers(self, exponents: bytearray) -> Residues:
        if len(exponents) * 8 < 2 * self._public.exponent_bits:
            return self._group.for_one.fixed_base_powers(self._tables_for_one, exponents)
        return self._group.fixed_base_powers(self._tables, exponents)

    def _decrypt(self, ciphertexts: list[int] | Residues) -> list[int]:
        """Check, blind and decrypt; a block at a time, which bounds the memory of what lies in between."""
        if len(ciphertexts) == 1:
            return [self._single.decrypt(ciphertexts[0], lambda: self.masks(1))]
        group, split = self._public.group, self._group
        plaintexts: list[int] = []
        for start in range(0, len(ciphertexts), _BLOCK):
            block = ciphertexts[start : start + _BLOCK]
            if not group.contains(block):
                raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
            masks = self.masks(len(block))
            blinded = group.multiply(block, masks)
            masks.wipe()
            plaintexts += split.decrypt(blinded)
            blinded.wipe()
        return plaintexts


def _parse_key(data: bytes | bytearray | memoryview, magic: bytes, parts: tuple[int, ...]) -> tuple[int, ...]:
    """Read the integers of a key file; part i is ceil(bits / 8) / parts[i] bytes long, and n is the first."""
    view = memoryview(data).cast("B")
    if len(view) < _KEY_HEADER.size:
        raise InvalidKeyError("too short for a key")
    found, version, bits = _KEY_HEADER.unpack_from(view)
    if found != magic or version != _VERSION:
        raise InvalidKeyError("not a key of this kind and version")
    size = -(-bits // 8)
    if len(view) != _KEY_HEADER.size + sum(size // part for part in parts):
        raise InvalidKeyError("the length does not match the header")
    integers: list[int] = []
    at = _KEY_HEADER.size
    for part in parts:
        integers.append(int.from_bytes(view[at : at + size // part], "big"))
        at += size // part
    if integers[0].bit_length() != bits:
        raise InvalidKeyError("n does not have the declared length")
    return tuple(integers)


def _checked(parameters: RingPedersen) -> RingPedersen:
    """Refuse anything whose proof nobody verified, such as the bytes of parameters."""
    if not isinstance(parameters, RingPedersen):
        raise TypeError(f"expected RingPedersen parameters, not {type(parameters).__name__}")
    return parameters


def _rebuild_public(n: int, trusted: bool, insecure: bool) -> PublicKey:
    """Unpickle a public key."""
    return PublicKey(n, trusted=trusted, insecure=insecure)
