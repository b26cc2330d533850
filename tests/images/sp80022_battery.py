"""All fifteen tests of NIST SP 800-22 (revision 1a) on one sequence of bits, by implementations that are not ours.

`sp80022suite` is NIST's own C code as an extension module; where it gives but the least of several p-values, the
independent `nist80022` in Python gives all of them. `pip install medcrypt[randomness]` has both. The one test which
neither does whole and in time, that of 148 templates, is counted here.
"""

import contextlib
import itertools
import math

import numpy as np
import pytest

ALPHA = 0.01
BLOCKS = 8  # of the test of templates, section 2.7


def scipy_special():
    return pytest.importorskip("scipy.special", reason="the [randomness] extra has scipy")


def one_p_value_each():
    """The tests of NIST's code that have one p-value, with the parameters of appendix B."""
    nist = pytest.importorskip("sp80022suite", reason="the [randomness] extra has NIST's tests")
    return {
        "frequency": nist.frequency,
        "block frequency, 128": lambda bits: nist.block_frequency(128, bits),
        "runs": nist.runs,
        "longest run of ones": nist.longest_run_of_ones,
        "matrix rank": nist.rank,
        "spectral": nist.discrete_fourier_transform,
        "overlapping template, 9": lambda bits: nist.overlapping_template_matchings(9, bits),
        "universal": nist.universal,
        "linear complexity, 500": lambda bits: nist.linear_complexity(500, bits),
        "approximate entropy, 10": lambda bits: nist.approximate_entropy(10, bits),
    }


def several_p_values_each():
    """The tests with several p-values that suit every sequence, in Python."""
    pytest.importorskip("nist80022", reason="the [randomness] extra has the tests")
    import scipy

    scipy.zeros = np.zeros  # what the package still calls it
    from nist80022.CumulativeSum import CumulativeSums
    from nist80022.Serial import Serial

    return (
        lambda digits: {"cumulative sums, forwards": CumulativeSums.cumulative_sums_test(digits, 0)[0][1]},
        lambda digits: {"cumulative sums, backwards": CumulativeSums.cumulative_sums_test(digits, 1)[0][1]},
        lambda digits: {f"serial, 16, {i}": row[1] for i, row in enumerate(Serial.serial_test(digits), 1)},
    )


def excursions(bits: bytes, digits: str) -> dict[str, float]:
    """Nothing where the random walk comes home too seldom, section 2.14.4 (5): NIST's code decides."""
    import sp80022suite
    from nist80022.RandomExcursions import RandomExcursions

    with contextlib.suppress(ValueError):
        sp80022suite.random_excursions(bits)
        by_state = RandomExcursions.random_excursions_test(digits)
        variant = RandomExcursions.variant_test(digits)
        return {f"excursions, {int(name.split('_')[-1]):+d}": p for name, p, _ in by_state} | {
            f"excursions variant, {float(name.split('_')[-1]):+.0f}": p for name, p, _ in variant
        }
    return {}


def aperiodic_templates(length: int = 9) -> list[str]:
    """Those that cannot overlap themselves, so that `str.count` counts as section 2.7.4 says."""
    words = ("".join(word) for word in itertools.product("01", repeat=length))
    return [word for word in words if not any(word.startswith(word[i:]) for i in range(1, length))]


def template_p_values(digits: str) -> dict[str, float]:
    """Section 2.7.4, for all 148 templates of nine bits."""
    gammaincc = scipy_special().gammaincc
    size = len(digits) // BLOCKS
    blocks = [digits[i * size : (i + 1) * size] for i in range(BLOCKS)]
    found = {}
    for template in aperiodic_templates():
        m = len(template)
        mean = (size - m + 1) / 2**m
        variance = size * (1 / 2**m - (2 * m - 1) / 2 ** (2 * m))
        statistic = sum((block.count(template) - mean) ** 2 for block in blocks) / variance
        found[f"template {template}"] = float(gammaincc(BLOCKS / 2, statistic / 2))
    return found


def p_values(digits: bytes) -> dict[str, float]:
    """All p-values of a sequence of ASCII digits, by name; excursions only where the standard has them."""
    bits, text = bytes(np.frombuffer(digits, np.uint8) - ord("0")), digits.decode("ascii")
    found = {name: test(bits) for name, test in one_p_value_each().items()}
    for test in several_p_values_each():
        found |= test(text)
    found |= excursions(bits, text) | template_p_values(text)
    return {name: float(p) for name, p in found.items()}


def passes(values: list[float]) -> int:
    """How many sequences a test accepts."""
    return sum(value >= ALPHA for value in values)


def least_passes(count: int) -> float:
    """Where the acceptance band begins, three standard deviations below the expected number, section 4.2.1."""
    return count * (1 - ALPHA) - 3 * math.sqrt(count * ALPHA * (1 - ALPHA))


def uniformity(values: list[float]) -> float:
    """P-value of the chi-square of the p-values in ten bins, section 4.2.2; acceptable from 0.0001."""
    counts = np.histogram(values, bins=10, range=(0, 1))[0]
    statistic = ((counts - len(values) / 10) ** 2 / (len(values) / 10)).sum()
    return float(scipy_special().gammaincc(9 / 2, statistic / 2))


def table(found: dict[str, list[float]]) -> str:
    """What the page on the cipher says: a line for a test, the families of templates and of states with their worst."""
    families = {"template ": [], "excursions, ": [], "excursions variant, ": []}
    lines = []
    for name, values in found.items():
        family = next((prefix for prefix in families if name.startswith(prefix)), None)
        if family:
            families[family].append(values)
        else:
            lines.append(f"| {name} | {passes(values)} of {len(values)} | {uniformity(values):.3f} |")
    for prefix, members in families.items():
        counts, size = [passes(values) for values in members], len(members[0])
        least = min(uniformity(values) for values in members)
        lines.append(
            f"| {prefix.strip(', ')}, {len(members)} | {min(counts)} to {max(counts)} of {size} | {least:.3f} or more |"
        )
    return "\n".join(lines)
