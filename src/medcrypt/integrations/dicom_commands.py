"""``pydicom encrypt`` and ``pydicom decrypt``.

pydicom finds the two functions below through its entry point group ``pydicom_subcommands`` and loads them
whenever it starts, so nothing is imported here before a command runs. ``medcrypt encrypt`` does the same and
more: passphrases, standard input, several files.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medcrypt.keys import Identity, Recipient, SecretKey

__all__ = ["add_decrypt_subparser", "add_encrypt_subparser"]


def add_encrypt_subparser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``pydicom encrypt`` to pydicom's commands."""
    parser = subparsers.add_parser(
        "encrypt",
        help="Encrypt a DICOM file or folder with medcrypt",
        description="Encrypt a DICOM file or folder with medcrypt. Nothing in it can be read without a key, "
        "and decryption gives back the same file byte for byte.",
    )
    parser.add_argument("path", type=Path, help="a DICOM file, or a folder of them")
    parser.add_argument(
        "-r", "--recipient", action="append", default=[], help="who may open it: medcrypt-recipient-1:..."
    )
    parser.add_argument("-i", "--key", type=Path, action="append", default=[], help="or a key file")
    _add_shared(parser, "PATH.mcrypt")
    parser.add_argument("--opaque-names", action="store_true", help="give a folder's files random names")
    parser.set_defaults(func=_encrypt)


def add_decrypt_subparser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``pydicom decrypt`` to pydicom's commands."""
    parser = subparsers.add_parser(
        "decrypt",
        help="Decrypt what 'pydicom encrypt' or 'medcrypt encrypt' wrote",
        description="Decrypt a DICOM file or folder that was encrypted with medcrypt.",
    )
    parser.add_argument("path", type=Path, help="an encrypted DICOM file, or a folder of them")
    parser.add_argument("-i", "--key", type=Path, action="append", required=True, help="a key file")
    _add_shared(parser, "the name that it had")
    parser.set_defaults(func=_decrypt)


def _add_shared(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("-o", "--output", type=Path, help=f"where to write (default: {out})")
    parser.add_argument("--context", default="", help="text that the file is bound to; decryption needs it")
    parser.add_argument("--force", action="store_true", help="replace existing files")


def _encrypt(args: argparse.Namespace) -> None:
    """Run ``pydicom encrypt``."""
    _finish(_sealed, args)


def _decrypt(args: argparse.Namespace) -> None:
    """Run ``pydicom decrypt``."""
    _finish(_unsealed, args)


def _sealed(args: argparse.Namespace) -> None:
    from medcrypt.integrations import dicom
    from medcrypt.keys import Identity, Recipient

    keys: list[Recipient | SecretKey] = [Recipient.from_text(text) for text in args.recipient]
    keys += [key.recipient if isinstance(key, Identity) else key for key in _keys(args.key)]
    if not keys:
        raise ValueError("say for whom: -r RECIPIENT or -i KEY_FILE")
    out = args.output or args.path.with_name(args.path.resolve().name + ".mcrypt")
    context = args.context.encode()
    if args.path.is_dir():
        dicom.seal_folder(
            args.path, keys, out, context=context, overwrite=args.force, opaque_names=args.opaque_names
        )
    else:
        dicom.seal(args.path, keys, out, context=context, overwrite=args.force)


def _unsealed(args: argparse.Namespace) -> None:
    from medcrypt.integrations import dicom

    keys, context = _keys(args.key), args.context.encode()
    if not args.path.is_dir():
        dicom.unseal(args.path, keys, args.output or args.path.parent, context=context, overwrite=args.force)
        return
    out = args.output or args.path.with_name(args.path.resolve().name.removesuffix(".mcrypt"))
    dicom.unseal_folder(args.path, keys, out, context=context, overwrite=args.force)


def _keys(paths: list[Path]) -> list[SecretKey | Identity]:
    from medcrypt.keys import load_key

    return [load_key(path) for path in paths]


def _finish(work: Any, args: argparse.Namespace) -> None:
    """Do the work; pydicom ignores what a command returns, so a failure leaves through ``SystemExit``."""
    from medcrypt.errors import MedcryptError

    try:
        work(args)
    except ExceptionGroup as group:
        for error in group.exceptions:
            _complain(f"{error.__notes__[0]}: {_reason(error)}")
        _complain(group.message)
        raise SystemExit(1) from None
    except (MedcryptError, OSError, ValueError, ImportError) as error:
        _complain(_reason(error))
        raise SystemExit(2 if isinstance(error, ValueError) else 1) from None


def _reason(error: BaseException) -> str:
    from medcrypt.errors import AuthenticationError

    if isinstance(error, AuthenticationError):
        return "wrong key, wrong context, or changed data"
    return str(error)


def _complain(message: str) -> None:
    print(f"pydicom: {message}", file=sys.stderr)  # noqa: T201 - a command speaks to its user
