"""Integer noise from words, by the definition of the laws: the oracle of the kernels and the samplers.

Nothing here is shared with the library. Laws are evaluated in 120 digits, uniform words count as the real numbers that
they begin; what 64 bits cannot decide raises, so that no test mistakes it for an answer.
"""

from collections.abc import Callable, Sequence

import mpmath as mp

__all__ = [
    "UndecidedError",
    "cell_draw",
    "discrete_gaussian",
    "discrete_laplace",
    "real_draw",
    "rounded_gaussian",
    "skellam",
    "table_draw",
]

DIGITS = 120
Pmf = Callable[[int], mp.mpf]


class UndecidedError(Exception):
    """64 bits of a uniform number leave more than one answer."""


def discrete_gaussian(sigma: object) -> Pmf:
    """Weights exp(-k^2/(2 sigma^2)), not normalised."""
    return lambda k: mp.exp(-(mp.mpf(k) ** 2) / (2 * _real(sigma) ** 2))


def discrete_laplace(scale: object) -> Pmf:
    """Weights exp(-|k|/scale), not normalised."""
    return lambda k: mp.exp(-abs(mp.mpf(k)) / _real(scale))


def skellam(variance: object) -> Pmf:
    """Weights I_|k|(variance), not normalised."""
    return lambda k: mp.besseli(abs(k), _real(variance))


def rounded_gaussian(sigma: object) -> Pmf:
    """Weights Phi((k + 1/2)/sigma) - Phi((k - 1/2)/sigma), by erfc of the nearer side."""

    def weight(k: int) -> mp.mpf:
        near, far = (
            (abs(k) + side) / (_real(sigma) * mp.sqrt(2)) for side in (-mp.mpf(1) / 2, mp.mpf(1) / 2)
        )
        return (mp.erfc(near) - mp.erfc(far)) / 2

    return weight


def table_draw(pmf: Pmf, reach: int, word: int) -> int:
    """The value whose cumulative probability of |X| the upper 63 bits fall into; the last bit is the sign."""
    with mp.workdps(DIGITS):
        weights = [pmf(0)] + [2 * pmf(k) for k in range(1, reach)]
        magnitude = _cell(weights, word >> 1, 63)
    return -magnitude if word & 1 else magnitude


def cell_draw(pmf: Pmf, reach: int, low_bits: int, words: Sequence[int]) -> int | None:
    """A cell by the weight of its first integer, a uniform place in it, accepted by the ratio of weights."""
    with mp.workdps(DIGITS):
        width = 1 << low_bits
        first = width * _cell([pmf(y * width) for y in range(reach)], words[0] >> 1, 63)
        magnitude, negative = first + (words[1] >> (64 - low_bits)), words[0] & 1
        ratio = pmf(magnitude) / pmf(first)
    if (negative and magnitude == 0) or not _below(words[2], ratio):
        return None
    return -magnitude if negative else magnitude


def real_draw(sigma: object, base: int, reach: int, words: Sequence[int]) -> int | None:
    """A Gaussian of standard deviation `base` as cell and fraction, accepted, scaled to sigma and rounded."""
    with mp.workdps(DIGITS):
        cell = _cell([mp.exp(-(mp.mpf(y) ** 2) / (2 * base**2)) for y in range(reach)], words[0] >> 1, 63)
        ends = []
        for k in (0, 1):
            f = mp.mpf(words[1] + k) / 2**64
            accepted = _below(words[2], mp.exp(-(f * f + 2 * cell * f) / (2 * base**2)))
            ends.append((accepted, int(mp.floor(_real(sigma) * (cell + f) / base + mp.mpf(1) / 2))))
    if ends[0][0] != ends[1][0]:
        raise UndecidedError
    if not ends[0][0]:
        return None
    if ends[0] != ends[1]:
        raise UndecidedError
    return -ends[0][1] if words[0] & 1 else ends[0][1]


def _real(value: object) -> mp.mpf:
    """A rational or a float as it is."""
    numerator, denominator = value.as_integer_ratio()
    return mp.mpf(numerator) / denominator


def _cell(weights: Sequence[mp.mpf], word: int, bits: int) -> int:
    """The cell whose part of the cumulative weights holds the number that begins with these bits."""
    total, below, low = mp.fsum(weights), mp.mpf(0), mp.mpf(word) / 2**bits
    high = low + mp.mpf(2) ** -bits
    for cell, weight in enumerate(weights):
        below += weight / total
        if high <= below:
            return cell
        if low < below:
            raise UndecidedError
    raise UndecidedError


def _below(word: int, probability: mp.mpf) -> bool:
    """Whether the number that begins with 64 bits is below the probability."""
    if mp.mpf(word + 1) / 2**64 <= probability:
        return True
    if mp.mpf(word) / 2**64 >= probability:
        return False
    raise UndecidedError
