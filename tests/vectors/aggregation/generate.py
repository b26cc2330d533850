"""Write the vectors of this folder with the readable twin only; the keys here are public and must never be used.

    PYTHONPATH=tests python tests/vectors/aggregation/generate.py

Running it again gives the same bytes: all randomness is SHAKE-256 of a label, and Ed25519 needs none.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reference import aggregation as twin
from reference import paillier

FOLDER = Path(__file__).parent
PARTIES = ("Charité", "Jena", "Ulm", "server", "notary")


def main() -> None:
    plans = example_plans()
    write("plans", [plan_vector(plan) for plan in plans.values()])
    write("messages", [message_vector(plans["unsigned"], None), message_vector(plans["signed"], "Jena")])
    write("rounds", [round_vector(plans["signed"], [40, 2]), round_vector(plans["unweighted"], [1, 1, 1])])
    write("ledgers", [ledger_vector(count) for count in (0, 1, 3)])


def write(name: str, vectors: list[dict[str, Any]]) -> None:
    text = json.dumps({"vectors": vectors}, indent=1, ensure_ascii=False)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def drawn(label: str, limit: int) -> int:
    size = (limit.bit_length() + 7) // 8 + 16
    return int.from_bytes(hashlib.shake_256(label.encode()).digest(size), "big") % limit


def seed(name: str) -> bytes:
    return hashlib.shake_256(f"signing key of {name}".encode()).digest(32)


def signing_key(name: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed(name))


def example_plans() -> dict[str, twin.Plan]:
    keys = {name: signing_key(name).public_key().public_bytes_raw() for name in PARTIES}
    people: dict[str, Any] = {
        "clients": 3, "threshold": 2, "holders": ("notary",), "parties": keys,
        "key": paillier.fingerprint(example_key().n),
    }  # fmt: skip
    return {
        "unsigned": twin.Plan(clients=10, threshold=6, clip=8.0, bits=16, shapes={"w": (64, 10)}),
        "signed": twin.Plan(
            **people, clip=1.5, bits=12, shapes={"w": (2, 3), "b": (3,)}, weighted=True, max_weight=100, round_id=7
        ),
        "unweighted": twin.Plan(**people, clip=1.0, bits=8, shapes={"ünïcode": (), "z": (4,)}, proofs=False),
        "bounded": twin.Plan(
            clients=1000, threshold=700, clip=0.1, bits=24, shapes={"x": (0, 3), "y": (1,)}, l2_clip=2.5,
            colluders=100, round_id=2**64 - 1, server="Zürich",
        ),
    }  # fmt: skip


def example_key() -> paillier.Key:
    """The key of 512 bits from the vectors of paillier."""
    listed = json.loads((FOLDER.parent / "paillier" / "keys.json").read_text())["keys"]
    entry = next(entry for entry in listed if entry["bits"] == 512)
    return paillier.Key(int(entry["p"], 16), int(entry["q"], 16))


def plan_vector(plan: twin.Plan) -> dict[str, Any]:
    people = plan.parties and {k: v.hex() for k, v in plan.parties.items()}
    fields = asdict(plan) | {"parties": people, "key": plan.key and plan.key.hex()}
    return {"fields": fields, "encoding": plan.encoding().hex(), "digest": plan.digest().hex()}


def message_vector(plan: twin.Plan, sender: str | None) -> dict[str, Any]:
    body, name = b"what it says", sender or "anybody"
    data = twin.message(plan, 3, name, body, signing_key(sender) if sender else None)
    digest = twin.opened_message(plan, data, 3)[2]
    return {
        **plan_vector(plan), "sender": name, "seed": seed(sender).hex() if sender else None, "type": 3,
        "body": body.hex(), "message": data.hex(), "message_digest": digest.hex(),
    }  # fmt: skip


def round_vector(plan: twin.Plan, weights: list[int]) -> dict[str, Any]:
    """A whole round under a key of 512 bits: uploads, request, opening and sum."""
    key = example_key()
    size = plan.dimension() - plan.weighted
    names = [name for name in sorted(PARTIES, key=str.encode) if name not in (plan.server, *plan.holders)]
    clients, uploads, total = [], [], [0] * plan.dimension()
    for name, weight in zip(names, weights, strict=False):
        values = [drawn(f"{name} {i}", 2001) / 1000 * plan.clip - plan.clip for i in range(size)]
        integers = twin.contribution(plan, values, weight)
        units = [drawn(f"unit {name} {i}", key.n) for i in range(plan.dimension())]
        count = -(-plan.dimension() // plan.layout().slots(key.n))
        uploads.append(
            twin.client_upload(
                plan, key.n, name, integers, units[:count], signing_key(name),
                lambda label, limit, name=name: drawn(f"{label} {name}", limit),
            )
        )  # fmt: skip
        clients.append({"name": name, "weight": weight, "values": values, "integers": integers})
        total = [a + b for a, b in zip(total, integers, strict=True)]
    request = twin.server_request(plan, uploads, signing_key(plan.server))
    opening = twin.holder_opening(plan, key, request, "notary", signing_key("notary"))
    sums = [twin.centred(x, plan.modulus_bits()) for x in total]
    assert twin.opened_sums(plan, opening) == sums
    return {
        **plan_vector(plan), "key_bits": 512, "seeds": {name: seed(name).hex() for name in PARTIES},
        "clients": clients, "uploads": [data.hex() for data in uploads], "request": request.hex(),
        "opening": opening.hex(), "sums": sums,
    }  # fmt: skip


def ledger_vector(count: int) -> dict[str, Any]:
    fingerprint = hashlib.sha256(b"a key").digest()
    hashes = [hashlib.sha256(b"%d" % i).digest() for i in range(2 * count)]
    records = list(zip(hashes[::2], hashes[1::2], strict=True))
    return {
        "owner": "notary", "fingerprint": fingerprint.hex(),
        "records": [[a.hex(), b.hex()] for a, b in records],
        "file": twin.ledger(fingerprint, "notary", records).hex(),
    }  # fmt: skip


if __name__ == "__main__":
    main()
