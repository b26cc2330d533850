"""The demo runs its whole job: with a short key and few rounds here, in full by ``make demo``."""

import argparse
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn")
pytest.importorskip("pydicom")

from medcrypt.cli import demo
from medcrypt.cli.demo import federation, hospitals, scans


@pytest.fixture(scope="module")
def data():
    return hospitals.load()


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setenv("MEDCRYPT_ALLOW_INSECURE_KEYS", "1")
    monkeypatch.setattr(federation, "ROUNDS", 3)
    monkeypatch.setattr(demo, "_CURVE", (1.0, 8.0))


def run(*arguments):
    parser = argparse.ArgumentParser()
    demo.add_parser(parser.add_subparsers())
    args = parser.parse_args(["demo", "--bits", "512", *map(str, arguments)])
    return args.run(args)


def test_the_demo_seals_trains_and_reports(short, tmp_path, capsys):
    figures, picture = tmp_path / "demo.json", tmp_path / "demo.png"
    assert run("--json", figures, "--plot", picture) == 0
    printed = capsys.readouterr().out
    assert "10 hospitals learn together" in printed
    assert "NO" not in printed.split()
    report = json.loads(figures.read_text())
    assert report["sums_equal"] is True
    assert [scan["modality"] for scan in report["scans"]] == ["CT", "CR"]
    assert all(scan["bit_exact"] and scan["flipped_bit_refused"] for scan in report["scans"])
    assert all(scan["part_chunks"] < scan["chunks"] for scan in report["scans"])
    assert report["fewest"] == 6
    assert report["trainings"][1]["epsilon"] <= 2.0
    assert len(report["trainings"][1]["accuracies"]) == 3
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_existing_figures_are_not_replaced(short, tmp_path):
    figures = tmp_path / "demo.json"
    figures.write_text("mine")
    with pytest.raises(FileExistsError):
        run("--json", figures)
    assert figures.read_text() == "mine"


def test_encrypted_sums_are_the_plain_integer_sums_of_who_answered(short, data):
    encrypted = federation.EncryptedSum(data, sigma=0.0, bits=512)
    weights = np.random.default_rng(1).normal(size=(data.train.shape[1], hospitals.CLASSES))
    for number in (1, 3, 6):
        total = encrypted(number, weights)
        there = sorted(
            set(range(10)) - {(number // 3 + i) % 10 for i in range(4)} if number % 3 == 0 else range(10)
        )
        expected = sum(hospitals.clipped_sum(weights, *data.of_hospital(hospital)) for hospital in there)
        assert np.array_equal(total, expected)
    assert encrypted.sums_equal
    assert encrypted.fewest == 6
    encrypted.close()


def test_more_dropouts_than_planned_stop_the_training(short, data, monkeypatch):
    encrypted = federation.EncryptedSum(data, sigma=0.0, bits=512)
    monkeypatch.setattr(federation, "DROPOUTS", 5)
    with pytest.raises(RuntimeError, match="threshold"):
        encrypted(3, np.zeros((data.train.shape[1], hospitals.CLASSES)))
    encrypted.close()


def test_the_hospitals_differ_and_share_every_patient_once(data):
    counts = np.array([np.bincount(data.of_hospital(number)[1], minlength=10) for number in range(10)])
    assert counts.sum() == len(data.train_labels)
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert np.abs(shares - shares.mean(axis=0)).max() > 0.2


@given(st.integers(0, 2**32), st.floats(-300, 300))
def test_no_clipped_gradient_exceeds_the_sensitivity(seed, exponent):
    random = np.random.default_rng(seed)
    with np.errstate(over="ignore"):
        gradients = random.normal(size=(20, 650)) * 10.0 ** min(exponent, 150)
    lattice = hospitals.clip_to_lattice(gradients)
    assert (lattice * lattice).sum(axis=1).max() <= hospitals.SENSITIVITY**2
    one = np.zeros((1, 650))
    one[0, 3] = hospitals.CLIP
    assert hospitals.clip_to_lattice(one)[0, 3] in (hospitals.SENSITIVITY - 1, hospitals.SENSITIVITY)


def test_the_noise_keeps_the_budget_even_for_a_hospital_that_knows_its_share(data):
    dimension = data.train.shape[1] * hospitals.CLASSES
    sigma = federation.calibrate(6.0, 1e-5, dimension)
    assert 5.999 < federation.spent(sigma, 1e-5, dimension) <= 6.0
    assert federation.spent(sigma * 0.99, 1e-5, dimension) > 6.0
    assert federation.calibrate_local(6.0, 1e-5, dimension) == pytest.approx(5**0.5 * sigma, rel=1e-6)


def test_a_scan_that_is_not_installed_is_named():
    with pytest.raises((FileNotFoundError, ValueError)):
        scans.load("no-such-scan.dcm")
