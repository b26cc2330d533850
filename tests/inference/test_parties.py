"""What dealer, servers and client say to each other: right classes or none, whatever happens to the messages."""

from typing import ClassVar

import numpy as np
import pytest
from conversations import Network
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import inference
from medcrypt.errors import ProtocolError
from medcrypt.inference import channel, parties
from medcrypt.inference.parties import MAX_BATCH, Client, Receive, Send, Swap, dealer, drive, server
from medcrypt.inference.preprocessing import MemoryStock
from medcrypt.inference.report import Report

RANDOM = np.random.default_rng(7)
MODEL = inference.Sequential.from_arrays(
    [(RANDOM.normal(size=(5, 4)), RANDOM.normal(size=4)), (RANDOM.normal(size=(4, 3)), RANDOM.normal(size=3))]
)
COMPILED = MODEL.compile()
CIRCUIT = COMPILED.circuit
INPUTS = RANDOM.uniform(-2, 2, (3, 5))
EXPECTED = COMPILED.predict(INPUTS).tolist()


class Logged(MemoryStock):
    """Remembers what was burnt."""

    burnt: ClassVar[list] = []

    def _burn(self, number, size):
        self.burnt.append((id(self), number))
        return super()._burn(number, size)


def visit(batches, client=None):
    """What a client does: greet, ask, leave."""
    client = client or Client(CIRCUIT)
    answers = []
    yield from client.greet()
    for inputs in batches:
        answers.append((yield from client.ask(inputs)))  # noqa: PERF401 - it yields
    yield from client.leave()
    return answers


def session(meddle=None, clients=None, prepare=None, visits=None, stock=None):
    """Run a whole session; return the network."""
    clients = [visit([INPUTS])] if clients is None else clients
    network, weights = Network(meddle), COMPILED.share()
    network.run(
        {
            "dealer": dealer(CIRCUIT),
            "server 0": server(
                CIRCUIT, 0, weights[0], prepare=prepare, stock=stock, clients=visits or len(clients)
            ),
            "server 1": server(CIRCUIT, 1, weights[1], stock=stock),
        },
        clients,
    )
    return network


def classes(network):
    """All classes that clients have got."""
    return [a.values.tolist() for answers in network.results.get("client", []) for a in answers]


@pytest.mark.parametrize("prepare", [None, {3: 1}, {3: 2, 1: 1}])
def test_classes_are_those_in_the_clear_from_stock_and_from_the_stream(prepare):
    network = session(prepare=prepare, clients=[visit([INPUTS, INPUTS[:1]]), visit([INPUTS])])
    assert not network.errors
    assert classes(network) == [EXPECTED, EXPECTED[:1], EXPECTED]


def test_the_report_has_the_rounds_and_bytes_that_were_sent():
    network = session()
    (answers,) = network.results["client"]
    report = Report.of(answers)
    sent = [m for a, b, m in network.log if (a, b) == ("server 0", "server 1")]
    assert report.rounds == sum(step.rounds for step in CIRCUIT.steps)
    assert report.bytes_sent == sum(cost.sent for cost in CIRCUIT.costs(len(INPUTS)))
    in_rounds = [len(m) - 32 for m in sent if m[7] == 12]
    setup = [n for n in (step.setup_sent() for step in CIRCUIT.steps) if n]
    assert sum(in_rounds) == report.bytes_sent + sum(setup)
    assert report.to_json()["inputs"] == 3
    assert "4 Argmax" in str(report)


def messages_of_a_session():
    """How many messages each sender sends each receiver."""
    counts = {}
    for sender, receiver, _ in session(prepare={3: 1}).log:
        counts[sender, receiver] = counts.get((sender, receiver), 0) + 1
    return counts


MESSAGES = [(pair, place) for pair, count in messages_of_a_session().items() for place in range(count)]
FOREIGN = {}
for _sender, _receiver, _message in session(prepare={3: 1}).log:
    FOREIGN.setdefault((_sender, _receiver), []).append(_message)


def meddling(pair, place, how):
    """Do something to one message."""
    held = []

    def meddle(sender, receiver, at, message):
        if (sender, receiver) != pair:
            return [message]
        if held:
            return [message, held.pop()]
        if at != place:
            return [message]
        if how == "reordered":
            held.append(message)
            return []
        return {
            "lost": [],
            "repeated": [message, message],
            "cut": [message[:-1]],
            "emptied": [b""],
            "longer": [message + b"\0"],
            "kind": [message[:7] + bytes([message[7] ^ 3]) + message[8:]],
            "session": [message[:8] + bytes([message[8] ^ 1]) + message[9:]],
            "number": [message[:31] + bytes([message[31] ^ 1]) + message[32:]],
            "foreign": [FOREIGN[pair][place]],
        }[how]

    return meddle


HOW = ["lost", "repeated", "reordered", "cut", "emptied", "longer", "kind", "session", "number", "foreign"]


@pytest.mark.parametrize("how", HOW)
def test_a_message_out_of_order_never_leads_to_a_wrong_class_or_a_hang(how):
    for pair, place in MESSAGES:
        network = session(meddling(pair, place, how), prepare={3: 1})
        got = classes(network)
        assert got in ([], [EXPECTED]), (pair, place)
        if not got:
            assert network.errors or pair[0] == "client", (pair, place)
            assert all(isinstance(error, ProtocolError) for error in network.errors.values())


@pytest.mark.parametrize("how", ["lost", "repeated", "number", "foreign"])
def test_no_material_is_burnt_twice_whatever_happens_to_orders(how):
    places = [place for pair, place in MESSAGES if pair == ("server 0", "server 1")]
    for place in places:
        Logged.burnt = []
        session(
            meddling(("server 0", "server 1"), place, how),
            prepare={3: 2},
            clients=[visit([INPUTS, INPUTS])],
            stock=lambda _session, _party: Logged(),
        )
        assert len(Logged.burnt) == len(set(Logged.burnt))


def test_a_repeated_order_of_server_0_is_refused():
    orders = []

    def meddle(sender, receiver, place, message):
        if (sender, receiver) == ("server 0", "server 1") and message[7] == 8:
            orders.append(message)
            return [orders[0][:32] + message[32:]]  # the second query under the first's number
        return [message]

    network = session(meddle, prepare={3: 2}, clients=[visit([INPUTS, INPUTS])])
    assert isinstance(network.errors["server 1"], ProtocolError)
    assert classes(network) == []


@pytest.mark.parametrize(("liars", "number"), [({"server 0"}, 9), ({"server 0", "server 1"}, 0)])
def test_the_dealer_refuses_servers_that_ask_for_different_things_and_old_numbers(liars, number):
    def meddle(sender, receiver, place, message):
        if sender in liars and receiver == "dealer" and message[7] == 4:
            return [message[:31] + bytes([number]) + message[32:]]
        return [message]

    network = session(meddle)
    assert isinstance(network.errors["dealer"], ProtocolError)
    assert classes(network) == []


def test_every_session_has_another_name_and_other_shares():
    first, second = (session() for _ in range(2))
    names = {m[8:24] for network in (first, second) for _, _, m in network.log} - {bytes(16)}
    assert len(names) == 2
    for pair in (("client", "server 0"), ("server 0", "server 1"), ("dealer", "server 1")):
        bodies = [{m[32:] for a, b, m in n.log if (a, b) == pair and len(m) > 64} for n in (first, second)]
        assert not bodies[0] & bodies[1]


@pytest.mark.parametrize(
    ("receiver", "sender", "kind"),
    [
        ("server 0", "client", 11),
        ("server 1", "client", 11),
        ("server 0", "server 1", 12),
        ("client", "server 0", 13),
    ],
)
def test_what_a_party_sees_is_uniform(receiver, sender, kind):
    zeros = np.zeros((400, 5))
    network = session(clients=[visit([zeros])])
    # After 16 bytes of a query's name and, in a result, the sizes of the rounds, there are only shares of 64 bits.
    seen = [
        m[48:] for a, b, m in network.log if (a, b) == (sender, receiver) and m[7] == kind and len(m) > 3000
    ]
    words = np.frombuffer(b"".join(m[len(m) % 8 + 64 :] for m in seen), np.uint8)
    counts = np.bincount(words, minlength=256)
    expected = words.size / 256
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert words.size > 2500
    assert statistic < 255 + 8 * np.sqrt(2 * 255)


def wrong_client(messages_for):
    """A client that greets and then sends what the test says."""
    client = Client()
    yield from client.greet()
    session_name = client._session[:16]
    for peer, message in messages_for(session_name):
        yield Send(peer, (message,))
    yield Receive("server 0")


def head(kind, name, number=0):
    """The first bytes of a message."""
    return kind.to_bytes(8, "big") + name + number.to_bytes(8, "big")


WRONG = {
    "nothing": lambda name: [("server 0", b"")],
    "no query": lambda name: [("server 0", head(99, name))],
    "no inputs": lambda name: [("server 0", head(11, name) + bytes(16))],
    "half an input": lambda name: [("server 0", head(11, name) + bytes(16 + 36))],
    "too many inputs": lambda name: [("server 0", head(11, name) + bytes(16 + 40 * (MAX_BATCH + 1)))],
    "another session": lambda name: [("server 0", head(11, bytes(16)) + bytes(16 + 40))],
    "one server only": lambda name: [("server 0", head(11, name) + bytes(16 + 40))],
    "two sizes": lambda name: [
        ("server 0", head(11, name) + bytes(16 + 40)),
        ("server 1", head(11, name) + bytes(16 + 80)),
    ],
    "two names": lambda name: [
        ("server 0", head(11, name) + bytes(16 + 40)),
        ("server 1", head(11, name) + b"n" * 16 + bytes(40)),
    ],
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_client_that_breaks_the_protocol_is_dropped_and_the_next_is_served(wrong):
    network = session(clients=[wrong_client(WRONG[wrong]), visit([INPUTS])], prepare={1: 1})
    assert set(network.errors) == {"client"}
    assert classes(network) == [EXPECTED]


def test_a_client_refuses_servers_with_another_circuit():
    other = inference.Sequential([inference.Dense(np.ones((5, 2))), inference.Argmax()]).compile().circuit
    network = session(clients=[visit([INPUTS], Client(other))])
    assert "another circuit" in str(network.errors["client"])


def test_a_client_without_a_circuit_takes_that_of_the_servers():
    client = Client()
    network = session(clients=[visit([INPUTS], client)])
    assert client.circuit == CIRCUIT
    assert classes(network) == [EXPECTED]


def test_a_dealer_refuses_a_server_with_another_circuit():
    other = inference.Sequential([inference.Dense(np.ones((5, 2))), inference.Argmax()]).compile()
    network = Network()
    network.run({"dealer": dealer(CIRCUIT), "server 0": server(other.circuit, 0, other.share()[0])})
    assert "another circuit" in str(network.errors["dealer"])


def test_wrong_questions_are_refused_before_anything_is_sent():
    client = Client(CIRCUIT)
    for inputs in (np.zeros((0, 5)), np.zeros((1, 4)), np.full((1, 5), 1e9)):
        with pytest.raises(ValueError, match=r".+"):
            next(client.ask(inputs))
    with pytest.raises(ValueError, match="greet"):
        next(Client().ask(INPUTS))


def test_a_party_that_waits_for_nobody_is_told_so():
    def lonely():
        yield Receive("dealer")

    with pytest.raises(ProtocolError, match="not connected"):
        drive(lonely(), {})


class Recorder:
    """A transport that notes the order of things."""

    def __init__(self):
        self.done = []

    def send(self, *parts):
        self.done.append("sent")

    def receive(self):
        self.done.append("received")
        return b""

    def wait(self):
        self.done.append("waited")

    def close(self):
        self.done.append("closed")


@pytest.mark.parametrize(
    ("size", "first", "order"),
    [
        (10, True, ["sent", "received"]),
        (10, False, ["sent", "received"]),
        (1 << 20, True, ["sent", "received"]),
        (1 << 20, False, ["received", "sent"]),
    ],
)
def test_large_messages_are_swapped_one_after_the_other(size, first, order):
    def swapping():
        yield Swap("server 1", (bytes(size),), first)

    transport = Recorder()
    drive(swapping(), {"server 1": transport})
    assert transport.done == order


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_any_batches_in_any_order_are_answered_in_that_order(sizes):
    network = session(clients=[visit([INPUTS[np.arange(n) % 3] for n in sizes])], prepare={2: 1})
    assert classes(network) == [[EXPECTED[i % 3] for i in range(n)] for n in sizes]


def test_the_largest_batch_is_the_last_whose_messages_and_material_are_within_their_bounds():
    random = np.random.default_rng(0)
    layers = [inference.Dense(random.uniform(-1, 1, (64, 64))), inference.ReLU()]
    model = inference.Sequential(
        [*layers, inference.Dense(random.uniform(-1, 1, (64, 10))), inference.Argmax()]
    )
    circuit = model.compile().circuit
    most = parties.largest_batch(circuit)
    assert 1 < most < MAX_BATCH
    for batch, fits in ((most, True), (most + 1, False)):
        material = [cost.material for cost in circuit.costs(batch)]
        assert (sum(material) <= parties.MAX_MATERIAL) is fits
        assert not fits or max(material) < channel.MAX_FRAME


def test_a_circuit_for_which_not_one_input_fits_is_refused_by_the_client(monkeypatch):
    circuit = inference.Sequential([inference.Dense(np.eye(3)), inference.Argmax()]).compile().circuit
    monkeypatch.setattr(channel, "MAX_FRAME", 1 << 10)
    assert parties.largest_batch(circuit) == 0
    with pytest.raises(ValueError, match="too large"):
        next(Client(circuit).ask(np.zeros((1, 3))))
