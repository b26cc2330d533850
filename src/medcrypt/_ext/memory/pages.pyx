# cython: language_level=3
"""Huge pages for large results."""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer

__all__ = ["prefer_huge_pages"]

cdef extern from "pages.h":
    void pages_prefer_huge(void *memory, size_t size) nogil


def prefer_huge_pages(buffer):
    """Ask for huge pages under a buffer that has not been written to yet.

    Writing to new memory costs a page fault for every 4 KiB, or for every 2 MiB. numpy asks
    the same for its own large arrays. Source: Linux, madvise(2), MADV_HUGEPAGE; elsewhere nothing happens.

    Parameters
    ----------
    buffer
        Writable and contiguous, of any size. Its contents stay as they are.

    Raises
    ------
    BufferError
        The buffer cannot be written to.

    Examples
    --------
    >>> from medcrypt._ext.memory import prefer_huge_pages
    >>> prefer_huge_pages(bytearray(1 << 22))
    """
    cdef Py_buffer view
    PyObject_GetBuffer(buffer, &view, PyBUF_WRITABLE)
    pages_prefer_huge(view.buf, view.len)
    PyBuffer_Release(&view)
