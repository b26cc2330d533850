"""A network whose weights stay with its owner: from real numbers to a public circuit and secret integers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medcrypt.inference.circuit import Circuit, share_weights
from medcrypt.inference.layers import (
    Argmax,
    BatchNorm,
    Conv2d,
    Dense,
    Layer,
    Lowering,
    ReLU,
    Threshold,
    Values,
    arranged,
)
from medcrypt.inference.sharing import Material, from_fixed, to_fixed

__all__ = ["Compiled", "Sequential"]

Module = str | tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Compiled:
    """A model for inputs of one shape.

    Parameters
    ----------
    circuit : Circuit
        Public.
    weights : list of dict of ndarray of int64
        The owner's secret integers, by step.
    """

    circuit: Circuit
    weights: list[Mapping[str, NDArray[np.int64]]]

    def __repr__(self) -> str:
        return f"Compiled({self.circuit!r})"

    def share(self) -> tuple[list[Material], list[Material]]:
        """Return fresh shares of the weights: one list to each server."""
        return share_weights(self.weights)

    def integers(self, inputs: ArrayLike) -> NDArray[np.int64]:
        """Return the integers that the circuit computes, in the clear: what the servers' shares add up to."""
        x = self.circuit.integers(np.asarray(inputs))
        for step, weights in zip(self.circuit.steps, self.weights, strict=True):
            x = step.plain(x.reshape(-1, *step.shape), weights)
        return x.reshape(-1, *self.circuit.output_shape)

    def predict(self, inputs: ArrayLike) -> NDArray[Any]:
        """Return classes (int64) or scores (float64), computed in the clear in fixed point."""
        outputs = self.integers(inputs)
        fraction = self.circuit.output_fraction
        return outputs if fraction is None else from_fixed(outputs, fraction)


class Sequential:
    """Layers, one after the other, for inference under shares.

    Parameters
    ----------
    layers : sequence of layers
        The last is an `Argmax` or a `Threshold`, unless scores may be opened.
    fraction : int
        Bits behind the point of inputs, weights and activations, 1 to 24.
    clip : float
        Inputs are within [-clip, clip]; the smaller, the cheaper.
    truncation : {"exact", "probable"}
        How products get back to `fraction` bits: exactly, to the nearest; or without comparisons, within one unit of
        the last place, with a small probability of a wrong result; see `sharing.drop_bits_probably`.
    reveal_scores : bool
        Whether a model may end without classes, so that the client learns its scores.

    Raises
    ------
    ValueError
        There are no layers, a parameter is out of range, or the model would open its scores unasked.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import inference
    >>> model = inference.Sequential([inference.Dense([[1.0, -1.0], [0.5, 2.0]]), inference.Argmax()])
    >>> compiled = model.compile()
    >>> classes, messages = inference.simulate(compiled.circuit, compiled.share(), np.array([[1, 0], [0, 1]]))
    >>> classes.tolist(), len(messages)
    ([0, 1], 3)
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        *,
        fraction: int = 12,
        clip: float = 8.0,
        truncation: str = "exact",
        reveal_scores: bool = False,
    ) -> None:
        self.layers = tuple(layers)
        if not self.layers or not 1 <= fraction <= 24 or not 0 < clip < 2**24:
            raise ValueError("there are layers, 1 to 24 bits behind the point, and a positive clip")
        if truncation not in ("exact", "probable"):
            raise ValueError("truncation is 'exact' or 'probable'")
        if any(isinstance(layer, Argmax | Threshold) for layer in self.layers[:-1]):
            raise ValueError("an Argmax or a Threshold ends a model")
        self.ends_in_classes = isinstance(self.layers[-1], Argmax | Threshold)
        if not self.ends_in_classes and not reveal_scores:
            raise ValueError("end a model with Argmax or Threshold, or allow it with reveal_scores=True")
        self.fraction, self.clip, self.truncation = int(fraction), float(clip), truncation

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(type(layer).__name__ for layer in self.layers)}])"

    def compile(self, input_shape: tuple[int, ...] | None = None) -> Compiled:
        """Turn the model into steps on integers.

        Parameters
        ----------
        input_shape : tuple of int, optional
            Of one input; may be left out where the first layer is `Dense`.

        Returns
        -------
        Compiled
            The public circuit and the secret integers.

        Raises
        ------
        ValueError
            Shapes do not fit.
        CapacityError
            Numbers could become too large, by their proven bounds.
        """
        if input_shape is None:
            first = self.layers[0]
            if not isinstance(first, Dense):
                raise ValueError("the shape of one input is needed")
            input_shape = (len(first.weights),)
        bound = int(to_fixed(np.array(self.clip), self.fraction))
        values = Values(tuple(input_shape), self.fraction, bound)
        lowering = Lowering(self.fraction, self.truncation == "probable")
        for place, layer in enumerate(arranged(self.layers), 1):
            lowering.label = f"{place} {type(layer).__name__}"
            values = layer.lower(values, lowering)
        circuit = Circuit(
            tuple(lowering.steps),
            tuple(input_shape),
            values.shape,
            self.clip,
            self.fraction,
            None if self.ends_in_classes else values.fraction,
        )
        return Compiled(circuit, list(lowering.weights))

    @classmethod
    def from_arrays(
        cls, products: Sequence[tuple[ArrayLike, ArrayLike]], output: str = "argmax", **options: Any
    ) -> "Sequential":
        """Build a perceptron: products with a ReLU between each two.

        Parameters
        ----------
        products : sequence of (weights, bias)
            As for `Dense`.
        output : {"argmax", "threshold", "scores"}
            What comes last; "scores" opens them to the client.
        **options
            As for `Sequential`.

        Examples
        --------
        >>> from medcrypt import inference
        >>> inference.Sequential.from_arrays([([[1.0], [2.0]], [0.0]), ([[1.0, -1.0]], [0.0, 0.5])])
        Sequential([Dense, ReLU, Dense, Argmax])
        """
        ends: dict[str, list[Layer]] = {"argmax": [Argmax()], "threshold": [Threshold()], "scores": []}
        if output not in ends:
            raise ValueError("the output is 'argmax', 'threshold' or 'scores'")
        layers: list[Layer] = []
        for weights, bias in products:
            layers += [ReLU(), Dense(weights, bias)] if layers else [Dense(weights, bias)]
        return cls([*layers, *ends[output]], reveal_scores=output == "scores", **options)

    @classmethod
    def from_sklearn(cls, model: Any, **options: Any) -> "Sequential":
        """Take a fitted linear model or `MLPClassifier` of scikit-learn.

        The classes of the result are places in `model.classes_`. A regression's linear predictor is
        opened to the client.

        Parameters
        ----------
        model : object
            With `coef_` and `intercept_`, or with `coefs_`, `intercepts_` and `activation` "relu".
        **options
            As for `Sequential`.

        Raises
        ------
        ValueError
            It is another kind of model, or one with several labels.
        """
        if hasattr(model, "coefs_"):
            if model.activation != "relu" and len(model.coefs_) > 1:
                raise ValueError(f"the activation is {model.activation!r}; only 'relu' is known")
            products = list(zip(model.coefs_, model.intercepts_, strict=True))
        elif hasattr(model, "coef_"):
            weights = np.atleast_2d(model.coef_).T
            products = [(weights, np.broadcast_to(np.asarray(model.intercept_), weights.shape[1:]))]
        else:
            raise ValueError("a fitted linear model or MLPClassifier is needed")
        classes = getattr(model, "classes_", None)
        if classes is None:
            return cls.from_arrays(products, "scores", **options)
        outputs = np.shape(products[-1][0])[1]
        one_against_one = hasattr(model, "dual_coef_") and len(classes) > 2
        several_labels = getattr(model, "out_activation_", "") == "logistic" and outputs > 1
        if one_against_one or several_labels or outputs != (1 if len(classes) == 2 else len(classes)):
            raise ValueError("there has to be one score for each class, or one for two classes")
        return cls.from_arrays(products, "threshold" if outputs == 1 else "argmax", **options)

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, Any], architecture: Sequence[Layer | Module], **options: Any
    ) -> "Sequential":
        """Take the weights of a PyTorch network.

        Parameters
        ----------
        state : mapping of str to array
            Its `state_dict()`, whose tensors may be numpy arrays: "conv1.weight", "conv1.bias" and so on.
        architecture : sequence
            Layers without weights as they are; a module with weights by its name, or by its name and options:
            ``["conv1", ReLU(), MaxPool(2), ("conv2", {"padding": 1}), ReLU(), Flatten(), "fc", Argmax()]``. A module is
            a `BatchNorm` where it has a "running_mean", a `Dense` where its weight has two dimensions, else a `Conv2d`.
        **options
            As for `Sequential`.

        Raises
        ------
        ValueError
            A named module is not in `state`, or a weight of `state` belongs to none that is named.
        """
        used: set[str] = set()
        layers: list[Layer] = []
        for entry in architecture:
            if not isinstance(entry, str | tuple):
                layers.append(entry)
                continue
            name, settings = (entry, {}) if isinstance(entry, str) else entry
            arrays = {
                key.removeprefix(f"{name}."): np.asarray(value)
                for key, value in state.items()
                if key.rpartition(".")[0] == name
            }
            used |= {f"{name}.{key}" for key in arrays}
            layers.append(_module(name, arrays, settings))
        unused = sorted(set(state) - used)
        if unused:
            raise ValueError(f"nothing in the architecture uses {', '.join(unused)}")
        return cls(layers, **options)


def _module(name: str, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> Layer:
    """Return the layer that a PyTorch module of these arrays is."""
    if "running_mean" in arrays:
        return BatchNorm(
            arrays["running_mean"],
            arrays["running_var"],
            arrays.get("weight"),
            arrays.get("bias"),
            **settings,
        )
    if "weight" not in arrays:
        raise ValueError(f"{name!r} is not a module with weights")
    if arrays["weight"].ndim == 2:
        return Dense(arrays["weight"].T, arrays.get("bias"), **settings)
    return Conv2d(arrays["weight"], arrays.get("bias"), **settings)
