"""Which records a step sees. The scheme is chosen explicitly: it decides what the step costs."""

import secrets
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp import noise
from medcrypt.dp.events import Event, Gaussian, PoissonSampled, SampledWithoutReplacement, _at_least

__all__ = ["FixedSizeSampler", "PoissonSampler", "Sampler"]


class Sampler(Protocol):
    """What a private gradient asks of a sampling scheme."""

    @property
    def neighbors(self) -> str:
        """The relation under which its event holds."""

    @property
    def public_size(self) -> int | None:
        """Number of records of every step, where the relation makes it public; otherwise None."""

    def sample(self) -> NDArray[np.int64]:
        """Return the indices of the records of one step."""

    def event(self, mechanism: Gaussian) -> Event:
        """Return what a mechanism costs that runs on a sample."""


class PoissonSampler:
    """Every record enters a step independently with the same probability.

    The coins come from the exact sampler of `noise.bernoulli`: the probability realised is the rational number that the
    float is, never above the rate that the event states. Batches differ in size, and may be empty.

    The number of records is as secret as they are: it serves for sampling alone, and whoever divides by a batch size
    states one that is public.

    Parameters
    ----------
    population
        Number of records, >= 1.
    sampling_rate
        Probability q in (0, 1].

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> sampler = dp.sgd.PoissonSampler(1000, 0.05)
    >>> bool(sampler.sample().max(initial=0) < 1000)
    True
    >>> sampler.event(dp.Gaussian(1.0))
    PoissonSampled(sampling_rate=0.05, event=Gaussian(noise_multiplier=1.0))
    """

    neighbors = "add_or_remove_one"
    public_size = None

    def __init__(self, population: int, sampling_rate: float) -> None:
        self.population = _at_least(1, "population", population)
        self.sampling_rate = PoissonSampled(sampling_rate, Gaussian(1.0)).sampling_rate
        if self.sampling_rate == 0.0:
            raise ValueError("sampling_rate must be above 0: steps without records have no mean")

    def sample(self) -> NDArray[np.int64]:
        """Return the indices of the records of one step, ascending; possibly none."""
        return noise.poisson_sample(self.population, Fraction(self.sampling_rate))

    def event(self, mechanism: Gaussian) -> Event:
        """Return what a Gaussian mechanism costs that runs on a sample."""
        return mechanism if self.sampling_rate == 1.0 else PoissonSampled(self.sampling_rate, mechanism)


class FixedSizeSampler:
    """Every step draws a set of fixed size afresh, each such set with the same probability.

    The relation is replacing a record, which moves a clipped sum by twice the clip: the same noise multiplier
    means twice the noise.

    Parameters
    ----------
    population
        Number of records, >= 1.
    sample_size
        Number of records of a step, from 1 to the population.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> len(dp.sgd.FixedSizeSampler(1000, 50).sample())
    50
    """

    neighbors = "replace_one"

    def __init__(self, population: int, sample_size: int) -> None:
        self.population = _at_least(1, "population", population)
        self.sample_size = _at_least(1, "sample_size", sample_size)
        if self.sample_size > self.population:
            raise ValueError(f"a sample of {sample_size} cannot be drawn from {population} records")

    @property
    def public_size(self) -> int:
        """Number of records of a step: neighbours have as many."""
        return self.sample_size

    def sample(self) -> NDArray[np.int64]:
        """Return the indices of the records of one step, ascending."""
        drawn = secrets.SystemRandom().sample(range(self.population), self.sample_size)
        return np.sort(np.array(drawn, dtype=np.int64))

    def event(self, mechanism: Gaussian) -> Event:
        """Return what a Gaussian mechanism costs that runs on a sample."""
        if self.sample_size == self.population:
            return mechanism
        return SampledWithoutReplacement(self.sample_size, self.population, mechanism)
