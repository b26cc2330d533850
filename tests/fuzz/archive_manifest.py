"""The manifest of an archive, as it is inside its sealed image: one encoding for each, and no path that leads out."""

from pathlib import PurePosixPath

from medcrypt.images.manifest import Entry, Manifest

ENTRY = Entry("a/1.dcm", "a/1.dcm.mcrypt", 3, 1, "0" * 64, 900, "f" * 64)
OTHER = Entry("b\udce9", "00ff.mcrypt", 0, -5, "1" * 64, 1, "e" * 64)


def seeds() -> list[bytes]:
    return [
        Manifest({}, {}).to_bytes(),
        Manifest({ENTRY.path: ENTRY}, {}).to_bytes(),
        Manifest({ENTRY.path: ENTRY, OTHER.path: OTHER}, {"link": "a symbolic link"}).to_bytes(),
    ]


def parse(data: bytes) -> None:
    manifest = Manifest.from_bytes(data)
    if manifest.to_bytes() != data:
        raise RuntimeError("two encodings of one manifest")
    for entry in manifest.entries.values():
        for path in (entry.path, entry.out):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise RuntimeError("a path leads out of the folder")
