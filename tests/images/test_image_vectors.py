"""The vectors of sealed images open with the library and with the reader written from the format page."""

import base64
import hashlib
import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from medcrypt import AuthenticationError, Identity, Passphrase, Recipient, SecretKey, images
from reference import sealed_image as reference

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/images/sealed.json").read_text("utf-8"))
KINDS = {
    "secret-key": SecretKey,
    "identity": Identity,
    "hybrid-identity": partial(Identity, post_quantum=True),
    "passphrase": Passphrase,
}


@pytest.fixture(params=VECTORS, ids=lambda vector: vector["name"])
def vector(request):
    return request.param


def right(array: np.ndarray, vector: dict) -> bool:
    found = hashlib.sha256(array.tobytes()).hexdigest(), array.dtype.str, list(array.shape)
    return found == (vector["pixels_sha256"], vector["dtype"], vector["shape"])


def test_the_library_opens_it_with_each_key(vector):
    sealed, context = base64.b64decode(vector["sealed_base64"]), bytes.fromhex(vector["context"])
    for key in vector["keys"]:
        held = KINDS[key["kind"]](bytes.fromhex(key["bytes"]))
        assert right(images.decrypt(sealed, held, context=context), vector)
        with images.open(sealed, held, context=context) as image:
            assert right(image[...], vector)
            assert image.metadata == vector["metadata"]
            assert image.public_metadata == vector["public_metadata"]


def test_the_second_reader_opens_it_with_each_key(vector):
    sealed, context = base64.b64decode(vector["sealed_base64"]), bytes.fromhex(vector["context"])
    sender = bytes.fromhex(vector["sender"]) if vector["sender"] else None
    for key in vector["keys"]:
        opened = reference.read(sealed, key["kind"], bytes.fromhex(key["bytes"]), context, sender)
        assert right(opened.array, vector)
        assert opened.metadata == vector["metadata"]
        assert opened.public == vector["public_metadata"]


def test_the_signed_vector_names_its_sender_and_no_other():
    vector = next(vector for vector in VECTORS if vector["sender"])
    sealed, context = base64.b64decode(vector["sealed_base64"]), bytes.fromhex(vector["context"])
    key = SecretKey(bytes.fromhex(vector["keys"][0]["bytes"]))
    sender = Identity(bytes(range(64))).recipient
    assert sender.verifying_key.hex() == vector["sender"]
    assert right(images.decrypt(sealed, key, context=context, sender=sender), vector)
    other: Recipient = Identity(bytes(64)).recipient
    with pytest.raises(AuthenticationError):
        images.decrypt(sealed, key, context=context, sender=other)
    with pytest.raises(reference.RefusedError):
        reference.read(sealed, "secret-key", key.to_bytes(), context, other.verifying_key)
