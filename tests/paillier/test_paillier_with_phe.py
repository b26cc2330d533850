"""Ciphertexts cross between python-phe and this library, in both directions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import InvalidCiphertextError
from medcrypt.paillier import EncryptedArray, Packing, PublicKey

phe = pytest.importorskip("phe")


@pytest.fixture(scope="module")
def theirs(private):
    public = phe.PaillierPublicKey(private.public.n)
    return public, phe.PaillierPrivateKey(public, private.p, private.q)


@given(data=st.data())
def test_integers_cross_in_both_directions(private, theirs, data):
    their_public, their_private = theirs
    n = private.public.n
    m = data.draw(st.integers(0, n - 1) | st.sampled_from([0, 1, n - 1]))
    assert private.raw_decrypt(their_public.raw_encrypt(m)) == m
    for key in (private, private.public):
        assert their_private.raw_decrypt(key.raw_encrypt(m)) == m
    r = data.draw(st.integers(2, 2**100))
    assert private.public.raw_encrypt(m, r) == their_public.raw_encrypt(m, r)


def test_a_sum_over_both_libraries_decrypts_in_both(private, theirs):
    their_public, their_private = theirs
    n_squared = private.public.n**2
    total = private.public.raw_encrypt(40) * their_public.raw_encrypt(2) % n_squared
    assert private.raw_decrypt(total) == their_private.raw_decrypt(total) == 42


def test_an_array_decrypts_with_their_arithmetic_and_our_layout(private, theirs):
    packing = Packing()
    encrypted = 2 * private.encrypt_integers([5, -7], packing)
    plaintexts = [theirs[1].raw_decrypt(c) for c in encrypted.ciphertexts]
    assert packing.decode_integers(plaintexts, 2, 2, 512).tolist() == [10, -14]


@pytest.mark.parametrize("bits", [2048, 3072])
def test_real_keys_cross_too(vector_keys, bits):
    private = vector_keys[bits]
    their_public = phe.PaillierPublicKey(private.public.n)
    their_private = phe.PaillierPrivateKey(their_public, private.p, private.q)
    assert private.raw_decrypt(their_public.raw_encrypt(123456789)) == 123456789
    assert their_private.raw_decrypt(private.public.raw_encrypt(987654321)) == 987654321


def test_their_key_encrypts_by_the_textbook(monkeypatch):
    """Their primes are not Blum primes, so nothing vouches for short exponents."""
    their_public, their_private = phe.generate_paillier_keypair(n_length=512)
    ours = PublicKey(their_public.n, insecure=True)
    assert not ours.trusted
    assert their_private.raw_decrypt(ours.raw_encrypt(7)) == 7


def test_what_they_decrypt_silently_we_refuse(private, theirs):
    n = private.public.n
    for c in (0, n * n, private.p):
        with pytest.raises(InvalidCiphertextError):
            private.raw_decrypt(c)
        with pytest.raises(InvalidCiphertextError):
            private.decrypt(EncryptedArray(private.public, [c], (1,), Packing()))
