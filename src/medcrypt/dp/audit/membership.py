"""Membership inference as a curve: how often members are found, at each rate of false accusations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.dp.audit.intervals import clopper_pearson

__all__ = ["MembershipCurve", "membership_curve"]


@dataclass(frozen=True)
class MembershipCurve:
    """The receiver operating characteristic of a membership score.

    Attributes
    ----------
    false_positives, true_positives : ndarray
        Rates in [0, 1], both ascending from 0 to 1, one pair for each threshold.
    members, others : int
        Numbers of scores behind the rates.
    """

    false_positives: NDArray[np.float64]
    true_positives: NDArray[np.float64]
    members: int
    others: int

    @property
    def area(self) -> float:
        """Area under the curve: the probability that a member scores higher than another, ties counting half."""
        return float(np.trapezoid(self.true_positives, self.false_positives))

    @property
    def advantage(self) -> float:
        """Largest difference of the two rates."""
        return float((self.true_positives - self.false_positives).max())

    def true_positive_rate(self, false_positive_rate: float) -> float:
        """Return the share of members found at a rate of false accusations of at most this.

        Parameters
        ----------
        false_positive_rate
            In [0, 1].

        Returns
        -------
        float
            The rate, at the last threshold that accuses no more.
        """
        within = np.flatnonzero(self.false_positives <= false_positive_rate)
        return float(self.true_positives[within[-1]]) if within.size else 0.0

    def bands(self, confidence: float = 0.95) -> NDArray[np.float64]:
        """Return exact intervals of the true-positive rate at each threshold, for scores of independent models.

        Parameters
        ----------
        confidence
            Of each interval, in (0, 1).

        Returns
        -------
        ndarray
            Shape (thresholds, 2).
        """
        found = np.rint(self.true_positives * self.members).astype(int)
        known = {k: clopper_pearson(k, self.members, confidence) for k in set(found.tolist())}
        return np.array([known[k] for k in found.tolist()])


def membership_curve(members: ArrayLike, others: ArrayLike) -> MembershipCurve:
    """Return how well a score tells members of the training data from others.

    Parameters
    ----------
    members, others
        Scores, higher for those taken to be members; shape (n,), finite.

    Returns
    -------
    MembershipCurve
        The curve.

    Raises
    ------
    ValueError
        If a side is empty, or a score is NaN.

    Examples
    --------
    >>> from medcrypt import dp
    >>> curve = dp.audit.membership_curve([0.9, 0.8, 0.4], [0.5, 0.1])
    >>> round(curve.area, 4), curve.true_positive_rate(0.0)
    (0.8333, 0.6666666666666666)
    """
    first, second = (np.asarray(side, dtype=np.float64).ravel() for side in (members, others))
    if not first.size or not second.size or np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("both sides need scores, and no score may be NaN")
    thresholds = np.unique(np.concatenate([first, second]))[::-1]
    found = [
        np.searchsorted(np.sort(-side), -thresholds, side="right") / side.size for side in (second, first)
    ]
    fpr, tpr = (np.concatenate(([0.0], rates)) for rates in found)
    return MembershipCurve(fpr, tpr, first.size, second.size)
