"""Shares, rounds, fixed point and selection."""

import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from medcrypt.errors import CapacityError, ProtocolError
from medcrypt.inference import sharing
from medcrypt.inference.randomness import Randomness

DEALER = sharing.Dealer()
SERVERS = [sharing.Server(party, DEALER.hash_key) for party in range(2)]


def chi_square(values):
    """How far bytes are from equal chances, in standard deviations."""
    counts = np.bincount(values.view(np.uint8), minlength=256)
    expected = counts.sum() / 256
    return (((counts - expected) ** 2 / expected).sum() - 255) / np.sqrt(510)


@given(npst.arrays(np.int64, npst.array_shapes(max_dims=3, max_side=5)))
def test_two_shares_add_up_to_what_was_shared(values):
    first, second = sharing.share(values)
    assert first.dtype == second.dtype == np.uint64
    assert np.array_equal(sharing.reveal(first, second), values)


@pytest.mark.parametrize("value", [0, -1, 2**62])
def test_each_share_alone_is_uniform(value):
    for half in sharing.share(np.full(60_000, value)):
        assert abs(chi_square(half)) < 6


def test_sharing_twice_gives_other_shares():
    values = np.arange(20)
    assert not np.array_equal(sharing.share(values)[0], sharing.share(values)[0])


def _first_words(random, queue):
    queue.put(random.words((4,)).tolist())


def test_a_forked_child_has_words_of_its_own():
    context = multiprocessing.get_context("fork")
    random, queue = Randomness(), context.SimpleQueue()
    child = context.Process(target=_first_words, args=(random, queue))
    child.start()
    theirs = queue.get()
    child.join()
    assert theirs != random.words((4,)).tolist()


def test_threads_that_share_a_generator_get_different_words():
    random = Randomness()
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(lambda _: random.words((2,)).tobytes(), range(4000)))
    assert len(set(drawn)) == 4000


def test_a_generator_repeats_nothing_and_shows_and_gives_away_nothing():
    random = Randomness()
    drawn = [random.words((3,)).tobytes() for _ in range(50)]
    assert len(set(drawn)) == 50
    assert repr(random) == "Randomness()"
    with pytest.raises(TypeError, match="neither pickled"):
        pickle.dumps(random)


@given(st.floats(-1000, 1000), st.integers(0, 24))
def test_fixed_point_is_within_half_a_unit(value, fraction):
    integer = sharing.to_fixed(np.array([value]), fraction)
    assert abs(sharing.from_fixed(integer, fraction)[0] - value) <= 0.5 * 2.0**-fraction


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2.0**60, -(2.0**49)])
def test_what_does_not_fit_into_fixed_point_is_refused(value):
    with pytest.raises(CapacityError):
        sharing.to_fixed([0.0, value], 12)


@given(st.integers(1, 3), st.integers(1, 20), st.integers(0, 2**32))
def test_selection_multiplies_by_the_bit(numbers, count, seed):
    generator = np.random.default_rng(seed)
    x = generator.integers(-(2**63), 2**63, (numbers, count))
    bit = generator.integers(0, 2, count)
    xs, bits = sharing.share(x), sharing.share(bit)  # the lowest bits of two shares add up to the bit by xor
    gate = sharing.Select(numbers)
    layout, materials = gate.layout(count), gate.deal(DEALER, count)
    runs = [
        gate.run(SERVERS[p], xs[p], bits[p], sharing.unpack(layout, sharing.pack(layout, materials[p])))
        for p in range(2)
    ]
    first, second, messages = sharing.together(*runs)
    assert np.array_equal(sharing.reveal(first, second), x * bit)
    assert [len(message) for message in messages] == [gate.sent(count)]


# --- probable division ----------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [1, 7, 12, 30])
def test_probable_division_is_within_one_unit_for_small_numbers(shift):
    """|x| < 2^30, so that a wrong result has a chance of 2^-33 each: 20,000 of them, once in 400,000 runs."""
    x = np.random.default_rng(shift).integers(-(2**30), 2**30, 20_000)
    halves = sharing.share(x)
    parts = [sharing.drop_bits_probably(SERVERS[p], halves[p], shift) for p in range(2)]
    error = sharing.reveal(*parts) - (x >> shift)
    assert set(np.unique(error)) <= {0, 1}


def test_probable_division_fails_as_often_as_stated_and_by_as_much():
    bits, shift, count = 60, 10, 200_000
    x = np.full(count, 2**bits - 1)
    halves = sharing.share(x)
    parts = [sharing.drop_bits_probably(SERVERS[p], halves[p], shift) for p in range(2)]
    error = sharing.reveal(*parts) - (x >> shift)
    wrong = np.abs(error) > 1
    assert np.all(np.abs(np.abs(error[wrong]) - 2 ** (64 - shift)) <= 1)
    assert 0.5 * 2 ** (bits - 64) < wrong.mean() <= 2 ** (bits - 63)


# --- material and rounds --------------------------------------------------------------------------

LAYOUT = {"a": ("<u8", (2, 3)), "b": ("|u1", (5,)), "c": ("<u4", (0,)), "d": ("<u8", (1,))}


def test_material_comes_back_from_its_bytes():
    material = {"d": np.array([9], np.uint64), "a": np.arange(6, dtype=np.uint64).reshape(2, 3)}
    material |= {"b": np.arange(5, dtype=np.uint8), "c": np.zeros(0, np.uint32)}
    data = sharing.pack(LAYOUT, material)
    assert len(data) == sharing.material_size(LAYOUT) == 61
    received = sharing.unpack(LAYOUT, data)
    assert list(received) == list(LAYOUT)
    assert all(np.array_equal(received[name], material[name]) for name in LAYOUT)


@pytest.mark.parametrize("size", [0, 60, 62])
def test_material_of_another_size_is_refused(size):
    with pytest.raises(ProtocolError, match="material"):
        sharing.unpack(LAYOUT, bytes(size))


def test_parts_are_found_under_their_prefix_only():
    whole = sharing.nested("x.1", {"a": 1, "b.c": 2}) | sharing.nested("x.10", {"a": 3})
    assert sharing.part("x.1", whole) == {"a": 1, "b.c": 2}


@pytest.mark.parametrize("answer", [b"", bytes(23), bytes(25)])
def test_a_message_of_another_size_is_refused(answer):
    run = sharing.exchange(np.zeros(3, np.uint64))
    assert next(run) == bytes(24)
    with pytest.raises(ProtocolError, match="other server"):
        run.send(answer)


def test_servers_that_do_not_agree_on_the_rounds_are_stopped():
    def silent():
        return None
        yield b""

    with pytest.raises(ProtocolError, match="done"):
        sharing.together(sharing.exchange(np.zeros(1, np.uint64)), silent())
