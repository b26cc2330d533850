"""What other software hands us and takes back: files, DICOM.

The only floor that imports third-party frameworks, one file for each, and only when one is used.
"""
