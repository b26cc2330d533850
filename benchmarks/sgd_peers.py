"""DP-SGD: a private step beside the same step without privacy, and beside Opacus on the same model.

The model is a 64-64-10 perceptron at batch 256 in double precision, one thread for everybody. Both of our sides run the
tiny network of ``examples``. Opacus is measured without its secure mode, which draws every normal number several times;
its noise is floating-point. Seconds are the processor's; set OPENBLAS_NUM_THREADS=1, or they count waiting threads.
"""

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


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    repeats = 3 if quick else 9
    ours, plain = alternate(_private_step(), _plain_step(), repeats=repeats, clock=time.process_time)
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
    ours, theirs = alternate(_private_step(), _opacus_step(), repeats=repeats, clock=time.process_time)
    yield Row(f"{_WORK}: private", ours, peer="Opacus", theirs=theirs, goal=times(1.0))


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
