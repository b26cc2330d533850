"""Draw regions.png, the picture of the page on regions: python docs/how-to/pictures/regions.py"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

from medcrypt import SecretKey, images

FACE = [(18, 60), (45, 8), (120, 8), (150, 45), (150, 78), (18, 78)]
LABEL = np.s_[172:188, 100:186]


def phantom() -> np.ndarray:
    """Draw a head from the side, 12 bits, with a burned-in label."""
    y, x = np.mgrid[:192, :192]
    image = np.zeros((192, 192))
    image[((y - 90) / 78) ** 2 + ((x - 100) / 72) ** 2 < 1] = 2600
    image[((y - 88) / 70) ** 2 + ((x - 102) / 63) ** 2 < 1] = 1100
    image[((y - 80) / 48) ** 2 + ((x - 112) / 46) ** 2 < 1] = 1500
    image[(np.abs(y - 88 - (x - 26) * 0.9) < 9) & (x < 34) & (x > 14)] = 1100
    image += 120 * np.sin(x / 9) * np.cos(y / 7) * (image > 0)
    figure = plt.figure(figsize=(0.86, 0.16), dpi=100)
    figure.text(0.02, 0.22, "DOE^JANE 1970", fontsize=7, color="white", family="monospace")
    figure.set_facecolor("black")
    figure.canvas.draw()
    image[LABEL] = np.asarray(figure.canvas.buffer_rgba())[..., 0] * 16.0
    plt.close(figure)
    return image.astype(np.uint16)


def main() -> None:
    """Encrypt a face and a label, restore the face, and show all three."""
    image = phantom()
    doctor, archive = SecretKey.generate(), SecretKey.generate()
    safe, face = images.encrypt_regions(image, [FACE], doctor, (0, 4095), apart=[LABEL])
    safe, _ = images.encrypt_regions(safe, [LABEL], archive, (0, 4095), apart=[face])
    restored = images.decrypt_regions(safe, face, doctor)
    figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), dpi=80)
    titles = ("the image", "face and label encrypted", "restored with the face's key")
    for axis, picture, title in zip(axes, (image, safe, restored), titles, strict=True):
        axis.imshow(picture, cmap="gray", vmin=0, vmax=4095)
        axis.set_title(title, fontsize=9)
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(Path(__file__).with_suffix(".png"))


if __name__ == "__main__":
    main()
