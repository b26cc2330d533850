"""Words come from the operating system's seeds, are used once, and pass what random bits pass."""

import copy
import json
import math
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from medcrypt._ext.aes import AesCtr
from medcrypt.dp import noise
from medcrypt.dp.noise.generator import BLOCKS_OF_A_KEY, Generator, words_of

WORDS = 1 << 18


def test_words_are_the_key_stream_of_fresh_keys_each_used_for_2_to_the_16_blocks(monkeypatch):
    keys = []
    true_urandom = os.urandom
    monkeypatch.setattr(os, "urandom", lambda size: keys.append(true_urandom(size)) or keys[-1])
    generator = Generator()
    pieces = [np.empty(size, np.uint64) for size in (1, 3, 2 * BLOCKS_OF_A_KEY - 8, 5 * BLOCKS_OF_A_KEY)]
    for piece in pieces:
        generator.fill(piece)
    # Every fill begins a block; the last one crosses into other keys.
    first = np.empty(2 * BLOCKS_OF_A_KEY, np.uint64)
    AesCtr(keys[0]).fill(0, first)
    assert pieces[0][0] == first[0]
    np.testing.assert_array_equal(pieces[1], first[2:5])
    np.testing.assert_array_equal(pieces[2], first[6 : 6 + pieces[2].size])
    np.testing.assert_array_equal(pieces[3][:2], first[-2:])
    second = np.empty(2 * BLOCKS_OF_A_KEY, np.uint64)
    AesCtr(keys[1]).fill(0, second)
    np.testing.assert_array_equal(pieces[3][2 : 2 + second.size], second)
    assert len(keys) == 4
    assert len(set(keys)) == 4


def test_random_words_pass_simple_tests_of_randomness():
    """Ones, byte frequencies, runs and serial correlation of 2^18 words; a false alarm below 1e-6 in all."""
    words = words_of(None, WORDS)
    bits = np.unpackbits(words.view(np.uint8))
    n = bits.size
    assert abs(int(bits.sum()) - n / 2) < 5.4 * math.sqrt(n) / 2
    runs = np.count_nonzero(bits[1:] != bits[:-1])
    assert abs(runs - (n - 1) / 2) < 5.4 * math.sqrt(n) / 2
    counts = np.bincount(words.view(np.uint8), minlength=256)
    mean = counts.sum() / 256
    chi_square = ((counts - mean) ** 2 / mean).sum()
    assert abs(chi_square - 255) < 6 * math.sqrt(2 * 255)
    centred = words.view(np.uint8).astype(float) - 127.5
    assert abs((centred[1:] * centred[:-1]).mean()) < 5.4 * (256**2 - 1) / 12 / math.sqrt(centred.size)
    assert np.unique(words).size == WORDS  # a repeated 64-bit word among 2^18 has probability 2^-29


def test_threads_and_calls_draw_different_words():
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda _: words_of(None, 1000), range(32)))
    assert np.unique(np.concatenate(drawn)).size == 32_000


INTERPRETERS = """
import json, os, warnings
warnings.simplefilter("ignore")  # numpy, about interpreters
from medcrypt import dp
try:
    import _interpreters as interpreters
    other = interpreters.create("legacy")
except ImportError:
    import _xxsubinterpreters as interpreters
    other = interpreters.create(isolated=False)
read, write = os.pipe()
draw = "from medcrypt import dp; drawn = dp.noise.rounded_gaussian(1e12, 8).tolist()"
told = f"import json, os; os.write({write}, json.dumps(drawn).encode())"
caught = f"import json, os; os.write({write}, json.dumps(str(error)).encode())"
interpreters.run_string(other, f'''
import warnings
warnings.simplefilter("ignore")
try:
    {draw}
except ImportError as error:
    {caught}
else:
    {told}
''')
print(json.dumps([dp.noise.rounded_gaussian(1e12, 8).tolist(), json.loads(os.read(read, 4096))]))
"""


def test_a_second_interpreter_of_the_process_is_refused_or_draws_other_noise():
    done = subprocess.run([sys.executable, "-c", INTERPRETERS], capture_output=True, text=True, check=True)
    ours, theirs = json.loads(done.stdout)
    if isinstance(theirs, str):
        assert "interpreter" in theirs
    else:
        assert not set(ours) & set(theirs)


def test_a_generator_is_neither_pickled_nor_copied():
    for generator in (Generator(), noise.ReproducibleGenerator(bytes(32))):
        for leak in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="neither pickled nor copied"):
                leak(generator)


def test_a_reproducible_generator_repeats_and_other_seeds_differ():
    def drawn(seed):
        return noise.rounded_gaussian(1e6, 50, generator=noise.ReproducibleGenerator(seed)).tolist()

    assert drawn(bytes(32)) == drawn(bytes(32))
    assert drawn(bytes(32)) != drawn(bytes([1]) + bytes(31))
    with pytest.raises(ValueError, match="32 bytes"):
        noise.ReproducibleGenerator(b"short")


def test_further_words_depend_on_the_trial_and_never_meet_the_stream():
    generator = noise.ReproducibleGenerator(bytes(32))
    a, b = generator.further(0), generator.further(1)
    words = [a(), a(), b(), b(), generator.further(0)()]
    assert len(set(words[:4])) == 4
    assert words[4] == words[0]
    stream = np.empty(1000, np.uint64)
    generator.fill(stream)
    assert not set(words) & set(stream.tolist())


def test_output_arrays_of_any_layout_are_filled():
    def drawn(**arguments):
        return noise.skellam(50.0, generator=noise.ReproducibleGenerator(bytes(32)), **arguments)

    expected = drawn(size=(40, 30))
    plain = np.empty((40, 30), np.int64)
    assert drawn(out=plain) is plain
    np.testing.assert_array_equal(plain, expected)
    wide = np.full((80, 60), 7, np.int64)
    drawn(out=wide[::2, ::2])
    np.testing.assert_array_equal(wide[::2, ::2], expected)
    assert (wide[1::2] == 7).all()
    np.testing.assert_array_equal(drawn(out=np.empty((30, 40), np.int64).T), expected)
    single = np.empty((), np.int64)
    assert drawn(out=single, size=()) is single
    with pytest.raises(ValueError, match="shape"):
        drawn(out=plain, size=(30, 40))
    for bad in (np.empty(3), np.empty(3, np.uint64), np.empty(3, ">i8"), [0]):
        with pytest.raises(TypeError, match="int64"):
            drawn(out=bad)
    for strides, shape in (((0,), (5,)), ((8, 8), (3, 3)), ((16, 8), (2, 3))):
        overlapping = np.lib.stride_tricks.as_strided(np.zeros(20, np.int64), shape, strides)
        with pytest.raises(ValueError, match="twice"):
            drawn(out=overlapping)
    plain.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        drawn(out=plain)
