"""Keys for the tests: small ones drawn for each session, large ones from the public vectors."""

import json
from pathlib import Path

import pytest

from medcrypt.paillier import PrivateKey, generate_keypair

VECTORS = Path(__file__).parent.parent / "vectors" / "paillier"


@pytest.fixture(scope="session")
def vector_keys():
    """The published test keys, by length of n; that they pass all checks is a test of its own."""
    listed = json.loads((VECTORS / "keys.json").read_text())["keys"]
    return {key["bits"]: PrivateKey._of_primes(int(key["p"], 16), int(key["q"], 16)) for key in listed}


@pytest.fixture(scope="session")
def private():
    """A fresh key of 512 bits: fourteen slots of 36 bits, and a millisecond an operation."""
    return generate_keypair(512, insecure=True)[1]


@pytest.fixture(scope="session")
def public(private):
    return private.public


@pytest.fixture(scope="session")
def stranger():
    """A private key that has nothing to do with `private`."""
    return generate_keypair(512, insecure=True)[1]


@pytest.fixture(autouse=True)
def _no_insecure_environment(monkeypatch):
    monkeypatch.delenv("MEDCRYPT_ALLOW_INSECURE_KEYS", raising=False)
