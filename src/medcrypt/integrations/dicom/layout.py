"""How pixel data lie in native (uncompressed) form: PS3.5, section 8, and PS3.3, section C.7.6.3."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from medcrypt.errors import FormatError
from medcrypt.integrations.dicom.parsing import (
    damage_is_a_format_error,
    number_of,
    transfer_syntax,
)

if TYPE_CHECKING:
    import pydicom

PIXEL_DATA = 0x7FE00010
# Float, double and integer pixel data: a file has one of them. Bits of a pixel, where the element says it.
_BITS = {0x7FE00008: 32, 0x7FE00009: 64, PIXEL_DATA: 0}
_MOST_BYTES = (1 << 32) - 2  # of a native value, PS3.5 section 7.1


def pixel_tag(dataset: pydicom.Dataset) -> int:
    """Return the tag of the pixel data.

    Raises
    ------
    FormatError
        The file has no pixel data.
    """
    for tag in _BITS:
        if tag in dataset:
            return tag
    raise FormatError("the file has no pixel data")


def pixel_value(dataset: pydicom.Dataset) -> tuple[bytes, int]:
    """Return the value of the pixel data as it lies in the file, and where; both empty without one.

    Of encapsulated pixel data the value is all items, without the delimiter behind them.
    """
    with damage_is_a_format_error():
        for tag in _BITS:
            element = dataset.get_item(tag)
            if element is not None and isinstance(element.value, bytes):
                return element.value, getattr(element, "value_tell", getattr(element, "file_tell", None)) or 0
    return b"", 0


def is_encapsulated(dataset: pydicom.FileDataset) -> bool:
    """Tell whether the pixel data are in fragments, which mostly means compressed."""
    with damage_is_a_format_error("a private transfer syntax: seal the whole file instead"):
        return bool(transfer_syntax(dataset).is_encapsulated)


@dataclass(frozen=True)
class Layout:
    """What describes native pixel data.

    Parameters
    ----------
    tag
        Of the element.
    frames, rows, columns, samples
        The shape.
    bits
        Allocated for each sample: 1, 8, 16, 32 or 64.
    stored
        Bits that are used.
    signed
        Two's complement.
    planar
        The samples of a frame lie plane by plane.
    little_endian
        The byte order.
    swapped
        Bytes in big-endian words of two: 8-bit samples under OW.
    """

    tag: int
    frames: int
    rows: int
    columns: int
    samples: int
    bits: int
    stored: int
    signed: bool
    planar: bool
    little_endian: bool
    swapped: bool

    @classmethod
    def of(cls, dataset: pydicom.FileDataset) -> Self:
        """Read the attributes.

        Raises
        ------
        FormatError
            One is missing or makes no sense, or the pixels take more than 4 GiB.
        """
        tag = pixel_tag(dataset)
        samples = number_of(dataset, "SamplesPerPixel", 1)
        bits = _BITS[tag] or number_of(dataset, "BitsAllocated")
        if bits not in {1, 8, 16, 32, 64}:
            raise FormatError("pixels of an unknown number of bits")
        little = transfer_syntax(dataset) != "1.2.840.10008.1.2.2"
        layout = cls(
            tag=tag,
            frames=number_of(dataset, "NumberOfFrames", 1) or 1,
            rows=number_of(dataset, "Rows"),
            columns=number_of(dataset, "Columns"),
            samples=samples,
            bits=bits,
            stored=min(number_of(dataset, "BitsStored", bits) or bits, bits),
            signed=number_of(dataset, "PixelRepresentation", 0) == 1,
            planar=samples > 1 and number_of(dataset, "PlanarConfiguration", 0) == 1,
            little_endian=little,
            swapped=not little and bits == 8 and _vr(dataset, tag) == "OW",
        )
        if not 0 < layout.size <= _MOST_BYTES:
            raise FormatError("the pixels take no space, or more than 4 GiB")
        return layout

    @property
    def count(self) -> int:
        """Number of samples."""
        return math.prod((self.frames, self.rows, self.columns, self.samples))

    @property
    def size(self) -> int:
        """Bytes of the value, without padding."""
        return (self.count * self.bits + 7) // 8

    @property
    def value_range(self) -> tuple[int, int] | None:
        """The least and the largest value, from the number of bits stored; None for floats."""
        if self.is_float:
            return None
        if self.signed and self.bits > 1:
            return -(1 << self.stored - 1), (1 << self.stored - 1) - 1
        return 0, (1 << self.stored) - 1

    @property
    def is_float(self) -> bool:
        """Whether the pixels are floats."""
        return self.tag != PIXEL_DATA

    def to_array(self, value: bytes) -> NDArray[Any]:
        """Return the pixels of a value: (frames, rows, columns, samples) without axes of one frame or sample.

        Raises
        ------
        FormatError
            The value is not of that size, as where colours are subsampled or the file was cut.
        """
        if not self.size <= len(value) <= self.size + 1 or (self.swapped and len(value) % 2):
            raise FormatError("the pixel data are not of the size that the file describes")
        flat = self._swap(np.frombuffer(value, np.uint8))[: self.size]
        bits = self.bits == 1
        pixels = np.unpackbits(flat, count=self.count, bitorder="little") if bits else flat.view(self._dtype)
        pixels = pixels.reshape(self._stored_shape)
        return (np.moveaxis(pixels, 1, 3) if self.planar else pixels).reshape(self.shape)

    def replace(self, value: bytes, array: NDArray[Any]) -> bytes:
        """Return the value with other pixels, and with its own padding."""
        pixels = array.reshape(self.frames, self.rows, self.columns, self.samples)
        if self.planar:
            pixels = np.moveaxis(pixels, 3, 1)
        if self.bits == 1:
            encoded = np.packbits(pixels, bitorder="little").tobytes()
        else:
            encoded = np.ascontiguousarray(pixels, self._dtype).tobytes()
        flat = self._swap(np.frombuffer(value, np.uint8)).copy()
        flat[: self.size] = np.frombuffer(encoded, np.uint8)
        return self._swap(flat).tobytes()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        frames = (self.frames,) if self.frames > 1 else ()
        samples = (self.samples,) if self.samples > 1 else ()
        return (*frames, self.rows, self.columns, *samples)

    @property
    def _dtype(self) -> np.dtype[Any]:
        kind = "f" if self.is_float else "i" if self.signed else "u"
        return np.dtype(f"{'<' if self.little_endian else '>'}{kind}{self.bits // 8}")

    @property
    def _stored_shape(self) -> tuple[int, ...]:
        if self.planar:
            return self.frames, self.samples, self.rows, self.columns
        return self.frames, self.rows, self.columns, self.samples

    def _swap(self, flat: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Swap the bytes of each word, if they are swapped."""
        return flat.reshape(-1, 2)[:, ::-1].reshape(-1) if self.swapped else flat


def _vr(dataset: pydicom.Dataset, tag: int) -> str:
    with damage_is_a_format_error():
        return str(dataset[tag].VR)


def set_pixel_value(dataset: pydicom.Dataset, layout: Layout, value: bytes) -> None:
    """Put a native value into the data set, padded to an even length."""
    from pydicom.dataelem import DataElement

    vr = {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(layout.tag, "OB" if layout.bits <= 8 else "OW")
    if layout.swapped:
        vr = "OW"
    dataset[layout.tag] = DataElement(layout.tag, vr, value + bytes(len(value) % 2))
