from typing import Any, Final

from numpy.typing import NDArray

__all__ = ["KINDS", "cycle", "orbit"]

KINDS: Final[tuple[str, ...]]

def orbit(
    kind: str,
    state: NDArray[Any],
    parameters: NDArray[Any],
    out: NDArray[Any],
    *,
    every: int = 1,
    path: str | None = None,
) -> None: ...
def cycle(
    kind: str, state: NDArray[Any], parameters: NDArray[Any], most: int, *, path: str | None = None
) -> tuple[int, int] | None: ...
