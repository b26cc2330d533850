import numpy as np
from numpy.typing import NDArray

__all__ = ["add_on_lattice", "outer_squares", "scaled", "shrinking_factors", "squares"]

def squares(x: NDArray[np.float64], out: NDArray[np.float64]) -> None: ...
def outer_squares(
    x: NDArray[np.float64], y: NDArray[np.float64], out: NDArray[np.float64], *, bias: bool
) -> None: ...
def shrinking_factors(squares: NDArray[np.float64], clip: float, out: NDArray[np.float64]) -> bool: ...
def scaled(
    x: NDArray[np.float64],
    factors: NDArray[np.float64],
    out: NDArray[np.float64],
    sums: NDArray[np.float64],
) -> None: ...
def add_on_lattice(
    integers: NDArray[np.int64], sums: NDArray[np.float64], per_step: float, unit: float
) -> None: ...
