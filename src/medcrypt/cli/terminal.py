"""What a person at a terminal sees: one-line errors, progress, prompts."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from medcrypt.errors import AuthenticationError

__all__ = ["Progress", "UsageError", "complain", "reason", "shown"]


class UsageError(Exception):
    """The command line asks for something that makes no sense."""


def shown(text: object) -> str:
    r"""Return text that is safe to print: names and metadata from outside may hold terminal commands.

    Examples
    --------
    >>> shown("Größe\x1b[2J")
    'Größe\\x1b[2J'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in str(text)
    )


def complain(message: str) -> None:
    """Print one line to standard error."""
    print(f"medcrypt: {shown(message)}", file=sys.stderr)


def reason(error: BaseException) -> str:
    """Say in one line what went wrong.

    Examples
    --------
    >>> reason(FileNotFoundError(2, "No such file or directory", "a.dcm"))
    'a.dcm: No such file or directory'
    """
    if isinstance(error, AuthenticationError):
        return "does not authenticate: wrong key, passphrase, context or sender, or changed data"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or type(error).__name__


class Progress:
    """A line on the terminal that says how far a long job is; nothing where standard error is no terminal.

    Parameters
    ----------
    verb
        What is being done, such as "sealed".
    """

    _AFTER, _EVERY = 1.0, 0.1  # seconds: short jobs stay silent

    def __init__(self, verb: str) -> None:
        self._verb = verb
        self._start = time.monotonic()
        self._next = self._start + self._AFTER
        self._width = 0
        self._live = sys.stderr.isatty()

    def update(self, number: int, total: int, path: Path) -> None:
        """Show that ``number`` of ``total`` files are done, ``path`` being the last."""
        now = time.monotonic()
        if not self._live or now < self._next:
            return
        self._next = now + self._EVERY
        self._show(
            f"{number} of {total} files {self._verb}, {now - self._start:.0f} s: {shown(path.name)[:40]}"
        )

    def working_on(self, path: Path, size: int) -> None:
        """Show that one large file is being worked on."""
        if self._live and size >= 256 << 20:
            self._show(f"{shown(path.name)[:40]}: {size / 1e9:.1f} GB")

    def clear(self) -> None:
        """Remove the line."""
        if self._width:
            self._show("")
            print("\r", end="", file=sys.stderr, flush=True)
            self._width = 0

    def _show(self, text: str) -> None:
        print(f"\r{text:<{self._width}}", end="", file=sys.stderr, flush=True)
        self._width = len(text)
