"""A whole round of the homomorphic back-end: ten clients, one server, one holder of the whole key.

All on one core, by the processor's clock, everything included: quantisation, packing, signatures, all checks of server
and holder (each reads and verifies every upload), the ledger, decryption by CRT.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from measuring import Goal, Row, at_most, on_cores
from medcrypt import Identity, aggregation, paillier
from medcrypt.aggregation import HomomorphicClient, HomomorphicHolder, HomomorphicServer, Ledger, Plan

CLIENTS, BITS = 10, 16
MILLION = 1_000_000
T = TypeVar("T")


@dataclass
class Seconds:
    """Processor time of each role, one entry a call."""

    client: list[float] = field(default_factory=list)
    server: list[float] = field(default_factory=list)
    holder: list[float] = field(default_factory=list)

    @property
    def total(self) -> float:
        return sum(self.client) + sum(self.server) + sum(self.holder)


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of the homomorphic back-end."""
    values, key_bits = (100_000, 2048) if quick else (MILLION, 3072)
    _, private = paillier.generate_keypair(key_bits)
    with on_cores(1):
        for proofs in (False, True):
            yield from _round(private, values, proofs=proofs)


def _round(private: paillier.PrivateKey, values: int, *, proofs: bool) -> Iterator[Row]:
    names = [f"hospital-{number:02}" for number in range(CLIENTS)]
    identities = {name: Identity.generate() for name in (*names, "server", "notary")}
    plan = Plan(
        clients=CLIENTS, threshold=6, clip=8.0, bits=BITS, shapes={"w": (values,)}, proofs=proofs,
        parties={name: identity.recipient for name, identity in identities.items()}, holders=["notary"],
        key=private.public,
    )  # fmt: skip
    update = {"w": np.random.default_rng(1).uniform(-8.0, 8.0, values)}
    seconds, public = Seconds(), private.public
    public.masks(1)  # its table is made once in the life of a key
    server = HomomorphicServer(plan, public, identities["server"])
    for name in names:
        client = HomomorphicClient(plan, public, name, identities[name])
        upload = _timed(seconds.client, lambda client=client: client.encrypt(update))
        _timed(seconds.server, lambda upload=upload: server.receive(upload))
    request = _timed(seconds.server, server.request)
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger.create(Path(folder) / "ledger", "notary", public.fingerprint)
        holder = HomomorphicHolder(plan, private, "notary", identities["notary"], ledger)
        opening = _timed(seconds.holder, lambda: holder.open(request))
    _timed(seconds.server, lambda: server.receive(opening))
    aggregate = _timed(seconds.server, server.result)
    expected = aggregation.add_integers(plan, [aggregation.quantise(plan, update)] * CLIENTS)
    if not np.array_equal(aggregate.integers, expected):
        raise AssertionError("the round is wrong")
    title = f"{values:,} values{', proofs' if proofs else ''}"
    whole = values == MILLION
    yield Row(
        f"homomorphic round, {CLIENTS} x {title}", seconds.total, goal=_goal(25, whole),
        note=f"server {sum(seconds.server):.2g} s, holder {sum(seconds.holder):.2g} s; "
        f"request {len(request) / 1e6:.0f} MB, {CLIENTS} uploads of {len(upload) / 1e6:.2f} MB",
    )  # fmt: skip
    yield Row(f"homomorphic client, {title}", statistics.median(seconds.client), goal=_goal(0.8, whole))


def _goal(seconds: float, whole: bool) -> Goal | None:
    """The goals are for a million values and keys of 3072 bits."""
    return at_most(seconds, "s") if whole else None


def _timed(into: list[float], work: Callable[[], T]) -> T:
    start = time.process_time()
    result = work()
    into.append(time.process_time() - start)
    return result
