"""Asking for huge pages changes nothing but the layout."""

import mmap
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from medcrypt._ext.memory import prefer_huge_pages

MEMORY_MAP = Path("/proc/self/smaps")


@given(st.integers(0, 3 << 12), st.integers(0, 3 << 12))
def test_the_contents_stay_as_they_are(start, stop):
    data = bytearray(b"pixels" * 2048)
    prefer_huge_pages(memoryview(data)[start:stop])
    assert data == b"pixels" * 2048


def test_memory_that_cannot_be_written_to_is_refused():
    with pytest.raises(BufferError):
        prefer_huge_pages(bytes(1 << 22))
    with pytest.raises((BufferError, ValueError)):
        prefer_huge_pages(np.zeros((4, 4))[:, ::2])
    with pytest.raises(TypeError):
        prefer_huge_pages(7)


@pytest.mark.skipif(not MEMORY_MAP.exists(), reason="only Linux says what it was advised")
def test_whole_pages_inside_the_buffer_are_advised_and_no_others():
    page = mmap.PAGESIZE
    with mmap.mmap(-1, 16 * page) as memory:
        address = np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
        prefer_huge_pages(memoryview(memory)[page + 1 : 12 * page - 1])
        assert _advised(address + 2 * page) == (address + 2 * page, address + 11 * page)


def _advised(address: int) -> tuple[int, int]:
    """Return the bounds of the mapping that holds an address, whose flags must name the advice ("hg")."""
    bounds = (0, 0)
    for line in MEMORY_MAP.read_text().splitlines():
        if found := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            bounds = int(found[1], 16), int(found[2], 16)
        if line.startswith("VmFlags:") and bounds[0] <= address < bounds[1]:
            assert "hg" in line.split(), sys.platform
            return bounds
    raise AssertionError("no such mapping")
