"""Yen and Guo 2000: every pixel is XORed or XNORed with one of two bytes, as chaotic bits say."""

import secrets
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.images.chaotic.schemes.greyscale import Grey, grey

__all__ = ["YenGuo", "logistic_words"]


@dataclass(frozen=True, repr=False)
class YenGuo:
    """The chaotic key-based algorithm, CKBA. **Insecure**.

    J.-C. Yen, J.-I. Guo, "A new chaotic key-based design for image encryption and decryption", Proc. IEEE ISCAS 2000,
    vol. 4, 49-52. Each value of the logistic map gives 16 bits, two for a pixel: 3 and 2 are XOR and XNOR with the
    first byte, 1 and 0 with the second. The two bytes differ in four bits.

    Left open there and chosen here: the map with parameter 3.9 computes with 16 bits and drops what lies below, as
    hardware of its time would; its highest bits come first. Broken by Li and Zheng 2002 with one known image.

    Parameters
    ----------
    first, second
        The two bytes.
    seed
        Start of the map in units of 2^-16, 1 to 65535.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(70, dtype=np.uint8).reshape(7, 10)
    >>> cipher = YenGuo(0x5A, 0x55, seed=12345)
    >>> np.array_equal(cipher.decrypt(cipher.encrypt(image)), image)
    True
    """

    first: int
    second: int
    seed: int

    @classmethod
    def random(cls) -> "YenGuo":
        """Draw a key."""
        first, mask = secrets.randbelow(256), 0
        while mask.bit_count() != 4:
            mask = secrets.randbelow(256)
        return cls(first, first ^ mask, 1 + secrets.randbelow(0xFFFF))

    def encrypt(self, image: ArrayLike) -> Grey:
        """Encrypt an image of any shape."""
        pixels = grey(image)
        return pixels ^ self.mask(pixels.size).reshape(pixels.shape)

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt an image of any shape: the same XOR."""
        return self.encrypt(image)

    def mask(self, count: int) -> Grey:
        """Return the bytes that are XORed."""
        words = logistic_words(np.array([self.seed], np.uint64), -(-count // 8))
        bytes_ = np.array([~self.second & 0xFF, self.second, ~self.first & 0xFF, self.first], np.uint8)
        return bytes_[selectors(words)[0, :count]]


def logistic_words(seeds: NDArray[np.uint64], steps: int) -> NDArray[np.uint64]:
    """Return the orbits of the 16-bit map x -> floor(3.9 x (1 - x)), a row for every seed, the seed first."""
    out = np.empty((len(seeds), steps), np.uint64)
    x = seeds
    for k in range(steps):
        out[:, k] = x
        x = x * (np.uint64(1 << 16) - x) * np.uint64(39) // np.uint64(10 << 16)
    return out


def selectors(words: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the pairs of bits of 16-bit words, the highest first: 8 for a word, along the rows."""
    shifts = np.arange(14, -2, -2, dtype=np.uint64)
    pairs = (words[:, :, None] >> shifts) & np.uint64(3)
    return pairs.reshape(len(words), -1).astype(np.uint8)
