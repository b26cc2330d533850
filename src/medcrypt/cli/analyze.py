"""``medcrypt analyze``: what an image looks like under a cipher, in the statistics of the literature."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from medcrypt.cli.terminal import UsageError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from medcrypt.images.statistics.report import Report

    Encryption: TypeAlias = Callable[[NDArray[Any]], NDArray[Any]]

_CIPHERS = ("chaotic", "chaotic-ctr", "aes-256-gcm")
# Published designs, all of them broken, by the names of their classes.
_SCHEMES = {
    "fridrich": "Fridrich",
    "yen-guo": "YenGuo",
    "chen-mao-chui": "ChenMaoChui",
    "gao-chen": "GaoChen",
    "ye": "Ye",
    "zhang-guo-wei": "ZhangGuoWei",
    "hua-jin-xu-huang": "HuaJinXuHuang",
}
_PREAMBLE = 128  # bytes before DICOM's own first four


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "analyze",
        help="the statistics of an image and its ciphertext",
        description="Encrypt an image under a fresh key, keep nothing, and print the statistics by which the "
        "literature judges image ciphers. A good cipher passes them all, and so do many broken ones.",
    )
    parser.add_argument(
        "image", type=Path, metavar="IMAGE", help="a .npy array, a DICOM file, or a picture that pillow reads"
    )
    parser.add_argument(
        "--cipher",
        choices=(*_CIPHERS, *_SCHEMES),
        default="chaotic",
        metavar="CIPHER",
        help=f"which cipher to look at: {', '.join(_CIPHERS)} (default chaotic); or a published scheme, all of which "
        f"are broken and most of which want greyscale images: {', '.join(_SCHEMES)}",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw both images into FILE (.png, .svg, .pdf)"
    )
    parser.add_argument("--force", action="store_true", help="replace an existing plot")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Encrypt, measure and print."""
    import numpy as np

    from medcrypt.images import statistics

    if args.plot is not None and args.plot.exists() and not args.force:
        raise FileExistsError(17, "exists; give --force to replace it", str(args.plot))
    image = read_image(args.image)
    if image.dtype.kind not in "bui":
        raise UsageError(f"the statistics are for integer pixels, and these are {image.dtype}")
    if image.dtype.kind == "b":
        image = image.astype(np.uint8)
    if image.dtype.kind == "i":  # the same bytes: a level is a bit pattern
        image = image.view(image.dtype.str.replace("i", "u"))
    encrypt = encryption(args.cipher, image)
    encrypted = encrypt(image)
    report = statistics.report(image, encrypted)
    sensitivity = statistics.plaintext_sensitivity(encrypt, image, [0, image.size // 2, image.size - 1])
    if args.plot is not None:
        _plot(report, image, encrypted, args.plot)
    if args.json:
        found = json.loads(report.as_json())
        found["image_cipher"] = args.cipher
        found["one_bit_changes"] = {"npcr": sensitivity[0].tolist(), "uaci": sensitivity[1].tolist()}
        print(json.dumps(found, indent=2))
        return 0
    print(f"{shown(args.image.name)}: {image.dtype}, shape {image.shape}, under {args.cipher}")
    print(
        f"one bit changed, same key and nonce: NPCR {_all(sensitivity[0])} %, UACI {_all(sensitivity[1])} %\n"
    )
    print(report.table())
    if args.cipher in _SCHEMES:
        print(f"\n{args.cipher} is broken, whatever the table says: medcrypt.attacks recovers its images.")
    return 0


def read_image(path: Path) -> NDArray[Any]:
    """Return the pixels of a file."""
    import numpy as np

    with path.open("rb") as file:
        start = file.read(_PREAMBLE + 4)
    if start.startswith(b"\x93NUMPY"):
        pixels = np.load(path, allow_pickle=False)
    elif start[_PREAMBLE:] == b"DICM":
        import pydicom

        pixels = pydicom.dcmread(path).pixel_array
    else:
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as picture:
                pixels = np.asarray(picture)
        except UnidentifiedImageError:
            raise UsageError(f"{path} is no array, DICOM file or picture") from None
    if not pixels.size:
        raise UsageError(f"{path} has no pixels")
    return np.ascontiguousarray(pixels)


def encryption(cipher: str, image: NDArray[Any]) -> Encryption:
    """Return a function from images like this one to encrypted images, at one fresh key and nonce."""
    import os

    import numpy as np

    from medcrypt._ext.aes import AesGcm
    from medcrypt.images import chaotic
    from medcrypt.keys import SecretKey

    if cipher in _SCHEMES:
        design: Any = getattr(chaotic.schemes, _SCHEMES[cipher])
        drawn = (
            design.random(len(image)) if cipher == "fridrich" else design.random()
        )  # a key for one side only
        return cast("Encryption", drawn.encrypt)
    nonce = os.urandom(16)
    if cipher == "aes-256-gcm":
        aes = AesGcm(os.urandom(32))
        return lambda image: np.frombuffer(
            aes.encrypt(nonce[:12], np.ascontiguousarray(image))[:-16], image.dtype
        ).reshape(image.shape)
    key = SecretKey.generate()
    return lambda image: chaotic.encrypt(image, key, cipher=cipher, nonce=nonce, authenticated=False).pixels


def _plot(report: Report, image: NDArray[np.integer], encrypted: NDArray[np.integer], path: Path) -> None:
    """Draw the figure; matplotlib comes with the [plot] extra."""
    from matplotlib.figure import Figure

    from medcrypt.durable import new_file

    figure = Figure(figsize=(11, 7), layout="constrained")
    report.draw(figure, image, encrypted)
    with new_file(path, overwrite=True) as file:
        figure.savefig(file, format=path.suffix.lstrip(".") or "png")


def _all(values: NDArray[Any]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)
