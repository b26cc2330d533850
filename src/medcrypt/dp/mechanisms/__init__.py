"""Mechanisms: records in, a noisy answer out, and the event that says what it cost.

All of them clip first and derive the sensitivity from the clip; there is no second number to get wrong. What they add
are integers on a lattice, see `lattice`. ``mechanism.event`` goes to the accountant, with ``mechanism.draws`` and
``mechanism.distance``: how many integers a release draws, and how far each may be from its law.
"""

from medcrypt.dp.mechanisms.additive import (
    AdditiveMechanism,
    GaussianMechanism,
    LaplaceMechanism,
    SkellamMechanism,
)
from medcrypt.dp.mechanisms.histogram import CountMechanism, HistogramMechanism, PrivateBinsMechanism
from medcrypt.dp.mechanisms.mean import MeanMechanism
from medcrypt.dp.mechanisms.quantile import QuantileMechanism
from medcrypt.dp.mechanisms.sparse import SparseVector

__all__ = [
    "AdditiveMechanism",
    "CountMechanism",
    "GaussianMechanism",
    "HistogramMechanism",
    "LaplaceMechanism",
    "MeanMechanism",
    "PrivateBinsMechanism",
    "QuantileMechanism",
    "SkellamMechanism",
    "SparseVector",
]
