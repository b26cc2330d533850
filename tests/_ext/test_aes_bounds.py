"""No kernel touches a byte outside its buffers: they lie against pages that nobody may read."""

import ctypes
import mmap
import sys
from collections.abc import Iterator

import pytest
from Crypto.Cipher import AES

from medcrypt._ext import aes
from medcrypt.errors import AuthenticationError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mprotect is POSIX")

KEY, NONCE, TAG = bytes(range(32)), bytes(range(100, 112)), 16
SIZES = [
    0,
    1,
    15,
    16,
    17,
    63,
    64,
    65,
    127,
    129,
    255,
    256,
    257,
    511,
    1008,
    1023,
    1024,
    1025,
    2049,
    3333,
    4096,
    16385,
]


class Fenced:
    """Memory between two pages that may be neither read nor written."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self.size = -(-size // page) * page
        self._map = mmap.mmap(-1, self.size + 2 * page)
        self._anchor = ctypes.c_char.from_buffer(self._map)
        self._start = ctypes.addressof(self._anchor) + page
        mprotect = ctypes.CDLL(None, use_errno=True).mprotect
        for fence in (self._start - page, self._start + self.size):
            if mprotect(ctypes.c_void_p(fence), ctypes.c_size_t(page), 0) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")

    def at_both_ends(self, data: bytes) -> Iterator[memoryview]:
        """Copy `data` right behind the first fence, then right before the second."""
        for start in (self._start, self._start + self.size - len(data)):
            ctypes.memmove(start, data, len(data))
            yield memoryview((ctypes.c_char * len(data)).from_address(start)).cast("B")


@pytest.fixture(scope="module")
def source() -> Fenced:
    """Memory for what is read."""
    return Fenced(20_000)


@pytest.fixture(scope="module")
def destination() -> Fenced:
    """Memory for what is written."""
    return Fenced(20_000)


@pytest.mark.parametrize("size", SIZES)
def test_chunks_stay_inside_their_buffers(
    kernel_path: str, size: int, source: Fenced, destination: Fenced
) -> None:
    cipher, data = aes.AesGcm(KEY, kernel_path), bytes(range(256)) * (size // 256) + bytes(size % 256)
    sealed_size = size + TAG * (size // 16384 + 1)
    for src in source.at_both_ends(data):
        for dst in destination.at_both_ends(bytes(sealed_size)):
            cipher.seal_chunks(NONCE, src, dst)
            sealed = bytes(dst)
    for src in source.at_both_ends(sealed):
        for dst in destination.at_both_ends(bytes(size)):
            cipher.open_chunks(NONCE, src, dst)
            assert dst == data
            src[-1] ^= 1
            with pytest.raises(AuthenticationError):
                cipher.open_chunks(NONCE, src, dst)
            src[-1] ^= 1


@pytest.mark.parametrize("size", SIZES)
def test_keys_nonces_and_associated_data_stay_inside_their_buffers(
    kernel_path: str, size: int, source: Fenced, destination: Fenced
) -> None:
    reference = AES.new(KEY, AES.MODE_GCM, nonce=NONCE)
    reference.update(bytes(size))
    tag = reference.digest()
    for key in source.at_both_ends(KEY):
        cipher = aes.AesGcm(key, kernel_path)
    for nonce in source.at_both_ends(NONCE):
        for aad in destination.at_both_ends(bytes(size)):
            assert cipher.encrypt(nonce, b"", aad) == tag
