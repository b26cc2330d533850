"""The vectors of DICOM files open with the library and with the reader written from the format page."""

import base64
import hashlib
import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import FormatError, Identity, MedcryptError, Recipient, SecretKey
from medcrypt.integrations import dicom
from medcrypt.integrations.dicom.remainder import Remainder
from reference import dicom_parts as twin
from reference.sealed_image import RefusedError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/integrations/dicom.json").read_text("utf-8"))
BY_NAME = {vector["name"]: vector for vector in VECTORS}
KEY = SecretKey.from_bytes(bytes(range(32)))
SIGNER = Identity.from_bytes(bytes(range(64)))
Vector = dict[str, Any]


def original(vector: Vector) -> bytes:
    return base64.b64decode(vector["original_base64"])


def encrypted(vector: Vector) -> bytes:
    return base64.b64decode(vector["encrypted_base64"])


def opener(key: dict[str, str]) -> SecretKey | Identity:
    return {"secret-key": SecretKey, "identity": Identity}[key["kind"]](bytes.fromhex(key["bytes"]))


def sender(vector: Vector) -> Recipient | None:
    return SIGNER.recipient if vector["sender"] else None


@pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)
def test_the_library_restores_it_with_each_key(vector: Vector) -> None:
    restore = dicom.decrypt_attributes if vector["name"].startswith("attributes") else dicom.decrypt_pixels
    for key in vector["keys"]:
        options = {"context": bytes.fromhex(vector["context"]), "sender": sender(vector)}
        assert restore(encrypted(vector), opener(key), **options) == original(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)
def test_the_second_reader_restores_it_with_each_key(vector: Vector) -> None:
    for key in vector["keys"]:
        restored = twin.read(
            encrypted(vector),
            key["kind"],
            bytes.fromhex(key["bytes"]),
            bytes.fromhex(vector["context"]),
            bytes.fromhex(vector["sender"]) if vector["sender"] else None,
        )
        assert restored == original(vector)


def value_places(data: bytes, tags: set[int]) -> dict[int, range]:
    """Return where the values of data elements lie, and all those of the private block."""
    at, places = 132, {}
    for part in twin.elements(data):
        for tag, value, whole in part:
            at += len(whole)
            if tag in tags or tag >> 16 == 0x7FDF:
                places[tag] = range(at - len(value), at)
    return places


@pytest.mark.parametrize("name", ["all pixels", "regions, an odd number of bytes", "attributes"])
def test_every_changed_byte_of_block_pixels_and_uid_is_refused_by_both(name: str) -> None:
    data, pixels = encrypted(BY_NAME[name]), 0x7FE00010
    restore = dicom.decrypt_attributes if name == "attributes" else dicom.decrypt_pixels
    places = value_places(data, {0x00080018, pixels})
    assert len(places) >= 4
    for place in (place for found in places.values() for place in found[:: 1 if len(found) < 50 else 5]):
        changed = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]
        with pytest.raises(MedcryptError):
            restore(changed, KEY)
        with pytest.raises(RefusedError):
            twin.read(changed, "secret-key", KEY.to_bytes())


def test_padding_that_is_not_zero_is_refused() -> None:
    data = encrypted(BY_NAME["regions"])
    place = value_places(data, set())[0x7FDF1002][-1]
    assert len(twin.block(twin.elements(data)[1])[2]) % 2
    changed = data[:place] + b"\7" + data[place + 1 :]
    with pytest.raises(FormatError):
        dicom.decrypt_pixels(changed, KEY)
    with pytest.raises(RefusedError):
        twin.read(changed, "secret-key", KEY.to_bytes())


@pytest.mark.parametrize("length", [0, 1, 2**31, 2**63, 2**64 - 1])
def test_an_element_that_says_another_length_is_refused(length: int) -> None:
    data = encrypted(BY_NAME["regions"])
    begin = data.index(struct.pack("<HH", 0x7FDF, 0x1002) + b"OB\0\0") + 12
    changed = data[:begin] + struct.pack("<Q", length) + data[begin + 8 :]
    with pytest.raises(MedcryptError):
        dicom.decrypt_pixels(changed, KEY)
    with pytest.raises(RefusedError):
        twin.read(changed, "secret-key", KEY.to_bytes())


@given(
    tags=st.lists(st.integers(0, 2**32 - 1), max_size=3),
    start=st.integers(0, 20),
    value=st.binary(max_size=9),
    rest=st.binary(max_size=12),
    cut=st.integers(0, 30),
    padding=st.sampled_from([b"", b"\0", b"x", b"\0\0"]),
)
def test_library_and_twin_join_the_same_remainders(
    tags: list[int], start: int, value: bytes, rest: bytes, cut: int, padding: bytes
) -> None:
    digest = hashlib.sha512(value).digest()
    data = Remainder(start, len(value), digest, rest, tuple(tags)).to_bytes()
    data = data[: -cut or None]
    try:
        joined = Remainder.from_bytes(data).join(value + padding)
    except MedcryptError:
        with pytest.raises(RefusedError):
            twin.around(data, value + padding)
        return
    assert twin.around(data, value + padding) == joined
