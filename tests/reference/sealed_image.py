"""A second reader of sealed images, written from docs/formats/images.md and docs/formats/keys.md alone.

Plain and slow. It shares no code with the library: HPKE and Ed25519 come from `cryptography`, AES-GCM from
pycryptodome (`reference.cobblestone`), the rest from the standard library.
"""

import hashlib
import itertools
import json
import struct
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from reference import chaotic_cipher, cobblestone

PIXEL_TYPES = {"|b1", "|i1", "|u1"} | {
    order + kind
    for order in "<>"
    for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}


class RefusedError(Exception):
    """The bytes are not a sealed image that this key opens."""


def require(truth: object) -> None:
    if not truth:
        raise RefusedError


@dataclass
class Parts:
    """A sealed image taken apart."""

    signed: bool
    cipher: int
    pixel_type: str
    shape: tuple[int, ...]
    tiles: tuple[int, ...]
    signer: bytes
    public: dict[str, Any]
    private: bytes
    header: bytes
    slots: tuple[bytes, bytes]
    body: bytes
    trailer: bytes


@dataclass
class Opened:
    """What a reader gets."""

    array: np.ndarray
    metadata: dict[str, Any]
    public: dict[str, Any]
    signer: bytes


def take_apart(data: bytes) -> Parts:
    """Follow the table of the header."""
    require(len(data) >= 64)
    magic, kind, version, flags, size, slot, cipher, order, rank, zero, name, public, private, _, zeros = (
        struct.unpack("<8sBBHIIBBBB4sII16s12s", data[:64])
    )
    require(magic == b"MEDCRYPT")
    require((kind, version, zero) == (ord("I"), 1, 0))
    require(cipher in (1, 2, 3))
    require(order in (0, 1))
    require(flags in (0, 1))
    require(zeros == bytes(12))
    require(rank <= 32)
    require(slot % 64 == 0)
    require(128 <= slot <= 2**20)
    require(public <= 2**20)
    require(private <= cobblestone_size(2**24))
    require(private == 0 or is_cobblestone_size(private))  # and not that of an empty plaintext
    signer_size = 32 * flags
    shapes_size = 8 * rank * (1 + order)
    require(size == 64 + shapes_size + signer_size + public + private)
    require(len(data) >= size)
    pixel_type = name.decode("ascii", "replace").rstrip(" ")
    require(pixel_type in PIXEL_TYPES)
    require(pixel_type.ljust(4).encode() == name)
    shape = struct.unpack(f"<{rank}Q", data[64 : 64 + 8 * rank])
    require(prod(n or 1 for n in shape) * int(pixel_type[2:]) < 2**52)
    tiles = struct.unpack(f"<{rank * order}Q", data[64 + 8 * rank : 64 + shapes_size])
    if order == 1:
        require(rank >= 1)
        require(all(1 <= tile <= max(n, 1) for tile, n in zip(tiles, shape, strict=True)))
    at = 64 + shapes_size
    signer = data[at : at + signer_size]
    public_json = data[at + signer_size : at + signer_size + public]
    count = prod(shape) * int(pixel_type[2:]) + (16 if cipher == 2 else 0)
    body_size = cobblestone_size(count)
    body_at = size + 2 * slot
    trailer_size = 32 * (count // 16384 + 1) + 64 if flags else 0
    require(len(data) == body_at + body_size + trailer_size)
    return Parts(
        signed=bool(flags),
        cipher=cipher,
        pixel_type=pixel_type,
        shape=shape,
        tiles=tiles,
        signer=signer,
        public=from_json(public_json),
        private=data[size - private : size],
        header=data[:size],
        slots=(data[size : size + slot], data[size + slot : body_at]),
        body=data[body_at : body_at + body_size],
        trailer=data[body_at + body_size :],
    )


def read(data: bytes, kind: str, key: bytes, context: bytes = b"", sender: bytes | None = None) -> Opened:
    """Open a sealed image.

    `kind` is "secret-key" (key: its 32 bytes), "identity" or "hybrid-identity" (64 bytes) or "passphrase";
    `sender` an Ed25519 public key.
    """
    parts = take_apart(data)
    digest = hashlib.sha512(parts.header).digest()
    file_key = find_file_key(parts, digest, kind, key)
    if sender is not None:
        require(parts.signed)
        require(parts.signer == sender)
    if parts.signed:
        check_signature(parts, digest, context)
    pixels = cobblestone.decrypt(file_key, parts.body, b"medcrypt/v1/image" + digest + context)
    require(pixels is not None)
    pixels = from_inner_cipher(parts, file_key, digest + context, pixels)
    metadata = b""
    if parts.private:
        before = hashlib.sha512(parts.header[: -len(parts.private)]).digest()
        metadata = cobblestone.decrypt(file_key, parts.private, b"medcrypt/v1/metadata" + before + context)
        require(metadata)
    array = np.frombuffer(pixels, dtype=parts.pixel_type)
    array = from_tiles(array, parts.shape, parts.tiles) if parts.tiles else array.reshape(parts.shape)
    return Opened(array, from_json(metadata), parts.public, parts.signer)


def from_inner_cipher(parts: Parts, file_key: bytes, binding: bytes, stored: bytes) -> bytes:
    """Undo the chaotic cipher inside, where there is one (docs/formats/chaotic.md)."""
    file_id = parts.header[36:52]
    if parts.cipher == 2:
        return chaotic_cipher.decrypt(file_key, file_id, stored[-16:], stored[:-16], binding)
    if parts.cipher == 3:
        return chaotic_cipher.crypt_counter(file_key, file_id, stored, binding)
    return stored


def from_tiles(stored: np.ndarray, shape: tuple[int, ...], tiles: tuple[int, ...]) -> np.ndarray:
    """Put the tiles, stored one after another, where they belong."""
    array, at = np.empty(shape, stored.dtype), 0
    for corner in itertools.product(
        *(range(0, length, tile) for length, tile in zip(shape, tiles, strict=True))
    ):
        place = tuple(slice(low, low + tile) for low, tile in zip(corner, tiles, strict=True))
        count = array[place].size
        array[place] = stored[at : at + count].reshape(array[place].shape)
        at += count
    return array


# ---- recipients ----------------------------------------------------------------------------------------


def find_file_key(parts: Parts, digest: bytes, kind: str, key: bytes) -> bytes:
    """Try the slots from the highest generation down."""
    parsed = [parse_slot(number, slot) for number, slot in enumerate(parts.slots)]
    order = sorted((slot[0], number) for number, slot in enumerate(parsed) if slot)
    for generation, number in reversed(order):
        for stanza_kind, body in parsed[number][1]:
            file_key = unwrap(stanza_kind, body, kind, key, b"medcrypt/v1/file-key" + digest)
            if file_key is None or not has_right_mac(parts.slots[number], file_key, digest):
                continue
            other = parsed[1 - number]
            if other is None:
                require(parts.slots[1 - number] == bytes(len(parts.slots[0])))
            else:
                require(abs(other[0] - generation) == 1)
                require(has_right_mac(parts.slots[1 - number], file_key, digest))
            return file_key
    raise RefusedError


def parse_slot(number: int, slot: bytes) -> tuple[int, list[tuple[int, bytes]]] | None:
    """Return generation and stanzas, or None for a malformed slot."""
    content = slot[:-32]
    generation, count = struct.unpack("<IB", content[:5])
    if generation == 0 or count == 0 or generation % 2 == number or content[5:8] != bytes(3):
        return None
    rest, stanzas = content[8:], []
    for _ in range(count):
        if len(rest) < 3:
            return None
        kind, length = struct.unpack("<BH", rest[:3])
        body, rest = rest[3 : 3 + length], rest[3 + length :]
        if kind == 0 or len(body) != length or length != {1: 112, 2: 88, 3: 123, 4: 1176}.get(kind, length):
            return None
        stanzas.append((kind, body))
    if rest != bytes(len(rest)):
        return None
    passphrases = [body for kind, body in stanzas if kind == 3]
    if passphrases and (count != 1 or not is_affordable(passphrases[0][16:19])):
        return None
    return generation, stanzas


def is_affordable(cost: bytes) -> bool:
    log2_n, r, p = cost
    bounds = 1 <= r <= 32 and 1 <= p <= 4 and 1 <= log2_n <= 24 and log2_n < 16 * r
    return bounds and 128 * r * 2**log2_n <= 2**28


def has_right_mac(slot: bytes, file_key: bytes, digest: bytes) -> bool:
    return slot[-32:] == cobblestone.expand(file_key, b"medcrypt/v1/recipients" + digest + slot[:-32], 32)


def unwrap(stanza_kind: int, body: bytes, kind: str, key: bytes, binding: bytes) -> bytes | None:
    """Return the file key, or None where this key does not open this stanza."""
    if (stanza_kind, kind) == (1, "secret-key"):
        fingerprint = cobblestone.expand(key, b"medcrypt/v1/fingerprint", 8)
        return cobblestone.decrypt(key, body[8:], binding) if body[:8] == fingerprint else None
    if (stanza_kind, kind) == (2, "identity"):
        return unseal(key, body, binding)
    if (stanza_kind, kind) == (4, "hybrid-identity"):
        return unseal_hybrid(key, body, binding)
    if (stanza_kind, kind) == (3, "passphrase"):
        log2_n, r, p = body[16:19]
        stretched = hashlib.scrypt(key, salt=body[:16], n=2**log2_n, r=r, p=p, maxmem=2**29, dklen=32)
        return cobblestone.decrypt(stretched, body[19:], binding)
    return None


def unseal(identity: bytes, body: bytes, info: bytes) -> bytes | None:
    """HPKE base mode; X25519, HKDF-SHA256, AES-256-GCM."""
    private = X25519PrivateKey.from_private_bytes(identity[:32])
    signing = Ed25519PrivateKey.from_private_bytes(identity[32:])
    recipient = private.public_key().public_bytes_raw() + signing.public_key().public_bytes_raw()
    if body[:8] != hashlib.sha512(b"medcrypt/v1/recipient" + recipient).digest()[:8]:
        return None
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    try:
        return suite.decrypt(body[8:], private, info)
    except (InvalidTag, ValueError):
        return None


def unseal_hybrid(identity: bytes, body: bytes, info: bytes) -> bytes | None:
    """HPKE base mode; X-Wing, HKDF-SHA256, AES-256-GCM."""
    seeds = hashlib.shake_256(identity[:32]).digest(96)
    lattice = MLKEM768PrivateKey.from_seed_bytes(seeds[:64])
    curve = X25519PrivateKey.from_private_bytes(seeds[64:])
    signing = Ed25519PrivateKey.from_private_bytes(identity[32:])
    recipient = b"".join(key.public_key().public_bytes_raw() for key in (lattice, curve, signing))
    if body[:8] != hashlib.sha512(b"medcrypt/v1/hybrid-recipient" + recipient).digest()[:8]:
        return None
    suite = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
    try:
        return suite.decrypt(body[8:], hpke.MLKEM768X25519PrivateKey(lattice, curve), info)
    except (InvalidTag, ValueError):
        return None


# ---- signature, metadata, sizes ------------------------------------------------------------------------


def check_signature(parts: Parts, digest: bytes, context: bytes) -> None:
    hashes, signature = parts.trailer[:-64], parts.trailer[-64:]
    chunks = [parts.body[at : at + 16400] for at in range(56, len(parts.body), 16400)]
    require(hashes == b"".join(hashlib.sha256(chunk).digest() for chunk in chunks))
    message = b"medcrypt/v1/image-signature\0" + digest + hashlib.sha512(context).digest()
    message += parts.body[:56] + hashlib.sha512(hashes).digest()
    try:
        Ed25519PublicKey.from_public_bytes(parts.signer).verify(signature, message)
    except InvalidSignature:
        raise RefusedError from None


def from_json(data: bytes) -> dict[str, Any]:
    if data == b"":
        return {}
    try:
        value = json.loads(data)
        text = json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except ValueError:
        raise RefusedError from None
    require(isinstance(value, dict))
    require(value)
    require(text == data)
    return value


def cobblestone_size(count: int) -> int:
    return 56 + count + 16 * (count // 16384 + 1)


def is_cobblestone_size(size: int) -> bool:
    return size >= 73 and (size - 56) % 16400 >= 16
