"""A federation of masking clients and their server in one process, stopped or disturbed wherever a test wants."""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from medcrypt import Identity
from medcrypt.aggregation import MaskingClient, MaskingServer, Plan, add_integers, quantise
from medcrypt.errors import ProtocolError

STEPS = (
    "share",
    "upload",
    "confirm",
    "reveal",
)  # what a client does with the server's first, second, ... answer
IDENTITIES = [Identity.from_bytes(random.Random(number).randbytes(64)) for number in range(121)]

Update = dict[str, NDArray[np.float64]]


def federation(
    clients: int,
    threshold: int,
    *,
    colluders: int | None = None,
    size: int = 5,
    bits: int = 12,
    **more: object,
) -> tuple[Plan, dict[str, Identity]]:
    """A plan and the identities of its parties."""
    names = [f"hospital {i:03}" for i in range(clients)] + ["server"]
    identities = dict(zip(names, IDENTITIES, strict=False))
    plan = Plan(
        clients=clients, threshold=threshold, clip=1.0, bits=bits, shapes={"w": (size,)}, colluders=colluders,
        parties={name: identity.recipient for name, identity in identities.items()}, **more,
    )  # fmt: skip
    return plan, identities


def updates_of(plan: Plan, seed: int = 0) -> dict[str, Update]:
    """A random update for each client."""
    draw = np.random.default_rng(seed)
    return {
        name: {key: draw.uniform(-plan.clip, plan.clip, shape) for key, shape in plan.shapes.items()}
        for name in plan.client_names
    }


class Rounds:
    """All parties of one plan.

    Parameters
    ----------
    plan, identities
        As `federation` returns them.
    """

    def __init__(self, plan: Plan, identities: Mapping[str, Identity]) -> None:
        self.plan = plan
        self.identities = identities
        self.server = MaskingServer(plan, identities["server"])
        self.clients = {name: MaskingClient(plan, name, identities[name]) for name in plan.client_names}
        self.updates = updates_of(plan)
        self.transcript: list[bytes] = []

    def weight(self, name: str) -> int | None:
        """A weight for each client where the plan has weights."""
        return 1 + self.plan.client_names.index(name) if self.plan.weighted else None

    def act(self, name: str, step: str, answer: bytes) -> bytes:
        """One client's next message."""
        if step == "upload":
            return self.clients[name].upload(answer, self.updates[name], self.weight(name))
        message: bytes = getattr(self.clients[name], step)(answer)
        return message

    def send(self, message: bytes) -> None:
        """Deliver a message to the server and write it down."""
        self.transcript.append(message)
        self.server.receive(message)

    def run(
        self, *, missing: Mapping[str, set[str]] | None = None, until: str | None = None
    ) -> dict[str, bytes]:
        """Let all but those `missing` from a step act, step by step; a client that misses one misses the rest.

        Returns the answers for the step `until`, or nothing where all steps are done.
        """
        gone = set((missing or {}).get("advertise", set()))
        messages = [client.advertise() for name, client in self.clients.items() if name not in gone]
        for step in STEPS:
            for message in messages:
                self.send(message)
            answers = self.server.close()
            self.transcript += answers.values()
            if step == until:
                return answers
            gone |= (missing or {}).get(step, set())
            messages = [self.act(name, step, answer) for name, answer in answers.items() if name not in gone]
        for message in messages:
            self.send(message)
        return {}

    def expected(self, contributors: tuple[str, ...]) -> NDArray[np.int64]:
        """The sum in the clear."""
        return add_integers(
            self.plan, [quantise(self.plan, self.updates[name], self.weight(name)) for name in contributors]
        )


@contextmanager
def coins(draw: Callable[[int], bytes]) -> Iterator[None]:
    """Replace the operating system's random bytes."""
    with mock.patch.object(os, "urandom", draw):
        yield


def refused(call: Callable[[], object], *parties: str | None) -> bool:
    """Make a call that may end in a `ProtocolError`, which has to name one of `parties`; return whether it did."""
    try:
        call()
    except ProtocolError as error:
        if error.party not in parties:
            raise AssertionError(f"blamed {error.party!r}, expected one of {parties}") from error
        return True
    return False
