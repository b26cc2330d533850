"""Counts and histograms: one record falls in one bin."""

import math
from collections.abc import Hashable, Iterable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from medcrypt.dp import noise
from medcrypt.dp.events import RELATIONS, ApproximateDP, Event, _at_least, _positive, _real
from medcrypt.dp.mechanisms.additive import LaplaceMechanism
from medcrypt.dp.mechanisms.lattice import Integers

Label = str | bytes | int

__all__ = ["CountMechanism", "HistogramMechanism", "PrivateBinsMechanism"]


class HistogramMechanism:
    """How many records fall in each of some public bins, with discrete Laplace noise on every bin, empty ones included.

    One record changes one count by one; replacing it changes two counts. The event holds for all bins together.

    Parameters
    ----------
    bins
        The bins' labels, hashable and different: a public list, made without looking at the records. Records of
        other labels are not counted.
    scale
        Scale of the noise divided by the L1 sensitivity, > 0; one release is 1/scale-DP.
    neighbors
        The accountant's relation.

    Attributes
    ----------
    event : DiscreteLaplace
        What one release costs.
    draws, distance
        As for `AdditiveMechanism`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range, or a bin is given twice.

    Examples
    --------
    >>> from medcrypt import dp
    >>> mechanism = dp.HistogramMechanism(["CT", "MR", "US"], scale=1e-9)
    >>> mechanism.release(["CT", "CT", "MR", "XA"])
    {'CT': 2, 'MR': 1, 'US': 0}
    """

    def __init__(
        self, bins: Sequence[Hashable], scale: float, *, neighbors: str = "add_or_remove_one"
    ) -> None:
        self._places = {label: place for place, label in enumerate(bins)}
        if not self._places or len(self._places) != len(bins):
            raise ValueError("the bins must be different, and at least one")
        self._noise = LaplaceMechanism(scale, 1, shape=len(bins), neighbors=neighbors, granularity=1)
        self.event: Event = self._noise.event
        self.neighbors = neighbors
        self.draws, self.distance = self._noise.draws, self._noise.distance

    def release(self, records: Iterable[Hashable]) -> dict[Hashable, int]:
        """Return the noisy counts.

        Parameters
        ----------
        records
            Labels, one a record; any iterable.

        Returns
        -------
        dict
            A count for every bin, in the bins' order; possibly negative.
        """
        noisy = self._noise.release_sum(self._counts(records))
        return dict(zip(self._places, noisy.tolist(), strict=True))

    def release_many(self, records: Iterable[Hashable], count: int) -> Integers:
        """Return ``count`` independent releases, each of which is to be accounted: for audits and simulations.

        Parameters
        ----------
        records, count
            The labels, and how many releases.

        Returns
        -------
        ndarray of int64
            Array of shape (count, number of bins).
        """
        counts = self._counts(records)
        return counts + self._noise.release_many(np.zeros((0, len(counts))), count).astype(np.int64)

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
        return self._noise.charge(epsilon, releases)

    def worst_neighbors(self) -> list[tuple[list[Hashable], list[Hashable]]]:
        """Return pairs of neighbouring records that tell the mechanism apart best: for audits."""
        first, last = next(iter(self._places)), list(self._places)[-1]
        return [([first], [] if self.neighbors == "add_or_remove_one" else [last])]

    def _counts(self, records: Iterable[Hashable]) -> Integers:
        """Return the true counts."""
        counts = np.zeros(len(self._places), dtype=np.int64)
        for label in records:
            place = self._places.get(label)
            if place is not None:
                counts[place] += 1
        return counts


class CountMechanism:
    """How many records there are, with discrete Laplace noise.

    Parameters
    ----------
    scale
        Scale of the noise, > 0; one release is 1/scale-DP. The relation is adding or removing a record: replacing one
        leaves the number as it is.

    Attributes
    ----------
    event : DiscreteLaplace
        What one release costs.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.CountMechanism(scale=1e-9).release(["a", "b", "c"])
    3
    """

    neighbors = "add_or_remove_one"

    def __init__(self, scale: float) -> None:
        self._noise = LaplaceMechanism(scale, 1, granularity=1)
        self.event: Event = self._noise.event
        self.draws, self.distance = self._noise.draws, self._noise.distance

    def release(self, records: Sequence[object]) -> int:
        """Return the noisy number of records.

        Parameters
        ----------
        records
            Anything that has a length.

        Returns
        -------
        int
            Possibly negative.
        """
        return int(self._noise.release_sum(np.array(len(records), dtype=np.int64)))

    def release_many(self, records: Sequence[object], count: int) -> Integers:
        """Return ``count`` independent releases, each of which is to be accounted: for audits and simulations.

        Parameters
        ----------
        records, count
            The records, and how many releases.

        Returns
        -------
        ndarray of int64
            The releases.
        """
        return len(records) + self._noise.release_many([], count).astype(np.int64)

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
        return self._noise.charge(epsilon, releases)

    def worst_neighbors(self) -> list[tuple[list[object], list[object]]]:
        """Return pairs of neighbouring records that tell the mechanism apart best: for audits."""
        return [([None], [])]


class PrivateBinsMechanism:
    """A histogram whose bins are secret themselves: rare diagnoses, free-text sites.

    Only bins that occur get noise, and only those whose noisy count reaches a threshold are released, the others are
    not mentioned. A bin of one record is mentioned with probability at most delta (Korolova et al. 2009; Bun, Nissim
    and Stemmer 2016). Two neighbours differ by one in a bin that both have, at the cost 1/scale, or in a bin
    that only one has, at the cost delta; replacing a record does two such things, which add up.

    Parameters
    ----------
    scale
        Scale of the discrete Laplace noise on each count, > 0.
    delta
        Probability in (0, 1/2) with which a bin of one record may be mentioned: it sets the threshold.
    neighbors
        The accountant's relation.

    Attributes
    ----------
    event : ApproximateDP
        What one release costs.
    threshold : int
        Least count that is released.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> mechanism = dp.PrivateBinsMechanism(scale=2.0, delta=1e-8)
    >>> mechanism.threshold
    37
    >>> sorted(mechanism.release(["J18.9"] * 1000 + ["E75.2"]))
    ['J18.9']
    """

    def __init__(self, scale: float, delta: float, *, neighbors: str = "add_or_remove_one") -> None:
        self._scale, delta = _positive("scale", scale), _real("delta", delta)
        if not 0.0 < delta < 0.5:
            raise ValueError(f"delta must lie in (0, 1/2), not {delta}")
        if neighbors not in RELATIONS:
            raise ValueError(f"neighbors must be one of {RELATIONS}, not {neighbors!r}")
        self.neighbors = neighbors
        # 1 + Z reaches the threshold m + 1 with probability P[Z >= m] = r^m / (1 + r), r = exp(-1/scale).
        at_zero = 1.0 + math.exp(-1.0 / self._scale)
        above = max(1, math.ceil(-self._scale * math.log(delta * at_zero)))
        self.threshold = above + 1
        mentioned = math.exp(-above / self._scale) / at_zero * (1.0 + 1e-12)
        bins = 1 if neighbors == "add_or_remove_one" else 2
        epsilon = float(1 / Fraction(self._scale)) * (1.0 + 2.0**-50)
        self.event: Event = ApproximateDP(bins * epsilon, min(bins * mentioned, 1.0 - 2.0**-53))
        self.distance = noise.distance("discrete_laplace", self._scale)

    def release(self, records: Iterable[Label | np.generic]) -> dict[Any, int]:
        """Return the noisy counts that reach the threshold.

        Parameters
        ----------
        records
            Labels, one a record; any iterable. All are str, all bytes or all int, and no subclass of these;
            strings, bytes and integers of numpy count as Python's. Which of the three is part of the public schema.

        Returns
        -------
        dict
            From labels to counts, sorted by label.

        Raises
        ------
        TypeError
            If labels are of another type or of different types. Labels that are equal and yet differ (1 and True, 0.0
            and -0.0) would tell who came first.
        """
        labels, true = self._counts(records)
        noisy = true + noise.discrete_laplace(self._scale, len(labels))
        return {
            label: count
            for label, count in zip(labels, noisy.tolist(), strict=True)
            if count >= self.threshold
        }

    def release_many(self, records: Iterable[Label | np.generic], count: int) -> Integers:
        """Return what ``count`` independent releases look like, each of which is to be accounted: for audits.

        Parameters
        ----------
        records, count
            The records, as for `release`, and how many releases.

        Returns
        -------
        ndarray of int64
            Array of shape (count, 2): how many bins are mentioned, and how many records they have together.
        """
        _, true = self._counts(records)
        noisy = true + noise.discrete_laplace(self._scale, (_at_least(0, "count", count), true.size))
        mentioned = noisy >= self.threshold
        return np.stack([mentioned.sum(axis=1), (noisy * mentioned).sum(axis=1)], axis=1)

    def worst_neighbors(self) -> list[tuple[list[Label | np.generic], list[Label | np.generic]]]:
        """Return pairs of neighbouring records that tell the mechanism apart well: for audits.

        One record takes a bin to the threshold, or is alone in its bin; replaced, it does both.
        """
        others: list[Label | np.generic] = ["common"] * (self.threshold - 1)
        if self.neighbors == "replace_one":
            return [([*others, "common"], [*others, "rare"])]
        return [([*others, "common"], others), (["rare"], [])]

    def _counts(self, records: Iterable[Label | np.generic]) -> tuple[list[Any], Integers]:
        """Return the labels that occur, sorted, and how many records have each."""
        counts: dict[Any, int] = {}
        types = set()
        for record in records:
            label = _plain_label(record)
            types.add(type(label))
            counts[label] = counts.get(label, 0) + 1
        if len(types) > 1:
            raise TypeError("the labels of a release must be all str, all bytes or all int")
        labels = sorted(counts)
        return labels, np.array([counts[label] for label in labels], dtype=np.int64)

    def charge(self, epsilon: float, draws: int) -> float:
        """Return the delta to add for draws that are not exactly of their law.

        Parameters
        ----------
        epsilon
            Of the statement that the delta belongs to.
        draws
            A public bound on the number of different bins of all releases: each takes one draw.

        Returns
        -------
        float
            See `noise.charge`.
        """
        return noise.charge(epsilon, _at_least(0, "draws", draws), self.distance)


def _plain_label(label: object) -> Label:
    """Return a label as Python's own str, bytes or int, of which equal ones cannot be told apart."""
    if type(label) is str or type(label) is bytes or type(label) is int:
        return label
    if isinstance(label, np.str_):
        return str(label)
    if isinstance(label, np.bytes_):
        return bytes(label)
    if isinstance(label, np.integer):
        return int(label)
    raise TypeError(f"a label must be a str, bytes or int, not {type(label).__name__}")
