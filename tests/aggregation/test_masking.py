"""The masking protocol: the exact sum through dropouts at every step; order, lies and replays refused."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masking_rounds import IDENTITIES, STEPS, Rounds, federation

from medcrypt.aggregation import Ledger, MaskingClient, MaskingServer, MessageType, Plan, Signer, graph
from medcrypt.aggregation.masking.agreement import KeyPair, check_public, commitment
from medcrypt.aggregation.masking.bodies import Delivery, Reader, list_of, set_digest, set_of
from medcrypt.aggregation.messages import read_message
from medcrypt.errors import InvalidKeyError, ProtocolError

HOSPITAL = [f"hospital {i:03}" for i in range(121)]


def test_the_sum_of_all_is_exact() -> None:
    rounds = Rounds(*federation(5, 3, colluders=0))
    rounds.run()
    aggregate = rounds.server.total()
    assert aggregate.contributors == tuple(HOSPITAL[:5])
    assert np.array_equal(aggregate.integers, rounds.expected(aggregate.contributors))
    assert rounds.server.total() is aggregate


@given(
    data=st.data(),
    colluders=st.sampled_from([None, 0, 1]),
    weighted=st.booleans(),
    bits=st.sampled_from([12, 40]),
)
@settings(max_examples=15)
def test_dropouts_at_every_step_down_to_the_threshold(
    data: st.DataObject, colluders: int | None, weighted: bool, bits: int
) -> None:
    more = {"weighted": True, "max_weight": 20} if weighted else {}
    rounds = Rounds(*federation(7, 5, colluders=colluders, bits=bits, **more))
    lost = data.draw(st.lists(st.sampled_from(HOSPITAL[:7]), max_size=2, unique=True))
    missing: dict[str, set[str]] = {}
    for name in lost:
        missing.setdefault(data.draw(st.sampled_from(["advertise", *STEPS])), set()).add(name)
    rounds.run(missing=missing)
    aggregate = rounds.server.total()
    early = set().union(*(missing.get(step, set()) for step in ("advertise", "share", "upload")))
    assert aggregate.contributors == tuple(name for name in HOSPITAL[:7] if name not in early)
    assert np.array_equal(aggregate.integers, rounds.expected(aggregate.contributors))


@pytest.mark.parametrize("step", ["advertise", "share", "upload"])
def test_one_client_too_few_ends_the_round(step: str) -> None:
    rounds = Rounds(*federation(5, 4))
    with pytest.raises(ProtocolError, match="3 clients are left, 4 are needed"):
        rounds.run(missing={step: set(HOSPITAL[:2])})


def test_too_few_confirmations_or_shares_open_nothing() -> None:
    rounds = Rounds(*federation(5, 4))
    with pytest.raises(ProtocolError, match="3 witnesses have signed, 4 are needed"):
        rounds.run(missing={"confirm": set(HOSPITAL[:2])})
    rounds = Rounds(*federation(5, 4))
    rounds.run(missing={"reveal": set(HOSPITAL[:2])})
    with pytest.raises(ProtocolError, match="3 shares of 'hospital 000' have come, 4 are needed"):
        rounds.server.total()


def test_whoever_answers_late_may_still_complete_the_last_round() -> None:
    rounds = Rounds(*federation(5, 4))
    answers = rounds.run(until="reveal")
    messages = {name: rounds.act(name, "reveal", answer) for name, answer in answers.items()}
    for name in HOSPITAL[:3]:
        rounds.server.receive(messages[name])
    with pytest.raises(ProtocolError, match="3 shares"):
        rounds.server.total()
    rounds.server.receive(messages[HOSPITAL[3]])
    assert np.array_equal(rounds.server.total().integers, rounds.expected(tuple(HOSPITAL[:5])))
    with pytest.raises(ProtocolError, match="no longer"):
        rounds.server.receive(messages[HOSPITAL[4]])


def test_clients_on_a_ring_deal_with_their_neighbours_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are far too small to be safe; the messages are those of the ring."""
    monkeypatch.setattr(
        graph, "graph_sizes", lambda *_: graph.Sizes(degree=6, shares=4, witnesses=5, quorum=3)
    )
    rounds = Rounds(*federation(13, 9))
    ring = [HOSPITAL[i] for i in rounds.server._graph._ring]
    # So far apart that nobody misses more than two of its six neighbours, whatever the plan hash.
    missing = {"advertise": {ring[0]}, "upload": {ring[3]}, "confirm": {ring[6]}, "reveal": {ring[9]}}
    rounds.run(missing=missing)
    assert len(rounds.clients[ring[1]]._publics) == 5
    assert len(rounds.clients[ring[5]]._publics) == 6
    aggregate = rounds.server.total()
    assert len(aggregate.contributors) == 11
    assert np.array_equal(aggregate.integers, rounds.expected(aggregate.contributors))


@pytest.mark.long
@pytest.mark.parametrize("colluders", [None, 5])
def test_a_hundred_and_twenty_clients(colluders: int | None) -> None:
    rounds = Rounds(*federation(120, 114, colluders=colluders, size=3))
    assert rounds.server._graph.sizes.degree < 60
    missing = {"advertise": {HOSPITAL[7]}, "upload": {HOSPITAL[3], HOSPITAL[90]}, "confirm": {HOSPITAL[50]}}
    rounds.run(missing=missing)
    aggregate = rounds.server.total()
    assert len(aggregate.contributors) == 117
    assert np.array_equal(aggregate.integers, rounds.expected(aggregate.contributors))


# ---- order --------------------------------------------------------------------------------------------


def test_every_client_message_out_of_order_is_refused_and_harms_nothing() -> None:
    rounds = Rounds(*federation(3, 2))
    client, others = rounds.clients[HOSPITAL[0]], HOSPITAL[1:3]
    for step in STEPS:
        with pytest.raises(ProtocolError):
            rounds.act(HOSPITAL[0], step, b"")
    sent = [rounds.clients[name].advertise() for name in others] + [client.advertise()]
    with pytest.raises(ProtocolError, match="out of order"):
        client.advertise()
    answers: list[dict[str, bytes]] = []
    for step in STEPS:
        for message in sent[-3:]:
            rounds.server.receive(message)
        answers.append(rounds.server.close())
        for other_step in set(STEPS) - {step}:
            for earlier in answers:
                with pytest.raises(ProtocolError) as refused:
                    rounds.act(HOSPITAL[0], other_step, earlier[HOSPITAL[0]])
                assert refused.value.party == "server"
        sent += [rounds.act(name, step, answers[-1][name]) for name in HOSPITAL[:3]]
        with pytest.raises(ProtocolError) as refused:  # replayed
            rounds.act(HOSPITAL[0], step, answers[-1][HOSPITAL[0]])
        assert refused.value.party == "server"
    for message in sent[-3:]:
        rounds.server.receive(message)
    assert np.array_equal(rounds.server.total().integers, rounds.expected(tuple(HOSPITAL[:3])))


def test_the_server_refuses_what_comes_twice_or_in_the_wrong_round_by_name() -> None:
    rounds = Rounds(*federation(3, 2))
    keys = {name: client.advertise() for name, client in rounds.clients.items()}
    rounds.server.receive(keys[HOSPITAL[0]])
    with pytest.raises(ProtocolError, match="sent before") as refused:
        rounds.server.receive(keys[HOSPITAL[0]])
    assert refused.value.party == HOSPITAL[0]
    with pytest.raises(ProtocolError, match="1 clients are left"):
        rounds.server.close()
    rounds.server.receive(keys[HOSPITAL[1]])
    answers = rounds.server.close()
    shares = rounds.act(HOSPITAL[0], "share", answers[HOSPITAL[0]])
    for late in (keys[HOSPITAL[2]], keys[HOSPITAL[0]]):
        with pytest.raises(ProtocolError, match="not expected here"):
            rounds.server.receive(late)
    rounds.server.receive(shares)
    stranger = Signer(rounds.plan, HOSPITAL[2], rounds.identities[HOSPITAL[2]])
    with pytest.raises(ProtocolError, match="no longer") as refused:
        rounds.server.receive(stranger.write(MessageType.SHARES, b""))
    assert refused.value.party == HOSPITAL[2]
    with pytest.raises(ProtocolError, match="still masked"):
        rounds.server.total()


def test_messages_of_another_round_or_plan_are_refused() -> None:
    plan, identities = federation(3, 2)
    here, there = Rounds(plan, identities), Rounds(plan.for_round(1), identities)
    with pytest.raises(ProtocolError, match="another plan or round") as refused:
        here.server.receive(MaskingClient(there.plan, HOSPITAL[0], identities[HOSPITAL[0]]).advertise())
    assert refused.value.party == HOSPITAL[0]
    answers = there.run(until="share")
    here.clients[HOSPITAL[0]].advertise()
    with pytest.raises(ProtocolError, match="another plan or round") as refused:
        here.act(HOSPITAL[0], "share", answers[HOSPITAL[0]])
    assert refused.value.party == "server"


def test_parties_play_only_their_own_roles() -> None:
    rounds = Rounds(*federation(3, 2))
    as_server = Signer(rounds.plan, HOSPITAL[1], rounds.identities[HOSPITAL[1]])
    rounds.clients[HOSPITAL[0]].advertise()
    with pytest.raises(ProtocolError, match="only the server") as refused:
        rounds.act(HOSPITAL[0], "share", as_server.write(MessageType.ROSTER, list_of([])))
    assert refused.value.party == HOSPITAL[1]
    as_client = Signer(rounds.plan, "server", rounds.identities["server"])
    with pytest.raises(ProtocolError, match="only clients") as refused:
        rounds.server.receive(as_client.write(MessageType.KEYS, bytes(64)))
    assert refused.value.party == "server"


def test_a_client_with_a_ledger_takes_part_in_a_round_once(tmp_path: Path) -> None:
    plan, identities = federation(3, 2)
    ledger = Ledger.create(tmp_path / "rounds", HOSPITAL[0], bytes(32))
    MaskingClient(plan, HOSPITAL[0], identities[HOSPITAL[0]], ledger).advertise()
    again = MaskingClient(
        plan, HOSPITAL[0], identities[HOSPITAL[0]], Ledger(tmp_path / "rounds", HOSPITAL[0], bytes(32))
    )
    with pytest.raises(ProtocolError, match="has taken part") as refused:
        again.advertise()
    assert refused.value.party == HOSPITAL[0]
    assert again._next == "left"
    MaskingClient(plan.for_round(1), HOSPITAL[0], identities[HOSPITAL[0]], ledger).advertise()


# ---- a server that lies -------------------------------------------------------------------------------


class LyingServer:
    """Signs whatever it likes as the server."""

    def __init__(self, rounds: Rounds) -> None:
        self.plan = rounds.plan
        self.signer = Signer(rounds.plan, "server", rounds.identities["server"])

    def parts(self, answer: bytes, kind: MessageType) -> tuple[tuple[int, ...], list[bytes]]:
        """The set and the list of an answer."""
        reader = Reader(self.plan, read_message(self.plan, answer, {kind}))
        return reader.clients(), reader.items()

    def crowd(self, kind: MessageType, clients: set[int], items: list[bytes]) -> bytes:
        return self.signer.write(kind, set_of(self.plan, clients) + list_of(items))


def refused_by(rounds: Rounds, name: str, step: str, answer: bytes, match: str) -> None:
    """The client blames the server, leaves, and has no secrets any more."""
    client = rounds.clients[name]
    with pytest.raises(ProtocolError, match=match) as refused:
        rounds.act(name, step, answer)
    assert refused.value.party == "server"
    assert client._next == "left"
    assert not any(client._seed)
    assert client._mask_pair is client._channel_pair is None
    assert not client._shares


def test_different_uploaders_for_different_clients_are_noticed_by_both() -> None:
    """The attack that the consistency round is there for: one half is told that a client dropped out."""
    rounds = Rounds(*federation(5, 4, colluders=1))
    liar = LyingServer(rounds)
    answers = rounds.run(until="confirm")
    for name in HOSPITAL[:2]:
        clients, items = liar.parts(answers[name], MessageType.UPLOADERS)
        kept = [
            i for i in items if read_message(rounds.plan, i, {MessageType.STATEMENT}).sender != HOSPITAL[4]
        ]
        answers[name] = liar.crowd(MessageType.UPLOADERS, set(clients) - {4}, kept)
    confirmed = {name: rounds.act(name, "confirm", answer) for name, answer in answers.items()}
    with pytest.raises(ProtocolError, match="other sets"):  # an honest server would have noticed too
        rounds.server.receive(confirmed[HOSPITAL[0]])
    every = liar.signer.write(MessageType.CONFIRMATIONS, list_of(list(confirmed.values())))
    same = liar.signer.write(MessageType.CONFIRMATIONS, list_of([confirmed[n] for n in HOSPITAL[:2]]))
    others = liar.signer.write(MessageType.CONFIRMATIONS, list_of([confirmed[n] for n in HOSPITAL[2:5]]))
    refused_by(rounds, HOSPITAL[0], "reveal", every, "confirmed other sets")
    refused_by(rounds, HOSPITAL[1], "reveal", same, "too few witnesses")
    refused_by(rounds, HOSPITAL[2], "reveal", every, "confirmed other sets")
    refused_by(rounds, HOSPITAL[3], "reveal", others, "too few witnesses")


def test_one_signature_does_not_count_twice() -> None:
    rounds = Rounds(*federation(5, 4, colluders=1))
    liar = LyingServer(rounds)
    answers = rounds.run(until="confirm")
    confirmed = [rounds.act(name, "confirm", answers[name]) for name in HOSPITAL[:3]]
    padded = liar.signer.write(MessageType.CONFIRMATIONS, list_of([*confirmed, confirmed[0], confirmed[1]]))
    refused_by(rounds, HOSPITAL[0], "reveal", padded, "too few witnesses")


def test_different_participants_for_different_clients_are_noticed_before_anything_is_revealed() -> None:
    """A client that masks with fewer neighbours than its peers believe would be easier to single out."""
    rounds = Rounds(*federation(5, 4, colluders=1))
    liar = LyingServer(rounds)
    answers = rounds.run(until="upload")
    clients, items = liar.parts(answers[HOSPITAL[0]], MessageType.PARTICIPANTS)
    kept = [i for i in items if read_message(rounds.plan, i, {MessageType.DELIVERY}).sender != HOSPITAL[4]]
    answers[HOSPITAL[0]] = liar.crowd(MessageType.PARTICIPANTS, set(clients) - {4}, kept)
    uploads = {name: rounds.act(name, "upload", answer) for name, answer in answers.items()}
    with pytest.raises(ProtocolError, match="other participants") as refused:
        rounds.server.receive(uploads[HOSPITAL[0]])
    assert refused.value.party == HOSPITAL[0]
    statements = {}
    for name, upload in uploads.items():
        message = read_message(rounds.plan, upload, {MessageType.MASKED})
        statements[name] = Reader(rounds.plan, message).items()[0]
    everybody = set(range(5))
    for name in (HOSPITAL[0], HOSPITAL[1]):
        items = [statements[other] for other in HOSPITAL[:5] if other != name]
        lie = liar.crowd(MessageType.UPLOADERS, everybody if name != HOSPITAL[0] else {0, 1, 2, 3}, items)
        refused_by(rounds, name, "confirm", lie, "masked with other participants")


@pytest.mark.parametrize(
    ("clients", "match"),
    [
        ({0, 1, 2}, "fewer than the threshold"),
        ({1, 2, 3, 4}, "left out"),
        ({0, 1, 2, 3}, "statements are not"),
    ],
)
def test_sets_that_cannot_be_are_refused(clients: set[int], match: str) -> None:
    rounds = Rounds(*federation(5, 4))
    liar = LyingServer(rounds)
    _, items = liar.parts(rounds.run(until="confirm")[HOSPITAL[0]], MessageType.UPLOADERS)
    refused_by(rounds, HOSPITAL[0], "confirm", liar.crowd(MessageType.UPLOADERS, clients, items), match)


def test_an_uploader_that_never_participated_is_refused() -> None:
    rounds = Rounds(*federation(5, 3))
    liar = LyingServer(rounds)
    answers = rounds.run(missing={"share": {HOSPITAL[4]}}, until="confirm")
    clients, items = liar.parts(answers[HOSPITAL[0]], MessageType.UPLOADERS)
    lie = liar.crowd(MessageType.UPLOADERS, {*clients, 4}, items)
    refused_by(rounds, HOSPITAL[0], "confirm", lie, "cannot have uploaded")


def test_neighbours_keys_cannot_be_left_out_doubled_or_replaced() -> None:
    def lie_to(change: object, match: str) -> None:
        rounds = Rounds(*federation(4, 3))
        liar = LyingServer(rounds)
        answer = rounds.run(until="share")[HOSPITAL[0]]
        items = Reader(rounds.plan, read_message(rounds.plan, answer, {MessageType.ROSTER})).items()
        changed = change(rounds, items)  # type: ignore[operator]
        roster = liar.signer.write(MessageType.ROSTER, list_of(changed))
        refused_by(rounds, HOSPITAL[0], "share", roster, match)

    def forged(rounds: Rounds, items: list[bytes]) -> list[bytes]:
        return [items[0][:60] + bytes([items[0][60] ^ 1]) + items[0][61:], *items[1:]]

    def another_round(rounds: Rounds, items: list[bytes]) -> list[bytes]:
        plan = rounds.plan.for_round(9)
        return [MaskingClient(plan, HOSPITAL[1], rounds.identities[HOSPITAL[1]]).advertise(), *items[1:]]

    def of_the_server(rounds: Rounds, items: list[bytes]) -> list[bytes]:
        return [LyingServer(rounds).signer.write(MessageType.KEYS, KeyPair().public * 2), *items[1:]]

    lie_to(lambda rounds, items: items[:1], "too few neighbours")
    lie_to(lambda rounds, items: [*items, items[0]], "come twice")
    lie_to(lambda rounds, items: [rounds.transcript[0], *items], "wrong client")  # its own
    lie_to(forged, "passed on a bad message")
    lie_to(another_round, "passed on a bad message")
    lie_to(of_the_server, "no client wrote")


def test_shares_cannot_be_left_out_doubled_or_swapped() -> None:
    def lie_to(change: object, match: str) -> None:
        rounds = Rounds(*federation(4, 2))
        liar = LyingServer(rounds)
        answers = rounds.run(until="upload")
        clients, items = liar.parts(answers[HOSPITAL[0]], MessageType.PARTICIPANTS)
        _, foreign = liar.parts(answers[HOSPITAL[1]], MessageType.PARTICIPANTS)
        lie = liar.crowd(MessageType.PARTICIPANTS, set(clients), change(items, foreign))  # type: ignore[operator]
        refused_by(rounds, HOSPITAL[0], "upload", lie, match)

    lie_to(lambda items, foreign: items[1:], "not those of the participating")
    lie_to(lambda items, foreign: [*items, items[0]], "twice")
    lie_to(lambda items, foreign: [*items[:2], foreign[2]], "wrong client")


@given(cut=st.integers(0, 200), flip=st.integers(0, 10_000), extra=st.binary(max_size=3))
@settings(max_examples=20)
def test_damaged_messages_change_nothing(cut: int, flip: int, extra: bytes) -> None:
    """Noise on the line is nobody's word: the client stays, and so does the round."""
    rounds = Rounds(*federation(2, 2))
    messages = [client.advertise() for client in rounds.clients.values()]
    at = flip % len(messages[0])
    damaged = [
        messages[0][: max(0, len(messages[0]) - 1 - cut)],
        messages[0][:at] + bytes([messages[0][at] ^ 1 << flip % 8]) + messages[0][at + 1 :],
        messages[0] + b"\0" + extra,
        extra,
    ]
    for message in damaged:
        with pytest.raises(ProtocolError):
            rounds.server.receive(message)
        with pytest.raises(ProtocolError):
            rounds.act(HOSPITAL[0], "share", message)
    for message in messages:
        rounds.server.receive(message)
    for name, answer in rounds.server.close().items():
        rounds.act(name, "share", answer)


def test_only_witnesses_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        graph, "graph_sizes", lambda *_: graph.Sizes(degree=6, shares=4, witnesses=5, quorum=3)
    )
    rounds = Rounds(*federation(12, 9))
    liar = LyingServer(rounds)
    answers = rounds.run(until="confirm")
    confirmed = {name: rounds.act(name, "confirm", answer) for name, answer in answers.items()}
    witnesses = {HOSPITAL[number] for number in rounds.server._graph.witnesses}
    assert len(witnesses) == 5
    others = [message for name, message in confirmed.items() if name not in witnesses]
    lie = liar.signer.write(MessageType.CONFIRMATIONS, list_of(others))
    refused_by(rounds, HOSPITAL[0], "reveal", lie, "is not a witness")
    for name, message in confirmed.items():
        if name not in sorted(witnesses)[:3]:
            rounds.server.receive(message)
    with pytest.raises(ProtocolError, match="2 witnesses have signed, 3 are needed"):
        rounds.server.close()


def test_members_that_the_plan_does_not_know_are_refused() -> None:
    rounds = Rounds(*federation(5, 4))
    liar = LyingServer(rounds)
    _, items = liar.parts(rounds.run(until="confirm")[HOSPITAL[0]], MessageType.UPLOADERS)
    lie = liar.signer.write(MessageType.UPLOADERS, b"\xff" + list_of(items))
    refused_by(rounds, HOSPITAL[0], "confirm", lie, "does not know")


def test_a_client_on_the_ring_wants_enough_neighbours_to_hold_its_shares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        graph, "graph_sizes", lambda *_: graph.Sizes(degree=4, shares=5, witnesses=5, quorum=3)
    )
    rounds = Rounds(*federation(12, 5))
    gone = HOSPITAL[rounds.clients[HOSPITAL[0]]._graph.neighbours(0)[0]]
    answers = rounds.run(until="upload", missing={"share": {gone}} if gone != HOSPITAL[0] else {})
    refused_by(rounds, HOSPITAL[0], "upload", answers[HOSPITAL[0]], "too few neighbours take part")


# ---- clients that lie ---------------------------------------------------------------------------------


def wrong(rounds: Rounds, name: str, kind: MessageType, body: bytes, match: str) -> None:
    """The server names the client and goes on."""
    message = Signer(rounds.plan, name, rounds.identities[name]).write(kind, body)
    with pytest.raises(ProtocolError, match=match) as refused:
        rounds.server.receive(message)
    assert refused.value.party == name


def test_keys_of_small_order_or_odd_form_are_refused_by_the_server() -> None:
    rounds = Rounds(*federation(3, 2))
    good = KeyPair().public
    for bad in (bytes(32), (1).to_bytes(32, "little"), good[:31] + bytes([good[31] | 128])):
        wrong(rounds, HOSPITAL[0], MessageType.KEYS, bad + good, "not usable")
        wrong(rounds, HOSPITAL[0], MessageType.KEYS, good + bad, "not usable")
        with pytest.raises(InvalidKeyError):
            check_public(bad)
    wrong(rounds, HOSPITAL[0], MessageType.KEYS, good, "too short")
    wrong(rounds, HOSPITAL[0], MessageType.KEYS, good * 2 + b"\0", "too long")


def test_keys_of_small_order_passed_on_by_a_careless_server_are_refused_by_clients() -> None:
    rounds = Rounds(*federation(3, 2))
    rounds.run(until="share")
    signer = Signer(rounds.plan, HOSPITAL[1], rounds.identities[HOSPITAL[1]])
    liar = LyingServer(rounds)
    for name, body in (
        (HOSPITAL[0], bytes(32) + KeyPair().public),
        (HOSPITAL[2], KeyPair().public + bytes(32)),
    ):
        roster = liar.signer.write(MessageType.ROSTER, list_of([signer.write(MessageType.KEYS, body)]))
        with pytest.raises(ProtocolError, match="not usable") as refused:
            rounds.act(name, "share", roster)
        assert refused.value.party == HOSPITAL[1]


def test_the_server_refuses_deliveries_that_are_not_for_the_neighbours() -> None:
    rounds = Rounds(*federation(3, 2))
    answers = rounds.run(until="share")
    message = read_message(
        rounds.plan, rounds.act(HOSPITAL[0], "share", answers[HOSPITAL[0]]), {MessageType.SHARES}
    )
    foreign = read_message(
        rounds.plan, rounds.act(HOSPITAL[1], "share", answers[HOSPITAL[1]]), {MessageType.SHARES}
    )
    reader, head = Reader(rounds.plan, message), bytes(message.body[:96])
    reader.take(96)
    items = reader.items()
    other = Reader(rounds.plan, foreign)
    other.take(96)
    for changed, match in (
        (items[:1], "not for the neighbours"),
        (items[::-1], "not for the neighbours"),
        ([items[0], items[0]], "not for the neighbours"),
        ([other.items()[0], items[1]], "another client's"),
        ([items[0][:-1], items[1]], "bad message"),
        ([items[0], items[1], items[1], items[1]], "longer than there are clients"),
    ):
        wrong(rounds, HOSPITAL[0], MessageType.SHARES, head + list_of(changed), match)


@pytest.mark.parametrize("how", ["cipher", "commitment"])
def test_shares_that_do_not_decrypt_or_fit_their_commitments_name_the_dealer(how: str) -> None:
    rounds = Rounds(*federation(3, 2))
    answers = rounds.run(until="share")
    cheat = rounds.clients[HOSPITAL[1]]
    honest = cheat._seal

    def seal(receiver: int, commitments: tuple[bytes, bytes], shares: bytes) -> bytes:
        if how == "commitment":
            return honest(receiver, (commitments[1], commitments[0]), shares)
        head = Delivery(receiver, commitments, b"").head()
        return Signer(cheat.plan, cheat.name, IDENTITIES[1]).write(MessageType.DELIVERY, head + bytes(80))

    cheat._seal = seal  # type: ignore[method-assign]
    for name, answer in answers.items():
        rounds.send(rounds.act(name, "share", answer))
    answers = rounds.server.close()
    with pytest.raises(ProtocolError, match="its shares") as refused:
        rounds.act(HOSPITAL[0], "upload", answers[HOSPITAL[0]])
    assert refused.value.party == HOSPITAL[1]


def test_uploads_of_the_wrong_size_range_or_statement_are_refused() -> None:
    rounds = Rounds(*federation(3, 2, bits=12, size=2))  # values modulo 2^14 in two bytes
    rounds.run(until="upload")
    signer = Signer(rounds.plan, HOSPITAL[0], rounds.identities[HOSPITAL[0]])
    other = Signer(rounds.plan, HOSPITAL[1], rounds.identities[HOSPITAL[1]])
    right = set_digest(rounds.plan, range(3))
    good = list_of([signer.write(MessageType.STATEMENT, right)])
    wrong(rounds, HOSPITAL[0], MessageType.MASKED, good + bytes(3), "take 4 bytes")
    wrong(rounds, HOSPITAL[0], MessageType.MASKED, good + bytes(5), "take 4 bytes")
    wrong(rounds, HOSPITAL[0], MessageType.MASKED, good + b"\0\0\0\x40", "does not fit 14 bits")
    for statements in (
        [],
        [signer.write(MessageType.STATEMENT, right)] * 2,
        [signer.write(MessageType.STATEMENT, set_digest(rounds.plan, range(2)))],
        [signer.write(MessageType.STATEMENT, right + b"\0")],
        [other.write(MessageType.STATEMENT, right)],
        [signer.write(MessageType.CONFIRMATION, right)],
        [b"nothing"],
    ):
        wrong(rounds, HOSPITAL[0], MessageType.MASKED, list_of(statements) + bytes(4), r"statement|list")


def test_a_wrong_share_is_refused_by_name_and_the_others_suffice() -> None:
    rounds = Rounds(*federation(4, 3))
    answers = rounds.run(until="reveal", missing={"upload": {HOSPITAL[3]}})
    messages = {name: rounds.act(name, "reveal", answers[name]) for name in HOSPITAL[:3]}
    body = bytearray(read_message(rounds.plan, messages[HOSPITAL[0]], {MessageType.REVEAL}).body)
    body[64 + 33] ^= 1  # in the share of hospital 001
    wrong(rounds, HOSPITAL[0], MessageType.REVEAL, bytes(body), "its share of 'hospital 001'")
    wrong(rounds, HOSPITAL[0], MessageType.REVEAL, bytes(body[:-1]), "too short")
    body[64 + 33] ^= 1
    wrong(rounds, HOSPITAL[0], MessageType.REVEAL, bytes(body) + b"\0", "too long")
    wrong(rounds, HOSPITAL[0], MessageType.REVEAL, bytes(64) + bytes(body[64:]), "other sets")
    for message in messages.values():
        rounds.server.receive(message)
    assert np.array_equal(rounds.server.total().integers, rounds.expected(tuple(HOSPITAL[:3])))


@pytest.mark.parametrize("gone", [False, True])
def test_whoever_shares_something_else_than_its_secrets_is_named(gone: bool) -> None:
    """All shares fit their commitments, but what they interpolate to is not what was announced."""
    rounds = Rounds(*federation(4, 3))
    answers = rounds.run(until="share")
    cheat = rounds.clients[HOSPITAL[0]]
    digest = rounds.plan.digest
    if gone:
        cheat._mask_pair.private[0] ^= 8  # type: ignore[union-attr]
        messages = [rounds.act(name, "share", answer) for name, answer in answers.items()]
    else:
        messages = [rounds.act(name, "share", answer) for name, answer in answers.items()]
        body = bytearray(read_message(rounds.plan, messages[0], {MessageType.SHARES}).body)
        body[:32] = commitment(digest, b"seed", 0, 0, bytes(32))
        messages[0] = Signer(rounds.plan, HOSPITAL[0], IDENTITIES[0]).write(MessageType.SHARES, bytes(body))
    for step in STEPS[1:]:
        for message in messages:
            rounds.send(message)
        answers = rounds.server.close()
        messages = [
            rounds.act(name, step, answer)
            for name, answer in answers.items()
            if not (gone and step == "upload" and name == HOSPITAL[0])
        ]
    for message in messages:
        rounds.send(message)
    with pytest.raises(ProtocolError, match="it shared another") as refused:
        rounds.server.total()
    assert refused.value.party == HOSPITAL[0]


# ---- arguments ----------------------------------------------------------------------------------------


def test_plans_without_pinned_keys_and_strangers_are_refused() -> None:
    plan, identities = federation(3, 2)
    bare = Plan(clients=3, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)})
    no_server = Plan(
        clients=3, threshold=2, clip=1.0, bits=8, shapes={"w": (3,)},
        parties={name: identities[name].recipient for name in HOSPITAL[:3]},
    )  # fmt: skip
    for bad in (bare, no_server):
        with pytest.raises(ValueError, match="pinned keys"):
            MaskingClient(bad, HOSPITAL[0], identities[HOSPITAL[0]])
        with pytest.raises(ValueError, match="pinned keys"):
            MaskingServer(bad, identities["server"])
    with pytest.raises(ValueError, match="not a client"):
        MaskingClient(plan, "server", identities["server"])
    with pytest.raises(ValueError, match="does not know"):
        MaskingClient(plan, "Mallory", identities["server"])
    with pytest.raises(ValueError, match="another key"):
        MaskingClient(plan, HOSPITAL[0], identities[HOSPITAL[1]])
    with pytest.raises(TypeError, match="Identity"):
        MaskingClient(plan, HOSPITAL[0], None)  # type: ignore[arg-type]


def test_a_bad_update_is_refused_and_may_be_replaced() -> None:
    rounds = Rounds(*federation(2, 2))
    answers = rounds.run(until="upload")
    client, answer = rounds.clients[HOSPITAL[0]], answers[HOSPITAL[0]]
    for bad in ({"w": [np.nan] * 5}, {"w": [2.0] * 5}, {"w": [0.0] * 4}, {"v": [0.0] * 5}):
        with pytest.raises(ValueError, match=r"NaN|clip|shape|lacks"):
            client.upload(answer, bad)
    with pytest.raises(ValueError, match="not weighted"):
        client.upload(answer, rounds.updates[HOSPITAL[0]], weight=2)
    rounds.updates[HOSPITAL[0]] = {"w": np.ones(5)}
    for name in HOSPITAL[:2]:
        rounds.send(
            rounds.act(name, "upload", answers[name])
            if name != HOSPITAL[0]
            else client.upload(answer, {"w": np.full(5, 9.0)}, saturate=True)
        )
    for step in STEPS[2:]:
        for name, reply in rounds.server.close().items():
            rounds.send(rounds.act(name, step, reply))
    assert np.array_equal(rounds.server.total().integers, rounds.expected(tuple(HOSPITAL[:2])))


def test_parties_show_no_secrets_and_do_not_travel() -> None:
    rounds = Rounds(*federation(2, 2))
    client = rounds.clients[HOSPITAL[0]]
    client.advertise()
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            attempt(client)
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            attempt(client._mask_pair)
    assert repr(client) == "MaskingClient(name='hospital 000', next='share')"
    assert repr(rounds.server) == "MaskingServer(collecting=KEYS, received=0)"
    assert client._seed.hex() not in repr(vars(client._mask_pair))


def test_secrets_are_wiped_when_the_last_message_is_written() -> None:
    rounds = Rounds(*federation(3, 2))
    answers = rounds.run(until="reveal")
    client = rounds.clients[HOSPITAL[0]]
    buffers = [
        client._seed,
        client._mask_pair.private,
        client._channel_pair.private,
        *client._shares.values(),
    ]  # type: ignore[union-attr]
    assert all(any(buffer) for buffer in buffers)
    rounds.act(HOSPITAL[0], "reveal", answers[HOSPITAL[0]])
    assert not any(any(buffer) for buffer in buffers)
