"""Readable pure-Python twins of the kernels: slow, plain, built from the definitions, and the oracle of the tests."""
