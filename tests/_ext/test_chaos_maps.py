"""Orbits of the maps: the same on every path, and those of Python integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext.chaos.maps import KINDS, cycle, orbit
from reference import chaotic_maps as reference

DIMENSIONS = dict(zip(KINDS, (1, 1, 1, 1, 2, 2, 3, 2, 3, 3, 2, 1), strict=True))
PARAMETERS = dict(zip(KINDS, (1, 1, 3, 1, 2, 2, 2, 0, 3, 3, 1, 2), strict=True))


def words(bits, rows, lanes):
    """Any words, and often those at the ends."""
    ends = [0, 1, 2**bits - 1, 2 ** (bits - 1), 2 ** (bits - 1) - 1]
    one = st.integers(0, 2**bits - 1) | st.sampled_from(ends)
    return st.lists(st.lists(one, min_size=lanes, max_size=lanes), min_size=rows, max_size=rows).map(
        lambda found: np.array(found, f"u{bits // 8}").reshape(rows, lanes)
    )


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_orbits_are_those_of_python_integers(kernel_path, kind, bits, data):
    lanes, samples = data.draw(st.integers(1, 9)), data.draw(st.integers(1, 4))
    every = data.draw(st.integers(1, 3))
    state = data.draw(words(bits, DIMENSIONS[kind], lanes))
    parameters = data.draw(words(bits, PARAMETERS[kind], lanes))
    out = np.empty((samples, *state.shape), state.dtype)
    started = state.T.tolist()
    orbit(kind, state, parameters, out, every=every, path=kernel_path)
    wanted = reference.orbit(kind, bits, started, parameters.T.tolist(), samples, every)
    assert [sample.T.tolist() for sample in out] == wanted
    assert state.T.tolist() == wanted[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_many_lanes_go_the_same_way_on_every_path(kernel_path, kind):
    rng = np.random.default_rng(4)
    for dtype in (np.uint32, np.uint64):
        top = np.iinfo(dtype).max
        state = rng.integers(0, top, (DIMENSIONS[kind], 67), dtype)
        parameters = rng.integers(0, top, (PARAMETERS[kind], 67), dtype)
        found = {}
        for path in {kernel_path, "portable"}:
            out = np.empty((5, *state.shape), dtype)
            orbit(kind, state.copy(), parameters, out, every=11, path=path)
            found[path] = out.tobytes()
        assert found[kernel_path] == found["portable"]


def test_brent_finds_what_a_dictionary_finds():
    parameters = np.array([[2**32 - 1]], np.uint32)
    for start in (1, 77, 123456789):
        state, seen, step = np.array([[start]], np.uint32), {}, 0
        out = np.empty((200_000, 1, 1), np.uint32)
        orbit("logistic", state.copy(), parameters, out)
        for step, word in enumerate([start, *out.ravel().tolist()]):
            if word in seen:
                break
            seen[word] = step
        assert cycle("logistic", state, parameters, 10**7) == (seen[word], step - seen[word])


def test_a_cycle_that_is_too_long_is_given_up():
    assert cycle("cat", np.array([[1], [0]], np.uint64), np.ones((2, 1), np.uint64), 1000) is None


def test_bad_arrays_are_refused():
    state, parameters, out = (
        np.zeros((1, 3), np.uint32),
        np.zeros((1, 3), np.uint32),
        np.zeros((2, 1, 3), np.uint32),
    )
    with pytest.raises(ValueError, match="unknown map"):
        orbit("horseshoe", state, parameters, out)
    with pytest.raises(ValueError, match="the state has the shape"):
        orbit("henon", state, parameters, out)
    with pytest.raises(ValueError, match="the parameters have the shape"):
        orbit("tent", state, parameters[:, :2].copy(), out)
    with pytest.raises(ValueError, match="out has"):
        orbit("tent", state, parameters, out[:, :, :2].copy())
    with pytest.raises(ValueError, match="words of 32 bits"):
        orbit("tent", state.astype(np.uint16), parameters, out)
    with pytest.raises(ValueError, match="at least one step"):
        orbit("tent", state, parameters, out, every=0)
    with pytest.raises(ValueError, match="this processor can run"):
        orbit("tent", state, parameters, out, path="sse9")
