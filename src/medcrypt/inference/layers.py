"""The layers of a network, in real numbers, and how each becomes steps on integers.

A layer *lowers* itself: given the shape, the bits behind the point and the largest magnitude of its inputs, it adds
`steps` to a `Lowering` and returns the same of its outputs. Products double the bits behind the point; the division
that brings them back waits for the next layer that needs it, and is merged with a ReLU where one comes first.

The largest magnitude is proven: it begins with the model's clip, and a product multiplies it by the largest sum of
absolute weights of one output, rounded up so that its public bound is one below a power of two.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.errors import CapacityError
from medcrypt.inference import steps
from medcrypt.inference.sharing import LARGEST_BITS, nested, to_fixed
from medcrypt.inference.steps import Step, Weights

__all__ = [
    "Argmax",
    "AvgPool",
    "BatchNorm",
    "Conv2d",
    "Dense",
    "Flatten",
    "Layer",
    "Lowering",
    "MaxPool",
    "ReLU",
    "Residual",
    "Threshold",
    "Values",
    "arranged",
]

Pair = int | tuple[int, int]
WEIGHT_BITS = 40  # of a weight's magnitude


@dataclass(frozen=True)
class Values:
    """What is public about numbers between two layers.

    Parameters
    ----------
    shape : tuple of int
        Of one of the batch.
    fraction : int
        Bits behind the point.
    bound : int
        The largest magnitude of the integers.
    """

    shape: tuple[int, ...]
    fraction: int
    bound: int

    @property
    def bits(self) -> int:
        """The smallest b with |x| < 2^b."""
        return self.bound.bit_length()


@dataclass
class Lowering:
    """Steps and integer weights, as they are made.

    Parameters
    ----------
    fraction : int
        Bits behind the point of what products take.
    probable : bool
        Divide by `sharing.drop_bits_probably` instead of exactly.
    """

    fraction: int
    probable: bool = False
    label: str = ""
    steps: list[Step] = field(default_factory=list)
    weights: list[Weights] = field(default_factory=list)

    def add(self, step: Step, weights: Weights | None = None) -> None:
        """Append a step, and its integers."""
        self.steps.append(step)
        self.weights.append(weights or {})

    def checked(self, values: Values) -> Values:
        """Return values whose magnitude a step can handle.

        Raises
        ------
        CapacityError
            It is too large.
        """
        if values.bits > LARGEST_BITS:
            raise CapacityError(
                f"{self.label}: numbers of up to {values.bits} bits do not fit into {LARGEST_BITS}; "
                "use fewer bits behind the point or a smaller clip"
            )
        return values

    def excess(self, values: Values) -> int:
        """Return how many bits behind the point are too many for a product."""
        return values.fraction - self.fraction

    def divided(self, values: Values, shift: int) -> Values:
        """Return what a division by 2^shift makes of values."""
        if shift == 0:
            return values
        bound = (values.bound + (1 << shift - 1) >> shift) + int(self.probable)
        return Values(values.shape, values.fraction - shift, bound)

    def at_base(self, values: Values) -> Values:
        """Divide, if there are too many bits behind the point."""
        shift = self.excess(values)
        if shift == 0:
            return values
        step = steps.Divide(
            layer=self.label, shape=values.shape, bits=values.bits, shift=shift, probable=self.probable
        )
        self.add(step)
        return self.divided(values, shift)

    def branch(self, layers: Sequence["Layer"], values: Values) -> tuple["Lowering", Values]:
        """Lower a sequence of its own, back to `fraction` bits behind the point."""
        side = Lowering(self.fraction, self.probable, self.label)
        for layer in arranged(layers):
            side.label = f"{self.label}.{type(layer).__name__}"
            values = layer.lower(values, side)
        return side, side.at_base(values)


class Layer(Protocol):
    """What a layer can do."""

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add steps to a lowering, and return what is public about their outputs."""


def _pair(value: Pair) -> tuple[int, int]:
    """Return two numbers where one may stand for both."""
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def _real(values: ArrayLike, dimensions: int, name: str) -> NDArray[np.float64]:
    """Return finite real numbers of so many dimensions."""
    array = np.array(values, np.float64)
    if array.ndim != dimensions or not np.all(np.isfinite(array)):
        raise ValueError(f"{name} are finite numbers in {dimensions} dimensions")
    return array


def _image(values: Values, layer: object) -> Values:
    """Return values that have the shape of images."""
    if len(values.shape) != 3:
        raise ValueError(f"{type(layer).__name__} takes (channels, height, width), not {values.shape}")
    return values


def _product(
    values: Values,
    lowering: Lowering,
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    outputs_axis: int,
) -> tuple[int, Weights]:
    """Return the public bound of a product's outputs, and its integers."""
    integers = to_fixed(weight, lowering.fraction, WEIGHT_BITS)
    offset = to_fixed(bias, lowering.fraction + values.fraction)
    others = tuple(axis for axis in range(weight.ndim) if axis != outputs_axis)
    sums = np.abs(integers).sum(axis=others)
    bound = max(int(sums[j]) * values.bound + abs(int(offset.ravel()[j])) for j in range(len(sums)))
    return (1 << bound.bit_length()) - 1, {"weight": integers, "bias": offset}


class Dense:
    """x w + b.

    Parameters
    ----------
    weights : array of shape (inputs, outputs)
        w, finite real numbers.
    bias : array of shape (outputs,), optional
        b.

    Raises
    ------
    ValueError
        The shapes do not fit, or a number is not finite.
    """

    def __init__(self, weights: ArrayLike, bias: ArrayLike | None = None) -> None:
        self.weights = _real(weights, 2, "weights")
        self.bias = np.zeros(self.weights.shape[1]) if bias is None else _real(bias, 1, "biases")
        if self.bias.shape != self.weights.shape[1:] or self.weights.size == 0:
            raise ValueError(f"weights {self.weights.shape} and biases {self.bias.shape} do not fit")

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add a product; see `Layer`."""
        if values.shape != self.weights.shape[:1]:
            raise ValueError(f"Dense takes ({len(self.weights)},), not {values.shape}")
        values = lowering.at_base(values)
        bound, weights = _product(values, lowering, self.weights, self.bias, 1)
        outputs = self.weights.shape[1]
        lowering.add(
            steps.Dense(layer=lowering.label, shape=values.shape, bits=values.bits, outputs=outputs), weights
        )
        return lowering.checked(Values((outputs,), values.fraction + lowering.fraction, bound))

    def scaled(self, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> "Dense":
        """Return the layer followed by scale y + shift."""
        return Dense(self.weights * scale, self.bias * scale + shift)


class Conv2d:
    """A two-dimensional cross-correlation with zeros around the image, as `torch.nn.Conv2d` computes it.

    Parameters
    ----------
    weights : array of shape (outputs, channels / groups, height, width)
        Finite real numbers.
    bias : array of shape (outputs,), optional
        Added to every place of an output channel.
    stride, padding : int or tuple of two int
        Downwards and across.
    groups : int
        Both kinds of channels come in so many groups, which do not see each other.

    Raises
    ------
    ValueError
        The shapes do not fit, or a number is not finite.
    """

    def __init__(
        self,
        weights: ArrayLike,
        bias: ArrayLike | None = None,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        groups: int = 1,
    ) -> None:
        self.weights = _real(weights, 4, "weights")
        outputs = len(self.weights)
        self.bias = np.zeros(outputs) if bias is None else _real(bias, 1, "biases")
        self.stride, self.padding, self.groups = _pair(stride), _pair(padding), int(groups)
        if self.bias.shape != (outputs,) or self.weights.size == 0:
            raise ValueError(f"weights {self.weights.shape} and biases {self.bias.shape} do not fit")
        if min(self.stride) < 1 or min(self.padding) < 0 or self.groups < 1 or outputs % self.groups:
            raise ValueError("strides and groups are positive, and groups divide the output channels")

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add a product; see `Layer`."""
        outputs, channels, *kernel = self.weights.shape
        if _image(values, self).shape[0] != channels * self.groups:
            raise ValueError(f"Conv2d takes {channels * self.groups} channels, not {values.shape[0]}")
        values = lowering.at_base(values)
        bound, weights = _product(values, lowering, self.weights, self.bias[:, None, None], 0)
        step = steps.Convolution(
            layer=lowering.label,
            shape=values.shape,
            bits=values.bits,
            kernel=(kernel[0], kernel[1]),
            stride=self.stride,
            padding=self.padding,
            outputs=outputs,
            groups=self.groups,
        )
        _fitting(step)
        lowering.add(step, weights)
        return lowering.checked(Values(step.output_shape, values.fraction + lowering.fraction, bound))

    def scaled(self, scale: NDArray[np.float64], shift: NDArray[np.float64]) -> "Conv2d":
        """Return the layer followed by scale y + shift for each output channel."""
        return Conv2d(
            self.weights * scale[:, None, None, None],
            self.bias * scale + shift,
            stride=self.stride,
            padding=self.padding,
            groups=self.groups,
        )


def _fitting(step: steps.Convolution | steps.SumPool | steps.MaxPool) -> None:
    """Refuse windows that are larger than the image."""
    if min(step.places) < 1:
        raise ValueError(f"a window of {step.kernel} does not fit into {step.shape[1:]}")


class ReLU:
    """max(x, 0), or min(max(x, 0), limit).

    A limit keeps the proven magnitudes of a deep network from growing with every layer, which otherwise ends in a
    `CapacityError`; train with the same one (a "ReLU6" has the limit 6).

    Parameters
    ----------
    limit : float, optional
        Positive.
    """

    def __init__(self, limit: float | None = None) -> None:
        if limit is not None and not 0 < limit < 2**24:
            raise ValueError("a limit is positive")
        self.limit = None if limit is None else float(limit)

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add a sign, a division where one is due, and a selection; see `Layer`."""
        shift = lowering.excess(values)
        limit = 0 if self.limit is None else int(to_fixed(np.array(self.limit), lowering.fraction))
        if limit << shift >= values.bound:
            limit = 0  # nothing can reach it
        lowering.add(
            steps.Rectify(
                layer=lowering.label,
                shape=values.shape,
                bits=values.bits,
                shift=shift,
                probable=lowering.probable,
                limit=limit,
            )
        )
        outputs = lowering.divided(values, shift)
        return Values(outputs.shape, outputs.fraction, limit + int(lowering.probable)) if limit else outputs


class AvgPool:
    """The mean of every window; zeros around the image count, as in `torch.nn.AvgPool2d`.

    A window whose size is a power of two is divided exactly; another is multiplied by a rounded reciprocal.

    Parameters
    ----------
    kernel : int or tuple of two int
        Height and width of a window.
    stride : int or tuple of two int, optional
        By default the kernel.
    padding : int or tuple of two int
        Zeros around the image.
    """

    def __init__(self, kernel: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel = _pair(kernel)
        self.stride = self.kernel if stride is None else _pair(stride)
        self.padding = _pair(padding)
        if min(self.kernel) < 1 or min(self.stride) < 1 or min(self.padding) < 0:
            raise ValueError("kernels and strides are positive, and padding is not negative")

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add a sum; see `Layer`."""
        _image(values, self)
        size = math.prod(self.kernel)
        exact = size & size - 1 == 0
        bits = size.bit_length() - 1 if exact else lowering.fraction
        factor = 1 if exact else round(2**lowering.fraction / size)
        wide = (values.bound * size * factor).bit_length() > LARGEST_BITS
        if wide or lowering.excess(values) > lowering.fraction:
            values = lowering.at_base(values)
        step = steps.SumPool(
            layer=lowering.label,
            shape=values.shape,
            bits=values.bits,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            factor=factor,
        )
        _fitting(step)
        lowering.add(step)
        bound = values.bound * size * factor
        return lowering.checked(Values(step.output_shape, values.fraction + bits, bound))


class MaxPool:
    """The largest number of every window.

    Parameters
    ----------
    kernel : int or tuple of two int
        Height and width of a window.
    stride : int or tuple of two int, optional
        By default the kernel.
    padding : int or tuple of two int
        How far windows reach beyond the image: at most half their size.
    """

    def __init__(self, kernel: Pair, stride: Pair | None = None, padding: Pair = 0) -> None:
        self.kernel = _pair(kernel)
        self.stride = self.kernel if stride is None else _pair(stride)
        self.padding = _pair(padding)
        if min(self.kernel) < 1 or min(self.stride) < 1 or min(self.padding) < 0:
            raise ValueError("kernels and strides are positive, and padding is not negative")
        if any(2 * around > size for around, size in zip(self.padding, self.kernel, strict=True)):
            raise ValueError("padding is at most half the kernel")

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add a knock-out for each window; see `Layer`."""
        _image(values, self)
        step = steps.MaxPool(
            layer=lowering.label,
            shape=values.shape,
            bits=values.bits,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
        )
        _fitting(step)
        lowering.add(step)
        return Values(step.output_shape, values.fraction, values.bound)


class BatchNorm:
    """gain (x - mean) / sqrt(variance + epsilon) + shift, for each channel or feature.

    After a `Dense` or `Conv2d` it becomes part of that layer's weights and costs nothing.

    Parameters
    ----------
    mean, variance, gain, shift : arrays of shape (channels,)
        What training left; gain is 1 and shift 0 by default.
    epsilon : float
        Keeps the root from zero.
    """

    def __init__(
        self,
        mean: ArrayLike,
        variance: ArrayLike,
        gain: ArrayLike | None = None,
        shift: ArrayLike | None = None,
        epsilon: float = 1e-5,
    ) -> None:
        centre, spread = _real(mean, 1, "means"), _real(variance, 1, "variances")
        if np.any(spread + epsilon <= 0):
            raise ValueError("variances are not negative, and epsilon is positive")
        factor = np.ones_like(centre) if gain is None else _real(gain, 1, "gains")
        offset = np.zeros_like(centre) if shift is None else _real(shift, 1, "shifts")
        if not centre.shape == spread.shape == factor.shape == offset.shape:
            raise ValueError("there is one mean, variance, gain and shift for each channel")
        self.scale = factor / np.sqrt(spread + epsilon)
        self.shift = offset - centre * self.scale

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add a convolution of each channel with one weight; see `Layer`."""
        channels = len(self.scale)
        image = (
            values if len(values.shape) == 3 else Values((*values.shape, 1, 1), values.fraction, values.bound)
        )
        alone = Conv2d(self.scale.reshape(-1, 1, 1, 1), self.shift, groups=channels)
        outputs = alone.lower(image, lowering)
        return Values(values.shape, outputs.fraction, outputs.bound)


class Flatten:
    """All numbers of one input in one dimension, the last axis first to change."""

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add nothing; see `Layer`."""
        return Values((math.prod(values.shape),), values.fraction, values.bound)


class Residual:
    """body(x) + shortcut(x).

    Parameters
    ----------
    body : sequence of layers
        One way.
    shortcut : sequence of layers
        The other; none at all means x itself.
    """

    def __init__(self, body: Sequence[Layer], shortcut: Sequence[Layer] = ()) -> None:
        self.body, self.shortcut = tuple(body), tuple(shortcut)

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add both ways and their sum; see `Layer`."""
        values = lowering.at_base(values)
        body, first = lowering.branch(self.body, values)
        shortcut, second = lowering.branch(self.shortcut, values)
        if first.shape != second.shape:
            raise ValueError(f"the ways of a Residual end in {first.shape} and {second.shape}")
        weights = {
            name: array
            for way, side in (("body", body), ("shortcut", shortcut))
            for place, entry in enumerate(side.weights)
            for name, array in nested(f"{way}.{place}", entry).items()
        }
        step = steps.Branch(
            layer=lowering.label,
            shape=values.shape,
            bits=values.bits,
            body=tuple(body.steps),
            shortcut=tuple(shortcut.steps),
        )
        lowering.add(step, weights)
        return lowering.checked(Values(first.shape, first.fraction, first.bound + second.bound))


class Argmax:
    """The index of the largest number of a vector; of equal ones, the lowest. It ends a model."""

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add the comparisons; see `Layer`."""
        if len(values.shape) != 1:
            raise ValueError(f"Argmax takes a vector, not {values.shape}: put a Flatten before it")
        lowering.add(steps.Argmax(layer=lowering.label, shape=values.shape, bits=values.bits))
        return Values((), 0, values.shape[0] - 1)


class Threshold:
    """1 where the logistic function of x is above a probability, else 0: for a logistic regression. It ends a model.

    A single number gives a single class, of shape ().

    Parameters
    ----------
    probability : float
        Between 0 and 1, both excluded.
    """

    def __init__(self, probability: float = 0.5) -> None:
        if not 0 < probability < 1:
            raise ValueError("the probability is between 0 and 1")
        self.probability = float(probability)

    def lower(self, values: Values, lowering: Lowering) -> Values:
        """Add a comparison with the logit; see `Layer`."""
        logit = math.log(self.probability) - math.log1p(-self.probability)
        level = int(to_fixed(np.array(logit), values.fraction))
        bits = lowering.checked(Values(values.shape, 0, max(values.bound, abs(level)))).bits
        lowering.add(steps.Threshold(layer=lowering.label, shape=values.shape, bits=bits, level=level))
        return Values(() if values.shape == (1,) else values.shape, 0, 1)


def arranged(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers that compute the same for less.

    A `BatchNorm` goes into the product before it. A `ReLU` before a `MaxPool` goes behind it, where there are fewer
    numbers: both keep the order of numbers, so the results are equal.
    """
    order: list[Layer] = []
    for layer in layers:
        last = order[-1] if order else None
        if isinstance(layer, BatchNorm) and isinstance(last, Dense | Conv2d):
            order[-1] = last.scaled(layer.scale, layer.shift)
        elif isinstance(layer, MaxPool) and isinstance(last, ReLU):
            order[-1:] = [layer, last]
        else:
            order.append(layer)
    return order
