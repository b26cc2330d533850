"""Attacks by chosen images: all pixels of published schemes, none beyond chance of ours."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import SecretKey, attacks
from medcrypt.images import chaotic
from medcrypt.images.chaotic import schemes
from medcrypt.images.chaotic.schemes.logistic_sine import undo_sums


def photo(rows=64, columns=64):
    y, x = np.mgrid[:rows, :columns] / max(rows, columns) - 0.5
    return np.where(x * x + y * y < 0.2, 150 + 60 * np.sin(9 * x) * np.cos(7 * y), 0).astype(np.uint8)


def differences(image):
    """Undo c_k = v_k + c_{k-1}."""
    flat = image.ravel()
    return (flat - np.concatenate([[0], flat[:-1]]).astype(np.uint8)).reshape(image.shape)


def neighbours(image):
    """Undo c_k = v_k XOR c_{k-1}."""
    flat = image.ravel()
    return (flat ^ np.concatenate([[0], flat[:-1]]).astype(np.uint8)).reshape(image.shape)


# Who breaks what, how many images it may take, and the side of the image.
BROKEN = {
    "Gao-Chen": (schemes.GaoChen.random, attacks.shuffle, 3, 64),
    "Yen-Guo": (schemes.YenGuo.random, attacks.shuffle, 3, 64),
    "Fridrich, 1 round": (
        lambda: schemes.Fridrich.random(64, rounds=1),
        lambda oracle: attacks.shuffle(oracle, differences, "add"),
        3,
        64,
    ),
    "Hua and others, 1 round": (
        lambda: schemes.HuaJinXuHuang.random(rounds=1),
        lambda oracle: attacks.shuffle(oracle, undo_sums, "add"),
        3,
        64,
    ),
    "Chen-Mao-Chui, 1 round": (schemes.ChenMaoChui.random, attacks.mixing_shuffle, 5, 64),
    "Ye": (schemes.Ye.random, attacks.bit_shuffle, 16, 64),
    "Hua and others, 4 rounds": (schemes.HuaJinXuHuang.random, attacks.affine, 258, 16),
    "Fridrich, 5 rounds": (lambda: schemes.Fridrich.random(16, rounds=5), attacks.affine, 258, 16),
    "Fridrich, secret table": (
        lambda: schemes.Fridrich.random(16, rounds=1, secret_feedback=True),
        attacks.feedback,
        457,
        16,
    ),
}
ATTACKS = {
    "shuffle": attacks.shuffle,
    "shuffle behind sums": lambda oracle: attacks.shuffle(oracle, differences, "add"),
    "shuffle behind XOR": lambda oracle: attacks.shuffle(oracle, neighbours),
    "shuffle behind planar sums": lambda oracle: attacks.shuffle(oracle, undo_sums, "add"),
    "mixing_shuffle": attacks.mixing_shuffle,
    "bit_shuffle": attacks.bit_shuffle,
    "affine": attacks.affine,
    "feedback": attacks.feedback,
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_pixel_of_a_published_scheme_is_recovered(name):
    make, attack, most, side = BROKEN[name]
    scheme, image = make(), photo(side, side)
    oracle = attacks.Oracle(scheme.encrypt, image.shape)
    key = attack(oracle)
    assert key.fits
    assert key.images == oracle.images <= most
    np.testing.assert_array_equal(key.decrypt(scheme.encrypt(image)), image)
    noise = np.frombuffer(os.urandom(image.size), np.uint8).reshape(image.shape)
    np.testing.assert_array_equal(key.decrypt(scheme.encrypt(noise)), noise)


def test_a_large_image_takes_no_more_than_a_handful_of_images():
    image, scheme = photo(256, 256), schemes.ChenMaoChui.random()
    key = attacks.mixing_shuffle(attacks.Oracle(scheme.encrypt, image.shape))
    assert key.images == 5
    np.testing.assert_array_equal(key.decrypt(scheme.encrypt(image)), image)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_any_permutation_with_any_mask_is_recovered(rows, columns, seed):
    generator = np.random.default_rng(seed)
    order, mask = generator.permutation(rows * columns), generator.integers(0, 256, (rows, columns), np.uint8)
    image = generator.integers(0, 256, (rows, columns), np.uint8)
    for name, join in (("xor", np.bitwise_xor), ("add", np.add)):

        def encrypt(plain, join=join):
            return join(plain.ravel()[order].reshape(plain.shape), mask)

        key = attacks.shuffle(attacks.Oracle(encrypt, image.shape), mask=name)
        assert key.fits
        np.testing.assert_array_equal(key.decrypt(encrypt(image)), image)


@pytest.mark.parametrize("cipher", ["chaotic", "chaotic, network of passes alone"])
@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_attacks_on_our_cipher_stay_at_chance(name, cipher):
    """Key and nonce are fixed, which no user can do. A right pixel by chance: P(X > bound) <= 10^-9, exactly."""
    secret, nonce, seed = SecretKey.generate(), os.urandom(16), os.urandom(64)
    side = 24 if name in ("affine", "feedback") else 64  # more than one row of the network
    image = np.frombuffer(os.urandom(side * side), np.uint8).reshape(side, side)

    def encrypt(plain):
        if cipher == "chaotic":
            return chaotic.encrypt(plain, secret, nonce=nonce, authenticated=False).pixels
        return chaotic.diffuse(plain, seed)

    key = ATTACKS[name](attacks.Oracle(encrypt, image.shape))
    assert not key.fits
    assert attacks.recovered(image, key.decrypt(encrypt(image))) <= attacks.chance(image.size, 1e-9)


def test_below_one_row_the_network_alone_is_a_stream_and_the_synthetic_iv_protects():
    """Found by `affine`: of up to 511 bytes the passes make a mask. Under the cipher's own seeds no mask recurs."""
    secret, nonce, seed = SecretKey.generate(), os.urandom(16), os.urandom(64)
    image = np.frombuffer(os.urandom(256), np.uint8).reshape(16, 16)
    alone = attacks.shuffle(attacks.Oracle(lambda plain: chaotic.diffuse(plain, seed), image.shape))
    np.testing.assert_array_equal(alone.decrypt(chaotic.diffuse(image, seed)), image)

    def encrypt(plain):
        return chaotic.encrypt(plain, secret, nonce=nonce, authenticated=False).pixels

    whole = attacks.shuffle(attacks.Oracle(encrypt, image.shape))
    assert not whole.fits
    assert attacks.recovered(image, whole.decrypt(encrypt(image))) <= attacks.chance(image.size, 1e-9)


def test_a_stream_with_a_nonce_that_is_used_twice_falls_like_all_streams():
    """Why `chaotic-ctr` never lets its user choose the nonce, and why it is inside AES-GCM."""
    secret, nonce, image = SecretKey.generate(), os.urandom(16), photo()

    def encrypt(plain):
        bare = chaotic.encrypt(plain, secret, cipher="chaotic-ctr", nonce=nonce, authenticated=False)
        return bare.pixels

    key = attacks.shuffle(attacks.Oracle(encrypt, image.shape))
    np.testing.assert_array_equal(key.decrypt(encrypt(image)), image)


def test_more_rounds_of_the_mixing_chain_do_not_fit_the_attack_on_one():
    scheme = schemes.ChenMaoChui.random(rounds=3)
    assert not attacks.mixing_shuffle(attacks.Oracle(scheme.encrypt, (64, 64))).fits


def test_an_unknown_mask_is_refused():
    with pytest.raises(ValueError, match="mask"):
        attacks.shuffle(attacks.Oracle(lambda image: image, (4, 4)), mask="multiply")


@given(st.integers(1, 60), st.sampled_from([2, 3, 256]), st.floats(1e-12, 0.9))
def test_the_chance_bound_is_the_exact_binomial_quantile(pixels, levels, alpha):
    from fractions import Fraction
    from math import comb

    def beyond(t):
        p = Fraction(1, levels)
        return sum(comb(pixels, k) * p**k * (1 - p) ** (pixels - k) for k in range(t + 1, pixels + 1))

    bound = attacks.chance(pixels, alpha, levels)
    assert beyond(bound) <= Fraction(alpha)
    assert bound == 0 or beyond(bound - 1) > Fraction(alpha)


def test_impossible_guesses_are_refused():
    for pixels, alpha, levels in ((0, 0.1, 256), (5, 0.0, 256), (5, 1.0, 256), (5, 0.1, 1)):
        with pytest.raises(ValueError, match="positive"):
            attacks.chance(pixels, alpha, levels)
