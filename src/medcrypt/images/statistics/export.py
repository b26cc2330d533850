"""Bits for NIST's statistical test suite (SP 800-22)."""

import operator
from collections.abc import Iterator
from typing import SupportsIndex

import numpy as np
import numpy.typing as npt

__all__ = ["bit_sequences"]


def bit_sequences(data: npt.ArrayLike | bytes, length: SupportsIndex = 1_000_000) -> Iterator[bytes]:
    """Cut data into sequences of bits, written as the ASCII digits that NIST's `assess` reads.

    Parameters
    ----------
    data
        Bytes, or an array whose bytes are meant, in C order; the highest bit of a byte comes first.
    length
        Bits of a sequence; what is left over at the end is dropped.

    Yields
    ------
    bytes
        `length` characters "0" and "1".

    Raises
    ------
    ValueError
        If the length is not positive.

    Examples
    --------
    >>> list(bit_sequences(bytes([0b10100000, 0xFF]), 6))
    [b'101000', b'001111']
    """
    size = operator.index(length)
    if size < 1:
        raise ValueError("length must be positive")
    raw = (
        np.frombuffer(data, np.uint8)
        if isinstance(data, bytes)
        else np.ascontiguousarray(data).ravel().view(np.uint8)
    )
    return _sequences(raw, size)


def _sequences(raw: npt.NDArray[np.uint8], size: int) -> Iterator[bytes]:
    """Yield the sequences one by one: their digits take eight times the memory of the bytes."""
    for start in range(0, 8 * raw.size - size + 1, size):
        bits = np.unpackbits(raw[start // 8 : (start + size + 7) // 8])[start % 8 :][:size]
        yield (bits + ord("0")).tobytes()
