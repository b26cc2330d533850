"""AES-256-GCM where the processor has no AES instructions: pycryptodome behind the kernels' interface.

Not constant time on such a processor: pycryptodome's AES then reads tables at secret indices.
"""

from typing import NoReturn

from Crypto.Cipher import AES

from medcrypt.errors import AuthenticationError

__all__ = ["PortableGcm"]

TAG = 16
NONCE = 12


class PortableGcm:
    """The messages and chunks of one key.

    Buffers are flat memoryviews of bytes whose sizes the caller has checked.

    Parameters
    ----------
    key
        32 bytes. Copied; the copy is wiped when the object goes, those inside pycryptodome are not.
    """

    __slots__ = ("_key",)

    def __init__(self, key: memoryview) -> None:
        self._key = bytearray(key)

    def __del__(self) -> None:
        self._key[:] = bytes(len(self._key))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a PortableGcm holds a key: it is neither pickled nor copied")

    def seal(self, nonce: bytes, aad: memoryview, src: memoryview, dst: memoryview) -> None:
        """Write the ciphertext of `src` and its tag to `dst`."""
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=TAG)
        cipher.update(aad)
        cipher.encrypt(src, output=dst[: len(src)])
        dst[len(src) :] = cipher.digest()

    def open(self, nonce: bytes, aad: memoryview, src: memoryview, dst: memoryview) -> None:
        """Write the plaintext of `src`, which ends with its tag, to `dst`.

        Raises
        ------
        AuthenticationError
            The tag does not fit; `dst` is wiped.
        """
        cipher = AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=TAG)
        cipher.update(aad)
        cipher.decrypt(src[: len(dst)], output=dst)
        try:
            cipher.verify(src[len(dst) :])
        except ValueError:
            dst[:] = bytes(len(dst))
            raise AuthenticationError from None

    def seal_chunks(
        self, nonce: bytes, src: memoryview, dst: memoryview, *, first: int, chunk: int, count: int
    ) -> None:
        """Seal `count` chunks one after another; see `medcrypt._ext.aes.AesGcm.seal_chunks`."""
        for k in range(count):
            plain = src[k * chunk : (k + 1) * chunk]
            at = k * (chunk + TAG)
            self.seal(_xored(nonce, first + k), memoryview(b""), plain, dst[at : at + len(plain) + TAG])

    def open_chunks(
        self, nonce: bytes, src: memoryview, dst: memoryview, *, first: int, chunk: int, count: int
    ) -> None:
        """Open `count` chunks one after another; the first that does not authenticate wipes all of `dst`."""
        try:
            for k in range(count):
                sealed = src[k * (chunk + TAG) : (k + 1) * (chunk + TAG)]
                plain = dst[k * chunk : (k + 1) * chunk]
                self.open(_xored(nonce, first + k), memoryview(b""), sealed, plain)
        except AuthenticationError:
            dst[:] = bytes(len(dst))
            raise


def _xored(nonce: bytes, number: int) -> bytes:
    """Return `nonce` XOR `number`, both as 96-bit big-endian integers."""
    return (int.from_bytes(nonce, "big") ^ number).to_bytes(NONCE, "big")
