"""AES-256-GCM where the processor has no AES instructions: pycryptodome behind the kernels' interface.

Not constant time on such a processor: pycryptodome's AES then reads tables at secret indices.
"""

import hmac
import struct
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeAlias

import numpy as np
from Crypto.Cipher import AES, _mode_gcm
from numpy.typing import NDArray

from medcrypt.errors import AuthenticationError

__all__ = ["PortableGcm"]

Bytes: TypeAlias = NDArray[np.uint8]

TAG = BLOCK = 16
NONCE = 12
# Bytes enciphered in one call: their key stream stays in the cache, and in memory that is not new each time.
_BATCH = 1 << 16


class PortableGcm:
    """The messages and chunks of one key.

    Buffers are flat memoryviews of bytes whose sizes the caller has checked.

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
        raise TypeError("a PortableGcm holds a key: it is neither pickled nor copied")

    def seal(self, nonce: bytes, aad: memoryview, src: memoryview, dst: memoryview) -> None:
        """Write the ciphertext of `src` and its tag to `dst`."""
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=TAG)
        cipher.update(aad)
        cipher.encrypt(src, output=dst[: len(src)])
        dst[len(src) :] = cipher.digest()

    def open(self, nonce: bytes, aad: memoryview, src: memoryview, dst: memoryview) -> None:
        """Write the plaintext of `src`, which ends with its tag, to `dst`.

        Raises
        ------
        AuthenticationError
            The tag does not fit; `dst` is wiped.
        """
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=TAG)
        cipher.update(aad)
        cipher.decrypt(src[: len(dst)], output=dst)
        try:
            cipher.verify(src[len(dst) :])
        except ValueError:
            dst[:] = bytes(len(dst))
            raise AuthenticationError from None

    def seal_chunks(
        self, nonce: bytes, src: memoryview, dst: memoryview, *, first: int, chunk: int, count: int
    ) -> None:
        """Seal `count` chunks one after another; see `medcrypt._ext.aes.AesGcm.seal_chunks`."""
        if _GHASH is not None:
            _Chunks(self._key, nonce, chunk, _GHASH).seal(src, dst, first, count)
            return
        for k in range(count):
            plain = src[k * chunk : (k + 1) * chunk]
            at = k * (chunk + TAG)
            self.seal(_xored(nonce, first + k), memoryview(b""), plain, dst[at : at + len(plain) + TAG])

    def open_chunks(
        self, nonce: bytes, src: memoryview, dst: memoryview, *, first: int, chunk: int, count: int
    ) -> None:
        """Open `count` chunks one after another; the first that does not authenticate wipes all of `dst`."""
        try:
            if _GHASH is not None:
                _Chunks(self._key, nonce, chunk, _GHASH).open(src, dst, first, count)
                return
            for k in range(count):
                sealed = src[k * (chunk + TAG) : (k + 1) * (chunk + TAG)]
                plain = dst[k * chunk : (k + 1) * chunk]
                self.open(_xored(nonce, first + k), memoryview(b""), sealed, plain)
        except AuthenticationError:
            dst[:] = bytes(len(dst))
            raise


class _Chunks:
    """Chunks of one run, several at a time: the key stream of all in one call, and a bare GHASH for each.

    A message object of pycryptodome takes longer to make than 16 KiB to seal, so none is made.

    Parameters
    ----------
    key, nonce
        Of the run.
    chunk
        Bytes of plaintext in a chunk.
    ghash
        ``ghash(subkey)`` returns pycryptodome's GHASH.
    """

    def __init__(self, key: bytearray, nonce: bytes, chunk: int, ghash: Callable[[bytes], Any]) -> None:
        self._cipher, self._ghash = AES.new(key, AES.MODE_ECB), ghash
        self._subkey = self._cipher.encrypt(bytes(BLOCK))
        self._nonce, self._chunk = nonce, chunk
        blocks = -(-chunk // BLOCK) + 1
        # The last four bytes of each counter block, as the upper half of a little-endian word.
        self._numbers = np.arange(1, blocks + 1, dtype=">u4").view("<u4").astype("<u8") << np.uint64(32)
        self._most = max(1, _BATCH // chunk)
        self._counters, self._stream = (np.empty(self._most * blocks * BLOCK, np.uint8) for _ in range(2))

    def __del__(self) -> None:
        self._stream[...] = 0

    def seal(self, src: memoryview, dst: memoryview, first: int, count: int) -> None:
        """Seal a run."""
        for k, rows, size in self._batches(len(src), count):
            plain = _rows(src, k * self._chunk, rows, size)
            sealed = _rows(dst, k * (self._chunk + TAG), rows, size + TAG)
            masks = self._masks(first + k, rows, size)
            np.bitwise_xor(plain, masks[:, BLOCK : BLOCK + size], out=sealed[:, :size])
            sealed[:, size:] = self._tags(sealed[:, :size], masks)

    def open(self, src: memoryview, dst: memoryview, first: int, count: int) -> None:
        """Open a run, each chunk only after its tag was right."""
        for k, rows, size in self._batches(len(dst), count):
            sealed = _rows(src, k * (self._chunk + TAG), rows, size + TAG).copy()  # read once
            plain = _rows(dst, k * self._chunk, rows, size)
            masks = self._masks(first + k, rows, size)
            tags = self._tags(sealed[:, :size], masks).tobytes()
            if not hmac.compare_digest(tags, sealed[:, size:].tobytes()):
                raise AuthenticationError
            np.bitwise_xor(sealed[:, :size], masks[:, BLOCK : BLOCK + size], out=plain)

    def _batches(self, size: int, count: int) -> Iterator[tuple[int, int, int]]:
        """Yield the number of the first chunk, how many there are, and their size; a shorter one comes alone."""
        most, whole = self._most, size // self._chunk
        for k in range(0, whole, most):
            yield k, min(most, whole - k), self._chunk
        if count > whole:
            yield whole, 1, size - whole * self._chunk

    def _masks(self, first: int, rows: int, size: int) -> Bytes:
        """Return, for each chunk, what masks its tag and then its bytes; the next call overwrites it."""
        blocks = -(-size // BLOCK) + 1
        nonces = b"".join(_xored(self._nonce, first + row) + bytes(4) for row in range(rows))
        words = np.frombuffer(nonces, "<u8").reshape(rows, 1, 2)
        counters, masks = (room[: rows * blocks * BLOCK] for room in (self._counters, self._stream))
        halves = counters.view("<u8").reshape(rows, blocks, 2)
        halves[:, :, 0] = words[:, :, 0]
        np.bitwise_or(words[:, :, 1], self._numbers[:blocks], out=halves[:, :, 1])
        self._cipher.encrypt(counters.data, output=masks.data)
        return masks.reshape(rows, blocks * BLOCK)

    def _tags(self, sealed: Bytes, masks: Bytes) -> Bytes:
        """Return the tags of chunks, a row for each."""
        size = sealed.shape[1]
        whole = size // BLOCK * BLOCK
        digests = bytearray()
        for row in sealed:
            ghash = self._ghash(self._subkey)
            if whole:
                ghash.update(row[:whole].data)
            if whole < size:
                ghash.update(row[whole:].tobytes().ljust(BLOCK, b"\0"))
            ghash.update(struct.pack(">QQ", 0, 8 * size))
            digests += ghash.digest()
        return np.frombuffer(digests, np.uint8).reshape(-1, BLOCK) ^ masks[:, :BLOCK]


def _rows(buffer: memoryview, start: int, rows: int, size: int) -> Bytes:
    """View consecutive parts of a buffer as rows."""
    return np.frombuffer(buffer[start : start + rows * size], np.uint8).reshape(rows, size)


def _bare_ghash() -> Callable[[bytes], Any] | None:
    """Return pycryptodome's own GHASH; None where a version of it has that somewhere else."""
    ghash: Any = getattr(_mode_gcm, "_GHASH", None)
    kernel = getattr(_mode_gcm, "_ghash_clmul", None) or getattr(_mode_gcm, "_ghash_portable", None)
    try:
        ghash(bytes(BLOCK), kernel).update(bytes(BLOCK)).digest()
    except (AttributeError, TypeError):
        return None
    return lambda subkey: ghash(subkey, kernel)


_GHASH = _bare_ghash()


def _xored(nonce: bytes, number: int) -> bytes:
    """Return `nonce` XOR `number`, both as 96-bit big-endian integers."""
    return (int.from_bytes(nonce, "big") ^ number).to_bytes(NONCE, "big")
