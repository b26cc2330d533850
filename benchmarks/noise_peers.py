"""Integer noise beside OpenDP, whose samplers are exact too, and numpy's normal, which is neither exact nor secure."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from measuring import Row, alternate, at_least, kernels, times, version_of
from medcrypt import dp
from medcrypt.dp.noise import bessel, gaussian, laplace

DRAWS = 1_000_000
OPENDP_DRAWS = 5_000

SMALL, ANY, PORTABLE = 1e8, 2e7, 1e7  # draws a second on one core (issue 7)

LAWS: tuple[tuple[str, Callable[..., object], float, float], ...] = (
    ("rounded Gaussian, sigma 1", dp.noise.rounded_gaussian, 1.0, SMALL),
    ("rounded Gaussian, sigma 4", dp.noise.rounded_gaussian, 4.0, SMALL),
    ("rounded Gaussian, sigma 1e6", dp.noise.rounded_gaussian, 1e6, ANY),
    ("discrete Gaussian, sigma 4", dp.noise.discrete_gaussian, 4.0, SMALL),
    ("discrete Gaussian, sigma 32", dp.noise.discrete_gaussian, 32.0, ANY),
    ("discrete Gaussian, sigma 1e6", dp.noise.discrete_gaussian, 1e6, ANY),
    ("discrete Laplace, scale 2", dp.noise.discrete_laplace, 2.0, SMALL),
    ("discrete Laplace, scale 1e6", dp.noise.discrete_laplace, 1e6, ANY),
    ("Skellam, variance 2", dp.noise.skellam, 2.0, 1e7),
    ("Skellam, variance 1e3", dp.noise.skellam, 1e3, 1e7),
    ("Skellam, variance 1e6", dp.noise.skellam, 1e6, 1e7),
)


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the samplers; every figure is draws a second of processor time, on one core."""
    repeats = 1 if quick else 5
    for name, draw, parameter, goal in LAWS:
        yield _alone(name, draw, parameter, goal, repeats)
    with kernels("portable"):
        _forget_samplers()
        for name, draw, parameter, _ in LAWS:
            yield _alone(f"{name}, portable", draw, parameter, PORTABLE, repeats)
    _forget_samplers()
    yield from _beside_numpy(repeats)
    yield from _beside_opendp(repeats)


def _alone(name: str, draw: Callable[..., object], parameter: float, goal: float, repeats: int) -> Row:
    (seconds,) = alternate(
        lambda: draw(parameter, out=_OUT), repeats=repeats, clock=time.process_time, least=0.02
    )
    return Row(name, DRAWS / seconds, unit="1/s", goal=at_least(goal, "1/s"))


def _beside_numpy(repeats: int) -> Iterator[Row]:
    generator, normal = np.random.default_rng(), np.empty(DRAWS)
    for sigma in (1.0, 4.0):
        ours, theirs = alternate(
            lambda sigma=sigma: dp.noise.rounded_gaussian(sigma, out=_OUT),
            lambda: generator.standard_normal(out=normal),
            repeats=repeats,
            clock=time.process_time,
        )
        yield Row(
            f"rounded Gaussian, sigma {sigma:g}",
            DRAWS / ours,
            unit="1/s",
            peer="numpy standard_normal",
            theirs=DRAWS / theirs,
            goal=times(1),
            note="numpy's is floating point from a generator that can be predicted",
        )


def _beside_opendp(repeats: int) -> Iterator[Row]:
    if version_of("opendp") is None:
        yield Row.not_installed("discrete Gaussian", "OpenDP")
        return
    import opendp.prelude as opendp

    opendp.enable_features("contrib")
    zeros = [0] * OPENDP_DRAWS
    domain = opendp.vector_domain(opendp.atom_domain(T=int))
    for name, scale, goal in (("gaussian", 4.0, 1000), ("gaussian", 1e6, 100), ("laplace", 1e6, 100)):
        ours = dp.noise.discrete_gaussian if name == "gaussian" else dp.noise.discrete_laplace
        metric = opendp.l2_distance(T=float) if name == "gaussian" else opendp.l1_distance(T=int)
        make = opendp.m.make_gaussian if name == "gaussian" else opendp.m.make_laplace
        measurement = make(domain, metric, scale=scale)
        our_seconds, their_seconds = alternate(
            lambda ours=ours, scale=scale: ours(scale, out=_OUT),
            lambda measurement=measurement: measurement(zeros),
            repeats=repeats,
            clock=time.process_time,
        )
        yield Row(
            f"discrete {name.capitalize()}, scale {scale:g}",
            DRAWS / our_seconds,
            unit="1/s",
            peer="OpenDP",
            theirs=OPENDP_DRAWS / their_seconds,
            goal=times(goal),
        )


def _forget_samplers() -> None:
    """Samplers are kept with the kernel path that they were made for."""
    gaussian.discrete_gaussian_sampler.cache_clear()
    gaussian.rounded_gaussian_sampler.cache_clear()
    laplace.laplace_sampler.cache_clear()
    bessel.skellam_sampler.cache_clear()


_OUT = np.empty(DRAWS, dtype=np.int64)
