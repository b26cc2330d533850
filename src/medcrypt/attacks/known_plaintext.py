"""Attacks with a known image or two, or with the black border of one: air is known plaintext."""

import itertools
from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike

from medcrypt.attacks.oracle import Grey
from medcrypt.images.chaotic.schemes import Scheme, YenGuo
from medcrypt.images.chaotic.schemes.dna import RULES, add_blocks, bases_of, pixels_of, subtract_blocks
from medcrypt.images.chaotic.schemes.two_bytes import logistic_words, selectors

__all__ = ["DnaKey", "dna_rules", "periodic_mask", "try_keys", "xor_mask", "yen_guo_key"]

_Key = TypeVar("_Key", bound=Scheme)

_BATCH = 1 << 12  # seeds that are tried at a time
_FEWEST = 16  # pixels: they use 32 bits of the orbit
_EVIDENCE = 64  # bytes that must repeat: of a mask with four values, short pieces do so by chance


def xor_mask(plain: ArrayLike, cipher: ArrayLike) -> Grey:
    """Return the keystream of a XOR cipher from one image and its ciphertext.

    Parameters
    ----------
    plain, cipher
        uint8 images of one shape.

    Returns
    -------
    ndarray of uint8
        What decrypts every other image under the same key, by XOR.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import Scheme, YenGuo
    >>> secret, known, other = YenGuo.random(), np.zeros((8, 8), np.uint8), np.eye(8, dtype=np.uint8)
    >>> mask = xor_mask(known, secret.encrypt(known))
    >>> np.array_equal(secret.encrypt(other) ^ mask, other)
    True
    """
    return np.bitwise_xor(np.asarray(plain, np.uint8), np.asarray(cipher, np.uint8))


def yen_guo_key(plain: ArrayLike, cipher: ArrayLike) -> list[YenGuo]:
    """Find the keys of Yen and Guo's cipher that explain the first pixels of an image: 2^16 seeds, tried one and all.

    The mask has four bytes, two and their complements, whatever the image; which of them a pixel gets follows from
    the seed.

    Parameters
    ----------
    plain, cipher
        The first pixels, in reading order, of an image and of its ciphertext: 64 are enough.

    Returns
    -------
    list of YenGuo
        All keys that explain them; more than one where they are few. Empty if it is another cipher.

    Raises
    ------
    ValueError
        Fewer than 16 pixels, which millions of keys explain.

    Examples
    --------
    >>> import numpy as np
    >>> secret, known = YenGuo.random(), np.zeros((8, 8), np.uint8)
    >>> secret in yen_guo_key(known, secret.encrypt(known))
    True
    """
    mask = xor_mask(plain, cipher).ravel()
    if mask.size < _FEWEST:
        raise ValueError(f"at least {_FEWEST} known pixels, not {mask.size}")
    bytes_ = sorted({min(int(m), int(m) ^ 0xFF) for m in mask})
    if not 1 <= len(bytes_) <= 2:
        return []
    # Two bytes, each the one or the other, each itself or its complement; with only one seen the other is any.
    others = bytes_[1:] or list(range(128))
    pairs = {
        (first ^ a, second ^ b)
        for x in bytes_[:1]
        for y in others
        for first, second in ((x, y), (y, x))
        for a in (0, 0xFF)
        for b in (0, 0xFF)
        if (first ^ second ^ a ^ b).bit_count() == 4
    }
    keys = []
    for start in range(1, 1 << 16, _BATCH):
        seeds = np.arange(start, min(start + _BATCH, 1 << 16), dtype=np.uint64)
        choice = selectors(logistic_words(seeds, -(-mask.size // 8)))[:, : mask.size]
        for first, second in pairs:
            table = np.array([second ^ 0xFF, second, first ^ 0xFF, first], np.uint8)
            explained = np.flatnonzero((table[choice] == mask).all(axis=1))
            keys += [YenGuo(first, second, int(seeds[k])) for k in explained]
    return keys


def try_keys(candidates: Iterable[_Key], plain: ArrayLike, cipher: ArrayLike) -> _Key | None:
    """Find a key that explains a known image, among few: those of a region where the map is not chaotic.

    Where the logistic map with a parameter of 3.2 ends, it alternates between two values, from whatever start: the keys
    of the whole region are a handful of permutations.

    Parameters
    ----------
    candidates
        Keys, one for each thing that the region can do.
    plain, cipher
        An image and its ciphertext.

    Returns
    -------
    Scheme or None
        The first that encrypts the image to the ciphertext.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import Ye
    >>> image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> secret, few = Ye(0.123, 3.2, 1000, 500), [Ye(0.9, 3.2, 1000 + k, 500) for k in range(2)]
    >>> found = try_keys(few, image, secret.encrypt(image))
    >>> np.array_equal(found.decrypt(secret.encrypt(image.T)), image.T)
    True
    """
    image, encrypted = np.asarray(plain, np.uint8), np.asarray(cipher, np.uint8)
    return next((key for key in candidates if np.array_equal(key.encrypt(image), encrypted)), None)


def periodic_mask(mask: ArrayLike, count: int) -> Grey | None:
    """Continue a known part of a keystream that repeats: a map in 16 bits soon runs in circles.

    Parameters
    ----------
    mask
        Its beginning: the way into the cycle, once around it, and as much again but at least 64 bytes.
    count
        How many bytes are wanted, at least as many as are known.

    Returns
    -------
    ndarray of uint8 or None
        The keystream, or None if its beginning shows no period.

    Examples
    --------
    >>> known = [9, 9] + [1, 2, 3] * 25
    >>> periodic_mask(known, 80)[-5:]
    array([2, 3, 1, 2, 3], dtype=uint8)
    """
    known = np.asarray(mask, np.uint8).ravel()
    for period in range(1, known.size):
        length = max(period, _EVIDENCE)
        if length + period > known.size:
            break
        if np.array_equal(known[-length:], known[-length - period : -period]):
            ahead = np.arange(count - known.size) % period
            return np.concatenate([known, known[known.size - period + ahead]])
    return None


class DnaKey:
    """What decrypts Zhang, Guo and Wei's cipher: two rules and the bases that are complemented.

    Parameters
    ----------
    encoding, decoding
        Numbers of the rules.
    complements
        3 for every base that is complemented, else 0.
    """

    def __init__(self, encoding: int, decoding: int, complements: Grey) -> None:
        self._encoding, self._decoding, self._complements = encoding, decoding, complements

    def decrypt(self, image: ArrayLike) -> Grey:
        """Decrypt an image of the same shape."""
        bases = bases_of(np.asarray(image, np.uint8), self._decoding) ^ self._complements
        return pixels_of(subtract_blocks(bases), self._encoding)


def dna_rules(pairs: Sequence[tuple[ArrayLike, ArrayLike]]) -> list[DnaKey]:
    """Find the rules and complements of Zhang, Guo and Wei's cipher that explain known images: 64 pairs of rules.

    A base is either complemented or not, so that with the wrong rules about half of the bases have no explanation. One
    image leaves two ways to read a base, a second one the right one.

    Parameters
    ----------
    pairs
        Images and their ciphertexts, uint8, all of one shape: better two than one, better of many levels than black.

    Returns
    -------
    list of DnaKey
        Those that explain all of them; equivalent ones decrypt alike. Empty if it is another cipher.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import ZhangGuoWei
    >>> secret, known = ZhangGuoWei.random(), np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> key = dna_rules([(image, secret.encrypt(image)) for image in (known, known * 7)])[0]
    >>> np.array_equal(key.decrypt(secret.encrypt(known.T)), known.T)
    True
    """
    images = [(np.asarray(plain, np.uint8), np.asarray(cipher, np.uint8)) for plain, cipher in pairs]
    keys = []
    for encoding, decoding in itertools.product(range(len(RULES)), repeat=2):
        seen = [
            add_blocks(bases_of(plain, encoding)) ^ bases_of(cipher, decoding) for plain, cipher in images
        ]
        if np.isin(seen[0], (0, 3)).all() and all(np.array_equal(other, seen[0]) for other in seen[1:]):
            keys.append(DnaKey(encoding, decoding, seen[0]))
    return keys
