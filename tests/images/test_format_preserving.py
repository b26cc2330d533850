"""Draws below n without bias, and their addition modulo n, against Python's integers."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext.aes import AesCtr
from medcrypt.images import format_preserving
from medcrypt.images.format_preserving import Draws, Shift
from reference import regions as twin

KEY = bytes(range(32))
WIDTHS = (1, 2, 4, 8)


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int]:
    """The width of a word and a number of values that it holds, powers of two and their neighbours among them."""
    width = draw(st.sampled_from(WIDTHS))
    power = draw(st.integers(1, 8 * width)).__rpow__(2)
    n = draw(st.integers(2, 256**width) | st.sampled_from([power - 1, power, power + 1]))
    return width, min(max(n, 2), 256**width)


@given(sizes=sizes(), takes=st.lists(st.integers(0, 90), max_size=6))
def test_draws_are_those_of_the_readable_twin_however_they_are_taken(
    sizes: tuple[int, int], takes: list[int]
) -> None:
    width, n = sizes
    draws = Draws(KEY, width, n)
    taken = [draws.take(count) for count in takes]
    assert all(part.dtype == np.dtype(f"=u{width}") for part in taken)
    numbers = np.concatenate([np.empty(0, f"u{width}"), *taken]).tolist()
    assert numbers == list(itertools.islice(twin.draws(KEY, width, n), sum(takes)))


@pytest.mark.parametrize("n", [256, 200, 129])
def test_draws_go_on_over_many_pieces(monkeypatch: pytest.MonkeyPatch, n: int) -> None:
    monkeypatch.setattr(format_preserving, "PIECE", 48)
    draws = Draws(KEY, 1, n)
    numbers = np.concatenate([draws.take(count) for count in (7, 300, 0, 1, 92)]).tolist()
    assert numbers == list(itertools.islice(twin.draws(KEY, 1, n), 400))


@pytest.mark.parametrize(("width", "n"), [(1, 256), (2, 1 << 16), (4, 1 << 32), (8, 1 << 64)])
def test_the_whole_range_takes_every_word_of_the_stream(width: int, n: int) -> None:
    stream = np.empty(1000, f"<u{width}")
    AesCtr(KEY).fill(0, stream)
    assert (Draws(KEY, width, n).take(1000) == stream).all()


@given(sizes=sizes(), data=st.data())
def test_addition_and_subtraction_are_those_of_integers(sizes: tuple[int, int], data: st.DataObject) -> None:
    width, n = sizes
    signed = data.draw(st.booleans())
    least = -(256**width) // 2 if signed else 0
    lo = data.draw(st.integers(least, least + 256**width - n))
    ends = st.sampled_from([0, 1, n - 1, n // 2]) | st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(ends, ends), min_size=1, max_size=20))
    plain = np.array([(lo + p) % 256**width for p, _ in pairs], f"u{width}")
    draws = np.array([k for _, k in pairs], f"u{width}")
    shift, pixels = Shift(width, lo, lo + n - 1), plain.copy()
    assert shift.holds(pixels)
    shift.add(pixels, draws)
    assert pixels.tolist() == [(lo + (p + k) % n) % 256**width for p, k in pairs]
    assert shift.holds(pixels)
    shift.subtract(pixels, draws)
    assert (pixels == plain).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_one_value_outside_of_the_range_is_found(width: int) -> None:
    for lo, hi in ((0, 99), (-50, 49), (-3, 120)):
        shift = Shift(width, lo, hi)
        for value in (lo - 1, hi + 1):
            pixels = np.full(100, lo % 256**width, f"u{width}")
            assert shift.holds(pixels)
            pixels[63] = value % 256**width
            assert not shift.holds(pixels)


def test_no_number_is_likelier_than_another() -> None:
    """n = 3 of four candidates: each is a third of the draws, within six standard deviations."""
    count = 300_000
    seen = np.bincount(Draws(KEY, 1, 3).take(count), minlength=3)
    assert (np.abs(seen - count / 3) < 6 * (count * 2 / 9) ** 0.5).all()
