"""The journal of an archive that was left unfinished: it may be anybody's, and only its own entries count."""

import tempfile
from pathlib import Path

from medcrypt.images.manifest import Entry, Journal
from medcrypt.images.sealed_files import JOURNAL
from medcrypt.keys import SecretKey

KEY = SecretKey.from_bytes(bytes(range(32)))
SOURCES = [("a/1.dcm", 3, 1), ("b", 0, -5)]
FOLDER = Path(tempfile.mkdtemp(prefix="medcrypt-fuzz-"))


def entry(path: str, size: int, mtime_ns: int) -> Entry:
    return Entry(path, f"{path}.mcrypt", size, mtime_ns, "0" * 64, 900, "f" * 64)


def written(upto: int) -> bytes:
    """Return a journal in which some sources are begun, and all but the last of them done."""
    (FOLDER / JOURNAL).unlink(missing_ok=True)
    with Journal.open(FOLDER, [KEY]) as journal:
        for number, source in enumerate(SOURCES[:upto]):
            journal.begin(*source, f"{source[0]}.mcrypt")
            if number + 1 < upto:
                journal.done(*source, entry(*source))
    return (FOLDER / JOURNAL).read_bytes()


def seeds() -> list[bytes]:
    return [written(0), written(1), written(2), written(2)[:-20]]


def parse(data: bytes) -> None:
    (FOLDER / JOURNAL).write_bytes(data)
    with Journal.open(FOLDER, [KEY]) as journal:
        for source in SOURCES:
            if journal.entry(*source) not in {None, entry(*source)}:
                raise RuntimeError("an entry that was never written")
        for out in journal.outs:
            if out.startswith("/") or ".." in out.split("/"):
                raise RuntimeError("a path leads out of the archive")
        journal.begin("new", 1, 1, "new.mcrypt")
    with Journal.open(FOLDER, [KEY]) as journal:  # what was added to it can be read
        if journal.begun("new", 1, 1) != "new.mcrypt":
            raise RuntimeError("a line was lost")
