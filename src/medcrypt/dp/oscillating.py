"""Tables that serve a whole line: M(c + i t) for every t >= 0, however large.

A sampled Gaussian is integrated along Im x = +-theta sigma^2 instead of the real axis, on the side where
abs r^(i t) = exp(-t arg r) falls. Its losses l_j then are complex with Im l_j >= 0, its weights complex as well, and

    M(z)/M(c) - 1 = sum over j of nu_j (e^(i t l_j) - 1)        up to `Wave.error`

with one bound of the quadrature for all t: on the real axis the integrand oscillates the faster the larger t is, here
it only falls. Losses on points are what they are, and the Laplace density has a formula.

Nodes are taken in rectangles: with n = n0 + m a + b, w = e^(i t l) - 1 of the sum follows from those of both parts, w_a
+ w_b + w_a w_b, and the sums over j are products of matrices.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext import dp as kernels
from medcrypt.dp.legendre import legendre
from medcrypt.dp.losses import LaplaceLoss, SampledGaussianLoss
from medcrypt.dp.tables import OutOfReachError, Tabulated, U, mass_beyond, table

__all__ = ["Wave", "wave"]

_Reals = NDArray[np.float64]
_Complexes = NDArray[np.complex128]

_CHUNK = 128  # losses of one product of matrices
_ROOM = 1 << 12  # panels
_KEPT = 1 << 20  # numbers e^(i t l) - 1 that are kept from block to block: 16 MiB
_GONE = 60.0  # e^-60 = 9e-27 of a weight is left out
_POINTS, _SHARES = legendre(kernels.POINTS)


@dataclass(frozen=True)
class Wave:
    """One mechanism on the line Re z = c.

    ``losses`` and ``weights`` are complex, the former sorted by their imaginary parts if those are not all zero.
    ``density`` is (c, e, log M(c)) where the density of a Laplace mechanism is to be added by formula. The errors
    are as in `tables.Table`, with moduli of the weights: ``mass`` is their sum.
    """

    losses: _Complexes
    weights: _Complexes
    mass: float
    mean_modulus: float
    quadrature: float
    weight_error: float
    weighted_error: float
    loss_error: float
    density: tuple[float, float, float] | None = None
    _kept: dict[tuple[int, int, float], tuple[_Reals, _Reals]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def error(self, t: _Reals) -> _Reals:
        """Return a bound on the error of `nodes` at every t, against M(c + i t)/M(c) - 1."""
        turned = t * self.mean_modulus
        modulus = np.minimum(turned, 2.0 * self.mass)
        weights = np.minimum(t * self.weighted_error, 2.0 * self.weight_error)
        products = (500.0 + 16.0 * _CHUNK + self.losses.size / 24.0) * modulus
        rounding = weights + t * self.loss_error + 16.0 * turned + products
        if self.density is not None:
            c, e, _ = self.density
            rounding = rounding + 64.0 + 16.0 * (t + c + 1.0) * e
        return np.asarray(3.0 * self.quadrature + 1.01 * U * rounding + 1e-26 * self.mass)

    def nodes(self, step: float, first: int, rows: int, columns: int) -> _Complexes:
        """Return D = M/M(c) - 1 on rows times columns nodes from t = first step on."""
        start = step * first
        heard = self.losses.size
        if start > 0.0 and self.losses.imag[-1] > 0.0:
            heard = int(np.searchsorted(self.losses.imag, _GONE / start))
        down = start + step * columns * np.arange(float(rows))
        across = step * np.arange(float(columns))
        real, imaginary = np.zeros((2, rows, columns))
        for left in range(0, heard, _CHUNK):
            part = slice(left, min(left + _CHUNK, heard))
            (w_real, w_imaginary), (v_real, v_imaginary) = self._down(down, part), self._across(across, part)
            kernels.products(w_real, w_imaginary, v_real, v_imaginary, real, imaginary)
            weights = self.weights[part]
            real += (weights.real @ v_real - weights.imag @ v_imaginary)[None, :]
            imaginary += (weights.real @ v_imaginary + weights.imag @ v_real)[None, :]
            real += w_real.sum(axis=1)[:, None]
            imaginary += w_imaginary.sum(axis=1)[:, None]
        found: _Complexes = real + 1j * imaginary - self.weights[heard:].sum()
        if self.density is not None:
            found += self._dense(start + step * np.arange(float(rows * columns))).reshape(rows, columns)
        return found.ravel()

    def _down(self, t: _Reals, part: slice) -> tuple[_Reals, _Reals]:
        """Return weights times e^(i t l) - 1 for the first nodes of the rows: a row for each t."""
        real, imaginary = _turned(t[:, None], self.losses[None, part])
        weights = self.weights[part]
        if not weights.imag.any():
            return real * weights.real, imaginary * weights.real
        return (
            real * weights.real - imaginary * weights.imag,
            real * weights.imag + imaginary * weights.real,
        )

    def _across(self, t: _Reals, part: slice) -> tuple[_Reals, _Reals]:
        """Return e^(i t l) - 1 for the nodes of a row, which all blocks of a line share: a row for each l."""
        key = part.start, t.size, float(t[-1])
        if key in self._kept:
            real, imaginary = self._kept[key]
        else:
            real, imaginary = _turned(t[None, :], self.losses[part.start : part.start + _CHUNK, None])
            if len(self._kept) * _CHUNK * t.size < _KEPT:
                self._kept[key] = real, imaginary
        return real[: part.stop - part.start], imaginary[: part.stop - part.start]

    def _dense(self, t: _Reals) -> _Complexes:
        """Return the density's part of D: (C(z) - C(c))/M(c), C(z) = (e^(z e) - e^(-(1 + z) e))/(2 (1 + 2 z))."""
        if self.density is None:
            return np.zeros(t.size, dtype=np.complex128)
        c, e, log_moment = self.density
        z = c + 1j * np.append(0.0, t)
        part = 0.5 * (np.exp(z * e - log_moment) - np.exp(-(1.0 + z) * e - log_moment)) / (1.0 + 2.0 * z)
        return np.asarray(part[1:] - part[0])


def wave(
    loss: Tabulated, c: float, log_moment: float, moment_error: float, reach: float, share: float
) -> Wave:
    """Tabulate a mechanism for a whole line.

    Parameters
    ----------
    loss
        The mechanism.
    c, log_moment, moment_error
        The line, log M(c) and a bound on its error.
    reach
        Standard deviations beyond which outputs of a sampled Gaussian are left out.
    share
        Error of M(z)/M(c) that the quadrature should stay below, roughly.
    """
    match loss:
        case SampledGaussianLoss():
            return _shifted(loss, c, log_moment, moment_error, reach, share)
        case LaplaceLoss(e):
            ends, falls = np.array([e, -e]), np.array([c * e, -(1.0 + c) * e])
            masses = 0.5 * np.exp(falls - log_moment)
            eta = 8.0 + 4.0 * (np.abs(falls) + abs(log_moment)) + moment_error / U
            lam, wrong = np.full(2, 8.0 * e), 2.0 * moment_error  # the density is divided by M(c), too
            return _wave(_complex(ends), _complex(masses), wrong, eta, lam, (c, e, log_moment))
        case _:
            found = table(loss, c, 0.0, 1.0, log_moment, reach)
            mass = 1.0 + 1e-9
            return Wave(
                _complex(found.losses),
                _complex(found.weights),
                mass,
                found.mean_modulus * mass,
                found.quadrature,
                found.weight_error,
                found.weighted_error,
                found.loss_error,
            )


def _complex(x: _Reals) -> _Complexes:
    return x.astype(np.complex128)


def _wave(
    losses: _Complexes,
    weights: _Complexes,
    quadrature: float,
    eta: _Reals,
    lam: _Reals,
    density: tuple[float, float, float] | None = None,
) -> Wave:
    """Return a wave; ``eta`` and ``lam`` are relative errors of weights and absolute ones of losses over 2^-53."""
    moduli, sizes = np.abs(weights) * (1.0 + 1e-9), np.abs(losses) * (1.0 + 1e-9)
    return Wave(
        losses,
        weights,
        float(moduli.sum()),
        float(moduli @ sizes),
        quadrature,
        float(moduli @ eta),
        float(moduli @ (eta * sizes)),
        float(moduli @ lam),
        density,
    )


def _turned(t: _Reals, losses: _Complexes) -> tuple[_Reals, _Reals]:
    """Return e^(i t l) - 1 for every t and l, relatively precise for small ones, in two parts."""
    angle = (0.5 * t) * losses.real
    sine = np.sin(angle)
    if not losses.imag.any():
        return -2.0 * sine * sine, 2.0 * sine * np.cos(angle)
    lost = np.expm1(-t * losses.imag)
    sine_left = (1.0 + lost) * sine
    return lost - 2.0 * sine_left * sine, 2.0 * sine_left * np.cos(angle)


def _shifted(
    loss: SampledGaussianLoss, c: float, log_moment: float, moment_error: float, reach: float, share: float
) -> Wave:
    """Tabulate a sampled Gaussian on Im x = +-theta sigma^2."""
    sigma, q, removing = loss.sigma, loss.q, loss.removing
    variance, power = sigma * sigma, 1.0 + c if removing else -c
    # The modulus of the Gaussian grows by e^((theta sigma)^2/2): no more than e^1.2 on the line.
    theta = min(0.25 * math.pi, 1.5 / sigma)
    low, high = -reach * sigma, 1.0 + reach * sigma
    ends, room = np.empty(_ROOM), math.log(share) + log_moment - 6.0
    count, log_quadrature = kernels.panels(sigma, q, removing, c, low, high, 0.0, room, ends, theta)
    if count == 0:
        raise OutOfReachError
    left, right = ends[:count, None], ends[1 : count + 1, None]
    x = (0.5 * (left + right) + 0.5 * (right - left) * _POINTS).ravel()
    factor = (0.5 * (right - left) * _SHARES).ravel() / (sigma * math.sqrt(2.0 * math.pi))
    displaced = np.repeat(4.0 * np.maximum(np.abs(left), np.abs(right)).ravel() / variance, kernels.POINTS)
    log_r, p, lam = _log_ratio(sigma, q, theta, x)
    lam = lam + displaced * p
    tilted = power * (log_r if removing else np.conj(log_r))
    bell = -0.5 * x * x / variance + 0.5 * theta * theta * variance
    exponent = np.empty(x.size, dtype=np.complex128)
    exponent.real = tilted.real + bell - log_moment
    exponent.imag = tilted.imag - x * (theta if removing else -theta)
    weights: _Complexes = np.asarray(factor * np.exp(exponent), dtype=np.complex128)
    eta = (
        abs(power) * lam
        + 4.0 * (np.abs(tilted) + np.abs(x * theta) + np.abs(exponent) + abs(log_moment))
        + 4.0 * (0.5 * x * x / variance + theta * theta * variance)
        + displaced * (np.abs(x) + theta * variance)
        + 60.0
        + moment_error / U
    )
    edges = sum(_edge(sigma, q, theta, power, x) for x in (low, high)) * math.exp(min(-log_moment, 700.0))
    quadrature = math.exp(min(log_quadrature - log_moment, 700.0)) * (1.0 + 1e-9) + edges
    quadrature += mass_beyond(reach) * math.exp(min(-log_moment, 700.0))
    losses = log_r if removing else -np.conj(log_r)
    if not (np.all(np.isfinite(weights)) and quadrature < 0.5):
        raise OutOfReachError
    return _wave(losses, weights, quadrature, eta, lam)


def _log_ratio(sigma: float, q: float, theta: float, x: _Reals) -> tuple[_Complexes, _Reals, _Reals]:
    """Return log r(x + i theta sigma^2), a bound on abs p there, and one on the former's error over 2^-53."""
    y = (2.0 * x - 1.0) / (2.0 * sigma * sigma)
    log_q = math.log(q)
    log_r = np.empty(x.size, dtype=np.complex128)
    p, lam = np.empty(x.size), np.empty(x.size)
    large = y + log_q > 30.0
    rest = (1.0 - q) / q * np.exp(-y[large])
    log_r.real[large] = y[large] + log_q + rest * math.cos(theta)
    log_r.imag[large] = theta - rest * math.sin(theta)
    p[large] = 1.01
    # rest < 1e-13: its square is below 2^-53 of anything here.
    lam[large] = 8.0 * np.abs(y[large]) + 12.0 * (abs(log_q) + 1.0) + 4.0 * np.abs(log_r[large])
    y = y[~large]
    share = q * np.exp(y)
    a = q * (np.expm1(y) * math.cos(theta) - 2.0 * math.sin(0.5 * theta) ** 2)
    b = share * math.sin(theta)
    square = 2.0 * a + (a * a + b * b)
    modulus = np.sqrt(np.maximum(1.0 + square, 1e-300))
    near = square > -0.75
    inner = 0.5 * np.where(near, np.log1p(np.maximum(square, -0.8)), 2.0 * np.log(np.hypot(1.0 + a, b)))
    log_r.real[~large] = inner
    log_r.imag[~large] = np.arctan2(b, 1.0 + a)
    p[~large] = 1.01 * share / modulus
    lam[~large] = (share * (8.0 * np.abs(y) + 40.0) + 40.0 * q) / modulus + 16.0 * np.abs(log_r[~large])
    lam[~large] += np.where(near, 8.0 * (np.abs(a) + b) * (1.0 + np.abs(a) + b) / modulus**2, 16.0)
    return log_r, p, lam


def _edge(sigma: float, q: float, theta: float, power: float, x: float) -> float:
    """Return a bound on the integral of abs(phi r^s) from x up to x + i theta sigma^2, for every Im s that falls."""
    y = (2.0 * x - 1.0) / (2.0 * sigma * sigma)
    log_r = y + math.log(q) if y > 600.0 else math.log1p(q * math.expm1(y))
    p = q * math.exp(y - log_r) if y < 600.0 else 1.0
    # abs r is at most r(x), and on the segment it falls to r(x) sqrt(1 - 4 p (1 - p) sin^2(theta/2)).
    least = (
        0.5
        * min(power, 0.0)
        * math.log1p(-4.0 * min(p, 1.0) * max(1.0 - p, 0.0) * math.sin(0.5 * theta) ** 2)
    )
    log_bound = power * log_r + least - 0.5 * (x / sigma) ** 2 + 0.5 * (theta * sigma) ** 2
    return theta * sigma * math.exp(min(log_bound + 1e-9 * (1.0 + abs(power * log_r)), 700.0))
