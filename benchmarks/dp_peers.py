"""Privacy accounting: an epsilon beside dp-accounting's, on the same composition.

Each row says how far both upper bounds lie from each other in its note: a fast answer that is looser is
no better answer. The peers are dp-accounting's privacy loss distribution at its default grid, and its
RDP accountant.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from measuring import Row, alternate, at_most, times, version_of
from medcrypt import dp


@dataclass(frozen=True)
class Query:
    """Poisson-sampled Gaussian steps, a delta, and the ratio to reach over dp-accounting's PLD (issue 6)."""

    name: str
    sigma: float
    q: float
    steps: int
    delta: float
    goal: float | None

    @property
    def work(self) -> str:
        return f"epsilon {self.name}: sigma {self.sigma:g}, q {self.q:g}, {self.steps:,} steps"


QUERIES = (
    Query("A", 1.0, 0.01, 1_000, 1e-5, 100),
    Query("B", 0.8, 0.001, 10_000, 1e-6, 100),
    Query("C", 2.0, 0.1, 500, 1e-5, 60),
    Query("D", 4.0, 0.02, 100_000, 1e-7, None),
    Query("E", 0.5, 1e-4, 1_000_000, 1e-8, 100),
)


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of this pillar."""
    repeats = 1 if quick else 3
    installed = version_of("dp-accounting") is not None
    for query in QUERIES[:1] if quick else QUERIES:
        if not installed:
            yield Row.not_installed(query.work, "dp-accounting")
            continue
        for peer, theirs, goal in (
            ("dp-accounting PLD", _their_pld, query.goal),
            ("dp-accounting RDP", _their_rdp, None),
        ):
            yield _compared(query, peer, theirs, goal, repeats)
    yield from _alone(repeats)


def _compared(
    query: Query, peer: str, theirs: Callable[[Query], float], goal: float | None, repeats: int
) -> Row:
    ours_seconds, their_seconds = alternate(lambda: _ours(query), lambda: theirs(query), repeats=repeats)
    epsilon = _ours(query)
    return Row(
        query.work,
        ours_seconds,
        peer=peer,
        theirs=their_seconds,
        goal=None if goal is None else times(goal),
        note=f"epsilon {epsilon:.10g}; the peer's is {theirs(query) - epsilon:+.2g}",
    )


def _alone(repeats: int) -> Iterator[Row]:
    """What has no peer installed here."""
    for query in QUERIES:
        (seconds,) = alternate(lambda query=query: _ours(query), repeats=9)
        yield Row(f"certified {query.work}", seconds, goal=at_most(0.003, "s"), note=_width(query))
    (seconds,) = alternate(_hundred_different, repeats=repeats)
    yield Row("epsilon of 100 different sampled Gaussians", seconds, goal=at_most(0.05, "s"))
    (seconds,) = alternate(_hundred_steps, repeats=repeats)
    yield Row("an epsilon after every step: one step", seconds / 100, goal=at_most(5e-5, "s"))
    (seconds,) = alternate(_calibrated, repeats=repeats)
    yield Row("calibrate sigma to 1e-8: epsilon 2, q 0.01, 1,000 steps", seconds, goal=at_most(0.02, "s"))


def _ours(query: Query) -> float:
    event = dp.PoissonSampled(query.q, dp.Gaussian(query.sigma))
    return dp.Accountant().compose(event, query.steps).epsilon(query.delta)


def _width(query: Query) -> str:
    event = dp.PoissonSampled(query.q, dp.Gaussian(query.sigma))
    low, high = dp.Accountant().compose(event, query.steps).epsilon_bounds(query.delta)
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


def _their_pld(query: Query) -> float:
    from dp_accounting.pld import PLDAccountant

    return _their_epsilon(PLDAccountant(), query)


def _their_rdp(query: Query) -> float:
    from dp_accounting.rdp import RdpAccountant

    return _their_epsilon(RdpAccountant(), query)


def _their_epsilon(accountant: Any, query: Query) -> float:
    import dp_accounting

    event = dp_accounting.PoissonSampledDpEvent(query.q, dp_accounting.GaussianDpEvent(query.sigma))
    return float(accountant.compose(event, query.steps).get_epsilon(query.delta))
