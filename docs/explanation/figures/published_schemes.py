"""Print the tables of the page on published schemes: python docs/explanation/figures/published_schemes.py"""

import secrets
import sys
from statistics import mean, median

import numpy as np

from medcrypt import SecretKey
from medcrypt.images import chaotic, statistics
from medcrypt.images.chaotic import schemes

SIDE, PAIRS = 256, 40


def photo() -> np.ndarray:
    """Draw a smooth picture with a little noise: about 7 bits a pixel, neighbours alike."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    smooth = 128 + 70 * np.sin(9 * x) * np.cos(7 * y) + 30 * x
    return (smooth + np.random.default_rng(8).normal(0, 3, x.shape)).clip(0, 255).astype(np.uint8)


def main() -> None:
    """Measure every scheme at a fixed key, over pairs of images that differ in one bit."""
    ours, nonce = SecretKey.generate(), secrets.token_bytes(16)

    def medcrypt(plain: np.ndarray) -> np.ndarray:
        return chaotic.encrypt(plain, ours, nonce=nonce, authenticated=False).pixels

    contestants = {
        "none": lambda plain: plain,
        "Fridrich, 1 round": schemes.Fridrich.random(SIDE, rounds=1).encrypt,
        "Fridrich, 3 rounds": schemes.Fridrich.random(SIDE).encrypt,
        "Yen and Guo": schemes.YenGuo.random().encrypt,
        "Chen, Mao and Chui, 1 round": schemes.ChenMaoChui.random().encrypt,
        "Chen, Mao and Chui, 3 rounds": schemes.ChenMaoChui.random(3).encrypt,
        "Gao and Chen": schemes.GaoChen.random().encrypt,
        "Ye": schemes.Ye.random().encrypt,
        "Zhang, Guo and Wei": schemes.ZhangGuoWei.random().encrypt,
        "Hua et al., 1 round": schemes.HuaJinXuHuang.random(1).encrypt,
        "Hua et al., 4 rounds": schemes.HuaJinXuHuang.random().encrypt,
        "medcrypt, fixed nonce": medcrypt,
    }
    low, high = (f"{bit} bit: NPCR, % | UACI, % | UACI passed" for bit in ("lowest", "highest"))
    lines = [f"| scheme | entropy | chi-square | correlation | {low} | {high} |", "|---" * 10 + "|"]
    lines += [row(name, encrypt) for name, encrypt in contestants.items()]
    sys.stdout.write("\n".join([*lines, "", *claims()]) + "\n")


def row(name: str, encrypt) -> str:
    """Measure one scheme."""
    image, ideal = photo(), statistics.critical_values(SIDE * SIDE, 8)
    encrypted = encrypt(image)
    correlation = max(statistics.correlation(encrypted).values(), key=abs)
    cells = [
        name,
        f"{statistics.entropy(encrypted):.4f}",
        f"{statistics.chi_square(encrypted).value:.0f}",
        f"{correlation:+.4f}",
    ]
    for bit in (0, 7):
        npcr, uaci = zip(*(differences(encrypt, bit) for _ in range(PAIRS)), strict=True)
        passed = sum(ideal.uaci_low <= u <= ideal.uaci_high for u in uaci)
        cells += [f"{mean(npcr):.4f}", f"{mean(uaci):.4f}", f"{passed} of {PAIRS}"]
    return f"| {' | '.join(cells)} |"


def differences(encrypt, bit: int) -> tuple[float, float]:
    """Return NPCR and UACI of a random image and itself with one bit changed somewhere."""
    first = np.frombuffer(secrets.token_bytes(SIDE * SIDE), np.uint8).reshape(SIDE, SIDE)
    changed = first.copy()
    changed.flat[secrets.randbelow(first.size)] ^= 1 << bit
    a, b = encrypt(first), encrypt(changed)
    return statistics.npcr(a, b), statistics.uaci(a, b)


def claims() -> list[str]:
    """Measure what the papers say in words, over keys: one level of the first pixel, even levels, no correlation."""
    lines, image = [], photo()
    for name, draw in {
        "Hua et al., 4 rounds": schemes.HuaJinXuHuang.random,
        "Chen, Mao and Chui, 3 rounds": lambda: schemes.ChenMaoChui.random(3),
    }.items():
        for step in (1, 128):
            changed = image.copy()
            changed[0, 0] += step
            pairs = [(key.encrypt(image), key.encrypt(changed)) for key in (draw() for _ in range(PAIRS))]
            npcr, uaci = (
                mean(measure(*pair) for pair in pairs) for measure in (statistics.npcr, statistics.uaci)
            )
            lines.append(f"{name}, first pixel + {step}: NPCR {npcr:.2f} %, UACI {uaci:.2f} %")
    for draw in (
        schemes.HuaJinXuHuang.random,
        schemes.GaoChen.random,
        schemes.ZhangGuoWei.random,
        schemes.Ye.random,
    ):
        encrypted = [draw().encrypt(image) for _ in range(10)]
        lines.append(
            f"{draw.__qualname__}: entropy {mean(map(statistics.entropy, encrypted)):.4f}, local "
            f"{mean(statistics.local_entropy(e).value for e in encrypted):.4f}, chi-square "
            f"{median(statistics.chi_square(e).value for e in encrypted):.0f}, correlation up to "
            f"{max(abs(r) for e in encrypted for r in statistics.correlation(e).values()):.4f}"
        )
    return lines


if __name__ == "__main__":
    main()
