"""Shamir's secret sharing (1979) of byte strings over GF(2^16), for many secrets in one call.

A secret of 2 m bytes is m field elements, big-endian. Each is the constant term of its own random polynomial of degree
threshold - 1, and the share at the point x (1 to 65535) is the m values there.

Why GF(2^16): in a field of characteristic 2 addition is XOR, so uniform bytes are uniform elements without
rejection, and a secret of any even length divides without a remainder. GF(2^8) would have 255 points, and in the
graphs of `medcrypt.aggregation.graph` a client has several hundred holders when corruption and dropout are high.

Secrets are never an address or a condition: products are shifts, ANDs and XORs of whole arrays, and tables are looked
up by points alone, which are public.
"""

import functools
import os
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["combine", "split"]

Elements = NDArray[np.uint16]

MOST_POINTS = (1 << 16) - 1
_REDUCTION = 0x100B  # x^16 = x^12 + x^3 + x + 1; the polynomial is primitive, so 2 generates the group
_ORDER = (1 << 16) - 1


def split(
    secret: bytes | bytearray,
    points: Sequence[int],
    threshold: int,
    random: Callable[[int], bytes] = os.urandom,
) -> list[bytes]:
    """Share a secret so that any `threshold` shares give it back and fewer say nothing.

    Parameters
    ----------
    secret
        An even number of bytes.
    points
        Where the polynomials are evaluated: one distinct number from 1 to 65535 for each share.
    threshold
        1 to the number of points.
    random
        Returns so many uniform bytes; the operating system's by default.

    Returns
    -------
    list of bytes
        A share for each point, as long as the secret.

    Raises
    ------
    ValueError
        If the secret has an odd length, a point is out of range or there twice, or the threshold does not fit.

    Examples
    --------
    >>> shares = split(b"mask", points=[1, 2, 3], threshold=2)
    >>> combine([[3, 1]], [[shares[2], shares[0]]])
    [b'mask']
    """
    if len(secret) % 2:
        raise ValueError("a secret has an even number of bytes")
    if not 1 <= threshold <= len(points):
        raise ValueError("threshold must be between 1 and the number of points")
    _check_points(points)
    coefficients = np.empty((threshold, len(secret) // 2), np.uint16)
    coefficients[0] = _elements(secret)
    coefficients[1:] = _elements(random((threshold - 1) * len(secret))).reshape(coefficients[1:].shape)
    powers = _powers(np.asarray(points, np.uint16), threshold)
    shares = _matrix_product(powers, coefficients)
    coefficients.fill(0)
    encoded = [_octets(share) for share in shares]
    shares.fill(0)
    return encoded


def combine(points: Sequence[Sequence[int]], shares: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Interpolate many secrets at zero.

    Parameters
    ----------
    points
        For each secret the points of its shares; equally many for all.
    shares
        For each secret its shares in the same order, all of one even length.

    Returns
    -------
    list of bytes
        The secrets. Too few or wrong shares give other bytes: who combines has to know what to expect.

    Raises
    ------
    ValueError
        If a point is out of range or there twice, or numbers and lengths do not agree.

    Examples
    --------
    >>> combine([[1], [7]], [[b"ab"], [b"cd"]])
    [b'ab', b'cd']
    """
    if not points:
        return []
    if len(shares) != len(points) or {len(each) for each in (*points, *shares)} != {len(points[0])}:
        raise ValueError("every secret needs as many points as shares, and as many as the others")
    size = len(shares[0][0]) if points[0] else 0
    if size % 2 or any(len(share) != size for each in shares for share in each):
        raise ValueError("shares have one even length")
    for each in points:
        _check_points(each)
    values = _elements(b"".join(b"".join(each) for each in shares)).reshape(
        len(points), len(points[0]), size // 2
    )
    weights = np.array([_lagrange_at_zero(tuple(each)) for each in points], np.uint16)
    secrets = _matrix_product(weights[:, None, :], values)[:, 0]
    encoded = [_octets(secret) for secret in secrets]
    values.fill(0)
    secrets.fill(0)
    return encoded


def _check_points(points: Sequence[int]) -> None:
    if len(set(points)) != len(points):
        raise ValueError("a point is there twice: two shares at one point are one share")
    if not all(1 <= point <= MOST_POINTS for point in points):
        raise ValueError(f"points are numbers from 1 to {MOST_POINTS}")


def _elements(data: bytes | bytearray) -> Elements:
    """Read big-endian field elements into memory of our own."""
    return np.frombuffer(data, ">u2").astype(np.uint16)


def _octets(elements: Elements) -> bytes:
    return elements.astype(">u2").tobytes()


def _matrix_product(public: Elements, secret: Elements) -> Elements:
    """Return the matrix product (..., r, n) x (..., n, m) over the field; its time depends on the shapes alone.

    Sum over j of p[j] s[j] = sum over bits b of the sum over j of (bit b of p[j]) (2^b s[j]): the secrets are only
    doubled, and chosen by masks of public bits.
    """
    doubled = secret.copy()
    out = np.zeros((*public.shape[:-1], secret.shape[-1]), np.uint16)
    for bit in range(16):
        masks = _spread(public >> np.uint16(bit))
        out ^= np.bitwise_xor.reduce(doubled[..., None, :, :] & masks[..., None], axis=-2)
        doubled = (doubled << np.uint16(1)) ^ (_spread(doubled >> np.uint16(15)) & np.uint16(_REDUCTION))
    doubled.fill(0)
    return out


def _spread(elements: Elements) -> Elements:
    """Return 0xffff where the lowest bit is set and 0 elsewhere."""
    return np.uint16(0) - (elements & np.uint16(1))


# ---- points: public, by tables ----------------------------------------------------------------------


@functools.cache
def _tables() -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    """Return the powers of 2, the generator, and the logarithms of all elements but 0."""
    powers, logarithms = np.empty(_ORDER, np.uint16), np.zeros(_ORDER + 1, np.int64)
    element = 1
    for exponent in range(_ORDER):
        powers[exponent], logarithms[element] = element, exponent
        element = (element << 1) ^ ((0x10000 | _REDUCTION) if element >> 15 else 0)
    return powers, logarithms


def _powers(points: Elements, count: int) -> Elements:
    """Return the powers 0 to count - 1 of every point: (points, count)."""
    powers, logarithms = _tables()
    return powers[np.outer(logarithms[points], np.arange(count)) % _ORDER]


@functools.lru_cache(maxsize=1024)
def _lagrange_at_zero(points: tuple[int, ...]) -> Elements:
    """Return the weights that make values at `points` the value at 0: products over j != i of x_j / (x_j - x_i)."""
    powers, logarithms = _tables()
    x = np.array(points, np.uint16)
    differences = x[:, None] ^ x
    np.fill_diagonal(differences, 1)  # its logarithm is 0
    numerators = logarithms[x].sum() - logarithms[x]
    weights: Elements = powers[(numerators - logarithms[differences].sum(axis=1)) % _ORDER]
    return weights
