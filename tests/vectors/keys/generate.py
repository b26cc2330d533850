"""Make the vectors of keys anew: python tests/vectors/keys/generate.py

As in tests/vectors/images, os.urandom is SHAKE-256 here.
"""

import hashlib
import itertools
import json
import os
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DRAWS = itertools.count(1)


def urandom(size: int) -> bytes:
    """Stand in for os.urandom: the n-th draw is SHAKE-256 of n."""
    return hashlib.shake_256(b"medcrypt key vectors" + next(DRAWS).to_bytes(8, "big")).digest(size)


os.urandom = urandom  # before pycryptodome takes its reference

from medcrypt import Identity, SecretKey  # noqa: E402
from medcrypt.keys.wrapping import wrap  # noqa: E402

PASSPHRASE = "naïve café"


def file_of(key: SecretKey | Identity, passphrase: str | None) -> str:
    with tempfile.TemporaryDirectory() as folder:
        key.save(Path(folder) / "key", passphrase=passphrase)
        return (Path(folder) / "key").read_text("ascii")


def vectors() -> dict:
    key, identity = SecretKey.from_bytes(bytes(range(32))), Identity.from_bytes(bytes(range(64)))
    return {
        "secret_key": {
            "bytes": key.to_bytes().hex(),
            "fingerprint": key.fingerprint.hex(),
            "file": file_of(key, None),
            "passphrase": PASSPHRASE,
            "sealed_file": file_of(key, PASSPHRASE),
        },
        "identity": {
            "bytes": identity.to_bytes().hex(),
            "fingerprint": identity.fingerprint.hex(),
            "recipient": identity.recipient.to_bytes().hex(),
            "recipient_line": str(identity.recipient),
            "file": file_of(identity, None),
        },
        "seal": {
            "secret": b"file key".hex(),
            "info": b"vectors".hex(),
            "sealed": identity.recipient.seal(b"file key", b"vectors").hex(),
        },
        "sign": {
            "message": b"report".hex(),
            "signature": identity.sign(b"report").hex(),
        },
        "wrap": {
            "secret": b"secret".hex(),
            "context": b"context".hex(),
            "wrapped": wrap(key.to_bytes(), b"secret", b"context").hex(),
        },
        # Last, because ML-KEM checks its keys with random draws: they would shift all that follows.
        "hybrid_identity": hybrid_vectors(),
    }


def hybrid_vectors() -> dict:
    hybrid = Identity.from_bytes(bytes(range(64)), post_quantum=True)
    return {
        "bytes": hybrid.to_bytes().hex(),
        "fingerprint": hybrid.fingerprint.hex(),
        "recipient_sha256": hashlib.sha256(hybrid.recipient.to_bytes()).hexdigest(),
        "recipient_line": str(hybrid.recipient),
        "file": file_of(hybrid, None),
        "secret": b"file key".hex(),
        "info": b"vectors".hex(),
        "sealed": hybrid.recipient.seal(b"file key", b"vectors").hex(),
    }


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1, ensure_ascii=False)
    (HERE / "keys.json").write_text(text + "\n", encoding="utf-8")
