"""The exact privacy curve of a composition, by a contour integral (Alghamdi et al. 2022, 2023).

With K(z) the sum of the cumulants of all composed mechanisms, in one direction (a record removed, or added),

    delta(eps) = 1/(2 pi i) * integral over Re z = c > 0 of exp(K(z) - z eps) / (z (z + 1)) dz.

The line passes near the saddle point, where the integrand falls off fastest, and the trapezoid rule of step h
on it has a known error: it equals the sum over k of delta(eps + k P) e^(k P c) with P = 2 pi/h, all terms
positive. The terms k < 0 are at most e^(-|k| P c), the terms k > 0 are bounded by Chernoff's inequality at
another c, and P is chosen so that both stay below 1e-15 of delta.

Where exp(K) does not fall off (atoms in the loss, or nearly so) the contour is the wrong tool:

* compositions of Gaussians only, and a single sampled Gaussian, have closed forms;
* for equal Laplace mechanisms the atoms and the terms with one continuous factor are summed exactly, and only
  the rest, which falls off like t^-4, is integrated;
* otherwise the integral is cut where its cost reaches a limit, and a bound on what is left out widens the
  result. No result is ever above the bound of Chernoff, which is the optimal conversion from Rényi
  divergences.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.cumulants import Cumulant, GaussianCumulant, LaplaceCumulant, SampledGaussianCumulant
from medcrypt.dp.normal import gaussian_log_delta

__all__ = ["Loss"]

_Reals = NDArray[np.float64]
_Complexes = NDArray[np.complex128]

_ALIAS_DIGITS = 36.0  # aliases stay below exp(-36) = 2e-16 of delta
_DECAYED = 1e-15  # stop where the rest of the line is below this share of the sum
_WORK = 4_000_000  # limit on (nodes of the line) x (nodes of the quadrature): tenths of a second
_NODES = 1 << 18  # limit on nodes of the line
_LEAST_LOG_DELTA = -750.0  # below the least positive double
_ROUNDING = 1e-12  # allowance for rounding where cancellation along the line is mild


@dataclass(frozen=True)
class Loss:
    """The privacy loss of a whole composition in one direction.

    Parameters
    ----------
    terms
        Pairs (cumulant, count) of distinct mechanisms; a Gaussian term already sums over its compositions.

    Examples
    --------
    >>> loss = Loss(((GaussianCumulant(1.0), 1),))
    >>> round(loss.log_delta_bounds(1.0)[1], 6)
    -2.064066
    """

    terms: tuple[tuple[Cumulant, int], ...]

    def log_delta_bounds(self, epsilon: float) -> tuple[float, float]:
        """Return lower and upper estimates of log delta(epsilon), for epsilon >= 0.

        They are not a proof yet: two different contours are compared and their difference is widened.
        """
        if epsilon >= self.pure_epsilon():
            return -math.inf, -math.inf
        return self._at_epsilon(epsilon)._log_delta_bounds(epsilon)

    def _log_delta_bounds(self, epsilon: float) -> tuple[float, float]:
        """Do what `log_delta_bounds` says, with a reach already chosen."""
        closed = self._closed_form()
        if closed is not None:
            value = closed(epsilon)
            return value - 1e-12, min(value + 1e-12, 0.0)
        ceiling = min(self._chernoff_log_delta(epsilon), 0.0)
        c = _increasing_root(
            lambda c: c * (self.real(c)[1] - epsilon) - 1.0 - c / (1.0 + c), self._largest_tilt()
        )
        value, _, error = self._compared(epsilon, c)
        if not error < 0.5:
            return -math.inf, min(ceiling, value + math.log1p(error) if math.isfinite(value) else ceiling)
        return value + math.log1p(-error), min(ceiling, value + math.log1p(error))

    def epsilon_bounds(self, log_delta: float) -> tuple[float, float]:
        """Return lower and upper estimates of the least epsilon >= 0 whose log delta is ``log_delta``."""
        return self._at_delta(log_delta)._epsilon_bounds(log_delta)

    def _epsilon_bounds(self, log_delta: float) -> tuple[float, float]:
        """Do what `epsilon_bounds` says, with a reach already chosen."""
        closed = self._closed_form()
        if closed is not None:
            if closed(0.0) <= log_delta:
                return 0.0, 0.0
            ceiling = self._chernoff_epsilon(log_delta)
            root = _root_of_decreasing(lambda e: closed(e) - log_delta, 0.0, ceiling)
            return root * (1.0 - 1e-12), root * (1.0 + 1e-12)
        c = _increasing_root(lambda c: log_delta - self._saddle_point(c)[1], self._largest_tilt())
        start = self._saddle_point(c)[0]
        # Epsilon is zero only where the whole curve, on its own scale 1/c, begins near the target.
        if c * start < 3.0 and self._log_delta_bounds(0.0)[1] <= log_delta:
            return 0.0, 0.0
        pure = self.pure_epsilon()
        start = min(max(start, 0.0), pure)
        line = _Line.place(self, start, c)
        value = _root_with_slope(line.log_delta, log_delta, start, pure)
        found, slope, error = self._compared(value, c)
        if not error < 0.5 or not slope < 0.0:
            return self._least_epsilon(log_delta), min(self._chernoff_epsilon(log_delta), pure)
        width = 1.5 * (abs(found - log_delta) - math.log1p(-error)) / -slope + 4e-16 * value
        high = value + width
        if width > 1e-3 * value:
            high = min(high, self._chernoff_epsilon(log_delta))
        return max(value - width, self._least_epsilon(log_delta)), min(high, pure)

    def pure_epsilon(self) -> float:
        """Return the epsilon of delta = 0: the largest loss, infinite where there is none.

        Laplace losses end at 1/scale; adding a record to a sampled Gaussian ends at -log(1 - q).
        """
        largest = 0.0
        for cumulant, count in self.terms:
            if isinstance(cumulant, LaplaceCumulant):
                largest += count * cumulant.e
            elif isinstance(cumulant, SampledGaussianCumulant) and not cumulant.removing:
                largest -= count * math.log1p(-cumulant.q)
            else:
                return math.inf
        return largest

    def _least_epsilon(self, log_delta: float) -> float:
        """Return a lower bound from the atom of the largest loss: n Laplace mechanisms reach it with 2^-n."""
        if not all(isinstance(cumulant, LaplaceCumulant) for cumulant, _ in self.terms):
            return 0.0
        log_ratio = log_delta + sum(count for _, count in self.terms) * math.log(2.0)
        if log_ratio >= 0.0:
            return 0.0
        return max(self.pure_epsilon() + math.log1p(-math.exp(log_ratio)), 0.0) * (1.0 - 1e-15)

    def chernoff_epsilon(self, log_delta: float) -> float:
        """Return the least epsilon of Chernoff's bound at ``log_delta``: valid, a few percent to large.

        It is the optimal conversion from Rényi divergences of real order 1 + c (Canonne, Kamath and Steinke
        2020, Proposition 12), minimised over c: any c gives a valid bound, so the search may stop early.
        """
        return self._at_delta(log_delta)._chernoff_epsilon(log_delta)

    def _chernoff_epsilon(self, log_delta: float) -> float:
        """Do what `chernoff_epsilon` says, with a reach already chosen."""

        def stationary(c: float) -> float:
            value, slope = self.real(c)
            return c * slope - value + math.log1p(c) + log_delta

        c = _increasing_root(stationary, self._largest_tilt())
        value = self.real(c)[0]
        return max((value + _log_factor(c) - log_delta) / c, 0.0)

    def chernoff_log_delta(self, epsilon: float) -> float:
        """Return Chernoff's bound on log delta(epsilon)."""
        return self._at_epsilon(epsilon)._chernoff_log_delta(epsilon)

    def _chernoff_log_delta(self, epsilon: float) -> float:
        """Do what `chernoff_log_delta` says, with a reach already chosen."""
        c = _increasing_root(
            lambda c: c * (self.real(c)[1] - math.log1p(1.0 / c) - epsilon), self._largest_tilt()
        )
        return self.real(c)[0] + _log_factor(c) - c * epsilon

    def _at_delta(self, log_delta: float) -> "Loss":
        """Return the same loss without outputs whose probability is below exp(-40) delta, all steps together.

        Under either distribution x - 1 or x is normal: P[|x| > 1 + u sigma] <= exp(-u^2/2).
        """
        terms: list[tuple[Cumulant, int]] = []
        for cumulant, count in self.terms:
            if isinstance(cumulant, SampledGaussianCumulant):
                u = math.sqrt(2.0 * (math.log(count * len(self.terms)) - log_delta + 40.0))
                terms.append((replace(cumulant, reach=1.0 + u * cumulant.sigma), count))
            else:
                terms.append((cumulant, count))
        return Loss(tuple(terms))

    def _at_epsilon(self, epsilon: float) -> "Loss":
        """Return the same for the delta that belongs to ``epsilon``, as far as Chernoff's bound tells."""
        if not any(isinstance(cumulant, SampledGaussianCumulant) for cumulant, _ in self.terms):
            return self
        widest = self._at_delta(_LEAST_LOG_DELTA)
        ceiling = widest._chernoff_log_delta(epsilon)
        return self._at_delta(min(max(1.5 * ceiling - 5.0, _LEAST_LOG_DELTA), 0.0))

    def along(self, c: float, t: _Reals) -> _Complexes:
        """Return the total K(c + i t)."""
        total = np.zeros(t.shape, dtype=np.complex128)
        for cumulant, count in self.terms:
            value = cumulant.along(c, t)
            # Apart: where a moment vanishes K is minus infinity, and complex arithmetic would make it NaN.
            total.real += count * value.real
            total.imag += count * value.imag
        return total

    def real(self, c: float) -> tuple[float, float]:
        """Return K(c) and K'(c) for real c > 0; the derivative is the imaginary part a tiny step off the axis."""
        tiny = 1e-40 * max(c, 1.0)
        value = self.along(c, np.array([tiny]))[0]
        return float(value.real), float(value.imag) / tiny

    def curvature(self, c: float, slope: float) -> float:
        """Return K''(c) to several digits, given K'(c).

        The step is small because K may have walls, where c reaches a rare, large loss.
        """
        step = 1e-6 * c
        return max((self.real(c + step)[1] - slope) / step, 1e-300)

    def _largest_tilt(self) -> float:
        """Return the largest c worth trying: a million standard deviations, from K'(0) = E L ~ Var L/2."""
        mean = self.real(1e-9)[1]
        return min(1e6 / math.sqrt(2.0 * mean), 1e15) if mean > 0.0 else 1e15

    def _saddle_point(self, c: float) -> tuple[float, float]:
        """Return the epsilon whose saddle is c, and the leading term of log delta there.

        The saddle of exp(K(z) - z eps)/(z (z + 1)) solves K'(c) - eps = 1/c + 1/(1 + c).
        """
        height, slope = self.real(c)
        curvature = self.curvature(c, slope)
        epsilon = slope - 1.0 / c - 1.0 / (1.0 + c)
        spread = curvature + 1.0 / c**2 + 1.0 / (1.0 + c) ** 2
        return epsilon, height - c * epsilon - math.log(c) - math.log1p(c) - 0.5 * math.log(
            2.0 * math.pi * spread
        )

    def work(self, c: float, t_max: float) -> int:
        """Return how many operations one node of the line costs."""
        sampled = (k for k, _ in self.terms if isinstance(k, SampledGaussianCumulant))
        return 1 + sum(cumulant.work(c, t_max) for cumulant in sampled)

    def _closed_form(self) -> Callable[[float], float] | None:
        """Return eps -> log delta where a formula exists."""
        if len(self.terms) != 1:
            return None
        cumulant, count = self.terms[0]
        if isinstance(cumulant, GaussianCumulant):
            mu = math.sqrt(cumulant.squared_mu * count)
            return lambda epsilon: gaussian_log_delta(mu, epsilon)
        if isinstance(cumulant, LaplaceCumulant) and count == 1:
            return lambda epsilon: _log_or_minus_infinity(-math.expm1(0.5 * min(epsilon - cumulant.e, 0.0)))
        if isinstance(cumulant, SampledGaussianCumulant) and count == 1:
            return lambda epsilon: _sampled_once(cumulant, epsilon)
        return None

    def _compared(self, epsilon: float, c: float) -> tuple[float, float, float]:
        """Return log delta, its slope, and a relative error from two contours that share no node.

        The first passes through ``c``, near the saddle; the second is moved by 0.6 of the saddle's width
        toward the pole at 0, since on the other side K may grow too fast.
        """
        value, slope, error = _Line.place(self, epsilon, c).log_delta(epsilon)
        moved = c - 0.6 / math.sqrt(self.curvature(c, self.real(c)[1]) + 1.0 / c**2)
        other, _, other_error = _Line.place(self, epsilon, moved).log_delta(epsilon)
        if not (math.isfinite(value) and math.isfinite(other)):
            return value, slope, math.inf
        difference = abs(math.expm1(min(other - value, 50.0)))
        return value, slope, 4.0 * difference + max(error, other_error) + _ROUNDING


def _log_or_minus_infinity(x: float) -> float:
    """Return log x for x >= 0."""
    return math.log(x) if x > 0.0 else -math.inf


def _log_factor(c: float) -> float:
    """Return log of sup over u of (1 - e^-u) e^(-c u) = c^c / (1 + c)^(1 + c)."""
    return -c * math.log1p(1.0 / c) - math.log1p(c)


def _sampled_once(cumulant: SampledGaussianCumulant, epsilon: float) -> float:
    """Return log delta(epsilon) of one sampled Gaussian: a hockey-stick of the Gaussian at another epsilon.

    Removing: (1-q) Q + q P1 - e^eps Q = q (P1 - e^eps' Q) with e^eps' = (e^eps - 1 + q)/q.
    Adding:   Q - e^eps ((1-q) Q + q P1) = s (Q - e^eps' P1) with s = 1 - e^eps (1-q), e^eps' = e^eps q/s.
    """
    q, mu = cumulant.q, 1.0 / cumulant.sigma
    if cumulant.removing:
        # e^eps' = 1 + (e^eps - 1)/q, written so that neither a tiny nor a huge eps loses digits.
        if epsilon > 30.0:
            shifted = epsilon - math.log(q) + math.log1p(-(1.0 - q) * math.exp(-epsilon))
        else:
            shifted = math.log1p(math.expm1(epsilon) / q)
        return math.log(q) + gaussian_log_delta(mu, shifted)
    scale = q - math.expm1(min(epsilon, 700.0)) * (1.0 - q)
    if scale <= 0.0:
        return -math.inf
    return math.log(scale) + gaussian_log_delta(mu, epsilon + math.log(q) - math.log(scale))


@dataclass(frozen=True)
class _Line:
    """The trapezoid rule on one line Re z = c: nodes z, and exp(K(z) - K(c)) there.

    Changing epsilon only changes the factor exp(-z eps), so Newton's method runs on one line.
    """

    c: float
    log_height: float  # K(c)
    step: float
    z: _Complexes
    values: _Complexes
    remainder: float  # bound on the integral of |values / z^2| beyond the last node
    exact: Callable[[float], tuple[float, float]] | None

    @classmethod
    def place(cls, loss: Loss, epsilon: float, c: float) -> "_Line":
        """Put a line through c, with a step that suits ``epsilon``."""
        height, slope = loss.real(c)
        step = cls._step(loss, c, height, loss.curvature(c, slope), epsilon)
        atoms = _LaplaceAtoms.of(loss, c)
        values, z, remainder = cls._descend(loss, c, height, step, atoms)
        return cls(c, height, step, z, values, remainder, atoms.log_parts if atoms else None)

    @staticmethod
    def _step(loss: Loss, c: float, height: float, curvature: float, epsilon: float) -> float:
        """Return the step whose aliases, delta(eps + k P) e^(k P c) with P = 2 pi/step, do not count."""
        spread = math.sqrt(curvature + 1.0 / c**2)
        log_delta = height - c * epsilon - math.log(c) - math.log1p(c) - math.log(3.0 * spread)
        below = (_ALIAS_DIGITS - log_delta) / c
        # The curvature may vanish to rounding; further out than 16 c there is nothing to gain.
        reaches = [factor * min(1.0 / math.sqrt(curvature), c) for factor in (2.0, 4.0, 8.0, 16.0)]
        above = min(
            (loss.real(c + d)[0] - (c + d) * epsilon - log_delta + _ALIAS_DIGITS) / d for d in reaches
        )
        return 2.0 * math.pi / max(below, above)

    @staticmethod
    def _descend(
        loss: Loss, c: float, height: float, step: float, atoms: "_LaplaceAtoms | None"
    ) -> tuple[_Complexes, _Complexes, float]:
        """Walk up the line in blocks until the rest does not count or the limit of work is reached."""
        blocks_z: list[_Complexes] = []
        blocks_values: list[_Complexes] = []
        first, size, spent, total, peak = 0, 24, 0, 0.0, 0.0
        while True:
            t: _Reals = step * np.arange(float(first), float(first + size))
            z = np.asarray(c + 1j * t, dtype=np.complex128)
            with np.errstate(under="ignore", over="ignore", invalid="ignore"):
                values = np.exp(loss.along(c, t) - height)
            if atoms is not None:
                values = values - atoms.along(c, t)
            lost = not bool(np.all(np.isfinite(values)))
            if lost:
                # Rounding has eaten the moments here: an infinite remainder sends the caller to Chernoff.
                values = np.where(np.isfinite(values), values, 0.0)
            weights = values / (z * (z + 1.0))
            blocks_z.append(z)
            blocks_values.append(values)
            total += float(np.sum(np.abs(weights)))
            half = values[size // 2 :]
            peak = float(np.max(np.abs(half)))
            edge = float(t[-1])
            first, spent = first + size, spent + size * loss.work(c, edge)
            # The integral of peak/t^2 from the edge on, in units of the step like the sum.
            rest = math.inf if lost else peak / (edge * step)
            affordable = int((_WORK - spent) / loss.work(c, 2.0 * edge))
            if lost or rest < _DECAYED * total or first >= _NODES or affordable < 24:
                return np.concatenate(blocks_values), np.concatenate(blocks_z), rest
            size = max(24, min(first, 4096, affordable))

    def log_delta(self, epsilon: float) -> tuple[float, float, float]:
        """Return log delta(epsilon), its derivative in epsilon, and a relative error.

        The error sums truncation and the rounding of the terms, whose sum may be much smaller than they are.
        """
        phase = np.exp(-1j * self.z.imag * epsilon) * self.values
        weights = phase / (self.z * (self.z + 1.0))
        weights[0] *= 0.5
        slopes = phase / (self.z + 1.0)
        slopes[0] *= 0.5
        scale = self.step / math.pi
        log_scale = self.log_height - self.c * epsilon
        total = scale * float(np.sum(weights.real))
        fall = scale * float(np.sum(slopes.real))
        error = scale * (self.remainder + 4e-16 * float(np.sum(np.abs(weights))))
        if self.exact is not None:
            value, decrease = self.exact(epsilon)
            lift = math.exp(-log_scale)
            total, fall = total + value * lift, fall + decrease * lift
            error += 1e-15 * value * lift
        if not total > 0.0:
            return -math.inf, -math.inf, math.inf
        return math.log(total) + log_scale, -fall / total, error / total


@dataclass(frozen=True)
class _LaplaceAtoms:
    """T equal Laplace mechanisms: M = A + C, atoms at +-e and a density between them.

    A^T and T A^(T-1) C are summed in closed form; what is left of M^T falls off like t^-2 instead of not at
    all.
    """

    e: float
    count: int
    log_moment: float  # log M(c) of one mechanism

    @classmethod
    def of(cls, loss: Loss, c: float) -> "_LaplaceAtoms | None":
        """Return the atoms where they matter: equal Laplace mechanisms, and A(c)^T not negligible."""
        if len(loss.terms) != 1 or not isinstance(loss.terms[0][0], LaplaceCumulant):
            return None
        cumulant, count = loss.terms[0]
        if not isinstance(cumulant, LaplaceCumulant) or cumulant.e * (c + 1.0) > 300.0:
            return None
        log_moment = float(cumulant.along(c, np.zeros(1))[0].real)
        atoms, _ = cumulant.atoms_along(c, np.zeros(1))
        if count * (log_moment - math.log(float(atoms[0].real))) > 40.0:
            return None
        return cls(cumulant.e, count, log_moment)

    def along(self, c: float, t: _Reals) -> _Complexes:
        """Return (A^T + T A^(T-1) C) / M(c)^T at c + i t."""
        atoms, density = LaplaceCumulant(self.e).atoms_along(c, t)
        scale = math.exp(-self.log_moment)
        atoms, density = atoms * scale, density * scale
        lower = atoms ** (self.count - 1)
        return np.asarray(lower * atoms + self.count * lower * density)

    def log_parts(self, epsilon: float) -> tuple[float, float]:
        """Return the closed-form part of delta(epsilon) and of -delta'(epsilon)."""
        up = np.arange(self.count + 1.0)
        mass = np.exp(_log_binomial(self.count) - self.count * math.log(2.0) - self.e * (self.count - up))
        gap = np.minimum(epsilon - self.e * (2.0 * up - self.count), 0.0)
        value = float(mass @ -np.expm1(gap))
        decrease = float(mass @ np.where(gap < 0.0, np.exp(gap), 0.0))
        rest = self.count - 1
        up = np.arange(rest + 1.0)
        mass = self.count * np.exp(_log_binomial(rest) - rest * math.log(2.0) - self.e * (rest - up))
        share, slope = self._one_density(epsilon - self.e * (2.0 * up - rest))
        return value + float(mass @ share), decrease + float(mass @ slope)

    def _one_density(self, y: _Reals) -> tuple[_Reals, _Reals]:
        """Return the integral of e^((L - e)/2)/4 (1 - e^(y - L))_+ over (-e, e), and minus its derivative."""
        inside = np.exp(0.5 * (np.clip(y, -self.e, self.e) - self.e))
        below = y <= -self.e
        floor = -math.expm1(-self.e)
        low = np.exp(np.minimum(y, 0.0))
        share = np.where(below, 0.5 * floor * (1.0 - low), 0.5 * (1.0 - inside) ** 2)
        slope = np.where(below, 0.5 * floor * low, 0.5 * (1.0 - inside) * inside)
        return share, slope


def _log_binomial(n: int) -> _Reals:
    """Return log of the binomial coefficients of n."""
    factorials = np.concatenate(([0.0], np.cumsum(np.log(np.arange(1.0, n + 1.0)))))
    return np.asarray(factorials[-1] - factorials - factorials[::-1])


def _increasing_root(function: Callable[[float], float], limit: float) -> float:
    """Return c in (0, limit] near the root of an increasing function, from below; for placement, not for results.

    Good to 0.1 % in c, and to one unit of the function, which is a logarithm: K may rise like a wall at the
    root. Works on log c: a bracket by factors that grow, then false position (Illinois) with bisection in
    between.
    """
    low = high = min(1.0, limit)
    at_low = at_high = function(low)
    factor = 4.0
    while at_low > 0.0 and low > 1e-15:
        high, at_high = low, at_low
        low /= factor
        at_low = function(low)
        factor = min(factor * 2.0, 64.0)
    while at_high < 0.0 and high < limit:
        low, at_low = high, at_high
        high = min(high * factor, limit)
        at_high = function(high)
        factor = min(factor * 2.0, 64.0)
    if not at_low < 0.0 <= at_high:
        return low if at_low >= 0.0 else high
    log_low, log_high = math.log(low), math.log(high)
    weight_low, weight_high = at_low, at_high
    for attempt in range(200):
        gap = log_high - log_low
        if (gap < 1e-3 and at_high - at_low < 1.0) or gap < 1e-13:
            break
        share = weight_low / (weight_low - weight_high) if attempt % 3 and math.isfinite(at_high) else 0.5
        middle = log_low + min(max(share, 0.01), 0.99) * gap
        value = function(math.exp(middle))
        if value < 0.0:
            log_low, at_low, weight_low, weight_high = middle, value, value, 0.5 * weight_high
        else:
            log_high, at_high, weight_high, weight_low = middle, value, value, 0.5 * weight_low
    return math.exp(log_low)


def _root_of_decreasing(function: Callable[[float], float], low: float, high: float) -> float:
    """Return the root, to the last digits, of a decreasing function that is positive at ``low``."""
    at_low, at_high = function(low), function(high)
    while at_high > 0.0:
        low, at_low = high, at_high
        high *= 2.0
        at_high = function(high)
    for attempt in range(300):
        if high - low <= 2e-16 * high:
            break
        share = at_low / (at_low - at_high) if attempt % 3 and math.isfinite(at_high) else 0.5
        middle = low + min(max(share, 1e-6), 1.0 - 1e-6) * (high - low)
        if not low < middle < high:
            break
        value = function(middle)
        if value > 0.0:
            low, at_low, at_high = middle, value, 0.5 * at_high
        else:
            high, at_high, at_low = middle, value, 0.5 * at_low
    return high


def _root_with_slope(
    function: Callable[[float], tuple[float, float, float]], target: float, start: float, ceiling: float
) -> float:
    """Return eps with log delta(eps) = target by Newton's method, kept inside a shrinking bracket."""
    low, high, value = 0.0, ceiling, start
    for _ in range(60):
        found, slope, _ = function(value)
        if found > target:
            low = value
        else:
            high = value
        proposal = value - (found - target) / slope if math.isfinite(found) and slope < 0.0 else math.nan
        if not low <= proposal <= high:
            proposal = 0.5 * (low + high) if math.isfinite(high) else 2.0 * value + 1e-12
        if abs(proposal - value) <= 4e-16 * value or not math.isfinite(proposal):
            return value
        value = proposal
    return value
