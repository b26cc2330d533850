"""medcrypt's accountant inside dp-accounting, and both accountants against each other."""

import math

import pytest

from medcrypt import dp
from medcrypt.integrations import dp_accounting as adapter

google = pytest.importorskip("dp_accounting")
ADD, REPLACE = google.NeighboringRelation.ADD_OR_REMOVE_ONE, google.NeighboringRelation.REPLACE_ONE


def ours(relation=ADD):
    return adapter.MedcryptAccountant(relation)


def google_pld(relation=ADD):
    from dp_accounting import pld

    return pld.PLDAccountant(relation, value_discretization_interval=1e-3)


GAUSSIAN = google.GaussianDpEvent(1.1)
EVENTS = [
    google.SelfComposedDpEvent(google.PoissonSampledDpEvent(0.02, GAUSSIAN), 300),
    google.ComposedDpEvent([GAUSSIAN, google.LaplaceDpEvent(3.0), google.NoOpDpEvent()]),
    google.SelfComposedDpEvent(google.LaplaceDpEvent(5.0), 20),
    google.SelfComposedDpEvent(google.dp_event.DiscreteLaplaceDpEvent(0.3, 2), 10),
]


@pytest.mark.parametrize("event", EVENTS, ids=str)
def test_both_accountants_agree_within_the_grid_of_the_other(event):
    mine, theirs = ours().compose(event), google_pld().compose(event)
    for delta in (1e-3, 1e-6):
        # Its losses are rounded up to a grid of 1e-3, connected by chords: never below, and little above.
        assert mine.get_epsilon(delta) <= theirs.get_epsilon(delta) * (1 + 1e-3) + 1e-6
        assert mine.get_epsilon(delta) == pytest.approx(theirs.get_epsilon(delta), abs=5e-3)
    for epsilon in (0.5, 2.0):
        assert mine.get_delta(epsilon) == pytest.approx(theirs.get_delta(epsilon), rel=2e-2, abs=1e-9)


@pytest.mark.parametrize(
    "event",
    [
        google.GaussianDpEvent(2.0),
        google.dp_event.RandomizedResponseDpEvent(0.4, 3),
        google.SelfComposedDpEvent(google.dp_event.RandomizedResponseDpEvent(0.4, 1), 5),
    ],
    ids=str,
)
def test_both_accountants_agree_under_replacement(event):
    mine, theirs = ours(REPLACE).compose(event), google_pld(REPLACE).compose(event)
    for delta in (1e-2, 1e-5):
        assert mine.get_epsilon(delta) == pytest.approx(theirs.get_epsilon(delta), abs=5e-3)


def test_replacing_a_record_moves_a_sum_by_two_norms():
    mine = ours(REPLACE).compose(google.GaussianDpEvent(2.0))
    assert mine.get_epsilon(1e-5) == pytest.approx(dp.Accountant().compose(dp.Gaussian(1.0)).epsilon(1e-5))
    mine = ours(REPLACE).compose(
        google.SampledWithoutReplacementDpEvent(1000, 10, google.GaussianDpEvent(2.0))
    )
    fixed = dp.SampledWithoutReplacement(10, 1000, dp.Gaussian(1.0))
    assert mine.get_epsilon(1e-5) == dp.Accountant("replace_one").compose(fixed).epsilon(1e-5)


@pytest.mark.parametrize(
    ("event", "relation", "reason"),
    [
        (google.PoissonSampledDpEvent(0.1, GAUSSIAN), REPLACE, "refused under 'replace_one'"),
        (
            google.SampledWithoutReplacementDpEvent(100, 10, GAUSSIAN),
            ADD,
            "refused under 'add_or_remove_one'",
        ),
        (google.dp_event.RandomizedResponseDpEvent(0.5, 3), ADD, "refused under 'add_or_remove_one'"),
        (google.PoissonSampledDpEvent(0.1, google.LaplaceDpEvent(1.0)), ADD, "amplification"),
        (google.UnsupportedDpEvent(), ADD, "UnsupportedDpEvent"),
        (google.SampledWithReplacementDpEvent(100, 10, GAUSSIAN), ADD, "SampledWithReplacement"),
        (google.GaussianDpEvent(-1.0), ADD, "noise_multiplier"),
    ],
    ids=str,
)
def test_what_has_no_proven_bound_is_refused_with_the_reason(event, relation, reason):
    accountant = ours(relation).compose(GAUSSIAN)
    before = accountant.get_epsilon(1e-5)
    nested = google.ComposedDpEvent([GAUSSIAN, google.SelfComposedDpEvent(event, 3)])
    assert not accountant.supports(nested)
    with pytest.raises(google.UnsupportedEventError, match=reason):
        accountant.compose(nested)
    assert accountant.get_epsilon(1e-5) == pytest.approx(before, rel=1e-12)


def test_events_without_noise_cost_everything():
    for event in (
        google.NonPrivateDpEvent(),
        google.GaussianDpEvent(0.0),
        google.PoissonSampledDpEvent(0.1, google.GaussianDpEvent(0.0)),
    ):
        accountant = ours().compose(google.SelfComposedDpEvent(event, 2))
        assert accountant.get_epsilon(1e-5) == math.inf
        assert accountant.get_delta(10.0) == 1.0
        assert accountant.get_epsilon(1.0) == 0.0


def test_zcdp_with_an_offset_is_a_renyi_curve():
    plain = ours().compose(google.ZCDpEvent(0.1)).get_epsilon(1e-6)
    assert plain == dp.renyi.epsilon(dp.ZeroConcentratedDP(0.1), 1e-6)
    offset = ours().compose(google.ZCDpEvent(0.1, 0.05)).get_epsilon(1e-6)
    assert plain + 0.04 < offset < plain + 0.055


def test_the_ledger_and_counts_are_those_of_the_base_class():
    accountant = ours()
    assert isinstance(accountant.ledger, google.NoOpDpEvent)
    accountant.compose(GAUSSIAN, 3).compose(GAUSSIAN)
    assert accountant.ledger == google.SelfComposedDpEvent(GAUSSIAN, 4)
    assert accountant.get_epsilon(1e-5) == pytest.approx(
        dp.Accountant().compose(dp.Gaussian(1.1), 4).epsilon(1e-5), rel=1e-12
    )
    assert isinstance(accountant, google.PrivacyAccountant)
    assert accountant.neighboring_relation == ADD


def test_it_fits_the_calibration_of_dp_accounting():
    sigma = google.calibrate_dp_mechanism(
        ours,
        lambda s: google.SelfComposedDpEvent(
            google.PoissonSampledDpEvent(0.01, google.GaussianDpEvent(s)), 1000
        ),
        2.0,
        1e-5,
        google.ExplicitBracketInterval(0.5, 2.0),
    )
    assert sigma == pytest.approx(0.9591015524, abs=3e-6)
    steps = google.calibrate_dp_mechanism(
        ours,
        lambda n: google.SelfComposedDpEvent(google.GaussianDpEvent(30.0), n),
        1.0,
        1e-6,
        google.LowerEndpointAndGuess(1, 10),
        discrete=True,
    )
    costs = [dp.Accountant().compose(dp.Gaussian(30.0), n).epsilon(1e-6) for n in (steps, steps + 2)]
    assert costs[0] <= 1.0 < costs[1]


def test_other_relations_are_refused():
    with pytest.raises(ValueError, match="REPLACE_SPECIAL"):
        ours(google.NeighboringRelation.REPLACE_SPECIAL)
