# cython: language_level=3, boundscheck=False, wraparound=False
"""Trials of integer noise over arrays of words, which the caller wipes, as well as what is drawn."""

cimport cython
from cpython.buffer cimport PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt._ext.cpu.detect import paths as runnable_paths

__all__ = ["Shape", "gather"]

cdef extern from "noise.h":
    enum:
        NOISE_DEGREE
        NOISE_FIXED_ROWS
        NOISE_ROWS
    double NOISE_MARGIN

    enum noise_kind:
        NOISE_TABLE
        NOISE_CELLS
        NOISE_REAL

    ctypedef struct noise_shape:
        noise_kind kind
        size_t cells
        size_t rows
        const uint64_t *thresholds
        const uint64_t *flips
        uint64_t *start
        unsigned low_bits
        uint64_t factor
        unsigned point
        double margin

    ctypedef void noise_trials(
        const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values,
        uint8_t *verdicts) noexcept nogil

    noise_trials *noise_trials_of(const char *path)
    size_t noise_gather(int64_t *values, const uint8_t *verdicts, size_t trials) nogil
    size_t noise_undecided(const uint8_t *verdicts, size_t trials) nogil


cdef Py_ssize_t take(object array, Py_buffer *view, int flags, Py_ssize_t itemsize) except -1:
    """Open a C-contiguous buffer of items of that size, and return how many they are."""
    PyObject_GetBuffer(array, view, PyBUF_ND | flags)
    if view.itemsize != itemsize:
        raise ValueError(f"the items have {itemsize} bytes, not {view.itemsize}")
    return view.len // itemsize


cdef uint64_t bits_of(double value):
    """Return the bit pattern of a double."""
    cdef uint64_t bits
    memcpy(&bits, &value, sizeof(bits))
    return bits


@cython.final
cdef class Shape:
    """What a trial compares its words with; the header of the kernels has the equations.

    A shape without slopes is a table; with slopes it has `low_bits` below the cell, or, if they are 0, a real
    fraction, scaled by `factor` / 2**`point` and rounded. It is public: nothing drawn is kept in it.

    Parameters
    ----------
    thresholds : sequence of int
        t_1 <= t_2 <= ..., each below 2**63: a word reaches cell j with probability 1 - t_j / 2**63.
    slopes : sequence of sequences of float, optional
        Row d has the coefficient c_(d+1) of every cell, 0 to the number of thresholds.
    low_bits, factor, point : int
        1 to 52, or 0 with a factor below 2**57 and 8 <= point <= 63.
    path : str, optional
        One of `medcrypt._ext.cpu.paths`; by default `medcrypt._ext.cpu.path`. All decide alike.
    margin : float, optional
        Distance from the probability below which a trial is undecided. For tests, which widen it.

    Raises
    ------
    ValueError
        A parameter is out of bounds.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext.noise import Shape
    >>> fair = Shape([1 << 62])
    >>> values, verdicts = np.empty(3, np.int64), np.empty(3, np.uint8)
    >>> fair.trials(np.array([0, 2**63 + 2, 2**64 - 1], np.uint64), values, verdicts), values.tolist()
    (0, [0, 1, -1])
    """

    cdef noise_shape c_shape
    cdef noise_trials *run
    cdef uint64_t *numbers
    cdef readonly str path
    cdef readonly int words

    def __cinit__(self, thresholds, slopes=(), *, low_bits=0, factor=0, point=0, path=None, margin=None):
        cdef size_t cells = len(thresholds), degree = len(slopes), rows = NOISE_FIXED_ROWS + len(slopes)
        self.path = path_in_use() if path is None else path
        if self.path not in runnable_paths():
            raise ValueError(f"path {path!r}: this processor can run {', '.join(runnable_paths())}")
        self.run = noise_trials_of(self.path.encode())
        self.check(thresholds, slopes, low_bits, factor, point)
        self.words = 3 if degree else 1
        self.c_shape.kind = NOISE_TABLE if not degree else NOISE_CELLS if low_bits else NOISE_REAL
        self.c_shape.cells = cells
        self.c_shape.rows = rows
        self.c_shape.low_bits = low_bits
        self.c_shape.factor = factor
        self.c_shape.point = point
        self.c_shape.margin = NOISE_MARGIN if margin is None else margin
        self.numbers = <uint64_t *>malloc((cells * (rows + 1) + 1) * sizeof(uint64_t))
        if self.numbers is NULL:
            raise MemoryError
        self.c_shape.thresholds = self.numbers
        self.c_shape.flips = self.numbers + cells
        self.fill_rows(thresholds, slopes)

    cdef int check(self, thresholds, slopes, low_bits, factor, point) except -1:
        """Refuse what the kernels do not expect."""
        if any(not 0 <= t < 1 << 63 for t in thresholds) or list(thresholds) != sorted(thresholds):
            raise ValueError("thresholds are non-decreasing, from 0 to 2**63 - 1")
        if len(slopes) > NOISE_DEGREE or any(len(row) != len(thresholds) + 1 for row in slopes):
            raise ValueError(f"at most {NOISE_DEGREE} slopes, each for every cell")
        if slopes and any(not sum(map(abs, column)) <= 8 for column in zip(*slopes)):
            raise ValueError("the slopes of a cell add up to at most 8")
        if slopes and not 1 <= low_bits <= 52 and not (
                low_bits == 0 and 0 < factor < 1 << 57 and 8 <= point <= 63 and len(thresholds) < 127):
            raise ValueError("1 to 52 low bits, or a factor below 2**57 with a point from 8 to 63")
        return 0

    cdef int fill_rows(self, thresholds, slopes) except -1:
        """Lay out, for each threshold, what changes from its cell to the next."""
        cdef size_t j, r, cells = self.c_shape.cells, rows = self.c_shape.rows
        cdef uint64_t before[64]
        cdef uint64_t now
        self.c_shape.start[0] = 0
        self.c_shape.start[1] = <uint64_t>-1  # no word of 63 bits equals it
        for r in range(NOISE_FIXED_ROWS, rows):
            self.c_shape.start[r] = bits_of(slopes[r - NOISE_FIXED_ROWS][0])
        for r in range(rows):
            before[r] = self.c_shape.start[r]
        for j in range(cells):
            self.numbers[j] = thresholds[j]
            for r in range(rows):
                if r == 0:
                    now = j + 1
                elif r == 1:
                    now = thresholds[j]
                else:
                    now = bits_of(slopes[r - NOISE_FIXED_ROWS][j + 1])
                self.numbers[cells + j * rows + r] = before[r] ^ now
                before[r] = now
        return 0

    def __dealloc__(self):
        free(self.numbers)

    def trials(self, words, values, verdicts):
        """Run one trial for each value.

        Parameters
        ----------
        words : ndarray of uint64, shape (words * n,)
            Uniform words: a run of n first ones, then of n second, then of n third ones.
        values : ndarray of int64, shape (n,)
            Takes the values.
        verdicts : ndarray of uint8, shape (n,)
            Takes 0 for rejected, 1 for accepted, 2 for undecided.

        Returns
        -------
        int
            How many trials are undecided.

        Raises
        ------
        ValueError
            The sizes do not fit each other.
        """
        cdef Py_buffer word_view, value_view, verdict_view
        cdef Py_ssize_t n
        cdef size_t undecided
        memset(&word_view, 0, sizeof(word_view))
        memset(&value_view, 0, sizeof(value_view))
        memset(&verdict_view, 0, sizeof(verdict_view))
        try:
            n = take(values, &value_view, PyBUF_WRITABLE, sizeof(int64_t))
            if (take(verdicts, &verdict_view, PyBUF_WRITABLE, 1) != n
                    or take(words, &word_view, 0, sizeof(uint64_t)) != self.words * n):
                raise ValueError(f"{self.words} words and one verdict for each value")
            with nogil:
                self.run(
                    &self.c_shape, <const uint64_t *>word_view.buf, n, <int64_t *>value_view.buf,
                    <uint8_t *>verdict_view.buf)
                undecided = noise_undecided(<const uint8_t *>verdict_view.buf, n)
            return undecided
        finally:
            PyBuffer_Release(&verdict_view)
            PyBuffer_Release(&value_view)
            PyBuffer_Release(&word_view)


def gather(values, verdicts):
    """Move the accepted values to the front, in order.

    Parameters
    ----------
    values : ndarray of int64, shape (n,)
        Values; those behind the returned number are left as they come.
    verdicts : ndarray of uint8, shape (n,)
        1 for accepted; nothing else has its lowest bit set.

    Returns
    -------
    int
        How many were accepted.

    Raises
    ------
    ValueError
        The sizes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext.noise import gather
    >>> values = np.array([7, 8, 9])
    >>> gather(values, np.array([1, 0, 1], np.uint8)), values[:2].tolist()
    (2, [7, 9])
    """
    cdef Py_buffer value_view, verdict_view
    cdef Py_ssize_t n
    cdef size_t count
    memset(&value_view, 0, sizeof(value_view))
    memset(&verdict_view, 0, sizeof(verdict_view))
    try:
        n = take(values, &value_view, PyBUF_WRITABLE, sizeof(int64_t))
        if take(verdicts, &verdict_view, 0, 1) != n:
            raise ValueError("one verdict for each value")
        with nogil:
            count = noise_gather(<int64_t *>value_view.buf, <const uint8_t *>verdict_view.buf, n)
        return count
    finally:
        PyBuffer_Release(&verdict_view)
        PyBuffer_Release(&value_view)
