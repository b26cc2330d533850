"""What a key holder has opened: an append-only file that is on disk before anything is decrypted.

    header   magic "MCLG" | version 1 | SHA-256 of the owner's name and key fingerprint, 32 bytes
    record   plan hash 32 | digest of the contributions 32 | chain 32

chain_0 is SHA-256(domain || header), chain_i is SHA-256(domain || chain_(i-1) || plan hash || digest). A record
is synced to disk before the decryption that it allows begins, so a crash never loses one that mattered: a
record that is cut short, or that the file system left as zeros, belongs to a decryption that did not happen.
Anything else that does not fit the chain is damage, and the ledger refuses to be used.

A ledger cannot notice that it was replaced by an older copy of itself. Keep it out of what backups restore;
after restoring a machine, retire its key share. `Ledger.head` is the end of the chain: write it down
elsewhere and compare.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from medcrypt.durable import lock, new_file
from medcrypt.errors import FormatError, ProtocolError

__all__ = ["Ledger"]

_MAGIC = b"MCLG\x01"
_DOMAIN = b"medcrypt/aggregation/ledger/v1\x00"
_HASH = 32
_HEADER = len(_MAGIC) + _HASH
_RECORD = 3 * _HASH


class Ledger:
    """A key holder's memory of what it has opened.

    Parameters
    ----------
    path
        A file that `create` made. One that is missing is never made anew: it would have forgotten everything.
    owner
        Name of the key holder.
    fingerprint
        Fingerprint of its key.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If the file is no ledger, is damaged, or belongs to another holder or key.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "notary.ledger"
    >>> ledger = Ledger.create(path, "notary", bytes(32))
    >>> ledger.claim(b"p" * 32, b"a" * 32)
    >>> ledger.claim(b"p" * 32, b"a" * 32)  # the same set again: a reply that was lost
    >>> Ledger(path, "notary", bytes(32)).claim(b"p" * 32, b"b" * 32)
    Traceback (most recent call last):
    medcrypt.errors.ProtocolError: another set of contributions was opened for this plan and round
    """

    def __init__(self, path: str | os.PathLike[str], owner: str, fingerprint: bytes) -> None:
        self._path = Path(path)
        self._owner = self.owner_of(owner, fingerprint)
        with self._locked() as descriptor:
            self._read(descriptor)

    @classmethod
    def create(cls, path: str | os.PathLike[str], owner: str, fingerprint: bytes) -> "Ledger":
        """Make an empty ledger (mode 0600), once in the life of a key.

        Parameters
        ----------
        path
            Where to; nothing may be there yet.
        owner, fingerprint
            As for the class.

        Returns
        -------
        Ledger
            The ledger.

        Raises
        ------
        FileExistsError
            If the path exists.

        Examples
        --------
        See the class.
        """
        with new_file(path, mode=0o600) as file:
            file.write(_MAGIC + cls.owner_of(owner, fingerprint))
        return cls(path, owner, fingerprint)

    @staticmethod
    def owner_of(name: str, fingerprint: bytes) -> bytes:
        """Return what stands for a holder and its key in the header: a SHA-256, 32 bytes."""
        if len(fingerprint) != _HASH:
            raise ValueError(f"a key's fingerprint has {_HASH} bytes")
        return hashlib.sha256(_DOMAIN + fingerprint + name.encode()).digest()

    @property
    def owner(self) -> bytes:
        """Whose ledger it is, as `owner_of` says it."""
        return self._owner

    @property
    def head(self) -> bytes:
        """The end of the chain, 32 bytes: it changes with every record."""
        with self._locked() as descriptor:
            return self._read(descriptor)[1]

    def claim(self, plan: bytes, contributions: bytes) -> None:
        """Record, durably, that this set is the one that is opened for a plan and round.

        Parameters
        ----------
        plan
            The plan hash, which covers the round, 32 bytes.
        contributions
            Digest of who contributed what, 32 bytes.

        Raises
        ------
        ProtocolError
            If another set was opened before.
        FormatError
            If the file is damaged.
        OSError
            If the record cannot be written; then it does not count, and nothing may be opened.
        """
        with self._locked() as descriptor:
            opened, chain, end = self._read(descriptor)
            if plan in opened:
                if opened[plan] != contributions:
                    raise ProtocolError("another set of contributions was opened for this plan and round")
                return
            record = plan + contributions + _next(chain, plan + contributions)
            os.ftruncate(descriptor, end)  # what a crash left
            os.lseek(descriptor, end, os.SEEK_SET)
            _write(descriptor, record)
            os.fsync(descriptor)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """Open the file for this process alone."""
        descriptor = os.open(self._path, os.O_RDWR | getattr(os, "O_BINARY", 0))
        try:
            lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)  # which also unlocks

    def _read(self, descriptor: int) -> tuple[dict[bytes, bytes], bytes, int]:
        """Return what was opened, the end of the chain, and where the next record goes."""
        os.lseek(descriptor, 0, os.SEEK_SET)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            data = file.read()
        if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEADER:
            raise FormatError("not a ledger of version 1")
        if data[len(_MAGIC) : _HEADER] != self._owner:
            raise FormatError("the ledger belongs to another holder or key")
        opened: dict[bytes, bytes] = {}
        chain, end = hashlib.sha256(_DOMAIN + data[:_HEADER]).digest(), _HEADER
        for at in range(_HEADER, len(data) - _RECORD + 1, _RECORD):
            record = data[at : at + _RECORD]
            if not any(data[at:]):  # zeros to the end: the write was not finished
                break
            chain = _next(chain, record[: 2 * _HASH])
            if chain != record[2 * _HASH :]:
                raise FormatError("the ledger is damaged")
            opened[record[:_HASH]] = record[_HASH : 2 * _HASH]
            end = at + _RECORD
        return opened, chain, end

    def __repr__(self) -> str:
        return f"Ledger({str(self._path)!r})"


def _next(chain: bytes, content: bytes) -> bytes:
    return hashlib.sha256(_DOMAIN + chain + content).digest()


def _write(descriptor: int, data: bytes) -> None:
    """Write everything, or raise."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
