"""Trials of integer noise: from uniform words to values, each accepted, rejected or left undecided."""

from medcrypt._ext.noise.trials import Shape, gather

__all__ = ["Shape", "gather"]
