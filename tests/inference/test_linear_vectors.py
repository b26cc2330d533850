"""A recorded query and answer open as `docs/formats/inference-service.md` says, by textbook decryption."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from medcrypt.inference.linear import Form, LinearClient, LinearServer
from medcrypt.paillier import PrivateKey

VECTORS = Path(__file__).parents[1] / "vectors"
RECORDED = json.loads((VECTORS / "inference" / "linear.json").read_text())
KEYS = {key["bits"]: key for key in json.loads((VECTORS / "paillier" / "keys.json").read_text())["keys"]}
KEY = KEYS[RECORDED["key_bits"]]
PRIVATE = PrivateKey._of_primes(int(KEY["p"], 16), int(KEY["q"], 16))
FIELDS = json.loads(RECORDED["form"])
QX, QW = 2 ** (FIELDS["bits"] - 1) - 1, 2 ** (FIELDS["weight_bits"] - 1) - 1
LARGEST = 3 * FIELDS["features"] * QX * QW
OUTPUT_BITS = (2 * LARGEST).bit_length()
SLOT_BITS = OUTPUT_BITS + 66
FEATURES = np.rint(np.array(RECORDED["features"]) / FIELDS["clip"] * QX).astype(int).tolist()
WEIGHTS = np.rint(np.array(RECORDED["weights"]) / FIELDS["weight_clip"] * QW).astype(int).tolist()


def plaintexts(message):
    """Decrypt what follows the header of 89 bytes, with nothing but the definition of Paillier."""
    n = PRIVATE.public.n
    order, width = (PRIVATE.p - 1) * (PRIVATE.q - 1), 2 * n.bit_length() // 8
    body = bytes.fromhex(message)[89:]
    numbers = [int.from_bytes(body[at : at + width], "big") for at in range(0, len(body), width)]
    return [(pow(c, order, n * n) - 1) // n * pow(order, -1, n) % n for c in numbers]


def test_the_form_has_the_digest_and_the_widths_of_the_format():
    form = Form.from_bytes(RECORDED["form"].encode())
    digest = hashlib.sha256(b"medcrypt/inference/linear/v1\0" + RECORDED["form"].encode()).hexdigest()
    assert form.digest.hex() == RECORDED["digest"] == digest
    assert (form.slot_bits, form.output_bits) == (SLOT_BITS, OUTPUT_BITS)
    assert (RECORDED["slot_bits"], RECORDED["output_bits"]) == (SLOT_BITS, OUTPUT_BITS)


def test_the_header_binds_form_key_and_query():
    query, answer = (bytes.fromhex(RECORDED[name]) for name in ("query", "answer"))
    fixed = bytes([1]) + bytes.fromhex(RECORDED["digest"]) + PRIVATE.public.fingerprint
    assert query[:69] == b"MCLQ" + fixed
    assert answer[:89] == b"MCLA" + fixed + query[69:89]
    assert query[85:89] == bytes([0, 0, 0, 2])


def test_a_query_holds_the_features_block_by_block():
    size, n = FIELDS["per_ciphertext"], PRIVATE.public.n
    expected = [
        sum(x << j * SLOT_BITS for j, x in enumerate(row[at : at + size])) % n
        for row in FEATURES
        for at in range(0, len(row), size)
    ]
    assert plaintexts(RECORDED["query"]) == expected


def test_an_answer_holds_the_outputs_in_their_place():
    place, step = (
        (FIELDS["per_ciphertext"] - 1) * SLOT_BITS,
        FIELDS["clip"] / QX * (FIELDS["weight_clip"] / QW),
    )
    expected = [
        sum((w + QW) * x for w, x in zip(weights, row, strict=True)) + round(bias / step) + LARGEST
        for row in FEATURES
        for weights, bias in zip(WEIGHTS, RECORDED["bias"], strict=True)
    ]
    found = [(m >> place) & ((1 << OUTPUT_BITS) - 1) for m in plaintexts(RECORDED["answer"])]
    assert found == expected


def test_a_server_still_answers_the_recorded_query_and_a_client_reads_the_recorded_answer():
    form = Form.from_bytes(RECORDED["form"].encode())
    server, client = (
        LinearServer(form, RECORDED["weights"], RECORDED["bias"], limit=None),
        LinearClient(form, PRIVATE),
    )
    query = bytes.fromhex(RECORDED["query"])
    for answer in (server.answer(query, PRIVATE.public), bytes.fromhex(RECORDED["answer"])):
        client._asked = {query[69:85]: ((2,), [sum(row) for row in FEATURES])}
        np.testing.assert_array_equal(client.scores(answer), RECORDED["scores"])
    assert RECORDED["scores"][0] == pytest.approx([9.375, -15.0], abs=0.01)
