"""Gao and Chen 2008: a total shuffle by the logistic map, then XOR with hyperchaotic bytes."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.images.chaotic.schemes.greyscale import (
    Grey,
    Indices,
    grey,
    logistic_orbit,
    random_real,
    random_start,
    skipped,
)

__all__ = ["GaoChen"]

_State = tuple[float, float, float, float]
_GROUPS = ((0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3))
_STEP, _TRANSIENT = 0.001, 1000


@dataclass(frozen=True, repr=False)
class GaoChen:
    """Shuffle and hyperchaotic keystream. **Insecure**.

    T. Gao, Z. Chen, "A new image encryption algorithm based on hyper-chaos", Physics Letters A 372 (2008) 394-400. The
    rows are shuffled, then the pixels of every row, each by the distinct values of mod(x 10^14, size) along a logistic
    orbit (r = 4). The hyperchaotic Chen system (a, b, c, d, k = 36, 3, 28, 16, 0.2) gives four bytes
    mod(frac(x_i) 10^14, 256) a step, of which mod(x_1, 4) picks the three that encrypt three pixels.

    Left open there and chosen here: Runge-Kutta of fourth order with steps of 0.001; both systems drop their first
    1000 values; the keystream does not depend on the ciphertext. Broken by Rhouma and Belghith 2008 with three
    pairs.

    Parameters
    ----------
    x
        Start of the logistic map, between 0 and 1.
    state
        Start of the hyperchaotic system.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(70, dtype=np.uint8).reshape(7, 10)
    >>> cipher = GaoChen(0.3, (0.3, -0.4, 1.2, 1.0))
    >>> np.array_equal(cipher.decrypt(cipher.encrypt(image)), image)
    True
    """

    x: float
    state: _State

    @classmethod
    def random(cls) -> "GaoChen":
        """Draw a key."""
        s = [random_real(0.1, 2.0) for _ in range(4)]
        return cls(random_start(0.1, 0.9), (s[0], s[1], s[2], s[3]))

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt an image of any shape."""
        pixels = grey(image)
        shuffled = pixels.ravel()[_shuffle(self.x, *pixels.shape)]
        return (shuffled ^ _keystream(self.state, pixels.size)).reshape(pixels.shape)

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt an image of any shape."""
        pixels = grey(image)
        plain = np.empty(pixels.size, np.uint8)
        plain[_shuffle(self.x, *pixels.shape)] = pixels.ravel() ^ _keystream(self.state, pixels.size)
        return plain.reshape(pixels.shape)


@lru_cache(maxsize=8)
def _shuffle(x: float, rows: int, columns: int) -> Indices:
    """Return which pixel each place receives: rows first, then within every row."""
    orbit = skipped(logistic_orbit(x), _TRANSIENT)
    order = _distinct(orbit, rows)
    within = [_distinct(orbit, columns) for _ in range(rows)]
    return np.asarray(np.array(order)[:, None] * columns + np.array(within)).ravel()


def _distinct(orbit: Iterator[float], size: int) -> list[int]:
    """Collect the numbers below size in the order in which the orbit brings them."""
    seen: dict[int, None] = {}
    for value in orbit:
        seen.setdefault(int(value * 1e14) % size)
        if len(seen) == size:
            break
    return list(seen)


@lru_cache(maxsize=8)
def _keystream(state: _State, count: int) -> Grey:
    """Return the bytes that are XORed, three for every step of the system."""
    stream: list[int] = []
    for s in itertools.islice(_trajectory(state), _TRANSIENT, None):
        values = [int((abs(v) - int(abs(v))) * 1e14) % 256 for v in s]
        stream += (values[i] for i in _GROUPS[values[0] % 4])
        if len(stream) >= count:
            break
    return np.array(stream[:count], np.uint8)


def _trajectory(s: _State) -> Iterator[_State]:
    """Integrate the hyperchaotic Chen system by Runge and Kutta's method."""
    h = _STEP
    while True:
        k1 = _slope(s)
        k2 = _slope(_moved(s, k1, h / 2))
        k3 = _slope(_moved(s, k2, h / 2))
        k4 = _slope(_moved(s, k3, h))
        s = _moved(s, _moved(_moved(_moved(k1, k2, 2), k3, 2), k4, 1), h / 6)
        yield s


def _slope(s: _State) -> _State:
    """Return the time derivative of the state."""
    x, y, z, q = s
    return 36 * (y - x), -x * z + 16 * x + 28 * y - q, x * y - 3 * z, x + 0.2


def _moved(s: _State, by: _State, h: float) -> _State:
    """Return s + h by."""
    return s[0] + h * by[0], s[1] + h * by[1], s[2] + h * by[2], s[3] + h * by[3]
