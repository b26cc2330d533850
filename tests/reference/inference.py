"""A network in fixed point, number by number: what two servers must compute, and nothing of how.

Images are lists of channels of rows. Numbers are Python's integers with `fraction` bits behind the point; products
double these, and a division by a power of two, to the nearest and ties upwards, brings them back when the next
product, or a ReLU, comes. Nothing here is shared with the library.
"""

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

__all__ = ["Network", "divide", "to_integer"]


@functools.cache
def to_integer(value: float, fraction: int) -> int:
    """Round to a multiple of 2^-fraction, ties to even."""
    return round(Fraction(float(value)) * 2**fraction)


def divide(x: int, shift: int) -> int:
    """floor(x / 2^shift + 1/2)."""
    return math.floor(Fraction(x, 2**shift) + Fraction(1, 2)) if shift else x


def _mapped(numbers: Any, change: Any) -> Any:
    return [_mapped(n, change) for n in numbers] if isinstance(numbers, list) else change(numbers)


class Network:
    """The numbers of one input on their way.

    Parameters
    ----------
    numbers
        Real ones, in nested lists.
    base
        Bits behind the point of inputs and weights.
    """

    def __init__(self, numbers: Any, base: int) -> None:
        self.base = self.fraction = base
        self.numbers = _mapped(numbers, lambda v: to_integer(v, base))

    def divided(self) -> "Network":
        """Return to `base` bits."""
        shift = self.fraction - self.base
        self.numbers, self.fraction = _mapped(self.numbers, lambda n: divide(n, shift)), self.base
        return self

    def dense(self, weights: Sequence[Sequence[float]], bias: Sequence[float]) -> "Network":
        """x w + b."""
        self.divided()
        w = [[to_integer(v, self.base) for v in row] for row in weights]
        self.numbers = [
            sum(x * row[j] for x, row in zip(self.numbers, w, strict=True)) + to_integer(b, 2 * self.base)
            for j, b in enumerate(bias)
        ]
        self.fraction += self.base
        return self

    def conv(
        self, weights: Any, bias: Sequence[float], stride: int = 1, padding: int = 0, groups: int = 1
    ) -> "Network":
        """Cross-correlation of an image."""
        self.divided()
        w = _mapped(weights, lambda v: to_integer(v, self.base))
        image, per_group = self.numbers, len(w) // groups
        outputs = []
        for o, (filters, b) in enumerate(zip(w, bias, strict=True)):
            first = o // per_group * len(filters)
            value = to_integer(b, 2 * self.base)
            tops = range(-padding, len(image[0]) + padding - len(filters[0]) + 1, stride)
            lefts = range(-padding, len(image[0][0]) + padding - len(filters[0][0]) + 1, stride)
            outputs.append(
                [[value + self._windows(image[first:], filters, top, left) for left in lefts] for top in tops]
            )
        self.numbers, self.fraction = outputs, self.fraction + self.base
        return self

    @classmethod
    def _windows(cls, image: list[Any], filters: list[Any], top: int, left: int) -> int:
        return sum(cls._window(plane, f, top, left) for plane, f in zip(image, filters, strict=False))

    @staticmethod
    def _window(plane: list[list[int]], weights: list[list[int]], top: int, left: int) -> int:
        return sum(
            weight * plane[top + i][left + j]
            for i, row in enumerate(weights)
            for j, weight in enumerate(row)
            if 0 <= top + i < len(plane) and 0 <= left + j < len(plane[0])
        )

    def relu(self, limit: float = math.inf) -> "Network":
        """min(max(x, 0), limit)."""
        self.numbers = _mapped(self.numbers, lambda n: max(n, 0))
        self.divided()
        if limit < math.inf:
            most = to_integer(limit, self.base)
            self.numbers = _mapped(self.numbers, lambda n: min(n, most))
        return self

    def max_pool(self, size: int, stride: int, padding: int = 0) -> "Network":
        """The largest of each window, within the image."""
        smallest = min(min(min(row) for row in plane) for plane in self.numbers)
        for plane in self.numbers:
            plane[:] = [[smallest] * padding + row + [smallest] * padding for row in plane]
            empty = [[smallest] * len(plane[0])] * padding
            plane[:] = [*empty, *plane, *empty]
        self.numbers = [self._pooled(plane, size, stride, max) for plane in self.numbers]
        return self

    def average_pool(self, size: int, stride: int) -> "Network":
        """The mean of each window: a sum where the division is by a power of two, else times a reciprocal."""
        self.numbers = [self._pooled(plane, size, stride, sum) for plane in self.numbers]
        if math.log2(size * size).is_integer():
            self.fraction += int(math.log2(size * size))
        else:
            factor = to_integer(1 / (size * size), self.base)
            self.numbers, self.fraction = (
                _mapped(self.numbers, lambda n: n * factor),
                self.fraction + self.base,
            )
        return self

    @staticmethod
    def _pooled(plane: list[list[int]], size: int, stride: int, reduce: Any) -> list[list[int]]:
        return [
            [
                reduce([plane[top + i][left + j] for i in range(size) for j in range(size)])
                for left in range(0, len(plane[0]) - size + 1, stride)
            ]
            for top in range(0, len(plane) - size + 1, stride)
        ]

    def flatten(self) -> "Network":
        """One list."""
        while isinstance(self.numbers[0], list):
            self.numbers = [n for part in self.numbers for n in part]
        return self

    def argmax(self) -> int:
        """The index of the largest, the lowest on a tie."""
        return self.numbers.index(max(self.numbers))
