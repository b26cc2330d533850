"""Measuring fairly: contestants take turns in one process, and a row says what came of it.

A clock frequency that drifts, or a neighbour that wakes up, then slows both sides alike, and the ratio of
two medians stays meaningful where either number alone would not.
"""

import contextlib
import gc
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Any

__all__ = [
    "Goal",
    "Metered",
    "Row",
    "alternate",
    "at_least",
    "at_most",
    "batch_size",
    "cores",
    "kernels",
    "on_cores",
    "times",
    "version_of",
]


@dataclass(frozen=True)
class Goal:
    """What a row is meant to reach: the words that are printed and the test that decides."""

    text: str
    holds: Callable[["Row"], bool | None]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    work
        What was done, on how much of what.
    ours, theirs
        The measured value on either side, in `unit`; None where there is nothing to measure.
    unit
        "s" and "bytes" count as better when smaller, a rate such as "GB/s" or "1/s" when larger.
    peer
        Who is on the other side; empty where a row stands alone.
    goal
        From `times`, `at_least` or `at_most`; None where the row only informs.
    note
        Anything that a reader must know to take the figure rightly.
    """

    work: str
    ours: float | None
    unit: str = "s"
    peer: str = ""
    theirs: float | None = None
    goal: Goal | None = None
    note: str = ""

    @classmethod
    def not_installed(cls, work: str, peer: str) -> "Row":
        """Say that a peer is absent, rather than leave it out silently."""
        return cls(work, None, peer=peer, note="not installed")

    @property
    def ratio(self) -> float | None:
        """How many times better ours is, whichever way the unit points."""
        if not self.ours or not self.theirs:
            return None
        return self.ours / self.theirs if self.unit.endswith("/s") else self.theirs / self.ours

    @property
    def met(self) -> bool | None:
        """Whether the goal was reached; None without a goal or without the figure that it needs."""
        return None if self.goal is None else self.goal.holds(self)

    def as_json(self) -> dict[str, Any]:
        """The row as plain values."""
        return {
            "work": self.work,
            "ours": self.ours,
            "unit": self.unit,
            "peer": self.peer,
            "theirs": self.theirs,
            "ratio": self.ratio,
            "goal": "" if self.goal is None else self.goal.text,
            "met": self.met,
            "note": self.note,
        }


def times(factor: float) -> Goal:
    """Ours is at least `factor` times as good as the peer's."""
    return Goal(f">= {factor:g}x", lambda row: None if row.ratio is None else row.ratio >= factor)


def at_least(value: float, unit: str) -> Goal:
    """Ours reaches `value`."""
    return Goal(f">= {value:g} {unit}", lambda row: None if row.ours is None else row.ours >= value)


def at_most(value: float, unit: str) -> Goal:
    """Ours stays within `value`."""
    return Goal(f"<= {value:g} {unit}", lambda row: None if row.ours is None else row.ours <= value)


def alternate(
    *calls: Callable[[], object],
    repeats: int = 7,
    least: float = 0.02,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, ...]:
    """Time `calls` in turns and return the median seconds for one call of each.

    Parameters
    ----------
    calls
        The contestants, ours first by custom.
    repeats
        How many rounds; each round times every contestant once.
    least
        Seconds that one timing lasts at least: quick calls are repeated inside it. Finding that number
        also warms up caches, pages and clocks.
    clock
        What to read the seconds from. `time.process_time` leaves out what other processes took, which on a
        busy machine hits long calls more often than short ones; it suits work in one thread only.
    """
    batches = [(call, batch_size(call, least, clock)) for call in calls]
    rounds = [[_seconds(call, count, clock) for call, count in batches] for _ in range(repeats)]
    return tuple(statistics.median(column) for column in zip(*rounds, strict=True))


def batch_size(
    call: Callable[[], object], least: float, clock: Callable[[], float] = time.perf_counter
) -> int:
    """How many calls in a row last at least `least` seconds."""
    count = 1
    while (spent := count * _seconds(call, count, clock)) < least:
        # Aim past the mark, but never trust a first, cold reading for more than a tenfold step.
        count = max(count + 1, min(10 * count, int(1.2 * count * least / max(spent, 1e-9))))
    return count


def _seconds(call: Callable[[], object], count: int, clock: Callable[[], float]) -> float:
    """Seconds for one of `count` calls in a row, with the garbage collector held off as timeit does."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        for _ in range(count):
            call()
        return (clock() - start) / count
    finally:
        if collecting:
            gc.enable()


class Metered:
    """A call that also reads the clock on the wall, for rounds that are timed by the processor's.

    Parameters
    ----------
    call
        What to do.
    """

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self._seconds: list[float] = []

    def __call__(self) -> object:
        start = time.perf_counter()
        result = self._call()
        self._seconds.append(time.perf_counter() - start)
        return result

    @property
    def median(self) -> float:
        """Median seconds of one call."""
        return statistics.median(self._seconds)


@contextlib.contextmanager
def kernels(path: str) -> Iterator[None]:
    """Force a kernel path for what is made inside."""
    before = os.environ.get("MEDCRYPT_KERNELS")
    os.environ["MEDCRYPT_KERNELS"] = path
    try:
        yield
    finally:
        if before is None:
            del os.environ["MEDCRYPT_KERNELS"]
        else:
            os.environ["MEDCRYPT_KERNELS"] = before


def cores() -> int:
    """How many processors this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Let this thread, and those that it starts inside, run on `count` processors only (Linux; else on all)."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-count:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def version_of(distribution: str) -> str | None:
    """The installed version of a package, or None."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
