"""Inverses modulo odd numbers: the same as the readable division steps, and as Python's, for all lengths."""

import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import bignum
from medcrypt.paillier.arithmetic import secret_inverse
from reference import divsteps as twin

FUNCTIONS = [bignum.inverses, bignum.public_inverses]
SHORT = [
    3,
    5,
    7,
    9,
    15,
    2**16 + 1,
    2**61 - 1,
    2**62 - 1,
    2**62 + 1,
    2**63 - 25,
    2**64 - 1,
    2**64 + 13,
    2**124 - 1,
]
LONG = [2**127 - 1, 2**186 - 1, 3**162, 2**512 - 569, 2**521 - 1, 3**645, 3 * (2**1021 + 1), 2**1536 - 1]


@st.composite
def operands(draw: st.DrawFn, moduli: list[int]) -> tuple[int, int]:
    """A modulus, listed or any of a length, and a value below it: random, at an edge, or with a common factor."""
    bits = draw(st.integers(2, 1600))
    n = draw(st.sampled_from(moduli) | st.integers(2 ** (bits - 1), 2**bits - 1).map(lambda n: n | 1))
    ones = [(1 << i) - 1 for i in (61, 62, 63, 64, 124, 128, 186, 248, n.bit_length() - 1)]
    edges = [0, 1, 2, n // 2, n // 2 + 1, n - 2, n - 1, 1 << n.bit_length() // 2, *ones]
    common = math.gcd(n, draw(st.sampled_from([3**160, 5**40, 2**62 - 1])))
    value = draw(
        st.sampled_from(edges) | st.integers(0, n - 1) | st.integers(0, n // common).map(lambda x: x * common)
    )
    return n, value % n


def computed(function, values: list[int], n: int, width: int) -> list[int]:
    out = bytearray(b"\xff" * (width * len(values)))
    encoded = b"".join(x.to_bytes(width, "big") for x in values)
    function(encoded, width, n.to_bytes(width, "big"), out)
    return [int.from_bytes(out[i : i + width], "big") for i in range(0, len(out), width)]


def width_of(n: int) -> int:
    return -(-n.bit_length() // 8)


@pytest.mark.parametrize("function", FUNCTIONS)
@given(given_operands=operands(SHORT + LONG), zeros=st.integers(0, 9))
def test_inverses_are_the_readable_ones_and_pythons(function, given_operands, zeros):
    n, x = given_operands
    expected = twin.inverse(x, n)
    if expected is None:
        assert math.gcd(x, n) != 1
        with pytest.raises(ValueError, match="not invertible"):
            computed(function, [x], n, width_of(n))
    else:
        assert expected == pow(x, -1, n)
        assert computed(function, [x], n, width_of(n) + zeros) == [expected]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("bits", [2048, 3072, 4096, 6144, 8192, 8191, 16383, 16384])
def test_long_moduli_have_inverses_too(function, bits):
    drawn = int.from_bytes(os.urandom(2048), "big")
    for n in (2**bits - 1, 2 ** (bits - 1) + 1, (drawn | 1) % 2**bits | 1 << (bits - 1)):
        values = [x for x in (1, 2, n - 1, n // 2, drawn % n, 2 ** (bits - 2) - 1) if math.gcd(x, n) == 1]
        assert computed(function, values, n, bits // 8 + 1) == [pow(x, -1, n) for x in values]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("n", range(3, 131, 2))
def test_every_value_modulo_a_small_number(function, n):
    units = [x for x in range(n) if math.gcd(x, n) == 1]
    assert computed(function, units, n, 1) == [pow(x, -1, n) for x in units]
    for x in set(range(n)) - set(units):
        with pytest.raises(ValueError, match="not invertible"):
            computed(function, [x], n, 1)


@given(operands(SHORT + LONG))
def test_no_value_needs_more_steps_than_the_bound(given_operands):
    n, x = given_operands
    assert twin.steps_until_done(x, n) <= twin.most_steps(n.bit_length())


@pytest.mark.parametrize("bits", range(2, 11))
def test_the_bound_holds_for_every_small_number(bits):
    for n in range(2 ** (bits - 1) + 1, 2**bits, 2):
        assert max(twin.steps_until_done(x, n) for x in range(n)) <= twin.most_steps(bits)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_one_value_without_inverse_spoils_all_and_nothing_is_left(function):
    n, out = 3**80, bytearray(b"\xff" * 64)
    values = b"".join(x.to_bytes(16, "big") for x in (5, 7, 2 * 3**70, 11))
    with pytest.raises(ValueError, match="not invertible"):
        function(values, 16, n.to_bytes(16, "big"), out)
    assert out == bytes(64)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("n", [77, 2**62 + 1, 2**512 - 569])
def test_values_must_be_reduced(function, n):
    for x in (n, n + 1, 2 ** n.bit_length() - 1):
        with pytest.raises(ValueError, match="below n"):
            computed(function, [x], n, width_of(n) + 1)
    with pytest.raises(ValueError, match="longer than"):
        computed(function, [1 << n.bit_length()], n, width_of(n) + 1)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("n", [0, 1, 2, 76, 2**64, pytest.param(2**16384 + 1, id="long")])
def test_moduli_are_odd_at_least_three_and_not_too_long(function, n):
    with pytest.raises(ValueError, match="odd, at least 3"):
        computed(function, [1], n, max(width_of(n), 1))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("values", "width", "n", "size"), [(4, 3, 3, 4), (4, 2, 3, 4), (4, 2, 2, 3), (0, 2, 2, 0)]
)
def test_memory_of_the_wrong_size_is_refused(function, values, width, n, size):
    out = bytearray(size)
    if values:
        with pytest.raises(ValueError, match="bytes"):
            function(b"\1" * values, width, b"\1" * n, out)
    else:
        function(b"", width, b"\1" * n, out)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_results_may_lie_where_the_values_lie(function):
    values = bytearray(b"".join(x.to_bytes(8, "big") for x in (2, 3, 5)))
    function(values, 8, (2**61 - 1).to_bytes(8, "big"), values)
    expected = [pow(x, -1, 2**61 - 1) for x in (2, 3, 5)]
    assert [int.from_bytes(values[i : i + 8], "big") for i in (0, 8, 16)] == expected


def test_secret_inverses_reduce_their_values_first():
    assert secret_inverse(10**300 + 1, 2**127 - 1) == pow(10**300 + 1, -1, 2**127 - 1)
    with pytest.raises(ValueError, match="not invertible"):
        secret_inverse(3**50, 3**20)


@given(data=st.data(), n=st.sampled_from([3, 77, 2**64 + 13, 2**127 - 1, 3**631, 2**1536 - 3453]))
def test_lanes_have_inverses_modulo_the_square(bignum_kernel, data, n):
    ring = bignum.Ring(n.to_bytes(width_of(n), "big"), path=bignum_kernel)
    width = width_of(n * n)
    edges = st.sampled_from([1, 2 % n, n - 1, n + 1, n * n - 1])
    values = data.draw(st.lists(edges | st.integers(1, n * n - 1), min_size=1, max_size=ring.lanes))
    words, out = np.empty(ring.group_words, dtype=np.uint64), bytearray(width * len(values))
    ring.enter(b"".join(x.to_bytes(width, "big") for x in values), width, words)
    if all(math.gcd(x, n) == 1 for x in values):
        ring.public_inverses_of_lanes(words, len(values), words)
        ring.leave(words, width, out)
        assert out == b"".join(pow(x, -1, n * n).to_bytes(width, "big") for x in values)
    else:
        with pytest.raises(ValueError, match="not invertible"):
            ring.public_inverses_of_lanes(words, len(values), words)


@pytest.mark.parametrize("present", [-1, 0, 9])
def test_a_group_has_as_many_residues_as_lanes(bignum_kernel, present):
    ring = bignum.Ring(b"\x4d", path=bignum_kernel)
    words = np.zeros(ring.group_words, dtype=np.uint64)
    with pytest.raises(ValueError, match="lanes"):
        ring.public_inverses_of_lanes(words, present, words)


def test_lanes_may_have_moduli_of_their_own(bignum_kernel):
    moduli = [2**127 - 1 - 2 * i for i in range(bignum.lanes(bignum_kernel))]
    ring = bignum.Ring(b"".join(n.to_bytes(16, "big") for n in moduli), len(moduli), bignum_kernel)
    words, out = np.empty(ring.group_words, dtype=np.uint64), bytearray(32 * len(moduli))
    ring.enter((2**70).to_bytes(32, "big") * len(moduli), 32, words)
    ring.public_inverses_of_lanes(words, len(moduli), words)
    ring.leave(words, 32, out)
    assert out == b"".join(pow(2**70, -1, n * n).to_bytes(32, "big") for n in moduli)
