"""Privacy curves in 40 digits: the oracle of the accountant.

Nothing here is shared with the library. One mechanism is integrated directly as a hockey-stick divergence; a
composition by the contour integral in multiple precision with plain sums and no cleverness; few Laplace mechanisms
by the exact sum over atoms and over piecewise polynomials times exponentials; discrete laws by their definition.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

import mpmath as mp

mp.mp.dps = 40

__all__ = [
    "composition_delta",
    "discrete_gaussian_pmf",
    "discrete_laplace_pmf",
    "gaussian_delta",
    "gaussian_moment",
    "laplace_composition_delta",
    "laplace_moment",
    "sampled_gaussian_delta",
    "sampled_gaussian_moment",
]

Number = float | str | int | mp.mpf
Moment = Callable[[mp.mpc], mp.mpc]


def gaussian_delta(mu: Number, epsilon: Number) -> mp.mpf:
    """Analytic Gaussian mechanism (Balle and Wang 2018, Theorem 8), with digits to spare for the cancellation."""
    with mp.workdps(400):
        mu, epsilon = mp.mpf(mu), mp.mpf(epsilon)
        upper, lower = epsilon / mu - mu / 2, epsilon / mu + mu / 2
        root = mp.sqrt(2)
        return (mp.erfc(upper / root) - mp.exp(epsilon) * mp.erfc(lower / root)) / 2


def sampled_gaussian_delta(sigma: Number, q: Number, epsilon: Number, *, removing: bool) -> mp.mpf:
    """Hockey-stick divergence of one Poisson-sampled Gaussian, integrated where the integrand is positive."""
    sigma, q, scale = mp.mpf(sigma), mp.mpf(q), mp.exp(mp.mpf(epsilon))

    def without(x: mp.mpf) -> mp.mpf:
        return mp.npdf(x, 0, sigma)

    def sampled(x: mp.mpf) -> mp.mpf:
        return (1 - q) * mp.npdf(x, 0, sigma) + q * mp.npdf(x, 1, sigma)

    # The ratio sampled/without rises with x: one crossing decides.
    ratio = scale if removing else 1 / scale
    if ratio <= 1 - q:
        return mp.mpf(1) - scale if removing else mp.mpf(0)
    crossing = mp.mpf(1) / 2 + sigma**2 * mp.log((ratio - 1 + q) / q)
    if removing:
        pieces = [crossing + k * sigma for k in range(0, 41, 4)]
        return mp.quad(lambda x: sampled(x) - scale * without(x), pieces)
    pieces = [crossing - k * sigma for k in range(40, -1, -4)]
    return mp.quad(lambda x: without(x) - scale * sampled(x), pieces)


def gaussian_moment(sigma: Number) -> Moment:
    """Moment generating function of the privacy loss of the Gaussian."""
    sigma = mp.mpf(sigma)
    return lambda z: mp.exp(z * (z + 1) / (2 * sigma**2))


def laplace_moment(scale: Number) -> Moment:
    """The same for Laplace: atoms at +-1/scale and the density between them, integrated by hand."""
    e = 1 / mp.mpf(scale)

    def moment(z: mp.mpc) -> mp.mpc:
        between = mp.exp(-e / 2) * (mp.exp((z + 0.5) * e) - mp.exp(-(z + 0.5) * e)) / (4 * (z + 0.5))
        return mp.exp(z * e) / 2 + mp.exp(-(1 + z) * e) / 2 + between

    return moment


def sampled_gaussian_moment(sigma: Number, q: Number, *, removing: bool, nodes: int = 500) -> Moment:
    """The same for the Poisson-sampled Gaussian, by a fine trapezoid rule in 40 digits."""
    sigma, q = mp.mpf(sigma), mp.mpf(q)
    low, high = -18 * sigma, 18 * sigma + 2 * mp.ceil(8 * sigma) + 4
    step = (high - low) / nodes
    points = [low + k * step for k in range(nodes + 1)]
    weights = [mp.npdf(x, 0, sigma) * step for x in points]
    logs = [mp.log(1 - q + q * mp.exp((2 * x - 1) / (2 * sigma**2))) for x in points]

    def moment(z: mp.mpc) -> mp.mpc:
        power = z + 1 if removing else -z
        return mp.fsum(w * mp.exp(power * r) for w, r in zip(weights, logs, strict=True))

    return moment


def composition_delta(moments: Sequence[tuple[Moment, int]], epsilon: Number) -> mp.mpf:
    """Contour integral of a composition by the trapezoid rule (Alghamdi et al. 2022), 25 digits or more.

    The line passes where the integrand is least on the real axis, c. The rule of step h adds aliases from
    epsilon + k P, P = 2 pi/h: at most e^(-P c) for k < 0, and bounded by Chernoff at another c for k > 0.
    """
    epsilon = mp.mpf(epsilon)

    def log_moment(c: mp.mpf) -> mp.mpf:
        return mp.fsum(count * mp.log(moment(mp.mpc(c)).real) for moment, count in moments)

    def height(c: mp.mpf) -> mp.mpf:
        return log_moment(c) - c * epsilon - mp.log(c) - mp.log(1 + c)

    c = min((mp.mpf(10) ** (mp.mpf(k) / 10) for k in range(-15, 25)), key=height)
    digits = 60 - height(c)
    above = min((log_moment(c * r) - c * r * epsilon + digits) / (c * r - c) for r in (1.2, 1.5, 2, 3, 5))
    step = 2 * mp.pi / max(digits / c, above)
    total, k = mp.mpf(0), 0
    while True:
        z = mp.mpc(c, k * step)
        value = mp.exp(-z * epsilon) / (z * (z + 1))
        for moment, count in moments:
            value *= moment(z) ** count
        total += value.real / (1 if k else 2)
        if k > 5 and abs(value) * k < mp.mpf(10) ** -22 * abs(total):
            return total * step / mp.pi
        k += 1


def laplace_composition_delta(scale: Number, count: int, epsilon: Number) -> mp.mpf:
    """Few Laplace mechanisms exactly: i atoms at +e, j at -e, and k uniform losses tilted by e^(L/2).

    A sum of k losses uniform on (-e, e) has the Irwin-Hall density, a sum of truncated powers; the integral of
    (1 - e^(epsilon - s)) e^(s/2) against each of them is done piece by piece.
    """
    with mp.workdps(80):
        e, epsilon = 1 / mp.mpf(scale), mp.mpf(epsilon)
        total = mp.mpf(0)
        for i in range(count + 1):
            for j in range(count + 1 - i):
                k = count - i - j
                weight = mp.factorial(count) / (mp.factorial(i) * mp.factorial(j) * mp.factorial(k))
                weight *= mp.mpf(2) ** -i * (mp.exp(-e) / 2) ** j * mp.mpf(4) ** -k
                total += weight * _tilted_irwin_hall(k, e, epsilon - (i - j) * e)
        return total


def _tilted_irwin_hall(k: int, e: mp.mpf, y: mp.mpf) -> mp.mpf:
    """Integrate (1 - e^(y - s))_+ e^((s - k e)/2) over s, against the k-fold convolution of 1 on (-e, e)."""
    if k == 0:
        return max(1 - mp.exp(y), mp.mpf(0))
    top = k * e
    if y >= top:
        return mp.mpf(0)

    def density(s: mp.mpf) -> mp.mpf:
        terms = (
            (-1) ** m * mp.binomial(k, m) * (s + top - 2 * m * e) ** (k - 1)
            for m in range(k + 1)
            if s + top - 2 * m * e > 0
        )
        return mp.fsum(terms) / mp.factorial(k - 1)

    knots = sorted({max(y, -top), top, *(x for m in range(k + 1) if y < (x := (2 * m - k) * e) < top)})
    return mp.quad(lambda s: (1 - mp.exp(y - s)) * mp.exp((s - top) / 2) * density(s), knots)


def discrete_gaussian_pmf(sigma: Fraction | float, low: int, high: int) -> list[float]:
    """P[k] for low <= k <= high of the discrete Gaussian."""
    variance = Fraction(sigma) ** 2
    return _normalised(
        lambda k: mp.exp(-_mpf(Fraction(k * k) / (2 * variance))), float(sigma) * 45, low, high
    )


def discrete_laplace_pmf(scale: Fraction | float, low: int, high: int) -> list[float]:
    """P[k] for low <= k <= high of the discrete Laplace distribution."""
    rate = 1 / Fraction(scale)
    return _normalised(lambda k: mp.exp(-_mpf(abs(k) * rate)), float(scale) * 90, low, high)


def _normalised(weight: Callable[[int], mp.mpf], reach: float, low: int, high: int) -> list[float]:
    edge = int(reach) + 3
    total = mp.fsum(weight(k) for k in range(-edge, edge + 1))
    return [float(weight(k) / total) for k in range(low, high + 1)]


def _mpf(value: Fraction) -> mp.mpf:
    return mp.mpf(value.numerator) / mp.mpf(value.denominator)
