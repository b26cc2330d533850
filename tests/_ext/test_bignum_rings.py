"""Rings: every operation equals Python's integers, on every path, for every batch size."""

import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import bignum
from reference import bignum as twin

SMALL = [3, 5, 7, 15, 77, 2**31 + 11, 2**61 - 1, 2**64 - 59, 2**64 + 13, 2**127 - 1, 2**256 - 189]
LONG = [
    *(2**512 - 569, 2**511 + 111, 2**521 - 1, 3**631, 2**1000 - 1245, 7**547),
    *(2**1536 - 3453, 5**882, 3**1938, 2**3072 - 1103717),
]


class Batch:
    """A ring, numbers in it, and the words they became."""

    def __init__(self, n: int, values: list[int], path: str) -> None:
        self.n, self.square, self.count = n, n * n, len(values)
        self.n_width, self.width = -(-n.bit_length() // 8), -(-2 * n.bit_length() // 8)
        self.ring = bignum.Ring(n.to_bytes(self.n_width, "big"), path=path)
        self.words = self.enter(values)

    def enter(self, values: list[int], width: int = 0) -> np.ndarray:
        width = width or self.width
        out = self.empty(len(values))
        self.ring.enter(b"".join(x.to_bytes(width, "big") for x in values), width, out)
        return out

    def empty(self, count: int) -> np.ndarray:
        return np.full((-(-count // self.ring.lanes), self.ring.group_words), 2**63, dtype=np.uint64)

    def leave(self, words: np.ndarray) -> list[int]:
        out = bytearray(self.count * self.width)
        self.ring.leave(words, self.width, out)
        return integers(out, self.width)


def integers(data: bytes, width: int) -> list[int]:
    return [int.from_bytes(data[i : i + width], "big") for i in range(0, len(data), width)]


def elements(n: int) -> st.SearchStrategy[int]:
    square = n * n
    edges = [0, 1, 2 % square, n - 1, n, n + 1, square - n, square - 1]
    ones = [(1 << bits) - 1 for bits in (51, 52, 63, 64, 104, 128, n.bit_length()) if 1 << bits <= square]
    return st.sampled_from(edges + ones) | st.integers(0, square - 1)


@st.composite
def batches(draw: st.DrawFn, path: str, numbers: list[int] = SMALL + LONG) -> tuple[Batch, list[int]]:
    n = draw(st.sampled_from(numbers))
    values = draw(st.lists(elements(n), min_size=1, max_size=17))
    return Batch(n, values, path), values


@given(data=st.data())
def test_what_enters_leaves_again(bignum_kernel, data):
    batch, values = data.draw(batches(bignum_kernel))
    assert batch.leave(batch.words) == values


@pytest.mark.parametrize("zeros", [1, 7, 8, 9, 64, 1000])
def test_a_modulus_may_have_leading_zeros(bignum_kernel, zeros):
    n = LONG[0]
    ring = bignum.Ring(bytes(zeros) + n.to_bytes(64, "big"), path=bignum_kernel)
    x, out = np.empty(ring.group_words, dtype=np.uint64), bytearray(128)
    ring.enter((n * n - 5).to_bytes(128, "big"), 128, x)
    ring.leave(x, 128, out)
    assert ring.bits == 512
    assert int.from_bytes(out, "big") == n * n - 5


@given(data=st.data(), width=st.integers(1, 700))
def test_numbers_of_any_size_enter_modulo_the_square(bignum_kernel, data, width):
    n = data.draw(st.sampled_from(SMALL + LONG))
    values = data.draw(st.lists(st.binary(min_size=width, max_size=width), min_size=1, max_size=9))
    numbers = [int.from_bytes(value, "big") for value in [*values, b"\xff" * width]]
    batch = Batch(n, [0] * len(numbers), bignum_kernel)
    assert batch.leave(batch.enter(numbers, width)) == [x % batch.square for x in numbers]


@given(data=st.data())
def test_halves_leave_as_the_digits_to_base_n(bignum_kernel, data):
    batch, values = data.draw(batches(bignum_kernel))
    low, high = bytearray(batch.count * batch.n_width), bytearray(batch.count * batch.n_width)
    batch.ring.leave_low(batch.words, batch.n_width, low)
    batch.ring.leave_high(batch.words, batch.n_width, high)
    assert integers(low, batch.n_width) == [x % batch.n for x in values]
    assert integers(high, batch.n_width) == [x // batch.n for x in values]


@given(data=st.data(), bits=st.sampled_from([2, 52, 63, 64, 65, 512, 1536]), count=st.integers(1, 9))
def test_halves_join_to_the_number_that_they_are_the_digits_of(bignum_kernel, data, bits, count):
    """Each with the modulus of its lane; halves may be longer than the modulus, if they are no longer in bits."""
    lanes, width = bignum.lanes(bignum_kernel), bits // 8 + 2
    moduli = [data.draw(st.integers(1 << bits - 1, (1 << bits) - 1)) | 1 for _ in range(lanes)]
    ring = bignum.Ring(b"".join(n.to_bytes(width, "big") for n in moduli), lanes, bignum_kernel)
    half = st.sampled_from([0, 1, (1 << bits) - 1]) | st.integers(0, (1 << bits) - 1)
    lows, highs = (data.draw(st.lists(half, min_size=count, max_size=count)) for _ in range(2))
    low, high = (b"".join(x.to_bytes(width, "big") for x in halves) for halves in (lows, highs))
    out = bytearray(count * 2 * width)
    ring.join(low, high, width, 2 * width, out)
    expected = [a + b * moduli[i % lanes] for i, (a, b) in enumerate(zip(lows, highs, strict=True))]
    assert integers(out, 2 * width) == expected


@given(data=st.data())
def test_products_are_products(bignum_kernel, data):
    batch, xs = data.draw(batches(bignum_kernel))
    ys = [data.draw(elements(batch.n)) for _ in xs]
    out = batch.empty(batch.count)
    batch.ring.multiply(batch.words, batch.enter(ys), out)
    assert batch.leave(out) == [x * y % batch.square for x, y in zip(xs, ys, strict=True)]


EXPONENTS = [0, 1, 2, 3, 15, 16, 17, 255, 256, 65535, 65536, 2**64 - 1, 2**64]


@given(data=st.data(), secret=st.booleans(), exponent=st.sampled_from(EXPONENTS) | st.integers(0, 2**200))
def test_powers_are_powers(bignum_kernel, data, secret, exponent):
    batch, xs = data.draw(batches(bignum_kernel))
    spare = data.draw(st.integers(0, 3))  # leading zeros
    encoded = exponent.to_bytes(max(-(-exponent.bit_length() // 8), 1) + spare, "big")
    out = batch.empty(batch.count)
    batch.ring.power(batch.words, encoded, out, secret)
    assert batch.leave(out) == [pow(x, exponent, batch.square) for x in xs]
    batch.ring.power(batch.words, encoded, batch.words, secret)
    assert (batch.words == out).all()


@given(data=st.data(), secret=st.booleans(), exponent=st.sampled_from(EXPONENTS) | st.integers(0, 2**200))
def test_single_powers_are_powers(bignum_kernel, data, secret, exponent):
    batch, xs = data.draw(batches(bignum_kernel))
    width = batch.n_width + 1
    values = b"".join((x % (2 * batch.n)).to_bytes(width, "big") for x in xs)
    out = bytearray(len(values))
    batch.ring.single_powers(values, width, exponent.to_bytes(26, "big"), out, secret)
    assert integers(out, width) == [pow(x % (2 * batch.n), exponent, batch.n) for x in xs]


@given(data=st.data(), bits=st.sampled_from([2, 51, 52, 53, 64, 127, 512, 1100]), size=st.integers(1, 140))
def test_every_lane_may_have_its_own_modulus_value_and_exponent(bignum_kernel, data, bits, size):
    lanes, width = bignum.lanes(bignum_kernel), -(-bits // 8) + 1
    moduli = [data.draw(st.integers(1 << bits - 1, (1 << bits) - 1)) | 1 for _ in range(lanes)]
    values = [data.draw(st.integers(0, 2 * n - 1)) for n in moduli]
    exponents = data.draw(st.lists(st.integers(0, 256**size - 1), min_size=lanes, max_size=lanes))
    ring = bignum.Ring(b"".join(n.to_bytes(width, "big") for n in moduli), lanes, bignum_kernel)
    encoded = b"".join(e.to_bytes(size, "big") for e in exponents)
    out = bytearray(lanes * width)
    ring.single_powers_by_lane(b"".join(x.to_bytes(width, "big") for x in values), width, encoded, out)
    assert integers(out, width) == [pow(x, e, n) for x, e, n in zip(values, exponents, moduli, strict=True)]


@given(data=st.data(), size=st.integers(1, 20))
def test_every_lane_may_have_its_own_exponent(bignum_kernel, data, size):
    batch, xs = data.draw(batches(bignum_kernel))
    lanes = batch.ring.lanes
    binary = st.binary(min_size=size, max_size=size)
    exponents = data.draw(st.lists(binary, min_size=lanes, max_size=lanes))
    batch.ring.power_by_lane(batch.words, b"".join(exponents), batch.words)
    expected = [pow(x, int.from_bytes(exponents[i % lanes], "big"), batch.square) for i, x in enumerate(xs)]
    assert batch.leave(batch.words) == expected


@given(data=st.data())
def test_concealing_multiplies_by_one_plus_m_n(bignum_kernel, data):
    batch, masks = data.draw(batches(bignum_kernel))
    edges = st.sampled_from([0, 1, batch.n - 1])
    plaintexts = [data.draw(edges | st.integers(0, batch.n - 1)) for _ in masks]
    encoded, out = b"".join(m.to_bytes(batch.n_width, "big") for m in plaintexts), batch.empty(batch.count)
    batch.ring.conceal(batch.words, encoded, batch.n_width, out)
    expected = [(1 + m * batch.n) * x % batch.square for m, x in zip(plaintexts, masks, strict=True)]
    assert batch.leave(out) == expected


@given(data=st.data())
def test_combining_multiplies_and_adds_and_the_sum_can_be_multiplied(bignum_kernel, data):
    batch, xs = data.draw(batches(bignum_kernel))
    n, square, lanes = batch.n, batch.square, batch.ring.lanes
    ys, (e, f) = [data.draw(elements(n)) for _ in xs], [data.draw(elements(n)) for _ in range(2)]
    out = batch.empty(batch.count)
    factors = batch.enter([e] * lanes), batch.enter([f] * lanes)
    batch.ring.combine(batch.words, factors[0], batch.enter(ys), factors[1], out)
    sums = [(x * e + y * f) % square for x, y in zip(xs, ys, strict=True)]
    assert batch.leave(out) == sums
    batch.ring.multiply(out, out, out)
    assert batch.leave(out) == [s * s % square for s in sums]


@given(data=st.data(), bits=st.integers(1, 70))
def test_comb_powers_are_powers(bignum_kernel, data, bits):
    n = data.draw(st.sampled_from(SMALL + LONG[:5]))
    base = data.draw(elements(n))
    edges = st.sampled_from([0, 1, (1 << bits) - 1, 1 << (bits - 1)])
    exponents = data.draw(st.lists(edges | st.integers(0, (1 << bits) - 1), min_size=1, max_size=17))
    batch, width = Batch(n, [base] * len(exponents), bignum_kernel), -(-bits // 8)
    comb, out = bignum.Comb(batch.ring, batch.words[0], bits), batch.empty(len(exponents))
    comb.powers(b"".join(e.to_bytes(width, "little") for e in exponents), width, out)
    assert batch.leave(out) == [pow(base, e, n * n) for e in exponents]


def test_a_comb_serves_more_groups_than_take_turns(bignum_kernel):
    n, count = SMALL[4], 333
    exponents = [(i * 2654435761) % 2**32 for i in range(count)]
    batch = Batch(n, [2] * count, bignum_kernel)
    out = batch.empty(count)
    bignum.Comb(batch.ring, batch.words[0], 32).powers(
        b"".join(e.to_bytes(4, "little") for e in exponents), 4, out
    )
    assert batch.leave(out) == [pow(2, e, n * n) for e in exponents]


@given(data=st.data())
def test_the_product_is_a_unit_where_all_are(bignum_kernel, data):
    batch, xs = data.draw(batches(bignum_kernel, [15, 77, 3**40, 2**127 - 1]))
    out = bytearray(batch.ring.lanes * batch.n_width)
    batch.ring.product(batch.words, batch.n_width, out)
    gcds = [math.gcd(p, batch.n) for p in integers(out, batch.n_width)]
    assert (max(gcds) == 1) == all(math.gcd(x, batch.n) == 1 for x in xs)


@given(data=st.data())
def test_running_products_unwind_to_inverses(bignum_kernel, data):
    n = data.draw(st.sampled_from([2**127 - 1, *LONG[2:4]]))
    units = st.integers(1, n * n - 1).filter(lambda x: math.gcd(x, n) == 1)
    xs = data.draw(st.lists(units, min_size=1, max_size=25))
    batch = Batch(n, xs, bignum_kernel)
    lanes, running = batch.ring.lanes, np.empty_like(batch.words)
    batch.ring.running_products(batch.words, running)
    padded = xs + [1] * (-len(xs) % lanes)
    last = [math.prod(padded[lane::lanes]) for lane in range(lanes)]
    inverses = batch.enter([pow(x, -1, n * n) for x in last])
    batch.ring.unwind(running, batch.words, inverses)
    assert batch.leave(running) == [pow(x, -1, n * n) for x in xs]


@pytest.mark.parametrize("count", range(1, 18))
def test_lanes_are_independent(bignum_kernel, count):
    """What a value becomes does not depend on who else is in the batch."""
    n = LONG[3]
    values = [pow(5, 3**i, n * n) for i in range(count)]
    together = Batch(n, values, bignum_kernel)
    out = together.empty(count)
    together.ring.power(together.words, b"\x01\x02\x03", out, True)
    expected = [pow(x, 0x010203, n * n) for x in values]
    assert together.leave(out) == expected
    alone = Batch(n, values[-1:], bignum_kernel)
    alone.ring.power(alone.words, b"\x01\x02\x03", alone.words, True)
    assert alone.leave(alone.words) == expected[-1:]


@given(data=st.data(), bits=st.sampled_from([16, 64, 65, 130, 512, 768, 1024]))
def test_fermats_test_of_every_lane(bignum_kernel, data, bits):
    lanes = bignum.lanes(bignum_kernel)
    odd = st.integers(1 << (bits - 1), (1 << bits) - 1).map(lambda n: n | 1)
    candidates = data.draw(st.lists(odd, min_size=lanes, max_size=lanes))
    width = bits // 8 + 1
    ring = bignum.Ring(b"".join(n.to_bytes(width, "big") for n in candidates), lanes, bignum_kernel)
    out = bytearray(lanes * width)
    ring.fermat(width, out)
    assert integers(out, width) == [pow(2, n - 1, n) for n in candidates]


def test_all_paths_make_the_same_numbers():
    n = LONG[-1]
    values = [pow(7, 11**i, n * n) for i in range(9)]
    results = set()
    for path in bignum_paths():
        batch = Batch(n, values, path)
        batch.ring.power(batch.words, b"\xfe\xdc\xba\x98", batch.words, True)
        results.add(tuple(batch.leave(batch.words)))
    assert results == {tuple(pow(x, 0xFEDCBA98, n * n) for x in values)}


def bignum_paths() -> tuple[str, ...]:
    from medcrypt._ext import cpu

    return cpu.paths()


def test_threads_share_a_ring(bignum_kernel):
    n = LONG[3]
    values = [pow(5, 3**i, n * n) for i in range(40)]
    batch = Batch(n, values, bignum_kernel)

    def work(i: int) -> list[int]:
        out = batch.empty(len(values))
        batch.ring.power(batch.words, bytes([i, 1]), out)
        return integers(_leave(batch, out), batch.width)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(8)))
    assert found == [[pow(x, 256 * i + 1, n * n) for x in values] for i in range(8)]


def _leave(batch: Batch, words: np.ndarray) -> bytes:
    out = bytearray(batch.count * batch.width)
    batch.ring.leave(words, batch.width, out)
    return bytes(out)


# ---- public numbers -------------------------------------------------------------------------------------


@given(
    n=st.integers(0, 2**300).map(lambda i: 2 * i + 1) | st.sampled_from([1, 3, 9, 2**64 - 1, 2**128 + 1]),
    values=st.lists(st.integers(0, 2**304 - 1), max_size=6),
)
def test_jacobi_symbols_are_the_textbooks(n, values):
    values = [*values, 0, 1, n - 1, n, 2 * n]
    out = np.empty(len(values), dtype=np.int8)
    bignum.jacobi(b"".join(a.to_bytes(40, "big") for a in values), 40, n.to_bytes(40, "big"), out)
    assert out.tolist() == [twin.jacobi(a, n) for a in values]


@given(limit=st.integers(1, 2**40), values=st.lists(st.integers(0, 2**41), max_size=5))
def test_a_range_is_open_at_both_ends(limit, values):
    for batch in (values, [0], [limit], [limit - 1], [1]):
        encoded = b"".join(x.to_bytes(6, "big") for x in batch)
        assert bignum.in_range(encoded, 6, limit.to_bytes(6, "big")) == all(0 < x < limit for x in batch)


def test_striking_leaves_what_no_prime_divides():
    primes = np.array([3, 5, 7, 97], dtype=np.uint32)
    alive = np.ones(200, dtype=np.uint8)
    start = 1001
    first = np.array([-start % p for p in primes.tolist()], dtype=np.uint32)
    bignum.strike(alive, primes, first)
    assert alive.tolist() == [int(all((start + i) % p for p in primes.tolist())) for i in range(200)]


def test_wiping_leaves_zeros():
    secret = bytearray(b"secret")
    bignum.wipe(secret)
    assert secret == bytes(6)


# ---- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "modulus", [b"", b"\x00", b"\x01", b"\x02", b"\x00\x04", b"\x01" + bytes(1024) + b"\x01"]
)
def test_a_modulus_is_odd_at_least_three_and_not_too_long(modulus):
    with pytest.raises(ValueError, match="modul"):
        bignum.Ring(modulus)


def test_moduli_of_lanes_have_equal_lengths(bignum_kernel):
    lanes = bignum.lanes(bignum_kernel)
    assert bignum.Ring(bytes([5] * lanes), lanes, bignum_kernel).bits == 3
    with pytest.raises(ValueError, match="modul"):
        bignum.Ring(bytes([5] * lanes), lanes + 1, bignum_kernel)
    if lanes > 1:
        with pytest.raises(ValueError, match="equal lengths"):
            bignum.Ring(bytes([3] + [5] * (lanes - 1)), lanes, bignum_kernel)


def test_an_unknown_path_is_refused():
    with pytest.raises(ValueError, match="this processor can run"):
        bignum.Ring(b"\x05", path="altivec")
    with pytest.raises(ValueError, match="this processor can run"):
        bignum.lanes("altivec")


def test_memory_of_the_wrong_size_is_refused(bignum_kernel):
    batch = Batch(77, [1, 2, 3], bignum_kernel)
    ring, words, long = batch.ring, batch.words, np.zeros((9, batch.ring.group_words), dtype=np.uint64)
    out, one = np.empty_like(words), batch.enter([1] * batch.ring.lanes)
    for call in (
        lambda: ring.enter(bytes(6), 2, long),
        lambda: ring.enter(bytes(5), 2, out),
        lambda: ring.enter(bytes(6), 0, out),
        lambda: ring.leave(long, 2, bytearray(6)),
        lambda: ring.leave(words, 1, bytearray(3)),
        lambda: ring.leave_low(long, 1, bytearray(3)),
        lambda: ring.join(bytes(2), bytes(3), 1, 2, bytearray(4)),
        lambda: ring.join(bytes(2), bytes(2), 1, 2, bytearray(3)),
        lambda: ring.join(bytes(2), bytes(2), 1, 1, bytearray(2)),
        lambda: ring.multiply(words, long, out),
        lambda: ring.multiply(words, words, long),
        lambda: ring.multiply(words[:, :-1].copy(), words, out),
        lambda: ring.combine(words, long, words, one, out),
        lambda: ring.combine(words, one, words, one, long),
        lambda: ring.conceal(words, bytes(50), 1, out),
        lambda: ring.power(words, b"", out),
        lambda: ring.power(words, b"\x02", long),
        lambda: ring.power_by_lane(words, b"", out),
        lambda: ring.power_by_lane(words, bytes(ring.lanes), long),
        lambda: ring.product(words, 1, bytearray(100)),
        lambda: ring.running_products(words, long),
        lambda: ring.unwind(words, words, long),
        lambda: ring.single_powers(bytes(3), 1, b"", bytearray(3)),
        lambda: ring.single_powers(bytes(3), 1, b"\x02", bytearray(4)),
        lambda: ring.single_powers_by_lane(bytes(ring.lanes), 1, b"", bytearray(ring.lanes)),
        lambda: ring.single_powers_by_lane(bytes(ring.lanes), 1, bytes(ring.lanes), bytearray(99)),
        lambda: ring.single_powers_by_lane(bytes(99), 1, bytes(ring.lanes), bytearray(99)),
        lambda: ring.single_powers_by_lane(bytes(ring.lanes), 1, bytes(ring.lanes + 1), bytearray(99)),
        lambda: ring.fermat(1, bytearray(100)),
        lambda: bignum.Comb(ring, long, 8),
        lambda: bignum.Comb(ring, one, 0),
        lambda: bignum.Comb(ring, one, 8).powers(bytes(50), 1, out),
        lambda: bignum.in_range(bytes(4), 2, bytes(3)),
        lambda: bignum.jacobi(bytes(4), 2, b"\x00\x03", bytearray(3)),
        lambda: bignum.jacobi(bytes(4), 2, b"\x00\x02", bytearray(2)),
        lambda: bignum.strike(bytearray(4), bytes(8), bytes(4)),
    ):
        with pytest.raises(ValueError, match=r"bytes|width|exponent|odd"):
            call()


def test_words_that_are_not_aligned_are_refused(bignum_kernel):
    batch = Batch(77, [1], bignum_kernel)
    memory = bytearray(8 * batch.ring.group_words + 8)
    shifted = memoryview(memory)[1 : 1 + 8 * batch.ring.group_words]
    with pytest.raises(ValueError, match="aligned"):
        batch.ring.multiply(shifted, batch.words, np.empty_like(batch.words))


def test_results_go_to_writable_memory_only(bignum_kernel):
    batch = Batch(77, [1], bignum_kernel)
    with pytest.raises(BufferError):
        batch.ring.leave(batch.words, 2, bytes(2))


def test_rings_and_combs_stay_where_they_are(bignum_kernel):
    batch = Batch(77, [1], bignum_kernel)
    for thing in (batch.ring, bignum.Comb(batch.ring, batch.words[0], 8)):
        with pytest.raises(TypeError, match="neither pickled nor copied"):
            pickle.dumps(thing)
    assert repr(batch.ring) == f"Ring(bits=7, path='{bignum_kernel}')"


# What does not fit is refused, never cut off


@pytest.mark.parametrize("n", [77, 2**64 + 13, 2**512 - 569])
def test_values_a_bit_longer_than_n_are_taken_and_longer_ones_refused(bignum_kernel, n):
    bits = n.bit_length()
    batch, width, greatest = Batch(n, [2], bignum_kernel), bits // 8 + 2, 2 ** (bits + 1) - 1
    out, powers = batch.empty(1), bytearray(width)
    batch.ring.conceal(batch.words, greatest.to_bytes(width, "big"), width, out)
    assert batch.leave(out) == [2 * (1 + greatest * n) % (n * n)]
    batch.ring.single_powers(greatest.to_bytes(width, "big"), width, b"\3", powers)
    assert int.from_bytes(powers, "big") == pow(greatest, 3, n)
    for longer in (greatest + 1, 256**width - 1):
        with pytest.raises(ValueError, match="longer than"):
            batch.ring.conceal(batch.words, longer.to_bytes(width, "big"), width, out)
        with pytest.raises(ValueError, match="longer than"):
            batch.ring.join(
                longer.to_bytes(width, "big"), bytes(width), width, 2 * width, bytearray(2 * width)
            )
        with pytest.raises(ValueError, match="longer than"):
            batch.ring.single_powers(longer.to_bytes(width, "big"), width, b"\3", powers)


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 20, 64])
def test_a_comb_refuses_exponents_longer_than_it_was_made_for(bignum_kernel, bits):
    batch, width = Batch(1009, [3], bignum_kernel), -(-bits // 8) + 1
    comb, out = bignum.Comb(batch.ring, batch.words, bits), batch.empty(1)
    comb.powers((2**bits - 1).to_bytes(width, "little"), width, out)
    assert batch.leave(out) == [pow(3, 2**bits - 1, 1009**2)]
    with pytest.raises(ValueError, match="longer than"):
        comb.powers((2**bits).to_bytes(width, "little"), width, out)


# Randomness and kernels


@pytest.mark.parametrize("size", [0, 1, 256, 257, 100_000])
def test_memory_is_filled_with_random_bytes_and_nothing_beyond_it(size):
    buffer = bytearray(size + 2)
    bignum.fill_random(memoryview(buffer)[1:-1])
    assert (buffer[0], buffer[-1]) == (0, 0)
    assert size < 257 or len(set(buffer[1:-1])) > 100
    with pytest.raises(BufferError):
        bignum.fill_random(bytes(8))


def test_a_path_takes_one_of_the_kernels_that_the_processor_has():
    assert bignum.kernels()[0] == "int128"
    assert set(bignum.kernels()) <= {"int128", "adx", "fma", "narrow", "ifma"}
    with pytest.raises(ValueError, match="this processor can run"):
        bignum.Ring(bytes([77]), path="abacus")
