"""DICOM pixels through encrypt and decrypt: the file stays DICOM, and comes back byte for byte or not at all."""

import hashlib
import io
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dicom_samples as samples
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import UID, RLELossless

from medcrypt import AuthenticationError, FormatError, Identity, MedcryptError, SecretKey, images
from medcrypt.integrations import dicom
from medcrypt.integrations.dicom.layout import Layout, is_encapsulated, pixel_value
from medcrypt.integrations.dicom.parsing import parse

KEY = SecretKey.from_bytes(bytes(range(32)))
CT = samples.CT.read_bytes()
TRIANGLE = [(1, 1), (8, 1), (8, 8)]
# pydicom decodes neither, or only after losing what the file says: their pixels are encrypted whole.
REFUSED_REGIONS = {
    "the pixel data are not of the size that the file describes",
    "the pixels cannot be decoded: encrypt all of them, without regions",
}


def _files_with_pixels(most_bytes: int) -> list[bytes]:
    found = []
    for path in samples.dicom_files():
        if path.stat().st_size > most_bytes:
            continue
        data = path.read_bytes()
        try:
            Layout.of(parse(data))
        except FormatError:
            continue
        found.append(data)
    return found


def _round_trip_everything(most_bytes: int) -> int:
    files = _files_with_pixels(most_bytes)
    for data in files:
        hidden = dicom.encrypt_pixels(data, KEY)
        assert dicom.decrypt_pixels(hidden, KEY) == data
        dataset = samples.parsed(hidden)
        syntax = dataset.file_meta.TransferSyntaxUID
        assert not UID(syntax).is_compressed or syntax.is_deflated
        assert samples.pixels(hidden).size > 0
        assert dicom.has_encrypted_pixels(hidden)
        value, _ = pixel_value(parse(data))
        assert value[:64] not in hidden or len(set(value[:64])) < 16
    return len(files)


def test_every_image_that_pydicom_ships_comes_back_byte_for_byte() -> None:
    assert _round_trip_everything(samples.LARGE) >= 125


@pytest.mark.long
def test_every_image_comes_back_byte_for_byte_large_ones_too() -> None:
    assert _round_trip_everything(1 << 40) >= 140


def _round_trip_regions(most_bytes: int) -> int:
    done = 0
    for data in _files_with_pixels(most_bytes):
        try:
            hidden = dicom.encrypt_pixels(data, KEY, regions=[TRIANGLE])
        except FormatError as error:
            if str(error) in REFUSED_REGIONS:
                continue
            raise
        except ValueError:  # a file whose pixels have more bits than it says: its range has to be given
            hidden = dicom.encrypt_pixels(data, KEY, regions=[TRIANGLE], value_range=(-32768, 32767))
        assert dicom.decrypt_pixels(hidden, KEY) == data
        done += 1
    return done


def test_regions_of_shipped_images_come_back_byte_for_byte() -> None:
    assert _round_trip_regions(200_000) >= 98


@pytest.mark.long
def test_regions_of_every_image_come_back_byte_for_byte() -> None:
    assert _round_trip_regions(1 << 40) >= 132


def test_kinds_of_files_that_matter_are_among_them() -> None:
    seen = set()
    for data in _files_with_pixels(samples.LARGE):
        dataset = parse(data)
        layout = Layout.of(dataset)
        seen |= {f"{layout.bits} bits", dataset.file_meta.get("TransferSyntaxUID", "none")}
        seen |= {"frames"} if layout.frames > 1 else set()
        seen |= {dataset.PhotometricInterpretation}
    assert {"1 bits", "8 bits", "16 bits", "32 bits", "frames", "PALETTE COLOR", "RGB"} <= seen
    syntaxes = {"1.2.840.10008.1.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", str(RLELossless)}
    assert syntaxes | {"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80"} <= seen


def test_native_pixels_are_laid_out_as_pydicom_reads_them() -> None:
    compared = 0
    for data in _files_with_pixels(samples.LARGE):
        dataset = parse(data)
        if "TransferSyntaxUID" not in dataset.file_meta:
            continue  # pydicom does not decode it
        if is_encapsulated(dataset) or dataset.PhotometricInterpretation.startswith("YBR"):
            continue
        layout = Layout.of(dataset)
        value, _ = pixel_value(dataset)
        if not layout.size <= len(value) <= layout.size + 1:
            continue
        array = layout.to_array(value)
        expected = samples.pixels(data)
        if layout.is_float:
            assert np.array_equal(array, expected, equal_nan=True)
        else:  # bits that are not stored hold anything, and pydicom may clear them
            stored = (
                array.dtype.type((1 << layout.stored) - 1)
                if layout.stored < layout.bits
                else ~array.dtype.type(0)
            )
            assert array.shape == expected.shape
            assert not ((array ^ expected) & stored).any()
        assert layout.replace(value, array) == value
        other = layout.replace(value, np.flip(array))
        assert np.array_equal(layout.to_array(other), np.flip(array), equal_nan=array.dtype.kind == "f")
        assert len(other) == len(value)
        compared += 1
    assert compared > 60


@given(samples.images())
def test_made_up_images_come_back_byte_for_byte(data: bytes) -> None:
    assert dicom.decrypt_pixels(dicom.encrypt_pixels(data, KEY, bind_metadata=True), KEY) == data
    hidden = dicom.encrypt_pixels(data, KEY, regions=[(slice(0, 4), ...)])
    assert dicom.decrypt_pixels(hidden, KEY) == data
    assert samples.pixels(hidden).shape == samples.pixels(data).shape
    before, after = Layout.of(parse(data)), samples.parsed(hidden)
    assert int(samples.pixels(hidden).max()) < 1 << before.stored == 1 << after.BitsStored


def test_the_format_page_is_enough_to_restore_a_file() -> None:
    """What docs/formats/dicom.md says, with pydicom and sealed images alone."""
    original = (samples.SHIPPED / "test_files" / "JPEG2000.dcm").read_bytes()
    hidden = samples.parsed(dicom.encrypt_pixels(original, KEY))
    block = hidden.private_block(0x7FDF, "MEDCRYPT 1.0")
    value = block[0x01].value
    front = value[8 : 8 + int.from_bytes(value[:8], "little")]
    sealed = front + hidden.PixelData
    with images.open(sealed, KEY) as image:
        assert set(image.metadata) == {"content", "SOPInstanceUID", "size"}
        assert image.metadata["content"] == "dicom pixels"
        plain = image[:].tobytes()
        assert plain[: image.metadata["size"]] == original
        assert not any(plain[image.metadata["size"] :])

    cut = samples.parsed(dicom.encrypt_pixels(CT, KEY, regions=[TRIANGLE]))
    block = cut.private_block(0x7FDF, "MEDCRYPT 1.0")
    sidecar, sealed = (
        value[8 : 8 + int.from_bytes(value[:8], "little")] for value in (block[2].value, block[3].value)
    )
    rest = images.decrypt(sealed, KEY).tobytes()
    pixels = images.decrypt_regions(
        np.frombuffer(cut.PixelData, "<i2").reshape(128, 128), sidecar, KEY
    ).tobytes()
    count, start, length = struct.unpack_from("<IQQ", rest)
    assert (count, length) == (0, len(pixels))
    assert rest[20:84] == hashlib.sha512(pixels).digest()
    assert rest[84 : 84 + start] + pixels + rest[84 + start :] == CT


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "liver.dcm"])
def test_gdcm_reads_the_image_too(tmp_path: Path, name: str) -> None:
    gdcm = pytest.importorskip("gdcm")
    hidden = dicom.encrypt_pixels(next(path for path in samples.dicom_files() if path.name == name), KEY)
    (tmp_path / "hidden.dcm").write_bytes(hidden)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(tmp_path / "hidden.dcm"))
    assert reader.Read()
    image = reader.GetImage()
    assert image.GetBufferLength() == len(samples.parsed(hidden).PixelData)


def test_threads_do_not_disturb_each_other_nor_pydicoms_settings() -> None:
    before = pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode
    filters = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        hidden = list(pool.map(lambda _: dicom.encrypt_pixels(CT, KEY), range(12)))
        back = list(pool.map(lambda data: dicom.decrypt_pixels(data, KEY), hidden))
    assert back == [CT] * 12
    after = pydicom.config.settings.reading_validation_mode, pydicom.config.settings.writing_validation_mode
    assert before == after
    assert filters == warnings.filters


def test_metadata_stay_readable_and_pixels_do_not() -> None:
    hidden = samples.parsed(dicom.encrypt_pixels(CT, KEY))
    original = samples.parsed(CT)
    changed = {element.tag for element in original if hidden.get(element.tag) != element}
    assert changed == {0x7FE00010}
    assert hidden.PatientName == original.PatientName
    ciphertext, pixels = hidden.pixel_array, original.pixel_array
    assert abs(np.corrcoef(ciphertext.ravel(), pixels.ravel())[0, 1]) < 0.05
    assert hidden.private_block(0x7FDF, "MEDCRYPT 1.0")


def test_regions_leave_the_other_pixels_alone() -> None:
    hidden = samples.pixels(dicom.encrypt_pixels(CT, KEY, regions=[np.s_[10:20, 30:50]]))
    original = samples.pixels(CT)
    inside = np.zeros(original.shape, bool)
    inside[10:20, 30:50] = True
    assert np.array_equal(hidden[~inside], original[~inside])
    assert (hidden[inside] != original[inside]).mean() > 0.9


def test_the_range_of_regions_comes_from_the_bits_stored() -> None:
    data = samples.edited(CT, BitsStored=12, HighBit=11, PixelRepresentation=0)
    hidden = samples.pixels(dicom.encrypt_pixels(data, KEY, regions=[np.s_[:, :]]))
    assert 4000 < hidden.max() <= 4095
    narrow = samples.edited(CT, BitsStored=4, HighBit=3, PixelRepresentation=0)
    with pytest.raises(ValueError, match="outside of 0 to 15"):
        dicom.encrypt_pixels(narrow, KEY, regions=[np.s_[:, :]])
    wide = dicom.encrypt_pixels(narrow, KEY, regions=[np.s_[:, :]], value_range=(0, 65535))
    assert dicom.decrypt_pixels(wide, KEY) == narrow


def test_icons_and_overlays_do_not_show_the_image() -> None:
    dataset = samples.parsed(CT)
    icon = pydicom.Dataset()
    icon.Rows = icon.Columns = 2
    icon.BitsAllocated = 8
    icon.PixelData = b"icon"
    dataset.IconImageSequence = [icon]
    inner = pydicom.Dataset()
    inner.IconImageSequence = [icon]
    dataset.ReferencedImageSequence = [inner]
    dataset.add_new(0x60003000, "OW", b"overlay!")
    data = samples.written(dataset)
    hidden = dicom.encrypt_pixels(data, KEY)
    assert b"icon" in data
    assert b"icon" not in hidden
    assert b"overlay!" not in hidden
    assert b"icon" not in dicom.encrypt_pixels(data, KEY, regions=[TRIANGLE])
    assert dicom.decrypt_pixels(hidden, KEY) == data
    back = samples.parsed(dicom.decrypt_pixels(hidden, KEY, exact=False))
    assert back.IconImageSequence[0].PixelData == b"icon"
    assert back[0x60003000].value == b"overlay!"


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm", "MR_small_RLE.dcm"]
)
@pytest.mark.parametrize("regions", [None, [TRIANGLE]])
def test_edits_of_an_archive_survive_if_asked_for(name: str, regions: object) -> None:
    data = (samples.SHIPPED / "test_files" / name).read_bytes()
    hidden = samples.edited(dicom.encrypt_pixels(data, KEY, regions=regions), PatientName="New^Name")
    assert dicom.decrypt_pixels(hidden, KEY) == data
    back = dicom.decrypt_pixels(hidden, KEY, exact=False)
    assert samples.parsed(back).PatientName == "New^Name"
    assert (
        samples.parsed(back).file_meta.TransferSyntaxUID == samples.parsed(data).file_meta.TransferSyntaxUID
    )
    assert np.array_equal(samples.pixels(back), samples.pixels(data))
    assert b"MEDCRYPT" not in back


def test_bound_metadata_may_not_be_edited() -> None:
    for regions in (None, [TRIANGLE]):
        hidden = dicom.encrypt_pixels(CT, KEY, regions=regions, bind_metadata=True)
        assert dicom.decrypt_pixels(samples.edited(hidden), KEY) == CT
        with pytest.raises(AuthenticationError):
            dicom.decrypt_pixels(samples.edited(hidden, PatientName="New^Name"), KEY)


def test_ciphertext_that_an_archive_compressed_without_loss_still_opens() -> None:
    dataset = samples.parsed(dicom.encrypt_pixels(CT, KEY))
    dataset.compress(RLELossless, generate_instance_uid=False)
    assert dicom.decrypt_pixels(samples.written(dataset), KEY) == CT


@pytest.mark.parametrize("regions", [None, [TRIANGLE]])
def test_any_changed_byte_of_pixels_or_block_is_refused(regions: object) -> None:
    hidden = bytearray(dicom.encrypt_pixels(CT, KEY, regions=regions))
    start = hidden.index(b"MEDCRYPT 1.0")
    spare = np.random.default_rng(0).integers(start, len(hidden), 100)
    refused = 0
    for place in sorted({*range(start, start + 60), *map(int, spare)}):
        hidden[place] ^= 1 << place % 8
        try:
            assert dicom.decrypt_pixels(bytes(hidden), KEY) == CT
        except MedcryptError:
            refused += 1
        hidden[place] ^= 1 << place % 8
    # Harmless are the VR of an element, say, and the padding behind the pixel data.
    assert refused > 140


@pytest.mark.parametrize("regions", [None, [TRIANGLE]])
def test_a_changed_pixel_is_refused(regions: object) -> None:
    hidden = samples.parsed(dicom.encrypt_pixels(CT, KEY, regions=regions))
    for place in (0, len(hidden.PixelData) // 2, len(hidden.PixelData) - 1):
        value = bytearray(hidden.PixelData)
        value[place] ^= 1
        data = samples.edited(samples.written(hidden), PixelData=bytes(value))
        for exact in (True, False):
            with pytest.raises(AuthenticationError):
                dicom.decrypt_pixels(data, KEY, exact=exact)


def test_pixels_of_another_instance_are_refused() -> None:
    for regions in (None, [TRIANGLE]):
        hidden = dicom.encrypt_pixels(CT, KEY, regions=regions)
        with pytest.raises(AuthenticationError):
            dicom.decrypt_pixels(samples.edited(hidden, SOPInstanceUID="1.2.3"), KEY)


def test_parts_of_two_encryptions_do_not_mix() -> None:
    one, two = (samples.parsed(dicom.encrypt_pixels(CT, KEY, regions=[TRIANGLE])) for _ in range(2))
    first, second = (dataset.private_block(0x7FDF, "MEDCRYPT 1.0") for dataset in (one, two))
    first[0x03].value = second[0x03].value
    with pytest.raises(AuthenticationError):
        dicom.decrypt_pixels(samples.written(one), KEY)


def test_wrong_key_context_or_sender_is_refused() -> None:
    signer, reader = Identity.generate(), Identity.generate()
    hidden = dicom.encrypt_pixels(CT, [KEY, reader.recipient], context=b"7", signer=signer)
    assert dicom.decrypt_pixels(hidden, reader, context=b"7", sender=signer.recipient) == CT
    assert dicom.decrypt_pixels(hidden, [SecretKey.generate(), KEY], context=b"7") == CT
    for key, context, sender in [
        (SecretKey.generate(), b"7", None), (signer, b"7", None), (KEY, b"8", None), (KEY, b"7", reader.recipient),
    ]:  # fmt: skip
        with pytest.raises(AuthenticationError):
            dicom.decrypt_pixels(hidden, key, context=context, sender=sender)


def test_several_keys_are_tried_on_regions() -> None:
    hidden = dicom.encrypt_pixels(CT, KEY, regions=[TRIANGLE])
    assert dicom.decrypt_pixels(hidden, [SecretKey.generate(), KEY]) == CT
    with pytest.raises(AuthenticationError):
        dicom.decrypt_pixels(hidden, [SecretKey.generate(), SecretKey.generate()])


@pytest.mark.parametrize("regions", [None, [TRIANGLE]])
def test_every_truncation_is_refused(regions: object) -> None:
    hidden = dicom.encrypt_pixels(CT, KEY, regions=regions)
    value_end = hidden.rindex(samples.parsed(hidden).PixelData[-64:]) + 64
    for length in [*range(0, value_end, 997), value_end - 1]:
        with pytest.raises(MedcryptError):
            dicom.decrypt_pixels(hidden[:length], KEY)


@given(st.binary(max_size=2000))
def test_random_bytes_are_refused(data: bytes) -> None:
    for work in (dicom.encrypt_pixels, dicom.decrypt_pixels):
        with pytest.raises(MedcryptError):
            work(data, KEY)


@given(st.integers(132, len(CT) - 33_000), st.binary(min_size=1, max_size=8))
def test_a_damaged_header_is_refused_or_kept_exactly(place: int, noise: bytes) -> None:
    data = CT[:place] + noise + CT[place + len(noise) :]
    try:
        hidden = dicom.encrypt_pixels(data, KEY)
    except FormatError:
        return
    assert dicom.decrypt_pixels(hidden, KEY) == data


def test_hostile_nesting_is_a_format_error() -> None:
    opening = bytes.fromhex("0800151153510000fffffffffeff00e0ffffffff")
    data = bytes(128) + b"DICM" + opening * 5000
    for work in (dicom.encrypt_pixels, dicom.decrypt_pixels):
        with pytest.raises(FormatError):
            work(data, KEY)


def test_a_small_file_that_inflates_to_very_much_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deflated = (samples.SHIPPED / "test_files" / "image_dfl.dcm").read_bytes()
    monkeypatch.setattr("medcrypt.integrations.dicom.parsing.MOST_INFLATED", 10_000)
    with pytest.raises(FormatError, match="inflates to more than"):
        dicom.encrypt_pixels(deflated, KEY)


def test_what_cannot_be_done_is_said() -> None:
    report = (samples.SHIPPED / "test_files" / "reportsi.dcm").read_bytes()
    hidden = dicom.encrypt_pixels(CT, KEY)
    with pytest.raises(FormatError, match="no pixel data"):
        dicom.encrypt_pixels(report, KEY)
    with pytest.raises(FormatError, match="encrypted already"):
        dicom.encrypt_pixels(hidden, KEY)
    with pytest.raises(FormatError, match="no pixels of this file are encrypted"):
        dicom.decrypt_pixels(CT, KEY)
    with pytest.raises(ValueError, match="value_range goes with regions"):
        dicom.encrypt_pixels(CT, KEY, value_range=(0, 1))
    with pytest.raises(FormatError, match="more than 4 GiB"):
        dicom.encrypt_pixels(samples.edited(CT, Rows=65535, Columns=65535), KEY)


def test_a_whole_sealed_file_is_not_taken_for_pixels() -> None:
    dataset = samples.parsed(dicom.encrypt_pixels(CT, KEY))
    sealed = dicom.seal(CT, KEY)
    room = len(dataset.PixelData)
    dataset.PixelData = sealed[-room:]
    front = sealed[:-room]
    dataset.private_block(0x7FDF, "MEDCRYPT 1.0")[1].value = (
        len(front).to_bytes(8, "little") + front + bytes(len(front) % 2)
    )
    with pytest.raises(FormatError, match="something else"):
        dicom.decrypt_pixels(samples.written(dataset), KEY)


def test_the_path_of_a_file_is_as_good_as_its_bytes() -> None:
    assert dicom.decrypt_pixels(dicom.encrypt_pixels(samples.CT, KEY), KEY) == CT
    assert pydicom.dcmread(io.BytesIO(dicom.encrypt_pixels(str(samples.CT), KEY))).Rows == 128
