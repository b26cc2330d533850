"""NIfTI images, sealed whole and voxel by voxel: every byte comes back, and nothing that was changed does."""

import gzip
import io
import struct
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.nifti1 import Nifti1Extension

from medcrypt import AuthenticationError, FormatError, Identity, MedcryptError, SecretKey, images
from medcrypt.integrations import nifti, nifti_voxels

DATA = Path(nibabel.__file__).parent / "tests" / "data"
KEY = SecretKey.from_bytes(bytes(range(32)))
SINGLE = sorted(path for path in DATA.iterdir() if path.name.endswith((".nii", ".nii.gz")))
NUMBERS = ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", "c8", "c16"]
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def plain(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def volume(
    shape: tuple[int, ...] = (7, 5, 3),
    dtype: str | np.dtype = "<i2",
    second: bool = False,
    big: bool = False,
    extensions: tuple[bytes, ...] = (),
) -> bytes:
    """Return a NIfTI file with random bits as voxels, whatever they mean in the dtype."""
    kind = np.dtype(dtype)
    voxels = np.frombuffer(np.random.default_rng(1).bytes(int(np.prod(shape)) * kind.itemsize), kind).reshape(
        shape
    )
    single = nibabel.Nifti2Image if second else nibabel.Nifti1Image
    header = single.header_class(endianness=">" if big else "<")
    header.set_data_dtype(kind)
    image = single(np.zeros(shape, "u1"), np.diag([2, 2, 3, 1]), header)
    image.header.set_data_shape(shape)
    image.header.set_slope_inter(1, 0)
    for text in extensions:
        image.header.extensions.append(Nifti1Extension(6, text))
    out = io.BytesIO()
    image.header["vox_offset"] = image.header.single_vox_offset + image.header.extensions.get_sizeondisk()
    image.header["magic"] = image.header.single_magic
    image.header.write_to(out)
    out.write(bytes(int(image.header["vox_offset"]) - out.tell()))
    return out.getvalue() + voxels.astype(voxels.dtype.newbyteorder(">" if big else "<")).tobytes()


def flipped(data: bytes, place: int, bit: int = 0) -> bytes:
    return data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


def quietly(data: bytes) -> nibabel.Nifti1Image:
    single = (
        nibabel.Nifti2Image if 540 in struct.unpack("<i", data[:4]) + struct.unpack(">i", data[:4]) else None
    )
    return (single or nibabel.Nifti1Image).from_bytes(data)


def bits(image: nibabel.Nifti1Pair) -> bytes:
    """Return the voxels as they lie in the file."""
    return image.dataobj.get_unscaled().tobytes(order="F")


# --- whole files ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: path.name)
def test_every_file_that_nibabel_ships_comes_back_byte_for_byte(path: Path, tmp_path: Path) -> None:
    sealed = nifti.seal(path, KEY, tmp_path)
    assert sealed == tmp_path / f"{path.name}.mcrypt"
    assert path.read_bytes()[:100] not in sealed.read_bytes()
    assert nifti.unseal(sealed, KEY) == path.read_bytes()
    (tmp_path / "back").mkdir()
    assert nifti.unseal(sealed, KEY, tmp_path / "back").read_bytes() == path.read_bytes()
    assert (tmp_path / "back" / path.name).exists()
    expected = quietly(plain(path))
    found = nifti.load(sealed, KEY)
    assert found.header == expected.header
    assert bits(found) == bits(expected)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("named", [".hdr", ".img"])
@pytest.mark.parametrize("kind", [nibabel.Nifti1Pair, nibabel.Nifti2Pair])
def test_a_pair_is_sealed_together_and_comes_back(
    kind: type, named: str, suffix: str, tmp_path: Path
) -> None:
    image = kind(np.arange(60, dtype="i2").reshape(3, 4, 5), np.eye(4))
    image.to_filename(tmp_path / f"scan.v2.img{suffix}")
    originals = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(originals) == 2
    sealed = nifti.seal(tmp_path / f"scan.v2{named}{suffix}", KEY, tmp_path)
    (tmp_path / "back").mkdir()
    assert nifti.unseal(sealed, KEY, tmp_path / "back") == tmp_path / "back" / f"scan.v2.hdr{suffix}"
    assert {path.name: path.read_bytes() for path in (tmp_path / "back").iterdir()} == originals
    assert np.array_equal(nifti.load(sealed, KEY).dataobj, image.dataobj)
    with images.open(sealed, KEY) as opened:
        assert opened.metadata["content"] == "nifti-pair"
        assert opened.metadata["shape"] == [3, 4, 5]
    with pytest.raises(FileExistsError):
        nifti.unseal(sealed, KEY, tmp_path / "back")
    (tmp_path / "back" / f"scan.v2.hdr{suffix}").unlink()
    with pytest.raises(FileExistsError):
        nifti.unseal(sealed, KEY, tmp_path / "back")
    assert len(list((tmp_path / "back").iterdir())) == 1  # neither file is written where one is in the way
    with pytest.raises(ValueError, match="folder"):
        nifti.unseal(sealed, KEY, tmp_path / "file")


def test_metadata_of_a_sealed_file_tell_shape_and_type_to_key_holders_only() -> None:
    sealed = nifti.seal(DATA / "example4d.nii.gz", KEY)
    with images.open(sealed, KEY) as opened:
        assert opened.metadata == {
            "content": "nifti",
            "filename": "example4d.nii.gz",
            "shape": [128, 96, 24, 2],
            "dtype": "<i2",
        }
        assert opened.public_metadata == {}


@pytest.mark.parametrize(
    "data", [b"", b"n+1", bytes(352), b"\x5c\x01\0\0" + bytes(348), b"\x1f\x8bnonsense", b"{}" * 300]
)
def test_what_is_not_nifti_is_refused(data: bytes) -> None:
    for work in (nifti.seal, nifti.seal_voxels, nifti.unseal_voxels, nifti.load):
        with pytest.raises(FormatError):
            work(data, KEY)


def test_analyze_images_and_other_sealed_files_are_no_nifti() -> None:
    analyze = (DATA / "analyze.hdr").read_bytes()
    for work in (nifti.seal, nifti.seal_voxels):
        with pytest.raises(FormatError, match="not a NIfTI"):
            work(analyze, KEY)
    for content in ("file", "nifti-voxels"):
        sealed = images.encrypt(np.zeros(10, np.uint8), KEY, metadata={"content": content})
        for work in (nifti.unseal, nifti.load):
            with pytest.raises(FormatError, match="not a sealed NIfTI"):
                work(sealed, KEY)


@pytest.mark.parametrize("data", [b"no zip", b""])
def test_a_sealed_pair_that_is_none_is_refused(data: bytes, tmp_path: Path) -> None:
    sealed = images.encrypt(np.frombuffer(data, np.uint8), KEY, metadata={"content": "nifti-pair"})
    with pytest.raises(FormatError):
        nifti.unseal(sealed, KEY, tmp_path)
    with pytest.raises(FormatError):
        nifti.load(sealed, KEY)


@pytest.mark.parametrize(
    "names",
    [("../a.hdr", "a.img"), ("a.img", "a.hdr"), ("a.hdr",), ("a.hdr", "a.img", "b.img"), ("a.nii", "b.nii")],
)
def test_a_pair_with_other_names_than_a_pair_has_is_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    flat = np.frombuffer(data.getvalue(), np.uint8)
    sealed = images.encrypt(flat, KEY, metadata={"content": "nifti-pair"})
    with pytest.raises(FormatError):
        nifti.unseal(sealed, KEY, tmp_path)
    assert not list(tmp_path.iterdir())


# --- voxels only ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", SINGLE, ids=lambda path: path.name)
def test_voxels_of_every_file_that_nibabel_ships_are_sealed_in_a_valid_file_and_come_back(
    path: Path, tmp_path: Path
) -> None:
    sealed = nifti.seal_voxels(path, KEY)
    assert nifti.unseal_voxels(sealed, KEY) == plain(path)
    before, after = quietly(plain(path)), quietly(sealed)
    assert after.shape == before.shape
    assert after.get_data_dtype() == before.get_data_dtype()
    assert np.array_equal(after.affine, before.affine)
    assert [extension.get_code() for extension in after.header.extensions] == [
        0,
        *(extension.get_code() for extension in before.header.extensions),
    ]
    there, here = (np.frombuffer(data[-len(bits(before)) :], np.uint8) for data in (plain(path), sealed))
    assert np.mean(there == here) < 0.02
    written = nifti.seal_voxels(path, KEY, tmp_path / "scan.nii.gz")
    assert nibabel.load(written).shape == before.shape
    assert nifti.unseal_voxels(written, KEY, tmp_path / "scan.nii").read_bytes() == plain(path)
    assert bits(nifti.load(written, KEY)) == bits(before)


@given(
    shape=st.lists(st.integers(1, 40), min_size=1, max_size=4)
    .map(tuple)
    .filter(lambda s: np.prod(s) < 30_000),
    dtype=st.sampled_from(NUMBERS) | st.just(RGB),
    second=st.booleans(),
    big=st.booleans(),
    extensions=st.lists(st.binary(max_size=40), max_size=3).map(tuple),
    after=st.binary(max_size=30),
    signed=st.booleans(),
)
def test_any_type_shape_and_bit_pattern_comes_back(
    shape: tuple[int, ...],
    dtype: str,
    second: bool,
    big: bool,
    extensions: tuple[bytes, ...],
    after: bytes,
    signed: bool,
) -> None:
    original = volume(shape, dtype, second, big, extensions) + after
    signer = Identity.generate() if signed else None
    sealed = nifti.seal_voxels(original, KEY, signer=signer, context=b"study 7")
    sender = signer.recipient if signer else None
    assert nifti.unseal_voxels(sealed, KEY, sender=sender, context=b"study 7") == original
    found = quietly(sealed)
    assert found.shape == shape
    assert found.get_data_dtype() == quietly(original).get_data_dtype()
    assert len(found.header.extensions) == 1 + len(extensions)
    assert nifti.unseal(nifti.seal(original, KEY), KEY) == original


@pytest.mark.parametrize("shape", [(16383,), (16384,), (16385,), (16384, 2)])
def test_voxels_come_back_around_the_edges_of_chunks(shape: tuple[int, ...]) -> None:
    original = volume(shape, "u1")
    assert nifti.unseal_voxels(nifti.seal_voxels(original, KEY, signer=Identity.generate()), KEY) == original


def test_bytes_between_header_and_voxels_are_no_extension_and_come_back() -> None:
    data = bytearray(volume())
    gap = np.random.default_rng(5).bytes(64)
    struct.pack_into("<f", data, 108, 352 + 64)
    original = bytes(data[:352]) + gap + bytes(data[352:])
    sealed = nifti.seal_voxels(original, KEY)
    assert nifti.unseal_voxels(sealed, KEY) == original
    assert len(quietly(sealed).header.extensions) == 1
    assert gap not in sealed


def test_every_flipped_bit_is_refused() -> None:
    original = volume((3, 2), extensions=(b"kept",)) + b"after"
    sealed = nifti.seal_voxels(original, KEY)
    for bit in range(8 * len(sealed)):
        with warnings.catch_warnings(action="ignore"), pytest.raises((AuthenticationError, FormatError)):
            nifti.unseal_voxels(flipped(sealed, bit // 8, bit % 8), KEY)
    assert nifti.unseal_voxels(sealed, KEY) == original


def test_every_truncation_and_extension_is_refused() -> None:
    sealed = nifti.seal_voxels(volume((3, 2)), KEY)
    for length in range(len(sealed)):
        with pytest.raises((AuthenticationError, FormatError)):
            nifti.unseal_voxels(sealed[:length], KEY)
    with pytest.raises(AuthenticationError):
        nifti.unseal_voxels(sealed + b"\0", KEY)


@pytest.mark.parametrize("reorder", [lambda v: v[::-1], lambda v: np.roll(v, 16384), lambda v: v * 0])
def test_moved_voxels_are_refused(reorder: Callable[[np.ndarray], np.ndarray]) -> None:
    sealed = nifti.seal_voxels(volume((64, 64, 16)), KEY)
    voxels = reorder(np.frombuffer(sealed[-64 * 64 * 32 :], np.uint8)).tobytes()
    with pytest.raises(AuthenticationError):
        nifti.unseal_voxels(sealed[: -len(voxels)] + voxels, KEY)


def test_parts_of_two_files_with_the_same_key_do_not_fit_together() -> None:
    original = volume((10, 10))
    one, two = nifti.seal_voxels(original, KEY), nifti.seal_voxels(original, KEY)
    assert len(one) == len(two)
    assert one[-200:] != two[-200:]
    with pytest.raises(AuthenticationError):
        nifti.unseal_voxels(one[:-200] + two[-200:], KEY)
    other = nifti.seal_voxels(volume((10, 10, 2)), KEY)
    start = int(struct.unpack_from("<f", one, 108)[0])
    with pytest.raises(FormatError):
        nifti.unseal_voxels(other[:352] + one[352:start] + other[start:], KEY)


def test_a_file_that_a_program_has_saved_anew_is_refused() -> None:
    image = quietly(nifti.seal_voxels(volume(), KEY))
    image.header["descrip"] = b"seen by a tool"
    with pytest.raises((AuthenticationError, FormatError)):
        nifti.unseal_voxels(image.to_bytes(), KEY)


def test_keys_contexts_and_senders_have_to_match() -> None:
    signer, reader = Identity.generate(), Identity.generate()
    original = volume()
    for seal, unseal in ((nifti.seal, nifti.unseal), (nifti.seal_voxels, nifti.unseal_voxels)):
        sealed = seal(original, [KEY, reader.recipient], context=b"study 7", signer=signer)
        for key in (KEY, reader, [Identity.generate(), reader]):
            assert unseal(sealed, key, context=b"study 7", sender=signer.recipient) == original
        for key, context, sender in (
            (KEY, b"study 8", None),
            (KEY, b"study 7", reader.recipient),
            (SecretKey.generate(), b"study 7", None),
            (signer, b"study 7", None),
        ):
            with pytest.raises(AuthenticationError):
                unseal(sealed, key, context=context, sender=sender)
            with pytest.raises(AuthenticationError):
                nifti.load(sealed, key, context=context, sender=sender)


def test_nothing_is_written_where_something_is_wrong(tmp_path: Path) -> None:
    for seal, unseal in ((nifti.seal, nifti.unseal), (nifti.seal_voxels, nifti.unseal_voxels)):
        sealed = seal(volume(), KEY)
        with pytest.raises(AuthenticationError):
            unseal(flipped(sealed, len(sealed) - 1), KEY, tmp_path / "out.nii")
        assert not list(tmp_path.iterdir())
    (tmp_path / "out.nii").write_bytes(b"here first")
    for seal, unseal in ((nifti.seal, nifti.unseal), (nifti.seal_voxels, nifti.unseal_voxels)):
        with pytest.raises(FileExistsError):
            seal(volume(), KEY, tmp_path / "out.nii")
        with pytest.raises(FileExistsError):
            unseal(seal(volume(), KEY), KEY, tmp_path / "out.nii")
        assert (tmp_path / "out.nii").read_bytes() == b"here first"
        unseal(seal(volume(), KEY), KEY, tmp_path / "out.nii", overwrite=True)
        assert (tmp_path / "out.nii").read_bytes() == volume()
        (tmp_path / "out.nii").write_bytes(b"here first")


def test_sealed_voxels_are_not_sealed_again_and_plain_ones_not_opened() -> None:
    sealed = nifti.seal_voxels(volume(), KEY)
    with pytest.raises(ValueError, match="already"):
        nifti.seal_voxels(sealed, KEY)
    for data in (volume(), volume(extensions=(b"MEDCRYPT",))):
        with pytest.raises(FormatError, match="no sealed voxels"):
            nifti.unseal_voxels(data, KEY)


def test_another_sealed_image_in_the_extension_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(nifti_voxels, "CONTENT", "file")
        sealed = nifti.seal_voxels(volume(), KEY)
    with pytest.raises(FormatError, match="not sealed voxels"):
        nifti.unseal_voxels(sealed, KEY)


def test_a_place_that_a_header_cannot_name_is_refused() -> None:
    layout = nifti_voxels.Layout.of(np.frombuffer(volume(), np.uint8))
    assert len(layout.offset_bytes(2**24 + 16)) == 4
    with pytest.raises(ValueError, match="cannot name"):
        layout.offset_bytes(2**24 + 1)


def test_a_pair_has_no_voxels_to_seal_in_place() -> None:
    with pytest.raises(FormatError, match="one file"):
        nifti.seal_voxels(DATA / "nifti1.hdr", KEY)


@pytest.mark.parametrize(
    ("offset", "dims"), [(0, 3), (351, 3), (352.5, 3), (400, 3), (352, 8), (352, -1), (1e30, 3)]
)
def test_headers_that_are_wrong_about_the_voxels_are_refused(offset: float, dims: int) -> None:
    data = bytearray(volume())
    struct.pack_into("<f", data, 108, offset)
    struct.pack_into("<h", data, 40, dims)
    with pytest.raises(FormatError):
        nifti.seal_voxels(bytes(data), KEY)


@given(st.binary(max_size=800), st.integers(0, 352))
def test_damaged_headers_end_in_a_medcrypt_error_or_come_back(noise: bytes, keep: int) -> None:
    data = volume()[:keep] + noise
    with warnings.catch_warnings(action="ignore"):
        try:
            sealed = nifti.seal_voxels(data, KEY)
        except MedcryptError:
            return
        assert nifti.unseal_voxels(sealed, KEY) == data


@given(st.binary(max_size=600), st.integers(0, 3000))
def test_damaged_extensions_end_in_a_medcrypt_error(noise: bytes, place: int) -> None:
    sealed = nifti.seal_voxels(volume(), KEY)
    place = min(place, len(sealed))
    spoilt = sealed[:place] + noise + sealed[place + len(noise) :]
    if spoilt != sealed:
        with warnings.catch_warnings(action="ignore"), pytest.raises(MedcryptError):
            nifti.unseal_voxels(spoilt, KEY)


def test_images_of_nibabel_are_sealed_as_nibabel_would_save_them() -> None:
    image = nibabel.Nifti1Image(np.arange(24, dtype="f4").reshape(2, 3, 4), np.eye(4))
    assert nifti.unseal(nifti.seal(image, KEY), KEY) == image.to_bytes()
    assert np.array_equal(nifti.load(nifti.seal_voxels(image, KEY), KEY).get_fdata(), image.get_fdata())
    pair = nibabel.Nifti1Pair(np.zeros((2, 2), "u1"), np.eye(4))
    for seal in (nifti.seal, nifti.seal_voxels):
        with pytest.raises(TypeError, match="one file"):
            seal(pair, KEY)
    with pytest.raises(ValueError, match="no name"):
        nifti.seal(image, KEY, DATA)


def test_without_nibabel_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nibabel", None)
    for work in (nifti.seal, nifti.seal_voxels, nifti.unseal_voxels, nifti.load):
        with pytest.raises(ImportError, match=r"medcrypt\[nifti\]"):
            work(b"", KEY)
