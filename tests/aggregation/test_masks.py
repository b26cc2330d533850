"""Masks: the twin on every path, what goes on comes off, values on the wire."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt.aggregation.masks import apply_masks, pack, unpack, value_bytes, words_of
from reference import aes_ctr

BITS = st.integers(2, 62)


def mask(key: bytes, count: int, bits: int) -> list[int]:
    """The mask of a key modulo 2^bits, from the key stream of the readable twin."""
    size = 4 if bits <= 32 else 8
    stream = aes_ctr.stream(key, 0, count * size)
    words = [int.from_bytes(stream[i * size : (i + 1) * size], "little") for i in range(count)]
    return [word % (1 << bits) for word in words]


@given(
    bits=BITS,
    values=st.lists(st.integers(-(2**61), 2**61), max_size=9),
    adding=st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    subtracting=st.lists(st.binary(min_size=32, max_size=32), max_size=3),
)
def test_masked_words_equal_the_sum_modulo_the_power(
    bits: int, values: list[int], adding: list[bytes], subtracting: list[bytes]
) -> None:
    words = words_of(np.array(values, np.int64), bits)
    apply_masks(words, adding, subtracting)
    expected = list(values)
    for key in adding:
        expected = [v + m for v, m in zip(expected, mask(key, len(values), bits), strict=True)]
    for key in subtracting:
        expected = [v - m for v, m in zip(expected, mask(key, len(values), bits), strict=True)]
    assert [int(word) % (1 << bits) for word in words] == [v % (1 << bits) for v in expected]


@pytest.mark.parametrize("bits", [20, 41])
@pytest.mark.parametrize("size", [1, 4, 32767, 32768, 32769, 100_003])
def test_pieces_continue_one_key_stream(
    bits: int, size: int, kernel_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from Crypto.Cipher import AES

    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    words = words_of(np.zeros(size, np.int64), bits)
    apply_masks(words, [bytes(range(32))], [])
    stream = AES.new(bytes(range(32)), AES.MODE_CTR, nonce=b"", initial_value=0).encrypt(bytes(words.nbytes))
    assert words.tobytes() == stream


@given(bits=BITS, data=st.data())
def test_what_is_packed_is_read_back_modulo_the_power(bits: int, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(-(2**62), 2**62 - 1), max_size=20))
    packed = pack(words_of(np.array(values, np.int64), bits), bits)
    assert len(packed) == len(values) * value_bytes(bits)
    assert [int(w) for w in unpack(memoryview(packed), len(values), bits)] == [
        v % (1 << bits) for v in values
    ]
    assert packed == b"".join((v % (1 << bits)).to_bytes(-(-bits // 8), "little") for v in values)


@given(bits=BITS.filter(lambda bits: bits % 8), count=st.integers(1, 5))
def test_values_that_do_not_fit_are_refused(bits: int, count: int) -> None:
    largest = ((1 << bits) - 1).to_bytes(value_bytes(bits), "little")
    too_large = (1 << bits).to_bytes(value_bytes(bits), "little")
    assert int(unpack(memoryview(count * largest), count, bits)[-1]) == (1 << bits) - 1
    with pytest.raises(ValueError, match="does not fit"):
        unpack(memoryview((count - 1) * largest + too_large), count, bits)
    with pytest.raises(ValueError, match="not"):
        unpack(memoryview(count * largest + b"\0"), count, bits)
