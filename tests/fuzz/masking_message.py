"""Bodies of masking messages, correctly signed: what a dishonest client or server can send at each step."""

from contextlib import suppress

from medcrypt import Identity
from medcrypt.aggregation import MaskingClient, MaskingServer, MessageType, Plan, Signer
from medcrypt.aggregation.messages import read_message
from medcrypt.errors import MedcryptError

NAMES = ("A", "B")
IDENTITIES = {name: Identity.from_bytes(name[0].encode() * 64) for name in (*NAMES, "server")}
PLAN = Plan(
    clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (2,)},
    parties={name: identity.recipient for name, identity in IDENTITIES.items()},
)  # fmt: skip
STEPS = ("share", "upload", "confirm", "reveal")
# What is said in the first round, in the answers to it, and so on: the byte in front of a body.
KINDS = (
    MessageType.KEYS,
    MessageType.ROSTER,
    MessageType.SHARES,
    MessageType.PARTICIPANTS,
    MessageType.MASKED,
    MessageType.UPLOADERS,
    MessageType.CONFIRMATION,
    MessageType.CONFIRMATIONS,
    MessageType.REVEAL,
)


def seeds() -> list[bytes]:
    return [
        bytes([place]) + bytes(read_message(PLAN, message, {kind}).body)
        for place, kind in enumerate(KINDS)
        for message in [_round_until(place)[2]]
    ]


def parse(data: bytes) -> None:
    if not data or data[0] >= len(KINDS):
        return
    place = data[0]
    client, server, _ = _round_until(place)
    sender = "server" if place % 2 else "A"
    message = Signer(PLAN, sender, IDENTITIES[sender]).write(KINDS[place], data[1:])
    with suppress(MedcryptError):
        if place % 2:
            _answer(client, STEPS[place // 2], message)
        else:
            server.receive(message)


def _answer(client: MaskingClient, step: str, message: bytes) -> bytes:
    if step == "upload":
        return client.upload(message, {"w": [0.5, -0.5]})
    answer: bytes = getattr(client, step)(message)
    return answer


def _round_until(place: int) -> tuple[MaskingClient, MaskingServer, bytes]:
    """Client A and the server just before message number `place`, and what it would be."""
    server = MaskingServer(PLAN, IDENTITIES["server"])
    clients = [MaskingClient(PLAN, name, IDENTITIES[name]) for name in NAMES]
    messages = [client.advertise() for client in clients]
    for step, closing in zip(STEPS, range(1, 9, 2), strict=True):
        if place == closing - 1:
            return clients[0], server, messages[0]
        for message in messages:
            server.receive(message)
        answers = server.close()
        if place == closing:
            return clients[0], server, answers["A"]
        messages = [_answer(client, step, answers[client.name]) for client in clients]
    return clients[0], server, messages[0]
