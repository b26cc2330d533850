"""The demo as a picture: a scan and its ciphertext, their histograms, and accuracy against epsilon."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medcrypt import SecretKey, images
from medcrypt.cli.demo import scans
from medcrypt.cli.demo.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SCAN = "CT slice"
_BLUE, _ORANGE, _GREY = "#1f5fa8", "#c8501e", "#666666"


def draw(report: Report, file: BinaryIO) -> None:
    """Write the picture as PNG."""
    from matplotlib.figure import Figure

    pixels, _ = scans.load(scans.SCANS[_SCAN])
    noise = ciphertext_pixels(pixels)
    figure = Figure(figsize=(12, 7.2), layout="constrained")
    top, bottom = figure.subplots(2, 2, width_ratios=[1, 1.45])
    _scan(top[0], pixels, f"{_SCAN}, as the hospital sees it")
    _histogram(top[1], pixels, noise)
    _scan(bottom[0], noise, "the same, as anybody else sees it")
    _accuracy(bottom[1], report)
    figure.savefig(file, format="png", dpi=110)


def ciphertext_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Seal an image and show the first bytes of its body as if they were pixels."""
    sealed = np.frombuffer(images.encrypt(pixels, SecretKey.generate()), np.uint8)
    return sealed[-pixels.nbytes :].copy().view(pixels.dtype).reshape(pixels.shape)


def _scan(axes: Axes, pixels: NDArray[Any], title: str) -> None:
    low, high = np.percentile(pixels, [1, 99.5])
    axes.imshow(pixels, cmap="gray", vmin=low, vmax=high)
    axes.set_title(title, fontsize=11)
    axes.set_axis_off()


def _histogram(axes: Axes, pixels: NDArray[Any], noise: NDArray[Any]) -> None:
    limits = np.iinfo(pixels.dtype)
    bins = np.linspace(limits.min, limits.max, 129).tolist()
    axes.hist(pixels.ravel(), bins, color=_BLUE, label="scan")
    axes.hist(noise.ravel(), bins, color=_ORANGE, alpha=0.75, label="ciphertext")
    axes.set_yscale("log")
    axes.set_xlabel("pixel value")
    axes.set_ylabel("pixels")
    axes.set_title("histograms", fontsize=11)
    axes.legend(frameon=False)


def _accuracy(axes: Axes, report: Report) -> None:
    plain, ours, local = report.trainings
    epsilons, accuracies = zip(*report.curve, strict=True)
    axes.axhline(plain.accuracy, color=_GREY, linestyle="--", label=plain.protection)
    axes.plot(epsilons, accuracies, "o-", color=_BLUE, label="noise shares in the secure sum")
    if ours.epsilon is not None and local.epsilon is not None:
        axes.plot(
            [ours.epsilon], [ours.accuracy], "*", color=_BLUE, markersize=16, label="this run, encrypted"
        )
        axes.plot([local.epsilon], [local.accuracy], "s", color=_ORANGE, label=local.protection)
    axes.set_xscale("log", base=2)
    axes.set_xticks(epsilons, [f"{epsilon:g}" for epsilon in epsilons])
    axes.set_xlabel(f"epsilon at delta = {report.delta:g}")
    axes.set_ylabel("accuracy on the test images")
    axes.set_title("ten hospitals: accuracy against privacy", fontsize=11)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
