"""Draw breaking.png, the picture of the page on breaking a cipher: python docs/tutorial/pictures/breaking.py"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from medcrypt import SecretKey, attacks
from medcrypt.images import chaotic
from medcrypt.images.chaotic.schemes import ChenMaoChui


def phantom(side: int = 128) -> np.ndarray:
    """Draw a slice through a head: skull, brain, two ventricles and a lesion."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    image = np.zeros((side, side))
    image[(x / 0.36) ** 2 + (y / 0.45) ** 2 < 1] = 240
    image[(x / 0.32) ** 2 + (y / 0.41) ** 2 < 1] = 110
    image += 12 * np.sin(40 * x) * np.cos(34 * y) * (image == 110)
    for left in (-1, 1):
        image[((x - 0.07 * left) / 0.045) ** 2 + ((y + 0.03) / 0.13) ** 2 < 1] = 40
    image[((x - 0.17) / 0.05) ** 2 + ((y - 0.2) / 0.05) ** 2 < 1] = 200
    return image.astype(np.uint8)


def main() -> None:
    """Encrypt a slice twice, break one, try the other."""
    image = phantom()
    published, ours, nonce = ChenMaoChui.random(), SecretKey.generate(), bytes(16)

    def encrypt(plain: np.ndarray) -> np.ndarray:
        return chaotic.encrypt(plain, ours, nonce=nonce, authenticated=False).pixels

    rows = []
    for cipher in (published.encrypt, encrypt):
        key = attacks.mixing_shuffle(attacks.Oracle(cipher, image.shape))
        rows.append((cipher(image), key.decrypt(cipher(image)), key.images))
    figure, axes = plt.subplots(1, 4, figsize=(8.4, 2.5), dpi=80)
    pictures = (image, rows[0][0], rows[0][1], rows[1][1])
    titles = ("the image", "encrypted", f"recovered from {rows[0][2]} images", "the same attack on medcrypt")
    for axis, picture, title in zip(axes, pictures, titles, strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
