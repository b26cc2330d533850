"""Differentially private synthetic data for digits and breast_cancer, and what a classifier learns from it.

    python examples/synthetic_data.py [--epsilon 1.0] [--delta 1e-5]

Records are cut into public bins. The number of records of each class, and for each class the histogram of every
feature, are released with Gaussian noise by one mechanism: a record is a vector with a 1 for its class and a 1 for
each feature. A synthetic record is a class, and each feature drawn from its histogram given the class. Everything after
the release is post-processing.

Utility is the accuracy on real records, never seen before, of a classifier trained on synthetic ones.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medcrypt import dp

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Domain:
    """What is public about the records: bounds of every feature, bins, classes."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    bins: int
    classes: int

    def encode(self, x: NDArray[np.float64]) -> Ints:
        """Return the bin of every feature; values outside the bounds go to the nearest."""
        width = (self.high - self.low) / self.bins
        return np.clip(np.floor((x - self.low) / width), 0, self.bins - 1).astype(np.int64)

    def decode(self, bins: Ints, rng: np.random.Generator) -> NDArray[np.float64]:
        """Return values drawn uniformly from their bins."""
        width = (self.high - self.low) / self.bins
        return self.low + (bins + rng.random(bins.shape)) * width


class MarginalGenerator:
    """Synthetic records from noisy histograms of every feature given its class.

    Parameters
    ----------
    domain
        Public bounds.
    noise_multiplier
        Of the one Gaussian mechanism that releases all histograms.
    """

    def __init__(self, domain: Domain, noise_multiplier: float) -> None:
        self._domain, self._multiplier = domain, noise_multiplier

    def fit(self, x: NDArray[np.float64], labels: Ints, accountant: dp.Accountant) -> "MarginalGenerator":
        """Release the histograms, and tell the accountant."""
        domain, features = self._domain, x.shape[1]
        shape = (features + 1, domain.classes, domain.bins)
        bins = domain.encode(x)
        records = np.zeros((len(x), *shape), dtype=np.int8)
        rows = np.arange(len(x))
        records[rows, features, labels, 0] = 1
        records[rows[:, None], np.arange(features)[None, :], labels[:, None], bins] = 1
        # Each record has one 1 for every feature and one for its class: the clip is its L2 norm.
        mechanism = dp.GaussianMechanism(
            self._multiplier, clip=float(np.sqrt(features + 1)), shape=shape, granularity=2.0**-20
        )
        accountant.compose(mechanism.event)
        counts = np.maximum(mechanism.release(records), 0.0)
        self._classes = _distribution(counts[features, :, 0])
        self._given = _distribution(_denoised(counts[:features], self._multiplier * mechanism.sensitivity))
        return self

    def sample(self, count: int, rng: np.random.Generator) -> tuple[NDArray[np.float64], Ints]:
        """Return synthetic records and their classes."""
        labels = rng.choice(self._domain.classes, size=count, p=self._classes)
        upto = np.cumsum(self._given, axis=2)[:, labels]  # (features, count, bins)
        uniform = rng.random(upto.shape[:2])
        bins = np.minimum((upto < uniform[..., None]).sum(axis=2), self._domain.bins - 1).T
        return self._domain.decode(bins, rng), labels


def _distribution(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights that add up to one along the last axis, uniform where there are none."""
    raised = weights + 1e-9
    return raised / raised.sum(axis=-1, keepdims=True)


def _denoised(counts: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Shrink counts that noise alone explains: soft thresholding at half the noise's deviation."""
    return np.maximum(counts - 0.5 * sigma, 0.0)


def data_set(name: str) -> tuple[NDArray[np.float64], Ints, Domain]:
    """Return the records, classes and public domain of a data set of scikit-learn.

    Bounds must not come from the records. Pixels of digits have 17 levels by design. For breast_cancer they stand here
    as a clinic would state them: round numbers, from what the quantities mean.
    """
    loaded = getattr(datasets, f"load_{name}")()
    x, labels = loaded.data.astype(np.float64), loaded.target.astype(np.int64)
    if name == "digits":
        return x, labels, Domain(np.zeros(64), np.full(64, 17.0), 4, 10)
    mean = [30, 40, 200, 2500, 0.2, 0.4, 0.5, 0.25, 0.35, 0.1]
    error = [3, 5, 25, 300, 0.04, 0.15, 0.4, 0.06, 0.08, 0.03]
    worst = [40, 50, 260, 4500, 0.25, 1.1, 1.3, 0.3, 0.7, 0.2]
    return x, labels, Domain(np.zeros(30), np.array([*mean, *error, *worst], dtype=np.float64), 16, 2)


@dataclass(frozen=True)
class Study:
    """What one data set gave."""

    name: str
    epsilon: float
    delta: float
    real: float
    synthetic: float
    guess: float

    def __str__(self) -> str:
        return (
            f"{self.name}: epsilon {self.epsilon:.3f} at delta {self.delta:g}; accuracy on real records "
            f"{self.synthetic:.1%} trained on synthetic, {self.real:.1%} trained on real, {self.guess:.1%} guessing"
        )


def study(name: str, epsilon: float, delta: float, seed: int = 0) -> Study:
    """Release a generator, train on what it makes, test on real records."""
    x, labels, domain = data_set(name)
    train_x, test_x, train_y, test_y = train_test_split(
        x, labels, test_size=0.3, random_state=seed, stratify=labels
    )
    sigma = dp.calibrate(dp.Gaussian, epsilon=epsilon, delta=delta)
    accountant, rng = dp.Accountant(), np.random.default_rng(seed)
    generator = MarginalGenerator(domain, sigma).fit(train_x, train_y, accountant)
    made_x, made_y = generator.sample(5000, rng)

    def accuracy(some_x: NDArray[np.float64], some_y: Ints) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
        return float(model.fit(some_x, some_y).score(test_x, test_y))

    guess = float(np.bincount(test_y).max() / len(test_y))
    return Study(
        name, accountant.epsilon(delta), delta, accuracy(train_x, train_y), accuracy(made_x, made_y), guess
    )


def main() -> None:
    """Print both studies."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epsilon", type=float, default=1.0)
    parser.add_argument("--delta", type=float, default=1e-5)
    options = parser.parse_args()
    for name in ("digits", "breast_cancer"):
        print(study(name, options.epsilon, options.delta))


if __name__ == "__main__":
    main()
