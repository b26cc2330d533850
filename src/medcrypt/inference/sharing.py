"""Numbers in two additive shares modulo 2^64, and what two servers do with them.

    share      x = x_0 + x_1 mod 2^64; either part alone is uniform
    fixed      a real number v is the integer round(v 2^f), negative ones in two's complement
    exchange   a generator that yields the bytes for the other server and is sent the other's: one round each
    select     b x for a bit b = b_0 xor b_1, from a dealt (a, s, a s): one round
    product    a bilinear map of x and w, from a dealt (A, B, A B): one round (Beaver 1991), in `steps`

The dealer makes what is correlated beforehand, as named arrays, the *material*. Its *layout*, {name: (dtype, shape)},
is public and the same for both servers: `pack` and `unpack` turn material into bytes and back by it.
"""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.dcf import BLOCK, SharedFunction
from medcrypt.errors import CapacityError, ProtocolError
from medcrypt.inference.randomness import Randomness

__all__ = [
    "Dealer",
    "Exchange",
    "Layout",
    "Material",
    "Select",
    "Server",
    "Words",
    "dealt",
    "drop_bits_probably",
    "exchange",
    "from_fixed",
    "material_size",
    "nested",
    "pack",
    "part",
    "reveal",
    "share",
    "to_fixed",
    "together",
    "unpack",
]

T = TypeVar("T")
Words = NDArray[np.uint64]
Material = Mapping[str, NDArray[Any]]
Layout = dict[str, tuple[str, tuple[int, ...]]]
Exchange = Generator[bytes, bytes, T]

LARGEST_BITS = 61  # of any number in a model: sums and roundings then stay clear of 2^63


@dataclass(frozen=True)
class Server:
    """What a server knows of a session besides shares.

    Parameters
    ----------
    party : {0, 1}
        Which server it is.
    hash_key : bytes
        16 bytes, public, the dealer's for this session.
    """

    party: int
    hash_key: bytes


class Dealer:
    """Makes correlated randomness for one session of two servers.

    Parameters
    ----------
    hash_key : bytes, optional
        16 bytes, the public key of the hash in comparison keys: fresh for each session, as by default.

    Attributes
    ----------
    hash_key : bytes
        To be told to both servers.
    random : Randomness
        The dealer's secrets come from it.
    """

    def __init__(self, hash_key: bytes | None = None) -> None:
        self.random = Randomness()
        self.hash_key = self.random.seeds(1).tobytes() if hash_key is None else hash_key

    def share(self, values: Words) -> tuple[Words, Words]:
        """Return two shares of words."""
        first = self.random.words(values.shape)
        return first, values - first

    def functions(
        self, kind: str, bits: int, payload: int, alpha: Words, beta: Words
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return both servers' keys for comparisons or points; see `medcrypt._ext.dcf.SharedFunction`."""
        shared = SharedFunction(kind, bits, payload, self.hash_key)
        roots = self.random.seeds(2 * BLOCK * -(-alpha.size // BLOCK))
        key0, key1 = (np.empty(shared.key_size(alpha.size), np.uint8) for _ in range(2))
        shared.generate(alpha, beta, roots, key0, key1)
        roots[:] = 0
        return key0, key1


# --- layouts --------------------------------------------------------------------------------------


def material_size(layout: Layout) -> int:
    """Return the bytes that material of a layout takes."""
    return sum(np.dtype(dtype).itemsize * math.prod(shape) for dtype, shape in layout.values())


def pack(layout: Layout, material: Material) -> bytes:
    """Return material as bytes: the arrays of the layout, in its order, little-endian."""
    return b"".join(
        np.ascontiguousarray(material[name], dtype).reshape(shape).tobytes()
        for name, (dtype, shape) in layout.items()
    )


def unpack(layout: Layout, data: bytes | bytearray | memoryview) -> Material:
    """Return the material in bytes; it shares their memory.

    Raises
    ------
    ProtocolError
        The bytes do not have the size of the layout.
    """
    if len(data) != material_size(layout):
        raise ProtocolError(f"material of {material_size(layout)} bytes came with {len(data)}")
    material, start = {}, 0
    for name, (dtype, shape) in layout.items():
        array = np.frombuffer(data, dtype, math.prod(shape), start)
        material[name] = array.reshape(shape)
        start += array.nbytes
    return material


def nested(prefix: str, entries: Mapping[str, T]) -> dict[str, T]:
    """Return a layout or material under a prefix, so that it can be one part of another."""
    return {f"{prefix}.{name}": entry for name, entry in entries.items()}


def part(prefix: str, entries: Mapping[str, T]) -> dict[str, T]:
    """Return the part of a layout or material that `nested` put under a prefix."""
    start = f"{prefix}."
    return {name.removeprefix(start): entry for name, entry in entries.items() if name.startswith(start)}


# --- rounds ---------------------------------------------------------------------------------------


def exchange(*arrays: NDArray[Any]) -> Exchange[list[NDArray[Any]]]:
    """Swap arrays with the other server, in one round.

    Raises
    ------
    ProtocolError
        The other's message does not have the size of one's own.
    """
    mine = b"".join(array.tobytes() for array in arrays)
    theirs = yield mine
    if len(theirs) != len(mine):
        raise ProtocolError(f"the other server sent {len(theirs)} bytes where {len(mine)} are due")
    received, start = [], 0
    for array in arrays:
        received.append(np.frombuffer(theirs, array.dtype, array.size, start).reshape(array.shape))
        start += array.nbytes
    return received


def together(first: Exchange[T], second: Exchange[T]) -> tuple[T, T, list[bytes]]:
    """Run both servers in one process: for tests and for measuring.

    Returns
    -------
    tuple
        What each server ends with, and the messages of server 0 in order: one a round.

    Raises
    ------
    ProtocolError
        One is done while the other still wants to talk.
    """
    sent: list[bytes] = []
    answers: list[bytes | None] = [None, None]
    while True:
        results: list[T] = []
        messages: list[bytes] = []
        for run, answer in zip((first, second), answers, strict=True):
            try:
                messages.append(next(run) if answer is None else run.send(answer))
            except StopIteration as stop:
                results.append(stop.value)
        if len(results) == 2:
            return results[0], results[1], sent
        if results:
            raise ProtocolError("one server is done while the other still wants to talk")
        sent.append(messages[0])
        answers = [messages[1], messages[0]]


# --- shares and fixed point -----------------------------------------------------------------------


def share(values: NDArray[np.int64] | Words, random: Randomness | None = None) -> tuple[Words, Words]:
    """Split integers into two additive shares modulo 2^64.

    Parameters
    ----------
    values : ndarray of int64 or uint64
        Any shape.
    random : Randomness, optional
        Where the first share comes from; by default a new generator.

    Returns
    -------
    tuple of two ndarrays of uint64
        Each alone is uniform.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt.inference import sharing
    >>> sharing.reveal(*sharing.share(np.array([-3, 5]))).tolist()
    [-3, 5]
    """
    first = (random or Randomness()).words(values.shape)
    return first, values.astype(np.uint64) - first


def reveal(first: Words, second: Words) -> NDArray[np.int64]:
    """Add two shares up to the integers that they hide, in two's complement."""
    return (first + second).view(np.int64)


def to_fixed(values: NDArray[Any], fraction: int, bits: int = LARGEST_BITS) -> NDArray[np.int64]:
    """Round real numbers to multiples of 2^-fraction.

    Parameters
    ----------
    values : array of real numbers
        Any shape.
    fraction : int
        Bits behind the point.
    bits : int
        The integers must be below 2^bits in magnitude.

    Returns
    -------
    ndarray of int64
        round(v 2^fraction), ties to even.

    Raises
    ------
    CapacityError
        A value is too large, or not a number.

    Examples
    --------
    >>> from medcrypt.inference import sharing
    >>> sharing.to_fixed([0.5, -1.25], 4).tolist()
    [8, -20]
    """
    scaled = np.rint(np.ldexp(np.asarray(values, np.float64), fraction))
    if not np.all(np.abs(scaled) < 2.0**bits):
        raise CapacityError(f"a value does not fit into {bits} bits with {fraction} of them behind the point")
    return scaled.astype(np.int64)


def from_fixed(values: NDArray[np.int64], fraction: int) -> NDArray[np.float64]:
    """Return the real numbers that integers with `fraction` bits behind the point mean."""
    return np.ldexp(values.astype(np.float64), -fraction)


def drop_bits_probably(server: Server, x: Words, shift: int) -> Words:
    """Divide by 2^shift without a message, nearly always to within one unit.

    Each server shifts its own share (Mohassel and Zhang 2017, section 4.1). For |x| < 2^bits the result is
    floor(x / 2^shift) or that plus one, but with probability at most 2^(bits - 63) it is wrong by 2^(64 - shift).
    Which of the two is drawn depends on the shares, so this is not a perfect simulation of a rounding at random.
    """
    amount = np.uint64(shift)
    return x >> amount if server.party == 0 else 0 - ((0 - x) >> amount)


# --- bit times number -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Select:
    """Products of numbers with a bit: x b, for b = b_0 xor b_1.

    With dealt a, s in {0, 1} and a s: e = x - a and d = b xor s are opened, and
    x b = d x + (1 - 2 d)(e s + a s).

    Parameters
    ----------
    numbers : int
        How many numbers each bit multiplies.
    """

    numbers: int = 1
    rounds = 1

    def layout(self, count: int) -> Layout:
        """Return what is dealt for `count` bits."""
        wide = ("<u8", (self.numbers, count))
        return {"mask": wide, "product": wide, "bit": ("<u8", (count,))}

    def sent(self, count: int) -> int:
        """Return the bytes that a server sends."""
        return 8 * self.numbers * count + -(-count // 8)

    def deal(self, dealer: Dealer, count: int) -> tuple[Material, Material]:
        """Make both servers' material."""
        mask, bit = dealer.random.words((self.numbers, count)), dealer.random.words((count,)) >> np.uint64(63)
        masks, products, bits = dealer.share(mask), dealer.share(mask * bit), dealer.share(bit)
        first, second = (
            {"mask": masks[party], "product": products[party], "bit": bits[party]} for party in range(2)
        )
        return first, second

    def run(self, server: Server, x: Words, bit: Words, material: Material) -> Exchange[Words]:
        """Multiply.

        Parameters
        ----------
        server : Server
            This one.
        x : ndarray of uint64, shape (numbers, count)
            Shares modulo 2^64.
        bit : ndarray of uint64, shape (count,)
            Shares, of which the lowest bit counts.
        material : Material
            For `count` bits.

        Returns
        -------
        ndarray of uint64, shape (numbers, count)
            Shares of the products.
        """
        e = x - material["mask"]
        d = ((bit ^ material["bit"]) & np.uint64(1)).astype(np.uint8)
        other_e, other_d = yield from exchange(e, np.packbits(d))
        opened = e + other_e
        flipped = (d ^ np.unpackbits(other_d, count=d.size)).astype(np.uint64)
        masked = opened * material["bit"] + material["product"]
        products: Words = flipped * x + (1 - 2 * flipped) * masked
        return products


def dealt(parts: Mapping[str, tuple[Any, Any]]) -> tuple[Material, Material]:
    """Return the first and the second of every pair, by name."""
    return {name: pair[0] for name, pair in parts.items()}, {name: pair[1] for name, pair in parts.items()}
