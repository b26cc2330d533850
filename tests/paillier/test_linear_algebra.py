"""Plain matrices times encrypted vectors: exact against numpy, refused where they would wrap around n."""

import math
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medcrypt.errors import CapacityError, FormatError, InvalidCiphertextError
from medcrypt.paillier import linear_algebra as la
from medcrypt.paillier import multiexponentiation
from medcrypt.paillier.arithmetic import Group
from medcrypt.paillier.multiexponentiation import products_by_key, products_of_powers

N = (2**89 - 1) * (2**107 - 1)


def plain_products(bases, exponents, modulus):
    return [
        math.prod(pow(x, int(e), modulus) for x, e in zip(bases, row, strict=True)) % modulus
        for row in exponents
    ]


# Products of powers


@given(data=st.data(), rows=st.integers(0, 9), columns=st.integers(0, 12), bits=st.integers(0, 62))
def test_products_of_powers_are_those_of_python(data, rows, columns, bits):
    entries = st.integers(-(2**bits), 2**bits) | st.sampled_from([0, 1, -1, 2**bits, -(2**bits)])
    exponents = data.draw(hnp.arrays(np.int64, (rows, columns), elements=entries))
    bases = data.draw(st.lists(st.integers(1, N * N - 1), min_size=columns, max_size=columns))
    computed = products_of_powers(Group(N).residues(bases), exponents)
    assert list(computed) == plain_products(bases, exponents, N * N)


@pytest.mark.parametrize("tables", [True, False])
@pytest.mark.parametrize("window", [1, 2, 5, 8])
@pytest.mark.parametrize("shape", [(1, 40), (30, 3), (9, 9)])
def test_both_ways_compute_the_same(monkeypatch, tables, window, shape):
    rng = np.random.default_rng(7)
    exponents = rng.integers(-1000, 1000, shape)
    bases = [int(x) + 2 for x in rng.integers(1 << 60, size=shape[1])]
    plan = multiexponentiation._Plan(window, -(-10 // window), tables)
    monkeypatch.setattr(multiexponentiation, "_cheapest", lambda *_: plan)
    monkeypatch.setattr(multiexponentiation, "_CHUNK", 16)
    assert list(products_of_powers(Group(N).residues(bases), exponents)) == plain_products(
        bases, exponents, N * N
    )


def test_few_inputs_use_tables_and_few_rows_use_buckets():
    assert multiexponentiation._cheapest(4, 1000, 4000, 16).tables
    assert not multiexponentiation._cheapest(4000, 1, 4000, 16).tables


def test_a_base_without_inverse_is_refused_for_negative_exponents():
    with pytest.raises(ValueError, match="invertible"):
        products_of_powers(Group(N).residues([2**89 - 1, 2]), np.array([[1, -1]]))


@given(keys=st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_residues_of_equal_key_are_multiplied(keys):
    bases = [3 + i for i in range(len(keys))]
    expected = {
        k: math.prod(b for b, c in zip(bases, keys, strict=True) if c == k) % N**2 for k in sorted(set(keys))
    }
    computed = products_by_key(Group(N).residues(bases), np.array(keys))
    assert list(computed) == list(expected.values())


# Matrices

small = st.integers(-127, 127)


@given(data=st.data(), m=st.integers(0, 4), k=st.integers(0, 5), t=st.none() | st.integers(0, 3))
def test_products_are_those_of_numpy(private, data, m, k, t):
    x = data.draw(hnp.arrays(np.int64, (k,) if t is None else (k, t), elements=small))
    matrix = data.draw(hnp.arrays(np.int64, (m, k), elements=st.integers(-(2**40), 2**40)))
    product = matrix @ la.encrypt_integers(private.public, x, bits=8)
    decrypted = la.decrypt_integers(private, product)
    assert decrypted.tolist() == (matrix.astype(object) @ x.astype(object)).tolist()
    assert decrypted.shape == product.shape


@given(data=st.data(), shape=st.sampled_from([(4,), (2, 3), (3, 1, 2)]))
def test_sums_are_those_of_numpy(private, data, shape):
    x = data.draw(hnp.arrays(np.int64, shape, elements=small))
    encrypted = la.encrypt_integers(private, x, bits=8)
    for axis in (None, *range(-len(shape), len(shape))):
        assert la.decrypt_integers(private, encrypted.sum(axis)).tolist() == x.sum(axis=axis).tolist()


def test_sums_along_missing_or_empty_axes_are_refused(private):
    encrypted = la.encrypt_integers(private, np.zeros((2, 3), int), bits=8)
    for axis in (2, -3):
        with pytest.raises(ValueError, match="axis"):
            encrypted.sum(axis)
    with pytest.raises(ValueError, match="nothing"):
        la.encrypt_integers(private, np.zeros((0, 3), int)).sum(0)


@given(a=hnp.arrays(np.int64, 3, elements=small), b=hnp.arrays(np.int64, 3, elements=small), k=small)
def test_operators_are_those_of_numpy(private, a, b, k):
    x, y = (la.encrypt_integers(private, values, bits=8) for values in (a, b))
    for computed, expected in [
        (x + y, a + b),
        (x - y, a - b),
        (-x, -a),
        (x * k, a * k),
        (np.int64(k) * x, k * a),
        (x + b, a + b),
        (b + x, a + b),
        (x - b, a - b),
        (b - x, b - a),
        (x + k, a + k),
        (k - x, k - a),
        (x.rerandomize(), a),
        (x.rerandomize(short=True), a),
    ]:
        assert la.decrypt_integers(private, computed).tolist() == expected.tolist()


def test_a_linear_model_on_real_numbers(private):
    rng = np.random.default_rng(3)
    weights, bias, x = rng.normal(size=(3, 20)), rng.normal(size=3), rng.normal(size=20)
    encrypted = la.encrypt(private.public, x, clip=8.0, bits=32)
    scores = la.matmul(weights, encrypted, clip=6.0, bits=24).plus(bias, clip=10.0).rerandomize()
    # 20 products, each off by half a step of the weights times |x| and of the inputs times |w|.
    allowed = 20 * (8.0 * 6.0 / 2**23 / 2 + 6.0 * 8.0 / 2**31 / 2) + 1e-9
    assert np.abs(la.decrypt(private, scores) - (weights @ x + bias)).max() < allowed
    assert not np.allclose(la.decrypt(private, scores), weights @ x)


def test_exact_steps_decrypt_exactly(private):
    encrypted = la.encrypt(private, [1.0, -1.0, 0.0], clip=1.0, bits=8)
    assert la.decrypt(private, encrypted).tolist() == pytest.approx([1.0, -1.0, 0.0], abs=1e-15)


def test_a_dot_product_has_no_dimension(private):
    product = la.dot([1, 2, 3], la.encrypt_integers(private, [4, 5, 6]))
    assert product.shape == ()
    assert int(la.decrypt_integers(private, product)) == 32
    with pytest.raises(ValueError, match="two vectors"):
        la.dot([[1, 2, 3]], la.encrypt_integers(private, [4, 5, 6]))
    with pytest.raises(TypeError):
        len(product)


# Capacity


def test_the_bound_is_tracked_and_sufficient(private):
    edge = la.encrypt_integers(private, [127, -127, 127], bits=8)
    assert edge.bound == 127
    product = np.array([[3, -3, 3], [1, 0, 0]]) @ edge
    assert product.bound == 9 * 127
    assert la.decrypt_integers(private, product).tolist() == [9 * 127, 127]
    assert (product + 5).bound == 9 * 127 + 5
    assert (-2 * product).bound == 18 * 127
    assert product.sum().bound == 18 * 127
    assert (product + product).bound == 18 * 127


def test_what_could_wrap_around_n_is_refused_before(private, monkeypatch):
    n = private.public.n
    encrypted = la.encrypt_integers(private, [1], bits=2)
    largest = encrypted * (n // 2)
    assert la.decrypt_integers(private, largest).tolist() == [n // 2]
    assert la.decrypt_integers(private, -largest).tolist() == [-(n // 2)]
    monkeypatch.setattr(Group, "power", lambda *_: pytest.fail("computed"))
    monkeypatch.setattr(Group, "multiply", lambda *_: pytest.fail("computed"))
    monkeypatch.setattr(Group, "conceal", lambda *_: pytest.fail("computed"))
    for operation in (
        lambda: encrypted * (n // 2 + 1),
        lambda: largest + largest,
        lambda: largest + 1,
        lambda: np.array([[2]]) @ largest,
        lambda: la.EncryptedScalars(private.public, [1] * 2, (2,), bound=n // 2).sum(),
        lambda: la.EncryptedScalars(private.public, [], (0,), bound=n // 2 + 1),
    ):
        with pytest.raises(CapacityError):
            operation()


def test_a_declared_clip_hides_the_entries(private):
    x = la.encrypt_integers(private, [1, 2], bits=8)
    bounds = {la.matmul(np.array([m]), x, clip=100).bound for m in ([0, 0], [1, -1], [100, 100])}
    assert bounds == {2 * 100 * 127}
    reals = [la.matmul(np.array([m]), x, clip=1.0, bits=8) for m in ([0.0, 0.0], [1.0, -0.5])]
    assert len({(product.bound, product.step) for product in reals}) == 1
    assert len({x.plus(b, clip=9).bound for b in (0, 5, -9)}) == 1
    for operation in (
        lambda: la.matmul(np.array([[101, 0]]), x, clip=100),
        lambda: la.matmul(np.array([[1.5, 0]]), x, clip=1.0),
        lambda: x.plus(10, clip=9),
    ):
        with pytest.raises(ValueError, match="clip"):
            operation()


def test_an_all_zero_row_is_visible_until_re_randomised(private):
    product = np.zeros((1, 2), int) @ la.encrypt_integers(private, [1, 2])
    assert product.ciphertexts == (1,)
    assert product.rerandomize().ciphertexts != (1,)


# Bad input


def test_operands_that_do_not_belong_together_are_refused(private, stranger):
    x = la.encrypt_integers(private, [1, 2], context=b"a")
    for other, match in [
        (la.encrypt_integers(private, [1, 2, 3], context=b"a"), "shapes"),
        (la.encrypt_integers(private, [1, 2]), "contexts"),
        (la.encrypt(private, [1.0, 2.0], clip=8.0, context=b"a"), "steps"),
    ]:
        with pytest.raises(ValueError, match=match):
            x + other
    with pytest.raises(InvalidCiphertextError):
        x + la.encrypt_integers(stranger, [1, 2], context=b"a")
    for decrypt in (la.decrypt, la.decrypt_integers):
        with pytest.raises(InvalidCiphertextError):
            decrypt(stranger, x)


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x * 0.5,
        lambda x: x * True,
        lambda x: x * x,
        lambda x: x * np.array([1, 2]),
        lambda x: np.array([["a", "b"]]) @ x,
        lambda x: np.array([[True, False]]) @ x,
        lambda x: x @ np.array([1, 2]),
        lambda x: x / 2,
        lambda x: x + "1",
        lambda x: x + 1j,
        lambda x: x == x,
        lambda x: x < 1,
        bool,
        list,
        hash,
        np.asarray,
        lambda x: la.matmul([1, 2], [3, 4]),
        lambda x: la.encrypt_integers(x.public, [1.0]),
        lambda x: la.matmul([1, 2], x, clip="3"),
        lambda x: x.plus([1, 2], clip="3"),
        lambda x: la.EncryptedScalars(x.public, [1.5], (1,), bound=1),
        lambda x: la.EncryptedScalars(x.public, [1], (1.0,), bound=1),
        lambda x: la.EncryptedScalars(x.public, [1], (1,), bound=1, context=5),
    ],
)
def test_wrong_types_are_refused(private, operation):
    with pytest.raises(TypeError):
        operation(la.encrypt_integers(private, [1, 2]))


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: np.ones((2, 3), int) @ x,
        lambda x: np.ones((2, 2, 2), int) @ x,
        lambda x: np.array(3) @ x,
        lambda x: np.ones((1, 2)) @ x,
        lambda x: np.array([[1 << 63, 0]], dtype=np.uint64) @ x,
        lambda x: np.array([[-(1 << 63), 0]]) @ x,
        lambda x: la.matmul([[math.nan, 0.0]], x, clip=1.0),
        lambda x: x + np.arange(3),
        lambda x: x + math.nan,
        lambda x: x + math.inf,
        lambda x: la.encrypt_integers(x.public, [128], bits=8),
        lambda x: la.encrypt_integers(x.public, [-128], bits=8),
        lambda x: la.encrypt_integers(x.public, [1], bits=65),
        lambda x: la.encrypt(x.public, [2.0], clip=1.0),
        lambda x: la.EncryptedScalars(x.public, [1], (2,), bound=1),
        lambda x: la.EncryptedScalars(x.public, [1], (1,), bound=-1),
        lambda x: la.EncryptedScalars(x.public, [1], (1,), bound=1, step=0.0),
        lambda x: la.EncryptedScalars(x.public, [1], (1,), bound=1, step=math.nan),
        lambda x: la.EncryptedScalars(x.public, [1], (1,), bound=1, context=bytes(256)),
        lambda x: la.matmul([1, 2], x, clip=math.inf),
        lambda x: la.matmul([1, 2], x, clip=math.nan),
        lambda x: la.matmul([0, 0], x, clip=-1),
        lambda x: x.plus([1, 2], clip=math.inf),
        lambda x: x.plus([1, 2], clip=math.nan),
        lambda x: x.plus([0, 0], clip=-1),
        lambda x: x.plus(np.full(2, np.finfo(np.longdouble).max)),
    ],
)
def test_wrong_values_are_refused(private, operation):
    with pytest.raises(ValueError):  # noqa: PT011 - each for its own reason
        operation(la.encrypt_integers(private, [1, 2]))


def test_integers_that_are_no_ciphertexts_are_refused(private, stranger):
    n = private.public.n
    for c in (0, n, n * n, n * n + 1, private.p, -1):
        with pytest.raises(InvalidCiphertextError, match="unit"):
            la.EncryptedScalars(private.public, [1, c], (2,), bound=1)
    with pytest.raises(InvalidCiphertextError, match="another key"):
        la.EncryptedScalars(private.public, la.encrypt_integers(stranger, [1]).residues, (1,), bound=1)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.uint8, np.int64])
def test_plain_numbers_of_every_dtype_are_added(private, dtype):
    x = la.encrypt_integers(private, [1, -2])
    assert la.decrypt_integers(private, x + np.array([3, 5], dtype)).tolist() == [4, 3]


@pytest.mark.parametrize(
    ("matrix", "vector"),
    [
        (np.zeros((2, 0), int), []),
        (np.zeros((0, 3), int), [1, 2, 3]),
        (np.zeros(0, int), []),
        (np.ones((2, 3), int), np.zeros((3, 0), int)),
        (-np.ones((2, 3), int), np.zeros((3, 0), int)),
        ([[-7]], [-5]),
        ([[2**63 - 1, -(2**63 - 1)]], [-3, 3]),
    ],
)
def test_edge_shapes_and_integers_are_those_of_python(private, matrix, vector):
    x = la.encrypt_integers(private, np.asarray(vector, int))
    expected = np.asarray(matrix, dtype=object) @ np.asarray(vector, dtype=object)
    product = la.decrypt_integers(private, la.matmul(matrix, x))
    assert product.shape == np.shape(expected)
    assert product.ravel().tolist() == np.ravel(expected).tolist()


def test_a_value_beyond_its_bound_is_noticed(private):
    x = la.encrypt_integers(private, [100], bits=8)
    lying = la.EncryptedScalars(x.public, x.ciphertexts, (1,), bound=99)
    with pytest.raises(InvalidCiphertextError, match="bound"):
        la.decrypt_integers(private, lying)


# Bytes


def test_bytes_round_trip(private):
    x = la.encrypt(private, [[1.5], [-2.5]], clip=4.0, context=b"round 7")
    data = x.to_bytes()
    assert len(data) == x.nbytes
    for view in (data, bytearray(data), memoryview(data)):
        read = la.EncryptedScalars.from_bytes(view, private.public, context=b"round 7")
        assert read.to_bytes() == data
        assert (read.shape, read.bound, read.step) == (x.shape, x.bound, x.step)
        assert la.decrypt(private, read).tolist() == la.decrypt(private, x).tolist()
    assert pickle.loads(pickle.dumps(x)).to_bytes() == data
    with pytest.raises(InvalidCiphertextError, match="context"):
        la.EncryptedScalars.from_bytes(data, private.public, context=b"round 8")


def test_every_cut_and_extension_is_refused(private):
    data = la.encrypt_integers(private, [1, 2], context=b"x").to_bytes()
    for cut in range(len(data)):
        with pytest.raises(FormatError):
            la.EncryptedScalars.from_bytes(data[:cut], private.public)
    with pytest.raises(FormatError):
        la.EncryptedScalars.from_bytes(data + b"\0", private.public)


def test_malformed_headers_and_ciphertexts_are_refused(private, stranger):
    public = private.public
    data = la.encrypt_integers(private, [1, 2]).to_bytes()
    bound_at, body_at = 46 + 8 + 1, 46 + 8 + 1 + 64

    def changed(at, new):
        return data[:at] + new + data[at + len(new) :]

    for at, new in [
        (0, b"MCPA"),
        (4, b"\2"),
        (5, struct.pack(">d", 0.0)),
        (5, struct.pack(">d", -1.0)),
        (5, struct.pack(">d", math.inf)),
        (5, struct.pack(">d", math.nan)),
        (45, b"\x21"),
        (46, struct.pack(">Q", 3)),
        (46, struct.pack(">Q", 1 << 62)),
        (54, b"\xff"),
        (bound_at, (public.n // 2 + 1).to_bytes(64, "big")),
    ]:
        with pytest.raises(FormatError):
            la.EncryptedScalars.from_bytes(changed(at, new), public)
    for c in (0, public.n, public.n**2, private.p * 3, 256**128 - 1):
        with pytest.raises(InvalidCiphertextError, match="unit"):
            la.EncryptedScalars.from_bytes(changed(body_at, c.to_bytes(128, "big")), public)
    with pytest.raises(InvalidCiphertextError, match="key"):
        la.EncryptedScalars.from_bytes(data, stranger.public)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"])
def test_subtraction_does_not_wrap_as_numpy_does(private, dtype):
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    x = la.encrypt_integers(private, [10, 20], bits=8)
    for values in (
        np.array([1, 2], dtype),
        np.array([least, least // 2], dtype),
        np.array([most // 2, 3], dtype),
    ):
        wanted = [int(a) - int(b) for a, b in zip((10, 20), values, strict=True)]
        if max(map(abs, wanted)) < 2**63:
            assert la.decrypt_integers(private, x - values).tolist() == wanted
            assert la.decrypt_integers(private, values - x).tolist() == [-w for w in wanted]


def test_what_a_mask_hides_is_not_encrypted(private):
    masked = np.ma.array([1, 99], mask=[False, True])
    x = la.encrypt_integers(private, [1, 2], bits=8)
    for work in (
        lambda: la.encrypt_integers(private, masked, bits=16),
        lambda: x.plus(masked),
        lambda: la.matmul(masked, x),
    ):
        with pytest.raises(TypeError, match="masked"):
            work()


def test_masks_are_wiped_after_use(private, monkeypatch):
    kept = []
    draw = type(private.public).masks

    def keep(self, *arguments):
        kept.append(draw(self, *arguments))
        return kept[-1]

    monkeypatch.setattr(type(private.public), "masks", keep)
    la.encrypt_integers(private.public, [5], bits=8)
    assert kept
    assert not any(mask.pairs.any() for mask in kept)
