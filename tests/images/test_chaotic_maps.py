"""What the maps are known for: exponents, cycles, windows of order."""

import math

import numpy as np
import pytest

from medcrypt.images.chaotic import maps
from medcrypt.images.chaotic.maps import Map, diagram


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(
    ("name", "parameters", "exponent", "tolerance"),
    [
        ("logistic", {}, math.log(2), 0.01),
        ("logistic", {"r": 3.7}, 0.354, 0.02),
        ("tent", {}, math.log(2), 1e-6),
        ("tent", {"mu": 1.5}, math.log(1.5), 1e-6),
        ("piecewise", {"p": 0.3}, -0.6 * math.log(0.3) - 0.4 * math.log(0.2), 0.02),
        ("henon", {}, 0.419, 0.01),  # Grassberger and Procaccia 1983
        ("cat", {}, math.log((3 + math.sqrt(5)) / 2), 0.001),
        ("baker", {}, math.log(2), 0.001),
    ],
)
def test_lyapunov_exponents_that_are_known(name, parameters, exponent, tolerance, bits):
    assert Map(name, bits=bits, **parameters).lyapunov() == pytest.approx(exponent, abs=tolerance)


def euler_exponent(rates, step, time):
    """Largest exponent of Euler's method in floating point, from two orbits that are drawn together again and again."""
    x = np.array([[1.0], [2.0], [3.0]]) + np.arange(8) / 10
    total, apart = 0.0, 1e-7
    other = x + apart / math.sqrt(3)
    for i in range(int(time / step)):
        x, other = x + step * rates(*x), other + step * rates(*other)
        distance = np.sqrt(((other - x) ** 2).sum(axis=0))
        other = x + (other - x) * apart / distance
        total += np.log(distance / apart).mean() if i * step > time / 5 else 0
    return total / (0.8 * time)


def lorenz(x, y, z):
    return np.stack([10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z])


def chen(x, y, z):
    return np.stack([35 * (y - x), -7 * x - x * z + 28 * y, x * y - 3 * z])


@pytest.mark.parametrize(("rates", "step"), [(lorenz, 2**-8), (chen, 2**-10)])
def test_the_exponents_of_the_flows_are_those_of_euler_in_floating_point(rates, step):
    found = Map(rates.__name__).lyapunov(int(60 / step), lanes=8, skip=int(15 / step)) / step
    assert found == pytest.approx(euler_exponent(rates, step, 75), rel=0.08)


def test_orbits_draw_together_where_there_is_order():
    assert Map("logistic", r=3.2).lyapunov() < -0.5
    assert Map("henon", a=0.5).lyapunov() < -0.1


@pytest.mark.parametrize("name", maps.NAMES)
def test_every_map_is_chaotic_with_its_usual_parameters(name):
    chosen = Map(name)
    assert chosen.lyapunov() > 0.001
    orbit = chosen.to_real(chosen.orbit(chosen.start(16), 500, skip=500))
    assert np.ptp(orbit[:, 0], axis=0).min() > 0.5


@pytest.mark.parametrize("name", maps.NAMES)
def test_orbits_do_not_depend_on_how_they_are_cut(name):
    chosen = Map(name, bits=64)
    start = chosen.start(5)
    whole = chosen.orbit(start, 12)
    assert np.array_equal(chosen.orbit(start, 3, skip=2, every=3), whole[[4, 7, 10]])
    assert np.array_equal(chosen.orbit(whole[3], 8), whole[4:])


@pytest.mark.parametrize("name", ["logistic", "sine", "piecewise", "henon"])
def test_orbits_repeat_soon_in_32_bits(name):
    lead, length = Map(name).cycle(most=1 << 24)
    assert 0 < length < 2**24  # of 2^32, or 2^64 for two coordinates
    chosen = Map(name)
    start = chosen.start(1)
    (meets,) = chosen.orbit(start, 1, skip=lead - 1) if lead > 1 else (start,)
    assert np.array_equal(chosen.orbit(meets, 1, skip=length - 1)[0], meets)


def test_the_baker_only_turns_the_bits():
    assert Map("baker", bits=64).cycle() == (0, 128)


def test_the_logistic_map_doubles_its_period():
    found = diagram("logistic", "r", [2.8, 3.2, 3.5, 3.83, 3.99], samples=240)
    assert found.points.shape == (240, 5)
    counts = [np.unique(column.round(4)).size for column in found.points.T]
    assert counts[:4] == [1, 2, 4, 3]
    assert counts[4] > 200
    assert found.points[0, 0] == pytest.approx(1 - 1 / 2.8, abs=1e-6)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("name", maps.NAMES)
def test_every_parameter_of_every_map_has_a_diagram(name, bits):
    for parameter, (usual,) in Map(name).parameters.items():
        found = diagram(name, parameter, [0.5 * usual, usual], samples=20, skip=50, bits=bits)
        assert found.points.shape == (20, 2)
        assert np.unique(found.points[:, 1]).size > 10  # the usual value is chaotic
        assert not np.array_equal(found.points[:, 0], found.points[:, 1])


def test_uncoupled_sites_of_a_lattice_go_the_logistic_way():
    found = diagram("lattice", "r", [3.2, 3.5], epsilon=0.0, samples=64)
    alone = diagram("logistic", "r", [3.2, 3.5], samples=64)
    for column, logistic in zip(found.points.T, alone.points.T, strict=True):
        assert np.unique(column.round(4)).tolist() == np.unique(logistic.round(4)).tolist()


def test_a_diagram_draws_on_what_it_is_given():
    drawn = []

    class Axes:
        def plot(self, x, y, *_, **__):
            drawn.append((x.shape, y.shape))

        def set_xlabel(self, text):
            drawn.append(text)

        set_title = set_xlabel

    diagram("tent", "mu", [1.2, 1.9], samples=10).draw(Axes())
    assert drawn == [((20,), (20,)), "mu", "tent map"]


def test_lanes_may_have_parameters_of_their_own():
    chosen = Map("logistic", r=[3.2, 4.0])
    both = chosen.orbit(chosen.start(2), 50)
    for lane, r in enumerate((3.2, 4.0)):
        alone = Map("logistic", r=r).orbit(chosen.start(2)[:, lane : lane + 1], 50)
        assert np.array_equal(both[:, :, lane : lane + 1], alone)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="unknown map"):
        Map("horseshoe")
    with pytest.raises(ValueError, match="32 or 64"):
        Map("tent", bits=16)
    with pytest.raises(ValueError, match="no parameter"):
        Map("tent", r=3)
    with pytest.raises(ValueError, match="runs from"):
        Map("logistic", r=4.1)
    with pytest.raises(ValueError, match="runs from"):
        Map("logistic", r=math.nan)
    with pytest.raises(TypeError, match="uint32"):
        Map("tent").orbit(np.zeros((1, 1)), 1)
    with pytest.raises(ValueError, match="shape"):
        Map("henon").orbit(np.zeros((1, 1), np.uint32), 1)
    with pytest.raises(ValueError, match="lanes"):
        Map("tent", mu=[1, 2, 1.5]).orbit(Map("tent").start(2), 1)
    with pytest.raises(ValueError, match="one lane"):
        Map("tent").cycle(Map("tent").start(2))
    with pytest.raises(ValueError, match="no parameter"):
        diagram("lattice", "mu", [0.1, 0.2])
