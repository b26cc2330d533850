"""Noise that several parties add together: the distributed discrete Gaussian, and Skellam."""

import math

from medcrypt.dp.events import RenyiCurve, ZeroConcentratedDP, _natural, _positive

__all__ = ["distributed_discrete_gaussian", "distributed_skellam"]

_ORDERS = tuple(range(2, 65)) + tuple(range(72, 513, 8)) + tuple(2**k for k in range(10, 31))


def distributed_discrete_gaussian(
    sigma: float, contributors: int, sensitivity: float, dimension: int
) -> ZeroConcentratedDP:
    """Return the event of an integer vector sum in which every contributor hid discrete Gaussian noise.

    A sum of discrete Gaussians is not a discrete Gaussian, but nearly: with n shares of parameter sigma,
    tau = 10 * sum over k < n of exp(-2 pi^2 sigma^2 k/(k + 1)), L2 sensitivity D and dimension d, its Rényi
    divergence of order alpha is at most the least of

    * alpha D^2/(2 n sigma^2) + tau d,
    * (alpha/2) (D^2/(n sigma^2) + 2 D1 tau/(sqrt(n) sigma) + tau^2 d), D1 the L1 sensitivity,
    * (alpha/2) (D/(sqrt(n) sigma) + tau sqrt(d))^2

    (Kairouz, Liu and Steinke 2021, Proposition 14). The first is at most alpha times its value at alpha = 1;
    for integer vectors D1 <= min(sqrt(d) D, D^2). The least of the three is the rho returned.

    Parameters
    ----------
    sigma
        Parameter of each contributor's `noise.discrete_gaussian`, in lattice units; >= 1/2.
    contributors
        Number n >= 1 of honest noise shares that are certain to be in the sum: not those that may drop out,
        and not those of colluding parties, who know their own noise.
    sensitivity
        L2 sensitivity of the integer sum in lattice units, after rounding, under the accountant's relation; >
        0.
    dimension
        Number d >= 1 of coordinates.

    Returns
    -------
    ZeroConcentratedDP
        The event to compose.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> event = dp.distributed_discrete_gaussian(10.0, contributors=10, sensitivity=20.0, dimension=650)
    >>> round(event.rho, 12)
    0.2
    """
    sigma, sensitivity = _positive("sigma", sigma), _positive("sensitivity", sensitivity)
    contributors, dimension = _natural("contributors", contributors), _natural("dimension", dimension)
    if sigma < 0.5:
        raise ValueError(f"sigma must be at least 0.5, not {sigma}: the bound is proven from there on")
    if contributors < 1 or dimension < 1:
        raise ValueError("contributors and dimension must be at least 1")
    # The terms fall from exp(-(pi sigma)^2) to exp(-2 (pi sigma)^2): past a thousand, bound each by the last
    # one.
    each = [math.exp(-2.0 * (math.pi * sigma) ** 2 * k / (k + 1)) for k in range(1, min(contributors, 1001))]
    tau = 10.0 * (math.fsum(each) + max(contributors - 1001, 0) * (each[-1] if each else 0.0))
    scaled = sensitivity / (math.sqrt(contributors) * sigma)
    scaled_l1 = min(math.sqrt(dimension), sensitivity) * scaled
    rho = min(
        0.5 * scaled**2 + tau * dimension,
        0.5 * (scaled**2 + 2.0 * scaled_l1 * tau + tau**2 * dimension),
        0.5 * (scaled + tau * math.sqrt(dimension)) ** 2,
    )
    return ZeroConcentratedDP(rho)


def distributed_skellam(variance: float, contributors: int, sensitivity: float, dimension: int) -> RenyiCurve:
    """Return the event of an integer vector sum in which every contributor hid Skellam noise.

    The sum of n shares is Skellam of variance m = n v. With L2 sensitivity D and L1 sensitivity D1 its Rényi divergence
    of every whole order alpha > 1 is at most

        alpha D^2/(2 m) + min(((2 alpha - 1) D^2 + 6 D1)/(4 m^2), 3 D1/(2 m))

    (Agarwal, Kairouz and Liu 2021, Theorem 3.5), with D1 <= min(sqrt(d) D, D^2) for integer vectors.

    Parameters
    ----------
    variance
        v of each contributor's `noise.skellam`, in squared lattice units; > 0.
    contributors
        Number n >= 1 of honest noise shares that are certain to be in the sum.
    sensitivity
        L2 sensitivity of the integer sum in lattice units, after rounding, under the accountant's relation; > 0.
    dimension
        Number d >= 1 of coordinates.

    Returns
    -------
    RenyiCurve
        The event to compose, at whole orders.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> event = dp.distributed_skellam(100.0, contributors=10, sensitivity=20.0, dimension=650)
    >>> event.orders[0], round(event.epsilons[0], 4)
    (2.0, 0.4009)
    """
    variance, sensitivity = _positive("variance", variance), _positive("sensitivity", sensitivity)
    contributors, dimension = _natural("contributors", contributors), _natural("dimension", dimension)
    if contributors < 1 or dimension < 1:
        raise ValueError("contributors and dimension must be at least 1")
    total, square = variance * contributors, sensitivity * sensitivity
    l1 = min(math.sqrt(dimension) * sensitivity, square)

    def divergence(order: int) -> float:
        correction = min(((2 * order - 1) * square + 6.0 * l1) / (4.0 * total * total), 1.5 * l1 / total)
        # A few roundings, each of 2^-53: the factor makes it an upper bound again.
        return (order * square / (2.0 * total) + correction) * (1.0 + 2.0**-48)

    return RenyiCurve(_ORDERS, tuple(map(divergence, _ORDERS)))
