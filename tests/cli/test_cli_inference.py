"""Three parties and a client on the command line, as an operator starts them."""

import json
import subprocess
import sys

import numpy as np
import pytest

from medcrypt import inference
from medcrypt.cli import main

RANDOM = np.random.default_rng(5)
MODEL = inference.Sequential([inference.Dense(RANDOM.normal(size=(4, 3))), inference.Argmax()])
INPUTS = RANDOM.uniform(-2, 2, (5, 4))


def party(*arguments):
    """Start a party; return the process and its address."""
    command = [sys.executable, "-m", "medcrypt", "serve-inference", "--timeout", "15", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return process, process.stdout.readline().removeprefix("listening at ").strip()


def test_a_query_from_deployment_to_classes(tmp_path, capsys):
    inference.deploy(MODEL, tmp_path)
    np.save(tmp_path / "inputs.npy", INPUTS)
    started = [party(tmp_path / "dealer")]
    try:
        dealer = started[0][1]
        started.append(
            party(tmp_path / "server-0", "--dealer", dealer, "--clients", 2, "--prepare", "5:1",
                  "--store", tmp_path / "stock")
        )  # fmt: skip
        started.append(party(tmp_path / "server-1", "--dealer", dealer, "--server-0", started[1][1]))
        ask = ["query", str(tmp_path / "client"), str(tmp_path / "inputs.npy")]
        ask += ["--server-0", started[1][1], "--server-1", started[2][1]]
        expected = MODEL.compile().predict(INPUTS).tolist()
        assert main([*ask, "--report", "-o", str(tmp_path / "classes.npy")]) == 0
        assert np.load(tmp_path / "classes.npy").tolist() == expected
        assert "Argmax" in capsys.readouterr().out
        assert main([*ask, "--json", "--batch", "2"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["results"], answer["report"]["batches"]) == (expected, 3)
        for process, _ in started:
            assert process.wait(30) == 0
    finally:
        for process, _ in started:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    "options", [["--listen", "nowhere"], ["--listen", "a:99999"], ["--prepare", "5"], ["--prepare", "0:5"]]
)
def test_wrong_options_are_usage_errors(tmp_path, options, capsys):
    assert main(["serve-inference", str(tmp_path), *options]) == 2
    assert capsys.readouterr().err


def test_what_is_no_folder_and_no_array_is_said_so(tmp_path, capsys):
    assert main(["serve-inference", str(tmp_path)]) == 1
    (tmp_path / "x.npy").write_bytes(b"pixels")
    ask = ["--server-0", "127.0.0.1:1", "--server-1", "127.0.0.1:1"]
    assert main(["query", str(tmp_path), str(tmp_path / "x.npy"), *ask]) == 1
    assert main(["query", str(tmp_path), str(tmp_path / "x.npy"), *ask, "--batch", "0"]) == 2
    assert "not a .npy file" in capsys.readouterr().err
