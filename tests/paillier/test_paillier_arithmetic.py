"""Batch arithmetic modulo n^2 against Python's own pow and against the textbook."""

import math
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import cpu
from medcrypt.paillier import Packing, arithmetic
from medcrypt.paillier.arithmetic import (
    FixedBase,
    Group,
    Residues,
    SplitGroup,
    random_exponents,
    random_units,
)
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


def test_drawing_never_repeats_in_threads_or_after_a_fork():
    with ThreadPoolExecutor(4) as pool:
        drawn = {bytes(exponents) for exponents in pool.map(lambda _: random_exponents(256, 1), range(40))}
    assert len(drawn) == 40
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, bytes(random_exponents(256, 1)))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 32) != bytes(random_exponents(256, 1))
    os.close(reading)
    os.close(writing)


N = (2**127 - 1) * (2**89 - 1)
UNITS = st.integers(1, N**2 - 1).filter(lambda x: math.gcd(x, N) == 1)


@given(xs=st.lists(UNITS, max_size=17))
def test_residues_are_a_sequence_of_their_integers(xs):
    residues = Group(N).residues(xs)
    assert list(residues) == xs
    assert len(residues) == len(xs)
    assert residues == xs
    assert residues == Group(N).residues(xs)
    assert (residues == [*xs, 1]) is False
    assert residues != 5
    assert xs == [residues[i] for i in range(len(xs))]
    assert residues[::-1] == xs[::-1]
    assert residues.to_bytes() == b"".join(x.to_bytes(54, "big") for x in xs)
    assert Group(N).decode(residues.to_bytes()) == xs
    assert repr(residues) == f"Residues(count={len(xs)})"


def test_wiped_residues_are_zeros():
    residues = Group(N).residues([5, 6])
    assert list(residues) == [5, 6]
    residues.wipe()
    assert not residues.pairs.any()
    assert list(residues) == [0, 0]


def test_masks_are_wiped_once_they_hide_something(public, monkeypatch):
    kept = []
    original = type(public)._short_powers
    monkeypatch.setattr(
        type(public), "_short_powers", lambda key, e: kept.append(original(key, e)) or kept[-1]
    )
    public.raw_encrypt(5)
    assert len(kept) == 1
    assert not kept[0].pairs.any()


def test_residues_have_no_hash():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Group(N).residues([1]))


@given(xs=st.lists(UNITS, min_size=1, max_size=17), exponent=st.integers(-(2**70), 2**70))
def test_powers_multiply_and_negative_ones_invert(xs, exponent):
    group = Group(N)
    powers = group.power(xs, exponent)
    assert powers == [pow(x, exponent, N**2) for x in xs]
    assert group.multiply(powers, group.invert(powers)) == [1] * len(xs)


@pytest.mark.parametrize("bad", [0, 2**127 - 1, 2**89 - 1, N])
def test_what_shares_a_factor_with_n_has_no_inverse(bad):
    with pytest.raises(ValueError, match="not invertible"):
        Group(N).invert([2, bad, 3])


def test_nothing_is_inverted_to_nothing():
    assert Group(N).invert([]) == []


def test_batches_of_different_lengths_do_not_meet():
    with pytest.raises(ValueError, match="lengths"):
        Group(N).multiply([1, 2], [3])
    with pytest.raises(ValueError, match="as many"):
        Group(N).conceal([1, 2], [3])


@pytest.mark.parametrize("shift", [-1, 1, 255, 2**40])
def test_plaintexts_and_units_count_modulo_n(shift):
    group, holder = Group(N), SplitGroup(2**89 - 1, 2**127 - 1)
    assert group.conceal([5 + shift * N], [7]) == group.conceal([5], [7])
    assert holder.nth_powers([5 + shift * N]) == holder.nth_powers([5]) == group.nth_powers([5])


def test_residues_of_another_modulus_are_taken_as_numbers():
    assert Group(N).multiply(Group(77).residues([5, 6]), [7, 8]) == [35, 48]


@pytest.mark.parametrize("path", cpu.paths())
def test_every_path_computes_the_same_and_takes_the_residues_of_the_others(path, monkeypatch):
    elsewhere = Group(N).power(range(2, 21), 12345)
    monkeypatch.setenv("MEDCRYPT_KERNELS", path)
    here = Group(N)
    assert here.ring.path == path
    assert here.power(range(2, 21), 12345) == elsewhere
    assert here.multiply(elsewhere, elsewhere) == [pow(x, 24690, N**2) for x in range(2, 21)]


def test_batches_spread_over_threads_keep_their_order(monkeypatch):
    monkeypatch.setattr(arithmetic, "_cores", lambda: 5)
    monkeypatch.setattr(arithmetic, "_PRODUCTS", 3)
    monkeypatch.setattr(arithmetic, "_POWERS", 2)
    group, holder = Group(N), SplitGroup(2**89 - 1, 2**127 - 1)
    for count in (0, 1, 7, 8, 9, 39, 100):
        xs = list(range(2, count + 2))
        ciphertexts = group.conceal(xs, group.nth_powers(xs))
        assert ciphertexts == [(1 + x * N) * pow(x, N, N**2) % N**2 for x in xs]
        assert holder.decrypt(ciphertexts) == xs
        assert holder.nth_powers(xs) == group.nth_powers(xs)
        assert FixedBase(3, N, 20).powers(xs) == [3**x % N**2 for x in xs]
        assert holder.fixed_base_powers(holder.fixed_base(3, 20), xs) == [3**x % N**2 for x in xs]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 9])
def test_few_ciphertexts_decrypt_side_by_side_and_many_one_prime_after_the_other(vector_keys, count):
    key = vector_keys[2048]
    group, holder = Group(key.public.n), SplitGroup(key.p, key.q)
    plaintexts = [0, 1, key.public.n - 1, *(7**i for i in range(6))][-count:]
    assert holder.decrypt(group.conceal(plaintexts, group.power(range(2, 2 + count), group.n))) == plaintexts


def test_residues_are_not_pickled():
    with pytest.raises(TypeError, match="neither pickled nor copied"):
        pickle.dumps(Group(77).residues([5]))


def test_a_view_of_bytes_is_enough_to_decode():
    data = memoryview(b"".join(x.to_bytes(54, "big") for x in (1, 2, N**2 - 1)))
    group = Group(N)
    assert isinstance(group.decode(data), Residues)
    assert list(group.decode(data)) == [1, 2, N**2 - 1]
    assert group.are_in_range(data)
    assert not group.are_in_range(bytes(54))
    assert not group.are_in_range((N**2).to_bytes(54, "big"))


def test_the_published_example_decrypts():
    # p = 7, q = 11, g = 5652, r = 23, m = 42: O'Keeffe, The Paillier Cryptosystem (2008).
    key = twin.Key(7, 11, g=5652)
    assert twin.encrypt(key, 42, 23) == 4624
    assert twin.decrypt(key, 4624) == 42
    # g = (1 + n)^b s^n for some b and s, so what our arithmetic decrypts is b times the plaintext.
    (b,) = SplitGroup(7, 11).decrypt([5652])
    assert SplitGroup(7, 11).decrypt([4624]) == [42 * b % 77]


@given(
    root=st.sampled_from([77, *PRIMES[3:], 2**521 - 1]),
    bases=st.lists(st.integers(min_value=0, max_value=2**1100), max_size=11),
    exponent=st.integers(min_value=0, max_value=2**90 - 1),
)
def test_a_secret_power_is_the_power_whatever_the_length_it_is_written_in(root, bases, exponent):
    group, expected = Group(root), [pow(x, exponent, root**2) for x in bases]
    for width in (12, 13, 40):
        assert group.secret_power(bases, exponent.to_bytes(width, "big")) == expected


@given(
    root=st.sampled_from([77, *PRIMES[3:], 2**521 - 1]),
    base=st.integers(min_value=0, max_value=2**1100),
    exponents=st.lists(st.integers(min_value=0, max_value=2**90 - 1), max_size=11),
)
def test_secret_powers_of_one_base_are_the_powers(root, base, exponents):
    encoded = b"".join(e.to_bytes(12, "big") for e in exponents)
    assert Group(root).secret_powers(base, encoded, 12) == [pow(base, e, root**2) for e in exponents]


@given(n=st.sampled_from([77, 2**127 - 1, 3**200]), x=st.integers(0, 2**700))
def test_single_inverses_are_inverses(n, x):
    x %= n * n
    if math.gcd(x, n) == 1:
        assert list(Group(n).invert([x])) == [pow(x, -1, n * n)]
    else:
        with pytest.raises(ValueError, match="not invertible"):
            Group(n).invert([x])


@pytest.mark.parametrize("bits", [256, 512, 2048, 3072])
def test_one_value_and_many_give_the_same_numbers(bits, vector_keys):
    """Single values have kernels of their own, and so have the primes of keys of usual lengths."""
    key = vector_keys[bits]
    group, split = key.public.group, SplitGroup(key.p, key.q)
    units = random_units(key.public.n, 9)
    powers = split.nth_powers(units)
    assert [split.for_one.nth_powers([u])[0] for u in units[:2]] == powers[:2]
    assert [group.for_one.nth_powers([u])[0] for u in units[:1]] == powers[:1]
    plaintexts = [0, 1, key.public.n - 1, *random_units(key.public.n, 6)]
    ciphertexts = group.conceal(plaintexts, powers)
    assert [split.for_one.decrypt([c])[0] for c in ciphertexts] == plaintexts
    assert split.decrypt(ciphertexts) == plaintexts
    assert [key.raw_decrypt(key.raw_encrypt(m)) for m in plaintexts[:3]] == plaintexts[:3]


# What a call leaves in memory


def left_in_memory(monkeypatch, call):
    """Run `call` twice, the second time to see which residues it made and did not overwrite."""
    call()
    made, batch = [], Group._batch
    monkeypatch.setattr(Group, "_batch", lambda *arguments: made.append(batch(*arguments)) or made[-1])
    result = call()
    monkeypatch.undo()
    return [list(residues) for residues in made if residues.pairs.any()], result


def test_decryption_leaves_no_mask_no_logarithm_and_no_plaintext(private, monkeypatch):
    encrypted = private.public.encrypt([1.0] * 30, Packing())
    left, _ = left_in_memory(monkeypatch, lambda: private.decrypt(encrypted))
    assert all(
        part == list(encrypted.ciphertexts) for part in left
    )  # read for the check, and for the product


def test_the_key_holder_leaves_no_mask_and_no_half_of_one(private, monkeypatch):
    for r in (None, 5):
        left, c = left_in_memory(monkeypatch, lambda r=r: private.raw_encrypt(7, r))
        assert left == [[c]]


def test_rerandomising_leaves_no_mask(private, monkeypatch):
    encrypted = private.public.encrypt([1.0], Packing())
    for short in (False, True):
        left, fresh = left_in_memory(
            monkeypatch, lambda short=short: encrypted.rerandomize(short=short).ciphertexts
        )
        assert left[-1] == list(fresh)
        assert len(left) == 1 + short  # with short exponents, the product before the symbol was chosen


def test_exponents_are_wiped_once_their_powers_are_known():
    drawn = random_exponents(64, 5)
    assert any(drawn)
    FixedBase(3, 1009, 64).powers(drawn)
    assert not any(drawn)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_every_residue_gets_its_own_secret_power(count):
    group = Group(1009 * 2003)
    bases, exponents = list(range(2, 2 + count)), [3 * i for i in range(count)]
    powers = group.secret_powers_of(
        group.residues(bases), b"".join(e.to_bytes(5, "big") for e in exponents), 5
    )
    assert list(powers) == [pow(x, e, group.n_squared) for x, e in zip(bases, exponents, strict=True)]
    with pytest.raises(ValueError, match="exponents"):
        group.secret_powers_of(group.residues(bases), bytes(4), 5)
