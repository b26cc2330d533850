"""Make circuits.json: run once, ``python tests/vectors/inference/generate_circuits.py``.

The circuits and the layout of weights are the library's; the classes are the plain Python twin's.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from medcrypt import inference  # noqa: E402
from reference.inference import Network  # noqa: E402


def numbers(label: str, *shape: int) -> np.ndarray:
    """Multiples of 1/128 in [-1, 1) that anyone can make again: bytes of SHA-256 of a label and a number."""
    count = int(np.prod(shape))
    data = b"".join(hashlib.sha256(f"{label} {k}".encode()).digest() for k in range(-(-count // 32)))
    return (np.frombuffer(data[:count], np.int8) / 128).reshape(shape)


def vector(
    name: str, model: inference.Sequential, inputs: np.ndarray, twin: Callable[[Network], int]
) -> dict[str, object]:
    """One model, its inputs, and the twin's classes."""
    compiled = model.compile(inputs.shape[1:])
    return {
        "name": name,
        "circuit": compiled.circuit.to_bytes().decode(),
        "weights": [{key: w.tolist() for key, w in entry.items()} for entry in compiled.weights],
        "inputs": inputs.tolist(),
        "classes": [twin(Network(one.tolist(), model.fraction)) for one in inputs],
    }


def vectors() -> list[dict[str, object]]:
    """A perceptron, a network with convolutions, and a logistic regression."""
    w, b, v, c = numbers("w", 6, 5), numbers("b", 5) / 8, numbers("v", 5, 3), numbers("c", 3) / 8
    layers = [inference.Dense(w, b), inference.ReLU(), inference.Dense(v, c), inference.Argmax()]
    perceptron = inference.Sequential(layers, fraction=10, clip=1)
    k, a, d = numbers("k", 2, 1, 3, 3), numbers("a", 2) / 8, numbers("d", 8, 4)
    image = [
        inference.Conv2d(k, a, padding=1),
        inference.ReLU(0.5),
        inference.MaxPool(2),
        inference.Flatten(),
        inference.Dense(d),
        inference.Argmax(),
    ]
    network = inference.Sequential(image, fraction=12, clip=1)
    u = numbers("u", 4, 1)
    logistic = inference.Sequential([inference.Dense(u), inference.Threshold()], fraction=16, clip=8)
    return [
        vector(
            "perceptron",
            perceptron,
            numbers("x", 12, 6),
            lambda n: n.dense(w.tolist(), b).relu().dense(v.tolist(), c).argmax(),
        ),
        vector(
            "convolutional network",
            network,
            numbers("y", 12, 1, 4, 4),
            lambda n: (
                n.conv(k.tolist(), a, padding=1)
                .relu(0.5)
                .max_pool(2, 2)
                .flatten()
                .dense(d.tolist(), np.zeros(4))
                .argmax()
            ),
        ),
        vector(
            "logistic regression",
            logistic,
            8 * numbers("z", 8, 4),
            lambda n: int(n.dense(u.tolist(), [0.0]).numbers[0] > 0),
        ),
    ]


if __name__ == "__main__":
    (HERE / "circuits.json").write_text(json.dumps(vectors(), indent=1) + "\n")
