"""Any file as a sealed image: its bytes, with its name encrypted beside them.

A sealed file is a sealed image of the file's bytes (uint8, one axis). Its private metadata say what it holds
and what it was called, so that it comes back under its own name even where the sealed file was renamed or two
were swapped:

    content     what the bytes are, such as "file" or "dicom"
    filename    the name of the file, without folders
    folder      the folders between the sealed folder and the file, joined by "/"; absent where there are none
    percent     true where the two are percent-encoded, because the name was not UTF-8

A stored name is data from outside. It is used only where each part is a plain name, and never leads out of the
output folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import secrets
import stat
import urllib.parse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from medcrypt.durable import new_file
from medcrypt.errors import AuthenticationError, FormatError, MedcryptError
from medcrypt.images.container import encrypt, encrypt_into, sealed_size
from medcrypt.images.header import parse
from medcrypt.images.reading import SealedImage
from medcrypt.images.reading import open as open_image
from medcrypt.images.recipients import OpeningKey, SealingKey
from medcrypt.images.sources import PathLike, Sealed
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey

__all__ = [
    "SUFFIX",
    "Outcome",
    "Receipt",
    "SealedFile",
    "StoredName",
    "as_file",
    "each_file",
    "link_error",
    "open_file",
    "paths_or_errors",
    "place",
    "refuse_links",
    "restored_name",
    "seal_bytes",
    "seal_file",
    "seal_folder",
    "seal_with_receipt",
    "sealed_digest",
    "sealed_name",
    "unseal_folder",
]

SUFFIX = ".mcrypt"
# What an archive holds beside its sealed files: their names end in the suffix, these do not.
MANIFEST, JOURNAL = "medcrypt-manifest", "medcrypt-journal"
# From this size on a file is mapped, so that neither it nor its sealed form has to fit into memory.
MAP_FROM = 64 << 20
# Plaintext decrypted at a time.
BLOCK = 4 << 20

Bytes: TypeAlias = NDArray[np.uint8]
Describe: TypeAlias = Callable[[BinaryIO, str], dict[str, Any]]
Keys: TypeAlias = SealingKey | Sequence[SealingKey]


@dataclass(frozen=True, slots=True)
class StoredName:
    """The name of a file and the folders above it, as its private metadata hold them.

    Parameters
    ----------
    filename
        A plain name.
    folders
        The folders between the folder that was sealed and the file, outermost first.

    Raises
    ------
    FormatError
        A part is not a plain name.

    Examples
    --------
    >>> StoredName("1.dcm", ("study",)).to_metadata()
    {'filename': '1.dcm', 'folder': 'study'}
    """

    filename: str
    folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in (*self.folders, self.filename):
            # `Path.name` knows the separators and drives of this system.
            if part in {"", ".", ".."} or "\0" in part or "/" in part or Path(part).name != part:
                raise FormatError("the stored file name is not a plain name: nothing is written under it")

    @classmethod
    def of(cls, relative: Path) -> Self:
        """Take a path relative to the folder that is sealed."""
        return cls(relative.name, relative.parts[:-1])

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> Self | None:
        """Return the name that the metadata hold, or None where they hold none."""
        filename, folder = metadata.get("filename"), metadata.get("folder", "")
        if filename is None:
            return None
        if not isinstance(filename, str) or not isinstance(folder, str):
            raise FormatError("the stored file name is not text")
        decode = _unquoted if metadata.get("percent") is True else str
        folders = tuple(decode(part) for part in folder.split("/")) if folder else ()
        return cls(decode(filename), folders)

    def to_metadata(self) -> dict[str, Any]:
        """Return the fields of the private metadata."""
        try:
            "".join((*self.folders, self.filename)).encode("utf-8")
        except UnicodeEncodeError:
            return {**self._fields(_quoted), "percent": True}
        return self._fields(str)

    def _fields(self, encode: Callable[[str], str]) -> dict[str, Any]:
        fields = {"filename": encode(self.filename)}
        if self.folders:
            fields["folder"] = "/".join(encode(part) for part in self.folders)
        return fields


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file of a folder.

    Parameters
    ----------
    source
        The file.
    out
        What was written, or None.
    error
        What went wrong, or None.
    number, total
        This is the ``number``-th of ``total`` files.
    skipped
        There was nothing to do: an earlier run has done it.
    """

    source: Path
    out: Path | None
    error: Exception | None
    number: int
    total: int
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Receipt:
    """What sealing one file has read and written.

    Parameters
    ----------
    size, mtime_ns
        Bytes of the source, and when it was last changed, in nanoseconds.
    sha256
        Of the source, in hexadecimal digits.
    sealed_size, sealed_sha256
        Of the sealed file, see `sealed_digest`.
    """

    size: int
    mtime_ns: int
    sha256: str
    sealed_size: int
    sealed_sha256: str


def sealed_digest(sealed: Bytes) -> str:
    """Return the SHA-256 of a sealed file with its recipient slots taken as zeros, in hexadecimal digits.

    So it stays the same while recipients come and go; the slots authenticate themselves.

    Raises
    ------
    FormatError
        Not a sealed file.

    Examples
    --------
    >>> from medcrypt import SecretKey
    >>> len(sealed_digest(np.frombuffer(seal_bytes(b"a report", SecretKey.generate()), np.uint8)))
    64
    """
    header = parse(sealed)
    start, slots = header.size, 2 * header.slot_size
    digest = hashlib.sha256(sealed[:start].data)
    digest.update(bytes(slots))
    digest.update(sealed[start + slots :].data)
    return digest.hexdigest()


def as_file(_file: BinaryIO, _name: str) -> dict[str, Any]:
    """Describe a file as nothing but a file."""
    return {"content": "file"}


def sealed_name(filename: str, *, opaque: bool = False) -> str:
    """Return the name of the sealed file: that of the source and ``.mcrypt``, or a random one.

    Examples
    --------
    >>> sealed_name("1.dcm")
    '1.dcm.mcrypt'
    >>> len(sealed_name("1.dcm", opaque=True))
    39
    """
    return (secrets.token_hex(16) if opaque else filename) + SUFFIX


def seal_bytes(
    data: bytes,
    key: Keys,
    *,
    name: StoredName | None = None,
    describe: Describe = as_file,
    context: bytes = b"",
    signer: Identity | None = None,
) -> bytes:
    """Seal the contents of a file that is already in memory.

    Parameters
    ----------
    data
        The contents.
    key, context, signer
        As for `medcrypt.images.encrypt`.
    name
        Stored in the private metadata, where there is one.
    describe
        ``describe(file, filename)`` returns the rest of the private metadata, ``"content"`` among them.

    Examples
    --------
    >>> from medcrypt import SecretKey
    >>> key = SecretKey.generate()
    >>> sealed = seal_bytes(b"a report", key, name=StoredName("report.txt"))
    >>> with open_file(sealed, key) as file:
    ...     file.name.filename, file.read()
    ('report.txt', b'a report')
    """
    metadata = _metadata(io.BytesIO(data), name, describe)
    return encrypt(np.frombuffer(data, np.uint8), key, context=context, metadata=metadata, signer=signer)


def seal_file(
    source: PathLike,
    key: Keys,
    out: PathLike,
    *,
    name: StoredName | None = None,
    describe: Describe = as_file,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
) -> None:
    """Seal one file into another, which appears under its name only when it is whole and on disk.

    Parameters
    ----------
    source
        A regular file.
    out
        The sealed file.
    name
        Stored in the private metadata; the source's own name by default.
    overwrite
        Replace an existing ``out``.
    key, describe, context, signer
        As for `seal_bytes`.

    Raises
    ------
    OSError
        The source cannot be read, or ``out`` exists or cannot be written.
    """
    _seal(Path(source), key, Path(out), name, describe, context, signer, overwrite, threads=None)


def seal_with_receipt(
    source: PathLike,
    key: Keys,
    out: PathLike,
    *,
    name: StoredName | None = None,
    describe: Describe = as_file,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
    threads: int | None = None,
) -> Receipt:
    """Seal one file into another, as `seal_file` does, and say what was read and what was written.

    Parameters
    ----------
    source, key, out, name, describe, context, signer, overwrite
        As for `seal_file`.
    threads
        As for `medcrypt.images.encrypt`.

    Raises
    ------
    OSError
        As for `seal_file`; or the source was changed while it was read.
    """
    receipts: list[Receipt] = []

    def note(before: os.stat_result, data: Bytes, room: Bytes) -> None:
        receipts.append(
            Receipt(
                size=data.size,
                mtime_ns=before.st_mtime_ns,
                sha256=hashlib.sha256(data.data).hexdigest(),
                sealed_size=room.size,
                sealed_sha256=sealed_digest(room),
            )
        )

    _seal(Path(source), key, Path(out), name, describe, context, signer, overwrite, threads, note)
    return receipts[0]


def _seal(
    source: Path,
    key: Keys,
    out: Path,
    name: StoredName | None,
    describe: Describe,
    context: bytes,
    signer: Identity | None,
    overwrite: bool,
    threads: int | None,
    note: Callable[[os.stat_result, Bytes, Bytes], None] | None = None,
) -> None:
    """Seal a file; ``note`` is shown the plain and the sealed bytes."""
    with open_regular(source) as file:
        before = os.fstat(file.fileno())
        metadata = _metadata(file, name or StoredName(source.name), describe)
        data = contents(file)
        with new_file(out, overwrite=overwrite) as target:
            room = _room(target, sealed_size(data.shape, data.dtype, key, metadata=metadata, signer=signer))
            encrypt_into(data, key, room, context=context, metadata=metadata, signer=signer, threads=threads)
            if note is not None:
                note(before, data, room)
                after = os.fstat(file.fileno())
                if (after.st_size, after.st_mtime_ns) != (data.size, before.st_mtime_ns):
                    raise OSError(errno.EBUSY, "was changed while it was read", str(source))
            if isinstance(room, np.memmap):
                room.flush()
            else:
                target.write(room.data)


def seal_folder(
    folder: PathLike,
    key: Keys,
    out: PathLike,
    *,
    describe: Describe = as_file,
    context: bytes = b"",
    signer: Identity | None = None,
    overwrite: bool = False,
    opaque_names: bool = False,
) -> Iterator[Outcome]:
    """Seal every file below a folder, one after another, whatever becomes of the others.

    Symbolic links and special files are not followed: they are outcomes with an error, because they are not in
    the result. Empty folders leave no trace.

    Parameters
    ----------
    folder, out
        The folders to read and to write. ``out`` may exist, but not inside ``folder``.
    opaque_names
        Write all files into ``out`` itself under random names; names and folders are restored on opening.
    key, describe, context, signer, overwrite
        As for `seal_file`.

    Yields
    ------
    Outcome
        One for each file, as soon as it is done.
    """
    folder, out = two_folders(folder, out)

    def seal(source: Path) -> Path:
        name = StoredName.of(source.relative_to(folder))
        parts = () if opaque_names else name.folders
        target = out.joinpath(*parts, sealed_name(name.filename, opaque=opaque_names))
        refuse_links(out, target)
        target.parent.mkdir(parents=True, exist_ok=True)
        seal_file(
            source,
            key,
            target,
            name=name,
            describe=describe,
            context=context,
            signer=signer,
            overwrite=overwrite,
        )
        return target

    return each_file(folder, seal)


def unseal_folder(
    folder: PathLike,
    key: OpeningKey | Sequence[OpeningKey],
    out: PathLike,
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    overwrite: bool = False,
    accept: Callable[[SealedFile], None] | None = None,
) -> Iterator[Outcome]:
    """Open every sealed file below a folder, one after another, whatever becomes of the others.

    Each file gets the name and the folders that were stored with it, see `place`.

    Parameters
    ----------
    folder, out
        The folders to read and to write. ``out`` may exist, but not inside ``folder``.
    accept
        Called with each opened file before anything is written; raises what speaks against it.
    key, context, sender
        As for `open_file`.
    overwrite
        Replace existing files.

    Yields
    ------
    Outcome
        One for each file, as soon as it is done.
    """
    folder, out = two_folders(folder, out)

    def unseal(source: Path) -> Path:
        with open_regular(source) as file, open_file(file, key, context=context, sender=sender) as sealed:
            if accept is not None:
                accept(sealed)
            target = place(out, source.relative_to(folder), sealed)
            target.parent.mkdir(parents=True, exist_ok=True)
            sealed.save(target, overwrite=overwrite)
        return target

    return each_file(folder, unseal)


def each_file(folder: Path, work: Callable[[Path], Path | None]) -> Iterator[Outcome]:
    """Do some work for every file below a folder, one after another, and yield what became of each.

    Parameters
    ----------
    folder
        Searched recursively and in a stable order. Symbolic links in it are errors. The manifest and journal of
        an archive are passed over.
    work
        Called with each path; returns what it wrote, if anything.

    Yields
    ------
    Outcome
        One for each file, as soon as it is done.
    """
    found = [item for item in walk(folder) if item[0] not in {folder / MANIFEST, folder / JOURNAL}]
    for number, (path, obstacle) in enumerate(found, start=1):
        out, error = (None, obstacle) if obstacle else tried(work, path)
        if error is not None:
            error.add_note(str(path))
        yield Outcome(path, out, error, number, len(found))


def tried(work: Callable[[Path], Path | None], path: Path) -> tuple[Path | None, Exception | None]:
    """Do the work for one file; what is wrong with the file is returned, all else is raised."""
    try:
        return work(path), None
    except (MedcryptError, OSError, ValueError) as error:
        return None, error


def paths_or_errors(outcomes: Iterable[Outcome], what: str) -> list[Path]:
    """Return what was written, or raise everything that went wrong once all files have been tried.

    Raises
    ------
    ExceptionGroup
        One exception for each failure, with the file's path as a note. What could be written has been.
    """
    finished = list(outcomes)
    errors = [outcome.error for outcome in finished if outcome.error is not None]
    if errors:
        raise ExceptionGroup(f"{len(errors)} of {len(finished)} files could not be {what}", errors)
    return [outcome.out for outcome in finished if outcome.out is not None]


@contextlib.contextmanager
def open_file(
    sealed: Sealed,
    key: OpeningKey | Sequence[OpeningKey],
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
) -> Iterator[SealedFile]:
    """Open a sealed file; nothing of it is read before its key, name and metadata are authentic.

    Parameters
    ----------
    sealed
        A path, a seekable binary file, or the sealed bytes.
    key
        A key that opens it, or several to try.
    context, sender
        As for `medcrypt.images.decrypt`.

    Yields
    ------
    SealedFile
        Usable until the ``with`` block ends.

    Raises
    ------
    AuthenticationError
        None of the keys opens it, or it was changed.
    FormatError
        Not a sealed image.
    """
    keys = (key,) if isinstance(key, SecretKey | Identity | Passphrase) else tuple(key)
    with _open_with_any(sealed, keys, context, sender) as image:
        yield SealedFile(image)


class SealedFile:
    """A sealed file that has been opened.

    An image that was sealed as an array, not as a file, reads as the ``.npy`` file of that array.

    Attributes
    ----------
    metadata : dict
        The private metadata.
    content : str or None
        What the bytes are, such as ``"file"`` or ``"dicom"``; None for an array.
    """

    def __init__(self, image: SealedImage) -> None:
        self._image = image
        self.metadata = image.metadata
        content = image.metadata.get("content")
        flat = image.ndim == 1 and image.dtype == np.uint8
        self.content: str | None = content if flat and isinstance(content, str) else None

    @property
    def name(self) -> StoredName | None:
        """What the file was called, or None where that is not known.

        Raises
        ------
        FormatError
            The stored name is not a plain name. The contents can still be read.
        """
        return None if self.content is None else StoredName.from_metadata(self.metadata)

    def blocks(self) -> Iterator[Bytes]:
        """Yield the contents in authenticated blocks. Only the last shows that nothing is missing."""
        if self.content is None:
            yield from _npy(self._image)
            return
        # An empty file has one empty block: reading it authenticates that there is nothing.
        for start in range(0, max(self._image.size, 1), BLOCK):
            yield self._image[start : start + BLOCK]

    def read(self) -> bytes:
        """Return the contents."""
        return b"".join(block.tobytes() for block in self.blocks())

    def verify(self) -> None:
        """Authenticate every byte without keeping any."""
        self._image.verify()

    def save(self, out: PathLike, *, overwrite: bool = False, sha256: str | None = None) -> None:
        """Write the contents to a file, which appears under its name only when all of it is authentic.

        Parameters
        ----------
        out
            The file.
        overwrite
            Replace an existing one.
        sha256
            What the contents have to be, in hexadecimal digits; else there is no file, and a `FormatError`.
        """
        digest = hashlib.sha256()
        with new_file(out, overwrite=overwrite) as file:
            for block in self.blocks():
                file.write(block.data)
                if sha256 is not None:
                    digest.update(block.data)
            if sha256 not in {None, digest.hexdigest()}:
                raise FormatError("the contents are not those that the manifest names")

    def sha256(self) -> str:
        """Return the SHA-256 of the contents in hexadecimal digits, and so authenticate every byte of them."""
        digest = hashlib.sha256()
        for block in self.blocks():
            digest.update(block.data)
        return digest.hexdigest()


def place(out: Path, sealed_path: Path, sealed: SealedFile) -> Path:
    """Return where in the folder ``out`` a sealed file belongs.

    The name is the stored one. The folders are those of the sealed file, and below them the stored folders,
    unless they are there already; so a folder of sealed folders opens as it looks, opaque names come back in
    their own folders, and a file that somebody moved does not pass for another.

    Parameters
    ----------
    out
        The output folder.
    sealed_path
        The sealed file, relative to the folder that is being opened.
    sealed
        The opened file.

    Raises
    ------
    FormatError
        The result would lie outside ``out``, through a symbolic link in it; or no name is known.
    """
    parents = sealed_path.parts[:-1]
    name = restored_name(sealed_path.name, sealed)
    if parents[len(parents) - len(name.folders) :] != name.folders:
        parents += name.folders
    target = out.joinpath(*parents, name.filename)
    if not target.parent.resolve().is_relative_to(out.resolve()):
        raise FormatError("the stored name leads out of the output folder")
    return target


def restored_name(filename: str, sealed: SealedFile) -> StoredName:
    """Return the name that a file gets back: the stored one, or else that of the sealed file without ``.mcrypt``.

    Raises
    ------
    FormatError
        There is neither.
    """
    if sealed.name is not None:
        return sealed.name
    stem = filename.removesuffix(SUFFIX)
    if stem == filename:
        raise FormatError(
            f"no name is stored in it, and its own does not end in {SUFFIX}: say where to write"
        )
    array = sealed.content is None and not stem.endswith(".npy")
    return StoredName(f"{stem}.npy" if array else stem)


def _metadata(file: BinaryIO, name: StoredName | None, describe: Describe) -> dict[str, Any]:
    """Describe a file and return to its start."""
    described = describe(file, name.filename if name else "")
    file.seek(0)
    return {**described, **(name.to_metadata() if name else {})}


def contents(file: BinaryIO) -> Bytes:
    """Read a small file, map a large one."""
    if os.fstat(file.fileno()).st_size < MAP_FROM:
        return np.frombuffer(file.read(), np.uint8)
    return np.memmap(file, np.uint8, "r")


def _room(file: BinaryIO, size: int) -> Bytes:
    """Return a buffer for ``size`` bytes, mapped to the file where that is large."""
    if size < MAP_FROM or not hasattr(os, "posix_fallocate"):
        return np.empty(size, np.uint8)
    # A mapped write to a full disk would kill the process, so the room is claimed before.
    os.posix_fallocate(file.fileno(), 0, size)
    return np.memmap(file, np.uint8, "r+", shape=(size,))


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; a pipe or device could block or never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def _open_with_any(
    sealed: Sealed, keys: Sequence[OpeningKey], context: bytes, sender: Recipient | None
) -> SealedImage:
    for key in keys[:-1]:
        with contextlib.suppress(AuthenticationError):
            return open_image(sealed, key, context=context, sender=sender)
    if not keys:
        raise ValueError("at least one key is needed")
    return open_image(sealed, keys[-1], context=context, sender=sender)


def _npy(image: SealedImage) -> Iterator[Bytes]:
    """Yield the ``.npy`` file of an array."""
    head = io.BytesIO()
    fields = {
        "descr": np.lib.format.dtype_to_descr(image.dtype),
        "fortran_order": False,
        "shape": image.shape,
    }
    np.lib.format.write_array_header_1_0(head, fields)
    pixels = np.asarray(image[...])  # authenticated before the first byte leaves
    yield np.frombuffer(head.getvalue(), np.uint8)
    yield pixels.reshape(-1).view(np.uint8)


def two_folders(folder: PathLike, out: PathLike) -> tuple[Path, Path]:
    folder, out = Path(folder), Path(out)
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError("the output folder must not lie inside the folder that is read")
    return folder, out


def walk(folder: Path) -> Iterator[tuple[Path, Exception | None]]:
    """Yield all files below a folder in a stable order, and as errors what cannot be read or followed."""
    unreadable: list[OSError] = []
    for parent, folders, names in os.walk(folder, onerror=unreadable.append):
        folders.sort()
        for name in sorted(names + [name for name in folders if Path(parent, name).is_symlink()]):
            path = Path(parent, name)
            yield path, link_error(path) if path.is_symlink() else None
    for error in unreadable:
        yield Path(os.fsdecode(error.filename)), error


def refuse_links(folder: Path, path: Path) -> None:
    """Raise ``OSError`` if a folder between ``folder`` and ``path`` is a link: what is written would lie elsewhere."""
    for below in list(path.relative_to(folder).parents)[:-1]:
        if (folder / below).is_symlink():
            raise link_error(folder / below)


def link_error(path: Path) -> OSError:
    """Return what speaks against a symbolic link."""
    return OSError(errno.ELOOP, "a symbolic link inside a folder is not followed", str(path))


def _quoted(name: str) -> str:
    return urllib.parse.quote_from_bytes(os.fsencode(name))


def _unquoted(text: str) -> str:
    return os.fsdecode(urllib.parse.unquote_to_bytes(text))
