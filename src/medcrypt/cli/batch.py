"""Many files, one answer: every file is tried, failures are told at the end and make the exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from medcrypt.cli.terminal import Progress, complain, reason, shown
from medcrypt.errors import MedcryptError

if TYPE_CHECKING:
    from medcrypt.images.sealed_files import Outcome

__all__ = ["Batch", "parts_of", "tell_nothing", "tell_where"]


def tell_where(source: Path, out: Path | None) -> None:
    """Say where a file went."""
    if out is not None:
        print(f"{shown(source)} -> {shown(out)}", file=sys.stderr)


def tell_nothing(_source: Path, _out: Path | None) -> None:
    """Say nothing: no news is good news."""


def parts_of(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the archives in a folder and the files beside them, as encrypting several inputs makes it; or itself."""
    from medcrypt.images.archive import is_archive

    below = sorted(folder.iterdir())
    archives = [path for path in below if path.is_dir()]
    if is_archive(folder) or not any(map(is_archive, archives)):
        return [folder], []
    return archives, [path for path in below if not path.is_dir()]


class Batch:
    """The files of one command.

    Parameters
    ----------
    verb
        What is done to them, such as "encrypted".
    say
        Called with each file that went well, and what was written.
    """

    def __init__(self, verb: str, say: Callable[[Path, Path | None], None]) -> None:
        self._verb, self._say = verb, say
        self._progress = Progress(verb)
        self._failures: list[str] = []
        self._tried = 0

    def one(self, source: Path, work: Callable[[Path], Path | None]) -> None:
        """Do the work for one file."""
        try:
            self._progress.working_on(source, source.stat().st_size)
            self._done(source, work(source))
        except BrokenPipeError:  # nobody reads on: that is no fault of the file
            raise
        except (MedcryptError, OSError) as error:
            self._failed(source, error)
        finally:
            self._progress.clear()

    def folder(self, folder: Path, outcomes: Iterable[Outcome]) -> None:
        """Take what became of the files of a folder, one after another; what concerns the whole folder ends it."""
        try:
            for outcome in outcomes:
                if outcome.error is not None:
                    self._failed(outcome.source, outcome.error)
                else:
                    self._done(outcome.source, outcome.out)
                self._progress.update(outcome.number, outcome.total, outcome.source)
        except BrokenPipeError:
            raise
        except (MedcryptError, OSError) as error:
            self._failed(folder, error)
        finally:
            self._progress.clear()

    def exit_code(self) -> int:
        """Tell what failed, and return 1 if anything did."""
        for failure in self._failures:
            complain(failure)
        if self._failures and self._tried > 1:
            complain(f"{len(self._failures)} of {self._tried} files were not {self._verb}")
        return 1 if self._failures else 0

    def _done(self, source: Path, out: Path | None) -> None:
        self._tried += 1
        self._progress.clear()
        self._say(source, out)

    def _failed(self, source: Path, error: Exception) -> None:
        self._tried += 1
        text = reason(error)
        self._failures.append(text if text.startswith(f"{source}: ") else f"{source}: {text}")
