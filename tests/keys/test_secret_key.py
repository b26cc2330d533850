"""SecretKey and Passphrase as objects."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import Identity, Passphrase, SecretKey
from medcrypt.errors import FormatError
from medcrypt.keys import passphrase as passphrases
from medcrypt.keys.passphrase import ScryptCost

# ---- secret keys -------------------------------------------------------------------------------------


@given(st.binary(min_size=32, max_size=32))
def test_bytes_go_in_and_come_out(data):
    for form in (data, bytearray(data), memoryview(data)):
        assert SecretKey.from_bytes(form).to_bytes() == data


def test_a_key_does_not_change_with_the_buffer_that_it_came_from():
    data = bytearray(32)
    key = SecretKey(data)
    data[0] = 1
    assert key.to_bytes() == bytes(32)


def test_generated_keys_differ():
    assert len({SecretKey.generate() for _ in range(100)}) == 100


@pytest.mark.parametrize("make", [SecretKey, SecretKey.from_bytes])
@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_a_key_of_another_length_is_refused(make, size):
    with pytest.raises(ValueError, match=f"32 bytes, not {size}"):
        make(bytes(size))


@pytest.mark.parametrize("make", [SecretKey, SecretKey.from_bytes, Identity, Identity.from_bytes])
@pytest.mark.parametrize("value", [32, 64, "x" * 32, None, [0] * 32])
def test_a_key_is_made_of_bytes_only(make, value):
    with pytest.raises(TypeError):
        make(value)


def test_keys_are_equal_where_their_bytes_are():
    key = SecretKey(bytes(32))
    assert key == SecretKey(bytes(32))
    assert hash(key) == hash(SecretKey(bytes(32)))
    assert key != SecretKey(bytes(31) + b"x")
    assert key != bytes(32)
    assert key != Passphrase(bytes(32))


def test_the_fingerprint_names_the_key():
    assert SecretKey(bytes(32)).fingerprint == SecretKey(bytes(32)).fingerprint
    assert SecretKey(bytes(32)).fingerprint != SecretKey(bytes(31) + b"x").fingerprint


# ---- passphrases -------------------------------------------------------------------------------------

CHEAP = ScryptCost(log2_n=4)


@pytest.mark.parametrize("text", ["", b""])
def test_an_empty_passphrase_is_refused(text):
    with pytest.raises(ValueError, match="empty"):
        Passphrase(text)


@pytest.mark.parametrize("text", [5, None, ["a"]])
def test_a_passphrase_is_text_or_bytes(text):
    with pytest.raises(TypeError):
        Passphrase(text)


def test_invalid_unicode_is_refused_and_not_carried_in_the_error():
    with pytest.raises(ValueError, match="not valid Unicode") as caught:
        Passphrase("secret\udc80words")
    assert "words" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_passphrase_shows_no_fingerprint():
    assert repr(Passphrase("a")) == repr(Passphrase("b"))
    with pytest.raises(TypeError):
        Passphrase("a").fingerprint  # noqa: B018
    assert len({Passphrase("a"), Passphrase(b"a"), Passphrase("b")}) == 2


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.binary(min_size=16, max_size=16))
def test_stretching_is_scrypt_of_the_utf_8_bytes(text, salt):
    expected = hashlib.scrypt(text.encode(), salt=salt, n=16, r=8, p=1, dklen=32)
    assert Passphrase(text).stretch(salt, CHEAP) == expected


@given(st.binary(min_size=3, max_size=3))
def test_every_accepted_cost_is_within_its_bounds_and_is_written_as_it_was_read(data):
    log2_n, r, p = data
    try:
        cost = ScryptCost.from_bytes(data)
    except FormatError:
        return
    assert cost.to_bytes() == data
    assert 128 * r * 2**log2_n <= 256 << 20
    assert p <= 4


@pytest.mark.parametrize(
    "cost",
    [
        (0, 8, 1),
        (18, 32, 1),
        (25, 1, 1),
        (19, 8, 1),
        (17, 0, 1),
        (17, 33, 1),
        (17, 8, 0),
        (17, 8, 5),
        (255,) * 3,
    ],
)
def test_costs_beyond_the_bounds_are_refused(cost):
    with pytest.raises(FormatError, match="scrypt"):
        ScryptCost.from_bytes(bytes(cost))


def test_n_below_2_to_the_16_r_as_scrypt_demands():
    with pytest.raises(FormatError):
        ScryptCost(log2_n=16, r=1)
    assert len(Passphrase("a").stretch(bytes(16), ScryptCost(log2_n=15, r=1))) == 32


def test_the_default_cost_is_what_the_format_says():
    assert ScryptCost().to_bytes() == bytes([17, 8, 1])
    assert passphrases._MOST_MEMORY == 1 << 28
