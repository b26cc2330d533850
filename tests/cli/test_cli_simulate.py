"""medcrypt simulate."""

import json

import pytest

from medcrypt.cli import main

SMALL = ["simulate", "--clients", "4", "--values", "20", "--key-bits", "256", "--holders", "3"]


@pytest.fixture(autouse=True)
def _insecure_keys(monkeypatch):
    monkeypatch.setenv("MEDCRYPT_ALLOW_INSECURE_KEYS", "1")


def test_both_backends_are_played_and_printed(capsys):
    assert main([*SMALL, "--dropouts", "1", "--max-weight", "30"]) == 0
    shown = capsys.readouterr().out
    assert "homomorphic back-end: 4 clients, threshold 3, 21 integers modulo 2^23" in shown
    assert "masking back-end" in shown
    assert shown.count("opened the sum of 3 of 4, equal to the sum of their integers") == 2


def test_json_has_one_report_a_backend(capsys):
    assert main([*SMALL, "--json"]) == 0
    reports = json.loads(capsys.readouterr().out)
    assert [report["backend"] for report in reports] == ["homomorphic", "masking"]
    assert reports[0]["plan_hash"] != reports[1]["plan_hash"]  # only one of them pins an encryption key
    assert all(report["exact"] for report in reports)


def test_cheaters_are_named_and_a_round_without_a_sum_is_a_failure(capsys):
    arguments = ["--backend", "homomorphic", "--cheat", "server=single", "--cheat", "client-1=replay"]
    assert main([*SMALL, *arguments]) == 0
    shown = capsys.readouterr().out
    assert "refused at upload: client-1: the message belongs to another plan or round" in shown
    assert "refused at open: server: it asks to open 1 contributions" in shown
    assert main([*SMALL, "--backend", "masking", "--dropouts", "2"]) == 1
    assert "no sum: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cheat", "client-1"],
        ["--cheat", "Eve=damage"],
        ["--dropouts", "5"],
        ["--holders", "1"],
        ["--threshold", "1"],
        ["--bits", "60"],
    ],
)
def test_a_wrong_command_line_is_exit_code_two(arguments, capsys):
    assert main([*SMALL, *arguments]) == 2
    assert "medcrypt simulate --help" in capsys.readouterr().err
