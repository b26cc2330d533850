"""``medcrypt inspect``: what a sealed file says of itself, without a key."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medcrypt.cli.streams import STREAM, read_stdin
from medcrypt.cli.terminal import shown
from medcrypt.errors import MedcryptError

if TYPE_CHECKING:
    from medcrypt.images import Inspection


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what an encrypted file says of itself",
        description="Show what an encrypted file says of itself, without a key. Nothing of it is verified: "
        "anyone could have written it.",
    )
    parser.add_argument("input", metavar="FILE", help="an encrypted file; - for standard input")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the header."""
    import dataclasses

    from medcrypt import images

    try:
        found = images.inspect(read_stdin() if args.input == STREAM else Path(args.input))
    except MedcryptError as error:
        raise type(error)(f"{args.input}: {error}") from None
    if args.json:
        print(json.dumps(dataclasses.asdict(found), indent=2))
        return 0
    print("UNVERIFIED: anyone could have written what follows. Only a key can tell.")
    for name, value in _lines(found):
        print(f"{name:<18}{shown(value)}")
    return 0


def _lines(found: Inspection) -> list[tuple[str, object]]:
    lines: list[tuple[str, object]] = [
        ("format", f"sealed image, version {found.version}"),
        ("cipher", found.cipher),
        ("contents", f"{found.dtype}, shape {found.shape}"),
        ("bytes", found.size),
        ("id", found.file_id),
    ]
    lines += [("recipient", f"{kind} {fingerprint}".rstrip()) for kind, fingerprint in found.recipients]
    lines += [
        ("generation", found.generation),
        ("signed by", found.signer or "nobody"),
        ("private metadata", "yes" if found.has_private_metadata else "no"),
    ]
    public = json.dumps(found.public_metadata, ensure_ascii=False) if found.public_metadata else "none"
    return [*lines, ("public metadata", public)]
