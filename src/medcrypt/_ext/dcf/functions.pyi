from typing import Final, Self, final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "SharedFunction"]

BLOCK: Final[int]

@final
class SharedFunction:
    path: Final[str]
    kind: Final[str]
    bits: Final[int]
    payload: Final[int]
    def __new__(cls, kind: str, bits: int, payload: int, key: bytes, path: str | None = None) -> Self: ...
    def key_size(self, count: int) -> int: ...
    def generate(
        self,
        alpha: NDArray[np.uint64],
        beta: NDArray[np.uint64],
        roots: NDArray[np.uint8],
        key0: NDArray[np.uint8],
        key1: NDArray[np.uint8],
    ) -> None: ...
    def evaluate(
        self, party: int, key: NDArray[np.uint8], x: NDArray[np.uint64], values: NDArray[np.uint64]
    ) -> None: ...
