"""The filter: for events that are chosen while looking at what earlier ones released.

An accountant adds up a sequence that was fixed in advance. Where the next event depends on earlier outputs,
its parameters are random, and a curve computed afterwards proves nothing; sums of three kinds still do
(Feldman and Zrnic 2021; Whitehouse et al. 2023; for Gaussians Smith and Thakurta 2022; Koskela et al. 2023):

* ``"zcdp"``: the sum of rho;
* ``"renyi"``: the sum of Rényi divergences at an order fixed in advance;
* ``"gaussian"``: the sum of mu^2 = 1/noise_multiplier^2 over Gaussians only, exact.

With k orders fixed in advance, each order gets delta/k, and an event is admitted while *some* order is within
its budget. That is (epsilon, delta)-DP: give every output to the first order that held until its end. On the
outputs of one order, the process equals the one that this order's own filter stops, hence costs (epsilon,
delta/k); the k parts add up.

Samplers draw noise that is close to the events' laws, and not exactly of them: 2^-30 of delta is kept for that. What a
filter admitted is at most the sum of the distances away from what it describes, also where the draws depend on earlier
outputs (`draws`), and that costs (1 + e^epsilon) times the sum.

Sums are integers, in units of 2^-256: every charge is rounded up and every budget down, so that rounding can
never admit an event too many.
"""

import math
import threading
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from medcrypt.dp import renyi
from medcrypt.dp.calibration import calibrate
from medcrypt.dp.draws import Draws
from medcrypt.dp.events import (
    RELATIONS,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    PureDP,
    RandomizedResponse,
    ZeroConcentratedDP,
    _natural,
    _positive,
    _real,
    mechanisms,
    why_refused,
)
from medcrypt.errors import BudgetError

__all__ = ["Filter"]

_KINDS = ("zcdp", "renyi", "gaussian")
_UNITS = 1 << 256
_INFINITE = 1 << 2048
_DIGITS = 1000  # of a sum that is read
_KEPT = 2.0**-30  # share of delta for the distance of the draws


class Filter:
    """A budget that holds for adaptively chosen events.

    Parameters
    ----------
    epsilon, delta
        The budget: whatever is admitted is (epsilon, delta)-DP together; epsilon > 0, delta in (0, 1).
    kind
        What is summed: ``"zcdp"``, ``"renyi"`` or ``"gaussian"``. Sampled events need ``"renyi"``.
    orders
        For ``"renyi"``: the orders, above 1. By default nine around the best one for zCDP. More orders suit
        more kinds of events, and each costs a little; for events that are known roughly in advance,
        `renyi.best_order` is the one to take.
    neighbors
        The neighbouring relation, as in `Accountant`.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range, or the budget is too small to admit anything.

    Notes
    -----
    The filter is safe to share between threads. It says when to stop; epsilon at a stop that depends on the
    outputs is no smaller than the budget, so there is no ``epsilon()`` to ask for on the way.

    What was released stays released. Where a run goes back to an earlier checkpoint, the filter must keep its later
    state: `load_state_dict` refuses to lower what is spent, but a new process has only the state that it is given. Save
    the state after `spend` and before anything is released, apart from the model's checkpoints, and load the newest.

    Examples
    --------
    >>> from medcrypt import dp
    >>> budget = dp.Filter(epsilon=1.0, delta=1e-6)
    >>> budget.spend(dp.Gaussian(10.0))
    >>> budget.would_exceed(dp.Gaussian(3.0))
    True
    >>> budget.spend(dp.Gaussian(3.0))
    Traceback (most recent call last):
    ...
    medcrypt.errors.BudgetError: the privacy budget would be passed; nothing was spent
    """

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __init__(
        self,
        *,
        epsilon: float,
        delta: float,
        kind: str = "zcdp",
        orders: Iterable[float] | None = None,
        neighbors: str = "add_or_remove_one",
    ) -> None:
        self._epsilon, self._delta = _positive("epsilon", epsilon), _real("delta", delta)
        if not 0.0 < self._delta < 1.0:
            raise ValueError(f"delta must lie in (0, 1), not {delta}")
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {_KINDS}, not {kind!r}")
        if orders is not None and kind != "renyi":
            raise ValueError("only the kind 'renyi' takes orders")
        if neighbors not in RELATIONS:
            raise ValueError(f"neighbors must be one of {RELATIONS}, not {neighbors!r}")
        self._kind, self._neighbors = kind, neighbors
        self._orders = self._checked_orders(orders) if kind == "renyi" else ()
        self._budgets = self._make_budgets(self._delta * (1.0 - _KEPT))
        self._farthest = self._delta * _KEPT * math.exp(-self._epsilon) / (1.0 + math.exp(-self._epsilon))
        self._farthest *= 1.0 - 2.0**-20  # also what rounded the rest of delta up
        if not any(budget > 0 for budget in self._budgets):
            raise ValueError("the budget is too small to admit anything")
        self._spent, self._draws = [0] * len(self._budgets), Draws()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return (
            f"Filter(epsilon={self._epsilon!r}, delta={self._delta!r}, kind={self._kind!r}, "
            f"neighbors={self._neighbors!r}, spent={self.spent:.4g})"
        )

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("a filter is not copied: two copies would spend one budget twice; use state_dict")

    @property
    def spent(self) -> float:
        """Share of the budget that is spent, from 0 to 1, rounded up; for several orders, at the best one.

        What is kept for the draws is not in it.
        """
        with self._lock:
            shares = [
                Fraction(spent, budget)
                for spent, budget in zip(self._spent, self._budgets, strict=True)
                if budget > 0
            ]
        return min(math.nextafter(float(min(shares)), 2.0) if min(shares) else 0.0, 1.0)

    def spend(self, event: Event, count: int = 1, *, draws: int = 0, distance: float = 0.0) -> None:
        """Admit an event, or refuse it; call this *before* the event is released.

        Parameters
        ----------
        event
            The event, chosen in any way on what was released before. The parts of a `Composed` must not depend
            on each other's outputs.
        count
            How often; an integer >= 0.
        draws, distance
            As for `Accountant.compose`: integers that one release draws, and how far each may be from its law.

        Raises
        ------
        BudgetError
            If the budget would be passed, or the draws' distance what is kept for it: 2^-30 delta/(1 + e^epsilon).
            Nothing is spent then, and a cheaper event may still fit.
        TypeError, ValueError
            If an argument is of the wrong type, or the event cannot be summed in this way under the
            neighbouring relation. Nothing is spent then.

        Examples
        --------
        >>> from medcrypt import dp
        >>> step = dp.PoissonSampled(0.01, dp.Gaussian(1.0))
        >>> order = dp.renyi.best_order(dp.Repeated(step, 800), delta=1e-5)
        >>> budget = dp.Filter(epsilon=2.0, delta=1e-5, kind="renyi", orders=[order])
        >>> budget.spend(step, count=800)
        >>> budget.would_exceed(step, count=200)
        True
        """
        charges = self._charges(event, count)
        with self._lock:
            total, drawn = self._with(charges, count, draws, distance)
            if not self._fits(total):
                raise BudgetError("the privacy budget would be passed; nothing was spent")
            if not self._near(drawn):
                raise BudgetError(
                    "the draws would be too far from their laws for this budget; nothing was spent"
                )
            self._spent, self._draws = self._capped(total), drawn

    def would_exceed(self, event: Event, count: int = 1, *, draws: int = 0, distance: float = 0.0) -> bool:
        """Tell whether `spend` would refuse an event now.

        Between this answer and `spend`, another thread may spend; only `spend` decides.

        Parameters
        ----------
        event, count, draws, distance
            As for `spend`.

        Returns
        -------
        bool
            True if the budget would be passed.

        Raises
        ------
        TypeError, ValueError
            As `spend`.
        """
        charges = self._charges(event, count)
        with self._lock:
            total, drawn = self._with(charges, count, draws, distance)
            return not (self._fits(total) and self._near(drawn))

    def state_dict(self) -> dict[str, Any]:
        """Return the filter's state in JSON types.

        Returns
        -------
        dict
            The parameters and ``"spent"``: for each sum its exact value in units of 2^-256, in decimal; ``"draws"`` and
            ``"distance"``, the number of draws and, in the same units, the sum of their distances.

        Examples
        --------
        >>> from medcrypt import dp
        >>> dp.Filter(epsilon=1.0, delta=1e-6).state_dict()["spent"]
        ['0']
        """
        with self._lock:
            spent = [str(spent) for spent in self._spent]
            return {**self._parameters(), "spent": spent, **self._draws.state()}

    def load_state_dict(self, state: dict[str, Any], *, reset: bool = False) -> None:
        """Replace what is spent by what `state_dict` returned.

        Parameters
        ----------
        state
            The state of a filter with the same parameters. One of version 1 has no draws.
        reset
            True allows to lower what is spent: for a filter whose releases nobody has seen.

        Raises
        ------
        TypeError
            If the state is not a dictionary.
        ValueError
            If it is malformed, or of a filter with other parameters, or, without ``reset``, a sum is below the present
            one. The filter is unchanged then.
        """
        if not isinstance(state, dict):
            raise TypeError(f"state must be a dict, not {type(state).__name__}")
        parameters = self._parameters()
        if state.get("version") == 1 and set(state) == {*parameters, "spent"}:
            state = {**state, "version": parameters["version"], **Draws().state()}
        if set(state) != {*parameters, "spent", "draws", "distance"}:
            raise ValueError("not a state of a filter")
        different = [name for name, value in parameters.items() if state[name] != value]
        if different:
            raise ValueError(f"the state is of a filter with another {different[0]}")
        spent = state["spent"]
        if not isinstance(spent, list) or len(spent) != len(self._budgets):
            raise ValueError("spent must be a list of one sum each")
        if not all(isinstance(s, str) and s.isascii() and s.isdigit() and len(s) <= _DIGITS for s in spent):
            raise ValueError("a sum must be a decimal number")
        loaded, drawn = self._capped([int(s) for s in spent]), Draws.from_state(state)
        with self._lock:
            before = [*self._spent, self._draws.number, self._draws.units]
            after = [*loaded, drawn.number, drawn.units]
            if not reset and any(new < old for new, old in zip(after, before, strict=True)):
                raise ValueError(
                    "the state has spent less than this filter; reset=True loads it all the same"
                )
            self._spent, self._draws = loaded, drawn

    def _parameters(self) -> dict[str, Any]:
        """Return what two filters must have in common to exchange states."""
        return {
            "version": 2,
            "epsilon": self._epsilon,
            "delta": self._delta,
            "kind": self._kind,
            "orders": list(self._orders),
            "neighbors": self._neighbors,
        }

    def _checked_orders(self, orders: Iterable[float] | None) -> tuple[float, ...]:
        """Return the orders, by default nine around the one that zCDP of this budget is converted at."""
        if orders is None:
            middle = max(2.0 * math.log(1.0 / self._delta) / self._epsilon, 0.1)
            return tuple(1.0 + middle * 2.0 ** (k / 3) for k in range(-5, 4))
        checked = tuple(_real("an order", order) for order in orders)
        if not checked or min(checked) <= 1.0 or len(set(checked)) != len(checked):
            raise ValueError("orders must be above 1, different, and at least one")
        return checked

    def _make_budgets(self, delta: float) -> list[int]:
        """Return for each sum the most that it may reach, rounded down."""
        if self._kind == "gaussian":
            sigma = calibrate(Gaussian, epsilon=self._epsilon, delta=delta)
            return [_rounded_down(_half_squared_mu(Gaussian(sigma)))]
        if self._kind == "zcdp":
            return [_rounded_down(Fraction(_largest_rho(self._epsilon, delta)))]
        share = delta / len(self._orders)
        return [_rounded_down(Fraction(_largest_divergence(o, self._epsilon, share))) for o in self._orders]

    def _with(self, charges: list[int], count: int, draws: int, distance: float) -> tuple[list[int], Draws]:
        """Return what would be spent and drawn together."""
        total = [spent + charge for spent, charge in zip(self._spent, charges, strict=True)]
        return total, self._draws.more(count, draws, distance)

    def _near(self, drawn: Draws) -> bool:
        """Tell whether draws are near enough to their laws."""
        return drawn.units == 0 or drawn.distance <= self._farthest

    def _fits(self, total: list[int]) -> bool:
        """Tell whether some sum is within its budget."""
        return any(spent <= budget for spent, budget in zip(total, self._budgets, strict=True))

    def _capped(self, total: list[int]) -> list[int]:
        """Return sums of which those past their budget are one unit past it: they stay so, and states short."""
        return [min(spent, budget + 1) for spent, budget in zip(total, self._budgets, strict=True)]

    def _charges(self, event: Event, count: int) -> list[int]:
        """Return what an event adds to each sum, rounded up."""
        count = _natural("count", count)
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, not {type(event).__name__}")
        refusal = why_refused(event, self._neighbors)
        if refusal is not None:
            raise ValueError(refusal)
        if self._kind == "renyi":
            divergences = [renyi.divergence(event, order) for order in self._orders]
            if min(divergences) == math.inf:
                raise ValueError("the event has no finite Rényi divergence at the filter's orders")
            return [_rounded_up(divergence) * count for divergence in divergences]
        charge = _rho if self._kind == "zcdp" else _half_squared_mu
        return [sum(_rounded_up(charge(part)) * times for part, times in mechanisms(event, count))]


def _rho(part: Event) -> Fraction:
    """Return the zCDP bound of one mechanism (Bun and Steinke 2016, Propositions 1.6 and 3.3)."""
    match part:
        case ZeroConcentratedDP(rho):
            return Fraction(rho)
        case PureDP(epsilon):
            ratio = Fraction(epsilon)
        case Gaussian(scale) | Laplace(scale):
            ratio = 1 / Fraction(scale)
        case DiscreteGaussian(scale, sensitivity) | DiscreteLaplace(scale, sensitivity):
            ratio = sensitivity / Fraction(scale)
        case RandomizedResponse(probability, categories):
            ratio = Fraction(math.log1p((1.0 - probability) * categories / probability) * (1.0 + 1e-14))
        case _:
            raise ValueError(
                f"no zCDP bound is known for {type(part).__name__}; a filter of kind 'renyi' may know it"
            )
    return ratio**2 / 2


def _half_squared_mu(part: Event) -> Fraction:
    """Return mu^2/2 of one Gaussian."""
    if not isinstance(part, Gaussian):
        raise ValueError(
            f"a filter of kind 'gaussian' admits Gaussian events only, not {type(part).__name__}"
        )
    return Fraction(1, 2) / Fraction(part.noise_multiplier) ** 2


def _rounded_up(charge: Fraction | float) -> int:
    """Return a charge in units, from above; what is infinite exceeds every budget."""
    if charge == math.inf:
        return _INFINITE
    return math.ceil(Fraction(charge) * _UNITS)


def _rounded_down(budget: Fraction) -> int:
    """Return a budget in units, from below; a budget below zero admits nothing."""
    return math.floor(budget * _UNITS) if budget > 0 else -1


def _largest_rho(epsilon: float, delta: float) -> float:
    """Return rho, from below, whose zCDP implies (epsilon, delta); bisected to 1e-12 relative."""
    low, high = 0.0, 1.0
    while renyi.epsilon(ZeroConcentratedDP(high), delta) <= epsilon:
        low, high = high, 2.0 * high
    while low == 0.0 and high > 1e-60:
        if renyi.epsilon(ZeroConcentratedDP(0.5 * high), delta) <= epsilon:
            low = 0.5 * high
        else:
            high *= 0.5
    while high - low > 1e-12 * high:
        middle = 0.5 * (low + high)
        if renyi.epsilon(ZeroConcentratedDP(middle), delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def _largest_divergence(order: float, epsilon: float, delta: float) -> float:
    """Return the divergence of one order, from below, that implies (epsilon, delta).

    Canonne, Kamath and Steinke 2020, Proposition 12, solved for the divergence.
    """
    gain, price = -math.log1p(-1.0 / order), math.log(order * delta) / (order - 1.0)
    return epsilon + gain + price - 1e-13 * (epsilon + gain + abs(price))
