"""Many products of powers of the same residues modulo n^2: what a plaintext matrix does to encrypted values.

The exponents are **public** here: time and memory accesses depend on them. Whoever multiplies by a matrix
knows it; others must not measure that machine.

An exponent e is cut into digits of w bits, e = sum of d_t 2^(w t). Two ways lead from the digits to
the product over j of x_j^e_j:

* Straus (1964): tables of the powers x_j^d, shared by all products. For every t multiply the entries x_j^d.
* Pippenger (1976): for every t and d, multiply all x_j that have digit d; then weigh the buckets by their digits.

Either ends with Horner's rule, w squarings a digit. Both are one kind of work, "multiply everything of equal
key", and that is done for whole batches, pair by pair.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from medcrypt.paillier.arithmetic import Group, Residues

__all__ = ["products_by_key", "products_of_powers"]

Entries = npt.NDArray[np.uint64]  # residues in the kernels' form, one a row
Integers = npt.NDArray[np.int64]

_CHUNK = 1 << 11  # residues gathered at a time: 2 MB at 3072 bits, which stay in the cache
_WIDEST = 10


def products_of_powers(residues: Residues, exponents: Integers) -> Residues:
    """Return the product of residues[j]^exponents[i, j] modulo n^2 for every i.

    Parameters
    ----------
    residues
        k units.
    exponents
        Shape (m, k), any sign, magnitudes below 2^63. Negative ones use inverses, all from one inversion.

    Returns
    -------
    Residues
        m products; 1 for a row of zeros.

    Raises
    ------
    ValueError
        If a residue with a negative exponent is not invertible.

    Examples
    --------
    >>> group = Group(77)
    >>> list(products_of_powers(group.residues([2, 3]), np.array([[3, 2], [0, -1], [0, 0]])))
    [72, 3953, 1]
    """
    group, rows = residues.group, len(exponents)
    magnitudes = np.abs(exponents)
    bits = int(magnitudes.max(initial=0)).bit_length()
    if not bits:
        return group.residues([1] * rows)
    bases = _entries(residues)
    if (exponents < 0).any():
        bases = np.concatenate([bases, _entries(group.invert(residues))])
    columns = np.arange(exponents.shape[1]) + exponents.shape[1] * (exponents < 0)
    plan = _cheapest(len(bases), rows, int(np.count_nonzero(exponents)), bits)
    if plan.tables:
        table = _power_table(group, bases, plan.window)
        digits = _digit_products(group, table, _straus_work(magnitudes, columns, plan), rows * plan.digits)
    else:
        work = _pippenger_work(magnitudes, columns, plan)
        keys, products = _multiplied_by_key(group, bases, work)
        digits = _weighted(group, keys, products, plan.window, rows * plan.digits)
    return _horner(group, digits.reshape(rows, plan.digits, -1), plan.window)


def products_by_key(residues: Residues, keys: Integers) -> Residues:
    """Return the products of all residues of equal key, in ascending order of the keys.

    Parameters
    ----------
    residues
        The residues.
    keys
        One for each.

    Returns
    -------
    Residues
        One product for each key that occurs.

    Examples
    --------
    >>> list(products_by_key(Group(77).residues([2, 3, 5, 7]), np.array([1, 0, 1, 1])))
    [3, 70]
    """
    order = np.argsort(keys, kind="stable")
    _, products = _multiply_equal(residues.group, keys[order], _entries(residues)[order])
    return _residues(residues.group, products)


@dataclass(frozen=True)
class _Plan:
    """How exponents are cut, and whether tables of powers or buckets of digits are used."""

    window: int
    digits: int
    tables: bool


def _cheapest(bases: int, rows: int, entries: int, bits: int) -> _Plan:
    """Count the multiplications of each way and window, and take the fewest."""

    def cost(plan: _Plan) -> int:
        prepared = bases if plan.tables else 2 * rows * plan.digits
        return entries * plan.digits + (prepared << plan.window)

    plans = [
        _Plan(window, -(-bits // window), tables)
        for window in range(1, min(bits, _WIDEST) + 1)
        for tables in (True, False)
    ]
    return min(plans, key=cost)


def _straus_work(magnitudes: Integers, columns: Integers, plan: _Plan) -> Iterator[tuple[Integers, Integers]]:
    """List (key, table entry) for the non-zero digits: the key is a row and a place."""
    for i, t, digit, column in _non_zero_digits(magnitudes, columns, plan):
        yield i * plan.digits + t, column << plan.window | digit


def _pippenger_work(
    magnitudes: Integers, columns: Integers, plan: _Plan
) -> Iterator[tuple[Integers, Integers]]:
    """List (key, base) for the non-zero digits: the key is a row, a place and the digit there."""
    for i, t, digit, column in _non_zero_digits(magnitudes, columns, plan):
        yield (i * plan.digits + t) << plan.window | digit, column


def _non_zero_digits(
    magnitudes: Integers, columns: Integers, plan: _Plan
) -> Iterator[tuple[Integers, int, Integers, Integers]]:
    """Yield row, place, digit and base of all digits that are not zero, in portions of a bounded size."""
    step = max(_CHUNK // max(magnitudes.shape[1], 1), 1)
    for start in range(0, len(magnitudes), step):
        block = magnitudes[start : start + step]
        for t in range(plan.digits):
            digits = block >> (plan.window * t) & ((1 << plan.window) - 1)
            i, j = np.nonzero(digits)
            yield start + i, t, digits[i, j], columns[start + i, j]


def _power_table(group: Group, bases: Entries, window: int) -> Entries:
    """Return x^d of base j as row j 2^w + d; row j 2^w is 1."""
    powers = [np.broadcast_to(_one(group), bases.shape), bases]
    while len(powers) < 1 << window:
        powers.append(_multiply(group, powers[-1], bases))
    return np.stack(powers[: 1 << window], axis=1).reshape(-1, bases.shape[1])


def _digit_products(
    group: Group, table: Entries, work: Iterator[tuple[Integers, Integers]], count: int
) -> Entries:
    """Multiply the table entries of every key; keys without any get 1."""
    keys, products = _multiplied_by_key(group, table, work)
    digits = np.tile(_one(group), (count, 1))
    digits[keys] = products
    return digits


def _weighted(group: Group, keys: Integers, products: Entries, window: int, count: int) -> Entries:
    """Return the product of bucket[d]^d for every place.

    From the largest digit down: a running product of the buckets so far, multiplied into the total at every
    step, so that bucket d enters d times.
    """
    places, digits = keys >> window, keys & ((1 << window) - 1)
    running, total = np.tile(_one(group), (count, 1)), np.tile(_one(group), (count, 1))
    begun = np.zeros(count, dtype=bool)
    for digit in range(int(digits.max(initial=0)), 0, -1):
        here = digits == digit
        running[places[here]] = _multiply(group, running[places[here]], products[here])
        begun[places[here]] = True
        total[begun] = _multiply(group, total[begun], running[begun])
    return total


def _horner(group: Group, digits: Entries, window: int) -> Residues:
    """Join the digits of every row, from the most significant one."""
    product = _residues(group, digits[:, -1])
    for t in range(digits.shape[1] - 2, -1, -1):
        product = group.multiply(group.power(product, 1 << window), _residues(group, digits[:, t]))
    return product


def _multiplied_by_key(
    group: Group, table: Entries, work: Iterator[tuple[Integers, Integers]]
) -> tuple[Integers, Entries]:
    """Multiply the table entries of equal key, a bounded number at a time; return keys, ascending, and products."""
    keys, parts = [np.empty(0, dtype=np.int64)], [np.empty((0, table.shape[1]), dtype=np.uint64)]
    for all_keys, indices in work:
        order = np.argsort(all_keys, kind="stable")
        for start in range(0, len(order), _CHUNK):
            portion = order[start : start + _CHUNK]
            found, products = _multiply_equal(group, all_keys[portion], table[indices[portion]])
            keys.append(found)
            parts.append(products)
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")
    return _multiply_equal(group, joined[order], np.concatenate(parts)[order])


def _multiply_equal(group: Group, keys: Integers, entries: Entries) -> tuple[Integers, Entries]:
    """Multiply neighbours of equal key, pair by pair, until every key is there once; keys are ascending."""
    while True:
        first = np.searchsorted(keys, keys)  # where the run of each key begins
        left = np.flatnonzero((np.arange(len(keys)) - first) % 2 == 0)
        paired = left[left + 1 < len(keys)]
        paired = paired[keys[paired] == keys[paired + 1]]
        if not len(paired):
            return keys, entries
        products = _multiply(group, entries[paired], entries[paired + 1])
        entries[paired] = products
        keys, entries = keys[left], entries[left]


def _multiply(group: Group, xs: Entries, ys: Entries) -> Entries:
    """Multiply row by row."""
    return _entries(group.multiply(_residues(group, xs), _residues(group, ys)))


def _one(group: Group) -> Entries:
    """Return the entry of 1."""
    return _entries(group.residues([1]))


def _entries(residues: Residues) -> Entries:
    """Lay residues out one a row: digit i of lane l of a group is its word i lanes + l."""
    ring = residues.group.ring
    words = residues.pairs.reshape(-1, ring.group_words // ring.lanes, ring.lanes)
    return np.ascontiguousarray(words.transpose(0, 2, 1)).reshape(-1, words.shape[1])[: len(residues)]


def _residues(group: Group, entries: Entries) -> Residues:
    """Undo `_entries`; the lanes that are left over repeat the first residue."""
    lanes, count = group.ring.lanes, len(entries)
    if not count:
        return group.residues([])
    missing = -count % lanes
    if missing:
        entries = np.concatenate([entries, np.repeat(entries[:1], missing, axis=0)])
    grouped = entries.reshape(-1, lanes, entries.shape[1]).transpose(0, 2, 1)
    return Residues(group, np.ascontiguousarray(grouped).reshape(-1, group.ring.group_words), count)
