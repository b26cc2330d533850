"""Parameters as the exact rational numbers that they are."""

import math
from fractions import Fraction
from numbers import Rational, Real

__all__ = ["LARGEST_SCALE", "exact_parameter"]

LARGEST_SCALE = 2.0**48
"""Largest sigma and scale; at it, a draw leaves int64 with probability below exp(-30000)."""


def exact_parameter(name: str, value: object, largest: float) -> Fraction:
    """Return a positive parameter as the rational number that it is.

    Raises
    ------
    TypeError, ValueError
        If it is no finite positive number.
    OverflowError
        If it is above `largest`.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}")
    if not isinstance(value, Rational) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    exact = Fraction(value) if isinstance(value, Rational) else Fraction(float(value))
    if exact.numerator <= 0:
        raise ValueError(f"{name} must be positive, not {value}")
    if exact.numerator > int(largest) * exact.denominator:
        raise OverflowError(f"{name} must be at most 2**{math.log2(largest):.0f}, or a draw might not fit")
    return exact
