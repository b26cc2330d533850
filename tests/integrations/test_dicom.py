"""DICOM files through seal and unseal: every byte of every file comes back, and nothing that was changed does."""

import contextlib
import io
import sys
import warnings
from pathlib import Path

import dicom_samples as samples
import numpy as np
import pydicom
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.cli.main import main as pydicom_main

from medcrypt import AuthenticationError, FormatError, Identity, MedcryptError, SecretKey, images
from medcrypt.integrations import dicom

DATA = Path(pydicom.data.__file__).parent
KEY = SecretKey.from_bytes(bytes(range(32)))
# pydicom ships one file whose first byte is damaged: without prefix and SOP class it looks like no DICOM at all.
NOT_DICOM = {"no_meta.dcm"}
NAMED_AS_DICOM = sorted(
    path for path in DATA.rglob("*") if path.suffix == ".dcm" or path.name.startswith(("DICOMDIR", "IM00"))
)
CT = DATA / "test_files" / "CT_small.dcm"
SMALL = DATA / "test_files" / "rtstruct.dcm"


def test_every_file_of_pydicom_and_pydicom_data_comes_back_byte_for_byte() -> None:
    sealed_files = 0
    for path in samples.dicom_files():
        data = path.read_bytes()
        if path.name in NOT_DICOM:
            with pytest.raises(FormatError, match="not a DICOM file"):
                dicom.seal(path, KEY)
            continue
        sealed = dicom.seal(path, KEY)
        assert dicom.unseal(sealed, KEY) == data, path
        assert data[:200] not in sealed
        sealed_files += 1
    assert sealed_files >= 228


def test_every_file_that_pydicom_parses_opens_as_the_same_data_set() -> None:
    for path in NAMED_AS_DICOM[::7]:
        if path.name in NOT_DICOM:
            continue
        sealed = dicom.seal(path, KEY)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert dicom.open_dataset(sealed, KEY) == pydicom.dcmread(path, force=True), path


def test_pixels_of_an_opened_data_set_are_those_of_the_file() -> None:
    dataset = dicom.open_dataset(dicom.seal(CT, KEY), KEY)
    assert np.array_equal(dataset.pixel_array, pydicom.dcmread(CT).pixel_array)


def test_the_uids_are_stored_encrypted_and_authenticated() -> None:
    sealed = dicom.seal(CT, KEY)
    expected = pydicom.dcmread(CT)
    with images.open(sealed, KEY) as image:
        assert image.metadata == {
            "content": "dicom",
            "filename": "CT_small.dcm",
            "SOPClassUID": str(expected.SOPClassUID),
            "SOPInstanceUID": str(expected.SOPInstanceUID),
            "StudyInstanceUID": str(expected.StudyInstanceUID),
            "SeriesInstanceUID": str(expected.SeriesInstanceUID),
            "Modality": "CT",
            "TransferSyntaxUID": str(expected.file_meta.TransferSyntaxUID),
        }
        assert image.public_metadata == {}
    for secret in (expected.SOPInstanceUID, expected.StudyInstanceUID, "CT_small"):
        assert secret.encode() not in sealed


def test_a_deflated_data_set_is_not_inflated_to_describe_it() -> None:
    found = dicom.describe(io.BytesIO((DATA / "test_files" / "image_dfl.dcm").read_bytes()))
    assert found["SOPInstanceUID"] == "1.3.6.1.4.1.5962.1.1.0.0.0.977067309.6001.0"
    assert "Modality" not in found


def test_every_truncation_is_refused() -> None:
    sealed = dicom.seal(SMALL, KEY)
    for length in range(len(sealed)):
        with pytest.raises((FormatError, AuthenticationError)):
            dicom.unseal(sealed[:length], KEY)


def test_a_flipped_bit_in_any_byte_is_refused() -> None:
    sealed = bytearray(dicom.seal(SMALL, KEY))
    for place in range(len(sealed)):
        sealed[place] ^= 1 << place % 8
        with pytest.raises((FormatError, AuthenticationError)):
            dicom.unseal(bytes(sealed), KEY)
        sealed[place] ^= 1 << place % 8
    assert dicom.unseal(bytes(sealed), KEY) == SMALL.read_bytes()


@given(st.binary(max_size=2000))
def test_random_bytes_are_refused_on_both_ways(data: bytes) -> None:
    with pytest.raises(FormatError):
        dicom.seal(data, KEY)
    with pytest.raises(MedcryptError):
        dicom.unseal(data, KEY)
    with pytest.raises(MedcryptError):
        dicom.open_dataset(data, KEY)


@given(st.binary(max_size=2000), st.integers(0, 400))
def test_a_file_with_the_prefix_is_sealed_however_damaged(noise: bytes, keep: int) -> None:
    data = bytes(128) + b"DICM" + CT.read_bytes()[132 : 132 + keep] + noise
    sealed = dicom.seal(data, KEY)
    assert dicom.unseal(sealed, KEY) == data
    with warnings.catch_warnings(), contextlib.suppress(FormatError):
        warnings.simplefilter("ignore")
        assert dicom.open_dataset(sealed, KEY) is not None


def test_an_authentic_file_that_pydicom_cannot_read_is_a_format_error() -> None:
    deflated = (DATA / "test_files" / "image_dfl.dcm").read_bytes()
    sealed = dicom.seal(deflated[:1000], KEY)
    with pytest.raises(FormatError, match="pydicom cannot read it"):
        dicom.open_dataset(sealed, KEY)
    assert dicom.unseal(sealed, KEY) == deflated[:1000]


@pytest.mark.parametrize("data", [b"", b"DICM", bytes(128), bytes(200), b"{}" * 100, bytes(128) + b"DIC"])
def test_what_is_not_dicom_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="not a DICOM file"):
        dicom.seal(data, KEY)


def test_an_image_that_is_not_dicom_is_not_unsealed_as_dicom() -> None:
    sealed = images.encrypt(np.zeros(10, np.uint8), KEY, metadata={"content": "file"})
    with pytest.raises(FormatError, match="not a sealed DICOM file"):
        dicom.unseal(sealed, KEY)
    with pytest.raises(FormatError, match="not a sealed DICOM file"):
        dicom.unseal(images.encrypt(np.zeros((2, 5), np.uint8), KEY, metadata={"content": "dicom"}), KEY)


def test_metadata_of_another_instance_are_refused() -> None:
    data = np.frombuffer(CT.read_bytes(), np.uint8)
    sealed = images.encrypt(data, KEY, metadata={"content": "dicom", "SOPInstanceUID": "1.2.3"})
    with pytest.raises(FormatError, match="SOP instance"):
        dicom.open_dataset(sealed, KEY)


def test_context_and_sender_have_to_match() -> None:
    signer, reader = Identity.generate(), Identity.generate()
    sealed = dicom.seal(CT, reader.recipient, context=b"study 7", signer=signer)
    opened = dicom.unseal(sealed, reader, context=b"study 7", sender=signer.recipient)
    assert opened == CT.read_bytes()
    with pytest.raises(AuthenticationError):
        dicom.unseal(sealed, reader)
    with pytest.raises(AuthenticationError):
        dicom.unseal(sealed, reader, context=b"study 7", sender=reader.recipient)
    with pytest.raises(AuthenticationError):
        dicom.open_dataset(sealed, signer, context=b"study 7")


def test_files_go_where_they_are_told(tmp_path: Path) -> None:
    assert dicom.seal(CT, KEY, tmp_path) == tmp_path / "CT_small.dcm.mcrypt"
    assert dicom.unseal(tmp_path / "CT_small.dcm.mcrypt", KEY, tmp_path) == tmp_path / "CT_small.dcm"
    assert (tmp_path / "CT_small.dcm").read_bytes() == CT.read_bytes()
    assert dicom.seal(CT.read_bytes(), KEY, tmp_path / "bytes") == tmp_path / "bytes"
    with pytest.raises(FileExistsError):
        dicom.seal(CT, KEY, tmp_path / "bytes")
    with pytest.raises(ValueError, match="no name"):
        dicom.seal(CT.read_bytes(), KEY, tmp_path)
    with pytest.raises(ValueError, match="no name"):
        dicom.unseal(tmp_path / "bytes", KEY, tmp_path)


def test_a_folder_of_studies_comes_back_and_strangers_are_named(tmp_path: Path) -> None:
    source = DATA / "test_files" / "dicomdirtests" / "98892003"
    written = dicom.seal_folder(source, KEY, tmp_path / "sealed", opaque_names=True)
    back = dicom.unseal_folder(tmp_path / "sealed", KEY, tmp_path / "back")
    assert len(written) == len(back) > 10
    for path in back:
        assert path.read_bytes() == (source / path.relative_to(tmp_path / "back")).read_bytes()
    with pytest.raises(ExceptionGroup, match="could not be sealed") as caught:
        dicom.seal_folder(DATA / "test_files" / "dicomdirtests" / "TINY_ALPHA", KEY, tmp_path / "alpha")
    assert [type(error) for error in caught.value.exceptions] == [FormatError]
    assert caught.value.exceptions[0].__notes__[0].endswith("README")


def test_other_sealed_files_in_a_folder_are_not_opened_as_dicom(tmp_path: Path) -> None:
    sealed = images.encrypt(np.zeros(10, np.uint8), KEY, metadata={"content": "file", "filename": "x"})
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.mcrypt").write_bytes(sealed)
    with pytest.raises(ExceptionGroup):
        dicom.unseal_folder(tmp_path / "in", KEY, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_without_pydicom_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ImportError, match=r"medcrypt\[dicom\]"):
        dicom.seal(CT, KEY)


def test_pydicom_encrypt_and_decrypt_restore_a_file(tmp_path: Path) -> None:
    identity = Identity.generate()
    identity.save(tmp_path / "me.key")
    scan = tmp_path / "1.dcm"
    scan.write_bytes(CT.read_bytes())
    pydicom_main(["encrypt", str(scan), "-r", str(identity.recipient)])
    scan.unlink()
    pydicom_main(["decrypt", str(tmp_path / "1.dcm.mcrypt"), "-i", str(tmp_path / "me.key")])
    assert scan.read_bytes() == CT.read_bytes()


def test_pydicom_encrypt_and_decrypt_restore_a_folder(tmp_path: Path) -> None:
    KEY.save(tmp_path / "ward.key")
    (tmp_path / "study" / "s").mkdir(parents=True)
    (tmp_path / "study" / "s" / "1.dcm").write_bytes(CT.read_bytes())
    key = ["-i", str(tmp_path / "ward.key"), "--context", "study 7"]
    pydicom_main(["encrypt", str(tmp_path / "study"), "--opaque-names", *key])
    pydicom_main(["decrypt", str(tmp_path / "study.mcrypt"), "-o", str(tmp_path / "back"), *key])
    assert (tmp_path / "back" / "s" / "1.dcm").read_bytes() == CT.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encrypt", "study"], 2, "say for whom"),
        (["encrypt", "study", "-i", "ward.key"], 1, "1 of 2 files could not be sealed"),
        (["encrypt", "nowhere", "-i", "ward.key"], 1, "No such file"),
        (["encrypt", "study/note", "-i", "ward.key"], 1, "not a DICOM file"),
        (["encrypt", "study/1.dcm", "-r", "nonsense"], 1, "not a medcrypt key"),
        (["decrypt", "study/1.dcm", "-i", "ward.key"], 1, "no attributes of this file are encrypted"),
        (["decrypt", "other.mcrypt", "-i", "ward.key"], 1, "wrong key, wrong context, or changed data"),
    ],
)
def test_pydicom_commands_fail_in_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    KEY.save("ward.key")
    Path("study").mkdir()
    Path("study/1.dcm").write_bytes(CT.read_bytes())
    Path("study/note").write_text("not DICOM")
    dicom.seal(CT, SecretKey.generate(), "other.mcrypt")
    with pytest.raises(SystemExit) as caught:
        pydicom_main(arguments)
    assert caught.value.code == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
