"""Make dcf.json with the plain Python twin; run once: ``python tests/vectors/inference/generate_dcf.py``."""

import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from reference import dcf  # noqa: E402

BLOCK = 16


def words(label: str, count: int, bits: int) -> list[int]:
    """Numbers that anyone can make again: the start of SHA-256 of a label and a number."""
    digests = (hashlib.sha256(f"{label} {k}".encode()).digest() for k in range(count))
    return [int.from_bytes(digest[:8], "little") >> 64 - bits for digest in digests]


def vector(kind: str, bits: int, payload: int) -> dict[str, object]:
    """One batch of three functions."""
    label, comparison = f"{kind} {bits} {payload}", kind == "comparison"
    hash_key = hashlib.sha256(label.encode()).digest()[:16]
    roots = b"".join(hashlib.sha256(f"{label} roots {k}".encode()).digest() for k in range(BLOCK))
    alpha, beta = words(f"{label} alpha", 3, bits), words(f"{label} beta", 3, 8 * payload)
    x = [alpha[0], max(alpha[1] - 1, 0), words(f"{label} x", 1, bits)[0]]
    padded = [*zip(alpha, beta, strict=True), *[(0, 0)] * (BLOCK - 3)]
    pairs = []
    for k, (a, b) in enumerate(padded):
        seeds = [int.from_bytes(roots[32 * k + 16 * p :][:16], "little") for p in range(2)]
        pairs.append(dcf.generate(hash_key, comparison, bits, payload, a, b, seeds))
    own = [[pair[party] for pair in pairs] for party in range(2)]
    values = [
        [dcf.evaluate(hash_key, comparison, bits, payload, party, own[party][k], x[k]) for k in range(3)]
        for party in range(2)
    ]
    return {
        "kind": kind,
        "bits": bits,
        "payload": payload,
        "hash_key": hash_key.hex(),
        "roots": roots.hex(),
        "alpha": [str(n) for n in alpha],
        "beta": [str(n) for n in beta],
        "x": [str(n) for n in x],
        "keys": [dcf.blocks(keys, comparison, payload).hex() for keys in own],
        "values": [[str(n) for n in row] for row in values],
    }


if __name__ == "__main__":
    shapes = [
        ("comparison", 5, 4),
        ("comparison", 12, 8),
        ("comparison", 31, 4),
        ("point", 4, 8),
        ("point", 9, 4),
    ]
    vectors = [vector(*shape) for shape in shapes]
    (HERE / "dcf.json").write_text(json.dumps(vectors, indent=1) + "\n")
