"""Compiled kernels: buffers in, buffers out; no policy, no Python objects kept."""
