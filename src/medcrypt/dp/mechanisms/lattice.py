"""Records onto the lattice: clip, scale, round toward zero, add as integers.

The lattice has a step g that is a power of two, so that dividing by it rounds nothing. A record x of clip C becomes
the integers trunc(f x / g) with a factor f <= 1. In floating point f is computed too small rather than too large,
and truncation only shrinks coordinates; so every record's integers have a norm of at most C/g *exactly*, and what one
record changes in a sum of integers is known without a word about rounding (Casacuberta et al. 2022 show what
happens to sums of floats).
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.dp.events import RELATIONS, _positive

__all__ = ["NORMS", "ClippedSum", "Integers", "Reals", "as_reals", "checked_shape", "power_of_two_below"]

Integers = NDArray[np.int64]
Reals = NDArray[np.float64]

NORMS = ("l1", "l2", "linf")

_TILE = 1 << 18  # numbers converted at a time
_CAPACITY = 2.0**61  # of a coordinate of a sum: the noise has as much again, and more
_UP = 1.0 + 2.0**-50
_DOWN = 1.0 - 2.0**-48
_LEAST = 1e-290  # below, products are subnormal and lose the bits that the factors' slack counts on


@dataclass(frozen=True)
class ClippedSum:
    """A sum of clipped records on a lattice, and how far one record moves it.

    Parameters
    ----------
    clip
        Largest norm C of a record; longer ones are scaled (in l1 and l2) or cut (in linf).
    norm
        The norm: "l1", "l2" or "linf".
    shape
        Shape of one record.
    neighbors
        The neighbouring relation: adding or removing a record moves the sum by C, replacing one by 2 C.
    granularity
        Step g of the lattice, a power of two of at most C. Both are at least 1e-290.
    """

    clip: float
    norm: str
    shape: tuple[int, ...]
    neighbors: str
    granularity: float

    def __post_init__(self) -> None:
        _positive("clip", self.clip)
        granularity = _positive("granularity", self.granularity)
        if self.norm not in NORMS:
            raise ValueError(f"norm must be one of {NORMS}, not {self.norm!r}")
        if self.neighbors not in RELATIONS:
            raise ValueError(f"neighbors must be one of {RELATIONS}, not {self.neighbors!r}")
        if min(self.clip, granularity) < _LEAST:
            raise ValueError(f"clip and granularity must be at least {_LEAST}: below, doubles lose precision")
        if math.frexp(granularity)[0] != 0.5:
            raise ValueError(f"granularity must be a power of two, not {granularity}")
        if granularity > self.clip:
            raise ValueError(
                f"granularity {granularity} is above the clip {self.clip}: every record would round to 0"
            )
        if self.clip / granularity > _CAPACITY:
            raise OverflowError("the clip does not fit in int64 at this granularity; choose a coarser one")

    @property
    def dimension(self) -> int:
        """Number of coordinates of a record."""
        return math.prod(self.shape)

    @property
    def l1_sensitivity(self) -> float:
        """Most that a record changes the sum in L1, rounded up."""
        factor = {"l1": 1.0, "l2": math.sqrt(self.dimension), "linf": float(self.dimension)}[self.norm]
        return self._moved(factor)

    @property
    def l2_sensitivity(self) -> float:
        """Most that a record changes the sum in L2, rounded up."""
        return self._moved(math.sqrt(self.dimension) if self.norm == "linf" else 1.0)

    def __call__(self, records: ArrayLike) -> Integers:
        """Return the sum over the first axis, in units of the granularity.

        Raises
        ------
        TypeError, ValueError
            If the records are no real numbers, not finite, or of another shape.
        OverflowError
            If that many records could leave int64.
        """
        values = as_reals(records)
        if values.ndim == 0 or values.shape[1:] != self.shape:
            raise ValueError(f"records must be of the shape (n, *{self.shape}), not {values.shape}")
        flat = values.reshape(len(values), self.dimension)
        if len(flat) * (self.clip / self.granularity) > _CAPACITY:
            raise OverflowError(
                "the sum of so many records might not fit in int64; use a coarser granularity"
            )
        total = np.zeros(self.dimension, dtype=np.int64)
        rows = max(1, _TILE // max(1, self.dimension))
        for start in range(0, len(flat), rows):
            total += self._integers(flat[start : start + rows]).sum(axis=0, dtype=np.int64)
        return total.reshape(self.shape)

    def _integers(self, flat: Reals) -> Integers:
        """Return each record's integers; their norm is at most C/g."""
        if self.norm == "linf" or self.dimension == 1:
            return self._truncated(np.clip(flat, -self.clip, self.clip))
        # Divided by its largest coordinate, no record is too long to be squared; what underflows is below 2^-1000.
        largest = np.abs(flat).max(axis=1, initial=0.0)
        with np.errstate(under="ignore", over="ignore"):
            direction = flat / np.where(largest > 0.0, largest, 1.0)[:, None]
            squares = np.einsum("ij,ij->i", direction, direction) if self.norm == "l2" else None
            lengths = np.abs(direction).sum(axis=1) if squares is None else np.sqrt(squares)
            norms = lengths * largest
        # Sums of d numbers are off by a factor within 1 +- (d + 2) 2^-53, in any order; `_DOWN` is for the rest.
        slack = (self.dimension + 16) * 2.0**-52
        longer = norms > self.clip * (1.0 - slack)
        factors = self.clip / (np.maximum(lengths, 1.0) * (1.0 + slack)) * _DOWN
        integers = self._truncated(np.where(longer[:, None], direction * factors[:, None], flat))
        # Whole numbers often lie exactly on the clip: where doubles cannot tell, integers can.
        close = np.flatnonzero(longer & (norms <= self.clip * (1.0 + slack)))
        if close.size:
            unscaled = self._truncated(flat[close])
            within = self._within(unscaled)
            integers[close[within]] = unscaled[within]
        return integers

    def _truncated(self, clipped: Reals) -> Integers:
        """Return numbers in steps of the lattice, rounded toward zero."""
        with np.errstate(under="ignore"):
            return np.trunc(clipped / self.granularity).astype(np.int64)

    def _within(self, integers: Integers) -> NDArray[np.bool_]:
        """Tell which rows, already close to the clip, have a norm of at most C/g exactly."""
        bound = Fraction(self.clip) / Fraction(self.granularity)
        power = 1 if self.norm == "l1" else 2
        # Python's integers where the sums of squares could leave int64.
        small = self.dimension * float(bound + 1) ** power < _CAPACITY
        exact = integers if small else integers.astype(object)
        return np.asarray((np.abs(exact) ** power).sum(axis=1) <= math.floor(bound**power), dtype=np.bool_)

    def _moved(self, factor: float) -> float:
        """Return the clip times a factor under the relation, rounded up."""
        exact = self.clip if factor == 1.0 else self.clip * factor * _UP
        return 2.0 * exact if self.neighbors == "replace_one" else exact


def as_reals(values: ArrayLike) -> Reals:
    """Return numbers as finite doubles, or refuse them."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"records must be real numbers, not {array.dtype}")
    with np.errstate(over="ignore"):
        reals = array.astype(np.float64)
    if not np.isfinite(reals).all():
        raise ValueError("records must be finite")
    return reals


def checked_shape(shape: object) -> tuple[int, ...]:
    """Return a shape of at least one element."""
    if isinstance(shape, bool) or not isinstance(shape, (int, tuple)):
        raise TypeError(f"shape must be an integer or a tuple of integers, not {type(shape).__name__}")
    sides = shape if isinstance(shape, tuple) else (shape,)
    if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) for n in sides):
        raise TypeError("shape must hold integers")
    if any(n < 1 for n in sides):
        raise ValueError(f"every side of the shape must be at least 1: {shape}")
    return tuple(int(n) for n in sides)


def power_of_two_below(value: float) -> float:
    """Return the largest power of two that is not above a positive number."""
    return math.ldexp(0.5, math.frexp(value)[1])
