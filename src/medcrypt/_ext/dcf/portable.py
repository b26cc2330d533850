"""The functions of `dcf.h` where the processor has no AES instructions: whole batches level by level in numpy.

AES is pycryptodome's, whose tables are not constant time on such a processor.
"""

import numpy as np
from Crypto.Cipher import AES
from numpy.typing import NDArray

__all__ = ["PortableFunction"]

Words = NDArray[np.uint64]
Bytes = NDArray[np.uint8]

_BLOCK = 16
_ONE = np.uint64(1)


class PortableFunction:
    """One shape of functions under one public key.

    Parameters
    ----------
    kind, bits, payload, key
        As for `SharedFunction`, and checked there.
    """

    def __init__(self, kind: str, bits: int, payload: int, key: bytes) -> None:
        self._cipher = AES.new(key, AES.MODE_ECB)
        self._comparison = kind == "comparison"
        self._bits, self._payload = bits, payload
        self._level_size = _BLOCK * (16 + payload * self._comparison) + 4
        self._block_size = _BLOCK * (16 + payload) + bits * self._level_size

    def generate(self, alpha: Words, beta: Words, roots: Bytes, key0: Bytes, key1: Bytes) -> None:
        """Write both parties' keys; see `SharedFunction.generate`."""
        places = roots.size // 32
        alphas, betas = self._filled(alpha, places, self._bits), self._filled(beta, places, 8 * self._payload)
        pairs = roots.reshape(places, 2, 16).copy()
        pairs[:, :, 0] &= 0xFE
        seeds = [pairs[:, party].copy().view(np.uint64) for party in range(2)]
        t = [np.zeros(places, np.uint64), np.ones(places, np.uint64)]
        kept = np.zeros(places, np.uint64)
        keys = [key.reshape(-1, self._block_size) for key in (key0, key1)]
        for party in range(2):
            keys[party][:, : 16 * _BLOCK] = seeds[party].view(np.uint8).reshape(-1, 16 * _BLOCK)
        start = 16 * _BLOCK
        for level in range(self._bits):
            turn = alphas >> np.uint64(self._bits - 1 - level) & _ONE
            children = [[self._hash(seeds[party], side) for side in range(2)] for party in range(2)]
            own = [[child[:, 0] & _ONE for child in pair] for pair in children]
            for child in (child for pair in children for child in pair):
                child[:, 0] &= ~_ONE
            correction = _chosen(turn, children[0][1], children[0][0]) ^ _chosen(
                turn, children[1][1], children[1][0]
            )
            sides = [own[0][0] ^ own[1][0] ^ turn ^ _ONE, own[0][1] ^ own[1][1] ^ turn]
            parts = [correction.view(np.uint8).reshape(-1, 16 * _BLOCK)]
            if self._comparison:
                edges = [
                    [self._hash(seeds[party], 2 + side)[:, 0] for side in range(2)] for party in range(2)
                ]
                lost = [_chosen(turn, pair[1], pair[0]) for pair in edges]
                way = [_chosen(turn, pair[0], pair[1]) for pair in edges]
                value = _signed(lost[1] - lost[0] - kept + betas * turn, t[1])
                kept += way[0] - way[1] + _signed(value, t[1])
                parts.append(self._as_bytes(value))
            parts += [np.packbits(bit.reshape(-1, _BLOCK) == 1, axis=1, bitorder="little") for bit in sides]
            stop = start + self._level_size
            for key in keys:
                key[:, start:stop] = np.concatenate(parts, axis=1)
            for party in range(2):
                seeds[party] = _chosen(turn, *children[party]) ^ correction * t[party][:, None]
                t[party] = _chosen(turn, *own[party]) ^ (t[party] & _chosen(turn, *sides))
            start = stop
        rest = seeds[1][:, 1] - seeds[0][:, 1] + ((0 - kept) if self._comparison else betas)
        for key in keys:
            key[:, start:] = self._as_bytes(_signed(rest, t[1]))

    def evaluate(self, party: int, key: Bytes, x: Words, values: Words) -> None:
        """Write one party's values; see `SharedFunction.evaluate`."""
        blocks = key.reshape(-1, self._block_size)
        places = _BLOCK * len(blocks)
        points = self._filled(x, places, self._bits)
        seeds = _columns(blocks, 0, 16 * _BLOCK).view(np.uint64).reshape(places, 2)
        t = np.full(places, party, np.uint64)
        sums = np.zeros(places, np.uint64)
        start = 16 * _BLOCK
        for level in range(self._bits):
            turn = points >> np.uint64(self._bits - 1 - level) & _ONE
            correction = _columns(blocks, start, 16 * _BLOCK).view(np.uint64).reshape(places, 2)
            start += 16 * _BLOCK
            if self._comparison:
                value = self._as_words(blocks, start)
                sums += self._hash(seeds, 2, turn)[:, 0] + t * value
                start += self._payload * _BLOCK
            bits = np.unpackbits(_columns(blocks, start, 4), axis=1, bitorder="little").astype(np.uint64)
            sides = bits.reshape(-1, 2, _BLOCK)
            start += 4
            child = self._hash(seeds, 0, turn)
            own = child[:, 0] & _ONE
            child[:, 0] &= ~_ONE
            seeds = child ^ correction * t[:, None]
            t = own ^ (t & _chosen(turn, sides[:, 0].ravel(), sides[:, 1].ravel()))
        sums += seeds[:, 1] + t * self._as_words(blocks, start)
        values[:] = self._filled(_signed(sums, np.full(places, party, np.uint64)), places, 8 * self._payload)[
            : x.size
        ]

    def _hash(self, seeds: Words, tweak: int, turn: Words | None = None) -> Words:
        """Return H(seed xor tweak), the tweak's lowest bit being a number's own where one is given."""
        tweaked = seeds.copy()
        tweaked[:, 0] ^= np.uint64(tweak) if turn is None else np.uint64(tweak) + turn
        return np.frombuffer(self._cipher.encrypt(tweaked.tobytes()), np.uint64).reshape(-1, 2) ^ tweaked

    def _filled(self, numbers: Words, places: int, bits: int) -> Words:
        """Return the numbers modulo 2^bits, with zeros up to whole blocks."""
        filled = np.zeros(places, np.uint64)
        filled[: numbers.size] = numbers
        return filled & np.uint64((1 << bits) - 1)

    def _as_bytes(self, values: Words) -> Bytes:
        """Return values of `payload` bytes, little-endian, a row for each block."""
        kept = values.astype("<u8").view(np.uint8).reshape(-1, 8)[:, : self._payload]
        return kept.reshape(-1, _BLOCK * self._payload)

    def _as_words(self, blocks: Bytes, start: int) -> Words:
        """Return the values that begin at a place of every block."""
        wide = np.zeros((_BLOCK * len(blocks), 8), np.uint8)
        wide[:, : self._payload] = _columns(blocks, start, _BLOCK * self._payload).reshape(-1, self._payload)
        return wide.view("<u8").ravel().astype(np.uint64)


def _columns(blocks: Bytes, start: int, size: int) -> Bytes:
    """Return a part of every block, contiguous."""
    return np.ascontiguousarray(blocks[:, start : start + size])


def _chosen(turn: Words, left: Words, right: Words) -> Words:
    """Return the right one where turn is 1, without a branch."""
    mask = 0 - turn
    return left ^ ((left ^ right) & (mask if left.ndim == 1 else mask[:, None]))


def _signed(values: Words, minus: Words) -> Words:
    """Return -value where minus is 1."""
    return (values ^ (0 - minus)) + minus
