"""Exact integer noise from the operating system's randomness.

Floating-point noise leaks the value it hides in its low bits (Mironov 2012); integers drawn exactly do not.
The samplers follow Canonne, Kamath and Steinke (2020), Algorithms 1 to 3, on whole arrays. Every random
decision compares a uniform real number U, known by its first 64 bits, with some exp(-g), g rational:

* in floating point, with a margin of 2^-44 on both sides, which is more than a hundred times the error of the
  computation (bounded in `_accepted`); this settles all but about 2^-43 of the decisions;
* the undecided ones draw further bits of U and compare in exact decimal arithmetic, as long as it takes.

So the distribution is exactly the stated one, not an approximation of it. **Timing is not constant in this
version**: the number of rejected trials, and with the rare exact decisions also their time, depends on the
values drawn.
"""

import math
import operator
import os
import secrets
from collections.abc import Callable
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from numbers import Rational, Real
from typing import overload

import numpy as np
from numpy.typing import NDArray

__all__ = ["LARGEST_SCALE", "discrete_gaussian", "discrete_laplace"]

LARGEST_SCALE = 2.0**48
"""Largest sigma and scale; at it, a draw leaves int64 with probability below exp(-30000)."""

_Size = int | tuple[int, ...] | None
_Integers = NDArray[np.int64]
_Words = NDArray[np.uint64]
_Reals = NDArray[np.float64]

_MARGIN = 2.0**-44
_WORD = 2.0**64
_LARGEST_INTEGER = 2**62


@overload
def discrete_gaussian(sigma: float | Fraction, size: None = None) -> int: ...
@overload
def discrete_gaussian(sigma: float | Fraction, size: int | tuple[int, ...]) -> _Integers: ...
def discrete_gaussian(sigma: float | Fraction, size: _Size = None) -> int | _Integers:
    """Draw from the discrete Gaussian: P[k] proportional to exp(-k^2/(2 sigma^2)) on the integers.

    The standard deviation is at most sigma, and equal to it for practical purposes from sigma = 1 on. Timing
    is not constant in this version.

    Parameters
    ----------
    sigma
        Parameter, 0 < sigma <= 2^48, taken as the exact rational number that the float is.
    size
        Shape of the result, or None for one Python int.

    Returns
    -------
    int or ndarray of int64
        Independent draws, C-contiguous.

    Raises
    ------
    TypeError, ValueError
        If sigma is no finite positive number, or the size is no shape.
    OverflowError
        If sigma is above 2^48, before anything is drawn.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.discrete_gaussian(25.0, size=(2, 3)).shape
    (2, 3)
    """
    exact = _exact_scale("sigma", sigma)
    return _shaped(lambda wanted: _gaussian_trials(exact, wanted), size)


@overload
def discrete_laplace(scale: float | Fraction, size: None = None) -> int: ...
@overload
def discrete_laplace(scale: float | Fraction, size: int | tuple[int, ...]) -> _Integers: ...
def discrete_laplace(scale: float | Fraction, size: _Size = None) -> int | _Integers:
    """Draw from the discrete Laplace distribution: P[k] proportional to exp(-|k|/scale) on the integers.

    Timing is not constant in this version.

    Parameters
    ----------
    scale
        Scale, 0 < scale <= 2^48, taken as the exact rational number that the float is.
    size
        Shape of the result, or None for one Python int.

    Returns
    -------
    int or ndarray of int64
        Independent draws, C-contiguous.

    Raises
    ------
    TypeError, ValueError
        If the scale is no finite positive number, or the size is no shape.
    OverflowError
        If the scale is above 2^48, before anything is drawn.

    Examples
    --------
    >>> from medcrypt import dp
    >>> isinstance(dp.noise.discrete_laplace(3.0), int)
    True
    """
    exact = _exact_scale("scale", scale)
    return _shaped(lambda wanted: _laplace_trials(exact, wanted), size)


def _exact_scale(name: str, value: object) -> Fraction:
    """Return the parameter as the rational number that it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}")
    if not isinstance(value, Rational) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, not {value}")
    exact = Fraction(value) if isinstance(value, Rational) else Fraction(float(value))
    if exact <= 0:
        raise ValueError(f"{name} must be positive, not {value}")
    if exact > LARGEST_SCALE:
        raise OverflowError(f"{name} must be at most 2**48, or a draw might not fit in int64")
    return exact


def _shaped(trials: Callable[[int], _Integers], size: _Size) -> int | _Integers:
    """Repeat vectorised trials, which return those accepted, until there are enough for the shape."""
    if isinstance(size, bool):
        raise TypeError("size must be an integer, a tuple of integers or None")
    shape = (
        ()
        if size is None
        else tuple(operator.index(n) for n in (size if isinstance(size, tuple) else (size,)))
    )
    if any(n < 0 for n in shape):
        raise ValueError(f"size must not be negative: {size}")
    out = np.empty(math.prod(shape), dtype=np.int64)
    filled = 0
    while filled < out.size:
        # About half of the trials are accepted; blocks of 2^16 stay in the cache.
        accepted = trials(min(2 * (out.size - filled) + 16, 1 << 16))
        taken = accepted[: out.size - filled]
        out[filled : filled + taken.size] = taken
        filled += taken.size
    return int(out[0]) if size is None else out.reshape(shape)


def _words(count: int) -> _Words:
    """Return 64-bit words from the operating system; nothing is kept, so a fork cannot repeat any."""
    return np.frombuffer(os.urandom(8 * count), dtype=np.uint64)


def _uniform(bound: int, count: int) -> _Integers:
    """Return up to ``count`` uniform integers below ``bound`` <= 2^62: the last, partial cycle is dropped."""
    words = _words(count)
    excess = 2**64 % bound
    if excess:
        words = words[words < np.uint64(2**64 - excess)]
    return (words % np.uint64(bound)).astype(np.int64)


def _laplace_trials(scale: Fraction, count: int) -> _Integers:
    """Run Algorithm 2 of Canonne, Kamath and Steinke (2020) ``count`` times and return the accepted draws.

    With scale = t/s: U uniform below t, accepted with probability exp(-U/t), and V geometric of ratio 1/e
    make U + t V geometric of ratio exp(-1/t); its quotient by s has ratio exp(-s/t) = exp(-1/scale).
    """
    t, s = scale.numerator, scale.denominator
    if t > 2**53:
        # Only rationals given by the caller get here; a bounded denominator cannot represent them, so go one
        # by one.
        return np.array([_laplace_slowly(scale)], dtype=np.int64)
    low = _uniform(t, count)
    low = low[_accepted(low / t, lambda i: Fraction(int(low[i]), t))]
    magnitude = _quotient(low, _geometric(low.size), t, s)
    negative = np.unpackbits(np.frombuffer(os.urandom((low.size + 7) // 8), dtype=np.uint8))[: low.size] == 1
    # Zero would be drawn twice as often, once for each sign: minus zero is a rejection.
    keep = ~(negative & (magnitude == 0))
    return np.asarray(np.where(negative, -magnitude, magnitude)[keep], dtype=np.int64)


def _quotient(low: _Integers, high: _Integers, t: int, s: int) -> _Integers:
    """Return (low + t high) // s; through Python integers where int64 is too small for a step of it."""
    if s <= _LARGEST_INTEGER and int(high.max(initial=0)) < _LARGEST_INTEGER // t:
        return np.asarray((low + t * high) // s)
    wide = [(u + t * v) // s for u, v in zip(low.tolist(), high.tolist(), strict=True)]
    return np.array(wide, dtype=np.int64)


def _laplace_slowly(scale: Fraction) -> int:
    """Return one discrete Laplace draw in Python integers, for parameters that int64 cannot hold."""
    t, s = scale.numerator, scale.denominator
    while True:
        low = secrets.randbelow(t)
        if not _LazyUniform().below_exp(Fraction(low, t)):
            continue
        high = 0
        while _LazyUniform().below_exp(Fraction(1)):
            high += 1
        magnitude, negative = (low + t * high) // s, bool(secrets.randbits(1))
        if not (negative and magnitude == 0):
            return -magnitude if negative else magnitude


def _gaussian_trials(sigma: Fraction, count: int) -> _Integers:
    """Run Algorithm 3 of Canonne, Kamath and Steinke (2020) ``count`` times and return the accepted draws.

    Y from the discrete Laplace of scale t = floor(sigma) + 1 is accepted with probability
    exp(-(|Y| - sigma^2/t)^2/(2 sigma^2)).
    """
    t = math.floor(sigma) + 1
    variance = sigma * sigma
    centre = variance / t
    drawn = _laplace_trials(Fraction(t), count)
    magnitude = np.abs(drawn)
    with np.errstate(over="ignore"):
        gamma = 0.5 * np.square((magnitude - float(centre)) / float(sigma))
    return drawn[_accepted(gamma, lambda i: (int(magnitude[i]) - centre) ** 2 / (2 * variance))]


def _accepted(gamma: _Reals, exact: Callable[[int], Fraction]) -> NDArray[np.bool_]:
    """Decide Bernoulli(exp(-g)) for every g; ``exact(i)`` is the rational number that ``gamma[i]`` rounds.

    Why the margin of 2^-44 suffices. Let u = 2^-53. For g = U/t the relative error of gamma is below 2 u, so
    that of exp(-g) is below 2 u g exp(-g) < u. For g = D^2/2 with D = (|Y| - m)/sigma, 0 < m <= sigma: the
    subtraction of the rounded |Y| and m is off by at most u (|Y| + m + |D| sigma) <= u sigma (2 |D| + 2), the
    division by the rounded sigma by 3 u |D|, hence D by u (5 |D| + 2) and gamma by u (6 D^2 + 2 |D|), and
    exp(-gamma) by u (6 D^2 + 2 |D|) exp(-D^2/2) < 6 u. The library's exp is off by a few u (numpy tests 4 u).
    In all less than 2^-49 absolute; where gamma or sigma^2 under- or overflows, exp(-gamma) is 0 or 1 beyond
    all these digits.
    """
    words = _words(gamma.size)
    with np.errstate(under="ignore"):
        probability = np.exp(-gamma)
    surely = words < _threshold(probability - _MARGIN)
    perhaps = (words <= _threshold(probability + _MARGIN)) | (probability + _MARGIN >= 1.0)
    for i in np.flatnonzero(perhaps & ~surely).tolist():
        surely[i] = _LazyUniform(int(words[i])).below_exp(exact(i))
    return surely


def _threshold(probability: _Reals) -> _Words:
    """Return probability times 2^64 as an integer; the rounding is far inside the margin."""
    return (np.clip(probability, 0.0, 1.0 - 2.0**-53) * _WORD).astype(np.uint64)


def _geometric(count: int) -> _Integers:
    """Return V with P[V >= k] = exp(-k): the integer part of -log U for a uniform U in (0, 1)."""
    words = _words(count)
    with np.errstate(divide="ignore"):
        most = -np.log(words / _WORD)
        least = -np.log((words + 1.0) / _WORD)
    # The margin is relative to 1 and to the value, while log and the sums above are good to a few units of
    # 2^-53.
    least, most = np.floor(least - _MARGIN * (1.0 + least)), np.floor(most + _MARGIN * (1.0 + most))
    settled = least == most
    values = np.where(settled, least, 0.0).astype(np.int64)
    for i in np.flatnonzero(~settled).tolist():
        uniform, k = _LazyUniform(int(words[i])), 0
        while uniform.below_exp(Fraction(k + 1)):
            k += 1
        values[i] = k
    return values


class _LazyUniform:
    """A uniform real number in [0, 1), known by as many bits as the questions asked of it need."""

    def __init__(self, word: int | None = None) -> None:
        self._value = secrets.randbits(64) if word is None else word
        self._bits = 64

    def below_exp(self, gamma: Fraction) -> bool:
        """Tell whether the number is below exp(-gamma), gamma >= 0 rational."""
        if gamma == 0:
            return True
        while True:
            low, high = _exp_enclosure(gamma, self._bits)
            if self._value + 1 <= low:
                return True
            if self._value >= high:
                return False
            self._value = (self._value << 64) | secrets.randbits(64)
            self._bits += 64


def _exp_enclosure(gamma: Fraction, bits: int) -> tuple[int, int]:
    """Return integers around 2^bits exp(-gamma), at most a few units apart.

    The decimal module rounds division as told and exp correctly, so one step outward makes both bounds sure.
    """
    digits = math.ceil(bits * math.log10(2.0)) + len(str(gamma.numerator // gamma.denominator)) + 10
    down = Context(prec=digits, rounding=ROUND_FLOOR, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
    up = Context(prec=digits, rounding=ROUND_CEILING, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
    numerator, denominator, scale = Decimal(gamma.numerator), Decimal(gamma.denominator), Decimal(2**bits)
    most = up.exp(down.divide(numerator, denominator).copy_negate()).next_plus(up)
    least = down.exp(up.divide(numerator, denominator).copy_negate()).next_minus(down)
    low = down.multiply(least, scale).to_integral_value(ROUND_FLOOR, context=down)
    high = up.multiply(most, scale).to_integral_value(ROUND_CEILING, context=up)
    return int(low), int(high)
