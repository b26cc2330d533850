"""Where a command reads and writes: files, folders, or ``-`` for the standard streams."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medcrypt.cli.terminal import UsageError

__all__ = [
    "STREAM",
    "add_jobs_option",
    "checked_inputs",
    "goes_into_folder",
    "named",
    "read_stdin",
    "refuse_terminal",
    "replaceable",
    "write_stdout",
]

STREAM = "-"


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how many files of a folder are worked on at a time."""
    parser.add_argument(
        "-j",
        "--jobs",
        type=_positive,
        metavar="N",
        help="work on N files of a folder at a time (default: one for each core)",
    )


def checked_inputs(inputs: list[str]) -> list[str]:
    """Return the inputs, ``-`` if there are none; refuse to wait for a person to type them."""
    inputs = inputs or [STREAM]
    if STREAM in inputs and len(inputs) > 1:
        raise UsageError("- (standard input) cannot be mixed with files")
    if inputs == [STREAM] and sys.stdin.isatty():
        raise UsageError("name a file or a folder, or pipe something in")
    return inputs


def goes_into_folder(output: str | None, inputs: list[str]) -> bool:
    """Tell whether ``-o`` names a folder to put files into."""
    if output is None or output == STREAM:
        if output == STREAM and len(inputs) > 1:
            raise UsageError("several files cannot go to standard output")
        return False
    if len(inputs) > 1 and Path(output).exists() and not Path(output).is_dir():
        raise UsageError("several files need a folder: -o FOLDER")
    return len(inputs) > 1 or Path(output).is_dir() or output.endswith(os.sep)


def replaceable(path: Path) -> Path:
    """Return the path, unless there is something that ``--force`` must not replace, such as a device."""
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "exists and is not a file", str(path))
    return path


def named(folder: Path) -> Path:
    """Return a folder's path with a name at its end, which ``.`` and ``..`` do not have."""
    return folder if folder.name not in {"", ".."} else Path(os.path.abspath(folder))


def refuse_terminal() -> None:
    """Refuse to write ciphertext to a terminal."""
    if sys.stdout.isatty():
        raise UsageError("ciphertext is not written to a terminal: use -o FILE or a pipe")


def read_stdin() -> bytes:
    """Return all of standard input."""
    return sys.stdin.buffer.read()


def write_stdout(blocks: Iterable[bytes | NDArray[np.uint8]]) -> None:
    """Write blocks of bytes to standard output."""
    sys.stdout.flush()
    for block in blocks:
        left = memoryview(block.data if isinstance(block, np.ndarray) else block)
        while left:  # unbuffered, one call writes only as much as the pipe takes
            left = left[sys.stdout.buffer.write(left) :]
    sys.stdout.buffer.flush()


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number
