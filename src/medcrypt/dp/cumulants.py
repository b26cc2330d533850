"""Cumulants of the privacy loss: K(z) = log E_P exp(z L) on vertical lines of the complex plane.

P is the distribution of the output with the record, Q without (or the other way round), L = log dP/dQ under
P.

* Gaussian with mu = 1/sigma:      K(z) = mu^2 z (z + 1) / 2.
* Laplace of scale 1/e, w = z + 1/2: M(z) = e^(-e/2) (cosh(w e) + sinh(w e)/(2 w)).
* Poisson-sampled Gaussian: with x ~ N(0, sigma^2) and r(x) = 1 - q + q exp((2 x - 1)/(2 sigma^2)),
      removing a record: M(z) = E r^(1 + z),        adding one: M(z) = E r^(-z).

Up to 1e9 compositions multiply K, so K needs *relative* precision where it is tiny: M - 1 is computed from
terms of its own size and K = log1p(M - 1). E[r - 1] = 0 exactly, so the linear term is left out instead of
cancelled.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cumulant", "GaussianCumulant", "LaplaceCumulant", "SampledGaussianCumulant"]

_Reals = NDArray[np.float64]
_Complexes = NDArray[np.complex128]

# exp(-_DIGITS) is the relative size of what a quadrature may leave out: below one unit in the last place.
_DIGITS = 40.0

# Elements of the (line x quadrature) table computed at a time, so that it stays in the cache.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class GaussianCumulant:
    """K(z) = mu^2 z (z + 1) / 2; ``squared_mu`` already sums over all compositions."""

    squared_mu: float

    def along(self, c: float, t: _Reals) -> _Complexes:
        """Return K(c + i t)."""
        z = c + 1j * t
        return 0.5 * self.squared_mu * z * (z + 1.0)


@dataclass(frozen=True)
class LaplaceCumulant:
    """The Laplace mechanism of privacy ``e`` = 1/scale."""

    e: float

    def along(self, c: float, t: _Reals) -> _Complexes:
        """Return K(c + i t)."""
        z = np.asarray(c + 1j * t, dtype=np.complex128)
        if (c + 0.5) * self.e > 20.0:
            # M is at least e^(c e)/2 here: nothing to cancel, but cosh may overflow.
            moment = (1.0 + z + z * np.exp(-(1.0 + 2.0 * z) * self.e)) / (1.0 + 2.0 * z)
            return np.asarray(z * self.e + np.log(moment))
        return _log1p(self.moment_minus_one(z))

    def moment_minus_one(self, z: _Complexes) -> _Complexes:
        """Return M(z) - 1 from the differences to z = 0, so that it is precise where e is small."""
        e = self.e
        arches = 2.0 * np.sinh(0.5 * (z + 1.0) * e) * np.sinh(0.5 * z * e)  # cosh(w e) - cosh(e/2)
        return np.asarray(math.exp(-0.5 * e) * (arches + 0.5 * e * self._sinhc_difference(z)))

    def _sinhc_difference(self, z: _Complexes) -> _Complexes:
        """Return sinh(A)/A - sinh(B)/B for A = (z + 1/2) e, B = e/2."""
        A, B = (z + 0.5) * self.e, 0.5 * self.e
        squared_A, squared_B = A * A, B * B
        # The series sum (A^2k - B^2k)/(2k + 1)!, where A^2 - B^2 = z (z + 1) e^2 factors out of every term.
        near = np.abs(A) < 1.0
        quotient = np.ones_like(A)
        power, factorial, series = 1.0, 6.0, quotient / 6.0
        with np.errstate(over="ignore", invalid="ignore"):
            for k in range(2, 12):
                power *= squared_B
                quotient = squared_A * quotient + power
                factorial *= 2 * k * (2 * k + 1)
                series = series + quotient / factorial
            direct = np.sinh(A) / A - (math.sinh(B) / B if B > 0.0 else 1.0)
            return np.where(near, z * (z + 1.0) * self.e**2 * series, direct)

    def atoms_along(self, c: float, t: _Reals) -> tuple[_Complexes, _Complexes]:
        """Return, at c + i t, the transforms of the atoms at +e and -e and of the density between."""
        z = c + 1j * t
        up, down = np.exp(z * self.e), np.exp(-(1.0 + z) * self.e)
        return 0.5 * (up + down), 0.5 * (up - down) / (1.0 + 2.0 * z)


@dataclass(frozen=True)
class SampledGaussianCumulant:
    """The Poisson-sampled Gaussian in one direction.

    E r^s is a one-dimensional integral, by the trapezoid rule on the real line. With s = a + i t the
    integrand on the line Im x = d is at most exp(d^2/(2 sigma^2) + |t| d/sigma^2) times the one on the real
    line (for a > 0, up to the singularity at d = pi sigma^2), and the rule leaves exp(-2 pi d/h) of that:
    this gives the step h.

    Outputs beyond ``reach`` are left out: where a tiny q makes E r^s explode through losses that never
    happen, the transform would be useless. Leaving out outputs of total probability p changes delta by at
    most p; `Loss` picks a reach with p far below delta.
    """

    sigma: float
    q: float
    removing: bool
    reach: float

    def along(self, c: float, t: _Reals) -> _Complexes:
        """Return K(c + i t)."""
        a = c + 1.0 if self.removing else -c
        s_imag = t if self.removing else -t
        x, h = self._nodes(a, float(np.max(np.abs(t), initial=0.0)))
        log_weight = -0.5 * (x / self.sigma) ** 2 + math.log(h / (self.sigma * math.sqrt(2.0 * math.pi)))
        excess, log_r = self._ratio(x)
        log_peak = float(np.max(log_weight + a * log_r))
        if log_peak > 30.0:
            return self._scaled(a, s_imag, log_weight, log_r, log_peak)
        tilted = self._tilt(log_weight, x, excess, log_r, h)
        return self._from_one(a, s_imag, log_weight, log_r, tilted)

    def work(self, c: float, t_max: float) -> int:
        """Return the number of quadrature nodes that ``along`` uses for |t| <= t_max."""
        starts, stops, h = self._hills(c + 1.0 if self.removing else -c, t_max)
        return int(min(float(np.sum(stops - starts)) / h, 1e18))

    def _ratio(self, x: _Reals) -> tuple[_Reals, _Reals]:
        """Return r - 1 (infinite where it overflows) and log r."""
        y = (2.0 * x - 1.0) / (2.0 * self.sigma**2)
        with np.errstate(over="ignore", divide="ignore"):
            excess = self.q * np.expm1(y)
            far = y + math.log(self.q) > 30.0
            log_r = np.where(
                far, y + math.log(self.q) + (1.0 - self.q) / self.q * np.exp(-y), np.log1p(excess)
            )
        return excess, log_r

    def _nodes(self, a: float, t_max: float) -> tuple[_Reals, float]:
        """Return the nodes that matter and the step between them."""
        starts, stops, h = self._hills(a, t_max)
        # The hills lie on one common grid k h.
        nodes = [
            np.arange(math.floor(start / h), math.ceil(stop / h) + 1.0)
            for start, stop in zip(starts, stops, strict=True)
        ]
        return h * np.concatenate(nodes), h

    def _hills(self, a: float, t_max: float) -> tuple[_Reals, _Reals, float]:
        """Return the ends of the intervals where the integrand counts, and the step to take there."""
        x, height = self._survey(a)
        keep = np.flatnonzero(height >= np.max(height) - 50.0)
        x, height = x[keep], height[keep] - np.max(height)
        ends = np.flatnonzero(np.diff(x) > 2.0 * self.sigma)
        margin = 0.5 * self.sigma
        starts = np.concatenate((x[:1], x[ends + 1])) - margin
        stops = np.concatenate((x[ends], x[-1:])) + margin
        return starts, stops, self._step(a, t_max, x, height)

    def _survey(self, a: float) -> tuple[_Reals, _Reals]:
        """Return points sigma/4 apart and the log modulus of the integrand there, cut off in a deep valley.

        Beyond ``reach`` the modulus may rise again, to a hill of outputs that never happen; the cut is made only
        where it is too low for the sharp edge to disturb the trapezoid rule.
        """
        low, end = min(a, 0.0) - 10.0 * self.sigma, max(a, 2.0) + 10.0 * self.sigma
        low, span = max(low, -self.reach), 10.0 * self.sigma
        while True:
            high = min(end, self.reach + span)
            x = np.linspace(low, high, int(4.0 * (high - low) / self.sigma) + 2)
            height = self._log_modulus(x, a)
            beyond = int(np.searchsorted(x, self.reach))
            if beyond >= x.size:
                return x, height
            valley = beyond + int(np.argmin(height[beyond:]))
            deep = height[valley] < np.max(height[: valley + 1]) - _DIGITS
            if deep:
                return x[: valley + 1], height[: valley + 1]
            # No valley in sight: the integrand ends by itself, or c is far beyond any saddle.
            if high >= end or span > 50.0 * self.sigma:
                return x, height
            span *= 2.0

    def _step(self, a: float, t_max: float, x: _Reals, height: _Reals) -> float:
        """Return a step whose aliasing stays below exp(-_DIGITS).

        ``height`` is the log of the integrand's share at x. On the line Im x = d the argument of r is below
        the d/sigma^2 of the shifted Gaussian alone, and much below it where r is nearly one: that decides for
        large t.
        """
        variance = self.sigma**2
        d = self.sigma * math.sqrt(2.0 * _DIGITS)
        if a > 0.0:
            d = min(d, math.pi * variance)
            simple = 2.0 * math.pi / (_DIGITS / d + 0.5 * d / variance + t_max / variance)
            if t_max * d < _DIGITS * variance:
                return simple
        else:
            d = min(d, 0.5 * math.pi * variance)
            simple = 0.0
        log_odds = (2.0 * x - 1.0) / (2.0 * variance) + math.log(self.q) - math.log1p(-self.q)
        odds = np.exp(np.minimum(log_odds, 50.0))
        # Short of the half turn, where rounding would flip the sign of the argument.
        best, shift = simple, 0.95 * d
        while True:
            turned = (1.0 + odds * np.exp(1j * shift / variance)) / (1.0 + odds)
            growth = height + min(a, 0.0) * np.log(np.abs(turned)) + t_max * np.angle(turned)
            rate = (_DIGITS + max(float(np.max(growth)), 0.0)) / shift + 0.5 * shift / variance
            if 2.0 * math.pi / rate <= best:
                return best
            best, shift = 2.0 * math.pi / rate, 0.5 * shift

    def _log_modulus(self, x: _Reals, a: float) -> _Reals:
        """Return log of the weight times (r^a - 1 - a (r - 1)), the part of the integrand that counts."""
        excess, log_r = self._ratio(x)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            near = np.abs(excess) * (1.0 + abs(a)) < 1e-3
            bent = np.log(np.abs(0.5 * a * (a - 1.0)) * excess**2 + 1e-290)
            far = np.logaddexp(a * log_r, np.logaddexp(0.0, math.log(abs(a) + 1e-300) + log_r))
        return np.asarray(np.where(near, bent, far) - 0.5 * (x / self.sigma) ** 2)

    def _scaled(self, a: float, t: _Reals, log_weight: _Reals, log_r: _Reals, log_peak: float) -> _Complexes:
        """Return log E r^s where it is far above one: a plain sum, divided by its largest term."""
        weight = np.exp(log_weight + a * log_r - log_peak)
        total = np.exp(1j * np.multiply.outer(t, log_r)) @ weight
        with np.errstate(divide="ignore"):
            return np.asarray(log_peak + np.log(total))

    def _tilt(self, log_weight: _Reals, x: _Reals, excess: _Reals, log_r: _Reals, h: float) -> float:
        """Return E[log r - (r - 1)]."""
        weight = np.exp(log_weight)
        # weight (r - 1) = q (density at x - 1 minus density at x): never a tiny number times a huge one.
        shifted = -0.5 * ((x - 1.0) / self.sigma) ** 2 + math.log(h / (self.sigma * math.sqrt(2.0 * math.pi)))
        near = weight * _log1p_minus(np.clip(excess, -0.5, 0.5))
        far = weight * log_r - self.q * (np.exp(shifted) - weight)
        return float(np.sum(np.where(np.abs(excess) < 0.5, near, far)))

    def _from_one(self, a: float, t: _Reals, log_weight: _Reals, log_r: _Reals, tilt: float) -> _Complexes:
        """Return log1p of E[r^s - 1 - s (r - 1)], each node from terms of its own size.

        With y = s log r = alpha + i beta:  r^s - 1 - s (r - 1) = (e^y - 1 - y) + s (log r - (r - 1)).
        """
        weight = np.exp(log_weight)
        alpha = a * log_r
        lifted = np.exp(log_weight + alpha)  # weight e^alpha
        grown = np.where(alpha > 1.0, lifted - weight, weight * np.expm1(np.minimum(alpha, 1.0)))
        bent = np.where(np.abs(alpha) < 0.5, weight * _expm1_minus(alpha), grown - weight * alpha)
        level = float(np.sum(bent)) + a * tilt
        moment = np.empty(t.size, dtype=np.complex128)
        rows = max(1, _BLOCK // log_r.size)
        for first in range(0, t.size, rows):
            some = slice(first, first + rows)
            half = 0.5 * np.multiply.outer(t[some], log_r)
            sine, cosine = np.sin(half), np.cos(half)
            turned = 2.0 * sine * cosine  # sin(beta)
            moment.real[some] = level - 2.0 * (sine * sine) @ lifted
            moment.imag[some] = turned @ grown + _sin_minus(2.0 * half, turned) @ weight + t[some] * tilt
        return _log1p(moment)


Cumulant = GaussianCumulant | LaplaceCumulant | SampledGaussianCumulant


def _series(x: _Reals, coefficients: list[float]) -> _Reals:
    """Evaluate a polynomial by Horner's rule, lowest coefficient first."""
    value = np.full_like(x, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * x + coefficient
    return value


_EXP_TAIL = [1.0 / math.factorial(k) for k in range(2, 18)]
_LOG_TAIL = [(-1.0) ** (k + 1) / k for k in range(2, 24)]
_SIN_TAIL = [(-1.0) ** k / math.factorial(2 * k + 1) for k in range(1, 9)]


def _expm1_minus(x: _Reals) -> _Reals:
    """Return e^x - 1 - x for |x| < 0.5."""
    x = np.clip(x, -0.5, 0.5)
    return x * x * _series(x, _EXP_TAIL)


def _log1p_minus(u: _Reals) -> _Reals:
    """Return log(1 + u) - u for |u| <= 0.5: the series where it is short, the difference where it is safe."""
    return np.where(np.abs(u) < 0.15, u * u * _series(np.clip(u, -0.15, 0.15), _LOG_TAIL), np.log1p(u) - u)


def _sin_minus(x: _Reals, sine: _Reals) -> _Reals:
    """Return sin(x) - x, given sin(x)."""
    near = np.abs(x) < 0.5
    if not near.any():
        return sine - x
    small = np.clip(x, -0.5, 0.5)
    squared = small * small
    return np.where(near, small * squared * _series(squared, _SIN_TAIL), sine - x)


def _log1p(v: _Complexes) -> _Complexes:
    """Return log(1 + v); numpy's own loses the real part where v is small and nearly imaginary."""
    a, b = v.real, v.imag
    with np.errstate(divide="ignore", over="ignore"):
        small = np.abs(v) < 0.5
        modulus = np.where(
            small,
            0.5 * np.log1p(np.where(small, 2.0 * a + a * a + b * b, 0.0)),
            np.log(np.hypot(1.0 + a, b)),
        )
    return np.asarray(modulus + 1j * np.arctan2(b, 1.0 + a))
