"""Privacy losses: what one mechanism contributes to the contour integral, in one direction.

A mechanism with a dominating pair (P, Q) has the loss L = log dP/dQ under P. The accountant composes losses
and knows three continuous ones by formula (`GaussianLoss`, `LaplaceLoss`, `SampledGaussianLoss`); every other
mechanism states its loss as a `DiscreteLoss`, a list of points with certified errors. `pair` maps an event to
the losses of both directions, ``(removing, adding)``; they are the same object where the mechanism is
symmetric, which lets the accountant skip one of the two.

To teach the accountant a new event, return its two losses from `pair`. A `DiscreteLoss` promises:

* under P the loss equals ``losses[j]``, up to ``loss_error`` absolute, with the mass exp(log_masses[j]), up to
  the factor 1 +- ``mass_error``;
* it is infinite with mass ``infinity``: exactly that of randomised responses that reveal (`ApproximateDP`);
* what the list leaves out has a mass of at most ``missing`` under P. An upper bound counts it as infinite, a
  lower bound does not count it at all, so a list may be cut wherever ``missing`` is far below the delta asked
  for: `pair` gets ``log_missing``, the log of the mass that may be left out of one release.

Points may come in any order and may repeat. Where all of them lie on ``losses[0] + k spacing`` for integers k,
``spacing`` says so; the integral then needs one period only.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

from medcrypt.dp.discrete import DiscreteLoss, discrete_loss
from medcrypt.dp.events import (
    ApproximateDP,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    PoissonSampled,
    PureDP,
    RandomizedResponse,
    SampledWithoutReplacement,
    Skellam,
)
from medcrypt.dp.fixed_size import fixed_size_losses

__all__ = [
    "DiscreteLoss",
    "GaussianLoss",
    "LaplaceLoss",
    "Loss",
    "SampledGaussianLoss",
    "enclosed",
    "once",
    "pair",
]

_LEAST_NOISE = 1e-100  # multiplier of a Gaussian; mu^2 of many still is a double


@dataclass(frozen=True)
class GaussianLoss:
    """The Gaussian mechanism of squared sensitivity over variance ``squared_mu``: L ~ N(mu^2/2, mu^2)."""

    squared_mu: float


@dataclass(frozen=True)
class LaplaceLoss:
    """The Laplace mechanism of privacy ``e``: atoms at +-e, the density e^((L - e)/2)/4 between.

    ``e`` is 1/scale rounded up; lower bounds allow for eight units in its last place.
    """

    e: float


@dataclass(frozen=True)
class SampledGaussianLoss:
    """The Poisson-sampled Gaussian in one direction, 0 < q < 1.

    With x ~ N(0, sigma^2) and r(x) = 1 - q + q exp((2 x - 1)/(2 sigma^2)): removing a record has P = r dN and
    L = log r, adding one has P = dN and L = -log r.
    """

    sigma: float
    q: float
    removing: bool


Loss = GaussianLoss | LaplaceLoss | SampledGaussianLoss | DiscreteLoss


def pair(event: Event, log_missing: float) -> tuple[Loss, Loss] | None:
    """Return the losses of an event when a record is removed and when one is added.

    For `SampledWithoutReplacement`, whose two directions are one, they are instead a loss from above and one from
    below: `enclosed` tells.

    Parameters
    ----------
    event
        One mechanism, not a `Composed` or `Repeated`.
    log_missing
        Log of the mass under P that a list of points may leave out of one release.

    Returns
    -------
    tuple or None
        None where nothing depends on the data.

    Raises
    ------
    ValueError
        If no dominating pair of the event is known.
    """
    match event:
        case Gaussian(sigma) | PoissonSampled(1.0, Gaussian(sigma)):
            if sigma < _LEAST_NOISE:
                raise ValueError(f"a noise multiplier below {_LEAST_NOISE:g} is not accounted for: {sigma}")
            gaussian = GaussianLoss((1.0 / sigma) ** 2)
            return gaussian, gaussian
        case Laplace(scale):
            laplace = LaplaceLoss(_inverse_from_above(scale))
            return laplace, laplace
        case PoissonSampled(0.0, _):
            return None
        case PoissonSampled(q, Gaussian(sigma)):
            return SampledGaussianLoss(sigma, q, True), SampledGaussianLoss(sigma, q, False)
        case SampledWithoutReplacement():
            return _fixed_size(event, log_missing)
        case (
            DiscreteGaussian()
            | DiscreteLaplace()
            | Skellam()
            | RandomizedResponse()
            | PureDP()
            | ApproximateDP()
        ):
            loss = discrete_loss(event, log_missing)
            return None if loss is None else (loss, loss)
    raise ValueError(f"{type(event).__name__} cannot be accounted yet")


def enclosed(event: Event) -> bool:
    """Tell whether `pair` returns a loss from above and one from below, instead of two directions."""
    return isinstance(event, SampledWithoutReplacement)


def once(event: Event) -> tuple[Loss, Loss] | None:
    """Return the losses of an event that runs alone and once, where that is simpler, or None.

    The curve of one sample of fixed size is, for epsilon >= 0, the one of removing a record from a Poisson sample.
    """
    if isinstance(event, SampledWithoutReplacement) and 0.0 < event.sampling_rate < 1.0:
        loss = SampledGaussianLoss(event.event.noise_multiplier, event.sampling_rate, True)
        return loss, loss
    return None


def _fixed_size(event: SampledWithoutReplacement, log_missing: float) -> tuple[Loss, Loss] | None:
    """Return the losses of a fixed-size sample, from above and from below."""
    if event.sample_size == 0:
        return None
    if event.sample_size == event.population_size:
        return pair(event.event, log_missing)
    return fixed_size_losses(event.event.noise_multiplier, event.sampling_rate, log_missing)


def _inverse_from_above(scale: float) -> float:
    """Return 1/scale, rounded up: the upper bounds then need no allowance for it."""
    inverse = 1.0 / scale
    return inverse if Fraction(inverse) * Fraction(scale) >= 1 else math.nextafter(inverse, math.inf)
