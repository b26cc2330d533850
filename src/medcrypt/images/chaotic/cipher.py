"""The chaotic cipher on its own, for those who study it: the nonce and the ciphertext in their hands.

For use there is ``images.encrypt(array, key, cipher="chaotic")``, which puts the same cipher inside AES-256-GCM under
an independent key. `encrypt` here does that too, unless it is told ``authenticated=False``: then nothing protects the
ciphertext against change, and nobody but this library's authors vouches for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt._ext import chaos
from medcrypt._ext.sha512 import HkdfSha512
from medcrypt.errors import FormatError
from medcrypt.images import container
from medcrypt.images.cobblestone import as_bytes
from medcrypt.images.header import CIPHERS, checked_dtype
from medcrypt.images.inner_cipher import AES_GCM, COUNTER, NETWORK, NONCE_BYTES, SIV_BYTES, Inner, extra_size
from medcrypt.keys import SecretKey

__all__ = ["Ciphertext", "decrypt", "diffuse", "encrypt", "undiffuse"]


@dataclass(frozen=True, slots=True)
class Ciphertext:
    """An image under the chaotic cipher alone. Not authenticated.

    Parameters
    ----------
    pixels
        The encrypted image: dtype and shape are those of the plain one, the bytes mean nothing.
    nonce
        16 bytes.
    synthetic_iv
        16 bytes that depend on the whole image; empty for ``"chaotic-ctr"``.
    cipher
        ``"chaotic"`` or ``"chaotic-ctr"``.
    """

    pixels: NDArray[Any]
    nonce: bytes
    synthetic_iv: bytes
    cipher: str


@overload
def encrypt(
    array: ArrayLike,
    key: SecretKey,
    *,
    cipher: str = ...,
    context: bytes = ...,
    authenticated: Literal[True] = ...,
) -> bytes: ...
@overload
def encrypt(
    array: ArrayLike,
    key: SecretKey,
    *,
    cipher: str = ...,
    context: bytes = ...,
    nonce: bytes | None = ...,
    authenticated: Literal[False],
) -> Ciphertext: ...
def encrypt(
    array: ArrayLike,
    key: SecretKey,
    *,
    cipher: str = NETWORK,
    context: bytes = b"",
    nonce: bytes | None = None,
    authenticated: bool = True,
) -> bytes | Ciphertext:
    """Encrypt an image with the chaotic cipher.

    Parameters
    ----------
    array
        Numbers of any dtype, shape and strides.
    key
        The secret key.
    cipher
        ``"chaotic"``: every byte of the result depends on every byte of the image. ``"chaotic-ctr"``: a stream, which
        a nonce that is used twice under one key gives away.
    context
        Bound to the ciphertext but not stored.
    nonce
        16 bytes; drawn if left out. Only for research: with ``authenticated=True`` it is a ``ValueError``.
    authenticated
        False for the bare cipher. **It does not protect the image against change.**

    Returns
    -------
    bytes or Ciphertext
        The sealed image of `medcrypt.images.encrypt`; or the bare ciphertext.

    Raises
    ------
    TypeError
        The array holds something other than numbers, or the key is not a `SecretKey`.
    ValueError
        An unknown cipher; a nonce that is not 16 bytes, or where none belongs.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey
    >>> key, black = SecretKey.generate(), np.zeros((64, 64), np.uint8)
    >>> bare = encrypt(black, key, authenticated=False)
    >>> bare.pixels.shape, bool(bare.pixels.any()), np.array_equal(decrypt(bare, key), black)
    ((64, 64), True, True)
    """
    _check(cipher, key)
    if authenticated:
        if nonce is not None:
            raise ValueError("a sealed image chooses its nonce itself; authenticated=False is for research")
        return container.encrypt(array, key, cipher=cipher, context=context)
    container.check_context(context)
    nonce = os.urandom(NONCE_BYTES) if nonce is None else bytes(nonce)
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}")
    pixels = container.as_pixels(array)
    checked_dtype(pixels.dtype)
    plain = as_bytes(np.ascontiguousarray(pixels))
    stored = np.empty(plain.size + extra_size(cipher), np.uint8)
    _inner(cipher, key, nonce, context, plain.size).encrypt(plain, stored)
    encrypted = stored[: plain.size].view(pixels.dtype).reshape(pixels.shape)
    return Ciphertext(encrypted, nonce, stored[plain.size :].tobytes(), cipher)


def decrypt(ciphertext: bytes | Ciphertext, key: SecretKey, *, context: bytes = b"") -> NDArray[Any]:
    """Decrypt what `encrypt` has made.

    Parameters
    ----------
    ciphertext
        Either of its results.
    key, context
        As they were.

    Returns
    -------
    ndarray
        The image. Of a bare ciphertext that was changed, or with the wrong key, noise: nothing is checked.

    Raises
    ------
    AuthenticationError
        Sealed bytes with the wrong key or context, or changed.
    FormatError
        Sealed bytes that are none, or a ciphertext whose parts do not fit its cipher.
    """
    if not isinstance(ciphertext, Ciphertext):
        return container.decrypt(ciphertext, key, context=context)
    _check(ciphertext.cipher, key)
    container.check_context(context)
    siv = ciphertext.synthetic_iv
    if len(siv) != extra_size(ciphertext.cipher) or len(ciphertext.nonce) != NONCE_BYTES:
        raise FormatError(f"a nonce has {NONCE_BYTES} bytes, a synthetic IV {SIV_BYTES} or none")
    encrypted = np.ascontiguousarray(ciphertext.pixels)
    stored = np.concatenate([as_bytes(encrypted), np.frombuffer(siv, np.uint8)])
    plain = np.empty(encrypted.nbytes, np.uint8)
    _inner(ciphertext.cipher, key, ciphertext.nonce, context, plain.size).decrypt(stored, plain)
    return plain.view(encrypted.dtype).reshape(ciphertext.pixels.shape)


def diffuse(
    array: ArrayLike, seed: bytes, *, passes: int = chaos.PASSES, steps: int = chaos.STEPS
) -> NDArray[Any]:
    """Run the network of passes alone, without the synthetic IV, as whoever looks for its weaknesses needs it.

    Under one seed this is a permutation of images: equal images give equal results.

    Parameters
    ----------
    array
        Numbers of any dtype, shape and strides.
    seed
        64 bytes. The cipher derives it anew for every image.
    passes, steps
        The cipher has 4 passes of 8 steps.

    Returns
    -------
    ndarray
        Of the same dtype and shape.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    >>> weaker = diffuse(image, bytes(64), passes=1)
    >>> np.array_equal(undiffuse(weaker, bytes(64), passes=1), image)
    True
    """
    pixels = np.ascontiguousarray(container.as_pixels(array))
    out = np.empty(pixels.shape, checked_dtype(pixels.dtype))
    chaos.seal_rows(seed, as_bytes(pixels), as_bytes(out), passes=passes, steps=steps)
    return out


def undiffuse(
    array: ArrayLike, seed: bytes, *, passes: int = chaos.PASSES, steps: int = chaos.STEPS
) -> NDArray[Any]:
    """Invert `diffuse`; the parameters are the same."""
    pixels = np.ascontiguousarray(container.as_pixels(array))
    out = np.empty(pixels.shape, checked_dtype(pixels.dtype))
    chaos.open_rows(seed, as_bytes(pixels), as_bytes(out), passes=passes, steps=steps)
    return out


def _check(cipher: str, key: SecretKey) -> None:
    """Refuse other ciphers and kinds of keys."""
    if cipher not in CIPHERS or cipher == AES_GCM:
        raise ValueError(f"unknown cipher {cipher!r}; one of {NETWORK}, {COUNTER}")
    if not isinstance(key, SecretKey):
        raise TypeError(f"the key must be a SecretKey, not {type(key).__name__}")


def _inner(cipher: str, key: SecretKey, nonce: bytes, context: bytes, size: int) -> Inner:
    return Inner(cipher, HkdfSha512(key.to_bytes()), nonce, bytes(context), size)
