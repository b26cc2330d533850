"""Kernels of the privacy accountant: tables of losses, walks along a vertical line, sums over it."""

from medcrypt._ext.dp.losses import (
    LANES,
    POINTS,
    decay,
    exponentials,
    line,
    panels,
    polar,
    table,
    turns,
    walk,
    weigh,
)

__all__ = [
    "LANES",
    "POINTS",
    "decay",
    "exponentials",
    "line",
    "panels",
    "polar",
    "table",
    "turns",
    "walk",
    "weigh",
]
