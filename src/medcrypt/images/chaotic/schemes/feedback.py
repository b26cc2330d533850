"""Fridrich 1998: the baker map moves the pixels, a feedback mixes their levels."""

import secrets
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.images.chaotic.schemes.greyscale import Grey, Indices, grey

__all__ = ["Fridrich"]


@dataclass(frozen=True, repr=False)
class Fridrich:
    """The first of the family. **Insecure**.

    J. Fridrich, "Symmetric ciphers based on two-dimensional chaotic maps", Int. J. Bifurcation and Chaos 8 (1998)
    1259-1284. A round iterates the discretised baker map (section 2) and then adds to every pixel a function G of the
    encrypted one before it: c_k = v_k + G(c_{k-1}) mod 256 (section 5).

    Left open there and chosen here: G (`feedback`) is the identity by default; the scan goes row by row; the third
    dimension of the map, another way of changing levels, is left out; three rounds.

    Parameters
    ----------
    partition
        Divisors of the side whose sum is the side: the key of the baker map.
    start
        The byte before the first pixel.
    iterations
        Of the map, in each round.
    rounds
        Of map and feedback.
    feedback
        256 bytes, the table of G; None for the identity.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    >>> cipher = Fridrich((2, 4, 1, 1), start=7)
    >>> np.array_equal(cipher.decrypt(cipher.encrypt(image)), image)
    True
    """

    partition: tuple[int, ...]
    start: int
    iterations: int = 3
    rounds: int = 3
    feedback: bytes | None = None

    @classmethod
    def random(cls, side: int, rounds: int = 3, *, secret_feedback: bool = False) -> "Fridrich":
        """Draw a key for images of this side; with a random table G if asked for."""
        divisors = [d for d in range(1, side) if side % d == 0] or [1]
        partition: list[int] = []
        while (left := side - sum(partition)) > 0:
            partition.append(secrets.choice([d for d in divisors if d <= left]))
        table = secrets.token_bytes(256) if secret_feedback else None
        return cls(tuple(partition), secrets.randbelow(256), rounds=rounds, feedback=table)

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt a square image."""
        pixels = grey(image)
        source = self._source(pixels.shape)
        flat = pixels.ravel()
        for _ in range(self.rounds):
            flat = self._mix(flat[source])
        return flat.reshape(pixels.shape)

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt a square image."""
        pixels = grey(image)
        source = self._source(pixels.shape)
        flat = pixels.ravel()
        for _ in range(self.rounds):
            unmixed = self._unmix(flat)
            flat = np.empty_like(unmixed)
            flat[source] = unmixed
        return flat.reshape(pixels.shape)

    def _source(self, shape: tuple[int, ...]) -> Indices:
        """Return which pixel each place receives."""
        if shape[0] != shape[1] or sum(self.partition) != shape[0]:
            raise ValueError(f"the key is for square images of side {sum(self.partition)}, not for {shape}")
        if any(shape[0] % n for n in self.partition):
            raise ValueError("every part of the partition divides the side")
        return _baker(self.partition, self.iterations)

    def _mix(self, flat: Grey) -> Grey:
        """Add G of the encrypted pixel before to each one."""
        if self.feedback is None:  # a running sum
            return np.add(np.cumsum(flat, dtype=np.uint8), np.uint8(self.start))
        last, out = self.start, bytearray()
        for value in flat.tolist():
            last = (value + self.feedback[last]) & 0xFF
            out.append(last)
        return np.frombuffer(out, np.uint8)

    def _unmix(self, flat: Grey) -> Grey:
        """Invert `_mix`: every pixel's predecessor is known."""
        before = np.concatenate([np.array([self.start], np.uint8), flat[:-1]])
        table = np.arange(256, dtype=np.uint8)
        if self.feedback is not None:
            table = np.frombuffer(self.feedback, np.uint8)
        return np.asarray(np.subtract(flat, table[before]), np.uint8)


@lru_cache(maxsize=8)
def _baker(partition: tuple[int, ...], iterations: int) -> Indices:
    """Return the discretised baker map, iterated, as the source of every place."""
    side = sum(partition)
    target = np.empty((side, side), np.intp)
    offset = 0
    for n in partition:  # the strip of columns offset <= r < offset + n is squeezed and stretched
        r, s = np.ogrid[offset : offset + n, :side]
        q = side // n
        target[offset : offset + n] = (q * (r - offset) + s % q) * side + (s - s % q) // q + offset
        offset += n
    step = np.empty(side * side, np.intp)
    step[target.ravel()] = np.arange(side * side)
    source = np.arange(side * side)
    for _ in range(iterations):
        source = source[step]
    return source
