"""The loss of a Gaussian on a sample of fixed size, between two lists of points.

Replacing a record of n, of which m are drawn, q = m/n: with x ~ N(0, sigma^2) and r(x) = 1 - q + q e^y, y = (2 x -
1)/(2 sigma^2), the joined profile of both directions has one dominating pair (Zhu, Dong and Wang 2022, Theorem
11; Lebeda et al. 2024). Its positive losses are log r(x), x > 1/2, with the density r phi under P and phi under
Q; the negative ones mirror them, with P and Q exchanged; what is left has the loss 0.

The line x > 1/2 is cut into cells. In a cell Q has the mass w and P the mass p.

* Merging a cell into one output is post-processing: its loss log(p/w) makes a lower bound.
* Splitting it into two outputs with the losses of its ends, such that p and w are kept, is what post-processing
  would undo: an upper bound (connect the dots, Doroshenko et al. 2022).

Both differ from the truth by the square of the cells' width. With t = (r - r_i)/(r_(i+1) - r_i) in [0, 1] on a
cell, the upper end gets the mass of t phi under Q: no term cancels.
"""

import math

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp.discrete import DiscreteLoss
from medcrypt.dp.legendre import legendre
from medcrypt.dp.normal import log_tail

__all__ = ["fixed_size_losses"]

_Reals = NDArray[np.float64]

_CELLS = 8192
_NODES, _WEIGHTS = legendre(10)


def fixed_size_losses(sigma: float, q: float, log_missing: float) -> tuple[DiscreteLoss, DiscreteLoss]:
    """Return the losses that bound a fixed-size sample's from above and from below.

    Parameters
    ----------
    sigma
        Noise multiplier for replacing a record; at least 0.1, so that no density ratio overflows.
    q
        Share of the records in a sample; in (0, 1).
    log_missing
        Log of the mass under P that may be left out.

    Returns
    -------
    tuple of DiscreteLoss
        ``(upper, lower)``; both are symmetric, so that each is the loss of both directions.

    Examples
    --------
    >>> upper, lower = fixed_size_losses(1.0, 0.01, log_missing=-60.0)
    >>> upper.losses.size
    16385
    """
    end, log_beyond = _end(sigma, q, log_missing)
    variance = sigma * sigma
    x = np.linspace(0.5, end, _CELLS + 1)
    y = (x - 0.5) / variance
    low, high, lift = _masses(x, sigma)
    inside = low + high  # w
    # Outputs that say nothing: (1 - q) P[|x| < 1/2], and the lower ends at x = 1/2 of both sides.
    silent = (1.0 - q) * math.erf(0.5 / (sigma * math.sqrt(2.0)))
    ends = np.log1p(q * np.expm1(y[1:]))
    under_q = high + np.append(low[1:], 0.0)
    upper = _mirrored(ends, under_q, silent + 2.0 * float(low[0]), math.exp(log_beyond), 0.0)
    merged = np.log1p(q * lift / inside)
    wrong = _ratio_error(float(y[-1]), float(np.max(np.diff(y))))
    lower = _mirrored(merged, inside, silent, math.exp(log_beyond), wrong)
    return upper, lower


def _ratio_error(y_end: float, step: float) -> float:
    """Return a bound on the error of log(p/w), where p/w is 1 + q times the mean of e^y - 1 over a cell.

    Every e^y - 1 is off by 8 y + 16 units; phi, whose exponent reaches 37^2/2, by 6 * 685 + 32 units, which moves a
    mean by no more than twice that times the range of e^y in the cell. Of the density q e^y is a part at most.
    """
    unit = 2.0**-53
    return unit * (8.0 * y_end + 64.0 + 2.0 * (6.0 * 685.0 + 32.0) * math.expm1(step))


def _end(sigma: float, q: float, log_missing: float) -> tuple[float, float]:
    """Return an x, and a bound on the log of the mass beyond it, of both sides; below ``log_missing`` if it can be."""
    end = 0.5
    while True:
        # Beyond 37 sigma the density itself would lose digits to underflow: what is left out is then larger.
        end = min(end + sigma, 37.0 * sigma)
        # P on the right is (1 - q) Q(x) + q Q(x - 1), and on the left Q(x).
        log_beyond = float(
            np.logaddexp(math.log(2.0) + log_tail(end / sigma), math.log(q) + log_tail((end - 1.0) / sigma))
        )
        if log_beyond + 1e-9 <= log_missing or end == 37.0 * sigma:
            return end, log_beyond + 1e-9


def _masses(x: _Reals, sigma: float) -> tuple[_Reals, _Reals, _Reals]:
    """Return for each cell the integrals of (1 - t) phi, t phi and (e^y - 1) phi, all positive."""
    width = np.diff(x)
    step = width / (sigma * sigma)
    low, high, lift = np.zeros(_CELLS), np.zeros(_CELLS), np.zeros(_CELLS)
    for node, weight in zip(0.5 * (_NODES + 1.0), 0.5 * _WEIGHTS, strict=True):
        at = x[:-1] + node * width
        phi = weight * width * np.exp(-0.5 * (at / sigma) ** 2) / (sigma * math.sqrt(2.0 * math.pi))
        t = np.expm1(node * step) / np.expm1(step)
        low += (1.0 - t) * phi
        high += t * phi
        lift += np.expm1((at - 0.5) / (sigma * sigma)) * phi
    return low, high, lift


def _mirrored(
    positive: _Reals, under_q: _Reals, silent: float, missing: float, ratio_error: float
) -> DiscreteLoss:
    """Return the loss with these positive points, their mirror images, and a mass at 0."""
    log_q = np.log(under_q)
    losses = np.concatenate((-positive[::-1], [0.0], positive))
    log_masses = np.concatenate((log_q[::-1], [math.log(silent)], log_q + positive))
    return DiscreteLoss(
        losses,
        log_masses,
        missing=missing,
        mass_error=1e-12,
        loss_error=ratio_error + 1e-15 * (1.0 + float(positive[-1])),
    )
