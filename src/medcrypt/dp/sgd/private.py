"""The private step: clip each sample's gradient, add up, go to a lattice, add integer noise, pay.

What one record moves. Let S be the sum of the clipped gradients in exact arithmetic, F what floating point makes of it,
and z = round(F/g) the integers that get the noise, g the lattice's step and d the number of coordinates.

1. Factors f <= C/N come from upper bounds N of the norms, so one record moves S by at most C (replaced: 2 C).
2. |F - S| <= E = gamma_(B+2) B C in L2, in any order of additions, for at most B records of clip C (see `layers`).
3. |g z - F| <= g sqrt(d)/2 in L2, and both neighbours are rounded.

So g z moves by at most C + 2 E + g sqrt(d), and that is the sensitivity which the noise multiplier multiplies. With
B = 2^16 and g sqrt(d) <= C/2^16 it is 1.00002 C. z is a vector of integers and the noise a rounded Gaussian, so the
release is post-processing of the Gaussian mechanism: the event is `Gaussian` under the sampling scheme, for any d.

Under Poisson sampling the number N of records is as secret as they are. So the divisor, the default of B and the noise
of an adaptive clip's count come from a batch size m that the caller states, and never from N q. A batch of more than B
records is not refused, which would tell how many there are: those past the first B are left out. There a record may
push out another one and move S by 2 C; while N q <= m that has a probability of at most exp(-t^2/(2 (m + t/3))),
t = B - m (Bernstein), which `PrivateGradient.charge` includes. B >= m + 10 sqrt(m) + 34 makes it less than 2^-72.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.clip import add_on_lattice, shrinking_factors
from medcrypt.dp import noise
from medcrypt.dp.accountant import Accountant
from medcrypt.dp.events import Event, Gaussian, _at_least, _positive, _real
from medcrypt.dp.filter import Filter
from medcrypt.dp.noise.gaussian import rounded_gaussian_sampler
from medcrypt.dp.noise.generator import Generator
from medcrypt.dp.noise.sampling import Sampler as NoiseSampler
from medcrypt.dp.noise.sampling import fill
from medcrypt.dp.sgd.layers import Layer
from medcrypt.dp.sgd.sampling import Sampler

__all__ = ["AdaptiveClip", "DPOptimizer", "PrivateGradient"]

Reals = NDArray[np.float64]

_USUAL_BATCH = 1 << 16
_STEPS = 2.0**17  # of the lattice, times the root of the dimension, in a clip: at least half as many
_UP = 1.0 + 2.0**-50
_CAPACITY = 2.0**60
_LEAST_CLIP, _LARGEST_CLIP = 1e-100, 1e100


@dataclass(frozen=True)
class AdaptiveClip:
    """The clip follows a quantile of the gradients' norms (Andrew, Thakkar, McMahan and Ramaswamy 2021).

    Each step also releases, with noise, how many gradients are within the clip: +1 for each that is and -1 for each
    that is not. It runs on the same sample, so both together are one Gaussian mechanism, and the gradients' noise
    grows to (z^-2 - z_c^-2)^(-1/2): the step as a whole costs what its noise multiplier z says.

    Parameters
    ----------
    quantile
        Share of the gradients that are to be within the clip, in (0, 1).
    learning_rate
        Speed of the geometric update, > 0.
    noise_multiplier
        z_c: noise of the count divided by its sensitivity; above the step's z. By default a tenth of the public batch
        size, but at least 2 z.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.sgd.AdaptiveClip(quantile=0.5)
    AdaptiveClip(quantile=0.5, learning_rate=0.2, noise_multiplier=None)
    """

    quantile: float = 0.5
    learning_rate: float = 0.2
    noise_multiplier: float | None = None

    def __post_init__(self) -> None:
        if not 0.0 < _real("quantile", self.quantile) < 1.0:
            raise ValueError(f"quantile must lie in (0, 1), not {self.quantile}")
        _positive("learning_rate", self.learning_rate)
        if self.noise_multiplier is not None:
            _positive("noise_multiplier", self.noise_multiplier)


class _LatticeNoise(NamedTuple):
    """What a release draws."""

    step: float  # g
    sampler: NoiseSampler  # of the noise, in steps
    draws: int
    distance: float  # of a draw from its law
    farther: float  # the same, with the chance of a larger batch


class PrivateGradient:
    """The noisy mean of clipped per-sample gradients, step after step.

    Parameters
    ----------
    sampler
        The scheme that chose, or will choose, the samples of each step: `PoissonSampler` or `FixedSizeSampler`. It
        fixes the neighbouring relation and the event.
    clip
        Largest norm C of a sample's gradient over all layers; or one clip for each layer, whose squares add up to
        C^2.
    noise_multiplier
        z: standard deviation of the noise divided by the sensitivity under the sampler's relation.
    expected_batch_size
        m > 0: what the noisy sum is divided by. Required for Poisson sampling, and **a public constant**: neither
        ``len(records) * sampling_rate`` nor anything else computed from the records, since the lattice of the outputs
        shows it exactly. State a public bound of the number of records, times the rate; the privacy of batches of more
        than `max_batch` needs N q <= m. A `FixedSizeSampler` fixes it, and none is given.
    accountant
        An `Accountant`, or a `Filter` where steps or their number depend on what was released. It is told the event,
        the draws and their distance before each release; a `Filter` may refuse it.
    adaptive
        Lets the clip follow the norms.
    max_batch
        Largest number B of samples of a step; the rounding bound grows with it. Of a larger batch the first B count and
        the others are left out silently, because how many there are is secret. At least m + 10 sqrt(m) + 34 for
        Poisson sampling, and the sample's size for a fixed one. By default that, but at least 2^16.

    Attributes
    ----------
    event : Event
        What one step costs.
    draws : int
        Integers of noise drawn so far.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range, the accountant has another relation, or
        ``expected_batch_size`` is missing or superfluous.

    Examples
    --------
    >>> from medcrypt import dp
    >>> accountant = dp.Accountant()
    >>> private = dp.sgd.PrivateGradient(
    ...     dp.sgd.PoissonSampler(1000, 0.002),
    ...     clip=1.0,
    ...     noise_multiplier=1e-9,
    ...     expected_batch_size=2,
    ...     accountant=accountant,
    ... )
    >>> [mean] = private.step([dp.sgd.PerSample([[3.0, 4.0], [0.0, 0.5]])])
    >>> mean.round(4).tolist()
    [0.3, 0.65]
    >>> accountant.events
    ((PoissonSampled(sampling_rate=0.002, event=Gaussian(noise_multiplier=1e-09)), 1),)
    """

    def __init__(
        self,
        sampler: Sampler,
        *,
        clip: float | Sequence[float],
        noise_multiplier: float,
        expected_batch_size: float | None = None,
        accountant: Accountant | Filter | None = None,
        adaptive: AdaptiveClip | None = None,
        max_batch: int | None = None,
    ) -> None:
        self._clips = _checked_clips(clip)
        self._per_layer = isinstance(clip, Sequence)
        self._sampler = sampler
        multiplier = _positive("noise_multiplier", noise_multiplier)
        self.event: Event = sampler.event(Gaussian(multiplier))
        if accountant is not None and not isinstance(accountant, (Accountant, Filter)):
            raise TypeError("accountant must be an Accountant or a Filter")
        if accountant is not None and accountant.state_dict()["neighbors"] != sampler.neighbors:
            raise ValueError(f"the accountant must count under {sampler.neighbors!r}, as the sampler does")
        self._accountant = accountant
        self._divisor = _public_divisor(sampler, expected_batch_size)
        least = sampler.public_size or math.ceil(self._divisor + 10.0 * math.sqrt(self._divisor) + 34.0)
        usual = max(_USUAL_BATCH, least)
        self._max_batch = usual if max_batch is None else _at_least(least, "max_batch", max_batch)
        self._adaptive = adaptive
        if adaptive is not None and self._per_layer:
            raise ValueError("an adaptive clip is one clip for all layers")
        of_count = _count_multiplier(adaptive, multiplier, self._divisor)
        self._multiplier = multiplier
        self._count_sigma: Fraction | None = None
        if of_count is not None:
            left = Fraction(multiplier) ** -2 - Fraction(of_count) ** -2
            self._multiplier = float(left) ** -0.5 * _UP
            self._count_sigma = Fraction(of_count) * (2 if sampler.neighbors == "replace_one" else 1)
        self._shapes: list[list[tuple[int, ...]]] | None = None
        self._places: list[tuple[slice, tuple[int, ...]]] = []
        self.draws = 0
        self.distance = 0.0
        self._releases = 0
        self._prepared: tuple[float, _LatticeNoise] | None = None
        self._sum: Reals | None = None
        self._within = 0
        self._batch = 0

    def __repr__(self) -> str:
        return f"PrivateGradient(event={self.event!r}, clip={self.clip!r})"

    @property
    def clip(self) -> float:
        """Largest norm of a sample's gradient over all layers, C."""
        return self._clips[0] if not self._per_layer else math.hypot(*self._clips) * _UP

    def sensitivity(self) -> float:
        """Return how far one record moves the sum that gets the noise: C + 2 E + g sqrt(d), or 2 C + ...

        Returns
        -------
        float
            The bound, once the shapes of the gradients are known.

        Raises
        ------
        ValueError
            If no gradients were added yet.
        """
        if self._shapes is None:
            raise ValueError("the shapes of the gradients are not known yet")
        moved = 2.0 * self.clip if self._sampler.neighbors == "replace_one" else self.clip
        gamma = (self._max_batch + 2) * 2.0**-53 * (1.0 + (self._max_batch + 2) * 2.0**-52)
        error = gamma * self._max_batch * self.clip
        return (moved + 2.0 * error + self._granularity() * math.sqrt(self._dimension())) * _UP

    def step(self, layers: Sequence[Layer]) -> list[Reals]:
        """Add one batch and release: `add`, then `release`.

        Parameters
        ----------
        layers
            The layers' gradients.

        Returns
        -------
        list of ndarray
            As `release`.
        """
        self.add(layers)
        return self.release()

    def add(self, layers: Sequence[Layer]) -> None:
        """Clip and add the gradients of samples to the step; a batch may come in several parts.

        Samples past `max_batch` are left out. Give them in the sampler's order, or any other that does not depend on
        the records.

        Parameters
        ----------
        layers
            For each layer its gradients; the same layers in the same order every time.

        Raises
        ------
        ValueError
            If gradients are not finite (NaN included) or have norms above 1e150, if the layers differ from those
            before. Nothing is added then.
        """
        shapes = [list(layer.shapes) for layer in layers]
        samples = {layer.samples for layer in layers}
        if not layers or len(samples) != 1:
            raise ValueError("layers must have the same number of samples, and be at least one")
        if self._shapes not in (None, shapes):
            raise ValueError(f"the gradients must be of the shapes {self._shapes}, not {shapes}")
        if self._per_layer and len(layers) != len(self._clips):
            raise ValueError(f"{len(self._clips)} clips are given for {len(layers)} layers")
        (count,) = samples
        squares = [layer.squared_norms() for layer in layers]
        taken = min(count, self._max_batch - self._batch)
        within, factors = self._factors(squares, taken)
        parts = [layer.weighted_sums(f) for layer, f in zip(layers, factors, strict=True)]
        flat = np.concatenate([part.ravel() for part_of_layer in parts for part in part_of_layer])
        if self._shapes is None:
            self._shapes, self._places = shapes, _places(shape for of_layer in shapes for shape in of_layer)
        self._sum = flat if self._sum is None else self._sum + flat
        self._within += within
        self._batch += taken

    def release(self) -> list[Reals]:
        """Tell the accountant, then return the noisy mean of what was added since the last release.

        Returns
        -------
        list of ndarray
            One float64 array for each parameter, layer by layer: the noisy sum divided by the public batch size.

        Raises
        ------
        BudgetError
            If a `Filter` refuses the step. Nothing has been drawn, and what was added is kept.
        ValueError
            If nothing was added: even an empty batch has shapes.
        OverflowError
            If the noise would be above 2^40 steps of the lattice, before anything is drawn or paid.
        """
        if self._sum is None:
            raise ValueError("nothing was added; an empty batch is layers of 0 samples")
        lattice = self._lattice_noise()
        self._pay(lattice)
        mean, within = self._sum, self._within
        self._forget()
        noisy = np.empty(mean.size, dtype=np.int64)
        fill(lattice.sampler, noisy, Generator())
        add_on_lattice(noisy, mean, 1.0 / lattice.step, lattice.step / self._divisor)
        self._adapt(within)
        return [mean[place].reshape(shape) for place, shape in self._places]

    def charge(self, epsilon: float) -> float:
        """Return the delta to add for the draws so far, which are not exactly of their law, and for larger batches.

        Parameters
        ----------
        epsilon
            Of the statement that the delta belongs to.

        Returns
        -------
        float
            See `noise.charge`; a batch of more than `max_batch` samples is one more way to leave the law.
        """
        inexact = noise.charge(epsilon, self.draws, self.distance)
        return (inexact + noise.charge(epsilon, self._releases, self._excess_probability())) * _UP

    def _pay(self, lattice: _LatticeNoise) -> None:
        """Tell the accountant what a release costs, and what it draws at which distance from its law."""
        if isinstance(self._accountant, Filter):
            self._accountant.spend(self.event, draws=lattice.draws, distance=lattice.farther)
        elif self._accountant is not None:
            self._accountant.compose(self.event, draws=lattice.draws, distance=lattice.farther)
        self._releases += 1
        self.draws += lattice.draws
        self.distance = max(self.distance, lattice.distance)

    def _excess_probability(self) -> float:
        """Return a bound of the probability that a batch has more than `max_batch` samples."""
        if self._sampler.public_size is not None:
            return 0.0
        room = self._max_batch - self._divisor
        return math.exp(-(room**2) / (2.0 * (self._divisor + room / 3.0))) * (1.0 + 1e-12)

    def _forget(self) -> None:
        """Start a step."""
        self._sum = None
        self._within = 0
        self._batch = 0

    def _factors(self, squares: list[Reals], taken: int) -> tuple[int, list[Reals]]:
        """Return how many samples are within the clip, less those that are not, and each layer's factors.

        Samples past the first ``taken`` get the factor 0, and are not counted.
        """
        if self._per_layer:
            factors = [_shrink(square, clip) for square, clip in zip(squares, self._clips, strict=True)]
            for factor in factors:
                factor[taken:] = 0.0
            return 0, factors
        total = sum(squares[1:], squares[0]) * (1.0 + len(squares) * 2.0**-52)
        shared = _shrink(total, self.clip)
        inside = 0 if self._adaptive is None else int(np.count_nonzero(shared[:taken] == 1.0))
        shared[taken:] = 0.0
        return 2 * inside - taken, [shared] * len(squares)

    def _lattice_noise(self) -> _LatticeNoise:
        """Return what a release draws; kept until the clip changes."""
        if self._prepared is None or self._prepared[0] != self.clip:
            step = self._granularity()
            sigma = Fraction(self._multiplier) * Fraction(self.sensitivity()) / Fraction(step)
            draws, distance = (
                self._dimension(),
                noise.distance("rounded_gaussian", sigma),
            )  # refuses a large sigma
            if self._count_sigma is not None:
                draws += 1
                distance = max(distance, noise.distance("rounded_gaussian", self._count_sigma))
            if self._max_batch * (self.clip / step) > _CAPACITY:
                raise OverflowError("the sum might not fit in int64; choose a smaller max_batch")
            # A batch that is too large is one more way to leave the law, here divided among the draws.
            farther = (distance + self._excess_probability() / max(draws, 1)) * _UP
            self._prepared = (
                self.clip,
                _LatticeNoise(step, rounded_gaussian_sampler(sigma), draws, distance, farther),
            )
        return self._prepared[1]

    def _granularity(self) -> float:
        """Return g: a power of two with g sqrt(d) between C/2^17 and C/2^16."""
        return math.ldexp(0.5, math.frexp(self.clip / (_STEPS / 2 * math.sqrt(self._dimension())))[1])

    def _dimension(self) -> int:
        """Return d."""
        return sum(math.prod(shape) for shapes in self._shapes or [] for shape in shapes)

    def _adapt(self, within: int) -> None:
        """Move the clip by a noisy count of the samples within it, less those that are not."""
        if self._adaptive is None or self._count_sigma is None:
            return
        noisy = within + noise.rounded_gaussian(self._count_sigma)
        share = 0.5 * (noisy / self._divisor + 1.0)
        excess = min(max(share, 0.0), 1.0) - self._adaptive.quantile
        moved = self._clips[0] * math.exp(-self._adaptive.learning_rate * excess)
        self._clips = [min(max(moved, _LEAST_CLIP), _LARGEST_CLIP)]


class DPOptimizer:
    """Stochastic gradient descent, with momentum, on private gradients.

    Parameters
    ----------
    parameters
        Arrays of floats, changed in place: in the order of the layers' shapes.
    private
        Makes the gradients.
    learning_rate
        > 0.
    momentum
        In [0, 1).

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or outside its range.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import dp
    >>> weight = np.zeros(2)
    >>> private = dp.sgd.PrivateGradient(dp.sgd.FixedSizeSampler(2, 2), clip=9.0, noise_multiplier=1e-9)
    >>> dp.sgd.DPOptimizer([weight], private, learning_rate=0.5).step([dp.sgd.PerSample([[1.0, 2.0], [3.0, 4.0]])])
    >>> weight.round(3).tolist()
    [-1.0, -1.5]
    """

    def __init__(
        self,
        parameters: Iterable[NDArray[np.floating]],
        private: PrivateGradient,
        *,
        learning_rate: float,
        momentum: float = 0.0,
    ) -> None:
        self._parameters = list(parameters)
        if not all(isinstance(p, np.ndarray) and p.dtype.kind == "f" for p in self._parameters):
            raise TypeError("parameters must be arrays of floats, which the optimizer changes in place")
        if not 0.0 <= _real("momentum", momentum) < 1.0:
            raise ValueError(f"momentum must lie in [0, 1), not {momentum}")
        self.private = private
        self.learning_rate, self.momentum = _positive("learning_rate", learning_rate), momentum
        self._shapes = [p.shape for p in self._parameters]
        self._velocities = [np.zeros(p.shape) for p in self._parameters] if momentum else []

    def step(self, layers: Sequence[Layer]) -> None:
        """Release a private gradient of the layers and move the parameters against it.

        Parameters
        ----------
        layers
            The layers' gradients, as for `PrivateGradient.add`.

        Raises
        ------
        ValueError
            If the gradients' shapes are not the parameters'. Nothing is released then.
        """
        shapes = [tuple(shape) for layer in layers for shape in layer.shapes]
        if shapes != self._shapes:
            raise ValueError(f"the gradients are of the shapes {shapes}, and the parameters are not")
        moves = self.private.step(layers)
        if self.momentum:
            for velocity, mean in zip(self._velocities, moves, strict=True):
                np.multiply(velocity, self.momentum, out=velocity)
                np.add(velocity, mean, out=velocity)
            moves = self._velocities
        for parameter, move in zip(self._parameters, moves, strict=True):
            np.subtract(parameter, self.learning_rate * move, out=parameter)


def _places(shapes: Iterable[tuple[int, ...]]) -> list[tuple[slice, tuple[int, ...]]]:
    """Return where arrays of these shapes lie in a vector, one after another."""
    shapes = list(shapes)
    ends = list(accumulate(math.prod(shape) for shape in shapes))
    return [(slice(end - math.prod(shape), end), shape) for end, shape in zip(ends, shapes, strict=True)]


def _public_divisor(sampler: Sampler, stated: float | None) -> float:
    """Return the batch size by which sums are divided: the sampler's, or the one that the caller vouches for."""
    if sampler.public_size is not None:
        if stated is not None:
            raise ValueError("the sampler fixes the batch size; give no expected_batch_size")
        return float(sampler.public_size)
    if stated is None:
        raise ValueError(
            "expected_batch_size must be given, a public constant: the number of records is secret"
        )
    return _positive("expected_batch_size", stated)


def _checked_clips(clip: float | Sequence[float]) -> list[float]:
    """Return the clips, in a range where nothing under- or overflows."""
    clips = [_positive("clip", c) for c in (clip if isinstance(clip, Sequence) else [clip])]
    if not clips or not all(_LEAST_CLIP <= c <= _LARGEST_CLIP for c in clips):
        raise ValueError("every clip must lie between 1e-100 and 1e100")
    return clips


def _shrink(squares: Reals, clip: float) -> Reals:
    """Return factors of at most min(1, clip/norm), from upper bounds of squared norms."""
    factors = np.empty(len(squares))
    if not shrinking_factors(np.ascontiguousarray(squares, dtype=np.float64), clip, factors):
        raise ValueError("gradients must be finite, and their norms below 1e150")
    return factors


def _count_multiplier(adaptive: AdaptiveClip | None, multiplier: float, batch: float) -> float | None:
    """Return the noise multiplier of the count of an adaptive clip."""
    if adaptive is None:
        return None
    chosen = adaptive.noise_multiplier
    if chosen is None:
        chosen = max(0.1 * batch, 2.0 * multiplier)
    if chosen <= multiplier:
        raise ValueError(
            "the count's noise multiplier must be above the step's, or nothing is left for the gradients"
        )
    return chosen
