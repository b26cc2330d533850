"""Attributes of DICOM files through encrypt and decrypt, by medcrypt keys and by certificates."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import dicom_samples as samples
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filereader import read_dataset

from medcrypt import (
    AuthenticationError,
    FormatError,
    Identity,
    InvalidKeyError,
    MedcryptError,
    SecretKey,
)
from medcrypt.integrations import dicom
from medcrypt.integrations.dicom import attributes as attributes_module
from medcrypt.integrations.dicom import cms

KEY = SecretKey.from_bytes(bytes(range(32)))
SIGNER = Identity.from_bytes(bytes(range(64)))
CT = samples.CT.read_bytes()
NAMES = ["PatientName", "PatientID", "StudyDate", "RequestAttributesSequence"]
# No places for encrypted attributes: directories, whose records point at places in the file, and what is no DICOM.
REFUSED = ("a DICOMDIR", "not a DICOM file")


def _with_certificate(data: bytes, names: list[str] = NAMES) -> bytes:
    return dicom.encrypt_attributes(data, samples.holder()[1], names, signer=SIGNER)


def _opened(data: bytes, **options: Any) -> bytes:
    return dicom.decrypt_attributes(data, samples.holder(), sender=SIGNER.recipient, **options)


def test_every_file_comes_back_byte_for_byte_by_key_and_by_certificate() -> None:
    done = 0
    for path in samples.dicom_files():
        data = path.read_bytes()
        if len(data) > samples.LARGE:
            continue
        try:
            sealed = dicom.encrypt_attributes(data, KEY, NAMES)
        except FormatError as error:
            if str(error).startswith(REFUSED):
                continue
            raise
        assert dicom.decrypt_attributes(sealed, KEY) == data
        assert _opened(_with_certificate(data)) == data
        done += 1
    assert done >= 200


@pytest.mark.long
def test_every_large_file_comes_back_byte_for_byte() -> None:
    for path in samples.dicom_files():
        data = path.read_bytes()
        if len(data) > samples.LARGE and not path.name.startswith("DICOMDIR"):
            assert dicom.decrypt_attributes(dicom.encrypt_attributes(data, KEY, NAMES), KEY) == data
            assert _opened(_with_certificate(data)) == data


@given(samples.images())
def test_made_up_files_come_back_byte_for_byte(data: bytes) -> None:
    assert dicom.decrypt_attributes(dicom.encrypt_attributes(data, KEY, NAMES), KEY) == data
    assert _opened(_with_certificate(data)) == data


def test_dummies_take_the_place_of_what_is_encrypted_and_the_rest_stays() -> None:
    for hidden in (dicom.encrypt_attributes(CT, KEY, NAMES), _with_certificate(CT)):
        dataset, original = samples.parsed(hidden), samples.parsed(CT)
        assert dataset.PatientName == dataset.PatientID == "ANONYMIZED"
        assert dataset.StudyDate == "19000101"
        assert b"CompressedSamples" not in hidden
        changed = {element.tag for element in original if dataset.get(element.tag) != element}
        assert changed == {0x00100010, 0x00100020, 0x00080020}
        assert dataset.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID


def test_edits_of_an_archive_survive_if_asked_for() -> None:
    for hidden in (dicom.encrypt_attributes(CT, KEY, NAMES), _with_certificate(CT)):
        edited = samples.edited(hidden, StudyDescription="Edited")
        if b"MEDCRYPT" in edited and 0x04000500 not in samples.parsed(edited):
            back = dicom.decrypt_attributes(edited, KEY, exact=False)
            exact = dicom.decrypt_attributes(edited, KEY)
        else:
            back, exact = _opened(edited, exact=False), _opened(edited)
        dataset = samples.parsed(back)
        assert dataset.StudyDescription == "Edited"
        assert str(dataset.PatientName) == "CompressedSamples^CT1"
        assert b"MEDCRYPT" not in back
        assert 0x04000500 not in dataset
        assert exact == CT


def test_other_pixels_are_no_exact_original() -> None:
    pixel_data = bytes(len(samples.parsed(CT).PixelData))
    hidden = samples.edited(dicom.encrypt_attributes(CT, KEY, NAMES), PixelData=pixel_data)
    with pytest.raises(AuthenticationError):
        dicom.decrypt_attributes(hidden, KEY)
    back = samples.parsed(dicom.decrypt_attributes(hidden, KEY, exact=False))
    assert back.PixelData == pixel_data
    assert back.PatientID == "1CT1"


def test_openssl_reads_the_envelope(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, certificate = samples.pem_files(tmp_path)
    item = samples.parsed(_with_certificate(CT)).EncryptedAttributesSequence[0]
    assert item.EncryptedContentTransferSyntaxUID == "1.2.840.10008.1.2.1"
    (tmp_path / "content.der").write_bytes(item.EncryptedContent)  # with its pad byte, if it has one
    command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-in", "content.der", "-inkey", key, "-recip"]
    done = subprocess.run(
        [*command, certificate, "-out", "plain"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with (tmp_path / "plain").open("rb") as file:
        content = read_dataset(file, False, True)
    original = content.ModifiedAttributesSequence[0]
    assert str(original.PatientName) == "CompressedSamples^CT1"
    assert original.StudyDate == samples.parsed(CT).StudyDate


def test_openssl_writes_an_envelope_that_opens(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    _, certificate = samples.pem_files(tmp_path)
    (tmp_path / "plain").write_bytes(bytes(range(256)))
    command = [
        "openssl",
        "cms",
        "-encrypt",
        "-binary",
        "-aes256",
        "-outform",
        "DER",
        "-in",
        "plain",
        "-out",
        "der",
    ]
    subprocess.run([*command, certificate], cwd=tmp_path, check=True, capture_output=True)
    assert cms.open_envelope((tmp_path / "der").read_bytes(), *samples.holder()) == bytes(range(256))


def test_gdcm_restores_the_attributes(tmp_path: Path) -> None:
    gdcm = pytest.importorskip("gdcm")
    key, certificate = samples.pem_files(tmp_path)
    hidden = dicom.deidentify(CT, KEY, keep_for=samples.holder()[1], signer=SIGNER)
    (tmp_path / "hidden.dcm").write_bytes(hidden)
    provider = gdcm.CryptoFactory.GetFactoryInstance().CreateCMSProvider()
    assert provider.ParseKeyFile(str(key))
    assert provider.ParseCertificateFile(str(certificate))
    reader, writer, anonymizer = gdcm.Reader(), gdcm.Writer(), gdcm.Anonymizer()
    reader.SetFileName(str(tmp_path / "hidden.dcm"))
    assert reader.Read()
    anonymizer.SetCryptographicMessageSyntax(provider)
    anonymizer.SetFile(reader.GetFile())
    assert anonymizer.BasicApplicationLevelConfidentialityProfile(False)
    writer.SetFileName(str(tmp_path / "back.dcm"))
    writer.SetFile(reader.GetFile())
    assert writer.Write()
    back, original = pydicom.dcmread(tmp_path / "back.dcm"), samples.parsed(CT)
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "SOPInstanceUID", "StudyDate"):
        assert back[keyword].value == original[keyword].value


def test_any_change_to_envelope_or_signature_is_refused_before_anything_is_decrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden = _with_certificate(CT)
    content = samples.parsed(hidden).EncryptedAttributesSequence[0].EncryptedContent
    start = hidden.index(content)
    signature = hidden.index(b"MEDCRYPT 1.0") + 12 + 12 + 8

    def never(*_: object) -> bytes:
        raise AssertionError("decrypted")

    monkeypatch.setattr(cms, "open_envelope", never)
    places = [*range(start, start + len(content) - 1, 41), *range(signature, signature + 97)]
    for place in places:
        damaged = bytearray(hidden)
        damaged[place] ^= 1 << place % 8
        with pytest.raises((AuthenticationError, FormatError)):
            _opened(bytes(damaged))
    with pytest.raises(AssertionError, match="decrypted"):
        _opened(hidden)


def test_any_change_to_the_sealed_block_is_refused() -> None:
    hidden = dicom.encrypt_attributes(CT, KEY, NAMES)
    start = hidden.index(b"MEDCRYPT 1.0") + 12 + 12 + 8
    length = int.from_bytes(hidden[start - 8 : start], "little")
    for place in range(start, start + length, 61):
        damaged = bytearray(hidden)
        damaged[place] ^= 1 << place % 8
        with pytest.raises((AuthenticationError, FormatError)):
            dicom.decrypt_attributes(bytes(damaged), KEY)


def test_attributes_of_another_instance_are_refused() -> None:
    with pytest.raises(AuthenticationError):
        _opened(samples.edited(_with_certificate(CT), SOPInstanceUID="1.2.3"))
    hidden = samples.edited(dicom.encrypt_attributes(CT, KEY, NAMES), SOPInstanceUID="1.2.3")
    with pytest.raises(AuthenticationError):
        dicom.decrypt_attributes(hidden, KEY)


def test_an_unsigned_sequence_opens_only_if_that_is_accepted() -> None:
    dataset = samples.parsed(_with_certificate(CT))
    del dataset[0x7FDF0010], dataset[0x7FDF1005]
    unsigned = samples.written(dataset)
    with pytest.raises(AuthenticationError):
        _opened(unsigned)
    with pytest.raises(ValueError, match="sender"):
        dicom.decrypt_attributes(unsigned, samples.holder())
    assert dicom.decrypt_attributes(unsigned, samples.holder(), unsigned=True) == CT


def test_a_sequence_of_other_software_opens() -> None:
    dataset = samples.parsed(CT)
    item, content = pydicom.Dataset(), pydicom.Dataset()
    item.PatientName, item.PatientID = "Doe^Jane", "7"
    content.ModifiedAttributesSequence = [item]
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    pydicom.filewriter.write_dataset(buffer, content)
    der = cms.envelope(buffer.getvalue(), [samples.holder()[1]])
    outer = pydicom.Dataset()
    outer.EncryptedContentTransferSyntaxUID = "1.2.840.10008.1.2.1"
    outer.EncryptedContent = der + bytes(len(der) % 2)
    dataset.EncryptedAttributesSequence = [outer]
    data = samples.written(dataset)
    back = samples.parsed(dicom.decrypt_attributes(data, samples.holder(), unsigned=True, exact=False))
    assert (str(back.PatientName), back.PatientID) == ("Doe^Jane", "7")
    assert 0x04000500 not in back
    with pytest.raises(FormatError, match="other software"):
        dicom.decrypt_attributes(data, samples.holder(), unsigned=True)


@pytest.mark.parametrize("signer", [samples.holder("doctor", 5), samples.elliptic_signer()])
def test_certificates_sign_too(signer: Any) -> None:
    hidden = dicom.encrypt_attributes(CT, samples.holder()[1], NAMES, signer=signer, context=b"7")
    opened = dicom.decrypt_attributes(hidden, samples.holder(), sender=signer[1], context=b"7")
    assert opened == CT
    for sender, context in [(samples.holder()[1], b"7"), (SIGNER.recipient, b"7"), (signer[1], b"8")]:
        with pytest.raises(AuthenticationError):
            dicom.decrypt_attributes(hidden, samples.holder(), sender=sender, context=context)


def test_each_of_several_holders_opens_and_nobody_else() -> None:
    two = [samples.holder()[1], samples.holder("other", 2)[1]]
    hidden = dicom.encrypt_attributes(CT, two, NAMES, signer=SIGNER)
    for pair in (samples.holder(), samples.holder("other", 2)):
        assert dicom.decrypt_attributes(hidden, pair, sender=SIGNER.recipient) == CT
    stranger, (key, _) = samples.holder("stranger", 3), samples.holder("stranger", 3)
    for pair in (stranger, (key, samples.holder()[1])):
        with pytest.raises(AuthenticationError):
            dicom.decrypt_attributes(hidden, pair, sender=SIGNER.recipient)


@pytest.mark.parametrize("noise", [b"", b"noise", bytes(40), b"\xff" * 99, bytes(range(256))])
def test_a_wrong_private_key_whose_noise_has_the_right_padding_is_not_authentic(
    monkeypatch: pytest.MonkeyPatch, noise: bytes
) -> None:
    hidden = dicom.encrypt_attributes(CT, samples.holder()[1], NAMES, signer=SIGNER)
    monkeypatch.setattr(cms, "open_envelope", lambda *_: noise)  # as happens by chance, once in 256 times
    with pytest.raises(AuthenticationError):
        dicom.decrypt_attributes(hidden, samples.holder(), sender=SIGNER.recipient)


def test_wrong_medcrypt_key_context_or_sender_is_refused() -> None:
    reader = Identity.generate()
    hidden = dicom.encrypt_attributes(CT, [KEY, reader.recipient], NAMES, signer=SIGNER, context=b"7")
    assert dicom.decrypt_attributes(hidden, reader, sender=SIGNER.recipient, context=b"7") == CT
    for key, context, sender in [
        (SecretKey.generate(), b"7", None), (KEY, b"8", None), (KEY, b"7", reader.recipient),
    ]:  # fmt: skip
        with pytest.raises(AuthenticationError):
            dicom.decrypt_attributes(hidden, key, sender=sender, context=context)


def test_keys_of_the_wrong_kind_are_named() -> None:
    with pytest.raises(InvalidKeyError, match="for a certificate"):
        dicom.decrypt_attributes(_with_certificate(CT), KEY, sender=SIGNER.recipient)
    with pytest.raises(InvalidKeyError, match="for a medcrypt key"):
        dicom.decrypt_attributes(dicom.encrypt_attributes(CT, KEY, NAMES), samples.holder())
    with pytest.raises(TypeError, match="mixed"):
        dicom.encrypt_attributes(CT, [samples.holder()[1], KEY], NAMES, signer=SIGNER)
    with pytest.raises(ValueError, match="give a signer"):
        dicom.encrypt_attributes(CT, samples.holder()[1], NAMES)
    pair = samples.holder()[0], samples.holder("other", 2)[1]
    with pytest.raises(ValueError, match="does not belong"):
        dicom.encrypt_attributes(CT, samples.holder()[1], NAMES, signer=pair)


def test_what_cannot_be_encrypted_is_said() -> None:
    for name in ("SOPInstanceUID", "PixelData", "SpecificCharacterSet", 0x00020010):
        with pytest.raises(ValueError, match="cannot do without"):
            dicom.encrypt_attributes(CT, KEY, [name])
    with pytest.raises(ValueError, match="no attribute of DICOM"):
        dicom.encrypt_attributes(CT, KEY, ["PatientsName"])
    with pytest.raises(TypeError, match="a list"):
        dicom.encrypt_attributes(CT, KEY, "PatientName")
    with pytest.raises(FormatError, match="already"):
        dicom.encrypt_attributes(dicom.encrypt_attributes(CT, KEY, NAMES), KEY, NAMES)
    with pytest.raises(FormatError, match="no attributes of this file"):
        dicom.decrypt_attributes(CT, KEY)


@pytest.mark.parametrize("value", [b"", b"0", b"\x30\x85aaaa", b"\x30\x80\0\0", b"\x31\x03aaa", b"\x30\x02a"])
def test_content_that_is_not_der_is_a_format_error(value: bytes) -> None:
    with pytest.raises(FormatError):
        cms.trimmed(value)


@given(st.binary(max_size=2000))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MedcryptError):
        dicom.encrypt_attributes(data, KEY, NAMES)
    with pytest.raises(MedcryptError):
        dicom.decrypt_attributes(data, KEY)


def test_random_envelopes_are_refused() -> None:
    for plain in (b"no data set", b"", bytes(40)):
        der = cms.envelope(plain, [samples.holder()[1]])
        dataset = samples.parsed(CT)
        item = pydicom.Dataset()
        item.EncryptedContentTransferSyntaxUID = "1.2.840.10008.1.2.1"
        item.EncryptedContent = der + bytes(len(der) % 2)
        dataset.EncryptedAttributesSequence = [item]
        with pytest.raises(MedcryptError):
            dicom.decrypt_attributes(samples.written(dataset), samples.holder(), unsigned=True)
    with pytest.raises(AuthenticationError):
        cms.open_envelope(der[:-20], *samples.holder())


def test_without_cryptography_medcrypt_keys_still_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(attributes_module.sys.modules, "cryptography")
    assert dicom.decrypt_attributes(dicom.encrypt_attributes(CT, KEY, NAMES), KEY) == CT
