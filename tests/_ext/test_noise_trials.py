"""The kernels of integer noise decide as exact arithmetic does, on every path."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import aes, cpu
from medcrypt._ext.noise import Shape, gather

SIZES = (0, 1, 2, 7, 127, 128, 129, 300)
REJECTED, ACCEPTED, UNDECIDED = 0, 1, 2


def run(shape, words, count):
    """Values and verdicts of a run; what lies around the outputs stays."""
    values, verdicts = np.full(count + 2, 77, np.int64), np.full(count + 2, 77, np.uint8)
    undecided = shape.trials(words, values[1:-1], verdicts[1:-1])
    assert values[[0, -1]].tolist() == [77, 77]
    assert verdicts[[0, -1]].tolist() == [77, 77]
    assert undecided == np.count_nonzero(verdicts[1:-1] == UNDECIDED)
    return values[1:-1], verdicts[1:-1]


def uniform(seed, count):
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64)


thresholds = st.lists(st.integers(0, 2**63 - 1), max_size=127).map(sorted)


@given(thresholds, st.sampled_from(SIZES), st.integers(0, 2**32))
def test_a_table_counts_the_thresholds_reached_and_reports_ties(table, count, seed):
    words = uniform(seed, count)
    if table and count:
        ties = np.random.default_rng(seed).choice(np.array(table, np.uint64), count)
        words = np.where(words & np.uint64(4), words, (ties << np.uint64(1)) | (words & np.uint64(1)))
    for path in cpu.paths():
        values, verdicts = run(Shape(table, path=path), words, count)
        for word, value, verdict in zip(words.tolist(), values.tolist(), verdicts.tolist(), strict=True):
            reached = sum(word >> 1 >= t for t in table)
            assert verdict == (UNDECIDED if word >> 1 in table else ACCEPTED)
            assert value == (-reached if word & 1 else reached)


@pytest.mark.parametrize("size", range(128))
def test_every_size_of_a_table_finds_every_cell_and_its_coefficients(size):
    """Just below, at and just above every threshold, some of which are equal."""
    table = sorted((uniform(size, size) >> np.uint64(3) << np.uint64(2)).tolist())
    table[size // 2 : size // 2 + 2] = table[size // 2 : size // 2 + 1] * len(
        table[size // 2 : size // 2 + 2]
    )
    u = np.array([0, 2**63 - 1, *table, *(t - 1 for t in table if t), *(t + 1 for t in table)], np.uint64)
    words = np.concatenate(
        [u << np.uint64(1), np.full(u.size, 2**63, np.uint64), np.zeros(u.size, np.uint64)]
    )
    cells = [sum(int(t) <= int(word) for t in table) for word in u]
    rows = [[1.0 + c / 128 for c in range(size + 1)], [0.25] * (size + 1)]
    sure = Shape(table, rows, low_bits=4, path="portable")
    for path in cpu.paths():
        values, verdicts = run(Shape(table, path=path), words[: u.size], u.size)
        assert values.tolist() == cells
        assert (verdicts == UNDECIDED).tolist() == [int(word) in table for word in u]
        # A third word at the probability of one cell: every other cell decides, and so do its coefficients.
        for cell in {0, size // 2, size}:
            words[2 * u.size :] = int(np.exp(-0.5 * (rows[0][cell] + 0.125)) * 2.0**64)
            found = run(Shape(table, rows, low_bits=4, path=path), words, u.size)
            for ours, theirs in zip(found, run(sure, words, u.size), strict=True):
                np.testing.assert_array_equal(ours, theirs)
            decided = found[1][~np.isin(u, np.array(table, np.uint64))]
            others = np.array(cells)[~np.isin(u, np.array(table, np.uint64))]
            assert (decided[others > cell] == REJECTED).all()
            assert (decided[others < cell] == ACCEPTED).all()
            assert (decided[others == cell] == UNDECIDED).all()


coefficients = st.floats(0, 0.05)


@given(
    st.lists(st.integers(0, 2**63 - 1), max_size=9).map(sorted),
    st.integers(1, 12),
    st.integers(0, 52),
    st.sampled_from(SIZES),
    st.booleans(),
    st.data(),
)
def test_cells_and_reals_are_accepted_as_exact_arithmetic_accepts_them(
    table, degree, low_bits, count, straight, data
):
    if straight:
        degree = min(degree, 2)
        lines = [(data.draw(coefficients), data.draw(st.floats(0, 0.05 / 36))) for _ in range(degree)]
        slopes, stated = [], {"lines": lines}
        exact = [[mp.mpf(a) + mp.mpf(b) * y for y in range(len(table) + 1)] for a, b in lines]
    else:
        exact = slopes = [[data.draw(coefficients) for _ in range(len(table) + 1)] for _ in range(degree)]
        stated = {}
    seed = data.draw(st.integers(0, 2**32))
    words = uniform(seed, 3 * count)
    first, second, third = words.reshape(3, -1)
    if count:
        second[0], third[-1] = 0, 0  # the first integer of a cell, and a number below everything
    factor, point = (0, 0) if low_bits else (2**56 + seed, 40)
    used = (~np.uint64(0) << np.uint64(64 - low_bits)) if low_bits else ~np.uint64(0)
    results = [
        run(
            Shape(table, slopes, low_bits=low_bits, factor=factor, point=point, path=path, **stated),
            words,
            count,
        )
        for path in cpu.paths()
    ]
    for i in range(count):
        word, z = int(first[i]), int(second[i] & used)
        cell = sum(word >> 1 >= t for t in table)
        with mp.workdps(60):
            f = mp.mpf(z) / 2**64
            gamma = mp.fsum(mp.mpf(exact[d][cell]) * f ** (d + 1) for d in range(degree))
            distance = mp.exp(-gamma) - mp.mpf(int(third[i])) / 2**64
        if low_bits:
            magnitude = (cell << low_bits) + (z >> (64 - low_bits))
        else:
            magnitude = (factor * ((cell << 64) + z) * 2 + (1 << (point + 64))) >> (point + 65)
        value, minus_zero = -magnitude if word & 1 else magnitude, low_bits and word & 1 and magnitude == 0
        for values, verdicts in results:
            verdict = int(verdicts[i])
            if verdict == UNDECIDED:
                assert word >> 1 in table or abs(distance) < 2.0**-44 or near_half(factor, cell, z, point)
                continue
            assert abs(distance) > 2.0**-46
            assert verdict == (REJECTED if distance < 0 or minus_zero else ACCEPTED)
            assert values[i] == value


@given(st.floats(0, 2), st.floats(0, 1), st.integers(0, 2**64 - 1), st.integers(-(2**22), 2**22))
def test_a_number_next_to_the_probability_is_decided_rightly_or_left_open(slope, square, second, offset):
    """exp in double is good to 2^-46: within the margin of 2^-45 nothing is decided, outside of it nothing wrongly."""
    with mp.workdps(60):
        f = mp.mpf(second) / 2**64
        scaled = mp.exp(-(f * (slope + square * f))) * mp.mpf(2) ** 64
    third = min(max(int(scaled) + offset, 0), 2**64 - 1)
    words = np.array([0, second, third], np.uint64)
    shapes = [
        Shape([], factor=2**56, point=40, path=path, **stated)
        for path in cpu.paths()
        for stated in ({"slopes": [[slope], [square]]}, {"lines": [(slope, 0.0), (square, 0.0)]})
    ]
    for shape in shapes:
        _, (verdict,) = run(shape, words, 1)
        if abs(third - scaled) < 2.0**18:
            assert verdict == UNDECIDED
        elif abs(third - scaled) > 2.0**20.5 and not near_half(2**56, 0, second, 40):
            assert verdict == (ACCEPTED if third < scaled else REJECTED)


def near_half(factor, cell, z, point):
    """Whether a scaled real is close to where rounding jumps."""
    scaled = (factor * ((cell << 64) + z) >> 64) + (1 << (point - 1)) if point else 0
    return point and min(scaled % 2**point, -scaled % 2**point) <= 200


def test_every_path_gives_the_same_values_on_long_runs():
    table = sorted(uniform(1, 74).astype(object) >> 1)
    slopes = [[k / 80 for k in range(75)], [0.5] * 75]
    words = uniform(2, 3 * 50_000)
    for more in ({"low_bits": 9}, {"factor": 2**56 + 12345, "point": 50}):
        values, verdicts = zip(
            *(run(Shape(table, slopes, path=path, **more), words, 50_000) for path in cpu.paths()),
            strict=True,
        )
        for other in range(1, len(values)):
            np.testing.assert_array_equal(values[0], values[other])
            np.testing.assert_array_equal(verdicts[0], verdicts[other])


FIRSTS = (0, 5, 2**64 - 3, 2**128 - 2**16)  # the counter carries
DRAWN = (
    {"thresholds": [2**62, 2**62 + 2**61]},
    {"thresholds": [2**62, 2**62 + 2**61], "lines": [(0.3, 0.9), (0.1, 0.0)], "low_bits": 9},
    {"thresholds": [2**61, 2**62], "slopes": [[0.3, 0.9, 1.0]], "factor": 2**56 + 12345, "point": 50},
)


@pytest.mark.parametrize("more", DRAWN)
@pytest.mark.parametrize("trials", [0, 2, 130, 510, 512, 514, 1500])
def test_draws_are_the_accepted_values_of_the_trials_with_the_words_of_the_stream(more, trials, kernel_path):
    stream, shape = aes.AesCtr(bytes(32), path=kernel_path), Shape(path=kernel_path, **more)
    for first in FIRSTS:
        words = np.empty(shape.words * trials, np.uint64)
        stream.fill(first, words)
        values, verdicts = run(shape, words, trials)
        expected = values[verdicts == ACCEPTED].tolist()
        for room in {0, len(expected) // 2, len(expected), len(expected) + 5}:
            out = np.full(room + 2, 77, np.int64)
            drawn = shape.draw(stream, first, trials, out[1:-1])
            if kernel_path == "portable":
                assert drawn is None
                continue
            assert drawn == min(room, len(expected))
            assert out[1 : drawn + 1].tolist() == expected[:drawn]
            assert (out[[0, *range(drawn + 1, room + 2)]] == 77).all()


def test_a_draw_that_is_undecided_is_left_to_the_caller():
    for path in set(cpu.paths()) - {"portable"}:
        shape = Shape([2**62], [[1.0, 1.0]], low_bits=3, path=path, margin=2.0)
        assert shape.draw(aes.AesCtr(bytes(32), path=path), 0, 10, np.empty(3, np.int64)) is None


def test_draws_that_do_not_fit_are_refused():
    path = cpu.paths()[-1]
    if path == "portable":
        pytest.skip("this processor runs no kernel that draws")
    stream, out = aes.AesCtr(bytes(32), path=path), np.empty(4, np.int64)
    shape = Shape([2**62], [[1.0, 1.0]], low_bits=3, path=path)
    for bad in ((0, 3, out), (0, -2, out), (-1, 2, out), (2**128, 2, out), (2**128 - 2, 2, out)):
        with pytest.raises(ValueError, match=r"even|counter"):
            shape.draw(stream, *bad)
    with pytest.raises(ValueError, match="bytes"):
        shape.draw(stream, 0, 2, out.view(np.int32))
    with pytest.raises(ValueError, match="contiguous"):
        shape.draw(stream, 0, 2, out[::2])
    out.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        shape.draw(stream, 0, 2, out)


def test_a_widened_margin_leaves_everything_undecided(kernel_path):
    shape = Shape([2**62], [[1.0, 1.0]], low_bits=3, path=kernel_path, margin=2.0)
    _, verdicts = run(shape, uniform(3, 3 * 200), 200)
    assert (verdicts == UNDECIDED).all()


@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1), st.sampled_from([0, 1])), max_size=300))
def test_gathering_keeps_the_accepted_in_order(pairs):
    values = np.array([value for value, _ in pairs], np.int64)
    verdicts = np.array([verdict for _, verdict in pairs], np.uint8)
    expected = [value for value, verdict in pairs if verdict]
    assert gather(values, verdicts) == len(expected)
    assert values[: len(expected)].tolist() == expected


@pytest.mark.parametrize(
    ("arguments", "more"),
    [
        (([5, 4],), {}),
        (([-1],), {}),
        (([2**63],), {}),
        (([1], [[1.0]]), {"low_bits": 3}),
        (([1], [[1.0, 9.0]]), {"low_bits": 3}),
        (([1], [[1.0, float("nan")]]), {"low_bits": 3}),
        (([1], [[0.1, 0.1]] * 13), {"low_bits": 3}),
        (([1], [[1.0, 1.0]]), {"low_bits": 53}),
        (([1], [[1.0, 1.0]]), {}),
        (([1], [[1.0, 1.0]]), {"factor": 2**57, "point": 20}),
        (([1], [[1.0, 1.0]]), {"factor": 1, "point": 7}),
        (([1] * 128,), {}),
        (([1], [[2.0, 0.1], [1.1, 0.1]]), {"low_bits": 3}),
        (([1, 2],), {"lines": [(1.0, 1.6)], "low_bits": 3}),
        (([1],), {"lines": [(-0.1, 0.2)], "low_bits": 3}),
        (([1],), {"lines": [(0.1, float("nan"))], "low_bits": 3}),
        (([1],), {"lines": [(0.1, 0.0)]}),
        (([1],), {"lines": [(0.1, 0.0)] * 3, "low_bits": 3}),
        (([1], [[1.0, 1.0]]), {"lines": [(0.1, 0.0)], "low_bits": 3}),
        (([1],), {"path": "none"}),
    ],
)
def test_shapes_out_of_bounds_are_refused(arguments, more):
    with pytest.raises(ValueError, match=r"thresholds|slopes|lines|low bits|path"):
        Shape(*arguments, **more)


def test_buffers_that_do_not_fit_are_refused():
    shape, values, verdicts = Shape([1 << 62]), np.empty(3, np.int64), np.empty(3, np.uint8)
    words = np.zeros(3, np.uint64)
    for bad in (
        (words[:2], values, verdicts),
        (words, values, verdicts[:2]),
        (words.view(np.uint8), values, verdicts),
        (words, values.view(np.int32), verdicts),
    ):
        with pytest.raises(ValueError, match=r"one verdict for each value|the items have"):
            shape.trials(*bad)
    with pytest.raises(ValueError, match="contiguous"):
        shape.trials(np.zeros(6, np.uint64)[::2], values, verdicts)
    values.flags.writeable = False
    with pytest.raises((BufferError, ValueError)):
        shape.trials(words, values, verdicts)
    with pytest.raises(ValueError, match="one verdict"):
        gather(np.zeros(3, np.int64), verdicts[:2])
