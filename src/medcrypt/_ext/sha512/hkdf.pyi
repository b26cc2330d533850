from typing import Any, NoReturn, Self, TypeAlias, final

from numpy.typing import NDArray
from typing_extensions import Buffer

__all__ = ["HkdfSha512", "sha512"]

_Bytes: TypeAlias = Buffer | NDArray[Any]  # on Python 3.11 numpy does not declare its arrays to be buffers

def sha512(data: _Bytes) -> bytes: ...
@final
class HkdfSha512:
    def __new__(cls, key: _Bytes) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
    def expand(self, info: _Bytes, length: int) -> bytes: ...
