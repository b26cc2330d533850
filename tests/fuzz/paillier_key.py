"""Public and private Paillier keys as bytes."""

from contextlib import suppress

from medcrypt import paillier
from medcrypt.errors import MedcryptError


def seeds() -> list[bytes]:
    public, private = paillier.generate_keypair(bits=2048)
    return [public.to_bytes(), private.to_bytes()]


def parse(data: bytes) -> None:
    for kind in (paillier.PublicKey, paillier.PrivateKey):
        with suppress(MedcryptError):
            kind.from_bytes(data)
