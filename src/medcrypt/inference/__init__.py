"""Private inference: two servers run a network on an image that neither of them sees, with weights that neither knows.

A `Sequential` of layers is compiled for the shape of its inputs: the `Circuit` is public, the integer weights are
shared between the servers. A dealer's `Preparation` makes correlated randomness; each server's `Evaluation` turns it
and a share of the inputs into a share of the classes; the client adds the two up. `simulate` plays all of them in one
process.

    sharing      additive shares, fixed point, rounds, selection      comparison   signs, divisions, equality
    steps        what the servers compute, and what is dealt          layers       from real numbers to steps
    circuit      the public model, dealer's and server's part         model        `Sequential`, and imports
    parties      who says what to whom                                preprocessing  material that lies ready
    service      the parties as processes that talk over TCP          channel      authenticated frames
    local        all of them on this machine                          report       rounds, bytes and time
    linear       linear models under Paillier: no dealer
"""

from medcrypt.inference import linear
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
from medcrypt.inference.local import LocalService, run_local
from medcrypt.inference.model import Compiled, Sequential
from medcrypt.inference.report import LayerCost, Report
from medcrypt.inference.service import Connection, deploy, serve

__all__ = [
    "Argmax",
    "AvgPool",
    "BatchNorm",
    "Circuit",
    "Compiled",
    "Connection",
    "Conv2d",
    "Cost",
    "Dense",
    "Evaluation",
    "Flatten",
    "LayerCost",
    "LocalService",
    "MaxPool",
    "Preparation",
    "ReLU",
    "Report",
    "Residual",
    "Sequential",
    "Threshold",
    "deploy",
    "linear",
    "run_local",
    "serve",
    "simulate",
]
