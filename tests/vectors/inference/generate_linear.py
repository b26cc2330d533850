"""Writes linear.json: a form, a query and an answer, the model and the scores, under a published test key."""

import json
from pathlib import Path

from medcrypt.inference.linear import Form, LinearClient, LinearServer
from medcrypt.paillier import PrivateKey

HERE = Path(__file__).parent
KEYS = json.loads((HERE.parent / "paillier" / "keys.json").read_text())["keys"]
KEY = next(key for key in KEYS if key["bits"] == 512)
PRIVATE = PrivateKey._of_primes(int(KEY["p"], 16), int(KEY["q"], 16))
FORM = Form(features=5, outputs=2, clip=4.0, weight_clip=2.0, per_ciphertext=2)
WEIGHTS, BIAS = [[0.5, -1.0, 2.0, 0.0, 1.25], [-0.25, 0.75, -2.0, 1.0, 0.5]], [0.25, -3.5]
FEATURES = [[1.0, -2.0, 3.0, -4.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0]]

client, server = LinearClient(FORM, PRIVATE), LinearServer(FORM, WEIGHTS, BIAS, limit=None)
query = client.query(FEATURES)
answer = server.answer(query, PRIVATE.public)
document = {
    "key_bits": KEY["bits"],
    "form": FORM.to_bytes().decode(),
    "digest": FORM.digest.hex(),
    "slot_bits": FORM.slot_bits,
    "output_bits": FORM.output_bits,
    "features": FEATURES,
    "weights": WEIGHTS,
    "bias": BIAS,
    "query": query.hex(),
    "answer": answer.hex(),
    "scores": client.scores(answer).tolist(),
}
(HERE / "linear.json").write_text(json.dumps(document, indent=1) + "\n")
