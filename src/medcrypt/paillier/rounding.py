"""Stochastic rounding: up or down at random, so that the expected value is exactly the number.

x levels / clip, the number of steps, is a fraction that no float64 holds. It is computed in double-double
arithmetic (Dekker, Numer. Math. 18, 1971) to within 2^-47 steps and compared with 53 random bits. Where the two are
closer than `_MARGIN`, once in some 10^11 values, exact fractions and more random bits decide. So
the probabilities are exact, not only nearly so.
"""

import os
import secrets
from fractions import Fraction

import numpy as np
import numpy.typing as npt

__all__ = ["round_stochastically"]

Reals = npt.NDArray[np.float64]

_MARGIN = 2.0**-38  # far above the error of the double-double quotient
_SPLITTER = 2.0**27 + 1  # cuts 53 bits in two halves whose products are exact (Veltkamp)


def round_stochastically(reals: Reals, levels: int, clip: float) -> npt.NDArray[np.int64]:
    """Round x levels / clip to one of the two nearest integers, with that expected value.

    Parameters
    ----------
    reals
        Finite numbers, |x| <= clip.
    levels
        Integer that `clip` becomes, at most 2^53.
    clip
        The largest magnitude.

    Returns
    -------
    ndarray of int64, same shape
        floor or ceiling of each; an exact integer stays as it is.

    Examples
    --------
    >>> round_stochastically(np.array([0.0, 2.0, -4.0]), levels=2, clip=4.0)
    array([ 0,  1, -2])
    """
    flat = reals.reshape(-1)
    below, fraction = _floor_and_fraction(flat, float(levels), clip)
    random = np.frombuffer(os.urandom(8 * flat.size), dtype=np.uint64) >> np.uint64(11)
    uniform = random * 2.0**-53
    rounded = below.astype(np.int64) + (uniform < fraction)
    # On a circle: where the fraction is next to 0 or 1, the floor itself may be off by one.
    distance = np.abs(uniform - fraction)
    for i in np.flatnonzero((distance < _MARGIN) | (distance > 1 - 2 * _MARGIN)):
        rounded[i] = _exactly(float(flat[i]), levels, clip, int(random[i]))
    return rounded.reshape(reals.shape)


def _floor_and_fraction(reals: Reals, levels: float, clip: float) -> tuple[Reals, Reals]:
    """Return the floor of x levels / clip and what is above it, the latter to within 2^-47."""
    high, low = _two_product(reals, levels)
    quotient = high / clip
    back_high, back_low = _two_product(quotient, clip)
    rest = ((high - back_high) - back_low + low) / clip
    below = np.floor(quotient)
    fraction = (quotient - below) + rest
    carry = np.floor(fraction)
    return below + carry, fraction - carry


def _two_product(a: Reals, b: float) -> tuple[Reals, Reals]:
    """Return the rounded product and its exact error."""
    product = a * b
    a_high, b_high = a * _SPLITTER, b * _SPLITTER
    a_high, b_high = a_high - (a_high - a), b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    error = a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
    return product, error


def _exactly(x: float, levels: int, clip: float, random: int) -> int:
    """Round one number with exact fractions, given the first 53 bits of a uniform number in [0, 1).

    The number is rounded up if the uniform one is below its fraction; more bits of it are drawn until that is
    certain.
    """
    steps = Fraction(x) * levels / Fraction(clip)
    below = steps.numerator // steps.denominator
    fraction, unit = steps - below, 1 << 53
    while random < fraction * unit < random + 1:
        random, unit = random << 64 | secrets.randbits(64), unit << 64
    return below + (fraction * unit >= random + 1)
