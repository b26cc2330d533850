"""medcrypt budget and doctor, and the command itself."""

import json
import math
from pathlib import Path

import pytest

from medcrypt import dp
from medcrypt.cli import doctor, main


def epsilon(noise: float, rate: float, steps: int, delta: float) -> float:
    """Ask the accountant directly."""
    event = dp.PoissonSampled(rate, dp.Gaussian(noise))
    return dp.Accountant().compose(event, steps).epsilon(delta)


def test_budget_prints_what_the_accountant_says(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--rate", "0.01", "--steps", "100", "--delta", "1e-5", "--json"]
    assert main(["budget", "--noise", "1.1", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["epsilon"] == epsilon(1.1, 0.01, 100, 1e-5)
    assert [100, found["epsilon"]] in found["over_steps"]
    assert [value for _, value in found["over_steps"]] == sorted(value for _, value in found["over_steps"])
    assert [value for _, value in found["over_delta"]] == sorted(value for _, value in found["over_delta"])
    assert found["target_epsilon"] is None


def test_budget_prints_tables_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budget", "--noise", "2", "--steps", "4", "--target-epsilon", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    gaussian = dp.Accountant().compose(dp.Gaussian(2.0), 4).epsilon(1e-5)
    assert f"epsilon = {gaussian:.4f} at delta = 1e-05" in lines
    assert f"{4:>10}  {gaussian:>10.4f}" in lines
    assert f"{'1e-05':>10}  {gaussian:>10.4f}" in lines
    assert any(line.startswith("noise for epsilon 1: ") for line in lines)


def test_budget_finds_the_noise_for_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budget", "--target-epsilon", "2", "--steps", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["noise_multiplier"] == found["target_noise_multiplier"]
    assert found["epsilon"] <= 2
    assert math.isclose(found["epsilon"], 2, rel_tol=1e-6)


def test_budget_says_what_fits_a_target(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["--noise", "1.1", "--rate", "0.01", "--steps", "1000", "--delta", "1e-5", "--target-epsilon", "2"]
    assert main(["budget", *plan, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert epsilon(found["target_noise_multiplier"], 0.01, 1000, 1e-5) <= 2
    assert (
        epsilon(1.1, 0.01, found["target_steps"], 1e-5)
        <= 2
        < epsilon(1.1, 0.01, found["target_steps"] + 1, 1e-5)
    )
    rate = found["target_sampling_rate"]
    assert epsilon(1.1, rate, 1000, 1e-5) <= 2 < epsilon(1.1, rate * (1 + 1e-6), 1000, 1e-5)
    assert main(["budget", *plan]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"steps for epsilon 2: {found['target_steps']}" in lines
    assert f"rate for epsilon 2: {rate:.6g}" in lines


def test_budget_tells_what_the_samplers_cost(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["budget", "--noise", "1", "--steps", "100", "--draws", "1000000"]
    assert main([*plan, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["draws"] == 10**8
    assert found["charge"] == dp.noise.charge(found["epsilon"], 10**8, 2.0**-100)
    assert found["generator_advantage"] == dp.noise.generator_advantage(10**8)
    assert main(plan) == 0
    assert "100000000 draws: at most" in capsys.readouterr().out
    assert main(plan[:-2]) == 0
    assert "draws" not in capsys.readouterr().out
    assert main([*plan[:-1], "-1"]) == 2


def test_budget_accounts_samples_of_fixed_size_under_replacement_only(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = ["budget", "--noise", "2", "--steps", "1", "--fixed-size", "10", "1000"]
    assert main(plan) == 2
    assert "SampledWithoutReplacement is refused under 'add_or_remove_one'" in capsys.readouterr().err
    assert main([*plan, "--neighbors", "replace_one", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    event = dp.SampledWithoutReplacement(10, 1000, dp.Gaussian(2.0))
    assert found["epsilon"] == dp.Accountant("replace_one").compose(event).epsilon(1e-5)
    assert found["sampling"] == "samples of fixed size"


def test_budget_draws_bars_where_no_file_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["budget", "--noise", "2", "--steps", "4", "--plot"]) == 0
    bars = [line.count("\N{FULL BLOCK}") for line in capsys.readouterr().out.splitlines()]
    curves = [length for length in bars if length]
    assert max(curves) == 60
    assert curves[: len(curves) // 2] == sorted(curves[: len(curves) // 2])


def test_budget_draws_a_picture_and_replaces_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["budget", "--noise", "1", "--steps", "1", "--plot", "budget.png"]
    assert main(arguments) == 0
    assert Path("budget.png").read_bytes().startswith(b"\x89PNG")
    assert main(arguments) == 1
    assert main([*arguments, "--force"]) == 0
    assert "budget.png exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--steps", "10"],
        ["--noise", "1"],
        ["--noise", "0", "--steps", "10"],
        ["--noise", "0", "--target-epsilon", "1", "--steps", "10"],
        ["--noise", "-1", "--steps", "10"],
        ["--noise", "nan", "--steps", "10"],
        ["--noise", "1", "--steps", "0"],
        ["--noise", "1", "--steps", "10", "--rate", "1.5"],
        ["--noise", "1", "--steps", "10", "--rate", "0.5", "--fixed-size", "5", "10"],
        ["--noise", "1", "--steps", "10", "--fixed-size", "11", "10", "--neighbors", "replace_one"],
        ["--noise", "1", "--steps", "10", "--json", "--plot"],
        ["--noise", "1", "--steps", "10", "--delta", "0"],
        ["--noise", "1", "--steps", "10", "--delta", "1"],
        ["--target-epsilon", "-1", "--steps", "10"],
        ["--noise", "1", "--steps", "10", "--neighbors", "strangers"],
    ],
    ids=" ".join,
)
def test_a_budget_that_makes_no_sense_is_exit_code_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["budget", *arguments]) == 2
    out, error = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in error


def test_doctor_finds_every_primitive_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "FAILED" not in text
    assert "kernels in use" in text
    assert text.count("\nok ") >= 9
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found["tests"].values()) == {None}
    assert found["machine"]["kernels in use"] in found["machine"]["kernels"]


def test_doctor_tells_a_wrong_result_and_a_crash(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "_scrypt", lambda: False)
    monkeypatch.setattr(doctor, "_paillier", lambda: bool({}["a key"]))
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert "FAILED  scrypt (RFC 7914, section 12): wrong result" in text
    assert "FAILED  Paillier: a sum of encrypted arrays: KeyError" in text


def test_doctor_warns_where_aes_is_not_constant_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("medcrypt._ext.cpu.features", lambda: {"aes": False, "pclmul": True})
    monkeypatch.setattr("medcrypt._ext.cpu.paths", lambda: ("portable",))
    monkeypatch.setattr("medcrypt._ext.cpu.path", lambda: "portable")
    assert main(["doctor"]) == 0
    assert "constant-time AES   NO" in capsys.readouterr().out


def test_help_and_version_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("keygen", "encrypt", "decrypt", "inspect", "verify", "budget", "doctor", "demo"):
        assert f"\n    {command} " in text
        assert main([command, "--help"]) == 0
    capsys.readouterr()
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("medcrypt ")
