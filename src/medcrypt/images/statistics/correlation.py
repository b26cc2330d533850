"""Correlation of neighbouring pixels."""

import numpy as np
import numpy.typing as npt

from medcrypt.images.statistics.pixels import levels_of, plane_of

__all__ = ["correlation"]


def correlation(image: npt.ArrayLike, bits: int | None = None) -> dict[str, float]:
    """Return the correlation of neighbours in three directions, over **all** pairs rather than a sample.

    Parameters
    ----------
    image
        Integer array: rows and columns last, or rows, columns and 3 or 4 colours. Neighbours are in one plane.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    dict of str to float
        "horizontal", "vertical" and "diagonal" coefficients, 0 where the pixels do not vary or have no neighbour.

    Raises
    ------
    TypeError, ValueError
        If it holds no integers, is empty, or exceeds the depth.

    Examples
    --------
    >>> import numpy as np
    >>> correlation(np.arange(16, dtype=np.uint8).reshape(4, 4))
    {'horizontal': 1.0, 'vertical': 1.0, 'diagonal': 1.0}
    """
    planes = plane_of(levels_of(image, bits)[0]).astype(np.float64)
    return {
        "horizontal": _coefficient(planes[:, :, :-1], planes[:, :, 1:]),
        "vertical": _coefficient(planes[:, :-1], planes[:, 1:]),
        "diagonal": _coefficient(planes[:, :-1, :-1], planes[:, 1:, 1:]),
    }


def _coefficient(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Return Pearson's coefficient of two arrays of equal shape."""
    if first.size < 2:
        return 0.0
    a, b = first - first.mean(), second - second.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return round(float((a * b).sum()) / scale, 12) if scale > 0 else 0.0
