"""Attacks by chosen ciphertexts: designs with many rounds fall, ours does not."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import SecretKey, attacks
from medcrypt.attacks.bit_planes import _System
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


@pytest.mark.parametrize(("shape", "rounds"), [((12, 18), 2), ((12, 18), 3), ((27, 27), 3)])
def test_many_rounds_of_cat_map_and_mixing_are_decrypted_without_the_key(shape, rounds):
    start, x = os.urandom(2)
    secret = schemes.ChenMaoChui((1, 2, 3), (4, 5, 6), 0.2 + (x + 0.5) / 500, start, rounds)
    oracle = attacks.Oracle(secret.decrypt, shape)
    key = attacks.mixing_rounds(oracle, rounds)
    assert key.fits
    assert key.images == oracle.images <= shape[0] * shape[1] + 20
    image = np.frombuffer(os.urandom(shape[0] * shape[1]), np.uint8).reshape(shape)
    np.testing.assert_array_equal(key.decrypt(secret.encrypt(image)), image)


def test_the_wrong_design_or_number_of_rounds_does_not_fit():
    fridrich = schemes.Fridrich((2, 8, 4, 2), 7, rounds=3, feedback=os.urandom(256))
    chen = schemes.ChenMaoChui((1, 2, 3), (4, 5, 6), 0.3, 7, rounds=3)
    for attack in (attacks.influence, attacks.mixing_rounds):
        assert not attack(attacks.Oracle(fridrich.decrypt, (16, 16)), 2).fits
        assert not attack(attacks.Oracle(chen.decrypt, (12, 18)), 2).fits
    assert not attacks.influence(attacks.Oracle(chen.decrypt, (12, 18)), 3).fits
    assert not attacks.mixing_rounds(attacks.Oracle(fridrich.decrypt, (16, 16)), 3).fits


@pytest.mark.parametrize("attack", [attacks.influence, attacks.mixing_rounds])
@pytest.mark.parametrize("cipher", ["chaotic", "chaotic, network of passes alone"])
def test_the_same_attacks_on_our_cipher_stay_at_chance(cipher, attack):
    """Key, nonce and synthetic IV are fixed, and nothing is authenticated: what no user can have."""
    key, seed, image = SecretKey.generate(), os.urandom(64), noise(32)
    bare = chaotic.encrypt(image, key, authenticated=False)

    def decrypt(pixels):
        if cipher == "chaotic":
            made = chaotic.Ciphertext(pixels, bare.nonce, bare.synthetic_iv, bare.cipher)
            return chaotic.decrypt(made, key)
        return chaotic.undiffuse(pixels, seed)

    found = attack(attacks.Oracle(decrypt, image.shape), 3)
    encrypted = bare.pixels if cipher == "chaotic" else chaotic.diffuse(image, seed)
    assert not found.fits
    assert attacks.recovered(image, found.decrypt(encrypted)) <= attacks.chance(image.size)


def test_one_round_is_refused():
    for attack in (attacks.influence, attacks.mixing_rounds):
        with pytest.raises(ValueError, match="two rounds"):
            attack(attacks.Oracle(lambda image: image, (4, 4)), 1)


@given(st.integers(0, 8), st.integers(0, 2**32))
def test_what_can_be_settled_one_by_one_is_settled(size, seed):
    """A triangle, shuffled, has one perfect matching."""
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(size), generator.permutation(size)
    possible = np.zeros((size, size), bool)
    possible[np.ix_(rows, columns)] = np.tri(size, dtype=bool)
    assert sorted(_matched(possible)) == sorted(zip(rows.tolist(), columns.tolist(), strict=True))


@given(st.integers(1, 20), st.integers(0, 30), st.integers(0, 2**32))
def test_a_system_of_equations_is_solved_or_contradicted(unknowns, count, seed):
    generator = np.random.default_rng(seed)
    hidden = int(generator.integers(0, 1 << unknowns))
    rows = [int(row) for row in generator.integers(0, 1 << unknowns, count)]
    system = _System(unknowns)
    for row in rows:
        assert system.add(row | ((row & hidden).bit_count() & 1) << unknowns)
    for solution in system.solutions():
        assert all((row & solution).bit_count() % 2 == (row & hidden).bit_count() % 2 for row in rows)
    assert not system.add(1 << unknowns)
