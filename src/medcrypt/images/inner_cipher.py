"""What is done to stored pixels before AES-256-GCM: nothing, or the chaotic cipher under a key of its own.

    chaotic        siv = AES(k2, GHASH(k1, pixels)), seed = HKDF(key, siv), passes over all pixels; body: pixels || siv
    chaotic-ctr    seed = HKDF(key, nonce), the stream at the pixels' place; body: pixels

The keys are derived from the file key with labels of their own, so they are independent of the keys of AES-GCM, which
alone is what confidentiality and integrity rest on. Specified in ``docs/formats/chaotic.md``.
"""

from __future__ import annotations

import struct

import numpy as np

from medcrypt._ext import chaos
from medcrypt._ext.aes import AesCtr, AesGcm
from medcrypt._ext.sha512 import HkdfSha512
from medcrypt.images.cobblestone import CHUNK, Bytes, Reader

__all__ = ["AES_GCM", "COUNTER", "NETWORK", "Inner", "InnerReader", "extra_size"]

AES_GCM, NETWORK, COUNTER = "aes-256-gcm", "chaotic", "chaotic-ctr"
NONCE_BYTES = SIV_BYTES = 16
_VARIANTS = {NETWORK: 2, COUNTER: 3}
_LABEL_IV = b"medcrypt/v1/chaotic-iv"
_LABEL_SEED = b"medcrypt/v1/chaotic-seed"
# The hash is that of AES-GCM over associated data alone: with one nonce for all it is GHASH and a secret constant,
# which nobody sees before it went through AES under another key.
_HASH_NONCE = bytes(12)


def extra_size(cipher: str) -> int:
    """Return how many bytes of the body are not pixels.

    Examples
    --------
    >>> extra_size("aes-256-gcm"), extra_size("chaotic"), extra_size("chaotic-ctr")
    (0, 16, 0)
    """
    return SIV_BYTES if cipher == NETWORK else 0


class Inner:
    """The chaotic cipher for the stored pixels of one image.

    Parameters
    ----------
    cipher
        ``"chaotic"`` or ``"chaotic-ctr"``.
    key
        32 secret bytes, prepared.
    nonce
        16 bytes. For the counter variant never the same twice under one key.
    context
        What the ciphertext is bound to.
    size
        Bytes of pixels.
    """

    __slots__ = ("_cipher", "_context", "_info", "_key", "_seed", "_size")

    def __init__(self, cipher: str, key: HkdfSha512, nonce: bytes, context: bytes, size: int) -> None:
        self._cipher, self._key, self._context, self._size = cipher, key, context, size
        self._info = b"\0" + bytes([_VARIANTS[cipher]]) + nonce + struct.pack("<Q", size)
        self._seed = self._seed_for(b"") if cipher == COUNTER else b""

    def encrypt(self, pixels: Bytes, stored: Bytes, spare: Bytes | None = None) -> None:
        """Encrypt all pixels into what the body holds, `extra_size` bytes more; ``spare`` is scratch of their size."""
        if self._cipher == COUNTER:
            chaos.stream(self._seed, pixels, stored)
            return
        siv = self.synthetic_iv(pixels)
        chaos.seal_rows(self._seed_for(siv), pixels, stored[: self._size], spare=spare)
        stored[self._size :] = np.frombuffer(siv, np.uint8)

    def decrypt(self, stored: Bytes, pixels: Bytes) -> None:
        """Decrypt all that the body holds."""
        if self._cipher == COUNTER:
            chaos.stream(self._seed, stored, pixels)
            return
        seed = self._seed_for(stored[self._size :].tobytes())
        chaos.open_rows(seed, stored[: self._size], pixels)

    def crypt_at(self, offset: int, part: Bytes) -> Bytes:
        """Return a part of the pixels, or of what is stored, through the counter variant."""
        out = np.empty_like(part)
        chaos.stream(self._seed, part, out, offset=offset)
        return out

    def synthetic_iv(self, pixels: Bytes) -> bytes:
        """Return 16 bytes that depend on key, nonce, context and every pixel (after RFC 8452)."""
        keys = self._key.expand(_LABEL_IV + self._info + self._context, 64)
        hashed = AesGcm(keys[:32]).encrypt(_HASH_NONCE, b"", pixels)
        siv = bytearray(SIV_BYTES)
        AesCtr(keys[32:]).fill(int.from_bytes(hashed, "big"), siv)
        return bytes(siv)

    def _seed_for(self, siv: bytes) -> bytes:
        return self._key.expand(_LABEL_SEED + self._info + siv + self._context, 64)


class InnerReader:
    """Random access to pixels under the inner cipher, as `cobblestone.Reader` gives it to stored bytes.

    The counter variant decrypts the chunks that are asked for; of the other the whole image is read and decrypted
    the first time that any are, and kept.
    """

    def __init__(self, cipher: str, inner: Inner, stored: Reader) -> None:
        self.size = stored.size - extra_size(cipher)
        self._inner, self._stored = inner, stored
        self._whole = cipher == NETWORK
        self._pixels: Bytes | None = None

    @property
    def chunks_read(self) -> int:
        """How many chunks were decrypted."""
        return self._stored.chunks_read

    def read_chunks(self, first: int, stop: int) -> Bytes:
        """Return the pixels in chunks ``first`` to ``stop``."""
        if not self._whole:
            return self._inner.crypt_at(first * CHUNK, self._stored.read_chunks(first, stop))
        if self._pixels is None:
            stored = self._stored.read_chunks(0, self._stored.size // CHUNK + 1)
            pixels = np.empty(self.size, np.uint8)
            self._inner.decrypt(stored, pixels)
            self._pixels = pixels
        return self._pixels[first * CHUNK : stop * CHUNK]

    def verify_end(self) -> None:
        """Authenticate the last chunk."""
        self._stored.verify_end()
