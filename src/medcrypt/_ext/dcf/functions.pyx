# cython: language_level=3, boundscheck=False, wraparound=False
"""Batches of two-party comparison and point functions over arrays. Keys and values are the caller's."""

cimport cython
from cpython.buffer cimport PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt._ext.cpu.detect import paths as runnable_paths
from medcrypt._ext.dcf.portable import PortableFunction

cdef extern from "dcf.h":
    enum:
        DCF_KEY
        DCF_SEED
        DCF_BLOCK

    enum dcf_kind:
        DCF_POINT
        DCF_COMPARISON

    struct dcf_kernels:
        pass

    ctypedef struct dcf_function:
        pass

    const dcf_kernels *dcf_kernels_of(const char *path)
    size_t dcf_block_size(dcf_kind kind, unsigned bits, unsigned payload)
    dcf_function *dcf_new(
        const dcf_kernels *kernels, dcf_kind kind, unsigned bits, unsigned payload, const uint8_t *key)
    void dcf_free(dcf_function *function)
    void dcf_generate(
        const dcf_function *function, size_t count, const uint64_t *alpha, const uint64_t *beta,
        const uint8_t *roots, uint8_t *key0, uint8_t *key1) nogil
    void dcf_evaluate(
        const dcf_function *function, int party, size_t count, const uint8_t *key, const uint64_t *x,
        uint64_t *values) nogil

__all__ = ["BLOCK", "SharedFunction"]

BLOCK = DCF_BLOCK


cdef Py_ssize_t take(object array, Py_buffer *view, int flags, Py_ssize_t itemsize) except -1:
    """Open a C-contiguous buffer of items of that size, and return how many they are."""
    PyObject_GetBuffer(array, view, PyBUF_ND | flags)
    if view.itemsize != itemsize:
        raise ValueError(f"the items have {itemsize} bytes, not {view.itemsize}")
    return view.len // itemsize


@cython.final
cdef class SharedFunction:
    """Functions on n-bit numbers whose values two parties hold in shares, as `dcf.h` specifies them.

    A comparison is beta where x < alpha, else 0; a point function is beta where x = alpha, else 0. The
    parties' values add up to it modulo 2**(8 payload). One object serves any number of functions of its
    shape; it is immutable, so threads may share it, and the GIL is released while the kernels run.

    Parameters
    ----------
    kind : {"comparison", "point"}
        Which.
    bits : int
        n, 1 to 64.
    payload : {4, 8}
        Bytes of beta and of the values.
    key : bytes
        16 bytes, the public key of the hash: fresh for each session of a dealer, the same for both parties.
    path : str, optional
        One of `medcrypt._ext.cpu.paths`; by default `medcrypt._ext.cpu.path`. Every path gives the same
        bytes.

    Raises
    ------
    ValueError
        A parameter is out of range, or this processor cannot run that path.

    Examples
    --------
    >>> import numpy as np, os
    >>> from medcrypt._ext.dcf import SharedFunction
    >>> f = SharedFunction("comparison", 8, 8, os.urandom(16))
    >>> keys = [np.empty(f.key_size(3), np.uint8) for _ in range(2)]
    >>> roots = np.frombuffer(os.urandom(16 * 32), np.uint8)
    >>> f.generate(np.full(3, 100, np.uint64), np.full(3, 7, np.uint64), roots, *keys)
    >>> x, parts = np.array([99, 100, 255], np.uint64), [np.empty(3, np.uint64) for _ in range(2)]
    >>> for party in range(2):
    ...     f.evaluate(party, keys[party], x, parts[party])
    >>> (parts[0] + parts[1]).tolist()
    [7, 0, 0]
    """

    cdef dcf_function *c_function
    cdef object portable
    cdef dcf_kind c_kind
    cdef readonly str path, kind
    cdef readonly int bits, payload

    def __cinit__(self, kind, bits, payload, key, path=None):
        cdef const dcf_kernels *kernels
        cdef Py_buffer view
        self.path = path_in_use() if path is None else path
        if self.path not in runnable_paths():
            raise ValueError(f"path {path!r}: this processor can run {', '.join(runnable_paths())}")
        if kind not in ("comparison", "point") or not 1 <= bits <= 64 or payload not in (4, 8):
            raise ValueError("a comparison or point function, of 1 to 64 bits, with 4 or 8 bytes of payload")
        self.kind, self.bits, self.payload = kind, bits, payload
        self.c_kind = DCF_COMPARISON if kind == "comparison" else DCF_POINT
        PyObject_GetBuffer(key, &view, PyBUF_ND)
        try:
            if view.len != DCF_KEY:
                raise ValueError(f"a key has {DCF_KEY} bytes, not {view.len}")
            kernels = dcf_kernels_of(self.path.encode())
            if kernels is NULL:
                self.portable = PortableFunction(kind, bits, payload, bytes(key))
                return
            self.c_function = dcf_new(kernels, self.c_kind, bits, payload, <const uint8_t *>view.buf)
            if self.c_function is NULL:
                raise MemoryError
        finally:
            PyBuffer_Release(&view)

    def __dealloc__(self):
        dcf_free(self.c_function)

    def __repr__(self):
        return f"SharedFunction({self.kind!r}, bits={self.bits}, payload={self.payload}, path={self.path!r})"

    def key_size(self, count):
        """Return the bytes of one party's key for a number of functions: whole blocks of 16.

        Parameters
        ----------
        count : int
            How many functions.

        Returns
        -------
        int
            Bytes.
        """
        return (count + DCF_BLOCK - 1) // DCF_BLOCK * dcf_block_size(self.c_kind, self.bits, self.payload)

    def generate(self, alpha, beta, roots, key0, key1):
        """Make both parties' keys.

        Parameters
        ----------
        alpha, beta : ndarray of uint64, shape (count,)
            Taken modulo 2**bits and 2**(8 payload).
        roots : ndarray of uint8
            Uniform and never used again: 32 bytes for each place of every block, whose bits are the seeds of
            party 0 and party 1. The caller wipes them.
        key0, key1 : ndarray of uint8
            Take the keys: `key_size(count)` bytes each.

        Raises
        ------
        ValueError
            The sizes do not fit each other, or an array is not C-contiguous.
        """
        cdef Py_buffer alphas, betas, seeds, first, second
        cdef Py_ssize_t count
        memset(&alphas, 0, sizeof(alphas))
        memset(&betas, 0, sizeof(betas))
        memset(&seeds, 0, sizeof(seeds))
        memset(&first, 0, sizeof(first))
        memset(&second, 0, sizeof(second))
        try:
            count = take(alpha, &alphas, 0, sizeof(uint64_t))
            size, places = self.key_size(count), -(-count // DCF_BLOCK) * DCF_BLOCK
            if (take(beta, &betas, 0, sizeof(uint64_t)) != count
                    or take(roots, &seeds, 0, 1) != 2 * DCF_SEED * places
                    or take(key0, &first, PyBUF_WRITABLE, 1) != size
                    or take(key1, &second, PyBUF_WRITABLE, 1) != size):
                raise ValueError("one alpha, one beta, two roots and a place in the keys for each function")
            if self.portable is not None:
                self.portable.generate(alpha, beta, roots, key0, key1)
                return
            with nogil:
                dcf_generate(
                    self.c_function, count, <const uint64_t *>alphas.buf, <const uint64_t *>betas.buf,
                    <const uint8_t *>seeds.buf, <uint8_t *>first.buf, <uint8_t *>second.buf)
        finally:
            PyBuffer_Release(&second)
            PyBuffer_Release(&first)
            PyBuffer_Release(&seeds)
            PyBuffer_Release(&betas)
            PyBuffer_Release(&alphas)

    def evaluate(self, int party, key, x, values):
        """Compute one party's values.

        Parameters
        ----------
        party : {0, 1}
            Whose key it is.
        key : ndarray of uint8
            `key_size(count)` bytes.
        x : ndarray of uint64, shape (count,)
            Taken modulo 2**bits; the same for both parties.
        values : ndarray of uint64, shape (count,)
            Takes the values, below 2**(8 payload).

        Raises
        ------
        ValueError
            The party is neither, the sizes do not fit each other, or an array is not C-contiguous.
        """
        cdef Py_buffer keys, points, results
        cdef Py_ssize_t count
        if party not in (0, 1):
            raise ValueError("the party is 0 or 1")
        memset(&keys, 0, sizeof(keys))
        memset(&points, 0, sizeof(points))
        memset(&results, 0, sizeof(results))
        try:
            count = take(x, &points, 0, sizeof(uint64_t))
            if (take(values, &results, PyBUF_WRITABLE, sizeof(uint64_t)) != count
                    or take(key, &keys, 0, 1) != self.key_size(count)):
                raise ValueError("a key and a value for each x")
            if self.portable is not None:
                self.portable.evaluate(party, key, x, values)
                return
            with nogil:
                dcf_evaluate(
                    self.c_function, party, count, <const uint8_t *>keys.buf, <const uint64_t *>points.buf,
                    <uint64_t *>results.buf)
        finally:
            PyBuffer_Release(&results)
            PyBuffer_Release(&points)
            PyBuffer_Release(&keys)
