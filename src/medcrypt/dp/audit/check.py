"""Checking a mechanism against what it says of itself, from the outside, by its outputs.

Four questions, each with its share of one small false-alarm rate:

* Do outputs on neighbours differ more than the event allows? Scores are the output along the direction in which the
  means differ, its absolute value, and the place of its lowest set bit, which gives floating-point noise away (Mironov
  2012). This finds too little noise, missing noise, and clipping that comes after the noise.
* Is the noise of the law that is stated? Chi-square of many draws, and of their low bits. This finds biased samplers.
* Does a second release repeat the first? This finds seeds that are used again.
* Are the outputs on the lattice? This finds floating-point noise at once.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.accountant import Accountant
from medcrypt.dp.audit.distinguishing import evidence_against
from medcrypt.dp.audit.intervals import binomial_tail, clopper_pearson
from medcrypt.dp.audit.laws import cumulative
from medcrypt.dp.events import Event, _at_least, _real
from medcrypt.dp.mechanisms.additive import AdditiveMechanism

__all__ = ["Auditable", "Report", "check"]

Reals = NDArray[np.float64]

_LARGEST = 4_000_000  # numbers of all outputs on one input
_REPEATED = 512  # outputs compared between two releases
_CELLS = 50
_EPSILONS = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


class Auditable(Protocol):
    """What `check` asks of a mechanism."""

    @property
    def event(self) -> Event:
        """What one release is said to cost."""

    @property
    def neighbors(self) -> str:
        """The relation under which it is said."""

    def worst_neighbors(self) -> list[tuple[Any, Any]]:
        """Return pairs of neighbouring inputs that should tell it apart best."""

    def release_many(self, records: Any, count: int) -> Any:
        """Return ``count`` independent releases, the first axis counting them."""


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes
    ----------
    findings : tuple of str
        What contradicts the mechanism's words; empty if nothing does.
    epsilon : float
        Largest lower bound on epsilon that the outputs prove at `delta`.
    claimed : float
        The epsilon that the event allows at the same delta.
    delta : float
        That delta.
    """

    findings: tuple[str, ...]
    epsilon: float
    claimed: float
    delta: float

    @property
    def passed(self) -> bool:
        """Whether nothing was found. That is no proof of privacy: it says that these tests found nothing."""
        return not self.findings


def check(mechanism: Auditable, *, trials: int = 100_000, confidence: float = 1.0 - 1e-6) -> Report:
    """Run a mechanism many times and compare its outputs with what it says of itself.

    Parameters
    ----------
    mechanism
        Has ``event``, ``neighbors``, ``worst_neighbors()`` and ``release_many(records, count)``: the library's
        mechanisms, or anything that is given these four. The noise's law and the lattice are examined for the
        library's additive mechanisms and their children.
    trials
        Outputs on each of two neighbours, for each pair of them; fewer for outputs of many coordinates.
    confidence
        Probability with which a sound mechanism passes.

    Returns
    -------
    Report
        The findings.

    Raises
    ------
    TypeError, ValueError
        If an argument is outside its range, or the event is refused by the accountant.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.audit.check(dp.GaussianMechanism(noise_multiplier=1.0, clip=1.0), trials=20_000).passed
    True
    """
    trials = _at_least(100, "trials", trials)
    if not 0.0 < _real("confidence", confidence) < 1.0:
        raise ValueError(f"confidence must lie in (0, 1), not {confidence}")
    pairs = mechanism.worst_neighbors()
    risk = (1.0 - confidence) / (len(pairs) * 3 + 4)
    findings, strongest = [], (0.0, math.inf, 0.0)
    curve = _curve(mechanism)
    for pair in pairs:
        first, second = (_outputs(mechanism, records, trials) for records in pair)
        for name, score in _scores(first, second).items():
            epsilon, delta, evidence = evidence_against(score(first), score(second), curve, 1.0 - risk)
            if evidence.delta(epsilon) > delta:
                findings.append(
                    f"{name} tells neighbours apart: an event of probability >= {evidence.likely:.4g} on one has "
                    f"<= {evidence.unlikely:.4g} on the other, and delta({epsilon:g}) = {delta:.4g} is claimed"
                )
            if evidence.epsilon(delta) >= strongest[0]:
                strongest = evidence.epsilon(delta), epsilon, delta
    findings += _repeats(mechanism, pairs[0][0], risk)
    if isinstance(mechanism, AdditiveMechanism):
        findings += _off_lattice(mechanism, pairs[0][0]) + _wrong_law(mechanism, pairs[0][0], trials, risk)
    return Report(tuple(findings), *strongest)


def _curve(mechanism: Auditable) -> list[tuple[float, float]]:
    """Return points (epsilon, delta) of what the mechanism claims."""
    accountant = Accountant(mechanism.neighbors).compose(mechanism.event)
    return [(epsilon, accountant.delta(epsilon)) for epsilon in _EPSILONS]


def _outputs(mechanism: Auditable, records: Any, trials: int) -> Reals:
    """Return outputs as rows; not many numbers in all."""
    width = max(1, np.asarray(mechanism.release_many(records, 1)).size)
    count = max(100, min(trials, _LARGEST // width))
    return np.asarray(mechanism.release_many(records, count), dtype=np.float64).reshape(count, -1)


def _scores(first: Reals, second: Reals) -> dict[str, Callable[[Reals], Reals]]:
    """Return scores of outputs, the first of them chosen by the outputs that also choose the event."""
    means, spreads = (
        [statistic(side[::2], axis=0) for side in (first, second)] for statistic in (np.mean, np.var)
    )
    # Fisher's direction: a coordinate without noise outweighs all others.
    direction = (means[0] - means[1]) / (spreads[0] + spreads[1] + 1e-30 * (1.0 + np.square(means[0])))
    largest = np.abs(direction).max(initial=0.0)
    direction = direction / largest if largest > 0.0 else np.ones_like(direction)
    place = int(np.argmax(np.abs(direction)))
    return {
        "the output": lambda side: side @ direction,
        "the absolute output": lambda side: np.abs(side @ direction),
        "the lowest bit of the output": lambda side: _lowest_bit(side[:, place]),
    }


def _lowest_bit(values: Reals) -> Reals:
    """Return the exponent of the lowest set bit of doubles; 2000 for zero."""
    mantissa, exponent = np.frexp(values)
    whole = np.abs(mantissa * 2.0**53).astype(np.int64)
    lowest = np.log2(np.maximum(whole & -whole, 1).astype(np.float64))
    return np.where(values == 0.0, 2000.0, exponent - 53 + lowest)


def _repeats(mechanism: Auditable, records: Any, risk: float) -> list[str]:
    """Compare two calls: equal outputs at equal places, against equal outputs of neighbours in one call."""
    one, two = (np.asarray(mechanism.release_many(records, _REPEATED)).reshape(_REPEATED, -1) for _ in "ab")
    across = int(np.count_nonzero((one == two).all(axis=1)))
    within = int(np.count_nonzero((one[::2] == one[1::2]).all(axis=1)))
    low = clopper_pearson(across, _REPEATED, 1.0 - risk)[0]
    high = clopper_pearson(within, _REPEATED // 2, 1.0 - risk)[1]
    return (
        [f"releases repeat: {across} of {_REPEATED} were equal to those of another call"]
        if low > high
        else []
    )


def _off_lattice(mechanism: AdditiveMechanism, records: Any) -> list[str]:
    """Look for outputs that are no multiples of the granularity."""
    outputs = np.asarray(mechanism.release_many(records, _REPEATED), dtype=np.float64) / mechanism.granularity
    off = int(np.count_nonzero(outputs != np.rint(outputs)))
    return [f"{off} of {outputs.size} outputs are not multiples of the granularity"] if off else []


def _wrong_law(mechanism: AdditiveMechanism, records: Any, trials: int, risk: float) -> list[str]:
    """Compare the noise with its law by chi-square, and its low bits with fair coins."""
    centre = mechanism.lattice_sum(records)
    count = max(1000, min(trials, _LARGEST // mechanism.draws))
    outputs = np.asarray(mechanism.release_many(records, count), dtype=np.float64) / mechanism.granularity
    drawn = np.rint(outputs - centre).ravel()
    findings = []
    edges = np.unique(np.rint(np.quantile(drawn[::2], np.linspace(0.0, 1.0, _CELLS + 1)[1:-1])))
    upto = np.array(
        [cumulative(mechanism.distribution, float(mechanism.parameter), int(edge)) for edge in edges.tolist()]
    )
    cells = np.diff(np.concatenate(([0.0], upto, [1.0])))
    counts = np.bincount(np.searchsorted(edges, drawn[1::2], side="left"), minlength=cells.size)
    for number, (found, probability) in enumerate(zip(counts.tolist(), cells.tolist(), strict=True)):
        if _improbable(found, int(counts.sum()), probability, risk / cells.size):
            findings.append(
                f"the noise is not of its law: {found} of {counts.sum()} draws in cell {number}, where "
                f"{probability * counts.sum():.1f} are expected"
            )
            break
    if mechanism.standard_deviation > 64.0 * mechanism.granularity:
        odd = int(np.count_nonzero(np.mod(drawn, 2.0)))
        if _improbable(odd, drawn.size, 0.5, risk):
            findings.append(f"the noise is not of its law: {odd} of {drawn.size} draws are odd")
    return findings


def _improbable(found: int, trials: int, probability: float, risk: float) -> bool:
    """Tell whether a count is in either tail of its binomial law; the law may be off by 1e-9."""
    above = binomial_tail(found, trials, min(1.0, probability + 1e-9))
    below = binomial_tail(trials - found, trials, min(1.0, 1.0 - probability + 1e-9))
    return min(above, below) < 0.5 * risk
