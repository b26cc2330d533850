from typing import Any, Final, NoReturn, Self, TypeAlias, final

from numpy.typing import NDArray
from typing_extensions import Buffer

__all__ = ["AesCtr"]

_Bytes: TypeAlias = Buffer | NDArray[Any]  # on Python 3.11 numpy does not declare its arrays to be buffers

@final
class AesCtr:
    path: Final[str]
    def __new__(cls, key: _Bytes, path: str | None = None) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
    def capsule(self) -> Any: ...
    def fill(self, counter: int, out: _Bytes) -> int: ...
    def accumulate(self, counter: int, out: _Bytes, *, subtract: bool = False) -> int: ...
