"""Differential privacy: what a release costs, and the noise that pays for it.

``events`` say what was released, the `Accountant` says what it costs, `calibrate` turns the question round,
and ``noise`` draws exact integer noise from the operating system's randomness. Mechanisms clip, add such noise and
name their event, ``sgd`` does so with per-sample gradients, and ``audit`` looks for lies from the outside.
"""

from medcrypt.dp import audit, noise, renyi, sgd
from medcrypt.dp.accountant import Accountant
from medcrypt.dp.calibration import calibrate, calibrate_count
from medcrypt.dp.distributed import distributed_discrete_gaussian, distributed_skellam
from medcrypt.dp.events import (
    ApproximateDP,
    Composed,
    DiscreteGaussian,
    DiscreteLaplace,
    Event,
    Gaussian,
    Laplace,
    PoissonSampled,
    PureDP,
    RandomizedResponse,
    RenyiCurve,
    Repeated,
    SampledWithoutReplacement,
    Skellam,
    ZeroConcentratedDP,
    from_json,
    to_json,
)
from medcrypt.dp.filter import Filter
from medcrypt.dp.mechanisms import (
    AdditiveMechanism,
    CountMechanism,
    GaussianMechanism,
    HistogramMechanism,
    LaplaceMechanism,
    MeanMechanism,
    PrivateBinsMechanism,
    QuantileMechanism,
    SkellamMechanism,
    SparseVector,
)

__all__ = [
    "Accountant",
    "AdditiveMechanism",
    "ApproximateDP",
    "Composed",
    "CountMechanism",
    "DiscreteGaussian",
    "DiscreteLaplace",
    "Event",
    "Filter",
    "Gaussian",
    "GaussianMechanism",
    "HistogramMechanism",
    "Laplace",
    "LaplaceMechanism",
    "MeanMechanism",
    "PoissonSampled",
    "PrivateBinsMechanism",
    "PureDP",
    "QuantileMechanism",
    "RandomizedResponse",
    "RenyiCurve",
    "Repeated",
    "SampledWithoutReplacement",
    "Skellam",
    "SkellamMechanism",
    "SparseVector",
    "ZeroConcentratedDP",
    "audit",
    "calibrate",
    "calibrate_count",
    "distributed_discrete_gaussian",
    "distributed_skellam",
    "from_json",
    "noise",
    "renyi",
    "sgd",
    "to_json",
]
