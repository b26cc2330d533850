"""Arrays of Paillier ciphertexts as bytes, under a key that the reader knows."""

import numpy as np

from medcrypt import paillier

PUBLIC, PRIVATE = paillier.generate_keypair(bits=2048)


def seeds() -> list[bytes]:
    packing = paillier.Packing(clip=8.0, bits=32, max_terms=10)
    arrays = (np.linspace(-1.0, 1.0, 6).reshape(2, 3), np.zeros(100), np.array(0.5), np.zeros((0, 2)))
    return [PUBLIC.encrypt(array, packing).to_bytes() for array in arrays]


def parse(data: bytes) -> None:
    array = paillier.EncryptedArray.from_bytes(data, PUBLIC)
    # The format is canonical: what was understood is written back the same.
    if array.to_bytes() != data:
        raise RuntimeError("two encodings of one array")
    PRIVATE.decrypt(array)
