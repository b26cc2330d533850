"""Products of shared numbers with shared weights, by triples."""

import math
from dataclasses import dataclass
from typing import ClassVar

from medcrypt.inference.sharing import Dealer, Exchange, Layout, Material, Server, Words, dealt, exchange
from medcrypt.inference.steps.step import Array, Step, Weights

__all__ = ["Dense", "Product"]


@dataclass(frozen=True, kw_only=True)
class Product(Step):
    """x w + b for a bilinear product of shared x and w, with matrix triples (Beaver 1991).

    The weights' mask B is dealt once a session and F = w - B opened once; every batch has a fresh mask A with
    C = A B, and opens D = x - A. Then x w = D w + A F + C, of which each server computes its part from its shares.
    """

    rounds: ClassVar[int] = 1
    setup_rounds: ClassVar[int] = 1

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Of w."""
        raise NotImplementedError

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Of b: added to every place of an output."""
        raise NotImplementedError

    def product(self, x: Array, weight: Array) -> Array:
        """Return the bilinear product, modulo 2^64."""
        raise NotImplementedError

    def plain(self, x: Array, weights: Weights) -> Array:
        return self.product(x, weights["weight"]) + weights["bias"]

    def weights_layout(self) -> Layout:
        return {"weight": ("<u8", self.weight_shape), "bias": ("<u8", self.bias_shape)}

    def setup_layout(self) -> Layout:
        return {"mask": ("<u8", self.weight_shape)}

    def deal_setup(self, dealer: Dealer) -> tuple[Material, Material, Material]:
        mask = dealer.random.words(self.weight_shape)
        return {"mask": mask}, *dealt({"mask": dealer.share(mask)})

    def setup_sent(self) -> int:
        return 8 * math.prod(self.weight_shape)

    def setup(self, server: Server, weights: Weights, material: Material) -> Exchange[Material]:
        mine = weights["weight"] - material["mask"]
        (theirs,) = yield from exchange(mine)
        return {"masked": mine + theirs}

    def layout(self, batch: int) -> Layout:
        return {"mask": ("<u8", (batch, *self.shape)), "product": ("<u8", (batch, *self.output_shape))}

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        mask = dealer.random.words((batch, *self.shape))
        product = self.product(mask, secret["mask"])
        return dealt({"mask": dealer.share(mask), "product": dealer.share(product)})

    def sent(self, batch: int) -> int:
        return 8 * batch * self.count

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        mine = x - material["mask"]
        (theirs,) = yield from exchange(mine)
        return (
            self.product(mine + theirs, weights["weight"])
            + self.product(material["mask"], fixed["masked"])
            + material["product"]
            + weights["bias"]
        )


@dataclass(frozen=True, kw_only=True)
class Dense(Product):
    """A matrix product: shape (inputs,) to (outputs,).

    Parameters
    ----------
    outputs : int
        Columns of w.
    """

    outputs: int

    def check(self) -> None:
        super().check()
        if len(self.shape) != 1 or self.outputs < 1:
            raise ValueError(f"Dense: {self.shape} to {self.outputs}")

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.outputs,)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.shape[0], self.outputs)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.outputs,)

    def product(self, x: Array, weight: Array) -> Array:
        return x @ weight
