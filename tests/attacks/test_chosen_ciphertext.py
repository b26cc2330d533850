"""Attacks by chosen ciphertexts: many rounds of Fridrich's design fall, ours does not."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import SecretKey, attacks
from medcrypt.attacks.chosen_ciphertext import _matched
from medcrypt.images import chaotic
from medcrypt.images.chaotic import schemes

KEYS = {
    "16 x 16, 2 rounds": ((2, 8, 4, 2), 2),
    "16 x 16, 3 rounds": ((2, 8, 4, 2), 3),
    "32 x 32, 3 rounds": ((4, 8, 16, 2, 2), 3),
}


def noise(side):
    return np.frombuffer(os.urandom(side * side), np.uint8).reshape(side, side)


@pytest.mark.parametrize("name", KEYS)
def test_many_rounds_with_a_secret_table_are_decrypted_without_the_key(name):
    partition, rounds = KEYS[name]
    secret = schemes.Fridrich(partition, os.urandom(1)[0], rounds=rounds, feedback=os.urandom(256))
    oracle = attacks.Oracle(secret.decrypt, (sum(partition), sum(partition)))
    key = attacks.influence(oracle, rounds)
    assert key.fits
    assert key.images == oracle.images <= 5 * sum(partition) ** 2 + 33 * 256
    image = noise(sum(partition))
    np.testing.assert_array_equal(key.decrypt(secret.encrypt(image)), image)


def test_the_wrong_number_of_rounds_does_not_fit():
    secret = schemes.Fridrich((2, 8, 4, 2), 7, rounds=3, feedback=os.urandom(256))
    assert not attacks.influence(attacks.Oracle(secret.decrypt, (16, 16)), 2).fits


@pytest.mark.parametrize("cipher", ["chaotic", "chaotic, network of passes alone"])
def test_the_same_attack_on_our_cipher_stays_at_chance(cipher):
    """Key, nonce and synthetic IV are fixed, and nothing is authenticated: what no user can have."""
    key, seed, image = SecretKey.generate(), os.urandom(64), noise(32)
    bare = chaotic.encrypt(image, key, authenticated=False)

    def decrypt(pixels):
        if cipher == "chaotic":
            made = chaotic.Ciphertext(pixels, bare.nonce, bare.synthetic_iv, bare.cipher)
            return chaotic.decrypt(made, key)
        return chaotic.undiffuse(pixels, seed)

    found = attacks.influence(attacks.Oracle(decrypt, image.shape), 3)
    encrypted = bare.pixels if cipher == "chaotic" else chaotic.diffuse(image, seed)
    assert not found.fits
    assert attacks.recovered(image, found.decrypt(encrypted)) <= attacks.chance(image.size)


def test_one_round_is_refused():
    with pytest.raises(ValueError, match="two rounds"):
        attacks.influence(attacks.Oracle(lambda image: image, (4, 4)), 1)


@given(st.integers(0, 8), st.integers(0, 2**32))
def test_what_can_be_settled_one_by_one_is_settled(size, seed):
    """A triangle, shuffled, has one perfect matching."""
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(size), generator.permutation(size)
    possible = np.zeros((size, size), bool)
    possible[np.ix_(rows, columns)] = np.tri(size, dtype=bool)
    assert sorted(_matched(possible)) == sorted(zip(rows.tolist(), columns.tolist(), strict=True))
