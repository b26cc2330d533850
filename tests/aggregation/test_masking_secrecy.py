"""What the messages give away: nothing beyond the sum, checked by construction and by counting."""

import functools
import random
from collections.abc import Callable

import numpy as np
import pytest
from masking_rounds import Rounds, coins, federation, refused
from numpy.typing import NDArray

from medcrypt.aggregation import MessageType, Signer
from medcrypt.aggregation.masking.agreement import KEY_BYTES, KeyPair, pair_mask_key, self_mask_key
from medcrypt.aggregation.masking.bodies import Reader, list_of, set_of
from medcrypt.aggregation.masks import apply_masks, unpack, words_of
from medcrypt.aggregation.messages import read_message

EVERY = set(MessageType)
NAMES = [f"hospital {i:03}" for i in range(6)]


def upload_of(rounds: Rounds, message: bytes) -> NDArray[np.uint64]:
    """The masked integers in an upload."""
    reader = Reader(rounds.plan, read_message(rounds.plan, message, {MessageType.MASKED}))
    reader.items()
    return unpack(reader.rest(), rounds.plan.dimension, rounds.plan.modulus_bits).astype(np.uint64)


def kind_of(rounds: Rounds, message: bytes) -> MessageType:
    return read_message(rounds.plan, message, EVERY).type


def test_with_the_same_coins_an_input_moves_nothing_but_its_own_masked_integers() -> None:
    """So the transcript is a function of coins alone, plus inputs under one-time masks."""
    transcripts, inputs = [], []
    for value in (0.0, 0.75):
        rounds = Rounds(*federation(4, 3, size=6))
        rounds.updates[NAMES[2]] = {"w": np.full(6, value)}
        with coins(random.Random(3).randbytes):
            rounds.run(missing={"upload": {NAMES[1]}})
        transcripts.append(rounds.transcript)
        inputs.append(rounds.expected((NAMES[2],)))
    changed = [(a, b) for a, b in zip(*transcripts, strict=True) if a != b]
    assert [read_message(rounds.plan, a, EVERY).sender for a, _ in changed] == [NAMES[2]]
    ((before, after),) = changed
    assert kind_of(rounds, before) is MessageType.MASKED
    moved = (upload_of(rounds, after) - upload_of(rounds, before)) % (1 << rounds.plan.modulus_bits)
    assert np.array_equal(moved.astype(np.int64), (inputs[1] - inputs[0]) % (1 << rounds.plan.modulus_bits))


def what_the_server_sees(rounds: Rounds, colluder: str | None) -> dict[str, NDArray[np.uint64]]:
    """The honest uploads without all masks that server and colluder can compute."""
    plan = rounds.plan
    seen = {}
    for message in rounds.transcript:
        if kind_of(rounds, message) is MessageType.MASKED:
            seen[read_message(plan, message, EVERY).sender] = upload_of(rounds, message)
    uploaded = [plan.client_names.index(name) for name in rounds.server.total().contributors]
    secrets = rounds.server._combined(uploaded)
    for name in list(seen):
        number = plan.client_names.index(name)
        words = words_of(seen[name].astype(np.int64), plan.modulus_bits)
        subtracting, adding = [self_mask_key(plan.digest, number, secrets[number])], []
        if colluder is not None and name != colluder:
            other = plan.client_names.index(colluder)
            pair = rounds.pairs[colluder]  # type: ignore[attr-defined]
            key = pair_mask_key(
                pair.agree(plan.digest, other, rounds.server._publics[number], number), number, other
            )
            (subtracting if number < other else adding).append(key)
        apply_masks(words, adding, subtracting)
        seen[name] = words.astype(np.uint64) % (1 << plan.modulus_bits)
    seen.pop(colluder or "", None)
    return seen


def fresh(value: float) -> Rounds:
    rounds = Rounds(*federation(3, 3, size=20_000, bits=2))  # modulo 16
    rounds.updates = {
        NAMES[0]: {"w": np.full(20_000, value)},
        NAMES[1]: {"w": np.full(20_000, -value)},
        NAMES[2]: {"w": np.zeros(20_000)},
    }
    answers = rounds.run(until="upload")
    rounds.pairs = {name: copy_of(client) for name, client in rounds.clients.items()}  # type: ignore[attr-defined]
    messages = [rounds.act(name, "upload", answer) for name, answer in answers.items()]
    for step in ("confirm", "reveal"):
        for message in messages:
            rounds.send(message)
        messages = [rounds.act(name, step, answer) for name, answer in rounds.server.close().items()]
    for message in messages:
        rounds.send(message)
    return rounds


def copy_of(client: object) -> KeyPair:
    return KeyPair(bytes(client._mask_pair.private))  # type: ignore[attr-defined]


def chi_square(counts: NDArray[np.int64]) -> float:
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2 / expected).sum())


def uniform_pairs(columns: list[NDArray[np.uint64]]) -> float:
    """Chi-square of pairs of values modulo 16 against the uniform distribution on 256."""
    return chi_square(np.bincount((16 * columns[0] + columns[1]).astype(np.int64), minlength=256))


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_what_the_server_sees_has_the_sum_and_is_uniform_otherwise(value: float) -> None:
    """The simulator draws uniform vectors with the same sum; 255 degrees of freedom, 7 sigma."""
    rounds = fresh(value)
    seen = what_the_server_sees(rounds, None)
    assert uniform_pairs([seen[NAMES[0]], seen[NAMES[1]]]) < 255 + 7 * np.sqrt(2 * 255)
    assert uniform_pairs([seen[NAMES[1]], seen[NAMES[2]]]) < 255 + 7 * np.sqrt(2 * 255)
    total = sum(seen.values()) % 16  # type: ignore[call-overload]
    assert np.array_equal(total, rounds.server.total().integers % 16)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_with_a_colluder_the_honest_two_have_only_their_sum(value: float) -> None:
    seen = what_the_server_sees(fresh(value), colluder=NAMES[2])
    assert set(seen) == {NAMES[0], NAMES[1]}
    one, other = seen.values()
    counts = np.bincount(one.astype(np.int64), minlength=16)
    assert chi_square(counts) < 15 + 7 * np.sqrt(2 * 15)
    assert not ((one + other) % 16).any()


def test_without_a_single_mask_the_test_would_notice() -> None:
    """The statistic has power: a colluder of both neighbours sees the plain integers."""
    rounds = fresh(1.0)
    seen = what_the_server_sees(rounds, colluder=NAMES[2])
    pair = rounds.pairs[NAMES[1]]  # type: ignore[attr-defined]
    key = pair_mask_key(pair.agree(rounds.plan.digest, 1, rounds.server._publics[0], 0), 0, 1)
    words = words_of(seen[NAMES[0]].astype(np.int64), rounds.plan.modulus_bits)
    apply_masks(words, [], [key])
    assert chi_square(np.bincount(words.astype(np.int64) % 16, minlength=16)) > 10_000


def secrets_of(rounds: Rounds) -> dict[str, list[bytes]]:
    """All that must not be seen: of every client both private keys, the seed, and the shares that it holds."""
    found = {}
    for name, client in rounds.clients.items():
        found[name] = [
            bytes(client._seed),
            bytes(client._mask_pair.private),
            bytes(client._channel_pair.private),
        ]  # type: ignore[union-attr]
    return found


def test_no_message_contains_a_secret() -> None:
    rounds = Rounds(*federation(5, 3))
    answers = rounds.run(until="confirm", missing={"upload": {NAMES[4]}})
    secrets = [secret for each in secrets_of(rounds).values() for secret in each]
    shares = {
        (holder, dealer): bytes(pair)
        for holder, client in rounds.clients.items()
        for dealer, pair in client._shares.items()
    }
    messages = [rounds.act(name, "confirm", answer) for name, answer in answers.items()]
    for message in messages:
        rounds.send(message)
    before = b"".join(rounds.transcript)
    for share in shares.values():
        assert share[:KEY_BYTES] not in before
        assert share[KEY_BYTES:] not in before
    for name, answer in rounds.server.close().items():
        rounds.send(rounds.act(name, "reveal", answer))
    transcript = b"".join(rounds.transcript)
    assert len(secrets) == 15
    assert not any(secret in transcript for secret in secrets)
    for (holder, dealer), share in shares.items():
        seen = (share[:KEY_BYTES] in transcript, share[KEY_BYTES:] in transcript)
        gone = dealer == 4
        assert seen == ((False, True) if gone else (True, False)) if holder != NAMES[4] else not any(seen)


@pytest.mark.parametrize("way", [lambda i: i < 2, lambda i: i < 3, lambda i: i % 2 == 0])
def test_the_server_never_gets_both_secrets_of_a_client_however_it_lies(way: Callable[[int], bool]) -> None:
    """Told different sets, clients that would reveal either secret never both have a quorum behind them."""
    rounds = Rounds(*federation(6, 4, colluders=1))
    signer = Signer(rounds.plan, "server", rounds.identities["server"])
    answers = rounds.run(until="confirm")
    victim, confirmed = 5, {}
    for number, name in enumerate(NAMES[:5]):
        crowd = set(range(6)) if way(number) else set(range(5))
        reader = Reader(rounds.plan, read_message(rounds.plan, answers[name], {MessageType.UPLOADERS}))
        reader.clients()
        items = [
            item
            for item in reader.items()
            if victim in crowd or read_message(rounds.plan, item, EVERY).sender != NAMES[victim]
        ]
        lie = signer.write(MessageType.UPLOADERS, set_of(rounds.plan, crowd) + list_of(items))
        confirmed[name] = rounds.act(name, "confirm", lie)
    answered = {True: 0, False: 0}
    for number, name in enumerate(NAMES[:5]):
        same = [confirmed[other] for i, other in enumerate(NAMES[:5]) if way(i) == way(number)]
        lie = signer.write(MessageType.CONFIRMATIONS, list_of(same))
        reveal = functools.partial(rounds.act, name, "reveal", lie)
        answered[way(number)] += not refused(reveal, "server")
    assert min(answered.values()) == 0
