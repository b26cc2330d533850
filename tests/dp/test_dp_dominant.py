"""One rare output decides: bounds against nested integrals and expansions at many digits."""

import functools
import math

import mpmath as mp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medcrypt import dp
from medcrypt.dp.composition import Composition
from medcrypt.dp.dominant import DominantStep, NotRareError
from medcrypt.dp.losses import SampledGaussianLoss

# (sigma, q, steps, delta): where no line of integration finds more than one digit.
RARE = [
    (0.9109131649463467, 1.0143138878403389e-07, 55, 3.51e-98),
    (0.6369944481852613, 3.123845573346151e-08, 12_605, 8.55e-40),
    (1.1840297860738982, 2.226187936940967e-06, 52_689, 1.12e-44),
    (1.502855903401322, 5.83414012352438e-07, 1_799, 3.64e-100),
    (0.5873883869667371, 1.6373648842451878e-07, 9_605, 4.27e-38),
    (0.631313005978586, 9.307934010634339e-06, 10, 3.9e-25),
]


class Law:
    """One step at 60 digits: the density with a record, and the loss."""

    def __init__(self, sigma: float, q: float) -> None:
        self.sigma, self.q = mp.mpf(sigma), mp.mpf(q)

    def ratio(self, x: mp.mpf) -> mp.mpf:
        return 1 - self.q + self.q * mp.exp((2 * x - 1) / (2 * self.sigma**2))

    def loss(self, x: mp.mpf) -> mp.mpf:
        return mp.log(self.ratio(x))

    def rise(self, x: mp.mpf) -> mp.mpf:
        """Return the derivative of the loss."""
        return self.q * mp.exp((2 * x - 1) / (2 * self.sigma**2)) / self.ratio(x) / self.sigma**2

    def density(self, x: mp.mpf) -> mp.mpf:
        return mp.npdf(x, 0, self.sigma) * self.ratio(x)

    def output(self, loss: mp.mpf) -> mp.mpf:
        return mp.mpf(1) / 2 + self.sigma**2 * mp.log((mp.exp(loss) - 1 + self.q) / self.q)

    def above(self, x: mp.mpf) -> mp.mpf:
        return (1 - self.q) * self.above_without(x) + self.q * self.above_without(x - 1)

    def above_without(self, x: mp.mpf) -> mp.mpf:
        return mp.erfc(x / (self.sigma * mp.sqrt(2))) / 2

    def once(self, epsilon: mp.mpf) -> mp.mpf:
        """Return delta of one step, at any epsilon > log(1 - q)."""
        x = self.output(epsilon)
        return self.above(x) - mp.exp(epsilon) * self.above_without(x)

    def panels(self, low: mp.mpf, high: mp.mpf) -> list[mp.mpf]:
        count = int(mp.ceil((high - low) / self.sigma)) + 1
        return [low + (high - low) * n / count for n in range(count + 1)]


@functools.cache
def one_large_step(sigma: float, q: float, steps: int, epsilon: float, cut: float) -> mp.mpf:
    """Return the part of delta in which one step is above the cut, from the moments of the others' loss S.

    As a function of S, T times the mean over the large step is smooth: three terms of its Taylor series suffice.
    """
    with mp.workdps(60):
        law, g, others = Law(sigma, q), mp.mpf(cut), steps - 1
        panels = law.panels(-16 * law.sigma, g)
        first, second = (mp.quad(lambda x, n=n: law.density(x) * law.loss(x) ** n, panels) for n in (1, 2))
        mass = 1 - law.above(g)
        moments = (
            mass**others,
            others * mass ** (others - 1) * first,
            others * mass ** (others - 1) * second + others * (others - 1) * mass ** (others - 2) * first**2,
        )
        # Of F(s) = P(x > y) - e^(eps - s) Q(x > y), y the output of loss eps - s.
        y = law.output(mp.mpf(epsilon))
        slope = mp.exp(epsilon) * law.above_without(y)
        bend = mp.exp(epsilon) * mp.npdf(y, 0, law.sigma) / law.rise(y) - slope
        terms = law.once(mp.mpf(epsilon)), slope, bend / 2
        return steps * mp.fsum(m * term for m, term in zip(moments, terms, strict=True))


@functools.cache
def twice(sigma: float, q: float, epsilon: float) -> mp.mpf:
    """Return delta of two steps: the mean over the first of the curve of the second, at any epsilon."""
    with mp.workdps(40):
        law = Law(sigma, q)
        floor = mp.log1p(-law.q)

        def inner(x):
            left = mp.mpf(epsilon) - law.loss(x)
            return law.density(x) * (law.once(left) if left > floor else 1 - mp.exp(left))

        # Both steps' corners: where what is left is 0, and where it is the least loss.
        corners = [law.output(mp.mpf(epsilon)), law.output(mp.mpf(epsilon) - floor)]
        points = sorted({*law.panels(-18 * law.sigma, 1 + 30 * law.sigma), *corners})
        return mp.quad(inner, points)


def curve(sigma: float, q: float, steps: int, delta: float) -> DominantStep:
    return DominantStep(SampledGaussianLoss(sigma, q, True), steps, math.log(delta))


def middle(sigma: float, q: float, steps: int, delta: float) -> float:
    composition = Composition([SampledGaussianLoss(sigma, q, True)])
    composition.run([steps])
    low, high = composition.epsilon_bounds(math.log(delta))
    return 0.5 * (low + high)


@pytest.mark.parametrize(("sigma", "q", "steps", "delta"), RARE)
def test_the_expansion_at_60_digits_lies_between_the_bounds(sigma, q, steps, delta):
    found, epsilon = curve(sigma, q, steps, delta), middle(sigma, q, steps, delta)
    low, high = found.bounds(epsilon)
    truth = one_large_step(sigma, q, steps, epsilon, found._cut)
    assert low <= float(mp.log(truth))
    assert float(mp.log(truth + found._pairs)) <= high
    assert high - low < 0.01


@pytest.mark.parametrize(
    ("sigma", "q", "epsilon"),
    [(0.7, 1e-6, 2.0), (1.5, 6e-6, 0.16), (0.4, 1e-7, 6.0), (1.0, 1e-4, 1.0), (3.0, 1e-5, 1e-3)],
)
def test_two_steps_are_enclosed_by_the_nested_integral(sigma, q, epsilon):
    truth = float(mp.log(twice(sigma, q, epsilon)))
    for shift in (0.0, 5.0, 20.0):
        # The cut is chosen for other deltas as well: bounds may be wide then, never wrong.
        low, high = curve(sigma, q, 2, math.exp(min(truth + shift, -5.0))).bounds(epsilon)
        assert low <= truth <= high


def test_a_spread_without_charge_is_caught(monkeypatch):
    sigma, q, steps, delta = RARE[2]
    found, epsilon = curve(sigma, q, steps, delta), middle(sigma, q, steps, delta)
    truth = float(mp.log(one_large_step(sigma, q, steps, epsilon, found._cut)))
    monkeypatch.setattr(DominantStep, "_spread", lambda self, moved: 0.0)
    assert found.bounds(epsilon)[1] < truth


def test_two_large_steps_without_charge_are_caught():
    """With a low cut the pairs count: nearly each large enough step has another large one."""
    sigma, q, epsilon = 0.7, 1e-6, 2.0
    truth = float(mp.log(twice(sigma, q, epsilon)))
    found = curve(sigma, q, 2, 3000.0)
    low, high = found.bounds(epsilon)
    assert low <= truth <= high
    found._pairs = 0.0
    assert found.bounds(epsilon)[1] < truth


def test_outputs_up_to_the_cut_without_charge_are_caught(monkeypatch):
    """At a large epsilon two steps of half of it are more likely than one of all of it."""
    sigma, q, epsilon = 1.0, 0.02, 12.0
    truth = float(mp.log(twice(sigma, q, epsilon)))
    found = curve(sigma, q, 2, math.exp(truth))
    low, high = found.bounds(epsilon)
    assert low <= truth <= high
    monkeypatch.setattr(DominantStep, "_hockey_stick", lambda self, k, steps: 0.0)
    assert found.bounds(epsilon)[1] < truth


@pytest.mark.parametrize("factor", [0.999, 1.001])
def test_noise_that_is_off_by_a_thousandth_is_caught(factor):
    sigma, q, epsilon = 0.7, 1e-6, 2.0
    truth = float(mp.log(twice(sigma, q, epsilon)))
    low, high = curve(sigma * factor, q, 2, math.exp(truth)).bounds(epsilon)
    assert not low <= truth <= high


def test_the_accountant_is_narrow_where_one_rare_output_decides():
    for sigma, q, steps, delta in RARE[:2]:
        accountant = dp.Accountant("add_or_remove_one")
        accountant.compose(dp.PoissonSampled(q, dp.Gaussian(sigma)), steps)
        low, high = accountant.epsilon_bounds(delta)
        assert 1.0 < low < high <= low + 1e-6
        under, over = accountant.delta_bounds(high)
        assert under <= delta * (1.0 + 1e-12)
        assert under < over < under * (1.0 + 1e-4)


@pytest.mark.parametrize(
    ("loss", "steps", "log_delta"),
    [
        (SampledGaussianLoss(1.0, 1e-6, False), 5, -50.0),
        (SampledGaussianLoss(1.0, 1e-6, True), 1, -50.0),
        (SampledGaussianLoss(1.0, 1e-6, True), 5, -600.0),
        (SampledGaussianLoss(1.0, 0.5, True), 1000, -50.0),
        (SampledGaussianLoss(0.01, 1e-6, True), 5, -50.0),
    ],
)
def test_what_no_rare_output_decides_is_refused(loss, steps, log_delta):
    with pytest.raises(NotRareError):
        DominantStep(loss, steps, log_delta)


@given(
    sigma=st.floats(0.2, 50.0),
    q=st.floats(math.log(1e-8), math.log(0.1)).map(math.exp),
    steps=st.floats(math.log(2.0), math.log(1e9)).map(math.exp).map(round),
    log_delta=st.floats(-230.0, -1.0),
    epsilon=st.floats(math.log(1e-8), math.log(1000.0)).map(math.exp),
)
@settings(max_examples=25)
def test_no_lower_bound_is_above_the_bound_that_always_holds(sigma, q, steps, log_delta, epsilon):
    loss = SampledGaussianLoss(sigma, q, True)
    try:
        low, high = DominantStep(loss, steps, log_delta).bounds(epsilon)
    except NotRareError:
        return
    assert low <= high <= 0.0
    whole = Composition([loss])
    whole.run([steps])
    assert low <= whole.chernoff_log_delta(epsilon) + 1e-9
