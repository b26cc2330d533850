# cython: language_level=3, boundscheck=False, wraparound=False
"""The key stream of AES-256 in counter mode, into anything that offers its bytes as one block of memory."""

cimport cython
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

from medcrypt._ext.aes.ctr_portable import PortableCtr
from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt._ext.cpu.detect import paths as runnable_paths

__all__ = ["AesCtr"]

cdef extern from "Python.h":
    enum:
        PyBUF_READ
        PyBUF_WRITE
    object PyMemoryView_FromMemory(char *memory, Py_ssize_t size, int flags)
    object PyNumber_Index(object number)
    object PyCapsule_New(void *pointer, const char *name, void *destructor)

cdef extern from "ctr.h":
    enum:
        CTR_BLOCK
        CTR_KEY

    struct ctr_kernels:
        pass

    ctypedef struct ctr_key:
        pass

    ctypedef struct ctr_counter:
        uint64_t high
        uint64_t low

    const ctr_kernels *ctr_kernels_of(const char *path)
    ctr_key *ctr_key_new(const ctr_kernels *kernels, const uint8_t *secret)
    void ctr_key_free(ctr_key *key)
    ctypedef enum ctr_use:
        CTR_WRITE
        CTR_ADD_32
        CTR_SUBTRACT_32
        CTR_ADD_64
        CTR_SUBTRACT_64

    void ctr_apply(const ctr_key *key, ctr_counter first, uint8_t *out, size_t size, ctr_use use) nogil

    const char *CTR_CAPSULE

    ctypedef struct ctr_source:
        const ctr_key *key
        void (*apply)(const ctr_key *key, ctr_counter first, uint8_t *out, size_t size, ctr_use use) nogil


cdef ctr_use use_of_words(const Py_buffer *view, bint subtract) except *:
    """Return what to do with words of the buffer's type, or refuse the type."""
    form = view.format.decode() if view.format is not NULL else "B"
    if form.lstrip("@=<") not in ("i", "I", "l", "L", "q", "Q") or view.itemsize not in (4, 8):
        raise TypeError("words are little-endian integers of 32 or 64 bits")
    if view.itemsize == 4:
        return CTR_SUBTRACT_32 if subtract else CTR_ADD_32
    return CTR_SUBTRACT_64 if subtract else CTR_ADD_64


@cython.final
cdef class AesCtr:
    """The key stream of AES-256 in counter mode (NIST SP 800-38A, section 6.5) under one key.

    Block i of the stream is AES(key, i), i being a 128-bit big-endian integer. What the counter means is
    the caller's affair: every part of the stream must be used once. The object is immutable, so threads may
    share it; the GIL is released while the kernels run.

    Parameters
    ----------
    key : bytes-like
        32 bytes. The key schedule lives in C memory and is wiped when the object goes.
    path : str, optional
        One of `medcrypt._ext.cpu.paths`; by default `medcrypt._ext.cpu.path`. Every path gives the same
        bytes.

    Raises
    ------
    ValueError
        The key does not have 32 bytes, or this processor cannot run that path.

    Examples
    --------
    >>> from medcrypt._ext import aes
    >>> stream, out = aes.AesCtr(bytes(32)), bytearray(20)
    >>> stream.fill(0, out), out[:4].hex()
    (20, 'dc95c078')
    """

    cdef ctr_key *c_key
    cdef ctr_source source
    cdef object portable
    cdef readonly str path

    def __cinit__(self, key, path=None):
        cdef Py_buffer view
        self.path = path_in_use() if path is None else path
        if self.path not in runnable_paths():
            raise ValueError(f"path {path!r}: this processor can run {', '.join(runnable_paths())}")
        PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
        try:
            if view.len != CTR_KEY:
                raise ValueError(f"a key has {CTR_KEY} bytes, not {view.len}")
            self.take_key(<uint8_t *>view.buf)
        finally:
            PyBuffer_Release(&view)

    cdef int take_key(self, uint8_t *secret) except -1:
        cdef const ctr_kernels *kernels = ctr_kernels_of(self.path.encode())
        if kernels is NULL:
            self.portable = PortableCtr(PyMemoryView_FromMemory(<char *>secret, CTR_KEY, PyBUF_READ))
            return 0
        self.c_key = ctr_key_new(kernels, secret)
        if self.c_key is NULL:
            raise MemoryError
        self.source.key, self.source.apply = self.c_key, ctr_apply
        return 0

    def __dealloc__(self):
        ctr_key_free(self.c_key)

    def __repr__(self):
        return f"AesCtr(path={self.path!r})"

    def __reduce__(self):
        raise TypeError("an AesCtr holds a key: it is neither pickled nor copied")

    def capsule(self):
        """Return what kernels of other families draw from; it must not outlive this object.

        Returns
        -------
        capsule or None
            Of a `ctr_source` (ctr.h); None where the key stream is not made in C.
        """
        return None if self.c_key is NULL else PyCapsule_New(&self.source, CTR_CAPSULE, NULL)

    def fill(self, counter, out):
        """Overwrite a buffer with the key stream that begins at block `counter`.

        Parameters
        ----------
        counter : int
            The number of the first block: 0 to 2**128 - 1.
        out : buffer
            Writable, C-contiguous, of any dtype and shape that hold plain data; takes AES(key, counter),
            AES(key, counter + 1) and so on, of which the last may be cut.

        Returns
        -------
        int
            The bytes written: the size of `out`.

        Raises
        ------
        ValueError
            The counter is out of bounds or would pass 2**128, or `out` is not C-contiguous.
        BufferError
            `out` cannot be written to.
        """
        cdef Py_buffer view
        memset(&view, 0, sizeof(view))
        try:
            PyObject_GetBuffer(out, &view, PyBUF_WRITABLE)
            return self.apply(counter, &view, CTR_WRITE)
        finally:
            PyBuffer_Release(&view)

    def accumulate(self, counter, out, *, bint subtract=False):
        """Add the key stream that begins at block `counter` to the words of a buffer, or subtract it.

        Parameters
        ----------
        counter : int
            The number of the first block: 0 to 2**128 - 1.
        out : buffer
            Writable, C-contiguous, of little-endian integers of 32 or 64 bits. The key stream is read as such
            words, and sums are modulo 2**32 or 2**64.
        subtract : bool
            Subtract instead.

        Returns
        -------
        int
            The bytes of key stream that were used: the size of `out`.

        Raises
        ------
        ValueError
            The counter is out of bounds or would pass 2**128, or `out` is not C-contiguous.
        TypeError
            `out` holds something else than such words.
        BufferError
            `out` cannot be written to.

        Examples
        --------
        >>> from array import array
        >>> from medcrypt._ext import aes
        >>> words = array("I", [5])
        >>> aes.AesCtr(bytes(32)).accumulate(0, words), hex(words[0])  # the stream begins with dc95c078
        (4, '0x78c095e1')
        """
        cdef Py_buffer view
        memset(&view, 0, sizeof(view))
        try:
            PyObject_GetBuffer(out, &view, PyBUF_WRITABLE | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
            return self.apply(counter, &view, use_of_words(&view, subtract))
        finally:
            PyBuffer_Release(&view)

    cdef object apply(self, object counter, Py_buffer *view, ctr_use use):
        """Use the key stream on the bytes of a buffer."""
        cdef ctr_counter first
        cdef uint8_t *out = <uint8_t *>view.buf
        cdef size_t size = view.len
        number = PyNumber_Index(counter)
        if number < 0 or number + (size + CTR_BLOCK - 1) // CTR_BLOCK > 1 << 128 or number >> 128:
            raise ValueError("the counter runs from 0 to 2**128 - 1 and does not wrap")
        if self.portable is not None:
            target = PyMemoryView_FromMemory(<char *>view.buf, view.len, PyBUF_WRITE)
            if use == CTR_WRITE:
                self.portable.fill(number, target)
            else:
                subtract = use in (CTR_SUBTRACT_32, CTR_SUBTRACT_64)
                self.portable.accumulate(number, target, view.itemsize, subtract)
            return size
        first.high = number >> 64
        first.low = number & 0xFFFFFFFFFFFFFFFF
        with nogil:
            ctr_apply(self.c_key, first, out, size, use)
        return size
