"""What lies under an encrypted Zarr store: its header, the plaintext of a record, and chunks of the codec."""

from medcrypt.images import cobblestone
from medcrypt.integrations.chunk_cipher import decrypt_chunk, encrypt_chunk
from medcrypt.integrations.codec_keys import register_key
from medcrypt.integrations.zarr_header import StoreHeader
from medcrypt.integrations.zarr_log import Entry, Record
from medcrypt.keys import Identity, SecretKey

KEY = SecretKey.from_bytes(bytes(range(32)))
RECIPIENTS = [KEY, Identity.from_bytes(bytes(range(64))).recipient]
HEADERS = [StoreHeader.create(RECIPIENTS[:count], spare) for count, spare in ((1, 0), (2, 3))]
CHANGES = {"ct/zarr.json": Entry(bytes(56), 7), "ü": None, "ct/c/0/0": Entry(bytes(range(56)), 1 << 40)}
PLAIN = bytes(range(100))

# The first byte says which of the three the rest is.
HEADER, RECORD, CHUNK = b"\0", b"\1", b"\2"


def record(changes: dict[str, Entry | None]) -> bytes:
    """Return the plaintext of a record."""
    sealed = Record(1, 0, bytes(24), changes).seal(KEY.to_bytes())
    return cobblestone.decrypt(KEY.to_bytes(), sealed, b"medcrypt/v1/zarr-record" + (1).to_bytes(8, "little"))


def seeds() -> list[bytes]:
    with register_key(KEY):
        chunk = encrypt_chunk(KEY.fingerprint.hex(), "", cobblestone.as_bytes(PLAIN)).tobytes()
    headers = [HEADER + header.to_bytes() for header in HEADERS]
    return [*headers, RECORD + record({}), RECORD + record(CHANGES), CHUNK + chunk]


def parse(data: bytes) -> None:
    kind, content = data[:1], data[1:]
    if kind == HEADER:
        header = StoreHeader.parse(content)
        if header.to_bytes() != content:
            raise RuntimeError("two encodings of one header")
        header.open(KEY)
        if content not in [known.to_bytes() for known in HEADERS]:
            raise RuntimeError("a header opened that was never made")
    elif kind == RECORD:
        context = b"medcrypt/v1/zarr-record" + (1).to_bytes(8, "little")
        found = Record.open(KEY.to_bytes(), 1, cobblestone.encrypt(KEY.to_bytes(), content, context))
        if found.base <= 1 and record_again(found) != content:
            raise RuntimeError("two encodings of one record")
    elif kind == CHUNK:
        with register_key(KEY):
            plain = decrypt_chunk(KEY.fingerprint.hex(), "", cobblestone.as_bytes(content))
        if plain.tobytes() != PLAIN:
            raise RuntimeError("a chunk opened that was never made")


def record_again(found: Record) -> bytes:
    sealed = found.seal(KEY.to_bytes())
    return cobblestone.decrypt(KEY.to_bytes(), sealed, b"medcrypt/v1/zarr-record" + (1).to_bytes(8, "little"))
