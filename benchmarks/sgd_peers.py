"""DP-SGD: a private step beside the same step without privacy, and beside Opacus on the same model.

The model is a 64-64-10 perceptron at batch 256 in double precision. Both of our sides run the tiny network of
``examples``. Opacus is measured without its secure mode, which draws every normal number several times; its noise is
floating-point. Seconds are the processor's, where threads that wait count as well; so a process of its own keeps
everybody to one thread, which a linear algebra library only heeds when it is loaded.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from measuring import Row, alternate, times, version_of
from medcrypt import dp

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from tiny_nn import perceptron

_BATCH, _POPULATION = 256, 10_000
_WORK = "a step of a 64-64-10 perceptron, batch 256"
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "VECLIB")}


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    repeats = 3 if quick else 9
    ours, plain = _measured("plain", repeats)
    yield Row(
        f"{_WORK}: private",
        ours,
        peer="numpy without privacy",
        theirs=plain,
        goal=times(1 / 1.5),
        note=f"{ours / plain:.2f} times the time without privacy",
    )
    if version_of("opacus") is None:
        yield Row.not_installed(f"{_WORK}: private", "Opacus")
        return
    ours, theirs = _measured("opacus", repeats)
    yield Row(f"{_WORK}: private", ours, peer="Opacus", theirs=theirs, goal=times(1.0))


def _measured(peer: str, repeats: int) -> tuple[float, float]:
    """Return our seconds and a peer's, from a process whose libraries have one thread."""
    command = [sys.executable, __file__, peer, str(repeats)]
    done = subprocess.run(command, env=os.environ | _ONE_THREAD, stdout=subprocess.PIPE, check=True)
    ours, theirs = json.loads(done.stdout.splitlines()[-1])
    return ours, theirs


def _measure(peer: str, repeats: int) -> None:
    """Print our seconds and a peer's: what `_measured` reads."""
    other = {"plain": _plain_step, "opacus": _opacus_step}[peer]
    print(json.dumps(alternate(_private_step(), other(), repeats=repeats, clock=time.process_time)))


def _data() -> tuple[np.ndarray, np.ndarray]:
    """Return one batch."""
    rng = np.random.default_rng(0)
    return rng.random((_BATCH, 64)), rng.integers(0, 10, _BATCH)


def _private_step() -> Callable[[], object]:
    net, (x, y) = perceptron(64, 64, 10), _data()
    private = dp.sgd.PrivateGradient(
        dp.sgd.PoissonSampler(_POPULATION, _BATCH / _POPULATION),
        clip=1.0,
        noise_multiplier=1.0,
        expected_batch_size=_BATCH,
        accountant=dp.Accountant(),
    )
    optimizer = dp.sgd.DPOptimizer(net.parameters, private, learning_rate=1e-3)
    return lambda: optimizer.step(net.private(x, y))


def _plain_step() -> Callable[[], object]:
    net, (x, y) = perceptron(64, 64, 10), _data()

    def step() -> None:
        for parameter, gradient in zip(net.parameters, net.gradients(x, y), strict=True):
            np.subtract(parameter, 1e-3 / _BATCH * gradient, out=parameter)

    return step


def _opacus_step() -> Callable[[], object]:
    import warnings

    import torch

    warnings.simplefilter("ignore")
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    torch.set_num_threads(1)
    x, y = (torch.from_numpy(side) for side in _data())
    net = torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU(), torch.nn.Linear(64, 10)).double()
    model = GradSampleModule(net)
    optimizer = DPOptimizer(
        torch.optim.SGD(model.parameters(), lr=1e-3),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        expected_batch_size=_BATCH,
    )

    def step() -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    _measure(sys.argv[1], int(sys.argv[2]))
