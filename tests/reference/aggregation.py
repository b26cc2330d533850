"""Readable twin of `medcrypt.aggregation`, homomorphic back-end: each role from docs/formats/aggregation.md.

Nothing here is shared with the library: signatures are made by pyca/cryptography, Paillier is one integer at a
time, and randomness is always an argument.
"""

import hashlib
import struct
from dataclasses import dataclass, field
from math import ceil, log2, prod

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from reference import paillier, paillier_proofs


def numbered(value: int, size: int) -> bytes:
    return value.to_bytes(size, "big")


def prefixed(data: bytes, size: int) -> bytes:
    return numbered(len(data), size) + data


def optional(present: bool, data: bytes) -> bytes:
    return b"\x01" + data if present else b"\x00"


@dataclass(frozen=True)
class Plan:
    """The fields of a plan, as plain values; keys of parties are 32 bytes, and so is that of an encryption key."""

    clients: int
    threshold: int
    clip: float
    bits: int
    shapes: dict[str, tuple[int, ...]]
    weighted: bool = False
    max_weight: int = 1
    l2_clip: float | None = None
    colluders: int | None = None
    round_id: int = 0
    proofs: bool = True
    server: str = "server"
    holders: tuple[str, ...] = ()
    key: bytes | None = None
    parties: dict[str, bytes] | None = field(default=None)

    def encoding(self) -> bytes:
        in_order = sorted(self.shapes, key=str.encode)
        fields = [
            b"MCPL\x01",
            numbered(self.clients, 4),
            numbered(self.threshold, 4),
            struct.pack(">d", self.clip),
            numbered(self.bits, 1),
            numbered(self.weighted, 1),
            numbered(self.max_weight, 8),
            optional(self.l2_clip is not None, struct.pack(">d", self.l2_clip or 0)),
            optional(self.colluders is not None, numbered(self.colluders or 0, 4)),
            numbered(self.round_id, 8),
            numbered(self.proofs, 1),
            numbered(len(in_order), 4),
        ]
        for name in in_order:
            fields += [prefixed(name.encode(), 1), numbered(len(self.shapes[name]), 1)]
            fields += [numbered(side, 8) for side in self.shapes[name]]
        fields += [b"\x00", numbered(0, 4), prefixed(self.server.encode(), 1), numbered(len(self.holders), 4)]
        fields += [prefixed(name.encode(), 1) for name in sorted(self.holders, key=str.encode)]
        fields += [optional(self.key is not None, self.key or b"")]
        fields += [optional(self.parties is not None, numbered(len(self.parties or {}), 4))]
        for name in sorted(self.parties or {}, key=str.encode):
            fields += [prefixed(name.encode(), 1), self.parties[name]]
        return b"".join(fields)

    def digest(self) -> bytes:
        return hashlib.sha256(b"medcrypt/aggregation/plan/v1\x00" + self.encoding()).digest()

    def modulus_bits(self) -> int:
        return self.bits + ceil(log2(self.clients * self.max_weight))

    def headroom(self) -> int:
        return ceil(log2(self.max_weight))

    def layout(self) -> paillier.Layout:
        """Slots of values with their headroom; the offset is that of a value of so many bits."""
        return paillier.Layout(self.clip, self.bits + self.headroom(), self.clients)

    def dimension(self) -> int:
        return self.weighted + sum(prod(shape) for shape in self.shapes.values())


def centred(x: int, bits: int) -> int:
    """The representative of x modulo 2^bits in [-2^(bits-1), 2^(bits-1))."""
    return (x + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)


def contribution(plan: Plan, values: list[float], weight: int = 1) -> list[int]:
    """One client's integers, from its arrays laid out in order."""
    steps = [paillier.quantise(paillier.Layout(plan.clip, plan.bits, 1), x) for x in values]
    return [weight] * plan.weighted + [weight * q for q in steps]


# Messages


def signed_part(header: bytes, body: bytes) -> bytes:
    return b"medcrypt/aggregation/message/v1\x00" + header + hashlib.sha256(body).digest()


def message(plan: Plan, kind: int, sender: str, body: bytes, key: Ed25519PrivateKey | None) -> bytes:
    header = b"MCAG\x01" + numbered(kind, 1) + plan.digest() + numbered(plan.round_id, 8)
    header += prefixed(sender.encode(), 1) + numbered(len(body), 8)
    return header + body + (key.sign(signed_part(header, body)) if key else b"")


def opened_message(plan: Plan, data: bytes, kind: int) -> tuple[str, bytes, bytes]:
    """Sender, body and digest of a message that is as it should be."""
    assert data[:6] == b"MCAG\x01" + bytes([kind])
    assert data[6:38] == plan.digest()
    assert data[38:46] == numbered(plan.round_id, 8)
    k = data[46]
    sender = data[47 : 47 + k].decode()
    m = int.from_bytes(data[47 + k : 55 + k], "big")
    header, body, signature = data[: 55 + k], data[55 + k : 55 + k + m], data[55 + k + m :]
    if plan.parties is None:
        assert signature == b""
    else:
        public = Ed25519PublicKey.from_public_bytes(plan.parties[sender])
        public.verify(signature, signed_part(header, body))
    return sender, body, hashlib.sha256(signed_part(header, body)).digest()


# Roles


def array_bytes(plan: Plan, n: int, ciphertexts: list[int]) -> bytes:
    headroom = plan.headroom()
    fields = [
        b"MCPA",
        bytes([2 if headroom else 1, plan.bits]),
        numbered(plan.clients, 8),
        numbered(1, 8),
        struct.pack(">d", plan.clip),
        paillier.fingerprint(n),
        b"\x01",
        bytes([1, headroom]) if headroom else b"",
        numbered(plan.dimension(), 8),
        prefixed(plan.digest(), 1),
        *(numbered(c, (2 * n.bit_length() + 7) // 8) for c in ciphertexts),
    ]
    return b"".join(fields)


def upload_context(plan: Plan, sender: str) -> bytes:
    return (
        b"medcrypt/aggregation/upload/v1\x00" + plan.digest() + numbered(plan.round_id, 8) + sender.encode()
    )


def client_upload(
    plan: Plan,
    n: int,
    sender: str,
    integers: list[int],
    units: list[int],
    key: Ed25519PrivateKey | None,
    draw: paillier_proofs.Draw,
) -> bytes:
    plaintexts = paillier.pack(plan.layout(), n, integers)
    ciphertexts = [(1 + m * n) * pow(r, n, n * n) % (n * n) for m, r in zip(plaintexts, units, strict=True)]
    proof = b""
    if plan.proofs:
        context = upload_context(plan, sender)
        proof = paillier_proofs.prove_plaintexts(n, ciphertexts, plaintexts, units, context, draw)
    return message(plan, 1, sender, prefixed(proof, 4) + array_bytes(plan, n, ciphertexts), key)


def uploaded_ciphertexts(plan: Plan, n: int, data: bytes) -> tuple[str, list[int], bytes]:
    """Sender, ciphertexts and digest of an upload, after all checks."""
    sender, body, digest = opened_message(plan, data, 1)
    proof_length = int.from_bytes(body[:4], "big")
    proof, array = body[4 : 4 + proof_length], body[4 + proof_length :]
    width = (2 * n.bit_length() + 7) // 8
    count = ceil(plan.dimension() / plan.layout().slots(n))
    tail = array[len(array) - count * width :]
    ciphertexts = [int.from_bytes(tail[i * width : (i + 1) * width], "big") for i in range(count)]
    assert array == array_bytes(plan, n, ciphertexts)
    if plan.proofs:
        paillier_proofs.verify_plaintexts(n, ciphertexts, proof, upload_context(plan, sender))
    else:
        assert proof == b""
    return sender, ciphertexts, digest


def server_request(plan: Plan, uploads: list[bytes], key: Ed25519PrivateKey) -> bytes:
    in_order = sorted(uploads, key=lambda data: data[47 : 47 + data[46]])
    body = numbered(len(uploads), 4) + b"".join(prefixed(data, 8) for data in in_order)
    return message(plan, 2, plan.server, body, key)


def requested_uploads(plan: Plan, data: bytes) -> list[bytes]:
    sender, body, _ = opened_message(plan, data, 2)
    assert sender == plan.server
    count, at, uploads = int.from_bytes(body[:4], "big"), 4, []
    for _ in range(count):
        length = int.from_bytes(body[at : at + 8], "big")
        uploads.append(body[at + 8 : at + 8 + length])
        at += 8 + length
    assert at == len(body)
    return uploads


def added(plan: Plan, n: int, uploads: list[bytes]) -> tuple[list[int], bytes]:
    """The product of all ciphertexts, and the digest of the contributions."""
    opened = [uploaded_ciphertexts(plan, n, data) for data in uploads]
    names = [sender.encode() for sender, _, _ in opened]
    assert names == sorted(set(names))
    assert len(names) >= plan.threshold
    total = [1] * len(opened[0][1])
    for _, ciphertexts, _ in opened:
        total = [x * c % (n * n) for x, c in zip(total, ciphertexts, strict=True)]
    parts = [prefixed(sender.encode(), 8) + digest for sender, _, digest in opened]
    return total, hashlib.sha256(b"medcrypt/aggregation/contributions/v1\x00" + b"".join(parts)).digest()


def decrypted(plan: Plan, key: paillier.Key, total: list[int], terms: int) -> list[int]:
    plaintexts = [paillier.decrypt(key, c) for c in total]
    return paillier.unpack(plan.layout(), key.n, plaintexts, plan.dimension(), terms)


def holder_opening(
    plan: Plan, key: paillier.Key, request: bytes, name: str, signing_key: Ed25519PrivateKey
) -> bytes:
    uploads = requested_uploads(plan, request)
    total, digest = added(plan, key.n, uploads)
    sums = decrypted(plan, key, total, len(uploads))
    body = digest + b"\x01" + b"".join(x.to_bytes(8, "big", signed=True) for x in sums)
    return message(plan, 3, name, body, signing_key)


def opened_sums(plan: Plan, opening: bytes) -> list[int]:
    _, body, _ = opened_message(plan, opening, 3)
    assert body[32:33] == b"\x01"
    return [int.from_bytes(body[i : i + 8], "big", signed=True) for i in range(33, len(body), 8)]


# Ledger


def ledger(fingerprint: bytes, owner: str, records: list[tuple[bytes, bytes]]) -> bytes:
    domain = b"medcrypt/aggregation/ledger/v1\x00"
    data = b"MCLG\x01" + hashlib.sha256(domain + fingerprint + owner.encode()).digest()
    chain = hashlib.sha256(domain + data).digest()
    for plan, contributions in records:
        chain = hashlib.sha256(domain + chain + plan + contributions).digest()
        data += plan + contributions + chain
    return data
