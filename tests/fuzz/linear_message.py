"""Queries to a linear model under Paillier, its answers and its form: what a dishonest client or server can send."""

from medcrypt import paillier
from medcrypt.inference.linear import Form, LinearClient, LinearServer

PUBLIC, PRIVATE = paillier.generate_keypair(512, insecure=True)
FORM = Form(features=3, outputs=2, clip=1.0, bits=8, weight_clip=1.0, weight_bits=8)
SERVER = LinearServer(FORM, [[0.5, -1.0, 0.25], [1.0, 0.0, -0.5]], limit=None)


def seeds() -> list[bytes]:
    client = LinearClient(FORM, PRIVATE)
    query = client.query([0.5, 0.5, -0.5])
    return [b"\0" + query, b"\1" + SERVER.answer(query, PUBLIC), b"\2" + FORM.to_bytes()]


def parse(data: bytes) -> None:
    if not data or data[0] > 2:
        return
    message = bytes(data[1:])
    if data[0] == 0:
        SERVER.answer(message, PUBLIC)
    elif data[0] == 1:
        client = LinearClient(FORM, PRIVATE)
        client.query([0.0, 0.0, 0.0])
        client._asked = {message[69:85]: next(iter(client._asked.values()))}  # whatever it claims to answer
        client.scores(message)
    else:
        Form.from_bytes(message)
