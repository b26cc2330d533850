from typing import Any, Final, NoReturn, Self, TypeAlias, final

from numpy.typing import NDArray
from typing_extensions import Buffer

__all__ = ["AesGcm"]

_Bytes: TypeAlias = Buffer | NDArray[Any]  # on Python 3.11 numpy does not declare its arrays to be buffers

@final
class AesGcm:
    path: Final[str]
    def __new__(cls, key: _Bytes, path: str | None = None) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
    def encrypt(self, nonce: _Bytes, data: _Bytes, aad: _Bytes = b"") -> bytes: ...
    def decrypt(self, nonce: _Bytes, data: _Bytes, aad: _Bytes = b"") -> bytes: ...
    def seal_chunks(
        self,
        nonce: _Bytes,
        src: _Bytes,
        dst: _Bytes,
        *,
        first: int = 0,
        final: bool = True,
        chunk: int = 16384,
    ) -> int: ...
    def open_chunks(
        self,
        nonce: _Bytes,
        src: _Bytes,
        dst: _Bytes,
        *,
        first: int = 0,
        final: bool = True,
        chunk: int = 16384,
    ) -> int: ...
