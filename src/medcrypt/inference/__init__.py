"""Private inference: two servers run a network on an image that neither of them sees, with weights that neither knows.

A `Sequential` of layers is compiled for the shape of its inputs: the `Circuit` is public, the integer weights are
shared between the servers. A dealer's `Preparation` makes correlated randomness; each server's `Evaluation` turns it
and a share of the inputs into a share of the classes; the client adds the two up. `simulate` plays all of them in one
process.

    sharing      additive shares, fixed point, rounds, selection      comparison   signs, divisions, equality
    steps        what the servers compute, and what is dealt          layers       from real numbers to steps
    circuit      the public model, dealer's and server's part         model        `Sequential`, and imports
"""

from medcrypt.inference.circuit import Circuit, Cost, Evaluation, Preparation, simulate
from medcrypt.inference.layers import (
    Argmax,
    AvgPool,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    MaxPool,
    ReLU,
    Residual,
    Threshold,
)
from medcrypt.inference.model import Compiled, Sequential

__all__ = [
    "Argmax",
    "AvgPool",
    "BatchNorm",
    "Circuit",
    "Compiled",
    "Conv2d",
    "Cost",
    "Dense",
    "Evaluation",
    "Flatten",
    "MaxPool",
    "Preparation",
    "ReLU",
    "Residual",
    "Sequential",
    "Threshold",
    "simulate",
]
