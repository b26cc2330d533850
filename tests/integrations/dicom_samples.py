"""DICOM files for tests: those that pydicom and pydicom-data ship, and small ones made up by hypothesis."""

import datetime as dt
import functools
import io
import warnings
from pathlib import Path

import data_store
import numpy as np
import pydicom
import pydicom.data
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

SHIPPED = Path(pydicom.data.__file__).parent
STORED = Path(data_store.__file__).parent
CT = SHIPPED / "test_files" / "CT_small.dcm"
LARGE = 1 << 20  # bytes: such files are for the long tests, except that a few of each kind are always tried


def dicom_files() -> list[Path]:
    """Return every file that the two packages ship as DICOM."""
    return [
        path
        for root in (SHIPPED, STORED)
        for path in sorted(root.rglob("*"))
        if path.suffix == ".dcm" or path.name.startswith(("DICOMDIR", "IM00"))
    ]


def parsed(data: bytes) -> pydicom.FileDataset:
    """Parse without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data), force=True)


def pixels(data: bytes) -> np.ndarray:
    """Return the pixel array without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parsed(data).pixel_array


def written(dataset: pydicom.Dataset) -> bytes:
    """Write a complete DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def edited(data: bytes, **values: object) -> bytes:
    """Do what an archive does: parse, set attributes, write."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = parsed(data)
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return written(dataset)


@st.composite
def images(draw: st.DrawFn) -> bytes:
    """Draw a small image of any native layout."""
    dataset = pydicom.Dataset()
    dataset.file_meta = FileMetaDataset()
    syntax = draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]))
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.SOPInstanceUID = f"1.2.3.{draw(st.integers(1, 999))}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.4", "1.2.5"
    dataset.PatientName = draw(st.sampled_from(["", "Doe^Jane", "A"]))
    dataset.PatientID = draw(st.sampled_from(["", "4711"]))
    dataset.StudyDate = draw(st.sampled_from(["", "20200229"]))
    dataset.Modality = "OT"
    rows, columns, frames = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 3))
    samples = draw(st.sampled_from([1, 3]))
    bits = draw(st.sampled_from([8, 16, 32] if samples == 1 else [8, 16]))
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, samples
    dataset.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if frames > 1:
        dataset.NumberOfFrames = frames
    if samples > 1:
        dataset.PlanarConfiguration = draw(st.sampled_from([0, 1]))
    dataset.BitsAllocated = bits
    dataset.BitsStored = draw(st.integers(bits // 2, bits))
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    mask = (1 << dataset.BitsStored) - 1
    random = np.random.default_rng(draw(st.integers(0, 99)))
    values = random.integers(0, mask, rows * columns * frames * samples, dtype=np.uint64, endpoint=True)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    value = values.astype(f"{order}u{bits // 8}").tobytes()
    if bits == 8 and syntax == ExplicitVRBigEndian:
        dataset.add_new(0x7FE00010, "OB", value + bytes(len(value) % 2))
    else:
        dataset.add_new(0x7FE00010, "OW", value + bytes(len(value) % 2))
    return written(dataset)


@functools.cache
def holder(name: str = "ward", serial: int = 1) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    """Return an RSA key and its self-signed certificate, the same for the same arguments."""
    key = rsa.generate_private_key(65537, 2048)
    return key, _certificate(key, name, serial)


@functools.cache
def elliptic_signer() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Return an elliptic curve key and its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _certificate(key, "signer", 9)


def _certificate(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, name: str, serial: int
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).serial_number(serial)
    builder = builder.public_key(key.public_key()).not_valid_before(start)
    return builder.not_valid_after(start + dt.timedelta(days=36500)).sign(key, hashes.SHA256())


def pem_files(folder: Path) -> tuple[Path, Path]:
    """Write the ward's private key and certificate, and return their paths."""
    key, certificate = holder()
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder / "key.pem", folder / "cert.pem"
