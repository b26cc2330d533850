"""The options that name keys, and how the keys are read.

``-r`` and ``-R`` name recipients, ``-i`` (or ``-k``) key files of either kind, ``-p`` a passphrase. A secret is
never taken from the command line, where every user of the machine could read it.
"""

from __future__ import annotations

import argparse
import getpass
import os
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from medcrypt.cli.terminal import UsageError, complain
from medcrypt.errors import AuthenticationError, InvalidKeyError

if TYPE_CHECKING:
    from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey

__all__ = [
    "add_opening_options",
    "add_passphrase_options",
    "add_sealing_options",
    "ask_passphrase",
    "named_keys",
    "opening_keys",
    "read_identity",
    "read_key",
    "read_recipient",
    "sealing_keys",
]

PASSPHRASE_VARIABLE = "MEDCRYPT_PASSPHRASE"  # noqa: S105 - a name, not a passphrase
_LONGEST_PASSPHRASE = 64 << 10
_PROTECTED = "medcrypt-sealed-key-1:"


def add_sealing_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say who shall be able to open."""
    group = parser.add_argument_group("who can open it (repeat for several)")
    group.add_argument(
        "-r",
        "--recipient",
        action="append",
        default=[],
        metavar="RECIPIENT",
        help="a recipient: medcrypt-recipient-1:...",
    )
    group.add_argument(
        "-R",
        "--recipients-file",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="a file of recipients, one a line",
    )
    _add_key_option(group, "a secret key, or an identity: then its recipient")
    group.add_argument("-p", "--passphrase", action="store_true", help="a passphrase, and nobody else")
    add_passphrase_options(group)


def add_opening_options(parser: argparse.ArgumentParser, *, sender: bool = True) -> None:
    """Add the options that say how to open."""
    group = parser.add_argument_group("the key")
    _add_key_option(group, "a secret key or an identity; repeat to try several")
    group.add_argument("-p", "--passphrase", action="store_true", help="a passphrase")
    add_passphrase_options(group)
    if sender:
        parser.add_argument(
            "--sender",
            metavar="RECIPIENT",
            help="accept only what this party signed: medcrypt-recipient-1:...",
        )


def add_passphrase_options(group: argparse._ActionsContainer) -> None:
    """Add the option that says where a passphrase is read from."""
    group.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help=f"read passphrases from the first line of a file instead of the terminal; the environment variable "
        f"{PASSPHRASE_VARIABLE} does the same",
    )


def _add_key_option(group: argparse._ActionsContainer, explanation: str) -> None:
    group.add_argument(
        "-i",
        "-k",
        "--key",
        action="append",
        default=[],
        type=Path,
        metavar="KEY_FILE",
        help=f"a key file: {explanation}",
    )


def sealing_keys(args: argparse.Namespace) -> list[SecretKey | Recipient | Passphrase]:
    """Return everyone that the command line names as a recipient."""
    from medcrypt.keys import Identity

    return [key.recipient if isinstance(key, Identity) else key for key in named_keys(args)]


def named_keys(args: argparse.Namespace) -> list[SecretKey | Identity | Recipient | Passphrase]:
    """Return everyone that the command line names as a recipient; identities as they are, so that they can open."""
    keys: list[SecretKey | Identity | Recipient | Passphrase] = [
        read_recipient(text) for text in args.recipient
    ]
    for path in args.recipients_file:
        keys += _recipients_of(path)
    keys += [read_key(path, args) for path in args.key]
    if args.passphrase and keys:
        raise UsageError("a passphrase has to be alone: it would weaken the other recipients")
    if args.passphrase:
        return [ask_passphrase(args, "Passphrase: ", confirm=True)]
    if not keys:
        raise UsageError("say who can open it: -r RECIPIENT, -R FILE, -i KEY_FILE or -p")
    return keys


def opening_keys(args: argparse.Namespace) -> list[SecretKey | Identity | Passphrase]:
    """Return every key that the command line offers for opening."""
    keys: list[SecretKey | Identity | Passphrase] = [read_key(path, args) for path in args.key]
    if args.passphrase:
        keys.append(ask_passphrase(args, "Passphrase: "))
    if not keys:
        raise UsageError("say how to open it: -i KEY_FILE or -p")
    return keys


def read_key(path: Path, args: argparse.Namespace) -> SecretKey | Identity:
    """Read a key file of either kind, asking for its passphrase where it has one."""
    from medcrypt.keys import load_key

    try:
        passphrase = ask_passphrase(args, f"Passphrase of {path}: ") if _is_protected(path) else None
        return load_key(path, passphrase=passphrase)
    except InvalidKeyError as error:
        raise InvalidKeyError(f"{path}: {error}") from None
    except AuthenticationError:
        raise InvalidKeyError(f"{path}: wrong passphrase, or the key file was changed") from None


def read_identity(path: Path, args: argparse.Namespace) -> Identity:
    """Read a key file that has to hold an identity."""
    from medcrypt.keys import Identity

    key = read_key(path, args)
    if not isinstance(key, Identity):
        raise InvalidKeyError(f"{path}: a secret key, but an identity is needed")
    return key


def read_recipient(text: str) -> Recipient:
    """Parse a recipient from the command line."""
    from medcrypt.keys import Recipient

    try:
        return Recipient.from_text(text)
    except InvalidKeyError as error:
        if text.startswith(("medcrypt-recipient-1:", "medcrypt-hybrid-recipient-1:")):
            raise UsageError(f"{text[:40]}...: {error}") from None
        # Whatever it is may be a secret by mistake, so it is not repeated.
        raise UsageError(
            "not a recipient, which begins with medcrypt-recipient-1: or medcrypt-hybrid-recipient-1:"
        ) from None


def ask_passphrase(args: argparse.Namespace, prompt: str, *, confirm: bool = False) -> Passphrase:
    """Take the passphrase from the file or variable that the user chose, or ask on the terminal."""
    from medcrypt.keys import Passphrase

    if args.passphrase_file is not None:
        text: str | bytes = _first_line(args.passphrase_file)
    elif PASSPHRASE_VARIABLE in os.environ:
        text = os.fsencode(os.environ[PASSPHRASE_VARIABLE])
    else:
        text = _prompted(prompt)
        if confirm and _prompted("The same again: ") != text:
            raise UsageError("the two passphrases differ")
    if not text:
        raise UsageError("the passphrase is empty")
    return Passphrase(text)


def _prompted(prompt: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", getpass.GetPassWarning)  # never ask where the answer would be seen
            return getpass.getpass(prompt)
    except (getpass.GetPassWarning, EOFError):
        raise UsageError(
            f"no terminal to ask for the passphrase: use --passphrase-file or {PASSPHRASE_VARIABLE}"
        ) from None


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        shared = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
        line = file.readline(_LONGEST_PASSPHRASE).rstrip(b"\r\n")
    if shared and stat.S_ISREG(path.stat().st_mode):
        complain(f"warning: other users can read {path}")
    return line


def _recipients_of(path: Path) -> list[Recipient]:
    lines = [line.strip() for line in path.read_text("ascii", errors="replace").splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise InvalidKeyError(f"{path}: holds no recipient")
    try:
        return [read_recipient(line) for line in lines]
    except UsageError as error:
        raise InvalidKeyError(f"{path}: {error}") from None


def _is_protected(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_LONGEST_PASSPHRASE)
    return any(line.startswith(_PROTECTED.encode()) for line in head.splitlines())
