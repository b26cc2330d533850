"""The Skellam distribution: the difference of two Poisson numbers of equal mean, closed under sums."""

import math
from collections.abc import Iterable
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache
from typing import overload

import numpy as np

from medcrypt.dp.noise.exact import Cells, LazyUniform
from medcrypt.dp.noise.generator import Generator
from medcrypt.dp.noise.sampling import CellSampler, Integers, Sampler, Size, TableSampler, draw, low_bits_of
from medcrypt.dp.noise.scale import exact_parameter

__all__ = ["LARGEST_VARIANCE", "parts_of", "skellam", "skellam_sampler"]

LARGEST_VARIANCE = 2.0**40
"""Largest variance of a Skellam draw."""

_WHOLE_VARIANCE = 1 << 30  # above it, a draw is the sum of equal parts: closed under sums
_LARGEST_TABLE = 8  # standard deviation up to which the table is scanned as it is
_VANISHING = Fraction(1, 1 << 220)  # below it, all but this much of the distribution is at 0
_DEPTH = 440  # the recurrence starts where the weights are below 2^-440 of all
_START_BITS = 320
_MOST_COEFFICIENTS = 9
_DIGITS = Context(prec=45)


@overload
def skellam(
    variance: float | Fraction,
    size: None = None,
    *,
    out: None = None,
    generator: Generator | None = None,
) -> int: ...
@overload
def skellam(
    variance: float | Fraction,
    size: int | tuple[int, ...] | None = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> Integers: ...
def skellam(
    variance: float | Fraction,
    size: Size = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> int | Integers:
    """Draw from the Skellam distribution of mean 0: P[k] = exp(-v) I_k(v), v the variance.

    Parameters
    ----------
    variance
        v, 0 < v <= 2^40, taken as the exact rational number that the float is: the difference of two Poisson numbers of
        mean v/2. The sum of independent draws is a Skellam draw of the summed variance.
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
        If the variance is no finite positive number, the size is no shape, or `out` does not fit.
    OverflowError
        If the variance is above 2^40, before anything is drawn.

    Notes
    -----
    The weights I_k(v) come from the recurrence I_{k-1} = I_{k+1} + (2 k/v) I_k downwards (Miller's algorithm) in
    integers. Up to a standard deviation of 8 their table is scanned. Above, cells of 2^l integers are drawn, the
    place in the cell is uniform, and accepted with the ratio of two weights, which the kernel computes as exp of
    minus a polynomial of the cell through exact values. The first draw of a variance makes its tables, in a time that
    grows with the standard deviation: about 10 ms at 10^3, half a second at 3 10^4. A variance above 2^30 is
    drawn as the sum of equal parts.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.skellam(10.0, size=(2, 3)).dtype
    dtype('int64')
    """
    exact = exact_parameter("variance", variance, LARGEST_VARIANCE)
    parts = parts_of(exact)
    sampler = skellam_sampler(exact / parts)
    drawn = draw(sampler, size, out, generator)
    if parts == 1:
        return drawn
    if isinstance(drawn, int):
        return drawn + sum(int(skellam(exact / parts, generator=generator)) for _ in range(parts - 1))
    part = np.empty_like(drawn)
    for _ in range(parts - 1):
        draw(sampler, None, part, generator)
        drawn += part
    part[...] = 0
    return drawn


def parts_of(variance: Fraction) -> int:
    """Return how many draws of equal variance make one of this variance."""
    return max(1, math.ceil(variance / _WHOLE_VARIANCE))


@lru_cache(maxsize=64)
def skellam_sampler(variance: Fraction) -> Sampler:
    """Return the sampler of a variance up to 2^30."""
    if variance < _VANISHING:
        return TableSampler(Cells([1]))
    sigma = math.sqrt(variance)
    low_bits = low_bits_of(sigma) if sigma > _LARGEST_TABLE else 0
    last = _last_order(variance)
    if not low_bits:
        values = bessel_values(variance, range(last + 1))
        return TableSampler(Cells([values[0] >> 1, *(values[k] for k in range(1, last + 1))]))
    width = 1 << low_bits
    firsts = range(0, last - width, width)
    places = _places(variance, width)
    values = bessel_values(variance, {first + place for first in firsts for place in (0, *places)})
    cells = Cells([values[first] for first in firsts])
    rows = [
        _coefficients([-_log_ratio(values[first + place], values[first]) for place in places], places, width)
        for first in firsts[: len(cells.thresholds) + 1]
    ]

    def accepts(first: int, value: int, uniform: LazyUniform) -> bool:
        exact = bessel_values(variance, {first, value})
        return uniform.below(Fraction(exact[value], exact[first]))

    return CellSampler(cells, low_bits, accepts, slopes=list(zip(*rows, strict=True)))


def bessel_values(variance: Fraction, orders: Iterable[int]) -> dict[int, int]:
    """Return I_k(variance), times a constant of no interest, for some orders k.

    Downwards the recurrence is stable: what the start I_{K+1} = 0 misses is multiplied by (I_K/I_k)^2, and every
    step rounds off less than 2^-320 of the value.
    """
    wanted = set(orders)
    above, here = 0, 1 << _START_BITS
    start = _last_order(variance)
    numerator, denominator = variance.numerator, 2 * variance.denominator
    values = {start: here} if start in wanted else {}
    for k in range(start, 0, -1):
        above, here = here, above + k * denominator * here // numerator
        if k - 1 in wanted:
            values[k - 1] = here
    return values


def _last_order(variance: Fraction) -> int:
    """Return an order k with P[X >= k] < 2^-440.

    By Chernoff's bound exp(-v h(k/v)) with h(x) = x asinh(x) - sqrt(1 + x^2) + 1.
    """
    v = float(variance)

    def depth(k: int) -> float:
        x = k / v
        # sqrt(1 + x^2) - 1 without cancellation
        return v * x * (math.asinh(x) - x / (1.0 + math.hypot(1.0, x))) / math.log(2.0)

    high = 2
    while depth(high) < _DEPTH:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if depth(middle) < _DEPTH else (low, middle)
    return high


def _places(variance: Fraction, width: int) -> list[int]:
    """Return the places in a cell, beside the first, that its polynomial goes through.

    log I_k(v) is analytic in k where |Re k|, |Im k| < v/2 around a cell, and there below 0.2 v. Between n + 1 Chebyshev
    nodes on a cell of w integers the polynomial is off by less than 0.4 v (w/(2 v))^(n + 1), by Cauchy's bound for the
    derivative; n is chosen to bring that below 2^-50. Cells so small that two nodes would be the same integer are
    interpolated at all their integers, which is exact.
    """
    v, count = float(variance), 1
    while 0.4 * v * (width / (2.0 * v)) ** (count + 1) > 2.0**-50:
        count += 1
    count = min(count, width - 1, _MOST_COEFFICIENTS)
    chebyshev = (0.5 - 0.5 * math.cos(math.pi * (2 * i + 1) / (2 * count)) for i in range(count))
    nodes = sorted({min(width - 1, max(1, round(width * x))) for x in chebyshev})
    return nodes if len(nodes) == count else list(range(1, width))


def _log_ratio(value: int, first: int) -> Decimal:
    """Return log(value / first) to about 40 digits."""
    return _DIGITS.ln(_DIGITS.divide(Decimal(value), Decimal(first)))


def _coefficients(values: list[Decimal], places: list[int], width: int) -> list[float]:
    """Return c_1, c_2, ... of the polynomial f (c_1 + f (c_2 + ...)) through the values at f = place/width.

    Newton's divided differences of value/f, expanded from the last.
    """
    nodes = [_DIGITS.divide(Decimal(place), Decimal(width)) for place in places]
    table = [_DIGITS.divide(value, node) for value, node in zip(values, nodes, strict=True)]
    for step in range(1, len(nodes)):
        for i in range(len(nodes) - 1, step - 1, -1):
            rise = _DIGITS.subtract(table[i], table[i - 1])
            table[i] = _DIGITS.divide(rise, _DIGITS.subtract(nodes[i], nodes[i - step]))
    expanded = [table[-1]]
    for node, value in zip(reversed(nodes[:-1]), reversed(table[:-1]), strict=True):
        shifted = [Decimal(0), *expanded]
        for i, coefficient in enumerate(expanded):
            shifted[i] = _DIGITS.subtract(shifted[i], _DIGITS.multiply(coefficient, node))
        shifted[0] = _DIGITS.add(shifted[0], value)
        expanded = shifted
    return [float(c) for c in expanded]
