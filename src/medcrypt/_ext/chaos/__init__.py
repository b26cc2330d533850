"""Chaos in integers: maps in fixed point, and the cipher that is made of a lattice of them."""

from medcrypt._ext.chaos.cipher import PASSES, ROW, STEPS, STREAM_STEPS, open_rows, seal_rows, stream

__all__ = ["PASSES", "ROW", "STEPS", "STREAM_STEPS", "open_rows", "seal_rows", "stream"]
