"""Key files that others read: JSON as python-phe writes it, files under a passphrase, safe primes."""

import json
import math
import subprocess
import sys

import pytest
from Crypto.Util.number import isPrime
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import AuthenticationError, InvalidKeyError
from medcrypt.keys import SecretKey
from medcrypt.paillier import PrivateKey, PublicKey, generate_keypair, jwk, phe
from medcrypt.paillier.safe_primes import (
    _inverses_of_12,
    _residues,
    _sieving_primes,
    _survivors,
    random_safe_prime,
)


def changed(text, **members):
    key = {**json.loads(text), **members}
    return json.dumps({name: value for name, value in key.items() if value is not None})


# JSON


def test_json_keys_round_trip(private):
    public = private.public
    assert PublicKey.from_jwk(public.to_jwk("ward 3"), insecure=True) == public
    assert PrivateKey.from_jwk(private.to_jwk("ward 3"), insecure=True) == private
    assert PublicKey.from_jwk(public.to_jwk().encode(), insecure=True) == public
    assert json.loads(public.to_jwk("ward 3"))["kid"] == "ward 3"
    assert not PublicKey.from_jwk(public.to_jwk(), insecure=True).trusted


def test_the_public_json_key_holds_no_secret(private):
    assert set(json.loads(private.public.to_jwk())) == {"kty", "alg", "key_ops", "n", "kid"}


def test_unknown_members_are_ignored(private):
    text = changed(private.public.to_jwk(), use="enc", x={"y": [1]})
    assert PublicKey.from_jwk(text, insecure=True) == private.public


@pytest.mark.parametrize(
    "members",
    [
        {"kty": "RSA"},
        {"kty": None},
        {"alg": "PAI-GN2"},
        {"alg": None},
        {"n": None},
        {"n": 77},
        {"n": ""},
        {"n": "!!!!"},
        {"n": "A"},
        {"n": "é"},
        {"n": ["AQAB"]},
    ],
)
def test_json_that_is_no_public_key_is_refused(private, members):
    with pytest.raises(InvalidKeyError):
        PublicKey.from_jwk(changed(private.public.to_jwk(), **members), insecure=True)


def test_an_integer_has_one_form_only(private):
    n = json.loads(private.public.to_jwk())["n"]
    for other in (n + "=", n + "==", "AA" + n, "A" + n, n + "A", n + "\n", " " + n, n.replace("-", "+")):
        if other != n:
            with pytest.raises(InvalidKeyError):
                PublicKey.from_jwk(changed(private.public.to_jwk(), n=other), insecure=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "7",
        '"DAJ"',
        "{",
        b"\xff\xfe",
        b"\x80",
        "[" * 20000,
        "{" + " " * 70000 + "}",
        '{"kty": NaN}',
    ],
)
def test_text_that_is_no_json_object_is_refused(text):
    for read in (PublicKey.from_jwk, PrivateKey.from_jwk, phe.PaillierPublicKey.from_jwk):
        with pytest.raises(InvalidKeyError):
            read(text)


def test_what_is_no_text_is_a_type_error():
    with pytest.raises(TypeError, match="JSON text"):
        PublicKey.from_jwk({"kty": "DAJ"})


def test_a_member_that_is_there_twice_is_refused(private):
    text = private.public.to_jwk()
    doubled = text[:-1] + ', "n": "AQAB"}'
    assert json.loads(doubled)["n"] == "AQAB"
    with pytest.raises(InvalidKeyError):
        PublicKey.from_jwk(doubled, insecure=True)


def test_private_json_must_agree_with_itself(private, stranger):
    text, other = private.to_jwk(), json.loads(stranger.to_jwk())
    for members in (
        {"p": other["p"]},
        {"pub": other["pub"]},
        {"pub": None},
        {"pub": "AQAB"},
        {"p": None},
        {"kty": "RSA"},
        {"pub": {**json.loads(text)["pub"], "alg": "RSA"}},
    ):
        with pytest.raises(InvalidKeyError):
            PrivateKey.from_jwk(changed(text, **members), insecure=True)


def test_small_json_keys_need_the_switch(private):
    for read, key in ((PublicKey.from_jwk, private.public), (PrivateKey.from_jwk, private)):
        with pytest.raises(InvalidKeyError):
            read(key.to_jwk())


def test_errors_do_not_quote_the_key(private):
    text = changed(private.to_jwk(), kty="RSA")
    with pytest.raises(InvalidKeyError) as caught:
        PrivateKey.from_jwk(text, insecure=True)
    assert json.loads(text)["p"] not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(InvalidKeyError) as caught:
        PrivateKey.from_jwk(text[:-1], insecure=True)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None  # a JSONDecodeError carries the whole document


@given(st.integers(1, 2**200))
def test_integers_are_written_in_base64url(x):
    assert jwk._decode(jwk._encode(x)) == x


# JSON keys cross with python-phe's own command line


def phe_command(*arguments):
    pytest.importorskip("phe")
    pytest.importorskip("click")
    command = [sys.executable, "-c", "from phe.command_line import cli; cli()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_json_keys_and_numbers_cross_to_the_command_line_of_phe(private, tmp_path):
    ours, public, number = tmp_path / "ours.json", tmp_path / "public.json", tmp_path / "number.json"
    ours.write_text(private.to_jwk())
    phe_command("extract", str(ours), str(public))
    assert PublicKey.from_jwk(public.read_text(), insecure=True) == private.public
    phe_command("encrypt", str(public), "--output", str(number), "--", "-3.5")
    written = json.loads(number.read_text())
    key = phe.PaillierPrivateKey.from_jwk(ours.read_text(), insecure=True)
    read = phe.EncryptedNumber(key.public_key, int(written["v"]), written["e"])
    assert key.decrypt(read) == -3.5
    doubled = read * 2
    number.write_text(json.dumps({"v": str(doubled.ciphertext()), "e": doubled.exponent}))
    assert "-7" in phe_command("decrypt", str(ours), str(number))


def test_a_key_made_by_the_command_line_of_phe_is_read(tmp_path):
    theirs = tmp_path / "theirs.json"
    phe_command("genpkey", "--keysize", "256", str(theirs))
    key = phe.PaillierPrivateKey.from_jwk(theirs.read_text(), insecure=True)
    assert key.public_key.n.bit_length() == 256
    assert key.decrypt(key.public_key.encrypt(7)) == 7
    again = phe.PaillierPrivateKey.from_jwk(key.to_jwk(), insecure=True)
    assert again == key
    public = phe.PaillierPublicKey.from_jwk(key.public_key.to_jwk(), insecure=True)
    assert public == key.public_key
    with pytest.raises(InvalidKeyError):
        phe.PaillierPrivateKey.from_jwk(key.to_jwk())


# Passphrases


def test_a_key_file_under_a_passphrase(private, tmp_path):
    path = tmp_path / "key"
    private.save(path, passphrase="six random words")
    assert path.stat().st_mode & 0o777 == 0o600
    assert PrivateKey.load(path, passphrase="six random words", insecure=True) == private
    content = path.read_bytes()
    assert private.p.to_bytes(32, "big") not in content
    with pytest.raises(FileExistsError):
        private.save(path, passphrase="another")
    with pytest.raises(InvalidKeyError, match="passphrase"):
        PrivateKey.load(path, insecure=True)
    with pytest.raises(AuthenticationError):
        PrivateKey.load(path, passphrase="wrong", insecure=True)
    with pytest.raises(InvalidKeyError):
        PrivateKey.load(path, passphrase="six random words")


def test_a_file_with_another_kind_of_key_is_refused(tmp_path):
    SecretKey.generate().save(tmp_path / "key")
    with pytest.raises(InvalidKeyError, match="Paillier"):
        PrivateKey.load(tmp_path / "key")


# Safe primes


@pytest.mark.parametrize("bits", [32, 40, 64, 96])
def test_a_safe_prime_has_the_asked_length_and_form(bits):
    for _ in range(3):
        p = random_safe_prime(bits)
        assert p.bit_length() == bits
        assert 2 * p * p > 1 << (2 * bits)
        assert isPrime(p)
        assert isPrime(p // 2)


def test_safe_primes_do_not_repeat():
    assert len({random_safe_prime(48) for _ in range(12)}) == 12


@pytest.mark.parametrize("start", [2**71 + 3, 3**60, 2**40 - 12345])
def test_the_sieve_keeps_exactly_the_candidates_without_a_small_factor(start):
    start += (11 - start) % 12
    kept = set(_survivors(start))
    primes = _sieving_primes()[_sieving_primes() < math.isqrt(start) // 2]
    for i in [*range(40), *range(131_040, 131_072), *sorted(kept)[:20]]:
        p = start + 12 * i
        assert (i in kept) == (_residues(p, primes) * _residues(p // 2, primes) != 0).all()


def test_the_sieving_primes_are_all_primes_from_5_to_2_to_the_20():
    primes = _sieving_primes().tolist()
    assert primes[:4] == [5, 7, 11, 13]
    assert len(primes) == 82025 - 2  # of pi(2^20)
    assert primes[-1] == 1048573


@given(st.integers(0, 2**1600))
def test_residues_of_long_integers(x):
    primes = _sieving_primes()[::5000]
    assert _residues(x, primes).tolist() == [x % q for q in primes.tolist()]


def test_inverses_of_twelve():
    primes = _sieving_primes()
    assert ((_inverses_of_12(primes) * 12) % primes == 1).all()


def test_a_key_pair_of_safe_primes(tmp_path):
    public, private = generate_keypair(128, safe_primes=True, insecure=True)
    for prime in (private.p, private.q):
        assert isPrime(prime)
        assert isPrime(prime // 2)
    assert private.raw_decrypt(public.raw_encrypt(5)) == 5
    assert PrivateKey.from_bytes(private.to_bytes(), insecure=True) == private
    public.verify(private.prove())
    with pytest.raises(ValueError, match="bits must be"):
        generate_keypair(128, safe_primes=True)
