"""Make the vectors of encrypted Zarr chunks and stores anew: python tests/vectors/integrations/generate_zarr.py

What is random in earnest comes from SHAKE-256 here, so that every run writes the same file.
`tests/integrations/test_zarr_vectors.py` opens them with the library and with the reference reader.
"""

import base64
import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

DRAWS = itertools.count(1)


def urandom(size: int) -> bytes:
    """Stand in for os.urandom: the n-th draw is SHAKE-256 of n."""
    return hashlib.shake_256(b"medcrypt zarr vectors" + next(DRAWS).to_bytes(8, "big")).digest(size)


os.urandom = urandom  # before pycryptodome takes its reference

from zarr.core.buffer.cpu import Buffer  # noqa: E402
from zarr.core.sync import sync  # noqa: E402
from zarr.storage import MemoryStore  # noqa: E402

from medcrypt import Identity, SecretKey  # noqa: E402
from medcrypt.integrations.numcodecs import AesGcm  # noqa: E402
from medcrypt.integrations.zarr import EncryptedStore, register_key  # noqa: E402

KEY = SecretKey.from_bytes(bytes(range(32)))
READER = Identity.from_bytes(bytes(range(100, 164)))
SECRET, IDENTITY = ("secret-key", KEY.to_bytes()), ("identity", READER.to_bytes())


def packed(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def keys(openers: tuple[tuple[str, bytes], ...]) -> list[dict[str, str]]:
    return [{"kind": kind, "bytes": data.hex()} for kind, data in openers]


def chunk(data: bytes, array_id: str) -> dict[str, Any]:
    with register_key(KEY):
        blob = AesGcm(KEY, array_id).encode(data)
    return {
        "array_id": array_id,
        "plain_base64": packed(data),
        "blob_base64": packed(blob),
        "keys": keys((SECRET,)),
    }


def store(
    name: str, steps: list[tuple[str, bytes | None]], openers: tuple[tuple[str, bytes], ...], **options: Any
) -> dict[str, Any]:
    memory = MemoryStore()
    made = EncryptedStore(memory, KEY, **options)
    values: dict[str, bytes] = {}
    for path, data in steps:
        if data is None:
            sync(made.delete(path))
            values.pop(path)
        else:
            sync(made.set(path, Buffer.from_bytes(data)))
            values[path] = data
    return {
        "name": name,
        "keys": keys(openers),
        "token": made.token,
        "values": {path: packed(data) for path, data in sorted(values.items())},
        "objects": {path: packed(data.to_bytes()) for path, data in sorted(memory._store_dict.items())},
    }


def vectors() -> dict[str, Any]:
    many = [(f"c/{number % 5}", bytes([number])) for number in range(70)]
    return {
        "chunks": [
            chunk(b"", ""),
            chunk(bytes(range(200)), "study 7/ct"),
            chunk(bytes(16384), "Größe"),
        ],
        "stores": [
            store("nothing yet", [], (SECRET,)),
            store(
                "written, replaced, deleted",
                [("zarr.json", b"{}"), ("ct/c/0", b"1"), ("ü/c", bytes(300)), ("ct/c/0", b"2"), ("zarr.json", None)],
                (SECRET,),
            ),
            store(
                "two recipients", [("empty", b"")], (SECRET, IDENTITY), recipients=[KEY, READER.recipient]
            ),
            store("complete records in between", many, (SECRET,)),
        ],
    }  # fmt: skip


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1)
    Path(__file__).with_name("zarr.json").write_text(text + "\n", encoding="utf-8")
