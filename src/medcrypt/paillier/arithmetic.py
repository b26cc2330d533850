"""Arithmetic modulo n^2, in batches: the only file that multiplies ciphertexts.

Everything above it speaks of sequences of residues, never of single multiplications, so that the kernels of
`medcrypt._ext.bignum` take a whole batch at once and spread large ones over threads. Results are `Residues`:
they stay in the kernels' own form until somebody looks at a number.

The kernels are constant time in moduli, residues and secret exponents. Python's integers are not; here they
carry secrets only where a key is made or set up (a handful of products and reductions of p and q), and where
plaintexts and random units become numbers. Integers and bytes cannot be wiped; every buffer that holds a mask, a
half of one, a logarithm or a plaintext is, once it was used.
"""

import math
import operator
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import SupportsIndex, TypeVar, overload

import numpy as np
import numpy.typing as npt

from medcrypt._ext import bignum
from medcrypt.errors import InvalidCiphertextError

__all__ = [
    "FixedBase",
    "Group",
    "Residues",
    "SplitGroup",
    "random_exponents",
    "random_units",
    "secret_inverse",
]

# Values below which a second thread costs more than it brings: a product takes microseconds, a power a
# millisecond or less.
_PRODUCTS, _POWERS = 1 << 10, 1 << 4

_T = TypeVar("_T")


def random_exponents(bits: int, count: int) -> bytearray:
    """Draw `count` independent uniform integers of at most `bits` bits from the operating system.

    Returns
    -------
    bytearray
        The integers, little-endian, ceil(bits / 8) bytes each. Whoever computes powers with it wipes it.
    """
    width = -(-bits // 8)
    drawn = bytearray(width * count)
    bignum.fill_random(drawn)
    rows = np.frombuffer(drawn, dtype=np.uint8).reshape(count, width)
    rows[:, -1] &= 0xFF >> (8 * width - bits)
    return drawn


def random_units(n: int, count: int) -> list[int]:
    """`count` independent uniform elements of the units modulo `n`, from the operating system."""
    units: list[int] = []
    while len(units) < count:
        candidate = secrets.randbelow(n)
        if math.gcd(candidate, n) == 1:
            units.append(candidate)
    return units


def secret_inverse(x: int, n: int) -> int:
    """Return the inverse of a secret x modulo an odd, perhaps secret n, in a time that depends on n's length only.

    Python divides the numbers once, if x is not reduced, and writes them to bytes and back; that is not
    constant time.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> secret_inverse(2, 77)
    39
    """
    width = -(-n.bit_length() // 8)
    value, inverse = bytearray((x % n).to_bytes(width, "big")), bytearray(width)
    try:
        bignum.inverses(value, width, n.to_bytes(width, "big"), inverse)
        return int.from_bytes(inverse, "big")
    finally:
        bignum.wipe(value)
        bignum.wipe(inverse)


class Residues(Sequence[int]):
    """Residues modulo n^2 in the form of the kernels that made them; integers only when looked at.

    Parameters
    ----------
    group
        The group that they belong to.
    pairs
        Groups of lanes, as `medcrypt._ext.bignum.Ring` writes them.
    count
        How many residues there are; the lanes after them hold anything.

    Examples
    --------
    >>> residues = Group(77).power([2, 3], 5)
    >>> residues
    Residues(count=2)
    >>> list(residues)
    [32, 243]
    """

    __slots__ = ("_count", "_integers", "group", "pairs")

    def __init__(self, group: "Group", pairs: npt.NDArray[np.uint64], count: int) -> None:
        self.group = group
        self.pairs = pairs
        self._count = count
        self._integers: list[int] | None = None

    def to_bytes(self) -> bytes:
        """Return the least residues, big-endian, `group.width` bytes each."""
        return bytes(self.to_buffer())

    def to_buffer(self) -> bytearray:
        """Return the same as `to_bytes` in memory that can be wiped."""
        ring, width = self.group.ring, self.group.width
        values = bytearray(self._count * width)
        view = memoryview(values)

        def leave(start: int, stop: int) -> None:
            groups = self.pairs[start // ring.lanes : -(-stop // ring.lanes)]
            ring.leave(groups, width, view[start * width : stop * width])

        _in_parts(leave, self._count, ring.lanes, _PRODUCTS)
        return values

    def wipe(self) -> None:
        """Overwrite the residues with zeros; integers that were looked at stay wherever they went."""
        bignum.wipe(self.pairs)
        self._integers = None

    def _as_integers(self) -> list[int]:
        if self._integers is None:
            self._integers = _integers(self.to_bytes(), self.group.width)
        return self._integers

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return iter(self._as_integers())

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        return self._as_integers()[index]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return self._as_integers() == list(other)

    __hash__ = None  # type: ignore[assignment]  # equal to lists, which have none

    def __repr__(self) -> str:
        return f"Residues(count={self._count})"


class Group:
    """The units modulo n^2, as everybody sees them who knows n only.

    Operations take residues as integers or as `Residues` and return `Residues`.

    Parameters
    ----------
    n
        The modulus of a public key: odd, at least 3.
    kernel
        One of `medcrypt._ext.bignum.kernels`, or a path; None takes the one that is best for many values.

    Examples
    --------
    >>> group = Group(77)
    >>> list(group.conceal([42], group.nth_powers([23])))
    [3840]
    """

    def __init__(self, n: int, kernel: str | None = None) -> None:
        self.n = n
        self.n_squared = n * n
        self.n_width = -(-n.bit_length() // 8)
        self.width = -(-2 * n.bit_length() // 8)
        self.ring = bignum.Ring(n.to_bytes(self.n_width, "big"), path=kernel)

    @cached_property
    def for_one(self) -> "Group":
        """The same group on the kernel that is best for single values."""
        kernel = bignum.kernel_for_one()
        return self if self.ring.path == kernel else Group(self.n, kernel)

    def residues(self, values: "Iterable[int] | Residues") -> Residues:
        """Take integers, or residues of another group of the same n, as residues of this one."""
        if not isinstance(values, Residues):
            return self._enter_and_wipe(_fixed_width((x % self.n_squared for x in values), self.width))
        if values.group is self or (values.group.n == self.n and values.group.ring.path == self.ring.path):
            return values
        return self._enter_and_wipe(values.to_buffer(), values.group.width)

    def ciphertexts(self, values: "Iterable[SupportsIndex] | Residues") -> Residues:
        """Take integers from elsewhere as residues, and refuse what nobody can have encrypted.

        Raises
        ------
        TypeError
            If one is no integer.
        InvalidCiphertextError
            If one is not a unit in (0, n^2), or the residues are those of another n.
        """
        if isinstance(values, Residues):
            if values.group.n != self.n:
                raise InvalidCiphertextError("the ciphertexts belong to another key")
            return values
        elements = [operator.index(x) for x in values]
        if not self.contains(elements):
            raise InvalidCiphertextError("a ciphertext is not a unit modulo n^2")
        return self.residues(elements)

    def decode(self, data: bytes | bytearray | memoryview, width: int | None = None) -> Residues:
        """Read big-endian integers of `width` bytes each (by default the width of n^2), modulo n^2."""
        width, view = width or self.width, memoryview(data)
        return self._batch(
            lambda start, stop, out: self.ring.enter(view[start * width : stop * width], width, out),
            len(view) // width,
            _PRODUCTS,
        )

    def _enter_and_wipe(self, buffer: bytearray, width: int | None = None) -> Residues:
        """As `decode`, for numbers that nobody else may find in memory later."""
        try:
            return self.decode(buffer, width)
        finally:
            bignum.wipe(buffer)

    def are_in_range(self, data: bytes | bytearray | memoryview) -> bool:
        """Tell whether 0 < x < n^2 for every big-endian integer of `width` bytes."""
        return bignum.in_range(data, self.width, self.n_squared.to_bytes(self.width, "big"))

    def are_units(self, residues: Residues) -> bool:
        """Tell whether all residues are invertible: a product is, exactly when each of its factors is."""
        products = bytearray(self.ring.lanes * self.n_width)
        self.ring.product(residues.pairs, self.n_width, products)
        return math.gcd(math.prod(_integers(products, self.n_width)), self.n) == 1

    def contains(self, elements: Sequence[int] | Residues) -> bool:
        """Tell whether every element is in range and invertible: 0 < x < n^2, and one gcd for all of them."""
        if isinstance(elements, Residues):
            return self.are_units(self.residues(elements))
        if not all(0 < x < self.n_squared for x in elements):
            return False
        return self.are_units(self.residues(elements))

    def nth_powers(self, units: Iterable[int]) -> Residues:
        """Return r^n mod n^2 for every unit r."""
        entered = self.residues(units)
        try:
            return self.power(entered, self.n)
        finally:
            if entered is not units:
                entered.wipe()

    def conceal(self, plaintexts: Iterable[int], masks: Iterable[int] | Residues) -> Residues:
        """Return (1 + m n) mask mod n^2 for every pair: the ciphertexts, if the masks are n-th residues."""
        width, ring = self.n_width, self.ring
        hidden = _fixed_width((m % self.n for m in plaintexts), width)
        xs = self.residues(masks)
        if len(hidden) != width * len(xs):
            raise ValueError("as many plaintexts as masks are needed")
        view = memoryview(hidden)
        try:
            return self._batch(
                lambda start, stop, out: ring.conceal(
                    self._part(xs, start, stop), view[start * width : stop * width], width, out
                ),
                len(xs),
                _PRODUCTS,
            )
        finally:
            bignum.wipe(hidden)
            if xs is not masks:
                xs.wipe()

    def multiply(self, xs: Iterable[int] | Residues, ys: Iterable[int] | Residues) -> Residues:
        """Return the products x y mod n^2, pair by pair."""
        first, second = self.residues(xs), self.residues(ys)
        if len(first) != len(second):
            raise ValueError("the batches have different lengths")
        try:
            return self._batch(
                lambda start, stop, out: self.ring.multiply(
                    self._part(first, start, stop), self._part(second, start, stop), out
                ),
                len(first),
                _PRODUCTS,
            )
        finally:
            # One factor may be a mask that came in another kernel's form: its owner wipes that, not this.
            for taken, given in ((first, xs), (second, ys)):
                if taken is not given:
                    taken.wipe()

    def power(self, xs: Iterable[int] | Residues, exponent: int) -> Residues:
        """Return x^exponent mod n^2 for every x; the exponent is public. A negative one inverts first."""
        bases = self.invert(xs) if exponent < 0 else self.residues(xs)
        encoded = _exponent_bytes(abs(exponent))
        return self._batch(
            lambda start, stop, out: self.ring.power(self._part(bases, start, stop), encoded, out),
            len(bases),
            _POWERS if exponent.bit_length() > 64 else _PRODUCTS,
        )

    def secret_power(self, xs: Iterable[int] | Residues, exponent: bytes | bytearray) -> Residues:
        """Return x^exponent mod n^2 for every x, in a time that depends on the exponent's length only.

        The exponent is big-endian; its owner wipes it.
        """
        bases = self.residues(xs)
        return self._batch(
            lambda start, stop, out: self.ring.power(self._part(bases, start, stop), exponent, out, True),
            len(bases),
            _POWERS,
        )

    def secret_powers(self, base: int, exponents: bytes | bytearray, width: int) -> Residues:
        """Return base^e mod n^2 for big-endian secret exponents of `width` bytes each, one in every lane."""
        lanes, view = self.ring.lanes, memoryview(exponents)
        bases = self.residues([base] * lanes).pairs

        def work(start: int, stop: int, out: npt.NDArray[np.uint64]) -> None:
            filled = bytearray(-(-(stop - start) // lanes) * lanes * width)
            filled[: (stop - start) * width] = view[start * width : stop * width]
            for i, group in enumerate(out):
                part = memoryview(filled)[i * lanes * width : (i + 1) * lanes * width]
                self.ring.power_by_lane(bases, part, group)
            bignum.wipe(filled)

        return self._batch(work, len(view) // width, _POWERS)

    def secret_powers_of(self, xs: Residues, exponents: bytes | bytearray, width: int) -> Residues:
        """Return x^e mod n^2 for every x and its own big-endian secret exponent of `width` bytes."""
        lanes, view, bases = self.ring.lanes, memoryview(exponents), self.residues(xs)
        if len(view) != len(bases) * width:
            raise ValueError("as many exponents as residues are needed")

        def work(start: int, stop: int, out: npt.NDArray[np.uint64]) -> None:
            filled = bytearray(-(-(stop - start) // lanes) * lanes * width)
            filled[: (stop - start) * width] = view[start * width : stop * width]
            for i, group in enumerate(out):
                part = memoryview(filled)[i * lanes * width : (i + 1) * lanes * width]
                self.ring.power_by_lane(bases.pairs[start // lanes + i : start // lanes + i + 1], part, group)
            bignum.wipe(filled)

        return self._batch(work, len(bases), _POWERS)

    def invert(self, xs: Iterable[int] | Residues) -> Residues:
        """Return the inverses of public residues modulo n^2.

        Three products each, and one inversion for every lane (Montgomery's trick).

        Raises
        ------
        ValueError
            If one is not invertible.
        """
        residues, ring = self.residues(xs), self.ring
        if len(residues) == 0:
            return residues
        if len(residues) <= ring.lanes:
            inverse = np.empty_like(residues.pairs)
            ring.public_inverses_of_lanes(residues.pairs, len(residues), inverse)
            return Residues(self, inverse, len(residues))
        pairs = residues.pairs.copy()
        self._fill_last_lanes(pairs, len(residues))
        running = np.empty_like(pairs)
        ring.running_products(pairs, running)
        last_inverse = np.empty_like(running[-1:])
        ring.public_inverses_of_lanes(running[-1:], ring.lanes, last_inverse)
        ring.unwind(running, pairs, last_inverse)
        return Residues(self, running, len(residues))

    def _fill_last_lanes(self, pairs: npt.NDArray[np.uint64], count: int) -> None:
        """Put 1 into the lanes of the last group that belong to no residue."""
        lanes = self.ring.lanes
        if count % lanes:
            last = Residues(self, pairs[-1:], count % lanes).to_bytes()
            self.ring.enter(last, self.width, pairs[-1])

    def _part(self, residues: Residues, start: int, stop: int) -> npt.NDArray[np.uint64]:
        """Return the groups that hold residues `start` (at the start of a group) to `stop`."""
        lanes = self.ring.lanes
        return residues.pairs[start // lanes : -(-stop // lanes)]

    def _batch(
        self, work: Callable[[int, int, npt.NDArray[np.uint64]], None], count: int, least: int
    ) -> Residues:
        """Let `work` write the groups of `count` new residues, in parts."""
        lanes = self.ring.lanes
        pairs = np.empty((-(-count // lanes), self.ring.group_words), dtype=np.uint64)
        _in_parts(
            lambda start, stop: work(start, stop, pairs[start // lanes : -(-stop // lanes)]),
            count,
            lanes,
            least,
        )
        return Residues(self, pairs, count)


class FixedBase:
    """Powers of one fixed base modulo a square, by a table of all digit powers that is always read completely.

    Row i of the table holds base^(d 2^(w i)) for every digit d of w bits, so that a power is one product for
    each digit of the exponent and no squaring (Brickell, Gordon, McCurley and Wilson, EUROCRYPT 1992).

    Parameters
    ----------
    base
        The base, reduced modulo `root` squared.
    root
        The square root of the modulus: n, or a prime factor of n. Odd.
    exponent_bits
        The longest exponent that the table can serve.
    kernel
        As for `Group`.

    Examples
    --------
    >>> FixedBase(3, root=1009, exponent_bits=20).powers([0, 1, 999_999]) == [1, 3, pow(3, 999_999, 1009**2)]
    True
    """

    def __init__(self, base: int, root: int, exponent_bits: int, kernel: str | None = None) -> None:
        self._group = Group(root, kernel)
        self._exponent_bits = exponent_bits
        self._width = -(-exponent_bits // 8)
        self._comb = bignum.Comb(self._group.ring, self._group.residues([base]).pairs, exponent_bits)

    def powers(self, exponents: Iterable[int] | bytearray) -> Residues:
        """Return base^e modulo the square for every exponent, each below 2^exponent_bits.

        Parameters
        ----------
        exponents
            Integers in [0, 2^exponent_bits), or a bytearray of them as `random_exponents` makes it, which is
            wiped afterwards.

        Returns
        -------
        Residues
            The powers, in order.

        Raises
        ------
        ValueError
            If an exponent does not fit the table.
        """
        encoded = self.encode(exponents)
        width, view = self._width, memoryview(encoded)
        try:
            return self._group._batch(
                lambda start, stop, out: self._comb.powers(view[start * width : stop * width], width, out),
                len(view) // width,
                _POWERS,
            )
        finally:
            bignum.wipe(encoded)

    def encode(self, exponents: Iterable[int] | bytearray) -> bytearray:
        """Lay exponents out as `random_exponents` does."""
        if isinstance(exponents, bytearray):
            return exponents
        encoded = bytearray()
        for exponent in exponents:
            if not 0 <= exponent < 1 << self._exponent_bits:
                raise ValueError("the exponent does not fit the table")
            encoded += exponent.to_bytes(self._width, "little")
        return encoded


class SplitGroup:
    """The units modulo n^2 for the key holder, who computes modulo p^2 and q^2 and recombines.

    A residue that is x modulo p^2 and y modulo q^2 is x E + y F modulo n^2 for two constants: E is 1 modulo p^2
    and 0 modulo q^2, F the other way round. The same works modulo n for plaintexts.

    Parameters
    ----------
    p, q
        The prime factors of n.
    kernel
        As for `Group`.

    Examples
    --------
    >>> SplitGroup(7, 11).decrypt([3840])
    [42]
    """

    def __init__(self, p: int, q: int, kernel: str | None = None) -> None:
        self.n = p * q
        self._group = Group(self.n, kernel)
        self._halves = _Half(p, q, kernel), _Half(q, p, kernel)

    @cached_property
    def for_one(self) -> "SplitGroup":
        """The same group on the kernel that is best for single values."""
        kernel, (p_half, q_half) = bignum.kernel_for_one(), self._halves
        same = self._group.ring.path == kernel
        return self if same else SplitGroup(p_half.prime, q_half.prime, kernel)

    @cached_property
    def _joiners(self) -> tuple[Residues, Residues]:
        """E and F, each in every lane: 3 e^2 - 2 e^3 is 1 modulo p^2 and 0 modulo q^2 if e is modulo p and q."""
        p_half, q_half = self._halves
        constants = [e * e * (3 - 2 * e) for e in (p_half.idempotent, q_half.idempotent)]
        first, second = (self._group.residues([c] * self._group.ring.lanes) for c in constants)
        return first, second

    @cached_property
    def _plaintext_joiners(self) -> tuple[Residues, Residues]:
        """E and F modulo n, times what turns the logarithm modulo a prime into the plaintext."""
        first, second = (
            self._group.residues([half.log_factor * half.idempotent % self.n] * self._group.ring.lanes)
            for half in self._halves
        )
        return first, second

    def fixed_base(self, base: int, exponent_bits: int) -> tuple[FixedBase, FixedBase]:
        """Build the two tables for `fixed_base_powers`."""
        kernel = self._group.ring.path
        first, second = (FixedBase(base, half.prime, exponent_bits, kernel) for half in self._halves)
        return first, second

    def fixed_base_powers(
        self, tables: tuple[FixedBase, FixedBase], exponents: Sequence[int] | bytearray
    ) -> Residues:
        """Return base^e mod n^2 for every exponent, from the two tables."""
        first, second = tables
        encoded = first.encode(exponents)
        return self._join(first.powers(bytearray(encoded)), second.powers(encoded))

    def nth_powers(self, units: Iterable[int]) -> Residues:
        """Return r^n mod n^2 for every unit r.

        x^p mod p^2 depends on x mod p only, hence r^n = ((r^q mod p)^p mod p^2) there, and likewise for q.
        """
        encoded = _fixed_width((r % self.n for r in units), self._group.n_width)
        try:
            modulo_p, modulo_q = (half.nth_powers(encoded, self._group.n_width) for half in self._halves)
        finally:
            bignum.wipe(encoded)
        return self._join(modulo_p, modulo_q)

    def decrypt(self, ciphertexts: Iterable[int] | Residues) -> list[int]:
        """Return the plaintext in [0, n) of every ciphertext, by CRT (Paillier 1999, section 7)."""
        group, width = self._group, self._group.n_width
        residues = group.residues(ciphertexts)
        first, second = self._logs(residues.to_buffer())
        modulo_p, modulo_q = (
            group._enter_and_wipe(logs, half.group.n_width)
            for half, logs in zip(self._halves, (first, second), strict=True)
        )
        joined = self._combine(modulo_p, modulo_q, *self._plaintext_joiners)
        plaintexts = bytearray(len(residues) * width)
        group.ring.leave_low(joined.pairs, width, plaintexts)
        integers = _integers(plaintexts, width)
        bignum.wipe(plaintexts)
        for used in (modulo_p, modulo_q, joined):
            used.wipe()
        return integers

    def _logs(self, ciphertexts: bytearray) -> tuple[bytearray, bytearray]:
        """Take logarithms modulo p and q: one after the other, or, if few enough, in lanes side by side."""
        p_half, q_half = self._halves
        width, shared = self._group.width, self._shared_ring
        count = len(ciphertexts) // width
        if shared is None or 2 * count > shared.lanes:
            return p_half.logs(ciphertexts, width), q_half.logs(ciphertexts, width)
        per_prime, size = shared.lanes // 2, p_half.group.n_width
        filled = ciphertexts + ciphertexts[:width] * (per_prime - count)
        logs = bytearray(shared.lanes * size)
        primes = [half.prime for half in self._halves for _ in range(per_prime)]
        _write_logs(shared, 2 * filled, width, primes, logs)
        parts = logs[: count * size], logs[per_prime * size : (per_prime + count) * size]
        bignum.wipe(logs)
        return parts

    @cached_property
    def _shared_ring(self) -> bignum.Ring | None:
        """A ring with p in one half of the lanes and q in the other, where lanes and lengths allow it."""
        first, second = (half.group for half in self._halves)
        lanes = first.ring.lanes
        if lanes == 1 or first.n.bit_length() != second.n.bit_length():
            return None
        moduli = [group.n for group in (first, second) for _ in range(lanes // 2)]
        return bignum.Ring(_fixed_width(moduli, first.n_width), lanes, first.ring.path)

    def _join(self, modulo_p: Residues, modulo_q: Residues) -> Residues:
        """Return the residues modulo n^2 that are these modulo p^2 and q^2, which are wiped."""
        first, second = (
            self._group._enter_and_wipe(part.to_buffer(), part.group.width) for part in (modulo_p, modulo_q)
        )
        try:
            return self._combine(first, second, *self._joiners)
        finally:
            for part in (modulo_p, modulo_q, first, second):
                part.wipe()

    def _combine(self, xs: Residues, ys: Residues, x_factor: Residues, y_factor: Residues) -> Residues:
        """Return x x_factor + y y_factor, the factors being the same in all lanes."""
        group = self._group
        return group._batch(
            lambda start, stop, out: group.ring.combine(
                group._part(xs, start, stop),
                x_factor.pairs,
                group._part(ys, start, stop),
                y_factor.pairs,
                out,
            ),
            len(xs),
            _PRODUCTS,
        )


class _Half:
    """What the key holder does modulo the square of one prime; `other` is the other one."""

    def __init__(self, prime: int, other: int, kernel: str | None) -> None:
        self.prime, self._other = prime, other
        self.group = Group(prime, kernel)

    @cached_property
    def _inverse(self) -> int:
        """The inverse of the other prime."""
        return secret_inverse(self._other, self.prime)

    @property
    def idempotent(self) -> int:
        """The residue modulo n that is 1 modulo this prime and 0 modulo the other."""
        return self._other * self._inverse

    @property
    def log_factor(self) -> int:
        """The inverse of L((1 + n)^(p-1) mod p^2) = (p - 1) q = -q (mod p), with L(1 + b p) = b."""
        return self.prime - self._inverse

    def logs(self, ciphertexts: bytearray, width: int) -> bytearray:
        """Return L(c^(p-1) mod p^2) for ciphertexts of `width` bytes, each as wide as the prime."""
        ring, size = self.group.ring, self.group.n_width
        logs = bytearray(len(ciphertexts) // width * size)
        view, written = memoryview(ciphertexts), memoryview(logs)

        def work(start: int, stop: int) -> None:
            primes, out = [self.prime] * ring.lanes, written[start * size : stop * size]
            _write_logs(ring, view[start * width : stop * width], width, primes, out)

        _in_parts(work, len(view) // width, ring.lanes, _POWERS)
        return logs

    def nth_powers(self, units: bytearray, width: int) -> Residues:
        """Return (r^q mod p)^p mod p^2 for units of `width` bytes."""
        ring, size = self.group.ring, self.group.n_width
        first = (self._other % (self.prime - 1)).to_bytes(size, "big")
        second, view = self.prime.to_bytes(size, "big"), memoryview(units)

        def work(start: int, stop: int, out: npt.NDArray[np.uint64]) -> None:
            reduced = bytearray((stop - start) * size)
            ring.enter(view[start * width : stop * width], width, out)
            ring.leave_low(out, size, reduced)
            ring.single_powers(reduced, size, first, reduced, True)
            ring.enter(reduced, size, out)
            ring.power(out, second, out, True)
            bignum.wipe(reduced)

        return self.group._batch(work, len(view) // width, _POWERS)


def _write_logs(
    ring: bignum.Ring,
    ciphertexts: bytearray | memoryview,
    width: int,
    primes: Sequence[int],
    out: bytearray | memoryview,
) -> None:
    """Write L(c^(p-1) mod p^2), L(1 + b p) = b, for the prime p of each lane."""
    size, count = -(-ring.bits // 8), len(ciphertexts) // width
    pairs = np.empty((-(-count // ring.lanes), ring.group_words), dtype=np.uint64)
    exponents = _fixed_width((p - 1 for p in primes), size)
    ring.enter(ciphertexts, width, pairs)
    ring.power_by_lane(pairs, exponents, pairs)
    ring.leave_high(pairs, size, out)
    bignum.wipe(exponents)
    bignum.wipe(pairs)


def _fixed_width(values: Iterable[int], width: int) -> bytearray:
    """Encode integers big-endian, `width` bytes each, in memory that can be wiped."""
    numbers = list(values)
    encoded = bytearray(len(numbers) * width)
    for i, x in enumerate(numbers):
        encoded[i * width : (i + 1) * width] = x.to_bytes(width, "big")
    return encoded


def _integers(data: bytes | bytearray, width: int) -> list[int]:
    """Decode big-endian integers of `width` bytes each."""
    return [int.from_bytes(data[i : i + width], "big") for i in range(0, len(data), width)]


def _exponent_bytes(exponent: int) -> bytes:
    """Encode an exponent in as few bytes as hold it, one at least."""
    return exponent.to_bytes(max(-(-exponent.bit_length() // 8), 1), "big")


def _in_parts(work: Callable[[int, int], _T], count: int, lanes: int, least: int) -> list[_T]:
    """Call ``work(start, stop)`` over consecutive ranges that begin at a group, one range a thread."""
    groups = -(-count // lanes)
    if min(count // least, groups) < 2:  # a single value has no time to ask how many cores there are
        return [work(0, count)] if count else []
    parts = min(_cores(), count // least, groups)
    bounds = [min(groups * part // parts * lanes, count) for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        return list(pool.map(work, bounds[:-1], bounds[1:]))


def _cores() -> int:
    """How many processors this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
