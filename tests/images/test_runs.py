"""Runs of pixels against sets of integers."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.images import runs
from medcrypt.images.runs import Runs

SIZE = 40
intervals = st.lists(st.tuples(st.integers(0, SIZE), st.integers(0, SIZE)), max_size=12)


def of_intervals(pairs: list[tuple[int, int]]) -> tuple[Runs, set[int]]:
    """Return the runs and the set of the same pixels."""
    bounds = np.array(pairs, np.int64).reshape(-1, 2)
    return runs.merged(bounds[:, 0], bounds[:, 1]), {at for start, stop in pairs for at in range(start, stop)}


def as_set(held: Runs) -> set[int]:
    assert (held.starts < held.stops).all()
    assert (held.starts[1:] > held.stops[:-1]).all()  # ascending, and none touches the next
    pixels = runs.positions(held.starts, held.stops).tolist()
    assert len(pixels) == held.count
    return set(pixels)


@given(intervals)
def test_intervals_of_any_order_are_merged(pairs: list[tuple[int, int]]) -> None:
    held, pixels = of_intervals(pairs)
    assert as_set(held) == pixels


@given(st.lists(intervals, max_size=4))
def test_unions_and_complements_are_those_of_sets(parts: list[list[tuple[int, int]]]) -> None:
    made = [of_intervals(pairs) for pairs in parts]
    union, pixels = runs.union(held for held, _ in made), set().union(*(pixels for _, pixels in made))
    assert as_set(union) == pixels
    assert as_set(union.complement(SIZE)) == set(range(SIZE)) - pixels


@given(pairs=intervals, most=st.integers(1, 15))
def test_blocks_hold_every_pixel_once_in_order(pairs: list[tuple[int, int]], most: int) -> None:
    held, pixels = of_intervals(pairs)
    blocks = [np.arange(SIZE)[block].tolist() for block in held.blocks(most)]
    assert [at for block in blocks for at in block] == sorted(pixels)
    assert all(len(block) == most for block in blocks[:-1])
    assert all(blocks)


def test_a_block_within_a_run_is_a_slice() -> None:
    held, _ = of_intervals([(3, 30), (35, 36)])
    assert [isinstance(block, slice) for block in held.blocks(10)] == [True, True, False]


@given(mask=st.lists(st.booleans(), max_size=SIZE))
def test_runs_of_a_mask(mask: list[bool]) -> None:
    held = runs.of_mask(np.array(mask, bool))
    assert as_set(held) == set(np.flatnonzero(mask).tolist())


@given(
    pairs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=4),
    planes=st.sets(st.integers(0, 6)),
)
def test_planes_repeat_a_plane(pairs: list[tuple[int, int]], planes: set[int]) -> None:
    held, pixels = of_intervals(pairs)
    repeated = runs.repeated(held, 5, np.array(sorted(planes), np.int64))
    assert as_set(repeated) == {plane * 5 + at for plane in planes for at in pixels}
