"""Coins of an exact probability, and what is made of them: subsampling masks and stochastic rounding."""

import math
from collections.abc import Callable
from fractions import Fraction
from numbers import Rational, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.dp.noise.exact import LazyUniform
from medcrypt.dp.noise.generator import Generator, words_of
from medcrypt.dp.noise.sampling import Integers, shape_of

__all__ = ["bernoulli", "bernoulli_exp", "poisson_sample", "round_stochastically"]

_Coins = NDArray[np.bool_]
_Words = NDArray[np.uint64]
_Reals = NDArray[np.float64]

_MARGIN = 2.0**-44
_WORD = 2.0**64
_LARGEST_ROUNDED = 2.0**62
_DOUBLE = 8  # bytes


def bernoulli(
    probability: float | Fraction, size: int | tuple[int, ...], *, generator: Generator | None = None
) -> _Coins:
    """Toss coins: true with exactly the rational probability that the float is.

    Parameters
    ----------
    probability
        0 to 1.
    size
        Shape of the result.
    generator
        For tests: a `ReproducibleGenerator`.

    Returns
    -------
    ndarray of bool
        Independent tosses.

    Raises
    ------
    TypeError, ValueError
        If it is no probability, or the size is no shape.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.bernoulli(1.0, 3).tolist()
    [True, True, True]
    """
    if isinstance(probability, bool) or not isinstance(probability, Real):
        raise TypeError(f"probability must be a real number, not {type(probability).__name__}")
    if not 0 <= probability <= 1:
        raise ValueError(f"probability must be from 0 to 1, not {probability}")
    shape = shape_of(size)
    exact = Fraction(probability) if isinstance(probability, Rational) else Fraction(float(probability))
    if exact == 1:
        return np.ones(shape, dtype=np.bool_)
    words = words_of(generator, math.prod(shape))
    threshold = math.floor(exact * 2**64)
    coins = words < np.uint64(threshold)
    if exact * 2**64 != threshold:
        _settle(coins, words, words == np.uint64(threshold), lambda _, u: u.below(exact), generator)
    words[:] = 0
    return coins.reshape(shape)


def poisson_sample(
    population: int, rate: float | Fraction, *, generator: Generator | None = None
) -> Integers:
    """Choose members of a population independently, each with exactly the given rate (Poisson subsampling).

    Parameters
    ----------
    population
        How many members there are.
    rate
        Sampling rate, 0 to 1: what `PoissonSampled` is told.
    generator
        For tests: a `ReproducibleGenerator`.

    Returns
    -------
    ndarray of int64
        Indices of those chosen, ascending; possibly none.

    Raises
    ------
    TypeError, ValueError
        If the rate is no probability or the population no count.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.poisson_sample(4, 1.0).tolist()
    [0, 1, 2, 3]
    """
    return np.flatnonzero(bernoulli(rate, (population,), generator=generator)).astype(np.int64)


def bernoulli_exp(gamma: ArrayLike, *, generator: Generator | None = None) -> _Coins:
    """Toss coins that are true with probability exp(-gamma), exactly.

    Parameters
    ----------
    gamma
        Not negative; every float is taken as the exact rational number that it is. Infinity gives false.
    generator
        For tests: a `ReproducibleGenerator`.

    Returns
    -------
    ndarray of bool
        Independent tosses, of the shape of gamma.

    Raises
    ------
    ValueError
        If a value is negative or NaN.

    Notes
    -----
    numpy's exp is good to a few units of 2^-53; within 2^-44 of it, exact decimal arithmetic decides.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.bernoulli_exp([0.0, float("inf")]).tolist()
    [True, False]
    """
    values = np.asarray(gamma, dtype=np.float64)
    if not (values >= 0.0).all():
        raise ValueError("gamma must not be negative or NaN")
    flat = values.ravel()
    words = words_of(generator, flat.size)
    with np.errstate(under="ignore"):
        probability = np.exp(-flat)
    coins = words < _threshold(probability - _MARGIN)
    perhaps = (words <= _threshold(probability + _MARGIN)) | (probability + _MARGIN >= 1.0)
    close = perhaps & ~coins & np.isfinite(flat)
    _settle(coins, words, close, lambda i, u: u.below_exp(Fraction(float(flat[i]))), generator)
    words[:] = 0
    return coins.reshape(values.shape)


def round_stochastically(values: ArrayLike, *, generator: Generator | None = None) -> Integers:
    """Round every real number to one of its two neighbours so that the mean is the number itself, exactly.

    Parameters
    ----------
    values
        Finite, below 2^62 in absolute value.
    generator
        For tests: a `ReproducibleGenerator`.

    Returns
    -------
    ndarray of int64
        floor(x) + 1 with probability x - floor(x), else floor(x).

    Raises
    ------
    TypeError
        If they are no integers or floats, or wider than 64 bits.
    ValueError
        If a value is not finite.
    OverflowError
        If a value is too large.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.noise.round_stochastically([-2.0, 3.0]).tolist()
    [-2, 3]
    """
    given = np.asarray(values)
    if given.dtype.kind not in "fiu" or given.dtype.itemsize > _DOUBLE:
        raise TypeError(f"the values must be integers or floats of at most 64 bits, not {given.dtype}")
    if given.dtype.kind in "iu":
        if given.size and max(int(given.max()), -int(given.min())) >= int(_LARGEST_ROUNDED):
            raise OverflowError("the values must be below 2**62")
        return given.astype(np.int64)
    reals = given.astype(np.float64, copy=False)
    if not np.isfinite(reals).all():
        raise ValueError("the values must be finite")
    if (np.abs(reals) >= _LARGEST_ROUNDED).any():
        raise OverflowError("the values must be below 2**62")
    flat = reals.ravel()
    floor = np.floor(flat)
    # Exact but for negative numbers of at most 2^-54, whose fraction rounds to 1.
    fraction = flat - floor
    scaled = np.floor(np.minimum(fraction, 1.0 - 2.0**-53) * _WORD)
    words = words_of(generator, flat.size)
    up = words < scaled.astype(np.uint64)
    close = ~up & (words <= (scaled + 2.0**12).clip(max=_WORD * (1.0 - 2.0**-53)).astype(np.uint64))
    close |= ~up & (fraction == 1.0)

    def above(i: int, uniform: LazyUniform) -> bool:
        return uniform.below(Fraction(float(flat[i])) - Fraction(float(floor[i])))

    _settle(up, words, close, above, generator)
    words[:] = 0
    return (floor.astype(np.int64) + up).reshape(reals.shape)


def _threshold(probability: _Reals) -> _Words:
    """Return probability times 2^64 as an integer; the rounding is far inside the margin."""
    return (np.clip(probability, 0.0, 1.0 - 2.0**-53) * _WORD).astype(np.uint64)


def _settle(
    coins: _Coins,
    words: _Words,
    close: _Coins,
    decide: Callable[[int, LazyUniform], bool],
    generator: Generator | None,
) -> None:
    """Decide in exact arithmetic where 64 bits were too few: the rare branch."""
    for i in np.flatnonzero(close).tolist():
        further = None if generator is None else generator.further(i)
        coins[i] = decide(i, LazyUniform(int(words[i]), further))
