"""Keys: generation, what a key file must satisfy, who may use short exponents, and what never leaks."""

import copy
import itertools
import math
import os
import pickle
import struct
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from Crypto.Util.number import isPrime
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import InvalidCiphertextError, InvalidKeyError, MedcryptError
from medcrypt.paillier import EncryptedArray, Packing, PrivateKey, PublicKey, generate_keypair
from medcrypt.paillier.arithmetic import SplitGroup
from medcrypt.paillier.primes import has_small_factor, random_blum_prime
from medcrypt.paillier.soundness import short_exponent_bits
from reference import paillier as twin


def broken_conditions(p, q):
    """Name what two numbers lack to be the primes of a key, each condition by itself."""
    p, q = sorted((p, q))
    half = q.bit_length()
    conditions = {
        "full product": (p * q).bit_length() == 2 * half,
        "whole bytes": 2 * half % 16 == 0,
        "Blum": p % 4 == q % 4 == 3,
        "far apart": q - p > 1 << max(half - 100, 0),
        "coprime but for 2": math.gcd(p - 1, q - 1) == 2,
        "prime": isPrime(p) and isPrime(q),
    }
    return [name for name, holds in conditions.items() if not holds]


@pytest.mark.parametrize("bits", [*[64] * 20, 80, 128, 256, 512])
def test_a_generated_key_has_exactly_the_promised_properties(bits):
    public, private = generate_keypair(bits, insecure=True)
    assert private.p < private.q
    assert broken_conditions(private.p, private.q) == []
    assert public.n == private.p * private.q
    assert public.bits == private.bits == public.n.bit_length() == bits
    assert public is private.public
    assert public.trusted


def test_no_two_keys_are_equal():
    assert len({generate_keypair(128, insecure=True)[0].n for _ in range(8)}) == 8


@pytest.mark.parametrize("bits", [0, -3072, 48, 1024, 2032, 2047, 2056, 3071, 8193, 8208, 10**9])
def test_lengths_that_are_not_offered_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be"):
        generate_keypair(bits)


def test_tiny_keys_are_refused_even_for_tests():
    with pytest.raises(ValueError, match="bits must be"):
        generate_keypair(48, insecure=True)


def test_the_environment_allows_small_keys(monkeypatch):
    monkeypatch.setenv("MEDCRYPT_ALLOW_INSECURE_KEYS", "1")
    public, private = generate_keypair(128)
    assert PrivateKey.from_bytes(private.to_bytes()) == private
    for value in ("0", "", "yes"):
        monkeypatch.setenv("MEDCRYPT_ALLOW_INSECURE_KEYS", value)
        with pytest.raises(ValueError, match="bits must be"):
            generate_keypair(128)
        with pytest.raises(InvalidKeyError):
            PublicKey(public.n)


@pytest.mark.parametrize("bits", [3072.0, "3072", None])
def test_a_length_that_is_no_integer_is_a_type_error(bits):
    with pytest.raises(TypeError):
        generate_keypair(bits)


@pytest.mark.long
def test_the_default_key_is_of_3072_bits():
    public, private = generate_keypair()
    assert public.bits == 3072
    assert private.raw_decrypt(public.raw_encrypt(5)) == 5


# Raw encryption


@given(data=st.data())
def test_raw_encryption_equals_the_textbook(private, data):
    public, key = private.public, twin.Key(private.p, private.q)
    m = data.draw(st.integers(0, key.n - 1) | st.sampled_from([0, 1, key.n - 1]))
    r = data.draw(st.integers(1, key.n - 1).filter(lambda r: math.gcd(r, key.n) == 1))
    c = twin.encrypt(key, m, r)
    assert public.raw_encrypt(m, r) == private.raw_encrypt(m, r) == c
    assert private.raw_decrypt(c) == m
    assert twin.decrypt(key, public.raw_encrypt(m)) == m
    assert twin.decrypt(key, private.raw_encrypt(m)) == m


@pytest.mark.parametrize("lengths", [(64, 65), (60, 68), (128, 129), (127, 400), (512, 513)])
def test_moduli_of_any_length_serve_on_every_kernel(lengths, kernel_path, monkeypatch):
    """Keys of ours have two primes of equal, even length; what comes from elsewhere need not."""
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    p, q = (random_blum_prime(bits) for bits in lengths)
    key, public = twin.Key(p, q), PublicKey(p * q, insecure=True)
    m, r = key.n - 5, key.n // 3 + 1
    assert public.raw_encrypt(m, r) == twin.encrypt(key, m, r)
    values = np.arange(-50, 50)
    packing = Packing(bits=8, max_terms=4)
    encrypted = public.encrypt_integers(values, packing)
    total = EncryptedArray.from_bytes((encrypted + 3 * encrypted).rerandomize().to_bytes(), public)
    plaintexts = [twin.decrypt(key, c) for c in total.ciphertexts]
    assert np.array_equal(packing.decode_integers(plaintexts, 100, 4, public.bits), 4 * values)


def test_numpy_integers_are_plaintexts_too(public, private):
    assert private.raw_decrypt(public.raw_encrypt(np.int64(7), np.uint8(3))) == 7


def test_the_plaintext_must_be_below_n(public, private):
    for m in (-1, public.n, public.n + 5):
        for key in (public, private):
            with pytest.raises(ValueError, match=r"\[0, n\)"):
                key.raw_encrypt(m)


def test_the_random_factor_must_be_a_unit(public, private):
    for r in (0, -1, private.p, 3 * private.q, public.n, public.n + 1):
        for key in (public, private):
            with pytest.raises(ValueError, match="unit"):
                key.raw_encrypt(1, r)


@pytest.mark.parametrize("m", [1.0, "1", None])
def test_a_plaintext_that_is_no_integer_is_a_type_error(public, m):
    with pytest.raises(TypeError):
        public.raw_encrypt(m)


def test_raw_decryption_refuses_what_is_no_unit(private):
    n, p, q = private.public.n, private.p, private.q
    for c in (0, -1, n, n * n, n * n + 1, p, q, 5 * p, n * n - n, -n - 1, p * p, 2 * n):
        with pytest.raises(InvalidCiphertextError):
            private.raw_decrypt(c)


def test_n_squared_minus_one_is_a_unit_and_decrypts_like_the_textbook(private):
    c = private.public.n**2 - 1
    assert private.raw_decrypt(c) == twin.decrypt(twin.Key(private.p, private.q), c)


def test_decryption_of_many_raises_blinded_ciphertexts_to_the_secret_power(private, monkeypatch):
    """Whoever chooses a ciphertext must not choose the base of the secret power."""
    encrypted, seen = private.public.encrypt([1.0] * 30, Packing()), []
    decrypt = SplitGroup.decrypt

    def spy(group, ciphertexts):
        seen.extend(ciphertexts)
        return decrypt(group, ciphertexts)

    monkeypatch.setattr(SplitGroup, "decrypt", spy)
    count = len(encrypted.ciphertexts)
    assert count > 1
    for _ in range(3):
        private.decrypt(encrypted)
    assert len({*encrypted.ciphertexts, *seen}) == 4 * count


# Modes and trust


def test_the_base_of_short_exponents_is_a_residue_with_jacobi_symbol_one(private):
    """h = (-y^2)^n: an n-th residue, and neither a square modulo p nor modulo q."""
    h, n = private.public.h, private.public.n
    assert h == twin.short_exponent_base(n)
    assert private.raw_decrypt(h) == 0
    for prime in (private.p, private.q):
        assert pow(h, (prime - 1) // 2, prime) == prime - 1


@pytest.mark.parametrize("mode", ["short-exponent", "textbook"])
def test_masks_are_distinct_encryptions_of_zero(private, mode):
    for key in (private, private.public):
        masks = key.masks(5, mode)
        assert len(set(masks)) == 5
        assert [private.raw_decrypt(mask) for mask in masks] == [0] * 5


def test_a_key_from_elsewhere_never_uses_short_exponents(public, monkeypatch):
    received = PublicKey.from_bytes(public.to_bytes(), insecure=True)
    assert not received.trusted
    with pytest.raises(ValueError, match="trusted"):
        received.encrypt([1.0], Packing(), mode="short-exponent")
    with pytest.raises(ValueError, match="trusted"):
        received.encrypt([1.0], Packing()).rerandomize(short=True)
    monkeypatch.setattr(
        "medcrypt.paillier.encryption.random_exponents", lambda *_: pytest.fail("short exponent drawn")
    )
    received.encrypt([1.0], Packing())
    received.raw_encrypt(1)


def test_a_trusted_key_uses_short_exponents_but_for_a_given_r(public, monkeypatch):
    trusted = PublicKey.from_bytes(public.to_bytes(), trusted=True, insecure=True)
    monkeypatch.setattr("medcrypt.paillier.encryption.random_exponents", lambda bits, count: [3] * count)
    assert trusted.raw_encrypt(0) == pow(trusted.h, 3, trusted.n**2)
    assert trusted.raw_encrypt(0, r=2) == pow(2, trusted.n, trusted.n**2)


def test_the_holders_fast_path_computes_the_same_ciphertexts(private, monkeypatch):
    monkeypatch.setattr(
        "medcrypt.paillier.encryption.random_exponents", lambda bits, count: [2**511 + 12345] * count
    )
    monkeypatch.setattr("medcrypt.paillier.encryption.random_units", lambda n, count: [7] * count)
    public, key = private.public, twin.Key(private.p, private.q)
    for mode in ("short-exponent", "textbook"):
        array = private.encrypt([1.0, -2.0], Packing(), mode=mode)
        assert array.ciphertexts == public.encrypt([1.0, -2.0], Packing(), mode=mode).ciphertexts
    assert private.masks(1) == [twin.encrypt_short(key.n, 0, 2**511 + 12345)]


def test_one_short_exponent_and_many_give_the_same_masks(private, kernel_path, monkeypatch):
    """Single values have a kernel, and so a table, of their own."""
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    exponents = [0, 1, 2**512 - 1, 3**300]
    key = PrivateKey._of_primes(private.p, private.q)
    for half in (key.public, key):
        monkeypatch.setattr("medcrypt.paillier.encryption.random_exponents", lambda *_: list(exponents))
        many = list(half.masks(len(exponents)))
        for exponent, mask in zip(exponents, many, strict=True):
            monkeypatch.setattr("medcrypt.paillier.encryption.random_exponents", lambda *_, e=exponent: [e])
            assert half.masks(1)[0] == mask == pow(key.public.h, exponent, key.public.n**2)


def test_an_unknown_mode_is_refused(public):
    with pytest.raises(ValueError, match="mode"):
        public.encrypt([1.0], Packing(), mode="fast")


def test_exponents_have_twice_the_strength_and_a_margin(vector_keys):
    assert {bits: key.public.exponent_bits for bits, key in vector_keys.items()} == {
        256: 512,
        512: 512,
        2048: 512,
        3072: 512,
    }
    lengths = [3072, 3073, 7680, 7681, 8192]
    assert [short_exponent_bits(bits) for bits in lengths] == [512, 640, 640, 768, 768]


# Bytes


def test_key_bytes_round_trip_and_are_canonical(private):
    public = private.public
    assert PublicKey.from_bytes(public.to_bytes(), insecure=True) == public
    assert PrivateKey.from_bytes(private.to_bytes(), insecure=True) == private
    for view in (bytearray(private.to_bytes()), memoryview(private.to_bytes())):
        assert PrivateKey.from_bytes(view, insecure=True).to_bytes() == private.to_bytes()


def test_small_keys_do_not_load_without_the_switch(private):
    with pytest.raises(InvalidKeyError):
        PublicKey.from_bytes(private.public.to_bytes())
    with pytest.raises(InvalidKeyError):
        PrivateKey.from_bytes(private.to_bytes())


def test_every_flipped_byte_of_a_key_is_refused_or_gives_another_key(private):
    """A modulus has no redundancy beyond its length; a private key has its factors."""
    public_bytes, private_bytes = private.public.to_bytes(), private.to_bytes()
    for i in range(len(public_bytes)):
        changed = bytearray(public_bytes)
        changed[i] ^= 1 << (i % 8)
        try:
            assert PublicKey.from_bytes(changed, insecure=True).fingerprint != private.public.fingerprint
        except InvalidKeyError:
            pass
        else:
            assert i >= 7  # never the header
    for i in range(len(private_bytes)):
        changed = bytearray(private_bytes)
        changed[i] ^= 1 << (i % 8)
        with pytest.raises(InvalidKeyError):
            PrivateKey.from_bytes(changed, insecure=True)


def test_truncated_and_extended_keys_are_refused(private):
    for data, read in ((private.public.to_bytes(), PublicKey), (private.to_bytes(), PrivateKey)):
        for cut in (0, 1, 6, 7, 8, len(data) // 2, len(data) - 1):
            with pytest.raises(InvalidKeyError):
                read.from_bytes(data[:cut], insecure=True)
        with pytest.raises(InvalidKeyError):
            read.from_bytes(data + b"\0", insecure=True)


@given(st.binary(max_size=200))
def test_random_bytes_are_no_key(data):
    for read in (PublicKey, PrivateKey):
        for prefix in (b"", b"MCPP\1", b"MCPS\1"):
            try:
                read.from_bytes(prefix + data, insecure=True)
            except MedcryptError:
                continue
            assert read is PublicKey  # random digits may well be a modulus


def test_a_key_is_not_taken_for_the_other_kind(private):
    with pytest.raises(InvalidKeyError):
        PublicKey.from_bytes(private.to_bytes(), insecure=True)
    with pytest.raises(InvalidKeyError):
        PrivateKey.from_bytes(private.public.to_bytes(), insecure=True)


def test_leading_zeros_of_n_are_refused(private):
    public = private.public
    size = public.bits // 8 + 1
    padded = struct.pack(">4sBH", b"MCPP", 1, 8 * size) + public.n.to_bytes(size, "big")
    with pytest.raises(InvalidKeyError):
        PublicKey.from_bytes(padded, insecure=True)


BAD_MODULI = {
    "zero": 0,
    "negative": -77,
    "even": (1 << 2047) + 2,
    "a multiple of 3": 3 * ((1 << 2046) + 1),
    "a multiple of 65521": 65521 * (2**2203 - 1),
    "prime": 2**2203 - 1,
    "a square": (2**1279 - 1) ** 2,
    "too long": (1 << 8192) + 1,
    "too short": (2**521 - 1) * (2**607 - 1),
}


@pytest.mark.parametrize("n", BAD_MODULI.values(), ids=BAD_MODULI.keys())
def test_visibly_bad_moduli_are_refused(n):
    with pytest.raises(InvalidKeyError):
        PublicKey(n)


# Where to look for two numbers of about 128 bits that break one condition only: steps of 4 from each start.
NEAR_MISSES = {
    "full product": ((1 << 127) + 3, (5 << 125) + 3),
    "whole bytes": ((3 << 122) + 3, (7 << 121) + 3),
    "Blum": ((3 << 126) + 1, (7 << 125) + 3),
    "far apart": ((3 << 126) + 3, (3 << 126) + 99_999),
    "coprime but for 2": ((3 << 126) + 7, (7 << 125) + 7),
}


@pytest.mark.parametrize("condition", NEAR_MISSES)
def test_primes_that_break_one_condition_are_refused(condition):
    smaller, larger = (
        [x for x in range(start, start + 4000, 4) if isPrime(x)] for start in NEAR_MISSES[condition]
    )
    p, q = next(
        pair for pair in itertools.product(smaller, larger) if broken_conditions(*pair) == [condition]
    )
    with pytest.raises(InvalidKeyError):
        PrivateKey(p, q, insecure=True)


@pytest.mark.parametrize("smaller_is_prime", [False, True])
def test_a_composite_without_small_factors_is_no_prime(smaller_is_prime):
    starts = ((3 << 126) + 3, smaller_is_prime), ((7 << 125) + 3, not smaller_is_prime)
    smaller, larger = (
        [x for x in range(start, start + 4000, 4) if isPrime(x) == prime and not has_small_factor(x)]
        for start, prime in starts
    )
    p, q = next(pair for pair in itertools.product(smaller, larger) if broken_conditions(*pair) == ["prime"])
    with pytest.raises(InvalidKeyError):
        PrivateKey(p, q, insecure=True)


def test_primes_that_break_no_condition_are_taken_in_any_order(private):
    assert broken_conditions(private.p, private.q) == []
    assert PrivateKey(private.q, private.p, insecure=True) == private


def test_numbers_that_are_no_primes_at_all_are_refused(private, stranger):
    p, q = private.p, private.q
    for pair in [(p, p), (p, 1), (p, -q), (-p, -q), (0, 0), (p * q, stranger.p * stranger.q)]:
        with pytest.raises(InvalidKeyError):
            PrivateKey(*pair, insecure=True)
    with pytest.raises(InvalidKeyError):
        PrivateKey(2**4423 - 1, 2**4253 - 1)  # beyond 8192 bits


def test_the_private_bytes_must_be_in_order_and_agree_with_n(private, stranger):
    def assembled(n, p, q):
        return (
            struct.pack(">4sBH", b"MCPS", 1, 512)
            + n.to_bytes(64, "big")
            + p.to_bytes(32, "big")
            + q.to_bytes(32, "big")
        )

    n, p, q = private.public.n, private.p, private.q
    assert PrivateKey.from_bytes(assembled(n, p, q), insecure=True) == private
    for fields in ((n, q, p), (stranger.public.n, p, q), (n, p, stranger.q)):
        with pytest.raises(InvalidKeyError):
            PrivateKey.from_bytes(assembled(*fields), insecure=True)


# Files


def test_a_key_file_is_private_and_never_replaced(private, tmp_path):
    path = tmp_path / "key"
    private.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert PrivateKey.load(path, insecure=True) == private
    assert PrivateKey.load(str(path), insecure=True).raw_decrypt(private.public.raw_encrypt(3)) == 3
    with pytest.raises(FileExistsError):
        private.save(path)
    assert os.listdir(tmp_path) == ["key"]
    with pytest.raises(InvalidKeyError):
        PrivateKey.load(path)


def test_a_file_that_is_no_key_is_refused(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(b"MCPS" + bytes(10_000_000))
    with pytest.raises(InvalidKeyError):
        PrivateKey.load(path)
    with pytest.raises(FileNotFoundError):
        PrivateKey.load(tmp_path / "missing")


# What never leaks


def test_repr_shows_length_and_fingerprint_only(private):
    short = private.public.fingerprint[:8].hex()
    assert repr(private) == f"PrivateKey(bits=512, fingerprint='{short}')"
    assert repr(private.public) == f"PublicKey(bits=512, fingerprint='{short}')"


def test_a_private_key_is_neither_pickled_nor_copied(private):
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(private, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            duplicate(private)


def test_a_public_key_survives_pickling_without_its_table(public):
    public.masks(1)
    data = pickle.dumps(public)
    assert len(data) < 1000
    again = pickle.loads(data)
    assert again == public
    assert again.trusted


def test_errors_do_not_show_secrets(private):
    secrets = {str(private.p), str(private.q), f"{private.p:x}", f"{private.q:x}"}
    changed = bytearray(private.to_bytes())
    changed[-1] ^= 2
    failures = [
        lambda: PrivateKey.from_bytes(changed, insecure=True),
        lambda: PrivateKey(private.p, private.p, insecure=True),
        lambda: private.raw_decrypt(0),
        lambda: private.raw_encrypt(-1),
        lambda: PrivateKey.from_bytes(private.to_bytes()),
    ]
    for fail in failures:
        with pytest.raises((MedcryptError, ValueError)) as caught:
            fail()
        assert not any(secret in repr(caught.value) for secret in secrets)


def test_equality_and_hash_follow_the_key(private, stranger):
    twin_key = PrivateKey(private.p, private.q, insecure=True)
    assert twin_key == private
    assert hash(twin_key) == hash(private)
    assert private != stranger
    assert private.public != stranger.public
    assert private != private.public
    assert len({private, twin_key, stranger}) == 2


def test_a_forked_child_draws_other_randomness():
    program = """
        import os
        from medcrypt.paillier import Packing, generate_keypair
        public, private = generate_keypair(256, insecure=True)
        public.masks(1), private.masks(1)
        modes = ("short-exponent", "textbook")
        draw = lambda: [key.masks(1, mode)[0] for key in (public, private) for mode in modes]
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, repr(draw()).encode())
            os._exit(0)
        ours = draw()
        os.wait()
        theirs = eval(os.read(read, 100_000))
        assert len(theirs) == len(ours) == 4
        assert not set(ours) & set(theirs)
        print("distinct")
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "distinct"
