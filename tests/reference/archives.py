"""A second reader of archives and their journals, written from docs/formats/archives.md and files.md alone.

An archive is a dictionary here: names relative to it, joined by "/", and the bytes of each file. Sealed images are
read by `reference.sealed_image`.
"""

import base64
import hashlib
import json
import re
import urllib.parse
from dataclasses import dataclass
from typing import Any

from reference import cobblestone, sealed_image
from reference.sealed_image import RefusedError, require

MANIFEST, JOURNAL = "medcrypt-manifest", "medcrypt-journal"
NUMBERS = {"size", "mtime_ns", "sealed_size"}
DIGESTS = {"sha256", "sealed_sha256"}
FIELDS = {"path", "out"} | NUMBERS | DIGESTS


@dataclass
class Manifest:
    """What has to be there, by path, and what is not there although it should be."""

    files: dict[str, dict[str, Any]]
    failed: dict[str, str]


def line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def take_apart(data: bytes) -> Manifest:
    """Follow the tables of the manifest."""
    require(data.endswith(b"\n"))
    try:
        values = [json.loads(text) for text in data[:-1].split(b"\n")]
    except (ValueError, RecursionError):
        raise RefusedError from None
    require(all(isinstance(value, dict) for value in values))
    require(b"".join(map(line, values)) == data)
    head, rest = values[0], values[1:]
    require(head.keys() == {"medcrypt", "version", "files", "failed"})
    require(head["medcrypt"] == "manifest")
    require(is_number(head["version"]))
    require(head["version"] == 1)
    require(is_number(head["files"]))
    require(is_number(head["failed"]))
    require(head["files"] >= 0)
    require(head["failed"] >= 0)
    require(head["files"] + head["failed"] == len(rest))
    files, failed = rest[: head["files"]], rest[head["files"] :]
    for value in files:
        check_file(value)
    for value in failed:
        require(value.keys() == {"path", "error"})
        require(isinstance(value["path"], str))
        require(isinstance(value["error"], str))
    for lines in (files, failed):
        paths = [value["path"] for value in lines]
        require(paths == sorted(set(paths)))
    require(len({value["out"] for value in files}) == len(files))
    return Manifest(
        {value["path"]: value for value in files}, {value["path"]: value["error"] for value in failed}
    )


def check_file(value: dict[str, Any]) -> None:
    require(value.keys() == FIELDS)
    for name in ("path", "out"):
        require(isinstance(value[name], str))
        require(is_plain(value[name].split("/")))
    require(all(is_number(value[name]) for name in NUMBERS))
    require(value["size"] >= 0)
    require(value["sealed_size"] >= 1)
    for name in DIGESTS:
        require(isinstance(value[name], str))
        require(re.fullmatch("[0-9a-f]{64}", value[name]))


def is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_plain(parts: list[str]) -> bool:
    return not any(part in {"", ".", ".."} or "\0" in part for part in parts)


def sealed_digest(sealed: bytes) -> str:
    """SHA-256 with both slots taken as zeros."""
    parts = sealed_image.take_apart(sealed)
    slots = b"".join(parts.slots)
    return hashlib.sha256(
        parts.header + bytes(len(slots)) + sealed[len(parts.header) + len(slots) :]
    ).hexdigest()


def read(
    archive: dict[str, bytes], kind: str, key: bytes, context: bytes = b"", sender: bytes | None = None
) -> dict[str, bytes]:
    """Return every file of an archive by its path; `kind` and `key` as for `reference.sealed_image.read`."""
    opened = sealed_image.read(archive[MANIFEST], kind, key, context, sender)
    require(opened.metadata == {"content": "manifest"})
    manifest = take_apart(opened.array.tobytes())
    require({value["out"] for value in manifest.files.values()} == set(archive) - {MANIFEST})
    found = {}
    for path, value in manifest.files.items():
        sealed = archive[value["out"]]
        require(len(sealed) == value["sealed_size"])
        require(sealed_digest(sealed) == value["sealed_sha256"])
        file = sealed_image.read(sealed, kind, key, context, sender)
        require(stored_path(file.metadata) == path)
        found[path] = file.array.tobytes()
        require(len(found[path]) == value["size"])
        require(hashlib.sha256(found[path]).hexdigest() == value["sha256"])
    return found


def stored_path(metadata: dict[str, Any]) -> str:
    """Return folders and name, as Python's os.fsdecode gives them."""
    parts = [*(part for part in metadata.get("folder", "").split("/") if part), metadata["filename"]]
    if metadata.get("percent") is True:
        parts = [urllib.parse.unquote_to_bytes(part).decode("utf-8", "surrogateescape") for part in parts]
    return "/".join(parts)


# ---- the journal ---------------------------------------------------------------------------------------


@dataclass
class Journal:
    """The lines of a journal, its root key, and whether it continues a finished archive."""

    root: bytes
    continues: bool
    begun: dict[str, str]
    done: dict[str, str]

    def entry(self, path: str, size: int, mtime_ns: int) -> dict[str, Any] | None:
        """Return what was done to a source, as the manifest's line says it, or None."""
        token, key = self.derive(path, size, mtime_ns)
        if token not in self.done:
            return None
        wrapped = base64.b64decode(self.done[token])
        opened = cobblestone.decrypt(key, wrapped, b"medcrypt/v1/journal-entry")
        require(opened)
        value = json.loads(opened)
        require(line(value) == opened)
        check_file(value)
        require(value["out"] == self.begun[token])
        return value

    def derive(self, path: str, size: int, mtime_ns: int) -> tuple[str, bytes]:
        info = b"medcrypt/v1/journal-entry" + json.dumps([path, size, mtime_ns]).encode("ascii")
        output = cobblestone.expand(self.root, info, 48)
        return output[:16].hex(), output[16:]


def read_journal(
    data: bytes,
    keys: list[tuple[bytes, bytes | None]],
    context: bytes = b"",
    *,
    opaque: bool = False,
    signer: bytes = b"",
) -> Journal:
    """Follow the lines; `keys` are the recipients: fingerprint, and the bytes of a secret key."""
    values = [json.loads(text) for text in data[: data.rindex(b"\n") + 1].splitlines()]
    head = values[0]
    require((head["medcrypt"], head["version"]) == ("journal", 1))
    salt = bytes.fromhex(head["salt"])
    require(len(salt) == 32)
    named = sorted(keys, key=lambda pair: pair[0])
    secrets = [secret for _, secret in named if secret is not None]
    binding = hashlib.sha256(context).digest() + bytes([opaque]) + signer
    info = b"medcrypt/v1/journal-root" + salt + b"".join(name for name, _ in named) + binding
    journal = Journal(
        cobblestone.expand(secrets[0] if secrets else salt, info, 32), head["continues"], {}, {}
    )
    for value in values[1:]:
        if value.keys() == {"begin", "out"}:
            require(is_plain(value["out"].split("/")))
            journal.begun[value["begin"]] = value["out"]
            journal.done.pop(value["begin"], None)
        else:
            require(value.keys() == {"done", "entry"})
            require(value["done"] in journal.begun)
            journal.done[value["done"]] = value["entry"]
    return journal
