"""What larger networks would cost under sharing, counted from their circuits: nothing is run.

    python benchmarks/inference_costs.py

The weights are constants of a usual size, which decide the proven bounds and so the sizes of comparisons.
"""

from collections.abc import Iterator

import numpy as np

from medcrypt.inference import (
    Argmax,
    AvgPool,
    Conv2d,
    Dense,
    Flatten,
    MaxPool,
    ReLU,
    Residual,
    Sequential,
)

Layers = list[object]


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int | None = None) -> Conv2d:
    """A convolution whose outputs are about as large as its inputs."""
    weights = np.full((outputs, inputs, kernel, kernel), 1 / np.sqrt(inputs * kernel * kernel))
    return Conv2d(weights, stride=stride, padding=kernel // 2 if padding is None else padding)


def dense(inputs: int, outputs: int) -> Dense:
    """A product whose outputs are about as large as its inputs."""
    return Dense(np.full((inputs, outputs), 1 / np.sqrt(inputs)))


def networks() -> Iterator[tuple[str, tuple[int, ...], Layers]]:
    """Yield name, shape of an image, and layers."""
    yield "MLP 64-64-10", (64,), [dense(64, 64), ReLU(), dense(64, 10), Argmax()]
    small = [conv(1, 8, 3), ReLU(), MaxPool(2), conv(8, 16, 3), ReLU(), MaxPool(2)]
    yield "CNN 8-16, 8 x 8", (1, 8, 8), [*small, Flatten(), dense(64, 10), Argmax()]
    lenet = [conv(1, 6, 5), ReLU(), MaxPool(2), conv(6, 16, 5, padding=0), ReLU(), MaxPool(2), Flatten()]
    lenet += [dense(400, 120), ReLU(), dense(120, 84), ReLU(), dense(84, 10), Argmax()]
    yield "LeNet-5, 28 x 28", (1, 28, 28), lenet
    slices = [conv(1, 16, 3), ReLU(), MaxPool(2), conv(16, 32, 3), ReLU(), MaxPool(2)]
    slices += [conv(32, 64, 3), ReLU(), AvgPool(16), Flatten(), dense(64, 2), Argmax()]
    yield "CNN 16-32-64, 64 x 64", (1, 64, 64), slices
    yield "ResNet-18, 64 x 64", (3, 64, 64), resnet18(64)
    yield "ResNet-18, 224 x 224", (3, 224, 224), resnet18(224)


def resnet18(size: int) -> Layers:
    """He et al. 2016, table 1."""
    layers: Layers = [conv(3, 64, 7, stride=2), ReLU(8), MaxPool(3, 2, padding=1)]
    channels = 64
    for stage, width in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            body = [conv(channels, width, 3, stride=stride), ReLU(8), conv(width, width, 3)]
            shortcut = [] if channels == width and stride == 1 else [conv(channels, width, 1, stride=stride)]
            layers += [Residual(body, shortcut), ReLU(8)]
            channels = width
    return [*layers, AvgPool(size // 32), Flatten(), dense(512, 1000), Argmax()]


def main() -> None:
    """Print a line for each network."""
    print(f"{'network':24}{'comparisons':>14}{'rounds':>8}{'sent by a server':>18}{'keys for a server':>19}")
    for name, shape, layers in networks():
        costs = Sequential(layers, clip=1).compile(shape).circuit.costs(1)
        totals = [sum(getattr(cost, kind) for cost in costs) for kind in ("comparisons", "rounds")]
        sizes = [sum(getattr(cost, kind) for cost in costs) / 1e6 for kind in ("sent", "material")]
        print(f"{name:24}{totals[0]:>14,}{totals[1]:>8}{sizes[0]:>15,.3f} MB{sizes[1]:>16,.2f} MB")


if __name__ == "__main__":
    main()
