"""Make the vectors of sealed images and of Cobblestone-256 anew: python tests/vectors/images/generate.py

What is random in earnest comes from SHAKE-256 here, so that every run writes the same files. pycryptodome's
ephemeral keys (HPKE) do too. `tests/images/test_image_vectors.py` opens them with the library and with the
reference reader.
"""

import base64
import hashlib
import itertools
import json
import os
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
DRAWS = itertools.count(1)


def urandom(size: int) -> bytes:
    """Stand in for os.urandom: the n-th draw is SHAKE-256 of n."""
    return hashlib.shake_256(b"medcrypt vectors" + next(DRAWS).to_bytes(8, "big")).digest(size)


os.urandom = urandom  # before pycryptodome takes its reference

from medcrypt import Identity, Passphrase, SecretKey, images  # noqa: E402

KEY = SecretKey.from_bytes(bytes(range(32)))
OTHER_KEY = SecretKey.from_bytes(bytes(range(32, 64)))
IDENTITY = Identity.from_bytes(bytes(range(100, 164)))
SIGNER = Identity.from_bytes(bytes(range(64)))
PASSPHRASE = "correct horse battery staple"


def pixels(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Fill an array with bytes of SHAKE-256 (0 and 1 for booleans), read as the dtype."""
    kind = np.dtype(dtype)
    count = int(np.prod(shape)) * kind.itemsize
    data = hashlib.shake_256(f"{shape} {dtype}".encode()).digest(count)
    if kind.kind == "b":
        data = bytes(byte & 1 for byte in data)
    return np.frombuffer(data, kind).reshape(shape)


def entry(name: str, array: np.ndarray, sealed: bytes, keys: list, **more: object) -> dict:
    return {
        "name": name,
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "pixels_sha256": hashlib.sha256(array.tobytes()).hexdigest(),
        "keys": [{"kind": kind, "bytes": data.hex()} for kind, data in keys],
        "sealed_base64": base64.b64encode(sealed).decode(),
        "context": "",
        "metadata": {},
        "public_metadata": {},
        "sender": None,
        **more,
    }


def sealed_images() -> list[dict]:
    secret, other = ("secret-key", KEY.to_bytes()), ("secret-key", OTHER_KEY.to_bytes())
    identity = ("identity", IDENTITY.to_bytes())
    sender = SIGNER.recipient.to_bytes()[32:].hex()
    made = []
    for name, shape, dtype in (
        ("one number", (), "|b1"),
        ("no pixels", (0, 5), "<f4"),
        ("small", (3, 4), "<u2"),
        ("one byte less than a chunk", (16383,), "|u1"),
        ("exactly one chunk", (64, 128), ">i2"),
        ("two chunks and a pixel", (32769,), "|i1"),
    ):
        array = pixels(shape, dtype)
        made.append(entry(name, array, images.encrypt(array, KEY, spare_recipients=0), [secret]))

    array = pixels((5, 7, 3), ">i2")
    metadata, public = {"Modality": "CT", "é": [1, -2.5, 1e-7, None, True]}, {"ward": "3", "a": {"b": "\n"}}
    context = b"study 7"
    sealed = images.encrypt(array, KEY, context=context, metadata=metadata, public_metadata=public)
    more = {"context": context.hex(), "metadata": metadata, "public_metadata": public}
    made.append(entry("metadata and context", array, sealed, [secret], **more))

    array = pixels((2, 2), "<c16")
    made.append(entry("a recipient", array, images.encrypt(array, IDENTITY.recipient), [identity]))
    array = pixels((3,), "<f2")
    made.append(
        entry(
            "a passphrase",
            array,
            images.encrypt(array, Passphrase(PASSPHRASE), spare_recipients=0),
            [("passphrase", PASSPHRASE.encode())],
        )
    )

    array = pixels((100, 100), "<u2")
    sealed = images.encrypt(
        array, [KEY, IDENTITY.recipient], context=context, metadata=metadata, signer=SIGNER
    )
    more = {"context": context.hex(), "metadata": metadata, "sender": sender}
    made.append(entry("signed, two recipients, two chunks", array, sealed, [secret, identity], **more))

    array = pixels((1, 1), "<i8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image"
        images.save(path, array, KEY)
        images.rewrap(path, KEY, [OTHER_KEY, IDENTITY.recipient])
        made.append(entry("generation 2", array, path.read_bytes(), [other, identity]))
        images.rewrap(path, IDENTITY, KEY)
        made.append(entry("generation 3", array, path.read_bytes(), [secret]))
    return made


def post_quantum_images() -> list[dict]:
    """Made last, because ML-KEM checks its keys with random draws: they would shift all that follows."""
    array, hybrid = pixels((2, 3), "<u2"), Identity.from_bytes(bytes(range(64, 128)), post_quantum=True)
    sealed = images.encrypt(array, [hybrid.recipient, KEY], spare_recipients=0)
    keys = [("hybrid-identity", hybrid.to_bytes()), ("secret-key", KEY.to_bytes())]
    return [entry("a post-quantum recipient and a secret key", array, sealed, keys)]


def tiled_images() -> list[dict]:
    made = []
    for name, shape, dtype, tiles in (
        ("tiles, cut at both edges", (5, 7), "<u2", (2, 3)),
        ("tiles of a slide in colour", (40, 70, 3), "|u1", (32, 32)),
        ("tiles and no pixels", (0, 5), ">f4", (2, 2)),
        ("a tile for each frame", (2, 3, 4), ">i2", (1,)),
    ):
        array = pixels(shape, dtype)
        made.append(
            entry(
                name,
                array,
                images.encrypt(array, KEY, tiles=tiles, spare_recipients=0),
                [("secret-key", KEY.to_bytes())],
            )
        )
    return made


def cobblestone_blobs() -> list[dict]:
    made = []
    for size in (0, 1, 16383, 16384, 16385, 40000):
        for context in (b"", b"study 7"):
            salt, data = urandom(24), hashlib.shake_256(b"%d" % size).digest(size)
            blob = images.cobblestone.encrypt(KEY.to_bytes(), data, context, salt)
            made.append(
                {
                    "plaintext": f"SHAKE-256 of the ASCII digits of the size, {size} bytes",
                    "size": size,
                    "key": KEY.to_bytes().hex(),
                    "context": context.hex(),
                    "salt": salt.hex(),
                    "commitment": blob[24:56].hex(),
                    "blob_sha256": hashlib.sha256(blob).hexdigest(),
                }
            )
    return made


def write(name: str, vectors: list[dict]) -> None:
    text = json.dumps(vectors, indent=1, ensure_ascii=False)
    (HERE / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    vectors = sealed_images()
    write("cobblestone.json", cobblestone_blobs())
    write("sealed.json", vectors + post_quantum_images() + tiled_images())
