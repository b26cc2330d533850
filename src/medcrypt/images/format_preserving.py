"""Pixels to pixels of the same range: c = (p - lo + k) mod n + lo, with n = hi - lo + 1.

k is uniform on 0 ... n - 1 and drawn anew for every pixel, so c is uniform whatever p is, and says nothing about it.
The draws come from the key stream of AES-256-CTR, from block 0 on, cut into little-endian words as wide as a pixel.
With b the bits of n - 1, a word's low b bits are a candidate; a candidate of n or more is rejected, so that no value is
more likely than another. What is rejected depends on the key stream alone, and the arithmetic takes the same steps
whatever the pixels hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.aes import AesCtr

Words = NDArray[np.unsignedinteger[Any]]

# Words drawn at a time: they stay in the second-level cache with the pixels they are added to.
PIECE = 1 << 16
_BLOCK = 16


class Draws:
    """Uniform numbers below n, in words of the machine's byte order.

    Parameters
    ----------
    key
        32 bytes, for this sequence alone.
    width
        Bytes of a word: 1, 2, 4 or 8.
    n
        2 to 2**(8 * width).
    """

    def __init__(self, key: bytes, width: int, n: int) -> None:
        self._stream = AesCtr(key)
        self._stored = np.dtype(f"<u{width}")
        self._n = n
        self._bits = (n - 1).bit_length()
        self._next_block = 0
        self._left = np.empty(0, self._stored.newbyteorder("="))

    def take(self, count: int) -> Words:
        """Return the next ``count`` numbers."""
        parts, held = [self._left], self._left.size
        while held < count:
            parts.append(self._candidates(count - held))
            held += parts[-1].size
        numbers = parts[1] if parts[0].size == 0 and len(parts) == 2 else np.concatenate(parts)
        self._left = numbers[count:]
        return numbers[:count]

    def _candidates(self, wanted: int) -> Words:
        """Return those of the next words that are not rejected: about ``wanted``, from whole blocks."""
        width = self._stored.itemsize
        words = min(PIECE, -(-(wanted << self._bits) // self._n))
        blocks = -(-words * width // _BLOCK)
        drawn = np.empty(blocks * _BLOCK // width, self._stored)
        self._stream.fill(self._next_block, drawn)
        self._next_block += blocks
        numbers = drawn.astype(self._left.dtype, copy=False)
        if self._bits < 8 * width:
            numbers &= numbers.dtype.type((1 << self._bits) - 1)
        if self._n == 1 << self._bits:
            return numbers
        return np.compress(numbers < self._n, numbers)  # several times faster than indexing with a mask


class Shift:
    """Addition and subtraction modulo n on the range lo ... hi, in place.

    Pixels are unsigned words that hold the bits of the real pixels: modulo 2**(8 * width) two's complement is the same.

    Parameters
    ----------
    width
        Bytes of a pixel.
    lo, hi
        The range, lo < hi; negative for signed pixels.
    """

    def __init__(self, width: int, lo: int, hi: int) -> None:
        word = np.dtype(f"=u{width}").type
        self._n = hi - lo + 1
        self._lo = word(lo % (1 << 8 * width))
        self._most = word(self._n - 1)
        self._whole = self._n == 1 << 8 * width
        self._power_of_two = self._n & (self._n - 1) == 0

    def holds(self, pixels: Words) -> bool:
        """Tell whether all pixels are in the range."""
        return self._whole or bool((pixels - self._lo <= self._most).all())

    def add(self, pixels: Words, draws: Words) -> None:
        """Encrypt pixels of the range."""
        pixels -= self._lo
        pixels += draws
        if self._power_of_two:
            pixels &= self._most
        else:  # a sum that has wrapped is less than what was added
            self._subtract_n(pixels, (pixels < draws) | (pixels > self._most))
        pixels += self._lo

    def subtract(self, pixels: Words, draws: Words) -> None:
        """Decrypt pixels of the range."""
        pixels -= self._lo
        borrow = pixels < draws
        pixels -= draws
        if self._power_of_two:
            pixels &= self._most
        else:
            pixels += borrow * (self._most + pixels.dtype.type(1))
        pixels += self._lo

    def _subtract_n(self, pixels: Words, where: NDArray[np.bool_]) -> None:
        """Subtract n where asked, by multiplication: no branch."""
        pixels -= where * (self._most + pixels.dtype.type(1))
