"""Batch arithmetic modulo n^2 against Python's own pow and against the textbook."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.paillier.arithmetic import FixedBase, Group, SplitGroup, random_exponents, random_units
from reference import paillier as twin

PRIMES = [7, 11, 19, 23, 47, 65543, 4294967291, 2**61 - 1, 2**127 - 1]


@given(
    root=st.sampled_from([3, 77, *PRIMES, 2**607 - 1]),
    base=st.integers(min_value=0, max_value=2**1300),
    exponents=st.lists(st.integers(min_value=0, max_value=2**40 - 1), max_size=3),
)
def test_a_fixed_base_power_is_the_power(root, base, exponents):
    table = FixedBase(base, root, exponent_bits=40)
    assert table.powers(exponents) == [pow(base, e, root**2) for e in exponents]


@pytest.mark.parametrize("bits", [1, 5, 6, 7, 12, 13])
def test_the_table_serves_every_exponent_it_was_built_for(bits):
    table = FixedBase(5, 1009, exponent_bits=bits)
    exponents = range(1 << bits) if bits < 10 else [0, 1, (1 << bits) - 1, 1 << (bits - 1)]
    assert table.powers(exponents) == [pow(5, e, 1009**2) for e in exponents]


@pytest.mark.parametrize("exponent", [-1, 1 << 20])
def test_an_exponent_beyond_the_table_is_refused(exponent):
    with pytest.raises(ValueError, match="fit the table"):
        FixedBase(5, 1009, exponent_bits=20).powers([exponent])


def distinct_primes():
    pairs = [(p, q) for p in PRIMES for q in PRIMES if p < q and math.gcd(p * q, (p - 1) * (q - 1)) == 1]
    return st.sampled_from(pairs)


@given(primes=distinct_primes(), data=st.data())
def test_encryption_and_decryption_equal_the_textbook(primes, data):
    key = twin.Key(*primes)
    units = st.integers(min_value=1, max_value=key.n - 1).filter(lambda r: math.gcd(r, key.n) == 1)
    m = data.draw(st.integers(min_value=0, max_value=key.n - 1) | st.sampled_from([0, 1, key.n - 1]))
    r = data.draw(units)
    everybody, holder = Group(key.n), SplitGroup(*primes)
    c = twin.encrypt(key, m, r)
    assert everybody.conceal([m], everybody.nth_powers([r])) == [c]
    assert holder.nth_powers([r]) == everybody.nth_powers([r])
    assert holder.decrypt([c]) == [m] == [twin.decrypt(key, c)]


@given(
    primes=distinct_primes(), exponents=st.lists(st.integers(min_value=0, max_value=2**30 - 1), max_size=4)
)
def test_the_holders_fixed_base_powers_equal_everybodys(primes, exponents):
    holder, n = SplitGroup(*primes), primes[0] * primes[1]
    powers = holder.fixed_base_powers(holder.fixed_base(2, 30), exponents)
    assert powers == FixedBase(2, n, 30).powers(exponents) == [pow(2, e, n * n) for e in exponents]


def test_membership_equals_the_gcd_of_each_element():
    group = Group(15)
    for x in range(-3, 230):
        assert group.contains([x]) == (0 < x < 225 and math.gcd(x, 15) == 1)
        assert group.contains([1, x, 224]) == group.contains([x])
    assert group.contains([])


def test_two_divisors_do_not_hide_each_other():
    # The product 3 * 5 is 0 modulo 15: still no unit.
    assert not Group(15).contains([3, 5])


def test_random_units_are_units_and_cover_the_group():
    drawn = random_units(15, 400)
    assert set(drawn) == {1, 2, 4, 7, 8, 11, 13, 14}


@pytest.mark.parametrize("bits", [1, 3, 8, 9, 20, 512])
def test_random_exponents_fill_their_length_and_stay_below_it(bits):
    width = -(-bits // 8)
    drawn = random_exponents(bits, 200)
    exponents = [int.from_bytes(drawn[i : i + width], "little") for i in range(0, len(drawn), width)]
    assert len(exponents) == 200
    assert max(exponents).bit_length() == bits  # the highest bit is set in half of the draws
    assert bits < 20 or len(set(exponents)) > 190


def test_random_exponents_are_wiped_after_use():
    drawn = random_exponents(40, 5)
    FixedBase(5, 1009, exponent_bits=40).powers(drawn)
    assert not any(drawn)


def test_the_published_example_decrypts():
    # p = 7, q = 11, g = 5652, r = 23, m = 42: O'Keeffe, The Paillier Cryptosystem (2008).
    key = twin.Key(7, 11, g=5652)
    assert twin.encrypt(key, 42, 23) == 4624
    assert twin.decrypt(key, 4624) == 42
