"""Cobblestone-256: chunked AES-256-GCM with key commitment (C2SP chunked encryption, version 1).

A blob is ``salt(24) || commitment(32) || chunks``. With

    key(32) || base nonce(12) || commitment(32) = HKDF-Expand-SHA-512(input key,
        "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" || 0x00 || salt || context)

chunk k is AES-256-GCM under ``key`` and nonce ``base nonce XOR k`` (big-endian) without associated data.
Every chunk holds 16 KiB of plaintext except the last, which is always shorter and may be empty: a full last
chunk means that the blob was cut. So chunk k begins at byte ``56 + k * (16384 + 16)`` and any range can be
read by itself.

Source: c2sp.org/chunked-encryption.
"""

from __future__ import annotations

import hmac
import io
import itertools
import operator
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.aes import AesGcm
from medcrypt._ext.memory import prefer_huge_pages
from medcrypt._ext.sha512 import HkdfSha512, has_ciphers
from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.keys.derivation import COMMITMENT_BYTES, SALT_BYTES, cobblestone_keys

__all__ = [
    "CHUNK",
    "OVERHEAD",
    "Reader",
    "decrypt",
    "decrypt_into",
    "decrypt_range",
    "encrypt",
    "encrypt_into",
    "plain_size",
    "sealed_size",
]

CHUNK = 16384
TAG = 16
SEALED_CHUNK = CHUNK + TAG
OVERHEAD = SALT_BYTES + COMMITMENT_BYTES
KEY_BYTES = 32
MOST_CHUNKS = 1 << 38
# Below this many bytes a second thread costs more than it brings.
_THREADED_FROM = 1 << 21
# From here on results are laid out in huge pages, as numpy lays out its arrays.
_HUGE_FROM = 1 << 22

Buffer = bytes | bytearray | memoryview | NDArray[np.generic]
Bytes = NDArray[np.uint8]
_UINT8 = np.dtype(np.uint8)  # numpy has one object for it
_BYTES = (bytes, bytearray, memoryview)


def sealed_size(size: int) -> int:
    """Return the length of the blob that holds ``size`` bytes.

    Examples
    --------
    >>> sealed_size(0), sealed_size(16384)
    (72, 16472)
    """
    if not 0 <= size < MOST_CHUNKS * CHUNK:
        raise ValueError("a Cobblestone-256 blob holds less than 2**52 bytes")
    return OVERHEAD + size + TAG * (size // CHUNK + 1)


def plain_size(size: int) -> int:
    """Return how many bytes a blob of ``size`` bytes holds.

    Raises
    ------
    FormatError
        No blob has that length.

    Examples
    --------
    >>> plain_size(sealed_size(100_000))
    100000
    """
    body = size - OVERHEAD
    last = body % SEALED_CHUNK
    if body < TAG or last < TAG or body >= MOST_CHUNKS * SEALED_CHUNK:
        raise FormatError("no Cobblestone-256 blob has this length: it was cut or extended")
    return body // SEALED_CHUNK * CHUNK + last - TAG


def encrypt(
    key: bytes, data: Buffer, context: bytes = b"", salt: bytes | None = None, threads: int | None = None
) -> bytes:
    """Encrypt bytes.

    Parameters
    ----------
    key
        32 uniformly random bytes.
    data
        Bytes or a C-contiguous array.
    context
        Bound to the blob but not stored in it: decryption needs the same.
    salt
        24 bytes. Leave it out, and they are drawn from the operating system; a repeated salt under one key
        and context repeats nonces and breaks the encryption. Only test vectors need it.
    threads
        Number of threads; None means all cores for large data and one for small.

    Returns
    -------
    bytes
        The blob, `sealed_size` of the data long.

    Examples
    --------
    >>> key = bytes(32)  # in earnest: os.urandom(32)
    >>> decrypt(key, encrypt(key, b"pixels", b"study 7"), b"study 7")
    b'pixels'
    """
    source = as_bytes(data)
    return new_bytes(
        sealed_size(source.size), lambda blob: encrypt_into(key, source, blob, context, salt, threads)
    )


def encrypt_into(
    key: bytes,
    data: Buffer,
    out: Buffer,
    context: bytes = b"",
    salt: bytes | None = None,
    threads: int | None = None,
) -> int:
    """Encrypt into a buffer of at least `sealed_size` bytes and return how many were written.

    Raises
    ------
    ValueError
        ``out`` is too small, read-only, or overlaps ``data``.
    """
    source, target = as_bytes(data), as_writable_bytes(out)
    size = sealed_size(source.size)
    if target.size < size:
        raise ValueError(f"out needs {size} bytes, not {target.size}")
    target = target[:size]
    if np.may_share_memory(source, target):
        raise ValueError(
            "data and out overlap: chunks grow by 16 bytes, so they cannot be encrypted in place"
        )
    seal_blob(HkdfSha512(_checked_key(key)), source, target, context, salt, threads)
    return size


def decrypt(key: bytes, blob: Buffer, context: bytes = b"", threads: int | None = None) -> bytes:
    """Decrypt a blob.

    Raises
    ------
    AuthenticationError
        Wrong key, wrong context, or the blob was changed in any way.
    FormatError
        No blob has this length.
    """
    sealed = as_bytes(blob)
    return new_bytes(
        plain_size(sealed.size), lambda plain: decrypt_into(key, sealed, plain, context, threads)
    )


def decrypt_into(
    key: bytes, blob: Buffer, out: Buffer, context: bytes = b"", threads: int | None = None
) -> int:
    """Decrypt into a buffer of at least `plain_size` bytes and return how many were written.

    On failure ``out`` is wiped: it never holds plaintext that did not authenticate.
    """
    sealed, target = as_bytes(blob), as_writable_bytes(out)
    size = plain_size(sealed.size)
    if target.size < size:
        raise ValueError(f"out needs {size} bytes, not {target.size}")
    target = target[:size]
    if np.may_share_memory(sealed, target):
        raise ValueError("blob and out overlap")
    open_blob(HkdfSha512(_checked_key(key)), sealed, target, context, threads)
    return size


def decrypt_range(
    key: bytes, blob: Buffer, start: int | None, stop: int | None, context: bytes = b""
) -> bytes:
    """Decrypt ``data[start:stop]`` and nothing else.

    Only the chunks that hold the range are decrypted, and the last one where the range reaches the end or is
    counted from it, because only the last chunk proves where the end is.

    Parameters
    ----------
    key, blob, context
        As for `decrypt`.
    start, stop
        As in a Python slice: None, negative and too large values included.

    Examples
    --------
    >>> blob = encrypt(bytes(32), bytes(range(100)))
    >>> list(decrypt_range(bytes(32), blob, 10, 13))
    [10, 11, 12]
    """
    sealed = as_bytes(blob)
    size = plain_size(sealed.size)

    def fetch(offset: int, length: int) -> Bytes:
        return sealed[offset : offset + length]

    reader = Reader(_checked_key(key), size, fetch, context)
    if (start is not None and start < 0) or stop is None or stop < 0 or stop > size:
        reader.verify_end()
    first, last, _ = slice(start, stop).indices(size)
    return reader.read(first, max(first, last)).tobytes()


def seal_blob(
    key: HkdfSha512,
    data: NDArray[Any],
    blob: Bytes,
    context: bytes,
    salt: bytes | None = None,
    threads: int | None = None,
) -> None:
    """Seal a C-contiguous array into ``blob``, which has exactly the size for it and does not overlap it."""
    if thread_count(data.nbytes, threads) == 1 and has_ciphers():
        key.seal_into(_checked_salt(salt), context, data, blob)
        return
    sealer = Sealer(key, data.nbytes, context, salt)
    blob.data[:OVERHEAD] = sealer.preamble
    chunks, pixels = blob[OVERHEAD:], as_bytes(data)

    def seal(first: int, stop: int) -> None:
        plain = pixels[first * CHUNK : stop * CHUNK]
        sealer.seal(first, plain, chunks[first * SEALED_CHUNK : stop * SEALED_CHUNK])

    in_runs(seal, data.nbytes, threads)


def open_blob(
    key: HkdfSha512, blob: Bytes, data: NDArray[Any], context: bytes, threads: int | None = None
) -> None:
    """Open ``blob`` into a C-contiguous array of exactly the size for it, or wipe that and raise."""
    if thread_count(data.nbytes, threads) == 1 and has_ciphers():
        key.open_into(context, blob, data)
        return
    opener = Opener(key, data.nbytes, blob[:OVERHEAD].tobytes(), context)
    chunks, pixels = blob[OVERHEAD:], as_bytes(data)

    def unseal(first: int, stop: int) -> None:
        plain = pixels[first * CHUNK : stop * CHUNK]
        opener.open(first, chunks[first * SEALED_CHUNK : stop * SEALED_CHUNK], plain)

    try:
        in_runs(unseal, data.nbytes, threads)
    except BaseException:
        pixels[:] = 0  # other threads may have finished their part
        raise


class Sealer:
    """Seals the chunks of one blob: in any order, by any thread, each once.

    Parameters
    ----------
    key, context, salt
        As for `encrypt`; the key may be a prepared one.
    size
        How many bytes of plaintext the blob will hold.
    """

    __slots__ = ("_cipher", "_nonce", "_size", "preamble")

    def __init__(
        self, key: bytes | HkdfSha512, size: int, context: bytes = b"", salt: bytes | None = None
    ) -> None:
        salt = _checked_salt(salt)
        aes_key, self._nonce, commitment = cobblestone_keys(key, salt, context)
        self._cipher = AesGcm(aes_key)
        self._size = size
        self.preamble = salt + commitment

    def seal(self, first: int, plain: Bytes, sealed: Bytes) -> None:
        """Seal chunks from number ``first`` on into ``sealed``, which they fill.

        The run holds the final chunk, even an empty one, exactly where ``sealed`` has room for it.
        """
        final = first * SEALED_CHUNK + sealed.size == self._size + TAG * (self._size // CHUNK + 1)
        self._cipher.seal_chunks(self._nonce, plain, sealed, first=first, final=final)


class Opener:
    """Opens the chunks of one blob, in any order and by any thread.

    Parameters
    ----------
    key, context
        As for `decrypt`; the key may be a prepared one.
    size
        How many bytes of plaintext the blob holds.
    preamble
        The blob's first `OVERHEAD` bytes.

    Raises
    ------
    AuthenticationError
        The blob does not belong to key and context. Nothing is decrypted before this is known.
    """

    __slots__ = ("_cipher", "_nonce", "_size")

    def __init__(self, key: bytes | HkdfSha512, size: int, preamble: bytes, context: bytes = b"") -> None:
        aes_key, self._nonce, commitment = cobblestone_keys(key, preamble[:SALT_BYTES], context)
        if not hmac.compare_digest(preamble[SALT_BYTES:], commitment):
            raise AuthenticationError
        self._cipher = AesGcm(aes_key)
        self._size = size

    def open(self, first: int, sealed: Bytes, plain: Bytes) -> None:
        """Open consecutive chunks from number ``first`` on into ``plain``, or wipe it and raise."""
        final = first * SEALED_CHUNK + sealed.size == self._size + TAG * (self._size // CHUNK + 1)
        self._cipher.open_chunks(self._nonce, sealed, plain, first=first, final=final)


class Reader:
    """Random access to a blob whose bytes come from anywhere.

    Parameters
    ----------
    key, context
        As for `decrypt`; the key may be a prepared one.
    size
        How many bytes of plaintext the blob holds.
    fetch
        ``fetch(offset, length)`` returns that part of the blob as an array of uint8.

    Raises
    ------
    AuthenticationError
        The blob does not belong to key and context. Nothing is decrypted before this is known.
    """

    def __init__(
        self,
        key: bytes | HkdfSha512,
        size: int,
        fetch: Callable[[int, int], Bytes],
        context: bytes = b"",
    ) -> None:
        self.size = size
        self.chunks_read = 0
        self._counting = threading.Lock()
        self._fetch = fetch
        self._opener = Opener(key, size, fetch(0, OVERHEAD).tobytes(), context)
        self._last = size // CHUNK
        self._end_verified = False

    def read(self, start: int, stop: int) -> Bytes:
        """Return plaintext bytes ``start`` to ``stop`` (0 <= start <= stop <= size), authenticated."""
        first, end = start // CHUNK, -(-stop // CHUNK)
        plain = np.empty(0, np.uint8) if start == stop else self.read_chunks(first, end)
        if stop == self.size:
            self.verify_end()
        return plain[start - first * CHUNK : stop - first * CHUNK] if plain.size else plain

    def read_chunks(self, first: int, stop: int) -> Bytes:
        """Return the plaintext of chunks ``first`` to ``stop``, authenticated."""
        final = stop > self._last
        offset = OVERHEAD + first * SEALED_CHUNK
        length = (self.size + TAG * (self._last + 1) if final else stop * SEALED_CHUNK) - first * SEALED_CHUNK
        sealed = self._fetch(offset, length)
        if sealed.size != length:
            raise AuthenticationError
        plain = np.empty((self.size if final else stop * CHUNK) - first * CHUNK, np.uint8)
        self._opener.open(first, sealed, plain)
        with self._counting:
            self.chunks_read += stop - first
            self._end_verified |= final
        return plain

    def verify_end(self) -> None:
        """Authenticate the last chunk, which proves where the plaintext ends."""
        if not self._end_verified:
            self.read_chunks(self._last, self._last + 1)


def new_bytes(size: int, fill: Callable[[memoryview], object]) -> bytes:
    """Return bytes that ``fill`` has written.

    A `bytes` object cannot be written to, and turning another buffer into one copies it. `io.BytesIO` lends
    its memory for writing and then hands the same memory out.
    """
    memory = io.BytesIO(bytes(size))
    if size >= _HUGE_FROM:
        prefer_huge_pages(memory.getbuffer())
    fill(memory.getbuffer())
    return memory.getvalue()


def as_bytes(data: Buffer) -> Bytes:
    """View a C-contiguous buffer as uint8 without copying.

    Raises
    ------
    TypeError
        The object has no buffer, or holds Python objects.
    ValueError
        The buffer is not C-contiguous.
    """
    if type(data) is bytes and data:
        return np.frombuffer(data, _UINT8)
    if isinstance(data, np.ndarray):
        if data.dtype is _UINT8 and data.ndim == 1 and data.flags.c_contiguous:
            return cast("Bytes", data)
        if data.dtype.hasobject:
            raise TypeError("an array of Python objects has no bytes to encrypt")
        if not data.flags.c_contiguous:
            raise ValueError("the array must be C-contiguous")
        return data.reshape(-1).view(np.uint8)
    view = memoryview(data)
    if "O" in view.format:
        raise TypeError("a buffer of Python objects has no bytes to encrypt")
    if not view.c_contiguous:
        raise ValueError("the buffer must be C-contiguous")
    return np.frombuffer(view, np.uint8) if view.nbytes else np.empty(0, np.uint8)


def as_writable_bytes(data: Buffer) -> Bytes:
    """View a writable C-contiguous buffer as uint8 without copying."""
    target = as_bytes(data)
    if not target.flags.writeable and target.size:
        raise ValueError("out is read-only")
    return target


def thread_count(size: int, threads: int | None) -> int:
    """Return how many threads to use for ``size`` bytes."""
    if threads is None:
        return (os.cpu_count() or 1) if size >= _THREADED_FROM else 1
    threads = operator.index(threads)
    if threads < 1:
        raise ValueError("threads must be at least 1")
    return threads


def in_runs(
    work: Callable[[int, int], object], size: int, threads: int | None, most: int = MOST_CHUNKS
) -> None:
    """Call ``work(first, stop)`` over consecutive runs of the chunks of ``size`` bytes, split among threads.

    Parameters
    ----------
    work
        Is called for every chunk once, the final one included; from several threads where there are more.
    size
        Bytes of plaintext.
    threads
        As for `encrypt`.
    most
        Chunks in a run.
    """
    chunks = size // CHUNK + 1
    parts = min(thread_count(size, threads), chunks)
    if parts <= 1 and chunks <= most:
        work(0, chunks)
        return

    def part(begin: int, end: int) -> None:
        for first in range(begin, end, most):
            work(first, min(first + most, end))

    if parts <= 1:
        part(0, chunks)
        return
    bounds = [chunks * number // parts for number in range(parts + 1)]
    mine, *others = itertools.pairwise(bounds)
    with ThreadPoolExecutor(len(others)) as pool:
        running = [pool.submit(part, begin, end) for begin, end in others]
        part(*mine)
    for done in running:
        done.result()


def _checked_salt(salt: bytes | None) -> bytes:
    """Return the caller's salt, or draw one."""
    if salt is None:
        return os.urandom(SALT_BYTES)
    if len(salt) != SALT_BYTES:
        raise ValueError(f"the salt must be {SALT_BYTES} bytes")
    return salt


def _checked_key(key: bytes) -> bytes:
    if not isinstance(key, _BYTES):
        raise TypeError(f"the key must be bytes, not {type(key).__name__}")
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key must be {KEY_BYTES} bytes, not {len(key)}")
    return key
