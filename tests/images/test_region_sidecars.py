"""Sidecars: every changed byte of them, and every changed pixel, is refused; what strangers write costs nothing."""

import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
import region_strategies as given_by
from hypothesis import given
from hypothesis import strategies as st
from image_strategies import filled, same

from medcrypt import AuthenticationError, FormatError, SecretKey, images
from medcrypt.errors import MedcryptError
from medcrypt.images import Polygon, decrypt_regions, encrypt_regions, outlines, runs, sidecar
from reference import regions as twin
from reference.sealed_image import RefusedError

KEY = SecretKey.from_bytes(bytes(range(32)))
FIXED = struct.Struct("<8sBBHIIBBH4sIIQQ16s")
# as in the table of the format page
NAMES = ["magic", "kind", "version", "flags", "size", "slot", "method", "rank", "zero", "dtype"]
NAMES += ["regions", "apart", "lo", "hi", "nonce"]
REGIONS = [
    np.s_[1, 2:4],
    Polygon([(0.5, 1), (4, 5.25), (4, 0)], frames=np.s_[:1]),
    np.array([True, False, True, True, False, False]),
]
ARRAY = filled((2, 5, 6), "<i2")


@pytest.fixture(scope="module")
def encrypted() -> tuple[np.ndarray, bytes]:
    """An image with every kind of region, and its sidecar."""
    return encrypt_regions(ARRAY, REGIONS, KEY, (-32768, 32766), b"study", apart=[np.s_[0, 4, 4:]])


def refused(array: np.ndarray, data: bytes, key: SecretKey = KEY, context: bytes = b"study") -> None:
    """Neither reader opens it."""
    with pytest.raises(MedcryptError):
        decrypt_regions(array, data, key, context)
    with pytest.raises(RefusedError):
        twin.read(array, data, "secret-key", key.to_bytes(), context)


def not_authentic(array: np.ndarray, data: bytes, key: SecretKey = KEY, context: bytes = b"study") -> None:
    """It is refused without a word."""
    with pytest.raises(AuthenticationError) as caught:
        decrypt_regions(array, data, key, context)
    assert caught.value.args == ()


# ---- tampering -----------------------------------------------------------------------------------------------


def test_the_untouched_image_opens(encrypted: tuple[np.ndarray, bytes]) -> None:
    assert same(decrypt_regions(*encrypted, KEY, b"study"), ARRAY)
    assert same(twin.read(*encrypted, "secret-key", KEY.to_bytes(), b"study"), ARRAY)


def test_every_flipped_bit_of_the_sidecar_is_refused(encrypted: tuple[np.ndarray, bytes]) -> None:
    safe, data = encrypted
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(MedcryptError):
            decrypt_regions(safe, bad, KEY, b"study")


def test_every_other_byte_value_in_the_header_is_refused_by_both_readers(
    encrypted: tuple[np.ndarray, bytes],
) -> None:
    safe, data = encrypted
    for at in range(FIXED.size):
        for value in {0, 1, 2, 3, 255, data[at] ^ 128} - {data[at]}:
            refused(safe, data[:at] + bytes([value]) + data[at + 1 :])


def test_every_flipped_bit_of_every_pixel_is_refused(encrypted: tuple[np.ndarray, bytes]) -> None:
    safe, data = encrypted
    apart = np.zeros(safe.shape, bool)
    apart[0, 4, 4:] = True
    for at in np.ndindex(safe.shape):
        for bit in range(16):
            bad = safe.copy()
            bad.view(np.uint16)[at] ^= 1 << bit
            if apart[at]:
                assert same(decrypt_regions(bad, data, KEY, b"study")[1], ARRAY[1])
            else:
                not_authentic(bad, data)


def test_pixels_outside_are_free_where_they_are_not_bound() -> None:
    safe, data = encrypt_regions(ARRAY, np.s_[1, 2:4], KEY, bind_outside=False)
    for at in np.ndindex(safe.shape):
        bad = safe.copy()
        bad[at] ^= 1
        if at[0] == 1 and 2 <= at[1] < 4:
            not_authentic(bad, data, context=b"")
        else:
            opened = decrypt_regions(bad, data, KEY)
            assert opened[at] == bad[at]
            assert same(opened[1, 2:4].copy(), ARRAY[1, 2:4].copy())


def test_swapped_pixels_are_refused() -> None:
    safe, data = encrypt_regions(ARRAY, [...], KEY)
    not_authentic(safe[::-1], data, context=b"")
    not_authentic(safe[:, ::-1], data, context=b"")
    large = filled((3 << 16,), "u1")
    safe, data = encrypt_regions(large, [...], KEY)
    not_authentic(np.roll(safe, 1 << 16), data, context=b"")


def test_a_sidecar_cut_at_any_byte_or_extended_is_a_format_error(encrypted: tuple[np.ndarray, bytes]) -> None:
    safe, data = encrypted
    for size in range(len(data)):
        with pytest.raises(FormatError):
            decrypt_regions(safe, data[:size], KEY, b"study")
    for more in (b"\0", data[-32:], data):
        with pytest.raises(FormatError):
            decrypt_regions(safe, data + more, KEY, b"study")


def test_a_wrong_key_context_dtype_or_shape_is_not_authentic(encrypted: tuple[np.ndarray, bytes]) -> None:
    safe, data = encrypted
    not_authentic(safe, data, SecretKey.generate())
    for context in (b"", b"studz", b"study\0", b"study" * 2):
        not_authentic(safe, data, context=context)
    for other in (
        safe.astype(">i2"),
        safe.view("<u2"),
        safe.astype("<i4"),
        safe.reshape(5, 2, 6),
        safe[None],
        safe[0],
    ):
        not_authentic(other, data)


def test_parts_of_two_sidecars_do_not_fit_together(encrypted: tuple[np.ndarray, bytes]) -> None:
    safe, data = encrypted
    _, other = encrypt_regions(ARRAY, REGIONS, KEY, (-32768, 32766), b"study", apart=[np.s_[0, 4, 4:]])
    size = FIXED.unpack(data[: FIXED.size])[NAMES.index("size")]
    for first, second in ((data, other), (other, data)):
        refused(safe, first[:size] + second[size:])
        refused(safe, first[:size] + second[size:-32] + first[-32:])
        refused(safe, first[:-32] + second[-32:])


def test_a_sealed_image_is_no_sidecar_nor_the_other_way_round(encrypted: tuple[np.ndarray, bytes]) -> None:
    safe, data = encrypted
    with pytest.raises(FormatError, match="not the sidecar"):
        decrypt_regions(safe, images.encrypt(safe, KEY), KEY)
    with pytest.raises(FormatError, match="not a sealed image"):
        images.decrypt(data, KEY)


def test_a_writer_that_left_the_range_is_refused() -> None:
    """A recipient can write a right tag; what it covers may still not decrypt to a pixel."""
    safe, data = encrypt_regions(np.zeros(9, np.uint16), [...], KEY, (0, 4095))
    parts = twin.take_apart(data)
    _, gmac_key, tag_key = twin.keys_of(parts, twin.find_file_key(parts, "secret-key", KEY.to_bytes()), b"")
    safe[4] = 4096
    forged = data[:-32] + twin.tag_of(safe, parts, gmac_key, tag_key)
    not_authentic(safe, forged, context=b"")
    refused(safe, forged, context=b"")


# ---- strangers' headers --------------------------------------------------------------------------------------


def built(
    outlines: bytes = b"", shape: tuple[int, ...] = (2, 5, 6), more: int = 0, **fields: object
) -> bytes:
    """A sidecar of unauthenticated bytes."""
    rest = struct.pack(f"<{len(shape)}Q", *shape) + outlines
    usual = {
        "magic": b"MEDCRYPT", "kind": ord("R"), "version": 1, "flags": 1, "size": FIXED.size + len(rest) + more,
        "slot": 128, "method": 1, "rank": len(shape), "zero": 0, "dtype": b"<i2 ", "regions": 1, "apart": 0,
        "lo": -5 % 2**64, "hi": 7, "nonce": bytes(16),
    }  # fmt: skip
    slot = struct.pack("<IB3xBHB", 1, 1, 9, 1, 0).ljust(128, b"\0")  # one stanza of a later version
    return FIXED.pack(*(usual | fields).values()) + rest + slot + bytes(32)


BOX = struct.pack("<B6Q", 1, 0, 2, 1, 3, 5, 6)
SQUARE = struct.pack("<I8i", 4, 0, 0, 0, 9, 9, 9, 9, 0)


@pytest.mark.parametrize(
    "data",
    [
        built(BOX, shape=(2**31, 2**31, 6)),
        built(BOX, shape=(2, 5, 6), rank=33),
        built(b"", shape=(), regions=2**32 - 1),
        built(BOX, regions=2**32 - 1),
        built(BOX, apart=2**32 - 1),
        built(b"\1" * 2**16, shape=(), apart=2**16),
        built(BOX, regions=0),
        built(BOX + b"\0"),
        built(BOX, more=-1),
        built(BOX, more=1),
        built(BOX, size=2**32 - 1),
        built(BOX, slot=2**32 - 64),
        built(BOX, slot=0),
        built(struct.pack("<B6Q", 1, 0, 3, 1, 3, 5, 6)),
        built(struct.pack("<B6Q", 1, 0, 2, 3, 1, 5, 6)),
        built(struct.pack("<B6Q", 1, 0, 2, 1, 2**64 - 1, 5, 6)),
        built(struct.pack("<B2Q", 2, 0, 3) + SQUARE),
        built(struct.pack("<B2QI", 2, 0, 1, 2**32 - 1)),
        built(struct.pack("<B2QI", 2, 0, 1, 2) + bytes(16)),
        built(struct.pack("<B2QI6i", 2, 0, 1, 3, 0, 0, 0, 2**30 + 1, 5, 5)),
        built(struct.pack("<B2QI6i", 2, 0, 1, 3, 0, 0, 0, -(2**31), 5, 5)),
        built(b"\2" + SQUARE, shape=(60,)),
        built(struct.pack("<BBBQ", 3, 3, 1, 2**60)),
        built(struct.pack("<BBBQ", 3, 4, 1, 0)),
        built(struct.pack("<BBBQ", 3, 3, 0, 0)),
        built(struct.pack("<BBBQ", 3, 3, 2, 0)),
        built(struct.pack("<BBBQBB", 3, 3, 1, 1, 60, 1)),
        built(struct.pack("<BBBQBB", 3, 1, 1, 1, 6, 1)),
        built(struct.pack("<BBBQBB", 3, 3, 1, 1, 3, 0)),
        built(struct.pack("<BBBQBBBB", 3, 3, 1, 2, 3, 1, 0, 1)),
        built(struct.pack("<BBBQHH", 3, 3, 2, 1, 3, 5)),
        built(struct.pack("<BBBQQQ", 3, 3, 8, 1, 2**63, 2**63)),
        built(struct.pack("<B", 4)),
        built(struct.pack("<B", 0)),
        built(BOX, lo=7),
        built(BOX, hi=2**15),
        built(BOX, lo=(-(2**15) - 1) % 2**64),
        built(BOX, dtype=b"<f2 ", lo=0, hi=2**16 - 2),
        built(BOX, dtype=b"<f2 ", lo=1, hi=2**16 - 1),
        built(BOX, dtype=b"|b1 ", lo=0, hi=2),
        built(BOX, dtype=b"<u8 "),
        built(BOX, dtype=b"<c8 ", lo=0, hi=2**64 - 1),
        built(BOX, dtype=b"<u1 ", lo=0),
        built(BOX, dtype=b"|O8 ", lo=0),
        built(BOX, dtype=b"\xff\xff\xff\xff"),
        built(BOX, flags=2),
        built(BOX, method=0),
        built(BOX, zero=1),
        built(BOX, version=2),
        built(BOX, kind=ord("I")),
    ],
)
def test_malformed_headers_are_format_errors_and_take_no_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(FormatError):
            decrypt_regions(ARRAY, data, KEY)
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()
    with pytest.raises(RefusedError):
        twin.take_apart(data)


def test_the_builder_of_headers_builds_good_ones() -> None:
    mask = struct.pack("<BBBQ6B", 3, 3, 1, 3, 0, 5, 1, 1, 52, 1)
    for one in (BOX, struct.pack("<B2Q", 2, 0, 2) + SQUARE, mask, struct.pack("<BBBQ", 3, 0, 1, 0)):
        for data in (built(one), built(one, regions=0, apart=1)):
            header, _, _ = sidecar.parse(data)
            assert header.header == data[:-160]
            assert header.digest == hashlib.sha512(data[:-160]).digest()
            twin.take_apart(data)
            not_authentic(ARRAY, data)


def test_regions_that_would_take_long_are_not_looked_at_before_the_slot_is_authentic() -> None:
    """Thousands of large outlines, well-formed, from somebody without the key."""
    shape = (2**20, 2**20, 1)
    column = struct.pack("<B6Q", 1, 0, 2**20, 0, 2**19, 0, 1)
    tracemalloc.start()
    try:
        not_authentic(ARRAY, built(1000 * column, shape=shape, regions=1000))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_a_polygon_with_too_many_crossings_is_refused_before_it_is_drawn() -> None:
    zigzag = [(0, 0), (2**20, 1)] * 20
    with pytest.raises(ValueError, match="cross more than"):
        encrypt_regions(np.broadcast_to(np.uint8(0), (2**20, 4)), [zigzag], KEY)
    corners = b"".join(struct.pack("<ii", int(row * 256), int(column * 256)) for row, column in zigzag)
    data = built(struct.pack("<BI", 2, 40) + corners, shape=(2**20, 4))
    with pytest.raises(FormatError, match="cross more than"):
        sidecar.parse(data)


@given(data=st.data(), shape=given_by.shapes(), at=st.integers(0, 2**16), value=st.integers(0, 255))
def test_a_header_that_parses_is_the_only_encoding_of_what_it_says(
    data: st.DataObject, shape: tuple[int, ...], at: int, value: int
) -> None:
    regions = data.draw(st.lists(given_by.regions(shape), max_size=3))
    _, whole = encrypt_regions(np.zeros(shape, "<u2"), regions, KEY, (0, 4095))
    changed = bytearray(whole)
    at %= FIXED.unpack(whole[: FIXED.size])[NAMES.index("size")]
    changed[at] = value
    in_shape = FIXED.size <= at < FIXED.size + 8 * len(shape)  # the twin would list the pixels of a giant
    for one in (whole, bytes(changed)):
        try:
            header, slot, tag = sidecar.parse(one)
        except FormatError:
            assert one != whole
            if not in_shape:
                with pytest.raises(RefusedError):
                    twin.take_apart(one)
            continue
        assert header.header + slot + tag == one
        if not in_shape:
            held = outlines.pixels_of(header.regions, header.shape)
            assert twin.take_apart(one).inside == runs.positions(held.starts, held.stops).tolist()
