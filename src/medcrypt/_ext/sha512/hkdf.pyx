# cython: language_level=3, boundscheck=False, wraparound=False
"""HKDF-Expand with SHA-512 under a prepared key, what is sealed under keys derived so, and SHA-512 itself."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.string cimport memset

from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt.errors import AuthenticationError

__all__ = ["HkdfSha512", "has_ciphers", "sha512"]

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

cdef extern from "blob.h":
    enum:
        BLOB_SALT
        BLOB_OVERHEAD
        BLOB_CHUNK

    struct gcm_kernels:
        pass

    const gcm_kernels *gcm_kernels_of(const char *path)
    bint blob_seal(
        const gcm_kernels *kernels, const hkdf_key *key, const uint8_t *salt, const uint8_t *context,
        size_t context_size, const uint8_t *data, size_t size, uint8_t *blob) nogil
    int blob_open(
        const gcm_kernels *kernels, const hkdf_key *key, const uint8_t *context, size_t context_size,
        const uint8_t *blob, size_t blob_size, uint8_t *data) nogil


def has_ciphers() -> bool:
    """Tell whether `HkdfSha512.seal` and `open` work: the kernel path in use has AES instructions.

    Returns
    -------
    bool
        False on the portable path, where AES comes from pycryptodome.
    """
    return gcm_kernels_of(path_in_use().encode()) is not NULL


cdef const gcm_kernels *ciphers() except NULL:
    """Return the kernels in use."""
    cdef const gcm_kernels *kernels = gcm_kernels_of(path_in_use().encode())
    if kernels is NULL:
        raise RuntimeError("this kernel path has no AES instructions")
    return kernels


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

    def seal(self, salt, context, data):
        """Seal less than 16 KiB as a Cobblestone-256 blob, in one call.

        Source: C2SP chunked-encryption v1, a blob of a single chunk.

        Parameters
        ----------
        salt : bytes-like
            24 bytes, never used before under this key and context.
        context : buffer
            What the blob is bound to.
        data : buffer
            Less than 16384 bytes.

        Returns
        -------
        bytes
            Salt, commitment, ciphertext and tag: 72 bytes more than `data`.

        Raises
        ------
        ValueError
            A size is wrong, or a buffer is not C-contiguous.
        """
        cdef Py_buffer salted, bound, plain
        cdef uint8_t *out
        cdef bint done
        cdef const gcm_kernels *kernels = ciphers()
        memset(&salted, 0, sizeof(salted))
        memset(&bound, 0, sizeof(bound))
        memset(&plain, 0, sizeof(plain))
        try:
            PyObject_GetBuffer(salt, &salted, PyBUF_SIMPLE)
            PyObject_GetBuffer(context, &bound, PyBUF_SIMPLE)
            PyObject_GetBuffer(data, &plain, PyBUF_SIMPLE)
            if salted.len != BLOB_SALT or plain.len >= BLOB_CHUNK:
                raise ValueError(f"a salt has {BLOB_SALT} bytes, and the data less than {BLOB_CHUNK}")
            blob = PyBytes_FromStringAndSize(NULL, plain.len + BLOB_OVERHEAD)
            out = <uint8_t *>PyBytes_AsString(blob)
            with nogil:
                done = blob_seal(
                    kernels, &self.c_key, <const uint8_t *>salted.buf, <const uint8_t *>bound.buf, bound.len,
                    <const uint8_t *>plain.buf, plain.len, out)
            if not done:
                raise MemoryError
            return blob
        finally:
            PyBuffer_Release(&plain)
            PyBuffer_Release(&bound)
            PyBuffer_Release(&salted)

    def open(self, context, blob, out):
        """Open what `seal` made.

        Parameters
        ----------
        context : buffer
            What the blob is bound to.
        blob : buffer
            The blob.
        out : buffer
            Writable, 72 bytes shorter than the blob; not part of it.

        Raises
        ------
        AuthenticationError
            Key, context or blob is not the one that was sealed. `out` is wiped or untouched.
        ValueError
            A size is wrong, or a buffer is not C-contiguous.
        BufferError
            `out` cannot be written to.
        """
        cdef Py_buffer bound, sealed, plain
        cdef int result
        cdef const gcm_kernels *kernels = ciphers()
        memset(&bound, 0, sizeof(bound))
        memset(&sealed, 0, sizeof(sealed))
        memset(&plain, 0, sizeof(plain))
        try:
            PyObject_GetBuffer(context, &bound, PyBUF_SIMPLE)
            PyObject_GetBuffer(blob, &sealed, PyBUF_SIMPLE)
            PyObject_GetBuffer(out, &plain, PyBUF_WRITABLE)
            if plain.len >= BLOB_CHUNK or sealed.len != plain.len + BLOB_OVERHEAD:
                raise ValueError(f"out must be {BLOB_OVERHEAD} bytes shorter than the blob, and than a chunk")
            with nogil:
                result = blob_open(
                    kernels, &self.c_key, <const uint8_t *>bound.buf, bound.len, <const uint8_t *>sealed.buf,
                    sealed.len, <uint8_t *>plain.buf)
            if result < 0:
                raise MemoryError
            if result == 0:
                raise AuthenticationError
        finally:
            PyBuffer_Release(&plain)
            PyBuffer_Release(&sealed)
            PyBuffer_Release(&bound)
