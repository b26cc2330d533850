"""Quadrature: points and weights are the doubles nearest to the true ones."""

import re
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

from medcrypt.dp.legendre import legendre

SAMPLED = Path(__file__).parents[2] / "src" / "medcrypt" / "_ext" / "dp" / "sampled.c"


@pytest.mark.parametrize("count", [2, 8, 10, 16, 24, 32, 64])
def test_points_and_weights_are_rounded_correctly(count):
    """Weights by another formula than the library's, at 60 digits."""
    with mp.workdps(60):
        for point, weight in zip(*legendre(count), strict=True):
            root = mp.findroot(lambda x: mp.legendre(count, x), mp.mpf(float(point)))
            over = (count + 1) * mp.legendre(count + 1, root)
            assert float(root) == point
            assert float(2 * (1 - root * root) / over**2) == weight


def test_the_kernel_has_the_same_table():
    source = SAMPLED.read_text()
    points, weights = legendre(32)
    for name, half in (("points", points[16:]), ("shares", weights[16:])):
        body = re.search(rf"double {name}\[[^=]*= \{{(.*?)\}}", source, re.DOTALL)
        assert body is not None
        assert [float.fromhex(x) for x in body[1].split(",")] == half.tolist()


def test_it_integrates_every_polynomial_that_it_should():
    for count in (2, 8, 16):
        points, weights = legendre(count)
        for degree in range(0, 2 * count, 2):
            assert abs(weights @ points**degree - 2 / (degree + 1)) <= 4e-16 * count


@pytest.mark.parametrize("count", [0, 3, 66, -2])
def test_other_counts_are_refused(count):
    with pytest.raises(ValueError, match="even"):
        legendre(count)


def test_nobody_can_change_the_table():
    with pytest.raises(ValueError, match="read-only"):
        legendre(8)[0][0] = np.float64(0.0)
