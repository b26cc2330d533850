"""From updates to integers and back; both back-ends add these integers and nothing else.

A coordinate x becomes the integer q = rint(x / clip * Q), Q = 2^(bits-1) - 1. A client of weight w contributes
the vector (w, w q_1, ..., w q_d), without weights (q_1, ..., q_d), to which its share of the noise is added if the
plan has some. Sums are taken modulo 2^B (`Plan.modulus_bits`) and read as the representative in [-2^(B-1),
2^(B-1)): without noise that is the sum itself.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.aggregation.plan import Integers, Plan, Reals
from medcrypt.errors import ProtocolError
from medcrypt.paillier import Packing

__all__ = ["Aggregate", "Update", "add_integers", "is_within", "quantise", "reduce"]

Update = Mapping[str, npt.ArrayLike]


def quantise(
    plan: Plan, update: Update, weight: SupportsIndex | None = None, *, saturate: bool = False
) -> Integers:
    """Return the integers that one client contributes, noise included.

    Parameters
    ----------
    plan
        The plan.
    update
        The arrays of the plan, by name: real numbers of exactly the planned shapes.
    weight
        The client's weight, from 1 to `plan.max_weight`; None where the plan is not weighted.
    saturate
        Move values beyond the clip onto it in place of refusing them. NaN and infinities are always refused, and
        saturation is where a weighted plan has noise.

    Returns
    -------
    ndarray of int64, shape (plan.dimension,)
        The weight first, where there is one; then the arrays in the order of `plan.shapes`, each in C order.

    Raises
    ------
    TypeError
        If the update is no mapping, an array does not hold real numbers, or the weight is no integer.
    ValueError
        If a name or shape is not the planned one, a value is NaN, infinite or beyond the clip, or the weight is out
        of range.

    Examples
    --------
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)}, weighted=True, max_weight=9)
    >>> quantise(plan, {"w": [1.0, -0.5, 0.0]}, weight=2)
    array([   2,  254, -128,    0])
    """
    factor = _weight(plan, weight)
    if saturate and plan.weighted and plan.noise is not None:
        # The clip moves with the weight: one patient more would move every saturated value of w x as well.
        raise ValueError("saturating weighted means would void the sensitivity of the noise: clip before")
    reals = _flat(plan, update, saturate)
    if plan.noise is not None:
        return plan.noise.contribution(plan, reals, factor)
    contribution = np.empty(plan.dimension, dtype=np.int64)
    if plan.weighted:
        contribution[0] = factor
    steps = _steps(plan, reals) if plan.l2_clip is None else _bounded_steps(plan, reals, factor)
    np.multiply(steps, factor, out=contribution[int(plan.weighted) :])
    return contribution


def reduce(plan: Plan, sums: npt.NDArray[np.int64] | npt.NDArray[np.uint64]) -> Integers:
    """Return the representative modulo 2^B in [-2^(B-1), 2^(B-1)).

    Parameters
    ----------
    plan
        The plan.
    sums
        Integers modulo 2^64, or at least modulo 2^B.

    Returns
    -------
    ndarray of int64, same shape
        The representatives.

    Examples
    --------
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)})
    >>> plan.modulus_bits, reduce(plan, np.array([3, 511, 256]))
    (9, array([   3,   -1, -256]))
    """
    spare = np.int64(64 - plan.modulus_bits)
    shifted = np.left_shift(sums.astype(np.int64, copy=False), spare)  # the top bit becomes the sign
    return np.right_shift(shifted, spare, out=shifted)


def add_integers(plan: Plan, contributions: Iterable[Integers]) -> Integers:
    """Add up contributions in the clear: what either back-end must return, bit for bit.

    Parameters
    ----------
    plan
        The plan.
    contributions
        What `quantise` made, one or more.

    Returns
    -------
    ndarray of int64, shape (plan.dimension,)
        The sum modulo 2^B, as `reduce` gives it.

    Examples
    --------
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (2,)})
    >>> add_integers(plan, [quantise(plan, {"w": [1.0, 0.5]}), quantise(plan, {"w": [1.0, -1.0]})])
    array([254, -63])
    """
    total = np.zeros(plan.dimension, dtype=np.int64)
    for contribution in contributions:
        total += contribution
    return reduce(plan, total)


@dataclass(frozen=True, eq=False)
class Aggregate:
    """The opened sum of one round.

    Parameters
    ----------
    plan
        The plan.
    integers
        The sum, shape (plan.dimension,); what is kept is its representative modulo 2^B, as `reduce` gives it.
    contributors
        Whose contributions are in it, in ascending order.

    Raises
    ------
    ProtocolError
        If the sum of the weights is impossible for so many contributors: one of them lied, and which one nobody
        can tell. (Not checked where noise is on it.)

    Examples
    --------
    >>> plan = Plan(clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (2,)}, weighted=True, max_weight=9)
    >>> parts = [quantise(plan, {"w": [1.0, 0.0]}, weight=1), quantise(plan, {"w": [0.0, 1.0]}, weight=3)]
    >>> aggregate = Aggregate(plan, add_integers(plan, parts), ("Berlin", "Jena"))
    >>> aggregate.total_weight, aggregate.means()
    (4, {'w': array([0.25, 0.75])})
    """

    plan: Plan
    integers: Integers
    contributors: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.integers.shape != (self.plan.dimension,):
            raise ValueError(f"expected {self.plan.dimension} integers, got shape {self.integers.shape}")
        object.__setattr__(self, "integers", reduce(self.plan, self.integers))
        count, most = len(self.contributors), (self.plan.max_weight or 1) * len(self.contributors)
        if self.plan.weighted and self.plan.noise is None and not count <= self.total_weight <= most:
            raise ProtocolError("the sum of the weights is impossible: a contributor lied")

    @property
    def total_weight(self) -> int:
        """The sum of the contributors' weights; their number where the plan is not weighted."""
        return int(self.integers[0]) if self.plan.weighted else len(self.contributors)

    def sums(self) -> dict[str, Reals]:
        """Return the (weighted) sum of every array, float64."""
        return self._arrays(1)

    def means(self) -> dict[str, Reals]:
        """Return the (weighted) mean of every array, float64.

        Each coordinate is within `Plan.quantisation_bound` of the mean of the clients' clipped values.

        Raises
        ------
        ProtocolError
            If the sum of the weights is not positive, as noise or liars can make it.
        """
        if self.total_weight < 1:
            raise ProtocolError("the sum of the weights is not positive: there is no mean")
        return self._arrays(self.total_weight)

    def _arrays(self, divisor: int) -> dict[str, Reals]:
        """Return the arrays in the unit of the data, divided by an integer."""
        reals = self.integers[int(self.plan.weighted) :] / (divisor * self.plan.levels)
        reals *= self.plan.clip
        if self.plan.noise is not None:
            reals = self.plan.noise.restore(self.plan, reals)
        arrays, at = {}, 0
        for name, shape in self.plan.shapes.items():
            size = math.prod(shape)
            arrays[name] = reals[at : at + size].reshape(shape).copy()
            at += size
        return arrays

    def __repr__(self) -> str:
        return f"Aggregate(contributors={len(self.contributors)}, dimension={self.plan.dimension})"


def _weight(plan: Plan, weight: SupportsIndex | None) -> int:
    """Return the client's weight as an int within the plan's range."""
    if not plan.weighted:
        if weight is not None:
            raise ValueError("the plan is not weighted: a weight would not be used")
        return 1
    if weight is None:
        raise TypeError("the plan is weighted: a weight is needed")
    if isinstance(weight, (bool, np.bool_)) or not hasattr(weight, "__index__"):
        raise TypeError(f"a weight must be an integer, not {type(weight).__name__}")
    factor = weight.__index__()
    if not 1 <= factor <= (plan.max_weight or 1):
        raise ValueError(f"a weight must be between 1 and {plan.max_weight}")
    return factor


def _flat(plan: Plan, update: Update, saturate: bool) -> Reals:
    """Check names, shapes and values, and lay the arrays out one after the other."""
    if not isinstance(update, Mapping):
        raise TypeError("an update maps names to arrays")
    if set(update) != set(plan.shapes):
        missing, unknown = set(plan.shapes) - set(update), set(update) - set(plan.shapes)
        raise ValueError(f"the update lacks {sorted(missing)} and has {sorted(unknown, key=str)} unplanned")
    reals = np.empty(plan.size, dtype=np.float64)
    at = 0
    for name, shape in plan.shapes.items():
        array = _checked(update[name], name, shape)
        reals[at : at + array.size] = array.reshape(-1)
        at += array.size
    if not np.isfinite(reals).all():
        raise ValueError("NaN and infinite values cannot be aggregated")
    if saturate:
        return np.clip(reals, -plan.clip, plan.clip, out=reals)
    if reals.size and max(-float(reals.min()), float(reals.max())) > plan.clip:
        raise ValueError(f"values beyond the clip of {plan.clip}; scale or clip them, or pass saturate=True")
    return reals


def _checked(array: npt.ArrayLike, name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Coerce one array, of real numbers and of the planned shape, to float64."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(f"{name!r} is a masked array; fill it first")
    plain = np.asarray(array)
    if plain.dtype.kind not in "fiu":
        raise TypeError(f"{name!r} must hold real numbers, got dtype {plain.dtype}")
    if plain.shape != shape:
        raise ValueError(f"{name!r} has shape {plain.shape}, planned is {shape}")
    with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite and is refused
        return plain.astype(np.float64, copy=False)


def _steps(plan: Plan, reals: Reals) -> Integers:
    """Round to the nearest step."""
    return Packing(plan.clip, plan.bits, max_terms=1).quantise(reals)


def _bounded_steps(plan: Plan, reals: Reals, weight: int) -> Integers:
    """Round so that weight times the vector of steps is no longer than l2_clip, exactly.

    Rounding to the nearest step can lengthen a vector. Where the bound does not hold then, the vector is scaled
    to the bound and rounded towards zero, which lengthens nothing.
    """
    limit = (plan.l2_clip or 0.0) / plan.step / weight
    steps = _steps(plan, reals)
    scale = 1.0
    while not is_within(steps, limit):
        length = float(np.linalg.norm(reals / plan.step))
        scale = min(scale * (1 - 2.0**-40), limit / length)
        steps = np.trunc(reals / plan.clip * plan.levels * scale).astype(np.int64)
    return steps


def is_within(steps: Integers, limit: float) -> bool:
    """Tell whether the L2 norm is at most the limit, erring to the safe side.

    Steps are exact in float64. A sum of d squares, in any order, has a relative error below (d + 1) 2^-53, and
    the limit, a quotient, one below 2^-50.
    """
    reals = steps.astype(np.float64)
    squares = float(np.dot(reals, reals)) * (1 + (steps.size + 2) * 2.0**-53)
    return squares <= limit * limit * (1 - 2.0**-48)
