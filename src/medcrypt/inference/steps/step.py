"""What every step has, and its default: nothing is dealt, nothing is sent."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from numpy.typing import NDArray

from medcrypt.inference.sharing import LARGEST_BITS, Dealer, Exchange, Layout, Material, Server, Words

__all__ = ["Array", "Step", "Weights", "domain"]

Array = NDArray[Any]
Weights = Mapping[str, Array]


def domain(bits: int, spare: int = 0) -> int:
    """Return the bits of an opening of |x| < 2^bits: 32 where they do, with some to spare, else 64."""
    return 32 if bits + spare <= 31 else 64


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a model that two servers compute; it has no secrets.

    Parameters
    ----------
    layer : str
        The layer that it belongs to, for reports.
    shape : tuple of int
        Of one input.
    bits : int
        |x| < 2^bits for every input.
    """

    layer: str = ""
    shape: tuple[int, ...]
    bits: int

    rounds: ClassVar[int] = 0
    setup_rounds: ClassVar[int] = 0

    @property
    def count(self) -> int:
        """Numbers in one input."""
        return math.prod(self.shape)

    def check(self) -> None:
        """Refuse a step that came from outside and makes no sense.

        Raises
        ------
        ValueError
            A shape, a size or a number of bits is out of range.
        """
        if not 0 <= self.bits <= LARGEST_BITS or min(self.shape, default=1) < 1:
            raise ValueError(f"{type(self).__name__}: {self.shape} of {self.bits} bits")

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Of one output."""
        return self.shape

    def plain(self, x: Array, weights: Weights) -> Array:
        """Return what the step computes, on integers in the clear."""
        raise NotImplementedError

    def weights_layout(self) -> Layout:
        """Return the layout of one server's shares of the weights."""
        return {}

    def setup_layout(self) -> Layout:
        """Return the layout of what is dealt once a session."""
        return {}

    def deal_setup(self, dealer: Dealer) -> tuple[Material, Material, Material]:
        """Return what the dealer keeps for the session, and both servers' material."""
        return {}, {}, {}

    def setup_sent(self) -> int:
        """Return the bytes that a server sends once a session."""
        return 0

    def setup(self, server: Server, weights: Weights, material: Material) -> Exchange[Material]:
        """Return what both servers then know of the weights: their masked form."""
        return {}
        yield b""

    def layout(self, batch: int) -> Layout:
        """Return the layout of what is dealt for a batch."""
        return {}

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        """Return both servers' material for a batch."""
        return {}, {}

    def sent(self, batch: int) -> int:
        """Return the bytes that a server sends for a batch."""
        return 0

    def comparisons(self, batch: int) -> int:
        """Return how many comparison keys a batch uses up."""
        return 0

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        """Return this server's shares of the outputs."""
        raise NotImplementedError
        yield b""
