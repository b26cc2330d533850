"""Key files and recipients: text lines with a checksum, and what stands inside them."""

import tempfile
from contextlib import suppress
from pathlib import Path

from medcrypt.errors import MedcryptError
from medcrypt.keys import Identity, Passphrase, Recipient, SecretKey, load_key
from medcrypt.keys.encoding import encode_line

PASSPHRASE = Passphrase("fuzz")
FOLDER = Path(tempfile.mkdtemp(prefix="medcrypt-fuzz-"))
FILE = FOLDER / "key"
KINDS = ("secret-key", "identity", "recipient", "sealed-key")

# The first byte says what the rest is: below this many, the payload of a line of that kind, to which the
# right checksum is added (the fuzzer would hardly find one); otherwise a whole file.
WHOLE_FILE = bytes([len(KINDS)])


def seeds() -> list[bytes]:
    key, identity = SecretKey.from_bytes(bytes(32)), Identity.from_bytes(bytes(range(64)))
    whole = []
    for number, secret in enumerate((key, identity)):
        path = FOLDER / f"seed-{number}"
        secret.save(path)
        whole.append(WHOLE_FILE + path.read_bytes())
    # scrypt at N = 2: with the real cost the fuzzer would try three inputs a second.
    cheap = bytes(16) + bytes([1, 8, 1]) + bytes(60)
    return [
        *whole,
        WHOLE_FILE + str(identity.recipient).encode(),
        bytes([0]) + key.to_bytes(),
        bytes([1]) + identity.to_bytes(),
        bytes([2]) + identity.recipient.to_bytes(),
        bytes([3]) + cheap,
    ]


def parse(data: bytes) -> None:
    kind, content = data[:1], data[1:]
    if not kind:
        return
    if kind < WHOLE_FILE:
        if _is_expensive(kind[0], content):
            return
        content = encode_line(KINDS[kind[0]], content).encode()
    FILE.write_bytes(content)
    with suppress(MedcryptError):
        load_key(FILE, passphrase=PASSPHRASE)
    Recipient.from_text(content.decode("utf-8", "replace"))


def _is_expensive(kind: int, content: bytes) -> bool:
    """Whether scrypt would be let run, and for long; what it refuses outright is worth trying."""
    if KINDS[kind] != "sealed-key" or len(content) < 19:
        return False
    memory = 128 * content[17] << min(content[16], 32)
    return 1 << 18 < memory <= 256 << 20
