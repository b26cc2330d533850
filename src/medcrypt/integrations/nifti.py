"""NIfTI images, sealed whole or with readable headers.

`seal` seals a file as it lies on disk: ``.nii``, ``.nii.gz``, or a pair of ``.hdr`` and ``.img``; it comes back
byte for byte, and nothing of it can be read without a key. `seal_voxels` encrypts the voxels in place and leaves
a valid NIfTI file, for tools that have to read the header; the wrapped key is in a header extension.

nibabel is imported when it is first needed: ``pip install 'medcrypt[nifti]'``.
"""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeAlias, overload

from medcrypt.durable import new_file
from medcrypt.errors import FormatError
from medcrypt.images import sealed_files as files
from medcrypt.images.header import MAGIC
from medcrypt.images.reading import Sealed
from medcrypt.images.recipients import OpeningKey
from medcrypt.images.sealed_files import Keys, SealedFile, StoredName
from medcrypt.images.sources import PathLike
from medcrypt.integrations import nifti_voxels
from medcrypt.keys import Identity, Recipient

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Pair

__all__ = ["describe", "load", "seal", "seal_voxels", "unseal", "unseal_voxels"]

CONTENT, PAIR = "nifti", "nifti-pair"
_PARTNERS = {".hdr": ".img", ".img": ".hdr"}
_GZIP = b"\x1f\x8b"
_MAGICS = (b"n+1", b"ni1", b"n+2", b"ni2")
_HEADER_BYTES = 540  # of the longest header


class SerializableImage(Protocol):
    """An image of nibabel's that fits into one file."""

    def to_bytes(self) -> bytes:
        """Return that file."""


Source: TypeAlias = PathLike | bytes | SerializableImage


@overload
def seal(
    source: Source,
    key: Keys,
    out: None = None,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> bytes: ...
@overload
def seal(
    source: Source,
    key: Keys,
    out: PathLike,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> Path: ...
def seal(
    source: Source,
    key: Keys,
    out: PathLike | None = None,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> bytes | Path:
    """Seal a NIfTI image as a whole.

    Parameters
    ----------
    source
        The path of a NIfTI file, compressed or not; of either file of a pair, which are sealed together; the
        bytes of a file; or an image of nibabel's, as nibabel would save it.
    key
        Who can open it: a `SecretKey`, a `Recipient`, a list of them, or one `Passphrase`.
    out
        The sealed file, or an existing folder, in which it is called like the source with ``.mcrypt`` added.
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
        Not NIfTI.
    FileExistsError
        ``out`` exists.
    ImportError
        nibabel is not installed.

    Examples
    --------
    >>> import nibabel, numpy
    >>> from medcrypt import SecretKey
    >>> key, image = SecretKey.generate(), nibabel.Nifti1Image(numpy.eye(4, dtype="i2"), numpy.eye(4))
    >>> sealed = seal(image, key)
    >>> unseal(sealed, key) == image.to_bytes()
    True
    """
    _nibabel()
    path = _path(source)
    pair = None if path is None else _pair(path)
    name = None if path is None else StoredName(path.name) if pair is None else _pair_name(pair[0])
    target = None if out is None else _target(out, None if name is None else files.sealed_name(name.filename))
    if path is not None and pair is None and target is not None:  # without holding all of it
        files.seal_file(
            path, key, target, describe=describe, context=context, signer=signer, overwrite=overwrite
        )
        return target
    data = _contents(source) if pair is None else _zipped(pair)
    as_what = describe if pair is None else _describe_pair(pair[0])
    sealed = files.seal_bytes(data, key, name=name, describe=as_what, context=context, signer=signer)
    if target is None:
        return sealed
    with new_file(target, overwrite=overwrite) as file:
        file.write(sealed)
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
    """Return the NIfTI file that `seal` was given, byte for byte.

    Parameters
    ----------
    sealed
        A path, a seekable binary file, or the sealed bytes.
    key
        A key that opens it, or several to try.
    out
        The file to write, or an existing folder, in which it gets the name that it had. A pair needs a folder.
    context, sender
        As for `medcrypt.images.decrypt`.
    overwrite
        Replace existing files.

    Returns
    -------
    bytes or Path
        The file (of a pair, a zip file of both), or where it was written (of a pair, the ``.hdr`` file).

    Raises
    ------
    AuthenticationError
        Wrong key, context or sender, or any change to the bytes. Nothing is written.
    FormatError
        Not a sealed NIfTI image.
    """
    with files.open_file(sealed, key, context=context, sender=sender) as file:
        _check(file)
        if out is None:
            return file.read()
        if file.content == PAIR:
            return _write_pair(_unzipped(file), Path(out), overwrite=overwrite)
        target = _target(out, None if file.name is None else file.name.filename)
        file.save(target, overwrite=overwrite)
        return target


def load(
    sealed: Sealed,
    key: OpeningKey | Sequence[OpeningKey],
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
) -> Nifti1Pair:
    """Open a sealed NIfTI image, of `seal` or of `seal_voxels`, in memory only.

    Parameters
    ----------
    sealed, key, context, sender
        As for `unseal`.

    Returns
    -------
    nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair or nibabel.Nifti2Pair
        What ``nibabel.load`` makes of the file.

    Raises
    ------
    AuthenticationError, FormatError
        As for `unseal`.

    Examples
    --------
    >>> import nibabel, numpy
    >>> from medcrypt import SecretKey
    >>> key, image = SecretKey.generate(), nibabel.Nifti1Image(numpy.eye(4, dtype="i2"), numpy.eye(4))
    >>> load(seal_voxels(image, key), key).get_fdata().trace()
    np.float64(4.0)
    """
    _nibabel()
    if isinstance(sealed, str | os.PathLike | bytes) and not _is_sealed_image(sealed):
        return _image(unseal_voxels(sealed, key, context=context, sender=sender))
    with files.open_file(sealed, key, context=context, sender=sender) as file:
        _check(file)
        if file.content == PAIR:
            return _image(*(_inflated(data) for _, data in _unzipped(file)))
        return _image(_inflated(file.read()))


@overload
def seal_voxels(
    source: Source,
    key: Keys,
    out: None = None,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> bytes: ...
@overload
def seal_voxels(
    source: Source,
    key: Keys,
    out: PathLike,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> Path: ...
def seal_voxels(
    source: Source,
    key: Keys,
    out: PathLike | None = None,
    *,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> bytes | Path:
    """Encrypt the voxels of a NIfTI file and leave the rest of it readable.

    The result is a valid NIfTI file of the same shape, type and affine, whose voxels look like noise (floats among
    them may be NaN or infinite). A header extension carries the wrapped key and the tags.

    Parameters
    ----------
    source
        The path of a NIfTI file in one part, compressed or not; its bytes; or an image of nibabel's.
    key, context, signer, overwrite
        As for `seal`.
    out
        The file to write; compressed if its name ends in ``.gz``, which only costs time.

    Returns
    -------
    bytes or Path
        The uncompressed NIfTI file, or where it was written, if ``out`` is given.

    Raises
    ------
    FormatError
        Not a NIfTI file in one part, or cut.
    ValueError
        The voxels are sealed already.

    Notes
    -----
    Readable by anyone: the whole header with its texts (``descrip``, ``db_name``, ``aux_file``) and all extensions
    that were there, in which scanners and converters may leave names of patients. They are protected against
    change only. Where they must not be seen, use `seal`.

    A program that reads the file and saves it anew writes another header, and possibly other voxels: what it saves
    is refused.

    Examples
    --------
    >>> import nibabel, numpy
    >>> from medcrypt import SecretKey
    >>> key, image = SecretKey.generate(), nibabel.Nifti1Image(numpy.eye(4, dtype="i2"), numpy.eye(4))
    >>> sealed = seal_voxels(image, key)
    >>> nibabel.Nifti1Image.from_bytes(sealed).shape
    (4, 4)
    >>> unseal_voxels(sealed, key) == image.to_bytes()
    True
    """
    _nibabel()
    result = nifti_voxels.seal_voxels(_inflated(_contents(source)), key, context=context, signer=signer)
    return result if out is None else _write(result, Path(out), overwrite=overwrite)


@overload
def unseal_voxels(
    source: Source,
    key: OpeningKey | Sequence[OpeningKey],
    out: None = None,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
) -> bytes: ...
@overload
def unseal_voxels(
    source: Source,
    key: OpeningKey | Sequence[OpeningKey],
    out: PathLike,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
) -> Path: ...
def unseal_voxels(
    source: Source,
    key: OpeningKey | Sequence[OpeningKey],
    out: PathLike | None = None,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
) -> bytes | Path:
    """Return the NIfTI file that `seal_voxels` was given, byte for byte (what was compressed, uncompressed).

    Parameters
    ----------
    source
        The path of the file, compressed or not, or its bytes.
    key, context, sender
        As for `unseal`.
    out
        The file to write; compressed if its name ends in ``.gz``.
    overwrite
        Replace an existing file.

    Returns
    -------
    bytes or Path
        The uncompressed NIfTI file, or where it was written, if ``out`` is given.

    Raises
    ------
    AuthenticationError
        Wrong key, context or sender, or any change to voxels, header or extensions. Nothing is written.
    FormatError
        Not a NIfTI file with sealed voxels.
    """
    _nibabel()
    result = nifti_voxels.unseal_voxels(_inflated(_contents(source)), key, context=context, sender=sender)
    return result if out is None else _write(result, Path(out), overwrite=overwrite)


def describe(file: BinaryIO, _name: str = "") -> dict[str, Any]:
    """Return what is stored, encrypted, about a NIfTI file.

    Parameters
    ----------
    file
        A seekable binary file, compressed or not: a whole image or the header of a pair.

    Returns
    -------
    dict
        ``"content": "nifti"``, shape and type of the voxels.

    Raises
    ------
    FormatError
        Not NIfTI.

    Examples
    --------
    >>> import nibabel, numpy
    >>> image = nibabel.Nifti1Image(numpy.eye(4, dtype="i2"), numpy.eye(4))
    >>> describe(io.BytesIO(image.to_bytes()))
    {'content': 'nifti', 'shape': [4, 4], 'dtype': '<i2'}
    """
    _nibabel()
    file.seek(0)
    head = file.read(_HEADER_BYTES)
    if head[:2] == _GZIP:
        file.seek(0)
        head = _beginning(file)
    header = nifti_voxels.parse_header(head)
    try:
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
    except Exception as error:  # nibabel raises errors of several kinds on damaged headers
        raise FormatError("the NIfTI header is damaged") from error
    if header["magic"].item()[:3] not in _MAGICS:
        raise FormatError("not a NIfTI image")
    return {"content": CONTENT, "shape": [int(n) for n in shape], "dtype": dtype.str}


def _describe_pair(header: Path) -> files.Describe:
    def described(_file: BinaryIO, _name: str) -> dict[str, Any]:
        with header.open("rb") as file:
            return {**describe(file), "content": PAIR}

    return described


def _pair(path: Path) -> tuple[Path, Path] | None:
    """Return header and image of a pair that a path belongs to, or None for an image in one file."""
    stem, compressed = (path.with_suffix(""), path.suffix) if path.suffix == ".gz" else (path, "")
    if stem.suffix not in _PARTNERS:
        return None
    header, image = (stem.with_suffix(suffix + compressed) for suffix in (".hdr", ".img"))
    return header, image


def _pair_name(header: Path) -> StoredName:
    """Name a pair so that its bytes, a zip file, open with what a person has at hand."""
    return StoredName(header.name.split(".hdr")[0] + ".zip")


def _zipped(pair: tuple[Path, Path]) -> bytes:
    """Return both files as one, uncompressed and without dates: the same pair gives the same bytes."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path in pair:
            archive.writestr(zipfile.ZipInfo(path.name), path.read_bytes())
    return data.getvalue()


def _unzipped(file: SealedFile) -> list[tuple[str, bytes]]:
    """Return names and contents of header and image."""
    try:
        with zipfile.ZipFile(io.BytesIO(file.read())) as archive:
            parts = [(StoredName(info.filename).filename, archive.read(info)) for info in archive.infolist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise FormatError("the sealed pair is not a zip file") from error
    kinds = [name.removesuffix(".gz")[-4:] for name, _ in parts]
    if kinds != [".hdr", ".img"]:
        raise FormatError("the sealed pair does not consist of header and image")
    return parts


def _write_pair(parts: list[tuple[str, bytes]], folder: Path, *, overwrite: bool) -> Path:
    if not folder.is_dir():
        raise ValueError("a pair is two files: out must be an existing folder")
    targets = [folder / name for name, _ in parts]
    for target in targets:
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target} exists; it is not replaced unless you ask for it")
    for target, (_, data) in zip(targets, parts, strict=True):
        with new_file(target, overwrite=overwrite) as file:
            file.write(data)
    return targets[0]


def _image(data: bytes, voxels: bytes | None = None) -> Nifti1Pair:
    """Return nibabel's image of an uncompressed file, or of header and voxels."""
    import nibabel
    from nibabel.fileholders import FileHolder

    second = nifti_voxels.parse_header(data).template_dtype.itemsize == nibabel.Nifti2Header.sizeof_hdr
    single: Any = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    pair: Any = nibabel.Nifti2Pair if second else nibabel.Nifti1Pair
    image: Nifti1Pair
    if voxels is None:
        image = single.from_bytes(data)
    else:
        parts = {"header": data, "image": voxels}
        image = pair.from_file_map(
            {name: FileHolder(fileobj=io.BytesIO(part)) for name, part in parts.items()}
        )
    return image


def _is_sealed_image(source: PathLike | bytes) -> bool:
    if isinstance(source, bytes):
        return source.startswith(MAGIC)
    with Path(source).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _path(source: Source) -> Path | None:
    """Return the path that a source is, if it is one."""
    return Path(source) if isinstance(source, str | os.PathLike) else None


def _contents(source: Source) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    if not hasattr(source, "to_bytes"):
        raise TypeError(
            f"a path, bytes or an image that fits into one file is needed, not {type(source).__name__}"
        )
    return source.to_bytes()


def _target(out: PathLike, name: str | None) -> Path:
    target = Path(out)
    if not target.is_dir():
        return target
    if name is None:
        raise ValueError("no name is known: out must be a file, not a folder")
    return target / name


def _write(data: bytes, target: Path, *, overwrite: bool) -> Path:
    if target.suffix == ".gz":
        data = gzip.compress(data, mtime=0)
    with new_file(target, overwrite=overwrite) as file:
        file.write(data)
    return target


def _inflated(data: bytes) -> bytes:
    if data[:2] != _GZIP:
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError("the compressed file is damaged") from error


def _beginning(file: BinaryIO) -> bytes:
    """Return the first bytes of a compressed file, inflating no more of it."""
    try:
        with gzip.GzipFile(fileobj=file) as inflating:
            return inflating.read(_HEADER_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise FormatError("the compressed file is damaged") from error


def _check(file: SealedFile) -> None:
    """Refuse what is authentic but no NIfTI image."""
    if file.content not in (CONTENT, PAIR):
        raise FormatError("a sealed image, but not a sealed NIfTI image")


def _nibabel() -> None:
    try:
        import nibabel  # noqa: F401 - only whether it is there
    except ImportError:
        raise ImportError("sealing NIfTI needs nibabel: pip install 'medcrypt[nifti]'") from None
