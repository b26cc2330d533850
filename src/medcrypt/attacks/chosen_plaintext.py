"""Equivalent keys by chosen images: what decrypts need not be the key.

A cipher whose key stream and permutation do not depend on the image is a fixed map of images, and most fixed maps of
the literature are so simple that a handful of images describes them. Every attack here sees an `Oracle` alone. What it
assumes of the design is in its docstring; against another design it ends with a key that `fits` nothing.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.attacks.oracle import Grey, Oracle

__all__ = ["EquivalentKey", "affine", "bit_shuffle", "feedback", "mixing_shuffle", "shuffle"]

Indices: TypeAlias = NDArray[np.int64]

_MOST_RANDOM = 200


@dataclass(frozen=True)
class EquivalentKey:
    """What an attack has found out.

    Parameters
    ----------
    decrypt
        Turns ciphertexts into images as the cipher's own key would, if the design is the one assumed.
    images
        How many chosen images it took.
    fits
        Whether the answers were consistent with the assumed design, as far as they can tell.
    """

    decrypt: Callable[[ArrayLike], Grey]
    images: int
    fits: bool


def shuffle(
    oracle: Oracle,
    unchain: Callable[[Grey], Grey] | None = None,
    mask: Literal["xor", "add"] = "xor",
) -> EquivalentKey:
    """Recover a permutation of pixels and a mask: C = chain(P[source] + mask), where no key is in the chain.

    Permutation-only ciphers, XOR keystreams, a shuffle followed by a keystream (Rhouma and Belghith 2008) and one round
    of permutation and linear diffusion (Fridrich 1998, Hua et al. 2018) all are of this kind. A black image shows the
    mask; images that hold the digits of every pixel's number show the permutation (Li and Lo 2011), two of them up
    to 65,536 pixels.

    Parameters
    ----------
    oracle
        Encrypts under the unknown key.
    unchain
        Undoes the diffusion up to a mask. For c_k = v_k + c_{k-1}, that is c_k - c_{k-1}.
    mask
        Whether the mask is XORed or added modulo 256.

    Returns
    -------
    EquivalentKey
        From 1 + ceil(log_256 n) images of n pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import GaoChen
    >>> secret, image = GaoChen.random(), np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> key = shuffle(Oracle(secret.encrypt, image.shape))
    >>> np.array_equal(key.decrypt(secret.encrypt(image)), image), key.images
    (True, 2)
    """
    if mask not in ("xor", "add"):
        raise ValueError(f"a mask is 'xor' or 'add', not {mask!r}")
    remove = np.bitwise_xor if mask == "xor" else np.subtract
    before = oracle.images
    undo = unchain or (lambda image: image)
    black = undo(oracle(np.zeros(oracle.shape)))
    answers = [remove(undo(oracle(digits)), black) for digits in _digits(oracle.shape)]
    source, fits = _sources(answers)

    def decrypt(image: ArrayLike) -> Grey:
        return _put_back(np.asarray(remove(undo(np.asarray(image, np.uint8)), black), np.uint8), source)

    return EquivalentKey(decrypt, oracle.images - before, fits)


def mixing_shuffle(oracle: Oracle) -> EquivalentKey:
    """Recover c_k = phi_k XOR (v_k + phi_k mod 256) XOR c_{k-1} with permuted v: Chen, Mao and Chui 2004, one round.

    The XOR of neighbours undoes the chain. Of the images that are 0x2A and 0x55 all over, the two answers differ
    for any two phi but those 128 apart, which act alike. With phi known, digits show the permutation.

    Parameters
    ----------
    oracle
        Encrypts under the unknown key.

    Returns
    -------
    EquivalentKey
        From 3 + ceil(log_256 n) images of n pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import ChenMaoChui
    >>> secret, image = ChenMaoChui.random(), np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> key = mixing_shuffle(Oracle(secret.encrypt, image.shape))
    >>> np.array_equal(key.decrypt(secret.encrypt(image)), image), key.images
    (True, 4)
    """
    before = oracle.images
    start = int(oracle(np.zeros(oracle.shape)).flat[0])  # black pixels repeat the byte before the first

    def undo(image: ArrayLike) -> Grey:
        flat = np.asarray(image, np.uint8).ravel()
        return np.asarray(flat ^ np.concatenate([np.array([start], np.uint8), flat[:-1]]), np.uint8)

    probes = (0x2A, 0x55)
    every = np.arange(256, dtype=np.uint8)
    expected = [every ^ (every + np.uint8(p)) for p in probes]
    phi_of = np.full((256, 256), -1, np.int64)
    phi_of[expected[0], expected[1]] = every
    seen = [undo(oracle(np.full(oracle.shape, p))) for p in probes]
    found = phi_of[seen[0], seen[1]]
    phi = np.maximum(found, 0).astype(np.uint8)

    def unmix(image: ArrayLike) -> Grey:
        return np.asarray((undo(image) ^ phi) - phi, np.uint8).reshape(oracle.shape)

    source, fits = _sources([unmix(oracle(digits)) for digits in _digits(oracle.shape)])
    fits = fits and bool(np.all(found >= 0))
    return EquivalentKey(lambda image: _put_back(unmix(image), source), oracle.images - before, fits)


def bit_shuffle(oracle: Oracle) -> EquivalentKey:
    """Recover a permutation of bits with an XOR mask, as of Ye 2010: a bit is one number's worth of images.

    Parameters
    ----------
    oracle
        Encrypts under the unknown key.

    Returns
    -------
    EquivalentKey
        From 1 + ceil(log_2 8n) images of n pixels: of a permutation alone no attack needs fewer but one (Li and Lo
        2011).

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import Ye
    >>> secret, image = Ye.random(), np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> key = bit_shuffle(Oracle(secret.encrypt, image.shape))
    >>> np.array_equal(key.decrypt(secret.encrypt(image)), image), key.images
    (True, 12)
    """
    before = oracle.images
    black = np.unpackbits(oracle(np.zeros(oracle.shape)))
    source = np.zeros(black.size, np.int64)
    for place in range(max(black.size - 1, 1).bit_length()):
        digit = (np.arange(black.size) >> place & 1).astype(np.uint8)
        answer = np.unpackbits(oracle(np.packbits(digit))) ^ black
        source |= answer.astype(np.int64) << place
    source, fits = _checked(source)

    def decrypt(image: ArrayLike) -> Grey:
        bits = np.unpackbits(np.asarray(image, np.uint8)) ^ black
        return np.packbits(_put_back(bits, source)).reshape(oracle.shape)

    return EquivalentKey(decrypt, oracle.images - before, fits)


def feedback(oracle: Oracle) -> EquivalentKey:
    """Recover c_k = v_k + G(c_{k-1}) with permuted v and a secret table G, by differences: Fridrich 1998, one round.

    Where one pixel of the image is changed, the ciphertext starts to differ at the place to which that pixel moves.
    With the permutation known, every pixel of random images shows one entry of G, until all are seen; the byte before
    the first pixel acts as a mask of that pixel.

    Parameters
    ----------
    oracle
        Encrypts under the unknown key.

    Returns
    -------
    EquivalentKey
        From n + 1 images of n pixels and some 2000/n more.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import Fridrich
    >>> secret = Fridrich.random(16, rounds=1, secret_feedback=True)
    >>> image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> key = feedback(Oracle(secret.encrypt, image.shape))
    >>> np.array_equal(key.decrypt(secret.encrypt(image)), image), key.fits
    (True, True)
    """
    before = oracle.images
    n = oracle.shape[0] * oracle.shape[1]
    black = oracle(np.zeros(oracle.shape)).ravel()
    target = [int(np.argmax(oracle(unit).ravel() != black)) for unit in np.eye(n, dtype=np.uint8)]
    source = np.zeros(n, np.int64)
    source[target] = np.arange(n)
    source, fits = _checked(source)
    table, seen = np.zeros(256, np.uint8), np.zeros(256, bool)
    while not seen.all() and oracle.images - before < n + 1 + _MOST_RANDOM:
        image = np.frombuffer(os.urandom(n), np.uint8)
        answer = oracle(image).ravel()
        table[answer[:-1]], seen[answer[:-1]] = (answer - image[source])[1:], True
        fits = fits and np.array_equal(answer[1:], image[source][1:] + table[answer[:-1]])
    start = black[:1]  # G of the unknown first byte, as a black pixel shows it

    def decrypt(image: ArrayLike) -> Grey:
        flat = np.asarray(image, np.uint8).ravel()
        return _put_back(flat - np.concatenate([start, table[flat[:-1]]]), source).reshape(oracle.shape)

    return EquivalentKey(decrypt, oracle.images - before, bool(fits and seen.all()))


def affine(oracle: Oracle) -> EquivalentKey:
    """Recover C = A P + b modulo 256: what permutations, additions of neighbours and masks are, whatever the rounds.

    The four rounds of Hua et al. 2018, and Fridrich's with a linear feedback, fall to it: one image for every pixel
    reads a column of A. (With a device that decrypts, as many chosen ciphertexts: Chen, Chen and Zhou 2020.)

    Parameters
    ----------
    oracle
        Encrypts small images under the unknown key: the work grows as n^3.

    Returns
    -------
    EquivalentKey
        From n + 2 images of n pixels; the last is random and tells whether it fits.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import HuaJinXuHuang
    >>> secret, image = HuaJinXuHuang.random(), np.arange(64, dtype=np.uint8).reshape(8, 8)
    >>> key = affine(Oracle(secret.encrypt, image.shape))
    >>> np.array_equal(key.decrypt(secret.encrypt(image)), image), key.images
    (True, 66)
    """
    before = oracle.images
    n = oracle.shape[0] * oracle.shape[1]
    black = oracle(np.zeros(oracle.shape)).ravel()
    units = np.eye(n, dtype=np.uint8)
    matrix = np.stack([oracle(unit).ravel() - black for unit in units], axis=1)
    inverse, fits = _inverse(matrix)
    image = np.frombuffer(os.urandom(n), np.uint8)
    fits = fits and np.array_equal(matrix @ image + black, oracle(image).ravel())

    def decrypt(image: ArrayLike) -> Grey:
        return (
            (inverse @ (np.asarray(image, np.uint8).ravel() - black)).astype(np.uint8).reshape(oracle.shape)
        )

    return EquivalentKey(decrypt, oracle.images - before, fits)


def _digits(shape: tuple[int, int]) -> list[Grey]:
    """Return the images that hold the bytes of every pixel's number, the lowest first."""
    numbers = np.arange(shape[0] * shape[1]).reshape(shape)
    count = max(-(-int(numbers[-1, -1]).bit_length() // 8), 1)
    return [(numbers >> (8 * place)).astype(np.uint8) for place in range(count)]


def _sources(answers: list[Grey]) -> tuple[Indices, bool]:
    """Put digits together to the numbers of the pixels that have come to each place."""
    return _checked(sum(a.ravel().astype(np.int64) << (8 * place) for place, a in enumerate(answers)))


def _checked(source: Indices | int) -> tuple[Indices, bool]:
    """Return numbers of pixels, brought into their range, and whether each occurs once."""
    array = np.asarray(source, np.int64)
    return array % array.size, bool(np.array_equal(np.sort(array), np.arange(array.size)))


def _put_back(flat: Grey, source: Indices) -> Grey:
    """Return every pixel to where it came from."""
    plain = np.zeros(flat.shape, np.uint8)
    plain.reshape(-1)[source] = flat.ravel()
    return plain


def _inverse(matrix: Grey) -> tuple[Grey, bool]:
    """Invert a matrix modulo 256 by Gauss and Jordan: a pivot must be odd. Whether there was one for every column."""
    n, invertible = len(matrix), True
    work = np.concatenate([matrix, np.eye(n, dtype=np.uint8)], axis=1)
    for column in range(n):
        odd = np.flatnonzero(work[column:, column] & 1)
        if odd.size == 0:
            invertible = False
            continue
        pivot = column + int(odd[0])
        work[[column, pivot]] = work[[pivot, column]]
        work[column] *= np.uint8(pow(int(work[column, column]), -1, 256))
        factors = work[:, column].copy()
        factors[column] = 0
        rows = np.flatnonzero(factors)
        work[rows] -= factors[rows, None] * work[column]
    return np.ascontiguousarray(work[:, n:]), invertible
