"""Paillier key pairs: generation, checks, files, and encryption under them.

The scheme is Paillier's (EUROCRYPT 1999) with g = 1 + n: c = (1 + m n) r^n mod n^2. The random factor comes
in two modes. ``textbook`` draws r uniformly and computes r^n, as ISO/IEC 18033-6 has it. ``short-exponent``
computes h^s for a short random s and the n-th residue h = (-y^2)^n, with y hashed from n (Damgård, Jurik and
Nielsen 2010, section 4.2): about a hundred times fewer operations. The latter is sound only when n is a
product of two Blum primes with gcd(p - 1, q - 1) = 2, so it is used only for keys that were generated here
or are declared trusted.

Secret exponents and primes pass through Python integers, **which are not constant time** (see `arithmetic`).
Decryption multiplies each ciphertext by a fresh encryption of zero first, so that nobody who chooses a
ciphertext chooses the base of the secret power.
"""

import hashlib
import hmac
import math
import operator
import os
import struct
from functools import cached_property
from pathlib import Path
from typing import Literal, NoReturn, SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.durable import new_file
from medcrypt.errors import InvalidCiphertextError, InvalidKeyError
from medcrypt.paillier.arithmetic import FixedBase, Group, SplitGroup, random_exponents, random_units
from medcrypt.paillier.arrays import EncryptedArray
from medcrypt.paillier.packing import Packing
from medcrypt.paillier.primes import has_small_factor, is_probable_prime, random_blum_prime

__all__ = ["Mode", "PrivateKey", "PublicKey", "generate_keypair", "short_exponent_bits"]

Mode = Literal["short-exponent", "textbook"]

_SECURE_BITS, _INSECURE_BITS, _MAX_BITS = 2048, 64, 8192
_INSECURE_VARIABLE = "MEDCRYPT_ALLOW_INSECURE_KEYS"

_PUBLIC_MAGIC, _PRIVATE_MAGIC, _VERSION = b"MCPP", b"MCPS", 1
_KEY_HEADER = struct.Struct(">4sBH")  # magic, version, bits
_BASE_DOMAIN = b"medcrypt/paillier/h/v1"
_FINGERPRINT_DOMAIN = b"medcrypt/paillier/fingerprint/v1"


def generate_keypair(bits: int = 3072, *, insecure: bool = False) -> "tuple[PublicKey, PrivateKey]":
    """Generate a key pair from operating-system randomness.

    n = p q for two primes of bits / 2 bits each, both 3 modulo 4, with gcd(p - 1, q - 1) = 2 and
    |p - q| > 2^(bits/2 - 100) (FIPS 186-5, A.1.3). Each prime is wrong with probability at most 2^-128.

    Parameters
    ----------
    bits
        Exact length of n, a multiple of 16 up to 8192. 3072 gives 128 bits of security (SP 800-57), 2048
        gives 112.
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
    minimum = _minimum_bits(insecure)
    if not minimum <= length <= _MAX_BITS or length % 16:
        raise ValueError(f"bits must be a multiple of 16 between {minimum} and {_MAX_BITS}")
    half = length // 2
    while True:
        p, q = sorted((random_blum_prime(half), random_blum_prime(half)))
        if math.gcd(p - 1, q - 1) == 2 and q - p > 1 << max(half - 100, 0):
            break
    private = PrivateKey._of_primes(p, q)
    return private.public, private


class PublicKey:
    """The public half: encrypts, and says under which key something is encrypted.

    Parameters
    ----------
    n
        The modulus.
    trusted
        State that n is the product of two Blum primes with gcd(p - 1, q - 1) = 2, because you generated the
        key or verified its proof by other means. Only then does the key encrypt with short exponents;
        without, it computes r^n, which is sound for every n. Trust is not part of a key's bytes.
    insecure
        Accept less than 2048 bits, as in `generate_keypair`.

    Raises
    ------
    InvalidKeyError
        If n is too short or too long, even, prime, a square, or has a prime factor below 2^16.

    Notes
    -----
    These checks catch accidents. That n is well formed is proved by its owner, not found by looking.

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
        _check_modulus(self._n, insecure)

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
        n = self._n
        y = _hash_to_integer(n) % n
        if math.gcd(y, n) != 1:
            raise InvalidKeyError("the hash of n is not a unit modulo n")
        return self.group.nth_powers([-y * y % n])[0]

    @cached_property
    def group(self) -> Group:
        """Arithmetic on ciphertexts."""
        return Group(self._n)

    @cached_property
    def _table(self) -> FixedBase:
        """Digit powers of h, built at the first encryption."""
        return FixedBase(self.h, self._n, self.exponent_bits)

    def encrypt(
        self,
        array: npt.ArrayLike,
        packing: Packing,
        *,
        context: bytes = b"",
        saturate: bool = False,
        mode: Mode | None = None,
    ) -> EncryptedArray:
        """Encrypt real numbers in fixed point.

        Parameters
        ----------
        array
            Real numbers, any shape (0-d and empty too), dtype, byte order and strides. Decryption gives
            float64.
        packing
            Clip, precision and headroom.
        context
            Up to 255 bytes to travel with the array in clear, such as the identity of a round.
        saturate
            Move values beyond the clip onto it in place of refusing them.
        mode
            ``"short-exponent"`` or ``"textbook"``; None takes the former for a trusted key, else the latter.

        Returns
        -------
        EncryptedArray
            Same shape, one term.

        Raises
        ------
        TypeError
            If the array does not hold real numbers.
        ValueError
            If a value is NaN, infinite or beyond the clip, if the key is too short for a slot, or if
            short exponents are asked for under a key that is not trusted.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.decrypt(public.encrypt([[0.5], [-1.0]], Packing(clip=1.0, bits=16)))
        array([[ 0.50001526],
               [-1.        ]])
        """
        plaintexts = packing.encode(array, self.bits, saturate)
        return self._conceal(plaintexts, np.shape(array), packing, context, self.masks(len(plaintexts), mode))

    def encrypt_integers(
        self, array: npt.ArrayLike, packing: Packing, *, context: bytes = b"", mode: Mode | None = None
    ) -> EncryptedArray:
        """Encrypt integers of at most `packing.bits` bits (signed) as they are.

        Parameters
        ----------
        array
            Integer dtype, any shape, values in [-2^(bits-1), 2^(bits-1)).
        packing
            Precision and headroom; its clip is not used.
        context, mode
            As for `encrypt`.

        Returns
        -------
        EncryptedArray
            Same shape, one term.

        Raises
        ------
        TypeError
            If the dtype is not an integer one.
        ValueError
            If a value does not fit, or as for `encrypt`.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.decrypt_integers(public.encrypt_integers([1, -2], Packing(bits=16)))
        array([ 1, -2])
        """
        plaintexts = packing.encode_integers(array, self.bits)
        return self._conceal(plaintexts, np.shape(array), packing, context, self.masks(len(plaintexts), mode))

    def raw_encrypt(self, m: SupportsIndex, r: SupportsIndex | None = None) -> int:
        """Encrypt one integer: (1 + m n) r^n mod n^2, or (1 + m n) h^s for a trusted key and no `r`.

        Parameters
        ----------
        m
            Plaintext in [0, n).
        r
            A unit modulo n in (0, n). Reusing one links ciphertexts; leave it to None outside of tests and
            proofs.

        Returns
        -------
        int
            Ciphertext in (0, n^2).

        Raises
        ------
        ValueError
            If `m` or `r` is out of range, or `r` not a unit.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.raw_decrypt(public.raw_encrypt(7, r=2))
        7
        """
        plaintext = self._check_plaintext(m)
        masks = self.masks(1) if r is None else self.group.nth_powers([self._check_unit(r)])
        return self.group.conceal([plaintext], masks)[0]

    def masks(self, count: int, mode: Mode | None = None) -> list[int]:
        """Draw random n-th residues: encryptions of zero.

        Parameters
        ----------
        count
            How many.
        mode
            As for `encrypt`.

        Returns
        -------
        list of int
            Independent residues modulo n^2. Use each once, and never keep them across a fork.

        Raises
        ------
        ValueError
            If the mode is unknown, or needs trust that the key does not have.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.raw_decrypt(public.masks(1)[0])
        0
        """
        if self._resolve(mode) == "textbook":
            return self.group.nth_powers(random_units(self._n, count))
        return self._table.powers(random_exponents(self.exponent_bits, count))

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
        cls, data: bytes | bytearray | memoryview, trusted: bool = False, *, insecure: bool = False
    ) -> "PublicKey":
        """Read a key and check it.

        Parameters
        ----------
        data
            What `to_bytes` made.
        trusted, insecure
            As for the class.

        Returns
        -------
        PublicKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the bytes are no public key in this format, or the modulus fails its checks.

        Examples
        --------
        >>> public, _ = generate_keypair(256, insecure=True)
        >>> PublicKey.from_bytes(public.to_bytes(), insecure=True) == public
        True
        """
        (n,) = _parse_key(data, _PUBLIC_MAGIC, (1,))
        return cls(n, trusted=trusted, insecure=insecure)

    def __eq__(self, other: object) -> bool:
        return self._n == other.n if isinstance(other, PublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash((PublicKey, self._n))

    def __repr__(self) -> str:
        return f"PublicKey(bits={self.bits}, fingerprint='{self.fingerprint[:8].hex()}')"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_public, (self._n, self._trusted, self._insecure)

    def _conceal(
        self,
        plaintexts: list[int],
        shape: tuple[int, ...],
        packing: Packing,
        context: bytes,
        masks: list[int],
    ) -> EncryptedArray:
        """Hide packed plaintexts under masks."""
        return EncryptedArray(self, self.group.conceal(plaintexts, masks), shape, packing, context=context)

    def _resolve(self, mode: Mode | None) -> Mode:
        """Choose the mode, and refuse short exponents where nothing vouches for n."""
        if mode is None:
            return "short-exponent" if self._trusted else "textbook"
        if mode not in ("short-exponent", "textbook"):
            raise ValueError("mode must be 'short-exponent', 'textbook' or None")
        if mode == "short-exponent" and not self._trusted:
            raise ValueError(
                "short exponents need a trusted key: one that you generated or whose proof you verified"
            )
        return mode

    def _check_plaintext(self, m: SupportsIndex) -> int:
        """Return a plaintext as an int in [0, n)."""
        plaintext = operator.index(m)
        if not 0 <= plaintext < self._n:
            raise ValueError("the plaintext must be in [0, n)")
        return plaintext

    def _check_unit(self, r: SupportsIndex) -> int:
        """Return a random factor as an int in (0, n) that is a unit modulo n."""
        unit = operator.index(r)
        if not (0 < unit < self._n and math.gcd(unit, self._n) == 1):
            raise ValueError("r must be a unit modulo n, in (0, n)")
        return unit


class PrivateKey:
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
        _check_primes(self._p, self._q)
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

    def encrypt(
        self,
        array: npt.ArrayLike,
        packing: Packing,
        *,
        context: bytes = b"",
        saturate: bool = False,
        mode: Mode | None = None,
    ) -> EncryptedArray:
        """Encrypt real numbers: `PublicKey.encrypt`, with the random factors computed modulo p^2 and q^2.

        The ciphertexts have the same distribution as the public half's. Parameters, result and errors are
        those of `PublicKey.encrypt`.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.decrypt(private.encrypt([0.0, 1.0], Packing(clip=1.0)))
        array([0., 1.])
        """
        plaintexts = packing.encode(array, self.bits, saturate)
        masks = self.masks(len(plaintexts), mode)
        return self._public._conceal(plaintexts, np.shape(array), packing, context, masks)

    def encrypt_integers(
        self, array: npt.ArrayLike, packing: Packing, *, context: bytes = b"", mode: Mode | None = None
    ) -> EncryptedArray:
        """Encrypt integers: `PublicKey.encrypt_integers`, computed modulo p^2 and q^2.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.decrypt_integers(private.encrypt_integers([1, -2], Packing(bits=16)))
        array([ 1, -2])
        """
        plaintexts = packing.encode_integers(array, self.bits)
        masks = self.masks(len(plaintexts), mode)
        return self._public._conceal(plaintexts, np.shape(array), packing, context, masks)

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
        >>> public, private = generate_keypair(256, insecure=True)
        >>> encrypted = public.encrypt_integers([1, -2], Packing(bits=16))
        >>> private.decrypt_integers(3 * encrypted)
        array([ 3, -6])
        """
        if not isinstance(encrypted, EncryptedArray):
            raise TypeError(f"expected an EncryptedArray, not {type(encrypted).__name__}")
        if encrypted.public != self._public:
            raise InvalidCiphertextError("the array is encrypted under another key")
        plaintexts = self._decrypt(list(encrypted.ciphertexts))
        packing, terms = encrypted.packing, encrypted.terms
        return packing.decode_integers(plaintexts, encrypted.size, terms, self.bits).reshape(encrypted.shape)

    def raw_encrypt(self, m: SupportsIndex, r: SupportsIndex | None = None) -> int:
        """Encrypt one integer: `PublicKey.raw_encrypt`, computed modulo p^2 and q^2.

        Examples
        --------
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.raw_encrypt(7, r=2) == public.raw_encrypt(7, r=2)
        True
        """
        public = self._public
        plaintext = public._check_plaintext(m)
        masks = self.masks(1) if r is None else self._group.nth_powers([public._check_unit(r)])
        return public.group.conceal([plaintext], masks)[0]

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

    def masks(self, count: int, mode: Mode | None = None) -> list[int]:
        """Draw random n-th residues: `PublicKey.masks`, computed modulo p^2 and q^2.

        Examples
        --------
        >>> _, private = generate_keypair(256, insecure=True)
        >>> private.raw_decrypt(private.masks(1, "textbook")[0])
        0
        """
        public = self._public
        if public._resolve(mode) == "textbook":
            return self._group.nth_powers(random_units(public.n, count))
        return self._group.fixed_base_powers(self._tables, random_exponents(public.exponent_bits, count))

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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the key to a new file that only its owner can read (mode 0600).

        Parameters
        ----------
        path
            Where to; nothing may be there yet.

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
        with new_file(path, mode=0o600) as file:
            file.write(self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, insecure: bool = False) -> "PrivateKey":
        """Read a key that `save` wrote.

        Parameters
        ----------
        path
            The file.
        insecure
            Accept less than 2048 bits.

        Returns
        -------
        PrivateKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the file holds no valid key.
        OSError
            If it cannot be read.

        Examples
        --------
        See `save`.
        """
        longest = _KEY_HEADER.size + _MAX_BITS // 4
        with Path(path).open("rb") as file:
            return cls.from_bytes(file.read(longest + 1), insecure=insecure)

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

    def _decrypt(self, ciphertexts: list[int]) -> list[int]:
        """Check, blind and decrypt a batch."""
        group = self._public.group
        if not group.contains(ciphertexts):
            raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
        return self._group.decrypt(group.multiply(ciphertexts, self.masks(len(ciphertexts))))


def short_exponent_bits(bits: int) -> int:
    """Choose the length of short exponents for a modulus of `bits` bits: 2 s + 256 for security strength s.

    A kangaroo search costs 2^(length / 2) operations, so 2 s is the floor, and 256 bits are the margin. The
    strength s is the next one in SP 800-57 part 1, table 2: 128 up to 3072 bits, 192 up to 7680, 256
    above.

    Parameters
    ----------
    bits
        Length of n, up to 15360.

    Returns
    -------
    int
        Bits of the exponent.

    Examples
    --------
    >>> [short_exponent_bits(bits) for bits in (2048, 3072, 4096, 8192)]
    [512, 512, 640, 768]
    """
    strength = next(s for s, limit in ((128, 3072), (192, 7680), (256, 15360)) if bits <= limit)
    return 2 * strength + 256


def _minimum_bits(insecure: bool) -> int:
    """Return the shortest key that the caller or the environment allows."""
    allowed = insecure or os.environ.get(_INSECURE_VARIABLE) == "1"
    return _INSECURE_BITS if allowed else _SECURE_BITS


def _check_modulus(n: int, insecure: bool) -> None:
    """Refuse a modulus that is visibly no product of two large primes."""
    minimum = _minimum_bits(insecure)
    if n <= 0 or not minimum <= n.bit_length() <= _MAX_BITS:
        raise InvalidKeyError(f"n must have between {minimum} and {_MAX_BITS} bits")
    if has_small_factor(n):
        raise InvalidKeyError("n has a small prime factor")
    # A prime passes every round of Miller-Rabin, so a single round suffices to prove n composite.
    if is_probable_prime(n, rounds=1) and is_probable_prime(n):
        raise InvalidKeyError("n is prime")
    if math.isqrt(n) ** 2 == n:
        raise InvalidKeyError("n is a square")


def _check_primes(p: int, q: int) -> None:
    """Refuse primes that `generate_keypair` would not have drawn; p <= q."""
    half = q.bit_length()
    sound = (
        p > 0
        and half <= _MAX_BITS // 2
        and p.bit_length() == half
        and (p * q).bit_length() == 2 * half
        and 2 * half % 16 == 0
        and p % 4 == q % 4 == 3
        and q - p > 1 << max(half - 100, 0)
        and math.gcd(p - 1, q - 1) == 2
        and is_probable_prime(p)
        and is_probable_prime(q)
    )
    if not sound:
        raise InvalidKeyError("not two primes of a Paillier key")


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


def _hash_to_integer(n: int) -> int:
    """SHAKE-256 of domain and n, each after its length in 8 bytes, to at least 128 bits more than n has."""
    encoded = n.to_bytes(-(-n.bit_length() // 8), "big")
    xof = hashlib.shake_256()
    for field in (_BASE_DOMAIN, encoded):
        xof.update(len(field).to_bytes(8, "big") + field)
    return int.from_bytes(xof.digest(len(encoded) + 16), "big")


def _rebuild_public(n: int, trusted: bool, insecure: bool) -> PublicKey:
    """Unpickle a public key."""
    return PublicKey(n, trusted=trusted, insecure=insecure)
