"""Statistics of images against their definitions, written out pixel by pixel, and against published values."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medcrypt.images import statistics

DTYPES = ["u1", "i1", "<u2", ">u2", "<i2"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9))
)
PAIRS = st.sampled_from(DTYPES).flatmap(
    lambda d: hnp.array_shapes(min_dims=1, max_dims=3, max_side=9).flatmap(
        lambda s: st.tuples(hnp.arrays(d, s), hnp.arrays(d, s))
    )
)


def uniform(shape, seed=0, dtype=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


# --- Two images


@given(PAIRS)
def test_npcr_uaci_and_psnr_are_their_definitions(pair):
    a, b = (array.astype(np.int64).ravel().tolist() for array in pair)
    n, top = len(a), 2 ** (8 * pair[0].dtype.itemsize) - 1
    assert statistics.npcr(*pair) == pytest.approx(100 * sum(x != y for x, y in zip(a, b, strict=True)) / n)
    gaps = [abs(x - y) for x, y in zip(a, b, strict=True)]
    assert statistics.uaci(*pair) == pytest.approx(100 * sum(gaps) / (n * top))
    error = sum(g * g for g in gaps) / n
    assert statistics.psnr(*pair) == (
        math.inf if error == 0 else pytest.approx(10 * math.log10(top * top / error))
    )


@pytest.mark.parametrize(
    ("side", "alpha", "npcr", "low", "high"),
    [
        (512, 0.05, 99.5893, 33.3730, 33.5541),
        (512, 0.01, 99.5810, 33.3445, 33.5826),
        (512, 0.001, 99.5717, 33.3115, 33.6156),
        (256, 0.05, 99.5693, 33.2824, 33.6447),
        (1024, 0.05, 99.5994, 33.4183, 33.5088),
    ],
)
def test_critical_values_are_the_published_ones(side, alpha, npcr, low, high):
    """Wu, Noonan and Agaian 2011, tables 3 and 4."""
    values = statistics.critical_values(side * side, 8, alpha)
    assert values.npcr == pytest.approx(npcr, abs=1e-4)
    assert values.uaci_low == pytest.approx(low, abs=1.5e-4)
    assert values.uaci_high == pytest.approx(high, abs=1.5e-4)


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_independent_uniform_images_pass_as_often_as_alpha_says(bits, dtype):
    """300 pairs at alpha = 0.05: between 2 % and 9 % fail, or a normal deviate of 3.2 was drawn (fixed seeds)."""
    values = statistics.critical_values(64 * 64, bits)
    npcr, uaci = [], []
    for seed in range(300):
        a, b = uniform((64, 64), seed, dtype), uniform((64, 64), seed + 1000, dtype)
        npcr.append(statistics.npcr(a, b) >= values.npcr)
        uaci.append(values.uaci_low <= statistics.uaci(a, b) <= values.uaci_high)
    assert 0.91 <= np.mean(uaci) <= 0.98
    # At 16 bits 4096 pixels hold a coincidence in one image of sixteen: the normal approximation is coarse there.
    assert 0.91 <= np.mean(npcr) <= (0.98 if bits == 8 else 1.0)


def naive_ssim(a, b, span):
    c1, c2, values = (0.01 * span) ** 2, (0.03 * span) ** 2, []
    for i in range(a.shape[0] - 6):
        for j in range(a.shape[1] - 6):
            x, y = a[i : i + 7, j : j + 7].ravel(), b[i : i + 7, j : j + 7].ravel()
            covariance = np.cov(x, y)
            top = (2 * x.mean() * y.mean() + c1) * (2 * covariance[0, 1] + c2)
            bottom = (x.mean() ** 2 + y.mean() ** 2 + c1) * (covariance[0, 0] + covariance[1, 1] + c2)
            values.append(top / bottom)
    return np.mean(values)


@pytest.mark.parametrize("shape", [(7, 7), (9, 20), (80, 11)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_ssim_is_its_definition_window_by_window(shape, dtype):
    a, b = uniform(shape, 1, dtype), uniform(shape, 2, dtype)
    b = (a // 2 + b // 4).astype(dtype)
    expected = naive_ssim(a.astype(float), b.astype(float), float(np.iinfo(dtype).max))
    assert statistics.ssim(a, b) == pytest.approx(expected, rel=1e-9)


def test_ssim_of_colours_is_the_mean_over_channels():
    a, b = uniform((12, 13, 3), 1), uniform((12, 13, 3), 2)
    channels = [statistics.ssim(a[..., c], b[..., c]) for c in range(3)]
    assert statistics.ssim(a, b) == pytest.approx(np.mean(channels))


# --- One image


@given(ARRAYS)
def test_entropy_and_histogram_variance_are_their_definitions(image):
    values = image.astype(np.int64).ravel().tolist()
    counts = {value: values.count(value) for value in values}
    entropy = -sum(c / len(values) * math.log2(c / len(values)) for c in counts.values())
    assert statistics.entropy(image) == pytest.approx(entropy, abs=1e-12)
    levels = 2 ** (8 * image.dtype.itemsize)
    mean = len(values) / levels
    variance = (sum((c - mean) ** 2 for c in counts.values()) + (levels - len(counts)) * mean**2) / levels
    assert statistics.histogram_variance(image) == pytest.approx(variance)
    assert statistics.chi_square(image).value == pytest.approx(variance * levels / mean)


def test_local_entropy_of_uniform_images_is_in_its_range_as_often_as_alpha_says():
    """400 images; the interval printed in the paper for alpha = 0.05 is missed by most of them."""
    measured = [statistics.local_entropy(uniform(30 * 1936, seed)) for seed in range(400)]
    assert 0.91 <= np.mean([m.passed for m in measured]) <= 0.985
    assert np.mean([7.901901305 <= m.value <= 7.903037329 for m in measured]) < 0.4
    assert measured[0].low < 7.902469317 < measured[0].high


def test_the_chi_square_threshold_is_the_published_one():
    assert statistics.chi_square(uniform((64, 64))).critical == pytest.approx(293.25, abs=0.1)


@given(hnp.arrays("u1", hnp.array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=9)))
def test_correlation_is_pearson_s_over_all_neighbours(image):
    pairs = {
        "horizontal": [
            (image[i, j], image[i, j + 1]) for i, j in np.ndindex(image.shape[0], image.shape[1] - 1)
        ],
        "vertical": [
            (image[i, j], image[i + 1, j]) for i, j in np.ndindex(image.shape[0] - 1, image.shape[1])
        ],
        "diagonal": [
            (image[i, j], image[i + 1, j + 1]) for i, j in np.ndindex(image.shape[0] - 1, image.shape[1] - 1)
        ],
    }
    measured = statistics.correlation(image)
    for direction, values in pairs.items():
        x, y = np.array(values, dtype=float).T
        varies = x.std() > 0 and y.std() > 0
        expected = np.corrcoef(x, y)[0, 1] if varies else 0.0
        assert measured[direction] == pytest.approx(expected, abs=1e-9)


@given(
    hnp.arrays(
        "u1", hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8), elements=st.integers(0, 9)
    )
)
def test_cooccurrence_features_are_their_definitions(image):
    matrix = np.zeros((256, 256))
    for i, j in np.ndindex(image.shape[0], image.shape[1] - 1):
        matrix[image[i, j], image[i, j + 1]] += 1
    matrix /= matrix.sum()
    i, j = np.indices(matrix.shape)
    measured = statistics.cooccurrence(image)
    assert measured.contrast == pytest.approx(((i - j) ** 2 * matrix).sum())
    assert measured.energy == pytest.approx((matrix**2).sum())
    assert measured.homogeneity == pytest.approx((matrix / (1 + abs(i - j))).sum())


def test_encryption_quality_tells_a_moved_histogram_from_a_kept_one():
    image = np.repeat(np.arange(16, dtype=np.uint8), 256).reshape(64, 64)
    shuffled = np.random.default_rng(0).permutation(image.ravel()).reshape(64, 64)
    kept, moved = (statistics.encryption_quality(image, other) for other in (shuffled, uniform((64, 64))))
    assert kept.maximum_deviation == 0
    assert moved.maximum_deviation > 4000
    assert moved.uniformity_deviation < 0.3 < kept.uniformity_deviation
    assert moved.irregular_deviation < kept.irregular_deviation


# --- Ciphers


def test_sensitivities_change_one_bit_and_only_it():
    seen = []

    def encrypt(image):
        seen.append(image.copy())
        return image

    image = uniform((4, 5))
    npcr, uaci = statistics.plaintext_sensitivity(encrypt, image, [0, 19])
    np.testing.assert_allclose(npcr, 5.0)
    np.testing.assert_allclose(uaci, 5.0 / 255)
    assert [int((other != image).sum()) for other in seen] == [0, 1, 1]
    npcr, _ = statistics.key_sensitivity(lambda key: np.frombuffer(key, np.uint8), bytes(10), [0, 7, 79])
    np.testing.assert_allclose(npcr, 10.0)


@given(st.binary(max_size=60), st.integers(1, 70))
def test_exported_bits_are_those_of_the_bytes(data, length):
    digits = "".join(f"{byte:08b}" for byte in data)
    expected = [digits[k : k + length].encode() for k in range(0, len(digits) - length + 1, length)]
    assert list(statistics.bit_sequences(data, length)) == expected
    assert list(statistics.bit_sequences(np.frombuffer(data, np.uint8), length)) == expected


# --- The report


@pytest.mark.parametrize("shape", [(1,), (1, 1), (5, 6), (6, 7, 3), (2, 6, 7), (300, 200)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_a_report_is_made_of_any_image(shape, dtype):
    a, b = np.zeros(shape, dtype), np.random.default_rng(1).integers(0, 99, shape).astype(dtype)
    measured = statistics.report(a, b)
    data = json.loads(measured.as_json())
    assert data["caveat"].startswith("These statistics are necessary, never sufficient")
    assert data["shape"] == list(shape)
    assert data["npcr"] == pytest.approx(statistics.npcr(a, b))
    table = measured.table()
    assert "NPCR" in table
    assert measured.caveat in table
    assert (measured.plain.local_entropy is None) == (np.prod(shape) < 30 * 1936)
    assert json.loads(statistics.report(a, a).as_json())["psnr"] is None


def test_a_report_is_drawn(tmp_path):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    a, b = np.zeros((40, 30), np.uint8), uniform((40, 30))
    statistics.report(a, b).draw(figure, a, b)
    figure.savefig(tmp_path / "report.png")
    assert (tmp_path / "report.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: statistics.npcr(np.zeros(3, np.uint8), np.zeros(4, np.uint8)), ValueError),
        (lambda: statistics.npcr(np.zeros(3, np.uint8), np.zeros(3, np.uint16)), ValueError),
        (lambda: statistics.npcr(np.zeros(3), np.zeros(3)), TypeError),
        (lambda: statistics.entropy(np.zeros(3, bool)), TypeError),
        (lambda: statistics.entropy(np.zeros(0, np.uint8)), ValueError),
        (lambda: statistics.entropy(np.full(3, 256, np.uint16), bits=8), ValueError),
        (lambda: statistics.entropy(np.zeros(3, np.uint64)), ValueError),
        (lambda: statistics.local_entropy(np.zeros(100, np.uint8)), ValueError),
        (lambda: statistics.local_entropy(np.zeros(10**5, np.uint8), alpha=1.0), ValueError),
        (lambda: statistics.critical_values(0), ValueError),
        (lambda: statistics.critical_values(10, alpha=0.0), ValueError),
        (lambda: statistics.ssim(np.zeros((6, 9), np.uint8), np.zeros((6, 9), np.uint8)), ValueError),
        (lambda: statistics.cooccurrence(np.zeros((3, 1), np.uint8)), ValueError),
        (lambda: statistics.bit_sequences(b"", 0), ValueError),
    ],
)
def test_what_cannot_be_measured_is_refused(call, error):
    with pytest.raises(error):
        call()
