"""Threshold keys: any t parties decrypt together, cheaters are named, and t - 1 learn nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.paillier import (
    Packing,
    combine,
    combine_integers,
    generate_keypair,
)
from medcrypt.paillier.threshold.sharing import share_out

PACKING = Packing(clip=4.0, bits=16, max_terms=8)


@pytest.fixture(scope="module")
def safe_private():
    return generate_keypair(512, safe_primes=True, insecure=True)[1]


@pytest.fixture(scope="module")
def committee(safe_private):
    """Five parties, any three of which decrypt."""
    return share_out(safe_private, 5, 3)


@pytest.fixture(scope="module")
def total(committee):
    public, _ = committee
    return public.encrypt(np.linspace(-4, 4, 70), PACKING) + public.encrypt(np.ones(70), PACKING)


@given(st.data())
def test_any_threshold_of_parties_decrypt_what_the_private_key_decrypts(safe_private, data):
    parties = data.draw(st.integers(2, 9))
    threshold = data.draw(st.integers(2, parties))
    public, shares = share_out(safe_private, parties, threshold)
    subset = data.draw(st.permutations(range(parties)))[: data.draw(st.integers(threshold, parties))]
    shape = data.draw(st.sampled_from([(), (0,), (1,), (3, 4), (2, 0, 5), (40,)]))
    weight = data.draw(st.integers(1, 8))
    array = np.random.default_rng(data.draw(st.integers(0, 2**32))).uniform(-4, 4, shape)
    total = weight * public.encrypt(array, PACKING)
    parts = [shares[i].partial_decrypt(total, context=b"r") for i in subset]
    summed = combine_integers(total, parts, context=b"r")
    assert summed.shape == shape
    assert (summed == weight * PACKING.quantise(array)).all()
    assert (summed == safe_private.decrypt_integers(total)).all()
    assert (combine(total, parts, context=b"r") == PACKING.dequantise(summed)).all()
