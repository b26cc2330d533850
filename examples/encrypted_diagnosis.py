"""Learn together on what nobody can read, then serve what was learned on images that nobody sees.

    python examples/encrypted_diagnosis.py [--rounds 12] [--key-bits 2048]

Three hospitals train a model by federated averaging: in every round each of them encrypts its update under a
threshold Paillier key, a server adds the ciphertexts, and key holders open the sum, never one update. The trained
model is cut into two shares, and two servers answer queries: neither sees an image, a weight or a class.

    digits           a small convolutional network, images of 8 x 8, ten classes
    breast_cancer    a perceptron and a linear model, 30 features of a nucleus, two classes; the linear one is also
                     served by a single server, on features under Paillier

The networks are trained here with numpy: `Network` is forty lines of convolution, pooling and backpropagation.
"""

import argparse
import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.model_selection import train_test_split

from medcrypt import aggregation, inference, paillier
from medcrypt.inference.linear import LinearClient, LinearServer

Array = NDArray[np.float64]
Weights = dict[str, Array]

HOSPITALS, CLIP = 3, 0.5


@dataclass(frozen=True)
class Task:
    """Records of several hospitals, and some that none of them has seen."""

    parts: list[tuple[Array, NDArray[np.int64]]]
    test: Array
    labels: NDArray[np.int64]


def task(name: str) -> Task:
    """Load a data set that comes with scikit-learn, and split it between the hospitals."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    images = name == "digits"
    x = (x / 16).reshape(-1, 1, 8, 8) if images else np.clip((x - x.mean(0)) / x.std(0), -4, 4)
    x, test, y, labels = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    parts = [(x[i::HOSPITALS], y[i::HOSPITALS]) for i in range(HOSPITALS)]
    return Task(parts, test, labels)


class Network:
    """Optional convolution with ReLU and max-pool, optional hidden layer, softmax: loss and gradient in numpy."""

    def __init__(self, sizes: list[int], channels: int = 0) -> None:
        random = np.random.default_rng(0)
        self.weights: Weights = {}
        if channels:
            self.weights["kernel"] = random.normal(size=(channels, 9)) / 3
        for place, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
            self.weights[f"w{place}"] = random.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs)
            self.weights[f"b{place}"] = np.zeros(outputs)
        self.depth = len(sizes) - 1

    def gradient(self, w: Weights, x: Array, y: NDArray[np.int64]) -> Weights:
        """Return the gradient of the mean cross-entropy."""
        found: Weights = {}
        if "kernel" in w:
            views = np.lib.stride_tricks.sliding_window_view(
                np.pad(x[:, 0], ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2)
            )
            patches = views.reshape(len(x), 8, 8, 9)
            maps = np.maximum(patches @ w["kernel"].T, 0).reshape(len(x), 4, 2, 4, 2, -1)
            pooled = maps.max((2, 4))
            x = pooled.transpose(0, 3, 1, 2).reshape(len(x), -1)  # channels first, as the servers flatten it
        layers = [x]
        for place in range(self.depth):
            z = layers[-1] @ w[f"w{place}"] + w[f"b{place}"]
            layers.append(np.maximum(z, 0) if place < self.depth - 1 else z)
        scores = np.exp(layers[-1] - layers[-1].max(1, keepdims=True))
        slope = scores / scores.sum(1, keepdims=True)
        slope[np.arange(len(y)), y] -= 1
        slope /= len(y)
        for place in reversed(range(self.depth)):
            found[f"w{place}"], found[f"b{place}"] = layers[place].T @ slope, slope.sum(0)
            slope = (slope @ w[f"w{place}"].T) * (layers[place] > 0 if place else 1)
        if "kernel" in w:
            back = slope.reshape(len(y), -1, 4, 4).transpose(0, 2, 3, 1)[:, :, None, :, None]
            where = (maps == pooled[:, :, None, :, None]) & (maps > 0)
            found["kernel"] = np.tensordot(
                (back * where).reshape(len(y), 8, 8, -1), patches, ((0, 1, 2), (0, 1, 2))
            )
        return found

    def update(self, x: Array, y: NDArray[np.int64], steps: int, rate: float) -> Weights:
        """Train on one hospital's records; return by how much the weights move, at most `CLIP`."""
        w = {name: value.copy() for name, value in self.weights.items()}
        for _ in range(steps):
            for name, slope in self.gradient(w, x, y).items():
                w[name] -= rate * slope
        return {name: np.clip(w[name] - self.weights[name], -CLIP, CLIP) for name in w}


def train(network: Network, parts: list[tuple[Array, NDArray[np.int64]]], rounds: int, key_bits: int) -> None:
    """Average the hospitals' updates, round by round; only their encrypted sum is ever opened."""
    keys = paillier.deal_threshold_key(3, 2, key_bits, insecure=key_bits < 2048)
    shapes = {name: value.shape for name, value in network.weights.items()}
    for number in range(rounds):
        plan = aggregation.Plan(
            clients=HOSPITALS, threshold=HOSPITALS, clip=CLIP, bits=24, shapes=shapes, round_id=number
        )
        with aggregation.Federation(plan, keys=keys) as federation:
            updates = {
                name: network.update(x, y, steps=12, rate=0.4)
                for name, (x, y) in zip(federation.clients, parts, strict=True)
            }
            round_ = federation.run(updates, backend="homomorphic")
        if round_.aggregate is None or not round_.exact:
            raise SystemExit(f"round {number} gave no sum: {round_.failure}")
        for name, value in round_.aggregate.means().items():
            network.weights[name] = network.weights[name] + value


def served(network: Network) -> inference.Sequential:
    """Return the trained network as the two servers evaluate it."""
    w, layers = network.weights, []
    if "kernel" in w:
        kernels = w["kernel"].reshape(-1, 1, 3, 3)
        layers += [inference.Conv2d(kernels, padding=1), inference.ReLU(), inference.MaxPool(2)]
        layers += [inference.Flatten()]
    for place in range(network.depth):
        layers += [inference.ReLU()] if place else []
        layers += [inference.Dense(w[f"w{place}"], w[f"b{place}"])]
    return inference.Sequential([*layers, inference.Argmax()], clip=1.0 if "kernel" in w else 4.0)


def show(title: str, network: Network, data: Task, rounds: int, key_bits: int) -> float:
    """Train, serve, and print what came of it; return the accuracy under encryption."""
    train(network, data.parts, rounds, key_bits)
    model = served(network)
    classes, report = inference.run_local(model, data.test)
    accuracy = float((classes == data.labels).mean())
    in_the_clear = model.compile(data.test.shape[1:]).predict(data.test)
    same = bool((classes == in_the_clear).all())
    print(f"\n{title}: {accuracy:.1%} of {len(data.test)} right; every class as in the clear: {same}")
    print(report)
    return accuracy


def show_linear(network: Network, data: Task, key_bits: int) -> float:
    """Serve a linear model of two classes by one server, on features under Paillier."""
    weights = network.weights["w0"][:, 1] - network.weights["w0"][:, 0]
    bias = network.weights["b0"][1] - network.weights["b0"][0]
    model = type("Fitted", (), {"coef_": weights, "intercept_": bias})
    server = LinearServer.from_model(model, clip=4.0)
    public, private = paillier.generate_keypair(key_bits, insecure=key_bits < 2048)
    client = LinearClient(server.form, private)
    few = data.test[: server.limit]
    scores = client.scores(server.answer(client.query(few), public))[:, 0]
    accuracy = float(((scores > 0) == data.labels[: len(few)]).mean())
    print(f"\nbreast_cancer, linear, Paillier alone: {accuracy:.1%} of {len(few)}, all that a client may ask")
    return accuracy


def main() -> None:
    """Run the three studies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--key-bits", type=int, default=2048)
    options = parser.parse_args()
    cancer, linear = task("breast_cancer"), Network([30, 2])
    show("digits, CNN", Network([64, 10], channels=4), task("digits"), options.rounds, options.key_bits)
    show("breast_cancer, MLP", Network([30, 16, 2]), cancer, options.rounds, options.key_bits)
    show("breast_cancer, linear", linear, cancer, options.rounds, options.key_bits)
    show_linear(linear, cancer, options.key_bits)


if __name__ == "__main__":
    main()
