"""What a plan lets be opened once in a round is opened once: by one back-end, under one key, one ledger a share."""

import dataclasses

import numpy as np
import pytest
from federation import (
    CLIENTS,
    HOLDERS,
    SERVER,
    client,
    holder,
    identity,
    make_plan,
    make_update,
    threshold_key,
    upload,
    whole_key,
)  # fmt: skip

from medcrypt import ProtocolError, aggregation, paillier
from medcrypt.aggregation import (
    HomomorphicClient,
    HomomorphicHolder,
    HomomorphicServer,
    Ledger,
    MaskingClient,
    MaskingServer,
    MessageType,
    Signer,
)
from medcrypt.aggregation.openings import write_partial
from medcrypt.aggregation.uploads import read_request
from medcrypt.paillier import PartialDecryption

ONE = ("notary",)


def closed(plan, public):
    """A server that has asked for the sum of all clients, and that sum."""
    server = HomomorphicServer(plan, public, identity(SERVER))
    for seed, name in enumerate(CLIENTS):
        server.receive(upload(plan, public, name, seed))
    server.request()
    parts = [aggregation.quantise(plan, make_update(plan, seed), 1) for seed in range(len(CLIENTS))]
    return server, aggregation.add_integers(plan, parts)


def uses(plan, public, folder):
    """Everything that a plan and a key are used for together, by name."""
    ledger = Ledger.create(folder / "ledger", "notary", public.fingerprint)
    key = whole_key() if public is whole_key().public else threshold_key()[1][HOLDERS.index("notary")]
    return {
        "client": lambda: client(plan, public, "Berlin"),
        "server": lambda: HomomorphicServer(plan, public, identity(SERVER)),
        "server that only adds": lambda: HomomorphicServer(plan, public),
        "holder": lambda: HomomorphicHolder(plan, key, "notary", identity("notary"), ledger),
        "audit": lambda: aggregation.audit(plan, public, b"", []),
    }


USES = ("client", "server", "server that only adds", "holder", "audit")


# --- one key ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", USES)
def test_a_key_that_the_plan_does_not_pin_is_refused_by_everybody(use, tmp_path):
    for folder, plan, words in (
        ("another", make_plan(holders=ONE, key=bytes(32)), "another encryption key"),
        ("none", make_plan(holders=ONE, key=None), "no encryption key"),
    ):
        (tmp_path / folder).mkdir()
        with pytest.raises(ValueError, match=words):
            uses(plan, whole_key().public, tmp_path / folder)[use]()


@pytest.mark.parametrize("use", USES)
def test_the_fingerprint_of_a_modulus_does_not_pin_how_its_key_is_shared(use, tmp_path):
    public, _ = threshold_key()
    with pytest.raises(ValueError, match="another encryption key"):
        uses(make_plan(key=public.fingerprint), public, tmp_path)[use]()


def test_the_keys_of_a_plan_cannot_be_exchanged_in_what_is_signed():
    public, other = whole_key().public, paillier.generate_keypair(512, insecure=True)[0]
    plan, twin = make_plan(holders=ONE), make_plan(holders=ONE, key=other)
    assert plan.digest != twin.digest
    with pytest.raises(ProtocolError, match="another plan or round") as error:
        HomomorphicServer(plan, public).receive(upload(twin, other, "Berlin", 1))
    assert error.value.party == "Berlin"


def test_a_plan_that_pins_nobody_needs_no_key_but_keeps_to_the_one_it_has():
    private = whole_key()
    for key in (None, private.public):
        plan = make_plan(parties=None, holders=(), key=key, threshold=2)
        server = HomomorphicServer(plan, private.public)
        for name in CLIENTS[:2]:
            server.receive(HomomorphicClient(plan, private.public, name).encrypt(make_update(plan, 1), 1))
        assert private.decrypt_integers(server.total())[0] == 2
    with pytest.raises(ValueError, match="another encryption key"):
        HomomorphicClient(plan, threshold_key()[0], "Berlin")
    with pytest.raises(TypeError, match="PublicKey"):
        HomomorphicClient(plan, private, "Berlin")


# --- one back-end -------------------------------------------------------------------------------------


def test_no_plan_is_for_both_backends():
    clients_and_server = {name: identity(name).recipient for name in (*CLIENTS, SERVER)}
    masks = make_plan(holders=(), parties=clients_and_server)
    MaskingServer(masks, identity(SERVER))
    MaskingClient(masks, "Berlin", identity("Berlin"))
    with pytest.raises(ValueError, match="no encryption key"):
        client(masks, whole_key().public, "Berlin")
    homomorphic = dataclasses.replace(masks, key=whole_key().public)
    client(homomorphic, whole_key().public, "Berlin")
    for plan in (homomorphic, make_plan(), make_plan(key=None)):
        with pytest.raises(ValueError, match="for the homomorphic back-end"):
            MaskingServer(plan, identity(SERVER))
        with pytest.raises(ValueError, match="for the homomorphic back-end"):
            MaskingClient(plan, "Berlin", identity("Berlin"))


# --- one ledger for each share ------------------------------------------------------------------------


@pytest.mark.parametrize("use", USES)
def test_a_whole_key_has_one_holder(use, tmp_path):
    """Two of them, with a ledger each, would open two sets that differ by one client."""
    plan = make_plan(holders=("ministry", "notary"), key=whole_key().public)
    with pytest.raises(ValueError, match="the key has 1 holders, the plan names 2"):
        uses(plan, whole_key().public, tmp_path)[use]()


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("holders", [("ministry", "notary"), ("archive", *HOLDERS)])
def test_there_are_as_many_holders_as_shares(use, holders, tmp_path):
    plan = make_plan(holders=holders, key=threshold_key()[0])
    with pytest.raises(ValueError, match="the key has 3 holders"):
        uses(plan, threshold_key()[0], tmp_path)[use]()


def test_a_holder_works_with_its_own_share_only(tmp_path):
    plan, (_, shares) = make_plan(), threshold_key()
    for place, name in enumerate(plan.holders):
        for share in shares:
            if share.party == place + 1:
                holder(plan, share, name, tmp_path)
            else:
                with pytest.raises(ValueError, match=f"gives '{name}' share {place + 1}, this is share"):
                    holder(plan, share, name, tmp_path)


def test_a_copied_answer_is_refused_and_the_share_is_still_its_holders(tmp_path):
    plan, (public, shares) = make_plan(), threshold_key()
    server, expected = closed(plan, public)
    first = holder(plan, shares[0], HOLDERS[0], tmp_path).open(server.request())
    body = aggregation.read_message(plan, first, {MessageType.OPENING}).body
    copied = Signer(plan, HOLDERS[2], identity(HOLDERS[2])).write(MessageType.OPENING, body)
    with pytest.raises(ProtocolError, match="another holder's key share") as error:
        server.receive(copied)
    assert error.value.party == HOLDERS[2]
    server.receive(first)
    server.receive(holder(plan, shares[1], HOLDERS[1], tmp_path).open(server.request()))
    assert np.array_equal(server.result().integers, expected)


@pytest.fixture(scope="module")
def dealerless():
    return paillier.generate_threshold_key(parties=3, threshold=2, bits=256, insecure=True)


def test_garbage_under_another_holders_number_is_blamed_on_its_sender(dealerless, tmp_path):
    """Keys without a dealer have no proofs of decryption: the signature is all that tells holders apart."""
    public, shares = dealerless
    plan = make_plan(key=public)
    server, expected = closed(plan, public)
    request = server.request()
    contributions = read_request(plan, public, aggregation.read_message(plan, request, {MessageType.REQUEST}))
    part = shares[2].partial_decrypt(contributions.total, context=contributions.digest)
    lie = PartialDecryption(public, 1, part.residues, part._digest, None, contributions.digest)
    rogue = Signer(plan, HOLDERS[2], identity(HOLDERS[2])).write(
        MessageType.OPENING, write_partial(contributions, lie)
    )
    honest = [holder(plan, shares[i], HOLDERS[i], tmp_path).open(request) for i in range(2)]
    for refuse in (
        lambda: server.receive(rogue),
        lambda: aggregation.audit(plan, public, request, [rogue, *honest]),
    ):
        with pytest.raises(ProtocolError, match="another holder's key share") as error:
            refuse()
        assert error.value.party == HOLDERS[2]
    for name, answer in zip(HOLDERS, honest, strict=False):
        assert server.receive(answer) == name
    assert np.array_equal(server.result().integers, expected)


# --- one upload ---------------------------------------------------------------------------------------


def test_a_client_with_a_ledger_uploads_once_even_if_it_is_started_again(tmp_path):
    plan, public = make_plan(holders=ONE), whole_key().public
    ledger = Ledger.create(tmp_path / "ledger", "Berlin", public.fingerprint)
    size = (tmp_path / "ledger").stat().st_size

    def started(plan):
        return HomomorphicClient(plan, public, "Berlin", identity("Berlin"), ledger=ledger)

    with pytest.raises(ValueError, match="beyond the clip"):
        started(plan).encrypt({name: np.full(shape, 9.0) for name, shape in plan.shapes.items()}, 1)
    assert (tmp_path / "ledger").stat().st_size == size  # what was refused did not count
    HomomorphicServer(plan, public).receive(started(plan).encrypt(make_update(plan, 1), 1))
    with pytest.raises(ProtocolError, match="Berlin: its ledger has an upload in this round") as error:
        started(plan).encrypt(make_update(plan, 1), 1)
    assert error.value.party == "Berlin"
    assert started(plan.for_round(1)).encrypt(make_update(plan, 1), 1)
    with pytest.raises(TypeError, match="Ledger"):
        HomomorphicClient(plan, public, "Berlin", identity("Berlin"), ledger=tmp_path / "ledger")


def test_an_upload_that_could_not_be_recorded_does_not_leave_the_client(tmp_path, monkeypatch):
    plan, public = make_plan(holders=ONE), whole_key().public
    ledger = Ledger.create(tmp_path / "ledger", "Berlin", public.fingerprint)
    berlin = HomomorphicClient(plan, public, "Berlin", identity("Berlin"), ledger)
    with monkeypatch.context() as broken:
        broken.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="space"):
            berlin.encrypt(make_update(plan, 1), 1)
