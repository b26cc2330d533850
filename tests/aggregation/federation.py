"""A federation for the tests: identities, plans that pin them, and small insecure keys."""

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np

from medcrypt import Identity, aggregation, paillier

CLIENTS = ("Aachen", "Berlin", "Charité", "Dresden")
HOLDERS = ("ministry", "notary", "university")
SERVER = "server"
BITS = 512


@functools.cache
def identity(name: str) -> Identity:
    """One identity for each name, drawn once a session."""
    return Identity.generate()


@functools.cache
def threshold_key(parties: int = 3, threshold: int = 2, bits: int = BITS) -> tuple[Any, list[Any]]:
    return paillier.deal_threshold_key(parties, threshold, bits, insecure=True)


@functools.cache
def whole_key() -> paillier.PrivateKey:
    return paillier.generate_keypair(BITS, insecure=True)[1]


def make_plan(
    *, clients: tuple[str, ...] = CLIENTS, holders: tuple[str, ...] = HOLDERS, **changes: Any
) -> Any:
    """A plan of all these parties with a few small arrays; `changes` replace or add fields.

    The key of a plan with one holder is `whole_key()`, else `threshold_key()`.
    """
    fields: dict[str, Any] = {
        "clients": len(clients),
        "threshold": min(3, len(clients)),
        "clip": 2.0,
        "bits": 12,
        "shapes": {"w": (3, 2), "b": (4,)},
        "weighted": True,
        "max_weight": 50,
        "parties": {name: identity(name).recipient for name in (*clients, SERVER, *holders)},
        "holders": holders,
    }
    if holders:
        fields["key"] = whole_key().public if len(holders) == 1 else threshold_key()[0]
    return aggregation.Plan(**(fields | changes))


def make_update(plan: Any, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.uniform(-plan.clip, plan.clip, shape) for name, shape in plan.shapes.items()}


def client(plan: Any, public: Any, name: str) -> Any:
    return aggregation.HomomorphicClient(plan, public, name, identity(name))


def upload(plan: Any, public: Any, name: str, seed: int, weight: int | None = 1) -> bytes:
    return client(plan, public, name).encrypt(make_update(plan, seed), weight if plan.weighted else None)


def holder(plan: Any, key: Any, name: str, folder: Path) -> Any:
    """A key holder with a ledger in the folder, made if there is none yet."""
    folder.mkdir(parents=True, exist_ok=True)
    path, fingerprint = folder / f"{name}.ledger", key.public.fingerprint
    ledger = (aggregation.Ledger if path.exists() else aggregation.Ledger.create)(path, name, fingerprint)
    return aggregation.HomomorphicHolder(plan, key, name, identity(name), ledger)


SMALL = {"clients": 4, "threshold": 3, "clip": 1.0, "bits": 16, "shapes": {"w": (3,)}}


@dataclasses.dataclass(frozen=True)
class Noise:
    """Enough of a noise for a plan."""

    scale: int = 1

    def to_bytes(self):
        return b"test noise" + self.scale.to_bytes(4, "big")

    def headroom(self, plan):
        return 3

    def dimension(self, plan):
        return plan.size

    def contribution(self, plan, reals, weight):
        bare = dataclasses.replace(plan, noise=None)
        ends = np.cumsum([math.prod(shape) for shape in plan.shapes.values()])
        parts = zip(plan.shapes.items(), np.split(reals, ends[:-1]), strict=True)
        update = {name: part.reshape(shape) for (name, shape), part in parts}
        return aggregation.quantise(bare, update, weight if plan.weighted else None) + self.scale

    def restore(self, plan, reals):
        return reals


def plan_of_vector(fields):
    fields = dict(fields)
    fields["shapes"] = {name: tuple(shape) for name, shape in fields["shapes"].items()}
    if fields["parties"] is not None:
        fields["parties"] = {name: bytes.fromhex(key) for name, key in fields["parties"].items()}
    if fields["key"] is not None:
        fields["key"] = bytes.fromhex(fields["key"])
    return aggregation.Plan(**fields)


CHANGES = {
    "clients": {"clients": 5},
    "threshold": {"threshold": 4},
    "clip": {"clip": 1.5},
    "bits": {"bits": 17},
    "a name": {"shapes": {"v": (3,)}},
    "a shape": {"shapes": {"w": (3, 1)}},
    "another array": {"shapes": {"w": (3,), "b": ()}},
    "weighted": {"weighted": True, "max_weight": 1},
    "max_weight": {"weighted": True, "max_weight": 2},
    "l2_clip": {"l2_clip": 1.0},
    "another l2_clip": {"l2_clip": 2.0},
    "noise": {"l2_clip": 1.0, "noise": Noise()},
    "another noise": {"l2_clip": 1.0, "noise": Noise(2)},
    "round": {"round_id": 1},
    "colluders": {"colluders": 0},
    "more colluders": {"colluders": 1},
    "proofs": {"proofs": False},
    "server": {"server": "other"},
    "parties": {"parties": {name: identity(name).recipient for name in CLIENTS}},
    "other parties": {"parties": {name: identity(name).recipient for name in (*CLIENTS[:3], "Erlangen")}},
    "server's key": {"parties": {name: identity(name).recipient for name in (*CLIENTS, "server")}},
    "holder": {"parties": {name: identity(name).recipient for name in (*CLIENTS, "notary")}, "holders": ["notary"]},
    "key": {"key": bytes(32)},
    "another key": {"key": b"\1" * 32},
}  # fmt: skip
