"""A second reader and writer of encrypted regions, written from docs/formats/regions.md alone.

Plain and slow: pixels are a list of Python integers, a polygon asks every pixel with fractions. The recipients are
those of `reference.sealed_image`; AES comes from pycryptodome.
"""

import hashlib
import hmac
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np
from Crypto.Cipher import AES

from reference import cobblestone, sealed_image
from reference.sealed_image import PIXEL_TYPES, RefusedError, require


@dataclass
class Sidecar:
    """A sidecar taken apart; regions are sets of flat positions."""

    outside_bound: bool
    pixel_type: str
    shape: tuple[int, ...]
    lo: int
    hi: int
    inside: list[int]
    apart: set[int]
    header: bytes
    slot: bytes
    tag: bytes

    @property
    def digest(self) -> bytes:
        return hashlib.sha512(self.header).digest()


class Front:
    """Bytes that are taken from the front."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, form: str) -> tuple[int, ...]:
        size = struct.calcsize("<" + form)
        require(len(self.data) >= size)
        taken, self.data = self.data[:size], self.data[size:]
        return struct.unpack("<" + form, taken)


def take_apart(data: bytes) -> Sidecar:
    """Follow the table of the header."""
    require(len(data) >= 68)
    magic, kind, version, flags, size, slot, method, rank, zero, name, count, apart_count, lo, hi, _ = (
        struct.unpack("<8sBBHIIBBH4sIIQQ16s", data[:68])
    )
    require(magic == b"MEDCRYPT")
    require((kind, version, method, zero) == (ord("R"), 1, 1, 0))
    require(flags in (0, 1))
    require(68 <= size <= 2**28)
    require(rank <= 32)
    require(count + apart_count <= 2**16)
    require(slot % 64 == 0)
    require(128 <= slot <= 2**20)
    require(len(data) == size + slot + 32)
    pixel_type = name.decode("ascii", "replace").rstrip(" ")
    require(pixel_type in PIXEL_TYPES - {"<c8", ">c8", "<c16", ">c16"})
    require(pixel_type.ljust(4).encode() == name)
    front = Front(data[68:size])
    shape = front.take(f"{rank}Q")
    require(prod(n or 1 for n in shape) * int(pixel_type[2:]) < 2**52)
    inside: set[int] = set()
    apart: set[int] = set()
    for _ in range(count):
        inside |= outline(front, shape)
    for _ in range(apart_count):
        apart |= outline(front, shape)
    require(front.data == b"")
    lo, hi = checked_range(pixel_type, lo, hi)
    return Sidecar(
        flags == 1, pixel_type, shape, lo, hi, sorted(inside), apart,
        data[:size], data[size : size + slot], data[size + slot :],
    )  # fmt: skip


def checked_range(pixel_type: str, lo: int, hi: int) -> tuple[int, int]:
    bits = 8 * int(pixel_type[2:])
    least, most = {
        "b": (0, 1),
        "u": (0, 2**bits - 1),
        "i": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1),
        "f": (0, 2**bits - 1),
    }[pixel_type[1]]
    if pixel_type[1] == "i":
        lo, hi = (number - 2**64 if number >= 2**63 else number for number in (lo, hi))
    require(least <= lo < hi <= most)
    require(pixel_type[1] != "f" or (lo, hi) == (least, most))
    return lo, hi


# ---- outlines ------------------------------------------------------------------------------------------


def outline(front: Front, shape: tuple[int, ...]) -> set[int]:
    """Return the flat positions of one outline."""
    (kind,) = front.take("B")
    require(kind in (1, 2, 3))
    if kind == 1:
        return box(shape, bounds(front, shape))
    if kind == 2:
        require(len(shape) >= 2)
        frames = bounds(front, shape[:-2])
        (count,) = front.take("I")
        require(3 <= count <= 2**16)
        corners = [front.take("ii") for _ in range(count)]
        require(all(abs(number) <= 2**30 for corner in corners for number in corner))
        rows, columns = shape[-2:]
        held = [
            r * columns + c for r, c in itertools.product(range(rows), range(columns)) if holds(corners, r, c)
        ]
        return {plane * rows * columns + at for plane in box(shape[:-2], frames) for at in held}
    return mask(front, shape)


def bounds(front: Front, shape: tuple[int, ...]) -> list[tuple[int, int]]:
    pairs = [front.take("QQ") for _ in shape]
    require(all(start <= stop <= size for (start, stop), size in zip(pairs, shape, strict=True)))
    return pairs


def box(shape: tuple[int, ...], pairs: list[tuple[int, int]]) -> set[int]:
    at = set()
    for index in itertools.product(*(range(start, stop) for start, stop in pairs)):
        position = 0
        for i, size in zip(index, shape, strict=True):
            position = position * size + i
        at.add(position)
    return at


def holds(corners: list[tuple[int, int]], row: int, column: int) -> bool:
    """Count the edges that the line from the centre to the left crosses, with exact fractions."""
    y, x = row + Fraction(1, 2), column + Fraction(1, 2)
    inside = False
    for i, corner in enumerate(corners):
        (y0, x0), (y1, x1) = sorted(
            [(Fraction(a, 256), Fraction(b, 256)) for a, b in (corners[i - 1], corner)]
        )
        if y0 <= y < y1:
            inside ^= x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x
    return inside


def mask(front: Front, shape: tuple[int, ...]) -> set[int]:
    axes, width, count = front.take("BBQ")
    require(axes <= len(shape))
    require(width in (1, 2, 4, 8))
    steps = [front.take({1: "B", 2: "H", 4: "I", 8: "Q"}[width])[0] for _ in range(2 * count)]
    require(width == next(w for w in (1, 2, 4, 8) if max(steps, default=0) < 256**w))
    require(all(step > 0 for step in steps[1:]))
    plane = prod(shape[len(shape) - axes :])
    require(sum(steps) <= plane)
    ends = list(itertools.accumulate(steps))
    held = [at for start, stop in zip(ends[::2], ends[1::2], strict=True) for at in range(start, stop)]
    return {number * plane + at for number in range(prod(shape[: len(shape) - axes])) for at in held}


# ---- pixels and tag ------------------------------------------------------------------------------------


def draws(key: bytes, width: int, n: int) -> Iterator[int]:
    """Yield numbers below n from the key stream."""
    cipher, bits = AES.new(key, AES.MODE_ECB), (n - 1).bit_length()
    for number in itertools.count():
        block = cipher.encrypt(number.to_bytes(16, "big"))
        for at in range(0, 16, width):
            draw = int.from_bytes(block[at : at + width], "little") % 2**bits
            if draw < n:
                yield draw


def as_integers(array: np.ndarray) -> list[int]:
    """Return the values of pixels, those of floats as the integers that have their bits."""
    if array.dtype.kind == "f":
        array = array.view(array.dtype.str.replace("f", "u"))
    return [int(number) for number in array.ravel()]


def from_integers(numbers: list[int], sidecar: Sidecar) -> np.ndarray:
    dtype = np.dtype(sidecar.pixel_type)
    stored = np.array(numbers, sidecar.pixel_type.replace("f", "u"))
    return stored.view(dtype).reshape(sidecar.shape)


def keys_of(sidecar: Sidecar, file_key: bytes, context: bytes) -> tuple[bytes, bytes, bytes]:
    output = cobblestone.expand(file_key, b"medcrypt/v1/regions" + sidecar.digest + context, 96)
    return output[:32], output[32:64], output[64:]


def shifted(array: np.ndarray, sidecar: Sidecar, key: bytes, sign: int) -> np.ndarray:
    """Encrypt (sign 1) or decrypt (sign -1)."""
    pixels, lo, n = as_integers(array), sidecar.lo, sidecar.hi - sidecar.lo + 1
    for at, draw in zip(sidecar.inside, draws(key, array.itemsize, n), strict=False):
        require(lo <= pixels[at] <= sidecar.hi)
        pixels[at] = (pixels[at] - lo + sign * draw) % n + lo
    return from_integers(pixels, sidecar)


def tag_of(array: np.ndarray, sidecar: Sidecar, gmac_key: bytes, tag_key: bytes) -> bytes:
    data, width = array.tobytes(), array.itemsize
    places = range(array.size) if sidecar.outside_bound else sidecar.inside
    covered = b"".join(data[at * width : (at + 1) * width] for at in places if at not in sidecar.apart)
    tags = b""
    for number, at in enumerate(range(0, len(covered), width << 16)):
        gmac = AES.new(gmac_key, AES.MODE_GCM, nonce=struct.pack("<QI", number, 0))
        gmac.update(covered[at : at + (width << 16)])
        tags += gmac.digest()
    return hmac.digest(tag_key, tags, "sha512")[:32]


def find_file_key(sidecar: Sidecar, kind: str, key: bytes) -> bytes:
    slot = sealed_image.parse_slot(0, sidecar.slot)
    require(slot)
    for stanza_kind, body in slot[1]:
        file_key = sealed_image.unwrap(stanza_kind, body, kind, key, b"medcrypt/v1/file-key" + sidecar.digest)
        if file_key is not None and sealed_image.has_right_mac(sidecar.slot, file_key, sidecar.digest):
            return file_key
    raise RefusedError


def encrypt(array: np.ndarray, sidecar: Sidecar, file_key: bytes, context: bytes) -> tuple[np.ndarray, bytes]:
    """Return the encrypted image and the tag that belong to a header and a file key."""
    stream_key, gmac_key, tag_key = keys_of(sidecar, file_key, context)
    encrypted = shifted(array, sidecar, stream_key, 1)
    return encrypted, tag_of(encrypted, sidecar, gmac_key, tag_key)


def read(array: np.ndarray, data: bytes, kind: str, key: bytes, context: bytes = b"") -> np.ndarray:
    """Restore the regions; `kind` and `key` as for `reference.sealed_image.read`."""
    sidecar = take_apart(data)
    require(sidecar.apart.isdisjoint(sidecar.inside))
    file_key = find_file_key(sidecar, kind, key)
    require(array.dtype.str == sidecar.pixel_type)
    require(array.shape == sidecar.shape)
    stream_key, gmac_key, tag_key = keys_of(sidecar, file_key, context)
    require(tag_of(array, sidecar, gmac_key, tag_key) == sidecar.tag)
    return shifted(array, sidecar, stream_key, -1)
