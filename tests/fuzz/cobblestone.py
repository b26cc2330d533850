"""The chunked format: salt, commitment, chunks."""

from contextlib import suppress

from medcrypt.errors import MedcryptError
from medcrypt.images import cobblestone

KEY = bytes(range(32))
CONTEXT = b"fuzz"
PLAINTEXTS = (b"", b"one chunk", bytes(16384), bytes(16385), bytes(40000))


def seeds() -> list[bytes]:
    blobs = [cobblestone.encrypt(KEY, plain, CONTEXT, salt=bytes(24)) for plain in PLAINTEXTS]
    return [bytes([0, 3, 64, 9]) + blob for blob in blobs]


def parse(data: bytes) -> None:
    # Where the range starts and stops comes from the input too, so that the fuzzer can move it.
    start, stop, blob = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big"), data[4:]
    whole = None
    with suppress(MedcryptError):
        whole = bytes(cobblestone.decrypt(KEY, blob, CONTEXT))
        if whole not in PLAINTEXTS:
            raise RuntimeError("opened to something that was never sealed")
    part = cobblestone.decrypt_range(KEY, blob, start, stop, CONTEXT)
    if not any(part == plain[start:stop] for plain in (PLAINTEXTS if whole is None else (whole,))):
        raise RuntimeError("a range read differs from the whole")
