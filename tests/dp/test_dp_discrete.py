"""Losses on points, against laws written down from their definition in 40 digits and in fractions."""

import functools
import itertools
import math
from fractions import Fraction

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.discrete import SkellamLaw, discrete_loss

mp.mp.dps = 40


@functools.cache
def laws(event):
    """Return the noise's exact log mass, as a function of the integer."""
    match event:
        case dp.DiscreteGaussian(sigma, _):
            edge = int(40 * sigma) + 20
            total = mp.fsum(
                mp.exp(-(mp.mpf(k) ** 2) / (2 * mp.mpf(sigma) ** 2)) for k in range(-edge, edge + 1)
            )
            return lambda k: -(mp.mpf(k) ** 2) / (2 * mp.mpf(sigma) ** 2) - mp.log(total)
        case dp.DiscreteLaplace(scale, _):
            rate = 1 / mp.mpf(scale)
            return lambda k: mp.log(mp.tanh(rate / 2)) - abs(k) * rate
        case dp.Skellam(variance, _):
            bessel = functools.cache(lambda n: mp.log(mp.besseli(n, mp.mpf(variance))) - mp.mpf(variance))
            return lambda k: bessel(abs(k))
    raise AssertionError


NOISES = [
    dp.DiscreteGaussian(1.0, 1),
    dp.DiscreteGaussian(0.2, 1),
    dp.DiscreteGaussian(7.5, 4),
    dp.DiscreteLaplace(1.0, 1),
    dp.DiscreteLaplace(0.3, 2),
    dp.DiscreteLaplace(5.0, 9),
    dp.Skellam(1.0, 1),
    dp.Skellam(0.01, 2),
    dp.Skellam(12.0, 5),
]


def delta_of(loss, epsilon):
    """Return the hockey-stick divergence of a loss on points, with everything missing at infinity."""
    gain = -np.expm1(np.minimum(epsilon - loss.losses, 0.0))
    return float(np.exp(loss.log_masses) @ gain) + loss.infinity + loss.missing


@pytest.mark.parametrize("event", NOISES, ids=str)
@pytest.mark.parametrize("log_missing", [-25.0, -300.0])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_curve_of_noise_on_an_integer_is_its_hockey_stick(event, log_missing, share):
    log_p, s = laws(event), event.sensitivity
    loss = discrete_loss(event, log_missing)
    epsilon = share * float(np.max(loss.losses))
    reach = loss.losses.size + 60 + 40 * int(getattr(event, "scale", 1))
    exact = mp.fsum(
        max(mp.exp(log_p(k)) - mp.exp(epsilon + log_p(k + s)), mp.mpf(0)) for k in range(-reach, reach)
    )
    found = delta_of(loss, epsilon)
    assert found >= float(exact) * (1 - 1e-11)
    assert found <= float(exact) * (1 + 1e-11) + 1.01 * loss.missing
    assert loss.missing <= math.exp(log_missing)


@pytest.mark.parametrize("event", NOISES, ids=str)
def test_points_and_masses_are_as_exact_as_they_claim(event):
    log_p, s = laws(event), event.sensitivity
    loss = discrete_loss(event, -200.0)
    if isinstance(event, dp.DiscreteLaplace):
        points = sorted(loss.losses)
        assert points == pytest.approx([(2 * k - s) / event.scale for k in range(s + 1)], abs=loss.loss_error)
        return
    last = loss.losses.size // 2
    for n in {-last, -last // 2, -s, -1, 0, 1, last // 3, last}:
        mass, point = loss.log_masses[n + last], loss.losses[n + last]
        assert abs(mass - log_p(n)) <= loss.mass_error
        assert abs(point - (log_p(n) - log_p(n + s))) <= loss.loss_error


@pytest.mark.parametrize("event", [*NOISES, dp.PureDP(0.7), dp.RandomizedResponse(0.3, 5)], ids=str)
def test_points_lie_on_the_lattice_that_is_claimed(event):
    loss = discrete_loss(event, -100.0)
    if loss.spacing is None:
        assert isinstance(event, dp.Skellam)
        return
    steps = (loss.losses - loss.losses[0]) / loss.spacing
    assert np.abs(steps - np.rint(steps)).max() < 1e-9


@given(
    st.one_of(
        st.builds(dp.DiscreteGaussian, st.floats(0.05, 300.0), st.integers(1, 500)),
        st.builds(dp.DiscreteLaplace, st.floats(0.02, 300.0), st.integers(1, 3000)),
        st.builds(dp.Skellam, st.floats(1e-3, 3e3), st.integers(1, 200)),
        st.builds(dp.RandomizedResponse, st.floats(1e-6, 0.999), st.integers(2, 1000)),
        st.builds(dp.ApproximateDP, st.floats(0.0, 30.0), st.floats(1e-9, 0.99)),
    ),
    st.floats(-700.0, -5.0),
)
def test_all_masses_together_make_one(event, log_missing):
    loss = discrete_loss(event, log_missing)
    total = math.fsum(np.exp(loss.log_masses)) + loss.infinity
    assert total <= 1 + 2 * loss.mass_error
    assert total + loss.missing >= 1 - 2 * loss.mass_error
    assert loss.missing <= math.exp(log_missing) * (1 + 1e-9)
    # The law of Q is that of P, reweighted: nothing of it exceeds one either.
    assert math.fsum(np.exp(loss.log_masses - loss.losses)) <= 1 + 1e-9


@given(st.integers(1, 29), st.integers(2, 6), st.fractions(1, 40, max_denominator=50))
def test_randomised_response_equals_its_table_of_fractions(parts, categories, ratio):
    noise = Fraction(parts, 30)
    spread = noise / categories
    truth = [1 - noise + spread] + [spread] * (categories - 1)
    other = [spread, 1 - noise + spread] + [spread] * (categories - 2)
    exact = sum(max(p - ratio * q, Fraction(0)) for p, q in zip(truth, other, strict=True))
    loss = discrete_loss(dp.RandomizedResponse(float(noise), categories), -50.0)
    assert delta_of(loss, math.log(ratio)) == pytest.approx(float(exact), abs=1e-14)


@given(st.fractions(1, 9, max_denominator=12), st.fractions(0, Fraction(1, 2), max_denominator=40), st.data())
def test_no_mechanism_of_epsilon_delta_exceeds_its_worst_one(ratio, delta, data):
    """Any two laws on four outputs that are (log ratio, delta)-close have a lower curve, in fractions."""
    sizes = st.lists(st.integers(0, 20), min_size=4, max_size=4).filter(any)
    p, q = ([Fraction(part, sum(parts)) for part in parts] for parts in (data.draw(sizes), data.draw(sizes)))
    # Mix both towards their mean until they are close enough.
    mean = [(a + b) / 2 for a, b in zip(p, q, strict=True)]

    def gap(a, b, factor):
        return sum(max(x - factor * y, Fraction(0)) for x, y in zip(a, b, strict=True))

    while max(gap(p, q, ratio), gap(q, p, ratio)) > delta:
        p = [(a + m) / 2 for a, m in zip(p, mean, strict=True)]
        q = [(b + m) / 2 for b, m in zip(q, mean, strict=True)]
        if sum(abs(a - b) for a, b in zip(p, q, strict=True)) < Fraction(1, 10**6):
            return
    loss = discrete_loss(dp.ApproximateDP(math.log(ratio), float(delta)), -50.0)
    for factor in (Fraction(1), Fraction(3, 2), ratio, 2 * ratio):
        worst = delta if loss is None else delta_of(loss, math.log(factor))
        assert float(gap(p, q, factor)) <= worst + 1e-14


def test_the_worst_shift_of_an_integer_is_the_largest():
    for build in (
        lambda s: dp.DiscreteGaussian(2.0, s),
        lambda s: dp.DiscreteLaplace(2.0, s),
        lambda s: dp.Skellam(4.0, s),
    ):
        for epsilon in (0.0, 0.4, 2.0):
            curve = [delta_of(discrete_loss(build(s), -300.0), epsilon) for s in range(1, 6)]
            assert all(low <= high * (1 + 1e-12) for low, high in itertools.pairwise(curve))


@pytest.mark.parametrize("variance", [1e-3, 0.5, 1.0, 40.0, 3e3])
def test_skellam_masses_are_bessel_functions(variance):
    law = SkellamLaw.of(variance, 200)
    for n in (0, 1, 7, 50, 200):
        exact = mp.log(mp.besseli(n, mp.mpf(variance))) - mp.mpf(variance)
        assert abs(law.log_pmf[n] - exact) <= 1e-15 * (8 + abs(exact))


def test_noise_too_wide_for_a_list_is_refused():
    for event in (dp.DiscreteGaussian(1e9), dp.DiscreteLaplace(1e9, 10**9), dp.Skellam(1e18)):
        with pytest.raises(ValueError, match="points"):
            discrete_loss(event, -50.0)


def test_what_depends_on_no_record_has_no_loss():
    assert discrete_loss(dp.PureDP(0.0), -50.0) is None
    assert discrete_loss(dp.RandomizedResponse(1.0, 3), -50.0) is None
    assert discrete_loss(dp.ApproximateDP(0.0, 0.25), -50.0).infinity == 0.25
    with pytest.raises(TypeError):
        discrete_loss(dp.Gaussian(1.0), -50.0)
