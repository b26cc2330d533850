"""How alike two images look: PSNR and SSIM. Between an image and its ciphertext both should be low."""

import math

import numpy as np
import numpy.typing as npt

from medcrypt.images.statistics.pixels import pair_of, plane_of

__all__ = ["psnr", "ssim"]

_WINDOW = 7
_BAND = 32  # rows of windows at a time
Reals = npt.NDArray[np.float64]


def psnr(first: npt.ArrayLike, second: npt.ArrayLike, bits: int | None = None) -> float:
    """Return the peak signal-to-noise ratio of two images.

    Parameters
    ----------
    first, second
        Integer arrays of one shape and dtype.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    float
        Decibels; infinite for equal images.

    Raises
    ------
    TypeError, ValueError
        If they hold no integers, are empty, differ in shape or dtype, or exceed the depth.

    Examples
    --------
    >>> import numpy as np
    >>> round(psnr(np.zeros(4, np.uint8), np.full(4, 255, np.uint8)), 6)
    0.0
    """
    a, b, depth = pair_of(first, second, bits)
    error = float(np.mean((a - b).astype(np.float64) ** 2))
    return math.inf if error == 0.0 else 10.0 * math.log10(((1 << depth) - 1) ** 2 / error)


def ssim(first: npt.ArrayLike, second: npt.ArrayLike, bits: int | None = None) -> float:
    """Return the mean structural similarity of two images (Wang et al. 2004), in windows of 7 x 7 pixels.

    Parameters
    ----------
    first, second
        Integer arrays of one shape and dtype, at least 7 x 7: rows and columns last, or colours behind them.
    bits
        Depth of the pixels; by default that of the dtype.

    Returns
    -------
    float
        1 for equal images, about 0 for unrelated ones.

    Raises
    ------
    TypeError, ValueError
        If they hold no integers, are too small, differ in shape or dtype, or exceed the depth.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    >>> round(ssim(image, image), 9)
    1.0
    """
    a, b, depth = pair_of(first, second, bits)
    planes = [plane_of(levels).astype(np.float64) for levels in (a, b)]
    if min(planes[0].shape[1:]) < _WINDOW:
        raise ValueError(f"the images must have at least {_WINDOW} rows and columns")
    return float(np.mean([_of_plane(x, y, float((1 << depth) - 1)) for x, y in zip(*planes, strict=True)]))


def _of_plane(x: Reals, y: Reals, span: float) -> float:
    """Return the mean over all windows that lie inside, band by band: a band stays in the cache."""
    windows = len(x) - _WINDOW + 1
    total = 0.0
    for start in range(0, windows, _BAND):
        rows = slice(start, min(start + _BAND, windows) + _WINDOW - 1)
        total += float(_similarity(x[rows], y[rows], span).sum())
    return float(total / (windows * (x.shape[1] - _WINDOW + 1)))


def _similarity(x: Reals, y: Reals, span: float) -> Reals:
    """Return the similarity in every window that lies inside, with sample covariances."""
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    # About the middle of the range: the variances below are differences, and large means would cost digits.
    x, y = x - span / 2, y - span / 2
    mean_x, mean_y = _means(x), _means(y)
    unbiased = _WINDOW**2 / (_WINDOW**2 - 1)
    var_x = unbiased * (_means(x * x) - mean_x * mean_x)
    var_y = unbiased * (_means(y * y) - mean_y * mean_y)
    covariance = unbiased * (_means(x * y) - mean_x * mean_y)
    mean_x, mean_y = mean_x + span / 2, mean_y + span / 2
    top = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return np.asarray(top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)))


def _means(plane: Reals) -> Reals:
    """Return the mean of every window, from running sums along rows and columns."""
    for _ in range(2):
        sums = np.zeros((plane.shape[0] + 1, plane.shape[1]))
        np.cumsum(plane, axis=0, out=sums[1:])
        plane = (sums[_WINDOW:] - sums[:-_WINDOW]).T
    return np.divide(plane, _WINDOW**2)
