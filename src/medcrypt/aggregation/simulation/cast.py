"""Who plays in a simulation, what they hold, and what each client contributes."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from medcrypt.aggregation.plan import Integers, NoisePlan, Plan, PrivacyBound, Reals
from medcrypt.aggregation.quantisation import Update, add_integers, quantise
from medcrypt.keys import Identity
from medcrypt.paillier import KeyShare, PrivateKey, PublicKey, ThresholdPublicKey

__all__ = ["Cast", "Contributions", "Keys"]

Keys: TypeAlias = PrivateKey | tuple[ThresholdPublicKey, list[KeyShare]]


@dataclass(frozen=True)
class Cast:
    """The parties of one round.

    Parameters
    ----------
    plan
        The plan; it pins all of them.
    identities
        Everybody's private key for signatures.
    keys
        What the holders share; None for the masking back-end.
    folder
        Where the holders keep their ledgers.
    """

    plan: Plan
    identities: Mapping[str, Identity]
    keys: Keys | None
    folder: Path

    @property
    def public(self) -> PublicKey:
        """The key to encrypt with."""
        if self.keys is None:
            raise ValueError("the homomorphic back-end needs keys")
        return self.keys[0] if isinstance(self.keys, tuple) else self.keys.public

    def key_of(self, holder: str) -> PrivateKey | KeyShare:
        """Return what a holder has."""
        if self.keys is None:
            raise ValueError("the homomorphic back-end needs keys")
        return self.keys[1][self.plan.holders.index(holder)] if isinstance(self.keys, tuple) else self.keys


@dataclass(frozen=True)
class _RecordedNoise:
    """The noise of a plan, remembering what it made: the simulation compares sums with it."""

    noise: NoisePlan
    made: list[Integers] = field(default_factory=list, compare=False)

    def to_bytes(self) -> bytes:
        return self.noise.to_bytes()

    def headroom(self, plan: Plan) -> int:
        return self.noise.headroom(plan)

    def dimension(self, plan: Plan) -> int:
        return self.noise.dimension(plan)

    def contribution(self, plan: Plan, reals: Reals, weight: int) -> Integers:
        contribution = self.noise.contribution(plan, reals, weight)
        self.made.append(contribution.copy())
        return contribution

    def restore(self, plan: Plan, reals: Reals) -> Reals:
        return self.noise.restore(plan, reals)

    def privacy(self, plan: Plan, delta: float, rounds: int) -> PrivacyBound:
        return self.noise.privacy(plan, delta, rounds)


class Contributions:
    """What every client has to contribute, and what came of it.

    Parameters
    ----------
    plan
        The plan.
    updates, weights
        By client; weights only where the plan is weighted.
    saturate
        As for `quantise`.
    """

    def __init__(
        self, plan: Plan, updates: Mapping[str, Update], weights: Mapping[str, int] | None, saturate: bool
    ) -> None:
        if plan.weighted and (weights is None or set(weights) != set(updates)):
            raise ValueError("the plan is weighted: one weight for each client is needed")
        self._noise = None if plan.noise is None else _RecordedNoise(plan.noise)
        self.plan = dataclasses.replace(plan, noise=self._noise) if self._noise else plan
        self._bare = dataclasses.replace(plan, noise=None)
        self._updates, self._weights, self.saturate = updates, weights, saturate
        self._first: dict[str, int] = {}

    def of(self, name: str) -> tuple[Update, int | None]:
        """Return a client's update and weight. It is about to contribute them: what noise comes next is its own."""
        if self._noise is not None:
            self._first.setdefault(name, len(self._noise.made))
        return self._updates[name], None if self._weights is None else self._weights[name]

    def total(self, names: tuple[str, ...]) -> Integers:
        """Return the exact sum of what these clients have contributed."""
        if self._noise is not None:
            return add_integers(self.plan, (self._noise.made[self._first[name]] for name in names))
        return add_integers(
            self._bare, (quantise(self._bare, *self.of(name), saturate=self.saturate) for name in names)
        )
