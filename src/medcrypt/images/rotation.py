"""New recipients for every file of a folder: a key that is retired, or one that is lost.

`rotate` changes each file in place, so it can be interrupted at any time and called again: a file that has been
changed is known by its recipients. An archive's manifest goes along.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.images import recipients
from medcrypt.images.files import inspect
from medcrypt.images.header import Header
from medcrypt.images.manifest import Entry, Manifest, relative
from medcrypt.images.reading import read_header
from medcrypt.images.recipients import OpeningKey, SealingKey, as_recipients
from medcrypt.images.reencryption import expected_sender, reencrypt
from medcrypt.images.rewrapping import rewrap
from medcrypt.images.sealed_files import (
    JOURNAL,
    MANIFEST,
    Outcome,
    contents,
    each_file,
    open_regular,
    paths_or_errors,
    sealed_digest,
    tried,
)
from medcrypt.images.sources import PathLike, source_of
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey

__all__ = ["rotate", "rotating"]


def rotate(
    folder: PathLike,
    old: OpeningKey | Sequence[OpeningKey],
    new: SealingKey | Iterable[SealingKey],
    *,
    reencrypted: bool = False,
    context: bytes = b"",
    sender: Recipient | None = None,
    signer: Identity | None = None,
    any_sender: bool = False,
) -> list[Path]:
    """Give every sealed file below a folder new recipients, whatever becomes of the others.

    **Interrupted**, it goes on when it is called again with the same arguments: files that have the new recipients
    and no longer open with the old key are left as they are.

    Parameters
    ----------
    folder
        Sealed files, or an archive.
    old
        A key that opens them, or several to try.
    new
        All recipients that each file shall have from now on.
    reencrypted
        Encrypt the pixels anew under new file keys, as `reencrypt` does: needed where the old key is lost or its
        holder is no longer trusted. Otherwise only the recipients change, as `rewrap` does.
    context, sender, signer, any_sender
        As for `reencrypt`; only used where the pixels are encrypted anew. There, files that are signed need a signer,
        and files and manifest have to be the signer's own, or those of the ``sender`` where one is given, unless
        ``any_sender`` is.

    Returns
    -------
    list of Path
        The files that were changed by this call.

    Raises
    ------
    ExceptionGroup
        One exception for each failure, with the file's path as a note. All other files have been changed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from medcrypt import SecretKey, images
    >>> base, old, new = pathlib.Path(tempfile.mkdtemp()), SecretKey.generate(), SecretKey.generate()
    >>> (base / "study").mkdir()
    >>> _ = (base / "study" / "report.txt").write_bytes(b"no findings")
    >>> _ = images.encrypt_many(base / "study", old, base / "sealed")
    >>> [path.name for path in images.rotate(base / "sealed", old, new)]
    ['report.txt.mcrypt', 'medcrypt-manifest']
    >>> images.verify_many(base / "sealed", new)
    """
    outcomes = rotating(
        folder,
        old,
        new,
        reencrypted=reencrypted,
        context=context,
        sender=sender,
        signer=signer,
        any_sender=any_sender,
    )
    return paths_or_errors(outcomes, "given new recipients")


def rotating(
    folder: PathLike,
    old: OpeningKey | Sequence[OpeningKey],
    new: SealingKey | Iterable[SealingKey],
    *,
    reencrypted: bool = False,
    context: bytes = b"",
    sender: Recipient | None = None,
    signer: Identity | None = None,
    any_sender: bool = False,
) -> Iterator[Outcome]:
    """Do what `rotate` does, and yield what became of each file as soon as it is known."""
    folder, keys = Path(folder), as_recipients(new)
    openers = (old,) if isinstance(old, SecretKey | Identity | Passphrase) else tuple(old)
    if not openers:
        raise ValueError("at least one key is needed that opens the files")
    if (folder / JOURNAL).is_file():
        raise FileExistsError(errno.EEXIST, "the archive is not finished: seal the rest first", str(folder))
    sender = expected_sender(sender, signer, any_sender=any_sender)

    def change(path: Path) -> Path | None:
        changed = rotate_file(
            path,
            openers,
            keys,
            reencrypted=reencrypted,
            context=context,
            sender=sender,
            signer=signer,
            any_sender=any_sender,
        )
        return path if changed else None

    def change_manifest(path: Path) -> Path | None:
        opener = _opener(path, openers, keys, also_new=reencrypted)
        if opener is None:
            return None
        if not reencrypted:
            rewrap(path, opener, keys)
            return path
        expected = _expected(path, sender, signer)
        manifest = Manifest.load(folder, opener, context=context, sender=expected)
        if signer is None and inspect(path).signer is not None:
            raise ValueError("the manifest is signed: give a signer for the new one")
        entries = {source: _as_on_disk(folder, entry) for source, entry in manifest.entries.items()}
        Manifest(entries, manifest.failed).save(folder, keys, context=context, signer=signer)
        return path

    def run() -> Iterator[Outcome]:
        failed = number = 0
        for outcome in each_file(folder, change):
            number, failed = outcome.number, failed + (outcome.error is not None)
            yield replace(outcome, skipped=outcome.error is None and outcome.out is None)
        path = folder / MANIFEST
        if not path.is_file():
            return
        if failed:  # it still names the files by what the old keys open, and a second call needs it
            error: Exception | None = FormatError("stays as it is until every file has its new recipients")
            out = None
        else:
            out, error = tried(change_manifest, path)
        if error is not None:
            error.add_note(str(path))
        yield Outcome(path, out, error, number + 1, number + 1, skipped=error is None and out is None)

    return run()


def rotate_file(
    path: Path,
    old: Sequence[OpeningKey],
    new: Sequence[SealingKey],
    *,
    reencrypted: bool = False,
    context: bytes = b"",
    sender: Recipient | None = None,
    signer: Identity | None = None,
    any_sender: bool = False,
) -> bool:
    """Give one file new recipients as `rotate` does, and tell whether that was still to be done."""
    opener = _opener(path, old, new, also_new=reencrypted)
    if opener is None:
        return False
    if reencrypted:
        expected = _expected(path, sender, signer)
        reencrypt(path, opener, new, context=context, sender=expected, signer=signer, any_sender=any_sender)
    else:
        rewrap(path, opener, new)
    return True


def _expected(path: Path, sender: Recipient | None, signer: Identity | None) -> Recipient | None:
    """Return who has to have signed a file: the signer where it says so, as an interrupted call leaves it."""
    if sender is not None and signer is not None:
        own = signer.recipient
        if inspect(path).signer == own.verifying_key.hex():
            return own
    return sender


def _opener(
    path: Path, openers: Sequence[OpeningKey], new: Sequence[SealingKey], *, also_new: bool
) -> OpeningKey | None:
    """Return the first key that opens a file, or None where it has its new recipients already.

    With ``also_new``, a file that still opens is to be changed even if its recipients are the new ones: only its
    file key can be old then.

    Raises
    ------
    AuthenticationError
        No key opens the file, and its recipients are others.
    """
    with open_regular(path) as file:
        header, area = read_header(source_of(file))
    has_new = recipients.are_recipients(header, area, new)
    for key in openers:
        if _opens(header, area, key):
            by_name = has_new and not isinstance(key, Passphrase)  # one passphrase looks like another
            return None if by_name and not also_new else key
    if not has_new or any(isinstance(key, Passphrase) and not _opens(header, area, key) for key in new):
        raise AuthenticationError
    return None


def _opens(header: Header, area: bytes, key: OpeningKey) -> bool:
    """Tell whether a key opens a file, be it one where a change was interrupted."""
    try:
        recipients.open_slots(header, area, key, torn=True)
    except AuthenticationError:
        return False
    return True


def _as_on_disk(folder: Path, entry: Entry) -> Entry:
    """Return an entry with the digest that the sealed file has now; what it has to contain stays the same."""
    path = folder.joinpath(*relative(entry.out))
    if not path.is_file():
        return entry
    with open_regular(path) as file:
        data = contents(file)
        return replace(entry, sealed_size=data.size, sealed_sha256=sealed_digest(data))
