"""Shamir's sharing over GF(2^16), one element at a time, from the definition of the field."""

REDUCTION = 0b1_0001_0000_0000_1011  # x^16 + x^12 + x^3 + x + 1


def multiply(a: int, b: int) -> int:
    """Multiply polynomials over GF(2) and reduce."""
    product = 0
    for bit in range(16):
        if b >> bit & 1:
            product ^= a << bit
    for bit in range(30, 15, -1):
        if product >> bit & 1:
            product ^= REDUCTION << (bit - 16)
    return product


def power(a: int, exponent: int) -> int:
    """Multiply `exponent` times."""
    result = 1
    for _ in range(exponent):
        result = multiply(result, a)
    return result


def inverse(a: int) -> int:
    """a^(2^16 - 2), by squaring."""
    result = 1
    for _ in range(15):
        a = multiply(a, a)
        result = multiply(result, a)
    return result


def elements(data: bytes) -> list[int]:
    """Big-endian pairs of bytes."""
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def split(secret: bytes, points: list[int], threshold: int, coins: bytes) -> list[bytes]:
    """Return one share for each point; `coins` are the coefficients from degree 1 up."""
    size = len(secret)
    rows = [elements(secret)] + [elements(coins[i * size : (i + 1) * size]) for i in range(threshold - 1)]
    shares = []
    for x in points:
        values = [0] * (size // 2)
        for row in reversed(rows):  # Horner
            values = [
                multiply(value, x) ^ coefficient for value, coefficient in zip(values, row, strict=True)
            ]
        shares.append(b"".join(value.to_bytes(2, "big") for value in values))
    return shares


def combine(points: list[int], shares: list[bytes]) -> bytes:
    """Lagrange's interpolation at zero."""
    total = [0] * (len(shares[0]) // 2)
    for x, share in zip(points, shares, strict=True):
        weight = 1
        for other in points:
            if other != x:
                weight = multiply(weight, multiply(other, inverse(other ^ x)))
        total = [t ^ multiply(weight, value) for t, value in zip(total, elements(share), strict=True)]
    return b"".join(t.to_bytes(2, "big") for t in total)
