"""python-phe's keys and encrypted numbers."""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, NoReturn

from medcrypt._ext import bignum
from medcrypt.errors import InvalidCiphertextError, InvalidKeyError
from medcrypt.paillier import jwk
from medcrypt.paillier.arithmetic import Group, Residues, SplitGroup, random_units, secret_inverse
from medcrypt.paillier.keys import PrivateKey, PublicKey, generate_keypair
from medcrypt.paillier.phe.encoding import EncodedNumber, as_integer, as_number, decrease, scale_factor
from medcrypt.paillier.primes import is_probable_prime
from medcrypt.paillier.single_decryption import SingleDecryption
from medcrypt.paillier.soundness import MAX_BITS, check_modulus, check_primes, minimum_bits

__all__ = [
    "DEFAULT_KEYSIZE",
    "EncodedNumber",
    "EncryptedNumber",
    "PaillierPrivateKey",
    "PaillierPrivateKeyring",
    "PaillierPublicKey",
    "generate_paillier_keypair",
]

DEFAULT_KEYSIZE = 3072
_LEAST_SIEVED_BITS = 64  # `generate_keypair` starts here; what is shorter is for phe's own unit tests


def generate_paillier_keypair(
    private_keyring: "PaillierPrivateKeyring | None" = None,
    n_length: int = DEFAULT_KEYSIZE,
    *,
    insecure: bool = False,
) -> "tuple[PaillierPublicKey, PaillierPrivateKey]":
    """Generate a key pair of ours: Blum primes, so that encryption may use short exponents.

    Parameters
    ----------
    private_keyring
        Where to add the private key as well.
    n_length
        Bits of n, a multiple of 16.
    insecure
        Allow less than 2048 bits, as ``MEDCRYPT_ALLOW_INSECURE_KEYS=1`` does.

    Returns
    -------
    public_key : PaillierPublicKey
        The public half.
    private_key : PaillierPrivateKey
        The private half.

    Raises
    ------
    ValueError
        If the length is not allowed.

    Examples
    --------
    >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
    >>> private.decrypt(public.encrypt(3.5) + 1)
    4.5
    """
    if n_length < _LEAST_SIEVED_BITS and minimum_bits(insecure) <= _LEAST_SIEVED_BITS:
        private_key = _tiny_key(n_length)
    else:
        private_key = PaillierPrivateKey.from_key(generate_keypair(n_length, insecure=insecure)[1])
    if private_keyring is not None:
        private_keyring.add(private_key)
    return private_key.public_key, private_key


def _tiny_key(n_length: int) -> "PaillierPrivateKey":
    """Find the two largest primes whose product has that length: far too short to hide anything."""
    if n_length < 8 or n_length % 2:
        raise ValueError("n_length must be even and at least 8")
    half = n_length // 2
    q = next(x for x in range((1 << half) - 1, 0, -2) if is_probable_prime(x))
    p = next(x for x in range(q - 2, 0, -2) if is_probable_prime(x))
    return PaillierPrivateKey(PaillierPublicKey(p * q, insecure=True), p, q)


class PaillierPublicKey:
    """Encrypts integers and floats.

    Parameters
    ----------
    n
        The modulus.
    insecure
        Accept less than 2048 bits, unchecked.

    Attributes
    ----------
    n, g, nsquare
        The modulus, n + 1 and n^2.
    max_int
        Largest integer that can be encrypted: n // 3 - 1.

    Raises
    ------
    InvalidKeyError
        If n is too short, or visibly no product of two large primes.

    Examples
    --------
    >>> public = PaillierPublicKey(126869, insecure=True)
    >>> public.raw_encrypt(10100, r_value=74384)
    935906717
    """

    def __init__(self, n: int, *, insecure: bool = False) -> None:
        self.n = as_integer(n, "n")
        self.g = self.n + 1
        self.nsquare = self.n * self.n
        self.max_int = self.n // 3 - 1
        self._insecure = bool(insecure)
        self._key: PublicKey | None = None
        _check_length(self.n, insecure)
        self._group = Group(self.n, bignum.kernel_for_one())

    @classmethod
    def from_key(cls, key: PublicKey) -> "PaillierPublicKey":
        """Return the same key in python-phe's clothes; a trusted one keeps its short exponents.

        Parameters
        ----------
        key
            A public key of this library.

        Returns
        -------
        PaillierPublicKey
            The same n.

        Examples
        --------
        >>> from medcrypt.paillier import generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.raw_decrypt(PaillierPublicKey.from_key(public).encrypt(7).ciphertext())
        7
        """
        public_key = cls(key.n, insecure=True)  # its length was judged when `key` was made
        public_key._key = key if key.trusted else None
        return public_key

    @classmethod
    def from_jwk(cls, text: str | bytes, *, insecure: bool = False) -> "PaillierPublicKey":
        """Read the JSON key of python-phe's command line.

        Parameters
        ----------
        text
            JSON text.
        insecure
            As for the class.

        Returns
        -------
        PaillierPublicKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the text is no such key, or as the class.

        Examples
        --------
        >>> public = PaillierPublicKey(126869, insecure=True)
        >>> PaillierPublicKey.from_jwk(public.to_jwk(), insecure=True) == public
        True
        """
        return cls(jwk.read_public(text), insecure=insecure)

    def to_jwk(self, kid: str = "medcrypt") -> str:
        """Return the JSON key of python-phe's command line.

        Parameters
        ----------
        kid
            A name for the key.

        Returns
        -------
        str
            One JSON object.

        Examples
        --------
        See `from_jwk`.
        """
        return jwk.write_public(self.n, kid)

    def __repr__(self) -> str:
        return f"<PaillierPublicKey {hash(self) & 0xFFFFFFFFFF:010x}>"

    def __eq__(self, other: object) -> bool:
        return self.n == other.n if isinstance(other, PaillierPublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.n)

    def __reduce__(self) -> tuple[object, ...]:
        if self._key is not None:
            return PaillierPublicKey.from_key, (self._key,)
        return _rebuild_public, (self.n, self._insecure)

    def get_random_lt_n(self) -> int:
        """Return a uniform unit modulo n, from the operating system.

        Returns
        -------
        int
            In [1, n).

        Examples
        --------
        >>> 0 < PaillierPublicKey(126869, insecure=True).get_random_lt_n() < 126869
        True
        """
        return random_units(self.n, 1)[0]

    def raw_encrypt(self, plaintext: int, r_value: int | None = None) -> int:
        """Encrypt an integer modulo n.

        Parameters
        ----------
        plaintext
            An integer, reduced modulo n.
        r_value
            The random factor. Without one, r^n for a uniform r, or a short exponent under a key of ours.

        Returns
        -------
        int
            The ciphertext.

        Raises
        ------
        TypeError
            If the plaintext is no integer.
        ValueError
            If `r_value` is no unit modulo n.

        Examples
        --------
        >>> PaillierPublicKey(126869, insecure=True).raw_encrypt(1, r_value=1)
        126870
        """
        m = as_integer(plaintext, "the plaintext") % self.n
        if r_value is None:
            masks = self._fresh_masks() if self._key is None else self._key.masks(1)
        else:
            masks = self._group.nth_powers([self._unit(r_value)])
        try:
            return self._group.conceal([m], masks)[0]
        finally:
            masks.wipe()  # with its mask, anybody reads a ciphertext

    def _unit(self, r_value: int) -> int:
        """Return a random factor modulo n; another than a unit would make a number that nobody can decrypt."""
        unit = as_integer(r_value, "r_value") % self.n
        if math.gcd(unit, self.n) != 1:
            raise ValueError("r_value must be a unit modulo n")
        return unit

    def _fresh_masks(self) -> Residues:
        """Draw r^n for one uniform unit r."""
        return self._group.nth_powers(random_units(self.n, 1))

    def encrypt(
        self, value: Any, precision: float | None = None, r_value: int | None = None
    ) -> "EncryptedNumber":
        """Encode and encrypt a number.

        Parameters
        ----------
        value
            An integer, a float or an `EncodedNumber`.
        precision
            As for `EncodedNumber.encode`.
        r_value
            As for `raw_encrypt`. A number encrypted with one counts as not obfuscated.

        Returns
        -------
        EncryptedNumber
            The encryption.

        Raises
        ------
        TypeError, ValueError
            As `EncodedNumber.encode`.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> private.decrypt(public.encrypt(-0.25))
        -0.25
        """
        encoded = value if isinstance(value, EncodedNumber) else EncodedNumber.encode(self, value, precision)
        return self.encrypt_encoded(encoded, r_value)

    def encrypt_encoded(self, encoding: EncodedNumber, r_value: int | None) -> "EncryptedNumber":
        """Encrypt an encoded number; parameters and result as for `encrypt`.

        Parameters
        ----------
        encoding
            The number.
        r_value
            As for `raw_encrypt`.

        Returns
        -------
        EncryptedNumber
            The encryption, with the exponent of the encoding.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> public.encrypt_encoded(EncodedNumber.encode(public, 0.5), None).exponent
        -14
        """
        ciphertext = self.raw_encrypt(encoding.encoding, r_value)
        return EncryptedNumber._made(self, ciphertext, encoding.exponent, obfuscated=r_value is None)


class PaillierPrivateKey:
    """Decrypts. Refuses pickling, and shows nothing but its public half in `repr`.

    Parameters
    ----------
    public_key
        The public half.
    p, q
        The primes, in any order.

    Attributes
    ----------
    public_key
        The public half; with short exponents if the primes turn out to be of the form that allows them.
    p, q, psquare, qsquare, p_inverse, hp, hq
        As in python-phe. Secret.

    Raises
    ------
    ValueError
        If p q is not the n of the public key, or p = q.
    InvalidKeyError
        If one of them is no prime, or the key could not decrypt.

    Examples
    --------
    >>> private = PaillierPrivateKey(PaillierPublicKey(126869, insecure=True), 293, 433)
    >>> private.raw_decrypt(935906717)
    10100
    """

    def __init__(self, public_key: PaillierPublicKey, p: int, q: int) -> None:
        p, q = sorted((as_integer(p, "p"), as_integer(q, "q")))
        if p * q != public_key.n:
            raise ValueError("p q is not the n of the public key")
        if p == q:
            raise ValueError("p and q must differ")
        key = _sound_key(p, q)
        if key is None and not (p > 1 and is_probable_prime(p) and is_probable_prime(q) and q % p != 1):
            raise InvalidKeyError("not the primes of a Paillier key")
        self._set(public_key if key is None else PaillierPublicKey.from_key(key.public), p, q, key)

    @classmethod
    def from_key(cls, key: PrivateKey) -> "PaillierPrivateKey":
        """Return the same key in python-phe's clothes.

        Parameters
        ----------
        key
            A private key of this library.

        Returns
        -------
        PaillierPrivateKey
            The same primes.

        Examples
        --------
        >>> from medcrypt.paillier import generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> PaillierPrivateKey.from_key(private).raw_decrypt(public.raw_encrypt(7))
        7
        """
        private_key = cls.__new__(cls)
        private_key._set(PaillierPublicKey.from_key(key.public), key.p, key.q, key)
        return private_key

    @classmethod
    def from_jwk(cls, text: str | bytes, *, insecure: bool = False) -> "PaillierPrivateKey":
        """Read the private JSON key of python-phe's command line, and check its primes.

        Parameters
        ----------
        text
            JSON text.
        insecure
            Accept less than 2048 bits.

        Returns
        -------
        PaillierPrivateKey
            The key.

        Raises
        ------
        InvalidKeyError
            If the text is no such key, or as the class.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> PaillierPrivateKey.from_jwk(private.to_jwk(), insecure=True) == private
        True
        """
        n, p, q = jwk.read_private(text)
        return cls(PaillierPublicKey(n, insecure=insecure), p, q)

    def to_jwk(self, kid: str = "medcrypt") -> str:
        """Return the **secret** key as python-phe's command line writes it.

        Parameters
        ----------
        kid
            A name for the key.

        Returns
        -------
        str
            One JSON object. Not encrypted.

        Examples
        --------
        See `from_jwk`.
        """
        return jwk.write_private(self.public_key.n, self.p, self.q, kid)

    @staticmethod
    def from_totient(public_key: PaillierPublicKey, totient: int) -> "PaillierPrivateKey":
        """Find the primes from n and (p - 1)(q - 1).

        Parameters
        ----------
        public_key
            The public half.
        totient
            (p - 1)(q - 1).

        Returns
        -------
        PaillierPrivateKey
            The key.

        Raises
        ------
        ValueError
            If they do not belong together.

        Examples
        --------
        >>> public = PaillierPublicKey(126869, insecure=True)
        >>> PaillierPrivateKey.from_totient(public, 292 * 432).p
        293
        """
        # p and q are the roots of x^2 - (p + q) x + n.
        total = public_key.n - totient + 1
        discriminant = total * total - 4 * public_key.n
        difference = math.isqrt(max(discriminant, 0))
        p, q = (total - difference) // 2, (total + difference) // 2
        if p * q != public_key.n:
            raise ValueError("the totient does not belong to the public key")
        return PaillierPrivateKey(public_key, p, q)

    def _set(self, public_key: PaillierPublicKey, p: int, q: int, key: PrivateKey | None) -> None:
        """Fill in the attributes; p < q."""
        self.public_key = public_key
        self.p, self.q = p, q
        self.psquare, self.qsquare = p * p, q * q
        # L_p((1 + n)^(p - 1) mod p^2) = (p - 1) q = -q modulo p: what h_function takes a power for.
        self.p_inverse = secret_inverse(p, q)
        self.hp, self.hq = p - secret_inverse(q, p), q - self.p_inverse
        self._key = key

    @cached_property
    def _split(self) -> SplitGroup:
        """Arithmetic modulo p^2 and q^2, for the masks of a key from elsewhere."""
        return SplitGroup(self.p, self.q, bignum.kernel_for_one())

    @cached_property
    def _single(self) -> SingleDecryption:
        """Decryption with a key from elsewhere."""
        return SingleDecryption(self.p, self.q)

    def __repr__(self) -> str:
        return f"<PaillierPrivateKey for {self.public_key!r}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PaillierPrivateKey):
            return NotImplemented
        return self.p == other.p and self.q == other.q

    def __hash__(self) -> int:
        return hash((PaillierPrivateKey, self.public_key))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key cannot be pickled or copied; pass a path to a worker process")

    def decrypt(self, encrypted_number: "EncryptedNumber") -> int | float:
        """Decrypt and decode.

        Parameters
        ----------
        encrypted_number
            A number under this key.

        Returns
        -------
        int or float
            The number.

        Raises
        ------
        TypeError
            If it is no `EncryptedNumber`.
        ValueError
            If it is encrypted under another key.
        OverflowError
            If the sum grew too large.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> private.decrypt(public.encrypt(2) * -3)
        -6
        """
        return self.decrypt_encoded(encrypted_number).decode()

    def decrypt_encoded(
        self,
        encrypted_number: "EncryptedNumber",
        Encoding: type[EncodedNumber] | None = None,  # python-phe's own name
    ) -> EncodedNumber:
        """Decrypt without decoding.

        Parameters
        ----------
        encrypted_number
            A number under this key.
        Encoding
            Class of the result: `EncodedNumber` or a subclass with another base.

        Returns
        -------
        EncodedNumber
            The encoding.

        Raises
        ------
        TypeError, ValueError
            As `decrypt`.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> private.decrypt_encoded(public.encrypt(2)).encoding
        2
        """
        if not isinstance(encrypted_number, EncryptedNumber):
            raise TypeError(f"expected an EncryptedNumber, not {type(encrypted_number).__name__}")
        if self.public_key != encrypted_number.public_key:
            raise ValueError("the number is encrypted under another key")
        encoded = self.raw_decrypt(encrypted_number.ciphertext(be_secure=False))
        return (Encoding or EncodedNumber)(self.public_key, encoded, encrypted_number.exponent)

    def raw_decrypt(self, ciphertext: int) -> int:
        """Decrypt one ciphertext to an integer in [0, n).

        Parameters
        ----------
        ciphertext
            An integer.

        Returns
        -------
        int
            The plaintext.

        Raises
        ------
        TypeError
            If it is no integer.
        InvalidCiphertextError
            If it is no unit modulo n^2: python-phe makes a number of it all the same.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> private.raw_decrypt(public.n + 1)
        1
        """
        c = as_integer(ciphertext, "the ciphertext")
        if self._key is not None:
            return self._key.raw_decrypt(c)
        return self._single.decrypt(c, lambda: self._split.nth_powers(random_units(self.public_key.n, 1)))

    def h_function(self, x: int, xsquare: int) -> int:
        """Return L_x(g^(x - 1) mod x^2)^-1 mod x (Paillier 1999, section 7)."""
        return pow(self.l_function(pow(self.public_key.g, x - 1, xsquare), x), -1, x)

    def l_function(self, x: int, p: int) -> int:
        """Return (x - 1) / p."""
        return (x - 1) // p

    def crt(self, mp: int, mq: int) -> int:
        """Return the residue modulo n that is mp modulo p and mq modulo q."""
        return mp + (mq - mp) * self.p_inverse % self.q * self.p


class PaillierPrivateKeyring(Mapping[PaillierPublicKey, PaillierPrivateKey]):
    """Private keys by their public keys.

    Parameters
    ----------
    private_keys
        The first ones.

    Examples
    --------
    >>> ring = PaillierPrivateKeyring()
    >>> public, private = generate_paillier_keypair(ring, n_length=256, insecure=True)
    >>> ring.decrypt(public.encrypt(5))
    5
    """

    def __init__(self, private_keys: Iterable[PaillierPrivateKey] | None = None) -> None:
        self._keys: dict[PaillierPublicKey, PaillierPrivateKey] = {}
        for key in private_keys or ():
            self.add(key)

    def __getitem__(self, key: PaillierPublicKey) -> PaillierPrivateKey:
        return self._keys[key]

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[PaillierPublicKey]:
        return iter(self._keys)

    def __delitem__(self, public_key: PaillierPublicKey) -> None:
        del self._keys[public_key]

    def add(self, private_key: PaillierPrivateKey) -> None:
        """Add a key.

        Parameters
        ----------
        private_key
            The key.

        Raises
        ------
        TypeError
            If it is no private key.

        Examples
        --------
        >>> ring = PaillierPrivateKeyring()
        >>> ring.add(generate_paillier_keypair(n_length=256, insecure=True)[1])
        >>> len(ring)
        1
        """
        if not isinstance(private_key, PaillierPrivateKey):
            raise TypeError(f"expected a PaillierPrivateKey, not {type(private_key).__name__}")
        self._keys[private_key.public_key] = private_key

    def decrypt(self, encrypted_number: "EncryptedNumber") -> int | float:
        """Decrypt with the key that belongs to the number.

        Parameters
        ----------
        encrypted_number
            The number.

        Returns
        -------
        int or float
            As `PaillierPrivateKey.decrypt`.

        Raises
        ------
        KeyError
            If the ring has no key for it.

        Examples
        --------
        See the class.
        """
        return self._keys[encrypted_number.public_key].decrypt(encrypted_number)


class EncryptedNumber:
    """An encrypted number with its public exponent: adds, and multiplies by plain numbers.

    Parameters
    ----------
    public_key
        The key that it is encrypted under.
    ciphertext
        The encryption of the encoding.
    exponent
        The exponent of the encoding.

    Attributes
    ----------
    public_key, exponent
        As above.

    Raises
    ------
    TypeError
        If the key is no `PaillierPublicKey`, or the ciphertext is an `EncryptedNumber` itself.

    Notes
    -----
    Sums and products can be linked to what they were made of until they are obfuscated; `ciphertext()` does
    that by default.

    Examples
    --------
    >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
    >>> a, b = public.encrypt(1.5), public.encrypt(2)
    >>> private.decrypt((a + b) * 2 - 1)
    6.0
    """

    __integer: int | None
    __residue: Residues | None

    def __init__(self, public_key: PaillierPublicKey, ciphertext: int, exponent: int = 0) -> None:
        if not isinstance(public_key, PaillierPublicKey):
            raise TypeError(f"public_key must be a PaillierPublicKey, not {type(public_key).__name__}")
        if isinstance(ciphertext, EncryptedNumber):
            raise TypeError("the ciphertext must be an integer, not an EncryptedNumber")
        self.public_key = public_key
        self.exponent = exponent
        # The name that Python gives these two, _EncryptedNumber__..., is part of python-phe's behaviour.
        self.__ciphertext = ciphertext
        self.__is_obfuscated = False

    @property
    def __ciphertext(self) -> int:
        """The ciphertext as an integer; results of operations become one when somebody asks."""
        if self.__integer is None:
            self.__integer = self.__kept()[0]
        return self.__integer

    @__ciphertext.setter
    def __ciphertext(self, ciphertext: int) -> None:
        self.__integer, self.__residue = ciphertext, None

    def __kept(self) -> Residues:
        """Return the ciphertext in the kernels' form, in which sums of sums stay."""
        if self.__residue is None:
            c = as_integer(self.__ciphertext, "the ciphertext")
            if not 0 < c < self.public_key.nsquare:
                raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
            self.__residue = self.public_key._group.residues([c])
        return self.__residue

    def __result(self, residue: Residues, exponent: int) -> "EncryptedNumber":
        """Build what came of an operation on this number."""
        number = EncryptedNumber(self.public_key, 0, exponent)
        number.__integer, number.__residue = None, residue
        return number

    def __getstate__(self) -> dict[str, object]:
        """Leave the kernels' form out of pickles and copies."""
        return {
            "public_key": self.public_key,
            "exponent": self.exponent,
            "_EncryptedNumber__ciphertext": self.__ciphertext,
            "_EncryptedNumber__is_obfuscated": self.__is_obfuscated,
        }

    def __setstate__(self, state: dict[str, object]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @classmethod
    def _made(
        cls, public_key: PaillierPublicKey, ciphertext: int, exponent: int, *, obfuscated: bool = False
    ) -> "EncryptedNumber":
        """Build a number and say whether it is obfuscated already."""
        number = cls(public_key, ciphertext, exponent)
        number.__is_obfuscated = obfuscated
        return number

    def __add__(self, other: Any) -> "EncryptedNumber":
        if isinstance(other, EncryptedNumber):
            return self._add_encrypted(other)
        if isinstance(other, EncodedNumber):
            return self._add_encoded(other)
        return self._add_scalar(other)

    __radd__ = __add__

    def __mul__(self, other: Any) -> "EncryptedNumber":
        if isinstance(other, EncryptedNumber):
            raise NotImplementedError("two encrypted numbers cannot be multiplied")
        encoded = other if isinstance(other, EncodedNumber) else EncodedNumber.encode(self.public_key, other)
        self._check_key(encoded.public_key)
        return self.__result(self.__times(encoded.encoding), self.exponent + encoded.exponent)

    __rmul__ = __mul__

    def __sub__(self, other: Any) -> "EncryptedNumber":
        if isinstance(other, EncodedNumber):
            return self + EncodedNumber(
                other.public_key, -other.encoding % other.public_key.n, other.exponent
            )
        return self.__add__(other * -1)

    def __rsub__(self, other: Any) -> "EncryptedNumber":
        return self.__mul__(-1).__add__(other)

    def __truediv__(self, scalar: Any) -> "EncryptedNumber":
        return self * (1 / as_number(scalar))

    def ciphertext(self, be_secure: bool = True) -> int:
        """Return the ciphertext, obfuscated before unless told otherwise.

        Parameters
        ----------
        be_secure
            Multiply by a fresh random r^n first, once, if that was not done yet.

        Returns
        -------
        int
            The ciphertext.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> doubled = public.encrypt(1) * 2
        >>> doubled.ciphertext(be_secure=False) == doubled.ciphertext()
        False
        """
        if be_secure and not self.__is_obfuscated:
            self.obfuscate()
        return self.__ciphertext

    def decrease_exponent_to(self, new_exp: int) -> "EncryptedNumber":
        """Return the same number with a smaller exponent and a larger encoding.

        Parameters
        ----------
        new_exp
            The exponent, not above the present one.

        Returns
        -------
        EncryptedNumber
            The same number.

        Raises
        ------
        ValueError
            If the exponent would grow, or shrink by so much that the factor does not fit a third of n.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> private.decrypt(public.encrypt(3).decrease_exponent_to(-5))
        3.0
        """
        steps = decrease(self.exponent, new_exp)
        factor = scale_factor(EncodedNumber.BASE, steps, self.public_key.max_int)
        return self.__result(self.__times(factor), new_exp)

    def obfuscate(self) -> None:
        """Multiply by a fresh r^n, r uniform, so that the ciphertext says nothing about how it was made.

        Examples
        --------
        >>> public, private = generate_paillier_keypair(n_length=256, insecure=True)
        >>> number = public.encrypt(1)
        >>> number.obfuscate()
        >>> private.decrypt(number)
        1
        """
        key = self.public_key
        masks = key._fresh_masks()
        self.__residue, self.__integer = key._group.multiply(self.__kept(), masks), None
        masks.wipe()
        self.__is_obfuscated = True

    def _add_scalar(self, scalar: Any) -> "EncryptedNumber":
        """Add a plain number, encoded with an exponent that is not above this one's."""
        return self._add_encoded(EncodedNumber.encode(self.public_key, scalar, max_exponent=self.exponent))

    def _add_encoded(self, encoded: EncodedNumber) -> "EncryptedNumber":
        """Add an encoded number: multiply by 1 + m n, without a random factor."""
        self._check_key(encoded.public_key)
        mine, theirs = self, encoded
        if mine.exponent > theirs.exponent:
            mine = mine.decrease_exponent_to(theirs.exponent)
        elif mine.exponent < theirs.exponent:
            theirs = theirs.decrease_exponent_to(mine.exponent)
        total = self.public_key._group.conceal([theirs.encoding], mine.__kept())
        return self.__result(total, mine.exponent)

    def _add_encrypted(self, other: "EncryptedNumber") -> "EncryptedNumber":
        """Add an encrypted number of the same key, after giving both the smaller exponent."""
        self._check_key(other.public_key)
        mine, theirs = self, other
        if mine.exponent > theirs.exponent:
            mine = mine.decrease_exponent_to(theirs.exponent)
        elif mine.exponent < theirs.exponent:
            theirs = theirs.decrease_exponent_to(mine.exponent)
        total = self.public_key._group.multiply(mine.__kept(), theirs.__kept())
        return self.__result(total, mine.exponent)

    def _raw_add(self, e_a: int, e_b: int) -> int:
        """Return the encryption of the sum of two plaintexts."""
        return self.public_key._group.multiply([e_a], [e_b])[0]

    def _raw_mul(self, plaintext: int) -> int:
        """Return the encryption of this plaintext times another one in [0, n)."""
        return self.__times(plaintext)[0]

    def __times(self, plaintext: int) -> Residues:
        """Do what `_raw_mul` does, and stay in the kernels' form.

        A factor in the upper third stands for a negative number: the inverse to a short power is the same
        and far cheaper than a power as long as n.
        """
        key = self.public_key
        factor = as_integer(plaintext, "the factor")
        if not 0 <= factor < key.n:
            raise ValueError("the factor must be in [0, n)")
        if factor >= key.n - key.max_int:
            return key._group.power(self.__inverse(), key.n - factor)
        return key._group.power(self.__kept(), factor)

    def __inverse(self) -> Residues:
        """Return the inverse of the ciphertext, the encryption of the negated number."""
        try:
            return self.public_key._group.invert(self.__kept())
        except ValueError:
            raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2") from None

    def _check_key(self, other: PaillierPublicKey) -> None:
        """Refuse an operand of another key."""
        if self.public_key != other:
            raise ValueError("the numbers belong to different keys")


def _check_length(n: int, insecure: bool) -> None:
    """Refuse a short or visibly malformed modulus; behind the switch, only what cannot be computed with."""
    least = minimum_bits(insecure)
    if least <= _LEAST_SIEVED_BITS:
        if n < 15 or n % 2 == 0 or n.bit_length() > MAX_BITS:
            raise InvalidKeyError(f"n must be an odd composite number of at most {MAX_BITS} bits")
        return
    check_modulus(n, insecure)


def _sound_key(p: int, q: int) -> PrivateKey | None:
    """Return a key of this library if the primes have the form that it demands."""
    try:
        check_primes(p, q)
    except InvalidKeyError:
        return None
    return PrivateKey._of_primes(p, q)


def _rebuild_public(n: int, insecure: bool) -> PaillierPublicKey:
    """Unpickle a public key."""
    return PaillierPublicKey(n, insecure=insecure)
