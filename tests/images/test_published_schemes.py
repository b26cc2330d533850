"""Published schemes against their descriptions, followed pixel by pixel, and their own inverses."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from medcrypt.images import statistics
from medcrypt.images.chaotic import schemes
from medcrypt.images.chaotic.schemes import cat, dna, hyperchaos, logistic_sine, two_bytes
from medcrypt.images.chaotic.schemes.feedback import _baker

IMAGES = hnp.arrays("u1", hnp.array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=20))
ANY_SHAPE = {
    "YenGuo": schemes.YenGuo.random,
    "ChenMaoChui": schemes.ChenMaoChui.random,
    "ChenMaoChui, 3 rounds": lambda: schemes.ChenMaoChui.random(rounds=3),
    "GaoChen": schemes.GaoChen.random,
    "Ye": schemes.Ye.random,
    "HuaJinXuHuang": schemes.HuaJinXuHuang.random,
    "HuaJinXuHuang, 1 round": lambda: schemes.HuaJinXuHuang.random(rounds=1),
}


def photo(side=64):
    """A smooth picture with a black border, as a slice has."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    body = 150 + 60 * np.sin(9 * x) * np.cos(7 * y) + 30 * x
    return np.where(x * x + y * y < 0.2, body, 0).astype(np.uint8)


@pytest.mark.parametrize("name", ANY_SHAPE)
@given(image=IMAGES)
def test_a_scheme_decrypts_what_it_has_encrypted(name, image):
    scheme = ANY_SHAPE[name]()
    encrypted = scheme.encrypt(image)
    assert encrypted.dtype == np.uint8
    assert encrypted.shape == image.shape
    np.testing.assert_array_equal(scheme.decrypt(encrypted), image)


@given(st.integers(1, 30), st.integers(1, 4), st.booleans(), st.data())
def test_fridrich_decrypts_what_it_has_encrypted(side, rounds, secret, data):
    image = data.draw(hnp.arrays("u1", (side, side)))
    scheme = schemes.Fridrich.random(side, rounds, secret_feedback=secret)
    np.testing.assert_array_equal(scheme.decrypt(scheme.encrypt(image)), image)


@given(hnp.arrays("u1", st.tuples(st.integers(1, 5).map(lambda n: 4 * n), st.integers(1, 20))))
def test_dna_coding_decrypts_what_it_has_encrypted(image):
    scheme = schemes.ZhangGuoWei.random()
    np.testing.assert_array_equal(scheme.decrypt(scheme.encrypt(image)), image)


@pytest.mark.parametrize("name", ANY_SHAPE)
def test_strides_do_not_matter_and_the_image_is_left_alone(name):
    scheme, image = ANY_SHAPE[name](), photo(20)
    strided = np.repeat(np.asfortranarray(image), 2, axis=1)[:, ::2]
    np.testing.assert_array_equal(scheme.encrypt(strided), scheme.encrypt(image))
    np.testing.assert_array_equal(strided, image)


# --- The descriptions, followed literally


@pytest.mark.parametrize("partition", [(2, 4, 1, 1), (4, 4), (1,) * 8, (10, 5, 5)])
def test_the_baker_map_is_fridrich_s_formula(partition):
    side, offset, seen = sum(partition), 0, _baker(partition, 1)
    for n in partition:
        for r in range(offset, offset + n):
            for s in range(side):
                row = (side // n) * (r - offset) + s % (side // n)
                column = n * (s - s % (side // n)) // side + offset
                assert seen[row * side + column] == r * side + s
        offset += n


@given(st.lists(st.integers(0, 255), min_size=6, max_size=6))
def test_the_cat_map_s_matrix_is_the_published_one(key):
    ax, ay, az, bx, by, bz = key
    published = [
        [1 + ax * az * by, az, ay + ax * az + ax * ay * az * by],
        [
            bz + ax * by + ax * az * by * bz,
            az * bz + 1,
            ay * az + ax * ay * az * by * bz + ax * az * bz + ax * ay * by + ax,
        ],
        [ax * bx * by + by, bx, ax * ay * bx * by + ax * bx + ay * by + 1],
    ]
    ours = cat._matrix((ax, ay, az), (bx, by, bz))
    assert ours[0] == published[0]
    assert ours[2] == published[2]
    # The middle row as printed belongs to another order of the three factors; what matters is determinant 1.
    (a, b, c), (d, e, f), (g, h, i) = ours
    assert a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g) == 1


def test_the_3d_cat_scheme_is_its_equation():
    scheme, image = schemes.ChenMaoChui((1, 2, 3), (4, 5, 6), 0.3, 77), photo(20)
    source, phi = cat._source(scheme.a, scheme.b, 400), cat._phi(scheme.x, 400)
    last, expected = 77, []
    for k in range(400):
        last = int(phi[k]) ^ (int(image.flat[source[k]]) + int(phi[k])) % 256 ^ last
        expected.append(last)
    assert scheme.encrypt(image).ravel().tolist() == expected
    assert sorted(source) == list(range(400))
    assert source[398] == 398  # 400 = 7^3 + 3^3 + 3^3 + 3: the last three stay


def test_yen_and_guo_s_scheme_is_its_table():
    scheme, image = schemes.YenGuo(0x3C, 0x33, 4660), photo(16)
    x, bits = 4660, ""
    while len(bits) < 512:
        bits += f"{x:016b}"
        x = math.floor(39 * x * (65536 - x) / 10 / 65536)
    for k, (plain, got) in enumerate(zip(image.flat, scheme.encrypt(image).flat, strict=True)):
        key = 0x3C if bits[2 * k] == "1" else 0x33
        assert got == (plain ^ key if bits[2 * k + 1] == "1" else ~(plain ^ key) & 0xFF)


def test_logistic_sine_sums_are_the_published_recursion():
    image, mask = photo(12), np.random.default_rng(1).integers(0, 256, (12, 12)).astype(np.uint8)
    t, m = np.zeros((12, 12), int), 12
    for i in range(m):
        one = t[i - 1] if i >= 1 else image[m - 1].astype(int)
        two = t[i - 2] if i >= 2 else image[m - 2 + i].astype(int)
        t[i] = (image[i].astype(int) + one + two + mask[i]) % 256
    np.testing.assert_array_equal(logistic_sine._sums(image, mask), t)


def test_logistic_sine_links_are_the_published_sort():
    chaos = np.random.default_rng(2).random((5, 4))
    source, order = logistic_sine._links(chaos), np.argsort(chaos, axis=0)
    for i in range(5):
        values = [chaos[order[i, k], k] for k in range(4)]
        ranks = sorted(range(4), key=values.__getitem__)
        for k in range(4):
            assert source[order[i, k] * 4 + k] == order[i, ranks[k]] * 4 + ranks[k]


def test_the_hyperchaotic_trajectory_solves_the_equations():
    states = [s for s, _ in zip(hyperchaos._trajectory((0.3, -0.4, 1.2, 1.0)), range(200), strict=False)]
    for before, here, after in zip(states, states[1:], states[2:], strict=False):
        slope = (np.subtract(after, before)) / 0.002  # central difference: error of order h^2
        exact = np.array(hyperchaos._slope(here))
        np.testing.assert_allclose(slope, exact, rtol=0, atol=2e-3 * abs(exact).max() + 1e-3)


def test_the_eight_dna_rules_respect_complements_and_blocks_add_up():
    assert len(dna.RULES) == 8
    assert all((rule[::-1] == 3 - rule).all() for rule in dna.RULES)
    bases = np.random.default_rng(3).integers(0, 4, (8, 8)).astype(np.uint8)
    total, added = np.zeros((4, 4), int), dna.add_blocks(bases)
    for i, j in np.ndindex(2, 2):
        block = np.s_[4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
        total = (total + bases[block]) % 4
        np.testing.assert_array_equal(added[block], total)


def test_selectors_are_pairs_of_bits_from_the_top():
    assert two_bytes.selectors(np.array([[0b1101001011001001]], np.uint64)).tolist() == [
        [3, 1, 0, 2, 3, 0, 2, 1]
    ]


# --- What their papers measure


def test_passing_the_statistics_and_being_linear_go_together():
    """The figures that papers report of LSCM-IEA hold here too; `attacks.affine` breaks it all the same."""
    scheme, image = schemes.HuaJinXuHuang(0.31, 0.42, 0.93, (31415926, 5358979, 3238462, 6433832)), photo(256)
    encrypted, changed = scheme.encrypt(image), image.copy()
    changed[128, 128] ^= 1
    ideal = statistics.critical_values(image.size, 8, alpha=0.001)
    other = scheme.encrypt(changed)
    assert statistics.npcr(encrypted, other) > 99.5
    assert abs(statistics.uaci(encrypted, other) - 33.46) < 3 * (ideal.uaci_high - 33.46)
    assert statistics.entropy(encrypted) > 7.996
    assert max(map(abs, statistics.correlation(encrypted).values())) < 0.02
    assert statistics.chi_square(encrypted, alpha=0.001).passed


@pytest.mark.parametrize(("bit", "npcr"), [(7, 50.0), (6, 75.0), (5, 87.5), (0, 99.609)])
def test_a_changed_high_bit_shows_that_the_scheme_is_linear(bit, npcr):
    """Modulo 256 a change of 2^7 can only become 0 or 2^7, of 2^6 a multiple of it; papers change the lowest bit."""
    scheme, image = schemes.HuaJinXuHuang(0.31, 0.42, 0.93, (31415926, 5358979, 3238462, 6433832)), photo(128)
    changed = image.copy()
    changed[64, 64] ^= 1 << bit
    encrypted, other = scheme.encrypt(image), scheme.encrypt(changed)
    assert not ((encrypted - other) % (1 << bit)).any()
    assert statistics.npcr(encrypted, other) == pytest.approx(npcr, abs=2.5)


@pytest.mark.parametrize(
    ("scheme", "changed"),
    [
        (schemes.YenGuo(0x3C, 0x33, 999), 1),
        (schemes.GaoChen(0.3, (0.3, -0.4, 1.2, 1.0)), 1),
        (schemes.Ye(0.3, 3.99, 20, 51), 1),
    ],
)
def test_schemes_without_diffusion_change_one_pixel_where_one_was_changed(scheme, changed):
    """Their papers report entropy and correlation and are silent about NPCR, which is 1/n."""
    image, other = photo(), photo()
    other[20, 30] ^= 1
    assert np.count_nonzero(scheme.encrypt(image) != scheme.encrypt(other)) == changed


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: schemes.Ye.random().encrypt(np.zeros((4, 4), np.uint16)), TypeError),
        (lambda: schemes.Ye.random().encrypt(np.zeros((4, 4, 3), np.uint8)), ValueError),
        (lambda: schemes.Ye.random().encrypt(np.zeros((0, 4), np.uint8)), ValueError),
        (lambda: schemes.Fridrich((2, 2), 0).encrypt(np.zeros((4, 5), np.uint8)), ValueError),
        (lambda: schemes.Fridrich((2, 4), 0).encrypt(np.zeros((6, 6), np.uint8)), ValueError),
        (lambda: schemes.ZhangGuoWei.random().encrypt(np.zeros((6, 6), np.uint8)), ValueError),
        (lambda: schemes.HuaJinXuHuang.random().encrypt(np.zeros((2, 6), np.uint8)), ValueError),
    ],
)
def test_what_a_scheme_cannot_encrypt_is_refused(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("x", [0.0, 0.5, 0.75])
def test_a_key_at_which_the_map_stands_still_is_refused(x):
    image = photo(16)
    for scheme in (
        schemes.GaoChen(x, (0.3, -0.4, 1.2, 1.0)),
        schemes.ChenMaoChui((1, 2, 3), (4, 5, 6), x, 0),
        schemes.Ye(x, 4.0, 10, 10),
        schemes.ZhangGuoWei(x, 0.4, 0, 0),
    ):
        with pytest.raises(ValueError, match="weak key"):
            scheme.encrypt(image)


def test_no_key_is_shown():
    assert "0.3" not in repr(schemes.GaoChen(0.3, (0.3, 0.3, 0.3, 0.3)))
    assert "0x3c" not in repr(schemes.YenGuo(0x3C, 0x33, 1))
