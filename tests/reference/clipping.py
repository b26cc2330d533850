"""What the kernels of clipping bound and round, in exact arithmetic: the oracle of `_ext/clip`."""

from collections.abc import Sequence
from fractions import Fraction

__all__ = ["on_lattice", "outer_square", "square"]


def square(row: Sequence[float]) -> Fraction:
    """The sum of the squares of a row."""
    return sum((Fraction(x) ** 2 for x in row), Fraction(0))


def outer_square(x: Sequence[float], y: Sequence[float], *, bias: bool) -> Fraction:
    """The squared norm of an outer product and, with a bias, of its right side."""
    return sum(((Fraction(a) * Fraction(b)) ** 2 for a in x for b in y), Fraction(0)) + bias * square(y)


def on_lattice(integers: Sequence[int], sums: Sequence[float], step: Fraction) -> list[int]:
    """Noise and sums in steps of a lattice; `round` takes halves to the even integer."""
    return [noise + round(Fraction(s) / step) for noise, s in zip(integers, sums, strict=True)]
