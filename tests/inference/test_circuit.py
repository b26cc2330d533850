"""The public circuit as bytes, the dealer's stream, and what one server sees."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import FormatError, ProtocolError
from medcrypt.inference import (
    Argmax,
    AvgPool,
    Circuit,
    Compiled,
    Conv2d,
    Dense,
    Evaluation,
    Flatten,
    MaxPool,
    Preparation,
    ReLU,
    Residual,
    Sequential,
    simulate,
)
from medcrypt.inference.sharing import material_size, reveal, together

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "inference" / "circuits.json").read_text())

MODEL = Sequential(
    [
        Conv2d(np.full((2, 1, 2, 2), 0.25)),
        ReLU(),
        MaxPool(2, 1),
        Residual([Conv2d(np.eye(2)[:, :, None, None]), ReLU()]),
        AvgPool(6),
        Flatten(),
        Dense([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]]),
        Argmax(),
    ],
    clip=1,
)
COMPILED = MODEL.compile((1, 8, 8))
CIRCUIT = COMPILED.circuit


class Session:
    """A dealer and two servers after their setup."""

    def __init__(self, compiled=COMPILED):
        weights = compiled.share()
        self.circuit, self.preparation = compiled.circuit, Preparation(compiled.circuit)
        self.servers = [
            Evaluation(compiled.circuit, p, weights[p], self.preparation.hash_key) for p in range(2)
        ]
        materials = zip(*self.preparation.setup(), strict=True)
        self.setup = together(*(s.setup(m) for s, m in zip(self.servers, materials, strict=True)))[2]

    def answer(self, inputs):
        """Both shares of the classes, and server 0's messages."""
        materials = zip(*self.preparation.batch(len(inputs)), strict=True)
        shares = self.circuit.encode(inputs)
        return together(*(s.run(x, m) for s, x, m in zip(self.servers, shares, materials, strict=True)))


def images(count, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, 1, 8, 8))


def test_one_session_answers_many_batches_of_any_size():
    session = Session()
    for count in (1, 3, 2):
        first, second, _ = session.answer(images(count, count))
        assert np.array_equal(CIRCUIT.decode(first, second), COMPILED.predict(images(count, count)))


def test_an_empty_batch_has_no_classes():
    first, second, _ = Session().answer(images(0))
    assert first.shape == second.shape == (0,)


def test_a_setup_message_is_as_long_as_declared():
    assert sum(map(len, Session().setup)) == sum(step.setup_sent() for step in CIRCUIT.steps)
    assert len(Session().setup) == sum(step.setup_rounds for step in CIRCUIT.steps)


def test_material_is_as_long_as_declared():
    session = Session()
    for (first, second), step in zip(session.preparation.batch(3), CIRCUIT.steps, strict=True):
        assert len(first) == len(second) == material_size(step.layout(3))
        assert not first or first != second


def test_a_dealer_keeps_the_order_of_a_session():
    preparation = Preparation(CIRCUIT)
    with pytest.raises(ValueError, match="not set up"):
        list(preparation.batch(1))
    list(preparation.setup())
    with pytest.raises(ValueError, match="once"):
        list(preparation.setup())


def test_material_for_another_batch_is_refused():
    session = Session()
    data = [first for first, _ in session.preparation.batch(2)]
    run = session.servers[0].run(np.zeros((1, 1, 8, 8), np.uint64), data)
    with pytest.raises(ProtocolError, match="material"):
        next(run)


def test_a_cut_message_stops_a_server():
    session = Session()
    data = [first for first, _ in session.preparation.batch(1)]
    run = session.servers[0].run(np.zeros((1, 1, 8, 8), np.uint64), data)
    message = next(run)
    with pytest.raises(ProtocolError, match="other server"):
        run.send(message[:-1])


@pytest.mark.parametrize("party", [2, -1])
def test_an_evaluation_is_for_one_of_two_servers(party):
    with pytest.raises(ValueError, match="0 or 1"):
        Evaluation(CIRCUIT, party, COMPILED.share()[0], bytes(16))


# --- what one server sees -------------------------------------------------------------------------


def strays(data):
    """How far the bits of each place stray from one half, in standard deviations; a row for each repetition."""
    bits = np.unpackbits(np.frombuffer(b"".join(data), np.uint8).reshape(len(data), -1), axis=1)
    return np.abs(bits.mean(axis=0) - 0.5) * 2 * np.sqrt(len(data))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_every_bit_of_every_message_is_fair_whatever_the_image(value):
    """The same image again and again in one session; bits that only fill up a byte are always zero."""
    circuit = Sequential(
        [Dense(np.full((2, 3), value)), ReLU(), Dense(np.eye(3)), Argmax()], clip=1
    ).compile()
    session, repeats = Session(circuit), 1500
    rounds = [session.answer(np.full((1, 2), value))[2] for _ in range(repeats)]
    for messages in zip(*rounds, strict=True):
        stray = strays(messages)
        constant = np.isclose(stray, np.sqrt(repeats))
        assert stray[~constant].max() < 6.5
        packed = 8 - 3 if len(messages[0]) == 8 * 3 + 1 else 0  # three bits of a selection in one byte
        small = 3 * 6 if len(messages[0]) == 3 else 0  # three counts of losses, of two bits each
        assert constant.sum() == packed + small


def test_each_share_of_a_class_alone_is_uniform():
    compiled = Sequential([Dense(np.eye(3)), Argmax()], clip=1).compile()
    session = Session(compiled)
    answers = [session.answer(np.array([[0.0, 1.0, 0.0]]))[:2] for _ in range(1500)]
    assert all(reveal(*answer)[0] == 1 for answer in answers)
    for party in range(2):
        assert strays([answer[party].tobytes() for answer in answers]).max() < 6.5


def test_each_share_of_a_score_alone_is_uniform():
    compiled = Sequential([Dense(np.eye(2)), ReLU(), Dense(np.eye(2))], clip=1, reveal_scores=True).compile()
    session = Session(compiled)
    answers = [session.answer(np.array([[0.5, -0.5]]))[:2] for _ in range(1500)]
    for party in range(2):
        assert strays([answer[party].tobytes() for answer in answers]).max() < 6.5


# --- bytes ----------------------------------------------------------------------------------------


def test_a_circuit_comes_back_from_its_bytes():
    assert Circuit.from_bytes(CIRCUIT.to_bytes()) == CIRCUIT
    assert Circuit.from_bytes(CIRCUIT.to_bytes()).to_bytes() == CIRCUIT.to_bytes()


def changed(change):
    document = json.loads(CIRCUIT.to_bytes())
    change(document)
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.update(format="medcrypt-circuit-9"),
        lambda d: d.update(more=1),
        lambda d: d.pop("clip"),
        lambda d: d.update(fraction=12.0),
        lambda d: d.update(fraction=25),
        lambda d: d.update(clip=10**400),
        lambda d: d.update(clip=float("nan")),
        lambda d: d.update(clip=0.0),
        lambda d: d.update(output_fraction=12.5),
        lambda d: d.update(output_fraction=129),
        lambda d: d.update(steps=[]),
        lambda d: d["steps"][0].update(shape=[0, 8, 8]),
        lambda d: d.update(input_shape=[1, 8, 9]),
        lambda d: d.update(input_shape=[1, 8, "8"]),
        lambda d: d.update(output_shape=[2]),
        lambda d: d["steps"].pop(),
        lambda d: d["steps"].reverse(),
        lambda d: d["steps"][0].update(step="Step"),
        lambda d: d["steps"][0].update(bits=62),
        lambda d: d["steps"][0].update(bits=-1),
        lambda d: d["steps"][0].update(bits=True),
        lambda d: d["steps"][0].update(groups=0),
        lambda d: d["steps"][0].update(stride=[0, 1]),
        lambda d: d["steps"][0].update(kernel=[9, 9]),
        lambda d: d["steps"][0].update(kernel=[2]),
        lambda d: d["steps"][0].update(weights=1),
        lambda d: d["steps"][2].update(shift=62),
        lambda d: d["steps"][3]["body"][0].update(outputs=3),
    ],
)
def test_a_changed_circuit_is_refused(change):
    with pytest.raises(FormatError):
        Circuit.from_bytes(changed(change))


@given(st.binary(max_size=40))
def test_bytes_that_are_no_circuit_are_refused(data):
    with pytest.raises(FormatError):
        Circuit.from_bytes(data)


@given(st.data())
def test_a_circuit_with_one_byte_changed_is_refused_or_another_circuit(data):
    original = bytearray(CIRCUIT.to_bytes())
    place = data.draw(st.integers(0, len(original) - 1))
    original[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(FormatError):
        assert Circuit.from_bytes(bytes(original)) != CIRCUIT


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_a_vector_gives_the_classes_of_the_twin(vector, kernel_path, monkeypatch):
    """The script beside the vectors made them."""
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    circuit = Circuit.from_bytes(vector["circuit"].encode())
    weights = [{name: np.array(w, np.int64) for name, w in entry.items()} for entry in vector["weights"]]
    compiled = Compiled(circuit, weights)
    assert compiled.predict(vector["inputs"]).tolist() == vector["classes"]
    classes, _ = simulate(circuit, compiled.share(), np.array(vector["inputs"]))
    assert classes.tolist() == vector["classes"]
