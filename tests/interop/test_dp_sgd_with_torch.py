"""The page on embedding DP-SGD: its PyTorch example runs as it stands, where torch is installed."""

import re
from pathlib import Path

import numpy as np
import pytest

from medcrypt import dp

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "embed-dp-sgd.md"


def test_the_pytorch_example_trains_and_pays(capsys):
    pytest.importorskip("torch")
    [code] = re.findall(r"```python\n(import torch\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    scope: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), scope)
    expected = dp.Accountant().compose(dp.PoissonSampled(0.1, dp.Gaussian(1.0)), 20).epsilon(1e-5)
    assert capsys.readouterr().out == f"epsilon {expected:.3f} at delta 1e-5\n"


def test_clipped_sums_are_those_of_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(6, 2, 7, 8)), rng.normal(size=(6, 3, 4, 4))
    layer = dp.sgd.Convolution(x, dy, (3, 3), stride=2, padding=1)
    for k in range(6):
        weight = torch.zeros(3, 2, 3, 3, dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(3, dtype=torch.float64, requires_grad=True)
        out = torch.nn.functional.conv2d(torch.from_numpy(x[k : k + 1]), weight, bias, stride=2, padding=1)
        out.backward(torch.from_numpy(dy[k : k + 1]))
        ours = layer.weighted_sums(np.eye(6)[k])
        assert np.allclose(ours[0], weight.grad.numpy(), atol=1e-12)
        assert np.allclose(ours[1], bias.grad.numpy(), atol=1e-12)
