"""A federation in one process: who is in it, what they hold, and the rounds that they run."""

import dataclasses
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np

from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.quantisation import Update
from medcrypt.aggregation.simulation import homomorphic, masking
from medcrypt.aggregation.simulation.cast import Cast, Contributions, Keys
from medcrypt.aggregation.simulation.report import Meter, Report
from medcrypt.errors import ProtocolError
from medcrypt.keys import Identity
from medcrypt.paillier import deal_threshold_key

__all__ = ["Federation", "simulate"]

Backend = Literal["homomorphic", "masking"]
Dropouts = Mapping[str, str] | Iterable[str]

_BACKENDS: dict[str, ModuleType] = {"homomorphic": homomorphic, "masking": masking}


class Federation:
    """All parties of a plan, with freshly drawn identities.

    Parameters
    ----------
    plan
        What they agree on, without `parties` and `key`: the federation pins its own.
    clients
        Their names; by default client-1, client-2 and so on.
    keys
        For the homomorphic back-end: a private key, which one holder gets, or a threshold key and its shares,
        one for each holder. None for the masking back-end.
    holders
        Names of the holders of `keys`; by default holder-1, holder-2 and so on.

    Raises
    ------
    ValueError
        If the plan pins parties or a key already, or names and numbers do not match.

    Examples
    --------
    >>> from medcrypt import paillier
    >>> plan = Plan(clients=3, threshold=2, clip=1.0, bits=16, shapes={"w": (2,)})
    >>> keys = paillier.deal_threshold_key(parties=3, threshold=2, bits=512, insecure=True)
    >>> with Federation(plan, keys=keys) as federation:
    ...     for round_id in range(2):
    ...         updates = {name: {"w": [0.1 * round_id, 0.5]} for name in federation.clients}
    ...         report = federation.run(updates, round_id=round_id, dropouts=["client-3"])
    ...         print(report.aggregate.means()["w"].round(2), report.exact)
    [0.  0.5] True
    [0.1 0.5] True
    """

    def __init__(
        self,
        plan: Plan,
        *,
        clients: Sequence[str] | None = None,
        keys: Keys | None = None,
        holders: Sequence[str] | None = None,
    ) -> None:
        if plan.parties is not None or plan.key is not None:
            raise ValueError("the federation pins its own parties and key: give a plan without")
        count = 0 if keys is None else len(keys[1]) if isinstance(keys, tuple) else 1
        names = _names("client", plan.clients) if clients is None else tuple(clients)
        keepers = _names("holder", count) if holders is None else tuple(holders)
        if len(set(names)) != plan.clients:
            raise ValueError(f"{plan.clients} different names of clients are needed")
        if len(keepers) != count:
            raise ValueError(f"{count} names of key holders are needed")
        identities = {name: Identity.generate() for name in (*names, plan.server, *keepers)}
        pinned = dataclasses.replace(
            plan,
            parties={name: one.recipient for name, one in identities.items()},
            holders=keepers,
            key=None if keys is None else keys[0] if isinstance(keys, tuple) else keys.public,
        )
        self._folder = tempfile.TemporaryDirectory(prefix="medcrypt-federation-")
        self._cast = Cast(pinned, identities, keys, Path(self._folder.name))
        self.clients = names

    @property
    def plan(self) -> Plan:
        """The plan with everybody's keys, for its own round; that of the homomorphic back-end if there are `keys`."""
        return self._cast.plan

    def run(
        self,
        updates: Mapping[str, Update],
        weights: Mapping[str, int] | None = None,
        *,
        backend: Backend = "homomorphic",
        round_id: int | None = None,
        dropouts: Dropouts = (),
        cheaters: Mapping[str, str] | None = None,
        saturate: bool = False,
    ) -> Report:
        """Run one round.

        Parameters
        ----------
        updates
            Every client's update.
        weights
            Every client's weight, where the plan is weighted.
        backend
            ``"homomorphic"`` or ``"masking"``.
        round_id
            Number of the round; that of the plan if None.
        dropouts
            Who vanishes: names, or names and the step before which they do. Steps of clients are "upload", and with
            masks "advertise", "share", "upload", "confirm" and "reveal"; those of holders "open". Without a
            step it is "upload" for a client and "open" for a holder.
        cheaters
            Who cheats, and how. Clients: "damage" (the upload changes after it was signed), "replay" (an upload of
            another round), "twice" (a second upload), and, homomorphic only, "copy" (another's ciphertexts under
            an own signature). Homomorphic holders: "wrong" (not the decryption). The homomorphic server: "single"
            (asks to open one upload), "two-sets" (asks to open a second set that differs by one client). Masking
            clients: "wrong" (not the share that it was given). The masking server: "two-sets" (tells every other
            client that the last one dropped out).
        saturate
            As for `quantise`.

        Returns
        -------
        Report
            Bytes, seconds, refusals, and the sum if it came to one.

        Raises
        ------
        TypeError, ValueError
            If updates, weights or arguments are wrong. What parties do to each other is in the report.
        """
        module = _BACKENDS.get(backend)
        if module is None:
            raise ValueError("backend must be 'homomorphic' or 'masking'")
        if backend == "homomorphic" and self._cast.keys is None:
            raise ValueError("the homomorphic back-end needs keys")
        if set(updates) != set(self.clients):
            raise ValueError("one update for each client is needed")
        plan = self.plan if backend == "homomorphic" else _for_masks(self.plan)
        plan = plan if round_id is None else plan.for_round(round_id)
        leaving, cheats = _leaving(plan, dropouts), dict(cheaters or {})
        _check(plan, leaving, module.STEPS)
        _check(plan, cheats, module.CHEATS)
        work, meter = Contributions(plan, updates, weights, saturate), Meter()
        aggregate, failure = None, None
        try:
            aggregate = module.run(
                dataclasses.replace(self._cast, plan=work.plan), work, leaving, cheats, meter
            )
        except ProtocolError as error:
            failure = str(error)
        exact = None
        if aggregate is not None:
            exact = bool(np.array_equal(aggregate.integers, work.total(aggregate.contributors)))
        return Report(
            backend=backend,
            plan=plan,
            aggregate=aggregate,
            failure=failure,
            exact=exact,
            steps=tuple(meter.steps.values()),
            refusals=tuple(meter.refusals),
        )

    def close(self) -> None:
        """Remove the ledgers."""
        self._folder.cleanup()

    def __enter__(self) -> "Federation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return (
            f"Federation(clients={len(self.clients)}, holders={len(self.plan.holders)}, plan={self.plan!r})"
        )


def simulate(
    plan: Plan,
    updates: Mapping[str, Update],
    weights: Mapping[str, int] | None = None,
    *,
    backend: Backend = "homomorphic",
    dropouts: Dropouts = (),
    cheaters: Mapping[str, str] | None = None,
    keys: Keys | None = None,
    saturate: bool = False,
) -> Report:
    """Run one round of a plan with all parties in this process.

    Parameters
    ----------
    plan
        What the parties agree on, without `parties` and `key`: the simulation pins its own.
    updates
        Every client's update, by name.
    weights
        Every client's weight, where the plan is weighted.
    backend
        ``"homomorphic"`` or ``"masking"``.
    dropouts, cheaters, saturate
        As for `Federation.run`.
    keys
        For the homomorphic back-end: a private key, which one holder gets, or a threshold key and its shares. By
        default a key of 3072 bits is dealt to five holders, any three of whom open sums.

    Returns
    -------
    Report
        Bytes, seconds, refusals, and the sum if it came to one. ``print`` shows it as a table.

    Raises
    ------
    TypeError, ValueError
        If the arguments are wrong.

    Examples
    --------
    >>> from medcrypt import aggregation, paillier
    >>> plan = Plan(clients=4, threshold=2, clip=1.0, bits=16, shapes={"w": (2,)})
    >>> updates = {name: {"w": [0.5, -0.25]} for name in ("Aachen", "Berlin", "Jena", "Ulm")}
    >>> keys = paillier.deal_threshold_key(parties=3, threshold=2, bits=512, insecure=True)
    >>> report = aggregation.simulate(plan, updates, keys=keys, dropouts=["Jena", "holder-1"],
    ...                               cheaters={"Ulm": "copy"})
    >>> report.aggregate.contributors, report.exact
    (('Aachen', 'Berlin'), True)
    >>> report.refusals[0].party
    'Ulm'
    >>> aggregation.simulate(plan, updates, backend="masking", dropouts={"Jena": "confirm"}).exact
    True
    """
    if backend == "homomorphic" and keys is None:
        keys = deal_threshold_key(parties=5, threshold=3)
    with Federation(plan, clients=list(updates), keys=keys) as federation:
        return federation.run(
            updates, weights, backend=backend, dropouts=dropouts, cheaters=cheaters, saturate=saturate
        )


def _names(role: str, count: int) -> tuple[str, ...]:
    """Return names that sort in the order of their numbers."""
    width = len(str(count))
    return tuple(f"{role}-{number:0{width}}" for number in range(1, count + 1))


def _for_masks(plan: Plan) -> Plan:
    """Return the same plan for the masking back-end, which has neither holders nor a key."""
    parties = {name: key for name, key in (plan.parties or {}).items() if name not in plan.holders}
    return dataclasses.replace(plan, parties=parties, holders=(), key=None)


def _leaving(plan: Plan, dropouts: Dropouts) -> dict[str, str]:
    """Return who leaves before which step."""
    if isinstance(dropouts, Mapping):
        return dict(dropouts)
    return {name: "open" if name in plan.holders else "upload" for name in dropouts}


def _check(plan: Plan, chosen: Mapping[str, str], known: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse names that are not in the plan, and what their roles cannot do."""
    for name, what in chosen.items():
        if name not in (plan.parties or {}):
            raise ValueError(f"there is no party {name!r}")
        role = "server" if name == plan.server else "holder" if name in plan.holders else "client"
        if what not in known[role]:
            raise ValueError(f"{name!r} is a {role}; choose of: {', '.join(known[role]) or 'nothing'}")
