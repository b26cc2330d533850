"""What a sealed image says of itself, without a key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from medcrypt.images import recipients
from medcrypt.images.header import metadata_from_bytes
from medcrypt.images.reading import read_header
from medcrypt.images.sources import Sealed, source_of

__all__ = ["Inspection", "inspect"]


@dataclass(frozen=True)
class Inspection:
    """What a sealed image says of itself. **Nothing here is verified**: anyone could have written it.

    Parameters
    ----------
    verified
        Always false; here so that it is seen wherever an inspection is printed or stored.
    version, cipher, dtype, shape
        Of the image.
    tiles
        Shape of the tiles, or None where the pixels are stored in C order.
    size
        Bytes of the sealed image.
    file_id
        32 hexadecimal digits that name it.
    public_metadata
        The metadata that anyone can read.
    has_private_metadata
        Whether there are encrypted metadata as well.
    recipients
        Kind and fingerprint (16 hexadecimal digits, empty for a passphrase) of each.
    generation
        How often the recipients have been written, 1 at first.
    signer
        The Ed25519 key (64 hexadecimal digits) that is said to have signed, or None.
    """

    verified: bool
    version: int
    cipher: str
    dtype: str
    shape: tuple[int, ...]
    tiles: tuple[int, ...] | None
    size: int
    file_id: str
    public_metadata: dict[str, Any]
    has_private_metadata: bool
    recipients: tuple[tuple[str, str], ...]
    generation: int
    signer: str | None


def inspect(sealed: Sealed) -> Inspection:
    """Return what a sealed image says of itself, without a key and without verifying anything.

    Parameters
    ----------
    sealed
        As for `open`.

    Raises
    ------
    FormatError
        Not a sealed image.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt import SecretKey, images
    >>> slice_, key = np.zeros((2, 2), np.uint8), SecretKey.generate()
    >>> sealed = images.encrypt(slice_, key, public_metadata={"ward": "3"})
    >>> found = images.inspect(sealed)
    >>> found.shape, found.public_metadata, found.verified
    ((2, 2), {'ward': '3'}, False)
    """
    source = source_of(sealed)
    try:
        header, area = read_header(source)
    finally:
        source.close()
    newest, form = recipients.newest_slot(header, area), header.form
    return Inspection(
        verified=False,
        version=1,
        cipher=form.cipher,
        dtype=form.dtype.str,
        shape=form.shape,
        tiles=form.tiles,
        size=form.sealed_size,
        file_id=header.file_id.hex(),
        public_metadata=metadata_from_bytes(header.public),
        has_private_metadata=bool(header.private),
        recipients=tuple((stanza.name, stanza.fingerprint.hex()) for stanza in newest.stanzas),
        generation=newest.generation,
        signer=header.signer.hex() or None,
    )
