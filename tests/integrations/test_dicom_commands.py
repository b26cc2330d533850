"""``pydicom encrypt`` and ``decrypt`` on parts of DICOM files."""

from pathlib import Path

import dicom_samples as samples
import pytest
from pydicom.cli.main import main

from medcrypt import Identity, SecretKey
from medcrypt.integrations import dicom

CT = samples.CT.read_bytes()
KEY = SecretKey.from_bytes(bytes(range(32)))
SIGNER = Identity.from_bytes(bytes(range(64)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a file, a study of two, keys and a certificate; it is the current one."""
    monkeypatch.chdir(tmp_path)
    KEY.save("ward.key")
    SIGNER.save("clinic.key")
    samples.pem_files(tmp_path)
    (tmp_path / "1.dcm").write_bytes(CT)
    (tmp_path / "study" / "series").mkdir(parents=True)
    (tmp_path / "study" / "series" / "1.dcm").write_bytes(CT)
    (tmp_path / "study" / "2.dcm").write_bytes((samples.SHIPPED / "test_files" / "MR_small.dcm").read_bytes())
    return tmp_path


def test_pixels_are_encrypted_and_come_back(place: Path) -> None:
    main(["encrypt", "1.dcm", "--pixels", "-i", "ward.key", "--context", "study 7"])
    hidden = samples.parsed((place / "1.encrypted.dcm").read_bytes())
    assert hidden.PatientName == "CompressedSamples^CT1"
    assert hidden.PixelData != samples.parsed(CT).PixelData
    main(["decrypt", "1.encrypted.dcm", "-i", "ward.key", "--context", "study 7"])
    assert (place / "1.decrypted.dcm").read_bytes() == CT


def test_attributes_are_encrypted_for_a_certificate_and_come_back(place: Path) -> None:
    words = ["--attributes", "PatientName,PatientID", "--certificate", "cert.pem", "--sign", "clinic.key"]
    main(["encrypt", "1.dcm", *words, "-o", "hidden.dcm"])
    hidden = samples.parsed((place / "hidden.dcm").read_bytes())
    assert hidden.PatientName == hidden.PatientID == "ANONYMIZED"
    pair = ["--certificate", "cert.pem", "--private-key", "key.pem", "--sender", str(SIGNER.recipient)]
    main(["decrypt", "hidden.dcm", *pair, "-o", "back.dcm"])
    assert (place / "back.dcm").read_bytes() == CT


def test_a_folder_is_deidentified_and_comes_back(place: Path) -> None:
    main(
        [
            "encrypt",
            "study",
            "--deidentify",
            "ward.key",
            "--option",
            "retain_device_identity",
            "-i",
            "clinic.key",
        ]
    )
    one = samples.parsed((place / "study.deidentified" / "series" / "1.dcm").read_bytes())
    assert one.PatientIdentityRemoved == "YES"
    assert one.StationName == samples.parsed(CT).StationName
    main(["decrypt", "study.deidentified", "-i", "clinic.key"])
    for name in ("2.dcm", "series/1.dcm"):
        assert (place / "study.decrypted" / name).read_bytes() == (place / "study" / name).read_bytes()


def test_without_readers_the_original_is_not_kept(place: Path) -> None:
    main(["encrypt", "1.dcm", "--deidentify", "ward.key"])
    assert b"MEDCRYPT 1.0" not in (place / "1.deidentified.dcm").read_bytes()


def test_edits_are_kept_if_asked_for(place: Path) -> None:
    hidden = samples.edited(dicom.encrypt_pixels(CT, KEY), PatientName="New^Name")
    (place / "1.encrypted.dcm").write_bytes(hidden)
    main(["decrypt", "1.encrypted.dcm", "-i", "ward.key", "--keep-edits"])
    back = samples.parsed((place / "1.decrypted.dcm").read_bytes())
    assert back.PatientName == "New^Name"
    assert back.PixelData == samples.parsed(CT).PixelData


def test_whole_files_are_signed_and_checked(place: Path) -> None:
    main(["encrypt", "1.dcm", "-i", "ward.key", "--sign", "clinic.key"])
    (place / "1.dcm").unlink()
    other = str(Identity.generate().recipient)
    with pytest.raises(SystemExit):
        main(["decrypt", "1.dcm.mcrypt", "-i", "ward.key", "--sender", other])
    main(["decrypt", "1.dcm.mcrypt", "-i", "ward.key", "--sender", str(SIGNER.recipient)])
    assert (place / "1.dcm").read_bytes() == CT


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["encrypt", "1.dcm", "--pixels"], 2, "say for whom"),
        (["encrypt", "1.dcm", "--pixels", "--certificate", "cert.pem"], 2, "--certificate goes with"),
        (["encrypt", "1.dcm", "--option", "retain_uids", "-i", "ward.key"], 2, "go with"),
        (["encrypt", "1.dcm", "--attributes", "Name", "-i", "ward.key"], 2, "no attribute of DICOM"),
        (["encrypt", "1.dcm", "--attributes", "PatientID", "--certificate", "cert.pem"], 2, "give a signer"),
        (["encrypt", "1.dcm", "--pixels", "-i", "ward.key", "--opaque-names"], 2, "whole files"),
        (["encrypt", "1.dcm", "--deidentify", "clinic.key"], 2, "takes a secret key"),
        (["encrypt", "1.dcm", "--deidentify", "ward.key", "--option", "x"], 2, "not a valid Option"),
        (["encrypt", "1.dcm", "--pixels", "-i", "ward.key", "--sign", "ward.key"], 2, "cannot sign"),
        (["encrypt", "ward.key", "--pixels", "-i", "ward.key"], 1, "not a DICOM file"),
        (["encrypt", "study", "--pixels", "-i", "ward.key", "-o", "study/out"], 2, "must not lie inside"),
        (["encrypt", "broken", "--pixels", "-i", "ward.key"], 1, "1 of 2 files could not be encrypted"),
        (["decrypt", "1.dcm", "-i", "ward.key"], 1, "no attributes of this file are encrypted"),
        (["decrypt", "1.dcm"], 2, "say with which key"),
        (["decrypt", "pixels.dcm", "-i", "clinic.key"], 1, "wrong key, wrong context, or changed data"),
        (["decrypt", "1.dcm", "--certificate", "cert.pem"], 2, "belong together"),
        (
            ["decrypt", "1.dcm", "--certificate", "cert.pem", "--private-key", "key.pem"],
            2,
            "who has to have signed",
        ),
        (["decrypt", "pixels.dcm", "-i", "ward.key", "-o", "1.dcm"], 1, "exists"),
    ],
)
def test_commands_fail_in_one_line(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    (place / "pixels.dcm").write_bytes(dicom.encrypt_pixels(CT, KEY))
    (place / "broken").mkdir()
    (place / "broken" / "1.dcm").write_bytes(CT)
    (place / "broken" / "notes.txt").write_text("not DICOM")
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
