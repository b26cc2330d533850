"""Events: what was released, as plain data. Accountants interpret them; they compute nothing.

An event says which mechanism ran, never how it is accounted for. Events are immutable, hashable and
comparable, and travel as JSON. Parameters are stated *under the accountant's neighbouring relation*: a noise
multiplier is the standard deviation divided by the L2 sensitivity under that relation, a Laplace scale is
divided by the L1 sensitivity. Replacing one record moves a clipped sum by up to twice the clip, so the same
noise is half the multiplier under ``"replace_one"``.

Some events hold under one relation only, and say why: `why_refused` is asked by every accountant.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

__all__ = [
    "RELATIONS",
    "ApproximateDP",
    "Composed",
    "DiscreteGaussian",
    "DiscreteLaplace",
    "Event",
    "Gaussian",
    "Laplace",
    "PoissonSampled",
    "PureDP",
    "RandomizedResponse",
    "RenyiCurve",
    "Repeated",
    "SampledWithoutReplacement",
    "Skellam",
    "ZeroConcentratedDP",
    "from_json",
    "mechanisms",
    "to_json",
    "why_refused",
]

RELATIONS = ("add_or_remove_one", "replace_one")


def _real(name: str, value: object) -> float:
    """Return ``value`` as a finite float; a boolean or a string is a mistake, not a number."""
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, Real)):
        raise TypeError(f"{name} must be a real number, not {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must fit in a float") from None
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, not {number}")
    return number


def _positive(name: str, value: object) -> float:
    """Return ``value`` as a finite float above zero."""
    number = _real(name, value)
    if number <= 0.0:
        raise ValueError(f"{name} must be positive, not {number}")
    return number


def _not_negative(name: str, value: object) -> float:
    """Return ``value`` as a finite float of at least zero; minus zero becomes zero."""
    number = _real(name, value)
    if number < 0.0:
        raise ValueError(f"{name} must not be negative: {number}")
    return number + 0.0


def _natural(name: str, value: object) -> int:
    """Return ``value`` as an int of at least zero."""
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, Integral)):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    number = int(value)
    if number < 0:
        raise ValueError(f"{name} must not be negative: {number}")
    return number


def _at_least(least: int, name: str, value: object) -> int:
    """Return ``value`` as an int of at least ``least``."""
    number = _natural(name, value)
    if number < least:
        raise ValueError(f"{name} must be at least {least}, not {number}")
    return number


def _set(event: "Event", **fields: object) -> None:
    """Store checked parameters in a frozen event that is being made."""
    for name, value in fields.items():
        object.__setattr__(event, name, value)


def _iterated(name: str, value: Iterable[Any]) -> Iterable[Any]:
    """Return an iterable that is no text, whose characters nobody means."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise TypeError(f"{name} must be an iterable, not {type(value).__name__}")
    return value


def _refuse_to_amplify(event: object) -> None:
    """Refuse what sampling is not proven to amplify."""
    if not isinstance(event, Event):
        raise TypeError(f"event must be an Event, not {type(event).__name__}")
    if isinstance(event, (ZeroConcentratedDP, RenyiCurve)):
        raise ValueError(
            "a zCDP bound or a Rényi curve cannot be amplified by sampling: it does not determine the "
            "mechanism"
        )
    if not isinstance(event, Gaussian):
        raise ValueError(f"no proven amplification bound for {type(event).__name__}; only for Gaussian")


@dataclass(frozen=True)
class Event:
    """Base of all events; not an event itself.

    Examples
    --------
    >>> from medcrypt import dp
    >>> isinstance(dp.Gaussian(1.0), dp.Event)
    True
    """

    def __post_init__(self) -> None:
        if type(self) is Event:
            raise TypeError("Event is the base class; use one of its children")


@dataclass(frozen=True)
class Gaussian(Event):
    """Gaussian noise added to a query of any dimension.

    Parameters
    ----------
    noise_multiplier
        Standard deviation divided by the L2 sensitivity under the accountant's relation; > 0.

    Raises
    ------
    TypeError, ValueError
        If it is not a finite positive number.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.Gaussian(noise_multiplier=1.1)
    Gaussian(noise_multiplier=1.1)
    """

    noise_multiplier: float

    def __post_init__(self) -> None:
        _set(self, noise_multiplier=_positive("noise_multiplier", self.noise_multiplier))


@dataclass(frozen=True)
class Laplace(Event):
    """Laplace noise added to a query of L1 sensitivity one.

    Parameters
    ----------
    scale
        Scale b of the density exp(-|x|/b)/(2b), divided by the L1 sensitivity under the accountant's
        relation; > 0.

    Raises
    ------
    TypeError, ValueError
        If it is not a finite positive number.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.Laplace(scale=10)
    Laplace(scale=10.0)
    """

    scale: float

    def __post_init__(self) -> None:
        _set(self, scale=_positive("scale", self.scale))


@dataclass(frozen=True)
class DiscreteGaussian(Event):
    """Discrete Gaussian noise added to one integer: P[k] proportional to exp(-k^2 / (2 sigma^2)).

    Its privacy is not that of the Gaussian: at sigma = sensitivity = 1 epsilon is larger by up to 0.149. For a
    vector of integers only the zCDP bound is proven: `ZeroConcentratedDP` with rho = sensitivity^2 / (2
    sigma^2), sensitivity in L2 (Canonne, Kamath and Steinke 2020, Theorem 4).

    Parameters
    ----------
    sigma
        Parameter of the noise, as in `noise.discrete_gaussian`; > 0.
    sensitivity
        Most that the integer changes under the accountant's relation; an integer >= 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.DiscreteGaussian(sigma=8.0, sensitivity=4)
    DiscreteGaussian(sigma=8.0, sensitivity=4)
    """

    sigma: float
    sensitivity: int = 1

    def __post_init__(self) -> None:
        _set(
            self,
            sigma=_positive("sigma", self.sigma),
            sensitivity=_at_least(1, "sensitivity", self.sensitivity),
        )


@dataclass(frozen=True)
class DiscreteLaplace(Event):
    """Discrete Laplace (two-sided geometric) noise added to one integer: P[k] proportional to exp(-|k|/scale).

    Parameters
    ----------
    scale
        Scale of the noise, as in `noise.discrete_laplace`; > 0.
    sensitivity
        Most that the integer changes under the accountant's relation; an integer >= 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.DiscreteLaplace(scale=3.0)
    DiscreteLaplace(scale=3.0, sensitivity=1)
    """

    scale: float
    sensitivity: int = 1

    def __post_init__(self) -> None:
        _set(
            self,
            scale=_positive("scale", self.scale),
            sensitivity=_at_least(1, "sensitivity", self.sensitivity),
        )


@dataclass(frozen=True)
class Skellam(Event):
    """Skellam noise added to one integer: the difference of two Poisson variables of mean variance/2.

    Sums of independent Skellam variables are Skellam, so parties may add their shares: the variance here is
    the sum over the honest shares that are certain to arrive.

    Parameters
    ----------
    variance
        Variance of the noise, as in `noise.skellam`; > 0.
    sensitivity
        Most that the integer changes under the accountant's relation; an integer >= 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.Skellam(variance=100.0, sensitivity=2)
    Skellam(variance=100.0, sensitivity=2)
    """

    variance: float
    sensitivity: int = 1

    def __post_init__(self) -> None:
        _set(
            self,
            variance=_positive("variance", self.variance),
            sensitivity=_at_least(1, "sensitivity", self.sensitivity),
        )


@dataclass(frozen=True)
class RandomizedResponse(Event):
    """One record's category, answered at random with some probability and truthfully otherwise.

    The answer speaks for a record that is known to be there, so it is accounted under ``"replace_one"`` only.

    Parameters
    ----------
    noise_probability
        Probability p in (0, 1] that the answer is drawn uniformly from all categories, the true one included.
    categories
        Number k of categories; an integer >= 2.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.RandomizedResponse(noise_probability=0.5)
    RandomizedResponse(noise_probability=0.5, categories=2)
    """

    noise_probability: float
    categories: int = 2

    def __post_init__(self) -> None:
        probability = _positive("noise_probability", self.noise_probability)
        if probability > 1.0:
            raise ValueError(f"noise_probability must lie in (0, 1], not {probability}")
        _set(self, noise_probability=probability, categories=_at_least(2, "categories", self.categories))


@dataclass(frozen=True)
class PureDP(Event):
    """Any mechanism of which only its pure differential privacy is known.

    It is accounted as the worst of them, binary randomised response: the loss is +-epsilon (Kairouz, Oh and
    Viswanath 2015, Theorem 3.1).

    Parameters
    ----------
    epsilon
        The bound; >= 0.

    Raises
    ------
    TypeError, ValueError
        If it is not a finite number >= 0.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.PureDP(epsilon=0.5)
    PureDP(epsilon=0.5)
    """

    epsilon: float

    def __post_init__(self) -> None:
        _set(self, epsilon=_not_negative("epsilon", self.epsilon))


@dataclass(frozen=True)
class ApproximateDP(Event):
    """Any mechanism of which only its (epsilon, delta) is known.

    It is accounted as the worst of them: with probability delta everything is revealed, otherwise binary
    randomised response of epsilon (Kairouz, Oh and Viswanath 2015, Theorem 3.1).

    Parameters
    ----------
    epsilon
        >= 0.
    delta
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.ApproximateDP(epsilon=0.5, delta=1e-7)
    ApproximateDP(epsilon=0.5, delta=1e-07)
    """

    epsilon: float
    delta: float

    def __post_init__(self) -> None:
        delta = _not_negative("delta", self.delta)
        if delta >= 1.0:
            raise ValueError(f"delta must lie in [0, 1), not {delta}")
        _set(self, epsilon=_not_negative("epsilon", self.epsilon), delta=delta)


@dataclass(frozen=True)
class ZeroConcentratedDP(Event):
    """Any mechanism of which only a zCDP bound is known (Bun and Steinke 2016, Definition 1.1).

    The Rényi divergence of every order alpha > 1 is at most ``rho * alpha``, in both directions.

    Parameters
    ----------
    rho
        The bound; > 0.

    Raises
    ------
    TypeError, ValueError
        If it is not a finite positive number.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.ZeroConcentratedDP(rho=0.5)
    ZeroConcentratedDP(rho=0.5)
    """

    rho: float

    def __post_init__(self) -> None:
        _set(self, rho=_positive("rho", self.rho))


@dataclass(frozen=True)
class RenyiCurve(Event):
    """Any mechanism of which only Rényi divergences at some orders are known (Mironov 2017).

    Between the orders, and below the first, the curve is completed by convexity: (order - 1) times the
    divergence is convex in the order and 0 at order 1. Above the last order nothing is known.

    Parameters
    ----------
    orders
        Orders above 1, finite, increasing; any iterable, kept as a tuple.
    epsilons
        For each order a bound >= 0 on the Rényi divergence, in both directions.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, outside its range, or the lengths differ.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.RenyiCurve(orders=[2, 8], epsilons=[0.1, 0.5])
    RenyiCurve(orders=(2.0, 8.0), epsilons=(0.1, 0.5))
    """

    orders: tuple[float, ...]
    epsilons: tuple[float, ...]

    def __post_init__(self) -> None:
        orders = tuple(_positive("an order", order) for order in _iterated("orders", self.orders))
        epsilons = tuple(_not_negative("an epsilon", e) for e in _iterated("epsilons", self.epsilons))
        if not orders or len(orders) != len(epsilons):
            raise ValueError("orders and epsilons must be of the same length, at least 1")
        if orders[0] <= 1.0 or any(b <= a for a, b in itertools.pairwise(orders)):
            raise ValueError("orders must be above 1 and increasing")
        _set(self, orders=orders, epsilons=epsilons)


@dataclass(frozen=True)
class PoissonSampled(Event):
    """A Gaussian mechanism run on a Poisson sample: every record enters independently with one probability.

    The bound holds for Poisson sampling and for adding or removing a record only. Shuffled or fixed-size
    batches cost more (Chua et al. 2024; Lebeda et al. 2024), and must not be described by this event.

    Parameters
    ----------
    sampling_rate
        Probability q in [0, 1] that a record enters the sample.
    event
        The mechanism that ran on the sample: a `Gaussian`. Other events are refused, since no bound is proven
        here for them; a zCDP bound alone says too little about the mechanism to be amplified.

    Raises
    ------
    TypeError, ValueError
        If the rate is no number in [0, 1], or the event cannot be amplified.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.PoissonSampled(0.01, dp.Gaussian(1.0))
    PoissonSampled(sampling_rate=0.01, event=Gaussian(noise_multiplier=1.0))
    """

    sampling_rate: float
    event: Event

    def __post_init__(self) -> None:
        rate = _real("sampling_rate", self.sampling_rate)
        if not 0.0 <= rate <= 1.0:
            raise ValueError(f"sampling_rate must lie in [0, 1], not {rate}")
        _refuse_to_amplify(self.event)
        _set(self, sampling_rate=rate + 0.0)  # minus zero becomes zero


@dataclass(frozen=True)
class SampledWithoutReplacement(Event):
    """A Gaussian mechanism run on a sample of fixed size, drawn uniformly from all such samples.

    Every step draws afresh; walking through a shuffled data set is another scheme and costs more. The size of
    the data set is public, so the event is accounted under ``"replace_one"`` only, and the noise multiplier is
    the standard deviation over the sensitivity of *replacing* a record: sigma/(2 clip) for a clipped sum. The
    bound is that of one dominating pair, of the joined profile of both directions (Lebeda, Regehr, Kamath and
    Steinke 2024; Zhu, Dong and Wang 2022, Theorem 11).

    Parameters
    ----------
    sample_size
        Number of records in a sample; an integer >= 0.
    population_size
        Number of records in the data set; an integer >= 1 and not below ``sample_size``.
    event
        The mechanism that ran on the sample: a `Gaussian`. Others are refused: no bound is proven here.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range, or the event cannot be amplified.

    Examples
    --------
    >>> from medcrypt import dp
    >>> step = dp.SampledWithoutReplacement(100, 10_000, dp.Gaussian(1.0))
    >>> step.sampling_rate
    0.01
    """

    sample_size: int
    population_size: int
    event: Gaussian

    def __post_init__(self) -> None:
        sample = _natural("sample_size", self.sample_size)
        population = _at_least(1, "population_size", self.population_size)
        if sample > population:
            raise ValueError(f"a sample of {sample} cannot be drawn from {population} records")
        _refuse_to_amplify(self.event)
        _set(self, sample_size=sample, population_size=population)

    @property
    def sampling_rate(self) -> float:
        """Probability that a record is in the sample."""
        return self.sample_size / self.population_size


@dataclass(frozen=True)
class Composed(Event):
    """Several events, released one after another with independent noise; the order does not matter.

    Parameters
    ----------
    events
        The events; any iterable, kept as a tuple. Empty means that nothing was released.

    Raises
    ------
    TypeError
        If an element is not an event.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.Composed([dp.Gaussian(2.0), dp.Laplace(5.0)])
    Composed(events=(Gaussian(noise_multiplier=2.0), Laplace(scale=5.0)))
    """

    events: tuple[Event, ...]

    def __post_init__(self) -> None:
        events = tuple(_iterated("events", self.events))
        for event in events:
            if not isinstance(event, Event):
                raise TypeError(f"events must hold Event objects, not {type(event).__name__}")
        _set(self, events=events)


@dataclass(frozen=True)
class Repeated(Event):
    """One event, released ``count`` times with independent noise.

    Parameters
    ----------
    event
        The event.
    count
        How often; an integer >= 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or the count is negative.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.Repeated(dp.Laplace(5.0), 3)
    Repeated(event=Laplace(scale=5.0), count=3)
    """

    event: Event
    count: int

    def __post_init__(self) -> None:
        if not isinstance(self.event, Event):
            raise TypeError(f"event must be an Event, not {type(self.event).__name__}")
        _set(self, count=_natural("count", self.count))


def mechanisms(event: Event, count: int = 1) -> Iterator[tuple[Event, int]]:
    """Yield the mechanisms inside an event, with how often each runs.

    Parameters
    ----------
    event
        The event; `Composed` and `Repeated` are opened, all others are mechanisms.
    count
        How often the event itself runs.

    Yields
    ------
    tuple
        Pairs (mechanism, count); a mechanism may come more than once.

    Examples
    --------
    >>> from medcrypt import dp
    >>> list(mechanisms(dp.Repeated(dp.Composed([dp.Laplace(1.0), dp.Gaussian(2.0)]), 3)))
    [(Laplace(scale=1.0), 3), (Gaussian(noise_multiplier=2.0), 3)]
    """
    match event:
        case Composed(events):
            for inner in events:
                yield from mechanisms(inner, count)
        case Repeated(inner, times):
            if times:
                yield from mechanisms(inner, count * times)
        case _:
            yield event, count


_ONE_RELATION = {
    PoissonSampled: (
        "add_or_remove_one",
        "its amplification bound is proven for adding or removing a record only",
    ),
    SampledWithoutReplacement: (
        "replace_one",
        "samples of fixed size need data sets of equal size: its bound is proven for replacing a record only",
    ),
    RandomizedResponse: (
        "replace_one",
        "an answer shows that its record is there; only the category can be protected",
    ),
}


def why_refused(event: Event, neighbors: str) -> str | None:
    """Return why no bound is proven for an event under a neighbouring relation, or None if one is.

    Parameters
    ----------
    event
        The event.
    neighbors
        ``"add_or_remove_one"`` or ``"replace_one"``.

    Returns
    -------
    str or None
        A sentence that names the mechanism, the relation and the reason.

    Examples
    --------
    >>> from medcrypt import dp
    >>> why_refused(dp.PoissonSampled(0.01, dp.Gaussian(1.0)), "replace_one")
    "PoissonSampled is refused under 'replace_one': its amplification bound is proven for ... a record only"
    >>> why_refused(dp.Gaussian(1.0), "replace_one")
    """
    for mechanism, _ in mechanisms(event):
        relation, reason = _ONE_RELATION.get(type(mechanism), (neighbors, ""))
        if relation != neighbors:
            return f"{type(mechanism).__name__} is refused under {neighbors!r}: {reason}"
    return None


_MECHANISMS: dict[str, type[Event]] = {
    kind.__name__: kind
    for kind in (
        ApproximateDP,
        Composed,
        DiscreteGaussian,
        DiscreteLaplace,
        Gaussian,
        Laplace,
        PoissonSampled,
        PureDP,
        RandomizedResponse,
        RenyiCurve,
        Repeated,
        SampledWithoutReplacement,
        Skellam,
        ZeroConcentratedDP,
    )
}


def _as_data(value: object) -> Any:
    """Return an event, or a value of one of its fields, as JSON types."""
    if isinstance(value, Event):
        kind = type(value).__name__
        if _MECHANISMS.get(kind) is not type(value):
            raise TypeError(f"not an event of this library: {kind}")
        fields = {field.name: _as_data(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"type": kind, **fields}
    if isinstance(value, tuple):
        return [_as_data(item) for item in value]
    if isinstance(value, (float, int)):
        return value
    raise TypeError(f"not an event of this library: {type(value).__name__}")


def _same(value: object) -> object:
    """Pass a parameter on; the event checks it."""
    return value


def _list(read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """Return a reader of JSON lists."""

    def read_list(data: object) -> list[Any]:
        if not isinstance(data, list):
            raise ValueError("a list is needed")
        return [read(item) for item in data]

    return read_list


def _from_data(data: object) -> Event:
    """Build an event from nested dictionaries, refusing unknown, missing and additional fields."""
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise ValueError("an event is an object with a field 'type'")
    kind = data["type"]
    if kind not in _MECHANISMS:
        raise ValueError(f"unknown event type {kind!r}")
    names = [field.name for field in dataclasses.fields(_MECHANISMS[kind])]
    if set(data) != {"type", *names}:
        raise ValueError(f"{kind} needs exactly the fields {sorted(names)}")
    try:
        return _MECHANISMS[kind](**{name: _READERS.get(name, _same)(data[name]) for name in names})
    except TypeError as error:
        raise ValueError(str(error)) from None


_READERS: dict[str, Callable[[Any], Any]] = {
    "event": _from_data,
    "events": _list(_from_data),
    "orders": _list(_same),
    "epsilons": _list(_same),
}


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that names a field twice: readers disagree on which one counts."""
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a field is given twice")
    return fields


def _no_constant(name: str) -> Any:
    """Refuse NaN and infinities, which are not JSON."""
    raise ValueError(f"{name} is not a JSON number")


def to_json(event: Event) -> str:
    """Write an event as JSON.

    Parameters
    ----------
    event
        The event.

    Returns
    -------
    str
        One JSON object; floats are written so that they read back identically.

    Raises
    ------
    TypeError
        If it is not an event.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.to_json(dp.Repeated(dp.Gaussian(1.5), 10))
    '{"type": "Repeated", "event": {"type": "Gaussian", "noise_multiplier": 1.5}, "count": 10}'
    """
    return json.dumps(_as_data(event), allow_nan=False)


def from_json(text: str) -> Event:
    """Read an event from JSON, strictly.

    Parameters
    ----------
    text
        What `to_json` wrote.

    Returns
    -------
    Event
        An event equal to the one written.

    Raises
    ------
    TypeError
        If ``text`` is not a string.
    ValueError
        If it is not JSON, names an unknown type, misses or adds or repeats a field, nests too deeply, or
        holds a parameter that the event refuses.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.from_json('{"type": "Laplace", "scale": 3.0}')
    Laplace(scale=3.0)
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a str, not {type(text).__name__}")
    try:
        return _from_data(json.loads(text, object_pairs_hook=_unique_fields, parse_constant=_no_constant))
    except RecursionError:
        raise ValueError("not an event: it nests too deeply") from None
    except ValueError as error:
        raise ValueError(f"not an event: {error}") from None
