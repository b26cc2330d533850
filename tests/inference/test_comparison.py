"""Signs, divisions and equality of shared numbers are exact: every input under every mask, and all boundaries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.inference import sharing
from medcrypt.inference.comparison import Division, Mask, Negative, Zero

DEALER = sharing.Dealer()
SERVERS = [sharing.Server(party, DEALER.hash_key) for party in range(2)]


def kept(values, bits):
    return values & np.uint64(2**bits - 1)


def signed(values, bits):
    """Two's complement of n bits as int64."""
    return (values << np.uint64(64 - bits)).view(np.int64) >> (64 - bits)


def answers(gate, x, r, bits):
    """The sum of both servers' answers for inputs under known masks."""
    materials = gate.deal(DEALER, r)
    layout = gate.layout(r.size)
    opened = kept(x + r, bits)
    total = np.zeros_like(x)
    for server, material in zip(SERVERS, materials, strict=True):
        assert set(material) == set(layout)
        received = sharing.unpack(layout, sharing.pack(layout, material))
        total += gate.evaluate(server, opened, received)
    return total


def all_pairs(bits):
    points = np.arange(2**bits, dtype=np.uint64)
    x, r = (grid.ravel() for grid in np.meshgrid(points, points))
    return x, r


def boundaries(bits):
    """All pairs of numbers at and beside powers of two, both ends included."""
    places = {0, 2**bits - 1}
    for power in range(0, bits, 1 if bits <= 16 else 3):
        places |= {2**power, 2**power - 1, 2**bits - 2**power, (2**power + 1) % 2**bits}
    places |= {2 ** (bits - 1) + d for d in (-2, -1, 0, 1)}
    points = np.array(sorted(place % 2**bits for place in places), np.uint64)
    x, r = (grid.ravel() for grid in np.meshgrid(points, points))
    return x, r


@pytest.mark.parametrize("payload", [4, 8])
def test_the_sign_of_every_byte_under_every_mask_is_right(payload):
    x, r = all_pairs(8)
    total = kept(answers(Negative(8, payload), x, r, 8), 8 * payload)
    assert np.array_equal(total, (signed(x, 8) < 0).astype(np.uint64))


@pytest.mark.parametrize("bits", [2, 3, 5])
def test_the_sign_in_a_small_domain_is_right(bits):
    x, r = all_pairs(bits)
    total = kept(answers(Negative(bits), x, r, bits), 32)
    assert np.array_equal(total, (signed(x, bits) < 0).astype(np.uint64))


@pytest.mark.parametrize("bits", [16, 31, 32, 33, 63, 64])
def test_the_sign_is_right_for_all_pairs_at_the_boundaries(bits):
    x, r = boundaries(bits)
    total = kept(answers(Negative(bits), x, r, bits), 32)
    assert np.array_equal(total, (signed(x, bits) < 0).astype(np.uint64))


@pytest.mark.parametrize("r", [0, 1, 2**15 - 1, 2**15, 2**16 - 1, 0xBEEF])
def test_the_sign_of_every_number_of_sixteen_bits_is_right(r):
    x = np.arange(2**16, dtype=np.uint64)
    total = kept(answers(Negative(16), x, np.full_like(x, r), 16), 32)
    assert np.array_equal(total, (signed(x, 16) < 0).astype(np.uint64))


@given(st.integers(2, 64), st.integers(0, 2**32))
def test_the_sign_is_right_in_any_domain(bits, seed):
    words = np.random.default_rng(seed).integers(0, 2**64, (2, 40), dtype=np.uint64)
    x, r = kept(words, bits)
    total = kept(answers(Negative(bits), x, r, bits), 32)
    assert np.array_equal(total, (signed(x, bits) < 0).astype(np.uint64))


def floors(x, bits, shift, half):
    """floor((x + half) / 2^shift) by Python's own integers."""
    return np.array([(int(n) + half) >> shift for n in signed(x, bits)], np.int64)


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize("shift", [1, 2, 4, 5])
def test_division_of_every_small_byte_under_every_mask_is_exact(shift, nearest):
    x, r = all_pairs(8)
    small = np.abs(signed(x, 8)) < 2**5
    x, r = x[small], r[small]
    total = answers(Division(8, shift, nearest), x, r, 8).view(np.int64)
    assert np.array_equal(total, floors(x, 8, shift, 2 ** (shift - 1) if nearest else 0))


@pytest.mark.parametrize("shift", [1, 3, 5, 7])
def test_division_without_room_to_spare_is_exact_for_every_byte_under_every_mask(shift):
    x, r = all_pairs(8)
    total = answers(Division(8, shift, nearest=False, spare=False), x, r, 8).view(np.int64)
    assert np.array_equal(total, floors(x, 8, shift, 0))


@pytest.mark.parametrize(
    ("bits", "shift"), [(32, 1), (32, 12), (32, 29), (64, 1), (64, 12), (64, 24), (64, 61)]
)
def test_division_is_exact_for_all_pairs_at_the_boundaries(bits, shift):
    x, r = boundaries(bits)
    total = answers(Division(bits, shift, nearest=False, spare=False), x, r, bits).view(np.int64)
    assert np.array_equal(total, floors(x, bits, shift, 0))
    small = np.abs(signed(x, bits).astype(float)) < 2 ** (bits - 3)
    x, r = x[small], r[small]
    total = answers(Division(bits, shift), x, r, bits).view(np.int64)
    assert np.array_equal(total, floors(x, bits, shift, 2 ** (shift - 1)))


@given(st.sampled_from([32, 64]), st.data())
def test_division_is_exact_for_any_shift(bits, data):
    shift = data.draw(st.integers(1, bits - 3))
    words = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(
        0, 2**64, (2, 40), dtype=np.uint64
    )
    x = (words[0].view(np.int64) >> data.draw(st.integers(64 - bits + 3, 63))).view(np.uint64)
    x, r = kept(x, bits), kept(words[1], bits)
    total = answers(Division(bits, shift), x, r, bits).view(np.int64)
    assert np.array_equal(total, floors(x, bits, shift, 2 ** (shift - 1)))


def test_zero_is_found_among_every_byte_under_every_mask():
    x, r = all_pairs(8)
    assert np.array_equal(answers(Zero(8), x, r, 8), (x == 0).astype(np.uint64))


@pytest.mark.parametrize("bits", [1, 4, 32, 64])
def test_zero_is_found_at_the_boundaries(bits):
    x, r = boundaries(bits) if bits > 4 else all_pairs(bits)
    x[::3] = 0
    assert np.array_equal(answers(Zero(bits), x, r, bits), (x == 0).astype(np.uint64))


@pytest.mark.parametrize("bits", [1, 4, 8, 9, 32, 33, 64])
def test_an_opening_shows_the_number_under_its_mask_to_both(bits):
    gate = Mask(bits)
    x = np.random.default_rng(1).integers(0, 2**64, 50, dtype=np.uint64)
    r, *materials = gate.deal(DEALER, x.size)
    layout = gate.layout(x.size)
    assert r.max() <= 2**bits - 1
    shares = sharing.share(x)
    runs = (
        gate.run(half, sharing.unpack(layout, sharing.pack(layout, m)))
        for half, m in zip(shares, materials, strict=True)
    )
    first, second, messages = sharing.together(*runs)
    assert np.array_equal(first, kept(x + r, bits))
    assert np.array_equal(second, first)
    assert [len(message) for message in messages] == [gate.sent(x.size)]
