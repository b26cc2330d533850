"""A round of the homomorphic back-end, played out."""

from collections.abc import Mapping

from medcrypt.aggregation.holder import HomomorphicHolder
from medcrypt.aggregation.homomorphic import HomomorphicClient, HomomorphicServer
from medcrypt.aggregation.ledger import Ledger
from medcrypt.aggregation.messages import MessageType, Signer, read_message
from medcrypt.aggregation.quantisation import Aggregate
from medcrypt.aggregation.simulation.cast import Cast, Contributions
from medcrypt.aggregation.simulation.cheats import altered
from medcrypt.aggregation.simulation.report import Meter
from medcrypt.aggregation.uploads import read_upload, write_request

__all__ = ["CHEATS", "STEPS", "run"]

STEPS = {"client": ("upload",), "holder": ("open",), "server": ()}
CHEATS = {
    "client": ("damage", "replay", "twice", "copy"),
    "holder": ("wrong",),
    "server": ("single", "two-sets"),
}


def run(
    cast: Cast, work: Contributions, leaving: Mapping[str, str], cheats: Mapping[str, str], meter: Meter
) -> Aggregate:
    """Let everybody do its part, and return the opened sum."""
    plan, public = cast.plan, cast.public
    server = HomomorphicServer(plan, public, cast.identities[plan.server])
    accepted: list[bytes] = []
    # Who copies needs something to copy: cheaters come last.
    for name in sorted(plan.client_names, key=lambda name: name in cheats):
        if name in leaving:
            continue
        for data in _uploads(cast, work, name, cheats.get(name), accepted, meter):
            with meter.refusing("upload"), meter.at("server", "collect", plan.server):
                server.receive(data)
                accepted.append(data)
    with meter.at("server", "request", plan.server) as step:
        request = server.request()
        step.sent += len(request) * (len(plan.holders) - len(leaving.keys() & set(plan.holders)))
    for name in plan.holders:
        if name not in leaving:
            _open(cast, server, name, request, cheats, accepted, meter)
    with meter.at("server", "finish", plan.server):
        return server.result()


def _uploads(
    cast: Cast, work: Contributions, name: str, cheat: str | None, accepted: list[bytes], meter: Meter
) -> list[bytes]:
    """Return what a client sends."""
    plan = cast.plan

    def upload(round_id: int) -> bytes:
        client = HomomorphicClient(plan.for_round(round_id), cast.public, name, cast.identities[name])
        update, weight = work.of(name)
        with meter.at("client", "upload", name) as step:
            data = client.encrypt(update, weight, saturate=work.saturate)
            step.sent += len(data)
        return data

    if cheat == "replay":
        return [upload(plan.round_id ^ 1)]
    if cheat == "copy" and accepted:
        body = read_message(plan, accepted[0], {MessageType.UPLOAD}).body
        return [Signer(plan, name, cast.identities[name]).write(MessageType.UPLOAD, body)]
    if cheat == "twice":
        return [upload(plan.round_id), upload(plan.round_id)]
    data = upload(plan.round_id)
    return [altered(data)] if cheat == "damage" else [data]


def _open(
    cast: Cast,
    server: HomomorphicServer,
    name: str,
    request: bytes,
    cheats: Mapping[str, str],
    accepted: list[bytes],
    meter: Meter,
) -> None:
    """Let a holder answer, after or before a dishonest request."""
    holder = _holder(cast, name)
    cheat = cheats.get(cast.plan.server)
    if cheat == "single":
        _ask_otherwise(cast, holder, accepted[:1], meter)
    with meter.refusing("open"):
        with meter.at("holder", "open", name) as step:
            answer = holder.open(request)
            step.sent += len(answer)
        if cheats.get(name) == "wrong":
            body = altered(read_message(cast.plan, answer, {MessageType.OPENING}).body)
            answer = Signer(cast.plan, name, cast.identities[name]).write(MessageType.OPENING, body)
        with meter.at("server", "finish", cast.plan.server):
            server.receive(answer)
    if cheat == "two-sets":
        _ask_otherwise(cast, holder, accepted[:-1], meter)


def _ask_otherwise(cast: Cast, holder: HomomorphicHolder, uploads: list[bytes], meter: Meter) -> None:
    """Sign a request that an honest server would not make."""
    plan = cast.plan
    chosen = sorted(
        (read_upload(plan, cast.public, data)[0] for data in uploads), key=lambda u: u.sender.encode()
    )
    signer = Signer(plan, plan.server, cast.identities[plan.server])
    with meter.refusing("open"):
        holder.open(signer.write(MessageType.REQUEST, write_request(chosen)))


def _holder(cast: Cast, name: str) -> HomomorphicHolder:
    """Return a holder with its ledger, as it comes up after a restart."""
    key, path = cast.key_of(name), cast.folder / f"{cast.plan.holders.index(name)}.ledger"
    make = Ledger if path.exists() else Ledger.create
    return HomomorphicHolder(
        cast.plan, key, name, cast.identities[name], make(path, name, key.public.fingerprint)
    )
