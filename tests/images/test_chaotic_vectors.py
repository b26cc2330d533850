"""The vectors of the chaotic cipher, on every path."""

import json
from pathlib import Path

import numpy as np
import pytest

from medcrypt import SecretKey
from medcrypt.images import chaotic
from reference import chaotic_cipher as reference

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/images/chaotic.json").read_text("utf-8"))


@pytest.fixture(params=VECTORS, ids=lambda vector: f"{vector['cipher']}-{len(vector['plaintext']) // 2}")
def vector(request):
    return {
        name: value if name == "cipher" else bytes.fromhex(value) for name, value in request.param.items()
    }


def test_the_library_makes_and_opens_it(vector, kernel_path, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    key, plain = SecretKey.from_bytes(vector["key"]), np.frombuffer(vector["plaintext"], np.uint8)
    how = {"cipher": vector["cipher"], "context": vector["context"]}
    bare = chaotic.encrypt(plain, key, nonce=vector["nonce"], authenticated=False, **how)
    assert (bare.synthetic_iv, bare.pixels.tobytes()) == (vector["synthetic_iv"], vector["ciphertext"])
    assert chaotic.decrypt(bare, key, context=vector["context"]).tobytes() == vector["plaintext"]


def test_the_twin_opens_it(vector):
    key, nonce, context = vector["key"], vector["nonce"], vector["context"]
    if vector["cipher"] == "chaotic":
        found = reference.decrypt(key, nonce, vector["synthetic_iv"], vector["ciphertext"], context)
    else:
        found = reference.crypt_counter(key, nonce, vector["ciphertext"], context)
    assert found == vector["plaintext"]
