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
        NOISE_CELLS_MOST
        NOISE_DEGREE
        NOISE_LINES
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
        int on_lines
        double *start_of_line
        double *slope_of_line
        const uint64_t *thresholds
        const uint64_t *flips
        uint64_t *start
        unsigned levels
        const uint64_t *tree
        const uint64_t *columns
        unsigned low_bits
        uint64_t factor
        unsigned point
        double margin

    ctypedef void noise_trials(
        const noise_shape *shape, const uint64_t *words, size_t trials, int64_t *values,
        uint8_t *verdicts) noexcept nogil

    size_t noise_runs(const noise_shape *shape) nogil
    noise_trials *noise_trials_of(const char *path)
    size_t noise_gather(int64_t *values, const uint8_t *verdicts, size_t trials) nogil
    size_t noise_undecided(const uint8_t *verdicts, size_t trials) nogil


cdef extern from "ctr.h":
    const char *CTR_CAPSULE

    ctypedef struct ctr_counter:
        uint64_t high
        uint64_t low

    ctypedef struct ctr_source:
        pass

cdef extern from "draw.h":
    size_t NOISE_OPEN
    size_t noise_draw(
        noise_trials *run, const noise_shape *shape, const ctr_source *source, ctr_counter first,
        size_t trials, int64_t *out, size_t wanted) nogil

cdef extern from "Python.h":
    void *PyCapsule_GetPointer(object capsule, const char *name) except NULL


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

    A shape without slopes and lines is a table; with them it has `low_bits` below the cell, or, if they are
    0, a real fraction, scaled by `factor` / 2**`point` and rounded. It is public: nothing drawn is kept.

    Parameters
    ----------
    thresholds : sequence of int
        t_1 <= t_2 <= ..., at most 127, each below 2**63: a word reaches cell j with probability
        1 - t_j / 2**63.
    slopes : sequence of sequences of float, optional
        Row d has the coefficient c_(d+1) of every cell, 0 to the number of thresholds.
    lines : sequence of one or two pairs of float, optional
        Instead of slopes: pair d is (a, b), both not negative, and c_(d+1) of cell y is a + b y.
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
    cdef uint64_t *nodes
    cdef readonly str path
    cdef readonly int words

    def __cinit__(
            self, thresholds, slopes=(), *, lines=(), low_bits=0, factor=0, point=0, path=None, margin=None):
        cdef size_t cells = len(thresholds)
        cdef bint narrow = not slopes and not lines
        self.path = path_in_use() if path is None else path
        if self.path not in runnable_paths():
            raise ValueError(f"path {path!r}: this processor can run {', '.join(runnable_paths())}")
        self.run = noise_trials_of(self.path.encode())
        self.check(thresholds, slopes, lines, low_bits, factor, point)
        self.c_shape.kind = NOISE_TABLE if narrow else NOISE_CELLS if low_bits else NOISE_REAL
        self.words = noise_runs(&self.c_shape)
        self.c_shape.cells = cells
        self.c_shape.rows = NOISE_FIXED_ROWS + len(slopes)
        self.c_shape.on_lines = len(lines) > 0
        for d, (start, slope) in enumerate(lines):
            self.c_shape.start_of_line[<size_t>d] = start
            self.c_shape.slope_of_line[<size_t>d] = slope
        self.c_shape.low_bits = low_bits
        self.c_shape.factor = factor
        self.c_shape.point = point
        self.c_shape.margin = NOISE_MARGIN if margin is None else margin
        self.fill_rows(thresholds, slopes)
        self.fill_tree(thresholds, slopes)

    cdef int check(self, thresholds, slopes, lines, low_bits, factor, point) except -1:
        """Refuse what the kernels do not expect."""
        cells = len(thresholds)
        if any(not 0 <= t < 1 << 63 for t in thresholds) or list(thresholds) != sorted(thresholds):
            raise ValueError("thresholds are non-decreasing, from 0 to 2**63 - 1")
        if cells > NOISE_CELLS_MOST:
            raise ValueError(f"at most {NOISE_CELLS_MOST} thresholds")
        if slopes and lines or len(slopes) > NOISE_DEGREE or len(lines) > NOISE_LINES:
            raise ValueError(f"at most {NOISE_DEGREE} slopes, or {NOISE_LINES} lines")
        if any(len(row) != cells + 1 for row in slopes) or any(not (a >= 0 and b >= 0) for a, b in lines):
            raise ValueError("slopes are for every cell, and lines not negative")
        columns = [*zip(*slopes), *([a + b * y for a, b in lines] for y in (0, cells))]
        if any(not sum((d + 1) * abs(c) for d, c in enumerate(column)) <= 4 for column in columns):
            raise ValueError("the slopes of a cell, c_d taken d times, add up to at most 4")
        if (slopes or lines) and not 1 <= low_bits <= 52 and not (
                low_bits == 0 and 0 < factor < 1 << 57 and 8 <= point <= 63):
            raise ValueError("1 to 52 low bits, or a factor below 2**57 with a point from 8 to 63")
        return 0

    cdef int fill_rows(self, thresholds, slopes) except -1:
        """Lay out, for each threshold, what changes from its cell to the next."""
        cdef size_t j, r, cells = self.c_shape.cells, rows = self.c_shape.rows
        cdef uint64_t before[64]
        cdef uint64_t now
        self.numbers = <uint64_t *>malloc((cells * (rows + 1) + 1) * sizeof(uint64_t))
        if self.numbers is NULL:
            raise MemoryError
        self.c_shape.thresholds = self.numbers
        self.c_shape.flips = self.numbers + cells
        for r in range(rows):
            before[r] = self.c_shape.start[r] = self.row(thresholds, slopes, r, 0)
        for j in range(cells):
            self.numbers[j] = thresholds[j]
            for r in range(rows):
                now = self.row(thresholds, slopes, r, j + 1)
                self.numbers[cells + j * rows + r] = before[r] ^ now
                before[r] = now
        return 0

    cdef uint64_t row(self, thresholds, slopes, size_t r, size_t cell) except? 7:
        """Return what a row has in a cell: its number, its threshold, or a coefficient."""
        if r == 0:
            return cell
        if r == 1:
            return thresholds[cell - 1] if cell else <uint64_t>-1  # no word of 63 bits equals it
        return bits_of(slopes[r - NOISE_FIXED_ROWS][cell])

    cdef int fill_tree(self, thresholds, slopes) except -1:
        """Lay out the thresholds as a search tree, level by level, and the rows by cells."""
        cdef unsigned level
        cdef size_t i, r, cell, place, cells = self.c_shape.cells, rows = self.c_shape.rows, width
        self.c_shape.levels = max(4, len(thresholds).bit_length())
        width = <size_t>1 << self.c_shape.levels
        self.nodes = <uint64_t *>malloc((rows + 1) * width * sizeof(uint64_t))
        if self.nodes is NULL:
            raise MemoryError
        self.c_shape.tree = self.nodes
        self.c_shape.columns = self.nodes + width
        self.nodes[0] = <uint64_t>-1
        for level in range(self.c_shape.levels):
            for i in range(<size_t>1 << level):
                place = ((2 * i + 1) << (self.c_shape.levels - 1 - level)) - 1
                self.nodes[(<size_t>1 << level) + i] = thresholds[place] if place < cells else <uint64_t>-1
        for r in range(rows):
            for cell in range(width):
                self.nodes[(r + 1) * width + cell] = self.row(thresholds, slopes, r, min(cell, cells))
        return 0

    def __dealloc__(self):
        free(self.numbers)
        free(self.nodes)

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

    def draw(self, stream, counter, Py_ssize_t trials, out):
        """Run trials with words straight from a key stream, and keep the accepted values.

        They are those of `trials` with the words that ``stream.fill(counter, words)`` writes.

        Parameters
        ----------
        stream : AesCtr
            Gives the words, from one block on that nobody else uses.
        counter : int
            The number of that block.
        trials : int
            How many; even for more than one word a trial.
        out : ndarray of int64
            Takes the values, in order, as far as there is room for them.

        Returns
        -------
        int or None
            How many values were written. None where that cannot be told here: the stream is not made in C,
            or a trial is undecided; then `out` holds nothing drawn and the caller runs `trials` on the words.

        Raises
        ------
        ValueError
            `trials` is negative or odd, or the counter would pass 2**128.

        Examples
        --------
        >>> import numpy as np
        >>> from medcrypt._ext.aes import AesCtr
        >>> from medcrypt._ext.noise import Shape
        >>> Shape([1 << 62]).draw(AesCtr(bytes(32)), 0, 10, np.empty(4, np.int64)) in (4, None)
        True
        """
        cdef Py_buffer view
        cdef ctr_counter first
        cdef const ctr_source *source
        cdef size_t drawn, wanted
        capsule = stream.capsule()
        if capsule is None:
            return None
        source = <const ctr_source *>PyCapsule_GetPointer(capsule, CTR_CAPSULE)
        if trials < 0 or (trials & 1 and self.words > 1):
            raise ValueError("trials are not negative, and even where they take more than one word")
        if counter < 0 or counter + (self.words * trials + 1) // 2 > 1 << 128 or counter >> 128:
            raise ValueError("the counter runs from 0 to 2**128 - 1 and does not wrap")
        first.high, first.low = counter >> 64, counter & 0xFFFFFFFFFFFFFFFF
        memset(&view, 0, sizeof(view))
        try:
            wanted = take(out, &view, PyBUF_WRITABLE, sizeof(int64_t))
            with nogil:
                drawn = noise_draw(
                    self.run, &self.c_shape, source, first, trials, <int64_t *>view.buf, wanted)
            return None if drawn == NOISE_OPEN else drawn
        finally:
            PyBuffer_Release(&view)


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
