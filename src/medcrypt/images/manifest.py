"""The manifest of an archive, which says what has to be there; and the journal of a run that is not finished.

A sealed file proves that it was not changed, but not that it is the one that belongs there, nor that none is
missing. The manifest names every file with its digests. It is itself a sealed file, for the same recipients and with
the same signature, and lies in the archive under the name ``medcrypt-manifest``, which no sealed file can have.

While a run is not finished, the journal says what it has done, so that the next run goes on from there. It lies in
the archive too, so it tells nobody anything who does not know it already: an entry is encrypted under a key derived
from the path, size and time of its source. Formats: ``docs/formats/archives.md``.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from io import FileIO
from pathlib import Path
from typing import Any, Self

from medcrypt.durable import new_file
from medcrypt.errors import AuthenticationError, FormatError
from medcrypt.images import cobblestone
from medcrypt.images.recipients import OpeningKey, SealingKey
from medcrypt.images.sealed_files import JOURNAL, MANIFEST, Receipt, StoredName, open_file, seal_bytes
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey
from medcrypt.keys.derivation import expand
from medcrypt.keys.secret import KEY_BYTES

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["Entry", "Journal", "Manifest", "joined", "relative"]

_VERSION = 1
_SALT_BYTES, _TOKEN_BYTES = 32, 16
_LABEL_ROOT = b"medcrypt/v1/journal-root"
_LABEL_ENTRY = b"medcrypt/v1/journal-entry"
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive.

    Parameters
    ----------
    path
        Of the source, relative to the folder that was sealed, joined by ``/``.
    out
        Of the sealed file, relative to the archive, joined by ``/``.
    size, mtime_ns, sha256, sealed_size, sealed_sha256
        As for `medcrypt.images.sealed_files.Receipt`.
    """

    path: str
    out: str
    size: int
    mtime_ns: int
    sha256: str
    sealed_size: int
    sealed_sha256: str

    def __post_init__(self) -> None:
        for path in (self.path, self.out):
            if not isinstance(path, str):
                raise FormatError("a path in the manifest is not text")
            relative(path)
        for digest in (self.sha256, self.sealed_sha256):
            if not isinstance(digest, str) or len(digest) != 64 or not set(digest) <= _HEX:
                raise FormatError("a digest in the manifest is none")
        if not all(type(number) is int for number in (self.size, self.mtime_ns, self.sealed_size)):
            raise FormatError("a number in the manifest is none")
        if self.size < 0 or self.sealed_size <= 0:
            raise FormatError("a size in the manifest is negative")

    @classmethod
    def of(cls, path: str, out: str, receipt: Receipt) -> Self:
        """Take what the sealing of a file has given."""
        return cls(path, out, **asdict(receipt))

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Parse one line strictly."""
        if not isinstance(value, dict) or value.keys() != {field.name for field in fields(cls)}:
            raise FormatError("a line of the manifest has other fields")
        return cls(**value)

    def is_of(self, size: int, mtime_ns: int) -> bool:
        """Tell whether this is the source as it is now."""
        return (self.size, self.mtime_ns) == (size, mtime_ns)


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every file of an archive.

    Parameters
    ----------
    entries
        By the paths of their sources.
    failed
        What is not in the archive although it should be: paths and reasons.
    """

    entries: dict[str, Entry]
    failed: dict[str, str]

    def by_out(self) -> dict[str, Entry]:
        """Return the entries by the paths of the sealed files."""
        return {entry.out: entry for entry in self.entries.values()}

    def to_bytes(self) -> bytes:
        """Return JSON lines: a head, the files by path, then what failed by path."""
        head = {
            "medcrypt": "manifest",
            "version": _VERSION,
            "files": len(self.entries),
            "failed": len(self.failed),
        }
        lines: list[dict[str, Any]] = [head]
        lines += [asdict(entry) for _, entry in sorted(self.entries.items())]
        lines += [{"path": path, "error": error} for path, error in sorted(self.failed.items())]
        return b"".join(map(_line, lines))

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Parse strictly: exactly one byte string gives each manifest.

        Raises
        ------
        FormatError
            It is none, or names a file twice, or one outside of the archive.
        """
        try:
            head, *lines = [json.loads(line) for line in data.splitlines()]
        except (ValueError, RecursionError):
            raise FormatError("the manifest is not made of JSON lines") from None
        if not isinstance(head, dict) or head.get("medcrypt") != "manifest":
            raise FormatError("not a manifest")
        if head.get("version") != _VERSION:
            raise FormatError("a manifest of another version: made by a newer medcrypt")
        count = head.get("files")
        if type(count) is not int or not 0 <= count <= len(lines):
            raise FormatError("the manifest has fewer lines than it says")
        entries = [Entry.from_json(line) for line in lines[:count]]
        failed = [_failure(line) for line in lines[count:]]
        manifest = cls({entry.path: entry for entry in entries}, dict(failed))
        if len(manifest.by_out()) != count or manifest.to_bytes() != data:
            raise FormatError("the manifest is not in its canonical form, or names a file twice")
        return manifest

    def save(
        self,
        folder: Path,
        key: Sequence[SealingKey],
        *,
        context: bytes = b"",
        signer: Identity | None = None,
    ) -> None:
        """Write it into an archive, in place of an older one."""
        sealed = seal_bytes(
            self.to_bytes(),
            key,
            describe=lambda _file, _name: {"content": "manifest"},
            context=context,
            signer=signer,
        )
        with new_file(folder / MANIFEST, overwrite=True) as file:
            file.write(sealed)

    @classmethod
    def load(
        cls,
        folder: Path,
        key: OpeningKey | Sequence[OpeningKey],
        *,
        context: bytes = b"",
        sender: Recipient | None = None,
    ) -> Self:
        """Read the manifest of an archive, authenticated.

        Raises
        ------
        AuthenticationError, FormatError
            It is not what was written, or not for this key.
        """
        with open_file(folder / MANIFEST, key, context=context, sender=sender) as file:
            if file.content != "manifest":
                raise FormatError("the archive's manifest is some other sealed file")
            return cls.from_bytes(file.read())


def relative(path: str) -> tuple[str, ...]:
    """Return the parts of a stored relative path, or raise `FormatError` where it is not plain."""
    *folders, name = path.split("/")
    StoredName(name, tuple(folders))  # checks each part
    return (*folders, name)


def joined(path: Path) -> str:
    """Return a relative path as manifests store it."""
    return "/".join(path.parts)


class Journal:
    """What a run that is not finished has begun and done; made by `open`.

    Attributes
    ----------
    outs
        The sealed files that this archive's unfinished runs have begun: they may be replaced.
    continues
        Whether the archive had a manifest when the journal was begun.
    """

    def __init__(self, file: FileIO, keys: Sequence[SealingKey], binding: bytes, *, finished: bool) -> None:
        self._file = file
        lines = _whole_lines(file)
        if not lines:
            head = {"medcrypt": "journal", "version": _VERSION, "continues": finished}
            lines = [{**head, "salt": os.urandom(_SALT_BYTES).hex()}]
            self._append(lines[0], durable=True)
        salt, self.continues = _parsed_head(lines[0])
        self._root = _root(salt, keys, binding)
        # Two passphrases have the same root, so nothing tells under which of them a file was sealed.
        self._resumes = not any(isinstance(key, Passphrase) for key in keys)
        self._begun: dict[str, str] = {}
        self._done: dict[str, str] = {}
        for line in lines[1:]:
            self._take(line)
        self.outs = set(self._begun.values())

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, keys: Sequence[SealingKey], binding: bytes = b"") -> Iterator[Self]:
        """Open the journal of an archive, a new one if there is none, and keep other runs out.

        Parameters
        ----------
        folder
            The archive.
        keys, binding
            For whom its files are sealed, and everything else that makes them what they are: what a run with other
            keys or another binding has done does not count.

        Raises
        ------
        BlockingIOError
            Another run is at work.
        FormatError
            The journal is damaged.
        """
        with _opened_alone(folder / JOURNAL) as file:
            yield cls(file, keys, binding, finished=(folder / MANIFEST).is_file())

    def begin(self, path: str, size: int, mtime_ns: int, out: str) -> None:
        """Note that a file is about to be sealed, before anything of it appears."""
        token, _ = self._derived(path, size, mtime_ns)
        self._append({"begin": token, "out": out}, durable=True)
        self._begun[token] = out
        self.outs.add(out)

    def done(self, path: str, size: int, mtime_ns: int, entry: Entry) -> None:
        """Note that a file has been sealed."""
        token, key = self._derived(path, size, mtime_ns)
        if token not in self._begun:  # it changed before its turn came
            self.begin(path, size, mtime_ns, entry.out)
        wrapped = cobblestone.encrypt(key, _line(asdict(entry)), _LABEL_ENTRY, threads=1)
        self._append({"done": token, "entry": base64.b64encode(wrapped).decode("ascii")}, durable=False)

    def entry(self, path: str, size: int, mtime_ns: int) -> Entry | None:
        """Return what an earlier run has made of a source as it is now, or None; under a passphrase always None."""
        token, key = self._derived(path, size, mtime_ns)
        if token not in self._done or not self._resumes:
            return None
        try:
            wrapped = base64.b64decode(self._done[token])
            entry = Entry.from_json(json.loads(cobblestone.decrypt(key, wrapped, _LABEL_ENTRY, threads=1)))
        except (AuthenticationError, FormatError, ValueError):
            return None  # damaged: it is made anew
        return entry if entry.path == path and entry.out == self._begun[token] else None

    def begun(self, path: str, size: int, mtime_ns: int) -> str | None:
        """Return where an earlier run has begun to seal a source as it is now, or None."""
        return self._begun.get(self._derived(path, size, mtime_ns)[0])

    def _derived(self, path: str, size: int, mtime_ns: int) -> tuple[str, bytes]:
        """Return what names a source and the key of its entry: both tell nothing to who cannot guess all three."""
        source = json.dumps([path, size, mtime_ns]).encode("ascii")
        output = expand(self._root, _LABEL_ENTRY + source, _TOKEN_BYTES + KEY_BYTES)
        return output[:_TOKEN_BYTES].hex(), output[_TOKEN_BYTES:]

    def _take(self, line: object) -> None:
        match line:
            case {"begin": str(token), "out": str(out)}:
                relative(out)
                self._begun[token] = out
                self._done.pop(token, None)  # it is made anew
            case {"done": str(token), "entry": str(entry)} if token in self._begun:
                self._done[token] = entry
            case _:
                raise FormatError("the journal is damaged")

    def _append(self, line: dict[str, Any], *, durable: bool) -> None:
        end, rest = self._file.tell(), _line(line)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            if durable:
                os.fsync(self._file.fileno())
        except OSError:  # a full disk: half a line would spoil those that follow
            self._file.truncate(end)
            self._file.seek(end)
            raise


@contextlib.contextmanager
def _opened_alone(path: Path) -> Iterator[FileIO]:
    """Open the journal, unbuffered, and keep other runs out until the end.

    The other run may end, and so remove its journal, after ours has opened it and before ours has the lock; then
    there is none, or a new one.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
    while True:
        with FileIO(os.open(path, flags, 0o600), "r+") as file:
            _lock(file, path)
            if _is_at(file, path):
                yield file
                return


def _lock(file: FileIO, path: Path) -> None:
    """Take the lock, or raise ``BlockingIOError`` where another run has it."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)  # released when the file is closed
    except BlockingIOError:
        message = "another run is writing this archive"
        raise BlockingIOError(errno.EWOULDBLOCK, message, str(path.parent)) from None
    except OSError:  # a file system without locks
        pass


def _is_at(file: FileIO, path: Path) -> bool:
    """Tell whether an open file is the one that a path names now."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _parsed_head(head: object) -> tuple[bytes, bool]:
    """Return the salt of a journal, and whether it continues a finished archive."""
    match head:
        case {"medcrypt": "journal", "version": 1, "salt": str(text), "continues": bool(continues)}:
            with contextlib.suppress(ValueError):
                if len(salt := bytes.fromhex(text)) == _SALT_BYTES:
                    return salt, continues
    raise FormatError("the journal is damaged, or was made by a newer medcrypt")


def _root(salt: bytes, keys: Sequence[SealingKey], binding: bytes) -> bytes:
    """Return the key of a journal: secret where there is a secret key, else as public as the recipients are."""
    # The same whichever order the keys are given in. A passphrase has no fingerprint; it is alone.
    named = sorted((key for key in keys if not isinstance(key, Passphrase)), key=lambda key: key.fingerprint)
    secrets = [key.to_bytes() for key in named if isinstance(key, SecretKey)]
    info = _LABEL_ROOT + salt + b"".join(key.fingerprint for key in named) + binding
    return expand(secrets[0] if secrets else salt, info, KEY_BYTES)


def _whole_lines(file: FileIO) -> list[Any]:
    """Return the lines of a journal; what a crash has left half-written at the end is cut off."""
    data = file.read()
    whole = data.rfind(b"\n") + 1
    file.seek(whole)
    file.truncate()
    try:
        return [json.loads(line) for line in data[:whole].splitlines()]
    except (ValueError, RecursionError):
        raise FormatError("the journal is damaged") from None


def _failure(line: object) -> tuple[str, str]:
    match line:
        case {"path": str(path), "error": str(error)}:
            return path, error
        case _:
            raise FormatError("a line of the manifest has other fields")


def _line(value: dict[str, Any]) -> bytes:
    """Return one line of JSON. Names that are not UTF-8 survive as lone surrogates, escaped."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
