"""Two ways that meet."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from medcrypt.inference.sharing import Dealer, Exchange, Layout, Material, Server, Words, nested, part
from medcrypt.inference.steps.step import Array, Step, Weights

__all__ = ["Branch"]


@dataclass(frozen=True, kw_only=True)
class Branch(Step):
    """The sum of what two sequences of steps make of the same input: a residual block.

    Parameters
    ----------
    body, shortcut : tuple of Step
        An empty shortcut is the input itself. Their parts of layouts are called "body.0", "shortcut.1" and so on.
    """

    body: tuple[Step, ...] = field(default=())
    shortcut: tuple[Step, ...] = field(default=())

    def check(self) -> None:
        super().check()
        ends = []
        for way in (self.body, self.shortcut):
            shape = self.shape
            for step in way:
                step.check()
                if math.prod(step.shape) != math.prod(shape):
                    raise ValueError(f"{type(step).__name__} takes {step.shape}, not {shape}")
                shape = step.output_shape
            ends.append(shape)
        if ends[0] != ends[1]:
            raise ValueError(f"the two ways end in {ends[0]} and {ends[1]}")

    def _named(self) -> list[tuple[str, Step]]:
        """Return all steps by the prefix of their parts."""
        ways = {"body": self.body, "shortcut": self.shortcut}
        return [(f"{name}.{place}", step) for name, way in ways.items() for place, step in enumerate(way)]

    def _layouts(self, layouts: Mapping[str, Layout]) -> Layout:
        """Return one layout of many."""
        return {
            name: entry
            for prefix, layout in layouts.items()
            for name, entry in nested(prefix, layout).items()
        }

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """Those of both ways, one after the other."""
        return sum(step.rounds for _, step in self._named())

    @property
    def setup_rounds(self) -> int:  # type: ignore[override]
        """Those of both ways, one after the other."""
        return sum(step.setup_rounds for _, step in self._named())

    @property
    def output_shape(self) -> tuple[int, ...]:
        return self.body[-1].output_shape if self.body else self.shape

    def plain(self, x: Array, weights: Weights) -> Array:
        total: Array = np.zeros((), x.dtype)
        for name, way in (("body", self.body), ("shortcut", self.shortcut)):
            y = x
            for place, step in enumerate(way):
                y = step.plain(y.reshape(-1, *step.shape), part(f"{name}.{place}", weights))
            total = total + y
        return total

    def weights_layout(self) -> Layout:
        return self._layouts({name: step.weights_layout() for name, step in self._named()})

    def setup_layout(self) -> Layout:
        return self._layouts({name: step.setup_layout() for name, step in self._named()})

    def deal_setup(self, dealer: Dealer) -> tuple[Material, Material, Material]:
        merged: tuple[dict[str, Array], ...] = ({}, {}, {})
        for name, step in self._named():
            for whole, new in zip(merged, step.deal_setup(dealer), strict=True):
                whole.update(nested(name, new))
        return merged[0], merged[1], merged[2]

    def setup_sent(self) -> int:
        return sum(step.setup_sent() for _, step in self._named())

    def setup(self, server: Server, weights: Weights, material: Material) -> Exchange[Material]:
        fixed: dict[str, Array] = {}
        for name, step in self._named():
            masked = yield from step.setup(server, part(name, weights), part(name, material))
            fixed |= nested(name, masked)
        return fixed

    def layout(self, batch: int) -> Layout:
        return self._layouts({name: step.layout(batch) for name, step in self._named()})

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        merged: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
        for name, step in self._named():
            for whole, new in zip(merged, step.deal(dealer, batch, part(name, secret)), strict=True):
                whole.update(nested(name, new))
        return merged

    def sent(self, batch: int) -> int:
        return sum(step.sent(batch) for _, step in self._named())

    def comparisons(self, batch: int) -> int:
        return sum(step.comparisons(batch) for _, step in self._named())

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        sides = []
        for name, way in (("body", self.body), ("shortcut", self.shortcut)):
            y = x
            for place, step in enumerate(way):
                prefix = f"{name}.{place}"
                parts = (part(prefix, entries) for entries in (weights, fixed, material))
                y = yield from step.run(server, y.reshape(-1, *step.shape), *parts)
            sides.append(y)
        return sides[0] + sides[1]
