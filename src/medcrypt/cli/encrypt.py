"""``medcrypt encrypt``: seal files and folders of any kind."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from medcrypt.cli.keys import add_sealing_options, named_keys, read_identity
from medcrypt.cli.streams import (
    STREAM,
    add_jobs_option,
    checked_inputs,
    goes_into_folder,
    named,
    read_stdin,
    refuse_terminal,
    replaceable,
    write_stdout,
)

if TYPE_CHECKING:
    from medcrypt.images.sealed_files import Outcome


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "encrypt",
        help="encrypt files and folders",
        description="Encrypt files of any kind, folders, or standard input. Each file becomes one sealed file, "
        "from which 'medcrypt decrypt' restores it byte for byte, with its name. DICOM files also keep their "
        "UIDs as encrypted metadata, if pydicom is installed. A folder becomes an archive with a manifest, and an "
        "interrupted run goes on where it stopped when the same command is given again.",
    )
    parser.add_argument("inputs", nargs="*", metavar="PATH", help="file or folder; - for standard input")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT",
        help="file or folder to write; - for standard output (default: PATH.mcrypt)",
    )
    add_sealing_options(parser)
    parser.add_argument(
        "--sign", type=Path, metavar="IDENTITY_FILE", help="sign, so that readers can tell who encrypted it"
    )
    parser.add_argument(
        "--context", default="", metavar="TEXT", help="bind to this text, which decryption then needs too"
    )
    parser.add_argument(
        "--opaque-names",
        action="store_true",
        help="write random file names: the real ones, which may identify patients, are stored encrypted",
    )
    add_jobs_option(parser)
    parser.add_argument("--force", action="store_true", help="replace existing files")
    parser.add_argument("-v", "--verbose", action="store_true", help="say where each file went")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Seal every input."""
    from medcrypt.cli.batch import Batch, tell_nothing, tell_where
    from medcrypt.images import archive
    from medcrypt.images import sealed_files as files
    from medcrypt.keys import Identity

    inputs = checked_inputs(args.inputs)
    into_folder = goes_into_folder(args.output, inputs)
    if args.output == STREAM or (inputs == [STREAM] and args.output is None):
        refuse_terminal()
    keys = named_keys(args)
    options = {
        "key": [key.recipient if isinstance(key, Identity) else key for key in keys],
        "signer": None if args.sign is None else read_identity(args.sign, args),
        "context": args.context.encode(),
        "describe": describe,
    }
    if inputs == [STREAM]:
        _seal_stdin(args, options)
        return 0

    def seal(source: Path) -> Path | None:
        if args.output == STREAM:
            name = files.StoredName(source.name)
            write_stdout([files.seal_bytes(source.read_bytes(), name=name, **options)])
            return None
        target = _target(source, args.output, into_folder=into_folder, opaque=args.opaque_names)
        target.parent.mkdir(parents=True, exist_ok=True)
        files.seal_file(source, out=replaceable(target), overwrite=args.force, **options)
        return target

    def seal_folder(folder: Path) -> Iterator[Outcome]:
        out = _target_folder(folder, args.output, several=len(inputs) > 1)
        return archive.encrypting(
            folder,
            out=out,
            overwrite=args.force,
            opaque_names=args.opaque_names,
            jobs=args.jobs,
            **{**options, "key": keys},  # an identity also opens the manifest of an archive that is continued
        )

    batch = Batch("encrypted", tell_where if args.verbose else tell_nothing)
    for source in map(Path, inputs):
        if source.is_dir():
            batch.folder(source, seal_folder(source))
        else:
            batch.one(source, seal)
    return batch.exit_code()


def describe(file: BinaryIO, name: str) -> dict[str, Any]:
    """Describe what looks like DICOM as DICOM, where pydicom is there to read it, and all else as a file."""
    from medcrypt.errors import FormatError
    from medcrypt.images import sealed_files as files

    file.seek(128)
    if file.read(4) == b"DICM" or name.lower().endswith((".dcm", ".dicom")):
        from medcrypt.integrations import dicom

        try:
            return dicom.describe(file)
        except (FormatError, ImportError):
            pass
    return files.as_file(file, name)


def _seal_stdin(args: argparse.Namespace, options: dict[str, Any]) -> None:
    from medcrypt.durable import new_file
    from medcrypt.images import sealed_files as files

    sealed = files.seal_bytes(read_stdin(), **options)
    if args.output in {None, STREAM}:
        write_stdout([sealed])
        return
    with new_file(replaceable(Path(args.output)), overwrite=args.force) as file:
        file.write(sealed)


def _target(source: Path, output: str | None, *, into_folder: bool, opaque: bool) -> Path:
    from medcrypt.images import sealed_files as files

    name = files.sealed_name(source.name, opaque=opaque)
    if output is None:
        return source.with_name(name)
    return Path(output, name) if into_folder else Path(output)


def _target_folder(folder: Path, output: str | None, *, several: bool) -> Path:
    from medcrypt.cli.terminal import UsageError
    from medcrypt.images.sealed_files import SUFFIX

    if output == STREAM:
        raise UsageError("a folder cannot go to standard output")
    beside = named(folder)
    beside = beside.with_name(beside.name + SUFFIX)
    if output is None:
        return beside
    return Path(output, beside.name) if several else Path(output)
