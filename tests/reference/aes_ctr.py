"""The key stream of AES-256 in counter mode, from its definition: SP 800-38A, section 6.5. Slow on purpose."""

from reference import aes_gcm

BLOCK = 16


def stream(key: bytes, counter: int, size: int) -> bytes:
    """Return E(counter) || E(counter + 1) || ..., cut to `size` bytes; counters are 128-bit big-endian numbers."""
    keys = aes_gcm.round_keys(key)
    numbers = range(counter, counter - (-size // BLOCK))
    return b"".join(aes_gcm.encipher(keys, n.to_bytes(BLOCK, "big")) for n in numbers)[:size]
