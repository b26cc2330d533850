"""Events: what was released, as plain data. Accountants interpret them; they compute nothing.

An event says which mechanism ran, never how it is accounted for. Events are immutable, hashable and
comparable, and travel as JSON. Parameters are stated *under the accountant's neighbouring relation*: a noise
multiplier is the standard deviation divided by the L2 sensitivity under that relation, a Laplace scale is
divided by the L1 sensitivity. Replacing one record moves a clipped sum by up to twice the clip, so the same
noise is half the multiplier under ``"replace_one"``.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

__all__ = [
    "Composed",
    "Event",
    "Gaussian",
    "Laplace",
    "PoissonSampled",
    "Repeated",
    "ZeroConcentratedDP",
    "from_json",
    "to_json",
]


def _real(name: str, value: object) -> float:
    """Return ``value`` as a finite float; a boolean or a string is a mistake, not a number."""
    if isinstance(value, bool) or not isinstance(value, Real):
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


def _natural(name: str, value: object) -> int:
    """Return ``value`` as an int of at least zero."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    number = int(value)
    if number < 0:
        raise ValueError(f"{name} must not be negative: {number}")
    return number


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
        object.__setattr__(self, "noise_multiplier", _positive("noise_multiplier", self.noise_multiplier))


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
        object.__setattr__(self, "scale", _positive("scale", self.scale))


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
        object.__setattr__(self, "rho", _positive("rho", self.rho))


@dataclass(frozen=True)
class PoissonSampled(Event):
    """A Gaussian mechanism run on a Poisson sample: every record enters independently with one probability.

    The bound holds for Poisson sampling only. Shuffled or fixed-size batches cost more (Chua et al. 2024;
    Lebeda et al. 2024), and must not be described by this event.

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
        object.__setattr__(self, "sampling_rate", rate)
        if not isinstance(self.event, Event):
            raise TypeError(f"event must be an Event, not {type(self.event).__name__}")
        if isinstance(self.event, ZeroConcentratedDP):
            raise ValueError(
                "a zCDP bound cannot be amplified by sampling: it does not determine the mechanism"
            )
        if not isinstance(self.event, Gaussian):
            raise ValueError(
                f"no proven amplification bound for {type(self.event).__name__}; only for Gaussian"
            )


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
        events = tuple(self.events)
        for event in events:
            if not isinstance(event, Event):
                raise TypeError(f"events must hold Event objects, not {type(event).__name__}")
        object.__setattr__(self, "events", events)


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
        object.__setattr__(self, "count", _natural("count", self.count))


def _as_data(event: Event) -> dict[str, Any]:
    """Return the event as nested dictionaries of JSON types."""
    match event:
        case Gaussian(noise_multiplier):
            return {"type": "Gaussian", "noise_multiplier": noise_multiplier}
        case Laplace(scale):
            return {"type": "Laplace", "scale": scale}
        case ZeroConcentratedDP(rho):
            return {"type": "ZeroConcentratedDP", "rho": rho}
        case PoissonSampled(sampling_rate, inner):
            return {"type": "PoissonSampled", "sampling_rate": sampling_rate, "event": _as_data(inner)}
        case Composed(events):
            return {"type": "Composed", "events": [_as_data(inner) for inner in events]}
        case Repeated(inner, count):
            return {"type": "Repeated", "event": _as_data(inner), "count": count}
    raise TypeError(f"not an event of this library: {type(event).__name__}")


def _events(data: object) -> tuple[Event, ...]:
    """Read the list of a `Composed` event."""
    if not isinstance(data, list):
        raise ValueError("events must be a list")
    return tuple(_from_data(item) for item in data)


def _same(value: object) -> object:
    """Pass a parameter on; the event checks it."""
    return value


def _from_data(data: object) -> Event:
    """Build an event from nested dictionaries, refusing unknown, missing and additional fields."""
    if not isinstance(data, dict) or not isinstance(data.get("type"), str):
        raise ValueError("an event is an object with a field 'type'")
    kind = data["type"]
    if kind not in _FIELDS:
        raise ValueError(f"unknown event type {kind!r}")
    build, readers = _FIELDS[kind]
    if set(data) != {"type", *readers}:
        raise ValueError(f"{kind} needs exactly the fields {sorted(readers)}")
    try:
        return build(**{name: read(data[name]) for name, read in readers.items()})
    except TypeError as error:
        raise ValueError(str(error)) from None


_FIELDS: dict[str, tuple[Callable[..., Event], dict[str, Callable[[Any], Any]]]] = {
    "Gaussian": (Gaussian, {"noise_multiplier": _same}),
    "Laplace": (Laplace, {"scale": _same}),
    "ZeroConcentratedDP": (ZeroConcentratedDP, {"rho": _same}),
    "PoissonSampled": (PoissonSampled, {"sampling_rate": _same, "event": _from_data}),
    "Composed": (Composed, {"events": _events}),
    "Repeated": (Repeated, {"event": _from_data, "count": _same}),
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
