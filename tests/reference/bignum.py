"""Readable twin of `medcrypt._ext.bignum`: its one idea, the Montgomery product of n-adic pairs, on integers.

A residue x modulo n^2 is the pair (a, b) with x = a + b n. Nothing is reduced completely, so one residue has many
pairs; "loose" ones have a, b < 4 n. Montgomery, Modular multiplication without trial division (1985), gives the
reduction: t / R = (t + q n) / R with q = -t / n mod R.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """How a kernel cuts numbers into digits: `digit_bits` each, a multiple of `block` of them, `lanes` values."""

    lanes: int
    digit_bits: int
    block: int

    def digits(self, n: int) -> int:
        """Least number of digits with R >= 64 n."""
        count = -(-(n.bit_length() + 6) // self.digit_bits)
        return -(-count // self.block) * self.block

    def radix(self, n: int) -> int:
        """Montgomery's R."""
        return 1 << self.digits(n) * self.digit_bits

    def words(self, n: int, pairs: list[tuple[int, int]]) -> list[int]:
        """Lay out as many pairs as there are lanes: digit i of lane l is word i lanes + l, first a, then b."""
        assert len(pairs) == self.lanes
        mask = (1 << self.digit_bits) - 1
        return [
            pair[half] >> i * self.digit_bits & mask
            for half in (0, 1)
            for i in range(self.digits(n))
            for pair in pairs
        ]

    def pairs(self, n: int, words: list[int]) -> list[tuple[int, int]]:
        """Read pairs back; every word must be a digit."""
        assert all(word >> self.digit_bits == 0 for word in words)
        count = self.digits(n)
        values = [
            sum(words[(half * count + i) * self.lanes + lane] << i * self.digit_bits for i in range(count))
            for lane in range(self.lanes)
            for half in (0, 1)
        ]
        return list(zip(values[::2], values[1::2], strict=True))


PORTABLE = Layout(lanes=1, digit_bits=64, block=1)
FMA = Layout(lanes=4, digit_bits=52, block=5)
NARROW = Layout(lanes=2, digit_bits=52, block=2)
IFMA = Layout(lanes=8, digit_bits=52, block=10)


def layout_of(kernel: str) -> Layout:
    """Return the layout of a kernel: "int128", "adx", "fma", "narrow" or "ifma"."""
    return {"fma": FMA, "narrow": NARROW, "ifma": IFMA}.get(kernel, PORTABLE)


def reduce(t: int, n: int, radix: int) -> tuple[int, int]:
    """Return (t + q n) / R and the quotient q in [0, R)."""
    q = -t * pow(n, -1, radix) % radix
    reduced, rest = divmod(t + q * n, radix)
    assert rest == 0
    return reduced, q


def pair_product(x: tuple[int, int], y: tuple[int, int], n: int, radix: int) -> tuple[int, int]:
    """Return the very pair that the kernels make of x y / R."""
    (a1, b1), (a2, b2) = x, y
    a, q = reduce(a1 * a2, n, radix)
    b, _ = reduce(a1 * b2 + a2 * b1 + radix - q, n, radix)
    return a, b - 1


def residue(pair: tuple[int, int], n: int) -> int:
    """Return the residue modulo n^2 that a pair stands for."""
    a, b = pair
    return (a + b * n) % (n * n)


def jacobi(a: int, n: int) -> int:
    """Jacobi symbol by the textbook's recursion (Cohen, A Course in Computational Algebraic Number Theory, 1.4.9)."""
    a %= n
    if a == 0:
        return int(n == 1)
    if a % 2 == 0:
        return jacobi(a // 2, n) * (-1 if n % 8 in (3, 5) else 1)
    return jacobi(n, a) * (-1 if a % 4 == n % 4 == 3 else 1)
