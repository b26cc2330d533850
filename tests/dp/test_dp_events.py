"""Events are data: equal, hashable, immutable, strict."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp

positive = st.floats(min_value=1e-300, max_value=1e300)
simple = st.one_of(
    st.builds(dp.Gaussian, positive),
    st.builds(dp.Laplace, positive),
    st.builds(dp.ZeroConcentratedDP, positive),
    st.builds(dp.PoissonSampled, st.floats(0.0, 1.0), st.builds(dp.Gaussian, positive)),
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
    with pytest.raises(ValueError, match="zCDP"):
        dp.PoissonSampled(0.1, dp.ZeroConcentratedDP(1.0))
    for event in (dp.Laplace(1.0), dp.Composed([dp.Gaussian(1.0)]), dp.Repeated(dp.Gaussian(1.0), 2)):
        with pytest.raises(ValueError, match="amplification"):
            dp.PoissonSampled(0.1, event)
    with pytest.raises(TypeError):
        dp.PoissonSampled(0.1, "Gaussian")


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
