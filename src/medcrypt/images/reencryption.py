"""The pixels of a sealed file under a new file key: what taking a recipient away with effect needs.

The sealed file is read and written a few chunks at a time, in the order in which the pixels are stored, and takes
the old one's place only when it is whole and on disk.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from medcrypt.durable import new_file
from medcrypt.images.container import Request
from medcrypt.images.inner_cipher import NETWORK
from medcrypt.images.layout import Layout
from medcrypt.images.reading import SealedImage
from medcrypt.images.reading import open as open_sealed
from medcrypt.images.recipients import OpeningKey, SealingKey
from medcrypt.images.rewrapping import locked
from medcrypt.images.sources import PathLike
from medcrypt.images.writing import SealedWriter
from medcrypt.keys import Identity, Recipient

__all__ = ["expected_sender", "reencrypt"]

# Chunks in memory at a time: 4 MiB.
_BATCH = 256


def reencrypt(
    path: PathLike,
    old: OpeningKey,
    new: SealingKey | Iterable[SealingKey],
    *,
    context: bytes = b"",
    sender: Recipient | None = None,
    signer: Identity | None = None,
    any_sender: bool = False,
    drop_signature: bool = False,
    spare_recipients: int = 3,
    threads: int | None = None,
) -> None:
    """Seal the pixels of a file anew, under a new file key and for new recipients.

    Whoever is not among them cannot open the file any more, even with a file key kept from before. What they may
    have kept of the pixels, or as a copy of the old file, stays theirs. The old file's bytes remain on the disk
    until they are overwritten, and in snapshots and backups.

    The file changes as a whole or not at all, and everybody else who would change it waits. It keeps its metadata,
    tiles and permissions, and gets a new id.

    Parameters
    ----------
    path
        The sealed file.
    old
        A key that opens it.
    new
        All recipients that it shall have from now on.
    context
        What it is bound to, and will be.
    sender
        Go on only if this party signed the file; by default the ``signer``, where there is one, so that nobody
        signs what somebody else has made.
    signer
        Signs the new file. The old signature cannot be kept: it covers the ciphertext.
    any_sender
        Sign the file whoever has signed it, or nobody.
    drop_signature
        Go on without a signer although the file is signed.
    spare_recipients, threads
        As for `encrypt`.

    Raises
    ------
    AuthenticationError
        ``old`` does not open the file, the context or sender is another, or the file was changed.
    ValueError
        The file is signed, and there is neither a signer nor ``drop_signature``; or both a ``sender`` and
        ``any_sender``.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from medcrypt import SecretKey, images
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "ct.mcrypt"
    >>> lost, key = SecretKey.generate(), SecretKey.generate()
    >>> images.save(path, np.arange(4), lost)
    >>> images.reencrypt(path, lost, key)
    >>> with images.open(path, key) as image:
    ...     image[:]
    array([0, 1, 2, 3])
    """
    sender = expected_sender(sender, signer, any_sender=any_sender)
    path = Path(path).resolve()  # of a link, the file that it names is replaced
    with locked(path) as file, open_sealed(file, old, context=context, sender=sender) as image:
        form = image._header.form
        if form.signed and signer is None and not drop_signature:
            raise ValueError("the file is signed: give a signer for the new one, or drop the signature")
        request = Request.of(
            form.dtype,
            form.shape,
            form.tiles,
            new,
            form.cipher,
            context,
            image.metadata,
            image.public_metadata,
            signer,
            spare_recipients,
        )
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
        # The umask has had its part when the old file was made.
        with new_file(path, overwrite=True, permissions=mode) as target:
            writer = SealedWriter(target, request, threads)
            _copy(image, writer)


def expected_sender(
    sender: Recipient | None, signer: Identity | None, *, any_sender: bool
) -> Recipient | None:
    """Return who has to have signed what is sealed anew, or None where that does not matter."""
    if sender is not None and any_sender:
        raise ValueError("a sender and any_sender contradict each other")
    if sender is None and signer is not None and not any_sender:
        return signer.recipient
    return sender


def _copy(image: SealedImage, writer: SealedWriter) -> None:
    """Hand over everything that is stored, each chunk authenticated before it is sealed again."""
    form = image._header.form
    batch = form.chunks if form.cipher == NETWORK else _BATCH  # that cipher has to see all pixels
    for first in range(0, form.chunks, batch):
        plain = image._reader.read_chunks(first, min(first + batch, form.chunks))
        writer._append(plain, Layout(plain.shape, plain.shape))
    writer._finish()
