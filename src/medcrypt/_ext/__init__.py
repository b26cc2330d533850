"""Compiled kernels: buffers in, buffers out; no policy, no Python objects kept.

Each folder is a kernel family: a portable path, one C file for each instruction set, and one place that
picks. `cpu` says what this processor can run and what ``MEDCRYPT_KERNELS`` forces.
"""
