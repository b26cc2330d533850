"""Noise that the clients add together, so that the sum is private and no party ever sees it without.

What a client does with its contribution v = w x, in units of the plan's step:

    clip      |v| <= l2_clip, and, rotated, every coordinate to the bound that the slots are made for
    round     to integers, up or down so that the mean is right
    add       its share of the noise: variance sigma^2 / h

h = threshold - colluders shares are certain to be in the opened sum and unknown to everybody: clients that drop out
take theirs with them, and colluders know theirs. The sum of the rest is Skellam, or nearly discrete Gaussian, with at
least the variance sigma^2 = (noise_multiplier S)^2, S the L2 sensitivity of the rounded integers.

Sources: Kairouz, Liu and Steinke 2021 (distributed discrete Gaussian, rotation, conditional rounding); Agarwal, Kairouz
and Liu 2021 (Skellam).
"""

import abc
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from medcrypt import dp
from medcrypt.aggregation.plan import Integers, Plan, PrivacyBound, Reals
from medcrypt.aggregation.quantisation import is_within
from medcrypt.aggregation.rotation import coordinate_bound, padded, rotate, rotate_back

__all__ = ["DiscreteGaussianNoise", "SkellamNoise"]

OVERFLOW = 2.0**-40
"""Probability, over all clients and coordinates of a round, that noise leaves its slot; charged to delta."""

_ROUNDING_SLACK = 1.0 + 2.0**-30  # for the floating-point operations between clipping and rounding
_PATIENT_SLACK = (
    2.0**-45
)  # the same of a patient's move, in units of the whole contribution, which is what is rounded
_LARGEST_STEPS = 2.0**50  # of a contribution's length: beyond, float64 no longer holds every integer
_LEAST_MULTIPLIER = 1e-6
_MOST_ATTEMPTS = 1000

Unit = Literal["hospital", "patient"]


@dataclass(frozen=True, kw_only=True)
class _DistributedNoise(abc.ABC):
    """What both laws have in common."""

    noise_multiplier: float
    unit: Unit
    patient_clip: float | None = None
    weight_noise_multiplier: float | None = None
    colluders: int = 1
    rotation: bool = True

    _CODE: ClassVar[bytes]
    _LARGEST: ClassVar[float]  # of the law's parameter

    def __post_init__(self) -> None:
        if self.unit not in ("hospital", "patient"):
            raise ValueError("unit must be 'hospital' or 'patient': whose presence the noise hides")
        for name in ("noise_multiplier", "patient_clip", "weight_noise_multiplier"):
            _check_number(name, getattr(self, name))
        if self.noise_multiplier is None:
            raise TypeError("noise_multiplier must be a number")
        if (self.unit == "patient") != (self.patient_clip is not None):
            raise ValueError(
                "patient_clip, how far one patient moves a contribution, belongs to unit='patient'"
            )
        if isinstance(self.colluders, bool) or not isinstance(self.colluders, int):
            raise TypeError("colluders must be an integer")
        if self.colluders < 0:
            raise ValueError("colluders must not be negative")
        if not isinstance(self.rotation, bool):
            raise TypeError("rotation must be a boolean")

    def to_bytes(self) -> bytes:
        """Return the canonical encoding that the plan hash covers."""
        return struct.pack(
            ">4sBd?ddI?",
            self._CODE,
            1,
            self.noise_multiplier,
            self.unit == "patient",
            self.patient_clip or 0.0,
            self.weight_noise_multiplier or 0.0,
            self.colluders,
            self.rotation,
        )

    def dimension(self, plan: Plan) -> int:
        """Return the number of integers that stand for the arrays."""
        return padded(plan.size) if self.rotation else plan.size

    def headroom(self, plan: Plan) -> int:
        """Return the bits by which a client's largest integer exceeds `plan.bits` and those of the weight.

        Raises
        ------
        ValueError
            If the plan leaves no honest share of noise, has no noise for its weights, or steps too fine.
        """
        self._check(plan)
        largest = self._coordinate_limit(plan) + self._tail(plan, self._share(plan))
        if plan.weighted:
            largest = max(largest, (plan.max_weight or 1) + self._tail(plan, self._weight_share(plan)))
        value_bits = plan.bits + ((plan.max_weight or 1) - 1).bit_length()
        return max(0, math.ceil(largest + 1).bit_length() + 1 - value_bits)

    def contribution(self, plan: Plan, reals: Reals, weight: int) -> Integers:
        """Return one client's integers with its share of the noise, before they are encrypted or masked."""
        steps = reals * (weight / plan.step)
        steps *= min(1.0, self._length(plan) / max(float(np.linalg.norm(steps)), 1e-300))
        if self.rotation:
            steps = rotate(plan.digest, steps)
        limit = self._coordinate_limit(plan)
        np.clip(steps, -limit, limit, out=steps)
        integers = np.empty(plan.dimension, dtype=np.int64)
        values = integers[int(plan.weighted) :]
        values[:] = self._rounded(plan, steps)
        values += self._draw(self._share(plan), values.shape)
        if plan.weighted:
            integers[0] = weight + int(self._draw(self._weight_share(plan), (1,))[0])
        most = (1 << (plan.value_bits - 1)) - 1
        return np.clip(integers, -most, most, out=integers)

    def restore(self, plan: Plan, reals: Reals) -> Reals:
        """Return the values of the arrays from what stands for them: turn the rotation back."""
        return rotate_back(plan.digest, reals, plan.size) if self.rotation else reals

    def event(self, plan: Plan) -> dp.Event:
        """Return what one opened round costs, as an upper bound by Rényi divergences."""
        vector = self._event(
            self._honest(plan), self._share(plan), self._sensitivity(plan), self.dimension(plan)
        )
        if not plan.weighted:
            return vector
        weight = self._event(self._honest(plan), self._weight_share(plan), self._weight_sensitivity(plan), 1)
        return dp.Composed((vector, weight))

    def privacy(self, plan: Plan, delta: float, rounds: int) -> PrivacyBound:
        """Return what rounds of a plan cost; see `Plan.privacy`."""
        distance = self.distance(plan)
        # A round counts as one draw: what separates all its draws and slots from their laws is one distance.
        accountant = dp.Accountant().compose(self.event(plan), rounds, draws=1, distance=distance)
        epsilon = accountant.epsilon(delta)
        if epsilon == math.inf:
            raise ValueError(
                f"delta must exceed (1 + e^epsilon) {rounds * distance:.3g}, the charge for overflows"
            )
        return PrivacyBound(epsilon, delta, self.unit, rounds)

    def distance(self, plan: Plan) -> float:
        """Bound the distance in total variation of a round from what `event` describes.

        Overflowing slots, and what separates the draws from their laws.
        """
        draws = plan.clients * plan.dimension
        return OVERFLOW + draws * max(self._law_distance(s) for s in self._shares(plan))

    def _check(self, plan: Plan) -> None:
        """Refuse a plan that this noise does not fit."""
        if plan.colluders is not None and plan.colluders > self.colluders:
            raise ValueError("the noise must count at least the plan's colluders: they know their own shares")
        if plan.threshold <= self.colluders:
            raise ValueError("threshold must exceed colluders: else no share of the noise is sure and secret")
        if plan.weighted != (self.weight_noise_multiplier is not None):
            raise ValueError("weight_noise_multiplier is for weighted plans, and they need it")
        if self._length(plan) > _LARGEST_STEPS:
            raise ValueError("l2_clip is more than 2^50 steps: use fewer bits")
        if max(self._shares(plan)) > self._LARGEST:
            raise ValueError(
                f"a share of {type(self).__name__} would be too large to draw: use fewer bits"
                + (", or DiscreteGaussianNoise" if isinstance(self, SkellamNoise) else "")
            )

    def _honest(self, plan: Plan) -> int:
        """h: shares of noise that are in every opened sum and that no colluder knows."""
        return plan.threshold - self.colluders

    def _length(self, plan: Plan) -> float:
        """L2 norm of a clipped contribution, in steps."""
        return (plan.l2_clip or 0.0) / plan.step

    def _coordinate_limit(self, plan: Plan) -> float:
        """Return what coordinates are clipped to, in steps: a projection, which moves no two vectors apart."""
        if self.rotation:
            return 1.0 + coordinate_bound(self._length(plan), plan.size, OVERFLOW / plan.clients)
        return 1.0 + min(self._length(plan), float(plan.levels * (plan.max_weight or 1)))

    def _sensitivity(self, plan: Plan) -> float:
        """L2 sensitivity of the rounded integers, to one unit being replaced by nothing.

        A hospital is its whole vector: what conditional rounding lets pass. A patient moves it by patient_clip before
        rounding; clipping and rotating do not lengthen that, and rounding two numbers by the same coin moves them apart
        by at most 1 more, so the vector by at most sqrt(d).
        """
        if self.unit == "hospital":
            return self._rounded_length(plan)
        moved = (self.patient_clip or 0.0) / plan.step * _ROUNDING_SLACK + self._length(plan) * _PATIENT_SLACK
        return moved + math.sqrt(self.dimension(plan))

    def _weight_sensitivity(self, plan: Plan) -> float:
        return float(plan.max_weight or 1) if self.unit == "hospital" else 1.0

    def _rounded_length(self, plan: Plan) -> float:
        """L2 norm that a rounded contribution may have (Kairouz et al. 2021, Proposition 22 with beta = e^-1/2)."""
        length, d = self._length(plan) * _ROUNDING_SLACK, self.dimension(plan)
        root = math.sqrt(d)
        square = min((length + root) ** 2, length**2 + d / 4 + length + root / 2)
        # `is_within` errs to the safe side by (d + 2) 2^-53 and 2^-48: what it lets pass must not be less than proven.
        return math.sqrt(square * (1.0 + (d + 4) * 2.0**-52 + 2.0**-46))

    def _rounded(self, plan: Plan, steps: Reals) -> Integers:
        """Round up or down so that the mean is right; for hospitals again until the norm is within its bound.

        An attempt stays within the bound with probability 0.39 at least. How many there are depends on the fractions
        of the vector, and is not constant time.
        """
        for _ in range(_MOST_ATTEMPTS):
            rounded = dp.noise.round_stochastically(steps)
            if self.unit == "patient" or is_within(rounded, self._rounded_length(plan)):
                return rounded
        raise RuntimeError("rounding did not come within its bound, which has a probability below 2^-700")

    def _deviation(self, plan: Plan) -> float:
        """Return the standard deviation of one client's share."""
        return self.noise_multiplier * self._sensitivity(plan) / math.sqrt(self._honest(plan))

    def _weight_deviation(self, plan: Plan) -> float:
        multiplier = self.weight_noise_multiplier or 0.0
        return multiplier * self._weight_sensitivity(plan) / math.sqrt(self._honest(plan))

    def _share(self, plan: Plan) -> float:
        return self._parameter(self._deviation(plan))

    def _weight_share(self, plan: Plan) -> float:
        return self._parameter(self._weight_deviation(plan))

    def _shares(self, plan: Plan) -> list[float]:
        return [self._share(plan)] + ([self._weight_share(plan)] if plan.weighted else [])

    def _tail(self, plan: Plan, parameter: float) -> float:
        """Return what no draw of the round exceeds, but with probability `OVERFLOW`."""
        failure = OVERFLOW / 2.0 / (plan.clients * (self.dimension(plan) + plan.weighted))
        return self._quantile(parameter, failure)

    @abc.abstractmethod
    def _parameter(self, deviation: float) -> float:
        """Return the law's parameter for a standard deviation, rounded up."""

    @abc.abstractmethod
    def _draw(self, parameter: float, shape: tuple[int, ...]) -> Integers:
        """Draw one client's share."""

    @abc.abstractmethod
    def _quantile(self, parameter: float, failure: float) -> float:
        """Return what |X| exceeds with at most that probability."""

    @abc.abstractmethod
    def _event(self, honest: int, parameter: float, sensitivity: float, dimension: int) -> dp.Event:
        """Return the cost of a sum with so many shares."""

    @abc.abstractmethod
    def _law_distance(self, parameter: float) -> float:
        """Return the distance of one draw from its law."""


@dataclass(frozen=True, kw_only=True)
class SkellamNoise(_DistributedNoise):
    """Skellam noise: differences of Poisson numbers, whose sums are Skellam again.

    Parameters
    ----------
    noise_multiplier
        Standard deviation of the noise that is sure to be in an opened sum, divided by the sensitivity.
    unit
        Whose presence is hidden: a whole "hospital", or one "patient" of it.
    patient_clip
        For patients: how far, in L2 norm and in the unit of the data, one patient moves a contribution w x, with the
        arrays as they are passed (float32 ones are rounded already). Ensured by the caller, who clips each patient's
        part (`medcrypt.dp.sgd`); the library cannot see it.
    weight_noise_multiplier
        For weighted plans: the same for the sum of the weights, whose sensitivity is `max_weight` for hospitals and 1
        for patients.
    colluders
        How many clients may pool what they know of their own noise, at least `Plan.colluders`. One by default: every
        client knows its own share and sees the sum, so 0 counts only for those outside.
    rotation
        Rotate every contribution (randomised Hadamard, from the plan hash), which evens out its coordinates.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of range, or one is missing that the unit needs.

    Examples
    --------
    >>> from medcrypt import aggregation
    >>> plan = aggregation.Plan(clients=10, threshold=8, clip=1.0, bits=16, shapes={"w": (500,)}, l2_clip=1.0,
    ...                         noise=aggregation.SkellamNoise(noise_multiplier=2.0, unit="hospital", colluders=1))
    >>> 2.0 < plan.privacy(delta=1e-5).epsilon < 3.0
    True
    """

    _CODE = b"MCSK"
    _LARGEST = 2.0**34  # above it, a draw is the sum of more than sixteen

    def _parameter(self, deviation: float) -> float:
        return math.nextafter(deviation * deviation, math.inf)

    def _draw(self, parameter: float, shape: tuple[int, ...]) -> Integers:
        return dp.noise.skellam(parameter, shape)

    def _quantile(self, parameter: float, failure: float) -> float:
        """By Chernoff: P[|X| >= k] <= 2 exp(-v h(k/v)), h(x) = x asinh(x) - sqrt(1 + x^2) + 1."""

        def exponent(k: float) -> float:
            x = k / parameter
            return k * (math.asinh(x) - x / (1.0 + math.hypot(1.0, x)))

        return _least(lambda k: exponent(k) >= math.log(2.0 / failure), math.sqrt(parameter) + 1.0)

    def _event(self, honest: int, parameter: float, sensitivity: float, dimension: int) -> dp.Event:
        return dp.distributed_skellam(parameter, honest, sensitivity, dimension)

    def _law_distance(self, parameter: float) -> float:
        return dp.noise.distance("skellam", parameter)


@dataclass(frozen=True, kw_only=True)
class DiscreteGaussianNoise(_DistributedNoise):
    """Discrete Gaussian noise, whose sums are nearly discrete Gaussian (`dp.distributed_discrete_gaussian`).

    Parameters
    ----------
    noise_multiplier, unit, patient_clip, weight_noise_multiplier, colluders, rotation
        As for `SkellamNoise`.

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of range, or one is missing that the unit needs.

    Examples
    --------
    >>> from medcrypt import aggregation
    >>> noise = aggregation.DiscreteGaussianNoise(noise_multiplier=1.0, unit="patient", patient_clip=0.1)
    >>> plan = aggregation.Plan(clients=10, threshold=6, clip=1.0, bits=16, shapes={"w": (500,)}, l2_clip=2.0,
    ...                         noise=noise)
    >>> plan.privacy(delta=1e-5).unit
    'patient'
    """

    _CODE = b"MCDG"
    _LARGEST = dp.noise.LARGEST_SCALE

    def _parameter(self, deviation: float) -> float:
        # The bound for sums is proven from 1/2 on; more noise costs nothing.
        return max(0.5, math.nextafter(deviation, math.inf))

    def _draw(self, parameter: float, shape: tuple[int, ...]) -> Integers:
        return dp.noise.discrete_gaussian(parameter, shape)

    def _quantile(self, parameter: float, failure: float) -> float:
        """Sub-Gaussian (Canonne, Kamath and Steinke 2020, Corollary 18): P[|X| >= k] <= 2 exp(-k^2/(2 sigma^2))."""
        return 1.0 + parameter * math.sqrt(2.0 * math.log(2.0 / failure))

    def _event(self, honest: int, parameter: float, sensitivity: float, dimension: int) -> dp.Event:
        return dp.distributed_discrete_gaussian(parameter, honest, sensitivity, dimension)

    def _law_distance(self, parameter: float) -> float:
        return dp.noise.distance("discrete_gaussian", parameter)


def _check_number(name: str, value: object) -> None:
    """Refuse what is no positive number, or so small that it is surely a mistake."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    least = _LEAST_MULTIPLIER if name.endswith("multiplier") else 0.0
    if not (math.isfinite(value) and value > 0 and value >= least):
        raise ValueError(f"{name} must be positive and finite, a multiplier at least {_LEAST_MULTIPLIER}")


def _least(holds: Callable[[float], bool], start: float) -> float:
    """Return a number, at most 0.1 % too large, from which on a monotone condition holds."""
    high = start
    while not holds(high):
        high *= 2.0
    low = high / 2.0
    while high - low > 1e-3 * high:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
