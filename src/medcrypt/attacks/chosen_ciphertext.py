"""Keys by chosen ciphertexts: who may have images decrypted breaks what many rounds protect from chosen plaintexts.

The idea is that of Solak, Cokal, Yildiz and Biyikoglu, "Cryptanalysis of Fridrich's chaotic image encryption", Int. J.
Bifurcation and Chaos 20 (2010) 1405-1413: decryption has no diffusion to speak of, and which pixels a changed byte
reaches tells how they are moved. Here the changes' *values* are used as well, which makes it a matter of six images a
pixel and needs no search.
"""

import os
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.attacks.chosen_plaintext import EquivalentKey
from medcrypt.attacks.oracle import Grey, Oracle

__all__ = ["influence"]

Indices: TypeAlias = NDArray[np.int64]

_TRIALS = 5  # an accident fits all of them once in 2^40
_PLACES = 32  # where the table is looked for


def influence(oracle: Oracle, rounds: int) -> EquivalentKey:
    """Recover Fridrich's design with any number of rounds and a secret table: c_k = v_k + G(c_{k-1}), v permuted.

    A round of decryption is v_k = c_k - G(c_{k-1}), put back to place. So a byte that grows by x makes the pixel to
    which it is moved grow by x whatever the rest of the image, and the one after it in the first round change by
    G(c) - G(c + x), which shows the table but for a constant. The one after it in the *second* round changes by
    G(y) - G(y + x) with y = c_k - G(c_{k-1}): right for one constant alone, and then it links the places of the second
    round to a chain, whose order is the permutation.

    Parameters
    ----------
    oracle
        **Decrypts** under the unknown key: ``Oracle(scheme.decrypt, shape)``.
    rounds
        Of the cipher, two at least. (`feedback` breaks one round, and `affine` a linear table.)

    Returns
    -------
    EquivalentKey
        From 5 n and some hundred or thousand ciphertexts of n pixels; their answers take 5 n^2 bytes. It may not fit
        where a byte reaches pixels on two ways: images too small for 2^rounds pixels to lie apart, or a permutation
        that hardly permutes.

    Raises
    ------
    ValueError
        Fewer than two rounds.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import Fridrich
    >>> table = bytes(np.random.default_rng(1).integers(0, 256, 256, np.uint8))
    >>> secret = Fridrich((2, 8, 4, 2), start=7, rounds=3, feedback=table)
    >>> image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    >>> key = influence(Oracle(secret.decrypt, image.shape), rounds=3)
    >>> np.array_equal(key.decrypt(secret.encrypt(image)), image), key.fits
    (True, True)
    """
    if rounds < 2:
        raise ValueError("two rounds at least")
    before = oracle.images
    seen = _Changes(oracle)
    moved, chain = _settled(seen.moved(), seen.reached), None
    if (moved >= 0).all():
        table = seen.table(moved)
        constant, next_place = seen.next_places(table)
        table += constant
        chain = _chain(next_place, moved, seen.reached)
    if chain is None:
        return EquivalentKey(lambda image: np.array(image, np.uint8), oracle.images - before, False)
    # All rounds move byte k to moved[k], all but one move place t to chain[t]: one moves k to the t that both share.
    source = np.argsort(chain)[moved]

    def decrypt(image: ArrayLike, start: int) -> Grey:
        flat = np.asarray(image, np.uint8).ravel()
        for _ in range(rounds):
            mixed = flat - table[np.concatenate([np.array([start], np.uint8), flat[:-1]])]
            flat = np.empty_like(mixed)
            flat[source] = mixed
        return flat

    right = [int(np.count_nonzero(decrypt(seen.base[0], start) == seen.plain[0])) for start in range(256)]
    start, fresh = int(np.argmax(right)), np.frombuffer(os.urandom(seen.size), np.uint8)
    fits = np.array_equal(decrypt(fresh, start), oracle(fresh).ravel())
    return EquivalentKey(
        lambda image: decrypt(image, start).reshape(oracle.shape), oracle.images - before, fits
    )


class _Changes:
    """What becomes of every pixel when one byte of a random ciphertext grows, a few times over.

    Parameters
    ----------
    oracle
        Decrypts.
    """

    def __init__(self, oracle: Oracle) -> None:
        n = self.size = oracle.shape[0] * oracle.shape[1]
        self._oracle = oracle
        self.base = np.frombuffer(os.urandom(_TRIALS * n), np.uint8).reshape(_TRIALS, n)
        self.grown = self.base + (np.frombuffer(os.urandom(_TRIALS * n), np.uint8).reshape(_TRIALS, n) | 1)
        self.plain = np.array([oracle(image).ravel() for image in self.base])
        self._by_pixel = np.empty((_TRIALS, n, n), np.uint8)  # trial, byte that grows, pixel that changes
        for trial, image in enumerate(self.base.copy()):
            for k in range(n):
                image[k] = self.grown[trial, k]
                self._by_pixel[trial, k] = oracle(image).ravel() - self.plain[trial]
                image[k] = self.base[trial, k]
        self.reached: NDArray[np.bool_] = np.asarray(self._by_pixel.any(axis=0))

    def _always(self, change: Grey) -> NDArray[np.bool_]:
        """Tell which pixel changes by so much in every trial, for every byte."""
        return np.asarray((self._by_pixel == change[:, :, None]).all(axis=0))

    def moved(self) -> Indices:
        """Return where all rounds move every byte: the pixel that grows as it does."""
        grows = self._always(self.grown - self.base)
        return np.where(grows.sum(axis=1) == 1, grows.argmax(axis=1), -1)

    def table(self, moved: Indices) -> Grey:
        """Return G but for a constant, as the pixel after the grown one shows it; of several places the best."""
        places = np.arange(self.size - 1)
        best, found = -1, np.zeros(256, np.uint8)
        image = self.base[0].copy()
        for k in places[np.linspace(0, len(places) - 1, min(_PLACES, len(places))).astype(int)]:
            answers = np.empty(256, np.uint8)
            for level in range(256):
                image[k] = level
                answers[level] = self._oracle(image).ravel()[moved[k + 1]]
            image[k] = self.base[0, k]
            table = answers[0] - answers
            expected = self._always(table[self.base] - table[self.grown])
            right = int(np.count_nonzero(expected[places, moved[places + 1]]))
            if right > best:
                best, found = right, table
            if right > len(places) // 2:
                break
        return found

    def next_places(self, table: Grey) -> tuple[np.uint8, Indices]:
        """Return the table's constant, and the pixel that stands one place later in the second round; -1: unknown."""
        best, constant, places = -1, np.uint8(0), np.full(self.size, -1)
        for guess in np.arange(256, dtype=np.uint8):
            second = self.base.copy()
            second[:, 1:] -= table[self.base[:, :-1]] + guess
            change = table[second] - table[second + (self.grown - self.base)]
            found = self._always(change)
            found[0] = False  # the byte before the first one is not known yet
            alone = found.sum(axis=1) == 1
            if (count := int(alone.sum())) > best:
                best, constant, places = count, guess, np.where(alone, found.argmax(axis=1), -1)
        return constant, places


def _matched(possible: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Pair rows with columns as long as one has a single partner left; rows are asked first."""
    possible = possible.copy()
    pairs: list[tuple[int, int]] = []
    while True:
        for view in (possible, possible.T):
            single = np.flatnonzero(view.sum(axis=1) == 1)
            if len(single):
                partner = int(view[single[0]].argmax())
                row, column = (int(single[0]), partner) if view is possible else (partner, int(single[0]))
                break
        else:
            return pairs
        possible[row], possible[:, column] = False, False
        pairs.append((row, column))


def _settled(moved: Indices, reached: NDArray[np.bool_]) -> Indices:
    """Fill gaps in a permutation with pixels that were reached and that no other byte is moved to."""
    moved = moved.copy()
    gaps, free = np.flatnonzero(moved < 0), np.setdiff1d(np.arange(len(moved)), moved)
    for row, column in _matched(reached[np.ix_(gaps, free)]):
        moved[gaps[row]] = free[column]
    return moved


def _chain(next_place: Indices, moved: Indices, reached: NDArray[np.bool_]) -> Indices | None:
    """Return all pixels in the order of the second round, or None: links, and pieces joined where it is clear."""
    after = {int(p): int(q) for p, q in zip(moved, next_place, strict=True) if p >= 0 and q >= 0}
    if len(set(after.values())) < len(after):
        return None
    byte_of = np.argsort(moved)
    firsts = sorted(set(range(len(moved))) - set(after.values()))
    pieces = [[first] for first in firsts]
    for piece in pieces:
        while piece[-1] in after:
            piece.append(after[piece[-1]])
    possible = np.array([[bool(reached[byte_of[piece[-1]], first]) for first in firsts] for piece in pieces])
    np.fill_diagonal(possible, val=False)  # no piece follows itself
    joined = dict(_matched(possible))
    last = [row for row in range(len(pieces)) if row not in joined.values()]
    order = last[:1]
    while order and order[-1] in joined and len(order) < len(pieces):
        order.append(joined[order[-1]])
    chain = [pixel for number in order for pixel in pieces[number]]
    return np.array(chain) if len(set(chain)) == len(moved) else None
