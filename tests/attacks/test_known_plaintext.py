"""Attacks with a known image or two, short cycles, and orbits that depend on rounding."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import SecretKey, attacks
from medcrypt.images import chaotic
from medcrypt.images.chaotic import schemes
from medcrypt.images.chaotic.schemes.two_bytes import logistic_words


def noise(rows, columns):
    return np.frombuffer(bytearray(os.urandom(rows * columns)), np.uint8).reshape(rows, columns)


def test_a_black_border_gives_the_whole_key_of_two_bytes_away():
    secret, image = schemes.YenGuo.random(), noise(64, 64)
    image[:2] = 0
    encrypted = secret.encrypt(image)
    keys = attacks.yen_guo_key(image[:2], encrypted[:2])
    assert secret in keys
    assert all(np.array_equal(key.decrypt(encrypted), image) for key in keys if key.seed == secret.seed)
    assert len(keys) <= 2


def test_no_key_of_two_bytes_explains_another_cipher():
    image = np.zeros((8, 8), np.uint8)
    assert attacks.yen_guo_key(image, noise(8, 8)) == []
    # Two bytes that could be a key, in an order that no seed gives.
    assert attacks.yen_guo_key(image, np.resize(np.array([0x3C, 0x33, 0x3C, 0x3C], np.uint8), (8, 8))) == []


def test_too_few_known_pixels_are_refused():
    with pytest.raises(ValueError, match="at least 16"):
        attacks.yen_guo_key(np.zeros(15, np.uint8), np.zeros(15, np.uint8))


@pytest.mark.parametrize("seed", [1, 12345, 40000, 65535])
def test_a_map_of_16_bits_soon_repeats_and_the_top_of_an_image_decrypts_the_rest(seed):
    secret, image = schemes.YenGuo(0x3C, 0x33, seed), noise(256, 256)
    encrypted = secret.encrypt(image)
    cycle = attacks.orbit_period(lambda x: 39 * x * (65536 - x) // (10 * 65536), seed)
    known = 8 * (cycle.tail + 2 * cycle.length) + 64
    assert known < image.size // 2
    mask = attacks.xor_mask(image.ravel()[:known], encrypted.ravel()[:known])
    stream = attacks.periodic_mask(mask, image.size)
    np.testing.assert_array_equal(encrypted.ravel() ^ stream, image.ravel())


def test_all_keys_of_a_periodic_window_are_a_handful_of_permutations():
    image, other = noise(32, 32), noise(32, 32)
    few = [schemes.Ye(0.5, 3.2, 2000 + a, 2000 + b) for a in range(2) for b in range(2)]
    for k in range(20):
        secret = schemes.Ye(0.21 + 0.03 * k, 3.2, 1500 + 31 * k, 1500 + 17 * k)
        found = attacks.try_keys(few, image, secret.encrypt(image))
        np.testing.assert_array_equal(found.decrypt(secret.encrypt(other)), other)
    chaotic_key = schemes.Ye(0.3, 3.99, 2000, 2000)
    assert attacks.try_keys(few, image, chaotic_key.encrypt(image)) is None


def test_our_stream_does_not_repeat():
    image, key = np.zeros((1024, 1024), np.uint8), SecretKey.generate()
    bare = chaotic.encrypt(image, key, cipher="chaotic-ctr", authenticated=False)
    assert attacks.periodic_mask(bare.pixels.ravel()[: 1 << 16], image.size) is None
    blocks = bare.pixels.reshape(-1, 8).view(np.uint64).ravel()
    assert np.unique(blocks).size == blocks.size  # 2^17 words of 64 bits: a repetition has probability 2^-31


@given(st.integers(0, 5), st.binary(min_size=1, max_size=40), st.integers(0, 300))
def test_a_periodic_mask_is_continued(tail, cycle, more):
    known = (os.urandom(tail) + cycle * 200)[: tail + 2 * len(cycle) + 128]
    wanted = (known[:tail] + cycle * 400)[: len(known) + more]
    assert attacks.periodic_mask(np.frombuffer(known, np.uint8), len(wanted)).tobytes() == wanted


@pytest.mark.parametrize("trial", range(6))
def test_two_known_images_decrypt_every_other_under_dna_coding(trial):
    secret, known, image = schemes.ZhangGuoWei.random(), [noise(16, 16) for _ in range(2)], noise(16, 16)
    keys = attacks.dna_rules([(plain, secret.encrypt(plain)) for plain in known])
    assert keys
    for key in keys:
        np.testing.assert_array_equal(key.decrypt(secret.encrypt(image)), image)


def test_dna_rules_do_not_explain_our_cipher():
    known = noise(16, 16)
    bare = chaotic.encrypt(known, SecretKey.generate(), authenticated=False)
    assert attacks.dna_rules([(known, bare.pixels)]) == []


@given(st.integers(1, 200), st.integers(0, 10**6))
def test_an_orbit_s_period_is_that_of_all_its_values(size, seed):
    table = np.random.default_rng(seed).integers(0, size, size).tolist()
    seen, x = {}, 0
    while x not in seen:
        seen[x] = len(seen)
        x = table[x]
    assert attacks.orbit_period(lambda v: table[v], 0) == attacks.Period(seen[x], len(seen) - seen[x])


def test_orbits_of_16_bits_run_in_short_circles():
    """Of 65,535 starts all end in a few cycles, none longer than a few hundred steps: the square root of 2^16."""
    values = np.arange(1, 1 << 16, dtype=np.uint64)
    for _ in range(1200):
        values = np.unique(logistic_words(values, 2)[:, 1])
    assert len(values) < 1000
    periods = [attacks.orbit_period(lambda x: 39 * x * (65536 - x) // 655360, s) for s in range(1, 2000, 97)]
    assert max(p.length for p in periods) < 600


@given(st.floats(0.01, 0.99).filter(lambda x: min(abs(x - s) for s in (0.25, 0.5, 0.75)) > 1e-6))
def test_two_ways_of_writing_one_map_part_within_a_hundred_steps(x):
    assert attacks.orbit_divergence(x) < 120


def test_orbits_that_are_exact_never_part():
    assert attacks.orbit_divergence(0.5) is None  # 0.5, 1, 0, 0, ...
    assert attacks.orbit_divergence(0.75, steps=100) is None  # a fixed point: three quarters for ever


def test_integer_orbits_of_ours_do_not_depend_on_who_computes_them(kernel_path):
    """What rounding does to the schemes cannot happen here: the twin in Python gives the same bytes."""
    seed, image = bytes(range(64)), noise(64, 64)
    from medcrypt._ext import chaos

    out = np.empty(image.size, np.uint8)
    chaos.seal_rows(seed, image.ravel(), out, path=kernel_path)
    np.testing.assert_array_equal(out, chaotic.diffuse(image, seed).ravel())
