"""The vectors of encrypted regions, opened by the library and by a reader that was written from the format page."""

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_strategies import same

from medcrypt import Identity, Passphrase, SecretKey
from medcrypt.images import decrypt_regions, sidecar
from reference import regions as twin

FILE = Path(__file__).parents[1] / "vectors" / "images" / "regions.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
AS_KEY = {
    "secret-key": SecretKey.from_bytes,
    "identity": Identity.from_bytes,
    "passphrase": lambda data: Passphrase(data.decode()),
}
vectors = pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])


def array_of(vector: dict[str, Any], name: str) -> np.ndarray:
    data = zlib.decompress(base64.b64decode(vector[f"{name}_zlib_base64"]))
    return np.frombuffer(data, vector["dtype"]).reshape(vector["shape"])


@vectors
def test_both_readers_restore_the_image(vector: dict[str, Any], kernel_path: str, monkeypatch: Any) -> None:
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    data, context = base64.b64decode(vector["sidecar_base64"]), bytes.fromhex(vector["context"])
    plain, encrypted = array_of(vector, "pixels"), array_of(vector, "encrypted")
    for key in vector["keys"]:
        kind, secret = key["kind"], bytes.fromhex(key["bytes"])
        assert same(decrypt_regions(encrypted, data, AS_KEY[kind](secret), context), plain)
        assert same(twin.read(encrypted, data, kind, secret, context), plain)


@vectors
def test_both_writers_give_the_encrypted_image_and_the_tag(vector: dict[str, Any]) -> None:
    data, context = base64.b64decode(vector["sidecar_base64"]), bytes.fromhex(vector["context"])
    parts, key = twin.take_apart(data), vector["keys"][0]
    file_key = twin.find_file_key(parts, key["kind"], bytes.fromhex(key["bytes"]))
    written, tag = twin.encrypt(array_of(vector, "pixels"), parts, file_key, context)
    assert same(written, array_of(vector, "encrypted"))
    assert tag == parts.tag


@vectors
def test_the_header_is_written_as_it_was_read(vector: dict[str, Any]) -> None:
    data = base64.b64decode(vector["sidecar_base64"])
    header, slot, tag = sidecar.parse(data)
    assert header.header + slot + tag == data


def test_pixels_outside_of_the_regions_are_as_they_were() -> None:
    for vector in VECTORS:
        parts = twin.take_apart(base64.b64decode(vector["sidecar_base64"]))
        plain, encrypted = (array_of(vector, name).reshape(-1) for name in ("pixels", "encrypted"))
        outside = np.delete(np.arange(plain.size), parts.inside)
        assert plain[outside].tobytes() == encrypted[outside].tobytes()
