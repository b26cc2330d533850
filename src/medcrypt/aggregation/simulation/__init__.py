"""All parties of a federation in one process, over the same bytes that would travel: to try a plan before it is agreed.

`simulate` runs one round, with dropouts and cheaters where asked, and reports bytes and seconds of every role. A
`Federation` keeps identities, key shares and ledgers over many rounds.
"""

from medcrypt.aggregation.simulation.federation import Federation, simulate
from medcrypt.aggregation.simulation.report import Refusal, Report, Step

__all__ = ["Federation", "Refusal", "Report", "Step", "simulate"]
