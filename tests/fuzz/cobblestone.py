"""The chunked format: salt, commitment, chunks."""

from medcrypt.images import cobblestone

KEY = bytes(range(32))
CONTEXT = b"fuzz"
PLAINTEXTS = (b"", b"one chunk", bytes(16384), bytes(16385), bytes(40000))


def seeds() -> list[bytes]:
    return [cobblestone.encrypt(KEY, plain, CONTEXT, salt=bytes(24)) for plain in PLAINTEXTS]


def parse(data: bytes) -> None:
    if len(data) > 4:
        # Where the range starts and stops comes from the input too, so that the fuzzer can move it.
        start, stop = int.from_bytes(data[:2], "big"), int.from_bytes(data[2:4], "big")
        whole = _whole(data[4:])
        part = cobblestone.decrypt_range(KEY, data[4:], start, stop, CONTEXT)
        if part != whole[start:stop]:
            raise RuntimeError("a range read differs from the whole")
    if _whole(data) not in PLAINTEXTS:
        raise RuntimeError("opened to something that was never sealed")


def _whole(data: bytes) -> bytes:
    return bytes(cobblestone.decrypt(KEY, data, CONTEXT))
