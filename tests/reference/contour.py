"""The contour integral and its kernels in 50 digits and without cleverness: the oracle of the certificate.

Shared with the library is the formula only. The sampled Gaussian is integrated by the trapezoid rule on the
whole real line (the library uses panels of Gauss points on a cut one), the line stands elsewhere, and sums are
plain. The sums' own error, by aliases and cuts, is below 1e-20 relative.
"""

import math
from collections.abc import Sequence

import mpmath as mp
import numpy as np

__all__ = ["Privacy", "moment", "turn", "walk"]

DIGITS = 50


def turn(x: float) -> tuple[mp.mpf, mp.mpf]:
    """Cos x - 1 and sin x."""
    with mp.workdps(DIGITS):
        x = mp.mpf(x)
        return -2 * mp.sin(x / 2) ** 2, mp.sin(x)


def walk(losses: Sequence[float], weights: Sequence[float], step: float, n: int) -> mp.mpc:
    """Sum of weights (e^(i n step l) - 1)."""
    with mp.workdps(DIGITS):
        total = mp.mpc(0)
        for loss, weight in zip(losses, weights, strict=True):
            versine, sine = turn(mp.mpf(n) * mp.mpf(step) * mp.mpf(loss))
            total += mp.mpf(weight) * mp.mpc(versine, sine)
        return total


def moment(sigma: float, q: float, *, removing: bool, z: complex, low: float, high: float) -> mp.mpc:
    """Integral of phi(x) r(x)^s between two limits, s = 1 + z or -z."""
    with mp.workdps(DIGITS):
        s, q_, z_ = mp.mpf(sigma), mp.mpf(q), mp.mpc(z)
        power = 1 + z_ if removing else -z_

        def integrand(x: mp.mpf) -> mp.mpc:
            r = 1 - q_ + q_ * mp.exp((2 * x - 1) / (2 * s * s))
            return mp.npdf(x, 0, s) * r**power

        width = min(s, 2 * s * s, 4 * s * s / (1 + abs(z_.imag)))
        pieces = int(mp.ceil((high - low) / width))
        ends = [mp.mpf(low) + (mp.mpf(high) - mp.mpf(low)) * k / pieces for k in range(pieces + 1)]
        return mp.quad(integrand, ends, method="gauss-legendre", maxdegree=5)


class Privacy:
    """Delta of T sampled Gaussians in one direction, at any epsilon near one for which the line is placed."""

    def __init__(
        self, sigma: float, q: float, steps: int, *, removing: bool, epsilon: float, most: int = 400
    ):
        self._sigma, self._q, self._steps, self._removing = sigma, q, steps, removing
        self._tabulate()
        c = self._place(epsilon)
        period = self._period(c, epsilon)
        with mp.workdps(DIGITS):
            self._c, self._step = mp.mpf(c), 2 * mp.pi / mp.mpf(period)
            self._values: list[mp.mpc] = []
            lifted = [w * mp.exp(self._c * loss) for w, loss in zip(self._weights, self._losses, strict=True)]
            turns = [mp.expj(self._step * loss) for loss in self._losses]
            first = None
            while True:
                value = mp.fsum(lifted) ** steps
                first = first or abs(value)
                self._values.append(value)
                n = len(self._values)
                if n > 8 and abs(value) < first * mp.mpf(10) ** -24:
                    break
                if n > most:
                    raise ArithmeticError("the line is too long for this oracle")
                lifted = [a * b for a, b in zip(lifted, turns, strict=True)]

    def delta(self, epsilon: float) -> mp.mpf:
        """Delta at epsilon."""
        with mp.workdps(DIGITS):
            eps, total = mp.mpf(epsilon), mp.mpf(0)
            for n, value in enumerate(self._values):
                z = mp.mpc(self._c, n * self._step)
                term = (value * mp.exp(-z * eps) / (z * (z + 1))).real
                total += term if n else term / 2
            return total * self._step / mp.pi

    def _tabulate(self) -> None:
        """Losses and their masses under P, by the trapezoid rule."""
        with mp.workdps(DIGITS):
            s, q = mp.mpf(self._sigma), mp.mpf(self._q)
            step = min(s, s * s) / 7
            points = [step * k for k in range(int(-17 * s / step), int((17 * s + 1) / step) + 1)]
            ratios = [1 - q + q * mp.exp((2 * x - 1) / (2 * s * s)) for x in points]
            weights = [step * mp.npdf(x, 0, s) for x in points]
            if self._removing:
                weights = [w * r for w, r in zip(weights, ratios, strict=True)]
            sign = 1 if self._removing else -1
            self._losses = [sign * mp.log(r) for r in ratios]
            self._weights = weights
        self._plain = np.array([float(x) for x in self._losses]), np.array([float(w) for w in self._weights])

    def _cumulant(self, c: float) -> float:
        """K(c) in doubles, for placing the line."""
        losses, weights = self._plain
        with np.errstate(over="ignore"):
            return self._steps * math.log1p(float(weights @ np.expm1(c * losses)))

    def _height(self, c: float, epsilon: float) -> float:
        return self._cumulant(c) - c * epsilon - math.log(c * (1 + c))

    def _place(self, epsilon: float) -> float:
        """0.8 of where the integrand is least on the axis."""
        return 0.8 * min(np.geomspace(1e-2, 1e4, 160), key=lambda c: self._height(float(c), epsilon))

    def _period(self, c: float, epsilon: float) -> float:
        """A period whose aliases are below e^-56 of the integrand's height, itself about delta."""
        digits = 62.0
        below = (digits - min(self._height(c, epsilon), 0.0)) / c
        above = min(
            (self._cumulant(r * c) - r * c * epsilon + digits - self._height(c, epsilon)) / (r * c - c)
            for r in (1.05, 1.1, 1.2, 1.4, 1.7, 2.0, 3.0)
        )
        return max(below, above)
