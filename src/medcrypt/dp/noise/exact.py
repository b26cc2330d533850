"""Decisions in exact arithmetic: uniform numbers known by as many bits as needed, enclosures, cumulative weights."""

import math
import secrets
from bisect import bisect_right
from collections.abc import Callable, Sequence
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from itertools import accumulate

__all__ = ["WEIGHT_BITS", "Cells", "LazyUniform", "exp_enclosure", "exp_weight"]

WEIGHT_BITS = 256
"""Weights are integers, the largest about 2^256."""

_WORD = 64
_KERNEL_BITS = 63  # of a threshold that the kernel sees
_FURTHER_BITS = 128  # of a threshold, behind those


class LazyUniform:
    """A uniform real number in [0, 1), known by as many bits as the questions asked of it need.

    Parameters
    ----------
    word
        The first 64 bits.
    further
        Gives 64 more with each call.
    """

    def __init__(self, word: int | None = None, further: Callable[[], int] | None = None) -> None:
        self._further = further or (lambda: secrets.randbits(_WORD))
        self.value = self._further() if word is None else word
        self.bits = _WORD

    def extend(self) -> None:
        """Learn 64 more bits."""
        self.value = (self.value << _WORD) | self._further()
        self.bits += _WORD

    def below_exp(self, gamma: Fraction) -> bool:
        """Tell whether the number is below exp(-gamma), gamma >= 0 rational."""
        if gamma == 0:
            return True
        while True:
            low, high = exp_enclosure(gamma, self.bits)
            if self.value + 1 <= low:
                return True
            if self.value >= high:
                return False
            self.extend()

    def below(self, ratio: Fraction) -> bool:
        """Tell whether the number is below a rational one."""
        while True:
            scaled = ratio * (1 << self.bits)
            if self.value + 1 <= scaled:
                return True
            if self.value >= scaled:
                return False
            self.extend()


class Cells:
    """A distribution on 0, 1, 2, ... given by exact weights, drawn from by comparing with cumulative thresholds.

    Parameters
    ----------
    weights
        Not negative and not all zero; what they leave out and round off is in `distance`.

    Attributes
    ----------
    thresholds : list of int
        The first 63 bits of those that 63 bits can reach.
    distance : float
        Bound of the distance in total variation between `find` and the true distribution, when the weights leave
        out less than 2^-200 of it and are off by less than 2^-200 relatively.
    """

    def __init__(self, weights: Sequence[int]) -> None:
        total = sum(weights)
        scaled = ((below << (_KERNEL_BITS + _FURTHER_BITS)) // total for below in accumulate(weights))
        self._exact = [threshold for threshold in scaled if threshold >> _FURTHER_BITS >> _KERNEL_BITS == 0]
        words = [threshold >> _FURTHER_BITS for threshold in self._exact]
        # Behind the first threshold that has only ones all others have, too; a word of ones is undecided.
        reachable = bisect_right(words, (1 << _KERNEL_BITS) - 2) + 1
        self.thresholds = words[:reachable]
        self.distance = math.ldexp(len(weights) + 2, -(_KERNEL_BITS + _FURTHER_BITS) + 1)

    def find(self, word: int, further: Callable[[], int]) -> int:
        """Return the cell of the number that begins with 63 given bits."""
        return bisect_right(self._exact, (word << _FURTHER_BITS) | (further() << _WORD) | further())


def exp_weight(gamma: Fraction) -> int:
    """Return 2^256 exp(-gamma), rounded down to within 2 units."""
    return exp_enclosure(gamma, WEIGHT_BITS)[0] if gamma else 1 << WEIGHT_BITS


def exp_enclosure(gamma: Fraction, bits: int) -> tuple[int, int]:
    """Return integers around 2^bits exp(-gamma), at most a few units apart.

    The decimal module rounds division as told and exp correctly, so one step outward makes both bounds sure.
    """
    if gamma >= bits:
        return 0, 1  # e^-bits 2^bits < 1; the decimals of what is far smaller would fill the memory
    digits = math.ceil(bits * math.log10(2.0)) + len(str(gamma.numerator // gamma.denominator)) + 10
    down = Context(prec=digits, rounding=ROUND_FLOOR, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
    up = Context(prec=digits, rounding=ROUND_CEILING, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])
    numerator, denominator, scale = Decimal(gamma.numerator), Decimal(gamma.denominator), Decimal(2**bits)
    most = up.exp(down.divide(numerator, denominator).copy_negate()).next_plus(up)
    least = down.exp(up.divide(numerator, denominator).copy_negate()).next_minus(down)
    low = down.multiply(least, scale).to_integral_value(ROUND_FLOOR, context=down)
    high = up.multiply(most, scale).to_integral_value(ROUND_CEILING, context=up)
    return int(low), int(high)
