"""Make the vectors of archives and journals anew: python tests/vectors/images/generate_archives.py

What is random in earnest comes from SHAKE-256 here, so that every run writes the same file.
`tests/images/test_archive_vectors.py` opens them with the library and with the reference reader.
"""

import base64
import hashlib
import itertools
import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any

DRAWS = itertools.count(1)


def urandom(size: int) -> bytes:
    """Stand in for os.urandom: the n-th draw is SHAKE-256 of n."""
    return hashlib.shake_256(b"medcrypt archive vectors" + next(DRAWS).to_bytes(8, "big")).digest(size)


os.urandom = urandom  # before pycryptodome takes its reference
random._urandom = urandom  # that of secrets, which draws the opaque names

from medcrypt import Identity, SecretKey  # noqa: E402
from medcrypt.images import archive  # noqa: E402

KEY = SecretKey.from_bytes(bytes(range(32)))
OTHER = SecretKey.from_bytes(bytes(range(32, 64)))
READER = Identity.from_bytes(bytes(range(100, 164)))
SIGNER = Identity.from_bytes(bytes(range(64)))
SECRET, IDENTITY = ("secret-key", KEY.to_bytes()), ("identity", READER.to_bytes())
SOURCES = {
    "report.txt": b"no findings",
    "empty": b"",
    "series/1.dcm": bytes(range(256)) * 4,
    "series/Größe – 漢字.txt": b"two",
    os.fsdecode(b"series/latin-\xe9"): b"a name that is not UTF-8",
}
# A fixed time, so that the journal's tokens are the same in every run.
MTIME_NS = 1_700_000_000_123_456_789


def packed(folder: Path) -> dict[str, str]:
    """Return every file of an archive, by its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): packed_bytes(path.read_bytes()) for path in files}


def packed_bytes(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def entry(
    name: str,
    keys: Any,
    openers: tuple[tuple[str, bytes], ...],
    *,
    stop_after: int | None = None,
    context: bytes = b"",
    signer: Identity | None = None,
    opaque_names: bool = False,
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as base:
        study, out = Path(base, "study"), Path(base, "out")
        for path, data in SOURCES.items():
            source = study / path
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_bytes(data)
            os.utime(source, ns=(MTIME_NS, MTIME_NS))
        # One file at a time: then the draws come in one order.
        outcomes = archive.encrypting(
            study, keys, out, jobs=1, in_flight=1, context=context, signer=signer, opaque_names=opaque_names
        )
        list(itertools.islice(outcomes, stop_after))
        outcomes.close()
        return {
            "name": name,
            "sources": {path: packed_bytes(data) for path, data in SOURCES.items()},
            "mtime_ns": MTIME_NS,
            "recipients": [
                {
                    "fingerprint": key.fingerprint.hex(),
                    "secret": key.to_bytes().hex() if isinstance(key, SecretKey) else None,
                    "recipient": None if isinstance(key, SecretKey) else str(key),
                }
                for key in (keys if isinstance(keys, list) else [keys])
            ],
            "openers": [{"kind": kind, "bytes": data.hex()} for kind, data in openers],
            "context": context.hex(),
            "signer": None if signer is None else signer.to_bytes().hex(),
            "sender": None if signer is None else signer.recipient.verifying_key.hex(),
            "opaque_names": opaque_names,
            "files": packed(out),
        }


def vectors() -> list[dict[str, Any]]:
    return [
        entry("a secret key", KEY, (SECRET,)),
        entry("an identity, opaque names", READER.recipient, (IDENTITY,), opaque_names=True),
        entry(
            "two recipients, signed, with a context", [READER.recipient, KEY], (SECRET, IDENTITY),
            context=b"study 7", signer=SIGNER,
        ),
        entry("interrupted, under a secret key", [OTHER, KEY], (SECRET,), stop_after=3),
        entry(
            "interrupted, for a recipient, signed, opaque", READER.recipient, (IDENTITY,),
            stop_after=2, context=b"study 7", signer=SIGNER, opaque_names=True,
        ),
    ]  # fmt: skip


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1)
    Path(__file__).with_name("archives.json").write_text(text + "\n", encoding="utf-8")
