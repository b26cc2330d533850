"""Encrypted arrays: the additive laws, capacity, refusals, and the format."""

import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medcrypt.errors import CapacityError, FormatError, InvalidCiphertextError, MedcryptError
from medcrypt.paillier import EncryptedArray, Packing, PrivateKey, PublicKey, add, generate_keypair
from medcrypt.paillier.proofs.residues import jacobi
from reference import paillier as twin

PACKING = Packing(clip=8.0, bits=32, max_terms=10)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)


def integers(shape, bits=32):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    return hnp.arrays(np.int64, shape, elements=st.integers(low, high) | st.sampled_from([low, high]))


def textbook_sum(private, encrypted):
    """Decrypt with the twin alone."""
    key, packing = twin.Key(private.p, private.q), encrypted.packing
    layout = twin.Layout(packing.clip, packing.bits, packing.max_terms)
    plaintexts = [twin.decrypt(key, c) for c in encrypted.ciphertexts]
    return twin.unpack(layout, key.n, plaintexts, encrypted.size, encrypted.terms)


# Laws


@given(shape=SHAPES, data=st.data())
def test_weighted_sums_equal_numpys(private, shape, data):
    public = private.public
    a, b, c = (data.draw(integers(shape)) for _ in range(3))
    x, y, z = (public.encrypt_integers(array, PACKING) for array in (a, b, c))
    total = x + 2 * y + z * 3
    assert total.shape == shape
    assert total.terms == 6
    expected = a + 2 * b + 3 * c
    decrypted = private.decrypt_integers(total)
    assert decrypted.dtype == np.int64
    assert decrypted.shape == shape
    assert np.array_equal(decrypted, expected)
    assert textbook_sum(private, total) == expected.ravel().tolist()
    assert np.array_equal(private.decrypt_integers(add([x, y, z, y, z, z])), expected)


@given(shape=SHAPES, data=st.data())
def test_what_the_twin_encrypts_we_decrypt(private, shape, data):
    values = data.draw(integers(shape))
    key = twin.Key(private.p, private.q)
    plaintexts = twin.pack(twin.Layout(8.0, 32, 10), key.n, values.ravel().tolist())
    ciphertexts = [twin.encrypt(key, m, 2 + i) for i, m in enumerate(plaintexts)]
    encrypted = EncryptedArray(private.public, ciphertexts, shape, PACKING)
    assert np.array_equal(private.decrypt_integers(encrypted), values)


@given(
    values=hnp.arrays(
        st.sampled_from(
            [np.float16, np.float32, np.float64, np.dtype(">f4"), np.dtype(">f8"), np.int8, np.uint8]
        ),
        SHAPES,
        elements={"min_value": 0, "max_value": 7},
    )
)
def test_a_sum_of_reals_errs_by_half_a_step_a_term(private, values):
    public = private.public
    total = public.encrypt(values, PACKING) + private.encrypt(values, PACKING)
    decrypted = private.decrypt(total)
    assert decrypted.dtype == np.float64
    assert decrypted.shape == values.shape
    step = PACKING.clip / PACKING.levels
    assert np.all(np.abs(decrypted - 2.0 * values.astype(np.float64)) <= step + 1e-14)


def test_any_memory_layout_encrypts_the_same_values(private):
    base = np.arange(24.0).reshape(2, 3, 4) / 8
    read_only = base.copy()
    read_only.flags.writeable = False
    for array in (
        np.asfortranarray(base),
        base[::-1, :, ::-1],
        base.transpose(2, 0, 1),
        read_only,
        base.astype(">f2"),
    ):
        assert np.allclose(private.decrypt(private.encrypt(array, PACKING)), array.astype(float), atol=1e-8)
    assert np.allclose(private.decrypt(private.encrypt(base.tolist(), PACKING)), base, atol=1e-8)


def test_the_sum_of_a_million_values_equals_numpys_including_both_edges(private):
    packing = Packing(clip=1.0, bits=8, max_terms=2)
    parts = np.random.default_rng(7).integers(-128, 128, size=(2, 1_000_000))
    parts[:, 0], parts[:, -1] = -128, 127
    total = private.encrypt_integers(parts[0], packing) + private.public.encrypt_integers(parts[1], packing)
    assert np.array_equal(private.decrypt_integers(total), parts.sum(axis=0))


def test_the_sum_of_floats_is_the_sum_of_the_rounded_floats(private):
    values = np.random.default_rng(3).uniform(-8, 8, size=(5, 50))
    values[0, :2] = -8, 8
    total = add([private.encrypt(row, PACKING) for row in values])
    expected = sum(PACKING.quantise(row) for row in values)
    assert np.array_equal(private.decrypt_integers(total), expected)
    assert np.array_equal(private.decrypt(total), PACKING.dequantise(expected))


@pytest.mark.parametrize("bits", [2048, 3072])
def test_real_key_lengths_work_on_every_path(vector_keys, bits, kernel_path, monkeypatch):
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    # Made again: a key keeps the kernels that it met first.
    private = PrivateKey._of_primes(vector_keys[bits].p, vector_keys[bits].q)
    received = PublicKey.from_bytes(private.public.to_bytes())
    values = np.linspace(-8, 8, 90)
    uploads = [private.public.encrypt(values, PACKING), private.encrypt(values, PACKING)]
    again = [EncryptedArray.from_bytes(upload.to_bytes(), received) for upload in uploads]
    assert np.allclose(private.decrypt(add(again)), 2 * values, atol=1e-8)
    one = received.encrypt(8.0, PACKING)
    assert len(one.ciphertexts) == 1
    assert private.decrypt(one) == 8.0


def test_an_upload_takes_nine_bytes_a_value_at_3072_bits(vector_keys):
    public = vector_keys[3072].public
    for bits, limit in ((32, 9.1), (16, 5.1)):
        packing = Packing(bits=bits, max_terms=10)
        count = 1_000_000
        fake = EncryptedArray(public, [1] * packing.ciphertexts(count, 3072), (count,), packing)
        assert fake.nbytes == len(fake.to_bytes())
        assert fake.nbytes / count <= limit


# Scalars, empty arrays, numpy's operators


def test_scalars_and_empty_arrays_are_arrays(private):
    scalar = private.encrypt(np.float32(1.5), PACKING)
    assert scalar.shape == ()
    assert (scalar.ndim, scalar.size, len(scalar.ciphertexts)) == (0, 1, 1)
    assert private.decrypt(scalar + scalar).shape == ()
    assert float(private.decrypt(scalar + scalar)) == pytest.approx(3.0)
    for shape in ((0,), (3, 0), (0, 2, 5)):
        empty = private.encrypt(np.empty(shape), PACKING)
        total = EncryptedArray.from_bytes((2 * (empty + empty)).to_bytes(), private.public).rerandomize()
        assert total.ciphertexts == ()
        assert private.decrypt(total).shape == shape


@pytest.mark.parametrize("weight", [3, np.int64(3), np.uint8(3), np.array(3)])
def test_integer_weights_of_every_type_work_on_both_sides(private, weight):
    encrypted = private.encrypt_integers([1, -2], PACKING)
    for product in (encrypted * weight, weight * encrypted):
        assert isinstance(product, EncryptedArray)
        assert product.terms == 3
        assert private.decrypt_integers(product).tolist() == [3, -6]


def test_weight_zero_gives_zero(private):
    nothing = 0 * private.encrypt_integers([1, -2], PACKING)
    assert nothing.terms == 0
    assert private.decrypt_integers(nothing).tolist() == [0, 0]
    assert private.decrypt_integers(nothing + private.encrypt_integers([5, 6], PACKING)).tolist() == [5, 6]


@pytest.mark.parametrize(
    "weight", [1.5, 2.0, np.float64(2), "2", None, True, np.bool_(True), [2], np.array([2, 3])]
)
def test_weights_that_are_no_integers_are_refused(private, weight):
    encrypted = private.encrypt([1.0], PACKING)
    with pytest.raises(TypeError):
        encrypted * weight
    with pytest.raises(TypeError):
        weight * encrypted


def test_negative_weights_are_refused(private):
    with pytest.raises(ValueError, match="a weight must not be negative"):
        private.encrypt([1.0], PACKING) * -1


@pytest.mark.parametrize("other", [0, 1.0, np.ones(1), "x", None])
def test_only_encrypted_arrays_are_added(private, other):
    encrypted = private.encrypt([1.0], PACKING)
    with pytest.raises(TypeError):
        encrypted + other
    with pytest.raises(TypeError):
        other + encrypted
    with pytest.raises(TypeError):
        add([encrypted, other])


# Capacity


def test_exhausted_headroom_is_refused_before_anything_changes(private, monkeypatch):
    packing = Packing(max_terms=4)
    a, b = private.encrypt([8.0], packing) * 2, private.encrypt([8.0], packing) * 3
    before = (a.ciphertexts, a.terms, b.ciphertexts, b.terms)
    with monkeypatch.context() as patch:
        patch.setattr("medcrypt.paillier.arithmetic.Group.multiply", lambda *_: pytest.fail("computed first"))
        patch.setattr("medcrypt.paillier.arithmetic.Group.power", lambda *_: pytest.fail("computed first"))
        for exceed in (lambda: a + b, lambda: a * 3, lambda: 2 * b, lambda: add([a, a, a])):
            with pytest.raises(CapacityError, match="room for 4"):
                exceed()
    assert (a.ciphertexts, a.terms, b.ciphertexts, b.terms) == before
    assert private.decrypt(a + a).round(6).tolist() == [32.0]


@pytest.mark.parametrize("edge", [8.0, -8.0])
@pytest.mark.parametrize("max_terms", [1, 2, 3, 4, 7, 8, 9])
def test_the_last_allowed_term_still_fits(private, edge, max_terms):
    packing = Packing(max_terms=max_terms)
    values = np.full(packing.slots(512) + 1, edge)
    full = private.encrypt(values, packing) * max_terms
    assert np.allclose(private.decrypt(full), max_terms * edge, rtol=1e-9, atol=0)
    with pytest.raises(CapacityError):
        full + private.encrypt(values, packing)


# Refusals


def test_arrays_that_do_not_match_are_not_added(private, stranger):
    a = private.encrypt([1.0, 2.0], PACKING)
    with pytest.raises(InvalidCiphertextError, match="different keys"):
        a + stranger.encrypt([1.0, 2.0], PACKING)
    for other, what in [
        (private.encrypt([1.0], PACKING), "shapes"),
        (private.encrypt([[1.0, 2.0]], PACKING), "shapes"),
        (private.encrypt([1.0, 2.0], Packing(clip=4.0)), "packings"),
        (private.encrypt([1.0, 2.0], Packing(max_terms=9)), "packings"),
        (private.encrypt([1.0, 2.0], PACKING, context=b"x"), "contexts"),
    ]:
        with pytest.raises(ValueError, match=what):
            a + other
        with pytest.raises(ValueError, match=what):
            add([a, a, other])


def test_nothing_cannot_be_added():
    with pytest.raises(ValueError, match="nothing"):
        add([])


def test_another_key_does_not_decrypt(private, stranger):
    encrypted = private.encrypt([1.0], PACKING)
    for decrypt in (stranger.decrypt, stranger.decrypt_integers):
        with pytest.raises(InvalidCiphertextError, match="another key"):
            decrypt(encrypted)


def test_only_encrypted_arrays_are_decrypted(private):
    with pytest.raises(TypeError, match="EncryptedArray"):
        private.decrypt(np.zeros(3))


def test_a_forged_sum_out_of_range_is_refused_at_decryption(private):
    """Whoever adds can put anything into a slot; decryption tells what cannot be a sum of so many terms."""
    public = private.public
    for plaintext in (1 << 500, 1 << 33, public.n - 1):
        forged = EncryptedArray(public, [public.raw_encrypt(plaintext)], (1,), PACKING)
        with pytest.raises(InvalidCiphertextError):
            private.decrypt(forged)


def test_ciphertexts_outside_the_group_are_refused_at_decryption_too(private):
    n = private.public.n
    for c in (0, n, n * n, private.p, 3 * private.q, -1):
        with pytest.raises(InvalidCiphertextError):
            private.decrypt(EncryptedArray(private.public, [c], (1,), PACKING))


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"shape": (2, 20)}, ValueError),
        ({"shape": (-1,)}, ValueError),
        ({"shape": (0, 2**50)}, ValueError),
        ({"shape": (1,) * 33}, ValueError),
        ({"terms": -1}, ValueError),
        ({"terms": 11}, CapacityError),
        ({"context": bytes(256)}, ValueError),
        ({"ciphertexts": []}, ValueError),
        ({"shape": (1.0,)}, TypeError),
        ({"shape": 1}, TypeError),
        ({"terms": 1.5}, TypeError),
        ({"terms": True}, TypeError),
        ({"context": "round 7"}, TypeError),
        ({"context": 5}, TypeError),
    ],
)
def test_fields_that_contradict_each_other_are_refused(public, fields, error):
    sound = {"ciphertexts": [1], "shape": (1,), "packing": PACKING}
    EncryptedArray(public, **sound)
    with pytest.raises(error):
        EncryptedArray(public, **(sound | fields))


def test_terms_of_numpy_do_not_wrap_around(public):
    array = EncryptedArray(public, [1], (1,), PACKING, terms=np.int64(4))
    with pytest.raises(CapacityError):
        array * 2**62


@pytest.mark.parametrize("bad", [1.5, "1", None, b"1"])
def test_ciphertexts_that_are_no_integers_are_a_type_error(private, bad):
    with pytest.raises(TypeError):
        private.decrypt(EncryptedArray(private.public, [bad], (1,), PACKING))


def test_bad_ciphertexts_are_noticed_by_the_first_operation(private, stranger):
    n = private.public.n
    for c in (0, n, n * n, n * n + 1, private.p, -1):
        for operation in (
            lambda a: a + a,
            lambda a: a * 2,
            lambda a: a.rerandomize(),
            lambda a: a.to_bytes(),
        ):
            with pytest.raises(InvalidCiphertextError):
                operation(EncryptedArray(private.public, [c], (1,), PACKING))
    elsewhere = stranger.encrypt([1.0], PACKING).residues
    with pytest.raises(InvalidCiphertextError, match="another key"):
        EncryptedArray(private.public, elsewhere, (1,), PACKING).to_bytes()


@pytest.mark.parametrize("bad", ["32 bits", None, 32, np.float64(8)])
def test_a_packing_is_needed(private, bad):
    for encrypt in (private.encrypt, private.encrypt_integers, private.encrypt_integers_and_prove):
        with pytest.raises(TypeError, match="Packing"):
            encrypt([1], bad)


def test_a_context_too_long_is_refused_at_encryption(public):
    with pytest.raises(ValueError, match="255"):
        public.encrypt([1.0], PACKING, context=bytes(256))


# Re-randomisation and leaks


@pytest.mark.parametrize("short", [False, True])
def test_rerandomising_changes_every_ciphertext_and_no_value(private, short):
    encrypted = private.encrypt(np.linspace(-8, 8, 40), PACKING, context=b"r")
    fresh = encrypted.rerandomize(short=short)
    assert not set(fresh.ciphertexts) & set(encrypted.ciphertexts)
    assert (fresh.shape, fresh.terms, fresh.context) == (encrypted.shape, encrypted.terms, b"r")
    assert np.array_equal(private.decrypt_integers(fresh), private.decrypt_integers(encrypted))


def test_rerandomising_uses_a_uniform_factor_unless_told_otherwise(private, monkeypatch):
    """A short exponent does not hide the operands from somebody who can take logarithms modulo p."""
    public = private.public
    encrypted = public.encrypt([1.0], PACKING)
    monkeypatch.setattr("medcrypt.paillier.encryption.random_units", lambda n, count: [5] * count)
    monkeypatch.setattr("medcrypt.paillier.encryption.random_exponents", lambda bits, count: [5] * count)
    (c,), n = encrypted.ciphertexts, public.n
    assert encrypted.rerandomize().ciphertexts == (c * pow(5, n, n * n) % n**2,)
    u = next(u for u in range(2, n) if jacobi(u, n) == -1)
    for bit in (0, 1):
        monkeypatch.setattr(
            "medcrypt.paillier.keys.random_exponents", lambda bits, count, bit=bit: [bit] * count
        )
        expected = c * pow(public.h, 5, n * n) * pow(u, bit * n, n * n) % n**2
        assert encrypted.rerandomize(short=True).ciphertexts == (expected,)


@pytest.mark.parametrize("mode", ["textbook", "short-exponent"])
def test_rerandomising_with_short_exponents_leaves_no_trace_of_the_jacobi_symbol(private, mode):
    """Everybody can compute the symbol of a ciphertext; it must say nothing about where that came from."""
    public, n = private.public, private.public.n
    encrypted = public.encrypt_integers(np.arange(14 * 200), Packing(bits=36), mode=mode)
    fresh = encrypted.rerandomize(short=True)
    before, after = ([jacobi(c % n, n) for c in array.ciphertexts] for array in (encrypted, fresh))
    assert set(before) == ({1} if mode == "short-exponent" else {-1, 1})
    assert 50 < after.count(1) < 150  # of 200: beyond seven standard deviations
    assert 50 < sum(x == y for x, y in zip(before, after, strict=True)) < 150
    assert np.array_equal(private.decrypt_integers(fresh), np.arange(14 * 200))


def test_encrypting_twice_never_repeats_a_ciphertext(private):
    arrays = [key.encrypt(np.zeros(60), PACKING) for key in (private, private.public) for _ in range(3)]
    ciphertexts = [c for array in arrays for c in array.ciphertexts]
    assert len(set(ciphertexts)) == len(ciphertexts)


def test_repr_shows_no_contents(private):
    encrypted = private.encrypt([[1.0, 2.0]], PACKING)
    short = private.public.fingerprint[:8].hex()
    assert repr(encrypted) == f"EncryptedArray(shape=(1, 2), terms=1/10, ciphertexts=1, key='{short}')"


def test_an_array_survives_pickling_through_its_own_format(private):
    encrypted = private.encrypt([1.0], PACKING, context=b"c")
    again = pickle.loads(pickle.dumps(encrypted))
    assert again.to_bytes() == encrypted.to_bytes()


# Bytes


@given(shape=SHAPES, context=st.binary(max_size=255), weight=st.integers(0, 10), data=st.data())
def test_bytes_round_trip_and_equal_the_twins(private, shape, context, weight, data):
    encrypted = private.public.encrypt_integers(data.draw(integers(shape)), PACKING, context=context) * weight
    blob = encrypted.to_bytes()
    assert len(blob) == encrypted.nbytes
    layout = twin.Layout(8.0, 32, 10)
    assert blob == twin.array_bytes(
        layout, private.public.n, list(encrypted.ciphertexts), shape, encrypted.terms, context
    )
    for buffer in (blob, bytearray(blob), memoryview(blob)):
        parsed = EncryptedArray.from_bytes(buffer, private.public)
        assert parsed.to_bytes() == blob
        assert (parsed.shape, parsed.terms, parsed.context, parsed.packing) == (
            shape,
            weight,
            context,
            PACKING,
        )


def header_bytes(encrypted):
    return encrypted.nbytes - len(encrypted.ciphertexts) * encrypted.public.ciphertext_bytes


def test_every_flipped_header_bit_is_refused_or_visible(private):
    """No two byte strings mean the same, so what is not refused says something else in clear.

    The fields that can change without a refusal are those that only a signature can vouch for.
    """
    encrypted = private.encrypt(np.ones((2, 3)), PACKING, context=b"round 7")
    blob = encrypted.to_bytes()
    survivors = set()
    for i in range(8 * header_bytes(encrypted)):
        changed = bytearray(blob)
        changed[i // 8] ^= 1 << (i % 8)
        try:
            parsed = EncryptedArray.from_bytes(changed, private.public)
        except (FormatError, InvalidCiphertextError):
            continue
        assert parsed.to_bytes() == changed
        fields = {
            "bits": parsed.packing.bits != 32,
            "max_terms": parsed.packing.max_terms != 10,
            "clip": parsed.packing.clip != 8.0,
            "terms": parsed.terms != 1,
            "shape": parsed.shape != (2, 3),
            "context": parsed.context != b"round 7",
        }
        assert sum(fields.values()) == 1
        survivors.update(name for name, changed_field in fields.items() if changed_field)
    assert survivors == {"bits", "max_terms", "clip", "terms", "shape", "context"}


def test_a_flipped_ciphertext_bit_gives_another_ciphertext(private):
    encrypted = private.encrypt([1.0], PACKING)
    for position in (-1, -64, -128):
        changed = bytearray(encrypted.to_bytes())
        changed[position] ^= 1
        try:
            parsed = EncryptedArray.from_bytes(changed, private.public)
        except InvalidCiphertextError:
            continue
        assert parsed.ciphertexts != encrypted.ciphertexts


def test_truncated_and_extended_arrays_are_refused(private):
    blob = private.encrypt(np.ones((2, 3)), PACKING, context=b"c").to_bytes()
    for cut in [*range(0, 90), len(blob) // 2, len(blob) - 1]:
        with pytest.raises(FormatError):
            EncryptedArray.from_bytes(blob[:cut], private.public)
    for extra in (b"\0", bytes(128), blob):
        with pytest.raises(FormatError):
            EncryptedArray.from_bytes(blob + extra, private.public)


@given(st.binary(max_size=400))
def test_random_bytes_are_refused(private, data):
    for prefix in (b"", b"MCPA\1", private.encrypt([], PACKING).to_bytes()[:63]):
        with pytest.raises(MedcryptError):
            EncryptedArray.from_bytes(prefix + data, private.public)


@pytest.mark.parametrize("data", [None, "MCPA", 5, [1]])
def test_what_is_no_bytes_is_a_type_error(public, data):
    with pytest.raises(TypeError):
        EncryptedArray.from_bytes(data, public)


def test_arrays_of_another_key_are_refused(private, stranger):
    blob = private.encrypt([1.0], PACKING).to_bytes()
    with pytest.raises(InvalidCiphertextError, match="another key"):
        EncryptedArray.from_bytes(blob, stranger.public)


def assembled(
    public, *, shape=(1,), terms=1, max_terms=10, bits=32, clip=8.0, context=b"", body=None, ndim=None
):
    """Build array bytes field by field, however wrong."""
    return b"".join(
        [
            b"MCPA\1",
            bytes([bits]),
            struct.pack(">QQd", max_terms, terms, clip),
            public.fingerprint,
            bytes([len(shape) if ndim is None else ndim]),
            struct.pack(f">{len(shape)}Q", *shape),
            bytes([len(context)]),
            context,
            (1).to_bytes(public.ciphertext_bytes, "big") if body is None else body,
        ]
    )


def test_the_field_by_field_bytes_are_sound(public):
    assert EncryptedArray.from_bytes(assembled(public), public).terms == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"shape": (2**63,)},
        {"shape": (2**32, 2**32)},
        {"shape": (0, 2**63), "body": b""},
        {"shape": (10**6,)},
        {"shape": (0,)},
        {"shape": (1,) * 33},
        {"ndim": 255},
        {"terms": 11},
        {"terms": 2**64 - 1},
        {"max_terms": 0},
        {"max_terms": 2**64 - 1},
        {"bits": 0},
        {"bits": 1},
        {"bits": 54},
        {"bits": 255},
        {"clip": float("nan")},
        {"clip": float("inf")},
        {"clip": -8.0},
        {"clip": 0.0},
        {"clip": 5e-324},
        {"body": b""},
        {"body": bytes(127)},
        {"body": bytes(129)},
    ],
)
def test_malformed_headers_are_refused(public, fields):
    with pytest.raises(FormatError):
        EncryptedArray.from_bytes(assembled(public, **fields), public)


def test_a_packing_too_wide_for_the_key_is_refused(vector_keys):
    public = generate_keypair(64, insecure=True)[0]
    body = (1).to_bytes(16, "big")
    EncryptedArray.from_bytes(assembled(public, max_terms=2**31, body=body), public)
    with pytest.raises(FormatError, match="length does not match"):
        EncryptedArray.from_bytes(assembled(public, shape=(2,), max_terms=2**31, body=body), public)


def test_ciphertexts_outside_the_group_are_refused(private):
    public = private.public
    n, width = public.n, public.ciphertext_bytes
    bad = [
        0,
        n,
        2 * n,
        n * n,
        n * n + 1,
        n * n - n,
        private.p,
        private.q**2,
        12345 * private.p,
        256**width - 1,
    ]
    for c in bad:
        for neighbours in ([], [1], [n + 1, n * n - 1]):
            ciphertexts = [*neighbours, c, *neighbours]
            body = b"".join(x.to_bytes(width, "big") for x in ciphertexts)
            shape = (PACKING.slots(512) * len(ciphertexts),)
            with pytest.raises(InvalidCiphertextError, match="unit"):
                EncryptedArray.from_bytes(assembled(public, shape=shape, body=body), public)


def test_the_largest_unit_is_taken_and_decrypts_like_the_textbook(private):
    """n^2 - 1 is a unit: an encryption of zero under r = -1, which packs below the offset of one term."""
    public = private.public
    body = (public.n**2 - 1).to_bytes(public.ciphertext_bytes, "big")
    parsed = EncryptedArray.from_bytes(assembled(public, body=body), public)
    assert private.decrypt_integers(parsed).tolist() == textbook_sum(private, parsed) == [-(2**31)]


def test_a_private_key_that_was_read_back_decrypts(private):
    encrypted = private.encrypt([1.0, -1.0], PACKING)
    assert PrivateKey.from_bytes(private.to_bytes(), insecure=True).decrypt(encrypted).round(6).tolist() == [
        1.0,
        -1.0,
    ]
