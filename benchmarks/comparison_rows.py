"""Distributed comparison and point functions from numpy arrays, on one core, beside sycret (the back-end of AriaNN)."""

import os
import time
from collections.abc import Iterator

import numpy as np

from measuring import Row, alternate, at_least, at_most, kernels, times, version_of
from medcrypt._ext import cpu
from medcrypt._ext.dcf import BLOCK, SharedFunction

COUNT = 16_384
PORTABLE_COUNT = 1024
PEER_COUNT = 4096

SHAPES = (  # kind, bits, payload; goals: evaluations a second, key pairs a second, bytes a key
    ("comparison", 32, 4, 4e6, 0.5e6, 700),
    ("comparison", 64, 8, 1.2e6, None, 1700),
    ("point", 32, 4, None, None, None),
    ("point", 64, 8, None, None, None),
)


class Batch:
    """Keys for a batch of functions at random places, and inputs."""

    def __init__(self, kind: str, bits: int, payload: int, count: int) -> None:
        self.function = SharedFunction(kind, bits, payload, os.urandom(16))
        self.alpha, self.beta, self.x = (
            np.frombuffer(os.urandom(8 * count), np.uint64) >> np.uint64(64 - bits) for _ in range(3)
        )
        self.keys = [np.empty(self.function.key_size(count), np.uint8) for _ in range(2)]
        self.roots = np.frombuffer(os.urandom(32 * -(-count // BLOCK) * BLOCK), np.uint8)
        self.values = np.empty(count, np.uint64)
        self.generate()

    def generate(self) -> None:
        """Make all key pairs."""
        self.function.generate(self.alpha, self.beta, self.roots, *self.keys)

    def evaluate(self) -> None:
        """Compute one party's values."""
        self.function.evaluate(0, self.keys[0], self.x, self.values)


def rows(quick: bool) -> Iterator[Row]:
    """Yield evaluations and key pairs for each shape and path, and the same for sycret."""
    repeats = 1 if quick else 7
    for kind, bits, payload, evaluations, pairs, size in SHAPES:
        yield from _rates(kind, bits, payload, evaluations, pairs, repeats)
        function = SharedFunction(kind, bits, payload, bytes(16))
        bytes_a_key = function.key_size(BLOCK) / BLOCK
        goal = at_most(size, "bytes") if size else None
        yield Row(f"{kind}, {bits} bits: key, {8 * payload}-bit payload", bytes_a_key, "bytes", goal=goal)
    for path in cpu.paths():
        if path != cpu.path():
            with kernels(path):
                yield from _rates("comparison", 32, 4, None, None, repeats, f", {path}")
    yield from _beside_sycret(repeats)


def _rates(
    kind: str,
    bits: int,
    payload: int,
    evaluations: float | None,
    pairs: float | None,
    repeats: int,
    suffix: str = "",
) -> Iterator[Row]:
    count = PORTABLE_COUNT if "portable" in suffix or cpu.path() == "portable" else COUNT
    batch = Batch(kind, bits, payload, count)
    evaluating, generating = alternate(
        batch.evaluate, batch.generate, repeats=repeats, clock=time.process_time
    )
    name = f"{kind}, {bits} bits"
    goals = [at_least(rate, "1/s") if rate else None for rate in (evaluations, pairs)]
    yield Row(f"{name}: evaluate{suffix}", count / evaluating, "1/s", goal=goals[0])
    yield Row(f"{name}: key pairs{suffix}", count / generating, "1/s", goal=goals[1])


def _beside_sycret(repeats: int) -> Iterator[Row]:
    work = "comparison, 32 bits"
    if version_of("sycret") is None:
        yield Row.not_installed(work, "sycret")
        return
    import sycret

    for kind, payload, factory in (("comparison", 4, sycret.LeFactory), ("point", 4, sycret.EqFactory)):
        peer = factory(n_threads=1)
        keys = peer.keygen(PEER_COUNT)
        x = np.arange(PEER_COUNT, dtype=np.int64)
        batch = Batch(kind, 32, payload, COUNT)
        seconds = alternate(
            batch.evaluate,
            lambda peer=peer, x=x, keys=keys: peer.eval(0, x, keys[0], n_threads=1),
            batch.generate,
            lambda peer=peer: peer.keygen(PEER_COUNT),
            repeats=repeats,
            clock=time.process_time,
        )
        named = (("evaluate", *seconds[:2], times(21)), ("key pairs", *seconds[2:], times(5.8)))
        for name, ours, theirs, goal in named:
            yield Row(
                f"{kind}, 32 bits: {name}",
                COUNT / ours,
                "1/s",
                "sycret",
                PEER_COUNT / theirs,
                goal if kind == "comparison" else None,
                "sycret's comparison errs about once in 10^4; ours never" if kind == "comparison" else "",
            )
        yield Row(
            f"{kind}, 32 bits: key",
            batch.function.key_size(BLOCK) / BLOCK,
            "bytes",
            "sycret",
            peer.key_len,
        )
