"""What a cheater does to bytes."""

__all__ = ["altered"]


def altered(data: bytes | memoryview) -> bytes:
    """Return a copy in which one bit in the middle is another."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)
