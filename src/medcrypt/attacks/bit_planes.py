"""Many rounds of cat map and mixing, undone by chosen ciphertexts: plane by plane of the bits.

Decrypting a round of Chen, Mao and Chui 2004 is x_k = c_k XOR c_{k-1}, v_k = (x_k XOR phi_k) - phi_k, put back to
place. The subtraction borrows upwards only, so bit j of v is

    v_j = x_j XOR b_j        b_0 = 0, b_{j+1} = (not x_j and b_j) XOR (phi_j and x_j)

The highest bit of phi does nothing; a change of the highest bits passes every round as an exclusive or; and with the
lower planes known, each plane is linear over GF(2) in the next bits of phi. What is left are systems of equations.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.attacks.chosen_plaintext import EquivalentKey
from medcrypt.attacks.oracle import Grey, Oracle

__all__ = ["mixing_rounds"]

Indices: TypeAlias = NDArray[np.int64]
Reach: TypeAlias = list[frozenset[int]]

_MOST_IMAGES = 12
_MOST_OPEN = 3
_BEGINNINGS = 16


def mixing_rounds(oracle: Oracle, rounds: int) -> EquivalentKey:
    """Recover c_k = phi_k XOR (v_k + phi_k) XOR c_{k-1} with v permuted, over any number of rounds.

    Flipping the highest bit of x_k alone, which is that of all c from k on, shows which pixels the place reaches to
    which the first round moves k. Neighbours there reach half their pixels in common, so that the places are strung
    together in order; that is the permutation. The bytes phi follow from random ciphertexts.

    Parameters
    ----------
    oracle
        **Decrypts** under the unknown key: ``Oracle(scheme.decrypt, shape)``.
    rounds
        Of the cipher, two at least. (`mixing_shuffle` breaks one by chosen images.)

    Returns
    -------
    EquivalentKey
        From n + 4 to n + 14 ciphertexts of n pixels. It does not fit where pixels are reached on two ways: not if the
        number of pixels is a cube, as 27 x 27 or 64 x 64, but if the remainder is cut into small cubes.

    Raises
    ------
    ValueError
        Fewer than two rounds.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.images.chaotic.schemes import ChenMaoChui
    >>> secret = ChenMaoChui((1, 2, 3), (4, 5, 6), 0.3, start=7, rounds=3)
    >>> image = np.arange(216, dtype=np.uint8).reshape(12, 18)
    >>> key = mixing_rounds(Oracle(secret.decrypt, image.shape), rounds=3)
    >>> np.array_equal(key.decrypt(secret.encrypt(image)), image), key.fits
    (True, True)
    """
    if rounds < 2:
        raise ValueError("two rounds at least")
    before, n = oracle.images, oracle.shape[0] * oracle.shape[1]
    pairs: list[tuple[Grey, Grey]] = []
    for order in _strings(_reached(oracle, n), 1 << (rounds - 2)):
        source = np.argsort(np.array(order))
        mask = _mask(oracle, pairs, source, rounds, np.zeros(n, np.uint8), 0, 0)
        if mask is None:
            continue
        phi, start = mask
        fresh = np.frombuffer(os.urandom(n), np.uint8)
        if not np.array_equal(_decrypt(fresh, source, phi, start, rounds), oracle(fresh).ravel()):
            continue

        def decrypt(image: ArrayLike, source: Indices = source, phi: Grey = phi, start: int = start) -> Grey:
            flat = np.asarray(image, np.uint8).ravel()
            return _decrypt(flat, source, phi, start, rounds).reshape(oracle.shape)

        return EquivalentKey(decrypt, oracle.images - before, fits=True)
    return EquivalentKey(lambda image: np.array(image, np.uint8), oracle.images - before, fits=False)


def _states(
    image: Grey, source: Indices, phi: Grey, start: int, rounds: int
) -> Iterator[tuple[Grey, Grey, Grey]]:
    """Yield x, v and the pixels after each round of decryption."""
    for _ in range(rounds):
        x = image ^ np.concatenate([np.array([start], np.uint8), image[:-1]])
        v = (x ^ phi) - phi
        image = np.empty_like(v)
        image[source] = v
        yield x, v, image


def _decrypt(image: Grey, source: Indices, phi: Grey, start: int, rounds: int) -> Grey:
    *_, (_, _, pixels) = _states(image, source, phi, start, rounds)
    return pixels


# ---- the permutation ----------------------------------------------------------------------------------


def _reached(oracle: Oracle, n: int) -> Reach:
    """Return, for every k, the pixels that change with the highest bit of x_k in the first round."""
    base = np.frombuffer(os.urandom(n), np.uint8)
    plain, found = oracle(base).ravel(), []
    for k in range(n):
        flipped = base.copy()
        flipped[k:] ^= 0x80
        found.append(frozenset(np.flatnonzero(oracle(flipped).ravel() != plain).tolist()))
    return found


def _strings(reach: Reach, shared: int) -> Iterator[list[int]]:
    """Yield ways to bring the bytes into the order of the places to which they are moved, all of them in each.

    Place t + 1 shares with t one half of its pixels, and the other half with t + 2. A linear map makes other
    neighbours look alike, but their strings end where the map wraps around.
    """
    holders = defaultdict(set)
    for k, pixels in enumerate(reach):
        for pixel in pixels:
            holders[pixel].add(k)
    seen: set[tuple[int, ...]] = set()
    for k in range(min(_BEGINNINGS, len(reach))):
        common = Counter(other for pixel in reach[k] for other in holders[pixel] if other != k)
        for neighbour in (other for other, count in common.items() if count == shared):
            string = [k, neighbour]
            for _ in range(2):  # on from the neighbour, then on from k
                _prolong(string, reach, holders)
                string.reverse()
            if len(string) == len(reach) and tuple(string) not in seen:
                seen |= {tuple(string), tuple(string[::-1])}
                yield from (string, string[::-1])


def _prolong(string: list[int], reach: Reach, holders: dict[int, set[int]]) -> None:
    """Append the only one that has just the half which the last does not share with the one before, and so on."""
    used = set(string)
    while True:
        half = reach[string[-1]] - reach[string[-2]]
        candidates = set.intersection(*(holders[pixel] for pixel in half)) - used if half else set()
        following = [other for other in candidates if len(reach[other] & reach[string[-1]]) == len(half)]
        if len(following) != 1:
            return
        string.append(following[0])
        used.add(following[0])


# ---- the bytes ----------------------------------------------------------------------------------------


def _mask(
    oracle: Oracle,
    pairs: list[tuple[Grey, Grey]],
    source: Indices,
    rounds: int,
    phi: Grey,
    start: int,
    plane: int,
) -> tuple[Grey, int] | None:
    """Return phi and the byte before the first, known below a plane; None where the answers contradict it."""
    n = len(source)
    if plane == 8:
        return phi, start
    system = _System(n + 1)
    for number in range(_MOST_IMAGES):
        if number == len(pairs):
            image = np.frombuffer(os.urandom(n), np.uint8)
            pairs.append((image, oracle(image).ravel()))
        if not all(map(system.add, _equations(*pairs[number], source, phi, start, rounds, plane))):
            return None
        if number > 0 and (plane == 0 or system.rank > n):
            break
    for solution in system.solutions():  # what one plane leaves open, the next one decides
        bits = np.array([solution >> k & 1 for k in range(n)], np.uint8)
        more = bits << np.uint8(plane - 1) if plane else np.zeros(n, np.uint8)
        found = _mask(
            oracle, pairs, source, rounds, phi | more, start | (solution >> n & 1) << plane, plane + 1
        )
        if found is not None:
            return found
    return None


def _equations(
    image: Grey, plain: Grey, source: Indices, phi: Grey, start: int, rounds: int, plane: int
) -> list[int]:
    """Return what the pixels' bits of a plane say of the bits of phi below, and of the start: n + 1 unknowns and a 1.

    A bit that depends on them is an integer: bit k for phi_k, n for the start, n + 1 for the constant.
    """
    n = len(image)
    one, places = n + 1, source.tolist()
    bits = [bit << one for bit in (image >> plane & 1).tolist()]
    for x, v, _ in _states(image, source, phi, start, rounds):
        mixed = [bit ^ last for bit, last in zip(bits, [1 << n, *bits[:-1]], strict=True)]
        if plane:
            below = (x >> (plane - 1) & 1).tolist()
            borrows = ((x ^ v) >> (plane - 1) & 1).tolist()
            for k, (bit, borrow) in enumerate(zip(below, borrows, strict=True)):
                mixed[k] ^= 1 << k if bit else borrow << one
        for k, place in enumerate(places):
            bits[place] = mixed[k]
    return [bit ^ known << one for bit, known in zip(bits, (plain >> plane & 1).tolist(), strict=True)]


class _System:
    """Linear equations over GF(2), each an integer: a bit for every unknown, and above them the right side.

    Parameters
    ----------
    unknowns
        How many.
    """

    def __init__(self, unknowns: int) -> None:
        self._below = (1 << unknowns) - 1
        self._unknowns = unknowns
        self._pivots: dict[int, int] = {}

    @property
    def rank(self) -> int:
        """How many of the equations are independent."""
        return len(self._pivots)

    def add(self, equation: int) -> bool:
        """Add one; False where it contradicts the others."""
        while left := equation & self._below:
            lowest = (left & -left).bit_length() - 1
            if lowest not in self._pivots:
                self._pivots[lowest] = equation
                return True
            equation ^= self._pivots[lowest]
        return equation == 0

    def solutions(self) -> Iterator[int]:
        """Yield the solutions, with 0 for what is in no equation; where much is open, a few of them."""
        held = 0
        for equation in self._pivots.values():
            held |= equation
        open_ones = [u for u in range(self._unknowns) if held >> u & 1 and u not in self._pivots][
            -_MOST_OPEN:
        ]
        for choice in range(1 << len(open_ones)):
            solution = sum((choice >> i & 1) << unknown for i, unknown in enumerate(open_ones))
            for pivot in sorted(self._pivots, reverse=True):
                equation = self._pivots[pivot]
                right = equation >> self._unknowns & 1
                solution |= (right ^ (equation & solution & self._below).bit_count() & 1) << pivot
            yield solution
