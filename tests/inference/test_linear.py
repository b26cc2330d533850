"""Linear models on encrypted features: exact scores, blinds wide enough, counted questions, strict messages."""

import contextlib
import json
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import paillier
from medcrypt.errors import BudgetError, CapacityError, FormatError, InvalidCiphertextError, ProtocolError
from medcrypt.inference.linear import Form, LinearClient, LinearServer

PUBLIC, PRIVATE = paillier.generate_keypair(1024, insecure=True)


def scores_in_the_clear(form, weights, bias, features):
    """What the protocol promises: exact arithmetic on the rounded numbers."""
    x = form.feature_packing.quantise(features).astype(object)
    w = form.weight_packing.quantise(np.atleast_2d(weights)).astype(object)
    b = [round(v / form.step) for v in np.broadcast_to(bias, form.outputs).tolist()]
    return (x @ w.T + b).astype(float) * form.step


def parties(form, weights, bias=0.0, **options):
    """A client and a server."""
    return LinearClient(form, PRIVATE), LinearServer(form, weights, bias, **options)


@given(
    features=st.integers(1, 12),
    outputs=st.integers(1, 4),
    rows=st.integers(1, 3),
    per_ciphertext=st.sampled_from([None, 1, 3]),
    seed=st.integers(0, 2**32),
)
def test_scores_are_those_of_exact_arithmetic_on_the_rounded_numbers(
    features, outputs, rows, per_ciphertext, seed
):
    if per_ciphertext is not None:
        per_ciphertext = min(per_ciphertext, features)
    form = Form(features, outputs, clip=2.0, weight_clip=4.0, per_ciphertext=per_ciphertext)
    random = np.random.default_rng(seed)
    weights, bias = random.uniform(-4, 4, (outputs, features)), random.uniform(-8, 8, outputs)
    x = random.uniform(-2, 2, (rows, features))
    client, server = parties(form, weights, bias, limit=None)
    scores = client.scores(server.answer(client.query(x), PUBLIC))
    assert scores.tolist() == scores_in_the_clear(form, weights, bias, x).tolist()


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("packed", [1, 4])
def test_the_extremes_of_the_range_are_exact(sign, packed):
    form = Form(4, 1, clip=1.0, weight_clip=1.0, per_ciphertext=packed)
    client, server = parties(form, [sign] * 4, sign * 4.0, limit=None)
    for x in (np.ones(4), -np.ones(4)):
        scores = client.scores(server.answer(client.query(x), PUBLIC))
        assert scores.tolist() == scores_in_the_clear(form, [sign] * 4, sign * 4.0, x).tolist()


def test_nothing_but_the_output_is_left_bare_in_an_answer():
    form = Form(6, 1, clip=1.0, weight_clip=1.0, per_ciphertext=3)
    place, top = 2 * form.slot_bits, 2 * form.slot_bits + form.output_bits
    seen = []
    for weights in (np.zeros(6), np.ones(6)):
        client, server = parties(form, weights, limit=None)
        query = client.query(np.zeros(6))
        for _ in range(24):
            body = server.answer(query, PUBLIC)[-PUBLIC.ciphertext_bytes :]
            plaintext = PRIVATE.raw_decrypt(int.from_bytes(body, "big"))
            seen.append((plaintext & ((1 << place) - 1), plaintext >> top))
            assert (plaintext >> place) & ((1 << form.output_bits) - 1) == form.largest
    low, high = zip(*seen, strict=True)
    assert len(set(low)) == len(set(high)) == len(seen)
    # Uniform over the whole place: the most significant bits differ, too.
    assert len({value >> place - 4 for value in low}) > 8
    room = (PUBLIC.n >> top).bit_length()
    assert len({value >> room - 4 for value in high}) > 4


def test_the_blinds_are_at_least_64_bits_wider_than_what_they_hide():
    for packed in (1, 2, 3):
        form = Form(6, 1, per_ciphertext=packed)
        largest_below = form.largest * sum(1 << k * form.slot_bits for k in range(packed - 1))
        place = (packed - 1) * form.slot_bits
        assert largest_below == 0 or ((1 << place) - 2 * largest_below) // (2 * largest_below) >= 2**64
        largest_above = largest_below << form.slot_bits - form.output_bits
        room = (1 << 1023) >> place + form.output_bits
        assert largest_above == 0 or (room - 2 * largest_above) // (2 * largest_above) >= 2**64


def test_two_answers_to_one_query_cannot_be_told_from_their_bytes():
    client, server = parties(Form(2), [1.0, 2.0], limit=None)
    query = client.query([1.0, 1.0])
    first, second = server.answer(query, PUBLIC), server.answer(query, PUBLIC)
    assert first != second
    assert client.scores(first).shape == (1,)


def test_a_client_is_answered_as_often_as_the_limit_allows_and_not_once_more(tmp_path):
    counts = tmp_path / "counts"
    client, server = parties(Form(3), [1.0, 2.0, 3.0], counts=counts, limit=3)
    server.answer(client.query(np.ones((2, 3))), PUBLIC, "ward 1")
    server.answer(client.query(np.ones(3)), PUBLIC, "ward 1")
    with pytest.raises(BudgetError):
        server.answer(client.query(np.ones(3)), PUBLIC, "ward 1")
    server.answer(client.query(np.ones(3)), PUBLIC, "ward 2")
    again = LinearServer(Form(3), [1.0, 2.0, 3.0], counts=counts, limit=3)
    with pytest.raises(BudgetError):
        again.answer(client.query(np.ones(3)), PUBLIC, "ward 1")
    assert json.loads(counts.read_bytes()) == {"client ward 1": 3, "client ward 2": 1}


def rows_answered(server, client, most):
    """How often a server answers one client before it refuses, or `most`."""
    for rows in range(most):
        try:
            server.answer(client.query(np.ones(client.form.features)), PUBLIC, "ward 1")
        except BudgetError:
            return rows
    return most


def test_servers_that_share_a_file_of_counts_share_the_limit(tmp_path):
    counts = tmp_path / "counts"
    client, first = parties(Form(2), [1.0, 2.0], counts=counts, limit=3)
    second = LinearServer(Form(2), [1.0, 2.0], counts=counts, limit=3)
    assert rows_answered(first, client, 2) == 2
    assert rows_answered(second, client, 9) == 1
    assert rows_answered(first, client, 9) == 0


def test_threads_and_servers_that_count_at_once_lose_no_count(tmp_path):
    counts = tmp_path / "counts"
    servers = [LinearServer(Form(2), [1.0, 2.0], counts=counts, limit=40) for _ in range(2)]
    admitted = []

    def ask(server):
        with contextlib.suppress(BudgetError):
            while True:
                server._count("client ward 1", 1)
                admitted.append(1)

    threads = [threading.Thread(target=ask, args=(server,)) for server in servers * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(admitted) == 40
    assert json.loads(counts.read_bytes()) == {"client ward 1": 40}


@given(st.integers(1, 500), st.integers(2, 32), st.integers(2, 32))
def test_the_default_limit_is_fewer_bits_of_scores_than_an_output_has_of_weights(features, bits, weight_bits):
    form = Form(features, bits=bits, weight_bits=weight_bits)
    assert form.limit == 1 or form.limit * form.output_bits < features * weight_bits
    assert LinearServer(form, np.zeros(features)).limit == form.limit <= features


def test_the_default_limit_ends_an_attack_that_reads_two_weights_from_each_row():
    form = Form(8, clip=4.0, weight_clip=2.0)
    weights = np.random.default_rng(1).uniform(-2, 2, 8)
    client, server = parties(form, weights)
    levels = form.feature_packing.levels
    questions = [np.zeros(8)]  # the bias, then a row for each pair of weights
    for j in range(0, 8, 2):
        questions.append(np.zeros(8))
        questions[-1][j : j + 2] = form.clip / levels, form.clip
    answered = 0
    with contextlib.suppress(BudgetError):
        for question in questions:
            server.answer(client.query(question), PUBLIC)
            answered += 1
    assert answered == form.limit < len(questions)


def test_counts_that_cannot_be_read_are_refused(tmp_path):
    (tmp_path / "counts").write_bytes(b"[1]")
    with pytest.raises(FormatError):
        LinearServer(Form(1), [1.0], counts=tmp_path / "counts")


@pytest.mark.parametrize("place", [0, 4, 10, 40, 70, 85, -1])
def test_a_changed_query_is_refused_or_gives_no_answer_to_the_client(place):
    client, server = parties(Form(2), [1.0, 2.0], limit=None)
    query = bytearray(client.query([1.0, 1.0]))
    query[place] ^= 1
    try:
        answer = server.answer(bytes(query), PUBLIC)
    except (FormatError, InvalidCiphertextError):
        return
    assert 69 <= place < 85 or place == -1  # the query's name, and ciphertexts, are the client's own affair
    if place != -1:
        with pytest.raises(ProtocolError):
            client.scores(answer)


def test_messages_cut_long_or_for_another_form_or_key_are_refused():
    client, server = parties(Form(2), [1.0, 2.0], limit=None)
    query = client.query([1.0, 1.0])
    for wrong in (b"", query[:-1], query + b"\0", query[:50]):
        with pytest.raises(FormatError):
            server.answer(wrong, PUBLIC)
    other, _ = paillier.generate_keypair(1024, insecure=True)
    with pytest.raises(InvalidCiphertextError):
        server.answer(query, other)
    with pytest.raises(FormatError):
        LinearServer(Form(2, bits=12), [1.0, 2.0]).answer(query, PUBLIC)


def test_a_ciphertext_that_is_no_unit_is_refused():
    client, server = parties(Form(1), [1.0], limit=None)
    query = client.query([1.0])
    for bad in (0, PRIVATE.p, PUBLIC.n**2):
        body = bad.to_bytes(PUBLIC.ciphertext_bytes, "big")
        with pytest.raises(InvalidCiphertextError):
            server.answer(query[: -len(body)] + body, PUBLIC)


def test_an_answer_counts_once():
    client, server = parties(Form(1), [1.0])
    answer = server.answer(client.query([1.0]), PUBLIC)
    client.scores(answer)
    with pytest.raises(ProtocolError, match="no open query"):
        client.scores(answer)


def test_a_server_that_sends_a_score_beyond_its_bound_is_caught():
    form = Form(1)
    client, server = parties(form, [1.0])
    answer = server.answer(client.query([1.0]), PUBLIC)
    forged = PUBLIC.raw_encrypt(2 * form.largest + 1).to_bytes(PUBLIC.ciphertext_bytes, "big")
    with pytest.raises(ProtocolError, match="bound"):
        client.scores(answer[: -len(forged)] + forged)


def test_a_key_that_is_too_short_is_named():
    with pytest.raises(CapacityError, match="room for"):
        Form(8, per_ciphertext=8).layout(1024)


@pytest.mark.parametrize(
    "fields",
    [
        {"features": 0},
        {"outputs": 0},
        {"bits": 1},
        {"weight_bits": 33},
        {"clip": -1.0},
        {"per_ciphertext": 5},
    ],
)
def test_fields_out_of_range_are_refused(fields):
    with pytest.raises(ValueError, match=r".+"):
        Form(**({"features": 4} | fields))


def test_a_form_survives_its_bytes_and_other_bytes_are_refused():
    form = Form(30, 2, clip=3.5, per_ciphertext=3)
    assert Form.from_bytes(form.to_bytes()) == form
    for wrong in (b"", b"{}", b"[]", form.to_bytes() + b" ", form.to_bytes().replace(b"30", b"0")):
        with pytest.raises(FormatError):
            Form.from_bytes(wrong)


def test_wrong_shapes_and_numbers_beyond_their_clip_are_refused():
    form = Form(2, clip=1.0, weight_clip=1.0)
    client, _ = parties(form, [1.0, 1.0])
    for wrong in ([1.0], [2.0, 0.0], [np.nan, 0.0], np.zeros((0, 2)), np.zeros((1, 1, 2))):
        with pytest.raises(ValueError, match=r".+"):
            client.query(wrong)
    for weights, bias in (([1.0], 0.0), ([2.0, 0.0], 0.0), ([1.0, 1.0], 3.0), ([1.0, 1.0], [0.0, 0.0])):
        with pytest.raises(ValueError, match=r".+"):
            LinearServer(form, weights, bias)


def test_a_fitted_model_decides_as_in_the_clear():
    random = np.random.default_rng(1)
    fitted = SimpleNamespace(coef_=random.normal(size=(3, 5)), intercept_=random.normal(size=3))
    server = LinearServer.from_model(fitted, clip=6.0, limit=None)
    client = LinearClient(server.form, PRIVATE)
    x = random.normal(size=(8, 5))
    scores = client.scores(server.answer(client.query(x), PUBLIC))
    np.testing.assert_allclose(scores, x @ fitted.coef_.T + fitted.intercept_, atol=0.02)
    assert "coef" not in repr(server)
