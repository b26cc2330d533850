"""The discrete Laplace distribution, also called two-sided geometric."""

from fractions import Fraction
from functools import lru_cache
from typing import overload

from medcrypt.dp.noise.exact import Cells, LazyUniform, exp_weight
from medcrypt.dp.noise.generator import Generator
from medcrypt.dp.noise.sampling import CellSampler, Integers, Sampler, Size, TableSampler, draw
from medcrypt.dp.noise.scale import LARGEST_SCALE, exact_parameter

__all__ = ["discrete_laplace", "laplace_sampler"]

_LARGEST_TABLE = 2  # scale up to which the table of absolute values is scanned as it is
_LEAST_WEIGHT = 1 << 46  # of 2^256: all that follow are below 2^-208 together


@overload
def discrete_laplace(
    scale: float | Fraction,
    size: None = None,
    *,
    out: None = None,
    generator: Generator | None = None,
) -> int: ...
@overload
def discrete_laplace(
    scale: float | Fraction,
    size: int | tuple[int, ...] | None = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> Integers: ...
def discrete_laplace(
    scale: float | Fraction,
    size: Size = None,
    *,
    out: Integers | None = None,
    generator: Generator | None = None,
) -> int | Integers:
    """Draw from the discrete Laplace distribution: P[k] proportional to exp(-|k|/scale) on the integers.

    Parameters
    ----------
    scale
        Scale, 0 < scale <= 2^48, taken as the exact rational number that the float is.
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
        If the scale is no finite positive number, the size is no shape, or `out` does not fit.
    OverflowError
        If the scale is above 2^48, before anything is drawn.

    Notes
    -----
    The absolute value is geometric. Up to scale 2 it is drawn from its table; above, cells of 2^l integers are
    geometric, too, and the place in a cell is uniform and accepted with exp(-place/scale).

    Examples
    --------
    >>> from medcrypt import dp
    >>> isinstance(dp.noise.discrete_laplace(3.0), int)
    True
    """
    return draw(laplace_sampler(exact_parameter("scale", scale, LARGEST_SCALE)), size, out, generator)


@lru_cache(maxsize=64)
def laplace_sampler(scale: Fraction) -> Sampler:
    """Return the sampler of a scale."""
    low_bits = 0
    while scale > _LARGEST_TABLE << low_bits:
        low_bits += 1
    width = scale / (1 << low_bits)
    weights = [1 << 256]
    while weights[-1] >= _LEAST_WEIGHT:
        weights.append(exp_weight(len(weights) / width))
    if not low_bits:
        return TableSampler(Cells([weights[0] >> 1, *weights[1:]]))
    cells = Cells(weights)

    def accepts(first: int, value: int, uniform: LazyUniform) -> bool:
        return uniform.below_exp((value - first) / scale)

    return CellSampler(cells, low_bits, accepts, lines=[(float(1 / width), 0.0)])
