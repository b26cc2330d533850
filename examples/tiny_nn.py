"""A tiny neural network in numpy, for studies: forward, backward, and the layers that private gradients take.

It is no part of the library, which never computes a gradient. Every layer keeps what its backward pass needs;
`backward` gets the gradient of the *sum* of the losses for its output, returns the one for its input, and leaves in
`private` the piece of `medcrypt.dp.sgd` that clips this layer's per-sample gradients.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medcrypt.dp import sgd

Array = NDArray[np.floating]


class Layer:
    """A layer without parameters passes the gradient on; the others add to it."""

    parameters: Sequence[Array] = ()
    private: sgd.Layer | None = None

    def forward(self, x: Array) -> Array:
        """Return the output."""
        raise NotImplementedError

    def backward(self, dy: Array, first: bool = False) -> Array:
        """Return the gradient for the input; the first layer needs none."""
        raise NotImplementedError

    def gradients(self) -> list[Array]:
        """Return the gradients without privacy, of the last backward pass."""
        return []


class Dense(Layer):
    """y = x W + b."""

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator) -> None:
        self.w = rng.normal(0.0, np.sqrt(2.0 / inputs), (inputs, outputs))
        self.b = np.zeros(outputs)
        self.parameters = (self.w, self.b)

    def forward(self, x: Array) -> Array:
        """Return x W + b."""
        self._x = x
        return x @ self.w + self.b

    def backward(self, dy: Array, first: bool = False) -> Array:
        """Return dy W^T."""
        self._dy = dy
        return dy if first else dy @ self.w.T

    @property
    def private(self) -> sgd.Layer:
        """The layer as private gradients take it."""
        return sgd.Dense(self._x, self._dy)

    def gradients(self) -> list[Array]:
        """Return x^T dy and the sum of dy."""
        return [self._x.T @ self._dy, self._dy.sum(axis=0)]


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: Array) -> Array:
        """Return the positive part."""
        self._positive = x > 0.0
        return x * self._positive

    def backward(self, dy: Array, first: bool = False) -> Array:
        """Return dy where x was positive."""
        return dy * self._positive


class Convolution(Layer):
    """A two-dimensional convolution with stride and zero padding."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        side: int,
        rng: np.random.Generator,
        stride: int = 1,
        padding: int = 0,
    ) -> None:
        self.w = rng.normal(0.0, np.sqrt(2.0 / (inputs * side * side)), (outputs, inputs, side, side))
        self.b = np.zeros(outputs)
        self.parameters = (self.w, self.b)
        self._stride, self._padding = stride, padding

    def forward(self, x: Array) -> Array:
        """Return the correlation of the padded input with the kernel."""
        self._x, p, s = x, self._padding, self._stride
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.w.shape[2:], axis=(2, 3))[
            :, :, ::s, ::s
        ]
        return np.einsum("ncijkl,ockl->noij", windows, self.w, optimize=True) + self.b[:, None, None]

    def backward(self, dy: Array, first: bool = False) -> Array:
        """Return the gradient for the input: every window gets its part back."""
        self._dy, p, s = dy, self._padding, self._stride
        if first:
            return dy
        n, c, height, width = self._x.shape
        padded = np.zeros((n, c, height + 2 * p, width + 2 * p))
        rows, columns = dy.shape[2:]
        for i in range(self.w.shape[2]):
            for j in range(self.w.shape[3]):
                part = np.einsum("noij,oc->ncij", dy, self.w[:, :, i, j], optimize=True)
                padded[:, :, i : i + s * rows : s, j : j + s * columns : s] += part
        return padded[:, :, p : p + height, p : p + width]

    @property
    def private(self) -> sgd.Layer:
        """The layer as private gradients take it."""
        return sgd.Convolution(
            self._x, self._dy, self.w.shape[2:], stride=self._stride, padding=self._padding
        )


class GroupNorm(Layer):
    """Normalisation of groups of channels of one sample, then a scale and a shift for each channel."""

    def __init__(self, channels: int, groups: int) -> None:
        self.scale, self.shift = np.ones(channels), np.zeros(channels)
        self.parameters = (self.scale, self.shift)
        self._groups = groups

    def forward(self, x: Array) -> Array:
        """Normalise each group to mean 0 and variance 1."""
        grouped = x.reshape(len(x), self._groups, -1)
        centred = grouped - grouped.mean(axis=2, keepdims=True)
        self._deviation = np.sqrt(np.square(centred).mean(axis=2, keepdims=True) + 1e-5)
        self._normalized = (centred / self._deviation).reshape(x.shape)
        return self._normalized * self.scale[:, None, None] + self.shift[:, None, None]

    def backward(self, dy: Array, first: bool = False) -> Array:
        """Return the gradient through mean and deviation."""
        self._dy = dy
        inner = (dy * self.scale[:, None, None]).reshape(len(dy), self._groups, -1)
        unit = self._normalized.reshape(inner.shape)
        along = unit * (inner * unit).mean(axis=2, keepdims=True)
        return ((inner - inner.mean(axis=2, keepdims=True) - along) / self._deviation).reshape(dy.shape)

    @property
    def private(self) -> sgd.Layer:
        """The layer as private gradients take it."""
        return sgd.GroupNorm(self._normalized, self._dy)


class Flatten(Layer):
    """One row for each sample."""

    def forward(self, x: Array) -> Array:
        """Return x as a matrix."""
        self._shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Array, first: bool = False) -> Array:
        """Return dy in the input's shape."""
        return dy.reshape(self._shape)


class Network:
    """Layers one after another, with the cross-entropy of a softmax at the end."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = list(layers)

    @property
    def parameters(self) -> list[Array]:
        """All parameters, layer by layer."""
        return [parameter for layer in self.layers for parameter in layer.parameters]

    def forward(self, x: Array) -> Array:
        """Return the scores."""
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, scores: Array, labels: NDArray[np.integer]) -> None:
        """Go back from the gradient of the summed cross-entropy: softmax minus the true class."""
        shifted = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        dy = shifted / shifted.sum(axis=1, keepdims=True)
        dy[np.arange(len(labels)), labels] -= 1.0
        for number in range(len(self.layers) - 1, -1, -1):
            dy = self.layers[number].backward(dy, first=number == 0)

    def private(self, x: Array, labels: NDArray[np.integer]) -> list[sgd.Layer]:
        """Return the layers' per-sample gradients of one batch, as `PrivateGradient` takes them."""
        self.backward(self.forward(x), labels)
        return [private for layer in self.layers if (private := layer.private) is not None]

    def gradients(self, x: Array, labels: NDArray[np.integer]) -> list[Array]:
        """Return the summed gradients without privacy."""
        self.backward(self.forward(x), labels)
        return [gradient for layer in self.layers for gradient in layer.gradients()]

    def predict(self, x: Array) -> NDArray[np.integer]:
        """Return the class of the largest score."""
        return np.argmax(self.forward(x), axis=1)


def perceptron(inputs: int, hidden: int, classes: int, seed: int = 0) -> Network:
    """Return a network of one hidden layer."""
    rng = np.random.default_rng(seed)
    return Network([Dense(inputs, hidden, rng), ReLU(), Dense(hidden, classes, rng)])
