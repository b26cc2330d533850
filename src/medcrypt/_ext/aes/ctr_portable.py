"""The key stream of AES-256-CTR where the processor has no AES instructions: by pycryptodome.

Not constant time on such a processor: pycryptodome's AES then reads tables at secret indices.
"""

from typing import NoReturn

import numpy as np
from Crypto.Cipher import AES

__all__ = ["PortableCtr"]

BLOCK = 16
_PIECE = 1 << 16  # bytes enciphered at a time


class PortableCtr:
    """The key stream of one key.

    Parameters
    ----------
    key
        32 bytes. Copied; the copy is wiped when the object goes, those inside pycryptodome are not.
    """

    __slots__ = ("_key",)

    def __init__(self, key: memoryview) -> None:
        self._key = bytearray(key)

    def __del__(self) -> None:
        self._key[:] = bytes(len(self._key))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PortableCtr holds a key: it is neither pickled nor copied")

    def fill(self, counter: int, out: memoryview) -> None:
        """Write the key stream from block `counter` on; the caller has checked that it does not wrap."""
        cipher = AES.new(self._key, AES.MODE_CTR, nonce=b"", initial_value=counter)
        zeros = memoryview(bytes(min(_PIECE, len(out))))
        for start in range(0, len(out), _PIECE):
            piece = out[start : start + _PIECE]
            cipher.encrypt(zeros[: len(piece)], output=piece)

    def accumulate(self, counter: int, out: memoryview, word: int, subtract: bool) -> None:
        """Add the key stream to little-endian words of so many bytes, or subtract it."""
        change = np.subtract if subtract else np.add
        stream = bytearray(min(_PIECE, len(out)))
        for start in range(0, len(out), _PIECE):
            words = np.frombuffer(out[start : start + _PIECE], f"<u{word}")
            masks = np.frombuffer(stream, f"<u{word}")[: words.size]
            self.fill(counter + start // BLOCK, memoryview(stream)[: words.nbytes])
            change(words, masks, out=words)
        stream[:] = bytes(len(stream))
