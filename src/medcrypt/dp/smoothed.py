"""A line that always ends: the composition together with a tiny Gaussian mechanism.

Where exp(K) does not decay along the line (few steps, rare large losses, lists of points) a Gaussian mechanism of
mu^2 = v is composed with the rest: its exp(-v t^2/2) ends the line after about sqrt(2 digits/v). Another mechanism
never makes delta smaller, so the curve delta_v of both is a bound from above; and with p_v the density of the loss of
both together,

    delta_v(eps) - v e^(v/8) p_v(eps) <= delta(eps) <= delta_v(eps)        (`Charges.smoothing`).

The transform of p_v is exp(K) itself, without the kernel 1/(z (z + 1)): the same nodes serve. Proof in
docs/explanation/accountant-proof.md.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext import dp as kernels
from medcrypt.dp.contour import Charges, Line, Terms, guesses, place, polar
from medcrypt.dp.losses import DiscreteLoss, Loss, SampledGaussianLoss
from medcrypt.dp.oscillating import Wave, wave
from medcrypt.dp.survey import Saddle, Survey
from medcrypt.dp.tables import OutOfReachError, U

__all__ = ["SMOOTHED_NODES", "SmoothedLine", "far_enough"]

_Reals = NDArray[np.float64]

_ROWS = 64  # of a block of nodes
_DIGITS = 18.0  # aliases, tail and quadrature stay below exp(-18) = 1.5e-8 of delta
_LOST = 8.0  # digits that may go against exp(K(c) - c eps), for fewer nodes
_AIM = 1e-6  # of epsilon, or of one: what the smoothing may cost
_LISTED = 1000.0  # points that are worth no coarser smoothing
_EDGE = 45.0  # digits that the tilted law falls up to where outputs are cut
_WORK = 1.2e9  # losses times nodes
SMOOTHED_NODES = 1 << 18


class SmoothedLine(Line):
    """A line with a tiny Gaussian in it; the interface is that of `contour.Line`.

    Parameters
    ----------
    terms
        The composition, without the tiny Gaussian.
    survey, saddle
        Where its saddle lies.

    Raises
    ------
    OutOfReachError
        If even a coarse smoothing needs too much work.
    """

    def __init__(self, terms: Terms, survey: Survey, saddle: Saddle, most: int = SMOOTHED_NODES) -> None:
        self.c, self.beyond, self.period = place(survey, saddle, digits=_DIGITS, lost=_LOST)
        self.step = 2.0 * math.pi / self.period
        self._moments, self._moments_beyond = (
            self._tabulated(terms, survey, c) for c in (self.c, self.beyond)
        )
        waves = [
            wave(loss, self.c, moment, error, terms.reach, 1e-12 / count)
            for loss, count, moment, error in zip(
                terms.losses, terms.counts.tolist(), *self._moments, strict=True
            )
        ]
        height, _ = terms.total(self.c, *self._moments)
        fall = _DIGITS - (saddle.log_delta - (height - self.c * saddle.epsilon))
        size = sum(entry.losses.size for entry in waves)
        if not 0.0 < fall < 700.0:
            raise OutOfReachError
        # Long lists of points are slow, and no better than their cells.
        points = sum(loss.losses.size for loss in terms.losses if isinstance(loss, DiscreteLoss))
        aim = _AIM * max(1.0, points / _LISTED) * min(1.0, max(saddle.epsilon, 1e-12)) / (self.c + 1.0)
        wanted = min(math.sqrt(2.0 * fall / aim) / self.step, most, _WORK / size)
        self._columns = kernels.STRIP * math.ceil(min(wanted / _ROWS, 256.0) / kernels.STRIP)
        block = _ROWS * self._columns
        self.count = block * math.ceil(wanted / block)
        variance = 2.0 * fall / (self.step * self.count) ** 2
        if variance * self.c * self.c > 1.0:
            raise OutOfReachError
        self.terms = replace(terms, squared_mu=terms.squared_mu + variance)
        # What was added indeed, from above.
        self.variance = (self.terms.squared_mu - terms.squared_mu) * (1.0 + 4.0 * U)
        self._integrate(waves)

    @staticmethod
    def _tabulated(terms: Terms, survey: Survey, c: float) -> tuple[list[float], list[float]]:
        """Return log M(c) of every mechanism, and bounds on their errors."""
        found = terms.tables(c, 0.0, 1e-14 / terms.counts, guesses(survey, c))
        return [t.log_moment for t in found], [t.moment_error for t in found]

    def _integrate(self, waves: Sequence[Wave]) -> None:
        """Compute the integrand on all nodes, block by block, and what is charged for it."""
        self._weights = np.empty((4, self.count))
        t: _Reals = self.step * np.arange(float(self.count))
        log_kernel = -0.5 * (np.log(self.c**2 + t * t) + np.log((1.0 + self.c) ** 2 + t * t))
        log_kernel[0] -= math.log(2.0)
        turn = -np.arctan2(t, self.c) - np.arctan2(t, 1.0 + self.c)
        self._nodes = np.array([t, log_kernel, turn])
        sums = np.zeros(4)
        block = _ROWS * self._columns
        for first in range(0, self.count, block):
            part = slice(first, first + block)
            walked = np.zeros((3, len(waves), block))
            for row, entry in enumerate(waves):
                found = entry.nodes(self.step, first, _ROWS, self._columns)
                walked[:, row] = found.real, found.imag, entry.error(t[part])
            weights = np.empty((4, block))
            sums += kernels.weigh(
                polar(*walked),
                self.terms.counts,
                self.terms.squared_mu,
                self.c,
                np.ascontiguousarray(self._nodes[:, part]),
                weights,
            )
            self._weights[:, part] = weights
        self._integrand = self._weights[0], self._weights[1], t
        self._rounding = self._charged(*sums.tolist())
        self.height, self._height_error = self.terms.total(self.c, *self._moments)
        self._height_beyond = sum(self.terms.total(self.beyond, *self._moments_beyond))
        end = self.step * (self.count - 1)
        fall = 0.5 * self.terms.squared_mu * end * end
        bell = math.exp(-fall * (1.0 - 1e-12))
        self._tail = bell / (math.pi * end) * (1.0 + 1e-9)
        # The density has no kernel: the nodes of its integral weigh abs(z (z + 1)) more.
        kernel = np.exp(-log_kernel)
        kernel[0] *= 0.5
        amplitude, phase = self._weights[0] * kernel, self._weights[1] - turn
        total = float(amplitude.sum())
        turned = float(amplitude @ np.abs(phase)) + 4.0 * total
        wrong = 1.01 * float((self._weights[2] * self._weights[3] + 2e-299) @ kernel)
        self._dense = amplitude, phase, t
        self._dense_rounding = self._charged(total, float(amplitude @ t), turned, wrong)
        self._dense_tail = bell * end / (2.0 * math.pi * fall) * (1.0 + 1e-9)
        self.infinity, self._missing = self.terms.infinity(), self.terms.missing()

    def _charged(self, total: float, moment: float, turned: float, wrong: float) -> tuple[float, float]:
        """Return the rounding of a sum, and by how much it grows with epsilon, from what `kernels.weigh` returns."""
        scale = self.step / math.pi * (1.0 + 1e-9)
        phases = 6.0 * turned + (40.0 + self.count / 8.0) * total
        return scale * (wrong + U * phases), scale * U * 8.0 * moment

    def density(self, epsilon: float) -> float:
        """Return an upper bound on the density of the smoothed loss at eps, over exp(K(c) - c eps).

        Its aliases are positive as well: they only make it larger.
        """
        cosines, _ = kernels.line(*self._dense, epsilon)
        rounding, growing = self._dense_rounding
        found = self.step / math.pi * cosines + rounding + growing * epsilon
        return max(found, 0.0) * (1.0 + 1e-9) + self._dense_tail

    def charges(self, epsilon: float) -> Charges:
        """Return every term that separates the computed sum from delta(eps)."""
        v = self.variance
        smoothing = v * math.exp(v / 8.0) * self.density(epsilon) * (1.0 + 1e-9)
        return super().charges(epsilon)._replace(smoothing=smoothing)


def far_enough(losses: Sequence[Loss], reach: float, c: float) -> float:
    """Return a reach at least as far, where the tilted law has no edge left.

    Its density falls beyond the outputs that decide. For tiny rates it rises again far out: then the lowest place in
    sight is the best one to cut.
    """
    most = reach
    for loss in losses:
        if isinstance(loss, SampledGaussianLoss):
            reaches = 0.25 * np.arange(math.ceil(4.0 * reach) + 49.0)
            x = 1.0 + reaches * loss.sigma if loss.removing else -reaches * loss.sigma
            y = (x - 0.5) / (loss.sigma * loss.sigma)
            log_r = np.where(
                y > 600.0, y + math.log(loss.q), np.log1p(loss.q * np.expm1(np.minimum(y, 600.0)))
            )
            tilted = (1.0 + c if loss.removing else -c) * log_r - 0.5 * (x / loss.sigma) ** 2
            inner, outer = tilted[reaches < reach], tilted[reaches >= reach]
            gone = outer < np.max(inner) - _EDGE
            place = int(np.argmax(gone)) if gone.any() else int(np.argmin(outer))
            most = max(most, float(reaches[reaches >= reach][place]))
    return most
