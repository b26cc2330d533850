"""Divisions by powers of two, and ReLU, which takes one along."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medcrypt.inference.comparison import Division, Mask, Negative
from medcrypt.inference.sharing import (
    LARGEST_BITS,
    Dealer,
    Exchange,
    Layout,
    Material,
    Select,
    Server,
    Words,
    drop_bits_probably,
    nested,
    part,
)
from medcrypt.inference.steps.step import Array, Step, Weights, domain

__all__ = ["Divide", "Opened", "Rectify"]


@dataclass(frozen=True, kw_only=True)
class Opened(Step):
    """A step that begins with one opening of all its inputs under masks.

    Parameters
    ----------
    shift : int
        Divide by 2^shift, to the nearest integer, ties upwards; 0 for not at all.
    probable : bool
        Divide without a comparison, by `sharing.drop_bits_probably`.
    """

    shift: int = 0
    probable: bool = False

    def check(self) -> None:
        super().check()
        if not 0 <= self.shift <= LARGEST_BITS:
            raise ValueError(f"{type(self).__name__}: a shift by {self.shift} bits")

    @property
    def mask(self) -> Mask:
        """The opening."""
        return Mask(self.domain)

    @property
    def domain(self) -> int:
        """Bits of the opening."""
        return domain(max(self.bits, self.shift), self.spare)

    @property
    def spare(self) -> int:
        """Bits of the opening that inputs leave free: an exact division wants |x| < 2^(n-3)."""
        return 2 if self.shift and not self.probable else 0

    @property
    def division(self) -> Division | None:
        """The exact division, where there is one."""
        return Division(self.domain, self.shift) if self.shift and not self.probable else None

    def divided(self, server: Server, x: Words, opened: Words | None, material: Material) -> Words:
        """Return shares of the flat inputs divided by 2^shift."""
        if self.division is not None and opened is not None:
            return self.division.evaluate(server, opened, part("division", material))
        if self.shift:
            half = np.uint64(1 << self.shift - 1 if server.party == 0 else 0)
            return drop_bits_probably(server, x + half, self.shift)
        return x

    def plain_division(self, x: Array) -> Array:
        """Return the integers divided by 2^shift."""
        return (x + (1 << self.shift - 1)) >> self.shift if self.shift else x


@dataclass(frozen=True, kw_only=True)
class Divide(Opened):
    """Division by 2^shift, to the nearest integer, ties upwards: one comparison of `shift` bits a number."""

    @property
    def rounds(self) -> int:  # type: ignore[override]
        """One, unless it is probable."""
        return int(self.division is not None)

    def plain(self, x: Array, weights: Weights) -> Array:
        return self.plain_division(x)

    def layout(self, batch: int) -> Layout:
        if self.division is None:
            return {}
        count = batch * self.count
        return self.mask.layout(count) | nested("division", self.division.layout(count))

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        if self.division is None:
            return {}, {}
        r, *masks = self.mask.deal(dealer, batch * self.count)
        divisions = self.division.deal(dealer, r)
        first, second = (
            dict(mask) | nested("division", division) for mask, division in zip(masks, divisions, strict=True)
        )
        return first, second

    def sent(self, batch: int) -> int:
        return 0 if self.division is None else self.mask.sent(batch * self.count)

    def comparisons(self, batch: int) -> int:
        return 0 if self.division is None else batch * self.count

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        opened = None
        if self.division is not None:
            opened = yield from self.mask.run(x.ravel(), material)
        return self.divided(server, x.ravel(), opened, material).reshape(x.shape)


@dataclass(frozen=True, kw_only=True)
class Rectify(Opened):
    """max(x, 0), divided by 2^shift: the sign and the division from one opening, then a selection.

    With a limit it is min(y, limit) of that: y [x >= 0] - (y - limit) [x >= limit 2^shift]. The second sign is that of
    x - limit 2^shift under the same mask, so it takes the same key, evaluated at another public place.

    Parameters
    ----------
    limit : int
        Positive, and limit 2^shift < 2^bits; 0 for none.
    """

    limit: int = 0
    rounds: ClassVar[int] = 2

    def check(self) -> None:
        super().check()
        if not 0 <= self.limit << self.shift < 1 << self.bits and self.limit:
            raise ValueError(
                f"Rectify: no numbers of {self.bits} bits reach {self.limit} after {self.shift} bits less"
            )

    @property
    def spare(self) -> int:
        return max(super().spare, int(self.limit > 0))

    @property
    def selections(self) -> int:
        """Bits that a number is selected by."""
        return 2 if self.limit else 1

    @property
    def negative(self) -> Negative:
        """The sign."""
        return Negative(self.domain)

    def plain(self, x: Array, weights: Weights) -> Array:
        kept = self.plain_division(x) * (x >= 0)
        return np.minimum(kept, self.limit) if self.limit else kept

    def layout(self, batch: int) -> Layout:
        count = batch * self.count
        division = self.division.layout(count) if self.division is not None else {}
        return (
            self.mask.layout(count)
            | nested("negative", self.negative.layout(count))
            | nested("division", division)
            | nested("select", Select().layout(self.selections * count))
        )

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        count = batch * self.count
        r, *masks = self.mask.deal(dealer, count)
        negatives = self.negative.deal(dealer, r)
        divisions = self.division.deal(dealer, r) if self.division is not None else ({}, {})
        selects = Select().deal(dealer, self.selections * count)
        first, second = (
            dict(masks[party])
            | nested("negative", negatives[party])
            | nested("division", divisions[party])
            | nested("select", selects[party])
            for party in range(2)
        )
        return first, second

    def sent(self, batch: int) -> int:
        count = batch * self.count
        return self.mask.sent(count) + Select().sent(self.selections * count)

    def comparisons(self, batch: int) -> int:
        return batch * self.count * (1 if self.division is None else 2)

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        opened = yield from self.mask.run(x.ravel(), material)
        numbers = self.divided(server, x.ravel(), opened, material)
        bits = self.not_negative(server, opened, material)
        if self.limit:
            level = np.array(-(self.limit << self.shift) % 2**64, np.uint64)
            above = self.not_negative(server, opened + level, material)
            excess = numbers - np.uint64(self.limit if server.party == 0 else 0)
            numbers, bits = np.concatenate([numbers, excess]), np.concatenate([bits, above])
        chosen = yield from Select().run(server, numbers[None], bits, part("select", material))
        if not self.limit:
            return chosen.reshape(x.shape)
        whole, excess = chosen.reshape(2, *x.shape)
        limited: Words = whole - excess
        return limited

    def not_negative(self, server: Server, opened: Words, material: Material) -> Words:
        """Return shares of [x >= 0], of which the lowest bit counts, for an opened number x + r."""
        kept = np.uint64(2**self.domain - 1)
        bits = self.negative.evaluate(server, opened & kept, part("negative", material))
        return bits + np.uint64(1 - server.party)
