"""The command line.

``medcrypt keygen | encrypt | decrypt | inspect | verify | recipients | rotate | budget | simulate | analyze |
serve-inference | query | doctor | demo``

One file for each command: ``add_parser(subparsers)`` declares it, ``run(args)`` does it and returns the exit
code. What is heavy is imported in ``run``, so that ``medcrypt --help`` answers at once.

Exit codes:

    0    done
    1    some input failed: not authentic, malformed, unreadable, or its output exists
    2    the command line itself is wrong
    130  interrupted
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from types import FrameType

from medcrypt.cli.terminal import UsageError, complain, reason
from medcrypt.errors import MedcryptError

__all__ = ["main"]

_COMMANDS = (
    "keygen",
    "encrypt",
    "decrypt",
    "inspect",
    "verify",
    "recipients",
    "rotate",
    "budget",
    "simulate",
    "analyze",
    "serve-inference",
    "query",
    "doctor",
    "demo",
)
_FAILED, _USAGE, _INTERRUPTED, _BROKEN_PIPE = 1, 2, 130, 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv
        The arguments, by default those of the process.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["budget", "--noise", "1", "--steps", "1", "--delta", "0.00001", "--json"])
    {..."epsilon": 4.37...}
    0
    """
    try:
        args = _parser().parse_args(argv)
    except SystemExit as exit_:  # argparse has said why
        return int(exit_.code or 0)
    try:
        with _terminated_like_interrupted():
            code = int(args.run(args))
            sys.stdout.flush()
            return code
    except (UsageError, ValueError) as error:
        complain(f"{reason(error)} (see: medcrypt {args.command} --help)")
        return _USAGE
    except BrokenPipeError:
        _forget_stdout()
        return _BROKEN_PIPE
    except (MedcryptError, OSError, ImportError) as error:
        complain(reason(error))
        return _FAILED
    except KeyboardInterrupt:
        complain("interrupted: nothing half-written is left")
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medcrypt",
        description="Encrypt medical images, learn together on what nobody can read, and count the privacy "
        "that it costs.",
        epilog="medcrypt COMMAND --help tells more.",
    )
    parser.add_argument("--version", action=_Version)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in _COMMANDS:
        importlib.import_module(f"medcrypt.cli.{name.replace('-', '_')}").add_parser(subparsers)
    return parser


class _Version(argparse.Action):
    """Print the version; looked up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import medcrypt

        print(f"medcrypt {medcrypt.__version__}")
        parser.exit()


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that temporary files are removed."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals go elsewhere
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _forget_stdout() -> None:
    """Let the interpreter's last flush go nowhere, instead of failing on the closed pipe again."""
    with contextlib.suppress(OSError, ValueError):
        stdout = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout)
        os.close(nowhere)
