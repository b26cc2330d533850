"""Encryption, as both halves of a key pair do it: the holder only computes the random factors otherwise.

The scheme is Paillier's (EUROCRYPT 1999) with g = 1 + n: c = (1 + m n) r^n mod n^2. The random factor comes
in two modes. ``textbook`` draws r uniformly and computes r^n, as ISO/IEC 18033-6 has it. ``short-exponent``
computes h^s for a short random s and the n-th residue h = (-y^2)^n, with y hashed from n (Damgård, Jurik and
Nielsen 2010): about fifty times faster. The latter is sound only when n is a product of two
Blum primes with gcd(p - 1, q - 1) = 2, so it is used only for keys that were generated here or are declared
trusted.
"""

import math
import operator
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.paillier.arithmetic import Residues, random_exponents, random_units
from medcrypt.paillier.arrays import EncryptedArray
from medcrypt.paillier.packing import Packing, Rounding
from medcrypt.paillier.proofs import plaintexts as knowledge

if TYPE_CHECKING:
    from medcrypt.paillier.keys import PublicKey

__all__ = ["EncryptionKey", "Mode"]

Mode = Literal["short-exponent", "textbook"]


class EncryptionKey(ABC):
    """What `PublicKey` and `PrivateKey` have in common: they encrypt, and nobody can tell which one did.

    They differ in what the random factor costs: the holder of the primes computes it modulo p^2 and q^2.
    """

    @property
    @abstractmethod
    def _public_half(self) -> "PublicKey":
        """The key that the result is encrypted under."""

    @abstractmethod
    def _nth_powers(self, units: list[int]) -> Residues:
        """Return r^n mod n^2 for every unit r."""

    @abstractmethod
    def _short_powers(self, exponents: bytearray) -> Residues:
        """Return h^s mod n^2 for every short exponent s."""

    def encrypt(
        self,
        array: npt.ArrayLike,
        packing: Packing,
        *,
        context: bytes = b"",
        saturate: bool = False,
        rounding: Rounding = "nearest",
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
        rounding
            ``"nearest"`` or ``"stochastic"``, as for `Packing.quantise`.
        mode
            ``"short-exponent"`` or ``"textbook"``; None takes the former for a trusted key, else the latter.

        Returns
        -------
        EncryptedArray
            Same shape, one term.

        Raises
        ------
        TypeError
            If the array does not hold real numbers, or `packing` is no `Packing`.
        ValueError
            If a value is NaN, infinite or beyond the clip, if the key is too short for a slot, or if
            short exponents are asked for under a key that is not trusted.

        Examples
        --------
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.decrypt(public.encrypt([[0.5], [-1.0]], Packing(clip=1.0, bits=16)))
        array([[ 0.50001526],
               [-1.        ]])
        """
        plaintexts = _checked(packing).encode(array, self._public_half.bits, saturate, rounding)
        ciphertexts = self._conceal(plaintexts, self.masks(len(plaintexts), mode))
        return EncryptedArray(self._public_half, ciphertexts, np.shape(array), packing, context=context)

    def encrypt_integers(
        self, array: npt.ArrayLike, packing: Packing, *, context: bytes = b"", mode: Mode | None = None
    ) -> EncryptedArray:
        """Encrypt integers of at most `packing.value_bits` bits as they are.

        Parameters
        ----------
        array
            Integer dtype, any shape; the range is that of `Packing.encode_integers`.
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
            If the dtype is not an integer one, or `packing` is no `Packing`.
        ValueError
            If a value does not fit, or as for `encrypt`.

        Examples
        --------
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.decrypt_integers(public.encrypt_integers([1, -2], Packing(bits=16)))
        array([ 1, -2])
        """
        plaintexts = _checked(packing).encode_integers(array, self._public_half.bits)
        ciphertexts = self._conceal(plaintexts, self.masks(len(plaintexts), mode))
        return EncryptedArray(self._public_half, ciphertexts, np.shape(array), packing, context=context)

    def encrypt_integers_and_prove(
        self,
        array: npt.ArrayLike,
        packing: Packing,
        *,
        context: bytes = b"",
        proof_context: bytes = b"",
        mode: Mode | None = None,
    ) -> tuple[EncryptedArray, bytes]:
        """Encrypt integers, and prove that one knows them: nobody can then pass the ciphertexts on as his own.

        Parameters
        ----------
        array, packing, context, mode
            As for `encrypt_integers`.
        proof_context
            What the proof is bound to, such as the sender, the round and the receiver.

        Returns
        -------
        encrypted : EncryptedArray
            As `encrypt_integers` makes it.
        proof : bytes
            1,543 bytes for a key of 3072 bits, for `EncryptedArray.verify_plaintexts_known`.

        Raises
        ------
        TypeError, ValueError
            As for `encrypt_integers`.

        Examples
        --------
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, private = generate_keypair(512, insecure=True)
        >>> encrypted, proof = public.encrypt_integers_and_prove([1, -2], Packing(), proof_context=b"Berlin")
        >>> encrypted.verify_plaintexts_known(proof, context=b"Berlin")
        """
        public = self._public_half
        plaintexts = _checked(packing).encode_integers(array, public.bits)
        count = len(plaintexts)
        if self._resolve(mode) == "textbook":
            units = random_units(public.n, count)
            ciphertexts = self._conceal(plaintexts, self._nth_powers(units))
            proof = knowledge.prove_textbook(public.group, ciphertexts, plaintexts, units, proof_context)
        else:
            exponents = random_exponents(public.exponent_bits, count)
            width = len(exponents) // max(count, 1)
            known = [int.from_bytes(exponents[i * width : (i + 1) * width], "little") for i in range(count)]
            ciphertexts = self._conceal(plaintexts, self._short_powers(exponents))
            proof = knowledge.prove_short(
                *(public.group, ciphertexts, plaintexts, known, public.exponent_bits, proof_context)
            )
        return EncryptedArray(public, ciphertexts, np.shape(array), packing, context=context), proof

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
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.raw_decrypt(public.raw_encrypt(7, r=2))
        7
        """
        plaintext = self._check_plaintext(m)
        masks = self.masks(1) if r is None else self._nth_powers([self._check_unit(r)])
        return self._conceal([plaintext], masks)[0]

    def masks(self, count: int, mode: Mode | None = None) -> Residues:
        """Draw random n-th residues: encryptions of zero.

        Parameters
        ----------
        count
            How many.
        mode
            As for `encrypt`.

        Returns
        -------
        Residues
            Independent residues modulo n^2, a sequence of integers. Use each once, and never keep them across a fork.

        Raises
        ------
        ValueError
            If the mode is unknown, or needs trust that the key does not have.

        Examples
        --------
        >>> from medcrypt.paillier import Packing, generate_keypair
        >>> public, private = generate_keypair(256, insecure=True)
        >>> private.raw_decrypt(public.masks(1)[0])
        0
        """
        public = self._public_half
        if self._resolve(mode) == "textbook":
            return self._nth_powers(random_units(public.n, count))
        return self._short_powers(random_exponents(public.exponent_bits, count))

    def _conceal(self, plaintexts: list[int], masks: Residues) -> Residues:
        """Hide plaintexts under masks, and forget the masks: with one, anybody reads its ciphertext."""
        try:
            return self._public_half.group.conceal(plaintexts, masks)
        finally:
            masks.wipe()

    def _resolve(self, mode: Mode | None) -> Mode:
        """Choose the mode, and refuse short exponents where nothing vouches for n."""
        if mode is None:
            return "short-exponent" if self._public_half.trusted else "textbook"
        if mode not in ("short-exponent", "textbook"):
            raise ValueError("mode must be 'short-exponent', 'textbook' or None")
        if mode == "short-exponent" and not self._public_half.trusted:
            raise ValueError(
                "short exponents need a trusted key: one that you generated or whose proof you verified"
            )
        return mode

    def _check_plaintext(self, m: SupportsIndex) -> int:
        """Return a plaintext as an int in [0, n)."""
        plaintext = operator.index(m)
        if not 0 <= plaintext < self._public_half.n:
            raise ValueError("the plaintext must be in [0, n)")
        return plaintext

    def _check_unit(self, r: SupportsIndex) -> int:
        """Return a random factor as an int in (0, n) that is a unit modulo n."""
        unit = operator.index(r)
        n = self._public_half.n
        if not (0 < unit < n and math.gcd(unit, n) == 1):
            raise ValueError("r must be a unit modulo n, in (0, n)")
        return unit


def _checked(packing: Packing) -> Packing:
    """Refuse another object; strings have an `encode` as well."""
    if not isinstance(packing, Packing):
        raise TypeError(f"expected a Packing, not {type(packing).__name__}")
    return packing
