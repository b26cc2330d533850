"""Gauss-Legendre quadrature: points and weights, correctly rounded.

Usual tables come from eigenvalues in double precision, and their outermost weights are off by some hundred units in
the last place: more than bounds of a few units allow for. Here Newton's method runs in integers.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["legendre"]

_Reals = NDArray[np.float64]

_BITS = 160  # fixed point; the recurrence loses fewer than 20 of them
_STEPS = 6  # of Newton's method, from four digits on: each doubles them


@cache
def legendre(count: int) -> tuple[_Reals, _Reals]:
    """Return points and weights of Gauss-Legendre quadrature on (-1, 1), each the double nearest to the true one.

    Parameters
    ----------
    count
        Number of points, even and at most 64.

    Returns
    -------
    tuple of ndarray
        ``(points, weights)``, float64 and read-only; points rise.

    Examples
    --------
    >>> points, weights = legendre(2)
    >>> points.tolist(), weights.tolist()
    ([-0.5773502691896257, 0.5773502691896257], [1.0, 1.0])
    """
    if count % 2 or not 2 <= count <= 64:
        raise ValueError(f"an even number of points, at most 64, not {count}")
    half = [_node(count, math.cos(math.pi * (k + 0.75) / (count + 0.5))) for k in range(count // 2)]
    points = np.array([-x for x, _ in half] + [x for x, _ in reversed(half)])
    weights = np.array([w for _, w in half] + [w for _, w in reversed(half)])
    points.flags.writeable = weights.flags.writeable = False
    return points, weights


def _node(count: int, guess: float) -> tuple[float, float]:
    """Return the zero of the Legendre polynomial next to a guess, and its weight."""
    one = 1 << _BITS
    z = int(guess * 2.0**60) << (_BITS - 60)
    for _ in range(_STEPS):
        last, value = _values(count, z)
        # (1 - z^2) P' = n (P_(n - 1) - z P_n)
        z -= value * (one - (z * z >> _BITS)) // (count * (last - (z * value >> _BITS)))
    last, _ = _values(count, z)
    # 2/((1 - z^2) P'^2), where P = 0.
    weight = 2 * (one - (z * z >> _BITS)) << _BITS
    return z / one, weight / (count * count * last * last)


def _values(count: int, z: int) -> tuple[int, int]:
    """Return the Legendre polynomials of degrees count - 1 and count."""
    last, value = 1 << _BITS, z
    for k in range(2, count + 1):
        last, value = value, ((2 * k - 1) * (z * value >> _BITS) - (k - 1) * last) // k
    return last, value
