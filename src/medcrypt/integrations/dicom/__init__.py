"""DICOM: whole files, pixels only, attributes only, and de-identification.

`whole` seals a file as it lies on disk. `pixels` encrypts the pixels, or regions of them, and leaves a DICOM file
with readable metadata. `attributes` encrypts attributes and leaves a DICOM file with readable pixels. `deidentify`
replaces what identifies a patient, and keeps it encrypted if asked to. The original comes back byte for byte from
each of them that keeps it.

pydicom is imported when it is first needed: ``pip install 'medcrypt[dicom]'``; certificates need
``medcrypt[cms]``.
"""

from medcrypt.integrations.dicom.attributes import decrypt_attributes, encrypt_attributes
from medcrypt.integrations.dicom.commands import add_decrypt_subparser, add_encrypt_subparser
from medcrypt.integrations.dicom.deidentify import deidentify
from medcrypt.integrations.dicom.pixels import decrypt_pixels, encrypt_pixels, has_encrypted_pixels
from medcrypt.integrations.dicom.profile import Option
from medcrypt.integrations.dicom.whole import (
    describe,
    open_dataset,
    seal,
    seal_folder,
    unseal,
    unseal_folder,
)

__all__ = [
    "Option",
    "add_decrypt_subparser",
    "add_encrypt_subparser",
    "decrypt_attributes",
    "decrypt_pixels",
    "deidentify",
    "describe",
    "encrypt_attributes",
    "encrypt_pixels",
    "has_encrypted_pixels",
    "open_dataset",
    "seal",
    "seal_folder",
    "unseal",
    "unseal_folder",
]
