"""Folders as archives: every file sealed, by many workers, with a manifest that says what has to be there.

`encrypt_many` may be interrupted at any time: the next call goes on where it stopped. It reports at the end what went
wrong and loses nothing. `decrypt_many` restores a folder, `verify_many` checks one without writing. All three
take any `concurrent.futures.Executor` and keep only a few files in flight. Formats: ``docs/formats/archives.md``.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Self, TypeAlias, TypeVar

from medcrypt.durable import remove_partial_files
from medcrypt.errors import FormatError, MedcryptError
from medcrypt.images.manifest import Entry, Journal, Manifest, joined, relative
from medcrypt.images.reading import read_header
from medcrypt.images.recipients import OpeningKey, SealingKey, are_recipients, as_recipients
from medcrypt.images.sealed_files import (
    JOURNAL,
    MANIFEST,
    Describe,
    Outcome,
    Receipt,
    SealedFile,
    StoredName,
    as_file,
    contents,
    link_error,
    open_file,
    open_regular,
    paths_or_errors,
    place,
    refuse_links,
    seal_with_receipt,
    sealed_digest,
    sealed_name,
    two_folders,
    walk,
)
from medcrypt.images.sources import PathLike, source_of
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey
from medcrypt.keys.references import Key, Reference, resolve

__all__ = [
    "decrypt_many",
    "decrypting",
    "encrypt_many",
    "encrypting",
    "is_archive",
    "verify_many",
    "verifying",
]

Files: TypeAlias = PathLike | Iterable[PathLike]
KeyOrReference: TypeAlias = Key | Reference
Keys: TypeAlias = KeyOrReference | Sequence[KeyOrReference]
Progress: TypeAlias = Callable[[Outcome], object]
Task = TypeVar("Task")
Result = TypeVar("Result")

# What is wrong with one file, and no reason to stop: everything else is.
_COLLECTED = (MedcryptError, OSError, ValueError)


def encrypt_many(
    folder: Files,
    key: Keys,
    out: PathLike,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    in_flight: int | None = None,
    context: bytes = b"",
    signer: Identity | Reference | None = None,
    describe: Describe = as_file,
    opaque_names: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Seal every file below a folder, or some files, into an archive, with several workers.

    **Interrupted**, it goes on where it stopped when it is called again with the same arguments: what is done is
    not done again, and what was under way is replaced. Called again when all is done, it seals what is new; a
    file that has changed since needs ``overwrite``, and one that is gone from the folder stays in the archive.

    Symbolic links and special files are failures, since they are not in the archive. Empty folders leave no trace.

    Parameters
    ----------
    folder
        The folder to read; or the paths of files, which then are named from the deepest folder that holds them all.
        To continue their archive, give files that lie below the same one.
    out
        The archive. It may exist, but not inside ``folder``, and none of the files in it.
    key
        Who can open it: keys and recipients as for `encrypt`, or references to them (`medcrypt.keys.references`): the
        path of a key file, `KeyFile`, `KeyVariable`, or a function that returns a key. An identity stands for its
        recipient, and can open the manifest of an archive that is to be continued.
    executor
        Does the work: a ``ProcessPoolExecutor``, Dask's ``client.get_executor()``. To one whose workers are other
        processes, secrets are given as references only. By default, threads.
    jobs
        How many threads, where there is no executor: one for each core by default.
    in_flight
        How many files are handed out at a time; by default twice the jobs or cores, and for a cluster better twice
        its cores.
    context
        Bound to every file but not stored, as for `encrypt`.
    signer
        Signs every file and the manifest.
    describe
        ``describe(file, filename)`` returns the private metadata of a file, ``"content"`` among them.
    opaque_names
        Write all files into ``out`` itself under random names; names and folders are restored on opening.
    overwrite
        Replace sealed files whose source has changed, and files that are in the way.
    progress
        Called with each `Outcome` as soon as it is known.

    Returns
    -------
    list of Path
        The sealed files of this call, without those that an earlier call has made.

    Raises
    ------
    ExceptionGroup
        One exception for each failure, with the file's path as a note. Everything else has been sealed, and the
        manifest names the failures too.
    FileExistsError
        ``out`` is a finished archive, and none of the keys opens its manifest or its recipients are others: `rotate`
        gives it new ones.
    BlockingIOError
        Another call is writing this archive.
    TypeError
        A secret was to travel to another process.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from medcrypt import SecretKey, images
    >>> base, key = pathlib.Path(tempfile.mkdtemp()), SecretKey.generate()
    >>> (base / "study").mkdir()
    >>> for number in range(3):
    ...     _ = (base / "study" / f"{number}.dcm").write_bytes(bytes(1000))
    >>> len(images.encrypt_many(base / "study", key, base / "sealed"))
    3
    >>> len(images.encrypt_many(base / "study", key, base / "sealed"))
    0
    >>> len(images.decrypt_many(base / "sealed", key, base / "back"))
    3
    """
    outcomes = encrypting(
        folder,
        key,
        out,
        executor=executor,
        jobs=jobs,
        in_flight=in_flight,
        context=context,
        signer=signer,
        describe=describe,
        opaque_names=opaque_names,
        overwrite=overwrite,
    )
    return paths_or_errors(_told(outcomes, progress), "sealed")


def decrypt_many(
    folder: PathLike,
    key: Keys,
    out: PathLike,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    in_flight: int | None = None,
    context: bytes = b"",
    sender: Recipient | None = None,
    manifest_needed: bool | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Restore the folder that `encrypt_many` has sealed, with several workers.

    Each file gets the name and the folders that it had. Where the archive has a manifest, a file that is missing,
    was replaced or does not belong to it is a failure, and a file that is there already, with the right
    contents, is left as it is: so an interrupted call can be repeated. A folder of sealed files without a manifest is
    opened file by file, unless ``sender`` is given: a signature says who sealed a file, not that none is missing.

    Parameters
    ----------
    folder, out
        The archive, and the folder to write. ``out`` may exist, but not inside ``folder``.
    key
        A key that opens them, several to try, or references, as for `encrypt_many`.
    executor, jobs, in_flight, progress
        As for `encrypt_many`.
    context, sender
        As for `decrypt`.
    manifest_needed
        Open nothing unless there is a manifest, and an authentic one. By default so if there is a ``sender``.
    overwrite
        Replace existing files.

    Returns
    -------
    list of Path
        The files that were written.

    Raises
    ------
    ExceptionGroup
        One exception for each failure, with the file's path as a note. Everything else has been restored.
    AuthenticationError, FormatError
        The manifest is needed, and is missing, not for these keys, or not what was written. Nothing has been opened.
    """
    outcomes = decrypting(
        folder,
        key,
        out,
        executor=executor,
        jobs=jobs,
        in_flight=in_flight,
        context=context,
        sender=sender,
        manifest_needed=manifest_needed,
        overwrite=overwrite,
    )
    return paths_or_errors(_told(outcomes, progress), "opened")


def verify_many(
    folder: PathLike,
    key: Keys,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    in_flight: int | None = None,
    context: bytes = b"",
    sender: Recipient | None = None,
    progress: Progress | None = None,
) -> None:
    """Authenticate every byte of an archive, and that nothing is missing, replaced or added.

    An older state of the whole archive, its manifest included, is not noticed: nothing inside can tell.

    Parameters
    ----------
    folder
        The archive.
    key, executor, jobs, in_flight, context, sender, progress
        As for `decrypt_many`.

    Raises
    ------
    ExceptionGroup
        One exception for each failure, with the file's path as a note. A folder without a manifest is one.
    """
    outcomes = verifying(
        folder, key, executor=executor, jobs=jobs, in_flight=in_flight, context=context, sender=sender
    )
    paths_or_errors(_told(outcomes, progress), "verified")


def is_archive(folder: PathLike) -> bool:
    """Tell whether a folder is an archive, finished or not."""
    return any(Path(folder, name).is_file() for name in (MANIFEST, JOURNAL))


# ---- sealing ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Sealing:
    """How a worker seals a file: all of it can be pickled where the keys are references or public."""

    keys: tuple[KeyOrReference, ...]
    context: bytes
    signer: Identity | Reference | None
    describe: Describe


@dataclass(frozen=True, slots=True)
class _Sources:
    """What is to be sealed: everything below a folder, or some files that lie below it."""

    folder: Path
    files: tuple[Path, ...] | None = None

    @classmethod
    def of(cls, given: Files) -> Self:
        """Take what the caller gave."""
        if isinstance(given, str | os.PathLike):
            if not Path(given).is_dir():
                raise NotADirectoryError(errno.ENOTDIR, "not a folder", str(given))
            return cls(Path(given))
        files = [Path(os.path.abspath(path)) for path in given]
        if not files or len(set(files)) < len(files):
            raise ValueError("at least one file is needed, and each only once")
        return cls(Path(os.path.commonpath([path.parent for path in files])), tuple(files))

    def beside(self, out: PathLike, *, absolute: bool) -> tuple[Self, Path]:
        """Return the sources, and the archive, in which none of them lies."""
        out = Path(out)
        if self.files is None:
            two_folders(self.folder, out)
        elif any(path.parent.resolve().is_relative_to(out.resolve()) for path in self.files):
            raise ValueError("a file lies in the folder that is to be written")
        if not absolute:
            return self, out
        return replace(self, folder=Path(os.path.abspath(self.folder))), Path(os.path.abspath(out))

    def walk(self) -> Iterator[tuple[Path, Exception | None]]:
        """Yield the files in a stable order, and as errors what cannot be read or followed."""
        if self.files is None:
            return walk(self.folder)
        return ((path, link_error(path) if path.is_symlink() else None) for path in self.files)


@dataclass(frozen=True, slots=True)
class _Source:
    """One file to be sealed."""

    path: Path
    name: StoredName
    out: Path
    overwrite: bool


@dataclass(slots=True)
class _Archive:
    """What is known of the archive while a run goes on: the coordinator's, never a worker's."""

    sources: _Sources
    out: Path
    journal: Journal
    opaque: bool
    overwrite: bool
    before: dict[str, Entry]
    entries: dict[str, Entry] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def plan(self, source: Path) -> Entry | _Source:
        """Return what an earlier run has made of a source, or what is to be done."""
        found = source.stat()
        name = StoredName.of(source.relative_to(self.sources.folder))
        path, state = self.path_of(source), (found.st_size, found.st_mtime_ns)
        noted, old = self.journal.entry(path, *state), self.before.get(path)
        # A manifest is authenticated; a journal may be anybody's, so its word on the contents is checked.
        if (
            noted is not None
            and noted.is_of(*state)
            and self._is_there(noted)
            and noted.sha256 == _sha256(source)
        ):
            return noted
        if old is not None and old.is_of(*state) and self._is_there(old):
            return old
        begun = self.journal.begun(path, *state) or (old.out if old is not None else None)
        out = begun if self.opaque and begun is not None else self._new_out(name)
        ours = out in self.journal.outs
        target = self.out.joinpath(*relative(out))
        refuse_links(self.out, target)
        if not (ours or self.overwrite) and os.path.lexists(target):
            reason = (
                "exists, and is not of this archive" if old is None else "was sealed before, and has changed"
            )
            raise FileExistsError(errno.EEXIST, reason, str(source if old is not None else target))
        self.journal.begin(path, *state, out)
        return _Source(source, name, target, overwrite=True if ours else self.overwrite)

    def note(self, source: _Source, receipt: Receipt) -> None:
        """Note that a source has been sealed: for the manifest, then for a run that goes on after this one."""
        path = self.path_of(source.path)
        entry = Entry.of(path, joined(source.out.relative_to(self.out)), receipt)
        self.entries[path] = entry
        self.journal.done(path, receipt.size, receipt.mtime_ns, entry)

    def path_of(self, source: Path) -> str:
        """Return what a manifest calls a source."""
        return joined(source.relative_to(self.sources.folder))

    def manifest(self) -> Manifest:
        """Return the manifest: what this run has found or made, and what was there before."""
        entries = {**self.before, **self.entries}
        return Manifest(entries, {path: error for path, error in self.failed.items() if path not in entries})

    def strays(self, manifest: Manifest) -> list[str]:
        """Return what earlier runs have sealed of files that are no longer as they were."""
        outs = manifest.by_out()
        return sorted(
            out
            for out in self.journal.outs
            if out not in outs and os.path.lexists(self.out.joinpath(*relative(out)))
        )

    def _is_there(self, entry: Entry) -> bool:
        path = self.out.joinpath(*relative(entry.out))
        with contextlib.suppress(OSError):
            refuse_links(self.out, path)
            found = path.lstat()
            return stat.S_ISREG(found.st_mode) and found.st_size == entry.sealed_size
        return False

    def _new_out(self, name: StoredName) -> str:
        parts = () if self.opaque else name.folders
        return "/".join((*parts, sealed_name(name.filename, opaque=self.opaque)))


def encrypting(
    folder: Files,
    key: Keys,
    out: PathLike,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    in_flight: int | None = None,
    context: bytes = b"",
    signer: Identity | Reference | None = None,
    describe: Describe = as_file,
    opaque_names: bool = False,
    overwrite: bool = False,
) -> Iterator[Outcome]:
    """Do what `encrypt_many` does, and yield what became of each file as soon as it is known.

    The manifest is written when the last outcome has been taken; before that the run counts as interrupted.
    """
    sources, out = _Sources.of(folder).beside(out, absolute=executor is not None)
    references = _as_tuple(key)
    held = [resolve(one) for one in references]
    recipients = as_recipients([one.recipient if isinstance(one, Identity) else one for one in held])
    signing = None if signer is None else resolve(signer)
    if signing is not None and not isinstance(signing, Identity):
        raise TypeError("the signer must be an Identity")
    sealing = _Sealing(references, context, signer, describe)
    binding = hashlib.sha256(context).digest() + bytes([opaque_names])
    binding += signing.recipient.verifying_key if signing is not None else b""

    def run() -> Iterator[Outcome]:
        out.mkdir(parents=True, exist_ok=True)
        with Journal.open(out, recipients, binding) as journal:
            remove_partial_files(out)  # of runs that were killed: the journal's lock keeps others out
            before = _manifest_before(out, journal, _openers(held), recipients, context, signing)
            archive = _Archive(sources, out, journal, opaque_names, overwrite, before)
            with _workers(executor, jobs, in_flight) as (pool, most):
                yield from _seal_all(archive, partial(_seal_one, sealing), pool, most)
            manifest = archive.manifest()
            strays = archive.strays(manifest)
            manifest.save(out, recipients, context=context, signer=signing)
            (out / JOURNAL).unlink()
        for stray in strays:
            error = FormatError("was sealed by an earlier run, and its source has changed or gone since")
            path = out.joinpath(*relative(stray))
            error.add_note(str(path))
            yield Outcome(path, None, error, len(manifest.entries), len(manifest.entries))

    return run()


def _seal_all(
    archive: _Archive, work: Callable[[_Source], Receipt], pool: Executor, most: int
) -> Iterator[Outcome]:
    """Plan every file, hand it out, and note what came back."""
    found = list(archive.sources.walk())
    number = 0

    def outcome(source: Path, out: Path | None, error: Exception | None, *, skipped: bool = False) -> Outcome:
        nonlocal number
        number += 1
        if error is not None:
            error.add_note(str(source))
            archive.failed[archive.path_of(source)] = str(error) or type(error).__name__
        return Outcome(source, out, error, number, len(found), skipped)

    def planned() -> Iterator[_Source | Outcome]:
        for source, obstacle in found:
            if obstacle is not None:
                yield outcome(source, None, obstacle)
                continue
            try:
                plan = archive.plan(source)
            except _COLLECTED as error:
                yield outcome(source, None, error)
                continue
            if isinstance(plan, Entry):
                archive.entries[plan.path] = plan
                yield outcome(source, None, None, skipped=True)
            else:
                yield plan

    for task in _in_flight(planned(), work, pool, most):
        if isinstance(task, Outcome):
            yield task
            continue
        source, result = task
        if isinstance(result, Exception):
            yield outcome(source.path, None, result)
            continue
        try:
            archive.note(source, result)
        except _COLLECTED as error:
            yield outcome(source.path, None, error)
        else:
            yield outcome(source.path, source.out, None)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _seal_one(sealing: _Sealing, source: _Source) -> Receipt:
    """Seal one file; this runs in the worker."""
    keys = [resolve(key) for key in sealing.keys]
    signer = None if sealing.signer is None else resolve(sealing.signer)
    source.out.parent.mkdir(parents=True, exist_ok=True)
    return seal_with_receipt(
        source.path,
        as_recipients([key.recipient if isinstance(key, Identity) else key for key in keys]),
        source.out,
        name=source.name,
        describe=sealing.describe,
        context=sealing.context,
        signer=signer if isinstance(signer, Identity) else None,
        overwrite=source.overwrite,
        threads=1,
    )


def _manifest_before(
    out: Path,
    journal: Journal,
    openers: list[OpeningKey],
    recipients: Sequence[SealingKey],
    context: bytes,
    signer: Identity | None,
) -> dict[str, Entry]:
    """Return the entries of an archive that was finished once and is to be continued."""
    if not journal.continues:
        return {}  # a manifest beside it was written by this very run, which then had no time to end
    sender, entries = None if signer is None else signer.recipient, None
    if openers:
        with contextlib.suppress(MedcryptError):
            entries = Manifest.load(out, openers, context=context, sender=sender).entries
    if entries is not None and _is_for(out / MANIFEST, recipients):
        return entries
    if not journal.outs:
        (out / JOURNAL).unlink()
    if entries is None:
        message = (
            "a finished archive: to go on, give a key that opens its manifest, and the context and signer"
        )
    else:
        message = (
            "a finished archive for other recipients: rotate its keys first, then go on with the new ones"
        )
    raise FileExistsError(errno.EEXIST, message, str(out))


def _is_for(path: Path, recipients: Sequence[SealingKey]) -> bool:
    """Tell whether these and nobody else are the recipients of a sealed file."""
    with open_regular(path) as file:
        return are_recipients(*read_header(source_of(file)), recipients)


# ---- opening ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Opening:
    """How a worker opens a file."""

    keys: tuple[KeyOrReference, ...]
    context: bytes
    sender: Recipient | None
    folder: Path
    out: Path | None
    overwrite: bool


@dataclass(frozen=True, slots=True)
class _Sealed:
    """One sealed file, and what the manifest says about it, if there is one."""

    path: Path
    entry: Entry | None


def decrypting(
    folder: PathLike,
    key: Keys,
    out: PathLike,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    in_flight: int | None = None,
    context: bytes = b"",
    sender: Recipient | None = None,
    manifest_needed: bool | None = None,
    overwrite: bool = False,
) -> Iterator[Outcome]:
    """Do what `decrypt_many` does, and yield what became of each file as soon as it is known."""
    folder, out = two_folders(folder, out)
    if executor is not None:  # workers may be somewhere else
        folder, out = Path(os.path.abspath(folder)), Path(os.path.abspath(out))
    opening = _Opening(_as_tuple(key), context, sender, folder, out, overwrite)
    needed = sender is not None if manifest_needed is None else manifest_needed
    return _open_all(opening, _open_one, executor, jobs, in_flight, manifest_needed=needed)


def verifying(
    folder: PathLike,
    key: Keys,
    *,
    executor: Executor | None = None,
    jobs: int | None = None,
    in_flight: int | None = None,
    context: bytes = b"",
    sender: Recipient | None = None,
    manifest_needed: bool = True,
) -> Iterator[Outcome]:
    """Do what `verify_many` does, and yield what became of each file as soon as it is known.

    With ``manifest_needed`` false, a folder without a manifest is no failure.
    """
    folder = Path(folder) if executor is None else Path(os.path.abspath(folder))
    opening = _Opening(_as_tuple(key), context, sender, folder, None, overwrite=False)
    return _open_all(opening, _verify_one, executor, jobs, in_flight, manifest_needed=manifest_needed)


def _open_all(
    opening: _Opening,
    work: Callable[[_Opening, _Sealed], Path | None],
    executor: Executor | None,
    jobs: int | None,
    in_flight: int | None,
    *,
    manifest_needed: bool,
) -> Iterator[Outcome]:
    """Hand out every sealed file, and compare the folder with its manifest."""
    folder, openers = opening.folder, _openers([resolve(key) for key in opening.keys])
    if not openers:
        raise ValueError("at least one key is needed that opens: a recipient only seals")

    def run() -> Iterator[Outcome]:
        manifest: Manifest | None = None
        loose: list[tuple[Path, Exception]] = []
        try:
            if (folder / MANIFEST).is_file():
                manifest = Manifest.load(folder, openers, context=opening.context, sender=opening.sender)
        except _COLLECTED as error:
            if manifest_needed and opening.out is not None:
                raise
            loose = [(folder / MANIFEST, error)]  # the files can be opened all the same, and are
        found = [
            item for item in walk(folder) if joined(item[0].relative_to(folder)) not in {MANIFEST, JOURNAL}
        ]
        expected = {} if manifest is None else manifest.by_out()
        loose = loose or list(_missing(folder, manifest, found, needed=manifest_needed))
        if manifest_needed and manifest is None and opening.out is not None:
            raise loose[0][1]
        number, total = 0, len(found) + len(loose)

        def outcome(
            path: Path, out: Path | None, error: Exception | None, *, skipped: bool = False
        ) -> Outcome:
            nonlocal number
            number += 1
            if error is not None:
                error.add_note(str(path))
            return Outcome(path, out, error, number, total, skipped)

        def planned() -> Iterator[_Sealed | Outcome]:
            for path, obstacle in found:
                entry = expected.get(joined(path.relative_to(folder)))
                if obstacle is not None:
                    yield outcome(path, None, obstacle)
                elif manifest is not None and entry is None:
                    yield outcome(path, None, FormatError("is not in the archive's manifest"))
                else:
                    yield _Sealed(path, entry)

        with _workers(executor, jobs, in_flight) as (pool, most):
            for task in _in_flight(planned(), partial(work, opening), pool, most):
                if isinstance(task, Outcome):
                    yield task
                    continue
                sealed, result = task
                failed = result if isinstance(result, Exception) else None
                written = result if isinstance(result, Path) else None
                skipped = opening.out is not None and failed is None and written is None
                yield outcome(sealed.path, written, failed, skipped=skipped)
        for path, obstacle in loose:
            yield outcome(path, None, obstacle)

    return run()


def _missing(
    folder: Path, manifest: Manifest | None, found: Iterable[tuple[Path, object]], *, needed: bool
) -> Iterator[tuple[Path, Exception]]:
    """Yield what should be there and is not."""
    if manifest is None:
        if (folder / JOURNAL).is_file():
            yield folder / JOURNAL, FormatError("the archive is not finished: call encrypt_many once more")
        elif needed:
            yield (
                folder / MANIFEST,
                FormatError("there is no manifest: nobody can tell whether files are missing"),
            )
        return
    there = {joined(path.relative_to(folder)) for path, _ in found}
    for out in sorted(manifest.by_out().keys() - there):
        yield folder.joinpath(*relative(out)), FormatError("is missing: the archive's manifest names it")
    for path, error in sorted(manifest.failed.items()):
        yield Path(path), FormatError(f"is not in the archive: {error}")


def _open_one(opening: _Opening, sealed: _Sealed) -> Path | None:
    """Restore one file, unless it is there already; this runs in the worker."""
    out = opening.out
    if out is None:
        raise ValueError("there is no folder to write to")
    if sealed.entry is not None and not opening.overwrite:
        target = out.joinpath(*relative(sealed.entry.path))
        if target.is_file() and _holds(target, sealed.entry):
            return None
    with _opened(opening, sealed) as file:
        target = place(out, sealed.path.relative_to(opening.folder), file)
        if sealed.entry is not None and target != out.joinpath(*relative(sealed.entry.path)):
            raise FormatError("has another name than the archive's manifest says")
        target.parent.mkdir(parents=True, exist_ok=True)
        expected = None if sealed.entry is None else sealed.entry.sha256
        file.save(target, overwrite=opening.overwrite, sha256=expected)
    return target


def _verify_one(opening: _Opening, sealed: _Sealed) -> Path | None:
    """Authenticate one file without writing; this runs in the worker."""
    with _opened(opening, sealed) as file:
        if sealed.entry is None:
            file.verify()
        elif file.sha256() != sealed.entry.sha256:
            raise FormatError("is another file than the archive's manifest names")
    return None


@contextlib.contextmanager
def _opened(opening: _Opening, sealed: _Sealed) -> Generator[SealedFile]:
    """Open a sealed file that is the one of the manifest."""
    with open_regular(sealed.path) as source:
        if sealed.entry is not None:
            data = contents(source)
            if (data.size, sealed_digest(data)) != (sealed.entry.sealed_size, sealed.entry.sealed_sha256):
                raise FormatError("is another file than the archive's manifest names")
            source.seek(0)
        keys = _openers([resolve(key) for key in opening.keys])
        with open_file(source, keys, context=opening.context, sender=opening.sender) as file:
            yield file


def _holds(path: Path, entry: Entry) -> bool:
    """Tell whether a file has the contents that it should have."""
    if path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256


# ---- workers ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _workers(
    executor: Executor | None, jobs: int | None, in_flight: int | None
) -> Generator[tuple[Executor, int]]:
    """Lend the caller's executor or threads of our own, and say how many files may be in flight."""
    if executor is not None and jobs is not None:
        raise ValueError("jobs are the threads of no executor: give one of the two")
    jobs = (os.cpu_count() or 1) if jobs is None else jobs
    most = 2 * jobs if in_flight is None else in_flight
    if jobs < 1 or most < 1:
        raise ValueError("jobs and in_flight must be at least 1")
    if executor is not None:
        yield executor, most
        return
    with ThreadPoolExecutor(jobs, thread_name_prefix="medcrypt") as threads:
        yield threads, most


def _in_flight(
    tasks: Iterable[Task | Outcome], work: Callable[[Task], Result], pool: Executor, most: int
) -> Iterator[tuple[Task, Result | Exception] | Outcome]:
    """Yield each task with its result, or with what went wrong, never more than ``most`` being out at a time.

    Outcomes among the tasks are passed through. What is not wrong with one file, such as a worker that died or a
    key that does not travel, is raised.
    """
    pending: dict[Future[Result], Task] = {}
    try:
        for task in tasks:
            if isinstance(task, Outcome):
                yield task
                continue
            pending[pool.submit(work, task)] = task
            while len(pending) >= most:
                yield from _finished(pending)
        while pending:
            yield from _finished(pending)
    finally:  # nobody writes any more when the journal is let go
        for future in pending:
            future.cancel()
        wait(pending)


def _finished(
    pending: dict[Future[Result], Task],
) -> Iterator[tuple[Task, Result | Exception]]:
    """Wait for at least one, and take those that are done."""
    done, _ = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        task = pending.pop(future)
        try:
            yield task, future.result()
        except _COLLECTED as error:
            yield task, error


def _told(outcomes: Iterable[Outcome], progress: Progress | None) -> Iterator[Outcome]:
    for outcome in outcomes:
        if progress is not None:
            progress(outcome)
        yield outcome


def _as_tuple(key: Keys) -> tuple[KeyOrReference, ...]:
    single = isinstance(key, SecretKey | Identity | Recipient | Passphrase | str | os.PathLike) or callable(
        key
    )
    return (key,) if single else tuple(key)  # type: ignore[return-value, arg-type]


def _openers(held: Iterable[Key]) -> list[OpeningKey]:
    """Return the keys that open, without those that only seal."""
    return [key for key in held if not isinstance(key, Recipient)]
