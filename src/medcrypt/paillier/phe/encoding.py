"""Signed integers and floats as residues modulo n, with a public exponent beside each."""

import math
import operator
import sys
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex

import numpy as np

if TYPE_CHECKING:
    from medcrypt.paillier.phe.paillier import PaillierPublicKey

__all__ = ["EncodedNumber"]

_LEAST_FLOAT_BITS = 1074  # no float but zero is smaller than 2^-1074


class EncodedNumber:
    """The number ``encoding * BASE ** exponent``, negative where the encoding is in the upper third of n.

    The middle third belongs to no number, so that most sums which grow too large are noticed.

    Parameters
    ----------
    public_key
        The key whose n the encoding is reduced by.
    encoding
        Integer in [0, n).
    exponent
        Power of `BASE` that the integer is multiplied with. Public.

    Attributes
    ----------
    BASE, LOG2_BASE
        The radix, 16, and its logarithm; a subclass may choose others.
    FLOAT_MANTISSA_BITS
        53.

    Examples
    --------
    >>> from medcrypt.paillier import phe
    >>> public, private = phe.generate_paillier_keypair(n_length=256, insecure=True)
    >>> encoded = phe.EncodedNumber.encode(public, -1.5)
    >>> encoded.exponent, encoded.decode()
    (-13, -1.5)
    """

    BASE: ClassVar[int] = 16
    LOG2_BASE: ClassVar[float] = 4.0
    FLOAT_MANTISSA_BITS: ClassVar[int] = sys.float_info.mant_dig

    def __init__(self, public_key: "PaillierPublicKey", encoding: int, exponent: int) -> None:
        self.public_key = public_key
        self.encoding = encoding
        self.exponent = exponent

    @classmethod
    def encode(
        cls,
        public_key: "PaillierPublicKey",
        scalar: Any,
        precision: float | None = None,
        max_exponent: int | None = None,
    ) -> "EncodedNumber":
        """Encode a number: an integer exactly, a float to its last bit, or either to a given precision.

        Parameters
        ----------
        public_key
            The key.
        scalar
            An integer or a float; numpy's too.
        precision
            Largest error that the encoding may have; without it, none.
        max_exponent
            The exponent must not be larger than this.

        Returns
        -------
        EncodedNumber
            The encoding.

        Raises
        ------
        TypeError
            If it is no number.
        ValueError
            If it is NaN, or its encoding does not fit a third of n.
        OverflowError
            If it is infinite.

        Examples
        --------
        >>> from medcrypt.paillier import phe
        >>> public, private = phe.generate_paillier_keypair(n_length=256, insecure=True)
        >>> phe.EncodedNumber.encode(public, 3.14159, precision=0.01).exponent
        -2
        """
        number = as_number(scalar)
        exponent = cls._natural_exponent(number) if precision is None else cls._exponent_of(precision)
        if max_exponent is not None:
            exponent = min(max_exponent, exponent)
        mantissa = cls._mantissa(number, exponent, public_key.n.bit_length())
        if mantissa is None or abs(mantissa) > public_key.max_int:
            raise ValueError(f"the number needs an encoding beyond +-{public_key.max_int}")
        return cls(public_key, mantissa % public_key.n, exponent)

    @classmethod
    def _mantissa(cls, number: int | float, exponent: int, bits: int) -> int | None:
        """Return the number in units of BASE^exponent, or None where that is far longer than `bits`.

        The exponent may be somebody else's, and a power of a billion digits is not worth computing.
        """
        if not number:
            return 0
        if _least_bits(cls.BASE, -exponent) > bits + _LEAST_FLOAT_BITS:
            return None
        numerator, denominator = number.as_integer_ratio()
        if exponent <= 0:
            mantissa, rest = divmod(numerator * cls.BASE**-exponent, denominator)
            if rest == 0:
                return int(mantissa)  # as nearly always: the exponent was chosen so
        # Through Fraction, so that no power of the base has to fit a float.
        return round(Fraction(number) * Fraction(cls.BASE) ** -exponent)

    @classmethod
    def _natural_exponent(cls, number: int | float) -> int:
        """Choose the largest exponent that loses nothing: the last bit of a float is still a multiple."""
        if isinstance(number, int):
            return 0
        last_bit = math.frexp(number)[1] - cls.FLOAT_MANTISSA_BITS
        return math.floor(last_bit / cls.LOG2_BASE)

    @classmethod
    def _exponent_of(cls, precision: float) -> int:
        """Choose the largest exponent whose unit is at most the precision."""
        return math.floor(math.log(precision, cls.BASE))

    def decode(self) -> int | float:
        """Return the number: an integer where the exponent is not negative, else a float.

        Returns
        -------
        int or float
            Correctly rounded.

        Raises
        ------
        ValueError
            If the encoding is not below n.
        OverflowError
            If it lies in the middle third, as after a sum that grew too large, or the float is too large.

        Examples
        --------
        >>> from medcrypt.paillier import phe
        >>> public, private = phe.generate_paillier_keypair(n_length=256, insecure=True)
        >>> phe.EncodedNumber(public, public.n - 3, 1).decode()
        -48
        """
        n, max_int = self.public_key.n, self.public_key.max_int
        if not 0 <= self.encoding < n:
            raise ValueError("the encoding is not below n")
        if self.encoding <= max_int:
            mantissa = self.encoding
        elif self.encoding >= n - max_int:
            mantissa = self.encoding - n
        else:
            raise OverflowError("the encoding is neither positive nor negative: a sum grew too large")
        if self.exponent >= 0:
            return int(mantissa * self.BASE**self.exponent)
        if _least_bits(self.BASE, -self.exponent) > n.bit_length() + _LEAST_FLOAT_BITS:
            return 0.0 if mantissa >= 0 else -0.0
        return float(mantissa / self.BASE**-self.exponent)  # of two integers: rounded once

    def decrease_exponent_to(self, new_exp: int) -> "EncodedNumber":
        """Return the same number with a smaller exponent and a larger encoding.

        Parameters
        ----------
        new_exp
            The exponent, not above the present one.

        Returns
        -------
        EncodedNumber
            The same number, provided that its encoding still fits n.

        Raises
        ------
        ValueError
            If the exponent would grow.

        Examples
        --------
        >>> from medcrypt.paillier import phe
        >>> public, private = phe.generate_paillier_keypair(n_length=256, insecure=True)
        >>> smaller = phe.EncodedNumber.encode(public, 3).decrease_exponent_to(-2)
        >>> smaller.encoding, smaller.decode()
        (768, 3.0)
        """
        n = self.public_key.n
        factor = pow(self.BASE, decrease(self.exponent, new_exp), n)
        return type(self)(self.public_key, self.encoding * factor % n, new_exp)


def decrease(exponent: int, new_exponent: int) -> int:
    """Return by how much an exponent decreases, and refuse one that would grow."""
    if new_exponent > exponent:
        raise ValueError(f"the new exponent {new_exponent} must not be above the present one, {exponent}")
    return exponent - new_exponent


def scale_factor(base: int, steps: int, largest: int) -> int:
    """Return base^steps, and refuse what is beyond the largest factor before it is computed."""
    factor = int(base**steps) if _least_bits(base, steps) <= largest.bit_length() else largest + 1
    if factor > largest:
        raise ValueError(f"the factor needs an encoding beyond +-{largest}")
    return factor


def _least_bits(base: int, steps: int) -> int:
    """Return a lower bound on the length of base^steps in bits."""
    return (base.bit_length() - 1) * steps


def as_number(value: object) -> int | float:
    """Take an integer or a float, of Python or numpy."""
    if isinstance(value, (float, np.floating)):
        return float(value)
    return as_integer(value, "the value")


def as_integer(value: object, name: str) -> int:
    """Take any integer; phe, too, refuses everything else with TypeError."""
    if isinstance(value, np.bool_):
        return int(value)
    try:
        index: SupportsIndex = value  # type: ignore[assignment]  # operator.index is the judge
        return operator.index(index)
    except TypeError:
        raise TypeError(f"{name} must be a number, not {type(value).__name__}") from None
