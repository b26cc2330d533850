"""One rare output decides: a privacy curve without an integral along a line.

Many steps of a sampled Gaussian, at so small a rate and delta that all of delta is owed to one step with a very large
output. The saddle of the contour integral then stands in the gap between that output and all others, and its digits
are lost. With any output g, and a step called large if its output is above g, delta has three parts:

* no step is large: at most Chernoff's bound of the law cut at g (`_none_large`);
* two or more are: at most (T P(x > g))^2/2 (``_pairs``);
* one is: T times the mean of H(eps - L) over its loss L, where H(k) = E (1 - e^(k - S))_+ over the loss S of the
  others, all of them not large: a narrow law, of which the mean counts and, by Cauchy and Schwarz, hardly more
  (`_spread`).

The mean of S only moves epsilon: what is left is the curve of one step, which is a formula. Proof in
docs/explanation/accountant-proof.md.
"""

import math
from itertools import pairwise

import numpy as np

from medcrypt._ext import dp as kernels
from medcrypt.dp.losses import SampledGaussianLoss
from medcrypt.dp.normal import gaussian_error, gaussian_log_delta
from medcrypt.dp.tables import U

__all__ = ["DominantStep", "NotRareError", "sampled_once"]

_PAIRS = 1e-8  # of delta: what two large steps may cost
_SAFE = 1.0 + 1e-9  # above the roundings of sums of positive numbers
_TAIL = 1e-12  # relative error of a normal tail, and of a logarithm of one less it
_LOW = 38.0  # standard deviations; outputs below have a loss below 0 and a mass below e^-722
_GROWTH, _WIDEST, _CELLS = 1.15, 0.1, 400  # of cells, in eps - L: ratio, width, number on either side
_ROOM = 1 << 12  # panels


class NotRareError(ArithmeticError):
    """The delta is not that of a single rare output."""


class DominantStep:
    """The curve of T >= 2 removing steps of a sampled Gaussian, for deltas that one large step decides.

    Parameters
    ----------
    loss, steps
        The mechanism and T.
    log_delta
        Where the curve is wanted; it chooses g. The bounds hold everywhere.

    Raises
    ------
    NotRareError
        If other outputs count as well.
    """

    def __init__(self, loss: SampledGaussianLoss, steps: int, log_delta: float) -> None:
        if not (loss.removing and steps >= 2 and log_delta > -500.0):
            raise NotRareError
        self._loss, self._steps = loss, steps
        self._cut = self._cut_at(math.exp(0.5 * (log_delta + math.log(2.0 * _PAIRS))) / steps)
        self._cut_loss = self._loss_at(self._cut)
        above, without = self._above(self._cut), _upper_tail(self._cut / loss.sigma)
        # The rest may not weigh: log P(no step above g) and the variance of S are below what is asked for here.
        if not 0.0 < steps * above < 0.01:
            raise NotRareError
        self._pairs = 0.5 * (steps * above) ** 2 * _SAFE
        others = steps - 1.0
        self._log_mass = others * math.log1p(-above)
        self._shift = others * (math.log1p(-without) - math.log1p(-above))
        self._slack = 1e-13 * (2.0 + abs(math.log(loss.q)))
        square = max(loss.q**2 * _expm1(loss.sigma**-2.0) / (1.0 - loss.q), 1e-300)  # q^2 may underflow
        growth = others * math.log1p(square * (1.0 - above) / (1.0 - without) ** 2) * _SAFE
        if not growth < 0.1:
            raise NotRareError
        self._variance = math.expm1(growth) * _SAFE
        self._chernoff = self._moments()

    def value(self, epsilon: float) -> tuple[float, float]:
        """Return log delta(eps) to leading order, and its slope."""
        step = 1e-6 * epsilon + 1e-12
        first, second = self._leading(epsilon, 0.0)[0], self._leading(epsilon + step, 0.0)[0]
        return first, (second - first) / step if second > -math.inf else -math.inf

    def bounds(self, epsilon: float) -> tuple[float, float]:
        """Return certified bounds on log delta(eps)."""
        moved = epsilon + self._shift
        least, error = self._leading(epsilon, 1.0)
        # The set of outputs where one step's loss is above that place, and all others are not large.
        low = least - error if moved > self._cut_loss + 1e-9 * (1.0 + moved) else -math.inf
        most, error = self._leading(epsilon, -1.0)
        if not -600.0 < most < -1e-9:
            return low, 0.0
        rest = self._none_large(epsilon) + self._pairs + self._steps * self._spread(moved)
        high = (math.exp(most + error) + rest) * _SAFE
        return low, math.log(high) if high < 1.0 else 0.0

    def _leading(self, epsilon: float, side: float) -> tuple[float, float]:
        """Return log of T A delta_1(eps + log(B/A)) and its error, delta_1 the falling curve of one step.

        A and B are the masses of T - 1 steps that are not large, with and without the record; on side +-1 the place is
        beyond all roundings.
        """
        moved = epsilon + self._shift
        moved += side * (4.0 * _TAIL * abs(self._log_mass) + 4.0 * U * (epsilon + abs(self._shift)))
        if not moved > 0.0:
            return 0.0, 0.0
        log_one, error = sampled_once(self._loss, moved)
        found = math.log(self._steps) + self._log_mass + log_one
        return found, error + _TAIL * abs(self._log_mass) + 16.0 * U * (abs(found) + abs(log_one) + 50.0)

    def _none_large(self, epsilon: float) -> float:
        """Return a bound on the part of delta where no step is large."""
        return self._hockey_stick(epsilon, self._steps)

    def _hockey_stick(self, k: float, steps: float) -> float:
        """Return Chernoff's bound on E (1 - e^(k - S))_+ over the loss S of steps that are not large."""
        exponent = min((steps * moment - c * k for c, moment in self._chernoff), default=0.0)
        return math.exp(min(exponent, 0.0)) * _SAFE

    def _spread(self, moved: float) -> float:
        """Return a bound on the mean over one large output of what S adds to (1 - e^k)_+, k = ``moved`` - L.

        That is at most min(e^k s/2, e^2k s^2/(4 abs(1 - e^k))), s^2 = ``_variance``, and where k > 0 also H itself. All
        are monotone on cells of k to either side of 0.
        """
        deviation = math.sqrt(self._variance)
        slack = self._slack + 1e-13 * moved
        scale = max(deviation, 100.0 * slack)
        total = 0.0
        end = max(moved - self._cut_loss, 0.0)
        for near, far in pairwise(_cells(scale, end)):
            gap = max(near - slack, 0.0)
            found = self._hockey_stick(near - self._shift - slack, self._steps - 1.0)
            if far < 300.0:
                weight = math.exp(far + slack) * deviation
                found = min(found, 0.5 * weight)
                if gap > 0.0:
                    found = min(found, 0.25 * weight * weight / math.expm1(gap))
            left = self._cut if far >= end else max(self._output_at(moved - far), self._cut)
            total += found * self._between(left, self._output_at(moved - near))
        for near, far in pairwise(_cells(scale, math.inf)):
            gap = max(near - slack, 0.0)
            found = 0.5 * deviation
            if gap > 0.0:
                found = min(found, 0.25 * self._variance / -math.expm1(-gap))
            right = self._output_at(moved + far) if far < math.inf else math.inf
            total += found * math.exp(slack * 2.0) * self._between(self._output_at(moved + near), right)
        return total * _SAFE

    def _between(self, left: float, right: float) -> float:
        """Return a bound on P(left < x < right)."""
        beyond = self._above(left)
        return max(beyond - self._above(right), 0.0) + 1e-9 * beyond

    def _above(self, x: float) -> float:
        """Return P(output > x) of one step."""
        sigma, q = self._loss.sigma, self._loss.q
        return (1.0 - q) * _upper_tail(x / sigma) + q * _upper_tail((x - 1.0) / sigma)

    def _cut_at(self, mass: float) -> float:
        """Return an output with about this mass above it."""
        low, high = 0.5, 1.0 + 38.0 * self._loss.sigma
        for _ in range(60):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._above(middle) > mass else (low, middle)
        return high

    def _loss_at(self, x: float) -> float:
        """Return the loss of an output, log r(x)."""
        sigma, q = self._loss.sigma, self._loss.q
        y = (x - 0.5) / (sigma * sigma)
        return y + math.log(q) if y > 600.0 else math.log1p(q * math.expm1(y))

    def _output_at(self, loss: float) -> float:
        """Return the output of a loss >= 0."""
        sigma, q = self._loss.sigma, self._loss.q
        if loss > 30.0:
            return 0.5 + sigma * sigma * (loss - math.log(q) + math.log1p(-(1.0 - q) * math.exp(-loss)))
        return 0.5 + sigma * sigma * math.log1p(math.expm1(loss) / q)

    def _moments(self) -> list[tuple[float, float]]:
        """Return orders c of Chernoff's bounds, and bounds on log E e^(c l) of a step that is not large."""
        found = []
        c = 0.5
        # So that r^(1 + c) >= 1/e everywhere: see `_log_moment`.
        while (1.0 + c) * -math.log1p(-self._loss.q) <= 1.0:
            moment = self._log_moment(c)
            if not moment * self._steps < 100.0:
                break
            found.append((c, moment))
            c *= 1.4
        return found

    def _log_moment(self, c: float) -> float:
        """Return log of the integral of phi r^(1 + c) up to g, from above."""
        sigma, q = self._loss.sigma, self._loss.q
        ends = np.empty(_ROOM)
        target = math.log(1e-12 / self._steps)
        count, log_quadrature = kernels.panels(sigma, q, True, c, -_LOW * sigma, self._cut, 0.0, target, ends)
        if count == 0:
            return math.inf
        losses, weights = np.empty((2, count * kernels.POINTS))
        log_m, error, *_ = kernels.table(sigma, q, True, c, ends[: count + 1], losses, weights)
        # What is not integrated counts as if r were 1 there: that is more than there is. The quadrature's error is
        # bounded for phi r^(1 + c); the same for phi is at most e times as large.
        return log_m + error + 4.0 * math.exp(min(log_quadrature - log_m, 700.0)) + 1e-300


def sampled_once(loss: SampledGaussianLoss, epsilon: float) -> tuple[float, float]:
    """Return log delta of one sampled Gaussian, a hockey-stick of the Gaussian at another epsilon, and its error.

    Removing: (1-q) Q + q P1 - e^eps Q = q (P1 - e^eps' Q) with e^eps' = (e^eps - 1 + q)/q.
    Adding:   Q - e^eps ((1-q) Q + q P1) = s (Q - e^eps' P1) with s = 1 - e^eps (1-q), e^eps' = e^eps q/s.
    """
    q, mu = loss.q, 1.0 / loss.sigma
    scale = q
    if loss.removing:
        # e^eps' = 1 + (e^eps - 1)/q, written so that neither a tiny nor a huge eps loses digits.
        if epsilon > 30.0:
            shifted = epsilon - math.log(q) + math.log1p(-(1.0 - q) * math.exp(-epsilon))
        else:
            shifted = math.log1p(math.expm1(epsilon) / q)
    else:
        scale = q - math.expm1(min(epsilon, 700.0)) * (1.0 - q)
        if scale <= 16.0 * U * q:
            return -math.inf, 0.0
        shifted = epsilon + math.log(q) - math.log(scale)
    # The slope of log delta is at most (b + 2)/mu in modulus, b = eps'/mu + mu/2.
    moved = U * (8.0 + 8.0 * epsilon + 16.0 * abs(math.log(q)) + 16.0 * q / scale + 4.0 * abs(shifted))
    slope = (abs(shifted) / mu + 0.5 * mu + 2.0) / mu
    value = math.log(scale) + gaussian_log_delta(mu, shifted)
    return value, gaussian_error(mu, shifted) + moved * (1.0 + slope) + 4.0 * U * abs(value)


def _cells(scale: float, end: float) -> list[float]:
    """Return ends of cells from 0 to ``end`` that grow with the distance from 0."""
    ends, at = [0.0], 0.0
    while len(ends) < _CELLS:
        at = min(at * _GROWTH + 0.1 * scale, at + _WIDEST)
        if at >= end or (at > 30.0 and end == math.inf):
            break
        ends.append(at)
    return [*ends, end] if end > 0.0 else [0.0]


def _upper_tail(x: float) -> float:
    """Return P[N(0, 1) > x]."""
    return 0.5 * math.erfc(x / math.sqrt(2.0))


def _expm1(x: float) -> float:
    """Return e^x - 1, infinite rather than too large."""
    return math.expm1(x) if x < 700.0 else math.inf
