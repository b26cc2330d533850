"""Make `chaotic.json` with the twin in Python integers: ``python tests/vectors/images/generate_chaotic.py``."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from reference import chaotic_cipher  # noqa: E402

SIZES = (0, 1, 511, 512, 513, 1500, 4096)


def pattern(size: int) -> bytes:
    """Bytes that repeat at no power of two."""
    return bytes(i * 2654435761 % 251 for i in range(size))


def vectors() -> list[dict[str, object]]:
    """One vector of each cipher for each size."""
    found = []
    for number, size in enumerate(SIZES):
        key, nonce = pattern(40 + number)[-32:], pattern(60 + number)[-16:]
        context, data = pattern(number), pattern(size)
        siv, sealed = chaotic_cipher.encrypt(key, nonce, data, context)
        common = {"key": key.hex(), "nonce": nonce.hex(), "context": context.hex(), "plaintext": data.hex()}
        found.append(common | {"cipher": "chaotic", "synthetic_iv": siv.hex(), "ciphertext": sealed.hex()})
        stream = chaotic_cipher.crypt_counter(key, nonce, data, context)
        found.append(common | {"cipher": "chaotic-ctr", "synthetic_iv": "", "ciphertext": stream.hex()})
    return found


if __name__ == "__main__":
    (HERE / "chaotic.json").write_text(json.dumps(vectors(), indent=1) + "\n", "utf-8")
