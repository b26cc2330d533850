"""Residues modulo n^2 and n in batches, for any odd n: Paillier's arithmetic."""

from medcrypt._ext.bignum.rings import (
    Comb,
    Ring,
    fill_random,
    in_range,
    inverses,
    jacobi,
    kernel_for_one,
    kernels,
    lanes,
    public_inverses,
    strike,
    wipe,
)

__all__ = [
    "Comb",
    "Ring",
    "fill_random",
    "in_range",
    "inverses",
    "jacobi",
    "kernel_for_one",
    "kernels",
    "lanes",
    "public_inverses",
    "strike",
    "wipe",
]
