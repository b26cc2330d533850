"""Secure aggregation: many parties, one sum, nobody sees a part.

A `Plan` says what is added up and by whom; everybody has the same one. `quantise` turns an update into integers,
`add_integers` is what every protocol computes on them, and an `Aggregate` is what comes out.
"""

from medcrypt.aggregation.messages import Message, MessageType, Signer, read_message
from medcrypt.aggregation.plan import NoisePlan, Plan
from medcrypt.aggregation.quantisation import Aggregate, add_integers, quantise, reduce

__all__ = [
    "Aggregate",
    "Message",
    "MessageType",
    "NoisePlan",
    "Plan",
    "Signer",
    "add_integers",
    "quantise",
    "read_message",
    "reduce",
]
