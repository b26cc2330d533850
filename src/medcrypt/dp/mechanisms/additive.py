"""Integer noise added to clipped sums: what is drawn, and the event that says what it costs."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.dp import noise
from medcrypt.dp.distributed import distributed_skellam
from medcrypt.dp.events import (
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    Skellam,
    ZeroConcentratedDP,
    _at_least,
    _positive,
)
from medcrypt.dp.mechanisms.lattice import ClippedSum, Integers, Reals, checked_shape, power_of_two_below

__all__ = ["AdditiveMechanism", "GaussianMechanism", "LaplaceMechanism", "SkellamMechanism"]

_STEPS_OF_A_CLIP = 2.0**30  # by default
_LISTED = 4096  # sensitivity in steps up to which a scalar's loss is accounted point by point
_UP = 1.0 + 2.0**-50


class AdditiveMechanism(ABC):
    """A sum of clipped records plus integer noise on a lattice; see its three children.

    Attributes
    ----------
    event : Event
        What one release costs, under `neighbors`: what an accountant composes.
    sensitivity : float
        Most that a record moves the sum, in the norm that the noise is scaled to (L2, or L1 for Laplace): derived from
        the clip, in the records' units.
    distribution : str
        Law of the noise, as `noise.distance` names it.
    parameter : Fraction
        Its sigma, scale or variance in steps of the lattice, exactly.
    granularity : float
        Step of the lattice. Each record's coordinates are rounded toward zero to it, so a sum of n records is too
        small by less than n steps in absolute value.
    draws : int
        Integers drawn for one release.
    distance : float
        Bound tau of the total-variation distance of one draw from its law.
    """

    event: Event
    sensitivity: float

    distribution: str
    _draw: Callable[..., Any]

    def __init__(self, clipped: ClippedSum, parameter: Fraction, *, whole: bool) -> None:
        self._clipped = clipped
        self.parameter = parameter
        self._whole = whole
        self.granularity = clipped.granularity
        self.neighbors = clipped.neighbors
        self.clip = clipped.clip
        self.norm = clipped.norm
        self.shape = clipped.shape
        self.draws = clipped.dimension
        self.distance = noise.distance(
            self.distribution, parameter
        )  # refuses a parameter too large for int64

    def __repr__(self) -> str:
        return f"{type(self).__name__}(event={self.event!r}, clip={self.clip!r}, norm={self.norm!r})"

    @property
    @abstractmethod
    def standard_deviation(self) -> float:
        """Standard deviation of the noise of one coordinate, in the records' units."""

    def release(self, records: ArrayLike) -> Reals | Integers:
        """Return the noisy sum of the clipped records: one release, to be accounted as `event`.

        Parameters
        ----------
        records
            Real numbers of shape ``(n, *shape)``: one record a row, n >= 0.

        Returns
        -------
        ndarray
            Array of the shape of a record: int64 where the granularity was given as the int 1, otherwise float64.

        Raises
        ------
        TypeError, ValueError
            If the records are no real numbers, not finite (NaN included), or of another shape.
        OverflowError
            If the sum could leave int64. Nothing has been drawn then.

        Examples
        --------
        >>> from medcrypt import dp
        >>> mechanism = dp.GaussianMechanism(noise_multiplier=1e-9, clip=1.0, shape=2)
        >>> mechanism.release([[3.0, 4.0], [0.0, 0.5]]).round(6).tolist()
        [0.6, 1.3]
        """
        return self.release_sum(self.lattice_sum(records))

    def lattice_sum(self, records: ArrayLike) -> Integers:
        """Return the exact sum of the clipped records in steps of the lattice, which is not private.

        Parameters
        ----------
        records
            As for `release`.

        Returns
        -------
        ndarray of int64
            Array of the shape of a record.
        """
        return self._clipped(records)

    def release_many(self, records: ArrayLike, count: int) -> Reals | Integers:
        """Return ``count`` independent releases, each of which is to be accounted: for audits and simulations.

        Parameters
        ----------
        records
            As for `release`.
        count
            How many.

        Returns
        -------
        ndarray
            Array of shape ``(count, *shape)``.
        """
        drawn = self._draw(self.parameter, (_at_least(0, "count", count), *self.shape))
        return self._scaled(self.lattice_sum(records) + drawn)

    def release_sum(self, total: Integers) -> Reals | Integers:
        """Return a sum of integers of bounded sensitivity, in steps of the lattice, plus noise."""
        noisy = np.empty(self.shape, dtype=np.int64)
        self._draw(self.parameter, None, out=noisy)
        noisy += total
        return self._scaled(noisy)

    def charge(self, epsilon: float, releases: int = 1) -> float:
        """Return the delta to add for draws that are not exactly of their law: (1 + e^epsilon) draws distance.

        Parameters
        ----------
        epsilon
            Of the statement that the delta belongs to.
        releases
            How many releases.

        Returns
        -------
        float
            See `noise.charge`.

        Examples
        --------
        >>> from medcrypt import dp
        >>> dp.LaplaceMechanism(scale=1.0, clip=1.0).charge(epsilon=1.0, releases=1000) < 1e-25
        True
        """
        return noise.charge(epsilon, self.draws * _at_least(0, "releases", releases), self.distance)

    def worst_neighbors(self) -> list[tuple[Reals, Reals]]:
        """Return pairs of neighbouring records that tell the mechanism apart best: for audits.

        The difference lies along one coordinate, along all of them, and comes once from a record far outside the
        clip. Under "replace_one" the record is replaced by its opposite.
        """
        one = np.zeros((1, *self.shape))
        one.flat[0] = self.clip
        records = [one, np.full((1, *self.shape), self.clip), 1e6 * one]
        if self.neighbors == "add_or_remove_one":
            return [(record, record[:0]) for record in records]
        return [(record, -record) for record in records]

    def _scaled(self, lattice: Integers) -> Reals | Integers:
        """Return integers of the lattice in the records' units."""
        if self._whole:
            return lattice
        return lattice * np.float64(self.granularity)


class GaussianMechanism(AdditiveMechanism):
    """Gaussian noise on a sum of clipped records.

    By default the noise is a rounded Gaussian: added to integers it is what rounding leaves of the Gaussian mechanism,
    so the event is `Gaussian`, exact up to that rounding, in any dimension. The discrete Gaussian's event is
    `DiscreteGaussian` for one number of few steps, and a zCDP bound for vectors: it is not dominated by the Gaussian
    (Canonne, Kamath and Steinke 2020).

    Parameters
    ----------
    noise_multiplier
        Standard deviation divided by the L2 sensitivity, > 0.
    clip
        Largest norm of a record, > 0: the sensitivity follows from it.
    shape
        Shape of one record; () for single numbers.
    norm
        What is clipped: "l2", "l1" (L2 sensitivity: the clip) or "linf" (clip times the root of the dimension).
    neighbors
        The accountant's relation. Replacing a record moves the sum by twice the clip, so the noise is twice as large
        for the same multiplier.
    granularity
        Step of the lattice, a power of two; by default about clip/2^30. The int 1, for counts and whole numbers, makes
        the result int64.
    law
        "rounded" or "discrete".

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.
    OverflowError
        If the noise, in steps, would be above 2^40 (rounded) or 2^48 (discrete).

    Examples
    --------
    >>> from medcrypt import dp
    >>> mechanism = dp.GaussianMechanism(noise_multiplier=2.0, clip=1.5, shape=(4,))
    >>> accountant = dp.Accountant().compose(mechanism.event)
    >>> mechanism.release([[0.1, 0.2, 0.3, 0.4], [1.0, 1.0, 1.0, 1.0]]).shape
    (4,)
    >>> round(accountant.epsilon(1e-5), 4)
    1.9931
    """

    def __init__(
        self,
        noise_multiplier: float,
        clip: float,
        *,
        shape: int | tuple[int, ...] = (),
        norm: str = "l2",
        neighbors: str = "add_or_remove_one",
        granularity: float | None = None,
        law: str = "rounded",
    ) -> None:
        multiplier = _positive("noise_multiplier", noise_multiplier)
        if law not in ("rounded", "discrete"):
            raise ValueError(f"law must be 'rounded' or 'discrete', not {law!r}")
        step = _default_granularity(clip, multiplier, noise.LARGEST_ROUNDED_SIGMA / 4.0, granularity, shape)
        clipped = ClippedSum(clip, norm, checked_shape(shape), neighbors, step)
        self.noise_multiplier = multiplier
        self.sensitivity = clipped.l2_sensitivity
        self.distribution = f"{law}_gaussian"
        self._draw = noise.rounded_gaussian if law == "rounded" else noise.discrete_gaussian
        sigma = Fraction(multiplier) * Fraction(self.sensitivity) / Fraction(step)
        if law == "discrete":
            sigma = Fraction(float(sigma))
        super().__init__(clipped, sigma, whole=_is_one(granularity))
        self.event = Gaussian(multiplier) if law == "rounded" else self._discrete_event(float(sigma))

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the noise of one coordinate, in the records' units."""
        return self.noise_multiplier * self.sensitivity

    def _discrete_event(self, sigma: float) -> Event:
        """Return the event of discrete Gaussian noise (Canonne, Kamath and Steinke 2020, Theorem 4)."""
        steps = self.sensitivity / self.granularity
        if self.draws == 1 and 1.0 <= steps <= _LISTED:
            return DiscreteGaussian(sigma, math.floor(steps))
        return ZeroConcentratedDP(0.5 * (steps / sigma) ** 2 * _UP)


class LaplaceMechanism(AdditiveMechanism):
    """Discrete Laplace noise on a sum of clipped records.

    The event holds in any dimension under the L1 sensitivity: noise on several coordinates tells no more than
    noise on one that moves by the sum of their moves (the proof is in the documentation, "Mechanisms").
    Up to 4096 steps it is the exact `DiscreteLaplace`; for finer lattices `Laplace`, whose noise is made larger by two
    steps of the lattice to dominate the discrete law.

    Parameters
    ----------
    scale
        Scale of the noise divided by the L1 sensitivity, > 0; one release is 1/scale-DP.
    clip
        Largest norm of a record, > 0: the sensitivity follows from it.
    shape, neighbors, granularity
        As for `GaussianMechanism`.
    norm
        What is clipped: "l1", "l2" (L1 sensitivity: clip times the root of the dimension) or "linf" (clip times the
        dimension).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.
    OverflowError
        If the scale, in steps, would be above 2^48.

    Examples
    --------
    >>> from medcrypt import dp
    >>> mechanism = dp.LaplaceMechanism(scale=2.0, clip=1, granularity=1)
    >>> mechanism.event
    DiscreteLaplace(scale=2.0, sensitivity=1)
    >>> type(mechanism.release([1, 0, 1, 1])).__name__, mechanism.release([1, 0, 1, 1]).dtype
    ('ndarray', dtype('int64'))
    """

    distribution = "discrete_laplace"

    def __init__(
        self,
        scale: float,
        clip: float,
        *,
        shape: int | tuple[int, ...] = (),
        norm: str = "l1",
        neighbors: str = "add_or_remove_one",
        granularity: float | None = None,
    ) -> None:
        multiple = _positive("scale", scale)
        step = _default_granularity(clip, multiple, noise.LARGEST_SCALE / 4.0, granularity, shape)
        clipped = ClippedSum(clip, norm, checked_shape(shape), neighbors, step)
        self.scale = multiple
        self.sensitivity = clipped.l1_sensitivity
        self._draw = noise.discrete_laplace
        # Integers in L1 differ by an integer.
        steps = math.floor(Fraction(self.sensitivity) / Fraction(step))
        if steps <= _LISTED:
            parameter = Fraction(multiple * steps)
            self.event = DiscreteLaplace(float(parameter), steps)
        else:
            parameter = Fraction(multiple) * (steps + 2)
            self.event = Laplace(multiple)
        super().__init__(clipped, parameter, whole=_is_one(granularity))

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the noise of one coordinate, in the records' units."""
        half = 0.5 / float(self.parameter)
        return self.granularity / (math.sqrt(2.0) * math.sinh(half)) if half < 700.0 else 0.0


class SkellamMechanism(AdditiveMechanism):
    """Skellam noise on a sum of clipped records: for noise whose parts many parties add.

    One number of few steps has the exact event `Skellam`; a vector has a bound on its Rényi divergences (Agarwal,
    Kairouz and Liu 2021, Theorem 3.5), a `RenyiCurve`.

    Parameters
    ----------
    noise_multiplier
        Standard deviation divided by the L2 sensitivity, > 0.
    clip
        Largest norm of a record, > 0: the sensitivity follows from it.
    shape, norm, neighbors, granularity
        As for `GaussianMechanism`; the granularity is by default about clip/2^10, since tables of wide Skellam
        laws take long to make.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.
    OverflowError
        If the variance, in squared steps, would be above 2^40.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.SkellamMechanism(noise_multiplier=4.0, clip=2, granularity=1).event
    Skellam(variance=64.0, sensitivity=2)
    """

    distribution = "skellam"

    def __init__(
        self,
        noise_multiplier: float,
        clip: float,
        *,
        shape: int | tuple[int, ...] = (),
        norm: str = "l2",
        neighbors: str = "add_or_remove_one",
        granularity: float | None = None,
    ) -> None:
        multiplier = _positive("noise_multiplier", noise_multiplier)
        step = _default_granularity(clip, multiplier, 2.0**14, granularity, shape, steps=2.0**10)
        clipped = ClippedSum(clip, norm, checked_shape(shape), neighbors, step)
        self.noise_multiplier = multiplier
        self.sensitivity = clipped.l2_sensitivity
        self._draw = noise.skellam
        steps = self.sensitivity / step
        variance = (multiplier * steps) ** 2
        super().__init__(clipped, Fraction(variance), whole=_is_one(granularity))
        if self.draws == 1 and steps <= _LISTED:
            self.event = Skellam(variance, math.floor(steps))
        else:
            self.event = distributed_skellam(variance, 1, steps, self.draws)

    @property
    def standard_deviation(self) -> float:
        """Standard deviation of the noise of one coordinate, in the records' units."""
        return math.sqrt(self.parameter) * self.granularity


def _is_one(granularity: object) -> bool:
    """Tell whether whole numbers were asked for."""
    return isinstance(granularity, Integral) and granularity == 1


def _default_granularity(
    clip: float,
    multiplier: float,
    largest: float,
    granularity: float | None,
    shape: int | tuple[int, ...],
    *,
    steps: float = _STEPS_OF_A_CLIP,
) -> float:
    """Return the step asked for, or the finest that leaves the noise below its largest parameter."""
    if granularity is not None:
        return _positive("granularity", granularity)
    spread = multiplier * 2.0 * math.prod(checked_shape(shape))  # bounds every noise in units of the clip
    fitting = min(steps, max(1.0, largest / spread))
    return power_of_two_below(_positive("clip", clip) / fitting)
