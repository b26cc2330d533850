from numpy import float64
from numpy.typing import NDArray

__all__ = [
    "LANES",
    "POINTS",
    "STRIP",
    "decay",
    "exponentials",
    "line",
    "panels",
    "polar",
    "products",
    "table",
    "turns",
    "walk",
    "weigh",
]

LANES: int
POINTS: int
STRIP: int

_Reals = NDArray[float64]

def exponentials(x: _Reals, out: _Reals, path: str | None = None) -> None: ...
def turns(x: _Reals, versine: _Reals, sine: _Reals, path: str | None = None) -> None: ...
def walk(
    losses: _Reals,
    weights: _Reals,
    step: float,
    first: int,
    real: _Reals,
    imaginary: _Reals,
    path: str | None = None,
) -> None: ...
def line(
    amplitude: _Reals, phase: _Reals, t: _Reals, epsilon: float, path: str | None = None
) -> tuple[float, float]: ...
def panels(
    sigma: float,
    q: float,
    removing: bool,
    c: float,
    low: float,
    high: float,
    t_max: float,
    log_target: float,
    ends: _Reals,
    lift: float = 0.0,
) -> tuple[int, float]: ...
def table(
    sigma: float, q: float, removing: bool, c: float, ends: _Reals, losses: _Reals, weights: _Reals
) -> tuple[float, float, float, float, float, float]: ...
def decay(
    sigma: float,
    q: float,
    removing: bool,
    c: float,
    low: float,
    high: float,
    log_moment: float,
    t: _Reals,
    log_bound: _Reals,
) -> None: ...
def products(
    rows_real: _Reals,
    rows_imaginary: _Reals,
    columns_real: _Reals,
    columns_imaginary: _Reals,
    real: _Reals,
    imaginary: _Reals,
    path: str | None = None,
) -> None: ...
def polar(
    real: _Reals,
    imaginary: _Reals,
    error: _Reals,
    modulus: _Reals,
    argument: _Reals,
    blur: _Reals,
    rounding: _Reals,
) -> None: ...
def weigh(
    logarithms: _Reals, counts: _Reals, squared_mu: float, c: float, nodes: _Reals, weights: _Reals
) -> tuple[float, float, float, float]: ...
