# cython: language_level=3, boundscheck=False, wraparound=False
"""Residues modulo n^2 and modulo n in batches: a ring, its kernels, and numpy's memory."""

import os

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int8_t, uint8_t, uint32_t, uint64_t

from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt._ext.cpu.detect import paths as runnable_paths

__all__ = [
    "Comb", "Ring", "fill_random", "in_range", "inverses", "jacobi", "kernel_for_one", "kernels", "lanes",
    "public_inverses", "strike", "wipe",
]

cdef extern from "bignum.h":
    enum:
        BN_MAX_BITS

    ctypedef struct bn_kernels:
        size_t lanes

    ctypedef struct bn_ring:
        const bn_kernels *kernels
        size_t bits

    ctypedef struct bn_comb:
        pass

    const bn_kernels *bn_kernels_of(const char *path)
    bn_ring *bn_ring_new(const bn_kernels *kernels, const uint8_t *moduli, size_t width, size_t lanes) nogil
    void bn_ring_free(bn_ring *ring)
    size_t bn_group_words(const bn_ring *ring)
    bint bn_enter(
        const bn_ring *ring, uint64_t *pairs, const uint8_t *values, size_t width, size_t count) nogil
    bint bn_leave(
        const bn_ring *ring, uint8_t *values, size_t width, const uint64_t *pairs, size_t count) nogil
    bint bn_leave_pair(const bn_ring *ring, uint8_t *low, uint8_t *high, size_t width, const uint64_t *pairs,
                       size_t count) nogil
    bint bn_join(const bn_ring *ring, uint8_t *values, size_t value_width, const uint8_t *low,
                 const uint8_t *high, size_t width, size_t count) nogil
    bint bn_multiply(
        const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *y, size_t groups) nogil
    bint bn_combine(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint64_t *cx,
                    const uint64_t *y, const uint64_t *cy, size_t groups) nogil
    bint bn_conceal(const bn_ring *ring, uint64_t *z, const uint64_t *x, const uint8_t *plaintexts,
                    size_t width, size_t count) nogil
    bint bn_power(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups, const uint8_t *exponent,
                  size_t size, bint secret) nogil
    bint bn_power_by_lane(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups,
                          const uint8_t *exponents, size_t size) nogil
    bint bn_product(
        const bn_ring *ring, uint8_t *results, size_t width, const uint64_t *pairs, size_t groups) nogil
    bint bn_running(const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t groups) nogil
    bint bn_unwind(const bn_ring *ring, uint64_t *running, const uint64_t *x, const uint64_t *last_inverse,
                   size_t groups) nogil
    bint bn_public_inverses_of_lanes(
        const bn_ring *ring, uint64_t *z, const uint64_t *x, size_t present, int *all) nogil
    bint bn_inverses(
        uint8_t *results, const uint8_t *values, size_t width, size_t count, const uint8_t *n, int *all) nogil
    bint bn_public_inverses(
        uint8_t *results, const uint8_t *values, size_t width, size_t count, const uint8_t *n, int *all) nogil
    bn_comb *bn_comb_new(const bn_ring *ring, const uint64_t *base, size_t bits) nogil
    void bn_comb_free(bn_comb *comb)
    bint bn_comb_powers(
        const bn_comb *comb, uint64_t *z, const uint8_t *exponents, size_t width, size_t count) nogil
    bint bn_single_powers(const bn_ring *ring, uint8_t *results, const uint8_t *values, size_t width,
                          size_t count, const uint8_t *exponent, size_t size, bint secret) nogil
    bint bn_single_powers_by_lane(const bn_ring *ring, uint8_t *results, const uint8_t *values, size_t width,
                                  const uint8_t *exponents, size_t size) nogil
    bint bn_fermat(const bn_ring *ring, uint8_t *results, size_t width) nogil
    bint bn_in_range(const uint8_t *values, size_t width, size_t count, const uint8_t *limit) nogil
    bint bn_fit(const uint8_t *values, size_t width, size_t count, size_t bits, bint little_endian) nogil
    bint bn_jacobi(
        int8_t *symbols, const uint8_t *values, size_t width, size_t count, const uint8_t *n) nogil
    void bn_strike(
        uint8_t *alive, size_t span, const uint32_t *primes, const uint32_t *first, size_t count) nogil
    void bn_wipe(void *memory, size_t size) nogil
    bint bn_random(uint8_t *out, size_t size) nogil


# ---- buffers ------------------------------------------------------------------------------------------

@cython.final
cdef class Memory:
    """The bytes of a C-contiguous buffer, held while this object lives."""

    cdef Py_buffer view
    cdef uint8_t *start
    cdef Py_ssize_t size

    def __cinit__(self, buffer, bint writable=False):
        PyObject_GetBuffer(buffer, &self.view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        self.start = <uint8_t *>self.view.buf
        self.size = self.view.len

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    cdef uint64_t *words(self) except? NULL:
        """Return the same memory as words."""
        if <size_t>self.start % sizeof(uint64_t) != 0:
            raise ValueError("words must be aligned")
        return <uint64_t *>self.start


cdef size_t values_in(Memory memory, Py_ssize_t width) except? 0:
    """How many values of `width` bytes fill the memory exactly."""
    if width < 1 or memory.size % width != 0:
        raise ValueError(f"{memory.size} bytes are no whole number of values of {width} bytes")
    return memory.size // width


cdef int check_size(Memory memory, size_t size) except -1:
    """Refuse memory that is not exactly as large as what belongs there."""
    if <size_t>memory.size != size:
        raise ValueError(f"expected {size} bytes, not {memory.size}")
    return 0


cdef int check_fit(Memory memory, size_t width, size_t bits, bint little_endian=False) except -1:
    """Refuse values that the kernels would cut off, without telling more of them."""
    cdef size_t count = values_in(memory, width)
    cdef bint fit
    with nogil:
        fit = bn_fit(memory.start, width, count, bits, little_endian)
    if not fit:
        raise ValueError(f"a value is longer than {bits} bits")
    return 0


cdef int check(bint done) except -1:
    """Turn the one failure of a kernel into an exception."""
    if not done:
        raise MemoryError
    return 0


# ---- rings --------------------------------------------------------------------------------------------

cdef object checked_path(object path):
    """Return the path that is asked for, or the one in use; refuse what the processor cannot run."""
    chosen = path_in_use() if path is None else path
    if chosen not in runnable_paths() + kernels():
        known = ", ".join(runnable_paths() + kernels())
        raise ValueError(f"path {path!r}: this processor can run {known}")
    return chosen


def kernels():
    """Return the names of all kernels that the processor can run: what tests compare with one another.

    A path takes the best one that it may: ``"portable"`` one for 64-bit words, with MULX, ADCX and ADOX where
    they exist, ``"avx2"`` the one with FMA, ``"avx512"`` the one with IFMA. ``"narrow"`` has IFMA too, for
    few values: see `kernel_for_one`.
    """
    found = ["int128"]
    if bn_kernels_of(b"adx") is not NULL:
        found.append("adx")
    if "avx2" in runnable_paths() and bn_kernels_of(b"fma") is not NULL:
        found.append("fma")
    if "avx512" in runnable_paths():
        found += ["narrow", "ifma"]
    return tuple(found)


def kernel_for_one(path=None):
    """Return the name of the kernel that computes with a single value in the least time, on a path."""
    return "narrow" if checked_path(path) == "avx512" else "portable"


def lanes(path=None):
    """Return how many values the kernel of a path (by default the one in use) computes at once."""
    return bn_kernels_of(checked_path(path).encode()).lanes


@cython.final
cdef class Ring:
    """The residues modulo n^2, and modulo n, for an odd n.

    Residues modulo n^2 are kept in Montgomery's form, as n-adic pairs of digits, several to a group: words of
    64 bits in a layout of the kernel's own, `group_words` of them to a group of `lanes` values. Whoever calls
    allocates them. Numbers that enter and leave are big-endian and of fixed width.

    All constants are in C memory and wiped when the object goes. Nothing here branches on, or looks up by, a
    modulus, a residue or a secret exponent. Objects are immutable, so threads may share them; the GIL is
    released while the kernels run.

    Parameters
    ----------
    moduli : bytes-like
        n, odd and at least 3, of at most 8192 bits; or as many such numbers of equal length as the kernel has
        lanes, one for each lane.
    count : int, optional
        How many moduli there are.
    path : str, optional
        One of `medcrypt._ext.cpu.paths`, by default `medcrypt._ext.cpu.path`; or one of `kernels`. Numbers
        that leave are the same on every path.

    Raises
    ------
    ValueError
        A modulus is even, too small or too long, or the processor cannot run that path.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext.bignum import Ring
    >>> ring = Ring(bytes([77]))
    >>> x = np.empty(ring.group_words, dtype=np.uint64)
    >>> ring.enter(bytes([5]), 1, x)
    >>> ring.power(x, bytes([3]), x)
    >>> out = bytearray(2)
    >>> ring.leave(x, 2, out)
    >>> int.from_bytes(out, "big")
    125
    """

    cdef bn_ring *c_ring
    cdef readonly str path

    def __cinit__(self, moduli, Py_ssize_t count=1, path=None):
        cdef Memory memory = Memory(moduli)
        cdef const bn_kernels *kernels
        cdef size_t width
        self.path = checked_path(path)
        kernels = bn_kernels_of(self.path.encode())
        if count != 1 and <size_t>count != kernels.lanes:
            raise ValueError(f"one modulus or {kernels.lanes}, not {count}")
        if memory.size == 0 or memory.size % count != 0:
            raise ValueError("the moduli must have equal widths")
        width = memory.size // count
        lengths = {_checked_length(memory.start[i * width : (i + 1) * width]) for i in range(count)}
        if len(lengths) != 1:
            raise ValueError("the moduli must have equal lengths")
        with nogil:
            self.c_ring = bn_ring_new(kernels, memory.start, width, count)
        if self.c_ring is NULL:
            raise MemoryError

    def __dealloc__(self):
        bn_ring_free(self.c_ring)

    def __repr__(self):
        return f"Ring(bits={self.bits}, path={self.path!r})"

    def __reduce__(self):
        raise TypeError("a Ring may hold a secret: it is neither pickled nor copied")

    @property
    def bits(self):
        """Length of n."""
        return self.c_ring.bits

    @property
    def lanes(self):
        """Values in a group."""
        return self.c_ring.kernels.lanes

    @property
    def group_words(self):
        """Words of a group."""
        return bn_group_words(self.c_ring)

    cdef size_t groups_in(self, Memory memory) except? 0:
        return values_in(memory, 8 * bn_group_words(self.c_ring))

    cdef int check_groups(self, Memory memory, size_t count) except -1:
        """Refuse words that are not exactly the groups of `count` values."""
        cdef size_t lanes = self.c_ring.kernels.lanes
        return check_size(memory, (count + lanes - 1) // lanes * 8 * bn_group_words(self.c_ring))

    def enter(self, values, Py_ssize_t width, out):
        """Write the groups of big-endian values of `width` bytes; values may be larger than n^2.

        Lanes of the last group that no value fills hold 1.
        """
        cdef Memory src = Memory(values), dst = Memory(out, True)
        cdef size_t count = values_in(src, width)
        cdef uint64_t *pairs
        cdef bint done
        self.check_groups(dst, count)
        pairs = dst.words()
        with nogil:
            done = bn_enter(self.c_ring, pairs, src.start, width, count)
        check(done)

    def leave(self, pairs, Py_ssize_t width, out):
        """Write the least residues modulo n^2 of as many values as fit `out`, `width` bytes each."""
        cdef Memory src = Memory(pairs), dst = Memory(out, True)
        cdef size_t count = values_in(dst, width)
        cdef const uint64_t *x = src.words()
        cdef bint done
        self.check_groups(src, count)
        if <size_t>width * 8 < 2 * self.c_ring.bits:
            raise ValueError("the width is too small for n^2")
        with nogil:
            done = bn_leave(self.c_ring, dst.start, width, x, count)
        check(done)

    def leave_low(self, pairs, Py_ssize_t width, out):
        """Write the least residues modulo n, `width` bytes each: a of a + b n, with a and b below n."""
        self.leave_half(pairs, width, out, False)

    def leave_high(self, pairs, Py_ssize_t width, out):
        """Write b of the least residues a + b n, a and b below n, `width` bytes each."""
        self.leave_half(pairs, width, out, True)

    cdef int leave_half(self, object pairs, Py_ssize_t width, object out, bint high) except -1:
        cdef Memory src = Memory(pairs), dst = Memory(out, True)
        cdef size_t count = values_in(dst, width)
        cdef const uint64_t *x = src.words()
        cdef uint8_t *to = dst.start
        cdef bint done
        self.check_groups(src, count)
        if <size_t>width * 8 < self.c_ring.bits:
            raise ValueError("the width is too small for n")
        with nogil:
            done = bn_leave_pair(self.c_ring, NULL if high else to, to if high else NULL, width, x, count)
        return check(done)

    def join(self, low, high, Py_ssize_t width, Py_ssize_t value_width, out):
        """Write a + b n, `value_width` bytes each, for big-endian a and b of `width` bytes, no longer than n.

        Value i has the modulus of lane i modulo the lanes.
        """
        cdef Memory a = Memory(low), b = Memory(high), dst = Memory(out, True)
        cdef size_t count = values_in(a, width)
        cdef bint done
        check_size(b, a.size)
        check_size(dst, count * value_width)
        if <size_t>value_width * 8 < 2 * self.c_ring.bits:
            raise ValueError("the width is too small for n^2")
        check_fit(a, width, self.c_ring.bits)
        check_fit(b, width, self.c_ring.bits)
        with nogil:
            done = bn_join(self.c_ring, dst.start, value_width, a.start, b.start, width, count)
        check(done)

    def multiply(self, x, y, out):
        """Write the products of two arrays of groups; `out` may be one of them."""
        cdef Memory a = Memory(x), b = Memory(y), dst = Memory(out, True)
        cdef size_t groups = self.groups_in(a)
        cdef const uint64_t *first = a.words()
        cdef const uint64_t *second = b.words()
        cdef uint64_t *z = dst.words()
        cdef bint done
        check_size(b, a.size)
        check_size(dst, a.size)
        with nogil:
            done = bn_multiply(self.c_ring, z, first, second, groups)
        check(done)

    def combine(self, x, x_factor, y, y_factor, out):
        """Write x x_factor + y y_factor, where the factors are one group each; `out` may be x."""
        cdef Memory a = Memory(x), b = Memory(y), dst = Memory(out, True)
        cdef Memory a_factor = Memory(x_factor), b_factor = Memory(y_factor)
        cdef size_t groups = self.groups_in(a)
        cdef const uint64_t *first = a.words()
        cdef const uint64_t *second = b.words()
        cdef const uint64_t *first_factor = a_factor.words()
        cdef const uint64_t *second_factor = b_factor.words()
        cdef uint64_t *z = dst.words()
        cdef bint done
        check_size(b, a.size)
        check_size(dst, a.size)
        self.check_groups(a_factor, 1)
        self.check_groups(b_factor, 1)
        with nogil:
            done = bn_combine(self.c_ring, z, first, first_factor, second, second_factor, groups)
        check(done)

    def conceal(self, masks, plaintexts, Py_ssize_t width, out):
        """Write (1 + m n) mask for big-endian plaintexts m, at most a bit longer than n.

        `out` may be `masks`.
        """
        cdef Memory a = Memory(masks), m = Memory(plaintexts), dst = Memory(out, True)
        cdef size_t count = values_in(m, width)
        cdef const uint64_t *x = a.words()
        cdef uint64_t *z = dst.words()
        cdef bint done
        self.check_groups(a, count)
        self.check_groups(dst, count)
        check_fit(m, width, self.c_ring.bits + 1)
        with nogil:
            done = bn_conceal(self.c_ring, z, x, m.start, width, count)
        check(done)

    def power(self, x, exponent, out, bint secret=False):
        """Write x^e for a big-endian exponent.

        A secret exponent costs the same whatever it is, but for its length in bytes; of a public one leading
        zeros and zero digits are skipped. `out` may be x.
        """
        cdef Memory a = Memory(x), e = Memory(exponent), dst = Memory(out, True)
        cdef size_t groups = self.groups_in(a)
        cdef const uint64_t *base = a.words()
        cdef uint64_t *z = dst.words()
        cdef bint done
        check_size(dst, a.size)
        if e.size == 0:
            raise ValueError("an exponent has at least one byte")
        with nogil:
            done = bn_power(self.c_ring, z, base, groups, e.start, e.size, secret)
        check(done)

    def power_by_lane(self, x, exponents, out):
        """Write x^e for as many secret big-endian exponents as there are lanes, each for its own lane."""
        cdef Memory a = Memory(x), e = Memory(exponents), dst = Memory(out, True)
        cdef size_t groups = self.groups_in(a), size = e.size // self.c_ring.kernels.lanes
        cdef const uint64_t *base = a.words()
        cdef uint64_t *z = dst.words()
        cdef bint done
        check_size(dst, a.size)
        if size == 0 or size * self.c_ring.kernels.lanes != <size_t>e.size:
            raise ValueError("an exponent for each lane is needed, all of the same bytes")
        with nogil:
            done = bn_power_by_lane(self.c_ring, z, base, groups, e.start, size)
        check(done)

    def product(self, x, Py_ssize_t width, out):
        """Write the products modulo n, lane by lane: `lanes` numbers, each right up to a unit modulo n."""
        cdef Memory a = Memory(x), dst = Memory(out, True)
        cdef size_t groups = self.groups_in(a)
        cdef const uint64_t *first = a.words()
        cdef bint done
        check_size(dst, width * self.c_ring.kernels.lanes)
        with nogil:
            done = bn_product(self.c_ring, dst.start, width, first, groups)
        check(done)

    def running_products(self, x, out):
        """Write x_0, x_0 x_1, x_0 x_1 x_2, ..., group by group."""
        cdef Memory a = Memory(x), dst = Memory(out, True)
        cdef size_t groups = self.groups_in(a)
        cdef const uint64_t *first = a.words()
        cdef uint64_t *z = dst.words()
        cdef bint done
        check_size(dst, a.size)
        with nogil:
            done = bn_running(self.c_ring, z, first, groups)
        check(done)

    def unwind(self, running, x, last_inverse):
        """Turn running products, in place, into the inverse of every x; needs the inverse of the last one."""
        cdef Memory z = Memory(running, True), a = Memory(x), last = Memory(last_inverse)
        cdef size_t groups = self.groups_in(a)
        cdef uint64_t *products = z.words()
        cdef const uint64_t *first = a.words()
        cdef const uint64_t *inverse = last.words()
        cdef bint done
        check_size(z, a.size)
        self.check_groups(last, 1)
        with nogil:
            done = bn_unwind(self.c_ring, products, first, inverse, groups)
        check(done)

    def public_inverses_of_lanes(self, x, Py_ssize_t present, out):
        """Write the inverses of the first `present` lanes of one group; the others get anything.

        Not for secrets: the time depends on the residues. `out` may be x.
        """
        cdef Memory a = Memory(x), dst = Memory(out, True)
        cdef const uint64_t *first = a.words()
        cdef uint64_t *z = dst.words()
        cdef int every = 0
        cdef bint done
        self.check_groups(a, 1)
        self.check_groups(dst, 1)
        if not 1 <= present <= <Py_ssize_t>self.c_ring.kernels.lanes:
            raise ValueError(f"a group has 1 to {self.lanes} lanes, not {present}")
        with nogil:
            done = bn_public_inverses_of_lanes(self.c_ring, z, first, present, &every)
        check(done)
        if not every:
            raise ValueError("a residue is not invertible modulo n^2")

    def single_powers(self, values, Py_ssize_t width, exponent, out, bint secret=False):
        """Write v^e mod n for big-endian values v, at most a bit longer than n.

        All numbers but e have `width` bytes.
        """
        cdef Memory src = Memory(values), e = Memory(exponent), dst = Memory(out, True)
        cdef size_t count = values_in(src, width)
        cdef bint done
        check_size(dst, src.size)
        if <size_t>width * 8 < self.c_ring.bits or e.size == 0:
            raise ValueError("the width is too small for n, or the exponent is empty")
        check_fit(src, width, self.c_ring.bits + 1)
        with nogil:
            done = bn_single_powers(
                self.c_ring, dst.start, src.start, width, count, e.start, e.size, secret)
        check(done)

    def single_powers_by_lane(self, values, Py_ssize_t width, exponents, out):
        """Write v^e mod n for as many v, and secret e, as there are lanes, each modulo the n of its lane.

        All v and results have `width` bytes; the exponents are of the same bytes.
        """
        cdef Memory src = Memory(values), e = Memory(exponents), dst = Memory(out, True)
        cdef size_t lanes = self.c_ring.kernels.lanes
        cdef size_t count = values_in(src, width), size = e.size // lanes
        cdef bint done
        check_size(dst, src.size)
        if count != lanes or size == 0 or size * lanes != <size_t>e.size:
            raise ValueError("a value and an exponent for each lane are needed, all of the same bytes")
        if <size_t>width * 8 < self.c_ring.bits:
            raise ValueError("the width is too small for n")
        check_fit(src, width, self.c_ring.bits + 1)
        with nogil:
            done = bn_single_powers_by_lane(self.c_ring, dst.start, src.start, width, e.start, size)
        check(done)

    def fermat(self, Py_ssize_t width, out):
        """Write 2^(n - 1) mod n for the modulus n of every lane."""
        cdef Memory dst = Memory(out, True)
        cdef bint done
        check_size(dst, width * self.c_ring.kernels.lanes)
        with nogil:
            done = bn_fermat(self.c_ring, dst.start, width)
        check(done)


cdef object _checked_length(bytes modulus, size_t most=BN_MAX_BITS):
    """Refuse what no ring can have; the length of a modulus is public."""
    n = int.from_bytes(modulus, "big")
    if n < 3 or n % 2 == 0 or n.bit_length() > most:
        raise ValueError(f"a modulus is odd, at least 3 and has at most {most} bits")
    return n.bit_length()


# ---- fixed bases --------------------------------------------------------------------------------------

@cython.final
cdef class Comb:
    """All digit powers of one base, for powers without squarings.

    The table is read completely for each digit of an exponent, so time and addresses do not depend on it.

    Parameters
    ----------
    ring : Ring
        Where the base lives.
    base : buffer
        One group; the first lane is the base.
    bits : int
        Length of the longest exponent.
    """

    cdef bn_comb *c_comb
    cdef Ring ring
    cdef readonly object bits

    def __cinit__(self, Ring ring not None, base, Py_ssize_t bits):
        cdef Memory memory = Memory(base)
        cdef const uint64_t *x = memory.words()
        ring.check_groups(memory, 1)
        if bits < 1:
            raise ValueError("an exponent has at least one bit")
        self.ring = ring
        self.bits = bits
        with nogil:
            self.c_comb = bn_comb_new(ring.c_ring, x, bits)
        if self.c_comb is NULL:
            raise MemoryError

    def __dealloc__(self):
        bn_comb_free(self.c_comb)

    def __reduce__(self):
        raise TypeError("a Comb may hold a secret: it is neither pickled nor copied")

    def powers(self, exponents, Py_ssize_t width, out):
        """Write the groups of base^e for little-endian exponents e of `width` bytes, below 2^bits."""
        cdef Memory e = Memory(exponents), dst = Memory(out, True)
        cdef size_t count = values_in(e, width)
        cdef uint64_t *z = dst.words()
        cdef bint done
        self.ring.check_groups(dst, count)
        check_fit(e, width, self.bits, True)
        with nogil:
            done = bn_comb_powers(self.c_comb, z, e.start, width, count)
        check(done)


# ---- inverses -----------------------------------------------------------------------------------------

def inverses(values, Py_ssize_t width, modulus, out):
    """Write x^-1 mod n for every big-endian x below n; all numbers have `width` bytes, and n is odd.

    For secret values, and for a secret n: the time depends on n's length and on how many values there are.

    Raises
    ------
    ValueError
        If a value is not below n, or has no inverse; which one, nothing tells. `out` is zeros then.
    """
    invert(values, width, modulus, out, False)


def public_inverses(values, Py_ssize_t width, modulus, out):
    """Do the same as `inverses` in less time, for public values and a public n."""
    invert(values, width, modulus, out, True)


cdef int invert(object values, Py_ssize_t width, object modulus, object out, bint public) except -1:
    cdef Memory src = Memory(values), n = Memory(modulus), dst = Memory(out, True)
    cdef size_t count = values_in(src, width)
    cdef int every = 0
    cdef bint done
    check_size(n, width)
    check_size(dst, src.size)
    check_fit(src, width, _checked_length(n.start[:width], 2 * BN_MAX_BITS))
    with nogil:
        if public:
            done = bn_public_inverses(dst.start, src.start, width, count, n.start, &every)
        else:
            done = bn_inverses(dst.start, src.start, width, count, n.start, &every)
    check(done)
    if not every:
        bn_wipe(dst.start, dst.size)
        raise ValueError("a value is not below n, or not invertible")
    return 0


# ---- public numbers -----------------------------------------------------------------------------------

def in_range(values, Py_ssize_t width, limit):
    """Tell whether 0 < x < limit for every big-endian x; all have `width` bytes. Not for secrets."""
    cdef Memory src = Memory(values), bound = Memory(limit)
    cdef size_t count = values_in(src, width)
    cdef bint inside
    check_size(bound, width)
    with nogil:
        inside = bn_in_range(src.start, width, count, bound.start)
    return inside


def jacobi(values, Py_ssize_t width, n, out):
    """Write the Jacobi symbols (a / n), one signed byte each; n is odd. Not for secrets."""
    cdef Memory src = Memory(values), modulus = Memory(n), dst = Memory(out, True)
    cdef size_t count = values_in(src, width)
    cdef bint done
    check_size(modulus, width)
    check_size(dst, count)
    if modulus.start[width - 1] % 2 == 0:
        raise ValueError("n must be odd")
    with nogil:
        done = bn_jacobi(<int8_t *>dst.start, src.start, width, count, modulus.start)
    check(done)


def strike(alive, primes, first):
    """Set alive[first + i prime] to 0 for every prime and i: uint8, uint32 and uint32."""
    cdef Memory sieve = Memory(alive, True), steps = Memory(primes), starts = Memory(first)
    cdef size_t count = values_in(steps, sizeof(uint32_t))
    check_size(starts, steps.size)
    with nogil:
        bn_strike(sieve.start, sieve.size, <const uint32_t *>steps.start,
                  <const uint32_t *>starts.start, count)


def wipe(buffer):
    """Overwrite writable memory with zeros that no compiler leaves out."""
    cdef Memory memory = Memory(buffer, True)
    bn_wipe(memory.start, memory.size)


def fill_random(buffer):
    """Overwrite writable memory with random bytes of the operating system, without a copy if it can."""
    cdef Memory memory = Memory(buffer, True)
    cdef bint done
    with nogil:
        done = bn_random(memory.start, memory.size)
    if not done:
        memoryview(buffer).cast("B")[:] = os.urandom(memory.size)
