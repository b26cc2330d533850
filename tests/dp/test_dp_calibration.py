"""Calibration lands on the safe side, within 1e-8."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp


def cost(event, count, delta):
    return dp.Accountant().compose(event, count).epsilon(delta)


def sampled(s):
    return dp.PoissonSampled(0.01, dp.Gaussian(s))


def test_the_published_sampled_gaussian_is_found():
    sigma = dp.calibrate(sampled, count=1000, epsilon=2.0, delta=1e-5, bracket=(0.9, 1.0))
    assert sigma == pytest.approx(0.9591015524, rel=2e-8)
    assert cost(sampled(sigma), 1000, 1e-5) <= 2.0
    assert cost(sampled(sigma * (1 - 2e-8)), 1000, 1e-5) > 2.0


@given(
    st.sampled_from([dp.Gaussian, dp.Laplace, dp.ZeroConcentratedDP]),
    st.floats(0.05, 20.0),
    st.floats(-12.0, -2.0).map(lambda x: 10.0**x),
)
def test_the_answer_is_safe_and_nearly_wrong(family, epsilon, delta):
    s = dp.calibrate(family, epsilon=epsilon, delta=delta)
    worse = s * (1 + 3e-8) if family is dp.ZeroConcentratedDP else s * (1 - 3e-8)
    assert cost(family(s), 1, delta) <= epsilon
    assert cost(family(worse), 1, delta) > epsilon


def test_a_sampling_rate_can_be_calibrated():
    def family(q):
        return dp.PoissonSampled(q, dp.Gaussian(2.0))

    rate = dp.calibrate(family, count=1000, epsilon=1.0, delta=1e-6, bracket=(0.005, 0.05))
    assert cost(family(rate), 1000, 1e-6) == pytest.approx(1.0, rel=1e-6)
    assert cost(family(rate), 1000, 1e-6) <= 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0.0},
        {"epsilon": math.nan},
        {"delta": 0.0},
        {"delta": 1.0},
        {"count": 0},
        {"bracket": (1.0, 1.1)},
    ],
)
def test_impossible_targets_are_refused(wrong):
    with pytest.raises(ValueError, match=r"must|bracket"):
        dp.calibrate(dp.Gaussian, **{"epsilon": 1.0, "delta": 1e-5, **wrong})


def test_a_family_that_does_not_depend_on_its_parameter_is_refused():
    with pytest.raises(ValueError, match="no parameter"):
        dp.calibrate(lambda s: dp.Gaussian(5.0), epsilon=1.0, delta=1e-5)


def test_wrong_types_are_refused():
    with pytest.raises(TypeError):
        dp.calibrate(dp.Gaussian(1.0), epsilon=1.0, delta=1e-5)
    with pytest.raises(TypeError):
        dp.calibrate(dp.Gaussian, epsilon="1", delta=1e-5)
    with pytest.raises(TypeError):
        dp.calibrate(dp.Gaussian, epsilon=1.0, delta=1e-5, count=1.5)
