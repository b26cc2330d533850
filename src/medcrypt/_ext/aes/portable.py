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
# Bytes up to which a message is enciphered without pycryptodome's objects of one message, which take longer to make.
_SHORT = 1 << 10


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
        if _GHASH is not None and len(src) <= _SHORT:
            _Short(self._key, nonce, len(src), _GHASH).seal(aad, src, dst)
            return
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
        if _GHASH is not None and len(dst) <= _SHORT:
            _Short(self._key, nonce, len(dst), _GHASH).open(aad, src, dst)
            return
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


class _Short:
    """One message, all its counters enciphered in one call: for a wrapped key, or a hash of associated data alone.

    Parameters
    ----------
    key, nonce
        Of the message.
    size
        Bytes of plaintext.
    ghash
        ``ghash(subkey)`` returns pycryptodome's GHASH.
    """

    def __init__(self, key: bytearray, nonce: bytes, size: int, ghash: Callable[[bytes], Any]) -> None:
        counters = [nonce + number.to_bytes(4, "big") for number in range(1, -(-size // BLOCK) + 2)]
        self._stream = bytearray(BLOCK * (len(counters) + 1))
        # The first block gives the key of the hash, the next the tag's mask.
        blocks = bytes(BLOCK) + b"".join(counters)
        AES.new(key, AES.MODE_ECB).encrypt(blocks, output=memoryview(self._stream))
        self._hash = ghash(bytes(self._stream[:BLOCK]))
        self._size = size

    def __del__(self) -> None:
        self._stream[:] = bytes(len(self._stream))

    def seal(self, aad: memoryview, src: memoryview, dst: memoryview) -> None:
        """Write ciphertext and tag."""
        self._xor(src, dst)
        dst[self._size :] = self._tag(aad, dst[: self._size])

    def open(self, aad: memoryview, src: memoryview, dst: memoryview) -> None:
        """Write the plaintext if the tag is right."""
        sealed = src[: self._size].tobytes()  # read once
        if not hmac.compare_digest(self._tag(aad, memoryview(sealed)), src[self._size :].tobytes()):
            dst[:] = bytes(len(dst))
            raise AuthenticationError
        self._xor(sealed, dst)

    def _xor(self, src: memoryview | bytes, dst: memoryview) -> None:
        """Mask bytes, or take the mask away."""
        if self._size:
            mask = np.frombuffer(self._stream, np.uint8, self._size, 2 * BLOCK)
            np.bitwise_xor(np.frombuffer(src, np.uint8), mask, out=np.frombuffer(dst, np.uint8, self._size))

    def _tag(self, aad: memoryview, sealed: memoryview) -> bytes:
        for part in (aad, sealed):
            _absorb(self._hash, part)
        self._hash.update(struct.pack(">QQ", 8 * len(aad), 8 * len(sealed)))
        digest, mask = self._hash.digest(), self._stream[BLOCK : 2 * BLOCK]
        return (int.from_bytes(digest, "big") ^ int.from_bytes(mask, "big")).to_bytes(TAG, "big")


class _Chunks:
    """Chunks of one run, several at a time: the key stream of all in one call, and a bare GHASH for each.

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
        self._cipher = AES.new(key, AES.MODE_ECB)
        self._hash = ghash(self._cipher.encrypt(bytes(BLOCK)))
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
            sealed[:, size:] = self._tags(sealed, masks)

    def open(self, src: memoryview, dst: memoryview, first: int, count: int) -> None:
        """Open a run, each chunk only after its tag was right."""
        for k, rows, size in self._batches(len(dst), count):
            sealed = _rows(src, k * (self._chunk + TAG), rows, size + TAG).copy()  # read once
            plain, tags = _rows(dst, k * self._chunk, rows, size), sealed[:, size:].tobytes()
            masks = self._masks(first + k, rows, size)
            if not hmac.compare_digest(self._tags(sealed, masks).tobytes(), tags):
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
        """Return the tags of chunks, a row for each; what the rows have in their places is overwritten."""
        size = sealed.shape[1] - TAG
        lengths = struct.pack(">QQ", 0, 8 * size)
        # The hash ends with the lengths: in their place, most rows are one call.
        sealed[:, size:] = np.frombuffer(lengths, np.uint8)
        digests = bytearray()
        for row in sealed:
            if size % BLOCK == 0:
                self._hash.update(row.data)
            else:
                _absorb(self._hash, row[:size].data)
                self._hash.update(lengths)
            digest = self._hash.digest()
            digests += digest
            self._hash.update(digest)  # (Y xor Y) H = 0: as new, for less than a new one
        return np.frombuffer(digests, np.uint8).reshape(-1, BLOCK) ^ masks[:, :BLOCK]


def _absorb(ghash: Any, part: memoryview) -> None:
    """Hash bytes, and zeros up to a whole block."""
    whole = len(part) // BLOCK * BLOCK
    if whole:
        ghash.update(part[:whole])
    if whole < len(part):
        ghash.update(part[whole:].tobytes().ljust(BLOCK, b"\0"))


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
