"""Our statistics against scikit-image's, where it is installed."""

import numpy as np
import pytest

from medcrypt.images import statistics

measure = pytest.importorskip("skimage.measure")
metrics = pytest.importorskip("skimage.metrics")
feature = pytest.importorskip("skimage.feature")


def pair(shape, dtype, seed=1):
    random = np.random.default_rng(seed)
    top = np.iinfo(dtype).max
    first = random.integers(0, top, shape, dtype, endpoint=True)
    return first, (first // 2 + random.integers(0, top // 2, shape, dtype)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(7, 7), (33, 64), (128, 100)])
def test_ssim_and_psnr_agree(shape, dtype):
    first, second = pair(shape, dtype)
    span = float(np.iinfo(dtype).max)
    expected = metrics.structural_similarity(first, second, data_range=span)
    assert statistics.ssim(first, second) == pytest.approx(expected, rel=1e-6)
    expected = metrics.peak_signal_noise_ratio(first, second, data_range=span)
    assert statistics.psnr(first, second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shape", [(5, 9), (64, 64)])
def test_entropy_and_cooccurrence_agree(shape):
    image, _ = pair(shape, np.uint8)
    assert statistics.entropy(image) == pytest.approx(measure.shannon_entropy(image), rel=1e-9)
    matrix = feature.graycomatrix(image, [1], [0], levels=256, symmetric=False, normed=True)
    ours = statistics.cooccurrence(image)
    assert ours.contrast == pytest.approx(feature.graycoprops(matrix, "contrast")[0, 0])
    assert ours.energy == pytest.approx(feature.graycoprops(matrix, "ASM")[0, 0])
    # scikit-image's homogeneity has 1 + (i - j)^2 below the fraction; ours, of the encryption literature, 1 + |i - j|.
    i, j = np.indices((256, 256))
    assert ours.homogeneity == pytest.approx((matrix[:, :, 0, 0] / (1 + abs(i - j))).sum())
