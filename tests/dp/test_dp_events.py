"""Events are data: equal, hashable, immutable, strict."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.events import RELATIONS

positive = st.floats(min_value=1e-300, max_value=1e300)
not_negative = st.just(0.0) | positive
shifts = st.integers(1, 10**6)
curves = st.dictionaries(st.floats(1.0, 1e6, exclude_min=True), not_negative, min_size=1, max_size=4).map(
    lambda curve: dp.RenyiCurve(sorted(curve), [curve[order] for order in sorted(curve)])
)
samples = st.tuples(st.integers(0, 10**9), st.integers(1, 10**9)).filter(lambda sizes: sizes[0] <= sizes[1])
simple = st.one_of(
    st.builds(dp.Gaussian, positive),
    st.builds(dp.Laplace, positive),
    st.builds(dp.DiscreteGaussian, positive, shifts),
    st.builds(dp.DiscreteLaplace, positive, shifts),
    st.builds(dp.Skellam, positive, shifts),
    st.builds(dp.RandomizedResponse, st.floats(0.0, 1.0, exclude_min=True), st.integers(2, 10**6)),
    st.builds(dp.PureDP, not_negative),
    st.builds(dp.ApproximateDP, not_negative, st.floats(0.0, 1.0, exclude_max=True)),
    st.builds(dp.ZeroConcentratedDP, positive),
    curves,
    st.builds(dp.PoissonSampled, st.floats(0.0, 1.0), st.builds(dp.Gaussian, positive)),
    st.builds(
        lambda sizes, event: dp.SampledWithoutReplacement(*sizes, event),
        samples,
        st.builds(dp.Gaussian, positive),
    ),
)
nested = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.builds(dp.Composed, st.lists(inner, max_size=3)),
        st.builds(dp.Repeated, inner, st.integers(0, 10**12)),
    ),
    max_leaves=6,
)


@given(nested)
def test_json_reads_back_an_equal_event(event):
    back = dp.from_json(dp.to_json(event))
    assert back == event
    assert hash(back) == hash(event)


@given(nested, nested)
def test_equal_events_have_equal_json(first, second):
    assert (first == second) == (dp.to_json(first) == dp.to_json(second))


@given(st.text(max_size=40) | nested.map(dp.to_json).map(lambda text: text[:-1]))
def test_other_text_is_refused(text):
    with pytest.raises(ValueError, match="not an event"):
        dp.from_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "1",
        "{}",
        '{"type": "Event"}',
        '{"type": ["Gaussian"]}',
        '{"type": "Gaussian"}',
        '{"type": "Gaussian", "noise_multiplier": "1"}',
        '{"type": "Gaussian", "noise_multiplier": true}',
        '{"type": "Gaussian", "noise_multiplier": NaN}',
        '{"type": "Gaussian", "noise_multiplier": 1e999}',
        '{"type": "Gaussian", "noise_multiplier": 1, "noise_multiplier": 2}',
        '{"type": "Gaussian", "noise_multiplier": 1, "seed": 2}',
        '{"type": "PoissonSampled", "sampling_rate": 0.1, "event": {"type": "ZeroConcentratedDP", "rho": 1}}',
        '{"type": "Repeated", "event": {"type": "Laplace", "scale": 1}, "count": 1.0}',
        '{"type": "Composed", "events": {"type": "Laplace", "scale": 1}}',
        '{"type": "RenyiCurve", "orders": [2], "epsilons": []}',
        '{"type": "RenyiCurve", "orders": "23", "epsilons": [1, 2]}',
        '{"type": "RenyiCurve", "orders": [3, 2], "epsilons": [1, 2]}',
        '{"type": "DiscreteGaussian", "sigma": 1}',
        '{"type": "DiscreteGaussian", "sigma": 1, "sensitivity": 0}',
        '{"type": "ApproximateDP", "epsilon": 1, "delta": 1}',
        '{"type": "SampledWithoutReplacement", "sample_size": 3, "population_size": 2, '
        '"event": {"type": "Gaussian", "noise_multiplier": 1}}',
        '{"type": "Repeated", "count": 1, "event":' * 100_000,
    ],
)
def test_malformed_json_is_refused(text):
    with pytest.raises(ValueError, match="not an event"):
        dp.from_json(text)


def test_an_integer_too_large_for_a_float_is_refused():
    with pytest.raises(ValueError, match="not an event"):
        dp.from_json(json.dumps({"type": "Gaussian", "noise_multiplier": 10**400}))


@pytest.mark.parametrize("build", [dp.Gaussian, dp.Laplace, dp.ZeroConcentratedDP])
def test_parameters_are_finite_positive_numbers(build):
    for value in (0.0, -1.0, math.nan, math.inf, 10**400):
        with pytest.raises(ValueError, match="must"):
            build(value)
    for value in ("1", None, True, 1j, [1.0]):
        with pytest.raises(TypeError):
            build(value)
    assert build(2) == build(2.0)


def test_sampling_rates_lie_between_zero_and_one():
    for rate in (-1e-9, 1.1, math.nan):
        with pytest.raises(ValueError, match="sampling_rate must"):
            dp.PoissonSampled(rate, dp.Gaussian(1.0))
    with pytest.raises(TypeError):
        dp.PoissonSampled("0.1", dp.Gaussian(1.0))


def test_what_cannot_be_amplified_is_refused_with_the_reason():
    for event in (dp.ZeroConcentratedDP(1.0), dp.RenyiCurve([2.0], [1.0])):
        with pytest.raises(ValueError, match="does not determine the mechanism"):
            dp.PoissonSampled(0.1, event)
        with pytest.raises(ValueError, match="does not determine the mechanism"):
            dp.SampledWithoutReplacement(1, 10, event)
    for event in (dp.Laplace(1.0), dp.Composed([dp.Gaussian(1.0)]), dp.Repeated(dp.Gaussian(1.0), 2)):
        with pytest.raises(ValueError, match="amplification"):
            dp.PoissonSampled(0.1, event)
        with pytest.raises(ValueError, match="amplification"):
            dp.SampledWithoutReplacement(1, 10, event)
    with pytest.raises(TypeError):
        dp.PoissonSampled(0.1, "Gaussian")


@pytest.mark.parametrize(
    ("event", "relation"),
    [
        (dp.PoissonSampled(0.1, dp.Gaussian(1.0)), "add_or_remove_one"),
        (dp.SampledWithoutReplacement(1, 10, dp.Gaussian(1.0)), "replace_one"),
        (dp.RandomizedResponse(0.5, 3), "replace_one"),
    ],
)
def test_an_event_is_refused_under_the_relation_it_is_not_proven_for(event, relation):
    nested = dp.Composed([dp.Laplace(1.0), dp.Repeated(event, 3)])
    for neighbors in RELATIONS:
        accountant = dp.Accountant(neighbors)
        if neighbors == relation:
            accountant.compose(nested)
            continue
        with pytest.raises(ValueError, match=f"{type(event).__name__} is refused under '{neighbors}': "):
            accountant.compose(nested)
        assert accountant.events == ()


@pytest.mark.parametrize(
    ("build", "wrong"),
    [
        (lambda: dp.RandomizedResponse(0.0), "noise_probability"),
        (lambda: dp.RandomizedResponse(1.1), "noise_probability"),
        (lambda: dp.RandomizedResponse(0.5, 1), "categories"),
        (lambda: dp.PureDP(-0.1), "epsilon"),
        (lambda: dp.PureDP(math.inf), "epsilon"),
        (lambda: dp.ApproximateDP(-1.0, 0.1), "epsilon"),
        (lambda: dp.ApproximateDP(1.0, 1.0), "delta"),
        (lambda: dp.ApproximateDP(1.0, -0.1), "delta"),
        (lambda: dp.DiscreteGaussian(1.0, 0), "sensitivity"),
        (lambda: dp.Skellam(0.0), "variance"),
        (lambda: dp.RenyiCurve([], []), "length"),
        (lambda: dp.RenyiCurve([2.0], [1.0, 2.0]), "length"),
        (lambda: dp.RenyiCurve([1.0], [1.0]), "above 1"),
        (lambda: dp.RenyiCurve([2.0, 2.0], [1.0, 1.0]), "increasing"),
        (lambda: dp.RenyiCurve([2.0], [math.nan]), "epsilon"),
        (lambda: dp.SampledWithoutReplacement(3, 2, dp.Gaussian(1.0)), "drawn"),
        (lambda: dp.SampledWithoutReplacement(0, 0, dp.Gaussian(1.0)), "population_size"),
    ],
)
def test_parameters_outside_their_range_are_refused(build, wrong):
    with pytest.raises(ValueError, match=wrong):
        build()


def test_sensitivities_and_sizes_are_integers():
    for build in (
        lambda: dp.DiscreteLaplace(1.0, 1.0),
        lambda: dp.RandomizedResponse(0.5, "2"),
        lambda: dp.SampledWithoutReplacement(1.0, 2, dp.Gaussian(1.0)),
        lambda: dp.RenyiCurve("12", [1.0, 2.0]),
        lambda: dp.RenyiCurve(2.0, 1.0),
    ):
        with pytest.raises(TypeError):
            build()


def test_minus_zero_equals_zero_in_memory_and_in_json():
    assert dp.to_json(dp.PureDP(-0.0)) == dp.to_json(dp.PureDP(0.0))


def test_counts_are_integers_of_at_least_zero():
    with pytest.raises(ValueError, match="negative"):
        dp.Repeated(dp.Gaussian(1.0), -1)
    for count in (1.0, True, "1"):
        with pytest.raises(TypeError):
            dp.Repeated(dp.Gaussian(1.0), count)


def test_only_events_are_composed():
    with pytest.raises(TypeError):
        dp.Composed([dp.Gaussian(1.0), 1.0])
    with pytest.raises(TypeError):
        dp.Repeated(1.0, 2)
    with pytest.raises(TypeError):
        dp.Event()
    with pytest.raises(TypeError):
        dp.to_json("Gaussian")
    with pytest.raises(TypeError):
        dp.from_json(b"{}")


def test_events_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        dp.Gaussian(1.0).noise_multiplier = 2.0
