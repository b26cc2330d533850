"""Threshold keys: any t parties decrypt together, cheaters are named, and t - 1 learn nothing."""

import copy
import pickle
import secrets
from fractions import Fraction
from itertools import combinations, product
from math import factorial, prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.errors import (
    AuthenticationError,
    FormatError,
    InvalidCiphertextError,
    InvalidKeyError,
    ProtocolError,
)
from medcrypt.paillier import (
    EncryptedArray,
    KeyShare,
    Packing,
    PartialDecryption,
    PublicKey,
    ThresholdPublicKey,
    combine,
    combine_integers,
    deal_threshold_key,
    generate_keypair,
    sift,
)
from medcrypt.paillier.threshold import VerificationKeys, combine_verified, equality, sharing
from medcrypt.paillier.threshold.combining import _interpolate
from medcrypt.paillier.threshold.lagrange import weights_at_zero
from medcrypt.paillier.threshold.partial import digest_of, statement_of
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
def public(committee):
    return committee[0]


@pytest.fixture(scope="module")
def shares(committee):
    return committee[1]


@pytest.fixture(scope="module")
def total(public):
    """A sum of three ciphertexts."""
    return public.encrypt(np.linspace(-4, 4, 70), PACKING) + public.encrypt(np.ones(70), PACKING)


@pytest.fixture(scope="module")
def parts(shares, total):
    return [share.partial_decrypt(total) for share in shares]


def expected_of(safe_private, total):
    return safe_private.decrypt_integers(total)


# --- decryption ---------------------------------------------------------------------------------------


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


def test_every_subset_of_parties_gives_the_same_sum(safe_private, public, total, parts):
    expected = expected_of(safe_private, total)
    for subset in combinations(parts, public.threshold):
        assert (combine_integers(total, subset) == expected).all()


def test_large_committees_work_too(safe_private):
    public, shares = share_out(safe_private, 40, 20)
    total = public.encrypt_integers([1, -2, 3], PACKING)
    parts = [share.partial_decrypt(total) for share in shares[::2]]
    assert combine_integers(total, parts).tolist() == [1, -2, 3]


def test_a_dealt_key_decrypts_and_its_plain_half_encrypts_for_it():
    public, shares = deal_threshold_key(parties=3, threshold=2, bits=256, insecure=True)
    plain = PublicKey.from_bytes(public.encryption_key.to_bytes(), trusted=True, insecure=True)
    assert plain == public
    assert plain.fingerprint == public.fingerprint
    total = plain.encrypt([1.0], PACKING) + public.encrypt([2.0], PACKING)
    parts = [share.partial_decrypt(total) for share in shares[1:]]
    assert combine(total, parts, public=public).round(3) == [3.0]
    with pytest.raises(TypeError, match="plain public key"):
        combine(total, parts)


def test_every_kernel_path_gives_the_same_partial_decryption(
    kernel_path, monkeypatch, safe_private, public, shares, total, parts
):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    again = ThresholdPublicKey.from_bytes(public.to_bytes(), insecure=True)
    share = KeyShare.from_bytes(shares[0].to_bytes(), again)
    array = EncryptedArray.from_bytes(total.to_bytes(), again)
    part = share.partial_decrypt(array)
    assert part.residues == parts[0].residues
    mixed = [PartialDecryption.from_bytes(other.to_bytes(), again) for other in (part, *parts[2:4])]
    assert (combine_integers(array, mixed) == expected_of(safe_private, total)).all()


# --- fewer than the threshold -------------------------------------------------------------------------


def test_fewer_parties_than_the_threshold_are_refused_and_nobody_is_blamed(total, parts):
    for count in (0, 1, 2):
        with pytest.raises(ProtocolError, match="3 parties decrypt together") as caught:
            combine(total, parts[:count])
        assert caught.value.party is None


@pytest.mark.parametrize("threshold", [2, 3])
def test_the_shares_of_fewer_parties_are_uniform_whatever_the_secret(monkeypatch, threshold):
    """All polynomials modulo 35, whose factors are above the number of parties: each value comes up once."""
    modulus, parties = 35, 4
    for secret in (0, 1, 34):
        seen = {corrupt: set() for corrupt in combinations(range(parties), threshold - 1)}
        for coefficients in product(range(modulus), repeat=threshold - 1):
            drawn = iter(coefficients)
            monkeypatch.setattr(sharing.secrets, "randbelow", lambda limit, drawn=drawn: next(drawn))
            values = sharing._polynomial_values(secret, modulus, parties, threshold)
            for corrupt, found in seen.items():
                found.add(tuple(values[i] for i in corrupt))
        assert all(len(found) == modulus ** (threshold - 1) for found in seen.values())


@given(st.data())
def test_the_shares_of_fewer_parties_fit_every_plaintext(safe_private, public, shares, data):
    """Two true shares and a third that interpolation makes up decrypt to anything one likes."""
    n, order = public.n, (safe_private.p // 2) * (safe_private.q // 2)
    plaintext, wanted = data.draw(st.integers(1, 2**500)), data.draw(st.integers(0, 2**500))
    first, second, made_up = data.draw(st.permutations(range(1, 6)))[:3]
    ciphertext = public.raw_encrypt(plaintext)
    secret = order * (
        wanted * pow(plaintext * order, -1, n) % n
    )  # 0 modulo p' q', wanted / plaintext modulo n
    known = {0: secret, **{i: shares[i - 1]._integer() for i in (first, second)}}
    third = interpolated(known, made_up, n * order)
    forged = {**{i: known[i] for i in (first, second)}, made_up: third}
    residues = {i: public.group.power([ciphertext], 2 * public.delta * share) for i, share in forged.items()}
    parts = [PartialDecryption(public, i, residue, b"", None) for i, residue in residues.items()]
    assert _interpolate(public, parts) == [wanted]


def interpolated(values, at, modulus):
    """Lagrange's interpolation of {point: value} at another point."""
    return (
        sum(
            value
            * prod(at - j for j in values if j != i)
            * pow(prod(i - j for j in values if j != i), -1, modulus)
            for i, value in values.items()
        )
        % modulus
    )


@given(st.sets(st.integers(1, 60), min_size=1, max_size=12), st.lists(st.integers(-9, 9), max_size=12))
def test_integer_weights_interpolate_at_zero(parties, coefficients):
    polynomial = coefficients[: len(parties)]
    mu, weights = weights_at_zero(parties)
    values = {i: sum(a * i**k for k, a in enumerate(polynomial)) for i in parties}
    assert sum(weights[i] * values[i] for i in parties) == mu * sum(polynomial[:1])
    assert factorial(max(parties)) % mu == 0
    assert all(
        Fraction(w, mu) == prod(Fraction(j, j - i) for j in parties if j != i) for i, w in weights.items()
    )


# --- cheaters -----------------------------------------------------------------------------------------


def proved(share, total, ys, *, xs=None, context=b"", party=None, witness=None):
    """A partial decryption with these powers and the best proof that a holder can make for them."""
    public = share.public
    ys, party = public.group.residues(ys), party or share.party
    statement = statement_of(
        public, public.verification, party, xs or total.residues, ys, digest_of(total), context
    )
    witness = public.delta * share._integer() if witness is None else witness
    proof = equality.prove(statement, witness, public.witness_bits)
    return PartialDecryption(public, party, ys, digest_of(total), proof, context)


def refused(total, part, match, context=b"", party=1):
    with pytest.raises(ProtocolError, match=match) as caught:
        part.verify(total, context=context)
    assert caught.value.party == f"party {party}"


PROOF = "does not hold"


def test_an_honest_party_passes(shares, total, parts):
    proved(shares[0], total, parts[0].residues).verify(total)


def test_random_powers_are_refused(public, shares, total, parts):
    ys = [pow(secrets.randbelow(public.n), 2, public.n**2) for _ in parts[0].residues]
    refused(total, proved(shares[0], total, ys), PROOF)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_wrong_power_is_refused(public, shares, total, parts, place):
    for factor in (public.n + 1, 4, pow(public.n + 1, -1, public.n**2)):
        ys = list(parts[0].residues)
        ys[place] = ys[place] * factor % public.n**2
        refused(total, proved(shares[0], total, ys), PROOF)


def test_errors_that_cancel_in_a_plain_product_are_refused(public, shares, total, parts):
    ys, squared = list(parts[0].residues), public.n**2
    ys[0], ys[1] = ys[0] * 9 % squared, ys[1] * pow(9, -1, squared) % squared
    refused(total, proved(shares[0], total, ys), PROOF)


def test_swapped_powers_are_refused(shares, total, parts):
    ys = list(parts[0].residues)
    refused(total, proved(shares[0], total, [ys[1], ys[0], *ys[2:]]), PROOF)


def test_powers_of_another_exponent_are_refused(public, shares, total):
    exponent = 2 * public.delta * shares[1]._integer()
    ys = public.group.power(total.residues, exponent)
    refused(total, proved(shares[0], total, ys), PROOF)
    refused(total, proved(shares[0], total, ys, witness=exponent // 2), PROOF)


def test_a_party_cannot_speak_for_another_one(shares, total, parts):
    refused(total, proved(shares[1], total, parts[1].residues, party=1), PROOF)
    data = bytearray(parts[1].to_bytes())
    data[5] = 1
    refused(total, PartialDecryption.from_bytes(data, parts[1].public), PROOF)


def test_a_sign_does_no_harm_because_squares_are_combined(safe_private, public, shares, total, parts):
    """Square roots of 1 are what the proof cannot see: it speaks of squares, and so does the combination."""
    p, q = safe_private.p, safe_private.q
    root = (q**2 * pow(q**2, -1, p**2) - p**2 * pow(p**2, -1, q**2)) % public.n**2
    assert root not in (1, public.n**2 - 1)
    for sign in (public.n**2 - 1, root):
        ys = [y * sign % public.n**2 for y in parts[0].residues]
        crooked = proved(shares[0], total, ys)
        crooked.verify(total)
        assert (combine_integers(total, [crooked, *parts[1:3]]) == expected_of(safe_private, total)).all()


def test_a_proof_is_good_for_one_array_only(public, shares, total, parts):
    other = public.encrypt(np.zeros(70), PACKING)
    refused(other, parts[0], "another array")
    # The same ciphertexts, but another header: terms, context, shape and packing count as well.
    headers = [
        {"terms": total.terms + 1},
        {"context": b"x"},
        {"shape": (7, 10)},
        {"packing": Packing(clip=2.0, bits=16, max_terms=8)},
    ]
    for change in headers:
        fields = {"shape": total.shape, "packing": total.packing, "terms": total.terms, **change}
        array = EncryptedArray(public, total.residues, **fields)
        refused(array, parts[0], "another array")
        moved = bytearray(parts[0].to_bytes())
        moved[38:70] = digest_of(array)
        refused(array, PartialDecryption.from_bytes(moved, public), PROOF)


def test_a_proof_is_good_for_one_context_only(public, shares, total):
    part = shares[0].partial_decrypt(total, context=b"round 1")
    part.verify(total, context=b"round 1")
    refused(total, part, "another context", context=b"round 2")
    replayed = part.to_bytes().replace(b"round 1", b"round 2")
    refused(total, PartialDecryption.from_bytes(replayed, public), PROOF, context=b"round 2")


def test_a_proof_is_good_for_one_key_only(safe_private, total):
    """The same n and the same secret, shared a second time."""
    public, shares = share_out(safe_private, 5, 3)
    part = shares[0].partial_decrypt(EncryptedArray.from_bytes(total.to_bytes(), public))
    with pytest.raises(ProtocolError, match="party 1: the partial decryption belongs to another key"):
        combine(total, [part])
    with pytest.raises(InvalidCiphertextError, match="another key"):
        PartialDecryption.from_bytes(part.to_bytes(), total.public)


@given(st.data())
def test_a_flipped_bit_is_refused(public, total, parts, data):
    sent = bytearray(parts[0].to_bytes())
    bit = data.draw(st.integers(0, 8 * len(sent) - 1))
    sent[bit // 8] ^= 1 << bit % 8
    with pytest.raises((FormatError, InvalidCiphertextError, ProtocolError)):
        PartialDecryption.from_bytes(sent, public).verify(total)


def test_powers_outside_of_the_group_are_refused(safe_private, public, total, parts):
    start, width = parts[0].to_bytes().index(parts[0].residues.to_bytes()), public.ciphertext_bytes
    for bad in (0, safe_private.p, safe_private.q**2, public.n, public.n**2 - public.n, public.n**2):
        sent = bytearray(parts[0].to_bytes())
        sent[start : start + width] = bad.to_bytes(width, "big")
        with pytest.raises(InvalidCiphertextError):
            PartialDecryption.from_bytes(sent, public)
    ys = public.group.residues([safe_private.p, *list(parts[0].residues)[1:]])
    built = PartialDecryption(public, 1, ys, digest_of(total), parts[0]._proof)
    refused(total, built, "not a unit")


def test_missing_and_additional_powers_are_refused(public, total, parts):
    ys = list(parts[0].residues)
    for wrong in (ys[:-1], [*ys, 1], []):
        built = PartialDecryption(public, 1, public.group.residues(wrong), digest_of(total), parts[0]._proof)
        refused(total, built, "another array")
        with pytest.raises(ProtocolError):
            PartialDecryption.from_bytes(built.to_bytes(), public).verify(total)


def test_a_missing_proof_and_an_unknown_party_are_refused(public, total, parts):
    refused(total, PartialDecryption(public, 1, parts[0].residues, digest_of(total), None), PROOF)
    for party in (0, 6):
        stranger = PartialDecryption(public, party, parts[0].residues, digest_of(total), parts[0]._proof)
        refused(total, stranger, "no such party", party=party)


def test_a_response_that_is_longer_than_any_honest_one_is_refused(safe_private):
    public, shares = share_out(safe_private, 2, 2)
    sent = bytearray(shares[0].partial_decrypt(public.encrypt([1.0], PACKING)).to_bytes())
    bits = equality.response_bits(public.witness_bits)
    assert bits % 8 == 3
    sent[-(bits // 8 + 1)] = 1 << 3
    with pytest.raises(FormatError, match="too long"):
        PartialDecryption.from_bytes(sent, public)


def test_responses_are_masked_by_256_bits_more_than_the_witness(monkeypatch, public, shares, total):
    """128 for the challenge that multiplies the witness, 128 for the statistical distance."""
    asked, draw = [], equality.random_exponents
    monkeypatch.setattr(equality, "random_exponents", lambda bits, n: asked.append(bits) or draw(bits, n))
    first, second = (shares[0].partial_decrypt(total)._proof for _ in range(2))
    longest = (public.delta * (1 << public.share_bits) - 1).bit_length()
    assert asked == [longest + 256] * 2
    assert first.challenge != second.challenge
    assert first.response != second.response


def test_combine_names_the_cheater_or_goes_on_without(safe_private, shares, total, parts):
    expected = expected_of(safe_private, total)
    bad = proved(shares[1], total, [4, *list(parts[1].residues)[1:]])
    given_parts = [parts[0], bad, parts[2], parts[4]]
    with pytest.raises(ProtocolError, match="party 2") as caught:
        combine(total, given_parts)
    assert caught.value.party == "party 2"
    assert (combine_integers(total, given_parts, robust=True) == expected).all()
    good, faults = sift(total, given_parts)
    assert [part.party for part in good] == [1, 3, 5]
    assert [fault.party for fault in faults] == ["party 2"]
    with pytest.raises(ProtocolError, match="good partial decryptions of 2"):
        combine(total, given_parts[:3], robust=True)


def test_a_party_that_comes_twice_is_named(safe_private, shares, total, parts):
    twice = [parts[0], shares[0].partial_decrypt(total), parts[1]]
    for given_parts in (twice, [*twice, parts[2]]):
        with pytest.raises(ProtocolError, match="second") as caught:
            combine(total, given_parts)
        assert caught.value.party == "party 1"
    with pytest.raises(ProtocolError, match="good partial decryptions of 2"):
        combine(total, twice, robust=True)
    robust = combine_integers(total, [*twice, parts[2]], robust=True)
    assert (robust == expected_of(safe_private, total)).all()


def test_verified_parts_are_combined_without_another_look_but_not_twice(safe_private, total, parts):
    assert (combine_verified(total, parts[1:4]) == expected_of(safe_private, total)).all()
    for wrong in ([parts[0], parts[1], parts[0]], [*parts[:3], parts[2]]):
        with pytest.raises(ProtocolError, match="a second"):
            combine_verified(total, wrong)
    with pytest.raises(ProtocolError, match="decrypt together"):
        combine_verified(total, parts[:2])


def test_a_wrong_part_does_not_shut_out_the_right_one_of_its_party(safe_private, shares, total, parts):
    bad = proved(shares[0], total, [4, *list(parts[0].residues)[1:]])
    summed = combine_integers(total, [bad, *parts[:3]], robust=True)
    assert (summed == expected_of(safe_private, total)).all()


# --- arguments ----------------------------------------------------------------------------------------


def test_wrong_arguments_are_refused(public, shares, total, parts, stranger):
    foreign = stranger.public.encrypt([1.0], PACKING)
    for operation in (
        lambda: shares[0].partial_decrypt(b"x"),
        lambda: combine(b"x", parts),
        lambda: combine(total, [b"x"]),
        lambda: combine(foreign, parts),
    ):
        with pytest.raises(TypeError):
            operation()
    for operation in (
        lambda: shares[0].partial_decrypt(foreign),
        lambda: combine(foreign, parts, public=public),
    ):
        with pytest.raises(InvalidCiphertextError):
            operation()
    with pytest.raises(ValueError, match="context"):
        shares[0].partial_decrypt(total, context=bytes(256))


def test_ciphertexts_that_are_no_units_are_not_decrypted(safe_private, public, shares, parts):
    for bad in (0, safe_private.p, public.n):
        array = EncryptedArray(public, [bad], (1,), PACKING)
        with pytest.raises(InvalidCiphertextError):
            shares[0].partial_decrypt(array)
        with pytest.raises(InvalidCiphertextError):
            combine(array, parts)


@pytest.mark.parametrize(("parties", "threshold"), [(1, 1), (3, 1), (3, 0), (3, 4), (256, 2), (2, -1)])
def test_committees_that_make_no_sense_are_refused(parties, threshold):
    with pytest.raises(ValueError, match="threshold <= parties"):
        deal_threshold_key(parties, threshold, bits=256, insecure=True)


def test_short_keys_need_the_switch():
    with pytest.raises(ValueError, match="multiple of 16"):
        deal_threshold_key(3, 2, bits=256)
    public, _ = deal_threshold_key(3, 2, bits=256, insecure=True)
    with pytest.raises(InvalidKeyError, match="between 2048"):
        ThresholdPublicKey.from_bytes(public.to_bytes())


# --- keys and shares as bytes -------------------------------------------------------------------------


def test_public_keys_survive_bytes_and_pickles(public, total, parts):
    for again in (
        ThresholdPublicKey.from_bytes(public.to_bytes(), insecure=True),
        pickle.loads(pickle.dumps(public)),
        copy.deepcopy(public),
    ):
        assert again == public
        assert again.to_bytes() == public.to_bytes()
        assert (again.trusted, again.identifies_cheaters) == (True, True)
        assert (again.parties, again.threshold, again.verification) == (5, 3, public.verification)
        assert again.threshold_fingerprint == public.threshold_fingerprint
    assert pickle.loads(pickle.dumps(parts[0])) == parts[0]
    assert hash(parts[0]) == hash(PartialDecryption.from_bytes(parts[0].to_bytes(), public))


@given(st.data())
def test_a_public_key_with_a_flipped_bit_is_refused_or_another_key(public, shares, data):
    sent = bytearray(public.to_bytes())
    bit = data.draw(st.integers(0, 8 * len(sent) - 1))
    sent[bit // 8] ^= 1 << bit % 8
    try:
        changed = ThresholdPublicKey.from_bytes(sent, insecure=True)
    except InvalidKeyError:
        return
    with pytest.raises(InvalidKeyError, match="another key"):
        KeyShare.from_bytes(shares[0].to_bytes(), changed)


@pytest.mark.parametrize("size", [0, 4, 9, 10, 100])
def test_cut_and_prolonged_public_keys_are_refused(public, size):
    for data in (public.to_bytes()[:size], public.to_bytes() + bytes(size + 1)):
        with pytest.raises(InvalidKeyError):
            ThresholdPublicKey.from_bytes(data, insecure=True)


def test_a_public_key_is_built_of_parts_that_fit(safe_private, public):
    verification, proof = (
        public.verification,
        safe_private.prove(context=b"medcrypt/paillier/threshold/dealer"),
    )
    fields = {"parties": 5, "threshold": 3, "verification": verification, "proof": proof, "insecure": True}
    assert ThresholdPublicKey(public.n, **fields).threshold_fingerprint != b""
    for change in (
        {"parties": 4},
        {"proof": safe_private.prove()},
        {"verification": VerificationKeys(0, verification.keys)},
        {"verification": VerificationKeys(verification.base, (public.n, *verification.keys[1:]))},
        {"theta": 0},
        {"theta": safe_private.p},
    ):
        with pytest.raises(InvalidKeyError):
            ThresholdPublicKey(public.n, **{**fields, **change})
    for change in ({"proof": None}, {"verification": None}, {"threshold": 1}):
        with pytest.raises(ValueError, match=r"come together|threshold"):
            ThresholdPublicKey(public.n, **{**fields, **change})
    with pytest.raises(ValueError, match="dealer's proof"):
        ThresholdPublicKey.from_bytes(public.to_bytes(), True, insecure=True)
    with pytest.raises(TypeError, match="no owner"):
        public.verify(proof)


def test_a_share_survives_a_file_with_and_without_a_passphrase(tmp_path, public, shares, total):
    share = shares[2]
    share.save(tmp_path / "clear")
    share.save(tmp_path / "sealed", passphrase="six random words are the least")
    assert (tmp_path / "clear").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "sealed").stat().st_mode & 0o777 == 0o600
    assert share.to_bytes()[38:] not in (tmp_path / "sealed").read_bytes()
    clear = KeyShare.load(tmp_path / "clear", public)
    sealed = KeyShare.load(tmp_path / "sealed", public, passphrase="six random words are the least")
    assert clear == sealed == share
    assert clear.partial_decrypt(total).residues == share.partial_decrypt(total).residues
    with pytest.raises(FileExistsError):
        share.save(tmp_path / "clear")
    with pytest.raises(AuthenticationError):
        KeyShare.load(tmp_path / "sealed", public, passphrase="another one")
    with pytest.raises(InvalidKeyError, match="passphrase"):
        KeyShare.load(tmp_path / "sealed", public)


def test_files_of_something_else_are_no_shares(tmp_path, safe_private, public):
    safe_private.save(tmp_path / "private")
    safe_private.save(tmp_path / "sealed", passphrase="x")
    (tmp_path / "long").write_bytes(b"MCTS" + bytes(1 << 15))
    for name, passphrase in (("private", None), ("sealed", "x"), ("long", None)):
        with pytest.raises(InvalidKeyError):
            KeyShare.load(tmp_path / name, public, passphrase=passphrase)


@given(st.data())
def test_a_share_with_a_flipped_bit_is_refused(public, shares, data):
    """The verification key of the party vouches for the share."""
    sent = bytearray(shares[0].to_bytes())
    bit = data.draw(st.integers(0, 8 * len(sent) - 1))
    sent[bit // 8] ^= 1 << bit % 8
    with pytest.raises(InvalidKeyError):
        KeyShare.from_bytes(sent, public)


def test_a_share_of_another_party_or_length_is_refused(public, shares):
    data = shares[0].to_bytes()
    for wrong in (
        data[:-1],
        data + b"\0",
        data[:20],
        b"",
        data[:5] + b"\2" + data[6:],
        data[:5] + b"\6" + data[6:],
    ):
        with pytest.raises(InvalidKeyError):
            KeyShare.from_bytes(wrong, public)
    for party, share in ((0, 1), (6, 1), (1, -1), (1, 0), (1, 1 << public.share_bits)):
        with pytest.raises(InvalidKeyError):
            KeyShare(public, party, share)


def test_a_share_shows_no_secret_and_leaves_no_process(shares, parts):
    share = shares[0]
    secret = share._integer()
    for text in (repr(share), str(share), repr(parts[0]), repr(share.public)):
        assert str(secret) not in text
        assert f"{secret:x}" not in text
    for operation in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            operation(share)
    assert share != shares[1]
    assert share != b"x"
    assert hash(share) != hash(shares[1])


def test_a_wiped_share_is_gone(public, shares, total):
    share = KeyShare.from_bytes(shares[3].to_bytes(), public)
    buffer = share._share
    share.wipe()
    assert not any(buffer)
    with pytest.raises(ValueError, match="wiped"):
        share.partial_decrypt(total)
    again = KeyShare.from_bytes(shares[3].to_bytes(), public)
    buffer = again._share
    del again
    assert not any(buffer)


def test_shares_and_exponents_have_one_length_whatever_they_are(public, shares):
    assert {len(share.to_bytes()) for share in shares} == {38 + 128}
    assert {len(share._exponent(2 * public.delta)) for share in shares} == {129}
