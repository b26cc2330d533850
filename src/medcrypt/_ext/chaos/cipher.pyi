from typing import Any, Final, TypeAlias

from numpy.typing import NDArray
from typing_extensions import Buffer

__all__ = ["PASSES", "ROW", "STEPS", "STREAM_STEPS", "open_rows", "seal_rows", "stream"]

_Bytes: TypeAlias = Buffer | NDArray[Any]  # on Python 3.11 numpy does not declare its arrays to be buffers

ROW: Final[int]
STREAM_STEPS: Final[int]
PASSES: Final[int]
STEPS: Final[int]

def stream(
    seed: _Bytes,
    src: _Bytes,
    dst: _Bytes,
    *,
    offset: int = 0,
    steps: int = 16,
    domain: int = 0,
    path: str | None = None,
) -> None: ...
def seal_rows(
    seed: _Bytes,
    src: _Bytes,
    dst: _Bytes,
    *,
    spare: _Bytes | None = None,
    passes: int = 4,
    steps: int = 8,
    path: str | None = None,
) -> None: ...
def open_rows(
    seed: _Bytes,
    src: _Bytes,
    dst: _Bytes,
    *,
    spare: _Bytes | None = None,
    passes: int = 4,
    steps: int = 8,
    path: str | None = None,
) -> None: ...
