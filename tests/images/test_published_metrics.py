"""Published figures that anybody can check: those whose key, image and program are public, computed again here.

R. R. Gudipati (github.com/ravikanthreddy89/chaotic-encryption-survey) measures streams of the family at a fixed
key. `results/final/analysis.csv` there has six digits for `logistic_xor`, the design that `benchmarks/chaotic_peers.py`
builds again, on a drawn picture in colour.
"""

import numpy as np
import pytest

from medcrypt.images import statistics

SIDE = 1024
KEY = bytes((65 + 13 * i) % 256 for i in range(32))
PUBLISHED = {
    "entropy": 7.99993,
    "chi-square": 322.887,
    "horizontal": -0.0382416,
    "vertical": 0.00647945,
    "diagonal": 0.00536694,
    "NPCR": 3.17891e-05,
    "UACI": 1.24663e-07,
    "NPCR, another key": 99.4014,
}
GOLDEN, WORD = 0x9E3779B97F4A7C15, (1 << 64) - 1


def drawn_picture() -> np.ndarray:
    """Three slanted ramps; blue, green, red in memory."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.stack([x // 2 + 3 * y, 2 * x + y // 2, x + y], axis=-1).astype(np.uint8)


def start(key: bytes) -> float:
    """A hash of the key, one output of splitmix64, and of that the lowest 20 bits, between 0.001 and 0.999."""
    seed = GOLDEN
    for byte in key:
        seed ^= (byte + GOLDEN + (seed << 6 & WORD) + (seed >> 2)) & WORD
    z = (seed + GOLDEN) & WORD
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & WORD
    z = (z ^ z >> 27) * 0x94D049BB133111EB & WORD
    return 0.001 + ((z ^ z >> 31) & 0xFFFFF) / 0xFFFFF * 0.998


def logistic_bytes(key: bytes, count: int) -> np.ndarray:
    """The upper eight bits of every value of an orbit in double precision, after 512 others."""
    x, out = start(key), bytearray(count)
    for i in range(-512, count):
        x = 3.99 * x * (1.0 - x)
        if i >= 0:
            out[i] = int(x * 256.0)
    return np.frombuffer(bytes(out), np.uint8)


def grey(colours: np.ndarray) -> np.ndarray:
    """Brightness, as OpenCV rounds it."""
    weights = np.array([1868, 9617, 4899])
    return ((colours.astype(np.int64) @ weights + (1 << 13)) >> 14).astype(np.uint8)


def test_the_logistic_stream_and_our_statistics_give_the_published_digits():
    plain = drawn_picture()
    changed = plain.copy()
    changed[0, 0, 0] ^= 1
    stream, other = (
        logistic_bytes(key, plain.size).reshape(plain.shape) for key in (KEY, bytes([KEY[0] ^ 1]) + KEY[1:])
    )
    encrypted = plain ^ stream
    measured = statistics.correlation(grey(encrypted)) | {
        "entropy": statistics.entropy(encrypted),
        "chi-square": statistics.chi_square(encrypted).value,
        "NPCR": statistics.npcr(encrypted, changed ^ stream),
        "UACI": statistics.uaci(encrypted, changed ^ stream),
        "NPCR, another key": statistics.npcr(encrypted, plain ^ other),
    }
    for name, published in PUBLISHED.items():
        # The brightness of a version of OpenCV may round another way: correlations agree to five places.
        tolerance = {"abs": 5e-6} if name in ("horizontal", "vertical", "diagonal") else {"rel": 5e-6}
        assert measured[name] == pytest.approx(published, **tolerance), name
