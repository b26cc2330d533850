"""Encrypted regions: what changes, what does not, what comes back, and who can bring it back."""

import tracemalloc
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
import region_strategies as given_by
from hypothesis import given
from hypothesis import strategies as st
from image_strategies import LAYOUTS, filled, laid_out, same

from medcrypt import AuthenticationError, Identity, Passphrase, SecretKey, images
from medcrypt.images import decrypt_regions, encrypt_regions
from medcrypt.images.format_preserving import Shift
from medcrypt.images.regions import _Areas
from reference import regions as twin
from reference.sealed_image import RefusedError

KEY = SecretKey.from_bytes(bytes(range(32)))


def by_twin(array: np.ndarray, sidecar: bytes, context: bytes = b"") -> np.ndarray:
    return twin.read(array, sidecar, "secret-key", KEY.to_bytes(), context)


def bits(array: np.ndarray) -> np.ndarray:
    """Return the pixels as unsigned words, so that NaN equals itself."""
    return np.ascontiguousarray(array).view(f"u{array.itemsize}") if array.ndim else array.reshape(1)


@given(
    data=st.data(),
    shape=given_by.shapes(),
    dtype=st.sampled_from(given_by.INTEGERS),
    seed=st.integers(0, 2**32),
)
def test_regions_come_back_here_and_in_the_readable_twin(
    data: st.DataObject, shape: tuple[int, ...], dtype: str, seed: int
) -> None:
    regions = data.draw(st.lists(given_by.regions(shape), max_size=3))
    lo, hi = data.draw(given_by.ranges(dtype))
    context, bound = data.draw(st.binary(max_size=5)), data.draw(st.booleans())
    array = given_by.within(shape, dtype, lo, hi, seed)
    before = array.copy()
    safe, sidecar = encrypt_regions(array, regions, KEY, (lo, hi), context, bind_outside=bound)
    assert same(array, before)
    assert safe.dtype.str == array.dtype.str
    assert safe.shape == shape
    assert safe.flags.c_contiguous
    assert not np.may_share_memory(safe, array)
    inside = given_by.masks_of(regions, shape)
    assert (safe[~inside] == array[~inside]).all()
    assert ((safe[inside] >= lo) & (safe[inside] <= hi)).all()
    assert same(decrypt_regions(safe, sidecar, KEY, context), array)
    assert same(by_twin(safe, sidecar, context), array)


@given(
    data=st.data(),
    shape=given_by.shapes(2),
    dtype=st.sampled_from(given_by.INTEGERS),
    seed=st.integers(0, 2**32),
)
def test_the_readable_twin_writes_the_same_pixels_and_tag(
    data: st.DataObject, shape: tuple[int, ...], dtype: str, seed: int
) -> None:
    regions, (lo, hi) = (
        data.draw(st.lists(given_by.regions(shape), max_size=2)),
        data.draw(given_by.ranges(dtype)),
    )
    array = given_by.within(shape, dtype, lo, hi, seed)
    safe, data_of_sidecar = encrypt_regions(array, regions, KEY, (lo, hi), b"study")
    sidecar = twin.take_apart(data_of_sidecar)
    assert sidecar.inside == np.flatnonzero(given_by.masks_of(regions, shape)).tolist()
    file_key = twin.find_file_key(sidecar, "secret-key", KEY.to_bytes())
    written, tag = twin.encrypt(array, sidecar, file_key, b"study")
    assert same(written, safe)
    assert tag == sidecar.tag


@given(
    shape=given_by.shapes(1),
    dtype=st.sampled_from(given_by.INTEGERS),
    layout=st.sampled_from(LAYOUTS),
    kept=st.sampled_from(LAYOUTS),
)
def test_every_dtype_byte_order_and_layout(
    shape: tuple[int, ...], dtype: str, layout: str, kept: str
) -> None:
    array = laid_out(shape, dtype, layout)
    safe, sidecar = encrypt_regions(array, [...], KEY)
    other = laid_out(shape, dtype, kept)
    if kept not in ("broadcast", "read-only"):  # the encrypted image may lie anywhere too
        other[...] = safe
        safe = other
    assert same(decrypt_regions(safe, sidecar, KEY), np.ascontiguousarray(array))


@given(shape=given_by.shapes(1), dtype=st.sampled_from(given_by.FLOATS), seed=st.integers(0, 2**32))
def test_floats_come_back_bit_for_bit(shape: tuple[int, ...], dtype: str, seed: int) -> None:
    array = filled(shape, dtype, seed)  # any bits: NaN with payloads, infinities, negative zero
    safe, sidecar = encrypt_regions(array, np.s_[:3], KEY, bit_patterns=True)
    assert same(decrypt_regions(safe, sidecar, KEY), array)
    assert same(by_twin(safe, sidecar), array)
    assert same(safe[3:].copy(), array[3:].copy())


def test_nan_and_infinity_survive_inside_and_outside() -> None:
    array = np.array([np.nan, np.inf, -np.inf, -0.0, np.nan, 1.5])
    safe, sidecar = encrypt_regions(array, np.s_[:4], KEY, bit_patterns=True)
    assert (bits(safe)[4:] == bits(array)[4:]).all()
    assert (bits(decrypt_regions(safe, sidecar, KEY)) == bits(array)).all()


@pytest.mark.parametrize(("lo", "hi"), [(0, 4095), (-1024, 3071), (0, 4999), (-2000, -1), (7, 8)])
def test_pixels_stay_in_the_range_of_bits_stored(lo: int, hi: int) -> None:
    array = given_by.within((64, 64), "<i2", lo, hi, 1)
    array[40:] = 32767  # outside of the region anything goes
    safe, sidecar = encrypt_regions(array, np.s_[:40], KEY, (lo, hi))
    assert safe[:40].min() >= lo
    assert safe[:40].max() <= hi
    assert (safe[40:] == 32767).all()
    assert (decrypt_regions(safe, sidecar, KEY) == array).all()


@pytest.mark.parametrize("dtype", ["<u8", ">u8", "<i8", ">i8"])
@pytest.mark.parametrize("less", [0, 1, 2, 2**62])
def test_ranges_of_64_bits_do_not_overflow(dtype: str, less: int) -> None:
    limits = np.iinfo(dtype)
    lo, hi = int(limits.min) + less // 2, int(limits.max) - less
    array = given_by.within((500,), dtype, lo, hi, 2)
    safe, sidecar = encrypt_regions(array, [...], KEY, (lo, hi))
    assert (safe != array).sum() > 490
    assert same(decrypt_regions(safe, sidecar, KEY), array)
    assert same(by_twin(safe, sidecar), array)


# ---- what the encrypted pixels tell ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "lo", "hi"),
    [("u1", 0, 255), ("i1", -128, 127), ("u1", 10, 15), ("u2", 0, 199), ("i4", -3, 3), ("b1", 0, 1)],
)
@pytest.mark.parametrize("picture", ["least", "largest", "gradient"])
def test_encrypted_pixels_are_uniform_whatever_the_image(dtype: str, lo: int, hi: int, picture: str) -> None:
    """Pearson's chi-square; a false alarm has a probability of 1e-9."""
    count, n = 1 << 17, hi - lo + 1
    values = {
        "least": np.full(count, lo),
        "largest": np.full(count, hi),
        "gradient": lo + np.arange(count) * n // count,
    }
    safe, _ = encrypt_regions(values[picture].astype(dtype), [...], KEY, (lo, hi))
    seen = np.bincount(safe.astype(np.int64) - lo, minlength=n)
    statistic = float(((seen - count / n) ** 2 / (count / n)).sum())
    assert mpmath.gammainc((n - 1) / 2, statistic / 2, mpmath.inf, regularized=True) > 1e-9


def test_every_call_draws_anew() -> None:
    array = np.zeros(64, np.uint8)
    (one, first), (two, second) = (encrypt_regions(array, [...], KEY) for _ in range(2))
    assert not (one == two).all()
    assert first != second
    with pytest.raises(AuthenticationError):
        decrypt_regions(one, second, KEY)


def test_the_union_is_encrypted_once() -> None:
    """Twice the same region would be a sum of two draws, and could not be told; the twin would differ."""
    array = filled((20, 20), "<u2")
    mask = np.zeros((20, 20), bool)
    mask[5:15, 3:9] = True
    regions = [np.s_[5:15, 3:9], mask, [(5, 3), (5, 9), (15, 9), (15, 3)], np.s_[7:9, 4:5]]
    safe, sidecar = encrypt_regions(array, regions, KEY)
    assert (safe[~mask] == array[~mask]).all()
    assert twin.take_apart(sidecar).inside == np.flatnonzero(mask).tolist()
    assert same(by_twin(safe, sidecar), array)


@pytest.mark.parametrize(("lo", "hi"), [(0, 255), (3, 202)])
@pytest.mark.parametrize("bound", [True, False])
def test_more_pixels_than_a_block_on_every_path(
    kernel_path: str, monkeypatch: pytest.MonkeyPatch, lo: int, hi: int, bound: bool
) -> None:
    monkeypatch.setenv("MEDCRYPT_KERNELS", kernel_path)
    array = given_by.within((3, 211, 307), "u1", lo, hi, 3)
    mask = np.random.default_rng(4).random((211, 307)) < 0.4
    safe, sidecar = encrypt_regions(array, [mask, np.s_[1:, 10:200]], KEY, (lo, hi), bind_outside=bound)
    assert same(by_twin(safe, sidecar), array)
    assert same(decrypt_regions(safe, sidecar, KEY), array)


def test_only_one_copy_of_the_image_is_made() -> None:
    array = np.zeros((64, 512, 512), np.uint16)
    for regions in ([...], [np.s_[:, 100:400, 50:60]], [[(0, 0), (512, 0), (0, 512)]]):
        tracemalloc.start()
        try:
            safe, sidecar = encrypt_regions(array, regions, KEY, (0, 4095))
            encrypting = tracemalloc.get_traced_memory()[1]
            tracemalloc.reset_peak()
            decrypt_regions(safe, sidecar, KEY)
            decrypting = tracemalloc.get_traced_memory()[1] - safe.nbytes
        finally:
            tracemalloc.stop()
        assert max(encrypting, decrypting) < 1.15 * array.nbytes


# ---- keys --------------------------------------------------------------------------------------------------


def test_each_of_several_recipients_restores_the_regions() -> None:
    identity, array = Identity.generate(), filled((9, 9), "<i4")
    safe, sidecar = encrypt_regions(array, np.s_[2:5], [KEY, identity.recipient])
    for key in (KEY, identity):
        assert same(decrypt_regions(safe, sidecar, key), array)
    assert same(twin.read(safe, sidecar, "identity", identity.to_bytes()), array)
    for key in (SecretKey.generate(), Identity.generate()):
        with pytest.raises(AuthenticationError):
            decrypt_regions(safe, sidecar, key)


def test_a_passphrase_restores_the_regions() -> None:
    array = filled((9, 9), "<u2")
    safe, sidecar = encrypt_regions(array, np.s_[2:5], Passphrase("four words of nonsense"))
    assert same(decrypt_regions(safe, sidecar, Passphrase("four words of nonsense")), array)
    with pytest.raises(AuthenticationError):
        decrypt_regions(safe, sidecar, Passphrase("four words of sense"))


@pytest.mark.parametrize("face_first", [True, False])
def test_regions_of_two_keys_are_restored_in_any_order(face_first: bool) -> None:
    array, other = filled((3, 30, 30), ">u2"), SecretKey.generate()
    face, text = [(2, 2), (2, 20), (15, 9)], np.s_[..., 25:, :]
    safe, for_face = encrypt_regions(array, [face], KEY, apart=[text])
    safe, for_text = encrypt_regions(safe, [text], other, apart=[for_face])
    steps = [(for_face, KEY), (for_text, other)]
    for sidecar, key in steps if face_first else reversed(steps):
        safe = decrypt_regions(safe, sidecar, key)
    assert same(safe, array)


def test_one_key_sees_only_its_regions() -> None:
    array, other = filled((10, 10), "u1"), SecretKey.generate()
    safe, mine = encrypt_regions(array, np.s_[:3], KEY, apart=np.s_[5:])
    safe, theirs = encrypt_regions(safe, np.s_[5:], other, apart=mine)
    opened = decrypt_regions(safe, mine, KEY)
    assert (opened[:5] == array[:5]).all()
    assert (opened[5:] == safe[5:]).all()
    with pytest.raises(AuthenticationError):
        decrypt_regions(safe, theirs, KEY)


def test_undeclared_regions_of_another_key_come_off_in_reverse_order() -> None:
    array, other = filled((10, 10), "u1"), SecretKey.generate()
    once, first = encrypt_regions(array, np.s_[:6], KEY)
    twice, second = encrypt_regions(once, np.s_[3:], other)
    with pytest.raises(AuthenticationError):
        decrypt_regions(twice, first, KEY)
    assert same(decrypt_regions(decrypt_regions(twice, second, other), first, KEY), array)


def test_overlapping_regions_under_different_keys_are_refused() -> None:
    array = filled((10, 10), "u1")
    _, sidecar = encrypt_regions(array, np.s_[:3], KEY)
    mask = np.zeros((10, 10), bool)
    mask[2, 9] = True
    for apart in (sidecar, [sidecar], np.s_[2:4], [mask], [[(0, 0), (0, 9), (9, 0)]], [np.s_[5:7], sidecar]):
        with pytest.raises(ValueError, match="overlap"):
            encrypt_regions(array, np.s_[2:4], SecretKey.generate(), apart=apart)
    with pytest.raises(ValueError, match="another shape"):
        encrypt_regions(filled((10, 11), "u1"), [], KEY, apart=sidecar)


@pytest.mark.parametrize("bind_outside", [True, False])
def test_a_sidecar_whose_own_regions_are_apart_is_refused(
    monkeypatch: pytest.MonkeyPatch, bind_outside: bool
) -> None:
    whole = _Areas.of
    with monkeypatch.context() as patch:  # a writer that does not look
        patch.setattr(_Areas, "of", lambda sidecar: replace(whole(sidecar), overlap=False))
        safe, sidecar = encrypt_regions(
            filled((10, 10), "u1"), np.s_[2:6], KEY, apart=np.s_[5:], bind_outside=bind_outside
        )
    with pytest.raises(AuthenticationError):
        decrypt_regions(safe, sidecar, KEY)
    with pytest.raises(RefusedError):
        twin.read(safe, sidecar, "secret-key", KEY.to_bytes())


# ---- into arrays of the caller's ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["|u1", ">i2", "<u8"])
def test_into_an_array_and_in_place(dtype: str) -> None:
    array, region = filled((4, 9, 7), dtype), [np.s_[1:3, 2:, :5]]
    room = np.zeros_like(array)
    safe, sidecar = encrypt_regions(array, region, KEY, out=room)
    assert safe is room
    assert same(by_twin(safe, sidecar), array)
    place = array.copy()
    again, other = encrypt_regions(place, region, KEY, out=place)
    assert again is place
    assert same(decrypt_regions(place, other, KEY, out=place), array)
    assert same(place, array)
    assert same(decrypt_regions(safe[::1], sidecar, KEY, out=np.empty_like(array)), array)


def test_in_place_an_error_changes_nothing() -> None:
    array = np.arange(200_000, dtype=np.uint32).reshape(400, 500)
    before = array.copy()
    with pytest.raises(ValueError, match="outside of"):
        encrypt_regions(array, [...], KEY, (0, 199_998), out=array)
    assert same(array, before)
    safe, sidecar = encrypt_regions(array, [...], KEY, (0, 199_999))
    encrypted = safe.copy()
    for wrong in (SecretKey.generate(), KEY):
        if wrong is KEY:
            safe[3, 3] ^= 1
            encrypted = safe.copy()
        with pytest.raises(AuthenticationError):
            decrypt_regions(safe, sidecar, wrong, out=safe)
        assert same(safe, encrypted)


def test_in_place_a_writer_that_left_the_range_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(200_000, dtype=np.uint32).reshape(400, 500)
    with monkeypatch.context() as patch:
        patch.setattr(Shift, "holds", lambda *_: True)
        safe, sidecar = encrypt_regions(array, [...], KEY, (0, 99_999))
    before = safe.copy()
    assert safe.max() > 99_999
    with pytest.raises(AuthenticationError):
        decrypt_regions(safe, sidecar, KEY, out=safe)
    assert same(safe, before)


def test_an_array_that_cannot_hold_the_image_is_refused() -> None:
    array = filled((6, 8), "<u2")
    read_only = np.empty_like(array)
    read_only.flags.writeable = False
    wrong = [
        array[::-1], array.ravel()[:48].reshape(8, 6), np.empty((6, 8), ">u2"), np.empty((6, 9), "<u2"),
        np.empty((6, 8), "<u2", order="F"), np.empty((6, 16), "<u2")[:, ::2], read_only,
        np.ma.masked_array(np.empty_like(array)), bytearray(96),
    ]  # fmt: skip
    whole = np.empty((7, 8), "<u2")
    for out in wrong:
        with pytest.raises((ValueError, TypeError)):
            encrypt_regions(array, [...], KEY, out=out)
    with pytest.raises(ValueError, match="overlaps"):
        encrypt_regions(whole[:6], [...], KEY, out=whole[1:])


# ---- edges -------------------------------------------------------------------------------------------------


def test_no_region_encrypts_nothing_and_authenticates_everything() -> None:
    array = filled((5, 6), "<u2")
    for regions in ([], np.s_[3:3], [np.s_[5:, 6:]], np.zeros((5, 6), bool), [np.zeros(6, bool)]):
        safe, sidecar = encrypt_regions(array, regions, KEY)
        assert same(safe, array)
        assert same(decrypt_regions(safe, sidecar, KEY), array)
        safe[4, 5] ^= 1
        with pytest.raises(AuthenticationError):
            decrypt_regions(safe, sidecar, KEY)


@pytest.mark.parametrize("shape", [(), (1,), (0,), (0, 5), (3, 0, 2)])
def test_arrays_of_one_pixel_and_of_none(shape: tuple[int, ...]) -> None:
    array = np.full(shape, 7, ">i2")
    safe, sidecar = encrypt_regions(array, [..., np.ones(shape, bool)], KEY)
    assert same(decrypt_regions(safe, sidecar, KEY), array)


def test_whatever_numpy_takes_for_an_array() -> None:
    safe, sidecar = encrypt_regions([[1, 2], [3, 4]], np.s_[0], KEY)
    assert (safe[1] == [3, 4]).all()
    assert decrypt_regions(safe.tolist(), sidecar, KEY).tolist() == [[1, 2], [3, 4]]
    assert decrypt_regions(safe, memoryview(bytearray(sidecar)), KEY).tolist() == [[1, 2], [3, 4]]


# ---- arguments ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1, 4096, 32767, -32768])
def test_a_pixel_outside_of_the_range_is_a_value_error(bad: int) -> None:
    array = np.zeros((400, 400), np.int16)
    array[399, 398] = bad
    with pytest.raises(ValueError, match="outside of 0 to 4095"):
        encrypt_regions(array, [...], KEY, (0, 4095))
    assert encrypt_regions(array, np.s_[:399], KEY, (0, 4095))[0][399, 398] == bad


@pytest.mark.parametrize(
    "value_range", [(0, 65536), (-1, 5), (5, 5), (6, 5), (0, 2**64), (0,), (0, 1, 2), (0, 2.5), 7, "ab"]
)
def test_ranges_that_the_dtype_does_not_have_are_refused(value_range: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encrypt_regions(np.zeros(3, np.uint16), [...], KEY, value_range)


@pytest.mark.parametrize("dtype", ["c8", "c16", "O", "S3", "U2", "M8[s]", "V4", "u1,u2", np.longdouble])
def test_other_dtypes_are_type_errors(dtype: Any) -> None:
    with pytest.raises(TypeError, match="cannot be encrypted"):
        encrypt_regions(np.zeros(3, dtype), [], KEY, bit_patterns=True)


def test_floats_need_bit_patterns_and_have_no_other_range() -> None:
    with pytest.raises(TypeError, match="bit_patterns"):
        encrypt_regions(np.zeros(3), [...], KEY)
    with pytest.raises(ValueError, match="whole range"):
        encrypt_regions(np.zeros(3), [...], KEY, (0, 1), bit_patterns=True)


def test_masked_arrays_are_type_errors() -> None:
    with pytest.raises(TypeError, match="lose its mask"):
        encrypt_regions(np.ma.masked_array([1, 2], [True, False]), [...], KEY)


def test_keys_contexts_and_sidecars_of_other_types_are_type_errors() -> None:
    array, identity = np.zeros(3, np.uint8), Identity.generate()
    safe, sidecar = encrypt_regions(array, [...], KEY)
    with pytest.raises(TypeError, match="public half"):
        encrypt_regions(array, [...], identity)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="context must be bytes"):
        encrypt_regions(array, [...], KEY, context="study")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="context must be bytes"):
        decrypt_regions(safe, sidecar, KEY, "study")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="sidecar must be bytes"):
        decrypt_regions(safe, sidecar.hex(), KEY)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="SecretKey, Identity or Passphrase"):
        decrypt_regions(safe, sidecar, identity.recipient)  # type: ignore[arg-type]


def test_the_front_door_has_them() -> None:
    assert {"encrypt_regions", "decrypt_regions", "Polygon"} <= set(images.__all__)
