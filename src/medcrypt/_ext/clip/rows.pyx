# cython: language_level=3, boundscheck=False, wraparound=False
"""Rows of doubles, and what clipping asks of them; the header has the equations."""

from cpython.buffer cimport (
    PyBUF_FORMAT, PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport int64_t
from libc.string cimport memset

__all__ = ["add_on_lattice", "outer_squares", "scaled", "shrinking_factors", "squares"]

cdef extern from "clip.h":
    void clip_squares(const double *x, size_t rows, size_t width, double *out) nogil
    void clip_outer_squares(
        const double *x, size_t width_x, const double *y, size_t width_y, int bias, size_t rows,
        double *out) nogil
    int clip_factors(const double *squares, size_t rows, double clip, double *out) nogil
    void clip_scaled(
        const double *x, const double *factors, size_t rows, size_t width, double *out, double *sums) nogil
    void clip_add_on_lattice(
        int64_t *integers, double *sums, size_t size, double per_step, double unit) nogil


cdef class Opened:
    """Buffers of an argument list, all of which are released when this goes."""

    cdef Py_buffer views[4]
    cdef int count

    def __cinit__(self):
        memset(self.views, 0, sizeof(self.views))

    cdef Py_buffer *take(self, array, int dimensions, bint writable, bytes kinds) except NULL:
        """Open a C-contiguous buffer of items of 8 bytes of one of these kinds."""
        cdef Py_buffer *view = &self.views[self.count]
        PyObject_GetBuffer(array, view, PyBUF_ND | PyBUF_FORMAT | (PyBUF_WRITABLE if writable else 0))
        self.count += 1
        if view.ndim != dimensions or view.itemsize != 8 or <bytes>view.format not in kinds.split():
            raise ValueError(f"an array of {dimensions} dimensions and items {kinds.decode()} is needed")
        return view

    def __dealloc__(self):
        cdef int i
        for i in range(self.count):
            PyBuffer_Release(&self.views[i])


def squares(x, out):
    """Write upper bounds of the sums of squares of rows.

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        C-contiguous.
    out : ndarray of float64, shape (n,)
        Takes the bounds; not finite where a row is not, or too long.

    Raises
    ------
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext import clip
    >>> out = np.empty(2)
    >>> clip.squares(np.array([[3.0, 4.0], [0.0, 2.0]]), out), out.round(9).tolist()
    (None, [25.0, 4.0])
    """
    cdef Opened opened = Opened()
    cdef Py_buffer *rows = opened.take(x, 2, False, b"d")
    cdef Py_buffer *target = opened.take(out, 1, True, b"d")
    if target.shape[0] != rows.shape[0]:
        raise ValueError("one sum for each row")
    with nogil:
        clip_squares(<const double *>rows.buf, rows.shape[0], rows.shape[1], <double *>target.buf)


def outer_squares(x, y, out, *, bint bias):
    """Write upper bounds of the squared norms of the outer products of rows.

    Parameters
    ----------
    x, y : ndarray of float64, shapes (n, k) and (n, l)
        C-contiguous.
    out : ndarray of float64, shape (n,)
        Takes the bounds; not finite where a row is not, or too long.
    bias : bool
        Whether y itself counts, too.

    Raises
    ------
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext import clip
    >>> out = np.empty(1)
    >>> clip.outer_squares(np.array([[3.0, 4.0]]), np.array([[2.0]]), out, bias=True), out.round(9).tolist()
    (None, [104.0])
    """
    cdef Opened opened = Opened()
    cdef Py_buffer *left = opened.take(x, 2, False, b"d")
    cdef Py_buffer *right = opened.take(y, 2, False, b"d")
    cdef Py_buffer *target = opened.take(out, 1, True, b"d")
    if not left.shape[0] == right.shape[0] == target.shape[0]:
        raise ValueError("one norm for each pair of rows")
    with nogil:
        clip_outer_squares(
            <const double *>left.buf, left.shape[1], <const double *>right.buf, right.shape[1], bias,
            left.shape[0], <double *>target.buf)


def shrinking_factors(squares, double clip, out):
    """Write factors of at most min(1, clip / norm), from upper bounds of squared norms.

    Parameters
    ----------
    squares : ndarray of float64, shape (n,)
        Upper bounds; may be `out`.
    clip : float
        From 1e-100 to 1e100.
    out : ndarray of float64, shape (n,)
        Takes the factors: 1 for norms within the clip.

    Returns
    -------
    bool
        Whether all squares are finite; otherwise the factors mean nothing.

    Raises
    ------
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext import clip
    >>> out = np.empty(2)
    >>> clip.shrinking_factors(np.array([16.0, 0.25]), 1.0, out), out.round(9).tolist()
    (True, [0.25, 1.0])
    """
    cdef Opened opened = Opened()
    cdef Py_buffer *given = opened.take(squares, 1, False, b"d")
    cdef Py_buffer *target = opened.take(out, 1, True, b"d")
    cdef int finite
    if given.shape[0] != target.shape[0]:
        raise ValueError("one factor for each square")
    with nogil:
        finite = clip_factors(<const double *>given.buf, given.shape[0], clip, <double *>target.buf)
    return finite == 1


def scaled(x, factors, out, sums):
    """Write rows times their factors, and what they add up to.

    Parameters
    ----------
    x : ndarray of float64, shape (n, k)
        C-contiguous.
    factors : ndarray of float64, shape (n,)
        One for each row.
    out : ndarray of float64, shape (n, k)
        Takes the products, each rounded once; it does not overlap with `x`.
    sums : ndarray of float64, shape (k,)
        Takes the sums of the products over the rows, added in their order.

    Raises
    ------
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext import clip
    >>> out, sums = np.empty((2, 2)), np.empty(2)
    >>> clip.scaled(np.ones((2, 2)), np.array([2.0, 0.5]), out, sums), out.tolist(), sums.tolist()
    (None, [[2.0, 2.0], [0.5, 0.5]], [2.5, 2.5])
    """
    cdef Opened opened = Opened()
    cdef Py_buffer *rows = opened.take(x, 2, False, b"d")
    cdef Py_buffer *by = opened.take(factors, 1, False, b"d")
    cdef Py_buffer *target = opened.take(out, 2, True, b"d")
    cdef Py_buffer *totals = opened.take(sums, 1, True, b"d")
    if (not rows.shape[0] == by.shape[0] == target.shape[0]
            or not rows.shape[1] == target.shape[1] == totals.shape[0]):
        raise ValueError("one factor for each row, as many rows, and one sum for each column")
    with nogil:
        clip_scaled(
            <const double *>rows.buf, <const double *>by.buf, rows.shape[0], rows.shape[1],
            <double *>target.buf, <double *>totals.buf)


def add_on_lattice(integers, sums, double per_step, double unit):
    """Round sums to multiples of a lattice's step, add integers of noise, and scale the result.

    Parameters
    ----------
    integers : ndarray of int64, shape (d,)
        Noise; takes the noise and the rounded sums together, which are below 2**62.
    sums : ndarray of float64, shape (d,)
        Takes the integers times the unit. A sum s counts as round(per_step * s), halves rounded to even.
    per_step, unit : float
        The step's inverse, and what one step counts in the result.

    Raises
    ------
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext import clip
    >>> sums = np.array([1.0, 0.3])
    >>> clip.add_on_lattice(np.array([-1, 2]), sums, 4.0, 0.5), sums.tolist()
    (None, [1.5, 1.5])
    """
    cdef Opened opened = Opened()
    cdef Py_buffer *noisy = opened.take(integers, 1, True, b"l q")
    cdef Py_buffer *target = opened.take(sums, 1, True, b"d")
    if noisy.shape[0] != target.shape[0]:
        raise ValueError("one integer for each sum")
    with nogil:
        clip_add_on_lattice(
            <int64_t *>noisy.buf, <double *>target.buf, target.shape[0], per_step, unit)
