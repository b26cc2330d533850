"""Private inference: the kernels of function secret sharing, and whole models."""

from collections.abc import Iterator

import comparison_rows
import service_rows
from measuring import Row


def rows(quick: bool) -> Iterator[Row]:
    """Yield the rows of every kind."""
    yield from comparison_rows.rows(quick)
    yield from service_rows.rows(quick)
