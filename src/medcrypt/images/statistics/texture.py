"""The grey-level co-occurrence matrix (Haralick et al. 1973) and three of its features."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medcrypt.images.statistics.pixels import levels_of, plane_of

__all__ = ["Cooccurrence", "cooccurrence"]

_MOST_BITS = 8


@dataclass(frozen=True)
class Cooccurrence:
    """Features of a normalised co-occurrence matrix p.

    Parameters
    ----------
    contrast
        sum (i - j)^2 p(i, j); large for noise.
    energy
        sum p(i, j)^2; small for noise.
    homogeneity
        sum p(i, j)/(1 + |i - j|); small for noise.
    """

    contrast: float
    energy: float
    homogeneity: float


def cooccurrence(image: npt.ArrayLike, bits: int | None = None) -> Cooccurrence:
    """Measure the texture of horizontal neighbours.

    Parameters
    ----------
    image
        Integer array: rows and columns last, or rows, columns and 3 or 4 colours.
    bits
        Depth of the pixels; by default that of the dtype. Beyond 8 bits the upper 8 count.

    Returns
    -------
    Cooccurrence
        Contrast, energy and homogeneity.

    Raises
    ------
    TypeError, ValueError
        If it holds no integers, has no neighbours, or exceeds the depth.

    Examples
    --------
    >>> import numpy as np
    >>> cooccurrence(np.zeros((4, 4), np.uint8))
    Cooccurrence(contrast=0.0, energy=1.0, homogeneity=1.0)
    """
    levels, depth = levels_of(image, bits)
    planes = plane_of(levels >> max(depth - _MOST_BITS, 0))
    size = 1 << min(depth, _MOST_BITS)
    left, right = planes[:, :, :-1], planes[:, :, 1:]
    if left.size == 0:
        raise ValueError("the image has no horizontal neighbours")
    matrix = np.bincount((left * size + right).ravel(), minlength=size * size) / left.size
    i, j = np.divmod(np.arange(size * size), size)
    gap = np.abs(i - j)
    return Cooccurrence(
        float((gap * gap * matrix).sum()), float((matrix * matrix).sum()), float((matrix / (1 + gap)).sum())
    )
