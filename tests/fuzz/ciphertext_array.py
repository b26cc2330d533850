"""Arrays of Paillier ciphertexts as bytes, under a key that the reader knows."""

import numpy as np

from medcrypt import paillier

# Short, so that the fuzzer is quick, and always the same, so that an earlier corpus still fits.
PRIVATE = paillier.PrivateKey(
    0xBAB9DBDDCAD93E88ACDAA0E913E6C4DF, 0xCBCF1756BF1CE8ED13D46C46C2C8A8EB, insecure=True
)
PUBLIC = PRIVATE.public


def seeds() -> list[bytes]:
    packing = paillier.Packing(clip=8.0, bits=16, max_terms=10)
    arrays = (np.linspace(-1.0, 1.0, 6).reshape(2, 3), np.zeros(100), np.array(0.5), np.zeros((0, 2)))
    return [PUBLIC.encrypt(array, packing).to_bytes() for array in arrays]


def parse(data: bytes) -> None:
    array = paillier.EncryptedArray.from_bytes(data, PUBLIC)
    if array.to_bytes() != data:
        raise RuntimeError("two encodings of one array")
    PRIVATE.decrypt(array)
