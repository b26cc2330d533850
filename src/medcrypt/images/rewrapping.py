"""Who can open a sealed file, changed in place: all recipients at once, one more, or one less.

Nothing but the two recipient slots is written, and the file key stays the same. So taking a recipient away does
not take back a file key that this recipient may have kept, and an old copy of the file keeps its old recipients;
`reencrypt` seals the pixels under a new file key.

The new recipients are written beside the old ones and made durable, and only then are the old ones erased. After
a crash in between nothing is lost: half-written recipients make every reader refuse the file, since a reader
wants each byte authenticated, and calling any of these functions again, with the key of an old or of a new
recipient, repairs it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias

from medcrypt.errors import AuthenticationError
from medcrypt.images import recipients
from medcrypt.images.reading import read_header
from medcrypt.images.recipients import OpeningKey, Sealed, SealingKey, Stanza
from medcrypt.images.sources import FileSource, PathLike
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey
from medcrypt.keys.secret import FINGERPRINT_BYTES

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["add_recipient", "remove_recipient", "rewrap"]

Named: TypeAlias = SecretKey | Recipient | Identity | bytes | str
# What is to become of the recipients: of what they belong to, its file key, and the present ones.
Change: TypeAlias = Callable[[Sealed, bytes, Sequence[Stanza]], Sequence[Stanza]]


def rewrap(path: PathLike, old: OpeningKey, new: SealingKey | Iterable[SealingKey]) -> None:
    """Replace all recipients of a sealed file; neither the pixels nor anything else is touched or moved.

    Two calls at a time wait for each other where the system can lock files.

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
    change_recipients(path, old, replaced_by(new))


def add_recipient(path: PathLike, key: OpeningKey, new: SealingKey | Iterable[SealingKey]) -> None:
    """Let somebody else open a sealed file too; nothing of the others has to be known.

    The other recipients' wrapped keys are kept byte for byte, those of kinds that only a newer medcrypt knows
    too. A recipient who is there already gets a fresh one.

    Parameters
    ----------
    path
        The sealed file.
    key
        A key that opens it.
    new
        One recipient, or several. A passphrase is refused: it would weaken the others.

    Raises
    ------
    AuthenticationError
        ``key`` does not open the file, or its recipients were changed.
    ValueError
        The file has no room for one more (`encrypt`'s ``spare_recipients``), or is sealed for a passphrase, which
        has to be alone.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from medcrypt import Identity, images
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ct.mcrypt"
    >>> ward, expert = Identity.generate(), Identity.generate()
    >>> images.save(path, np.arange(4), ward.recipient)
    >>> images.add_recipient(path, ward, expert.recipient)
    >>> with images.open(path, expert) as image:
    ...     image[:]
    array([0, 1, 2, 3])
    """
    change_recipients(path, key, extended_by(new))


def remove_recipient(path: PathLike, key: OpeningKey, recipient: Named) -> None:
    """Take a recipient away from a sealed file; nothing of the others has to be known.

    **This is no revocation.** Whoever could open the file may have kept the pixels, the file key or a copy of the
    file; only `reencrypt` makes a kept file key useless.

    Parameters
    ----------
    path
        The sealed file.
    key
        A key that opens it. It may be that of the recipient who goes.
    recipient
        Who goes: a `Recipient`, `SecretKey` or `Identity`, or its fingerprint, as 8 bytes or as the 16 hexadecimal
        digits that `inspect` shows.

    Raises
    ------
    AuthenticationError
        ``key`` does not open the file, or its recipients were changed.
    ValueError
        The file has no such recipient, or no other.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from medcrypt import Identity, images
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ct.mcrypt"
    >>> ward, expert = Identity.generate(), Identity.generate()
    >>> images.save(path, np.arange(4), [ward.recipient, expert.recipient])
    >>> images.remove_recipient(path, ward, expert.recipient)
    >>> [kind for kind, fingerprint in images.inspect(path).recipients]
    ['x25519']
    """
    change_recipients(path, key, shortened_by(recipient))


def replaced_by(new: SealingKey | Iterable[SealingKey]) -> Change:
    """Return the change that `rewrap` makes."""
    keys = recipients.as_recipients(new)

    def replaced(header: Sealed, file_key: bytes, _stanzas: Sequence[Stanza]) -> Sequence[Stanza]:
        return [recipients.make_stanza(header, file_key, key) for key in keys]

    return replaced


def extended_by(new: SealingKey | Iterable[SealingKey]) -> Change:
    """Return the change that `add_recipient` makes."""
    keys = recipients.as_recipients(new)
    if any(isinstance(one, Passphrase) for one in keys):
        raise ValueError("a passphrase must be the only recipient: it would weaken the others")

    def extended(header: Sealed, file_key: bytes, stanzas: Sequence[Stanza]) -> Sequence[Stanza]:
        if any(stanza.is_passphrase for stanza in stanzas):
            raise ValueError("it is sealed for a passphrase, which must be the only recipient")
        wrapped = {
            (stanza.kind, stanza.fingerprint): stanza
            for stanza in (recipients.make_stanza(header, file_key, one) for one in keys)
        }
        # In its old place where there is one; the rest, in their order, behind.
        kept = [wrapped.pop((stanza.kind, stanza.fingerprint), stanza) for stanza in stanzas]
        return [*kept, *wrapped.values()]

    return extended


def shortened_by(recipient: Named) -> Change:
    """Return the change that `remove_recipient` makes."""
    fingerprint = _fingerprint(recipient)

    def shortened(_header: Sealed, _file_key: bytes, stanzas: Sequence[Stanza]) -> Sequence[Stanza]:
        kept = [stanza for stanza in stanzas if stanza.fingerprint != fingerprint]
        if len(kept) == len(stanzas):
            raise ValueError(f"there is no recipient with the fingerprint {fingerprint.hex()}")
        if not kept:
            raise ValueError("this is the only recipient: nobody could open it any more")
        return kept

    return shortened


def opener_of(path: PathLike, keys: Iterable[OpeningKey]) -> OpeningKey:
    """Return the first key that opens a file, be it one where a change was interrupted.

    Raises
    ------
    AuthenticationError
        None does.
    """
    with Path(path).open("rb") as file:
        header, area = read_header(FileSource(file, owned=False))
    for key in keys:
        with contextlib.suppress(AuthenticationError):
            recipients.open_slots(header, area, key, torn=True)
            return key
    raise AuthenticationError


def change_recipients(path: PathLike, key: OpeningKey, change: Change) -> None:
    """Write the changed recipients into the slot that is not in use, then erase the other."""
    with locked(path) as file:
        header, area = read_header(FileSource(file, owned=False))
        file_key, _, in_use, generation = recipients.open_slots(header, area, key, torn=True)
        used, free = (header.size + number * header.slot_size for number in (in_use, 1 - in_use))
        erased = bytes(header.slot_size)
        if recipients.slot_bytes(header, area, 1 - in_use) != erased:
            _write(file, free, erased)  # an interrupted change ends here, whatever becomes of this one
        stanzas = change(header, file_key, recipients.slot_at(header, area, in_use).stanzas)
        _write(file, free, recipients.slot_of_stanzas(header, generation + 1, file_key, stanzas))
        _write(file, used, erased)


def _fingerprint(recipient: Named) -> bytes:
    if isinstance(recipient, SecretKey | Recipient | Identity):
        return recipient.fingerprint
    if isinstance(recipient, str) and len(recipient) == 2 * FINGERPRINT_BYTES:
        return bytes.fromhex(recipient)
    if isinstance(recipient, bytes) and len(recipient) == FINGERPRINT_BYTES:
        return recipient
    if isinstance(recipient, str | bytes):
        raise ValueError("a fingerprint has 8 bytes, or 16 hexadecimal digits")
    raise TypeError(
        f"a Recipient, SecretKey, Identity or a fingerprint is needed, not {type(recipient).__name__}"
    )


@contextlib.contextmanager
def locked(path: PathLike) -> Iterator[BinaryIO]:
    """Open a file for changes in place, and keep others who would change or replace it out until the end.

    Two that write the same slot and then erase the other would lose the file key. Who replaces a file as a whole
    holds the lock of the old one meanwhile, so whoever has waited for it looks whether it is still there.
    """
    while True:
        with Path(path).open("r+b") as file:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(file.fileno(), fcntl.LOCK_EX)  # released when the file is closed
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                yield file
                return


def _write(file: BinaryIO, offset: int, data: bytes) -> None:
    file.seek(offset)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
