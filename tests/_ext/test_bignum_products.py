"""Products of pairs: the digits of the reference, on every path, with every carry that digits can make."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import bignum
from reference import bignum as twin

# Not only multiples of a digit: one bit less, the same, one bit more, for both digits and for whole blocks.
LENGTHS = [
    2,
    3,
    5,
    45,
    46,
    47,
    57,
    58,
    59,
    63,
    64,
    65,
    105,
    127,
    128,
    129,
    512,
    513,
    514,
    515,
    640,
    1000,
    1034,
    1536,
]
LONG = [2048, 3072, 4096, 8192]


def moduli(bits: int) -> list[int]:
    """Odd numbers of that length whose digits are all ones, nearly all zeros, and neither."""
    middle = int.from_bytes(bytes((37 * i + 11) % 256 for i in range(1024)), "big")
    return [(1 << bits) - 1, 1 << (bits - 1) | 1, (middle & (1 << bits) - 1) | 1 << (bits - 1) | 1]


def rings(path: str, lengths: list[int]) -> st.SearchStrategy[tuple[int, bignum.Ring]]:
    """Moduli and their rings; even moduli and 1 have none."""
    numbers = sorted({n for bits in lengths for n in moduli(bits) if n >= 3})
    return st.sampled_from(numbers).map(lambda n: (n, ring_of(n, path)))


def ring_of(n: int, path: str) -> bignum.Ring:
    return bignum.Ring(n.to_bytes(-(-n.bit_length() // 8), "big"), path=path)


def loose(n: int) -> st.SearchStrategy[int]:
    """Halves of a loose pair: the edges, all ones below every digit boundary, and anything."""
    ones = [(1 << bits) - 1 for bits in range(1, (4 * n).bit_length()) if bits % 52 == 0 or bits % 64 == 0]
    edges = [0, 1, n - 1, n, n + 1, 2 * n - 1, 2 * n, 3 * n, 4 * n - 1, *ones]
    return st.sampled_from(edges) | st.integers(0, 4 * n - 1)


@given(data=st.data())
def test_a_product_has_the_digits_of_the_reference(bignum_kernel, data):
    layout = twin.layout_of(bignum_kernel)
    n, ring = data.draw(rings(bignum_kernel, LENGTHS))
    pair = st.tuples(loose(n), loose(n))
    xs, ys = (data.draw(st.lists(pair, min_size=layout.lanes, max_size=layout.lanes)) for _ in range(2))
    x, y = (np.array(layout.words(n, pairs), dtype=np.uint64) for pairs in (xs, ys))
    z = np.empty_like(x)
    ring.multiply(x, y, z)
    expected = [twin.pair_product(a, b, n, layout.radix(n)) for a, b in zip(xs, ys, strict=True)]
    assert layout.pairs(n, z.tolist()) == expected
    assert all(a < 2 * n and 0 <= b < 2 * n for a, b in expected)  # so products of sums of two are loose


@given(data=st.data())
def test_a_square_has_the_digits_of_the_reference(bignum_kernel, data):
    layout = twin.layout_of(bignum_kernel)
    n, ring = data.draw(rings(bignum_kernel, LENGTHS))
    xs = data.draw(st.lists(st.tuples(loose(n), loose(n)), min_size=layout.lanes, max_size=layout.lanes))
    x = np.array(layout.words(n, xs), dtype=np.uint64)
    z = np.empty_like(x)
    ring.power(x, bytes([2]), z)  # one squaring and nothing else
    assert layout.pairs(n, z.tolist()) == [twin.pair_product(a, a, n, layout.radix(n)) for a in xs]


@pytest.mark.parametrize("bits", LONG)
def test_long_moduli_with_all_ones_in_every_digit(bignum_kernel, bits):
    """The greatest columns there are: every digit of both operands, the modulus and the quotient."""
    layout = twin.layout_of(bignum_kernel)
    for n in moduli(bits):
        ring, top = ring_of(n, bignum_kernel), 4 * n - 1
        ones = (1 << (4 * n).bit_length() - 1) - 1
        for pair in [(top, top), (ones, ones), (0, top), (top, 0), (n, n), (0, 0)]:
            x = np.array(layout.words(n, [pair] * layout.lanes), dtype=np.uint64)
            y = np.array(layout.words(n, [(top, ones)] * layout.lanes), dtype=np.uint64)
            z = np.empty_like(x)
            ring.multiply(x, y, z)
            expected = twin.pair_product(pair, (top, ones), n, layout.radix(n))
            assert layout.pairs(n, z.tolist()) == [expected] * layout.lanes
            ring.power(x, bytes([2]), z)
            expected = twin.pair_product(pair, pair, n, layout.radix(n))
            assert layout.pairs(n, z.tolist()) == [expected] * layout.lanes


def test_a_result_may_lie_where_an_operand_lies(bignum_kernel):
    n = moduli(1000)[2]
    layout, ring = twin.layout_of(bignum_kernel), ring_of(n, bignum_kernel)
    pairs = [[(n // (3 + i), n // (5 + i + j)) for i in range(layout.lanes)] for j in range(2)]
    x, y = (np.array(layout.words(n, p), dtype=np.uint64) for p in pairs)
    expected = np.empty_like(x)
    ring.multiply(x, y, expected)
    for into in (x.copy(), y.copy()):
        operands = (into, y) if (into == x).all() else (x, into)
        ring.multiply(*operands, into)
        assert (into == expected).all()
    square = np.empty_like(x)
    ring.multiply(x, x, square)
    ring.multiply(x, x, x)
    assert (x == square).all()


@given(n=st.integers(1, 2**200).map(lambda i: 2 * i + 1), data=st.data())
def test_the_bounds_of_the_design_hold(n, data):
    """R >= 64 n suffices, at its least too: what the kernels never compare is never needed."""
    for radix in (
        1 << (64 * n - 1).bit_length(),
        twin.PORTABLE.radix(n),
        twin.FMA.radix(n),
        twin.NARROW.radix(n),
        twin.IFMA.radix(n),
    ):
        x, y = (data.draw(st.tuples(loose(n), loose(n))) for _ in range(2))
        a, b = twin.pair_product(x, y, n, radix)
        assert 0 <= a < 2 * n
        assert 0 <= b < 2 * n
        assert twin.residue((a, b), n) * radix % n**2 == twin.residue(x, n) * twin.residue(y, n) % n**2
        chunk = (radix // 2 - 1, data.draw(loose(n)))  # what enters, times a constant below n
        a, b = twin.pair_product(chunk, (n - 1, n - 1), n, radix)
        assert 0 <= a < 2 * n
        assert 0 <= b < 2 * n
        a, b = twin.pair_product(x, (1, 0), n, radix)  # what leaves
        assert 0 <= a <= n
        assert 0 <= b <= n
