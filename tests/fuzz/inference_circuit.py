"""Circuits of private inference: what comes back is a circuit whose costs can be told, or is refused."""

from contextlib import suppress

import numpy as np

from medcrypt import inference
from medcrypt.errors import MedcryptError
from medcrypt.inference import Circuit

LAYERS = [
    inference.Conv2d(np.full((2, 1, 3, 3), 0.1), padding=1),
    inference.ReLU(2),
    inference.MaxPool(2, padding=1),
    inference.Residual([inference.Conv2d(np.eye(2)[:, :, None, None]), inference.ReLU()]),
    inference.AvgPool(3),
    inference.Flatten(),
    inference.Dense(np.ones((2, 2))),
]


def seeds() -> list[bytes]:
    models = [
        inference.Sequential([*LAYERS, inference.Argmax()]),
        inference.Sequential([*LAYERS, inference.Threshold()]),
        inference.Sequential(LAYERS, reveal_scores=True, truncation="probable"),
    ]
    return [model.compile((1, 4, 4)).circuit.to_bytes() for model in models]


def parse(data: bytes) -> None:
    with suppress(MedcryptError):
        assert Circuit.from_bytes(data).to_bytes() == data
