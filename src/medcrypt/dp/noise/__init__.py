"""Exact integer noise: drawn from AES-256-CTR key streams that the operating system seeds, one for each call.

Floating-point noise leaks the value it hides in its low bits (Mironov 2012); integers drawn exactly do not. Every
draw is a handful of comparisons of uniform words with thresholds, made in constant time by a kernel; what 64 bits
cannot decide, about one draw in 2^44, is decided in exact arithmetic. `distance` bounds what is left: at most 2^-100
in total variation for each draw, and `charge` turns it into delta.

Values are accepted or rejected one by one, so the time of a call tells how many trials were rejected, and nothing
of the values returned. The rare exact decisions take longer, and tell that a draw was such a one.
"""

from medcrypt.dp.noise.bessel import LARGEST_VARIANCE, skellam
from medcrypt.dp.noise.coins import bernoulli, bernoulli_exp, poisson_sample, round_stochastically
from medcrypt.dp.noise.gaussian import LARGEST_ROUNDED_SIGMA, discrete_gaussian, rounded_gaussian
from medcrypt.dp.noise.generator import ReproducibleGenerator
from medcrypt.dp.noise.laplace import discrete_laplace
from medcrypt.dp.noise.quality import charge, distance, generator_advantage
from medcrypt.dp.noise.scale import LARGEST_SCALE

__all__ = [
    "LARGEST_ROUNDED_SIGMA",
    "LARGEST_SCALE",
    "LARGEST_VARIANCE",
    "ReproducibleGenerator",
    "bernoulli",
    "bernoulli_exp",
    "charge",
    "discrete_gaussian",
    "discrete_laplace",
    "distance",
    "generator_advantage",
    "poisson_sample",
    "round_stochastically",
    "rounded_gaussian",
    "skellam",
]
