"""Secure aggregation: many parties, one sum, nobody sees a part.

A `Plan` says what is added up and by whom; everybody has the same one. `quantise` turns an update into integers,
`add_integers` is what every protocol computes on them, and an `Aggregate` is what comes out.

The homomorphic back-end: a `HomomorphicClient` uploads once, a `HomomorphicServer` adds what it cannot read,
and each `HomomorphicHolder` of a key (share) helps to open one sum a round, which its `Ledger` remembers.
`audit` checks a round afterwards, from its messages.

The masking back-end: a `MaskingClient` hides its update under masks that cancel in the sum and answers a
`MaskingServer` five times; clients may vanish in between.

`simulate` plays a round out in one process, dropouts and cheaters included, and says what it cost.
"""

from medcrypt.aggregation.audit import audit
from medcrypt.aggregation.holder import HomomorphicHolder
from medcrypt.aggregation.homomorphic import HomomorphicClient, HomomorphicServer
from medcrypt.aggregation.ledger import Ledger
from medcrypt.aggregation.masking import MaskingClient, MaskingServer
from medcrypt.aggregation.messages import Message, MessageType, Signer, read_message
from medcrypt.aggregation.noise import DiscreteGaussianNoise, SkellamNoise
from medcrypt.aggregation.plan import NoisePlan, Plan, PrivacyBound
from medcrypt.aggregation.quantisation import Aggregate, add_integers, quantise, reduce
from medcrypt.aggregation.simulation import Federation, Report, simulate

__all__ = [
    "Aggregate",
    "DiscreteGaussianNoise",
    "Federation",
    "HomomorphicClient",
    "HomomorphicHolder",
    "HomomorphicServer",
    "Ledger",
    "MaskingClient",
    "MaskingServer",
    "Message",
    "MessageType",
    "NoisePlan",
    "Plan",
    "PrivacyBound",
    "Report",
    "Signer",
    "SkellamNoise",
    "add_integers",
    "audit",
    "quantise",
    "read_message",
    "reduce",
    "simulate",
]
