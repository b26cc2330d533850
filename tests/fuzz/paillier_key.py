"""Public and private Paillier keys as bytes, of the lengths that are secure and of shorter ones."""

from contextlib import suppress

from ciphertext_array import PRIVATE

from medcrypt import paillier
from medcrypt.errors import MedcryptError


def seeds() -> list[bytes]:
    public, private = paillier.generate_keypair(bits=2048)
    return [key.to_bytes() for key in (public, private, PRIVATE.public, PRIVATE)]


def parse(data: bytes) -> None:
    for kind in (paillier.PublicKey, paillier.PrivateKey):
        for insecure in (False, True):
            with suppress(MedcryptError):
                _check(kind.from_bytes(data, insecure=insecure), data)


def _check(key: paillier.PublicKey | paillier.PrivateKey, data: bytes) -> None:
    if key.to_bytes() != data:
        raise RuntimeError("two encodings of one key")
