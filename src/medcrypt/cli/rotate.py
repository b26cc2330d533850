"""``medcrypt rotate``: new keys for old, over files and folders."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcrypt.cli.keys import (
    add_sealing_options,
    ask_passphrase,
    read_identity,
    read_key,
    read_recipient,
    sealing_keys,
)
from medcrypt.cli.terminal import UsageError

if TYPE_CHECKING:
    from medcrypt.keys import Identity, Passphrase, SecretKey


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "rotate",
        help="replace the keys of encrypted files",
        description="Give encrypted files and folders new recipients, in place. The pixels are not touched, unless "
        "--reencrypt asks for it: needed where a key is lost or somebody is no longer trusted. An interrupted run "
        "goes on when the same command is given again.",
    )
    parser.add_argument("inputs", nargs="+", metavar="PATH", help="file or folder")
    parser.add_argument(
        "--from",
        dest="old",
        action="append",
        default=[],
        type=Path,
        metavar="KEY_FILE",
        help="a key that opens them now; repeat to try several",
    )
    parser.add_argument(
        "--from-passphrase", action="store_true", help="ask for the passphrase that opens them now"
    )
    parser.add_argument(
        "--from-passphrase-file", type=Path, metavar="FILE", help="or read it from the first line of a file"
    )
    add_sealing_options(parser)
    parser.add_argument(
        "--reencrypt",
        action="store_true",
        help="encrypt the pixels anew too, so that keys kept from before are useless",
    )
    parser.add_argument(
        "--sign",
        type=Path,
        metavar="IDENTITY_FILE",
        help="with --reencrypt: sign the new files; the old ones have to be signed by the same identity",
    )
    parser.add_argument(
        "--sender",
        metavar="RECIPIENT",
        help="with --reencrypt: the old files have to be signed by this one (a recipient, or a file with it)",
    )
    parser.add_argument(
        "--any-sender",
        action="store_true",
        help="with --sign: sign the files whoever has signed them before, or nobody",
    )
    parser.add_argument(
        "--context", default="", metavar="TEXT", help="with --reencrypt: the text that they are bound to"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Change every input."""
    from medcrypt.cli.batch import Batch, tell_nothing
    from medcrypt.images import rotation

    if (args.sign or args.sender or args.any_sender or args.context) and not args.reencrypt:
        raise UsageError(
            "--sign, --sender and --context are for --reencrypt: otherwise signatures stay as they are"
        )
    if args.sender and args.any_sender:
        raise UsageError("--sender and --any-sender contradict each other")
    old = _old_keys(args)
    options = {
        "reencrypted": args.reencrypt,
        "context": args.context.encode(),
        "signer": None if args.sign is None else read_identity(args.sign, args),
        "sender": None if args.sender is None else read_recipient(args.sender),
        "any_sender": args.any_sender,
    }
    new = sealing_keys(args)

    def change(path: Path) -> None:
        rotation.rotate_file(path, old, new, **options)

    batch = Batch("given new keys", tell_nothing)
    for source in map(Path, args.inputs):
        if source.is_dir():
            batch.folder(source, rotation.rotating(source, old, new, **options))
        else:
            batch.one(source, change)
    return batch.exit_code()


def _old_keys(args: argparse.Namespace) -> list[SecretKey | Identity | Passphrase]:
    keys: list[SecretKey | Identity | Passphrase] = [read_key(path, args) for path in args.old]
    if args.from_passphrase or args.from_passphrase_file is not None:
        source = argparse.Namespace(passphrase_file=args.from_passphrase_file)
        keys.append(ask_passphrase(source, "Passphrase until now: "))
    if not keys:
        raise UsageError("say how to open them now: --from KEY_FILE or --from-passphrase")
    return keys
