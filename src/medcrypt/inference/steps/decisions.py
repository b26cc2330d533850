"""From scores to classes."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from medcrypt.inference.comparison import Mask, Negative, Zero
from medcrypt.inference.sharing import Dealer, Exchange, Layout, Material, Server, Words, nested, part
from medcrypt.inference.steps.knockouts import Knockout
from medcrypt.inference.steps.step import Array, Step, Weights, domain

__all__ = ["Argmax", "Threshold"]

PAIRWISE_CLASSES = 16  # up to here an argmax compares all pairs at once: two rounds


@dataclass(frozen=True, kw_only=True)
class Argmax(Knockout):
    """The index of the largest of shape (classes,), the lowest of them on a tie: shape ().

    Up to 16 classes all pairs are compared at once, which adds up to how often each class loses; the one that
    never loses is found by a point function: two rounds. More classes knock each other out.
    """

    numbers: ClassVar[int] = 2

    def check(self) -> None:
        super().check()
        if len(self.shape) != 1:
            raise ValueError(f"Argmax: of {self.shape}")

    @property
    def pairwise(self) -> bool:
        """Whether all pairs are compared at once."""
        return self.shape[0] <= PAIRWISE_CLASSES

    @property
    def output_shape(self) -> tuple[int, ...]:
        return ()

    @property
    def entrants(self) -> int:
        return self.shape[0]

    @property
    def knockouts(self) -> int:
        return 1

    @property
    def pairs(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The two members of every pair, the lower index first."""
        first, second = np.triu_indices(self.entrants, 1)
        return first, second

    @property
    def zero(self) -> Zero:
        """Whether a number of losses is zero."""
        return Zero((self.entrants - 1).bit_length())

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """Two, or two a level."""
        if self.entrants == 1:
            return 0
        return 2 if self.pairwise else 2 * len(self.levels)

    def plain(self, x: Array, weights: Weights) -> Array:
        indices: Array = np.argmax(x, axis=1)
        return indices

    def layout(self, batch: int) -> Layout:
        if not self.pairwise:
            return super().layout(batch)
        if self.entrants == 1:
            return {}
        compared, found = batch * len(self.pairs[0]), batch * self.entrants
        mask, negative, losses = self._gates()
        return (
            nested("pairs", mask.layout(compared))
            | nested("negative", negative.layout(compared))
            | nested("losses", losses.layout(found))
            | nested("zero", self.zero.layout(found))
        )

    def _gates(self) -> tuple[Mask, Negative, Mask]:
        """Return the opening and the sign of the pairs' differences, and the opening of the losses."""
        return Mask(self.difference_domain), Negative(self.difference_domain), Mask(self.zero.bits)

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        if not self.pairwise:
            return super().deal(dealer, batch, secret)
        if self.entrants == 1:
            return {}, {}
        mask, negative, losses = self._gates()
        r, *pairs = mask.deal(dealer, batch * len(self.pairs[0]))
        q, *counts = losses.deal(dealer, batch * self.entrants)
        negatives, zeros = negative.deal(dealer, r), self.zero.deal(dealer, q)
        first, second = (
            nested("pairs", pairs[party])
            | nested("negative", negatives[party])
            | nested("losses", counts[party])
            | nested("zero", zeros[party])
            for party in range(2)
        )
        return first, second

    def sent(self, batch: int) -> int:
        if not self.pairwise:
            return super().sent(batch)
        if self.entrants == 1:
            return 0
        mask, _, losses = self._gates()
        return mask.sent(batch * len(self.pairs[0])) + losses.sent(batch * self.entrants)

    def comparisons(self, batch: int) -> int:
        return batch * len(self.pairs[0]) if self.pairwise else super().comparisons(batch)

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        if self.entrants == 1:
            return np.zeros(len(x), np.uint64)
        indices = np.arange(self.entrants, dtype=np.uint64)
        if not self.pairwise:
            own = indices if server.party == 0 else 0 * indices
            columns = np.stack([x.T, np.repeat(own[:, None], len(x), 1)])
            winners = yield from self.knock_out(server, columns, material)
            index: Words = winners[1]
            return index
        mask, negative, losses = self._gates()
        first, second = self.pairs
        differences = (x[:, first] - x[:, second]).ravel()
        opened = yield from mask.run(differences, part("pairs", material))
        smaller = negative.evaluate(server, opened, part("negative", material)).reshape(-1, first.size)
        lost = smaller @ (first[:, None] == indices).astype(np.uint64)
        lost -= smaller @ (second[:, None] == indices).astype(np.uint64)
        if server.party == 0:
            lost += indices  # the second of a pair loses unless the first does: index i is second in i pairs
        opened = yield from losses.run(lost.ravel(), part("losses", material))
        largest = self.zero.evaluate(server, opened, part("zero", material)).reshape(-1, indices.size)
        index = largest @ indices
        return index


@dataclass(frozen=True, kw_only=True)
class Threshold(Step):
    """1 where x > level, else 0, for a public level: one comparison a number.

    Parameters
    ----------
    level : int
        |level| < 2^bits.
    """

    level: int = 0
    rounds: ClassVar[int] = 1

    def check(self) -> None:
        super().check()
        if abs(self.level) >= 1 << self.bits:
            raise ValueError(f"Threshold: {self.level} among numbers of {self.bits} bits")

    @property
    def negative(self) -> Negative:
        """The sign of level - x."""
        return Negative(domain(self.bits + 1), payload=8)

    @property
    def mask(self) -> Mask:
        """The opening."""
        return Mask(self.negative.bits)

    def plain(self, x: Array, weights: Weights) -> Array:
        return (x > self.level).astype(np.int64)

    def layout(self, batch: int) -> Layout:
        count = batch * self.count
        return self.mask.layout(count) | nested("negative", self.negative.layout(count))

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        r, *masks = self.mask.deal(dealer, batch * self.count)
        negatives = self.negative.deal(dealer, r)
        first, second = (dict(masks[party]) | nested("negative", negatives[party]) for party in range(2))
        return first, second

    def sent(self, batch: int) -> int:
        return self.mask.sent(batch * self.count)

    def comparisons(self, batch: int) -> int:
        return batch * self.count

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        own = np.uint64(self.level % 2**64 if server.party == 0 else 0)
        opened = yield from self.mask.run((own - x).ravel(), material)
        return self.negative.evaluate(server, opened, part("negative", material)).reshape(x.shape)
