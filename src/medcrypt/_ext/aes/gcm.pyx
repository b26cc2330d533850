# cython: language_level=3, boundscheck=False, wraparound=False
"""AES-256-GCM: a key and its kernels, over anything that offers its bytes as one block of memory."""

cimport cython
from cpython.buffer cimport (
    PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release, PyObject_GetBuffer,
)
from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy, memset

from medcrypt._ext.aes.portable import PortableGcm
from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt._ext.cpu.detect import paths as runnable_paths
from medcrypt.errors import AuthenticationError

__all__ = ["AesGcm"]

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object number, int *overflow) except? -1
    object PyNumber_Index(object number)

cdef extern from "gcm.h":
    enum:
        GCM_NONCE
        GCM_TAG
        GCM_KEY
    const uint64_t GCM_MAX_MESSAGE

    struct gcm_kernels:
        pass

    ctypedef struct gcm_key:
        pass

    ctypedef struct gcm_message:
        const uint8_t *nonce
        const uint8_t *aad
        size_t aad_size
        const uint8_t *src
        uint8_t *dst
        size_t size

    ctypedef struct gcm_chunks:
        uint8_t nonce[12]
        uint64_t first_high
        uint64_t first_low
        size_t chunk
        size_t count
        size_t last

    const gcm_kernels *gcm_kernels_of(const char *path)
    gcm_key *gcm_key_new(const gcm_kernels *kernels, const uint8_t *secret)
    void gcm_key_free(gcm_key *key)
    void gcm_seal(const gcm_key *key, const gcm_message *message, uint8_t *tag) nogil
    bint gcm_open(const gcm_key *key, const gcm_message *message, const uint8_t *tag) nogil
    void gcm_seal_chunks(
        const gcm_key *key, const gcm_chunks *chunks, const uint8_t *src, uint8_t *dst) nogil
    bint gcm_open_chunks(
        const gcm_key *key, const gcm_chunks *chunks, const uint8_t *src, uint8_t *dst) nogil
    void gcm_wipe(void *memory, size_t size) nogil


# ---- buffers ------------------------------------------------------------------------------------------
# PyBUF_SIMPLE asks the exporter itself for one contiguous block of bytes: no cast, no copy, whatever the
# dtype or shape; what is not C-contiguous is refused by its owner.

@cython.final
cdef class Flat:
    """The bytes of a buffer of any dtype and shape, for the portable path, which wants memoryviews."""

    cdef Py_buffer view

    def __cinit__(self, buffer, bint writable=False):
        PyObject_GetBuffer(buffer, &self.view, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)

    def __dealloc__(self):
        PyBuffer_Release(&self.view)

    def __getbuffer__(self, Py_buffer *out, int flags):
        PyBuffer_FillInfo(out, self, self.view.buf, self.view.len, self.view.readonly, flags)


cdef object flat(object buffer, bint writable=False):
    """Return the bytes of `buffer` as one flat memoryview."""
    return memoryview(Flat(buffer, writable))


cdef int take_nonce(object nonce, uint8_t *out) except -1:
    """Copy the 12 bytes of `nonce`."""
    cdef Py_buffer view
    PyObject_GetBuffer(nonce, &view, PyBUF_SIMPLE)
    try:
        if view.len != GCM_NONCE:
            raise ValueError(f"a nonce has {GCM_NONCE} bytes, not {view.len}")
        memcpy(out, view.buf, GCM_NONCE)
    finally:
        PyBuffer_Release(&view)
    return 0


cdef int check_message_size(uint64_t size) except -1:
    """Refuse what the 32-bit block counter cannot count."""
    if size > GCM_MAX_MESSAGE:
        raise ValueError("one message has at most 2**36 - 32 bytes")
    return 0


cdef int check_disjoint(const Py_buffer *src, const Py_buffer *dst) except -1:
    """Refuse overlapping memory: sealed chunks grow, and opened ones must not replace what failed."""
    cdef size_t a = <size_t>src.buf
    cdef size_t b = <size_t>dst.buf
    if src.len > 0 and dst.len > 0 and a < b + <size_t>dst.len and b < a + <size_t>src.len:
        raise ValueError("src and dst overlap")
    return 0


# ---- chunks -------------------------------------------------------------------------------------------

cdef int number_chunks(gcm_chunks *chunks, object first) except -1:
    """Set the number of the first chunk; all numbers are below 2**96."""
    cdef int overflow = 0
    number = PyNumber_Index(first)
    cdef long long small = PyLong_AsLongLongAndOverflow(number, &overflow)
    if overflow == 0 and small >= 0:
        chunks.first_high = 0
        chunks.first_low = <uint64_t>small
        return 0
    if number < 0 or number + chunks.count > 1 << 96:
        raise ValueError("chunk numbers run from 0 to 2**96 - 1")
    chunks.first_high = number >> 64
    chunks.first_low = number & 0xFFFFFFFFFFFFFFFF
    return 0


cdef int check_chunk(Py_ssize_t chunk) except -1:
    """Refuse chunks of no bytes, and those too long for one message."""
    if chunk < 1:
        raise ValueError("a chunk has at least 1 byte")
    return check_message_size(chunk)


cdef int split_plain(gcm_chunks *chunks, Py_ssize_t size, Py_ssize_t chunk, bint final) except -1:
    """Divide `size` bytes of plaintext into chunks."""
    check_chunk(chunk)
    if not final and size % chunk != 0:
        raise ValueError(f"without the final chunk src must be a multiple of {chunk} bytes, not {size}")
    chunks.chunk = chunk
    chunks.count = size // chunk + final
    chunks.last = size % chunk if final else chunk
    return 0


cdef bint split_sealed(gcm_chunks *chunks, Py_ssize_t size, Py_ssize_t chunk, bint final) except -1:
    """Divide `size` bytes of sealed chunks; False where no sealed message has that size.

    The last chunk is shorter than the others, if only by a byte, so a run of full chunks has lost its end.
    """
    check_chunk(chunk)
    cdef Py_ssize_t full = chunk + GCM_TAG
    if not final and size % full != 0:
        raise ValueError(f"without the final chunk src must be a multiple of {full} bytes, not {size}")
    chunks.chunk = chunk
    chunks.count = size // full + final
    chunks.last = size % full - GCM_TAG if final else chunk
    return not final or size % full >= GCM_TAG


cdef int check_dst(const Py_buffer *dst, Py_ssize_t size) except -1:
    """Refuse a destination that is not exactly as long as the result."""
    if dst.len != size:
        raise ValueError(f"dst must have {size} bytes, not {dst.len}")
    return 0


# ---- the key ------------------------------------------------------------------------------------------

@cython.final
cdef class AesGcm:
    """AES-256-GCM under one key (NIST SP 800-38D), with 12-byte nonces and 16-byte tags.

    A nonce must never seal two messages under one key; nothing here can check that. The object is
    immutable, so threads may share it; the GIL is released while the kernels run.

    Buffers are anything C-contiguous that exports its bytes: bytes, bytearray, memoryview, numpy arrays of
    any dtype and shape that hold plain data (an array of Python objects must not get here).

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
    >>> cipher = aes.AesGcm(bytes(32))
    >>> sealed = cipher.encrypt(bytes(12), b"slice 17", b"study 4")
    >>> len(sealed), cipher.decrypt(bytes(12), sealed, b"study 4")
    (24, b'slice 17')
    """

    cdef gcm_key *c_key
    cdef object portable
    cdef readonly str path

    def __cinit__(self, key, path=None):
        cdef Py_buffer view
        self.path = path_in_use() if path is None else path
        if self.path not in runnable_paths():
            raise ValueError(f"path {path!r}: this processor can run {', '.join(runnable_paths())}")
        PyObject_GetBuffer(key, &view, PyBUF_SIMPLE)
        try:
            if view.len != GCM_KEY:
                raise ValueError(f"a key has {GCM_KEY} bytes, not {view.len}")
            self.take_key(key, <const uint8_t *>view.buf)
        finally:
            PyBuffer_Release(&view)

    cdef int take_key(self, object key, const uint8_t *secret) except -1:
        cdef const gcm_kernels *kernels = gcm_kernels_of(self.path.encode())
        if kernels is NULL:
            self.portable = PortableGcm(flat(key))
            return 0
        self.c_key = gcm_key_new(kernels, secret)
        if self.c_key is NULL:
            raise MemoryError
        return 0

    def __dealloc__(self):
        gcm_key_free(self.c_key)

    def __repr__(self):
        return f"AesGcm(path={self.path!r})"

    def __reduce__(self):
        raise TypeError("an AesGcm holds a key: it is neither pickled nor copied")

    def encrypt(self, nonce, data, aad=b""):
        """Seal one message.

        Parameters
        ----------
        nonce : bytes-like
            12 bytes, never used before under this key.
        data : buffer
            The plaintext, at most 2**36 - 32 bytes.
        aad : buffer, optional
            Associated data: authenticated, not part of the result.

        Returns
        -------
        bytes
            The ciphertext and its tag: 16 bytes more than `data`.

        Raises
        ------
        ValueError
            The nonce does not have 12 bytes, `data` is too long, or a buffer is not C-contiguous.
        """
        cdef uint8_t nonce_bytes[12]
        cdef Py_buffer src, associated
        cdef gcm_message message
        cdef uint8_t *out
        memset(&src, 0, sizeof(src))
        memset(&associated, 0, sizeof(associated))
        take_nonce(nonce, nonce_bytes)
        try:
            PyObject_GetBuffer(data, &src, PyBUF_SIMPLE)
            PyObject_GetBuffer(aad, &associated, PyBUF_SIMPLE)
            check_message_size(src.len)
            if self.portable is not None:
                sealed = bytearray(src.len + GCM_TAG)
                self.portable.seal(nonce_bytes[:GCM_NONCE], flat(aad), flat(data), memoryview(sealed))
                return bytes(sealed)
            result = PyBytes_FromStringAndSize(NULL, src.len + GCM_TAG)
            out = <uint8_t *>PyBytes_AsString(result)
            message = [nonce_bytes, <const uint8_t *>associated.buf, associated.len,
                       <const uint8_t *>src.buf, out, src.len]
            with nogil:
                gcm_seal(self.c_key, &message, out + message.size)
            return result
        finally:
            PyBuffer_Release(&associated)
            PyBuffer_Release(&src)

    def decrypt(self, nonce, data, aad=b""):
        """Open one message.

        Parameters
        ----------
        nonce, data, aad : buffer
            As given to and returned by `encrypt`.

        Returns
        -------
        bytes
            The plaintext.

        Raises
        ------
        AuthenticationError
            The key, the nonce, the data or the associated data is not the one that was sealed. No
            plaintext survives.
        ValueError
            The nonce does not have 12 bytes, `data` is too long, or a buffer is not C-contiguous.
        """
        cdef uint8_t nonce_bytes[12]
        cdef Py_buffer src, associated
        cdef gcm_message message
        cdef const uint8_t *sealed
        cdef bint authentic
        memset(&src, 0, sizeof(src))
        memset(&associated, 0, sizeof(associated))
        take_nonce(nonce, nonce_bytes)
        try:
            PyObject_GetBuffer(data, &src, PyBUF_SIMPLE)
            PyObject_GetBuffer(aad, &associated, PyBUF_SIMPLE)
            if src.len < GCM_TAG:
                raise AuthenticationError
            check_message_size(src.len - GCM_TAG)
            if self.portable is not None:
                plain = bytearray(src.len - GCM_TAG)
                self.portable.open(nonce_bytes[:GCM_NONCE], flat(aad), flat(data), memoryview(plain))
                return bytes(plain)
            sealed = <const uint8_t *>src.buf
            result = PyBytes_FromStringAndSize(NULL, src.len - GCM_TAG)
            message = [nonce_bytes, <const uint8_t *>associated.buf, associated.len,
                       sealed, <uint8_t *>PyBytes_AsString(result), src.len - GCM_TAG]
            with nogil:
                authentic = gcm_open(self.c_key, &message, sealed + message.size)
            if not authentic:
                raise AuthenticationError
            return result
        finally:
            PyBuffer_Release(&associated)
            PyBuffer_Release(&src)

    def seal_chunks(self, nonce, src, dst, *, first=0, bint final=True, Py_ssize_t chunk=16384):
        """Seal a run of chunks: chunk k has the nonce ``nonce XOR k`` and no associated data.

        Source: C2SP chunked-encryption v1, the chunks.

        Parameters
        ----------
        nonce : bytes-like
            12 bytes: the base nonce, a big-endian integer.
        src : buffer
            The plaintext.
        dst : buffer
            Writable; takes the chunks one after another, each followed by its 16-byte tag. Its size is
            exactly that of `src` and 16 bytes for each chunk.
        first : int, optional
            The number k of the first chunk.
        final : bool, optional
            Whether the message ends here. Its last chunk is what remains, 0 to `chunk` - 1 bytes, and is
            always there. Otherwise `src` is a whole number of chunks.
        chunk : int, optional
            Bytes of plaintext in a chunk.

        Returns
        -------
        int
            The bytes written: the size of `dst`.

        Raises
        ------
        ValueError
            A size, number or nonce is wrong, the buffers overlap, or one is not C-contiguous.
        BufferError
            `dst` cannot be written to.
        """
        cdef Py_buffer plain, sealed
        cdef gcm_chunks chunks
        memset(&plain, 0, sizeof(plain))
        memset(&sealed, 0, sizeof(sealed))
        take_nonce(nonce, chunks.nonce)
        try:
            PyObject_GetBuffer(src, &plain, PyBUF_SIMPLE)
            PyObject_GetBuffer(dst, &sealed, PyBUF_WRITABLE)
            split_plain(&chunks, plain.len, chunk, final)
            number_chunks(&chunks, first)
            check_dst(&sealed, plain.len + GCM_TAG * chunks.count)
            check_disjoint(&plain, &sealed)
            if self.portable is not None:
                self.portable.seal_chunks(chunks.nonce[:GCM_NONCE], flat(src), flat(dst, True),
                                          first=first, chunk=chunk, count=chunks.count)
                return sealed.len
            with nogil:
                gcm_seal_chunks(self.c_key, &chunks, <const uint8_t *>plain.buf, <uint8_t *>sealed.buf)
            return sealed.len
        finally:
            PyBuffer_Release(&sealed)
            PyBuffer_Release(&plain)

    def open_chunks(self, nonce, src, dst, *, first=0, bint final=True, Py_ssize_t chunk=16384):
        """Open a run of chunks: the inverse of `seal_chunks`.

        Parameters
        ----------
        nonce, first, final, chunk
            As given to `seal_chunks`.
        src : buffer
            The sealed chunks.
        dst : buffer
            Writable, exactly as long as the plaintext. When any chunk fails all of it is wiped.

        Returns
        -------
        int
            The bytes of plaintext: the size of `dst`.

        Raises
        ------
        AuthenticationError
            A chunk is not the one that was sealed in its place, or the final one is missing (a final chunk
            is never full).
        ValueError
            A size, number or nonce is wrong, the buffers overlap, or one is not C-contiguous.
        BufferError
            `dst` cannot be written to.
        """
        cdef Py_buffer plain, sealed
        cdef gcm_chunks chunks
        cdef bint authentic
        memset(&plain, 0, sizeof(plain))
        memset(&sealed, 0, sizeof(sealed))
        take_nonce(nonce, chunks.nonce)
        try:
            PyObject_GetBuffer(src, &sealed, PyBUF_SIMPLE)
            PyObject_GetBuffer(dst, &plain, PyBUF_WRITABLE)
            check_disjoint(&sealed, &plain)
            authentic = split_sealed(&chunks, sealed.len, chunk, final)
            number_chunks(&chunks, first)
            if authentic:
                check_dst(&plain, sealed.len - GCM_TAG * chunks.count)
                if self.portable is not None:
                    self.portable.open_chunks(chunks.nonce[:GCM_NONCE], flat(src), flat(dst, True),
                                              first=first, chunk=chunk, count=chunks.count)
                    return plain.len
                with nogil:
                    authentic = gcm_open_chunks(
                        self.c_key, &chunks, <const uint8_t *>sealed.buf, <uint8_t *>plain.buf)
            if not authentic:
                gcm_wipe(plain.buf, plain.len)
                raise AuthenticationError
            return plain.len
        finally:
            PyBuffer_Release(&plain)
            PyBuffer_Release(&sealed)
