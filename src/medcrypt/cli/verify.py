"""``medcrypt verify``: authenticate every byte without writing any."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from medcrypt.cli.keys import add_opening_options, opening_keys, read_recipient
from medcrypt.cli.streams import STREAM, add_jobs_option, checked_inputs, read_stdin
from medcrypt.cli.terminal import shown


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "verify",
        help="check files without writing what is in them",
        description="Authenticate every byte of encrypted files and folders, without writing any plaintext. For a "
        "folder that 'medcrypt encrypt' made, its manifest also tells whether files are missing, replaced or added.",
    )
    parser.add_argument("inputs", nargs="*", metavar="PATH", help="file or folder; - for standard input")
    add_opening_options(parser)
    parser.add_argument("--context", default="", metavar="TEXT", help="the text that they were bound to")
    add_jobs_option(parser)
    parser.add_argument(
        "--no-manifest",
        action="store_true",
        help="accept folders without a manifest, in which nobody can tell whether files are missing",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Check every input."""
    from medcrypt.cli.batch import Batch, parts_of
    from medcrypt.images import archive
    from medcrypt.images import sealed_files as files

    inputs = checked_inputs(args.inputs)
    sender = None if args.sender is None else read_recipient(args.sender)
    keys, context = opening_keys(args), args.context.encode()

    def check(source: Path | bytes) -> None:
        with files.open_file(source, keys, context=context, sender=sender) as sealed:
            sealed.verify()

    if inputs == [STREAM]:
        check(read_stdin())
        print(f"{STREAM}: ok")
        return 0
    batch = Batch("verified", _tell)
    for source in map(Path, inputs):
        if source.is_dir():
            archives, loose = parts_of(source)
            for folder in archives:
                outcomes = archive.verifying(
                    folder,
                    keys,
                    jobs=args.jobs,
                    context=context,
                    sender=sender,
                    manifest_needed=not args.no_manifest,
                )
                batch.folder(folder, outcomes)
            for path in loose:
                batch.one(path, check)
        else:
            batch.one(source, check)
    return batch.exit_code()


def _tell(source: Path, _out: Path | None) -> None:
    print(f"{shown(source)}: ok")
