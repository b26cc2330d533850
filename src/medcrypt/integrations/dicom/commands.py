"""``pydicom encrypt`` and ``pydicom decrypt``.

pydicom finds the two functions below through its entry point group ``pydicom_subcommands`` and loads them
whenever it starts, so nothing is imported here before a command runs. ``medcrypt encrypt`` seals whole files too,
and knows passphrases, standard input and several files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medcrypt.keys import Identity, SecretKey

__all__ = ["add_decrypt_subparser", "add_encrypt_subparser"]


def add_encrypt_subparser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``pydicom encrypt`` to pydicom's commands."""
    parser = subparsers.add_parser(
        "encrypt",
        help="Encrypt a DICOM file or folder with medcrypt",
        description="Encrypt a DICOM file or folder with medcrypt: whole files, in which nothing can be read without "
        "a key, or parts of files that stay DICOM. Decryption gives back the same file byte for byte.",
    )
    parser.add_argument("path", type=Path, help="a DICOM file, or a folder of them")
    parser.add_argument(
        "-r", "--recipient", action="append", default=[], help="who may open it: medcrypt-recipient-1:..."
    )
    parser.add_argument("-i", "--key", type=Path, action="append", default=[], help="or a key file")
    _add_shared(parser, "PATH.mcrypt, or NAME.encrypted.dcm for parts of a file")
    parser.add_argument("--opaque-names", action="store_true", help="give a folder's files random names")
    parts = parser.add_argument_group("parts of a file")
    which = parts.add_mutually_exclusive_group()
    which.add_argument(
        "--pixels", action="store_true", help="encrypt the pixels, and leave the metadata readable"
    )
    which.add_argument(
        "--attributes", metavar="KEYWORDS", help="encrypt attributes, such as PatientName,PatientID"
    )
    which.add_argument(
        "--deidentify",
        type=Path,
        metavar="KEY",
        help="de-identify, with pseudonyms derived from this secret key file; the original is kept encrypted "
        "for whom -r, -i or --certificate name, if anyone",
    )
    parts.add_argument(
        "--option", action="append", default=[], help="option of --deidentify, such as retain_uids"
    )
    parts.add_argument(
        "--certificate", type=Path, action="append", default=[], help="who may open attributes: X.509, PEM"
    )
    parts.add_argument(
        "--sign", type=Path, metavar="KEY", help="sign with this identity; --certificate needs it"
    )
    parser.set_defaults(func=_encrypt)


def add_decrypt_subparser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add ``pydicom decrypt`` to pydicom's commands."""
    parser = subparsers.add_parser(
        "decrypt",
        help="Decrypt what 'pydicom encrypt' or 'medcrypt encrypt' wrote",
        description="Decrypt a DICOM file or folder that was encrypted with medcrypt, whole or in parts.",
    )
    parser.add_argument("path", type=Path, help="an encrypted DICOM file, or a folder of them")
    parser.add_argument("-i", "--key", type=Path, action="append", default=[], help="a key file")
    _add_shared(parser, "the name that it had, or NAME.decrypted.dcm for parts of a file")
    parser.add_argument(
        "--sender", metavar="RECIPIENT", help="who has to have signed: medcrypt-recipient-1:..."
    )
    parts = parser.add_argument_group("parts of a file")
    parts.add_argument(
        "--certificate", type=Path, help="the certificate that attributes are encrypted for, PEM"
    )
    parts.add_argument("--private-key", type=Path, help="its RSA private key, PEM without a passphrase")
    parts.add_argument(
        "--keep-edits", action="store_true", help="put back what was encrypted into the file as it is now"
    )
    parser.set_defaults(func=_decrypt)


def _add_shared(parser: argparse.ArgumentParser, out: str) -> None:
    parser.add_argument("-o", "--output", type=Path, help=f"where to write (default: {out})")
    parser.add_argument("--context", default="", help="text that the file is bound to; decryption needs it")
    parser.add_argument("--force", action="store_true", help="replace existing files")


def _encrypt(args: argparse.Namespace) -> None:
    """Run ``pydicom encrypt``."""
    _finish(_encrypt_parts if args.pixels or args.attributes or args.deidentify else _seal, args)


def _decrypt(args: argparse.Namespace) -> None:
    """Run ``pydicom decrypt``."""
    _finish(_decrypt_parts if _is_dicom(args.path) else _unseal, args)


def _seal(args: argparse.Namespace) -> None:
    from medcrypt.integrations import dicom

    keys = _recipients(args)
    if args.certificate or args.option:
        raise ValueError("--certificate and --option go with --attributes and --deidentify")
    if not keys:
        raise ValueError("say for whom: -r RECIPIENT or -i KEY_FILE")
    out = args.output or args.path.with_name(args.path.resolve().name + ".mcrypt")
    shared: dict[str, Any] = {
        "context": args.context.encode(), "signer": _signer(args), "overwrite": args.force
    }  # fmt: skip
    if args.path.is_dir():
        dicom.seal_folder(args.path, keys, out, opaque_names=args.opaque_names, **shared)
    else:
        dicom.seal(args.path, keys, out, **shared)


def _unseal(args: argparse.Namespace) -> None:
    from medcrypt.integrations import dicom

    keys = _keys(args.key)
    if not keys:
        raise ValueError("say with which key: -i KEY_FILE")
    shared: dict[str, Any] = {
        "context": args.context.encode(), "sender": _sender(args), "overwrite": args.force
    }  # fmt: skip
    if not args.path.is_dir():
        dicom.unseal(args.path, keys, args.output or args.path.parent, **shared)
        return
    out = args.output or args.path.with_name(args.path.resolve().name.removesuffix(".mcrypt"))
    dicom.unseal_folder(args.path, keys, out, **shared)


def _encrypt_parts(args: argparse.Namespace) -> None:
    from medcrypt.integrations import dicom

    if args.opaque_names:
        raise ValueError("--opaque-names goes with whole files")
    if args.option and not args.deidentify:
        raise ValueError("--option goes with --deidentify")
    keys: Any = [*_recipients(args), *map(_certificate, args.certificate)]
    if not keys and not args.deidentify:
        raise ValueError("say for whom: -r RECIPIENT, -i KEY_FILE or --certificate FILE")
    shared: dict[str, Any] = {"context": args.context.encode(), "signer": _signer(args)}
    if args.pixels:
        if args.certificate:
            raise ValueError("--certificate goes with --attributes and --deidentify")
        _each(args, "encrypted", lambda path: dicom.encrypt_pixels(path, keys, **shared))
    elif args.attributes:
        words = args.attributes.split(",")
        _each(args, "encrypted", lambda path: dicom.encrypt_attributes(path, keys, words, **shared))
    else:
        pseudonyms = _secret_key(args.deidentify)
        shared["keep_for"] = keys or None
        _each(args, "deidentified", lambda path: dicom.deidentify(path, pseudonyms, args.option, **shared))


def _decrypt_parts(args: argparse.Namespace) -> None:
    from medcrypt.integrations import dicom

    sender, context, exact = _sender(args), args.context.encode(), not args.keep_edits
    pair = None
    if args.certificate or args.private_key:
        if not (args.certificate and args.private_key):
            raise ValueError("a certificate and its private key belong together")
        pair = _private_key(args.private_key), _certificate(args.certificate)
        if sender is None:
            raise ValueError("say who has to have signed: --sender RECIPIENT")
    keys = _keys(args.key)
    if not keys and pair is None:
        raise ValueError("say with which key: -i KEY_FILE, or --certificate and --private-key")

    def decrypt(path: Path) -> bytes:
        data = path.read_bytes()
        if dicom.has_encrypted_pixels(data):
            if not keys:
                raise ValueError("its pixels are encrypted: say with which key, -i KEY_FILE")
            return dicom.decrypt_pixels(data, keys, exact=exact, context=context, sender=sender)
        opener: Any = pair or keys
        return dicom.decrypt_attributes(data, opener, exact=exact, context=context, sender=sender)

    _each(args, "decrypted", decrypt)


def _each(args: argparse.Namespace, done: str, work: Callable[[Path], bytes]) -> None:
    """Write what becomes of a file, or of each file of a folder."""
    from medcrypt.durable import new_file
    from medcrypt.images import sealed_files as files

    def write(source: Path, target: Path) -> Path:
        result = work(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        with new_file(target, overwrite=args.force) as file:
            file.write(result)
        return target

    if not args.path.is_dir():
        write(args.path, args.output or args.path.with_name(f"{_stem(args.path)}.{done}.dcm"))
        return
    folder = args.path.resolve()
    out = args.output or folder.with_name(f"{_stem(folder)}.{done}")
    if out.resolve().is_relative_to(folder):
        raise ValueError("the output folder must not lie inside the folder that is read")
    outcomes = files.each_file(folder, lambda path: write(path, out / path.relative_to(folder)))
    files.paths_or_errors(outcomes, done)


def _stem(path: Path) -> str:
    """Return the name without what these commands, or others, put behind it."""
    name = path.name.removesuffix(".dcm")
    for done in (".encrypted", ".deidentified"):
        name = name.removesuffix(done)
    return name


def _is_dicom(path: Path) -> bool:
    """Tell whether a file, or the first one of a folder, is DICOM, not a sealed file."""
    if path.is_dir():
        path = next((one for one in sorted(path.rglob("*")) if one.is_file()), path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _recipients(args: argparse.Namespace) -> list[Any]:
    from medcrypt.keys import Identity, Recipient

    named: list[Any] = [Recipient.from_text(text) for text in args.recipient]
    return named + [key.recipient if isinstance(key, Identity) else key for key in _keys(args.key)]


def _signer(args: argparse.Namespace) -> Identity | None:
    from medcrypt.keys import Identity, load_key

    if args.sign is None:
        return None
    signer = load_key(args.sign)
    if not isinstance(signer, Identity):
        raise ValueError("a secret key cannot sign: --sign takes an identity")
    return signer


def _sender(args: argparse.Namespace) -> Any:
    from medcrypt.keys import Recipient

    return None if args.sender is None else Recipient.from_text(args.sender)


def _secret_key(path: Path) -> SecretKey:
    from medcrypt.keys import SecretKey, load_key

    key = load_key(path)
    if not isinstance(key, SecretKey):
        raise ValueError("--deidentify takes a secret key file: medcrypt keygen --secret-key")
    return key


def _certificate(path: Path) -> Any:
    from medcrypt.integrations.dicom.cms import need_cryptography

    need_cryptography()
    from cryptography.x509 import load_pem_x509_certificate

    return load_pem_x509_certificate(path.read_bytes())


def _private_key(path: Path) -> Any:
    from medcrypt.integrations.dicom.cms import need_cryptography

    need_cryptography()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(path.read_bytes(), password=None)
    except TypeError:
        raise ValueError("the private key is under a passphrase: write it without one first") from None


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
