"""AES-256-GCM from its definitions: FIPS 197 for the cipher, SP 800-38D for the mode. Slow on purpose.

Nothing here is a table copied from anywhere: the S-box is computed from the field's inverse and the affine
map, the hash multiplies bit by bit.
"""

from collections.abc import Iterator

NONCE, TAG, BLOCK = 12, 16, 16


# ---- AES (FIPS 197) ----------------------------------------------------------------------------------


def times(a: int, b: int) -> int:
    """Multiply in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1 (section 4.2)."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11B
        b >>= 1
    return product


def substitute(byte: int) -> int:
    """Return the S-box: the inverse (byte^254), then the affine map (section 5.1.1)."""
    inverse = 1
    for _ in range(254):
        inverse = times(inverse, byte)
    result = 0x63
    for shift in range(5):
        result ^= inverse << shift | inverse >> (8 - shift)
    return result & 0xFF


S_BOX = [substitute(byte) for byte in range(256)]


def round_keys(key: bytes) -> list[bytes]:
    """Expand 32 bytes to 15 round keys (section 5.2, Nk = 8)."""
    words = [key[i : i + 4] for i in range(0, 32, 4)]
    constant = 1
    for i in range(8, 60):
        word = words[i - 1]
        if i % 8 == 0:
            word = bytes(S_BOX[b] for b in word[1:] + word[:1])
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = times(constant, 2)
        elif i % 8 == 4:
            word = bytes(S_BOX[b] for b in word)
        words.append(xor(words[i - 8], word))
    return [b"".join(words[i : i + 4]) for i in range(0, 60, 4)]


def mix(column: bytes) -> bytes:
    """Multiply a column by 3x^3 + x^2 + x + 2 (section 5.1.3)."""
    a, b, c, d = column
    return bytes(
        (
            times(a, 2) ^ times(b, 3) ^ c ^ d,
            a ^ times(b, 2) ^ times(c, 3) ^ d,
            a ^ b ^ times(c, 2) ^ times(d, 3),
            times(a, 3) ^ b ^ c ^ times(d, 2),
        )
    )


def encipher(keys: list[bytes], block: bytes) -> bytes:
    """Encipher one block. Byte i of the state is row i % 4 of column i // 4."""
    state = xor(block, keys[0])
    for number in range(1, 15):
        state = bytes(S_BOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16))  # SubBytes and ShiftRows
        if number < 14:
            state = b"".join(mix(state[i : i + 4]) for i in range(0, 16, 4))
        state = xor(state, keys[number])
    return state


# ---- GCM (SP 800-38D) --------------------------------------------------------------------------------


def xor(a: bytes, b: bytes) -> bytes:
    """XOR two strings; the longer is cut."""
    return bytes(x ^ y for x, y in zip(a, b, strict=False))


def multiply(x: int, y: int) -> int:
    """Multiply blocks, the leftmost bit being the coefficient of 1 (algorithm 1)."""
    z, v = 0, y
    for bit in range(127, -1, -1):
        if x >> bit & 1:
            z ^= v
        v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return z


def padded(data: bytes) -> bytes:
    """Fill up the last block with zeros."""
    return data + bytes(-len(data) % BLOCK)


def ghash(h: bytes, data: bytes) -> bytes:
    """Hash whole blocks (algorithm 2)."""
    y = 0
    for i in range(0, len(data), BLOCK):
        y = multiply(y ^ int.from_bytes(data[i : i + BLOCK], "big"), int.from_bytes(h, "big"))
    return y.to_bytes(BLOCK, "big")


def crypt(keys: list[bytes], nonce: bytes, data: bytes) -> bytes:
    """Counter mode from J_0 + 1 (algorithm 3); the counter of 32 bits wraps."""
    stream = b"".join(
        encipher(keys, nonce + ((2 + i) % 2**32).to_bytes(4, "big")) for i in range(-(-len(data) // BLOCK))
    )
    return xor(data, stream)


def tag_of(keys: list[bytes], nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """Authenticate (algorithm 4, steps 4 to 6)."""
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    h = encipher(keys, bytes(BLOCK))
    hashed = ghash(h, padded(aad) + padded(ciphertext) + lengths)
    return xor(hashed, encipher(keys, nonce + b"\0\0\0\1"))


def seal(key: bytes, nonce: bytes, data: bytes, aad: bytes = b"") -> bytes:
    """Return the ciphertext and its tag."""
    keys = round_keys(key)
    ciphertext = crypt(keys, nonce, data)
    return ciphertext + tag_of(keys, nonce, ciphertext, aad)


def unseal(key: bytes, nonce: bytes, data: bytes, aad: bytes = b"") -> bytes | None:
    """Return the plaintext, or None where the tag does not fit."""
    keys = round_keys(key)
    ciphertext, tag = data[:-TAG], data[-TAG:]
    if tag != tag_of(keys, nonce, ciphertext, aad):
        return None
    return crypt(keys, nonce, ciphertext)


# ---- chunks (C2SP chunked-encryption v1) ---------------------------------------------------------------


def chunks_of(
    nonce: bytes, data: bytes, first: int, final: bool, chunk: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the nonce and the plaintext of each chunk."""
    for i in range(len(data) // chunk + final):
        number = int.from_bytes(nonce, "big") ^ (first + i)
        yield number.to_bytes(NONCE, "big"), data[i * chunk : (i + 1) * chunk]


def seal_chunks(
    key: bytes, nonce: bytes, data: bytes, first: int = 0, final: bool = True, chunk: int = 16384
) -> bytes:
    """Return the sealed chunks, one after another."""
    return b"".join(seal(key, n, plain) for n, plain in chunks_of(nonce, data, first, final, chunk))
