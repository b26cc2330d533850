"""Primes: what is accepted, what is refused."""

import math

import pytest
from Crypto.Util.number import isPrime
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.paillier.primes import (
    _survivors,
    fermat_probable_primes,
    has_small_factor,
    is_probable_prime,
    random_blum_prime,
)


def test_small_numbers_are_classified_like_by_trial_division():
    expected = [n for n in range(5000) if n > 1 and all(n % d for d in range(2, math.isqrt(n) + 1))]
    assert [n for n in range(5000) if is_probable_prime(n)] == expected


@pytest.mark.parametrize(
    "composite",
    [
        561,  # Carmichael
        3215031751,  # strong pseudoprime to the bases 2, 3, 5, 7
        3825123056546413051,  # strong pseudoprime to the first nine prime bases
        318665857834031151167461,  # to the first twelve
        (2**61 - 1) * (2**89 - 1),
        (2**127 - 1) ** 2,
    ],
)
def test_pseudoprimes_and_products_are_composite(composite):
    assert not is_probable_prime(composite)


@pytest.mark.parametrize("exponent", [61, 89, 107, 127, 521, 607, 1279])
def test_mersenne_primes_are_prime(exponent):
    assert is_probable_prime(2**exponent - 1)


@given(st.integers(min_value=0, max_value=2**80))
def test_primality_agrees_with_pycryptodome(n):
    assert is_probable_prime(n) == isPrime(n)


@given(st.integers(min_value=2, max_value=2**40))
def test_a_small_factor_is_found_exactly_when_trial_division_finds_one(n):
    expected = any(n % d == 0 for d in range(2, min(n, 2**16 - 1) + 1)) if n < 2**18 else None
    if expected is None:
        expected = any(n % d == 0 for d in range(2, 2**16))
    assert has_small_factor(n) == expected


@pytest.mark.parametrize("bits", [32, 33, 40, 64, 128, 256])
def test_a_blum_prime_has_the_asked_length_and_form(bits):
    for _ in range(4):
        p = random_blum_prime(bits)
        assert p.bit_length() == bits
        assert p % 4 == 3
        assert 2 * p * p > 1 << (2 * bits)  # so two of them always fill twice the length
        assert isPrime(p)


def test_primes_do_not_repeat():
    assert len({random_blum_prime(64) for _ in range(20)}) == 20


@pytest.mark.parametrize("start", [2**127 + 3, 3**80, 2**200 + 7])
def test_the_sieve_keeps_exactly_the_candidates_without_a_small_factor(start):
    start += (3 - start) % 4
    kept = set(_survivors(start))
    assert kept == {i for i in range(2**13) if not has_small_factor(start + 4 * i)}


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 40])
def test_fermats_test_takes_candidates_in_any_number_and_keeps_their_order(count):
    candidates = [2**127 + 1 + 2 * i for i in range(count)]
    expected = [n for n in candidates if pow(2, n - 1, n) == 1]
    assert list(fermat_probable_primes(iter(candidates))) == expected


def test_fermats_test_passes_every_prime_and_the_pseudoprimes_to_the_base_2():
    odd = range(257, 512, 2)
    passed = list(fermat_probable_primes(odd))
    assert [n for n in odd if isPrime(n)] == [n for n in passed if n != 341]
    assert 341 in passed


def test_numbers_beyond_the_longest_key_are_refused():
    with pytest.raises(ValueError, match="8192"):
        is_probable_prime(2**8193 - 1)
