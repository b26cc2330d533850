"""What two servers compute: each step in the clear, its correlated randomness, its rounds, its bytes.

A `Step` is public: shapes, and how large numbers can get. It offers

    plain(x, weights)                         the integers it computes: the definition
    weights_layout()                          the shared arrays that it needs; empty for most steps
    setup_layout(), deal_setup, setup         once a session, only where there are weights
    layout(batch), deal(dealer, batch, secret)  what the dealer makes for one batch, used once
    run(server, x, weights, fixed, material)  a generator: see `sharing.Exchange`
    rounds, sent(batch)                       messages of one server to the other, and their bytes; exact

Shares are uint64 arrays whose first axis is the batch. `bits` always means |x| < 2^bits for the step's inputs, and
follows from the public range of the model's inputs and public bounds of the weights; see `layers`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from medcrypt.inference.comparison import Division, Mask, Negative, Zero
from medcrypt.inference.sharing import (
    Dealer,
    Exchange,
    Layout,
    Material,
    Select,
    Server,
    Words,
    dealt,
    drop_bits_probably,
    exchange,
    nested,
    part,
)

__all__ = [
    "Argmax",
    "Branch",
    "Convolution",
    "Dense",
    "Divide",
    "MaxPool",
    "Rectify",
    "Step",
    "SumPool",
    "Threshold",
    "domain",
]

Array = NDArray[Any]
Weights = Mapping[str, Array]

PAIRWISE_CLASSES = 16  # up to here an argmax compares all pairs at once: two rounds


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
        return int(np.prod(self.shape))

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


# --- products with secret weights -----------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Product(Step):
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
        return 8 * int(np.prod(self.weight_shape))

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
class Dense(_Product):
    """A matrix product: shape (inputs,) to (outputs,).

    Parameters
    ----------
    outputs : int
        Columns of w.
    """

    outputs: int

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


@dataclass(frozen=True, kw_only=True)
class _Windows(Step):
    """Something on windows of images of shape (channels, height, width), with zeros around them.

    Parameters
    ----------
    kernel, stride, padding : tuple of two int
        Height and width.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    @property
    def places(self) -> tuple[int, int]:
        """How many windows there are downwards and across."""
        down, across = (
            (size + 2 * around - window) // step + 1
            for size, around, window, step in zip(
                self.shape[1:], self.padding, self.kernel, self.stride, strict=True
            )
        )
        return down, across

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.shape[0], *self.places)

    def windows(self, x: Array) -> Array:
        """Return a view of shape (batch, channels, down, across, kernel height, kernel width)."""
        around = [(0, 0), (0, 0), *((size, size) for size in self.padding)]
        padded = np.pad(x, around) if any(self.padding) else x
        views = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, (2, 3))
        return views[:, :, :: self.stride[0], :: self.stride[1]]


@dataclass(frozen=True, kw_only=True)
class Convolution(_Product, _Windows):
    """A two-dimensional cross-correlation, as networks call a convolution: (channels, h, w) to (outputs, h', w').

    Parameters
    ----------
    outputs : int
        Output channels.
    groups : int
        Both kinds of channels come in so many groups, which do not see each other.
    """

    outputs: int
    groups: int = 1

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.outputs, *self.places)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.outputs, self.shape[0] // self.groups, *self.kernel)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.outputs, 1, 1)

    def product(self, x: Array, weight: Array) -> Array:
        batch, (down, across) = len(x), self.places
        views = self.windows(x).reshape(batch, self.groups, -1, down, across, *self.kernel)
        rows = views.transpose(1, 0, 3, 4, 2, 5, 6).reshape(self.groups, batch * down * across, -1)
        columns = weight.reshape(self.groups, self.outputs // self.groups, -1).transpose(0, 2, 1)
        outputs = (rows @ columns).reshape(self.groups, batch, down, across, -1)
        return outputs.transpose(1, 0, 4, 2, 3).reshape(batch, self.outputs, down, across)


# --- steps without weights ------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SumPool(_Windows):
    """The sum of every window times a public number: local.

    Parameters
    ----------
    factor : int
        The number.
    """

    factor: int = 1

    def plain(self, x: Array, weights: Weights) -> Array:
        sums: Array = self.windows(x).sum((4, 5), dtype=x.dtype)
        sums *= x.dtype.type(self.factor)
        return sums

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        return self.plain(x, weights)
        yield b""


@dataclass(frozen=True, kw_only=True)
class _Opened(Step):
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

    @property
    def mask(self) -> Mask:
        """The opening."""
        return Mask(self.domain)

    @property
    def domain(self) -> int:
        """Bits of the opening; a division wants |x| < 2^(n-3)."""
        return domain(self.bits, 2 if self.shift and not self.probable else 0)

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
class Divide(_Opened):
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
class Rectify(_Opened):
    """max(x, 0), divided by 2^shift: the sign and the division from one opening, then a selection."""

    rounds: ClassVar[int] = 2

    @property
    def negative(self) -> Negative:
        """The sign."""
        return Negative(self.domain)

    def plain(self, x: Array, weights: Weights) -> Array:
        return self.plain_division(x) * (x >= 0)

    def layout(self, batch: int) -> Layout:
        count = batch * self.count
        division = self.division.layout(count) if self.division is not None else {}
        return (
            self.mask.layout(count)
            | nested("negative", self.negative.layout(count))
            | nested("division", division)
            | nested("select", Select().layout(count))
        )

    def deal(self, dealer: Dealer, batch: int, secret: Material) -> tuple[Material, Material]:
        count = batch * self.count
        r, *masks = self.mask.deal(dealer, count)
        negatives = self.negative.deal(dealer, r)
        divisions = self.division.deal(dealer, r) if self.division is not None else ({}, {})
        selects = Select().deal(dealer, count)
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
        return self.mask.sent(count) + Select().sent(count)

    def comparisons(self, batch: int) -> int:
        return batch * self.count * (1 if self.division is None else 2)

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        opened = yield from self.mask.run(x.ravel(), material)
        kept = self.negative.evaluate(server, opened, part("negative", material)) + np.uint64(
            1 - server.party
        )
        numbers = self.divided(server, x.ravel(), opened, material)
        chosen = yield from Select().run(server, numbers[None], kept, part("select", material))
        return chosen.reshape(x.shape)


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
class _Knockout(Step):
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
class MaxPool(_Knockout, _Windows):
    """The largest number of every window; no padding."""

    @property
    def entrants(self) -> int:
        return self.kernel[0] * self.kernel[1]

    @property
    def knockouts(self) -> int:
        return int(np.prod(self.output_shape))

    def plain(self, x: Array, weights: Weights) -> Array:
        largest: Array = self.windows(x).max((4, 5))
        return largest

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        views = np.moveaxis(self.windows(x).reshape(len(x), *self.output_shape, -1), -1, 0)
        winners = yield from self.knock_out(server, views.reshape(1, self.entrants, -1), material)
        return winners.reshape(len(x), *self.output_shape)


@dataclass(frozen=True, kw_only=True)
class Argmax(_Knockout):
    """The index of the largest of shape (classes,), the lowest of them on a tie: shape ().

    Up to 16 classes all pairs are compared at once, which adds up to how often each class loses; the one that
    never loses is found by a point function: two rounds. More classes knock each other out.
    """

    numbers: ClassVar[int] = 2

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
        smaller = negative.evaluate(server, opened, part("negative", material)).reshape(len(x), -1)
        lost = smaller @ (first[:, None] == indices).astype(np.uint64)
        lost -= smaller @ (second[:, None] == indices).astype(np.uint64)
        if server.party == 0:
            lost += indices  # the second of a pair loses unless the first does: index i is second in i pairs
        opened = yield from losses.run(lost.ravel(), part("losses", material))
        largest = self.zero.evaluate(server, opened, part("zero", material)).reshape(len(x), -1)
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


# --- two ways that meet ---------------------------------------------------------------------------


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
