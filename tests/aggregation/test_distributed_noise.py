"""Noise that clients add together: how much there is, what it costs, and that both back-ends carry it."""

import dataclasses
import itertools
import math

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from masking_rounds import Rounds, federation

from medcrypt import aggregation, dp, paillier
from medcrypt.aggregation import DiscreteGaussianNoise, Plan, SkellamNoise
from medcrypt.aggregation.noise import OVERFLOW
from medcrypt.dp import noise as sampling
from reference import privacy as oracle

LAWS = [SkellamNoise, DiscreteGaussianNoise]


def plan_with(noise, **changes):
    fields = {"clients": 4, "threshold": 4, "clip": 1.0, "bits": 12, "shapes": {"w": (50,)}, "l2_clip": 1.0}
    return Plan(**(fields | {"noise": noise} | changes))


def contributed(plan, update, **arguments):
    return [aggregation.quantise(plan, update, **arguments) for _ in range(plan.clients)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("unit", ["hospital", "patient"])
def test_the_opened_sum_carries_the_planned_variance(law, unit):
    """Within 2 %: seven standard deviations of the estimate from 2^18 coordinates, a false alarm below 1e-11."""
    patient = {"patient_clip": 0.25} if unit == "patient" else {}
    plan = plan_with(
        law(noise_multiplier=1.5, unit=unit, colluders=0, **patient), shapes={"w": (1 << 18,)}, bits=14
    )
    noise = plan.noise
    total = aggregation.add_integers(plan, contributed(plan, {"w": np.zeros(1 << 18)}))
    sigma = 1.5 * noise._sensitivity(plan)
    assert np.mean(total.astype(float) ** 2) == pytest.approx(sigma**2, rel=0.02)
    assert abs(total.mean()) < 5.4 * sigma / math.sqrt(total.size)


def test_dropouts_and_colluders_leave_at_least_the_planned_variance():
    """Each share is sigma^2/h with h = threshold - colluders: the fewest that are ever both present and unknown."""
    noise = SkellamNoise(noise_multiplier=2.0, unit="hospital", colluders=2)
    plan = plan_with(noise, clients=10, threshold=7)
    sigma = 2.0 * noise._sensitivity(plan)
    assert noise._share(plan) * (7 - 2) == pytest.approx(sigma**2, rel=1e-12)
    assert noise._share(plan) * 5 >= sigma**2


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("rotation", [True, False])
def test_sums_come_back_with_noise_of_the_stated_size(law, rotation):
    rng = np.random.default_rng(5)
    plan = plan_with(
        law(noise_multiplier=0.05, unit="hospital", rotation=rotation),
        shapes={"b": (30,), "w": (10, 20)},
        bits=20,
        l2_clip=4.0,
    )
    updates = [{"b": rng.uniform(-0.2, 0.2, 30), "w": rng.uniform(-0.2, 0.2, (10, 20))} for _ in range(4)]
    integers = aggregation.add_integers(plan, [aggregation.quantise(plan, update) for update in updates])
    sums = aggregation.Aggregate(plan, integers, tuple("abcd")).sums()
    sigma = 0.05 * plan.noise._sensitivity(plan) * plan.step
    for name in plan.shapes:
        error = sums[name] - sum(update[name] for update in updates)
        assert error.shape == plan.shapes[name]
        assert np.abs(error).max() < 7 * sigma
    assert plan.dimension == (256 if rotation else 230)


@pytest.mark.parametrize("law", LAWS)
def test_both_back_ends_return_the_same_integers(law, monkeypatch):
    """The same draws go in, so the same integers come out, equal to those added in the clear."""
    noise = law(noise_multiplier=1.0, unit="hospital", weight_noise_multiplier=1.0, colluders=1)
    plan, identities = federation(4, 3, noise=noise, l2_clip=2.0, weighted=True, max_weight=9, proofs=False)
    draws = {}

    def remembered(plan, update, weight=None, *, saturate=False):
        """Give a client its first draw again: the update tells whose it is."""
        key = update["w"].tobytes()
        if key not in draws:
            draws[key] = aggregation.quantise(plan, update, weight, saturate=saturate)
        return draws[key].copy()

    for module in ("medcrypt.aggregation.homomorphic", "medcrypt.aggregation.masking.client"):
        monkeypatch.setattr(f"{module}.quantise", remembered)
    rounds = Rounds(plan, identities)
    rounds.run()
    public, private = paillier.generate_keypair(512, insecure=True)
    keyed = dataclasses.replace(plan, key=public)
    server = aggregation.HomomorphicServer(keyed, public, identities["server"])
    for name in plan.client_names:
        client = aggregation.HomomorphicClient(keyed, public, name, identities[name])
        server.receive(client.encrypt(rounds.updates[name], rounds.weight(name)))
    opened = aggregation.Aggregate(plan, private.decrypt_integers(server.total()), server.contributors)
    expected = aggregation.add_integers(plan, draws.values())
    assert len(draws) == plan.clients
    np.testing.assert_array_equal(opened.integers, expected)
    np.testing.assert_array_equal(rounds.server.total().integers, expected)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=6), st.integers(0, 2**32))
def test_a_rounded_contribution_is_never_longer_than_the_sensitivity(values, seed):
    length = max(1.0, math.sqrt(sum(v * v for v in values)))
    plan = plan_with(
        SkellamNoise(noise_multiplier=1.0, unit="hospital"),
        shapes={"w": (len(values),)},
        bits=3,
        l2_clip=length,
    )
    noise = plan.noise
    steps = np.array(values) / plan.step
    for _ in range(20):
        rounded = noise._rounded(plan, steps)
        assert np.abs(rounded - steps).max() < 1
        assert math.sqrt(int((rounded**2).sum())) <= noise._sensitivity(plan)


def test_one_patient_moves_the_integers_by_at_most_the_sensitivity():
    """With the same coins, as the proof couples them; on a lattice so coarse that rounding dominates."""
    rng = np.random.default_rng(3)
    noise = SkellamNoise(noise_multiplier=1.0, unit="patient", patient_clip=0.3)
    plan = plan_with(noise, shapes={"w": (16,)}, bits=4, l2_clip=2.0)
    worst = 0.0
    for trial in range(300):
        base, patient = rng.uniform(-1, 1, 16), rng.standard_normal(16)
        patient *= 0.3 / np.linalg.norm(patient)
        rounded = [
            sampling.round_stochastically(
                np.array(v) / plan.step,
                generator=sampling.ReproducibleGenerator(trial.to_bytes(32, "little")),
            )
            for v in (base, base + patient)
        ]
        worst = max(worst, float(np.linalg.norm(rounded[0] - rounded[1])))
    assert worst <= noise._sensitivity(plan)
    assert worst > 0.3 / plan.step  # rounding does add to it: the term sqrt(d) is no ornament


@pytest.mark.parametrize(("variance", "sensitivity"), [*itertools.product([2.0, 10.0, 60.0], [1, 2, 3])])
def test_the_skellam_bound_is_above_the_exact_divergence(variance, sensitivity):
    event = dp.distributed_skellam(variance / 4, 4, float(sensitivity), 1)
    known = dict(zip(event.orders, event.epsilons, strict=True))
    with mp.workdps(40):
        reach = int(20 * math.sqrt(variance)) + 60
        pmf = [mp.besseli(abs(k), variance) / mp.exp(variance) for k in range(-reach - 3, reach + 4)]
        for order in (2, 4, 8, 16):
            terms = [
                pmf[k - sensitivity] ** order * pmf[k] ** (1 - order)
                for k in range(sensitivity, len(pmf))
                if pmf[k] > 0
            ]
            exact = mp.log(mp.fsum(terms)) / (order - 1)
            assert exact <= known[float(order)]


@pytest.mark.parametrize("law", LAWS)
def test_the_stated_epsilon_is_above_the_exact_one(law):
    """One coordinate, all shares honest: the hockey-stick divergence of the summed noise, by definition."""
    law_of_all = law(noise_multiplier=1.0, unit="hospital", rotation=False, colluders=0)
    plan = plan_with(law_of_all, shapes={"w": ()}, bits=4)
    noise, delta = plan.noise, 1e-4
    bound = plan.privacy(delta)
    share, shift = noise._share(plan), math.floor(noise._sensitivity(plan))
    if law is SkellamNoise:
        reach = int(15 * math.sqrt(4 * share)) + 60
        with mp.workdps(40):
            total = [
                float(mp.besseli(abs(k), 4 * share) / mp.exp(4 * share)) for k in range(-reach, reach + 1)
            ]
    else:
        reach = int(12 * share) + 10
        single = np.array(oracle.discrete_gaussian_pmf(share, -reach, reach))
        total = np.convolve(np.convolve(single, single), np.convolve(single, single)).tolist()
    moved = [0.0] * shift + total[: len(total) - shift]
    exact = sum(max(a - math.exp(bound.epsilon) * b, 0.0) for a, b in zip(moved, total, strict=True))
    assert exact <= delta
    assert bound.unit == "hospital"
    assert "upper bound" in bound.kind


def test_more_noise_fewer_rounds_and_more_honest_shares_cost_less():
    def epsilon(**changes):
        noise = SkellamNoise(**({"noise_multiplier": 4.0, "unit": "hospital"} | changes.pop("noise", {})))
        rounds = changes.pop("rounds", 1)
        return plan_with(noise, **changes).privacy(1e-6, rounds).epsilon

    assert epsilon(noise={"noise_multiplier": 5.0}) < epsilon() < epsilon(rounds=2) < epsilon(rounds=20)
    weighted = {"weighted": True, "max_weight": 10}
    assert epsilon(noise={"weight_noise_multiplier": 4.0}, **weighted) > epsilon()


def test_overflow_is_charged_to_delta():
    plan = plan_with(SkellamNoise(noise_multiplier=4.0, unit="hospital"))
    exact = dp.renyi.epsilon(plan.noise.event(plan), 1e-6)
    assert plan.privacy(1e-6).epsilon >= exact
    with pytest.raises(ValueError, match="overflows"):
        plan.privacy(OVERFLOW / 2)


@pytest.mark.parametrize("law", LAWS)
def test_a_client_s_value_never_leaves_its_slot(law, monkeypatch):
    plan = plan_with(law(noise_multiplier=1.0, unit="hospital"))
    extreme = np.array([2**50, -(2**50)] * (plan.dimension // 2))
    monkeypatch.setattr(type(plan.noise), "_draw", lambda self, parameter, shape: extreme)
    integers = aggregation.quantise(plan, {"w": np.zeros(50)})
    most = (1 << (plan.value_bits - 1)) - 1
    assert set(integers.tolist()) == {most, -most}
    assert plan.clients * most < 1 << (plan.modulus_bits - 1) or plan.modulus_bits >= plan.value_bits + 2


@pytest.mark.parametrize("law", LAWS)
def test_slots_hold_every_draw_but_with_the_stated_probability(law):
    """The tail bound is above the true quantile, and not by much."""
    plan = plan_with(law(noise_multiplier=1.0, unit="hospital", rotation=False), shapes={"w": ()}, bits=6)
    share = plan.noise._share(plan)
    failure = 1e-3
    k = plan.noise._quantile(share, failure)
    draws = np.abs(plan.noise._draw(share, (100_000,)))
    assert np.mean(draws >= k) <= failure + 5.4 * math.sqrt(failure / draws.size)
    assert np.mean(draws >= 0.6 * k) > failure


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"unit": "ward"}, "unit"),
        ({"noise_multiplier": 0.0}, "noise_multiplier"),
        ({"noise_multiplier": math.nan}, "noise_multiplier"),
        ({"unit": "patient"}, "patient_clip"),
        ({"patient_clip": 1.0}, "patient_clip"),
        ({"colluders": -1}, "colluders"),
        ({"noise_multiplier": 1e-165}, "at least 1e-06"),
        ({"weight_noise_multiplier": 1e-9}, "at least 1e-06"),
    ],
)
def test_noise_that_says_too_little_or_nonsense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SkellamNoise(**({"noise_multiplier": 1.0, "unit": "hospital"} | change))


def test_a_participant_counts_as_a_colluder_by_default():
    """Every client knows its own share and sees the sum."""
    by_default = SkellamNoise(noise_multiplier=2.0, unit="hospital")
    assert by_default.colluders == 1
    outside = dataclasses.replace(by_default, colluders=0)
    assert by_default._share(plan_with(by_default)) > outside._share(plan_with(outside))
    for wrong in (True, 1.0):
        with pytest.raises(TypeError, match="colluders"):
            SkellamNoise(noise_multiplier=1.0, unit="hospital", colluders=wrong)
    with pytest.raises(TypeError, match="noise_multiplier"):
        SkellamNoise(noise_multiplier=True, unit="hospital")


def test_saturating_weighted_means_is_refused_where_there_is_noise():
    """The clip of a mean moves with the weight: it is no fixed projection of the contribution."""
    noise = SkellamNoise(noise_multiplier=1.0, unit="patient", patient_clip=0.1, weight_noise_multiplier=1.0)
    plan = plan_with(noise, weighted=True, max_weight=9, l2_clip=9.0)
    with pytest.raises(ValueError, match="clip before"):
        aggregation.quantise(plan, {"w": np.full(50, 2.0)}, 3, saturate=True)
    assert aggregation.quantise(plan, {"w": np.zeros(50)}, 3).shape == (plan.dimension,)


def test_the_bound_of_rounding_leaves_room_for_the_check_of_large_vectors():
    """The check errs to the safe side by (d + 2) 2^-53; a vector as long as proven must pass all the same."""
    noise = SkellamNoise(noise_multiplier=1.0, unit="hospital", rotation=False)
    plan = plan_with(noise, shapes={"w": (1 << 22,)}, bits=16)
    proven = noise._length(plan) ** 2 + plan.size / 4 + noise._length(plan) + math.sqrt(plan.size) / 2
    assert noise._rounded_length(plan) ** 2 * (1 - 2.0**-48) >= proven * (1 + (plan.size + 2) * 2.0**-53)


def test_noise_needs_a_unit():
    with pytest.raises(TypeError, match="unit"):
        SkellamNoise(noise_multiplier=1.0)


@pytest.mark.parametrize(
    ("noise", "changes", "message"),
    [
        ({}, {"l2_clip": None}, "l2_clip"),
        ({"colluders": 4}, {}, "threshold must exceed colluders"),
        ({}, {"weighted": True, "max_weight": 5}, "weight_noise_multiplier"),
        ({"weight_noise_multiplier": 1.0}, {}, "weight_noise_multiplier"),
        ({"colluders": 0}, {"colluders": 1, "threshold": 3}, "at least the plan's colluders"),
        ({}, {"bits": 52, "l2_clip": 1e3, "clip": 1.0}, "bits"),
        ({}, {"bits": 24}, "fewer bits, or DiscreteGaussianNoise"),
    ],
)
def test_plans_that_the_noise_does_not_fit_are_refused(noise, changes, message):
    with pytest.raises(ValueError, match=message):
        plan_with(SkellamNoise(**({"noise_multiplier": 1.0, "unit": "hospital"} | noise)), **changes)


def test_every_parameter_is_part_of_the_plan_hash():
    plain = SkellamNoise(noise_multiplier=1.0, unit="hospital")
    variants = [
        plain,
        SkellamNoise(noise_multiplier=2.0, unit="hospital"),
        SkellamNoise(noise_multiplier=1.0, unit="patient", patient_clip=1.0),
        SkellamNoise(noise_multiplier=1.0, unit="patient", patient_clip=2.0),
        SkellamNoise(noise_multiplier=1.0, unit="hospital", colluders=2),
        SkellamNoise(noise_multiplier=1.0, unit="hospital", rotation=False),
        DiscreteGaussianNoise(noise_multiplier=1.0, unit="hospital"),
    ]
    assert len({plan_with(noise).digest for noise in variants}) == len(variants)
    assert plan_with(dataclasses.replace(plain)) == plan_with(plain)


def test_a_plan_without_noise_states_no_privacy():
    with pytest.raises(ValueError, match="no noise"):
        plan_with(None).privacy(1e-6)
