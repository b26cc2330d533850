"""medcrypt's accountant by Flower's protocol; without Flower, against its types written down here."""

import enum
import json
import math
import sys
from dataclasses import dataclass
from types import ModuleType

import pytest

from medcrypt import dp
from medcrypt.integrations.flower import MedcryptAccountant


def written_down():
    """Return a module with the types of ``flwr.serverapp`` (Flower 1.42) that an accountant meets."""

    class NeighboringRelation(enum.StrEnum):
        ADD_OR_REMOVE_ONE = "add-or-remove-one"
        REPLACE_ONE = "replace-one"

    class SamplingMethod(enum.StrEnum):
        POISSON = "poisson"
        WITHOUT_REPLACEMENT = "without-replacement"
        NO_AMPLIFICATION = "no-amplification"

    @dataclass(frozen=True)
    class PrivacyConfig:
        target_delta: float
        population_size: int
        neighboring_relation: NeighboringRelation
        sampling_method: SamplingMethod
        max_epsilon: float | None = None

    @dataclass(frozen=True)
    class GaussianPrivacyEvent:
        noise_multiplier: float
        sample_size: int
        population_size: int

        def __post_init__(self):
            if not (isinstance(self.sample_size, int) and 0 < self.sample_size <= self.population_size):
                raise ValueError("sample_size must not exceed population_size.")
            if not self.noise_multiplier > 0:
                raise ValueError("noise_multiplier must be positive and finite.")

    @dataclass(frozen=True)
    class PrivacySpent:
        epsilon: float
        delta: float
        num_releases: int
        accounting_method: str
        optimal_order: float | None = None

    module = ModuleType("flwr.serverapp")
    for kind in (NeighboringRelation, SamplingMethod, PrivacyConfig, GaussianPrivacyEvent, PrivacySpent):
        setattr(module, kind.__name__, kind)
    return module


@pytest.fixture(params=["installed", "written down"])
def flower(request, monkeypatch):
    """``flwr.serverapp``, and the one that this file describes."""
    if request.param == "installed":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.filters", [("ignore", None, Warning, None, 0)])  # of its parts, on import
            module = pytest.importorskip("flwr.serverapp", exc_type=ImportError)
        if not hasattr(module, "PrivacyConfig"):
            pytest.skip("this Flower has no privacy accounting")
        return module
    module = written_down()
    monkeypatch.setitem(sys.modules, "flwr", ModuleType("flwr"))
    monkeypatch.setitem(sys.modules, "flwr.serverapp", module)
    return module


def config(flower, sampling="POISSON", relation="ADD_OR_REMOVE_ONE", max_epsilon=None):
    return flower.PrivacyConfig(
        target_delta=1e-5,
        population_size=1000,
        neighboring_relation=flower.NeighboringRelation[relation],
        sampling_method=flower.SamplingMethod[sampling],
        max_epsilon=max_epsilon,
    )


@pytest.mark.parametrize(
    ("sampling", "relation", "event"),
    [
        ("POISSON", "ADD_OR_REMOVE_ONE", dp.PoissonSampled(0.02, dp.Gaussian(1.2))),
        ("NO_AMPLIFICATION", "ADD_OR_REMOVE_ONE", dp.Gaussian(1.2)),
        # Replacing a client moves the sum by twice the clipping norm.
        ("WITHOUT_REPLACEMENT", "REPLACE_ONE", dp.SampledWithoutReplacement(20, 1000, dp.Gaussian(0.6))),
    ],
)
def test_rounds_are_accounted_by_the_sampling_they_declare(flower, sampling, relation, event):
    accountant = MedcryptAccountant(config(flower, sampling, relation))
    plain = dp.Accountant(relation.lower())
    for count in (1, 30):
        accountant.compose(flower.GaussianPrivacyEvent(1.2, 20, 1000), count)
        plain.compose(event, count)
    assert accountant.num_releases == 31
    assert accountant.get_epsilon(1e-6) == pytest.approx(plain.epsilon(1e-6), rel=1e-9)
    assert accountant.get_delta(3.0) == pytest.approx(plain.delta(3.0), rel=1e-9)
    spent = accountant.get_privacy_spent()
    assert isinstance(spent, flower.PrivacySpent)
    assert (spent.delta, spent.num_releases, spent.accounting_method) == (1e-5, 31, "medcrypt")
    assert spent.epsilon == pytest.approx(plain.epsilon(1e-5), rel=1e-9)
    assert accountant.get_privacy_spent(1e-3).epsilon < spent.epsilon


def test_a_round_that_would_pass_the_limit_is_foreseen_and_not_counted(flower):
    accountant = MedcryptAccountant(config(flower, max_epsilon=2.0))
    event = flower.GaussianPrivacyEvent(1.0, 10, 1000)
    rounds = 0
    while not accountant.would_exceed(event, count=100):
        accountant.compose(event, 100)
        rounds += 100
    assert accountant.num_releases == rounds
    assert accountant.get_epsilon(1e-5) <= 2.0
    step = dp.PoissonSampled(0.01, dp.Gaussian(1.0))
    assert dp.Accountant().compose(step, rounds + 100).epsilon(1e-5) > 2.0
    assert not accountant.would_exceed(event, max_epsilon=5.0)
    with pytest.raises(ValueError, match="max_epsilon"):
        MedcryptAccountant(config(flower)).would_exceed(event)
    with pytest.raises(ValueError, match="max_epsilon"):
        accountant.would_exceed(event, max_epsilon=-1.0)


def test_a_state_survives_json_and_keeps_flowers_layout(flower):
    first, second = (MedcryptAccountant(config(flower, max_epsilon=4.0)) for _ in range(2))
    first.compose(flower.GaussianPrivacyEvent(1.1, 10, 1000), 700)
    state = json.loads(json.dumps(first.state_dict()))
    assert set(state) == {"schema_version", "backend", "config", "compositions"}
    second.load_state_dict(state)
    assert second.num_releases == 700
    assert second.state_dict() == first.state_dict()
    assert second.get_epsilon(1e-5) == pytest.approx(first.get_epsilon(1e-5), rel=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"backend": "rdp"},
        {"config": {}},
        {"compositions": {}},
        {"compositions": [{"event": {}, "count": 1}]},
        {
            "compositions": [
                {"event": {"noise_multiplier": 1.0, "sample_size": 5, "population_size": 1000}, "count": 0}
            ]
        },
        {
            "compositions": [
                {"event": {"noise_multiplier": 1.0, "sample_size": 5, "population_size": 7}, "count": 1}
            ]
        },
        {"orders": []},
    ],
)
def test_foreign_states_are_refused_and_change_nothing(flower, change):
    accountant = MedcryptAccountant(config(flower))
    accountant.compose(flower.GaussianPrivacyEvent(1.1, 10, 1000))
    before = accountant.state_dict()
    with pytest.raises(ValueError, match=r"\w"):
        accountant.load_state_dict({**before, **change})
    assert accountant.state_dict() == before


def test_wrong_arguments_are_flowers_value_errors(flower):
    accountant = MedcryptAccountant(config(flower))
    event = flower.GaussianPrivacyEvent(1.1, 10, 1000)
    for count in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="count"):
            accountant.compose(event, count)
    with pytest.raises(ValueError, match="population"):
        accountant.compose(flower.GaussianPrivacyEvent(1.1, 10, 999))
    for delta in (0.0, 1.0, math.nan, "1"):
        with pytest.raises(ValueError, match="delta"):
            accountant.get_epsilon(delta)
    with pytest.raises(ValueError, match="epsilon"):
        accountant.get_delta(-1.0)
    assert accountant.num_releases == 0


def test_an_unproven_combination_is_refused():
    flower = written_down()
    with pytest.raises(ValueError, match="no bound is proven"):
        MedcryptAccountant(config(flower, "POISSON", "REPLACE_ONE"))
