"""``medcrypt decrypt``: restore files and folders."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcrypt.cli.keys import add_opening_options, opening_keys, read_recipient
from medcrypt.cli.streams import (
    STREAM,
    add_jobs_option,
    checked_inputs,
    goes_into_folder,
    named,
    read_stdin,
    replaceable,
    write_stdout,
)

if TYPE_CHECKING:
    from medcrypt.images.sealed_files import Outcome, SealedFile


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "decrypt",
        help="decrypt files and folders",
        description="Decrypt what 'medcrypt encrypt' wrote. A file appears under its own name, and only when "
        "every byte of it is authentic. An image that was sealed as an array becomes a .npy file.",
    )
    parser.add_argument("inputs", nargs="*", metavar="PATH", help="file or folder; - for standard input")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file or folder to write; - for standard output (default: the name that it had)",
    )
    add_opening_options(parser)
    parser.add_argument("--context", default="", metavar="TEXT", help="the text that it was bound to")
    add_jobs_option(parser)
    parser.add_argument(
        "--no-manifest",
        action="store_true",
        help="with --sender: accept folders without a manifest, in which nobody can tell whether files are missing",
    )
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument("-v", "--verbose", action="store_true", help="say where each file went")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Open every input."""
    from medcrypt.cli.batch import Batch, parts_of, tell_nothing, tell_where
    from medcrypt.images import archive
    from medcrypt.images import sealed_files as files

    inputs = checked_inputs(args.inputs)
    into_folder = goes_into_folder(args.output, inputs)
    options = {
        "sender": None if args.sender is None else read_recipient(args.sender),
        "key": opening_keys(args),
        "context": args.context.encode(),
    }

    def save(sealed: SealedFile, source: Path, folder: Path | None = None) -> Path | None:
        if args.output == STREAM or (inputs == [STREAM] and args.output is None):
            sealed.verify()  # nothing goes out before all of it is known to be authentic
            write_stdout(sealed.blocks())
            return None
        if folder is None:
            target = _target(source, args.output, sealed, into_folder=into_folder)
        else:
            target = folder / files.restored_name(source.name, sealed).filename
        target.parent.mkdir(parents=True, exist_ok=True)
        sealed.save(replaceable(target), overwrite=args.force)
        return target

    def unseal(source: Path, folder: Path | None = None) -> Path | None:
        with files.open_file(source, **options) as sealed:
            return save(sealed, source, folder)

    def unseal_folder(folder: Path, out: Path) -> Iterator[Outcome]:
        needed = False if args.no_manifest else None
        return archive.decrypting(
            folder, out=out, overwrite=args.force, jobs=args.jobs, manifest_needed=needed, **options
        )

    if inputs == [STREAM]:
        with files.open_file(read_stdin(), **options) as sealed:
            save(sealed, Path(STREAM))
        return 0
    batch = Batch("decrypted", tell_where if args.verbose else tell_nothing)
    for source in map(Path, inputs):
        if source.is_dir():
            out = _target_folder(source, args.output, several=len(inputs) > 1)
            archives, loose = parts_of(source)
            for folder in archives:
                below = out if folder == source else out / folder.name.removesuffix(files.SUFFIX)
                batch.folder(folder, unseal_folder(folder, below))
            for path in loose:
                batch.one(path, partial(unseal, folder=out))
        else:
            batch.one(source, unseal)
    return batch.exit_code()


def _target(source: Path, output: str | None, sealed: SealedFile, *, into_folder: bool) -> Path:
    from medcrypt.images import sealed_files as files

    if output is not None and not into_folder:
        return Path(output)
    name = files.restored_name(source.name, sealed).filename
    return source.with_name(name) if output is None else Path(output, name)


def _target_folder(folder: Path, output: str | None, *, several: bool) -> Path:
    from medcrypt.cli.terminal import UsageError
    from medcrypt.images.sealed_files import SUFFIX

    if output == STREAM:
        raise UsageError("a folder cannot go to standard output")
    if output is not None and not several:
        return Path(output)
    sealed = named(folder)
    name = sealed.name.removesuffix(SUFFIX)
    if output is not None:
        return Path(output, name)
    if name in {"", sealed.name}:
        raise UsageError(f"the name of {folder} does not end in {SUFFIX}: say where to write with -o FOLDER")
    return sealed.with_name(name)
