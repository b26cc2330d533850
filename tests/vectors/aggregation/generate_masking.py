"""Write masking.json with the readable twins only; the keys in it are public and must never be used.

    PYTHONPATH=tests python tests/vectors/aggregation/generate_masking.py

Running it again gives the same bytes: all coins are SHAKE-256 of a label.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from Crypto.Signature import eddsa

from reference import aggregation, masking

NAMES = ("Charité", "Jena", "Ulm")
UPDATES = {"Charité": [0.25, -0.5], "Jena": [1.0, -1.0], "Ulm": [0.0, 0.125]}


def drawn(label: str, size: int) -> bytes:
    return hashlib.shake_256(label.encode()).digest(size)


def vector(bits: int, round_id: int, gone: dict[str, str]) -> dict[str, Any]:
    """One round of three clients, of whom two suffice."""
    identities = {name: drawn(f"identity of {name}", 64) for name in (*NAMES, "server")}
    publics = {
        name: bytes(eddsa.import_private_key(key[32:]).public_key().export_key(format="raw"))
        for name, key in identities.items()
    }
    fields = {"clients": 3, "threshold": 2, "clip": 1.0, "bits": bits, "shapes": {"w": (2,)}, "proofs": False,
              "colluders": 0, "round_id": round_id, "server": "server"}  # fmt: skip
    plan = aggregation.Plan(**fields, parties=publics)
    coins = {name: drawn(f"coins of {name}, {bits}", 96 + 64) for name in NAMES}
    federation = masking.Federation(
        plan.digest(), round_id, list(NAMES), "server", 2, plan.modulus_bits(),
        {name: key[32:] for name, key in identities.items()},
    )  # fmt: skip
    integers = {name: aggregation.contribution(plan, values) for name, values in UPDATES.items()}
    messages, total = masking.transcript(federation, coins, integers, gone)
    return {
        "fields": fields,
        "plan": plan.encoding().hex(),
        "identities": {name: key.hex() for name, key in identities.items()},
        "updates": UPDATES,
        "coins": {name: each.hex() for name, each in coins.items()},
        "gone": gone,
        "messages": [message.hex() for message in messages],
        "sum": total,
    }


if __name__ == "__main__":
    vectors = [vector(8, 7, {}), vector(40, 8, {"Jena": "upload"})]
    text = json.dumps({"vectors": vectors}, indent=1, ensure_ascii=False)
    (Path(__file__).parent / "masking.json").write_text(text + "\n", encoding="utf-8")
