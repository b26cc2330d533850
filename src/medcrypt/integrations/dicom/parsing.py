"""DICOM files as pydicom's data sets and back, with one kind of error for whatever is wrong with a file."""

from __future__ import annotations

import contextlib
import io
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from medcrypt.errors import FormatError, MedcryptError
from medcrypt.images.sources import PathLike

if TYPE_CHECKING:
    import pydicom

Source: TypeAlias = PathLike | bytes

EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
# A small deflated file could ask for any amount of memory.
MOST_INFLATED = 1 << 30


def need_pydicom() -> None:
    """Raise an ``ImportError`` that names the extra, if pydicom is missing."""
    try:
        import pydicom  # noqa: F401 - only whether it is there
    except ImportError:
        raise ImportError("DICOM needs pydicom: pip install 'medcrypt[dicom]'") from None


def as_bytes(source: Source) -> bytes:
    """Return the bytes of a file that is given by its path or as bytes."""
    return source if isinstance(source, bytes) else Path(source).read_bytes()


@contextlib.contextmanager
def damage_is_a_format_error(message: str = "pydicom cannot read the file") -> Iterator[None]:
    """Raise `FormatError` for whatever pydicom raises on damaged data, which is errors of every kind."""
    with quiet():
        try:
            yield
        except (MedcryptError, MemoryError):
            raise
        except Exception as error:
            raise FormatError(message) from error


class _Quiet:
    """pydicom's settings and Python's warning filters, which are global: the first thread sets, the last restores."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stack = contextlib.ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._set()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._stack.close()

    def _set(self) -> None:
        from pydicom import config

        settings = config.settings
        self._stack.callback(setattr, settings, "reading_validation_mode", settings.reading_validation_mode)
        self._stack.callback(setattr, settings, "writing_validation_mode", settings.writing_validation_mode)
        settings.reading_validation_mode = settings.writing_validation_mode = config.IGNORE
        self._stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")


_QUIET = _Quiet()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let pydicom say nothing about what is odd in a file, because it is kept as it is."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


def parse(data: bytes) -> pydicom.FileDataset:
    """Parse a file.

    Raises
    ------
    FormatError
        pydicom cannot read it, it has neither the prefix ``DICM`` nor a SOP class, it is empty, or it inflates to more
        than `MOST_INFLATED` bytes.
    """
    need_pydicom()
    from pydicom import dcmread

    with damage_is_a_format_error():
        _check_inflated(data)
        dataset = dcmread(io.BytesIO(data), force=True)
        named = dataset.preamble is not None or bool(dataset.get("SOPClassUID"))
    if not named or not len(dataset):
        raise FormatError("not a DICOM file, or one in which pydicom finds nothing")
    return dataset


def to_bytes(dataset: pydicom.FileDataset) -> bytes:
    """Write a data set as a file of the transfer syntax that its file meta information names.

    Elements that were not touched are written as they were read. The preamble is zeros: it may hold the
    header of another format, such as TIFF, that points into the file.
    """
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset

    with damage_is_a_format_error("pydicom cannot write the file"):
        meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
        dataset.file_meta = meta
        dataset.preamble = bytes(128)
        if "TransferSyntaxUID" not in meta:
            meta.TransferSyntaxUID = _transfer_syntax(dataset)
        _decode_implicit(dataset)
        named = bool(dataset.get("SOPClassUID")) and bool(dataset.get("SOPInstanceUID"))
        buffer = io.BytesIO()
        # A file that never named its instance is no complete DICOM file, and stays so.
        dcmwrite(buffer, dataset, enforce_file_format=named)
        return buffer.getvalue()


def transfer_syntax(dataset: pydicom.FileDataset) -> pydicom.uid.UID:
    """Return the transfer syntax that a file names, or else the one that it was read in."""
    with damage_is_a_format_error():
        return _transfer_syntax(dataset)


def read_file_meta(file: BinaryIO) -> pydicom.Dataset:
    """Read the file meta information, and leave the file behind it; as far as it goes, for a damaged file."""
    from pydicom.filereader import read_dataset, read_preamble

    file.seek(0)
    read_preamble(file, force=True)
    return read_dataset(file, False, True, stop_when=lambda tag, _vr, _length: tag >> 16 != 2)


def tags_of(dataset: pydicom.Dataset) -> list[pydicom.tag.BaseTag]:
    """Return the tags: iterating over a data set itself would decode every element."""
    return list(dataset.keys())


def text_of(dataset: pydicom.Dataset, keyword: str) -> str:
    """Return a value as text, or an empty one where it is absent."""
    with damage_is_a_format_error():
        value = dataset.get(keyword)
        return "" if value is None else str(value)


def number_of(dataset: pydicom.Dataset, keyword: str, default: int | None = None) -> int:
    """Return a value as an integer that is not negative.

    Raises
    ------
    FormatError
        It is absent, and there is no default, or it is no such number.
    """
    with damage_is_a_format_error(f"the file has no usable {keyword}"):
        value = dataset.get(keyword)
        number = default if value is None or value == "" else int(value)
        if number is None or number < 0:
            raise FormatError(f"the file has no usable {keyword}")
        return number


def _transfer_syntax(dataset: pydicom.FileDataset) -> pydicom.uid.UID:
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    named = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
    if named:
        return UID(named)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _decode_implicit(dataset: pydicom.FileDataset) -> None:
    """Decode elements that some damaged files hold without a VR among others with one: they cannot be copied."""
    if not dataset.original_encoding[0]:
        for tag in tags_of(dataset):
            if not dataset.get_item(tag).VR:
                dataset[tag]


def _check_inflated(data: bytes) -> None:
    """Refuse a deflated data set that is too large, before pydicom inflates it in one go."""
    file = io.BytesIO(data)
    if read_file_meta(file).get("TransferSyntaxUID") != DEFLATED:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(data[file.tell() :], MOST_INFLATED)
    if inflater.unconsumed_tail:
        raise FormatError(f"the file inflates to more than {MOST_INFLATED} bytes")
