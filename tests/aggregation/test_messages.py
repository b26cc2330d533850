"""The envelope: only what the pinned party signed for this plan, round and type gets through."""

import json
from pathlib import Path

import pytest
from federation import CHANGES, CLIENTS, SMALL, identity, make_plan, plan_of_vector
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import Identity, ProtocolError
from medcrypt.aggregation import MessageType, Plan, Signer, read_message

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "aggregation" / "messages.json").read_text())
UPLOAD = {MessageType.UPLOAD}


def written(plan, sender="Berlin", kind=MessageType.UPLOAD, body=b"what it says"):
    return Signer(plan, sender, identity(sender) if plan.parties else None).write(kind, body)


@pytest.mark.parametrize("vector", VECTORS["vectors"])
def test_messages_are_those_of_the_vectors(vector):
    plan = plan_of_vector(vector["fields"])
    signer = vector["seed"] and Identity.from_bytes(bytes(range(32)) + bytes.fromhex(vector["seed"]))
    data = Signer(plan, vector["sender"], signer).write(
        MessageType(vector["type"]), bytes.fromhex(vector["body"])
    )
    assert data.hex() == vector["message"]
    message = read_message(plan, data, {MessageType.OPENING})
    assert message.sender == vector["sender"]
    assert bytes(message.body).hex() == vector["body"]
    assert message.digest.hex() == vector["message_digest"]


@given(body=st.binary(max_size=200), kind=st.sampled_from(MessageType), sender=st.sampled_from(CLIENTS))
def test_what_was_written_is_read(body, kind, sender):
    plan = make_plan()
    message = read_message(plan, written(plan, sender, kind, body), set(MessageType))
    assert (message.type, message.sender, bytes(message.body)) == (kind, sender, body)


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused_and_nobody_is_blamed(position, bit):
    plan = make_plan()
    data = bytearray(written(plan))
    data[int(position * len(data))] ^= 1 << bit
    with pytest.raises(ProtocolError) as refused:
        read_message(plan, data, UPLOAD)
    assert refused.value.party is None


@given(st.binary(max_size=300))
def test_noise_is_refused(data):
    for plan in (make_plan(), Plan(**SMALL)):
        with pytest.raises(ProtocolError):
            read_message(plan, data, UPLOAD)
        with pytest.raises(ProtocolError):
            read_message(plan, b"MCAG\x01" + data, UPLOAD)


@pytest.mark.parametrize("cut", [1, 5, 40, 46, 47, 60, 63, 64])
def test_another_length_is_refused(cut):
    plan = make_plan()
    data = written(plan)
    for changed in (data[:-cut], data[:cut], data + bytes(cut)):
        with pytest.raises(ProtocolError):
            read_message(plan, changed, UPLOAD)


@pytest.mark.parametrize("first", CHANGES)
def test_plans_that_differ_in_anything_refuse_each_others_messages(first):
    plan, other = Plan(**SMALL), Plan(**(SMALL | CHANGES[first]))
    for writer, reader in ((plan, other), (other, plan)):
        with pytest.raises(ProtocolError):
            read_message(reader, written(writer), UPLOAD)


@given(
    clip=st.floats(0.1, 10), bits=st.integers(2, 30), round_id=st.integers(0, 5), threshold=st.integers(2, 4),
    max_weight=st.integers(1, 100), side=st.integers(1, 9), proofs=st.booleans(),
)  # fmt: skip
def test_signed_plans_that_differ_name_the_signer_who_has_another_plan(
    clip, bits, round_id, threshold, max_weight, side, proofs
):
    plan = make_plan()
    fields = {
        "clip": clip,
        "bits": bits,
        "round_id": round_id,
        "threshold": threshold,
        "max_weight": max_weight,
    }
    other = make_plan(**fields, shapes={"w": (side,)}, proofs=proofs)
    assert plan != other
    with pytest.raises(
        ProtocolError, match="Berlin: the message belongs to another plan or round"
    ) as refused:
        read_message(plan, written(other), UPLOAD)
    assert refused.value.party == "Berlin"


def test_a_type_that_does_not_belong_here_is_refused_with_the_signers_name():
    plan = make_plan()
    with pytest.raises(ProtocolError, match="not expected") as refused:
        read_message(plan, written(plan, kind=MessageType.REQUEST), UPLOAD)
    assert refused.value.party == "Berlin"


def test_nobody_else_can_speak_for_a_party():
    plan = make_plan()
    data = written(plan, "Berlin").replace(b"\x06Berlin", b"\x06Aachen")
    with pytest.raises(ProtocolError, match="claims to come from 'Aachen'") as refused:
        read_message(plan, data, UPLOAD)
    assert refused.value.party is None
    with pytest.raises(ProtocolError, match="does not know 'Erfurt'"):
        read_message(plan, data.replace(b"\x06Aachen", b"\x06Erfurt"), UPLOAD)


def test_two_messages_that_say_the_same_have_the_same_digest_and_others_have_not():
    plan = make_plan()
    digests = [
        read_message(plan, written(plan, sender, kind, body), set(MessageType)).digest
        for sender in ("Aachen", "Berlin")
        for kind in (MessageType.UPLOAD, MessageType.OPENING)
        for body in (b"", b"x")
    ]
    assert len(set(digests)) == 8
    assert read_message(plan, written(plan, "Aachen", body=b"x"), UPLOAD).digest == digests[1]


def test_a_signer_needs_exactly_the_identity_that_the_plan_pins():
    plan = make_plan()
    with pytest.raises(TypeError, match="Identity is needed"):
        Signer(plan, "Berlin", None)
    with pytest.raises(ValueError, match="pins another key"):
        Signer(plan, "Berlin", identity("Aachen"))
    with pytest.raises(ValueError, match="does not know"):
        Signer(plan, "Erfurt", identity("Erfurt"))
    with pytest.raises(ValueError, match="nobody signs"):
        Signer(Plan(**SMALL), "Berlin", identity("Berlin"))


def test_only_bytes_are_messages():
    with pytest.raises(TypeError):
        read_message(make_plan(), "MCAG", UPLOAD)
    data = written(make_plan())
    for kind in (bytes, bytearray, memoryview):
        assert read_message(make_plan(), kind(data), UPLOAD).sender == "Berlin"
