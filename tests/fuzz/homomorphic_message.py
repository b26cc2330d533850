"""Bodies of uploads, requests and openings, correctly signed; whole envelopes; and the files of ledgers."""

import tempfile
from contextlib import suppress
from pathlib import Path

from medcrypt import Identity
from medcrypt.aggregation import (
    HomomorphicClient,
    HomomorphicHolder,
    HomomorphicServer,
    Ledger,
    MessageType,
    Plan,
    Signer,
    read_message,
)
from medcrypt.errors import MedcryptError
from medcrypt.paillier import deal_threshold_key

NAMES = ("A", "B", "server", "K", "L")
IDENTITIES = {name: Identity.from_bytes(name[0].encode() * 64) for name in NAMES}
PUBLIC, SHARES = deal_threshold_key(2, 2, 256, insecure=True)
PLAN = Plan(
    clients=2, threshold=2, clip=1.0, bits=8, shapes={"w": (2,)}, holders=["K", "L"], key=PUBLIC,
    parties={name: identity.recipient for name, identity in IDENTITIES.items()},
)  # fmt: skip
LEDGER = Path(tempfile.mkdtemp(prefix="medcrypt-fuzz-")) / "ledger"


def seeds() -> list[bytes]:
    """The byte in front says what follows: an envelope, a body of each type, or a ledger."""
    server = _server()
    upload, request = _upload("B"), server.request()
    opening = _holder().open(request)
    bodies = [
        bytes([kind]) + bytes(read_message(PLAN, message, {kind}).body)
        for kind, message in zip(MessageType, (upload, request, opening), strict=False)
    ]
    return [b"\x00" + upload, *bodies, b"\x04" + LEDGER.read_bytes()]


def parse(data: bytes) -> None:
    if not data or data[0] > 4:
        return
    kind, body = data[0], data[1:]
    with suppress(MedcryptError):
        if kind == 0:
            read_message(PLAN, body, set(MessageType))
        elif kind == MessageType.UPLOAD:
            HomomorphicServer(PLAN, PUBLIC).receive(_signed("B", MessageType.UPLOAD, body))
        elif kind == MessageType.REQUEST:
            _holder().open(_signed("server", MessageType.REQUEST, body))
        elif kind == MessageType.OPENING:
            server = _server()
            server.request()
            server.receive(_signed("K", MessageType.OPENING, body))
        else:
            LEDGER.write_bytes(body)
            Ledger(LEDGER, "K", PUBLIC.fingerprint).claim(bytes(32), bytes(32))


def _signed(name: str, kind: MessageType, body: bytes) -> bytes:
    return Signer(PLAN, name, IDENTITIES[name]).write(kind, body)


def _upload(name: str) -> bytes:
    return HomomorphicClient(PLAN, PUBLIC, name, IDENTITIES[name]).encrypt({"w": [0.5, -0.5]})


def _server() -> HomomorphicServer:
    server = HomomorphicServer(PLAN, PUBLIC, IDENTITIES["server"])
    for name in ("A", "B"):
        server.receive(_upload(name))
    return server


def _holder() -> HomomorphicHolder:
    LEDGER.unlink(missing_ok=True)
    ledger = Ledger.create(LEDGER, "K", PUBLIC.fingerprint)
    return HomomorphicHolder(PLAN, SHARES[0], "K", IDENTITIES["K"], ledger)
