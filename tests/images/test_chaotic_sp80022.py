"""NIST SP 800-22 over what the chaotic cipher makes of a black image, by an implementation that is not ours.

One hundred sequences of 10^6 bits take about ten minutes; `pip install medcrypt[randomness]` has the tests. They are
necessary, never sufficient.
"""

import math
from collections import defaultdict

import numpy as np
import pytest

from medcrypt import SecretKey
from medcrypt.images import chaotic, statistics

SEQUENCES, LENGTH = 100, 1_000_000
ALPHA = 0.01


def each_test():
    pytest.importorskip("nist80022", reason="the [randomness] extra has the tests")
    import scipy

    scipy.zeros = np.zeros  # what the package still calls it
    from nist80022.ApproximateEntropy import ApproximateEntropy
    from nist80022.CumulativeSum import CumulativeSums
    from nist80022.FrequencyTest import FrequencyTest
    from nist80022.Matrix import Matrix
    from nist80022.RandomExcursions import RandomExcursions
    from nist80022.RunTest import RunTest
    from nist80022.Serial import Serial
    from nist80022.Spectral import SpectralTest
    from nist80022.TemplateMatching import TemplateMatching
    from nist80022.Universal import Universal

    return (
        FrequencyTest.monobit_test,
        FrequencyTest.block_frequency,
        RunTest.run_test,
        RunTest.longest_one_block_test,
        Matrix.binary_matrix_rank_text,
        SpectralTest.spectral_test,
        TemplateMatching.non_overlapping_test,
        TemplateMatching.overlapping_patterns,
        Universal.statistical_test,
        Serial.serial_test,
        ApproximateEntropy.approximate_entropy_test,
        CumulativeSums.cumulative_sums_test,
        RandomExcursions.random_excursions_test,
        RandomExcursions.variant_test,
    )


def p_values(data: bytes) -> dict[str, list[float]]:
    """Return the p-values of all sequences, by test."""
    found, tests = defaultdict(list), each_test()
    for sequence in statistics.bit_sequences(data, LENGTH):
        bits = sequence.decode("ascii")
        for test in tests:
            for name, value, *_ in test(bits):
                if isinstance(value, float) and not math.isnan(value):
                    found[name].append(float(value))
    return found


def least_passes(count: int) -> float:
    """SP 800-22, 4.2.1: three standard deviations below the expected proportion."""
    return count * (1 - ALPHA) - 3 * math.sqrt(count * ALPHA * (1 - ALPHA))


def uniformity(values: list[float]) -> float:
    """Chi-square of the p-values in ten bins, SP 800-22, 4.2.2."""
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    return float(((counts - len(values) / 10) ** 2 / (len(values) / 10)).sum())


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cipher", ["chaotic", "chaotic-ctr"])
def test_a_black_image_passes_as_often_as_noise_would(cipher):
    black = np.zeros(SEQUENCES * LENGTH // 8, np.uint8)
    key, nonce = SecretKey(bytes(range(32))), bytes(range(16))
    found = p_values(
        chaotic.encrypt(black, key, cipher=cipher, nonce=nonce, authenticated=False).pixels.tobytes()
    )
    lines = []
    for name, values in found.items():
        passed = sum(value >= ALPHA for value in values)
        lines.append(f"{name}: {passed} of {len(values)}, chi-square {uniformity(values):.1f}")
        if passed < least_passes(len(values)):
            lines[-1] += " outside"
    print("\n".join(lines))  # shown by pytest -s
    # Some forty proportions, each outside three deviations about once in 400 times even for noise.
    assert sum("outside" in line for line in lines) <= 1
    # 33.72 is the 0.0001 quantile of nine degrees of freedom; the test of the spectrum is known to be uneven.
    assert max(uniformity(values) for name, values in found.items() if len(values) > 55) < 50
