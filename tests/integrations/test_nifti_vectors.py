"""The vectors of NIfTI files open with the library and with the reader written from the format page."""

import base64
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import FormatError, Identity, MedcryptError, Recipient, SecretKey
from medcrypt.integrations import nifti
from reference import nifti_voxels as twin
from reference.sealed_image import RefusedError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/integrations/nifti.json").read_text("utf-8"))
BY_NAME = {vector["name"]: vector for vector in VECTORS}
KEY = SecretKey.from_bytes(bytes(range(32)))
SIGNER = Identity.from_bytes(bytes(range(64)))
Vector = dict[str, Any]


def original(vector: Vector) -> bytes:
    return zlib.decompress(base64.b64decode(vector["original_zlib_base64"]))


def sealed(vector: Vector) -> bytes:
    return base64.b64decode(vector["sealed_base64"])


def opener(key: dict[str, str]) -> SecretKey | Identity:
    return {"secret-key": SecretKey, "identity": Identity}[key["kind"]](bytes.fromhex(key["bytes"]))


def sender(vector: Vector) -> Recipient | None:
    return SIGNER.recipient if vector["sender"] else None


@pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)
def test_the_library_restores_it_with_each_key(vector: Vector) -> None:
    for key in vector["keys"]:
        restored = nifti.unseal_voxels(
            sealed(vector), opener(key), context=bytes.fromhex(vector["context"]), sender=sender(vector)
        )
        assert restored == original(vector)


@pytest.mark.parametrize("vector", VECTORS, ids=BY_NAME)
def test_the_second_reader_restores_it_with_each_key(vector: Vector) -> None:
    for key in vector["keys"]:
        restored = twin.read(
            sealed(vector),
            key["kind"],
            bytes.fromhex(key["bytes"]),
            bytes.fromhex(vector["context"]),
            bytes.fromhex(vector["sender"]) if vector["sender"] else None,
        )
        assert restored == original(vector)


def refused(data: bytes) -> None:
    with pytest.raises(MedcryptError):
        nifti.unseal_voxels(data, KEY)
    with pytest.raises((RefusedError, struct.error)):
        twin.read(data, "secret-key", KEY.to_bytes())


@given(place=st.integers(0, 2**20), bit=st.integers(0, 7))
def test_library_and_twin_refuse_any_flipped_bit(place: int, bit: int) -> None:
    data = bytearray(sealed(BY_NAME["an extension, bytes after the voxels"]))
    data[place % len(data)] ^= 1 << bit
    refused(bytes(data))


@given(cut=st.integers(1, 2**20), more=st.binary(max_size=3))
def test_library_and_twin_refuse_any_cut_and_extension(cut: int, more: bytes) -> None:
    data = sealed(BY_NAME["int16"])
    refused(data[: -(cut % len(data)) or None] + (more or b"\0"))


START = 352  # of the extension, behind a NIfTI-1 header and its flag


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (START, struct.pack("<i", -16)),
        (START, struct.pack("<i", 2**31 - 1)),
        (START, struct.pack("<i", 20)),
        (START + 4, struct.pack("<i", 6)),
        (START + 8, b"medcryptn"),
        (START + 17, b"\2"),
        (START + 18, b"\1"),
        (START + 19, b"\1"),
        (START + 20, struct.pack("<I", 0)),
        (START + 20, struct.pack("<I", 19)),
        (START + 20, struct.pack("<I", 2**32 - 1)),
        (START + 24 + 12, struct.pack("<I", 2**32 - 1)),
        (START + 24 + 16, struct.pack("<I", 2**32 - 1)),
        (348, b"\0"),
        (108, struct.pack("<f", 352)),
        (108, struct.pack("<f", float("nan"))),
        (108, struct.pack("<f", float("inf"))),
        (108, struct.pack("<f", 1e30)),
    ],
)
def test_an_extension_that_is_not_of_this_form_is_refused(place: int, value: bytes) -> None:
    data = sealed(BY_NAME["int16"])
    changed = data[:place] + value + data[place + len(value) :]
    with pytest.raises(MedcryptError):
        nifti.unseal_voxels(changed, KEY)
    with pytest.raises((RefusedError, struct.error, ValueError, OverflowError)):
        twin.read(changed, "secret-key", KEY.to_bytes())


def test_padding_that_is_not_zero_is_refused() -> None:
    vector = BY_NAME["int16"]
    data = bytearray(sealed(vector))
    (size,) = struct.unpack_from("<i", data, START)
    (length,) = struct.unpack_from("<I", data, START + 20)
    assert 24 + length < size  # there is padding
    data[START + size - 1] = 1
    with pytest.raises(FormatError):
        nifti.unseal_voxels(bytes(data), KEY)
    refused(bytes(data))
