"""DICOM files and folders, sealed whole: what comes back is the same file, byte for byte.

A DICOM file is sealed as it lies on disk, with every tag, private element and fragment, whether or not pydicom
can decode its pixels. Its UIDs are read by pydicom and stored encrypted beside it, so that a reader can tell
what a file is and that it is the one it asked for. Nothing of it can be read without a key: for sharing a file
in part, de-identify it instead.

pydicom is imported when it is first needed: ``pip install 'medcrypt[dicom]'``.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, overload

from medcrypt.durable import new_file
from medcrypt.errors import FormatError
from medcrypt.images import sealed_files as files
from medcrypt.images.reading import Sealed
from medcrypt.images.recipients import OpeningKey
from medcrypt.images.sealed_files import Keys, SealedFile, StoredName
from medcrypt.images.sources import PathLike
from medcrypt.integrations.dicom.parsing import DEFLATED, need_pydicom, quiet, read_file_meta
from medcrypt.keys import Identity, Recipient

if TYPE_CHECKING:
    import pydicom

__all__ = [
    "describe",
    "open_dataset",
    "seal",
    "seal_folder",
    "unseal",
    "unseal_folder",
]

CONTENT = "dicom"
_STORED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
)
# Where the data set itself is not read, the file meta information names it too.
_FROM_META = {
    "SOPClassUID": "MediaStorageSOPClassUID",
    "SOPInstanceUID": "MediaStorageSOPInstanceUID",
    "TransferSyntaxUID": "TransferSyntaxUID",
}
_LONGEST_VALUE = 64  # of a UID, PS3.5 section 6.2


@overload
def seal(
    source: PathLike | bytes,
    key: Keys,
    out: None = None,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> bytes: ...
@overload
def seal(
    source: PathLike | bytes,
    key: Keys,
    out: PathLike,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> Path: ...
def seal(
    source: PathLike | bytes,
    key: Keys,
    out: PathLike | None = None,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> bytes | Path:
    """Seal a DICOM file.

    Parameters
    ----------
    source
        The path of a DICOM file, or its bytes.
    key
        Who can open it: a `SecretKey`, a `Recipient`, a list of them, or one `Passphrase`.
    out
        The sealed file, or an existing folder, in which it is called like the source with ``.mcrypt`` added.
        File names may identify patients.
    context
        Bound to the file but not stored: opening needs the same bytes.
    signer
        Signs the sealed file, so that recipients can tell who sealed it.
    overwrite
        Replace an existing file.

    Returns
    -------
    bytes or Path
        The sealed file, or where it was written, if ``out`` is given.

    Raises
    ------
    FormatError
        Not a DICOM file: it has no ``DICM`` prefix, and without one pydicom finds no SOP class in it.
    FileExistsError
        ``out`` exists.
    ImportError
        pydicom is not installed.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> from medcrypt import SecretKey
    >>> key, path = SecretKey.generate(), get_testdata_file("CT_small.dcm")
    >>> sealed = seal(path, key)
    >>> unseal(sealed, key) == Path(path).read_bytes()
    True
    """
    need_pydicom()
    name = None if isinstance(source, bytes) else StoredName(Path(source).name)
    if out is None:
        data = source if isinstance(source, bytes) else Path(source).read_bytes()
        return files.seal_bytes(data, key, name=name, describe=describe, context=context, signer=signer)
    target = Path(out)
    if target.is_dir():
        if name is None:
            raise ValueError("bytes have no name: out must be a file, not a folder")
        target /= files.sealed_name(name.filename)
    if isinstance(source, bytes):
        sealed = files.seal_bytes(source, key, describe=describe, context=context, signer=signer)
        with new_file(target, overwrite=overwrite) as file:
            file.write(sealed)
    else:
        files.seal_file(
            source, key, target, describe=describe, context=context, signer=signer, overwrite=overwrite
        )
    return target


@overload
def unseal(
    sealed: Sealed,
    key: OpeningKey | Sequence[OpeningKey],
    out: None = None,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
) -> bytes: ...
@overload
def unseal(
    sealed: Sealed,
    key: OpeningKey | Sequence[OpeningKey],
    out: PathLike,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
) -> Path: ...
def unseal(
    sealed: Sealed,
    key: OpeningKey | Sequence[OpeningKey],
    out: PathLike | None = None,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
) -> bytes | Path:
    """Return the DICOM file that `seal` was given, byte for byte.

    Parameters
    ----------
    sealed
        A path, a seekable binary file, or the sealed bytes.
    key
        A key that opens it, or several to try.
    out
        The file to write, or an existing folder, in which it gets the name that it had.
    context, sender
        As for `medcrypt.images.decrypt`.
    overwrite
        Replace an existing file.

    Returns
    -------
    bytes or Path
        The file, or where it was written, if ``out`` is given.

    Raises
    ------
    AuthenticationError
        Wrong key, context or sender, or any change to the bytes. Nothing is written.
    FormatError
        Not a sealed DICOM file.
    """
    with files.open_file(sealed, key, context=context, sender=sender) as file:
        _check(file)
        if out is None:
            return file.read()
        target = Path(out)
        if target.is_dir():
            if file.name is None:
                raise ValueError("no name is stored in it: out must be a file, not a folder")
            target /= file.name.filename
        file.save(target, overwrite=overwrite)
        return target


def open_dataset(
    sealed: Sealed,
    key: OpeningKey | Sequence[OpeningKey],
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
) -> pydicom.Dataset:
    """Open a sealed DICOM file as a data set, in memory only.

    Parameters
    ----------
    sealed, key, context, sender
        As for `unseal`.

    Returns
    -------
    pydicom.Dataset
        What ``pydicom.dcmread`` makes of the file.

    Raises
    ------
    AuthenticationError
        As for `unseal`.
    FormatError
        Not a sealed DICOM file, not the SOP instance that its metadata name, or one that pydicom cannot read.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> from medcrypt import SecretKey
    >>> key = SecretKey.generate()
    >>> sealed = seal(get_testdata_file("CT_small.dcm"), key)
    >>> dataset = open_dataset(sealed, key)
    >>> dataset.Modality, dataset.pixel_array.shape
    ('CT', (128, 128))
    """
    need_pydicom()
    with files.open_file(sealed, key, context=context, sender=sender) as file:
        _check(file)
        data = file.read()
        stated = file.metadata.get("SOPInstanceUID")
    if stated != describe(io.BytesIO(data), "").get("SOPInstanceUID"):
        raise FormatError("the file is not the SOP instance that its metadata name")
    return _dcmread(data)


def seal_folder(
    folder: PathLike,
    key: Keys,
    out: PathLike,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
    opaque_names: bool = False,
) -> list[Path]:
    """Seal every DICOM file below a folder into another folder of the same structure.

    Parameters
    ----------
    folder, out
        The folders to read and to write.
    opaque_names
        Write all files into ``out`` itself under random names, because names of files and folders may identify
        patients. They are stored encrypted and come back with `unseal_folder`.
    key, context, signer, overwrite
        As for `seal`.

    Returns
    -------
    list of Path
        The sealed files.

    Raises
    ------
    ExceptionGroup
        Some files could not be sealed, such as those that are not DICOM; one exception for each. All others
        have been sealed.

    Examples
    --------
    >>> import shutil, tempfile
    >>> from pydicom.data import get_testdata_file
    >>> from medcrypt import SecretKey
    >>> key, place = SecretKey.generate(), Path(tempfile.mkdtemp())
    >>> (place / "study" / "series").mkdir(parents=True)
    >>> _ = shutil.copy(get_testdata_file("CT_small.dcm"), place / "study" / "series" / "1.dcm")
    >>> [path.name for path in seal_folder(place / "study", key, place / "sealed")]
    ['1.dcm.mcrypt']
    >>> [path.name for path in unseal_folder(place / "sealed", key, place / "again")]
    ['1.dcm']
    """
    need_pydicom()
    outcomes = files.seal_folder(
        folder,
        key,
        out,
        describe=describe,
        context=context,
        signer=signer,
        overwrite=overwrite,
        opaque_names=opaque_names,
    )
    return files.paths_or_errors(outcomes, "sealed")


def unseal_folder(
    folder: PathLike,
    key: OpeningKey | Sequence[OpeningKey],
    out: PathLike,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Open every sealed DICOM file below a folder, and give each its name and folders back.

    A file that somebody took away is not missed, whoever signed the others: that takes a manifest, as those folders
    have that `medcrypt.images.encrypt_many` makes, and `medcrypt.images.decrypt_many`, which looks at it.

    Parameters
    ----------
    folder, out
        The folders to read and to write.
    key, context, sender, overwrite
        As for `unseal`.

    Returns
    -------
    list of Path
        The restored files.

    Raises
    ------
    ExceptionGroup
        Some files could not be opened; one exception for each. All others have been restored.
    """
    outcomes = files.unseal_folder(
        folder, key, out, context=context, sender=sender, overwrite=overwrite, accept=_check
    )
    return files.paths_or_errors(outcomes, "opened")


def describe(file: BinaryIO, _name: str = "") -> dict[str, Any]:
    """Return what is stored, encrypted, about a DICOM file.

    Parameters
    ----------
    file
        A seekable binary file.

    Returns
    -------
    dict
        ``"content": "dicom"`` and, where they can be read, SOPClassUID, SOPInstanceUID, StudyInstanceUID,
        SeriesInstanceUID, Modality and TransferSyntaxUID.

    Raises
    ------
    FormatError
        Not a DICOM file.

    Examples
    --------
    >>> from pydicom.data import get_testdata_file
    >>> with open(get_testdata_file("MR_small.dcm"), "rb") as file:
    ...     describe(file)["Modality"]
    'MR'
    """
    need_pydicom()
    with quiet():
        prefixed = _has_prefix(file)
        meta, dataset = _read(file)
        described = {keyword: _value(meta, source) for keyword, source in _FROM_META.items()}
        described |= {keyword: value for keyword in _STORED if (value := _value(dataset, keyword))}
    if not prefixed and _value(dataset, "SOPClassUID") is None:
        raise FormatError("not a DICOM file")
    return {"content": CONTENT, **{keyword: value for keyword, value in described.items() if value}}


def _has_prefix(file: BinaryIO) -> bool:
    """Tell whether the file begins with a preamble and ``DICM`` (PS3.10, section 7.1)."""
    from pydicom.filereader import read_preamble

    file.seek(0)
    return read_preamble(file, force=True) is not None


def _read(file: BinaryIO) -> tuple[pydicom.Dataset, pydicom.Dataset]:
    """Return file meta information and data set as far as they can be read: two data sets, perhaps empty.

    A deflated data set is left alone: inflating it would let a small file ask for any amount of memory.
    """
    from pydicom import Dataset, dcmread

    meta, dataset = Dataset(), Dataset()
    # pydicom raises errors of every kind on damaged data, and the file is sealed all the same.
    with contextlib.suppress(Exception):
        meta = read_file_meta(file)
        if _value(meta, "TransferSyntaxUID") != DEFLATED:
            file.seek(0)
            dataset = dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(_STORED))
    return meta, dataset


def _dcmread(data: bytes) -> pydicom.Dataset:
    from pydicom import dcmread

    try:
        return dcmread(io.BytesIO(data), force=True)
    except Exception as error:  # of every kind, for a file that was damaged before it was sealed
        raise FormatError("the file is authentic, but pydicom cannot read it") from error


def _value(dataset: pydicom.Dataset, keyword: str) -> str | None:
    """Return one short value as text, or None where it is absent or damaged."""
    with contextlib.suppress(Exception):  # elements are decoded only now
        value = dataset.get(keyword)
        if isinstance(value, str) and 0 < len(value) <= _LONGEST_VALUE and value.isascii():
            return str(value)
    return None


def _check(file: SealedFile) -> None:
    """Refuse what is authentic but no DICOM file."""
    if file.content != CONTENT:
        raise FormatError("a sealed image, but not a sealed DICOM file")
