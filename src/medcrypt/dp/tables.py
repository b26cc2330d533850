"""Tables: the losses of one mechanism on the line Re z = c, with a bound for every error.

A table lists losses l_j with weights nu_j, the mechanism tilted by e^(c L) and normalised, such that

    M(z)/M(c) - 1 = sum over j of nu_j (e^((z - c) l_j) - 1)        up to `Table.error`.

Continuous losses are integrated by panels of 32 Gauss-Legendre points with a proven remainder; the Gaussian needs
no table. The terms are named as in docs/explanation/accountant-proof.md.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext import dp as kernels
from medcrypt.dp.legendre import legendre
from medcrypt.dp.losses import DiscreteLoss, LaplaceLoss, SampledGaussianLoss

__all__ = ["OutOfReachError", "Table", "Tabulated", "decay", "mass_beyond", "table"]

_Reals = NDArray[np.float64]

U = 2.0**-53
_ROOM = 1 << 13  # panels; more would take longer than any answer is worth

Tabulated = LaplaceLoss | SampledGaussianLoss | DiscreteLoss


class OutOfReachError(ArithmeticError):
    """The integral needs more work than the accountant allows; a simpler bound has to do."""


@dataclass(frozen=True)
class Table:
    """One mechanism on one line, for abs(t) <= some t_max.

    ``moment_error`` is absolute, of ``log_moment`` = log M(c); ``quadrature`` is absolute, of M(z)/M(c). The others are
    averages under the weights in units of 2^-53: of abs(l), of the relative errors of the weights, of the same times
    abs(l), and of the absolute errors of the losses.
    """

    losses: _Reals
    weights: _Reals
    log_moment: float
    moment_error: float
    quadrature: float
    mean_modulus: float
    weight_error: float
    weighted_error: float
    loss_error: float

    def error(self, t: _Reals) -> _Reals:
        """Return a bound on the error of `kernels.walk`, at every t, against M(c + i t)/M(c) - 1."""
        turned = t * self.mean_modulus
        recurrence = np.minimum(169.0 * turned, 1450.0) + 10.0 * turned
        modulus = np.minimum(turned, 2.0)
        weights = np.minimum(t * self.weighted_error, 2.0 * self.weight_error)
        summing = (90.0 + self.losses.size / 512.0 + self.weight_error) * modulus
        rounding = weights + t * self.loss_error + recurrence + summing
        return np.asarray(3.0 * self.quadrature + 1.001 * U * rounding)


def mass_beyond(deviations: float) -> float:
    """Return a bound on the probability that outputs of a sampled Gaussian lie outside a table's range.

    The range is [-u sigma, 1 + u sigma]; outputs are normal around 0 or 1, and 2 Q(u) <= exp(-u^2/2). Never zero: a
    mass below every double is still one.
    """
    return math.exp(-0.5 * deviations * deviations) + math.ulp(0.0)


def table(
    loss: Tabulated, c: float, t_max: float, quadrature: float, log_moment: float, reach: float
) -> Table:
    """Tabulate a mechanism.

    Parameters
    ----------
    loss
        The mechanism.
    c, t_max
        The line, and the largest abs(Im z) for which the table has to serve.
    quadrature
        Error of M(z)/M(c) that the quadrature should stay below, roughly.
    log_moment
        A guess of log M(c), to scale the former.
    reach
        Standard deviations beyond which outputs of a sampled Gaussian are left out.
    """
    match loss:
        case SampledGaussianLoss():
            return _sampled(loss, c, t_max, quadrature, log_moment, reach)
        case LaplaceLoss(e):
            return _laplace(e, c, t_max, quadrature)
        case DiscreteLoss():
            eta = loss.mass_error / U + 8.0
            lost = loss.infinity + loss.given_up
            return _points(loss.losses, loss.log_masses, c, eta, loss.loss_error / U, 0.0, lost, loss.missing)


def decay(
    loss: Tabulated, c: float, log_moment: float, moment_error: float, t: _Reals, reach: float
) -> _Reals:
    """Return upper bounds on log(abs M(c + i s)/M(c)) that hold for all s >= t, from log M(c) and its error."""
    bound = np.zeros_like(t)
    match loss:
        case SampledGaussianLoss(sigma, q, removing):
            # The part that falls is a share of M(c): the least share is that of the largest M(c).
            most = log_moment + moment_error
            kernels.decay(sigma, q, removing, c, -reach * sigma, 1.0 + reach * sigma, most, t, bound)
        case LaplaceLoss(e):
            # The atoms do not decay; the density's part is at most the atoms' over 2 t.
            atoms = math.log(0.5) + c * e + math.log1p(math.exp(-(1.0 + 2.0 * c) * e)) + 1e-12 * (1.0 + c * e)
            bound = np.minimum(atoms - (log_moment - moment_error) + np.log1p(0.5 / t), 0.0)
    return bound


def _sampled(
    loss: SampledGaussianLoss, c: float, t_max: float, quadrature: float, log_moment: float, reach: float
) -> Table:
    """Tabulate a sampled Gaussian, cut to outputs within reach."""
    sigma, q, removing = loss.sigma, loss.q, loss.removing
    low, high = -reach * sigma, 1.0 + reach * sigma
    target = math.log(quadrature) + log_moment - 4.0
    count, room = 0, 256
    while count == 0:
        ends = np.empty(room)
        count, log_quadrature = kernels.panels(sigma, q, removing, c, low, high, t_max, target, ends)
        room *= 8
        if count == 0 and room > _ROOM * 8:
            raise OutOfReachError
    size = count * kernels.POINTS
    losses, weights = np.empty(size), np.empty(size)
    log_m, error, *worth = kernels.table(sigma, q, removing, c, ends[: count + 1], losses, weights)
    integrated = math.exp(min(log_quadrature - log_m, 700.0)) * (1.0 + 1e-9)
    if not (math.isfinite(log_m) and math.isfinite(error) and integrated < 0.5):
        raise OutOfReachError
    cut = mass_beyond(reach) * math.exp(-log_m)
    # M - 1 is summed: phi r^a and phi are integrated, each to ``integrated``. log1p at most doubles an error below 1/2.
    return Table(losses, weights, log_m, error + 2.0 * (2.0 * integrated + cut), integrated, *worth)


def _laplace(e: float, c: float, t_max: float, quadrature: float) -> Table:
    """Tabulate a Laplace mechanism: two atoms, and the density e^((l - e)/2)/4 on panels over (-e, e)."""
    points, shares = legendre(kernels.POINTS)
    # On an ellipse of radius rho = 2.5 around a panel of half-width w: |e^(i t l)| <= e^(1.05 t w).
    panels = max(1, math.ceil(e * (t_max + c + 1.0) / 12.0))
    while True:
        half = e / panels
        rest = 64.0 / 15.0 / (1.0 - 0.16) * math.exp(1.45 * (c + 0.5) * half + 1.05 * t_max * half) * 2.5**-62
        if rest * 0.5 * e * math.exp((c + 0.5) * half) < quadrature or panels > _ROOM:
            break
        panels *= 2
    if panels > _ROOM:
        raise OutOfReachError
    middles = e * (2.0 * np.arange(panels) + 1.0 - panels) / panels
    inner = (middles[:, None] + half * points).ravel()
    log_masses = (np.log(0.25 * half * shares) + 0.5 * (inner.reshape(panels, -1) - e)).ravel()
    losses = np.concatenate(([-e, e], inner))
    log_masses = np.concatenate(([-math.log(2.0) - e, -math.log(2.0)], log_masses))
    log_m = _log_moment(log_masses, losses, c)
    # The density over a panel is at most e^((c + 1/2) half) times its value in the middle; at c = 0 it is less.
    total = 0.25 * half * float(np.sum(np.exp(0.5 * (middles - e) + c * middles - log_m)))
    quadrature = rest * total * 1.001
    # Of a mass: e times the node's and the exponent's units, and the logarithm of a share of the panel.
    eta = 12.0 * (2.0 + e) + 8.0 * float(np.max(np.abs(np.log(0.25 * half * shares))))
    return _points(losses, log_masses, c, eta, 8.0 * e, quadrature, 0.0, 0.0)


def _log_moment(log_masses: _Reals, losses: _Reals, c: float) -> float:
    """Return log of the sum of masses e^(c l), plainly."""
    exponents = log_masses + c * losses
    top = float(np.max(exponents))
    return top + math.log(float(np.sum(np.exp(exponents - top))))


def _points(
    losses: _Reals,
    log_masses: _Reals,
    c: float,
    eta: float,
    lam: float,
    quadrature: float,
    lost: float,
    missing: float,
) -> Table:
    """Tabulate points with masses that add up to one together with what is ``lost`` or missing.

    ``eta`` is the relative error of every mass and ``lam`` the absolute error of every loss, in units of 2^-53. What
    is lost, at infinity or given up, is no part of M. What is missing is none either: where M comes from M - 1 it
    counts at first as if its loss were 0, and is charged. ``quadrature`` bounds the error of M(z)/M(c),
    and of M(0)/M(c).
    """
    alpha = c * losses
    exponents = log_masses + alpha
    # Of the exponential's argument: of the logarithm, of c l, of their sum and, where M is scaled, of a difference.
    relative = eta + c * lam + 20.0 + 2.0 * np.abs(log_masses) + 4.0 * np.abs(alpha)
    plain = float(np.max(alpha)) < 300.0
    top = 0.0 if plain else float(np.max(exponents))
    lifted = np.exp(exponents - top)
    total = float(np.sum(lifted))
    if plain and total > 0.5:
        rise = np.exp(log_masses) * np.expm1(alpha)
        log_m = math.log1p(math.fsum(rise.tolist()) - lost)
        errors = eta + 20.0 + np.abs(log_masses)
        absolute = float(np.abs(rise) @ errors + lifted @ (c * lam + np.abs(alpha))) + 8.0 * lost
        error = U * (1.01 * absolute / total + 9.0 * abs(log_m)) + 2.0 * missing / total
        # Masses below the least normal double, times e^300.
        error += 1e-170 * losses.size
    else:
        log_m = top + math.log(total)
        relative += 2.0 * abs(top)
        worst = 1.01 * float(lifted @ relative) / total
        error = U * (worst + losses.size + 9.0 * abs(log_m))
    weights = lifted / total
    modulus = np.abs(losses)
    padded = -losses.size % kernels.LANES
    return Table(
        np.concatenate((losses, np.zeros(padded))),
        np.concatenate((weights, np.zeros(padded))),
        log_m,
        error + 4.0 * quadrature,
        quadrature,
        float(weights @ modulus),
        float(weights @ relative),
        float(weights @ (relative * modulus)),
        lam,
    )
