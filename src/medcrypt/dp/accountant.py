"""The accountant: collects events, answers how much privacy they cost together."""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Self, TypeGuard

from medcrypt.dp import noise, renyi
from medcrypt.dp.composition import Composition
from medcrypt.dp.draws import Draws
from medcrypt.dp.events import (
    RELATIONS,
    Composed,
    Event,
    Gaussian,
    PoissonSampled,
    RenyiCurve,
    Repeated,
    SampledWithoutReplacement,
    ZeroConcentratedDP,
    _at_least,
    _natural,
    _not_negative,
    _real,
    from_json,
    mechanisms,
    to_json,
    why_refused,
)
from medcrypt.dp.losses import Loss, enclosed, once, pair
from medcrypt.dp.tradeoff import chained_epsilon, least_type_two_error, of_a_group

__all__ = ["Accountant"]

_LEAST_LOG_DELTA = -750.0  # below the least positive double
_LARGEST_COUNT = 1 << 53  # of releases: beyond, a double would round it
_LEAST_SAMPLED_NOISE = 0.04  # noise multiplier of a step below which sampling is not accounted for
_FIELDS = {  # of a state, by its version
    1: {"version", "neighbors", "events"},
    2: {"version", "neighbors", "events", "draws", "distance"},
}


class Accountant:
    """Privacy cost of a sequence of events that is fixed in advance.

    Gaussian, Laplace and Poisson-sampled Gaussian events, in any mixture, are accounted by the exact contour
    integral (Alghamdi et al. 2022, 2023) in both directions of the whole composition; the larger direction
    counts. Discrete mechanisms and samples of fixed size are enclosed between lists of points. A history that
    contains `ZeroConcentratedDP` or `RenyiCurve` is accounted by Rényi divergences with the optimal known conversion,
    minimised over real orders (`renyi`).

    Events are mathematics, and noise is drawn by samplers that come close to it. Where `compose` is told how many
    integers were drawn and how close, epsilon and delta include what that costs, `charge`. What remains is
    computational, and apart: `generator_advantage`.

    The accountant is not a filter: events chosen after looking at earlier outputs need `Filter`.

    Parameters
    ----------
    neighbors
        The neighbouring relation: ``"add_or_remove_one"`` record, or ``"replace_one"`` record. Noise
        multipliers and scales are understood under this relation. `PoissonSampled` needs
        ``"add_or_remove_one"``.

    Raises
    ------
    ValueError
        If the relation is unknown.

    Examples
    --------
    >>> from medcrypt import dp
    >>> accountant = dp.Accountant()
    >>> step = dp.PoissonSampled(0.01, dp.Gaussian(noise_multiplier=1.0))
    >>> round(accountant.compose(step, count=1000).epsilon(delta=1e-5), 6)
    1.828237
    """

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __init__(self, neighbors: str = "add_or_remove_one") -> None:
        if neighbors not in RELATIONS:
            raise ValueError(f"neighbors must be one of {RELATIONS}, not {neighbors!r}")
        self._neighbors = neighbors
        self._events: list[tuple[Event, int]] = []
        self._draws = Draws()
        self._prepared: tuple[Any, list[Event], list[Composition]] | None = None

    def __repr__(self) -> str:
        drawn = f", draws={self.draws}, distance={self.distance:.3g}" if self.draws else ""
        return f"Accountant(neighbors={self._neighbors!r}, events={self._events!r}{drawn})"

    def __eq__(self, other: object) -> bool:
        """Compare the relation, what was composed, whatever the order and the nesting, and the draws."""
        if not isinstance(other, Accountant):
            return NotImplemented
        mine, others = (self._neighbors, self._draws), (other._neighbors, other._draws)
        return mine == others and self._leaves() == other._leaves()

    @property
    def neighbors(self) -> str:
        """The neighbouring relation."""
        return self._neighbors

    @property
    def events(self) -> tuple[tuple[Event, int], ...]:
        """The history: pairs (event, count) in the order of composition, equal neighbours merged."""
        return tuple(self._events)

    @property
    def draws(self) -> int:
        """How many integers of noise all releases drew, as far as `compose` was told."""
        return self._draws.number

    @property
    def distance(self) -> float:
        """Distance in total variation of all that was released from the events' laws, from above."""
        return self._draws.distance

    @property
    def generator_advantage(self) -> float:
        """How well anybody tells the key streams behind the draws from uniform words: `noise.generator_advantage`.

        It is computational, stands beside the assumption on AES, and is in no epsilon and no delta.
        """
        return noise.generator_advantage(self.draws)

    def charge(self, epsilon: float) -> float:
        """Return the part of `delta` that the samplers are charged: (1 + e^epsilon) times `distance`.

        Parameters
        ----------
        epsilon
            Finite and >= 0.

        Returns
        -------
        float
            The charge from above; 0 where no draws were reported.

        Raises
        ------
        TypeError, ValueError
            If epsilon is no finite number >= 0.

        Examples
        --------
        >>> from medcrypt import dp
        >>> mechanism = dp.GaussianMechanism(noise_multiplier=1.0, clip=1.0, shape=10**6)
        >>> accountant = dp.Accountant().compose(
        ...     mechanism.event, 100, draws=mechanism.draws, distance=mechanism.distance
        ... )
        >>> 0 < accountant.charge(epsilon=4.0) < 1e-20
        True
        >>> accountant.draws, accountant.generator_advantage < 1e-20
        (100000000, True)
        """
        return self._draws.charge(_not_negative("epsilon", epsilon))

    def compose(self, event: Event, count: int = 1, *, draws: int = 0, distance: float = 0.0) -> Self:
        """Add an event that was (or will be) released ``count`` times.

        Parameters
        ----------
        event
            The event.
        count
            How often; an integer >= 0.
        draws, distance
            How many integers of noise one release draws, and a bound of the total-variation distance of each from its
            law: a mechanism's attributes of these names. By default the noise is taken as the event says.

        Returns
        -------
        Accountant
            This accountant.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or outside its range, or no bound is proven for the event under the
            neighbouring relation. Nothing is added then.

        Examples
        --------
        >>> from medcrypt import dp
        >>> dp.Accountant().compose(dp.Laplace(10.0), 3).compose(dp.Laplace(10.0)).events
        ((Laplace(scale=10.0), 4),)
        """
        count = _natural("count", count)
        if not isinstance(event, Event):
            raise TypeError(f"event must be an Event, not {type(event).__name__}")
        again = bool(self._events) and self._events[-1][0] == event
        if not again and (refusal := why_refused(event, self._neighbors)) is not None:
            raise ValueError(refusal)
        if draws != 0 or distance != 0.0:
            self._draws = self._draws.more(count, draws, distance)
        if count == 0:
            return self
        if again:
            event, before = self._events.pop()  # the same object as ever is compared fastest
            count += before
        self._events.append((event, count))
        return self

    def epsilon(self, delta: float) -> float:
        """Return epsilon at ``delta``, from above.

        Parameters
        ----------
        delta
            In [0, 1).

        Returns
        -------
        float
            The upper end of `epsilon_bounds`. At ``delta=0`` it is finite for Laplace events only; it is infinite where
            the charge of the draws leaves nothing of delta.

        Raises
        ------
        TypeError, ValueError
            If delta is no number in [0, 1).

        Examples
        --------
        >>> from medcrypt import dp
        >>> round(dp.Accountant().compose(dp.Gaussian(1.0)).epsilon(1e-5), 6)
        4.377178
        """
        if self._draws.units:
            return self._draws.epsilon(self._exact_epsilon_bounds, _share_of_one(delta))
        return self._exact_epsilon_bounds(_share_of_one(delta))[1]

    def delta(self, epsilon: float) -> float:
        """Return delta at ``epsilon``, from above.

        Parameters
        ----------
        epsilon
            Finite and >= 0.

        Returns
        -------
        float
            The upper end of `delta_bounds`, in [0, 1].

        Raises
        ------
        TypeError, ValueError
            If epsilon is no finite number >= 0.

        Examples
        --------
        >>> from medcrypt import dp
        >>> round(dp.Accountant().compose(dp.Gaussian(1.0)).delta(1.0), 9)
        0.126936738
        """
        return self.delta_bounds(epsilon)[1]

    def epsilon_bounds(self, delta: float) -> tuple[float, float]:
        """Return certified bounds that enclose the true epsilon at ``delta``.

        They include every error, of truncation, of quadrature and of rounding, and the distance of the draws that
        were reported; the proof is in the documentation ("The accountant's proof"). Their distance is below 1e-9
        for most histories of more than a few events. Where the integral converges too slowly the bounds are wide
        and say so: the upper one is at worst the optimal Rényi bound, which is always valid, and the lower one may
        be 0. A history with an event that is known by Rényi divergences only has that bound as its upper one, and
        0 as its lower. Of several `SampledWithoutReplacement` the truth is that of the pair of outputs that dominates
        them, which the mechanism itself may not attain: what lies below it is no lower bound on the mechanism's.

        Parameters
        ----------
        delta
            In [0, 1).

        Returns
        -------
        tuple of float
            ``(lo, hi)``, both >= 0, possibly infinite at ``delta=0``.

        Raises
        ------
        TypeError, ValueError
            If delta is no number in [0, 1).

        Examples
        --------
        >>> from medcrypt import dp
        >>> lo, hi = dp.Accountant().compose(dp.Laplace(10.0), 1000).epsilon_bounds(1e-6)
        >>> round(lo, 9), round(hi, 9)
        (18.950287368, 18.950287368)
        """
        delta = _share_of_one(delta)
        if self._draws.units:
            return self._draws.epsilon_bounds(self._exact_epsilon_bounds, delta)
        return self._exact_epsilon_bounds(delta)

    def _exact_epsilon_bounds(self, delta: float) -> tuple[float, float]:
        """Return bounds of epsilon for noise that is exactly of the events' laws."""
        history, exact = self._accounted()
        if not history:
            return 0.0, 0.0
        if _known_by_renyi(history):
            return 0.0, renyi.epsilon(_composed(history), delta) if delta > 0.0 else math.inf
        directions = self._directions(history, math.log(delta) if delta > 0.0 else _LEAST_LOG_DELTA)
        if not directions:
            return 0.0, 0.0
        if delta == 0.0:
            worst = max(direction.pure_epsilon() for direction in directions)
            return worst * (1.0 - 1e-14), worst
        if any(map(enclosed, history)):
            return _enclosing(directions, lambda curve: curve.epsilon_bounds(math.log(delta)))
        low, high = 0.0, 0.0
        for number, direction in enumerate(directions):
            # The second direction counts only if it may exceed the first.
            if number == 0 or direction.may_exceed(low, math.log(delta)):
                bounds = direction.epsilon_bounds(math.log(delta))
                low, high = max(low, bounds[0]), max(high, bounds[1])
        return low if exact else 0.0, high

    def delta_bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds that enclose the true delta at ``epsilon``.

        Like `epsilon_bounds`, and as honest about their width. The charge of the draws grows with epsilon: where it
        outweighs the rest, a smaller epsilon has a smaller delta, which holds as well.

        Parameters
        ----------
        epsilon
            Finite and >= 0.

        Returns
        -------
        tuple of float
            ``(lo, hi)`` in [0, 1]. ``hi`` is 0 only where delta is exactly 0, never because it underflows.

        Raises
        ------
        TypeError, ValueError
            If epsilon is no finite number >= 0.

        Examples
        --------
        >>> from medcrypt import dp
        >>> dp.Accountant().compose(dp.Laplace(1.0)).delta_bounds(1.0)
        (0.0, 0.0)
        """
        epsilon = _not_negative("epsilon", epsilon)
        if self._draws.units:
            return self._draws.delta_bounds(self._exact_delta_bounds, epsilon)
        return self._exact_delta_bounds(epsilon)

    def _exact_delta_bounds(self, epsilon: float) -> tuple[float, float]:
        """Return bounds of delta for noise that is exactly of the events' laws."""
        history, exact = self._accounted()
        if not history:
            return 0.0, 0.0
        if _known_by_renyi(history):
            return 0.0, renyi.delta(_composed(history), epsilon)
        directions = self._directions(history, _LEAST_LOG_DELTA)
        if not directions:
            return 0.0, 0.0
        if any(map(enclosed, history)):
            bounds = [_enclosing(directions, lambda curve: curve.log_delta_bounds(epsilon))]
        else:
            bounds = [direction.log_delta_bounds(epsilon) for direction in directions]
        low = max(_at_least_zero(lo) for lo, _ in bounds) if exact else 0.0
        return low, max(_at_most_one(hi) for _, hi in bounds)

    def would_exceed(
        self,
        event: Event,
        *,
        epsilon: float,
        delta: float,
        count: int = 1,
        draws: int = 0,
        distance: float = 0.0,
    ) -> bool:
        """Tell whether composing an event would make epsilon at ``delta`` exceed a limit.

        This is **not a filter**: it helps to plan, but a sequence whose next event, or whose end, depends on
        earlier outputs is outside what the accountant proves. Use `Filter` for that.

        Parameters
        ----------
        event, count, draws, distance
            As for `compose`; the accountant is not changed.
        epsilon
            The limit, >= 0.
        delta
            In [0, 1).

        Returns
        -------
        bool
            True if the upper bound would be above the limit.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type, outside its range, or the event is refused.

        Examples
        --------
        >>> from medcrypt import dp
        >>> accountant = dp.Accountant().compose(dp.Gaussian(5.0), 10)
        >>> accountant.would_exceed(dp.Gaussian(5.0), epsilon=3.0, delta=1e-5, count=20)
        True
        """
        limit = _not_negative("epsilon", epsilon)
        grown = Accountant(self._neighbors)
        grown._events, grown._draws = list(self._events), self._draws
        return grown.compose(event, count, draws=draws, distance=distance).epsilon(delta) > limit

    def tradeoff(self, alpha: float) -> float:
        """Return a lower bound on the type II error of every test for one record's presence at level alpha.

        Whoever sees all outputs and guesses whether the record is there, saying falsely "yes" with probability
        at most alpha, says falsely "no" with at least this probability (Dong, Roth and Su 2022). It follows
        from the curve delta(epsilon), of the worse direction.

        Parameters
        ----------
        alpha
            Level in [0, 1].

        Returns
        -------
        float
            The bound, in [0, 1 - alpha].

        Raises
        ------
        TypeError, ValueError
            If alpha is no number in [0, 1].

        Examples
        --------
        >>> from medcrypt import dp
        >>> round(dp.Accountant().compose(dp.Gaussian(1.0)).tradeoff(0.05), 6)
        0.740489
        """
        alpha = _real("alpha", alpha)
        if not 0.0 <= alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1], not {alpha}")
        return least_type_two_error(self.delta, self.epsilon, alpha)

    def group_epsilon(self, size: int, delta: float) -> float:
        """Return an upper bound on epsilon at ``delta`` for data sets that differ in up to ``size`` records.

        One patient may own several records. Where every event is plain noise, or known by a pure epsilon or
        by zCDP, the sensitivity is scaled and the answer as exact as for one record. Otherwise the neighbouring
        relation is composed with itself: if delta(eps) is the curve for one record, groups of k have (k eps,
        delta(eps) (e^(k eps) - 1)/(e^eps - 1)). It is never sound to multiply epsilon and keep delta.

        Parameters
        ----------
        size
            Number of records, >= 1.
        delta
            In (0, 1).

        Returns
        -------
        float
            The bound; infinite where the chain proves nothing.

        Raises
        ------
        TypeError, ValueError
            If an argument is of the wrong type or outside its range.

        Examples
        --------
        >>> from medcrypt import dp
        >>> accountant = dp.Accountant().compose(dp.Gaussian(10.0))
        >>> three = dp.Accountant().compose(dp.Gaussian(10.0 / 3.0))
        >>> abs(accountant.group_epsilon(3, 1e-5) - three.epsilon(1e-5)) < 1e-9
        True
        """
        size, delta = _at_least(1, "size", size), _real("delta", delta)
        if not 0.0 < delta < 1.0:
            raise ValueError(f"delta must lie in (0, 1), not {delta}")
        scaled = of_a_group(Composed(tuple(Repeated(*entry) for entry in self._events)), size)
        if scaled is not None:
            group = Accountant(self._neighbors).compose(scaled)
            group._draws = self._draws  # as far from their laws, whatever the data sets
            return group.epsilon(delta)
        return chained_epsilon(self.delta, self.epsilon, size, delta)

    def state_dict(self) -> dict[str, Any]:
        """Return the accountant's state in JSON types.

        Returns
        -------
        dict
            ``{"version": 2, "neighbors": str, "events": [{"event": ..., "count": int}], "draws": int,
            "distance": str}``, the distance exactly: in units of 2^-256, in decimal.

        Examples
        --------
        >>> from medcrypt import dp
        >>> dp.Accountant().compose(dp.Laplace(2.0), 5).state_dict()["events"]
        [{'event': {'type': 'Laplace', 'scale': 2.0}, 'count': 5}]
        """
        events = [{"event": json.loads(to_json(event)), "count": count} for event, count in self._events]
        return {"version": 2, "neighbors": self._neighbors, "events": events, **self._draws.state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Replace the history by one that `state_dict` returned.

        Parameters
        ----------
        state
            The state; its neighbouring relation must be this accountant's. One of version 1 has no draws.

        Raises
        ------
        TypeError
            If the state is not a dictionary.
        ValueError
            If it is malformed, of another version, or of another relation. The accountant is unchanged then.

        Examples
        --------
        >>> from medcrypt import dp
        >>> first, second = dp.Accountant().compose(dp.Laplace(2.0), 5), dp.Accountant()
        >>> second.load_state_dict(first.state_dict())
        >>> first == second
        True
        """
        if not isinstance(state, dict):
            raise TypeError(f"state must be a dict, not {type(state).__name__}")
        if type(state.get("version")) is not int or set(state) != _FIELDS.get(state["version"]):
            raise ValueError("not a state of this accountant")
        if state["neighbors"] != self._neighbors:
            raise ValueError(
                f"the state is for {state['neighbors']!r}, this accountant for {self._neighbors!r}"
            )
        if not isinstance(state["events"], list):
            raise ValueError("events must be a list")
        fresh = Accountant(self._neighbors)
        for item in state["events"]:
            if not isinstance(item, dict) or set(item) != {"event", "count"}:
                raise ValueError("an entry needs exactly the fields 'event' and 'count'")
            try:
                fresh.compose(from_json(json.dumps(item["event"])), item["count"])
            except TypeError as error:
                raise ValueError(str(error)) from None
        if state["version"] > 1:
            fresh._draws = Draws.from_state(state)
        self._events, self._draws = fresh._events, fresh._draws

    def _leaves(self) -> Counter[Event]:
        """Return the mechanisms that ran and how often: nesting and order do not count."""
        leaves: Counter[Event] = Counter()
        if len(self._events) == 1 and not isinstance(self._events[0][0], Composed | Repeated):
            leaves[self._events[0][0]] = self._events[0][1]
            return leaves
        for event, count in self._events:
            for leaf, times in mechanisms(event, count):
                leaves[leaf] += times
        return leaves

    def _accounted(self) -> tuple[Counter[Event], bool]:
        """Return the mechanisms that are accounted for, and whether they are those that ran.

        A sampled step with hardly any noise counts as one on all records, which costs no less: (1 - q) Q + q P is no
        easier to tell from Q than P is, at any threshold and in both directions. One release alone has a formula.
        """
        history = self._leaves()
        if history.total() > _LARGEST_COUNT:
            raise ValueError("more than 2^53 releases are not accounted for")
        if history.total() == 1 or not any(map(_hardly_noisy, history)):
            return history, True
        dearer: Counter[Event] = Counter()
        for event, count in history.items():
            dearer[event.event if _hardly_noisy(event) else event] += count
        return dearer, False

    def _directions(self, history: Counter[Event], log_delta: float) -> list[Composition]:
        """Return the composition in each direction, one if they are the same, none if nothing was released.

        They are kept: another step of the same mechanisms reuses what was computed for the last.
        """
        # A fixed order makes the result, to the last bit, independent of the order of composition.
        events = sorted(history, key=to_json) if len(history) > 1 else list(history)
        log_missing = self._log_missing(history, log_delta)
        alone = sum(history.values()) == 1
        key = (tuple(events), log_missing, alone)
        if self._prepared is None or self._prepared[0] != key:
            pairs = [
                (event, (once(event) if alone else None) or pair(event, log_missing)) for event in events
            ]
            released = [(event, both) for event, both in pairs if both is not None]
            losses: list[tuple[Loss, ...]] = [tuple(both[way] for _, both in released) for way in (0, 1)]
            same = all(both[0] is both[1] for _, both in released)
            compositions = [Composition(some) for some in losses[: 1 if same else 2] if some]
            self._prepared = key, [event for event, _ in released], compositions
        _, kept, directions = self._prepared
        counts = tuple([history[event] for event in kept])
        for direction in directions:
            direction.run(counts)
        return directions

    @staticmethod
    def _log_missing(history: Counter[Event], log_delta: float) -> float:
        """Return the log of the mass that lists of points may leave out of one release, in coarse steps."""
        return -64.0 * math.ceil((math.log(sum(history.values())) - log_delta + 30.0) / 64.0)


def _share_of_one(delta: float) -> float:
    """Return delta, checked."""
    delta = _real("delta", delta)
    if not 0.0 <= delta < 1.0:
        raise ValueError(f"delta must lie in [0, 1), not {delta}")
    return delta


def _hardly_noisy(event: Event) -> TypeGuard[PoissonSampled]:
    """Tell whether an event is a sampled step with so little noise that tables of its losses grow too large."""
    match event:
        case PoissonSampled(rate, Gaussian(noise)):
            return 0.0 < rate < 1.0 and noise < _LEAST_SAMPLED_NOISE
    return False


def _known_by_renyi(history: Iterable[Event]) -> bool:
    """Tell whether a history holds a mechanism known by its Rényi divergences only."""
    return any(
        isinstance(event, ZeroConcentratedDP | RenyiCurve)
        or (isinstance(event, SampledWithoutReplacement) and event.event.noise_multiplier < 0.1)
        for event in history
    )


def _enclosing(
    curves: list[Composition], bounds: Callable[[Composition], tuple[float, float]]
) -> tuple[float, float]:
    """Return the lower bound of the last curve and the upper one of the first, which encloses it from above."""
    high = bounds(curves[0])[1]
    return min(bounds(curves[-1])[0], high), high


def _composed(history: Counter[Event]) -> Event:
    """Return a history as one event."""
    return Composed(tuple(Repeated(event, count) for event, count in history.items()))


_LEAST = 5e-324  # the least positive double: what rounding may cost a number near it


def _at_least_zero(log_delta: float) -> float:
    """Return exp(log_delta) as a lower bound."""
    return max(math.exp(min(log_delta, 0.0)) * (1.0 - 1e-15) - 2.0 * _LEAST, 0.0)


def _at_most_one(log_delta: float) -> float:
    """Return exp(log_delta) as an upper bound: at most 1, and 0 only for a true zero."""
    if log_delta < -750.0:
        return _LEAST if log_delta > -math.inf else 0.0
    delta = math.exp(min(log_delta, 0.0))
    # Above 2^-1021 the margin of the logarithm covers the rounding of its exponential.
    return min(delta * (1.0 + 1e-15) + 2.0 * _LEAST, 1.0) if delta < 1e-307 else delta
