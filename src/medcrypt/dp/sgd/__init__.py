"""DP-SGD to embed: arrays in, arrays out, for whatever framework computed the gradients.

``layers`` clip exactly without holding every sample's gradient, ``sampling`` chooses batches, `PrivateGradient` adds
integer noise on a lattice and tells the accountant. There is no network here, and no training loop.
"""

from medcrypt.dp.sgd.layers import (
    Convolution,
    Dense,
    Embedding,
    GroupNorm,
    Layer,
    PerSample,
    SequenceDense,
)
from medcrypt.dp.sgd.private import AdaptiveClip, DPOptimizer, PrivateGradient
from medcrypt.dp.sgd.sampling import FixedSizeSampler, PoissonSampler, Sampler

__all__ = [
    "AdaptiveClip",
    "Convolution",
    "DPOptimizer",
    "Dense",
    "Embedding",
    "FixedSizeSampler",
    "GroupNorm",
    "Layer",
    "PerSample",
    "PoissonSampler",
    "PrivateGradient",
    "Sampler",
    "SequenceDense",
]
