"""Plans: checked, immutable, and one hash for everything in them."""

import dataclasses
import hashlib
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from federation import (
    CHANGES,
    CLIENTS,
    SMALL,
    Noise,
    identity,
    make_plan,
    plan_of_vector,
    threshold_key,
    whole_key,
)
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import InvalidKeyError
from medcrypt.aggregation import Plan
from reference import aggregation as twin

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "aggregation" / "plans.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["vectors"])
def test_encoding_and_hash_are_those_of_the_vectors(vector):
    plan = plan_of_vector(vector["fields"])
    assert plan.to_bytes().hex() == vector["encoding"]
    assert plan.digest.hex() == vector["digest"]


names = st.text(min_size=1, max_size=8).filter(lambda s: s.isprintable())
twin_plans = st.builds(
    twin.Plan,
    clients=st.integers(4, 1000),
    threshold=st.integers(2, 4),
    clip=st.floats(1e-100, 1e100),
    bits=st.integers(2, 40),
    shapes=st.dictionaries(names, st.lists(st.integers(1, 5), max_size=3).map(tuple), min_size=1, max_size=4),
    weighted=st.just(True),
    max_weight=st.integers(1, 4096),
    l2_clip=st.none() | st.floats(1e-100, 1e100),
    round_id=st.integers(0, 2**64 - 1),
    proofs=st.booleans(),
    server=names,
    key=st.none() | st.binary(min_size=32, max_size=32),
)


@given(twin_plans)
def test_the_readable_twin_encodes_alike(expected):
    plan = Plan(**dataclasses.asdict(expected))
    assert plan.to_bytes() == expected.encoding()
    assert plan.digest == expected.digest()
    assert plan.modulus_bits == expected.modulus_bits()
    assert plan.dimension == expected.dimension()


@given(twin_plans, twin_plans)
def test_plans_are_equal_exactly_when_their_bytes_are(a, b):
    first, second = Plan(**dataclasses.asdict(a)), Plan(**dataclasses.asdict(b))
    assert (first == second) == (first.to_bytes() == second.to_bytes()) == (first.digest == second.digest)
    again = Plan(**dataclasses.asdict(a))
    assert again == first
    assert hash(again) == hash(first)


def test_a_change_of_any_field_gives_another_hash():
    plans = [Plan(**SMALL), *(Plan(**(SMALL | change)) for change in CHANGES.values())]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert len(set(plans)) == len(plans)


def test_no_field_was_forgotten_in_the_encoding():
    """Every field is one that a change above touches."""
    touched = {name for change in CHANGES.values() for name in change}
    assert touched == {field.name for field in dataclasses.fields(Plan)}


def test_the_order_of_arrays_and_parties_and_the_kinds_of_numbers_do_not_matter():
    keys = {name: identity(name).recipient for name in CLIENTS}
    a = Plan(**(SMALL | {"shapes": {"w": (3,), "b": [np.int64(2)]}, "parties": keys, "clip": 1}))
    raw = {name: keys[name].verifying_key for name in reversed(CLIENTS)}
    b = Plan(**(SMALL | {"shapes": {"b": (2,), "w": (3,)}, "parties": raw, "bits": np.uint8(16)}))
    assert a == b
    assert list(a.shapes) == ["b", "w"]


def test_a_plan_cannot_be_changed():
    plan, shapes = make_plan(), {"w": (3,)}
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.clip = 3.0
    with pytest.raises(TypeError):
        plan.shapes["v"] = (1,)
    with pytest.raises(TypeError):
        plan.parties["Eve"] = bytes(32)
    other = Plan(**(SMALL | {"shapes": shapes}))
    shapes["v"] = (1,)
    assert list(other.shapes) == ["w"]


def test_a_plan_survives_pickling_and_is_a_key_of_dictionaries():
    plan = make_plan(noise=Noise(), l2_clip=1.0)
    again = pickle.loads(pickle.dumps(plan))
    assert {plan: 1}[again] == 1
    assert plan != "a plan"


def test_rounds_differ_in_nothing_else():
    plan = make_plan()
    assert plan.for_round(3).for_round(0) == plan
    assert plan.for_round(3) != plan


def test_modulus_and_roles_are_as_documented():
    plan = make_plan(noise=Noise(), l2_clip=1.0)
    assert plan.modulus_bits == 12 + 8 + 3  # 4 clients of weight 50: 200 < 2^8
    assert plan.weight_bound == 200
    assert plan.client_names == CLIENTS
    assert plan.verifying_key("Berlin") == identity("Berlin").recipient.verifying_key
    assert plan.verifying_key("Eve") is None
    assert plan.levels == 2047
    assert plan.dimension == 11


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"clients": 1}, ValueError, "clients"),
        ({"clients": 2**20 + 1}, ValueError, "clients"),
        ({"clients": 4.0}, TypeError, "clients"),
        ({"clients": True}, TypeError, "clients"),
        ({"threshold": 1}, ValueError, "single upload"),
        ({"threshold": 5}, ValueError, "threshold"),
        ({"clip": 0.0}, ValueError, "clip"),
        ({"clip": float("nan")}, ValueError, "finite"),
        ({"clip": float("inf")}, ValueError, "finite"),
        ({"clip": "1"}, TypeError, "clip"),
        ({"clip": True}, TypeError, "clip"),
        ({"bits": 1}, ValueError, "bits"),
        ({"bits": 54}, ValueError, "bits"),
        ({"bits": 53, "weighted": True, "max_weight": 2**20}, ValueError, "must not exceed 62"),
        ({"shapes": {}}, ValueError, "values"),
        ({"shapes": {"w": (0,)}}, ValueError, "values"),
        ({"shapes": {"w": (2**33,)}}, ValueError, "values"),
        ({"shapes": {"w": (-1,)}}, ValueError, "negative"),
        ({"shapes": {"w": (1,) * 33}}, ValueError, "32"),
        ({"shapes": {"w": (1.5,)}}, TypeError, "integer"),
        ({"shapes": {"w": 3}}, TypeError, "tuple"),
        ({"shapes": {"w": "33"}}, TypeError, "tuple"),
        ({"shapes": {"": (3,)}}, ValueError, "name"),
        ({"shapes": {"x" * 256: (3,)}}, ValueError, "name"),
        ({"shapes": {"\ud800": (3,)}}, ValueError, "encodable"),
        ({"shapes": {1: (3,)}}, TypeError, "name"),
        ({"shapes": [("w", (3,))]}, TypeError, "shapes"),
        ({"weighted": 1}, TypeError, "weighted"),
        ({"weighted": True}, ValueError, "max_weight"),
        ({"weighted": True, "max_weight": 0}, ValueError, "max_weight"),
        ({"max_weight": 2}, ValueError, "max_weight"),
        ({"l2_clip": 0.0}, ValueError, "l2_clip"),
        ({"l2_clip": float("inf")}, ValueError, "finite"),
        ({"noise": Noise()}, ValueError, "l2_clip"),
        ({"round_id": -1}, ValueError, "round_id"),
        ({"round_id": 2**64}, ValueError, "round_id"),
        ({"colluders": -1}, ValueError, "honest"),
        ({"colluders": 3}, ValueError, "honest"),
        ({"colluders": 2}, ValueError, "2 threshold"),
        ({"proofs": None}, TypeError, "proofs"),
        ({"server": ""}, ValueError, "server"),
        ({"key": bytes(31)}, ValueError, "key must have 32 bytes"),
        ({"key": b""}, ValueError, "key must have 32 bytes"),
        ({"key": "00" * 32}, TypeError, "key must be"),
        ({"key": 32}, TypeError, "key must be"),
        ({"holders": ["notary"]}, ValueError, "among the parties"),
        ({"holders": "notary"}, TypeError, "holders"),
        ({"parties": [1]}, TypeError, "parties"),
        ({"parties": {"Aachen": bytes(31)}}, ValueError, "32 bytes"),
        ({"parties": {"Aachen": "key"}}, TypeError, "Recipient"),
        ({"parties": {"Aachen": bytes(32)}}, InvalidKeyError, "small order"),
        ({"parties": {"Aachen": identity("Aachen").recipient}}, ValueError, "1 of the parties"),
        ({"parties": {name: identity("Aachen").recipient for name in CLIENTS}}, ValueError, "count twice"),
    ],
)
def test_fields_that_make_no_sense_are_refused(change, error, words):
    with pytest.raises(error, match=words):
        Plan(**(SMALL | change))


def test_roles_that_contradict_each_other_are_refused():
    parties = {name: identity(name).recipient for name in (*CLIENTS, "server", "notary")}
    with pytest.raises(ValueError, match="cannot be a key holder"):
        Plan(**(SMALL | {"parties": parties, "holders": ["server", "notary"]}))
    with pytest.raises(ValueError, match="named twice"):
        Plan(**(SMALL | {"parties": parties, "holders": ["notary", "notary"]}))
    with pytest.raises(ValueError, match="without a verification key: Eve"):
        Plan(**(SMALL | {"parties": parties, "holders": ["Eve"]}))


def test_a_key_stands_for_its_fingerprint_and_a_threshold_key_for_that_of_its_sharing():
    (public, _), plain = threshold_key(), whole_key().public
    assert Plan(**SMALL, key=plain).key == plain.fingerprint
    assert Plan(**SMALL, key=public).key == public.threshold_fingerprint != public.fingerprint
    assert Plan(**SMALL, key=public) == Plan(**SMALL, key=bytearray(public.threshold_fingerprint))
    assert pickle.loads(pickle.dumps(Plan(**SMALL, key=public))).key == public.threshold_fingerprint


def test_repr_shows_no_keys():
    shown = repr(make_plan())
    assert identity("Aachen").recipient.verifying_key.hex() not in shown
    assert len(shown) < 200
    assert (
        hashlib.sha256(b"medcrypt/aggregation/plan/v1\0" + make_plan().to_bytes()).hexdigest()[:16] in shown
    )
