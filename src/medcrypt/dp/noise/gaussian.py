"""Two Gaussians on the integers: the rounded one, which is post-processing of the Gaussian, and the discrete one."""

import math
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import overload

from medcrypt._ext.noise import Shape
from medcrypt.dp.noise.exact import WEIGHT_BITS, Cells, LazyUniform, exp_enclosure, exp_weight
from medcrypt.dp.noise.generator import Generator
from medcrypt.dp.noise.sampling import CellSampler, Integers, Sampler, Size, TableSampler, draw, low_bits_of
from medcrypt.dp.noise.scale import LARGEST_SCALE, exact_parameter

__all__ = [
    "LARGEST_ROUNDED_SIGMA",
    "discrete_gaussian",
    "discrete_gaussian_sampler",
    "rounded_gaussian",
    "rounded_gaussian_sampler",
]

LARGEST_ROUNDED_SIGMA = 2.0**40
"""Largest sigma of the rounded Gaussian: 64 bits of a real number still decide most roundings."""

_LARGEST_TABLE = 8  # sigma of the discrete Gaussian up to which the table is scanned as it is
_BASE = 4  # the same of the rounded one, and the width in cells that is scaled for larger sigma
_LEAST_WEIGHT = 1 << 46  # of 2^256: all that follow are below 2^-208 together
_DIGITS = Context(prec=110)
_FACTOR_BITS = 57


@overload
def discrete_gaussian(
    sigma: float | Fraction,
    size: None = None,
    *,
    out: None = None,
    generator: Generator | None = None,
) -> int: ...
@overload
def discrete_gaussian(
    sigma: float | Fraction,
    size: int | tuple[int, ...] | None = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> Integers: ...
def discrete_gaussian(
    sigma: float | Fraction,
    size: Size = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> int | Integers:
    """Draw from the discrete Gaussian: P[k] proportional to exp(-k^2/(2 sigma^2)) on the integers.

    The standard deviation is at most sigma, and equal to it for practical purposes from sigma = 1 on.

    Parameters
    ----------
    sigma
        Parameter, 0 < sigma <= 2^48, taken as the exact rational number that the float is.
    size
        Shape of the result, or None for one Python int.
    out
        Array of int64 to fill instead.
    generator
        For tests: a `ReproducibleGenerator`.

    Returns
    -------
    int or ndarray of int64
        Independent draws.

    Raises
    ------
    TypeError, ValueError
        If sigma is no finite positive number, the size is no shape, or `out` does not fit.
    OverflowError
        If sigma is above 2^48, before anything is drawn.

    Notes
    -----
    Canonne, Kamath and Steinke (2020) define it for privacy. Up to sigma = 8 its table is scanned; above, cells of 2^l
    integers are drawn as a discrete Gaussian of sigma/2^l, and the place in the cell is uniform and accepted with
    exp(-(x^2 - first^2)/(2 sigma^2)), as in Karney (2016).

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.discrete_gaussian(25.0, size=(2, 3)).shape
    (2, 3)
    """
    return draw(
        discrete_gaussian_sampler(exact_parameter("sigma", sigma, LARGEST_SCALE)), size, out, generator
    )


@overload
def rounded_gaussian(
    sigma: float | Fraction,
    size: None = None,
    *,
    out: None = None,
    generator: Generator | None = None,
) -> int: ...
@overload
def rounded_gaussian(
    sigma: float | Fraction,
    size: int | tuple[int, ...] | None = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> Integers: ...
def rounded_gaussian(
    sigma: float | Fraction,
    size: Size = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> int | Integers:
    """Draw from the Gaussian rounded to the nearest integer.

    P[k] = Phi((k + 1/2)/sigma) - Phi((k - 1/2)/sigma). Added to integers it is what rounding leaves of Gaussian noise
    added to them, so that the accounting of the Gaussian mechanism holds in any dimension.

    Parameters
    ----------
    sigma
        Standard deviation of the Gaussian, 0 < sigma <= 2^40, taken as the exact rational number that the float is.
    size
        Shape of the result, or None for one Python int.
    out
        Array of int64 to fill instead.
    generator
        For tests: a `ReproducibleGenerator`.

    Returns
    -------
    int or ndarray of int64
        Independent draws.

    Raises
    ------
    TypeError, ValueError
        If sigma is no finite positive number, the size is no shape, or `out` does not fit.
    OverflowError
        If sigma is above 2^40, before anything is drawn.

    Notes
    -----
    Up to sigma = 4 the table is scanned. Above, a real number of standard deviation 4 is drawn exactly (its integer
    part as a discrete Gaussian, its fraction uniform and accepted as in Karney (2016)), known by 64 bits and more
    where they do not decide, scaled by sigma/4 and rounded.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.rounded_gaussian(0.001, size=3).tolist()
    [0, 0, 0]
    """
    exact = exact_parameter("sigma", sigma, LARGEST_ROUNDED_SIGMA)
    return draw(rounded_gaussian_sampler(exact), size, out, generator)


@lru_cache(maxsize=64)
def discrete_gaussian_sampler(sigma: Fraction) -> Sampler:
    """Return the sampler of a parameter."""
    low_bits = low_bits_of(sigma) if sigma > _LARGEST_TABLE else 0
    width = sigma / (1 << low_bits)
    weights = _weights(width)
    if not low_bits:
        return TableSampler(Cells([weights[0] >> 1, *weights[1:]]))
    cells = Cells(weights)

    def accepts(first: int, value: int, uniform: LazyUniform) -> bool:
        return uniform.below_exp((value - first) * (value + first) / (2 * sigma * sigma))

    return CellSampler(cells, low_bits, accepts, lines=_lines(width))


@lru_cache(maxsize=64)
def rounded_gaussian_sampler(sigma: Fraction) -> Sampler:
    """Return the sampler of a standard deviation."""
    if sigma <= _BASE:
        return TableSampler(Cells(_rounded_weights(sigma)))
    return _RoundedSampler(sigma, _base_cells())


class _RoundedSampler:
    """A Gaussian of standard deviation 4, scaled and rounded."""

    def __init__(self, sigma: Fraction, cells: Cells) -> None:
        self._scale = sigma / _BASE
        self._cells = cells
        # sigma / 4 = factor / 2^point with a factor of 57 bits, rounded to nearest: the kernel knows its error.
        point = _FACTOR_BITS - math.floor(self._scale).bit_length()
        factor = round(self._scale * (1 << point))
        if factor >> _FACTOR_BITS:
            factor, point = factor >> 1, point - 1
        self.shape = Shape(cells.thresholds, lines=_lines(Fraction(_BASE)), factor=factor, point=point)
        self.distance = 2 * cells.distance  # at least half of the trials are accepted

    def decide(self, words: tuple[int, ...], further: Callable[[], int]) -> int | None:
        """Return what a trial gives in exact arithmetic, None for a rejection."""
        cell = self._cells.find(words[0] >> 1, further)
        fraction, uniform = LazyUniform(words[1], further), LazyUniform(words[2], further)
        while (accepted := _below_gaussian(cell, fraction, uniform)) is None:
            fraction.extend()
            uniform.extend()
        if not accepted:
            return None
        while (magnitude := self._rounded(cell, fraction)) is None:
            fraction.extend()
        return -magnitude if words[0] & 1 else magnitude

    def _rounded(self, cell: int, fraction: LazyUniform) -> int | None:
        """Round the scaled number, or return None when its known bits leave two integers."""
        ends = [
            math.floor(
                self._scale * (cell + Fraction(fraction.value + k, 1 << fraction.bits)) + Fraction(1, 2)
            )
            for k in (0, 1)
        ]
        return ends[0] if ends[0] == ends[1] else None


def _below_gaussian(cell: int, fraction: LazyUniform, uniform: LazyUniform) -> bool | None:
    """Tell whether a number is below exp(-(f^2 + 2 cell f)/32); None when the known bits leave both."""
    gammas = []
    for k in (0, 1):
        f = Fraction(fraction.value + k, 1 << fraction.bits)
        gammas.append(f * (f + 2 * cell) / (2 * _BASE * _BASE))
    low, high = exp_enclosure(gammas[1], uniform.bits)[0], exp_enclosure(gammas[0], uniform.bits)[1]
    if uniform.value + 1 <= low:
        return True
    return False if uniform.value >= high else None


def _weights(width: Fraction) -> list[int]:
    """Return 2^256 exp(-y^2/(2 width^2)) for y = 0, 1, ..., as far as it counts."""
    weights = [1 << WEIGHT_BITS]
    while weights[-1] >= _LEAST_WEIGHT:
        weights.append(exp_weight(len(weights) ** 2 / (2 * width * width)))
    return weights


@lru_cache(maxsize=1)
def _base_cells() -> Cells:
    """Return the cells of the Gaussian that every larger rounded one is scaled from."""
    return Cells(_weights(Fraction(_BASE)))


def _lines(width: Fraction) -> list[tuple[float, float]]:
    """Return the coefficients of ((y + f)^2 - y^2)/(2 width^2) in f, each as a line in y."""
    square = width * width
    return [(0.0, float(1 / square)), (float(1 / (2 * square)), 0.0)]


def _rounded_weights(sigma: Fraction) -> list[int]:
    """Return 2^256 P[|X| = k] of the rounded Gaussian for k = 0, 1, ..., as far as it counts."""
    tails = [1 << WEIGHT_BITS]
    while tails[-1] >= _LEAST_WEIGHT:
        tails.append(_erfc_weight((len(tails) - Fraction(1, 2)) / sigma))
    return [here - after for here, after in zip(tails, [*tails[1:], 0], strict=True)]


def _erfc_weight(z: Fraction) -> int:
    """Return 2^256 P[|Z| >= z] of the standard normal, to within 2^-80 of a unit of 2^-256 (110 digits).

    The series of erf has positive terms only: z^(2n+1) / (1 * 3 * ... * (2n+1)), times sqrt(2/pi) exp(-z^2/2).
    """
    if z * z > 2 * WEIGHT_BITS:
        return 0  # below exp(-256), less than 2^-369
    x = _DIGITS.divide(Decimal(z.numerator), Decimal(z.denominator))
    square = _DIGITS.multiply(x, x)
    term = total = x
    odd = 1
    while term.adjusted() > total.adjusted() - 108:
        odd += 2
        term = _DIGITS.divide(_DIGITS.multiply(term, square), Decimal(odd))
        total = _DIGITS.add(total, term)
    density = _DIGITS.multiply(
        _DIGITS.sqrt(_DIGITS.divide(Decimal(2), _pi())),
        _DIGITS.exp(_DIGITS.divide(square, Decimal(-2))),
    )
    tail = _DIGITS.subtract(Decimal(1), _DIGITS.multiply(density, total))
    return int(_DIGITS.multiply(tail, Decimal(1 << WEIGHT_BITS)))


@lru_cache(maxsize=1)
def _pi() -> Decimal:
    """Return pi to 110 digits by Machin's formula: 16 arctan(1/5) - 4 arctan(1/239)."""
    scale = 10**120

    def arctan_of_inverse(n: int) -> int:
        power, total, odd = scale // n, 0, 1
        while power:
            total += power // odd if odd % 4 == 1 else -(power // odd)
            power //= n * n
            odd += 2
        return total

    return _DIGITS.divide(Decimal(16 * arctan_of_inverse(5) - 4 * arctan_of_inverse(239)), Decimal(scale))
