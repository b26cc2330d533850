"""Chaotic maps in fixed point of 32 or 64 bits, with the same orbits on every machine.

A `Map` is one of `NAMES` with its parameters; `Map.orbit` iterates many lanes (independent starting points, and if
wanted parameters) at a time, `Map.lyapunov` measures how fast neighbours part, `Map.cycle` where an orbit begins to
repeat itself, and `diagram` how the orbits change with a parameter.

The equations, rounding included, are at the head of ``_ext/chaos/maps.h`` and in ``docs/formats/chaotic.md``. Such maps
are no ciphers: a finite orbit ends in a cycle, neighbours part by about a bit a step, and a smooth map can be solved
backwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt._ext.chaos import maps as kernel

__all__ = ["NAMES", "Diagram", "Map", "diagram"]

Reals: TypeAlias = NDArray[np.float64]
Words: TypeAlias = NDArray[np.unsignedinteger[Any]]
Tangent: TypeAlias = Callable[[Reals, Reals, Sequence[Reals]], Reals]

_SITES = 16  # of a lattice in a diagram
_GOLDEN = Fraction(11400714819323198485, 1 << 64)


@dataclass(frozen=True)
class _Law:
    """What tells one map from another: its sizes, its fixed point, and its derivative.

    Parameters
    ----------
    parameters
        Names and usual values.
    ranges
        Least and greatest value of each.
    dimensions
        Coordinates of a lane.
    integer
        Bits before the point, the sign included; 0 where words are numbers from 0 to 1.
    scale
        What a coordinate counts for.
    encode
        Words of the kernel from the parameters, as exact fractions, and the number of bits.
    tangent
        ``tangent(x, v, parameters)``: the derivative at x, applied to v, both of shape (dimensions, lanes).
    """

    parameters: Mapping[str, float]
    ranges: tuple[tuple[float, float], ...]
    dimensions: int
    integer: int
    scale: float
    encode: Callable[[Sequence[Fraction], int], list[int]]
    tangent: Tangent


class Map:
    """One chaotic map with its parameters.

    Parameters
    ----------
    name
        One of `NAMES`.
    bits
        32 or 64: the words of state.
    parameters
        By name, each a number or an array with one for each lane; the usual ones by default.

    Raises
    ------
    ValueError
        Another name, parameter or number of bits, or a parameter out of range.

    Examples
    --------
    >>> doubling = Map("tent")
    >>> doubling.orbit(doubling.start(2), 3).shape
    (3, 1, 2)
    >>> round(Map("cat").lyapunov(), 2)
    0.96
    """

    def __init__(self, name: str, *, bits: int = 32, **parameters: ArrayLike) -> None:
        if name not in _LAWS:
            raise ValueError(f"unknown map {name!r}; one of {', '.join(NAMES)}")
        if bits not in (32, 64):
            raise ValueError(f"words have 32 or 64 bits, not {bits}")
        self.name, self.bits, self._law = name, bits, _LAWS[name]
        unknown = set(parameters) - set(self._law.parameters)
        if unknown:
            raise ValueError(f"the {name} map has no parameter {', '.join(sorted(unknown))}")
        given = {key: parameters.get(key, usual) for key, usual in self._law.parameters.items()}
        self.parameters = {key: np.atleast_1d(np.asarray(value, np.float64)) for key, value in given.items()}
        for (key, values), (low, high) in zip(self.parameters.items(), self._law.ranges, strict=True):
            if values.ndim != 1 or not (np.isfinite(values) & (values >= low) & (values <= high)).all():
                raise ValueError(f"{key} runs from {low:g} to {high:g}")

    def __repr__(self) -> str:
        values = ", ".join(
            f"{key}={value[0]:g}" if value.size == 1 else f"{key}=..."
            for key, value in self.parameters.items()
        )
        return f"Map({self.name!r}, bits={self.bits}{', ' * bool(values)}{values})"

    @property
    def dimensions(self) -> int:
        """Coordinates of a lane."""
        return self._law.dimensions

    def start(self, lanes: int = 1) -> Words:
        """Return spread starting points that do not depend on anything but their number.

        Returns
        -------
        ndarray of uint32 or uint64, shape (dimensions, lanes)
            Multiples of the golden ratio in the unit interval, or near the origin for maps of signed words.
        """
        count = self.dimensions * lanes
        units = [(_GOLDEN * (i + 1)) % 1 for i in range(count)]
        if (
            self._law.integer
        ):  # 0.1 to 0.2, within every basin; coordinates that are scaled begin near (1, 2, 3)
            units = [(1 + unit) / 10 / 2**self._law.integer for unit in units]
        words = [int(unit * 2**self.bits) for unit in units]
        return np.array(words, self._dtype).reshape(self.dimensions, lanes)

    def orbit(self, start: ArrayLike, samples: int, *, skip: int = 0, every: int = 1) -> Words:
        """Iterate from starting points.

        Parameters
        ----------
        start
            Words of shape (dimensions, lanes), as from `start`.
        samples
            How many states to return.
        skip
            Steps to leave out before.
        every
            Steps from one sample to the next.

        Returns
        -------
        ndarray of uint32 or uint64, shape (samples, dimensions, lanes)
            The states after ``skip + every``, ``skip + 2 every``, ... steps.
        """
        state = self._state(start)
        parameters = self._words(state.shape[1])
        if skip:
            aside = np.empty((1, *state.shape), self._dtype)
            kernel.orbit(self.name, state, parameters, aside, every=skip)
        out = np.empty((samples, *state.shape), self._dtype)
        kernel.orbit(self.name, state, parameters, out, every=every)
        return out

    def to_real(self, words: ArrayLike) -> Reals:
        """Return the numbers that words stand for.

        Examples
        --------
        >>> Map("logistic").to_real(np.uint32(1 << 31)).item()
        0.5
        """
        words = np.asarray(words, self._dtype)
        if self._law.integer:
            signed = words.view(f"i{self.bits // 8}").astype(np.float64)
            return np.ldexp(signed, self._law.integer - self.bits) * self._law.scale
        return np.ldexp(words.astype(np.float64), -self.bits)

    def lyapunov(self, steps: int = 4096, lanes: int = 64, *, skip: int = 256) -> float:
        """Estimate the largest Lyapunov exponent: the rate, per step, at which neighbours part.

        Parameters
        ----------
        steps, lanes
            Over how many steps of how many orbits to average. Those of the lattice are its sites.
        skip
            Steps to leave out first.

        Returns
        -------
        float
            In natural units: 0.693 is a bit a step. Negative where orbits draw together. For flows it is that of one
            step; divide by its length, 2^-8 for Lorenz and 2^-10 for Chen.
        """
        lanes = max([lanes, *(values.size for values in self.parameters.values())])
        orbit = self.to_real(self.orbit(self.start(lanes), steps + 1, skip=skip))
        parameters = [np.broadcast_to(values, lanes) for values in self.parameters.values()]
        tangent = np.full((self.dimensions, lanes), 1 / math.sqrt(self.dimensions))
        total = 0.0
        for x in orbit[:-1]:
            tangent = self._law.tangent(x, tangent, parameters)
            norms = np.sqrt((tangent**2).sum(axis=0))
            if self.name == "lattice":  # one system, and one direction, of all sites
                norms = np.full(lanes, math.sqrt((tangent**2).mean()))
            norms = np.maximum(norms, 1e-300)
            total += float(np.log(norms).mean())
            tangent = tangent / norms
        return total / steps

    def cycle(self, start: ArrayLike | None = None, *, most: int = 1 << 26) -> tuple[int, int] | None:
        """Find the cycle that an orbit ends in.

        Parameters
        ----------
        start
            Words of shape (dimensions, 1), or the sites of a lattice; by default those of `start`.
        most
            Steps after which to give up, about.

        Returns
        -------
        tuple of int or None
            Steps that lead to the cycle, and its length. None where none was found.

        Examples
        --------
        >>> Map("baker").cycle()
        (0, 64)
        """
        state = self._state(self.start(8 if self.name == "lattice" else 1) if start is None else start)
        if state.shape[1] != 1 and self.name != "lattice":
            raise ValueError("one lane at a time: lanes do not repeat together")
        return kernel.cycle(self.name, state, self._words(state.shape[1]), most)

    @property
    def _dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        return np.dtype(f"u{self.bits // 8}")

    def _state(self, start: ArrayLike) -> Words:
        """Return a copy of starting points, checked."""
        state = np.array(start, order="C", ndmin=2)
        if state.dtype != self._dtype:
            raise TypeError(f"the state must be of {self._dtype}, not {state.dtype}")
        if state.ndim != 2 or state.shape[0] != self.dimensions or not state.shape[1]:
            raise ValueError(f"the state must have the shape ({self.dimensions}, lanes)")
        return state

    def _words(self, lanes: int) -> Words:
        """Return the parameters as the kernel takes them, for each lane."""
        if any(values.size not in (1, lanes) for values in self.parameters.values()):
            raise ValueError(f"a parameter has one value, or one for each of the {lanes} lanes")
        sets = max((values.size for values in self.parameters.values()), default=1)
        columns = [
            self._law.encode(
                [Fraction(float(values[i % values.size])) for values in self.parameters.values()], self.bits
            )
            for i in range(sets)
        ]
        words = np.array(columns, self._dtype).reshape(sets, -1).T
        return np.ascontiguousarray(np.broadcast_to(words, (words.shape[0], lanes)))


@dataclass(frozen=True)
class Diagram:
    """Where the orbits of a map go, by the value of one parameter.

    Parameters
    ----------
    name, parameter
        Of the map, and of what is varied.
    values
        The parameter's, shape (n,).
    points
        The first coordinate, shape (samples, n).
    """

    name: str
    parameter: str
    values: Reals
    points: Reals

    def draw(self, axes: Any) -> None:
        """Draw the bifurcation diagram on matplotlib axes.

        Parameters
        ----------
        axes
            A `matplotlib.axes.Axes`; this module itself does not import matplotlib.
        """
        across = np.broadcast_to(self.values, self.points.shape)
        axes.plot(across.ravel(), self.points.ravel(), ",", color="black", alpha=0.4)
        axes.set_xlabel(self.parameter)
        axes.set_title(f"{self.name} map")


def diagram(
    name: str,
    parameter: str,
    values: ArrayLike,
    *,
    samples: int = 200,
    skip: int = 1000,
    bits: int = 32,
    **others: float,
) -> Diagram:
    """Compute a bifurcation diagram: long orbits, one for each value of a parameter.

    Of the lattice it is the orbit of one of sixteen sites. The baker's map has no parameter to vary.

    Parameters
    ----------
    name, bits
        As for `Map`.
    parameter, values
        What is varied, and its values.
    samples, skip
        States to keep of each orbit, and steps to leave out before.
    others
        Parameters that stay as they are.

    Returns
    -------
    Diagram
        With the data, and a method that draws them.

    Examples
    --------
    >>> import numpy as np
    >>> found = diagram("logistic", "r", [3.2], samples=4)  # a cycle of two
    >>> found.points.ravel().round(2).tolist() in ([0.51, 0.8, 0.51, 0.8], [0.8, 0.51, 0.8, 0.51])
    True
    """
    across = np.atleast_1d(np.asarray(values, np.float64))
    if name == "lattice":  # its lanes are the sites of one system
        systems = [Map(name, bits=bits, **{parameter: value}, **others) for value in across]
        orbits = [each.orbit(each.start(_SITES), samples, skip=skip)[:, 0, 0] for each in systems]
        return Diagram(name, parameter, across, systems[0].to_real(np.stack(orbits, axis=1)))
    chosen = Map(name, bits=bits, **{parameter: across}, **others)
    start = np.repeat(chosen.start(1), across.size, axis=1)
    orbit = chosen.orbit(start, samples, skip=skip)
    return Diagram(name, parameter, across, chosen.to_real(orbit[:, 0]))


# ---- parameters as words ------------------------------------------------------------------------------


def _unit(value: Fraction, bits: int) -> int:
    """Return the word of a number from 0 to 1; 1 itself is one unit less."""
    return min(int(value * (1 << bits)), (1 << bits) - 1)


def _signed(integer: int) -> Callable[[Sequence[Fraction], int], list[int]]:
    def encode(values: Sequence[Fraction], bits: int) -> list[int]:
        return [round(value * (1 << bits - integer)) % (1 << bits) for value in values]

    return encode


def _units(*scales: int) -> Callable[[Sequence[Fraction], int], list[int]]:
    def encode(values: Sequence[Fraction], bits: int) -> list[int]:
        return [_unit(value / scale, bits) for value, scale in zip(values, scales, strict=True)]

    return encode


def _integers(values: Sequence[Fraction], _bits: int) -> list[int]:
    return [int(value) for value in values]


def _slopes(values: Sequence[Fraction], bits: int) -> list[int]:
    """Return the corner, and the slopes on both sides of it with five bits before the point."""
    corner, one, most = _unit(values[0], bits), 1 << (2 * bits - 5), (1 << bits) - 1
    return [corner, min(one // corner, most), min(one // ((1 << bits - 1) - corner), most)]


# ---- derivatives --------------------------------------------------------------------------------------


def _rational(y: Reals) -> tuple[Reals, Reals]:
    """4 y / (5 - y) and its derivative."""
    return 4 * y / (5 - y), 20 / (5 - y) ** 2


def _fold(x: Reals) -> tuple[Reals, Reals]:
    """4 x (1 - x) and its derivative."""
    return 4 * x * (1 - x), 4 - 8 * x


def _logistic(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    return q[0] / 4 * _fold(x)[1] * v


def _tent(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    return np.where(x < 0.5, q[0], -q[0]) * v


def _piecewise(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    folded = np.minimum(x, 1 - x)
    return np.where(folded < q[0], 1 / q[0], 1 / (0.5 - q[0])) * np.where(x < 0.5, 1, -1) * v


def _sine(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    y, slope = _fold(x)
    return q[0] * _rational(y)[1] * slope * v


def _henon(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    return np.stack([-2 * q[0] * x[0] * v[0] + v[1], q[1] * v[0]])


def _cat(_x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    first = v[0] + q[0] * v[1]
    return np.stack([first, v[1] + q[1] * first])


def _cat3(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    a, b = _cat(x, v[:2], q)
    b, c = _cat(x, np.stack([b, v[2]]), q)
    c, a = _cat(x, np.stack([c, a]), q)
    return np.stack([a, b, c])


def _baker(_x: Reals, v: Reals, _q: Sequence[Reals]) -> Reals:
    return np.stack([2 * v[0], v[1] / 2])


def _lorenz(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    rates = (
        q[0] * (v[1] - v[0]),
        (q[1] - x[2]) * v[0] - v[1] - x[0] * v[2],
        x[1] * v[0] + x[0] * v[1] - q[2] * v[2],
    )
    return v + np.stack(rates) / 2**8


def _chen(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    rates = (
        q[0] * (v[1] - v[0]),
        (q[2] - q[0] - x[2]) * v[0] + q[2] * v[1] - x[0] * v[2],
        x[1] * v[0] + x[0] * v[1] - q[1] * v[2],
    )
    return v + np.stack(rates) / 2**10


def _coupled(x: Reals, y: Reals, u: Reals, v: Reals, theta: Reals) -> tuple[Reals, Reals]:
    """One half of the coupling: the new coordinate, and its tangent from those of x and y."""
    (fx, dx), (fy, dy) = _fold(x), _fold(y)
    sine, slope = _rational(fy)
    inner, inner_v = theta * fx + (1 - theta) * sine, theta * dx * u + (1 - theta) * slope * dy * v
    folded, fold_slope = _fold(inner)
    outer, outer_slope = _rational(folded)
    return outer, outer_slope * fold_slope * inner_v


def _coupling(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    new, new_v = _coupled(x[0], x[1], v[0], v[1], q[0])
    _, other_v = _coupled(x[1], new, v[1], new_v, q[0])
    return np.stack([new_v, other_v])


def _lattice(x: Reals, v: Reals, q: Sequence[Reals]) -> Reals:
    local = _logistic(x, v, q)
    return (1 - q[1]) * local + q[1] / 2 * (np.roll(local, 1, axis=1) + np.roll(local, -1, axis=1))


_LAWS = {
    "logistic": _Law({"r": 4.0}, ((0, 4),), 1, 0, 1, _units(4), _logistic),
    "tent": _Law({"mu": 2.0}, ((0, 2),), 1, 0, 1, _units(2), _tent),
    "piecewise": _Law({"p": 0.3}, ((1 / 16, 7 / 16),), 1, 0, 1, _slopes, _piecewise),
    "sine": _Law({"r": 1.0}, ((0, 1),), 1, 0, 1, _units(1), _sine),
    "henon": _Law({"a": 1.4, "b": 0.3}, ((0, 1.42), (-0.4, 0.4)), 2, 3, 1, _signed(3), _henon),
    "cat": _Law({"a": 1.0, "b": 1.0}, ((0, 2**31), (0, 2**31)), 2, 0, 1, _integers, _cat),
    "cat3": _Law({"a": 1.0, "b": 1.0}, ((0, 2**31), (0, 2**31)), 3, 0, 1, _integers, _cat3),
    "baker": _Law({}, (), 2, 0, 1, _integers, _baker),
    "lorenz": _Law(
        {"sigma": 10.0, "rho": 28.0, "beta": 8 / 3}, ((0, 20), (0, 40), (0, 8)), 3, 7, 64, _signed(7), _lorenz
    ),
    "chen": _Law({"a": 35.0, "b": 3.0, "c": 28.0}, ((0, 40), (0, 8), (0, 32)), 3, 7, 64, _signed(7), _chen),
    "coupling": _Law({"theta": 0.99}, ((0, 1),), 2, 0, 1, _units(1), _coupling),
    "lattice": _Law({"r": 4.0, "epsilon": 0.1}, ((0, 4), (0, 1)), 1, 0, 1, _units(4, 1), _lattice),
}

#: The maps: logistic, tent, piecewise-linear, rational sine, Henon, Arnold's cat in two and three dimensions, baker,
#: Lorenz, Chen, 2-D logistic-sine coupling, coupled map lattice.
NAMES = tuple(_LAWS)
