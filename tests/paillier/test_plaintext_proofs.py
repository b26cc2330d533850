"""The proof that a sender knows what is in his ciphertexts: it holds, it is bound, others cannot make it."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt import InvalidCiphertextError
from medcrypt.paillier import EncryptedArray, Packing, PublicKey
from medcrypt.paillier.proofs import plaintexts
from reference import paillier_proofs as twin

PACKING = Packing(clip=1.0, bits=16, max_terms=4)
VALUES = np.arange(-40, 40)


@pytest.fixture(scope="module", params=["short-exponent", "textbook"])
def proved(request, private):
    return private.public.encrypt_integers_and_prove(VALUES, PACKING, proof_context=b"me", mode=request.param)


def test_an_honest_proof_is_accepted_and_the_array_is_what_it_should_be(proved, private):
    array, proof = proved
    array.verify_plaintexts_known(proof, context=b"me")
    assert len(proof) == plaintexts.proof_size(array.public.bits)
    assert np.array_equal(private.decrypt_integers(array), VALUES)


def test_the_holder_of_the_private_key_proves_as_others_do(private):
    array, proof = private.encrypt_integers_and_prove(VALUES, PACKING, proof_context=b"me")
    array.verify_plaintexts_known(proof, context=b"me")


def test_a_key_that_is_not_trusted_proves_with_units(public):
    untrusted = PublicKey(public.n, insecure=True)
    array, proof = untrusted.encrypt_integers_and_prove(VALUES, PACKING)
    array.verify_plaintexts_known(proof)


def test_no_ciphertexts_at_all_are_proved_too(public):
    array, proof = public.encrypt_integers_and_prove(np.zeros(0, np.int64), PACKING)
    array.verify_plaintexts_known(proof)


@given(size=st.integers(1, 60), context=st.binary(max_size=40))
def test_the_readable_twin_accepts_what_we_prove(private, size, context):
    array, proof = private.public.encrypt_integers_and_prove(VALUES[:size], PACKING, proof_context=context)
    n, ciphertexts = array.public.n, list(array.ciphertexts)
    twin.verify_plaintexts(n, ciphertexts, proof, context)
    with pytest.raises(AssertionError):
        twin.verify_plaintexts(n, ciphertexts, proof, context + b"x")


@given(size=st.integers(1, 60), context=st.binary(max_size=40))
def test_we_accept_what_the_readable_twin_proves(private, size, context):
    public = private.public
    messages = PACKING.encode_integers(VALUES[:size], public.bits)
    units = [2 * i + 3 for i in range(len(messages))]
    ciphertexts = [public.raw_encrypt(m, r) for m, r in zip(messages, units, strict=True)]
    draw = random.Random(size).randrange
    proof = twin.prove_plaintexts(
        public.n, ciphertexts, messages, units, context, lambda _, limit: draw(1, limit)
    )
    array = EncryptedArray(public, ciphertexts, (size,), PACKING)
    array.verify_plaintexts_known(proof, context=context)


def test_another_context_is_refused(proved):
    array, proof = proved
    with pytest.raises(InvalidCiphertextError, match="does not hold"):
        array.verify_plaintexts_known(proof, context=b"you")


def test_other_ciphertexts_are_refused(proved, public):
    array, proof = proved
    for other in (array.rerandomize(), array * 3, public.encrypt_integers(VALUES, PACKING)):
        with pytest.raises(InvalidCiphertextError, match="does not hold"):
            other.verify_plaintexts_known(proof, context=b"me")


def test_exchanged_ciphertexts_are_refused(proved):
    array, proof = proved
    first, second, *others = array.ciphertexts
    exchanged = EncryptedArray(array.public, [second, first, *others], array.shape, PACKING)
    with pytest.raises(InvalidCiphertextError, match="does not hold"):
        exchanged.verify_plaintexts_known(proof, context=b"me")


@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_refused(proved, position, bit):
    array, proof = proved
    damaged = bytearray(proof)
    damaged[int(position * len(proof))] ^= 1 << bit
    with pytest.raises(InvalidCiphertextError):
        array.verify_plaintexts_known(bytes(damaged), context=b"me")


@pytest.mark.parametrize(
    "change", [lambda p: p[:-1], lambda p: p + b"\0", lambda p: b"", lambda p: b"MCPX" + p[4:]]
)
def test_malformed_proofs_are_refused(proved, change):
    array, proof = proved
    with pytest.raises(InvalidCiphertextError):
        array.verify_plaintexts_known(change(proof), context=b"me")


def test_zeros_are_no_proof(proved):
    array, proof = proved
    with pytest.raises(InvalidCiphertextError, match="does not hold"):
        array.verify_plaintexts_known(proof[:7] + bytes(len(proof) - 7), context=b"me")


def test_somebody_who_copies_or_negates_ciphertexts_cannot_prove_them(proved):
    """The attack that the proof is for: an upload made of somebody else's."""
    array, proof = proved
    negated = EncryptedArray(array.public, array.public.group.invert(array.residues), array.shape, PACKING)
    for stolen in (array, negated):
        with pytest.raises(InvalidCiphertextError, match="does not hold"):
            stolen.verify_plaintexts_known(proof, context=b"the thief")


def test_two_answers_to_one_commitment_reveal_the_plaintext(private):
    """The extraction of the soundness argument, step by step."""
    n = private.public.n
    message, unit = 1234, 5678
    c = private.public.raw_encrypt(message, unit)
    u, s = 99, 7
    (e1, z1, w1), (e2, z2, w2) = (
        (e, (u + e * message) % n, s * pow(unit, e, n) % n) for e in (2**127 + 5, 2**100 + 1)
    )
    d, z, w = e1 - e2, (z1 - z2) % n, w1 * pow(w2, -1, n) % n
    assert (1 + z * n) * pow(w, n, n * n) % (n * n) == pow(c, d, n * n)
    x = pow(d, -1, n)  # x d + y n = 1
    y = (1 - x * d) // n
    assert x * z % n == message
    assert pow(w, x, n) * pow(c, y, n) % n == unit


def test_answers_are_distributed_alike_whatever_the_plaintext(private):
    """z and w of two very different plaintexts in sixteen bins each: no statistic of them tells which is which."""
    public, packing = private.public, Packing(clip=1.0, bits=16, max_terms=1)
    n, size = public.n, -(-public.bits // 8)

    def bins(value):
        found = []
        for _ in range(150):
            _, proof = public.encrypt_integers_and_prove([value], packing)
            z, w = proof[-2 * size : -size], proof[-size:]
            found.append([int.from_bytes(answer, "big") * 16 // n for answer in (z, w)])
        return np.array(found)

    low, high = bins(-(2**15)), bins(2**15 - 1)
    for answer in range(2):
        counts = np.array([np.bincount(x[:, answer], minlength=16) for x in (low, high)], dtype=float)
        expected = counts.sum(axis=0) / 2
        chi_square = ((counts - expected) ** 2 / np.maximum(expected, 1e-9)).sum()
        assert chi_square < 66  # 15 degrees of freedom: exceeded once in 5e7 runs
