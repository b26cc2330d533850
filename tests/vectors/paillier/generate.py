"""Write the vectors of this folder from the keys in keys.json, with the readable twin only.

    PYTHONPATH=tests python tests/vectors/paillier/generate.py

Running it again gives the same bytes: all randomness is SHAKE-256 of a label. A second implementation needs
docs/formats/paillier.md and the JSON files, not this script. Integers are hexadecimal without a prefix.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from reference import paillier as twin
from reference import paillier_proofs as proofs
from reference import paillier_threshold as threshold

FOLDER = Path(__file__).parent


def main() -> None:
    listed = json.loads((FOLDER / "keys.json").read_text())["keys"]
    keys = {entry["bits"]: twin.Key(int(entry["p"], 16), int(entry["q"], 16)) for entry in listed}
    write("key-bytes", [key_vector(bits, key) for bits, key in keys.items()])
    write("textbook", [vector for item in keys.items() for vector in textbook_vectors(*item)])
    write("short-exponent", [short_vector(bits, key) for bits, key in keys.items()])
    write("packing", packing_vectors(keys))
    signed = twin.Layout(8.0, 32, 10)
    write("arrays", [array_vector(bits, keys[bits], signed) for bits in (512, 2048, 3072)])
    others = [
        twin.Layout(8.0, 16, 10, signed, headroom) for signed, headroom in ((True, 9), (False, 0), (False, 7))
    ]
    write("arrays-version-2", [array_vector(512, keys[512], layout) for layout in others])
    write("scalars", [scalars_vector(bits, keys[bits]) for bits in (512, 2048)])
    write("proofs", [proof_vector(bits, keys[bits]) for bits in (256, 512)])
    safe = json.loads((FOLDER / "safe-primes.json").read_text())["keys"]
    write("threshold", [threshold_vector(twin.Key(int(key["p"], 16), int(key["q"], 16))) for key in safe])


def write(name: str, vectors: list[dict[str, Any]]) -> None:
    (FOLDER / f"{name}.json").write_text(json.dumps({"vectors": vectors}, indent=1) + "\n")


def key_vector(bits: int, key: twin.Key) -> dict[str, Any]:
    return {
        "bits": bits,
        "public": twin.public_key_bytes(key.n).hex(),
        "private": twin.private_key_bytes(key).hex(),
        "fingerprint": twin.fingerprint(key.n).hex(),
    }


def textbook_vectors(bits: int, key: twin.Key) -> list[dict[str, Any]]:
    n = key.n
    cases = [(0, 1), (1, 2), (n - 1, n - 1), (drawn(f"m {bits}", n), drawn(f"r {bits}", n))]
    return [
        {"bits": bits, "m": f"{m:x}", "r": f"{r:x}", "c": f"{twin.encrypt(key, m, r):x}"} for m, r in cases
    ]


def short_vector(bits: int, key: twin.Key) -> dict[str, Any]:
    m, s = drawn(f"m short {bits}", key.n), drawn(f"s {bits}", 1 << 512)
    c = twin.encrypt_short(key.n, m, s)
    h = twin.short_exponent_base(key.n)
    return {"bits": bits, "h": f"{h:x}", "m": f"{m:x}", "s": f"{s:x}", "c": f"{c:x}"}


def packing_vectors(keys: dict[int, twin.Key]) -> list[dict[str, Any]]:
    layouts = [(8.0, 32, 10), (1.0, 8, 10), (0.1, 16, 1), (2.5, 24, 10), (3.0, 53, 1024), (1.0, 2, 3)]
    vectors = []
    for clip, bits, max_terms in layouts:
        layout = twin.Layout(clip, bits, max_terms)
        values = [clip * (drawn(f"x {bits} {i}", 2001) - 1000) / 1000 for i in range(40)] + [clip, -clip, 0.0]
        integers = [twin.quantise(layout, x) for x in values]
        plaintexts = twin.pack(layout, keys[512].n, integers)
        vectors.append(
            {
                "key_bits": 512,
                "clip": clip.hex(),
                "bits": bits,
                "max_terms": max_terms,
                "slot_bits": layout.slot_bits,
                "slots": layout.slots(keys[512].n),
                "values": [x.hex() for x in values],
                "integers": integers,
                "plaintexts": [f"{m:x}" for m in plaintexts],
            }
        )
    return vectors


def array_vector(bits: int, key: twin.Key, layout: twin.Layout) -> dict[str, Any]:
    """Encrypt a 2 x 3 array, then weigh it by 3 and add it to itself."""
    shape, context = (2, 3), b"round 7"
    values = [0.5, -8.0, 8.0, 0.0, 1.25, -3.0]
    if not layout.signed:
        values = [abs(x) for x in values]
    integers = [twin.quantise(layout, x) for x in values]
    plaintexts = twin.pack(layout, key.n, integers)
    randomness = [drawn(f"array {bits} {i}", key.n) for i in range(len(plaintexts))]
    ciphertexts = [twin.encrypt(key, m, r) for m, r in zip(plaintexts, randomness, strict=True)]
    fourfold = [pow(c, 4, key.n**2) for c in ciphertexts]
    return {
        "bits": bits,
        "clip": layout.clip.hex(),
        "value_bits": layout.bits,
        "max_terms": layout.max_terms,
        **(
            {}
            if layout == twin.Layout(8.0, 32, 10)
            else {"signed": layout.signed, "headroom": layout.headroom}
        ),
        "shape": shape,
        "context": context.hex(),
        "values": [x.hex() for x in values],
        "r": [f"{r:x}" for r in randomness],
        "bytes": twin.array_bytes(layout, key.n, ciphertexts, shape, 1, context).hex(),
        "fourfold_bytes": twin.array_bytes(layout, key.n, fourfold, shape, 4, context).hex(),
        "fourfold_integers": [4 * q for q in integers],
        "fourfold_values": [twin.dequantise(layout, 4 * q).hex() for q in integers],
    }


def scalars_vector(bits: int, key: twin.Key) -> dict[str, Any]:
    """Encrypt three integers of at most 8 bits, one to a ciphertext, and multiply a plain matrix by them."""
    n, context, integers, bound = key.n, b"model 3", [5, -127, 100], 127
    matrix = [[3, 0, -2], [-1, 1, 40]]
    randomness = [drawn(f"scalars {bits} {i}", n) for i in range(len(integers))]
    ciphertexts = [twin.encrypt(key, m % n, r) for m, r in zip(integers, randomness, strict=True)]
    products = [twin.weighted_product(n, ciphertexts, row) for row in matrix]
    weight = max(sum(map(abs, row)) for row in matrix)
    sums = [sum(w * m for w, m in zip(row, integers, strict=True)) for row in matrix]
    assert [(twin.decrypt(key, c) + n // 2) % n - n // 2 for c in products] == sums
    return {
        "bits": bits,
        "value_bits": 8,
        "context": context.hex(),
        "integers": integers,
        "r": [f"{r:x}" for r in randomness],
        "bytes": twin.scalars_bytes(n, ciphertexts, (3,), bound, 1.0, context).hex(),
        "matrix": matrix,
        "product_bytes": twin.scalars_bytes(n, products, (2,), weight * bound, 1.0, context).hex(),
        "product_integers": sums,
    }


# Safe primes, drawn once and public like the keys.
SAFE_P, SAFE_Q = 0xCBF4DCE79411571EF9780E1F5B03E523, 0xF1F9F4F0E3F0FF45ADD9AFF490D2153B


def proof_vector(bits: int, key: twin.Key) -> dict[str, Any]:
    """Prove a key to a verifier with parameters of 256 bits."""
    context = f"vector of {bits} bits".encode()
    parameters = proofs.make_parameters(SAFE_P, SAFE_Q, context, drawn)
    triple = proofs.verify_parameters(parameters, context)
    return {
        "bits": bits,
        "context": context.hex(),
        "n": f"{key.n:x}",
        "blum": proofs.prove_blum(key.p, key.q, context, drawn).hex(),
        "ring_pedersen": parameters.hex(),
        "factors": proofs.prove_factors(key.p, key.q, triple, context, drawn).hex(),
    }


def threshold_vector(key: twin.Key) -> dict[str, Any]:
    """Deal a key to five parties, three of whom decrypt; all five do so."""
    n, context, layout, shape = key.n, b"round 7", twin.Layout(8.0, 32, 10), (3, 7)
    bits = n.bit_length()
    public, shares = threshold.deal(
        *(key.p, key.q, 5, 3), draw=lambda label, limit: drawn(f"threshold {bits} {label}", limit)
    )
    integers = [drawn(f"threshold {bits} x {i}", 2**32) - 2**31 for i in range(21)]
    plaintexts = twin.pack(layout, n, integers)
    randomness = [drawn(f"threshold {bits} r {i}", n) for i in range(len(plaintexts))]
    ciphertexts = [twin.encrypt(key, m, r) for m, r in zip(plaintexts, randomness, strict=True)]
    array = twin.array_bytes(layout, n, ciphertexts, shape, 1, b"")
    return {
        "bits": bits,
        "public": public.hex(),
        "shares": [threshold.share_bytes(public, i, s).hex() for i, s in enumerate(shares, start=1)],
        "array": array.hex(),
        "integers": integers,
        "context": context.hex(),
        "partial_decryptions": [
            threshold.partial_decryption(
                *(public, i, share, array, len(ciphertexts), context),
                draw=lambda label, limit: drawn(f"threshold {bits} {label}", limit),
            ).hex()
            for i, share in enumerate(shares, start=1)
        ],
    }


def drawn(label: str, limit: int) -> int:
    """Return a number below `limit` that depends on the label only."""
    size = limit.bit_length() // 8 + 17
    return (
        int.from_bytes(hashlib.shake_256(b"medcrypt vectors " + label.encode()).digest(size), "big") % limit
    )


if __name__ == "__main__":
    main()
