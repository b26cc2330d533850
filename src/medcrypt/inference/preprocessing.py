"""Correlated randomness that lies ready: in memory, or sealed on disk; each batch is given out once.

On disk::

    folder/SESSION/NUMBER.batch    Cobblestone-256 under a key that only this process knows; the context is domain |
                                   session | party | number | size, the content each step's length, 8 bytes, and
                                   material
    folder/SESSION/burnt           the numbers that were given out, 8 bytes each, big-endian

Two inputs under one mask tell their difference, so a batch must never be used twice, whatever happens to the machine::

    the session is fresh        its name comes from random numbers of the dealer and of both servers, so no server can
                                be led back into an old one, and a process that starts joins a new one
    the key is never written    what a crash leaves behind, or a backup brings back, cannot be opened by anybody
    burnt before it is used     the number is on disk, and remembered, before the material is opened; a file that is
                                put back into the folder of a running server is refused

What is left of earlier sessions is removed at the start.
"""

import contextlib
import os
import shutil
import struct
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from medcrypt.durable import new_file
from medcrypt.errors import AuthenticationError, FormatError, ProtocolError
from medcrypt.images import cobblestone

__all__ = ["MemoryStock", "SealedStock", "Stock"]

_DOMAIN = b"medcrypt/inference/preprocessing/v1\x00"
_BURNT = "burnt"


class Stock(ABC):
    """Batches of material of one server in one session, by number; each is given out once."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        self._seen: set[int] = set()

    def put(self, number: int, size: int, materials: Sequence[bytes]) -> None:
        """Keep the material of a batch.

        Parameters
        ----------
        number : int
            Its number in the session; each comes once.
        size : int
            How many inputs it is for.
        materials : sequence of bytes
            One for each step.

        Raises
        ------
        ProtocolError
            The number was there before.
        """
        if number in self._seen:
            raise ProtocolError(f"batch {number} was dealt before", "dealer")
        self._seen.add(number)
        self._keep(number, size, materials)
        self._sizes[number] = size

    def find(self, size: int) -> int | None:
        """Return the lowest number of a batch for so many inputs, or None."""
        return min((number for number, found in self._sizes.items() if found == size), default=None)

    def count(self, size: int) -> int:
        """Return how many batches for so many inputs there are."""
        return sum(found == size for found in self._sizes.values())

    def take(self, number: int, size: int) -> list[bytes]:
        """Burn a batch, and return its material.

        Raises
        ------
        ProtocolError
            There is no such batch, it is for another number of inputs, or it was given out before.
        """
        if self._sizes.get(number) != size:
            raise ProtocolError(f"there is no unused material with number {number} for {size} inputs")
        del self._sizes[number]
        return self._burn(number, size)

    def __len__(self) -> int:
        return len(self._sizes)

    @abstractmethod
    def close(self) -> None:
        """Forget everything that is left."""

    @abstractmethod
    def _keep(self, number: int, size: int, materials: Sequence[bytes]) -> None:
        """Put material away."""

    @abstractmethod
    def _burn(self, number: int, size: int) -> list[bytes]:
        """Make sure that material is not found again, then return it."""


class MemoryStock(Stock):
    """Batches in memory.

    Examples
    --------
    >>> stock = MemoryStock()
    >>> stock.put(1, 5, [b"triples", b"keys"])
    >>> stock.find(5), stock.take(1, 5), stock.find(5)
    (1, [b'triples', b'keys'], None)
    """

    def __init__(self) -> None:
        super().__init__()
        self._materials: dict[int, list[bytes]] = {}

    def close(self) -> None:
        """Forget everything that is left."""
        self._sizes.clear()
        self._materials.clear()

    def _keep(self, number: int, size: int, materials: Sequence[bytes]) -> None:
        self._materials[number] = list(materials)

    def _burn(self, number: int, size: int) -> list[bytes]:
        return self._materials.pop(number)


class SealedStock(Stock):
    """Batches on disk.

    Parameters
    ----------
    folder : path
        For this server alone, on a disk of its own machine. What earlier sessions left there is removed.
    session : bytes
        The session's name, 32 bytes.
    party : {0, 1}
        Which server this is.

    Raises
    ------
    FileExistsError
        The session has been here before.

    Examples
    --------
    >>> import tempfile
    >>> stock = SealedStock(tempfile.mkdtemp(), bytes(32), 0)
    >>> stock.put(1, 5, [b"triples", b"keys"])
    >>> stock.take(1, 5)
    [b'triples', b'keys']
    >>> stock.take(1, 5)
    Traceback (most recent call last):
    medcrypt.errors.ProtocolError: there is no unused material with number 1 for 5 inputs
    """

    def __init__(self, folder: str | os.PathLike[str], session: bytes, party: int) -> None:
        super().__init__()
        self._key = bytearray(os.urandom(32))
        self._context = _DOMAIN + session + bytes([party])
        root = Path(folder)
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = root / session.hex()
        if self._folder.exists():
            raise FileExistsError(f"{self._folder} exists: a session is joined once")
        for left in root.iterdir():
            if len(left.name) == 2 * len(session) and (left / _BURNT).exists():
                shutil.rmtree(left)
        self._folder.mkdir(mode=0o700)
        with new_file(self._folder / _BURNT, mode=0o600):
            pass

    def __repr__(self) -> str:
        return f"SealedStock({str(self._folder)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a stock holds a key: it is neither pickled nor copied")

    def close(self) -> None:
        """Forget everything that is left."""
        self._sizes.clear()
        self._key[:] = bytes(32)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _keep(self, number: int, size: int, materials: Sequence[bytes]) -> None:
        plain = b"".join(
            part for material in materials for part in (struct.pack(">Q", len(material)), material)
        )
        sealed = cobblestone.encrypt(bytes(self._key), plain, self._bound(number, size))
        with new_file(self._path(number), mode=0o600) as file:
            file.write(sealed)

    def _burn(self, number: int, size: int) -> list[bytes]:
        path = self._path(number)
        with open(self._folder / _BURNT, "r+b", buffering=0) as burnt:
            burnt.seek(0, os.SEEK_END)
            burnt.write(struct.pack(">Q", number))
            os.fsync(burnt.fileno())
        try:
            sealed = path.read_bytes()
            path.unlink()
            _sync(self._folder)
            plain = cobblestone.decrypt(bytes(self._key), sealed, self._bound(number, size))
        except (OSError, AuthenticationError, FormatError):
            raise ProtocolError(f"the stored material with number {number} is damaged or missing") from None
        return list(_split(plain))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number}.batch"

    def _bound(self, number: int, size: int) -> bytes:
        return self._context + struct.pack(">QQ", number, size)


def _split(plain: bytes) -> Iterator[bytes]:
    """Yield the materials of a batch."""
    at = 0
    while at < len(plain):
        (length,) = struct.unpack_from(">Q", plain, at)
        yield plain[at + 8 : at + 8 + length]
        at += 8 + length


def _sync(folder: Path) -> None:
    """Make a removal durable, where the system lets folders be synced."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
