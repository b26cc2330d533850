"""Kernels of the privacy accountant: tables of losses, walks along a vertical line, sums over it."""

from medcrypt._ext.dp.losses import (
    LANES,
    POINTS,
    STRIP,
    decay,
    exponentials,
    line,
    panels,
    polar,
    products,
    table,
    turns,
    walk,
    weigh,
)

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
