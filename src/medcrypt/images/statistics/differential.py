"""How much of a ciphertext changes when one bit of image or key does: NPCR, UACI and their critical values.

Wu, Noonan and Agaian 2011, "NPCR and UACI randomness tests for image encryption". **Measure at a fixed key and nonce**:
with a fresh nonce every cipher passes, however weak.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from medcrypt.images.statistics.pixels import pair_of

__all__ = ["CriticalValues", "critical_values", "key_sensitivity", "npcr", "plaintext_sensitivity", "uaci"]


def npcr(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the number of changed pixel rate of two images.

    Parameters
    ----------
    first, second
        Integer arrays of one shape and dtype.

    Returns
    -------
    float
        Percentage of pixels that differ.

    Raises
    ------
    TypeError, ValueError
        If they hold no integers, are empty, or differ in shape or dtype.

    Examples
    --------
    >>> import numpy as np
    >>> npcr(np.array([1, 2, 3, 4], np.uint8), np.array([1, 9, 9, 9], np.uint8))
    75.0
    """
    a, b, _ = pair_of(first, second, None)
    return 100.0 * float(np.mean(a != b))


def uaci(first: npt.ArrayLike, second: npt.ArrayLike, bits: int | None = None) -> float:
    """Return the unified average changing intensity of two images.

    Parameters
    ----------
    first, second
        Integer arrays of one shape and dtype.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    float
        Mean of |first - second| as a percentage of the largest level.

    Raises
    ------
    TypeError, ValueError
        If they hold no integers, are empty, differ in shape or dtype, or exceed the depth.

    Examples
    --------
    >>> import numpy as np
    >>> uaci(np.zeros(4, np.uint8), np.full(4, 51, np.uint8))
    20.0
    """
    a, b, depth = pair_of(first, second, bits)
    return 100.0 * float(np.abs(a - b).mean()) / ((1 << depth) - 1)


@dataclass(frozen=True)
class CriticalValues:
    """What two independent uniform images pass with probability 1 - alpha, for each of the tests.

    Parameters
    ----------
    npcr
        Least NPCR, in percent.
    uaci_low, uaci_high
        Range of the UACI, in percent.
    alpha
        Level of significance.
    """

    npcr: float
    uaci_low: float
    uaci_high: float
    alpha: float


def critical_values(pixels: int, bits: int = 8, alpha: float = 0.05) -> CriticalValues:
    """Return the critical values of NPCR (one-sided) and UACI (two-sided).

    Parameters
    ----------
    pixels
        Number of pixels, all channels counted.
    bits
        Depth of the pixels, 1 to 32.
    alpha
        Level of significance, between 0 and 1.

    Returns
    -------
    CriticalValues
        Normal approximations; Wu, Noonan and Agaian 2011, equations 11 to 20, for any depth.

    Raises
    ------
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> values = critical_values(512 * 512)
    >>> round(values.npcr, 4), round(values.uaci_low, 4), round(values.uaci_high, 4)
    (99.5893, 33.373, 33.5541)
    """
    if pixels < 1 or not 1 <= bits <= 32 or not 0.0 < alpha < 1.0:
        raise ValueError("pixels, bits or alpha out of range")
    top = float((1 << bits) - 1)
    quantile = NormalDist().inv_cdf
    least = (top + quantile(alpha) * math.sqrt(top / pixels)) / (top + 1)
    mean = (top + 2) / (3 * top + 3)
    variance = (top + 2) * (top * top + 2 * top + 3) / (18 * (top + 1) ** 2 * top * pixels)
    reach = -quantile(alpha / 2) * math.sqrt(variance)
    return CriticalValues(100 * least, 100 * (mean - reach), 100 * (mean + reach), alpha)


def plaintext_sensitivity(
    encrypt: Callable[[npt.NDArray[np.integer]], npt.NDArray[np.integer]],
    image: npt.ArrayLike,
    positions: Sequence[int],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Measure NPCR and UACI when the lowest bit of one pixel changes.

    Parameters
    ----------
    encrypt
        Maps an image to an integer array, always of one shape and dtype: at a fixed key and nonce.
    image
        Integer array.
    positions
        Flat indices of the pixels to change, one at a time.

    Returns
    -------
    npcr, uaci : ndarray of float64, shape (len(positions),)
        In percent.

    Examples
    --------
    >>> import numpy as np
    >>> plaintext_sensitivity(lambda image: image ^ np.uint8(99), np.zeros((2, 2), np.uint8), [0])[0]
    array([25.])
    """
    plain = np.array(image)
    reference = encrypt(plain)
    results = []
    for position in positions:
        changed = plain.copy()
        changed.flat[position] ^= 1
        other = encrypt(changed)
        results.append((npcr(reference, other), uaci(reference, other)))
    pairs = np.array(results, dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()


def key_sensitivity(
    encrypt: Callable[[bytes], npt.NDArray[np.integer]], key: bytes, bits: Sequence[int]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Measure NPCR and UACI when one bit of the key changes.

    Parameters
    ----------
    encrypt
        Maps a key to an integer array: an image encrypted at a fixed nonce.
    key
        The key.
    bits
        Numbers of the bits to change, one at a time; bit 0 is the lowest of the first byte.

    Returns
    -------
    npcr, uaci : ndarray of float64, shape (len(bits),)
        In percent.

    Examples
    --------
    >>> import numpy as np
    >>> key_sensitivity(lambda key: np.frombuffer(key, np.uint8), bytes(4), [0, 31])[0]
    array([25., 25.])
    """
    reference = encrypt(key)
    results = []
    for bit in bits:
        changed = bytearray(key)
        changed[bit // 8] ^= 1 << (bit % 8)
        other = encrypt(bytes(changed))
        results.append((npcr(reference, other), uaci(reference, other)))
    pairs = np.array(results, dtype=np.float64).reshape(-1, 2)
    return pairs[:, 0].copy(), pairs[:, 1].copy()
