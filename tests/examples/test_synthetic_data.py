"""The example of synthetic data costs what it says, and a classifier learns from what it makes."""

import sys
from pathlib import Path

import numpy as np
import pytest

from medcrypt import dp

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
synthetic_data = pytest.importorskip("synthetic_data")


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_a_classifier_learns_from_synthetic_records(name):
    study = synthetic_data.study(name, epsilon=3.0, delta=1e-5)
    assert study.epsilon <= 3.0
    assert study.synthetic > study.guess + 0.15
    assert study.real > study.synthetic - 0.05


def test_synthetic_records_lie_in_the_public_domain():
    x, labels, domain = synthetic_data.data_set("digits")
    accountant = dp.Accountant()
    generator = synthetic_data.MarginalGenerator(domain, 1.0).fit(x, labels, accountant)
    assert accountant.events == ((dp.Gaussian(1.0), 1),)
    made, classes = generator.sample(500, np.random.default_rng(1))
    assert made.shape == (500, 64)
    assert np.all((made >= domain.low) & (made <= domain.high))
    assert set(classes.tolist()) <= set(range(10))


def test_without_noise_the_marginals_are_those_of_the_records():
    x, labels, domain = synthetic_data.data_set("breast_cancer")
    generator = synthetic_data.MarginalGenerator(domain, 1e-7).fit(x, labels, dp.Accountant())
    assert generator._classes == pytest.approx(np.bincount(labels) / len(labels), abs=1e-3)
    bins = domain.encode(x)
    for feature in (0, 13, 29):
        for label in (0, 1):
            exact = (
                np.bincount(bins[labels == label, feature], minlength=domain.bins) / (labels == label).sum()
            )
            assert generator._given[feature, label] == pytest.approx(exact, abs=1e-3)
