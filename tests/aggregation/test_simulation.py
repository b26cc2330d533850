"""Simulated rounds: both back-ends give the same integers, cheaters are named, everything is counted."""

import json

import numpy as np
import pytest
from federation import Noise, make_update, threshold_key, whole_key
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import aggregation
from medcrypt.aggregation import Federation, Plan, simulate

NAMES = ("Aachen", "Berlin", "Charité", "Dresden")


def small_plan(**changes):
    fields = {"clients": 4, "threshold": 3, "clip": 2.0, "bits": 12, "shapes": {"w": (5,), "b": ()}}
    return Plan(**(fields | changes))


def updates_of(plan):
    return {name: make_update(plan, seed) for seed, name in enumerate(NAMES)}


@given(
    bits=st.integers(2, 40), max_weight=st.none() | st.integers(1, 1000), l2_clip=st.none() | st.floats(0.1, 5),
    dropout=st.none() | st.sampled_from(NAMES), seed=st.integers(0, 99),
)  # fmt: skip
def test_both_backends_return_identical_integers_and_those_of_numpy(bits, max_weight, l2_clip, dropout, seed):
    plan = small_plan(bits=bits, max_weight=max_weight, weighted=max_weight is not None, l2_clip=l2_clip)
    updates = {name: make_update(plan, seed + i) for i, name in enumerate(NAMES)}
    weights = (
        None
        if max_weight is None
        else {name: 1 + (7 * i + seed) % max_weight for i, name in enumerate(NAMES)}
    )
    dropouts = [] if dropout is None else [dropout]
    with Federation(plan, clients=NAMES, keys=whole_key()) as federation:
        reports = [
            federation.run(updates, weights, backend=backend, dropouts=dropouts)
            for backend in ("homomorphic", "masking")
        ]
    there = [name for name in NAMES if name != dropout]
    expected = aggregation.add_integers(
        plan, [aggregation.quantise(plan, updates[name], weights and weights[name]) for name in there]
    )
    for report in reports:
        assert report.exact
        assert report.aggregate.contributors == tuple(there)
        assert np.array_equal(report.aggregate.integers, expected)


@pytest.mark.parametrize("backend", ["homomorphic", "masking"])
def test_noise_in_the_sum_is_the_noise_that_the_contributors_drew(backend):
    plan = small_plan(noise=Noise(7), l2_clip=3.0)
    report = simulate(plan, updates_of(plan), backend=backend, keys=whole_key(), cheaters={"Berlin": "twice"})
    assert report.exact
    bare = small_plan(l2_clip=3.0)
    plain = aggregation.add_integers(bare, [aggregation.quantise(bare, u) for u in updates_of(bare).values()])
    assert np.array_equal(report.aggregate.integers, plain + 7 * len(report.aggregate.contributors))


@pytest.mark.parametrize(
    ("cheater", "how", "blamed", "contributors"),
    [
        ("Berlin", "damage", None, 3),
        ("Berlin", "replay", "Berlin", 3),
        ("Berlin", "copy", "Berlin", 3),
        ("Berlin", "twice", "Berlin", 4),
        ("holder-1", "wrong", "holder-1", 4),
        ("server", "single", "server", 4),
        ("server", "two-sets", "server", 4),
    ],
)
def test_cheaters_of_the_homomorphic_backend_are_named_and_the_others_finish(
    cheater, how, blamed, contributors
):
    plan = small_plan()
    report = simulate(plan, updates_of(plan), keys=threshold_key(), cheaters={cheater: how})
    assert {refusal.party for refusal in report.refusals} == {blamed}
    assert report.exact
    assert len(report.aggregate.contributors) == contributors


@pytest.mark.parametrize(
    ("how", "blamed", "contributors"),
    [("damage", None, 3), ("replay", "Berlin", 3), ("twice", "Berlin", 4), ("wrong", "Berlin", 4)],
)
def test_cheaters_of_the_masking_backend_are_named_and_the_others_finish(how, blamed, contributors):
    plan = small_plan()
    report = simulate(plan, updates_of(plan), backend="masking", cheaters={"Berlin": how})
    assert [refusal.party for refusal in report.refusals] == [blamed]
    assert report.exact
    assert len(report.aggregate.contributors) == contributors


def test_a_masking_server_that_tells_two_stories_gets_no_sum():
    plan = small_plan()
    report = simulate(plan, updates_of(plan), backend="masking", cheaters={"server": "two-sets"})
    assert report.aggregate is None
    assert {refusal.party for refusal in report.refusals} == {"server"}
    assert len(report.refusals) >= plan.clients


@pytest.mark.parametrize("step", ["advertise", "share", "upload", "confirm", "reveal"])
def test_a_client_may_vanish_at_every_step_of_the_masking_backend(step):
    plan = small_plan()
    report = simulate(plan, updates_of(plan), backend="masking", dropouts={"Dresden": step})
    assert report.exact
    assert ("Dresden" in report.aggregate.contributors) == (step in ("confirm", "reveal"))


@pytest.mark.parametrize("backend", ["homomorphic", "masking"])
def test_too_many_dropouts_leave_no_sum_and_a_reason(backend):
    plan = small_plan()
    report = simulate(plan, updates_of(plan), backend=backend, keys=whole_key(), dropouts=NAMES[:2])
    assert report.aggregate is None
    assert report.exact is None
    assert "no sum: " in str(report)
    assert report.failure in str(report)


def test_holders_may_vanish_down_to_their_threshold():
    plan = small_plan()
    assert simulate(plan, updates_of(plan), keys=threshold_key(), dropouts=["holder-2"]).exact
    gone = simulate(plan, updates_of(plan), keys=threshold_key(), dropouts=["holder-2", "holder-3"])
    assert "only 1 key holders have answered" in gone.failure


def test_one_holder_of_a_whole_key_can_lie_and_the_report_says_so():
    plan = small_plan()
    report = simulate(plan, updates_of(plan), keys=whole_key(), cheaters={"holder-1": "wrong"})
    assert report.exact is False
    assert "NOT the sum" in str(report)


def test_a_report_counts_every_byte_that_was_sent():
    plan = small_plan()
    report = simulate(plan, updates_of(plan), keys=threshold_key(), dropouts=["Aachen"])
    steps = {(step.role, step.name): step for step in report.steps}
    assert steps["client", "upload"].parties == 3
    assert steps["holder", "open"].parties == 3
    uploads = steps["client", "upload"].sent
    request = steps["server", "request"].sent // 3
    assert 0 < request - uploads < 3 * 8 + 4 + 55 + 6 + 64 + 1  # lengths, and an envelope of its own
    assert report.sent == {
        "client": uploads, "server": steps["server", "request"].sent, "holder": steps["holder", "open"].sent,
    }  # fmt: skip
    assert all(seconds > 0 for seconds in report.seconds.values())
    told = json.loads(json.dumps(report.to_json()))
    assert told["exact"] is True
    assert told["sent"]["client"] == uploads
    assert told["plan_hash"] == report.plan.digest.hex()


def test_a_federation_keeps_its_ledgers_over_many_rounds():
    plan = small_plan()
    with Federation(plan, clients=NAMES, keys=threshold_key()) as federation:
        first = [federation.run(updates_of(plan), round_id=i) for i in range(3)]
        again = federation.run(updates_of(plan), round_id=1, dropouts=["Berlin"])
    assert all(report.exact for report in first)
    assert again.aggregate is None
    assert {refusal.party for refusal in again.refusals} == {"server"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "pigeon"}, "backend"),
        ({"dropouts": ["Eve"]}, "no party 'Eve'"),
        ({"dropouts": {"Berlin": "lunch"}}, "choose of: upload"),
        ({"dropouts": ["server"]}, "choose of: nothing"),
        ({"cheaters": {"Berlin": "wrong"}}, "'Berlin' is a client"),
        ({"backend": "masking", "cheaters": {"server": "single"}}, "choose of: two-sets"),
    ],
)
def test_parts_that_nobody_can_play_are_refused(arguments, words):
    plan = small_plan()
    with pytest.raises(ValueError, match=words):
        simulate(plan, updates_of(plan), keys=whole_key(), **arguments)


def test_casts_that_do_not_fit_the_plan_are_refused():
    plan = small_plan()
    with pytest.raises(ValueError, match="different names"):
        Federation(plan, clients=NAMES[:3])
    with pytest.raises(ValueError, match="names of key holders"):
        Federation(plan, keys=threshold_key(), holders=["notary"])
    with Federation(plan) as federation:
        with pytest.raises(ValueError, match="pins its own"):
            Federation(federation.plan)
        assert federation.clients == ("client-1", "client-2", "client-3", "client-4")
        with pytest.raises(ValueError, match="one update for each client"):
            federation.run(updates_of(plan), backend="masking")
        with pytest.raises(ValueError, match="needs keys"):
            federation.run({name: make_update(plan, 1) for name in federation.clients})
    weighted = small_plan(weighted=True, max_weight=5)
    with pytest.raises(ValueError, match="one weight for each"):
        simulate(weighted, updates_of(weighted), keys=whole_key())


def test_each_backend_has_its_own_plan_of_one_description():
    plan = small_plan()
    with Federation(plan, clients=NAMES, keys=threshold_key()) as federation:
        reports = {
            name: federation.run(updates_of(plan), backend=name) for name in ("homomorphic", "masking")
        }
        assert federation.plan == reports["homomorphic"].plan
    assert federation.plan.key == threshold_key()[0].threshold_fingerprint
    masks = reports["masking"].plan
    assert (masks.key, masks.holders, masks.client_names) == (None, (), NAMES)
    assert np.array_equal(*(report.aggregate.integers for report in reports.values()))
    with pytest.raises(ValueError, match="pins its own parties and key"):
        Federation(small_plan(key=bytes(32)))
