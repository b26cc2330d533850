"""The homomorphic back-end: the exact sum of an agreed set, and nothing but that set."""

import json
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from federation import (
    BITS,
    CLIENTS,
    HOLDERS,
    SERVER,
    client,
    holder,
    identity,
    make_plan,
    make_update,
    plan_of_vector,
    threshold_key,
    upload,
    whole_key,
)  # fmt: skip
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import Identity, ProtocolError, aggregation, paillier
from medcrypt.aggregation import HomomorphicClient, HomomorphicHolder, HomomorphicServer, MessageType, Signer
from medcrypt.aggregation.uploads import packing_of, proof_context, write_upload_body
from reference import aggregation as twin
from reference import paillier as paillier_twin

VECTORS = Path(__file__).parent.parent / "vectors"
ROUNDS = json.loads((VECTORS / "aggregation" / "rounds.json").read_text())["vectors"]
ONE = ("notary",)


def started(plan, public, names=CLIENTS, weight=2):
    """A server with the uploads of these clients, and the plain sum of them."""
    server = HomomorphicServer(plan, public, identity(SERVER))
    weights = weight if plan.weighted else None
    for seed, name in enumerate(names):
        assert server.receive(upload(plan, public, name, seed, weights)) == name
    parts = [aggregation.quantise(plan, make_update(plan, seed), weights) for seed in range(len(names))]
    return server, aggregation.add_integers(plan, parts)


def finished(plan, server, keys, folder):
    """Let these holders answer."""
    for name, key in keys.items():
        server.receive(holder(plan, key, name, folder).open(server.request()))
    return server.result()


# --- the exact sum ------------------------------------------------------------------------------------


@pytest.mark.parametrize("proofs", [True, False])
@pytest.mark.parametrize("names", [CLIENTS, CLIENTS[1:]])
def test_any_enough_holders_open_the_exact_sum_of_whoever_has_uploaded(proofs, names, tmp_path):
    plan, (public, shares) = make_plan(proofs=proofs), threshold_key()
    for pair in ((0, 1), (2, 0), (1, 2)):
        server, expected = started(plan, public, names)
        aggregate = finished(
            plan, server, {HOLDERS[i]: shares[i] for i in pair}, tmp_path / "new" / str(pair)
        )
        assert np.array_equal(aggregate.integers, expected)
        assert aggregate.contributors == names
        assert aggregate.total_weight == 2 * len(names)


@given(
    st.integers(2, 16), st.none() | st.integers(1, 3000), st.integers(0, 40), st.integers(2, 4), st.booleans(),
)  # fmt: skip
def test_the_sum_is_that_of_numpy_for_any_plan(bits, max_weight, size, count, proofs):
    private = whole_key()
    plan = make_plan(
        bits=bits, weighted=max_weight is not None, max_weight=max_weight, shapes={"a": (size,), "b": ()},
        proofs=proofs, threshold=2, parties=None, holders=(),
    )  # fmt: skip
    server = HomomorphicServer(plan, private.public)
    total = np.zeros(plan.dimension, np.int64)
    for seed in range(count):
        update, weight = make_update(plan, seed), None if max_weight is None else 1 + seed * 977 % max_weight
        server.receive(HomomorphicClient(plan, private.public, f"h{seed}").encrypt(update, weight))
        total += aggregation.quantise(plan, update, weight)
    sums = private.decrypt_integers(server.total())
    assert np.array_equal(aggregation.Aggregate(plan, sums, server.contributors).integers, total)


def test_noise_is_in_the_sum(tmp_path):
    from federation import Noise

    plan = make_plan(noise=Noise(3), l2_clip=4.0, holders=ONE)
    server, expected = started(plan, whole_key().public)
    aggregate = finished(plan, server, {"notary": whole_key()}, tmp_path)
    assert np.array_equal(aggregate.integers, expected)
    bare = make_plan(l2_clip=4.0, holders=ONE)
    assert np.array_equal(expected - 3 * len(CLIENTS), started(bare, whole_key().public)[1])


def test_totals_that_leave_the_server_are_not_the_product_of_the_uploads():
    plan, private = make_plan(holders=ONE), whole_key()
    server, expected = started(plan, private.public)
    first, second = server.total(), server.total()
    assert first.context == plan.digest
    assert not set(first.ciphertexts) & set(second.ciphertexts)
    product = server._contributions().total
    assert not set(first.ciphertexts) & set(product.ciphertexts)
    assert np.array_equal(private.decrypt_integers(first), expected)


def test_a_key_without_trust_gives_the_same_sum(tmp_path):
    plan, private = make_plan(holders=ONE), whole_key()
    public = paillier.PublicKey(private.public.n, insecure=True)
    server, expected = started(plan, public)
    assert np.array_equal(private.decrypt_integers(server.total()), expected)
    assert np.array_equal(finished(plan, server, {"notary": private}, tmp_path).integers, expected)


# --- the twin -----------------------------------------------------------------------------------------


def vector_key():
    listed = json.loads((VECTORS / "paillier" / "keys.json").read_text())["keys"]
    entry = next(entry for entry in listed if entry["bits"] == 512)
    return int(entry["p"], 16), int(entry["q"], 16)


def twin_plan(fields):
    shapes = {name: tuple(shape) for name, shape in fields["shapes"].items()}
    parties = {name: bytes.fromhex(key) for name, key in fields["parties"].items()}
    people = {"parties": parties, "holders": tuple(fields["holders"]), "key": bytes.fromhex(fields["key"])}
    return twin.Plan(**(fields | {"shapes": shapes} | people))


@pytest.mark.parametrize("vector", ROUNDS)
def test_every_role_works_with_those_of_the_readable_twin(vector, tmp_path):
    plan, readable = plan_of_vector(vector["fields"]), twin_plan(vector["fields"])
    private = paillier.PrivateKey(*vector_key(), insecure=True)
    public, key = private.public, paillier_twin.Key(private.p, private.q)
    seeds = {name: bytes.fromhex(seed) for name, seed in vector["seeds"].items()}
    identities = {name: Identity.from_bytes(bytes(range(32)) + seed) for name, seed in seeds.items()}
    signing = {name: Ed25519PrivateKey.from_private_bytes(seed) for name, seed in seeds.items()}
    path = tmp_path / "ledger"
    ledger = aggregation.Ledger.create(path, "notary", public.fingerprint)
    ours = HomomorphicHolder(plan, private, "notary", identities["notary"], ledger)

    # Their clients; our server makes the same request of the same uploads; our holder says the same.
    server = HomomorphicServer(plan, public, identities["server"])
    for data in vector["uploads"]:
        server.receive(bytes.fromhex(data))
    assert server.request().hex() == vector["request"]
    assert ours.open(server.request()).hex() == vector["opening"]
    server.receive(bytes.fromhex(vector["opening"]))
    assert server.result().integers.tolist() == vector["sums"]

    # Our clients; their server and holder.
    uploads = []
    for entry in vector["clients"]:
        values, update = iter(entry["values"]), {}
        for name, shape in plan.shapes.items():
            update[name] = np.reshape([next(values) for _ in range(int(np.prod(shape)))], shape)
        weight = entry["weight"] if plan.weighted else None
        assert aggregation.quantise(plan, update, weight).tolist() == entry["integers"]
        uploads.append(
            HomomorphicClient(plan, public, entry["name"], identities[entry["name"]]).encrypt(update, weight)
        )
    request = twin.server_request(readable, uploads, signing["server"])
    opening = twin.holder_opening(readable, key, request, "notary", signing["notary"])
    assert twin.opened_sums(readable, opening) == vector["sums"]

    # Their server with our uploads asks our holder once more: another set.
    with pytest.raises(ProtocolError, match="another set"):
        ours.open(request)
    assert len(path.read_bytes()) == 37 + 96


# --- a holder is no oracle ----------------------------------------------------------------------------


@pytest.fixture
def round_(tmp_path):
    """A plan, a server with all uploads, a whole key's holder."""
    plan = make_plan(holders=ONE)
    server, expected = started(plan, whole_key().public)
    return plan, server, holder(plan, whole_key(), "notary", tmp_path), expected


def request_of(plan, uploads, sender=SERVER):
    body = len(uploads).to_bytes(4, "big") + b"".join(len(u).to_bytes(8, "big") + u for u in uploads)
    return Signer(plan, sender, identity(sender)).write(MessageType.REQUEST, body)


def messages_of(server):
    return [server._uploads[name].message for name in server.contributors]


def refused(opener, request, words, party):
    with pytest.raises(ProtocolError, match=words) as error:
        opener.open(request)
    assert error.value.party == party


def test_a_single_upload_is_never_opened(round_):
    plan, server, notary, _ = round_
    one = messages_of(server)[0]
    refused(notary, request_of(plan, [one]), "threshold", SERVER)
    refused(notary, request_of(plan, [one] * 3), "different clients", SERVER)
    refused(notary, request_of(plan, []), "threshold", SERVER)


def test_two_sets_that_differ_by_one_client_are_never_both_opened(round_, tmp_path):
    plan, server, notary, _ = round_
    uploads = messages_of(server)
    notary.open(request_of(plan, uploads))
    for smaller in (uploads[:-1], uploads[1:]):
        refused(notary, request_of(plan, smaller), "another set", SERVER)
        restarted = holder(plan, whole_key(), "notary", tmp_path)  # the process died; the ledger did not
        refused(restarted, request_of(plan, smaller), "another set", SERVER)


def test_the_same_set_is_opened_again_if_the_answer_was_lost(round_):
    _, server, notary, expected = round_
    notary.open(server.request())
    server.receive(notary.open(server.request()))
    assert np.array_equal(server.result().integers, expected)


def test_another_upload_of_the_same_client_is_another_set(round_):
    plan, server, notary, _ = round_
    uploads = messages_of(server)
    notary.open(request_of(plan, uploads))
    other = upload(plan, whole_key().public, CLIENTS[0], seed=99)
    refused(notary, request_of(plan, [other, *uploads[1:]]), "another set", SERVER)


def test_nothing_is_opened_that_could_not_be_recorded(round_, monkeypatch):
    _, server, notary, _ = round_
    monkeypatch.setattr(paillier.PrivateKey, "decrypt_integers", lambda *_: pytest.fail("decrypted"))
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="space"):
        notary.open(server.request())


def test_the_record_is_on_disk_before_anything_is_decrypted(round_, tmp_path, monkeypatch):
    _, server, notary, _ = round_
    size = (tmp_path / "notary.ledger").stat().st_size

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(paillier.PrivateKey, "decrypt_integers", die)
    with pytest.raises(KeyboardInterrupt):
        notary.open(server.request())
    assert (tmp_path / "notary.ledger").stat().st_size == size + 96


def test_only_the_server_asks(round_):
    plan, server, notary, _ = round_
    refused(notary, request_of(plan, messages_of(server), sender="Berlin"), "only the server", "Berlin")
    refused(notary, messages_of(server)[0], "not expected", CLIENTS[0])


def test_uploads_of_another_round_are_no_contribution(round_, tmp_path):
    plan, server, notary, _ = round_
    later = plan.for_round(1)
    refused(notary, request_of(plan.for_round(1), messages_of(server)), "another plan or round", SERVER)
    refused(
        holder(later, whole_key(), "notary", tmp_path),
        request_of(later, messages_of(server)),
        "another plan or round",
        CLIENTS[0],
    )


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_an_upload_that_was_changed_on_the_way_is_the_servers_doing(position, bit):
    plan, private = make_plan(holders=ONE), whole_key()
    uploads = [upload(plan, private.public, name, 1) for name in CLIENTS]
    damaged = bytearray(uploads[1])
    damaged[int(position * len(damaged))] ^= 1 << bit
    message = aggregation.read_message(
        plan, request_of(plan, [uploads[0], bytes(damaged), *uploads[2:]]), {MessageType.REQUEST}
    )
    with pytest.raises(ProtocolError) as error:
        aggregation.uploads.read_request(plan, private.public, message)
    assert error.value.party == SERVER


@pytest.mark.parametrize(
    "change", [lambda b: b[:-1], lambda b: b + b"\0", lambda b: b"", lambda b: b"\xff" * 4 + b[4:]]
)
def test_malformed_requests_are_the_servers_doing(round_, change):
    plan, server, notary, _ = round_
    body = aggregation.uploads.write_request([server._uploads[name] for name in CLIENTS])
    request = Signer(plan, SERVER, identity(SERVER)).write(MessageType.REQUEST, change(body))
    refused(notary, request, "malformed", SERVER)


def test_a_holder_needs_pinned_keys_its_own_ledger_and_a_majority(tmp_path):
    private, plan = whole_key(), make_plan(holders=ONE)
    public, shares = threshold_key(4, 2)
    quarters = make_plan(holders=("ministry", "notary", "parliament", "university"), key=public)
    ledger = aggregation.Ledger.create(tmp_path / "a", "notary", private.public.fingerprint)
    me = identity("notary")
    with pytest.raises(ValueError, match="relies on signatures"):
        HomomorphicHolder(make_plan(parties=None, holders=()), private, "notary", me, ledger)
    with pytest.raises(ValueError, match="not a key holder"):
        HomomorphicHolder(plan, private, "Berlin", identity("Berlin"), ledger)
    with pytest.raises(ValueError, match="another key"):
        HomomorphicHolder(plan, private, "notary", identity("Berlin"), ledger)
    with pytest.raises(TypeError, match="PrivateKey or a KeyShare"):
        HomomorphicHolder(plan, private.public, "notary", me, ledger)
    with pytest.raises(TypeError, match="Ledger"):
        HomomorphicHolder(plan, private, "notary", me, tmp_path / "a")
    with pytest.raises(ValueError, match="ledger belongs"):
        HomomorphicHolder(make_plan(), threshold_key()[1][1], "notary", me, ledger)
    with pytest.raises(ValueError, match="half of the key holders"):
        HomomorphicHolder(quarters, shares[1], "notary", me, ledger)


# --- lies ---------------------------------------------------------------------------------------------


def test_a_copied_upload_is_refused_although_its_sender_signs_it(round_):
    """What the proof of plaintext knowledge is for."""
    plan, _, _, _ = round_
    public = whole_key().public
    server = HomomorphicServer(plan, public, identity(SERVER))
    stolen = aggregation.read_message(plan, upload(plan, public, "Aachen", 1), {MessageType.UPLOAD})
    forged = Signer(plan, "Berlin", identity("Berlin")).write(MessageType.UPLOAD, stolen.body)
    with pytest.raises(ProtocolError, match="does not hold") as error:
        server.receive(forged)
    assert error.value.party == "Berlin"


def lying(plan, public, name, **changes):
    """A signed upload that is a little different from the planned one."""
    packing = changes.pop("packing", packing_of(plan))
    shape, context = changes.pop("shape", (plan.dimension,)), changes.pop("context", plan.digest)
    key = changes.pop("key", public)
    array, proof = key.encrypt_integers_and_prove(
        np.ones(shape, np.int64), packing, context=context, proof_context=proof_context(plan, name)
    )
    array = changes.pop("then", lambda a: a)(array)
    body = write_upload_body(array, changes.pop("proof", proof))
    return Signer(plan, name, identity(name)).write(MessageType.UPLOAD, body)


def other_packing(plan, **fields):
    packing = packing_of(plan)
    values = {name: getattr(packing, name) for name in ("clip", "bits", "max_terms", "headroom")}
    return paillier.Packing(**(values | fields))


LIES = {
    "another clip": lambda plan: {"packing": other_packing(plan, clip=1.0)},
    "other bits": lambda plan: {"packing": other_packing(plan, bits=13, headroom=5)},
    "room for more terms": lambda plan: {"packing": other_packing(plan, max_terms=8)},
    "another shape": lambda plan: {"shape": (plan.dimension, 1)},
    "fewer values": lambda plan: {"shape": (plan.dimension - 1,)},
    "another round": lambda plan: {"context": plan.for_round(1).digest},
    "no context": lambda plan: {"context": b""},
    "counted twice": lambda plan: {"then": lambda array: array * 2},
    "another key": lambda plan: {"key": threshold_key()[0]},
    "no proof": lambda plan: {"proof": b""},
    "half a proof": lambda plan: {"proof": b"MCPT\x01\x02\x00"},
}


@pytest.mark.parametrize("lie", LIES)
def test_uploads_that_break_the_plan_name_their_signer(lie, tmp_path):
    plan, private = make_plan(holders=ONE), whole_key()
    server, _ = started(plan, private.public, CLIENTS[1:])
    forged = lying(plan, private.public, CLIENTS[0], **LIES[lie](plan))
    with pytest.raises(ProtocolError) as error:
        server.receive(forged)
    assert error.value.party == CLIENTS[0]
    assert server.contributors == CLIENTS[1:]
    refused(
        holder(plan, private, "notary", tmp_path),
        request_of(plan, [forged, *messages_of(server)]),
        None,
        CLIENTS[0],
    )


def test_a_proof_that_nobody_asked_for_is_refused():
    plan, private = make_plan(holders=ONE, proofs=False), whole_key()
    with pytest.raises(ProtocolError, match="does not ask for"):
        HomomorphicServer(plan, private.public).receive(lying(plan, private.public, CLIENTS[0]))


def test_short_uploads_are_refused():
    plan = make_plan(holders=ONE)
    for body in (b"", b"\0\0\0", b"\0\0\0\0", b"\xff\xff\xff\xff"):
        data = Signer(plan, "Berlin", identity("Berlin")).write(MessageType.UPLOAD, body)
        with pytest.raises(ProtocolError) as error:
            HomomorphicServer(plan, whole_key().public).receive(data)
        assert error.value.party == "Berlin"


def test_a_plaintext_beyond_the_slots_is_noticed_at_the_end(tmp_path):
    plan, private = make_plan(holders=ONE, proofs=False), whole_key()
    public = private.public
    server, _ = started(plan, public, CLIENTS[1:])
    count = packing_of(plan).ciphertexts(plan.dimension, public.bits)
    huge = paillier.EncryptedArray(
        public, [public.raw_encrypt(1 << 505) for _ in range(count)], (plan.dimension,), packing_of(plan),
        context=plan.digest,
    )  # fmt: skip
    server.receive(
        Signer(plan, CLIENTS[0], identity(CLIENTS[0])).write(MessageType.UPLOAD, write_upload_body(huge, b""))
    )
    notary = holder(plan, private, "notary", tmp_path)
    refused(notary, server.request(), "a contributor lied", None)


def test_a_wrong_partial_decryption_names_its_holder_and_others_finish(tmp_path):
    plan, (public, shares) = make_plan(), threshold_key()
    server, expected = started(plan, public)
    first = holder(plan, shares[0], HOLDERS[0], tmp_path).open(server.request())
    honest = aggregation.read_message(plan, first, {MessageType.OPENING})
    body = bytearray(honest.body)
    body[33 + 79 + 32] ^= 1  # a bit of the first power
    wrong = Signer(plan, HOLDERS[1], identity(HOLDERS[1])).write(MessageType.OPENING, body)
    stolen = Signer(plan, HOLDERS[1], identity(HOLDERS[1])).write(MessageType.OPENING, honest.body)
    with pytest.raises(ProtocolError) as error:
        server.receive(wrong)
    assert error.value.party == HOLDERS[1]
    server.receive(first)
    for again, words in ((first, "answered in this round"), (stolen, "another holder's key share")):
        with pytest.raises(ProtocolError, match=words):
            server.receive(again)
    with pytest.raises(ProtocolError, match="only 1 key holders have answered, 2 are needed"):
        server.result()
    server.receive(holder(plan, shares[2], HOLDERS[2], tmp_path).open(server.request()))
    assert np.array_equal(server.result().integers, expected)


def test_openings_of_another_set_and_of_others_are_refused(tmp_path):
    plan, (public, shares) = make_plan(), threshold_key()
    server, _ = started(plan, public)
    other, _ = started(plan, public, CLIENTS[1:])
    opening = holder(plan, shares[0], HOLDERS[0], tmp_path).open(other.request())
    server.request()
    with pytest.raises(ProtocolError, match="another set") as error:
        server.receive(opening)
    assert error.value.party == HOLDERS[0]
    body = aggregation.read_message(plan, opening, {MessageType.OPENING}).body
    forged = Signer(plan, "Berlin", identity("Berlin")).write(MessageType.OPENING, body)
    with pytest.raises(ProtocolError, match="only key holders") as error:
        server.receive(forged)
    assert error.value.party == "Berlin"
    digest = server._closed.digest
    for body in (digest, digest + b"\x01", digest + b"\x03", digest + b"\x02", digest + b"\x02MCPD"):
        with pytest.raises(ProtocolError) as error:
            server.receive(Signer(plan, HOLDERS[0], identity(HOLDERS[0])).write(MessageType.OPENING, body))
        assert error.value.party == HOLDERS[0]


# --- audit --------------------------------------------------------------------------------------------


def test_anybody_can_recompute_the_result_from_the_messages(tmp_path):
    plan, (public, shares) = make_plan(), threshold_key()
    server, expected = started(plan, public, CLIENTS[:3])
    request = server.request()
    answers = [holder(plan, shares[i], HOLDERS[i], tmp_path).open(request) for i in range(3)]
    for chosen in (answers, answers[1:], answers[::-2]):
        aggregate = aggregation.audit(plan, public, request, chosen)
        assert np.array_equal(aggregate.integers, expected)
        assert aggregate.contributors == CLIENTS[:3]


def test_an_audit_names_who_was_wrong(tmp_path):
    plan, (public, shares) = make_plan(), threshold_key()
    server, _ = started(plan, public)
    request = server.request()
    answers = [holder(plan, shares[i], HOLDERS[i], tmp_path).open(request) for i in range(2)]
    body = aggregation.read_message(plan, answers[0], {MessageType.OPENING}).body
    copied = Signer(plan, HOLDERS[2], identity(HOLDERS[2])).write(MessageType.OPENING, body)
    by_berlin = request_of(plan, messages_of(server), sender="Berlin")
    other = request_of(plan, messages_of(server)[1:])
    for asked, answered, party, words in (
        (request, answers[:1], None, "only 1 key holders"),
        (request, [answers[0], answers[0]], HOLDERS[0], "answered twice"),
        (request, [answers[0], copied], HOLDERS[2], "another holder's key share"),
        (other, answers, HOLDERS[0], "another set"),
        (by_berlin, answers, "Berlin", "only the server"),
    ):
        with pytest.raises(ProtocolError, match=words) as error:
            aggregation.audit(plan, public, asked, answered)
        assert error.value.party == party


# --- order --------------------------------------------------------------------------------------------


def test_a_client_uploads_once():
    plan, public = make_plan(holders=ONE), whole_key().public
    berlin = client(plan, public, "Berlin")
    with pytest.raises(ValueError, match="beyond the clip"):
        berlin.encrypt({name: np.full(shape, 9.0) for name, shape in plan.shapes.items()}, 1)
    berlin.encrypt(make_update(plan, 1), 1)  # what was refused did not count
    with pytest.raises(ProtocolError, match="Berlin: it has uploaded"):
        berlin.encrypt(make_update(plan, 1), 1)


def test_uploads_come_once_and_before_the_request():
    plan, public = make_plan(holders=ONE), whole_key().public
    server, _ = started(plan, public, CLIENTS[:3])
    with pytest.raises(ProtocolError, match="uploaded in this round already") as error:
        server.receive(upload(plan, public, CLIENTS[0], 5))
    assert error.value.party == CLIENTS[0]
    request = server.request()
    with pytest.raises(ProtocolError, match="after the round was closed") as error:
        server.receive(upload(plan, public, CLIENTS[3], 5))
    assert error.value.party == CLIENTS[3]
    assert server.request() == request


def test_too_few_uploads_are_never_added():
    plan, public = make_plan(holders=ONE), whole_key().public
    server, _ = started(plan, public, CLIENTS[:2])
    for ask in (server.total, server.request):
        with pytest.raises(ProtocolError, match="only 2 have uploaded, the plan's threshold is 3"):
            ask()
    with pytest.raises(ProtocolError, match="not been asked"):
        server.result()


def test_nobody_joins_beyond_the_planned_number():
    plan, public = make_plan(parties=None, holders=()), whole_key().public
    server = HomomorphicServer(plan, public)
    for i in range(4):
        server.receive(HomomorphicClient(plan, public, f"h{i}").encrypt(make_update(plan, i), 1))
    with pytest.raises(ProtocolError, match="more clients than planned"):
        server.receive(HomomorphicClient(plan, public, "h4").encrypt(make_update(plan, 4), 1))


def test_roles_are_for_those_who_have_them():
    plan, public = make_plan(holders=ONE), whole_key().public
    with pytest.raises(ValueError, match="not a client"):
        client(plan, public, "notary")
    with pytest.raises(ProtocolError, match="only clients upload"):
        HomomorphicServer(plan, public).receive(
            Signer(plan, "notary", identity("notary")).write(MessageType.UPLOAD, b"")
        )
    with pytest.raises(ValueError, match="needs its identity"):
        HomomorphicServer(plan, public).request()


# --- secrets ------------------------------------------------------------------------------------------


def test_no_message_contains_anything_of_an_update(tmp_path):
    """Integers, weights, floats and plaintexts, in any usual encoding, are in no message but the opened sum."""
    plan, (public, shares) = make_plan(proofs=True, bits=40), threshold_key()
    update = make_update(plan, 7)
    integers = aggregation.quantise(plan, update, 43)
    secrets = [
        array.astype(kind).tobytes() for array in update.values() for kind in ("<f8", ">f8", "<f4", ">f4")
    ]
    secrets += [int(x).to_bytes(8, order, signed=True) for x in integers[1:] for order in ("big", "little")]
    secrets += [
        m.to_bytes(64, order).strip(b"\0")
        for m in packing_of(plan).encode_integers(integers, BITS)
        for order in ("big", "little")
    ]
    secrets += [share.to_bytes()[-40:] for share in shares]
    server = HomomorphicServer(plan, public, identity(SERVER))
    transcript = [client(plan, public, "Aachen").encrypt(update, 43)]
    transcript += [upload(plan, public, name, seed) for seed, name in enumerate(CLIENTS[1:])]
    for data in transcript:
        server.receive(data)
    transcript += [server.request(), server.total().to_bytes()]
    for name, share in zip(HOLDERS, shares, strict=True):
        transcript.append(holder(plan, share, name, tmp_path).open(server.request()))
    everything = b"".join(transcript)
    assert not [secret for secret in secrets if secret in everything]
    signing = [
        identity(name).to_bytes()[i : i + 32] for name in (*CLIENTS, SERVER, *HOLDERS) for i in (0, 32)
    ]
    assert not [secret for secret in signing if secret in everything]


def test_reprs_show_nothing_of_an_update(tmp_path):
    plan, private = make_plan(holders=ONE), whole_key()
    server, _ = started(plan, private.public)
    shown = [
        repr(client(plan, private.public, "Berlin")),
        repr(server),
        repr(holder(plan, private, "notary", tmp_path)),
    ]
    assert all(len(text) < 300 and str(private.p) not in text for text in shown)


def test_uploads_of_different_updates_are_distributed_alike():
    """Bits of the ciphertexts of two very different updates: no statistic of them tells which is which."""
    plan, public = make_plan(holders=ONE, proofs=False), whole_key().public
    n = public.n

    def residues(value, count):
        update = {name: np.full(shape, value) for name, shape in plan.shapes.items()}
        for _ in range(count):
            data = client(plan, public, "Berlin").encrypt(update, 1)
            yield from server_residues(plan, public, data)

    low, high = (np.array([c % n * 16 // n for c in residues(value, 150)]) for value in (-2.0, 2.0))
    counts = np.array([np.bincount(x, minlength=16) for x in (low, high)], dtype=float)
    pooled = counts.sum(axis=0) / counts.sum()
    expected = counts.sum(axis=1, keepdims=True) * pooled
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 66  # 15 degrees of freedom: exceeded once in 5e7 runs


def server_residues(plan, public, data):
    return list(aggregation.uploads.read_upload(plan, public, data)[1].ciphertexts)
