# cython: language_level=3, boundscheck=False, wraparound=False
"""Orbits of chaotic maps in fixed point, many lanes at a time, and their cycles."""

from cpython.buffer cimport PyBUF_ND, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy, memset

from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt._ext.cpu.detect import paths as runnable_paths

__all__ = ["KINDS", "cycle", "orbit"]

cdef extern from "maps.h":
    enum:
        MAPS_KINDS
    const int *maps_dimensions
    const int *maps_parameters

    ctypedef void maps_advance_32(
        uint32_t *state, const uint32_t *q, uint32_t *spare, size_t lanes, uint64_t steps) noexcept nogil
    ctypedef void maps_advance_64(
        uint64_t *state, const uint64_t *q, uint64_t *spare, size_t lanes, uint64_t steps) noexcept nogil

    struct maps_kernels:
        maps_advance_32 **advance_32
        maps_advance_64 **advance_64

    const maps_kernels *maps_kernels_of(const char *path)

# In the order of `enum maps_kind`.
KINDS = (
    "logistic", "tent", "piecewise", "sine", "henon", "cat", "cat3", "baker", "lorenz", "chen", "coupling",
    "lattice",
)


cdef class Lanes:
    """The state and parameters of the lanes of one map, checked."""

    cdef Py_buffer state, parameters
    cdef const maps_kernels *kernels
    cdef int kind
    cdef size_t lanes
    cdef void *spare

    def __cinit__(self, kind, state, parameters, path):
        if kind not in KINDS:
            raise ValueError(f"unknown map {kind!r}; one of {', '.join(KINDS)}")
        self.kind = KINDS.index(kind)
        name = path_in_use() if path is None else path
        if name not in runnable_paths():
            raise ValueError(f"path {name!r}: this processor can run {', '.join(runnable_paths())}")
        self.kernels = maps_kernels_of(name.encode())
        PyObject_GetBuffer(state, &self.state, PyBUF_ND | PyBUF_WRITABLE)
        PyObject_GetBuffer(parameters, &self.parameters, PyBUF_ND)
        if self.state.itemsize not in (4, 8) or self.parameters.itemsize != self.state.itemsize:
            raise ValueError("state and parameters are words of 32 bits, or of 64")
        if self.state.ndim != 2 or self.state.shape[0] != maps_dimensions[self.kind]:
            raise ValueError(f"the state has the shape ({maps_dimensions[self.kind]}, lanes)")
        self.lanes = self.state.shape[1]
        if (self.parameters.ndim != 2 or self.parameters.shape[0] != maps_parameters[self.kind]
                or <size_t>self.parameters.shape[1] != self.lanes):
            raise ValueError(f"the parameters have the shape ({maps_parameters[self.kind]}, lanes)")
        self.spare = malloc(self.lanes * self.state.itemsize + 1)
        if self.spare is NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.spare)
        PyBuffer_Release(&self.parameters)
        PyBuffer_Release(&self.state)

    cdef void advance(self, void *state, uint64_t steps) noexcept nogil:
        if self.state.itemsize == 4:
            self.kernels.advance_32[self.kind](
                <uint32_t *>state, <const uint32_t *>self.parameters.buf, <uint32_t *>self.spare, self.lanes,
                steps)
        else:
            self.kernels.advance_64[self.kind](
                <uint64_t *>state, <const uint64_t *>self.parameters.buf, <uint64_t *>self.spare, self.lanes,
                steps)


def orbit(kind, state, parameters, out, *, uint64_t every=1, path=None):
    """Advance a map, and write down where it comes to.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    state : ndarray of uint32 or uint64, shape (dimensions, lanes)
        Where the lanes are; left where they come to.
    parameters : ndarray of the same dtype, shape (parameters, lanes)
        In fixed point; the header of the kernels has the equations.
    out : ndarray of the same dtype, shape (samples, dimensions, lanes)
        Takes the state after every `every` steps.
    every : int, optional
        Steps between two samples.
    path : str, optional
        One of `medcrypt._ext.cpu.paths`; all give the same words.

    Raises
    ------
    ValueError
        Another dtype or shape, an unknown map or path, or `every` is 0.

    Examples
    --------
    >>> import numpy as np
    >>> from medcrypt._ext.chaos.maps import orbit
    >>> out = np.empty((3, 1, 1), np.uint32)
    >>> orbit("tent", np.array([[5]], np.uint32), np.array([[1 << 31]], np.uint32), out)
    >>> out.ravel().tolist()
    [5, 5, 5]
    """
    cdef Lanes lanes = Lanes(kind, state, parameters, path)
    cdef Py_buffer samples
    cdef size_t _i, count
    cdef char *to
    if every < 1:
        raise ValueError("at least one step lies between two samples")
    PyObject_GetBuffer(out, &samples, PyBUF_ND | PyBUF_WRITABLE)
    try:
        if (samples.itemsize != lanes.state.itemsize or samples.ndim != 3
                or samples.shape[1] != lanes.state.shape[0] or samples.shape[2] != lanes.state.shape[1]):
            raise ValueError("out has the dtype of the state and the shape (samples, dimensions, lanes)")
        count, to = samples.shape[0], <char *>samples.buf
        with nogil:
            for _i in range(count):
                lanes.advance(lanes.state.buf, every)
                memcpy(to, lanes.state.buf, lanes.state.len)
                to += lanes.state.len
    finally:
        PyBuffer_Release(&samples)


def cycle(kind, state, parameters, uint64_t most, *, path=None):
    """Find the cycle that an orbit runs into (Brent, BIT 20, 1980).

    Parameters
    ----------
    kind, state, parameters, path
        As for `orbit`; all lanes count as one state.
    most : int
        Steps after which to give up, about.

    Returns
    -------
    tuple of int, or None
        How many steps lead to the cycle, and its length.
    """
    cdef Lanes lanes = Lanes(kind, state, parameters, path)
    cdef size_t size = lanes.state.len
    cdef uint64_t power = 1, length = 1, lead = 0, taken = 1
    cdef bint found = True
    cdef char *memory = <char *>malloc(2 * size + 1)
    if memory is NULL:
        raise MemoryError
    cdef char *slow = memory
    cdef char *fast = memory + size
    try:
        with nogil:
            memcpy(slow, lanes.state.buf, size)
            memcpy(fast, lanes.state.buf, size)
            lanes.advance(fast, 1)
            while memcmp(slow, fast, size) != 0:
                if taken >= most:
                    found = False
                    break
                if power == length:
                    memcpy(slow, fast, size)
                    power *= 2
                    length = 0
                lanes.advance(fast, 1)
                length += 1
                taken += 1
            if found:
                memcpy(slow, lanes.state.buf, size)
                memcpy(fast, lanes.state.buf, size)
                lanes.advance(fast, length)
                while memcmp(slow, fast, size) != 0:
                    lanes.advance(slow, 1)
                    lanes.advance(fast, 1)
                    lead += 1
        return (lead, length) if found else None
    finally:
        memset(memory, 0, 2 * size)
        free(memory)
