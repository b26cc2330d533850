"""Equal Laplace mechanisms whose atoms matter: what does not decay along the line is summed exactly.

One mechanism has M = A + C with the atoms A(z) = (e^(z e) + e^(-(1 + z) e))/2 and the density's part C(z) =
(e^(z e) - e^(-(1 + z) e))/(2 (1 + 2 z)). Of M^T the terms A^T and T A^(T-1) C, no factor or one with a density,
have a closed form; the rest R is the transform of a positive measure of mass below one as well, so the aliases
are bounded as for M^T, and on the line abs C <= A(c)/(2 t) gives

    abs R <= T (T - 1)/2 A(c)^T (1 + 1/(2 t))^(T - 2)/(4 t^2).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.contour import Charges, alias_charges, log_bounds, log_value, place
from medcrypt.dp.losses import LaplaceLoss
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import U, table

__all__ = ["AtomicLine", "atoms_matter"]

_Reals = NDArray[np.float64]
_Complexes = NDArray[np.complex128]

_TAIL_DIGITS = 24.0
_NODES = 1 << 18
_RUNS = 20_000


def atoms_matter(loss: LaplaceLoss, count: int, c: float) -> bool:
    """Tell whether A(c)^T is not negligible against M(c)^T."""
    e = loss.e
    # Beyond, all binomial coefficients would take too long, and the least of them leave the doubles.
    if e * (c + 1.0) > 1e5 or count > _RUNS:
        return False
    log_moment = table(loss, c, 0.0, 1e-14, 0.0, 0.0).log_moment
    return count * (log_moment - _log_atoms(e, c)) < 60.0


def _log_atoms(e: float, c: float) -> float:
    """Return log A(c)."""
    return math.log(0.5) + c * e + math.log1p(math.exp(-(1.0 + 2.0 * c) * e))


class AtomicLine:
    """One line for ``count`` Laplace mechanisms; the interface is that of `contour.Line`.

    Parameters
    ----------
    loss, count
        The mechanism and how often it ran, at least twice.
    survey, saddle
        Where the saddle of the composition lies.
    """

    def __init__(self, loss: LaplaceLoss, count: int, survey: Survey, saddle: Saddle) -> None:
        self.e, self.runs = loss.e, count
        self.c, self.beyond, self.period = place(survey, saddle)
        self.step = 2.0 * math.pi / self.period
        here, there = (table(loss, c, 0.0, 1e-16 / count, 0.0, 0.0) for c in (self.c, self.beyond))
        self.height, self._height_error = count * here.log_moment, count * here.moment_error
        self._height_error += 4.0 * U * abs(self.height)
        self._height_beyond = count * (there.log_moment + there.moment_error) * (1.0 + 4.0 * U)
        log_share = count * min(_log_atoms(self.e, self.c) - here.log_moment + 1e-13, 0.0)
        relative = saddle.log_delta - (self.height - self.c * saddle.epsilon) - _TAIL_DIGITS
        nodes = 64
        while (log_tail := self._log_tail(log_share, nodes)) > relative and nodes < _NODES:
            nodes *= 2
        self._tail = math.exp(log_tail)
        t: _Reals = self.step * np.arange(float(nodes))
        self._nodes = t
        self._values, self._modulus = self._rest(t, here.log_moment)
        self._kernel = 1.0 / ((self.c + 1j * t) * (self.c + 1.0 + 1j * t))
        self._kernel[0] *= 0.5

    def _log_tail(self, log_share: float, nodes: int) -> float:
        """Return log of (h/pi) times the sum over n >= N of the bound on abs R/(M(c)^T t^2)."""
        t = self.step * (nodes - 1)
        pairs = 0.5 * self.runs * (self.runs - 1.0)
        return (
            math.log(pairs / (12.0 * math.pi))
            + log_share
            + (self.runs - 2) * math.log1p(0.5 / t)
            - 3.0 * math.log(t)
            + 1e-9
        )

    def _rest(self, t: _Reals, log_moment: float) -> tuple[_Complexes, _Reals]:
        """Return R/M(c)^T, and the moduli of its three parts added up."""
        z = self.c + 1j * t
        up, down = np.exp(z * self.e - log_moment), np.exp(-(1.0 + z) * self.e - log_moment)
        atoms, density = 0.5 * (up + down), 0.5 * (up - down) / (1.0 + 2.0 * z)
        lower = _power(atoms, self.runs - 1)
        parts = _power(atoms + density, self.runs), lower * atoms, self.runs * lower * density
        return parts[0] - parts[1] - parts[2], np.abs(parts[0]) + np.abs(parts[1]) + np.abs(parts[2])

    def log_scale(self, epsilon: float) -> float:
        """Return K(c) - c eps, what all sums are relative to."""
        return self.height - self.c * epsilon

    def charges(self, epsilon: float) -> Charges:
        """Return every term that separates the computed sum of R from its part of delta(eps)."""
        log_scale = self.log_scale(epsilon)
        error = self._height_error + U * (4.0 * self.c * epsilon + 4.0 * abs(self.height))
        below, above = alias_charges(
            self.c, self.beyond, self.period, epsilon, log_scale, error, self._height_beyond
        )
        # A power of T carries T times the error of its logarithm: of the exponential's argument, and six roundings.
        weights = self._modulus * np.abs(self._kernel)
        turned = (epsilon + self.runs * self.e) * self._nodes + self.runs * (self.e * (self.c + 1.0) + 16.0)
        rounding = 4.0 * U * float(weights @ (turned + 0.125 * self._nodes.size + 16.0))
        return Charges(below, above, self._tail, self.step / math.pi * rounding * (1.0 + 1e-9))

    def value(self, epsilon: float) -> tuple[float, float]:
        """Return log delta(eps) without bounds, and its slope."""
        value, slope, _ = self._closed(epsilon)
        return log_value(*self._sum(epsilon), self.log_scale(epsilon), value, slope)

    def bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds on log delta(eps)."""
        charges, (total, _) = self.charges(epsilon), self._sum(epsilon)
        log_scale = self.log_scale(epsilon)
        error = self._height_error + U * (8.0 * self.c * epsilon + 8.0 * abs(self.height) + 16.0)
        value, _, closed_error = self._closed(epsilon)
        apart = value - closed_error, value + closed_error
        return log_bounds((total - charges.down, total + charges.up), log_scale, error, apart)

    def _sum(self, epsilon: float) -> tuple[float, float]:
        """Return the part of R in delta and in minus its slope, divided by exp(K(c) - c eps)."""
        terms = np.exp(-1j * self._nodes * epsilon) * self._values * self._kernel
        scale = self.step / math.pi
        total = scale * float(np.sum(terms.real))
        fall = scale * float(np.sum((terms * (self.c + 1j * self._nodes)).real))
        return total, fall

    def _closed(self, epsilon: float) -> tuple[float, float, float]:
        """Return the closed part of delta(eps), of -delta'(eps), and a bound on the former's error."""
        n, e = self.runs, self.e
        up = np.arange(n + 1.0)
        mass = np.exp(_log_binomials(n) - n * math.log(2.0) - e * (n - up))
        gap = epsilon - e * (2.0 * up - n)
        below = np.minimum(gap, 0.0)
        value, slope = float(mass @ -np.expm1(below)), float(mass @ np.where(gap < 0.0, np.exp(below), 0.0))
        up = np.arange(float(n))
        one = n * np.exp(_log_binomials(n - 1) - (n - 1) * math.log(2.0) - e * (n - 1 - up))
        share, fall = self._one_density(epsilon - e * (2.0 * up - (n - 1)))
        value, slope = value + float(one @ share), slope + float(one @ fall)
        # Masses: rounding of logarithms up to T (log 2 + e). Gaps: of eps and T e, also where one is just above zero.
        near = float(mass[gap < 1e-9 * (1.0 + epsilon + n * e)].sum()) + float(one[share > 0.0].sum())
        error = 8.0 * U * (value * n * (6.0 + e) + near * (epsilon + n * e + 2.0))
        # Masses below the least normal double have lost digits, or are gone.
        return value, slope, error + 1e-307 * n

    def _one_density(self, y: _Reals) -> tuple[_Reals, _Reals]:
        """Return the integral of e^((l - e)/2)/4 (1 - e^(y - l))_+ over (-e, e), and minus its derivative."""
        inside = np.exp(0.5 * (np.clip(y, -self.e, self.e) - self.e))
        below = y <= -self.e
        floor = -math.expm1(-self.e)
        low = np.exp(np.minimum(y, 0.0))
        share = np.where(below, 0.5 * floor * (1.0 - low), 0.5 * (1.0 - inside) ** 2)
        slope = np.where(below, 0.5 * floor * low, 0.5 * (1.0 - inside) * inside)
        return share, slope


def _power(z: _Complexes, n: int) -> _Complexes:
    """Return z^n for n >= 0; a zero stays zero."""
    return np.asarray(np.abs(z) ** n * np.exp(1j * n * np.angle(z)))


@lru_cache(maxsize=8)
def _log_binomials(n: int) -> _Reals:
    """Return logs of the binomial coefficients of n, from the integers themselves."""
    logs, value = [], 1
    for k in range(n + 1):
        logs.append(math.log(value))
        value = value * (n - k) // (k + 1)
    return np.array(logs)
