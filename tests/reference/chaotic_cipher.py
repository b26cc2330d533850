"""The chaotic cipher, written from docs/formats/chaotic.md and not from the kernels: integers and lists only."""

import struct

from Crypto.Cipher import AES
from Crypto.Hash import HMAC, SHA512

ROW, LINE, LANES, NODES = 512, 64, 8, 8
PASSES, STEPS, STREAM_STEPS = 4, 8, 16
_WORD, _HALF = (1 << 64) - 1, (1 << 32) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_SHUFFLE = (3, 0, 1, 4, 7, 2, 5, 6)  # the node at i goes to _SHUFFLE[i]


def local_map(a):
    r, u = a >> 32, a & _HALF
    return u * ((r - u) & _HALF)


def rotl(x, n):
    return (x << n | x >> 64 - n) & _WORD


def forward(x, steps):
    for s in range(steps):
        x = list(x)
        for k in range(0, NODES, 2):
            constant = (s + 1) * _GOLDEN if k == 0 else 0
            x[k + 1] = rotl((x[k + 1] + local_map(x[k]) + constant) & _WORD, 29) ^ x[k]
        shuffled = [0] * NODES
        for i, to in enumerate(_SHUFFLE):
            shuffled[to] = x[i]
        x = shuffled
    return x


def backward(x, steps):
    for s in reversed(range(steps)):
        x = [x[to] for to in _SHUFFLE]
        for k in range(0, NODES, 2):
            constant = (s + 1) * _GOLDEN if k == 0 else 0
            x[k + 1] = (rotl(x[k + 1] ^ x[k], 64 - 29) - local_map(x[k]) - constant) & _WORD
    return x


def one_way(x, steps):
    return [(a + b) & _WORD for a, b in zip(forward(x, steps), x, strict=True)]


def stream_row(seed, domain, number, steps=STREAM_STEPS):
    """One row as 8 lanes of 8 words."""
    lanes = []
    for lane in range(LANES):
        x = list(struct.unpack("<8Q", seed))
        x[0] = (x[0] + LANES * number + lane) & _WORD
        x[4] = (x[4] + domain) & _WORD
        lanes.append(one_way(x, steps))
    return lanes


def to_bytes(lanes):
    return b"".join(struct.pack("<8Q", *(lanes[lane][w] for lane in range(LANES))) for w in range(NODES))


def to_lanes(row):
    words = struct.unpack("<64Q", row)
    return [[words[8 * w + lane] for w in range(NODES)] for lane in range(LANES)]


def xored(*rows):
    return [[a ^ b for a, b in zip(left, right, strict=True)] for left, right in zip(*rows, strict=True)]


def stream(seed, data, offset=0, steps=STREAM_STEPS):
    first, last = offset // ROW, (offset + len(data) + ROW - 1) // ROW
    keystream = b"".join(to_bytes(stream_row(seed, 0, i, steps)) for i in range(first, last))[offset % ROW :]
    return bytes(a ^ b for a, b in zip(data, keystream, strict=False))


class Pass:
    """The keys of one pass."""

    def __init__(self, seed, number, rows):
        self.before, self.after, self.start, self.tail = (
            stream_row(seed, 1, 4 * number + part) for part in range(4)
        )
        shears = stream_row(seed, 2, number)
        self.shift = [shears[0][w] % rows if rows else 0 for w in range(NODES)]
        self.turn = [shears[1][w] | 1 for w in range(NODES)]
        self.turned = shears[2]

    def source(self, j, w, lane, rows):
        """Row, word and lane that come to row j, word w, lane `lane`."""
        return (j + self.shift[w]) % rows, w, (lane + self.turn[w] * j + self.turned[w]) % LANES

    def masked(self, lanes, steps):
        return [one_way(lane, steps) for lane in xored(lanes, self.tail)]


def _start(keys, number, tail, steps):
    if number % 2 == 0 or not tail:
        return keys.start
    return xored(keys.start, keys.masked(to_lanes(tail.ljust(ROW, b"\0")), steps))


def _masked_tail(keys, number, rows, tail, steps):
    if number % 2 == 1 or not tail:
        return tail
    mask = to_bytes(keys.masked(rows[-1] if rows else keys.start, steps))
    return bytes(a ^ b for a, b in zip(tail, mask, strict=False))


def _split(data):
    m = len(data) // ROW
    return [to_lanes(data[ROW * j : ROW * (j + 1)]) for j in range(m)], data[ROW * m :]


def _order(number, m):
    return range(m) if number % 2 == 0 else reversed(range(m))


def seal_rows(seed, data, passes=PASSES, steps=STEPS):
    rows, tail = _split(data)
    m = len(rows)
    for number in range(passes):
        keys = Pass(seed, number, m)
        chain = _start(keys, number, tail, steps)
        done = [None] * m
        for j in _order(number, m):
            y = [[0] * NODES for _ in range(LANES)]
            for lane in range(LANES):
                for w in range(NODES):
                    row, word, from_lane = keys.source(j, w, lane, m)
                    y[lane][w] = rows[row][from_lane][word]
            x = xored(xored(y, chain), keys.before)
            for lane in x:
                lane[0] = (lane[0] + j) & _WORD
            done[j] = chain = xored([forward(lane, steps) for lane in x], keys.after)
        rows = done
        tail = _masked_tail(keys, number, rows, tail, steps)
    return b"".join(map(to_bytes, rows)) + tail


def open_rows(seed, data, passes=PASSES, steps=STEPS):
    rows, tail = _split(data)
    m = len(rows)
    for number in reversed(range(passes)):
        keys = Pass(seed, number, m)
        tail = _masked_tail(keys, number, rows, tail, steps)
        chain = _start(keys, number, tail, steps)
        before = [[[0] * NODES for _ in range(LANES)] for _ in range(m)]
        for j in _order(number, m):
            x = [backward(lane, steps) for lane in xored(rows[j], keys.after)]
            for lane in x:
                lane[0] = (lane[0] - j) & _WORD
            y = xored(xored(x, chain), keys.before)
            for lane in range(LANES):
                for w in range(NODES):
                    row, word, from_lane = keys.source(j, w, lane, m)
                    before[row][from_lane][word] = y[lane][w]
            chain = rows[j]
        rows = before
    return b"".join(map(to_bytes, rows)) + tail


def expand(key, info, length):
    """HKDF-Expand-SHA-512."""
    out = block = b""
    while len(out) < length:
        block = HMAC.new(key, block + info + bytes([len(out) // 64 + 1]), SHA512).digest()
        out += block
    return out[:length]


def info(label, variant, nonce, size, rest):
    return label + b"\x00" + bytes([variant]) + nonce + struct.pack("<Q", size) + rest


def synthetic_iv(key, nonce, data, context):
    keys = expand(key, info(b"medcrypt/v1/chaotic-iv", 2, nonce, len(data), context), 64)
    mac = AES.new(keys[:32], AES.MODE_GCM, nonce=bytes(12), mac_len=16)
    mac.update(data)
    return AES.new(keys[32:], AES.MODE_ECB).encrypt(mac.digest())


def seed_of(key, variant, nonce, size, siv, context):
    return expand(key, info(b"medcrypt/v1/chaotic-seed", variant, nonce, size, siv + context), 64)


def encrypt(key, nonce, data, context=b""):
    """Return the synthetic IV and the ciphertext."""
    siv = synthetic_iv(key, nonce, data, context)
    return siv, seal_rows(seed_of(key, 2, nonce, len(data), siv, context), data)


def decrypt(key, nonce, siv, sealed, context=b""):
    return open_rows(seed_of(key, 2, nonce, len(sealed), siv, context), sealed)


def crypt_counter(key, nonce, data, context=b"", offset=0, size=None):
    seed = seed_of(key, 3, nonce, len(data) if size is None else size, b"", context)
    return stream(seed, data, offset)
