"""Per-sample gradients of layers: how long each is, and their weighted sum, without holding them where possible.

Every layer takes what back-propagation has at hand: its input, and the gradient of the *sum* of the losses for its
output. Three facts make the result a sound one, see `private`:

* `squared_norms` are upper bounds of the exact squared norms of each sample's gradient: a sum of k numbers >= 0 is off
  by a factor within 1 +- k 2^-53 or so, whatever underflows is below 2^-1000, and the results are widened by more than
  both (`_ext/clip`).
* a coordinate of `weighted_sums` is a sum of at most one product for each sample. With n samples the error of
  the whole vector is then at most gamma_(n+2) times the sum of the weighted norms, gamma_k = k u/(1 - k u), u = 2^-53,
  in any order of additions, with or without fused multiplications (Higham 2002, Section 4.2).
* each sample's gradient is computed from this sample's own rows. What a layer's inputs owe to other samples, as in
  batch normalisation, nobody can repair here.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt._ext import clip

__all__ = ["Convolution", "Dense", "Embedding", "GroupNorm", "Layer", "PerSample", "SequenceDense"]

Reals = NDArray[np.float64]

_UNIT = 2.0**-52


class Layer(Protocol):
    """What private gradients ask of a layer."""

    @property
    def samples(self) -> int:
        """Number of samples n."""

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the gradients, of the weight and then of what else the layer has."""

    def squared_norms(self) -> Reals:
        """Return for each sample an upper bound of the squared norm of its gradient, shape (n,)."""

    def weighted_sums(self, factors: Reals) -> list[Reals]:
        """Return the sums over samples of factor times gradient."""


class PerSample:
    """Gradients that are there already: one for each sample, from any framework.

    Parameters
    ----------
    gradients
        Any number of arrays, one for each parameter: n times its shape.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers, none are given, or they differ in n.

    Examples
    --------
    >>> from medcrypt import dp
    >>> dp.sgd.PerSample([[3.0, 4.0], [0.0, 2.0]]).squared_norms().round(9).tolist()
    [25.0, 4.0]
    """

    def __init__(self, *gradients: ArrayLike) -> None:
        self._gradients = [_reals("gradients", gradient, 1) for gradient in gradients]
        if len({len(gradient) for gradient in self._gradients}) != 1:
            raise ValueError("gradients must be arrays of the same number of samples, at least one array")
        self.samples = len(self._gradients[0])
        self.shapes = [gradient.shape[1:] for gradient in self._gradients]
        self._flat = [
            gradient.reshape(self.samples, math.prod(gradient.shape[1:])) for gradient in self._gradients
        ]

    def squared_norms(self) -> Reals:
        """Return for each sample an upper bound of the squared norm of its gradient, shape (n,)."""
        squares = [_squares(flat) for flat in self._flat]
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(sum(squares[1:], squares[0]) * (1.0 + (len(squares) + 1) * _UNIT))

    def weighted_sums(self, factors: Reals) -> list[Reals]:
        """Return the sums over samples of factor times gradient."""
        return [(factors @ flat).reshape(shape) for flat, shape in zip(self._flat, self.shapes, strict=True)]


class Dense:
    """A matrix product y = x W + b: its gradients are the outer product of x and dy, and dy.

    Nothing is materialised: the norm of an outer product is the product of the norms (Goodfellow 2015), and the
    weighted sum is one matrix product.

    Parameters
    ----------
    inputs
        x, of shape (n, inputs).
    output_gradients
        dy, the gradient of the sum of the losses for y, of shape (n, outputs).
    bias
        Whether there is a b.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers, or the shapes do not fit.

    Examples
    --------
    >>> from medcrypt import dp
    >>> layer = dp.sgd.Dense([[3.0, 4.0]], [[2.0]])
    >>> layer.squared_norms().round(9).tolist(), layer.shapes
    ([104.0], [(2, 1), (1,)])
    """

    def __init__(self, inputs: ArrayLike, output_gradients: ArrayLike, *, bias: bool = True) -> None:
        self._x, self._dy = _reals("inputs", inputs, 2), _reals("output_gradients", output_gradients, 2)
        if self._x.ndim != 2 or self._dy.ndim != 2 or len(self._x) != len(self._dy):
            raise ValueError(f"inputs {self._x.shape} and output_gradients {self._dy.shape} do not fit")
        self._bias = bias
        self.samples = len(self._x)
        weight: tuple[int, ...] = (self._x.shape[1], self._dy.shape[1])
        self.shapes = [weight, weight[1:]] if bias else [weight]

    def squared_norms(self) -> Reals:
        """Return for each sample an upper bound of the squared norm of its gradient, shape (n,)."""
        bounds = np.empty(self.samples)
        clip.outer_squares(self._x, self._dy, bounds, bias=self._bias)
        return bounds

    def weighted_sums(self, factors: Reals) -> list[Reals]:
        """Return the sums over samples of factor times gradient."""
        scaled, of_bias = np.empty_like(self._dy), np.empty(self._dy.shape[1])
        clip.scaled(self._dy, np.ascontiguousarray(factors, dtype=np.float64), scaled, of_bias)
        of_weight = self._x.T @ scaled
        return [of_weight, of_bias] if self._bias else [of_weight]


class SequenceDense(PerSample):
    """A matrix product on every row of a sequence: the gradients of a sample's rows add up.

    Parameters
    ----------
    inputs
        Shape (n, rows, inputs).
    output_gradients
        Gradient of the sum of the losses for the output, of shape (n, rows, outputs).
    bias
        Whether there is one.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers, or the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import dp
    >>> dp.sgd.SequenceDense(np.ones((2, 7, 3)), np.ones((2, 7, 4))).shapes
    [(3, 4), (4,)]
    """

    def __init__(self, inputs: ArrayLike, output_gradients: ArrayLike, *, bias: bool = True) -> None:
        x, dy = _reals("inputs", inputs, 3), _reals("output_gradients", output_gradients, 3)
        if x.ndim != 3 or x.shape[:-1] != dy.shape[:-1]:
            raise ValueError(f"inputs {x.shape} and output_gradients {dy.shape} do not fit")
        with np.errstate(all="ignore"):
            weights = np.matmul(x.transpose(0, 2, 1), dy)
            super().__init__(weights, *([dy.sum(axis=1)] if bias else []))


class Convolution(PerSample):
    """A two-dimensional convolution (cross-correlation, as networks have it).

    Parameters
    ----------
    inputs
        Shape (n, channels, height, width).
    output_gradients
        Gradient of the sum of the losses for the output, shape (n, outputs, rows, columns).
    kernel
        Height and width of the kernel; the weight is of shape ``(outputs, channels, *kernel)``.
    stride, padding
        Of the convolution, equal in both directions; the padding is with zeros.
    bias
        Whether there is one, of shape (outputs,).

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers, or the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import dp
    >>> dp.sgd.Convolution(np.ones((2, 3, 8, 8)), np.ones((2, 4, 6, 6)), (3, 3)).shapes
    [(4, 3, 3, 3), (4,)]
    """

    def __init__(
        self,
        inputs: ArrayLike,
        output_gradients: ArrayLike,
        kernel: tuple[int, int],
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
    ) -> None:
        x, dy = _reals("inputs", inputs, 4), _reals("output_gradients", output_gradients, 4)
        if x.ndim != 4 or dy.ndim != 4 or stride < 1 or padding < 0:
            raise ValueError("a convolution needs arrays of 4 dimensions, stride >= 1 and padding >= 0")
        padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
        if min(kernel) < 1 or kernel[0] > padded.shape[2] or kernel[1] > padded.shape[3]:
            raise ValueError(f"a kernel of {kernel} does not fit inputs of {x.shape}")
        windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride]
        n, channels, rows, columns = windows.shape[:4]
        if dy.shape[0] != n or dy.shape[2:] != (rows, columns):
            raise ValueError(f"output_gradients must be of the shape ({n}, outputs, {rows}, {columns})")
        places = windows.transpose(0, 2, 3, 1, 4, 5)
        places = places.reshape(n, rows * columns, channels * kernel[0] * kernel[1])
        with np.errstate(all="ignore"):
            weights = np.matmul(dy.reshape(n, dy.shape[1], rows * columns), places)
            weights = weights.reshape(n, dy.shape[1], channels, *kernel)
            super().__init__(weights, *([dy.sum(axis=(2, 3))] if bias else []))


class GroupNorm(PerSample):
    """The scale and the shift of a group, layer or instance normalisation.

    Parameters
    ----------
    normalized
        The normalised input, before scale and shift: shape (n, channels, ...).
    output_gradients
        Gradient of the sum of the losses for the output, of the same shape.

    Raises
    ------
    TypeError, ValueError
        If they are no real numbers, or the shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import dp
    >>> dp.sgd.GroupNorm(np.ones((2, 8, 5, 5)), np.ones((2, 8, 5, 5))).shapes
    [(8,), (8,)]
    """

    def __init__(self, normalized: ArrayLike, output_gradients: ArrayLike) -> None:
        x, dy = _reals("normalized", normalized, 2), _reals("output_gradients", output_gradients, 2)
        if x.shape != dy.shape:
            raise ValueError(f"normalized {x.shape} and output_gradients {dy.shape} do not fit")
        places = tuple(range(2, x.ndim))
        with np.errstate(all="ignore"):
            super().__init__((x * dy).sum(axis=places), dy.sum(axis=places))


class Embedding:
    """A table whose rows are looked up: a sample's gradient is nonzero in the rows it asked for, repeats added up.

    Parameters
    ----------
    indices
        Rows that each sample asked for: integers of shape (n, ...).
    output_gradients
        Gradient of the sum of the losses for the rows looked up, of shape (n, ..., width).
    rows
        Number of rows of the table.

    Raises
    ------
    TypeError, ValueError
        If indices are no integers or outside the table, or the shapes do not fit.

    Examples
    --------
    >>> from medcrypt import dp
    >>> layer = dp.sgd.Embedding([[0, 0]], [[[1.0], [2.0]]], rows=3)
    >>> layer.squared_norms().round(9).tolist(), layer.shapes
    ([9.0], [(3, 1)])
    """

    def __init__(self, indices: ArrayLike, output_gradients: ArrayLike, rows: int) -> None:
        index, dy = np.asarray(indices), _reals("output_gradients", output_gradients, 2)
        if index.dtype.kind not in "iu":
            raise TypeError(f"indices must be integers, not {index.dtype}")
        if index.shape != dy.shape[:-1]:
            raise ValueError(f"indices {index.shape} and output_gradients {dy.shape} do not fit")
        if index.size and not (int(index.min()) >= 0 and int(index.max()) < rows):
            raise ValueError(f"indices must be from 0 to {rows - 1}")
        self.samples, width = len(index), dy.shape[-1]
        self.shapes = [(rows, width)]
        sample = np.repeat(np.arange(self.samples), math.prod(index.shape[1:]))
        key = sample * rows + index.ravel().astype(np.int64)
        order = np.argsort(key, kind="stable")
        found, starts = np.unique(key[order], return_index=True)
        self._sample, self._row = found // rows, found % rows
        flat = dy.reshape(key.size, width)[order]
        self._sums = np.add.reduceat(flat, starts, axis=0) if key.size else flat

    def squared_norms(self) -> Reals:
        """Return for each sample an upper bound of the squared norm of its gradient, shape (n,)."""
        squares = np.bincount(self._sample, weights=_squares(self._sums), minlength=self.samples)
        return np.asarray(squares * (1.0 + (len(self._sample) + 1) * _UNIT))

    def weighted_sums(self, factors: Reals) -> list[Reals]:
        """Return the sums over samples of factor times gradient."""
        table = np.zeros(self.shapes[0])
        np.add.at(table, self._row, self._sums * factors[self._sample][:, None])
        return [table]


def _reals(name: str, values: ArrayLike, least: int) -> Reals:
    """Return an array of doubles of at least so many dimensions; what is not finite shows in the norms."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must be real numbers, not {array.dtype}")
    if array.ndim < least:
        raise ValueError(f"{name} must have at least {least} dimensions, the samples first")
    if array.dtype == np.float64:
        return np.asarray(array, dtype=np.float64, order="C")
    with np.errstate(over="ignore"):
        return array.astype(np.float64, order="C")


def _squares(flat: Reals) -> Reals:
    """Return upper bounds of the sums of squares of rows."""
    bounds = np.empty(len(flat))
    clip.squares(flat, bounds)
    return bounds
