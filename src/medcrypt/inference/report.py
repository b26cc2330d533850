"""What an encrypted inference cost: rounds, bytes and time."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from numpy.typing import NDArray

from medcrypt.errors import ProtocolError
from medcrypt.inference.circuit import Cost

__all__ = ["Answer", "LayerCost", "Report"]


@dataclass(frozen=True)
class Answer:
    """The outputs of one batch, and what the servers say of it.

    Parameters
    ----------
    values : ndarray
        Classes (int64) or scores (float64).
    costs : list of Cost
        What each step must have cost.
    batch : int
        Inputs.
    nanoseconds : int
        From the inputs to the classes, at the client.
    server_nanoseconds : int
        Of that, at the slower server.
    sizes : tuple of int
        Bytes that each server sent the other, round by round.
    """

    values: NDArray[Any]
    costs: list[Cost]
    batch: int
    nanoseconds: int
    server_nanoseconds: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class LayerCost:
    """One layer's part of a report.

    Parameters
    ----------
    layer : str
        Its place in the model, and its kind.
    rounds : int
        Messages of each server to the other.
    bytes_sent : int
        Bytes of them, one way, as they were sent.
    comparisons : int
        Comparison keys used up.
    material_bytes : int
        Bytes that the dealer sent to each server for it.
    """

    layer: str
    rounds: int
    bytes_sent: int
    comparisons: int
    material_bytes: int


@dataclass(frozen=True)
class Report:
    """What the inference of some inputs cost.

    Parameters
    ----------
    inputs, batches : int
        How many.
    layers : tuple of LayerCost
        Summed over all batches.
    seconds : float
        Online: from the inputs to the classes, at the client.
    server_seconds : float
        Of that, at the slower server.

    Examples
    --------
    >>> print(Report(1, 1, (LayerCost("1 Dense", 1, 512, 0, 1024),), 0.004, 0.002))
    layer      rounds      bytes  comparisons    material
    1 Dense         1        512            0       1,024
    total           1        512            0       1,024
    1 input in 1 batch: 4.0 ms online, 2.0 ms of them at the servers
    """

    inputs: int
    batches: int
    layers: tuple[LayerCost, ...]
    seconds: float
    server_seconds: float

    @property
    def rounds(self) -> int:
        """Rounds of all layers and batches."""
        return sum(layer.rounds for layer in self.layers)

    @property
    def bytes_sent(self) -> int:
        """Bytes that each server sent the other."""
        return sum(layer.bytes_sent for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def __str__(self) -> str:
        width = max(10, *(len(layer.layer) for layer in self.layers))
        lines = [f"{'layer':<{width}} {'rounds':>6} {'bytes':>10} {'comparisons':>12} {'material':>11}"]
        total = LayerCost("total", *(self._sum(name) for name in _COUNTS))
        lines += [
            f"{layer.layer:<{width}} {layer.rounds:>6,} {layer.bytes_sent:>10,} {layer.comparisons:>12,} "
            f"{layer.material_bytes:>11,}"
            for layer in (*self.layers, total)
        ]
        inputs = f"{self.inputs:,} input{'s' * (self.inputs != 1)}"
        batches = f"{self.batches:,} batch{'es' * (self.batches != 1)}"
        lines.append(
            f"{inputs} in {batches}: {1e3 * self.seconds:.1f} ms online, {1e3 * self.server_seconds:.1f} ms of them "
            "at the servers"
        )
        return "\n".join(lines)

    def _sum(self, name: str) -> int:
        return sum(getattr(layer, name) for layer in self.layers)

    @classmethod
    def of(cls, answers: Sequence[Answer]) -> "Report":
        """Add up the answers to one query.

        Raises
        ------
        ProtocolError
            The servers sent other amounts than the circuit takes.
        """
        layers: dict[str, LayerCost] = {}
        for answer in answers:
            sizes = list(answer.sizes)
            for cost in answer.costs:
                sent = sum(sizes[: cost.rounds])
                del sizes[: cost.rounds]
                if sent != cost.sent:
                    raise ProtocolError(f"{cost.layer} took other messages than it should", "server 0")
                before = layers.get(cost.layer, LayerCost(cost.layer, 0, 0, 0, 0))
                layers[cost.layer] = LayerCost(
                    cost.layer,
                    before.rounds + cost.rounds,
                    before.bytes_sent + sent,
                    before.comparisons + cost.comparisons,
                    before.material_bytes + cost.material,
                )
        return cls(
            sum(answer.batch for answer in answers),
            len(answers),
            tuple(layers.values()),
            sum(answer.nanoseconds for answer in answers) / 1e9,
            sum(answer.server_nanoseconds for answer in answers) / 1e9,
        )


_COUNTS = ("rounds", "bytes_sent", "comparisons", "material_bytes")
