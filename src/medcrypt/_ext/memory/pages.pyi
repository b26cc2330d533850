from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

__all__ = ["prefer_huge_pages"]

def prefer_huge_pages(buffer: Buffer | NDArray[Any]) -> None: ...
