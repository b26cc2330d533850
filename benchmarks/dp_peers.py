"""Privacy accounting: an epsilon beside other accountants', on the same composition.

Each row says in its note how far the peer's answer lies from ours, which is certified to nine digits or more: a fast
answer that is looser is no better answer. The peers are dp-accounting's privacy loss distribution at its default grid
and its RDP accountant; Opacus's default accountant (PRV); and prv-accountant, whose two bounds must enclose ours. The
last two are asked for an error of 0.01 in epsilon, the default of Opacus.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from measuring import Row, alternate, at_most, times, version_of
from medcrypt import dp


@dataclass(frozen=True)
class Query:
    """Poisson-sampled Gaussian steps, and a delta."""

    name: str
    sigma: float
    q: float
    steps: int
    delta: float

    @property
    def work(self) -> str:
        return f"epsilon {self.name}: sigma {self.sigma:g}, q {self.q:g}, {self.steps:,} steps"


QUERIES = (
    Query("A", 1.0, 0.01, 1_000, 1e-5),
    Query("B", 0.8, 0.001, 10_000, 1e-6),
    Query("C", 2.0, 0.1, 500, 1e-5),
    Query("D", 4.0, 0.02, 100_000, 1e-7),
    Query("E", 0.5, 1e-4, 1_000_000, 1e-8),
)


@dataclass(frozen=True)
class Peer:
    """Another accountant: its bounds on epsilon, below None where it has none; the ratio to reach (issue 6).

    ``slow`` queries take it many seconds, and are timed once; ``left_out`` ones a minute and more than a gigabyte.
    """

    name: str
    package: str
    bounds: Callable[[Query], tuple[float | None, float]]
    goals: dict[str, float]
    slow: str = ""
    left_out: str = ""


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    repeats = 1 if quick else 3
    for query in QUERIES[:1] if quick else QUERIES:
        for peer in PEERS:
            if query.name in peer.left_out:
                continue
            if version_of(peer.package) is None:
                yield Row.not_installed(query.work, peer.name)
            else:
                yield _compared(query, peer, 1 if query.name in peer.slow else repeats)
    yield from _alone(repeats)
    if not quick:
        yield _calibrating()


def _compared(query: Query, peer: Peer, repeats: int) -> Row:
    answers: list[tuple[float | None, float]] = []
    ours_seconds, their_seconds = alternate(
        lambda: _ours(query), lambda: answers.append(peer.bounds(query)), repeats=repeats
    )
    goal = peer.goals.get(query.name)
    return Row(
        query.work,
        ours_seconds,
        peer=peer.name,
        theirs=their_seconds,
        goal=None if goal is None else times(goal),
        note=_agreement(query, *answers[-1]),
    )


def _agreement(query: Query, below: float | None, above: float) -> str:
    """Say how far the peer's bounds lie from ours, and whether both can be true."""
    low, high = _our_bounds(query)
    words = f"epsilon {high:.10g}; the peer's is {above - high:+.2g}"
    if below is not None:
        words += f" above and {below - low:+.2g} below"
    holds = above >= low and (below is None or below <= high)
    return words if holds else words + ": THEY DO NOT AGREE"


def _alone(repeats: int) -> Iterator[Row]:
    """What no peer does, or none so: one thread, in seconds of the processor."""
    clock = time.process_time
    for query in QUERIES:
        (seconds,) = alternate(lambda query=query: _ours(query), repeats=9, clock=clock)
        yield Row(f"certified {query.work}", seconds, goal=at_most(0.003, "s"), note=_width(query))
    (seconds,) = alternate(_hundred_different, repeats=repeats, clock=clock)
    yield Row("epsilon of 100 different sampled Gaussians", seconds, goal=at_most(0.05, "s"))
    (seconds,) = alternate(_hundred_steps, repeats=repeats, clock=clock)
    yield Row("an epsilon after every step: one step", seconds / 100, goal=at_most(5e-5, "s"))
    (seconds,) = alternate(_calibrated, repeats=repeats, clock=clock)
    yield Row("calibrate sigma to 1e-8: epsilon 2, q 0.01, 1,000 steps", seconds, goal=at_most(0.02, "s"))


def _calibrating() -> Row:
    """The peer's calibration takes many seconds, and is timed once."""
    work, peer = "calibrate sigma: epsilon 2, q 0.01, 1,000 steps", "dp-accounting PLD"
    if version_of("dp-accounting") is None:
        return Row.not_installed(work, peer)
    found: list[float] = []
    ours, theirs = alternate(
        _calibrated,
        lambda: found.append(_calibrated_by_pld()),
        repeats=1,
        least=0.3,  # several calls of ours
        clock=time.process_time,
    )
    sigma = _calibrated()
    note = f"sigma {sigma:.10g}; the peer's is {found[-1] - sigma:+.2g}"
    return Row(work, ours, peer=peer, theirs=theirs, goal=times(500), note=note)


def _ours(query: Query) -> float:
    event = dp.PoissonSampled(query.q, dp.Gaussian(query.sigma))
    return dp.Accountant().compose(event, query.steps).epsilon(query.delta)


def _our_bounds(query: Query) -> tuple[float, float]:
    event = dp.PoissonSampled(query.q, dp.Gaussian(query.sigma))
    return dp.Accountant().compose(event, query.steps).epsilon_bounds(query.delta)


def _width(query: Query) -> str:
    low, high = _our_bounds(query)
    return f"the truth lies within {high - low:.1g} below it"


def _hundred_different() -> float:
    accountant = dp.Accountant()
    for k in range(100):
        accountant.compose(dp.PoissonSampled(0.01 + 1e-4 * k, dp.Gaussian(1.0 + 0.01 * k)), 10)
    return accountant.epsilon(1e-5)


_RUNNING = dp.Accountant()


def _hundred_steps() -> None:
    """An accountant in the middle of a training."""
    step = dp.PoissonSampled(0.01, dp.Gaussian(1.0))
    if not _RUNNING.events:
        _RUNNING.compose(step, 1000).epsilon(1e-5)
    for _ in range(100):
        _RUNNING.compose(step).epsilon(1e-5)


def _calibrated() -> float:
    return dp.calibrate(
        lambda s: dp.PoissonSampled(0.01, dp.Gaussian(s)), count=1_000, epsilon=2.0, delta=1e-5
    )


def _calibrated_by_pld() -> float:
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    def training(sigma: float) -> Any:
        step = dp_accounting.PoissonSampledDpEvent(0.01, dp_accounting.GaussianDpEvent(sigma))
        return dp_accounting.SelfComposedDpEvent(step, 1_000)

    return float(dp_accounting.calibrate_dp_mechanism(PLDAccountant, training, 2.0, 1e-5))


def _pld(query: Query) -> tuple[None, float]:
    from dp_accounting.pld import PLDAccountant

    return None, _of_google(PLDAccountant(), query)


def _rdp(query: Query) -> tuple[None, float]:
    from dp_accounting.rdp import RdpAccountant

    return None, _of_google(RdpAccountant(), query)


def _of_google(accountant: Any, query: Query) -> float:
    import dp_accounting

    event = dp_accounting.PoissonSampledDpEvent(query.q, dp_accounting.GaussianDpEvent(query.sigma))
    return float(accountant.compose(event, query.steps).get_epsilon(query.delta))


def _opacus(query: Query) -> tuple[None, float]:
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(query.sigma, query.q, query.steps)]
    return None, float(accountant.get_epsilon(query.delta))


def _prv(query: Query) -> tuple[float, float]:
    from prv_accountant import PoissonSubsampledGaussianMechanism, PRVAccountant

    accountant = PRVAccountant(
        prvs=[PoissonSubsampledGaussianMechanism(query.q, query.sigma)],
        max_self_compositions=[query.steps],
        eps_error=0.01,
        delta_error=query.delta / 1000.0,
    )
    below, _, above = accountant.compute_epsilon(query.delta, [query.steps])
    return float(below), float(above)


PEERS = (
    Peer("dp-accounting PLD", "dp-accounting", _pld, {"A": 100, "B": 100, "C": 60, "E": 100}),
    Peer("dp-accounting RDP", "dp-accounting", _rdp, {}),
    Peer("Opacus PRV", "opacus", _opacus, dict.fromkeys("ABCDE", 25), slow="DE"),
    Peer("prv-accountant", "prv-accountant", _prv, {}, left_out="DE"),
)
