"""A round of the masking back-end, played out."""

from collections.abc import Mapping

from medcrypt.aggregation.masking import MaskingClient, MaskingServer
from medcrypt.aggregation.masking.bodies import Reader, list_of, set_of
from medcrypt.aggregation.messages import MessageType, Signer, read_message
from medcrypt.aggregation.plan import Plan
from medcrypt.aggregation.quantisation import Aggregate
from medcrypt.aggregation.simulation.cast import Cast, Contributions
from medcrypt.aggregation.simulation.cheats import altered
from medcrypt.aggregation.simulation.report import Meter

__all__ = ["CHEATS", "STEPS", "run"]

_ORDER = ("advertise", "share", "upload", "confirm", "reveal")
STEPS = {"client": _ORDER, "holder": (), "server": ()}
CHEATS = {"client": ("damage", "replay", "twice", "wrong"), "holder": (), "server": ("two-sets",)}


def run(
    cast: Cast, work: Contributions, leaving: Mapping[str, str], cheats: Mapping[str, str], meter: Meter
) -> Aggregate:
    """Let everybody do its part, and return the sum."""
    plan = cast.plan
    with meter.at("server", "advertise", plan.server):
        server = MaskingServer(plan, cast.identities[plan.server])
    clients = {name: MaskingClient(plan, name, cast.identities[name]) for name in plan.client_names}
    answers: dict[str, bytes] = {}
    for step in _ORDER:
        clients = {name: client for name, client in clients.items() if leaving.get(name) != step}
        if step == "confirm" and cheats.get(plan.server) == "two-sets":
            _tell_two_stories(
                cast, {name: clients[name] for name in clients if name in answers}, answers, work, meter
            )
            break
        for name in clients:
            if step == "advertise" or name in answers:
                with meter.refusing(step):
                    data = _message(clients[name], step, answers.get(name, b""), work, meter)
                    _deliver(cast, server, name, step, data, cheats.get(name), meter)
        if step != "reveal":
            with meter.at("server", step, plan.server) as measured:
                answers = server.close()
                measured.sent += sum(map(len, answers.values()))
    with meter.at("server", "reveal", plan.server):
        return server.total()


def _message(client: MaskingClient, step: str, answer: bytes, work: Contributions, meter: Meter) -> bytes:
    """Return what a client sends at a step."""
    name = client.name
    with meter.at("client", step, name) as measured:
        if step == "advertise":
            data = client.advertise()
        elif step == "upload":
            update, weight = work.of(name)
            data = client.upload(answer, update, weight, saturate=work.saturate)
        else:
            data = getattr(client, step)(answer)
        measured.sent += len(data)
    return data


def _deliver(
    cast: Cast, server: MaskingServer, name: str, step: str, data: bytes, cheat: str | None, meter: Meter
) -> None:
    """Hand a message to the server; cheaters cheat with their upload or, if their share is wrong, at the end."""
    plan, messages = cast.plan, [data]
    if step == "upload" and cheat == "damage":
        messages = [altered(data)]
    elif step == "upload" and cheat == "twice":
        messages = [data, data]
    elif step == "upload" and cheat == "replay":
        other = MaskingClient(plan.for_round(plan.round_id ^ 1), name, cast.identities[name])
        messages = [other.advertise()]
    elif step == "reveal" and cheat == "wrong":
        body = altered(read_message(plan, data, {MessageType.REVEAL}).body)
        messages = [Signer(plan, name, cast.identities[name]).write(MessageType.REVEAL, body)]
    for message in messages:
        with meter.refusing(step), meter.at("server", step, plan.server):
            server.receive(message)


def _tell_two_stories(
    cast: Cast,
    clients: Mapping[str, MaskingClient],
    answers: Mapping[str, bytes],
    work: Contributions,
    meter: Meter,
) -> None:
    """Tell every other client that the last uploader is missing, and pass on to all what all of them sign."""
    plan, signed = cast.plan, []
    signer = Signer(plan, plan.server, cast.identities[plan.server])
    for place, (name, client) in enumerate(clients.items()):
        story = answers[name] if place % 2 else _without_the_last(plan, signer, answers[name])
        with meter.refusing("confirm"):
            signed.append(_message(client, "confirm", story, work, meter))
    both = signer.write(MessageType.CONFIRMATIONS, list_of(signed))
    for client in clients.values():
        with meter.refusing("reveal"):
            _message(client, "reveal", both, work, meter)


def _without_the_last(plan: Plan, signer: Signer, answer: bytes) -> bytes:
    """Sign an answer to the uploads from which the last uploader has been taken out."""
    reader = Reader(plan, read_message(plan, answer, {MessageType.UPLOADERS}))
    *others, last = reader.clients()
    statements = [
        item
        for item in reader.items()
        if read_message(plan, item, {MessageType.STATEMENT}).sender != plan.client_names[last]
    ]
    return signer.write(MessageType.UPLOADERS, set_of(plan, others) + list_of(statements))
