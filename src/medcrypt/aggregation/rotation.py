"""The randomised Hadamard rotation: it spreads a vector evenly over its coordinates, and keeps its length.

    y = H diag(s) x,   s_i = +-1 from a public seed,   H the Walsh-Hadamard matrix over sqrt(D)

With x padded by zeros to D, a power of two. For signs drawn independently of x, every coordinate of y exceeds
|x| sqrt(2 ln(2 D/p)/D) with probability at most p in all (Hoeffding; Kairouz, Liu and Steinke 2021, section 5), so
that coarse steps and a small modulus suffice. It is public: it hides nothing, and everybody can turn back.
"""

import hashlib
import math

import numpy as np
import numpy.typing as npt

from medcrypt._ext.aes import AesCtr

__all__ = ["coordinate_bound", "padded", "rotate", "rotate_back"]

_DOMAIN = b"medcrypt/aggregation/rotation/v1\x00"

Reals = npt.NDArray[np.float64]


def padded(size: int) -> int:
    """Return the number of coordinates of a rotated vector: the next power of two.

    Parameters
    ----------
    size
        Number of values, >= 1.

    Returns
    -------
    int
        A power of two.

    Examples
    --------
    >>> padded(650)
    1024
    """
    return 1 << (size - 1).bit_length()


def rotate(seed: bytes, values: Reals) -> Reals:
    """Rotate a vector.

    Parameters
    ----------
    seed
        Public; whoever shares it makes the same rotation.
    values
        float64, shape (d,).

    Returns
    -------
    ndarray of float64, shape (padded(d),)
        Of the same L2 norm, but for rounding.

    Examples
    --------
    >>> import numpy as np
    >>> y = rotate(b"seed", np.array([3.0, 0.0, 4.0]))
    >>> y.shape, round(float(np.linalg.norm(y)), 12)
    ((4,), 5.0)
    """
    rotated = np.zeros(padded(values.size), dtype=np.float64)
    np.multiply(values, _signs(seed, values.size), out=rotated[: values.size])
    return _hadamard(rotated)


def rotate_back(seed: bytes, values: Reals, size: int) -> Reals:
    """Undo `rotate`.

    Parameters
    ----------
    seed
        That of the rotation.
    values
        float64, shape (padded(size),).
    size
        d, the number of values to return.

    Returns
    -------
    ndarray of float64, shape (size,)
        What was rotated, when nothing was added; the matrix is orthogonal.

    Examples
    --------
    >>> import numpy as np
    >>> rotate_back(b"seed", rotate(b"seed", np.arange(5.0)), 5).round(12).tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    turned = _hadamard(values.astype(np.float64))[:size]
    return np.multiply(turned, _signs(seed, size), out=turned)


def coordinate_bound(length: float, size: int, failure: float) -> float:
    """Return what no rotated coordinate exceeds, but with a stated probability over the signs.

    Parameters
    ----------
    length
        L2 norm of the vector.
    size
        Number of its values.
    failure
        Probability that some coordinate is larger.

    Returns
    -------
    float
        At most the length.

    Examples
    --------
    >>> coordinate_bound(1.0, 2**20, 2.0**-40) < 0.01
    True
    """
    count = padded(size)
    return length * min(1.0, math.sqrt(2.0 * math.log(2.0 * count / failure) / count))


def _signs(seed: bytes, size: int) -> Reals:
    """Return +1 or -1 for every value, from the key stream under the hash of the seed."""
    stream = np.empty((size + 7) // 8, dtype=np.uint8)
    AesCtr(hashlib.sha256(_DOMAIN + seed).digest()).fill(0, stream)
    minus = np.unpackbits(stream, count=size, bitorder="little").astype(np.float64)
    return np.subtract(1.0, np.multiply(minus, 2.0, out=minus), out=minus)


def _hadamard(values: Reals) -> Reals:
    """Multiply by the orthonormal Walsh-Hadamard matrix, in place."""
    half = 1
    while half < values.size:
        pairs = values.reshape(-1, 2, half)
        first = pairs[:, 0] - pairs[:, 1]
        pairs[:, 0] += pairs[:, 1]
        pairs[:, 1] = first
        half *= 2
    values *= 1.0 / math.sqrt(values.size)
    return values
