"""Ten hospitals with different patients, and what each of them computes at home.

The data are scikit-learn's handwritten digits (1797 images of 8 x 8 pixels): no labelled medical set ships
inside a Python package. The model is a softmax regression, 65 x 10 weights.

A hospital clips the gradient of every patient to an L2 norm of `CLIP`, rounds it towards zero to a lattice of
step `STEP` (so that its norm cannot grow), adds up integers, and adds integer noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

HOSPITALS = 10
CLASSES = 10
CLIP = 0.5
SENSITIVITY = 512  # the clip in lattice steps
STEP = CLIP / SENSITIVITY
# Most hospitals see some digits often and others hardly ever.
_CONCENTRATION = 0.5


@dataclass(frozen=True)
class Data:
    """Features of unit norm, labels, and who owns which training image.

    Parameters
    ----------
    train, test
        float64 features, one row an image.
    train_labels, test_labels
        int64 labels, 0 to 9.
    owners
        The hospital of each training image, 0 to 9.
    """

    train: Floats
    train_labels: NDArray[np.int64]
    test: Floats
    test_labels: NDArray[np.int64]
    owners: NDArray[np.int64]

    def of_hospital(self, number: int) -> tuple[Floats, NDArray[np.int64]]:
        """Return features and labels of one hospital's patients."""
        mine = self.owners == number
        return self.train[mine], self.train_labels[mine]


def load() -> Data:
    """Load the digits and hand them out unevenly; the same split every time."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    random = np.random.default_rng(2026)  # only decides who gets which image: nothing secret depends on it
    order = random.permutation(len(pixels))
    pixels, labels = pixels[order] / 16.0, labels[order].astype(np.int64)
    features = np.column_stack([pixels - 0.3, np.full(len(pixels), 0.5)])
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    cut = len(pixels) * 4 // 5
    shares = random.dirichlet(np.full(HOSPITALS, _CONCENTRATION), size=CLASSES)
    owners = np.array([random.choice(HOSPITALS, p=shares[label]) for label in labels[:cut]], np.int64)
    return Data(features[:cut], labels[:cut], features[cut:], labels[cut:], owners)


def patient_gradients(weights: Floats, features: Floats, labels: NDArray[np.int64]) -> Floats:
    """Return one gradient of the cross-entropy for each patient, shape (patients, weights.size)."""
    scores = features @ weights
    scores -= scores.max(axis=1, keepdims=True)
    probabilities = np.exp(scores)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    probabilities[np.arange(len(labels)), labels] -= 1.0
    gradients: Floats = np.einsum("pi,pc->pic", features, probabilities).reshape(len(features), -1)
    return gradients


def clip_to_lattice(gradients: Floats) -> Integers:
    """Clip every row to an L2 norm of `CLIP` and round it towards zero: norms are at most `SENSITIVITY`.

    Raises
    ------
    ArithmeticError
        An integer norm exceeds the bound, which rounding towards zero rules out.
    """
    norms = np.linalg.norm(gradients, axis=1, keepdims=True)
    # One part in a billion below the bound pays for the rounding errors of norm, quotient and product.
    factors = np.minimum(1.0, CLIP * (1 - 1e-9) / np.maximum(norms, 1e-300))
    lattice: Integers = np.trunc(gradients * factors / STEP).astype(np.int64)
    if len(lattice) and (lattice * lattice).sum(axis=1).max() > SENSITIVITY**2:
        raise ArithmeticError("a clipped gradient exceeds its norm bound")
    return lattice


def clipped_sum(weights: Floats, features: Floats, labels: NDArray[np.int64]) -> Integers:
    """Return the sum of the clipped integer gradients of one hospital's patients."""
    total: Integers = clip_to_lattice(patient_gradients(weights, features, labels)).sum(axis=0)
    return total


def accuracy(weights: Floats, data: Data) -> float:
    """Return the share of test images that the model gets right."""
    return float(np.mean((data.test @ weights).argmax(axis=1) == data.test_labels))
