"""How often a good cipher passes a test that a random image passes with a known probability, exactly."""

import itertools
import math


def tail(n: int, p: float) -> list[float]:
    """P(X <= k) for k = 0 ... n, X binomial."""
    log_p, log_q = math.log(p), math.log1p(-p)
    logs = (
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * log_p + (n - k) * log_q
        for k in range(n + 1)
    )
    return list(itertools.accumulate(math.exp(x) for x in logs))


def band(trials: int, p: float, confidence: float = 0.99) -> tuple[int, int]:
    """The least and the greatest count that lie inside the band, half of the rest on either side."""
    below = tail(trials, p)
    half = (1 - confidence) / 2
    low = next(k for k in range(trials + 1) if below[k] > half)
    high = next(k for k in range(trials + 1) if below[k] >= 1 - half)
    return low, high


def npcr_pass(pixels: int, bits: int, threshold: float) -> float:
    """Probability that the NPCR of two random images, in percent, is at least `threshold`.

    Not quite 1 - alpha: the number of equal pixels is an integer, and a small one at 16 bits.
    """
    most = math.floor(pixels * (1 - threshold / 100) + 1e-9)
    mean = pixels / 2**bits
    logs = (
        k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(most + 1)
    )  # Poisson: 2^-bits is small
    return math.fsum(math.exp(x) for x in logs)
