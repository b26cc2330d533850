"""The library against published vectors: those of ISO/IEC 18033-6, and ours, which the readable twin wrote."""

import json
from pathlib import Path

import numpy as np
import pytest

from medcrypt.errors import InvalidKeyError
from medcrypt.paillier import EncryptedArray, Packing, PrivateKey, PublicKey, phe
from medcrypt.paillier import linear_algebra as la
from reference import paillier as twin

FOLDER = Path(__file__).parent.parent / "vectors" / "paillier"


def vectors(name):
    return json.loads((FOLDER / f"{name}.json").read_text())["vectors"]


def identified(name):
    return [pytest.param(vector, id=f"{vector['bits']}-{i}") for i, vector in enumerate(vectors(name))]


@pytest.fixture(scope="module")
def standard():
    """The example of the standard: primes, two plaintexts with their randomness and ciphertexts, and the sum."""
    read = json.loads((FOLDER / "iso-18033-6.json").read_text())
    numbers = [{name: int(x, 16) for name, x in entry.items()} for entry in (*read["vectors"], read["sum"])]
    return int(read["p"], 16), int(read["q"], 16), *numbers


def test_the_example_of_iso_18033_6_on_every_kernel(standard, kernel_path, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    p, q, first, second, total = standard
    public = PublicKey(p * q)
    for vector in (first, second):
        assert public.raw_encrypt(vector["m"], vector["r"]) == vector["c"]
    assert public.group.multiply([first["c"]], [second["c"]]) == [total["c"]]
    private = phe.PaillierPrivateKey(phe.PaillierPublicKey(p * q), p, q)
    for vector in (first, second, total):
        assert private.raw_decrypt(vector["c"]) == vector["m"]


def test_the_example_of_iso_18033_6_in_the_interface_of_python_phe(standard):
    p, q, first, second, total = standard
    public = phe.PaillierPublicKey(p * q)
    assert public.raw_encrypt(first["m"], r_value=first["r"]) == first["c"]
    added = phe.EncryptedNumber(public, first["c"]) + phe.EncryptedNumber(public, second["c"])
    assert added.ciphertext(be_secure=False) == total["c"]
    assert phe.PaillierPrivateKey(public, p, q).decrypt(added) == total["m"]


def test_the_twin_agrees_with_iso_18033_6(standard):
    p, q, *vectors, total = standard
    key = twin.Key(p, q)
    assert [twin.encrypt(key, vector["m"], vector["r"]) for vector in vectors] == [v["c"] for v in vectors]
    assert twin.decrypt(key, total["c"]) == total["m"]


def test_the_primes_of_iso_18033_6_earn_no_short_exponents(standard):
    """Both are 3 modulo 4, but gcd(p - 1, q - 1) is 6: the standard does not ask for 2, short exponents do."""
    p, q, *_ = standard
    with pytest.raises(InvalidKeyError):
        PrivateKey(p, q)


@pytest.mark.parametrize("vector", identified("key-bytes"))
def test_key_bytes(vector_keys, vector):
    key = vector_keys[vector["bits"]]
    assert key.to_bytes().hex() == vector["private"]
    assert key.public.to_bytes().hex() == vector["public"]
    assert key.public.fingerprint.hex() == vector["fingerprint"]
    assert PublicKey.from_bytes(bytes.fromhex(vector["public"]), insecure=True) == key.public
    assert PrivateKey.from_bytes(bytes.fromhex(vector["private"]), insecure=True) == key


@pytest.mark.parametrize("vector", identified("textbook"))
def test_textbook_encryption(vector_keys, vector):
    private = vector_keys[vector["bits"]]
    m, r, c = (int(vector[name], 16) for name in "mrc")
    assert private.public.raw_encrypt(m, r) == c
    assert private.raw_encrypt(m, r) == c
    assert private.raw_decrypt(c) == m


@pytest.mark.parametrize("vector", identified("short-exponent"))
def test_short_exponent_encryption(vector_keys, vector, monkeypatch):
    private = vector_keys[vector["bits"]]
    m, s, c = (int(vector[name], 16) for name in "msc")
    assert private.public.h == int(vector["h"], 16)
    monkeypatch.setattr("medcrypt.paillier.encryption.random_exponents", lambda bits, count: [s] * count)
    assert private.public.raw_encrypt(m) == c
    assert private.raw_encrypt(m) == c
    assert private.raw_decrypt(c) == m


@pytest.mark.parametrize(
    "vector", vectors("packing"), ids=lambda vector: f"{vector['bits']}-{vector['max_terms']}"
)
def test_packing(vector):
    packing = Packing(float.fromhex(vector["clip"]), vector["bits"], vector["max_terms"])
    values = np.array([float.fromhex(x) for x in vector["values"]])
    plaintexts = [int(m, 16) for m in vector["plaintexts"]]
    assert (packing.slot_bits, packing.slots(vector["key_bits"])) == (vector["slot_bits"], vector["slots"])
    assert packing.quantise(values).tolist() == vector["integers"]
    assert packing.encode(values, vector["key_bits"]) == plaintexts
    assert (
        packing.decode_integers(plaintexts, values.size, 1, vector["key_bits"]).tolist() == vector["integers"]
    )


@pytest.mark.parametrize("vector", identified("arrays") + identified("arrays-version-2"))
def test_arrays(vector_keys, vector, monkeypatch):
    private = vector_keys[vector["bits"]]
    packing = Packing(
        *(float.fromhex(vector["clip"]), vector["value_bits"], vector["max_terms"]),
        signed=vector.get("signed", True),
        headroom=vector.get("headroom", 0),
    )
    values = np.reshape([float.fromhex(x) for x in vector["values"]], vector["shape"])
    randomness = [int(r, 16) for r in vector["r"]]
    monkeypatch.setattr("medcrypt.paillier.encryption.random_units", lambda n, count: randomness[:count])
    context = bytes.fromhex(vector["context"])
    encrypted = private.public.encrypt(values, packing, context=context, mode="textbook")
    assert encrypted.to_bytes().hex() == vector["bytes"]
    assert (3 * encrypted + encrypted).to_bytes().hex() == vector["fourfold_bytes"]
    monkeypatch.undo()
    total = EncryptedArray.from_bytes(bytes.fromhex(vector["fourfold_bytes"]), private.public)
    assert private.decrypt_integers(total).ravel().tolist() == vector["fourfold_integers"]
    assert [x.hex() for x in private.decrypt(total).ravel().tolist()] == vector["fourfold_values"]


@pytest.mark.parametrize("vector", identified("scalars"))
def test_scalars(vector_keys, vector, monkeypatch):
    private = vector_keys[vector["bits"]]
    randomness, context = [int(r, 16) for r in vector["r"]], bytes.fromhex(vector["context"])
    monkeypatch.setattr("medcrypt.paillier.encryption.random_units", lambda n, count: randomness[:count])
    bits = vector["value_bits"]
    encrypted = la.encrypt_integers(
        private.public, vector["integers"], bits=bits, context=context, mode="textbook"
    )
    assert encrypted.to_bytes().hex() == vector["bytes"]
    assert (np.array(vector["matrix"]) @ encrypted).to_bytes().hex() == vector["product_bytes"]
    monkeypatch.undo()
    product = la.EncryptedScalars.from_bytes(bytes.fromhex(vector["product_bytes"]), private.public)
    assert la.decrypt_integers(private, product).tolist() == vector["product_integers"]
