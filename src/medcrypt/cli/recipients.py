"""``medcrypt recipients``: let somebody else open encrypted files, or somebody no longer."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medcrypt.cli.keys import add_opening_options, opening_keys, read_recipient
from medcrypt.cli.terminal import UsageError


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "recipients",
        help="add or remove a recipient of encrypted files",
        description="Add recipients to encrypted files and folders, or remove some, in place. The pixels are not "
        "touched and the other recipients stay. Removing does not take back what somebody has read or copied, nor "
        "the file's key: 'medcrypt rotate --reencrypt' makes the key useless.",
    )
    parser.add_argument("inputs", nargs="+", metavar="PATH", help="file or folder")
    parser.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="RECIPIENT",
        help="a recipient: medcrypt-recipient-1:...",
    )
    parser.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="RECIPIENT",
        help="a recipient, or the 16 digits that 'medcrypt inspect' shows of it",
    )
    add_opening_options(parser, sender=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Change every file."""
    from medcrypt.cli.batch import Batch, tell_nothing
    from medcrypt.images import sealed_files

    if not args.add and not args.remove:
        raise UsageError("say who comes or goes: --add RECIPIENT or --remove RECIPIENT")
    added = [read_recipient(text) for text in args.add]
    removed = [_fingerprint(text) for text in args.remove]
    keys = opening_keys(args)

    def change(path: Path) -> None:
        _change(path, keys, added, removed)

    batch = Batch("changed", tell_nothing)
    for source in map(Path, args.inputs):
        if source.is_dir():
            batch.folder(source, sealed_files.each_file(source, change))
            if (source / sealed_files.MANIFEST).is_file():
                batch.one(source / sealed_files.MANIFEST, change)
        else:
            batch.one(source, change)
    return batch.exit_code()


def _change(path: Path, keys: list[Any], added: list[Any], removed: list[bytes]) -> None:
    """Add, then remove: so the file is never without somebody who shall be able to open it."""
    from medcrypt import images
    from medcrypt.errors import FormatError
    from medcrypt.images.rewrapping import opener_of

    opener = opener_of(path, keys)
    if added:
        images.add_recipient(path, opener, added)
    names = {fingerprint for _, fingerprint in images.inspect(path).recipients}
    for fingerprint in removed:
        if fingerprint.hex() not in names:
            continue  # so that a command that was interrupted can be given again
        try:
            images.remove_recipient(path, opener, fingerprint)
        except ValueError as error:
            raise FormatError(str(error)) from None


def _fingerprint(text: str) -> bytes:
    if len(text) == 16 and set(text.lower()) <= set("0123456789abcdef"):
        return bytes.fromhex(text)
    return read_recipient(text).fingerprint
