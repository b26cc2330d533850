"""Many numbers in one plaintext: fixed point, an offset that makes it positive, and slots with headroom.

A number x in [-clip, clip] becomes the integer q = round(x Q / clip) with Q = 2^(bits-1) - 1, and the slot
value q + 2^(bits-1), which lies in [0, 2^bits). A slot is ceil(log2(max_terms)) bits wider than that, so the
sum of up to `max_terms` slot values never reaches its neighbour: homomorphic addition adds all slots at
once. Every value of an array has the same scale, so nothing about single magnitudes shows outside the
ciphertext.

Unsigned numbers, in [0, clip], need no offset: Q = 2^bits - 1. `headroom` widens every value by that many bits
beyond what `clip` needs, for integers to which noise was added: its tails then stay in range.
"""

import operator
from dataclasses import dataclass, field
from typing import Any, Literal, SupportsIndex

import numpy as np
import numpy.typing as npt

from medcrypt.errors import CapacityError, InvalidCiphertextError
from medcrypt.paillier.rounding import round_stochastically

__all__ = ["Packing", "Rounding", "as_index"]

Rounding = Literal["nearest", "stochastic"]

# One text for every way of being wrong: which one it was depends on the plaintext.
_NO_SUM = "the plaintext is no sum of the declared number of terms"
_MIN_CLIP, _MAX_CLIP = 1e-100, 1e100  # far from overflow and underflow of float64 in every formula below
_BLOCK_VALUES = 1 << 16  # values expanded to single bits at a time: 4 MiB


@dataclass(frozen=True)
class Packing:
    """How numbers are laid out in plaintexts. Sender, adder and receiver must use the same one.

    Parameters
    ----------
    clip
        Largest magnitude that can be encoded; the unit of the data. Between 1e-100 and 1e100.
    bits
        Bits of one encoded value, 2 to 53. One step is clip / (2^(bits-1) - 1), the rounding error half of
        it.
    max_terms
        How many values a slot can sum up. A term multiplied by an integer weight w counts w times.
        A slot, `bits` + `headroom` + ceil(log2(max_terms)) bits, must not exceed 63 bits.
    signed
        Whether values may be negative. If not, they lie in [0, clip], and one step is clip / (2^bits - 1).
    headroom
        Bits by which an integer may exceed `bits`, 0 to 61: room for the tails of noise that is added to
        quantised values. The scale does not change.

    Raises
    ------
    TypeError
        If `clip` is no number, `bits`, `max_terms` or `headroom` no integer, or `signed` no boolean.
    ValueError
        If a field is out of range.

    Notes
    -----
    Rounding is to the nearest step, ties to the even one, evaluated in float64 as ``rint(x / clip * Q)``,
    or stochastic: to one of the two nearest steps, with exactly the right expected value.

    Examples
    --------
    >>> packing = Packing(clip=8.0, bits=32, max_terms=10)
    >>> packing.slot_bits, packing.slots(3072)
    (36, 85)
    >>> plaintexts = packing.encode([0.5, -8.0], key_bits=3072)
    >>> packing.decode(plaintexts, count=2, terms=1, key_bits=3072).round(6)
    array([ 0.5, -8. ])
    """

    clip: float = 8.0
    bits: int = 32
    max_terms: int = 10
    signed: bool = field(default=True, kw_only=True)
    headroom: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.clip, (str, bytes, bytearray)):
            raise TypeError("clip must be a number, not text")
        object.__setattr__(self, "clip", float(self.clip))
        for name in ("bits", "max_terms", "headroom"):
            object.__setattr__(self, name, as_index(getattr(self, name), name))
        if not isinstance(self.signed, (bool, np.bool_)):
            raise TypeError("signed must be a boolean")
        object.__setattr__(self, "signed", bool(self.signed))
        if not _MIN_CLIP <= self.clip <= _MAX_CLIP:
            raise ValueError(f"clip must be a number between {_MIN_CLIP} and {_MAX_CLIP}")
        if not 2 <= self.bits <= 53:
            raise ValueError("bits must be between 2 and 53")
        if self.max_terms < 1:
            raise ValueError("max_terms must be at least 1")
        if self.headroom < 0:
            raise ValueError("headroom must not be negative")
        if self.slot_bits > 63:
            raise ValueError("bits + headroom + ceil(log2(max_terms)) must not exceed 63")

    @property
    def slot_bits(self) -> int:
        """Width of a slot in bits."""
        return self.value_bits + (self.max_terms - 1).bit_length()

    @property
    def value_bits(self) -> int:
        """Bits of one value with its headroom."""
        return self.bits + self.headroom

    @property
    def levels(self) -> int:
        """Q, the integer that `clip` becomes."""
        return (1 << (self.bits - self.signed)) - 1

    @property
    def offset(self) -> int:
        """What is added to a value to make it positive: half its range, or 0 if it is unsigned."""
        return 1 << (self.value_bits - 1) if self.signed else 0

    def slots(self, key_bits: int) -> int:
        """Return how many values one ciphertext of a key of `key_bits` bits holds.

        Parameters
        ----------
        key_bits
            Length of n. The usable plaintext is one bit shorter, hence always below n.

        Returns
        -------
        int
            Slots per ciphertext, at least 1.

        Raises
        ------
        ValueError
            If the key is too short for a single slot.

        Examples
        --------
        >>> [Packing(bits=bits).slots(3072) for bits in (8, 16, 24, 32)]
        [255, 153, 109, 85]
        """
        slots = (key_bits - 1) // self.slot_bits
        if slots == 0:
            raise ValueError(f"a key of {key_bits} bits cannot hold a slot of {self.slot_bits} bits")
        return slots

    def ciphertexts(self, count: int, key_bits: int) -> int:
        """Return how many ciphertexts hold `count` values."""
        return -(-count // self.slots(key_bits))

    def check_terms(self, terms: int) -> None:
        """Refuse a sum of more terms than a slot can hold.

        Parameters
        ----------
        terms
            The sum of the weights of all terms.

        Raises
        ------
        CapacityError
            If it exceeds `max_terms`.
        """
        if terms > self.max_terms:
            raise CapacityError(
                f"the sum would hold {terms} terms, the packing has room for {self.max_terms}"
            )

    def quantise(
        self, array: npt.ArrayLike, saturate: bool = False, rounding: Rounding = "nearest"
    ) -> npt.NDArray[np.int64]:
        """Round real numbers to multiples of clip / Q.

        Parameters
        ----------
        array
            Real numbers (floating point or integer dtype), any shape, byte order and strides.
        saturate
            Move values out of range to its ends in place of refusing them. NaN and infinities are always
            refused.
        rounding
            ``"nearest"``, or ``"stochastic"``: up or down at random, with randomness of the operating system,
            so that the expected value is exactly the number and errors do not add up in one direction.

        Returns
        -------
        ndarray of int64, same shape
            Multiples, in [-Q, Q], or [0, Q] if unsigned.

        Raises
        ------
        TypeError
            If the array does not hold real numbers (booleans, complex, objects, masked arrays, ...).
        ValueError
            If a value is NaN or infinite, or, unless `saturate`, beyond the clip or negative where unsigned;
            or if the rounding is unknown.

        Examples
        --------
        >>> Packing(clip=1.0, bits=8).quantise([-1.0, 0.0, 0.25, 1.0])
        array([-127,    0,   32,  127])
        >>> Packing(clip=1.0, bits=8, signed=False).quantise([0.0, 0.25, 1.0])
        array([  0,  64, 255])
        """
        plain = _as_array(array, "fiu", "real numbers")
        with np.errstate(over="ignore"):  # a long double beyond float64 becomes infinite and is refused
            reals = plain.astype(np.float64)
        if not np.isfinite(reals).all():
            raise ValueError("NaN and infinite values cannot be encrypted")
        if rounding not in ("nearest", "stochastic"):
            raise ValueError("rounding must be 'nearest' or 'stochastic'")
        lowest = -self.clip if self.signed else 0.0
        if saturate:
            np.clip(reals, lowest, self.clip, out=reals)
        elif ((reals < lowest) | (reals > self.clip)).any():
            raise ValueError(
                f"values beyond the clip, [{lowest}, {self.clip}]; scale or clip them, or pass saturate=True"
            )
        if rounding == "stochastic":
            return round_stochastically(reals, self.levels, self.clip)
        # |x / clip| <= 1 holds exactly after rounding, so the product never exceeds Q.
        reals /= self.clip
        reals *= self.levels
        return np.rint(reals, out=reals).astype(np.int64)

    def dequantise(self, multiples: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """Return the real numbers that integer multiples (or sums of them) stand for.

        Parameters
        ----------
        multiples
            Integers, any shape.

        Returns
        -------
        ndarray of float64, same shape
            multiples * clip / Q, rounded twice in float64.

        Examples
        --------
        >>> Packing(clip=1.0, bits=8).dequantise(np.array([-127, 254]))
        array([-1.,  2.])
        """
        reals: npt.NDArray[np.float64] = np.asarray(np.true_divide(multiples, self.levels), dtype=np.float64)
        reals *= self.clip
        return reals

    def encode(
        self,
        array: npt.ArrayLike,
        key_bits: int,
        saturate: bool = False,
        rounding: Rounding = "nearest",
    ) -> list[int]:
        """Quantise real numbers and pack them; see `quantise` and `encode_integers`.

        Parameters
        ----------
        array
            Real numbers, any shape, read in C order.
        key_bits
            Length of n.
        saturate, rounding
            As for `quantise`.

        Returns
        -------
        list of int
            Plaintexts below 2^(key_bits - 1).

        Raises
        ------
        TypeError, ValueError
            As `quantise`.

        Examples
        --------
        >>> [hex(m) for m in Packing(clip=1.0, bits=8, max_terms=1).encode([-1.0, 0.0, 1.0], key_bits=64)]
        ['0xff8001']
        """
        return self._pack(self.quantise(array, saturate, rounding), key_bits)

    def encode_integers(self, array: npt.ArrayLike, key_bits: int) -> list[int]:
        """Pack integers as they are: slot i of plaintext j holds value j * slots + i, plus the offset.

        Parameters
        ----------
        array
            Integer dtype, any shape, read in C order. With v = bits + headroom, values in
            [-2^(v-1), 2^(v-1)), or [0, 2^v) if unsigned.
        key_bits
            Length of n.

        Returns
        -------
        list of int
            Plaintexts below 2^(key_bits - 1). Slot 0 is the least significant.

        Raises
        ------
        TypeError
            If the dtype is not an integer one.
        ValueError
            If a value is out of that range.

        Examples
        --------
        >>> [hex(m) for m in Packing(bits=8, max_terms=1).encode_integers([1, -1], key_bits=64)]
        ['0x7f81']
        """
        integers = _as_array(array, "iu", "integers")
        low, high = -self.offset, (1 << self.value_bits) - 1 - self.offset
        if integers.size and not (low <= int(integers.min()) and int(integers.max()) <= high):
            raise ValueError(f"integers must be between {low} and {high}")
        return self._pack(integers.astype(np.int64), key_bits)

    def decode(self, plaintexts: list[int], count: int, terms: int, key_bits: int) -> npt.NDArray[np.float64]:
        """Unpack sums of real numbers: `dequantise` of `decode_integers`, same arguments and errors."""
        return self.dequantise(self.decode_integers(plaintexts, count, terms, key_bits))

    def decode_integers(
        self, plaintexts: list[int], count: int, terms: int, key_bits: int
    ) -> npt.NDArray[np.int64]:
        """Unpack sums of integers, exactly.

        Parameters
        ----------
        plaintexts
            Integers in [0, n): slotwise sums of what `encode` or `encode_integers` made.
        count
            Number of values.
        terms
            Sum of the weights of all terms.
        key_bits
            Length of n.

        Returns
        -------
        ndarray of int64, shape (count,)
            The sums.

        Raises
        ------
        InvalidCiphertextError
            If a plaintext is no sum of `terms` encodings: a slot is too large, or unused bits are not zero.

        Examples
        --------
        >>> packing = Packing(bits=8, max_terms=4)
        >>> one, two = packing.encode_integers([100, -3], 64), packing.encode_integers([27, -128], 64)
        >>> packing.decode_integers([one[0] + two[0]], count=2, terms=2, key_bits=64)
        array([ 127, -131])
        """
        slots = self._unpack(plaintexts, key_bits)
        if len(plaintexts) != self.ciphertexts(count, key_bits) or slots[count:].any():
            raise InvalidCiphertextError(_NO_SUM)
        sums = slots[:count].view(np.int64)  # a slot has at most 63 bits
        if count and int(sums.max()) > terms * ((1 << self.value_bits) - 1):
            raise InvalidCiphertextError(_NO_SUM)
        sums -= terms * self.offset
        return sums

    def _pack(self, integers: npt.NDArray[np.int64], key_bits: int) -> list[int]:
        """Add the offset and lay the values out in slots, a block of plaintexts at a time."""
        slots = self.slots(key_bits)
        values = integers.reshape(-1)
        block = max(_BLOCK_VALUES // slots, 1) * slots
        plaintexts: list[int] = []
        for start in range(0, values.size, block):
            chunk = (values[start : start + block] + self.offset).astype("<u8")
            rows = -(-chunk.size // slots)
            padded = np.zeros(rows * slots, dtype="<u8")
            padded[: chunk.size] = chunk
            bits = np.unpackbits(padded.view(np.uint8).reshape(-1, 8), axis=1, bitorder="little")
            rows_of_bits = bits[:, : self.slot_bits].reshape(rows, slots * self.slot_bits)
            packed = np.packbits(rows_of_bits, axis=1, bitorder="little")
            plaintexts += [int.from_bytes(row.tobytes(), "little") for row in packed]
        return plaintexts

    def _unpack(self, plaintexts: list[int], key_bits: int) -> npt.NDArray[np.uint64]:
        """Cut plaintexts into slots: the inverse of `_pack` without the offset."""
        slots, width = self.slots(key_bits), self.slot_bits
        if any(m >> (slots * width) for m in plaintexts):
            raise InvalidCiphertextError(_NO_SUM)
        length = -(-slots * width // 8)
        block = max(_BLOCK_VALUES // slots, 1)
        values = np.empty((len(plaintexts), slots), dtype=np.uint64)
        for start in range(0, len(plaintexts), block):
            chunk = plaintexts[start : start + block]
            raw = np.frombuffer(b"".join(m.to_bytes(length, "little") for m in chunk), dtype=np.uint8)
            bits = np.unpackbits(raw.reshape(len(chunk), length), axis=1, bitorder="little")
            words = np.zeros((len(chunk) * slots, 64), dtype=np.uint8)
            words[:, :width] = bits[:, : slots * width].reshape(-1, width)
            packed = np.packbits(words, axis=1, bitorder="little")
            values[start : start + len(chunk)] = packed.view("<u8").reshape(len(chunk), slots)
        return values.reshape(-1)


def as_index(value: SupportsIndex, name: str) -> int:
    """Take any integer type, numpy's included, but no booleans and no floats."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be an integer, not a boolean")
    return operator.index(value)


def _as_array(array: npt.ArrayLike, kinds: str, wanted: str) -> npt.NDArray[Any]:
    """Coerce to a plain array whose dtype is of one of the `kinds`."""
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError("masked arrays have no encrypted form; fill them first")
    plain = np.asarray(array)
    if plain.dtype.kind not in kinds:
        raise TypeError(f"expected an array of {wanted}, got dtype {plain.dtype}")
    return plain
