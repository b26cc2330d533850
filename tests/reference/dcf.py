"""Function secret sharing as the papers write it, one tree at a time, in whole numbers.

Comparison: Boyle et al. 2021 (eprint 2020/1392), figure 1; point function: Boyle, Gilboa, Ishai 2016 (eprint 2018/707),
figure 1. Seeds are integers of 128 bits whose lowest bit is 0. Nothing here is shared with the library.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from Crypto.Cipher import AES

__all__ = ["Key", "blocks", "evaluate", "generate"]

BLOCK = 16


@dataclass
class Key:
    """One party's key: its root, and for each level (seed, value, t of L, t of R); the last value."""

    seed: int
    levels: list[tuple[int, int, int, int]]
    last: int


def _hash(key: bytes, x: int) -> int:
    """pi(x) xor x, on little-endian blocks."""
    block = x.to_bytes(16, "little")
    return int.from_bytes(AES.new(key, AES.MODE_ECB).encrypt(block), "little") ^ x


def _expand(key: bytes, seed: int) -> list[tuple[int, int, int]]:
    """The children L and R of a node: (seed, value, t)."""
    children = []
    for side in range(2):
        child, value = _hash(key, seed ^ side), _hash(key, seed ^ (2 + side))
        children.append((child & ~1, value, child & 1))
    return children


def generate(
    key: bytes, comparison: bool, bits: int, payload: int, alpha: int, beta: int, roots: Sequence[int]
) -> tuple[Key, Key]:
    """Both keys of f(x) = beta where x < alpha (comparison) or x = alpha (point), else 0."""
    modulus = 1 << 8 * payload
    seeds, t, total, levels = [root & ~1 for root in roots], [0, 1], 0, []
    for level in range(bits):
        keep = alpha >> bits - 1 - level & 1
        lose = 1 - keep
        children = [_expand(key, seed) for seed in seeds]
        seed_correction = children[0][lose][0] ^ children[1][lose][0]
        sign = -1 if t[1] else 1
        value_correction = sign * (children[1][lose][1] - children[0][lose][1] - total) % modulus
        if lose == 0:  # the subtree on the left is below alpha
            value_correction = (value_correction + sign * beta) % modulus
        total += children[0][keep][1] - children[1][keep][1] + sign * value_correction
        bit_corrections = [children[0][side][2] ^ children[1][side][2] ^ (side == keep) for side in range(2)]
        levels.append((seed_correction, value_correction if comparison else 0, *bit_corrections))
        for party in range(2):
            child, _, bit = children[party][keep]
            seeds[party] = child ^ (seed_correction if t[party] else 0)
            t[party] = bit ^ (t[party] & bit_corrections[keep])
    rest = (seeds[1] >> 64) - (seeds[0] >> 64) + (-total if comparison else beta)
    last = (-rest if t[1] else rest) % modulus
    first, second = (Key(root & ~1, levels, last) for root in roots)
    return first, second


def evaluate(key: bytes, comparison: bool, bits: int, payload: int, party: int, share: Key, x: int) -> int:
    """One party's value at x."""
    seed, t, total = share.seed, party, 0
    for level, (seed_correction, value_correction, *bit_corrections) in enumerate(share.levels):
        side = x >> bits - 1 - level & 1
        child, value, bit = _expand(key, seed)[side]
        if comparison:
            total += value + t * value_correction
        seed = child ^ (seed_correction if t else 0)
        t = bit ^ (t & bit_corrections[side])
    total += (seed >> 64) + t * share.last
    return (-total if party else total) % (1 << 8 * payload)


def blocks(keys: Sequence[Key], comparison: bool, payload: int) -> bytes:
    """The bytes of sixteen keys side by side, block after block, as `dcf.h` specifies them."""
    parts = []
    for start in range(0, len(keys), BLOCK):
        block = keys[start : start + BLOCK]
        parts += [share.seed.to_bytes(16, "little") for share in block]
        for level in range(len(block[0].levels)):
            corrections = [share.levels[level] for share in block]
            parts += [seed.to_bytes(16, "little") for seed, *_ in corrections]
            if comparison:
                parts += [value.to_bytes(payload, "little") for _, value, *_ in corrections]
            for side in (2, 3):
                bits = sum(correction[side] << k for k, correction in enumerate(corrections))
                parts.append(bits.to_bytes(2, "little"))
        parts += [share.last.to_bytes(payload, "little") for share in block]
    return b"".join(parts)
