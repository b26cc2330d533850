"""Windows of images: what can be done with each alone, and convolutions."""

import math
from dataclasses import dataclass

import numpy as np

from medcrypt.inference.sharing import Exchange, Material, Server, Words
from medcrypt.inference.steps.products import Product
from medcrypt.inference.steps.step import Array, Step, Weights

__all__ = ["Convolution", "SumPool", "Windows"]


@dataclass(frozen=True, kw_only=True)
class Windows(Step):
    """Something on windows of images of shape (channels, height, width), with zeros, or another number, around them.

    Parameters
    ----------
    kernel, stride, padding : tuple of two int
        Height and width.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int] = (0, 0)

    def check(self) -> None:
        super().check()
        pairs = (self.kernel, self.stride, self.padding)
        if (
            len(self.shape) != 3
            or any(len(pair) != 2 for pair in pairs)
            or min(self.kernel + self.stride) < 1
        ):
            raise ValueError(
                f"{type(self).__name__}: windows of {self.kernel} by {self.stride} on {self.shape}"
            )
        if min(self.padding) < 0 or min(self.places) < 1:
            raise ValueError(f"{type(self).__name__}: no window of {self.kernel} fits into {self.shape}")

    @property
    def places(self) -> tuple[int, int]:
        """How many windows there are downwards and across."""
        down, across = (
            (size + 2 * around - window) // step + 1
            for size, around, window, step in zip(
                self.shape[1:], self.padding, self.kernel, self.stride, strict=True
            )
        )
        return down, across

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.shape[0], *self.places)

    def windows(self, x: Array, around: int = 0) -> Array:
        """Return a view of shape (batch, channels, down, across, kernel height, kernel width).

        Parameters
        ----------
        x : ndarray
            Numbers or shares.
        around : int
            What is around the image: zeros, or this number modulo 2^64.
        """
        widths = [(0, 0), (0, 0), *((size, size) for size in self.padding)]
        filling = np.array(around % 2**64, np.uint64).astype(x.dtype)
        padded = np.pad(x, widths, constant_values=filling) if any(self.padding) else x
        views = np.lib.stride_tricks.sliding_window_view(padded, self.kernel, (2, 3))
        return views[:, :, :: self.stride[0], :: self.stride[1]]


@dataclass(frozen=True, kw_only=True)
class Convolution(Product, Windows):
    """A two-dimensional cross-correlation, as networks call a convolution: (channels, h, w) to (outputs, h', w').

    Parameters
    ----------
    outputs : int
        Output channels.
    groups : int
        Both kinds of channels come in so many groups, which do not see each other.
    """

    outputs: int
    groups: int = 1

    def check(self) -> None:
        super().check()
        if min(self.outputs, self.groups) < 1 or self.outputs % self.groups or self.shape[0] % self.groups:
            raise ValueError(f"{self.groups} groups of {self.shape[0]} and {self.outputs} channels")

    @property
    def output_shape(self) -> tuple[int, ...]:
        return (self.outputs, *self.places)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return (self.outputs, self.shape[0] // self.groups, *self.kernel)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.outputs, 1, 1)

    def product(self, x: Array, weight: Array) -> Array:
        batch, (down, across) = len(x), self.places
        channels = self.shape[0] // self.groups
        views = self.windows(x).reshape(batch, self.groups, channels, down, across, *self.kernel)
        size = channels * math.prod(self.kernel)
        rows = views.transpose(1, 0, 3, 4, 2, 5, 6).reshape(self.groups, batch * down * across, size)
        columns = weight.reshape(self.groups, self.outputs // self.groups, size).transpose(0, 2, 1)
        per_group = self.outputs // self.groups
        outputs = (rows @ columns).reshape(self.groups, batch, down, across, per_group)
        return outputs.transpose(1, 0, 4, 2, 3).reshape(batch, self.outputs, down, across)


@dataclass(frozen=True, kw_only=True)
class SumPool(Windows):
    """The sum of every window times a public number: local.

    Parameters
    ----------
    factor : int
        The number.
    """

    factor: int = 1

    def plain(self, x: Array, weights: Weights) -> Array:
        sums: Array = self.windows(x).sum((4, 5), dtype=x.dtype)
        sums *= x.dtype.type(self.factor)
        return sums

    def run(
        self, server: Server, x: Words, weights: Weights, fixed: Material, material: Material
    ) -> Exchange[Words]:
        return self.plain(x, weights)
        yield b""
