"""Zhang, Guo and Wei 2010: pixels written as DNA bases, added and complemented."""

import itertools
import secrets
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.images.chaotic.schemes.greyscale import Grey, grey, logistic_orbit, random_start

__all__ = ["RULES", "ZhangGuoWei", "add_blocks", "bases_of", "pixels_of", "subtract_blocks"]

# The bases A, C, G, T = 0, 1, 2, 3 of the pairs of bits 00, 01, 10, 11. Of the 24 ways to write them, in these eight
# a complement of bits is a complement of bases (A with T, C with G).
RULES = tuple(
    np.array(rule, np.uint8)
    for rule in itertools.permutations(range(4))
    if rule[0] + rule[3] == 3 and rule[1] + rule[2] == 3
)
_BLOCK = 4


@dataclass(frozen=True, repr=False)
class ZhangGuoWei:
    """DNA addition and complement. **Insecure**.

    Q. Zhang, L. Guo, X. Wei, "Image encryption using DNA addition combining with chaotic maps", Mathematical and
    Computer Modelling 52 (2010) 2028-2035. Pairs of bits become bases by one of eight rules, blocks of bases are added
    to each other (modulo 4), bases are complemented where two logistic maps say so, and another rule
    leads back to bits.

    Left open there and chosen here: the sum of the blocks as described cannot be inverted (Hermassi, Belazi, Rhouma and
    Belghith 2014), so that here each block of 4 x 4 bases is added to the sum before it; a base is complemented where
    the two maps add up to more than 1.

    Parameters
    ----------
    x, y
        Starts of the two logistic maps.
    encoding, decoding
        Numbers of the two rules, 0 to 7.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(80, dtype=np.uint8).reshape(8, 10)
    >>> cipher = ZhangGuoWei(0.3, 0.4, encoding=2, decoding=5)
    >>> np.array_equal(cipher.decrypt(cipher.encrypt(image)), image)
    True
    """

    x: float
    y: float
    encoding: int
    decoding: int

    @classmethod
    def random(cls) -> "ZhangGuoWei":
        """Draw a key."""
        return cls(random_start(0.1, 0.9), random_start(0.1, 0.9), secrets.randbelow(8), secrets.randbelow(8))

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt an image whose rows are a multiple of four."""
        bases = add_blocks(bases_of(grey(image), self.encoding))
        return pixels_of(bases ^ _complements(self.x, self.y, bases.size).reshape(bases.shape), self.decoding)

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt an image whose rows are a multiple of four."""
        bases = bases_of(grey(image), self.decoding)
        bases = bases ^ _complements(self.x, self.y, bases.size).reshape(bases.shape)
        return pixels_of(subtract_blocks(bases), self.encoding)


def bases_of(pixels: Grey, rule: int) -> Grey:
    """Return the bases of an image, four for a pixel."""
    pairs = (pixels[:, :, None] >> np.array([6, 4, 2, 0], np.uint8)) & np.uint8(3)
    return np.take(RULES[rule], pairs).reshape(len(pixels), -1)


def pixels_of(bases: Grey, rule: int) -> Grey:
    """Return the image that has these bases."""
    pairs = np.argsort(RULES[rule]).astype(np.uint8)[bases].reshape(len(bases), -1, 4)
    shifted = np.left_shift(pairs, np.array([6, 4, 2, 0], np.uint8))
    return np.asarray(np.bitwise_or.reduce(shifted, axis=2), np.uint8)


def add_blocks(bases: Grey) -> Grey:
    """Add to every block of 4 x 4 bases all those before it, modulo 4."""
    return _joined(np.cumsum(_blocks(bases), axis=0, dtype=np.uint8) & np.uint8(3), bases.shape)


def subtract_blocks(bases: Grey) -> Grey:
    """Invert `add_blocks`."""
    blocks = _blocks(bases)
    blocks[1:] = (blocks[1:] - blocks[:-1]) & np.uint8(3)
    return _joined(blocks, bases.shape)


def _blocks(bases: Grey) -> Grey:
    """Return the blocks one after the other."""
    if len(bases) % _BLOCK:
        raise ValueError(f"the number of rows must be a multiple of {_BLOCK}, not {len(bases)}")
    grid = bases.reshape(len(bases) // _BLOCK, _BLOCK, -1, _BLOCK).swapaxes(1, 2)
    return grid.reshape(-1, _BLOCK, _BLOCK)


def _joined(blocks: Grey, shape: tuple[int, ...]) -> Grey:
    """Put blocks together again."""
    return blocks.reshape(shape[0] // _BLOCK, -1, _BLOCK, _BLOCK).swapaxes(1, 2).reshape(shape)


@lru_cache(maxsize=8)
def _complements(x: float, y: float, count: int) -> Grey:
    """Return 3 where a base is complemented and 0 elsewhere."""
    first, second = (list(itertools.islice(logistic_orbit(start), count)) for start in (x, y))
    return np.where(np.add(first, second) > 1, 3, 0).astype(np.uint8)
