"""The mean of clipped records: one noisy vector that holds their sum and, where it is secret, their number."""

import math
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.dp import noise
from medcrypt.dp.events import Gaussian, _at_least, _positive
from medcrypt.dp.mechanisms.lattice import ClippedSum, Reals, as_reals, checked_shape, power_of_two_below

__all__ = ["MeanMechanism"]


class MeanMechanism:
    """The mean of records within a distance of a public centre, with Gaussian noise.

    Adding or removing a record changes the number of records, which is then as secret as they are: it is one more
    coordinate of the vector that gets the noise, with the clip as its unit, and the L2 sensitivity is the root of the
    two squares. Replacing a record keeps the number, which is public, and the sum alone gets the noise.

    Parameters
    ----------
    noise_multiplier
        Standard deviation divided by the L2 sensitivity, > 0.
    clip
        Largest distance of a record from the centre, > 0; farther ones are drawn in.
    shape
        Shape of one record; () for single numbers.
    center
        Public point around which records are clipped; broadcast to the shape.
    norm
        What the distance is: "l2", "l1" or "linf" (a range in every coordinate).
    neighbors
        The accountant's relation.

    Attributes
    ----------
    event : Gaussian
        What one release costs.
    draws, distance
        As for `AdditiveMechanism`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import dp
    >>> ages = np.array([34, 61, 47, 80, 55])
    >>> mechanism = dp.MeanMechanism(noise_multiplier=1e-6, clip=50.0, center=50.0)
    >>> float(mechanism.release(ages).round(2))
    55.4
    >>> mechanism.event
    Gaussian(noise_multiplier=1e-06)
    """

    def __init__(
        self,
        noise_multiplier: float,
        clip: float,
        *,
        shape: int | tuple[int, ...] = (),
        center: ArrayLike = 0.0,
        norm: str = "l2",
        neighbors: str = "add_or_remove_one",
    ) -> None:
        multiplier, clip = _positive("noise_multiplier", noise_multiplier), _positive("clip", clip)
        sides = checked_shape(shape)
        spread = 4.0 * multiplier * math.sqrt(math.prod(sides))  # bounds sigma in units of the clip
        step = power_of_two_below(clip / min(2.0**30, max(1.0, 2.0**38 / spread)))
        self._clipped = ClippedSum(clip, norm, sides, neighbors, step)
        self._center = np.broadcast_to(as_reals(center), sides).copy()
        self._counts = neighbors == "add_or_remove_one"
        self._unit = math.floor(clip / step) if self._counts else 0
        sensitivity = self._clipped.l2_sensitivity
        if self._counts:
            sensitivity = math.hypot(sensitivity, clip) * (1.0 + 2.0**-50)
        self._sigma = Fraction(multiplier) * Fraction(sensitivity) / Fraction(step)
        self.sensitivity = sensitivity
        self.granularity = step
        self.neighbors = neighbors
        self.event = Gaussian(multiplier)
        self.draws = self._clipped.dimension + self._counts
        self.distance = noise.distance("rounded_gaussian", self._sigma)

    def release(self, records: ArrayLike) -> Reals:
        """Return the noisy mean.

        Parameters
        ----------
        records
            Real numbers of shape ``(n, *shape)``, n >= 0; n >= 1 under "replace_one".

        Returns
        -------
        ndarray of float64
            Of the shape of a record. Where few records are expected, the noisy number of records may be near zero or
            below it; it is taken as at least 1.

        Raises
        ------
        TypeError, ValueError, OverflowError
            As for `GaussianMechanism.release`.
        """
        result: Reals = self.release_many(records, 1)[0]
        return result

    def release_many(self, records: ArrayLike, count: int) -> Reals:
        """Return ``count`` independent releases, each of which is to be accounted: for audits and simulations.

        Parameters
        ----------
        records, count
            The records, as for `release`, and how many releases.

        Returns
        -------
        ndarray of float64
            Array of shape ``(count, *shape)``.
        """
        values = as_reals(records)
        if values.ndim == 0 or (len(values) == 0 and not self._counts):
            raise ValueError("a mean needs records")
        total = self._clipped(as_reals(values - self._center))
        number = np.array([self._unit * len(values)] * self._counts, dtype=np.int64)  # else doubles come out
        noisy = np.append(total.ravel(), number)
        noisy = noisy + noise.rounded_gaussian(self._sigma, (_at_least(0, "count", count), noisy.size))
        numbers = np.maximum(noisy[:, -1] / self._unit, 1.0) if self._counts else float(len(values))
        sums = noisy[:, : self._clipped.dimension] * np.float64(self.granularity)
        means = (sums.T / numbers).T.reshape(-1, *self._clipped.shape)
        return np.asarray(means + self._center)

    def charge(self, epsilon: float, releases: int = 1) -> float:
        """Return the delta to add for draws that are not exactly of their law, as `AdditiveMechanism.charge`.

        Parameters
        ----------
        epsilon, releases
            Of the statement that the delta belongs to.

        Returns
        -------
        float
            See `noise.charge`.
        """
        return noise.charge(epsilon, self.draws * _at_least(0, "releases", releases), self.distance)

    def worst_neighbors(self) -> list[tuple[Reals, Reals]]:
        """Return pairs of neighbouring records that tell the mechanism apart best: for audits."""
        one = np.zeros((1, *self._clipped.shape))
        one.flat[0] = self._clipped.clip
        pairs = [(one, -one), (1e6 * one, -1e6 * one)]
        if self._counts:
            pairs = [(one, one[:0]), (1e6 * one, one[:0])]
        return [(self._center + first, self._center + second) for first, second in pairs]
