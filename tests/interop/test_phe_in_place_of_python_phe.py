"""`medcrypt.paillier.phe` beside the real python-phe: its own unit tests, then both libraries at once."""

import copy
import importlib.util
import math
import os
import pickle
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import InvalidCiphertextError, InvalidKeyError
from medcrypt.paillier import phe as ours
from medcrypt.paillier import soundness

theirs = pytest.importorskip("phe")

BITS = 256


@pytest.fixture(scope="module")
def both():
    """One key in both libraries: (our public, our private, their public, their private)."""
    public, private = ours.generate_paillier_keypair(n_length=BITS, insecure=True)
    their_public = theirs.PaillierPublicKey(public.n)
    return public, private, their_public, theirs.PaillierPrivateKey(their_public, private.p, private.q)


# Their unit tests with our module in its place


def run_their_tests(cases, bits):
    if importlib.util.find_spec(f"phe.tests.{cases}") is None:
        pytest.skip("this python-phe comes without its tests")
    outcome = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("phe_test_suite.py")), cases, str(bits)],
        env={**os.environ, "MEDCRYPT_ALLOW_INSECURE_KEYS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.stdout, outcome.stderr
    tests, failures, errors, skipped = map(int, outcome.stdout.splitlines()[-1].split())
    assert (failures, errors, skipped) == (0, 0, 0), outcome.stderr
    return tests


CASES = {"paillier_test": 188, "cli_test": 29, "util_test": 15, "math_test": 2}


# 1088 bits are the least that hold the numbers of all of their tests.
@pytest.mark.parametrize(("cases", "expected"), CASES.items())
def test_their_unit_tests_pass_on_our_classes(cases, expected):
    assert run_their_tests(cases, 1088) >= expected


def test_none_of_their_modules_of_tests_is_left_out():
    found = importlib.util.find_spec("phe.tests")
    if found is None:
        pytest.skip("this python-phe comes without its tests")
    modules = {module.name for module in pkgutil.iter_modules(found.submodule_search_locations)}
    assert modules == set(CASES)


def test_their_unit_tests_pass_at_their_default_length():
    assert run_their_tests("paillier_test", 3072) >= 188


# Both libraries at once

integers = st.integers(-(2**180), 2**180)  # at a precision of 1e-20 they still fit a third of n
floats = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e9, max_value=1e9).filter(
    lambda x: x == 0 or abs(x) > 1e-9
)
numbers = integers | floats


@given(number=numbers, precision=st.none() | st.sampled_from([1e-20, 1e-6, 0.01, 1.0, 3.0, 1000.0]))
def test_encodings_are_the_same(both, number, precision):
    public, _, their_public, _ = both
    mine = ours.EncodedNumber.encode(public, number, precision)
    other = theirs.EncodedNumber.encode(their_public, number, precision)
    assert (mine.encoding, mine.exponent) == (other.encoding, other.exponent)
    assert repr(mine.decode()) == repr(other.decode())
    for lower in (0, 1, 7):
        mine_lower = mine.decrease_exponent_to(mine.exponent - lower)
        assert mine_lower.encoding == other.decrease_exponent_to(other.exponent - lower).encoding


@given(number=numbers, max_exponent=st.integers(-30, 10))
def test_a_largest_exponent_is_kept_alike(both, number, max_exponent):
    public, _, their_public, _ = both
    try:
        other = theirs.EncodedNumber.encode(their_public, number, max_exponent=max_exponent)
    except ValueError:
        with pytest.raises(ValueError, match="needs an encoding"):
            ours.EncodedNumber.encode(public, number, max_exponent=max_exponent)
        return
    mine = ours.EncodedNumber.encode(public, number, max_exponent=max_exponent)
    assert (mine.encoding, mine.exponent) == (other.encoding, other.exponent)


@pytest.mark.parametrize("base", [2, 13, 64])
def test_other_bases_encode_alike(both, base):
    public, _, their_public, _ = both
    mine, other = (
        type("Other", (module.EncodedNumber,), {"BASE": base, "LOG2_BASE": math.log2(base)})
        for module in (ours, theirs)
    )
    for number in (0.1, -12345.678, 7, 2.0**-20):
        encoded, expected = mine.encode(public, number), other.encode(their_public, number)
        assert (encoded.encoding, encoded.exponent) == (expected.encoding, expected.exponent)


# Programs: the same steps in both libraries, without randomness, give the same ciphertexts.
steps = st.lists(
    st.tuples(st.sampled_from(["add", "radd", "sub", "rsub", "mul", "rmul", "div", "lower"]), floats)
    | st.tuples(st.sampled_from(["add", "sub", "rsub", "mul"]), st.integers(-1000, 1000)),
    max_size=3,
)


def run_program(module, public, first, program):
    number = public.encrypt(first, r_value=1)
    for step, x in program:
        if step == "add":
            number = number + x
        elif step == "radd":
            number = x + number
        elif step == "sub":
            number = number - x
        elif step == "rsub":
            number = x - number
        elif step == "mul":
            number = number * x
        elif step == "rmul":
            number = x * number
        elif step == "div" and x:
            number = number / x
        elif step == "lower":
            number = number.decrease_exponent_to(number.exponent - 2)
    return number


@given(first=floats | st.integers(-1000, 1000), program=steps)
def test_programs_compute_the_same_ciphertexts(both, first, program):
    public, private, their_public, their_private = both
    try:
        expected = run_program(theirs, their_public, first, program)
    except ValueError:
        with pytest.raises(ValueError, match="encoding"):
            run_program(ours, public, first, program)
        return
    computed = run_program(ours, public, first, program)
    assert computed.ciphertext(be_secure=False) == expected.ciphertext(be_secure=False)
    assert computed.exponent == expected.exponent
    try:
        plain = their_private.decrypt(expected)
    except OverflowError:
        with pytest.raises(OverflowError):
            private.decrypt(computed)
    else:
        assert repr(private.decrypt(computed)) == repr(plain)


@given(a=numbers, b=floats)
def test_numbers_cross_in_both_directions(both, a, b):
    public, private, their_public, their_private = both
    number = public.encrypt(a)
    crossed = theirs.EncryptedNumber(their_public, number.ciphertext(), number.exponent)
    assert their_private.decrypt(crossed) == a
    back = their_public.encrypt(b) + 1
    assert private.decrypt(ours.EncryptedNumber(public, back.ciphertext(), back.exponent)) == b + 1


def test_their_keys_work_here_and_encrypt_by_the_textbook(both, monkeypatch):
    their_public, their_private = theirs.generate_paillier_keypair(n_length=BITS)
    public = ours.PaillierPublicKey(their_public.n, insecure=True)
    monkeypatch.setattr(
        "medcrypt.paillier.encryption.random_exponents", lambda *_: pytest.fail("short exponent drawn")
    )
    number = public.encrypt(2.5) * 3
    crossed = theirs.EncryptedNumber(their_public, number.ciphertext(), number.exponent)
    assert their_private.decrypt(crossed) == 7.5
    monkeypatch.undo()  # one key in five of theirs is sound by chance, and blinds with short exponents
    private = ours.PaillierPrivateKey(public, their_private.p, their_private.q)
    assert private.decrypt(number) == 7.5


def test_attributes_of_keys_are_the_same(both):
    public, private, their_public, their_private = both
    for name in ("n", "g", "nsquare", "max_int"):
        assert getattr(public, name) == getattr(their_public, name)
    for name in ("p", "q", "psquare", "qsquare", "p_inverse", "hp", "hq"):
        assert getattr(private, name) == getattr(their_private, name)
    assert private.crt(5, 9) == their_private.crt(5, 9)


def test_public_names_are_all_there():
    for name in ("paillier", "encoding"):
        their_names = {
            key
            for key, value in vars(getattr(theirs, name)).items()
            if getattr(value, "__module__", "").startswith(f"phe.{name}") or key.isupper()
        }
        assert their_names <= set(dir(getattr(ours, name)))
    assert {name for name in dir(theirs) if name[0] in "EPg"} <= set(dir(ours))


@pytest.mark.parametrize("bad", ["1", None, [1], 1j, object()])
def test_what_is_no_number_is_a_type_error_in_both(both, bad):
    for public in (both[0], both[2]):
        for operation in (
            lambda public=public: public.encrypt(bad),
            lambda public=public: public.raw_encrypt(bad),
            lambda public=public: public.encrypt(1) + bad,
            lambda public=public: public.encrypt(1) * bad,
        ):
            with pytest.raises(TypeError):
                operation()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_floats_that_are_no_numbers_are_refused_in_both(both, bad):
    for public in (both[0], both[2]):
        with pytest.raises((ValueError, OverflowError)):
            public.encrypt(bad)


def test_exponents_too_far_apart_are_refused_in_both(both):
    """The factor that closes the gap would not fit the key: a wrong sum must not come out in its place."""
    public, _private, their_public, _ = both
    for module, key in ((ours, public), (theirs, their_public)):
        number, tiny = key.encrypt(2.5), key.encrypt(5e-324)
        for operation in (
            lambda number=number: number + 5e-324,
            lambda number=number, tiny=tiny: number + tiny,
            lambda number=number: number.decrease_exponent_to(-300),
        ):
            with pytest.raises(ValueError, match=r"encoding beyond|within"):
                operation()
        assert module.EncodedNumber.encode(key, 3).decrease_exponent_to(-300).exponent == -300


def test_an_exponent_from_elsewhere_does_not_stop_the_program(both):
    """A power of a billion digits is not computed: python-phe would try."""
    public, private, *_ = both
    far = ours.EncryptedNumber(public, public.encrypt(7).ciphertext(), -(10**9))
    for operation in (lambda: far + 1.5, lambda: far + public.encrypt(1), lambda: public.encrypt(1) - far):
        with pytest.raises(ValueError, match="encoding beyond"):
            operation()
    assert private.decrypt(far) == 0.0
    assert math.copysign(1.0, private.decrypt(far * -1)) == -1.0
    assert private.decrypt(far + 0) == 0.0
    encoded = ours.EncodedNumber.encode(public, 1)
    assert encoded.decrease_exponent_to(-(10**9)).encoding == pow(16, 10**9, public.n)


def test_two_encrypted_numbers_cannot_be_multiplied_in_both(both):
    for public in (both[0], both[2]):
        with pytest.raises(NotImplementedError):
            public.encrypt(2) * public.encrypt(3)


# What is stricter here


def test_small_keys_need_the_switch():
    for bits in (256, 1024, 2032):
        with pytest.raises(ValueError, match="bits"):
            ours.generate_paillier_keypair(n_length=bits)
    with pytest.raises(InvalidKeyError):
        ours.PaillierPublicKey(126869)
    with pytest.raises(InvalidKeyError):
        ours.PaillierPublicKey(2**2203 - 1)


@pytest.mark.parametrize("bits", [7, 9, 63])
def test_lengths_that_make_no_key_are_refused(bits):
    with pytest.raises(ValueError, match="n_length"):
        ours.generate_paillier_keypair(n_length=bits, insecure=True)


def test_ciphertexts_outside_the_group_are_refused(both):
    _public, private, _their_public, _their_private = both
    foreign = ours.PaillierPrivateKey(ours.PaillierPublicKey(126869, insecure=True), 293, 433)
    for key in (private, foreign):
        n = key.public_key.n
        for c in (0, -1, n, n * n, n * n + 1, key.p, key.q * 5):
            with pytest.raises(InvalidCiphertextError):
                key.raw_decrypt(c)


def test_operations_refuse_what_is_no_ciphertext(both):
    public, private, *_ = both
    for c in (0, -1, public.nsquare, public.nsquare + 1):
        for operation in (
            lambda x: x + 1,
            lambda x: x + x,
            lambda x: x * 2,
            lambda x: x * -1,
            lambda x: x - x,
        ):
            with pytest.raises(InvalidCiphertextError):
                operation(ours.EncryptedNumber(public, c))
    with pytest.raises(InvalidCiphertextError):  # an inverse is where a factor of n would show
        ours.EncryptedNumber(public, private.p) * -1
    with pytest.raises(TypeError):
        ours.EncryptedNumber(public, "1") + 1


@pytest.mark.parametrize("n", [0, -15, 13, 1 << 3000, (1 << 9000) + 1])
def test_an_insecure_modulus_must_be_one_to_compute_with(n):
    with pytest.raises(InvalidKeyError, match="odd composite"):
        ours.PaillierPublicKey(n, insecure=True)


def test_a_random_factor_that_is_no_unit_is_refused(both):
    public, private, *_ = both
    for r in (0, public.n, private.p, 3 * private.q):
        with pytest.raises(ValueError, match="unit"):
            public.raw_encrypt(1, r_value=r)
    assert private.raw_decrypt(public.raw_encrypt(1, r_value=-2)) == 1


def test_keys_that_do_not_belong_together_are_refused(both):
    public, private, *_ = both
    with pytest.raises(ValueError, match="p q"):
        ours.PaillierPrivateKey(public, private.p, private.q + 2)
    with pytest.raises(ValueError, match="differ"):
        ours.PaillierPrivateKey(ours.PaillierPublicKey(293 * 293, insecure=True), 293, 293)
    with pytest.raises(ValueError, match="totient"):
        ours.PaillierPrivateKey.from_totient(public, (private.p - 1) * (private.q - 3))
    for p, q in ((1, 126869), (15, 433), (7, 43), (-293, -433)):
        with pytest.raises(InvalidKeyError):
            ours.PaillierPrivateKey(ours.PaillierPublicKey(p * q, insecure=True), p, q)


def test_primes_of_the_right_form_earn_short_exponents(both):
    public, private, *_ = both
    foreign = ours.PaillierPublicKey(public.n, insecure=True)
    assert foreign._key is None
    again = ours.PaillierPrivateKey(foreign, private.q, private.p)
    assert again == private
    assert again.public_key._key.trusted


def test_a_private_key_never_leaves_by_pickle_or_repr(both):
    _public, private, *_ = both
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(private)
    for text in (repr(private), str(private), repr(ours.PaillierPrivateKeyring([private]))):
        assert str(private.p) not in text
        assert str(private.q) not in text


def test_public_keys_and_numbers_can_be_pickled(both):
    public, private, *_ = both
    number = public.encrypt(2.5)
    again = pickle.loads(pickle.dumps(number))
    assert private.decrypt(again) == 2.5
    assert again.public_key == public
    assert again.public_key._key.trusted
    foreign = pickle.loads(pickle.dumps(ours.PaillierPublicKey(126869, insecure=True)))
    assert foreign.n == 126869
    assert foreign._key is None


@pytest.mark.parametrize(
    "number", [np.int64(-7), np.uint8(7), np.float64(0.1), np.float32(0.1), np.bool_(True), True]
)
def test_numbers_of_numpy_are_numbers(both, number):
    public, private, *_ = both
    assert private.decrypt(public.encrypt(number)) == float(number)
    assert private.decrypt(public.encrypt(2) * number + number) == pytest.approx(3 * float(number))


def test_obfuscation_draws_from_all_of_the_units(both, monkeypatch):
    """A short exponent is not enough where the receiver holds the private key."""
    public, private, *_ = both
    total = public.encrypt(1) + public.encrypt(2)
    monkeypatch.setattr(
        "medcrypt.paillier.encryption.random_exponents", lambda *_: pytest.fail("short exponent drawn")
    )
    monkeypatch.setattr("medcrypt.paillier.phe.paillier.random_units", lambda n, count: [3] * count)
    before = total.ciphertext(be_secure=False)
    assert total.ciphertext() == before * pow(3, public.n, public.nsquare) % public.nsquare
    monkeypatch.undo()
    assert private.decrypt(total) == 3


def test_the_switch_is_judged_when_a_key_is_made(monkeypatch):
    monkeypatch.setenv(soundness._INSECURE_VARIABLE, "1")
    public = ours.PaillierPublicKey(126869)
    monkeypatch.delenv(soundness._INSECURE_VARIABLE)
    assert public.encrypt(1).exponent == 0


def test_results_can_be_pickled_and_copied_before_anybody_looks_at_them():
    """Results stay in the kernels' form until somebody asks for the integer; what travels is the integer."""
    public, private = ours.generate_paillier_keypair(n_length=256, insecure=True)
    total = (public.encrypt(1.5) + public.encrypt(-2)) * 3 - 1
    again = pickle.loads(pickle.dumps(total))
    for number in (again, copy.copy(total), copy.deepcopy(total), again + 0):
        assert private.decrypt(number) == -2.5
    assert again.ciphertext(be_secure=False) == total.ciphertext(be_secure=False)
    again.obfuscate()
    assert again.ciphertext() != total.ciphertext(be_secure=False)
    assert private.decrypt(again) == -2.5
