# cython: language_level=3, boundscheck=False, wraparound=False
"""HKDF-Expand with SHA-512 under a prepared key, and SHA-512 itself without hashlib's cost for short input."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t

__all__ = ["HkdfSha512", "sha512"]

cdef extern from "sha512.h":
    enum:
        SHA512_DIGEST
        HKDF_MOST

    ctypedef struct sha512_context:
        pass

    ctypedef struct hkdf_key:
        pass

    void sha512_begin(sha512_context *hash) nogil
    void sha512_add(sha512_context *hash, const uint8_t *data, size_t size) nogil
    void sha512_end(sha512_context *hash, uint8_t *digest) nogil
    void hkdf_key_set(hkdf_key *key, const uint8_t *secret, size_t size) nogil
    void hkdf_expand(
        const hkdf_key *key, const uint8_t *info, size_t info_size, uint8_t *out, size_t size) nogil
    void sha512_wipe(void *memory, size_t size) nogil


def sha512(data):
    """Return the SHA-512 digest of a buffer.

    Parameters
    ----------
    data : buffer
        C-contiguous bytes.

    Returns
    -------
    bytes
        64 bytes.

    Examples
    --------
    >>> from medcrypt._ext.sha512 import sha512
    >>> sha512(b"abc").hex()[:16]
    'ddaf35a193617aba'
    """
    cdef Py_buffer view
    cdef sha512_context hash
    cdef uint8_t *out
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        digest = PyBytes_FromStringAndSize(NULL, SHA512_DIGEST)
        out = <uint8_t *>PyBytes_AsString(digest)
        with nogil:
            sha512_begin(&hash)
            sha512_add(&hash, <const uint8_t *>view.buf, view.len)
            sha512_end(&hash, out)
        return digest
    finally:
        PyBuffer_Release(&view)


@cython.final
cdef class HkdfSha512:
    """HKDF-Expand-SHA-512 under one key (RFC 5869, section 2.3).

    The key is kept as the two SHA-512 states after its padded blocks, in memory that is wiped when the object
    goes. The object is immutable, so threads may share it.

    Parameters
    ----------
    key : bytes-like
        A uniformly random key (the RFC's PRK, of any length; medcrypt's have 32 bytes or more).

    Examples
    --------
    >>> from medcrypt._ext.sha512 import HkdfSha512
    >>> HkdfSha512(bytes(32)).expand(b"example", 4).hex()
    '69169591'
    """

    cdef hkdf_key c_key

    def __cinit__(self, key):
        cdef Py_buffer view
        PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
        try:
            hkdf_key_set(&self.c_key, <const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    def __dealloc__(self):
        sha512_wipe(&self.c_key, sizeof(self.c_key))

    def __repr__(self):
        return "HkdfSha512()"

    def __reduce__(self):
        raise TypeError("an HkdfSha512 holds a key: it is neither pickled nor copied")

    def expand(self, info, Py_ssize_t length):
        """Derive bytes from the key.

        Parameters
        ----------
        info : buffer
            What they are for; different `info` give independent bytes.
        length : int
            1 to 16320.

        Returns
        -------
        bytes
            `length` bytes.

        Raises
        ------
        ValueError
            The length is out of bounds.
        """
        cdef Py_buffer view
        cdef uint8_t *out
        if not 1 <= length <= HKDF_MOST:
            raise ValueError(f"HKDF-Expand gives 1 to {HKDF_MOST} bytes")
        PyObject_GetBuffer(info, &view, PyBUF_SIMPLE)
        try:
            output = PyBytes_FromStringAndSize(NULL, length)
            out = <uint8_t *>PyBytes_AsString(output)
            with nogil:
                hkdf_expand(&self.c_key, <const uint8_t *>view.buf, view.len, out, length)
            return output
        finally:
            PyBuffer_Release(&view)
