# cython: language_level=3, boundscheck=False, wraparound=False
"""HKDF-Expand with SHA-512 under a prepared key, what is sealed under keys derived so, and SHA-512 itself."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
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

    ctypedef void (*sha512_compress)(uint64_t *state, const uint8_t *blocks, size_t count) noexcept nogil

    sha512_compress sha512_compress_of(const char *path)
    void sha512_begin(sha512_context *hash, sha512_compress compress) nogil
    void sha512_add(sha512_context *hash, const uint8_t *data, size_t size) nogil
    void sha512_end(sha512_context *hash, uint8_t *digest) nogil
    void hkdf_key_set(hkdf_key *key, sha512_compress compress, const uint8_t *secret, size_t size) nogil
    void hkdf_expand(
        const hkdf_key *key, const uint8_t *info, size_t info_size, uint8_t *out, size_t size) nogil
    void sha512_wipe(void *memory, size_t size) nogil

cdef extern from "blob.h":
    enum:
        BLOB_SALT
        BLOB_HEAD
        BLOB_CHUNK
        GCM_TAG

    struct gcm_kernels:
        pass

    const gcm_kernels *gcm_kernels_of(const char *path)
    size_t blob_size_of(size_t size) nogil
    bint blob_seal(
        const gcm_kernels *kernels, const hkdf_key *key, const uint8_t *salt, const uint8_t *context,
        size_t context_size, const uint8_t *data, size_t size, uint8_t *blob) nogil
    int blob_open(
        const gcm_kernels *kernels, const hkdf_key *key, const uint8_t *context, size_t context_size,
        const uint8_t *blob, uint8_t *data, size_t size) nogil


# What the path in use comes down to. Its name is an object that stays, so mostly nothing has to be looked up.
cdef object chosen_path = None
cdef const gcm_kernels *chosen_ciphers = NULL
cdef sha512_compress chosen_compress = NULL


cdef int choose() except -1:
    """Bring the choice up to date."""
    global chosen_path, chosen_ciphers, chosen_compress
    path = path_in_use()
    if path is not chosen_path:
        name = path.encode()
        chosen_ciphers = gcm_kernels_of(name)
        chosen_compress = sha512_compress_of(name)
        chosen_path = path
    return 0


def has_ciphers() -> bool:
    """Tell whether blobs can be sealed and opened here: the kernel path in use has AES instructions.

    Returns
    -------
    bool
        False on the portable path, where AES comes from pycryptodome.
    """
    choose()
    return chosen_ciphers is not NULL


cdef const gcm_kernels *ciphers() except NULL:
    """Return the kernels in use."""
    choose()
    if chosen_ciphers is NULL:
        raise RuntimeError("this kernel path has no AES instructions")
    return chosen_ciphers


cdef sha512_compress compression() except NULL:
    """Return the compression in use."""
    choose()
    return chosen_compress


cdef void digest_into(sha512_compress compress, const Py_buffer *data, uint8_t *out) noexcept nogil:
    """Write the digest of a buffer."""
    cdef sha512_context hash
    sha512_begin(&hash, compress)
    sha512_add(&hash, <const uint8_t *>data.buf, data.len)
    sha512_end(&hash, out)


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
    cdef uint8_t *out
    cdef sha512_compress compress = compression()
    PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
    try:
        digest = PyBytes_FromStringAndSize(NULL, SHA512_DIGEST)
        out = <uint8_t *>PyBytes_AsString(digest)
        if view.len < SHORT:
            digest_into(compress, &view, out)
        else:
            with nogil:
                digest_into(compress, &view, out)
        return digest
    finally:
        PyBuffer_Release(&view)


# Below this many bytes the work takes a few microseconds, and giving up the interpreter's lock would be felt.
cdef enum:
    SHORT = 16384


cdef Py_ssize_t plain_size_of(Py_ssize_t size) noexcept:
    """Return how many bytes a blob of this size holds; -1 where there is no such blob."""
    cdef Py_ssize_t body = size - BLOB_HEAD
    cdef Py_ssize_t last = body % (BLOB_CHUNK + GCM_TAG) - GCM_TAG
    if body < GCM_TAG or last < 0:
        return -1
    return body // (BLOB_CHUNK + GCM_TAG) * BLOB_CHUNK + last


cdef int check_pair(const Py_buffer *plain, const Py_buffer *sealed) except -1:
    """Refuse sizes that do not belong together, and memory that overlaps."""
    cdef size_t a = <size_t>plain.buf
    cdef size_t b = <size_t>sealed.buf
    cdef size_t size = blob_size_of(plain.len)
    if <size_t>sealed.len != size:
        raise ValueError(f"the blob of {plain.len} bytes has {size} bytes, not {sealed.len}")
    if plain.len > 0 and a < b + <size_t>sealed.len and b < a + <size_t>plain.len:
        raise ValueError("plaintext and blob overlap")
    return 0


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
        cdef sha512_compress compress = compression()
        PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
        try:
            hkdf_key_set(&self.c_key, compress, <const uint8_t *>view.buf, view.len)
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
            if view.len + length < SHORT:
                hkdf_expand(&self.c_key, <const uint8_t *>view.buf, view.len, out, length)
            else:
                with nogil:
                    hkdf_expand(&self.c_key, <const uint8_t *>view.buf, view.len, out, length)
            return output
        finally:
            PyBuffer_Release(&view)

    def seal(self, salt, context, data):
        """Seal bytes as a Cobblestone-256 blob, in one call.

        Source: C2SP chunked-encryption v1.

        Parameters
        ----------
        salt : bytes-like
            24 bytes, never used before under this key and context.
        context : buffer
            What the blob is bound to.
        data : buffer
            The plaintext.

        Returns
        -------
        bytes
            Salt, commitment, and chunks of 16 KiB with their tags.

        Raises
        ------
        ValueError
            The salt does not have 24 bytes, or a buffer is not C-contiguous.
        """
        cdef Py_buffer plain
        PyObject_GetBuffer(data, &plain, PyBUF_SIMPLE)
        try:
            blob = PyBytes_FromStringAndSize(NULL, blob_size_of(plain.len))
            self._seal(salt, context, &plain, <uint8_t *>PyBytes_AsString(blob))
            return blob
        finally:
            PyBuffer_Release(&plain)

    def seal_into(self, salt, context, data, out):
        """Seal bytes as `seal` does, into a buffer.

        Parameters
        ----------
        salt, context, data
            As for `seal`.
        out : buffer
            Writable, exactly as long as the blob; not part of `data`.

        Raises
        ------
        ValueError
            As for `seal`; or `out` has another size or overlaps `data`.
        BufferError
            `out` cannot be written to.
        """
        cdef Py_buffer plain, sealed
        memset(&plain, 0, sizeof(plain))
        memset(&sealed, 0, sizeof(sealed))
        try:
            PyObject_GetBuffer(data, &plain, PyBUF_SIMPLE)
            PyObject_GetBuffer(out, &sealed, PyBUF_WRITABLE)
            check_pair(&plain, &sealed)
            self._seal(salt, context, &plain, <uint8_t *>sealed.buf)
        finally:
            PyBuffer_Release(&sealed)
            PyBuffer_Release(&plain)

    def open(self, context, blob):
        """Open what `seal` made.

        Parameters
        ----------
        context : buffer
            What the blob is bound to.
        blob : buffer
            The blob.

        Returns
        -------
        bytes
            The plaintext.

        Raises
        ------
        AuthenticationError
            Key, context or blob is not the one that was sealed.
        ValueError
            A buffer is not C-contiguous.
        """
        cdef Py_buffer sealed
        cdef Py_ssize_t size
        PyObject_GetBuffer(blob, &sealed, PyBUF_SIMPLE)
        try:
            size = plain_size_of(sealed.len)
            if size < 0:
                raise AuthenticationError
            data = PyBytes_FromStringAndSize(NULL, size)
            self._open(context, &sealed, <uint8_t *>PyBytes_AsString(data), size)
            return data
        finally:
            PyBuffer_Release(&sealed)

    def open_into(self, context, blob, out):
        """Open what `seal` made, into a buffer.

        Parameters
        ----------
        context, blob
            As for `open`.
        out : buffer
            Writable, exactly as long as the plaintext; not part of the blob.

        Raises
        ------
        AuthenticationError
            Key, context or blob is not the one that was sealed. `out` is wiped or untouched.
        ValueError
            `out` has another size or overlaps the blob, or a buffer is not C-contiguous.
        BufferError
            `out` cannot be written to.
        """
        cdef Py_buffer sealed, plain
        memset(&sealed, 0, sizeof(sealed))
        memset(&plain, 0, sizeof(plain))
        try:
            PyObject_GetBuffer(blob, &sealed, PyBUF_SIMPLE)
            PyObject_GetBuffer(out, &plain, PyBUF_WRITABLE)
            check_pair(&plain, &sealed)
            self._open(context, &sealed, <uint8_t *>plain.buf, plain.len)
        finally:
            PyBuffer_Release(&plain)
            PyBuffer_Release(&sealed)

    cdef int _seal(self, salt, context, const Py_buffer *plain, uint8_t *blob) except -1:
        """Write the blob, whose size is known to be right."""
        cdef Py_buffer salted, bound
        cdef bint done
        cdef const gcm_kernels *kernels = ciphers()
        memset(&salted, 0, sizeof(salted))
        memset(&bound, 0, sizeof(bound))
        try:
            PyObject_GetBuffer(salt, &salted, PyBUF_SIMPLE)
            PyObject_GetBuffer(context, &bound, PyBUF_SIMPLE)
            if salted.len != BLOB_SALT:
                raise ValueError(f"a salt has {BLOB_SALT} bytes, not {salted.len}")
            if plain.len + bound.len < SHORT:
                done = blob_seal(
                    kernels, &self.c_key, <const uint8_t *>salted.buf, <const uint8_t *>bound.buf, bound.len,
                    <const uint8_t *>plain.buf, plain.len, blob)
            else:
                with nogil:
                    done = blob_seal(
                        kernels, &self.c_key, <const uint8_t *>salted.buf, <const uint8_t *>bound.buf,
                        bound.len, <const uint8_t *>plain.buf, plain.len, blob)
            if not done:
                raise MemoryError
            return 0
        finally:
            PyBuffer_Release(&bound)
            PyBuffer_Release(&salted)

    cdef int _open(self, context, const Py_buffer *sealed, uint8_t *data, Py_ssize_t size) except -1:
        """Write the plaintext, whose size is known to be right."""
        cdef Py_buffer bound
        cdef int result
        cdef const gcm_kernels *kernels = ciphers()
        PyObject_GetBuffer(context, &bound, PyBUF_SIMPLE)
        try:
            if size + bound.len < SHORT:
                result = blob_open(
                    kernels, &self.c_key, <const uint8_t *>bound.buf, bound.len, <const uint8_t *>sealed.buf,
                    data, size)
            else:
                with nogil:
                    result = blob_open(
                        kernels, &self.c_key, <const uint8_t *>bound.buf, bound.len,
                        <const uint8_t *>sealed.buf, data, size)
            if result < 0:
                raise MemoryError
            if result == 0:
                raise AuthenticationError
            return 0
        finally:
            PyBuffer_Release(&bound)
