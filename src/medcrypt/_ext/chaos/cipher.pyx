# cython: language_level=3, boundscheck=False, wraparound=False
"""The chaotic generator and the network of passes, over what offers its bytes as one block of memory."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from medcrypt._ext.cpu.detect import path as path_in_use
from medcrypt._ext.cpu.detect import paths as runnable_paths

__all__ = ["PASSES", "ROW", "STEPS", "STREAM_STEPS", "open_rows", "seal_rows", "stream"]

cdef extern from "chaos.h":
    enum:
        CHAOS_NODES
        CHAOS_ROW
        CHAOS_SEED
        CHAOS_STREAM_STEPS
        CHAOS_PASSES
        CHAOS_STEPS

    ctypedef struct chaos_network:
        size_t rows

    struct chaos_kernels:
        void (*stream)(
            const uint64_t *seed, unsigned steps, uint64_t domain, uint64_t first, const uint8_t *src,
            uint8_t *dst, size_t size) noexcept nogil

    const chaos_kernels *chaos_kernels_of(const char *path)
    void chaos_prepare(
        const chaos_kernels *kernels, chaos_network *network, const uint64_t *seed, unsigned passes,
        unsigned steps, size_t size) nogil
    void chaos_seal(
        const chaos_kernels *kernels, const chaos_network *network, const uint8_t *src, uint8_t *spare,
        uint8_t *dst) nogil
    void chaos_open(
        const chaos_kernels *kernels, const chaos_network *network, const uint8_t *src, uint8_t *spare,
        uint8_t *dst) nogil
    void chaos_wipe(void *memory, size_t size) nogil

ROW = CHAOS_ROW
STREAM_STEPS = CHAOS_STREAM_STEPS
PASSES = 4
STEPS = 8


cdef const chaos_kernels *kernels_of(object path) except NULL:
    """Return the kernels of a path, by default of the one in use."""
    name = path_in_use() if path is None else path
    if name not in runnable_paths():
        raise ValueError(f"path {name!r}: this processor can run {', '.join(runnable_paths())}")
    return chaos_kernels_of(name.encode())


cdef int take_seed(object seed, uint64_t *words) except -1:
    """Read the 64 bytes of a seed as little-endian words."""
    cdef Py_buffer view
    cdef const uint8_t *bytes_
    cdef int w, i
    PyObject_GetBuffer(seed, &view, PyBUF_SIMPLE)
    try:
        if view.len != CHAOS_SEED:
            raise ValueError(f"a seed has {CHAOS_SEED} bytes, not {view.len}")
        bytes_ = <const uint8_t *>view.buf
        for w in range(CHAOS_NODES):
            words[w] = 0
            for i in range(8):
                words[w] |= <uint64_t>bytes_[8 * w + i] << (8 * i)
    finally:
        PyBuffer_Release(&view)
    return 0


cdef int check_pair(const Py_buffer *src, const Py_buffer *dst) except -1:
    """Refuse buffers of two sizes, and those that overlap."""
    if src.len != dst.len:
        raise ValueError(f"src has {src.len} bytes and dst {dst.len}")
    cdef size_t a = <size_t>src.buf
    cdef size_t b = <size_t>dst.buf
    if src.len > 0 and a < b + <size_t>dst.len and b < a + <size_t>src.len:
        raise ValueError("src and dst overlap")
    return 0


def stream(
        seed, src, dst, *, uint64_t offset=0, unsigned steps=CHAOS_STREAM_STEPS, uint64_t domain=0,
        path=None):
    """Write ``src XOR stream`` to `dst`, from byte `offset` of the stream on.

    Parameters
    ----------
    seed : bytes-like
        64 secret bytes; a part of the stream must be used once.
    src, dst : buffer
        Of one size; `dst` is writable and does not overlap `src`.
    offset : int, optional
        Where in the stream `src` begins.
    steps : int, optional
        Of the lattice, 1 to 64. The cipher has 16; fewer are for study.
    domain : int, optional
        Which stream: 0 encrypts, the others give the keys of the passes.
    path : str, optional
        One of `medcrypt._ext.cpu.paths`; all give the same bytes.

    Raises
    ------
    ValueError
        A size or number is wrong, or the buffers overlap.

    Examples
    --------
    >>> from medcrypt._ext import chaos
    >>> out = bytearray(4)
    >>> chaos.stream(bytes(64), bytes(4), out)
    >>> out.hex()
    'bdf8b781'
    """
    cdef const chaos_kernels *kernels = kernels_of(path)
    cdef uint64_t words[8]
    cdef uint8_t first[512]
    cdef Py_buffer plain, out
    cdef size_t skip = offset % CHAOS_ROW
    cdef size_t head = 0
    if not 1 <= steps <= CHAOS_STEPS:
        raise ValueError(f"1 to {CHAOS_STEPS} steps")
    memset(&plain, 0, sizeof(plain))
    memset(&out, 0, sizeof(out))
    try:
        take_seed(seed, words)
        PyObject_GetBuffer(src, &plain, PyBUF_SIMPLE)
        PyObject_GetBuffer(dst, &out, PyBUF_WRITABLE)
        check_pair(&plain, &out)
        with nogil:
            if skip > 0:
                head = min(CHAOS_ROW - skip, <size_t>plain.len)
                memset(first, 0, sizeof(first))
                memcpy(first + skip, plain.buf, head)
                kernels.stream(words, steps, domain, offset // CHAOS_ROW, first, first, CHAOS_ROW)
                memcpy(out.buf, first + skip, head)
                chaos_wipe(first, sizeof(first))
            kernels.stream(
                words, steps, domain, offset // CHAOS_ROW + (skip > 0), <const uint8_t *>plain.buf + head,
                <uint8_t *>out.buf + head, plain.len - head)
    finally:
        chaos_wipe(words, sizeof(words))
        PyBuffer_Release(&out)
        PyBuffer_Release(&plain)


cdef int run(
        object seed, object src, object dst, object lent, unsigned passes, unsigned steps, object path,
        bint sealing) except -1:
    """Run the network or its inverse."""
    cdef const chaos_kernels *kernels = kernels_of(path)
    cdef uint64_t words[8]
    cdef Py_buffer source, target, scratch
    cdef chaos_network *network = NULL
    cdef uint8_t *own = NULL
    cdef uint8_t *spare
    if not 1 <= passes <= CHAOS_PASSES or not 1 <= steps <= CHAOS_STEPS:
        raise ValueError(f"1 to {CHAOS_PASSES} passes of 1 to {CHAOS_STEPS} steps")
    memset(&source, 0, sizeof(source))
    memset(&target, 0, sizeof(target))
    memset(&scratch, 0, sizeof(scratch))
    try:
        take_seed(seed, words)
        PyObject_GetBuffer(src, &source, PyBUF_SIMPLE)
        PyObject_GetBuffer(dst, &target, PyBUF_WRITABLE)
        check_pair(&source, &target)
        network = <chaos_network *>malloc(sizeof(chaos_network))
        if lent is None:
            own = <uint8_t *>malloc(source.len + 1)
            spare = own
        else:
            PyObject_GetBuffer(lent, &scratch, PyBUF_WRITABLE)
            check_pair(&source, &scratch)
            check_pair(&target, &scratch)
            spare = <uint8_t *>scratch.buf
        if network is NULL or (lent is None and own is NULL):
            raise MemoryError
        with nogil:
            chaos_prepare(kernels, network, words, passes, steps, source.len)
            if sealing:
                chaos_seal(kernels, network, <const uint8_t *>source.buf, spare, <uint8_t *>target.buf)
            else:
                chaos_open(kernels, network, <const uint8_t *>source.buf, spare, <uint8_t *>target.buf)
    finally:
        # What is left in the scratch memory is between two passes, whose keys go here.
        free(own)
        if network is not NULL:
            chaos_wipe(network, sizeof(chaos_network))
            free(network)
        chaos_wipe(words, sizeof(words))
        PyBuffer_Release(&scratch)
        PyBuffer_Release(&target)
        PyBuffer_Release(&source)
    return 0


def seal_rows(seed, src, dst, *, spare=None, unsigned passes=4, unsigned steps=8, path=None):
    """Encrypt `src` into `dst` by the network of passes.

    From 512 bytes on every byte of the result depends on every byte of `src`; what is shorter is only masked.
    So a seed is good for one message: it has to depend on it.

    Parameters
    ----------
    seed : bytes-like
        64 secret bytes.
    src, dst : buffer
        Of one size; `dst` is writable and does not overlap `src`.
    spare : buffer, optional
        Scratch memory of the same size, instead of new memory, whose pages cost time.
    passes, steps : int, optional
        1 to 16 passes of 1 to 64 steps. The cipher has 4 of 8; fewer are for study.
    path : str, optional
        One of `medcrypt._ext.cpu.paths`; all give the same bytes.

    Raises
    ------
    ValueError
        A size or number is wrong, or the buffers overlap.

    Examples
    --------
    >>> from medcrypt._ext import chaos
    >>> sealed, plain = bytearray(1000), bytearray(1000)
    >>> chaos.seal_rows(bytes(64), bytes(1000), sealed)
    >>> chaos.open_rows(bytes(64), sealed, plain)
    >>> sealed[:4].hex(), plain == bytes(1000)
    ('04922219', True)
    """
    run(seed, src, dst, spare, passes, steps, path, True)


def open_rows(seed, src, dst, *, spare=None, unsigned passes=4, unsigned steps=8, path=None):
    """Decrypt what `seal_rows` has made; the parameters are the same."""
    run(seed, src, dst, spare, passes, steps, path, False)
