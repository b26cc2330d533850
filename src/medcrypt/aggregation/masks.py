"""Masks: pseudorandom words that are added to a vector and taken off again, and masked vectors as bytes.

The mask of a 32-byte key is the key stream of AES-256-CTR from block 0 on, read as little-endian words of 32 bits
where B <= 32 and of 64 bits above. Sums are modulo the word; 2^B divides that, so what counts is the sum modulo 2^B.
A mask never exists in memory: the kernel adds the key stream to the vector while it makes it.
"""

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.aes import AesCtr

__all__ = ["Words", "apply_masks", "pack", "unpack", "value_bytes", "words_of"]

Words: TypeAlias = NDArray[np.uint32] | NDArray[np.uint64]

_PIECE = 1 << 15  # words: a piece stays in the second-level cache while all masks go over it
_BLOCK = 16


def words_of(integers: NDArray[np.int64], bits: int) -> Words:
    """Return integers as words that hold them modulo 2^bits, in memory of their own.

    Examples
    --------
    >>> words_of(np.array([1, -1]), bits=9)
    array([         1, 4294967295], dtype=uint32)
    """
    return integers.astype(np.dtype(np.uint32 if bits <= 32 else np.uint64).newbyteorder("<"))


def apply_masks(words: Words, adding: Iterable[bytes], subtracting: Iterable[bytes]) -> None:
    """Add the masks of some keys to a vector and subtract those of others, in place.

    Parameters
    ----------
    words
        C-contiguous.
    adding, subtracting
        Keys of 32 bytes.

    Examples
    --------
    >>> words = words_of(np.arange(3), bits=9)
    >>> apply_masks(words, [bytes(32)], [])
    >>> apply_masks(words, [], [bytes(32)])
    >>> words
    array([0, 1, 2], dtype=uint32)
    """
    streams = [(AesCtr(key), False) for key in adding] + [(AesCtr(key), True) for key in subtracting]
    for start in range(0, words.size, _PIECE):
        piece = words[start : start + _PIECE]
        for stream, subtract in streams:
            stream.accumulate(start * words.itemsize // _BLOCK, piece, subtract=subtract)


def value_bytes(bits: int) -> int:
    """Return how many bytes a value modulo 2^bits takes on the wire."""
    return -(-bits // 8)


def pack(words: Words, bits: int) -> bytes:
    """Return the words modulo 2^bits, each in as few whole bytes as hold it, little-endian.

    Examples
    --------
    >>> pack(words_of(np.array([1, -1]), bits=9), bits=9).hex()
    '0100ff01'
    """
    reduced = words & words.dtype.type((1 << bits) - 1)
    return reduced.view(np.uint8).reshape(-1, words.itemsize)[:, : value_bytes(bits)].tobytes()


def unpack(data: memoryview, count: int, bits: int) -> Words:
    """Read what `pack` wrote.

    Raises
    ------
    ValueError
        If it is not `count` values, or one is not below 2^bits.

    Examples
    --------
    >>> unpack(memoryview(bytes.fromhex("0100ff01")), count=2, bits=9)
    array([  1, 511], dtype=uint32)
    """
    size = value_bytes(bits)
    if len(data) != count * size:
        raise ValueError(f"{count} values of {bits} bits take {count * size} bytes, not {len(data)}")
    words = words_of(np.zeros(count, np.int64), bits)
    words.view(np.uint8).reshape(count, words.itemsize)[:, :size] = np.frombuffer(data, np.uint8).reshape(
        count, size
    )
    if count and int(words.max()) >> bits:
        raise ValueError(f"a value does not fit {bits} bits")
    return words
