"""A second reader of encrypted Zarr chunks and stores, written from docs/formats/zarr.md alone.

A store is a dictionary here: the names of the objects in the underlying store, and their bytes. No zarr is needed.
"""

import hashlib
import re
import struct
from dataclasses import dataclass

from reference import cobblestone, sealed_image
from reference.sealed_image import RefusedError, require

RECORD_NAME = re.compile("log/([0-9a-f]{16})")


def read_chunk(secret_key: bytes, array_id: str, blob: bytes) -> bytes:
    """Return the bytes of a chunk of the codec."""
    fingerprint = cobblestone.expand(secret_key, b"medcrypt/v1/fingerprint", 8)
    context = b"medcrypt/v1/chunk\0medcrypt.aes_gcm\0" + fingerprint + array_id.encode()
    plain = cobblestone.decrypt(cobblestone.expand(secret_key, b"medcrypt/v1/chunk-key", 32), blob, context)
    require(plain is not None)
    return plain


@dataclass
class Record:
    """One record: for each path the beginning of its blob and its size, or None where it is deleted."""

    base: int
    previous: bytes
    changes: dict[str, tuple[bytes, int] | None]


@dataclass
class Store:
    """What a store holds, and its token."""

    values: dict[str, bytes]
    token: str


def read_store(objects: dict[str, bytes], kind: str, key: bytes) -> Store:
    """Read everything; `kind` and `key` as for `reference.sealed_image.read`."""
    store_id, file_key = open_header(objects["medcrypt"], kind, key)
    store_key = cobblestone.expand(file_key, b"medcrypt/v1/zarr-store" + store_id, 32)
    names = [RECORD_NAME.fullmatch(name) for name in objects]
    last = max(int(name[1], 16) for name in names if name)
    blobs, table = {}, {}
    for version in range(open_record(objects, store_key, last).base, last + 1):
        record = open_record(objects, store_key, version)
        blobs[version] = objects[f"log/{version:016x}"]
        if record.base == version:
            table = {}
        else:
            require(record.previous == blobs[version - 1][:24])
        for path, change in record.changes.items():
            table.pop(path, None)
            if change is not None:
                table[path] = change
    values = {path: read_value(objects, store_key, path, *place) for path, place in table.items()}
    return Store(values, f"{store_id.hex()}-{last}-{blobs[last][:24].hex()}")


def open_header(data: bytes, kind: str, key: bytes) -> tuple[bytes, bytes]:
    """Return store id and file key."""
    require(len(data) >= 32)
    magic, letter, version, zeros, slot_size, store_id = struct.unpack("<8scBHI16s", data[:32])
    require((magic, letter, version, zeros) == (b"MEDCRYPT", b"Z", 1, 0))
    require(slot_size % 64 == 0)
    require(128 <= slot_size <= 2**20)
    require(len(data) == 32 + slot_size)
    digest, slot = hashlib.sha512(data[:32]).digest(), data[32:]
    parsed = sealed_image.parse_slot(0, slot)
    require(parsed)
    for stanza_kind, body in parsed[1]:
        file_key = sealed_image.unwrap(stanza_kind, body, kind, key, b"medcrypt/v1/file-key" + digest)
        if file_key is not None and sealed_image.has_right_mac(slot, file_key, digest):
            return store_id, file_key
    raise RefusedError


def open_record(objects: dict[str, bytes], store_key: bytes, version: int) -> Record:
    blob = objects.get(f"log/{version:016x}", b"")
    plain = cobblestone.decrypt(store_key, blob, b"medcrypt/v1/zarr-record" + struct.pack("<Q", version))
    require(plain)
    return parse_record(plain, version)


def parse_record(plain: bytes, version: int) -> Record:
    """Follow the tables of a record."""
    require(len(plain) >= 36)
    base, previous, count = struct.unpack("<Q24sI", plain[:36])
    require(base <= version)
    rest, changes = plain[36:], {}
    for _ in range(count):
        require(len(rest) >= 3)
        kind, length = struct.unpack("<BH", rest[:3])
        require(len(rest) >= 3 + length)
        try:
            path = rest[3 : 3 + length].decode("utf-8")
        except UnicodeDecodeError:
            raise RefusedError from None
        rest = rest[3 + length :]
        require(path not in changes)
        require(kind in (0, 1))
        changes[path] = None
        if kind == 1:
            require(len(rest) >= 64)
            changes[path], rest = (rest[:56], int.from_bytes(rest[56:64], "little")), rest[64:]
    require(rest == b"")
    return Record(base, previous, changes)


def read_value(objects: dict[str, bytes], store_key: bytes, path: str, begin: bytes, size: int) -> bytes:
    salt = begin[:24].hex()
    blob = objects.get(f"objects/{salt[:2]}/{salt[2:]}", b"")
    require(blob[:56] == begin)
    value = cobblestone.decrypt(store_key, blob, b"medcrypt/v1/zarr-value" + path.encode())
    require(value is not None)
    require(len(value) == size)
    return value
