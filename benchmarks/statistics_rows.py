"""What it costs to measure an encrypted image, and to break a published cipher: processor time of one core."""

import time
from collections.abc import Iterator

import numpy as np

from measuring import Row, alternate, at_most
from medcrypt import attacks
from medcrypt.images import statistics
from medcrypt.images.chaotic import schemes

REPORT_SECONDS, ATTACK_SECONDS = 2.0, 5.0


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the statistics and of the attacks."""
    yield from _reports(1 if quick else 3)
    yield from _attacks(64 if quick else 256)


def _reports(repeats: int) -> Iterator[Row]:
    """All statistics of an image of 4 million pixels and its ciphertext."""
    random = np.random.default_rng(8)
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        plain = (np.add.outer(np.arange(2048), np.arange(2048)) * (top / 4096)).astype(dtype)
        cipher = random.integers(0, top, plain.shape, dtype, endpoint=True)
        (seconds,) = alternate(
            lambda plain=plain, cipher=cipher: statistics.report(plain, cipher),
            repeats=repeats,
            clock=time.process_time,
        )
        name = np.dtype(dtype).name
        yield Row(f"statistics.report, 2048x2048 {name}", seconds, goal=at_most(REPORT_SECONDS, "s"))


def _attacks(side: int) -> Iterator[Row]:
    """From the first chosen image to the last recovered pixel, the oracle's own work included."""
    image = np.random.default_rng(9).integers(0, 256, (side, side), np.uint8)
    contests = (
        (schemes.GaoChen.random(), attacks.shuffle),
        (schemes.YenGuo.random(), attacks.shuffle),
        (schemes.ChenMaoChui.random(), attacks.mixing_shuffle),
        (schemes.Ye.random(), attacks.bit_shuffle),
        (schemes.Fridrich.random(16, rounds=5), attacks.affine),
        (schemes.HuaJinXuHuang.random(), attacks.affine),
    )
    for scheme, attack in contests:
        target = image[:16, :16] if attack is attacks.affine else image
        start = time.process_time()
        key = attack(attacks.Oracle(scheme.encrypt, target.shape))
        right = attacks.recovered(target, key.decrypt(scheme.encrypt(target)))
        seconds = time.process_time() - start
        yield Row(
            f"break {type(scheme).__name__}, {'x'.join(map(str, target.shape))}, {key.images} images",
            seconds,
            goal=at_most(ATTACK_SECONDS, "s"),
            note=f"{right} of {target.size} pixels recovered",
        )
