"""medcrypt's accountant inside Opacus; without Opacus, against its interface written down here."""

import copy
import json
import math
import sys
from collections import OrderedDict
from types import ModuleType

import pytest

from medcrypt import dp
from medcrypt.integrations import opacus as adapter


class IAccountant:
    """The part of Opacus 1.6's base class that is no abstract method: state and the optimiser's hook."""

    def get_optimizer_hook_fn(self, sample_rate):
        def count(optimizer):
            self.step(
                noise_multiplier=optimizer.noise_multiplier,
                sample_rate=sample_rate * optimizer.accumulated_iterations,
            )

        return count

    def state_dict(self, destination=None):
        destination = OrderedDict() if destination is None else destination
        destination.update(history=copy.deepcopy(self.history), mechanism=self.mechanism())
        return destination

    def load_state_dict(self, state_dict):
        if not state_dict:
            raise ValueError("state dict is either None or empty")
        for key in ("history", "mechanism"):
            if key not in state_dict:
                raise ValueError(f"state_dict does not have the key `{key}`")
        if state_dict["mechanism"] != self.mechanism():
            raise ValueError("cannot be loaded into another mechanism")
        self.history = state_dict["history"]


def written_down():
    """Return a module like ``opacus.accountants``."""
    module, known = ModuleType("opacus.accountants"), {}

    def register_accountant(mechanism, accountant, force=False):
        if mechanism in known and not force:
            raise ValueError(f"Accountant for mechanism {mechanism} is already registered")
        known[mechanism] = accountant

    module.IAccountant, module.register_accountant = IAccountant, register_accountant
    module.create_accountant = lambda mechanism: known[mechanism]()
    return module


@pytest.fixture(params=["installed", "written down"])
def accountants(request, monkeypatch):
    """``opacus.accountants``, and the one that this file describes."""
    if request.param == "installed":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.filters", [("ignore", None, Warning, None, 0)])  # of torch, on import
            module = pytest.importorskip("opacus.accountants", exc_type=ImportError)
    else:
        module = written_down()
        monkeypatch.setitem(sys.modules, "opacus", ModuleType("opacus"))
        monkeypatch.setitem(sys.modules, "opacus.accountants", module)
    adapter._accountant_class.cache_clear()
    adapter.register()
    yield module
    adapter._accountant_class.cache_clear()


def test_opacus_finds_the_accountant_by_its_name(accountants):
    accountant = accountants.create_accountant("medcrypt")
    assert isinstance(accountant, accountants.IAccountant)
    assert isinstance(accountant, adapter.MedcryptAccountant)
    assert accountant.mechanism() == "medcrypt"
    assert adapter.register() is adapter.register()


def test_equal_neighbours_in_the_history_are_merged(accountants):
    accountant = accountants.create_accountant("medcrypt")
    for sigma, rate, steps in ((1.0, 0.01, 3), (1.0, 0.02, 1), (2.0, 0.02, 2), (1.0, 0.01, 1)):
        for _ in range(steps):
            accountant.step(noise_multiplier=sigma, sample_rate=rate)
    assert accountant.history == [(1.0, 0.01, 3), (1.0, 0.02, 1), (2.0, 0.02, 2), (1.0, 0.01, 1)]
    assert len(accountant) == 4


def test_epsilon_is_that_of_the_history_whenever_it_is_asked(accountants):
    accountant = accountants.create_accountant("medcrypt")
    accountant.history = [(1.0, 0.01, 997)]  # as Opacus's calibration writes it
    plain = dp.Accountant().compose(dp.PoissonSampled(0.01, dp.Gaussian(1.0)), 997)
    for sigma, rate in ((1.0, 0.01), (1.0, 0.01), (2.0, 0.05), (2.0, 0.05), (1.0, 0.01)):
        accountant.step(noise_multiplier=sigma, sample_rate=rate)
        plain.compose(dp.PoissonSampled(rate, dp.Gaussian(sigma)))
        assert accountant.get_epsilon(delta=1e-5) == pytest.approx(plain.epsilon(1e-5), rel=1e-9)
    accountant.history = [(1.0, 0.01, 1000)]
    assert accountant.get_epsilon(delta=1e-5, eps_error=0.1) == pytest.approx(1.8282366665, abs=1e-9)
    accountant.history = [(4.0, 0.01, 1000)]
    assert accountant.get_epsilon(1e-5) < 1.0


def test_steps_without_noise_cost_everything_and_steps_without_records_nothing(accountants):
    accountant = accountants.create_accountant("medcrypt")
    assert accountant.get_epsilon(1e-5) == 0.0
    accountant.step(noise_multiplier=0.0, sample_rate=0.0)
    assert accountant.get_epsilon(1e-5) == 0.0
    accountant.step(noise_multiplier=0.0, sample_rate=0.1)
    assert accountant.get_epsilon(1e-5) == math.inf


def test_the_optimisers_hook_counts_accumulated_batches(accountants):
    class Optimizer:
        noise_multiplier, accumulated_iterations = 1.5, 4

    accountant = accountants.create_accountant("medcrypt")
    accountant.get_optimizer_hook_fn(sample_rate=0.01)(Optimizer())
    assert accountant.history == [(1.5, 0.04, 1)]


def test_states_are_opacus_own(accountants):
    first, second = accountants.create_accountant("medcrypt"), accountants.create_accountant("medcrypt")
    for _ in range(500):
        first.step(noise_multiplier=1.0, sample_rate=0.01)
    state = first.state_dict()
    assert dict(state) == {"history": [(1.0, 0.01, 500)], "mechanism": "medcrypt"}
    second.load_state_dict(json.loads(json.dumps(state)))  # which makes lists of tuples
    second.step(noise_multiplier=1.0, sample_rate=0.01)
    assert [tuple(entry) for entry in second.history] == [(1.0, 0.01, 501)]
    assert second.get_epsilon(1e-5) > first.get_epsilon(1e-5)
    assert first.history == [(1.0, 0.01, 500)]


@pytest.mark.parametrize("state", [None, {}, {"history": []}, {"mechanism": "medcrypt"}])
def test_incomplete_states_are_refused(accountants, state):
    with pytest.raises(ValueError, match="state"):
        accountants.create_accountant("medcrypt").load_state_dict(state)


def test_a_state_of_another_mechanism_is_refused(accountants):
    with pytest.raises(ValueError, match="mechanism"):
        accountants.create_accountant("medcrypt").load_state_dict({"history": [], "mechanism": "rdp"})


def test_impossible_steps_are_refused_when_they_are_accounted(accountants):
    accountant = accountants.create_accountant("medcrypt")
    accountant.step(noise_multiplier=-1.0, sample_rate=0.1)
    with pytest.raises(ValueError, match="noise_multiplier"):
        accountant.get_epsilon(1e-5)


def test_opacus_calibrates_with_it():
    utils = pytest.importorskip("opacus.accountants.utils", exc_type=ImportError)
    adapter._accountant_class.cache_clear()
    adapter.register()
    sigma = utils.get_noise_multiplier(
        target_epsilon=2.0, target_delta=1e-5, sample_rate=0.01, steps=1000, accountant="medcrypt"
    )
    assert sigma == pytest.approx(0.9591, rel=5e-3)
    assert dp.Accountant().compose(dp.PoissonSampled(0.01, dp.Gaussian(sigma)), 1000).epsilon(1e-5) <= 2.0


def test_without_opacus_the_error_says_what_to_install(monkeypatch):
    adapter._accountant_class.cache_clear()
    monkeypatch.setitem(sys.modules, "opacus", None)
    monkeypatch.setitem(sys.modules, "opacus.accountants", None)
    with pytest.raises(ImportError, match=r"medcrypt\[opacus\]"):
        adapter.register()
