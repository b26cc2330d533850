"""A model as both servers, the dealer and the client know it: steps without weights.

    circuit, weights = model.circuit(), model.share()          the owner; one of the weights to each server
    preparation = Preparation(circuit)                         the dealer
    evaluation = Evaluation(circuit, party, weights, hash_key) a server
    circuit.encode(inputs), circuit.decode(shares)             the client

The dealer's bytes come a step at a time, in the order of `circuit.steps`, first those of `preparation.setup()`, once a
session, then those of `preparation.batch(size)`, for every batch; each is used once. A server's messages are the
bytes that its generators yield; see `sharing.Exchange`.
"""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import FormatError
from medcrypt.inference import steps as all_steps
from medcrypt.inference.randomness import Randomness
from medcrypt.inference.sharing import (
    Dealer,
    Exchange,
    Material,
    Server,
    Words,
    dealt,
    from_fixed,
    material_size,
    pack,
    reveal,
    share,
    to_fixed,
    together,
    unpack,
)
from medcrypt.inference.steps import Step

__all__ = ["Circuit", "Cost", "Evaluation", "Preparation", "simulate"]

_KINDS = {
    kind.__name__: kind
    for kind in (
        all_steps.Argmax,
        all_steps.Branch,
        all_steps.Convolution,
        all_steps.Dense,
        all_steps.Divide,
        all_steps.MaxPool,
        all_steps.Rectify,
        all_steps.SumPool,
        all_steps.Threshold,
    )
}
_FORMAT = "medcrypt-circuit-1"
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Cost:
    """What one step costs for a batch.

    Parameters
    ----------
    layer, step : str
        The layer, and the kind of step.
    rounds : int
        Messages of each server to the other.
    sent : int
        Bytes of them, one way.
    comparisons : int
        Comparison keys used.
    material : int
        Bytes that the dealer sends to each server.
    """

    layer: str
    step: str
    rounds: int
    sent: int
    comparisons: int
    material: int


@dataclass(frozen=True)
class Circuit:
    """The public part of a model.

    Parameters
    ----------
    steps : tuple of Step
        In order.
    input_shape, output_shape : tuple of int
        Of one input and one output.
    clip : float
        Inputs are within [-clip, clip].
    fraction : int
        Bits behind the point of inputs.
    output_fraction : int or None
        Bits behind the point of outputs; None where outputs are classes.
    """

    steps: tuple[Step, ...]
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    clip: float
    fraction: int
    output_fraction: int | None

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and steps that do not fit each other."""
        if not 1 <= self.fraction <= 24 or not 0 < self.clip < 2**24:
            raise ValueError("there are 1 to 24 bits behind the point, and a positive clip")
        if self.output_fraction is not None and not 0 <= self.output_fraction <= 128:
            raise ValueError("outputs have at most 128 bits behind the point")
        if min(*self.input_shape, *self.output_shape, 1, 1) < 1:
            raise ValueError("an empty input or output")
        shape = self.input_shape
        for step in self.steps:
            step.check()
            if math.prod(step.shape) != math.prod(shape):
                raise ValueError(f"{step.layer or type(step).__name__} takes {step.shape}, not {shape}")
            shape = step.output_shape
        if math.prod(shape) != math.prod(self.output_shape):
            raise ValueError(f"the outputs have shape {shape}, not {self.output_shape}")

    def integers(self, inputs: NDArray[Any]) -> NDArray[np.int64]:
        """Round a batch of inputs to fixed point.

        Raises
        ------
        ValueError
            Another shape, or a value outside [-clip, clip].
        """
        array = np.asarray(inputs, np.float64)
        if array.shape[1:] != self.input_shape:
            raise ValueError(f"one input has shape {self.input_shape}, not {array.shape[1:]}")
        if not np.all(np.abs(array) <= self.clip):
            raise ValueError(f"an input is outside [-{self.clip:g}, {self.clip:g}] or not a number")
        return to_fixed(array, self.fraction)

    def encode(self, inputs: NDArray[Any]) -> tuple[Words, Words]:
        """Return both servers' shares of a batch of inputs."""
        return share(self.integers(inputs))

    def decode(self, first: Words, second: Words) -> NDArray[Any]:
        """Return the classes (int64) or scores (float64) that two shares hide."""
        outputs = reveal(first, second)
        return outputs if self.output_fraction is None else from_fixed(outputs, self.output_fraction)

    def costs(self, batch: int) -> list[Cost]:
        """Return what each step costs online for a batch."""
        return [
            Cost(
                step.layer,
                type(step).__name__,
                step.rounds,
                step.sent(batch),
                step.comparisons(batch),
                material_size(step.layout(batch)),
            )
            for step in self.steps
        ]

    def to_bytes(self) -> bytes:
        """Return the circuit as canonical JSON."""
        document = {
            "format": _FORMAT,
            "input_shape": self.input_shape,
            "output_shape": self.output_shape,
            "clip": self.clip,
            "fraction": self.fraction,
            "output_fraction": self.output_fraction,
            "steps": [_described(step) for step in self.steps],
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Circuit":
        """Read what `to_bytes` wrote.

        Raises
        ------
        FormatError
            It is something else.
        """
        try:
            document = json.loads(data)
            if document["format"] != _FORMAT:
                raise ValueError("not a circuit of this version")
            fractions = document["fraction"], document["output_fraction"]
            if type(fractions[0]) is not int or type(fractions[1]) not in (int, type(None)):
                raise ValueError("bits behind the point are whole numbers")
            steps = tuple(_step(entry) for entry in document["steps"])
            circuit = cls(
                steps,
                _sizes(document["input_shape"]),
                _sizes(document["output_shape"]),
                float(document["clip"]),
                document["fraction"],
                document["output_fraction"],
            )
            again = circuit.to_bytes()
        except _MALFORMED as error:
            raise FormatError("not a circuit") from error
        if again != bytes(data):
            raise FormatError("not a circuit in canonical form")
        return circuit


def _described(step: Step) -> dict[str, Any]:
    """Return a step as plain values."""
    fields = {entry.name: getattr(step, entry.name) for entry in dataclasses.fields(step)}
    for name in ("body", "shortcut"):
        if name in fields:
            fields[name] = [_described(inner) for inner in fields[name]]
    return {"step": type(step).__name__, **fields}


def _sizes(values: list[int]) -> tuple[int, ...]:
    """Return whole numbers that are not negative, or refuse them."""
    if not isinstance(values, list) or not all(type(value) is int and value >= 0 for value in values):
        raise ValueError("a shape is a list of whole numbers")
    return tuple(values)


def _step(entry: dict[str, Any]) -> Step:
    """Return the step that plain values describe."""
    values = dict(entry)
    kind = _KINDS[values.pop("step")]
    for known in dataclasses.fields(kind):
        value = values[known.name]
        if known.name in ("body", "shortcut"):
            values[known.name] = tuple(_step(inner) for inner in value)
        elif isinstance(value, list):
            values[known.name] = _sizes(value)
        elif type(value) is not known.type:
            raise ValueError(f"{known.name} is of another type")
    return kind(**values)


class Preparation:
    """The dealer's part of one session: correlated randomness for both servers, a step at a time.

    Parameters
    ----------
    circuit : Circuit
        The model.

    Attributes
    ----------
    hash_key : bytes
        16 bytes, public; the servers need them.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._circuit, self._dealer = circuit, Dealer()
        self.hash_key = self._dealer.hash_key
        self._secrets: list[Material] = []

    def setup(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the setup material of each step, for server 0 and server 1; call it once, first."""
        if self._secrets:
            raise ValueError("a session is set up once")
        for step in self._circuit.steps:
            secret, first, second = step.deal_setup(self._dealer)
            self._secrets.append(secret)
            layout = step.setup_layout()
            yield pack(layout, first), pack(layout, second)

    def batch(self, size: int) -> Iterator[tuple[bytes, bytes]]:
        """Yield fresh material of each step for a batch of `size` inputs, for server 0 and server 1."""
        if len(self._secrets) != len(self._circuit.steps):
            raise ValueError("the session is not set up")
        for step, secret in zip(self._circuit.steps, self._secrets, strict=True):
            first, second = step.deal(self._dealer, size, secret)
            layout = step.layout(size)
            yield pack(layout, first), pack(layout, second)


class Evaluation:
    """One server's part of one session.

    Parameters
    ----------
    circuit : Circuit
        The model.
    party : {0, 1}
        Which server this is.
    weights : list of dict
        This server's shares, from `Sequential.share`.
    hash_key : bytes
        The dealer's, for this session.
    """

    def __init__(self, circuit: Circuit, party: int, weights: list[Material], hash_key: bytes) -> None:
        if party not in (0, 1) or len(weights) != len(circuit.steps):
            raise ValueError("the party is 0 or 1, and there are weights for each step")
        self._circuit, self._weights = circuit, weights
        self._server = Server(party, hash_key)
        self._fixed: list[Material] = []

    def setup(self, materials: Iterable[bytes]) -> Exchange[None]:
        """Open the masked weights of every step; one message a step with weights."""
        self._fixed = []
        for step, weights, data in zip(self._circuit.steps, self._weights, materials, strict=True):
            fixed = yield from step.setup(self._server, weights, unpack(step.setup_layout(), data))
            self._fixed.append(fixed)

    def run(self, x: Words, materials: Iterable[bytes]) -> Exchange[Words]:
        """Compute shares of the outputs for shares of a batch of inputs.

        Parameters
        ----------
        x : ndarray of uint64, shape (batch, ...)
            Shares.
        materials : iterable of bytes
            This server's, one for each step; taken when the step begins, so that it may still be on its way.

        Returns
        -------
        ndarray of uint64
            Shares of the outputs.
        """
        batch = len(x)
        parts = zip(self._circuit.steps, self._weights, self._fixed, materials, strict=True)
        for step, weights, fixed, data in parts:
            material = unpack(step.layout(batch), data)
            x = yield from step.run(self._server, x.reshape(batch, *step.shape), weights, fixed, material)
        return x.reshape(batch, *self._circuit.output_shape)


def simulate(
    circuit: Circuit, weights: tuple[list[Material], list[Material]], inputs: NDArray[Any]
) -> tuple[NDArray[Any], list[bytes]]:
    """Play dealer, servers and client in one process.

    Returns
    -------
    tuple
        Classes or scores, and server 0's messages after the setup.
    """
    preparation = Preparation(circuit)
    evaluations = [Evaluation(circuit, party, weights[party], preparation.hash_key) for party in range(2)]
    first, second = zip(*preparation.setup(), strict=True)
    together(evaluations[0].setup(first), evaluations[1].setup(second))
    shares = circuit.encode(inputs)
    first, second = zip(*preparation.batch(len(inputs)), strict=True)
    results = together(evaluations[0].run(shares[0], first), evaluations[1].run(shares[1], second))
    return circuit.decode(results[0], results[1]), results[2]


def share_weights(weights: list[Material]) -> tuple[list[Material], list[Material]]:
    """Split every array of integers into two shares."""
    random = Randomness()
    first: list[Material] = []
    second: list[Material] = []
    for entry in weights:
        parts = dealt({name: share(array, random) for name, array in entry.items()})
        first.append(parts[0])
        second.append(parts[1])
    return first, second
