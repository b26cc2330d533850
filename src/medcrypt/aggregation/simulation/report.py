"""What a simulated round cost, by role and step, and how it ended."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.quantisation import Aggregate
from medcrypt.errors import ProtocolError

__all__ = ["Meter", "Refusal", "Report", "Step"]


@dataclass
class Step:
    """What one role did at one step of the protocol, all its parties together.

    Parameters
    ----------
    role, name
        Who, and at what.
    parties
        How many of them took part.
    seconds
        Wall time of all of them, one after the other.
    sent
        Bytes that left them.
    """

    role: str
    name: str
    parties: int = 0
    seconds: float = 0.0
    sent: int = 0


@dataclass(frozen=True)
class Refusal:
    """A message that somebody did not take.

    Parameters
    ----------
    step
        Where.
    party
        Who signed it; None where nobody can be named.
    text
        What was wrong.
    """

    step: str
    party: str | None
    text: str


@dataclass
class Meter:
    """Collects steps and refusals while a round runs."""

    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    _seen: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    @contextlib.contextmanager
    def at(self, role: str, name: str, party: str) -> Iterator[Step]:
        """Measure the time that a party of a role spends in the block."""
        step = self.steps.setdefault((role, name), Step(role, name))
        seen = self._seen.setdefault((role, name), set())
        seen.add(party)
        step.parties = len(seen)
        start = time.perf_counter()
        try:
            yield step
        finally:
            step.seconds += time.perf_counter() - start

    @contextlib.contextmanager
    def refusing(self, name: str) -> Iterator[None]:
        """Take down what is refused in the block, and go on after it."""
        try:
            yield
        except ProtocolError as error:
            self.refusals.append(Refusal(name, error.party, str(error)))


@dataclass(frozen=True)
class Report:
    """How a simulated round went.

    Parameters
    ----------
    backend
        ``"homomorphic"`` or ``"masking"``.
    plan
        The plan, with the parties that the simulation pinned.
    aggregate
        The opened sum; None if there is none.
    failure
        Why there is none.
    exact
        Whether the sum is that of the contributors' integers, bit for bit; None if there is no sum.
    steps
        Bytes and seconds of every role at every step, in the order in which they happened.
    refusals
        What was refused, and who had signed it.
    """

    backend: str
    plan: Plan
    aggregate: Aggregate | None
    failure: str | None
    exact: bool | None
    steps: tuple[Step, ...]
    refusals: tuple[Refusal, ...]

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of every role, all its parties and steps together."""
        return {role: sum(s.seconds for s in self.steps if s.role == role) for role in self._roles}

    @property
    def sent(self) -> dict[str, int]:
        """Bytes that left every role, all its parties and steps together."""
        return {role: sum(s.sent for s in self.steps if s.role == role) for role in self._roles}

    @property
    def _roles(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(step.role for step in self.steps))

    def to_json(self) -> dict[str, Any]:
        """Return everything but the sum itself as JSON values."""
        return {
            "backend": self.backend,
            "plan_hash": self.plan.digest.hex(),
            "clients": self.plan.clients,
            "threshold": self.plan.threshold,
            "dimension": self.plan.dimension,
            "modulus_bits": self.plan.modulus_bits,
            "contributors": None if self.aggregate is None else list(self.aggregate.contributors),
            "failure": self.failure,
            "exact": self.exact,
            "steps": [asdict(step) for step in self.steps],
            "refusals": [asdict(refusal) for refusal in self.refusals],
            "seconds": self.seconds,
            "sent": self.sent,
        }

    def __str__(self) -> str:
        plan = self.plan
        lines = [
            f"{self.backend} back-end: {plan.clients} clients, threshold {plan.threshold}, {plan.dimension:,} integers "
            f"modulo 2^{plan.modulus_bits}",
            "",
            f"{'role':8} {'step':10} {'parties':>7} {'seconds':>10} {'each':>10} {'bytes sent':>15} {'each':>13}",
        ]
        for s in self.steps:
            each = max(s.parties, 1)
            lines.append(
                f"{s.role:8} {s.name:10} {s.parties:>7} {s.seconds:>10.4f} {s.seconds / each:>10.4f} "
                f"{s.sent:>15,} {s.sent // each:>13,}"
            )
        lines += ["", *(f"refused at {r.step}: {r.text}" for r in self.refusals)]
        if self.aggregate is None:
            return "\n".join([*lines, f"no sum: {self.failure}"])
        count = len(self.aggregate.contributors)
        equal = "equal to the sum of their integers" if self.exact else "NOT the sum of their integers"
        return "\n".join([*lines, f"opened the sum of {count} of {plan.clients}, {equal}"])
