"""Client and server against their plain-Python twins, byte for byte, and against the stored transcript."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masking_rounds import STEPS, Rounds, coins, federation

from medcrypt import Identity
from medcrypt.aggregation import Plan, quantise
from reference import masking as twin

VECTORS = Path(__file__).parents[1] / "vectors" / "aggregation" / "masking.json"


def twins_of(rounds: Rounds) -> twin.Federation:
    """The same federation for the twins."""
    plan = rounds.plan
    signing = {name: identity.to_bytes()[32:] for name, identity in rounds.identities.items()}
    names = list(plan.client_names)
    return twin.Federation(
        plan.digest, plan.round_id, names, plan.server, plan.threshold, plan.modulus_bits, signing
    )


def transcript_of_the_twins(
    rounds: Rounds, purses: dict[str, bytes], gone: dict[str, str]
) -> tuple[list[bytes], list[int]]:
    """All messages in order, and the sum; `gone` says which step a client does not reach."""
    integers = {
        name: [int(x) for x in quantise(rounds.plan, update, rounds.weight(name))]
        for name, update in rounds.updates.items()
    }
    return twin.transcript(twins_of(rounds), purses, integers, gone)


def transcript_of_ours(
    rounds: Rounds, purses: dict[str, bytes], gone: dict[str, str]
) -> tuple[list[bytes], list[int]]:
    """The same with our parties, whose random bytes come from the same purses."""
    missing: dict[str, set[str]] = {}
    for name, step in gone.items():
        missing.setdefault(step, set()).add(name)
    spent = dict.fromkeys(purses, 0)
    turn = ""

    def draw(size: int) -> bytes:
        start = spent[turn]
        spent[turn] += size
        return purses[turn][start : start + size]

    def as_party(name: str, call: Callable[[], bytes]) -> bytes:
        nonlocal turn
        turn = name
        return call()

    for name, client in rounds.clients.items():
        client.advertise = lambda c=client, n=name: as_party(n, lambda: type(c).advertise(c))  # type: ignore[method-assign,misc]
        client.share = lambda answer, c=client, n=name: as_party(n, lambda: type(c).share(c, answer))  # type: ignore[method-assign,misc]
    with coins(draw):
        rounds.run(missing=missing)
    return rounds.transcript, [int(x) for x in rounds.server.total().integers]


def purses_of(plan: Plan, seed: int) -> dict[str, bytes]:
    draw = random.Random(seed)
    return {name: draw.randbytes(96 + 64 * (plan.threshold - 1)) for name in plan.client_names}


@given(
    seed=st.integers(0, 2**32),
    bits=st.sampled_from([2, 8, 21, 33, 53]),
    gone=st.dictionaries(
        st.sampled_from([f"hospital {i:03}" for i in range(4)]), st.sampled_from(STEPS), max_size=1
    ),
)
@settings(max_examples=8)
def test_every_message_equals_that_of_the_twin(seed: int, bits: int, gone: dict[str, str]) -> None:
    rounds = Rounds(*federation(4, 3, size=3, bits=bits, round_id=seed))
    purses = purses_of(rounds.plan, seed)
    theirs, sum_of_theirs = transcript_of_the_twins(rounds, purses, gone)
    ours, sum_of_ours = transcript_of_ours(rounds, purses, gone)
    assert ours == theirs
    assert sum_of_ours == sum_of_theirs == [int(x) for x in rounds.expected(rounds.server.contributors)]


def test_the_stored_transcripts_are_reproduced() -> None:
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
    assert len(vectors) == 2
    for vector in vectors:
        identities = {
            name: Identity.from_bytes(bytes.fromhex(key)) for name, key in vector["identities"].items()
        }
        fields = vector["fields"] | {"parties": {name: key.recipient for name, key in identities.items()}}
        plan = Plan(**fields | {"shapes": {name: tuple(shape) for name, shape in fields["shapes"].items()}})
        assert plan.to_bytes().hex() == vector["plan"]
        rounds = Rounds(plan, identities)
        rounds.updates = {name: {"w": np.array(values)} for name, values in vector["updates"].items()}
        purses = {name: bytes.fromhex(coins) for name, coins in vector["coins"].items()}
        messages, total = transcript_of_ours(rounds, purses, vector["gone"])
        assert [message.hex() for message in messages] == vector["messages"]
        assert total == vector["sum"]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_twin_of_x25519_is_x25519(seed: int) -> None:
    """RFC 7748, section 5.2, and pycryptodome."""
    from medcrypt.aggregation.masking.agreement import KeyPair

    scalar = bytes.fromhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4")
    point = bytes.fromhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c")
    assert (
        twin.x25519(scalar, point).hex() == "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
    )
    private = random.Random(seed).randbytes(32)
    assert KeyPair(private).public == twin.x25519(private)
