"""All statistics of one image and its ciphertext: as a table, as JSON, as a figure."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medcrypt.images.statistics.correlation import correlation
from medcrypt.images.statistics.differential import critical_values, npcr, uaci
from medcrypt.images.statistics.entropy import LocalEntropy, entropy, local_entropy
from medcrypt.images.statistics.histogram import (
    ChiSquare,
    Quality,
    chi_square,
    encryption_quality,
    histogram_variance,
)
from medcrypt.images.statistics.pixels import depth_of, levels_of, plane_of
from medcrypt.images.statistics.similarity import psnr, ssim
from medcrypt.images.statistics.texture import Cooccurrence, cooccurrence

__all__ = ["CAVEAT", "Report", "report"]

CAVEAT = (
    "These statistics are necessary, never sufficient: ciphers that fall to a handful of chosen images "
    "pass them all."
)


@dataclass(frozen=True)
class Side:
    """What is measured of one image alone."""

    entropy: float
    local_entropy: LocalEntropy | None
    chi_square: ChiSquare
    histogram_variance: float
    correlation: dict[str, float]
    cooccurrence: Cooccurrence | None


@dataclass(frozen=True)
class Report:
    """The statistics of an image and its ciphertext.

    Parameters
    ----------
    shape, bits
        Of both images.
    plain, cipher
        What is measured of each alone; local entropy is None for images below 58,080 pixels.
    npcr, uaci, psnr, ssim, quality
        What is measured between them; ssim is None below 7 x 7 pixels.
    caveat
        What these numbers do not say.
    """

    shape: tuple[int, ...]
    bits: int
    plain: Side
    cipher: Side
    npcr: float
    uaci: float
    psnr: float
    ssim: float | None
    quality: Quality
    caveat: str = CAVEAT

    def as_json(self) -> str:
        """Return the report as JSON; infinite values become null."""
        return json.dumps(_finite(asdict(self)), indent=2)

    def table(self) -> str:
        """Return the report as text, one line a statistic."""
        ideal = critical_values(math.prod(self.shape), self.bits)
        rows = [("", "plain", "cipher", "uniform")]
        rows.append(
            ("entropy, bits", f"{self.plain.entropy:.4f}", f"{self.cipher.entropy:.4f}", f"{self.bits}")
        )
        if self.plain.local_entropy and self.cipher.local_entropy:
            local = self.cipher.local_entropy
            first = f"{self.plain.local_entropy.value:.4f}"
            rows.append(
                ("local entropy", first, f"{local.value:.4f}", f"{local.low:.4f} to {local.high:.4f}")
            )
        limit = f"<= {self.cipher.chi_square.critical:.1f}"
        rows.append(
            ("chi-square", f"{self.plain.chi_square.value:.1f}", f"{self.cipher.chi_square.value:.1f}", limit)
        )
        rows.append(
            (
                "histogram variance",
                f"{self.plain.histogram_variance:.1f}",
                f"{self.cipher.histogram_variance:.1f}",
                f"{math.prod(self.shape) / 2**self.bits:.1f}",
            )
        )
        for direction, value in self.plain.correlation.items():
            rows.append(
                (
                    f"correlation, {direction}",
                    f"{value:+.4f}",
                    f"{self.cipher.correlation[direction]:+.4f}",
                    "0",
                )
            )
        if self.plain.cooccurrence and self.cipher.cooccurrence:
            for name in ("contrast", "energy", "homogeneity"):
                first, second = (
                    f"{getattr(side.cooccurrence, name):.4g}" for side in (self.plain, self.cipher)
                )
                rows.append((f"co-occurrence {name}", first, second, ""))
        rows.append(("NPCR, plain to cipher, %", "", f"{self.npcr:.4f}", f">= {ideal.npcr:.4f}"))
        rows.append(("UACI, plain to cipher, %", "", f"{self.uaci:.4f}", ""))
        rows.append(("PSNR, dB", "", f"{self.psnr:.2f}", ""))
        if self.ssim is not None:
            rows.append(("SSIM", "", f"{self.ssim:.4f}", "0"))
        rows.append(("maximum deviation", "", f"{self.quality.maximum_deviation:.0f}", ""))
        rows.append(("irregular deviation", "", f"{self.quality.irregular_deviation:.0f}", ""))
        rows.append(("deviation from uniform", "", f"{self.quality.uniformity_deviation:.4f}", "0"))
        lines = (
            f"{name:26}{plain:>14}{cipher:>14}{uniform:>22}".rstrip() for name, plain, cipher, uniform in rows
        )
        return "\n".join((*lines, "", self.caveat))

    def draw(self, figure: Any, plain: npt.ArrayLike, cipher: npt.ArrayLike) -> None:
        """Draw both images, their histograms and their neighbours on a matplotlib figure.

        Parameters
        ----------
        figure
            A `matplotlib.figure.Figure`; this module itself does not import matplotlib.
        plain, cipher
            The images of the report.
        """
        axes = figure.subplots(2, 3)
        for row, (name, image) in zip(axes, (("plain", plain), ("cipher", cipher)), strict=True):
            levels, _ = levels_of(image, self.bits)
            plane = plane_of(levels)[0]
            row[0].imshow(plane, cmap="gray", vmin=0, vmax=2**self.bits - 1)
            row[0].set_title(f"{name}: entropy {getattr(self, name).entropy:.3f}")
            row[0].axis("off")
            row[1].hist(levels.ravel(), bins=min(2**self.bits, 256), range=(0, 2**self.bits))
            row[1].set_title("histogram")
            step = max(1, plane[:, 1:].size // 4000)
            row[2].plot(plane[:, :-1].ravel()[::step], plane[:, 1:].ravel()[::step], ",")
            row[2].set_title(f"neighbours: {getattr(self, name).correlation['horizontal']:+.3f}")
        figure.text(0.5, 0.01, self.caveat, ha="center", fontsize=7)


def report(image: npt.ArrayLike, cipher: npt.ArrayLike, bits: int | None = None) -> Report:
    """Measure an image and its ciphertext.

    Parameters
    ----------
    image, cipher
        Integer arrays of one shape and dtype.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    Report
        With `table`, `as_json` and `draw`. Its statistics are necessary, never sufficient.

    Raises
    ------
    TypeError, ValueError
        If they hold no integers, are empty, differ in shape or dtype, or exceed the depth.

    Examples
    --------
    >>> import numpy as np, os
    >>> image = np.zeros((64, 64), np.uint8)
    >>> cipher = np.frombuffer(os.urandom(64 * 64), np.uint8).reshape(64, 64)
    >>> measured = report(image, cipher)
    >>> measured.cipher.entropy > 7.9, measured.plain.entropy
    (True, 0.0)
    """
    plain, sealed = np.asarray(image), np.asarray(cipher)
    depth = depth_of(plain, bits)
    large_enough = min(plane_of(levels_of(plain, bits)[0]).shape[1:]) >= 7
    return Report(
        shape=plain.shape,
        bits=depth,
        plain=_side(plain, depth),
        cipher=_side(sealed, depth),
        npcr=npcr(plain, sealed),
        uaci=uaci(plain, sealed, depth),
        psnr=psnr(plain, sealed, depth),
        ssim=ssim(plain, sealed, depth) if large_enough else None,
        quality=encryption_quality(plain, sealed, depth),
    )


def _side(image: npt.NDArray[np.integer], bits: int) -> Side:
    """Measure one image alone."""
    has_neighbours = plane_of(levels_of(image, bits)[0]).shape[2] > 1
    return Side(
        entropy=entropy(image, bits),
        local_entropy=local_entropy(image, bits=bits) if image.size >= 30 * 1936 else None,
        chi_square=chi_square(image, bits=bits),
        histogram_variance=histogram_variance(image, bits),
        correlation=correlation(image, bits),
        cooccurrence=cooccurrence(image, bits) if has_neighbours else None,
    )


def _finite(value: Any) -> Any:
    """Return plain data without infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
