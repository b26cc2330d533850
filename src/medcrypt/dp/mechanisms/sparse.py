"""The sparse vector technique: many questions, of which only the few answered "above" cost anything."""

import math
import threading
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.dp import noise
from medcrypt.dp.events import PureDP, _at_least, _positive, _real
from medcrypt.dp.mechanisms.lattice import ClippedSum, Integers, power_of_two_below
from medcrypt.errors import BudgetError

__all__ = ["SparseVector"]


class SparseVector:
    """Tell of a stream of clipped sums which are above a threshold, until a number of them were.

    With D the sensitivity, the threshold gets discrete Laplace noise of scale 2 D/epsilon, and every question fresh
    noise of scale 4 c D/epsilon, c the number of answers "above". Then all answers together are epsilon-DP, and
    answers "below" are free (Lyu, Su and Li 2017, Algorithm 1 and Theorem 2). Their proof shifts the noise of the
    threshold by D and that of an answer by 2 D, which are integers of the lattice here.

    Parameters
    ----------
    epsilon
        Privacy of all answers together, > 0.
    threshold
        What the sums are compared with.
    clip
        Largest absolute value of a record, > 0.
    positives
        Number c >= 1 of answers "above" after which the mechanism is used up.
    neighbors
        The accountant's relation.
    granularity
        Step of the lattice, a power of two; by default about clip/2^20.

    Attributes
    ----------
    event : PureDP
        What all answers together cost: compose it once.
    draws : int
        Integers drawn so far.
    distance : float
        Bound of the total-variation distance of one draw from its law.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Notes
    -----
    Safe to share between threads, which answer one after another. It is neither copied nor pickled: two copies would
    compare with one threshold, and count their answers apart.

    Examples
    --------
    >>> from medcrypt import dp
    >>> alarm = dp.SparseVector(epsilon=1e6, threshold=2.5, clip=1.0)
    >>> [alarm.above(day) for day in ([1], [0, 1, 1], [1, 1, 1])]
    [False, False, True]
    >>> alarm.above([1])
    Traceback (most recent call last):
    ...
    medcrypt.errors.BudgetError: all answers "above" have been given
    """

    def __init__(
        self,
        epsilon: float,
        threshold: float,
        clip: float,
        *,
        positives: int = 1,
        neighbors: str = "add_or_remove_one",
        granularity: float | None = None,
    ) -> None:
        epsilon, self.positives = _positive("epsilon", epsilon), _at_least(1, "positives", positives)
        step = power_of_two_below(_positive("clip", clip) * 2.0**-20) if granularity is None else granularity
        self._clipped = ClippedSum(clip, "linf", (), neighbors, step)
        steps = math.floor(self._clipped.l1_sensitivity / step)
        self._left = self.positives
        self._question = 4 * self.positives * Fraction(steps) / Fraction(epsilon)
        self._scale = 2 * Fraction(steps) / Fraction(epsilon)
        self.distance = max(noise.distance("discrete_laplace", s) for s in (self._question, self._scale))
        self.event = PureDP(epsilon)
        self.neighbors = neighbors
        self.draws = 1
        self._exact = math.floor(_real("threshold", threshold) / step)
        self._threshold = self._exact + noise.discrete_laplace(self._scale)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"SparseVector(event={self.event!r}, left={self._left})"

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a sparse vector is not copied: two copies would spend one budget twice")

    def above(self, records: ArrayLike) -> bool:
        """Tell whether the sum of the clipped records is above the threshold, both with noise.

        Parameters
        ----------
        records
            Real numbers of shape (n,); the question may depend on earlier answers.

        Returns
        -------
        bool
            True counts against `positives`.

        Raises
        ------
        BudgetError
            If as many answers were True as may be.
        TypeError, ValueError, OverflowError
            As for `GaussianMechanism.release`.
        """
        with self._lock:  # no other question between the check and its being paid
            if self._left <= 0:
                raise BudgetError('all answers "above" have been given')
            total = int(self._clipped(np.asarray(records)))
            self.draws += 1
            answer = total + noise.discrete_laplace(self._question) > self._threshold
            self._left -= answer
            return answer

    def release_many(self, questions: Sequence[ArrayLike], count: int) -> Integers:
        """Return the answers of ``count`` new mechanisms of the same kind to the same questions: for audits.

        This one's threshold and its answers left stay as they are; each of the others is to be accounted.

        Parameters
        ----------
        questions
            The records of each question, as for `above`.
        count
            How many mechanisms.

        Returns
        -------
        ndarray of int64
            Array of shape (count, number of questions): 1 for "above", 0 for not, -1 where the mechanism was used up.
        """
        totals = np.array([int(self._clipped(np.asarray(records))) for records in questions], dtype=np.int64)
        rows = _at_least(0, "count", count)
        thresholds = self._exact + noise.discrete_laplace(self._scale, (rows, 1))
        above = totals + noise.discrete_laplace(self._question, (rows, totals.size)) > thresholds
        used_up = np.cumsum(above, axis=1) - above >= self.positives
        return np.where(used_up, -1, above).astype(np.int64)

    def worst_neighbors(self) -> list[tuple[list[list[float]], list[list[float]]]]:
        """Return pairs of questions to neighbouring records that tell the mechanism apart well: for audits.

        One record brings some sums closer to the threshold, or farther from it, and the next the other way.
        """
        with_record = [
            [[side * self._clipped.clip]] * 3 + [[-side * self._clipped.clip]] for side in (1.0, -1.0)
        ]
        without = [[-record for record in question] for question in with_record[0]]
        if self.neighbors == "replace_one":
            return [(with_record[0], without)]
        nobody: list[list[float]] = [[]] * 4
        return [(questions, nobody) for questions in with_record]

    def charge(self, epsilon: float) -> float:
        """Return the delta to add for the draws so far, which are not exactly of their law.

        Parameters
        ----------
        epsilon
            Of the statement that the delta belongs to.

        Returns
        -------
        float
            See `noise.charge`.
        """
        return noise.charge(epsilon, self.draws, self.distance)
