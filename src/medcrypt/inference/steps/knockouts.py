"""The largest of some numbers, pair by pair."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medcrypt.inference.comparison import Mask, Negative
from medcrypt.inference.sharing import Dealer, Exchange, Layout, Material, Select, Server, Words, nested, part
from medcrypt.inference.steps.step import Array, Step, Weights, domain
from medcrypt.inference.steps.windows import Windows

__all__ = ["Knockout", "MaxPool"]


def _tournament(size: int) -> list[int]:
    """Return how many pairs each level of a knock-out among `size` has."""
    levels = []
    while size > 1:
        levels.append(size // 2)
        size -= size // 2
    return levels


def _deal_level(dealer: Dealer, bits: int, numbers: int, count: int) -> tuple[Material, Material]:
    """Make material for `count` selections between two columns of numbers, by the sign of the first's difference."""
    r, *masks = Mask(bits).deal(dealer, count)
    negatives = Negative(bits).deal(dealer, r)
    selects = Select(numbers).deal(dealer, count)
    first, second = (
        dict(masks[party]) | nested("negative", negatives[party]) | nested("select", selects[party])
        for party in range(2)
    )
    return first, second


def _level_layout(bits: int, numbers: int, count: int) -> Layout:
    """Return the layout of what `_deal_level` makes."""
    return (
        Mask(bits).layout(count)
        | nested("negative", Negative(bits).layout(count))
        | nested("select", Select(numbers).layout(count))
    )


def _run_level(server: Server, left: Words, right: Words, bits: int, material: Material) -> Exchange[Words]:
    """Return each right column where left[0] < right[0], else the left one; shape (numbers, count)."""
    opened = yield from Mask(bits).run(left[0] - right[0], material)
    smaller = Negative(bits).evaluate(server, opened, part("negative", material))
    moved = yield from Select(len(left)).run(server, right - left, smaller, part("select", material))
    return left + moved


@dataclass(frozen=True, kw_only=True)
class Knockout(Step):
    """The largest among `entrants`, level by level; the earlier one wins a tie."""

    numbers: ClassVar[int] = 1

    @property
    def entrants(self) -> int:
        """How many take part."""
        raise NotImplementedError

    @property
    def knockouts(self) -> int:
        """How many knock-outs one input has."""
        raise NotImplementedError

    @property
    def difference_domain(self) -> int:
        """The domain of a difference of two inputs."""
        return domain(self.bits + 1)

    @property
    def levels(self) -> list[int]:
        """Comparisons of each level, for one input."""
        return [pairs * self.knockouts for pairs in _tournament(self.entrants)]

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """Two a level."""
        return 2 * len(self.levels)

    def layout(self, batch: int) -> Layout:
        layout: Layout = {}
        for level, pairs in enumerate(self.levels):
            layout |= nested(
                f"level{level}", _level_layout(self.difference_domain, self.numbers, batch * pairs)
            )
        return layout

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        materials: tuple[dict[str, Array], dict[str, Array]] = ({}, {})
        for level, pairs in enumerate(self.levels):
            dealt_pair = _deal_level(dealer, self.difference_domain, self.numbers, batch * pairs)
            for whole, new in zip(materials, dealt_pair, strict=True):
                whole.update(nested(f"level{level}", new))
        return materials

    def sent(self, batch: int) -> int:
        mask, select = Mask(self.difference_domain), Select(self.numbers)
        return sum(mask.sent(batch * pairs) + select.sent(batch * pairs) for pairs in self.levels)

    def comparisons(self, batch: int) -> int:
        return batch * sum(self.levels)

    def knock_out(self, server: Server, columns: Words, material: Material) -> Exchange[Words]:
        """Return the winners, shape (numbers, m), among columns of shape (numbers, entrants, m)."""
        for level in range(len(self.levels)):
            pairs = columns.shape[1] // 2
            left, right = columns[:, 0 : 2 * pairs : 2], columns[:, 1 : 2 * pairs : 2]
            winners = yield from _run_level(
                server,
                left.reshape(len(columns), -1),
                right.reshape(len(columns), -1),
                self.difference_domain,
                part(f"level{level}", material),
            )
            columns = np.concatenate([winners.reshape(left.shape), columns[:, 2 * pairs :]], axis=1)
        return columns[:, 0]


@dataclass(frozen=True, kw_only=True)
class MaxPool(Knockout, Windows):
    """The largest number of every window; around the image lies the smallest number that there can be.

    Every window has a place in the image, so no result is from outside.
    """

    def check(self) -> None:
        super().check()
        if any(2 * around > size for around, size in zip(self.padding, self.kernel, strict=True)):
            raise ValueError(f"MaxPool: {self.padding} around windows of {self.kernel}")

    @property
    def smallest(self) -> int:
        """No input is smaller."""
        return 1 - (1 << self.bits)

    @property
    def entrants(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def knockouts(self) -> int:
        return math.prod(self.output_shape)

    def plain(self, x: Array, weights: Weights) -> Array:
        largest: Array = self.windows(x, self.smallest).max((4, 5))
        return largest

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        views = self.windows(x, self.smallest if server.party == 0 else 0)
        views = np.moveaxis(views.reshape(len(x), *self.output_shape, self.entrants), -1, 0)
        winners = yield from self.knock_out(server, views.reshape(1, self.entrants, -1), material)
        return winners.reshape(len(x), *self.output_shape)
