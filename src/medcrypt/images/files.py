"""Sealed images as files: written whole or not at all, inspected without a key, handed to new recipients."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from numpy.typing import ArrayLike

from medcrypt.durable import new_file
from medcrypt.images import recipients
from medcrypt.images.container import Request, seal
from medcrypt.images.header import Metadata, metadata_from_bytes
from medcrypt.images.reading import FileSource, Sealed, read_header, source_of
from medcrypt.images.recipients import OpeningKey, SealingKey
from medcrypt.keys import Identity

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Inspection", "inspect", "rewrap", "save"]

PathLike: TypeAlias = str | os.PathLike[str]


def save(
    path: PathLike,
    array: ArrayLike,
    key: SealingKey | Iterable[SealingKey],
    *,
    overwrite: bool = False,
    cipher: str = "aes-256-gcm",
    context: bytes = b"",
    metadata: Metadata | None = None,
    public_metadata: Metadata | None = None,
    signer: Identity | None = None,
    spare_recipients: int = 3,
    threads: int | None = None,
) -> None:
    """Seal an array into a file, which appears under its name only when it is whole and on disk.

    Parameters
    ----------
    path
        Name of the file.
    overwrite
        Replace an existing file. Otherwise that is a ``FileExistsError``.
    array, key, cipher, context, metadata, public_metadata, signer, spare_recipients, threads
        As for `encrypt`.

    Raises
    ------
    FileExistsError
        The file exists and ``overwrite`` is false.
    TypeError, ValueError
        As for `encrypt`.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from medcrypt import SecretKey, images
    >>> path, key = pathlib.Path(tempfile.mkdtemp()) / "ct.mcrypt", SecretKey.generate()
    >>> images.save(path, np.zeros((512, 512), np.int16), key)
    >>> with images.open(path, key) as image:
    ...     image.shape
    (512, 512)
    """
    request = Request.of(array, key, cipher, context, metadata, public_metadata, signer, spare_recipients)
    with new_file(path, overwrite=overwrite) as file:
        file.write(seal(request, threads))


@dataclass(frozen=True)
class Inspection:
    """What a sealed image says of itself. **Nothing here is verified**: anyone could have written it.

    Parameters
    ----------
    verified
        Always false; here so that it is seen wherever an inspection is printed or stored.
    version, cipher, dtype, shape
        Of the image.
    size
        Bytes of the sealed image.
    file_id
        32 hexadecimal digits that name it.
    public_metadata
        The metadata that anyone can read.
    has_private_metadata
        Whether there are encrypted metadata as well.
    recipients
        Kind and fingerprint (16 hexadecimal digits, empty for a passphrase) of each.
    generation
        How often the recipients have been written, 1 at first.
    signer
        The Ed25519 key (64 hexadecimal digits) that is said to have signed, or None.
    """

    verified: bool
    version: int
    cipher: str
    dtype: str
    shape: tuple[int, ...]
    size: int
    file_id: str
    public_metadata: dict[str, Any]
    has_private_metadata: bool
    recipients: tuple[tuple[str, str], ...]
    generation: int
    signer: str | None


def inspect(sealed: Sealed) -> Inspection:
    """Return what a sealed image says of itself, without a key and without verifying anything.

    Parameters
    ----------
    sealed
        A path, a seekable binary file, or the sealed bytes.

    Raises
    ------
    FormatError
        Not a sealed image.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey, images
    >>> slice_, key = np.zeros((2, 2), np.uint8), SecretKey.generate()
    >>> sealed = images.encrypt(slice_, key, public_metadata={"ward": "3"})
    >>> found = images.inspect(sealed)
    >>> found.shape, found.public_metadata, found.verified
    ((2, 2), {'ward': '3'}, False)
    """
    source = source_of(sealed)
    try:
        header, area = read_header(source)
    finally:
        source.close()
    newest = recipients.newest_slot(header, area)
    return Inspection(
        verified=False,
        version=1,
        cipher=header.cipher,
        dtype=header.dtype.str,
        shape=header.shape,
        size=header.sealed_size,
        file_id=header.file_id.hex(),
        public_metadata=metadata_from_bytes(header.public),
        has_private_metadata=bool(header.private),
        recipients=tuple((stanza.name, stanza.fingerprint.hex()) for stanza in newest.stanzas),
        generation=newest.generation,
        signer=header.signer.hex() or None,
    )


def rewrap(path: PathLike, old: OpeningKey, new: SealingKey | Iterable[SealingKey]) -> None:
    """Replace the recipients of a sealed file; neither the pixels nor anything else is touched or moved.

    The new recipients are written beside the old ones, made durable, and only then are the old ones erased:
    after a crash in between nothing is lost. Half-written recipients make every reader refuse the file, since
    a reader wants each byte authenticated; calling this again, with an old or a new recipient's key, repairs
    it. Two calls at a time wait for each other where the system can lock files.

    Taking a recipient away does not take back a file key that this recipient may have kept; sealing anew
    does. An old copy of the file keeps its old recipients, and whoever can write the file can put them back.

    Parameters
    ----------
    path
        The sealed file.
    old
        A key that opens it.
    new
        All recipients that it shall have from now on.

    Raises
    ------
    AuthenticationError
        ``old`` does not open the file, or its recipients were changed.
    ValueError
        More recipients than the file has room for (`encrypt`'s ``spare_recipients``).

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from medcrypt import Identity, SecretKey, images
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ct.mcrypt"
    >>> key, reader = SecretKey.generate(), Identity.generate()
    >>> images.save(path, np.arange(4), key)
    >>> images.rewrap(path, key, [key, reader.recipient])
    >>> with images.open(path, reader) as image:
    ...     image[:]
    array([0, 1, 2, 3])
    """
    keys = recipients.as_recipients(new)
    with Path(path).open("r+b") as file, _locked(file):
        header, area = read_header(FileSource(file, owned=False))
        file_key, in_use, generation = recipients.open_slots(header, area, old, torn=True)
        slot = recipients.make_slot(header, generation + 1, file_key, keys)
        _write(file, header.size + (1 - in_use) * header.slot_size, slot)
        _write(file, header.size + in_use * header.slot_size, bytes(header.slot_size))


@contextlib.contextmanager
def _locked(file: BinaryIO) -> Iterator[None]:
    """Keep other calls out: two that write the same slot and then erase the other would lose the file key."""
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)  # released when the file is closed
    yield


def _write(file: BinaryIO, offset: int, data: bytes) -> None:
    file.seek(offset)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
