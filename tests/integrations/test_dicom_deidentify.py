"""De-identification of DICOM files: nothing that the profile names stays, files stay together, and the way back."""

import datetime as dt
import hmac
import uuid
import warnings
from typing import Any

import dicom_samples as samples
import pydicom
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, dictionary_VR

from medcrypt import FormatError, Identity, MedcryptError, SecretKey
from medcrypt.integrations import dicom
from medcrypt.integrations.dicom.profile import CODES, Option, rule_for
from medcrypt.integrations.dicom.pseudonyms import Pseudonyms

KEY = SecretKey.from_bytes(bytes(range(32)))
SIGNER = Identity.from_bytes(bytes(range(64)))
CT = samples.CT.read_bytes()
SECRET = "Sesam"
# Made-up values that could not be the profile's dummies, by value representation.
TELLING: dict[str, Any] = {
    "AE": SECRET, "AS": "099Y", "CS": "SESAM", "DA": "20210304", "DS": "4711", "DT": "20210304111213", "FD": 4711.0,
    "FL": 4711.0, "IS": "4711", "LO": SECRET, "LT": SECRET, "OB": b"Sesam!", "OW": b"Sesam!", "PN": SECRET,
    "SH": SECRET, "SL": 4711, "SS": 4711, "ST": SECRET, "TM": "111213", "UC": SECRET, "UI": "1.2.3.4711", "UL": 4711,
    "UN": b"Sesam!", "UR": "urn:sesam", "US": 4711, "UT": SECRET,
}  # fmt: skip


def _deidentified(data: bytes, *options: str, **more: Any) -> pydicom.FileDataset:
    return samples.parsed(dicom.deidentify(data, KEY, options, **more))


def _telling() -> pydicom.FileDataset:
    """Return a CT with a telling value in every attribute that the profile names and pydicom knows."""
    dataset = samples.parsed(CT)
    for tag, vr in _named_attributes():
        dataset.add_new(tag, vr, [_item()] if vr == "SQ" else TELLING[vr])
    return dataset


def _item() -> pydicom.Dataset:
    item = pydicom.Dataset()
    item.PatientName, item.ReferencedSOPInstanceUID, item.Modality = SECRET, "1.2.3.4711", "CT"
    return item


def _named_attributes() -> list[tuple[int, str]]:
    return [
        (tag, dictionary_VR(tag).split(" or ", maxsplit=1)[0])
        for tag in DicomDictionary
        if tag >> 16 > 4 and rule_for(tag) is not None
    ]


def _text(dataset: pydicom.Dataset, keyword: str) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return str(dataset.get(keyword, ""))


def _texts(dataset: pydicom.Dataset) -> str:
    return "\n".join(str(element.value) for element in dataset.iterall() if element.tag >> 16 != 0x7FE0)


def test_the_table_is_that_of_the_standard() -> None:
    """A sample of PS3.15, table E.1-1, copied by hand."""
    for keyword, basic, options in [
        ("AccessionNumber", "Z", {}),
        ("AcquisitionDate", "X/Z", {"retain_full_dates": "K", "retain_modified_dates": "C"}),
        ("AcquisitionComments", "X", {"clean_descriptors": "C"}),
        ("ContentSequence", "D", {"clean_structured_content": "C"}),
        ("DeviceSerialNumber", "X/Z/D", {"retain_device_identity": "K"}),
        ("DeviceUID", "U", {"retain_uids": "K", "retain_device_identity": "K"}),
        ("InstitutionName", "X/Z/D", {"retain_institution_identity": "K"}),
        ("PatientBirthDate", "Z", {}),
        ("PatientName", "Z", {}),
        ("PatientSex", "Z", {"retain_patient_characteristics": "K"}),
        ("ReferencedImageSequence", "X/Z/U*", {"retain_uids": "K"}),
        ("SOPInstanceUID", "U", {"retain_uids": "K"}),
    ]:
        rule = rule_for(pydicom.datadict.tag_for_keyword(keyword))
        assert rule is not None
        assert (rule.basic, {str(option): action for option, action in rule.options.items()}) == (
            basic,
            options,
        )
    assert rule_for(0x50040010) == rule_for(0x500E2000) != None  # noqa: E711 - curves
    assert rule_for(0x60023000) is not None
    assert rule_for(0x60020010) is None
    assert rule_for(0x00280010) is None


def test_nothing_telling_stays_in_any_attribute_that_the_profile_names() -> None:
    assert len(_named_attributes()) > 550
    result = _deidentified(samples.written(_telling()))
    for trace in ("Sesam", "SESAM", "sesam", "4711", "20210304", "111213", "CompressedSamples", "1CT1"):
        assert trace not in _texts(result), trace
    assert result.PatientID == result.PatientName == Pseudonyms(KEY).patient(SECRET, SECRET)


def test_every_shipped_file_is_deidentified_and_comes_back_byte_for_byte() -> None:
    done = 0
    for path in samples.dicom_files():
        data = path.read_bytes()
        if len(data) > samples.LARGE:
            continue
        try:
            result = dicom.deidentify(data, KEY, keep_for=KEY)
        except FormatError as error:
            if str(error).startswith(("a DICOMDIR", "not a DICOM file")):
                continue
            raise
        assert dicom.decrypt_attributes(result, KEY) == data
        before, after = samples.parsed(data), samples.parsed(result)
        for keyword in ("PatientName", "StudyInstanceUID", "SOPInstanceUID", "OtherPatientIDs", "StudyID"):
            value = _text(before, keyword)
            assert not value or _text(after, keyword) != value or value.startswith("1.2.840.10008.")
        kept = dicom.deidentify(data, KEY, keep_for=samples.holder()[1], signer=SIGNER)
        assert dicom.decrypt_attributes(kept, samples.holder(), sender=SIGNER.recipient) == data
        done += 1
    assert done >= 200


@pytest.mark.long
def test_every_large_file_is_deidentified_and_comes_back_byte_for_byte() -> None:
    for path in samples.dicom_files():
        data = path.read_bytes()
        if len(data) > samples.LARGE and not path.name.startswith("DICOMDIR"):
            assert dicom.decrypt_attributes(dicom.deidentify(data, KEY, keep_for=KEY), KEY) == data


@given(samples.images())
def test_made_up_files_keep_their_pixels(data: bytes) -> None:
    result = dicom.deidentify(data, KEY, keep_for=KEY)
    assert samples.parsed(result).PixelData == samples.parsed(data).PixelData
    assert dicom.decrypt_attributes(result, KEY) == data
    assert b"Doe^Jane" not in result
    assert b"20200229" not in result


def test_a_study_stays_together_under_one_key_only() -> None:
    one, two = _deidentified(CT), _deidentified(samples.edited(CT, SOPInstanceUID="1.2.3"))
    other = samples.parsed(dicom.deidentify(CT, SecretKey.generate()))
    assert one.StudyInstanceUID == two.StudyInstanceUID != other.StudyInstanceUID
    assert one.PatientID == two.PatientID != other.PatientID
    assert one.SOPInstanceUID != two.SOPInstanceUID
    for uid in (one.StudyInstanceUID, one.SOPInstanceUID):
        assert uid.is_valid
        number = uuid.UUID(int=int(uid.removeprefix("2.25.")))
        assert (number.version, number.variant) == (8, uuid.RFC_4122)


def test_uids_are_those_of_the_format_page() -> None:
    """Derived again from docs/formats/dicom.md, with the HKDF of another library."""
    hkdf = HKDFExpand(hashes.SHA512(), 64, b"medcrypt/v1/dicom-pseudonyms")
    key = hkdf.derive(bytes(range(32)))
    drawn = bytearray(hmac.digest(key, b"uid" + (5).to_bytes(4, "big") + b"1.2.3", "sha512")[:16])
    drawn[6] = drawn[6] & 0x0F | 0x80
    drawn[8] = drawn[8] & 0x3F | 0x80
    assert Pseudonyms(KEY).uid("1.2.3") == f"2.25.{int.from_bytes(drawn, 'big')}"
    drawn = hmac.digest(
        key, b"patient" + (4).to_bytes(4, "big") + b"4711" + (1).to_bytes(4, "big") + b"X", "sha512"
    )
    assert Pseudonyms(KEY).patient("4711", "X") == drawn[:8].hex().upper()
    drawn = hmac.digest(key, b"shift" + (4).to_bytes(4, "big") + b"4711" + bytes(4), "sha512")
    assert Pseudonyms(KEY).shift("4711", "").days == -1 - int.from_bytes(drawn[:16], "big") % 3650


def test_references_follow_what_they_refer_to() -> None:
    dataset = samples.parsed(CT)
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    dataset.ReferencedImageSequence = [item]
    result = _deidentified(samples.written(dataset))
    assert result.ReferencedImageSequence[0].ReferencedSOPInstanceUID == result.SOPInstanceUID
    assert result.ReferencedImageSequence[0].ReferencedSOPClassUID == dataset.SOPClassUID
    assert result.file_meta.MediaStorageSOPInstanceUID == result.SOPInstanceUID
    assert result.SOPClassUID == dataset.SOPClassUID


def test_the_file_says_what_was_done() -> None:
    result = _deidentified(CT, "retain_uids", "retain_modified_dates")
    codes = [
        (item.CodeValue, item.CodingSchemeDesignator) for item in result.DeidentificationMethodCodeSequence
    ]
    assert codes == [("113100", "DCM"), ("113107", "DCM"), ("113110", "DCM")]
    assert result.PatientIdentityRemoved == "YES"
    assert "PS3.15" in result.DeidentificationMethod
    assert result.LongitudinalTemporalInformationModified == "MODIFIED"
    assert _deidentified(CT).LongitudinalTemporalInformationModified == "REMOVED"
    assert _deidentified(CT, "retain_full_dates").LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert set(CODES) == set(Option)


def test_file_meta_and_preamble_say_nothing_of_the_source() -> None:
    dataset = samples.parsed(CT)
    dataset.preamble = b"II*\0" + SECRET.encode() + bytes(119)
    dataset.file_meta.SourceApplicationEntityTitle = SECRET
    dataset.file_meta.PrivateInformationCreatorUID = "1.2.3"
    dataset.file_meta.PrivateInformation = SECRET.encode() + b"!"
    assert SECRET.encode() not in dicom.deidentify(samples.written(dataset), KEY)


@pytest.mark.parametrize(
    ("option", "kept", "hidden"),
    [
        (
            "retain_uids",
            ["SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"],
            ["PatientName", "StudyDate"],
        ),
        ("retain_device_identity", ["StationName", "DeviceSerialNumber", "DeviceUID"], ["InstitutionName"]),
        ("retain_institution_identity", ["InstitutionName", "InstitutionAddress"], ["StationName"]),
        (
            "retain_patient_characteristics",
            ["PatientSex", "PatientAge", "PatientSize"],
            ["PatientID", "Allergies"],
        ),
        (
            "retain_full_dates",
            ["StudyDate", "StudyTime", "AcquisitionDateTime"],
            ["PatientBirthDate", "StudyID"],
        ),
    ],
)
def test_options_keep_what_they_name_and_nothing_else(
    option: str, kept: list[str], hidden: list[str]
) -> None:
    dataset = _telling()
    result = _deidentified(samples.written(dataset), option)
    for keyword in kept:
        assert result[keyword].value == dataset[keyword].value, keyword
    for keyword in hidden:
        assert keyword not in result or result[keyword].value != dataset[keyword].value, keyword


def test_modified_dates_keep_their_distances() -> None:
    dataset = _telling()
    data = samples.edited(
        samples.written(dataset),
        StudyDate="20200229",
        SeriesDate="2020.03.02",
        AcquisitionDateTime="20200301101112.5+0100",
        ContentDate="202003",
    )
    result = _deidentified(data, "retain_modified_dates")
    study, series = (dt.datetime.strptime(result[name].value, "%Y%m%d").replace(tzinfo=dt.UTC)
                     for name in ("StudyDate", "SeriesDate"))  # fmt: skip
    assert series - study == dt.timedelta(days=2)
    moved = study - dt.datetime(2020, 2, 29, tzinfo=dt.UTC)
    assert dt.timedelta(days=-3650) <= moved <= dt.timedelta(days=-1)
    assert result.AcquisitionDateTime[8:] == "101112.5+0100"
    assert result.AcquisitionDateTime[:8] == f"{study + dt.timedelta(days=1):%Y%m%d}"
    assert result.StudyTime == dataset.StudyTime
    assert result.ContentDate == "19000101"  # no day to move: a dummy
    assert result.PatientBirthDate == ""


@given(st.text("0123456789", min_size=1, max_size=16), st.text(max_size=4))
def test_shifts_and_pseudonyms_depend_on_patient_and_issuer(patient: str, issuer: str) -> None:
    pseudonyms = Pseudonyms(KEY)
    assert pseudonyms.patient(patient, issuer) == pseudonyms.patient(patient, issuer)
    assert pseudonyms.patient(patient, issuer) != pseudonyms.patient(patient + "0", issuer)
    assert pseudonyms.patient(patient, issuer) != pseudonyms.patient(patient, issuer + "0")
    assert pseudonyms.patient(patient, "") != pseudonyms.patient("", patient)
    assert 1 <= -pseudonyms.shift(patient, issuer).days <= 3650
    assert pseudonyms.uid(f"1.{patient}") != f"1.{patient}"
    assert pseudonyms.uid("1.2.840.10008.5.1.4.1.1.2") == "1.2.840.10008.5.1.4.1.1.2"


def test_cleaning_asks_the_caller_and_falls_back_to_the_profile() -> None:
    dataset = _telling()
    dataset.SeriesDescription, dataset.StudyDescription = "CT abdomen of Jane", "all about Jane"
    asked = []

    def clean(keyword: str, value: Any) -> Any:
        asked.append(keyword)
        return value.replace(" of Jane", "") if keyword == "SeriesDescription" else None

    result = _deidentified(samples.written(dataset), "clean_descriptors", clean=clean)
    assert result.SeriesDescription == "CT abdomen"
    assert "StudyDescription" not in result
    assert {"SeriesDescription", "StudyDescription", "AcquisitionComments"} <= set(asked)
    assert "PatientName" not in asked


def test_an_error_of_the_callers_function_is_the_callers() -> None:
    def clean(keyword: str, value: Any) -> Any:
        raise KeyError(keyword)

    with pytest.raises(KeyError, match="Description"):
        dicom.deidentify(_described(), KEY, ["clean_descriptors"], clean=clean)


def _described() -> bytes:
    return samples.edited(CT, StudyDescription="all about Jane")


def test_structured_content_is_cleaned_text_by_text() -> None:
    report = samples.SHIPPED / "test_files" / "reportsi.dcm"
    before = samples.parsed(report.read_bytes())

    def clean(keyword: str, value: Any) -> Any:
        return "cleaned" if keyword == "TextValue" else None

    after = _deidentified(report.read_bytes(), "clean_structured_content", clean=clean)
    texts = [element.value for element in after.iterall() if element.keyword == "TextValue"]
    assert texts
    assert set(texts) == {"cleaned"}
    assert len(after.ContentSequence) == len(before.ContentSequence)
    assert len(_deidentified(report.read_bytes()).ContentSequence[0]) == 0
    names = {str(element.value) for element in after.iterall() if element.VR == "PN" and element.value}
    assert names <= {"ANONYMIZED", str(after.PatientName)}


def test_private_elements_go_unless_they_are_known_to_be_safe() -> None:
    dataset = samples.parsed(CT)
    block = dataset.private_block(0x0077, "SAFE 1.0", create=True)
    block.add_new(0x01, "LO", "kept")
    block.add_new(0x02, "LO", SECRET)
    item = pydicom.Dataset()
    item.private_block(0x0077, "SAFE 1.0", create=True).add_new(0x02, "LO", SECRET)
    dataset.ReferencedImageSequence = [item]
    data = samples.written(dataset)
    assert not any(element.tag.is_private for element in _deidentified(data).iterall())
    safe = [("SAFE 1.0", 0x0077, 0x01)]
    assert not any(element.tag.is_private for element in _deidentified(data, safe_private=safe).iterall())
    result = _deidentified(data, "retain_safe_private", safe_private=safe)
    assert result.private_block(0x0077, "SAFE 1.0")[0x01].value == "kept"
    assert {element.tag for element in result.iterall() if element.tag.is_private} == {0x00770010, 0x00771001}


def test_attributes_that_the_standard_does_not_know_go() -> None:
    dataset = samples.parsed(CT)
    dataset.add_new(0x00080FFE, "LO", SECRET)
    assert SECRET.encode() not in dicom.deidentify(samples.written(dataset), KEY)


def test_overlays_and_curves_go() -> None:
    dataset = samples.parsed(CT)
    dataset.add_new(0x60003000, "OW", b"overlay!")
    dataset.add_new(0x50023000, "OW", b"curve..!")
    result = dicom.deidentify(samples.written(dataset), KEY)
    assert b"overlay!" not in result
    assert b"curve..!" not in result


def test_edits_survive_the_way_back_if_asked_for() -> None:
    edited = samples.edited(dicom.deidentify(CT, KEY, keep_for=KEY), SeriesNumber=99)
    back = samples.parsed(dicom.decrypt_attributes(edited, KEY, exact=False))
    original = samples.parsed(CT)
    assert back.SeriesNumber == 99
    back.SeriesNumber = original.SeriesNumber
    assert {element.tag for element in original} == {element.tag for element in back}
    assert all(back[element.tag] == element for element in original)


def test_what_cannot_be_done_is_said() -> None:
    for hidden in (dicom.encrypt_pixels(CT, KEY), dicom.deidentify(CT, KEY, keep_for=KEY)):
        with pytest.raises(FormatError, match="de-identify it first"):
            dicom.deidentify(hidden, KEY)
    with pytest.raises(ValueError, match="not a valid Option"):
        dicom.deidentify(CT, KEY, ["retain_everything"])
    with pytest.raises(ValueError, match="not both"):
        dicom.deidentify(CT, KEY, ["retain_full_dates", "retain_modified_dates"])
    with pytest.raises(ValueError, match="need a function"):
        dicom.deidentify(CT, KEY, ["clean_descriptors"])
    with pytest.raises(TypeError, match="SecretKey"):
        dicom.deidentify(CT, SIGNER)  # type: ignore[arg-type]


@given(st.binary(max_size=2000))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(MedcryptError):
        dicom.deidentify(data, KEY)


def test_deidentified_files_can_have_their_pixels_encrypted_too() -> None:
    both = dicom.encrypt_pixels(dicom.deidentify(CT, KEY, keep_for=KEY), KEY)
    assert dicom.decrypt_attributes(dicom.decrypt_pixels(both, KEY), KEY) == CT
