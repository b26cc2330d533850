"""The example of the whole way, from encrypted training to encrypted diagnosis, comes out as it says."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
diagnosis = pytest.importorskip("encrypted_diagnosis")

ROUNDS, KEY_BITS = 3, 1024


@pytest.mark.parametrize(
    ("title", "name", "network", "least"),
    [
        ("digits, CNN", "digits", lambda: diagnosis.Network([64, 10], channels=4), 0.7),
        ("breast_cancer, MLP", "breast_cancer", lambda: diagnosis.Network([30, 8, 2]), 0.85),
    ],
)
def test_what_was_learned_under_encryption_diagnoses_under_encryption(title, name, network, least, capsys):
    assert diagnosis.show(title, network(), diagnosis.task(name), ROUNDS, KEY_BITS) > least
    assert "every class as in the clear: True" in capsys.readouterr().out


def test_a_linear_model_diagnoses_features_under_paillier():
    network, data = diagnosis.Network([30, 2]), diagnosis.task("breast_cancer")
    diagnosis.train(network, data.parts, ROUNDS, KEY_BITS)
    assert diagnosis.show_linear(network, data, KEY_BITS) > 0.85
