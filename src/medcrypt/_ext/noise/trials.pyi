from collections.abc import Sequence
from typing import Final, Self, final

import numpy as np
from numpy.typing import NDArray

from medcrypt._ext.aes import AesCtr

__all__ = ["Shape", "gather"]

@final
class Shape:
    path: Final[str]
    words: Final[int]
    def __new__(
        cls,
        thresholds: Sequence[int],
        slopes: Sequence[Sequence[float]] = (),
        *,
        lines: Sequence[tuple[float, float]] = (),
        low_bits: int = 0,
        factor: int = 0,
        point: int = 0,
        path: str | None = None,
        margin: float | None = None,
    ) -> Self: ...
    def trials(
        self, words: NDArray[np.uint64], values: NDArray[np.int64], verdicts: NDArray[np.uint8]
    ) -> int: ...
    def draw(self, stream: AesCtr, counter: int, trials: int, out: NDArray[np.int64]) -> int | None: ...

def gather(values: NDArray[np.int64], verdicts: NDArray[np.uint8]) -> int: ...
