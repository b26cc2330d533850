"""The lattice kernels: the generator and the network of passes, against the twin in Python integers."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext import chaos
from reference import chaotic_cipher as reference

SEEDS = st.binary(min_size=64, max_size=64)
# Rows have 512 bytes: nothing, less than one, whole ones, and a tail.
SIZES = st.sampled_from([0, 1, 63, 64, 511, 512, 513, 1023, 1024, 1536, 2000])


def sealed(seed, data, **options):
    out = bytearray(len(data))
    chaos.seal_rows(seed, data, out, **options)
    return bytes(out)


def opened(seed, data, **options):
    out = bytearray(len(data))
    chaos.open_rows(seed, data, out, **options)
    return bytes(out)


def streamed(seed, data, **options):
    out = bytearray(len(data))
    chaos.stream(seed, data, out, **options)
    return bytes(out)


@given(seed=SEEDS, size=SIZES, passes=st.integers(1, 5), steps=st.sampled_from([1, 3, 8, 8, 11, 16]))
def test_the_passes_are_those_of_the_twin(kernel_path, seed, size, passes, steps):
    data = np.random.default_rng(size).bytes(size)
    found = sealed(seed, data, passes=passes, steps=steps, path=kernel_path)
    assert found == reference.seal_rows(seed, data, passes, steps)
    assert opened(seed, found, passes=passes, steps=steps, path=kernel_path) == data
    assert reference.open_rows(seed, found, passes, steps) == data


@given(seed=SEEDS, size=SIZES, offset=st.integers(0, 2000), steps=st.sampled_from([1, 7, 8, 16, 17]))
def test_the_stream_is_that_of_the_twin_from_any_byte_on(kernel_path, seed, size, offset, steps):
    data = np.random.default_rng(size).bytes(size)
    found = streamed(seed, data, offset=offset, steps=steps, path=kernel_path)
    assert found == reference.stream(seed, data, offset, steps)


def test_large_images_are_the_same_on_every_path(kernel_path):
    seed, data = bytes(range(64)), np.random.default_rng(7).bytes(512 * 300 + 77)
    found = sealed(seed, data, path=kernel_path)
    assert found == sealed(seed, data, path="portable")
    assert opened(seed, found, path=kernel_path) == data
    assert streamed(seed, data, path=kernel_path) == streamed(seed, data, path="portable")


def test_the_last_row_that_an_offset_reaches_is_that_of_the_twin(kernel_path):
    offset = 2**64 - 512
    data = bytes(512)
    assert streamed(bytes(range(64)), data, offset=offset, path=kernel_path) == reference.stream(
        bytes(range(64)), data, offset
    )


def test_a_step_is_a_bijection_with_an_inverse():
    rng = np.random.default_rng(1)
    for steps in range(20):
        x = [int(word) for word in rng.integers(0, 2**64, 8, dtype=np.uint64)]
        assert reference.backward(reference.forward(x, steps), steps) == x


def flips(size, byte, seed, **options):
    """Which bytes change when one bit of one byte does."""
    data = bytearray(np.random.default_rng(3).bytes(size))
    before = np.frombuffer(sealed(seed, bytes(data), **options), np.uint8)
    data[byte] ^= 1
    after = np.frombuffer(sealed(seed, bytes(data), **options), np.uint8)
    return before != after


@pytest.mark.parametrize("byte", [0, 511, 512, 20 * 512 - 1, 20 * 512 + 5])
def test_every_byte_depends_on_every_byte(byte):
    changed = np.mean([flips(20 * 512 + 100, byte, os.urandom(64)) for _ in range(64)], axis=0)
    # 1 - 2^-8 of 64: a byte that did not change in more than 8 of them has probability below 10^-9.
    assert changed.min() >= 56 / 64


@pytest.mark.parametrize("byte", [0, 20 * 512 - 1])
def test_a_single_pass_does_not_diffuse_and_that_is_why_there_are_four(byte):
    assert flips(20 * 512, byte, bytes(range(64)), passes=1).mean() < 0.3


@pytest.mark.parametrize("call", [chaos.seal_rows, chaos.open_rows, chaos.stream])
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="64 bytes"):
        call(bytes(63), b"", bytearray())
    with pytest.raises(ValueError, match="dst"):
        call(bytes(64), bytes(5), bytearray(6))
    both = np.zeros(100, np.uint8)
    with pytest.raises(ValueError, match="overlap"):
        call(bytes(64), both[:60], both[40:])
    with pytest.raises(ValueError, match="this processor can run"):
        call(bytes(64), b"", bytearray(), path="sse9")
    with pytest.raises(ValueError, match="steps"):
        call(bytes(64), b"", bytearray(), steps=0)
    with pytest.raises(BufferError):
        call(bytes(64), bytes(5), bytes(5))


def test_too_many_passes_are_refused():
    for passes in (0, 17):
        with pytest.raises(ValueError, match="passes"):
            chaos.seal_rows(bytes(64), b"", bytearray(), passes=passes)
