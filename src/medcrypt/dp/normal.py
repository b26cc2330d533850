"""The tail of the normal distribution, and the exact privacy curve of the Gaussian mechanism.

delta(eps) = Q(a) - e^eps Q(b) with a = eps/mu - mu/2, b = eps/mu + mu/2 and Q the upper tail (Balle and Wang
2018, Theorem 8). The two terms nearly cancel when mu or delta is small. Since e^eps phi(b) = phi(a),

    delta = phi(a) (m(a) - m(b)) = phi(a) * integral from a to b of (1 - x m(x)) dx,    m = Q/phi (Mills'
    ratio),

and the integrand is positive and known without cancellation, so every digit survives down to delta = 1e-300.
"""

import math

from medcrypt.dp.legendre import legendre

__all__ = ["gaussian_error", "gaussian_log_delta", "log_tail"]

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_LEGENDRE_NODES, _LEGENDRE_WEIGHTS = (array.tolist() for array in legendre(16))


def _mills_fraction(x: float) -> float:
    """Return 1/m(x) - x = 1/(x + 2/(x + 3/(x + ...))) for x >= 3, where 80 levels leave less than 1e-16."""
    value = x
    for level in range(80, 1, -1):
        value = x + level / value
    return 1.0 / value


def _mills(x: float) -> float:
    """Return Mills' ratio m(x) = Q(x)/phi(x) for x > -8."""
    if x < 3.0:
        return math.sqrt(math.pi / 2.0) * math.erfc(x / math.sqrt(2.0)) * math.exp(0.5 * x * x)
    return 1.0 / (x + _mills_fraction(x))


def _mills_descent(x: float) -> float:
    """Return -m'(x) = 1 - x m(x), positive; the fraction gives it without cancellation."""
    if x < 3.0:
        return 1.0 - x * _mills(x)
    fraction = _mills_fraction(x)
    return fraction / (x + fraction)


def log_tail(x: float) -> float:
    """Return the logarithm of the upper tail P[N(0, 1) > x].

    Parameters
    ----------
    x
        Any finite number.

    Returns
    -------
    float
        log Q(x), to about 1e-14 relative also where Q underflows.

    Examples
    --------
    >>> round(log_tail(40.0), 9)
    -804.608442014
    """
    if x < 3.0:
        return (
            math.log(0.5 * math.erfc(x / math.sqrt(2.0)))
            if x > -1.0
            else math.log1p(-0.5 * math.erfc(-x / math.sqrt(2.0)))
        )
    return math.log(_mills(x)) - 0.5 * x * x - _LOG_SQRT_2PI


def gaussian_log_delta(mu: float, epsilon: float) -> float:
    """Return log delta(epsilon) of the Gaussian mechanism, exact for every composition of Gaussians.

    Parameters
    ----------
    mu
        Sensitivity over standard deviation, > 0; T compositions have mu = sqrt(T)/noise_multiplier.
    epsilon
        Any finite number, also negative.

    Returns
    -------
    float
        log delta; minus infinity where delta = 0 for all purposes (below exp(-1e300)).

    Examples
    --------
    >>> import math
    >>> round(math.exp(gaussian_log_delta(1.0, 1.0)), 12)
    0.126936737507
    """
    half = 0.5 * mu
    a, b = epsilon / mu - half, epsilon / mu + half
    if a > 1e150:
        return -math.inf
    if a < -5.0:
        # delta is near 1 - e^eps or near 1: both terms are far apart, or the first is 1 to full precision.
        return math.log(math.exp(log_tail(a)) - math.exp(epsilon + log_tail(b)))
    if mu <= 1.0:
        points = (0.5 * (a + b) + half * node for node in _LEGENDRE_NODES)
        difference = half * sum(
            weight * _mills_descent(point) for weight, point in zip(_LEGENDRE_WEIGHTS, points, strict=True)
        )
    else:
        # Lost from a = 1e15 on; `gaussian_error` is then far above the logarithm of any double.
        difference = max(_mills(a) - _mills(b), math.ulp(0.0))
    return math.log(difference) - 0.5 * a * a - _LOG_SQRT_2PI


def gaussian_error(mu: float, epsilon: float) -> float:
    """Return a bound on the absolute error of `gaussian_log_delta`, also when mu is off by 4 units in the last place.

    With a = eps/mu - mu/2 the rounding of a weighs a times, and m(a) - m(b) cancels at most (1 + |a|)/min(mu, 1)
    times; mu multiplies delta's relative change by at most (1 + |a|) (1 + mu).

    Parameters
    ----------
    mu, epsilon
        As there; epsilon >= 0.

    Examples
    --------
    >>> gaussian_error(1.0, 1.0) < 1e-13
    True
    """
    ratio = abs(epsilon) / mu
    return 2.0**-53 * (200.0 + 24.0 * (abs(ratio - 0.5 * mu) + 2.0) * (ratio + mu + 2.0))
