"""``medcrypt keygen``: make an identity or a secret key, or show the recipient of an identity."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from medcrypt.cli.keys import add_passphrase_options, ask_passphrase, read_identity
from medcrypt.cli.terminal import UsageError


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Declare the command."""
    parser = subparsers.add_parser(
        "keygen",
        help="make an identity or a secret key",
        description="Make a new identity and print its recipient, which others encrypt for; or a secret key. "
        "The file gets mode 0600, and an existing file is never replaced.",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--identity", action="store_true", help="make an identity: a key pair (the default)")
    kind.add_argument("--secret-key", action="store_true", help="make a symmetric key")
    kind.add_argument(
        "-y", dest="show", type=Path, metavar="IDENTITY_FILE", help="only print the recipient of an identity"
    )
    parser.add_argument(
        "--post-quantum",
        action="store_true",
        help="an identity that receives by ML-KEM-768 and X25519 together, against who stores ciphertext for the "
        "day of the quantum computer; its recipient has 1700 characters",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="KEY_FILE", help="the file to write")
    parser.add_argument("-p", "--passphrase", action="store_true", help="protect the file with a passphrase")
    add_passphrase_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the key; print the recipient."""
    from medcrypt.keys import Identity, SecretKey

    if args.show is not None:
        if args.output is not None or args.passphrase:
            raise UsageError("-y prints a recipient: it writes no key file and protects none")
        print(read_identity(args.show, args).recipient)
        return 0
    if args.post_quantum and args.secret_key:
        raise UsageError("a secret key is post-quantum as it is: --post-quantum is for identities")
    if args.output is None:
        raise UsageError("say where to write the key: -o KEY_FILE")
    key = SecretKey.generate() if args.secret_key else Identity.generate(post_quantum=args.post_quantum)
    passphrase = (
        ask_passphrase(args, "Passphrase for the key file: ", confirm=True) if args.passphrase else None
    )
    key.save(args.output, passphrase=passphrase)
    if isinstance(key, Identity):
        print(key.recipient)
    else:
        print(f"medcrypt: secret key with fingerprint {key.fingerprint.hex()}", file=sys.stderr)
    return 0
