"""Quantiles by the exponential mechanism, with weights that are powers of two and a choice in exact arithmetic.

The candidates are the points of a lattice between two public bounds. Of n records, L lie below a candidate v and U not
above it; v is scored by how far the wanted rank is from that range, s = max(0, b L - a n, a n - b U) for the quantile
a/b. It is chosen with probability proportional to 2^(-eta s), eta a rational number (Ilvento 2020 has base 2, too).

A neighbour changes every score by at most D = max(a, b - a), or b where a record is replaced; so log-ratios of
probabilities lie in one interval of length 2 D eta log 2 <= epsilon: the mechanism is epsilon-*bounded range* (Durfee
and Rogers 2019), hence epsilon-DP and epsilon^2/8-zCDP (Cesar and Rogers 2021, Lemma 3.3), a quarter of what
epsilon-DP alone would give.

Candidates between two neighbouring records share one score, so at most 2 n + 1 weights are needed. They are integers
of P bits with known errors; where a uniform number falls into the errors, P doubles and it is asked for further
bits.
"""

import math
import secrets
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.dp.events import RELATIONS, PureDP, ZeroConcentratedDP, _at_least, _positive, _real
from medcrypt.dp.mechanisms.lattice import Reals, as_reals, power_of_two_below
from medcrypt.dp.noise.exact import LazyUniform

__all__ = ["QuantileMechanism"]

_ETA_BITS = 20  # of eta's numerator
_FIRST_PRECISION = 192
_DIGIT = 8
_LOG_2 = Fraction(math.nextafter(math.log(2.0), 1.0))  # from above, so that eta is from below


class QuantileMechanism:
    """A quantile of numbers between public bounds.

    Parameters
    ----------
    quantile
        In (0, 1), as a fraction or a float that is close to one with a denominator of at most 1000: 0.5, 0.95.
    epsilon
        Privacy of one release, > 0: bounded range of the exponential mechanism.
    bounds
        The public range (low, high); records are rounded down to candidates, those outside to the nearest end.
    neighbors
        The accountant's relation.
    granularity
        Distance of candidates, a power of two; by default about 2^-20 of the range.

    Attributes
    ----------
    event : ZeroConcentratedDP
        What one release costs together with others: rho = epsilon^2/8, from the bounded range.
    pure_event : PureDP
        The same release as pure epsilon: cheaper where it stands alone, dearer in long compositions. Compose one of the
        two, not both.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Notes
    -----
    The time of a release depends on the records: keep it from those who must not know them.

    Examples
    --------
    >>> from medcrypt import dp
    >>> mechanism = dp.QuantileMechanism(0.5, epsilon=50.0, bounds=(0, 120), granularity=1)
    >>> mechanism.release([34] * 20 + [61] * 21 + [80] * 20)
    61.0
    >>> mechanism.event, mechanism.pure_event
    (ZeroConcentratedDP(rho=312.5), PureDP(epsilon=50.0))
    """

    def __init__(
        self,
        quantile: float | Fraction,
        epsilon: float,
        bounds: tuple[float, float],
        *,
        neighbors: str = "add_or_remove_one",
        granularity: float | None = None,
    ) -> None:
        wanted = Fraction(_real("quantile", quantile)).limit_denominator(1000)
        if not 0 < wanted < 1:
            raise ValueError(f"quantile must lie in (0, 1), at least 1/1000 from its ends, not {quantile}")
        epsilon = _positive("epsilon", epsilon)
        if neighbors not in RELATIONS:
            raise ValueError(f"neighbors must be one of {RELATIONS}, not {neighbors!r}")
        low, high = (_real("a bound", bound) for bound in bounds)
        if not low < high or math.isinf(high - low):
            raise ValueError(f"bounds must be increasing, not {bounds}")
        step = power_of_two_below((high - low) * 2.0**-20) if granularity is None else granularity
        self.granularity = _positive("granularity", step)
        if math.frexp(self.granularity)[0] != 0.5:
            raise ValueError(f"granularity must be a power of two, not {granularity}")
        if max(abs(low), abs(high)) / self.granularity >= 2.0**53:
            raise ValueError("the candidates must be doubles; choose a coarser granularity")
        self._first, self._last = math.ceil(low / self.granularity), math.floor(high / self.granularity)
        if self._first > self._last:
            raise ValueError("no candidate lies between the bounds; choose a finer granularity")
        self._a, self._b = wanted.numerator, wanted.denominator
        self.neighbors, self.epsilon = neighbors, epsilon
        moved = max(self._a, self._b - self._a) if neighbors == "add_or_remove_one" else self._b
        self._numerator, self._shift = _dyadic_below(Fraction(epsilon) / (2 * moved * _LOG_2))
        self.event = ZeroConcentratedDP(_rounded_up(Fraction(epsilon) ** 2 / 8))
        self.pure_event = PureDP(epsilon)
        self.draws, self.distance = 0, 0.0  # of integer noise: none

    def release(self, records: ArrayLike) -> float:
        """Return a candidate near the quantile: one release.

        Parameters
        ----------
        records
            Real numbers of shape (n,), n >= 0.

        Returns
        -------
        float
            A multiple of the granularity within the bounds.

        Raises
        ------
        TypeError, ValueError
            If the records are no finite real numbers, or not of one dimension.
        """
        return float(self.release_many(records, 1)[0])

    def release_many(self, records: ArrayLike, count: int) -> Reals:
        """Return ``count`` independent releases, each of which is to be accounted: for audits and simulations.

        Parameters
        ----------
        records, count
            The records, as for `release`, and how many releases.

        Returns
        -------
        ndarray of float64
            The candidates.
        """
        ends, scores = self._intervals(records)
        chosen = _chooser(np.diff(ends).tolist(), scores, self._numerator, self._shift)
        picks = []
        for _ in range(_at_least(0, "count", count)):
            interval = chosen(LazyUniform())
            low, high = int(ends[interval]), int(ends[interval + 1])
            picks.append(low + 1 + secrets.randbelow(high - low))
        return np.array(picks, dtype=np.float64) * self.granularity

    def charge(self, epsilon: float, releases: int = 1) -> float:
        """Return 0: the choice is made in exact arithmetic.

        Parameters
        ----------
        epsilon, releases
            Of the statement that the delta belongs to.

        Returns
        -------
        float
            Zero.
        """
        _real("epsilon", epsilon)
        _at_least(0, "releases", releases)
        return 0.0

    def worst_neighbors(self) -> list[tuple[Reals, Reals]]:
        """Return pairs of neighbouring records that tell the mechanism apart well: for audits."""
        low, high = self._first * self.granularity, self._last * self.granularity
        if self.neighbors == "replace_one":
            return [(np.array([low]), np.array([high]))]
        return [(np.array([end]), np.array([])) for end in (low, high)]

    def _intervals(self, records: ArrayLike) -> tuple[NDArray[np.int64], list[int]]:
        """Return ends e_0 < e_1 < ... so that the candidates in (e_i, e_i+1] have one score, and those scores."""
        values = as_reals(records)
        if values.ndim != 1:
            raise ValueError(f"records must be of the shape (n,), not {values.shape}")
        places = np.floor(values / self.granularity).clip(self._first, self._last).astype(np.int64)
        inner, counts = np.unique(places, return_counts=True)
        # The candidates are cut into gaps and records in turn: (e_0, p_1 - 1], {p_1}, (p_1, p_2 - 1], {p_2}, ...
        ends = np.append(np.stack([inner - 1, inner], axis=1).ravel(), self._last)
        ends = np.concatenate(([self._first - 1], ends))
        upto = np.cumsum(counts)
        below = np.stack(
            [upto - counts, upto - counts], axis=1
        ).ravel()  # of a gap, then of the record behind it
        reach = np.stack([upto - counts, upto], axis=1).ravel()
        below, reach = np.append(below, values.size), np.append(reach, values.size)
        open_ = np.diff(ends) > 0
        wanted = self._a * values.size
        scores = np.maximum(0, np.maximum(self._b * below - wanted, wanted - self._b * reach))[open_]
        return np.concatenate((ends[:-1][open_], [self._last])), scores.tolist()


def _rounded_up(exact: Fraction) -> float:
    """Return the least double that is not below a positive number."""
    rounded = float(exact)
    return rounded if Fraction(rounded) >= exact else math.nextafter(rounded, math.inf)


def _dyadic_below(eta: Fraction) -> tuple[int, int]:
    """Return (k, t) with k/2^t <= eta, k of about 20 bits and t >= 0."""
    shift = max(0, _ETA_BITS - (eta.numerator.bit_length() - eta.denominator.bit_length()))
    return math.floor(eta * (1 << shift)), shift


def _chooser(
    widths: list[int], scores: list[int], numerator: int, shift: int
) -> Callable[[LazyUniform], int]:
    """Return what picks i with probability proportional to widths[i] 2^(-scores[i] numerator/2^shift), exactly."""
    least = min(scores)
    exponents = [(score - least) * numerator for score in scores]

    def enclosed(precision: int) -> tuple[list[int], list[int]]:
        """Return lower ends of the cumulative weights, and what they may be too small by."""
        power = _Powers(precision, shift)
        weights = [power.below(exponent) for exponent in exponents]
        lows = accumulate(width * weight for width, weight in zip(widths, weights, strict=True))
        return list(lows), list(accumulate(width * power.error for width in widths))

    known = {_FIRST_PRECISION: enclosed(_FIRST_PRECISION)}

    def choose(uniform: LazyUniform) -> int:
        precision = _FIRST_PRECISION
        while True:
            lows, errors = known.setdefault(precision, ([], []))
            if not lows:
                lows, errors = known[precision] = enclosed(precision)
            place = _place(uniform, lows, errors)
            if place is not None:
                return place
            uniform.extend()
            if uniform.bits > precision // 2:
                precision *= 2

    return choose


def _place(uniform: LazyUniform, lows: list[int], errors: list[int]) -> int | None:
    """Return the first i with uniform * total < cumulative[i], or None where that is not decided."""
    value, bits = uniform.value, uniform.bits
    # uniform * total lies in [value * total_low, (value + 1) * total_high) / 2^bits.
    least, most = value * lows[-1], (value + 1) * (lows[-1] + errors[-1])
    first, last = 0, len(lows) - 1
    while first < last:
        middle = (first + last) // 2
        if most <= lows[middle] << bits:
            last = middle
        elif least >= (lows[middle] + errors[middle]) << bits:
            first = middle + 1
        else:
            return None
    return first


class _Powers:
    """2^(precision - x/2^shift) for integers x >= 0, from below, off by at most `error` units.

    A fraction of `shift` bits is cut into bytes; powers of each byte are in tables, with 64 guard bits.
    """

    error = 2

    def __init__(self, precision: int, shift: int) -> None:
        self._precision, self._shift = precision, shift
        self._bits = precision + 64
        self._bytes = -(-shift // _DIGIT)
        one, table_of_one = 1 << self._bits, []
        root = one >> 1  # 2^-1, then roots of it: 2^(-2^-k)
        roots = []
        for _ in range(self._bytes * _DIGIT):
            root = math.isqrt(root << self._bits)
            roots.append(root)
        for byte in range(self._bytes):
            # Bit j of the byte stands for 2^-(8 byte + 8 - j).
            powers = [one]
            for j in range(_DIGIT):
                factor = roots[_DIGIT * byte + _DIGIT - 1 - j]
                powers += [power * factor >> self._bits for power in powers]
            table_of_one.append(powers)
        self._tables = table_of_one

    def below(self, exponent: int) -> int:
        """Return the power of one exponent."""
        whole = exponent >> self._shift
        if whole > self._precision:
            return 0
        fraction = (exponent & ((1 << self._shift) - 1)) << (self._bytes * _DIGIT - self._shift)
        power = 1 << self._bits
        for table in reversed(self._tables):
            power = power * table[fraction & 255] >> self._bits
            fraction >>= _DIGIT
        return power >> (64 + whole)
