"""Both roles of the masking protocol in plain Python, from docs/formats/masking.md; only Ed25519 is borrowed.

Nothing here is constant time, checks anything or is fast. Clients are given their coins.
"""

import hashlib
import hmac
import struct
from dataclasses import dataclass, field

from Crypto.Signature import eddsa

from reference import aes_ctr, aes_gcm, shamir

P = 2**255 - 19
DOMAIN = b"medcrypt/aggregation/masking/v1\0"
KEYS, ROSTER, DELIVERY, SHARES, PARTICIPANTS, STATEMENT, MASKED, UPLOADERS = range(16, 24)
CONFIRMATION, CONFIRMATIONS, REVEAL = range(24, 27)


def x25519(scalar: bytes, u: bytes = (9).to_bytes(32, "little")) -> bytes:
    """RFC 7748, section 5."""
    k = int.from_bytes(scalar, "little") & ~(7 | 128 << 248) | 64 << 248
    x1 = int.from_bytes(u, "little") % 2**255
    x2, z2, x3, z3 = 1, 0, x1, 1
    for bit in range(254, -1, -1):
        one = k >> bit & 1
        if one:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
        if one:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


def expand(key: bytes, info: bytes) -> bytes:
    """HKDF-Expand with SHA-512 (RFC 5869, 2.3): its first 32 bytes."""
    return hmac.digest(key, info + b"\1", "sha512")[:32]


@dataclass
class Federation:
    """What everybody knows: the plan's numbers and hash, names in order, sizes of the complete graph."""

    digest: bytes
    round_id: int
    names: list[str]
    server: str
    threshold: int
    bits: int
    signing: dict[str, bytes] = field(default_factory=dict)  # Ed25519 seeds

    def envelope(self, kind: int, sender: str, body: bytes) -> bytes:
        """Sign a message."""
        name = sender.encode()
        head = b"MCAG" + struct.pack(">BB32sQB", 1, kind, self.digest, self.round_id, len(name)) + name
        head += struct.pack(">Q", len(body))
        signed = b"medcrypt/aggregation/message/v1\0" + head + hashlib.sha256(body).digest()
        key = eddsa.import_private_key(self.signing[sender])
        return head + body + bytes(eddsa.new(key, "rfc8032").sign(signed))

    def body(self, message: bytes) -> bytes:
        """Cut the envelope off."""
        start = 4 + 1 + 1 + 32 + 8 + 1 + message[46] + 8
        return message[start:-64]

    def bitmap(self, members: list[int]) -> bytes:
        """One bit for each client."""
        size = -(-len(self.names) // 8)
        return sum(1 << (8 * size - 1 - i) for i in members).to_bytes(size, "big")

    def set_hash(self, members: list[int]) -> bytes:
        """The hash of a set."""
        return hashlib.sha256(b"medcrypt/aggregation/set/v1\0" + self.digest + self.bitmap(members)).digest()

    def commit(self, what: bytes, dealer: int, holder: int, secret: bytes) -> bytes:
        """The hash that fixes a secret."""
        numbers = struct.pack(">II", dealer, holder)
        return hashlib.sha256(
            DOMAIN + b"commitment\0" + self.digest + what + b"\0" + numbers + secret
        ).digest()

    def agreed(self, private: bytes, own: int, public: bytes, other: int) -> bytes:
        """What two clients know."""
        mine = x25519(private)
        publics = mine + public if own < other else public + mine
        return hmac.digest(DOMAIN + self.digest, x25519(private, public) + publics, "sha512")

    def mask(self, key: bytes, count: int) -> list[int]:
        """The mask of a key."""
        size = 4 if self.bits <= 32 else 8
        stream = aes_ctr.stream(key, 0, count * size)
        return [int.from_bytes(stream[i * size : (i + 1) * size], "little") for i in range(count)]

    def pair_mask(self, private: bytes, own: int, public: bytes, other: int, count: int) -> list[int]:
        """What the client `own` adds because of `other`."""
        numbers = struct.pack(">II", min(own, other), max(own, other))
        mask = self.mask(expand(self.agreed(private, own, public, other), b"pair mask" + numbers), count)
        return mask if own < other else [-value for value in mask]

    def self_mask(self, seed: bytes, own: int, count: int) -> list[int]:
        """What a client adds on its own."""
        info = DOMAIN + self.digest + b"self mask" + struct.pack(">I", own)
        return self.mask(expand(seed, info), count)

    def packed(self, values: list[int]) -> bytes:
        """Values modulo 2^bits, little-endian."""
        return b"".join((v % (1 << self.bits)).to_bytes(-(-self.bits // 8), "little") for v in values)


def listed(items: list[bytes]) -> bytes:
    """A list."""
    return struct.pack(">I", len(items)) + b"".join(struct.pack(">I", len(i)) + i for i in items)


def read_list(data: bytes) -> tuple[list[bytes], bytes]:
    """A list and what follows it."""
    (count,), at, items = struct.unpack_from(">I", data), 4, []
    for _ in range(count):
        (size,) = struct.unpack_from(">I", data, at)
        items.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return items, data[at:]


def sender(message: bytes) -> str:
    """Who says to have written a message."""
    return message[47 : 47 + message[46]].decode()


class Client:
    """One client; `coins` are mask key, channel key, seed (32 each) and the coefficients of the shares."""

    def __init__(self, federation: Federation, name: str, coins: bytes) -> None:
        self.f, self.name, self.own = federation, name, federation.names.index(name)
        self.mask_key, self.channel_key, self.seed = coins[:32], coins[32:64], coins[64:96]
        self.coefficients = coins[96:]

    def advertise(self) -> bytes:
        return self.f.envelope(KEYS, self.name, x25519(self.mask_key) + x25519(self.channel_key))

    def share(self, roster: bytes) -> bytes:
        items, _ = read_list(self.f.body(roster))
        bodies = {self.f.names.index(sender(item)): self.f.body(item) for item in items}
        self.mask_publics = {number: body[:32] for number, body in bodies.items()}
        self.channels = {
            number: self.f.agreed(self.channel_key, self.own, body[32:], number)
            for number, body in bodies.items()
        }
        holders = sorted([*bodies, self.own])
        secret, points = self.seed + self.mask_key, [holder + 1 for holder in holders]
        dealt = dict(
            zip(holders, shamir.split(secret, points, self.f.threshold, self.coefficients), strict=True)
        )
        self.shares, deliveries = {self.own: dealt[self.own]}, []
        commitments = {
            holder: self.f.commit(b"seed share", self.own, holder, share[:32])
            + self.f.commit(b"key share", self.own, holder, share[32:])
            for holder, share in dealt.items()
        }
        for holder in holders:
            if holder == self.own:
                continue
            head = struct.pack(">I", holder) + commitments[holder]
            key = expand(self.channels[holder], b"channel" + struct.pack(">II", self.own, holder))
            sealed = aes_gcm.seal(key, bytes(12), dealt[holder], head)
            deliveries.append(self.f.envelope(DELIVERY, self.name, head + sealed))
        to_seed = self.f.commit(b"seed", self.own, self.own, self.seed)
        return self.f.envelope(SHARES, self.name, to_seed + commitments[self.own] + listed(deliveries))

    def upload(self, participants: bytes, integers: list[int]) -> bytes:
        body = self.f.body(participants)
        size = -(-len(self.f.names) // 8)
        self.participants = [i for i in range(len(self.f.names)) if body[i // 8] >> (7 - i % 8) & 1]
        for item in read_list(body[size:])[0]:
            dealer, inner = self.f.names.index(sender(item)), self.f.body(item)
            key = expand(self.channels[dealer], b"channel" + struct.pack(">II", dealer, self.own))
            self.shares[dealer] = aes_gcm.unseal(key, bytes(12), inner[68:], inner[:68])
        values = [
            a + b for a, b in zip(integers, self.f.self_mask(self.seed, self.own, len(integers)), strict=True)
        ]
        for other in self.participants:
            if other != self.own:
                mask = self.f.pair_mask(
                    self.mask_key, self.own, self.mask_publics[other], other, len(integers)
                )
                values = [a + b for a, b in zip(values, mask, strict=True)]
        statement = self.f.envelope(STATEMENT, self.name, self.f.set_hash(self.participants))
        return self.f.envelope(MASKED, self.name, listed([statement]) + self.f.packed(values))

    def confirm(self, uploaders: bytes) -> bytes:
        body = self.f.body(uploaders)
        self.uploaders = [i for i in range(len(self.f.names)) if body[i // 8] >> (7 - i % 8) & 1]
        self.hashes = self.f.set_hash(self.participants) + self.f.set_hash(self.uploaders)
        return self.f.envelope(CONFIRMATION, self.name, self.hashes)

    def reveal(self, confirmations: bytes) -> bytes:
        opened = [
            share[:32] if dealer in self.uploaders else share[32:]
            for dealer, share in sorted(self.shares.items())
        ]
        return self.f.envelope(REVEAL, self.name, self.hashes + b"".join(opened))


class Server:
    """The server of the complete graph; each method takes the messages of one round, by sender."""

    def __init__(self, federation: Federation) -> None:
        self.f = federation

    def _ordered(self, messages: list[bytes]) -> dict[int, bytes]:
        return dict(sorted((self.f.names.index(sender(message)), message) for message in messages))

    def roster(self, messages: list[bytes]) -> dict[str, bytes]:
        self.keys = self._ordered(messages)
        return {
            self.f.names[i]: self.f.envelope(
                ROSTER, self.f.server, listed([item for j, item in self.keys.items() if j != i])
            )
            for i in self.keys
        }

    def participants(self, messages: list[bytes]) -> dict[str, bytes]:
        received = self._ordered(messages)
        self.crowd = list(received)
        boxes: dict[int, list[bytes]] = {i: [] for i in received}
        for message in received.values():
            for item in read_list(self.f.body(message)[96:])[0]:
                receiver = int.from_bytes(self.f.body(item)[:4], "big")
                if receiver in boxes:
                    boxes[receiver].append(item)
        head = self.f.bitmap(self.crowd)
        return {
            self.f.names[i]: self.f.envelope(PARTICIPANTS, self.f.server, head + listed(box))
            for i, box in boxes.items()
        }

    def uploaders(self, messages: list[bytes]) -> dict[str, bytes]:
        received = self._ordered(messages)
        self.uploaded, statements, self.sum = list(received), {}, None
        size = -(-self.f.bits // 8)
        for number, message in received.items():
            items, packed = read_list(self.f.body(message))
            statements[number] = items[0]
            values = [int.from_bytes(packed[i : i + size], "little") for i in range(0, len(packed), size)]
            self.sum = values if self.sum is None else [a + b for a, b in zip(self.sum, values, strict=True)]
        head = self.f.bitmap(self.uploaded)
        return {
            self.f.names[i]: self.f.envelope(
                UPLOADERS, self.f.server, head + listed([item for j, item in statements.items() if j != i])
            )
            for i in received
        }

    def confirmations(self, messages: list[bytes]) -> dict[str, bytes]:
        chosen = list(self._ordered(messages).values())[: self.f.threshold]
        message = self.f.envelope(CONFIRMATIONS, self.f.server, listed(chosen))
        return {self.f.names[i]: message for i in self.uploaded}

    def total(self, messages: list[bytes]) -> list[int]:
        shares: dict[int, dict[int, bytes]] = {i: {} for i in self.crowd}
        for number, message in self._ordered(messages).items():
            opened = self.f.body(message)[64:]
            for place, dealer in enumerate(self.crowd):
                shares[dealer][number + 1] = opened[32 * place : 32 * place + 32]
        total = list(self.sum or [])
        for dealer in self.crowd:
            points = sorted(shares[dealer])[: self.f.threshold]
            secret = shamir.combine(points, [shares[dealer][x] for x in points])
            if dealer in self.uploaded:
                masks = [self.f.self_mask(secret, dealer, len(total))]
            else:  # what the others added because of this client is the opposite of what it would have added
                publics = {other: self.f.body(self.keys[other])[:32] for other in self.uploaded}
                masks = [
                    [-value for value in self.f.pair_mask(secret, dealer, publics[other], other, len(total))]
                    for other in self.uploaded
                ]
            for mask in masks:
                total = [a - b for a, b in zip(total, mask, strict=True)]
        modulus = 1 << self.f.bits
        return [(value + modulus // 2) % modulus - modulus // 2 for value in total]


STEPS = ("share", "upload", "confirm", "reveal")


def transcript(
    federation: Federation, purses: dict[str, bytes], integers: dict[str, list[int]], gone: dict[str, str]
) -> tuple[list[bytes], list[int]]:
    """Run everybody: all messages in order, and the sum. `gone` says which step a client does not reach."""
    clients = {name: Client(federation, name, purses[name]) for name in federation.names}
    server = Server(federation)
    present = [name for name in clients if gone.get(name) != "advertise"]
    sent = [clients[name].advertise() for name in present]
    messages = list(sent)
    closing = (server.roster, server.participants, server.uploaders, server.confirmations)
    for step, close in zip(STEPS, closing, strict=True):
        answers = close(sent)
        messages += answers.values()
        present = [name for name in present if gone.get(name) != step]
        more = {name: (integers[name],) if step == "upload" else () for name in present}
        sent = [getattr(clients[name], step)(answers[name], *more[name]) for name in present]
        messages += sent
    return messages, server.total(sent)


def ring(digest: bytes, clients: int) -> list[int]:
    """The order of the clients on the ring."""
    label = b"medcrypt/aggregation/graph/v1\0"
    return sorted(
        range(clients), key=lambda i: hashlib.sha256(label + digest + struct.pack(">I", i)).digest()
    )


def ring_neighbours(digest: bytes, clients: int, degree: int, client: int) -> list[int]:
    """The nearest clients on the ring, half on each side."""
    order = ring(digest, clients)
    place = order.index(client)
    away = [min((p - place) % clients, (place - p) % clients) for p in range(clients)]
    return sorted(order[p] for p in range(clients) if 1 <= away[p] <= degree // 2)
